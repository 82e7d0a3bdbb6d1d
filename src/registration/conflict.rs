//! Conflicts with the sections of data scans.

use core::marker::PhantomData;

use fltmgr_sys as sys;
use sys::{NTSTATUS, PFLT_CALLBACK_DATA, PFLT_CONTEXT, PFLT_INSTANCE};

use super::{Minifilter, cell::Loaded, lent::Lent};
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
    context: Lent,
    data: PFLT_CALLBACK_DATA,
    irql: Passive,
    callback: PhantomData<&'a ()>,
    filter: PhantomData<fn() -> F>,
}

impl<F: Minifilter> SectionConflict<'_, F> {
    /// The context of the section, borrowed for the callback, which has a reference to it: so it is
    /// good even when the section is closed meanwhile.
    #[must_use]
    pub fn context<T>(&self) -> Option<&T>
    where
        T: DeclaredBy<F> + Context<Kind = kind::Section>,
    {
        // SAFETY: the Filter Manager passes the section context.
        unsafe { self.context.value::<F, T>() }
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
            // SAFETY: the Filter Manager passes a live context of this filter, which are all
            // filled, at PASSIVE_LEVEL; `conflict` ends with this function.
            context: unsafe { Lent::new(context) },
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
