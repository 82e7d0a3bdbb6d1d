//! The sections that install and uninstall.

use crate::inf::decoration::Decoration;
use crate::inf::finding::{Findings, Rule};
use crate::inf::model::{Install, Model, added, decoration_of};
use crate::inf::syntax::Section;

/// Directives of `DefaultInstall` and `DefaultUninstall`.
const INSTALL: [&str; 16] = [
    "OptionDesc",
    "CopyFiles",
    "DelFiles",
    "RenFiles",
    "AddReg",
    "DelReg",
    "BitReg",
    "Include",
    "Needs",
    "DriverVer",
    "CopyINF",
    "AddProperty",
    "AddPowerSetting",
    "LegacyUninstall",
    "UpdateInis",
    "Ini2Reg",
];
/// Directives of their `.Services`.
const SERVICES: [&str; 4] = ["AddService", "DelService", "Include", "Needs"];
/// The flag that stops a service before it is deleted.
const STOP_SERVICE: u32 = 0x200;

pub(super) fn check(model: &Model<'_>, findings: &mut Findings) {
    let document = model.document;
    for section in &document.sections {
        for entry in ["DefaultInstall", "DefaultUninstall"] {
            if let Some((text, services)) = decoration_of(&section.name, entry) {
                named(model, section, entry, (text, services), findings);
            }
        }
    }
    if model.installs.is_empty() {
        let text = "no section installs the driver; write [DefaultInstall.NTamd64] with CopyFiles \
                    and [DefaultInstall.NTamd64.Services] with AddService";
        findings.add(Rule::NoInstall, 1, text);
    }
    if let Some(section) = document.section("Manufacturer") {
        let text = "a minifilter is a primitive driver: [Manufacturer] and what it names belong to \
                    drivers of devices; remove it";
        findings.add(Rule::Manufacturer, section.line, text);
    }
    for install in &model.installs {
        directives(install.section, &INSTALL, findings);
        services(install, findings);
    }
    for uninstall in &model.uninstalls {
        directives(uninstall.section, &INSTALL, findings);
        uninstalls(model, uninstall, findings);
    }
}

/// Judges the name of a section.
fn named(
    model: &Model<'_>,
    section: &Section,
    entry: &str,
    (text, services): (&str, bool),
    findings: &mut Findings,
) {
    match Decoration::parse(text) {
        None => {
            let what = format!(
                "\"{text}\" says no machine; write .NT, the architecture and, if need be, the \
                 version: .NTamd64 or .NTamd64.10.0...25952"
            );
            findings.add(Rule::Decoration, section.line, what);
        }
        Some(decoration) if decoration.architecture.is_none() => {
            let what = format!(
                "[{}] names no architecture, and then it is no primitive driver; write \
                 [{entry}.NTamd64]",
                section.name
            );
            findings.add(Rule::Undecorated, section.line, what);
        }
        Some(_) if services => {
            let owner = format!("{entry}{text}");
            if model.document.section(&owner).is_none() {
                let what = format!("there is no section [{owner}] that these services belong to");
                findings.add(Rule::Services, section.line, what);
            }
        }
        Some(_) => {}
    }
}

fn directives(section: &Section, known: &[&str], findings: &mut Findings) {
    for line in &section.lines {
        if let Some(key) = &line.key
            && !known.iter().any(|known| key.is(known))
        {
            let text = format!(
                "[{}] knows no {}; Windows ignores it",
                section.name, key.text
            );
            findings.add(Rule::UnknownDirective, line.number, text);
        }
    }
}

fn services(install: &Install<'_>, findings: &mut Findings) {
    let name = &install.section.name;
    let Some(section) = install.services else {
        let text = format!("[{name}.Services] is missing; write it with an AddService");
        findings.add(Rule::Services, install.section.line, text);
        return;
    };
    directives(section, &SERVICES, findings);
    if added(section).next().is_none() {
        let text = format!(
            "[{}] adds no service; write AddService = name,,section",
            section.name
        );
        findings.add(Rule::AddService, section.line, text);
    }
    for line in added(section) {
        if line.text(2).is_empty() {
            let text = "AddService names no section that installs the service: name,,section";
            findings.add(Rule::AddService, line.number, text);
        }
        if !line.text(1).is_empty() && crate::inf::syntax::number(line.text(1)).is_none() {
            let text = format!(
                "the flags of AddService are \"{}\", which is no number",
                line.text(1)
            );
            findings.add(Rule::AddService, line.number, text);
        }
    }
}

fn uninstalls(model: &Model<'_>, uninstall: &Install<'_>, findings: &mut Findings) {
    let section = uninstall.section;
    let legacy = section.entry("LegacyUninstall");
    let legacy = legacy.and_then(|line| line.values.first()?.number());
    if legacy != Some(1) {
        let text = format!(
            "[{}] is prohibited from Windows 10, version 1903, on; write LegacyUninstall = 1 into \
             it for earlier versions, or remove it",
            section.name
        );
        findings.add(Rule::Uninstall, section.line, text);
    }
    let Some(services) = uninstall.services else {
        return;
    };
    directives(services, &SERVICES, findings);
    for line in services.entries("DelService") {
        let flags = line
            .values
            .get(1)
            .and_then(crate::inf::syntax::Value::number);
        if flags.unwrap_or(0) & STOP_SERVICE == 0 {
            let text = "DelService does not stop the driver before it deletes its service; add the \
                        flag 0x200";
            findings.add(Rule::StopService, line.number, text);
        }
        let added = model
            .installs
            .iter()
            .filter_map(|install| install.services)
            .flat_map(added);
        let mut names = added.map(|line| line.text(0));
        if !names.any(|name| name.eq_ignore_ascii_case(line.text(0))) {
            let text = format!("no AddService adds the service \"{}\"", line.text(0));
            findings.add(Rule::UninstallService, line.number, text);
        }
    }
}
