//! T-06: a context is `Send`, `Sync` and `'static`: any thread reaches it, any thread drops it, and it lives as long as its object.

use fltctx::prelude::*;

struct Pointer(*mut u8);

// Reached from many threads, but not to be dropped on any.
unsafe impl Sync for Pointer {}

impl Context for Pointer {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
}

fn main() {}
