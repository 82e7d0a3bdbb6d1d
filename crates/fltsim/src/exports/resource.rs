//! What is more to resources: other ways to acquire them, and owners that are no threads.

use super::critical_region::{KeEnterCriticalRegion, KeLeaveCriticalRegion};
use super::lock::{acquire, acquire_resource, release};
use super::{exports, here, misuse, routines};
use crate::kernel::lock::{self, Kind, Mode};
use crate::verifier::Rule;
use fltmgr_sys::*;

/// Set in what owns a resource and is no thread.
const NO_THREAD: u64 = 3;

/// Acquires a resource in a critical region.
fn enter_and_acquire(call: &'static str, mode: Mode, resource: *mut ERESOURCE) -> PVOID {
    // SAFETY: it has no preconditions.
    unsafe { KeEnterCriticalRegion() };
    acquire(call, Kind::Resource, mode, resource);
    std::ptr::null_mut()
}

fn release_and_leave(call: &'static str, resource: *mut ERESOURCE) {
    release(call, Kind::Resource, resource);
    // SAFETY: the thread is in the region that it entered before it acquired the resource.
    unsafe { KeLeaveCriticalRegion() };
}

fn set_owner(call: &'static str, resource: *mut ERESOURCE, owner: u64) {
    let machine = here(call);
    if owner & NO_THREAD != NO_THREAD {
        let text = format!("the owner {owner:#x} does not have its low two bits set");
        misuse(Rule::V23, call, text);
    }
    lock::set_owner(
        machine.as_ref(),
        call,
        Kind::Resource,
        resource as usize,
        owner | NO_THREAD,
    );
}

exports! {
    /// Acquires a resource shared, before those that wait for it exclusively.
    unsafe fn ExAcquireSharedStarveExclusive(resource: *mut ERESOURCE, wait: BOOLEAN) -> BOOLEAN {
        acquire_resource("ExAcquireSharedStarveExclusive", Mode::SharedFirst, resource, wait)
    }

    /// Acquires a resource shared, behind those that wait for it exclusively.
    unsafe fn ExAcquireSharedWaitForExclusive(resource: *mut ERESOURCE, wait: BOOLEAN) -> BOOLEAN {
        acquire_resource("ExAcquireSharedWaitForExclusive", Mode::Shared, resource, wait)
    }

    /// Enters a critical region and acquires a resource exclusively.
    unsafe fn ExEnterCriticalRegionAndAcquireResourceExclusive(resource: *mut ERESOURCE) -> PVOID {
        const CALL: &str = "ExEnterCriticalRegionAndAcquireResourceExclusive";
        enter_and_acquire(CALL, Mode::Exclusive, resource)
    }

    /// Enters a critical region and acquires a resource shared.
    unsafe fn ExEnterCriticalRegionAndAcquireResourceShared(resource: *mut ERESOURCE) -> PVOID {
        const CALL: &str = "ExEnterCriticalRegionAndAcquireResourceShared";
        enter_and_acquire(CALL, Mode::Shared, resource)
    }

    /// The same, behind those that wait for it exclusively.
    unsafe fn ExEnterCriticalRegionAndAcquireSharedWaitForExclusive(
        resource: *mut ERESOURCE,
    ) -> PVOID {
        const CALL: &str = "ExEnterCriticalRegionAndAcquireSharedWaitForExclusive";
        enter_and_acquire(CALL, Mode::Shared, resource)
    }

    /// Releases a resource and leaves the critical region.
    unsafe fn ExReleaseResourceAndLeaveCriticalRegion(resource: *mut ERESOURCE) {
        release_and_leave("ExReleaseResourceAndLeaveCriticalRegion", resource);
    }

    /// Gives a resource of this thread to an owner that is none.
    unsafe fn ExSetResourceOwnerPointer(resource: *mut ERESOURCE, owner: u64) {
        set_owner("ExSetResourceOwnerPointer", resource, owner);
    }

    /// The same, with flags that say which thread's priority may be raised.
    unsafe fn ExSetResourceOwnerPointerEx(resource: *mut ERESOURCE, owner: u64, _flags: ULONG) {
        set_owner("ExSetResourceOwnerPointerEx", resource, owner);
    }

    /// Releases a resource of this thread, or of an owner that is none.
    unsafe fn ExReleaseResourceForThreadLite(resource: *mut ERESOURCE, owner: u64) {
        const CALL: &str = "ExReleaseResourceForThreadLite";
        if owner & NO_THREAD == NO_THREAD {
            let machine = here(CALL);
            lock::release_of(machine.as_ref(), CALL, Kind::Resource, resource as usize, owner);
        } else {
            release(CALL, Kind::Resource, resource);
        }
    }
}

/// Those that only ask or change.
pub(super) mod state {
    use super::{Kind, lock, routines};
    use crate::kernel::scope;
    use fltmgr_sys::*;

    routines! {
        /// Makes a resource shared that this thread holds exclusively.
        unsafe fn ExConvertExclusiveToSharedLite(resource: *mut ERESOURCE) {
            lock::share(scope::machine().as_ref(), CALL, Kind::Resource, resource as usize);
        }

        /// How many threads wait for a resource exclusively.
        unsafe fn ExGetExclusiveWaiterCount(resource: *mut ERESOURCE) -> ULONG {
            ULONG::try_from(lock::waiters(resource as usize).0).unwrap_or(ULONG::MAX)
        }

        /// How many threads wait for a resource shared.
        unsafe fn ExGetSharedWaiterCount(resource: *mut ERESOURCE) -> ULONG {
            ULONG::try_from(lock::waiters(resource as usize).1).unwrap_or(ULONG::MAX)
        }

        /// Makes a resource as it was at first.
        unsafe fn ExReinitializeResourceLite(resource: *mut ERESOURCE) -> NTSTATUS {
            let machine = scope::machine();
            let address = resource as usize;
            lock::delete(machine.as_ref(), CALL, Kind::Resource, address);
            lock::initialise(machine.as_ref(), CALL, Kind::Resource, address);
            STATUS_SUCCESS
        }
    }
}
