//! Waiting until a word in a driver's memory has changed.

use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicU64, Ordering};

static GUARD: Mutex<()> = Mutex::new(());
static CHANGED: Condvar = Condvar::new();

/// A word of a driver.
///
/// # Safety
/// The address is that of a word, aligned, which stays as long as the result is used.
pub(crate) unsafe fn word<'a>(address: *mut u64) -> &'a AtomicU64 {
    // SAFETY: by this function's contract; whoever else uses it does so atomically.
    unsafe { AtomicU64::from_ptr(address) }
}

/// Waits until a word is as wanted, and gives it.
pub(crate) fn wait(word: &AtomicU64, wanted: impl Fn(u64) -> bool) -> u64 {
    let mut guard = GUARD.lock();
    loop {
        let value = word.load(Ordering::Acquire);
        if wanted(value) {
            return value;
        }
        CHANGED.wait(&mut guard);
    }
}

/// Wakes who waits for a change of any word.
pub(crate) fn wake() {
    let _guard = GUARD.lock();
    CHANGED.notify_all();
}
