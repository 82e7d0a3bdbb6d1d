//! T-01: a volume context must live in nonpaged pool.

use fltctx::{
    context::{Absent, Family, Member},
    prelude::*,
};

struct Mounts;

struct Mount;

impl Member for Mount {}

impl Family for Mounts {
    type Kind = kind::Volume;
    type Pool = pool::Paged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
    type Small = Mount;
    type Medium = Absent;
    type Large = Absent;
    type Variable = Absent;
}

fn main() {}
