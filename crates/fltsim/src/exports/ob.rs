//! The Object Manager: handles, references and types.

use super::data::type_address;
use super::{bad_pointer, enter, exports, write};
use crate::image;
use crate::kernel::handle::{Grant, Handles, KernelObject};
use crate::kernel::link::{DirectoryBody, LinkBody};
use crate::kernel::object::Body;
use crate::kernel::{scope, thread};
use crate::machine::Inner;
use crate::manager::{Object, find};
use fltmgr_sys::*;
use std::sync::Arc;

/// The pseudo-handle of the running process.
const CURRENT_PROCESS: isize = -1;
/// The pseudo-handle of the running thread.
const CURRENT_THREAD: isize = -2;
const KERNEL_HANDLE: ULONG = 0x200;
const DUPLICATE_CLOSE_SOURCE: ULONG = 1;
const DUPLICATE_SAME_ACCESS: ULONG = 2;
const USER_MODE: KPROCESSOR_MODE = 1;
/// Everything that a handle can allow.
const ALL_ACCESS: ACCESS_MASK = 0x001F_FFFF;

/// `OBJECT_HANDLE_INFORMATION`.
#[repr(C)]
pub(crate) struct HandleInformation {
    attributes: ULONG,
    access: ACCESS_MASK,
}

/// `OBJECT_NAME_INFORMATION`; the characters follow.
#[repr(C)]
pub(crate) struct NameInformation {
    name: UNICODE_STRING,
}

impl NameInformation {
    pub(super) fn new(name: UNICODE_STRING) -> Self {
        Self { name }
    }
}

/// `PUBLIC_OBJECT_BASIC_INFORMATION`.
#[repr(C)]
pub(crate) struct BasicInformation {
    attributes: ULONG,
    access: ACCESS_MASK,
    handles: ULONG,
    pointers: ULONG,
    reserved: [ULONG; 10],
}

/// `PUBLIC_OBJECT_TYPE_INFORMATION`; the characters follow.
#[repr(C)]
pub(crate) struct TypeInformation {
    name: UNICODE_STRING,
    reserved: [ULONG; 22],
}

const _: () = assert!(size_of::<HandleInformation>() == 8);
const _: () = assert!(size_of::<NameInformation>() == 16);
const _: () = assert!(size_of::<BasicInformation>() == 56);
const _: () = assert!(size_of::<TypeInformation>() == 104);

/// `ObjectBasicInformation`.
const BASIC_INFORMATION: i32 = 0;
/// `ObjectTypeInformation`.
const TYPE_INFORMATION: i32 = 2;

/// What the type of an object is called.
fn type_name(object: &dyn KernelObject) -> &'static str {
    match object.object_type() {
        "CmKeyObjectType" => "Key",
        "ExEventObjectType" => "Event",
        "IoDeviceObjectType" => "Device",
        "IoFileObjectType" => "File",
        "MmSectionObjectType" => "Section",
        "PsProcessType" => "Process",
        "PsThreadType" => "Thread",
        "SeTokenObjectType" => "Token",
        "TmTransactionObjectType" => "TmTx",
        _ if object.handle_name() == LinkBody::HANDLE_NAME => "SymbolicLink",
        _ if object.handle_name() == DirectoryBody::HANDLE_NAME => "Directory",
        _ => "",
    }
}

/// What a handle stands for, the pseudo-handles included.
pub(super) fn behind(
    machine: &Inner,
    handle: HANDLE,
) -> Option<(Arc<dyn KernelObject>, ACCESS_MASK)> {
    match handle as isize {
        CURRENT_PROCESS => Some((Arc::clone(thread::system()) as _, ALL_ACCESS)),
        CURRENT_THREAD => Some((image::current()? as _, ALL_ACCESS)),
        _ => machine.handles.find(handle),
    }
}

/// Whether an object is of the type that a caller wants, if it wants one.
fn is_of_type(object: &dyn KernelObject, wanted: PVOID) -> bool {
    wanted.is_null() || type_address(object.object_type()) == Some(wanted as usize)
}

