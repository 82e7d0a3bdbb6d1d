//! File operations of the minifilter itself, sent to the instances below it.
//!
//! Reference: the `fltkernel.h` pages of the Windows driver DDI documentation.

use crate::abi::fltapi_functions;
use crate::*;

pub type FLT_IO_OPERATION_FLAGS = ULONG;

pub const DELETE: ACCESS_MASK = 0x0001_0000;
pub const READ_CONTROL: ACCESS_MASK = 0x0002_0000;
pub const WRITE_DAC: ACCESS_MASK = 0x0004_0000;
pub const WRITE_OWNER: ACCESS_MASK = 0x0008_0000;
pub const SYNCHRONIZE: ACCESS_MASK = 0x0010_0000;
pub const ACCESS_SYSTEM_SECURITY: ACCESS_MASK = 0x0100_0000;
pub const FILE_READ_DATA: ACCESS_MASK = 1;
pub const FILE_LIST_DIRECTORY: ACCESS_MASK = 1;
pub const FILE_WRITE_DATA: ACCESS_MASK = 2;
pub const FILE_ADD_FILE: ACCESS_MASK = 2;
pub const FILE_APPEND_DATA: ACCESS_MASK = 4;
pub const FILE_ADD_SUBDIRECTORY: ACCESS_MASK = 4;
pub const FILE_READ_EA: ACCESS_MASK = 8;
pub const FILE_WRITE_EA: ACCESS_MASK = 0x10;
pub const FILE_EXECUTE: ACCESS_MASK = 0x20;
pub const FILE_TRAVERSE: ACCESS_MASK = 0x20;
pub const FILE_DELETE_CHILD: ACCESS_MASK = 0x40;
pub const FILE_READ_ATTRIBUTES: ACCESS_MASK = 0x80;
pub const FILE_WRITE_ATTRIBUTES: ACCESS_MASK = 0x100;
pub const FILE_GENERIC_READ: ACCESS_MASK = 0x0012_0089;
pub const FILE_GENERIC_WRITE: ACCESS_MASK = 0x0012_0116;
pub const FILE_GENERIC_EXECUTE: ACCESS_MASK = 0x0012_00A0;

pub const FILE_SHARE_READ: ULONG = 1;
pub const FILE_SHARE_WRITE: ULONG = 2;
pub const FILE_SHARE_DELETE: ULONG = 4;

pub const FILE_ATTRIBUTE_READONLY: ULONG = 1;
pub const FILE_ATTRIBUTE_HIDDEN: ULONG = 2;
pub const FILE_ATTRIBUTE_SYSTEM: ULONG = 4;
pub const FILE_ATTRIBUTE_DIRECTORY: ULONG = 0x10;
pub const FILE_ATTRIBUTE_ARCHIVE: ULONG = 0x20;
pub const FILE_ATTRIBUTE_DEVICE: ULONG = 0x40;
pub const FILE_ATTRIBUTE_NORMAL: ULONG = 0x80;
pub const FILE_ATTRIBUTE_TEMPORARY: ULONG = 0x100;
pub const FILE_ATTRIBUTE_SPARSE_FILE: ULONG = 0x200;
pub const FILE_ATTRIBUTE_REPARSE_POINT: ULONG = 0x400;
pub const FILE_ATTRIBUTE_COMPRESSED: ULONG = 0x800;
pub const FILE_ATTRIBUTE_OFFLINE: ULONG = 0x1000;
pub const FILE_ATTRIBUTE_NOT_CONTENT_INDEXED: ULONG = 0x2000;
pub const FILE_ATTRIBUTE_ENCRYPTED: ULONG = 0x4000;
pub const FILE_ATTRIBUTE_INTEGRITY_STREAM: ULONG = 0x8000;
pub const FILE_ATTRIBUTE_VIRTUAL: ULONG = 0x0001_0000;
pub const FILE_ATTRIBUTE_NO_SCRUB_DATA: ULONG = 0x0002_0000;
pub const FILE_ATTRIBUTE_EA: ULONG = 0x0004_0000;
pub const FILE_ATTRIBUTE_PINNED: ULONG = 0x0008_0000;
pub const FILE_ATTRIBUTE_UNPINNED: ULONG = 0x0010_0000;
pub const FILE_ATTRIBUTE_RECALL_ON_OPEN: ULONG = 0x0004_0000;
pub const FILE_ATTRIBUTE_RECALL_ON_DATA_ACCESS: ULONG = 0x0040_0000;
pub const FILE_ATTRIBUTE_STRICTLY_SEQUENTIAL: ULONG = 0x2000_0000;

