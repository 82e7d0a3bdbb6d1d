//! The functions of contexts. All of them are thin: the seven kinds share one implementation.

use super::{
    enter, enter_below, exports, file_object, filter, instance, instance_and_transaction,
    transaction, volume, write,
};
use crate::io::FileObject;
use crate::kernel::scope;
use crate::machine::Inner;
use crate::manager::context::{ContextKind, Key, Node, ObjectKey, SetRequest};
use crate::manager::instance::InstanceState;
use crate::manager::{Instance, Object, find};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;

type Operation = FLT_SET_CONTEXT_OPERATION;

/// The slot of an instance on a file object, or why there is none.
pub(super) fn file_key(
    machine: &Inner,
    call: &'static str,
    kind: ContextKind,
    instance: &Instance,
    file: &FileObject,
) -> Result<Key, NTSTATUS> {
    if file.volume().id != instance.volume.id {
        let text = format!(
            "the file object is on {}, the instance on {}",
            file.volume().name,
            instance.volume.name
        );
        machine.verifier.violation(Rule::V0, call, text);
        return Err(STATUS_INVALID_PARAMETER);
    }
    if let Err(unsupported) = file.support(kind) {
        if unsupported.is_misuse() {
            let text = format!("{} context: {}", kind.name(), unsupported.reason());
            machine.verifier.violation(Rule::V11, call, text);
        }
        return Err(STATUS_NOT_SUPPORTED);
    }
    let volume = file.volume().id;
    let object = match kind {
        ContextKind::File => file.file().map(|file| ObjectKey::File(volume, file)),
        ContextKind::Stream => file
            .stream()
            .map(|stream| ObjectKey::Stream(volume, stream)),
        ContextKind::StreamHandle => Some(ObjectKey::StreamHandle(file.id())),
        ContextKind::Section => file
            .stream()
            .map(|stream| ObjectKey::Section(volume, stream)),
        ContextKind::Volume | ContextKind::Instance | ContextKind::Transaction => None,
    };
    Ok(Key {
        owner: instance.id,
        object: object.ok_or(STATUS_NOT_SUPPORTED)?,
    })
}

/// As [`file_key`], from the pointer that the driver gave.
fn file_key_of(
    machine: &Inner,
    call: &'static str,
    kind: ContextKind,
    instance: &Instance,
    file: PFILE_OBJECT,
) -> Result<Key, NTSTATUS> {
    if file.is_null() {
        return Err(STATUS_NOT_SUPPORTED);
    }
    let (_, file) = file_object(call, "FileObject", file).ok_or(STATUS_INVALID_PARAMETER)?;
    file_key(machine, call, kind, instance, &file)
}

const fn instance_key(instance: &Instance) -> Key {
    Key {
        owner: instance.id,
        object: ObjectKey::Instance(instance.id),
    }
}

/// # Safety
/// `old` is null or may be written to.
unsafe fn set(machine: &Arc<Inner>, request: &SetRequest<'_>, old: *mut PFLT_CONTEXT) -> NTSTATUS {
    let (status, existing) = machine.contexts.set(machine, request);
    let existing = existing.map_or(null_mut(), |existing| existing as PFLT_CONTEXT);
    // SAFETY: null or writable by this function's contract.
    unsafe { write(old, existing) };
    status
}

/// # Safety
/// `old` is null or may be written to.
unsafe fn set_on_file(
    call: &'static str,
    kind: ContextKind,
    owner: PFLT_INSTANCE,
    file: PFILE_OBJECT,
    operation: Operation,
    context: PFLT_CONTEXT,
    old: *mut PFLT_CONTEXT,
) -> NTSTATUS {
    let Some((machine, owner)) = instance(call, "Instance", owner) else {
        // SAFETY: null or writable by this function's contract.
        unsafe { write(old, null_mut()) };
        return STATUS_INVALID_PARAMETER;
    };
    enter(&machine, call);
    let request = SetRequest {
        call,
        kind,
        filter: Some(owner.filter.id),
        key: file_key_of(&machine, call, kind, &owner, file),
        deleting: &|| owner.is_deleting(),
        operation,
        context: context as usize,
        wants_old: !old.is_null(),
    };
    // SAFETY: null or writable by this function's contract.
    unsafe { set(&machine, &request, old) }
}

