//! System worker threads.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

type Job = Box<dyn FnOnce() + Send>;

/// Enough for one job to wait for another.
const WORKERS: usize = 4;

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    running: usize,
    idle: usize,
    /// Jobs that are not queued yet but will be.
    announced: usize,
    stopping: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    quiet: Condvar,
}

/// The work queue of a machine. Threads start with the first job and end with the machine.
#[derive(Default)]
pub(crate) struct WorkQueue {
    shared: Arc<Shared>,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

impl WorkQueue {
    /// Queues a job. It runs at `PASSIVE_LEVEL` on a thread of its own.
    pub(crate) fn push(&self, job: impl FnOnce() + Send + 'static) {
        let mut state = self.shared.state.lock();
        state.jobs.push_back(Box::new(job));
        let needed = state.idle < state.jobs.len();
        drop(state);
        self.shared.work.notify_one();
        if needed {
            let mut workers = self.workers.lock();
            if workers.len() < WORKERS {
                let shared = Arc::clone(&self.shared);
                workers.push(thread::spawn(move || work(&shared)));
            }
        }
    }

    /// Announces a job that this thread will queue later, so that nobody takes the queue for
    /// settled meanwhile.
    pub(crate) fn announce(&self) -> Announced {
        self.shared.state.lock().announced += 1;
        Announced {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Waits until no job is announced, queued or running; `false` if that takes longer than
    /// `limit`, or if this thread is a worker itself, which would wait for its own job.
    pub(crate) fn settle(&self, limit: Duration) -> bool {
        if self.is_worker(thread::current().id()) {
            return false;
        }
        let deadline = Instant::now() + limit;
        let mut state = self.shared.state.lock();
        while !state.jobs.is_empty() || state.running > 0 || state.announced > 0 {
            if self
                .shared
                .quiet
                .wait_until(&mut state, deadline)
                .timed_out()
            {
                return false;
            }
        }
        true
    }

    fn is_worker(&self, thread: ThreadId) -> bool {
        self.workers
            .lock()
            .iter()
            .any(|worker| worker.thread().id() == thread)
    }
}

/// A job to come; dropped once it has been queued.
pub(crate) struct Announced {
    shared: Arc<Shared>,
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.shared.state.lock().announced -= 1;
        self.shared.quiet.notify_all();
    }
}

impl Drop for WorkQueue {
    fn drop(&mut self) {
        self.shared.state.lock().stopping = true;
        self.shared.work.notify_all();
        let this = thread::current().id();
        for worker in self.workers.get_mut().drain(..) {
            // The last owner of a machine may be a job; a thread cannot wait for itself.
            if worker.thread().id() != this {
                let _ = worker.join();
            }
        }
    }
}

fn work(shared: &Shared) {
    let mut state = shared.state.lock();
    loop {
        if let Some(job) = state.jobs.pop_front() {
            state.running += 1;
            drop(state);
            job();
            state = shared.state.lock();
            state.running -= 1;
            if state.running == 0 && state.jobs.is_empty() {
                shared.quiet.notify_all();
            }
        } else if state.stopping {
            return;
        } else {
            state.idle += 1;
            shared.work.wait(&mut state);
            state.idle -= 1;
        }
    }
}
