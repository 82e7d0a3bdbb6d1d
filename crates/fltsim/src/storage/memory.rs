//! A storage that lives and dies with the process.

use super::{
    Capacity, Entry, Location, Metadata, NodeId, NodeKind, Storage, Times, check_name, fold,
};
use fltmgr_sys::{
    NTSTATUS, STATUS_CANNOT_DELETE, STATUS_DIRECTORY_NOT_EMPTY, STATUS_DISK_FULL,
    STATUS_INVALID_PARAMETER, STATUS_NOT_A_DIRECTORY, STATUS_OBJECT_NAME_COLLISION,
    STATUS_OBJECT_NAME_NOT_FOUND,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The unit in which space is reported as taken.
const CLUSTER: u64 = 4096;

/// What a storage may hold unless it was told otherwise: large enough for any test, small enough
/// that a filter that writes at a wild offset meets `STATUS_DISK_FULL` and not the host's limits.
const DEFAULT_CAPACITY: u64 = 1 << 30;

/// Everything in memory.
#[derive(Debug)]
pub struct MemoryStorage {
    tree: Mutex<Tree>,
}

#[derive(Debug)]
struct Tree {
    nodes: HashMap<NodeId, Node>,
    next: u64,
    used: u64,
    capacity: u64,
}

#[derive(Debug)]
struct Node {
    kind: NodeKind,
    location: Option<Location>,
    children: BTreeMap<String, NodeId>,
    streams: BTreeMap<String, Vec<u8>>,
    attributes: u32,
    times: Times,
}

const ROOT: NodeId = NodeId(5);

impl Default for MemoryStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStorage {
    /// An empty root directory, and room for a gibibyte.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(DEFAULT_CAPACITY)
    }

    /// An empty root directory, and room for so many bytes of data.
    #[must_use]
    pub fn with_capacity(bytes: u64) -> Self {
        let root = Node::new(NodeKind::Directory, None);
        Self {
            tree: Mutex::new(Tree {
                nodes: HashMap::from([(ROOT, root)]),
                next: 32,
                used: 0,
                capacity: bytes,
            }),
        }
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    fn new(kind: NodeKind, location: Option<Location>) -> Self {
        let mut streams = BTreeMap::new();
        if kind == NodeKind::File {
            streams.insert(String::new(), Vec::new());
        }
        Self {
            kind,
            location,
            children: BTreeMap::new(),
            streams,
            attributes: 0,
            times: Times::now(),
        }
    }

    fn touch(&mut self) {
        let now = Times::now();
        self.times.last_write = now.last_write;
        self.times.change = now.change;
    }

    fn size(&self) -> u64 {
        self.streams.values().map(|data| length(data)).sum()
    }
}

impl Tree {
    fn node(&self, node: NodeId) -> Result<&Node, NTSTATUS> {
        self.nodes.get(&node).ok_or(STATUS_OBJECT_NAME_NOT_FOUND)
    }

    fn node_mut(&mut self, node: NodeId) -> Result<&mut Node, NTSTATUS> {
        self.nodes
            .get_mut(&node)
            .ok_or(STATUS_OBJECT_NAME_NOT_FOUND)
    }

    fn directory(&mut self, node: NodeId) -> Result<&mut Node, NTSTATUS> {
        let node = self.node_mut(node)?;
        match node.kind {
            NodeKind::Directory => Ok(node),
            NodeKind::File => Err(STATUS_NOT_A_DIRECTORY),
        }
    }

    fn stream(&self, node: NodeId, stream: &str) -> Result<&Vec<u8>, NTSTATUS> {
        let node = self.node(node)?;
        node.streams.get(stream).ok_or(STATUS_OBJECT_NAME_NOT_FOUND)
    }

    /// The stream with exactly `len` bytes, the space accounted for.
    fn resized(&mut self, node: NodeId, stream: &str, len: u64) -> Result<&mut Vec<u8>, NTSTATUS> {
        let old = length(self.stream(node, stream)?);
        let used = (self.used - old)
            .checked_add(len)
            .filter(|used| *used <= self.capacity)
            .ok_or(STATUS_DISK_FULL)?;
        let wanted = usize::try_from(len).map_err(|_| STATUS_DISK_FULL)?;
        self.used = used;
        let node = self.node_mut(node)?;
        node.touch();
        let data = node
            .streams
            .get_mut(stream)
            .ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
        data.resize(wanted, 0);
        Ok(data)
    }

    fn remove(&mut self, node: NodeId) -> Result<(), NTSTATUS> {
        let found = self.node(node)?;
        let location = found.location.clone().ok_or(STATUS_CANNOT_DELETE)?;
        if !found.children.is_empty() {
            return Err(STATUS_DIRECTORY_NOT_EMPTY);
        }
        self.used -= found.size();
        self.nodes.remove(&node);
        let parent = self.directory(location.parent)?;
        parent.children.remove(&location.name);
        parent.touch();
        Ok(())
    }

    fn is_inside(&self, mut node: NodeId, ancestor: NodeId) -> Result<bool, NTSTATUS> {
        while node != ancestor {
            match &self.node(node)?.location {
                Some(location) => node = location.parent,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

impl Storage for MemoryStorage {
    fn root(&self) -> NodeId {
        ROOT
    }

    fn lookup(&self, parent: NodeId, name: &str, case_sensitive: bool) -> Result<Entry, NTSTATUS> {
        let mut tree = self.tree();
        let children = &tree.directory(parent)?.children;
        let found = children.get_key_value(name).or_else(|| {
            let folded = (!case_sensitive).then(|| fold(name))?;
            children.iter().find(|(name, _)| fold(name) == folded)
        });
        let (name, node) = found
            .map(|(name, node)| (name.clone(), *node))
            .ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
        let kind = tree.node(node)?.kind;
        Ok(Entry { name, node, kind })
    }

    fn location(&self, node: NodeId) -> Result<Option<Location>, NTSTATUS> {
        Ok(self.tree().node(node)?.location.clone())
    }

    fn create(&self, parent: NodeId, name: &str, kind: NodeKind) -> Result<NodeId, NTSTATUS> {
        check_name(name)?;
        let mut tree = self.tree();
        if tree.directory(parent)?.children.contains_key(name) {
            return Err(STATUS_OBJECT_NAME_COLLISION);
        }
        let node = NodeId(tree.next);
        tree.next += 1;
        let name = name.to_owned();
        let directory = tree.directory(parent)?;
        directory.children.insert(name.clone(), node);
        directory.touch();
        let location = Some(Location { parent, name });
        tree.nodes.insert(node, Node::new(kind, location));
        Ok(node)
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata, NTSTATUS> {
        let tree = self.tree();
        let node = tree.node(node)?;
        let default = node.streams.get("").map_or(0, |data| length(data));
        Ok(Metadata {
            kind: node.kind,
            times: node.times,
            attributes: node.attributes,
            allocation: default.next_multiple_of(CLUSTER),
        })
    }

    fn set_attributes(&self, node: NodeId, attributes: u32) -> Result<(), NTSTATUS> {
        self.tree().node_mut(node)?.attributes = attributes;
        Ok(())
    }

    fn set_times(&self, node: NodeId, times: &Times) -> Result<(), NTSTATUS> {
        self.tree().node_mut(node)?.times = *times;
        Ok(())
    }

    fn streams(&self, node: NodeId) -> Result<Vec<(String, u64)>, NTSTATUS> {
        let tree = self.tree();
        let streams = tree.node(node)?.streams.iter();
        Ok(streams
            .map(|(name, data)| (name.clone(), length(data)))
            .collect())
    }

    fn create_stream(&self, node: NodeId, stream: &str) -> Result<(), NTSTATUS> {
        let mut tree = self.tree();
        let node = tree.node_mut(node)?;
        if node.streams.contains_key(stream) {
            return Err(STATUS_OBJECT_NAME_COLLISION);
        }
        if stream.is_empty() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        node.streams.insert(stream.to_owned(), Vec::new());
        node.touch();
        Ok(())
    }

    fn remove_stream(&self, node: NodeId, stream: &str) -> Result<(), NTSTATUS> {
        if stream.is_empty() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let mut tree = self.tree();
        let found = tree.node_mut(node)?;
        let data = found
            .streams
            .remove(stream)
            .ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
        found.touch();
        tree.used -= length(&data);
        Ok(())
    }

    fn read(
        &self,
        node: NodeId,
        stream: &str,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, NTSTATUS> {
        let tree = self.tree();
        Ok(copy_from(tree.stream(node, stream)?, offset, buffer))
    }

    fn write(
        &self,
        node: NodeId,
        stream: &str,
        offset: u64,
        data: &[u8],
    ) -> Result<usize, NTSTATUS> {
        let mut tree = self.tree();
        let old = length(tree.stream(node, stream)?);
        let end = offset.checked_add(length(data)).ok_or(STATUS_DISK_FULL)?;
        let stream = tree.resized(node, stream, old.max(end))?;
        let start = usize::try_from(offset).map_err(|_| STATUS_DISK_FULL)?;
        stream[start..start + data.len()].copy_from_slice(data);
        Ok(data.len())
    }

    fn stream_len(&self, node: NodeId, stream: &str) -> Result<u64, NTSTATUS> {
        Ok(length(self.tree().stream(node, stream)?))
    }

    fn set_len(&self, node: NodeId, stream: &str, len: u64) -> Result<(), NTSTATUS> {
        self.tree().resized(node, stream, len).map(|_| ())
    }

    fn entries(&self, directory: NodeId) -> Result<Vec<Entry>, NTSTATUS> {
        let mut tree = self.tree();
        let children = tree.directory(directory)?.children.clone();
        let mut entries = Vec::with_capacity(children.len());
        for (name, node) in children {
            let kind = tree.node(node)?.kind;
            entries.push(Entry { name, node, kind });
        }
        Ok(entries)
    }

    fn rename(
        &self,
        node: NodeId,
        new_parent: NodeId,
        new_name: &str,
        replace: bool,
    ) -> Result<(), NTSTATUS> {
        check_name(new_name)?;
        let mut tree = self.tree();
        let old = tree.node(node)?.location.clone();
        let old = old.ok_or(STATUS_INVALID_PARAMETER)?;
        if tree.is_inside(new_parent, node)? {
            return Err(STATUS_INVALID_PARAMETER);
        }
        match tree.directory(new_parent)?.children.get(new_name).copied() {
            Some(same) if same == node => return Ok(()),
            Some(other) if replace => tree.remove(other)?,
            Some(_) => return Err(STATUS_OBJECT_NAME_COLLISION),
            None => {}
        }
        let source = tree.directory(old.parent)?;
        source.children.remove(&old.name);
        source.touch();
        let target = tree.directory(new_parent)?;
        target.children.insert(new_name.to_owned(), node);
        target.touch();
        let moved = tree.node_mut(node)?;
        moved.location = Some(Location {
            parent: new_parent,
            name: new_name.to_owned(),
        });
        moved.times.change = Times::now().change;
        Ok(())
    }

    fn remove(&self, node: NodeId) -> Result<(), NTSTATUS> {
        self.tree().remove(node)
    }

    fn flush(&self, node: NodeId) -> Result<(), NTSTATUS> {
        self.tree().node(node).map(|_| ())
    }

    fn capacity(&self) -> Result<Capacity, NTSTATUS> {
        let tree = self.tree();
        Ok(Capacity {
            total: tree.capacity,
            free: tree.capacity - tree.used,
        })
    }
}

/// The length of something in memory.
pub(super) fn length(data: &[u8]) -> u64 {
    data.len() as u64
}

/// Copies what lies at `offset`, as much as there is and fits.
pub(super) fn copy_from(data: &[u8], offset: u64, buffer: &mut [u8]) -> usize {
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|offset| data.get(offset..))
        .unwrap_or_default();
    let count = rest.len().min(buffer.len());
    buffer[..count].copy_from_slice(&rest[..count]);
    count
}
