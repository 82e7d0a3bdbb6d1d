//! T-08: a handle to a paged context is neither the payload of a post-operation that may run at DISPATCH_LEVEL, nor read or cloned there.

#[path = "../filter.rs"]
mod filter;

use core::sync::atomic::Ordering;

use filter::*;
use fltctx::prelude::*;

impl PreOperation<Read> for Example {
    type Completion = Shared<OnStream>;

    fn pre(&self, _read: &mut Pre<'_, Self, Read>) -> PreResult<Self::Completion> {
        PreResult::no_callback()
    }
}

impl PostOperation<Read> for Example {
    fn post(&self, _read: &mut Post<'_, Self, Read>, context: Shared<OnStream>) {
        context.count.fetch_add(1, Ordering::Relaxed);
    }
}

// A create completes at PASSIVE_LEVEL, where paged contexts are legal.
impl PreOperation<Create> for Example {
    type Completion = Shared<OnFile>;

    fn pre(&self, _create: &mut Pre<'_, Self, Create>) -> PreResult<Self::Completion> {
        PreResult::no_callback()
    }
}

impl PostOperation<Create> for Example {
    fn post(&self, create: &mut Post<'_, Self, Create>, context: Shared<OnFile>) {
        context
            .at(create.irql())
            .count
            .fetch_add(1, Ordering::Relaxed);
    }
}

fn safely_after(read: &SafePost<'_, Example, Read>, context: &Shared<OnFile>) {
    context
        .at(read.irql())
        .count
        .fetch_add(1, Ordering::Relaxed);
}

fn main() {}
