//! T-18: a kind has one type, or one `Family` of members whose fixed sizes differ; an allocator of its own makes a definition the only one.

use fltctx::{
    context::{Absent, Family, Member, OneOf, PoolAllocator},
    prelude::*,
};

struct Sizes;

struct Short(u32);

impl Member for Short {}

struct Long(u64);

impl Member for Long {}

impl Family for Sizes {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
    type Small = Short;
    type Medium = Long;
    type Large = Absent;
    type Variable = Absent;
}

const TAG: u32 = PoolTag::new(*b"ExOw").into_raw();

struct Own;

impl Minifilter for Own {
    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        Ok(Self)
    }
}

contexts! { Own: OneOf<Sizes> => PoolAllocator<TAG> }

fn main() {}
