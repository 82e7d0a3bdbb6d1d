//! Timers, which expire on a thread of their own, and the routines that they queue (DPCs).

use super::dispatcher::change;
use super::scope::{Callback, Scope};
use super::time::deadline;
use crate::machine::Inner;
use fltmgr_sys::*;
use parking_lot::{Condvar, Mutex};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// `KTIMER`.
#[repr(C)]
pub(crate) struct Timer {
    pub(crate) header: DISPATCHER_HEADER,
    pub(crate) due: u64,
    pub(crate) links: LIST_ENTRY,
    pub(crate) dpc: *mut Dpc,
    pub(crate) processor: u32,
    pub(crate) period: u32,
}

pub(crate) type Routine = Option<unsafe extern "win64" fn(*mut Dpc, PVOID, PVOID, PVOID)>;

/// `KDPC`.
#[repr(C)]
pub(crate) struct Dpc {
    pub(crate) kind: u32,
    pub(crate) links: u64,
    pub(crate) history: u64,
    pub(crate) routine: Routine,
    pub(crate) context: PVOID,
    pub(crate) argument1: PVOID,
    pub(crate) argument2: PVOID,
    pub(crate) data: PVOID,
}

const _: () = assert!(size_of::<Timer>() == 0x40);
const _: () = assert!(size_of::<Dpc>() == 0x40);

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

/// Runs a DPC on this thread.
///
/// # Safety
/// The DPC is initialised.
pub(crate) unsafe fn run(machine: &Arc<Inner>, dpc: *mut Dpc) {
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

/// Sets a timer, which expires again and again if it has a period in milliseconds. Gives whether it
/// was set already.
///
/// # Safety
/// The timer is initialised, and so is the DPC, if there is one.
pub(crate) unsafe fn set(
    machine: &Arc<Inner>,
    timer: *mut Timer,
    due: i64,
    period: u32,
    dpc: *mut Dpc,
) -> bool {
    start_expiring();
    let when = deadline(due);
    let machine = Arc::downgrade(machine);
    let mut timers = TIMERS.lock();
    // SAFETY: by this function's contract.
    unsafe { (*timer).dpc = dpc };
    // SAFETY: as above.
    unsafe { (*timer).period = period };
    // SAFETY: as above.
    unsafe { change(timer.cast(), |_| 0) };
    let before = timers.insert(timer as usize, Set { when, machine });
    TIMERS_CHANGED.notify_all();
    before.is_some()
}

/// Cancels a timer. Gives whether it was set.
pub(crate) fn cancel(timer: *mut Timer) -> bool {
    TIMERS.lock().remove(&(timer as usize)).is_some()
}

/// Waits until a timer that was cancelled has done what it had begun; with 0, until every timer
/// has. A DPC does not wait for itself.
pub(crate) fn until_expired(timer: usize) {
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
