//! Operations: majors, callback statuses, completion processing.
//!
//! Reference: the `fltkernel.h` pages of the Windows driver DDI documentation.

use crate::abi::{fltapi_callbacks, fltapi_functions};
use crate::*;

/// What a pre-operation callback decides: one of `FLT_PREOP_*`.
pub type FLT_PREOP_CALLBACK_STATUS = i32;
/// What a post-operation callback decides: one of `FLT_POSTOP_*`.
pub type FLT_POSTOP_CALLBACK_STATUS = i32;
pub type FLT_POST_OPERATION_FLAGS = ULONG;
pub type FLT_ALLOCATE_CALLBACK_DATA_FLAGS = ULONG;
/// Which access a buffer needs.
pub type LOCK_OPERATION = i32;

pub const FLT_PREOP_SUCCESS_WITH_CALLBACK: FLT_PREOP_CALLBACK_STATUS = 0;
pub const FLT_PREOP_SUCCESS_NO_CALLBACK: FLT_PREOP_CALLBACK_STATUS = 1;
pub const FLT_PREOP_PENDING: FLT_PREOP_CALLBACK_STATUS = 2;
pub const FLT_PREOP_DISALLOW_FASTIO: FLT_PREOP_CALLBACK_STATUS = 3;
pub const FLT_PREOP_COMPLETE: FLT_PREOP_CALLBACK_STATUS = 4;
pub const FLT_PREOP_SYNCHRONIZE: FLT_PREOP_CALLBACK_STATUS = 5;
pub const FLT_PREOP_DISALLOW_FSFILTER_IO: FLT_PREOP_CALLBACK_STATUS = 6;
pub const FLT_POSTOP_FINISHED_PROCESSING: FLT_POSTOP_CALLBACK_STATUS = 0;
pub const FLT_POSTOP_MORE_PROCESSING_REQUIRED: FLT_POSTOP_CALLBACK_STATUS = 1;
pub const FLT_POSTOP_DISALLOW_FSFILTER_IO: FLT_POSTOP_CALLBACK_STATUS = 2;
pub const FLTFL_POST_OPERATION_DRAINING: FLT_POST_OPERATION_FLAGS = 1;
pub const IoReadAccess: LOCK_OPERATION = 0;
pub const IoWriteAccess: LOCK_OPERATION = 1;
pub const IoModifyAccess: LOCK_OPERATION = 2;

