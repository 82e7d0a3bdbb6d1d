//! A file system driver in the way of Windows, above any [`Storage`].
//!
//! It keeps what a filter can see of a file system: handles and file objects, sharing, access
//! rights, delete-on-close, names in the stored case, information classes in their real layouts,
//! transactions, and above all the life of the per-stream and per-file structures. All opens of a
//! stream share one [`StreamId`] for as long as its structure lives; which may be longer than any
//! open, as a [`TeardownPolicy`] decides. Contexts hang on these structures, so every teardown is
//! reported as [`Gone`], in order, and the caller tears the contexts down.
//!
//! Not modelled: oplocks, checks of access against security descriptors, extended attributes,
//! reparse points, hard links, quotas, short names, and the cache: written is written.
//!
//! A [`FileSystem`] may be used from any thread. It locks internally and calls nothing but its
//! storage while it does.

#![allow(
    non_upper_case_globals,
    reason = "information classes keep their C names, in patterns too"
)]

mod ccb;
mod change;
mod cleanup;
mod constants;
mod create;
mod directory;
mod fcb;
mod information;
mod layout;
mod locked;
mod path;
mod personality;
mod range_lock;
mod read_write;
mod rename;
mod security;
mod share;
mod teardown;
mod transaction;
mod volume_information;
pub(crate) mod wildcard;

pub use personality::{FileContexts, Personality};
pub use teardown::TeardownPolicy;

pub(crate) use range_lock::Accessor;

use crate::kernel::byte_range::{Action, Answer, Ended, Lock, Ticket, Waiter};
use crate::storage::Storage;
use create::Target;
use directory::DirectoryQuery;
use fcb::Table;
use fltmgr_sys::{
    FILE_INFORMATION_CLASS, FILE_NETWORK_OPEN_INFORMATION, FILE_OPEN, FILE_READ_ATTRIBUTES,
    FS_INFORMATION_CLASS, NTSTATUS, SECURITY_INFORMATION,
};
use locked::{Locked, State};
use path::VolumePath;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use teardown::Teardown;
use transaction::Transactions;

/// The identity of a per-file structure. A file that is opened again after its structure was torn
/// down has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u64);

/// The identity of a per-stream structure. A stream that is opened again after its structure was
/// torn down has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// The identity of one open: of one file object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpenId(pub u64);

/// The identity of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(pub u64);

/// A structure that was torn down. A file comes after the last of its streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gone {
    /// A per-stream structure.
    Stream(StreamId),
    /// A per-file structure.
    File(FileId),
}

/// Who asks. Windows checks rights where a handle is used; a driver that has a file object in its
/// hands is not asked (`FltReadFile` on a write-only open reads).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Authority {
    /// The owner of a handle, who has the rights that the open asked for.
    #[default]
    Handle,
    /// A driver.
    Kernel,
}

/// What to open or create.
#[derive(Clone, Copy, Debug)]
pub struct CreateRequest<'a> {
    /// `\directory\file:stream`, from the root of the volume; empty or `\` is the root. An open
    /// relative to another one was joined by the caller.
    pub path: &'a str,
    /// The access mask; generic rights and `MAXIMUM_ALLOWED` are understood.
    pub desired_access: u32,
    /// `FILE_OPEN`, `FILE_CREATE` and their kind.
    pub disposition: u32,
    /// `FILE_DIRECTORY_FILE`, `FILE_DELETE_ON_CLOSE` and their kind.
    pub options: u32,
    /// `FILE_SHARE_*`.
    pub share: u16,
    /// Sharing is neither checked nor counted.
    pub ignores_sharing: bool,
    /// The attributes of a file that is created or overwritten.
    pub attributes: u32,
    /// The open is that of a paging file.
    pub paging_file: bool,
    /// The open takes part in this transaction.
    pub transaction: Option<TransactionId>,
    /// The open is by the index number of the file; the path is then empty, or only a stream.
    pub by_id: Option<u64>,
}

impl<'a> CreateRequest<'a> {
    /// Opens what exists, sharing everything.
    #[must_use]
    pub const fn open(path: &'a str, desired_access: u32) -> Self {
        Self {
            path,
            desired_access,
            disposition: FILE_OPEN,
            options: 0,
            share: 7,
            ignores_sharing: false,
            attributes: 0,
            paging_file: false,
            transaction: None,
            by_id: None,
        }
    }
}

