//! Processes and threads by handle.

use super::attributes::Attributes;
use super::ob::behind;
use super::thread::{ClientId, STATUS_INVALID_CID, by_id};
use super::{enter, exports, write};
use crate::kernel::handle::KernelObject;
use crate::kernel::scope;
use crate::kernel::thread::{self, SYSTEM};
use crate::machine::Inner;
use fltmgr_sys::*;
use std::sync::Arc;

/// `ProcessBasicInformation` and the other classes that are answered.
const BASIC: i32 = 0;
const SESSION: i32 = 24;
const WOW64: i32 = 26;
const IMAGE_FILE_NAME: i32 = 27;
/// `PROCESS_BASIC_INFORMATION`, as words: exit status, environment, processors, priority, number,
/// and the number of who created it.
const BASIC_WORDS: [u64; 6] = [0x103, 0, 1, 8, SYSTEM as u64, 0];

/// # Safety
/// The pointers are null or those of such structures.
unsafe fn open(
    call: &'static str,
    handle: *mut HANDLE,
    access: ACCESS_MASK,
    attributes: *const OBJECT_ATTRIBUTES,
    client: *const ClientId,
    find: impl FnOnce(&Inner, &ClientId) -> Option<Arc<dyn KernelObject>>,
) -> NTSTATUS {
    let Some(machine) = scope::machine() else {
        return STATUS_INVALID_PARAMETER;
    };
    enter(&machine, call);
    // SAFETY: by this function's contract.
    let attributes = match unsafe { Attributes::read(attributes) } {
        Ok(attributes) => attributes,
        Err(status) => return status,
    };
    // SAFETY: by this function's contract.
    let Some(client) = (unsafe { client.as_ref() }) else {
        return STATUS_INVALID_PARAMETER;
    };
    let Some(object) = find(&machine, client) else {
        return STATUS_INVALID_CID;
    };
    let opened = machine
        .handles
        .open(&machine, object, attributes.grant(access), call);
    // SAFETY: by this function's contract.
    unsafe { write(handle, opened) };
    STATUS_SUCCESS
}

exports! {
    /// Opens a process by its number.
    unsafe fn ZwOpenProcess(
        handle: *mut HANDLE,
        access: ACCESS_MASK,
        attributes: *const OBJECT_ATTRIBUTES,
        client: *const ClientId,
    ) -> NTSTATUS {
        // SAFETY: the caller passes these structures.
        unsafe {
            open("ZwOpenProcess", handle, access, attributes, client, |_, client| {
                let known = client.process as usize == SYSTEM && client.thread.is_null();
                known.then(|| Arc::clone(thread::system()) as _)
            })
        }
    }

    /// Opens a thread by its number.
    unsafe fn ZwOpenThread(
        handle: *mut HANDLE,
        access: ACCESS_MASK,
        attributes: *const OBJECT_ATTRIBUTES,
        client: *const ClientId,
    ) -> NTSTATUS {
        // SAFETY: the caller passes these structures.
        unsafe {
            open("ZwOpenThread", handle, access, attributes, client, |machine, client| {
                Some(by_id(machine, client.thread)? as _)
            })
        }
    }

    /// Tells about a process.
    unsafe fn ZwQueryInformationProcess(
        process: HANDLE,
        class: i32,
        buffer: PVOID,
        length: ULONG,
        needed: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "ZwQueryInformationProcess";
        let Some(machine) = scope::machine() else {
            return STATUS_INVALID_HANDLE;
        };
        enter(&machine, CALL);
        let bytes: Vec<u8> = match class {
            BASIC => BASIC_WORDS.iter().flat_map(|word| word.to_le_bytes()).collect(),
            SESSION => vec![0; size_of::<ULONG>()],
            WOW64 => vec![0; size_of::<u64>()],
            // The System process has no image, and its name is empty.
            IMAGE_FILE_NAME => vec![0; size_of::<UNICODE_STRING>()],
            _ => return STATUS_INVALID_INFO_CLASS,
        };
        match behind(&machine, process) {
            None => return STATUS_INVALID_HANDLE,
            Some((object, _)) if object.object_type() != "PsProcessType" => {
                return STATUS_OBJECT_TYPE_MISMATCH;
            }
            Some(_) => {}
        }
        // SAFETY: the caller passes a place, or null.
        unsafe { write(needed, ULONG::try_from(bytes.len()).unwrap_or(0)) };
        let variable = class == IMAGE_FILE_NAME && length as usize > bytes.len();
        if buffer.is_null() || (length as usize != bytes.len() && !variable) {
            return STATUS_INFO_LENGTH_MISMATCH;
        }
        // SAFETY: the buffer is at least so long, as was checked.
        unsafe { buffer.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        STATUS_SUCCESS
    }
}
