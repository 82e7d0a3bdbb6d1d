//! Lists and counters that are changed under a spin lock at any IRQL.

use super::routines;
use fltmgr_sys::*;
use parking_lot::Mutex;
use std::ptr::null_mut;

/// Stands for every lock that these functions are given: by their contract nothing else may take
/// one of those, and none is held for long.
static GUARD: Mutex<()> = Mutex::new(());

/// `SINGLE_LIST_ENTRY`.
#[repr(C)]
pub(crate) struct Single {
    next: *mut Single,
}

/// # Safety
/// `at` is an entry of a list.
unsafe fn read(at: *mut LIST_ENTRY) -> LIST_ENTRY {
    // SAFETY: by this function's contract.
    unsafe { at.read() }
}

/// # Safety
/// Both are entries of a list.
unsafe fn join(one: *mut LIST_ENTRY, two: *mut LIST_ENTRY) {
    // SAFETY: by this function's contract.
    unsafe { (*one).Flink = two };
    // SAFETY: as above.
    unsafe { (*two).Blink = one };
}

/// Puts an entry between two neighbours, one of which is the head; gives the other one.
///
/// # Safety
/// `before` and `after` are neighbours in a list, and `entry` is in none.
unsafe fn insert(
    head: *mut LIST_ENTRY,
    before: *mut LIST_ENTRY,
    entry: *mut LIST_ENTRY,
    after: *mut LIST_ENTRY,
) -> *mut LIST_ENTRY {
    // SAFETY: by this function's contract.
    unsafe { join(before, entry) };
    // SAFETY: as above.
    unsafe { join(entry, after) };
    let other = if before == head { after } else { before };
    if other == head { null_mut() } else { other }
}

/// Takes an entry out, unless it is the head.
///
/// # Safety
/// `entry` is in the list of the head.
unsafe fn remove(head: *mut LIST_ENTRY, entry: *mut LIST_ENTRY) -> *mut LIST_ENTRY {
    if entry == head {
        return null_mut();
    }
    // SAFETY: by this function's contract.
    let links = unsafe { read(entry) };
    // SAFETY: as above.
    unsafe { join(links.Blink, links.Flink) };
    entry
}

routines! {
    /// Adds an entry at the beginning; gives the one that was first.
    unsafe fn ExInterlockedInsertHeadList(
        head: *mut LIST_ENTRY,
        entry: *mut LIST_ENTRY,
        _lock: *mut KSPIN_LOCK,
    ) -> *mut LIST_ENTRY {
        let _guard = GUARD.lock();
        // SAFETY: the caller passes a list.
        let first = unsafe { read(head) }.Flink;
        // SAFETY: as above, and an entry that is in none.
        unsafe { insert(head, head, entry, first) }
    }

    /// Adds an entry at the end; gives the one that was last.
    unsafe fn ExInterlockedInsertTailList(
        head: *mut LIST_ENTRY,
        entry: *mut LIST_ENTRY,
        _lock: *mut KSPIN_LOCK,
    ) -> *mut LIST_ENTRY {
        let _guard = GUARD.lock();
        // SAFETY: the caller passes a list.
        let last = unsafe { read(head) }.Blink;
        // SAFETY: as above, and an entry that is in none.
        unsafe { insert(head, last, entry, head) }
    }

    /// Takes the first entry.
    unsafe fn ExInterlockedRemoveHeadList(
        head: *mut LIST_ENTRY,
        _lock: *mut KSPIN_LOCK,
    ) -> *mut LIST_ENTRY {
        let _guard = GUARD.lock();
        // SAFETY: the caller passes a list.
        let first = unsafe { read(head) }.Flink;
        // SAFETY: as above.
        unsafe { remove(head, first) }
    }

    /// Adds an entry to a singly linked list; gives the one that was first.
    unsafe fn ExInterlockedPushEntryList(
        head: *mut Single,
        entry: *mut Single,
        _lock: *mut KSPIN_LOCK,
    ) -> *mut Single {
        let _guard = GUARD.lock();
        // SAFETY: the caller passes a list.
        let first = unsafe { (*head).next };
        // SAFETY: the caller passes an entry.
        unsafe { (*entry).next = first };
        // SAFETY: as above.
        unsafe { (*head).next = entry };
        first
    }

    /// Takes the first entry of a singly linked list.
    unsafe fn ExInterlockedPopEntryList(head: *mut Single, _lock: *mut KSPIN_LOCK) -> *mut Single {
        let _guard = GUARD.lock();
        // SAFETY: the caller passes a list.
        let first = unsafe { (*head).next };
        if !first.is_null() {
            // SAFETY: an entry of the list.
            let next = unsafe { (*first).next };
            // SAFETY: as above.
            unsafe { (*head).next = next };
        }
        first
    }

    /// Adds to a number; gives what it was.
    unsafe fn ExInterlockedAddUlong(
        number: *mut ULONG,
        more: ULONG,
        _lock: *mut KSPIN_LOCK,
    ) -> ULONG {
        let _guard = GUARD.lock();
        // SAFETY: the caller passes a number.
        let before = unsafe { number.read() };
        // SAFETY: as above.
        unsafe { number.write(before.wrapping_add(more)) };
        before
    }

    /// Adds to a number of 64 bits; gives what it was.
    unsafe fn ExInterlockedAddLargeInteger(
        number: *mut i64,
        more: i64,
        _lock: *mut KSPIN_LOCK,
    ) -> i64 {
        let _guard = GUARD.lock();
        // SAFETY: the caller passes a number.
        let before = unsafe { number.read() };
        // SAFETY: as above.
        unsafe { number.write(before.wrapping_add(more)) };
        before
    }
}
