//! Drivers of a machine: started, and asked to unload.

use super::{Inner, Machine};
use crate::kernel::registry::{DriverRecord, SERVICES};
use crate::kernel::scope::{Callback, Scope};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::kernel::{device, thread};
use crate::kernel::{file_lock, irql, mdl};
use crate::manager::Filter;
use crate::manager::filter::{self, FilterState};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The entry point of a driver.
#[cfg(target_arch = "x86_64")]
pub type DriverEntry = unsafe extern "win64" fn(PDRIVER_OBJECT, PCUNICODE_STRING) -> NTSTATUS;
/// The entry point of a driver.
#[cfg(not(target_arch = "x86_64"))]
pub type DriverEntry = unsafe extern "system" fn(PDRIVER_OBJECT, PCUNICODE_STRING) -> NTSTATUS;

/// How a driver is asked to unload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unload {
    /// As by `fltmc unload`; the driver may refuse.
    Normal,
    /// As by `sc stop`; the driver's refusal is ignored.
    Mandatory,
}

/// An installed driver.
#[derive(Clone)]
pub struct Driver {
    pub(super) machine: Machine,
    pub(super) record: Arc<DriverRecord>,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Driver").field(&self.record.config).finish()
    }
}

impl Driver {
    /// Its driver object.
    #[must_use]
    pub fn driver_object(&self) -> PDRIVER_OBJECT {
        self.record.pointer()
    }

    /// The path of its service key.
    #[must_use]
    pub fn registry_path(&self) -> PCUNICODE_STRING {
        self.record.registry_path()
    }

    /// The same path for [`Machine::registry`].
    #[must_use]
    pub fn service_key(&self) -> String {
        format!(r"{SERVICES}\{}", self.record.config.name)
    }

    /// The filter that it has registered.
    #[must_use]
    pub fn filter(&self) -> Option<PFLT_FILTER> {
        let filter = self.record.filter.lock();
        filter.as_ref().map(Filter::pointer)
    }

    pub(super) fn active_filter(&self) -> Result<Arc<Filter>, NTSTATUS> {
        let filter = self.record.filter.lock().clone();
        let filter = filter.ok_or(STATUS_FLT_FILTER_NOT_FOUND)?;
        match filter.state() {
            FilterState::Registered => Err(STATUS_FLT_FILTER_NOT_READY),
            FilterState::Active => Ok(filter),
            FilterState::Unregistering | FilterState::Gone => Err(STATUS_FLT_DELETING_OBJECT),
        }
    }

    /// Calls the driver's entry point.
    ///
    /// # Errors
    /// The status that it failed with.
    pub fn start(&self, entry: DriverEntry) -> Result<(), NTSTATUS> {
        start(&self.machine.inner, &self.record, entry)
    }

    /// Says where the driver starts, so that another one can load it with `FltLoadFilter`. It is
    /// not entered yet.
    pub fn install(&self, entry: DriverEntry) {
        *self.record.entry.lock() = Some(entry);
    }

    /// Asks the driver to unload.
    ///
    /// # Errors
    /// `STATUS_FLT_FILTER_NOT_FOUND` if it has no filter; `STATUS_FLT_DO_NOT_DETACH` if it cannot
    /// be unloaded this way; otherwise the status that it refused with.
    pub fn unload(&self, how: Unload) -> Result<(), NTSTATUS> {
        unload(&self.machine.inner, &self.record, how)
    }
}

/// Calls the entry point of a driver.
fn start(inner: &Arc<Inner>, record: &DriverRecord, entry: DriverEntry) -> Result<(), NTSTATUS> {
    let scope = Scope::enter(inner, Callback::DriverEntry, PASSIVE_LEVEL);
    // SAFETY: the two pointers stay valid while the driver's record exists, which is as long as the
    // machine; that the function is a driver's entry point is what its type says.
    let status = unsafe { entry(record.pointer(), record.registry_path()) };
    drop(scope);
    if nt_success(status) {
        record.running.store(true, Ordering::Release);
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        device::initialized(record);
        return Ok(());
    }
    let what = "DriverEntry failed and left its filter registered";
    abandon(inner, record, true, what);
    Err(status)
}

