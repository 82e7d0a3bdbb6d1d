//! In place: a recipe fills the whole value, at its final address, from safe code.

use fltctx::{context::InPlace, in_place};

struct Limits {
    first: u32,
    second: u32,
}

fn recipe(known: bool) -> impl InPlace<Limits> {
    in_place!(Limits {
        first: if known { 1 } else { return },
        second: 2,
    })
}

fn main() {}
