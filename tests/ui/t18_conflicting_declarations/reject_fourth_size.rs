//! T-18: a kind has one type, or one `Family` of members whose fixed sizes differ; an allocator of its own makes a definition the only one.

use fltctx::{
    context::{Absent, Family, Member},
    prelude::*,
};

struct Sizes;

struct Of<const N: usize>([u8; N]);

impl<const N: usize> Member for Of<N> {}

impl Family for Sizes {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
    type Small = Of<8>;
    type Medium = Of<16>;
    type Large = Of<32>;
    type Huge = Of<64>;
    type Variable = Absent;
}

fn main() {}
