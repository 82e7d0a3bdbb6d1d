//! Operations: callback data, pended operations, completion processing.

use super::work_item::report_posted;
use super::{bad_pointer, enter, exports};
use crate::io::{self, Door, Operation};
use crate::kernel::irql;
use crate::kernel::scope::{Callback, Scope};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null;
use std::sync::Arc;

exports! {
    /// Marks changed callback data, so that the changes take effect.
    unsafe fn FltSetCallbackDataDirty(Data: PFLT_CALLBACK_DATA) {
        const CALL: &str = "FltSetCallbackDataDirty";
        if let Some(operation) = operation(CALL, Data) {
            operation.data().modify(|data| data.Flags |= FLTFL_CALLBACK_DATA_DIRTY);
        }
    }

    /// Clears the dirty mark of callback data.
    unsafe fn FltClearCallbackDataDirty(Data: PFLT_CALLBACK_DATA) {
        const CALL: &str = "FltClearCallbackDataDirty";
        if let Some(operation) = operation(CALL, Data) {
            operation.data().modify(|data| data.Flags &= !FLTFL_CALLBACK_DATA_DIRTY);
        }
    }

    /// Whether callback data is marked as changed.
    unsafe fn FltIsCallbackDataDirty(Data: PFLT_CALLBACK_DATA) -> BOOLEAN {
        const CALL: &str = "FltIsCallbackDataDirty";
        operation(CALL, Data).map_or(0, |operation| {
            BOOLEAN::from(operation.data().load().Flags & FLTFL_CALLBACK_DATA_DIRTY != 0)
        })
    }

    /// Runs a post-operation callback where it is safe: at once, or from a work item.
    unsafe fn FltDoCompletionProcessingWhenSafe(
        Data: PFLT_CALLBACK_DATA,
        FltObjects: PCFLT_RELATED_OBJECTS,
        CompletionContext: PVOID,
        Flags: FLT_POST_OPERATION_FLAGS,
        SafePostCallback: PFLT_POST_OPERATION_CALLBACK,
        RetPostOperationStatus: *mut FLT_POSTOP_CALLBACK_STATUS,
    ) -> BOOLEAN {
        const CALL: &str = "FltDoCompletionProcessingWhenSafe";
        let Some(operation) = operation(CALL, Data) else {
            return 0;
        };
        // SAFETY: the caller passes what it got as arguments of its post-operation callback, a
        // callback of the same type, and a place for the status.
        unsafe {
            when_safe(
                &operation,
                FltObjects,
                CompletionContext,
                Flags,
                SafePostCallback,
                RetPostOperationStatus,
            )
        }
    }

    /// Resumes an operation that a pre-operation callback pended.
    unsafe fn FltCompletePendedPreOperation(
        CallbackData: PFLT_CALLBACK_DATA,
        CallbackStatus: FLT_PREOP_CALLBACK_STATUS,
        Context: PVOID,
    ) {
        const CALL: &str = "FltCompletePendedPreOperation";
        let Some(operation) = operation(CALL, CallbackData) else {
            return;
        };
        if !io::resume_pre(&operation, CallbackStatus, Context as usize) {
            let text = "no pre-operation callback has pended this operation";
            operation.machine.verifier.violation(Rule::V12, CALL, text);
        }
    }

    /// Resumes the completion that a post-operation callback pended.
    unsafe fn FltCompletePendedPostOperation(CallbackData: PFLT_CALLBACK_DATA) {
        const CALL: &str = "FltCompletePendedPostOperation";
        let Some(operation) = operation(CALL, CallbackData) else {
            return;
        };
        if !io::resume_post(&operation) {
            let text = "no post-operation callback has pended this operation";
            operation.machine.verifier.violation(Rule::V12, CALL, text);
        }
    }

    /// Whether the operation was issued synchronously.
    unsafe fn FltIsOperationSynchronous(CallbackData: PFLT_CALLBACK_DATA) -> BOOLEAN {
        const CALL: &str = "FltIsOperationSynchronous";
        operation(CALL, CallbackData).map_or(0, |operation| {
            // Whatever does not come as an IRP is a call, and calls return when they are done.
            BOOLEAN::from(operation.synchronous || operation.door != Door::Irp)
        })
    }

    /// The identifier of the process that asked for the operation.
    unsafe fn FltGetRequestorProcessId(CallbackData: PFLT_CALLBACK_DATA) -> ULONG {
        const CALL: &str = "FltGetRequestorProcessId";
        operation(CALL, CallbackData).map_or(0, |operation| requestor(&operation))
    }

    /// The identifier of the process that asked for the operation.
    unsafe fn FltGetRequestorProcessIdEx(CallbackData: PFLT_CALLBACK_DATA) -> HANDLE {
        const CALL: &str = "FltGetRequestorProcessIdEx";
        let process = operation(CALL, CallbackData).map_or(0, |operation| requestor(&operation));
        process as usize as HANDLE
    }

    /// The session of the process that asked for the operation: applications are in the first one
    /// of a user, the system is in the one for services.
    unsafe fn FltGetRequestorSessionId(
        CallbackData: PFLT_CALLBACK_DATA,
        SessionId: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetRequestorSessionId";
        let Some(operation) = operation(CALL, CallbackData) else {
            return STATUS_UNSUCCESSFUL;
        };
        let session = ULONG::from(requestor(&operation) != SYSTEM_PROCESS);
        // SAFETY: the caller passes a place for the number.
        unsafe { super::write(SessionId, session) };
        STATUS_SUCCESS
    }

    /// Whether the process that asked for the operation is a 32-bit one: there are none.
    unsafe fn FltIs32bitProcess(CallbackData: PFLT_CALLBACK_DATA) -> BOOLEAN {
        if !CallbackData.is_null() {
            operation("FltIs32bitProcess", CallbackData);
        }
        0
    }

    /// The name of a major function code.
    unsafe fn FltGetIrpName(IrpMajorCode: UCHAR) -> *const CHAR {
        io::major_c_name(IrpMajorCode).map_or(null(), |name| name.as_ptr().cast())
    }
}

