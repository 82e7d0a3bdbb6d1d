//! The build script's call of the resource compiler.

#![cfg(unix)]

#[path = "../../../build.rs"]
#[expect(dead_code, reason = "only Cargo runs its `main`")]
mod script;

use script::resource::{Version, compile};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const VERSION: Version<'_> = Version {
    name: "example",
    description: "An example",
    numbers: [1, 2, 3],
};

/// A resource compiler that writes down its arguments and ends with `status`.
fn compiler(folder: &Path, status: u8) -> PathBuf {
    let program = folder.join("compiler");
    let script = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >example.res\nexit {status}\n");
    fs::write(&program, script).expect("a program can be written");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&program, mode).expect("it may be run");
    program
}

#[test]
fn no_argument_depends_on_where_it_is_built() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = compiler(folder.path(), 0);
    let output = folder.path().join("output");
    fs::create_dir(&output).expect("a folder in it");

    let resource = compile(&program, &output, &VERSION).expect("it compiles");

    assert_eq!(resource, output.join("example.res"));
    let arguments = fs::read_to_string(resource).expect("it is in the folder");
    assert_eq!(arguments, "/no-preprocess\n/fo\nexample.res\nexample.rc\n");
    let source = fs::read_to_string(output.join("example.rc")).expect("so is the source");
    assert!(source.contains("FILEVERSION 1,2,3,0\n"), "{source}");
    assert!(
        source.contains("VALUE \"InternalName\", \"example.sys\"\n"),
        "{source}"
    );
}

#[test]
fn a_failure_names_the_command_and_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = compile(&compiler(folder.path(), 7), folder.path(), &VERSION);
    let message = refused.expect_err("it fails").to_string();
    assert!(message.contains("\"example.rc\""), "{message}");
    let place = folder.path().display().to_string();
    assert!(message.contains(&place), "{message}");
    assert!(message.ends_with("failed: exit status: 7"), "{message}");

    let missing = folder.path().join("missing");
    let refused = compile(&missing, folder.path(), &VERSION);
    let message = refused.expect_err("there is no such program").to_string();
    assert!(message.starts_with("cannot run "), "{message}");
}
