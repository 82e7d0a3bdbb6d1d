//! T-10: there is no file before a create, after a failed one or after a close, so there are no file, stream and stream handle contexts either.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

fn after(create: &Post<'_, Example, Create>) {
    let _ = create.slot::<OnHandle>();
}

fn main() {}
