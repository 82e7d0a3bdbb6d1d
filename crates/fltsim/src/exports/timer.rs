//! Timers of the executive: allocated by the kernel, with a callback.

use super::dpc::KeInitializeDpc;
use super::ke_timer::{KeCancelTimer, KeInitializeTimerEx, KeSetTimerEx};
use super::{bad_pointer, exports, here, here_at_most};
use crate::kernel::ex_timer::{Callback, ExTimer};
use crate::kernel::timer::{Dpc, until_expired};
use crate::machine::Inner;
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;

const HIGH_RESOLUTION: ULONG = 0x4;
const NO_WAKE: ULONG = 0x8;
const NOTIFICATION: ULONG = 0x8000_0000;
/// How many units of 100 ns a millisecond has.
const MILLISECOND: i64 = 10_000;

/// A timer that exists, or a report. The arguments may have a limit of their own for the IRQL.
fn known(call: &'static str, timer: PVOID, limit: Option<KIRQL>) -> Option<Arc<Inner>> {
    let machine = here_at_most(call, limit)?;
    let exists = machine.timers.0.lock().contains_key(&(timer as usize));
    if !exists {
        bad_pointer(call, "Timer", timer as usize, "timer of ExAllocateTimer");
    }
    exists.then_some(machine)
}

fltapi! {
    /// What the DPC of every such timer runs.
    ///
    /// # Safety
    /// The context is a timer that has not been deleted.
    unsafe fn expired(_dpc: *mut Dpc, context: PVOID, _one: PVOID, _two: PVOID) {
        let timer = context.cast::<ExTimer>();
        // SAFETY: by this function's contract.
        let callback = unsafe { (*timer).callback };
        // SAFETY: by this function's contract.
        let argument = unsafe { (*timer).context };
        if let Some(callback) = callback {
            // SAFETY: the driver's own callback, with what it has passed for it.
            unsafe { callback(context, argument) };
        }
    }
}

exports! {
    /// Allocates a timer.
    unsafe fn ExAllocateTimer(callback: Callback, context: PVOID, attributes: ULONG) -> PVOID {
        const CALL: &str = "ExAllocateTimer";
        let Some(machine) = here(CALL) else {
            return null_mut();
        };
        let wrong = attributes & !(HIGH_RESOLUTION | NO_WAKE | NOTIFICATION) != 0
            || attributes & (HIGH_RESOLUTION | NO_WAKE) == HIGH_RESOLUTION | NO_WAKE;
        if wrong {
            let text = format!("{attributes:#x} is no set of attributes of a timer");
            machine.verifier.violation(Rule::V0, CALL, text);
            return null_mut();
        }
        // SAFETY: integers, nullable pointers and functions; all-zero is a valid one.
        let mut made: Box<ExTimer> = Box::new(unsafe { std::mem::zeroed() });
        made.callback = callback;
        made.context = context;
        let pointer = &raw mut *made;
        let kind = i32::from(attributes & NOTIFICATION == 0);
        // SAFETY: memory for a timer.
        unsafe { KeInitializeTimerEx(pointer.cast(), kind) };
        // SAFETY: a place in the memory that was just made.
        let dpc = unsafe { &raw mut (*pointer).dpc };
        // SAFETY: memory for a DPC.
        unsafe { KeInitializeDpc(dpc, expired as *const () as usize, pointer.cast()) };
        machine.held.add("timer", pointer as usize, CALL);
        machine.timers.0.lock().insert(pointer as usize, made);
        pointer.cast()
    }

    /// Sets a timer. Gives whether it was set already.
    unsafe fn ExSetTimer(timer: PVOID, due: i64, period: i64, _parameters: PVOID) -> BOOLEAN {
        const CALL: &str = "ExSetTimer";
        let Some(machine) = known(CALL, timer, None) else {
            return 0;
        };
        if due > 0 || period < 0 {
            let text = "a timer of this sort is set relative to now, and its period is not negative";
            machine.verifier.violation(Rule::V0, CALL, text);
            return 0;
        }
        let period = i32::try_from((period + MILLISECOND - 1) / MILLISECOND).unwrap_or(i32::MAX);
        // SAFETY: a place in a timer that exists.
        let dpc = unsafe { &raw mut (*timer.cast::<ExTimer>()).dpc };
        // SAFETY: both are initialised.
        unsafe { KeSetTimerEx(timer.cast(), due, period, dpc) }
    }

    /// Cancels a timer. Gives whether it was set.
    unsafe fn ExCancelTimer(timer: PVOID, _parameters: PVOID) -> BOOLEAN {
        if known("ExCancelTimer", timer, None).is_none() {
            return 0;
        }
        // SAFETY: a timer that exists.
        unsafe { KeCancelTimer(timer.cast()) }
    }

    /// Deletes a timer, and waits for its callback if that is asked for.
    unsafe fn ExDeleteTimer(
        timer: PVOID,
        cancel: BOOLEAN,
        wait: BOOLEAN,
        _parameters: PVOID,
    ) -> BOOLEAN {
        const CALL: &str = "ExDeleteTimer";
        let Some(machine) = known(CALL, timer, (wait != 0).then_some(APC_LEVEL)) else {
            return 0;
        };
        if wait != 0 && cancel == 0 {
            let text = "waiting for a timer that is not cancelled is not allowed";
            machine.verifier.violation(Rule::V0, CALL, text);
        }
        // A timer that is not cancelled still expires, if it does so once only.
        // SAFETY: a timer that exists.
        let once = unsafe { (*timer.cast::<ExTimer>()).timer.period } == 0;
        let was_set = if cancel != 0 || !once {
            // SAFETY: as above.
            unsafe { KeCancelTimer(timer.cast()) }
        } else {
            0
        };
        if wait != 0 {
            until_expired(timer as usize);
        }
        machine.held.remove(timer as usize);
        if let Some(gone) = machine.timers.0.lock().remove(&(timer as usize)) {
            // Its callback may run just now, or later, if nobody waited: the memory stays.
            if wait == 0 {
                Box::leak(gone);
            }
        }
        was_set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::testing::broken_at;

    #[test]
    fn at_dispatch_level_a_timer_is_deleted_without_waiting() {
        let delete_at = |level, wait| {
            broken_at(level, || {
                // SAFETY: no callback.
                let timer = unsafe { ExAllocateTimer(None, null_mut(), 0) };
                // SAFETY: a timer that exists.
                assert_eq!(unsafe { ExDeleteTimer(timer, 1, wait, null_mut()) }, 0);
            })
        };
        assert_eq!(delete_at(DISPATCH_LEVEL, 0), []);
        assert_eq!(delete_at(APC_LEVEL, 1), []);
        let expected = [(Rule::V6, "ExDeleteTimer")];
        assert_eq!(delete_at(DISPATCH_LEVEL, 1), expected);
    }
}
