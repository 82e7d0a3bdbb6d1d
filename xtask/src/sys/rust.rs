//! A Rust that can build for Windows.

use super::packages::{self, Installer};
use super::{Failure, say};
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(super) const TARGET: &str = "x86_64-pc-windows-msvc";

/// The packages of a distribution's Rust: the compiler, Cargo, and the standard library's source.
/// Debian's stable releases have a current one for the sake of browsers, under another name.
const PACKAGES: [[&str; 3]; 2] = [
    ["rustc-web", "cargo-web", "rust-web-src"],
    ["rustc", "cargo", "rust-src"],
];

/// A compiler with Cargo.
pub(super) struct Rust {
    pub(super) rustc: PathBuf,
    pub(super) cargo: PathBuf,
    /// Where the standard library is built from; none when it is there built.
    pub(super) library: Option<PathBuf>,
    release: String,
}

impl fmt::Display for Rust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.release, self.rustc.display())?;
        match self.library {
            Some(_) => write!(f, ", building core and alloc for {TARGET}"),
            None => write!(f, ", which has {TARGET}"),
        }
    }
}

pub(super) fn find_or_install(packages: &mut Installer) -> Result<Rust, Failure> {
    if let Some(rust) = active() {
        return Ok(rust);
    }
    if let Some(rust) = system() {
        return Ok(rust);
    }
    packages.update()?;
    let mut offered = Vec::new();
    for names in PACKAGES {
        let Some(version) = packages::candidate(names[0]) else {
            continue;
        };
        if is_recent(&version) {
            packages.install(&format!("a Rust with its source, {version}"), &names)?;
            return system().ok_or_else(|| {
                Failure::Other(format!(
                    "{} are installed, but /usr/bin/rustc is not one of Rust {} or its source is not found",
                    names.join(", "),
                    env!("CARGO_PKG_RUST_VERSION")
                ))
            });
        }
        offered.push(format!("{} {version}", names[0]));
    }
    if offered.is_empty() {
        offered.push(String::from("none"));
    }
    Err(Failure::Missing(format!(
        "no Rust of {} or later for {TARGET}: the active toolchain lacks the target \
         (`rustup target add {TARGET}` where that can be downloaded), and what apt-get offers, \
         perhaps from old lists, is: {}",
        env!("CARGO_PKG_RUST_VERSION"),
        offered.join(", ")
    )))
}

/// The toolchain that this runs under, if it has the target.
fn active() -> Option<Rust> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let folder = print(&rustc, &["--print", "target-libdir", "--target", TARGET])?;
    let has_core = Path::new(&folder).read_dir().ok()?.any(|entry| {
        entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
    });
    if !has_core {
        return None;
    }
    Some(Rust {
        release: release(&rustc)?,
        rustc: rustc.into(),
        cargo: cargo.into(),
        library: None,
    })
}

/// The distribution's Rust, if it is recent enough and its source is there.
fn system() -> Option<Rust> {
    let rustc = PathBuf::from("/usr/bin/rustc");
    let cargo = PathBuf::from("/usr/bin/cargo");
    let release = release(rustc.as_os_str())?;
    if !cargo.exists() {
        return None;
    }
    if !is_recent(&release) {
        say(&format!("{} is Rust {release}, too old", rustc.display()));
        return None;
    }
    let root = print(rustc.as_os_str(), &["--print", "sysroot"])?;
    let library = Path::new(&root).join("lib/rustlib/src/rust/library");
    library.join("core/Cargo.toml").exists().then_some(Rust {
        rustc,
        cargo,
        library: Some(library),
        release,
    })
}

/// The version that a compiler says it is.
fn release(rustc: &std::ffi::OsStr) -> Option<String> {
    let text = print(rustc, &["--version", "--verbose"])?;
    let release = text
        .lines()
        .find_map(|line| line.strip_prefix("release: "))?;
    Some(release.to_owned())
}

/// Whether a version such as `1.96.0+dfsg1-1` is at least the workspace's `rust-version`.
fn is_recent(version: &str) -> bool {
    let parts = |version: &str| -> Option<(u32, u32)> {
        let mut parts = version.split(['.', '+', '-', '~']);
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    let least = parts(env!("CARGO_PKG_RUST_VERSION"));
    parts(version).is_some_and(|version| Some(version) >= least)
}

/// What a program prints, without the end of the last line.
fn print(program: &std::ffi::OsStr, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        // What `cargo run` sets for this program is not for another compiler.
        .env_remove("LD_LIBRARY_PATH")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_recent("1.96.0+dfsg1-1~deb12u2"));
        assert!(is_recent("1.100.0"));
        assert!(is_recent("2.0.0"));
        assert!(is_recent(env!("CARGO_PKG_RUST_VERSION")));
        assert!(!is_recent("1.85.0+dfsg3-1~deb12u3"));
        assert!(!is_recent("1.9"));
        assert!(!is_recent("unknown"));
    }
}
