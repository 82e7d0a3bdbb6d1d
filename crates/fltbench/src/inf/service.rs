//! The service key that an INF makes on a machine.

use super::decoration::Target;
use super::finding::Findings;
use super::model::{Instances, Model, Service};
use super::rules::{PARAMETERS, SERVICE};
use super::syntax::Document;
use super::{is_inx, parse, read};
use crate::error::Error;
use fltsim::DriverConfig;
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

    /// The service key; `name` if the INF names no service.
    pub(crate) fn service(&self, name: &str) -> DriverConfig {
        let model = Model::new(&self.document);
        let Some(service) = service(&model) else {
            return DriverConfig::new(name);
        };
        let instances = instances(&model, service);
        let mut config = DriverConfig::new(service.name);
        let default = instances.default.map_or("", |entry| entry.line.text(4));
        for instance in &instances.all {
            let Some(altitude) = instance.altitude.map(|entry| entry.line.text(4)) else {
                continue;
            };
            if instance.name.eq_ignore_ascii_case(default) {
                config = config.altitude(altitude).instance_name(instance.name);
                let flags = instance.flags.and_then(|entry| entry.number());
                if flags.unwrap_or(0) & 1 != 0 {
                    config = config.manual_only();
                }
            } else {
                config = config.instance(instance.name, altitude);
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
