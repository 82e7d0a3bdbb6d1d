//! T-01: a volume context must live in nonpaged pool.

use fltctx::{context::VariableContext, prelude::*};

struct Named;

impl VariableContext for Named {
    type Kind = kind::Volume;
    type Pool = pool::Paged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
    type Element = u16;
}

fn main() {}
