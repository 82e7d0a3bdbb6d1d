//! What can be changed about an open file, its name apart.

use super::constants::{FILE_DISPOSITION_IGNORE_READONLY_ATTRIBUTE, FILE_DISPOSITION_ON_CLOSE};
use super::create::SETTABLE_ATTRIBUTES;
use super::fcb::DeletePending;
use super::layout::Reader;
use super::locked::{Locked, Subject};
use super::transaction::Undo;
use super::{Authority, OpenId};
use crate::storage::{NodeKind, Times};
use fltmgr_sys::{
    DELETE, FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_READONLY, FILE_ATTRIBUTE_TEMPORARY,
    FILE_DISPOSITION_DELETE, FILE_DISPOSITION_POSIX_SEMANTICS, FILE_INFORMATION_CLASS,
    FILE_READ_DATA, FILE_WRITE_ATTRIBUTES, FILE_WRITE_DATA, FileAllocationInformation,
    FileBasicInformation, FileDispositionInformation, FileDispositionInformationEx,
    FileEndOfFileInformation, FilePositionInformation, FileRenameInformation,
    FileRenameInformationEx, NTSTATUS, STATUS_CANNOT_DELETE, STATUS_DIRECTORY_NOT_EMPTY,
    STATUS_FILE_CLOSED, STATUS_INVALID_INFO_CLASS, STATUS_INVALID_PARAMETER,
};

