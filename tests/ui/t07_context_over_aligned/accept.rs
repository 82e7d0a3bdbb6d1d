//! T-07: a context is aligned to 8 bytes at most, because the Filter Manager promises no more.

use fltctx::{
    context::{VariableContext, WithSlice},
    prelude::*,
};

#[repr(align(8))]
struct Wide;

impl Context for Wide {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
}

struct Hashes;

impl VariableContext for Hashes {
    type Kind = kind::File;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
    type Element = u64;
}

struct Own;

impl Minifilter for Own {
    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        Ok(Self)
    }
}

contexts! { Own: Wide, WithSlice<Hashes> }

fn main() {}
