//! Executive resources.

use core::{
    cell::UnsafeCell,
    fmt,
    marker::PhantomPinned,
    panic::{RefUnwindSafe, UnwindSafe},
};

use fltmgr_sys as sys;

use super::{ReadGuard, ReadWriteLock, WriteGuard, sealed};
use crate::{
    context::{InPlace, by_closure},
    irql::{ApcOrBelow, UsableAtDispatch},
    pool::Pageable,
};

/// A reader-writer lock that knows its owners (`ERESOURCE`): what file systems use, and what a
/// debugger shows (`!locks`).
///
/// * Pool: nonpaged; it is linked into a list of the system, so it never moves. 104 bytes.
/// * IRQL: acquired and deleted at `APC_LEVEL` or below, released at up to `DISPATCH_LEVEL`; it
///   leaves the IRQL as it is and holds normal kernel APCs off. The value may be paged data. Nothing
///   that owns a resource is the payload of an operation that may complete at `DISPATCH_LEVEL`.
/// * Fairness: a waiting writer goes before readers that come later, except those that hold the
///   lock already.
/// * Recursion: the kernel would let a thread in again. Two `&mut` to the value would follow, so
///   the lock asks first and returns [`AlreadyHeld`]; a thread that has a read guard may have
///   another.
///
/// DDI: `ExInitializeResourceLite`, `FltAcquireResourceShared`, `FltAcquireResourceExclusive`,
/// `FltReleaseResource`, `ExDeleteResourceLite`.
///
/// # Invariants
///
/// `raw` is an initialised resource and stays where it is; `value` is only touched by a thread
/// that holds it.
pub struct Resource<T> {
    raw: UnsafeCell<sys::ERESOURCE>,
    value: UnsafeCell<T>,
    _pinned: PhantomPinned,
}

// SAFETY: a resource that nobody holds, which is one that can be dropped, belongs to no thread;
// its value goes with it.
unsafe impl<T: Send> Send for Resource<T> {}
// SAFETY: the lock lets in many threads with `&T`, or one, any, with `&mut T`.
unsafe impl<T: Send + Sync> Sync for Resource<T> {}

// Nonpaged, and deleted at `APC_LEVEL` or below: neither trait is about unwinding.
impl<T> UnwindSafe for Resource<T> where Self: Pageable {}
impl<T> RefUnwindSafe for Resource<T> where Self: UsableAtDispatch {}

/// The thread holds the resource already, in a way that does not go with what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyHeld;

impl fmt::Display for AlreadyHeld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this thread holds the resource already")
    }
}

impl core::error::Error for AlreadyHeld {}

impl<T> Resource<T> {
    /// The recipe of an unlocked resource around `value`.
    ///
    /// DDI: `ExInitializeResourceLite`.
    pub fn new(value: T) -> impl InPlace<Self> {
        let write = move |place: *mut Self| {
            // SAFETY: the field is part of the place.
            let field = unsafe { &raw mut (*place).value };
            // SAFETY: the place may be written.
            unsafe { field.write(UnsafeCell::new(value)) };
            // SAFETY: as for the value.
            let raw = unsafe { &raw mut (*place).raw };
            // SAFETY: as above; a resource is plain data, for which zeroes are valid.
            unsafe { raw.write_bytes(0, 1) };
            // SAFETY: the memory is a resource's, stays where it is until it is dropped, and is
            // not paged: a context with this field is not, nor is a `PoolBox`. The status is
            // documented to be success.
            let _success = unsafe { sys::ExInitializeResourceLite(raw.cast()) };
        };
        // SAFETY: the closure writes both fields that have a size. INVARIANT: and initialises the
        // resource.
        unsafe { by_closure(write) }
    }

    /// Waits until no other thread holds the resource exclusively, and holds it shared.
    ///
    /// # Errors
    ///
    /// [`AlreadyHeld`] when this thread holds it exclusively.
    ///
    /// DDI: `FltAcquireResourceShared`. IRQL: at most `APC_LEVEL`.
    pub fn read<'a, I: ApcOrBelow>(
        &'a self,
        irql: &'a I,
    ) -> Result<ReadGuard<'a, Self>, AlreadyHeld> {
        let _ = irql;
        // SAFETY: by the invariant this is a resource; the token proves the IRQL.
        if unsafe { sys::ExIsResourceAcquiredExclusiveLite(self.raw.get()) } != 0 {
            return Err(AlreadyHeld);
        }
        // SAFETY: as above.
        unsafe { sys::FltAcquireResourceShared(self.raw.get()) };
        // SAFETY: acquired just now, by a thread that does not hold it exclusively, and the token
        // is borrowed as long.
        Ok(unsafe { ReadGuard::new(self) })
    }

    /// Waits until no other thread holds the resource, and holds it exclusively.
    ///
    /// # Errors
    ///
    /// [`AlreadyHeld`] when this thread holds it, shared or exclusively.
    ///
    /// DDI: `FltAcquireResourceExclusive`. IRQL: at most `APC_LEVEL`.
    pub fn write<'a, I: ApcOrBelow>(
        &'a self,
        irql: &'a I,
    ) -> Result<WriteGuard<'a, Self>, AlreadyHeld> {
        let _ = irql;
        // SAFETY: as in `read`.
        if unsafe { sys::ExIsResourceAcquiredSharedLite(self.raw.get()) } != 0 {
            return Err(AlreadyHeld);
        }
        // SAFETY: as in `read`.
        unsafe { sys::FltAcquireResourceExclusive(self.raw.get()) };
        // SAFETY: acquired just now, by a thread that did not hold it, and the token is borrowed
        // as long.
        Ok(unsafe { WriteGuard::new(self) })
    }
}

impl<T> sealed::Sealed for Resource<T> {}

impl<T> ReadWriteLock for Resource<T> {
    type Value = T;

    fn value(&self) -> *mut T {
        self.value.get()
    }

    unsafe fn release(&self) {
        // SAFETY: the caller's thread holds the resource and vouches for the IRQL.
        unsafe { sys::FltReleaseResource(self.raw.get()) }
    }
}

impl<T> Drop for Resource<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant this is a resource; nobody will release it any more, because
        // guards borrow it, and one that was forgotten does nothing. What holds it is a context,
        // whose cleanup runs at APC_LEVEL or below, or a box that is dropped there, because a
        // resource is not usable at DISPATCH_LEVEL. Success is documented.
        let _success = unsafe { sys::ExDeleteResourceLite(self.raw.get()) };
    }
}
