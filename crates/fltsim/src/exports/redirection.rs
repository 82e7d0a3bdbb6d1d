//! Redirecting operations to an instance on another volume: an operation stays on its volume here,
//! and that is what a driver is told.

use super::operation::operation;
use super::{enter, exports, instance, write};
use fltmgr_sys::*;

/// Answers for a pair of instances: not supported.
///
/// # Safety
/// `answer` is null or may be written to.
unsafe fn refuse(
    call: &'static str,
    source: PFLT_INSTANCE,
    target: PFLT_INSTANCE,
    answer: *mut BOOLEAN,
) -> NTSTATUS {
    // SAFETY: by this function's contract.
    unsafe { write(answer, 0) };
    let source = instance(call, "SourceInstance", source);
    let target = instance(call, "TargetInstance", target);
    let Some(((machine, _), _)) = source.zip(target) else {
        return STATUS_INVALID_PARAMETER;
    };
    enter(&machine, call);
    STATUS_NOT_SUPPORTED
}

exports! {
    /// Whether all operations can be redirected to another instance.
    unsafe fn FltIsIoRedirectionAllowed(
        source: PFLT_INSTANCE,
        target: PFLT_INSTANCE,
        allowed: *mut BOOLEAN,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a place for the answer.
        unsafe { refuse("FltIsIoRedirectionAllowed", source, target, allowed) }
    }

    /// Whether this operation can be redirected to another instance.
    unsafe fn FltIsIoRedirectionAllowedForOperation(
        data: PFLT_CALLBACK_DATA,
        target: PFLT_INSTANCE,
        this: *mut BOOLEAN,
        all: *mut BOOLEAN,
    ) -> NTSTATUS {
        const CALL: &str = "FltIsIoRedirectionAllowedForOperation";
        // SAFETY: the caller passes a place for the answer.
        unsafe { write(this, 0) };
        // SAFETY: as above, or null.
        unsafe { write(all, 0) };
        let target = instance(CALL, "TargetInstance", target);
        match operation(CALL, data).zip(target) {
            Some(_) => STATUS_NOT_SUPPORTED,
            None => STATUS_INVALID_PARAMETER,
        }
    }

    /// Makes the stack of one volume as deep as that of another.
    unsafe fn FltAdjustDeviceStackSizeForIoRedirection(
        source: PFLT_INSTANCE,
        target: PFLT_INSTANCE,
        modified: *mut BOOLEAN,
    ) -> NTSTATUS {
        const CALL: &str = "FltAdjustDeviceStackSizeForIoRedirection";
        // SAFETY: the caller passes a place for the answer, or null.
        unsafe { refuse(CALL, source, target, modified) }
    }
}