pub const IRP_MJ_CREATE: UCHAR = 0;
pub const IRP_MJ_CREATE_NAMED_PIPE: UCHAR = 1;
pub const IRP_MJ_CLOSE: UCHAR = 2;
pub const IRP_MJ_READ: UCHAR = 3;
pub const IRP_MJ_WRITE: UCHAR = 4;
pub const IRP_MJ_QUERY_INFORMATION: UCHAR = 5;
pub const IRP_MJ_SET_INFORMATION: UCHAR = 6;
pub const IRP_MJ_QUERY_EA: UCHAR = 7;
pub const IRP_MJ_SET_EA: UCHAR = 8;
pub const IRP_MJ_FLUSH_BUFFERS: UCHAR = 9;
pub const IRP_MJ_QUERY_VOLUME_INFORMATION: UCHAR = 0xA;
pub const IRP_MJ_SET_VOLUME_INFORMATION: UCHAR = 0xB;
pub const IRP_MJ_DIRECTORY_CONTROL: UCHAR = 0xC;
pub const IRP_MJ_FILE_SYSTEM_CONTROL: UCHAR = 0xD;
pub const IRP_MJ_DEVICE_CONTROL: UCHAR = 0xE;
pub const IRP_MJ_INTERNAL_DEVICE_CONTROL: UCHAR = 0xF;
pub const IRP_MJ_SHUTDOWN: UCHAR = 0x10;
pub const IRP_MJ_LOCK_CONTROL: UCHAR = 0x11;
pub const IRP_MJ_CLEANUP: UCHAR = 0x12;
pub const IRP_MJ_CREATE_MAILSLOT: UCHAR = 0x13;
pub const IRP_MJ_QUERY_SECURITY: UCHAR = 0x14;
pub const IRP_MJ_SET_SECURITY: UCHAR = 0x15;
pub const IRP_MJ_POWER: UCHAR = 0x16;
pub const IRP_MJ_SYSTEM_CONTROL: UCHAR = 0x17;
pub const IRP_MJ_DEVICE_CHANGE: UCHAR = 0x18;
pub const IRP_MJ_QUERY_QUOTA: UCHAR = 0x19;
pub const IRP_MJ_SET_QUOTA: UCHAR = 0x1A;
pub const IRP_MJ_PNP: UCHAR = 0x1B;
pub const IRP_MJ_ACQUIRE_FOR_SECTION_SYNCHRONIZATION: UCHAR = 0xFF;
pub const IRP_MJ_RELEASE_FOR_SECTION_SYNCHRONIZATION: UCHAR = 0xFE;
pub const IRP_MJ_ACQUIRE_FOR_MOD_WRITE: UCHAR = 0xFD;
pub const IRP_MJ_RELEASE_FOR_MOD_WRITE: UCHAR = 0xFC;
pub const IRP_MJ_ACQUIRE_FOR_CC_FLUSH: UCHAR = 0xFB;
pub const IRP_MJ_RELEASE_FOR_CC_FLUSH: UCHAR = 0xFA;
pub const IRP_MJ_QUERY_OPEN: UCHAR = 0xF9;
pub const IRP_MJ_FAST_IO_CHECK_IF_POSSIBLE: UCHAR = 0xF3;
pub const IRP_MJ_NETWORK_QUERY_OPEN: UCHAR = 0xF2;
pub const IRP_MJ_MDL_READ: UCHAR = 0xF1;
pub const IRP_MJ_MDL_READ_COMPLETE: UCHAR = 0xF0;
pub const IRP_MJ_PREPARE_MDL_WRITE: UCHAR = 0xEF;
pub const IRP_MJ_MDL_WRITE_COMPLETE: UCHAR = 0xEE;
pub const IRP_MJ_VOLUME_MOUNT: UCHAR = 0xED;
pub const IRP_MJ_VOLUME_DISMOUNT: UCHAR = 0xEC;
pub const IRP_MJ_OPERATION_END: UCHAR = 0x80;

pub const IRP_MN_QUERY_DIRECTORY: UCHAR = 1;
pub const IRP_MN_NOTIFY_CHANGE_DIRECTORY: UCHAR = 2;
pub const IRP_MN_NOTIFY_CHANGE_DIRECTORY_EX: UCHAR = 3;
pub const IRP_MN_USER_FS_REQUEST: UCHAR = 0;
pub const IRP_MN_MOUNT_VOLUME: UCHAR = 1;
pub const IRP_MN_VERIFY_VOLUME: UCHAR = 2;
pub const IRP_MN_LOAD_FILE_SYSTEM: UCHAR = 3;
pub const IRP_MN_KERNEL_CALL: UCHAR = 4;
pub const IRP_MN_LOCK: UCHAR = 1;
pub const IRP_MN_UNLOCK_SINGLE: UCHAR = 2;
pub const IRP_MN_UNLOCK_ALL: UCHAR = 3;
pub const IRP_MN_UNLOCK_ALL_BY_KEY: UCHAR = 4;
pub const IRP_MN_NORMAL: UCHAR = 0;
pub const SL_OPEN_PAGING_FILE: UCHAR = 2;
pub const SL_OPEN_TARGET_DIRECTORY: UCHAR = 4;
pub const SL_STOP_ON_SYMLINK: UCHAR = 8;
pub const SL_CASE_SENSITIVE: UCHAR = 0x80;
pub const SL_RESTART_SCAN: UCHAR = 1;
pub const SL_RETURN_SINGLE_ENTRY: UCHAR = 2;
pub const SL_INDEX_SPECIFIED: UCHAR = 4;
pub const SL_WATCH_TREE: UCHAR = 1;
pub const SL_FAIL_IMMEDIATELY: UCHAR = 1;
pub const SL_EXCLUSIVE_LOCK: UCHAR = 2;

