//! T-21: only an IRP that is not a create can be synchronised.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

fn before(create: &Pre<'_, Example, Create>) -> PreResult<()> {
    create.synchronize(())
}

fn main() {}
