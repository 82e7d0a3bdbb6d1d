//! T-18: a kind has one type, or one `Family` of members whose fixed sizes differ; an allocator of its own makes a definition the only one.

use fltctx::{
    context::{Absent, Family, Member, OneOf},
    prelude::*,
};

struct Sizes;

struct Opened(u64);

impl Member for Opened {}

struct Closed(i64);

impl Member for Closed {}

impl Family for Sizes {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
    type Small = Opened;
    type Medium = Closed;
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
