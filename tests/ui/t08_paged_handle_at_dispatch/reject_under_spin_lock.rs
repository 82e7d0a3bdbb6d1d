//! T-08: a handle to a paged context is neither the payload of a post-operation that may run at DISPATCH_LEVEL, nor read or cloned there.

#[path = "../filter.rs"]
mod filter;

use core::sync::atomic::Ordering;

use filter::*;
use fltctx::{lock::SpinLock, prelude::*};

fn before(read: &mut Pre<'_, Example, Read>, lock: &SpinLock<u64>, context: &Shared<OnFile>) {
    let mut guard = lock.lock(read.irql_mut());
    *guard = context.at(read.irql()).count.load(Ordering::Relaxed);
}

fn main() {}
