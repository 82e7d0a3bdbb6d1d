//! Information classes and the structures of the common ones.

use crate::*;

pub type FILE_INFORMATION_CLASS = i32;
pub type FS_INFORMATION_CLASS = i32;

pub const FileDirectoryInformation: FILE_INFORMATION_CLASS = 1;
pub const FileFullDirectoryInformation: FILE_INFORMATION_CLASS = 2;
pub const FileBothDirectoryInformation: FILE_INFORMATION_CLASS = 3;
pub const FileBasicInformation: FILE_INFORMATION_CLASS = 4;
pub const FileStandardInformation: FILE_INFORMATION_CLASS = 5;
pub const FileInternalInformation: FILE_INFORMATION_CLASS = 6;
pub const FileEaInformation: FILE_INFORMATION_CLASS = 7;
pub const FileAccessInformation: FILE_INFORMATION_CLASS = 8;
pub const FileNameInformation: FILE_INFORMATION_CLASS = 9;
pub const FileRenameInformation: FILE_INFORMATION_CLASS = 0xA;
pub const FileLinkInformation: FILE_INFORMATION_CLASS = 0xB;
pub const FileNamesInformation: FILE_INFORMATION_CLASS = 0xC;
pub const FileDispositionInformation: FILE_INFORMATION_CLASS = 0xD;
pub const FilePositionInformation: FILE_INFORMATION_CLASS = 0xE;
pub const FileFullEaInformation: FILE_INFORMATION_CLASS = 0xF;
pub const FileModeInformation: FILE_INFORMATION_CLASS = 0x10;
pub const FileAlignmentInformation: FILE_INFORMATION_CLASS = 0x11;
pub const FileAllInformation: FILE_INFORMATION_CLASS = 0x12;
pub const FileAllocationInformation: FILE_INFORMATION_CLASS = 0x13;
pub const FileEndOfFileInformation: FILE_INFORMATION_CLASS = 0x14;
pub const FileAlternateNameInformation: FILE_INFORMATION_CLASS = 0x15;
pub const FileStreamInformation: FILE_INFORMATION_CLASS = 0x16;
pub const FilePipeInformation: FILE_INFORMATION_CLASS = 0x17;
pub const FilePipeLocalInformation: FILE_INFORMATION_CLASS = 0x18;
pub const FilePipeRemoteInformation: FILE_INFORMATION_CLASS = 0x19;
pub const FileMailslotQueryInformation: FILE_INFORMATION_CLASS = 0x1A;
pub const FileMailslotSetInformation: FILE_INFORMATION_CLASS = 0x1B;
pub const FileCompressionInformation: FILE_INFORMATION_CLASS = 0x1C;
pub const FileObjectIdInformation: FILE_INFORMATION_CLASS = 0x1D;
pub const FileCompletionInformation: FILE_INFORMATION_CLASS = 0x1E;
pub const FileMoveClusterInformation: FILE_INFORMATION_CLASS = 0x1F;
pub const FileQuotaInformation: FILE_INFORMATION_CLASS = 0x20;
pub const FileReparsePointInformation: FILE_INFORMATION_CLASS = 0x21;
pub const FileNetworkOpenInformation: FILE_INFORMATION_CLASS = 0x22;
pub const FileAttributeTagInformation: FILE_INFORMATION_CLASS = 0x23;
pub const FileTrackingInformation: FILE_INFORMATION_CLASS = 0x24;
pub const FileIdBothDirectoryInformation: FILE_INFORMATION_CLASS = 0x25;
pub const FileIdFullDirectoryInformation: FILE_INFORMATION_CLASS = 0x26;
pub const FileValidDataLengthInformation: FILE_INFORMATION_CLASS = 0x27;
pub const FileShortNameInformation: FILE_INFORMATION_CLASS = 0x28;
pub const FileIoCompletionNotificationInformation: FILE_INFORMATION_CLASS = 0x29;
pub const FileIoStatusBlockRangeInformation: FILE_INFORMATION_CLASS = 0x2A;
pub const FileIoPriorityHintInformation: FILE_INFORMATION_CLASS = 0x2B;
pub const FileSfioReserveInformation: FILE_INFORMATION_CLASS = 0x2C;
pub const FileSfioVolumeInformation: FILE_INFORMATION_CLASS = 0x2D;
pub const FileHardLinkInformation: FILE_INFORMATION_CLASS = 0x2E;
pub const FileProcessIdsUsingFileInformation: FILE_INFORMATION_CLASS = 0x2F;
pub const FileNormalizedNameInformation: FILE_INFORMATION_CLASS = 0x30;
pub const FileNetworkPhysicalNameInformation: FILE_INFORMATION_CLASS = 0x31;
pub const FileIdGlobalTxDirectoryInformation: FILE_INFORMATION_CLASS = 0x32;
pub const FileIsRemoteDeviceInformation: FILE_INFORMATION_CLASS = 0x33;
pub const FileUnusedInformation: FILE_INFORMATION_CLASS = 0x34;
pub const FileNumaNodeInformation: FILE_INFORMATION_CLASS = 0x35;
pub const FileStandardLinkInformation: FILE_INFORMATION_CLASS = 0x36;
pub const FileRemoteProtocolInformation: FILE_INFORMATION_CLASS = 0x37;
pub const FileRenameInformationBypassAccessCheck: FILE_INFORMATION_CLASS = 0x38;
pub const FileLinkInformationBypassAccessCheck: FILE_INFORMATION_CLASS = 0x39;
pub const FileVolumeNameInformation: FILE_INFORMATION_CLASS = 0x3A;
pub const FileIdInformation: FILE_INFORMATION_CLASS = 0x3B;
pub const FileIdExtdDirectoryInformation: FILE_INFORMATION_CLASS = 0x3C;
pub const FileReplaceCompletionInformation: FILE_INFORMATION_CLASS = 0x3D;
pub const FileHardLinkFullIdInformation: FILE_INFORMATION_CLASS = 0x3E;
pub const FileIdExtdBothDirectoryInformation: FILE_INFORMATION_CLASS = 0x3F;
pub const FileDispositionInformationEx: FILE_INFORMATION_CLASS = 0x40;
pub const FileRenameInformationEx: FILE_INFORMATION_CLASS = 0x41;
pub const FileRenameInformationExBypassAccessCheck: FILE_INFORMATION_CLASS = 0x42;
pub const FileDesiredStorageClassInformation: FILE_INFORMATION_CLASS = 0x43;
pub const FileStatInformation: FILE_INFORMATION_CLASS = 0x44;
pub const FileMemoryPartitionInformation: FILE_INFORMATION_CLASS = 0x45;
pub const FileStatLxInformation: FILE_INFORMATION_CLASS = 0x46;
pub const FileCaseSensitiveInformation: FILE_INFORMATION_CLASS = 0x47;
pub const FileLinkInformationEx: FILE_INFORMATION_CLASS = 0x48;
pub const FileLinkInformationExBypassAccessCheck: FILE_INFORMATION_CLASS = 0x49;
pub const FileStorageReserveIdInformation: FILE_INFORMATION_CLASS = 0x4A;
pub const FileCaseSensitiveInformationForceAccessCheck: FILE_INFORMATION_CLASS = 0x4B;
pub const FileKnownFolderInformation: FILE_INFORMATION_CLASS = 0x4C;
pub const FileMaximumInformation: FILE_INFORMATION_CLASS = 0x4D;

