//! Where the bytes of a simulated volume live.
//!
//! A [`Storage`] is a tree of nodes with named data streams and nothing more: it knows no handles,
//! no sharing, no access rights and no deferred deletion. Those belong to the file system above it
//! (see [`crate::filesystem`]), so that every storage behaves alike under a filter.
//!
//! Errors are already `NTSTATUS` values, because the only reader of them is a Windows driver.

mod host;
mod memory;

pub use host::{HostStorage, HostStorageError};
pub use memory::MemoryStorage;

use fltmgr_sys::{NTSTATUS, STATUS_OBJECT_NAME_INVALID};
use std::time::{SystemTime, UNIX_EPOCH};

/// What listing a directory answers when one of its names cannot be represented.
pub const STATUS_UNMAPPABLE_CHARACTER: NTSTATUS = 0xC000_0162_u32.cast_signed();

/// The identity of one file or directory. It is never used again after the node was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// Data streams.
    File,
    /// Entries, and possibly named data streams.
    Directory,
}

/// The four times of a node, in 100-nanosecond units since 1601-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// When the node was created.
    pub creation: i64,
    /// When its data was last read.
    pub last_access: i64,
    /// When its data was last written.
    pub last_write: i64,
    /// When anything about it last changed.
    pub change: i64,
}

impl Times {
    /// All four times are the present moment.
    #[must_use]
    pub fn now() -> Self {
        let now = ticks(SystemTime::now());
        Self {
            creation: now,
            last_access: now,
            last_write: now,
            change: now,
        }
    }
}

/// What a storage knows about a node besides its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// File or directory.
    pub kind: NodeKind,
    /// Its times.
    pub times: Times,
    /// `FILE_ATTRIBUTE_*` bits, as they were last set; the directory bit is not among them.
    pub attributes: u32,
    /// Bytes of space that the default data stream takes.
    pub allocation: u64,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name as it is stored.
    pub name: String,
    /// The node it names.
    pub node: NodeId,
    /// What that node is.
    pub kind: NodeKind,
}

/// Where a node hangs in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The directory that holds it.
    pub parent: NodeId,
    /// The name it has there.
    pub name: String,
}

/// The space of a storage, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// All of it.
    pub total: u64,
    /// What is still free.
    pub free: u64,
}

/// A tree of nodes with named data streams. The default data stream has the empty name.
///
/// Implementations lock internally and may be called from any thread.
pub trait Storage: Send + Sync {
    /// The root directory.
    fn root(&self) -> NodeId;

    /// Finds a name in a directory. An exact match wins over one that differs in case.
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_NOT_FOUND`, or `STATUS_NOT_A_DIRECTORY` if `parent` is a file.
    fn lookup(&self, parent: NodeId, name: &str, case_sensitive: bool) -> Result<Entry, NTSTATUS>;

    /// Where a node hangs; `None` for the root.
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_NOT_FOUND` if the node does not exist (any more).
    fn location(&self, node: NodeId) -> Result<Option<Location>, NTSTATUS>;

    /// Creates a node, with an empty default data stream if it is a file.
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_COLLISION` if this very name exists.
    fn create(&self, parent: NodeId, name: &str, kind: NodeKind) -> Result<NodeId, NTSTATUS>;

    /// What is known about a node.
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_NOT_FOUND` if the node does not exist (any more).
    fn metadata(&self, node: NodeId) -> Result<Metadata, NTSTATUS>;

    /// Replaces the attributes of a node.
    ///
    /// # Errors
    /// Whatever keeps the node from being changed.
    fn set_attributes(&self, node: NodeId, attributes: u32) -> Result<(), NTSTATUS>;

    /// Replaces the times of a node.
    ///
    /// # Errors
    /// Whatever keeps the node from being changed.
    fn set_times(&self, node: NodeId, times: &Times) -> Result<(), NTSTATUS>;

    /// The data streams of a node with their lengths, sorted by name, the default one first.
    /// A directory has no default data stream.
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_NOT_FOUND` if the node does not exist (any more).
    fn streams(&self, node: NodeId) -> Result<Vec<(String, u64)>, NTSTATUS>;

    /// Adds an empty named data stream.
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_COLLISION` if it exists.
    fn create_stream(&self, node: NodeId, stream: &str) -> Result<(), NTSTATUS>;

