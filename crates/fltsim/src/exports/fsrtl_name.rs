//! Names and patterns of the file system run-time library.

use super::rtl::{units, upcase};
use super::{routines, write};
use crate::filesystem::wildcard::fits;
use fltmgr_sys::*;

const WILDCARDS: [u8; 5] = *b"*?<>\"";
/// Besides control characters, what no short name has.
const ILLEGAL: &[u8] = b"\"*+,/:;<=>?[\\]|";

/// A string without units.
const EMPTY: UNICODE_STRING = UNICODE_STRING {
    Length: 0,
    MaximumLength: 0,
    Buffer: std::ptr::null_mut(),
};

/// The upper-case form of every unit, by a table of the caller's or the kernel's own.
///
/// # Safety
/// `table` is null or has an entry for every unit.
unsafe fn folded(units: Vec<u16>, table: *const WCHAR) -> Vec<u16> {
    let up = |unit: u16| {
        if table.is_null() {
            upcase(unit)
        } else {
            // SAFETY: by this function's contract.
            unsafe { table.wrapping_add(unit.into()).read_unaligned() }
        }
    };
    units.into_iter().map(up).collect()
}

/// A name without units fits a pattern without units, and nothing else.
fn is_in<T: Copy + Eq + From<u8>>(pattern: &[T], name: &[T]) -> BOOLEAN {
    let none = pattern.is_empty() || name.is_empty();
    let both = pattern.is_empty() && name.is_empty();
    BOOLEAN::from(if none { both } else { fits(pattern, name) })
}

/// The bytes of a narrow string, which has the layout of a wide one.
///
/// # Safety
/// `string` is a string.
unsafe fn narrow(string: *const UNICODE_STRING) -> Vec<u8> {
    // SAFETY: by this function's contract.
    let header = unsafe { string.read() };
    if header.Buffer.is_null() {
        return Vec::new();
    }
    let first = header.Buffer.cast::<u8>();
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(first, header.Length.into()) }.to_vec()
}

/// The part of a string in a range of its units.
fn part(string: UNICODE_STRING, start: usize, end: usize) -> UNICODE_STRING {
    let bytes = USHORT::try_from(2 * (end - start)).unwrap_or(0);
    UNICODE_STRING {
        Length: bytes,
        MaximumLength: bytes,
        Buffer: string.Buffer.wrapping_add(start),
    }
}

/// Whether one component is a legal name of 8.3 form.
fn is_short_name(name: &[u8], wildcards: bool) -> bool {
    let legal = |byte: &u8| {
        let wild = WILDCARDS.contains(byte);
        *byte >= b' '
            && if wild {
                wildcards
            } else {
                !ILLEGAL.contains(byte)
            }
    };
    if name == b"." || name == b".." {
        return true;
    }
    let dots = name.split(|byte| *byte == b'.').count() - 1;
    let dot = name
        .iter()
        .position(|byte| *byte == b'.')
        .unwrap_or(name.len());
    let extension = name.len().saturating_sub(dot + 1);
    let shape =
        dots <= 1 && (1..=8).contains(&dot) && extension <= 3 && (dots == 0 || extension > 0);
    // A blank must not end either part.
    let blank = name[..dot].ends_with(b" ") || name.ends_with(b" ");
    shape && !blank && name.iter().all(legal)
}

