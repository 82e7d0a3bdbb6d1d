//! Strings of the run-time library, and which Windows this is.

use super::{exports, kernel, write};
use crate::kernel::{scope, string};
use fltmgr_sys::*;
use std::cmp::Ordering;

const STATUS_BUFFER_TOO_SMALL: NTSTATUS = 0xC000_0023_u32.cast_signed();
const STATUS_BUFFER_OVERFLOW: NTSTATUS = 0x8000_0005_u32.cast_signed();
const STATUS_NO_MEMORY: NTSTATUS = 0xC000_0017_u32.cast_signed();
/// The longest a counted string can be.
const LONGEST: usize = 0xFFFE;
/// Tag of strings that the library allocates.
const TAG: ULONG = u32::from_le_bytes(*b"Strg");
/// What `HASH_STRING_ALGORITHM_DEFAULT` and `_X65599` are.
const HASH_DEFAULT: ULONG = 0;
const HASH_X65599: ULONG = 1;

/// `RTL_OSVERSIONINFOEXW`, as far as its short form goes.
#[repr(C)]
pub(crate) struct Version {
    size: ULONG,
    major: ULONG,
    minor: ULONG,
    build: ULONG,
    platform: ULONG,
    service_pack: [WCHAR; 128],
}

/// The upper-case form of a unit, as the kernel's table has it: only one unit for one unit.
pub(super) fn upcase(unit: u16) -> u16 {
    convert(unit, |character| character.to_uppercase().collect())
}

pub(super) fn downcase(unit: u16) -> u16 {
    convert(unit, |character| character.to_lowercase().collect())
}

fn convert(unit: u16, to: impl Fn(char) -> Vec<char>) -> u16 {
    let Some(character) = char::from_u32(unit.into()) else {
        return unit;
    };
    match *to(character) {
        [one] => u16::try_from(u32::from(one)).unwrap_or(unit),
        _ => unit,
    }
}

/// The units of a counted string.
///
/// # Safety
/// `string` is null, or a string whose buffer holds its length.
pub(super) unsafe fn units(string: PCUNICODE_STRING) -> Vec<u16> {
    if string.is_null() {
        return Vec::new();
    }
    // SAFETY: by this function's contract.
    let header = unsafe { *string };
    (0..usize::from(header.Length) / 2)
        .map(|index| {
            let unit = header.Buffer.wrapping_add(index);
            // SAFETY: the index is below the length.
            unsafe { unit.read_unaligned() }
        })
        .collect()
}

/// The units of a terminated string.
///
/// # Safety
/// `text` is null or ends with a terminator.
pub(super) unsafe fn terminated(text: *const WCHAR) -> Vec<u16> {
    let mut units = Vec::new();
    while !text.is_null() {
        // SAFETY: no unit before this one was the terminator, so this one exists.
        let unit = unsafe { text.wrapping_add(units.len()).read_unaligned() };
        if unit == 0 {
            break;
        }
        units.push(unit);
    }
    units
}

/// # Safety
/// `text` is null or ends with a terminator.
pub(super) unsafe fn terminated_bytes(text: *const CHAR) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !text.is_null() {
        // SAFETY: no byte before this one was the terminator, so this one exists.
        let byte = unsafe { text.wrapping_add(bytes.len()).read() };
        if byte == 0 {
            break;
        }
        bytes.push(byte.cast_unsigned());
    }
    bytes
}

/// Writes units into a string from an offset on, with a terminator if there is room for one.
///
/// # Safety
/// `target` is a string whose buffer has its maximum length.
unsafe fn put(target: PUNICODE_STRING, at: usize, units: &[u16]) -> NTSTATUS {
    // SAFETY: by this function's contract.
    let header = unsafe { &mut *target };
    let room = usize::from(header.MaximumLength) / 2;
    let end = at + units.len();
    if end > room {
        return STATUS_BUFFER_TOO_SMALL;
    }
    for (index, unit) in units.iter().enumerate() {
        let place = header.Buffer.wrapping_add(at + index);
        // SAFETY: the index is below the maximum length.
        unsafe { place.write_unaligned(*unit) };
    }
    if end < room {
        // SAFETY: as above.
        unsafe { header.Buffer.wrapping_add(end).write_unaligned(0) };
    }
    header.Length = USHORT::try_from(2 * end).unwrap_or(USHORT::MAX - 1);
    STATUS_SUCCESS
}

