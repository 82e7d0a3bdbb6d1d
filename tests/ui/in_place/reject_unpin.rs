//! In place: a recipe fills the whole value, at its final address, from safe code.

use fltctx::{context::InPlace, in_place, lock::PushLock};

struct Names {
    longest: PushLock<u64>,
}

impl Unpin for Names {}

fn recipe() -> impl InPlace<Names> {
    in_place!(Names { longest <- PushLock::new(0) })
}

fn main() {}
