//! Running a driver from a command line: what is printed where, and the exit status.

use crate::door::Door;
use crate::error::Error;
use crate::exports::{self, Export, Selection};
use crate::interrupt;
use crate::progress::{Bar, Progress, Silent};
use crate::report::skips;
use crate::workload::{FileSystem, Options, run};
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Nothing leaked and no rule was broken.
pub const CLEAN: u8 = 0;
/// A leak, a broken rule, a bugcheck, or a driver that did not start or attach.
pub const NOT_CLEAN: u8 = 1;
/// The input was bad.
pub const BAD_INPUT: u8 = 2;

/// What `--help` says about exit statuses.
pub const EXIT_STATUSES: &str = "\
Exit status:
  0    clean: nothing leaked, no rule broken
  1    a leak, a broken rule, a bugcheck, or a driver that does not start
  2    bad input: no such directory, not a directory, something unreadable in it, no driver image
  130  interrupted";

/// The flags that a run has, whatever the driver comes from.
#[derive(Clone, Debug, clap::Args)]
pub struct Flags {
    /// The file system that the volumes pretend to have
    #[arg(long, value_name = "FS", value_enum, default_value_t)]
    pub volume: FileSystem,
    /// Prints one JSON object on standard output instead of the table
    #[arg(long)]
    pub json: bool,
    /// Where every unspecified choice comes from: the same seed gives the same counts
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Stops a driver image that comes to no end: one with which nothing goes on for so many
    /// seconds; 0 waits for ever
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub patience: u32,
}

impl Flags {
    /// What to run on, and how.
    #[must_use]
    pub fn options(&self, directory: PathBuf) -> Options {
        Options {
            directory,
            seed: self.seed,
            file_system: self.volume,
        }
    }
}

/// What `--help` says about the exit statuses of a check.
pub const CHECK_STATUSES: &str = "\
Exit status:
  0  no errors; there may be warnings
  1  errors: Windows does not install it, or the driver does not load or attach
  2  bad usage, or no such file";

/// What `--help` says about the exit statuses of a listing.
pub const EXPORTS_STATUSES: &str = "\
Exit status:
  0  listed; with DRIVER.sys: all that it imports is implemented
  1  something that DRIVER.sys imports is missing
  2  bad usage, or no driver image";

/// A value as one line of JSON, with the status that goes with it.
fn json<T: Serialize>(value: &T, status: u8) -> ExitCode {
    match serde_json::to_string(value) {
        Ok(json) => Finished {
            text: json + "\n",
            status,
        }
        .print(),
        Err(error) => failed(&Error::Child(error.into())).print(),
    }
}

/// Checks an INF and prints what was found.
#[must_use]
pub fn inf(path: &Path, as_json: bool) -> ExitCode {
    let checked = match crate::inf::check(path) {
        Ok(checked) => checked,
        Err(error) => return failed(&error).print(),
    };
    let status = if checked.errors == 0 {
        CLEAN
    } else {
        NOT_CLEAN
    };
    if as_json {
        return json(&checked, status);
    }
    let text = checked.text();
    Finished { text, status }.print()
}

/// Lists what the libraries export.
#[must_use]
pub fn exports(selection: Selection, as_json: bool) -> ExitCode {
    list(exports::all(), selection, as_json, CLEAN)
}

/// Lists what an image imports.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[must_use]
pub fn imports(path: &Path, selection: Selection, as_json: bool) -> ExitCode {
    let imports = match exports::of_image(path) {
        Ok(imports) => imports,
        Err(error) => return failed(&error).print(),
    };
    let status = if imports.iter().all(|import| import.implemented) {
        CLEAN
    } else {
        NOT_CLEAN
    };
    list(imports, selection, as_json, status)
}

fn list(mut exports: Vec<Export>, selection: Selection, as_json: bool, status: u8) -> ExitCode {
    exports.retain(|export| selection.takes(export));
    if as_json {
        return json(&exports, status);
    }
    let text = exports::text(&exports);
    Finished { text, status }.print()
}

/// What a run ends with: what to print on standard output, and the exit status.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Finished {
    pub(crate) text: String,
    pub(crate) status: u8,
}

impl Finished {
    pub(crate) fn print(&self) -> ExitCode {
        let status = match print(&self.text) {
            Ok(()) => self.status,
            Err(error) => failed(&Error::Output(error)).status,
        };
        ExitCode::from(status)
    }
}

/// Runs the workload, prints the report on standard output (as one JSON object if asked), and
/// everything else on standard error.
#[must_use]
pub fn execute(door: &dyn Door, options: &Options, json: bool) -> ExitCode {
    perform(door, options, json, |shown| shown).print()
}

/// As [`execute`], and leaves printing the report to the caller, who may watch.
pub(crate) fn perform(
    door: &dyn Door,
    options: &Options,
    json: bool,
    watched: impl FnOnce(Box<dyn Progress>) -> Box<dyn Progress>,
) -> Finished {
    interrupt::install();
    let shown: Box<dyn Progress> = if json {
        Box::new(Silent)
    } else {
        Box::new(Bar::default())
    };
    let progress = watched(shown);
    let result = run(door, options, &*progress);
    progress.end();
    let run = match result {
        Ok(run) => run,
        Err(error) => return failed(&error),
    };
    let text = if json {
        say(skips(&run.skipped).trim_end());
        match serde_json::to_string(&run.report) {
            Ok(json) => json + "\n",
            Err(error) => return failed(&Error::Child(error.into())),
        }
    } else {
        run.report
            .text(run.directories, &run.skipped, &run.debug_output)
    };
    let status = if run.report.is_clean() {
        CLEAN
    } else {
        NOT_CLEAN
    };
    Finished { text, status }
}

/// Says why there is no report.
pub(crate) fn failed(error: &Error) -> Finished {
    say(format_args!("error: {error}"));
    let status = match error {
        Error::Interrupted | Error::Left => interrupt::EXIT_STATUS,
        error if error.is_input() => BAD_INPUT,
        _ => NOT_CLEAN,
    };
    let text = String::new();
    Finished { text, status }
}

/// Prints, unless nobody reads: a closed pipe is the reader's choice and changes no verdict.
fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    let printed = output.write_all(text.as_bytes());
    match printed.and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Says something on standard error, if there is anything to say. What cannot be said changes no
/// verdict.
pub fn say(line: impl Display) {
    let line = line.to_string();
    if !line.is_empty() {
        let _ = io::stderr().write_all((line + "\n").as_bytes());
    }
}
