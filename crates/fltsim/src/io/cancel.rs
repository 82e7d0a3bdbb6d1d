//! Cancelling operations: an operation is cancelled at most once, and its cancel routine is called
//! by whoever takes it first, or never.

use super::operation::{Door, Operation};
use super::queue::Link;
use crate::kernel::byte_range::Waiter;
use crate::kernel::irql;
use crate::kernel::scope::{Callback, Scope};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::sync::Arc;

/// What cancelling an operation does.
pub(crate) enum OnCancel {
    /// `FltSetCancelCompletion`.
    Complete(PFLT_COMPLETE_CANCELED_CALLBACK),
    /// It is in a cancel-safe queue.
    Dequeue(Link),
    /// A thread waits on its behalf and stops waiting.
    Wake,
    /// It waits for a byte-range lock; gives back who is to be told, unless he was told already.
    Withdraw(Box<dyn FnOnce() -> Option<Waiter> + Send>),
}

/// Whether an operation is cancelled, and what happens then.
#[derive(Default)]
pub(crate) struct Control {
    cancelled: bool,
    routine: Option<OnCancel>,
}

impl Operation {
    /// Whether somebody has cancelled it.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.control.lock().cancelled
    }

    /// Whether it can be cancelled at all: paging I/O and direct calls cannot.
    pub(crate) fn is_cancellable(&self) -> bool {
        self.door == Door::Irp && !self.is_paging()
    }

    /// Says what cancelling it does; gives that back if it is cancelled already.
    pub(crate) fn on_cancel(&self, routine: OnCancel) -> Result<(), OnCancel> {
        let mut control = self.control.lock();
        if control.cancelled {
            return Err(routine);
        }
        control.routine = Some(routine);
        Ok(())
    }

    /// Takes the cancel routine away, and with it the right and the duty to complete the operation;
    /// `None` if somebody else was faster.
    pub(crate) fn take_cancel(&self) -> Option<OnCancel> {
        self.control.lock().routine.take()
    }
}

/// Cancels an operation; `true` if its cancel routine was called.
pub(crate) fn cancel(operation: &Arc<Operation>) -> bool {
    if operation.door != Door::Irp || operation.state.lock().finished {
        return false;
    }
    let routine = {
        let mut control = operation.control.lock();
        if std::mem::replace(&mut control.cancelled, true) {
            return false;
        }
        control.routine.take()
    };
    #[cfg(target_arch = "x86_64")]
    crate::kernel::dispatcher::wake_waiters();
    let Some(routine) = routine else {
        return false;
    };
    let _scope = Scope::enter(&operation.machine, Callback::Other, irql::current());
    match routine {
        OnCancel::Complete(Some(routine)) => {
            // SAFETY: the driver set this routine for this operation, which it has pended and
            // which it alone completes, now that the routine was taken.
            unsafe { routine(operation.pointer()) };
        }
        OnCancel::Dequeue(link) => link.cancelled(operation),
        OnCancel::Withdraw(withdraw) => match withdraw() {
            Some(waiter) => waiter(Err(STATUS_CANCELLED)),
            None => return false,
        },
        OnCancel::Complete(None) | OnCancel::Wake => {}
    }
    true
}

/// The operation goes on: whatever cancel routine is left is no longer good for it.
pub(super) fn forget(operation: &Operation) {
    if let Some(routine) = operation.take_cancel() {
        let what = match routine {
            OnCancel::Complete(_) => "its cancel routine set",
            OnCancel::Dequeue(_) => "its callback data in a queue",
            OnCancel::Wake | OnCancel::Withdraw(_) => return,
        };
        let text = format!("a pended operation was resumed with {what}");
        operation
            .machine
            .verifier
            .violation(Rule::V12, "FltCompletePendedPreOperation", text);
    }
}
