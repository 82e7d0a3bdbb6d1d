//! Values in nonpaged pool.

use core::{
    fmt,
    marker::PhantomData,
    mem::{ManuallyDrop, align_of, size_of},
    ops::{Deref, DerefMut},
    panic::{RefUnwindSafe, UnwindSafe},
    ptr::NonNull,
};

use fltmgr_sys as sys;

use crate::{PoolTag, Status, context::InPlace};

/// What the pool aligns to on every Windows of this pointer width.
const POOL_ALIGNMENT: usize = 2 * size_of::<usize>();

/// Pool takes any tag that is not zero to free; zero fits every allocation, as in `ExFreePool`.
const ANY_TAG: sys::ULONG = 0;

/// A value of its own in nonpaged pool: an owned pointer.
///
/// One pointer wide, and `Option<PoolBox<T>>` too, so it is a completion payload for whatever does
/// not fit a pointer, if `T` may be dropped where the post-operation callback runs
/// ([`UsableAt`](crate::irql::UsableAt)). A context in paged pool can keep a lock in it.
///
/// IRQL: at most `DISPATCH_LEVEL` to make, touch and drop, as far as `T` goes along.
///
/// The memory comes from `ExAllocatePoolWithTag` with `NonPagedPoolNx`: present since Windows 8, so
/// not for a driver whose [`Minifilter::WINDOWS`](crate::registration::Minifilter::WINDOWS) is
/// older. `ExAllocatePool2` needs Windows 10, version 2004, and as an import would keep the driver
/// from loading before. Its zeroing is not missed, since the value is written at once.
///
/// DDI: `ExAllocatePoolWithTag`, `ExFreePoolWithTag`.
///
/// # Invariants
///
/// `value` points to a `T` in a pool allocation of its own, which nobody else owns.
pub struct PoolBox<T> {
    value: NonNull<T>,
    owns: PhantomData<T>,
}

// SAFETY: the box owns its `T`, and pool is freed on any thread.
unsafe impl<T: Send> Send for PoolBox<T> {}
// SAFETY: `&PoolBox<T>` gives `&T`.
unsafe impl<T: Sync> Sync for PoolBox<T> {}

impl<T> Unpin for PoolBox<T> {}

// The value is nonpaged wherever the box is, and usable where it is usable itself: neither trait
// is about unwinding.
impl<T> UnwindSafe for PoolBox<T> {}
impl<T: RefUnwindSafe> RefUnwindSafe for PoolBox<T> {}

/// There is no memory for a [`PoolBox`]; the value is returned.
pub struct PoolBoxError<T> {
    /// The value that was to be kept.
    pub value: T,
}

impl<T> fmt::Debug for PoolBoxError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBoxError").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for PoolBoxError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no nonpaged pool for this value")
    }
}

impl<T> core::error::Error for PoolBoxError<T> {}

impl<T> From<PoolBoxError<T>> for Status {
    fn from(_: PoolBoxError<T>) -> Self {
        Self::INSUFFICIENT_RESOURCES
    }
}

impl<T> PoolBox<T> {
    /// Memory for a `T`, uninitialised.
    fn reserve(tag: PoolTag) -> Option<NonNull<T>> {
        const {
            assert!(
                align_of::<T>() <= POOL_ALIGNMENT,
                "pool is aligned to two pointers: this value asks for more"
            );
        }
        let size = size_of::<T>().max(1) as sys::SIZE_T;
        // SAFETY: safe code runs at DISPATCH_LEVEL at most, and neither size nor tag is zero.
        let memory =
            unsafe { sys::ExAllocatePoolWithTag(sys::NonPagedPoolNx, size, tag.into_raw()) };
        NonNull::new(memory.cast())
    }

    /// Moves `value` into memory of its own.
    ///
    /// # Errors
    ///
    /// The value comes back when there is no memory (`STATUS_INSUFFICIENT_RESOURCES`).
    ///
    /// DDI: `ExAllocatePoolWithTag`. IRQL: at most `DISPATCH_LEVEL`.
    pub fn try_new(tag: PoolTag, value: T) -> Result<Self, PoolBoxError<T>> {
        let Some(place) = Self::reserve(tag) else {
            return Err(PoolBoxError { value });
        };
        // SAFETY: the memory is fresh, large enough and aligned, as `reserve` checks.
        unsafe { place.write(value) };
        // INVARIANT: allocated and filled just now.
        Ok(Self {
            value: place,
            owns: PhantomData,
        })
    }

    /// Builds a value that may not move in memory of its own, e.g. a [lock](crate::lock).
    ///
    /// # Errors
    ///
    /// `STATUS_INSUFFICIENT_RESOURCES`; the recipe is dropped unused.
    ///
    /// IRQL: at most `APC_LEVEL`, which is where recipes run.
    pub fn try_new_in_place<I: crate::irql::ApcOrBelow>(
        tag: PoolTag,
        recipe: impl InPlace<T>,
        irql: &I,
    ) -> Result<Self, Status> {
        let _ = irql;
        let Some(place) = Self::reserve(tag) else {
            return Err(Status::INSUFFICIENT_RESOURCES);
        };
        // SAFETY: as in `try_new`; the value stays there, because the box gives no `&mut` to a
        // type that is not `Unpin`.
        unsafe { recipe.write(place.as_ptr()) };
        // INVARIANT: allocated and filled just now.
        Ok(Self {
            value: place,
            owns: PhantomData,
        })
    }

    /// The value, moved out of its memory.
    #[must_use]
    pub fn into_inner(this: Self) -> T
    where
        T: Unpin,
    {
        let place = ManuallyDrop::new(this).value;
        // SAFETY: by the invariant there is a `T`, which is not used there again.
        let value = unsafe { place.read() };
        // SAFETY: by the invariant a pool allocation that nobody else owns.
        unsafe { sys::ExFreePoolWithTag(place.as_ptr().cast(), ANY_TAG) };
        value
    }

    /// Gives up the box and keeps its memory.
    pub(crate) fn into_raw(self) -> NonNull<T> {
        ManuallyDrop::new(self).value
    }

    /// Takes a box back.
    ///
    /// # Safety
    ///
    /// `value` comes from [`PoolBox::into_raw`], once.
    pub(crate) unsafe fn from_raw(value: NonNull<T>) -> Self {
        // INVARIANT: that of the box that became `value`.
        Self {
            value,
            owns: PhantomData,
        }
    }
}

impl<T> Deref for PoolBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: by the invariant it points to a `T` that `self` owns.
        unsafe { self.value.as_ref() }
    }
}

impl<T: Unpin> DerefMut for PoolBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`, and `self` is borrowed mutably.
        unsafe { self.value.as_mut() }
    }
}

impl<T> Drop for PoolBox<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant there is a `T`, owned by `self`, which ends.
        unsafe { self.value.drop_in_place() };
        // SAFETY: by the invariant a pool allocation that nobody else owns.
        unsafe { sys::ExFreePoolWithTag(self.value.as_ptr().cast(), ANY_TAG) };
    }
}

impl<T: fmt::Debug> fmt::Debug for PoolBox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
