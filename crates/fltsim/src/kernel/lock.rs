//! Push locks, resources, fast mutexes and spin locks: who holds what.
//!
//! What a lock's memory says is the driver's business; who holds it is kept here, by address, so
//! that exclusion is real, a mistake is told from a wait, and no memory of a driver is followed.

use crate::kernel::irql;
use crate::machine::Inner;
use crate::verifier::{Rule, Severity};
use fltmgr_sys::KIRQL;
use parking_lot::{Condvar, Mutex};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// `DRIVER_VERIFIER_DETECTED_VIOLATION`.
const VERIFIER_VIOLATION: u32 = 0xC4;
/// First parameter: the memory that is freed holds an active resource.
const ACTIVE_RESOURCE: u64 = 0xD2;
/// First parameter: the thread waits for what it holds itself.
const SELF_DEADLOCK: u64 = 0x1000;
/// First parameter: the lock was never initialised.
const UNINITIALISED: u64 = 0x1002;
/// First parameter: what is released is not held by the thread.
const NOT_ACQUIRED: u64 = 0x1007;

/// The sorts of locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    PushLock,
    /// A push lock of the kernel's own functions, which nobody deletes.
    KernelPushLock,
    Resource,
    FastMutex,
    SpinLock,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::PushLock | Self::KernelPushLock => "push lock",
            Self::Resource => "resource",
            Self::FastMutex => "fast mutex",
            Self::SpinLock => "spin lock",
        }
    }

    /// Whether a function, rather than a macro of the headers, makes one.
    const fn is_registered(self) -> bool {
        matches!(self, Self::PushLock | Self::Resource)
    }

    /// Whether holding one raises the IRQL.
    const fn raises(self) -> bool {
        matches!(self, Self::FastMutex | Self::SpinLock)
    }
}

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Exclusive,
    Shared,
    /// Shared, before those that wait for it exclusively.
    SharedFirst,
}

/// One lock that is registered, held or waited for.
struct Record {
    kind: Kind,
    machine: Weak<Inner>,
    /// It was initialised by a function and not deleted yet.
    registered: bool,
    /// The thread that holds it exclusively, and how often.
    writer: Option<(u64, u32)>,
    /// Threads that hold it shared, one entry an acquisition.
    readers: Vec<u64>,
    waiters: usize,
    /// Of the waiters, those that want it exclusively: they go before new readers.
    waiting_writers: usize,
    changed: Arc<Condvar>,
}

impl Record {
    fn new(kind: Kind, machine: Option<&Arc<Inner>>, registered: bool) -> Self {
        Self {
            kind,
            machine: machine.map(Arc::downgrade).unwrap_or_default(),
            registered,
            writer: None,
            readers: Vec::new(),
            waiters: 0,
            waiting_writers: 0,
            changed: Arc::default(),
        }
    }

    fn is_held(&self) -> bool {
        self.writer.is_some() || !self.readers.is_empty()
    }

    fn is_held_by(&self, thread: u64) -> bool {
        self.writer.is_some_and(|(writer, _)| writer == thread) || self.readers.contains(&thread)
    }

    fn can_be_had(&self, mode: Mode) -> bool {
        match mode {
            Mode::Exclusive => !self.is_held(),
            Mode::Shared => self.writer.is_none() && self.waiting_writers == 0,
            Mode::SharedFirst => self.writer.is_none(),
        }
    }

    fn take(&mut self, thread: u64, mode: Mode) {
        match (&mut self.writer, mode) {
            (Some((writer, count)), _) if *writer == thread => *count += 1,
            (_, Mode::Shared | Mode::SharedFirst) => self.readers.push(thread),
            (writer, Mode::Exclusive) => *writer = Some((thread, 1)),
        }
    }

    /// Gives one acquisition of a thread back.
    fn give(&mut self, thread: u64) {
        match &mut self.writer {
            Some((writer, count)) if *writer == thread => {
                *count -= 1;
                if *count == 0 {
                    self.writer = None;
                }
            }
            _ => {
                if let Some(at) = self.readers.iter().position(|reader| *reader == thread) {
                    self.readers.swap_remove(at);
                }
            }
        }
    }

    fn is_needed(&self) -> bool {
        self.registered || self.waiters > 0 || self.is_held()
    }
}

