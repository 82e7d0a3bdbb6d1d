//! Waiting for objects, and for time to pass.

use super::{exports, here, here_at_most, misuse};
use crate::kernel::dispatcher::{self, MOST_OBJECTS};
use crate::kernel::time::deadline;
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::thread;
use std::time::Instant;

/// # Safety
/// `timeout` is null or points to a time.
pub(super) unsafe fn timeout(timeout: *const i64) -> Option<i64> {
    // SAFETY: by this function's contract.
    unsafe { timeout.as_ref() }.copied()
}

/// Waits for one of several objects or for all of them.
///
/// # Safety
/// Every header is that of an initialised object.
pub(super) unsafe fn wait(
    call: &'static str,
    objects: &[*mut DISPATCHER_HEADER],
    all: bool,
    timeout: Option<i64>,
) -> NTSTATUS {
    // SAFETY: passed on to the caller.
    unsafe { wait_unless(call, objects, all, timeout, &|| false) }
}

/// As [`wait`]; `STATUS_CANCELLED` once the wait is given up, of which [`dispatcher::wake_waiters`] tells.
///
/// # Safety
/// As for [`wait`].
pub(super) unsafe fn wait_unless(
    call: &'static str,
    objects: &[*mut DISPATCHER_HEADER],
    all: bool,
    timeout: Option<i64>,
    given_up: &dyn Fn() -> bool,
) -> NTSTATUS {
    // Only a look at the objects, which ends at once, is allowed where nothing is scheduled.
    here_at_most(call, (timeout != Some(0)).then_some(APC_LEVEL));
    for at in objects {
        // SAFETY: by this function's contract.
        let kind = unsafe { (**at).Lock } & 0xFF;
        if !dispatcher::can_wait_for(kind) {
            let text = format!("{:#x} is no object that can be waited for", *at as usize);
            misuse(Rule::V0, call, text);
            return STATUS_INVALID_PARAMETER;
        }
    }
    // SAFETY: by this function's contract; each is of a kind that can be waited for.
    unsafe { dispatcher::wait(objects, all, timeout, given_up) }
}

