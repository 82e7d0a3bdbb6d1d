//! Lines of a section that an `AddReg` directive names.

use super::finding::Rule;
use super::syntax::{Line, number};

/// Bits of the flags.
pub(crate) mod flags {
    /// The data are bytes or a number, and not text.
    pub(crate) const BINARY: u32 = 0x1;
    /// A value that is there stays.
    pub(crate) const NO_CLOBBER: u32 = 0x2;
    /// The key or the value goes.
    pub(crate) const DELETE: u32 = 0x4;
    /// The strings are added to those that are there.
    pub(crate) const APPEND: u32 = 0x8;
    /// Only the key is made.
    pub(crate) const KEY_ONLY: u32 = 0x10;
    /// A value that is not there is not made.
    pub(crate) const OVERWRITE_ONLY: u32 = 0x20;
    /// As `KEY_ONLY`, also where registry entries are deleted.
    pub(crate) const KEY_ONLY_COMMON: u32 = 0x2000;
    /// Which of the two registries of a 64-bit Windows.
    pub(crate) const REGISTRY_64: u32 = 0x1000;
    pub(crate) const REGISTRY_32: u32 = 0x4000;
    /// All that mean something, without the type.
    pub(crate) const KNOWN: u32 = BINARY
        | NO_CLOBBER
        | DELETE
        | APPEND
        | KEY_ONLY
        | OVERWRITE_ONLY
        | KEY_ONLY_COMMON
        | REGISTRY_64
        | REGISTRY_32;
}

/// Types of values, by their numbers in the registry.
pub(crate) mod kind {
    pub(crate) const NONE: u32 = 0;
    pub(crate) const SZ: u32 = 1;
    pub(crate) const EXPAND_SZ: u32 = 2;
    pub(crate) const BINARY: u32 = 3;
    pub(crate) const DWORD: u32 = 4;
    pub(crate) const MULTI_SZ: u32 = 7;
    pub(crate) const QWORD: u32 = 11;
}

/// Where a key's path begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// `HKR`: the service's key, for a service.
    Relative,
    /// `HKLM`.
    Machine,
    /// `HKCR`, `HKCU` and `HKU`.
    Other,
}

/// One line, understood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) root: Root,
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
    pub(crate) flags: u32,
    pub(crate) line: &'a Line,
}

impl<'a> Entry<'a> {
    /// Understands a line, or says which rule it breaks and how.
    pub(crate) fn parse(line: &'a Line) -> Result<Self, (Rule, String)> {
        if line.key.is_some() || line.values.len() < 2 {
            let text = "a registry line is: root, key, value, flags, data; separate them by commas";
            return Err((Rule::AddRegLine, text.to_owned()));
        }
        let root = match line.text(0).to_ascii_uppercase().as_str() {
            "HKR" => Root::Relative,
            "HKLM" => Root::Machine,
            "HKCR" | "HKCU" | "HKU" => Root::Other,
            other => {
                let text = format!("\"{other}\" is no root of the registry; use HKR");
                return Err((Rule::AddRegRoot, text));
            }
        };
        let entry = Self {
            root,
            key: line.text(1).trim_matches('\\'),
            value: line.text(2),
            flags: flags_of(line.text(3))?,
            line,
        };
        Ok(entry)
    }

    /// Whether the line deletes, or makes nothing but a key.
    pub(crate) fn has_data(&self) -> bool {
        self.flags & (flags::DELETE | flags::KEY_ONLY | flags::KEY_ONLY_COMMON) == 0
    }

    /// The type of the value.
    pub(crate) fn kind(&self) -> u32 {
        match (self.flags >> 16, self.flags & flags::BINARY != 0) {
            (0, false) => kind::SZ,
            (0, true) => kind::BINARY,
            (1, false) => kind::MULTI_SZ,
            (1, true) => kind::DWORD,
            (2, false) => kind::EXPAND_SZ,
            (2, true) => kind::NONE,
            (other, _) => other,
        }
    }

    /// The number that a `REG_DWORD` gets.
    pub(crate) fn number(&self) -> Option<u32> {
        (self.kind() == kind::DWORD)
            .then(|| self.data().ok()?.try_into().ok().map(u32::from_le_bytes))
            .flatten()
    }

    /// What the value gets, as the registry keeps it.
    pub(crate) fn data(&self) -> Result<Vec<u8>, String> {
        let values = self.line.values.get(4..).unwrap_or_default();
        let texts = values.iter().map(|value| value.text.as_str());
        match self.kind() {
            kind::SZ | kind::EXPAND_SZ => Ok(terminated(self.line.text(4))),
            kind::MULTI_SZ => {
                let mut bytes: Vec<u8> = texts
                    .filter(|text| !text.is_empty())
                    .flat_map(terminated)
                    .collect();
                bytes.extend([0, 0]);
                Ok(bytes)
            }
            kind::DWORD if values.len() <= 1 => match number(self.line.text(4)) {
                Some(number) => Ok(number.to_le_bytes().to_vec()),
                None => Err(format!(
                    "\"{}\" is no number of 32 bits; write one in decimal, or in hexadecimal with 0x",
                    self.line.text(4)
                )),
            },
            kind::QWORD if values.len() <= 1 => match quad(self.line.text(4)) {
                Some(number) => Ok(number.to_le_bytes().to_vec()),
                None => Err(format!(
                    "\"{}\" is no number of 64 bits; write one in decimal, or in hexadecimal with 0x",
                    self.line.text(4)
                )),
            },
            wanted => {
                let bytes = texts.filter(|text| !text.is_empty()).map(byte);
                let bytes: Vec<u8> = bytes.collect::<Result<_, _>>()?;
                if wanted == kind::DWORD && bytes.len() != 4 {
                    return Err("a REG_DWORD is one number, or four bytes".to_owned());
                }
                Ok(bytes)
            }
        }
    }
}

fn flags_of(text: &str) -> Result<u32, (Rule, String)> {
    let fail = |why: String| Err((Rule::AddRegFlags, why));
    if text.is_empty() {
        return Ok(0);
    }
    let Some(bits) = number(text) else {
        return fail(format!(
            "the flags are \"{text}\", which is no number; write one, as 0x00010001 for a REG_DWORD"
        ));
    };
    let unknown = bits & 0xFFFF & !flags::KNOWN;
    if unknown != 0 {
        return fail(format!(
            "the flags have the bits {unknown:#x}, which mean nothing; remove them"
        ));
    }
    if bits & flags::BINARY == 0 && bits >> 16 > 2 {
        return fail(format!(
            "the flags have the type {:#x} without the bit 0x1 that such a type needs; add it",
            bits >> 16
        ));
    }
    if bits & flags::APPEND != 0 && bits & 0xFFFF_0001 != 0x1_0000 {
        return fail(
            "only to a REG_MULTI_SZ can be appended; the flags are 0x00010008 then".to_owned(),
        );
    }
    Ok(bits)
}

/// A string as the registry keeps it.
pub(crate) fn terminated(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().chain([0]);
    units.flat_map(u16::to_le_bytes).collect()
}

fn byte(text: &str) -> Result<u8, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let digits = digits.unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let byte = plain.then(|| u8::from_str_radix(digits, 16).ok()).flatten();
    byte.ok_or_else(|| format!("\"{text}\" is no byte; write two hexadecimal digits for each"))
}

fn quad(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    match digits {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
