//! T-04: a handle that was set belongs to the object: what set returns is used from then on.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::{context::Slot, prelude::*};

fn set(slot: Slot<'_, Example, OnStream>, mut context: Unique<OnStream>) {
    let _ = slot.replace(context);
    *context.count.get_mut() = 1;
}

fn main() {}
