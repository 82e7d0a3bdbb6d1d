//! Cancel-safe queues of callback data.
//!
//! Reference: the `fltkernel.h` pages of the Windows driver DDI documentation.

use crate::abi::{fltapi_callbacks, fltapi_functions};
use crate::*;

/// A cancel-safe queue of IRPs, which a queue of callback data is built on.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IO_CSQ {
    pub Type: ULONG,
    pub Routines: [PVOID; 6],
    pub ReservePointer: PVOID,
}

/// What identifies one operation in a queue.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IO_CSQ_IRP_CONTEXT {
    pub Type: ULONG,
    pub Irp: PIRP,
    pub Csq: *mut IO_CSQ,
}
pub type PFLT_CALLBACK_DATA_QUEUE_IO_CONTEXT = *mut IO_CSQ_IRP_CONTEXT;

pub type FLT_CALLBACK_DATA_QUEUE_FLAGS = ULONG;

/// A queue of callback data. The minifilter allocates it and leaves it alone.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FLT_CALLBACK_DATA_QUEUE {
    pub Csq: IO_CSQ,
    pub Flags: FLT_CALLBACK_DATA_QUEUE_FLAGS,
    pub Instance: PFLT_INSTANCE,
    pub InsertIo: PFLT_CALLBACK_DATA_QUEUE_INSERT_IO,
    pub RemoveIo: PFLT_CALLBACK_DATA_QUEUE_REMOVE_IO,
    pub PeekNextIo: PFLT_CALLBACK_DATA_QUEUE_PEEK_NEXT_IO,
    pub Acquire: PFLT_CALLBACK_DATA_QUEUE_ACQUIRE,
    pub Release: PFLT_CALLBACK_DATA_QUEUE_RELEASE,
    pub CompleteCanceledIo: PFLT_CALLBACK_DATA_QUEUE_COMPLETE_CANCELED_IO,
}
pub type PFLT_CALLBACK_DATA_QUEUE = *mut FLT_CALLBACK_DATA_QUEUE;

fltapi_callbacks! {
    /// Puts an operation into the queue, which is locked.
    pub type PFLT_CALLBACK_DATA_QUEUE_INSERT_IO = fn(Cbdq: PFLT_CALLBACK_DATA_QUEUE, Cbd: PFLT_CALLBACK_DATA, InsertContext: PVOID) -> NTSTATUS;
    /// Takes an operation out of the queue, which is locked.
    pub type PFLT_CALLBACK_DATA_QUEUE_REMOVE_IO = fn(Cbdq: PFLT_CALLBACK_DATA_QUEUE, Cbd: PFLT_CALLBACK_DATA);
    /// The first operation of the queue, or the one after another, that matches; the queue is locked.
    pub type PFLT_CALLBACK_DATA_QUEUE_PEEK_NEXT_IO = fn(Cbdq: PFLT_CALLBACK_DATA_QUEUE, Cbd: PFLT_CALLBACK_DATA, PeekContext: PVOID) -> PFLT_CALLBACK_DATA;
    /// Locks the queue.
    pub type PFLT_CALLBACK_DATA_QUEUE_ACQUIRE = fn(Cbdq: PFLT_CALLBACK_DATA_QUEUE, Irql: *mut KIRQL);
    /// Unlocks the queue.
    pub type PFLT_CALLBACK_DATA_QUEUE_RELEASE = fn(Cbdq: PFLT_CALLBACK_DATA_QUEUE, Irql: KIRQL);
    /// Completes an operation that was cancelled and is no longer in the queue.
    pub type PFLT_CALLBACK_DATA_QUEUE_COMPLETE_CANCELED_IO = fn(Cbdq: PFLT_CALLBACK_DATA_QUEUE, Cbd: PFLT_CALLBACK_DATA);
}

fltapi_functions! {
    /// Initialises a queue, which is then enabled.
    ///
    /// any IRQL its page allows; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltCbdqInitialize(Instance: PFLT_INSTANCE, Cbdq: PFLT_CALLBACK_DATA_QUEUE, CbdqInsertIo: PFLT_CALLBACK_DATA_QUEUE_INSERT_IO, CbdqRemoveIo: PFLT_CALLBACK_DATA_QUEUE_REMOVE_IO, CbdqPeekNextIo: PFLT_CALLBACK_DATA_QUEUE_PEEK_NEXT_IO, CbdqAcquire: PFLT_CALLBACK_DATA_QUEUE_ACQUIRE, CbdqRelease: PFLT_CALLBACK_DATA_QUEUE_RELEASE, CbdqCompleteCanceledIo: PFLT_CALLBACK_DATA_QUEUE_COMPLETE_CANCELED_IO) -> NTSTATUS;

    /// Lets a queue take operations again.
    ///
    /// any IRQL its page allows; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltCbdqEnable(Cbdq: PFLT_CALLBACK_DATA_QUEUE);

    /// Keeps a queue from taking operations.
    ///
    /// any IRQL its page allows; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltCbdqDisable(Cbdq: PFLT_CALLBACK_DATA_QUEUE);

    /// Puts an operation into a queue.
    ///
    /// any IRQL its page allows; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltCbdqInsertIo(Cbdq: PFLT_CALLBACK_DATA_QUEUE, Cbd: PFLT_CALLBACK_DATA, Context: PFLT_CALLBACK_DATA_QUEUE_IO_CONTEXT, InsertContext: PVOID) -> NTSTATUS;

    /// Takes one operation out of a queue; NULL if it was cancelled.
    ///
    /// any IRQL its page allows; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltCbdqRemoveIo(Cbdq: PFLT_CALLBACK_DATA_QUEUE, Context: PFLT_CALLBACK_DATA_QUEUE_IO_CONTEXT) -> PFLT_CALLBACK_DATA;

    /// Takes the next operation that matches out of a queue; NULL if there is none.
    ///
    /// any IRQL its page allows; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltCbdqRemoveNextIo(Cbdq: PFLT_CALLBACK_DATA_QUEUE, PeekContext: PVOID) -> PFLT_CALLBACK_DATA;
}
