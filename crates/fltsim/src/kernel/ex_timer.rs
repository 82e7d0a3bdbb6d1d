//! Timers of the executive: allocated by the kernel, with a callback.

use super::timer::{Dpc, Timer};
use fltmgr_sys::PVOID;
use parking_lot::Mutex;
use std::collections::BTreeMap;

pub(crate) type Callback = Option<unsafe extern "win64" fn(PVOID, PVOID)>;

/// A timer. It begins with the one that is waited for, so that threads can wait for it.
#[repr(C)]
pub(crate) struct ExTimer {
    pub(crate) timer: Timer,
    pub(crate) dpc: Dpc,
    pub(crate) callback: Callback,
    pub(crate) context: PVOID,
}

/// The timers of a machine that have not been deleted, by address.
#[derive(Default)]
pub(crate) struct ExTimers(pub(crate) Mutex<BTreeMap<usize, Box<ExTimer>>>);

// SAFETY: the boxes are only moved around here; what is in them is the dispatcher's to change, under
// its lock.
unsafe impl Send for ExTimers {}
// SAFETY: as above.
unsafe impl Sync for ExTimers {}
