//! T-05: a shared handle gives `&T` only, because other threads have handles to the same context.

#[path = "../filter.rs"]
mod filter;

use core::sync::atomic::AtomicU64;

use filter::*;
use fltctx::prelude::*;

fn change(context: &mut Shared<OnStream>) {
    context.count = AtomicU64::new(1);
}

fn main() {}
