//! T-09: no context is allocated, got, set or deleted where the IRQL may be DISPATCH_LEVEL.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::{lock::SpinLock, prelude::*};

fn before(read: &mut Pre<'_, Example, Read>, lock: &SpinLock<u64>, context: Unique<OnStream>) {
    let slot = read.slot::<OnStream>();
    let _guard = lock.lock(read.irql_mut());
    let _ = slot.set(context);
}

fn main() {}
