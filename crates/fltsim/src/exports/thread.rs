//! Threads and processes: starting and ending them, looking them up, asking about them.

use super::attributes::Attributes;
use super::{bad_pointer, exports, here, here_at_most, write};
use crate::image;
use crate::kernel::handle::{KernelObject, downcast};
use crate::kernel::thread::{self, SYSTEM, Start, Thread};
use crate::kernel::{irql, scope};
use crate::machine::Inner;
use crate::manager::{Object, find};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// `STATUS_INVALID_CID`.
pub(super) const STATUS_INVALID_CID: NTSTATUS = 0xC000_000B_u32.cast_signed();
/// `KERNEL_LARGE_STACK_SIZE` less half a page.
const LARGEST_STACK: u64 = 0x12000 - 0x800;
/// `HIGH_PRIORITY`.
const HIGHEST_PRIORITY: i32 = 31;
/// When the one process was created: a time since 1601 that is long ago.
const CREATED: i64 = 132_000_000_000_000_000;
const IMAGE_NAME: &[u8; 7] = b"System\0";
/// The tag of what `SeLocateProcessImageName` allocates.
const NAME_TAG: ULONG = u32::from_le_bytes(*b"SeOn");

/// `CLIENT_ID`.
#[repr(C)]
pub(crate) struct ClientId {
    pub(super) process: HANDLE,
    pub(super) thread: HANDLE,
}

const _: () = assert!(size_of::<ClientId>() == 16);

/// What `KeExpandKernelStackAndCallout` calls.
type Callout = Option<unsafe extern "win64" fn(PVOID)>;

/// The thread that a driver names.
pub(super) fn thread_at(call: &'static str, thread: PVOID) -> Option<Arc<Thread>> {
    here(call);
    let found = find(thread as usize)
        .and_then(Object::kernel)
        .and_then(downcast);
    if found.is_none() {
        bad_pointer(call, "Thread", thread as usize, "thread");
    }
    found
}

/// Whether a driver names the process; it is told if it does not.
fn is_process(call: &'static str, process: PVOID) -> bool {
    here(call);
    let known = process as usize == thread::system().address();
    if !known {
        bad_pointer(call, "Process", process as usize, "process");
    }
    known
}

/// The thread with a number.
pub(super) fn by_id(machine: &Inner, id: HANDLE) -> Option<Arc<Thread>> {
    let threads = machine.threads.lock();
    let found = threads
        .iter()
        .find(|thread| thread.id() == id as usize)
        .cloned();
    found.or_else(|| image::current().filter(|thread| thread.id() == id as usize))
}

/// # Safety
/// The places may be written to, or are null.
unsafe fn hand_out(
    call: &'static str,
    object: Option<Arc<dyn KernelObject>>,
    place: *mut PVOID,
) -> NTSTATUS {
    let found = object.filter(|object| object.reference(call));
    let address = found.as_ref().map_or(0, |object| object.address());
    // SAFETY: by this function's contract.
    unsafe { write(place, address as PVOID) };
    if found.is_some() {
        STATUS_SUCCESS
    } else {
        STATUS_INVALID_CID
    }
}

