//! Failures on demand.

use crate::manager::context::ContextKind;
use fltmgr_sys::NTSTATUS;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// A failure that happens once, after a number of calls that still succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The pool is exhausted in `FltAllocateContext`.
    Allocation {
        /// Calls that succeed before.
        after: u64,
    },
    /// `FltAllocateContext` returns `STATUS_NOT_SUPPORTED`.
    AllocationNotSupported {
        /// Calls that succeed before.
        after: u64,
    },
    /// Setting a context of this kind fails with this status.
    Set {
        /// The kind.
        kind: ContextKind,
        /// The status.
        status: NTSTATUS,
        /// Calls that succeed before.
        after: u64,
    },
    /// `FltEnlistInTransaction` fails with `STATUS_INSUFFICIENT_RESOURCES`.
    Enlist {
        /// Calls that succeed before.
        after: u64,
    },
    /// `FltCreateSectionForDataScan` fails with this status.
    Section {
        /// The status.
        status: NTSTATUS,
        /// Calls that succeed before.
        after: u64,
    },
    /// An operation conflicts with a section before `FltCreateSectionForDataScan` has returned.
    SectionConflict {
        /// Calls without a conflict before.
        after: u64,
    },
    /// `ExAllocatePool2` or `ExAllocatePoolWithTag` returns null.
    Pool {
        /// Calls that succeed before.
        after: u64,
    },
}

impl Fault {
    fn after(&mut self) -> &mut u64 {
        match self {
            Self::Allocation { after }
            | Self::AllocationNotSupported { after }
            | Self::Set { after, .. }
            | Self::Enlist { after }
            | Self::Section { after, .. }
            | Self::SectionConflict { after }
            | Self::Pool { after } => after,
        }
    }
}

/// The failures that are still to come.
#[derive(Default)]
pub(crate) struct Faults {
    armed: AtomicBool,
    list: Mutex<Vec<Fault>>,
}

impl Faults {
    pub(crate) fn inject(&self, fault: Fault) {
        self.list.lock().push(fault);
        self.armed.store(true, Ordering::Release);
    }

    /// Counts one call, and returns the failure whose time has come.
    pub(crate) fn take(&self, wanted: impl Fn(&Fault) -> bool) -> Option<Fault> {
        if !self.armed.load(Ordering::Acquire) {
            return None;
        }
        let mut list = self.list.lock();
        let mut due = None;
        for (index, fault) in list.iter_mut().enumerate() {
            if wanted(fault) {
                let after = fault.after();
                if *after > 0 {
                    *after -= 1;
                } else if due.is_none() {
                    due = Some(index);
                }
            }
        }
        let fault = due.map(|index| list.remove(index));
        self.armed.store(!list.is_empty(), Ordering::Release);
        fault
    }
}
