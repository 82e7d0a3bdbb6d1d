//! T-16: a volume, instance, file object or transaction is borrowed from its callback and ends with it.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::{object::Instance, prelude::*};

fn keep<'a>(create: &'a Post<'a, Example, Create>, kept: &mut Option<Instance<'static, Example>>) {
    *kept = Some(create.instance());
}

fn main() {}
