//! T-24: a payload is `Send`, because the post-operation callback may run on another thread.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::{PoolBox, prelude::*};

impl PreOperation<Read> for Example {
    type Completion = PoolBox<*mut u8>;

    fn pre(&self, _read: &mut Pre<'_, Self, Read>) -> PreResult<Self::Completion> {
        PreResult::no_callback()
    }
}

fn main() {}
