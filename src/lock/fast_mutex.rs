//! Fast mutexes.

use core::{
    cell::UnsafeCell,
    marker::PhantomPinned,
    ops::{Deref, DerefMut},
    panic::{RefUnwindSafe, UnwindSafe},
};

use fltmgr_sys as sys;

use super::ForOtherThreads;
use crate::{
    context::{InPlace, by_closure},
    irql::{ApcOrBelow, AtMostApc, Ceiling as _, UsableAtDispatch},
    pool::Pageable,
};

/// A mutual exclusion lock that raises the IRQL to `APC_LEVEL`.
///
/// * Pool: nonpaged; it holds an event, so it never moves. 56 bytes.
/// * IRQL: acquired at `APC_LEVEL` or below, held at `APC_LEVEL`, where no APC interrupts the
///   thread. Contexts may be touched under it, with the token that the guard lends; the value may
///   be paged data.
/// * Fairness: none is promised.
/// * Recursion: a thread that acquires it again waits for itself, for ever.
///
/// DDI: `ExInitializeFastMutex`, `ExAcquireFastMutex`, `ExReleaseFastMutex`.
///
/// # Invariants
///
/// `raw` is an initialised fast mutex and stays where it is; `value` is only touched by the thread
/// that holds it.
pub struct FastMutex<T> {
    raw: UnsafeCell<sys::FAST_MUTEX>,
    value: UnsafeCell<T>,
    _pinned: PhantomPinned,
}

// SAFETY: a mutex that nobody holds, which is one that can be dropped, belongs to no thread; its
// value goes with it.
unsafe impl<T: Send> Send for FastMutex<T> {}
// SAFETY: the lock lets in one thread at a time, any, with `&mut T`.
unsafe impl<T: Send> Sync for FastMutex<T> {}

// Nonpaged, and nothing to delete: neither trait is about unwinding.
impl<T> UnwindSafe for FastMutex<T> where Self: Pageable {}
impl<T: RefUnwindSafe> RefUnwindSafe for FastMutex<T> {}

impl<T> FastMutex<T> {
    /// The recipe of an unlocked mutex around `value`.
    ///
    /// DDI: `ExInitializeFastMutex`.
    pub fn new(value: T) -> impl InPlace<Self> {
        let write = move |place: *mut Self| {
            // SAFETY: the field is part of the place.
            let field = unsafe { &raw mut (*place).value };
            // SAFETY: the place may be written.
            unsafe { field.write(UnsafeCell::new(value)) };
            // SAFETY: a fast mutex is plain data, for which zeroes are valid: no owner, no contention.
            let mut unlocked: sys::FAST_MUTEX = unsafe { core::mem::zeroed() };
            unlocked.Count = 1;
            // SAFETY: the field is part of the place.
            let raw: *mut sys::FAST_MUTEX = unsafe { &raw mut (*place).raw }.cast();
            // SAFETY: the place may be written.
            unsafe { raw.write(unlocked) };
            // SAFETY: the event is part of the mutex.
            let event = unsafe { &raw mut (*raw).Event };
            // SAFETY: the memory is an event's, stays where it is, and is not paged: a context with
            // this field is not, nor is a `PoolBox`.
            unsafe { sys::KeInitializeEvent(event, sys::SynchronizationEvent, 0) };
        };
        // SAFETY: the closure writes both fields that have a size. INVARIANT: as the inline
        // routine of the C headers does.
        unsafe { by_closure(write) }
    }

    /// Waits until no thread holds the mutex, raises the IRQL to `APC_LEVEL` and holds it.
    ///
    /// DDI: `ExAcquireFastMutex`. IRQL: at most `APC_LEVEL`.
    pub fn lock<'a, I: ApcOrBelow>(&'a self, irql: &'a mut I) -> FastMutexGuard<'a, T> {
        let _ = irql;
        // SAFETY: by the invariant this is a fast mutex; the token proves the IRQL.
        unsafe { sys::ExAcquireFastMutex(self.raw.get()) };
        // INVARIANT: acquired just now.
        FastMutexGuard {
            mutex: self,
            // SAFETY: the IRQL is APC_LEVEL until the guard is dropped, or a lock that borrows this
            // token raises it.
            irql: unsafe { AtMostApc::assert() },
        }
    }

    /// Runs `act` under the mutex, with a token for the raised IRQL.
    ///
    /// DDI and IRQL: as for [`FastMutex::lock`].
    pub fn with<I: ApcOrBelow, R>(
        &self,
        irql: &mut I,
        act: impl FnOnce(&mut T, &mut AtMostApc) -> R,
    ) -> R {
        let mut guard = self.lock(irql);
        let (value, irql) = guard.parts();
        act(value, irql)
    }
}

/// A fast mutex that is held, at `APC_LEVEL`: `&mut` to its value. Released when dropped.
///
/// # Invariants
///
/// This thread has acquired the mutex, for this value.
#[must_use = "the mutex is released when the guard is dropped"]
pub struct FastMutexGuard<'a, T> {
    mutex: &'a FastMutex<T>,
    irql: AtMostApc,
}

// SAFETY: the bound never holds.
unsafe impl<T> Send for FastMutexGuard<'_, T> where Self: ForOtherThreads {}
impl<T> RefUnwindSafe for FastMutexGuard<'_, T> where Self: UsableAtDispatch {}

impl<T> FastMutexGuard<'_, T> {
    /// Proof that the IRQL is at most `APC_LEVEL`.
    #[must_use]
    pub fn irql(&self) -> &AtMostApc {
        &self.irql
    }

    /// The value, and the proof to lend to a lock that is acquired under this one.
    #[must_use]
    pub fn parts(&mut self) -> (&mut T, &mut AtMostApc) {
        // SAFETY: as for `deref_mut`.
        (unsafe { &mut *self.mutex.value.get() }, &mut self.irql)
    }
}

impl<T> Deref for FastMutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: by the invariant the mutex is held while `self` lives, so the only borrows of
        // the value are those of `self`.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for FastMutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`, and `self` is borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for FastMutexGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant this thread holds the mutex, so the IRQL is APC_LEVEL: locks
        // that were acquired under it have borrowed this guard and are released.
        unsafe { sys::ExReleaseFastMutex(self.mutex.raw.get()) }
    }
}
