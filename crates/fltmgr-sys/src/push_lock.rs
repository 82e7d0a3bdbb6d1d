//! Push locks and resources, with kernel APCs disabled while they are held.
//!
//! Reference: the `fltkernel.h` pages of the Windows driver DDI documentation.

use crate::abi::fltapi_functions;
use crate::*;

/// Storage of a push lock; it must lie in nonpaged memory, as must an `ERESOURCE`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EX_PUSH_LOCK {
    pub Value: ULONG_PTR,
}
pub type PEX_PUSH_LOCK = *mut EX_PUSH_LOCK;

pub const FLT_PUSH_LOCK_ENABLE_AUTO_BOOST: ULONG = 1;
pub const FLT_PUSH_LOCK_DISABLE_AUTO_BOOST: ULONG = 2;
pub const FLT_PUSH_LOCK_VALID_FLAGS: ULONG = 3;

fltapi_functions! {
    /// Initialises a push lock.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltInitializePushLock(PushLock: PEX_PUSH_LOCK);

    /// Deletes a push lock.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltDeletePushLock(PushLock: PEX_PUSH_LOCK);

    /// Acquires a push lock for exclusive access.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltAcquirePushLockExclusive(PushLock: PEX_PUSH_LOCK);

    /// Acquires a push lock for exclusive access, with flags.
    ///
    /// `IRQL <= APC_LEVEL`; Windows 8.1.
    pub fn FltAcquirePushLockExclusiveEx(PushLock: PEX_PUSH_LOCK, Flags: ULONG);

    /// Acquires a push lock for shared access.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltAcquirePushLockShared(PushLock: PEX_PUSH_LOCK);

    /// Acquires a push lock for shared access, with flags.
    ///
    /// `IRQL <= APC_LEVEL`; Windows 8.1.
    pub fn FltAcquirePushLockSharedEx(PushLock: PEX_PUSH_LOCK, Flags: ULONG);

    /// Releases a push lock.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltReleasePushLock(PushLock: PEX_PUSH_LOCK);

    /// Releases a push lock, with flags.
    ///
    /// `IRQL <= APC_LEVEL`; Windows 8.1.
    pub fn FltReleasePushLockEx(PushLock: PEX_PUSH_LOCK, Flags: ULONG);

    /// Acquires a resource for exclusive access.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltAcquireResourceExclusive(Resource: *mut ERESOURCE);

    /// Acquires a resource for shared access.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltAcquireResourceShared(Resource: *mut ERESOURCE);

    /// Releases a resource.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltReleaseResource(Resource: *mut ERESOURCE);
}
