//! Deferred procedure calls.

use super::{exports, here, write};
use crate::kernel::timer::{Dpc, Routine, run, until_expired};
use fltmgr_sys::*;

exports! {
    /// Initialises a DPC.
    unsafe fn KeInitializeDpc(dpc: *mut Dpc, routine: usize, context: PVOID) {
        here("KeInitializeDpc");
        let value = Dpc {
            kind: 0x13,
            links: 0,
            history: 0,
            // SAFETY: a nullable function pointer is one word.
            routine: unsafe { std::mem::transmute::<usize, Routine>(routine) },
            context,
            argument1: std::ptr::null_mut(),
            argument2: std::ptr::null_mut(),
            data: std::ptr::null_mut(),
        };
        // SAFETY: the caller passes memory for a DPC.
        unsafe { write(dpc, value) };
    }

    /// Queues a DPC, which here means that it runs at once, as on an idle processor.
    unsafe fn KeInsertQueueDpc(dpc: *mut Dpc, one: PVOID, two: PVOID) -> BOOLEAN {
        let machine = here("KeInsertQueueDpc");
        // SAFETY: the caller passes an initialised DPC.
        unsafe { (*dpc).argument1 = one };
        // SAFETY: as above.
        unsafe { (*dpc).argument2 = two };
        if let Some(machine) = machine {
            // SAFETY: as above.
            unsafe { run(&machine, dpc) };
        }
        1
    }

    /// Takes a DPC out of the queue, where none ever is.
    unsafe fn KeRemoveQueueDpc(_dpc: *mut Dpc) -> BOOLEAN {
        0
    }

    /// Waits until every queued DPC has run.
    unsafe fn KeFlushQueuedDpcs() {
        here("KeFlushQueuedDpcs");
        until_expired(0);
    }
}
