//! Extra create parameters: what a create carries beside its own parameters, in a list.
//!
//! Reference: the `fltkernel.h` and `ntifs.h` pages of the Windows driver DDI documentation.

use crate::abi::{fltapi_callbacks, fltapi_functions, opaque};
use crate::*;

opaque! {
    /// A list of extra create parameters.
    ECP_LIST, PECP_LIST;
}

pub type FSRTL_ALLOCATE_ECPLIST_FLAGS = ULONG;
pub type FSRTL_ALLOCATE_ECP_FLAGS = ULONG;
pub type FSRTL_ECP_LOOKASIDE_FLAGS = ULONG;

pub const FSRTL_ALLOCATE_ECPLIST_FLAG_CHARGE_QUOTA: FSRTL_ALLOCATE_ECPLIST_FLAGS = 1;
pub const FSRTL_ALLOCATE_ECP_FLAG_CHARGE_QUOTA: FSRTL_ALLOCATE_ECP_FLAGS = 1;
pub const FSRTL_ALLOCATE_ECP_FLAG_NONPAGED_POOL: FSRTL_ALLOCATE_ECP_FLAGS = 2;
pub const FSRTL_ECP_LOOKASIDE_FLAG_NONPAGED_POOL: FSRTL_ECP_LOOKASIDE_FLAGS = 2;

fltapi_callbacks! {
    /// A parameter is deleted, at whatever IRQL that happens.
    pub type PFSRTL_EXTRA_CREATE_PARAMETER_CLEANUP_CALLBACK = fn(EcpContext: PVOID, EcpType: *const GUID);
}

fltapi_functions! {
    /// Allocates an empty list.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltAllocateExtraCreateParameterList(Filter: PFLT_FILTER, Flags: FSRTL_ALLOCATE_ECPLIST_FLAGS, EcpList: *mut PECP_LIST) -> NTSTATUS;

    /// Frees a list and all parameters in it.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltFreeExtraCreateParameterList(Filter: PFLT_FILTER, EcpList: PECP_LIST);

    /// Allocates a parameter.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltAllocateExtraCreateParameter(Filter: PFLT_FILTER, EcpType: *const GUID, SizeOfContext: ULONG, Flags: FSRTL_ALLOCATE_ECP_FLAGS, CleanupCallback: PFSRTL_EXTRA_CREATE_PARAMETER_CLEANUP_CALLBACK, PoolTag: ULONG, EcpContext: *mut PVOID) -> NTSTATUS;

    /// Allocates a parameter from a lookaside list.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltAllocateExtraCreateParameterFromLookasideList(Filter: PFLT_FILTER, EcpType: *const GUID, SizeOfContext: ULONG, Flags: FSRTL_ALLOCATE_ECP_FLAGS, CleanupCallback: PFSRTL_EXTRA_CREATE_PARAMETER_CLEANUP_CALLBACK, LookasideList: PVOID, EcpContext: *mut PVOID) -> NTSTATUS;

    /// Frees a parameter that is in no list.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltFreeExtraCreateParameter(Filter: PFLT_FILTER, EcpContext: PVOID);

    /// Initialises a lookaside list for parameters.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltInitExtraCreateParameterLookasideList(Filter: PFLT_FILTER, Lookaside: PVOID, Flags: FSRTL_ECP_LOOKASIDE_FLAGS, Size: SIZE_T, Tag: ULONG);

    /// Deletes such a lookaside list.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltDeleteExtraCreateParameterLookasideList(Filter: PFLT_FILTER, Lookaside: PVOID, Flags: FSRTL_ECP_LOOKASIDE_FLAGS);

    /// Inserts a parameter into a list.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltInsertExtraCreateParameter(Filter: PFLT_FILTER, EcpList: PECP_LIST, EcpContext: PVOID) -> NTSTATUS;

    /// Finds a parameter by its type.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltFindExtraCreateParameter(Filter: PFLT_FILTER, EcpList: PECP_LIST, EcpType: *const GUID, EcpContext: *mut PVOID, EcpContextSize: *mut ULONG) -> NTSTATUS;

    /// Takes a parameter out of a list.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltRemoveExtraCreateParameter(Filter: PFLT_FILTER, EcpList: PECP_LIST, EcpType: *const GUID, EcpContext: *mut PVOID, EcpContextSize: *mut ULONG) -> NTSTATUS;

    /// The first parameter of a list, or the one after another.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltGetNextExtraCreateParameter(Filter: PFLT_FILTER, EcpList: PECP_LIST, CurrentEcpContext: PVOID, NextEcpType: *mut GUID, NextEcpContext: *mut PVOID, NextEcpContextSize: *mut ULONG) -> NTSTATUS;

    /// Marks a parameter as seen by whom it is for.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltAcknowledgeEcp(Filter: PFLT_FILTER, EcpContext: PVOID);

    /// Whether a parameter is marked as seen.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltIsEcpAcknowledged(Filter: PFLT_FILTER, EcpContext: PVOID) -> BOOLEAN;

    /// Whether a parameter comes from user mode.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltIsEcpFromUserMode(Filter: PFLT_FILTER, EcpContext: PVOID) -> BOOLEAN;

    /// Removes the mark, for one more create.
    ///
    /// `IRQL <= APC_LEVEL`; Windows 8.
    pub fn FltPrepareToReuseEcp(Filter: PFLT_FILTER, EcpContext: PVOID);

    /// The list of a create; NULL if it has none.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltGetEcpListFromCallbackData(Filter: PFLT_FILTER, CallbackData: PFLT_CALLBACK_DATA, EcpList: *mut PECP_LIST) -> NTSTATUS;

    /// Gives a create a list, which goes with the create.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltSetEcpListIntoCallbackData(Filter: PFLT_FILTER, CallbackData: PFLT_CALLBACK_DATA, EcpList: PECP_LIST) -> NTSTATUS;
}
