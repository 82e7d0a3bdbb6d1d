//! Locks: push locks and resources, fast mutexes and spin locks.

use super::{exports, here, write};
use crate::kernel::lock::{self, Kind, Mode};
use crate::kernel::{irql, scope};
use crate::verifier::Rule;
use fltmgr_sys::*;

pub(super) fn acquire<T>(call: &'static str, kind: Kind, mode: Mode, lock: *mut T) {
    let machine = here(call);
    let level = irql::current();
    lock::acquire(machine.as_ref(), call, kind, mode, lock as usize, level);
}

/// As [`acquire`], without waiting.
pub(super) fn try_acquire<T>(call: &'static str, kind: Kind, mode: Mode, lock: *mut T) -> BOOLEAN {
    let machine = here(call);
    let level = irql::current();
    let taken = lock::try_acquire(machine.as_ref(), call, kind, mode, lock as usize, level);
    BOOLEAN::from(taken)
}

/// Acquires a resource, waiting only if that is wanted, and gives whether it did.
pub(super) fn acquire_resource(
    call: &'static str,
    mode: Mode,
    resource: *mut ERESOURCE,
    wait: BOOLEAN,
) -> BOOLEAN {
    if wait == 0 {
        return try_acquire(call, Kind::Resource, mode, resource);
    }
    acquire(call, Kind::Resource, mode, resource);
    1
}

pub(super) fn release<T>(call: &'static str, kind: Kind, lock: *mut T) -> Option<KIRQL> {
    let machine = here(call);
    lock::release(machine.as_ref(), call, kind, lock as usize)
}

/// Says that a lock that raised the IRQL is released at a lower level; of a higher one the table
/// speaks.
pub(super) fn check_level(call: &'static str, level: KIRQL) {
    let now = irql::current();
    if now < level
        && let Some(machine) = scope::machine()
    {
        let text = format!("{call} was called at IRQL {now}; the lock had raised it to {level}");
        machine.verifier.violation(Rule::V6, call, text);
    }
}

