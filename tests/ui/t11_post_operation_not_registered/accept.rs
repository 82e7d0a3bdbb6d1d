//! T-11: a post-operation callback is asked for only where one is registered.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

impl PreOperation<Read> for Example {
    type Completion = NoPostOperation;

    fn pre(&self, _read: &mut Pre<'_, Self, Read>) -> PreResult<Self::Completion> {
        PreResult::no_callback()
    }
}

impl PreOperation<Write> for Example {
    type Completion = ();

    fn pre(&self, _write: &mut Pre<'_, Self, Write>) -> PreResult<Self::Completion> {
        PreResult::callback(())
    }
}

impl PostOperation<Write> for Example {
    fn post(&self, _write: &mut Post<'_, Self, Write>, (): ()) {}
}

driver_entry!(Example, operations![Read: pre, Write]);

fn main() {}
