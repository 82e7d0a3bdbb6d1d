//! T-11: an operation is registered once, so that it is known which post-operation it has.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

impl PreOperation<Close> for Example {
    type Completion = NoPostOperation;

    fn pre(&self, _close: &mut Pre<'_, Self, Close>) -> PreResult<NoPostOperation> {
        PreResult::no_callback()
    }
}

driver_entry!(Example, operations![Close: pre, Close: pre]);

fn main() {}
