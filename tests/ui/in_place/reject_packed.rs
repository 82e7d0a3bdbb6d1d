//! In place: a recipe fills the whole value, at its final address, from safe code.

use fltctx::{context::InPlace, in_place};

#[repr(C, packed)]
struct Packed {
    kind: u8,
    limit: u32,
}

fn recipe() -> impl InPlace<Packed> {
    in_place!(Packed { kind: 1, limit: 2 })
}

fn main() {}
