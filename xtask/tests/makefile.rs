//! `Makefile.toml`, as far as it can be checked where there is no Windows: every script parses,
//! and every task and variable that is named exists, here or in wdk-build's makefile.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use toml::{Table, Value};

/// Variables that cargo-make sets itself, as far as they are used.
const BUILT_IN: [&str; 2] = [
    "CARGO_MAKE_WORKING_DIRECTORY",
    "CARGO_MAKE_WORKSPACE_WORKING_DIRECTORY",
];

fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("xtask is in a folder").to_owned()
}

fn parse(path: &Path) -> Table {
    let text = fs::read_to_string(path).expect("the makefile can be read");
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The makefile that is extended, in the version of wdk-build that the lock file names.
fn extended() -> Table {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--all-features",
        ])
        .current_dir(repository())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{output:?}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    let wdk_build = packages
        .iter()
        .find(|package| package["name"] == "wdk-build")
        .and_then(|package| package["manifest_path"].as_str())
        .expect("wdk-build is among them");
    parse(&Path::new(wdk_build).with_file_name("rust-driver-makefile.toml"))
}

fn tasks(makefile: &Table) -> &Table {
    makefile["tasks"].as_table().expect("there are tasks")
}

/// Every text in a value.
fn texts<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
        Value::Table(table) => table.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

/// The names in `${NAME}`.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    text.split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name)
}

#[test]
fn every_script_parses() {
    let makefile = parse(&repository().join("Makefile.toml"));
    let mut parsed = 0;
    for (name, task) in tasks(&makefile) {
        let Some(script) = task.get("script") else {
            continue;
        };
        let runner = task.get("script_runner").and_then(Value::as_str);
        assert_eq!(runner, Some("@duckscript"), "{name}");
        let script = script.as_str().expect("a script is a text");
        let instructions = duckscript::parser::parse_text(script)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!instructions.is_empty(), "{name}");
        parsed += 1;
    }
    assert_eq!(parsed, 3);
}

#[test]
fn every_task_that_is_named_exists() {
    let makefile = parse(&repository().join("Makefile.toml"));
    let extended = extended();
    let known: BTreeSet<&String> = [&makefile, &extended]
        .into_iter()
        .flat_map(|makefile| tasks(makefile).keys())
        .collect();
    let mut named = Vec::new();
    for task in tasks(&makefile).values() {
        for member in ["dependencies", "run_task"] {
            if let Some(value) = task.get(member) {
                texts(value, &mut named);
            }
        }
    }
    assert_eq!(named.len(), 7, "{named:?}");
    for name in named {
        assert!(known.contains(&name.to_owned()), "{name}");
    }
    // What is cleared replaces something.
    for (name, task) in tasks(&makefile) {
        let replaces = task.get("clear").is_some();
        assert_eq!(tasks(&extended).contains_key(name), replaces, "{name}");
    }
}

#[test]
fn every_variable_is_set_somewhere() {
    let makefile = parse(&repository().join("Makefile.toml"));
    let extended = Value::Table(extended());
    let mut there = Vec::new();
    texts(&extended, &mut there);
    let there: BTreeSet<&str> = there.into_iter().flat_map(variables).collect();
    let own = makefile["env"].as_table().expect("there is an environment");
    let mut used = 0;
    let mut check = |text: &str| {
        // A script's own variables.
        let set: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.split_once(" = "))
            .map(|(name, _)| name.trim())
            .collect();
        for name in variables(text) {
            let known = own.contains_key(name)
                || set.contains(name)
                || BUILT_IN.contains(&name)
                || there.contains(name);
            assert!(known, "{name}");
            used += 1;
        }
    };
    for section in ["env", "tasks"] {
        let mut found = Vec::new();
        texts(&makefile[section], &mut found);
        found.into_iter().for_each(&mut check);
    }
    assert!(used > 20, "{used}");
}
