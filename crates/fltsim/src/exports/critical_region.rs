//! Keeping asynchronous procedure calls away, of which there are none here.

use super::{exports, here};
use crate::kernel::irql;
use fltmgr_sys::*;

exports! {
    /// Asynchronous procedure calls are never delivered here, so they need not be kept away.
    unsafe fn KeEnterCriticalRegion() {
        here("KeEnterCriticalRegion");
    }

    /// See `KeEnterCriticalRegion`.
    unsafe fn KeLeaveCriticalRegion() {
        here("KeLeaveCriticalRegion");
    }

    /// Whether asynchronous procedure calls are kept away.
    unsafe fn KeAreApcsDisabled() -> BOOLEAN {
        here("KeAreApcsDisabled");
        BOOLEAN::from(irql::current() >= APC_LEVEL)
    }

    /// Whether all of them are.
    unsafe fn KeAreAllApcsDisabled() -> BOOLEAN {
        here("KeAreAllApcsDisabled");
        BOOLEAN::from(irql::current() >= APC_LEVEL)
    }
}
