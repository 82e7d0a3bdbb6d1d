//! A run in a process of its own, so that a driver that stops takes nothing else with it.
//!
//! The process is this program again. It says what came of the run on its standard output, in one
//! line of JSON: either what to print and to end with, or what stopped the driver. Standard error
//! is the same for both.

use crate::command::{self, Finished, NOT_CLEAN};
use crate::error::Error;
use crate::interrupt;
use crate::report::{Report, Stopped, Violation};
use crate::scan::{Skipped, resolve};
use crate::scratch::Scratch;
use crate::workload::Options;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Instant;

/// Tells the child that it is one. Not for people, so it is no option.
const CHILD: &str = "FLTBENCH_CHILD";

/// The child that a signal is passed on to.
static RUNNING: AtomicI32 = AtomicI32::new(0);

/// Runs a driver's image over a directory, prints the report, and gives the exit status.
///
/// This program is started again with its own arguments, and gets here again.
#[must_use]
pub fn run(path: &Path, inf: Option<&Path>, options: &Options, json: bool) -> ExitCode {
    if std::env::var_os(CHILD).is_some() {
        return ExitCode::from(child(path, inf, options, json));
    }
    match parent(path, options, json) {
        Ok(finished) => finished.print(),
        Err(error) => command::failed(&error).print(),
    }
}

fn parent(path: &Path, options: &Options, json: bool) -> Result<Finished, Error> {
    let root = resolve(&options.directory)?;
    // Where the child puts its own scratch folder, and what goes whatever becomes of the child.
    let scratch = Scratch::outside(&root)?;
    let started = Instant::now();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let program = std::env::current_exe().map_err(Error::Child)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env(CHILD, "1")
        .env("TMPDIR", scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // Ctrl-C is for this process, which passes it on.
        .process_group(0);
    interrupt::pass_on(|| {
        if let Some(child) = Pid::from_raw(RUNNING.load(Ordering::Acquire)) {
            // If it has just ended, there is nobody to tell.
            let _ = kill_process(child, Signal::TERM);
        }
    });
    let mut child = command.spawn().map_err(Error::Child)?;
    RUNNING.store(i32::try_from(child.id()).unwrap_or(0), Ordering::Release);
    let mut said = Vec::new();
    if let Some(output) = &mut child.stdout {
        output.read_to_end(&mut said).map_err(Error::Child)?;
    }
    let status = child.wait().map_err(Error::Child)?;
    RUNNING.store(0, Ordering::Release);
    drop(scratch);
    if let Ok(finished) = serde_json::from_slice::<Finished>(&said) {
        return Ok(finished);
    }
    if status.code() == Some(interrupt::EXIT_STATUS.into()) {
        return Err(Error::Interrupted);
    }
    let Ok(stopped) = serde_json::from_slice::<Stopped>(&said) else {
        return Err(Error::ChildDied(how(status)));
    };
    let stem = path.file_stem().unwrap_or(path.as_os_str());
    let mut report = Report {
        driver: stem.to_string_lossy().into_owned(),
        door: "image".to_owned(),
        elapsed_s: started.elapsed().as_secs_f64(),
        ..Report::default()
    };
    report.violations.push(Violation::of_stop(&stopped));
    report.stopped = Some(stopped);
    let text = if json {
        serde_json::to_string(&report).map_err(|error| Error::Child(error.into()))? + "\n"
    } else {
        report.text(0, &Skipped::default(), &[])
    };
    Ok(Finished {
        text,
        status: NOT_CLEAN,
    })
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it exited with status {code}"),
        (None, Some(signal)) => format!("signal {signal} ended it"),
        (None, None) => "it is gone".to_owned(),
    }
}

/// What the child does; gives its exit status.
fn child(path: &Path, inf: Option<&Path>, options: &Options, json: bool) -> u8 {
    // Nobody would read the report of an orphan.
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
    match io::stdout().as_fd().try_clone_to_owned() {
        Ok(output) => fltsim::image::report_to(output),
        Err(error) => return command::failed(&Error::Child(error)).status,
    }
    let finished = match crate::image::Image::load(path, inf) {
        Ok(door) => {
            for name in door.missing() {
                eprintln!("note: {name} is not implemented; the driver stops if it calls it");
            }
            command::perform(&door, options, json)
        }
        Err(error) => command::failed(&error),
    };
    let mut output = io::stdout().lock();
    let written = serde_json::to_writer(&mut output, &finished);
    if written.is_err() || output.flush().is_err() {
        return NOT_CLEAN;
    }
    finished.status
}
