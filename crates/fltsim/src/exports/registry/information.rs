//! What is told of keys and values: the structures, by class.

use super::long;
use crate::kernel::registry::{Description, Hive, RegistryValue};
use fltmgr_sys::{NTSTATUS, STATUS_INVALID_PARAMETER, ULONG};

/// `KEY_VALUE_INFORMATION_CLASS`.
mod value_class {
    pub(super) const BASIC: u32 = 0;
    pub(super) const FULL: u32 = 1;
    pub(super) const PARTIAL: u32 = 2;
    pub(super) const FULL_ALIGN64: u32 = 3;
    pub(super) const PARTIAL_ALIGN64: u32 = 4;
}

/// `KEY_INFORMATION_CLASS`.
mod key_class {
    pub(super) const BASIC: u32 = 0;
    pub(super) const NODE: u32 = 1;
    pub(super) const FULL: u32 = 2;
    pub(super) const NAME: u32 = 3;
    pub(super) const CACHED: u32 = 4;
    pub(super) const HANDLE_TAGS: u32 = 7;
}

/// The offset of data that are not there.
const NOWHERE: ULONG = ULONG::MAX;

/// A structure, and how much of it there must be room for.
pub(super) struct Information {
    pub(super) minimum: usize,
    pub(super) bytes: Vec<u8>,
}

impl Information {
    /// Numbers, then something of any length.
    fn new(numbers: &[ULONG], rest: &[u8]) -> Self {
        let mut bytes: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        let minimum = bytes.len();
        bytes.extend(rest);
        Self { minimum, bytes }
    }

    /// Puts a number of 64 bits before all others.
    fn after(mut self, time: i64) -> Self {
        self.minimum += 8;
        self.bytes.splice(..0, time.to_le_bytes());
        self
    }

    fn pad(&mut self, to: usize) {
        let length = self.bytes.len().next_multiple_of(to);
        self.bytes.resize(length, 0);
    }
}

fn units(name: &str) -> Vec<u8> {
    name.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// The length of a name in bytes.
fn length(name: &str) -> ULONG {
    long(2 * name.encode_utf16().count())
}

/// A value, as a class has it.
pub(super) fn of_value(
    class: u32,
    name: &str,
    value: &RegistryValue,
) -> Result<Information, NTSTATUS> {
    let (kind, data) = (value.kind, &value.data);
    Ok(match class {
        value_class::BASIC => Information::new(&[0, kind, length(name)], &units(name)),
        value_class::PARTIAL => Information::new(&[0, kind, long(data.len())], data),
        value_class::PARTIAL_ALIGN64 => Information::new(&[kind, long(data.len())], data),
        value_class::FULL | value_class::FULL_ALIGN64 => {
            let numbers = [0, kind, NOWHERE, long(data.len()), length(name)];
            let mut whole = Information::new(&numbers, &units(name));
            if !data.is_empty() {
                whole.pad(if class == value_class::FULL { 4 } else { 8 });
                let offset = long(whole.bytes.len()).to_le_bytes();
                whole.bytes[8..12].copy_from_slice(&offset);
                whole.bytes.extend(data);
            }
            whole
        }
        _ => return Err(STATUS_INVALID_PARAMETER),
    })
}

/// What a listing of subkeys tells of each.
pub(super) fn of_subkey(
    hive: &Hive,
    class: u32,
    key: &Description,
) -> Result<Information, NTSTATUS> {
    match class {
        key_class::BASIC | key_class::NODE | key_class::FULL => of_key(hive, class, key),
        _ => Err(STATUS_INVALID_PARAMETER),
    }
}

/// A key, as a class has it.
pub(super) fn of_key(hive: &Hive, class: u32, key: &Description) -> Result<Information, NTSTATUS> {
    let subkeys: Vec<Description> = key
        .subkeys
        .iter()
        .filter_map(|subkey| hive.describe(*subkey).ok())
        .collect();
    let longest = |of: fn(&Description) -> &str| {
        let lengths = subkeys.iter().map(|subkey| length(of(subkey)));
        lengths.max().unwrap_or(0)
    };
    let names = longest(|subkey| &subkey.name);
    let classes = longest(|subkey| &subkey.class);
    let value_names = key.values.iter().map(|(name, _)| length(name)).max();
    let value_names = value_names.unwrap_or(0);
    let data = key
        .values
        .iter()
        .map(|(_, value)| long(value.data.len()))
        .max();
    let data = data.unwrap_or(0);
    let (count, values) = (long(subkeys.len()), long(key.values.len()));
    let class_units = units(&key.class);
    Ok(match class {
        key_class::BASIC => {
            Information::new(&[0, length(&key.name)], &units(&key.name)).after(key.written)
        }
        key_class::NODE => {
            let numbers = [0, NOWHERE, long(class_units.len()), length(&key.name)];
            let mut whole = Information::new(&numbers, &units(&key.name)).after(key.written);
            if !class_units.is_empty() {
                whole.pad(4);
                let offset = long(whole.bytes.len()).to_le_bytes();
                whole.bytes[12..16].copy_from_slice(&offset);
                whole.bytes.extend(class_units);
            }
            whole
        }
        key_class::FULL => {
            let offset = if class_units.is_empty() { NOWHERE } else { 44 };
            let numbers = [
                0,
                offset,
                long(class_units.len()),
                count,
                names,
                classes,
                values,
                value_names,
                data,
            ];
            Information::new(&numbers, &class_units).after(key.written)
        }
        key_class::NAME => Information::new(&[length(&key.path)], &units(&key.path)),
        key_class::CACHED => {
            let numbers = [
                0,
                count,
                names,
                values,
                value_names,
                data,
                length(&key.name),
                0,
            ];
            Information::new(&numbers, &[]).after(key.written)
        }
        key_class::HANDLE_TAGS => Information::new(&[0], &[]),
        _ => return Err(STATUS_INVALID_PARAMETER),
    })
}
