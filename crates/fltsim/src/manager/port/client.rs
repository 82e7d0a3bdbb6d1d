//! Client ports: connections, how they begin and how they end.

use super::super::{Filter, Object, publish};
use super::message::Messages;
use super::server::{self, ServerPort};
use crate::kernel::scope::{Callback, Scope};
use crate::machine::Inner;
use crate::verifier::Rule;
use fltmgr_sys::*;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::ptr::null_mut;
use std::sync::Arc;
use std::time::Instant;

/// How far the user-mode side of a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The connect callback has not returned yet.
    Connecting,
    Connected,
    /// The handle is closed, or the filter is being unregistered.
    Disconnected,
}

pub(super) struct State {
    phase: Phase,
    /// `FltCloseClientPort` was called.
    closed: bool,
    /// The connection still counts for its server port.
    counted: bool,
    /// What the connect callback wants to be called with.
    cookie: usize,
    /// Message callbacks that run.
    busy: usize,
    pub(super) messages: Messages,
}

impl State {
    /// Whether messages go through.
    pub(super) fn is_up(&self) -> bool {
        self.phase != Phase::Disconnected && !self.closed
    }
}

/// One connection to a server port.
pub(crate) struct ClientPort {
    pub(crate) server: Arc<ServerPort>,
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
}

