//! The Filter Manager's functions as safe calls.
//!
//! They are safe here, and only here, because the emulator finds the object behind every pointer in
//! a table and never follows a pointer that it does not know: a test can pass anything.

use fltmgr_sys::*;
use std::ptr::{null, null_mut};

/// What `OldContext` and `Context` parameters point to before a call, to see whether it wrote.
pub(crate) const UNWRITTEN: PFLT_CONTEXT = 0xDEAD_0008 as PFLT_CONTEXT;

/// Keeps an existing context.
pub(crate) const KEEP: FLT_SET_CONTEXT_OPERATION = FLT_SET_CONTEXT_KEEP_IF_EXISTS;
/// Replaces an existing context.
pub(crate) const REPLACE: FLT_SET_CONTEXT_OPERATION = FLT_SET_CONTEXT_REPLACE_IF_EXISTS;

/// Where a context can be attached: the object arguments of the set, get and delete functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Of a filter on a volume.
    Volume(PFLT_FILTER, PFLT_VOLUME),
    /// Of an instance.
    Instance(PFLT_INSTANCE),
    /// Of an instance on the file of a file object.
    File(PFLT_INSTANCE, PFILE_OBJECT),
    /// Of an instance on the stream of a file object.
    Stream(PFLT_INSTANCE, PFILE_OBJECT),
    /// Of an instance on a file object.
    StreamHandle(PFLT_INSTANCE, PFILE_OBJECT),
    /// Of an instance in a transaction.
    Transaction(PFLT_INSTANCE, PKTRANSACTION),
    /// Of an instance on a stream that is scanned: get only.
    Section(PFLT_INSTANCE, PFILE_OBJECT),
}

// SAFETY: the pointers are names of objects that the emulator looks up; nothing follows them.
unsafe impl Send for Slot {}
// SAFETY: as above.
unsafe impl Sync for Slot {}

impl Slot {
    /// The kind of context that belongs here.
    pub(crate) fn kind(self) -> FLT_CONTEXT_TYPE {
        match self {
            Self::Volume(..) => FLT_VOLUME_CONTEXT,
            Self::Instance(..) => FLT_INSTANCE_CONTEXT,
            Self::File(..) => FLT_FILE_CONTEXT,
            Self::Stream(..) => FLT_STREAM_CONTEXT,
            Self::StreamHandle(..) => FLT_STREAMHANDLE_CONTEXT,
            Self::Transaction(..) => FLT_TRANSACTION_CONTEXT,
            Self::Section(..) => FLT_SECTION_CONTEXT,
        }
    }

    /// Sets with an `OldContext` parameter: the status, and what the parameter holds then.
    pub(crate) fn set(
        self,
        operation: FLT_SET_CONTEXT_OPERATION,
        new: PFLT_CONTEXT,
    ) -> (NTSTATUS, PFLT_CONTEXT) {
        let mut old = UNWRITTEN;
        let status = self.set_raw(operation, new, &raw mut old);
        (status, old)
    }

    /// Sets without an `OldContext` parameter.
    pub(crate) fn set_only(
        self,
        operation: FLT_SET_CONTEXT_OPERATION,
        new: PFLT_CONTEXT,
    ) -> NTSTATUS {
        self.set_raw(operation, new, null_mut())
    }

    /// Sets with exactly this `OldContext` parameter.
    pub(crate) fn set_raw(
        self,
        operation: FLT_SET_CONTEXT_OPERATION,
        new: PFLT_CONTEXT,
        old: *mut PFLT_CONTEXT,
    ) -> NTSTATUS {
        match self {
            // SAFETY: see the module; `old` is null or a place of the caller.
            Self::Volume(_, volume) => unsafe { FltSetVolumeContext(volume, operation, new, old) },
            // SAFETY: as above.
            Self::Instance(instance) => unsafe {
                FltSetInstanceContext(instance, operation, new, old)
            },
            // SAFETY: as above.
            Self::File(instance, file) => unsafe {
                FltSetFileContext(instance, file, operation, new, old)
            },
            // SAFETY: as above.
            Self::Stream(instance, file) => unsafe {
                FltSetStreamContext(instance, file, operation, new, old)
            },
            // SAFETY: as above.
            Self::StreamHandle(instance, file) => unsafe {
                FltSetStreamHandleContext(instance, file, operation, new, old)
            },
            // SAFETY: as above.
            Self::Transaction(instance, transaction) => unsafe {
                FltSetTransactionContext(instance, transaction, operation, new, old)
            },
            Self::Section(..) => panic!("there is no FltSetSectionContext"),
        }
    }

