//! Callback data: what a minifilter sees of an operation.
//!
//! Reference: the `fltkernel.h` pages of the Windows driver DDI documentation.

use crate::*;

pub type FLT_CALLBACK_DATA_FLAGS = ULONG;

pub const FLTFL_CALLBACK_DATA_IRP_OPERATION: FLT_CALLBACK_DATA_FLAGS = 1;
pub const FLTFL_CALLBACK_DATA_FAST_IO_OPERATION: FLT_CALLBACK_DATA_FLAGS = 2;
pub const FLTFL_CALLBACK_DATA_FS_FILTER_OPERATION: FLT_CALLBACK_DATA_FLAGS = 4;
pub const FLTFL_CALLBACK_DATA_SYSTEM_BUFFER: FLT_CALLBACK_DATA_FLAGS = 8;
pub const FLTFL_CALLBACK_DATA_GENERATED_IO: FLT_CALLBACK_DATA_FLAGS = 0x0001_0000;
pub const FLTFL_CALLBACK_DATA_REISSUED_IO: FLT_CALLBACK_DATA_FLAGS = 0x0002_0000;
pub const FLTFL_CALLBACK_DATA_DRAINING_IO: FLT_CALLBACK_DATA_FLAGS = 0x0004_0000;
pub const FLTFL_CALLBACK_DATA_POST_OPERATION: FLT_CALLBACK_DATA_FLAGS = 0x0008_0000;
pub const FLTFL_CALLBACK_DATA_NEW_SYSTEM_BUFFER: FLT_CALLBACK_DATA_FLAGS = 0x0010_0000;
pub const FLTFL_CALLBACK_DATA_DIRTY: FLT_CALLBACK_DATA_FLAGS = 0x8000_0000;

/// The parameters of an operation.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_IO_PARAMETER_BLOCK {
    pub IrpFlags: ULONG,
    pub MajorFunction: UCHAR,
    pub MinorFunction: UCHAR,
    pub OperationFlags: UCHAR,
    pub Reserved: UCHAR,
    pub TargetFileObject: PFILE_OBJECT,
    pub TargetInstance: PFLT_INSTANCE,
    pub Parameters: FLT_PARAMETERS,
}
pub type PFLT_IO_PARAMETER_BLOCK = *mut FLT_IO_PARAMETER_BLOCK;

/// One operation on its way through the minifilters of a volume.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_CALLBACK_DATA {
    pub Flags: FLT_CALLBACK_DATA_FLAGS,
    pub Thread: PETHREAD,
    pub Iopb: PFLT_IO_PARAMETER_BLOCK,
    pub IoStatus: IO_STATUS_BLOCK,
    pub TagData: PFLT_TAG_DATA_BUFFER,
    pub Queue: FLT_CALLBACK_DATA_QUEUE_LINKS,
    pub RequestorMode: KPROCESSOR_MODE,
}
pub type PFLT_CALLBACK_DATA = *mut FLT_CALLBACK_DATA;

/// Links while queued, or the minifilter's own data.
#[repr(C)]
#[derive(Clone, Copy)]
pub union FLT_CALLBACK_DATA_QUEUE_LINKS {
    pub Queue: FLT_CALLBACK_DATA_QUEUED,
    pub FilterContext: [PVOID; 4],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_CALLBACK_DATA_QUEUED {
    pub QueueLinks: LIST_ENTRY,
    pub QueueContext: [PVOID; 2],
}

/// The objects that an operation is about. The structure and its pointers are only good for the
/// duration of the callback.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FLT_RELATED_OBJECTS {
    pub Size: USHORT,
    /// The `TxF` mini-version of the file; not a context.
    pub TransactionContext: USHORT,
    pub Filter: PFLT_FILTER,
    pub Volume: PFLT_VOLUME,
    pub Instance: PFLT_INSTANCE,
    pub FileObject: PFILE_OBJECT,
    pub Transaction: PKTRANSACTION,
}
pub type PFLT_RELATED_OBJECTS = *mut FLT_RELATED_OBJECTS;
pub type PCFLT_RELATED_OBJECTS = *const FLT_RELATED_OBJECTS;

/// Reparse data of a create that ended with `STATUS_REPARSE`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_TAG_DATA_BUFFER {
    pub FileTag: ULONG,
    pub TagDataLength: USHORT,
    pub UnparsedNameLength: USHORT,
    pub Reparse: FLT_REPARSE_BUFFER,
}
pub type PFLT_TAG_DATA_BUFFER = *mut FLT_TAG_DATA_BUFFER;

#[repr(C)]
#[derive(Clone, Copy)]
pub union FLT_REPARSE_BUFFER {
    pub SymbolicLinkReparseBuffer: FLT_SYMBOLIC_LINK_REPARSE_BUFFER,
    pub MountPointReparseBuffer: FLT_MOUNT_POINT_REPARSE_BUFFER,
    pub GenericReparseBuffer: FLT_GENERIC_REPARSE_BUFFER,
    pub GenericGUIDReparseBuffer: FLT_GENERIC_GUID_REPARSE_BUFFER,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FLT_SYMBOLIC_LINK_REPARSE_BUFFER {
    pub SubstituteNameOffset: USHORT,
    pub SubstituteNameLength: USHORT,
    pub PrintNameOffset: USHORT,
    pub PrintNameLength: USHORT,
    pub Flags: ULONG,
    pub PathBuffer: [WCHAR; 1],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FLT_MOUNT_POINT_REPARSE_BUFFER {
    pub SubstituteNameOffset: USHORT,
    pub SubstituteNameLength: USHORT,
    pub PrintNameOffset: USHORT,
    pub PrintNameLength: USHORT,
    pub PathBuffer: [WCHAR; 1],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FLT_GENERIC_REPARSE_BUFFER {
    pub DataBuffer: [UCHAR; 1],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FLT_GENERIC_GUID_REPARSE_BUFFER {
    pub TagGuid: GUID,
    pub DataBuffer: [UCHAR; 1],
}
