//! How a test opens files and sends operations.

use super::operation::Completion;
use crate::machine::Transaction;
use fltmgr_sys::{
    ACCESS_MASK, DELETE, FILE_CREATE, FILE_DELETE_ON_CLOSE, FILE_DIRECTORY_FILE, FILE_GENERIC_READ,
    FILE_GENERIC_WRITE, FILE_NO_INTERMEDIATE_BUFFERING, FILE_NON_DIRECTORY_FILE, FILE_OPEN,
    FILE_OPEN_IF, FILE_OVERWRITE_IF, FILE_SYNCHRONOUS_IO_NONALERT, GUID, SYNCHRONIZE, ULONG,
    USHORT,
};

/// `FILE_SHARE_READ`, `FILE_SHARE_WRITE` and `FILE_SHARE_DELETE`.
const SHARE_ALL: USHORT = 7;

/// How to open a file.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    pub(crate) access: ACCESS_MASK,
    pub(crate) share: USHORT,
    pub(crate) disposition: ULONG,
    pub(crate) options: ULONG,
    pub(crate) attributes: USHORT,
    pub(crate) paging_file: bool,
    pub(crate) kernel_mode: bool,
    pub(crate) transaction: Option<Transaction>,
    /// Extra create parameters: type and contents.
    pub(crate) parameters: Vec<(GUID, Vec<u8>)>,
}

impl OpenOptions {
    const fn new(access: ACCESS_MASK, disposition: ULONG) -> Self {
        Self {
            access,
            share: SHARE_ALL,
            disposition,
            options: FILE_SYNCHRONOUS_IO_NONALERT,
            attributes: 0,
            paging_file: false,
            kernel_mode: false,
            transaction: None,
            parameters: Vec::new(),
        }
    }

    /// Exactly these options, from the kernel, sharing everything.
    pub(crate) const fn bare(access: ACCESS_MASK, disposition: ULONG, options: ULONG) -> Self {
        let mut bare = Self::new(access, disposition);
        bare.options = options;
        bare.kernel_mode()
    }

    /// Opens an existing file for reading.
    #[must_use]
    pub const fn read() -> Self {
        Self::new(FILE_GENERIC_READ, FILE_OPEN)
    }

    /// Opens an existing file for writing.
    #[must_use]
    pub const fn write() -> Self {
        Self::new(FILE_GENERIC_WRITE | SYNCHRONIZE, FILE_OPEN)
    }

    /// Opens an existing file for reading, writing and deleting.
    #[must_use]
    pub const fn read_write() -> Self {
        Self::new(FILE_GENERIC_READ | FILE_GENERIC_WRITE | DELETE, FILE_OPEN)
    }

    /// Opens a file for reading, writing and deleting, and creates it if it does not exist.
    #[must_use]
    pub const fn create() -> Self {
        Self::new(
            FILE_GENERIC_READ | FILE_GENERIC_WRITE | DELETE,
            FILE_OPEN_IF,
        )
    }

    /// Creates a file that must not exist.
    #[must_use]
    pub const fn create_new() -> Self {
        Self::new(FILE_GENERIC_READ | FILE_GENERIC_WRITE | DELETE, FILE_CREATE)
    }

    /// Creates a file or empties the existing one.
    #[must_use]
    pub const fn overwrite() -> Self {
        Self::new(
            FILE_GENERIC_READ | FILE_GENERIC_WRITE | DELETE,
            FILE_OVERWRITE_IF,
        )
    }

    /// Opens a directory, and creates it if it does not exist.
    #[must_use]
    pub const fn directory() -> Self {
        let mut options = Self::new(
            FILE_GENERIC_READ | FILE_GENERIC_WRITE | DELETE,
            FILE_OPEN_IF,
        );
        options.options |= FILE_DIRECTORY_FILE;
        options
    }

    /// Asks for this access.
    #[must_use]
    pub const fn access(mut self, access: ACCESS_MASK) -> Self {
        self.access = access;
        self
    }

    /// Shares the file to this extent (`FILE_SHARE_*`); everything by default.
    #[must_use]
    pub const fn share(mut self, share: ULONG) -> Self {
        self.share = (share & 0xFFFF) as USHORT;
        self
    }

    /// What to do if the file exists, and if not: `FILE_OPEN`, `FILE_CREATE` and their kind.
    #[must_use]
    pub const fn disposition(mut self, disposition: ULONG) -> Self {
        self.disposition = disposition;
        self
    }

    /// Adds create options (`FILE_DIRECTORY_FILE`, `FILE_WRITE_THROUGH` and their kind).
    #[must_use]
    pub const fn options(mut self, options: ULONG) -> Self {
        self.options |= options;
        self
    }

