//! In place: a recipe fills the whole value, at its final address, from safe code.

use core::marker::PhantomPinned;

use fltctx::{context::InPlace, in_place, lock::PushLock};

struct Names {
    longest: PushLock<u64>,
    limit: u32,
    _pinned: PhantomPinned,
}

fn recipe(limit: Option<u32>) -> impl InPlace<Names> {
    let owned = (limit,);
    in_place!(Names {
        longest <- PushLock::new(0),
        limit: if let (Some(limit),) = owned { limit } else { 7 },
        _pinned: PhantomPinned,
    })
}

struct Pair<T> {
    first: T,
    second: T,
}

impl<T> Pair<T> {
    fn recipe(first: T, second: T) -> impl InPlace<Self> {
        in_place!(Self {
            first: first,
            second: second
        })
    }
}

fn main() {}
