//! The service key that an INF makes on a machine.

use super::addreg::{Entry, Root, flags};
use super::decoration::Target;
use super::finding::Findings;
use super::model::{Instances, Model, Service};
use super::rules::{PARAMETERS, SERVICE};
use super::syntax::{Document, number};
use super::{is_inx, parse, read};
use crate::error::Error;
use fltsim::{DriverConfig, RegistryEdit, RegistryValue};
use std::path::Path;

/// An INF that a driver can be installed from.
#[derive(Debug)]
pub(crate) struct Inf {
    document: Document,
}

impl Inf {
    /// Reads a file. What [`super::check`] finds is not said; only what the Filter Manager needs
    /// is asked for.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let bytes = read(path)?;
        let inf = Self {
            document: parse(&bytes, is_inx(path), &mut Findings::default()),
        };
        inf.usable().map_err(|what| Error::Inf {
            path: path.to_owned(),
            what,
        })?;
        Ok(inf)
    }

    /// What an installation writes; `name` if the INF names no service.
    pub(crate) fn service(&self, name: &str) -> DriverConfig {
        let model = Model::new(&self.document);
        let Some(service) = service(&model) else {
            return DriverConfig::new(name);
        };
        let mut config = DriverConfig::new(service.name);
        for (name, value) in own_values(service) {
            config = config.value("", name, value);
        }
        let install = model.chosen(Target::CURRENT);
        let install = install
            .into_iter()
            .flat_map(|one| model.registry_lines(one.section));
        let machine = install
            .filter_map(|line| Entry::parse(line).ok())
            .filter(|entry| entry.root == Root::Machine);
        for entry in machine.chain(model.entries(service)) {
            if let Some(edit) = edit(entry) {
                config = config.edit(edit);
            }
        }
        config
    }

    fn usable(&self) -> Result<(), String> {
        let model = Model::new(&self.document);
        let instances = service(&model).map(|service| instances(&model, service));
        let instances = instances.unwrap_or_default();
        let Some(default) = instances.default else {
            return Err("no AddReg section sets DefaultInstance under Instances".to_owned());
        };
        let name = default.line.text(4);
        match instances.find(name) {
            None => Err(format!(
                "DefaultInstance is \"{name}\", and no AddReg line makes that instance"
            )),
            Some(instance) if instance.altitude.is_none() => {
                Err(format!("the instance \"{name}\" has no Altitude"))
            }
            Some(_) => Ok(()),
        }
    }
}

/// The values that the directives of a service's section make.
fn own_values(service: Service<'_>) -> Vec<(&'static str, RegistryValue)> {
    let text = |key| {
        let line = service.section.entry(key);
        line.map(|line| line.text(0))
            .filter(|text| !text.is_empty())
    };
    let mut values = Vec::new();
    for (key, name) in [
        ("ServiceType", "Type"),
        ("StartType", "Start"),
        ("ErrorControl", "ErrorControl"),
    ] {
        if let Some(number) = text(key).and_then(number) {
            values.push((name, RegistryValue::dword(number)));
        }
    }
    for (key, name) in [
        ("DisplayName", "DisplayName"),
        ("Description", "Description"),
        ("LoadOrderGroup", "Group"),
    ] {
        if let Some(text) = text(key) {
            values.push((name, RegistryValue::sz(text)));
        }
    }
    if let Some(path) = text("ServiceBinary") {
        values.push(("ImagePath", RegistryValue::expand_sz(&image_path(path))));
    }
    let depends = service
        .section
        .named("Dependencies")
        .map(|value| value.text.as_str());
    let (groups, services): (Vec<_>, Vec<_>) = depends.partition(|name| name.starts_with('+'));
    if !services.is_empty() {
        values.push(("DependOnService", RegistryValue::multi_sz(services)));
    }
    if !groups.is_empty() {
        let groups = groups.iter().map(|name| &name[1..]);
        values.push(("DependOnGroup", RegistryValue::multi_sz(groups)));
    }
    values
}

/// The path of a driver, with setup's folders by their names.
fn image_path(path: &str) -> String {
    let folders = [
        ("%10%", r"\SystemRoot"),
        ("%11%", r"\SystemRoot\System32"),
        ("%12%", r"\SystemRoot\System32\drivers"),
        ("%13%", r"\SystemRoot\System32\DriverStore\FileRepository"),
    ];
    let found = folders.iter().find_map(|(number, folder)| {
        let rest = path.strip_prefix(number)?;
        Some(format!("{folder}{rest}"))
    });
    found.unwrap_or_else(|| path.to_owned())
}

/// What a registry line does; `None` if it cannot be done here.
fn edit(entry: Entry<'_>) -> Option<RegistryEdit> {
    let name = entry.value.to_owned();
    let key = match entry.root {
        Root::Relative => entry.key.to_owned(),
        Root::Machine => format!(r"\Registry\Machine\{}", entry.key),
        Root::Other => return None,
    };
    let has = |flag| entry.flags & flag != 0;
    if has(flags::DELETE) {
        return Some(if name.is_empty() {
            RegistryEdit::DeleteKey { key }
        } else {
            RegistryEdit::DeleteValue { key, name }
        });
    }
    let kind = entry.kind();
    let empty = name.is_empty() && entry.line.values.len() < 5;
    if has(flags::KEY_ONLY | flags::KEY_ONLY_COMMON) || empty {
        return Some(RegistryEdit::Key { key });
    }
    if has(flags::APPEND) {
        let texts = entry
            .line
            .values
            .iter()
            .skip(4)
            .map(|value| value.text.clone());
        let texts = texts.collect();
        return Some(RegistryEdit::Append { key, name, texts });
    }
    let data = entry.data().ok()?;
    let value = RegistryValue { kind, data };
    Some(if has(flags::NO_CLOBBER) {
        RegistryEdit::SetNew { key, name, value }
    } else if has(flags::OVERWRITE_ONLY) {
        RegistryEdit::SetExisting { key, name, value }
    } else {
        RegistryEdit::Set { key, name, value }
    })
}

