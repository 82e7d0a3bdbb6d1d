//! Byte-range locks of streams: `IRP_MJ_LOCK_CONTROL`, and what reads and writes ask.

use super::locked::Locked;
use super::{Authority, OpenId};
use crate::kernel::byte_range::{Action, Answer, Lock, Owner, Range, Ticket, Waiter};
use fltmgr_sys::{
    FILE_READ_DATA, FILE_WRITE_DATA, NTSTATUS, STATUS_FILE_CLOSED, STATUS_FILE_LOCK_CONFLICT,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER,
};

/// Who reads or writes, as far as locks are concerned; the open is the third part of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accessor {
    pub(crate) process: u64,
    pub(crate) key: u32,
}

impl Locked<'_> {
    pub(super) fn lock_control(
        &mut self,
        open: OpenId,
        action: Action,
        mut lock: Lock,
        (ticket, waiter): (Ticket, Option<Waiter>),
        authority: Authority,
    ) -> Result<Answer, NTSTATUS> {
        let subject = self.data(open).map_err(|status| match status {
            STATUS_INVALID_DEVICE_REQUEST => STATUS_INVALID_PARAMETER,
            other => other,
        })?;
        subject.check(FILE_READ_DATA | FILE_WRITE_DATA, authority)?;
        // What was cleaned up has nobody any more who could unlock it.
        if self.open(open)?.cleaned {
            return Err(STATUS_FILE_CLOSED);
        }
        lock.owner.file = open.0;
        let stream = self.state.table.stream_mut(subject.stream);
        let locks = &mut stream.ok_or(STATUS_FILE_CLOSED)?.locks;
        let performed = locks.perform(action, lock, ticket, waiter);
        self.state.ended.extend(performed.ended);
        performed.answer
    }

    pub(super) fn withdraw_lock(&mut self, open: OpenId, ticket: Ticket) -> Option<Waiter> {
        let stream = self.open(open).ok()?.stream;
        let stream = self.state.table.stream_mut(stream)?;
        stream.locks.withdraw(ticket)
    }

    pub(super) fn is_range_locked(&self, open: OpenId) -> bool {
        let stream = self.open(open).and_then(|open| self.stream(open.stream));
        stream.is_ok_and(|stream| stream.locks.count().0 > 0)
    }

    /// Whether a read or a write may go on.
    pub(super) fn check_locks(
        &self,
        open: OpenId,
        accessor: Option<Accessor>,
        start: u64,
        length: usize,
        writes: bool,
    ) -> Result<(), NTSTATUS> {
        let Some(accessor) = accessor else {
            return Ok(());
        };
        let access = Lock {
            range: Range {
                start,
                length: length as u64,
            },
            exclusive: writes,
            key: accessor.key,
            owner: Owner {
                file: open.0,
                process: accessor.process,
            },
        };
        let stream = self.stream(self.open(open)?.stream)?;
        if stream.locks.allows(&access) {
            Ok(())
        } else {
            Err(STATUS_FILE_LOCK_CONFLICT)
        }
    }
}
