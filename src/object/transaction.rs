//! Transactions and enlistment.

use core::fmt;

use bitflags::bitflags;
use fltmgr_sys as sys;

use super::{slots, view};
use crate::{
    Status,
    context::{Context, DeclaredBy, InsertError, Obtained, Shared},
    irql::{AtMostApc, Ceiling as _},
    kind,
    registration::Minifilter,
};

view! {
    /// The transaction of an operation. Holds transaction contexts. Borrowed for the callback. DDI:
    /// `KTRANSACTION`.
    Transaction: Transaction
}

slots!(Transaction);

bitflags! {
    /// The notifications of a transaction that an instance asks for. DDI: `NOTIFICATION_MASK`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Notifications: u32 {
        /// Before the resource managers prepare.
        const PREPREPARE = sys::TRANSACTION_NOTIFY_PREPREPARE;
        /// The transaction prepares.
        const PREPARE = sys::TRANSACTION_NOTIFY_PREPARE;
        /// The transaction commits.
        const COMMIT = sys::TRANSACTION_NOTIFY_COMMIT;
        /// The transaction is rolled back.
        const ROLLBACK = sys::TRANSACTION_NOTIFY_ROLLBACK;
        /// Every resource manager has committed.
        const COMMIT_FINALIZE = sys::TRANSACTION_NOTIFY_COMMIT_FINALIZE;
    }
}

/// An instance could not be enlisted in a transaction.
pub enum EnlistError<T: Context> {
    /// The transaction context could neither be got nor set.
    Context(InsertError<T>),
    /// The instance is being torn down (`STATUS_FLT_DELETING_OBJECT`).
    Deleting,
    /// There is no memory (`STATUS_INSUFFICIENT_RESOURCES`).
    NoMemory,
    /// Another status, e.g. `STATUS_INVALID_PARAMETER_4` for an empty set of notifications.
    Other(Status),
}

impl<T: Context> EnlistError<T> {
    /// The status behind it.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Context(error) => error.status(),
            Self::Deleting => Status::DELETING_OBJECT,
            Self::NoMemory => Status::INSUFFICIENT_RESOURCES,
            Self::Other(status) => *status,
        }
    }
}

impl<T: Context> From<EnlistError<T>> for Status {
    fn from(error: EnlistError<T>) -> Self {
        error.status()
    }
}

impl<T: Context> fmt::Display for EnlistError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the instance could not be enlisted: {}", self.status())
    }
}

impl<T: Context> fmt::Debug for EnlistError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How often [`Transaction::get_or_enlist_with`] starts over when the context that it found was
/// deleted by a thread whose own enlistment failed.
const ATTEMPTS: usize = 8;

impl<F: Minifilter> Transaction<'_, F> {
    /// Gets the instance's transaction context, or attaches one made of `value()`, and makes sure
    /// that the instance is enlisted for `notifications`. The returned handle owns a reference; the
    /// transaction holds one of its own until it ends. `value` may run more than once.
    ///
    /// The C samples leave a race open: another thread's enlistment fails, and it deletes the context
    /// that this thread has just found. Here this thread looks again after it has enlisted, and
    /// starts over when its context is no longer attached. That narrows the race: a thread that is
    /// held up between its failure and its deletion comes too late to be noticed, and leaves this
    /// one with a context that is no longer attached.
    ///
    /// # Errors
    ///
    /// [`EnlistError`]; nothing stays attached by this call when the enlistment fails.
    ///
    /// DDI: `FltGetTransactionContext`, `FltSetTransactionContext`, `FltEnlistInTransaction`,
    /// `FltDeleteContext`. IRQL: at most `APC_LEVEL`, proved by the borrow.
    pub fn get_or_enlist_with<T>(
        self,
        notifications: Notifications,
        mut value: impl FnMut() -> T,
    ) -> Result<Shared<T>, EnlistError<T>>
    where
        T: DeclaredBy<F> + Context<Kind = kind::Transaction>,
    {
        // SAFETY: a view of the objects borrows a proof of the IRQL.
        let irql = unsafe { AtMostApc::assert() };
        let slot = self.slot::<T>();
        for _ in 0..ATTEMPTS {
            let obtained = slot.obtain(&mut value).map_err(EnlistError::Context)?;
            let inserted = matches!(obtained, Obtained::Inserted(_));
            let context = obtained.into_shared();
            match self.enlist(&context, notifications) {
                Status::ALREADY_ENLISTED => {}
                enlisted if enlisted.is_success() => {}
                failed => {
                    // A context that another thread attached is that thread's to delete.
                    if inserted {
                        context.delete(&irql);
                    }
                    return Err(match failed {
                        Status::DELETING_OBJECT => EnlistError::Deleting,
                        Status::INSUFFICIENT_RESOURCES => EnlistError::NoMemory,
                        other => EnlistError::Other(other),
                    });
                }
            }
            let attached = slot
                .get()
                .map_err(|error| EnlistError::Context(error.into()))?;
            if attached.is_some_and(|attached| attached.ptr_eq(&context)) {
                return Ok(context);
            }
        }
        Err(EnlistError::Other(Status::UNSUCCESSFUL))
    }

    fn enlist<T: Context>(self, context: &Shared<T>, notifications: Notifications) -> Status {
        // SAFETY: the borrow proves the IRQL and that instance and transaction are alive;
        // `context` is a transaction context of this filter.
        Status::from_raw(unsafe {
            sys::FltEnlistInTransaction(
                self.objects.Instance,
                self.objects.Transaction,
                context.as_raw(),
                notifications.bits(),
            )
        })
    }
}