pub const IRP_NOCACHE: ULONG = 1;
pub const IRP_PAGING_IO: ULONG = 2;
pub const IRP_MOUNT_COMPLETION: ULONG = 2;
pub const IRP_SYNCHRONOUS_API: ULONG = 4;
pub const IRP_ASSOCIATED_IRP: ULONG = 8;
pub const IRP_BUFFERED_IO: ULONG = 0x10;
pub const IRP_DEALLOCATE_BUFFER: ULONG = 0x20;
pub const IRP_INPUT_OPERATION: ULONG = 0x40;
pub const IRP_SYNCHRONOUS_PAGING_IO: ULONG = 0x40;
pub const IRP_CREATE_OPERATION: ULONG = 0x80;
pub const IRP_READ_OPERATION: ULONG = 0x100;
pub const IRP_WRITE_OPERATION: ULONG = 0x200;
pub const IRP_CLOSE_OPERATION: ULONG = 0x400;
pub const IRP_DEFER_IO_COMPLETION: ULONG = 0x800;
pub const IRP_OB_QUERY_NAME: ULONG = 0x1000;

fltapi_callbacks! {
    /// Before an operation. `PASSIVE_LEVEL`, or `APC_LEVEL` for paging I/O.
    pub type PFLT_PRE_OPERATION_CALLBACK = fn(Data: PFLT_CALLBACK_DATA, FltObjects: PCFLT_RELATED_OBJECTS, CompletionContext: *mut PVOID) -> FLT_PREOP_CALLBACK_STATUS;
    /// After an operation. `IRQL <= DISPATCH_LEVEL`, on any thread.
    pub type PFLT_POST_OPERATION_CALLBACK = fn(Data: PFLT_CALLBACK_DATA, FltObjects: PCFLT_RELATED_OBJECTS, CompletionContext: PVOID, Flags: FLT_POST_OPERATION_FLAGS) -> FLT_POSTOP_CALLBACK_STATUS;
    /// An operation of `FltPerformAsynchronousIo` is done.
    pub type PFLT_COMPLETED_ASYNC_IO_CALLBACK = fn(CallbackData: PFLT_CALLBACK_DATA, Context: PVOID);
    /// The status of an operation is known. `IRQL <= APC_LEVEL`.
    pub type PFLT_GET_OPERATION_STATUS_CALLBACK = fn(FltObjects: PCFLT_RELATED_OBJECTS, IopbSnapshot: PFLT_IO_PARAMETER_BLOCK, OperationStatus: NTSTATUS, RequesterContext: PVOID);
    /// A pended operation was cancelled.
    pub type PFLT_COMPLETE_CANCELED_CALLBACK = fn(CallbackData: PFLT_CALLBACK_DATA);
}

