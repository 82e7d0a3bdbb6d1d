//! File objects: one per open, from create to the last `IRP_MJ_CLOSE`.

use super::driver_memory::DriverMemory;
use super::life;
use crate::filesystem::{Authority, FileContexts, FileId, OpenId, Opened, StreamId, TransactionId};
use crate::kernel::handle::KernelObject;
use crate::machine::Inner;
use crate::manager::context::ContextKind;
use crate::manager::{Instance, Object, Transaction, Volume, publish};
use fltmgr_sys::*;
use parking_lot::Mutex;
use std::ptr::null_mut;
use std::sync::{Arc, Weak};

const USER_MODE: KPROCESSOR_MODE = 1;

/// What a file object is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Ordinary use.
    File,
    /// A paging file: it has no contexts below the instance.
    PagingFile,
    /// `IRP_MJ_NETWORK_QUERY_OPEN`: it never becomes open.
    QueryOpen,
}

/// Where a file object is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FilePhase {
    /// Before the file system has opened it, or if it never does.
    Unopened,
    /// From there to the end of `IRP_MJ_CLOSE` in the file system.
    Open,
    /// Afterwards.
    Closed,
}

/// Why a file object has no contexts of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsupported {
    /// Before the file system has opened it: the file is not determined.
    Unopened,
    /// After `IRP_MJ_CLOSE`: the file system's structures are gone.
    Closed,
    /// Paging files have none.
    PagingFile,
    /// `IRP_MJ_NETWORK_QUERY_OPEN` opens nothing.
    QueryOpen,
    /// The file system has none.
    FileSystem,
}

impl Unsupported {
    /// Whether asking is an error of the driver and not only in vain.
    pub(crate) const fn is_misuse(self) -> bool {
        matches!(self, Self::Unopened | Self::Closed)
    }

    /// The reason, for a report.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Unopened => "the file object is not open (pre-create, or a failed create)",
            Self::Closed => "the file object has been closed (post-close)",
            Self::PagingFile => "the file is a paging file",
            Self::QueryOpen => "the file object belongs to IRP_MJ_NETWORK_QUERY_OPEN",
            Self::FileSystem => "the file system does not support this kind of context",
        }
    }
}

/// What the file system knows an open file object by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) open: OpenId,
    pub(crate) stream: StreamId,
    pub(crate) file: FileId,
    pub(crate) directory: bool,
}

struct State {
    phase: FilePhase,
    identity: Option<Identity>,
    /// Handles and kernel references together; the last one to go sends `IRP_MJ_CLOSE`.
    references: u64,
    /// The `IO_PRIORITY_HINT` that was set for it.
    priority: Option<i32>,
    /// Handles that drivers have; the last one to go sends `IRP_MJ_CLEANUP`.
    handles: u64,
}

/// One file object.
///
/// # Invariants
/// The kernel structure is the first field, so the object's address is the `PFILE_OBJECT`. The
/// name that it points to is never changed after it was made.
#[repr(C)]
pub(crate) struct FileObject {
    object: DriverMemory<FILE_OBJECT>,
    machine: Weak<Inner>,
    volume: Arc<Volume>,
    id: u64,
    path: String,
    purpose: Purpose,
    requestor: KPROCESSOR_MODE,
    transaction: Option<Arc<Transaction>>,
    below: Option<Arc<Instance>>,
    ignores_sharing: bool,
    by_id: Option<u64>,
    _related: Option<Arc<FileObject>>,
    _name: Box<[u16]>,
    _sections: Box<DriverMemory<SECTION_OBJECT_POINTERS>>,
    state: Mutex<State>,
}

/// How a file object comes about.
pub(crate) struct Birth {
    pub(crate) id: u64,
    pub(crate) path: String,
    pub(crate) purpose: Purpose,
    pub(crate) requestor: KPROCESSOR_MODE,
    pub(crate) transaction: Option<Arc<Transaction>>,
    pub(crate) related: Option<Arc<FileObject>>,
    /// Only instances below this one see what is done with it.
    pub(crate) below: Option<Arc<Instance>>,
    /// Sharing is neither checked nor counted (`IO_IGNORE_SHARE_ACCESS_CHECK`).
    pub(crate) ignores_sharing: bool,
    /// It is opened by the number of the file, and the path is only for reports.
    pub(crate) by_id: Option<u64>,
    pub(crate) flags: ULONG,
}

impl Birth {
    /// An ordinary file that an application opens by its path.
    pub(crate) fn new(machine: &Inner, path: &str) -> Self {
        Self {
            id: machine.next_id(),
            path: path.to_owned(),
            purpose: Purpose::File,
            requestor: USER_MODE,
            transaction: None,
            related: None,
            below: None,
            ignores_sharing: false,
            by_id: None,
            flags: 0,
        }
    }
}

