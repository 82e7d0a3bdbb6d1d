//! T-16: a volume, instance, file object or transaction is borrowed from its callback and ends with it.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::{object::FileObject, prelude::*};

fn keep<'a>(read: &'a Pre<'a, Example, Read>, kept: &mut Option<FileObject<'static, Example>>) {
    *kept = Some(read.file_object());
}

fn main() {}
