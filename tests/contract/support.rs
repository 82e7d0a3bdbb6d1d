//! What several rooms of the contract need beside the harness: notes that a callback and its test
//! share, gates between threads, and two ways to set the scene.

use crate::harness::{Ctx, Fixture, KEEP, Plan, Slot, entry};
use fltmgr_sys::*;
use fltsim::{Config, Handle, Unload};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything in these tests takes that is going to happen at all.
const FOREVER: Duration = Duration::from_secs(20);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a callback writes down for the test, or the test for a callback.
#[derive(Debug)]
pub(crate) struct Notes<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Notes<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Notes<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn push(&self, note: T) {
        lock(&self.0).push(note);
    }

    /// Everything so far.
    pub(crate) fn all(&self) -> Vec<T> {
        lock(&self.0).clone()
    }

    /// Everything so far, which is then forgotten.
    pub(crate) fn take(&self) -> Vec<T> {
        std::mem::take(&mut *lock(&self.0))
    }

    /// The only note.
    pub(crate) fn one(&self) -> T {
        let notes = lock(&self.0);
        assert_eq!(notes.len(), 1, "one note");
        notes[0].clone()
    }
}

/// Closed until a thread opens it; other threads wait for that.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *lock(&self.0.0) = true;
        self.0.1.notify_all();
    }

    pub(crate) fn wait(&self) {
        let open = lock(&self.0.0);
        let waited = self.0.1.wait_timeout_while(open, FOREVER, |open| !*open);
        let (open, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(*open, "the gate stayed closed");
    }
}

/// Waits until something has become true on another thread.
pub(crate) fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + FOREVER;
    while !condition() {
        assert!(Instant::now() < deadline, "it did not happen");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Gives another thread the time to do what it must not do.
pub(crate) fn a_moment() {
    thread::sleep(Duration::from_millis(15));
}

/// A machine on which waiting is legal for as long as a test may need.
pub(crate) fn patient(seed: u64) -> Config {
    crate::harness::config(seed).unload_wait(FOREVER)
}

/// A filter with an entry of 64 bytes for each of the seven kinds.
pub(crate) fn all_seven() -> Plan {
    Plan::new().contexts(&[
        entry(FLT_VOLUME_CONTEXT, 64),
        entry(FLT_INSTANCE_CONTEXT, 64),
        entry(FLT_FILE_CONTEXT, 64),
        entry(FLT_STREAM_CONTEXT, 64),
        entry(FLT_STREAMHANDLE_CONTEXT, 64),
        entry(FLT_TRANSACTION_CONTEXT, 64),
        entry(FLT_SECTION_CONTEXT, 64),
    ])
}

/// A context from nonpaged pool that is linked to a slot and to nothing else.
pub(crate) fn linked_nonpaged(fixture: &Fixture, slot: Slot) -> Ctx {
    let ctx = fixture.allocate_from(slot.kind(), NonPagedPoolNx);
    assert_eq!(
        slot.set(KEEP, ctx.pointer()),
        (STATUS_SUCCESS, NULL_CONTEXT)
    );
    ctx.release();
    assert_eq!(fixture.rc(&ctx), 1);
    ctx
}

/// Whether a context is linked to its object.
pub(crate) fn is_linked(fixture: &Fixture, ctx: &Ctx) -> bool {
    let info = fixture.machine.context(ctx.pointer());
    info.is_some_and(|info| info.linked)
}

/// Runs something while a read of the file waits below the filter of the test.
///
/// A second filter, at a lower altitude, holds the read in its pre-operation callback.
pub(crate) fn during_read(fixture: &Fixture, file: &Handle, run: impl FnOnce()) {
    let (arrived, leave) = (Gate::default(), Gate::default());
    let (at_gate, go_on) = (arrived.clone(), leave.clone());
    let plan = Plan::new().named("below", "100000");
    let below = fixture.second_filter(plan.pre(IRP_MJ_READ, move |_| {
        at_gate.open();
        go_on.wait();
        FLT_PREOP_SUCCESS_NO_CALLBACK
    }));
    thread::scope(|scope| {
        let reader = scope.spawn(|| file.read(0, &mut [0; 4]));
        arrived.wait();
        run();
        leave.open();
        let read = reader.join().expect("the reader does not panic");
        assert_eq!(read, Ok(4));
    });
    assert_eq!(below.unload(Unload::Normal), Ok(()));
    below.check();
}
