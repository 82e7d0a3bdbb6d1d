//! T-23: the library alone unregisters the filter, when no callback can run any more.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::registration::{FilterCell, Registered};

static CELL: FilterCell<Example> = FilterCell::new();

impl Registered for Example {
    fn registered() -> &'static FilterCell<Self> {
        &CELL
    }
}

fn main() {}