/// Writes what a get found.
///
/// # Safety
/// `context` may be written to.
unsafe fn get(
    machine: &Inner,
    call: &'static str,
    key: Result<Key, NTSTATUS>,
    context: *mut PFLT_CONTEXT,
) -> NTSTATUS {
    let (status, found) = match key {
        Ok(key) => match machine.contexts.get(call, key) {
            Some(found) => (STATUS_SUCCESS, found as PFLT_CONTEXT),
            None => (STATUS_NOT_FOUND, null_mut()),
        },
        Err(status) => (status, null_mut()),
    };
    // SAFETY: writable by this function's contract.
    unsafe { write(context, found) };
    status
}

/// # Safety
/// `context` may be written to.
unsafe fn get_on_file(
    call: &'static str,
    kind: ContextKind,
    owner: PFLT_INSTANCE,
    file: PFILE_OBJECT,
    context: *mut PFLT_CONTEXT,
) -> NTSTATUS {
    let Some((machine, owner)) = instance(call, "Instance", owner) else {
        // SAFETY: writable by this function's contract.
        unsafe { write(context, null_mut()) };
        return STATUS_INVALID_PARAMETER;
    };
    enter(&machine, call);
    let key = file_key_of(&machine, call, kind, &owner, file);
    // SAFETY: as above.
    unsafe { get(&machine, call, key, context) }
}

/// Whether contexts of an instance can no longer be deleted by object.
fn refuses_delete(machine: &Inner, instance: &Instance, kind: ContextKind) -> bool {
    let policies = &machine.config.policies;
    if kind == ContextKind::File && !policies.delete_file_fails_in_teardown {
        return false;
    }
    match instance.state() {
        InstanceState::Attaching | InstanceState::Active => false,
        InstanceState::Starting => !policies.delete_in_teardown_start,
        InstanceState::Started | InstanceState::Complete | InstanceState::Gone => true,
    }
}

