//! T-18: a kind has one type, or one `Family` of members whose fixed sizes differ; an allocator of its own makes a definition the only one.

use fltctx::{context::declaration::Declarations, prelude::*, sys};

struct Own;

impl Minifilter for Own {
    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        Ok(Self)
    }
}

impl Declarations for Own {
    const TABLE: &'static [sys::FLT_CONTEXT_REGISTRATION] = &[];
}

driver_entry!(Own, operations![]);

fn main() {}
