//! Where the parameters of an operation keep its buffer.

use super::control::Method;
use super::driver_memory::DriverMemory;
use fltmgr_sys::*;
use std::mem::offset_of;
use std::ptr::null_mut;

/// Where an operation keeps its buffer, and what the buffer is for. A member that the operation
/// does not have is null.
#[derive(Clone, Copy)]
pub(crate) struct Buffers {
    pub(crate) mdl: *mut PMDL,
    pub(crate) buffer: *mut PVOID,
    pub(crate) length: *mut ULONG,
    pub(crate) access: LOCK_OPERATION,
}

// The members of a union all begin where it begins; 0 stands for a member that there is not.
macro_rules! members {
    ($at:ident: $of:ident, $access:ident, $buffer:ident, $length:tt, $mdl:tt) => {
        Some(Buffers {
            mdl: members!(@ $at $of $mdl),
            buffer: members!(@ $at $of $buffer),
            length: members!(@ $at $of $length),
            access: $access,
        })
    };
    (@ $at:ident $of:ident 0) => {
        null_mut()
    };
    (@ $at:ident $of:ident $member:ident) => {
        $at.wrapping_byte_add(offset_of!($of, $member)).cast()
    };
}

/// Finds the buffer members of the parameters; `None` if the operation has no buffer.
pub(crate) fn buffers(block: &DriverMemory<FLT_IO_PARAMETER_BLOCK>) -> Option<Buffers> {
    let iopb = block.load();
    let parameters = block
        .pointer()
        .wrapping_byte_add(offset_of!(FLT_IO_PARAMETER_BLOCK, Parameters));
    match iopb.MajorFunction {
        IRP_MJ_READ => {
            members!(parameters: FLT_PARAMETERS_READ,
                IoWriteAccess,
                ReadBuffer,
                Length,
                MdlAddress
            )
        }
        IRP_MJ_WRITE => {
            members!(parameters: FLT_PARAMETERS_WRITE,
                IoReadAccess,
                WriteBuffer,
                Length,
                MdlAddress
            )
        }
        IRP_MJ_QUERY_INFORMATION => members!(parameters: FLT_PARAMETERS_QUERY_FILE_INFORMATION,
            IoWriteAccess,
            InfoBuffer,
            Length,
            0
        ),
        IRP_MJ_SET_INFORMATION => members!(parameters: FLT_PARAMETERS_SET_FILE_INFORMATION,
            IoReadAccess,
            InfoBuffer,
            Length,
            0
        ),
        IRP_MJ_QUERY_EA => {
            members!(parameters: FLT_PARAMETERS_QUERY_EA,
                IoWriteAccess,
                EaBuffer,
                Length,
                MdlAddress
            )
        }
        IRP_MJ_SET_EA => {
            members!(parameters: FLT_PARAMETERS_SET_EA,
                IoReadAccess,
                EaBuffer,
                Length,
                MdlAddress
            )
        }
        IRP_MJ_QUERY_VOLUME_INFORMATION => {
            members!(parameters: FLT_PARAMETERS_QUERY_VOLUME_INFORMATION,
                IoWriteAccess,
                VolumeBuffer,
                Length,
                0
            )
        }
        IRP_MJ_SET_VOLUME_INFORMATION => {
            members!(parameters: FLT_PARAMETERS_SET_VOLUME_INFORMATION,
                IoReadAccess,
                VolumeBuffer,
                Length,
                0
            )
        }
        IRP_MJ_DIRECTORY_CONTROL => {
            members!(parameters: FLT_PARAMETERS_DIRECTORY_CONTROL_QUERY_DIRECTORY,
                IoWriteAccess,
                DirectoryBuffer,
                Length,
                MdlAddress
            )
        }
        IRP_MJ_QUERY_SECURITY => members!(parameters: FLT_PARAMETERS_QUERY_SECURITY,
            IoWriteAccess,
            SecurityBuffer,
            Length,
            MdlAddress
        ),
        IRP_MJ_SET_SECURITY => members!(parameters: FLT_PARAMETERS_SET_SECURITY,
            IoReadAccess,
            SecurityDescriptor,
            0,
            0
        ),
        major @ (IRP_MJ_QUERY_QUOTA | IRP_MJ_SET_QUOTA) => quota(major, parameters),
        // Both kinds of control have the same layout, which the code decides about.
        IRP_MJ_FILE_SYSTEM_CONTROL | IRP_MJ_DEVICE_CONTROL | IRP_MJ_INTERNAL_DEVICE_CONTROL => {
            // SAFETY: this is a control, and whoever changed its parameters kept to their layout.
            let members = unsafe { iopb.Parameters.FileSystemControl };
            // SAFETY: the code lies at the same place in each member.
            let common = unsafe { members.Common };
            control(Method::of(common.FsControlCode), parameters)
        }
        _ => None,
    }
}

/// The buffer members of a control, which are those of its output.
fn control(method: Method, parameters: *mut FLT_IO_PARAMETER_BLOCK) -> Option<Buffers> {
    match method {
        Method::Buffered => members!(parameters: FLT_PARAMETERS_FILE_SYSTEM_CONTROL_BUFFERED,
            IoModifyAccess,
            SystemBuffer,
            OutputBufferLength,
            0
        ),
        Method::Direct => members!(parameters: FLT_PARAMETERS_FILE_SYSTEM_CONTROL_DIRECT,
            IoModifyAccess,
            OutputBuffer,
            OutputBufferLength,
            OutputMdlAddress
        ),
        Method::Neither => members!(parameters: FLT_PARAMETERS_FILE_SYSTEM_CONTROL_NEITHER,
            IoModifyAccess,
            OutputBuffer,
            OutputBufferLength,
            OutputMdlAddress
        ),
    }
}

/// The buffer members of a query or a change of quotas.
fn quota(major: UCHAR, parameters: *mut FLT_IO_PARAMETER_BLOCK) -> Option<Buffers> {
    if major == IRP_MJ_QUERY_QUOTA {
        members!(parameters: FLT_PARAMETERS_QUERY_QUOTA,
            IoWriteAccess,
            QuotaBuffer,
            Length,
            MdlAddress
        )
    } else {
        members!(parameters: FLT_PARAMETERS_SET_QUOTA,
            IoReadAccess,
            QuotaBuffer,
            Length,
            MdlAddress
        )
    }
}