    /// Gets: the status, and what the `Context` parameter holds then.
    pub(crate) fn get(self) -> (NTSTATUS, PFLT_CONTEXT) {
        let mut context = UNWRITTEN;
        let out = &raw mut context;
        let status = match self {
            // SAFETY: see the module; `out` is a local variable.
            Self::Volume(filter, volume) => unsafe { FltGetVolumeContext(filter, volume, out) },
            // SAFETY: as above.
            Self::Instance(instance) => unsafe { FltGetInstanceContext(instance, out) },
            // SAFETY: as above.
            Self::File(instance, file) => unsafe { FltGetFileContext(instance, file, out) },
            // SAFETY: as above.
            Self::Stream(instance, file) => unsafe { FltGetStreamContext(instance, file, out) },
            // SAFETY: as above.
            Self::StreamHandle(instance, file) => unsafe {
                FltGetStreamHandleContext(instance, file, out)
            },
            // SAFETY: as above.
            Self::Transaction(instance, transaction) => unsafe {
                FltGetTransactionContext(instance, transaction, out)
            },
            // SAFETY: as above.
            Self::Section(instance, file) => unsafe { FltGetSectionContext(instance, file, out) },
        };
        (status, context)
    }

    /// Deletes with an `OldContext` parameter: the status, and what the parameter holds then.
    pub(crate) fn delete(self) -> (NTSTATUS, PFLT_CONTEXT) {
        let mut old = UNWRITTEN;
        let status = self.delete_raw(&raw mut old);
        (status, old)
    }

    /// Deletes without an `OldContext` parameter.
    pub(crate) fn delete_only(self) -> NTSTATUS {
        self.delete_raw(null_mut())
    }

    fn delete_raw(self, old: *mut PFLT_CONTEXT) -> NTSTATUS {
        match self {
            // SAFETY: see the module; `old` is null or a place of the caller.
            Self::Volume(filter, volume) => unsafe { FltDeleteVolumeContext(filter, volume, old) },
            // SAFETY: as above.
            Self::Instance(instance) => unsafe { FltDeleteInstanceContext(instance, old) },
            // SAFETY: as above.
            Self::File(instance, file) => unsafe { FltDeleteFileContext(instance, file, old) },
            // SAFETY: as above.
            Self::Stream(instance, file) => unsafe { FltDeleteStreamContext(instance, file, old) },
            // SAFETY: as above.
            Self::StreamHandle(instance, file) => unsafe {
                FltDeleteStreamHandleContext(instance, file, old)
            },
            // SAFETY: as above.
            Self::Transaction(instance, transaction) => unsafe {
                FltDeleteTransactionContext(instance, transaction, old)
            },
            Self::Section(..) => panic!("there is no FltDeleteSectionContext"),
        }
    }
}

/// `FltAllocateContext`: the status, and what the `ReturnedContext` parameter holds then.
pub(crate) fn allocate_context(
    filter: PFLT_FILTER,
    kind: FLT_CONTEXT_TYPE,
    size: SIZE_T,
    pool: POOL_TYPE,
) -> (NTSTATUS, PFLT_CONTEXT) {
    let mut context = UNWRITTEN;
    // SAFETY: see the module; the last argument is a local variable.
    let status = unsafe { FltAllocateContext(filter, kind, size, pool, &raw mut context) };
    (status, context)
}

/// `FltReferenceContext`.
pub(crate) fn reference_context(context: PFLT_CONTEXT) {
    // SAFETY: see the module.
    unsafe { FltReferenceContext(context) };
}

/// `FltReleaseContext`.
pub(crate) fn release_context(context: PFLT_CONTEXT) {
    // SAFETY: see the module.
    unsafe { FltReleaseContext(context) };
}

/// `FltDeleteContext`.
pub(crate) fn delete_context(context: PFLT_CONTEXT) {
    // SAFETY: see the module.
    unsafe { FltDeleteContext(context) };
}

/// `FltGetContexts` into a structure whose members were not null before.
pub(crate) fn get_contexts(
    objects: &FLT_RELATED_OBJECTS,
    desired: FLT_CONTEXT_TYPE,
) -> FLT_RELATED_CONTEXTS {
    let mut contexts = FLT_RELATED_CONTEXTS {
        VolumeContext: UNWRITTEN,
        InstanceContext: UNWRITTEN,
        FileContext: UNWRITTEN,
        StreamContext: UNWRITTEN,
        StreamHandleContext: UNWRITTEN,
        TransactionContext: UNWRITTEN,
    };
    // SAFETY: see the module; both structures are the caller's or local.
    unsafe { FltGetContexts(objects, desired, &raw mut contexts) };
    contexts
}

/// `FltReleaseContexts`.
pub(crate) fn release_contexts(contexts: &mut FLT_RELATED_CONTEXTS) {
    // SAFETY: see the module.
    unsafe { FltReleaseContexts(contexts) };
}

