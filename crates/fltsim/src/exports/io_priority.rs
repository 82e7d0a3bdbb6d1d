//! Hints of how urgent I/O is: of an operation, a file object, a thread. Nothing is scheduled by them.

use super::operation::operation;
use super::thread::thread_at;
use super::{enter, exports, file_object};
use crate::io::Door;
use crate::kernel::handle::downcast;
use crate::kernel::thread::{IO_PRIORITY, Thread};
use crate::manager::{Object, find};
use fltmgr_sys::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// `MaxIoPriorityTypes`.
const TYPES: i32 = 5;

fn is_hint(hint: i32) -> bool {
    (0..TYPES).contains(&hint)
}

exports! {
    /// How urgent an operation is: as it says itself, or its file object, or its thread.
    unsafe fn FltGetIoPriorityHint(data: PFLT_CALLBACK_DATA) -> i32 {
        let Some(operation) = operation("FltGetIoPriorityHint", data) else {
            return IO_PRIORITY;
        };
        let own = operation.carried().lock().priority;
        let thread = operation.data().load().Thread as usize;
        let of_thread = || {
            let thread = find(thread).and_then(Object::kernel);
            let thread: Option<Arc<Thread>> = thread.and_then(downcast);
            thread.map_or(IO_PRIORITY, |thread| thread.io_priority.load(Ordering::Relaxed))
        };
        own.or_else(|| operation.file.priority()).unwrap_or_else(of_thread)
    }

    /// How urgent an operation says that it is.
    unsafe fn FltGetIoPriorityHintFromCallbackData(data: PFLT_CALLBACK_DATA) -> i32 {
        let operation = operation("FltGetIoPriorityHintFromCallbackData", data);
        let own = operation.and_then(|operation| operation.carried().lock().priority);
        own.unwrap_or(IO_PRIORITY)
    }

    /// How urgent I/O with a file object is.
    unsafe fn FltGetIoPriorityHintFromFileObject(file: PFILE_OBJECT) -> i32 {
        const CALL: &str = "FltGetIoPriorityHintFromFileObject";
        let Some((machine, file)) = file_object(CALL, "FileObject", file) else {
            return IO_PRIORITY;
        };
        enter(&machine, CALL);
        file.priority().unwrap_or(IO_PRIORITY)
    }

    /// How urgent I/O of a thread is.
    unsafe fn FltGetIoPriorityHintFromThread(thread: PVOID) -> i32 {
        let thread = thread_at("FltGetIoPriorityHintFromThread", thread);
        thread.map_or(IO_PRIORITY, |thread| thread.io_priority.load(Ordering::Relaxed))
    }

    /// Says how urgent an operation is. A direct call has no place for it, which is no error.
    unsafe fn FltSetIoPriorityHintIntoCallbackData(
        data: PFLT_CALLBACK_DATA,
        hint: i32,
    ) -> NTSTATUS {
        let operation = operation("FltSetIoPriorityHintIntoCallbackData", data);
        let Some(operation) = operation.filter(|_| is_hint(hint)) else {
            return STATUS_INVALID_PARAMETER;
        };
        if operation.door == Door::Irp {
            operation.carried().lock().priority = Some(hint);
        }
        STATUS_SUCCESS
    }

    /// Says how urgent I/O with a file object is.
    unsafe fn FltSetIoPriorityHintIntoFileObject(file: PFILE_OBJECT, hint: i32) -> NTSTATUS {
        const CALL: &str = "FltSetIoPriorityHintIntoFileObject";
        let Some((machine, file)) = file_object(CALL, "FileObject", file) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        if !is_hint(hint) {
            return STATUS_INVALID_PARAMETER;
        }
        file.set_priority(hint);
        STATUS_SUCCESS
    }

    /// Says how urgent I/O of a thread is.
    unsafe fn FltSetIoPriorityHintIntoThread(thread: PVOID, hint: i32) -> NTSTATUS {
        let thread = thread_at("FltSetIoPriorityHintIntoThread", thread);
        let Some(thread) = thread.filter(|_| is_hint(hint)) else {
            return STATUS_INVALID_PARAMETER;
        };
        thread.io_priority.store(hint, Ordering::Relaxed);
        STATUS_SUCCESS
    }
}
