//! Typed parameters of the common operations.
//!
//! Each is a small copy of what the operation's member of `FLT_PARAMETERS` says, taken when it is
//! asked for and legal at any IRQL. Buffers are not among them: reading a caller's memory is a
//! matter of its own.

use core::{marker::PhantomData, ptr::NonNull};

use bitflags::bitflags;
use fltmgr_sys as sys;
use sys::{FLT_PARAMETERS, UCHAR};

use crate::{irql::ApcOrBelow, name::Utf16};

/// What a create does when the name exists, and when it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Replace the file, or create it.
    Supersede,
    /// Open the file, or fail.
    Open,
    /// Create the file, or fail when it exists.
    Create,
    /// Open the file, or create it.
    OpenIf,
    /// Open and truncate the file, or fail.
    Overwrite,
    /// Open and truncate the file, or create it.
    OverwriteIf,
    /// A value that the system does not define.
    Other(u8),
}

bitflags! {
    /// Options of a create.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct CreateOptions: u32 {
        /// It must be a directory.
        const DIRECTORY_FILE = sys::FILE_DIRECTORY_FILE;
        /// It must not be a directory.
        const NON_DIRECTORY_FILE = sys::FILE_NON_DIRECTORY_FILE;
        /// Writes go to disk before they complete.
        const WRITE_THROUGH = sys::FILE_WRITE_THROUGH;
        /// Access is sequential.
        const SEQUENTIAL_ONLY = sys::FILE_SEQUENTIAL_ONLY;
        /// Nothing is cached.
        const NO_INTERMEDIATE_BUFFERING = sys::FILE_NO_INTERMEDIATE_BUFFERING;
        /// The file goes with its last handle.
        const DELETE_ON_CLOSE = sys::FILE_DELETE_ON_CLOSE;
        /// The name is a file identifier.
        const OPEN_BY_FILE_ID = sys::FILE_OPEN_BY_FILE_ID;
        /// Reparse points are opened themselves.
        const OPEN_REPARSE_POINT = sys::FILE_OPEN_REPARSE_POINT;
        const _ = 0x00FF_FFFF;
    }
}

/// Parameters of [`Create`](super::Create).
#[derive(Clone, Copy, Debug)]
pub struct Create<'a> {
    /// What happens to an existing file.
    pub disposition: Disposition,
    /// The options.
    pub options: CreateOptions,
    /// `FILE_ATTRIBUTE_XXX` of a file that is created.
    pub file_attributes: u16,
    /// `FILE_SHARE_XXX`.
    pub share_access: u16,
    /// Whether a paging file is opened: it has no contexts.
    pub paging_file: bool,
    borrows: PhantomData<&'a ()>,
}

/// Parameters of [`Read`](super::Read).
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    /// Bytes to read.
    pub length: u32,
    /// Where to read, in bytes from the start of the stream.
    pub byte_offset: i64,
    borrows: PhantomData<&'a ()>,
}

/// Parameters of [`Write`](super::Write).
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// Bytes to write.
    pub length: u32,
    /// Where to write, in bytes from the start of the stream.
    pub byte_offset: i64,
    borrows: PhantomData<&'a ()>,
}

/// A class of file information (`FILE_INFORMATION_CLASS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileInformationClass(pub i32);

impl FileInformationClass {
    /// Times and attributes.
    pub const BASIC: Self = Self(sys::FileBasicInformation);
    /// Sizes, links and the delete mark.
    pub const STANDARD: Self = Self(sys::FileStandardInformation);
    /// A new name.
    pub const RENAME: Self = Self(sys::FileRenameInformation);
    /// A new name, with flags.
    pub const RENAME_EX: Self = Self(sys::FileRenameInformationEx);
    /// Deletion.
    pub const DISPOSITION: Self = Self(sys::FileDispositionInformation);
    /// Deletion, with flags.
    pub const DISPOSITION_EX: Self = Self(sys::FileDispositionInformationEx);
    /// A new end of the file.
    pub const END_OF_FILE: Self = Self(sys::FileEndOfFileInformation);
    /// A new size on disk.
    pub const ALLOCATION: Self = Self(sys::FileAllocationInformation);

    /// Whether setting it renames the file.
    #[must_use]
    pub fn is_rename(self) -> bool {
        self == Self::RENAME || self == Self::RENAME_EX
    }

