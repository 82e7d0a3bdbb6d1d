//! `IRP_MJ_LOCK_CONTROL`: what an operation asks for, who keeps it waiting, and how the file
//! system performs it. A driver's `FILE_LOCK` is asked in the same terms.

use super::cancel::OnCancel;
use super::file_object::FileObject;
use super::operation::{Door, Operation};
use super::path;
use crate::filesystem::{Accessor, Authority, OpenId};
use crate::kernel::byte_range::{Action, Answer, Lock, Owner, Range, Ticket, Waiter};
use fltmgr_sys::*;
use std::sync::Arc;

/// What an operation asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockRequest {
    pub(crate) action: Action,
    pub(crate) lock: Lock,
    pub(crate) fail_immediately: bool,
}

/// The process that asks for operations: there is one.
pub(crate) fn current_process() -> u64 {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    let process = crate::image::current_process() as u64;
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    let process = 0;
    process
}

/// Offsets and lengths are compared as numbers without a sign.
fn unsigned(value: LARGE_INTEGER) -> u64 {
    // SAFETY: every bit pattern of the union is an integer.
    unsafe { value.QuadPart }.cast_unsigned()
}

/// What a lock operation asks for, as its parameters are now.
///
/// # Errors
/// `STATUS_INVALID_DEVICE_REQUEST` for another operation, `STATUS_INVALID_PARAMETER` without a
/// length.
pub(crate) fn lock_request(operation: &Operation) -> Result<LockRequest, NTSTATUS> {
    let iopb = operation.iopb().load();
    if operation.major != IRP_MJ_LOCK_CONTROL {
        return Err(STATUS_INVALID_DEVICE_REQUEST);
    }
    // SAFETY: this is a lock operation, and whoever changed its parameters kept to their layout.
    let parameters = unsafe { iopb.Parameters.LockControl };
    let action = match iopb.MinorFunction {
        IRP_MN_LOCK => Action::Lock,
        IRP_MN_UNLOCK_SINGLE => Action::UnlockSingle,
        IRP_MN_UNLOCK_ALL => Action::UnlockAll,
        IRP_MN_UNLOCK_ALL_BY_KEY => Action::UnlockAllByKey,
        _ => return Err(STATUS_INVALID_DEVICE_REQUEST),
    };
    let mut range = Range::default();
    if matches!(action, Action::Lock | Action::UnlockSingle) {
        if parameters.Length.is_null() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        // SAFETY: not null, so the length, which the issuer keeps until completion.
        let length = unsafe { parameters.Length.read_unaligned() };
        range = Range {
            start: unsigned(parameters.ByteOffset),
            length: unsigned(length),
        };
    }
    let lock = Lock {
        range,
        exclusive: parameters.ExclusiveLock != 0,
        key: parameters.Key,
        owner: Owner {
            file: iopb.TargetFileObject as u64,
            process: parameters.ProcessId,
        },
    };
    Ok(LockRequest {
        action,
        lock,
        fail_immediately: parameters.FailImmediately != 0,
    })
}

/// What a read or a write needs of the locks; `None` for another operation.
pub(crate) fn access(operation: &Operation) -> Option<Lock> {
    let exclusive = match operation.major {
        IRP_MJ_READ => false,
        IRP_MJ_WRITE => true,
        _ => return None,
    };
    let iopb = operation.iopb().load();
    // SAFETY: this is a read or a write, which have the same layout, and whoever changed its
    // parameters kept to it.
    let parameters = unsafe { iopb.Parameters.Read };
    Some(Lock {
        range: Range {
            start: unsigned(parameters.ByteOffset),
            length: parameters.Length.into(),
        },
        exclusive,
        key: parameters.Key,
        owner: Owner {
            file: iopb.TargetFileObject as u64,
            process: current_process(),
        },
    })
}

/// Who reads or writes, for the locks of the file system.
pub(super) fn accessor(key: ULONG) -> Accessor {
    Accessor {
        process: current_process(),
        key,
    }
}

/// Asks for locks on behalf of an operation. `STATUS_PENDING` says that the waiter has the
/// operation now, or has had it already.
///
/// `ask` is given the waiter only if the operation can wait, and `withdraw` takes that back.
///
/// # Errors
/// Why there is nothing to be had; `STATUS_FLT_DISALLOW_FAST_IO` for a direct call that would have
/// to wait.
pub(crate) fn ask(
    operation: &Arc<Operation>,
    request: &LockRequest,
    waiter: Waiter,
    ask: impl FnOnce(Option<Waiter>) -> Result<Answer, NTSTATUS>,
    withdraw: impl Fn() -> Option<Waiter> + Clone + Send + 'static,
) -> Result<(), NTSTATUS> {
    let waits = request.action == Action::Lock && !request.fail_immediately;
    if !waits || operation.door != Door::Irp {
        return match ask(None) {
            Err(STATUS_LOCK_NOT_GRANTED) if waits => Err(STATUS_FLT_DISALLOW_FAST_IO),
            other => other.map(drop),
        };
    }
    let on_cancel = OnCancel::Withdraw(Box::new(withdraw.clone()));
    if operation.on_cancel(on_cancel).is_err() {
        return Err(STATUS_CANCELLED);
    }
    match ask(Some(waiter)) {
        Ok(Answer::Waits) => {
            // Cancelled before it was in the line: then its cancel routine has found nothing.
            if operation.is_cancelled() && withdraw().is_some() {
                return Err(STATUS_CANCELLED);
            }
            Err(STATUS_PENDING)
        }
        other => {
            // It does not wait, so there is nothing to be cancelled.
            let _ = operation.take_cancel();
            other.map(drop)
        }
    }
}

/// The file system's part of an operation; `STATUS_PENDING` if it keeps the operation.
pub(super) fn perform(
    operation: &Arc<Operation>,
    file: &FileObject,
    open: OpenId,
    authority: Authority,
) -> Result<usize, NTSTATUS> {
    let request = lock_request(operation)?;
    let kept = Arc::clone(operation);
    let waiter: Waiter = Box::new(move |result| {
        let _ = kept.take_cancel();
        path::arrive(&kept, result.err().unwrap_or(STATUS_SUCCESS));
    });
    let ticket = Ticket::next();
    let volume = Arc::clone(file.volume());
    let withdraw = move || volume.io.file_system.withdraw_lock(open, ticket);
    let file_system = &file.volume().io.file_system;
    let asked = |waiter| {
        let (action, lock) = (request.action, request.lock);
        file_system.lock_control(open, action, lock, ticket, waiter, authority)
    };
    ask(operation, &request, waiter, asked, withdraw).map(|()| 0)
}
