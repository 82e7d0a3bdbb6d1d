//! What the driver under test lives through.
//!
//! Two volumes are mounted: the directory under test, write-protected, and a scratch folder. The
//! driver attaches to both; everything in the directory is opened, read or listed, and closed; in
//! the scratch folder files are copied, rewritten, renamed, transacted and deleted, with their
//! alternate streams; then the driver detaches and unloads. Every choice comes from one seed.

mod expect;
mod scratch;
mod tree;

use crate::door::Door;
use crate::error::Error;
use crate::interrupt;
use crate::progress::Progress;
use crate::report::{Report, Violation};
use crate::scan::{Skipped, resolve, scan, unreadable};
use crate::scratch::Scratch;
use clap::ValueEnum;
use expect::Stop;
use fltmgr_sys::STATUS_FLT_DO_NOT_DETACH;
use fltsim::filesystem::Personality;
use fltsim::storage::{HostStorage, HostStorageError};
use fltsim::{Config, Driver, Machine, Unload, Volume, VolumeConfig};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What to run on, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory under test; it is never modified.
    pub directory: PathBuf,
    /// Where every choice comes from, the machine's and the workload's.
    pub seed: u64,
    /// What file system the volumes pretend to have.
    pub file_system: FileSystem,
}

/// What file system a volume pretends to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, ValueEnum)]
pub enum FileSystem {
    /// Everything: streams, transactions, all contexts
    #[default]
    Ntfs,
    /// One stream a file, and no transactions
    Fat,
    /// No contexts below the volume's
    None,
    /// A share of another machine: no transactions
    Redirector,
}

impl FileSystem {
    fn personality(self) -> Personality {
        match self {
            Self::Ntfs => Personality::ntfs(),
            Self::Fat => Personality::fat(),
            Self::None => Personality::no_contexts(),
            Self::Redirector => Personality::redirector(),
        }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Run {
    /// What `--json` prints.
    pub report: Report,
    /// Directories that were listed, the one under test included.
    pub directories: u64,
    /// What was left out, and why.
    pub skipped: Skipped,
    /// What the driver said to the kernel debugger.
    pub debug_output: Vec<String>,
}

/// Runs the workload over a driver.
///
/// # Errors
/// The directory cannot be used, there is no room to write, or somebody interrupted. In every case
/// the driver is unloaded and the scratch folder is gone.
pub fn run(door: &dyn Door, options: &Options, progress: &dyn Progress) -> Result<Run, Error> {
    progress.stage("looking");
    Scratch::check(&resolve(&options.directory)?)?;
    let mut tree = scan(&options.directory)?;
    let scratch = Scratch::outside(&tree.root)?;
    let protected = HostStorage::open_protected(&tree.root, None).map_err(storage_error)?;
    let writable = HostStorage::open(scratch.path()).map_err(storage_error)?;

    let personality = options.file_system.personality();
    let begun = Instant::now();
    let machine = Machine::new(Config::default().seed(options.seed));
    let volumes = [
        ("\\Device\\HarddiskVolume1", protected, true),
        ("\\Device\\HarddiskVolume2", writable, false),
    ];
    let [source, target] = volumes.map(|(name, storage, read_only)| {
        let config = VolumeConfig::host(name, personality.clone(), storage);
        let config = if read_only {
            config.read_only()
        } else {
            config
        };
        machine.add_volume(config)
    });
    progress.machine(&machine);
    let driver = machine.create_driver(door.service());
    let loaded = door.start(&driver).map_err(|status| {
        Stop::Unexpected(format!("the driver did not start: status {status:#010X}"))
    });
    let is_loaded = loaded.is_ok();

    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let mut report = Report {
        driver: door.driver().to_owned(),
        door: door.name().to_owned(),
        ..Report::default()
    };
    let attached = loaded.and_then(|()| attach(&machine, &driver, &[&source, &target]));
    let worked = attached.and_then(|()| {
        progress.begin(tree.files.len() as u64, tree.bytes());
        progress.stage("reading");
        tree::walk(&source, &mut tree, &mut random, progress, &mut report)?;
        progress.stage("writing");
        scratch::exercise(&machine, &source, &target, &tree, &personality, &mut random)
    });

    progress.stage("unloading");
    let mut failures = Vec::new();
    for volume in [&source, &target] {
        // A driver that could not attach has nothing to detach from.
        if !volume.instances().is_empty()
            && let Err(status) = machine.detach(&driver, volume)
            // A driver may refuse, and without `InstanceQueryTeardown` it has; unloading it
            // detaches it as well.
            && status != STATUS_FLT_DO_NOT_DETACH
        {
            failures.push(format!(
                "detaching from {}: status {status:#010X}",
                volume.name()
            ));
        }
    }
    if is_loaded && let Err(status) = driver.unload(Unload::Normal) {
        failures.push(format!("unloading: status {status:#010X}"));
        // What will not leave is thrown out, so that what it left behind is counted.
        let _ = driver.unload(Unload::Mandatory);
    }
    report.take(&machine.finish());
    report.elapsed_s = begun.elapsed().as_secs_f64();
    match worked {
        Ok(()) => {}
        Err(Stop::Failed(error)) => return Err(error),
        // A full disk is no finding.
        Err(Stop::Unexpected(_)) if !scratch.has_room() => {
            return Err(Error::NoRoom(scratch.path().to_owned()));
        }
        Err(Stop::Unexpected(what)) => failures.insert(0, what),
    }
    let failures = failures.into_iter().map(Violation::of_workload);
    report.violations.extend(failures);
    Ok(Run {
        report,
        directories: tree.directories.len() as u64,
        skipped: tree.skipped,
        debug_output: machine.debug_output(),
    })
}

/// Makes sure that the driver is attached, as `fltmc attach` would, if it is not by itself.
fn attach(machine: &Machine, driver: &Driver, volumes: &[&Volume]) -> Result<(), Stop> {
    for volume in volumes {
        if volume.instances().is_empty() {
            machine.attach(driver, volume, None).map_err(|status| {
                let name = volume.name();
                Stop::Unexpected(format!(
                    "the driver did not attach to {name}: status {status:#010X}"
                ))
            })?;
        }
    }
    Ok(())
}

fn storage_error(error: HostStorageError) -> Error {
    match error {
        HostStorageError::Unreachable { path, source } => unreadable(&path, source),
        HostStorageError::NotADirectory { path } => Error::NotADirectory(path),
        other => unreadable(Path::new(""), io::Error::other(other)),
    }
}

/// Stops if somebody asked for it.
fn checkpoint() -> Result<(), Stop> {
    if interrupt::asked() {
        return Err(Error::Interrupted.into());
    }
    Ok(())
}