impl Locked<'_> {
    pub(super) fn set_information(
        &mut self,
        open: OpenId,
        class: FILE_INFORMATION_CLASS,
        buffer: &[u8],
        target: Option<&str>,
        authority: Authority,
    ) -> Result<(), NTSTATUS> {
        let subject = self.usable(open)?;
        let reader = Reader(buffer);
        match class {
            FileBasicInformation => {
                let reader = reader.require(40)?;
                subject.check(FILE_WRITE_ATTRIBUTES, authority)?;
                self.set_basic(&subject, reader)
            }
            FileDispositionInformation => {
                let delete = reader.u8(0)? != 0;
                subject.check(DELETE, authority)?;
                let flags = if delete { FILE_DISPOSITION_DELETE } else { 0 };
                self.set_disposition(open, &subject, flags)
            }
            FileDispositionInformationEx => {
                let flags = reader.u32(0)?;
                subject.check(DELETE, authority)?;
                self.set_disposition(open, &subject, flags)
            }
            FileRenameInformation | FileRenameInformationEx => {
                let reader = reader.require(24)?;
                subject.check(DELETE, authority)?;
                let extended = class == FileRenameInformationEx;
                self.rename(&subject, reader, extended, target)
            }
            FileEndOfFileInformation => {
                let len = positive(reader.i64(0)?)?;
                subject.check(FILE_WRITE_DATA, authority)?;
                check_has_data(&subject)?;
                self.set_stream_len(&subject, len)
            }
            FileAllocationInformation => {
                let allocation = positive(reader.i64(0)?)?;
                subject.check(FILE_WRITE_DATA, authority)?;
                check_has_data(&subject)?;
                // More space than data is a hint; less cuts the data.
                if allocation < self.stream_len(&subject)? {
                    self.set_stream_len(&subject, allocation)?;
                }
                Ok(())
            }
            FilePositionInformation => {
                let position = positive(reader.i64(0)?)?;
                subject.check(FILE_READ_DATA | FILE_WRITE_DATA, authority)?;
                self.open_mut(open)?.position = position;
                Ok(())
            }
            _ => Err(STATUS_INVALID_INFO_CLASS),
        }
    }

    fn set_basic(&mut self, subject: &Subject, reader: Reader<'_>) -> Result<(), NTSTATUS> {
        let node = subject.place()?;
        let old = self.storage.metadata(node)?;
        let attributes = reader.u32(32)?;
        let directory = old.kind == NodeKind::Directory;
        if (attributes & FILE_ATTRIBUTE_DIRECTORY != 0 && !directory)
            || (attributes & FILE_ATTRIBUTE_TEMPORARY != 0 && directory)
        {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let time = |offset, old| match reader.i64(offset)? {
            // Zero leaves it alone; the two others also stop and restart its keeping, which is
            // not modelled.
            -2..=0 => Ok(old),
            time if time > 0 => Ok(time),
            _ => Err(STATUS_INVALID_PARAMETER),
        };
        let times = Times {
            creation: time(0, old.times.creation)?,
            last_access: time(8, old.times.last_access)?,
            last_write: time(16, old.times.last_write)?,
            change: time(24, old.times.change)?,
        };
        self.state
            .transactions
            .check_lock(node, subject.transaction)?;
        let undo = Undo::Attributes(node, old.attributes, old.times);
        self.state.transactions.note(subject.transaction, undo);
        if times != old.times {
            self.storage.set_times(node, &times)?;
        }
        if attributes != 0 {
            let attributes = attributes & SETTABLE_ATTRIBUTES;
            self.storage.set_attributes(node, attributes)?;
        }
        Ok(())
    }

    fn set_disposition(
        &mut self,
        open: OpenId,
        subject: &Subject,
        flags: u32,
    ) -> Result<(), NTSTATUS> {
        let delete = flags & FILE_DISPOSITION_DELETE != 0;
        if flags & FILE_DISPOSITION_ON_CLOSE != 0 {
            // Only an open that came with delete-on-close may take it back or give it again.
            let open = self.open_mut(open)?;
            open.delete_on_close = delete;
            return Ok(());
        }
        if delete {
            self.may_delete(
                subject,
                flags & FILE_DISPOSITION_IGNORE_READONLY_ATTRIBUTE != 0,
            )?;
        }
        let pending = delete.then_some(DeletePending {
            transaction: subject.transaction,
        });
        self.set_delete_pending(subject, pending)?;
        self.open_mut(open)?.posix_delete = delete && flags & FILE_DISPOSITION_POSIX_SEMANTICS != 0;
        Ok(())
    }

    /// Everything that can keep an open file from being deleted.
    fn may_delete(&self, subject: &Subject, ignore_read_only: bool) -> Result<(), NTSTATUS> {
        let node = subject.place()?;
        if subject.name.is_empty() && self.storage.location(node)?.is_none() {
            return Err(STATUS_CANNOT_DELETE);
        }
        let metadata = self.storage.metadata(node)?;
        let read_only = metadata.attributes & FILE_ATTRIBUTE_READONLY != 0;
        if read_only && !ignore_read_only {
            return Err(STATUS_CANNOT_DELETE);
        }
        if subject.directory && !self.looks_empty(node, subject.transaction)? {
            return Err(STATUS_DIRECTORY_NOT_EMPTY);
        }
        self.state
            .transactions
            .check_lock(node, subject.transaction)
    }

    /// Marks what an open is about: a named stream by itself, or the whole file.
    pub(super) fn set_delete_pending(
        &mut self,
        subject: &Subject,
        pending: Option<DeletePending>,
    ) -> Result<(), NTSTATUS> {
        let table = &mut self.state.table;
        if subject.name.is_empty() {
            let file = table.file_mut(subject.file);
            file.ok_or(STATUS_FILE_CLOSED)?.delete_pending = pending;
        } else {
            let stream = table.stream_mut(subject.stream);
            stream.ok_or(STATUS_FILE_CLOSED)?.delete_pending = pending;
        }
        Ok(())
    }
}

fn positive(value: i64) -> Result<u64, NTSTATUS> {
    u64::try_from(value).map_err(|_| STATUS_INVALID_PARAMETER)
}

fn check_has_data(subject: &Subject) -> Result<(), NTSTATUS> {
    if subject.directory {
        Err(STATUS_INVALID_PARAMETER)
    } else {
        Ok(())
    }
}