fltapi_functions! {
    /// Marks changed callback data, so that the changes take effect.
    ///
    /// any IRQL its page allows; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltSetCallbackDataDirty(Data: PFLT_CALLBACK_DATA);

    /// Clears the dirty mark of callback data.
    ///
    /// any IRQL its page allows; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltClearCallbackDataDirty(Data: PFLT_CALLBACK_DATA);

    /// Whether callback data is marked as changed.
    ///
    /// any IRQL its page allows; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltIsCallbackDataDirty(Data: PFLT_CALLBACK_DATA) -> BOOLEAN;

    /// Runs a post-operation callback where it is safe: at once, or from a work item at passive level.
    ///
    /// any IRQL its page allows; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltDoCompletionProcessingWhenSafe(Data: PFLT_CALLBACK_DATA, FltObjects: PCFLT_RELATED_OBJECTS, CompletionContext: PVOID, Flags: FLT_POST_OPERATION_FLAGS, SafePostCallback: PFLT_POST_OPERATION_CALLBACK, RetPostOperationStatus: *mut FLT_POSTOP_CALLBACK_STATUS) -> BOOLEAN;

    /// Resumes an operation that a pre-operation callback pended.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltCompletePendedPreOperation(CallbackData: PFLT_CALLBACK_DATA, CallbackStatus: FLT_PREOP_CALLBACK_STATUS, Context: PVOID);

    /// Resumes completion that a post-operation callback pended.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltCompletePendedPostOperation(CallbackData: PFLT_CALLBACK_DATA);

    /// Asks to be told the status of an operation once lower drivers have accepted it.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltRequestOperationStatusCallback(Data: PFLT_CALLBACK_DATA, CallbackRoutine: PFLT_GET_OPERATION_STATUS_CALLBACK, RequesterContext: PVOID) -> NTSTATUS;

    /// Whether the operation was issued synchronously.
    ///
    /// any IRQL its page allows; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltIsOperationSynchronous(CallbackData: PFLT_CALLBACK_DATA) -> BOOLEAN;

    /// Whether the operation has been cancelled.
    ///
    /// any IRQL its page allows; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltIsIoCanceled(CallbackData: PFLT_CALLBACK_DATA) -> BOOLEAN;

    /// Cancels an operation.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltCancelIo(CallbackData: PFLT_CALLBACK_DATA) -> BOOLEAN;

    /// Installs a cancel routine for a pended operation.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltSetCancelCompletion(CallbackData: PFLT_CALLBACK_DATA, CanceledCallback: PFLT_COMPLETE_CANCELED_CALLBACK) -> NTSTATUS;

    /// Removes the cancel routine of a pended operation.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltClearCancelCompletion(CallbackData: PFLT_CALLBACK_DATA) -> NTSTATUS;

    /// The process that asked for the operation.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetRequestorProcess(CallbackData: PFLT_CALLBACK_DATA) -> PEPROCESS;

    /// The identifier of the process that asked for the operation.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetRequestorProcessId(CallbackData: PFLT_CALLBACK_DATA) -> ULONG;

    /// Locks the buffer of an operation and describes it by an MDL.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltLockUserBuffer(CallbackData: PFLT_CALLBACK_DATA) -> NTSTATUS;

    /// Finds the buffer, MDL and length members of an operation.
    ///
    /// any IRQL its page allows; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltDecodeParameters(CallbackData: PFLT_CALLBACK_DATA, MdlAddressPointer: *mut *mut PMDL, Buffer: *mut *mut PVOID, Length: *mut *mut ULONG, DesiredAccess: *mut LOCK_OPERATION) -> NTSTATUS;

    /// The MDL that the Filter Manager made for a swapped buffer.
    ///
    /// any IRQL its page allows; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetSwappedBufferMdlAddress(CallbackData: PFLT_CALLBACK_DATA) -> PMDL;

    /// Keeps the MDL of a swapped buffer from being freed by the Filter Manager.
    ///
    /// any IRQL its page allows; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltRetainSwappedBufferMdlAddress(CallbackData: PFLT_CALLBACK_DATA);

    /// Allocates callback data for an operation of the minifilter itself.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltAllocateCallbackData(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, RetNewCallbackData: *mut PFLT_CALLBACK_DATA) -> NTSTATUS;

    /// Frees callback data of `FltAllocateCallbackData`.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltFreeCallbackData(CallbackData: PFLT_CALLBACK_DATA);

    /// Makes callback data ready for another operation.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltReuseCallbackData(CallbackData: PFLT_CALLBACK_DATA);

    /// Performs an operation of the minifilter itself and waits for it.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltPerformSynchronousIo(CallbackData: PFLT_CALLBACK_DATA);

    /// Performs an operation of the minifilter itself and calls back when it is done.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltPerformAsynchronousIo(CallbackData: PFLT_CALLBACK_DATA, CallbackRoutine: PFLT_COMPLETED_ASYNC_IO_CALLBACK, CallbackContext: PVOID) -> NTSTATUS;

    /// Performs a completed operation again from below this instance.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltReissueSynchronousIo(InitiatingInstance: PFLT_INSTANCE, CallbackData: PFLT_CALLBACK_DATA);

    /// The printable name of a major function code.
    ///
    /// any IRQL its page allows; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetIrpName(IrpMajorCode: UCHAR) -> *mut CHAR;
}
