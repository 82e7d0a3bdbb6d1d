//! Semaphores.

use super::{exports, here, here_at_most, misuse, write};
use crate::kernel::dispatcher::{SEMAPHORE, change, header};
use crate::verifier::Rule;
use fltmgr_sys::*;

/// `KSEMAPHORE`.
#[repr(C)]
pub(crate) struct Semaphore {
    header: DISPATCHER_HEADER,
    limit: LONG,
}

exports! {
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
            let text = format!(
                "the semaphore at {:#x} is released more often than it was acquired",
                semaphore as usize
            );
            misuse(Rule::V0, CALL, text);
        }
        before
    }

    /// The state of a semaphore.
    unsafe fn KeReadStateSemaphore(semaphore: *mut Semaphore) -> LONG {
        // SAFETY: the caller passes an initialised semaphore.
        unsafe { change(semaphore.cast(), |state| state) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::testing::broken_at;

    #[test]
    fn a_release_before_a_wait_is_for_lower_levels_than_one_alone() {
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
}
