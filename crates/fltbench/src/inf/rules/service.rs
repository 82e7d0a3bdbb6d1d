//! The section that installs the service.

use crate::inf::finding::{Findings, Rule};
use crate::inf::groups;
use crate::inf::model::{Model, Service};
use crate::inf::syntax::{Line, Value};

/// What a section that installs a service may say.
const DIRECTIVES: [&str; 19] = [
    "DisplayName",
    "Description",
    "ServiceType",
    "StartType",
    "ErrorControl",
    "ServiceBinary",
    "StartName",
    "AddReg",
    "DelReg",
    "BitReg",
    "LoadOrderGroup",
    "Dependencies",
    "Security",
    "RequiredPrivileges",
    "ServiceSidType",
    "DelayedAutoStart",
    "AddTrigger",
    "FailureActions",
    "BootFlags",
];
/// What it must say.
const REQUIRED: [&str; 4] = ["ServiceType", "StartType", "ErrorControl", "ServiceBinary"];

const SERVICE_FILE_SYSTEM_DRIVER: u32 = 2;
const SERVICE_DISABLED: u32 = 4;
const SERVICE_ERROR_NORMAL: u32 = 1;
const SERVICE_ERROR_CRITICAL: u32 = 3;

pub(super) fn check(model: &Model<'_>, service: Service<'_>, findings: &mut Findings) {
    let section = service.section;
    for key in REQUIRED {
        if section
            .entry(key)
            .is_none_or(|line| line.text(0).is_empty())
        {
            let at = section.entry(key).map_or(section.line, |line| line.number);
            let text = format!("[{}] gives no {key}; add it", section.name);
            findings.add(Rule::ServiceEntry, at, text);
        }
    }
    for line in &section.lines {
        if let Some(key) = &line.key
            && !DIRECTIVES.iter().any(|known| key.is(known))
        {
            let text = format!(
                "[{}] knows no {}; Windows ignores it",
                section.name, key.text
            );
            findings.add(Rule::UnknownDirective, line.number, text);
        }
    }
    numbers(service, findings);
    group(model, service, findings);
    let depends = section.named("Dependencies").any(|value| {
        value.is("FltMgr")
            || value.is("FSFilter Infrastructure")
            || value.is("+FSFilter Infrastructure")
    });
    if !depends {
        let at = section
            .entry("Dependencies")
            .map_or(section.line, |line| line.number);
        let text = "the service does not depend on the Filter Manager; write Dependencies = FltMgr";
        findings.add(Rule::Dependencies, at, text);
    }
}

fn filled<'a>(service: Service<'a>, key: &str) -> Option<&'a Line> {
    let line = service.section.entry(key);
    line.filter(|line| !line.text(0).is_empty())
}

fn numbers(service: Service<'_>, findings: &mut Findings) {
    let number = |line: &Line| line.values.first().and_then(Value::number);
    if let Some(line) = filled(service, "ServiceType")
        && number(line) != Some(SERVICE_FILE_SYSTEM_DRIVER)
    {
        let text = "a minifilter is a file system driver; write ServiceType = 2";
        findings.add(Rule::ServiceType, line.number, text);
    }
    if let Some(line) = filled(service, "StartType") {
        match number(line) {
            Some(SERVICE_DISABLED) => {
                let text = "the service is disabled and never starts; write 0, 1, 2 or 3";
                findings.add(Rule::StartDisabled, line.number, text);
            }
            Some(0..SERVICE_DISABLED) => {}
            _ => {
                let text = "the start type is 0 (boot), 1 (system), 2 (automatic) or 3 (demand)";
                findings.add(Rule::StartType, line.number, text);
            }
        }
    }
    if let Some(line) = filled(service, "ErrorControl") {
        match number(line) {
            Some(SERVICE_ERROR_NORMAL) => {}
            Some(0..=SERVICE_ERROR_CRITICAL) => {
                let text = "a minifilter that does not load is no reason to stop the start of the \
                            machine, nor to keep silent; write ErrorControl = 1";
                findings.add(Rule::ErrorNormal, line.number, text);
            }
            _ => {
                let text = "the error control is a number from 0 to 3; write 1";
                findings.add(Rule::ErrorControl, line.number, text);
            }
        }
    }
}

fn group(model: &Model<'_>, service: Service<'_>, findings: &mut Findings) {
    let section = service.section;
    let Some(line) = filled(service, "LoadOrderGroup") else {
        let at = section
            .entry("LoadOrderGroup")
            .map_or(section.line, |line| line.number);
        let text = "the service has no LoadOrderGroup; a minifilter needs one whatever its start \
                    type is";
        findings.add(Rule::LoadOrderGroup, at, text);
        return;
    };
    let Some(group) = groups::by_name(line.text(0)) else {
        let text = format!(
            "\"{}\" is no load order group of file system filters, as \"FSFilter Activity Monitor\" \
             is one",
            line.text(0)
        );
        findings.add(Rule::LoadOrderGroup, line.number, text);
        return;
    };
    let version = model.document.section("Version");
    let class = version.and_then(|version| version.entry("Class"));
    let wanted = class.and_then(|line| groups::by_class(line.text(0)));
    if let (Some(wanted), Some(class)) = (wanted, class)
        && group.class.is_some()
        && wanted != group
    {
        let text = format!(
            "the class {} goes with the group \"{}\"; make the two match",
            class.text(0),
            wanted.name
        );
        findings.add(Rule::GroupClass, line.number, text);
    }
}
