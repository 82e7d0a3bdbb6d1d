//! T-12: the pre- and the post-operation callback agree on the type of the payload.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

impl PreOperation<Read> for Example {
    type Completion = Shared<OnStream>;

    fn pre(&self, _read: &mut Pre<'_, Self, Read>) -> PreResult<Self::Completion> {
        PreResult::callback(0_usize)
    }
}

fn main() {}
