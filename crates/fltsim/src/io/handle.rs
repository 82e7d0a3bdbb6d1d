//! The file API of a volume: what applications, the memory manager and the server would do.

use super::file_object::FileObject;
use super::life::{self, Origin};
use super::lock_control::current_process;
use super::operation::{Completion, Door, Operation, Request};
use super::options::{ByteRange, IoOptions, OpenOptions};
use super::path;
use super::security;
use crate::kernel::descriptor::Captured;
use crate::kernel::string::Owned;
use crate::machine::{Inner, Volume};
use crate::manager;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

impl Volume {
    /// Opens a file. The path starts at the root of the volume: `\directory\file:stream`.
    ///
    /// # Errors
    /// The status that the create completed with.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "options are built where they are used"
    )]
    pub fn open(&self, path: &str, options: OpenOptions) -> Result<Handle, NTSTATUS> {
        Handle::open(self.machine(), self.volume(), path, &options)
    }

    /// Asks for the attributes of a file without opening it (`IRP_MJ_NETWORK_QUERY_OPEN`). If a
    /// filter refuses fast I/O, the file is opened, queried and closed instead.
    ///
    /// # Errors
    /// The status that the request completed with.
    pub fn query_open(&self, path: &str) -> Result<FILE_NETWORK_OPEN_INFORMATION, NTSTATUS> {
        query_attributes(self.machine(), self.volume(), path)
    }

    /// Asks the file system about itself.
    ///
    /// # Errors
    /// The status that the request completed with.
    pub fn query_volume_information(
        &self,
        class: FS_INFORMATION_CLASS,
        buffer: &mut [u8],
    ) -> Result<usize, NTSTATUS> {
        let options = OpenOptions::read().access(FILE_READ_ATTRIBUTES);
        self.open("\\", options)?
            .query_volume_information(class, buffer)
    }

    /// Lets the cache go of everything that no open holds; contexts go with it.
    pub fn trim(&self) {
        let gone = self.volume().io.file_system.trim();
        life::release_gone(self.machine(), self.volume(), &gone);
    }
}

/// Asks for the attributes of a file, without opening it unless a filter refuses that.
pub(crate) fn query_attributes(
    machine: &Arc<Inner>,
    volume: &Arc<manager::Volume>,
    path: &str,
) -> Result<FILE_NETWORK_OPEN_INFORMATION, NTSTATUS> {
    let zero = LARGE_INTEGER { QuadPart: 0 };
    let mut information = FILE_NETWORK_OPEN_INFORMATION {
        CreationTime: zero,
        LastAccessTime: zero,
        LastWriteTime: zero,
        ChangeTime: zero,
        AllocationSize: zero,
        EndOfFile: zero,
        FileAttributes: 0,
    };
    match life::network_query_open(machine, volume, path, &mut information) {
        Err(STATUS_FLT_DISALLOW_FAST_IO) => {
            let options = OpenOptions::read().access(FILE_READ_ATTRIBUTES);
            let handle = Handle::open(machine, volume, path, &options)?;
            let mut buffer = [0; size_of::<FILE_NETWORK_OPEN_INFORMATION>()];
            handle.query_information(FileNetworkOpenInformation, &mut buffer)?;
            // SAFETY: the buffer has the size of the structure, which has no invalid values.
            Ok(unsafe {
                buffer
                    .as_ptr()
                    .cast::<FILE_NETWORK_OPEN_INFORMATION>()
                    .read_unaligned()
            })
        }
        other => other.map(|()| information),
    }
}

/// A handle to an open file.
///
/// Dropping it closes it: `IRP_MJ_CLEANUP`, and `IRP_MJ_CLOSE` unless a [`FileReference`] is left.
pub struct Handle {
    machine: Arc<Inner>,
    file: Arc<FileObject>,
    information: usize,
    closed: AtomicBool,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Handle")
            .field("path", &self.file.path())
            .finish_non_exhaustive()
    }
}

/// A kernel reference on a file object, such as the cache and the memory manager hold. It outlives
/// the handle; `IRP_MJ_CLOSE` waits for it.
pub struct FileReference {
    machine: Arc<Inner>,
    file: Arc<FileObject>,
}

impl std::fmt::Debug for FileReference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("FileReference")
            .field("path", &self.file.path())
            .finish_non_exhaustive()
    }
}

impl FileReference {
    /// The file object.
    #[must_use]
    pub fn file_object(&self) -> PFILE_OBJECT {
        self.file.pointer()
    }

