//! The file system with its lock held, and the steps that several operations share.

use super::ccb::Open;
use super::constants::STATUS_TRANSACTIONS_UNSUPPORTED_REMOTE;
use super::fcb::{File, Stream, Table};
use super::teardown::Teardown;
use super::transaction::{Sight, Transactions};
use super::{Authority, FileId, OpenId, Personality, StreamId, TransactionId};
use crate::kernel::byte_range::Ended;
use crate::storage::{Metadata, NodeId, NodeKind, Storage, fold};
use fltmgr_sys::{
    FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_NORMAL, FLT_FSTYPE_LANMAN, NTSTATUS,
    STATUS_ACCESS_DENIED, STATUS_DISK_FULL, STATUS_FILE_CLOSED, STATUS_INVALID_HANDLE,
    STATUS_NOT_SUPPORTED, STATUS_OBJECT_NAME_NOT_FOUND, STATUS_VOLUME_DISMOUNTED,
};
use std::collections::HashMap;
use std::sync::MutexGuard;

/// The longest stream that is kept in memory: a transaction's, or a deleted file's.
const MAX_SHADOW: u64 = 1 << 28;

/// Everything about a volume that changes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) mounted: bool,
    pub(super) table: Table,
    pub(super) opens: HashMap<OpenId, Open>,
    pub(super) transactions: Transactions,
    pub(super) teardown: Teardown,
    pub(super) last_open: u64,
    /// Numbers the temporary names of files that were moved aside.
    pub(super) last_aside: u64,
    /// The label of the volume, in UTF-16.
    pub(super) label: Vec<u8>,
    /// Who has waited for a lock and is to be told, once the lock of the file system is let go.
    pub(super) ended: Ended,
}

/// The file system with its lock held.
pub(super) struct Locked<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) personality: &'a Personality,
    pub(super) state: MutexGuard<'a, State>,
}

/// Which stream an open is about, on behalf of whom.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) file: FileId,
    pub(super) stream: StreamId,
    pub(super) node: NodeId,
    pub(super) kind: NodeKind,
    /// The name of the stream.
    pub(super) name: String,
    pub(super) transaction: Option<TransactionId>,
    pub(super) access: u32,
    pub(super) directory: bool,
    /// The file has no place on the volume any more.
    pub(super) removed: bool,
}

