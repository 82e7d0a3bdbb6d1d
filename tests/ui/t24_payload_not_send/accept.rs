//! T-24: a payload is `Send`, because the post-operation callback may run on another thread.

#[path = "../filter.rs"]
mod filter;

use core::cell::Cell;

use filter::*;
use fltctx::{PoolBox, prelude::*};

impl PreOperation<Create> for Example {
    type Completion = PoolBox<Cell<u64>>;

    fn pre(&self, _create: &mut Pre<'_, Self, Create>) -> PreResult<Self::Completion> {
        PreResult::no_callback()
    }
}

fn main() {}