pub const FileFsVolumeInformation: FS_INFORMATION_CLASS = 1;
pub const FileFsLabelInformation: FS_INFORMATION_CLASS = 2;
pub const FileFsSizeInformation: FS_INFORMATION_CLASS = 3;
pub const FileFsDeviceInformation: FS_INFORMATION_CLASS = 4;
pub const FileFsAttributeInformation: FS_INFORMATION_CLASS = 5;
pub const FileFsControlInformation: FS_INFORMATION_CLASS = 6;
pub const FileFsFullSizeInformation: FS_INFORMATION_CLASS = 7;
pub const FileFsObjectIdInformation: FS_INFORMATION_CLASS = 8;
pub const FileFsDriverPathInformation: FS_INFORMATION_CLASS = 9;
pub const FileFsVolumeFlagsInformation: FS_INFORMATION_CLASS = 0xA;
pub const FileFsSectorSizeInformation: FS_INFORMATION_CLASS = 0xB;
pub const FileFsDataCopyInformation: FS_INFORMATION_CLASS = 0xC;
pub const FileFsMetadataSizeInformation: FS_INFORMATION_CLASS = 0xD;
pub const FileFsFullSizeInformationEx: FS_INFORMATION_CLASS = 0xE;
pub const FileFsMaximumInformation: FS_INFORMATION_CLASS = 0xF;

