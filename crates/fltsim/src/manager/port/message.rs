//! Messages: calls from user mode, and what a filter sends there and waits for.

use super::client::{ClientPort, State};
use crate::kernel::scope::{Callback, Scope};
use crate::machine::Inner;
use crate::verifier::Rule;
use fltmgr_sys::*;
use parking_lot::MutexGuard;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// The end of the addresses that user mode has.
const USER_LIMIT: usize = 0x7FFF_FFFF_0000;

/// How far a message to user mode has come.
enum Stage {
    Waiting,
    Received,
    Replied(NTSTATUS, Vec<u8>),
}

struct Sent {
    data: Vec<u8>,
    /// How many bytes of reply its sender has room for, if it wants one.
    reply: Option<usize>,
    stage: Stage,
}

/// The messages of a connection whose senders wait.
#[derive(Default)]
pub(crate) struct Messages {
    last: u64,
    sent: BTreeMap<u64, Sent>,
    /// Those that nobody has fetched, the oldest first.
    queue: VecDeque<u64>,
    /// Threads of user mode that wait for a message.
    readers: usize,
}

impl Messages {
    fn remove(&mut self, id: u64) -> Option<Sent> {
        self.queue.retain(|queued| *queued != id);
        self.sent.remove(&id)
    }

    /// Gives the oldest message to user mode. One without a reply is over with that.
    fn fetch(&mut self) -> Option<Received> {
        let id = self.queue.pop_front()?;
        let sent = self.sent.get_mut(&id)?;
        sent.stage = Stage::Received;
        Some(Received {
            id,
            reply: sent.reply,
            data: sent.data.clone(),
        })
    }
}

/// A message as user mode gets it.
pub(crate) struct Received {
    pub(crate) id: u64,
    pub(crate) reply: Option<usize>,
    pub(crate) data: Vec<u8>,
}

/// The two buffers of `FilterSendMessage`.
pub(crate) struct UserBuffers {
    pub(crate) input: PVOID,
    pub(crate) input_length: ULONG,
    pub(crate) output: PVOID,
    pub(crate) output_length: ULONG,
}

/// The length of a slice as the kernel counts.
pub(super) fn length(bytes: &[u8]) -> ULONG {
    ULONG::try_from(bytes.len()).unwrap_or(ULONG::MAX)
}

/// What `ProbeForRead` and `ProbeForWrite` look at.
fn is_user_range(start: PVOID, length: ULONG) -> bool {
    let end = (start as usize).checked_add(length as usize);
    start.is_null() || end.is_some_and(|end| end <= USER_LIMIT)
}

impl ClientPort {
    /// `FilterSendMessage`: calls the filter, and gives how many bytes it returned.
    ///
    /// # Errors
    /// `STATUS_PORT_DISCONNECTED`, `STATUS_INVALID_DEVICE_REQUEST` if the filter takes no messages,
    /// `STATUS_ACCESS_VIOLATION`, or what the filter answered.
    ///
    /// # Safety
    /// The buffers are valid, or the filter is prepared for their not being so.
    pub(crate) unsafe fn call(
        self: &Arc<Self>,
        machine: &Arc<Inner>,
        buffers: &UserBuffers,
    ) -> Result<usize, NTSTATUS> {
        let callback = self.server.message.ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
        if !is_user_range(buffers.input, buffers.input_length)
            || !is_user_range(buffers.output, buffers.output_length)
        {
            return Err(STATUS_ACCESS_VIOLATION);
        }
        let cookie = self.begin_callback()?;
        let mut returned = 0;
        let status = {
            let _scope = Scope::enter(machine, Callback::PortMessage, PASSIVE_LEVEL);
            // SAFETY: the driver passed this callback with its server port, and disconnecting waits
            // for it; the buffers are as this function's contract says, the length is ours.
            unsafe {
                callback(
                    cookie as PVOID,
                    buffers.input,
                    buffers.input_length,
                    buffers.output,
                    buffers.output_length,
                    &raw mut returned,
                )
            }
        };
        self.end_callback();
        if !nt_success(status) {
            return Err(status);
        }
        let room = if buffers.output.is_null() {
            0
        } else {
            buffers.output_length
        };
        if returned > room {
            let text = format!("the callback says {returned} bytes, and there is room for {room}");
            machine
                .verifier
                .violation(Rule::V24, "MessageNotifyCallback", text);
        }
        Ok(returned.min(room) as usize)
    }

