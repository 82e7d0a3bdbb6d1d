//! Contexts: allocation, references, set, get, delete and support queries (31 functions).
//!
//! Reference: the `fltkernel.h` pages of the Windows driver DDI documentation.

use crate::abi::{fltapi_callbacks, fltapi_functions};
use crate::*;

/// The minifilter's portion of a context.
pub type PFLT_CONTEXT = PVOID;
/// One kind of context, or several in a mask.
pub type FLT_CONTEXT_TYPE = USHORT;
pub type FLT_CONTEXT_REGISTRATION_FLAGS = USHORT;
/// [`FLT_SET_CONTEXT_REPLACE_IF_EXISTS`] or [`FLT_SET_CONTEXT_KEEP_IF_EXISTS`].
pub type FLT_SET_CONTEXT_OPERATION = i32;

pub const NULL_CONTEXT: PFLT_CONTEXT = core::ptr::null_mut();
pub const FLT_VOLUME_CONTEXT: FLT_CONTEXT_TYPE = 1;
pub const FLT_INSTANCE_CONTEXT: FLT_CONTEXT_TYPE = 2;
pub const FLT_FILE_CONTEXT: FLT_CONTEXT_TYPE = 4;
pub const FLT_STREAM_CONTEXT: FLT_CONTEXT_TYPE = 8;
pub const FLT_STREAMHANDLE_CONTEXT: FLT_CONTEXT_TYPE = 0x10;
pub const FLT_TRANSACTION_CONTEXT: FLT_CONTEXT_TYPE = 0x20;
pub const FLT_SECTION_CONTEXT: FLT_CONTEXT_TYPE = 0x40;
pub const FLT_CONTEXT_END: FLT_CONTEXT_TYPE = 0xFFFF;
pub const FLT_ALL_CONTEXTS: FLT_CONTEXT_TYPE = 0x7F;

/// Any size is served by this exact entry's own pool allocation.
pub const FLT_VARIABLE_SIZED_CONTEXTS: SIZE_T = SIZE_T::MAX;
pub const FLTFL_CONTEXT_REGISTRATION_NO_EXACT_SIZE_MATCH: FLT_CONTEXT_REGISTRATION_FLAGS = 1;
pub const FLT_SET_CONTEXT_REPLACE_IF_EXISTS: FLT_SET_CONTEXT_OPERATION = 0;
pub const FLT_SET_CONTEXT_KEEP_IF_EXISTS: FLT_SET_CONTEXT_OPERATION = 1;

fltapi_callbacks! {
    /// Called once for each context, right before it is freed. `IRQL <= APC_LEVEL`.
    pub type PFLT_CONTEXT_CLEANUP_CALLBACK = fn(Context: PFLT_CONTEXT, ContextType: FLT_CONTEXT_TYPE);
    /// Allocates memory for a context, the Filter Manager's header included. `IRQL <= APC_LEVEL`.
    pub type PFLT_CONTEXT_ALLOCATE_CALLBACK = fn(PoolType: POOL_TYPE, Size: SIZE_T, ContextType: FLT_CONTEXT_TYPE) -> PVOID;
    /// Frees what the allocate callback returned. `IRQL <= APC_LEVEL`.
    pub type PFLT_CONTEXT_FREE_CALLBACK = fn(Pool: PVOID, ContextType: FLT_CONTEXT_TYPE);
}

/// Declares one form of context to `FltRegisterFilter`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_CONTEXT_REGISTRATION {
    pub ContextType: FLT_CONTEXT_TYPE,
    pub Flags: FLT_CONTEXT_REGISTRATION_FLAGS,
    pub ContextCleanupCallback: PFLT_CONTEXT_CLEANUP_CALLBACK,
    pub Size: SIZE_T,
    pub PoolTag: ULONG,
    pub ContextAllocateCallback: PFLT_CONTEXT_ALLOCATE_CALLBACK,
    pub ContextFreeCallback: PFLT_CONTEXT_FREE_CALLBACK,
    pub Reserved1: PVOID,
}

// SAFETY: a registration is a table of constants; its only pointers are function pointers and a
// reserved member that must be NULL, so any thread may read it.
unsafe impl Sync for FLT_CONTEXT_REGISTRATION {}

/// The contexts of `FltGetContexts`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FLT_RELATED_CONTEXTS {
    pub VolumeContext: PFLT_CONTEXT,
    pub InstanceContext: PFLT_CONTEXT,
    pub FileContext: PFLT_CONTEXT,
    pub StreamContext: PFLT_CONTEXT,
    pub StreamHandleContext: PFLT_CONTEXT,
    pub TransactionContext: PFLT_CONTEXT,
}
pub type PFLT_RELATED_CONTEXTS = *mut FLT_RELATED_CONTEXTS;

/// The contexts of `FltGetContextsEx`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FLT_RELATED_CONTEXTS_EX {
    pub VolumeContext: PFLT_CONTEXT,
    pub InstanceContext: PFLT_CONTEXT,
    pub FileContext: PFLT_CONTEXT,
    pub StreamContext: PFLT_CONTEXT,
    pub StreamHandleContext: PFLT_CONTEXT,
    pub TransactionContext: PFLT_CONTEXT,
    pub SectionContext: PFLT_CONTEXT,
}
pub type PFLT_RELATED_CONTEXTS_EX = *mut FLT_RELATED_CONTEXTS_EX;

