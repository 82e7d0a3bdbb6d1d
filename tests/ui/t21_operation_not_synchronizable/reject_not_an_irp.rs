//! T-21: only an IRP that is not a create can be synchronised.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::{operation::AcquireForSectionSynchronization, prelude::*};

fn before(map: &Pre<'_, Example, AcquireForSectionSynchronization>) -> PreResult<()> {
    map.synchronize(())
}

fn main() {}
