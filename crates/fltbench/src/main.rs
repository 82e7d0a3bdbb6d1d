//! `fltbench`: the bench for drivers in files.

#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};
use fltbench::command::{CHECK_STATUSES, EXPORTS_STATUSES};
use fltbench::exports::Selection;
use std::path::PathBuf;
use std::process::ExitCode;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use {
    fltbench::child,
    fltbench::command::{EXIT_STATUSES, Flags},
};

/// Runs Windows minifilters against a user-mode Filter Manager.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists what FLTMGR.SYS, ntoskrnl.exe and hal.dll export, and what of it is implemented.
    ///
    /// One export a line: its library, its name, and `implemented` or `missing`. With DRIVER.sys,
    /// what that image imports: whether it can run.
    #[command(after_help = EXPORTS_STATUSES)]
    Exports {
        /// Lists the imports of this image instead
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        #[arg(value_name = "DRIVER.sys")]
        driver: Option<PathBuf>,
        #[command(flatten)]
        selection: Selection,
        /// Prints one JSON array on standard output instead of lines
        #[arg(long)]
        json: bool,
    },
    /// Checks the INF of a minifilter without Windows.
    ///
    /// FILE is an .inf, or an .inx before stampinf. Every finding is printed with its line, its
    /// severity, what to do, and the rule's name.
    #[command(after_help = CHECK_STATUSES)]
    Inf {
        /// The .inf or .inx file
        file: PathBuf,
        /// Prints one JSON object on standard output instead of lines
        #[arg(long)]
        json: bool,
    },
    /// Runs a driver's image over a directory tree and shows what its contexts did.
    ///
    /// DRIVER is an x64 .sys file; it is mapped into a process of its own, and what it imports is
    /// bound to the simulated kernel. Everything under DIR is opened, read or listed, and closed;
    /// DIR itself is never modified. Files are copied, rewritten, renamed and deleted in a scratch
    /// folder elsewhere, which is removed.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    #[command(after_help = EXIT_STATUSES)]
    Run {
        /// The driver image
        #[arg(value_name = "DRIVER.sys")]
        driver: PathBuf,
        /// The directory to run on
        dir: PathBuf,
        /// The driver's INF, for its altitude and instances [default: DRIVER.inf, if there is one]
        #[arg(long, value_name = "FILE")]
        inf: Option<PathBuf>,
        #[command(flatten)]
        flags: Flags,
    },
}

fn main() -> ExitCode {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if let Some(status) = child::serve() {
        return status;
    }
    match Arguments::parse().command {
        Command::Exports {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            driver,
            selection,
            json,
        } => {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            if let Some(driver) = driver {
                return fltbench::command::imports(&driver, selection, json);
            }
            fltbench::command::exports(selection, json)
        }
        Command::Inf { file, json } => fltbench::command::inf(&file, json),
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Command::Run {
            driver,
            dir,
            inf,
            flags,
        } => child::run(&driver, inf.as_deref(), dir, &flags),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
