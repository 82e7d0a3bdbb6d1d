//! Who is running, and finding routines by name at run time.
//!
//! There is one process, System, and every thread belongs to it.

use super::{exports, here};
use crate::image;
use crate::kernel::string;
use fltmgr_sys::*;

/// The identifier of the System process.
const SYSTEM: usize = 4;

thread_local! {
    static TOP_LEVEL: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A routine of the Filter Manager, or one of the kernel.
fn routine(name: &str, of_manager: bool) -> PVOID {
    let known = name.starts_with("Flt") == of_manager;
    let found = known.then(|| super::resolve(name)).flatten();
    found.map_or(std::ptr::null_mut(), |address| address as PVOID)
}

exports! {
    /// Finds a routine of the Filter Manager by name; null if there is none.
    unsafe fn FltGetRoutineAddress(name: *const CHAR) -> PVOID {
        here("FltGetRoutineAddress");
        if name.is_null() {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller passes a terminated string.
        let name = unsafe { std::ffi::CStr::from_ptr(name) };
        name.to_str().map_or(std::ptr::null_mut(), |name| routine(name, true))
    }

    /// Finds a routine of the kernel by name; null if there is none.
    unsafe fn MmGetSystemRoutineAddress(name: PCUNICODE_STRING) -> PVOID {
        here("MmGetSystemRoutineAddress");
        // SAFETY: the caller passes a string.
        let name = unsafe { string::read(name) }.unwrap_or_default();
        routine(&name, false)
    }

    /// The running process.
    unsafe fn PsGetCurrentProcess() -> PVOID {
        image::current_process() as PVOID
    }

    /// The running process, by its older name.
    unsafe fn IoGetCurrentProcess() -> PVOID {
        image::current_process() as PVOID
    }

    /// The running thread.
    unsafe fn KeGetCurrentThread() -> PVOID {
        image::current_thread() as PVOID
    }

    /// The running thread.
    unsafe fn PsGetCurrentThread() -> PVOID {
        image::current_thread() as PVOID
    }

    /// The identifier of the running process.
    unsafe fn PsGetCurrentProcessId() -> HANDLE {
        SYSTEM as HANDLE
    }

    /// The identifier of the running thread.
    unsafe fn PsGetCurrentThreadId() -> HANDLE {
        image::current_thread_id() as HANDLE
    }

    /// The identifier of a process, of which there is one.
    unsafe fn PsGetProcessId(_process: PVOID) -> HANDLE {
        SYSTEM as HANDLE
    }

    /// Whether the running thread is one of the system's, as all are.
    unsafe fn PsIsSystemThread(_thread: PVOID) -> BOOLEAN {
        super::here("PsIsSystemThread");
        1
    }

    /// The process that asked for an operation.
    unsafe fn FltGetRequestorProcess(CallbackData: PFLT_CALLBACK_DATA) -> PEPROCESS {
        const CALL: &str = "FltGetRequestorProcess";
        super::operation::operation(CALL, CallbackData)
            .map_or(std::ptr::null_mut(), |_| image::current_process() as PEPROCESS)
    }

    /// The mode that the running thread came from: nobody here calls from user mode.
    unsafe fn ExGetPreviousMode() -> KPROCESSOR_MODE {
        super::here("ExGetPreviousMode");
        0
    }

    /// What the running thread has set as its top-level request.
    unsafe fn IoGetTopLevelIrp() -> PVOID {
        super::here("IoGetTopLevelIrp");
        TOP_LEVEL.get() as PVOID
    }

    /// Sets the top-level request of the running thread.
    unsafe fn IoSetTopLevelIrp(irp: PVOID) {
        super::here("IoSetTopLevelIrp");
        TOP_LEVEL.set(irp as usize);
    }
}

/// What the running thread has set as its top-level request.
pub(super) fn top_level() -> usize {
    TOP_LEVEL.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routines_are_found_where_they_are() {
        assert!(!routine("FltReleaseContext", true).is_null());
        assert!(routine("FltReleaseContext", false).is_null());
        assert!(!routine("KeSetEvent", false).is_null());
        assert!(routine("KeSetEvent", true).is_null());
        // SAFETY: a terminated string.
        let found = unsafe { FltGetRoutineAddress(c"FltNoSuchThing".as_ptr()) };
        assert!(found.is_null());
    }

    #[test]
    fn every_thread_is_another_one() {
        // SAFETY: these have no preconditions.
        let who = || unsafe { PsGetCurrentThreadId() } as usize;
        // SAFETY: as above.
        let process = || unsafe { PsGetCurrentProcess() } as usize;
        let mine = who();
        assert_eq!(who(), mine);
        let (other, same) = std::thread::spawn(move || (who(), process()))
            .join()
            .unwrap();
        assert_ne!(other, mine);
        assert_eq!(same, process());
        assert_ne!(same, 0);
    }
}
