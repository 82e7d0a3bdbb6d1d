//! Events, semaphores, mutexes, timers and DPCs, and waiting for them.
//!
//! The state of such an object is where drivers expect it, in the object; one lock of this process
//! guards all of them, as the dispatcher lock once did.

use super::{enter, exports, here_at_most, write};
use crate::kernel::irql;
use crate::kernel::scope::{self, Callback, Scope};
use crate::kernel::time::{deadline, now};
use crate::machine::Inner;
use crate::verifier::Rule;
use fltmgr_sys::*;
use parking_lot::{Condvar, Mutex};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

const STATUS_TIMEOUT: NTSTATUS = 0x102;
/// Kinds of objects, in the first byte of their header.
const NOTIFICATION_EVENT: u8 = 0;
const SYNCHRONIZATION_EVENT: u8 = 1;
const MUTANT: u8 = 2;
const PROCESS: u8 = 3;
const SEMAPHORE: u8 = 5;
const THREAD_OBJECT: u8 = 6;
const NOTIFICATION_TIMER: u8 = 8;
const SYNCHRONIZATION_TIMER: u8 = 9;
/// How many objects one wait may have.
const MOST_OBJECTS: u32 = 64;
/// `STATUS_SEMAPHORE_LIMIT_EXCEEDED` and `STATUS_MUTANT_NOT_OWNED`, which the kernel raises.
const BAD_RELEASE: &str = "is released more often than it was acquired";

/// `KMUTANT`.
#[repr(C)]
pub(crate) struct Mutant {
    header: DISPATCHER_HEADER,
    links: LIST_ENTRY,
    owner: u64,
    abandoned: u8,
    apc_disable: u8,
}

/// `KSEMAPHORE`.
#[repr(C)]
pub(crate) struct Semaphore {
    header: DISPATCHER_HEADER,
    limit: LONG,
}

/// `KTIMER`.
#[repr(C)]
pub(crate) struct Timer {
    header: DISPATCHER_HEADER,
    due: u64,
    links: LIST_ENTRY,
    dpc: *mut Dpc,
    processor: u32,
    period: u32,
}

type Routine = Option<unsafe extern "win64" fn(*mut Dpc, PVOID, PVOID, PVOID)>;

/// `KDPC`.
#[repr(C)]
pub(crate) struct Dpc {
    kind: u32,
    links: u64,
    history: u64,
    routine: Routine,
    context: PVOID,
    argument1: PVOID,
    argument2: PVOID,
    data: PVOID,
}

impl Timer {
    /// How often it expires, in milliseconds; 0 if once only.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub(super) fn period(&self) -> u32 {
        self.period
    }
}

const _: () = assert!(size_of::<Timer>() == 0x40);
const _: () = assert!(size_of::<Dpc>() == 0x40);

static DISPATCHER: Mutex<()> = Mutex::new(());
static CHANGED: Condvar = Condvar::new();

static NEXT_THREAD: AtomicU64 = AtomicU64::new(1);
thread_local! {
    static THREAD: u64 = NEXT_THREAD.fetch_add(1, Ordering::Relaxed);
}

/// Timers that are set: when, by address, and on which machine.
struct Set {
    when: Instant,
    machine: Weak<Inner>,
}

static TIMERS: Mutex<BTreeMap<usize, Set>> = Mutex::new(BTreeMap::new());
static TIMERS_CHANGED: Condvar = Condvar::new();
/// The timer whose DPC is about to run or running, changed with the timers locked.
static EXPIRING: AtomicUsize = AtomicUsize::new(0);
thread_local! {
    /// Whether this is the thread that lets timers expire.
    static EXPIRES: Cell<bool> = const { Cell::new(false) };
}

fn here(call: &'static str) {
    if let Some(machine) = scope::machine() {
        enter(&machine, call);
    }
}

fn violation(call: &'static str, text: String) {
    match scope::machine() {
        Some(machine) => machine.verifier.violation(Rule::V0, call, text),
        None => eprintln!("fltsim: {call}: {text}"),
    }
}

