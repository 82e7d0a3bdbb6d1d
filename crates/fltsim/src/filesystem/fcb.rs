//! The structures that the file system keeps per file and per stream while it knows them.

use super::share::ShareAccess;
use super::{FileId, Gone, StreamId, TransactionId};
use crate::kernel::byte_range::RangeLocks;
use crate::kernel::descriptor::Captured;
use crate::storage::{NodeId, NodeKind};
use std::collections::{BTreeMap, HashMap};

/// A deletion that waits for the last handle, and the transaction it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DeletePending {
    pub(super) transaction: Option<TransactionId>,
}

/// What is kept per file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) node: NodeId,
    pub(super) kind: NodeKind,
    pub(super) delete_pending: Option<DeletePending>,
    /// The file is gone; this was its path.
    pub(super) removed: Option<String>,
    pub(super) streams: Vec<StreamId>,
}

/// What is kept per stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) file: FileId,
    pub(super) name: String,
    pub(super) share: ShareAccess,
    pub(super) locks: RangeLocks,
    /// File objects that were not closed.
    pub(super) opens: usize,
    /// File objects that were not cleaned up.
    pub(super) handles: usize,
    pub(super) delete_pending: Option<DeletePending>,
    /// The data of a stream that is gone from the volume while it is still open.
    pub(super) orphan: Option<Vec<u8>>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Table {
    files: BTreeMap<FileId, File>,
    streams: BTreeMap<StreamId, Stream>,
    by_node: HashMap<NodeId, FileId>,
    /// The security of the files for which any was set; they need not be open for that.
    descriptors: HashMap<NodeId, Captured>,
    last: u64,
}

impl Table {
    pub(super) fn file(&self, file: FileId) -> Option<&File> {
        self.files.get(&file)
    }

    pub(super) fn file_mut(&mut self, file: FileId) -> Option<&mut File> {
        self.files.get_mut(&file)
    }

    pub(super) fn stream(&self, stream: StreamId) -> Option<&Stream> {
        self.streams.get(&stream)
    }

    pub(super) fn stream_mut(&mut self, stream: StreamId) -> Option<&mut Stream> {
        self.streams.get_mut(&stream)
    }

    pub(super) fn streams_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.streams.values_mut()
    }

    pub(super) fn files_mut(&mut self) -> impl Iterator<Item = &mut File> {
        self.files.values_mut()
    }

    /// The structure of a file that still has its place on the volume.
    pub(super) fn file_of(&self, node: NodeId) -> Option<FileId> {
        self.by_node.get(&node).copied()
    }

    /// The structure of a stream that still has its place on the volume.
    pub(super) fn stream_of(&self, node: NodeId, same: impl Fn(&str) -> bool) -> Option<StreamId> {
        let file = self.files.get(self.by_node.get(&node)?)?;
        file.streams.iter().copied().find(|stream| {
            let stream = &self.streams[stream];
            stream.orphan.is_none() && same(&stream.name)
        })
    }

    /// The structures of a stream, made now if there are none.
    pub(super) fn ensure(
        &mut self,
        node: NodeId,
        kind: NodeKind,
        name: &str,
        same: impl Fn(&str) -> bool,
    ) -> (FileId, StreamId) {
        let file = self.by_node.get(&node).copied().unwrap_or_else(|| {
            let id = FileId(self.next());
            let file = File {
                node,
                kind,
                delete_pending: None,
                removed: None,
                streams: Vec::new(),
            };
            self.files.insert(id, file);
            self.by_node.insert(node, id);
            id
        });
        let stream = self.stream_of(node, same).unwrap_or_else(|| {
            let id = StreamId(self.next());
            let stream = Stream {
                file,
                name: name.to_owned(),
                share: ShareAccess::default(),
                locks: RangeLocks::default(),
                opens: 0,
                handles: 0,
                delete_pending: None,
                orphan: None,
            };
            self.streams.insert(id, stream);
            if let Some(file) = self.files.get_mut(&file) {
                file.streams.push(id);
            }
            id
        });
        (file, stream)
    }

    /// Handles of any stream of a file.
    pub(super) fn handles(&self, file: FileId) -> usize {
        let streams = self.files.get(&file).map_or(&[][..], |file| &file.streams);
        streams
            .iter()
            .map(|stream| self.streams[stream].handles)
            .sum()
    }

    /// The file lost its place on the volume; its structures go on until they are torn down.
    pub(super) fn detach(&mut self, file: FileId, path: String) {
        if let Some(file) = self.files.get_mut(&file) {
            self.by_node.remove(&file.node);
            file.removed = Some(path);
        }
    }

    /// The security descriptor that was set for a file.
    pub(super) fn descriptor(&self, node: NodeId) -> Option<&Captured> {
        self.descriptors.get(&node)
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn descriptors(&self) -> usize {
        self.descriptors.len()
    }

    /// Sets it, or forgets it; gives the one before.
    pub(super) fn set_descriptor(
        &mut self,
        node: NodeId,
        descriptor: Option<Captured>,
    ) -> Option<Captured> {
        match descriptor {
            Some(descriptor) => self.descriptors.insert(node, descriptor),
            None => self.descriptors.remove(&node),
        }
    }

    /// The streams that nobody holds open, in the order of their age.
    pub(super) fn idle(&self) -> Vec<StreamId> {
        let streams = self.streams.iter();
        streams
            .filter(|(_, stream)| stream.opens == 0)
            .map(|(id, _)| *id)
            .collect()
    }

    /// Tears a stream down, and its file if it was the last one.
    pub(super) fn tear_down(&mut self, id: StreamId, gone: &mut Vec<Gone>) {
        let Some(stream) = self.streams.remove(&id) else {
            return;
        };
        gone.push(Gone::Stream(id));
        let Some(file) = self.files.get_mut(&stream.file) else {
            return;
        };
        file.streams.retain(|other| *other != id);
        if file.streams.is_empty() {
            if file.removed.is_none() {
                self.by_node.remove(&file.node);
            } else {
                self.descriptors.remove(&file.node);
            }
            self.files.remove(&stream.file);
            gone.push(Gone::File(stream.file));
        }
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}
