//! In place: a recipe fills the whole value, at its final address, from safe code.

use fltctx::in_place;

struct Limits {
    first: u32,
}

fn scribble(place: *mut Limits) {
    in_place!(@write Limits, place, first: 1);
}

fn main() {}
