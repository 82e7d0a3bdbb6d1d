//! T-22: a raw pointer becomes a handle only in `unsafe` code, which vouches for its reference.

#[path = "../filter.rs"]
mod filter;

use core::ptr::NonNull;

use filter::*;
use fltctx::prelude::*;

fn there_and_back(context: Shared<OnStream>) -> Option<Shared<OnStream>> {
    let raw = NonNull::new(context.into_raw().cast())?;
    // SAFETY: it comes from `into_raw` just now.
    Some(unsafe { Shared::from_raw(raw) })
}

fn main() {}