pub const FILE_SUPERSEDE: ULONG = 0;
pub const FILE_OPEN: ULONG = 1;
pub const FILE_CREATE: ULONG = 2;
pub const FILE_OPEN_IF: ULONG = 3;
pub const FILE_OVERWRITE: ULONG = 4;
pub const FILE_OVERWRITE_IF: ULONG = 5;
pub const FILE_DIRECTORY_FILE: ULONG = 1;
pub const FILE_WRITE_THROUGH: ULONG = 2;
pub const FILE_SEQUENTIAL_ONLY: ULONG = 4;
pub const FILE_NO_INTERMEDIATE_BUFFERING: ULONG = 8;
pub const FILE_SYNCHRONOUS_IO_ALERT: ULONG = 0x10;
pub const FILE_SYNCHRONOUS_IO_NONALERT: ULONG = 0x20;
pub const FILE_NON_DIRECTORY_FILE: ULONG = 0x40;
pub const FILE_CREATE_TREE_CONNECTION: ULONG = 0x80;
pub const FILE_COMPLETE_IF_OPLOCKED: ULONG = 0x100;
pub const FILE_NO_EA_KNOWLEDGE: ULONG = 0x200;
pub const FILE_RANDOM_ACCESS: ULONG = 0x800;
pub const FILE_DELETE_ON_CLOSE: ULONG = 0x1000;
pub const FILE_OPEN_BY_FILE_ID: ULONG = 0x2000;
pub const FILE_OPEN_FOR_BACKUP_INTENT: ULONG = 0x4000;
pub const FILE_NO_COMPRESSION: ULONG = 0x8000;
pub const FILE_OPEN_REQUIRING_OPLOCK: ULONG = 0x0001_0000;
pub const FILE_DISALLOW_EXCLUSIVE: ULONG = 0x0002_0000;
pub const FILE_RESERVE_OPFILTER: ULONG = 0x0010_0000;
pub const FILE_OPEN_REPARSE_POINT: ULONG = 0x0020_0000;
pub const FILE_OPEN_NO_RECALL: ULONG = 0x0040_0000;

// What a successful create did, in `IoStatus.Information`.
pub const FILE_SUPERSEDED: ULONG_PTR = 0;
pub const FILE_OPENED: ULONG_PTR = 1;
pub const FILE_CREATED: ULONG_PTR = 2;
pub const FILE_OVERWRITTEN: ULONG_PTR = 3;
pub const FILE_EXISTS: ULONG_PTR = 4;
pub const FILE_DOES_NOT_EXIST: ULONG_PTR = 5;

