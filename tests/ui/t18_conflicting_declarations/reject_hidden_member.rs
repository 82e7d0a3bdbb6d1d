//! T-18: a family declares each of its members, so that none is taken for another of its size.

use fltctx::context::Member;

struct Hidden;

impl Member for Hidden {
    const PRESENT: bool = false;
}

fn main() {}
