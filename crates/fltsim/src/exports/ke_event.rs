//! Events in the memory of drivers.

use super::{exports, here, here_at_most};
use crate::kernel::dispatcher::change;
use fltmgr_sys::*;

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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::testing::broken_at;
    use crate::kernel::dispatcher::{NOTIFICATION_EVENT, header};
    use crate::verifier::Rule;

    #[test]
    fn a_signal_before_a_wait_is_for_lower_levels_than_one_alone() {
        let set = |level, wait| {
            // SAFETY: an event is integers and pointers.
            let mut event: KEVENT = unsafe { std::mem::zeroed() };
            event.Header = header(&raw mut event.Header, NOTIFICATION_EVENT, 1);
            broken_at(level, || {
                // SAFETY: an initialised event.
                assert_eq!(unsafe { KeSetEvent(&raw mut event, 0, wait) }, 1);
            })
        };
        assert_eq!(set(DISPATCH_LEVEL, 0), []);
        assert_eq!(set(APC_LEVEL, 1), []);
        assert_eq!(set(DISPATCH_LEVEL, 1), [(Rule::V6, "KeSetEvent")]);
    }
}
