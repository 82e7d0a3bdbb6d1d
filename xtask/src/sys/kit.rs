//! The kit: what wdk-build looks for in an installed WDK.

use super::llvm::Llvm;
use super::packages::Installer;
use super::{Failure, Places, files, say};
use std::fs;
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
    provide_libraries(places, llvm)
}

/// `Lib/VERSION/km/x64`, unless it is there.
fn provide_libraries(places: &Places, llvm: &Llvm) -> Result<(), String> {
    let folder = root(places).join("Lib").join(VERSION).join("km/x64");
    let definition = folder.join("ntoskrnl.def");
    let library = folder.join("ntoskrnl.lib");
    let says = |path: &Path, contents: &[u8]| fs::read(path).is_ok_and(|found| found == contents);
    let empty = EMPTY_LIBRARIES.map(|name| folder.join(name));
    if library.exists()
        && says(&definition, NTOSKRNL.as_bytes())
        && empty.iter().all(|path| says(path, EMPTY_ARCHIVE))
    {
        return Ok(());
    }
    // Cargo does not look at libraries: what was linked with others would stay. It goes first, and
    // the library before its definition: this may be ended at any time.
    files::remove_folder(&build_folder(places))?;
    files::remove(&library)?;
    for path in empty {
        files::write(&path, EMPTY_ARCHIVE)?;
    }
    files::write(&definition, NTOSKRNL)?;
    let mut command = Command::new(llvm.program("llvm-dlltool"));
    command.args(["-m", "i386:x86-64", "-d"]).arg(&definition);
    command.arg("-l").arg(&library);
    let status = command
        .status()
        .map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if !status.success() {
        // Nothing half made is left to be taken for a library.
        let _ = fs::remove_file(&library);
        return Err(format!("{command:?} failed: {status}"));
    }
    say("assembled the kit's import libraries");
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Whatever ends this command in the middle, the next one must not find an old library beside
    /// a new definition, or something that was linked with it.
    #[test]
    fn what_is_replaced_is_gone_before() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::new(folder.path().to_owned());
        let libraries = root(&places).join("Lib").join(VERSION).join("km/x64");
        let llvm = Llvm::in_folder(folder.path().join("llvm"));
        // Instead of a library, it makes a list of what it finds.
        let (here, build) = (libraries.display(), build_folder(&places));
        let tool = format!(
            "#!/bin/sh\ncd '{here}'\nls * > list\nls -d '{}' >> list\nmv list ntoskrnl.lib\n",
            build.display(),
        );
        files::write_program(&llvm.program("llvm-dlltool"), &tool).unwrap();
        for folder in [&libraries, &build] {
            files::create_folder(folder).unwrap();
        }
        files::write(&libraries.join("ntoskrnl.def"), "an older one").unwrap();
        files::write(&libraries.join("ntoskrnl.lib"), "an older one").unwrap();

        provide_libraries(&places, &llvm).unwrap();
        let found = fs::read_to_string(libraries.join("ntoskrnl.lib")).unwrap();
        let expected = "BufferOverflowFastFailK.lib\nhal.lib\nntoskrnl.def\nwmilib.lib\n";
        assert_eq!(found, expected);
        assert!(!build.exists());

        // What is right stays, and what was linked with it.
        files::create_folder(&build).unwrap();
        provide_libraries(&places, &llvm).unwrap();
        assert!(build.exists());
        let again = fs::read_to_string(libraries.join("ntoskrnl.lib")).unwrap();
        assert_eq!(again, found);
    }
}
