//! Memory for contexts from somewhere else than the Filter Manager's lists.

use core::{ffi::c_void, ptr::NonNull};

use fltmgr_sys as sys;
use sys::{FLT_CONTEXT_TYPE, POOL_TYPE, PVOID, SIZE_T};

/// Where the memory of a context comes from, when the driver wants to say.
///
/// Such a context must be the only definition of its kind. Named in
/// [`contexts!`](crate::contexts): `contexts! { Filter: Type => Allocator }`.
///
/// DDI: `PFLT_CONTEXT_ALLOCATE_CALLBACK`, `PFLT_CONTEXT_FREE_CALLBACK`.
///
/// # Safety
///
/// [`Allocator::allocate`] returns memory of the asked size from the asked pool, aligned to 16
/// bytes, that nobody else uses until [`Allocator::free`] gets it back.
pub unsafe trait Allocator: 'static {
    /// Fails to compile when the allocator cannot be used; evaluated where it is declared.
    #[doc(hidden)]
    const CHECKED: () = ();

    /// Allocates `size` bytes: the Filter Manager's own header and the context. `None` when there
    /// is no memory.
    ///
    /// IRQL: at most `APC_LEVEL`.
    fn allocate(pool: POOL_TYPE, size: usize, kind: FLT_CONTEXT_TYPE) -> Option<NonNull<c_void>>;

    /// Frees what [`Allocator::allocate`] returned.
    ///
    /// IRQL: at most `APC_LEVEL`.
    ///
    /// # Safety
    ///
    /// `memory` comes from [`Allocator::allocate`], once.
    unsafe fn free(memory: NonNull<c_void>, kind: FLT_CONTEXT_TYPE);
}

/// Memory straight from the pool, charged to the driver: shows up under `TAG` (as
/// [`PoolTag::into_raw`](super::PoolTag::into_raw) gives it) in the driver's own pool tracking,
/// where Driver Verifier watches it.
pub enum PoolAllocator<const TAG: u32> {}

// SAFETY: pool memory has the asked size and 16-byte alignment and is the caller's until freed.
unsafe impl<const TAG: u32> Allocator for PoolAllocator<TAG> {
    const CHECKED: () = {
        let _ = super::PoolTag::new(TAG.to_le_bytes());
    };

    fn allocate(pool: POOL_TYPE, size: usize, _kind: FLT_CONTEXT_TYPE) -> Option<NonNull<c_void>> {
        // SAFETY: the IRQL is at most APC_LEVEL, and the tag is a `PoolTag`'s, so not zero.
        NonNull::new(unsafe { sys::ExAllocatePoolWithTag(pool, size as SIZE_T, TAG) })
    }

    unsafe fn free(memory: NonNull<c_void>, _kind: FLT_CONTEXT_TYPE) {
        // SAFETY: the caller hands back what the pool returned, under the same tag.
        unsafe { sys::ExFreePoolWithTag(memory.as_ptr(), TAG) }
    }
}

sys::fltapi! {
    /// `ContextAllocateCallback`.
    pub(super) unsafe fn allocate<A: Allocator>(
        pool: POOL_TYPE,
        size: SIZE_T,
        kind: FLT_CONTEXT_TYPE,
    ) -> PVOID {
        usize::try_from(size)
            .ok()
            .and_then(|size| A::allocate(pool, size, kind))
            .map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    /// `ContextFreeCallback`.
    pub(super) unsafe fn free<A: Allocator>(memory: PVOID, kind: FLT_CONTEXT_TYPE) {
        if let Some(memory) = NonNull::new(memory) {
            // SAFETY: the Filter Manager hands back what `allocate` returned, once.
            unsafe { A::free(memory, kind) }
        }
    }
}
