//! T-22: a raw pointer becomes a handle only in `unsafe` code, which vouches for its reference.

#[path = "../filter.rs"]
mod filter;

use core::ptr::NonNull;

use filter::*;
use fltctx::{context::InPlace, in_place, prelude::*};

struct Owner {
    stream: Shared<OnStream>,
}

fn adopt(raw: NonNull<OnStream>) -> impl InPlace<Owner> {
    in_place!(Owner { stream: Shared::from_raw(raw) })
}

fn main() {}
