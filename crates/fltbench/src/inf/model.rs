//! What Windows does with the sections: install sections, their services, files and registry
//! lines.

use super::addreg::{Entry, Root};
use super::decoration::{Decoration, Target};
use super::syntax::{Document, Line, Section, Value};

/// The folder of the driver store.
pub(crate) const DRIVER_STORE: u32 = 13;

/// A `DefaultInstall` or `DefaultUninstall` section.
#[derive(Debug)]
pub(crate) struct Install<'a> {
    pub(crate) section: &'a Section,
    pub(crate) decoration: Decoration,
    pub(crate) services: Option<&'a Section>,
}

/// A service that is added.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service<'a> {
    pub(crate) name: &'a str,
    pub(crate) section: &'a Section,
}

/// A file that is copied.
#[derive(Debug)]
pub(crate) struct Copied<'a> {
    /// Its name where it goes to.
    pub(crate) name: &'a str,
    /// Its name in the package.
    pub(crate) source: &'a str,
    /// The section that lists it; `None` if the directive names the file itself.
    pub(crate) section: Option<&'a Section>,
    pub(crate) line: usize,
}

/// A folder that files go to.
#[derive(Debug)]
pub(crate) struct Destination<'a> {
    pub(crate) folder: Option<u32>,
    pub(crate) subfolder: &'a str,
    pub(crate) line: usize,
}

/// One subkey of `Instances`, as the registry lines make it.
#[derive(Debug)]
pub(crate) struct Instance<'a> {
    pub(crate) name: &'a str,
    pub(crate) altitude: Option<Entry<'a>>,
    pub(crate) flags: Option<Entry<'a>>,
    pub(crate) line: usize,
}

/// What a service's registry lines say of its instances, at one of the two places.
#[derive(Debug, Default)]
pub(crate) struct Instances<'a> {
    pub(crate) default: Option<Entry<'a>>,
    pub(crate) all: Vec<Instance<'a>>,
}

impl Instances<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.default.is_none() && self.all.is_empty()
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Instance<'_>> {
        let mut all = self.all.iter();
        all.find(|instance| instance.name.eq_ignore_ascii_case(name))
    }
}

/// A document, read as Windows reads it.
#[derive(Debug)]
pub(crate) struct Model<'a> {
    pub(crate) document: &'a Document,
    pub(crate) installs: Vec<Install<'a>>,
    pub(crate) uninstalls: Vec<Install<'a>>,
}

impl<'a> Model<'a> {
    pub(crate) fn new(document: &'a Document) -> Self {
        Self {
            document,
            installs: entry_points(document, "DefaultInstall"),
            uninstalls: entry_points(document, "DefaultUninstall"),
        }
    }

