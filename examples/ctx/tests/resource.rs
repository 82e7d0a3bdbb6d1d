//! The build script's call of the resource compiler.

#![cfg(unix)]

#[path = "../resource.rs"]
mod resource;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A resource compiler that writes down its arguments and ends with `status`.
fn compiler(folder: &Path, status: u8) -> PathBuf {
    let program = folder.join("compiler");
    let script = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >ctx.res\nexit {status}\n");
    fs::write(&program, script).expect("a program can be written");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&program, mode).expect("it may be run");
    program
}

#[test]
fn no_argument_depends_on_where_it_is_built() {
    let folder = tempfile::tempdir().expect("a folder");
    let compiler = compiler(folder.path(), 0);
    let output = folder.path().join("output");
    fs::create_dir(&output).expect("a folder in it");

    let result = resource::compile(&compiler, &output, [1, 2, 3]).expect("it compiles");

    assert_eq!(result, output.join("ctx.res"));
    let arguments = fs::read_to_string(result).expect("it is in the folder");
    assert_eq!(arguments, "/no-preprocess\n/fo\nctx.res\nctx.rc\n");
    let source = fs::read_to_string(output.join("ctx.rc")).expect("so is the source");
    assert!(source.contains("FILEVERSION 1,2,3,0\n"));
}

#[test]
fn a_failure_names_the_command_and_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = resource::compile(&compiler(folder.path(), 7), folder.path(), [0, 1, 0]);
    let message = refused.expect_err("it fails").to_string();
    assert!(message.contains("\"ctx.rc\""), "{message}");
    assert!(
        message.contains(&folder.path().display().to_string()),
        "{message}"
    );
    assert!(message.ends_with("failed: exit status: 7"), "{message}");

    let missing = folder.path().join("missing");
    let refused = resource::compile(&missing, folder.path(), [0, 1, 0]);
    let message = refused.expect_err("there is no such program").to_string();
    assert!(message.starts_with("cannot run "), "{message}");
}
