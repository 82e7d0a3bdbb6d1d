//! Keys and values by path.

use super::query::{self, QueryEntry};
use super::{bytes, key, machine, status};
use crate::exports::exports;
use crate::kernel::handle::KernelObject;
use crate::kernel::registry::operation::{self, Opening};
use crate::kernel::registry::{Key, RegistryValue, SERVICES};
use crate::kernel::string;
use crate::machine::Inner;
use fltmgr_sys::*;
use std::sync::Arc;

const RTL_REGISTRY_ABSOLUTE: ULONG = 0;
const RTL_REGISTRY_SERVICES: ULONG = 1;
const RTL_REGISTRY_CONTROL: ULONG = 2;
const RTL_REGISTRY_WINDOWS_NT: ULONG = 3;
const RTL_REGISTRY_DEVICEMAP: ULONG = 4;
const RTL_REGISTRY_USER: ULONG = 5;
const RTL_REGISTRY_HANDLE: ULONG = 0x4000_0000;
const RTL_REGISTRY_OPTIONAL: ULONG = 0x8000_0000;

/// What is to become of a key that is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Fails,
    IsMade,
}

/// The key that `RelativeTo` and `Path` name, which has to be released.
///
/// # Safety
/// `path` is a terminated string or null, unless `RelativeTo` says that it is a handle.
unsafe fn find(
    machine: &Arc<Inner>,
    call: &'static str,
    relative_to: ULONG,
    path: *const WCHAR,
    missing: Missing,
) -> Result<Arc<Key>, NTSTATUS> {
    if relative_to & RTL_REGISTRY_HANDLE != 0 {
        let found = key(machine, call, path.cast_mut().cast())?;
        found.reference(call);
        return Ok(found);
    }
    // SAFETY: by this function's contract.
    let path = unsafe { string::read_terminated(path) }.unwrap_or_default();
    let base = match relative_to & !RTL_REGISTRY_OPTIONAL {
        RTL_REGISTRY_ABSOLUTE => "",
        RTL_REGISTRY_SERVICES => SERVICES,
        RTL_REGISTRY_CONTROL => r"\Registry\Machine\System\CurrentControlSet\Control",
        RTL_REGISTRY_WINDOWS_NT => {
            r"\Registry\Machine\Software\Microsoft\Windows NT\CurrentVersion"
        }
        RTL_REGISTRY_DEVICEMAP => r"\Registry\Machine\Hardware\DeviceMap",
        RTL_REGISTRY_USER => r"\Registry\User\.Default",
        _ => return Err(STATUS_INVALID_PARAMETER),
    };
    let full = match (base, &*path) {
        ("", path) => path.to_owned(),
        (base, "") => base.to_owned(),
        (base, path) => format!("{base}\\{path}"),
    };
    let opening = Opening::absolute(&full);
    match missing {
        Missing::Fails => operation::open(machine, &opening),
        Missing::IsMade => operation::create(machine, &opening).map(|(key, _)| key),
    }
}

/// What both forms of `RtlQueryRegistryValues` do.
///
/// # Safety
/// As [`find`] and [`query::run`].
unsafe fn query_values(
    call: &'static str,
    relative_to: ULONG,
    path: *const WCHAR,
    table: *mut QueryEntry,
    context: PVOID,
) -> NTSTATUS {
    let Some(machine) = machine(call) else {
        return STATUS_UNSUCCESSFUL;
    };
    // SAFETY: by this function's contract.
    let base = match unsafe { find(&machine, call, relative_to, path, Missing::Fails) } {
        Ok(base) => base,
        Err(_) if relative_to & RTL_REGISTRY_OPTIONAL != 0 => return STATUS_SUCCESS,
        Err(status) => return status,
    };
    // SAFETY: as above.
    let result = unsafe { query::run(&machine, call, &base, table, context) };
    base.release(&machine);
    status(result)
}

exports! {
    /// Reads the values that a table names.
    unsafe fn RtlQueryRegistryValues(
        relative_to: ULONG,
        path: *const WCHAR,
        table: *mut QueryEntry,
        context: PVOID,
        _environment: PVOID,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a path or a handle, and a table that ends.
        unsafe { query_values("RtlQueryRegistryValues", relative_to, path, table, context) }
    }

    /// The same; it does not call code of user mode.
    unsafe fn RtlQueryRegistryValuesEx(
        relative_to: ULONG,
        path: *const WCHAR,
        table: *mut QueryEntry,
        context: PVOID,
        _environment: PVOID,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a path or a handle, and a table that ends.
        unsafe { query_values("RtlQueryRegistryValuesEx", relative_to, path, table, context) }
    }

    /// Writes a value, and makes its key if only the last part of the path is missing.
    unsafe fn RtlWriteRegistryValue(
        relative_to: ULONG,
        path: *const WCHAR,
        name: *const WCHAR,
        kind: ULONG,
        data: PVOID,
        length: ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "RtlWriteRegistryValue";
        let Some(machine) = machine(CALL) else {
            return STATUS_UNSUCCESSFUL;
        };
        // SAFETY: the caller passes a path or a handle.
        let key = match unsafe { find(&machine, CALL, relative_to, path, Missing::IsMade) } {
            Ok(key) => key,
            Err(status) => return status,
        };
        // SAFETY: the caller passes a terminated string or null.
        let name = unsafe { string::read_terminated(name) }.unwrap_or_default();
        // SAFETY: the caller passes that many bytes.
        let data = unsafe { bytes(data, length as usize) };
        let value = RegistryValue { kind, data };
        let status = operation::set(&machine, &key, &name, 0, value);
        key.release(&machine);
        status
    }

    /// Deletes a value.
    unsafe fn RtlDeleteRegistryValue(
        relative_to: ULONG,
        path: *const WCHAR,
        name: *const WCHAR,
    ) -> NTSTATUS {
        const CALL: &str = "RtlDeleteRegistryValue";
        let Some(machine) = machine(CALL) else {
            return STATUS_UNSUCCESSFUL;
        };
        // SAFETY: the caller passes a path or a handle.
        let key = match unsafe { find(&machine, CALL, relative_to, path, Missing::Fails) } {
            Ok(key) => key,
            Err(status) => return status,
        };
        // SAFETY: the caller passes a terminated string or null.
        let name = unsafe { string::read_terminated(name) }.unwrap_or_default();
        let status = operation::remove(&machine, &key, &name);
        key.release(&machine);
        status
    }

    /// Whether there is a key.
    unsafe fn RtlCheckRegistryKey(relative_to: ULONG, path: *const WCHAR) -> NTSTATUS {
        const CALL: &str = "RtlCheckRegistryKey";
        let Some(machine) = machine(CALL) else {
            return STATUS_UNSUCCESSFUL;
        };
        // SAFETY: the caller passes a path or a handle.
        let found = unsafe { find(&machine, CALL, relative_to, path, Missing::Fails) };
        status(found.map(|key| {
            key.release(&machine);
        }))
    }

    /// Makes a key, if only the last part of its path is missing.
    unsafe fn RtlCreateRegistryKey(relative_to: ULONG, path: *const WCHAR) -> NTSTATUS {
        const CALL: &str = "RtlCreateRegistryKey";
        let Some(machine) = machine(CALL) else {
            return STATUS_UNSUCCESSFUL;
        };
        // SAFETY: the caller passes a path or a handle.
        let made = unsafe { find(&machine, CALL, relative_to, path, Missing::IsMade) };
        status(made.map(|key| {
            key.release(&machine);
        }))
    }
}
