//! T-08: a handle to a paged context is neither the payload of a post-operation that may run at DISPATCH_LEVEL, nor read or cloned there.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

fn after(_read: &Post<'_, Example, Read>, context: Shared<OnFile>) -> u64 {
    *(*context).count.get_mut()
}

fn main() {}