exports! {
    /// Waits for one object.
    unsafe fn KeWaitForSingleObject(
        object: *mut DISPATCHER_HEADER,
        _reason: i32,
        _mode: KPROCESSOR_MODE,
        _alertable: BOOLEAN,
        limit: *const i64,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a time or null.
        let limit = unsafe { timeout(limit) };
        // SAFETY: the caller passes an initialised object.
        unsafe { wait("KeWaitForSingleObject", &[object], true, limit) }
    }

    /// Waits for one or all of several objects.
    unsafe fn KeWaitForMultipleObjects(
        count: ULONG,
        objects: *const *mut DISPATCHER_HEADER,
        kind: i32,
        _reason: i32,
        _mode: KPROCESSOR_MODE,
        _alertable: BOOLEAN,
        limit: *const i64,
        _blocks: PVOID,
    ) -> NTSTATUS {
        if count == 0 || count > MOST_OBJECTS {
            return STATUS_INVALID_PARAMETER;
        }
        let count = usize::try_from(count).unwrap_or(0);
        // SAFETY: the caller passes so many pointers.
        let objects = unsafe { std::slice::from_raw_parts(objects, count) };
        // SAFETY: the caller passes a time or null.
        let limit = unsafe { timeout(limit) };
        // SAFETY: the caller passes initialised objects; WaitAll is 0.
        unsafe { wait("KeWaitForMultipleObjects", objects, kind == 0, limit) }
    }

    /// Waits for a time to pass.
    unsafe fn KeDelayExecutionThread(
        _mode: KPROCESSOR_MODE,
        _alertable: BOOLEAN,
        interval: *const i64,
    ) -> NTSTATUS {
        here("KeDelayExecutionThread");
        // SAFETY: the caller passes a time.
        if let Some(interval) = unsafe { timeout(interval) } {
            let until = deadline(interval);
            thread::sleep(until.saturating_duration_since(Instant::now()));
        }
        STATUS_SUCCESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::ke_event::{KeReadStateEvent, KeSetEvent};
    use crate::exports::testing::broken_at;
    use crate::kernel::dispatcher::{
        NOTIFICATION_EVENT, STATUS_TIMEOUT, SYNCHRONIZATION_EVENT, header,
    };
    use std::time::Duration;

    #[test]
    fn events_end_waits_as_their_kind_says() {
        // SAFETY: an event is integers and pointers.
        let mut event: KEVENT = unsafe { std::mem::zeroed() };
        event.Header = header(&raw mut event.Header, SYNCHRONIZATION_EVENT, 1);
        let at = &raw mut event.Header;
        // SAFETY: an initialised event.
        let poll = || unsafe { wait("KeWaitForSingleObject", &[at], true, Some(0)) };
        assert_eq!(poll(), STATUS_SUCCESS);
        assert_eq!(poll(), STATUS_TIMEOUT);
        // SAFETY: an initialised event.
        assert_eq!(unsafe { KeSetEvent(at.cast(), 0, 0) }, 0);
        assert_eq!(poll(), STATUS_SUCCESS);
        // SAFETY: an initialised event.
        assert_eq!(unsafe { KeReadStateEvent(at.cast()) }, 0);
    }

    #[test]
    fn a_wait_ends_when_another_thread_signals() {
        // SAFETY: an event is integers and pointers.
        let mut event: KEVENT = unsafe { std::mem::zeroed() };
        event.Header = header(&raw mut event.Header, NOTIFICATION_EVENT, 0);
        let at = &raw mut event as usize;
        let waiter = thread::spawn(move || {
            // SAFETY: an initialised event, which outlives this thread.
            unsafe { wait("KeWaitForSingleObject", &[at as *mut _], true, None) }
        });
        thread::sleep(Duration::from_millis(5));
        // SAFETY: as above.
        unsafe { KeSetEvent(at as *mut _, 0, 0) };
        assert_eq!(waiter.join().unwrap(), STATUS_SUCCESS);
    }

    /// Runs code with a signalled event at an IRQL.
    fn with_event(level: KIRQL, run: impl FnOnce(*mut KEVENT)) -> Vec<(Rule, &'static str)> {
        // SAFETY: an event is integers and pointers.
        let mut event: KEVENT = unsafe { std::mem::zeroed() };
        event.Header = header(&raw mut event.Header, NOTIFICATION_EVENT, 1);
        broken_at(level, || run(&raw mut event))
    }

    #[test]
    fn at_dispatch_level_a_wait_may_only_look() {
        for (level, limit, is_allowed) in [
            (APC_LEVEL, None, true),
            (APC_LEVEL, Some(-1), true),
            (DISPATCH_LEVEL, Some(0), true),
            (DISPATCH_LEVEL, Some(-1), false),
            (DISPATCH_LEVEL, None, false),
        ] {
            let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
            let one = with_event(level, |event| {
                // SAFETY: an initialised event; a time or null.
                let status = unsafe { KeWaitForSingleObject(event.cast(), 0, 0, 0, limit) };
                assert_eq!(status, STATUS_SUCCESS);
            });
            let all = with_event(level, |event| {
                let objects = [event.cast(); 2];
                let (objects, blocks) = (objects.as_ptr(), std::ptr::null_mut());
                // SAFETY: initialised events; a time or null.
                let status =
                    unsafe { KeWaitForMultipleObjects(2, objects, 0, 0, 0, 0, limit, blocks) };
                assert_eq!(status, STATUS_SUCCESS);
            });
            let calls = ["KeWaitForSingleObject", "KeWaitForMultipleObjects"];
            let [expected_one, expected_all] = calls.map(|call| {
                let reported = (!is_allowed).then_some((Rule::V6, call));
                Vec::from_iter(reported)
            });
            assert_eq!((one, all), (expected_one, expected_all), "{level}");
        }
    }
}