    /// Reads as the memory manager does: paging I/O, although the handle may be closed already.
    ///
    /// # Errors
    /// The status that the request completed with.
    pub fn read_paging(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, NTSTATUS> {
        read(
            &self.machine,
            &self.file,
            offset,
            buffer,
            IoOptions::default().paging(),
        )
    }

    /// Writes as the memory manager does.
    ///
    /// # Errors
    /// The status that the request completed with.
    pub fn write_paging(&self, offset: u64, data: &[u8]) -> Result<usize, NTSTATUS> {
        write(
            &self.machine,
            &self.file,
            offset,
            data,
            IoOptions::default().paging(),
        )
    }
}

impl Drop for FileReference {
    fn drop(&mut self) {
        life::dereference(&self.machine, &self.file);
    }
}

impl Handle {
    fn open(
        machine: &Arc<Inner>,
        volume: &Arc<manager::Volume>,
        path: &str,
        options: &OpenOptions,
    ) -> Result<Self, NTSTATUS> {
        let (file, information) = life::open(machine, volume, path, options, Origin::default())?;
        Ok(Self {
            machine: machine.clone(),
            file,
            information,
            closed: AtomicBool::new(false),
        })
    }

    /// The file object.
    #[must_use]
    pub fn file_object(&self) -> PFILE_OBJECT {
        self.file.pointer()
    }

    /// What the create did: `FILE_OPENED`, `FILE_CREATED` and their kind.
    #[must_use]
    pub const fn information(&self) -> usize {
        self.information
    }

    /// Takes a kernel reference on the file object.
    #[must_use]
    pub fn reference(&self) -> FileReference {
        self.file.reference();
        FileReference {
            machine: self.machine.clone(),
            file: self.file.clone(),
        }
    }

    /// Reads at an offset.
    ///
    /// # Errors
    /// The status that the read completed with.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, NTSTATUS> {
        self.read_with(offset, buffer, IoOptions::default())
    }

