//! The interrupt request level, which belongs to a processor on Windows and to a thread here.

use fltmgr_sys::{DISPATCH_LEVEL, KIRQL};
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;

type Job = Box<dyn FnOnce()>;

thread_local! {
    static CURRENT: Cell<KIRQL> = const { Cell::new(0) };
    static DEFERRED: RefCell<Vec<Job>> = const { RefCell::new(Vec::new()) };
}

/// The level of this thread.
#[must_use]
pub fn current() -> KIRQL {
    CURRENT.get()
}

/// Changes the level of this thread and returns the old one.
pub(crate) fn set(level: KIRQL) -> KIRQL {
    let previous = CURRENT.replace(level);
    if level < DISPATCH_LEVEL && previous >= DISPATCH_LEVEL {
        for job in DEFERRED.take() {
            job();
        }
    }
    previous
}

/// Runs a job when this thread is below `DISPATCH_LEVEL` again: a worker cannot get at the
/// processor before, and the same holds here, so that what a thread sees at `DISPATCH_LEVEL` does
/// not depend on luck.
pub(crate) fn when_lowered(job: impl FnOnce() + 'static) {
    DEFERRED.with_borrow_mut(|deferred| deferred.push(Box::new(job)));
}

/// Whether lowering the level would run something.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) fn is_work_waiting() -> bool {
    DEFERRED.with(|deferred| deferred.try_borrow().is_ok_and(|jobs| !jobs.is_empty()))
}

/// Changes the level of this thread until the guard is dropped.
///
/// Lowering is legal too: the machine does it to run a callback that is documented to run at a
/// lower level than the thread that happens to carry it.
#[must_use = "the level is restored when the guard is dropped"]
pub fn raise(level: KIRQL) -> Irql {
    Irql {
        previous: set(level),
        _this_thread: PhantomData,
    }
}

/// Restores the level that a thread had before.
#[derive(Debug)]
pub struct Irql {
    previous: KIRQL,
    _this_thread: PhantomData<*mut ()>,
}

impl Drop for Irql {
    fn drop(&mut self) {
        set(self.previous);
    }
}
