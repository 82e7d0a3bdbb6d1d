//! Stopping early without leaving anything behind.

use crate::command::say;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// What a program ends with that was stopped by Ctrl-C, as shells have it.
pub const EXIT_STATUS: u8 = 130;

static ASKED: AtomicBool = AtomicBool::new(false);
static SCRATCH: Mutex<Option<PathBuf>> = Mutex::new(None);

/// From now on Ctrl-C (and `SIGTERM`, and a lost terminal) asks the workload to stop, which then
/// unloads the driver and removes the scratch folder. A second one does not wait for the driver.
pub fn install() {
    // If a handler exists already, whoever installed it knows better.
    let _ = ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::SeqCst) {
            clear();
            std::process::exit(i32::from(EXIT_STATUS));
        }
        say("stopping: unloading the driver (once more to leave at once)");
    });
}

/// Removes the folder that must not be left behind, whatever goes on in it.
pub(crate) fn clear() {
    let scratch = SCRATCH.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(scratch) = &*scratch {
        let _ = std::fs::remove_dir_all(scratch);
    }
}

/// From now on Ctrl-C and its kind go to somebody else as well, who knows how to stop.
pub(crate) fn pass_on(to: impl Fn() + Send + 'static) {
    // As above.
    let _ = ctrlc::set_handler(move || {
        ASKED.store(true, Ordering::SeqCst);
        to();
    });
}

/// Whether somebody asked to stop.
#[must_use]
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// Says which folder must not be left behind; `None` when it is gone.
pub(crate) fn guard(scratch: Option<&Path>) {
    *SCRATCH.lock().unwrap_or_else(PoisonError::into_inner) = scratch.map(Path::to_owned);
}
