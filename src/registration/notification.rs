//! Transaction notifications.

use core::marker::PhantomData;

use fltmgr_sys as sys;
use sys::{FLT_RELATED_OBJECTS, NTSTATUS, PCFLT_RELATED_OBJECTS, PFLT_CONTEXT};

use super::{Minifilter, cell::Loaded, lent::Lent, view::passive_view};
use crate::{
    Status,
    context::{Context, DeclaredBy},
    irql::{Ceiling as _, Passive},
    kind,
    object::Transaction,
};

/// The phase that a transaction has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the resource managers prepare.
    PrePrepare,
    /// The transaction prepares.
    Prepare,
    /// The transaction commits.
    Commit,
    /// The transaction is rolled back.
    Rollback,
    /// Every resource manager has committed.
    CommitFinalize,
    /// A notification that this crate does not know, with its mask.
    Other(u32),
}

impl Phase {
    fn new(mask: sys::NOTIFICATION_MASK) -> Self {
        match mask {
            sys::TRANSACTION_NOTIFY_PREPREPARE => Self::PrePrepare,
            sys::TRANSACTION_NOTIFY_PREPARE => Self::Prepare,
            sys::TRANSACTION_NOTIFY_COMMIT => Self::Commit,
            sys::TRANSACTION_NOTIFY_ROLLBACK => Self::Rollback,
            sys::TRANSACTION_NOTIFY_COMMIT_FINALIZE => Self::CommitFinalize,
            other => Self::Other(other),
        }
    }
}

/// A transaction that an instance is enlisted in has reached a phase.
///
/// The notification is answered when the callback returns, always with success: the phase cannot be
/// pended and the transaction cannot be aborted from it.
///
/// DDI: `PFLT_TRANSACTION_NOTIFICATION_CALLBACK`. IRQL: `PASSIVE_LEVEL`.
pub struct TransactionNotification<'a, F: Minifilter> {
    objects: &'a FLT_RELATED_OBJECTS,
    context: Lent,
    phase: Phase,
    irql: Passive,
    filter: PhantomData<fn() -> F>,
}

impl<F: Minifilter> TransactionNotification<'_, F> {
    /// The phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The context that the instance enlisted with, borrowed for the callback, which has a reference
    /// to it: so it is good even when it is deleted meanwhile.
    #[must_use]
    pub fn context<T>(&self) -> Option<&T>
    where
        T: DeclaredBy<F> + Context<Kind = kind::Transaction>,
    {
        // SAFETY: the Filter Manager passes the transaction context that the instance enlisted with.
        unsafe { self.context.value::<F, T>() }
    }

    /// The transaction; holds the transaction context.
    #[must_use]
    pub fn transaction(&self) -> Transaction<'_, F> {
        // SAFETY: the objects are those of this callback, at PASSIVE_LEVEL, and the view borrows
        // `self`, which lives for the callback.
        unsafe { Transaction::new(self.objects) }
    }
}

passive_view!(TransactionNotification);

sys::fltapi! {
    /// `TransactionNotificationCallback`.
    pub(crate) unsafe fn notify<F: Loaded>(
        objects: PCFLT_RELATED_OBJECTS,
        context: PFLT_CONTEXT,
        mask: sys::NOTIFICATION_MASK,
    ) -> NTSTATUS {
        let mut notification = TransactionNotification::<F> {
            // SAFETY: the Filter Manager passes a valid structure that it does not change while
            // the callback runs; `notification` ends with this function.
            objects: unsafe { &*objects },
            // SAFETY: the Filter Manager passes a live context of this filter, which are all
            // filled, at PASSIVE_LEVEL; `notification` ends with this function.
            context: unsafe { Lent::new(context) },
            phase: Phase::new(mask),
            // SAFETY: the Filter Manager calls this at PASSIVE_LEVEL.
            irql: unsafe { Passive::assert() },
            filter: PhantomData,
        };
        F::registered().state().transaction_notification(&mut notification);
        Status::SUCCESS.into_raw()
    }
}
