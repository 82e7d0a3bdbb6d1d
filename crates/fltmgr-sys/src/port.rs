//! Communication ports between a minifilter and user mode.
//!
//! Reference: the `fltkernel.h` pages of the Windows driver DDI documentation.

use crate::abi::{fltapi_callbacks, fltapi_functions};
use crate::*;

/// Access to a port: connecting to it.
pub const FLT_PORT_CONNECT: ACCESS_MASK = 1;
/// Access to a port: everything.
pub const FLT_PORT_ALL_ACCESS: ACCESS_MASK = 0x1F_0001;

/// What every message to user mode begins with there.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FILTER_MESSAGE_HEADER {
    /// How long the reply may be, its own header included; 0 if none is expected.
    pub ReplyLength: ULONG,
    pub MessageId: ULONGLONG,
}

/// What every reply from user mode begins with there.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FILTER_REPLY_HEADER {
    pub Status: NTSTATUS,
    pub MessageId: ULONGLONG,
}

fltapi_callbacks! {
    /// A client connects. `IRQL == PASSIVE_LEVEL`.
    pub type PFLT_CONNECT_NOTIFY = fn(ClientPort: PFLT_PORT, ServerPortCookie: PVOID, ConnectionContext: PVOID, SizeOfContext: ULONG, ConnectionPortCookie: *mut PVOID) -> NTSTATUS;
    /// A client has gone. `IRQL == PASSIVE_LEVEL`.
    pub type PFLT_DISCONNECT_NOTIFY = fn(ConnectionCookie: PVOID);
    /// A client sends a message. `IRQL == PASSIVE_LEVEL`.
    pub type PFLT_MESSAGE_NOTIFY = fn(PortCookie: PVOID, InputBuffer: PVOID, InputBufferLength: ULONG, OutputBuffer: PVOID, OutputBufferLength: ULONG, ReturnOutputBufferLength: *mut ULONG) -> NTSTATUS;
}

fltapi_functions! {
    /// Creates a server port.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltCreateCommunicationPort(Filter: PFLT_FILTER, ServerPort: *mut PFLT_PORT, ObjectAttributes: POBJECT_ATTRIBUTES, ServerPortCookie: PVOID, ConnectNotifyCallback: PFLT_CONNECT_NOTIFY, DisconnectNotifyCallback: PFLT_DISCONNECT_NOTIFY, MessageNotifyCallback: PFLT_MESSAGE_NOTIFY, MaxConnections: LONG) -> NTSTATUS;

    /// Closes a server port.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltCloseCommunicationPort(ServerPort: PFLT_PORT);

    /// Closes the port of one client.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltCloseClientPort(Filter: PFLT_FILTER, ClientPort: *mut PFLT_PORT);

    /// Sends a message to a client and may wait for a reply.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltSendMessage(Filter: PFLT_FILTER, ClientPort: *mut PFLT_PORT, SenderBuffer: PVOID, SenderBufferLength: ULONG, ReplyBuffer: PVOID, ReplyLength: *mut ULONG, Timeout: *mut LARGE_INTEGER) -> NTSTATUS;

    /// Builds a security descriptor that admits administrators.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltBuildDefaultSecurityDescriptor(SecurityDescriptor: *mut PVOID, DesiredAccess: ACCESS_MASK) -> NTSTATUS;

    /// Frees a security descriptor of `FltBuildDefaultSecurityDescriptor`.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltFreeSecurityDescriptor(SecurityDescriptor: PVOID);
}
