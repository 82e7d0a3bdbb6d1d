//! Files: where they come from, where they go, and which of them is the driver.

use crate::inf::decoration::{ISOLATED, Target};
use crate::inf::finding::{Findings, Rule};
use crate::inf::model::{Copied, DRIVER_STORE, Install, Model};
use crate::inf::syntax::{Line, Section, Value};

pub(super) fn check(model: &Model<'_>, findings: &mut Findings) {
    destinations(model, findings);
    for install in &model.installs {
        let files = model.files(install.section, "CopyFiles");
        if files.is_empty() {
            let text = format!("[{}] copies no file; write CopyFiles", install.section.name);
            findings.add(Rule::CopyFiles, install.section.line, text);
        }
        for file in &files {
            goes_somewhere(model, file, findings);
            comes_from_somewhere(model, install, file, findings);
        }
        for service in model.services(install) {
            if let Some(line) = service.section.entry("ServiceBinary")
                && !line.text(0).is_empty()
            {
                binary(model, line, &files, findings);
            }
        }
    }
    unused_sources(model, findings);
    driver_store(model, findings);
}

fn destinations(model: &Model<'_>, findings: &mut Findings) {
    let Some(section) = model.document.section("DestinationDirs") else {
        return;
    };
    for line in &section.lines {
        let Some(key) = &line.key else { continue };
        if !key.is("DefaultDestDir") && model.document.section(&key.text).is_none() {
            let text = format!(
                "there is no section [{}] whose files could go there",
                key.text
            );
            findings.add(Rule::DestinationUnused, line.number, text);
        }
        if line.values.first().and_then(Value::number).is_none() {
            let text = format!(
                "\"{}\" is no folder; write its number: 13 for the driver store, 12 for \
                 system32\\drivers",
                line.text(0)
            );
            findings.add(Rule::DestinationDirs, line.number, text);
        }
    }
}

fn goes_somewhere(model: &Model<'_>, file: &Copied<'_>, findings: &mut Findings) {
    if model.destination(file.section).is_none() {
        let name = file
            .section
            .map_or("DefaultDestDir", |section| &section.name);
        let text = format!(
            "[DestinationDirs] does not say where {} goes; add {name} = 13 to it",
            file.name
        );
        findings.add(Rule::DestinationDirs, file.line, text);
    }
}

/// The line of a file in `SourceDisksFiles`, or in that of an architecture.
fn source<'a>(model: &Model<'a>, install: &Install<'_>, file: &str) -> Option<&'a Line> {
    let architecture = install.decoration.architecture.as_deref().unwrap_or("x86");
    let own = format!("SourceDisksFiles.{architecture}");
    let sections = [own.as_str(), "SourceDisksFiles"];
    let mut sections = sections
        .iter()
        .filter_map(|name| model.document.section(name));
    sections.find_map(|section| {
        let mut lines = section.lines.iter();
        lines.find(|line| line.head().is_some_and(|head| head.is(file)))
    })
}

fn comes_from_somewhere(
    model: &Model<'_>,
    install: &Install<'_>,
    file: &Copied<'_>,
    findings: &mut Findings,
) {
    let Some(line) = source(model, install, file.source) else {
        let text = format!(
            "[SourceDisksFiles] does not say on which disk {} is; add {} = 1 to it",
            file.source, file.source
        );
        findings.add(Rule::SourceFile, file.line, text);
        return;
    };
    let disk = line.text(0);
    let architecture = install.decoration.architecture.as_deref().unwrap_or("x86");
    let own = format!("SourceDisksNames.{architecture}");
    let sections = [own.as_str(), "SourceDisksNames"];
    let mut names = sections
        .iter()
        .filter_map(|name| model.document.section(name));
    if !names.any(|names| names.entry(disk).is_some()) {
        let text = format!("[SourceDisksNames] knows no disk \"{disk}\"; add {disk} = name to it");
        findings.add(Rule::SourceDisk, line.number, text);
    }
    let Some(destination) = model.destination(file.section) else {
        return;
    };
    let moved = !destination
        .subfolder
        .eq_ignore_ascii_case(line.text(1).trim_matches('\\'));
    let renamed = !file.name.eq_ignore_ascii_case(file.source);
    if destination.folder == Some(DRIVER_STORE) && (moved || renamed) {
        let text = format!(
            "{} has another name or folder in the driver store than in the package; make them the \
             same",
            file.name
        );
        findings.add(Rule::StorePath, file.line, text);
    }
}

/// The driver is what the service starts: it is copied, and it is where the service looks for it.
fn binary(model: &Model<'_>, line: &Line, files: &[Copied<'_>], findings: &mut Findings) {
    let path = line.text(0);
    let mut parts = path
        .strip_prefix('%')
        .into_iter()
        .flat_map(|rest| rest.splitn(2, "%\\"));
    let (Some(Ok(folder)), Some(rest)) = (parts.next().map(str::parse::<u32>), parts.next()) else {
        let text = format!("\"{path}\" is no folder's number and file; write %13%\\driver.sys");
        findings.add(Rule::ServiceBinary, line.number, text);
        return;
    };
    let (subfolder, name) = rest.rsplit_once('\\').unwrap_or(("", rest));
    let copied: Vec<_> = files
        .iter()
        .filter(|file| file.name.eq_ignore_ascii_case(name))
        .collect();
    if copied.is_empty() {
        let text = format!("no CopyFiles of this installation copies {name}");
        findings.add(Rule::ServiceBinary, line.number, text);
        return;
    }
    let right = copied.iter().any(|file| {
        model.destination(file.section).is_some_and(|destination| {
            destination.folder == Some(folder)
                && destination.subfolder.eq_ignore_ascii_case(subfolder)
        })
    });
    let known = copied
        .iter()
        .find_map(|file| model.destination(file.section));
    if let (false, Some(known)) = (right, known) {
        let text = format!(
            "the service looks for {name} in {path}, and line {} copies it to folder {}",
            known.line,
            known.folder.unwrap_or(0)
        );
        findings.add(Rule::ServiceBinary, line.number, text);
    }
}

fn unused_sources(model: &Model<'_>, findings: &mut Findings) {
    let copied: Vec<Copied<'_>> = model
        .installs
        .iter()
        .flat_map(|install| model.files(install.section, "CopyFiles"))
        .collect();
    let lists = |section: &&Section| {
        let name = section.name.to_ascii_lowercase();
        name == "sourcedisksfiles" || name.starts_with("sourcedisksfiles.")
    };
    for section in model.document.sections.iter().filter(lists) {
        for line in &section.lines {
            if let Some(head) = line.head()
                && !copied.iter().any(|file| head.is(file.source))
            {
                let text = format!("no CopyFiles copies {}; copy it or remove it", head.text);
                findings.add(Rule::SourceUnused, line.number, text);
            }
        }
    }
}

/// What Windows 11, version 24H2, takes runs from the driver store.
fn driver_store(model: &Model<'_>, findings: &mut Findings) {
    let Some(install) = model.chosen(Target::CURRENT) else {
        return;
    };
    for file in model.files(install.section, "CopyFiles") {
        if let Some(destination) = model.destination(file.section)
            && destination
                .folder
                .is_some_and(|folder| folder != DRIVER_STORE)
        {
            let text = format!(
                "Windows 11, version 24H2, and later run drivers from the driver store; let {} go \
                 to folder 13, or give them a section of their own: \
                 [DefaultInstall.NTamd64.10.0...{ISOLATED}]",
                file.name
            );
            findings.add(Rule::DriverStore, destination.line, text);
        }
    }
}
