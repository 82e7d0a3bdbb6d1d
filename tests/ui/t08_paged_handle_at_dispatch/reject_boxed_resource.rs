//! T-08: nor is a resource, which is deleted at APC_LEVEL or below, in the payload of such a post-operation.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::{PoolBox, lock::Resource, prelude::*};

impl PreOperation<Read> for Example {
    type Completion = PoolBox<(u64, Resource<u64>)>;

    fn pre(&self, _read: &mut Pre<'_, Self, Read>) -> PreResult<Self::Completion> {
        PreResult::no_callback()
    }
}

fn main() {}