/// Writes units into a string, or into one that is allocated for them.
///
/// # Safety
/// `target` is a string whose buffer has its maximum length, or a place for one.
pub(super) unsafe fn put_or_allocate(
    target: PUNICODE_STRING,
    units: &[u16],
    allocate: BOOLEAN,
) -> NTSTATUS {
    if allocate != 0 {
        let bytes = 2 * units.len() + 2;
        if bytes > LONGEST {
            return STATUS_INVALID_PARAMETER;
        }
        let size = SIZE_T::try_from(bytes).unwrap_or(SIZE_T::MAX);
        let buffer = kernel::allocate("RtlAllocateString", PagedPool, size, TAG, false);
        if buffer.is_null() {
            return STATUS_NO_MEMORY;
        }
        let header = UNICODE_STRING {
            Length: 0,
            MaximumLength: USHORT::try_from(bytes).unwrap_or(0),
            Buffer: buffer.cast(),
        };
        // SAFETY: by this function's contract.
        unsafe { target.write(header) };
    }
    // SAFETY: by this function's contract, or made just now.
    match unsafe { put(target, 0, units) } {
        STATUS_BUFFER_TOO_SMALL => STATUS_BUFFER_OVERFLOW,
        status => status,
    }
}

fn header(text: *const WCHAR, units: usize) -> UNICODE_STRING {
    let length = USHORT::try_from((2 * units).min(LONGEST)).unwrap_or(USHORT::MAX - 1);
    UNICODE_STRING {
        Length: length,
        MaximumLength: if text.is_null() {
            0
        } else {
            length.saturating_add(2)
        },
        Buffer: text.cast_mut(),
    }
}

pub(super) fn folded(units: &[u16], ignore_case: BOOLEAN) -> Vec<u16> {
    if ignore_case == 0 {
        units.to_vec()
    } else {
        units.iter().map(|unit| upcase(*unit)).collect()
    }
}

/// The C library's way to say how two strings compare.
fn sign(order: Ordering) -> i32 {
    order as i32
}

/// The first difference of two sequences, or of their lengths, as the kernel's functions have it.
pub(super) fn difference(one: &[u16], two: &[u16]) -> LONG {
    let mut pairs = one.iter().zip(two);
    let different = pairs.find(|(one, two)| one != two);
    let lengths = || {
        let lengths = [one.len(), two.len()].map(|length| LONG::try_from(length).unwrap_or(0));
        lengths[0] - lengths[1]
    };
    different.map_or_else(lengths, |(one, two)| LONG::from(*one) - LONG::from(*two))
}

/// Digits of a number in a base of the library: 0 stands for 10.
pub(super) fn digits(mut value: u64, base: ULONG) -> Option<Vec<u16>> {
    let base = u64::from(match base {
        0 => 10,
        2 | 8 | 10 | 16 => base,
        _ => return None,
    });
    let mut units = Vec::new();
    loop {
        let digit = u32::try_from(value % base).unwrap_or(0);
        let digit = char::from_digit(digit, 16)
            .unwrap_or('0')
            .to_ascii_uppercase();
        units.insert(0, u16::try_from(u32::from(digit)).unwrap_or(0));
        value /= base;
        if value == 0 {
            return Some(units);
        }
    }
}

