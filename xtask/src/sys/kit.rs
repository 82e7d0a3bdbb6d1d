//! The kit: what wdk-build looks for in an installed WDK.

use super::llvm::Llvm;
use super::packages::Installer;
use super::{Failure, Places, files, say};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version that the kit says it is.
pub(super) const VERSION: &str = "10.0.22621.0";

/// Where the package mingw-w64-common has its headers.
const HEADERS: &str = "/usr/share/mingw-w64/include";

/// Headers that come before those of mingw-w64 and mend what differs.
const OVERLAY: [(&str, &str); 9] = [
    ("intrin.h", include_str!("../../kit/include/intrin.h")),
    ("mmintrin.h", include_str!("../../kit/include/mmintrin.h")),
    ("xmmintrin.h", include_str!("../../kit/include/xmmintrin.h")),
    ("emmintrin.h", include_str!("../../kit/include/emmintrin.h")),
    ("pmmintrin.h", include_str!("../../kit/include/pmmintrin.h")),
    ("immintrin.h", include_str!("../../kit/include/immintrin.h")),
    ("x86intrin.h", include_str!("../../kit/include/x86intrin.h")),
    ("ntdef.h", include_str!("../../kit/include/ntdef.h")),
    ("wdm.h", include_str!("../../kit/include/wdm.h")),
];

/// The kernel's import library.
const NTOSKRNL: &str = include_str!("../../kit/lib/ntoskrnl.def");

/// What is started as the linker.
const LINKER: &str = include_str!("../../kit/bin/lld-link");

/// Libraries that wdk-sys names and nothing here takes anything from.
const EMPTY_LIBRARIES: [&str; 3] = ["BufferOverflowFastFailK.lib", "hal.lib", "wmilib.lib"];

/// An archive with nothing in it.
const EMPTY_ARCHIVE: &[u8] = b"!<arch>\n";

/// The root of the kit, `WDKContentRoot`.
pub(super) fn root(places: &Places) -> PathBuf {
    places.kit.join("wdk")
}

/// What is started as the linker. Its name tells rustc how to talk to it.
pub(super) fn linker(places: &Places) -> PathBuf {
    places.kit.join("bin/lld-link")
}

/// Where Cargo builds.
pub(super) fn build_folder(places: &Places) -> PathBuf {
    places.kit.join("build")
}

/// The headers of mingw-w64.
pub(super) fn find_or_install_headers(packages: &mut Installer) -> Result<PathBuf, Failure> {
    let headers = PathBuf::from(HEADERS);
    let present = || headers.join("ddk/wdm.h").exists();
    if !present() {
        packages.install("the headers of mingw-w64", &["mingw-w64-common"])?;
    }
    if present() {
        Ok(headers)
    } else {
        Err(Failure::Other(format!(
            "mingw-w64-common is installed, but there is no ddk/wdm.h in {HEADERS}"
        )))
    }
}

/// Puts the kit together, or what of it is missing or differs.
pub(super) fn assemble(places: &Places, headers: &Path, llvm: &Llvm) -> Result<(), String> {
    let include = root(places).join("Include").join(VERSION);
    lay_out_headers(&include, headers)?;
    files::write_program(&linker(places), LINKER)?;
    let libraries = root(places).join("Lib").join(VERSION).join("km/x64");
    if make_libraries(&libraries, llvm)? {
        say("assembled the kit's import libraries");
        // Cargo does not look at libraries: what was linked with others would stay.
        files::remove_folder(&build_folder(places))?;
    }
    Ok(())
}

/// `Include/VERSION/{km,km/crt,shared}`, found by the compiler in the order crt, km, shared.
fn lay_out_headers(include: &Path, headers: &Path) -> Result<(), String> {
    let overlay = include.join("km/crt");
    files::create_folder(&overlay)?;
    for (name, contents) in OVERLAY {
        files::write(&overlay.join(name), contents)?;
    }
    files::link(headers, &include.join("shared"))?;
    let kernel = headers.join("ddk");
    let entries = kernel
        .read_dir()
        .map_err(|error| files::failed("read", &kernel, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| files::failed("read", &kernel, &error))?;
        files::link(&entry.path(), &include.join("km").join(entry.file_name()))?;
    }
    Ok(())
}

/// `Lib/VERSION/km/x64`. True when something was made.
fn make_libraries(folder: &Path, llvm: &Llvm) -> Result<bool, String> {
    files::create_folder(folder)?;
    let mut changed = false;
    for name in EMPTY_LIBRARIES {
        changed |= files::write(&folder.join(name), EMPTY_ARCHIVE)?;
    }
    let definition = folder.join("ntoskrnl.def");
    let library = folder.join("ntoskrnl.lib");
    if files::write(&definition, NTOSKRNL)? || !library.exists() {
        let mut command = Command::new(llvm.program("llvm-dlltool"));
        command.args(["-m", "i386:x86-64", "-d"]).arg(&definition);
        command.arg("-l").arg(&library);
        let status = command
            .status()
            .map_err(|error| format!("cannot run {command:?}: {error}"))?;
        if !status.success() {
            // Nothing half made is left to be taken for a library.
            let _ = std::fs::remove_file(&library);
            return Err(format!("{command:?} failed: {status}"));
        }
        changed = true;
    }
    Ok(changed)
}
