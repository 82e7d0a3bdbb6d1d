//! `cargo xtask sys`: the sample drivers as kernel drivers, built where there is no Windows.
//!
//! The crates of windows-drivers-rs are those of crates.io. What they expect of a Windows host
//! comes from a kit that is put together under `target/kit`; `Cargo.lock` and the sources stay as
//! they are.

mod build;
mod files;
mod image;
mod inf;
mod kit;
mod llvm;
mod packages;
mod rust;
mod vendor;

use fltbench::command;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Builds a sample minifilter as a Windows kernel driver, and checks the image.
///
/// The result is in target/sys/debug or target/sys/release: for ctx it is ctx.sys, ctx.pdb and
/// ctx.inf. What is missing on a Debian machine is installed with apt-get, as root or after asking.
/// Where the active toolchain has the target x86_64-pc-windows-msvc it is used; otherwise Debian's
/// Rust is.
#[derive(clap::Args)]
#[command(after_help = "\
Exit status:
  0  the driver was built and its image is what it must be
  1  something failed; it says what
  2  wrong arguments
  3  a package is missing and may not be installed")]
pub(crate) struct Arguments {
    /// Which sample
    #[arg(value_enum, default_value_t = Sample::Ctx)]
    sample: Sample,
    /// Builds the optimised driver, which contains no panic
    #[arg(long)]
    release: bool,
    /// Compiles the driver and the library again, even if nothing changed
    #[arg(long)]
    rebuild: bool,
    /// Installs nothing: a missing package is an error
    #[arg(long)]
    no_install: bool,
}

/// The sample drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sample {
    /// Every kind of context
    Ctx,
    /// A context that grows, on the heap
    Blocks,
}

impl Sample {
    /// The name of its package, and with `.sys` that of the driver.
    const fn name(self) -> &'static str {
        match self {
            Self::Ctx => "ctx",
            Self::Blocks => "blocks",
        }
    }
}

/// Why there is no driver.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Packages are missing, and installing them was not allowed.
    Missing(String),
    /// Anything else.
    Other(String),
}

impl Failure {
    pub(crate) fn exit_status(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Missing(_) => 3,
            Self::Other(_) => 1,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Missing(message) | Self::Other(message)) = self;
        f.write_str(message)
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Other(message)
    }
}

/// How the driver is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Profile {
    Debug,
    Release,
}

impl Profile {
    /// The folder of the profile, as Cargo names it.
    const fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

/// The folders that the build works in.
struct Places {
    /// The repository.
    root: PathBuf,
    /// What is put together and kept.
    kit: PathBuf,
    /// The drivers.
    output: PathBuf,
}

impl Places {
    fn new(root: PathBuf) -> Self {
        // Always here, wherever CARGO_TARGET_DIR points: wdk-build looks for Cargo.lock in the
        // folders above its own output.
        let target = root.join("target");
        Self {
            kit: target.join("kit"),
            output: target.join("sys"),
            root,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let begun = Instant::now();
    let profile = if arguments.release {
        Profile::Release
    } else {
        Profile::Debug
    };
    let Arguments {
        sample,
        rebuild,
        no_install,
        ..
    } = *arguments;
    match build(sample, profile, rebuild, !no_install) {
        Ok(image) => {
            let seconds = begun.elapsed().as_secs_f64();
            say(&format!("{}: done in {seconds:.1} s", image.display()));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            command::say(format_args!("error: {failure}"));
            failure.exit_status()
        }
    }
}

/// Builds the release driver, or finds that nothing has changed, and says where it is.
pub(crate) fn driver(sample: Sample, install: bool) -> Result<PathBuf, Failure> {
    build(sample, Profile::Release, false, install)
}

fn build(
    sample: Sample,
    profile: Profile,
    rebuild: bool,
    install: bool,
) -> Result<PathBuf, Failure> {
    if cfg!(windows) {
        return Err(String::from(
            "this command builds where there is no WDK; on Windows run `cargo make`, see docs/windows.md",
        )
        .into());
    }
    let places = Places::new(
        crate::repository()
            .canonicalize()
            .map_err(|error| format!("cannot find the repository: {error}"))?,
    );
    // Before anything is put there.
    if !places.root.join("xtask/kit").is_dir() {
        let place = places.root.display();
        return Err(format!("{place} is not the repository; run `cargo xtask` in it").into());
    }
    let _lock = lock(&places)?;

    let mut packages = packages::Installer::new(install);
    let llvm = llvm::find_or_install(&mut packages)?;
    let rust = rust::find_or_install(&mut packages)?;
    let headers = kit::find_or_install_headers(&mut packages)?;
    say(&format!("Rust: {rust}"));
    say(&format!("LLVM: {}", llvm.folder().display()));

    kit::assemble(&places, &headers, &llvm)?;
    vendor::provide(&places, &rust)?;
    let built = build::run(&places, &rust, &llvm, sample, profile, rebuild)?;

    // Before it is put where it could be taken for one.
    let summary = image::check(&built.image, profile)?;
    let output = places.output.join(profile.folder());
    let place = |extension| output.join(sample.name()).with_extension(extension);
    let image = place("sys");
    files::copy(&built.image, &image)?;
    files::copy(&built.symbols, &place("pdb"))?;
    inf::stamp(&places, sample, &place("inf"))?;
    say(&format!("{}: {summary}", image.display()));
    Ok(image)
}

/// Keeps a second `cargo xtask sys` out of the kit until this one has ended.
fn lock(places: &Places) -> Result<File, String> {
    files::create_folder(&places.kit)?;
    let path = places.kit.join("lock");
    let file = File::create(&path).map_err(|error| files::failed("create", &path, &error))?;
    if file.try_lock().is_err() {
        say("waiting for another `cargo xtask sys`");
        file.lock()
            .map_err(|error| files::failed("lock", &path, &error))?;
    }
    Ok(file)
}

/// A line of progress. Standard output is left to whatever is built on this.
fn say(line: &str) {
    command::say(format_args!("sys: {line}"));
}
