//! T-16: a volume, instance, file object or transaction is borrowed from its callback and ends with it.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::{object::Volume, prelude::*};

fn borrow<'a>(setup: &'a InstanceSetup<'_, Example>) -> Volume<'a, Example> {
    setup.volume()
}

/// What is to outlive the callback is a context, which is counted.
fn keep(read: &Pre<'_, Example, Read>, kept: &mut Option<Shared<OnStream>>) {
    *kept = read.slot::<OnStream>().get().ok().flatten();
}

fn main() {}
