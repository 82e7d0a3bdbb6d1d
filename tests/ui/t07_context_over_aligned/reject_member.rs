//! T-07: a context is aligned to 8 bytes at most, because the Filter Manager promises no more.

use fltctx::{
    context::{Absent, Family, Member, OneOf},
    prelude::*,
};

struct Sizes;

#[repr(align(16))]
struct Wide;

impl Member for Wide {}

impl Family for Sizes {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
    type Small = Wide;
    type Medium = Absent;
    type Large = Absent;
    type Variable = Absent;
}

struct Own;

impl Minifilter for Own {
    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        Ok(Self)
    }
}

contexts! { Own: OneOf<Sizes> }

fn main() {}
