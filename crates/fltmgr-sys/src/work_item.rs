//! Work items.
//!
//! Reference: the `fltkernel.h` pages of the Windows driver DDI documentation.

use crate::abi::{fltapi_callbacks, fltapi_functions};
use crate::*;

/// Which system work queue an item goes to.
pub type WORK_QUEUE_TYPE = i32;

pub const CriticalWorkQueue: WORK_QUEUE_TYPE = 0;
pub const DelayedWorkQueue: WORK_QUEUE_TYPE = 1;

fltapi_callbacks! {
    /// Runs a generic work item. `IRQL == PASSIVE_LEVEL`.
    pub type PFLT_GENERIC_WORKITEM_ROUTINE = fn(FltWorkItem: PFLT_GENERIC_WORKITEM, FltObject: PVOID, Context: PVOID);
    /// Runs a deferred operation. `IRQL == PASSIVE_LEVEL`.
    pub type PFLT_DEFERRED_IO_WORKITEM_ROUTINE = fn(FltWorkItem: PFLT_DEFERRED_IO_WORKITEM, CallbackData: PFLT_CALLBACK_DATA, Context: PVOID);
}

fltapi_functions! {
    /// Allocates a generic work item.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltAllocateGenericWorkItem() -> PFLT_GENERIC_WORKITEM;

    /// Frees a generic work item.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltFreeGenericWorkItem(FltWorkItem: PFLT_GENERIC_WORKITEM);

    /// Queues a generic work item; unload waits for it.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltQueueGenericWorkItem(FltWorkItem: PFLT_GENERIC_WORKITEM, FltObject: PVOID, WorkerRoutine: PFLT_GENERIC_WORKITEM_ROUTINE, QueueType: WORK_QUEUE_TYPE, Context: PVOID) -> NTSTATUS;

    /// Allocates a work item for a deferred operation.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltAllocateDeferredIoWorkItem() -> PFLT_DEFERRED_IO_WORKITEM;

    /// Frees a work item for a deferred operation.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltFreeDeferredIoWorkItem(FltWorkItem: PFLT_DEFERRED_IO_WORKITEM);

    /// Queues a work item for a deferred operation.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltQueueDeferredIoWorkItem(FltWorkItem: PFLT_DEFERRED_IO_WORKITEM, Data: PFLT_CALLBACK_DATA, WorkerRoutine: PFLT_DEFERRED_IO_WORKITEM_ROUTINE, QueueType: WORK_QUEUE_TYPE, Context: PVOID) -> NTSTATUS;
}