// `FILE_OBJECT.Flags`
pub const FO_FILE_OPEN: ULONG = 1;
pub const FO_SYNCHRONOUS_IO: ULONG = 2;
pub const FO_ALERTABLE_IO: ULONG = 4;
pub const FO_NO_INTERMEDIATE_BUFFERING: ULONG = 8;
pub const FO_WRITE_THROUGH: ULONG = 0x10;
pub const FO_SEQUENTIAL_ONLY: ULONG = 0x20;
pub const FO_CACHE_SUPPORTED: ULONG = 0x40;
pub const FO_NAMED_PIPE: ULONG = 0x80;
pub const FO_STREAM_FILE: ULONG = 0x100;
pub const FO_MAILSLOT: ULONG = 0x200;
pub const FO_GENERATE_AUDIT_ON_CLOSE: ULONG = 0x400;
pub const FO_DIRECT_DEVICE_OPEN: ULONG = 0x800;
pub const FO_FILE_MODIFIED: ULONG = 0x1000;
pub const FO_FILE_SIZE_CHANGED: ULONG = 0x2000;
pub const FO_CLEANUP_COMPLETE: ULONG = 0x4000;
pub const FO_TEMPORARY_FILE: ULONG = 0x8000;
pub const FO_DELETE_ON_CLOSE: ULONG = 0x0001_0000;
pub const FO_OPENED_CASE_SENSITIVE: ULONG = 0x0002_0000;
pub const FO_HANDLE_CREATED: ULONG = 0x0004_0000;
pub const FO_FILE_FAST_IO_READ: ULONG = 0x0008_0000;
pub const FO_RANDOM_ACCESS: ULONG = 0x0010_0000;
pub const FO_FILE_OPEN_CANCELLED: ULONG = 0x0020_0000;
pub const FO_VOLUME_OPEN: ULONG = 0x0040_0000;
pub const FO_BYPASS_IO_ENABLED: ULONG = 0x0080_0000;
pub const FO_REMOTE_ORIGIN: ULONG = 0x0100_0000;
pub const FO_DISALLOW_EXCLUSIVE: ULONG = 0x0200_0000;
pub const FO_SKIP_SET_EVENT: ULONG = 0x0400_0000;
pub const FO_SKIP_SET_FAST_IO: ULONG = 0x0800_0000;
pub const FO_INDIRECT_WAIT_OBJECT: ULONG = 0x1000_0000;
pub const FO_SECTION_MINSTORE_TREATMENT: ULONG = 0x2000_0000;

pub const IO_IGNORE_SHARE_ACCESS_CHECK: ULONG = 0x800;
pub const IO_FORCE_ACCESS_CHECK: ULONG = 1;
pub const IO_NO_PARAMETER_CHECKING: ULONG = 0x100;
pub const FLTFL_IO_OPERATION_NON_CACHED: FLT_IO_OPERATION_FLAGS = 1;
pub const FLTFL_IO_OPERATION_PAGING: FLT_IO_OPERATION_FLAGS = 2;
pub const FLTFL_IO_OPERATION_DO_NOT_UPDATE_BYTE_OFFSET: FLT_IO_OPERATION_FLAGS = 4;
pub const FLTFL_IO_OPERATION_SYNCHRONOUS_PAGING: FLT_IO_OPERATION_FLAGS = 8;
pub const OBJ_CASE_INSENSITIVE: ULONG = 0x40;
pub const OBJ_KERNEL_HANDLE: ULONG = 0x200;

