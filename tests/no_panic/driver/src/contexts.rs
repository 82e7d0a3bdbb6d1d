//! One context of each kind, in every form that there is.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use fltctx::{
    PoolBox,
    context::{
        Family, InPlace, Member, OneOf, PoolAllocator, VariableContext, VariableMember, WithSlice,
    },
    in_place,
    lock::{FastMutex, PushLock, Resource, SpinLock},
    object::VolumeName,
    prelude::*,
};

use crate::Probe;

/// The tag of everything that this driver allocates.
pub(crate) const TAG: PoolTag = PoolTag::new(*b"NoPa");

/// A volume, in memory of the driver's own.
pub(crate) struct OnVolume {
    pub(crate) name: Option<VolumeName>,
    pub(crate) sector_size: u16,
}

impl Context for OnVolume {
    type Kind = kind::Volume;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = TAG;
}

/// An instance, built in place, with one of each lock.
pub(crate) struct OnInstance {
    pub(crate) push: PushLock<u64>,
    pub(crate) resource: Resource<Option<Shared<Name>>>,
    pub(crate) mutex: FastMutex<[u64; 4]>,
    pub(crate) spin: SpinLock<u64>,
    pub(crate) conflicts: AtomicU32,
}

impl Context for OnInstance {
    type Kind = kind::Instance;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = TAG;
}

impl OnInstance {
    pub(crate) fn recipe() -> impl InPlace<Self> {
        in_place!(OnInstance {
            push <- PushLock::new(0),
            resource <- Resource::new(None),
            mutex <- FastMutex::new([0; 4]),
            spin: SpinLock::new(0),
            conflicts: AtomicU32::new(0),
        })
    }
}

/// A file, with its name behind it.
#[derive(Default)]
pub(crate) struct OnFile {
    pub(crate) changes: AtomicU64,
}

impl VariableContext for OnFile {
    type Kind = kind::File;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = TAG;
    type Element = u16;
}

/// The context of a file.
pub(crate) type Name = WithSlice<OnFile>;

/// A stream, in one of four sizes, in paged pool.
pub(crate) enum Sizes {}

pub(crate) struct Small(pub(crate) AtomicU32);
pub(crate) struct Medium(pub(crate) [u64; 4]);
pub(crate) struct Large(pub(crate) [u64; 40]);
pub(crate) struct Tail(pub(crate) u32);

impl Member for Small {}
impl Member for Medium {}
impl Member for Large {}
impl Member for Tail {}
impl VariableMember for Tail {
    type Element = u32;
}

impl Family for Sizes {
    type Kind = kind::Stream;
    type Pool = pool::Paged;
    const TAG: PoolTag = TAG;
    type Small = Small;
    type Medium = Medium;
    type Large = Large;
    type Variable = Tail;
}

/// An open, which owns contexts of other kinds.
#[derive(Default)]
pub(crate) struct OnHandle {
    pub(crate) name: Option<Shared<Name>>,
    pub(crate) sized: Option<Shared<OneOf<Sizes>>>,
    pub(crate) lock: Option<PoolBox<PushLock<u32>>>,
    pub(crate) reads: AtomicU64,
}

impl Context for OnHandle {
    type Kind = kind::StreamHandle;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = TAG;
}

impl Drop for OnHandle {
    fn drop(&mut self) {
        crate::READS.fetch_add(*self.reads.get_mut(), Ordering::Relaxed);
    }
}

/// A transaction.
#[derive(Default)]
pub(crate) struct OnTransaction {
    pub(crate) writes: AtomicU64,
}

impl Context for OnTransaction {
    type Kind = kind::Transaction;
    type Pool = pool::Paged;
    const TAG: PoolTag = TAG;
}

/// A section.
pub(crate) struct OnSection {
    pub(crate) conflicts: AtomicU32,
}

impl Context for OnSection {
    type Kind = kind::Section;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = TAG;
}

contexts! {
    Probe:
        OnVolume => PoolAllocator<{ TAG.into_raw() }>,
        OnInstance,
        Name,
        OneOf<Sizes>,
        OnHandle,
        OnTransaction,
        OnSection,
}
