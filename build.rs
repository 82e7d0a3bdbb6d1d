//! The build script of the sample drivers, `examples/*`: makes a kernel driver of a cdylib, when
//! the feature `sys` asks for one. The library itself needs none.

#[cfg(feature = "sys")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    driver::configure()
}

#[cfg(not(feature = "sys"))]
fn main() {
    println!("cargo::rerun-if-changed=../../build.rs");
}

#[cfg(feature = "sys")]
mod driver {
    use super::resource;
    use std::env;
    use std::error::Error;
    use std::path::PathBuf;

    /// Names the resource compiler, where it is not the one of the platform.
    const RESOURCE_COMPILER: &str = "FLTCTX_RC";

    pub(super) fn configure() -> Result<(), Box<dyn Error>> {
        wdk_build::configure_wdk_binary_build()?;
        println!("cargo::rerun-if-changed=../../build.rs");
        println!("cargo::rerun-if-env-changed={RESOURCE_COMPILER}");
        let name = env::var("CARGO_PKG_NAME")?;
        let version = resource::Version {
            name: &name,
            description: &env::var("CARGO_PKG_DESCRIPTION")?,
            numbers: [
                env::var("CARGO_PKG_VERSION_MAJOR")?.parse()?,
                env::var("CARGO_PKG_VERSION_MINOR")?.parse()?,
                env::var("CARGO_PKG_VERSION_PATCH")?.parse()?,
            ],
        };
        let fallback = if cfg!(windows) { "rc.exe" } else { "llvm-rc" };
        let compiler = env::var_os(RESOURCE_COMPILER).unwrap_or_else(|| fallback.into());
        let output = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
        let resource = resource::compile(compiler.as_ref(), &output, &version)?;
        link(&resource.display().to_string());
        // The same sources give the same bytes: no time stamps, and no path to the symbols.
        link("/BREPRO");
        link(&format!("/PDBALTPATH:{name}.pdb"));
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
}

/// The version resource.
#[cfg(any(feature = "sys", test))]
pub(crate) mod resource {
    use std::error::Error;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    /// What it says.
    pub(crate) struct Version<'a> {
        /// The driver, without `.sys`.
        pub(crate) name: &'a str,
        pub(crate) description: &'a str,
        pub(crate) numbers: [u16; 3],
    }

    /// Compiles the resource in a folder and says where it is.
    pub(crate) fn compile(
        compiler: &Path,
        folder: &Path,
        version: &Version<'_>,
    ) -> Result<PathBuf, Box<dyn Error>> {
        let source = format!("{}.rc", version.name);
        let resource = format!("{}.res", version.name);
        let path = folder.join(&source);
        fs::write(&path, version.source())
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        let mut command = Command::new(compiler);
        if !cfg!(windows) {
            // LLVM's would start a C compiler to preprocess what has nothing to be preprocessed.
            command.arg("/no-preprocess");
        }
        // Names without a folder: options begin with a slash too, and `/check/ctx.rc` would be
        // taken for the option `/c`, and the file for missing.
        command.args(["/fo", &resource, &source]);
        let status = command
            .current_dir(folder)
            .status()
            .map_err(|error| format!("cannot run {}: {error}", compiler.display()))?;
        if !status.success() {
            let folder = folder.display();
            return Err(format!("{command:?} in {folder} failed: {status}").into());
        }
        Ok(folder.join(resource))
    }

    impl Version<'_> {
        /// The source, with numbers instead of the names from winver.h.
        fn source(&self) -> String {
            let Self {
                name,
                description,
                numbers: [major, minor, patch],
            } = self;
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
            VALUE "FileDescription", "{description}"
            VALUE "FileVersion", "{major}.{minor}.{patch}.0"
            VALUE "InternalName", "{name}.sys"
            VALUE "LegalCopyright", "MIT OR Apache-2.0"
            VALUE "OriginalFilename", "{name}.sys"
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
    }
}
