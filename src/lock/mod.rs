//! Locks that own what they protect, for contexts.
//!
//! | lock | acquired at | held at | readers share | DDI |
//! |---|---|---|---|---|
//! | [`PushLock`] | at most `APC_LEVEL` | unchanged | yes | `FltAcquirePushLockShared`, `FltAcquirePushLockExclusive` |
//! | [`Resource`] | at most `APC_LEVEL` | unchanged | yes | `FltAcquireResourceShared`, `FltAcquireResourceExclusive` |
//! | [`FastMutex`] | at most `APC_LEVEL` | `APC_LEVEL` | no | `ExAcquireFastMutex` |
//! | [`SpinLock`] | at most `DISPATCH_LEVEL` | `DISPATCH_LEVEL` | no | `KeAcquireSpinLockRaiseToDpc` |
//!
//! **Pool.** All of them must live in nonpaged memory. A context in `pool::Paged` that holds one
//! does not compile ([`CanHold`](crate::pool::CanHold)); it can own a nonpaged context or a
//! [`PoolBox`](crate::PoolBox) with the lock inside.
//!
//! **IRQL.** A lock is acquired with a borrow of the callback's token ([`irql`](crate::irql)) that
//! lasts as long as the guard. Push locks and resources borrow it shared, so everything else goes
//! on under them, except that no lock that raises the IRQL can be acquired. Fast mutexes and spin
//! locks borrow it mutably, by way of `irql_mut` of the callback's object: while their guard
//! lives, nothing that needs the callback's own IRQL compiles. Such a guard lends a token for the
//! raised IRQL, so locks nest, last in, first out.
//!
//! **Thread.** A guard is not `Send`: it is released on the thread that acquired it, so it cannot
//! be the payload of an operation, whose post-operation callback may run on another thread.
//!
//! **Recursion.** No lock can be acquired again by a thread that holds it. What happens is said at
//! each: a [`Resource`] returns an error, the others wait for ever.
//!
//! A guard that is forgotten (`core::mem::forget`) is never released, which no type can prevent:
//! the lock stays held, and with a fast mutex or a spin lock the IRQL stays raised. Their `with`
//! hands out no guard and so cannot be left in this state.
//!
//! Locks that may not move are built where they stay: `new` returns a recipe for
//! [`in_place!`](crate::in_place).
//!
//! ```
//! use fltctx::{in_place, lock::{PushLock, SpinLock}, prelude::*};
//!
//! struct Names {
//!     longest: PushLock<[u16; 64]>,
//!     seen: SpinLock<u64>,
//! }
//!
//! impl Context for Names {
//!     type Kind = kind::Stream;
//!     type Pool = pool::NonPaged;
//!     const TAG: PoolTag = PoolTag::new(*b"ExNm");
//! }
//!
//! fn recipe() -> impl fltctx::context::InPlace<Names> {
//!     in_place!(Names {
//!         longest <- PushLock::new([0; 64]),
//!         seen: SpinLock::new(0),
//!     })
//! }
//! # let _ = recipe();
//! ```

mod fast_mutex;
mod push_lock;
mod resource;
mod spin_lock;

use core::{
    marker::PhantomData,
    ops::{Deref, DerefMut},
    panic::RefUnwindSafe,
};

pub use fast_mutex::{FastMutex, FastMutexGuard};
pub use push_lock::PushLock;
pub use resource::{AlreadyHeld, Resource};
pub use spin_lock::{SpinGuard, SpinLock};

use crate::irql::UsableAtDispatch;

mod sealed {
    pub trait Sealed {}
}

/// What a guard lacks. Nothing implements it: it words the message.
#[diagnostic::on_unimplemented(
    message = "a lock guard stays on the thread that acquired the lock: it cannot be the payload of an operation",
    label = "holds a lock guard",
    note = "release the lock before the callback returns, and acquire it again in the other"
)]
pub(crate) trait ForOtherThreads {}

/// A lock that many readers or one writer hold: [`PushLock`] or [`Resource`].
pub trait ReadWriteLock: sealed::Sealed {
    /// What it protects.
    type Value;

