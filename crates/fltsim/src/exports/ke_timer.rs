//! Timers in the memory of drivers; those of the executive are in `timer.rs`.

use super::{exports, here, write};
use crate::kernel::dispatcher::{NOTIFICATION_TIMER, SYNCHRONIZATION_TIMER, change, header};
use crate::kernel::timer::{self, Dpc, Timer};
use fltmgr_sys::*;

exports! {
    /// Initialises a notification timer.
    unsafe fn KeInitializeTimer(timer: *mut Timer) {
        // SAFETY: by the caller's promise.
        unsafe { KeInitializeTimerEx(timer, 0) };
    }

    /// Initialises a timer.
    unsafe fn KeInitializeTimerEx(timer: *mut Timer, kind: i32) {
        here("KeInitializeTimerEx");
        let kind = if kind == 0 { NOTIFICATION_TIMER } else { SYNCHRONIZATION_TIMER };
        let value = Timer {
            header: header(timer.cast(), kind, 0),
            due: 0,
            links: LIST_ENTRY { Flink: std::ptr::null_mut(), Blink: std::ptr::null_mut() },
            dpc: std::ptr::null_mut(),
            processor: 0,
            period: 0,
        };
        // SAFETY: the caller passes memory for a timer.
        unsafe { write(timer, value) };
    }

    /// Sets a timer that expires once. Gives whether it was set already.
    unsafe fn KeSetTimer(timer: *mut Timer, due: i64, dpc: *mut Dpc) -> BOOLEAN {
        // SAFETY: by the caller's promise.
        unsafe { KeSetTimerEx(timer, due, 0, dpc) }
    }

    /// Sets a timer, which expires again and again if it has a period.
    unsafe fn KeSetTimerEx(
        timer: *mut Timer,
        due: i64,
        period: LONG,
        dpc: *mut Dpc,
    ) -> BOOLEAN {
        let Some(machine) = here("KeSetTimerEx") else {
            return 0;
        };
        let period = u32::try_from(period).unwrap_or(0);
        // SAFETY: the caller passes an initialised timer, and an initialised DPC or null.
        BOOLEAN::from(unsafe { timer::set(&machine, timer, due, period, dpc) })
    }

    /// Cancels a timer. Gives whether it was set.
    unsafe fn KeCancelTimer(timer: *mut Timer) -> BOOLEAN {
        here("KeCancelTimer");
        BOOLEAN::from(timer::cancel(timer))
    }

    /// Whether a timer has expired.
    unsafe fn KeReadStateTimer(timer: *mut Timer) -> BOOLEAN {
        here("KeReadStateTimer");
        // SAFETY: the caller passes an initialised timer.
        BOOLEAN::from(unsafe { change(timer.cast(), |state| state) } > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Machine;
    use crate::exports::dpc::KeInitializeDpc;
    use crate::exports::wait::wait;
    use crate::kernel::irql;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    #[test]
    fn a_timer_expires_and_runs_its_dpc() {
        fltapi! {
            unsafe fn routine(_dpc: *mut Dpc, context: PVOID, _one: PVOID, _two: PVOID) {
                let level = u64::from(irql::current());
                // SAFETY: the context of this test's DPC is a counter.
                unsafe { &*context.cast::<AtomicU64>() }.fetch_add(100 + level, Ordering::SeqCst);
            }
        }
        let machine = Machine::default();
        let counter = AtomicU64::new(0);
        // SAFETY: integers and pointers.
        let mut dpc: Dpc = unsafe { std::mem::zeroed() };
        // SAFETY: integers and pointers.
        let mut timer: Timer = unsafe { std::mem::zeroed() };
        let (timer, dpc) = (&raw mut timer, &raw mut dpc);
        machine.at_irql(PASSIVE_LEVEL, || {
            let context = (&raw const counter).cast_mut().cast();
            // SAFETY: memory for a DPC.
            unsafe { KeInitializeDpc(dpc, routine as *const () as usize, context) };
            // SAFETY: memory for a timer.
            unsafe { KeInitializeTimerEx(timer, 0) };
            // SAFETY: both are initialised.
            assert_eq!(unsafe { KeSetTimer(timer, -20_000, dpc) }, 0);
            // SAFETY: an initialised timer.
            let status = unsafe { wait("KeWaitForSingleObject", &[timer.cast()], true, None) };
            assert_eq!(status, STATUS_SUCCESS);
        });
        while counter.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        assert_eq!(counter.load(Ordering::SeqCst), 102);
        // SAFETY: an initialised timer.
        assert_eq!(unsafe { KeCancelTimer(timer) }, 0);
    }
}
