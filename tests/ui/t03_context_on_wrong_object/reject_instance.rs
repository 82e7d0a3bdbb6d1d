//! T-03: a context is set on, and got from, the kind of object that it is declared for.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

fn set(setup: &InstanceSetup<'_, Example>, context: Unique<OnStream>) {
    let _ = setup.instance().slot::<OnStream>().set(context);
}

fn main() {}
