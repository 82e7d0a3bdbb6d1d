//! Why there is no report.

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
    /// The workload cannot write what it has to.
    #[error(
        "{} has no room for what the workload writes; make some, or set TMPDIR to a directory \
         elsewhere",
        .0.display()
    )]
    NoRoom(PathBuf),
    /// The image cannot be loaded.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    #[error(transparent)]
    Image(#[from] fltsim::image::Error),
    /// The INF does not say what it has to.
    #[error("{}: {what}; correct it, or name another INF", path.display())]
    Inf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// What was found out cannot be told.
    #[error("standard output cannot be written: {0}; send it somewhere else")]
    Output(#[source] io::Error),
    /// The process that the driver runs in cannot be used.
    #[error("the process for the driver cannot be used: {0}; try again")]
    Child(#[source] io::Error),
    /// The process that the driver ran in ended without a word.
    #[error(
        "the process that ran the driver died without a report: {0}; what the driver did last is unknown"
    )]
    ChildDied(String),
    /// The user asked to stop.
    #[error("interrupted; the driver was unloaded and the scratch folder removed")]
    Interrupted,
    /// The user asked to stop, and did not wait for the driver.
    #[error("interrupted before the driver was unloaded; the scratch folder was removed")]
    Left,
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
                | Self::NoRoom(_)
                | Self::Inf { .. }
                | Self::Output(_)
        ) || self.is_image()
    }

    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    const fn is_image(&self) -> bool {
        matches!(self, Self::Image(_))
    }

    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    const fn is_image(&self) -> bool {
        let _ = self;
        false
    }
}
