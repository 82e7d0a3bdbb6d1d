//! What a command does when it cannot say what it has to say.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::process::{Command, Output, Stdio};

const MINIFILTER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../fltsim/tests/images/minifilter.sys"
);
/// What nothing can be written to.
const FULL: &str = "/dev/full";

fn full() -> File {
    OpenOptions::new().write(true).open(FULL).unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fltbench"));
    command.args(arguments);
    command
}

/// A pipe that nobody reads.
fn unread() -> Stdio {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_report_that_cannot_be_written_is_an_error() {
    let tree = tempfile::tempdir().unwrap();
    let tree = tree.path().to_str().unwrap();
    let error = "error: standard output cannot be written: No space left on device (os error 28); \
                 send it somewhere else\n";
    for arguments in [
        &["exports", "--module", "fltmgr"][..],
        &["exports", "--json"],
        &["run", MINIFILTER, tree],
        &["run", MINIFILTER, tree, "--json"],
    ] {
        let output = command(arguments).stdout(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        let said = said(&output);
        assert!(said.ends_with(error), "{arguments:?}: {said}");
    }
}

#[test]
fn a_report_that_nobody_reads_changes_no_verdict() {
    let tree = tempfile::tempdir().unwrap();
    let tree = tree.path().to_str().unwrap();
    for arguments in [&["exports"][..], &["run", MINIFILTER, tree]] {
        let output = command(arguments).stdout(unread()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    }
}

#[test]
fn messages_that_nobody_reads_change_no_verdict() {
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("file"), "12345").unwrap();
    let tree = tree.path().to_str().unwrap();
    for (arguments, status) in [
        (&["inf", "/nowhere.inf"][..], 2),
        (&["run", MINIFILTER, "/nowhere"], 2),
        (&["run", "/nowhere.sys", tree], 2),
        // A note names an import that is missing.
        (&["run", MINIFILTER, tree], 0),
    ] {
        for messages in [full().into(), unread()] {
            let output = command(arguments).stderr(messages).output().unwrap();
            assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        }
    }
}
