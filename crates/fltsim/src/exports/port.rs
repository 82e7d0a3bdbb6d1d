//! Communication ports and their security descriptors.

use super::{bad_pointer, client_port, enter, exports, filter, server_port, write};
use crate::kernel::time::deadline;
use crate::kernel::{admission, scope, string};
use crate::machine::Inner;
use crate::manager::Filter;
use crate::manager::port::{self, ClientPort};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;

exports! {
    /// Builds a security descriptor that admits administrators and the system.
    unsafe fn FltBuildDefaultSecurityDescriptor(
        SecurityDescriptor: *mut PVOID,
        DesiredAccess: ACCESS_MASK,
    ) -> NTSTATUS {
        const CALL: &str = "FltBuildDefaultSecurityDescriptor";
        let Some(machine) = scope::machine() else {
            eprintln!("fltsim: {CALL} outside of a machine");
            return STATUS_INSUFFICIENT_RESOURCES;
        };
        enter(&machine, CALL);
        let descriptor = admission::build(&machine, CALL, DesiredAccess);
        // SAFETY: the caller passes a place for the result.
        unsafe { write(SecurityDescriptor, descriptor) };
        if descriptor.is_null() {
            STATUS_INSUFFICIENT_RESOURCES
        } else {
            STATUS_SUCCESS
        }
    }

    /// Frees such a security descriptor.
    unsafe fn FltFreeSecurityDescriptor(SecurityDescriptor: PVOID) {
        const CALL: &str = "FltFreeSecurityDescriptor";
        let machine = scope::machine();
        if let Some(machine) = &machine {
            enter(machine, CALL);
        }
        admission::free(machine.as_deref(), CALL, SecurityDescriptor);
    }

    /// Creates a server port.
    unsafe fn FltCreateCommunicationPort(
        Filter: PFLT_FILTER,
        ServerPort: *mut PFLT_PORT,
        ObjectAttributes: POBJECT_ATTRIBUTES,
        ServerPortCookie: PVOID,
        ConnectNotifyCallback: PFLT_CONNECT_NOTIFY,
        DisconnectNotifyCallback: PFLT_DISCONNECT_NOTIFY,
        MessageNotifyCallback: PFLT_MESSAGE_NOTIFY,
        MaxConnections: LONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltCreateCommunicationPort";
        // SAFETY: the caller passes a place for the result.
        unsafe { write(ServerPort, null_mut()) };
        let Some((machine, filter)) = filter(CALL, "Filter", Filter) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        if ObjectAttributes.is_null() || ServerPort.is_null() {
            let text = "a port needs attributes, and a place for its pointer";
            machine.verifier.violation(Rule::V24, CALL, text);
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: not null, and then attributes by the caller's promise.
        let attributes = unsafe { ObjectAttributes.read_unaligned() };
        if attributes.Length as usize != size_of::<OBJECT_ATTRIBUTES>() {
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: the name in the attributes is null or a string.
        let name = unsafe { string::read(attributes.ObjectName) };
        let request = port::Request {
            name: name.unwrap_or_default(),
            attributes: attributes.Attributes,
            descriptor: attributes.SecurityDescriptor,
            cookie: ServerPortCookie as usize,
            connect: ConnectNotifyCallback,
            disconnect: DisconnectNotifyCallback,
            message: MessageNotifyCallback,
            most: MaxConnections,
        };
        // SAFETY: the descriptor in the attributes is null or a security descriptor.
        match unsafe { port::create(&machine, &filter, request) } {
            Err(status) => status,
            Ok(port) => {
                // SAFETY: as above.
                unsafe { write(ServerPort, port.pointer()) };
                STATUS_SUCCESS
            }
        }
    }

    /// Closes a server port. Its connections stay.
    unsafe fn FltCloseCommunicationPort(ServerPort: PFLT_PORT) {
        const CALL: &str = "FltCloseCommunicationPort";
        let Some((machine, port)) = server_port(CALL, "ServerPort", ServerPort) else {
            return;
        };
        enter(&machine, CALL);
        if !port.close(&machine) {
            let text = format!("server port {} is closed already", port.name);
            machine.verifier.violation(Rule::V20, CALL, text);
        }
    }

    /// Closes the filter's side of a connection, and sets the variable that held it to NULL.
    unsafe fn FltCloseClientPort(Filter: PFLT_FILTER, ClientPort: *mut PFLT_PORT) {
        const CALL: &str = "FltCloseClientPort";
        let Some((machine, filter)) = filter(CALL, "Filter", Filter) else {
            return;
        };
        enter(&machine, CALL);
        if ClientPort.is_null() {
            bad_pointer(CALL, "ClientPort", 0, "variable that holds a client port");
            return;
        }
        // SAFETY: not null, and then a variable by the caller's promise; other threads that send
        // messages read it, so it changes in one step.
        let port = unsafe { exchange(ClientPort) };
        if port.is_null() {
            return;
        }
        if let Some(port) = owned(CALL, &machine, &filter, port)
            && !port.close()
        {
            let text = "a client port was closed twice";
            machine.verifier.violation(Rule::V20, CALL, text);
        }
    }

    /// Sends a message to user mode, and waits until it is fetched and perhaps replied to.
    unsafe fn FltSendMessage(
        Filter: PFLT_FILTER,
        ClientPort: *mut PFLT_PORT,
        SenderBuffer: PVOID,
        SenderBufferLength: ULONG,
        ReplyBuffer: PVOID,
        ReplyLength: *mut ULONG,
        Timeout: *mut LARGE_INTEGER,
    ) -> NTSTATUS {
        const CALL: &str = "FltSendMessage";
        let Some((machine, filter)) = filter(CALL, "Filter", Filter) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let missing = if ClientPort.is_null() {
            Some("ClientPort")
        } else if SenderBuffer.is_null() {
            Some("SenderBuffer")
        } else if !ReplyBuffer.is_null() && ReplyLength.is_null() {
            Some("ReplyLength")
        } else {
            None
        };
        if let Some(argument) = missing {
            let text = format!("{argument} is required, and NULL");
            machine.verifier.violation(Rule::V24, CALL, text);
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: not null, and then a variable by the caller's promise.
        let port = unsafe { load(ClientPort) };
        if port.is_null() {
            // The filter has closed it, which is what the variable is for.
            return STATUS_PORT_DISCONNECTED;
        }
        let Some(port) = owned(CALL, &machine, &filter, port) else {
            return STATUS_INVALID_PARAMETER;
        };
        if port.is_closed() {
            let text = "a message was sent on a client port that is closed";
            machine.verifier.violation(Rule::V24, CALL, text);
            return STATUS_PORT_DISCONNECTED;
        }
        let mut data = vec![0; SenderBufferLength as usize];
        let source = SenderBuffer.cast::<u8>();
        // SAFETY: the caller passes so many bytes, and the copy is memory of our own.
        unsafe { source.copy_to_nonoverlapping(data.as_mut_ptr(), data.len()) };
        let room = if ReplyBuffer.is_null() {
            None
        } else {
            // SAFETY: not null with a reply buffer, as was checked.
            Some(unsafe { ReplyLength.read_unaligned() } as usize)
        };
        // SAFETY: the caller passes null or a timeout.
        let timeout = unsafe { Timeout.as_ref() };
        let until = timeout.map(|timeout| {
            // SAFETY: every bit pattern is a number.
            deadline(unsafe { timeout.QuadPart })
        });
        let (status, reply) = match port.send(data, room, until) {
            Err(status) => return status,
            Ok(reply) => reply,
        };
        let Some(room) = room else {
            return status;
        };
        let copied = reply.len().min(room);
        let target = ReplyBuffer.cast::<u8>();
        // SAFETY: the reply buffer has the room that the caller said.
        unsafe { target.copy_from_nonoverlapping(reply.as_ptr(), copied) };
        // SAFETY: as above.
        unsafe { write(ReplyLength, ULONG::try_from(copied).unwrap_or(ULONG::MAX)) };
        if reply.len() > room {
            STATUS_BUFFER_OVERFLOW
        } else {
            status
        }
    }
}

/// Reads a variable that another thread may set to NULL.
///
/// # Safety
/// It is a variable of the caller's.
unsafe fn load(variable: *mut PFLT_PORT) -> PFLT_PORT {
    // SAFETY: by this function's contract; a volatile read of a pointer is one access.
    unsafe { variable.read_volatile() }
}

/// Sets a variable to NULL and gives what it was.
///
/// # Safety
/// It is a variable of the caller's.
unsafe fn exchange(variable: *mut PFLT_PORT) -> PFLT_PORT {
    // SAFETY: by this function's contract, it is an aligned pointer that lives through the call.
    let shared = unsafe { std::sync::atomic::AtomicPtr::from_ptr(variable) };
    shared.swap(null_mut(), std::sync::atomic::Ordering::AcqRel)
}

/// The client port that a filter means, if it is one of its own.
fn owned(
    call: &'static str,
    machine: &Arc<Inner>,
    filter: &Arc<Filter>,
    pointer: PFLT_PORT,
) -> Option<Arc<ClientPort>> {
    let (_, port) = client_port(call, "ClientPort", pointer)?;
    if port.server.filter.id != filter.id {
        let text = "the client port is another filter's";
        machine.verifier.violation(Rule::V0, call, text);
        return None;
    }
    Some(port)
}
