//! Cancel-safe queues of callback data.

use super::operation::operation;
use super::{bad_pointer, enter, exports, instance};
use crate::io::{self, Queue};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;

exports! {
    /// Initialises a queue, which is then enabled.
    unsafe fn FltCbdqInitialize(
        Instance: PFLT_INSTANCE,
        Cbdq: PFLT_CALLBACK_DATA_QUEUE,
        CbdqInsertIo: PFLT_CALLBACK_DATA_QUEUE_INSERT_IO,
        CbdqRemoveIo: PFLT_CALLBACK_DATA_QUEUE_REMOVE_IO,
        CbdqPeekNextIo: PFLT_CALLBACK_DATA_QUEUE_PEEK_NEXT_IO,
        CbdqAcquire: PFLT_CALLBACK_DATA_QUEUE_ACQUIRE,
        CbdqRelease: PFLT_CALLBACK_DATA_QUEUE_RELEASE,
        CbdqCompleteCanceledIo: PFLT_CALLBACK_DATA_QUEUE_COMPLETE_CANCELED_IO,
    ) -> NTSTATUS {
        const CALL: &str = "FltCbdqInitialize";
        let Some((machine, owner)) = instance(CALL, "Instance", Instance) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let complete = CbdqInsertIo.is_some()
            && CbdqRemoveIo.is_some()
            && CbdqPeekNextIo.is_some()
            && CbdqAcquire.is_some()
            && CbdqRelease.is_some()
            && CbdqCompleteCanceledIo.is_some();
        if Cbdq.is_null() || !complete {
            let text = "the queue or one of its routines is null";
            machine.verifier.violation(Rule::V0, CALL, text);
            return STATUS_INVALID_PARAMETER;
        }
        let queue = FLT_CALLBACK_DATA_QUEUE {
            Csq: IO_CSQ {
                Type: 0,
                Routines: [null_mut(); 6],
                ReservePointer: null_mut(),
            },
            Flags: 0,
            Instance,
            InsertIo: CbdqInsertIo,
            RemoveIo: CbdqRemoveIo,
            PeekNextIo: CbdqPeekNextIo,
            Acquire: CbdqAcquire,
            Release: CbdqRelease,
            CompleteCanceledIo: CbdqCompleteCanceledIo,
        };
        // SAFETY: not null, so the caller's memory for a queue.
        unsafe { Cbdq.write(queue) };
        io::register_queue(&owner, Cbdq);
        STATUS_SUCCESS
    }

    /// Lets a queue take operations again.
    unsafe fn FltCbdqEnable(Cbdq: PFLT_CALLBACK_DATA_QUEUE) {
        if let Some(queue) = queue("FltCbdqEnable", Cbdq) {
            queue.enable(true);
        }
    }

    /// Keeps a queue from taking operations.
    unsafe fn FltCbdqDisable(Cbdq: PFLT_CALLBACK_DATA_QUEUE) {
        if let Some(queue) = queue("FltCbdqDisable", Cbdq) {
            queue.enable(false);
        }
    }

    /// Puts an operation into a queue.
    unsafe fn FltCbdqInsertIo(
        Cbdq: PFLT_CALLBACK_DATA_QUEUE,
        Cbd: PFLT_CALLBACK_DATA,
        Context: PFLT_CALLBACK_DATA_QUEUE_IO_CONTEXT,
        InsertContext: PVOID,
    ) -> NTSTATUS {
        const CALL: &str = "FltCbdqInsertIo";
        let (Some(queue), Some(operation)) = (known(CALL, Cbdq), operation(CALL, Cbd)) else {
            return STATUS_INVALID_PARAMETER;
        };
        if operation.door != io::Door::Irp || operation.current_layer().is_none() {
            let text = "called for what is no IRP, or is not in a callback";
            operation.machine.verifier.violation(Rule::V12, CALL, text);
            return STATUS_INVALID_PARAMETER;
        }
        queue.insert(&operation, Context, InsertContext)
    }

    /// Takes one operation out of a queue; null if it was cancelled.
    unsafe fn FltCbdqRemoveIo(
        Cbdq: PFLT_CALLBACK_DATA_QUEUE,
        Context: PFLT_CALLBACK_DATA_QUEUE_IO_CONTEXT,
    ) -> PFLT_CALLBACK_DATA {
        match queue("FltCbdqRemoveIo", Cbdq) {
            Some(queue) if !Context.is_null() => queue.remove_one(Context),
            _ => null_mut(),
        }
    }

    /// Takes the next operation that matches out of a queue; null if there is none.
    unsafe fn FltCbdqRemoveNextIo(
        Cbdq: PFLT_CALLBACK_DATA_QUEUE,
        PeekContext: PVOID,
    ) -> PFLT_CALLBACK_DATA {
        queue("FltCbdqRemoveNextIo", Cbdq)
            .map_or(null_mut(), |queue| queue.remove_next(PeekContext))
    }
}

/// The queue that a driver names.
fn known(call: &'static str, queue: PFLT_CALLBACK_DATA_QUEUE) -> Option<Queue> {
    if let Some((_, queue)) = io::find_queue(queue) {
        return Some(queue);
    }
    bad_pointer(call, "Cbdq", queue as usize, "queue of FltCbdqInitialize");
    None
}

/// As [`known`]; the call is counted.
fn queue(call: &'static str, queue: PFLT_CALLBACK_DATA_QUEUE) -> Option<Queue> {
    if let Some((machine, _)) = io::find_queue(queue) {
        enter(&machine, call);
    }
    known(call, queue)
}
