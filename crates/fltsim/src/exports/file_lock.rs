//! Byte-range locks that a minifilter keeps for files itself.

use super::operation::operation;
use super::{bad_pointer, enter, exports, here};
use crate::io::{self, LockRequest, Operation, Phase};
use crate::kernel::byte_range::{Action, Lock, Ticket, Waiter};
use crate::kernel::file_lock::{self, FileLock, Routines, information};
use crate::kernel::irql;
use crate::kernel::scope::{Callback, Scope};
use crate::machine::Inner;
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;

exports! {
    /// Allocates and initialises a lock structure.
    unsafe fn FltAllocateFileLock(
        CompleteLockCallbackDataRoutine: PFLT_COMPLETE_LOCK_CALLBACK_DATA_ROUTINE,
        UnlockRoutine: PUNLOCK_ROUTINE,
    ) -> PFILE_LOCK {
        let routines = Routines {
            complete: CompleteLockCallbackDataRoutine,
            unlock: UnlockRoutine,
        };
        allocate("FltAllocateFileLock", CompleteLockCallbackDataRoutine, routines)
    }

    /// Uninitialises and frees a lock structure.
    unsafe fn FltFreeFileLock(FileLock: PFILE_LOCK) {
        free("FltFreeFileLock", FileLock);
    }

    /// Initialises a lock structure of the caller's.
    unsafe fn FltInitializeFileLock(FileLock: PFILE_LOCK) {
        // SAFETY: the caller passes memory for a structure.
        unsafe { initialise("FltInitializeFileLock", FileLock, None, Routines::default()) };
    }

    /// Uninitialises a lock structure: its locks go, and what waits for one is completed.
    unsafe fn FltUninitializeFileLock(FileLock: PFILE_LOCK) {
        uninitialise("FltUninitializeFileLock", FileLock);
    }

    /// Performs a lock operation, and completes it later if it has to wait.
    unsafe fn FltProcessFileLock(
        FileLock: PFILE_LOCK,
        CallbackData: PFLT_CALLBACK_DATA,
        Context: PVOID,
    ) -> FLT_PREOP_CALLBACK_STATUS {
        const CALL: &str = "FltProcessFileLock";
        let file_lock = known(CALL, FileLock);
        let Some(operation) = operation(CALL, CallbackData) else {
            return FLT_PREOP_COMPLETE;
        };
        let Some(file_lock) = file_lock else {
            operation.set_io_status(STATUS_INVALID_PARAMETER, 0);
            return FLT_PREOP_COMPLETE;
        };
        process(&file_lock, &operation, Context as usize)
    }

    /// Whether the locks let a read through.
    unsafe fn FltCheckLockForReadAccess(
        FileLock: PFILE_LOCK,
        CallbackData: PFLT_CALLBACK_DATA,
    ) -> BOOLEAN {
        check("FltCheckLockForReadAccess", FileLock, CallbackData, false)
    }

    /// Whether the locks let a write through.
    unsafe fn FltCheckLockForWriteAccess(
        FileLock: PFILE_LOCK,
        CallbackData: PFLT_CALLBACK_DATA,
    ) -> BOOLEAN {
        check("FltCheckLockForWriteAccess", FileLock, CallbackData, true)
    }
}

/// What an initialised structure looks like.
fn memory(
    complete: PFLT_COMPLETE_LOCK_CALLBACK_DATA_ROUTINE,
    unlock: PUNLOCK_ROUTINE,
) -> FILE_LOCK {
    // SAFETY: the structure is integers, nullable pointers and nullable routines; all-zero is a
    // valid one.
    let mut memory: FILE_LOCK = unsafe { std::mem::zeroed() };
    memory.CompleteLockIrpRoutine = complete;
    memory.UnlockRoutine = unlock;
    memory
}

/// Allocates a structure; `complete` is what its memory says.
pub(super) fn allocate(
    call: &'static str,
    complete: PFLT_COMPLETE_LOCK_CALLBACK_DATA_ROUTINE,
    routines: Routines,
) -> PFILE_LOCK {
    let Some(machine) = here(call) else {
        return null_mut();
    };
    let memory = memory(complete, routines.unlock);
    file_lock::allocate(&machine, call, memory, routines)
}

/// # Safety
/// `file_lock` is null or points to memory for a structure.
pub(super) unsafe fn initialise(
    call: &'static str,
    file_lock: PFILE_LOCK,
    complete: PFLT_COMPLETE_LOCK_CALLBACK_DATA_ROUTINE,
    routines: Routines,
) {
    let Some(machine) = here(call) else {
        return;
    };
    if file_lock.is_null() {
        machine
            .verifier
            .violation(Rule::V0, call, "FileLock is null");
        return;
    }
    let memory = memory(complete, routines.unlock);
    // SAFETY: not null, so memory for a structure by this function's contract.
    unsafe { file_lock::initialise(&machine, call, file_lock, memory, routines) };
}

pub(super) fn free(call: &'static str, file_lock: PFILE_LOCK) {
    if let Some((machine, file_lock)) = structure(call, file_lock) {
        file_lock.free(&machine, call).tell();
    }
}

pub(super) fn uninitialise(call: &'static str, file_lock: PFILE_LOCK) {
    if let Some((machine, file_lock)) = structure(call, file_lock) {
        file_lock.end(&machine).tell();
    }
}

/// A structure that a driver names, if it is initialised.
fn known(call: &'static str, file_lock: PFILE_LOCK) -> Option<Arc<FileLock>> {
    let found = file_lock::find(file_lock);
    if found.is_none() {
        bad_pointer(
            call,
            "FileLock",
            file_lock as usize,
            "file lock that is initialised",
        );
    }
    found
}