/// What was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The open.
    pub open: OpenId,
    /// The stream it is about.
    pub stream: StreamId,
    /// The file that the stream belongs to.
    pub file: FileId,
    /// `FILE_OPENED`, `FILE_CREATED` and their kind.
    pub information: usize,
    /// The open is about a directory and not about data.
    pub directory: bool,
    /// As requested.
    pub paging_file: bool,
}

/// A mounted file system.
pub struct FileSystem {
    storage: Box<dyn Storage>,
    personality: Personality,
    state: Mutex<State>,
}

impl std::fmt::Debug for FileSystem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileSystem")
            .field("personality", &self.personality)
            .finish_non_exhaustive()
    }
}

impl FileSystem {
    /// Mounts a storage.
    #[must_use]
    pub fn new(
        storage: Box<dyn Storage>,
        personality: Personality,
        teardown: TeardownPolicy,
    ) -> Self {
        Self {
            storage,
            personality,
            state: Mutex::new(State {
                mounted: true,
                table: Table::default(),
                opens: HashMap::new(),
                transactions: Transactions::default(),
                teardown: Teardown::new(teardown),
                last_open: 0,
                last_aside: 0,
                label: layout::utf16(volume_information::LABEL),
                ended: Ended::default(),
            }),
        }
    }

    fn lock(&self) -> Locked<'_> {
        Locked {
            storage: &*self.storage,
            personality: &self.personality,
            state: self.state.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// What kind of file system this is.
    #[must_use]
    pub const fn personality(&self) -> &Personality {
        &self.personality
    }

    /// `IRP_MJ_CREATE`.
    ///
    /// # Errors
    /// The status that the request completes with.
    pub fn create(&self, request: &CreateRequest<'_>) -> Result<Opened, NTSTATUS> {
        self.lock().create(request)
    }

    /// `IRP_MJ_READ`. The offset is a position or `FILE_USE_FILE_POINTER_POSITION` (-2).
    ///
    /// # Errors
    /// `STATUS_END_OF_FILE` at or after the end, `STATUS_ACCESS_DENIED` without the right,
    /// `STATUS_INVALID_DEVICE_REQUEST` for a directory.
    pub fn read(&self, open: OpenId, offset: u64, buffer: &mut [u8]) -> Result<usize, NTSTATUS> {
        self.read_as(open, offset, buffer, Authority::Handle)
    }

    /// [`Self::read`] on somebody's authority.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub fn read_as(
        &self,
        open: OpenId,
        offset: u64,
        buffer: &mut [u8],
        authority: Authority,
    ) -> Result<usize, NTSTATUS> {
        self.lock().read(open, offset, buffer, authority, None)
    }

    /// [`Self::read_as`], as far as the byte-range locks let somebody.
    ///
    /// # Errors
    /// `STATUS_FILE_LOCK_CONFLICT`, and those of [`Self::read`].
    pub(crate) fn read_for(
        &self,
        open: OpenId,
        offset: u64,
        buffer: &mut [u8],
        authority: Authority,
        accessor: Accessor,
    ) -> Result<usize, NTSTATUS> {
        self.lock()
            .read(open, offset, buffer, authority, Some(accessor))
    }

    /// `IRP_MJ_WRITE`. The offset is a position, `FILE_WRITE_TO_END_OF_FILE` (-1) or
    /// `FILE_USE_FILE_POINTER_POSITION` (-2); an open that may only append always appends.
    ///
    /// # Errors
    /// `STATUS_ACCESS_DENIED` without the right, `STATUS_INVALID_DEVICE_REQUEST` for a directory,
    /// `STATUS_DISK_FULL`, `STATUS_MEDIA_WRITE_PROTECTED`.
    pub fn write(&self, open: OpenId, offset: u64, data: &[u8]) -> Result<usize, NTSTATUS> {
        self.write_as(open, offset, data, Authority::Handle)
    }

    /// [`Self::write`] on somebody's authority.
    ///
    /// # Errors
    /// Those of [`Self::write`].
    pub fn write_as(
        &self,
        open: OpenId,
        offset: u64,
        data: &[u8],
        authority: Authority,
    ) -> Result<usize, NTSTATUS> {
        self.lock().write(open, offset, data, authority, None)
    }

