//! Byte-range locks by the kernel's own functions, without operations.

use super::exports;
use super::file_lock::{allocate, free, initialise, structure, tell_unlocked, uninitialise};
use crate::io;
use crate::kernel::byte_range::{Action, Lock, Owner, Range, Ticket};
use crate::kernel::file_lock::Routines;
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;

exports! {
    /// Initialises a lock structure of the caller's.
    unsafe fn FsRtlInitializeFileLock(
        FileLock: PFILE_LOCK,
        CompleteLockIrpRoutine: PFLT_COMPLETE_LOCK_CALLBACK_DATA_ROUTINE,
        UnlockRoutine: PUNLOCK_ROUTINE,
    ) {
        const CALL: &str = "FsRtlInitializeFileLock";
        // SAFETY: the caller passes memory for a structure.
        unsafe { initialise(CALL, FileLock, CompleteLockIrpRoutine, without_irps(UnlockRoutine)) };
    }

    /// Uninitialises a lock structure: its locks go, and what waits for one is completed.
    unsafe fn FsRtlUninitializeFileLock(FileLock: PFILE_LOCK) {
        uninitialise("FsRtlUninitializeFileLock", FileLock);
    }

    /// Allocates and initialises a lock structure.
    unsafe fn FsRtlAllocateFileLock(
        CompleteLockIrpRoutine: PFLT_COMPLETE_LOCK_CALLBACK_DATA_ROUTINE,
        UnlockRoutine: PUNLOCK_ROUTINE,
    ) -> PFILE_LOCK {
        const CALL: &str = "FsRtlAllocateFileLock";
        allocate(CALL, CompleteLockIrpRoutine, without_irps(UnlockRoutine))
    }

    /// Uninitialises and frees a lock structure.
    unsafe fn FsRtlFreeFileLock(FileLock: PFILE_LOCK) {
        free("FsRtlFreeFileLock", FileLock);
    }

    /// Locks a range; false if that would have to wait. The macro `FsRtlFastLock` is this without
    /// an IRP.
    unsafe fn FsRtlPrivateLock(
        FileLock: PFILE_LOCK,
        FileObject: PFILE_OBJECT,
        FileOffset: *mut LARGE_INTEGER,
        Length: *mut LARGE_INTEGER,
        ProcessId: PEPROCESS,
        Key: ULONG,
        FailImmediately: BOOLEAN,
        ExclusiveLock: BOOLEAN,
        Iosb: PIO_STATUS_BLOCK,
        Irp: PIRP,
        _Context: PVOID,
        _AlreadySynchronized: BOOLEAN,
    ) -> BOOLEAN {
        const CALL: &str = "FsRtlPrivateLock";
        let Some((machine, file_lock)) = structure(CALL, FileLock) else {
            return 0;
        };
        if !Irp.is_null() {
            let text = "there are no IRPs of file locks here";
            machine.verifier.violation(Rule::V0, CALL, text);
        }
        // SAFETY: the caller passes the start and the length of a range.
        let range = unsafe { range(FileOffset, Length) };
        let mut lock = locked(FileObject, ProcessId.cast(), Key, range);
        lock.exclusive = ExclusiveLock != 0;
        let (answer, _, ended) = file_lock.perform(Action::Lock, lock, Ticket::next(), None);
        ended.tell();
        let status = answer.err().unwrap_or(STATUS_SUCCESS);
        if status == STATUS_LOCK_NOT_GRANTED && FailImmediately == 0 {
            return 0;
        }
        // SAFETY: the caller passes a place for the status.
        unsafe { super::write(Iosb, io::io_status(status, 0)) };
        1
    }

    /// Unlocks a range that was locked as it is.
    unsafe fn FsRtlFastUnlockSingle(
        FileLock: PFILE_LOCK,
        FileObject: PFILE_OBJECT,
        FileOffset: *mut LARGE_INTEGER,
        Length: *mut LARGE_INTEGER,
        ProcessId: PEPROCESS,
        Key: ULONG,
        Context: PVOID,
        _AlreadySynchronized: BOOLEAN,
    ) -> NTSTATUS {
        // SAFETY: the caller passes the start and the length of a range.
        let range = unsafe { range(FileOffset, Length) };
        let lock = locked(FileObject, ProcessId.cast(), Key, range);
        unlock("FsRtlFastUnlockSingle", FileLock, Action::UnlockSingle, lock, Context)
    }

    /// Unlocks everything of a process.
    unsafe fn FsRtlFastUnlockAll(
        FileLock: PFILE_LOCK,
        FileObject: PFILE_OBJECT,
        ProcessId: PEPROCESS,
        Context: PVOID,
    ) -> NTSTATUS {
        let lock = locked(FileObject, ProcessId.cast(), 0, Range::default());
        unlock("FsRtlFastUnlockAll", FileLock, Action::UnlockAll, lock, Context)
    }

    /// Unlocks everything of a process that was locked with a key.
    unsafe fn FsRtlFastUnlockAllByKey(
        FileLock: PFILE_LOCK,
        FileObject: PFILE_OBJECT,
        ProcessId: PEPROCESS,
        Key: ULONG,
        Context: PVOID,
    ) -> NTSTATUS {
        let lock = locked(FileObject, ProcessId.cast(), Key, Range::default());
        unlock("FsRtlFastUnlockAllByKey", FileLock, Action::UnlockAllByKey, lock, Context)
    }

    /// Whether a process may read a range.
    unsafe fn FsRtlFastCheckLockForRead(
        FileLock: PFILE_LOCK,
        StartingByte: *mut LARGE_INTEGER,
        Length: *mut LARGE_INTEGER,
        Key: ULONG,
        FileObject: PFILE_OBJECT,
        ProcessId: PVOID,
    ) -> BOOLEAN {
        // SAFETY: the caller passes the start and the length of a range.
        let range = unsafe { range(StartingByte, Length) };
        let access = locked(FileObject, ProcessId, Key, range);
        allows("FsRtlFastCheckLockForRead", FileLock, &access)
    }

    /// Whether a process may write a range.
    unsafe fn FsRtlFastCheckLockForWrite(
        FileLock: PFILE_LOCK,
        StartingByte: *mut LARGE_INTEGER,
        Length: *mut LARGE_INTEGER,
        Key: ULONG,
        FileObject: PFILE_OBJECT,
        ProcessId: PVOID,
    ) -> BOOLEAN {
        // SAFETY: the caller passes the start and the length of a range.
        let range = unsafe { range(StartingByte, Length) };
        let mut access = locked(FileObject, ProcessId, Key, range);
        access.exclusive = true;
        allows("FsRtlFastCheckLockForWrite", FileLock, &access)
    }

    /// The next lock, or the first one; null at the end.
    unsafe fn FsRtlGetNextFileLock(FileLock: PFILE_LOCK, Restart: BOOLEAN) -> PFILE_LOCK_INFO {
        structure("FsRtlGetNextFileLock", FileLock).map_or(null_mut(), |(_, file_lock)| {
            // SAFETY: an initialised structure, whose enumeration is the caller's to synchronise.
            unsafe { file_lock.next(Restart != 0) }
        })
    }

    /// Whether anything is locked, or about to be.
    unsafe fn FsRtlAreThereCurrentOrInProgressFileLocks(FileLock: PFILE_LOCK) -> BOOLEAN {
        const CALL: &str = "FsRtlAreThereCurrentOrInProgressFileLocks";
        structure(CALL, FileLock).map_or(0, |(_, file_lock)| {
            // SAFETY: an initialised structure, which its driver keeps.
            let in_progress = unsafe { file_lock.in_progress() };
            BOOLEAN::from(file_lock.is_used() || in_progress != 0)
        })
    }
}

