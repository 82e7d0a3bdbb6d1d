//! T-01: a volume context must live in nonpaged pool.

use fltctx::prelude::*;

struct Mount;

impl Context for Mount {
    type Kind = kind::Volume;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
}

struct Attachment;

impl Context for Attachment {
    type Kind = kind::Instance;
    type Pool = pool::Paged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
}

fn main() {}
