//! Spin locks: queued ones, those with readers, and trying.

use super::lock::{acquire, check_level, release, try_acquire};
use super::{exports, here, write};
use crate::kernel::irql;
use crate::kernel::lock::{self, Kind, Mode};
use fltmgr_sys::*;

/// `KLOCK_QUEUE_HANDLE`.
#[repr(C)]
pub(crate) struct Queued {
    next: u64,
    lock: *mut KSPIN_LOCK,
    irql: KIRQL,
}

const _: () = assert!(size_of::<Queued>() == 24);

/// Acquires a lock and raises the level; gives the one from before.
fn raise<T>(call: &'static str, mode: Mode, lock: *mut T) -> KIRQL {
    acquire(call, Kind::SpinLock, mode, lock);
    irql::set(DISPATCH_LEVEL)
}

/// Releases a lock and sets the level.
fn lower<T>(call: &'static str, lock: *mut T, level: KIRQL) {
    check_level(call, DISPATCH_LEVEL);
    if release(call, Kind::SpinLock, lock).is_some() {
        irql::set(level);
    }
}

/// # Safety
/// `handle` is a place for a handle.
unsafe fn fill(handle: *mut Queued, lock: *mut KSPIN_LOCK, irql: KIRQL) {
    let value = Queued {
        next: 0,
        lock,
        irql,
    };
    // SAFETY: by this function's contract.
    unsafe { write(handle, value) };
}

/// What a handle holds.
///
/// # Safety
/// `handle` was filled by an acquiring function.
unsafe fn held(handle: *mut Queued) -> (*mut KSPIN_LOCK, KIRQL) {
    // SAFETY: by this function's contract.
    let handle = unsafe { handle.read() };
    (handle.lock, handle.irql)
}

