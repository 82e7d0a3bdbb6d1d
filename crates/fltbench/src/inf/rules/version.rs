//! The [Version] section.

use crate::inf::finding::{Findings, Rule};
use crate::inf::groups;
use crate::inf::model::Model;
use crate::inf::syntax::{Line, Section, Value};

pub(super) fn check(model: &Model<'_>, stamped_later: bool, findings: &mut Findings) {
    let Some(version) = model.document.section("Version") else {
        let text = "there is no [Version] section; Windows takes no INF without one";
        findings.add(Rule::Signature, 1, text);
        return;
    };
    signature(version, findings);
    class(version, findings);
    provider(version, findings);
    driver_ver(version, stamped_later, findings);
    catalog(version, findings);
    let lockdown = version.entry("PnpLockdown");
    if lockdown.is_none_or(|line| line.values.first().and_then(Value::number) != Some(1)) {
        let at = lockdown.map_or(version.line, |line| line.number);
        let text = "PnpLockdown is not 1; without it applications can change the driver's files";
        findings.add(Rule::PnpLockdown, at, text);
    }
}

/// An entry that must not be empty; reports that it is.
fn required<'a>(
    version: &'a Section,
    key: &str,
    rule: Rule,
    findings: &mut Findings,
) -> Option<&'a Line> {
    match version.entry(key) {
        Some(line) if !line.text(0).is_empty() => Some(line),
        found => {
            let at = found.map_or(version.line, |line| line.number);
            findings.add(rule, at, format!("[Version] gives no {key}; add it"));
            None
        }
    }
}

fn signature(version: &Section, findings: &mut Findings) {
    if let Some(line) = required(version, "Signature", Rule::Signature, findings) {
        let known = ["$Windows NT$", "$Chicago$"];
        if !known
            .iter()
            .any(|known| line.text(0).eq_ignore_ascii_case(known))
        {
            let text = format!(
                "the signature is \"{}\"; it must be \"$Windows NT$\"",
                line.text(0)
            );
            findings.add(Rule::Signature, line.number, text);
        }
    }
}

fn class(version: &Section, findings: &mut Findings) {
    let name = required(version, "Class", Rule::Class, findings);
    let guid = required(version, "ClassGuid", Rule::ClassGuid, findings);
    let group = name.and_then(|line| groups::by_class(line.text(0)));
    if let Some(line) = name
        && group.is_none()
    {
        let text = format!(
            "\"{}\" is no setup class of file system filters; take that of the load order group, \
             as ActivityMonitor for \"FSFilter Activity Monitor\"",
            line.text(0)
        );
        findings.add(Rule::Class, line.number, text);
    }
    let Some(guid) = guid else { return };
    if !is_guid(guid.text(0)) {
        let text = format!(
            "\"{}\" is no GUID in braces: 8, 4, 4, 4 and 12 hexadecimal digits",
            guid.text(0)
        );
        findings.add(Rule::ClassGuid, guid.number, text);
    } else if let Some((class, wanted)) = group.and_then(|group| group.class)
        && !guid.text(0).eq_ignore_ascii_case(wanted)
    {
        let text = format!("this is not the GUID of the class {class}; that is {wanted}");
        findings.add(Rule::ClassGuid, guid.number, text);
    }
}

fn is_guid(text: &str) -> bool {
    let inner = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let groups = inner.into_iter().flat_map(|inner| inner.split('-'));
    let hexadecimal = |group: &str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    groups
        .map(|group| if hexadecimal(group) { group.len() } else { 0 })
        .eq([8, 4, 4, 4, 12])
}

fn provider(version: &Section, findings: &mut Findings) {
    if let Some(line) = required(version, "Provider", Rule::Provider, findings)
        && line.text(0).to_ascii_lowercase().contains("microsoft")
    {
        let text = "the provider is Microsoft; name who provides the driver";
        findings.add(Rule::ProviderMicrosoft, line.number, text);
    }
}

fn driver_ver(version: &Section, stamped_later: bool, findings: &mut Findings) {
    let found = version.entry("DriverVer");
    if stamped_later && found.is_none_or(|line| line.text(0).is_empty()) {
        let at = found.map_or(version.line, |line| line.number);
        let text = "DriverVer is filled in by stampinf (-d for the date, -v for the version)";
        findings.add(Rule::Stamped, at, text);
        return;
    }
    let Some(line) = required(version, "DriverVer", Rule::DriverVer, findings) else {
        return;
    };
    if !is_date(line.text(0)) {
        let text = format!(
            "\"{}\" is no date; write the month and the day with two digits and the year with \
             four, as 04/30/2026",
            line.text(0)
        );
        findings.add(Rule::DriverVer, line.number, text);
    }
    if !is_version(line.text(1)) {
        let text = format!(
            "\"{}\" is no version; write up to four numbers below 65535 with points between them, \
             as 1.0.0.0",
            line.text(1)
        );
        findings.add(Rule::DriverVer, line.number, text);
    }
}

/// `mm/dd/yyyy`, a day that exists.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['/', '-']).collect();
    let digits = |part: &str, count| {
        let plain = part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| part.parse::<u32>().ok()).flatten()
    };
    let [month, day, year] = parts[..] else {
        return false;
    };
    let (Some(month), Some(day), Some(year)) = (digits(month, 2), digits(day, 2), digits(year, 4))
    else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

fn is_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let number = |part: &&str| {
        part.bytes().all(|byte| byte.is_ascii_digit())
            && part.parse::<u32>().is_ok_and(|number| number < 65535)
    };
    (1..=4).contains(&parts.len()) && parts.iter().all(number)
}

fn catalog(version: &Section, findings: &mut Findings) {
    // One for all machines, or one for each architecture.
    let decorated = version.lines.iter().find(|line| {
        let key = line.key.as_ref().map_or("", |key| &key.text);
        key.to_ascii_lowercase().starts_with("catalogfile.nt")
    });
    let found = version.entry("CatalogFile").or(decorated);
    let at = found.map_or(version.line, |line| line.number);
    let name = found.map_or("", |line| line.text(0));
    if name.is_empty() {
        let text = "[Version] names no CatalogFile; the package cannot be signed without one, and \
                    64-bit Windows loads no driver that is not signed";
        findings.add(Rule::CatalogFile, at, text);
    } else if !name.to_ascii_lowercase().ends_with(".cat") || name.contains(['\\', '/']) {
        let text = format!("\"{name}\" is no catalog; name a .cat file beside the INF");
        findings.add(Rule::CatalogFile, at, text);
    }
}