/// Every lock by address. An address is that of one lock in the whole process, so the machines
/// share the table.
static LOCKS: Mutex<BTreeMap<usize, Record>> = Mutex::new(BTreeMap::new());

/// A lock that this thread holds.
struct Held {
    address: usize,
    kind: Kind,
    /// The IRQL to go back to.
    irql: KIRQL,
}

static NEXT_THREAD: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static THREAD: u64 = NEXT_THREAD.fetch_add(1, Ordering::Relaxed);
    static HELD: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
}

fn this_thread() -> u64 {
    THREAD.with(|thread| *thread)
}

/// Reports what Driver Verifier stops the machine for.
fn stop(
    machine: Option<&Arc<Inner>>,
    call: &'static str,
    parameter: u64,
    address: usize,
    text: String,
) {
    let Some(machine) = machine else {
        // Nobody to report to; silence would be worse.
        eprintln!("fltsim: {call}: {text}");
        return;
    };
    let severity = Severity::Bugcheck {
        code: VERIFIER_VIOLATION,
        parameters: [parameter, address as u64, 0, 0],
    };
    machine.verifier.report(Rule::V23, severity, call, text);
}

fn violation(machine: Option<&Arc<Inner>>, call: &'static str, text: String) {
    match machine {
        Some(machine) => machine.verifier.violation(Rule::V23, call, text),
        None => eprintln!("fltsim: {call}: {text}"),
    }
}

/// Registers a push lock or a resource.
pub(crate) fn initialise(
    machine: Option<&Arc<Inner>>,
    call: &'static str,
    kind: Kind,
    address: usize,
) {
    let record = Record::new(kind, machine, true);
    let before = LOCKS.lock().insert(address, record);
    let Some(before) = before else {
        return;
    };
    let alive = before.machine.upgrade().is_some();
    if alive && (before.is_held() || (before.registered && kind == Kind::Resource)) {
        let name = before.kind.name();
        let text = format!("a {name} at {address:#x} was initialised again");
        violation(machine, call, text);
    }
}

/// Ends a push lock or a resource.
pub(crate) fn delete(machine: Option<&Arc<Inner>>, call: &'static str, kind: Kind, address: usize) {
    let name = kind.name();
    let mut locks = LOCKS.lock();
    let Some(record) = locks.get_mut(&address).filter(|record| record.registered) else {
        drop(locks);
        let text = format!("{address:#x} is deleted and is no initialised {name}");
        stop(machine, call, UNINITIALISED, address, text);
        return;
    };
    record.registered = false;
    let held = record.is_held();
    if !record.is_needed() {
        locks.remove(&address);
    }
    drop(locks);
    if held {
        let text = format!("the {name} at {address:#x} was deleted while it is held");
        violation(machine, call, text);
    }
}

/// Waits for a lock and takes it; `irql` is the level to go back to.
///
/// A thread that would wait for itself is reported and let through: a test that hangs says less.
pub(crate) fn acquire(
    machine: Option<&Arc<Inner>>,
    call: &'static str,
    kind: Kind,
    mode: Mode,
    address: usize,
    irql: KIRQL,
) {
    let thread = this_thread();
    let name = kind.name();
    let mut locks = LOCKS.lock();
    let unknown = kind.is_registered() && locks.get(&address).is_none_or(|one| !one.registered);
    let record = locks
        .entry(address)
        .or_insert_with(|| Record::new(kind, machine, false));
    let again = record.is_held_by(thread);
    // Only a resource may be acquired again, and not exclusively by one of its readers.
    let upgrade = mode == Mode::Exclusive && record.writer.is_none();
    let deadlock = again && (kind != Kind::Resource || upgrade);
    if !again && !record.can_be_had(mode) {
        let changed = Arc::clone(&record.changed);
        let writers = usize::from(mode == Mode::Exclusive);
        record.waiters += 1;
        record.waiting_writers += writers;
        loop {
            changed.wait(&mut locks);
            // A record stays while somebody waits for it.
            let Some(record) = locks.get_mut(&address) else {
                break;
            };
            if record.can_be_had(mode) {
                record.waiters -= 1;
                record.waiting_writers -= writers;
                break;
            }
        }
    }
    if let Some(record) = locks.get_mut(&address) {
        record.take(thread, mode);
    }
    drop(locks);
    hold(machine, call, kind, address, irql, unknown);
    if deadlock {
        let text =
            format!("this thread holds the {name} at {address:#x} and would wait for itself");
        stop(machine, call, SELF_DEADLOCK, address, text);
    }
}

