//! T-22: a raw pointer becomes a handle only in `unsafe` code, which vouches for its reference.

#[path = "../filter.rs"]
mod filter;

use core::ptr::NonNull;

use filter::*;
use fltctx::prelude::*;

fn adopt(raw: NonNull<OnStream>) -> Shared<OnStream> {
    Shared::from_raw(raw)
}

fn main() {}
