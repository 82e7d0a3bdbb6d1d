//! T-17: a section context comes and goes with its section: it is neither set nor deleted.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::{irql::Passive, object::FileObject, prelude::*};

fn scan(file: FileObject<'_, Example>, passive: &Passive, context: Unique<OnSection>) {
    if let Ok(section) = file.create_section(passive, context) {
        drop(section);
    }
}

fn delete(read: &Pre<'_, Example, Read>, context: &Shared<OnStream>) {
    context.delete(read.irql());
}

fn main() {}
