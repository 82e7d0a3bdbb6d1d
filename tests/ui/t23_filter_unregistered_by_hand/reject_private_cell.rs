//! T-23: the library alone unregisters the filter, when no callback can run any more.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::registration::FilterCell;

fn unload(cell: &FilterCell<Example>) {
    cell.abandon();
}

fn main() {}
