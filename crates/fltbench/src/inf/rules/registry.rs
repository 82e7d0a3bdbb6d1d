//! Registry lines.

use crate::inf::addreg::{Entry, Root};
use crate::inf::decoration::{ISOLATED, Target};
use crate::inf::finding::{Findings, Rule};
use crate::inf::model::{Model, below};

/// Where all services have their keys.
const SERVICES: &str = r"System\CurrentControlSet\Services";

pub(super) fn check(model: &Model<'_>, findings: &mut Findings) {
    for install in &model.installs {
        for line in model.registry_lines(install.section) {
            if let Ok(entry) = Entry::parse(line)
                && entry.root == Root::Relative
            {
                let text = "HKR is the key of nothing here: the lines belong to DefaultInstall; \
                            name their section in the AddReg of the service";
                findings.add(Rule::InstallRoot, line.number, text);
            }
        }
        let services = model.services(install);
        let sections = services.iter().map(|service| service.section);
        for section in sections.chain([install.section]) {
            for line in model.registry_lines(section) {
                match Entry::parse(line) {
                    Ok(entry) => understood(entry, findings),
                    Err((rule, text)) => findings.add(rule, line.number, text),
                }
            }
        }
    }
    parameters(model, findings);
}

fn understood(entry: Entry<'_>, findings: &mut Findings) {
    let at = entry.line.number;
    if entry.has_data()
        && let Err(text) = entry.data()
    {
        findings.add(Rule::AddRegValue, at, text);
    }
    if entry.root == Root::Machine && below(entry.key, SERVICES).is_some() {
        let text = "the services' keys are not to be written by their path; use HKR in the AddReg \
                    of the service";
        findings.add(Rule::ServicesKey, at, text);
    } else if entry.root != Root::Relative {
        let text = "the line writes outside of the driver's own keys; use HKR, which an uninstall \
                    removes";
        findings.add(Rule::RelativeRoot, at, text);
    }
}

/// What Windows 11, version 24H2, takes keeps everything under `Parameters`.
fn parameters(model: &Model<'_>, findings: &mut Findings) {
    let Some(install) = model.chosen(Target::CURRENT) else {
        return;
    };
    for service in model.services(install) {
        for entry in model.entries(service) {
            if entry.root == Root::Relative && below(entry.key, "Parameters").is_none() {
                let text = format!(
                    "Windows 11, version 24H2, and later want what a driver keeps under \
                     Parameters; put it there, in a section of their own if earlier versions \
                     are to take this one: [DefaultInstall.NTamd64.10.0...{ISOLATED}]"
                );
                findings.add(Rule::Parameters, entry.line.number, text);
            }
        }
    }
}
