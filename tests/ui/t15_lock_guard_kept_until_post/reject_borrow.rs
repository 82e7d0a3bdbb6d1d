//! T-15: a lock is given back by the thread that acquired it, so its guard does not go from pre to post.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::{
    lock::{PushLock, WriteGuard},
    prelude::*,
};

fn before<'a>(
    read: &'a Pre<'a, Example, Read>,
    lock: &'static PushLock<u64>,
    kept: &mut Option<WriteGuard<'static, PushLock<u64>>>,
) {
    *kept = Some(lock.write(read.irql()));
}

fn main() {}
