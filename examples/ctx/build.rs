//! Makes a driver of the cdylib, when the feature `sys` asks for one.

#[cfg(feature = "sys")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    sys::configure()
}

#[cfg(not(feature = "sys"))]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}

#[cfg(feature = "sys")]
mod sys {
    use std::error::Error;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::{env, fs};

    /// Names the resource compiler, where it is not the one of the platform.
    const RESOURCE_COMPILER: &str = "FLTCTX_RC";

    pub(super) fn configure() -> Result<(), Box<dyn Error>> {
        wdk_build::configure_wdk_binary_build()?;
        let output = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
        let resource = compile_resource(&output)?;
        link(&resource.display().to_string());
        // The same sources give the same bytes: no time stamps, and no path to the symbols.
        link("/BREPRO");
        link("/PDBALTPATH:ctx.pdb");
        // The checksum that the loader of the kernel looks at.
        link("/RELEASE");
        // `DriverEntry` is thrown away once it has returned. All three attributes are named,
        // because a linker takes those that are not named away.
        link("/SECTION:INIT,ERD");
        Ok(())
    }

    fn link(argument: &str) {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }

    /// Compiles the version resource.
    fn compile_resource(output: &Path) -> Result<PathBuf, Box<dyn Error>> {
        println!("cargo::rerun-if-env-changed={RESOURCE_COMPILER}");
        let script = output.join("ctx.rc");
        let resource = output.join("ctx.res");
        fs::write(&script, version_resource()?)?;
        let mut command = match env::var_os(RESOURCE_COMPILER) {
            Some(compiler) => Command::new(compiler),
            None if cfg!(windows) => Command::new("rc.exe"),
            None => Command::new("llvm-rc"),
        };
        if !cfg!(windows) {
            // LLVM's would start a C compiler to preprocess what has nothing to be preprocessed.
            command.arg("/no-preprocess");
        }
        command.arg("/fo").arg(&resource).arg(&script);
        let shown = format!("{command:?}");
        let status = command
            .status()
            .map_err(|error| format!("cannot run {shown}: {error}"))?;
        if !status.success() {
            return Err(format!("{shown} failed: {status}").into());
        }
        Ok(resource)
    }

    /// The version resource's source, with the package's version, and numbers instead of the
    /// names from winver.h.
    fn version_resource() -> Result<String, Box<dyn Error>> {
        let part = |name| -> Result<u16, Box<dyn Error>> { Ok(env::var(name)?.parse()?) };
        let major = part("CARGO_PKG_VERSION_MAJOR")?;
        let minor = part("CARGO_PKG_VERSION_MINOR")?;
        let patch = part("CARGO_PKG_VERSION_PATCH")?;
        Ok(format!(
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
        ))
    }
}
