//! A run in a process of its own, so that a driver that stops takes nothing else with it.
//!
//! The process is this program again. It says what came of the run on its standard output: either
//! what to print and to end with, or what stopped the driver and then what had been counted by that
//! time, each in one line of JSON. Standard error is the same for both.

use crate::command::{self, Finished, Flags, NOT_CLEAN};
use crate::error::Error;
use crate::image::{Image, driver_name};
use crate::interrupt;
use crate::report::{Stopped, Violation};
use crate::scan::{Skipped, resolve};
use crate::scratch::Scratch;
use crate::watch::{self, LastWords};
use crate::workload::{FileSystem, Options};
use clap::ValueEnum;
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// Tells the child that it is one. Not for people, so it is no option.
const CHILD: &str = "FLTBENCH_CHILD";

/// How often the child looks whether its parent is still there.
const LOOK: Duration = Duration::from_secs(1);
/// How long an orphan has to unload its driver.
const GRACE: Duration = Duration::from_secs(5);

/// The child that a signal is passed on to.
static RUNNING: AtomicI32 = AtomicI32::new(0);

/// Runs a driver's image over a directory, prints the report, and gives the exit status.
///
/// The program is started again for that: it must begin with [`serve`].
#[must_use]
pub fn run(driver: &Path, inf: Option<&Path>, directory: PathBuf, flags: &Flags) -> ExitCode {
    let job = Job {
        driver: driver.to_owned(),
        inf: inf.map(Path::to_owned),
        directory,
        flags: flags.clone(),
    };
    match parent(&job) {
        Ok(finished) => finished.print(),
        Err(error) => command::failed(&error).print(),
    }
}

/// Does what [`run`] asked of this process, if it was started for that, and gives its exit status.
#[must_use]
pub fn serve() -> Option<ExitCode> {
    std::env::var_os(CHILD)?;
    let Some(job) = Job::from_arguments(std::env::args_os().skip(1)) else {
        command::say(format_args!(
            "error: {CHILD} is set, which only this program does; unset it"
        ));
        return Some(ExitCode::from(command::BAD_INPUT));
    };
    Some(ExitCode::from(child(&job)))
}

/// What the child is to do. It gets there as arguments, which may be any bytes.
#[derive(Debug)]
struct Job {
    driver: PathBuf,
    inf: Option<PathBuf>,
    directory: PathBuf,
    flags: Flags,
}

impl Job {
    fn to_arguments(&self) -> Vec<OsString> {
        let Flags {
            volume,
            json,
            seed,
            patience,
        } = self.flags;
        let volume = volume.to_possible_value();
        let volume = volume.as_ref().map_or("", |value| value.get_name());
        let mut arguments: Vec<OsString> = vec![
            volume.into(),
            json.to_string().into(),
            seed.to_string().into(),
            patience.to_string().into(),
            self.driver.clone().into(),
            self.directory.clone().into(),
        ];
        arguments.extend(self.inf.clone().map(OsString::from));
        arguments
    }

    fn from_arguments(mut arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let mut word = || arguments.next()?.into_string().ok();
        let flags = Flags {
            volume: FileSystem::from_str(&word()?, false).ok()?,
            json: word()?.parse().ok()?,
            seed: word()?.parse().ok()?,
            patience: word()?.parse().ok()?,
        };
        Some(Self {
            driver: arguments.next()?.into(),
            directory: arguments.next()?.into(),
            inf: arguments.next().map(PathBuf::from),
            flags,
        })
    }

    fn options(&self) -> Options {
        self.flags.options(self.directory.clone())
    }
}

