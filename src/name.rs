//! File names.

use core::{fmt, panic::RefUnwindSafe, ptr::NonNull, slice};

use fltmgr_sys as sys;

use crate::{
    Status,
    irql::{ApcOrBelow, UsableAtDispatch},
};

/// Which form of a name is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFormat {
    /// Every component in its long form, e.g. `\Device\HarddiskVolume1\dir\file.txt`.
    Normalized,
    /// As the file was opened.
    Opened,
}

/// The name of the file of an operation: a counted reference, released on drop. It may be kept
/// after the callback.
///
/// IRQL: read and dropped at `APC_LEVEL` or below; reading takes proof of it, because a name may be
/// kept in a nonpaged context, which is reached at `DISPATCH_LEVEL` too.
///
/// DDI: `FltGetFileNameInformation`, `FltReleaseFileNameInformation`.
pub struct FileName {
    /// # Invariants
    ///
    /// A name information structure with one reference that this value owns.
    information: NonNull<sys::FLT_FILE_NAME_INFORMATION>,
}

// SAFETY: name information is immutable once parsed, and its count is the Filter Manager's.
unsafe impl Send for FileName {}
// SAFETY: as above.
unsafe impl Sync for FileName {}

// Not usable at `DISPATCH_LEVEL`: released at `APC_LEVEL` at most.
impl RefUnwindSafe for FileName where for<'a> FileName: UsableAtDispatch {}

impl FileName {
    /// Gets and parses the name of the file that `data` is about.
    ///
    /// # Safety
    ///
    /// `data` is the callback data of a running callback and the IRQL is at most `APC_LEVEL`.
    pub(crate) unsafe fn get(
        data: sys::PFLT_CALLBACK_DATA,
        format: NameFormat,
    ) -> Result<Self, Status> {
        let options = sys::FLT_FILE_NAME_QUERY_DEFAULT
            | match format {
                NameFormat::Normalized => sys::FLT_FILE_NAME_NORMALIZED,
                NameFormat::Opened => sys::FLT_FILE_NAME_OPENED,
            };
        let mut information = core::ptr::null_mut();
        // SAFETY: the caller vouches for the data and the IRQL; the out-pointer may be written.
        let status = Status::from_raw(unsafe {
            sys::FltGetFileNameInformation(data, options, &raw mut information)
        });
        let name = match NonNull::new(information) {
            // INVARIANT: a successful call hands out one reference.
            Some(information) if status.is_success() => Self { information },
            _ => return Err(status),
        };
        // SAFETY: `name` owns a reference, and the caller vouches for the IRQL.
        let parsed = Status::from_raw(unsafe {
            sys::FltParseFileNameInformation(name.information.as_ptr())
        });
        if parsed.is_success() {
            Ok(name)
        } else {
            Err(parsed)
        }
    }

    fn information<'a, I: ApcOrBelow>(&'a self, irql: &'a I) -> &'a sys::FLT_FILE_NAME_INFORMATION {
        let _ = irql;
        // SAFETY: by the invariant the structure is alive, and nobody writes to it any more; the
        // token proves that paged memory may be touched.
        unsafe { self.information.as_ref() }
    }

    /// The whole name, e.g. `\Device\HarddiskVolume1\dir\file.txt:stream`.
    #[must_use]
    pub fn full<'a, I: ApcOrBelow>(&'a self, irql: &'a I) -> Utf16<'a> {
        // SAFETY: a string of the structure describes memory that belongs to it.
        unsafe { Utf16::new(&self.information(irql).Name) }
    }

    /// The last component, without the stream.
    #[must_use]
    pub fn final_component<'a, I: ApcOrBelow>(&'a self, irql: &'a I) -> Utf16<'a> {
        // SAFETY: a string of the structure describes memory that belongs to it.
        let component = unsafe { Utf16::new(&self.information(irql).FinalComponent) };
        // The Filter Manager counts the stream to the component.
        let name = component.0.strip_suffix(self.stream(irql).0);
        Utf16(name.unwrap_or(component.0))
    }

    /// The stream, with its colon, e.g. `:author`; empty for the default stream.
    #[must_use]
    pub fn stream<'a, I: ApcOrBelow>(&'a self, irql: &'a I) -> Utf16<'a> {
        // SAFETY: a string of the structure describes memory that belongs to it.
        unsafe { Utf16::new(&self.information(irql).Stream) }
    }
}

impl Drop for FileName {
    fn drop(&mut self) {
        // SAFETY: by the invariant this value owns one reference, and it is not used again.
        unsafe { sys::FltReleaseFileNameInformation(self.information.as_ptr()) }
    }
}

/// A borrowed string of UTF-16 units that prints as text.
#[derive(Clone, Copy)]
pub struct Utf16<'a>(&'a [u16]);

impl<'a> Utf16<'a> {
    pub(crate) const EMPTY: Self = Self(&[]);

    /// # Safety
    ///
    /// The string's buffer is NULL, or holds `Length` bytes of initialised units for `'a`.
    pub(crate) unsafe fn new(string: &'a sys::UNICODE_STRING) -> Self {
        if string.Buffer.is_null() {
            return Self::EMPTY;
        }
        // SAFETY: the caller vouches for the buffer, which is not NULL.
        Self(unsafe { slice::from_raw_parts(string.Buffer, usize::from(string.Length) / 2) })
    }

    /// The units.
    #[must_use]
    pub fn units(self) -> &'a [u16] {
        self.0
    }
}

impl<'a> From<&'a [u16]> for Utf16<'a> {
    fn from(units: &'a [u16]) -> Self {
        Self(units)
    }
}

impl fmt::Display for Utf16<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_utf16(self.0, f)
    }
}

/// Writes UTF-16 as text, unpaired surrogates as replacement characters.
pub(crate) fn write_utf16(units: &[u16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use fmt::Write as _;
    char::decode_utf16(units.iter().copied())
        .try_for_each(|unit| f.write_char(unit.unwrap_or(char::REPLACEMENT_CHARACTER)))
}
