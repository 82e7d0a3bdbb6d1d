//! Transactions: what is kept apart until it is committed.
//!
//! This is what is modelled:
//!
//! * Data and lengths that a transacted open writes are kept in memory and written to the volume at
//!   commit. Until then only opens of the same transaction see them.
//! * A file, directory or stream that a transaction creates is there at once, but hidden from
//!   everyone else: it is not found, not listed, and a create of its name from outside meets
//!   `STATUS_SHARING_VIOLATION`. Rollback removes it.
//! * What a transaction deletes is hidden from the transaction and stays for everyone else until
//!   commit. If the transaction uses the name again (by a create, or a rename that replaces), the
//!   old file is moved aside under a temporary name that nobody sees: from then on nobody finds it.
//! * A rename and a change of attributes, times or security is *not* isolated: everyone sees it at
//!   once. Rollback undoes it.
//! * A transacted open with the right to write, append or delete locks the file for its
//!   transaction until that ends. Another such open, from another transaction or from none, meets
//!   `STATUS_SHARING_VIOLATION`; so does the transacted one if the other came first.
//! * When a transaction has ended, its opens can only be cleaned up and closed; everything else
//!   fails with `STATUS_HANDLE_NO_LONGER_VALID`.
//!
//! Nothing of this survives the process: a crash in the middle leaves what is on the storage.

use super::TransactionId;
use super::constants::{
    STATUS_HANDLE_NO_LONGER_VALID, STATUS_TRANSACTION_NOT_ACTIVE, STATUS_TRANSACTION_NOT_FOUND,
};
use super::locked::Locked;
use crate::kernel::descriptor::Captured;
use crate::storage::{Location, NodeId, Times};
use fltmgr_sys::{NTSTATUS, STATUS_SHARING_VIOLATION};
use std::collections::{BTreeMap, BTreeSet};

/// A stream of a node.
pub(super) type StreamKey = (NodeId, String);

/// How to take back one change.
#[derive(Debug)]
pub(super) enum Undo {
    Create(NodeId),
    CreateStream(StreamKey),
    Rename(NodeId, Location),
    Attributes(NodeId, u32, Times),
    Security(NodeId, Option<Captured>),
}

/// One transaction that has not ended.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) created: BTreeSet<NodeId>,
    pub(super) created_streams: BTreeSet<StreamKey>,
    /// In the order of deletion, so that a directory comes after what was in it.
    pub(super) deleted: Vec<NodeId>,
    pub(super) deleted_streams: BTreeSet<StreamKey>,
    /// Deleted ones that lost their name, too.
    pub(super) aside: BTreeSet<NodeId>,
    pub(super) shadows: BTreeMap<StreamKey, Vec<u8>>,
    pub(super) locks: BTreeSet<NodeId>,
    pub(super) undo: Vec<Undo>,
}

/// All transactions that have not ended.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    active: BTreeMap<TransactionId, Transaction>,
    last: u64,
}

/// How a node looks to someone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    Visible,
    /// The transaction of the one who looks has deleted it.
    DeletedHere,
    /// Another transaction has created it.
    Foreign,
    /// It was moved aside and has no name.
    Aside,
}

impl Transactions {
    pub(super) fn begin(&mut self) -> TransactionId {
        self.last += 1;
        let id = TransactionId(self.last);
        self.active.insert(id, Transaction::default());
        id
    }

    pub(super) fn get_mut(&mut self, id: TransactionId) -> Result<&mut Transaction, NTSTATUS> {
        let last = self.last;
        self.active.get_mut(&id).ok_or_else(|| ended(id, last))
    }

    pub(super) fn get(&self, id: TransactionId) -> Option<&Transaction> {
        self.active.get(&id)
    }

    fn end(&mut self, id: TransactionId) -> Result<Transaction, NTSTATUS> {
        let last = self.last;
        self.active.remove(&id).ok_or_else(|| ended(id, last))
    }

    /// An open of an ended transaction is good for nothing.
    pub(super) fn check_open(&self, transaction: Option<TransactionId>) -> Result<(), NTSTATUS> {
        match transaction {
            Some(id) if !self.active.contains_key(&id) => Err(STATUS_HANDLE_NO_LONGER_VALID),
            _ => Ok(()),
        }
    }

    pub(super) fn sight(&self, node: NodeId, viewer: Option<TransactionId>) -> Sight {
        for (id, transaction) in &self.active {
            if transaction.aside.contains(&node) {
                return Sight::Aside;
            }
            if transaction.created.contains(&node) && viewer != Some(*id) {
                return Sight::Foreign;
            }
            if viewer == Some(*id) && transaction.deleted.contains(&node) {
                return Sight::DeletedHere;
            }
        }
        Sight::Visible
    }