    /// The attributes of a file that is created.
    #[must_use]
    pub const fn attributes(mut self, attributes: ULONG) -> Self {
        self.attributes = (attributes & 0xFFFF) as USHORT;
        self
    }

    /// Refuses directories.
    #[must_use]
    pub const fn non_directory(self) -> Self {
        self.options(FILE_NON_DIRECTORY_FILE)
    }

    /// Deletes the file when the last handle is closed.
    #[must_use]
    pub const fn delete_on_close(self) -> Self {
        self.options(FILE_DELETE_ON_CLOSE)
    }

    /// Bypasses the cache: reads and writes carry `IRP_NOCACHE`.
    #[must_use]
    pub const fn uncached(self) -> Self {
        self.options(FILE_NO_INTERMEDIATE_BUFFERING)
    }

    /// Opens for overlapped I/O: operations are not synchronous.
    #[must_use]
    pub const fn asynchronous(mut self) -> Self {
        self.options &= !FILE_SYNCHRONOUS_IO_NONALERT;
        self
    }

    /// Opens as the memory manager opens a paging file (`SL_OPEN_PAGING_FILE`).
    #[must_use]
    pub const fn paging_file(mut self) -> Self {
        self.paging_file = true;
        self
    }

    /// Comes from kernel mode (`RequestorMode`); from user mode by default.
    #[must_use]
    pub const fn kernel_mode(mut self) -> Self {
        self.kernel_mode = true;
        self
    }

    /// Passes an extra create parameter; no two may have the same type.
    #[must_use]
    pub fn extra_create_parameter(mut self, kind: GUID, data: &[u8]) -> Self {
        self.parameters.push((kind, data.to_vec()));
        self
    }

    /// Takes part in a transaction.
    #[must_use]
    pub fn transaction(mut self, transaction: &Transaction) -> Self {
        self.transaction = Some(transaction.clone());
        self
    }
}

/// How to send one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoOptions {
    /// Where it completes.
    pub completion: Completion,
    /// It is paging I/O: uncached, at `APC_LEVEL`, on behalf of the memory manager.
    pub paging: bool,
    /// It is tried as fast I/O first.
    pub fast_io: bool,
    /// It bypasses the cache.
    pub uncached: bool,
    /// The key of a read or write, for the byte-range locks that were taken with it.
    pub key: u32,
}

impl IoOptions {
    /// Completes on another thread, at `PASSIVE_LEVEL`.
    #[must_use]
    pub const fn worker() -> Self {
        Self::completion(Completion::Worker)
    }

    /// Completes on another thread, at `DISPATCH_LEVEL`.
    #[must_use]
    pub const fn dispatch() -> Self {
        Self::completion(Completion::Dispatch)
    }

    /// Completes in this way.
    #[must_use]
    pub const fn completion(completion: Completion) -> Self {
        Self {
            completion,
            paging: false,
            fast_io: false,
            uncached: false,
            key: 0,
        }
    }

    /// Is paging I/O.
    #[must_use]
    pub const fn paging(mut self) -> Self {
        self.paging = true;
        self
    }

    /// Is tried as fast I/O first.
    #[must_use]
    pub const fn fast_io(mut self) -> Self {
        self.fast_io = true;
        self
    }

    /// Bypasses the cache.
    #[must_use]
    pub const fn uncached(mut self) -> Self {
        self.uncached = true;
        self
    }

    /// Reads or writes with this key.
    #[must_use]
    pub const fn key(mut self, key: u32) -> Self {
        self.key = key;
        self
    }
}

/// A range of bytes to lock, or to unlock as it was locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange {
    pub(crate) start: u64,
    pub(crate) length: u64,
    pub(crate) exclusive: bool,
    pub(crate) key: u32,
}

impl ByteRange {
    /// As the parameters of a request have it.
    pub(crate) const fn of(start: i64, length: i64, exclusive: bool, key: u32) -> Self {
        Self {
            start: start.cast_unsigned(),
            length: length.cast_unsigned(),
            exclusive,
            key,
        }
    }

    /// For the one who locks it alone.
    #[must_use]
    pub const fn exclusive(start: u64, length: u64) -> Self {
        Self {
            start,
            length,
            exclusive: true,
            key: 0,
        }
    }

    /// For everybody who reads.
    #[must_use]
    pub const fn shared(start: u64, length: u64) -> Self {
        Self {
            exclusive: false,
            ..Self::exclusive(start, length)
        }
    }

    /// With a key, which reads, writes and unlocking must have too.
    #[must_use]
    pub const fn key(mut self, key: u32) -> Self {
        self.key = key;
        self
    }
}
