//! File name information.

use super::operation::operation;
use super::work_item::top_level;
use super::{bad_pointer, enter, exports, file_object, instance, write};
use crate::io::{self, FileObject, ObjectName, Operation};
use crate::kernel::{scope, string};
use crate::machine::Inner;
use crate::manager::name::{self, NameInformation, Parts};
use crate::manager::{Filter, Volume};
use crate::verifier::{NAME_OVER_RELEASE, Rule};
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;

exports! {
    /// The name of the file that an operation is about; the caller owns a reference.
    unsafe fn FltGetFileNameInformation(
        CallbackData: PFLT_CALLBACK_DATA,
        NameOptions: ULONG,
        Information: *mut PFLT_FILE_NAME_INFORMATION,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetFileNameInformation";
        let Some(operation) = operation(CALL, CallbackData) else {
            return STATUS_INVALID_PARAMETER;
        };
        let result = of_operation(&operation, NameOptions, CALL);
        // SAFETY: the caller passes a place for the result.
        unsafe { give(Information, result) }
    }

    /// Forgets the names that an instance has provided: there are none, as no name provider is
    /// asked.
    unsafe fn FltPurgeFileNameInformationCache(
        Instance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
    ) -> NTSTATUS {
        const CALL: &str = "FltPurgeFileNameInformationCache";
        let owner = super::instance(CALL, "Instance", Instance);
        let known = FileObject.is_null() || file_object(CALL, "FileObject", FileObject).is_some();
        match owner {
            Some((machine, _)) if known => {
                enter(&machine, CALL);
                STATUS_SUCCESS
            }
            _ => STATUS_INVALID_PARAMETER,
        }
    }

    /// The name of a file object; the caller owns a reference.
    unsafe fn FltGetFileNameInformationUnsafe(
        FileObject: PFILE_OBJECT,
        Instance: PFLT_INSTANCE,
        NameOptions: ULONG,
        Information: *mut PFLT_FILE_NAME_INFORMATION,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetFileNameInformationUnsafe";
        let Some((machine, file)) = file_object(CALL, "FileObject", FileObject) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let result = match instance(CALL, "Instance", Instance) {
            None => Err(STATUS_INVALID_PARAMETER),
            Some((_, instance)) => of_file(&instance.filter, &file, NameOptions, CALL),
        };
        // SAFETY: the caller passes a place for the result.
        unsafe { give(Information, result) }
    }

    /// Adds a reference to name information.
    unsafe fn FltReferenceFileNameInformation(Information: PFLT_FILE_NAME_INFORMATION) {
        const CALL: &str = "FltReferenceFileNameInformation";
        if let Some(information) = lookup(CALL, Information)
            && !information.reference(CALL)
        {
            over_release(&information, CALL);
        }
    }

    /// Releases a reference to name information.
    unsafe fn FltReleaseFileNameInformation(Information: PFLT_FILE_NAME_INFORMATION) {
        const CALL: &str = "FltReleaseFileNameInformation";
        if let Some(information) = lookup(CALL, Information)
            && !information.release()
        {
            over_release(&information, CALL);
        }
    }

    /// Fills in the parts of name information.
    unsafe fn FltParseFileNameInformation(
        Information: PFLT_FILE_NAME_INFORMATION,
    ) -> NTSTATUS {
        const CALL: &str = "FltParseFileNameInformation";
        let Some(information) = lookup(CALL, Information) else {
            return STATUS_INVALID_PARAMETER;
        };
        information.parse();
        STATUS_SUCCESS
    }

    /// Splits a file name into its parts, which lie in its buffer.
    unsafe fn FltParseFileName(
        FileName: PCUNICODE_STRING,
        Extension: PUNICODE_STRING,
        Stream: PUNICODE_STRING,
        FinalComponent: PUNICODE_STRING,
    ) -> NTSTATUS {
        const CALL: &str = "FltParseFileName";
        if let Some(machine) = scope::machine() {
            enter(&machine, CALL);
        }
        // SAFETY: the caller passes a string.
        let Some(text) = (unsafe { string::read(FileName) }) else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: not null, and a string by the caller's promise.
        let first = unsafe { (*FileName).Buffer };
        let units: Vec<u16> = text.encode_utf16().collect();
        let parts = Parts::of(&units);
        for (target, range) in [
            (Extension, parts.extension),
            (Stream, parts.stream),
            (FinalComponent, parts.last),
        ] {
            // SAFETY: the caller passes null or a place for the result.
            unsafe { write(target, name::string(first, range)) };
        }
        STATUS_SUCCESS
    }

    /// The new name of a rename or hard link; the caller owns a reference.
    unsafe fn FltGetDestinationFileNameInformation(
        Instance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
        RootDirectory: HANDLE,
        FileName: *mut WCHAR,
        FileNameLength: ULONG,
        NameOptions: ULONG,
        RetFileNameInformation: *mut PFLT_FILE_NAME_INFORMATION,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetDestinationFileNameInformation";
        let Some((machine, instance)) = instance(CALL, "Instance", Instance) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let Some((_, file)) = file_object(CALL, "FileObject", FileObject) else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes that many bytes of a name.
        let text = unsafe { string::read_units(FileName, FileNameLength as usize / 2) };
        let to = ObjectName {
            root: RootDirectory,
            units: text.encode_utf16().collect(),
            by_id: false,
        };
        let format = NameOptions & 0xFF;
        let result = destination(&machine, &file, &to, &text, format).map(|path| {
            NameInformation::new(&instance.filter, file.volume(), &path, format, CALL)
        });
        // SAFETY: the caller passes a place for the result.
        unsafe { give(RetFileNameInformation, result) }
    }

    /// The name that tunnelling gave a file; NULL if it gave none. Tunnelling replaces short names
    /// by the long ones that they had, and these file systems have no short names.
    unsafe fn FltGetTunneledName(
        CallbackData: PFLT_CALLBACK_DATA,
        Information: PFLT_FILE_NAME_INFORMATION,
        RetTunneledFileNameInformation: *mut PFLT_FILE_NAME_INFORMATION,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetTunneledName";
        // SAFETY: the caller passes a place for the result.
        unsafe { write(RetTunneledFileNameInformation, null_mut()) };
        let operation = operation(CALL, CallbackData);
        let known = name::find(Information).is_some();
        if !known {
            let address = Information as usize;
            bad_pointer(CALL, "FileNameInformation", address, "file name information");
        }
        let Some(operation) = operation.filter(|_| known) else {
            return STATUS_INVALID_PARAMETER;
        };
        let post = operation.data().load().Flags & FLTFL_CALLBACK_DATA_POST_OPERATION != 0;
        if !post || !matches!(operation.major, IRP_MJ_CREATE | IRP_MJ_SET_INFORMATION) {
            let text = "CallbackData is not of a post-operation of create or set information";
            operation.machine.verifier.violation(Rule::V0, CALL, text);
        }
        STATUS_SUCCESS
    }

    /// Whether a file object is a directory.
    unsafe fn FltIsDirectory(
        FileObject: PFILE_OBJECT,
        Instance: PFLT_INSTANCE,
        IsDirectory: *mut BOOLEAN,
    ) -> NTSTATUS {
        const CALL: &str = "FltIsDirectory";
        let Some((machine, file)) = file_object(CALL, "FileObject", FileObject) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        if instance(CALL, "Instance", Instance).is_none() || file.identity().is_none() {
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: the caller passes a place for the result.
        unsafe { write(IsDirectory, BOOLEAN::from(file.is_directory())) };
        STATUS_SUCCESS
    }
}

/// # Safety
/// `target` is null or may be written to.
unsafe fn give(
    target: *mut PFLT_FILE_NAME_INFORMATION,
    result: Result<Arc<NameInformation>, NTSTATUS>,
) -> NTSTATUS {
    let (pointer, status) = match result {
        Ok(information) => (information.pointer(), STATUS_SUCCESS),
        Err(status) => (null_mut(), status),
    };
    // SAFETY: passed on to the caller.
    unsafe { write(target, pointer) };
    status
}

fn of_operation(
    operation: &Arc<Operation>,
    options: ULONG,
    call: &'static str,
) -> Result<Arc<NameInformation>, NTSTATUS> {
    let layer = operation.current_layer();
    // Asking the file system could deadlock in the paging path and within another request, and after
    // a close there is nothing left to ask about.
    let recursive = operation.is_paging() || top_level() != 0;
    let Some(layer) = layer.filter(|_| !recursive && !operation.draining) else {
        return Err(STATUS_FLT_INVALID_NAME_REQUEST);
    };
    let filter = &operation.layers[layer].instance.filter;
    of_file(filter, &operation.file, options, call)
}

fn of_file(
    filter: &Arc<Filter>,
    file: &FileObject,
    options: ULONG,
    call: &'static str,
) -> Result<Arc<NameInformation>, NTSTATUS> {
    let path = name::path_of(file, options)?;
    let volume: &Arc<Volume> = file.volume();
    Ok(NameInformation::new(
        filter,
        volume,
        &path,
        options & 0xFF,
        call,
    ))
}

/// Where a rename leads: an absolute name, a path from the root of the volume, a name below a
/// directory or beside the file.
fn destination(
    machine: &Inner,
    file: &FileObject,
    to: &ObjectName,
    text: &str,
    format: FLT_FILE_NAME_OPTIONS,
) -> Result<String, NTSTATUS> {
    if top_level() != 0 || format == FLT_FILE_NAME_SHORT {
        return Err(STATUS_FLT_INVALID_NAME_REQUEST);
    }
    if !matches!(format, FLT_FILE_NAME_NORMALIZED | FLT_FILE_NAME_OPENED) {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let path = if text.starts_with('\\') || !to.root.is_null() {
        match io::find_name(machine, to) {
            Ok(found) => found.path,
            Err(status) if !to.root.is_null() => return Err(status),
            // No device and no drive, so it begins at the root of the volume.
            Err(_) => text.to_owned(),
        }
    } else {
        let source = name::path_of(file, format)?;
        let parent = source
            .rfind('\\')
            .map_or("", |position| &source[..position]);
        format!("{parent}\\{text}")
    };
    Ok(name::in_format(&path, format))
}

fn lookup(
    call: &'static str,
    information: PFLT_FILE_NAME_INFORMATION,
) -> Option<Arc<NameInformation>> {
    let Some(found) = name::find(information) else {
        let address = information as usize;
        bad_pointer(
            call,
            "FileNameInformation",
            address,
            "file name information",
        );
        return None;
    };
    if let Some(machine) = found.filter.machine.upgrade() {
        enter(&machine, call);
    }
    Some(found)
}

fn over_release(information: &NameInformation, call: &'static str) {
    if let Some(machine) = information.filter.machine.upgrade() {
        machine.verifier.bugcheck(
            Rule::V20,
            [NAME_OVER_RELEASE, 0, information.pointer() as u64, 0],
            call,
            "file name information was used after its last reference was released",
        );
    }
}
