//! Structures that a driver reads and writes through a raw pointer.

use std::cell::UnsafeCell;

/// A structure of the driver interface, at a stable address inside the object that owns it.
///
/// # Invariants
/// The structure is plain old data (`Copy`), so no bit pattern that a driver stores is worse than
/// a wrong number. At any moment one thread drives the operation or object that the structure
/// describes; only that thread, and the driver callback that it is in, touch the structure. What
/// a driver does from other threads at the same time is a race on Windows too.
#[repr(transparent)]
pub(crate) struct DriverMemory<T: Copy>(UnsafeCell<T>);

// SAFETY: the contents are plain data without ownership, and access is confined to the driving
// thread by the invariant above.
unsafe impl<T: Copy> Send for DriverMemory<T> {}
// SAFETY: as for `Send`; a shared reference gives copies, never references into the cell.
unsafe impl<T: Copy> Sync for DriverMemory<T> {}

impl<T: Copy> DriverMemory<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// What the driver gets.
    pub(crate) const fn pointer(&self) -> *mut T {
        self.0.get()
    }

    pub(crate) fn load(&self) -> T {
        // SAFETY: the pointer comes from a live cell, and by the invariant no other thread writes
        // to it now.
        unsafe { self.0.get().read() }
    }

    pub(crate) fn store(&self, value: T) {
        // SAFETY: as for `load`; the old value needs no drop because it is `Copy`.
        unsafe { self.0.get().write(value) }
    }

    /// Changes a copy and writes it back.
    pub(crate) fn modify(&self, change: impl FnOnce(&mut T)) {
        let mut value = self.load();
        change(&mut value);
        self.store(value);
    }
}
