//! The INF of a minifilter, as far as it says what the service key holds.

use crate::error::Error;
use fltsim::DriverConfig;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Larger files are no INFs.
const LARGEST: u64 = 1 << 20;

/// One subkey of `Instances`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Instance {
    name: String,
    altitude: Option<String>,
    flags: u32,
}

/// What the Filter Manager will find in the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inf {
    service: Option<String>,
    default: Option<String>,
    instances: Vec<Instance>,
}

impl Inf {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::Unreadable {
            path: path.to_owned(),
            source,
        };
        let len = fs::metadata(path).map_err(unreadable)?.len();
        if len > LARGEST {
            let what = format!("{len} bytes are no INF");
            return Err(unreadable(io::Error::new(io::ErrorKind::InvalidData, what)));
        }
        let bytes = fs::read(path).map_err(unreadable)?;
        let bad = |what| Error::Inf {
            path: PathBuf::from(path),
            what,
        };
        let inf = Self::parse(&text(&bytes)).map_err(bad)?;
        inf.check().map_err(bad)?;
        Ok(inf)
    }

    fn check(&self) -> Result<(), String> {
        let Some(default) = &self.default else {
            return Err("no AddReg section sets DefaultInstance under Instances".to_owned());
        };
        match self.find(default) {
            None => Err(format!(
                "DefaultInstance is \"{default}\", and no AddReg line makes that instance"
            )),
            Some(Instance { altitude: None, .. }) => {
                Err(format!("the instance \"{default}\" has no Altitude"))
            }
            Some(_) => Ok(()),
        }
    }

    fn find(&self, name: &str) -> Option<&Instance> {
        self.instances
            .iter()
            .find(|instance| instance.name.eq_ignore_ascii_case(name))
    }

    /// The service key; `name` if the INF names no service.
    pub(crate) fn service(&self, name: &str) -> DriverConfig {
        let mut service = DriverConfig::new(self.service.as_deref().unwrap_or(name));
        let default = self
            .default
            .as_deref()
            .and_then(|default| self.find(default));
        let Some(default) = default else {
            return service;
        };
        if let Some(altitude) = &default.altitude {
            service = service.altitude(altitude).instance_name(&default.name);
        }
        if default.flags & 1 != 0 {
            service = service.manual_only();
        }
        for other in &self.instances {
            if let Some(altitude) = &other.altitude
                && other != default
            {
                service = service.instance(&other.name, altitude);
            }
        }
        service
    }

    fn parse(text: &str) -> Result<Self, String> {
        let sections = sections(text);
        let strings: BTreeMap<String, String> = sections
            .iter()
            .filter(|(name, _)| name == "strings" || name.starts_with("strings."))
            // Those of a language come after the neutral ones, which then win: tests speak no
            // language.
            .rev()
            .flat_map(|(_, lines)| lines)
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), unquote(value)))
            .collect();
        let mut inf = Self::default();
        let mut wanted = Vec::new();
        for line in sections.iter().flat_map(|(_, lines)| lines) {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            match key.trim().to_ascii_lowercase().as_str() {
                "addreg" => {
                    let names = fields(value).into_iter();
                    wanted.extend(names.map(|name| name.to_ascii_lowercase()));
                }
                "addservice" if inf.service.is_none() => {
                    let name = fields(value).into_iter().next().unwrap_or_default();
                    inf.service = Some(expand(&name, &strings)?).filter(|name| !name.is_empty());
                }
                _ => {}
            }
        }
        for (name, lines) in &sections {
            if wanted.contains(name) {
                for line in lines {
                    inf.add(line, &strings)?;
                }
            }
        }
        Ok(inf)
    }

    /// Takes one line of an `AddReg` section.
    fn add(&mut self, line: &str, strings: &BTreeMap<String, String>) -> Result<(), String> {
        let fields = fields(line);
        let field = |index: usize| -> Result<String, String> {
            expand(fields.get(index).map_or("", String::as_str), strings)
        };
        let key = field(1)?;
        let key = match key.get(..11) {
            Some(prefix) if prefix.eq_ignore_ascii_case("Parameters\\") => &key[11..],
            _ => &key,
        };
        let (root, instance) = key.split_once('\\').unwrap_or((key, ""));
        if !root.eq_ignore_ascii_case("Instances") {
            return Ok(());
        }
        let (value, data) = (field(2)?.to_ascii_lowercase(), field(4)?);
        if instance.is_empty() {
            if value == "defaultinstance" {
                self.default = Some(data);
            }
            return Ok(());
        }
        let found = self
            .instances
            .iter()
            .position(|known| known.name.eq_ignore_ascii_case(instance));
        let index = found.unwrap_or_else(|| {
            self.instances.push(Instance {
                name: instance.to_owned(),
                ..Instance::default()
            });
            self.instances.len() - 1
        });
        let Some(entry) = self.instances.get_mut(index) else {
            return Ok(());
        };
        match value.as_str() {
            "altitude" => entry.altitude = Some(data),
            "flags" => {
                entry.flags = number(&data).ok_or_else(|| {
                    format!("Flags of \"{instance}\" are {data}, which is no number")
                })?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// The characters of a file in UTF-16 with a mark, or in UTF-8.
fn text(bytes: &[u8]) -> String {
    let units = |from: fn([u8; 2]) -> u16| -> Vec<u16> {
        let pairs = bytes[2..].chunks_exact(2);
        pairs.map(|pair| from([pair[0], pair[1]])).collect()
    };
    match bytes {
        [0xFF, 0xFE, ..] => String::from_utf16_lossy(&units(u16::from_le_bytes)),
        [0xFE, 0xFF, ..] => String::from_utf16_lossy(&units(u16::from_be_bytes)),
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// The sections in their order, by name in lower case, with lines joined and without comments.
fn sections(text: &str) -> Vec<(String, Vec<String>)> {
    let mut sections: Vec<(String, Vec<String>)> = Vec::new();
    let mut joined = String::new();
    for line in text.lines() {
        joined.push_str(without_comment(line).trim());
        if joined.ends_with('\\') && !joined.starts_with('[') {
            joined.pop();
            continue;
        }
        let line = std::mem::take(&mut joined);
        let name = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        if let Some((name, _)) = name {
            sections.push((name.trim().to_ascii_lowercase(), Vec::new()));
        } else if let Some((_, lines)) = sections.last_mut()
            && !line.is_empty()
        {
            lines.push(line);
        }
    }
    sections
}

/// A line up to a semicolon outside of quotes.
fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (at, character) in line.char_indices() {
        match character {
            '"' => quoted = !quoted,
            ';' if !quoted => return &line[..at],
            _ => {}
        }
    }
    line
}

/// The fields between commas outside of quotes, without quotes and blanks around them.
fn fields(line: &str) -> Vec<String> {
    let mut quoted = false;
    let mut fields = vec![String::new()];
    for character in line.chars() {
        match character {
            ',' if !quoted => {
                fields.push(String::new());
                continue;
            }
            '"' => quoted = !quoted,
            _ => {}
        }
        if let Some(field) = fields.last_mut() {
            field.push(character);
        }
    }
    fields.iter().map(|field| unquote(field)).collect()
}

/// A value without its quotes; a doubled one is one character.
fn unquote(value: &str) -> String {
    value
        .trim()
        .replace("\"\"", "\u{1}")
        .replace('"', "")
        .replace('\u{1}', "\"")
}

/// Replaces every `%name%`; `%%` is one character, and a number is one of the setup's folders.
fn expand(value: &str, strings: &BTreeMap<String, String>) -> Result<String, String> {
    let mut output = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        output.push_str(before);
        let Some((name, after)) = after.split_once('%') else {
            return Err(format!("{value}: a % is missing"));
        };
        if name.is_empty() {
            output.push('%');
        } else if let Some(text) = strings.get(&name.to_ascii_lowercase()) {
            output.push_str(text);
        } else if name.bytes().all(|byte| byte.is_ascii_digit()) {
            output.push_str(name);
        } else {
            return Err(format!("%{name}% is not in [Strings]"));
        }
        rest = after;
    }
    output.push_str(rest);
    Ok(output)
}

fn number(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    match digits {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"
        [Version]
        Signature = "$WINDOWS NT$" ; a comment with a "quote
        [DefaultInstall.NTamd64.Services]
        AddService = %Service%,,One.Service
        [One.Service]
        ServiceBinary = %13%\one.sys
        AddReg = One.AddReg
        [One.AddReg]
        HKR,"Parameters\Instances","DefaultInstance",0x00000000,%Default%
        HKR,"Parameters\Instances\"%Default%,"Altitude",0x00000000,\
            "370030.5"
        HKR,"Parameters\Instances\"%Default%,"Flags",0x00010001,0x1
        HKR,"Parameters\Instances\Second","Altitude",0x00000000,"1000"
        HKR,"Parameters","Other",0x00010001,7
        [Not.Mentioned]
        HKR,"Instances","DefaultInstance",0x00000000,"wrong"
        [Strings]
        Service = "one"
        DEFAULT = "One; Instance"
    "#;

    #[test]
    fn the_service_key_is_what_addreg_says() {
        let inf = Inf::parse(SAMPLE).unwrap();
        inf.check().unwrap();
        assert_eq!(inf.service.as_deref(), Some("one"));
        assert_eq!(inf.default.as_deref(), Some("One; Instance"));
        let first = &inf.instances[0];
        assert_eq!(first.name, "One; Instance");
        assert_eq!(first.altitude.as_deref(), Some("370030.5"));
        assert_eq!(first.flags, 1);
        assert_eq!(inf.instances[1].altitude.as_deref(), Some("1000"));
        assert_eq!(inf.instances.len(), 2);
    }

    #[test]
    fn every_encoding_is_read() {
        let little: Vec<u8> = [0xFEFF_u16]
            .into_iter()
            .chain(SAMPLE.encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        let plain = Inf::parse(SAMPLE).unwrap();
        assert_eq!(Inf::parse(&text(&little)).unwrap(), plain);
        let marked = ["\u{FEFF}", SAMPLE].concat();
        assert_eq!(Inf::parse(&text(marked.as_bytes())).unwrap(), plain);
    }

    #[test]
    fn what_is_missing_is_said() {
        let check = |text: &str| Inf::parse(text).and_then(|inf| inf.check()).unwrap_err();
        assert!(check("").contains("DefaultInstance"));
        assert!(check("\\\n\\").contains("DefaultInstance"));
        let without = SAMPLE.replace("\"Altitude\"", "\"Attitude\"");
        assert!(check(&without).contains("no Altitude"));
        let unknown = SAMPLE.replace("DEFAULT =", "Something =");
        assert!(check(&unknown).contains("%Default% is not in [Strings]"));
    }

    #[test]
    fn the_samples_inf_is_understood() {
        let inf = Inf::parse(include_str!("../../../inf/ctx.inx")).unwrap();
        inf.check().unwrap();
        assert_eq!(inf.service.as_deref(), Some("ctx"));
        let altitude = inf.instances[0].altitude.as_deref();
        assert_eq!(altitude, Some("385000"));
    }
}