/// The number at the beginning of a string; 0 for a base means that the string says which.
pub(super) fn parse(units: &[u16], base: ULONG) -> Option<ULONG> {
    let text = String::from_utf16_lossy(units);
    let text = text.trim_start_matches(|character: char| character <= ' ');
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (base, text) = match base {
        0 => match text.get(..2) {
            Some("0x") => (16, &text[2..]),
            Some("0o") => (8, &text[2..]),
            Some("0b") => (2, &text[2..]),
            _ => (10, text),
        },
        2 | 8 | 10 | 16 => (base, text),
        _ => return None,
    };
    let digits = text.chars().map_while(|character| character.to_digit(base));
    let value = digits.fold(0_u32, |value, digit| {
        value.wrapping_mul(base).wrapping_add(digit)
    });
    Some(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

/// # Safety
/// `at` may be null or written to.
unsafe fn fill_version(at: *mut Version) -> NTSTATUS {
    if at.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    let (major, minor, build) = match scope::machine().map(|machine| machine.config.windows) {
        Some(crate::WindowsVersion::Windows7) => (6, 1, 7601),
        Some(crate::WindowsVersion::Windows10) => (10, 0, 19045),
        _ => (10, 0, 22631),
    };
    // SAFETY: the caller passes a structure of one of the two sizes, both of which have these.
    let version = unsafe { &mut *at };
    version.major = major;
    version.minor = minor;
    version.build = build;
    version.platform = 2;
    version.service_pack = [0; 128];
    // SAFETY: the caller's size says which of the two it is.
    unsafe { super::system::extend(at.cast()) };
    STATUS_SUCCESS
}

exports! {
    /// A counted string for a terminated one, which it does not copy.
    unsafe fn RtlInitUnicodeString(target: PUNICODE_STRING, source: *const WCHAR) {
        // SAFETY: the caller passes a terminated string or null.
        let count = unsafe { terminated(source) }.len();
        // SAFETY: the caller passes a place for the string.
        unsafe { write(target, header(source, count)) };
    }

    /// As `RtlInitUnicodeString`, with an error for strings that are too long.
    unsafe fn RtlInitUnicodeStringEx(target: PUNICODE_STRING, source: *const WCHAR) -> NTSTATUS {
        // SAFETY: the caller passes a terminated string or null.
        let count = unsafe { terminated(source) }.len();
        if 2 * count > LONGEST - 2 {
            // STATUS_NAME_TOO_LONG
            return 0xC000_0106_u32.cast_signed();
        }
        // SAFETY: the caller passes a place for the string.
        unsafe { write(target, header(source, count)) };
        STATUS_SUCCESS
    }

    /// A counted narrow string for a terminated one; it has the layout of a wide one.
    unsafe fn RtlInitAnsiString(target: PUNICODE_STRING, source: *const CHAR) {
        // SAFETY: the caller passes a terminated string or null.
        let count = unsafe { terminated_bytes(source) }.len();
        let length = USHORT::try_from(count).unwrap_or(USHORT::MAX - 1);
        let value = UNICODE_STRING {
            Length: length,
            MaximumLength: if source.is_null() { 0 } else { length + 1 },
            Buffer: source.cast_mut().cast(),
        };
        // SAFETY: the caller passes a place for the string.
        unsafe { write(target, value) };
    }

    /// Copies as much as there is room for.
    unsafe fn RtlCopyUnicodeString(target: PUNICODE_STRING, source: PCUNICODE_STRING) {
        // SAFETY: the caller passes a string or null.
        let source = unsafe { units(source) };
        // SAFETY: the caller passes a string with a buffer.
        let room = usize::from(unsafe { (*target).MaximumLength }) / 2;
        let count = source.len().min(room);
        // SAFETY: as above.
        unsafe { put(target, 0, &source[..count]) };
    }

    /// Appends a counted string.
    unsafe fn RtlAppendUnicodeStringToString(
        target: PUNICODE_STRING,
        source: PCUNICODE_STRING,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a string.
        let source = unsafe { units(source) };
        // SAFETY: the caller passes a string with a buffer.
        let at = usize::from(unsafe { (*target).Length }) / 2;
        // SAFETY: as above.
        unsafe { put(target, at, &source) }
    }

    /// Appends a terminated string.
    unsafe fn RtlAppendUnicodeToString(target: PUNICODE_STRING, source: *const WCHAR) -> NTSTATUS {
        // SAFETY: the caller passes a terminated string or null.
        let source = unsafe { terminated(source) };
        // SAFETY: the caller passes a string with a buffer.
        let at = usize::from(unsafe { (*target).Length }) / 2;
        // SAFETY: as above.
        unsafe { put(target, at, &source) }
    }

    /// Compares two strings.
    unsafe fn RtlCompareUnicodeString(
        one: PCUNICODE_STRING,
        two: PCUNICODE_STRING,
        ignore_case: BOOLEAN,
    ) -> LONG {
        // SAFETY: the caller passes a string.
        let one = folded(&unsafe { units(one) }, ignore_case);
        // SAFETY: as above.
        let two = folded(&unsafe { units(two) }, ignore_case);
        difference(&one, &two)
    }

    /// Whether two strings are the same.
    unsafe fn RtlEqualUnicodeString(
        one: PCUNICODE_STRING,
        two: PCUNICODE_STRING,
        ignore_case: BOOLEAN,
    ) -> BOOLEAN {
        // SAFETY: the caller passes a string.
        let one = folded(&unsafe { units(one) }, ignore_case);
        // SAFETY: as above.
        BOOLEAN::from(one == folded(&unsafe { units(two) }, ignore_case))
    }

    /// Whether the second string begins with the first one.
    unsafe fn RtlPrefixUnicodeString(
        prefix: PCUNICODE_STRING,
        string: PCUNICODE_STRING,
        ignore_case: BOOLEAN,
    ) -> BOOLEAN {
        // SAFETY: the caller passes a string.
        let prefix = folded(&unsafe { units(prefix) }, ignore_case);
        // SAFETY: as above.
        let string = folded(&unsafe { units(string) }, ignore_case);
        BOOLEAN::from(string.starts_with(&prefix))
    }

    /// Whether the second string ends with the first one.
    unsafe fn RtlSuffixUnicodeString(
        suffix: PCUNICODE_STRING,
        string: PCUNICODE_STRING,
        ignore_case: BOOLEAN,
    ) -> BOOLEAN {
        // SAFETY: the caller passes a string.
        let suffix = folded(&unsafe { units(suffix) }, ignore_case);
        // SAFETY: as above.
        let string = folded(&unsafe { units(string) }, ignore_case);
        BOOLEAN::from(string.ends_with(&suffix))
    }

    /// The upper-case form of a unit.
    unsafe fn RtlUpcaseUnicodeChar(unit: WCHAR) -> WCHAR {
        upcase(unit)
    }

    /// The lower-case form of a unit.
    unsafe fn RtlDowncaseUnicodeChar(unit: WCHAR) -> WCHAR {
        downcase(unit)
    }

    /// Copies a string in upper case.
    unsafe fn RtlUpcaseUnicodeString(
        target: PUNICODE_STRING,
        source: PCUNICODE_STRING,
        allocate: BOOLEAN,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a string.
        let source = folded(&unsafe { units(source) }, 1);
        // SAFETY: the caller passes a string with a buffer, or a place for one.
        unsafe { put_or_allocate(target, &source, allocate) }
    }

    /// Copies a string in lower case.
    unsafe fn RtlDowncaseUnicodeString(
        target: PUNICODE_STRING,
        source: PCUNICODE_STRING,
        allocate: BOOLEAN,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a string.
        let source: Vec<u16> = unsafe { units(source) }.into_iter().map(downcase).collect();
        // SAFETY: the caller passes a string with a buffer, or a place for one.
        unsafe { put_or_allocate(target, &source, allocate) }
    }

    /// Copies a narrow string, which here is UTF-8.
    unsafe fn RtlAnsiStringToUnicodeString(
        target: PUNICODE_STRING,
        source: PCUNICODE_STRING,
        allocate: BOOLEAN,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a narrow string, which has the same layout.
        let source = unsafe { *source };
        let bytes: Vec<u8> = (0..usize::from(source.Length))
            .map(|index| {
                let byte = source.Buffer.cast::<u8>().wrapping_add(index);
                // SAFETY: the index is below the length.
                unsafe { byte.read() }
            })
            .collect();
        let units: Vec<u16> = String::from_utf8_lossy(&bytes).encode_utf16().collect();
        // SAFETY: the caller passes a string with a buffer, or a place for one.
        unsafe { put_or_allocate(target, &units, allocate) }
    }

    /// Frees a string that the library has allocated.
    unsafe fn RtlFreeUnicodeString(target: PUNICODE_STRING) {
        // SAFETY: the caller passes a string.
        let buffer = unsafe { (*target).Buffer };
        if !buffer.is_null() {
            kernel::free("RtlFreeUnicodeString", buffer.cast(), 0);
            // SAFETY: as above.
            unsafe { target.write(header(std::ptr::null(), 0)) };
        }
    }

    /// Writes a number in digits.
    unsafe fn RtlIntegerToUnicodeString(
        value: ULONG,
        base: ULONG,
        target: PUNICODE_STRING,
    ) -> NTSTATUS {
        let Some(units) = digits(value.into(), base) else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes a string with a buffer.
        unsafe { put_or_allocate(target, &units, 0) }
    }

    /// Writes a number of 64 bits in digits.
    unsafe fn RtlInt64ToUnicodeString(
        value: u64,
        base: ULONG,
        target: PUNICODE_STRING,
    ) -> NTSTATUS {
        let Some(units) = digits(value, base) else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes a string with a buffer.
        unsafe { put_or_allocate(target, &units, 0) }
    }

    /// Reads a number from digits.
    unsafe fn RtlUnicodeStringToInteger(
        source: PCUNICODE_STRING,
        base: ULONG,
        value: *mut ULONG,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a string.
        let Some(parsed) = parse(&unsafe { units(source) }, base) else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes a place for the number.
        unsafe { write(value, parsed) };
        STATUS_SUCCESS
    }

    /// A hash of a string, which is the same on every Windows.
    unsafe fn RtlHashUnicodeString(
        source: PCUNICODE_STRING,
        ignore_case: BOOLEAN,
        algorithm: ULONG,
        value: *mut ULONG,
    ) -> NTSTATUS {
        if value.is_null() || !matches!(algorithm, HASH_DEFAULT | HASH_X65599) {
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: the caller passes a string.
        let units = folded(&unsafe { units(source) }, ignore_case);
        let add = |hash: ULONG, unit: &u16| hash.wrapping_mul(65599).wrapping_add((*unit).into());
        // SAFETY: the caller passes a place for the hash.
        unsafe { write(value, units.iter().fold(0, add)) };
        STATUS_SUCCESS
    }

    /// Which Windows this is.
    unsafe fn RtlGetVersion(version: *mut Version) -> NTSTATUS {
        // SAFETY: the caller passes a structure.
        unsafe { fill_version(version) }
    }

    /// Reads a GUID from a string.
    unsafe fn RtlGUIDFromString(source: PCUNICODE_STRING, guid: *mut GUID) -> NTSTATUS {
        // SAFETY: the caller passes a string.
        let text = unsafe { string::read(source) }.unwrap_or_default();
        let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        let parts: Vec<&str> = inner.map(|inner| inner.split('-').collect()).unwrap_or_default();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        let Ok(value) = u128::from_str_radix(&parts.concat(), 16) else {
            return STATUS_INVALID_PARAMETER;
        };
        if lengths != [8, 4, 4, 4, 12] {
            return STATUS_INVALID_PARAMETER;
        }
        let [a, b, c, d, e, f, g, h, rest @ ..] = value.to_be_bytes();
        let parsed = GUID {
            Data1: ULONG::from_be_bytes([a, b, c, d]),
            Data2: USHORT::from_be_bytes([e, f]),
            Data3: USHORT::from_be_bytes([g, h]),
            Data4: rest,
        };
        // SAFETY: the caller passes a place for a GUID.
        unsafe { write(guid, parsed) };
        STATUS_SUCCESS
    }
}

/// Functions of the C library that the kernel exports. They are not symbols of this process, where
/// those names mean the host's own.
mod library {
    use super::{Ordering, downcase, sign, terminated, terminated_bytes};
    use fltmgr_sys::*;

    fltapi! {
        pub(super) unsafe fn wcslen(text: *const WCHAR) -> u64 {
            // SAFETY: the caller passes a terminated string.
            unsafe { terminated(text) }.len() as u64
        }

        pub(super) unsafe fn strlen(text: *const CHAR) -> u64 {
            // SAFETY: the caller passes a terminated string.
            unsafe { terminated_bytes(text) }.len() as u64
        }

        pub(super) unsafe fn wcscmp(one: *const WCHAR, two: *const WCHAR) -> i32 {
            // SAFETY: the caller passes terminated strings.
            let one = unsafe { terminated(one) };
            // SAFETY: as above.
            sign(one.cmp(&unsafe { terminated(two) }))
        }

        pub(super) unsafe fn wcsicmp(one: *const WCHAR, two: *const WCHAR) -> i32 {
            // SAFETY: the caller passes terminated strings.
            let one: Vec<u16> = unsafe { terminated(one) }.into_iter().map(downcase).collect();
            // SAFETY: as above.
            let two: Vec<u16> = unsafe { terminated(two) }.into_iter().map(downcase).collect();
            sign(one.cmp(&two))
        }

        pub(super) unsafe fn strcmp(one: *const CHAR, two: *const CHAR) -> i32 {
            // SAFETY: the caller passes terminated strings.
            let one = unsafe { terminated_bytes(one) };
            // SAFETY: as above.
            sign(one.cmp(&unsafe { terminated_bytes(two) }))
        }

        pub(super) unsafe fn stricmp(one: *const CHAR, two: *const CHAR) -> i32 {
            // SAFETY: the caller passes terminated strings.
            let one = unsafe { terminated_bytes(one) }.to_ascii_lowercase();
            // SAFETY: as above.
            sign(one.cmp(&unsafe { terminated_bytes(two) }.to_ascii_lowercase()))
        }

        pub(super) unsafe fn wcsncmp(one: *const WCHAR, two: *const WCHAR, count: u64) -> i32 {
            // SAFETY: by the caller's promise.
            sign(unsafe { compare_some(one, two, count, |unit| unit) })
        }

        pub(super) unsafe fn wcsnicmp(one: *const WCHAR, two: *const WCHAR, count: u64) -> i32 {
            // SAFETY: by the caller's promise.
            sign(unsafe { compare_some(one, two, count, downcase) })
        }

        pub(super) unsafe fn wcschr(text: *const WCHAR, unit: WCHAR) -> *const WCHAR {
            // SAFETY: the caller passes a terminated string.
            let mut units = unsafe { terminated(text) };
            units.push(0);
            let found = units.iter().position(|one| *one == unit);
            found.map_or(std::ptr::null(), |at| text.wrapping_add(at))
        }

        pub(super) unsafe fn wcsrchr(text: *const WCHAR, unit: WCHAR) -> *const WCHAR {
            // SAFETY: the caller passes a terminated string.
            let mut units = unsafe { terminated(text) };
            units.push(0);
            let found = units.iter().rposition(|one| *one == unit);
            found.map_or(std::ptr::null(), |at| text.wrapping_add(at))
        }

        pub(super) unsafe fn wcsstr(text: *const WCHAR, part: *const WCHAR) -> *const WCHAR {
            // SAFETY: the caller passes terminated strings.
            let units = unsafe { terminated(text) };
            // SAFETY: as above.
            let part = unsafe { terminated(part) };
            let found = (0..=units.len()).find(|at| units[*at..].starts_with(&part));
            found.map_or(std::ptr::null(), |at| text.wrapping_add(at))
        }

        pub(super) unsafe fn towupper(unit: WCHAR) -> WCHAR {
            super::upcase(unit)
        }

        pub(super) unsafe fn towlower(unit: WCHAR) -> WCHAR {
            downcase(unit)
        }
    }

    /// # Safety
    /// Each string ends with a terminator, or has so many units.
    unsafe fn compare_some(
        one: *const WCHAR,
        two: *const WCHAR,
        count: u64,
        fold: impl Fn(u16) -> u16,
    ) -> Ordering {
        for index in 0..usize::try_from(count).unwrap_or(usize::MAX) {
            // SAFETY: nothing before was a terminator, and the index is below the count.
            let one = unsafe { one.wrapping_add(index).read_unaligned() };
            // SAFETY: as above.
            let two = unsafe { two.wrapping_add(index).read_unaligned() };
            let order = fold(one).cmp(&fold(two));
            if order.is_ne() || one == 0 {
                return order;
            }
        }
        Ordering::Equal
    }
}

/// The address of a function of the C library by its name.
pub(super) fn resolve_library(name: &str) -> Option<usize> {
    let function = match name {
        "wcslen" => library::wcslen as *const (),
        "strlen" => library::strlen as *const (),
        "wcscmp" => library::wcscmp as *const (),
        "_wcsicmp" => library::wcsicmp as *const (),
        "strcmp" => library::strcmp as *const (),
        "_stricmp" => library::stricmp as *const (),
        "wcsncmp" => library::wcsncmp as *const (),
        "_wcsnicmp" => library::wcsnicmp as *const (),
        "wcschr" => library::wcschr as *const (),
        "wcsrchr" => library::wcsrchr as *const (),
        "wcsstr" => library::wcsstr as *const (),
        "towupper" => library::towupper as *const (),
        "towlower" => library::towlower as *const (),
        _ => return None,
    };
    Some(function as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(text: &str) -> Vec<u16> {
        text.encode_utf16().chain([0]).collect()
    }

    fn counted(units: &mut [u16]) -> UNICODE_STRING {
        let bytes = USHORT::try_from(2 * units.len()).unwrap();
        UNICODE_STRING {
            Length: bytes - 2,
            MaximumLength: bytes,
            Buffer: units.as_mut_ptr(),
        }
    }

    #[test]
    fn strings_are_initialised_compared_and_appended() {
        let text = wide("Hello");
        let mut string = header(std::ptr::null(), 0);
        // SAFETY: a terminated string, and a place for a counted one.
        unsafe { RtlInitUnicodeString(&raw mut string, text.as_ptr()) };
        assert_eq!((string.Length, string.MaximumLength), (10, 12));
        let mut other = wide("hELLO");
        let other = counted(&mut other);
        // SAFETY: both are strings.
        let compare = |ignore| unsafe {
            RtlCompareUnicodeString(&raw const string, &raw const other, ignore)
        };
        assert_eq!(compare(1), 0);
        assert!(compare(0) < 0);
        let mut buffer = [0; 8];
        let mut target = counted(&mut buffer);
        target.Length = 0;
        // SAFETY: a string with a buffer, and one to append.
        let append = |target: &mut UNICODE_STRING| unsafe {
            RtlAppendUnicodeStringToString(&raw mut *target, &raw const string)
        };
        assert_eq!(append(&mut target), STATUS_SUCCESS);
        assert_eq!(target.Length, 10);
        assert_eq!(append(&mut target), STATUS_BUFFER_TOO_SMALL);
        assert_eq!(String::from_utf16_lossy(&buffer[..5]), "Hello");
    }

    #[test]
    fn numbers_go_both_ways() {
        let text = |value, base| String::from_utf16_lossy(&digits(value, base).unwrap());
        assert_eq!(text(0, 0), "0");
        assert_eq!(text(255, 16), "FF");
        assert_eq!(text(u64::MAX, 10), "18446744073709551615");
        assert!(digits(1, 7).is_none());
        let number = |text: &str, base| parse(&text.encode_utf16().collect::<Vec<_>>(), base);
        assert_eq!(number(" 42x", 10), Some(42));
        assert_eq!(number("0x1F", 0), Some(31));
        assert_eq!(number("-1", 0), Some(u32::MAX));
        assert_eq!(number("", 0), Some(0));
        assert_eq!(number("1", 3), None);
    }

    #[test]
    fn one_unit_becomes_one_unit() {
        assert_eq!(upcase(u16::from(b'a')), u16::from(b'A'));
        assert_eq!(upcase(0xE4), 0xC4);
        // Sharp s would become two, and half of a pair is none.
        assert_eq!(upcase(0xDF), 0xDF);
        assert_eq!(upcase(0xD800), 0xD800);
    }
}