impl FileObject {
    /// Makes a file object, with one reference, and makes it known to the exports.
    pub(crate) fn new(volume: &Arc<Volume>, birth: Birth) -> Arc<Self> {
        let file = Self::unknown(volume, birth);
        if let Some(machine) = volume.machine.upgrade() {
            publish(
                &machine,
                file.pointer() as usize,
                Object::File(file.clone()),
            );
        }
        file
    }

    /// Makes a file object that no driver knows: it stands in where there is none.
    pub(super) fn unknown(volume: &Arc<Volume>, birth: Birth) -> Arc<Self> {
        let mut name: Box<[u16]> = match birth.by_id {
            // The number itself takes the place of the name.
            Some(id) => [0, 16, 32, 48]
                .map(|shift| (id >> shift & 0xFFFF) as u16)
                .into(),
            None => birth.path.encode_utf16().collect(),
        };
        let bytes = u16::try_from(name.len() * 2).unwrap_or(u16::MAX - 1);
        let sections = Box::new(DriverMemory::new(SECTION_OBJECT_POINTERS {
            DataSectionObject: null_mut(),
            SharedCacheMap: null_mut(),
            ImageSectionObject: null_mut(),
        }));
        // SAFETY: a file object is integers, nullable pointers and unions of those; all-zero is a
        // valid one.
        let mut object: FILE_OBJECT = unsafe { std::mem::zeroed() };
        object.Type = 5;
        object.Size = i16::try_from(size_of::<FILE_OBJECT>()).unwrap_or(i16::MAX);
        object.Flags = birth.flags;
        object.FileName = UNICODE_STRING {
            Length: bytes,
            MaximumLength: bytes,
            Buffer: name.as_mut_ptr(),
        };
        object.RelatedFileObject = birth
            .related
            .as_ref()
            .map_or(null_mut(), |related| related.pointer());
        object.SectionObjectPointer = sections.pointer();
        object.DeviceObject = volume.device();
        Arc::new(Self {
            object: DriverMemory::new(object),
            machine: volume.machine.clone(),
            volume: volume.clone(),
            id: birth.id,
            path: birth.path,
            purpose: birth.purpose,
            requestor: birth.requestor,
            transaction: birth.transaction,
            below: birth.below,
            ignores_sharing: birth.ignores_sharing,
            by_id: birth.by_id,
            _related: birth.related,
            _name: name,
            _sections: sections,
            state: Mutex::new(State {
                phase: FilePhase::Unopened,
                identity: None,
                priority: None,
                references: 1,
                handles: 0,
            }),
        })
    }

    pub(crate) const fn pointer(&self) -> PFILE_OBJECT {
        self.object.pointer()
    }

    pub(crate) const fn machine(&self) -> &Weak<Inner> {
        &self.machine
    }

    pub(crate) const fn volume(&self) -> &Arc<Volume> {
        &self.volume
    }

