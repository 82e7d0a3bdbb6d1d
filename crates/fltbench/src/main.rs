//! `fltbench`: what the bench can do without a driver of its own.

#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};
use fltbench::command::print;
use std::fmt::Write;
use std::process::ExitCode;

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
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Exports { all } => print(&exports(all)),
    }
    ExitCode::SUCCESS
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
