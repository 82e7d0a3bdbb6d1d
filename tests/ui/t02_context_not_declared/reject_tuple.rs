//! T-02: a filter allocates and reaches only contexts that its `contexts!` declares.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

struct Undeclared;

impl Context for Undeclared {
    type Kind = kind::Volume;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
}

fn get(read: &Pre<'_, Example, Read>) {
    let _ = read.contexts::<(OnStream, Undeclared)>();
}

fn main() {}
