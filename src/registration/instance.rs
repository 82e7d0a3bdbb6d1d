//! Instance set-up and teardown.

use core::marker::PhantomData;

use bitflags::bitflags;
use fltmgr_sys as sys;
use sys::{FLT_RELATED_OBJECTS, NTSTATUS, PCFLT_RELATED_OBJECTS};

use super::{Minifilter, cell::Loaded, view::passive_view};
use crate::{
    Status,
    irql::{Ceiling as _, Passive},
};

/// The instance does not want this volume (`STATUS_FLT_DO_NOT_ATTACH`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoNotAttach;

/// The instance wants to stay (`STATUS_FLT_DO_NOT_DETACH`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoNotDetach;

impl<E: Into<Status>> From<E> for DoNotAttach {
    fn from(_: E) -> Self {
        Self
    }
}

bitflags! {
    /// Why an instance is being set up.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SetupFlags: u32 {
        /// The system attaches by itself.
        const AUTOMATIC = sys::FLTFL_INSTANCE_SETUP_AUTOMATIC_ATTACHMENT;
        /// Somebody asked for it.
        const MANUAL = sys::FLTFL_INSTANCE_SETUP_MANUAL_ATTACHMENT;
        /// The volume has just been mounted.
        const NEWLY_MOUNTED = sys::FLTFL_INSTANCE_SETUP_NEWLY_MOUNTED_VOLUME;
        /// The volume is not attached to a storage stack.
        const DETACHED_VOLUME = sys::FLTFL_INSTANCE_SETUP_DETACHED_VOLUME;
        const _ = !0;
    }

    /// Why an instance is being torn down.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct TeardownReason: u32 {
        /// Somebody asked for it.
        const MANUAL = sys::FLTFL_INSTANCE_TEARDOWN_MANUAL;
        /// The filter is unloaded.
        const FILTER_UNLOAD = sys::FLTFL_INSTANCE_TEARDOWN_FILTER_UNLOAD;
        /// The filter is unloaded and could not refuse.
        const MANDATORY_FILTER_UNLOAD = sys::FLTFL_INSTANCE_TEARDOWN_MANDATORY_FILTER_UNLOAD;
        /// The volume is dismounted.
        const VOLUME_DISMOUNT = sys::FLTFL_INSTANCE_TEARDOWN_VOLUME_DISMOUNT;
        /// The Filter Manager met an error while attaching.
        const INTERNAL_ERROR = sys::FLTFL_INSTANCE_TEARDOWN_INTERNAL_ERROR;
        const _ = !0;
    }
}

/// Defines the object of an instance callback: its views and its IRQL.
macro_rules! instance_callback {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $ty:ty),* }) => {
        $(#[$meta])*
        ///
        /// IRQL: `PASSIVE_LEVEL`.
        pub struct $name<'a, F: Minifilter> {
            objects: &'a FLT_RELATED_OBJECTS,
            irql: Passive,
            filter: PhantomData<fn() -> F>,
            $($field: $ty,)*
        }

        passive_view!($name);
    };
}

instance_callback! {
    /// A volume is to be attached to, or not. DDI: `PFLT_INSTANCE_SETUP_CALLBACK`.
    InstanceSetup {
        flags: SetupFlags,
        device_type: sys::DEVICE_TYPE,
        file_system_type: sys::FLT_FILESYSTEM_TYPE
    }
}

instance_callback! {
    /// A manual detach is to be allowed, or not. DDI: `PFLT_INSTANCE_QUERY_TEARDOWN_CALLBACK`.
    InstanceQueryTeardown {}
}

instance_callback! {
    /// An instance is going. DDI: `PFLT_INSTANCE_TEARDOWN_CALLBACK`.
    InstanceTeardown { reason: TeardownReason }
}

impl<F: Minifilter> InstanceSetup<'_, F> {
    /// Why the instance is set up.
    #[must_use]
    pub fn flags(&self) -> SetupFlags {
        self.flags
    }

    /// `FILE_DEVICE_XXX_FILE_SYSTEM` of the volume.
    #[must_use]
    pub fn device_type(&self) -> u32 {
        self.device_type
    }

    /// `FLT_FSTYPE_XXX` of the volume.
    #[must_use]
    pub fn file_system_type(&self) -> i32 {
        self.file_system_type
    }
}

