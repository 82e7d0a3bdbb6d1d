//! T-14: a lock must live in nonpaged memory, so a context that holds one is nonpaged too.

use fltctx::{lock::PushLock, prelude::*};

struct Names {
    longest: PushLock<u64>,
}

impl Context for Names {
    type Kind = kind::Stream;
    type Pool = pool::Paged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
}

fn main() {}