exports! {
    /// Starts a thread of the system.
    unsafe fn PsCreateSystemThread(
        handle: *mut HANDLE,
        access: ACCESS_MASK,
        attributes: *const OBJECT_ATTRIBUTES,
        process: HANDLE,
        client: *mut ClientId,
        start: Option<Start>,
        context: PVOID,
    ) -> NTSTATUS {
        const CALL: &str = "PsCreateSystemThread";
        let (Some(machine), Some(start)) = (here(CALL), start) else {
            return STATUS_INVALID_PARAMETER;
        };
        if !process.is_null() {
            let known = super::ob::behind(&machine, process);
            let Some((object, _)) = known else {
                return STATUS_INVALID_HANDLE;
            };
            if object.object_type() != "PsProcessType" {
                return STATUS_OBJECT_TYPE_MISMATCH;
            }
        }
        // SAFETY: the caller passes attributes or null.
        let attributes = match unsafe { Attributes::read(attributes) } {
            Ok(attributes) => attributes,
            Err(status) => return status,
        };
        let Some(thread) = thread::create(&machine, start, context) else {
            return STATUS_INSUFFICIENT_RESOURCES;
        };
        let identity = ClientId {
            process: SYSTEM as HANDLE,
            thread: thread.id() as HANDLE,
        };
        let opened = machine.handles.open(&machine, thread, attributes.grant(access), CALL);
        // SAFETY: the caller passes a place.
        unsafe { write(handle, opened) };
        // SAFETY: the caller passes a place or null.
        unsafe { write(client, identity) };
        STATUS_SUCCESS
    }

    /// Ends the running thread, if it is one of `PsCreateSystemThread`.
    unsafe fn PsTerminateSystemThread(status: NTSTATUS) -> NTSTATUS {
        const CALL: &str = "PsTerminateSystemThread";
        drop(here(CALL));
        // SAFETY: nothing is left to drop in this function, and nothing in the driver's frames.
        unsafe { thread::exit(status) };
        if let Some(machine) = scope::machine() {
            let text = "this is not the routine of a thread of PsCreateSystemThread";
            machine.verifier.violation(Rule::V0, CALL, text);
        }
        STATUS_INVALID_PARAMETER
    }

    /// Finds a thread by its number.
    unsafe fn PsLookupThreadByThreadId(id: HANDLE, place: *mut PVOID) -> NTSTATUS {
        const CALL: &str = "PsLookupThreadByThreadId";
        let found = here(CALL).and_then(|machine| by_id(&machine, id));
        // SAFETY: the caller passes a place.
        unsafe { hand_out(CALL, found.map(|found| found as _), place) }
    }

    /// Finds a process by its number.
    unsafe fn PsLookupProcessByProcessId(id: HANDLE, place: *mut PVOID) -> NTSTATUS {
        const CALL: &str = "PsLookupProcessByProcessId";
        here(CALL);
        let known = id as usize == SYSTEM;
        let found = known.then(|| Arc::clone(thread::system()) as _);
        // SAFETY: the caller passes a place.
        unsafe { hand_out(CALL, found, place) }
    }

    /// The number of a thread.
    unsafe fn PsGetThreadId(thread: PVOID) -> HANDLE {
        thread_at("PsGetThreadId", thread).map_or(0, |thread| thread.id()) as HANDLE
    }

    /// The number of the process of a thread.
    unsafe fn PsGetThreadProcessId(thread: PVOID) -> HANDLE {
        thread_at("PsGetThreadProcessId", thread).map_or(0, |_| SYSTEM) as HANDLE
    }

    /// The process of a thread.
    unsafe fn PsGetThreadProcess(thread: PVOID) -> PVOID {
        let known = thread_at("PsGetThreadProcess", thread);
        known.map_or(0, |_| thread::system().address()) as PVOID
    }

    /// The process of a thread.
    unsafe fn IoThreadToProcess(thread: PVOID) -> PVOID {
        let known = thread_at("IoThreadToProcess", thread);
        known.map_or(0, |_| thread::system().address()) as PVOID
    }

    /// The process of the running thread.
    unsafe fn PsGetCurrentThreadProcess() -> PVOID {
        here("PsGetCurrentThreadProcess");
        thread::system().address() as PVOID
    }

    /// The number of the process of the running thread.
    unsafe fn PsGetCurrentThreadProcessId() -> HANDLE {
        here("PsGetCurrentThreadProcessId");
        SYSTEM as HANDLE
    }

    /// Whether a thread is one of the system's.
    unsafe fn IoIsSystemThread(thread: PVOID) -> BOOLEAN {
        BOOLEAN::from(thread_at("IoIsSystemThread", thread).is_some())
    }

    /// Whether a thread is ending.
    unsafe fn PsIsThreadTerminating(thread: PVOID) -> BOOLEAN {
        let found = thread_at("PsIsThreadTerminating", thread);
        BOOLEAN::from(found.is_some_and(|thread| thread.has_ended()))
    }

    /// Sets the priority of a thread, which nothing here depends on, and gives the old one.
    unsafe fn KeSetPriorityThread(thread: PVOID, priority: LONG) -> LONG {
        const CALL: &str = "KeSetPriorityThread";
        let Some(thread) = thread_at(CALL, thread) else {
            return 0;
        };
        if !(1..=HIGHEST_PRIORITY).contains(&priority) {
            if let Some(machine) = scope::machine() {
                let text = format!("{priority} is not a priority of threads");
                machine.verifier.violation(Rule::V0, CALL, text);
            }
            return thread.priority.load(Ordering::Relaxed);
        }
        thread.priority.swap(priority, Ordering::Relaxed)
    }

    /// The priority of a thread.
    unsafe fn KeQueryPriorityThread(thread: PVOID) -> LONG {
        let found = thread_at("KeQueryPriorityThread", thread);
        found.map_or(0, |thread| thread.priority.load(Ordering::Relaxed))
    }

    /// Binds the running thread to processors, of which there is one.
    unsafe fn KeSetSystemAffinityThread(_processors: u64) {
        here("KeSetSystemAffinityThread");
    }

    /// As `KeSetSystemAffinityThread`, and gives what was set before: nothing.
    unsafe fn KeSetSystemAffinityThreadEx(_processors: u64) -> u64 {
        here("KeSetSystemAffinityThreadEx");
        0
    }

    /// Unbinds the running thread.
    unsafe fn KeRevertToUserAffinityThread() {
        here("KeRevertToUserAffinityThread");
    }

    /// Binds the running thread as it was before.
    unsafe fn KeRevertToUserAffinityThreadEx(_processors: u64) {
        here("KeRevertToUserAffinityThreadEx");
    }

    /// The name of the image of a process, at most 15 characters of it.
    unsafe fn PsGetProcessImageFileName(process: PVOID) -> *const u8 {
        if is_process("PsGetProcessImageFileName", process) {
            IMAGE_NAME.as_ptr()
        } else {
            std::ptr::null()
        }
    }

    /// The path of the image of a process, in memory that the caller frees. The System process has
    /// no image.
    unsafe fn SeLocateProcessImageName(
        process: PVOID,
        place: *mut *mut UNICODE_STRING,
    ) -> NTSTATUS {
        const CALL: &str = "SeLocateProcessImageName";
        // SAFETY: the caller passes a place.
        unsafe { write(place, null_mut()) };
        let Some(machine) = scope::machine().filter(|_| is_process(CALL, process)) else {
            return STATUS_INVALID_PARAMETER;
        };
        let size = size_of::<UNICODE_STRING>() as SIZE_T;
        let memory = machine.pool.allocate(&machine, CALL, NonPagedPoolNx, size, NAME_TAG, true);
        if memory == 0 {
            return STATUS_NO_MEMORY;
        }
        // SAFETY: as above.
        unsafe { write(place, memory as *mut UNICODE_STRING) };
        STATUS_SUCCESS
    }

    /// When a process was created.
    unsafe fn PsGetProcessCreateTimeQuadPart(process: PVOID) -> i64 {
        if is_process("PsGetProcessCreateTimeQuadPart", process) { CREATED } else { 0 }
    }

    /// What a process ended with: it has not.
    unsafe fn PsGetProcessExitStatus(process: PVOID) -> NTSTATUS {
        is_process("PsGetProcessExitStatus", process);
        STATUS_PENDING
    }

    /// The session of a process.
    unsafe fn PsGetProcessSessionId(process: PVOID) -> ULONG {
        is_process("PsGetProcessSessionId", process);
        0
    }

    /// The session of a process; the System process is in none.
    unsafe fn PsGetProcessSessionIdEx(process: PVOID) -> ULONG {
        is_process("PsGetProcessSessionIdEx", process);
        ULONG::MAX
    }

    /// The session of the running process.
    unsafe fn PsGetCurrentProcessSessionId() -> ULONG {
        here("PsGetCurrentProcessSessionId");
        0
    }

    /// Who created a process: for the System process, nobody.
    unsafe fn PsGetProcessInheritedFromUniqueProcessId(process: PVOID) -> HANDLE {
        is_process("PsGetProcessInheritedFromUniqueProcessId", process);
        null_mut()
    }

    /// Whether a process is protected, as the System process is.
    unsafe fn PsIsProtectedProcess(process: PVOID) -> BOOLEAN {
        BOOLEAN::from(is_process("PsIsProtectedProcess", process))
    }

    /// Whether a process is the System process.
    unsafe fn PsIsSystemProcess(process: PVOID) -> BOOLEAN {
        BOOLEAN::from(is_process("PsIsSystemProcess", process))
    }

    /// The 32-bit environment of a process: there is none.
    unsafe fn PsGetProcessWow64Process(process: PVOID) -> PVOID {
        is_process("PsGetProcessWow64Process", process);
        null_mut()
    }

    /// Attaches the running thread to a process. It is told if it does not detach again.
    unsafe fn KeStackAttachProcess(process: PVOID, state: PVOID) {
        const CALL: &str = "KeStackAttachProcess";
        if is_process(CALL, process)
            && let Some(machine) = scope::machine()
        {
            machine.held.add("attachment to a process", state as usize, CALL);
        }
    }

    /// Detaches the running thread.
    unsafe fn KeUnstackDetachProcess(state: PVOID) {
        const CALL: &str = "KeUnstackDetachProcess";
        let Some(machine) = here(CALL) else {
            return;
        };
        if !machine.held.remove(state as usize) {
            bad_pointer(CALL, "ApcState", state as usize, "state of KeStackAttachProcess");
        }
    }

    /// The bounds of the running thread's stack.
    unsafe fn IoGetStackLimits(low: *mut u64, high: *mut u64) {
        here("IoGetStackLimits");
        let (bottom, top) = image::current_stack();
        // SAFETY: the caller passes a place.
        unsafe { write(low, bottom as u64) };
        // SAFETY: the caller passes a place.
        unsafe { write(high, top as u64) };
    }

    /// How much of the running thread's stack is left.
    unsafe fn IoGetRemainingStackSize() -> u64 {
        here("IoGetRemainingStackSize");
        let (bottom, _) = image::current_stack();
        let place = 0_u8;
        (&raw const place as u64).saturating_sub(bottom as u64)
    }

    /// Where the running thread's stack begins.
    unsafe fn IoGetInitialStack() -> PVOID {
        here("IoGetInitialStack");
        image::current_stack().1 as PVOID
    }

    /// Calls a routine with a stack that is large enough, as every one here is.
    unsafe fn KeExpandKernelStackAndCallout(
        routine: Callout,
        parameter: PVOID,
        size: SIZE_T,
    ) -> NTSTATUS {
        // SAFETY: by the caller's promise.
        unsafe { expand("KeExpandKernelStackAndCallout", routine, parameter, size, false) }
    }

    /// As `KeExpandKernelStackAndCallout`; it never waits, and must not where nothing can.
    unsafe fn KeExpandKernelStackAndCalloutEx(
        routine: Callout,
        parameter: PVOID,
        size: SIZE_T,
        wait: BOOLEAN,
        _context: PVOID,
    ) -> NTSTATUS {
        const CALL: &str = "KeExpandKernelStackAndCalloutEx";
        // SAFETY: by the caller's promise.
        unsafe { expand(CALL, routine, parameter, size, wait != 0) }
    }
}

