//! T-19: a context is at most 65,535 bytes.

use fltctx::{
    context::{Absent, Family, Member, OneOf},
    prelude::*,
};

struct Sizes;

// The byte that tells the members apart is in front of it.
struct Large([u8; 65_535]);

impl Member for Large {}

impl Family for Sizes {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
    type Small = Large;
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
