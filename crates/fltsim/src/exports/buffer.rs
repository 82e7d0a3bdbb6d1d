//! The buffers of operations, wherever their parameters keep them.

use super::exports;
use super::operation::operation;
use crate::io::{Buffers, buffers};
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
}
