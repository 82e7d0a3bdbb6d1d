//! Byte-range locks that a minifilter keeps for files itself.
//!
//! Reference: the `fltkernel.h` and `ntifs.h` pages of the Windows driver DDI documentation.

use crate::abi::{fltapi_callbacks, fltapi_functions};
use crate::*;

/// One byte-range lock.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_LOCK_INFO {
    pub StartingByte: LARGE_INTEGER,
    pub Length: LARGE_INTEGER,
    pub ExclusiveLock: BOOLEAN,
    pub Key: ULONG,
    pub FileObject: PFILE_OBJECT,
    pub ProcessId: PVOID,
    pub EndingByte: LARGE_INTEGER,
}
pub type PFILE_LOCK_INFO = *mut FILE_LOCK_INFO;

/// The byte-range locks of a file; it may lie in paged memory.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_LOCK {
    /// Also that of the Filter Manager, which gets callback data in the place of an IRP.
    pub CompleteLockIrpRoutine: PFLT_COMPLETE_LOCK_CALLBACK_DATA_ROUTINE,
    pub UnlockRoutine: PUNLOCK_ROUTINE,
    pub FastIoIsQuestionable: BOOLEAN,
    pub SpareC: [BOOLEAN; 3],
    pub LockInformation: PVOID,
    pub LastReturnedLockInfo: FILE_LOCK_INFO,
    pub LastReturnedLock: PVOID,
    pub LockRequestsInProgress: LONG,
}
pub type PFILE_LOCK = *mut FILE_LOCK;

fltapi_callbacks! {
    /// Is told that a lock operation is complete; a status that is no success takes the lock back.
    pub type PFLT_COMPLETE_LOCK_CALLBACK_DATA_ROUTINE = fn(Context: PVOID, CallbackData: PFLT_CALLBACK_DATA) -> NTSTATUS;

    /// Is told that a lock is gone.
    pub type PUNLOCK_ROUTINE = fn(Context: PVOID, FileLockInfo: PFILE_LOCK_INFO);
}

fltapi_functions! {
    /// Allocates and initialises a lock structure.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltAllocateFileLock(CompleteLockCallbackDataRoutine: PFLT_COMPLETE_LOCK_CALLBACK_DATA_ROUTINE, UnlockRoutine: PUNLOCK_ROUTINE) -> PFILE_LOCK;

    /// Uninitialises and frees a lock structure.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltFreeFileLock(FileLock: PFILE_LOCK);

    /// Initialises a lock structure of the caller's.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltInitializeFileLock(FileLock: PFILE_LOCK);

    /// Uninitialises a lock structure: its locks go, and what waits for one is completed.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltUninitializeFileLock(FileLock: PFILE_LOCK);

    /// Performs an `IRP_MJ_LOCK_CONTROL` operation, and completes it if it has to wait.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltProcessFileLock(FileLock: PFILE_LOCK, CallbackData: PFLT_CALLBACK_DATA, Context: PVOID) -> FLT_PREOP_CALLBACK_STATUS;

    /// Whether the locks let a read through.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltCheckLockForReadAccess(FileLock: PFILE_LOCK, CallbackData: PFLT_CALLBACK_DATA) -> BOOLEAN;

    /// Whether the locks let a write through.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltCheckLockForWriteAccess(FileLock: PFILE_LOCK, CallbackData: PFLT_CALLBACK_DATA) -> BOOLEAN;
}
