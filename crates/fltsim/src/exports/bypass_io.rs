//! The veto of a filter against reads that bypass it.

use super::operation::operation;
use super::{exports, filter};
use crate::io::{Operation, Phase};
use crate::kernel::string;
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::mem::offset_of;

const FSCTL_MANAGE_BYPASS_IO: ULONG = 0x0009_0448;
/// `FS_BPIO_OP_ENABLE` and `FS_BPIO_OP_QUERY`, the operations that can be vetoed.
const ENABLE: ULONG = 1;
const QUERY: ULONG = 3;

/// `FS_BPIO_INPUT`.
#[repr(C)]
struct Input {
    operation: ULONG,
    flags: ULONG,
    reserved: [u64; 2],
}

/// `FS_BPIO_OUTPUT` of these two operations, which ends with an `FS_BPIO_RESULTS`.
#[repr(C)]
struct Output {
    operation: ULONG,
    flags: ULONG,
    reserved: [u64; 2],
    status: NTSTATUS,
    driver_length: u16,
    driver: [u16; 32],
    reason_length: u16,
    reason: [u16; 128],
}

const _: () = assert!(size_of::<Input>() == 24);
const _: () = assert!(size_of::<Output>() == 352);
const _: () = assert!(offset_of!(Output, status) == 24);
const _: () = assert!(offset_of!(Output, driver) == 24 + 6);
const _: () = assert!(offset_of!(Output, reason) == 24 + 72);

/// A text that need not end with a zero, cut where it does not fit, and its length in characters.
fn fixed<const N: usize>(text: &str) -> ([u16; N], u16) {
    let mut units = [0; N];
    let mut length = 0;
    for (place, unit) in units.iter_mut().zip(text.encode_utf16()) {
        *place = unit;
        length += 1;
    }
    (units, length)
}

exports! {
    /// Fills in the answer to a request for reads that bypass the filters: this one does not allow
    /// them. The filter completes the request itself.
    unsafe fn FltVetoBypassIo(
        CallbackData: PFLT_CALLBACK_DATA,
        FltObjects: PCFLT_RELATED_OBJECTS,
        OperationStatus: NTSTATUS,
        FailureReason: PCUNICODE_STRING,
    ) -> NTSTATUS {
        const CALL: &str = "FltVetoBypassIo";
        let Some(operation) = operation(CALL, CallbackData) else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes what its callback got, or null.
        let objects = unsafe { FltObjects.as_ref() };
        let by = objects.and_then(|objects| filter(CALL, "FltObjects->Filter", objects.Filter));
        let Some((_, by)) = by else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes a string or null.
        let reason = unsafe { string::read(FailureReason) };
        if OperationStatus.cast_unsigned() >> 30 != 3 {
            return STATUS_INVALID_PARAMETER_3;
        }
        let Some(reason) = reason.filter(|reason| !reason.is_empty()) else {
            return STATUS_INVALID_PARAMETER_4;
        };
        let (driver, driver_length) = fixed(&format!("{}.sys", by.name));
        let (reason, reason_length) = fixed(&reason);
        // SAFETY: the buffer of a control belongs to it as long as its callbacks run.
        unsafe {
            answer(CALL, &operation, |operation| Output {
                operation,
                flags: 0,
                reserved: [0; 2],
                status: OperationStatus,
                driver_length,
                driver,
                reason_length,
                reason,
            })
        }
    }
}

/// Replaces what is asked in the buffer of a control by the answer.
///
/// # Safety
/// The buffer of the operation, if it is such a control, has its length.
unsafe fn answer(
    call: &'static str,
    operation: &Operation,
    output: impl FnOnce(ULONG) -> Output,
) -> NTSTATUS {
    let misused = |what: &str| {
        operation.machine.verifier.violation(Rule::V0, call, what);
        STATUS_INVALID_PARAMETER
    };
    let layer = operation.current_layer();
    let phase = layer.map(|layer| operation.state.lock().layers[layer].phase);
    if !matches!(
        phase,
        Some(Phase::InPre | Phase::Resumed { .. } | Phase::Pended)
    ) {
        return misused("called outside of a pre-operation callback");
    }
    let iopb = operation.iopb().load();
    // SAFETY: every bit pattern of the members that are looked at is a number.
    let control = unsafe { iopb.Parameters.FileSystemControl };
    // SAFETY: the code and the lengths lie at the same places in each member.
    let control = unsafe { control.Buffered };
    if iopb.MajorFunction != IRP_MJ_FILE_SYSTEM_CONTROL
        || control.FsControlCode != FSCTL_MANAGE_BYPASS_IO
    {
        return misused("the operation is not FSCTL_MANAGE_BYPASS_IO");
    }
    if (control.InputBufferLength as usize) < size_of::<Input>() {
        return STATUS_INVALID_BUFFER_SIZE;
    }
    if (control.OutputBufferLength as usize) < size_of::<Output>() {
        return STATUS_BUFFER_TOO_SMALL;
    }
    // SAFETY: the buffer of a buffered control has both lengths, by this function's contract.
    let input = unsafe { control.SystemBuffer.cast::<Input>().read_unaligned() };
    if !matches!(input.operation, ENABLE | QUERY) {
        return misused("only requests to enable BypassIO and queries can be vetoed");
    }
    let output = output(input.operation);
    let place = control.SystemBuffer.cast::<Output>();
    // SAFETY: as above.
    unsafe { place.write_unaligned(output) };
    STATUS_SUCCESS
}
