//! Cancelling operations, and saying what happens then.

use super::exports;
use super::operation::operation;
use crate::io::{self, OnCancel};
use crate::verifier::Rule;
use fltmgr_sys::*;

exports! {
    /// Cancels an operation; true if its cancel routine was called.
    unsafe fn FltCancelIo(CallbackData: PFLT_CALLBACK_DATA) -> BOOLEAN {
        const CALL: &str = "FltCancelIo";
        operation(CALL, CallbackData).map_or(0, |operation| BOOLEAN::from(io::cancel(&operation)))
    }

    /// Whether the operation has been cancelled.
    unsafe fn FltIsIoCanceled(CallbackData: PFLT_CALLBACK_DATA) -> BOOLEAN {
        const CALL: &str = "FltIsIoCanceled";
        operation(CALL, CallbackData)
            .map_or(0, |operation| BOOLEAN::from(operation.is_cancelled()))
    }

    /// Sets the cancel routine of an operation that is about to be pended.
    unsafe fn FltSetCancelCompletion(
        CallbackData: PFLT_CALLBACK_DATA,
        CanceledCallback: PFLT_COMPLETE_CANCELED_CALLBACK,
    ) -> NTSTATUS {
        const CALL: &str = "FltSetCancelCompletion";
        let Some(operation) = operation(CALL, CallbackData) else {
            return STATUS_INVALID_PARAMETER;
        };
        if CanceledCallback.is_none()
            || !operation.is_cancellable()
            || operation.current_layer().is_none()
        {
            let text = "called for what is no IRP, is paging I/O, or is not in a callback";
            operation.machine.verifier.violation(Rule::V12, CALL, text);
            return STATUS_INVALID_PARAMETER;
        }
        match operation.on_cancel(OnCancel::Complete(CanceledCallback)) {
            Ok(()) => STATUS_SUCCESS,
            Err(_) => STATUS_CANCELLED,
        }
    }

    /// Takes the cancel routine of an operation away; fails if it was called, or is about to be.
    unsafe fn FltClearCancelCompletion(CallbackData: PFLT_CALLBACK_DATA) -> NTSTATUS {
        const CALL: &str = "FltClearCancelCompletion";
        let Some(operation) = operation(CALL, CallbackData) else {
            return STATUS_INVALID_PARAMETER;
        };
        match operation.take_cancel() {
            Some(_) => STATUS_SUCCESS,
            None => STATUS_CANCELLED,
        }
    }

    /// Asks to be told what the layers below return for an operation.
    unsafe fn FltRequestOperationStatusCallback(
        Data: PFLT_CALLBACK_DATA,
        CallbackRoutine: PFLT_GET_OPERATION_STATUS_CALLBACK,
        RequesterContext: PVOID,
    ) -> NTSTATUS {
        const CALL: &str = "FltRequestOperationStatusCallback";
        let Some(operation) = operation(CALL, Data) else {
            return STATUS_INVALID_PARAMETER;
        };
        if CallbackRoutine.is_none() {
            return STATUS_INVALID_PARAMETER;
        }
        let context = RequesterContext as usize;
        match io::request_status(&operation, CallbackRoutine, context, CALL) {
            Ok(()) => STATUS_SUCCESS,
            Err(status) => status,
        }
    }
}