    /// Whether setting it marks the file for deletion, or takes the mark back.
    #[must_use]
    pub fn is_disposition(self) -> bool {
        self == Self::DISPOSITION || self == Self::DISPOSITION_EX
    }
}

/// Parameters of [`QueryInformation`](super::QueryInformation).
#[derive(Clone, Copy, Debug)]
pub struct QueryInformation<'a> {
    /// The class that is asked for.
    pub class: FileInformationClass,
    /// Bytes in the caller's buffer.
    pub length: u32,
    borrows: PhantomData<&'a ()>,
}

/// Parameters of [`SetInformation`](super::SetInformation).
#[derive(Clone, Copy, Debug)]
pub struct SetInformation<'a> {
    /// The class that is set.
    pub class: FileInformationClass,
    /// Bytes in the caller's buffer.
    pub length: u32,
    borrows: PhantomData<&'a ()>,
}

/// Parameters of [`QueryVolumeInformation`](super::QueryVolumeInformation).
#[derive(Clone, Copy, Debug)]
pub struct QueryVolumeInformation<'a> {
    /// `FS_INFORMATION_CLASS` that is asked for.
    pub class: i32,
    /// Bytes in the caller's buffer.
    pub length: u32,
    borrows: PhantomData<&'a ()>,
}

/// The pattern of a listing: a string of whoever asks for it, perhaps in paged memory.
///
/// # Invariants
///
/// `string` and its buffer are valid for `'a`, and nobody writes to them meanwhile.
#[derive(Clone, Copy)]
pub struct Pattern<'a> {
    string: NonNull<sys::UNICODE_STRING>,
    borrows: PhantomData<&'a ()>,
}

impl<'a> Pattern<'a> {
    /// The text, e.g. `*.txt`.
    ///
    /// DDI: `FLT_PARAMETERS` for `IRP_MJ_DIRECTORY_CONTROL`, `FileName`. IRQL: at most `APC_LEVEL`.
    #[must_use]
    pub fn text<I: ApcOrBelow>(self, irql: &'a I) -> Utf16<'a> {
        let _ = irql;
        // SAFETY: by the invariant the string is valid; the token proves that paged memory may be
        // touched.
        let string = unsafe { self.string.as_ref() };
        // SAFETY: by the invariant its buffer is.
        unsafe { Utf16::new(string) }
    }
}

/// Parameters of [`DirectoryControl`](super::DirectoryControl).
#[derive(Clone, Copy)]
pub enum DirectoryControl<'a> {
    /// The directory is listed.
    Query {
        /// The class of the entries.
        class: FileInformationClass,
        /// Bytes in the caller's buffer.
        length: u32,
        /// The pattern that names must match, if there is one.
        pattern: Option<Pattern<'a>>,
    },
    /// Changes are waited for.
    Notify {
        /// `FILE_NOTIFY_CHANGE_XXX`.
        completion_filter: u32,
        /// Bytes in the caller's buffer.
        length: u32,
    },
    /// A minor function code that this crate does not know.
    Other(u8),
}

/// Parameters of [`FileSystemControl`](super::FileSystemControl).
#[derive(Clone, Copy, Debug)]
pub enum FileSystemControl<'a> {
    /// `FSCTL_XXX` of an application or driver.
    User {
        /// The code.
        code: u32,
        /// Bytes of input.
        input_length: u32,
        /// Bytes of room for output.
        output_length: u32,
        /// Ties the parameters to the callback.
        borrows: PhantomData<&'a ()>,
    },
    /// Another minor function code, e.g. mount.
    Other(u8),
}

impl Create<'_> {
    /// # Safety
    ///
    /// As for [`Operation::parameters`](super::Operation).
    pub(super) unsafe fn decode(_minor: UCHAR, parameters: &FLT_PARAMETERS) -> Self {
        // SAFETY: the major function code is that of this member; every bit pattern is valid.
        let raw = unsafe { parameters.Create };
        Self {
            disposition: match raw.Options.to_be_bytes()[0] {
                0 => Disposition::Supersede,
                1 => Disposition::Open,
                2 => Disposition::Create,
                3 => Disposition::OpenIf,
                4 => Disposition::Overwrite,
                5 => Disposition::OverwriteIf,
                other => Disposition::Other(other),
            },
            options: CreateOptions::from_bits_truncate(raw.Options),
            file_attributes: raw.FileAttributes,
            share_access: raw.ShareAccess,
            paging_file: false,
            borrows: PhantomData,
        }
    }

    pub(super) fn with_operation_flags(mut self, flags: UCHAR) -> Self {
        self.paging_file = flags & sys::SL_OPEN_PAGING_FILE != 0;
        self
    }
}

