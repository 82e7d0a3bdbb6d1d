//! The names of the operations.

use crate::machine::Inner;
use fltmgr_sys::*;
use std::ffi::CStr;

/// The name of a major function code, with its terminator.
pub(crate) const fn major_c_name(major: UCHAR) -> Option<&'static CStr> {
    Some(match major {
        IRP_MJ_CREATE => c"IRP_MJ_CREATE",
        IRP_MJ_CREATE_NAMED_PIPE => c"IRP_MJ_CREATE_NAMED_PIPE",
        IRP_MJ_CLOSE => c"IRP_MJ_CLOSE",
        IRP_MJ_READ => c"IRP_MJ_READ",
        IRP_MJ_WRITE => c"IRP_MJ_WRITE",
        IRP_MJ_QUERY_INFORMATION => c"IRP_MJ_QUERY_INFORMATION",
        IRP_MJ_SET_INFORMATION => c"IRP_MJ_SET_INFORMATION",
        IRP_MJ_QUERY_EA => c"IRP_MJ_QUERY_EA",
        IRP_MJ_SET_EA => c"IRP_MJ_SET_EA",
        IRP_MJ_FLUSH_BUFFERS => c"IRP_MJ_FLUSH_BUFFERS",
        IRP_MJ_QUERY_VOLUME_INFORMATION => c"IRP_MJ_QUERY_VOLUME_INFORMATION",
        IRP_MJ_SET_VOLUME_INFORMATION => c"IRP_MJ_SET_VOLUME_INFORMATION",
        IRP_MJ_DIRECTORY_CONTROL => c"IRP_MJ_DIRECTORY_CONTROL",
        IRP_MJ_FILE_SYSTEM_CONTROL => c"IRP_MJ_FILE_SYSTEM_CONTROL",
        IRP_MJ_DEVICE_CONTROL => c"IRP_MJ_DEVICE_CONTROL",
        IRP_MJ_INTERNAL_DEVICE_CONTROL => c"IRP_MJ_INTERNAL_DEVICE_CONTROL",
        IRP_MJ_SHUTDOWN => c"IRP_MJ_SHUTDOWN",
        IRP_MJ_LOCK_CONTROL => c"IRP_MJ_LOCK_CONTROL",
        IRP_MJ_CLEANUP => c"IRP_MJ_CLEANUP",
        IRP_MJ_CREATE_MAILSLOT => c"IRP_MJ_CREATE_MAILSLOT",
        IRP_MJ_QUERY_SECURITY => c"IRP_MJ_QUERY_SECURITY",
        IRP_MJ_SET_SECURITY => c"IRP_MJ_SET_SECURITY",
        IRP_MJ_QUERY_QUOTA => c"IRP_MJ_QUERY_QUOTA",
        IRP_MJ_SET_QUOTA => c"IRP_MJ_SET_QUOTA",
        IRP_MJ_PNP => c"IRP_MJ_PNP",
        IRP_MJ_ACQUIRE_FOR_SECTION_SYNCHRONIZATION => c"IRP_MJ_ACQUIRE_FOR_SECTION_SYNCHRONIZATION",
        IRP_MJ_RELEASE_FOR_SECTION_SYNCHRONIZATION => c"IRP_MJ_RELEASE_FOR_SECTION_SYNCHRONIZATION",
        IRP_MJ_ACQUIRE_FOR_MOD_WRITE => c"IRP_MJ_ACQUIRE_FOR_MOD_WRITE",
        IRP_MJ_RELEASE_FOR_MOD_WRITE => c"IRP_MJ_RELEASE_FOR_MOD_WRITE",
        IRP_MJ_ACQUIRE_FOR_CC_FLUSH => c"IRP_MJ_ACQUIRE_FOR_CC_FLUSH",
        IRP_MJ_RELEASE_FOR_CC_FLUSH => c"IRP_MJ_RELEASE_FOR_CC_FLUSH",
        IRP_MJ_QUERY_OPEN => c"IRP_MJ_QUERY_OPEN",
        IRP_MJ_FAST_IO_CHECK_IF_POSSIBLE => c"IRP_MJ_FAST_IO_CHECK_IF_POSSIBLE",
        IRP_MJ_NETWORK_QUERY_OPEN => c"IRP_MJ_NETWORK_QUERY_OPEN",
        IRP_MJ_MDL_READ => c"IRP_MJ_MDL_READ",
        IRP_MJ_MDL_READ_COMPLETE => c"IRP_MJ_MDL_READ_COMPLETE",
        IRP_MJ_PREPARE_MDL_WRITE => c"IRP_MJ_PREPARE_MDL_WRITE",
        IRP_MJ_MDL_WRITE_COMPLETE => c"IRP_MJ_MDL_WRITE_COMPLETE",
        IRP_MJ_VOLUME_MOUNT => c"IRP_MJ_VOLUME_MOUNT",
        IRP_MJ_VOLUME_DISMOUNT => c"IRP_MJ_VOLUME_DISMOUNT",
        _ => return None,
    })
}

/// The name of a major function code.
pub(crate) fn major_name(major: UCHAR) -> &'static str {
    major_c_name(major)
        .and_then(|name| name.to_str().ok())
        .unwrap_or("unknown operation")
}

/// Counts an operation that enters a volume's stack.
pub(crate) fn count(machine: &Inner, major: UCHAR) {
    machine.counters.operation(major_name(major));
}
