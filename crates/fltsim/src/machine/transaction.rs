//! Transactions of a machine.

use super::Machine;
use crate::manager;
use fltmgr_sys::*;
use std::fmt;
use std::sync::Arc;

/// A transaction.
#[derive(Clone)]
pub struct Transaction {
    pub(crate) machine: Machine,
    pub(crate) object: Arc<manager::Transaction>,
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transaction").field(&self.object.id).finish()
    }
}

impl Transaction {
    /// What a driver knows it by.
    #[must_use]
    pub fn pointer(&self) -> PKTRANSACTION {
        self.object.pointer()
    }

    /// Commits. Returns when every notification but the last has been completed.
    ///
    /// # Errors
    /// What a filter answered to a notification that can still abort the transaction, or
    /// `STATUS_TRANSACTION_NOT_ACTIVE` if it has ended.
    pub fn commit(&self) -> Result<(), NTSTATUS> {
        self.object.commit(&self.machine.inner)
    }

    /// Rolls back, unless the transaction has ended.
    pub fn rollback(&self) {
        // A transaction that has ended cannot be rolled back, and need not be.
        let _ = self.object.rollback(&self.machine.inner);
    }
}
