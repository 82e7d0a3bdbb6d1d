//! In place: a recipe fills the whole value, at its final address, from safe code.

use fltctx::{PoolBox, PoolTag, Status, context::InPlace, in_place, irql::AtMostApc, lock::PushLock};

struct Names<T> {
    longest: PushLock<u64>,
    limit: T,
}

impl Unpin for Names<u32> {}

impl<T> Names<T> {
    fn recipe(limit: T) -> impl InPlace<Self> {
        in_place!(Self { longest <- PushLock::new(0), limit: limit })
    }
}

fn moved(irql: &AtMostApc) -> Result<Names<u32>, Status> {
    let names = PoolBox::try_new_in_place(PoolTag::new(*b"Exam"), Names::recipe(1), irql)?;
    Ok(PoolBox::into_inner(names))
}

fn main() {}
