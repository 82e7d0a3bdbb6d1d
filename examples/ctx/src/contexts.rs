//! The six contexts.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use fltctx::{
    context::{InPlace, VariableContext, WithSlice},
    in_place,
    lock::PushLock,
    object::VolumeName,
    prelude::*,
};

use crate::totals::TOTALS;

/// A volume, one for the whole filter.
pub struct Mount {
    /// Its name, if it could be told.
    pub name: Option<VolumeName>,
    /// Bytes in a sector, zero if they could not be told.
    pub sector_size: u16,
}

impl Context for Mount {
    type Kind = kind::Volume;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"CxVo");
}

/// An attachment to a volume.
pub struct Attachment {
    /// `FLT_FSTYPE_XXX` of the file system below.
    pub file_system_type: i32,
    /// Successful opens.
    pub opens: AtomicU64,
    /// Directory listings.
    pub listings: AtomicU64,
    /// The file that was renamed last. A push lock fits: it is read and written rarely, and for
    /// long, and never at a raised IRQL.
    pub last_rename: PushLock<LastRename>,
}

impl Context for Attachment {
    type Kind = kind::Instance;
    // A push lock must live in nonpaged memory.
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"CxIn");
}

impl Attachment {
    /// Builds the context where it stays, because of its lock.
    pub(crate) fn recipe(file_system_type: i32) -> impl InPlace<Self> {
        in_place!(Attachment {
            file_system_type: file_system_type,
            opens: AtomicU64::new(0),
            listings: AtomicU64::new(0),
            last_rename <- PushLock::new(LastRename::default()),
        })
    }
}

/// Which file was renamed last, and to what.
#[derive(Default)]
pub struct LastRename {
    /// The file's context, which holds the name that it was opened by.
    pub file: Option<Shared<File>>,
    /// How many renames there were.
    pub count: u64,
}

/// A file, over all its streams. The context is a [`File`]: this, and the file's name behind it.
#[derive(Default)]
pub struct FileStats {
    /// Successful opens of any stream.
    pub opens: AtomicU64,
    /// Successful writes, renames, resizes and deletions.
    pub changes: AtomicU64,
}

impl VariableContext for FileStats {
    type Kind = kind::File;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"CxFi");
    type Element = u16;
}

/// The context of a file: its books, and the UTF-16 name that it was first opened by.
pub type File = WithSlice<FileStats>;

/// A stream of a file.
#[derive(Default)]
pub struct Traffic {
    /// Successful opens.
    pub opens: AtomicU64,
    /// Bytes read.
    pub read: AtomicU64,
    /// Bytes written.
    pub written: AtomicU64,
}

impl Context for Traffic {
    type Kind = kind::Stream;
    // Counted in post-read and post-write, which may run at DISPATCH_LEVEL.
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"CxSt");
}

impl Drop for Traffic {
    fn drop(&mut self) {
        TOTALS.stream_ended(*self.read.get_mut(), *self.written.get_mut());
    }
}

/// One open of a stream.
///
/// It owns a reference to the contexts of its stream and file, so that a read or write looks up
/// one context and has all three.
#[derive(Default)]
pub struct Open {
    /// The stream's context, where the file system has stream contexts.
    pub traffic: Option<Shared<Traffic>>,
    /// The file's context, where the file system has file contexts.
    pub file: Option<Shared<File>>,
    /// Reads of this open.
    pub reads: AtomicU32,
    /// Writes of this open.
    pub writes: AtomicU32,
    /// Whether this open's stream has been counted in its transaction.
    pub in_transaction: AtomicBool,
}

impl Context for Open {
    type Kind = kind::StreamHandle;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"CxHa");
}

impl Open {
    /// Counts a successful read of `bytes` bytes.
    pub fn count_read(&self, bytes: usize) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if let Some(traffic) = &self.traffic {
            traffic.read.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// Counts a successful write of `bytes` bytes.
    pub fn count_write(&self, bytes: usize) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        if let Some(traffic) = &self.traffic {
            traffic.written.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        self.count_change();
    }

    /// Counts a change of the file.
    pub fn count_change(&self) {
        if let Some(file) = &self.file {
            file.changes.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        TOTALS.open_ended(*self.reads.get_mut(), *self.writes.get_mut());
    }
}

/// What a transaction changed.
#[derive(Default)]
pub struct Changes {
    /// Streams written to.
    pub streams: AtomicU64,
}

impl Context for Changes {
    type Kind = kind::Transaction;
    type Pool = pool::Paged;
    const TAG: PoolTag = PoolTag::new(*b"CxTx");
}
