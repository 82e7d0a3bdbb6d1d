//! `fltbench exports`, from the command line.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use serde_json::Value;
use std::process::Command;

/// What it prints, and its exit status.
fn exports(arguments: &[&str]) -> (String, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_fltbench"))
        .arg("exports")
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (text, output.status.code().unwrap())
}

fn image(name: &str) -> String {
    let images = concat!(env!("CARGO_MANIFEST_DIR"), "/../fltsim/tests/images/");
    format!("{images}{name}.sys")
}

#[test]
fn every_export_is_listed_with_its_state() {
    let (all, status) = exports(&[]);
    assert_eq!(status, 0);
    let has = |text: &str, line: &str| text.lines().any(|found| found == line);
    assert!(has(&all, "FLTMGR.SYS FltRegisterFilter implemented"));
    for name in [
        "FltAllocateFileLock",
        "FltCheckLockForReadAccess",
        "FltCheckLockForWriteAccess",
        "FltFreeFileLock",
        "FltInitializeFileLock",
        "FltProcessFileLock",
        "FltUninitializeFileLock",
    ] {
        assert!(has(&all, &format!("FLTMGR.SYS {name} implemented")));
    }
    assert!(has(&all, "ntoskrnl.exe ZwLockFile implemented"));
    assert!(has(&all, "ntoskrnl.exe FsRtlPrivateLock implemented"));
    assert!(has(&all, "ntoskrnl.exe ZwOpenKey implemented"));
    assert!(has(&all, "ntoskrnl.exe IoFileObjectType implemented"));
    assert!(has(&all, "hal.dll HalTranslateBusAddress missing"));
    let count = |arguments: &[&str]| exports(arguments).0.lines().count();
    let (implemented, missing) = (count(&["--implemented"]), count(&["--missing"]));
    assert_eq!(implemented + missing, all.lines().count());
    let (manager, _) = exports(&["--module", "fltmgr", "--implemented"]);
    let wanted = |line: &str| line.starts_with("FLTMGR.SYS Flt") && line.ends_with(" implemented");
    assert!(
        !manager.is_empty() && manager.lines().all(wanted),
        "{manager}"
    );
    assert_eq!(exports(&["--implemented", "--missing"]).1, 2);
}

#[test]
fn an_image_that_needs_more_is_told() {
    let (all, status) = exports(&[&image("registry")]);
    assert_eq!(status, 0, "{all}");
    assert!(
        all.contains("ntoskrnl.exe ZwQueryValueKey implemented\n"),
        "{all}"
    );
    let (missing, status) = exports(&[&image("minifilter"), "--missing"]);
    assert_eq!(
        (&*missing, status),
        ("ntoskrnl.exe MissingFunction missing\n", 1)
    );
    let (json, status) = exports(&[&image("probe"), "--missing", "--json"]);
    assert_eq!(status, 1);
    let found: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(found.len(), 2);
    let names: Vec<&str> = found
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert!(
        names.contains(&"MissingFunction") && names.contains(&"#4711"),
        "{names:?}"
    );
    assert_eq!(found[0]["implemented"], false);
    assert_eq!(exports(&["/nowhere.sys"]).1, 2);
}
