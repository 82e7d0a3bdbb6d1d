//! Attaching to and detaching from volumes.
//!
//! Reference: the `fltkernel.h` pages of the Windows driver DDI documentation.

use crate::abi::{fltapi_callbacks, fltapi_functions};
use crate::*;

pub type FLT_INSTANCE_SETUP_FLAGS = ULONG;
pub type FLT_INSTANCE_QUERY_TEARDOWN_FLAGS = ULONG;
pub type FLT_INSTANCE_TEARDOWN_FLAGS = ULONG;

pub const FLTFL_INSTANCE_SETUP_AUTOMATIC_ATTACHMENT: FLT_INSTANCE_SETUP_FLAGS = 1;
pub const FLTFL_INSTANCE_SETUP_MANUAL_ATTACHMENT: FLT_INSTANCE_SETUP_FLAGS = 2;
pub const FLTFL_INSTANCE_SETUP_NEWLY_MOUNTED_VOLUME: FLT_INSTANCE_SETUP_FLAGS = 4;
pub const FLTFL_INSTANCE_SETUP_DETACHED_VOLUME: FLT_INSTANCE_SETUP_FLAGS = 8;
pub const FLTFL_INSTANCE_TEARDOWN_MANUAL: FLT_INSTANCE_TEARDOWN_FLAGS = 1;
pub const FLTFL_INSTANCE_TEARDOWN_FILTER_UNLOAD: FLT_INSTANCE_TEARDOWN_FLAGS = 2;
pub const FLTFL_INSTANCE_TEARDOWN_MANDATORY_FILTER_UNLOAD: FLT_INSTANCE_TEARDOWN_FLAGS = 4;
pub const FLTFL_INSTANCE_TEARDOWN_VOLUME_DISMOUNT: FLT_INSTANCE_TEARDOWN_FLAGS = 8;
pub const FLTFL_INSTANCE_TEARDOWN_INTERNAL_ERROR: FLT_INSTANCE_TEARDOWN_FLAGS = 0x10;

fltapi_callbacks! {
    /// Asks whether to attach to a volume. `IRQL == PASSIVE_LEVEL`.
    pub type PFLT_INSTANCE_SETUP_CALLBACK = fn(FltObjects: PCFLT_RELATED_OBJECTS, Flags: FLT_INSTANCE_SETUP_FLAGS, VolumeDeviceType: DEVICE_TYPE, VolumeFilesystemType: FLT_FILESYSTEM_TYPE) -> NTSTATUS;
    /// Asks whether a manual detach is allowed. `IRQL == PASSIVE_LEVEL`.
    pub type PFLT_INSTANCE_QUERY_TEARDOWN_CALLBACK = fn(FltObjects: PCFLT_RELATED_OBJECTS, Flags: FLT_INSTANCE_QUERY_TEARDOWN_FLAGS) -> NTSTATUS;
    /// An instance is being torn down, or has been. `IRQL == PASSIVE_LEVEL`.
    pub type PFLT_INSTANCE_TEARDOWN_CALLBACK = fn(FltObjects: PCFLT_RELATED_OBJECTS, Reason: FLT_INSTANCE_TEARDOWN_FLAGS);
}

fltapi_functions! {
    /// Attaches a new instance to a volume.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltAttachVolume(Filter: PFLT_FILTER, Volume: PFLT_VOLUME, InstanceName: PCUNICODE_STRING, RetInstance: *mut PFLT_INSTANCE) -> NTSTATUS;

    /// Attaches a new instance to a volume at a given altitude (a debugging aid).
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltAttachVolumeAtAltitude(Filter: PFLT_FILTER, Volume: PFLT_VOLUME, Altitude: PCUNICODE_STRING, InstanceName: PCUNICODE_STRING, RetInstance: *mut PFLT_INSTANCE) -> NTSTATUS;

    /// Detaches an instance from a volume.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltDetachVolume(Filter: PFLT_FILTER, Volume: PFLT_VOLUME, InstanceName: PCUNICODE_STRING) -> NTSTATUS;
}
