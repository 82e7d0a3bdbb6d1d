//! The table of `RtlQueryRegistryValues`, worked through entry by entry.

use super::{bytes, read, store};
use crate::exports::kernel;
use crate::kernel::registry::operation::{self, Opening};
use crate::kernel::registry::{Key, RegistryValue};
use crate::kernel::string;
use crate::machine::Inner;
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::sync::Arc;

const SUBKEY: ULONG = 0x1;
const TOPKEY: ULONG = 0x2;
const REQUIRED: ULONG = 0x4;
const NOVALUE: ULONG = 0x8;
const NOEXPAND: ULONG = 0x10;
const DIRECT: ULONG = 0x20;
const DELETE: ULONG = 0x40;
const NOSTRING: ULONG = 0x80;
const TYPECHECK: ULONG = 0x100;
/// How far up in `DefaultType` the expected type is.
const TYPECHECK_SHIFT: u32 = 24;
/// Tag of strings that are allocated.
const TAG: ULONG = u32::from_le_bytes(*b"RqrV");

/// `PRTL_QUERY_REGISTRY_ROUTINE`.
#[cfg(target_arch = "x86_64")]
type Routine =
    Option<unsafe extern "win64" fn(*const WCHAR, ULONG, PVOID, ULONG, PVOID, PVOID) -> NTSTATUS>;
/// `PRTL_QUERY_REGISTRY_ROUTINE`.
#[cfg(not(target_arch = "x86_64"))]
type Routine =
    Option<unsafe extern "system" fn(*const WCHAR, ULONG, PVOID, ULONG, PVOID, PVOID) -> NTSTATUS>;

/// `RTL_QUERY_REGISTRY_TABLE`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct QueryEntry {
    routine: Routine,
    flags: ULONG,
    name: *const WCHAR,
    context: PVOID,
    default_type: ULONG,
    default_data: PVOID,
    default_length: ULONG,
}
const _: () = assert!(size_of::<QueryEntry>() == 56);

/// Works through a table.
///
/// # Safety
/// The table ends with an entry without a routine and a name; what its entries point to is as the
/// flags of each say.
pub(super) unsafe fn run(
    machine: &Arc<Inner>,
    call: &'static str,
    base: &Arc<Key>,
    table: *mut QueryEntry,
    context: PVOID,
) -> Result<(), NTSTATUS> {
    let mut opened = Vec::new();
    // SAFETY: by this function's contract.
    let result = unsafe { work(machine, call, base, table, context, &mut opened) };
    for key in opened {
        key.release(machine);
    }
    result
}

/// The keys that are opened on the way have to be released.
///
/// # Safety
/// As [`run`].
unsafe fn work(
    machine: &Arc<Inner>,
    call: &'static str,
    base: &Arc<Key>,
    table: *mut QueryEntry,
    context: PVOID,
    opened: &mut Vec<Arc<Key>>,
) -> Result<(), NTSTATUS> {
    let mut current = Arc::clone(base);
    let mut next = table.cast_const();
    while !next.is_null() {
        // SAFETY: no entry before this one ended the table, so this one is there.
        let entry = unsafe { next.read_unaligned() };
        next = next.wrapping_add(1);
        if entry.routine.is_none() && entry.name.is_null() && entry.flags & (SUBKEY | DIRECT) == 0 {
            break;
        }
        let run = Run {
            machine,
            call,
            entry,
            context,
        };
        if entry.flags & (SUBKEY | TOPKEY) != 0 {
            current = Arc::clone(base);
        }
        // SAFETY: by this function's contract.
        if let Some(key) = unsafe { run.entry(&current, opened) }? {
            current = key;
        }
    }
    Ok(())
}

fn deleted(status: NTSTATUS) -> Result<(), NTSTATUS> {
    if nt_success(status) {
        Ok(())
    } else {
        Err(status)
    }
}

struct Run<'a> {
    machine: &'a Arc<Inner>,
    call: &'static str,
    entry: QueryEntry,
    context: PVOID,
}

