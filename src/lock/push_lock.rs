//! Push locks.

use core::{
    cell::UnsafeCell,
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

/// A reader-writer lock of one pointer's size: the usual lock of a context.
///
/// * Pool: nonpaged.
/// * IRQL: created, acquired, released and dropped at `APC_LEVEL` or below; it leaves the IRQL as
///   it is and holds normal kernel APCs off. The value may be paged data.
/// * Fairness: a waiting writer goes before readers that come later.
/// * Recursion: a thread that acquires it again waits for itself, for ever. Two `read`s of one
///   thread do so as soon as a writer waits between them.
///
/// DDI: `FltInitializePushLock`, `FltAcquirePushLockShared`, `FltAcquirePushLockExclusive`,
/// `FltReleasePushLock`, `FltDeletePushLock`.
///
/// # Invariants
///
/// `raw` is an initialised push lock and stays where it is; `value` is only touched by a thread
/// that holds it.
pub struct PushLock<T> {
    raw: UnsafeCell<sys::EX_PUSH_LOCK>,
    value: UnsafeCell<T>,
    _pinned: PhantomPinned,
}

// SAFETY: a lock that nobody holds, which is one that can be dropped, belongs to no thread; its
// value goes with it.
unsafe impl<T: Send> Send for PushLock<T> {}
// SAFETY: the lock lets in many threads with `&T`, or one, any, with `&mut T`.
unsafe impl<T: Send + Sync> Sync for PushLock<T> {}

// Nonpaged, and deleted at `APC_LEVEL` or below: neither trait is about unwinding.
impl<T> UnwindSafe for PushLock<T> where Self: Pageable {}
impl<T> RefUnwindSafe for PushLock<T> where Self: UsableAtDispatch {}

impl<T> PushLock<T> {
    /// The recipe of an unlocked lock around `value`.
    ///
    /// DDI: `FltInitializePushLock`.
    pub fn new(value: T) -> impl InPlace<Self> {
        let write = move |place: *mut Self| {
            // SAFETY: the field is part of the place.
            let field = unsafe { &raw mut (*place).value };
            // SAFETY: the place may be written.
            unsafe { field.write(UnsafeCell::new(value)) };
            // SAFETY: as for the value.
            let raw = unsafe { &raw mut (*place).raw };
            let unlocked = UnsafeCell::new(sys::EX_PUSH_LOCK { Value: 0 });
            // SAFETY: as above.
            unsafe { raw.write(unlocked) };
            // SAFETY: the memory is a push lock's, stays where it is, and is not paged: a context
            // with this field is not, nor is a `PoolBox`. Recipes run at APC_LEVEL or below.
            unsafe { sys::FltInitializePushLock(raw.cast()) };
        };
        // SAFETY: the closure writes both fields that have a size. INVARIANT: and initialises the
        // lock.
        unsafe { by_closure(write) }
    }

    /// Waits until no thread holds the lock exclusively, and holds it shared.
    ///
    /// DDI: `FltAcquirePushLockShared`. IRQL: at most `APC_LEVEL`.
    pub fn read<'a, I: ApcOrBelow>(&'a self, irql: &'a I) -> ReadGuard<'a, Self> {
        let _ = irql;
        // SAFETY: by the invariant this is a push lock; the token proves the IRQL.
        unsafe { sys::FltAcquirePushLockShared(self.raw.get()) };
        // SAFETY: acquired just now, which a thread with the lock cannot do again, and the token
        // is borrowed as long.
        unsafe { ReadGuard::new(self) }
    }

    /// Waits until no thread holds the lock, and holds it exclusively.
    ///
    /// DDI: `FltAcquirePushLockExclusive`. IRQL: at most `APC_LEVEL`.
    pub fn write<'a, I: ApcOrBelow>(&'a self, irql: &'a I) -> WriteGuard<'a, Self> {
        let _ = irql;
        // SAFETY: as in `read`.
        unsafe { sys::FltAcquirePushLockExclusive(self.raw.get()) };
        // SAFETY: as in `read`.
        unsafe { WriteGuard::new(self) }
    }
}

impl<T> sealed::Sealed for PushLock<T> {}

impl<T> ReadWriteLock for PushLock<T> {
    type Value = T;

    fn value(&self) -> *mut T {
        self.value.get()
    }

    unsafe fn release(&self) {
        // SAFETY: the caller's thread holds the lock and vouches for the IRQL.
        unsafe { sys::FltReleasePushLock(self.raw.get()) }
    }
}

impl<T> Drop for PushLock<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant this is a push lock; nobody will release it any more, because
        // guards borrow it, and one that was forgotten does nothing.
        // Cleanup callbacks run at APC_LEVEL or below, and a `PoolBox` that holds one does not get
        // higher (`UsableAt`).
        unsafe { sys::FltDeletePushLock(self.raw.get()) }
    }
}
