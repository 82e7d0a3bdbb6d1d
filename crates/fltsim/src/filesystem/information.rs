//! What can be asked about an open file.

use super::layout::{Writer, deliver, len32, signed, utf16};
use super::locked::{Locked, Subject};
use super::{Authority, OpenId};
use crate::storage::{Metadata, NodeKind, Times};
use fltmgr_sys::{
    FILE_DELETE_ON_CLOSE, FILE_INFORMATION_CLASS, FILE_NETWORK_OPEN_INFORMATION,
    FILE_NO_INTERMEDIATE_BUFFERING, FILE_READ_ATTRIBUTES, FILE_SEQUENTIAL_ONLY,
    FILE_SYNCHRONOUS_IO_ALERT, FILE_SYNCHRONOUS_IO_NONALERT, FILE_WRITE_THROUGH, FLT_FSTYPE_LANMAN,
    FileAccessInformation, FileAlignmentInformation, FileAllInformation,
    FileAttributeTagInformation, FileBasicInformation, FileEaInformation, FileIdInformation,
    FileInternalInformation, FileIsRemoteDeviceInformation, FileModeInformation,
    FileNameInformation, FileNetworkOpenInformation, FileNormalizedNameInformation,
    FilePositionInformation, FileStandardInformation, FileStreamInformation, LARGE_INTEGER,
    NTSTATUS, STATUS_BUFFER_OVERFLOW, STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_INFO_CLASS,
};

/// The open options that make up the mode of a file object.
const MODE: u32 = FILE_WRITE_THROUGH
    | FILE_SEQUENTIAL_ONLY
    | FILE_NO_INTERMEDIATE_BUFFERING
    | FILE_SYNCHRONOUS_IO_ALERT
    | FILE_SYNCHRONOUS_IO_NONALERT
    | FILE_DELETE_ON_CLOSE;

/// The serial number of every simulated volume.
pub(super) const SERIAL_NUMBER: u32 = 0xF17C_0DE5;

/// The numbers that most classes are made of.
pub(super) struct Facts {
    pub(super) metadata: Metadata,
    pub(super) attributes: u32,
    pub(super) end_of_file: u64,
    pub(super) allocation: u64,
}

