//! Volumes: names and properties.
//!
//! Reference: the `fltkernel.h` pages of the Windows driver DDI documentation.

use crate::abi::fltapi_functions;
use crate::*;

pub type FLT_FILESYSTEM_TYPE = i32;
pub type FILTER_VOLUME_INFORMATION_CLASS = i32;

pub const FLT_FSTYPE_UNKNOWN: FLT_FILESYSTEM_TYPE = 0;
pub const FLT_FSTYPE_RAW: FLT_FILESYSTEM_TYPE = 1;
pub const FLT_FSTYPE_NTFS: FLT_FILESYSTEM_TYPE = 2;
pub const FLT_FSTYPE_FAT: FLT_FILESYSTEM_TYPE = 3;
pub const FLT_FSTYPE_CDFS: FLT_FILESYSTEM_TYPE = 4;
pub const FLT_FSTYPE_UDFS: FLT_FILESYSTEM_TYPE = 5;
pub const FLT_FSTYPE_LANMAN: FLT_FILESYSTEM_TYPE = 6;
pub const FLT_FSTYPE_WEBDAV: FLT_FILESYSTEM_TYPE = 7;
pub const FLT_FSTYPE_RDPDR: FLT_FILESYSTEM_TYPE = 8;
pub const FLT_FSTYPE_NFS: FLT_FILESYSTEM_TYPE = 9;
pub const FLT_FSTYPE_MS_NETWARE: FLT_FILESYSTEM_TYPE = 0xA;
pub const FLT_FSTYPE_NETWARE: FLT_FILESYSTEM_TYPE = 0xB;
pub const FLT_FSTYPE_BSUDF: FLT_FILESYSTEM_TYPE = 0xC;
pub const FLT_FSTYPE_MUP: FLT_FILESYSTEM_TYPE = 0xD;
pub const FLT_FSTYPE_RSFX: FLT_FILESYSTEM_TYPE = 0xE;
pub const FLT_FSTYPE_ROXIO_UDF1: FLT_FILESYSTEM_TYPE = 0xF;
pub const FLT_FSTYPE_ROXIO_UDF2: FLT_FILESYSTEM_TYPE = 0x10;
pub const FLT_FSTYPE_ROXIO_UDF3: FLT_FILESYSTEM_TYPE = 0x11;
pub const FLT_FSTYPE_TACIT: FLT_FILESYSTEM_TYPE = 0x12;
pub const FLT_FSTYPE_FS_REC: FLT_FILESYSTEM_TYPE = 0x13;
pub const FLT_FSTYPE_INCD: FLT_FILESYSTEM_TYPE = 0x14;
pub const FLT_FSTYPE_INCD_FAT: FLT_FILESYSTEM_TYPE = 0x15;
pub const FLT_FSTYPE_EXFAT: FLT_FILESYSTEM_TYPE = 0x16;
pub const FLT_FSTYPE_PSFS: FLT_FILESYSTEM_TYPE = 0x17;
pub const FLT_FSTYPE_GPFS: FLT_FILESYSTEM_TYPE = 0x18;
pub const FLT_FSTYPE_NPFS: FLT_FILESYSTEM_TYPE = 0x19;
pub const FLT_FSTYPE_MSFS: FLT_FILESYSTEM_TYPE = 0x1A;
pub const FLT_FSTYPE_CSVFS: FLT_FILESYSTEM_TYPE = 0x1B;
pub const FLT_FSTYPE_REFS: FLT_FILESYSTEM_TYPE = 0x1C;
pub const FLT_FSTYPE_OPENAFS: FLT_FILESYSTEM_TYPE = 0x1D;
pub const FLT_FSTYPE_CIMFS: FLT_FILESYSTEM_TYPE = 0x1E;

/// Properties of a volume; the strings lie behind the structure in the caller's buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FLT_VOLUME_PROPERTIES {
    pub DeviceType: DEVICE_TYPE,
    pub DeviceCharacteristics: ULONG,
    pub DeviceObjectFlags: ULONG,
    pub AlignmentRequirement: ULONG,
    /// Bytes in a sector.
    pub SectorSize: USHORT,
    pub Flags: USHORT,
    pub FileSystemDriverName: UNICODE_STRING,
    pub FileSystemDeviceName: UNICODE_STRING,
    pub RealDeviceName: UNICODE_STRING,
}
pub type PFLT_VOLUME_PROPERTIES = *mut FLT_VOLUME_PROPERTIES;

pub const FILE_DEVICE_DISK: DEVICE_TYPE = 7;
pub const FILE_DEVICE_DISK_FILE_SYSTEM: DEVICE_TYPE = 8;
pub const FILE_DEVICE_CD_ROM_FILE_SYSTEM: DEVICE_TYPE = 3;
pub const FILE_DEVICE_NETWORK_FILE_SYSTEM: DEVICE_TYPE = 0x14;
pub const FILE_DEVICE_NAMED_PIPE: DEVICE_TYPE = 0x11;
pub const FILE_DEVICE_MAILSLOT: DEVICE_TYPE = 0xC;

fltapi_functions! {
    /// The name of a volume, e.g. `\Device\HarddiskVolume3`.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetVolumeName(Volume: PFLT_VOLUME, VolumeName: PUNICODE_STRING, BufferSizeNeeded: *mut ULONG) -> NTSTATUS;

    /// The GUID name of a volume.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetVolumeGuidName(Volume: PFLT_VOLUME, VolumeGuidName: PUNICODE_STRING, BufferSizeNeeded: *mut ULONG) -> NTSTATUS;

    /// Properties of a volume: sector size, device type, driver name.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetVolumeProperties(Volume: PFLT_VOLUME, VolumeProperties: PFLT_VOLUME_PROPERTIES, VolumePropertiesLength: ULONG, LengthReturned: *mut ULONG) -> NTSTATUS;

    /// Describes a volume.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltGetVolumeInformation(Volume: PFLT_VOLUME, InformationClass: FILTER_VOLUME_INFORMATION_CLASS, Buffer: PVOID, BufferSize: ULONG, BytesReturned: *mut ULONG) -> NTSTATUS;

    /// The file system type below a filter, instance or volume.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows Vista.
    pub fn FltGetFileSystemType(FltObject: PVOID, FileSystemType: *mut FLT_FILESYSTEM_TYPE) -> NTSTATUS;

    /// Whether the volume of an instance or volume object can be written.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltIsVolumeWritable(FltObject: PVOID, IsWritable: *mut BOOLEAN) -> NTSTATUS;

    /// Whether the volume of an instance or volume object is a snapshot.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows Vista.
    pub fn FltIsVolumeSnapshot(FltObject: PVOID, IsSnapshotVolume: *mut BOOLEAN) -> NTSTATUS;

    /// Queries volume information from the file system.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltQueryVolumeInformation(Instance: PFLT_INSTANCE, Iosb: PIO_STATUS_BLOCK, FsInformation: PVOID, Length: ULONG, FsInformationClass: FS_INFORMATION_CLASS) -> NTSTATUS;

    /// Sets volume information.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltSetVolumeInformation(Instance: PFLT_INSTANCE, Iosb: PIO_STATUS_BLOCK, FsInformation: PVOID, Length: ULONG, FsInformationClass: FS_INFORMATION_CLASS) -> NTSTATUS;

    /// Opens the volume itself.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows Server 2003 SP1 / XP SP3.
    pub fn FltOpenVolume(Instance: PFLT_INSTANCE, VolumeHandle: *mut HANDLE, VolumeFileObject: *mut PFILE_OBJECT) -> NTSTATUS;
}
