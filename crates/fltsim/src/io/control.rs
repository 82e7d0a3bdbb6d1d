//! File system controls and device controls, as the file system answers them.

use fltmgr_sys::*;

const FSCTL_IS_VOLUME_MOUNTED: ULONG = 0x0009_0028;
const FSCTL_GET_REPARSE_POINT: ULONG = 0x0009_00A8;
const FSCTL_DELETE_REPARSE_POINT: ULONG = 0x0009_00AC;
const STATUS_NOT_A_REPARSE_POINT: NTSTATUS = 0xC000_0275_u32.cast_signed();

/// How a control code says that its buffers are passed: its two lowest bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// One system buffer for input and output.
    Buffered,
    /// Input in a system buffer, output in the caller's.
    Direct,
    /// Both are the caller's.
    Neither,
}

impl Method {
    pub(crate) const fn of(code: ULONG) -> Self {
        match code & 3 {
            0 => Self::Buffered,
            1 | 2 => Self::Direct,
            _ => Self::Neither,
        }
    }
}

/// `IRP_MJ_FILE_SYSTEM_CONTROL` of a user: there are no reparse points, and little else.
pub(super) fn file_system(minor: UCHAR, code: ULONG) -> Result<usize, NTSTATUS> {
    if minor != IRP_MN_USER_FS_REQUEST && minor != IRP_MN_KERNEL_CALL {
        return Err(STATUS_INVALID_DEVICE_REQUEST);
    }
    match code {
        FSCTL_IS_VOLUME_MOUNTED => Ok(0),
        FSCTL_GET_REPARSE_POINT | FSCTL_DELETE_REPARSE_POINT => Err(STATUS_NOT_A_REPARSE_POINT),
        _ => Err(STATUS_INVALID_DEVICE_REQUEST),
    }
}
