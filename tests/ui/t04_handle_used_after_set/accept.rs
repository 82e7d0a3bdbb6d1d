//! T-04: a handle that was set belongs to the object: what set returns is used from then on.

#[path = "../filter.rs"]
mod filter;

use core::sync::atomic::Ordering;

use filter::*;
use fltctx::{context::Slot, prelude::*};

fn set(slot: Slot<'_, Example, OnStream>, context: Unique<OnStream>) {
    match slot.set(context) {
        Ok(shared) => {
            shared.count.fetch_add(1, Ordering::Relaxed);
        }
        Err(error) => {
            error.context.count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn main() {}
