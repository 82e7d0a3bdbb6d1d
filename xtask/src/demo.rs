//! `cargo xtask demo`: the sample driver over a real directory tree.

use fltbench::{FileSystem, InProcess, Options, command};
use std::path::PathBuf;
use std::process::ExitCode;

/// In the range of activity monitors, where a filter belongs that only watches.
const ALTITUDE: &str = "385000";

/// Runs the sample minifilter ctx over a directory tree and shows what its contexts did.
///
/// Everything under DIR is opened, read or listed, and closed; DIR itself is never modified. Files
/// are copied, rewritten, renamed and deleted in a scratch folder elsewhere, which is removed.
#[derive(clap::Args)]
#[command(after_help = command::EXIT_STATUSES)]
pub(crate) struct Arguments {
    /// The directory to run on [default: the repository]
    dir: Option<PathBuf>,
    /// Prints one JSON object on standard output instead of the table
    #[arg(long)]
    json: bool,
    /// Where every unspecified choice comes from: the same seed gives the same counts
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let door = InProcess::new("ctx", ALTITUDE, ctx::driver_entry);
    let options = Options {
        directory: arguments.dir.unwrap_or_else(crate::repository),
        seed: arguments.seed,
        file_system: FileSystem::Ntfs,
    };
    command::execute(&door, &options, arguments.json)
}
