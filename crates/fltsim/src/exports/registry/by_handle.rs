//! Keys and values by handle.

use super::information::{self, Information};
use super::{bytes, key, long, machine, status, store};
use crate::exports::{driver, enter, exports, write};
use crate::kernel::handle::{Grant, KernelObject};
use crate::kernel::registry::filter;
use crate::kernel::registry::notice::{
    ENUMERATE_KEY, ENUMERATE_VALUE, Enumerate, QUERY_KEY, QUERY_VALUE, QueryKey, QueryValue,
};
use crate::kernel::registry::operation::{self, Opening};
use crate::kernel::registry::{
    Key, RegistryValue, SERVICES, STATUS_OBJECT_PATH_SYNTAX_BAD, below_root,
};
use crate::kernel::string;
use crate::machine::Inner;
use fltmgr_sys::*;
use std::sync::Arc;

const REG_OPTION_VOLATILE: ULONG = 0x1;
const REG_OPTION_CREATE_LINK: ULONG = 0x2;
const REG_OPTION_BACKUP_RESTORE: ULONG = 0x4;
const REG_OPTION_OPEN_LINK: ULONG = 0x8;
/// `DRIVER_REGKEY_TYPE`: the parameters that the INF gave, and what the driver keeps.
const PARAMETERS: ULONG = 0;
const PERSISTENT_STATE: ULONG = 1;
/// The bytes that a name in a `UNICODE_STRING` must not go beyond in the kernel's own structure.
const ATTRIBUTES: ULONG = 48;
const _: () = assert!(size_of::<OBJECT_ATTRIBUTES>() == ATTRIBUTES as usize);

/// Which key `OBJECT_ATTRIBUTES` name.
///
/// # Safety
/// `attributes` is null or valid, with a name that is null or a string.
unsafe fn place(
    machine: &Inner,
    call: &'static str,
    access: ACCESS_MASK,
    attributes: POBJECT_ATTRIBUTES,
) -> Result<Opening, NTSTATUS> {
    if attributes.is_null() {
        return Err(STATUS_INVALID_PARAMETER);
    }
    // SAFETY: not null, so valid by this function's contract.
    let attributes = unsafe { attributes.read_unaligned() };
    if attributes.Length != ATTRIBUTES {
        return Err(STATUS_INVALID_PARAMETER);
    }
    // SAFETY: by this function's contract.
    let name = unsafe { string::read(attributes.ObjectName) }.unwrap_or_default();
    let root = if attributes.RootDirectory.is_null() {
        below_root(&name)?;
        None
    } else {
        Some(key(machine, call, attributes.RootDirectory)?)
    };
    if root.is_some() && name.starts_with('\\') {
        return Err(STATUS_OBJECT_PATH_SYNTAX_BAD);
    }
    Ok(Opening {
        root,
        name,
        access,
        attributes: attributes.Attributes,
        ..Opening::default()
    })
}

/// How a handle is made of a key.
fn grant(opening: &Opening) -> Grant {
    Grant {
        access: opening.access,
        kernel: opening.attributes & OBJ_KERNEL_HANDLE != 0,
        filter: None,
    }
}

/// Opens a key that is there.
///
/// # Safety
/// As for [`place`]; `handle` may be written to.
unsafe fn open_key(
    machine: &Arc<Inner>,
    call: &'static str,
    handle: *mut HANDLE,
    access: ACCESS_MASK,
    attributes: POBJECT_ATTRIBUTES,
    options: ULONG,
) -> Result<(), NTSTATUS> {
    // SAFETY: by this function's contract.
    let mut opening = unsafe { place(machine, call, access, attributes) }?;
    opening.options = options;
    let key = operation::open(machine, &opening)?;
    let opened = key.into_handle(machine, grant(&opening), call);
    // SAFETY: as above.
    unsafe { write(handle, opened) };
    Ok(())
}

