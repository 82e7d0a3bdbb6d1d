//! T-14: a lock must live in nonpaged memory, so a context that holds one is nonpaged too.

use fltctx::{context::VariableContext, lock::FastMutex, prelude::*};

struct Named {
    opens: FastMutex<u64>,
}

impl VariableContext for Named {
    type Kind = kind::File;
    type Pool = pool::Paged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
    type Element = u16;
}

fn main() {}
