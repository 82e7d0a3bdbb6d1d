//! T-19: a context is at most 65,535 bytes.

use fltctx::prelude::*;

struct Large([u8; 65_536]);

impl Context for Large {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
}

struct Own;

impl Minifilter for Own {
    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        Ok(Self)
    }
}

contexts! { Own: Large }

fn main() {}