impl ClientPort {
    /// `FilterConnectCommunicationPort`: asks the filter that has the port.
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_NOT_FOUND`, `STATUS_ACCESS_DENIED`, `STATUS_CONNECTION_COUNT_LIMIT`,
    /// `STATUS_FLT_DELETING_OBJECT`, or what the filter refused with.
    pub(crate) fn connect(
        machine: &Arc<Inner>,
        name: &str,
        context: &[u8],
    ) -> Result<Arc<Self>, NTSTATUS> {
        const CALL: &str = "FilterConnectCommunicationPort";
        let server = server::find(machine, name).ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
        if !server.admits {
            return Err(STATUS_ACCESS_DENIED);
        }
        let filter = &server.filter;
        filter.references.acquire(CALL)?;
        let result = Self::connect_to(machine, &server, context);
        filter.references.release();
        machine.progress.notify();
        result
    }

    fn connect_to(
        machine: &Arc<Inner>,
        server: &Arc<ServerPort>,
        context: &[u8],
    ) -> Result<Arc<Self>, NTSTATUS> {
        server.take_connection()?;
        let port = Arc::new(Self {
            server: Arc::clone(server),
            state: Mutex::new(State {
                phase: Phase::Connecting,
                closed: false,
                counted: true,
                cookie: 0,
                busy: 0,
                messages: Messages::default(),
            }),
            changed: Condvar::new(),
        });
        publish(
            machine,
            port.pointer() as usize,
            Object::ClientPort(Arc::clone(&port)),
        );
        let (status, cookie) = port.ask(machine, context);
        let mut state = port.state.lock();
        if !nt_success(status) {
            state.phase = Phase::Disconnected;
            state.closed = true;
            port.uncount(&mut state);
            return Err(status);
        }
        state.phase = Phase::Connected;
        state.cookie = cookie;
        let closed = state.closed;
        drop(state);
        let filter = &server.filter;
        if !closed && machine.config.strict {
            let address = port.pointer() as usize;
            filter
                .held
                .add("client port", address, "the connect callback");
        }
        filter.clients.lock().push(Arc::clone(&port));
        if filter.references.is_deleting() {
            // Whoever disconnects all connections may have been before this one.
            port.disconnect(machine);
            return Err(STATUS_PORT_DISCONNECTED);
        }
        Ok(port)
    }

    /// Calls the connect callback.
    fn ask(self: &Arc<Self>, machine: &Arc<Inner>, context: &[u8]) -> (NTSTATUS, usize) {
        // As aligned as a system buffer is.
        let mut buffer = vec![0_u64; context.len().div_ceil(8)];
        for (word, bytes) in buffer.iter_mut().zip(context.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(whole);
        }
        let (pointer, size) = if context.is_empty() {
            (null_mut(), 0)
        } else {
            (buffer.as_mut_ptr().cast(), super::message::length(context))
        };
        let Some(callback) = self.server.connect else {
            return (STATUS_PORT_CONNECTION_REFUSED, 0);
        };
        let server = self.server.cookie as PVOID;
        let mut cookie = null_mut();
        let _scope = Scope::enter(machine, Callback::PortConnect, PASSIVE_LEVEL);
        // SAFETY: the driver passed this callback with its server port, and its filter cannot be
        // unregistered while this connection has a reference on it; the buffer and the place for
        // the cookie are ours.
        let status = unsafe { callback(self.pointer(), server, pointer, size, &raw mut cookie) };
        (status, cookie as usize)
    }

    /// What a driver knows it by.
    pub(crate) fn pointer(self: &Arc<Self>) -> PFLT_PORT {
        Arc::as_ptr(self).cast_mut().cast()
    }

    /// The connection no longer counts for its server port.
    fn uncount(&self, state: &mut State) {
        if std::mem::replace(&mut state.counted, false) {
            self.server.return_connection();
        }
    }

    /// Ends the connection from the side of user mode: waits for message callbacks that run, and
    /// calls the disconnect callback. It does nothing for the second time.
    pub(crate) fn disconnect(self: &Arc<Self>, machine: &Arc<Inner>) {
        let mut state = self.state.lock();
        if state.phase != Phase::Connected {
            return;
        }
        state.phase = Phase::Disconnected;
        self.uncount(&mut state);
        self.changed.notify_all();
        if !self.wait_until_idle(machine, &mut state) {
            let text = "a message callback does not end: disconnecting would hang";
            machine.verifier.violation(Rule::V24, "disconnecting", text);
        }
        let cookie = state.cookie as PVOID;
        drop(state);
        if let Some(callback) = self.server.disconnect {
            let _scope = Scope::enter(machine, Callback::PortDisconnect, PASSIVE_LEVEL);
            // SAFETY: the driver passed this callback with its server port; unregistering its
            // filter disconnects what is connected first.
            unsafe { callback(cookie) };
        }
        self.forget_if_over();
        machine.progress.notify();
    }

    fn wait_until_idle(&self, machine: &Inner, state: &mut MutexGuard<'_, State>) -> bool {
        let deadline = Instant::now() + machine.config.unload_wait;
        while state.busy > 0 {
            if self.changed.wait_until(state, deadline).timed_out() {
                return state.busy == 0;
            }
        }
        true
    }

    /// `FltCloseClientPort`: ends the connection from the side of the filter; `false` if it was
    /// closed before. User mode notices when it uses its handle.
    pub(crate) fn close(self: &Arc<Self>) -> bool {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.closed, true) {
            return false;
        }
        self.uncount(&mut state);
        self.changed.notify_all();
        drop(state);
        self.server.filter.held.remove(self.pointer() as usize);
        self.forget_if_over();
        true
    }

    /// Whether `FltCloseClientPort` was called.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Takes the connection off the filter's list when both sides have ended it.
    fn forget_if_over(self: &Arc<Self>) {
        let state = self.state.lock();
        let over = state.closed && state.phase == Phase::Disconnected;
        drop(state);
        if over {
            let mut clients = self.server.filter.clients.lock();
            clients.retain(|other| !Arc::ptr_eq(other, self));
        }
    }

    /// A message callback begins.
    pub(super) fn begin_callback(&self) -> Result<usize, NTSTATUS> {
        let mut state = self.state.lock();
        if state.phase != Phase::Connected || state.closed {
            return Err(STATUS_PORT_DISCONNECTED);
        }
        state.busy += 1;
        Ok(state.cookie)
    }

    /// A message callback has returned.
    pub(super) fn end_callback(&self) {
        self.state.lock().busy -= 1;
        self.changed.notify_all();
    }
}

/// Ends the connections of a filter that is being unregistered.
pub(crate) fn disconnect_all(machine: &Arc<Inner>, filter: &Filter) {
    let clients = filter.clients.lock().clone();
    for client in clients {
        client.disconnect(machine);
    }
    filter.clients.lock().clear();
}
