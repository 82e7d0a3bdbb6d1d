//! T-08: a handle to a paged context is neither the payload of a post-operation that may run at DISPATCH_LEVEL, nor read or cloned there.

#[path = "../filter.rs"]
mod filter;

use core::sync::atomic::Ordering;

use filter::*;
use fltctx::prelude::*;

fn after(read: &Post<'_, Example, Read>, context: &Shared<OnFile>) {
    context
        .at(read.irql())
        .count
        .fetch_add(1, Ordering::Relaxed);
}

fn main() {}
