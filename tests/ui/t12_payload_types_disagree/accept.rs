//! T-12: the pre- and the post-operation callback agree on the type of the payload.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

impl PreOperation<Read> for Example {
    type Completion = Option<Shared<OnStream>>;

    fn pre(&self, read: &mut Pre<'_, Self, Read>) -> PreResult<Self::Completion> {
        PreResult::callback(read.slot::<OnStream>().get().ok().flatten())
    }
}

impl PostOperation<Read> for Example {
    fn post(&self, _read: &mut Post<'_, Self, Read>, _context: Option<Shared<OnStream>>) {}
}

fn main() {}
