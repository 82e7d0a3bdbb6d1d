//! T-12: the pre- and the post-operation callback agree on the type of the payload.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

fn make() -> Option<Shared<OnHandle>> {
    None
}

impl PreOperation<Read> for Example {
    type Completion = Option<Shared<OnStream>>;

    fn pre(&self, _read: &mut Pre<'_, Self, Read>) -> PreResult<Self::Completion> {
        PreResult::callback(make())
    }
}

fn main() {}
