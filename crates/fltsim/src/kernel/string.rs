//! Counted UTF-16 strings between the driver's memory and ours.

use fltmgr_sys::{PCUNICODE_STRING, UNICODE_STRING};

/// Reads a driver's string; `None` for a null pointer.
///
/// # Safety
/// `string` is null, or points to a `UNICODE_STRING` whose buffer has `Length` readable bytes.
pub(crate) unsafe fn read(string: PCUNICODE_STRING) -> Option<String> {
    if string.is_null() {
        return None;
    }
    // SAFETY: not null, and then a readable `UNICODE_STRING` by this function's contract.
    let header = unsafe { *string };
    // SAFETY: the buffer holds `Length` bytes by this function's contract.
    Some(unsafe { read_units(header.Buffer, usize::from(header.Length) / 2) })
}

/// Reads `units` UTF-16 units.
///
/// # Safety
/// `buffer` has that many readable units, or `units` is 0.
pub(crate) unsafe fn read_units(buffer: *const u16, units: usize) -> String {
    let units: Vec<u16> = (0..units)
        .map(|index| {
            let unit = buffer.wrapping_add(index);
            // SAFETY: `index` is below the number of readable units.
            unsafe { unit.read_unaligned() }
        })
        .collect();
    String::from_utf16_lossy(&units)
}

/// Reads a terminated string; `None` for a null pointer.
///
/// # Safety
/// `text` is null or ends with a terminator.
pub(crate) unsafe fn read_terminated(text: *const u16) -> Option<String> {
    if text.is_null() {
        return None;
    }
    let mut units = Vec::new();
    loop {
        // SAFETY: no unit before this one was the terminator, so this one exists.
        let unit = unsafe { text.wrapping_add(units.len()).read_unaligned() };
        if unit == 0 {
            return Some(String::from_utf16_lossy(&units));
        }
        units.push(unit);
    }
}

/// A string that lives as long as this value, for a driver to read.
pub(crate) struct Owned {
    header: Box<UNICODE_STRING>,
    _units: Box<[u16]>,
}

// SAFETY: nothing changes the string after it was made, so any thread may read it.
unsafe impl Send for Owned {}
// SAFETY: as above.
unsafe impl Sync for Owned {}

impl Owned {
    pub(crate) fn new(text: &str) -> Self {
        let mut units: Box<[u16]> = text.encode_utf16().collect();
        let bytes = u16::try_from(units.len() * 2).unwrap_or(u16::MAX - 1);
        Self {
            header: Box::new(UNICODE_STRING {
                Length: bytes,
                MaximumLength: bytes,
                Buffer: units.as_mut_ptr(),
            }),
            _units: units,
        }
    }

    pub(crate) fn pointer(&self) -> PCUNICODE_STRING {
        &raw const *self.header
    }

    pub(crate) fn header(&self) -> UNICODE_STRING {
        *self.header
    }
}
