//! T-11: a post-operation callback is asked for only where one is registered.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::{operation, prelude::*};

impl PreOperation<operation::Power> for Example {
    type Completion = NoPostOperation;

    fn pre(&self, _power: &mut Pre<'_, Self, operation::Power>) -> PreResult<NoPostOperation> {
        PreResult::no_callback()
    }
}

driver_entry!(Example, operations![Power: pre]);

fn main() {}
