//! Why there is no report.

use fltmgr_sys::NTSTATUS;
use std::io;
use std::path::PathBuf;

/// Why a run came to no report. Every message is one line and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing at the path.
    #[error("{} does not exist; name a directory that does", .0.display())]
    NoSuchDirectory(PathBuf),
    /// There is something else than a directory at the path.
    #[error("{} is not a directory; name the directory that holds it", .0.display())]
    NotADirectory(PathBuf),
    /// Something below the directory cannot be read.
    #[error(
        "cannot read {}: {source}; make it readable, or name a directory without it",
        path.display()
    )]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// There is no place for the scratch folder.
    #[error(
        "no writable place for a scratch folder outside {}; set TMPDIR to a directory elsewhere",
        .0.display()
    )]
    NoScratch(PathBuf),
    /// The user asked to stop.
    #[error("interrupted; the driver was unloaded and the scratch folder removed")]
    Interrupted,
    /// The driver did not start.
    #[error("the driver did not start: status {0:#010X}")]
    Start(NTSTATUS),
    /// The driver did not attach to a volume.
    #[error("the driver did not attach to {volume}: status {status:#010X}")]
    Attach {
        /// The name of the volume.
        volume: String,
        /// What it said.
        status: NTSTATUS,
    },
}

impl Error {
    /// Whether the input was bad, and not the driver.
    #[must_use]
    pub const fn is_input(&self) -> bool {
        matches!(
            self,
            Self::NoSuchDirectory(_)
                | Self::NotADirectory(_)
                | Self::Unreadable { .. }
                | Self::NoScratch(_)
        )
    }
}