/// # Safety
/// The places may be written to, or are null.
unsafe fn by_handle(
    call: &'static str,
    handle: HANDLE,
    wanted: ACCESS_MASK,
    kind: PVOID,
    mode: KPROCESSOR_MODE,
    place: *mut PVOID,
    information: *mut HandleInformation,
) -> NTSTATUS {
    // SAFETY: by this function's contract.
    unsafe { write(place, std::ptr::null_mut()) };
    let Some(machine) = scope::machine() else {
        return STATUS_INVALID_HANDLE;
    };
    enter(&machine, call);
    let Some((object, granted)) = behind(&machine, handle) else {
        return STATUS_INVALID_HANDLE;
    };
    if mode == USER_MODE && Handles::is_kernel(handle) {
        return STATUS_INVALID_HANDLE;
    }
    if !is_of_type(&*object, kind) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    if mode == USER_MODE && wanted & !granted != 0 {
        return STATUS_ACCESS_DENIED;
    }
    if !object.reference(call) {
        return STATUS_INVALID_HANDLE;
    }
    let attributes = if Handles::is_kernel(handle) {
        KERNEL_HANDLE
    } else {
        0
    };
    let found = HandleInformation {
        attributes,
        access: granted,
    };
    // SAFETY: by this function's contract.
    unsafe { write(information, found) };
    // SAFETY: as above.
    unsafe { write(place, object.address() as PVOID) };
    STATUS_SUCCESS
}

/// The kernel object at an address, or a report.
fn at(call: &'static str, object: PVOID) -> Option<(Arc<Inner>, Arc<dyn KernelObject>)> {
    let found = find(object as usize);
    let machine = found
        .as_ref()
        .and_then(Object::machine)
        .or_else(scope::machine)?;
    enter(&machine, call);
    let found = found.and_then(Object::kernel);
    if found.is_none() {
        bad_pointer(call, "Object", object as usize, "kernel object");
    }
    Some((machine, found?))
}

fn by_pointer(call: &'static str, object: PVOID, kind: PVOID) -> NTSTATUS {
    let Some((_, found)) = at(call, object) else {
        return STATUS_INVALID_PARAMETER;
    };
    if !is_of_type(&*found, kind) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    if found.reference(call) {
        STATUS_SUCCESS
    } else {
        bad_pointer(call, "Object", object as usize, "referenced kernel object");
        STATUS_INVALID_PARAMETER
    }
}

/// # Safety
/// The place may be written to, or is null.
unsafe fn open_by_pointer(
    call: &'static str,
    object: PVOID,
    attributes: ULONG,
    wanted: ACCESS_MASK,
    kind: PVOID,
    place: *mut HANDLE,
) -> NTSTATUS {
    // SAFETY: by this function's contract.
    unsafe { write(place, std::ptr::null_mut()) };
    let Some((machine, found)) = at(call, object) else {
        return STATUS_INVALID_PARAMETER;
    };
    if !is_of_type(&*found, kind) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    let grant = Grant {
        access: wanted,
        kernel: attributes & KERNEL_HANDLE != 0,
        filter: None,
    };
    let handle = machine.handles.open(&machine, found, grant, call);
    // SAFETY: as above.
    unsafe { write(place, handle) };
    STATUS_SUCCESS
}

fn reference(call: &'static str, object: PVOID) -> isize {
    let referenced = at(call, object).is_some_and(|(_, found)| found.reference(call));
    isize::from(referenced)
}

fn dereference(call: &'static str, object: PVOID) -> isize {
    if let Some((machine, found)) = at(call, object)
        && !found.dereference(&machine)
    {
        bad_pointer(call, "Object", object as usize, "referenced kernel object");
    }
    0
}

fn close(call: &'static str, handle: HANDLE, mode: KPROCESSOR_MODE) -> NTSTATUS {
    let Some(machine) = scope::machine() else {
        return STATUS_INVALID_HANDLE;
    };
    enter(&machine, call);
    let hidden = mode == USER_MODE && Handles::is_kernel(handle);
    if !hidden && machine.handles.close(&machine, handle) {
        STATUS_SUCCESS
    } else {
        STATUS_INVALID_HANDLE
    }
}

/// The full name of an object.
fn name_of(object: PVOID) -> Option<String> {
    let object = find(object as usize)?.kernel()?;
    Some(object.path().unwrap_or_default())
}