routines! {
    /// Whether a name fits a pattern. To ignore case, the pattern is in upper case already.
    unsafe fn FsRtlIsNameInExpression(
        pattern: PCUNICODE_STRING,
        name: PCUNICODE_STRING,
        ignore_case: BOOLEAN,
        table: *const WCHAR,
    ) -> BOOLEAN {
        // SAFETY: the caller passes a string.
        let pattern = unsafe { units(pattern) };
        // SAFETY: as above.
        let mut name = unsafe { units(name) };
        if ignore_case != 0 {
            // SAFETY: the caller passes a table or null.
            name = unsafe { folded(name, table) };
        }
        is_in(&pattern, &name)
    }

    /// Whether a name fits a pattern; to ignore case, both are made upper case.
    unsafe fn FsRtlIsNameInUnUpcasedExpression(
        pattern: PCUNICODE_STRING,
        name: PCUNICODE_STRING,
        ignore_case: BOOLEAN,
        table: *const WCHAR,
    ) -> BOOLEAN {
        // SAFETY: the caller passes a string.
        let mut pattern = unsafe { units(pattern) };
        // SAFETY: as above.
        let mut name = unsafe { units(name) };
        if ignore_case != 0 {
            // SAFETY: the caller passes a table or null.
            pattern = unsafe { folded(pattern, table) };
            // SAFETY: as above.
            name = unsafe { folded(name, table) };
        }
        is_in(&pattern, &name)
    }

    /// Whether a narrow name fits a pattern.
    unsafe fn FsRtlIsDbcsInExpression(
        pattern: *const UNICODE_STRING,
        name: *const UNICODE_STRING,
    ) -> BOOLEAN {
        // SAFETY: the caller passes a string.
        let pattern = unsafe { narrow(pattern) };
        // SAFETY: as above.
        is_in(&pattern, &unsafe { narrow(name) })
    }

    /// Whether a name is a pattern.
    unsafe fn FsRtlDoesNameContainWildCards(name: PCUNICODE_STRING) -> BOOLEAN {
        // SAFETY: the caller passes a string.
        let units = unsafe { units(name) };
        let is_wild = |unit: &u16| WILDCARDS.iter().any(|byte| u16::from(*byte) == *unit);
        BOOLEAN::from(units.iter().any(is_wild))
    }

    /// Whether a narrow name is a pattern.
    unsafe fn FsRtlDoesDbcsContainWildCards(name: *const UNICODE_STRING) -> BOOLEAN {
        // SAFETY: the caller passes a string.
        let bytes = unsafe { narrow(name) };
        BOOLEAN::from(bytes.iter().any(|byte| WILDCARDS.contains(byte)))
    }

    /// Whether two names are the same.
    unsafe fn FsRtlAreNamesEqual(
        one: PCUNICODE_STRING,
        two: PCUNICODE_STRING,
        ignore_case: BOOLEAN,
        table: *const WCHAR,
    ) -> BOOLEAN {
        // SAFETY: the caller passes a string.
        let mut one = unsafe { units(one) };
        // SAFETY: as above.
        let mut two = unsafe { units(two) };
        if ignore_case != 0 {
            // SAFETY: the caller passes a table or null.
            one = unsafe { folded(one, table) };
            // SAFETY: as above.
            two = unsafe { folded(two, table) };
        }
        BOOLEAN::from(one == two)
    }

    /// The first component of a path, and what is behind it.
    unsafe fn FsRtlDissectName(
        path: UNICODE_STRING,
        first: PUNICODE_STRING,
        rest: PUNICODE_STRING,
    ) {
        let separator = u16::from(b'\\');
        // SAFETY: the caller passes a string.
        let units = unsafe { units(&raw const path) };
        let start = usize::from(units.first() == Some(&separator));
        let found = units.iter().skip(start).position(|unit| *unit == separator);
        let end = found.map_or(units.len(), |at| start + at);
        let name = if units.is_empty() { EMPTY } else { part(path, start, end) };
        // SAFETY: the caller passes a place for the name.
        unsafe { write(first, name) };
        let behind = found.map_or(EMPTY, |_| part(path, end + 1, units.len()));
        // SAFETY: the caller passes a place for the rest.
        unsafe { write(rest, behind) };
    }

    /// Whether a narrow name, or a path of them, is legal on a FAT volume.
    unsafe fn FsRtlIsFatDbcsLegal(
        name: UNICODE_STRING,
        wildcards: BOOLEAN,
        path: BOOLEAN,
        leading: BOOLEAN,
    ) -> BOOLEAN {
        // SAFETY: the caller passes a string.
        let bytes = unsafe { narrow(&raw const name) };
        let mut rest = bytes.as_slice();
        if let Some(behind) = rest.strip_prefix(b"\\") {
            if leading == 0 {
                return 0;
            }
            rest = behind;
        }
        if bytes.is_empty() || rest.is_empty() {
            return BOOLEAN::from(!bytes.is_empty());
        }
        let mut components = rest.split(|byte| *byte == b'\\');
        let several = rest.contains(&b'\\');
        let legal = components.all(|one| is_short_name(one, wildcards != 0));
        BOOLEAN::from(legal && (path != 0 || !several))
    }

    /// Whether a name is one of 8.3 form; also gives it in narrow upper case, and whether it has
    /// blanks.
    unsafe fn RtlIsNameLegalDOS8Dot3(
        name: PCUNICODE_STRING,
        oem: *mut UNICODE_STRING,
        blanks: *mut BOOLEAN,
    ) -> BOOLEAN {
        // SAFETY: the caller passes a string.
        let units: Vec<u16> = unsafe { units(name) }.into_iter().map(upcase).collect();
        let text = String::from_utf16_lossy(&units);
        // A character that would be more than a byte has no place in such a name here.
        if !text.is_ascii() || text.len() > 12 || !is_short_name(text.as_bytes(), false) {
            return 0;
        }
        if !oem.is_null() {
            // SAFETY: the caller passes a string with a buffer.
            let header = unsafe { &mut *oem };
            if usize::from(header.MaximumLength) < text.len() {
                return 0;
            }
            let target = header.Buffer.cast::<u8>();
            // SAFETY: as above; there is room for so many.
            unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), target, text.len()) };
            header.Length = USHORT::try_from(text.len()).unwrap_or(0);
        }
        // SAFETY: the caller passes null or a place for the answer.
        unsafe { write(blanks, BOOLEAN::from(text.contains(' '))) };
        1
    }

    /// Whether an exception is one that a file system handles.
    unsafe fn FsRtlIsNtstatusExpected(status: NTSTATUS) -> BOOLEAN {
        BOOLEAN::from(is_expected(status))
    }

    /// An exception that a file system handles, or what it is made into.
    unsafe fn FsRtlNormalizeNtstatus(status: NTSTATUS, generic: NTSTATUS) -> NTSTATUS {
        if is_expected(status) { status } else { generic }
    }
}

/// A driver's own mistakes are not: misalignment, access violations, illegal instructions.
fn is_expected(status: NTSTATUS) -> bool {
    !matches!(
        status.cast_unsigned(),
        0x8000_0002 | 0xC000_0005 | 0xC000_001D | 0xC000_00AA
    )
}