pub const FILE_DISPOSITION_DELETE: ULONG = 0x1;
pub const FILE_DISPOSITION_POSIX_SEMANTICS: ULONG = 0x2;
pub const FILE_RENAME_REPLACE_IF_EXISTS: ULONG = 0x1;
pub const FILE_RENAME_POSIX_SEMANTICS: ULONG = 0x2;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_BASIC_INFORMATION {
    pub CreationTime: LARGE_INTEGER,
    pub LastAccessTime: LARGE_INTEGER,
    pub LastWriteTime: LARGE_INTEGER,
    pub ChangeTime: LARGE_INTEGER,
    pub FileAttributes: ULONG,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_STANDARD_INFORMATION {
    pub AllocationSize: LARGE_INTEGER,
    pub EndOfFile: LARGE_INTEGER,
    pub NumberOfLinks: ULONG,
    pub DeletePending: BOOLEAN,
    pub Directory: BOOLEAN,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_INTERNAL_INFORMATION {
    pub IndexNumber: LARGE_INTEGER,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_NAME_INFORMATION {
    pub FileNameLength: ULONG,
    pub FileName: [WCHAR; 1],
}

/// The first member is `ReplaceIfExists` in the older class and `Flags` in the newer one.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_RENAME_INFORMATION {
    pub Flags: ULONG,
    pub RootDirectory: HANDLE,
    pub FileNameLength: ULONG,
    pub FileName: [WCHAR; 1],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_DISPOSITION_INFORMATION {
    pub DeleteFile: BOOLEAN,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_DISPOSITION_INFORMATION_EX {
    pub Flags: ULONG,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_ID_INFORMATION {
    pub VolumeSerialNumber: ULONGLONG,
    pub FileId: [UCHAR; 16],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_STREAM_INFORMATION {
    pub NextEntryOffset: ULONG,
    pub StreamNameLength: ULONG,
    pub StreamSize: LARGE_INTEGER,
    pub StreamAllocationSize: LARGE_INTEGER,
    pub StreamName: [WCHAR; 1],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_END_OF_FILE_INFORMATION {
    pub EndOfFile: LARGE_INTEGER,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_ALLOCATION_INFORMATION {
    pub AllocationSize: LARGE_INTEGER,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_POSITION_INFORMATION {
    pub CurrentByteOffset: LARGE_INTEGER,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_ATTRIBUTE_TAG_INFORMATION {
    pub FileAttributes: ULONG,
    pub ReparseTag: ULONG,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_NETWORK_OPEN_INFORMATION {
    pub CreationTime: LARGE_INTEGER,
    pub LastAccessTime: LARGE_INTEGER,
    pub LastWriteTime: LARGE_INTEGER,
    pub ChangeTime: LARGE_INTEGER,
    pub AllocationSize: LARGE_INTEGER,
    pub EndOfFile: LARGE_INTEGER,
    pub FileAttributes: ULONG,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_NAMES_INFORMATION {
    pub NextEntryOffset: ULONG,
    pub FileIndex: ULONG,
    pub FileNameLength: ULONG,
    pub FileName: [WCHAR; 1],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_DIRECTORY_INFORMATION {
    pub NextEntryOffset: ULONG,
    pub FileIndex: ULONG,
    pub CreationTime: LARGE_INTEGER,
    pub LastAccessTime: LARGE_INTEGER,
    pub LastWriteTime: LARGE_INTEGER,
    pub ChangeTime: LARGE_INTEGER,
    pub EndOfFile: LARGE_INTEGER,
    pub AllocationSize: LARGE_INTEGER,
    pub FileAttributes: ULONG,
    pub FileNameLength: ULONG,
    pub FileName: [WCHAR; 1],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_FULL_DIR_INFORMATION {
    pub NextEntryOffset: ULONG,
    pub FileIndex: ULONG,
    pub CreationTime: LARGE_INTEGER,
    pub LastAccessTime: LARGE_INTEGER,
    pub LastWriteTime: LARGE_INTEGER,
    pub ChangeTime: LARGE_INTEGER,
    pub EndOfFile: LARGE_INTEGER,
    pub AllocationSize: LARGE_INTEGER,
    pub FileAttributes: ULONG,
    pub FileNameLength: ULONG,
    pub EaSize: ULONG,
    pub FileName: [WCHAR; 1],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_BOTH_DIR_INFORMATION {
    pub NextEntryOffset: ULONG,
    pub FileIndex: ULONG,
    pub CreationTime: LARGE_INTEGER,
    pub LastAccessTime: LARGE_INTEGER,
    pub LastWriteTime: LARGE_INTEGER,
    pub ChangeTime: LARGE_INTEGER,
    pub EndOfFile: LARGE_INTEGER,
    pub AllocationSize: LARGE_INTEGER,
    pub FileAttributes: ULONG,
    pub FileNameLength: ULONG,
    pub EaSize: ULONG,
    pub ShortNameLength: CCHAR,
    pub ShortName: [WCHAR; 12],
    pub FileName: [WCHAR; 1],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_ID_BOTH_DIR_INFORMATION {
    pub NextEntryOffset: ULONG,
    pub FileIndex: ULONG,
    pub CreationTime: LARGE_INTEGER,
    pub LastAccessTime: LARGE_INTEGER,
    pub LastWriteTime: LARGE_INTEGER,
    pub ChangeTime: LARGE_INTEGER,
    pub EndOfFile: LARGE_INTEGER,
    pub AllocationSize: LARGE_INTEGER,
    pub FileAttributes: ULONG,
    pub FileNameLength: ULONG,
    pub EaSize: ULONG,
    pub ShortNameLength: CCHAR,
    pub ShortName: [WCHAR; 12],
    pub FileId: LARGE_INTEGER,
    pub FileName: [WCHAR; 1],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_ID_FULL_DIR_INFORMATION {
    pub NextEntryOffset: ULONG,
    pub FileIndex: ULONG,
    pub CreationTime: LARGE_INTEGER,
    pub LastAccessTime: LARGE_INTEGER,
    pub LastWriteTime: LARGE_INTEGER,
    pub ChangeTime: LARGE_INTEGER,
    pub EndOfFile: LARGE_INTEGER,
    pub AllocationSize: LARGE_INTEGER,
    pub FileAttributes: ULONG,
    pub FileNameLength: ULONG,
    pub EaSize: ULONG,
    pub FileId: LARGE_INTEGER,
    pub FileName: [WCHAR; 1],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_FS_VOLUME_INFORMATION {
    pub VolumeCreationTime: LARGE_INTEGER,
    pub VolumeSerialNumber: ULONG,
    pub VolumeLabelLength: ULONG,
    pub SupportsObjects: BOOLEAN,
    pub VolumeLabel: [WCHAR; 1],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_FS_DEVICE_INFORMATION {
    pub DeviceType: ULONG,
    pub Characteristics: ULONG,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_FS_ATTRIBUTE_INFORMATION {
    pub FileSystemAttributes: ULONG,
    pub MaximumComponentNameLength: LONG,
    pub FileSystemNameLength: ULONG,
    pub FileSystemName: [WCHAR; 1],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_FS_SIZE_INFORMATION {
    pub TotalAllocationUnits: LARGE_INTEGER,
    pub AvailableAllocationUnits: LARGE_INTEGER,
    pub SectorsPerAllocationUnit: ULONG,
    pub BytesPerSector: ULONG,
}
