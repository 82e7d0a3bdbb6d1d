//! Sections for data scans.

use super::attributes::Attributes;
use super::context::file_key;
use super::{enter_below, exports, file_object, instance, write};
use crate::config::WindowsVersion;
use crate::kernel::fault::Fault;
use crate::machine::Inner;
use crate::manager::context::{ContextKind, SectionState};
use crate::manager::{Instance, Object, find};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn enter(machine: &Inner, call: &'static str) {
    let documents = !machine.config.policies.data_scan_at_passive;
    enter_below(machine, call, documents.then_some(APC_LEVEL));
}

fn section_context(
    call: &'static str,
    pointer: PFLT_CONTEXT,
) -> Option<(Arc<Inner>, Arc<crate::manager::context::Node>)> {
    let address = pointer as usize;
    let Some(Object::Context(node)) = find(address) else {
        super::bad_pointer(call, "SectionContext", address, "context");
        return None;
    };
    Some((node.machine.upgrade()?, node))
}

/// What `FltCreateSectionForDataScan` is asked for.
struct Request {
    context: PFLT_CONTEXT,
    protection: ULONG,
    attributes: ULONG,
}

/// Checks everything and links the context; the bytes of the stream.
fn create(
    machine: &Arc<Inner>,
    call: &'static str,
    owner: &Arc<Instance>,
    file: PFILE_OBJECT,
    request: &Request,
) -> Result<Box<[u8]>, NTSTATUS> {
    if !owner.data_scan.load(Ordering::Acquire) {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let (_, node) = section_context(call, request.context).ok_or(STATUS_INVALID_PARAMETER)?;
    if node.kind != ContextKind::Section || node.filter.id != owner.filter.id {
        let text = format!("a {} context of {}", node.kind.name(), node.filter.name);
        machine.verifier.violation(Rule::V15, call, text);
        return Err(STATUS_INVALID_PARAMETER);
    }
    machine.contexts.pin(&node, owner, call);
    if node.section_state() != SectionState::NeverCreated {
        return Err(STATUS_INVALID_PARAMETER_3);
    }
    if !matches!(request.protection, PAGE_READONLY | PAGE_READWRITE) {
        return Err(STATUS_INVALID_PARAMETER_8);
    }
    let attributes = request.attributes;
    if attributes & SEC_COMMIT == 0 || attributes & !(SEC_COMMIT | SEC_FILE) != 0 {
        return Err(STATUS_INVALID_PARAMETER_9);
    }
    let (_, file) = file_object(call, "FileObject", file).ok_or(STATUS_INVALID_PARAMETER)?;
    let key = file_key(machine, call, ContextKind::Section, owner, &file)?;
    let size = file.section_size()?;
    if size == 0 {
        return Err(STATUS_END_OF_FILE);
    }
    if file.is_range_locked() {
        return Err(STATUS_FILE_LOCK_CONFLICT);
    }
    let fault = machine
        .faults
        .take(|fault| matches!(fault, Fault::Section { .. }));
    if let Some(Fault::Section { status, .. }) = fault {
        return Err(status);
    }
    let contents = file.section_contents(size)?;
    let deleting = || owner.is_deleting();
    match machine
        .contexts
        .open_section(machine, call, key, &node, &deleting)
    {
        STATUS_SUCCESS => Ok(contents),
        status => Err(status),
    }
}

/// An operation gets in the way before the section's creator knows its handle.
fn conflict_now(machine: &Arc<Inner>, owner: &Arc<Instance>, context: PFLT_CONTEXT) {
    let fault = machine
        .faults
        .take(|fault| matches!(fault, Fault::SectionConflict { .. }));
    let callback = owner
        .filter
        .registration
        .callbacks
        .SectionNotificationCallback;
    let (Some(_), Some(callback)) = (fault, callback) else {
        return;
    };
    // SAFETY: a parameter block is integers and nullable pointers; all-zero is a valid one.
    let mut block: FLT_IO_PARAMETER_BLOCK = unsafe { std::mem::zeroed() };
    block.MajorFunction = IRP_MJ_WRITE;
    block.TargetInstance = owner.pointer();
    // SAFETY: as above.
    let mut data: FLT_CALLBACK_DATA = unsafe { std::mem::zeroed() };
    data.Flags = FLTFL_CALLBACK_DATA_IRP_OPERATION;
    data.Iopb = &raw mut block;
    let _scope = crate::kernel::scope::Scope::enter(
        machine,
        crate::kernel::scope::Callback::SectionConflict,
        PASSIVE_LEVEL,
    );
    // SAFETY: the driver registered this callback, and is loaded while its instance exists.
    unsafe { callback(owner.pointer(), context, &raw mut data) };
}

exports! {
    /// Registers an instance for data scans.
    unsafe fn FltRegisterForDataScan(owner: PFLT_INSTANCE) -> NTSTATUS {
        const CALL: &str = "FltRegisterForDataScan";
        let Some((machine, owner)) = instance(CALL, "Instance", owner) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let windows = machine.config.windows >= WindowsVersion::Windows10;
        if !windows || !owner.volume.personality.data_scan {
            return STATUS_NOT_SUPPORTED;
        }
        if owner.is_deleting() {
            return STATUS_FLT_DELETING_OBJECT;
        }
        owner.data_scan.store(true, Ordering::Release);
        STATUS_SUCCESS
    }

    /// Creates a section and links its context to the stream. The results are written at the very
    /// end: a conflict that comes before finds what the caller left there, and so does a failure.
    unsafe fn FltCreateSectionForDataScan(
        owner: PFLT_INSTANCE,
        file: PFILE_OBJECT,
        context: PFLT_CONTEXT,
        _access: ACCESS_MASK,
        attributes: POBJECT_ATTRIBUTES,
        _maximum: *mut LARGE_INTEGER,
        protection: ULONG,
        allocation: ULONG,
        _flags: ULONG,
        handle: *mut HANDLE,
        object: *mut PVOID,
        size: *mut LARGE_INTEGER,
    ) -> NTSTATUS {
        const CALL: &str = "FltCreateSectionForDataScan";
        let Some((machine, owner)) = instance(CALL, "Instance", owner) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        // SAFETY: null, or attributes of the caller.
        let attributes = match unsafe { Attributes::read(attributes) } {
            Ok(attributes) => attributes,
            Err(status) => return status,
        };
        if !attributes.kernel {
            let text = "the attributes of a section must have OBJ_KERNEL_HANDLE: otherwise its handle \
                is one of the calling process";
            machine.verifier.violation(Rule::V17, CALL, text);
        }
        let request = Request {
            context,
            protection,
            attributes: allocation,
        };
        let contents = match create(&machine, CALL, &owner, file, &request) {
            Ok(contents) => contents,
            Err(status) => return status,
        };
        conflict_now(&machine, &owner, context);
        let length = contents.len();
        let (closing, section) = crate::kernel::section::open(&machine, &owner.filter, contents, attributes.kernel, CALL);
        // SAFETY: the caller passes null or a place for the handle.
        unsafe { write(handle, closing) };
        // SAFETY: the same for the object.
        unsafe { write(object, section.pointer()) };
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        // SAFETY: the caller passes null or a place for the size.
        unsafe { write(size, LARGE_INTEGER { QuadPart: length }) };
        STATUS_SUCCESS
    }

    /// Ends a data scan and unlinks its context.
    unsafe fn FltCloseSectionForDataScan(context: PFLT_CONTEXT) -> NTSTATUS {
        const CALL: &str = "FltCloseSectionForDataScan";
        let Some((machine, node)) = section_context(CALL, context) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        if node.kind != ContextKind::Section {
            let text = format!("a {} context", node.kind.name());
            machine.verifier.violation(Rule::V15, CALL, text);
            return STATUS_INVALID_PARAMETER;
        }
        machine.contexts.close_section(&machine, CALL, &node)
    }
}
