//! T-03: a context is set on, and got from, the kind of object that it is declared for.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

fn get(setup: &InstanceSetup<'_, Example>) {
    let _ = setup.volume().slot::<OnVolume>();
    let _ = setup.instance().slot::<OnInstance>();
}

fn set(read: &Pre<'_, Example, Read>, context: Unique<OnStream>) {
    let _ = read.file_object().slot::<OnStream>().set(context);
}

fn main() {}