    /// Reads at an offset, as paging I/O.
    ///
    /// # Errors
    /// The status that the read completed with.
    pub fn read_paging(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, NTSTATUS> {
        self.read_with(offset, buffer, IoOptions::default().paging())
    }

    /// Reads at an offset, by fast I/O unless a filter refuses it.
    ///
    /// # Errors
    /// The status that the read completed with.
    pub fn read_fast(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, NTSTATUS> {
        self.read_with(offset, buffer, IoOptions::default().fast_io())
    }

    /// Reads at an offset, in a given way.
    ///
    /// # Errors
    /// The status that the read completed with.
    pub fn read_with(
        &self,
        offset: u64,
        buffer: &mut [u8],
        options: IoOptions,
    ) -> Result<usize, NTSTATUS> {
        read(&self.machine, &self.file, offset, buffer, options)
    }

    /// Writes at an offset.
    ///
    /// # Errors
    /// The status that the write completed with.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<usize, NTSTATUS> {
        self.write_with(offset, data, IoOptions::default())
    }

    /// Writes at an offset, as paging I/O.
    ///
    /// # Errors
    /// The status that the write completed with.
    pub fn write_paging(&self, offset: u64, data: &[u8]) -> Result<usize, NTSTATUS> {
        self.write_with(offset, data, IoOptions::default().paging())
    }

    /// Writes at an offset, in a given way.
    ///
    /// # Errors
    /// The status that the write completed with.
    pub fn write_with(
        &self,
        offset: u64,
        data: &[u8],
        options: IoOptions,
    ) -> Result<usize, NTSTATUS> {
        write(&self.machine, &self.file, offset, data, options)
    }

    /// Writes at the end of the file.
    ///
    /// # Errors
    /// The status that the write completed with.
    pub fn append(&self, data: &[u8]) -> Result<usize, NTSTATUS> {
        // FILE_WRITE_TO_END_OF_FILE: all bits set.
        self.write(u64::MAX, data)
    }

    /// Queries information of the file.
    ///
    /// # Errors
    /// The status that the query completed with; `STATUS_BUFFER_OVERFLOW` is one.
    pub fn query_information(
        &self,
        class: FILE_INFORMATION_CLASS,
        buffer: &mut [u8],
    ) -> Result<usize, NTSTATUS> {
        self.query_information_with(class, buffer, IoOptions::default())
    }

    /// Queries information of the file, in a given way.
    ///
    /// # Errors
    /// The status that the query completed with; `STATUS_BUFFER_OVERFLOW` is one.
    pub fn query_information_with(
        &self,
        class: FILE_INFORMATION_CLASS,
        buffer: &mut [u8],
        options: IoOptions,
    ) -> Result<usize, NTSTATUS> {
        let mut request = self.request(IRP_MJ_QUERY_INFORMATION, options);
        let parameters = &mut request.parameters;
        parameters.QueryFileInformation.Length = length(buffer);
        parameters.QueryFileInformation.FileInformationClass = class;
        parameters.QueryFileInformation.InfoBuffer = buffer.as_mut_ptr().cast();
        send(&self.machine, &self.file, request)
    }

    /// The size of the file.
    ///
    /// # Errors
    /// The status that the query completed with.
    pub fn size(&self) -> Result<u64, NTSTATUS> {
        let mut buffer = [0; size_of::<FILE_STANDARD_INFORMATION>()];
        self.query_information(FileStandardInformation, &mut buffer)?;
        let offset = std::mem::offset_of!(FILE_STANDARD_INFORMATION, EndOfFile);
        let bytes = buffer[offset..offset + 8].try_into().unwrap_or_default();
        Ok(u64::from_le_bytes(bytes))
    }

    /// Sets information of the file.
    ///
    /// # Errors
    /// The status that the request completed with.
    pub fn set_information(
        &self,
        class: FILE_INFORMATION_CLASS,
        buffer: &[u8],
    ) -> Result<(), NTSTATUS> {
        self.set_information_with(class, buffer, IoOptions::default())
    }

    /// Sets information of the file, by another way.
    ///
    /// # Errors
    /// The status that the request completed with.
    pub fn set_information_with(
        &self,
        class: FILE_INFORMATION_CLASS,
        buffer: &[u8],
        options: IoOptions,
    ) -> Result<(), NTSTATUS> {
        let mut request = self.request(IRP_MJ_SET_INFORMATION, options);
        let parameters = &mut request.parameters;
        parameters.SetFileInformation.Length = length(buffer);
        parameters.SetFileInformation.FileInformationClass = class;
        parameters.SetFileInformation.InfoBuffer = buffer.as_ptr().cast_mut().cast();
        if class == FileRenameInformation || class == FileLinkInformation {
            let replace = buffer.first().copied().unwrap_or(0);
            parameters.SetFileInformation.Target.Flags =
                FLT_PARAMETERS_SET_FILE_INFORMATION_FLAGS {
                    ReplaceIfExists: replace,
                    AdvanceOnly: 0,
                };
        }
        send(&self.machine, &self.file, request).map(drop)
    }

    /// Cuts or extends the file.
    ///
    /// # Errors
    /// The status that the request completed with.
    pub fn set_size(&self, size: u64) -> Result<(), NTSTATUS> {
        self.set_information(FileEndOfFileInformation, &size.to_le_bytes())
    }

    /// Renames the file to a path from the root of the volume.
    ///
    /// # Errors
    /// The status that the request completed with.
    pub fn rename(&self, to: &str, replace: bool) -> Result<(), NTSTATUS> {
        self.set_information(FileRenameInformation, &rename_information(to, replace))
    }

    /// Marks the file for deletion with its last handle.
    ///
    /// # Errors
    /// The status that the request completed with.
    pub fn delete(&self) -> Result<(), NTSTATUS> {
        self.set_information(FileDispositionInformation, &[1])
    }

    /// Lists the directory, from where the last query ended or from the start.
    ///
    /// # Errors
    /// The status that the query completed with; `STATUS_NO_MORE_FILES` at the end.
    pub fn query_directory(
        &self,
        class: FILE_INFORMATION_CLASS,
        pattern: Option<&str>,
        restart: bool,
        buffer: &mut [u8],
    ) -> Result<usize, NTSTATUS> {
        let mut request = self.request(IRP_MJ_DIRECTORY_CONTROL, IoOptions::default());
        request.minor = IRP_MN_QUERY_DIRECTORY;
        if restart {
            request.operation_flags |= SL_RESTART_SCAN;
        }
        let pattern = pattern.map(Owned::new);
        let name = pattern
            .as_ref()
            .map_or(null_mut(), |pattern| pattern.pointer().cast_mut());
        let parameters = &mut request.parameters;
        parameters.DirectoryControl.QueryDirectory.Length = length(buffer);
        parameters.DirectoryControl.QueryDirectory.FileName = name;
        parameters
            .DirectoryControl
            .QueryDirectory
            .FileInformationClass = class;
        parameters.DirectoryControl.QueryDirectory.DirectoryBuffer = buffer.as_mut_ptr().cast();
        send(&self.machine, &self.file, request)
    }

    /// The names in the directory.
    ///
    /// # Errors
    /// The status that a query completed with.
    pub fn names(&self) -> Result<Vec<String>, NTSTATUS> {
        let mut names = Vec::new();
        let mut restart = true;
        loop {
            let mut buffer = vec![0; 8192];
            let filled =
                match self.query_directory(FileNamesInformation, None, restart, &mut buffer) {
                    Ok(filled) => filled,
                    Err(STATUS_NO_MORE_FILES | STATUS_NO_SUCH_FILE) => return Ok(names),
                    Err(status) => return Err(status),
                };
            restart = false;
            names_in(&buffer[..filled.min(8192)], &mut names);
        }
    }

    /// Queries the volume through the file.
    ///
    /// # Errors
    /// The status that the query completed with.
    pub fn query_volume_information(
        &self,
        class: FS_INFORMATION_CLASS,
        buffer: &mut [u8],
    ) -> Result<usize, NTSTATUS> {
        let mut request = self.request(IRP_MJ_QUERY_VOLUME_INFORMATION, IoOptions::default());
        let parameters = &mut request.parameters;
        parameters.QueryVolumeInformation.Length = length(buffer);
        parameters.QueryVolumeInformation.FsInformationClass = class;
        parameters.QueryVolumeInformation.VolumeBuffer = buffer.as_mut_ptr().cast();
        send(&self.machine, &self.file, request)
    }

    /// Queries parts of the security descriptor of the file (`OWNER_SECURITY_INFORMATION` and its
    /// kind), which is in self-relative form.
    ///
    /// # Errors
    /// The status that the query completed with.
    pub fn query_security(&self, information: SECURITY_INFORMATION) -> Result<Vec<u8>, NTSTATUS> {
        // No file system keeps a longer one.
        let mut buffer = vec![0; 0x1_0000];
        let (status, length) = self.query_security_into(information, &mut buffer);
        if status < 0 {
            return Err(status);
        }
        buffer.truncate(length);
        Ok(buffer)
    }

    /// Queries parts of the security descriptor of the file into a buffer: the status, and how long
    /// the descriptor is. `STATUS_BUFFER_TOO_SMALL` if it does not fit, and then none of it is
    /// given.
    pub fn query_security_into(
        &self,
        information: SECURITY_INFORMATION,
        buffer: &mut [u8],
    ) -> (NTSTATUS, usize) {
        let request = self.request(IRP_MJ_QUERY_SECURITY, IoOptions::default());
        let buffer = (buffer.as_mut_ptr().cast(), length(buffer));
        security::query_security(&self.machine, &self.file, request, information, buffer)
    }

    /// Replaces parts of the security descriptor of the file by those of a self-relative one.
    ///
    /// # Errors
    /// The status that the request completed with, or what is wrong with the descriptor.
    pub fn set_security(
        &self,
        information: SECURITY_INFORMATION,
        descriptor: &[u8],
    ) -> Result<(), NTSTATUS> {
        let captured = Captured::parse(descriptor)?;
        let request = self.request(IRP_MJ_SET_SECURITY, IoOptions::default());
        let (machine, file) = (&self.machine, &self.file);
        match security::set_security(machine, file, request, information, &captured) {
            status if status < 0 => Err(status),
            _ => Ok(()),
        }
    }

    /// Flushes the file.
    ///
    /// # Errors
    /// The status that the request completed with.
    pub fn flush(&self) -> Result<(), NTSTATUS> {
        let request = self.request(IRP_MJ_FLUSH_BUFFERS, IoOptions::default());
        send(&self.machine, &self.file, request).map(drop)
    }

    /// Locks a range, or fails if it cannot be had at once.
    ///
    /// # Errors
    /// The status that the request completed with; `STATUS_LOCK_NOT_GRANTED` is one.
    pub fn lock(&self, range: ByteRange) -> Result<(), NTSTATUS> {
        self.lock_with(range, IoOptions::default())
    }

    /// Locks a range, or fails if it cannot be had at once, in a given way.
    ///
    /// # Errors
    /// The status that the request completed with; `STATUS_LOCK_NOT_GRANTED` is one.
    pub fn lock_with(&self, range: ByteRange, options: IoOptions) -> Result<(), NTSTATUS> {
        let request = locking(&self.file, range, true, options);
        send(&self.machine, &self.file, request).map(drop)
    }

    /// Unlocks a range that was locked as it is.
    ///
    /// # Errors
    /// The status that the request completed with; `STATUS_RANGE_NOT_LOCKED` is one.
    pub fn unlock(&self, range: ByteRange) -> Result<(), NTSTATUS> {
        self.unlock_with(range, IoOptions::default())
    }

    /// Unlocks a range that was locked as it is, in a given way.
    ///
    /// # Errors
    /// The status that the request completed with; `STATUS_RANGE_NOT_LOCKED` is one.
    pub fn unlock_with(&self, range: ByteRange, options: IoOptions) -> Result<(), NTSTATUS> {
        let request = unlocking(&self.file, range, options);
        send(&self.machine, &self.file, request).map(drop)
    }

    /// Unlocks everything that was locked through the handle.
    ///
    /// # Errors
    /// The status that the request completed with.
    pub fn unlock_all(&self) -> Result<(), NTSTATUS> {
        let mut request = self.request(IRP_MJ_LOCK_CONTROL, IoOptions::default());
        request.minor = IRP_MN_UNLOCK_ALL;
        request.parameters.LockControl.ProcessId = current_process();
        send(&self.machine, &self.file, request).map(drop)
    }

    /// Unlocks everything that was locked through the handle with a key.
    ///
    /// # Errors
    /// The status that the request completed with.
    pub fn unlock_all_by_key(&self, key: u32) -> Result<(), NTSTATUS> {
        let mut request = self.request(IRP_MJ_LOCK_CONTROL, IoOptions::default());
        request.minor = IRP_MN_UNLOCK_ALL_BY_KEY;
        request.parameters.LockControl.Key = key;
        request.parameters.LockControl.ProcessId = current_process();
        send(&self.machine, &self.file, request).map(drop)
    }

    /// Closes the handle; dropping it does the same.
    pub fn close(self) {
        drop(self);
    }

    pub(super) const fn machine(&self) -> &Arc<Inner> {
        &self.machine
    }

    pub(super) const fn file(&self) -> &Arc<FileObject> {
        &self.file
    }

    fn request(&self, major: UCHAR, options: IoOptions) -> Request {
        request(&self.file, major, options)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            life::cleanup(&self.machine, &self.file);
            life::dereference(&self.machine, &self.file);
        }
    }
}

