//! The version resource of the driver, for its build script and the test of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const SCRIPT: &str = "ctx.rc";
const RESOURCE: &str = "ctx.res";

/// Compiles the resource of `version` in `folder` and says where it is.
pub(crate) fn compile(
    compiler: &Path,
    folder: &Path,
    version: [u16; 3],
) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let script = folder.join(SCRIPT);
    fs::write(&script, source(version))
        .map_err(|error| format!("cannot write {}: {error}", script.display()))?;
    let mut command = Command::new(compiler);
    if !cfg!(windows) {
        // LLVM's would start a C compiler to preprocess what has nothing to be preprocessed.
        command.arg("/no-preprocess");
    }
    // Names without a folder: options begin with a slash too, and `/check/ctx.rc` would be taken
    // for the option `/c`, and the file for missing.
    command.args(["/fo", RESOURCE, SCRIPT]).current_dir(folder);
    let status = command
        .status()
        .map_err(|error| format!("cannot run {}: {error}", compiler.display()))?;
    if !status.success() {
        let folder = folder.display();
        return Err(format!("{command:?} in {folder} failed: {status}").into());
    }
    Ok(folder.join(RESOURCE))
}

/// The source of the resource, with numbers instead of the names from winver.h.
fn source([major, minor, patch]: [u16; 3]) -> String {
    format!(
        r#"1 VERSIONINFO
FILEVERSION {major},{minor},{patch},0
PRODUCTVERSION {major},{minor},{patch},0
FILEFLAGSMASK 0x3F
FILEFLAGS 0
FILEOS 0x40004
FILETYPE 3
FILESUBTYPE 7
BEGIN
    BLOCK "StringFileInfo"
    BEGIN
        BLOCK "040904B0"
        BEGIN
            VALUE "CompanyName", "The fltctx project"
            VALUE "FileDescription", "fltctx sample minifilter"
            VALUE "FileVersion", "{major}.{minor}.{patch}.0"
            VALUE "InternalName", "ctx.sys"
            VALUE "LegalCopyright", "MIT OR Apache-2.0"
            VALUE "OriginalFilename", "ctx.sys"
            VALUE "ProductName", "fltctx"
            VALUE "ProductVersion", "{major}.{minor}.{patch}.0"
        END
    END
    BLOCK "VarFileInfo"
    BEGIN
        VALUE "Translation", 0x0409, 1200
    END
END
"#
    )
}
