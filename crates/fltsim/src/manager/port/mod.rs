//! Communication ports: how a filter and user mode talk.
//!
//! A server port has a name and waits for connections. Each connection is a client port, with one
//! side in user mode and one that the filter owns; either may end it. Messages from user mode are
//! calls of the filter's callback; messages to user mode wait in the client port until they are
//! fetched, and their senders with them.

mod client;
mod message;
mod server;

pub(crate) use client::{ClientPort, disconnect_all};
pub(crate) use message::UserBuffers;
pub(crate) use server::{Request, ServerPort, create, is_any_open, report_open};
