//! T-11: a post-operation callback is asked for only where one is registered.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

impl PreOperation<Read> for Example {
    type Completion = NoPostOperation;

    fn pre(&self, read: &mut Pre<'_, Self, Read>) -> PreResult<Self::Completion> {
        read.synchronize(())
    }
}

driver_entry!(Example, operations![Read: pre]);

fn main() {}