/// # Safety
/// The routine is the driver's, and takes the parameter.
unsafe fn expand(
    call: &'static str,
    routine: Callout,
    parameter: PVOID,
    size: SIZE_T,
    wait: bool,
) -> NTSTATUS {
    drop(here_at_most(call, wait.then_some(APC_LEVEL)));
    if size > LARGEST_STACK {
        return STATUS_INVALID_PARAMETER_3;
    }
    if wait && irql::current() >= DISPATCH_LEVEL {
        return STATUS_INVALID_PARAMETER_4;
    }
    let Some(routine) = routine else {
        return STATUS_INVALID_PARAMETER_1;
    };
    // SAFETY: by this function's contract.
    unsafe { routine(parameter) };
    STATUS_SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::testing::broken_at;

    #[test]
    fn at_dispatch_level_a_larger_stack_is_not_waited_for() {
        unsafe extern "win64" fn routine(count: PVOID) {
            // SAFETY: this test's counter.
            unsafe { *count.cast::<u32>() += 1 };
        }
        let mut count = 0_u32;
        let at = (&raw mut count).cast();
        let expand_at = |level, wait| {
            let mut status = STATUS_SUCCESS;
            let broken = broken_at(level, || {
                // SAFETY: the routine takes the counter.
                status = unsafe {
                    KeExpandKernelStackAndCalloutEx(Some(routine), at, 0x1000, wait, null_mut())
                };
            });
            (status, broken)
        };
        assert_eq!(expand_at(DISPATCH_LEVEL, 0), (STATUS_SUCCESS, vec![]));
        assert_eq!(expand_at(APC_LEVEL, 1), (STATUS_SUCCESS, vec![]));
        let expected = vec![(Rule::V6, "KeExpandKernelStackAndCalloutEx")];
        assert_eq!(
            expand_at(DISPATCH_LEVEL, 1),
            (STATUS_INVALID_PARAMETER_4, expected)
        );
        assert_eq!(count, 2);
    }
}
