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
#[path = "resource.rs"]
mod resource;

#[cfg(feature = "sys")]
mod sys {
    use super::resource;
    use std::env;
    use std::error::Error;
    use std::path::PathBuf;

    /// Names the resource compiler, where it is not the one of the platform.
    const RESOURCE_COMPILER: &str = "FLTCTX_RC";

    pub(super) fn configure() -> Result<(), Box<dyn Error>> {
        wdk_build::configure_wdk_binary_build()?;
        let output = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
        let resource = resource::compile(&resource_compiler(), &output, version()?)?;
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

    /// The program that compiles the version resource.
    fn resource_compiler() -> PathBuf {
        println!("cargo::rerun-if-env-changed={RESOURCE_COMPILER}");
        let fallback = if cfg!(windows) { "rc.exe" } else { "llvm-rc" };
        env::var_os(RESOURCE_COMPILER).map_or_else(|| PathBuf::from(fallback), PathBuf::from)
    }

    /// The version of the package.
    fn version() -> Result<[u16; 3], Box<dyn Error>> {
        let part = |name| -> Result<u16, Box<dyn Error>> { Ok(env::var(name)?.parse()?) };
        Ok([
            part("CARGO_PKG_VERSION_MAJOR")?,
            part("CARGO_PKG_VERSION_MINOR")?,
            part("CARGO_PKG_VERSION_PATCH")?,
        ])
    }
}