impl<F: Minifilter> InstanceTeardown<'_, F> {
    /// Why the instance goes.
    #[must_use]
    pub fn reason(&self) -> TeardownReason {
        self.reason
    }
}

/// Borrows the related objects of a callback.
///
/// # Safety
///
/// `objects` is the Filter Manager's argument to a callback that is running; the borrow must end
/// before the callback does.
unsafe fn borrow<'a>(objects: PCFLT_RELATED_OBJECTS) -> &'a FLT_RELATED_OBJECTS {
    // SAFETY: the Filter Manager passes a valid structure that it does not change meanwhile.
    unsafe { &*objects }
}

/// Proof of the IRQL of an instance callback.
fn passive() -> Passive {
    // SAFETY: the Filter Manager calls instance callbacks at PASSIVE_LEVEL, and the token lives in
    // the callback's object.
    unsafe { Passive::assert() }
}

sys::fltapi! {
    /// `InstanceSetupCallback`.
    pub(crate) unsafe fn setup<F: Loaded>(
        objects: PCFLT_RELATED_OBJECTS,
        flags: sys::FLT_INSTANCE_SETUP_FLAGS,
        device_type: sys::DEVICE_TYPE,
        file_system_type: sys::FLT_FILESYSTEM_TYPE,
    ) -> NTSTATUS {
        let mut setup = InstanceSetup::<F> {
            // SAFETY: the Filter Manager's argument; `setup` ends with this function.
            objects: unsafe { borrow(objects) },
            irql: passive(),
            filter: PhantomData,
            flags: SetupFlags::from_bits_retain(flags),
            device_type,
            file_system_type,
        };
        match F::registered().state().instance_setup(&mut setup) {
            Ok(()) => Status::SUCCESS,
            Err(DoNotAttach) => Status::DO_NOT_ATTACH,
        }
        .into_raw()
    }

    /// `InstanceQueryTeardownCallback`.
    pub(crate) unsafe fn query_teardown<F: Loaded>(
        objects: PCFLT_RELATED_OBJECTS,
        _flags: sys::FLT_INSTANCE_QUERY_TEARDOWN_FLAGS,
    ) -> NTSTATUS {
        let mut query = InstanceQueryTeardown::<F> {
            // SAFETY: the Filter Manager's argument; `query` ends with this function.
            objects: unsafe { borrow(objects) },
            irql: passive(),
            filter: PhantomData,
        };
        match F::registered().state().instance_query_teardown(&mut query) {
            Ok(()) => Status::SUCCESS,
            Err(DoNotDetach) => Status::DO_NOT_DETACH,
        }
        .into_raw()
    }

    /// `InstanceTeardownStartCallback`.
    pub(crate) unsafe fn teardown_start<F: Loaded>(
        objects: PCFLT_RELATED_OBJECTS,
        reason: sys::FLT_INSTANCE_TEARDOWN_FLAGS,
    ) {
        // SAFETY: the Filter Manager's argument; the object ends with this function.
        let mut teardown = unsafe { teardown::<F>(objects, reason) };
        F::registered().state().instance_teardown_start(&mut teardown);
    }

    /// `InstanceTeardownCompleteCallback`.
    pub(crate) unsafe fn teardown_complete<F: Loaded>(
        objects: PCFLT_RELATED_OBJECTS,
        reason: sys::FLT_INSTANCE_TEARDOWN_FLAGS,
    ) {
        // SAFETY: the Filter Manager's argument; the object ends with this function.
        let mut teardown = unsafe { teardown::<F>(objects, reason) };
        F::registered().state().instance_teardown_complete(&mut teardown);
    }
}

/// # Safety
///
/// As for [`borrow`].
unsafe fn teardown<'a, F: Minifilter>(
    objects: PCFLT_RELATED_OBJECTS,
    reason: sys::FLT_INSTANCE_TEARDOWN_FLAGS,
) -> InstanceTeardown<'a, F> {
    InstanceTeardown {
        // SAFETY: the caller's promise is the same.
        objects: unsafe { borrow(objects) },
        irql: passive(),
        filter: PhantomData,
        reason: TeardownReason::from_bits_retain(reason),
    }
}
