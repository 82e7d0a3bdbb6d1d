//! T-02: a filter allocates and reaches only contexts that its `contexts!` declares.

#[path = "../filter.rs"]
mod filter;

use core::sync::atomic::AtomicU64;

use filter::*;
use fltctx::prelude::*;

fn allocate(read: &Pre<'_, Example, Read>) {
    let count = AtomicU64::new(0);
    let _ = read.filter().allocate(OnStream { count });
}

fn get(setup: &InstanceSetup<'_, Example>) {
    let _ = setup.volume().slot::<OnVolume>();
}

fn get_both(read: &Pre<'_, Example, Read>) {
    let _ = read.contexts::<(OnStream, OnVolume)>();
}

fn main() {}
