//! Server ports: names that user mode connects to.

use super::super::{Filter, Object, publish};
use crate::kernel::admission;
use crate::machine::Inner;
use crate::verifier::{Leak, Rule};
use fltmgr_sys::*;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// What a filter asks for with `FltCreateCommunicationPort`.
pub(crate) struct Request {
    pub(crate) name: String,
    pub(crate) attributes: ULONG,
    pub(crate) descriptor: PVOID,
    /// `ServerPortCookie`, which is the filter's own business.
    pub(crate) cookie: usize,
    pub(crate) connect: PFLT_CONNECT_NOTIFY,
    pub(crate) disconnect: PFLT_DISCONNECT_NOTIFY,
    pub(crate) message: PFLT_MESSAGE_NOTIFY,
    pub(crate) most: LONG,
}

struct State {
    open: bool,
    connections: u64,
}

/// A server port of a filter.
pub(crate) struct ServerPort {
    pub(crate) machine: Weak<Inner>,
    pub(crate) filter: Arc<Filter>,
    pub(crate) name: String,
    any_case: bool,
    /// Whether its security descriptor lets an administrator connect.
    pub(crate) admits: bool,
    pub(crate) cookie: usize,
    pub(crate) connect: PFLT_CONNECT_NOTIFY,
    pub(crate) disconnect: PFLT_DISCONNECT_NOTIFY,
    pub(crate) message: PFLT_MESSAGE_NOTIFY,
    most: u64,
    state: Mutex<State>,
}

impl ServerPort {
    /// What a driver knows it by.
    pub(crate) fn pointer(self: &Arc<Self>) -> PFLT_PORT {
        Arc::as_ptr(self).cast_mut().cast()
    }

    fn is_named(&self, name: &str, any_case: bool) -> bool {
        if self.any_case || any_case {
            self.name.to_lowercase() == name.to_lowercase()
        } else {
            self.name == name
        }
    }

    /// Takes one of the connections that the port allows.
    pub(super) fn take_connection(&self) -> Result<(), NTSTATUS> {
        let mut state = self.state.lock();
        if !state.open {
            return Err(STATUS_OBJECT_NAME_NOT_FOUND);
        }
        if state.connections >= self.most {
            return Err(STATUS_CONNECTION_COUNT_LIMIT);
        }
        state.connections += 1;
        Ok(())
    }

    /// Gives a connection back.
    pub(super) fn return_connection(&self) {
        let mut state = self.state.lock();
        state.connections = state.connections.saturating_sub(1);
    }

    /// `FltCloseCommunicationPort`: no more connections; `false` if it was closed before.
    pub(crate) fn close(self: &Arc<Self>, machine: &Inner) -> bool {
        if !std::mem::replace(&mut self.state.lock().open, false) {
            return false;
        }
        let mut ports = machine.ports.lock();
        ports.retain(|port| !Arc::ptr_eq(port, self));
        drop(ports);
        machine.progress.notify();
        true
    }
}

/// `FltCreateCommunicationPort`.
///
/// # Safety
/// The descriptor is null or a security descriptor with its parts.
pub(crate) unsafe fn create(
    machine: &Arc<Inner>,
    filter: &Arc<Filter>,
    request: Request,
) -> Result<Arc<ServerPort>, NTSTATUS> {
    const CALL: &str = "FltCreateCommunicationPort";
    let wrong = |what: &str| {
        machine.verifier.violation(Rule::V24, CALL, what);
        Err(STATUS_INVALID_PARAMETER)
    };
    if request.attributes & OBJ_KERNEL_HANDLE == 0 {
        return wrong("the attributes of a port must have OBJ_KERNEL_HANDLE");
    }
    if request.connect.is_none() || request.disconnect.is_none() {
        return wrong("a port needs a connect and a disconnect callback");
    }
    let Some(most) = u64::try_from(request.most).ok().filter(|most| *most > 0) else {
        return wrong("a port must allow one connection at least");
    };
    if filter.references.is_deleting() {
        return Err(STATUS_FLT_DELETING_OBJECT);
    }
    if request.name.is_empty() {
        return Err(STATUS_OBJECT_NAME_INVALID);
    }
    if !request.name.starts_with('\\') {
        return Err(STATUS_OBJECT_PATH_SYNTAX_BAD);
    }
    // SAFETY: passed on to the caller.
    let admits = unsafe { admission::admits_administrators(request.descriptor, FLT_PORT_CONNECT) }?;
    let any_case = request.attributes & OBJ_CASE_INSENSITIVE != 0;
    let port = Arc::new(ServerPort {
        machine: Arc::downgrade(machine),
        filter: Arc::clone(filter),
        name: request.name,
        any_case,
        admits,
        cookie: request.cookie,
        connect: request.connect,
        disconnect: request.disconnect,
        message: request.message,
        most,
        state: Mutex::new(State {
            open: true,
            connections: 0,
        }),
    });
    let mut ports = machine.ports.lock();
    if ports
        .iter()
        .any(|other| other.is_named(&port.name, any_case))
    {
        return Err(STATUS_OBJECT_NAME_COLLISION);
    }
    ports.push(Arc::clone(&port));
    drop(ports);
    let address = port.pointer() as usize;
    publish(machine, address, Object::ServerPort(Arc::clone(&port)));
    Ok(port)
}

/// The open server port of a name.
pub(super) fn find(machine: &Inner, name: &str) -> Option<Arc<ServerPort>> {
    let ports = machine.ports.lock();
    ports
        .iter()
        .find(|port| port.is_named(name, false))
        .cloned()
}

/// Whether a filter has server ports that are still open.
pub(crate) fn is_any_open(machine: &Inner, filter: &Filter) -> bool {
    let ports = machine.ports.lock();
    ports.iter().any(|port| port.filter.id == filter.id)
}

/// Says which server ports a filter left open, and closes them: a real machine would hang.
pub(crate) fn report_open(machine: &Inner, filter: &Filter, call: &'static str) {
    let ports = machine.ports.lock().clone();
    for port in ports.iter().filter(|port| port.filter.id == filter.id) {
        let leak = Leak {
            object: "server port",
            kind: None,
            pool: None,
            size: 0,
            count: 1,
            address: port.pointer() as usize,
            acquired: vec![("FltCreateCommunicationPort", 1)],
            note: format!("{} is still open: unregistering would hang", port.name),
        };
        machine.verifier.leak(Rule::V20, call, leak);
        port.close(machine);
    }
}
