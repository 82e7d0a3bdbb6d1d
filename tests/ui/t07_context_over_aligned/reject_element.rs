//! T-07: a context is aligned to 8 bytes at most, because the Filter Manager promises no more.

use fltctx::{
    context::{VariableContext, WithSlice},
    prelude::*,
};

struct Hashes;

impl VariableContext for Hashes {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
    type Element = u128;
}

struct Own;

impl Minifilter for Own {
    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        Ok(Self)
    }
}

contexts! { Own: WithSlice<Hashes> }

fn main() {}
