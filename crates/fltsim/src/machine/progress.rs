//! Waiting for what other threads do.

use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Lets one thread wait for what others do.
#[derive(Default)]
pub(crate) struct Progress {
    waiting: AtomicUsize,
    generation: Mutex<u64>,
    changed: Condvar,
}

impl Progress {
    /// Something was released.
    pub(crate) fn notify(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            *self.generation.lock() += 1;
            self.changed.notify_all();
        }
    }

    /// Waits until a condition holds; `false` if nothing was released for too long.
    pub(crate) fn wait(&self, patience: Duration, done: impl Fn() -> bool) -> bool {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let result = self.wait_counted(patience, done);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn wait_counted(&self, patience: Duration, done: impl Fn() -> bool) -> bool {
        loop {
            let before = *self.generation.lock();
            if done() {
                return true;
            }
            let deadline = Instant::now() + patience;
            let mut generation = self.generation.lock();
            while *generation == before {
                if self
                    .changed
                    .wait_until(&mut generation, deadline)
                    .timed_out()
                {
                    drop(generation);
                    return done();
                }
            }
        }
    }
}
