//! The objects that threads wait for: events, mutexes, semaphores, timers, threads, processes.
//!
//! The state of such an object is where drivers expect it, in the object; one lock of this process
//! guards all of them, as the dispatcher lock once did.

use super::time::deadline;
use fltmgr_sys::*;
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(crate) const STATUS_TIMEOUT: NTSTATUS = 0x102;
/// How many objects one wait may have.
pub(crate) const MOST_OBJECTS: ULONG = 64;
/// Kinds of objects, in the first byte of their header.
pub(crate) const NOTIFICATION_EVENT: u8 = 0;
pub(crate) const SYNCHRONIZATION_EVENT: u8 = 1;
pub(crate) const MUTANT: u8 = 2;
pub(crate) const PROCESS: u8 = 3;
pub(crate) const SEMAPHORE: u8 = 5;
pub(crate) const THREAD_OBJECT: u8 = 6;
pub(crate) const NOTIFICATION_TIMER: u8 = 8;
pub(crate) const SYNCHRONIZATION_TIMER: u8 = 9;

/// `KMUTANT`.
#[repr(C)]
pub(crate) struct Mutant {
    pub(crate) header: DISPATCHER_HEADER,
    pub(crate) links: LIST_ENTRY,
    pub(crate) owner: u64,
    pub(crate) abandoned: u8,
    pub(crate) apc_disable: u8,
}

static DISPATCHER: Mutex<()> = Mutex::new(());
static CHANGED: Condvar = Condvar::new();

static NEXT_THREAD: AtomicU64 = AtomicU64::new(1);
thread_local! {
    static THREAD: u64 = NEXT_THREAD.fetch_add(1, Ordering::Relaxed);
}

/// A header with an empty list of waiters.
pub(crate) fn header(at: *mut DISPATCHER_HEADER, kind: u8, state: LONG) -> DISPATCHER_HEADER {
    let list = at.cast::<LIST_ENTRY>().wrapping_byte_add(8);
    DISPATCHER_HEADER {
        Lock: kind.into(),
        SignalState: state,
        WaitListHead: LIST_ENTRY {
            Flink: list,
            Blink: list,
        },
    }
}

/// Changes the state of an object and wakes who waits. Gives the state before.
///
/// # Safety
/// The header is that of an initialised object.
pub(crate) unsafe fn change(at: *mut DISPATCHER_HEADER, to: impl FnOnce(LONG) -> LONG) -> LONG {
    let _guard = DISPATCHER.lock();
    // SAFETY: by this function's contract.
    let state = unsafe { &mut (*at).SignalState };
    let before = *state;
    *state = to(before);
    CHANGED.notify_all();
    before
}

/// Signals a thread that has ended.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) fn signal(thread: usize) {
    // SAFETY: thread objects begin with a header, which was initialised with them.
    unsafe { change(thread as *mut DISPATCHER_HEADER, |_| 1) };
}

/// Lets every wait look again whether it ends: an operation was cancelled.
pub(crate) fn wake_waiters() {
    let _guard = DISPATCHER.lock();
    CHANGED.notify_all();
}

/// Takes back one acquisition of a mutex by this thread. Gives its state before, and whether it was
/// this thread's to release.
///
/// # Safety
/// The mutex is initialised.
pub(crate) unsafe fn release_mutant(at: *mut Mutant) -> (LONG, bool) {
    let _guard = DISPATCHER.lock();
    // SAFETY: by this function's contract.
    let mutex = unsafe { &mut *at };
    let before = mutex.header.SignalState;
    if mutex.owner != THREAD.with(|thread| *thread) {
        return (before, false);
    }
    mutex.header.SignalState += 1;
    if mutex.header.SignalState == 1 {
        mutex.owner = 0;
        CHANGED.notify_all();
    }
    (before, true)
}

/// Whether there are objects of this kind that can be waited for.
pub(crate) fn can_wait_for(kind: LONG) -> bool {
    [
        NOTIFICATION_EVENT,
        SYNCHRONIZATION_EVENT,
        MUTANT,
        PROCESS,
        SEMAPHORE,
        THREAD_OBJECT,
        NOTIFICATION_TIMER,
        SYNCHRONIZATION_TIMER,
    ]
    .iter()
    .any(|known| LONG::from(*known) == kind)
}

/// Whether a wait for an object would end now, with the lock held.
///
/// # Safety
/// The header is that of an initialised object.
unsafe fn is_ready(at: *mut DISPATCHER_HEADER) -> bool {
    // SAFETY: by this function's contract.
    let object = unsafe { *at };
    let owned = object.Lock & 0xFF == LONG::from(MUTANT) && {
        // SAFETY: what has the kind of a mutant is one.
        let owner = unsafe { (*at.cast::<Mutant>()).owner };
        owner == THREAD.with(|thread| *thread)
    };
    owned || object.SignalState > 0
}

/// What the end of a wait does to an object, with the lock held.
///
/// # Safety
/// The header is that of an initialised object.
unsafe fn take(at: *mut DISPATCHER_HEADER) {
    // SAFETY: by this function's contract.
    let object = unsafe { &mut *at };
    let kind = u8::try_from(object.Lock & 0xFF).unwrap_or(u8::MAX);
    match kind {
        SYNCHRONIZATION_EVENT | SYNCHRONIZATION_TIMER => object.SignalState = 0,
        SEMAPHORE => object.SignalState -= 1,
        MUTANT => {
            object.SignalState -= 1;
            // SAFETY: what has the kind of a mutant is one.
            unsafe { (*at.cast::<Mutant>()).owner = THREAD.with(|thread| *thread) };
        }
        _ => {}
    }
}

/// Waits for one of several objects or for all of them; `STATUS_CANCELLED` once the wait is given
/// up, of which [`wake_waiters`] tells.
///
/// # Safety
/// Every header is that of an initialised object that can be waited for.
pub(crate) unsafe fn wait(
    objects: &[*mut DISPATCHER_HEADER],
    all: bool,
    timeout: Option<i64>,
    given_up: &dyn Fn() -> bool,
) -> NTSTATUS {
    let deadline = timeout.map(deadline);
    let mut guard = DISPATCHER.lock();
    loop {
        // SAFETY: by this function's contract.
        let ready = |at: &*mut DISPATCHER_HEADER| unsafe { is_ready(*at) };
        if all && objects.iter().all(ready) {
            for at in objects {
                // SAFETY: as above.
                unsafe { take(*at) };
            }
            return STATUS_SUCCESS;
        }
        if !all && let Some(index) = objects.iter().position(ready) {
            // SAFETY: as above.
            unsafe { take(objects[index]) };
            return NTSTATUS::try_from(index).unwrap_or(STATUS_SUCCESS);
        }
        if given_up() {
            return STATUS_CANCELLED;
        }
        match deadline {
            Some(deadline) if CHANGED.wait_until(&mut guard, deadline).timed_out() => {
                // What became ready at the last moment still counts.
                let any = objects.iter().any(ready);
                if !any || Instant::now() > deadline + Duration::from_millis(1) {
                    return STATUS_TIMEOUT;
                }
            }
            Some(_) => {}
            None => CHANGED.wait(&mut guard),
        }
    }
}
