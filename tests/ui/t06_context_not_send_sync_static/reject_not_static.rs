//! T-06: a context is `Send`, `Sync` and `'static`: any thread reaches it, any thread drops it, and it lives as long as its object.

use fltctx::context::Member;

// It may be a borrow of something.
struct Held<T>(T);

impl<T: Send + Sync> Member for Held<T> {}

fn main() {}