    /// A number that no other file object has: the key of stream-handle contexts.
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    /// The path that it was opened by, from the root of the volume.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) const fn purpose(&self) -> Purpose {
        self.purpose
    }

    pub(crate) const fn requestor(&self) -> KPROCESSOR_MODE {
        self.requestor
    }

    /// The transaction that it was opened in.
    pub(crate) const fn transaction(&self) -> Option<&Arc<Transaction>> {
        self.transaction.as_ref()
    }

    /// The instance that it was opened below.
    pub(crate) const fn below(&self) -> Option<&Arc<Instance>> {
        self.below.as_ref()
    }

    pub(crate) const fn ignores_sharing(&self) -> bool {
        self.ignores_sharing
    }

    /// The number that it was opened by.
    pub(crate) const fn by_id(&self) -> Option<u64> {
        self.by_id
    }

    pub(crate) fn transaction_pointer(&self) -> PKTRANSACTION {
        self.transaction
            .as_ref()
            .map_or(null_mut(), Transaction::pointer)
    }

    /// The file system's transaction that it was opened in.
    pub(crate) fn file_system_transaction(&self) -> Result<Option<TransactionId>, NTSTATUS> {
        self.transaction
            .as_ref()
            .map(|transaction| transaction.file_system_transaction(&self.volume))
            .transpose()
    }

    pub(crate) fn is_uncached(&self) -> bool {
        self.object.load().Flags & FO_NO_INTERMEDIATE_BUFFERING != 0
    }

    pub(crate) fn phase(&self) -> FilePhase {
        self.state.lock().phase
    }

    /// What the file system knows it by; `None` unless it is open.
    pub(crate) fn identity(&self) -> Option<Identity> {
        let state = self.state.lock();
        match state.phase {
            FilePhase::Open => state.identity,
            FilePhase::Unopened | FilePhase::Closed => None,
        }
    }

    /// The stream that it has open.
    pub(crate) fn stream(&self) -> Option<StreamId> {
        self.identity().map(|identity| identity.stream)
    }

    /// The file that it has open.
    pub(crate) fn file(&self) -> Option<FileId> {
        self.identity().map(|identity| identity.file)
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.identity().is_some_and(|identity| identity.directory)
    }

    /// Whether the volume itself is open, and not a file on it.
    pub(crate) fn is_volume_open(&self) -> bool {
        self.path.is_empty() && self.by_id.is_none()
    }

    /// Whether contexts of a kind can be attached, looked up and deleted now.
    pub(crate) fn support(&self, kind: ContextKind) -> Result<(), Unsupported> {
        match self.purpose {
            Purpose::QueryOpen => return Err(Unsupported::QueryOpen),
            Purpose::File | Purpose::PagingFile => {}
        }
        match self.phase() {
            FilePhase::Unopened => return Err(Unsupported::Unopened),
            FilePhase::Closed => return Err(Unsupported::Closed),
            FilePhase::Open => {}
        }
        if self.purpose == Purpose::PagingFile {
            return Err(Unsupported::PagingFile);
        }
        let personality = &self.volume.personality;
        let supported = match kind {
            ContextKind::File => personality.file_contexts != FileContexts::None,
            ContextKind::Stream => personality.stream_contexts,
            ContextKind::StreamHandle => personality.stream_handle_contexts,
            ContextKind::Section => personality.data_scan,
            ContextKind::Volume | ContextKind::Instance | ContextKind::Transaction => true,
        };
        if supported {
            Ok(())
        } else {
            Err(Unsupported::FileSystem)
        }
    }

    /// The file system has opened it.
    pub(crate) fn opened(&self, opened: &Opened, access: ACCESS_MASK, share: ULONG) {
        let mut state = self.state.lock();
        state.phase = FilePhase::Open;
        state.identity = Some(Identity {
            open: opened.open,
            stream: opened.stream,
            file: opened.file,
            directory: opened.directory,
        });
        drop(state);
        let byte = |wanted: bool| BOOLEAN::from(wanted);
        self.object.modify(|object| {
            // A driver may compare these but never follows them: they are names, not addresses.
            object.FsContext = opaque(0x5000_0000_0000, opened.stream.0);
            object.FsContext2 = opaque(0x6000_0000_0000, self.id);
            object.ReadAccess = byte(access & (FILE_READ_DATA | FILE_EXECUTE) != 0);
            object.WriteAccess = byte(access & (FILE_WRITE_DATA | FILE_APPEND_DATA) != 0);
            object.DeleteAccess = byte(access & DELETE != 0);
            object.SharedRead = byte(share & FILE_SHARE_READ != 0);
            object.SharedWrite = byte(share & FILE_SHARE_WRITE != 0);
            object.SharedDelete = byte(share & FILE_SHARE_DELETE != 0);
            object.Flags |= FO_FILE_OPEN;
        });
    }

    /// A handle was made from it.
    pub(crate) fn handle_created(&self) {
        self.object
            .modify(|object| object.Flags |= FO_HANDLE_CREATED);
    }

    /// Its handle is used to lock, or was.
    pub(crate) fn locks(&self) {
        self.object.modify(|object| object.LockOperation = 1);
    }

    pub(crate) fn has_handle(&self) -> bool {
        self.object.load().Flags & FO_HANDLE_CREATED != 0
    }

    /// A filter has taken its open back.
    pub(crate) fn open_cancelled(&self) {
        self.object
            .modify(|object| object.Flags |= FO_FILE_OPEN_CANCELLED);
    }

    pub(crate) fn is_open_cancelled(&self) -> bool {
        self.object.load().Flags & FO_FILE_OPEN_CANCELLED != 0
    }

    pub(crate) fn cleaned_up(&self) {
        self.object
            .modify(|object| object.Flags |= FO_CLEANUP_COMPLETE);
    }

    /// The file system closes it: what it was known by, once.
    pub(crate) fn closed(&self) -> Option<Identity> {
        let mut state = self.state.lock();
        state.phase = FilePhase::Closed;
        state.identity.take()
    }

    /// The `IO_PRIORITY_HINT` that was set for it.
    pub(crate) fn priority(&self) -> Option<i32> {
        self.state.lock().priority
    }

    pub(crate) fn set_priority(&self, hint: i32) {
        self.state.lock().priority = Some(hint);
    }

    /// Whether it has a flag (`FO_*`).
    pub(crate) fn has_flag(&self, flag: ULONG) -> bool {
        self.object.load().Flags & flag != 0
    }

    /// Sets or clears a flag; `false` if it is so already.
    pub(crate) fn set_flag(&self, flag: ULONG, on: bool) -> bool {
        if self.has_flag(flag) == on {
            return false;
        }
        self.object.modify(|object| object.Flags ^= flag);
        true
    }

    /// Adds a kernel reference; `false` if the last one is already gone.
    pub(crate) fn reference(&self) -> bool {
        let mut state = self.state.lock();
        if state.references == 0 {
            return false;
        }
        state.references += 1;
        true
    }

    /// Takes one reference away; `None` if there was none, else how many are left.
    pub(crate) fn release(&self) -> Option<u64> {
        let mut state = self.state.lock();
        state.references = state.references.checked_sub(1)?;
        Some(state.references)
    }

    pub(crate) fn position(&self) -> i64 {
        let position = self.object.load().CurrentByteOffset;
        // SAFETY: every bit pattern of the union is an integer.
        unsafe { position.QuadPart }
    }

    pub(crate) fn set_position(&self, position: i64) {
        self.object
            .modify(|object| object.CurrentByteOffset = LARGE_INTEGER { QuadPart: position });
    }

    pub(crate) fn is_synchronous(&self) -> bool {
        self.object.load().Flags & FO_SYNCHRONOUS_IO != 0
    }

    /// The size of the file, for a section on it; `STATUS_FILE_IS_A_DIRECTORY` for a directory.
    pub(crate) fn section_size(&self) -> Result<u64, NTSTATUS> {
        let identity = self.identity().ok_or(STATUS_INVALID_FILE_FOR_SECTION)?;
        if identity.directory {
            return Err(STATUS_FILE_IS_A_DIRECTORY);
        }
        let mut buffer = [0; size_of::<FILE_STANDARD_INFORMATION>()];
        self.volume.io.file_system.query_information_as(
            identity.open,
            FileStandardInformation,
            &mut buffer,
            Authority::Kernel,
        )?;
        let offset = std::mem::offset_of!(FILE_STANDARD_INFORMATION, EndOfFile);
        let bytes = buffer[offset..offset + 8].try_into().unwrap_or_default();
        Ok(u64::from_le_bytes(bytes))
    }

    /// Whether anybody has locked a range of the stream.
    pub(crate) fn is_range_locked(&self) -> bool {
        let file_system = &self.volume.io.file_system;
        self.identity()
            .is_some_and(|identity| file_system.is_range_locked(identity.open))
    }

    /// The bytes of the stream, for a section on it.
    pub(crate) fn section_contents(&self, size: u64) -> Result<Box<[u8]>, NTSTATUS> {
        let identity = self.identity().ok_or(STATUS_INVALID_FILE_FOR_SECTION)?;
        let size = usize::try_from(size).map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
        let mut contents = vec![0; size];
        let mut filled = 0;
        while filled < size {
            let rest = &mut contents[filled..];
            let file_system = &self.volume.io.file_system;
            match file_system.read_as(identity.open, filled as u64, rest, Authority::Kernel)? {
                0 => break,
                count => filled += count,
            }
        }
        contents.truncate(filled);
        Ok(contents.into_boxed_slice())
    }
}

