//! The `FILE_LOCK` structures of drivers: the locks that each stands for, and whom to tell.
//!
//! What the structure's memory says is for the macros of the headers; what is locked is kept here,
//! by address.

use super::byte_range::{Action, Answer, Ended, Lock, RangeLocks, Ticket, Waiter};
use super::pool;
use crate::machine::Inner;
use crate::verifier::Rule;
use fltmgr_sys::*;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ptr::null_mut;
use std::sync::{Arc, Weak};

/// What a report calls it.
const NAME: &str = "file lock";
/// The tag of the structures that are allocated here: `FLfl`.
const TAG: ULONG = u32::from_le_bytes(*b"FLfl");

/// The structures that are initialised, by address. An address is that of one structure in the
/// whole process, so the machines share the table.
static FILE_LOCKS: Mutex<BTreeMap<usize, Arc<FileLock>>> = Mutex::new(BTreeMap::new());

/// Whom a driver wants to be told.
#[derive(Clone, Copy, Default)]
pub(crate) struct Routines {
    /// Of completed operations, by callback data.
    pub(crate) complete: PFLT_COMPLETE_LOCK_CALLBACK_DATA_ROUTINE,
    /// Of locks that are gone.
    pub(crate) unlock: PUNLOCK_ROUTINE,
}

/// One structure that is initialised.
pub(crate) struct FileLock {
    address: usize,
    machine: Weak<Inner>,
    pub(crate) routines: Routines,
    locks: Mutex<RangeLocks>,
}

/// The structure at an address, if it is initialised.
pub(crate) fn find(file_lock: PFILE_LOCK) -> Option<Arc<FileLock>> {
    FILE_LOCKS.lock().get(&(file_lock as usize)).cloned()
}

/// Allocates and initialises a structure; null if there is no memory. One that is not freed is a
/// leak of pool.
pub(crate) fn allocate(
    machine: &Arc<Inner>,
    call: &'static str,
    memory: FILE_LOCK,
    routines: Routines,
) -> PFILE_LOCK {
    let size = size_of::<FILE_LOCK>() as SIZE_T;
    let address = machine
        .pool
        .allocate(machine, call, PagedPool, size, TAG, true);
    let file_lock = address as PFILE_LOCK;
    if !file_lock.is_null() {
        // SAFETY: a fresh allocation of this size, aligned as pool is.
        unsafe { file_lock.write(memory) };
        register(machine, file_lock, routines);
    }
    file_lock
}

/// Initialises a structure in memory of the driver's.
///
/// # Safety
/// `file_lock` points to memory for one.
pub(crate) unsafe fn initialise(
    machine: &Arc<Inner>,
    call: &'static str,
    file_lock: PFILE_LOCK,
    memory: FILE_LOCK,
    routines: Routines,
) {
    // SAFETY: by this function's contract.
    unsafe { file_lock.write(memory) };
    let address = file_lock as usize;
    if register(machine, file_lock, routines) {
        machine.held.add(NAME, address, call);
    } else {
        let text = format!("the {NAME} at {address:#x} was initialised again");
        machine.verifier.violation(Rule::V23, call, text);
    }
}

/// `false` if there was such a structure already, which this one replaces.
fn register(machine: &Arc<Inner>, file_lock: PFILE_LOCK, routines: Routines) -> bool {
    let address = file_lock as usize;
    let fresh = Arc::new(FileLock {
        address,
        machine: Arc::downgrade(machine),
        routines,
        locks: Mutex::default(),
    });
    let before = FILE_LOCKS.lock().insert(address, fresh);
    // Another machine's is a leftover of one that was dropped with its memory.
    before.is_none_or(|before| !before.is_of(machine))
}

/// Memory is freed: no initialised structure may be left in it.
pub(crate) fn memory_freed(machine: &Arc<Inner>, call: &'static str, address: usize, size: usize) {
    let left: Vec<_> = {
        let mut table = FILE_LOCKS.lock();
        let inside = address..address.saturating_add(size);
        let addresses: Vec<_> = table.range(inside).map(|(address, _)| *address).collect();
        addresses
            .iter()
            .filter_map(|one| table.remove(one))
            .collect()
    };
    for file_lock in left.iter().filter(|one| one.is_of(machine)) {
        machine.held.remove(file_lock.address);
        let (held, waiting) = file_lock.locks.lock().count();
        let text = format!(
            "freed memory holds a {NAME}, at {:#x}, that is not uninitialised, with {held} locks \
             held and {waiting} waited for",
            file_lock.address
        );
        machine.verifier.violation(Rule::V23, call, text);
    }
}

/// Forgets what a machine's drivers have left, after it was reported.
pub(crate) fn forget(machine: &Inner) {
    FILE_LOCKS
        .lock()
        .retain(|_, one| !std::ptr::eq(one.machine.as_ptr(), machine));
}

