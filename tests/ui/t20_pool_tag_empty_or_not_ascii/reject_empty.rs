//! T-20: a pool tag is four printable ASCII characters, not all of them blank.

use fltctx::prelude::*;

struct Tagged;

impl Context for Tagged {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"    ");
}

struct Own;

impl Minifilter for Own {
    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        Ok(Self)
    }
}

contexts! { Own: Tagged }

fn main() {}