    pub(super) fn stream_sight(&self, key: &StreamKey, viewer: Option<TransactionId>) -> Sight {
        for (id, transaction) in &self.active {
            if transaction.created_streams.contains(key) && viewer != Some(*id) {
                return Sight::Foreign;
            }
            if viewer == Some(*id) && transaction.deleted_streams.contains(key) {
                return Sight::DeletedHere;
            }
        }
        Sight::Visible
    }

    /// Whether another transaction has the right to modify a node for itself.
    pub(super) fn check_lock(
        &self,
        node: NodeId,
        viewer: Option<TransactionId>,
    ) -> Result<(), NTSTATUS> {
        let mut others = self.active.iter().filter(|(id, _)| viewer != Some(**id));
        if others.any(|(_, transaction)| transaction.locks.contains(&node)) {
            Err(STATUS_SHARING_VIOLATION)
        } else {
            Ok(())
        }
    }

    /// Remembers how to undo something, if it belongs to a transaction.
    pub(super) fn note(&mut self, transaction: Option<TransactionId>, undo: Undo) {
        if let Some(transaction) = transaction.and_then(|id| self.active.get_mut(&id)) {
            transaction.undo.push(undo);
        }
    }
}

fn ended(id: TransactionId, last: u64) -> NTSTATUS {
    if (1..=last).contains(&id.0) {
        STATUS_TRANSACTION_NOT_ACTIVE
    } else {
        STATUS_TRANSACTION_NOT_FOUND
    }
}

impl Locked<'_> {
    /// Makes what a transaction did final. All of it is tried; the first failure is reported.
    pub(super) fn commit(&mut self, id: TransactionId) -> Result<(), NTSTATUS> {
        let transaction = self.state.transactions.end(id)?;
        let mut result = Ok(());
        let mut note = |step: Result<(), NTSTATUS>| {
            if result.is_ok() {
                result = step;
            }
        };
        for ((node, stream), data) in &transaction.shadows {
            let gone = transaction.deleted.contains(node)
                || transaction
                    .deleted_streams
                    .contains(&(*node, stream.clone()));
            if !gone {
                note(self.storage.set_len(*node, stream, data.len() as u64));
                note(self.storage.write(*node, stream, 0, data).map(|_| ()));
            }
        }
        for (node, stream) in &transaction.deleted_streams {
            if !transaction.deleted.contains(node) {
                note(self.remove_stream_now(*node, stream));
            }
        }
        for node in &transaction.deleted {
            note(self.remove_node_now(*node));
        }
        self.settle_pending(id, true);
        result
    }

    /// Takes back what a transaction did, the last change first.
    pub(super) fn rollback(&mut self, id: TransactionId) -> Result<(), NTSTATUS> {
        let transaction = self.state.transactions.end(id)?;
        let mut result = Ok(());
        for undo in transaction.undo.into_iter().rev() {
            let step = match undo {
                Undo::Create(node) => self.remove_node_now(node),
                Undo::CreateStream((node, stream)) => self.remove_stream_now(node, &stream),
                Undo::Rename(node, old) => self.storage.rename(node, old.parent, &old.name, false),
                Undo::Attributes(node, attributes, times) => self
                    .storage
                    .set_attributes(node, attributes)
                    .and_then(|()| self.storage.set_times(node, &times)),
                Undo::Security(node, old) => {
                    self.state.table.set_descriptor(node, old);
                    Ok(())
                }
            };
            result = result.and(step);
        }
        self.settle_pending(id, false);
        result
    }

    /// Deletions that wait for a handle become everyone's with the commit, and nothing without.
    fn settle_pending(&mut self, id: TransactionId, committed: bool) {
        let table = &mut self.state.table;
        let files = table.files_mut().map(|file| &mut file.delete_pending);
        for pending in files {
            settle(pending, id, committed);
        }
        for stream in table.streams_mut() {
            settle(&mut stream.delete_pending, id, committed);
        }
        for open in self.state.opens.values_mut() {
            if open.transaction == Some(id) && !committed {
                open.delete_on_close = false;
                open.posix_delete = false;
            }
        }
    }
}

fn settle(pending: &mut Option<super::fcb::DeletePending>, id: TransactionId, committed: bool) {
    if let Some(waiting) = pending
        && waiting.transaction == Some(id)
    {
        if committed {
            waiting.transaction = None;
        } else {
            *pending = None;
        }
    }
}
