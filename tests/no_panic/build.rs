//! Building the driver, and reading what it links.

use object::{Object as _, ObjectSymbol as _};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

/// Parts of the names of functions that panic. All of them end in the panic handler, so the first
/// would do; the others say what it is.
const PANICS: [&str; 7] = [
    "panic",
    "unwrap_failed",
    "expect_failed",
    "assert_failed",
    "slice_index_fail",
    "slice_error_fail",
    "len_mismatch_fail",
];

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// How the driver is built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Build {
    optimisation: &'static str,
    overflow_checks: bool,
}

/// The symbols of an object.
pub(crate) struct Object {
    /// Everything that it defines or asks for.
    symbols: BTreeSet<String>,
    /// What it asks for.
    pub(crate) undefined: BTreeSet<String>,
}

impl Object {
    /// The functions that panic.
    pub(crate) fn panics(mut self) -> BTreeSet<String> {
        let panics = |name: &String| PANICS.iter().any(|panic| name.contains(panic));
        self.symbols.retain(panics);
        self.symbols
    }

    fn read(path: &Path) -> Self {
        let bytes = fs::read(path).expect("the object can be read");
        let file = object::File::parse(&*bytes).expect("it is an object of this platform");
        // C names have an underscore in front on some platforms.
        let prefix = if file.format() == object::BinaryFormat::MachO {
            "_"
        } else {
            ""
        };
        let mut object = Self {
            symbols: BTreeSet::new(),
            undefined: BTreeSet::new(),
        };
        for symbol in file.symbols() {
            let name = symbol.name().expect("names are text");
            let name = name.strip_prefix(prefix).unwrap_or(name);
            object.symbols.insert(name.to_owned());
            if symbol.is_undefined() {
                object.undefined.insert(name.to_owned());
            }
        }
        object
    }
}

impl Build {
    pub(crate) const fn new(optimisation: &'static str, overflow_checks: bool) -> Self {
        Self {
            optimisation,
            overflow_checks,
        }
    }

    /// Builds the driver with these features. One build at a time: they share a directory.
    pub(crate) fn run(self, features: &[&str]) -> Object {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let one = ONE_AT_A_TIME.lock();
        let _one = one.unwrap_or_else(PoisonError::into_inner);
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no_panic");
        let manifest = stage(&directory);
        let name = format!(
            "opt-{}-{}-{}.o",
            self.optimisation,
            self.overflow_checks,
            features.join("-")
        );
        let object = directory.join(name);
        let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut command = Command::new(cargo);
        command
            // Whatever is needed was needed to build this test.
            .args(["rustc", "--release", "--offline", "--quiet"])
            .arg("--manifest-path")
            .arg(manifest)
            .arg("--target-dir")
            .arg(directory.join("target"))
            .args(["--features", &features.join(",")])
            .arg("--")
            .arg(format!("--emit=obj={}", object.display()))
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", self.optimisation)
            .env(
                "CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS",
                self.overflow_checks.to_string(),
            )
            .current_dir(REPOSITORY);
        // What whoever runs the tests wants of their own code, e.g. coverage, is not for this.
        for variable in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "RUSTC_WORKSPACE_WRAPPER",
        ] {
            command.env_remove(variable);
        }
        let output = command.output().expect("cargo can be run");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{self:?} {features:?}:\n{errors}");
        Object::read(&object)
    }
}

/// Makes a package of the driver in a directory where Cargo may write its lock file, and returns
/// its manifest. The sources stay where they are. The lock file is the repository's, so that
/// nothing has to be looked up.
fn stage(directory: &Path) -> PathBuf {
    let repository = Path::new(REPOSITORY);
    let driver = repository.join("tests/no_panic/driver");
    let manifest = fs::read_to_string(driver.join("Cargo.toml")).expect("there is a manifest");
    let mut staged = manifest.clone();
    for (relative, absolute) in [
        ("../../..", repository),
        ("src/lib.rs", &*driver.join("src/lib.rs")),
    ] {
        let quoted = format!("{relative:?}");
        assert_eq!(
            manifest.matches(&quoted).count(),
            1,
            "{quoted} in the manifest"
        );
        staged = staged.replace(&quoted, &format!("{:?}", absolute.display().to_string()));
    }
    fs::create_dir_all(directory).expect("the target directory can be written to");
    let path = directory.join("Cargo.toml");
    if fs::read_to_string(&path).ok().as_deref() != Some(&staged) {
        fs::write(&path, staged).expect("the target directory can be written to");
    }
    let lock = directory.join("Cargo.lock");
    if !lock.exists() || newer(&repository.join("Cargo.lock"), &lock) {
        fs::copy(repository.join("Cargo.lock"), lock).expect("there is a lock file");
    }
    path
}

/// Whether a file was changed after another was.
fn newer(one: &Path, other: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
    changed(one) > changed(other)
}