exports! {
    /// The object of a handle, referenced.
    unsafe fn ObReferenceObjectByHandle(
        handle: HANDLE,
        wanted: ACCESS_MASK,
        kind: PVOID,
        mode: KPROCESSOR_MODE,
        object: *mut PVOID,
        information: *mut HandleInformation,
    ) -> NTSTATUS {
        const CALL: &str = "ObReferenceObjectByHandle";
        // SAFETY: the caller passes places, or null.
        unsafe { by_handle(CALL, handle, wanted, kind, mode, object, information) }
    }

    /// As `ObReferenceObjectByHandle`; the tag is for debuggers.
    unsafe fn ObReferenceObjectByHandleWithTag(
        handle: HANDLE,
        wanted: ACCESS_MASK,
        kind: PVOID,
        mode: KPROCESSOR_MODE,
        _tag: ULONG,
        object: *mut PVOID,
        information: *mut HandleInformation,
    ) -> NTSTATUS {
        const CALL: &str = "ObReferenceObjectByHandleWithTag";
        // SAFETY: the caller passes places, or null.
        unsafe { by_handle(CALL, handle, wanted, kind, mode, object, information) }
    }

    /// References an object if it is of a type.
    unsafe fn ObReferenceObjectByPointer(
        object: PVOID,
        _wanted: ACCESS_MASK,
        kind: PVOID,
        _mode: KPROCESSOR_MODE,
    ) -> NTSTATUS {
        by_pointer("ObReferenceObjectByPointer", object, kind)
    }

    /// As `ObReferenceObjectByPointer`, with a tag.
    unsafe fn ObReferenceObjectByPointerWithTag(
        object: PVOID,
        _wanted: ACCESS_MASK,
        kind: PVOID,
        _mode: KPROCESSOR_MODE,
        _tag: ULONG,
    ) -> NTSTATUS {
        by_pointer("ObReferenceObjectByPointerWithTag", object, kind)
    }

    /// Opens a handle for an object.
    unsafe fn ObOpenObjectByPointer(
        object: PVOID,
        attributes: ULONG,
        _state: PVOID,
        wanted: ACCESS_MASK,
        kind: PVOID,
        _mode: KPROCESSOR_MODE,
        handle: *mut HANDLE,
    ) -> NTSTATUS {
        const CALL: &str = "ObOpenObjectByPointer";
        // SAFETY: the caller passes a place.
        unsafe { open_by_pointer(CALL, object, attributes, wanted, kind, handle) }
    }

    /// As `ObOpenObjectByPointer`, with a tag.
    unsafe fn ObOpenObjectByPointerWithTag(
        object: PVOID,
        attributes: ULONG,
        _state: PVOID,
        wanted: ACCESS_MASK,
        kind: PVOID,
        _mode: KPROCESSOR_MODE,
        _tag: ULONG,
        handle: *mut HANDLE,
    ) -> NTSTATUS {
        const CALL: &str = "ObOpenObjectByPointerWithTag";
        // SAFETY: the caller passes a place.
        unsafe { open_by_pointer(CALL, object, attributes, wanted, kind, handle) }
    }

    /// Adds a reference, with a tag.
    unsafe fn ObfReferenceObjectWithTag(object: PVOID, _tag: ULONG) -> isize {
        reference("ObfReferenceObjectWithTag", object)
    }

    /// Gives a reference back, with a tag.
    unsafe fn ObfDereferenceObjectWithTag(object: PVOID, _tag: ULONG) -> isize {
        dereference("ObfDereferenceObjectWithTag", object)
    }

    /// Gives a reference back; what the last one frees may be freed later.
    unsafe fn ObDereferenceObjectDeferDelete(object: PVOID) {
        dereference("ObDereferenceObjectDeferDelete", object);
    }

    /// As `ObDereferenceObjectDeferDelete`, with a tag.
    unsafe fn ObDereferenceObjectDeferDeleteWithTag(object: PVOID, _tag: ULONG) {
        dereference("ObDereferenceObjectDeferDeleteWithTag", object);
    }

    /// The type of an object.
    unsafe fn ObGetObjectType(object: PVOID) -> PVOID {
        let found = at("ObGetObjectType", object);
        let address = found.and_then(|(_, found)| type_address(found.object_type()));
        address.unwrap_or(0) as PVOID
    }

    /// The name of an object.
    unsafe fn ObQueryNameString(
        object: PVOID,
        information: *mut NameInformation,
        length: ULONG,
        needed: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "ObQueryNameString";
        let found = find(object as usize);
        let machine = found.as_ref().and_then(Object::machine).or_else(scope::machine);
        let Some(machine) = machine else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let Some(name) = name_of(object) else {
            bad_pointer(CALL, "Object", object as usize, "kernel object");
            return STATUS_INVALID_PARAMETER;
        };
        let units: Vec<u16> = name.encode_utf16().collect();
        let terminated = if units.is_empty() { 0 } else { units.len() + 1 };
        let bytes = size_of::<NameInformation>() + 2 * terminated;
        // SAFETY: the caller passes a place.
        unsafe { write(needed, ULONG::try_from(bytes).unwrap_or(ULONG::MAX)) };
        if information.is_null() || (length as usize) < bytes {
            return STATUS_INFO_LENGTH_MISMATCH;
        }
        let text = information.wrapping_add(1).cast::<u16>();
        let empty = units.is_empty();
        let header = UNICODE_STRING {
            Length: u16::try_from(units.len() * 2).unwrap_or(u16::MAX - 1),
            MaximumLength: u16::try_from(terminated * 2).unwrap_or(u16::MAX),
            Buffer: if empty { std::ptr::null_mut() } else { text },
        };
        // SAFETY: the buffer is long enough for the header, as was checked.
        unsafe { information.write(NameInformation { name: header }) };
        if !empty {
            for (index, unit) in units.iter().chain(&[0]).enumerate() {
                // SAFETY: and for these characters behind it.
                unsafe { text.wrapping_add(index).write(*unit) };
            }
        }
        STATUS_SUCCESS
    }

    /// Tells about the object of a handle.
    unsafe fn ZwQueryObject(
        handle: HANDLE,
        class: i32,
        buffer: PVOID,
        length: ULONG,
        needed: *mut ULONG,
    ) -> NTSTATUS {
        let Some(machine) = super::here("ZwQueryObject") else {
            return STATUS_INVALID_HANDLE;
        };
        let Some((object, access)) = behind(&machine, handle) else {
            return STATUS_INVALID_HANDLE;
        };
        let name: Vec<u16> = type_name(&*object).encode_utf16().chain([0]).collect();
        let bytes = match class {
            BASIC_INFORMATION => size_of::<BasicInformation>(),
            TYPE_INFORMATION => size_of::<TypeInformation>() + 2 * name.len(),
            _ => return STATUS_INVALID_INFO_CLASS,
        };
        // SAFETY: the caller passes a place, or null.
        unsafe { write(needed, ULONG::try_from(bytes).unwrap_or(ULONG::MAX)) };
        if buffer.is_null() || (length as usize) < bytes {
            return STATUS_INFO_LENGTH_MISMATCH;
        }
        if class == BASIC_INFORMATION {
            let handles = machine.handles.count(object.address());
            let references = object.references(&machine);
            let handles = ULONG::try_from(handles).unwrap_or(ULONG::MAX);
            let references = ULONG::try_from(references).unwrap_or(ULONG::MAX);
            let value = BasicInformation {
                attributes: if Handles::is_kernel(handle) { KERNEL_HANDLE } else { 0 },
                access,
                handles,
                pointers: handles.saturating_add(references),
                reserved: [0; 10],
            };
            // SAFETY: the buffer is long enough, as was checked.
            unsafe { buffer.cast::<BasicInformation>().write_unaligned(value) };
            return STATUS_SUCCESS;
        }
        let information = buffer.cast::<TypeInformation>();
        let text = information.wrapping_add(1).cast::<u16>();
        let size = u16::try_from(2 * name.len()).unwrap_or(u16::MAX);
        let value = TypeInformation {
            name: UNICODE_STRING {
                Length: size - 2,
                MaximumLength: size,
                Buffer: text,
            },
            reserved: [0; 22],
        };
        // SAFETY: as above.
        unsafe { information.write_unaligned(value) };
        for (index, unit) in name.iter().enumerate() {
            // SAFETY: and for the characters behind it.
            unsafe { text.wrapping_add(index).write_unaligned(*unit) };
        }
        STATUS_SUCCESS
    }

    /// Closes a handle for a mode.
    unsafe fn ObCloseHandle(handle: HANDLE, mode: KPROCESSOR_MODE) -> NTSTATUS {
        close("ObCloseHandle", handle, mode)
    }

    /// Closes a handle.
    unsafe fn NtClose(handle: HANDLE) -> NTSTATUS {
        close("NtClose", handle, 0)
    }

    /// Opens another handle for what a handle stands for. Both processes are the one there is.
    unsafe fn ZwDuplicateObject(
        source_process: HANDLE,
        source: HANDLE,
        target_process: HANDLE,
        target: *mut HANDLE,
        wanted: ACCESS_MASK,
        attributes: ULONG,
        options: ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "ZwDuplicateObject";
        let Some(machine) = scope::machine() else {
            return STATUS_INVALID_HANDLE;
        };
        enter(&machine, CALL);
        let is_process = |handle| {
            let found = behind(&machine, handle);
            found.is_some_and(|(object, _)| object.object_type() == "PsProcessType")
        };
        let closes_only = target_process.is_null() && options & DUPLICATE_CLOSE_SOURCE != 0;
        if !is_process(source_process) || !(closes_only || is_process(target_process)) {
            return STATUS_INVALID_HANDLE;
        }
        let Some((object, granted)) = behind(&machine, source) else {
            return STATUS_INVALID_HANDLE;
        };
        if !closes_only {
            let same = options & DUPLICATE_SAME_ACCESS != 0;
            let grant = Grant {
                access: if same { granted } else { wanted },
                kernel: attributes & KERNEL_HANDLE != 0,
                filter: None,
            };
            let handle = machine.handles.open(&machine, object, grant, CALL);
            // SAFETY: the caller passes a place.
            unsafe { write(target, handle) };
        }
        if options & DUPLICATE_CLOSE_SOURCE != 0 {
            machine.handles.close(&machine, source);
        }
        STATUS_SUCCESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::symbolic_link::tests::{close, machine, open};
    use crate::exports::symbolic_link::{ZwOpenDirectoryObject, ZwOpenSymbolicLinkObject};
    use std::ptr::null_mut;

    /// Asks about an object with room for so many bytes.
    fn ask(handle: HANDLE, class: i32, room: ULONG) -> (NTSTATUS, ULONG, Vec<u64>) {
        let mut buffer = vec![0_u64; 32];
        let mut needed = 0;
        // SAFETY: a buffer that is long enough, and a place.
        let status = unsafe {
            ZwQueryObject(
                handle,
                class,
                buffer.as_mut_ptr().cast(),
                room,
                &raw mut needed,
            )
        };
        (status, needed, buffer)
    }

    #[test]
    fn objects_are_asked_about() {
        let machine = machine();
        machine.at_irql(PASSIVE_LEVEL, || {
            let directory = open(ZwOpenDirectoryObject, null_mut(), "\\Device").unwrap();
            let link = open(ZwOpenSymbolicLinkObject, null_mut(), "\\??\\C:").unwrap();
            let (object, _) = machine.inner.handles.find(link).unwrap();
            object.reference("test");
            let (status, needed, found) = ask(link, BASIC_INFORMATION, 56);
            assert_eq!((status, needed), (STATUS_SUCCESS, 56));
            // Attributes and access, handles and pointers.
            assert_eq!(found[..2], [0x8000_0000_0000_0200, 0x2_0000_0001]);
            Arc::clone(&object).dereference(&machine.inner);
            let (_, _, found) = ask(link, BASIC_INFORMATION, 56);
            assert_eq!(found[1], 0x1_0000_0001);
            let mismatch = STATUS_INFO_LENGTH_MISMATCH;
            assert_eq!(ask(link, BASIC_INFORMATION, 55).0, mismatch);
            for (handle, name) in [
                (link, "SymbolicLink"),
                (directory, "Directory"),
                (-1_isize as HANDLE, "Process"),
            ] {
                let length = 104 + 2 * (name.len() + 1);
                let length = ULONG::try_from(length).unwrap();
                let (status, needed, _) = ask(handle, TYPE_INFORMATION, length - 1);
                assert_eq!((status, needed), (mismatch, length));
                let (status, needed, found) = ask(handle, TYPE_INFORMATION, length);
                assert_eq!((status, needed), (STATUS_SUCCESS, length));
                let size = 2 * name.len() as u64;
                assert_eq!(found[0] & 0xFFFF_FFFF, size | (size + 2) << 16);
                let text: Vec<u16> = found[13..]
                    .iter()
                    .flat_map(|word| [0, 16, 32, 48].map(|shift| (word >> shift & 0xFFFF) as u16))
                    .take(name.len() + 1)
                    .collect();
                assert_eq!(String::from_utf16_lossy(&text), format!("{name}\0"));
            }
            for class in [1, 3] {
                assert_eq!(ask(link, class, 256).0, STATUS_INVALID_INFO_CLASS);
            }
            assert_eq!(
                ask(null_mut(), BASIC_INFORMATION, 56).0,
                STATUS_INVALID_HANDLE
            );
            close(link);
            close(directory);
        });
        let outcome = machine.finish();
        assert!(outcome.is_clean(), "{outcome:#?}");
    }
}
