//! `cargo xtask`: the project's own commands.

#![forbid(unsafe_code)]

mod demo;
mod sys;
mod test;

use clap::{Parser, Subcommand};
use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

/// The project's own commands.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Sys(sys::Arguments),
    Test(test::Arguments),
}

fn main() -> ExitCode {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if let Some(status) = fltbench::child::serve() {
        return status;
    }
    match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(arguments),
        Command::Sys(arguments) => sys::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
    }
}

/// The root of the repository. Cargo says at run time where this package is; a program that was
/// started without Cargo takes the directory that it was started in.
fn repository() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let root = package.and_then(|package| Some(package.parent()?.to_owned()));
    root.unwrap_or_else(|| PathBuf::from("."))
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
