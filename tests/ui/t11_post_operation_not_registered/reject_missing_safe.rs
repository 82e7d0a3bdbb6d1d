//! T-11: a post-operation callback is asked for only where one is registered.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

impl PreOperation<Read> for Example {
    type Completion = ();

    fn pre(&self, _read: &mut Pre<'_, Self, Read>) -> PreResult<Self::Completion> {
        PreResult::no_callback()
    }
}

driver_entry!(Example, operations![Read: safe]);

fn main() {}
