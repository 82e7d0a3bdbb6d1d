//! Why an image cannot be loaded.

use std::io;

/// Why an image cannot be loaded. The message is one line; it names the file, the field of the
/// format that is at fault, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct Error {
    file: String,
    #[source]
    problem: Problem,
}

impl Error {
    pub(crate) fn new(file: &str, problem: Problem) -> Self {
        Self {
            file: file.to_owned(),
            problem,
        }
    }

    /// The file, as it was named.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What is wrong with it, by itself.
    #[must_use]
    pub fn into_problem(self) -> Problem {
        self.problem
    }

    /// What is wrong with it.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

/// What is wrong with an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot be read: {0}; name a driver image that can")]
    Unreadable(#[source] io::Error),
    /// The file has no bytes.
    #[error("the file is empty; build the driver again")]
    Empty,
    /// The file is larger than any driver.
    #[error("the file has {0} bytes and no driver is larger than {max}; name a driver image",
        max = super::layout::LARGEST)]
    TooLarge(u64),
    /// It is something else than a PE image.
    #[error("{field}: {found}, so this is no PE image; name a .sys file that a linker made")]
    NotAnImage {
        /// The field.
        field: &'static str,
        /// What was found there.
        found: String,
    },
    /// The file ends too early.
    #[error(
        "{field}: ends at byte {end:#x} of a file of {len:#x} bytes; the file is truncated, copy it again"
    )]
    Truncated {
        /// The field.
        field: String,
        /// Where it would end.
        end: u64,
        /// Where the file ends.
        len: u64,
    },
    /// It is for another processor.
    #[error(
        "FileHeader.Machine: {machine:#06x} ({name}); build the driver for x64 (x86_64-pc-windows-msvc)"
    )]
    Machine {
        /// The value.
        machine: u16,
        /// What it stands for.
        name: &'static str,
    },
    /// It is a 32-bit image.
    #[error(
        "OptionalHeader.Magic: {0:#06x}, a 32-bit image; build the driver for x64 (x86_64-pc-windows-msvc)"
    )]
    Not64Bit(u16),
    /// It is a program or a library of user mode.
    #[error(
        "OptionalHeader.Subsystem: {subsystem} ({name}); a driver is native, link it with /subsystem:native"
    )]
    NotNative {
        /// The value.
        subsystem: u16,
        /// What it stands for.
        name: &'static str,
    },
    /// A field has a value that Windows would not accept either.
    #[error("{field}: {what}; the image is malformed, link the driver again")]
    Malformed {
        /// The field.
        field: String,
        /// What is wrong with it.
        what: String,
    },
    /// It uses something that drivers cannot use, or that this loader does not know.
    #[error("{field}: {what}")]
    Unsupported {
        /// The field.
        field: String,
        /// What it is, and what to do.
        what: String,
    },
    /// The host has no memory for it.
    #[error("mapping {bytes:#x} bytes failed: {source}; free some memory")]
    NoMemory {
        /// How many bytes.
        bytes: usize,
        /// What the host said.
        source: io::Error,
    },
    /// There are too many images in the process.
    #[error("this process has loaded {0} images already; start another one")]
    TooMany(usize),
}

impl Problem {
    pub(crate) fn malformed(field: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Malformed {
            field: field.into(),
            what: what.into(),
        }
    }

    pub(crate) fn unsupported(field: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Unsupported {
            field: field.into(),
            what: what.into(),
        }
    }
}