    /// What an x64 machine takes.
    pub(crate) fn chosen(&self, target: Target) -> Option<&Install<'a>> {
        self.installs
            .iter()
            .filter_map(|install| Some((install.decoration.rank(target)?, install)))
            .max_by(|one, two| one.0.cmp(&two.0))
            .map(|(_, install)| install)
    }

    /// The services that an install section adds, as far as their sections exist.
    pub(crate) fn services(&self, install: &Install<'a>) -> Vec<Service<'a>> {
        let Some(section) = install.services else {
            return Vec::new();
        };
        added(section)
            .filter_map(|line| {
                Some(Service {
                    name: &line.values.first()?.text,
                    section: self.document.section(line.text(2))?,
                })
            })
            .collect()
    }

    /// The lines of every section that a section's `AddReg` directives name.
    pub(crate) fn registry_lines(&self, section: &'a Section) -> impl Iterator<Item = &'a Line> {
        section
            .named("AddReg")
            .filter_map(|name| self.document.section(&name.text))
            .flat_map(|section| &section.lines)
    }

    /// The registry lines of a service that can be understood.
    pub(crate) fn entries(&self, service: Service<'a>) -> impl Iterator<Item = Entry<'a>> {
        self.registry_lines(service.section)
            .filter_map(|line| Entry::parse(line).ok())
    }

    /// The instances under one key of the service.
    pub(crate) fn instances(&self, service: Service<'a>, under: &str) -> Instances<'a> {
        let mut instances = Instances::default();
        for entry in self.entries(service) {
            if entry.root != Root::Relative {
                continue;
            }
            let Some(rest) = below(entry.key, under) else {
                continue;
            };
            if rest.is_empty() {
                if entry.value.eq_ignore_ascii_case("DefaultInstance") {
                    instances.default = Some(entry);
                }
                continue;
            }
            let known = instances
                .all
                .iter()
                .position(|instance| instance.name.eq_ignore_ascii_case(rest));
            let index = known.unwrap_or_else(|| {
                instances.all.push(Instance {
                    name: rest,
                    altitude: None,
                    flags: None,
                    line: entry.line.number,
                });
                instances.all.len() - 1
            });
            let instance = &mut instances.all[index];
            if entry.value.eq_ignore_ascii_case("Altitude") {
                instance.altitude = Some(entry);
            } else if entry.value.eq_ignore_ascii_case("Flags") {
                instance.flags = Some(entry);
            }
        }
        instances
    }

    /// The files that a directive copies or deletes, as far as its sections exist.
    pub(crate) fn files(&self, section: &'a Section, directive: &'a str) -> Vec<Copied<'a>> {
        let mut files = Vec::new();
        for value in section.named(directive) {
            if let Some(file) = value.text.strip_prefix('@') {
                files.push(Copied {
                    name: file,
                    source: file,
                    section: None,
                    line: value.line,
                });
            } else if let Some(list) = self.document.section(&value.text) {
                let lines = list.lines.iter().filter(|line| !line.text(0).is_empty());
                files.extend(lines.map(|line| {
                    Copied {
                        name: line.text(0),
                        source: Some(line.text(1))
                            .filter(|name| !name.is_empty())
                            .unwrap_or(line.text(0)),
                        section: Some(list),
                        line: line.number,
                    }
                }));
            }
        }
        files
    }

    /// Where the files of a section go.
    pub(crate) fn destination(&self, section: Option<&Section>) -> Option<Destination<'a>> {
        let folders = self.document.section("DestinationDirs")?;
        let own = section.and_then(|section| folders.entry(&section.name));
        let line = own.or_else(|| folders.entry("DefaultDestDir"))?;
        Some(Destination {
            folder: line.values.first().and_then(Value::number),
            subfolder: line.text(1).trim_matches('\\'),
            line: line.number,
        })
    }
}

/// The lines that add services; `AddService = ,2` names none.
pub(crate) fn added(services: &Section) -> impl Iterator<Item = &Line> {
    services
        .entries("AddService")
        .filter(|line| !line.text(0).is_empty())
}

/// What follows a key's path; `None` if the key is not at or below it.
pub(crate) fn below<'a>(key: &'a str, path: &str) -> Option<&'a str> {
    let (start, rest) = key.split_at_checked(path.len())?;
    if !start.eq_ignore_ascii_case(path) {
        return None;
    }
    match rest.strip_prefix('\\') {
        Some(rest) => Some(rest.trim_start_matches('\\')),
        None => rest.is_empty().then_some(""),
    }
}

/// What follows `DefaultInstall`, and whether `.Services` follows that.
pub(crate) fn decoration_of<'a>(name: &'a str, entry: &str) -> Option<(&'a str, bool)> {
    let (start, rest) = name.split_at_checked(entry.len())?;
    if !start.eq_ignore_ascii_case(entry) || !(rest.is_empty() || rest.starts_with('.')) {
        return None;
    }
    let split = rest.len().checked_sub(".Services".len());
    let services = split.and_then(|at| rest.split_at_checked(at));
    match services {
        Some((decoration, end)) if end.eq_ignore_ascii_case(".Services") => {
            Some((decoration, true))
        }
        _ => Some((rest, false)),
    }
}

fn entry_points<'a>(document: &'a Document, entry: &str) -> Vec<Install<'a>> {
    let mut installs = Vec::new();
    for section in &document.sections {
        if let Some((text, false)) = decoration_of(&section.name, entry)
            && let Some(decoration) = Decoration::parse(text)
        {
            installs.push(Install {
                section,
                decoration,
                services: document.section(&format!("{}.Services", section.name)),
            });
        }
    }
    installs
}