exports! {
    /// Initialises a push lock.
    unsafe fn FltInitializePushLock(push_lock: PEX_PUSH_LOCK) {
        const CALL: &str = "FltInitializePushLock";
        let machine = here(CALL);
        // SAFETY: the caller passes memory for a push lock.
        unsafe { write(push_lock, EX_PUSH_LOCK { Value: 0 }) };
        lock::initialise(machine.as_ref(), CALL, Kind::PushLock, push_lock as usize);
    }

    /// Deletes a push lock.
    unsafe fn FltDeletePushLock(push_lock: PEX_PUSH_LOCK) {
        const CALL: &str = "FltDeletePushLock";
        let machine = here(CALL);
        lock::delete(machine.as_ref(), CALL, Kind::PushLock, push_lock as usize);
    }

    /// Acquires a push lock exclusively.
    unsafe fn FltAcquirePushLockExclusive(push_lock: PEX_PUSH_LOCK) {
        acquire("FltAcquirePushLockExclusive", Kind::PushLock, Mode::Exclusive, push_lock);
    }

    /// Acquires a push lock exclusively, with flags that change priorities only.
    unsafe fn FltAcquirePushLockExclusiveEx(push_lock: PEX_PUSH_LOCK, _flags: ULONG) {
        acquire("FltAcquirePushLockExclusiveEx", Kind::PushLock, Mode::Exclusive, push_lock);
    }

    /// Acquires a push lock shared.
    unsafe fn FltAcquirePushLockShared(push_lock: PEX_PUSH_LOCK) {
        acquire("FltAcquirePushLockShared", Kind::PushLock, Mode::Shared, push_lock);
    }

    /// Acquires a push lock shared, with flags that change priorities only.
    unsafe fn FltAcquirePushLockSharedEx(push_lock: PEX_PUSH_LOCK, _flags: ULONG) {
        acquire("FltAcquirePushLockSharedEx", Kind::PushLock, Mode::Shared, push_lock);
    }

    /// Releases a push lock.
    unsafe fn FltReleasePushLock(push_lock: PEX_PUSH_LOCK) {
        release("FltReleasePushLock", Kind::PushLock, push_lock);
    }

    /// Releases a push lock, with flags that change priorities only.
    unsafe fn FltReleasePushLockEx(push_lock: PEX_PUSH_LOCK, _flags: ULONG) {
        release("FltReleasePushLockEx", Kind::PushLock, push_lock);
    }

    /// Initialises a resource.
    unsafe fn ExInitializeResourceLite(resource: *mut ERESOURCE) -> NTSTATUS {
        const CALL: &str = "ExInitializeResourceLite";
        let machine = here(CALL);
        if !resource.is_null() {
            // SAFETY: the caller passes memory for a resource.
            unsafe { resource.write_bytes(0, 1) };
        }
        lock::initialise(machine.as_ref(), CALL, Kind::Resource, resource as usize);
        STATUS_SUCCESS
    }

    /// Deletes a resource.
    unsafe fn ExDeleteResourceLite(resource: *mut ERESOURCE) -> NTSTATUS {
        const CALL: &str = "ExDeleteResourceLite";
        let machine = here(CALL);
        lock::delete(machine.as_ref(), CALL, Kind::Resource, resource as usize);
        STATUS_SUCCESS
    }

    /// Whether this thread holds a resource exclusively.
    unsafe fn ExIsResourceAcquiredExclusiveLite(resource: *mut ERESOURCE) -> BOOLEAN {
        here("ExIsResourceAcquiredExclusiveLite");
        BOOLEAN::from(lock::is_writer(resource as usize))
    }

    /// How often this thread has acquired a resource.
    unsafe fn ExIsResourceAcquiredSharedLite(resource: *mut ERESOURCE) -> ULONG {
        here("ExIsResourceAcquiredSharedLite");
        lock::acquisitions(resource as usize)
    }

    /// Acquires a resource exclusively.
    unsafe fn FltAcquireResourceExclusive(resource: *mut ERESOURCE) {
        acquire("FltAcquireResourceExclusive", Kind::Resource, Mode::Exclusive, resource);
    }

    /// Acquires a resource shared.
    unsafe fn FltAcquireResourceShared(resource: *mut ERESOURCE) {
        acquire("FltAcquireResourceShared", Kind::Resource, Mode::Shared, resource);
    }

    /// Releases a resource.
    unsafe fn FltReleaseResource(resource: *mut ERESOURCE) {
        release("FltReleaseResource", Kind::Resource, resource);
    }

    /// Acquires a resource exclusively, and gives whether it did: not without waiting, if that was
    /// not wanted.
    unsafe fn ExAcquireResourceExclusiveLite(resource: *mut ERESOURCE, wait: BOOLEAN) -> BOOLEAN {
        acquire_resource("ExAcquireResourceExclusiveLite", Mode::Exclusive, resource, wait)
    }

    /// Acquires a resource shared, and gives whether it did.
    unsafe fn ExAcquireResourceSharedLite(resource: *mut ERESOURCE, wait: BOOLEAN) -> BOOLEAN {
        acquire_resource("ExAcquireResourceSharedLite", Mode::Shared, resource, wait)
    }

    /// Releases a resource.
    unsafe fn ExReleaseResourceLite(resource: *mut ERESOURCE) {
        release("ExReleaseResourceLite", Kind::Resource, resource);
    }

    /// Acquires a fast mutex by a caller that keeps asynchronous procedure calls away itself.
    unsafe fn ExAcquireFastMutexUnsafe(mutex: *mut FAST_MUTEX) {
        acquire("ExAcquireFastMutexUnsafe", Kind::FastMutex, Mode::Exclusive, mutex);
    }

    /// Releases a fast mutex that was acquired so.
    unsafe fn ExReleaseFastMutexUnsafe(mutex: *mut FAST_MUTEX) {
        release("ExReleaseFastMutexUnsafe", Kind::FastMutex, mutex);
    }

    /// Acquires a guarded mutex, which has the form of a fast one and leaves the IRQL alone.
    unsafe fn KeAcquireGuardedMutex(mutex: *mut FAST_MUTEX) {
        acquire("KeAcquireGuardedMutex", Kind::FastMutex, Mode::Exclusive, mutex);
    }

    /// Releases a guarded mutex.
    unsafe fn KeReleaseGuardedMutex(mutex: *mut FAST_MUTEX) {
        release("KeReleaseGuardedMutex", Kind::FastMutex, mutex);
    }

    /// Initialises a guarded mutex.
    unsafe fn KeInitializeGuardedMutex(mutex: *mut FAST_MUTEX) {
        here("KeInitializeGuardedMutex");
        if !mutex.is_null() {
            // SAFETY: the caller passes memory for a mutex.
            unsafe { mutex.write_bytes(0, 1) };
        }
    }

    /// Acquires a spin lock at `DISPATCH_LEVEL`.
    unsafe fn KeAcquireSpinLockAtDpcLevel(spin_lock: *mut KSPIN_LOCK) {
        acquire("KeAcquireSpinLockAtDpcLevel", Kind::SpinLock, Mode::Exclusive, spin_lock);
    }

    /// Releases a spin lock and stays at `DISPATCH_LEVEL`.
    unsafe fn KeReleaseSpinLockFromDpcLevel(spin_lock: *mut KSPIN_LOCK) {
        release("KeReleaseSpinLockFromDpcLevel", Kind::SpinLock, spin_lock);
    }

    /// Initialises an event, of which this kernel needs no more than its memory.
    unsafe fn KeInitializeEvent(event: *mut KEVENT, kind: EVENT_TYPE, signalled: BOOLEAN) {
        here("KeInitializeEvent");
        if event.is_null() {
            return;
        }
        // SAFETY: the caller passes memory for an event, so this is a place inside it.
        let list = unsafe { &raw mut (*event).Header.WaitListHead };
        let value = KEVENT {
            Header: DISPATCHER_HEADER {
                Lock: kind,
                SignalState: LONG::from(signalled),
                WaitListHead: LIST_ENTRY {
                    Flink: list,
                    Blink: list,
                },
            },
        };
        // SAFETY: as above.
        unsafe { write(event, value) };
    }

    /// Acquires a fast mutex and raises the IRQL.
    unsafe fn ExAcquireFastMutex(mutex: *mut FAST_MUTEX) {
        acquire("ExAcquireFastMutex", Kind::FastMutex, Mode::Exclusive, mutex);
        irql::set(APC_LEVEL);
    }

    /// Releases a fast mutex and restores the IRQL.
    unsafe fn ExReleaseFastMutex(mutex: *mut FAST_MUTEX) {
        const CALL: &str = "ExReleaseFastMutex";
        check_level(CALL, APC_LEVEL);
        if let Some(before) = release(CALL, Kind::FastMutex, mutex) {
            irql::set(before);
        }
    }

    /// Acquires a spin lock, raises the IRQL and returns the old one.
    unsafe fn KeAcquireSpinLockRaiseToDpc(spin_lock: *mut KSPIN_LOCK) -> KIRQL {
        acquire("KeAcquireSpinLockRaiseToDpc", Kind::SpinLock, Mode::Exclusive, spin_lock);
        irql::set(DISPATCH_LEVEL)
    }

    /// Releases a spin lock and sets the IRQL.
    unsafe fn KeReleaseSpinLock(spin_lock: *mut KSPIN_LOCK, level: KIRQL) {
        const CALL: &str = "KeReleaseSpinLock";
        check_level(CALL, DISPATCH_LEVEL);
        if release(CALL, Kind::SpinLock, spin_lock).is_some() {
            irql::set(level);
        }
    }
}
