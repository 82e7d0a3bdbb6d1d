//! Conflicts with the sections of data scans.

use core::{marker::PhantomData, ptr::NonNull};

use fltmgr_sys as sys;
use sys::{NTSTATUS, PFLT_CALLBACK_DATA, PFLT_CONTEXT, PFLT_INSTANCE};

use super::{Minifilter, cell::Loaded};
use crate::{
    Status,
    context::{Context, DeclaredBy},
    irql::{Ceiling as _, Passive},
    kind,
};

/// An operation conflicts with a section that the filter has open.
///
/// DDI: `PFLT_SECTION_CONFLICT_NOTIFICATION_CALLBACK`. IRQL: `PASSIVE_LEVEL`, on the thread of the
/// operation.
pub struct SectionConflict<'a, F: Minifilter> {
    context: PFLT_CONTEXT,
    data: PFLT_CALLBACK_DATA,
    irql: Passive,
    callback: PhantomData<&'a ()>,
    filter: PhantomData<fn() -> F>,
}

impl<F: Minifilter> SectionConflict<'_, F> {
    /// The context of the section, borrowed for the callback: the Filter Manager lends it and
    /// keeps the reference.
    #[must_use]
    pub fn context<T>(&self) -> Option<&T>
    where
        T: DeclaredBy<F> + Context<Kind = kind::Section>,
    {
        let context = NonNull::new(self.context.cast::<T>())?;
        // SAFETY: the Filter Manager passes the section context, alive for the call; `T` is the
        // only type that the filter declared for the kind, and the IRQL is PASSIVE_LEVEL.
        Some(unsafe { context.as_ref() })
    }

    /// The major function code of the operation, e.g. `IRP_MJ_WRITE`.
    #[must_use]
    pub fn major(&self) -> u8 {
        // SAFETY: the callback data are valid while the callback runs.
        let block = unsafe { (*self.data).Iopb };
        // SAFETY: callback data always has a parameter block.
        unsafe { (*block).MajorFunction }
    }

    /// Proof that the IRQL is `PASSIVE_LEVEL`.
    #[must_use]
    pub fn irql(&self) -> &Passive {
        &self.irql
    }

    /// The same proof, to be lent to a [lock](crate::lock) that raises the IRQL.
    #[must_use]
    pub fn irql_mut(&mut self) -> &mut Passive {
        &mut self.irql
    }
}

sys::fltapi! {
    /// `SectionNotificationCallback`.
    pub(crate) unsafe fn conflict<F: Loaded>(
        _instance: PFLT_INSTANCE,
        context: PFLT_CONTEXT,
        data: PFLT_CALLBACK_DATA,
    ) -> NTSTATUS {
        let mut conflict = SectionConflict::<F> {
            context,
            data,
            // SAFETY: the Filter Manager calls this at PASSIVE_LEVEL.
            irql: unsafe { Passive::assert() },
            callback: PhantomData,
            filter: PhantomData,
        };
        F::registered().state().section_conflict(&mut conflict);
        Status::SUCCESS.into_raw()
    }
}
