//! T-11: a post-operation callback is asked for only where one is registered.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::{operation::Shutdown, prelude::*};

impl PreOperation<Shutdown> for Example {
    type Completion = ();

    fn pre(&self, _shutdown: &mut Pre<'_, Self, Shutdown>) -> PreResult<()> {
        PreResult::callback(())
    }
}

impl PostOperation<Shutdown> for Example {
    fn post(&self, _shutdown: &mut Post<'_, Self, Shutdown>, (): ()) {}
}

driver_entry!(Example, operations![Shutdown]);

fn main() {}
