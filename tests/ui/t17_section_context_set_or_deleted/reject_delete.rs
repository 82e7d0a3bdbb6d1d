//! T-17: a section context comes and goes with its section: it is neither set nor deleted.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

fn delete(read: &Pre<'_, Example, Read>, context: &Shared<OnSection>) {
    context.delete(read.irql());
}

fn main() {}