fltapi_functions! {
    /// Allocates a context of a registered kind; the caller owns one reference.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltAllocateContext(Filter: PFLT_FILTER, ContextType: FLT_CONTEXT_TYPE, ContextSize: SIZE_T, PoolType: POOL_TYPE, ReturnedContext: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Adds a reference to a context.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltReferenceContext(Context: PFLT_CONTEXT);

    /// Releases a reference; the last one runs the cleanup callback and frees the context.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltReleaseContext(Context: PFLT_CONTEXT);

    /// Attaches a context to a volume.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltSetVolumeContext(Volume: PFLT_VOLUME, Operation: FLT_SET_CONTEXT_OPERATION, NewContext: PFLT_CONTEXT, OldContext: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Attaches a context to an instance.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltSetInstanceContext(Instance: PFLT_INSTANCE, Operation: FLT_SET_CONTEXT_OPERATION, NewContext: PFLT_CONTEXT, OldContext: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Attaches a context to a file.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltSetFileContext(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, Operation: FLT_SET_CONTEXT_OPERATION, NewContext: PFLT_CONTEXT, OldContext: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Attaches a context to a stream.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltSetStreamContext(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, Operation: FLT_SET_CONTEXT_OPERATION, NewContext: PFLT_CONTEXT, OldContext: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Attaches a context to a stream handle (a file object).
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltSetStreamHandleContext(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, Operation: FLT_SET_CONTEXT_OPERATION, NewContext: PFLT_CONTEXT, OldContext: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Attaches a context to a transaction.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltSetTransactionContext(Instance: PFLT_INSTANCE, Transaction: PKTRANSACTION, Operation: FLT_SET_CONTEXT_OPERATION, NewContext: PFLT_CONTEXT, OldContext: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Gets a referenced pointer to the filter's volume context.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetVolumeContext(Filter: PFLT_FILTER, Volume: PFLT_VOLUME, Context: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Gets a referenced pointer to the instance context.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetInstanceContext(Instance: PFLT_INSTANCE, Context: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Gets a referenced pointer to the file context.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetFileContext(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, Context: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Gets a referenced pointer to the stream context.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetStreamContext(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, Context: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Gets a referenced pointer to the stream handle context.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetStreamHandleContext(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, Context: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Gets a referenced pointer to the transaction context.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltGetTransactionContext(Instance: PFLT_INSTANCE, Transaction: PKTRANSACTION, Context: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Gets a referenced pointer to the section context.
    ///
    /// `IRQL <= APC_LEVEL`; Windows 8.
    pub fn FltGetSectionContext(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, Context: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Gets several contexts of an operation at once.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetContexts(FltObjects: PCFLT_RELATED_OBJECTS, DesiredContexts: FLT_CONTEXT_TYPE, Contexts: PFLT_RELATED_CONTEXTS);

    /// Releases every context that `FltGetContexts` returned.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltReleaseContexts(Contexts: PFLT_RELATED_CONTEXTS);

    /// Gets several contexts of an operation at once, section contexts included.
    ///
    /// `IRQL <= APC_LEVEL`; Windows 8.
    pub fn FltGetContextsEx(FltObjects: PCFLT_RELATED_OBJECTS, DesiredContexts: FLT_CONTEXT_TYPE, ContextsSize: SIZE_T, Contexts: PFLT_RELATED_CONTEXTS_EX) -> NTSTATUS;

    /// Releases every context that `FltGetContextsEx` returned.
    ///
    /// `IRQL <= APC_LEVEL`; Windows 8.
    pub fn FltReleaseContextsEx(ContextsSize: SIZE_T, Contexts: PFLT_RELATED_CONTEXTS_EX);

    /// Unlinks a context from its object; the caller's reference stays.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltDeleteContext(Context: PFLT_CONTEXT);

    /// Unlinks the filter's volume context.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltDeleteVolumeContext(Filter: PFLT_FILTER, Volume: PFLT_VOLUME, OldContext: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Unlinks the instance context.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltDeleteInstanceContext(Instance: PFLT_INSTANCE, OldContext: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Unlinks the file context.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltDeleteFileContext(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, OldContext: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Unlinks the stream context.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltDeleteStreamContext(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, OldContext: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Unlinks the stream handle context.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltDeleteStreamHandleContext(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, OldContext: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Unlinks the transaction context.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltDeleteTransactionContext(Instance: PFLT_INSTANCE, Transaction: PKTRANSACTION, OldContext: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// Whether the file system itself supports file contexts on this file object.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltSupportsFileContexts(FileObject: PFILE_OBJECT) -> BOOLEAN;

    /// Whether file contexts can be used on this file object, emulation by the Filter Manager included.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltSupportsFileContextsEx(FileObject: PFILE_OBJECT, Instance: PFLT_INSTANCE) -> BOOLEAN;

    /// Whether stream contexts can be used on this file object.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltSupportsStreamContexts(FileObject: PFILE_OBJECT) -> BOOLEAN;

    /// Whether stream handle contexts can be used on this file object.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltSupportsStreamHandleContexts(FileObject: PFILE_OBJECT) -> BOOLEAN;
}
