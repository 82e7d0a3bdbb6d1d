//! Which machine, and which callback of a driver, a thread is running.
//!
//! Exports without an argument that names an object (`DbgPrintEx`, `ExAllocatePool2`) find their
//! machine here; the verifier finds out here whether a call comes from a callback that must not
//! make it.

use super::irql::{self, Irql};
use super::lock;
use crate::machine::Inner;
use fltmgr_sys::{KIRQL, UCHAR};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};

/// A callback of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callback {
    DriverEntry,
    Unload,
    InstanceSetup,
    QueryTeardown,
    TeardownStart,
    TeardownComplete,
    /// With the major function code.
    Pre(UCHAR),
    /// With the major function code.
    Post(UCHAR),
    SafePost,
    /// With the address of the context that is cleaned up.
    ContextCleanup(usize),
    ContextAllocate,
    ContextFree,
    Notification,
    SectionConflict,
    WorkItem,
    SystemThread,
    /// A dispatch routine of a driver's own device.
    Dispatch,
    /// A completion routine of an IRP.
    Completion,
    PortConnect,
    PortDisconnect,
    PortMessage,
    EcpCleanup,
    /// A routine of a `FILE_LOCK`: a lock operation is complete, or a lock is gone.
    FileLock,
    /// A routine that is told of what is done with the registry.
    Registry,
    /// Code that a test runs on the machine, not a callback.
    Other,
}

struct Frame {
    machine: Weak<Inner>,
    callback: Callback,
}

thread_local! {
    static FRAMES: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
}

/// A thread inside a machine; dropped when the callback has returned.
pub(crate) struct Scope {
    /// How many locks the thread held before.
    held: usize,
    _irql: Irql,
    _this_thread: PhantomData<*mut ()>,
}

impl Scope {
    /// Enters a callback at a level.
    pub(crate) fn enter(machine: &Arc<Inner>, callback: Callback, level: KIRQL) -> Self {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        crate::image::enter();
        FRAMES.with_borrow_mut(|frames| {
            frames.push(Frame {
                machine: Arc::downgrade(machine),
                callback,
            });
        });
        Self {
            held: lock::held(),
            _irql: irql::raise(level),
            _this_thread: PhantomData,
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let frame = FRAMES.with_borrow_mut(Vec::pop);
        if lock::held() > self.held
            && let Some(machine) = frame.and_then(|frame| frame.machine.upgrade())
        {
            lock::check_return(&machine, self.held);
        }
    }
}

/// The machine that this thread runs, if any.
pub(crate) fn machine() -> Option<Arc<Inner>> {
    FRAMES.with_borrow(|frames| frames.last().and_then(|frame| frame.machine.upgrade()))
}

/// How many callbacks this thread is in, one within the other.
pub(crate) fn depth() -> usize {
    FRAMES.with_borrow(Vec::len)
}

/// The callback that this thread is in, the innermost one.
pub(crate) fn callback() -> Option<Callback> {
    FRAMES.with_borrow(|frames| frames.last().map(|frame| frame.callback))
}

/// Whether this thread is in such a callback, however deep.
pub(crate) fn within(wanted: impl FnMut(Callback) -> bool) -> bool {
    FRAMES.with_borrow(|frames| frames.iter().map(|frame| frame.callback).any(wanted))
}