/// A request as the I/O manager would make it for a file object.
pub(crate) fn request(file: &FileObject, major: UCHAR, options: IoOptions) -> Request {
    let mut request = Request::new(major);
    adjust(&mut request, file, options);
    request
}

/// Adds to a request how it is sent.
fn adjust(request: &mut Request, file: &FileObject, options: IoOptions) {
    let major = request.major;
    request.irp_flags = 0;
    request.completion = options.completion;
    request.synchronous = options.paging || options.fast_io || file.is_synchronous();
    if options.fast_io {
        request.door = Door::FastIo;
        request.completion = Completion::Synchronous;
    } else if file.is_synchronous() {
        request.irp_flags |= IRP_SYNCHRONOUS_API;
    }
    if options.paging {
        request.irp_flags = IRP_PAGING_IO | IRP_NOCACHE | IRP_SYNCHRONOUS_PAGING_IO;
    } else if matches!(major, IRP_MJ_READ | IRP_MJ_WRITE)
        && !options.fast_io
        && (options.uncached || file.is_uncached())
    {
        request.irp_flags |= IRP_NOCACHE;
    }
}

/// Sends a request; one that was refused as fast I/O is sent again as an IRP.
fn send(
    machine: &Arc<Inner>,
    file: &Arc<FileObject>,
    mut request: Request,
) -> Result<usize, NTSTATUS> {
    let (mut status, mut information) = path::run(&Operation::new(machine, file, &request));
    if status == STATUS_FLT_DISALLOW_FAST_IO && request.door == Door::FastIo {
        request.door = Door::Irp;
        if file.is_synchronous() {
            request.irp_flags |= IRP_SYNCHRONOUS_API;
        }
        (status, information) = path::run(&Operation::new(machine, file, &request));
    }
    if status < 0 {
        Err(status)
    } else {
        Ok(information)
    }
}

