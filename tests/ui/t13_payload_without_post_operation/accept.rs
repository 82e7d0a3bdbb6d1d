//! T-13: a payload goes with a call back: nobody would take it otherwise, and it would leak.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

fn before(context: Option<Shared<OnStream>>) -> PreResult<Shared<OnStream>> {
    context.map_or_else(PreResult::no_callback, PreResult::callback)
}

impl PreOperation<Read> for Example {
    type Completion = NoPostOperation;

    fn pre(&self, _read: &mut Pre<'_, Self, Read>) -> PreResult<Self::Completion> {
        PreResult::no_callback()
    }
}

driver_entry!(Example, operations![Read: pre]);

fn main() {}
