//! Transactions.

use super::{enter, exports, instance_and_transaction};
use fltmgr_sys::*;

fn complete(
    call: &'static str,
    owner: PFLT_INSTANCE,
    on: PKTRANSACTION,
    notification: NOTIFICATION_MASK,
) -> NTSTATUS {
    let Some((machine, owner, on)) = instance_and_transaction(call, owner, on) else {
        return STATUS_INVALID_PARAMETER;
    };
    enter(&machine, call);
    on.complete(&machine, call, &owner, notification)
}

exports! {
    /// Asks for the notifications of a transaction.
    unsafe fn FltEnlistInTransaction(
        owner: PFLT_INSTANCE,
        on: PKTRANSACTION,
        context: PFLT_CONTEXT,
        mask: NOTIFICATION_MASK,
    ) -> NTSTATUS {
        const CALL: &str = "FltEnlistInTransaction";
        let Some((machine, owner, on)) = instance_and_transaction(CALL, owner, on) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        on.enlist(&machine, &owner, context as usize, mask)
    }

    /// Rolls a transaction back.
    unsafe fn FltRollbackEnlistment(
        owner: PFLT_INSTANCE,
        on: PKTRANSACTION,
        _context: PFLT_CONTEXT,
    ) -> NTSTATUS {
        const CALL: &str = "FltRollbackEnlistment";
        let Some((machine, owner, on)) = instance_and_transaction(CALL, owner, on) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        on.rollback_enlistment(&machine, &owner)
    }

    /// Completes a pended pre-prepare notification.
    unsafe fn FltPrePrepareComplete(
        owner: PFLT_INSTANCE,
        on: PKTRANSACTION,
        _context: PFLT_CONTEXT,
    ) -> NTSTATUS {
        complete("FltPrePrepareComplete", owner, on, TRANSACTION_NOTIFY_PREPREPARE)
    }

    /// Completes a pended prepare notification.
    unsafe fn FltPrepareComplete(
        owner: PFLT_INSTANCE,
        on: PKTRANSACTION,
        _context: PFLT_CONTEXT,
    ) -> NTSTATUS {
        complete("FltPrepareComplete", owner, on, TRANSACTION_NOTIFY_PREPARE)
    }

    /// Completes a pended commit notification.
    unsafe fn FltCommitComplete(
        owner: PFLT_INSTANCE,
        on: PKTRANSACTION,
        _context: PFLT_CONTEXT,
    ) -> NTSTATUS {
        complete("FltCommitComplete", owner, on, TRANSACTION_NOTIFY_COMMIT)
    }

    /// Completes a pended commit-finalize notification.
    unsafe fn FltCommitFinalizeComplete(
        owner: PFLT_INSTANCE,
        on: PKTRANSACTION,
        _context: PFLT_CONTEXT,
    ) -> NTSTATUS {
        let notification = TRANSACTION_NOTIFY_COMMIT_FINALIZE;
        complete("FltCommitFinalizeComplete", owner, on, notification)
    }

    /// Completes a pended rollback notification.
    unsafe fn FltRollbackComplete(
        owner: PFLT_INSTANCE,
        on: PKTRANSACTION,
        _context: PFLT_CONTEXT,
    ) -> NTSTATUS {
        complete("FltRollbackComplete", owner, on, TRANSACTION_NOTIFY_ROLLBACK)
    }
}
