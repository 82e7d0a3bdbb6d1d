//! Events by handle and by name.

use super::attributes::Attributes;
use super::ob::behind;
use super::wait::{timeout, wait};
use super::{enter, exports, here, write};
use crate::kernel::dispatcher::{MOST_OBJECTS, change};
use crate::kernel::event::{Event, EventBody};
use crate::kernel::handle::{Grant, downcast};
use crate::kernel::{scope, string};
use crate::machine::Inner;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;

/// `STATUS_OBJECT_NAME_EXISTS`.
const STATUS_OBJECT_NAME_EXISTS: NTSTATUS = 0x4000_0000;
const NOTIFICATION: EVENT_TYPE = 0;
const SYNCHRONIZATION: EVENT_TYPE = 1;
const ALL_ACCESS: ACCESS_MASK = 0x001F_0003;
/// Opens the event of a name.
fn open(
    machine: &Inner,
    path: &str,
    grant: Grant,
    call: &'static str,
) -> Result<(HANDLE, Arc<Event>), NTSTATUS> {
    let object = machine.names.find(path)?;
    let event: Arc<Event> = downcast(object).ok_or(STATUS_OBJECT_TYPE_MISMATCH)?;
    let handle = machine
        .handles
        .open(machine, Arc::clone(&event) as _, grant, call);
    Ok((handle, event))
}

/// Creates an event that can be opened by name, or opens it.
fn named(
    call: &'static str,
    name: PCUNICODE_STRING,
    kind: EVENT_TYPE,
) -> Option<(HANDLE, *mut KEVENT)> {
    let machine = here(call)?;
    // SAFETY: the caller passes a string.
    let name = unsafe { string::read(name) }?;
    let grant = || Grant {
        access: ALL_ACCESS,
        kernel: true,
        filter: None,
    };
    if let Ok((handle, event)) = open(&machine, &name, grant(), call) {
        return Some((handle, event.body.pointer()));
    }
    let event = Event::create(&machine, Some(name), EventBody::new(kind, true)).ok()?;
    let pointer = event.body.pointer();
    Some((
        machine.handles.open(&machine, event, grant(), call),
        pointer,
    ))
}

/// Changes the state of an event.
///
/// # Safety
/// `previous` may be written to, or is null.
unsafe fn set(call: &'static str, event: HANDLE, to: LONG, previous: *mut LONG) -> NTSTATUS {
    let Some(machine) = here(call) else {
        return STATUS_INVALID_HANDLE;
    };
    let Some(event) = machine.handles.find_as::<Event>(event) else {
        let other = behind(&machine, event).is_some();
        return if other {
            STATUS_OBJECT_TYPE_MISMATCH
        } else {
            STATUS_INVALID_HANDLE
        };
    };
    // SAFETY: an event that is kept here.
    let before = unsafe { change(event.body.pointer().cast(), |_| to) };
    // SAFETY: by this function's contract.
    unsafe { write(previous, before) };
    STATUS_SUCCESS
}

