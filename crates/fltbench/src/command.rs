//! Running a driver from a command line: what is printed where, and the exit status.

use crate::door::Door;
use crate::error::Error;
use crate::interrupt;
use crate::progress::{Bar, Progress, Silent};
use crate::report::skips;
use crate::workload::{Options, run};
use std::io::{self, Write};
use std::process::ExitCode;

/// Nothing leaked and no rule was broken.
pub const CLEAN: u8 = 0;
/// A leak, a broken rule, or a driver that did not start or attach.
pub const NOT_CLEAN: u8 = 1;
/// The input was bad.
pub const BAD_INPUT: u8 = 2;

/// What `--help` says about exit statuses.
pub const EXIT_STATUSES: &str = "\
Exit status:
  0    clean: nothing leaked, no rule broken
  1    a leak, a broken rule, or a driver that does not start
  2    bad input: no such directory, not a directory, something unreadable in it
  130  interrupted";

/// Runs the workload, prints the report on standard output (as one JSON object if asked), and
/// everything else on standard error.
#[must_use]
pub fn execute(door: &dyn Door, options: &Options, json: bool) -> ExitCode {
    interrupt::install();
    let bar = Bar::default();
    let progress: &dyn Progress = if json { &Silent } else { &bar };
    let result = run(door, options, progress);
    progress.end();
    let run = match result {
        Ok(run) => run,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(match error {
                Error::Interrupted => interrupt::EXIT_STATUS,
                error if error.is_input() => BAD_INPUT,
                _ => NOT_CLEAN,
            });
        }
    };
    let text = if json {
        eprint!("{}", skips(&run.skipped));
        match serde_json::to_string(&run.report) {
            Ok(json) => json + "\n",
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::from(NOT_CLEAN);
            }
        }
    } else {
        run.report
            .text(run.directories, &run.skipped, &run.debug_output)
    };
    print(&text);
    ExitCode::from(if run.report.is_clean() {
        CLEAN
    } else {
        NOT_CLEAN
    })
}

/// Prints, unless nobody reads: a closed pipe is the reader's choice and changes no verdict.
pub fn print(text: &str) {
    let mut output = io::stdout().lock();
    let _ = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
}
