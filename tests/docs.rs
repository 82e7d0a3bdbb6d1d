//! The documentation names tests, programs, files and functions: each of them exists.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The README and everything in `docs`.
fn documents() -> Vec<PathBuf> {
    let folder = repository().join("docs");
    let entries = fs::read_dir(&folder).expect("there is a folder of documents");
    let mut documents = vec![PathBuf::from("README.md")];
    for entry in entries {
        let name = entry.expect("it can be listed").file_name();
        documents.push(Path::new("docs").join(name));
    }
    assert!(documents.len() > 8, "{documents:?}");
    documents
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between backticks, outside of blocks of code.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    // Every other block, from the first on, is prose.
    text.split("```")
        .step_by(2)
        .flat_map(|prose| prose.split('`').skip(1).step_by(2))
}

/// The relative targets of links.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://"))
        .filter_map(|target| target.split('#').next())
        .filter(|target| !target.is_empty())
}

/// Whether a file has a test of this name that is run.
fn has_test(text: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    let mut attributes = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            attributes.push(line);
            continue;
        }
        if line.starts_with(&head) && attributes == ["#[test]"] {
            return true;
        }
        attributes.clear();
    }
    false
}

/// The tests and programs that a text names: `tests/…` with or without the name of a test.
fn assert_named_tests_exist(document: &str, text: &str) -> usize {
    let mut names = 0;
    for span in code_spans(text).filter(|span| span.starts_with("tests/")) {
        let mut parts = span.splitn(2, "::");
        let file = parts.next().unwrap_or(span);
        assert!(
            repository().join(file).exists(),
            "{document} names {file}, which does not exist"
        );
        if let Some(name) = parts.next() {
            assert!(
                has_test(&read(file), name),
                "{document} names the test {name}, which {file} does not have"
            );
        }
        names += 1;
    }
    names
}

#[test]
fn what_the_documents_name_exists() {
    for document in documents() {
        let text = read(&document);
        let name = document.display();
        assert_named_tests_exist(&name.to_string(), &text);
        let folder = repository()
            .join(&document)
            .parent()
            .map(PathBuf::from)
            .unwrap_or_default();
        for link in links(&text) {
            assert!(
                folder.join(link).exists(),
                "{name} links to {link}, which does not exist"
            );
        }
    }
}

/// Every mistake that a library can prevent has a test or a rejected program, and every rule that
/// the table names a folder.
#[test]
fn every_mistake_is_shown_to_be_prevented() {
    const OUT_OF_REACH: [&str; 2] = ["M5", "M18"];
    let text = read("docs/mistakes.md");
    let mut numbers = Vec::new();
    for row in text.lines().filter(|line| line.starts_with("| M")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [number, _, prevention, evidence] = cells[..] else {
            panic!("{row}: not four cells");
        };
        numbers.push(number);
        let shown = assert_named_tests_exist(number, evidence);
        assert_eq!(shown == 0, OUT_OF_REACH.contains(&number), "{number}");
        for rule in prevention.split("T-").skip(1) {
            let rule = &rule[..2];
            assert!(has_folder(rule), "{number}: there is no T-{rule}");
        }
    }
    let expected: Vec<String> = (1..=30).map(|number| format!("M{number}")).collect();
    assert_eq!(numbers, expected);
}

/// Whether a rule has a folder of programs.
fn has_folder(rule: &str) -> bool {
    let prefix = format!("t{rule}_");
    fs::read_dir(repository().join("tests/ui"))
        .expect("the folder of the programs")
        .filter_map(Result::ok)
        .any(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
}

/// Every test of `mistakes.rs` is in the table.
#[test]
fn every_test_of_a_mistake_is_in_the_table() {
    let table = read("docs/mistakes.md");
    let tests = read("tests/library/mistakes.rs");
    let named = tests
        .lines()
        .filter_map(|line| line.strip_prefix("fn m"))
        .filter_map(|rest| rest.split('(').next());
    for name in named {
        assert!(table.contains(&format!("::m{name}`")), "m{name}");
    }
}

/// What the bindings of the contexts, the registration, the transactions and the data scans
/// declare is in the table, so that nobody looks for a call in vain.
#[test]
fn every_call_is_in_the_table() {
    let table = read("docs/c-to-rust.md");
    let named: BTreeSet<&str> = code_spans(&table).collect();
    let declared = |file: &str| -> Vec<String> {
        read(Path::new("crates/fltmgr-sys/src").join(file))
            .lines()
            .filter_map(|line| line.trim().strip_prefix("pub fn "))
            .filter_map(|rest| rest.split('(').next())
            .map(String::from)
            .collect()
    };
    assert_eq!(declared("context.rs").len(), 31, "the context functions");
    for file in [
        "context.rs",
        "data_scan.rs",
        "registration.rs",
        "transaction.rs",
        "push_lock.rs",
    ] {
        for call in declared(file) {
            assert!(named.contains(call.as_str()), "{call} of {file}");
        }
    }
}

/// The members of the two registration structures are in the table.
#[test]
fn every_member_of_a_registration_is_in_the_table() {
    let table = read("docs/c-to-rust.md");
    let named: BTreeSet<&str> = code_spans(&table).collect();
    for (file, structure) in [
        ("context.rs", "FLT_CONTEXT_REGISTRATION"),
        ("registration.rs", "FLT_REGISTRATION"),
        ("registration.rs", "FLT_OPERATION_REGISTRATION"),
    ] {
        let text = read(Path::new("crates/fltmgr-sys/src").join(file));
        let members = text
            .split(&format!("pub struct {structure} {{"))
            .nth(1)
            .and_then(|rest| rest.split('}').next())
            .unwrap_or_else(|| panic!("{structure} is not in {file}"));
        for member in members
            .lines()
            .filter_map(|line| line.trim().strip_prefix("pub "))
            .filter_map(|rest| rest.split(':').next())
        {
            assert!(named.contains(member), "{member} of {structure}");
        }
    }
}

#[test]
fn a_span_of_code_is_found_and_a_block_is_not() {
    let text = "a `b` c `d`\n```rust\nlet e = `f`;\n```\n`g`";
    assert_eq!(code_spans(text).collect::<Vec<_>>(), ["b", "d", "g"]);
    let text = "[a](b.md) [c](https://d.e/f) [g](h.md#i) [j](#k)";
    assert_eq!(links(text).collect::<Vec<_>>(), ["b.md", "h.md"]);
    let text = "#[test]\nfn a() {\n}\nfn b() {\n}\n#[test]\n#[ignore]\nfn c() {";
    assert!(has_test(text, "a"));
    assert!(!has_test(text, "b"));
    assert!(!has_test(text, "c"));
}
