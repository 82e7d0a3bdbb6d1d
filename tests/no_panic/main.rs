//! fltctx cannot panic.
//!
//! A kernel driver that panics stops the machine. This test builds `driver`, a minifilter that
//! uses every verb of the library, into one object as a release build would, and reads the symbols
//! of that object. Nothing is left in it that cannot be reached, and the driver's panic handler
//! calls a function that does not exist: if the object asks for it, something can panic.
//!
//! Overflow checks are tried too, because a driver may turn them on in its release profile. Debug
//! assertions are not: with them `core` checks what callers of its unsafe functions promise, and
//! panics where an optimised build has undefined behaviour.

// The driver is built for this machine, with undefined kernel functions. On Windows it would need
// the WDK.
#![cfg(not(windows))]

mod build;

use build::{Build, Object};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The ways in which a driver may be optimised.
const OPTIMISATIONS: [Build; 4] = [
    Build::new("3", false),
    Build::new("s", false),
    Build::new("3", true),
    Build::new("s", true),
];

/// Asserts that nothing of an object panics, in whichever way it is optimised.
fn expect_no_panic(features: &[&str]) {
    for build in OPTIMISATIONS {
        let panics = build.run(features).panics();
        assert!(panics.is_empty(), "{build:?} {features:?}: {panics:#?}");
    }
}

/// Contexts of every form, payloads, locks, sections, transactions.
#[test]
fn verbs_do_not_panic() {
    expect_no_panic(&[]);
}

/// Integers, strings, names and what the library's types print as: neither the library nor what it
/// takes from `core` panics.
#[test]
fn printing_does_not_panic() {
    expect_no_panic(&["print"]);
}

/// The exception: where `{:?}` puts text in quotes, `core` checks indices into it. The checks
/// cannot fail, but the compiler does not see that. As soon as it does this test fails, and the
/// documentation of `debug_print!` can say so.
#[test]
fn printing_text_in_quotes_links_the_checks_of_core() {
    let panics = Build::new("3", false).run(&["quote"]).panics();
    assert!(panics.contains("fltctx_must_not_panic"), "{panics:#?}");
    for what in ["slice_error_fail", "slice_index_fail", "unwrap_failed"] {
        let found = panics.iter().any(|name| name.contains(what));
        assert!(found, "{what} is gone: {panics:#?}");
    }
    let ours = panics.iter().find(|name| name.contains("6fltctx"));
    assert_eq!(ours, None);
}

/// The test of the test: one index that is not checked to be within bounds.
#[test]
fn a_panic_is_found() {
    for optimisation in ["3", "s"] {
        let panics = Build::new(optimisation, false).run(&["panic"]).panics();
        for what in ["fltctx_must_not_panic", "panic_bounds_check"] {
            let found = panics.iter().any(|name| name.contains(what));
            assert!(found, "{what} is not found: {panics:#?}");
        }
    }
}

/// The driver is broad enough: every kernel function that the library can call, it calls.
#[test]
fn the_driver_reaches_every_kernel_function_of_the_library() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut declared = BTreeSet::new();
    words_of(&root.join("crates/fltmgr-sys/src"), &mut |words| {
        // In lower case it is the variable of a macro.
        if let ["pub", "fn", name, ..] = words
            && name.starts_with(char::is_uppercase)
        {
            declared.insert((*name).to_owned());
        }
    });
    let mut called = BTreeSet::new();
    words_of(&root.join("src"), &mut |words| {
        let names = words.iter().filter(|word| declared.contains(**word));
        called.extend(names.map(|name| (*name).to_owned()));
    });
    assert!(called.len() > 50, "the sources were read: {called:?}");

    let Object { undefined, .. } = Build::new("3", false).run(&["print"]);
    let missing: Vec<_> = called.difference(&undefined).collect();
    assert!(missing.is_empty(), "the driver does not use {missing:?}");
}

/// Hands out the words of each line of code below a directory, comments left out.
fn words_of(directory: &Path, take: &mut dyn FnMut(&[&str])) {
    for entry in fs::read_dir(directory).expect("the sources can be listed") {
        let path = entry.expect("the sources can be listed").path();
        if path.is_dir() {
            words_of(&path, take);
            continue;
        }
        let text = fs::read_to_string(&path).expect("the sources are text");
        for line in text.lines() {
            let code = line.split("//").next().unwrap_or_default();
            let word = |byte: char| byte.is_alphanumeric() || byte == '_';
            let words = code.split(|byte| !word(byte));
            let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
            take(&words);
        }
    }
}
