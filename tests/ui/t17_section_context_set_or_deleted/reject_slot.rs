//! T-17: a section context comes and goes with its section: it is neither set nor deleted.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

fn before(read: &Pre<'_, Example, Read>) {
    let _ = read.slot::<OnSection>();
}

fn main() {}
