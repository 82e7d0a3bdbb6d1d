//! T-03: a context is set on, and got from, the kind of object that it is declared for.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

fn get(read: &Pre<'_, Example, Read>) {
    let _ = read.file_object().slot::<OnTransaction>();
}

fn main() {}
