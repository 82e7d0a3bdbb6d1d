//! The user-mode side of communication ports: what applications do with `fltlib`.

use crate::machine::{Inner, Machine};
use crate::manager::port::{ClientPort, UserBuffers};
use fltmgr_sys::{FILTER_REPLY_HEADER, NTSTATUS, ULONG};
use std::fmt;
use std::ptr::null_mut;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Machine {
    /// Connects to a server port as an administrator does (`FilterConnectCommunicationPort`). The
    /// context goes to the connect callback of the filter.
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_NOT_FOUND`, `STATUS_ACCESS_DENIED` if the security descriptor of the
    /// port keeps administrators out, `STATUS_CONNECTION_COUNT_LIMIT`,
    /// `STATUS_FLT_DELETING_OBJECT`, or the status that the filter refused with.
    pub fn connect_port(&self, name: &str, context: &[u8]) -> Result<Port, NTSTATUS> {
        let client = ClientPort::connect(&self.inner, name, context)?;
        let machine = Arc::clone(&self.inner);
        Ok(Port { machine, client })
    }
}

/// A connection to a filter. It may be shared between threads; dropping it disconnects.
pub struct Port {
    machine: Arc<Inner>,
    client: Arc<ClientPort>,
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Port")
            .field(&self.client.server.name)
            .finish()
    }
}

/// A message from a filter, without its `FILTER_MESSAGE_HEADER`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What a reply must name.
    pub id: u64,
    /// How long a reply may be, its `FILTER_REPLY_HEADER` included; 0 if none is expected.
    pub reply_length: usize,
    /// What the filter sent.
    pub data: Vec<u8>,
}

impl Port {
    /// Sends a message to the filter and gives its answer, of so many bytes at most
    /// (`FilterSendMessage`).
    ///
    /// # Errors
    /// `STATUS_PORT_DISCONNECTED`, `STATUS_INVALID_DEVICE_REQUEST` if the filter takes no messages,
    /// or what it answered with.
    pub fn send(&self, input: &[u8], output_length: usize) -> Result<Vec<u8>, NTSTATUS> {
        let length = |length: usize| ULONG::try_from(length).unwrap_or(ULONG::MAX);
        let mut input = input.to_vec();
        let mut output = vec![0; output_length];
        let pointer = |buffer: &mut Vec<u8>| {
            if buffer.is_empty() {
                null_mut()
            } else {
                buffer.as_mut_ptr().cast()
            }
        };
        let buffers = UserBuffers {
            input_length: length(input.len()),
            input: pointer(&mut input),
            output_length: length(output.len()),
            output: pointer(&mut output),
        };
        // SAFETY: both buffers are ours, and as long as is said.
        let returned = unsafe { self.client.call(&self.machine, &buffers) }?;
        output.truncate(returned);
        Ok(output)
    }

    /// As [`Port::send`], with buffers that need not exist: an application may pass anything, and a
    /// filter must be prepared for it. Gives how many bytes the filter says it has returned.
    ///
    /// # Errors
    /// As [`Port::send`], and `STATUS_ACCESS_VIOLATION` for addresses of the kernel.
    ///
    /// # Safety
    /// The filter handles what is wrong with the buffers as an exception, so it was loaded from its
    /// image; or nothing is wrong with them.
    pub unsafe fn send_raw(
        &self,
        input: *const u8,
        input_length: u32,
        output: *mut u8,
        output_length: u32,
    ) -> Result<usize, NTSTATUS> {
        let buffers = UserBuffers {
            input: input.cast_mut().cast(),
            input_length,
            output: output.cast(),
            output_length,
        };
        // SAFETY: passed on to the caller.
        unsafe { self.client.call(&self.machine, &buffers) }
    }

    /// Waits for a message of the filter (`FilterGetMessage`), for ever if there is no timeout.
    ///
    /// # Errors
    /// `STATUS_PORT_DISCONNECTED`, or `STATUS_TIMEOUT`.
    pub fn get_message(&self, timeout: Option<Duration>) -> Result<Message, NTSTATUS> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let received = self.client.receive(deadline)?;
        let header = size_of::<FILTER_REPLY_HEADER>();
        Ok(Message {
            id: received.id,
            reply_length: received.reply.map_or(0, |room| room + header),
            data: received.data,
        })
    }

    /// Replies to a message (`FilterReplyMessage`): the status is what the filter's call returns.
    ///
    /// # Errors
    /// `STATUS_PORT_DISCONNECTED`, or `STATUS_FLT_NO_WAITER_FOR_REPLY` if the filter expects no
    /// reply to such a message, or waits no longer.
    pub fn reply(&self, message_id: u64, status: NTSTATUS, data: &[u8]) -> Result<(), NTSTATUS> {
        self.client.reply(message_id, status, data)
    }

    /// Disconnects; dropping it does the same.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.client.disconnect(&self.machine);
    }
}
