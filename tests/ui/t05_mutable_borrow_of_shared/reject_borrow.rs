//! T-05: a shared handle gives `&T` only, because other threads have handles to the same context.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

fn change(context: &mut Shared<OnStream>) -> &mut OnStream {
    &mut **context
}

fn main() {}
