//! A raw filter below the probe that holds reads and writes, so that something can happen to the probe while
//! its operation is on its way.

use std::{
    ptr,
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

use fltctx::sys;
use fltsim::{Driver, DriverConfig, Machine};

/// Where an operation is: nowhere, held below, or let go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    Idle,
    Held,
    Released,
}

static STAGE: Mutex<Stage> = Mutex::new(Stage::Idle);
static CHANGED: Condvar = Condvar::new();

/// Moves on to a stage.
pub(crate) fn enter(stage: Stage) {
    *STAGE.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    CHANGED.notify_all();
}

/// Waits for a stage, and fails rather than hang.
pub(crate) fn wait_for(stage: Stage) {
    let current = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let (current, _) = CHANGED
        .wait_timeout_while(current, Duration::from_secs(20), |current| {
            *current != stage
        })
        .unwrap_or_else(PoisonError::into_inner);
    assert_eq!(*current, stage, "it did not happen");
}

/// Loads the filter under the probe.
pub(crate) fn load(machine: &Machine) -> Driver {
    enter(Stage::Idle);
    let driver = machine.create_driver(DriverConfig::new("below").altitude("100000"));
    driver.start(entry).expect("the lower filter loads");
    driver
}

static OPERATIONS: [sys::FLT_OPERATION_REGISTRATION; 3] = [
    row(sys::IRP_MJ_READ, Some(hold)),
    row(sys::IRP_MJ_WRITE, Some(hold)),
    row(sys::IRP_MJ_OPERATION_END, None),
];

const fn row(major: u8, pre: sys::PFLT_PRE_OPERATION_CALLBACK) -> sys::FLT_OPERATION_REGISTRATION {
    sys::FLT_OPERATION_REGISTRATION {
        MajorFunction: major,
        Flags: 0,
        PreOperation: pre,
        PostOperation: None,
        Reserved1: ptr::null_mut(),
    }
}

static FILTER: Mutex<usize> = Mutex::new(0);

sys::fltapi! {
    /// `DriverEntry`.
    unsafe fn entry(driver: sys::PDRIVER_OBJECT, _path: sys::PCUNICODE_STRING) -> sys::NTSTATUS {
        // SAFETY: integers and nullable pointers: all-zero is a valid registration.
        let mut registration: sys::FLT_REGISTRATION = unsafe { std::mem::zeroed() };
        registration.Size = u16::try_from(size_of::<sys::FLT_REGISTRATION>()).unwrap();
        registration.Version = sys::FLT_REGISTRATION_VERSION;
        registration.OperationRegistration = OPERATIONS.as_ptr();
        registration.FilterUnloadCallback = Some(unload);
        let mut filter = ptr::null_mut();
        // SAFETY: the driver object is the machine's, and the registration is complete.
        let status = unsafe { sys::FltRegisterFilter(driver, &raw const registration, &raw mut filter) };
        assert_eq!(status, sys::STATUS_SUCCESS);
        *FILTER.lock().unwrap_or_else(PoisonError::into_inner) = filter.expose_provenance();
        // SAFETY: the filter was registered just now.
        unsafe { sys::FltStartFiltering(filter) }
    }

    /// Unregisters.
    unsafe fn unload(_flags: sys::FLT_FILTER_UNLOAD_FLAGS) -> sys::NTSTATUS {
        let filter = *FILTER.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the filter is registered, and this is its unload callback.
        unsafe { sys::FltUnregisterFilter(ptr::with_exposed_provenance_mut(filter)) };
        sys::STATUS_SUCCESS
    }

    /// Holds an operation until the test lets it go.
    unsafe fn hold(
        _data: sys::PFLT_CALLBACK_DATA,
        _objects: sys::PCFLT_RELATED_OBJECTS,
        _completion: *mut sys::PVOID,
    ) -> sys::FLT_PREOP_CALLBACK_STATUS {
        enter(Stage::Held);
        wait_for(Stage::Released);
        sys::FLT_PREOP_SUCCESS_NO_CALLBACK
    }
}
