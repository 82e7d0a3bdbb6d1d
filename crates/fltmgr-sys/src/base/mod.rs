//! The kernel's base types.
//!
//! On Windows they are those of `wdk-sys`: the same types that a driver gets from there, so that
//! a `PDRIVER_OBJECT` from its `DriverEntry` fits without a cast. Elsewhere the types are this
//! crate's own, with the same names, fields and layout.

#[cfg(not(windows))]
mod own;

#[cfg(not(windows))]
pub use own::*;

#[cfg(windows)]
pub use wdk_sys::{
    ACCESS_MASK, BOOLEAN, CCHAR, CHAR, DEVICE_OBJECT, DRIVER_OBJECT, ERESOURCE, FAST_MUTEX,
    FILE_OBJECT, GUID, HANDLE, IO_STATUS_BLOCK, IRP, KEVENT, KIRQL, KPROCESSOR_MODE, KSPIN_LOCK,
    LARGE_INTEGER, LIST_ENTRY, LONG, LONGLONG, MDL, NTSTATUS, OBJECT_ATTRIBUTES, PCUNICODE_STRING,
    PDEVICE_OBJECT, PDRIVER_OBJECT, PEPROCESS, PETHREAD, PFILE_OBJECT, PIO_STATUS_BLOCK, PIRP,
    PKTHREAD, PMDL, POBJECT_ATTRIBUTES, PUNICODE_STRING, PVOID, PVPB, SECTION_OBJECT_POINTERS,
    SIZE_T, UCHAR, ULONG, ULONG_PTR, ULONGLONG, UNICODE_STRING, USHORT, VPB, WCHAR,
};

#[cfg(windows)]
pub use wdk_sys::{_KTRANSACTION as KTRANSACTION, PKTRANSACTION};

/// A macro in the headers, which `wdk-sys` therefore does not have.
#[cfg(windows)]
pub type DEVICE_TYPE = ULONG;