fltapi_functions! {
    /// Opens or creates a file.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltCreateFile(Filter: PFLT_FILTER, Instance: PFLT_INSTANCE, FileHandle: *mut HANDLE, DesiredAccess: ACCESS_MASK, ObjectAttributes: POBJECT_ATTRIBUTES, IoStatusBlock: PIO_STATUS_BLOCK, AllocationSize: *mut LARGE_INTEGER, FileAttributes: ULONG, ShareAccess: ULONG, CreateDisposition: ULONG, CreateOptions: ULONG, EaBuffer: PVOID, EaLength: ULONG, Flags: ULONG) -> NTSTATUS;

    /// Opens or creates a file and returns its file object too.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows Server 2003 SP1 / XP SP3.
    pub fn FltCreateFileEx(Filter: PFLT_FILTER, Instance: PFLT_INSTANCE, FileHandle: *mut HANDLE, FileObject: *mut PFILE_OBJECT, DesiredAccess: ACCESS_MASK, ObjectAttributes: POBJECT_ATTRIBUTES, IoStatusBlock: PIO_STATUS_BLOCK, AllocationSize: *mut LARGE_INTEGER, FileAttributes: ULONG, ShareAccess: ULONG, CreateDisposition: ULONG, CreateOptions: ULONG, EaBuffer: PVOID, EaLength: ULONG, Flags: ULONG) -> NTSTATUS;

    /// Opens or creates a file with a create context.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows Vista.
    pub fn FltCreateFileEx2(Filter: PFLT_FILTER, Instance: PFLT_INSTANCE, FileHandle: *mut HANDLE, FileObject: *mut PFILE_OBJECT, DesiredAccess: ACCESS_MASK, ObjectAttributes: POBJECT_ATTRIBUTES, IoStatusBlock: PIO_STATUS_BLOCK, AllocationSize: *mut LARGE_INTEGER, FileAttributes: ULONG, ShareAccess: ULONG, CreateDisposition: ULONG, CreateOptions: ULONG, EaBuffer: PVOID, EaLength: ULONG, Flags: ULONG, DriverContext: *mut IO_DRIVER_CREATE_CONTEXT) -> NTSTATUS;

    /// Closes a handle.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltClose(FileHandle: HANDLE) -> NTSTATUS;

    /// Reads from a file.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltReadFile(InitiatingInstance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, ByteOffset: *mut LARGE_INTEGER, Length: ULONG, Buffer: PVOID, Flags: ULONG, BytesRead: *mut ULONG, CallbackRoutine: PFLT_COMPLETED_ASYNC_IO_CALLBACK, CallbackContext: PVOID) -> NTSTATUS;

    /// Writes to a file.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltWriteFile(InitiatingInstance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, ByteOffset: *mut LARGE_INTEGER, Length: ULONG, Buffer: PVOID, Flags: ULONG, BytesWritten: *mut ULONG, CallbackRoutine: PFLT_COMPLETED_ASYNC_IO_CALLBACK, CallbackContext: PVOID) -> NTSTATUS;

    /// Queries information of a file.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltQueryInformationFile(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, FileInformation: PVOID, Length: ULONG, FileInformationClass: FILE_INFORMATION_CLASS, LengthReturned: *mut ULONG) -> NTSTATUS;

    /// Sets information of a file.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltSetInformationFile(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, FileInformation: PVOID, Length: ULONG, FileInformationClass: FILE_INFORMATION_CLASS) -> NTSTATUS;

    /// Lists a directory.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows Vista.
    pub fn FltQueryDirectoryFile(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, FileInformation: PVOID, Length: ULONG, FileInformationClass: FILE_INFORMATION_CLASS, ReturnSingleEntry: BOOLEAN, FileName: PUNICODE_STRING, RestartScan: BOOLEAN, LengthReturned: *mut ULONG) -> NTSTATUS;

    /// Queries volume information through a file.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltQueryVolumeInformationFile(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, FsInformation: PVOID, Length: ULONG, FsInformationClass: FS_INFORMATION_CLASS, LengthReturned: *mut ULONG) -> NTSTATUS;

    /// Queries the security descriptor of a file.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltQuerySecurityObject(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, SecurityInformation: SECURITY_INFORMATION, SecurityDescriptor: PVOID, Length: ULONG, LengthNeeded: *mut ULONG) -> NTSTATUS;

    /// Sets parts of the security descriptor of a file.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows Vista.
    pub fn FltSetSecurityObject(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, SecurityInformation: SECURITY_INFORMATION, SecurityDescriptor: PVOID) -> NTSTATUS;

    /// Sends a file system control.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltFsControlFile(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, FsControlCode: ULONG, InputBuffer: PVOID, InputBufferLength: ULONG, OutputBuffer: PVOID, OutputBufferLength: ULONG, LengthReturned: *mut ULONG) -> NTSTATUS;

    /// Sends a device control.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltDeviceIoControlFile(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, IoControlCode: ULONG, InputBuffer: PVOID, InputBufferLength: ULONG, OutputBuffer: PVOID, OutputBufferLength: ULONG, LengthReturned: *mut ULONG) -> NTSTATUS;

    /// Flushes a file.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltFlushBuffers(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT) -> NTSTATUS;

    /// Whether a file object is a directory.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltIsDirectory(FileObject: PFILE_OBJECT, Instance: PFLT_INSTANCE, IsDirectory: *mut BOOLEAN) -> NTSTATUS;

    /// Undoes a create in a post-create callback.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltCancelFileOpen(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT);
}
