//! Reads, writes and locks of an application that nobody waits for yet, and that can be cancelled.

use super::cancel::cancel;
use super::file_object::FileObject;
use super::handle::{Handle, locking, transfer};
use super::operation::{self, Operation, Request};
use super::options::{ByteRange, IoOptions};
use super::path;
use fltmgr_sys::*;
use std::sync::Arc;

/// What was begun with [`Handle::begin_read`], [`Handle::begin_write`] or [`Handle::begin_lock`].
///
/// Dropping it cancels it and waits for its end, because it lends its buffer to the operation.
pub struct PendingIo {
    operation: Arc<Operation>,
    buffer: Box<[u8]>,
    retired: bool,
}

impl std::fmt::Debug for PendingIo {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PendingIo")
            .field("complete", &self.is_complete())
            .finish_non_exhaustive()
    }
}

impl PendingIo {
    fn begin(
        file: &Arc<FileObject>,
        major: UCHAR,
        offset: u64,
        mut buffer: Box<[u8]>,
        options: IoOptions,
        handle: &Handle,
    ) -> Self {
        let memory = buffer.as_mut_ptr().cast();
        let length = ULONG::try_from(buffer.len()).unwrap_or(ULONG::MAX);
        let request = transfer(file, major, offset, memory, length, options);
        Self::send(handle, &request, buffer)
    }

    fn send(handle: &Handle, request: &Request, buffer: Box<[u8]>) -> Self {
        let operation = Operation::new(handle.machine(), handle.file(), request);
        path::send(&operation);
        Self {
            operation,
            buffer,
            retired: false,
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.operation.state.lock().finished
    }

    /// Cancels it, as `CancelIoEx` does; `true` if somebody had said what to do in this case, and
    /// has been told.
    #[allow(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn cancel(&self) -> bool {
        cancel(&self.operation)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// The status that it completed with.
    pub fn wait(&mut self) -> Result<usize, NTSTATUS> {
        let (status, information) = path::wait(&self.operation);
        if !std::mem::replace(&mut self.retired, true) {
            self.operation.retire();
        }
        if status < 0 {
            Err(status)
        } else {
            Ok(information)
        }
    }

    /// Waits, and gives the bytes that were read or written.
    ///
    /// # Errors
    /// The status that it completed with.
    pub fn into_data(mut self) -> Result<Vec<u8>, NTSTATUS> {
        let count = self.wait()?;
        let buffer = std::mem::take(&mut self.buffer);
        let mut data = buffer.into_vec();
        data.truncate(count);
        Ok(data)
    }
}

impl Drop for PendingIo {
    fn drop(&mut self) {
        if !self.retired {
            self.cancel();
            // Its result is nobody's business any more.
            let _ = self.wait();
        }
    }
}

impl Handle {
    /// Begins to read at an offset. The test's thread runs the pre-operation callbacks, as far as
    /// none of them pends the operation.
    #[must_use]
    pub fn begin_read(&self, offset: u64, length: usize, options: IoOptions) -> PendingIo {
        let buffer = vec![0; length].into();
        PendingIo::begin(self.file(), IRP_MJ_READ, offset, buffer, options, self)
    }

    /// Begins to write at an offset.
    #[must_use]
    pub fn begin_write(&self, offset: u64, data: &[u8], options: IoOptions) -> PendingIo {
        PendingIo::begin(
            self.file(),
            IRP_MJ_WRITE,
            offset,
            data.into(),
            options,
            self,
        )
    }

    /// Begins to lock a range, and waits for it if it cannot be had at once.
    #[must_use]
    pub fn begin_lock(&self, range: ByteRange) -> PendingIo {
        let request = locking(self.file(), range, false, IoOptions::default());
        PendingIo::send(self, &request, Box::default())
    }

    /// Cancels every operation on the file object that is on its way, as `CancelIoEx` does. Gives
    /// the number of those that somebody has ended for it.
    #[allow(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn cancel_io(&self) -> usize {
        let operations = operation::on(self.file());
        operations.iter().filter(|one| cancel(one)).count()
    }
}
