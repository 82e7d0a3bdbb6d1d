//! What is more to mutexes and push locks: trying, and the kernel's own push locks.

use super::critical_region::{KeEnterCriticalRegion, KeLeaveCriticalRegion};
use super::lock::{acquire, release, try_acquire};
use super::{exports, here, write};
use crate::kernel::irql;
use crate::kernel::lock::{Kind, Mode};
use fltmgr_sys::*;

exports! {
    /// Acquires a fast mutex and raises the IRQL, if it is free.
    unsafe fn ExTryToAcquireFastMutex(mutex: *mut FAST_MUTEX) -> BOOLEAN {
        const CALL: &str = "ExTryToAcquireFastMutex";
        let taken = try_acquire(CALL, Kind::FastMutex, Mode::Exclusive, mutex);
        if taken != 0 {
            irql::set(APC_LEVEL);
        }
        taken
    }

    /// Acquires a guarded mutex if it is free.
    unsafe fn KeTryToAcquireGuardedMutex(mutex: *mut FAST_MUTEX) -> BOOLEAN {
        try_acquire("KeTryToAcquireGuardedMutex", Kind::FastMutex, Mode::Exclusive, mutex)
    }

    /// Acquires a guarded mutex in a guarded region.
    unsafe fn KeAcquireGuardedMutexUnsafe(mutex: *mut FAST_MUTEX) {
        acquire("KeAcquireGuardedMutexUnsafe", Kind::FastMutex, Mode::Exclusive, mutex);
    }

    /// Releases a guarded mutex that was acquired so.
    unsafe fn KeReleaseGuardedMutexUnsafe(mutex: *mut FAST_MUTEX) {
        release("KeReleaseGuardedMutexUnsafe", Kind::FastMutex, mutex);
    }

    /// Enters a guarded region: no asynchronous procedure call comes, as none ever does here.
    unsafe fn KeEnterGuardedRegion() {
        here("KeEnterGuardedRegion");
        // SAFETY: it has no preconditions.
        unsafe { KeEnterCriticalRegion() };
    }

    /// Leaves a guarded region.
    unsafe fn KeLeaveGuardedRegion() {
        here("KeLeaveGuardedRegion");
        // SAFETY: the thread is in the region.
        unsafe { KeLeaveCriticalRegion() };
    }

    /// Initialises a push lock of the kernel.
    unsafe fn ExInitializePushLock(push_lock: PEX_PUSH_LOCK) {
        here("ExInitializePushLock");
        // SAFETY: the caller passes memory for a push lock.
        unsafe { write(push_lock, EX_PUSH_LOCK { Value: 0 }) };
    }

    /// Acquires a push lock exclusively.
    unsafe fn ExAcquirePushLockExclusiveEx(push_lock: PEX_PUSH_LOCK, _flags: ULONG) {
        const CALL: &str = "ExAcquirePushLockExclusiveEx";
        acquire(CALL, Kind::KernelPushLock, Mode::Exclusive, push_lock);
    }

    /// Acquires a push lock shared.
    unsafe fn ExAcquirePushLockSharedEx(push_lock: PEX_PUSH_LOCK, _flags: ULONG) {
        const CALL: &str = "ExAcquirePushLockSharedEx";
        acquire(CALL, Kind::KernelPushLock, Mode::Shared, push_lock);
    }

    /// Releases a push lock that was acquired exclusively.
    unsafe fn ExReleasePushLockExclusiveEx(push_lock: PEX_PUSH_LOCK, _flags: ULONG) {
        release("ExReleasePushLockExclusiveEx", Kind::KernelPushLock, push_lock);
    }

    /// Releases a push lock that was acquired shared.
    unsafe fn ExReleasePushLockSharedEx(push_lock: PEX_PUSH_LOCK, _flags: ULONG) {
        release("ExReleasePushLockSharedEx", Kind::KernelPushLock, push_lock);
    }

    /// Releases a push lock, however it was acquired.
    unsafe fn ExReleasePushLockEx(push_lock: PEX_PUSH_LOCK, _flags: ULONG) {
        release("ExReleasePushLockEx", Kind::KernelPushLock, push_lock);
    }
}
