//! T-04: a handle that was set belongs to the object: what set returns is used from then on.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::{context::Slot, prelude::*};

fn set(slots: [Slot<'_, Example, OnStream>; 2], context: Unique<OnStream>) {
    let _ = slots[0].set(context);
    let _ = slots[1].set(context);
}

fn main() {}
