//! T-14: a lock must live in nonpaged memory, so a context that holds one is nonpaged too.

use fltctx::{
    PoolBox,
    lock::{PushLock, SpinLock},
    prelude::*,
};

struct Names {
    longest: PushLock<u64>,
}

impl Context for Names {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
}

/// Paged, with a lock that is not.
struct Attachment {
    sum: PoolBox<SpinLock<u64>>,
}

impl Context for Attachment {
    type Kind = kind::Instance;
    type Pool = pool::Paged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
}

fn main() {}
