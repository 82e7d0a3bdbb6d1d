//! `%names%`, and what stands for them.

use super::finding::{Findings, Rule};
use super::syntax::{Document, Section, Value};
use std::collections::BTreeMap;

/// The longest string, with its terminator.
const LONGEST: usize = 4096;

/// Replaces every `%name%` outside of [Strings].
///
/// A number between percent signs is one of setup's folders, and stays.
pub(crate) fn expand(document: &mut Document, findings: &mut Findings) {
    let strings = table(document);
    for section in &mut document.sections {
        if is_strings(section) {
            continue;
        }
        let line = section.line;
        substitute(&mut section.name, line, &strings, findings);
        for line in &mut section.lines {
            for Value { text, line } in line.key.iter_mut().chain(&mut line.values) {
                substitute(text, *line, &strings, findings);
            }
        }
    }
    document.renamed();
}

/// Whether it is [Strings], or that of a language.
pub(crate) fn is_strings(section: &Section) -> bool {
    let name = section.name.to_ascii_lowercase();
    name == "strings" || name.starts_with("strings.")
}

fn table(document: &Document) -> BTreeMap<String, String> {
    let mut strings = BTreeMap::new();
    let (neutral, of_languages): (Vec<_>, Vec<_>) = document
        .sections
        .iter()
        .filter(|section| is_strings(section))
        .partition(|section| section.is("Strings"));
    // A machine of no language: what only a language has is better than nothing.
    for line in neutral
        .into_iter()
        .chain(of_languages)
        .flat_map(|one| &one.lines)
    {
        if let Some(key) = &line.key {
            let text = line.text(0).to_owned();
            strings.entry(key.text.to_ascii_lowercase()).or_insert(text);
        }
    }
    strings
}

fn substitute(
    text: &mut String,
    line: usize,
    strings: &BTreeMap<String, String>,
    findings: &mut Findings,
) {
    if !text.contains('%') {
        return;
    }
    let mut output = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('%') {
        output.push_str(before);
        let Some((name, after)) = after.split_once('%') else {
            let what = format!("{text}: the second % is missing; write %% for the character");
            findings.add(Rule::UnterminatedToken, line, what);
            rest = after;
            break;
        };
        if name.is_empty() {
            output.push('%');
        } else if let Some(string) = strings.get(&name.to_ascii_lowercase()) {
            output.push_str(string);
        } else {
            output.extend(["%", name, "%"]);
            if !name.bytes().all(|byte| byte.is_ascii_digit()) {
                let what = format!(
                    "%{name}% is not in [Strings]; define it there, or write %% for the character"
                );
                findings.add(Rule::UndefinedToken, line, what);
            }
        }
        rest = after;
    }
    output.push_str(rest);
    if output.chars().count() >= LONGEST {
        let what = format!("a string of {LONGEST} characters or more; make it shorter");
        findings.add(Rule::TooLong, line, what);
    }
    *text = output;
}
