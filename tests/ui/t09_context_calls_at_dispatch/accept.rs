//! T-09: no context is allocated, got, set or deleted where the IRQL may be DISPATCH_LEVEL.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

fn safely_after(read: &SafePost<'_, Example, Read>, context: Unique<OnStream>) {
    if let Ok(context) = read.slot::<OnStream>().set(context) {
        context.delete(read.irql());
    }
}

fn after_create(create: &Post<'_, Example, Create>) {
    let _ = create.instance().slot::<OnInstance>().get();
}

fn main() {}