/// # Safety
/// `old` is null or may be written to.
unsafe fn delete(
    machine: &Arc<Inner>,
    call: &'static str,
    key: Result<Key, NTSTATUS>,
    refused: bool,
    old: *mut PFLT_CONTEXT,
) -> NTSTATUS {
    // SAFETY: null or writable by this function's contract. Written before the context goes,
    // because its cleanup callback may look at what the caller sees.
    unsafe { write(old, null_mut()) };
    let key = match key {
        Ok(key) => key,
        Err(status) => return status,
    };
    if refused {
        return STATUS_FLT_DELETING_OBJECT;
    }
    let deleted = machine.contexts.delete(machine, call, key, !old.is_null());
    match deleted {
        Ok(address) => {
            // SAFETY: as above.
            unsafe { write(old, address as PFLT_CONTEXT) };
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

/// # Safety
/// `old` is null or may be written to.
unsafe fn delete_on_file(
    call: &'static str,
    kind: ContextKind,
    owner: PFLT_INSTANCE,
    file: PFILE_OBJECT,
    old: *mut PFLT_CONTEXT,
) -> NTSTATUS {
    let Some((machine, owner)) = instance(call, "Instance", owner) else {
        // SAFETY: null or writable by this function's contract.
        unsafe { write(old, null_mut()) };
        return STATUS_INVALID_PARAMETER;
    };
    enter(&machine, call);
    let key = file_key_of(&machine, call, kind, &owner, file);
    let refused = refuses_delete(&machine, &owner, kind);
    // SAFETY: as above.
    unsafe { delete(&machine, call, key, refused, old) }
}

/// A context that a driver names, and its machine.
fn context(call: &'static str, pointer: PFLT_CONTEXT) -> Option<(Arc<Inner>, Arc<Node>)> {
    let address = pointer as usize;
    if let Some(Object::Context(node)) = find(address) {
        let machine = node.machine.upgrade()?;
        return Some((machine, node));
    }
    super::bad_pointer(call, "Context", address, "context");
    None
}

const ALL: FLT_CONTEXT_TYPE = FLT_ALL_CONTEXTS;

/// The contexts that several-at-once gets look for, in the order of the members.
///
/// # Safety
/// `objects` points to an `FLT_RELATED_OBJECTS`.
unsafe fn related(
    call: &'static str,
    objects: PCFLT_RELATED_OBJECTS,
    desired: FLT_CONTEXT_TYPE,
) -> [PFLT_CONTEXT; 7] {
    let mut found = [null_mut(); 7];
    // SAFETY: readable by this function's contract.
    let objects = unsafe { *objects };
    let wants = |kind: ContextKind| desired & kind.bit() != 0;
    let owner = if objects.Instance.is_null() {
        None
    } else {
        instance(call, "FltObjects->Instance", objects.Instance)
    };
    if wants(ContextKind::Volume)
        && let Some((machine, owner)) = filter(call, "FltObjects->Filter", objects.Filter)
        && let Some((_, on)) = volume(call, "FltObjects->Volume", objects.Volume)
    {
        let key = Key {
            owner: owner.id,
            object: ObjectKey::Volume(on.id),
        };
        found[ContextKind::Volume as usize] = lookup(&machine, call, key);
    }
    let Some((machine, owner)) = owner else {
        return found;
    };
    if wants(ContextKind::Instance) {
        found[ContextKind::Instance as usize] = lookup(&machine, call, instance_key(&owner));
    }
    if wants(ContextKind::Transaction)
        && !objects.Transaction.is_null()
        && let Some((_, on)) = transaction(call, "FltObjects->Transaction", objects.Transaction)
    {
        let key = on.key(&machine, &owner);
        found[ContextKind::Transaction as usize] = lookup(&machine, call, key);
    }
    for kind in [
        ContextKind::File,
        ContextKind::Stream,
        ContextKind::StreamHandle,
        ContextKind::Section,
    ] {
        if wants(kind)
            && let Ok(key) = file_key_of(&machine, call, kind, &owner, objects.FileObject)
        {
            found[kind as usize] = lookup(&machine, call, key);
        }
    }
    found
}

fn lookup(machine: &Inner, call: &'static str, key: Key) -> PFLT_CONTEXT {
    let found = machine.contexts.get(call, key);
    found.map_or(null_mut(), |found| found as PFLT_CONTEXT)
}

/// Counts a call of a several-at-once function and checks its IRQL.
fn enter_several(call: &'static str, machine: Option<Arc<Inner>>, releases: bool) {
    let Some(machine) = machine.or_else(scope::machine) else {
        return;
    };
    let documents = releases && !machine.config.policies.release_contexts_at_apc;
    enter_below(&machine, call, documents.then_some(DISPATCH_LEVEL));
}

/// The machine of the first object that says which.
///
/// # Safety
/// `objects` points to an `FLT_RELATED_OBJECTS`.
unsafe fn machine_of(objects: PCFLT_RELATED_OBJECTS) -> Option<Arc<Inner>> {
    // SAFETY: readable by this function's contract.
    let objects = unsafe { *objects };
    find(objects.Filter as usize)
        .as_ref()
        .and_then(Object::machine)
}

/// Releases what a several-at-once get returned.
fn release_several(call: &'static str, members: &[PFLT_CONTEXT]) {
    let nodes: Vec<Option<Object>> = members
        .iter()
        .map(|member| find(*member as usize))
        .collect();
    let machine = nodes.iter().flatten().find_map(Object::machine);
    enter_several(call, machine, true);
    for (member, object) in members.iter().zip(nodes) {
        if member.is_null() {
            continue;
        }
        if let Some(Object::Context(node)) = object {
            if let Some(machine) = node.machine.upgrade() {
                machine.contexts.release(&machine, call, &node);
            }
        } else if let Some(machine) = scope::machine() {
            let text = format!("{member:p} in the structure is not a context");
            machine.verifier.violation(Rule::V14, call, text);
        }
    }
}

/// What the file system, or the Filter Manager for it, supports on a file object.
fn supports(
    call: &'static str,
    kind: ContextKind,
    file: PFILE_OBJECT,
    accept: impl Fn(&FileObject) -> bool,
) -> BOOLEAN {
    let Some((machine, file)) = file_object(call, "FileObject", file) else {
        return 0;
    };
    enter(&machine, call);
    BOOLEAN::from(file.support(kind).is_ok() && accept(&file))
}

exports! {
    /// Allocates a context with one reference, the caller's.
    unsafe fn FltAllocateContext(
        owner: PFLT_FILTER,
        kind: FLT_CONTEXT_TYPE,
        size: SIZE_T,
        pool: POOL_TYPE,
        returned: *mut PFLT_CONTEXT,
    ) -> NTSTATUS {
        const CALL: &str = "FltAllocateContext";
        // SAFETY: the caller passes a place for the result.
        unsafe { write(returned, null_mut()) };
        let Some((machine, owner)) = filter(CALL, "Filter", owner) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        match machine.contexts.allocate(&machine, &owner, kind, size, pool) {
            Ok(address) => {
                // SAFETY: as above.
                unsafe { write(returned, address as PFLT_CONTEXT) };
                STATUS_SUCCESS
            }
            Err(status) => status,
        }
    }

    /// Adds a reference.
    unsafe fn FltReferenceContext(pointer: PFLT_CONTEXT) {
        const CALL: &str = "FltReferenceContext";
        if let Some((machine, node)) = context(CALL, pointer) {
            enter(&machine, CALL);
            machine.contexts.reference(&machine, CALL, &node);
        }
    }

    /// Releases a reference; the last one cleans the context up and frees it.
    unsafe fn FltReleaseContext(pointer: PFLT_CONTEXT) {
        const CALL: &str = "FltReleaseContext";
        if let Some((machine, node)) = context(CALL, pointer) {
            enter(&machine, CALL);
            machine.contexts.release(&machine, CALL, &node);
        }
    }

    /// Links a context to a volume, for the filter that allocated it.
    unsafe fn FltSetVolumeContext(
        on: PFLT_VOLUME,
        operation: Operation,
        new: PFLT_CONTEXT,
        old: *mut PFLT_CONTEXT,
    ) -> NTSTATUS {
        const CALL: &str = "FltSetVolumeContext";
        let Some((machine, on)) = volume(CALL, "Volume", on) else {
            // SAFETY: the caller passes null or a place for the result.
            unsafe { write(old, null_mut()) };
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let request = SetRequest {
            call: CALL,
            kind: ContextKind::Volume,
            filter: None,
            key: Ok(Key {
                owner: 0,
                object: ObjectKey::Volume(on.id),
            }),
            deleting: &|| on.is_dismounted(),
            operation,
            context: new as usize,
            wants_old: !old.is_null(),
        };
        // SAFETY: as above.
        unsafe { set(&machine, &request, old) }
    }

    /// Links a context to an instance.
    unsafe fn FltSetInstanceContext(
        on: PFLT_INSTANCE,
        operation: Operation,
        new: PFLT_CONTEXT,
        old: *mut PFLT_CONTEXT,
    ) -> NTSTATUS {
        const CALL: &str = "FltSetInstanceContext";
        let Some((machine, on)) = instance(CALL, "Instance", on) else {
            // SAFETY: the caller passes null or a place for the result.
            unsafe { write(old, null_mut()) };
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let request = SetRequest {
            call: CALL,
            kind: ContextKind::Instance,
            filter: Some(on.filter.id),
            key: Ok(instance_key(&on)),
            deleting: &|| on.is_deleting(),
            operation,
            context: new as usize,
            wants_old: !old.is_null(),
        };
        // SAFETY: as above.
        unsafe { set(&machine, &request, old) }
    }

    /// Links a context to the file of a file object.
    unsafe fn FltSetFileContext(
        owner: PFLT_INSTANCE,
        file: PFILE_OBJECT,
        operation: Operation,
        new: PFLT_CONTEXT,
        old: *mut PFLT_CONTEXT,
    ) -> NTSTATUS {
        const CALL: &str = "FltSetFileContext";
        // SAFETY: the caller passes null or a place for the result.
        unsafe { set_on_file(CALL, ContextKind::File, owner, file, operation, new, old) }
    }

    /// Links a context to the stream of a file object.
    unsafe fn FltSetStreamContext(
        owner: PFLT_INSTANCE,
        file: PFILE_OBJECT,
        operation: Operation,
        new: PFLT_CONTEXT,
        old: *mut PFLT_CONTEXT,
    ) -> NTSTATUS {
        const CALL: &str = "FltSetStreamContext";
        // SAFETY: the caller passes null or a place for the result.
        unsafe { set_on_file(CALL, ContextKind::Stream, owner, file, operation, new, old) }
    }

    /// Links a context to a file object.
    unsafe fn FltSetStreamHandleContext(
        owner: PFLT_INSTANCE,
        file: PFILE_OBJECT,
        operation: Operation,
        new: PFLT_CONTEXT,
        old: *mut PFLT_CONTEXT,
    ) -> NTSTATUS {
        const CALL: &str = "FltSetStreamHandleContext";
        let kind = ContextKind::StreamHandle;
        // SAFETY: the caller passes null or a place for the result.
        unsafe { set_on_file(CALL, kind, owner, file, operation, new, old) }
    }

    /// Links a context to a transaction.
    unsafe fn FltSetTransactionContext(
        owner: PFLT_INSTANCE,
        on: PKTRANSACTION,
        operation: Operation,
        new: PFLT_CONTEXT,
        old: *mut PFLT_CONTEXT,
    ) -> NTSTATUS {
        const CALL: &str = "FltSetTransactionContext";
        let Some((machine, owner, on)) = instance_and_transaction(CALL, owner, on) else {
            // SAFETY: the caller passes null or a place for the result.
            unsafe { write(old, null_mut()) };
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let request = SetRequest {
            call: CALL,
            kind: ContextKind::Transaction,
            filter: Some(owner.filter.id),
            key: Ok(on.key(&machine, &owner)),
            deleting: &|| owner.is_deleting(),
            operation,
            context: new as usize,
            wants_old: !old.is_null(),
        };
        // SAFETY: as above.
        unsafe { set(&machine, &request, old) }
    }

    /// Gets the filter's context of a volume.
    unsafe fn FltGetVolumeContext(
        owner: PFLT_FILTER,
        on: PFLT_VOLUME,
        found: *mut PFLT_CONTEXT,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetVolumeContext";
        let owner = filter(CALL, "Filter", owner);
        let on = volume(CALL, "Volume", on);
        let (Some((machine, owner)), Some((_, on))) = (owner, on) else {
            // SAFETY: the caller passes a place for the result.
            unsafe { write(found, null_mut()) };
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let key = Key {
            owner: owner.id,
            object: ObjectKey::Volume(on.id),
        };
        // SAFETY: as above.
        unsafe { get(&machine, CALL, Ok(key), found) }
    }

    /// Gets the context of an instance.
    unsafe fn FltGetInstanceContext(on: PFLT_INSTANCE, found: *mut PFLT_CONTEXT) -> NTSTATUS {
        const CALL: &str = "FltGetInstanceContext";
        let Some((machine, on)) = instance(CALL, "Instance", on) else {
            // SAFETY: the caller passes a place for the result.
            unsafe { write(found, null_mut()) };
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        // SAFETY: as above.
        unsafe { get(&machine, CALL, Ok(instance_key(&on)), found) }
    }

    /// Gets the context of the file of a file object.
    unsafe fn FltGetFileContext(
        owner: PFLT_INSTANCE,
        file: PFILE_OBJECT,
        found: *mut PFLT_CONTEXT,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a place for the result.
        unsafe { get_on_file("FltGetFileContext", ContextKind::File, owner, file, found) }
    }

    /// Gets the context of the stream of a file object.
    unsafe fn FltGetStreamContext(
        owner: PFLT_INSTANCE,
        file: PFILE_OBJECT,
        found: *mut PFLT_CONTEXT,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a place for the result.
        unsafe { get_on_file("FltGetStreamContext", ContextKind::Stream, owner, file, found) }
    }

    /// Gets the context of a file object.
    unsafe fn FltGetStreamHandleContext(
        owner: PFLT_INSTANCE,
        file: PFILE_OBJECT,
        found: *mut PFLT_CONTEXT,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetStreamHandleContext";
        // SAFETY: the caller passes a place for the result.
        unsafe { get_on_file(CALL, ContextKind::StreamHandle, owner, file, found) }
    }

    /// Gets the context of a transaction.
    unsafe fn FltGetTransactionContext(
        owner: PFLT_INSTANCE,
        on: PKTRANSACTION,
        found: *mut PFLT_CONTEXT,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetTransactionContext";
        let Some((machine, owner, on)) = instance_and_transaction(CALL, owner, on) else {
            // SAFETY: the caller passes a place for the result.
            unsafe { write(found, null_mut()) };
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        // SAFETY: as above.
        unsafe { get(&machine, CALL, Ok(on.key(&machine, &owner)), found) }
    }

    /// Gets the section context of the stream of a file object.
    unsafe fn FltGetSectionContext(
        owner: PFLT_INSTANCE,
        file: PFILE_OBJECT,
        found: *mut PFLT_CONTEXT,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a place for the result.
        unsafe { get_on_file("FltGetSectionContext", ContextKind::Section, owner, file, found) }
    }

    /// Gets several contexts; members that were not asked for or do not exist become NULL.
    unsafe fn FltGetContexts(
        objects: PCFLT_RELATED_OBJECTS,
        desired: FLT_CONTEXT_TYPE,
        contexts: PFLT_RELATED_CONTEXTS,
    ) {
        const CALL: &str = "FltGetContexts";
        // SAFETY: the caller passes the structure that a callback got.
        enter_several(CALL, unsafe { machine_of(objects) }, false);
        // The structure has no member for a section context, so none is looked for.
        let desired = desired & ALL & !FLT_SECTION_CONTEXT;
        // SAFETY: as above.
        let [volume, instance, file, stream, stream_handle, transaction, _] =
            unsafe { related(CALL, objects, desired) };
        let found = FLT_RELATED_CONTEXTS {
            VolumeContext: volume,
            InstanceContext: instance,
            FileContext: file,
            StreamContext: stream,
            StreamHandleContext: stream_handle,
            TransactionContext: transaction,
        };
        // SAFETY: the caller passes a place for the result.
        unsafe { write(contexts, found) };
    }

    /// Releases every member and makes it NULL.
    unsafe fn FltReleaseContexts(contexts: PFLT_RELATED_CONTEXTS) {
        // SAFETY: the caller passes a structure that `FltGetContexts` filled in.
        let members: [PFLT_CONTEXT; 6] = unsafe { contexts.cast::<[PFLT_CONTEXT; 6]>().read() };
        // SAFETY: as above; NULL is a valid member.
        unsafe { contexts.cast::<[PFLT_CONTEXT; 6]>().write([null_mut(); 6]) };
        release_several("FltReleaseContexts", &members);
    }

    /// As `FltGetContexts`, with a section context.
    unsafe fn FltGetContextsEx(
        objects: PCFLT_RELATED_OBJECTS,
        desired: FLT_CONTEXT_TYPE,
        size: SIZE_T,
        contexts: PFLT_RELATED_CONTEXTS_EX,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetContextsEx";
        // SAFETY: the caller passes the structure that a callback got.
        enter_several(CALL, unsafe { machine_of(objects) }, false);
        if size != size_of::<FLT_RELATED_CONTEXTS_EX>() as SIZE_T {
            return STATUS_INVALID_PARAMETER;
        }
        let target = contexts.cast::<[PFLT_CONTEXT; 7]>();
        if desired & !ALL != 0 {
            // SAFETY: the size says that the caller passes a place for the result.
            unsafe { write(target, [null_mut(); 7]) };
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: the caller passes the structure that a callback got.
        let found = unsafe { related(CALL, objects, desired) };
        // SAFETY: as above.
        unsafe { write(target, found) };
        STATUS_SUCCESS
    }

    /// As `FltReleaseContexts`, with a section context.
    unsafe fn FltReleaseContextsEx(size: SIZE_T, contexts: PFLT_RELATED_CONTEXTS_EX) {
        const CALL: &str = "FltReleaseContextsEx";
        if size != size_of::<FLT_RELATED_CONTEXTS_EX>() as SIZE_T {
            if let Some(machine) = scope::machine() {
                let text = format!("ContextsSize is {size}");
                machine.verifier.violation(Rule::V14, CALL, text);
            }
            return;
        }
        let target = contexts.cast::<[PFLT_CONTEXT; 7]>();
        // SAFETY: the caller passes a structure that `FltGetContextsEx` filled in.
        let members = unsafe { target.read() };
        // SAFETY: as above; NULL is a valid member.
        unsafe { target.write([null_mut(); 7]) };
        release_several(CALL, &members);
    }

    /// Unlinks a context; the caller keeps its reference.
    unsafe fn FltDeleteContext(pointer: PFLT_CONTEXT) {
        const CALL: &str = "FltDeleteContext";
        if let Some((machine, node)) = context(CALL, pointer) {
            enter(&machine, CALL);
            machine.contexts.delete_by_pointer(&machine, CALL, &node);
        }
    }

    /// Unlinks the filter's context of a volume.
    unsafe fn FltDeleteVolumeContext(
        owner: PFLT_FILTER,
        on: PFLT_VOLUME,
        old: *mut PFLT_CONTEXT,
    ) -> NTSTATUS {
        const CALL: &str = "FltDeleteVolumeContext";
        let owner = filter(CALL, "Filter", owner);
        let on = volume(CALL, "Volume", on);
        let (Some((machine, owner)), Some((_, on))) = (owner, on) else {
            // SAFETY: the caller passes null or a place for the result.
            unsafe { write(old, null_mut()) };
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let key = Key {
            owner: owner.id,
            object: ObjectKey::Volume(on.id),
        };
        // SAFETY: as above.
        unsafe { delete(&machine, CALL, Ok(key), on.is_dismounted(), old) }
    }

    /// Unlinks the context of an instance.
    unsafe fn FltDeleteInstanceContext(on: PFLT_INSTANCE, old: *mut PFLT_CONTEXT) -> NTSTATUS {
        const CALL: &str = "FltDeleteInstanceContext";
        let Some((machine, on)) = instance(CALL, "Instance", on) else {
            // SAFETY: the caller passes null or a place for the result.
            unsafe { write(old, null_mut()) };
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let refused = refuses_delete(&machine, &on, ContextKind::Instance);
        // SAFETY: as above.
        unsafe { delete(&machine, CALL, Ok(instance_key(&on)), refused, old) }
    }

    /// Unlinks the context of the file of a file object.
    unsafe fn FltDeleteFileContext(
        owner: PFLT_INSTANCE,
        file: PFILE_OBJECT,
        old: *mut PFLT_CONTEXT,
    ) -> NTSTATUS {
        // SAFETY: the caller passes null or a place for the result.
        unsafe { delete_on_file("FltDeleteFileContext", ContextKind::File, owner, file, old) }
    }

    /// Unlinks the context of the stream of a file object.
    unsafe fn FltDeleteStreamContext(
        owner: PFLT_INSTANCE,
        file: PFILE_OBJECT,
        old: *mut PFLT_CONTEXT,
    ) -> NTSTATUS {
        // SAFETY: the caller passes null or a place for the result.
        unsafe { delete_on_file("FltDeleteStreamContext", ContextKind::Stream, owner, file, old) }
    }

    /// Unlinks the context of a file object.
    unsafe fn FltDeleteStreamHandleContext(
        owner: PFLT_INSTANCE,
        file: PFILE_OBJECT,
        old: *mut PFLT_CONTEXT,
    ) -> NTSTATUS {
        const CALL: &str = "FltDeleteStreamHandleContext";
        // SAFETY: the caller passes null or a place for the result.
        unsafe { delete_on_file(CALL, ContextKind::StreamHandle, owner, file, old) }
    }

    /// Unlinks the context of a transaction.
    unsafe fn FltDeleteTransactionContext(
        owner: PFLT_INSTANCE,
        on: PKTRANSACTION,
        old: *mut PFLT_CONTEXT,
    ) -> NTSTATUS {
        const CALL: &str = "FltDeleteTransactionContext";
        let Some((machine, owner, on)) = instance_and_transaction(CALL, owner, on) else {
            // SAFETY: the caller passes null or a place for the result.
            unsafe { write(old, null_mut()) };
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let refused = refuses_delete(&machine, &owner, ContextKind::Transaction);
        let key = on.key(&machine, &owner);
        // SAFETY: as above.
        unsafe { delete(&machine, CALL, Ok(key), refused, old) }
    }

    /// Whether the file system itself supports file contexts on a file object.
    unsafe fn FltSupportsFileContexts(file: PFILE_OBJECT) -> BOOLEAN {
        const CALL: &str = "FltSupportsFileContexts";
        supports(CALL, ContextKind::File, file, native_file_contexts)
    }

    /// Whether file contexts can be used on a file object, emulated ones too if there is an
    /// instance to keep them.
    unsafe fn FltSupportsFileContextsEx(file: PFILE_OBJECT, owner: PFLT_INSTANCE) -> BOOLEAN {
        const CALL: &str = "FltSupportsFileContextsEx";
        let emulation = !owner.is_null();
        supports(CALL, ContextKind::File, file, |file| {
            emulation || native_file_contexts(file)
        })
    }

    /// Whether stream contexts can be used on a file object.
    unsafe fn FltSupportsStreamContexts(file: PFILE_OBJECT) -> BOOLEAN {
        supports("FltSupportsStreamContexts", ContextKind::Stream, file, |_| true)
    }

    /// Whether stream-handle contexts can be used on a file object.
    unsafe fn FltSupportsStreamHandleContexts(file: PFILE_OBJECT) -> BOOLEAN {
        const CALL: &str = "FltSupportsStreamHandleContexts";
        supports(CALL, ContextKind::StreamHandle, file, |_| true)
    }
}

fn native_file_contexts(file: &FileObject) -> bool {
    file.volume().personality.file_contexts == crate::filesystem::FileContexts::Native
}
