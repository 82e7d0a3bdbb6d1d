//! Narrow strings, and going between them and wide ones. Narrow here is UTF-8, whatever a function
//! calls it: ANSI, OEM or multi-byte.

use super::rtl::{difference, folded, terminated_bytes, units};
use super::{kernel, misuse, routines, write};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;

const STATUS_SOME_NOT_MAPPED: NTSTATUS = 0x107;
/// Tag of strings that the library allocates.
const TAG: ULONG = u32::from_le_bytes(*b"Strg");
/// The longest a counted narrow string can be.
const LONGEST: usize = 0xFFFF;
/// `RTL_DUPLICATE_UNICODE_STRING_NULL_TERMINATE` and `_ALLOCATE_NULL_STRING`.
const NULL_TERMINATE: ULONG = 1;
const ALLOCATE_NULL_STRING: ULONG = 2;

/// `STRING`, which has the layout of a wide one.
type Narrow = UNICODE_STRING;

/// # Safety
/// `source` has so many readable bytes.
unsafe fn bytes(source: *const u8, count: usize) -> Vec<u8> {
    if source.is_null() {
        return Vec::new();
    }
    // SAFETY: by this function's contract.
    unsafe { std::slice::from_raw_parts(source, count) }.to_vec()
}

/// # Safety
/// `source` has so many readable bytes.
unsafe fn wide(source: *const u8, count: ULONG) -> Vec<u16> {
    // SAFETY: by this function's contract.
    let bytes = unsafe { bytes(source, count as usize & !1) };
    bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

/// The bytes of a counted string.
///
/// # Safety
/// `string` is null or a string.
unsafe fn counted(string: *const Narrow) -> Vec<u8> {
    if string.is_null() {
        return Vec::new();
    }
    // SAFETY: by this function's contract.
    let header = unsafe { string.read() };
    // SAFETY: as above.
    unsafe { bytes(header.Buffer.cast(), header.Length.into()) }
}

fn to_wide(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn to_narrow(units: &[u16]) -> Vec<u8> {
    String::from_utf16_lossy(units).into_bytes()
}

fn folded_bytes(bytes: Vec<u8>, ignore_case: BOOLEAN) -> Vec<u8> {
    if ignore_case == 0 {
        bytes
    } else {
        bytes.to_ascii_uppercase()
    }
}

fn long(bytes: usize) -> ULONG {
    ULONG::try_from(bytes).unwrap_or(ULONG::MAX)
}

/// Writes as many bytes as there is room for. Gives how many.
///
/// # Safety
/// `target` has the room.
unsafe fn put(target: *mut u8, room: usize, bytes: &[u8]) -> usize {
    let count = bytes.len().min(room);
    if count > 0 {
        // SAFETY: by this function's contract.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, count) };
    }
    count
}

/// As [`put`], in whole characters of `size` bytes; says how many bytes it wrote.
///
/// # Safety
/// `target` has the room, and `written` is null or may be written to.
unsafe fn convert(
    target: *mut u8,
    room: ULONG,
    written: *mut ULONG,
    bytes: &[u8],
    size: usize,
) -> NTSTATUS {
    let room = room as usize / size * size;
    // SAFETY: by this function's contract.
    let count = unsafe { put(target, room, bytes) };
    // SAFETY: as above.
    unsafe { write(written, long(count)) };
    STATUS_SUCCESS
}

/// Puts bytes, which are the text of a string and its terminator, into a counted string, or into
/// one that is allocated for it.
///
/// # Safety
/// `target` is a string whose buffer has its maximum length, or a place for one.
unsafe fn put_counted(
    call: &'static str,
    target: *mut Narrow,
    bytes: &[u8],
    terminator: usize,
    allocate: BOOLEAN,
) -> NTSTATUS {
    let all = bytes.len() + terminator;
    if all > LONGEST {
        return STATUS_INVALID_PARAMETER_2;
    }
    let short = |bytes: usize| USHORT::try_from(bytes).unwrap_or(USHORT::MAX);
    if allocate != 0 {
        let buffer = kernel::allocate_within(call, PagedPool, all as SIZE_T, TAG, true);
        if buffer.is_null() {
            return STATUS_NO_MEMORY;
        }
        let header = Narrow {
            Length: 0,
            MaximumLength: short(all),
            Buffer: buffer.cast(),
        };
        // SAFETY: by this function's contract.
        unsafe { target.write(header) };
    }
    // SAFETY: by this function's contract, or made just now.
    let header = unsafe { &mut *target };
    let room = usize::from(header.MaximumLength);
    let fits = all <= room;
    let buffer = header.Buffer.cast::<u8>();
    // SAFETY: as above; a terminator is part of the room.
    let count = unsafe { put(buffer, room.saturating_sub(terminator), bytes) };
    if terminator > 0 && room >= terminator {
        // SAFETY: as above.
        unsafe { buffer.wrapping_add(count).write_bytes(0, terminator) };
    }
    header.Length = short(count);
    if fits {
        STATUS_SUCCESS
    } else {
        STATUS_BUFFER_OVERFLOW
    }
}

/// A counted string for a terminated one.
///
/// # Safety
/// `source` is null or ends with a terminator, and `target` is a place for a string.
unsafe fn initialise(target: *mut Narrow, source: *const CHAR) -> NTSTATUS {
    // SAFETY: by this function's contract.
    let count = unsafe { terminated_bytes(source) }.len();
    let length = USHORT::try_from(count)
        .unwrap_or(USHORT::MAX - 1)
        .min(USHORT::MAX - 1);
    let header = Narrow {
        Length: length,
        MaximumLength: if source.is_null() { 0 } else { length + 1 },
        Buffer: source.cast_mut().cast(),
    };
    // SAFETY: as above.
    unsafe { write(target, header) };
    if count >= LONGEST {
        STATUS_NAME_TOO_LONG
    } else {
        STATUS_SUCCESS
    }
}

/// # Safety
/// `target` is a string that the library has allocated, or one without a buffer.
unsafe fn free(call: &'static str, target: *mut Narrow) {
    // SAFETY: by this function's contract.
    let buffer = unsafe { (*target).Buffer };
    if !buffer.is_null() {
        kernel::free_within(call, buffer.cast(), 0);
        let empty = Narrow {
            Length: 0,
            MaximumLength: 0,
            Buffer: null_mut(),
        };
        // SAFETY: as above.
        unsafe { target.write(empty) };
    }
}

/// Converts into a buffer that may be null, when only the size is asked for.
///
/// # Safety
/// The buffer has its size, `written` is null or may be written to.
unsafe fn convert_or_measure(
    target: *mut u8,
    room: ULONG,
    written: *mut ULONG,
    characters: impl Iterator<Item = Vec<u8>>,
    whole: bool,
) -> NTSTATUS {
    let room = if target.is_null() {
        usize::MAX
    } else {
        room as usize
    };
    let mut all: Vec<u8> = Vec::new();
    let mut fits = true;
    for character in characters {
        // What does not fit is left out whole.
        if all.len() + character.len() > room {
            fits = false;
            break;
        }
        all.extend(character);
    }
    if !target.is_null() {
        // SAFETY: by this function's contract.
        unsafe { put(target, room, &all) };
    }
    // SAFETY: as above.
    unsafe { write(written, long(all.len())) };
    match (fits, whole) {
        (false, _) => STATUS_BUFFER_TOO_SMALL,
        (true, false) => STATUS_SOME_NOT_MAPPED,
        (true, true) => STATUS_SUCCESS,
    }
}

/// Bodies that differ in nothing but the name that the kernel has for UTF-8.
macro_rules! code_pages {
    (
        initialise: $($initialise:ident)*;
        initialise_checked: $($checked:ident)*;
        free: $($free:ident)*;
        narrow_size: $($narrow_size:ident)*;
        wide_size: $($wide_size:ident)*;
        to_narrow: $($to_narrow:ident)*;
        upcase_to_narrow: $($upcase:ident)*;
        to_wide: $($to_wide:ident)*;
        put_narrow: $($put_narrow:ident)*;
        upcase_put_narrow: $($upcase_put:ident)*;
        put_wide: $($put_wide:ident)*;
        { $($rest:tt)* }
    ) => {
        routines! {
            $(
                /// A counted narrow string for a terminated one, which it does not copy.
                unsafe fn $initialise(target: *mut Narrow, source: *const CHAR) {
                    // SAFETY: the caller passes a terminated string, and a place for one.
                    let _too_long = unsafe { initialise(target, source) };
                }
            )*
            $(
                /// The same, with an error for strings that are too long.
                unsafe fn $checked(target: *mut Narrow, source: *const CHAR) -> NTSTATUS {
                    // SAFETY: the caller passes a terminated string, and a place for one.
                    unsafe { initialise(target, source) }
                }
            )*
            $(
                /// Frees a string that the library has allocated.
                unsafe fn $free(target: *mut Narrow) {
                    // SAFETY: the caller passes a string.
                    unsafe { free(CALL, target) };
                }
            )*
            $(
                /// How many bytes a wide string has when it is narrow, with a terminator.
                unsafe fn $narrow_size(source: PCUNICODE_STRING) -> ULONG {
                    // SAFETY: the caller passes a string.
                    long(to_narrow(&unsafe { units(source) }).len() + 1)
                }
            )*
            $(
                /// How many bytes a narrow string has when it is wide, with a terminator.
                unsafe fn $wide_size(source: *const Narrow) -> ULONG {
                    // SAFETY: the caller passes a string.
                    long(to_wide(&unsafe { counted(source) }).len() + 2)
                }
            )*
            $(
                /// Converts a wide string into a narrow one.
                unsafe fn $to_narrow(
                    target: *mut Narrow,
                    source: PCUNICODE_STRING,
                    allocate: BOOLEAN,
                ) -> NTSTATUS {
                    // SAFETY: the caller passes a string.
                    let bytes = to_narrow(&unsafe { units(source) });
                    // SAFETY: the caller passes a string with a buffer, or a place for one.
                    unsafe { put_counted(CALL, target, &bytes, 1, allocate) }
                }
            )*
            $(
                /// Converts a wide string into a narrow one in upper case.
                unsafe fn $upcase(
                    target: *mut Narrow,
                    source: PCUNICODE_STRING,
                    allocate: BOOLEAN,
                ) -> NTSTATUS {
                    // SAFETY: the caller passes a string.
                    let bytes = to_narrow(&folded(&unsafe { units(source) }, 1));
                    // SAFETY: the caller passes a string with a buffer, or a place for one.
                    unsafe { put_counted(CALL, target, &bytes, 1, allocate) }
                }
            )*
            $(
                /// Converts a narrow string into a wide one.
                unsafe fn $to_wide(
                    target: PUNICODE_STRING,
                    source: *const Narrow,
                    allocate: BOOLEAN,
                ) -> NTSTATUS {
                    // SAFETY: the caller passes a string.
                    let bytes = to_wide(&unsafe { counted(source) });
                    // SAFETY: the caller passes a string with a buffer, or a place for one.
                    unsafe { put_counted(CALL, target, &bytes, 2, allocate) }
                }
            )*
            $(
                /// Converts wide units into narrow ones, as many as there is room for.
                unsafe fn $put_narrow(
                    target: *mut u8,
                    room: ULONG,
                    written: *mut ULONG,
                    source: *const u8,
                    count: ULONG,
                ) -> NTSTATUS {
                    // SAFETY: the caller passes so many bytes.
                    let bytes = to_narrow(&unsafe { wide(source, count) });
                    // SAFETY: the caller passes a buffer of that size.
                    unsafe { convert(target, room, written, &bytes, 1) }
                }
            )*
            $(
                /// Converts wide units into narrow ones in upper case.
                unsafe fn $upcase_put(
                    target: *mut u8,
                    room: ULONG,
                    written: *mut ULONG,
                    source: *const u8,
                    count: ULONG,
                ) -> NTSTATUS {
                    // SAFETY: the caller passes so many bytes.
                    let bytes = to_narrow(&folded(&unsafe { wide(source, count) }, 1));
                    // SAFETY: the caller passes a buffer of that size.
                    unsafe { convert(target, room, written, &bytes, 1) }
                }
            )*
            $(
                /// Converts narrow units into wide ones, as many as there is room for.
                unsafe fn $put_wide(
                    target: *mut u8,
                    room: ULONG,
                    written: *mut ULONG,
                    source: *const u8,
                    count: ULONG,
                ) -> NTSTATUS {
                    // SAFETY: the caller passes so many bytes.
                    let bytes = to_wide(&unsafe { bytes(source, count as usize) });
                    // SAFETY: the caller passes a buffer of that size.
                    unsafe { convert(target, room, written, &bytes, 2) }
                }
            )*
            $($rest)*
        }
    };
}

code_pages! {
    initialise: RtlInitString RtlInitUTF8String;
    initialise_checked: RtlInitStringEx RtlInitAnsiStringEx RtlInitUTF8StringEx;
    free: RtlFreeAnsiString RtlFreeOemString RtlFreeUTF8String;
    narrow_size: RtlxUnicodeStringToAnsiSize RtlxUnicodeStringToOemSize;
    wide_size: RtlxAnsiStringToUnicodeSize RtlxOemStringToUnicodeSize;
    to_narrow: RtlUnicodeStringToAnsiString RtlUnicodeStringToOemString RtlUnicodeStringToUTF8String;
    upcase_to_narrow: RtlUpcaseUnicodeStringToAnsiString RtlUpcaseUnicodeStringToOemString;
    to_wide: RtlOemStringToUnicodeString RtlUTF8StringToUnicodeString;
    put_narrow: RtlUnicodeToMultiByteN RtlUnicodeToOemN;
    upcase_put_narrow: RtlUpcaseUnicodeToMultiByteN RtlUpcaseUnicodeToOemN;
    put_wide: RtlMultiByteToUnicodeN RtlOemToUnicodeN;
    {
        /// How many bytes wide units have when they are narrow.
        unsafe fn RtlUnicodeToMultiByteSize(
            size: *mut ULONG,
            source: *const u8,
            count: ULONG,
        ) -> NTSTATUS {
            // SAFETY: the caller passes so many bytes.
            let bytes = to_narrow(&unsafe { wide(source, count) });
            // SAFETY: the caller passes a place for the size.
            unsafe { write(size, long(bytes.len())) };
            STATUS_SUCCESS
        }

        /// How many bytes narrow units have when they are wide.
        unsafe fn RtlMultiByteToUnicodeSize(
            size: *mut ULONG,
            source: *const u8,
            count: ULONG,
        ) -> NTSTATUS {
            // SAFETY: the caller passes so many bytes.
            let bytes = to_wide(&unsafe { bytes(source, count as usize) });
            // SAFETY: the caller passes a place for the size.
            unsafe { write(size, long(bytes.len())) };
            STATUS_SUCCESS
        }

        /// Converts UTF-8 into wide units, whole characters only.
        unsafe fn RtlUTF8ToUnicodeN(
            target: *mut u8,
            room: ULONG,
            written: *mut ULONG,
            source: *const u8,
            count: ULONG,
        ) -> NTSTATUS {
            if source.is_null() {
                return STATUS_INVALID_PARAMETER_4;
            }
            if target.is_null() && written.is_null() {
                return STATUS_INVALID_PARAMETER;
            }
            // SAFETY: the caller passes so many bytes.
            let bytes = unsafe { bytes(source, count as usize) };
            let whole = std::str::from_utf8(&bytes).is_ok();
            let text = String::from_utf8_lossy(&bytes);
            let characters = text.chars().map(|one| to_wide(one.to_string().as_bytes()));
            // SAFETY: the caller passes a buffer of that size.
            unsafe { convert_or_measure(target, room, written, characters, whole) }
        }

        /// Converts wide units into UTF-8, whole characters only.
        unsafe fn RtlUnicodeToUTF8N(
            target: *mut u8,
            room: ULONG,
            written: *mut ULONG,
            source: *const u8,
            count: ULONG,
        ) -> NTSTATUS {
            if source.is_null() {
                return STATUS_INVALID_PARAMETER_4;
            }
            if target.is_null() && written.is_null() {
                return STATUS_INVALID_PARAMETER;
            }
            if !count.is_multiple_of(2) {
                return 0xC000_00F3_u32.cast_signed();
            }
            // SAFETY: the caller passes so many bytes.
            let units = unsafe { wide(source, count) };
            let whole = String::from_utf16(&units).is_ok();
            let text = String::from_utf16_lossy(&units);
            let characters = text.chars().map(|one| one.to_string().into_bytes());
            // SAFETY: the caller passes a buffer of that size.
            unsafe { convert_or_measure(target, room, written, characters, whole) }
        }

        /// Copies as much of a string as there is room for.
        unsafe fn RtlCopyString(target: *mut Narrow, source: *const Narrow) {
            // SAFETY: the caller passes a string or null.
            let bytes = unsafe { counted(source) };
            // SAFETY: the caller passes a string with a buffer.
            unsafe { put_counted(CALL, target, &bytes, 0, 0) };
        }

        /// Appends a string.
        unsafe fn RtlAppendStringToString(
            target: *mut Narrow,
            source: *const Narrow,
        ) -> NTSTATUS {
            // SAFETY: the caller passes a string.
            let more = unsafe { counted(source) };
            // SAFETY: the caller passes a string with a buffer.
            unsafe { append(target, &more) }
        }

        /// Appends a terminated string.
        unsafe fn RtlAppendAsciizToString(target: *mut Narrow, source: *const CHAR) -> NTSTATUS {
            // SAFETY: the caller passes a terminated string or null.
            let more = unsafe { terminated_bytes(source) };
            // SAFETY: the caller passes a string with a buffer.
            unsafe { append(target, &more) }
        }

        /// Compares two strings.
        unsafe fn RtlCompareString(
            one: *const Narrow,
            two: *const Narrow,
            ignore_case: BOOLEAN,
        ) -> LONG {
            // SAFETY: the caller passes a string.
            let one = folded_bytes(unsafe { counted(one) }, ignore_case);
            // SAFETY: as above.
            let two = folded_bytes(unsafe { counted(two) }, ignore_case);
            let wider = |bytes: Vec<u8>| bytes.into_iter().map(u16::from).collect::<Vec<_>>();
            difference(&wider(one), &wider(two))
        }

        /// Whether two strings are the same.
        unsafe fn RtlEqualString(
            one: *const Narrow,
            two: *const Narrow,
            ignore_case: BOOLEAN,
        ) -> BOOLEAN {
            // SAFETY: the caller passes a string.
            let one = folded_bytes(unsafe { counted(one) }, ignore_case);
            // SAFETY: as above.
            BOOLEAN::from(one == folded_bytes(unsafe { counted(two) }, ignore_case))
        }

        /// Whether the second string begins with the first one.
        unsafe fn RtlPrefixString(
            prefix: *const Narrow,
            string: *const Narrow,
            ignore_case: BOOLEAN,
        ) -> BOOLEAN {
            // SAFETY: the caller passes a string.
            let prefix = folded_bytes(unsafe { counted(prefix) }, ignore_case);
            // SAFETY: as above.
            let string = folded_bytes(unsafe { counted(string) }, ignore_case);
            BOOLEAN::from(string.starts_with(&prefix))
        }

        /// Copies a string in upper case, as much as there is room for.
        unsafe fn RtlUpperString(target: *mut Narrow, source: *const Narrow) {
            // SAFETY: the caller passes a string.
            let bytes = folded_bytes(unsafe { counted(source) }, 1);
            // SAFETY: the caller passes a string with a buffer.
            unsafe { put_counted(CALL, target, &bytes, 0, 0) };
        }

        /// The upper-case form of a character.
        unsafe fn RtlUpperChar(character: UCHAR) -> UCHAR {
            character.to_ascii_uppercase()
        }

        /// Compares two runs of wide units.
        unsafe fn RtlCompareUnicodeStrings(
            one: *const u8,
            one_units: SIZE_T,
            two: *const u8,
            two_units: SIZE_T,
            ignore_case: BOOLEAN,
        ) -> LONG {
            let size = |units: SIZE_T| ULONG::try_from(units * 2).unwrap_or(ULONG::MAX);
            // SAFETY: the caller passes so many units.
            let one = folded(&unsafe { wide(one, size(one_units)) }, ignore_case);
            // SAFETY: as above.
            let two = folded(&unsafe { wide(two, size(two_units)) }, ignore_case);
            difference(&one, &two)
        }

        /// Copies a wide string into one that is allocated for it.
        unsafe fn RtlDuplicateUnicodeString(
            flags: ULONG,
            source: PCUNICODE_STRING,
            target: PUNICODE_STRING,
        ) -> NTSTATUS {
            let empty_too = flags & ALLOCATE_NULL_STRING != 0;
            let terminate = flags & NULL_TERMINATE != 0;
            let known = flags & !(ALLOCATE_NULL_STRING | NULL_TERMINATE) == 0;
            if !known || target.is_null() || (empty_too && !terminate) {
                return STATUS_INVALID_PARAMETER;
            }
            // SAFETY: the caller passes a string.
            let units = unsafe { units(source) };
            if units.is_empty() && !empty_too {
                let empty = Narrow { Length: 0, MaximumLength: 0, Buffer: null_mut() };
                // SAFETY: the caller passes a place for a string.
                unsafe { write(target, empty) };
                return STATUS_SUCCESS;
            }
            let bytes: Vec<u8> = units.into_iter().flat_map(u16::to_le_bytes).collect();
            let terminator = if terminate { 2 } else { 0 };
            if bytes.len() + terminator > LONGEST {
                return STATUS_NAME_TOO_LONG;
            }
            // SAFETY: as above.
            unsafe { put_counted(CALL, target, &bytes, terminator, 1) }
        }

        /// Whether a wide string is one.
        unsafe fn RtlValidateUnicodeString(flags: ULONG, string: PCUNICODE_STRING) -> NTSTATUS {
            if string.is_null() {
                return if flags == 0 { STATUS_SUCCESS } else { STATUS_INVALID_PARAMETER };
            }
            // SAFETY: the caller passes a header.
            let header = unsafe { string.read() };
            let sizes = header.Length.is_multiple_of(2) && header.MaximumLength.is_multiple_of(2);
            let sizes = sizes && header.Length <= header.MaximumLength;
            let buffer = !header.Buffer.is_null() || header.MaximumLength == 0;
            if flags == 0 && sizes && buffer { STATUS_SUCCESS } else { STATUS_INVALID_PARAMETER }
        }

        /// Writes a GUID into a string that is allocated for it.
        unsafe fn RtlStringFromGUID(guid: *const GUID, target: PUNICODE_STRING) -> NTSTATUS {
            // SAFETY: the caller passes a GUID.
            let guid = unsafe { guid.read_unaligned() };
            let tail = guid.Data4.map(|byte| format!("{byte:02X}")).concat();
            let text = format!(
                "{{{:08X}-{:04X}-{:04X}-{}-{}}}",
                guid.Data1, guid.Data2, guid.Data3, &tail[..4], &tail[4..],
            );
            // SAFETY: the caller passes a place for a string.
            unsafe { put_counted(CALL, target, &to_wide(text.as_bytes()), 2, 1) }
        }

        /// Reads a number from a terminated string.
        unsafe fn RtlCharToInteger(
            source: *const CHAR,
            base: ULONG,
            value: *mut ULONG,
        ) -> NTSTATUS {
            // SAFETY: the caller passes a terminated string.
            let bytes = unsafe { terminated_bytes(source) };
            let units: Vec<u16> = bytes.into_iter().map(u16::from).collect();
            let Some(parsed) = super::rtl::parse(&units, base) else {
                return STATUS_INVALID_PARAMETER;
            };
            // SAFETY: the caller passes a place for the number.
            unsafe { write(value, parsed) };
            STATUS_SUCCESS
        }

        /// How many bytes of memory have a pattern of four bytes.
        unsafe fn RtlCompareMemoryUlong(
            memory: *const ULONG,
            length: SIZE_T,
            pattern: ULONG,
        ) -> SIZE_T {
            let words = length / 4;
            let is = |index: &SIZE_T| {
                let index = usize::try_from(*index).unwrap_or(0);
                // SAFETY: the caller passes so many bytes.
                unsafe { memory.wrapping_add(index).read_unaligned() == pattern }
            };
            4 * (0..words).take_while(is).count() as SIZE_T
        }

        /// Fills memory with a pattern of four bytes.
        unsafe fn RtlFillMemoryUlong(memory: *mut ULONG, length: SIZE_T, pattern: ULONG) {
            if !length.is_multiple_of(4) {
                misuse(Rule::V0, CALL, format!("{length} bytes are no whole pattern"));
            }
            for index in 0..usize::try_from(length / 4).unwrap_or(0) {
                // SAFETY: the caller passes so many bytes.
                unsafe { memory.wrapping_add(index).write_unaligned(pattern) };
            }
        }
    }
}

/// # Safety
/// `target` is a string whose buffer has its maximum length.
unsafe fn append(target: *mut Narrow, more: &[u8]) -> NTSTATUS {
    // SAFETY: by this function's contract.
    let header = unsafe { &mut *target };
    let at = usize::from(header.Length);
    let end = at + more.len();
    if end > usize::from(header.MaximumLength) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    // SAFETY: as above.
    unsafe {
        put(
            header.Buffer.cast::<u8>().wrapping_add(at),
            more.len(),
            more,
        )
    };
    header.Length = USHORT::try_from(end).unwrap_or(USHORT::MAX);
    STATUS_SUCCESS
}