/// The service that an x64 Windows 11 installs.
fn service<'a>(model: &Model<'a>) -> Option<Service<'a>> {
    if let Some(install) = model.chosen(Target::CURRENT) {
        return model.services(install).into_iter().next();
    }
    // Not what Windows would take; a driver under test may have less than a whole INF.
    model.document.sections.iter().find_map(|section| {
        let line = super::model::added(section).next()?;
        Some(Service {
            name: line.text(0),
            section: model.document.section(line.text(2))?,
        })
    })
}

/// Where Windows 11, version 24H2, finds the instances.
fn instances<'a>(model: &Model<'a>, service: Service<'a>) -> Instances<'a> {
    let new = model.instances(service, PARAMETERS);
    if new.is_empty() {
        return model.instances(service, SERVICE);
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use fltsim::{Machine, RegistryValue as Value};

    fn installed(text: &str, inx: bool) -> (Machine, String) {
        let document = parse(text.as_bytes(), inx, &mut Findings::default());
        let inf = Inf { document };
        let machine = Machine::default();
        let driver = machine.create_driver(inf.service("unnamed"));
        let key = driver.service_key();
        (machine, key)
    }

    #[test]
    fn the_samples_service_is_installed() {
        let sample = include_str!("../../../../inf/ctx.inx");
        let (machine, key) = installed(sample, true);
        assert!(key.ends_with(r"\ctx"), "{key}");
        let registry = machine.registry();
        let value = |below: &str, name| registry.value(&format!("{key}{below}"), name);
        let path = r"\SystemRoot\System32\DriverStore\FileRepository\ctx.sys";
        assert_eq!(value("", "ImagePath"), Some(Value::expand_sz(path)));
        assert_eq!(value("", "Type"), Some(Value::dword(2)));
        let group = Value::sz("FSFilter Activity Monitor");
        assert_eq!(value("", "Group"), Some(group));
        assert_eq!(
            value("", "DependOnService"),
            Some(Value::multi_sz(["FltMgr"]))
        );
        assert_eq!(
            value(r"\Parameters", "SupportedFeatures"),
            Some(Value::dword(3))
        );
        let instances = r"\Parameters\Instances";
        assert_eq!(
            value(instances, "DefaultInstance"),
            Some(Value::sz("ctx instance"))
        );
        let instance = r"\Parameters\Instances\ctx instance";
        assert_eq!(value(instance, "Altitude"), Some(Value::sz("385000")));
        assert_eq!(value(instance, "Flags"), Some(Value::dword(0)));
        assert_eq!(registry.subkeys(&key).unwrap(), ["Parameters"]);
    }

    #[test]
    fn every_sort_of_line_has_its_effect() {
        let (machine, key) = installed(
            r"
            [DefaultInstall.NTamd64]
            AddReg = Machine
            [DefaultInstall.NTamd64.Services]
            AddService = one,,Service
            [Service]
            StartType = 0
            ServiceBinary = %12%\one.sys
            Dependencies = FltMgr, +Base
            AddReg = Lines
            [Machine]
            HKLM,Software\One,Text,0x20000,%%a%%
            HKR,Lost,Text,,lost
            [Lines]
            HKR,P,Bytes,1,1,0,FF
            HKR,P,Texts,0x10000,a,b
            HKR,P,Texts,0x10008,b,c
            HKR,P,Quad,0xB0001,0x100000000
            HKR,P,None,0x20001
            HKR,P,Own,0x380001,1,2
            HKR,P,Own,0x10003,5
            HKR,P,Absent,0x10021,5
            HKR,P,,,default
            HKR,Empty
            HKR,Made,Ignored,0x10,1
            HKR,Gone,Text,,text
            HKR,Gone,,4
            HKR,,DisplayName,4
            ",
            false,
        );
        let registry = machine.registry();
        let found = registry.values(&format!(r"{key}\P")).unwrap();
        let own = Value {
            kind: 0x38,
            data: vec![1, 2],
        };
        let none = Value {
            kind: 0,
            data: Vec::new(),
        };
        let expected = [
            ("Bytes", Value::binary([1, 0, 255])),
            ("Texts", Value::multi_sz(["a", "b", "c"])),
            ("Quad", Value::qword(1 << 32)),
            ("None", none),
            ("Own", own),
            ("", Value::sz("default")),
        ];
        assert_eq!(
            found,
            expected.map(|(name, value)| (name.to_owned(), value))
        );
        assert_eq!(registry.subkeys(&key).unwrap(), ["Empty", "Made", "P"]);
        assert_eq!(registry.values(&format!(r"{key}\Made")), Some(Vec::new()));
        let value = |name| registry.value(&key, name);
        assert_eq!(value("Start"), Some(Value::dword(0)));
        assert_eq!(value("DisplayName"), None);
        assert_eq!(value("DependOnGroup"), Some(Value::multi_sz(["Base"])));
        let path = r"\SystemRoot\System32\drivers\one.sys";
        assert_eq!(value("ImagePath"), Some(Value::expand_sz(path)));
        let text = registry.value(r"\Registry\Machine\Software\One", "Text");
        assert_eq!(text, Some(Value::expand_sz("%a%")));
    }
}
