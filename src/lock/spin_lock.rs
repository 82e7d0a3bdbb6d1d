//! Spin locks.

use core::{
    cell::UnsafeCell,
    ops::{Deref, DerefMut},
    panic::{RefUnwindSafe, UnwindSafe},
};

use fltmgr_sys as sys;
use sys::KIRQL;

use super::ForOtherThreads;
use crate::{
    irql::{AtMostDispatch, Ceiling, UsableAt},
    pool::Pageable,
};

/// A mutual exclusion lock that raises the IRQL to `DISPATCH_LEVEL`: for a few instructions on
/// plain data, and the only lock that a plain post-operation callback can acquire.
///
/// * Pool: nonpaged. One pointer's size; it may move while nobody holds it.
/// * IRQL: acquired at `DISPATCH_LEVEL` or below, held at `DISPATCH_LEVEL`: no paged memory, no
///   get, set or delete of contexts, no waiting. The guard borrows the callback's token mutably,
///   so that no such access compiles while it lives; the value must be usable there
///   ([`UsableAt`]). One thing is left to the driver: it must not clone or drop, under the lock, a
///   handle to a paged context that it got before.
/// * Fairness: none is promised.
/// * Recursion: a thread that acquires it again spins for ever.
///
/// DDI: `KeInitializeSpinLock`, `KeAcquireSpinLockRaiseToDpc`, `KeReleaseSpinLock`.
///
/// # Invariants
///
/// `raw` is a spin lock; `value` is only touched by the thread that holds it.
pub struct SpinLock<T> {
    raw: UnsafeCell<sys::KSPIN_LOCK>,
    value: UnsafeCell<T>,
}

// SAFETY: a lock that can be moved is one that nobody holds, because guards borrow it; its value
// goes with it.
unsafe impl<T: Send> Send for SpinLock<T> {}
// SAFETY: the lock lets in one thread at a time, any, with `&mut T`.
unsafe impl<T: Send> Sync for SpinLock<T> {}

// Nonpaged, and nothing to delete: neither trait is about unwinding.
impl<T> UnwindSafe for SpinLock<T> where Self: Pageable {}
impl<T: RefUnwindSafe> RefUnwindSafe for SpinLock<T> {}

impl<T: UsableAt<AtMostDispatch>> SpinLock<T> {
    /// An unlocked lock around `value`.
    ///
    /// DDI: `KeInitializeSpinLock`.
    pub const fn new(value: T) -> Self {
        // INVARIANT: zero is an unlocked spin lock.
        Self {
            raw: UnsafeCell::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// Spins until no thread holds the lock, raises the IRQL to `DISPATCH_LEVEL` and holds it.
    ///
    /// DDI: `KeAcquireSpinLockRaiseToDpc`. IRQL: at most `DISPATCH_LEVEL`.
    pub fn lock<'a, I: Ceiling>(&'a self, irql: &'a mut I) -> SpinGuard<'a, T> {
        let _ = irql;
        // SAFETY: by the invariant this is a spin lock; every token proves that the IRQL is at
        // most DISPATCH_LEVEL.
        let before = unsafe { sys::KeAcquireSpinLockRaiseToDpc(self.raw.get()) };
        // INVARIANT: acquired just now, from that IRQL.
        SpinGuard {
            lock: self,
            before,
            // SAFETY: the IRQL is DISPATCH_LEVEL until the guard is dropped.
            irql: unsafe { AtMostDispatch::assert() },
        }
    }

    /// Runs `act` under the lock, with a token for the raised IRQL.
    ///
    /// DDI and IRQL: as for [`SpinLock::lock`].
    pub fn with<I: Ceiling, R>(
        &self,
        irql: &mut I,
        act: impl FnOnce(&mut T, &mut AtMostDispatch) -> R,
    ) -> R {
        let mut guard = self.lock(irql);
        let (value, irql) = guard.parts();
        act(value, irql)
    }

    /// The value of a lock that nobody else can reach.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

/// A spin lock that is held, at `DISPATCH_LEVEL`: `&mut` to its value. Released when dropped.
///
/// # Invariants
///
/// This thread has acquired the lock, for this value, from the IRQL `before`.
#[must_use = "the lock is released when the guard is dropped"]
pub struct SpinGuard<'a, T> {
    lock: &'a SpinLock<T>,
    before: KIRQL,
    irql: AtMostDispatch,
}

// SAFETY: the bound never holds.
unsafe impl<T> Send for SpinGuard<'_, T> where Self: ForOtherThreads {}

impl<T> SpinGuard<'_, T> {
    /// The value, and a proof to lend to a spin lock that is acquired under this one.
    #[must_use]
    pub fn parts(&mut self) -> (&mut T, &mut AtMostDispatch) {
        // SAFETY: as for `deref_mut`.
        (unsafe { &mut *self.lock.value.get() }, &mut self.irql)
    }
}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: by the invariant the lock is held while `self` lives, so the only borrows of the
        // value are those of `self`.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for SpinGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`, and `self` is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for SpinGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant this thread holds the lock, acquired from that IRQL; locks that
        // were acquired under it have borrowed this guard and are released.
        unsafe { sys::KeReleaseSpinLock(self.lock.raw.get(), self.before) }
    }
}
