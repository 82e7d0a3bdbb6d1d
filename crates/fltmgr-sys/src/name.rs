//! File names.
//!
//! Reference: the `fltkernel.h` pages of the Windows driver DDI documentation.

use crate::abi::{fltapi_callbacks, fltapi_functions};
use crate::*;

pub type FLT_FILE_NAME_OPTIONS = ULONG;
pub type FLT_FILE_NAME_PARSED_FLAGS = USHORT;
pub type FLT_NORMALIZE_NAME_FLAGS = ULONG;

pub const FLT_FILE_NAME_NORMALIZED: FLT_FILE_NAME_OPTIONS = 1;
pub const FLT_FILE_NAME_OPENED: FLT_FILE_NAME_OPTIONS = 2;
pub const FLT_FILE_NAME_SHORT: FLT_FILE_NAME_OPTIONS = 3;
pub const FLT_FILE_NAME_QUERY_DEFAULT: FLT_FILE_NAME_OPTIONS = 0x100;
pub const FLT_FILE_NAME_QUERY_CACHE_ONLY: FLT_FILE_NAME_OPTIONS = 0x200;
pub const FLT_FILE_NAME_QUERY_FILESYSTEM_ONLY: FLT_FILE_NAME_OPTIONS = 0x300;
pub const FLT_FILE_NAME_QUERY_ALWAYS_ALLOW_CACHE_LOOKUP: FLT_FILE_NAME_OPTIONS = 0x400;
pub const FLT_FILE_NAME_REQUEST_FROM_CURRENT_PROVIDER: FLT_FILE_NAME_OPTIONS = 0x0100_0000;
pub const FLT_FILE_NAME_DO_NOT_CACHE: FLT_FILE_NAME_OPTIONS = 0x0200_0000;
pub const FLT_FILE_NAME_ALLOW_QUERY_ON_REPARSE: FLT_FILE_NAME_OPTIONS = 0x0400_0000;
pub const FLTFL_FILE_NAME_PARSED_FINAL_COMPONENT: FLT_FILE_NAME_PARSED_FLAGS = 1;
pub const FLTFL_FILE_NAME_PARSED_EXTENSION: FLT_FILE_NAME_PARSED_FLAGS = 2;
pub const FLTFL_FILE_NAME_PARSED_STREAM: FLT_FILE_NAME_PARSED_FLAGS = 4;
pub const FLTFL_FILE_NAME_PARSED_PARENT_DIR: FLT_FILE_NAME_PARSED_FLAGS = 8;

/// The name of a file, in parts once it has been parsed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FLT_FILE_NAME_INFORMATION {
    pub Size: USHORT,
    pub NamesParsed: FLT_FILE_NAME_PARSED_FLAGS,
    pub Format: FLT_FILE_NAME_OPTIONS,
    pub Name: UNICODE_STRING,
    pub Volume: UNICODE_STRING,
    pub Share: UNICODE_STRING,
    pub Extension: UNICODE_STRING,
    pub Stream: UNICODE_STRING,
    pub FinalComponent: UNICODE_STRING,
    pub ParentDir: UNICODE_STRING,
}
pub type PFLT_FILE_NAME_INFORMATION = *mut FLT_FILE_NAME_INFORMATION;

/// A name that a name provider builds.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FLT_NAME_CONTROL {
    pub Name: UNICODE_STRING,
}
pub type PFLT_NAME_CONTROL = *mut FLT_NAME_CONTROL;

fltapi_callbacks! {
    /// Generates a file name. `IRQL == PASSIVE_LEVEL`.
    pub type PFLT_GENERATE_FILE_NAME = fn(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, CallbackData: PFLT_CALLBACK_DATA, NameOptions: FLT_FILE_NAME_OPTIONS, CacheFileNameInformation: *mut BOOLEAN, FileName: PFLT_NAME_CONTROL) -> NTSTATUS;
    /// Normalises one component. `IRQL == PASSIVE_LEVEL`.
    pub type PFLT_NORMALIZE_NAME_COMPONENT = fn(Instance: PFLT_INSTANCE, ParentDirectory: PCUNICODE_STRING, VolumeNameLength: USHORT, Component: PCUNICODE_STRING, ExpandComponentName: PVOID, ExpandComponentNameLength: ULONG, Flags: FLT_NORMALIZE_NAME_FLAGS, NormalizationContext: *mut PVOID) -> NTSTATUS;
    /// Normalises one component, with the file object at hand. `IRQL == PASSIVE_LEVEL`.
    pub type PFLT_NORMALIZE_NAME_COMPONENT_EX = fn(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, ParentDirectory: PCUNICODE_STRING, VolumeNameLength: USHORT, Component: PCUNICODE_STRING, ExpandComponentName: PVOID, ExpandComponentNameLength: ULONG, Flags: FLT_NORMALIZE_NAME_FLAGS, NormalizationContext: *mut PVOID) -> NTSTATUS;
    /// Frees what normalisation kept. `IRQL == PASSIVE_LEVEL`.
    pub type PFLT_NORMALIZE_CONTEXT_CLEANUP = fn(NormalizationContext: *mut PVOID);
}

fltapi_functions! {
    /// Gets a referenced name information structure for an operation.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetFileNameInformation(CallbackData: PFLT_CALLBACK_DATA, NameOptions: ULONG, FileNameInformation: *mut PFLT_FILE_NAME_INFORMATION) -> NTSTATUS;

    /// Gets a referenced name information structure for a file object.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetFileNameInformationUnsafe(FileObject: PFILE_OBJECT, Instance: PFLT_INSTANCE, NameOptions: ULONG, FileNameInformation: *mut PFLT_FILE_NAME_INFORMATION) -> NTSTATUS;

    /// Adds a reference to a name information structure.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltReferenceFileNameInformation(FileNameInformation: PFLT_FILE_NAME_INFORMATION);

    /// Releases a reference to a name information structure.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltReleaseFileNameInformation(FileNameInformation: PFLT_FILE_NAME_INFORMATION);

    /// Fills in the parts of a name information structure.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltParseFileNameInformation(FileNameInformation: PFLT_FILE_NAME_INFORMATION) -> NTSTATUS;

    /// Splits a file name into extension, stream and final component.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltParseFileName(FileName: PCUNICODE_STRING, Extension: PUNICODE_STRING, Stream: PUNICODE_STRING, FinalComponent: PUNICODE_STRING) -> NTSTATUS;

    /// Gets the new name of a rename or hard link.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetDestinationFileNameInformation(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, RootDirectory: HANDLE, FileName: *mut WCHAR, FileNameLength: ULONG, NameOptions: ULONG, RetFileNameInformation: *mut PFLT_FILE_NAME_INFORMATION) -> NTSTATUS;

    /// Gets the tunnelled name of a newly created file, if there is one.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetTunneledName(CallbackData: PFLT_CALLBACK_DATA, FileNameInformation: PFLT_FILE_NAME_INFORMATION, RetTunneledFileNameInformation: *mut PFLT_FILE_NAME_INFORMATION) -> NTSTATUS;

    /// Makes room in a name control structure.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltCheckAndGrowNameControl(NameCtrl: PFLT_NAME_CONTROL, NewSize: USHORT) -> NTSTATUS;
}
