//! Sections for data scans (Windows 8 and later).
//!
//! Reference: the `fltkernel.h` pages of the Windows driver DDI documentation.

use crate::abi::{fltapi_callbacks, fltapi_functions};
use crate::*;

pub const PAGE_READONLY: ULONG = 0x02;
pub const PAGE_READWRITE: ULONG = 0x04;
pub const SEC_FILE: ULONG = 0x0080_0000;
pub const SEC_COMMIT: ULONG = 0x0800_0000;

fltapi_callbacks! {
    /// An operation conflicts with the section of a data scan. `IRQL == PASSIVE_LEVEL`.
    pub type PFLT_SECTION_CONFLICT_NOTIFICATION_CALLBACK = fn(Instance: PFLT_INSTANCE, SectionContext: PFLT_CONTEXT, Data: PFLT_CALLBACK_DATA) -> NTSTATUS;
}

fltapi_functions! {
    /// Registers an instance for data scans.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows 8.
    pub fn FltRegisterForDataScan(Instance: PFLT_INSTANCE) -> NTSTATUS;

    /// Creates a section for a data scan and attaches its section context to the stream.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows 8.
    pub fn FltCreateSectionForDataScan(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT, SectionContext: PFLT_CONTEXT, DesiredAccess: ACCESS_MASK, ObjectAttributes: POBJECT_ATTRIBUTES, MaximumSize: *mut LARGE_INTEGER, SectionPageProtection: ULONG, AllocationAttributes: ULONG, Flags: ULONG, SectionHandle: *mut HANDLE, SectionObject: *mut PVOID, SectionFileSize: *mut LARGE_INTEGER) -> NTSTATUS;

    /// Ends a data scan and unlinks its section context.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows 8.
    pub fn FltCloseSectionForDataScan(SectionContext: PFLT_CONTEXT) -> NTSTATUS;
}
