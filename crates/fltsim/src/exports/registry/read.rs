//! Values that the kernel reads for a driver, as the routines of drivers are told of it: they see a
//! query, and may answer it themselves.

use super::information;
use crate::kernel::handle::KernelObject;
use crate::kernel::registry::filter;
use crate::kernel::registry::notice::{ENUMERATE_VALUE, Enumerate, QUERY_VALUE, QueryValue};
use crate::kernel::registry::{Key, RegistryValue};
use crate::kernel::string::{Owned, read_units};
use crate::machine::Inner;
use fltmgr_sys::*;
use std::sync::Arc;

/// `KeyValueFullInformation`.
const FULL: ULONG = 1;
/// A value with its name.
type Value = (String, RegistryValue);

/// A buffer with room for a value, and for what a routine may answer in its place.
struct Buffer {
    words: Vec<u64>,
    used: ULONG,
}

impl Buffer {
    fn new(value: Result<&Value, NTSTATUS>) -> Self {
        let length = value.map_or(0, |(name, value)| 2 * name.len() + value.data.len());
        Self {
            words: vec![0; (length + 4096) / 8],
            used: 0,
        }
    }

    fn length(&self) -> ULONG {
        ULONG::try_from(8 * self.words.len()).unwrap_or(ULONG::MAX)
    }

    fn bytes(&self) -> &[u8] {
        let used = 8 * self.words.len();
        // SAFETY: the words are so many bytes, and any bytes are numbers.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), used) }
    }

    /// Puts a value in, as a query does.
    fn fill(at: *mut u64, used: *mut ULONG, value: Result<&Value, NTSTATUS>) -> NTSTATUS {
        let found = value.and_then(|(name, value)| information::of_value(FULL, name, value));
        match found {
            Ok(found) => {
                // SAFETY: the buffer was made for this value.
                unsafe { super::store(at.cast(), &found.bytes) };
                // SAFETY: the place is the buffer's own.
                unsafe { used.write(super::long(found.bytes.len())) };
                STATUS_SUCCESS
            }
            Err(status) => status,
        }
    }

    /// The value that is in it: `KEY_VALUE_FULL_INFORMATION`.
    fn value(&self) -> Option<Value> {
        let bytes = self.bytes();
        let number = |at: usize| {
            let four = bytes.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_le_bytes(four))
        };
        let [offset, length, name_length] = [8, 12, 16].map(number);
        let (offset, length) = (offset? as usize, length? as usize);
        let data = if length == 0 {
            Vec::new()
        } else {
            bytes.get(offset..offset.checked_add(length)?)?.to_vec()
        };
        let name = bytes.get(20..20 + name_length? as usize)?;
        // SAFETY: so many bytes were just found to be there.
        let name = unsafe { read_units(name.as_ptr().cast(), name.len() / 2) };
        let kind = number(4)?;
        Some((name, RegistryValue { kind, data }))
    }

    fn answer(&self, status: NTSTATUS) -> Result<Value, NTSTATUS> {
        if nt_success(status) {
            self.value().ok_or(STATUS_UNSUCCESSFUL)
        } else {
            Err(status)
        }
    }
}

/// The value of a name, with the name as it was first written.
pub(super) fn value(machine: &Arc<Inner>, key: &Key, name: &str) -> Result<Value, NTSTATUS> {
    let found = machine.registry.value(key.id, name);
    if !machine.registry_filters.is_told() {
        return found;
    }
    let own = Owned::new(name);
    let mut buffer = Buffer::new(found.as_ref().map_err(|status| *status));
    let (at, used) = (buffer.words.as_mut_ptr(), &raw mut buffer.used);
    let mut notice = QueryValue {
        object: key.address(),
        name: own.pointer() as usize,
        class: FULL,
        buffer: at as usize,
        length: buffer.length(),
        result: used as usize,
        ..QueryValue::default()
    };
    let status = filter::run(machine, QUERY_VALUE, &mut notice, |_| {
        Buffer::fill(at, used, found.as_ref().map_err(|status| *status))
    });
    buffer.answer(status)
}

/// All values of a key, in their order.
pub(super) fn values(machine: &Arc<Inner>, key: &Key) -> Result<Vec<Value>, NTSTATUS> {
    let all = machine.registry.describe(key.id)?.values;
    if !machine.registry_filters.is_told() {
        return Ok(all);
    }
    let mut listed = Vec::new();
    for index in 0.. {
        let found = all.get(index).ok_or(STATUS_NO_MORE_ENTRIES);
        let mut buffer = Buffer::new(found);
        let (at, used) = (buffer.words.as_mut_ptr(), &raw mut buffer.used);
        let mut notice = Enumerate {
            object: key.address(),
            index: super::long(index),
            class: FULL,
            buffer: at as usize,
            length: buffer.length(),
            result: used as usize,
            ..Enumerate::default()
        };
        let status = filter::run(machine, ENUMERATE_VALUE, &mut notice, |_| {
            Buffer::fill(at, used, found)
        });
        match buffer.answer(status) {
            Ok(value) => listed.push(value),
            Err(STATUS_NO_MORE_ENTRIES) => break,
            Err(status) => return Err(status),
        }
    }
    Ok(listed)
}
