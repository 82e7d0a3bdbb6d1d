//! A minifilter and its registration with the Filter Manager.

mod cell;
mod conflict;
#[doc(hidden)]
pub mod entry;
pub(crate) mod instance;
mod lent;
mod notification;
mod view;
mod windows;

pub use cell::{FilterCell, Registered};
pub use conflict::SectionConflict;
pub use entry::{DriverEntry, FilterTables};
pub use instance::{
    DoNotAttach, DoNotDetach, InstanceQueryTeardown, InstanceSetup, InstanceTeardown, SetupFlags,
    TeardownReason,
};
pub use notification::{Phase, TransactionNotification};

pub use windows::Windows;

use fltmgr_sys as sys;

use crate::Status;

/// A minifilter driver.
///
/// The value holds the driver's own state. It is made by [`Minifilter::load`], lives from before
/// the filter is registered until after it is unregistered, and every callback gets `&self`, on
/// many threads at once. It is dropped when the last callback has returned and every context is
/// gone. So a handle that it keeps must be given up in [`Minifilter::unload`], whatever that
/// answers to a mandatory request: unregistering waits for the context, and the value for that.
///
/// Only [`Minifilter::load`] must be written; the other methods have defaults.
///
/// DDI: `FLT_REGISTRATION`.
pub trait Minifilter: Sized + Send + Sync + 'static {
    /// Refuse a `sc stop`, so that the filter is unloaded by `fltmc unload` only
    /// (`FLTFL_REGISTRATION_DO_NOT_SUPPORT_SERVICE_STOP`).
    const REFUSE_SERVICE_STOP: bool = false;

    /// The oldest Windows that the driver is to run on. The default, Windows 8, offers everything.
    const WINDOWS: Windows = Windows::Windows8;

    /// Makes the filter's state. An error ends the load with that status and registers nothing; a
    /// success status as an error ends it with `STATUS_UNSUCCESSFUL`.
    ///
    /// # Errors
    ///
    /// Whatever keeps the driver from running.
    ///
    /// IRQL: `PASSIVE_LEVEL`.
    fn load(driver: &DriverEntry) -> Result<Self, Status>;

    /// Decides whether to attach to a volume. The default attaches.
    ///
    /// Instance and volume contexts can be set here, through `setup`.
    ///
    /// # Errors
    ///
    /// [`DoNotAttach`] leaves the volume alone; an instance context set meanwhile is cleaned up.
    ///
    /// DDI: `PFLT_INSTANCE_SETUP_CALLBACK`. IRQL: `PASSIVE_LEVEL`.
    fn instance_setup(&self, setup: &mut InstanceSetup<'_, Self>) -> Result<(), DoNotAttach> {
        let _ = setup;
        Ok(())
    }

    /// Decides whether a manual detach is allowed. The default allows it. Not asked at unload or
    /// dismount.
    ///
    /// # Errors
    ///
    /// [`DoNotDetach`] keeps the instance attached.
    ///
    /// DDI: `PFLT_INSTANCE_QUERY_TEARDOWN_CALLBACK`. IRQL: `PASSIVE_LEVEL`.
    fn instance_query_teardown(
        &self,
        query: &mut InstanceQueryTeardown<'_, Self>,
    ) -> Result<(), DoNotDetach> {
        let _ = query;
        Ok(())
    }

    /// The instance is about to go: no new operation will be seen. Contexts are still attached.
    ///
    /// DDI: `PFLT_INSTANCE_TEARDOWN_CALLBACK` (start). IRQL: `PASSIVE_LEVEL`.
    fn instance_teardown_start(&self, teardown: &mut InstanceTeardown<'_, Self>) {
        let _ = teardown;
    }

    /// Every operation of the instance has ended. Contexts are still attached; they are cleaned
    /// up after this returns.
    ///
    /// DDI: `PFLT_INSTANCE_TEARDOWN_CALLBACK` (complete). IRQL: `PASSIVE_LEVEL`.
    fn instance_teardown_complete(&self, teardown: &mut InstanceTeardown<'_, Self>) {
        let _ = teardown;
    }

    /// A transaction that an instance is enlisted in has reached a phase.
    ///
    /// DDI: `PFLT_TRANSACTION_NOTIFICATION_CALLBACK`. IRQL: `PASSIVE_LEVEL`.
    fn transaction_notification(&self, notification: &mut TransactionNotification<'_, Self>) {
        let _ = notification;
    }

    /// An operation conflicts with a section that the filter has open for a data scan, e.g. a
    /// write. The operation waits until this returns; the section should be closed soon.
    ///
    /// DDI: `PFLT_SECTION_CONFLICT_NOTIFICATION_CALLBACK`. IRQL: `PASSIVE_LEVEL`.
    fn section_conflict(&self, conflict: &mut SectionConflict<'_, Self>) {
        let _ = conflict;
    }

    /// Decides whether to unload. The default agrees; the library then unregisters the filter,
    /// which waits for every callback and cleans up every context, and drops `self`.
    ///
    /// # Errors
    ///
    /// [`Status::DO_NOT_DETACH`] or another error keeps the filter loaded, unless the unload is
    /// mandatory.
    ///
    /// DDI: `PFLT_FILTER_UNLOAD_CALLBACK`. IRQL: `PASSIVE_LEVEL`.
    fn unload(&self, request: Unload) -> Result<(), Status> {
        let _ = request;
        Ok(())
    }
}

/// A request to unload the filter. DDI: `PFLT_FILTER_UNLOAD_CALLBACK`.
#[derive(Clone, Copy, Debug)]
pub struct Unload {
    mandatory: bool,
}

impl Unload {
    pub(crate) fn new(flags: sys::FLT_FILTER_UNLOAD_FLAGS) -> Self {
        Self {
            mandatory: flags & sys::FLTFL_FILTER_UNLOAD_MANDATORY != 0,
        }
    }

    /// Whether the filter is unloaded whatever it answers (`sc stop`).
    #[must_use]
    pub fn mandatory(self) -> bool {
        self.mandatory
    }
}
