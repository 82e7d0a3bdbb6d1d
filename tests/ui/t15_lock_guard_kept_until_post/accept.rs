//! T-15: a lock is given back by the thread that acquired it, so its guard does not go from pre to post.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::{lock::PushLock, prelude::*};

static LOCK: Option<&PushLock<usize>> = None;

impl PreOperation<Read> for Example {
    type Completion = usize;

    fn pre(&self, read: &mut Pre<'_, Self, Read>) -> PreResult<usize> {
        LOCK.map_or_else(PreResult::no_callback, |lock| {
            PreResult::callback(*lock.read(read.irql()))
        })
    }
}

fn main() {}