    /// Removes a named data stream; the default one goes only with its node.
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_NOT_FOUND` if there is no such stream.
    fn remove_stream(&self, node: NodeId, stream: &str) -> Result<(), NTSTATUS>;

    /// Reads up to `buffer.len()` bytes; fewer only at the end of the stream, none beyond it.
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_NOT_FOUND` if there is no such stream.
    fn read(
        &self,
        node: NodeId,
        stream: &str,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, NTSTATUS>;

    /// Writes all of `data`; a gap between the old end and `offset` reads as zeroes.
    ///
    /// # Errors
    /// `STATUS_DISK_FULL`, or whatever keeps the stream from being written.
    fn write(
        &self,
        node: NodeId,
        stream: &str,
        offset: u64,
        data: &[u8],
    ) -> Result<usize, NTSTATUS>;

    /// The length of a stream.
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_NOT_FOUND` if there is no such stream.
    fn stream_len(&self, node: NodeId, stream: &str) -> Result<u64, NTSTATUS>;

    /// Cuts a stream or extends it with zeroes.
    ///
    /// # Errors
    /// `STATUS_DISK_FULL`, or whatever keeps the stream from being written.
    fn set_len(&self, node: NodeId, stream: &str, len: u64) -> Result<(), NTSTATUS>;

    /// The entries of a directory, sorted by name; never `.` or `..`.
    ///
    /// # Errors
    /// `STATUS_NOT_A_DIRECTORY`, or `STATUS_UNMAPPABLE_CHARACTER` if an entry's name cannot be
    /// represented: nothing is left out silently.
    fn entries(&self, directory: NodeId) -> Result<Vec<Entry>, NTSTATUS>;

    /// Moves a node. With `replace` an existing file (or empty directory) of the new name goes.
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_COLLISION` if the new name exists and is not to be replaced.
    fn rename(
        &self,
        node: NodeId,
        new_parent: NodeId,
        new_name: &str,
        replace: bool,
    ) -> Result<(), NTSTATUS>;

    /// Removes a node for good.
    ///
    /// # Errors
    /// `STATUS_DIRECTORY_NOT_EMPTY`, or `STATUS_CANNOT_DELETE` for the root.
    fn remove(&self, node: NodeId) -> Result<(), NTSTATUS>;

    /// Puts what was written to a node on stable storage, where there is such a thing.
    ///
    /// # Errors
    /// Whatever the storage meets.
    fn flush(&self, node: NodeId) -> Result<(), NTSTATUS>;

    /// How large the storage is.
    ///
    /// # Errors
    /// Whatever the storage meets.
    fn capacity(&self) -> Result<Capacity, NTSTATUS>;
}

/// The form of a name in which names that differ only in case are equal.
///
/// Characters are mapped one to one, as the upcase table of NTFS does; `ß` stays `ß`.
#[must_use]
pub fn fold(name: &str) -> String {
    name.chars().map(fold_char).collect()
}

/// [`fold`] for one character.
#[must_use]
pub fn fold_char(character: char) -> char {
    let mut upper = character.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) => single,
        _ => character,
    }
}

/// A time of the host in the units of the volume. Times before 1601 become the earliest one.
pub(crate) fn ticks(time: SystemTime) -> i64 {
    const UNIX_EPOCH_TICKS: i128 = 116_444_736_000_000_000;
    let since = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i128::try_from(after.as_nanos() / 100).unwrap_or(i128::MAX / 2),
        Err(before) => -i128::try_from(before.duration().as_nanos() / 100).unwrap_or(i128::MAX / 2),
    };
    i64::try_from((UNIX_EPOCH_TICKS + since).max(0)).unwrap_or(i64::MAX)
}

/// A name must not be able to leave its directory, whoever asks.
fn check_name(name: &str) -> Result<(), NTSTATUS> {
    let escapes = name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']);
    if escapes {
        Err(STATUS_OBJECT_NAME_INVALID)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
