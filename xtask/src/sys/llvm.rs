//! LLVM: the linker, the tools, and the library that bindgen reads headers with.

use super::Failure;
use super::packages::Installer;
use std::fs;
use std::path::{Path, PathBuf};

/// The version that is installed where there is none.
const VERSION: u32 = 19;

/// An installation of LLVM.
pub(super) struct Llvm {
    folder: PathBuf,
}

impl Llvm {
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A program of LLVM's.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// Where libclang is.
    pub(super) fn libraries(&self) -> PathBuf {
        self.folder.join("lib")
    }

    /// An installation that is taken for complete.
    #[cfg(test)]
    pub(super) fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The installation of a version, if everything is there.
    fn at(version: u32) -> Option<Self> {
        let llvm = Self {
            folder: PathBuf::from(format!("/usr/lib/llvm-{version}")),
        };
        let programs = ["lld-link", "llvm-dlltool", "llvm-rc"];
        let complete = programs.iter().all(|name| llvm.program(name).exists())
            && fs::read_dir(llvm.libraries()).is_ok_and(|mut entries| {
                entries.any(|entry| {
                    entry.is_ok_and(|entry| {
                        let name = entry.file_name();
                        let name = name.to_string_lossy();
                        name.starts_with("libclang")
                            && name.contains(".so")
                            && !name.contains("cpp")
                    })
                })
            });
        complete.then_some(llvm)
    }
}

pub(super) fn find_or_install(packages: &mut Installer) -> Result<Llvm, Failure> {
    // The version that is known to work before any other.
    let versions = || [VERSION].into_iter().chain((17..=30).rev());
    if let Some(llvm) = versions().find_map(Llvm::at) {
        return Ok(llvm);
    }
    let names = [
        format!("lld-{VERSION}"),
        format!("llvm-{VERSION}"),
        format!("libclang1-{VERSION}"),
    ];
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    packages.install("LLVM, with its linker and libclang", &names)?;
    Llvm::at(VERSION).ok_or_else(|| {
        Failure::Other(format!(
            "{} are installed, but not where they are expected: under /usr/lib/llvm-{VERSION}",
            names.join(", ")
        ))
    })
}
