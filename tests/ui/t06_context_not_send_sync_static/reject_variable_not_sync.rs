//! T-06: a context is `Send`, `Sync` and `'static`: any thread reaches it, any thread drops it, and it lives as long as its object.

use core::cell::Cell;

use fltctx::{context::VariableContext, prelude::*};

struct Named(Cell<u64>);

impl VariableContext for Named {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
    type Element = u16;
}

fn main() {}
