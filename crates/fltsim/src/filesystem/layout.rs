//! Little-endian structures, field by field.

use fltmgr_sys::{NTSTATUS, STATUS_BUFFER_OVERFLOW, STATUS_INFO_LENGTH_MISMATCH};

/// A structure that is being written.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn u8(mut self, value: u8) -> Self {
        self.bytes.push(value);
        self
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub(super) fn i64(mut self, value: i64) -> Self {
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub(super) fn bytes(mut self, value: &[u8]) -> Self {
        self.bytes.extend(value);
        self
    }

    /// Zeroes up to an offset of the structure.
    pub(super) fn pad_to(mut self, offset: usize) -> Self {
        debug_assert!(self.bytes.len() <= offset, "the field before was too long");
        self.bytes.resize(offset, 0);
        self
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// A name as Windows keeps it.
pub(super) fn utf16(name: &str) -> Vec<u8> {
    name.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A length as Windows keeps it. Nothing here comes near the limit.
pub(super) fn len32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// A count that Windows keeps signed.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Gives a caller a structure of which at least `minimum` bytes must fit, and the rest may not.
pub(super) fn deliver(bytes: &[u8], minimum: usize, buffer: &mut [u8]) -> Result<usize, NTSTATUS> {
    if buffer.len() < minimum {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    let count = bytes.len().min(buffer.len());
    buffer[..count].copy_from_slice(&bytes[..count]);
    if count < bytes.len() {
        Err(STATUS_BUFFER_OVERFLOW)
    } else {
        Ok(count)
    }
}

/// A structure that a caller gave.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    /// The caller gave at least so many bytes.
    pub(super) fn require(self, minimum: usize) -> Result<Self, NTSTATUS> {
        if self.0.len() < minimum {
            Err(STATUS_INFO_LENGTH_MISMATCH)
        } else {
            Ok(self)
        }
    }

    fn array<const N: usize>(self, offset: usize) -> Result<[u8; N], NTSTATUS> {
        let bytes = self.0.get(offset..).and_then(|rest| rest.first_chunk());
        bytes.copied().ok_or(STATUS_INFO_LENGTH_MISMATCH)
    }

    pub(super) fn u8(self, offset: usize) -> Result<u8, NTSTATUS> {
        self.array(offset).map(u8::from_le_bytes)
    }

    pub(super) fn u32(self, offset: usize) -> Result<u32, NTSTATUS> {
        self.array(offset).map(u32::from_le_bytes)
    }

    pub(super) fn i64(self, offset: usize) -> Result<i64, NTSTATUS> {
        self.array(offset).map(i64::from_le_bytes)
    }

    /// A name of so many bytes; `None` if it does not fit or is not well-formed UTF-16.
    pub(super) fn name(self, offset: usize, len: usize) -> Option<String> {
        let bytes = self.0.get(offset..)?.get(..len)?;
        let (units, []) = bytes.as_chunks::<2>() else {
            return None;
        };
        let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
        String::from_utf16(&units).ok()
    }
}