/// As [`known`], with its machine; the call is counted.
pub(super) fn structure(
    call: &'static str,
    file_lock: PFILE_LOCK,
) -> Option<(Arc<Inner>, Arc<FileLock>)> {
    let file_lock = known(call, file_lock)?;
    let machine = file_lock.machine()?;
    enter(&machine, call);
    Some((machine, file_lock))
}

fn check(
    call: &'static str,
    file_lock: PFILE_LOCK,
    data: PFLT_CALLBACK_DATA,
    writes: bool,
) -> BOOLEAN {
    let file_lock = known(call, file_lock);
    let (Some(operation), Some(file_lock)) = (operation(call, data), file_lock) else {
        return 0;
    };
    let Some(access) = io::access(&operation).filter(|access| access.exclusive == writes) else {
        let wanted = if writes { "write" } else { "read" };
        let text = format!("the operation is no {wanted}");
        operation.machine.verifier.violation(Rule::V0, call, text);
        return 0;
    };
    BOOLEAN::from(file_lock.allows(&access))
}

/// Performs a lock operation that a pre-operation callback has, or has pended.
fn process(
    file_lock: &Arc<FileLock>,
    operation: &Arc<Operation>,
    context: usize,
) -> FLT_PREOP_CALLBACK_STATUS {
    const CALL: &str = "FltProcessFileLock";
    let request = io::lock_request(operation);
    let in_pre = operation.current_layer().is_some_and(|index| {
        let phase = operation.state.lock().layers[index].phase;
        matches!(phase, Phase::InPre | Phase::Pended)
    });
    let text = match request {
        Err(STATUS_INVALID_DEVICE_REQUEST) if operation.major != IRP_MJ_LOCK_CONTROL => {
            Some("the operation is not IRP_MJ_LOCK_CONTROL")
        }
        _ if !in_pre => Some("no pre-operation callback has the operation"),
        _ => None,
    };
    if let Some(text) = text {
        operation.machine.verifier.violation(Rule::V12, CALL, text);
        operation.set_io_status(STATUS_INVALID_DEVICE_REQUEST, 0);
        return FLT_PREOP_COMPLETE;
    }
    let request = match request {
        Ok(request) => request,
        Err(status) => {
            complete(file_lock, operation, context, None, status);
            return FLT_PREOP_COMPLETE;
        }
    };
    match ask(file_lock, operation, context, &request) {
        Err(STATUS_PENDING) => FLT_PREOP_PENDING,
        Err(STATUS_FLT_DISALLOW_FAST_IO) => FLT_PREOP_DISALLOW_FASTIO,
        Ok(ticket) => {
            let granted = (request.action == Action::Lock).then_some(ticket);
            complete(file_lock, operation, context, granted, STATUS_SUCCESS);
            FLT_PREOP_COMPLETE
        }
        Err(status) => {
            complete(file_lock, operation, context, None, status);
            FLT_PREOP_COMPLETE
        }
    }
}

/// Asks the structure's locks on behalf of an operation.
fn ask(
    file_lock: &Arc<FileLock>,
    operation: &Arc<Operation>,
    context: usize,
    request: &LockRequest,
) -> Result<Ticket, NTSTATUS> {
    let ticket = Ticket::next();
    let kept = (Arc::clone(file_lock), Arc::clone(operation));
    let waiter: Waiter = Box::new(move |result| {
        let (file_lock, operation) = kept;
        let _ = operation.take_cancel();
        let granted = result.is_ok().then_some(ticket);
        let status = result.err().unwrap_or(STATUS_SUCCESS);
        complete(&file_lock, &operation, context, granted, status);
        io::resume_pre(&operation, FLT_PREOP_COMPLETE, 0);
    });
    let line = Arc::clone(file_lock);
    let withdraw = move || line.withdraw(ticket);
    let asked = |waiter: Option<Waiter>| {
        let (answer, removed, ended) =
            file_lock.perform(request.action, request.lock, ticket, waiter);
        tell_unlocked(
            &operation.machine,
            file_lock.routines.unlock,
            context,
            &removed,
        );
        ended.tell();
        answer
    };
    io::ask_for_lock(operation, request, waiter, asked, withdraw).map(|()| ticket)
}

/// Writes down how an operation has ended, and tells the driver if it is an IRP. A lock that the
/// driver does not want goes again.
fn complete(
    file_lock: &FileLock,
    operation: &Arc<Operation>,
    context: usize,
    granted: Option<Ticket>,
    status: NTSTATUS,
) {
    operation.set_io_status(status, 0);
    let Some(routine) = file_lock.routines.complete else {
        return;
    };
    if operation.door != io::Door::Irp {
        return;
    }
    let scope = Scope::enter(&operation.machine, Callback::FileLock, irql::current());
    // SAFETY: the driver gave this routine to a structure that it keeps, and this context for this
    // operation, whose callback data lives through the call.
    let wanted = unsafe { routine(context as PVOID, operation.pointer()) };
    drop(scope);
    if let Some(ticket) = granted.filter(|_| !nt_success(wanted)) {
        operation.set_io_status(wanted, 0);
        file_lock.revoke(ticket).tell();
    }
}

/// Tells a driver which locks are gone.
pub(super) fn tell_unlocked(
    machine: &Arc<Inner>,
    routine: PUNLOCK_ROUTINE,
    context: usize,
    removed: &[Lock],
) {
    let Some(routine) = routine else {
        return;
    };
    for lock in removed {
        let mut information = information(lock);
        let _scope = Scope::enter(machine, Callback::FileLock, irql::current());
        // SAFETY: the driver gave this routine to a structure that it keeps, and this context for
        // this call, through which the description lives.
        unsafe { routine(context as PVOID, &raw mut information) };
    }
}
