//! A storage that is a real directory of the host.
//!
//! What is read and written here is read and written there. Three things have no counterpart on
//! the host and live in memory beside the node, ending with the volume: named data streams,
//! attributes other than read-only, and creation and change times that were set.
//!
//! A node is known by its place in the tree. If another process replaces a file under the volume's
//! hands, the node goes on with the new file; two hard links are two nodes.

use super::memory::{copy_from, length};
use super::{
    Capacity, Entry, Location, Metadata, NodeId, NodeKind, Storage, Times, check_name, fold, ticks,
};
use fltmgr_sys::{
    FILE_ATTRIBUTE_READONLY, NTSTATUS, STATUS_ACCESS_DENIED, STATUS_CANNOT_DELETE,
    STATUS_DIRECTORY_NOT_EMPTY, STATUS_DISK_FULL, STATUS_FILE_IS_A_DIRECTORY,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER, STATUS_MEDIA_WRITE_PROTECTED,
    STATUS_NOT_A_DIRECTORY, STATUS_OBJECT_NAME_COLLISION, STATUS_OBJECT_NAME_INVALID,
    STATUS_OBJECT_NAME_NOT_FOUND, STATUS_UNEXPECTED_IO_ERROR,
};
use rustix::fs::OFlags;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::STATUS_UNMAPPABLE_CHARACTER;

/// How many files of the host are kept open at most, however many the volume has open.
const MAX_OPEN_FILES: usize = 64;

/// A host directory that cannot be a volume.
#[derive(Debug)]
#[non_exhaustive]
pub enum HostStorageError {
    /// The path cannot be reached.
    Unreachable {
        /// The path as it was given.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// The path is something other than a directory.
    NotADirectory {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The writable part is not a directory strictly inside the volume.
    WritableOutside {
        /// The writable part as it was given.
        path: PathBuf,
        /// The directory that is the volume.
        directory: PathBuf,
    },
}

impl std::fmt::Display for HostStorageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable { path, .. } => write!(f, "cannot reach {}", path.display()),
            Self::NotADirectory { path } => write!(f, "{} is not a directory", path.display()),
            Self::WritableOutside { path, directory } => write!(
                f,
                "the writable directory {} is not inside {}",
                path.display(),
                directory.display()
            ),
        }
    }
}

impl std::error::Error for HostStorageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// What may be modified.
#[derive(Debug)]
enum Protection {
    /// Everything.
    Open,
    /// Only what lies inside this directory, or nothing.
    Except(Option<PathBuf>),
}

/// A real directory of the host, really read and written.
///
/// Symbolic links are listed as files whose contents are the path they point to; they cannot be
/// written and are never followed. Sockets, pipes and devices are listed but cannot be read.
#[derive(Debug)]
pub struct HostStorage {
    directory: PathBuf,
    protection: Protection,
    tree: Mutex<Tree>,
}

#[derive(Debug)]
struct Tree {
    nodes: HashMap<NodeId, Node>,
    by_name: HashMap<(NodeId, String), NodeId>,
    next: u64,
    handles: VecDeque<Handle>,
}

/// A node that was met at least once.
#[derive(Debug, Default)]
struct Node {
    location: Option<Location>,
    streams: BTreeMap<String, Vec<u8>>,
    attributes: u32,
    creation: Option<i64>,
    change: Option<i64>,
}

/// An open file of the host; the last used ones are at the back.
#[derive(Debug)]
struct Handle {
    node: NodeId,
    writable: bool,
    file: Arc<File>,
}

const ROOT: NodeId = NodeId(5);

impl HostStorage {
    /// The whole directory, readable and writable.
    ///
    /// # Errors
    /// The path cannot be reached or is not a directory.
    pub fn open(dir: &Path) -> Result<Self, HostStorageError> {
        let directory = directory(dir)?;
        Ok(Self::new(directory, Protection::Open))
    }