fn parent(job: &Job) -> Result<Finished, Error> {
    let root = resolve(&job.directory)?;
    // Before there is anything that could be left behind.
    interrupt::pass_on(stop_child);
    // Where the child puts its own scratch folder, and what goes whatever becomes of the child.
    let scratch = Scratch::outside(&root)?;
    let started = Instant::now();
    let program = std::env::current_exe().map_err(Error::Child)?;
    let mut command = Command::new(program);
    command
        .args(job.to_arguments())
        .env(CHILD, "1")
        .env("TMPDIR", scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // Ctrl-C is for this process, which passes it on.
        .process_group(0);
    if interrupt::asked() {
        return Err(Error::Interrupted);
    }
    let mut child = command.spawn().map_err(Error::Child)?;
    RUNNING.store(i32::try_from(child.id()).unwrap_or(0), Ordering::SeqCst);
    if interrupt::asked() {
        // Perhaps by somebody who did not see it run yet.
        stop_child();
    }
    let mut said = Vec::new();
    if let Some(output) = &mut child.stdout {
        output.read_to_end(&mut said).map_err(Error::Child)?;
    }
    let status = child.wait().map_err(Error::Child)?;
    RUNNING.store(0, Ordering::SeqCst);
    drop(scratch);
    if let Ok(finished) = serde_json::from_slice::<Finished>(&said) {
        return Ok(finished);
    }
    // So soon after its start it has no handler yet.
    let ended = interrupt::asked() && status.signal() == Some(Signal::TERM.as_raw());
    if ended || status.code() == Some(interrupt::EXIT_STATUS.into()) {
        return Err(Error::Left);
    }
    let mut lines = said.split_inclusive(|byte| *byte == b'\n');
    let stopped = lines.next().map(serde_json::from_slice::<Stopped>);
    let Some(Ok(stopped)) = stopped else {
        return Err(Error::ChildDied(how(status)));
    };
    let words = lines.next().map(serde_json::from_slice::<LastWords>);
    let mut words = words.and_then(Result::ok).unwrap_or_default();
    let report = &mut words.report;
    report.driver = driver_name(&job.driver);
    "image".clone_into(&mut report.door);
    report.elapsed_s = started.elapsed().as_secs_f64();
    report.violations.insert(0, Violation::of_stop(&stopped));
    report.stopped = Some(stopped);
    let text = if job.flags.json {
        serde_json::to_string(report).map_err(|error| Error::Child(error.into()))? + "\n"
    } else {
        report.text(0, &Skipped::default(), &words.debug_output)
    };
    Ok(Finished {
        text,
        status: NOT_CLEAN,
    })
}

/// Asks the child to stop.
fn stop_child() {
    if let Some(child) = Pid::from_raw(RUNNING.load(Ordering::SeqCst)) {
        // If it has just ended, there is nobody to tell.
        let _ = kill_process(child, Signal::TERM);
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it exited with status {code}"),
        (None, Some(signal)) => format!("signal {signal} ended it"),
        (None, None) => "it is gone".to_owned(),
    }
}

/// What the child does; gives its exit status.
fn child(job: &Job) -> u8 {
    interrupt::install();
    if let Err(error) = end_with_parent() {
        return command::failed(&Error::Child(error)).status;
    }
    let output = io::stdout().as_fd().try_clone_to_owned();
    let watched = output.and_then(|output| watch::begin(output, job.flags.patience));
    let watched = match watched {
        Ok(watched) => watched,
        Err(error) => return command::failed(&Error::Child(error)).status,
    };
    let finished = match Image::load(&job.driver, job.inf.as_deref()) {
        Ok(door) => {
            for name in door.missing() {
                command::say(format_args!(
                    "note: {name} is not implemented; the driver stops if it calls it"
                ));
            }
            let watched = |shown| watch::watched(shown, watched);
            command::perform(&door, &job.options(), job.flags.json, watched)
        }
        Err(error) => command::failed(&error),
    };
    let mut output = io::stdout().lock();
    let written = serde_json::to_writer(&mut output, &finished);
    if written.is_err() || output.flush().is_err() {
        remove_empty_folder();
        return NOT_CLEAN;
    }
    finished.status
}

/// Sees to it that this process ends soon after the one that started it: nobody would read the
/// report of an orphan. It is asked to stop, and has a while for that.
fn end_with_parent() -> io::Result<()> {
    let parent = getppid();
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
    let watch = move || {
        while getppid() == parent {
            thread::sleep(LOOK);
        }
        thread::sleep(GRACE);
        interrupt::clear();
        remove_empty_folder();
        std::process::exit(interrupt::EXIT_STATUS.into());
    };
    let watch = thread::Builder::new()
        .name("orphan".to_owned())
        .spawn(watch);
    watch.map(drop)
}

/// Removes the folder that the parent has made, and would have removed, unless there is anything in
/// it.
fn remove_empty_folder() {
    let _ = fs::remove_dir(env::temp_dir());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn a_job_arrives_as_it_was() {
        let odd = PathBuf::from(OsString::from_vec(b"not \xFF UTF-8".to_vec()));
        for inf in [None, Some(PathBuf::from("one.inf"))] {
            let job = Job {
                driver: odd.clone(),
                inf,
                directory: PathBuf::from("--json"),
                flags: Flags {
                    volume: FileSystem::Redirector,
                    json: true,
                    seed: u64::MAX,
                    patience: 7,
                },
            };
            let arrived = Job::from_arguments(job.to_arguments().into_iter()).unwrap();
            assert_eq!(format!("{arrived:?}"), format!("{job:?}"));
        }
        assert!(Job::from_arguments(std::iter::empty()).is_none());
    }
}