exports! {
    /// Creates an event.
    unsafe fn ZwCreateEvent(
        handle: *mut HANDLE,
        access: ACCESS_MASK,
        attributes: *const OBJECT_ATTRIBUTES,
        kind: EVENT_TYPE,
        signalled: BOOLEAN,
    ) -> NTSTATUS {
        const CALL: &str = "ZwCreateEvent";
        let Some(machine) = here(CALL) else {
            return STATUS_INVALID_PARAMETER;
        };
        if kind != NOTIFICATION && kind != SYNCHRONIZATION {
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: the caller passes attributes or null.
        let attributes = match unsafe { Attributes::read(attributes) } {
            Ok(attributes) => attributes,
            Err(status) => return status,
        };
        if let Some(path) = attributes.path.as_deref().filter(|_| attributes.open_if) {
            match open(&machine, path, attributes.grant(access), CALL) {
                Ok((opened, _)) => {
                    // SAFETY: the caller passes a place.
                    unsafe { write(handle, opened) };
                    return STATUS_OBJECT_NAME_EXISTS;
                }
                Err(STATUS_OBJECT_NAME_NOT_FOUND) => {}
                Err(status) => return status,
            }
        }
        let body = EventBody::new(kind, signalled != 0);
        let grant = attributes.grant(access);
        match Event::open(&machine, attributes.path, body, grant, CALL) {
            Ok(opened) => {
                // SAFETY: as above.
                unsafe { write(handle, opened) };
                STATUS_SUCCESS
            }
            Err(status) => status,
        }
    }

    /// Opens an event by name.
    unsafe fn ZwOpenEvent(
        handle: *mut HANDLE,
        access: ACCESS_MASK,
        attributes: *const OBJECT_ATTRIBUTES,
    ) -> NTSTATUS {
        const CALL: &str = "ZwOpenEvent";
        let Some(machine) = here(CALL) else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes attributes.
        let found = unsafe { Attributes::read(attributes) }.and_then(|attributes| {
            let path = attributes.path.as_deref().ok_or(STATUS_OBJECT_NAME_INVALID)?;
            open(&machine, path, attributes.grant(access), CALL)
        });
        match found {
            Ok((opened, _)) => {
                // SAFETY: the caller passes a place.
                unsafe { write(handle, opened) };
                STATUS_SUCCESS
            }
            Err(status) => status,
        }
    }

    /// Signals an event.
    unsafe fn ZwSetEvent(event: HANDLE, previous: *mut LONG) -> NTSTATUS {
        // SAFETY: the caller passes a place, or null.
        unsafe { set("ZwSetEvent", event, 1, previous) }
    }

    /// Takes the signal away, and gives the state before.
    unsafe fn ZwResetEvent(event: HANDLE, previous: *mut LONG) -> NTSTATUS {
        // SAFETY: the caller passes a place, or null.
        unsafe { set("ZwResetEvent", event, 0, previous) }
    }

    /// Takes the signal away.
    unsafe fn ZwClearEvent(event: HANDLE) -> NTSTATUS {
        // SAFETY: nothing is written.
        unsafe { set("ZwClearEvent", event, 0, null_mut()) }
    }

    /// Waits for the object of a handle.
    unsafe fn ZwWaitForSingleObject(
        handle: HANDLE,
        _alertable: BOOLEAN,
        limit: *const i64,
    ) -> NTSTATUS {
        const CALL: &str = "ZwWaitForSingleObject";
        let Some(machine) = scope::machine() else {
            return STATUS_INVALID_HANDLE;
        };
        let Some((object, _)) = behind(&machine, handle) else {
            enter(&machine, CALL);
            return STATUS_INVALID_HANDLE;
        };
        if !object.is_waitable() {
            enter(&machine, CALL);
            return STATUS_OBJECT_TYPE_MISMATCH;
        }
        // SAFETY: the caller passes a time or null.
        let limit = unsafe { timeout(limit) };
        // SAFETY: an object with a header, which is kept here.
        unsafe { wait(CALL, &[object.address() as *mut _], true, limit) }
    }

    /// Waits for the objects of one or all of several handles.
    unsafe fn ZwWaitForMultipleObjects(
        count: ULONG,
        handles: *const HANDLE,
        kind: i32,
        _alertable: BOOLEAN,
        limit: *const i64,
    ) -> NTSTATUS {
        const CALL: &str = "ZwWaitForMultipleObjects";
        let Some(machine) = scope::machine() else {
            return STATUS_INVALID_HANDLE;
        };
        if count == 0 || count > MOST_OBJECTS {
            enter(&machine, CALL);
            return STATUS_INVALID_PARAMETER;
        }
        let mut objects = Vec::new();
        for index in 0..count as usize {
            // SAFETY: the caller passes so many handles.
            let handle = unsafe { handles.wrapping_add(index).read() };
            match behind(&machine, handle) {
                Some((object, _)) if object.is_waitable() => objects.push(object),
                Some(_) => return STATUS_OBJECT_TYPE_MISMATCH,
                None => return STATUS_INVALID_HANDLE,
            }
        }
        let headers: Vec<_> = objects.iter().map(|object| object.address() as *mut _).collect();
        // SAFETY: the caller passes a time or null.
        let limit = unsafe { timeout(limit) };
        // SAFETY: objects with headers, which are kept here; WaitAll is 0.
        unsafe { wait(CALL, &headers, kind == 0, limit) }
    }

    /// Creates a notification event with a name, or opens it.
    unsafe fn IoCreateNotificationEvent(
        name: PCUNICODE_STRING,
        handle: *mut HANDLE,
    ) -> *mut KEVENT {
        let Some((opened, event)) = named("IoCreateNotificationEvent", name, NOTIFICATION) else {
            return null_mut();
        };
        // SAFETY: the caller passes a place.
        unsafe { write(handle, opened) };
        event
    }

    /// Creates a synchronisation event with a name, or opens it.
    unsafe fn IoCreateSynchronizationEvent(
        name: PCUNICODE_STRING,
        handle: *mut HANDLE,
    ) -> *mut KEVENT {
        const CALL: &str = "IoCreateSynchronizationEvent";
        let Some((opened, event)) = named(CALL, name, SYNCHRONIZATION) else {
            return null_mut();
        };
        // SAFETY: the caller passes a place.
        unsafe { write(handle, opened) };
        event
    }
}
