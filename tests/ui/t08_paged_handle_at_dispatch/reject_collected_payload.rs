//! T-08: a handle to a paged context is neither the payload of a post-operation that may run at DISPATCH_LEVEL, nor read or cloned there.

#[path = "../filter.rs"]
mod filter;

use std::collections::BTreeMap;

use filter::*;
use fltctx::{PoolBox, prelude::*};

impl PreOperation<Read> for Example {
    type Completion = PoolBox<BTreeMap<u32, Shared<OnFile>>>;

    fn pre(&self, _read: &mut Pre<'_, Self, Read>) -> PreResult<Self::Completion> {
        PreResult::no_callback()
    }
}

fn main() {}
