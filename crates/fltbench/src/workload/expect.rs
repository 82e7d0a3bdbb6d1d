//! What the workload takes for granted, and what happens if it is wrong.

use crate::error::Error;
use fltmgr_sys::{NTSTATUS, STATUS_END_OF_FILE};
use fltsim::{Handle, IoOptions};

/// Why the workload goes no further. The driver is unloaded all the same.
#[derive(Debug)]
pub(super) enum Stop {
    /// There will be no report.
    Failed(Error),
    /// An operation came out differently than it should on a healthy volume. That is a finding: a
    /// driver that only keeps books must not change what operations do.
    Unexpected(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Says what was being done when something failed.
pub(super) trait Doing<T> {
    /// The value, or a stop that tells what was being done to what.
    fn doing(self, what: &str, path: &str) -> Result<T, Stop>;
}

impl<T> Doing<T> for Result<T, NTSTATUS> {
    fn doing(self, what: &str, path: &str) -> Result<T, Stop> {
        self.map_err(|status| Stop::Unexpected(format!("{what} {path}: status {status:#010X}")))
    }
}

/// Checks that something is as it should be.
pub(super) fn ensure(holds: bool, what: &str, path: &str) -> Result<(), Stop> {
    if holds {
        Ok(())
    } else {
        Err(Stop::Unexpected(format!("{path}: {what}")))
    }
}

/// Checks that a file holds exactly these bytes.
pub(super) fn ensure_contents(
    file: &Handle,
    path: &str,
    expected: &[u8],
    how: IoOptions,
) -> Result<(), Stop> {
    let size = file.size().doing("asking for the size of", path)?;
    ensure(size == expected.len() as u64, "the size is wrong", path)?;
    let mut found = vec![0; expected.len()];
    let mut done = 0;
    while done < found.len() {
        match file.read_with(done as u64, &mut found[done..], how) {
            Ok(0) | Err(STATUS_END_OF_FILE) => break,
            other => done += other.doing("reading", path)?,
        }
    }
    ensure(found == expected, "the contents are wrong", path)
}