/// `FltGetContextsEx` into a structure whose members were not null before.
pub(crate) fn get_contexts_ex(
    objects: &FLT_RELATED_OBJECTS,
    desired: FLT_CONTEXT_TYPE,
) -> (NTSTATUS, FLT_RELATED_CONTEXTS_EX) {
    let mut contexts = FLT_RELATED_CONTEXTS_EX {
        VolumeContext: UNWRITTEN,
        InstanceContext: UNWRITTEN,
        FileContext: UNWRITTEN,
        StreamContext: UNWRITTEN,
        StreamHandleContext: UNWRITTEN,
        TransactionContext: UNWRITTEN,
        SectionContext: UNWRITTEN,
    };
    let size = size_of::<FLT_RELATED_CONTEXTS_EX>() as SIZE_T;
    // SAFETY: see the module; both structures are the caller's or local, and the size is right.
    let status = unsafe { FltGetContextsEx(objects, desired, size, &raw mut contexts) };
    (status, contexts)
}

/// `FltReleaseContextsEx`.
pub(crate) fn release_contexts_ex(contexts: &mut FLT_RELATED_CONTEXTS_EX) {
    let size = size_of::<FLT_RELATED_CONTEXTS_EX>() as SIZE_T;
    // SAFETY: see the module; the size is right.
    unsafe { FltReleaseContextsEx(size, contexts) };
}

/// `FltSupportsFileContexts`.
pub(crate) fn supports_file(file: PFILE_OBJECT) -> bool {
    // SAFETY: see the module.
    let answer = unsafe { FltSupportsFileContexts(file) };
    answer != 0
}

/// `FltSupportsFileContextsEx`.
pub(crate) fn supports_file_ex(file: PFILE_OBJECT, instance: PFLT_INSTANCE) -> bool {
    // SAFETY: see the module.
    let answer = unsafe { FltSupportsFileContextsEx(file, instance) };
    answer != 0
}

/// `FltSupportsStreamContexts`.
pub(crate) fn supports_stream(file: PFILE_OBJECT) -> bool {
    // SAFETY: see the module.
    let answer = unsafe { FltSupportsStreamContexts(file) };
    answer != 0
}

/// `FltSupportsStreamHandleContexts`.
pub(crate) fn supports_stream_handle(file: PFILE_OBJECT) -> bool {
    // SAFETY: see the module.
    let answer = unsafe { FltSupportsStreamHandleContexts(file) };
    answer != 0
}

/// `FltRegisterFilter`: the status, and the filter.
pub(crate) fn register_filter(
    driver: PDRIVER_OBJECT,
    registration: &FLT_REGISTRATION,
) -> (NTSTATUS, PFLT_FILTER) {
    let mut filter = null_mut();
    // SAFETY: see the module; the arrays of a registration are owned by the plan and terminated.
    let status = unsafe { FltRegisterFilter(driver, registration, &raw mut filter) };
    (status, filter)
}

/// `FltStartFiltering`.
pub(crate) fn start_filtering(filter: PFLT_FILTER) -> NTSTATUS {
    // SAFETY: see the module.
    unsafe { FltStartFiltering(filter) }
}

/// `FltUnregisterFilter`.
pub(crate) fn unregister_filter(filter: PFLT_FILTER) {
    // SAFETY: see the module.
    unsafe { FltUnregisterFilter(filter) };
}

/// `FltAttachVolume` of the default instance: the status, and the instance with its reference.
pub(crate) fn attach_volume(filter: PFLT_FILTER, volume: PFLT_VOLUME) -> (NTSTATUS, PFLT_INSTANCE) {
    let mut instance = null_mut();
    // SAFETY: see the module; the last argument is a local variable.
    let status = unsafe { FltAttachVolume(filter, volume, null(), &raw mut instance) };
    (status, instance)
}

/// `FltDetachVolume` of the highest instance.
pub(crate) fn detach_volume(filter: PFLT_FILTER, volume: PFLT_VOLUME) -> NTSTATUS {
    // SAFETY: see the module.
    unsafe { FltDetachVolume(filter, volume, null()) }
}

/// `FltObjectReference`.
pub(crate) fn object_reference<T>(object: *mut T) -> NTSTATUS {
    // SAFETY: see the module.
    unsafe { FltObjectReference(object.cast()) }
}

/// `FltObjectDereference`.
pub(crate) fn object_dereference<T>(object: *mut T) {
    // SAFETY: see the module.
    unsafe { FltObjectDereference(object.cast()) };
}

/// `FltEnlistInTransaction`.
pub(crate) fn enlist(
    instance: PFLT_INSTANCE,
    transaction: PKTRANSACTION,
    context: PFLT_CONTEXT,
    mask: NOTIFICATION_MASK,
) -> NTSTATUS {
    // SAFETY: see the module.
    unsafe { FltEnlistInTransaction(instance, transaction, context, mask) }
}

/// `KeGetCurrentIrql`.
pub(crate) fn irql() -> KIRQL {
    // SAFETY: takes nothing and only reads the level of this thread.
    unsafe { KeGetCurrentIrql() }
}
