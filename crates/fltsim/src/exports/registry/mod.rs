//! The registry: keys and values by handle and by path.

mod by_handle;
mod by_path;
mod callback;
mod information;
mod query;
mod read;

use super::{bad_pointer, enter};
use crate::kernel::registry::Key;
use crate::kernel::scope;
use crate::machine::Inner;
use fltmgr_sys::*;
use std::sync::Arc;

/// The address of one of these functions by its name.
pub(super) fn resolve(name: &str) -> Option<usize> {
    by_handle::resolve(name)
        .or_else(|| by_path::resolve(name))
        .or_else(|| callback::resolve(name))
}

/// The machine that a call is made on, with the call counted.
fn machine(call: &'static str) -> Option<Arc<Inner>> {
    let machine = scope::machine();
    match &machine {
        Some(machine) => enter(machine, call),
        None => eprintln!("fltsim: {call} outside of a machine"),
    }
    machine
}

/// The key of a handle.
///
/// What the handle was opened for does not matter: the kernel does not check that for its own.
fn key(machine: &Inner, call: &'static str, handle: HANDLE) -> Result<Arc<Key>, NTSTATUS> {
    if let Some(key) = machine.handles.find_as::<Key>(handle) {
        return Ok(key);
    }
    let found = machine.handles.find(handle);
    let (what, status) = match &found {
        Some((object, _)) => (object.handle_name(), STATUS_OBJECT_TYPE_MISMATCH),
        None => ("handle that is not open", STATUS_INVALID_HANDLE),
    };
    let wanted = format!("registry key handle; it is a {what}");
    bad_pointer(call, "KeyHandle", handle as usize, &wanted);
    Err(status)
}

fn status(result: Result<(), NTSTATUS>) -> NTSTATUS {
    result.err().unwrap_or(STATUS_SUCCESS)
}

/// Reads bytes of a driver; none from a null pointer.
///
/// # Safety
/// `data` is null, or has that many readable bytes.
unsafe fn bytes(data: PVOID, length: usize) -> Vec<u8> {
    let mut copy = vec![0; if data.is_null() { 0 } else { length }];
    // SAFETY: the source is as long as the copy by this function's contract, which is new.
    unsafe { std::ptr::copy_nonoverlapping(data.cast::<u8>(), copy.as_mut_ptr(), copy.len()) };
    copy
}

/// Writes bytes to a driver.
///
/// # Safety
/// `target` has room for them.
unsafe fn store(target: PVOID, bytes: &[u8]) {
    if !bytes.is_empty() {
        // SAFETY: by this function's contract; a driver's buffer is not one of ours.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target.cast::<u8>(), bytes.len()) };
    }
}

/// A length as the structures have it.
fn long(length: usize) -> ULONG {
    ULONG::try_from(length).unwrap_or(ULONG::MAX)
}