    /// [`Self::write_as`], as far as the byte-range locks let somebody.
    ///
    /// # Errors
    /// `STATUS_FILE_LOCK_CONFLICT`, and those of [`Self::write`].
    pub(crate) fn write_for(
        &self,
        open: OpenId,
        offset: u64,
        data: &[u8],
        authority: Authority,
        accessor: Accessor,
    ) -> Result<usize, NTSTATUS> {
        self.lock()
            .write(open, offset, data, authority, Some(accessor))
    }

    /// `IRP_MJ_LOCK_CONTROL`: locks a range for an open, or gives back what it has. Whom the lock
    /// names for its file does not count.
    ///
    /// # Errors
    /// `STATUS_LOCK_NOT_GRANTED` without a waiter; `STATUS_RANGE_NOT_LOCKED`,
    /// `STATUS_INVALID_LOCK_RANGE`; `STATUS_INVALID_PARAMETER` for a directory,
    /// `STATUS_ACCESS_DENIED` without a right to read or write.
    pub(crate) fn lock_control(
        &self,
        open: OpenId,
        action: Action,
        lock: Lock,
        ticket: Ticket,
        waiter: Option<Waiter>,
        authority: Authority,
    ) -> Result<Answer, NTSTATUS> {
        let mut locked = self.lock();
        let answer = locked.lock_control(open, action, lock, (ticket, waiter), authority);
        locked.tell();
        answer
    }

    /// Whoever waits for a lock with a ticket waits no longer; `None` if he does not.
    pub(crate) fn withdraw_lock(&self, open: OpenId, ticket: Ticket) -> Option<Waiter> {
        self.lock().withdraw_lock(open, ticket)
    }

    /// Whether anybody has locked a range of what is open.
    pub(crate) fn is_range_locked(&self, open: OpenId) -> bool {
        self.lock().is_range_locked(open)
    }

    /// `IRP_MJ_QUERY_INFORMATION`: writes the structure of the class, gives its length.
    ///
    /// # Errors
    /// `STATUS_INVALID_INFO_CLASS`; `STATUS_INFO_LENGTH_MISMATCH` if not even the fixed part fits;
    /// `STATUS_BUFFER_OVERFLOW` if the rest does not: the buffer then holds what went into it.
    pub fn query_information(
        &self,
        open: OpenId,
        class: FILE_INFORMATION_CLASS,
        buffer: &mut [u8],
    ) -> Result<usize, NTSTATUS> {
        self.query_information_as(open, class, buffer, Authority::Handle)
    }

    /// [`Self::query_information`] on somebody's authority.
    ///
    /// # Errors
    /// Those of [`Self::query_information`].
    pub fn query_information_as(
        &self,
        open: OpenId,
        class: FILE_INFORMATION_CLASS,
        buffer: &mut [u8],
        authority: Authority,
    ) -> Result<usize, NTSTATUS> {
        self.lock()
            .query_information(open, class, buffer, authority)
    }

    /// `IRP_MJ_SET_INFORMATION`. `target` is the full path of a rename whose structure has a root
    /// directory; without it the name in the structure counts, from the root or of a sibling.
    ///
    /// # Errors
    /// The status that the request completes with.
    pub fn set_information(
        &self,
        open: OpenId,
        class: FILE_INFORMATION_CLASS,
        buffer: &[u8],
        target: Option<&str>,
    ) -> Result<(), NTSTATUS> {
        self.set_information_as(open, class, buffer, target, Authority::Handle)
    }

    /// [`Self::set_information`] on somebody's authority.
    ///
    /// # Errors
    /// Those of [`Self::set_information`].
    pub fn set_information_as(
        &self,
        open: OpenId,
        class: FILE_INFORMATION_CLASS,
        buffer: &[u8],
        target: Option<&str>,
        authority: Authority,
    ) -> Result<(), NTSTATUS> {
        self.lock()
            .set_information(open, class, buffer, target, authority)
    }