impl Run<'_> {
    fn has(&self, flag: ULONG) -> bool {
        self.entry.flags & flag != 0
    }

    /// Does what one entry says, and gives the key that the next one is about if it is another one.
    ///
    /// # Safety
    /// As [`run`].
    unsafe fn entry(
        &self,
        current: &Arc<Key>,
        opened: &mut Vec<Arc<Key>>,
    ) -> Result<Option<Arc<Key>>, NTSTATUS> {
        let entry = &self.entry;
        let direct = self.has(DIRECT);
        // SAFETY: a name is terminated.
        let name = unsafe { string::read_terminated(entry.name) };
        if direct && (name.is_none() || entry.routine.is_some() || self.has(SUBKEY)) {
            return Err(STATUS_INVALID_PARAMETER);
        }
        if direct {
            self.untrusted(current);
        }
        if self.has(SUBKEY) {
            let name = name.ok_or(STATUS_INVALID_PARAMETER)?;
            let key = operation::open(self.machine, &Opening::below(current, &name))?;
            opened.push(Arc::clone(&key));
            if entry.routine.is_some() {
                // SAFETY: by this function's contract.
                unsafe { self.all(&key) }?;
            }
            return Ok(Some(key));
        }
        if !direct && entry.routine.is_none() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        match name {
            // SAFETY: by this function's contract.
            Some(name) => unsafe { self.named(current, &name) }?,
            None if self.has(NOVALUE) => {
                let none = RegistryValue {
                    kind: RegistryValue::NONE,
                    data: Vec::new(),
                };
                // SAFETY: by this function's contract.
                unsafe { self.tell(entry.name, &none) }?;
            }
            // SAFETY: by this function's contract.
            None => unsafe { self.all(current) }?,
        }
        Ok(None)
    }

    /// A hive that anybody can write to has values of any type.
    fn untrusted(&self, key: &Key) {
        let Ok(key) = self.machine.registry.describe(key.id) else {
            return;
        };
        let path = key.path.to_ascii_uppercase();
        if !self.has(TYPECHECK) && !path.starts_with(r"\REGISTRY\MACHINE\") {
            let text = format!(
                "RTL_QUERY_REGISTRY_DIRECT without RTL_QUERY_REGISTRY_TYPECHECK on {}, which is no \
                 system hive: bug check 0x139",
                key.path
            );
            self.machine.verifier.violation(Rule::V0, self.call, text);
        }
    }

    /// # Safety
    /// As [`run`].
    unsafe fn named(&self, key: &Key, name: &str) -> Result<(), NTSTATUS> {
        match read::value(self.machine, key, name) {
            Ok((_, value)) => {
                let expected = self.entry.default_type >> TYPECHECK_SHIFT;
                if self.has(DIRECT) && self.has(TYPECHECK) && value.kind != expected {
                    return Err(STATUS_OBJECT_TYPE_MISMATCH);
                }
                // SAFETY: by this function's contract.
                unsafe { self.give(self.entry.name, &value) }?;
                if self.has(DELETE) {
                    deleted(operation::remove(self.machine, key, name))?;
                }
                Ok(())
            }
            Err(STATUS_OBJECT_NAME_NOT_FOUND) if !self.has(REQUIRED) => {
                // SAFETY: by this function's contract.
                match unsafe { self.default() } {
                    // SAFETY: as above.
                    Some(value) => unsafe { self.give(self.entry.name, &value) },
                    None => Ok(()),
                }
            }
            Err(status) => Err(status),
        }
    }

    /// # Safety
    /// As [`run`].
    unsafe fn all(&self, key: &Key) -> Result<(), NTSTATUS> {
        let values = read::values(self.machine, key)?;
        if values.is_empty() && self.has(REQUIRED) {
            return Err(STATUS_OBJECT_NAME_NOT_FOUND);
        }
        for (name, value) in values {
            let units: Vec<WCHAR> = name.encode_utf16().chain([0]).collect();
            // SAFETY: by this function's contract; the name is terminated.
            unsafe { self.give(units.as_ptr(), &value) }?;
            if self.has(DELETE) {
                deleted(operation::remove(self.machine, key, &name))?;
            }
        }
        Ok(())
    }

    /// What an entry has instead of a value that is not there.
    ///
    /// # Safety
    /// As [`run`].
    unsafe fn default(&self) -> Option<RegistryValue> {
        let entry = &self.entry;
        let kind = if self.has(TYPECHECK) {
            entry.default_type & 0xFF
        } else {
            entry.default_type
        };
        if kind == RegistryValue::NONE {
            return None;
        }
        let mut value = RegistryValue {
            kind,
            data: Vec::new(),
        };
        let mut length = entry.default_length as usize;
        if length == 0 && value.is_text() && !entry.default_data.is_null() {
            let terminators = if kind == RegistryValue::MULTI_SZ {
                2
            } else {
                1
            };
            // SAFETY: a text without a length is terminated.
            length = unsafe { text_length(entry.default_data.cast(), terminators) };
        }
        // SAFETY: the default is as long as the entry says, or was measured.
        value.data = unsafe { bytes(entry.default_data, length) };
        Some(value)
    }

    /// Gives a value away, to the routine or to the buffer.
    ///
    /// # Safety
    /// As [`run`]; `name` is terminated or null.
    unsafe fn give(&self, name: *const WCHAR, value: &RegistryValue) -> Result<(), NTSTATUS> {
        if self.has(DIRECT) {
            // SAFETY: by this function's contract.
            return unsafe { self.direct(value) };
        }
        match value.texts() {
            Some(texts) if !self.has(NOEXPAND) => {
                for text in texts {
                    // SAFETY: by this function's contract.
                    unsafe { self.tell(name, &RegistryValue::sz(&text)) }?;
                }
                Ok(())
            }
            // The kernel has no environment: no variable of a string is known, and each stays.
            _ if value.kind == RegistryValue::EXPAND_SZ && !self.has(NOEXPAND) => {
                let value = RegistryValue {
                    kind: RegistryValue::SZ,
                    data: value.data.clone(),
                };
                // SAFETY: by this function's contract.
                unsafe { self.tell(name, &value) }
            }
            // SAFETY: by this function's contract.
            _ => unsafe { self.tell(name, value) },
        }
    }

    /// Calls the routine.
    ///
    /// # Safety
    /// As [`run`]; `name` is terminated or null.
    unsafe fn tell(&self, name: *const WCHAR, value: &RegistryValue) -> Result<(), NTSTATUS> {
        let Some(routine) = self.entry.routine else {
            return Err(STATUS_INVALID_PARAMETER);
        };
        let mut data = value.data.clone();
        let pointer = if value.kind == RegistryValue::NONE && data.is_empty() {
            std::ptr::null_mut()
        } else {
            data.as_mut_ptr().cast()
        };
        let length = super::long(data.len());
        let (context, own) = (self.context, self.entry.context);
        // SAFETY: the driver's routine, with what it is documented to get.
        let status = unsafe { routine(name, value.kind, pointer, length, context, own) };
        // The routine may find its own buffer too small without ending the query.
        if status < 0 && status != STATUS_BUFFER_TOO_SMALL {
            return Err(status);
        }
        Ok(())
    }

    /// Writes to where the entry points.
    ///
    /// # Safety
    /// As [`run`].
    unsafe fn direct(&self, value: &RegistryValue) -> Result<(), NTSTATUS> {
        let target = self.entry.context;
        if target.is_null() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        if value.is_text() && !self.has(NOSTRING) {
            if value.kind == RegistryValue::MULTI_SZ && !self.has(NOEXPAND) {
                return Err(STATUS_INVALID_PARAMETER);
            }
            // SAFETY: for a text the entry points to a string.
            return unsafe { put_text(target.cast(), value) };
        }
        let length = value.data.len();
        if length <= size_of::<ULONG>() {
            // SAFETY: the entry points to a number at least.
            unsafe { store(target, &value.data) };
            return Ok(());
        }
        // SAFETY: for more than a number the entry points to a buffer that begins with its size.
        let size = unsafe { target.cast::<LONG>().read_unaligned() };
        let room = size.unsigned_abs() as usize;
        let header = if size < 0 { 0 } else { 2 * size_of::<ULONG>() };
        if room < header + length {
            return Err(STATUS_BUFFER_TOO_SMALL);
        }
        let mut whole = Vec::new();
        if header > 0 {
            whole.extend(super::long(length).to_le_bytes());
            whole.extend(value.kind.to_le_bytes());
        }
        whole.extend(&value.data);
        // SAFETY: the buffer has that much room.
        unsafe { store(target, &whole) };
        Ok(())
    }
}

