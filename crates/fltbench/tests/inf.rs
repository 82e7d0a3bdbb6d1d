//! `fltbench inf`, from the command line.

use serde_json::Value;
use std::fs;
use std::process::{Command, Output};

fn inf(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fltbench"))
        .arg("inf")
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../inf/ctx.inx");

#[test]
fn the_sample_is_clean() {
    let output = inf(&[SAMPLE]);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stdout);
    assert!(
        said.contains("ctx.inx:29: note: $ARCH$ is filled in by stampinf"),
        "{said}"
    );
    assert!(
        said.ends_with("\nclean: no errors, no warnings\n"),
        "{said}"
    );
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn errors_are_found_by_people_and_programs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ctx.inf");
    let sample = fs::read_to_string(SAMPLE)
        .unwrap()
        .replace("$ARCH$", "amd64");
    fs::write(&file, &sample).unwrap();
    let name = file.to_str().unwrap();
    assert_eq!(inf(&[name]).status.code(), Some(0));

    fs::write(&file, sample.replace("\"385000\"", "\"320000\"")).unwrap();
    let output = inf(&[name]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    let line = format!("{name}:57: error: the altitude 320000 is not one of the group");
    assert!(said.starts_with(&line), "{said}");
    assert!(
        said.ends_with("\nNOT USABLE: 2 errors, no warnings\n"),
        "{said}"
    );

    fs::write(&file, sample.replace("PnpLockdown = 1", "")).unwrap();
    let output = inf(&[name, "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["file"], name);
    assert_eq!(
        (&found["errors"], &found["warnings"]),
        (&0.into(), &1.into())
    );
    let finding = &found["findings"][0];
    assert_eq!(finding["line"], 7);
    assert_eq!(finding["severity"], "warning");
    assert_eq!(finding["rule"], "pnp-lockdown");
    assert!(finding.get("infverif").is_none());
}

#[test]
fn bad_usage_ends_with_2() {
    for arguments in [&[][..], &["/nowhere.inf"], &["/"], &[SAMPLE, "--xml"]] {
        let output = inf(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
    assert_eq!(text(&inf(&["/nowhere.inf"]).stderr).lines().count(), 1);
}