    /// `FltSendMessage`: waits until user mode has the message and, if a reply is wanted, until
    /// that is there. Gives the status and the bytes of the reply.
    ///
    /// # Errors
    /// `STATUS_PORT_DISCONNECTED`, or `STATUS_TIMEOUT` when the time is over.
    pub(crate) fn send(
        &self,
        data: Vec<u8>,
        reply: Option<usize>,
        deadline: Option<Instant>,
    ) -> Result<(NTSTATUS, Vec<u8>), NTSTATUS> {
        let mut state = self.state.lock();
        if !state.is_up() {
            return Err(STATUS_PORT_DISCONNECTED);
        }
        let messages = &mut state.messages;
        messages.last += 1;
        let id = messages.last;
        messages.queue.push_back(id);
        // A thread that waits for it is as good as having it, however late it may run.
        let promised = messages.queue.len() <= messages.readers;
        let sent = Sent {
            data,
            reply,
            stage: Stage::Waiting,
        };
        messages.sent.insert(id, sent);
        self.changed.notify_all();
        loop {
            let progress = state.messages.sent.get(&id).map(|sent| &sent.stage);
            let fetched = !matches!(progress, Some(Stage::Waiting));
            let over = match progress {
                None | Some(Stage::Replied(..)) => true,
                Some(Stage::Received) => reply.is_none(),
                Some(Stage::Waiting) => false,
            };
            if over {
                let sent = state.messages.remove(id);
                return match sent.map(|sent| sent.stage) {
                    Some(Stage::Replied(status, data)) => Ok((status, data)),
                    _ => Ok((STATUS_SUCCESS, Vec::new())),
                };
            }
            if !state.is_up() {
                state.messages.remove(id);
                return Err(STATUS_PORT_DISCONNECTED);
            }
            let limit = deadline.filter(|_| fetched || !promised);
            if self.wait(&mut state, limit) {
                state.messages.remove(id);
                return Err(STATUS_TIMEOUT);
            }
        }
    }

    /// `FilterGetMessage`: waits for a message.
    ///
    /// # Errors
    /// `STATUS_PORT_DISCONNECTED`, or `STATUS_TIMEOUT` when the time is over.
    pub(crate) fn receive(&self, deadline: Option<Instant>) -> Result<Received, NTSTATUS> {
        let mut state = self.state.lock();
        let mut timed_out = false;
        loop {
            if !state.is_up() {
                return Err(STATUS_PORT_DISCONNECTED);
            }
            if let Some(received) = state.messages.fetch() {
                self.changed.notify_all();
                return Ok(received);
            }
            if timed_out {
                return Err(STATUS_TIMEOUT);
            }
            state.messages.readers += 1;
            timed_out = self.wait(&mut state, deadline);
            state.messages.readers -= 1;
        }
    }

    /// `FilterReplyMessage`.
    ///
    /// # Errors
    /// `STATUS_PORT_DISCONNECTED`, or `STATUS_FLT_NO_WAITER_FOR_REPLY` if nobody waits for it (any
    /// more).
    pub(crate) fn reply(&self, id: u64, status: NTSTATUS, data: &[u8]) -> Result<(), NTSTATUS> {
        let mut state = self.state.lock();
        if !state.is_up() {
            return Err(STATUS_PORT_DISCONNECTED);
        }
        let sent = state.messages.sent.get_mut(&id);
        let waiting =
            sent.filter(|sent| sent.reply.is_some() && matches!(sent.stage, Stage::Received));
        let sent = waiting.ok_or(STATUS_FLT_NO_WAITER_FOR_REPLY)?;
        sent.stage = Stage::Replied(status, data.to_vec());
        self.changed.notify_all();
        Ok(())
    }

    /// Waits for any change; `true` if the time is over.
    fn wait(&self, state: &mut MutexGuard<'_, State>, deadline: Option<Instant>) -> bool {
        match deadline {
            None => {
                self.changed.wait(state);
                false
            }
            Some(deadline) => self.changed.wait_until(state, deadline).timed_out(),
        }
    }
}