/// The identifier of the system process.
const SYSTEM_PROCESS: ULONG = 4;

/// Who asked for an operation.
fn requestor(operation: &Operation) -> ULONG {
    if operation.kernel || operation.is_paging() {
        SYSTEM_PROCESS
    } else {
        std::process::id()
    }
}

/// The operation that a driver names; the call is counted.
pub(super) fn operation(call: &'static str, data: PFLT_CALLBACK_DATA) -> Option<Arc<Operation>> {
    let Some(operation) = io::find(data) else {
        bad_pointer(call, "CallbackData", data as usize, "live callback data");
        return None;
    };
    enter(&operation.machine, call);
    Some(operation)
}

/// # Safety
/// The arguments are those of a post-operation callback; `status` may be written to.
unsafe fn when_safe(
    operation: &Arc<Operation>,
    objects: PCFLT_RELATED_OBJECTS,
    context: PVOID,
    flags: FLT_POST_OPERATION_FLAGS,
    callback: PFLT_POST_OPERATION_CALLBACK,
    status: *mut FLT_POSTOP_CALLBACK_STATUS,
) -> BOOLEAN {
    const CALL: &str = "FltDoCompletionProcessingWhenSafe";
    let machine = &operation.machine;
    // SAFETY: passed on to the caller.
    unsafe { super::write(status, FLT_POSTOP_FINISHED_PROCESSING) };
    let Some(callback) = callback else {
        let text = "SafePostCallback is null";
        machine.verifier.violation(Rule::V0, CALL, text);
        return 0;
    };
    if operation.draining || flags & FLTFL_POST_OPERATION_DRAINING != 0 {
        let text = "called for a draining post-operation callback";
        machine.verifier.violation(Rule::V12, CALL, text);
        return 0;
    }
    if irql::current() < DISPATCH_LEVEL {
        let _scope = Scope::enter(machine, Callback::SafePost, irql::current());
        // SAFETY: the caller's own callback with the caller's own arguments.
        let result = unsafe { callback(operation.pointer(), objects, context, flags) };
        // SAFETY: passed on to the caller.
        unsafe { super::write(status, result) };
        return 1;
    }
    let postable = operation.door == Door::Irp && !operation.is_paging();
    if !postable {
        if machine.config.strict {
            let text = "called at DISPATCH_LEVEL for paging I/O, which cannot be posted";
            machine.verifier.violation(Rule::V12, CALL, text);
        }
        return 0;
    }
    report_posted(operation, CALL);
    let job = Posted {
        operation: operation.clone(),
        objects: objects as usize,
        context: context as usize,
    };
    machine.work_queue.push(move || {
        let machine = job.operation.machine.clone();
        let scope = Scope::enter(&machine, Callback::SafePost, PASSIVE_LEVEL);
        // SAFETY: the layer that postponed its callback holds the operation until it is resumed,
        // so the callback data and the related objects, which belong to it, are still live; the
        // callback that is still begun on the instance keeps the driver loaded.
        let result = unsafe {
            callback(
                job.operation.pointer(),
                job.objects as PCFLT_RELATED_OBJECTS,
                job.context as PVOID,
                flags,
            )
        };
        drop(scope);
        if result != FLT_POSTOP_MORE_PROCESSING_REQUIRED {
            io::resume_post(&job.operation);
        }
    });
    // SAFETY: passed on to the caller.
    unsafe { super::write(status, FLT_POSTOP_MORE_PROCESSING_REQUIRED) };
    1
}

/// A postponed completion callback; pointers travel as addresses.
struct Posted {
    operation: Arc<Operation>,
    objects: usize,
    context: usize,
}
