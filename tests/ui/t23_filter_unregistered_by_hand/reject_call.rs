//! T-23: the library alone unregisters the filter, when no callback can run any more.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::sys;

impl Drop for Example {
    fn drop(&mut self) {
        sys::FltUnregisterFilter(core::ptr::null_mut());
    }
}

fn main() {}
