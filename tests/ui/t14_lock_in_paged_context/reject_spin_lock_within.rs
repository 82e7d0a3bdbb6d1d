//! T-14: a lock must live in nonpaged memory, so a context that holds one is nonpaged too.

use fltctx::{lock::SpinLock, prelude::*};

struct Counts {
    sum: SpinLock<u64>,
}

struct Traffic {
    counts: [Counts; 2],
}

impl Context for Traffic {
    type Kind = kind::Stream;
    type Pool = pool::Paged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
}

fn main() {}