impl Locked<'_> {
    /// Lets the lock go, and tells those who have waited for byte-range locks.
    pub(super) fn tell(mut self) {
        let ended = std::mem::take(&mut self.state.ended);
        drop(self);
        ended.tell();
    }

    /// Whether two names are one.
    pub(super) fn same_name(&self, one: &str, other: &str) -> bool {
        if self.personality.case_sensitive {
            one == other
        } else {
            fold(one) == fold(other)
        }
    }

    pub(super) fn open(&self, open: OpenId) -> Result<&Open, NTSTATUS> {
        self.state.opens.get(&open).ok_or(STATUS_INVALID_HANDLE)
    }

    pub(super) fn open_mut(&mut self, open: OpenId) -> Result<&mut Open, NTSTATUS> {
        self.state.opens.get_mut(&open).ok_or(STATUS_INVALID_HANDLE)
    }

    pub(super) fn file(&self, file: FileId) -> Result<&File, NTSTATUS> {
        self.state.table.file(file).ok_or(STATUS_FILE_CLOSED)
    }

    pub(super) fn stream(&self, stream: StreamId) -> Result<&Stream, NTSTATUS> {
        self.state.table.stream(stream).ok_or(STATUS_FILE_CLOSED)
    }

    /// What an open is about, without asking whether anything may still be done with it.
    pub(super) fn subject(&self, open: OpenId) -> Result<Subject, NTSTATUS> {
        let open = self.open(open)?;
        let file = self.file(open.file)?;
        Ok(Subject {
            file: open.file,
            stream: open.stream,
            node: file.node,
            kind: file.kind,
            name: self.stream(open.stream)?.name.clone(),
            transaction: open.transaction,
            access: open.access,
            directory: open.directory,
            removed: file.removed.is_some(),
        })
    }

    /// What an open is about, if the volume is there and its transaction has not ended.
    pub(super) fn usable(&self, open: OpenId) -> Result<Subject, NTSTATUS> {
        if !self.state.mounted {
            return Err(STATUS_VOLUME_DISMOUNTED);
        }
        let subject = self.subject(open)?;
        self.state.transactions.check_open(subject.transaction)?;
        Ok(subject)
    }

    /// Whether a transaction can be had at all.
    pub(super) fn check_transactions(&self) -> Result<(), NTSTATUS> {
        if self.personality.transactions {
            Ok(())
        } else if self.personality.filesystem_type == FLT_FSTYPE_LANMAN {
            Err(STATUS_TRANSACTIONS_UNSUPPORTED_REMOTE)
        } else {
            Err(STATUS_NOT_SUPPORTED)
        }
    }

    /// The path of a node as it is stored.
    pub(super) fn path_of(&self, node: NodeId) -> Result<String, NTSTATUS> {
        let mut names = Vec::new();
        let mut at = node;
        while let Some(location) = self.storage.location(at)? {
            names.push(location.name);
            at = location.parent;
        }
        names.reverse();
        Ok(format!("\\{}", names.join("\\")))
    }

    /// The full name of what an open is about.
    pub(super) fn name_of(&self, subject: &Subject) -> Result<String, NTSTATUS> {
        let mut name = match &self.file(subject.file)?.removed {
            Some(path) => path.clone(),
            None => self.path_of(subject.node)?,
        };
        if !subject.name.is_empty() {
            name.push(':');
            name.push_str(&subject.name);
        }
        Ok(name)
    }

    /// The data streams of a node that someone can see, with the lengths that he sees.
    pub(super) fn visible_streams(
        &self,
        node: NodeId,
        viewer: Option<TransactionId>,
    ) -> Result<Vec<(String, u64)>, NTSTATUS> {
        let mut visible = Vec::new();
        for (name, len) in self.storage.streams(node)? {
            let key = (node, name);
            if self.state.transactions.stream_sight(&key, viewer) == Sight::Visible {
                let len = self
                    .shadow(&key, viewer)
                    .map_or(len, |data| data.len() as u64);
                visible.push((key.1, len));
            }
        }
        Ok(visible)
    }

    /// Whether a directory looks empty to someone.
    pub(super) fn looks_empty(
        &self,
        node: NodeId,
        viewer: Option<TransactionId>,
    ) -> Result<bool, NTSTATUS> {
        let entries = self.storage.entries(node)?;
        // What another transaction hides still takes its place.
        let gone = |node| {
            matches!(
                self.state.transactions.sight(node, viewer),
                Sight::DeletedHere | Sight::Aside
            )
        };
        Ok(entries.iter().all(|entry| gone(entry.node)))
    }

    /// Attributes as they are reported.
    pub(super) fn attributes(metadata: &Metadata) -> u32 {
        let directory = match metadata.kind {
            NodeKind::Directory => FILE_ATTRIBUTE_DIRECTORY,
            NodeKind::File => 0,
        };
        match metadata.attributes | directory {
            0 => FILE_ATTRIBUTE_NORMAL,
            attributes => attributes,
        }
    }

    fn shadow(&self, key: &(NodeId, String), viewer: Option<TransactionId>) -> Option<&Vec<u8>> {
        let transaction = self.state.transactions.get(viewer?)?;
        transaction.shadows.get(key)
    }

    /// The length of a stream, as its open sees it.
    pub(super) fn stream_len(&self, subject: &Subject) -> Result<u64, NTSTATUS> {
        if subject.directory {
            return Ok(0);
        }
        if let Some(orphan) = &self.stream(subject.stream)?.orphan {
            return Ok(orphan.len() as u64);
        }
        let key = (subject.node, subject.name.clone());
        match self.shadow(&key, subject.transaction) {
            Some(data) => Ok(data.len() as u64),
            None => self.storage.stream_len(subject.node, &subject.name),
        }
    }

    /// Reads a stream, as its open sees it.
    pub(super) fn read_stream(
        &self,
        subject: &Subject,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, NTSTATUS> {
        let key = (subject.node, subject.name.clone());
        let orphan = self.stream(subject.stream)?.orphan.as_ref();
        let Some(data) = orphan.or_else(|| self.shadow(&key, subject.transaction)) else {
            return self
                .storage
                .read(subject.node, &subject.name, offset, buffer);
        };
        let start = usize::try_from(offset).ok();
        let rest = start.and_then(|at| data.get(at..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    /// Writes a stream where its open sees it.
    pub(super) fn write_stream(
        &mut self,
        subject: &Subject,
        offset: u64,
        data: &[u8],
    ) -> Result<(), NTSTATUS> {
        let end = offset
            .checked_add(data.len() as u64)
            .ok_or(STATUS_DISK_FULL)?;
        match self.private_data(subject)? {
            None => {
                let (node, name) = (subject.node, &subject.name);
                self.storage.write(node, name, offset, data).map(|_| ())
            }
            Some(private) => {
                let len = end.max(private.len() as u64);
                resize(private, len)?;
                // What was just resized fits.
                let start = usize::try_from(offset).map_err(|_| STATUS_DISK_FULL)?;
                private[start..start + data.len()].copy_from_slice(data);
                Ok(())
            }
        }
    }

    /// Cuts or extends a stream where its open sees it.
    pub(super) fn set_stream_len(&mut self, subject: &Subject, len: u64) -> Result<(), NTSTATUS> {
        match self.private_data(subject)? {
            None => self.storage.set_len(subject.node, &subject.name, len),
            Some(private) => resize(private, len),
        }
    }

    /// The copy of a stream that an open modifies instead of the storage, if it does.
    fn private_data(&mut self, subject: &Subject) -> Result<Option<&mut Vec<u8>>, NTSTATUS> {
        if self.stream(subject.stream)?.orphan.is_some() {
            let stream = self.state.table.stream_mut(subject.stream);
            return Ok(stream.and_then(|stream| stream.orphan.as_mut()));
        }
        let Some(id) = subject.transaction else {
            return Ok(None);
        };
        let key = (subject.node, subject.name.clone());
        if self.shadow(&key, Some(id)).is_none() {
            let copy = self.whole_stream(subject.node, &subject.name)?;
            let transaction = self.state.transactions.get_mut(id)?;
            transaction.shadows.insert(key.clone(), copy);
        }
        Ok(self.state.transactions.get_mut(id)?.shadows.get_mut(&key))
    }

    /// All of a stream, from the storage.
    fn whole_stream(&self, node: NodeId, stream: &str) -> Result<Vec<u8>, NTSTATUS> {
        let len = self.storage.stream_len(node, stream)?;
        let mut data = Vec::new();
        resize(&mut data, len)?;
        let count = self.storage.read(node, stream, 0, &mut data)?;
        data.truncate(count);
        Ok(data)
    }

    /// Removes a node from the volume. Whoever has it open keeps what he sees.
    pub(super) fn remove_node_now(&mut self, node: NodeId) -> Result<(), NTSTATUS> {
        let Some(file) = self.state.table.file_of(node) else {
            self.storage.remove(node)?;
            self.state.table.set_descriptor(node, None);
            return Ok(());
        };
        let path = self.path_of(node)?;
        let mut orphans = Vec::new();
        for id in &self.file(file)?.streams {
            let stream = self.stream(*id)?;
            let directory = stream.name.is_empty() && self.file(file)?.kind == NodeKind::Directory;
            if stream.orphan.is_none() {
                let data = if stream.handles == 0 || directory {
                    Vec::new()
                } else {
                    self.whole_stream(node, &stream.name)?
                };
                orphans.push((*id, data));
            }
        }
        self.storage.remove(node)?;
        for (id, data) in orphans {
            self.orphan(id, data);
        }
        self.state.table.detach(file, path);
        Ok(())
    }

    /// Removes a named stream from the volume. Whoever has it open keeps what he sees.
    pub(super) fn remove_stream_now(&mut self, node: NodeId, name: &str) -> Result<(), NTSTATUS> {
        let structure = self.state.table.stream_of(node, |other| other == name);
        let open = match structure {
            Some(id) => self.stream(id)?.handles != 0,
            None => false,
        };
        let data = if open {
            self.whole_stream(node, name)?
        } else {
            Vec::new()
        };
        self.storage.remove_stream(node, name)?;
        if let Some(id) = structure {
            self.orphan(id, data);
        }
        Ok(())
    }

    fn orphan(&mut self, stream: StreamId, data: Vec<u8>) {
        if let Some(stream) = self.state.table.stream_mut(stream) {
            stream.orphan = Some(data);
        }
    }

    /// Deletes a node for someone: at once, or with his transaction.
    pub(super) fn delete_node(
        &mut self,
        node: NodeId,
        transaction: Option<TransactionId>,
    ) -> Result<(), NTSTATUS> {
        match transaction {
            None => self.remove_node_now(node),
            Some(id) => {
                let transaction = self.state.transactions.get_mut(id)?;
                if !transaction.deleted.contains(&node) {
                    transaction.deleted.push(node);
                }
                Ok(())
            }
        }
    }

    /// Deletes a named stream for someone: at once, or with his transaction.
    pub(super) fn delete_stream(
        &mut self,
        node: NodeId,
        name: &str,
        transaction: Option<TransactionId>,
    ) -> Result<(), NTSTATUS> {
        match transaction {
            None => self.remove_stream_now(node, name),
            Some(id) => {
                let transaction = self.state.transactions.get_mut(id)?;
                transaction.deleted_streams.insert((node, name.to_owned()));
                Ok(())
            }
        }
    }
}

impl Subject {
    /// Whether the handle may do something; inside the kernel nobody asks.
    pub(super) fn check(&self, access: u32, authority: Authority) -> Result<(), NTSTATUS> {
        match authority {
            Authority::Handle if self.access & access == 0 => Err(STATUS_ACCESS_DENIED),
            _ => Ok(()),
        }
    }

    /// The node, if the file still has its place on the volume.
    pub(super) fn place(&self) -> Result<NodeId, NTSTATUS> {
        if self.removed {
            Err(STATUS_OBJECT_NAME_NOT_FOUND)
        } else {
            Ok(self.node)
        }
    }
}

fn resize(data: &mut Vec<u8>, len: u64) -> Result<(), NTSTATUS> {
    let wanted = usize::try_from(len).ok().filter(|_| len <= MAX_SHADOW);
    data.resize(wanted.ok_or(STATUS_DISK_FULL)?, 0);
    Ok(())
}
