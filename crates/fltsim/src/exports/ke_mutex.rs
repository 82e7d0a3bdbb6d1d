//! Mutexes of the dispatcher (`KMUTEX`); the fast and guarded ones are in `mutex.rs`.

use super::{exports, here, misuse, write};
use crate::kernel::dispatcher::{self, MUTANT, Mutant, header};
use crate::verifier::Rule;
use fltmgr_sys::*;

exports! {
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
        // SAFETY: the caller passes an initialised mutex.
        let (before, was_held) = unsafe { dispatcher::release_mutant(mutex) };
        if !was_held {
            let text = format!(
                "the mutex at {:#x} is released more often than it was acquired by this thread",
                mutex as usize
            );
            misuse(Rule::V0, CALL, text);
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::wait::wait;
    use crate::kernel::dispatcher::STATUS_TIMEOUT;
    use std::thread;

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
}