macro_rules! transfers {
    ($($name:ident)*) => {$(
        impl $name<'_> {
            /// # Safety
            ///
            /// As for [`Operation::parameters`](super::Operation).
            pub(super) unsafe fn decode(_minor: UCHAR, parameters: &FLT_PARAMETERS) -> Self {
                // SAFETY: the major function code is that of this member.
                let raw = unsafe { parameters.$name };
                Self {
                    length: raw.Length,
                    // SAFETY: the members of the union are views of the same 64 bits.
                    byte_offset: unsafe { raw.ByteOffset.QuadPart },
                    borrows: PhantomData,
                }
            }
        }
    )*};
}

transfers!(Read Write);

impl QueryInformation<'_> {
    /// # Safety
    ///
    /// As for [`Operation::parameters`](super::Operation).
    pub(super) unsafe fn decode(_minor: UCHAR, parameters: &FLT_PARAMETERS) -> Self {
        // SAFETY: the major function code is that of this member.
        let raw = unsafe { parameters.QueryFileInformation };
        Self {
            class: FileInformationClass(raw.FileInformationClass),
            length: raw.Length,
            borrows: PhantomData,
        }
    }
}

impl SetInformation<'_> {
    /// # Safety
    ///
    /// As for [`Operation::parameters`](super::Operation).
    pub(super) unsafe fn decode(_minor: UCHAR, parameters: &FLT_PARAMETERS) -> Self {
        // SAFETY: the major function code is that of this member.
        let raw = unsafe { parameters.SetFileInformation };
        Self {
            class: FileInformationClass(raw.FileInformationClass),
            length: raw.Length,
            borrows: PhantomData,
        }
    }
}

impl QueryVolumeInformation<'_> {
    /// # Safety
    ///
    /// As for [`Operation::parameters`](super::Operation).
    pub(super) unsafe fn decode(_minor: UCHAR, parameters: &FLT_PARAMETERS) -> Self {
        // SAFETY: the major function code is that of this member.
        let raw = unsafe { parameters.QueryVolumeInformation };
        Self {
            class: raw.FsInformationClass,
            length: raw.Length,
            borrows: PhantomData,
        }
    }
}

impl<'a> DirectoryControl<'a> {
    /// # Safety
    ///
    /// As for [`Operation::parameters`](super::Operation).
    pub(super) unsafe fn decode(minor: UCHAR, parameters: &'a FLT_PARAMETERS) -> Self {
        match minor {
            sys::IRP_MN_QUERY_DIRECTORY => {
                // SAFETY: the major and minor function codes are those of this member.
                let raw = unsafe { parameters.DirectoryControl.QueryDirectory };
                Self::Query {
                    class: FileInformationClass(raw.FileInformationClass),
                    length: raw.Length,
                    // INVARIANT: a string of the caller that is valid for the operation.
                    pattern: NonNull::new(raw.FileName).map(|string| Pattern {
                        string,
                        borrows: PhantomData,
                    }),
                }
            }
            sys::IRP_MN_NOTIFY_CHANGE_DIRECTORY | sys::IRP_MN_NOTIFY_CHANGE_DIRECTORY_EX => {
                // SAFETY: both minor function codes start with these members.
                let raw = unsafe { parameters.DirectoryControl.NotifyDirectory };
                Self::Notify {
                    completion_filter: raw.CompletionFilter,
                    length: raw.Length,
                }
            }
            other => Self::Other(other),
        }
    }
}

impl FileSystemControl<'_> {
    /// # Safety
    ///
    /// As for [`Operation::parameters`](super::Operation).
    pub(super) unsafe fn decode(minor: UCHAR, parameters: &FLT_PARAMETERS) -> Self {
        match minor {
            sys::IRP_MN_USER_FS_REQUEST | sys::IRP_MN_KERNEL_CALL => {
                // SAFETY: the major and minor function codes are those of this member.
                let raw = unsafe { parameters.FileSystemControl.Common };
                Self::User {
                    code: raw.FsControlCode,
                    input_length: raw.InputBufferLength,
                    output_length: raw.OutputBufferLength,
                    borrows: PhantomData,
                }
            }
            other => Self::Other(other),
        }
    }
}
