//! T-13: a payload goes with a call back: nobody would take it otherwise, and it would leak.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

fn before(context: Shared<OnStream>) -> PreResult<NoPostOperation> {
    PreResult::callback(context)
}

fn main() {}
