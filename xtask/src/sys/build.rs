//! Building the driver with Cargo.

use super::llvm::Llvm;
use super::rust::{Rust, TARGET};
use super::{Places, Profile, Sample, kit, say, vendor};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the environment must not decide. Cargo has set some of it for this very program.
const UNSET: [&str; 7] = [
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_INCREMENTAL",
    "CARGO_TARGET_DIR",
    "LD_LIBRARY_PATH",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
];

/// Nor anything that begins like this: what else stands under `build` and `profile` in a
/// configuration.
const UNSET_PREFIXES: [&str; 2] = ["CARGO_BUILD_", "CARGO_PROFILE_"];

/// How many processors to use is for whoever builds to say.
const JOBS: &str = "CARGO_BUILD_JOBS";

/// The profile of a driver, which differs from that of a program: `cargo make` sets the same. It
/// is in the environment since a workspace has one set of profiles for all its packages.
const PROFILE: [(&str, &str); 5] = [
    ("CARGO_PROFILE_DEV_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "full"),
];

/// Packages that are in every driver.
const OURS: [&str; 2] = ["fltctx", "fltmgr-sys"];

/// What the build has left.
pub(super) struct Built {
    pub(super) image: PathBuf,
    pub(super) symbols: PathBuf,
}

pub(super) fn run(
    places: &Places,
    rust: &Rust,
    llvm: &Llvm,
    sample: Sample,
    profile: Profile,
    rebuild: bool,
) -> Result<Built, String> {
    let name = sample.name();
    if rebuild {
        let mut clean = cargo(places, rust, llvm, profile, "clean");
        clean.arg("--quiet");
        for package in OURS.into_iter().chain([name]) {
            clean.args(["--package", package]);
        }
        execute(&mut clean)?;
    }
    say(&format!(
        "building examples/{name} ({}); the first time takes some minutes",
        profile.folder()
    ));
    let mut build = cargo(places, rust, llvm, profile, "build");
    build.args(["--package", name, "--lib", "--features", "sys"]);
    if rust.library.is_some() {
        build.arg("-Zbuild-std=core,alloc");
    }
    execute(&mut build)?;

    let folder = kit::build_folder(places)
        .join(TARGET)
        .join(profile.folder());
    Ok(Built {
        image: folder.join(format!("{name}.dll")),
        symbols: folder.join(format!("{name}.pdb")),
    })
}

/// A command of Cargo's on the kit.
fn cargo(places: &Places, rust: &Rust, llvm: &Llvm, profile: Profile, name: &str) -> Command {
    let mut command = Command::new(&rust.cargo);
    command
        .arg(name)
        .args(["--locked", "--target", TARGET, "--target-dir"])
        .arg(kit::build_folder(places))
        .current_dir(&places.root)
        .stdin(Stdio::null());
    if profile == Profile::Release {
        command.arg("--release");
    }
    let variables = env::vars_os().map(|(name, _)| name);
    for variable in variables.filter(|name| is_unset(&name.to_string_lossy())) {
        command.env_remove(variable);
    }
    command
        .env("RUSTC", &rust.rustc)
        .env("CARGO_HOME", vendor::cargo_home(places))
        .env(
            "CARGO_TARGET_X86_64_PC_WINDOWS_MSVC_LINKER",
            kit::linker(places),
        )
        .env("FLTCTX_LINKER", llvm.program("lld-link"))
        .env("FLTCTX_LINK_INPUT", places.kit.join("link-input"))
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(places, rust))
        .envs(PROFILE)
        .env("WDKContentRoot", kit::root(places))
        .env("Version_Number", kit::VERSION)
        .env("LIBCLANG_PATH", llvm.libraries())
        .env("FLTCTX_RC", llvm.program("llvm-rc"))
        // The headers of mingw-w64 are not written for Clang: what it says about them is
        // nothing that could be changed here.
        .env(
            "BINDGEN_EXTRA_CLANG_ARGS",
            "-Wno-everything -ferror-limit=0",
        );
    // What a later Rust may say about wdk-alloc is nothing that could be changed here either.
    command.env("CARGO_FUTURE_INCOMPAT_REPORT_FREQUENCY", "never");
    if rust.library.is_some() {
        // Building the standard library is unstable.
        command.env("RUSTC_BOOTSTRAP", "1");
    }
    command
}

fn is_unset(variable: &str) -> bool {
    let by_prefix = UNSET_PREFIXES
        .iter()
        .any(|prefix| variable.starts_with(prefix));
    UNSET.contains(&variable) || (by_prefix && variable != JOBS)
}

/// The compiler's arguments, in the form that allows spaces in them. They are for the driver and
/// not for build scripts, because a target is given.
fn rust_flags(places: &Places, rust: &Rust) -> OsString {
    let mut flags = OsString::from("-Ctarget-feature=+crt-static");
    // Where this was built is nobody's business, and must not change a byte. The last that fits
    // counts.
    let mut remap = |from: &Path, to: &str| {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    };
    remap(&places.root, "/fltctx");
    remap(&places.kit, "/kit");
    if let Some(library) = &rust.library {
        remap(library, "/rust/library");
        if let Ok(library) = library.canonicalize() {
            remap(&library, "/rust/library");
        }
    }
    flags
}

fn execute(command: &mut Command) -> Result<(), String> {
    let status = command
        .status()
        .map_err(|error| format!("cannot run {}: {error}", command.get_program().display()))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!(
            "{} failed: {status}",
            command.get_program().display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_does_not_decide_how_a_driver_is_built() {
        for variable in [
            "CARGO_BUILD_RUSTC_WRAPPER",
            "CARGO_BUILD_TARGET",
            "CARGO_PROFILE_RELEASE_OPT_LEVEL",
            "CARGO_PROFILE_DEV_STRIP",
            "CARGO_TARGET_DIR",
            "RUSTFLAGS",
        ] {
            assert!(is_unset(variable), "{variable}");
        }
        for variable in ["CARGO_BUILD_JOBS", "PATH", "HOME", "RUSTFLAGS_OF_OTHERS"] {
            assert!(!is_unset(variable), "{variable}");
        }
    }
}
