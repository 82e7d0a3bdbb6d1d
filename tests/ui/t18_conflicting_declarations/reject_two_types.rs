//! T-18: a kind has one type, or one `Family` of members whose fixed sizes differ; an allocator of its own makes a definition the only one.

use fltctx::prelude::*;

struct First;

impl Context for First {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
}

struct Second(u64);

impl Context for Second {
    type Kind = kind::Stream;
    type Pool = pool::Paged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
}

struct Own;

impl Minifilter for Own {
    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        Ok(Self)
    }
}

contexts! { Own: First, Second }

fn main() {}
