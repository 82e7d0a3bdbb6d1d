//! What must not compile, rule by rule (T-01 to T-24 of the design, recipes and the
//! Windows versions).
//!
//! Each rule has a folder. `reject_*.rs` are wrong programs, each with the message that the
//! compiler answers beside it (`.stderr`); `accept.rs` is the nearest right program, compiled as a
//! module of this one. `TRYBUILD=overwrite cargo test --test ui` writes the messages anew: read
//! the difference, for a program must fail by its rule and by nothing else.

#![allow(
    dead_code,
    unused_macros,
    clippy::all,
    clippy::pedantic,
    reason = "the accepted programs have to compile, not to be used"
)]

use std::{collections::BTreeMap, fs, path::Path};

#[path = "in_place/accept.rs"]
mod in_place;
#[path = "t01_volume_context_in_paged_pool/accept.rs"]
mod t01;
#[path = "t02_context_not_declared/accept.rs"]
mod t02;
#[path = "t03_context_on_wrong_object/accept.rs"]
mod t03;
#[path = "t04_handle_used_after_set/accept.rs"]
mod t04;
#[path = "t05_mutable_borrow_of_shared/accept.rs"]
mod t05;
#[path = "t06_context_not_send_sync_static/accept.rs"]
mod t06;
#[path = "t07_context_over_aligned/accept.rs"]
mod t07;
#[path = "t08_paged_handle_at_dispatch/accept.rs"]
mod t08;
#[path = "t09_context_calls_at_dispatch/accept.rs"]
mod t09;
#[path = "t10_file_contexts_without_file/accept.rs"]
mod t10;
#[path = "t11_post_operation_not_registered/accept.rs"]
mod t11;
#[path = "t12_payload_types_disagree/accept.rs"]
mod t12;
#[path = "t13_payload_without_post_operation/accept.rs"]
mod t13;
#[path = "t14_lock_in_paged_context/accept.rs"]
mod t14;
#[path = "t15_lock_guard_kept_until_post/accept.rs"]
mod t15;
#[path = "t16_borrow_outlives_callback/accept.rs"]
mod t16;
#[path = "t17_section_context_set_or_deleted/accept.rs"]
mod t17;
#[path = "t18_conflicting_declarations/accept.rs"]
mod t18;
#[path = "t19_context_too_large/accept.rs"]
mod t19;
#[path = "t20_pool_tag_empty_or_not_ascii/accept.rs"]
mod t20;
#[path = "t21_operation_not_synchronizable/accept.rs"]
mod t21;
#[path = "t22_handle_from_raw_pointer/accept.rs"]
mod t22;
#[path = "t23_filter_unregistered_by_hand/accept.rs"]
mod t23;
#[path = "t24_payload_not_send/accept.rs"]
mod t24;
#[path = "windows_versions/accept.rs"]
mod windows_versions;

/// The folder of the programs.
const ROOT: &str = "tests/ui";

/// The programs of a rule.
#[derive(Default)]
struct Programs {
    rejected: usize,
    accepted: usize,
}

/// Counts the programs in each rule's folder; every wrong one has its message beside it.
fn programs() -> BTreeMap<String, Programs> {
    let mut rules = BTreeMap::<String, Programs>::new();
    for folder in fs::read_dir(ROOT).expect("the tests run in the package's folder") {
        let folder = folder.expect("a folder entry").path();
        if !folder.is_dir() {
            continue;
        }
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let rule = match name.split_once('_') {
            Some(("in", "place")) => "In place".to_owned(),
            Some(("windows", "versions")) => "Windows versions".to_owned(),
            Some((number, _)) => number.replacen('t', "T-", 1),
            None => panic!("{name} is not the folder of a rule"),
        };
        let programs = rules.entry(rule.clone()).or_default();
        for file in fs::read_dir(&folder).expect("a folder") {
            let file = file.expect("a folder entry").path();
            if file
                .extension()
                .is_some_and(|extension| extension == "stderr")
            {
                assert!(
                    file.with_extension("rs").exists(),
                    "{} is the message of no program",
                    file.display()
                );
                continue;
            }
            says_its_rule(&file, &rule);
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            if name == "accept" {
                programs.accepted += 1;
            } else if name.starts_with("reject_") && file.with_extension("stderr").exists() {
                programs.rejected += 1;
            } else {
                panic!("{} is not a program with its message", file.display());
            }
        }
    }
    rules
}

fn says_its_rule(file: &Path, rule: &str) {
    let text = fs::read_to_string(file).expect("a program");
    assert!(
        text.starts_with(&format!("//! {rule}: ")),
        "{} does not begin with its rule",
        file.display()
    );
}

#[test]
fn wrong_programs_do_not_compile() {
    // First what the compiler says, then whether it was asked about every rule: a new program gets
    // its message from the former.
    let cases = trybuild::TestCases::new();
    cases.compile_fail(format!("{ROOT}/*/reject_*.rs"));
    // The cases run when they are dropped.
    drop(cases);

    let rules = programs();
    let expected = (1..=24).map(|number| format!("T-{number:02}"));
    assert_eq!(
        rules.keys().cloned().collect::<Vec<_>>(),
        ["In place".to_owned()]
            .into_iter()
            .chain(expected)
            .chain(["Windows versions".to_owned()])
            .collect::<Vec<_>>(),
        "a folder for every rule"
    );
    for (rule, programs) in &rules {
        assert!(programs.rejected >= 2, "{rule}: two wrong programs");
        assert_eq!(programs.accepted, 1, "{rule}: one right program");
    }
    let rejected: usize = rules.values().map(|programs| programs.rejected).sum();
    assert_eq!(rejected, 104, "wrong programs");
}