/// What a driver is told of a lock.
pub(crate) fn information(lock: &Lock) -> FILE_LOCK_INFO {
    let quad = |value: u64| LARGE_INTEGER {
        QuadPart: value.cast_signed(),
    };
    let (start, length) = (lock.range.start, lock.range.length);
    FILE_LOCK_INFO {
        StartingByte: quad(start),
        Length: quad(length),
        ExclusiveLock: BOOLEAN::from(lock.exclusive),
        Key: lock.key,
        FileObject: lock.owner.file as PFILE_OBJECT,
        ProcessId: lock.owner.process as PVOID,
        EndingByte: quad(start.wrapping_add(length).wrapping_sub(1)),
    }
}

impl FileLock {
    fn is_of(&self, machine: &Arc<Inner>) -> bool {
        Weak::as_ptr(&self.machine) == Arc::as_ptr(machine)
    }

    pub(crate) fn machine(&self) -> Option<Arc<Inner>> {
        self.machine.upgrade()
    }

    const fn pointer(&self) -> PFILE_LOCK {
        self.address as PFILE_LOCK
    }

    /// Performs a request; gives what came of it, and the locks that are gone.
    pub(crate) fn perform(
        &self,
        action: Action,
        lock: Lock,
        ticket: Ticket,
        waiter: Option<Waiter>,
    ) -> (Result<Answer, NTSTATUS>, Vec<Lock>, Ended) {
        let mut locks = self.locks.lock();
        let performed = locks.perform(action, lock, ticket, waiter);
        self.publish(&locks);
        (performed.answer, performed.removed, performed.ended)
    }

    /// Takes a lock back that was granted.
    pub(crate) fn revoke(&self, ticket: Ticket) -> Ended {
        let mut locks = self.locks.lock();
        let ended = locks.revoke(ticket);
        self.publish(&locks);
        ended
    }

    /// Whoever has a ticket waits no longer.
    pub(crate) fn withdraw(&self, ticket: Ticket) -> Option<Waiter> {
        self.locks.lock().withdraw(ticket)
    }

    pub(crate) fn allows(&self, access: &Lock) -> bool {
        self.locks.lock().allows(access)
    }

    /// Whether anything is locked.
    pub(crate) fn is_used(&self) -> bool {
        self.locks.lock().count().0 > 0
    }

    /// How often a driver has said that a request is under way (`LockRequestsInProgress`).
    ///
    /// # Safety
    /// The structure is live.
    pub(crate) unsafe fn in_progress(&self) -> LONG {
        // SAFETY: a field of a live structure.
        unsafe { (*self.pointer()).LockRequestsInProgress }
    }

    /// The next lock of the enumeration whose state is in the structure.
    ///
    /// # Safety
    /// The structure is live, and nobody else enumerates it now.
    pub(crate) unsafe fn next(&self, restart: bool) -> PFILE_LOCK_INFO {
        let file_lock = self.pointer();
        // SAFETY: the address of a field of a live structure; nothing is read.
        let state = unsafe { &raw mut (*file_lock).LastReturnedLock };
        let last = if restart {
            0
        } else {
            // SAFETY: a field of a live structure.
            unsafe { state.read() as u64 }
        };
        let Some((ticket, lock)) = self.locks.lock().after(Ticket(last)) else {
            return null_mut();
        };
        // SAFETY: the address of a field of a live structure; nothing is read.
        let place = unsafe { &raw mut (*file_lock).LastReturnedLockInfo };
        // SAFETY: a field of a live structure.
        unsafe { place.write(information(&lock)) };
        // SAFETY: as above.
        unsafe { state.write(ticket.0 as PVOID) };
        place
    }

    /// Says in the structure whether anything is locked.
    fn publish(&self, locks: &RangeLocks) {
        let questionable = BOOLEAN::from(locks.count().0 > 0);
        // SAFETY: the address of a field; the driver keeps a structure that it has initialised, and
        // nothing is read.
        let field = unsafe { &raw mut (*self.pointer()).FastIoIsQuestionable };
        // SAFETY: as above.
        unsafe { field.write(questionable) };
    }

    /// Ends the structure, and gives those who still wait.
    pub(crate) fn end(&self, machine: &Inner) -> Ended {
        FILE_LOCKS.lock().remove(&self.address);
        machine.held.remove(self.address);
        let mut locks = self.locks.lock();
        let ended = locks.clear();
        self.publish(&locks);
        ended
    }

    /// As [`FileLock::end`]; the memory goes back to the pool that it came from.
    pub(crate) fn free(&self, machine: &Arc<Inner>, call: &'static str) -> Ended {
        let (held, waiting) = self.locks.lock().count();
        if held + waiting > 0 && machine.config.strict {
            let text = format!(
                "the {NAME} at {:#x} was freed with {held} locks held and {waiting} waited for",
                self.address
            );
            machine.verifier.violation(Rule::V23, call, text);
        }
        let ended = self.end(machine);
        pool::free(Some(machine), call, self.address, 0);
        ended
    }
}
