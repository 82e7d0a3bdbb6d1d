//! T-11: a post-operation callback is asked for only where one is registered.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::{operation::Operations, sys};

impl Operations for Example {
    const TABLE: &'static [sys::FLT_OPERATION_REGISTRATION] = &[];
}

fn main() {}