fn read(
    machine: &Arc<Inner>,
    file: &Arc<FileObject>,
    offset: u64,
    buffer: &mut [u8],
    options: IoOptions,
) -> Result<usize, NTSTATUS> {
    let (target, length) = (buffer.as_mut_ptr().cast(), length(buffer));
    let request = transfer(file, IRP_MJ_READ, offset, target, length, options);
    send(machine, file, request)
}

fn write(
    machine: &Arc<Inner>,
    file: &Arc<FileObject>,
    offset: u64,
    data: &[u8],
    options: IoOptions,
) -> Result<usize, NTSTATUS> {
    let (source, length) = (data.as_ptr().cast_mut().cast(), length(data));
    let request = transfer(file, IRP_MJ_WRITE, offset, source, length, options);
    send(machine, file, request)
}

/// A read or a write of the owner of a handle.
pub(super) fn transfer(
    file: &FileObject,
    major: UCHAR,
    offset: u64,
    buffer: PVOID,
    length: ULONG,
    options: IoOptions,
) -> Request {
    let mut request = Request::transfer(major, offset.cast_signed(), buffer, length);
    // A read and a write have the same layout.
    request.parameters.Read.Key = options.key;
    let kind = request.irp_flags;
    adjust(&mut request, file, options);
    if request.door == Door::Irp {
        request.irp_flags |= kind;
    }
    request
}

