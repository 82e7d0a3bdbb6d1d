//! The few kernel routines outside the Filter Manager that the crates above need.

use crate::*;

pub const PASSIVE_LEVEL: KIRQL = 0;
pub const APC_LEVEL: KIRQL = 1;
pub const DISPATCH_LEVEL: KIRQL = 2;

/// Component of an independent vendor's driver in `DbgPrintEx`.
pub const DPFLTR_IHVDRIVER_ID: ULONG = 77;
/// Shown without further set-up.
pub const DPFLTR_ERROR_LEVEL: ULONG = 0;
pub const DPFLTR_INFO_LEVEL: ULONG = 3;

/// What becomes of an event when a wait for it ends.
pub type EVENT_TYPE = i32;

pub const NotificationEvent: EVENT_TYPE = 0;
pub const SynchronizationEvent: EVENT_TYPE = 1;

macro_rules! kernel_functions {
    ($($item:tt)*) => {
        #[cfg(target_arch = "x86_64")]
        #[cfg_attr(
            windows,
            link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")
        )]
        unsafe extern "win64" { $($item)* }

        #[cfg(not(target_arch = "x86_64"))]
        #[cfg_attr(
            windows,
            link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")
        )]
        unsafe extern "C" { $($item)* }
    };
}

kernel_functions! {
    /// Prints to the kernel debugger; at most 512 bytes a call.
    ///
    /// Any IRQL for `%s` and numbers; `PASSIVE_LEVEL` for wide strings.
    pub fn DbgPrintEx(ComponentId: ULONG, Level: ULONG, Format: *const CHAR, ...) -> ULONG;
    /// The current IRQL.
    pub fn KeGetCurrentIrql() -> KIRQL;

    /// Initialises an event.
    ///
    /// Any IRQL.
    pub fn KeInitializeEvent(Event: *mut KEVENT, Type: EVENT_TYPE, State: BOOLEAN);

    /// Initialises a resource and puts it on the system's list, so that it must not move.
    ///
    /// `IRQL <= DISPATCH_LEVEL`. Always `STATUS_SUCCESS`.
    pub fn ExInitializeResourceLite(Resource: *mut ERESOURCE) -> NTSTATUS;
    /// Takes a resource off the system's list.
    ///
    /// `IRQL <= DISPATCH_LEVEL`. Always `STATUS_SUCCESS`.
    pub fn ExDeleteResourceLite(Resource: *mut ERESOURCE) -> NTSTATUS;
    /// Whether the calling thread holds a resource exclusively.
    ///
    /// `IRQL <= DISPATCH_LEVEL`.
    pub fn ExIsResourceAcquiredExclusiveLite(Resource: *mut ERESOURCE) -> BOOLEAN;
    /// How often the calling thread has acquired a resource, shared or exclusively.
    ///
    /// `IRQL <= DISPATCH_LEVEL`.
    pub fn ExIsResourceAcquiredSharedLite(Resource: *mut ERESOURCE) -> ULONG;

    /// Acquires a fast mutex and raises the IRQL to `APC_LEVEL`.
    ///
    /// `IRQL <= APC_LEVEL`.
    pub fn ExAcquireFastMutex(FastMutex: *mut FAST_MUTEX);
    /// Releases a fast mutex and restores the IRQL.
    ///
    /// `IRQL == APC_LEVEL`.
    pub fn ExReleaseFastMutex(FastMutex: *mut FAST_MUTEX);

    /// Acquires a spin lock, raises the IRQL to `DISPATCH_LEVEL` and returns the old one.
    ///
    /// `IRQL <= DISPATCH_LEVEL`.
    pub fn KeAcquireSpinLockRaiseToDpc(SpinLock: *mut KSPIN_LOCK) -> KIRQL;
    /// Releases a spin lock and restores the IRQL.
    ///
    /// `IRQL == DISPATCH_LEVEL`.
    pub fn KeReleaseSpinLock(SpinLock: *mut KSPIN_LOCK, NewIrql: KIRQL);

    /// Allocates pool, which is not initialised; NULL when there is none.
    ///
    /// `IRQL <= DISPATCH_LEVEL`, and at most `APC_LEVEL` for paged pool. On every Windows, where
    /// `ExAllocatePool2` needs Windows 10, version 2004.
    pub fn ExAllocatePoolWithTag(PoolType: POOL_TYPE, NumberOfBytes: SIZE_T, Tag: ULONG) -> PVOID;
    /// Frees pool; a tag of 0 fits every allocation (`ExFreePool` is this).
    ///
    /// `IRQL <= DISPATCH_LEVEL`, and at most `APC_LEVEL` for paged pool.
    pub fn ExFreePoolWithTag(Memory: PVOID, Tag: ULONG);

    /// Closes a handle. `PASSIVE_LEVEL`.
    pub fn ZwClose(Handle: HANDLE) -> NTSTATUS;
    /// Releases a reference to an object. At most `DISPATCH_LEVEL`.
    pub fn ObfDereferenceObject(Object: PVOID) -> isize;
    /// Maps a section into system space. At most `APC_LEVEL`.
    pub fn MmMapViewInSystemSpace(
        Section: PVOID,
        MappedBase: *mut PVOID,
        ViewSize: *mut SIZE_T,
    ) -> NTSTATUS;
    /// Unmaps a section from system space. At most `APC_LEVEL`.
    pub fn MmUnmapViewInSystemSpace(MappedBase: PVOID) -> NTSTATUS;
}
