//! Instances: the default one, altitudes and flags.

use crate::inf::addreg::kind;
use crate::inf::decoration::Target;
use crate::inf::finding::{Findings, Rule};
use crate::inf::groups::{self, Group};
use crate::inf::model::{Instance, Instances, Model, Service};

/// Where Windows 11, version 24H2, and later look first.
pub(crate) const PARAMETERS: &str = r"Parameters\Instances";
/// Where every version looks.
pub(crate) const SERVICE: &str = "Instances";

/// No automatic attachment, no attachment by hand.
const FLAGS: u32 = 0x3;

pub(super) fn check(model: &Model<'_>, findings: &mut Findings) {
    for install in &model.installs {
        for service in model.services(install) {
            let mut places = [PARAMETERS, SERVICE].map(|under| model.instances(service, under));
            places.sort_by_key(Instances::is_empty);
            let mut used = places
                .iter()
                .filter(|instances| !instances.is_empty())
                .peekable();
            if used.peek().is_none() {
                let text = format!(
                    "[{}] defines no instance: FltRegisterFilter fails; let an AddReg set \
                     DefaultInstance, and an Altitude and Flags for each instance",
                    service.section.name
                );
                findings.add(Rule::DefaultInstance, service.section.line, text);
            }
            for instances in used {
                default_instance(service, instances, findings);
                let line = service.section.entry("LoadOrderGroup");
                let group = line.and_then(|line| groups::by_name(line.text(0)));
                for instance in &instances.all {
                    altitude(instance, group, findings);
                    flags(instance, findings);
                }
                same_altitude(instances, findings);
            }
        }
    }
    places(model, findings);
}

fn default_instance(service: Service<'_>, instances: &Instances<'_>, findings: &mut Findings) {
    let Some(default) = instances.default else {
        let at = instances
            .all
            .first()
            .map_or(service.section.line, |one| one.line);
        let text = "no line sets DefaultInstance beside the instances; name the one that \
                    FltAttachVolume takes without a name";
        findings.add(Rule::DefaultInstance, at, text);
        return;
    };
    let at = default.line.number;
    if default.kind() != kind::SZ {
        let text = "DefaultInstance is a string; its flags are 0x00000000";
        findings.add(Rule::InstanceType, at, text);
    }
    let name = default.line.text(4);
    if instances.find(name).is_none() {
        let text = format!("DefaultInstance is \"{name}\", and no line makes that instance");
        findings.add(Rule::DefaultInstance, at, text);
    }
}

fn altitude(instance: &Instance<'_>, group: Option<&Group>, findings: &mut Findings) {
    let Some(entry) = instance.altitude else {
        let text = format!(
            "the instance \"{}\" has no Altitude; add one",
            instance.name
        );
        findings.add(Rule::Altitude, instance.line, text);
        return;
    };
    let at = entry.line.number;
    if entry.kind() != kind::SZ {
        let text = "an Altitude is a string; its flags are 0x00000000";
        findings.add(Rule::InstanceType, at, text);
        return;
    }
    let altitude = entry.line.text(4);
    let Some(whole) = whole(altitude) else {
        let text = format!(
            "the altitude \"{altitude}\" is no decimal number; write digits, and a point and more \
             digits if need be"
        );
        findings.add(Rule::Altitude, at, text);
        return;
    };
    if let Some(group) = group
        && !group.altitudes.contains(&whole)
    {
        let text = format!(
            "the altitude {altitude} is not one of the group \"{}\", which has {} to {}",
            group.name,
            group.altitudes.start(),
            group.altitudes.end()
        );
        findings.add(Rule::AltitudeRange, at, text);
    }
}

/// The integer part of an altitude; one that is beyond all groups is the greatest number.
fn whole(altitude: &str) -> Option<u32> {
    let (whole, fraction) = altitude.split_once('.').unwrap_or((altitude, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(whole) && digits(fraction)).then(|| whole.parse().unwrap_or(u32::MAX))
}

fn flags(instance: &Instance<'_>, findings: &mut Findings) {
    let Some(entry) = instance.flags else {
        let text = format!(
            "the instance \"{}\" has no Flags; add them, 0x0 to attach by itself and by hand",
            instance.name
        );
        findings.add(Rule::NoInstanceFlags, instance.line, text);
        return;
    };
    let at = entry.line.number;
    if entry.kind() != kind::DWORD {
        let text = "the Flags of an instance are a number; the line's flags are 0x00010001";
        findings.add(Rule::InstanceType, at, text);
    } else if let Some(bits) = entry.number()
        && bits & !FLAGS != 0
    {
        let text = format!(
            "the Flags are {bits:#x}; they have the bits 0x1 (not by itself) and 0x2 (not by hand)"
        );
        findings.add(Rule::InstanceFlags, at, text);
    }
}

fn same_altitude(instances: &Instances<'_>, findings: &mut Findings) {
    for (index, instance) in instances.all.iter().enumerate() {
        let Some(entry) = instance.altitude else {
            continue;
        };
        let altitude = entry.line.text(4);
        let mut before = instances.all[..index].iter();
        if let Some(other) = before.find(|other| {
            other
                .altitude
                .is_some_and(|other| other.line.text(4) == altitude)
        }) {
            let text = format!(
                "the instance \"{}\" has the same altitude; only one of them attaches to a volume",
                other.name
            );
            findings.add(Rule::SameAltitude, entry.line.number, text);
        }
    }
}

/// Every version finds the instances where it looks for them.
fn places(model: &Model<'_>, findings: &mut Findings) {
    let Some(install) = model.chosen(Target::BEFORE) else {
        return;
    };
    for service in model.services(install) {
        let new = model.instances(service, PARAMETERS);
        if !new.is_empty() && model.instances(service, SERVICE).is_empty() {
            let first = new.default.map(|entry| entry.line.number);
            let first = first.or_else(|| new.all.first().map(|instance| instance.line));
            let text = "before Windows 11, version 24H2, the Filter Manager looks for Instances in \
                        the service's key, and this section is for those versions too; give \
                        [DefaultInstall] a decoration that leaves them out, or add the lines";
            findings.add(Rule::InstancesPlace, first.unwrap_or(0), text);
        }
    }
}
