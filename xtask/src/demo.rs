//! `cargo xtask demo`: the sample driver over a real directory tree.

use crate::sys::{self, Sample};
use clap::ValueEnum;
use fltbench::{InProcess, command};
use std::path::PathBuf;
use std::process::ExitCode;

/// In the range of activity monitors, where a filter belongs that only watches.
const ALTITUDE: &str = "385000";

/// Runs the sample minifilter ctx over a directory tree and shows what its contexts did.
///
/// Everything under DIR is opened, read or listed, and closed; DIR itself is never modified. Files
/// are copied, rewritten, renamed and deleted in a scratch folder elsewhere, which is removed.
#[derive(clap::Args)]
#[command(after_help = EXIT_STATUSES)]
pub(crate) struct Arguments {
    /// The directory to run on [default: the repository]
    dir: Option<PathBuf>,
    /// How the driver gets in [default: image if `cargo xtask sys` needs to install nothing,
    /// otherwise in-process]
    #[arg(long, value_name = "DOOR", value_enum)]
    door: Option<Door>,
    #[command(flatten)]
    flags: command::Flags,
}

/// As for every run, and what the image door adds.
const EXIT_STATUSES: &str = "\
Exit status:
  0    clean: nothing leaked, no rule broken
  1    a leak, a broken rule, a bugcheck, a driver that does not start, or an image that cannot be
       built
  2    bad input: no such directory, not a directory, something unreadable in it
  3    a package is missing that the image needs, and may not be installed
  130  interrupted";

/// How the driver gets into the machine.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Door {
    /// Linked into this program
    InProcess,
    /// From ctx.sys, which is built first as `cargo xtask sys --release` does
    Image,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let Arguments { dir, door, flags } = arguments;
    let dir = dir.unwrap_or_else(crate::repository);
    // Before minutes go by with building.
    if let Err(error) = fltbench::scan::resolve(&dir) {
        command::say(format_args!("error: {error}"));
        return ExitCode::from(command::BAD_INPUT);
    }
    match image(door) {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Ok(Some(image)) => fltbench::child::run(&image, None, dir, &flags),
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        Ok(Some(_)) => ExitCode::FAILURE,
        Ok(None) => {
            let door = InProcess::new("ctx", ALTITUDE, ctx::driver_entry);
            command::execute(&door, &flags.options(dir), flags.json)
        }
        Err(failure) => {
            command::say(format_args!("error: {failure}"));
            failure.exit_status()
        }
    }
}

/// The driver's image, if that is the door.
fn image(door: Option<Door>) -> Result<Option<PathBuf>, sys::Failure> {
    let possible = cfg!(all(target_arch = "x86_64", target_os = "linux"));
    match door {
        Some(Door::Image) if !possible => {
            let message = "images run on Linux on x86-64 only; use --door in-process";
            Err(sys::Failure::Other(message.to_owned()))
        }
        Some(Door::Image) => sys::driver(Sample::Ctx, true).map(Some),
        None if possible => match sys::driver(Sample::Ctx, false) {
            Err(sys::Failure::Missing(why)) => {
                command::say(format_args!(
                    "note: the driver is the one in this program, as ctx.sys needs: {why}"
                ));
                Ok(None)
            }
            built => built.map(Some),
        },
        Some(Door::InProcess) | None => Ok(None),
    }
}
