//! Attaching to volumes and detaching from them.

use super::{enter, exports, filter, volume, write};
use crate::kernel::string;
use crate::manager::filter::FilterState;
use crate::manager::{Filter, Volume, instance};
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;

exports! {
    /// Attaches a new instance to a volume; the caller owns a reference on what is returned.
    unsafe fn FltAttachVolume(
        Filter: PFLT_FILTER,
        Volume: PFLT_VOLUME,
        InstanceName: PCUNICODE_STRING,
        RetInstance: *mut PFLT_INSTANCE,
    ) -> NTSTATUS {
        const CALL: &str = "FltAttachVolume";
        let Some((machine, filter)) = filter(CALL, "Filter", Filter) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let Some((_, volume)) = volume(CALL, "Volume", Volume) else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes null or a string.
        let name = unsafe { string::read(InstanceName) };
        // SAFETY: the caller passes null or a place for the result.
        unsafe { attach(CALL, &filter, &volume, name.as_deref(), None, RetInstance) }
    }

    /// Attaches a new instance at an altitude that the registry does not know.
    unsafe fn FltAttachVolumeAtAltitude(
        Filter: PFLT_FILTER,
        Volume: PFLT_VOLUME,
        Altitude: PCUNICODE_STRING,
        InstanceName: PCUNICODE_STRING,
        RetInstance: *mut PFLT_INSTANCE,
    ) -> NTSTATUS {
        const CALL: &str = "FltAttachVolumeAtAltitude";
        let Some((machine, filter)) = filter(CALL, "Filter", Filter) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let Some((_, volume)) = volume(CALL, "Volume", Volume) else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes a string.
        let altitude = unsafe { string::read(Altitude) };
        let Some(altitude) = altitude else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes null or a string.
        let name = unsafe { string::read(InstanceName) };
        let generated = format!("{} Instance at {altitude}", filter.name);
        let name = name.unwrap_or(generated);
        // SAFETY: the caller passes null or a place for the result.
        unsafe { attach(CALL, &filter, &volume, Some(&name), Some(&altitude), RetInstance) }
    }

    /// Detaches an instance from a volume, if it agrees.
    unsafe fn FltDetachVolume(
        Filter: PFLT_FILTER,
        Volume: PFLT_VOLUME,
        InstanceName: PCUNICODE_STRING,
    ) -> NTSTATUS {
        const CALL: &str = "FltDetachVolume";
        let Some((machine, filter)) = filter(CALL, "Filter", Filter) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let Some((_, volume)) = volume(CALL, "Volume", Volume) else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes null or a string.
        let name = unsafe { string::read(InstanceName) };
        match instance::detach(&filter, &volume, name.as_deref()) {
            Ok(()) => STATUS_SUCCESS,
            Err(status) => status,
        }
    }
}

/// # Safety
/// `result` is null or may be written to.
unsafe fn attach(
    call: &'static str,
    filter: &Arc<Filter>,
    volume: &Arc<Volume>,
    name: Option<&str>,
    altitude: Option<&str>,
    result: *mut PFLT_INSTANCE,
) -> NTSTATUS {
    // SAFETY: passed on to the caller.
    unsafe { write(result, null_mut()) };
    match filter.state() {
        FilterState::Registered => return STATUS_FLT_FILTER_NOT_READY,
        FilterState::Active => {}
        FilterState::Unregistering | FilterState::Gone => return STATUS_FLT_DELETING_OBJECT,
    }
    let flags = FLTFL_INSTANCE_SETUP_MANUAL_ATTACHMENT;
    match instance::attach(filter, volume, name, altitude, flags) {
        Err(status) => status,
        Ok(_) if result.is_null() => STATUS_SUCCESS,
        Ok(instance) => {
            if let Err(status) = instance.references.acquire(call) {
                return status;
            }
            // SAFETY: passed on to the caller.
            unsafe { write(result, instance.pointer()) };
            STATUS_SUCCESS
        }
    }
}
