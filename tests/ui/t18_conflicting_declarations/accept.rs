//! T-18: a kind has one type, or one `Family` of members whose fixed sizes differ; an allocator of its own makes a definition the only one.

use fltctx::{
    context::{Family, Member, OneOf, PoolAllocator, VariableMember},
    prelude::*,
};

struct Sizes;

struct Of<const N: usize>([u8; N]);

impl<const N: usize> Member for Of<N> {}

struct Named;

impl Member for Named {}

impl VariableMember for Named {
    type Element = u16;
}

impl Family for Sizes {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
    type Small = Of<8>;
    type Medium = Of<16>;
    type Large = Of<32>;
    type Variable = Named;
}

struct Alone;

impl Context for Alone {
    type Kind = kind::File;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
}

const TAG: u32 = PoolTag::new(*b"ExOw").into_raw();

struct Own;

impl Minifilter for Own {
    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        Ok(Self)
    }
}

contexts! { Own: OneOf<Sizes>, Alone => PoolAllocator<TAG> }

fn main() {}
