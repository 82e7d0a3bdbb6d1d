//! T-06: a context is `Send`, `Sync` and `'static`: any thread reaches it, any thread drops it, and it lives as long as its object.

use core::cell::Cell;

use fltctx::prelude::*;

struct Count(Cell<u64>);

impl Context for Count {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
}

fn main() {}