/// Writes a text into a string, or into one that is allocated for it and is the driver's to free.
///
/// # Safety
/// `target` is a string whose buffer is null or has its maximum length.
unsafe fn put_text(target: PUNICODE_STRING, value: &RegistryValue) -> Result<(), NTSTATUS> {
    let length = USHORT::try_from(value.data.len()).map_err(|_| STATUS_BUFFER_TOO_SMALL)?;
    // SAFETY: by this function's contract.
    let mut header = unsafe { target.read_unaligned() };
    if header.Buffer.is_null() {
        let call = "RtlQueryRegistryValues";
        let buffer = kernel::allocate(call, PagedPool, length.into(), TAG, false);
        if buffer.is_null() {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        header.Buffer = buffer.cast();
        header.MaximumLength = length;
    } else if header.MaximumLength < length {
        return Err(STATUS_BUFFER_TOO_SMALL);
    }
    // The terminator does not count.
    header.Length = length.saturating_sub(2);
    // SAFETY: the buffer has that much room.
    unsafe { store(header.Buffer.cast(), &value.data) };
    // SAFETY: by this function's contract.
    unsafe { target.write_unaligned(header) };
    Ok(())
}

/// The bytes of a text up to and with so many terminators in a row.
///
/// # Safety
/// The text ends with them.
unsafe fn text_length(text: *const WCHAR, terminators: usize) -> usize {
    let (mut length, mut found) = (0, 0);
    while found < terminators {
        // SAFETY: the end was not found before, so this unit exists.
        let unit = unsafe { text.wrapping_add(length).read_unaligned() };
        length += 1;
        found = if unit == 0 { found + 1 } else { 0 };
    }
    2 * length
}
