//! T-15: a lock is given back by the thread that acquired it, so its guard does not go from pre to post.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::{PoolBox, lock::FastMutexGuard, prelude::*};

impl PreOperation<Create> for Example {
    type Completion = PoolBox<(u64, FastMutexGuard<'static, u64>)>;

    fn pre(&self, _create: &mut Pre<'_, Self, Create>) -> PreResult<Self::Completion> {
        PreResult::no_callback()
    }
}

fn main() {}