/// Writes down that this thread holds a lock.
fn hold(
    machine: Option<&Arc<Inner>>,
    call: &'static str,
    kind: Kind,
    address: usize,
    irql: KIRQL,
    unknown: bool,
) {
    HELD.with_borrow_mut(|held| {
        held.push(Held {
            address,
            kind,
            irql,
        });
    });
    if unknown {
        let name = kind.name();
        let text = format!("{address:#x} is acquired and is no initialised {name}");
        stop(machine, call, UNINITIALISED, address, text);
    }
}

/// As [`acquire`], without waiting; gives whether the lock was taken.
pub(crate) fn try_acquire(
    machine: Option<&Arc<Inner>>,
    call: &'static str,
    kind: Kind,
    mode: Mode,
    address: usize,
    irql: KIRQL,
) -> bool {
    let thread = this_thread();
    let mut locks = LOCKS.lock();
    let unknown = kind.is_registered() && locks.get(&address).is_none_or(|one| !one.registered);
    let record = locks
        .entry(address)
        .or_insert_with(|| Record::new(kind, machine, false));
    let upgrade = mode == Mode::Exclusive && record.writer.is_none();
    let again = record.is_held_by(thread) && kind == Kind::Resource && !upgrade;
    let had = again || record.can_be_had(mode);
    if had {
        record.take(thread, mode);
    } else if !record.is_needed() {
        locks.remove(&address);
    }
    drop(locks);
    if had {
        hold(machine, call, kind, address, irql, unknown);
    }
    had
}

/// Whether nobody holds a lock.
pub(crate) fn is_free(address: usize) -> bool {
    LOCKS
        .lock()
        .get(&address)
        .is_none_or(|record| !record.is_held())
}

/// How many threads wait for a lock exclusively, and how many shared.
pub(crate) fn waiters(address: usize) -> (usize, usize) {
    LOCKS.lock().get(&address).map_or((0, 0), |record| {
        (
            record.waiting_writers,
            record.waiters - record.waiting_writers,
        )
    })
}

/// Makes a lock shared that this thread holds exclusively.
pub(crate) fn share(machine: Option<&Arc<Inner>>, call: &'static str, kind: Kind, address: usize) {
    let mut locks = LOCKS.lock();
    let record = locks.get_mut(&address);
    let owned = record.and_then(|record| match record.writer {
        Some((writer, count)) if writer == this_thread() => Some((record, count)),
        _ => None,
    });
    let Some((record, count)) = owned else {
        drop(locks);
        let name = kind.name();
        let text = format!("the {name} at {address:#x} is not held exclusively by this thread");
        stop(machine, call, NOT_ACQUIRED, address, text);
        return;
    };
    record.writer = None;
    record.readers.extend((0..count).map(|_| this_thread()));
    record.changed.notify_all();
}

/// Makes a lock exclusive that only this thread holds shared; gives whether it does.
pub(crate) fn try_own(address: usize) -> bool {
    let mut locks = LOCKS.lock();
    let Some(record) = locks.get_mut(&address) else {
        return false;
    };
    let alone = record.writer.is_none() && record.readers == [this_thread()];
    if alone {
        record.readers.clear();
        record.writer = Some((this_thread(), 1));
    }
    alone
}

/// Gives a lock that this thread holds to an owner that is no thread.
pub(crate) fn set_owner(
    machine: Option<&Arc<Inner>>,
    call: &'static str,
    kind: Kind,
    address: usize,
    owner: u64,
) {
    let thread = this_thread();
    let mut locks = LOCKS.lock();
    let record = locks.get_mut(&address);
    let Some(record) = record.filter(|record| record.is_held_by(thread)) else {
        drop(locks);
        let name = kind.name();
        let text = format!("the {name} at {address:#x} is given away and not held by this thread");
        stop(machine, call, NOT_ACQUIRED, address, text);
        return;
    };
    match &mut record.writer {
        Some((writer, _)) => *writer = owner,
        None => {
            for reader in record
                .readers
                .iter_mut()
                .filter(|reader| **reader == thread)
            {
                *reader = owner;
            }
        }
    }
    drop(locks);
    HELD.with_borrow_mut(|held| held.retain(|one| one.address != address || one.kind != kind));
}

