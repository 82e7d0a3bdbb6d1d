//! Registering and unregistering a minifilter.

use super::{driver, enter, exports, filter, write};
use crate::manager::filter as manager;
use fltmgr_sys::*;
use std::ptr::null_mut;

exports! {
    /// Registers a minifilter.
    unsafe fn FltRegisterFilter(
        owner: PDRIVER_OBJECT,
        registration: *const FLT_REGISTRATION,
        returned: *mut PFLT_FILTER,
    ) -> NTSTATUS {
        const CALL: &str = "FltRegisterFilter";
        // SAFETY: the caller passes a place for the result.
        unsafe { write(returned, null_mut()) };
        let Some((machine, owner)) = driver(CALL, "Driver", owner) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        if registration.is_null() {
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: the caller passes a registration whose arrays end with their terminators.
        match unsafe { manager::register(&machine, &owner, registration) } {
            Ok(filter) => {
                // SAFETY: as above.
                unsafe { write(returned, filter.pointer()) };
                STATUS_SUCCESS
            }
            Err(status) => status,
        }
    }

    /// Starts filtering: instances attach before it returns.
    unsafe fn FltStartFiltering(pointer: PFLT_FILTER) -> NTSTATUS {
        const CALL: &str = "FltStartFiltering";
        let Some((machine, filter)) = filter(CALL, "Filter", pointer) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        manager::start_filtering(&machine, &filter)
    }

    /// Unregisters a minifilter and waits for what it has not given back.
    unsafe fn FltUnregisterFilter(pointer: PFLT_FILTER) {
        const CALL: &str = "FltUnregisterFilter";
        if let Some((machine, filter)) = filter(CALL, "Filter", pointer) {
            enter(&machine, CALL);
            manager::unregister(&machine, &filter);
        }
    }
}