    /// `IRP_MJ_DIRECTORY_CONTROL`, `IRP_MN_QUERY_DIRECTORY`: `.` and `..` first (the root has
    /// neither), then by name. The pattern of the first query stays until a restart with another.
    ///
    /// # Errors
    /// `STATUS_NO_SUCH_FILE` if nothing fits at all, `STATUS_NO_MORE_FILES` after the last entry,
    /// `STATUS_BUFFER_OVERFLOW` if the name of the first entry does not fit (it counts as given).
    pub fn query_directory(
        &self,
        open: OpenId,
        class: FILE_INFORMATION_CLASS,
        pattern: Option<&str>,
        restart: bool,
        single: bool,
        buffer: &mut [u8],
    ) -> Result<usize, NTSTATUS> {
        self.query_directory_as(
            open,
            class,
            pattern,
            restart,
            single,
            buffer,
            Authority::Handle,
        )
    }

    /// [`Self::query_directory`] on somebody's authority.
    ///
    /// # Errors
    /// Those of [`Self::query_directory`].
    #[expect(
        clippy::too_many_arguments,
        reason = "they are what the request carries"
    )]
    pub fn query_directory_as(
        &self,
        open: OpenId,
        class: FILE_INFORMATION_CLASS,
        pattern: Option<&str>,
        restart: bool,
        single: bool,
        buffer: &mut [u8],
        authority: Authority,
    ) -> Result<usize, NTSTATUS> {
        let query = DirectoryQuery {
            class,
            pattern,
            restart,
            single,
        };
        self.lock().query_directory(open, &query, buffer, authority)
    }

    /// `IRP_MJ_QUERY_VOLUME_INFORMATION`.
    ///
    /// # Errors
    /// Like [`Self::query_information`].
    pub fn query_volume_information(
        &self,
        class: FS_INFORMATION_CLASS,
        buffer: &mut [u8],
    ) -> Result<usize, NTSTATUS> {
        self.lock().query_volume_information(class, buffer)
    }

    /// `IRP_MJ_SET_VOLUME_INFORMATION`: the label is all that can be set.
    ///
    /// # Errors
    /// `STATUS_INVALID_INFO_CLASS`; `STATUS_INFO_LENGTH_MISMATCH`, `STATUS_INVALID_VOLUME_LABEL`.
    pub fn set_volume_information(
        &self,
        class: FS_INFORMATION_CLASS,
        buffer: &[u8],
    ) -> Result<(), NTSTATUS> {
        self.lock().set_volume_information(class, buffer)
    }

    /// `IRP_MJ_QUERY_SECURITY`: the descriptor of the file with these parts
    /// (`OWNER_SECURITY_INFORMATION` and its kind), in self-relative form.
    ///
    /// # Errors
    /// `STATUS_INVALID_DEVICE_REQUEST` if the file system has no security, `STATUS_ACCESS_DENIED`
    /// without the right.
    pub fn query_security(
        &self,
        open: OpenId,
        information: SECURITY_INFORMATION,
    ) -> Result<Vec<u8>, NTSTATUS> {
        self.lock().query_security(open, information)
    }

    /// `IRP_MJ_SET_SECURITY`: the file takes these parts over from a self-relative descriptor.
    ///
    /// # Errors
    /// Those of [`Self::query_security`]; `STATUS_INVALID_OWNER` and
    /// `STATUS_INVALID_PRIMARY_GROUP` if the descriptor has none to take over; what is wrong with a
    /// descriptor that is none.
    pub fn set_security(
        &self,
        open: OpenId,
        information: SECURITY_INFORMATION,
        descriptor: &[u8],
    ) -> Result<(), NTSTATUS> {
        self.lock().set_security(open, information, descriptor)
    }

    /// `IRP_MJ_FLUSH_BUFFERS`.
    ///
    /// # Errors
    /// Whatever the storage meets.
    pub fn flush(&self, open: OpenId) -> Result<(), NTSTATUS> {
        let locked = self.lock();
        let subject = locked.usable(open)?;
        if subject.removed {
            return Ok(());
        }
        locked.storage.flush(subject.node)
    }

    /// What a query-open answers, without leaving an open or a structure behind.
    ///
    /// # Errors
    /// The status that opening the path for its attributes completes with.
    pub fn network_open_information(
        &self,
        path: &str,
    ) -> Result<FILE_NETWORK_OPEN_INFORMATION, NTSTATUS> {
        let mut locked = self.lock();
        let request = CreateRequest::open(path, FILE_READ_ATTRIBUTES);
        let known = {
            let parsed = VolumePath::parse(path, locked.personality.alternate_streams)?;
            match locked.walk(&parsed.components, None)? {
                Target::Node(node, _) => {
                    let same = |other: &str| locked.same_name(other, &parsed.stream);
                    locked.state.table.stream_of(node, same)
                }
                Target::Missing { .. } => None,
            }
        };
        let opened = locked.create(&request)?;
        let subject = locked.subject(opened.open);
        let information = subject.and_then(|subject| locked.network_open(&subject));
        locked.forget_open(opened.open, known.is_none());
        information
    }

    /// The full name of an open as it is stored: `\directory\file:stream`. A file that is gone
    /// keeps the name it had.
    ///
    /// # Errors
    /// `STATUS_INVALID_HANDLE` if there is no such open.
    pub fn name_of(&self, open: OpenId) -> Result<String, NTSTATUS> {
        let locked = self.lock();
        let subject = locked.subject(open)?;
        locked.name_of(&subject)
    }

    /// The rights that an open has.
    ///
    /// # Errors
    /// `STATUS_INVALID_HANDLE` if there is no such open.
    pub fn granted_access(&self, open: OpenId) -> Result<u32, NTSTATUS> {
        Ok(self.lock().open(open)?.access)
    }

    /// Whether a deletion waits for the last handle of what is open.
    ///
    /// # Errors
    /// `STATUS_INVALID_HANDLE` if there is no such open.
    pub fn is_delete_pending(&self, open: OpenId) -> Result<bool, NTSTATUS> {
        let locked = self.lock();
        let open = locked.open(open)?;
        let file = locked.file(open.file)?.delete_pending.is_some();
        Ok(file || locked.stream(open.stream)?.delete_pending.is_some())
    }

    /// `IRP_MJ_CLEANUP`: the last handle of an open is closed. Its share access and its byte-range
    /// locks end, and a pending deletion happens if this was the last handle of the file. A second
    /// one does nothing.
    ///
    /// # Errors
    /// Whatever keeps the storage from deleting; the open is cleaned up all the same.
    pub fn cleanup(&self, open: OpenId) -> Result<(), NTSTATUS> {
        let mut locked = self.lock();
        let result = locked.cleanup(open);
        locked.tell();
        result
    }

    /// `IRP_MJ_CLOSE`: the file object ends. Structures that nobody holds open any more may go.
    /// An open that was not cleaned up is cleaned up first. An unknown one is ignored.
    pub fn close(&self, open: OpenId) -> Vec<Gone> {
        let mut locked = self.lock();
        let gone = locked.close(open);
        locked.tell();
        gone
    }

    /// The cache lets go of everything that no open holds.
    pub fn trim(&self) -> Vec<Gone> {
        self.lock().trim()
    }

    /// Dismounts the volume: what is open can only be cleaned up and closed from now on, and its
    /// structures go with its last close; structures without opens go now.
    pub fn dismount(&self) -> Vec<Gone> {
        let mut locked = self.lock();
        locked.state.mounted = false;
        locked.trim()
    }

    /// Begins a transaction. What transactions isolate, and what not: see `transaction.rs`.
    ///
    /// # Errors
    /// `STATUS_NOT_SUPPORTED`, or `STATUS_TRANSACTIONS_UNSUPPORTED_REMOTE` on a redirector.
    pub fn begin(&self) -> Result<TransactionId, NTSTATUS> {
        let mut locked = self.lock();
        locked.check_transactions()?;
        Ok(locked.state.transactions.begin())
    }

    /// Ends a transaction and makes everything that was done in it final.
    ///
    /// # Errors
    /// `STATUS_TRANSACTION_NOT_ACTIVE` if it has ended before, `STATUS_TRANSACTION_NOT_FOUND` if it
    /// never was; or the first failure of the storage, after everything was tried.
    pub fn commit(&self, transaction: TransactionId) -> Result<(), NTSTATUS> {
        self.lock().commit(transaction)
    }

    /// Ends a transaction and takes everything back that was done in it.
    ///
    /// # Errors
    /// Those of [`Self::commit`].
    pub fn rollback(&self, transaction: TransactionId) -> Result<(), NTSTATUS> {
        self.lock().rollback(transaction)
    }
}

#[cfg(test)]
mod tests;