/// Writes as much of a structure as there is room for.
///
/// # Safety
/// `buffer` has `length` bytes, and `result` may be written to or is null.
unsafe fn answer(
    information: Result<Information, NTSTATUS>,
    buffer: PVOID,
    length: ULONG,
    result: *mut ULONG,
) -> NTSTATUS {
    let Information { minimum, bytes } = match information {
        Ok(information) => information,
        Err(status) => return status,
    };
    // SAFETY: by this function's contract.
    unsafe { write(result, long(bytes.len())) };
    let room = if buffer.is_null() { 0 } else { length as usize };
    if room < minimum {
        return STATUS_BUFFER_TOO_SMALL;
    }
    // SAFETY: no more than there is room for.
    unsafe { store(buffer, &bytes[..bytes.len().min(room)]) };
    if room < bytes.len() {
        STATUS_BUFFER_OVERFLOW
    } else {
        STATUS_SUCCESS
    }
}

/// The structure for listing what is in a key.
fn enumerate(
    key: &Key,
    index: ULONG,
    class: ULONG,
    buffer: PVOID,
    length: ULONG,
    result: *mut ULONG,
) -> Enumerate {
    Enumerate {
        object: key.address(),
        index,
        class,
        buffer: buffer as usize,
        length,
        result: result as usize,
        ..Enumerate::default()
    }
}

