//! Registering a minifilter with the Filter Manager.
//!
//! Reference: the `fltkernel.h` pages of the Windows driver DDI documentation.

use crate::abi::{fltapi_callbacks, fltapi_functions};
use crate::*;

pub type FLT_REGISTRATION_FLAGS = ULONG;
pub type FLT_FILTER_UNLOAD_FLAGS = ULONG;
pub type FLT_OPERATION_REGISTRATION_FLAGS = ULONG;

pub const FLT_REGISTRATION_VERSION_0200: USHORT = 0x200;
pub const FLT_REGISTRATION_VERSION_0201: USHORT = 0x201;
pub const FLT_REGISTRATION_VERSION_0202: USHORT = 0x202;
pub const FLT_REGISTRATION_VERSION_0203: USHORT = 0x203;
pub const FLT_REGISTRATION_VERSION: USHORT = 0x203;
pub const FLTFL_REGISTRATION_DO_NOT_SUPPORT_SERVICE_STOP: FLT_REGISTRATION_FLAGS = 1;
pub const FLTFL_REGISTRATION_SUPPORT_NPFS_MSFS: FLT_REGISTRATION_FLAGS = 2;
pub const FLTFL_REGISTRATION_SUPPORT_DAX_VOLUME: FLT_REGISTRATION_FLAGS = 4;
pub const FLTFL_REGISTRATION_SUPPORT_WCOS: FLT_REGISTRATION_FLAGS = 8;
pub const FLTFL_OPERATION_REGISTRATION_SKIP_PAGING_IO: FLT_OPERATION_REGISTRATION_FLAGS = 1;
pub const FLTFL_OPERATION_REGISTRATION_SKIP_CACHED_IO: FLT_OPERATION_REGISTRATION_FLAGS = 2;
pub const FLTFL_OPERATION_REGISTRATION_SKIP_NON_DASD_IO: FLT_OPERATION_REGISTRATION_FLAGS = 4;
pub const FLTFL_OPERATION_REGISTRATION_SKIP_NON_CACHED_NON_PAGING_IO:
    FLT_OPERATION_REGISTRATION_FLAGS = 8;
pub const FLTFL_FILTER_UNLOAD_MANDATORY: FLT_FILTER_UNLOAD_FLAGS = 1;

fltapi_callbacks! {
    /// Asks the minifilter to unload. `IRQL == PASSIVE_LEVEL`.
    pub type PFLT_FILTER_UNLOAD_CALLBACK = fn(Flags: FLT_FILTER_UNLOAD_FLAGS) -> NTSTATUS;
}

/// Callbacks for one major function code; the table ends with [`IRP_MJ_OPERATION_END`].
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_OPERATION_REGISTRATION {
    pub MajorFunction: UCHAR,
    pub Flags: FLT_OPERATION_REGISTRATION_FLAGS,
    pub PreOperation: PFLT_PRE_OPERATION_CALLBACK,
    pub PostOperation: PFLT_POST_OPERATION_CALLBACK,
    pub Reserved1: PVOID,
}

// SAFETY: a registration is a table of constants; its only pointers are function pointers and a
// reserved member that must be NULL, so any thread may read it.
unsafe impl Sync for FLT_OPERATION_REGISTRATION {}

/// What a minifilter tells `FltRegisterFilter` about itself.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_REGISTRATION {
    pub Size: USHORT,
    pub Version: USHORT,
    pub Flags: FLT_REGISTRATION_FLAGS,
    pub ContextRegistration: *const FLT_CONTEXT_REGISTRATION,
    pub OperationRegistration: *const FLT_OPERATION_REGISTRATION,
    pub FilterUnloadCallback: PFLT_FILTER_UNLOAD_CALLBACK,
    pub InstanceSetupCallback: PFLT_INSTANCE_SETUP_CALLBACK,
    pub InstanceQueryTeardownCallback: PFLT_INSTANCE_QUERY_TEARDOWN_CALLBACK,
    pub InstanceTeardownStartCallback: PFLT_INSTANCE_TEARDOWN_CALLBACK,
    pub InstanceTeardownCompleteCallback: PFLT_INSTANCE_TEARDOWN_CALLBACK,
    pub GenerateFileNameCallback: PFLT_GENERATE_FILE_NAME,
    pub NormalizeNameComponentCallback: PFLT_NORMALIZE_NAME_COMPONENT,
    pub NormalizeContextCleanupCallback: PFLT_NORMALIZE_CONTEXT_CLEANUP,
    pub TransactionNotificationCallback: PFLT_TRANSACTION_NOTIFICATION_CALLBACK,
    pub NormalizeNameComponentExCallback: PFLT_NORMALIZE_NAME_COMPONENT_EX,
    pub SectionNotificationCallback: PFLT_SECTION_CONFLICT_NOTIFICATION_CALLBACK,
}

// SAFETY: a registration is a table of constants; the tables that it points to are `Sync` and
// live as long as it does by the caller's promise to `FltRegisterFilter`.
unsafe impl Sync for FLT_REGISTRATION {}

fltapi_functions! {
    /// Registers a minifilter and its callbacks.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltRegisterFilter(Driver: PDRIVER_OBJECT, Registration: *const FLT_REGISTRATION, RetFilter: *mut PFLT_FILTER) -> NTSTATUS;

    /// Starts filtering: instances attach and callbacks may arrive, even before this returns.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltStartFiltering(Filter: PFLT_FILTER) -> NTSTATUS;

    /// Unregisters a minifilter: tears its instances down, deletes its contexts and waits for its references.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltUnregisterFilter(Filter: PFLT_FILTER);

    /// Loads another minifilter by service name.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltLoadFilter(FilterName: PCUNICODE_STRING) -> NTSTATUS;

    /// Asks for the unload of a minifilter by service name.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltUnloadFilter(FilterName: PCUNICODE_STRING) -> NTSTATUS;

    /// Finds a Filter Manager routine by name, for routines newer than the oldest Windows that a driver supports.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetRoutineAddress(FltMgrRoutineName: *const CHAR) -> PVOID;
}