impl Locked<'_> {
    pub(super) fn query_information(
        &self,
        open: OpenId,
        class: FILE_INFORMATION_CLASS,
        buffer: &mut [u8],
        authority: Authority,
    ) -> Result<usize, NTSTATUS> {
        let subject = self.usable(open)?;
        let needs_right = matches!(
            class,
            FileBasicInformation
                | FileAllInformation
                | FileNetworkOpenInformation
                | FileAttributeTagInformation
        );
        if needs_right {
            subject.check(FILE_READ_ATTRIBUTES, authority)?;
        }
        // Windows measures buffers against the C structure, its padding and first character included.
        let (bytes, minimum) = match class {
            FileBasicInformation => (basic(&self.facts(&subject)?), 40),
            FileStandardInformation => (self.standard(&subject)?, 24),
            FileInternalInformation => (Writer::default().u64(subject.node.0).finish(), 8),
            // No extended attributes, and no alignment.
            FileEaInformation | FileAlignmentInformation => (Writer::default().u32(0).finish(), 4),
            FileAccessInformation => (Writer::default().u32(subject.access).finish(), 4),
            FilePositionInformation => {
                let position = self.open(open)?.position;
                (Writer::default().u64(position).finish(), 8)
            }
            FileModeInformation => {
                let mode = self.open(open)?.options & MODE;
                (Writer::default().u32(mode).finish(), 4)
            }
            FileNameInformation | FileNormalizedNameInformation => (self.name(&subject)?, 8),
            FileAllInformation => (self.all(open, &subject)?, 104),
            FileNetworkOpenInformation => (network_open(&self.facts(&subject)?), 56),
            FileAttributeTagInformation => {
                let attributes = self.facts(&subject)?.attributes;
                (Writer::default().u32(attributes).u32(0).finish(), 8)
            }
            FileIdInformation => {
                let id = Writer::default()
                    .u64(SERIAL_NUMBER.into())
                    .u64(subject.node.0);
                (id.u64(0).finish(), 24)
            }
            FileIsRemoteDeviceInformation => {
                let remote = self.personality.filesystem_type == FLT_FSTYPE_LANMAN;
                (Writer::default().u8(remote.into()).finish(), 1)
            }
            FileStreamInformation => return self.streams(&subject, buffer),
            _ => return Err(STATUS_INVALID_INFO_CLASS),
        };
        deliver(&bytes, minimum, buffer)
    }

    /// The facts about a stream, as its open sees them.
    pub(super) fn facts(&self, subject: &Subject) -> Result<Facts, NTSTATUS> {
        let metadata = if subject.removed {
            // The storage has forgotten the node; what is still open has no history.
            Metadata {
                kind: subject.kind,
                times: Times::default(),
                attributes: 0,
                allocation: 0,
            }
        } else {
            self.storage.metadata(subject.node)?
        };
        let end_of_file = self.stream_len(subject)?;
        let whole = metadata.allocation >= end_of_file && subject.name.is_empty();
        Ok(Facts {
            metadata,
            attributes: Self::attributes(&metadata),
            end_of_file,
            allocation: match subject.kind {
                NodeKind::Directory if subject.directory => 0,
                _ if whole => metadata.allocation,
                _ => end_of_file.next_multiple_of(self.personality.sector_size.into()),
            },
        })
    }

    /// `FILE_NETWORK_OPEN_INFORMATION` as a value.
    pub(super) fn network_open(
        &self,
        subject: &Subject,
    ) -> Result<FILE_NETWORK_OPEN_INFORMATION, NTSTATUS> {
        let facts = self.facts(subject)?;
        let times = facts.metadata.times;
        let large = |value| LARGE_INTEGER { QuadPart: value };
        Ok(FILE_NETWORK_OPEN_INFORMATION {
            CreationTime: large(times.creation),
            LastAccessTime: large(times.last_access),
            LastWriteTime: large(times.last_write),
            ChangeTime: large(times.change),
            AllocationSize: large(signed(facts.allocation)),
            EndOfFile: large(signed(facts.end_of_file)),
            FileAttributes: facts.attributes,
        })
    }

    fn standard(&self, subject: &Subject) -> Result<Vec<u8>, NTSTATUS> {
        let facts = self.facts(subject)?;
        let file = self.file(subject.file)?;
        let stream = self.stream(subject.stream)?;
        let pending = file.delete_pending.is_some() || stream.delete_pending.is_some();
        let links = u32::from(!pending && !subject.removed);
        Ok(Writer::default()
            .u64(facts.allocation)
            .u64(facts.end_of_file)
            .u32(links)
            .u8((pending || subject.removed).into())
            .u8(subject.directory.into())
            .pad_to(24)
            .finish())
    }

    fn name(&self, subject: &Subject) -> Result<Vec<u8>, NTSTATUS> {
        let name = utf16(&self.name_of(subject)?);
        Ok(Writer::default().u32(len32(&name)).bytes(&name).finish())
    }

    fn all(&self, open: OpenId, subject: &Subject) -> Result<Vec<u8>, NTSTATUS> {
        let state = self.open(open)?;
        Ok(Writer::default()
            .bytes(&basic(&self.facts(subject)?))
            .bytes(&self.standard(subject)?)
            .u64(subject.node.0)
            .u32(0)
            .u32(subject.access)
            .u64(state.position)
            .u32(state.options & MODE)
            .u32(0)
            .bytes(&self.name(subject)?)
            .finish())
    }

    /// One entry a stream; only whole entries are given.
    fn streams(&self, subject: &Subject, buffer: &mut [u8]) -> Result<usize, NTSTATUS> {
        if buffer.len() < 32 {
            return Err(STATUS_INFO_LENGTH_MISMATCH);
        }
        let streams = if subject.removed {
            Vec::new()
        } else {
            self.visible_streams(subject.node, subject.transaction)?
        };
        let metadata = self.facts(subject)?.metadata;
        let mut used = 0;
        let mut last = None;
        for (name, len) in streams {
            let sector = u64::from(self.personality.sector_size);
            let allocation = if name.is_empty() {
                metadata.allocation.max(len)
            } else {
                len.next_multiple_of(sector)
            };
            let name = utf16(&format!(":{name}:$DATA"));
            let entry = Writer::default()
                .u32(0)
                .u32(len32(&name))
                .u64(len)
                .u64(allocation)
                .bytes(&name)
                .finish();
            let start = usize::next_multiple_of(used, 8);
            if buffer.len() < start + entry.len() {
                return Err(STATUS_BUFFER_OVERFLOW);
            }
            buffer[used..start].fill(0);
            buffer[start..start + entry.len()].copy_from_slice(&entry);
            link(buffer, last, start);
            last = Some(start);
            used = start + entry.len();
        }
        Ok(used)
    }
}

/// Points the entry before to this one.
pub(super) fn link(buffer: &mut [u8], last: Option<usize>, start: usize) {
    if let Some(last) = last {
        let distance = u32::try_from(start - last).unwrap_or(0);
        buffer[last..last + 4].copy_from_slice(&distance.to_le_bytes());
    }
}

fn basic(facts: &Facts) -> Vec<u8> {
    write_times(Writer::default(), &facts.metadata.times)
        .u32(facts.attributes)
        .pad_to(40)
        .finish()
}

fn network_open(facts: &Facts) -> Vec<u8> {
    write_times(Writer::default(), &facts.metadata.times)
        .u64(facts.allocation)
        .u64(facts.end_of_file)
        .u32(facts.attributes)
        .pad_to(56)
        .finish()
}

/// The four times in the order that every structure has them.
pub(super) fn write_times(writer: Writer, times: &Times) -> Writer {
    writer
        .i64(times.creation)
        .i64(times.last_access)
        .i64(times.last_write)
        .i64(times.change)
}
