//! The buffers of operations, wherever their parameters keep them.

use super::exports;
use super::operation::operation;
use crate::io::{Buffers, Operation, buffers, lock_user_buffer, retain, swapped_list};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;

exports! {
    /// Finds the buffer, MDL and length members of an operation.
    unsafe fn FltDecodeParameters(
        CallbackData: PFLT_CALLBACK_DATA,
        MdlAddressPointer: *mut *mut PMDL,
        Buffer: *mut *mut PVOID,
        Length: *mut *mut ULONG,
        DesiredAccess: *mut LOCK_OPERATION,
    ) -> NTSTATUS {
        const CALL: &str = "FltDecodeParameters";
        let found = operation(CALL, CallbackData)
            .and_then(|operation| buffers(operation.iopb()));
        let Some(Buffers { mdl, buffer, length, access }) = found else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes null or a place for the pointer.
        unsafe { super::write(MdlAddressPointer, mdl) };
        // SAFETY: as above.
        unsafe { super::write(Buffer, buffer) };
        // SAFETY: as above.
        unsafe { super::write(Length, length) };
        // SAFETY: as above, for the access.
        unsafe { super::write(DesiredAccess, access) };
        STATUS_SUCCESS
    }

    /// The system buffer that replaced the one of the pre-operation callback: none ever does.
    unsafe fn FltGetNewSystemBufferAddress(CallbackData: PFLT_CALLBACK_DATA) -> PVOID {
        operation("FltGetNewSystemBufferAddress", CallbackData);
        null_mut()
    }

    /// Locks the buffer of an operation, and makes an MDL for it if there is none.
    unsafe fn FltLockUserBuffer(CallbackData: PFLT_CALLBACK_DATA) -> NTSTATUS {
        const CALL: &str = "FltLockUserBuffer";
        operation(CALL, CallbackData).map_or(STATUS_INVALID_PARAMETER, |operation| {
            lock_user_buffer(&operation, CALL)
        })
    }

    /// The MDL of the buffer that the pre-operation callback of the caller swapped in.
    unsafe fn FltGetSwappedBufferMdlAddress(CallbackData: PFLT_CALLBACK_DATA) -> PMDL {
        const CALL: &str = "FltGetSwappedBufferMdlAddress";
        let Some(operation) = operation(CALL, CallbackData) else {
            return null_mut();
        };
        swapped_list(&operation).unwrap_or_else(|| {
            outside(&operation, CALL);
            null_mut()
        })
    }

    /// Keeps the MDL of the buffer that the caller swapped in from being freed.
    unsafe fn FltRetainSwappedBufferMdlAddress(CallbackData: PFLT_CALLBACK_DATA) {
        const CALL: &str = "FltRetainSwappedBufferMdlAddress";
        let Some(operation) = operation(CALL, CallbackData) else {
            return;
        };
        match retain(&operation) {
            None => outside(&operation, CALL),
            Some(false) => {
                let text = "there is no MDL of a swapped buffer";
                operation.machine.verifier.violation(Rule::V12, CALL, text);
            }
            Some(true) => {}
        }
    }
}

fn outside(operation: &Operation, call: &'static str) {
    let text = "only the post-operation callback that belongs to the swap can call this";
    operation.machine.verifier.violation(Rule::V12, call, text);
}
