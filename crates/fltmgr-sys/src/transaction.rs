//! Transactions: enlistment and completion of notifications.
//!
//! Reference: the `fltkernel.h` pages of the Windows driver DDI documentation.

use crate::abi::{fltapi_callbacks, fltapi_functions};
use crate::*;

/// Which notifications of a transaction are meant.
pub type NOTIFICATION_MASK = ULONG;

pub const TRANSACTION_NOTIFY_PREPREPARE: NOTIFICATION_MASK = 1;
pub const TRANSACTION_NOTIFY_PREPARE: NOTIFICATION_MASK = 2;
pub const TRANSACTION_NOTIFY_COMMIT: NOTIFICATION_MASK = 4;
pub const TRANSACTION_NOTIFY_ROLLBACK: NOTIFICATION_MASK = 8;
pub const TRANSACTION_NOTIFY_COMMIT_FINALIZE: NOTIFICATION_MASK = 0x4000_0000;
pub const FLT_MAX_TRANSACTION_NOTIFICATIONS: NOTIFICATION_MASK = 0x4000_000F;

fltapi_callbacks! {
    /// A transaction has reached a phase. `IRQL == PASSIVE_LEVEL`.
    pub type PFLT_TRANSACTION_NOTIFICATION_CALLBACK = fn(FltObjects: PCFLT_RELATED_OBJECTS, TransactionContext: PFLT_CONTEXT, NotificationMask: ULONG) -> NTSTATUS;
}

fltapi_functions! {
    /// Enlists in a transaction and asks for its notifications.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltEnlistInTransaction(Instance: PFLT_INSTANCE, Transaction: PKTRANSACTION, TransactionContext: PFLT_CONTEXT, NotificationMask: NOTIFICATION_MASK) -> NTSTATUS;

    /// Rolls a transaction back from an enlistment.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltRollbackEnlistment(Instance: PFLT_INSTANCE, Transaction: PKTRANSACTION, TransactionContext: PFLT_CONTEXT) -> NTSTATUS;

    /// Completes a pended pre-prepare notification.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltPrePrepareComplete(Instance: PFLT_INSTANCE, Transaction: PKTRANSACTION, TransactionContext: PFLT_CONTEXT) -> NTSTATUS;

    /// Completes a pended prepare notification.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltPrepareComplete(Instance: PFLT_INSTANCE, Transaction: PKTRANSACTION, TransactionContext: PFLT_CONTEXT) -> NTSTATUS;

    /// Completes a pended commit notification.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows Vista.
    pub fn FltCommitComplete(Instance: PFLT_INSTANCE, Transaction: PKTRANSACTION, TransactionContext: PFLT_CONTEXT) -> NTSTATUS;

    /// Completes a pended commit-finalize notification.
    ///
    /// `IRQL <= APC_LEVEL`; Windows Vista.
    pub fn FltCommitFinalizeComplete(Instance: PFLT_INSTANCE, Transaction: PKTRANSACTION, TransactionContext: PFLT_CONTEXT) -> NTSTATUS;

    /// Completes a pended rollback notification.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows Vista.
    pub fn FltRollbackComplete(Instance: PFLT_INSTANCE, Transaction: PKTRANSACTION, TransactionContext: PFLT_CONTEXT) -> NTSTATUS;
}
