//! Callback data of a minifilter's own, and the operations that it sends with it.

use super::file::Done;
use super::operation::operation;
use super::{bad_pointer, enter, enter_below, exports, file_object, instance, write};
use crate::io::{self, Own, Phase};
use crate::kernel::irql;
use crate::machine::Inner;
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;

const PREALLOCATE_ALL_MEMORY: FLT_ALLOCATE_CALLBACK_DATA_FLAGS = 1;

exports! {
    /// Allocates callback data.
    unsafe fn FltAllocateCallbackData(
        Instance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
        RetNewCallbackData: *mut PFLT_CALLBACK_DATA,
    ) -> NTSTATUS {
        const CALL: &str = "FltAllocateCallbackData";
        // SAFETY: the caller passes a place for the result.
        unsafe { allocate(CALL, Instance, FileObject, RetNewCallbackData) }
    }

    /// Allocates callback data, and everything else that an operation with it needs.
    unsafe fn FltAllocateCallbackDataEx(
        Instance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
        Flags: FLT_ALLOCATE_CALLBACK_DATA_FLAGS,
        RetNewCallbackData: *mut PFLT_CALLBACK_DATA,
    ) -> NTSTATUS {
        const CALL: &str = "FltAllocateCallbackDataEx";
        if Flags & !PREALLOCATE_ALL_MEMORY != 0 {
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: the caller passes a place for the result.
        unsafe { allocate(CALL, Instance, FileObject, RetNewCallbackData) }
    }

    /// Makes callback data ready for another operation.
    unsafe fn FltReuseCallbackData(CallbackData: PFLT_CALLBACK_DATA) {
        const CALL: &str = "FltReuseCallbackData";
        if let Some(own) = idle(CALL, CallbackData, "reused") {
            enter(own.machine(), CALL);
            own.reset();
        }
    }

    /// Frees callback data.
    unsafe fn FltFreeCallbackData(CallbackData: PFLT_CALLBACK_DATA) {
        const CALL: &str = "FltFreeCallbackData";
        if let Some(own) = idle(CALL, CallbackData, "freed") {
            enter(own.machine(), CALL);
            own.free();
        }
    }

    /// Performs an operation and waits for it.
    unsafe fn FltPerformSynchronousIo(CallbackData: PFLT_CALLBACK_DATA) {
        const CALL: &str = "FltPerformSynchronousIo";
        if let Some(own) = idle(CALL, CallbackData, "used") {
            enter_for(own.machine(), CALL, CallbackData);
            own.perform();
        }
    }

    /// Performs an operation and calls back when it is complete.
    unsafe fn FltPerformAsynchronousIo(
        CallbackData: PFLT_CALLBACK_DATA,
        CallbackRoutine: PFLT_COMPLETED_ASYNC_IO_CALLBACK,
        CallbackContext: PVOID,
    ) -> NTSTATUS {
        const CALL: &str = "FltPerformAsynchronousIo";
        let Some(own) = idle(CALL, CallbackData, "used") else {
            return STATUS_INVALID_PARAMETER;
        };
        let machine = Arc::clone(own.machine());
        enter_for(&machine, CALL, CallbackData);
        if CallbackRoutine.is_none() {
            machine.verifier.violation(Rule::V0, CALL, "CallbackRoutine is null");
            return STATUS_INVALID_PARAMETER;
        }
        own.instance.references.acquire_always(CALL);
        own.instance.begin_own();
        let done = Done {
            instance: Arc::clone(&own.instance),
            callback: CallbackRoutine,
            context: CallbackContext as usize,
        };
        let weak = Arc::downgrade(&machine);
        own.begin(move |data| {
            if let Some(machine) = weak.upgrade() {
                done.tell(&machine, data);
            }
        })
    }

    /// Performs a completed operation again, from below an instance.
    unsafe fn FltReissueSynchronousIo(
        InitiatingInstance: PFLT_INSTANCE,
        CallbackData: PFLT_CALLBACK_DATA,
    ) {
        const CALL: &str = "FltReissueSynchronousIo";
        let below = instance(CALL, "InitiatingInstance", InitiatingInstance);
        if let Some(own) = io::find_own(CallbackData).filter(|own| !own.is_busy()) {
            enter_for(own.machine(), CALL, CallbackData);
            own.perform();
            return;
        }
        let (Some((machine, below)), Some(operation)) = (below, operation(CALL, CallbackData))
        else {
            return;
        };
        let level = operation.current_layer().filter(|index| {
            let layer = &operation.layers[*index];
            layer.instance.id == below.id
                && operation.state.lock().layers[*index].phase == Phase::InPost
        });
        let synchronous = operation.major == IRP_MJ_CREATE
            || level.is_some_and(|index| operation.state.lock().layers[index].arrived);
        let irp = operation.door == io::Door::Irp;
        if level.is_none() || !synchronous || !irp || irql::current() > APC_LEVEL {
            let text = "only the post-operation callback of a synchronised IRP can send it again";
            machine.verifier.violation(Rule::V12, CALL, text);
            operation.set_io_status(STATUS_INVALID_PARAMETER, 0);
            return;
        }
        io::reissue(&operation, &below);
    }
}

/// # Safety
/// `returned` is a place for the result.
unsafe fn allocate(
    call: &'static str,
    owner: PFLT_INSTANCE,
    file: PFILE_OBJECT,
    returned: *mut PFLT_CALLBACK_DATA,
) -> NTSTATUS {
    let owner = instance(call, "Instance", owner);
    let named = (!file.is_null()).then(|| file_object(call, "FileObject", file));
    let (Some((machine, owner)), false) = (owner, matches!(named, Some(None))) else {
        // SAFETY: a place for the result by this function's contract.
        unsafe { write(returned, null_mut()) };
        return STATUS_INVALID_PARAMETER;
    };
    enter(&machine, call);
    let file = named.flatten().map(|(_, file)| file);
    let data = io::allocate(&machine, &owner, file, call);
    // SAFETY: a place for the result by this function's contract.
    unsafe { write(returned, data) };
    STATUS_SUCCESS
}

/// Callback data of a driver's own that no operation uses now.
fn idle(call: &'static str, data: PFLT_CALLBACK_DATA, what: &str) -> Option<Arc<Own>> {
    let Some(own) = io::find_own(data) else {
        let wanted = "callback data of FltAllocateCallbackData";
        bad_pointer(call, "CallbackData", data as usize, wanted);
        return None;
    };
    if own.is_busy() {
        let text = format!("callback data was {what} while an operation uses it");
        own.machine().verifier.violation(Rule::V20, call, text);
        return None;
    }
    Some(own)
}

/// As [`enter`]; paging I/O may be sent at `APC_LEVEL`.
fn enter_for(machine: &Inner, call: &'static str, data: PFLT_CALLBACK_DATA) {
    let paging = io::find(data).is_some_and(|operation| {
        let iopb = operation.iopb().load();
        let possible = matches!(
            iopb.MajorFunction,
            IRP_MJ_READ | IRP_MJ_WRITE | IRP_MJ_QUERY_INFORMATION | IRP_MJ_SET_INFORMATION
        );
        possible && iopb.IrpFlags & IRP_PAGING_IO != 0
    });
    enter_below(machine, call, paging.then_some(APC_LEVEL));
}
