//! T-14: a lock must live in nonpaged memory, so a context that holds one is nonpaged too.

use fltctx::{lock::Resource, pool::CanHold, prelude::*};

struct Names {
    longest: Resource<u64>,
}

impl CanHold<Names> for pool::Paged {}

impl Context for Names {
    type Kind = kind::Stream;
    type Pool = pool::Paged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
}

fn main() {}
