//! T-02: a filter allocates and reaches only contexts that its `contexts!` declares.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

struct Undeclared;

impl Context for Undeclared {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
}

fn allocate(read: &Pre<'_, Example, Read>) {
    let _ = read.filter().allocate(Undeclared);
}

fn main() {}