impl KernelObject for FileObject {
    fn name(&self) -> &'static str {
        "file object"
    }

    fn handle_name(&self) -> &'static str {
        "file handle"
    }

    fn object_type(&self) -> &'static str {
        "IoFileObjectType"
    }

    fn path(&self) -> Option<String> {
        Some(format!("{}{}", self.volume.name, self.path))
    }

    fn owner(&self) -> &Weak<Inner> {
        &self.machine
    }

    fn address(&self) -> usize {
        self.pointer() as usize
    }

    fn reference(&self, _call: &'static str) -> bool {
        Self::reference(self)
    }

    fn dereference(self: Arc<Self>, machine: &Arc<Inner>) -> bool {
        // The reference may be one that a filter got when it opened the file.
        let filters = machine.filters.read().clone();
        let address = KernelObject::address(&*self);
        let mut held = filters.iter().map(|filter| &filter.held);
        let _ = held.any(|held| held.remove(address)) || machine.held.remove(address);
        life::dereference(machine, &self)
    }

    fn references(&self, _machine: &Inner) -> u64 {
        let state = self.state.lock();
        state.references - state.handles
    }

    fn handle_opened(&self) {
        let mut state = self.state.lock();
        state.references += 1;
        state.handles += 1;
    }

    fn handle_closed(self: Arc<Self>, machine: &Arc<Inner>) {
        let left = {
            let mut state = self.state.lock();
            state.handles = state.handles.saturating_sub(1);
            state.handles
        };
        if left == 0 {
            life::cleanup(machine, &self);
        }
        life::dereference(machine, &self);
    }
}

/// A name that looks like an address.
fn opaque(base: usize, number: u64) -> PVOID {
    let number = usize::try_from(number).unwrap_or(0);
    base.wrapping_add(number.wrapping_mul(16)) as PVOID
}
