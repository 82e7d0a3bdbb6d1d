//! What an IRP may carry for others: the activity that it belongs to, and that it copies a file.

use super::operation::operation;
use super::{exports, write};
use crate::io::Door;
use fltmgr_sys::*;

exports! {
    /// The activity that an operation belongs to.
    unsafe fn FltGetActivityIdCallbackData(
        data: PFLT_CALLBACK_DATA,
        returned: *mut [u8; 16],
    ) -> NTSTATUS {
        const CALL: &str = "FltGetActivityIdCallbackData";
        let Some(operation) = operation(CALL, data) else {
            return STATUS_INVALID_PARAMETER;
        };
        if operation.door != Door::Irp {
            return STATUS_NOT_SUPPORTED;
        }
        let Some(activity) = operation.carried().lock().activity else {
            return STATUS_NOT_FOUND;
        };
        // SAFETY: the caller passes a place for the GUID.
        unsafe { write(returned, activity) };
        STATUS_SUCCESS
    }

    /// Says which activity an operation belongs to. There is no event tracing, which could give it
    /// one.
    unsafe fn FltSetActivityIdCallbackData(
        data: PFLT_CALLBACK_DATA,
        activity: *const [u8; 16],
    ) -> NTSTATUS {
        const CALL: &str = "FltSetActivityIdCallbackData";
        let Some(operation) = operation(CALL, data) else {
            return STATUS_INVALID_PARAMETER;
        };
        if operation.door != Door::Irp || activity.is_null() {
            return STATUS_NOT_SUPPORTED;
        }
        // SAFETY: not null, so the caller's GUID.
        let activity = unsafe { activity.read_unaligned() };
        operation.carried().lock().activity = Some(activity);
        STATUS_SUCCESS
    }

    /// Whether the kernel copies a file with this operation: it never does here.
    unsafe fn FltGetCopyInformationFromCallbackData(
        data: PFLT_CALLBACK_DATA,
        _returned: PVOID,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetCopyInformationFromCallbackData";
        match operation(CALL, data) {
            Some(operation) if operation.door == Door::Irp => STATUS_NOT_FOUND,
            _ => STATUS_INVALID_PARAMETER,
        }
    }
}