/// A header with an empty list of waiters.
fn header(at: *mut DISPATCHER_HEADER, kind: u8, state: LONG) -> DISPATCHER_HEADER {
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
pub(super) unsafe fn change(at: *mut DISPATCHER_HEADER, to: impl FnOnce(LONG) -> LONG) -> LONG {
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

/// As [`wait`]; `STATUS_CANCELLED` once the wait is given up, of which [`wake_waiters`] tells.
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
        let known = [
            NOTIFICATION_EVENT,
            SYNCHRONIZATION_EVENT,
            MUTANT,
            PROCESS,
            SEMAPHORE,
            THREAD_OBJECT,
            NOTIFICATION_TIMER,
            SYNCHRONIZATION_TIMER,
        ];
        if !known.iter().any(|known| LONG::from(*known) == kind) {
            let text = format!("{:#x} is no object that can be waited for", *at as usize);
            violation(call, text);
            return STATUS_INVALID_PARAMETER;
        }
    }
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

/// Runs a DPC on this thread.
///
/// # Safety
/// The DPC is initialised.
unsafe fn run(machine: &Arc<Inner>, dpc: *mut Dpc) {
    // SAFETY: by this function's contract.
    let Dpc {
        routine,
        context,
        argument1,
        argument2,
        ..
    } = unsafe { dpc.read() };
    if let Some(routine) = routine {
        let _scope = Scope::enter(machine, Callback::Other, DISPATCH_LEVEL);
        // SAFETY: the routine of this DPC with its arguments.
        unsafe { routine(dpc, context, argument1, argument2) };
    }
}

/// The thread that lets timers expire.
fn expire() {
    EXPIRES.set(true);
    let mut timers = TIMERS.lock();
    loop {
        let first = timers.iter().min_by_key(|(_, set)| set.when);
        let Some((address, when)) = first.map(|(address, set)| (*address, set.when)) else {
            TIMERS_CHANGED.wait(&mut timers);
            continue;
        };
        if when > Instant::now() {
            TIMERS_CHANGED.wait_until(&mut timers, when);
            continue;
        }
        let Some(Set { machine, .. }) = timers.remove(&address) else {
            continue;
        };
        // The timer is the driver's memory as long as it is set; if its machine is gone, so is the
        // driver.
        let Some(machine) = machine.upgrade() else {
            continue;
        };
        let timer = address as *mut Timer;
        // SAFETY: a timer that was set, and not cancelled before its driver has given it up.
        let Timer { dpc, period, .. } = unsafe { timer.read() };
        if period > 0 {
            let when = when + Duration::from_millis(period.into());
            let machine = Arc::downgrade(&machine);
            timers.insert(address, Set { when, machine });
        }
        EXPIRING.store(address, Ordering::Release);
        drop(timers);
        // SAFETY: as above.
        unsafe { change(timer.cast(), |_| 1) };
        if !dpc.is_null() {
            // SAFETY: a timer's DPC is initialised.
            unsafe { run(&machine, dpc) };
        }
        EXPIRING.store(0, Ordering::Release);
        timers = TIMERS.lock();
    }
}

/// Waits until a timer that was cancelled has done what it had begun; with 0, until every timer
/// has. A DPC does not wait for itself.
pub(super) fn until_expired(timer: usize) {
    // Whatever expired before is marked when the lock can be had.
    drop(TIMERS.lock());
    let busy = || match EXPIRING.load(Ordering::Acquire) {
        0 => false,
        address => timer == 0 || address == timer,
    };
    while !EXPIRES.get() && busy() {
        thread::sleep(Duration::from_micros(50));
    }
}

fn start_expiring() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        thread::spawn(expire);
    });
}