    /// Where the value is.
    #[doc(hidden)]
    fn value(&self) -> *mut Self::Value;

    /// Gives the lock back.
    ///
    /// # Safety
    ///
    /// The calling thread holds the lock, at `APC_LEVEL` or below, and gives up one acquisition.
    #[doc(hidden)]
    unsafe fn release(&self);
}

/// A lock that is held shared: `&` to its value. Released when dropped.
///
/// IRQL: at most `APC_LEVEL`, proved by the borrow.
///
/// # Invariants
///
/// This thread has acquired the lock shared, for this value.
#[must_use = "the lock is released when the guard is dropped"]
pub struct ReadGuard<'a, L: ReadWriteLock> {
    lock: &'a L,
    thread_bound: PhantomData<*mut ()>,
}

// SAFETY: the bound never holds.
unsafe impl<L: ReadWriteLock> Send for ReadGuard<'_, L> where Self: ForOtherThreads {}
impl<L: ReadWriteLock> RefUnwindSafe for ReadGuard<'_, L> where Self: UsableAtDispatch {}

impl<'a, L: ReadWriteLock> ReadGuard<'a, L> {
    /// # Safety
    ///
    /// This thread has just acquired the lock shared, holds it not exclusively, and the IRQL is
    /// at most `APC_LEVEL` during `'a`.
    unsafe fn new(lock: &'a L) -> Self {
        // INVARIANT: what the caller promises.
        Self {
            lock,
            thread_bound: PhantomData,
        }
    }
}

impl<L: ReadWriteLock> Deref for ReadGuard<'_, L> {
    type Target = L::Value;

    fn deref(&self) -> &L::Value {
        // SAFETY: by the invariant the lock is held shared while `self` lives, so nobody has a
        // `&mut` to the value.
        unsafe { &*self.lock.value() }
    }
}

impl<L: ReadWriteLock> Drop for ReadGuard<'_, L> {
    fn drop(&mut self) {
        // SAFETY: by the invariant this thread holds the lock for this guard, which ends; the
        // borrowed token proves the IRQL.
        unsafe { self.lock.release() }
    }
}

/// A lock that is held exclusively: `&mut` to its value. Released when dropped.
///
/// IRQL: at most `APC_LEVEL`, proved by the borrow.
///
/// # Invariants
///
/// This thread has acquired the lock exclusively, once, for this value.
#[must_use = "the lock is released when the guard is dropped"]
pub struct WriteGuard<'a, L: ReadWriteLock> {
    lock: &'a L,
    thread_bound: PhantomData<*mut ()>,
}

// SAFETY: the bound never holds.
unsafe impl<L: ReadWriteLock> Send for WriteGuard<'_, L> where Self: ForOtherThreads {}
impl<L: ReadWriteLock> RefUnwindSafe for WriteGuard<'_, L> where Self: UsableAtDispatch {}

impl<'a, L: ReadWriteLock> WriteGuard<'a, L> {
    /// # Safety
    ///
    /// This thread has just acquired the lock exclusively, did not hold it before, and the IRQL is
    /// at most `APC_LEVEL` during `'a`.
    unsafe fn new(lock: &'a L) -> Self {
        // INVARIANT: what the caller promises.
        Self {
            lock,
            thread_bound: PhantomData,
        }
    }
}

impl<L: ReadWriteLock> Deref for WriteGuard<'_, L> {
    type Target = L::Value;

    fn deref(&self) -> &L::Value {
        // SAFETY: by the invariant the lock is held exclusively while `self` lives, so the only
        // borrows of the value are those of `self`.
        unsafe { &*self.lock.value() }
    }
}

impl<L: ReadWriteLock> DerefMut for WriteGuard<'_, L> {
    fn deref_mut(&mut self) -> &mut L::Value {
        // SAFETY: as for `deref`, and `self` is borrowed mutably.
        unsafe { &mut *self.lock.value() }
    }
}

impl<L: ReadWriteLock> Drop for WriteGuard<'_, L> {
    fn drop(&mut self) {
        // SAFETY: as for `ReadGuard`.
        unsafe { self.lock.release() }
    }
}