/// Gives one acquisition back that an owner has who is no thread.
pub(crate) fn release_of(
    machine: Option<&Arc<Inner>>,
    call: &'static str,
    kind: Kind,
    address: usize,
    owner: u64,
) {
    let mut locks = LOCKS.lock();
    let record = locks.get_mut(&address);
    let Some(record) = record.filter(|record| record.is_held_by(owner)) else {
        drop(locks);
        let name = kind.name();
        let text = format!("the {name} at {address:#x} is released and not held by {owner:#x}");
        stop(machine, call, NOT_ACQUIRED, address, text);
        return;
    };
    record.give(owner);
    record.changed.notify_all();
    if !record.is_needed() {
        locks.remove(&address);
    }
}

/// Gives a lock back and returns the IRQL from before; `None` if this thread does not hold it.
pub(crate) fn release(
    machine: Option<&Arc<Inner>>,
    call: &'static str,
    kind: Kind,
    address: usize,
) -> Option<KIRQL> {
    let name = kind.name();
    let mine = HELD.with_borrow_mut(|held| {
        let at = held
            .iter()
            .rposition(|one| one.address == address && one.kind == kind)?;
        // What was acquired at the raised level does not lower it.
        let lowers = held[at].irql < irql::current();
        let raised_later = lowers && held[at + 1..].iter().any(|one| one.kind.raises());
        Some((held.remove(at).irql, raised_later))
    });
    let Some((irql, raised_later)) = mine else {
        let text = format!("the {name} at {address:#x} is released and not held by this thread");
        stop(machine, call, NOT_ACQUIRED, address, text);
        return None;
    };
    let mut locks = LOCKS.lock();
    if let Some(record) = locks.get_mut(&address) {
        record.give(this_thread());
        if record.waiters > 0 {
            record.changed.notify_all();
        }
        if !record.is_needed() {
            locks.remove(&address);
        }
    }
    drop(locks);
    if raised_later && kind.raises() {
        let text =
            format!("the {name} at {address:#x} lowers the IRQL under a lock acquired after it");
        violation(machine, call, text);
    }
    Some(irql)
}

/// How often this thread has acquired a lock.
pub(crate) fn acquisitions(address: usize) -> u32 {
    let count = HELD.with_borrow(|held| held.iter().filter(|one| one.address == address).count());
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Whether this thread holds a lock exclusively.
pub(crate) fn is_writer(address: usize) -> bool {
    let locks = LOCKS.lock();
    let writer = locks.get(&address).and_then(|record| record.writer);
    writer.is_some_and(|(writer, _)| writer == this_thread())
}

/// Memory is freed: no lock may be left in it.
pub(crate) fn memory_freed(machine: &Arc<Inner>, call: &'static str, address: usize, size: usize) {
    let mut left = Vec::new();
    {
        let mut locks = LOCKS.lock();
        let inside = address..address.saturating_add(size);
        let addresses: Vec<_> = locks.range(inside).map(|(address, _)| *address).collect();
        for address in addresses {
            let Some(record) = locks.get_mut(&address) else {
                continue;
            };
            // Another machine's is a leftover of one that was dropped with its memory.
            if Weak::as_ptr(&record.machine) == Arc::as_ptr(machine) {
                left.push((address, record.kind, record.is_held()));
            }
            record.registered = false;
            if record.waiters == 0 {
                locks.remove(&address);
            }
        }
    }
    for (address, kind, held) in left {
        let state = if held { "held" } else { "not deleted" };
        let name = kind.name();
        let text = format!("freed memory holds a {name}, at {address:#x}, that is {state}");
        if kind == Kind::Resource {
            stop(Some(machine), call, ACTIVE_RESOURCE, address, text);
        } else {
            violation(Some(machine), call, text);
        }
    }
}

/// How many locks this thread holds.
pub(crate) fn held() -> usize {
    HELD.with_borrow(Vec::len)
}

/// Says which locks a callback, which had found so many held, returned with.
pub(crate) fn check_return(machine: &Arc<Inner>, before: usize) {
    let kept: Vec<_> = HELD.with_borrow(|held| {
        let kept = held.iter().skip(before);
        kept.map(|one| (one.kind.name(), one.address)).collect()
    });
    for (name, address) in kept {
        let text = format!("a callback returned and holds the {name} at {address:#x}");
        violation(Some(machine), "", text);
    }
}
