//! `fltbench`: the bench for drivers in files.

#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};
use fltbench::command::{CHECK_STATUSES, print};
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use {
    fltbench::child,
    fltbench::command::{EXIT_STATUSES, Flags},
};

/// The functions that `FLTMGR.SYS` has, by its header, its import library and its symbols, one a
/// line.
const FLTMGR: &str = include_str!("fltmgr_exports.txt");

/// Runs Windows minifilters against a user-mode Filter Manager.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the functions of FLTMGR.SYS that the simulated Filter Manager has.
    ///
    /// One name a line, sorted. Exit status: 0.
    Exports {
        /// Lists all functions of FLTMGR.SYS, each with `implemented` or `missing`.
        #[arg(long)]
        all: bool,
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
        Command::Exports { all } => {
            print(&exports(all));
            ExitCode::SUCCESS
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

fn exports(all: bool) -> String {
    let mut text = String::new();
    for name in FLTMGR.lines() {
        let implemented = fltsim::resolve(name).is_some();
        // Writing to a string cannot fail.
        let _ = match (all, implemented) {
            (true, true) => writeln!(text, "{name} implemented"),
            (true, false) => writeln!(text, "{name} missing"),
            (false, true) => writeln!(text, "{name}"),
            (false, false) => Ok(()),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_every_minifilter_needs_is_implemented() {
        let implemented = exports(false);
        for name in [
            "FltRegisterFilter",
            "FltAllocateContext",
            "FltReleaseContext",
        ] {
            assert!(implemented.lines().any(|line| line == name), "{name}");
        }
        assert_eq!(exports(true).lines().count(), FLTMGR.lines().count());
    }
}
