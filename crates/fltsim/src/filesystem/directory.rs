//! Listing a directory.

use super::information::{link, write_times};
use super::layout::{Writer, len32, utf16};
use super::locked::{Locked, Subject};
use super::transaction::Sight;
use super::wildcard;
use super::{Authority, OpenId};
use crate::storage::{Entry, Metadata, NodeId, NodeKind, fold};
use fltmgr_sys::{
    FILE_INFORMATION_CLASS, FILE_LIST_DIRECTORY, FileBothDirectoryInformation,
    FileDirectoryInformation, FileFullDirectoryInformation, FileIdBothDirectoryInformation,
    FileIdExtdDirectoryInformation, FileIdFullDirectoryInformation, FileNamesInformation, NTSTATUS,
    STATUS_BUFFER_OVERFLOW, STATUS_DELETE_PENDING, STATUS_INFO_LENGTH_MISMATCH,
    STATUS_INVALID_INFO_CLASS, STATUS_INVALID_PARAMETER, STATUS_NO_MORE_FILES, STATUS_NO_SUCH_FILE,
};

/// How far a listing has come.
#[derive(Clone, Debug)]
pub(super) struct Enumeration {
    /// Fixed by the first query.
    pattern: String,
    /// The last entry that was given; the next one comes after it, whatever came and went since.
    last: Option<Key>,
    /// Something was given since the listing began.
    found: bool,
}

/// The order of entries: the dots first, then by name.
type Key = (u8, String, String);

/// What a listing is asked for.
pub(super) struct DirectoryQuery<'a> {
    pub(super) class: FILE_INFORMATION_CLASS,
    pub(super) pattern: Option<&'a str>,
    pub(super) restart: bool,
    pub(super) single: bool,
}

/// What goes into an entry.
struct Item {
    key: Key,
    name: String,
    node: NodeId,
    /// The node whose contents the facts are about.
    metadata: Metadata,
    end_of_file: u64,
}

impl Locked<'_> {
    pub(super) fn query_directory(
        &mut self,
        open: OpenId,
        query: &DirectoryQuery<'_>,
        buffer: &mut [u8],
        authority: Authority,
    ) -> Result<usize, NTSTATUS> {
        let subject = self.usable(open)?;
        if !subject.directory {
            return Err(STATUS_INVALID_PARAMETER);
        }
        subject.check(FILE_LIST_DIRECTORY, authority)?;
        let fixed = fixed_part(query.class)?;
        if buffer.len() < fixed.next_multiple_of(8) {
            return Err(STATUS_INFO_LENGTH_MISMATCH);
        }
        if subject.removed {
            return Err(STATUS_DELETE_PENDING);
        }
        let mut enumeration = match self.open(open)?.enumeration.clone() {
            Some(known) => known,
            None => Enumeration {
                pattern: query.pattern.unwrap_or("*").to_owned(),
                last: None,
                found: false,
            },
        };
        if query.restart {
            enumeration.last = None;
            enumeration.found = false;
            // As on NTFS, a restart may bring another pattern.
            if let Some(pattern) = query.pattern {
                pattern.clone_into(&mut enumeration.pattern);
            }
        }
        let items = self.items(&subject, &enumeration)?;
        let result = fill(items, query, fixed, buffer, &mut enumeration);
        let result = match result {
            Ok(0) if enumeration.found => Err(STATUS_NO_MORE_FILES),
            Ok(0) => Err(STATUS_NO_SUCH_FILE),
            Ok(used) => {
                enumeration.found = true;
                Ok(used)
            }
            Err(status) => Err(status),
        };
        self.open_mut(open)?.enumeration = Some(enumeration);
        result
    }

    /// The entries that are still to come and fit the pattern.
    fn items(&self, subject: &Subject, listing: &Enumeration) -> Result<Vec<Item>, NTSTATUS> {
        let case_sensitive = self.personality.case_sensitive;
        let mut candidates: Vec<(Key, Entry)> = Vec::new();
        // The root has neither itself nor a parent in its listing.
        if let Some(location) = self.storage.location(subject.node)? {
            for (order, name, node) in [(0, ".", subject.node), (1, "..", location.parent)] {
                let entry = Entry {
                    name: name.to_owned(),
                    node,
                    kind: NodeKind::Directory,
                };
                candidates.push(((order, String::new(), String::new()), entry));
            }
        }
        for entry in self.storage.entries(subject.node)? {
            let sight = self
                .state
                .transactions
                .sight(entry.node, subject.transaction);
            if sight == Sight::Visible {
                let folded = if case_sensitive {
                    String::new()
                } else {
                    fold(&entry.name)
                };
                candidates.push(((2, folded, entry.name.clone()), entry));
            }
        }
        candidates.retain(|(key, entry)| {
            listing.last.as_ref().is_none_or(|last| key > last)
                && wildcard::matches(&listing.pattern, &entry.name, case_sensitive)
        });
        candidates.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut items = Vec::with_capacity(candidates.len());
        for (key, entry) in candidates {
            // What vanished between the listing and now is simply not there.
            let Ok(metadata) = self.storage.metadata(entry.node) else {
                continue;
            };
            let end_of_file = match entry.kind {
                NodeKind::Directory => 0,
                NodeKind::File => self
                    .visible_streams(entry.node, subject.transaction)?
                    .first()
                    .map_or(0, |(_, len)| *len),
            };
            items.push(Item {
                key,
                name: entry.name,
                node: entry.node,
                metadata,
                end_of_file,
            });
        }
        Ok(items)
    }
}