/// Loads an installed driver by the name of its service, as the system does for `FltLoadFilter`.
///
/// # Errors
/// `STATUS_OBJECT_NAME_NOT_FOUND` if there is none that can be loaded, `STATUS_IMAGE_ALREADY_LOADED`
/// if it runs, `STATUS_FAILED_DRIVER_ENTRY` if it did not start.
pub(crate) fn load(inner: &Arc<Inner>, name: &str) -> Result<(), NTSTATUS> {
    let drivers = inner.drivers.lock().clone();
    let same =
        |record: &Arc<DriverRecord>| record.config.name.to_lowercase() == name.to_lowercase();
    let record = drivers.into_iter().find(same);
    let record = record.ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
    if record.running.load(Ordering::Acquire) {
        return Err(STATUS_IMAGE_ALREADY_LOADED);
    }
    let entry = *record.entry.lock();
    let entry = entry.ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
    start(inner, &record, entry).map_err(|_| STATUS_FAILED_DRIVER_ENTRY)
}

/// Asks a driver to unload.
pub(crate) fn unload(
    inner: &Arc<Inner>,
    record: &DriverRecord,
    how: Unload,
) -> Result<(), NTSTATUS> {
    let filter = record.filter.lock().clone();
    let filter = filter.ok_or(STATUS_FLT_FILTER_NOT_FOUND)?;
    let registration = &filter.registration.callbacks;
    let mandatory = how == Unload::Mandatory;
    let no_stop = FLTFL_REGISTRATION_DO_NOT_SUPPORT_SERVICE_STOP;
    if mandatory && registration.Flags & no_stop != 0 {
        return Err(STATUS_FLT_DO_NOT_DETACH);
    }
    let callback = registration
        .FilterUnloadCallback
        .ok_or(STATUS_FLT_DO_NOT_DETACH)?;
    filter.mandatory.store(mandatory, Ordering::Release);
    let flags = if mandatory {
        FLTFL_FILTER_UNLOAD_MANDATORY
    } else {
        0
    };
    let scope = Scope::enter(inner, Callback::Unload, PASSIVE_LEVEL);
    // SAFETY: the driver registered this callback and is loaded until it returns.
    let status = unsafe { callback(flags) };
    drop(scope);
    if !nt_success(status) && !mandatory {
        return Err(status);
    }
    let what = "FilterUnloadCallback returned and left its filter registered";
    abandon(inner, record, nt_success(status), what);
    record.running.store(false, Ordering::Release);
    if inner.filters.read().is_empty() {
        filter::report_volumes(inner, "FltUnregisterFilter");
        // No driver is left whose routines could be called.
        inner.registry_filters.forget();
        inner.handles.report(inner, "FltUnregisterFilter");
        report_kernel(inner, "FltUnregisterFilter");
        inner.ecps.report(inner, "FltUnregisterFilter");
    }
    Ok(())
}

/// Says what drivers still have of the kernel proper, once no filter is left.
pub(super) fn report_kernel(inner: &Inner, call: &'static str) {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    thread::report(inner, call);
    mdl::report(inner, call);
    for leak in inner.held.take() {
        inner.verifier.leak(Rule::V20, call, leak);
    }
    file_lock::forget(inner);
}

/// Unregisters a filter that its driver forgot, or did not want to unregister.
fn abandon(inner: &Arc<Inner>, record: &DriverRecord, report: bool, what: &str) {
    let registered = record.filter.lock().clone();
    if let Some(filter) = registered {
        if report {
            inner.verifier.violation(Rule::V20, "", what);
        }
        let _scope = Scope::enter(inner, Callback::Other, irql::current());
        filter::unregister(inner, &filter);
    }
}
