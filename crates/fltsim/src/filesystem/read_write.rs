//! Reading and writing.

use super::locked::{Locked, Subject};
use super::range_lock::Accessor;
use super::{Authority, OpenId};
use fltmgr_sys::{
    FILE_APPEND_DATA, FILE_EXECUTE, FILE_READ_DATA, FILE_WRITE_DATA, NTSTATUS, STATUS_END_OF_FILE,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER,
};

/// The offset that means the end of the file.
const END_OF_FILE: u64 = u64::MAX;

/// The offset that means the position of the file object.
const FILE_POINTER: u64 = u64::MAX - 1;

impl Locked<'_> {
    pub(super) fn read(
        &mut self,
        open: OpenId,
        offset: u64,
        buffer: &mut [u8],
        authority: Authority,
        accessor: Option<Accessor>,
    ) -> Result<usize, NTSTATUS> {
        let subject = self.data(open)?;
        subject.check(FILE_READ_DATA | FILE_EXECUTE, authority)?;
        let offset = match offset {
            FILE_POINTER => self.open(open)?.position,
            offset => offset,
        };
        check_range(offset, buffer.len())?;
        if buffer.is_empty() {
            return Ok(0);
        }
        self.check_locks(open, accessor, offset, buffer.len(), false)?;
        let count = self.read_stream(&subject, offset, buffer)?;
        if count == 0 {
            return Err(STATUS_END_OF_FILE);
        }
        self.open_mut(open)?.position = offset + count as u64;
        Ok(count)
    }

    pub(super) fn write(
        &mut self,
        open: OpenId,
        offset: u64,
        data: &[u8],
        authority: Authority,
        accessor: Option<Accessor>,
    ) -> Result<usize, NTSTATUS> {
        let subject = self.data(open)?;
        subject.check(FILE_WRITE_DATA | FILE_APPEND_DATA, authority)?;
        let appends =
            subject.access & FILE_WRITE_DATA == 0 && subject.access & FILE_APPEND_DATA != 0;
        let offset = match offset {
            END_OF_FILE => self.stream_len(&subject)?,
            _ if appends => self.stream_len(&subject)?,
            FILE_POINTER => self.open(open)?.position,
            offset => offset,
        };
        check_range(offset, data.len())?;
        if data.is_empty() {
            return Ok(0);
        }
        self.check_locks(open, accessor, offset, data.len(), true)?;
        self.write_stream(&subject, offset, data)?;
        self.open_mut(open)?.position = offset + data.len() as u64;
        Ok(data.len())
    }

    /// An open of something that has data.
    pub(super) fn data(&self, open: OpenId) -> Result<Subject, NTSTATUS> {
        let subject = self.usable(open)?;
        if subject.directory {
            Err(STATUS_INVALID_DEVICE_REQUEST)
        } else {
            Ok(subject)
        }
    }
}

/// Offsets are signed, and so is the end of what they begin.
fn check_range(offset: u64, len: usize) -> Result<(), NTSTATUS> {
    let end = offset.checked_add(len as u64);
    if end.is_some_and(|end| i64::try_from(end).is_ok()) {
        Ok(())
    } else {
        Err(STATUS_INVALID_PARAMETER)
    }
}