exports! {
    /// Signals an event and gives its state before.
    unsafe fn KeSetEvent(event: *mut KEVENT, _increment: LONG, wait: BOOLEAN) -> LONG {
        here_at_most("KeSetEvent", (wait != 0).then_some(APC_LEVEL));
        // SAFETY: the caller passes an initialised event.
        unsafe { change(event.cast(), |_| 1) }
    }

    /// Takes the signal away and gives the state before.
    unsafe fn KeResetEvent(event: *mut KEVENT) -> LONG {
        here("KeResetEvent");
        // SAFETY: the caller passes an initialised event.
        unsafe { change(event.cast(), |_| 0) }
    }

    /// Takes the signal away.
    unsafe fn KeClearEvent(event: *mut KEVENT) {
        here("KeClearEvent");
        // SAFETY: the caller passes an initialised event.
        unsafe { change(event.cast(), |_| 0) };
    }

    /// The state of an event.
    unsafe fn KeReadStateEvent(event: *mut KEVENT) -> LONG {
        here("KeReadStateEvent");
        // SAFETY: the caller passes an initialised event.
        unsafe { change(event.cast(), |state| state) }
    }

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

    /// Initialises a mutex, which is free.
    unsafe fn KeInitializeMutex(mutex: *mut Mutant, _level: ULONG) {
        here("KeInitializeMutex");
        let value = Mutant {
            header: header(mutex.cast(), MUTANT, 1),
            links: LIST_ENTRY { Flink: std::ptr::null_mut(), Blink: std::ptr::null_mut() },
            owner: 0,
            abandoned: 0,
            apc_disable: 1,
        };
        // SAFETY: the caller passes memory for a mutex.
        unsafe { write(mutex, value) };
    }

    /// Releases a mutex and gives its state before.
    unsafe fn KeReleaseMutex(mutex: *mut Mutant, _wait: BOOLEAN) -> LONG {
        const CALL: &str = "KeReleaseMutex";
        here(CALL);
        let _guard = DISPATCHER.lock();
        // SAFETY: the caller passes an initialised mutex.
        let shared = unsafe { &mut *mutex };
        let before = shared.header.SignalState;
        if shared.owner != THREAD.with(|thread| *thread) {
            let text = format!("the mutex at {:#x} {BAD_RELEASE} by this thread", mutex as usize);
            violation(CALL, text);
            return before;
        }
        shared.header.SignalState += 1;
        if shared.header.SignalState == 1 {
            shared.owner = 0;
            CHANGED.notify_all();
        }
        before
    }

    /// Initialises a semaphore.
    unsafe fn KeInitializeSemaphore(semaphore: *mut Semaphore, count: LONG, limit: LONG) {
        here("KeInitializeSemaphore");
        let header = header(semaphore.cast(), SEMAPHORE, count);
        // SAFETY: the caller passes memory for a semaphore.
        unsafe { write(semaphore, Semaphore { header, limit }) };
    }

    /// Adds to a semaphore and gives its state before.
    unsafe fn KeReleaseSemaphore(
        semaphore: *mut Semaphore,
        _increment: LONG,
        adjustment: LONG,
        wait: BOOLEAN,
    ) -> LONG {
        const CALL: &str = "KeReleaseSemaphore";
        here_at_most(CALL, (wait != 0).then_some(PASSIVE_LEVEL));
        // SAFETY: the caller passes an initialised semaphore.
        let limit = unsafe { (*semaphore).limit };
        let after = |state: LONG| state.saturating_add(adjustment);
        // SAFETY: as above.
        let before = unsafe {
            change(semaphore.cast(), |state| if after(state) > limit { state } else { after(state) })
        };
        if after(before) > limit {
            let text = format!("the semaphore at {:#x} {BAD_RELEASE}", semaphore as usize);
            violation(CALL, text);
        }
        before
    }

    /// The state of a semaphore.
    unsafe fn KeReadStateSemaphore(semaphore: *mut Semaphore) -> LONG {
        // SAFETY: the caller passes an initialised semaphore.
        unsafe { change(semaphore.cast(), |state| state) }
    }

    /// Initialises a notification timer.
    unsafe fn KeInitializeTimer(timer: *mut Timer) {
        // SAFETY: by the caller's promise.
        unsafe { KeInitializeTimerEx(timer, 0) };
    }

    /// Initialises a timer.
    unsafe fn KeInitializeTimerEx(timer: *mut Timer, kind: i32) {
        here("KeInitializeTimerEx");
        let kind = if kind == 0 { NOTIFICATION_TIMER } else { SYNCHRONIZATION_TIMER };
        let value = Timer {
            header: header(timer.cast(), kind, 0),
            due: 0,
            links: LIST_ENTRY { Flink: std::ptr::null_mut(), Blink: std::ptr::null_mut() },
            dpc: std::ptr::null_mut(),
            processor: 0,
            period: 0,
        };
        // SAFETY: the caller passes memory for a timer.
        unsafe { write(timer, value) };
    }

    /// Sets a timer that expires once. Gives whether it was set already.
    unsafe fn KeSetTimer(timer: *mut Timer, due: i64, dpc: *mut Dpc) -> BOOLEAN {
        // SAFETY: by the caller's promise.
        unsafe { KeSetTimerEx(timer, due, 0, dpc) }
    }

    /// Sets a timer, which expires again and again if it has a period.
    unsafe fn KeSetTimerEx(
        timer: *mut Timer,
        due: i64,
        period: LONG,
        dpc: *mut Dpc,
    ) -> BOOLEAN {
        here("KeSetTimerEx");
        let Some(machine) = scope::machine() else {
            return 0;
        };
        start_expiring();
        let when = deadline(due);
        let machine = Arc::downgrade(&machine);
        let mut timers = TIMERS.lock();
        // SAFETY: the caller passes an initialised timer.
        unsafe { (*timer).dpc = dpc };
        // SAFETY: as above.
        unsafe { (*timer).period = u32::try_from(period).unwrap_or(0) };
        // SAFETY: as above.
        unsafe { change(timer.cast(), |_| 0) };
        let before = timers.insert(timer as usize, Set { when, machine });
        TIMERS_CHANGED.notify_all();
        BOOLEAN::from(before.is_some())
    }

    /// Cancels a timer. Gives whether it was set.
    unsafe fn KeCancelTimer(timer: *mut Timer) -> BOOLEAN {
        here("KeCancelTimer");
        BOOLEAN::from(TIMERS.lock().remove(&(timer as usize)).is_some())
    }

    /// Whether a timer has expired.
    unsafe fn KeReadStateTimer(timer: *mut Timer) -> BOOLEAN {
        here("KeReadStateTimer");
        // SAFETY: the caller passes an initialised timer.
        BOOLEAN::from(unsafe { change(timer.cast(), |state| state) } > 0)
    }

    /// Initialises a DPC.
    unsafe fn KeInitializeDpc(dpc: *mut Dpc, routine: usize, context: PVOID) {
        here("KeInitializeDpc");
        let value = Dpc {
            kind: 0x13,
            links: 0,
            history: 0,
            // SAFETY: a nullable function pointer is one word.
            routine: unsafe { std::mem::transmute::<usize, Routine>(routine) },
            context,
            argument1: std::ptr::null_mut(),
            argument2: std::ptr::null_mut(),
            data: std::ptr::null_mut(),
        };
        // SAFETY: the caller passes memory for a DPC.
        unsafe { write(dpc, value) };
    }

    /// Queues a DPC, which here means that it runs at once, as on an idle processor.
    unsafe fn KeInsertQueueDpc(dpc: *mut Dpc, one: PVOID, two: PVOID) -> BOOLEAN {
        here("KeInsertQueueDpc");
        // SAFETY: the caller passes an initialised DPC.
        unsafe { (*dpc).argument1 = one };
        // SAFETY: as above.
        unsafe { (*dpc).argument2 = two };
        if let Some(machine) = scope::machine() {
            // SAFETY: as above.
            unsafe { run(&machine, dpc) };
        }
        1
    }

    /// Takes a DPC out of the queue, where none ever is.
    unsafe fn KeRemoveQueueDpc(_dpc: *mut Dpc) -> BOOLEAN {
        0
    }

    /// Waits until every queued DPC has run.
    unsafe fn KeFlushQueuedDpcs() {
        here("KeFlushQueuedDpcs");
        until_expired(0);
    }

    /// The time since 1601.
    unsafe fn KeQuerySystemTimePrecise(time: *mut i64) {
        // SAFETY: the caller passes a place for a time.
        unsafe { write(time, now()) };
    }

    /// A counter of 100 ns, and its frequency.
    unsafe fn KeQueryPerformanceCounter(frequency: *mut i64) -> i64 {
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        // SAFETY: the caller passes a place for a frequency, or null.
        unsafe { write(frequency, 10_000_000) };
        i64::try_from(START.elapsed().as_nanos() / 100).unwrap_or(i64::MAX)
    }

    /// How long a tick is, in units of 100 ns.
    unsafe fn KeQueryTimeIncrement() -> ULONG {
        156_250
    }

    /// Asynchronous procedure calls are never delivered here, so they need not be kept away.
    unsafe fn KeEnterCriticalRegion() {
        here("KeEnterCriticalRegion");
    }

    /// See `KeEnterCriticalRegion`.
    unsafe fn KeLeaveCriticalRegion() {
        here("KeLeaveCriticalRegion");
    }

    /// Whether asynchronous procedure calls are kept away.
    unsafe fn KeAreApcsDisabled() -> BOOLEAN {
        here("KeAreApcsDisabled");
        BOOLEAN::from(irql::current() >= APC_LEVEL)
    }

    /// Whether all of them are.
    unsafe fn KeAreAllApcsDisabled() -> BOOLEAN {
        here("KeAreAllApcsDisabled");
        BOOLEAN::from(irql::current() >= APC_LEVEL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Machine;
    use crate::exports::testing::broken_at;

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

    #[test]
    fn a_mutex_belongs_to_its_thread() {
        // SAFETY: a mutex is integers and pointers.
        let mut mutex: Mutant = unsafe { std::mem::zeroed() };
        let at = &raw mut mutex as usize;
        // SAFETY: memory for a mutex.
        unsafe { KeInitializeMutex(at as *mut _, 0) };
        // SAFETY: an initialised mutex.
        let lock = move || unsafe { wait("KeWaitForSingleObject", &[at as *mut _], true, Some(0)) };
        assert_eq!((lock(), lock()), (STATUS_SUCCESS, STATUS_SUCCESS));
        assert_eq!(thread::spawn(lock).join().unwrap(), STATUS_TIMEOUT);
        for _ in 0..2 {
            // SAFETY: as above.
            unsafe { KeReleaseMutex(at as *mut _, 0) };
        }
        assert_eq!(thread::spawn(lock).join().unwrap(), STATUS_SUCCESS);
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

    #[test]
    fn a_signal_before_a_wait_is_for_lower_levels_than_one_alone() {
        let set = |level, wait| {
            with_event(level, |event| {
                // SAFETY: an initialised event.
                assert_eq!(unsafe { KeSetEvent(event, 0, wait) }, 1);
            })
        };
        assert_eq!(set(DISPATCH_LEVEL, 0), []);
        assert_eq!(set(APC_LEVEL, 1), []);
        assert_eq!(set(DISPATCH_LEVEL, 1), [(Rule::V6, "KeSetEvent")]);
        let release = |level, wait| {
            // SAFETY: a semaphore is integers and pointers.
            let mut semaphore: Semaphore = unsafe { std::mem::zeroed() };
            let at = &raw mut semaphore;
            // SAFETY: memory for a semaphore.
            unsafe { KeInitializeSemaphore(at, 0, 1) };
            broken_at(level, || {
                // SAFETY: an initialised semaphore.
                assert_eq!(unsafe { KeReleaseSemaphore(at, 0, 1, wait) }, 0);
            })
        };
        assert_eq!(release(DISPATCH_LEVEL, 0), []);
        assert_eq!(release(PASSIVE_LEVEL, 1), []);
        assert_eq!(release(APC_LEVEL, 1), [(Rule::V6, "KeReleaseSemaphore")]);
    }

    #[test]
    fn a_timer_expires_and_runs_its_dpc() {
        fltapi! {
            unsafe fn routine(_dpc: *mut Dpc, context: PVOID, _one: PVOID, _two: PVOID) {
                let level = u64::from(irql::current());
                // SAFETY: the context of this test's DPC is a counter.
                unsafe { &*context.cast::<AtomicU64>() }.fetch_add(100 + level, Ordering::SeqCst);
            }
        }
        let machine = Machine::default();
        let counter = AtomicU64::new(0);
        // SAFETY: integers and pointers.
        let mut dpc: Dpc = unsafe { std::mem::zeroed() };
        // SAFETY: integers and pointers.
        let mut timer: Timer = unsafe { std::mem::zeroed() };
        let (timer, dpc) = (&raw mut timer, &raw mut dpc);
        machine.at_irql(PASSIVE_LEVEL, || {
            let context = (&raw const counter).cast_mut().cast();
            // SAFETY: memory for a DPC.
            unsafe { KeInitializeDpc(dpc, routine as *const () as usize, context) };
            // SAFETY: memory for a timer.
            unsafe { KeInitializeTimerEx(timer, 0) };
            // SAFETY: both are initialised.
            assert_eq!(unsafe { KeSetTimer(timer, -20_000, dpc) }, 0);
            // SAFETY: an initialised timer.
            let status = unsafe { wait("KeWaitForSingleObject", &[timer.cast()], true, None) };
            assert_eq!(status, STATUS_SUCCESS);
        });
        while counter.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        assert_eq!(counter.load(Ordering::SeqCst), 102);
        // SAFETY: an initialised timer.
        assert_eq!(unsafe { KeCancelTimer(timer) }, 0);
    }
}