    /// The directory with everything outside `writable_subdir` write-protected: whoever tries to
    /// modify anything there gets `STATUS_MEDIA_WRITE_PROTECTED`, and the host is not even asked.
    /// The subdirectory, absolute or relative to `dir`, must exist; it cannot be moved or removed.
    ///
    /// # Errors
    /// A path cannot be reached or is not a directory, or the writable one is not inside the other.
    pub fn open_protected(
        dir: &Path,
        writable_subdir: Option<&Path>,
    ) -> Result<Self, HostStorageError> {
        let root = directory(dir)?;
        let writable = match writable_subdir {
            None => None,
            Some(path) => {
                let writable = directory(&root.join(path))?;
                if writable == root || !writable.starts_with(&root) {
                    return Err(HostStorageError::WritableOutside {
                        path: path.to_owned(),
                        directory: root,
                    });
                }
                Some(writable)
            }
        };
        Ok(Self::new(root, Protection::Except(writable)))
    }

    /// The names below the directory that are not UTF-8, which no Windows name can stand for.
    /// A directory that holds one cannot be listed (`STATUS_UNMAPPABLE_CHARACTER`); this finds
    /// them all beforehand, so that a user can be told.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn unrepresentable_names(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut rest = vec![self.directory.clone()];
        while let Some(directory) = rest.pop() {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                if entry.file_name().to_str().is_none() {
                    found.push(entry.path());
                }
                if entry.file_type()?.is_dir() {
                    rest.push(entry.path());
                }
            }
        }
        found.sort();
        Ok(found)
    }

    fn new(directory: PathBuf, protection: Protection) -> Self {
        Self {
            directory,
            protection,
            tree: Mutex::new(Tree {
                nodes: HashMap::from([(ROOT, Node::default())]),
                by_name: HashMap::new(),
                next: 32,
                handles: VecDeque::new(),
            }),
        }
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host path of a node, every directory on the way being a directory and not a link.
    fn path(&self, tree: &Tree, node: NodeId) -> Result<PathBuf, NTSTATUS> {
        let mut names = Vec::new();
        let mut at = node;
        while let Some(location) = &tree.node(at)?.location {
            names.push(location.name.as_str());
            at = location.parent;
        }
        let mut path = self.directory.clone();
        while let Some(name) = names.pop() {
            path.push(name);
            if !names.is_empty() && !fs::symlink_metadata(&path).map_err(status)?.is_dir() {
                return Err(STATUS_OBJECT_NAME_NOT_FOUND);
            }
        }
        Ok(path)
    }

    /// The host path of a node that is a directory.
    fn directory_path(&self, tree: &Tree, node: NodeId) -> Result<PathBuf, NTSTATUS> {
        let path = self.path(tree, node)?;
        if fs::symlink_metadata(&path).map_err(status)?.is_dir() {
            Ok(path)
        } else {
            Err(STATUS_NOT_A_DIRECTORY)
        }
    }

    /// Whether something may happen to the entry that `path` names.
    fn may_modify(&self, path: &Path) -> Result<(), NTSTATUS> {
        match &self.protection {
            Protection::Open => Ok(()),
            Protection::Except(Some(writable))
                if path != writable && path.starts_with(writable) =>
            {
                Ok(())
            }
            Protection::Except(_) => Err(STATUS_MEDIA_WRITE_PROTECTED),
        }
    }

    /// The host file behind a default data stream, from the cache if it is there.
    fn file(&self, tree: &mut Tree, node: NodeId, write: bool) -> Result<Arc<File>, NTSTATUS> {
        let cached = tree
            .handles
            .iter()
            .position(|handle| handle.node == node && (handle.writable || !write));
        if let Some(handle) = cached.and_then(|index| tree.handles.remove(index)) {
            let file = Arc::clone(&handle.file);
            tree.handles.push_back(handle);
            return Ok(file);
        }
        let path = self.path(tree, node)?;
        if write {
            self.may_modify(&path)?;
        }
        let found = fs::symlink_metadata(&path).map_err(status)?;
        if found.is_dir() {
            return Err(STATUS_FILE_IS_A_DIRECTORY);
        }
        if !found.is_file() {
            return Err(STATUS_ACCESS_DENIED);
        }
        let file = Arc::new(self.open_host_file(&path, write).map_err(status)?);
        // A reader's handle is superseded by one that can do both.
        tree.handles.retain(|handle| handle.node != node);
        if tree.handles.len() >= MAX_OPEN_FILES {
            tree.handles.pop_front();
        }
        tree.handles.push_back(Handle {
            node,
            writable: write,
            file: Arc::clone(&file),
        });
        Ok(file)
    }

    fn open_host_file(&self, path: &Path, write: bool) -> io::Result<File> {
        let open = |flags: OFlags| {
            OpenOptions::new()
                .read(true)
                .write(write)
                .custom_flags(flags.bits().cast_signed())
                .open(path)
        };
        // The kind was checked a moment ago; these flags make a swap in between harmless.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        if matches!(self.protection, Protection::Except(_)) && !write {
            // Reading a protected file should not even leave a time stamp. Only its owner may ask.
            if let Ok(file) = open(flags | OFlags::NOATIME) {
                return Ok(file);
            }
        }
        open(flags)
    }

    /// Changes what is kept in memory beside a node, if the node may be modified.
    fn modify_node<R>(
        &self,
        node: NodeId,
        change: impl FnOnce(&mut Node) -> Result<R, NTSTATUS>,
    ) -> Result<R, NTSTATUS> {
        let mut tree = self.tree();
        let path = self.path(&tree, node)?;
        self.may_modify(&path)?;
        fs::symlink_metadata(&path).map_err(status)?;
        change(tree.node_mut(node)?)
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

    /// The node that a name stands for, met now if it was not before.
    fn intern(&mut self, parent: NodeId, name: &str) -> NodeId {
        if let Some(node) = self.by_name.get(&(parent, name.to_owned())) {
            return *node;
        }
        let node = NodeId(self.next);
        self.next += 1;
        self.place(node, parent, name);
        node
    }

    fn place(&mut self, node: NodeId, parent: NodeId, name: &str) {
        let name = name.to_owned();
        self.by_name.insert((parent, name.clone()), node);
        let entry = self.nodes.entry(node).or_default();
        entry.location = Some(Location { parent, name });
    }

    /// Forgets a node that has gone from the host.
    fn forget(&mut self, node: NodeId) {
        self.handles.retain(|handle| handle.node != node);
        if let Some(location) = self.nodes.remove(&node).and_then(|node| node.location) {
            self.by_name.remove(&(location.parent, location.name));
        }
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

impl Node {
    fn stream(&mut self, stream: &str) -> Result<&mut Vec<u8>, NTSTATUS> {
        self.streams
            .get_mut(stream)
            .ok_or(STATUS_OBJECT_NAME_NOT_FOUND)
    }

    fn resize(&mut self, stream: &str, len: u64) -> Result<&mut Vec<u8>, NTSTATUS> {
        let data = self.stream(stream)?;
        // What is kept in memory must not grow as a file may.
        let wanted = usize::try_from(len).ok().filter(|len| *len <= 1 << 28);
        data.resize(wanted.ok_or(STATUS_DISK_FULL)?, 0);
        Ok(data)
    }
}

impl Storage for HostStorage {
    fn root(&self) -> NodeId {
        ROOT
    }

    fn lookup(&self, parent: NodeId, name: &str, case_sensitive: bool) -> Result<Entry, NTSTATUS> {
        check_name(name)?;
        let mut tree = self.tree();
        let directory = self.directory_path(&tree, parent)?;
        if let Ok(found) = fs::symlink_metadata(directory.join(name)) {
            return Ok(Entry {
                name: name.to_owned(),
                node: tree.intern(parent, name),
                kind: kind(found.file_type()),
            });
        }
        if case_sensitive {
            return Err(STATUS_OBJECT_NAME_NOT_FOUND);
        }
        let wanted = fold(name);
        let mut found: Option<(String, NodeKind)> = None;
        for entry in fs::read_dir(&directory).map_err(status)? {
            let entry = entry.map_err(status)?;
            // A name that is not UTF-8 differs from every name that can be asked for.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let earlier = found.as_ref().is_none_or(|(other, _)| name < *other);
            if earlier && fold(&name) == wanted {
                found = Some((name, kind(entry.file_type().map_err(status)?)));
            }
        }
        let (name, kind) = found.ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
        let node = tree.intern(parent, &name);
        Ok(Entry { name, node, kind })
    }

    fn location(&self, node: NodeId) -> Result<Option<Location>, NTSTATUS> {
        Ok(self.tree().node(node)?.location.clone())
    }

    fn create(&self, parent: NodeId, name: &str, kind: NodeKind) -> Result<NodeId, NTSTATUS> {
        check_name(name)?;
        let mut tree = self.tree();
        let path = self.directory_path(&tree, parent)?.join(name);
        self.may_modify(&path)?;
        match kind {
            NodeKind::Directory => fs::create_dir(&path).map_err(status)?,
            NodeKind::File => {
                File::create_new(&path).map_err(status)?;
            }
        }
        // Whatever was known under this name was removed by somebody else and is another file.
        if let Some(stale) = tree.by_name.get(&(parent, name.to_owned())).copied() {
            tree.forget(stale);
        }
        Ok(tree.intern(parent, name))
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata, NTSTATUS> {
        let tree = self.tree();
        let found = fs::symlink_metadata(self.path(&tree, node)?).map_err(status)?;
        let known = tree.node(node)?;
        let written = found.modified().map_or(0, ticks);
        let mut attributes = known.attributes & !FILE_ATTRIBUTE_READONLY;
        if found.is_file() && found.mode() & 0o200 == 0 {
            attributes |= FILE_ATTRIBUTE_READONLY;
        }
        Ok(Metadata {
            kind: kind(found.file_type()),
            times: Times {
                creation: known
                    .creation
                    .unwrap_or_else(|| found.created().map_or(written, ticks)),
                last_access: found.accessed().map_or(written, ticks),
                last_write: written,
                change: known
                    .change
                    .unwrap_or_else(|| status_change(&found).map_or(written, ticks)),
            },
            attributes,
            allocation: if found.is_file() {
                found.blocks() * 512
            } else {
                0
            },
        })
    }

    fn set_attributes(&self, node: NodeId, attributes: u32) -> Result<(), NTSTATUS> {
        let mut tree = self.tree();
        let path = self.path(&tree, node)?;
        self.may_modify(&path)?;
        let found = fs::symlink_metadata(&path).map_err(status)?;
        if found.is_file() {
            let old = found.mode();
            let new = if attributes & FILE_ATTRIBUTE_READONLY != 0 {
                old & !0o222
            } else if old & 0o200 == 0 {
                old | 0o200
            } else {
                old
            };
            if new != old {
                fs::set_permissions(&path, fs::Permissions::from_mode(new)).map_err(status)?;
            }
        }
        tree.node_mut(node)?.attributes = attributes;
        Ok(())
    }

    fn set_times(&self, node: NodeId, times: &Times) -> Result<(), NTSTATUS> {
        let mut tree = self.tree();
        let path = self.path(&tree, node)?;
        self.may_modify(&path)?;
        if !fs::symlink_metadata(&path).map_err(status)?.is_symlink() {
            let host = FileTimes::new()
                .set_accessed(host_time(times.last_access))
                .set_modified(host_time(times.last_write));
            // Whoever owns the file may set its times through any handle.
            self.open_host_file(&path, false)
                .and_then(|file| file.set_times(host))
                .map_err(status)?;
        }
        let known = tree.node_mut(node)?;
        known.creation = Some(times.creation);
        known.change = Some(times.change);
        Ok(())
    }

    fn streams(&self, node: NodeId) -> Result<Vec<(String, u64)>, NTSTATUS> {
        let tree = self.tree();
        let found = fs::symlink_metadata(self.path(&tree, node)?).map_err(status)?;
        let mut streams = Vec::new();
        if !found.is_dir() {
            streams.push((String::new(), content_length(&found)));
        }
        let named = tree.node(node)?.streams.iter();
        streams.extend(named.map(|(name, data)| (name.clone(), length(data))));
        Ok(streams)
    }

    fn create_stream(&self, node: NodeId, stream: &str) -> Result<(), NTSTATUS> {
        self.modify_node(node, |node| {
            if stream.is_empty() {
                return Err(STATUS_INVALID_PARAMETER);
            }
            if node.streams.contains_key(stream) {
                return Err(STATUS_OBJECT_NAME_COLLISION);
            }
            node.streams.insert(stream.to_owned(), Vec::new());
            Ok(())
        })
    }

    fn remove_stream(&self, node: NodeId, stream: &str) -> Result<(), NTSTATUS> {
        self.modify_node(node, |node| {
            if stream.is_empty() {
                return Err(STATUS_INVALID_PARAMETER);
            }
            let removed = node.streams.remove(stream);
            removed.map(|_| ()).ok_or(STATUS_OBJECT_NAME_NOT_FOUND)
        })
    }

    fn read(
        &self,
        node: NodeId,
        stream: &str,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, NTSTATUS> {
        let mut tree = self.tree();
        if !stream.is_empty() {
            return Ok(copy_from(
                tree.node_mut(node)?.stream(stream)?,
                offset,
                buffer,
            ));
        }
        let path = self.path(&tree, node)?;
        if fs::symlink_metadata(&path).map_err(status)?.is_symlink() {
            let target = fs::read_link(&path).map_err(status)?;
            return Ok(copy_from(target.as_os_str().as_bytes(), offset, buffer));
        }
        let file = self.file(&mut tree, node, false)?;
        drop(tree);
        let mut done = 0;
        while done < buffer.len() {
            match file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(status(error)),
            }
        }
        Ok(done)
    }

    fn write(
        &self,
        node: NodeId,
        stream: &str,
        offset: u64,
        data: &[u8],
    ) -> Result<usize, NTSTATUS> {
        if !stream.is_empty() {
            let end = offset.checked_add(length(data)).ok_or(STATUS_DISK_FULL)?;
            return self.modify_node(node, |node| {
                let old = length(node.stream(stream)?);
                let stream = node.resize(stream, old.max(end))?;
                let start = usize::try_from(offset).map_err(|_| STATUS_DISK_FULL)?;
                stream[start..start + data.len()].copy_from_slice(data);
                Ok(data.len())
            });
        }
        let file = self.file(&mut self.tree(), node, true)?;
        file.write_all_at(data, offset).map_err(status)?;
        Ok(data.len())
    }

    fn stream_len(&self, node: NodeId, stream: &str) -> Result<u64, NTSTATUS> {
        let mut tree = self.tree();
        if !stream.is_empty() {
            return Ok(length(tree.node_mut(node)?.stream(stream)?));
        }
        let found = fs::symlink_metadata(self.path(&tree, node)?).map_err(status)?;
        if found.is_dir() {
            return Err(STATUS_OBJECT_NAME_NOT_FOUND);
        }
        Ok(content_length(&found))
    }

    fn set_len(&self, node: NodeId, stream: &str, len: u64) -> Result<(), NTSTATUS> {
        if !stream.is_empty() {
            return self.modify_node(node, |node| node.resize(stream, len).map(|_| ()));
        }
        let file = self.file(&mut self.tree(), node, true)?;
        file.set_len(len).map_err(status)
    }

    fn entries(&self, directory: NodeId) -> Result<Vec<Entry>, NTSTATUS> {
        let mut tree = self.tree();
        let path = self.directory_path(&tree, directory)?;
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).map_err(status)? {
            let entry = entry.map_err(status)?;
            let name = entry.file_name().into_string();
            let name = name.map_err(|_| STATUS_UNMAPPABLE_CHARACTER)?;
            entries.push(Entry {
                node: tree.intern(directory, &name),
                kind: kind(entry.file_type().map_err(status)?),
                name,
            });
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
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
        let from = self.path(&tree, node)?;
        let to = self.directory_path(&tree, new_parent)?.join(new_name);
        self.may_modify(&from)?;
        self.may_modify(&to)?;
        if from == to {
            return Ok(());
        }
        if !replace && fs::symlink_metadata(&to).is_ok() {
            return Err(STATUS_OBJECT_NAME_COLLISION);
        }
        fs::rename(&from, &to).map_err(status)?;
        if let Some(replaced) = tree
            .by_name
            .get(&(new_parent, new_name.to_owned()))
            .copied()
        {
            tree.forget(replaced);
        }
        tree.by_name.remove(&(old.parent, old.name));
        tree.place(node, new_parent, new_name);
        Ok(())
    }

    fn remove(&self, node: NodeId) -> Result<(), NTSTATUS> {
        if node == ROOT {
            return Err(STATUS_CANNOT_DELETE);
        }
        let mut tree = self.tree();
        let path = self.path(&tree, node)?;
        self.may_modify(&path)?;
        if fs::symlink_metadata(&path).map_err(status)?.is_dir() {
            fs::remove_dir(&path).map_err(status)?;
        } else {
            fs::remove_file(&path).map_err(status)?;
        }
        tree.forget(node);
        Ok(())
    }

    fn flush(&self, node: NodeId) -> Result<(), NTSTATUS> {
        let file = {
            let tree = self.tree();
            let mut handles = tree.handles.iter();
            let written = handles.find(|handle| handle.node == node && handle.writable);
            written.map(|handle| Arc::clone(&handle.file))
        };
        file.map_or(Ok(()), |file| file.sync_all().map_err(status))
    }

    fn capacity(&self) -> Result<Capacity, NTSTATUS> {
        let space =
            rustix::fs::statvfs(&self.directory).map_err(|error| status(io::Error::from(error)))?;
        Ok(Capacity {
            total: space.f_blocks.saturating_mul(space.f_frsize),
            free: space.f_bavail.saturating_mul(space.f_frsize),
        })
    }
}

/// The one true path of a directory.
fn directory(path: &Path) -> Result<PathBuf, HostStorageError> {
    let unreachable = |source| HostStorageError::Unreachable {
        path: path.to_owned(),
        source,
    };
    let real = fs::canonicalize(path).map_err(unreachable)?;
    if fs::metadata(&real).map_err(unreachable)?.is_dir() {
        Ok(real)
    } else {
        Err(HostStorageError::NotADirectory {
            path: path.to_owned(),
        })
    }
}

fn kind(file_type: fs::FileType) -> NodeKind {
    if file_type.is_dir() {
        NodeKind::Directory
    } else {
        NodeKind::File
    }
}

/// The length of what [`HostStorage::read`] would give: devices and pipes are empty.
fn content_length(found: &fs::Metadata) -> u64 {
    if found.is_file() || found.is_symlink() {
        found.len()
    } else {
        0
    }
}

/// When the host last changed anything about the file.
fn status_change(found: &fs::Metadata) -> Option<SystemTime> {
    let seconds = Duration::from_secs(u64::try_from(found.ctime()).ok()?);
    let rest = Duration::from_nanos(u64::try_from(found.ctime_nsec()).ok()?);
    UNIX_EPOCH.checked_add(seconds + rest)
}

/// A time of the volume in the units of the host.
fn host_time(ticks: i64) -> SystemTime {
    const UNIX_EPOCH_TICKS: i64 = 116_444_736_000_000_000;
    let since = ticks.saturating_sub(UNIX_EPOCH_TICKS);
    let distance = since.unsigned_abs();
    let distance = Duration::new(
        distance / 10_000_000,
        u32::try_from(distance % 10_000_000).unwrap_or(0) * 100,
    );
    let time = if since < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    };
    time.unwrap_or(UNIX_EPOCH)
}

/// What the host said, in the volume's words.
#[expect(clippy::needless_pass_by_value, reason = "it is made for map_err")]
fn status(error: io::Error) -> NTSTATUS {
    match error.kind() {
        ErrorKind::NotFound => STATUS_OBJECT_NAME_NOT_FOUND,
        ErrorKind::PermissionDenied => STATUS_ACCESS_DENIED,
        ErrorKind::AlreadyExists => STATUS_OBJECT_NAME_COLLISION,
        ErrorKind::DirectoryNotEmpty => STATUS_DIRECTORY_NOT_EMPTY,
        ErrorKind::NotADirectory => STATUS_NOT_A_DIRECTORY,
        ErrorKind::IsADirectory => STATUS_FILE_IS_A_DIRECTORY,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            STATUS_DISK_FULL
        }
        ErrorKind::ReadOnlyFilesystem => STATUS_MEDIA_WRITE_PROTECTED,
        ErrorKind::InvalidFilename => STATUS_OBJECT_NAME_INVALID,
        ErrorKind::OutOfMemory => STATUS_INSUFFICIENT_RESOURCES,
        _ => STATUS_UNEXPECTED_IO_ERROR,
    }
}