exports! {
    /// Opens a key.
    unsafe fn ZwOpenKey(
        handle: *mut HANDLE,
        access: ACCESS_MASK,
        attributes: POBJECT_ATTRIBUTES,
    ) -> NTSTATUS {
        const CALL: &str = "ZwOpenKey";
        let Some(machine) = machine(CALL) else {
            return STATUS_UNSUCCESSFUL;
        };
        // SAFETY: the caller passes a place for the handle, and attributes.
        status(unsafe { open_key(&machine, CALL, handle, access, attributes, 0) })
    }

    /// The same, with options.
    unsafe fn ZwOpenKeyEx(
        handle: *mut HANDLE,
        access: ACCESS_MASK,
        attributes: POBJECT_ATTRIBUTES,
        options: ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "ZwOpenKeyEx";
        let Some(machine) = machine(CALL) else {
            return STATUS_UNSUCCESSFUL;
        };
        if options & !(REG_OPTION_BACKUP_RESTORE | REG_OPTION_OPEN_LINK) != 0 {
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: the caller passes a place for the handle, and attributes.
        status(unsafe { open_key(&machine, CALL, handle, access, attributes, options) })
    }

    /// Opens a key, and makes it if only the last part of its path is missing.
    unsafe fn ZwCreateKey(
        handle: *mut HANDLE,
        access: ACCESS_MASK,
        attributes: POBJECT_ATTRIBUTES,
        _title: ULONG,
        class: PCUNICODE_STRING,
        options: ULONG,
        disposition: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "ZwCreateKey";
        let Some(machine) = machine(CALL) else {
            return STATUS_UNSUCCESSFUL;
        };
        let known = REG_OPTION_VOLATILE | REG_OPTION_BACKUP_RESTORE | REG_OPTION_OPEN_LINK;
        if options & REG_OPTION_CREATE_LINK != 0 {
            // Not for drivers, and not modelled.
            return STATUS_ACCESS_DENIED;
        }
        if options & !known != 0 {
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: the caller passes attributes.
        let mut opening = match unsafe { place(&machine, CALL, access, attributes) } {
            Ok(opening) => opening,
            Err(status) => return status,
        };
        // SAFETY: the caller passes a string or null.
        opening.class = unsafe { string::read(class) }.unwrap_or_default();
        opening.volatile = options & REG_OPTION_VOLATILE != 0;
        opening.options = options;
        let (key, what) = match operation::create(&machine, &opening) {
            Ok(created) => created,
            Err(status) => return status,
        };
        let opened = key.into_handle(&machine, grant(&opening), CALL);
        // SAFETY: the caller passes a place for the handle.
        unsafe { write(handle, opened) };
        // SAFETY: the caller passes a place for it or null.
        unsafe { write(disposition, what) };
        STATUS_SUCCESS
    }

    /// Deletes a key without subkeys. Its handles are left, and are to be closed.
    unsafe fn ZwDeleteKey(handle: HANDLE) -> NTSTATUS {
        const CALL: &str = "ZwDeleteKey";
        let Some(machine) = machine(CALL) else {
            return STATUS_UNSUCCESSFUL;
        };
        match key(&machine, CALL, handle) {
            Ok(key) => operation::delete(&machine, &key),
            Err(status) => status,
        }
    }

    /// Tells of one value.
    unsafe fn ZwQueryValueKey(
        handle: HANDLE,
        name: PCUNICODE_STRING,
        class: ULONG,
        buffer: PVOID,
        length: ULONG,
        result: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "ZwQueryValueKey";
        let Some(machine) = machine(CALL) else {
            return STATUS_UNSUCCESSFUL;
        };
        let key = match key(&machine, CALL, handle) {
            Ok(key) => key,
            Err(status) => return status,
        };
        // SAFETY: the caller passes a string.
        let own = unsafe { string::read(name) }.unwrap_or_default();
        let mut notice = QueryValue {
            object: key.address(),
            name: name as usize,
            class,
            buffer: buffer as usize,
            length,
            result: result as usize,
            ..QueryValue::default()
        };
        filter::run(&machine, QUERY_VALUE, &mut notice, |_| {
            let found = machine.registry.value(key.id, &own);
            let information = found.and_then(|(name, value)| information::of_value(class, &name, &value));
            // SAFETY: the caller passes a buffer of this length and a place for the result.
            unsafe { answer(information, buffer, length, result) }
        })
    }

    /// Tells of one value, by its position.
    unsafe fn ZwEnumerateValueKey(
        handle: HANDLE,
        index: ULONG,
        class: ULONG,
        buffer: PVOID,
        length: ULONG,
        result: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "ZwEnumerateValueKey";
        let Some(machine) = machine(CALL) else {
            return STATUS_UNSUCCESSFUL;
        };
        let key = match key(&machine, CALL, handle) {
            Ok(key) => key,
            Err(status) => return status,
        };
        let mut notice = enumerate(&key, index, class, buffer, length, result);
        filter::run(&machine, ENUMERATE_VALUE, &mut notice, |_| {
            let information = machine.registry.describe(key.id).and_then(|key| {
                let value = key.values.get(index as usize);
                let (name, value) = value.ok_or(STATUS_NO_MORE_ENTRIES)?;
                information::of_value(class, name, value)
            });
            // SAFETY: the caller passes a buffer of this length and a place for the result.
            unsafe { answer(information, buffer, length, result) }
        })
    }

    /// Tells of one subkey, by its position.
    unsafe fn ZwEnumerateKey(
        handle: HANDLE,
        index: ULONG,
        class: ULONG,
        buffer: PVOID,
        length: ULONG,
        result: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "ZwEnumerateKey";
        let Some(machine) = machine(CALL) else {
            return STATUS_UNSUCCESSFUL;
        };
        let key = match key(&machine, CALL, handle) {
            Ok(key) => key,
            Err(status) => return status,
        };
        let hive = &machine.registry;
        let mut notice = enumerate(&key, index, class, buffer, length, result);
        filter::run(&machine, ENUMERATE_KEY, &mut notice, |_| {
            let information = hive.describe(key.id).and_then(|key| {
                let subkey = key.subkeys.get(index as usize);
                let subkey = hive.describe(*subkey.ok_or(STATUS_NO_MORE_ENTRIES)?)?;
                information::of_subkey(hive, class, &subkey)
            });
            // SAFETY: the caller passes a buffer of this length and a place for the result.
            unsafe { answer(information, buffer, length, result) }
        })
    }

    /// Tells of a key.
    unsafe fn ZwQueryKey(
        handle: HANDLE,
        class: ULONG,
        buffer: PVOID,
        length: ULONG,
        result: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "ZwQueryKey";
        let Some(machine) = machine(CALL) else {
            return STATUS_UNSUCCESSFUL;
        };
        let key = match key(&machine, CALL, handle) {
            Ok(key) => key,
            Err(status) => return status,
        };
        let hive = &machine.registry;
        let mut notice = QueryKey {
            object: key.address(),
            class,
            buffer: buffer as usize,
            length,
            result: result as usize,
            ..QueryKey::default()
        };
        filter::run(&machine, QUERY_KEY, &mut notice, |_| {
            let described = hive.describe(key.id);
            let information = described.and_then(|key| information::of_key(hive, class, &key));
            // SAFETY: the caller passes a buffer of this length and a place for the result.
            unsafe { answer(information, buffer, length, result) }
        })
    }

    /// Writes a value.
    unsafe fn ZwSetValueKey(
        handle: HANDLE,
        name: PCUNICODE_STRING,
        title: ULONG,
        kind: ULONG,
        data: PVOID,
        length: ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "ZwSetValueKey";
        let Some(machine) = machine(CALL) else {
            return STATUS_UNSUCCESSFUL;
        };
        let key = match key(&machine, CALL, handle) {
            Ok(key) => key,
            Err(status) => return status,
        };
        // SAFETY: the caller passes a string.
        let name = unsafe { string::read(name) }.unwrap_or_default();
        // SAFETY: the caller passes that many bytes.
        let data = unsafe { bytes(data, length as usize) };
        operation::set(&machine, &key, &name, title, RegistryValue { kind, data })
    }

    /// Deletes a value.
    unsafe fn ZwDeleteValueKey(handle: HANDLE, name: PCUNICODE_STRING) -> NTSTATUS {
        const CALL: &str = "ZwDeleteValueKey";
        let Some(machine) = machine(CALL) else {
            return STATUS_UNSUCCESSFUL;
        };
        let key = match key(&machine, CALL, handle) {
            Ok(key) => key,
            Err(status) => return status,
        };
        // SAFETY: the caller passes a string.
        let name = unsafe { string::read(name) }.unwrap_or_default();
        operation::remove(&machine, &key, &name)
    }

    /// Writes a key to the disk, which this registry does not have.
    unsafe fn ZwFlushKey(handle: HANDLE) -> NTSTATUS {
        const CALL: &str = "ZwFlushKey";
        let Some(machine) = machine(CALL) else {
            return STATUS_UNSUCCESSFUL;
        };
        match key(&machine, CALL, handle) {
            Ok(key) => operation::flush(&machine, &key),
            Err(status) => status,
        }
    }

    /// Opens one of a driver's own keys.
    unsafe fn IoOpenDriverRegistryKey(
        object: PDRIVER_OBJECT,
        which: ULONG,
        access: ACCESS_MASK,
        flags: ULONG,
        handle: *mut HANDLE,
    ) -> NTSTATUS {
        const CALL: &str = "IoOpenDriverRegistryKey";
        let Some((machine, record)) = driver(CALL, "DriverObject", object) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let subkey = match which {
            PARAMETERS => "Parameters",
            PERSISTENT_STATE => "State",
            _ => return STATUS_INVALID_PARAMETER,
        };
        if flags != 0 {
            return STATUS_INVALID_PARAMETER;
        }
        let path = format!(r"{SERVICES}\{}\{subkey}", record.config.name);
        let key = match operation::create_all(&machine, &path) {
            Ok(key) => key,
            Err(status) => return status,
        };
        let grant = Grant {
            access,
            kernel: true,
            filter: None,
        };
        // SAFETY: the caller passes a place for the handle.
        unsafe { write(handle, key.into_handle(&machine, grant, CALL)) };
        STATUS_SUCCESS
    }
}