exports! {
    /// Acquires a spin lock in turn, and raises the level.
    unsafe fn KeAcquireInStackQueuedSpinLock(lock: *mut KSPIN_LOCK, handle: *mut Queued) {
        let level = raise("KeAcquireInStackQueuedSpinLock", Mode::Exclusive, lock);
        // SAFETY: the caller passes a place for a handle.
        unsafe { fill(handle, lock, level) };
    }

    /// Releases it and restores the level.
    unsafe fn KeReleaseInStackQueuedSpinLock(handle: *mut Queued) {
        // SAFETY: the caller passes the handle.
        let (lock, level) = unsafe { held(handle) };
        lower("KeReleaseInStackQueuedSpinLock", lock, level);
    }

    /// Acquires a spin lock in turn, at `DISPATCH_LEVEL`.
    unsafe fn KeAcquireInStackQueuedSpinLockAtDpcLevel(
        lock: *mut KSPIN_LOCK,
        handle: *mut Queued,
    ) {
        const CALL: &str = "KeAcquireInStackQueuedSpinLockAtDpcLevel";
        check_level(CALL, DISPATCH_LEVEL);
        acquire(CALL, Kind::SpinLock, Mode::Exclusive, lock);
        // SAFETY: the caller passes a place for a handle.
        unsafe { fill(handle, lock, irql::current()) };
    }

    /// Releases it and stays at `DISPATCH_LEVEL`.
    unsafe fn KeReleaseInStackQueuedSpinLockFromDpcLevel(handle: *mut Queued) {
        // SAFETY: the caller passes the handle.
        let (lock, _) = unsafe { held(handle) };
        release("KeReleaseInStackQueuedSpinLockFromDpcLevel", Kind::SpinLock, lock);
    }

    /// Acquires a spin lock in a routine that may run as a DPC or as a thread.
    unsafe fn KeAcquireSpinLockForDpc(lock: *mut KSPIN_LOCK) -> KIRQL {
        raise("KeAcquireSpinLockForDpc", Mode::Exclusive, lock)
    }

    /// Releases it and restores the level.
    unsafe fn KeReleaseSpinLockForDpc(lock: *mut KSPIN_LOCK, level: KIRQL) {
        lower("KeReleaseSpinLockForDpc", lock, level);
    }

    /// Initialises a spin lock.
    unsafe fn KeInitializeSpinLock(lock: *mut KSPIN_LOCK) {
        here("KeInitializeSpinLock");
        // SAFETY: the caller passes a place for a lock.
        unsafe { write(lock, 0) };
    }

    /// Acquires a spin lock at `DISPATCH_LEVEL` if it is free.
    unsafe fn KeTryToAcquireSpinLockAtDpcLevel(lock: *mut KSPIN_LOCK) -> BOOLEAN {
        const CALL: &str = "KeTryToAcquireSpinLockAtDpcLevel";
        check_level(CALL, DISPATCH_LEVEL);
        try_acquire(CALL, Kind::SpinLock, Mode::Exclusive, lock)
    }

    /// Whether a spin lock is free.
    unsafe fn KeTestSpinLock(lock: *mut KSPIN_LOCK) -> BOOLEAN {
        here("KeTestSpinLock");
        BOOLEAN::from(lock::is_free(lock as usize))
    }

    /// Acquires a spin lock shared, and raises the level.
    unsafe fn ExAcquireSpinLockShared(lock: *mut LONG) -> KIRQL {
        raise("ExAcquireSpinLockShared", Mode::Shared, lock)
    }

    /// Acquires a spin lock exclusively, and raises the level.
    unsafe fn ExAcquireSpinLockExclusive(lock: *mut LONG) -> KIRQL {
        raise("ExAcquireSpinLockExclusive", Mode::Exclusive, lock)
    }

    /// Releases one that was acquired shared.
    unsafe fn ExReleaseSpinLockShared(lock: *mut LONG, level: KIRQL) {
        lower("ExReleaseSpinLockShared", lock, level);
    }

    /// Releases one that was acquired exclusively.
    unsafe fn ExReleaseSpinLockExclusive(lock: *mut LONG, level: KIRQL) {
        lower("ExReleaseSpinLockExclusive", lock, level);
    }

    /// Acquires a spin lock shared, at `DISPATCH_LEVEL`.
    unsafe fn ExAcquireSpinLockSharedAtDpcLevel(lock: *mut LONG) {
        const CALL: &str = "ExAcquireSpinLockSharedAtDpcLevel";
        check_level(CALL, DISPATCH_LEVEL);
        acquire(CALL, Kind::SpinLock, Mode::Shared, lock);
    }

    /// Acquires a spin lock exclusively, at `DISPATCH_LEVEL`.
    unsafe fn ExAcquireSpinLockExclusiveAtDpcLevel(lock: *mut LONG) {
        const CALL: &str = "ExAcquireSpinLockExclusiveAtDpcLevel";
        check_level(CALL, DISPATCH_LEVEL);
        acquire(CALL, Kind::SpinLock, Mode::Exclusive, lock);
    }

    /// Acquires a spin lock shared, at `DISPATCH_LEVEL`, if it can be had.
    unsafe fn ExTryAcquireSpinLockSharedAtDpcLevel(lock: *mut LONG) -> ULONG {
        const CALL: &str = "ExTryAcquireSpinLockSharedAtDpcLevel";
        check_level(CALL, DISPATCH_LEVEL);
        try_acquire(CALL, Kind::SpinLock, Mode::Shared, lock).into()
    }

    /// Acquires a spin lock exclusively, at `DISPATCH_LEVEL`, if it can be had.
    unsafe fn ExTryAcquireSpinLockExclusiveAtDpcLevel(lock: *mut LONG) -> ULONG {
        const CALL: &str = "ExTryAcquireSpinLockExclusiveAtDpcLevel";
        check_level(CALL, DISPATCH_LEVEL);
        try_acquire(CALL, Kind::SpinLock, Mode::Exclusive, lock).into()
    }

    /// Releases one that was acquired shared, and stays at `DISPATCH_LEVEL`.
    unsafe fn ExReleaseSpinLockSharedFromDpcLevel(lock: *mut LONG) {
        release("ExReleaseSpinLockSharedFromDpcLevel", Kind::SpinLock, lock);
    }

    /// Releases one that was acquired exclusively, and stays at `DISPATCH_LEVEL`.
    unsafe fn ExReleaseSpinLockExclusiveFromDpcLevel(lock: *mut LONG) {
        release("ExReleaseSpinLockExclusiveFromDpcLevel", Kind::SpinLock, lock);
    }

    /// Makes a spin lock exclusive that only this thread holds shared.
    unsafe fn ExTryConvertSharedSpinLockExclusive(lock: *mut LONG) -> ULONG {
        here("ExTryConvertSharedSpinLockExclusive");
        ULONG::from(lock::try_own(lock as usize))
    }
}
