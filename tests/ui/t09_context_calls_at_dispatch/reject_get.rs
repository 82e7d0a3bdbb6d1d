//! T-09: no context is allocated, got, set or deleted where the IRQL may be DISPATCH_LEVEL.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

fn after(read: &Post<'_, Example, Read>) {
    let _ = read.slot::<OnStream>();
}

fn main() {}
