//! What kind of file system a volume pretends to have.

use fltmgr_sys::{
    FILE_DEVICE_DISK, FILE_DEVICE_NETWORK_FILE_SYSTEM, FLT_FILESYSTEM_TYPE, FLT_FSTYPE_FAT,
    FLT_FSTYPE_LANMAN, FLT_FSTYPE_NTFS, FLT_FSTYPE_UNKNOWN,
};

/// How file contexts come about on a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileContexts {
    /// The file system keeps a per-file structure with room for them.
    Native,
    /// The Filter Manager keeps them with the stream: one stream is one file.
    Emulated,
    /// Not at all.
    None,
}

/// The traits of a file system that a filter can tell apart.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of each other"
)]
pub struct Personality {
    /// The name it reports for itself.
    pub name: &'static str,
    /// The type that the Filter Manager tells `InstanceSetup`.
    pub filesystem_type: FLT_FILESYSTEM_TYPE,
    /// How file contexts come about.
    pub file_contexts: FileContexts,
    /// Whether stream contexts are supported.
    pub stream_contexts: bool,
    /// Whether stream-handle contexts are supported.
    pub stream_handle_contexts: bool,
    /// Whether a file may have named data streams.
    pub alternate_streams: bool,
    /// Whether names that differ only in case are different names.
    pub case_sensitive: bool,
    /// Whether files have security descriptors.
    pub security: bool,
    /// Whether operations can take part in transactions.
    pub transactions: bool,
    /// Whether sections can be created for data scans.
    pub data_scan: bool,
    /// The device type of the volume (`FILE_DEVICE_*`).
    pub device_type: u32,
    /// Bytes per sector.
    pub sector_size: u32,
}

impl Personality {
    /// Everything that a local Windows file system can do.
    #[must_use]
    pub const fn ntfs() -> Self {
        Self {
            name: "NTFS",
            filesystem_type: FLT_FSTYPE_NTFS,
            file_contexts: FileContexts::Native,
            stream_contexts: true,
            stream_handle_contexts: true,
            alternate_streams: true,
            case_sensitive: false,
            security: true,
            transactions: true,
            data_scan: true,
            device_type: FILE_DEVICE_DISK,
            sector_size: 512,
        }
    }

    /// One stream a file, no security, no transactions; file contexts are emulated.
    #[must_use]
    pub const fn fat() -> Self {
        Self {
            name: "FAT32",
            filesystem_type: FLT_FSTYPE_FAT,
            file_contexts: FileContexts::Emulated,
            alternate_streams: false,
            security: false,
            transactions: false,
            ..Self::ntfs()
        }
    }

    /// A third-party file system without `FSRTL_ADVANCED_FCB_HEADER`: no contexts below the volume.
    #[must_use]
    pub const fn no_contexts() -> Self {
        Self {
            name: "PLAINFS",
            filesystem_type: FLT_FSTYPE_UNKNOWN,
            file_contexts: FileContexts::None,
            stream_contexts: false,
            stream_handle_contexts: false,
            alternate_streams: false,
            security: false,
            transactions: false,
            data_scan: false,
            ..Self::ntfs()
        }
    }

    /// A share of another machine: contexts, but neither transactions nor data scans.
    #[must_use]
    pub const fn redirector() -> Self {
        Self {
            filesystem_type: FLT_FSTYPE_LANMAN,
            transactions: false,
            data_scan: false,
            device_type: FILE_DEVICE_NETWORK_FILE_SYSTEM,
            ..Self::ntfs()
        }
    }
}