/// There are no IRPs of file locks here, so nobody is told that one is complete.
const fn without_irps(unlock: PUNLOCK_ROUTINE) -> Routines {
    Routines {
        complete: None,
        unlock,
    }
}

/// # Safety
/// Each of the two is null or points to a number.
unsafe fn range(start: *mut LARGE_INTEGER, length: *mut LARGE_INTEGER) -> Range {
    let number = |value: *mut LARGE_INTEGER| {
        // SAFETY: null or a number by this function's contract.
        let value = unsafe { value.as_ref() };
        value.map_or(0, |value| {
            // SAFETY: every bit pattern of the union is an integer.
            unsafe { value.QuadPart }.cast_unsigned()
        })
    };
    Range {
        start: number(start),
        length: number(length),
    }
}

fn locked(file: PFILE_OBJECT, process: PVOID, key: ULONG, range: Range) -> Lock {
    Lock {
        range,
        exclusive: false,
        key,
        owner: Owner {
            file: file as u64,
            process: process as u64,
        },
    }
}

fn unlock(
    call: &'static str,
    file_lock: PFILE_LOCK,
    action: Action,
    lock: Lock,
    context: PVOID,
) -> NTSTATUS {
    let Some((machine, file_lock)) = structure(call, file_lock) else {
        return STATUS_RANGE_NOT_LOCKED;
    };
    let (answer, removed, ended) = file_lock.perform(action, lock, Ticket::next(), None);
    tell_unlocked(
        &machine,
        file_lock.routines.unlock,
        context as usize,
        &removed,
    );
    ended.tell();
    answer.err().unwrap_or(STATUS_SUCCESS)
}

fn allows(call: &'static str, file_lock: PFILE_LOCK, access: &Lock) -> BOOLEAN {
    structure(call, file_lock).map_or(0, |(_, file_lock)| BOOLEAN::from(file_lock.allows(access)))
}
