//! Which assertions of the contract have a test, found by the names of the tests.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

/// The assertions are C-001 to C-180.
const ASSERTIONS: RangeInclusive<u16> = 1..=180;

/// The numbers of the tests in a module and in the modules that it declares. A file that no module
/// declares is not compiled, so its tests do not count.
fn covered(directory: &Path, module: &str, found: &mut BTreeSet<u16>) -> io::Result<()> {
    let text = fs::read_to_string(directory.join(module).with_extension("rs"))?;
    found.extend(tests_in(&text));
    let below = if module == "main" {
        directory.to_owned()
    } else {
        directory.join(module)
    };
    for line in text.lines() {
        let declared = line.trim_start_matches("pub(crate) ");
        let declared = declared.strip_prefix("mod ");
        if let Some(name) = declared.and_then(|rest| rest.strip_suffix(';')) {
            covered(&below, name, found)?;
        }
    }
    Ok(())
}

/// The numbers of the tests in one file: `fn c_047_…` after `#[test]`, ignored ones not counted.
fn tests_in(text: &str) -> Vec<u16> {
    let mut attributes = Vec::new();
    let mut numbers = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            attributes.push(line);
            continue;
        }
        if let Some(name) = line.strip_prefix("fn c_")
            && attributes == ["#[test]"]
            && let Some((number, _)) = name.split_once('_')
            && number.len() == 3
        {
            numbers.extend(number.parse::<u16>());
        }
        attributes.clear();
    }
    numbers
}

/// Every assertion has a test, and every numbered test an assertion.
#[test]
fn every_assertion_has_a_test() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract");
    let mut found = BTreeSet::new();
    covered(&directory, "main", &mut found).expect("the sources can be read");
    let unknown: Vec<_> = found.iter().filter(|n| !ASSERTIONS.contains(n)).collect();
    assert!(unknown.is_empty(), "no such assertions: {unknown:?}");
    println!(
        "{} of {} assertions covered",
        found.len(),
        ASSERTIONS.count()
    );
    let missing: Vec<_> = ASSERTIONS.filter(|n| !found.contains(n)).collect();
    assert!(missing.is_empty(), "assertions without a test: {missing:?}");
}

/// Only what runs as a test counts.
#[test]
fn a_test_counts_by_its_name_and_attribute() {
    let attribute = |name: &str| format!("#[{name}]\nfn c_047_something() {{\n");
    assert_eq!(tests_in(&attribute("test")), [47]);
    assert!(tests_in("fn c_047_something() {\n").is_empty());
    let ignored = attribute("test").replace("fn", "#[ignore]\nfn");
    assert!(tests_in(&ignored).is_empty());
    assert!(tests_in("#[test]\nfn c_47_something() {\n").is_empty());
}
