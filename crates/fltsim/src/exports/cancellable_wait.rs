//! Waiting on behalf of an operation, which ends when that is cancelled.

use super::wait::{timeout, wait_unless};
use super::{bad_pointer, enter, exports};
use crate::io::{self, OnCancel, Operation};
use crate::kernel::dispatcher::MOST_OBJECTS;
use fltmgr_sys::*;
use std::sync::Arc;

/// `WaitAll`.
const WAIT_ALL: i32 = 0;

exports! {
    /// Waits for one object, or until the operation is cancelled.
    unsafe fn FltCancellableWaitForSingleObject(
        Object: *mut DISPATCHER_HEADER,
        Timeout: *const i64,
        CallbackData: PFLT_CALLBACK_DATA,
    ) -> NTSTATUS {
        const CALL: &str = "FltCancellableWaitForSingleObject";
        // SAFETY: the caller passes a time or null.
        let limit = unsafe { timeout(Timeout) };
        // SAFETY: the caller passes an initialised object.
        unsafe { cancellable(CALL, &[Object], true, limit, CallbackData) }
    }

    /// Waits for one or all of several objects, or until the operation is cancelled.
    unsafe fn FltCancellableWaitForMultipleObjects(
        Count: ULONG,
        ObjectArray: *const *mut DISPATCHER_HEADER,
        WaitType: i32,
        Timeout: *const i64,
        _WaitBlockArray: PVOID,
        CallbackData: PFLT_CALLBACK_DATA,
    ) -> NTSTATUS {
        const CALL: &str = "FltCancellableWaitForMultipleObjects";
        if Count == 0 || Count > MOST_OBJECTS {
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: the caller passes so many pointers.
        let objects = unsafe { std::slice::from_raw_parts(ObjectArray, Count as usize) };
        // SAFETY: the caller passes a time or null.
        let limit = unsafe { timeout(Timeout) };
        // SAFETY: the caller passes initialised objects.
        unsafe { cancellable(CALL, objects, WaitType == WAIT_ALL, limit, CallbackData) }
    }
}

/// # Safety
/// Every header is that of an initialised object.
unsafe fn cancellable(
    call: &'static str,
    objects: &[*mut DISPATCHER_HEADER],
    all: bool,
    limit: Option<i64>,
    data: PFLT_CALLBACK_DATA,
) -> NTSTATUS {
    let on_behalf: Option<Arc<Operation>> = if data.is_null() {
        None
    } else {
        match io::find(data) {
            None => {
                bad_pointer(call, "CallbackData", data as usize, "live callback data");
                return STATUS_INVALID_PARAMETER;
            }
            found => found,
        }
    };
    if let Some(operation) = &on_behalf
        && operation.on_cancel(OnCancel::Wake).is_err()
    {
        enter(&operation.machine, call);
        return STATUS_CANCELLED;
    }
    let cancelled = || {
        on_behalf
            .as_ref()
            .is_some_and(|operation| operation.is_cancelled())
    };
    // SAFETY: passed on to the caller.
    let status = unsafe { wait_unless(call, objects, all, limit, &cancelled) };
    if let Some(operation) = &on_behalf {
        // Nobody has to be woken any more.
        let _ = operation.take_cancel();
    }
    status
}
