//! The end of handles, of file objects, and of the structures behind them.

use super::fcb::DeletePending;
use super::locked::{Locked, Subject};
use super::{Gone, OpenId};
use fltmgr_sys::{NTSTATUS, STATUS_INVALID_HANDLE};

impl Locked<'_> {
    pub(super) fn cleanup(&mut self, id: OpenId) -> Result<(), NTSTATUS> {
        let subject = self.subject(id)?;
        let state = &mut *self.state;
        let open = state.opens.get_mut(&id).ok_or(STATUS_INVALID_HANDLE)?;
        if open.cleaned {
            return Ok(());
        }
        open.cleaned = true;
        let delete_on_close = open.delete_on_close;
        let posix = open.posix_delete;
        if let Some(stream) = state.table.stream_mut(subject.stream) {
            stream.share.remove(open.counted, open.share);
            stream.handles -= 1;
            let ended = stream.locks.close(id.0);
            state.ended.extend(ended);
        }
        // A removed stream or file has nothing left to delete; nor has a volume that is gone.
        let removed = subject.removed || self.stream(subject.stream)?.orphan.is_some();
        if !self.state.mounted || removed {
            return Ok(());
        }
        if delete_on_close {
            self.delete_on_close(&subject)?;
        }
        self.delete_if_pending(&subject, posix)
    }

    /// A directory that is not empty outlives its delete-on-close.
    fn delete_on_close(&mut self, subject: &Subject) -> Result<(), NTSTATUS> {
        if subject.directory && !self.looks_empty(subject.node, subject.transaction)? {
            return Ok(());
        }
        let transaction = subject.transaction.filter(|id| {
            // An ended transaction that was committed leaves a deletion of its own.
            self.state.transactions.get(*id).is_some()
        });
        self.set_delete_pending(subject, Some(DeletePending { transaction }))
    }

    fn delete_if_pending(&mut self, subject: &Subject, posix: bool) -> Result<(), NTSTATUS> {
        let stream = self.stream(subject.stream)?;
        if let Some(pending) = stream.delete_pending
            && (stream.handles == 0 || posix)
        {
            self.delete_stream(subject.node, &subject.name, pending.transaction)?;
            if let Some(stream) = self.state.table.stream_mut(subject.stream) {
                stream.delete_pending = None;
            }
        }
        if let Some(pending) = self.file(subject.file)?.delete_pending
            && (self.state.table.handles(subject.file) == 0 || posix)
        {
            // Something may have been put into the directory since it was marked.
            if subject.directory && !self.looks_empty(subject.node, pending.transaction)? {
                return self.set_delete_pending(subject, None);
            }
            let result = self.delete_node(subject.node, pending.transaction);
            if let Some(file) = self.state.table.file_mut(subject.file) {
                file.delete_pending = None;
            }
            return result;
        }
        Ok(())
    }

    pub(super) fn close(&mut self, id: OpenId) -> Vec<Gone> {
        // What goes wrong at cleanup was to be reported there; the file object ends regardless.
        let _ = self.cleanup(id);
        let Some(open) = self.state.opens.remove(&id) else {
            return Vec::new();
        };
        let state = &mut *self.state;
        let mut gone = Vec::new();
        let mut idle = false;
        if let Some(stream) = state.table.stream_mut(open.stream) {
            stream.opens -= 1;
            idle = stream.opens == 0;
        }
        if idle && (state.teardown.now() || !state.mounted) {
            state.table.tear_down(open.stream, &mut gone);
        }
        for other in state.table.idle() {
            if other != open.stream && state.teardown.later() {
                state.table.tear_down(other, &mut gone);
            }
        }
        gone
    }

    /// Takes back an open that nobody was told of, and its structures if they were made for it.
    pub(super) fn forget_open(&mut self, id: OpenId, with_structures: bool) {
        // An open for attributes deletes nothing, so there is nothing to fail.
        let _ = self.cleanup(id);
        let Some(open) = self.state.opens.remove(&id) else {
            return;
        };
        if let Some(stream) = self.state.table.stream_mut(open.stream) {
            stream.opens -= 1;
        }
        if with_structures {
            self.state.table.tear_down(open.stream, &mut Vec::new());
        }
    }

    pub(super) fn trim(&mut self) -> Vec<Gone> {
        let mut gone = Vec::new();
        for stream in self.state.table.idle() {
            self.state.table.tear_down(stream, &mut gone);
        }
        gone
    }
}
