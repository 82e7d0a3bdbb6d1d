//! Sections that name each other: each name has its section, each section its name.

use crate::inf::finding::{Findings, Rule};
use crate::inf::model::{Model, decoration_of};
use crate::inf::strings::is_strings;
use crate::inf::syntax::{Section, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Sections that Windows looks for by these names, or by these names with a decoration. The lines
/// of all but the first two are `key = value`.
const KNOWN: [&str; 8] = [
    "ControlFlags",
    "Manufacturer",
    "Version",
    "SourceDisksNames",
    "SourceDisksFiles",
    "DestinationDirs",
    "DefaultInstall",
    "DefaultUninstall",
];

/// Directives of all sections that name sections.
const LISTS: [&str; 11] = [
    "CopyFiles",
    "DelFiles",
    "RenFiles",
    "AddReg",
    "DelReg",
    "BitReg",
    "Ini2Reg",
    "UpdateInis",
    "AddTrigger",
    "FailureActions",
    "AddFilter",
];

pub(super) fn check(model: &Model<'_>, findings: &mut Findings) {
    let sections = &model.document.sections;
    let mut used: BTreeSet<String> = BTreeSet::new();
    let lines = sections
        .iter()
        .flat_map(|section| section.entries("AddService"));
    let services: BTreeSet<String> = lines
        .flat_map(|line| [line.text(2), line.text(3)])
        .map(str::to_ascii_lowercase)
        .collect();
    for section in sections {
        let directives = has_directives(section);
        if directives || services.contains(&section.name.to_ascii_lowercase()) {
            no_equals(section, findings);
            duplicates(section, findings);
        }
        for name in referenced(section) {
            used.insert(name.text.to_ascii_lowercase());
            if model.document.section(&name.text).is_none() {
                let text = format!(
                    "there is no section [{}]; write it, or put @ before the name of a file",
                    name.text
                );
                findings.add(Rule::SectionNotFound, name.line, text);
            }
        }
    }
    for section in sections {
        let lower = section.name.to_ascii_lowercase();
        let security = lower.strip_suffix(".security");
        let mut known = KNOWN.iter();
        let known = known.any(|known| decoration_of(&section.name, known).is_some());
        let named = used.contains(&lower) || security.is_some_and(|of| used.contains(of));
        if !known && !named && !is_strings(section) {
            let text = format!(
                "nothing refers to [{}]; remove it, or correct the directive that should",
                section.name
            );
            findings.add(Rule::SectionUnused, section.line, text);
        }
    }
}

/// Whether each line of a section is `key = value`, by the section's name.
fn has_directives(section: &Section) -> bool {
    let mut known = KNOWN.iter().skip(2);
    is_strings(section) || known.any(|known| decoration_of(&section.name, known).is_some())
}

fn referenced(section: &Section) -> Vec<&Value> {
    let lists = LISTS.iter().flat_map(|list| section.named(list));
    let mut names: Vec<&Value> = lists.filter(|name| !name.text.starts_with('@')).collect();
    for line in section.entries("AddService") {
        let sections = line.values.iter().skip(2).take(2);
        names.extend(sections.filter(|name| !name.text.is_empty()));
    }
    names
}

fn no_equals(section: &Section, findings: &mut Findings) {
    // The files of a section for sources may stand alone.
    if decoration_of(&section.name, "SourceDisksFiles").is_some() {
        return;
    }
    for line in section.lines.iter().filter(|line| line.key.is_none()) {
        let text = format!(
            "\"{}\" has no =; every line of [{}] is: name = value",
            line.text(0),
            section.name
        );
        findings.add(Rule::NoEquals, line.number, text);
    }
}

fn duplicates(section: &Section, findings: &mut Findings) {
    /// What may be there several times.
    const REPEATED: [&str; 4] = ["AddService", "DelService", "Include", "Needs"];
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for line in &section.lines {
        let Some(key) = &line.key else { continue };
        let mut lists = LISTS.iter().chain(&REPEATED);
        if lists.any(|list| key.is(list)) {
            continue;
        }
        let first = *seen
            .entry(key.text.to_ascii_lowercase())
            .or_insert(line.number);
        if first != line.number {
            let text = format!(
                "{} is in line {first} already, and Windows takes the first; remove one",
                key.text
            );
            findings.add(Rule::DuplicateKey, line.number, text);
        }
    }
}
