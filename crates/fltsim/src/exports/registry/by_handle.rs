//! Keys and values by handle.

use super::information::{self, Information};
use super::{bytes, key, long, machine, status, store};
use crate::exports::{driver, enter, exports, write};
use crate::kernel::registry::{
    KeyId, ROOT, RegistryValue, SERVICES, STATUS_OBJECT_PATH_SYNTAX_BAD, below_root, open,
};
use crate::kernel::string;
use crate::machine::Inner;
use fltmgr_sys::*;
use std::sync::Arc;

const REG_OPTION_VOLATILE: ULONG = 0x1;
const REG_OPTION_CREATE_LINK: ULONG = 0x2;
const REG_OPTION_BACKUP_RESTORE: ULONG = 0x4;
const REG_OPTION_OPEN_LINK: ULONG = 0x8;
const REG_CREATED_NEW_KEY: ULONG = 1;
const REG_OPENED_EXISTING_KEY: ULONG = 2;
/// `DRIVER_REGKEY_TYPE`: the parameters that the INF gave, and what the driver keeps.
const PARAMETERS: ULONG = 0;
const PERSISTENT_STATE: ULONG = 1;
/// The bytes that a name in a `UNICODE_STRING` must not go beyond in the kernel's own structure.
const ATTRIBUTES: ULONG = 48;
const _: () = assert!(size_of::<OBJECT_ATTRIBUTES>() == ATTRIBUTES as usize);

/// Where `OBJECT_ATTRIBUTES` point to: a key, a path below it, and the attributes.
///
/// # Safety
/// `attributes` is null or valid, with a name that is null or a string.
unsafe fn place(
    machine: &Inner,
    call: &'static str,
    attributes: POBJECT_ATTRIBUTES,
) -> Result<(KeyId, String, ULONG), NTSTATUS> {
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
    if attributes.RootDirectory.is_null() {
        let path = below_root(&name)?.to_owned();
        return Ok((ROOT, path, attributes.Attributes));
    }
    let from = key(machine, call, attributes.RootDirectory)?;
    if name.starts_with('\\') {
        return Err(STATUS_OBJECT_PATH_SYNTAX_BAD);
    }
    Ok((from, name, attributes.Attributes))
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
) -> Result<(), NTSTATUS> {
    // SAFETY: by this function's contract.
    let (from, path, attributes) = unsafe { place(machine, call, attributes) }?;
    let id = machine.registry.find(from, &path)?;
    let opened = open(
        machine,
        id,
        access,
        attributes & OBJ_KERNEL_HANDLE != 0,
        call,
    );
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
        status(unsafe { open_key(&machine, CALL, handle, access, attributes) })
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
        status(unsafe { open_key(&machine, CALL, handle, access, attributes) })
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
        let (from, path, attributes) = match unsafe { place(&machine, CALL, attributes) } {
            Ok(place) => place,
            Err(status) => return status,
        };
        // SAFETY: the caller passes a string or null.
        let class = unsafe { string::read(class) }.unwrap_or_default();
        let volatile = options & REG_OPTION_VOLATILE != 0;
        let (id, made) = match machine.registry.create(from, &path, &class, volatile) {
            Ok(created) => created,
            Err(status) => return status,
        };
        let opened = open(&machine, id, access, attributes & OBJ_KERNEL_HANDLE != 0, CALL);
        // SAFETY: the caller passes a place for the handle.
        unsafe { write(handle, opened) };
        let what = if made { REG_CREATED_NEW_KEY } else { REG_OPENED_EXISTING_KEY };
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
        status(key(&machine, CALL, handle).and_then(|key| machine.registry.delete(key)))
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
        let id = match key(&machine, CALL, handle) {
            Ok(id) => id,
            Err(status) => return status,
        };
        // SAFETY: the caller passes a string.
        let name = unsafe { string::read(name) }.unwrap_or_default();
        let information = machine
            .registry
            .value(id, &name)
            .and_then(|(name, value)| information::of_value(class, &name, &value));
        // SAFETY: the caller passes a buffer of this length and a place for the result.
        unsafe { answer(information, buffer, length, result) }
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
        let information = key(&machine, CALL, handle)
            .and_then(|id| machine.registry.describe(id))
            .and_then(|key| {
                let value = key.values.get(index as usize);
                let (name, value) = value.ok_or(STATUS_NO_MORE_ENTRIES)?;
                information::of_value(class, name, value)
            });
        // SAFETY: the caller passes a buffer of this length and a place for the result.
        unsafe { answer(information, buffer, length, result) }
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
        let hive = &machine.registry;
        let information = key(&machine, CALL, handle)
            .and_then(|id| hive.describe(id))
            .and_then(|key| {
                let subkey = key.subkeys.get(index as usize);
                let subkey = hive.describe(*subkey.ok_or(STATUS_NO_MORE_ENTRIES)?)?;
                information::of_subkey(hive, class, &subkey)
            });
        // SAFETY: the caller passes a buffer of this length and a place for the result.
        unsafe { answer(information, buffer, length, result) }
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
        let hive = &machine.registry;
        let information = key(&machine, CALL, handle)
            .and_then(|id| hive.describe(id))
            .and_then(|key| information::of_key(hive, class, &key));
        // SAFETY: the caller passes a buffer of this length and a place for the result.
        unsafe { answer(information, buffer, length, result) }
    }

    /// Writes a value.
    unsafe fn ZwSetValueKey(
        handle: HANDLE,
        name: PCUNICODE_STRING,
        _title: ULONG,
        kind: ULONG,
        data: PVOID,
        length: ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "ZwSetValueKey";
        let Some(machine) = machine(CALL) else {
            return STATUS_UNSUCCESSFUL;
        };
        let id = match key(&machine, CALL, handle) {
            Ok(id) => id,
            Err(status) => return status,
        };
        // SAFETY: the caller passes a string.
        let name = unsafe { string::read(name) }.unwrap_or_default();
        // SAFETY: the caller passes that many bytes.
        let data = unsafe { bytes(data, length as usize) };
        status(machine.registry.set(id, &name, RegistryValue { kind, data }))
    }

    /// Deletes a value.
    unsafe fn ZwDeleteValueKey(handle: HANDLE, name: PCUNICODE_STRING) -> NTSTATUS {
        const CALL: &str = "ZwDeleteValueKey";
        let Some(machine) = machine(CALL) else {
            return STATUS_UNSUCCESSFUL;
        };
        let id = match key(&machine, CALL, handle) {
            Ok(id) => id,
            Err(status) => return status,
        };
        // SAFETY: the caller passes a string.
        let name = unsafe { string::read(name) }.unwrap_or_default();
        status(machine.registry.remove(id, &name))
    }

    /// Writes a key to the disk, which this registry does not have.
    unsafe fn ZwFlushKey(handle: HANDLE) -> NTSTATUS {
        const CALL: &str = "ZwFlushKey";
        let Some(machine) = machine(CALL) else {
            return STATUS_UNSUCCESSFUL;
        };
        let key = key(&machine, CALL, handle).and_then(|id| machine.registry.describe(id));
        status(key.map(|_| ()))
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
        let id = match machine.registry.create_all(&path) {
            Ok(id) => id,
            Err(status) => return status,
        };
        // SAFETY: the caller passes a place for the handle.
        unsafe { write(handle, open(&machine, id, access, true, CALL)) };
        STATUS_SUCCESS
    }
}
