//! T-05: a shared handle gives `&T` only, because other threads have handles to the same context.

#[path = "../filter.rs"]
mod filter;

use core::sync::atomic::Ordering;

use filter::*;
use fltctx::prelude::*;

fn change(mut context: Unique<OnStream>) {
    *context.count.get_mut() = 1;
}

fn count(context: &Shared<OnStream>) {
    context.count.fetch_add(1, Ordering::Relaxed);
}

fn main() {}