/// Puts as many entries into the buffer as fit, at least one.
fn fill(
    items: Vec<Item>,
    query: &DirectoryQuery<'_>,
    fixed: usize,
    buffer: &mut [u8],
    enumeration: &mut Enumeration,
) -> Result<usize, NTSTATUS> {
    let mut used: usize = 0;
    let mut last = None;
    for item in items {
        let bytes = entry(query.class, fixed, &item);
        let start = used.next_multiple_of(8);
        if buffer.len() < start + bytes.len() {
            if used > 0 {
                break;
            }
            // The first one is given as far as it goes, and counts as given.
            let count = buffer.len();
            buffer.copy_from_slice(&bytes[..count]);
            enumeration.last = Some(item.key);
            enumeration.found = true;
            return Err(STATUS_BUFFER_OVERFLOW);
        }
        buffer[used..start].fill(0);
        buffer[start..start + bytes.len()].copy_from_slice(&bytes);
        link(buffer, last, start);
        last = Some(start);
        used = start + bytes.len();
        enumeration.last = Some(item.key);
        if query.single {
            break;
        }
    }
    Ok(used)
}

/// Where the name begins in an entry.
fn fixed_part(class: FILE_INFORMATION_CLASS) -> Result<usize, NTSTATUS> {
    Ok(match class {
        FileNamesInformation => 12,
        FileDirectoryInformation => 64,
        FileFullDirectoryInformation => 68,
        FileIdFullDirectoryInformation => 80,
        FileIdExtdDirectoryInformation => 88,
        FileBothDirectoryInformation => 94,
        FileIdBothDirectoryInformation => 104,
        _ => return Err(STATUS_INVALID_INFO_CLASS),
    })
}

fn entry(class: FILE_INFORMATION_CLASS, fixed: usize, item: &Item) -> Vec<u8> {
    let name = utf16(&item.name);
    // Next entry and file index, both filled in later or never.
    let writer = Writer::default().u32(0).u32(0);
    if class == FileNamesInformation {
        return writer.u32(len32(&name)).bytes(&name).finish();
    }
    let writer = write_times(writer, &item.metadata.times)
        .u64(item.end_of_file)
        .u64(match item.metadata.kind {
            NodeKind::File => item.metadata.allocation.max(item.end_of_file),
            NodeKind::Directory => 0,
        })
        .u32(Locked::attributes(&item.metadata))
        .u32(len32(&name));
    // Extended attributes and short names do not exist here, so both lengths are zero.
    let writer = match class {
        FileIdFullDirectoryInformation => writer.pad_to(72).u64(item.node.0),
        FileIdExtdDirectoryInformation => writer.pad_to(72).u64(item.node.0).u64(0),
        FileIdBothDirectoryInformation => writer.pad_to(96).u64(item.node.0),
        _ => writer,
    };
    writer.pad_to(fixed).bytes(&name).finish()
}
