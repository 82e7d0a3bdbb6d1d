//! Watching a run from the inside of its process: it is stopped if nothing goes on, and if it stops,
//! what had been counted by then is not lost.

use crate::progress::Progress;
use crate::report::{Report, Violation};
use fltsim::Machine;
use fltsim::image::Watch;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// How often somebody looks who waits for ever.
const SELDOM: Duration = Duration::from_hours(1);

/// What is known of a run whose driver has stopped.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LastWords {
    /// The counts so far, and the rules that were broken so far.
    pub(crate) report: Report,
    /// What the driver said to the kernel debugger.
    pub(crate) debug_output: Vec<String>,
}

/// What is seen of a run while it goes on.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    machine: OnceLock<Machine>,
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Seen {
    /// A number that changes when something goes on; none before there is a machine.
    fn activity(&self) -> Option<u64> {
        let operations = self.machine.get()?.statistics().operations;
        Some(operations.values().sum())
    }

    fn last_words(&self) -> LastWords {
        let mut words = LastWords::default();
        words.report.files = self.files.load(Ordering::Relaxed);
        words.report.bytes_read = self.bytes.load(Ordering::Relaxed);
        if let Some(machine) = self.machine.get() {
            words.report.count(&machine.statistics());
            let verifier = machine.verifier();
            let broken = [verifier.bugchecks(), verifier.violations()].concat();
            words.report.violations = broken.iter().map(Violation::from).collect();
            words.debug_output = machine.debug_output();
        }
        words
    }
}

/// Begins to watch this process; what there is to say goes to `output`. A run with which nothing
/// goes on for `patience` seconds is stopped, unless that is 0.
pub(crate) fn begin(output: OwnedFd, patience: u32) -> io::Result<Arc<Seen>> {
    let seen = Arc::new(Seen::default());
    let words = File::from(output.try_clone()?);
    let watch = Watch::new(output)?;
    let watched = Arc::clone(&seen);
    thread::Builder::new()
        .name("watch".to_owned())
        .spawn(move || keep_watch(watch, &watched, words, patience))?;
    Ok(seen)
}

fn keep_watch(watch: Watch, seen: &Seen, mut output: File, patience: u32) {
    let pause = match patience {
        0 => SELDOM,
        seconds => Duration::from_secs(seconds.into()),
    };
    let mut before = None;
    while !watch.wait(pause) {
        let now = seen.activity();
        if patience > 0 && now.is_some() && now == before {
            watch.stop_hanging(patience.into());
            break;
        }
        before = now;
    }
    // If nobody reads, there is nobody to tell. If the driver stopped inside of the machine, so that
    // it cannot be asked, the process ends soon all the same.
    let _ = serde_json::to_writer(&mut output, &seen.last_words())
        .map_err(io::Error::from)
        .and_then(|()| output.flush());
    watch.end()
}

/// Progress that is seen as well as shown.
struct Watched {
    shown: Box<dyn Progress>,
    seen: Arc<Seen>,
}

pub(crate) fn watched(shown: Box<dyn Progress>, seen: Arc<Seen>) -> Box<dyn Progress> {
    Box::new(Watched { shown, seen })
}

impl Progress for Watched {
    fn machine(&self, machine: &Machine) {
        // There is one machine in a run.
        let _ = self.seen.machine.set(machine.clone());
        self.shown.machine(machine);
    }

    fn begin(&self, files: u64, bytes: u64) {
        self.shown.begin(files, bytes);
    }

    fn file(&self) {
        self.seen.files.fetch_add(1, Ordering::Relaxed);
        self.shown.file();
    }

    fn bytes(&self, count: u64) {
        self.seen.bytes.fetch_add(count, Ordering::Relaxed);
        self.shown.bytes(count);
    }

    fn stage(&self, what: &str) {
        self.shown.stage(what);
    }

    fn end(&self) {
        self.shown.end();
    }
}
