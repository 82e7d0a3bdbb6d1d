//! T-16: a volume, instance, file object or transaction is borrowed from its callback and ends with it.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::{object::Volume, prelude::*};

fn keep<'a>(setup: &'a InstanceSetup<'a, Example>) -> Volume<'static, Example> {
    setup.volume()
}

fn main() {}
