//! The dependencies' sources, with what keeps wdk-build from compiling off Windows mended.
//!
//! They are copies in the kit, and Cargo is told to take them for crates.io. So `Cargo.lock` is
//! what it is everywhere, and nothing of this exists for a build on Windows.

use super::rust::Rust;
use super::{Places, files, say};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The version that [`EDITS`] are for.
const WDK_BUILD: &str = "wdk-build-0.6.0";

/// Appended to the file that reads the registry.
const NO_REGISTRY: &str = include_str!("../../kit/wdk-build/no_registry.rs");

/// A change to a file of wdk-build.
struct Edit {
    file: &'static str,
    from: &'static str,
    to: &'static str,
    /// How often `from` occurs.
    times: usize,
}

const EDITS: [Edit; 5] = [
    // The crate `windows` is for the registry, and does not compile elsewhere.
    Edit {
        file: "Cargo.toml",
        from: "[dependencies.windows]",
        to: "[target.\"cfg(windows)\".dependencies.windows]",
        times: 1,
    },
    Edit {
        file: "src/utils.rs",
        from: "use windows::{",
        to: "#[cfg(windows)]\nuse windows::{",
        times: 1,
    },
    Edit {
        file: "src/utils.rs",
        from: "\nfn read_registry_key_string_value(",
        to: "\n#[cfg(windows)]\nfn read_registry_key_string_value(",
        times: 1,
    },
    // What cargo-make uses refuses to compile; here nobody calls it.
    Edit {
        file: "src/utils.rs",
        from: "    compile_error!(",
        to: "    panic!(",
        times: 2,
    },
    Edit {
        file: "src/cargo_make.rs",
        from: "std::os::windows::fs::symlink_file",
        to: "std::os::unix::fs::symlink",
        times: 2,
    },
];

/// The folder that Cargo takes for its home while it builds the driver: it says where crates come
/// from, also to the Cargo that wdk-build starts.
pub(super) fn cargo_home(places: &Places) -> PathBuf {
    places.kit.join("cargo-home")
}

/// Where the copies are.
pub(super) fn folder(places: &Places) -> PathBuf {
    places.kit.join("vendor")
}

/// Fetches and edits the sources, unless they are there for this `Cargo.lock`.
pub(super) fn provide(places: &Places, rust: &Rust) -> Result<(), String> {
    let folder = folder(places);
    let directory = folder
        .to_str()
        .ok_or_else(|| format!("{} is not UTF-8", folder.display()))?;
    let config = format!(
        "[source.crates-io]\nreplace-with = \"kit\"\n\n\
         [source.kit]\ndirectory = {directory:?}\n\n\
         [net]\noffline = true\n",
    );
    files::write(&cargo_home(places).join("config.toml"), config)?;

    // Written last and removed first, so that it says what is there whatever ends this command.
    let stamp = folder.join("stamp");
    let wanted = stamp_for(places, rust)?;
    if files::read(&stamp).is_ok_and(|present| present == wanted) {
        return Ok(());
    }
    say("copying the sources of the dependencies (cargo vendor)");
    files::remove(&stamp)?;
    files::remove_folder(&folder)?;
    vendor(places, &folder)?;
    edit(&folder.join(WDK_BUILD))?;
    if let Some(library) = &rust.library {
        add_standard_library(&library.join("vendor"), &folder)?;
    }
    files::write(&stamp, wanted)?;
    Ok(())
}

/// Everything that the copies depend on.
fn stamp_for(places: &Places, rust: &Rust) -> Result<String, String> {
    let mut stamp = files::read(&places.root.join("Cargo.lock"))?;
    for edit in &EDITS {
        stamp += edit.to;
    }
    stamp += NO_REGISTRY;
    stamp += &rust.to_string();
    Ok(stamp)
}

fn vendor(places: &Places, folder: &Path) -> Result<(), String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let status = Command::new(cargo)
        .args(["vendor", "--locked", "--versioned-dirs", "--quiet"])
        .arg(folder)
        .current_dir(&places.root)
        .stdin(Stdio::null())
        // It prints a configuration, which has been written already.
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("cargo vendor --locked failed: {status}"))
    }
}

/// Applies [`EDITS`].
fn edit(package: &Path) -> Result<(), String> {
    if !package.exists() {
        return Err(format!(
            "Cargo.lock has no {WDK_BUILD}; the edits in xtask/src/sys/vendor.rs are for that version"
        ));
    }
    for edit in &EDITS {
        let path = package.join(edit.file);
        let text = files::read(&path)?;
        let found = text.matches(edit.from).count();
        if found != edit.times {
            return Err(format!(
                "{} has {found} of {:?}, not {}: it is not the {WDK_BUILD} that the edits are for",
                path.display(),
                edit.from,
                edit.times
            ));
        }
        files::write(&path, text.replace(edit.from, edit.to))?;
    }
    let path = package.join("src/utils.rs");
    files::write(&path, files::read(&path)? + NO_REGISTRY)?;
    allow_edits(&package.join(".cargo-checksum.json"))
}

/// Empties the table of the files' checksums and keeps the package's, which is in `Cargo.lock`.
fn allow_edits(path: &Path) -> Result<(), String> {
    let text = files::read(path)?;
    let package = text
        .rsplit_once("\"package\":\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(checksum, _)| checksum)
        .ok_or_else(|| format!("{} names no package", path.display()))?;
    files::write(
        path,
        format!("{{\"files\":{{}},\"package\":\"{package}\"}}"),
    )?;
    Ok(())
}

/// Adds the dependencies of the standard library. Cargo wants to know them, even though core
/// has none.
fn add_standard_library(from: &Path, folder: &Path) -> Result<(), String> {
    let entries = from
        .read_dir()
        .map_err(|error| files::failed("read", from, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| files::failed("read", from, &error))?;
        let place = folder.join(entry.file_name());
        if !place.exists() {
            files::link(&entry.path(), &place)?;
        }
    }
    Ok(())
}
