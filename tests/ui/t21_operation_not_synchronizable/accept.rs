//! T-21: only an IRP that is not a create can be synchronised.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

fn before(read: &Pre<'_, Example, Read>) -> PreResult<()> {
    read.synchronize(())
}

fn main() {}
