//! `FLT_PARAMETERS`: the parameters of every operation.
//!
//! Many members of the C union are marked `POINTER_ALIGNMENT`: they start on a pointer boundary
//! although they are smaller. A zero-length array of pointer-sized integers in front of a field
//! has the same effect here, on every pointer width.
//!
//! Reference: the `fltkernel.h` pages of the Windows driver DDI documentation.

use crate::*;

/// Moves the next field to a pointer boundary and takes no room itself.
type PointerAligned = [usize; 0];

pub type FS_FILTER_SECTION_SYNC_TYPE = i32;
pub type DIRECTORY_NOTIFY_INFORMATION_CLASS = i32;
pub type SECURITY_INFORMATION = ULONG;

pub const OWNER_SECURITY_INFORMATION: SECURITY_INFORMATION = 1;
pub const GROUP_SECURITY_INFORMATION: SECURITY_INFORMATION = 2;
pub const DACL_SECURITY_INFORMATION: SECURITY_INFORMATION = 4;
pub const SACL_SECURITY_INFORMATION: SECURITY_INFORMATION = 8;
pub const LABEL_SECURITY_INFORMATION: SECURITY_INFORMATION = 0x10;

/// The parameters of an operation, by major function code.
#[repr(C)]
#[derive(Clone, Copy)]
pub union FLT_PARAMETERS {
    pub Create: FLT_PARAMETERS_CREATE,
    pub CreatePipe: FLT_PARAMETERS_CREATE_PIPE,
    pub CreateMailslot: FLT_PARAMETERS_CREATE_MAILSLOT,
    pub Read: FLT_PARAMETERS_READ,
    pub Write: FLT_PARAMETERS_WRITE,
    pub QueryFileInformation: FLT_PARAMETERS_QUERY_FILE_INFORMATION,
    pub SetFileInformation: FLT_PARAMETERS_SET_FILE_INFORMATION,
    pub QueryEa: FLT_PARAMETERS_QUERY_EA,
    pub SetEa: FLT_PARAMETERS_SET_EA,
    pub QueryVolumeInformation: FLT_PARAMETERS_QUERY_VOLUME_INFORMATION,
    pub SetVolumeInformation: FLT_PARAMETERS_SET_VOLUME_INFORMATION,
    pub DirectoryControl: FLT_PARAMETERS_DIRECTORY_CONTROL,
    pub FileSystemControl: FLT_PARAMETERS_FILE_SYSTEM_CONTROL,
    pub DeviceIoControl: FLT_PARAMETERS_DEVICE_IO_CONTROL,
    pub LockControl: FLT_PARAMETERS_LOCK_CONTROL,
    pub QuerySecurity: FLT_PARAMETERS_QUERY_SECURITY,
    pub SetSecurity: FLT_PARAMETERS_SET_SECURITY,
    pub WMI: FLT_PARAMETERS_WMI,
    pub QueryQuota: FLT_PARAMETERS_QUERY_QUOTA,
    pub SetQuota: FLT_PARAMETERS_SET_QUOTA,
    pub Pnp: FLT_PARAMETERS_PNP,
    pub AcquireForSectionSynchronization: FLT_PARAMETERS_ACQUIRE_FOR_SECTION_SYNCHRONIZATION,
    pub AcquireForModifiedPageWriter: FLT_PARAMETERS_ACQUIRE_FOR_MODIFIED_PAGE_WRITER,
    pub ReleaseForModifiedPageWriter: FLT_PARAMETERS_RELEASE_FOR_MODIFIED_PAGE_WRITER,
    pub QueryOpen: FLT_PARAMETERS_QUERY_OPEN,
    pub FastIoCheckIfPossible: FLT_PARAMETERS_FAST_IO_CHECK_IF_POSSIBLE,
    pub NetworkQueryOpen: FLT_PARAMETERS_NETWORK_QUERY_OPEN,
    pub MdlRead: FLT_PARAMETERS_MDL_READ,
    pub MdlReadComplete: FLT_PARAMETERS_MDL_READ_COMPLETE,
    pub PrepareMdlWrite: FLT_PARAMETERS_PREPARE_MDL_WRITE,
    pub MdlWriteComplete: FLT_PARAMETERS_MDL_WRITE_COMPLETE,
    pub MountVolume: FLT_PARAMETERS_MOUNT_VOLUME,
    pub Others: FLT_PARAMETERS_OTHERS,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_CREATE {
    pub SecurityContext: PIO_SECURITY_CONTEXT,
    pub Options: ULONG,
    _align0: PointerAligned,
    pub FileAttributes: USHORT,
    pub ShareAccess: USHORT,
    _align1: PointerAligned,
    pub EaLength: ULONG,
    pub EaBuffer: PVOID,
    pub AllocationSize: LARGE_INTEGER,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_CREATE_PIPE {
    pub SecurityContext: PIO_SECURITY_CONTEXT,
    pub Options: ULONG,
    _align0: PointerAligned,
    pub Reserved: USHORT,
    pub ShareAccess: USHORT,
    pub Parameters: PVOID,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_CREATE_MAILSLOT {
    pub SecurityContext: PIO_SECURITY_CONTEXT,
    pub Options: ULONG,
    _align0: PointerAligned,
    pub Reserved: USHORT,
    pub ShareAccess: USHORT,
    pub Parameters: PVOID,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_READ {
    pub Length: ULONG,
    _align0: PointerAligned,
    pub Key: ULONG,
    pub ByteOffset: LARGE_INTEGER,
    pub ReadBuffer: PVOID,
    pub MdlAddress: PMDL,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_WRITE {
    pub Length: ULONG,
    _align0: PointerAligned,
    pub Key: ULONG,
    pub ByteOffset: LARGE_INTEGER,
    pub WriteBuffer: PVOID,
    pub MdlAddress: PMDL,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_QUERY_FILE_INFORMATION {
    pub Length: ULONG,
    _align0: PointerAligned,
    pub FileInformationClass: FILE_INFORMATION_CLASS,
    pub InfoBuffer: PVOID,
}

/// What a set-information operation says beside its buffer.
#[repr(C)]
#[derive(Clone, Copy)]
pub union FLT_PARAMETERS_SET_FILE_INFORMATION_TARGET {
    pub Flags: FLT_PARAMETERS_SET_FILE_INFORMATION_FLAGS,
    pub ClusterCount: ULONG,
    pub DeleteHandle: HANDLE,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FLT_PARAMETERS_SET_FILE_INFORMATION_FLAGS {
    pub ReplaceIfExists: BOOLEAN,
    pub AdvanceOnly: BOOLEAN,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_SET_FILE_INFORMATION {
    pub Length: ULONG,
    _align0: PointerAligned,
    pub FileInformationClass: FILE_INFORMATION_CLASS,
    _align1: PointerAligned,
    pub ParentOfTarget: PFILE_OBJECT,
    pub Target: FLT_PARAMETERS_SET_FILE_INFORMATION_TARGET,
    pub InfoBuffer: PVOID,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_QUERY_EA {
    pub Length: ULONG,
    pub EaList: PVOID,
    pub EaListLength: ULONG,
    _align0: PointerAligned,
    pub EaIndex: ULONG,
    pub EaBuffer: PVOID,
    pub MdlAddress: PMDL,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_SET_EA {
    pub Length: ULONG,
    pub EaBuffer: PVOID,
    pub MdlAddress: PMDL,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_QUERY_VOLUME_INFORMATION {
    pub Length: ULONG,
    _align0: PointerAligned,
    pub FsInformationClass: FS_INFORMATION_CLASS,
    pub VolumeBuffer: PVOID,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_SET_VOLUME_INFORMATION {
    pub Length: ULONG,
    _align0: PointerAligned,
    pub FsInformationClass: FS_INFORMATION_CLASS,
    pub VolumeBuffer: PVOID,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_DIRECTORY_CONTROL_QUERY_DIRECTORY {
    pub Length: ULONG,
    pub FileName: PUNICODE_STRING,
    pub FileInformationClass: FILE_INFORMATION_CLASS,
    _align0: PointerAligned,
    pub FileIndex: ULONG,
    pub DirectoryBuffer: PVOID,
    pub MdlAddress: PMDL,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_DIRECTORY_CONTROL_NOTIFY_DIRECTORY {
    pub Length: ULONG,
    _align0: PointerAligned,
    pub CompletionFilter: ULONG,
    _align1: PointerAligned,
    pub Spare1: ULONG,
    _align2: PointerAligned,
    pub Spare2: ULONG,
    pub DirectoryBuffer: PVOID,
    pub MdlAddress: PMDL,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_DIRECTORY_CONTROL_NOTIFY_DIRECTORY_EX {
    pub Length: ULONG,
    _align0: PointerAligned,
    pub CompletionFilter: ULONG,
    _align1: PointerAligned,
    pub DirectoryNotifyInformationClass: DIRECTORY_NOTIFY_INFORMATION_CLASS,
    _align2: PointerAligned,
    pub Spare2: ULONG,
    pub DirectoryBuffer: PVOID,
    pub MdlAddress: PMDL,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union FLT_PARAMETERS_DIRECTORY_CONTROL {
    pub QueryDirectory: FLT_PARAMETERS_DIRECTORY_CONTROL_QUERY_DIRECTORY,
    pub NotifyDirectory: FLT_PARAMETERS_DIRECTORY_CONTROL_NOTIFY_DIRECTORY,
    pub NotifyDirectoryEx: FLT_PARAMETERS_DIRECTORY_CONTROL_NOTIFY_DIRECTORY_EX,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_FILE_SYSTEM_CONTROL_VERIFY_VOLUME {
    pub Vpb: PVPB,
    pub DeviceObject: PDEVICE_OBJECT,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_FILE_SYSTEM_CONTROL_COMMON {
    pub OutputBufferLength: ULONG,
    _align0: PointerAligned,
    pub InputBufferLength: ULONG,
    _align1: PointerAligned,
    pub FsControlCode: ULONG,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_FILE_SYSTEM_CONTROL_NEITHER {
    pub OutputBufferLength: ULONG,
    _align0: PointerAligned,
    pub InputBufferLength: ULONG,
    _align1: PointerAligned,
    pub FsControlCode: ULONG,
    pub InputBuffer: PVOID,
    pub OutputBuffer: PVOID,
    pub OutputMdlAddress: PMDL,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_FILE_SYSTEM_CONTROL_BUFFERED {
    pub OutputBufferLength: ULONG,
    _align0: PointerAligned,
    pub InputBufferLength: ULONG,
    _align1: PointerAligned,
    pub FsControlCode: ULONG,
    pub SystemBuffer: PVOID,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_FILE_SYSTEM_CONTROL_DIRECT {
    pub OutputBufferLength: ULONG,
    _align0: PointerAligned,
    pub InputBufferLength: ULONG,
    _align1: PointerAligned,
    pub FsControlCode: ULONG,
    pub InputSystemBuffer: PVOID,
    pub OutputBuffer: PVOID,
    pub OutputMdlAddress: PMDL,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union FLT_PARAMETERS_FILE_SYSTEM_CONTROL {
    pub VerifyVolume: FLT_PARAMETERS_FILE_SYSTEM_CONTROL_VERIFY_VOLUME,
    pub Common: FLT_PARAMETERS_FILE_SYSTEM_CONTROL_COMMON,
    pub Neither: FLT_PARAMETERS_FILE_SYSTEM_CONTROL_NEITHER,
    pub Buffered: FLT_PARAMETERS_FILE_SYSTEM_CONTROL_BUFFERED,
    pub Direct: FLT_PARAMETERS_FILE_SYSTEM_CONTROL_DIRECT,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_DEVICE_IO_CONTROL_COMMON {
    pub OutputBufferLength: ULONG,
    _align0: PointerAligned,
    pub InputBufferLength: ULONG,
    _align1: PointerAligned,
    pub IoControlCode: ULONG,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_DEVICE_IO_CONTROL_NEITHER {
    pub OutputBufferLength: ULONG,
    _align0: PointerAligned,
    pub InputBufferLength: ULONG,
    _align1: PointerAligned,
    pub IoControlCode: ULONG,
    pub InputBuffer: PVOID,
    pub OutputBuffer: PVOID,
    pub OutputMdlAddress: PMDL,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_DEVICE_IO_CONTROL_BUFFERED {
    pub OutputBufferLength: ULONG,
    _align0: PointerAligned,
    pub InputBufferLength: ULONG,
    _align1: PointerAligned,
    pub IoControlCode: ULONG,
    pub SystemBuffer: PVOID,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_DEVICE_IO_CONTROL_DIRECT {
    pub OutputBufferLength: ULONG,
    _align0: PointerAligned,
    pub InputBufferLength: ULONG,
    _align1: PointerAligned,
    pub IoControlCode: ULONG,
    pub InputSystemBuffer: PVOID,
    pub OutputBuffer: PVOID,
    pub OutputMdlAddress: PMDL,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_DEVICE_IO_CONTROL_FAST_IO {
    pub OutputBufferLength: ULONG,
    _align0: PointerAligned,
    pub InputBufferLength: ULONG,
    _align1: PointerAligned,
    pub IoControlCode: ULONG,
    pub InputBuffer: PVOID,
    pub OutputBuffer: PVOID,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union FLT_PARAMETERS_DEVICE_IO_CONTROL {
    pub Common: FLT_PARAMETERS_DEVICE_IO_CONTROL_COMMON,
    pub Neither: FLT_PARAMETERS_DEVICE_IO_CONTROL_NEITHER,
    pub Buffered: FLT_PARAMETERS_DEVICE_IO_CONTROL_BUFFERED,
    pub Direct: FLT_PARAMETERS_DEVICE_IO_CONTROL_DIRECT,
    pub FastIo: FLT_PARAMETERS_DEVICE_IO_CONTROL_FAST_IO,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_LOCK_CONTROL {
    pub Length: *mut LARGE_INTEGER,
    pub Key: ULONG,
    pub ByteOffset: LARGE_INTEGER,
    pub ProcessId: ULONG_PTR,
    pub FailImmediately: BOOLEAN,
    pub ExclusiveLock: BOOLEAN,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_QUERY_SECURITY {
    pub SecurityInformation: SECURITY_INFORMATION,
    _align0: PointerAligned,
    pub Length: ULONG,
    pub SecurityBuffer: PVOID,
    pub MdlAddress: PMDL,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_SET_SECURITY {
    pub SecurityInformation: SECURITY_INFORMATION,
    pub SecurityDescriptor: PVOID,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_WMI {
    pub ProviderId: ULONG_PTR,
    pub DataPath: PVOID,
    pub BufferSize: ULONG,
    pub Buffer: PVOID,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_QUERY_QUOTA {
    pub Length: ULONG,
    pub StartSid: PVOID,
    pub SidList: PVOID,
    pub SidListLength: ULONG,
    pub QuotaBuffer: PVOID,
    pub MdlAddress: PMDL,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_SET_QUOTA {
    pub Length: ULONG,
    pub QuotaBuffer: PVOID,
    pub MdlAddress: PMDL,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_PNP_START_DEVICE {
    pub AllocatedResources: PVOID,
    pub AllocatedResourcesTranslated: PVOID,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_PNP_QUERY_DEVICE_RELATIONS {
    pub Type: ULONG,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_PNP_QUERY_INTERFACE {
    pub InterfaceType: *const GUID,
    pub Size: USHORT,
    pub Version: USHORT,
    pub Interface: PVOID,
    pub InterfaceSpecificData: PVOID,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_PNP_DEVICE_CAPABILITIES {
    pub Capabilities: PVOID,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_PNP_FILTER_RESOURCE_REQUIREMENTS {
    pub IoResourceRequirementList: PVOID,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_PNP_READ_WRITE_CONFIG {
    pub WhichSpace: ULONG,
    pub Buffer: PVOID,
    pub Offset: ULONG,
    _align0: PointerAligned,
    pub Length: ULONG,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_PNP_SET_LOCK {
    pub Lock: BOOLEAN,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_PNP_QUERY_ID {
    pub IdType: ULONG,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_PNP_QUERY_DEVICE_TEXT {
    pub DeviceTextType: ULONG,
    _align0: PointerAligned,
    pub LocaleId: ULONG,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_PNP_USAGE_NOTIFICATION {
    pub InPath: BOOLEAN,
    pub Reserved: [UCHAR; 3],
    _align0: PointerAligned,
    pub Type: ULONG,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union FLT_PARAMETERS_PNP {
    pub StartDevice: FLT_PARAMETERS_PNP_START_DEVICE,
    pub QueryDeviceRelations: FLT_PARAMETERS_PNP_QUERY_DEVICE_RELATIONS,
    pub QueryInterface: FLT_PARAMETERS_PNP_QUERY_INTERFACE,
    pub DeviceCapabilities: FLT_PARAMETERS_PNP_DEVICE_CAPABILITIES,
    pub FilterResourceRequirements: FLT_PARAMETERS_PNP_FILTER_RESOURCE_REQUIREMENTS,
    pub ReadWriteConfig: FLT_PARAMETERS_PNP_READ_WRITE_CONFIG,
    pub SetLock: FLT_PARAMETERS_PNP_SET_LOCK,
    pub QueryId: FLT_PARAMETERS_PNP_QUERY_ID,
    pub QueryDeviceText: FLT_PARAMETERS_PNP_QUERY_DEVICE_TEXT,
    pub UsageNotification: FLT_PARAMETERS_PNP_USAGE_NOTIFICATION,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_ACQUIRE_FOR_SECTION_SYNCHRONIZATION {
    pub SyncType: FS_FILTER_SECTION_SYNC_TYPE,
    pub PageProtection: ULONG,
    pub OutputInformation: PVOID,
    pub Flags: ULONG,
    pub AllocationAttributes: ULONG,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_ACQUIRE_FOR_MODIFIED_PAGE_WRITER {
    pub EndingOffset: *mut LARGE_INTEGER,
    pub ResourceToRelease: *mut *mut ERESOURCE,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_RELEASE_FOR_MODIFIED_PAGE_WRITER {
    pub ResourceToRelease: *mut ERESOURCE,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_QUERY_OPEN {
    pub Irp: PIRP,
    pub FileInformation: PVOID,
    pub Length: *mut ULONG,
    pub FileInformationClass: FILE_INFORMATION_CLASS,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_FAST_IO_CHECK_IF_POSSIBLE {
    pub FileOffset: LARGE_INTEGER,
    pub Length: ULONG,
    _align0: PointerAligned,
    pub LockKey: ULONG,
    _align1: PointerAligned,
    pub CheckForReadOperation: BOOLEAN,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_NETWORK_QUERY_OPEN {
    pub Irp: PIRP,
    pub NetworkInformation: PVOID,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_MDL_READ {
    pub FileOffset: LARGE_INTEGER,
    pub Length: ULONG,
    _align0: PointerAligned,
    pub Key: ULONG,
    pub MdlChain: *mut PMDL,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_MDL_READ_COMPLETE {
    pub MdlChain: PMDL,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_PREPARE_MDL_WRITE {
    pub FileOffset: LARGE_INTEGER,
    pub Length: ULONG,
    _align0: PointerAligned,
    pub Key: ULONG,
    pub MdlChain: *mut PMDL,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_MDL_WRITE_COMPLETE {
    pub FileOffset: LARGE_INTEGER,
    pub MdlChain: PMDL,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_MOUNT_VOLUME {
    pub DeviceType: DEVICE_TYPE,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_PARAMETERS_OTHERS {
    pub Argument1: PVOID,
    pub Argument2: PVOID,
    pub Argument3: PVOID,
    pub Argument4: PVOID,
    pub Argument5: PVOID,
    pub Argument6: LARGE_INTEGER,
}