/// A request of the owner of a handle for a lock.
pub(crate) fn locking(
    file: &FileObject,
    range: ByteRange,
    fail_immediately: bool,
    options: IoOptions,
) -> Request {
    file.locks();
    let mut request = ranged_request(file, IRP_MN_LOCK, range, options);
    let parameters = &mut request.parameters;
    parameters.LockControl.FailImmediately = BOOLEAN::from(fail_immediately);
    parameters.LockControl.ExclusiveLock = BOOLEAN::from(range.exclusive);
    if fail_immediately {
        request.operation_flags |= SL_FAIL_IMMEDIATELY;
    }
    if range.exclusive {
        request.operation_flags |= SL_EXCLUSIVE_LOCK;
    }
    request
}

/// A request of the owner of a handle to give a lock back.
pub(crate) fn unlocking(file: &FileObject, range: ByteRange, options: IoOptions) -> Request {
    ranged_request(file, IRP_MN_UNLOCK_SINGLE, range, options)
}

fn ranged_request(
    file: &FileObject,
    minor: UCHAR,
    range: ByteRange,
    options: IoOptions,
) -> Request {
    let mut request = request(file, IRP_MJ_LOCK_CONTROL, options);
    request.minor = minor;
    request.range_length = Some(range.length);
    let parameters = &mut request.parameters;
    parameters.LockControl.ByteOffset = LARGE_INTEGER {
        QuadPart: range.start.cast_signed(),
    };
    parameters.LockControl.Key = range.key;
    parameters.LockControl.ProcessId = current_process();
    request
}

fn length(buffer: &[u8]) -> ULONG {
    ULONG::try_from(buffer.len()).unwrap_or(ULONG::MAX)
}

/// A `FILE_RENAME_INFORMATION` without a root directory.
fn rename_information(to: &str, replace: bool) -> Vec<u8> {
    let name: Vec<u8> = to.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let length_at = std::mem::offset_of!(FILE_RENAME_INFORMATION, FileNameLength);
    let name_at = std::mem::offset_of!(FILE_RENAME_INFORMATION, FileName);
    let mut buffer = vec![0; (name_at + name.len()).max(size_of::<FILE_RENAME_INFORMATION>())];
    buffer[0] = u8::from(replace);
    buffer[length_at..length_at + 4].copy_from_slice(&length(&name).to_le_bytes());
    buffer[name_at..name_at + name.len()].copy_from_slice(&name);
    buffer
}

/// Reads a chain of `FILE_NAMES_INFORMATION`.
fn names_in(buffer: &[u8], names: &mut Vec<String>) {
    let number = |at: usize| {
        let bytes = buffer.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let mut at = 0;
    while let (Some(next), Some(length)) = (number(at), number(at + 8)) {
        let Some(name) = buffer.get(at + 12..at + 12 + length) else {
            return;
        };
        let units: Vec<u16> = name
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        names.push(String::from_utf16_lossy(&units));
        if next == 0 {
            return;
        }
        at += next;
    }
}
