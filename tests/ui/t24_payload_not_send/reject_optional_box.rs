//! T-24: a payload is `Send`, because the post-operation callback may run on another thread.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::{PoolBox, prelude::*};

struct Mapping {
    _base: *mut u8,
}

impl PreOperation<Create> for Example {
    type Completion = Option<PoolBox<Mapping>>;

    fn pre(&self, _create: &mut Pre<'_, Self, Create>) -> PreResult<Self::Completion> {
        PreResult::no_callback()
    }
}

fn main() {}
