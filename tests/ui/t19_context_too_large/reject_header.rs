//! T-19: a context is at most 65,535 bytes.

use fltctx::{
    context::{VariableContext, WithSlice},
    prelude::*,
};

struct Header([u64; 8_192]);

impl VariableContext for Header {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
    type Element = u16;
}

struct Own;

impl Minifilter for Own {
    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        Ok(Self)
    }
}

contexts! { Own: WithSlice<Header> }

fn main() {}
