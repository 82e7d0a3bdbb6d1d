//! What the image must be, checked on the image itself.

use super::{Profile, files};
use object::LittleEndian as LE;
use object::pe;
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader, Import, PeFile64};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The modules that the driver may import from.
const MODULES: [&str; 2] = ["FLTMGR.SYS", "ntoskrnl.exe"];

/// The one function that only a panic calls.
const PANIC: &str = "KeBugCheckEx";

/// The name of the version resource, as it stands in its section.
const VERSION_INFO: &str = "VS_VERSION_INFO";

/// Checks an image. The answer describes it in a line.
pub(super) fn check(path: &Path, profile: Profile) -> Result<String, String> {
    let bytes = fs::read(path).map_err(|error| files::failed("read", path, &error))?;
    let facts =
        Facts::read(&bytes).map_err(|error| format!("{} is no image: {error}", path.display()))?;
    let breaches = facts.breaches(profile);
    if breaches.is_empty() {
        Ok(facts.to_string())
    } else {
        Err(format!(
            "{} is not what a driver must be:\n  {}",
            path.display(),
            breaches.join("\n  ")
        ))
    }
}

/// What is looked at.
#[derive(Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Facts {
    size: usize,
    machine: pe::Machine,
    subsystem: pe::Subsystem,
    characteristics: pe::DllFlags,
    /// Whether the header's checksum is that of the file.
    checksum_fits: bool,
    /// Whether the time stamps are a hash of the contents.
    reproducible: bool,
    relocatable: bool,
    has_version: bool,
    /// The section that the entry point is in.
    entry_section: String,
    /// Names and characteristics.
    sections: Vec<(String, pe::SectionFlags)>,
    /// Modules and the functions imported from them.
    imports: BTreeMap<String, Vec<String>>,
    /// Text that only the message of a panic, or its place in the source, can be.
    panic_text: Option<String>,
}

impl Facts {
    fn read(bytes: &[u8]) -> object::Result<Self> {
        let file = PeFile64::parse(bytes)?;
        let header = file.nt_headers().optional_header();
        let directories = file.data_directories();
        let directory = |index| directories.get(index).is_some();

        let mut facts = Self {
            size: bytes.len(),
            machine: file.nt_headers().file_header.machine.get(LE),
            subsystem: header.subsystem(),
            characteristics: header.dll_characteristics(),
            checksum_fits: header.check_sum() == checksum(bytes, checksum_offset(bytes)),
            relocatable: directory(pe::IMAGE_DIRECTORY_ENTRY_BASERELOC),
            panic_text: ["panicked at", "src/"]
                .into_iter()
                .find(|text| contains(bytes, text.as_bytes()))
                .map(str::to_owned),
            ..Self::default()
        };
        let entry = header.address_of_entry_point();
        for section in file.section_table().iter() {
            let name = String::from_utf8_lossy(section.raw_name()).into_owned();
            let address = section.virtual_address.get(LE);
            let size = section.virtual_size.get(LE);
            if (address..address.saturating_add(size)).contains(&entry) {
                facts.entry_section.clone_from(&name);
            }
            if name == ".rsrc" {
                let text: Vec<u8> = VERSION_INFO
                    .encode_utf16()
                    .flat_map(u16::to_le_bytes)
                    .collect();
                facts.has_version = contains(section.pe_data(bytes)?, &text);
            }
            facts.sections.push((name, section.characteristics.get(LE)));
        }
        facts.reproducible = file
            .data_directory(pe::IMAGE_DIRECTORY_ENTRY_DEBUG)
            .is_some_and(|debug| {
                debug
                    .data(bytes, &file.section_table())
                    .is_ok_and(has_reproducible_entry)
            });
        if let Some(table) = file.import_table()? {
            let mut descriptors = table.descriptors()?;
            while let Some(descriptor) = descriptors.next()? {
                let module = table.name(descriptor.name.get(LE))?;
                let module = String::from_utf8_lossy(module).into_owned();
                let functions = facts.imports.entry(module).or_default();
                let mut thunks = table.thunks(descriptor.original_first_thunk.get(LE))?;
                while let Some(thunk) = thunks.next::<pe::ImageNtHeaders64>()? {
                    functions.push(match table.import::<pe::ImageNtHeaders64>(thunk)? {
                        Import::Name(_, name) => String::from_utf8_lossy(name).into_owned(),
                        Import::Ordinal(ordinal) => format!("#{ordinal}"),
                    });
                }
            }
        }
        Ok(facts)
    }

    /// What is not as it must be, in sentences.
    fn breaches(&self, profile: Profile) -> Vec<String> {
        let mut breaches = Vec::new();
        let mut must = |holds: bool, breach: String| {
            if !holds {
                breaches.push(breach);
            }
        };
        must(
            self.machine == pe::IMAGE_FILE_MACHINE_AMD64,
            format!("the machine is {:#06x}, not x64", self.machine.0),
        );
        must(
            self.subsystem == pe::IMAGE_SUBSYSTEM_NATIVE,
            format!("the subsystem is {}, not the native one", self.subsystem.0),
        );
        for (flag, name) in [
            (pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT, "NX-compatible"),
            (
                pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE,
                "dynamically based",
            ),
        ] {
            must(
                self.characteristics.contains(flag),
                format!("it is not marked {name}"),
            );
        }
        must(self.checksum_fits, "its checksum is wrong".into());
        must(self.reproducible, "its time stamps are dates".into());
        must(self.relocatable, "it has no relocations".into());
        must(self.has_version, "it has no version resource".into());
        must(
            self.entry_section == "INIT",
            format!("DriverEntry is in {:?}, not in INIT", self.entry_section),
        );
        for (name, flags) in &self.sections {
            let both = pe::IMAGE_SCN_MEM_WRITE | pe::IMAGE_SCN_MEM_EXECUTE;
            must(
                !flags.contains(both),
                format!("section {name} is writable and executable"),
            );
            let discardable = flags.contains(pe::IMAGE_SCN_MEM_DISCARDABLE);
            must(
                name != "INIT" || discardable && flags.contains(pe::IMAGE_SCN_MEM_EXECUTE),
                "section INIT is not executable and discardable".into(),
            );
            must(
                discardable == matches!(name.as_str(), "INIT" | ".reloc"),
                format!("section {name} has the wrong mark for being discarded"),
            );
        }
        for module in self.imports.keys() {
            must(
                MODULES.contains(&module.as_str()),
                format!("it imports from {module}"),
            );
        }
        if profile == Profile::Release {
            let imports_panic = self.imports.values().flatten().any(|name| name == PANIC);
            must(
                !imports_panic,
                format!("it imports {PANIC}, so there is a panic in it"),
            );
            if let Some(text) = &self.panic_text {
                must(false, format!("it contains the text {text:?} of a panic"));
            }
        }
        breaches
    }
}

impl std::fmt::Display for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes, sections", self.size)?;
        for (name, _) in &self.sections {
            write!(f, " {name}")?;
        }
        for (module, functions) in &self.imports {
            write!(f, ", {} imports from {module}", functions.len())?;
        }
        let panics = self.imports.values().flatten().any(|name| name == PANIC);
        f.write_str(if panics { "" } else { ", no panic" })
    }
}

/// Whether a debug directory says that the time stamps are a hash.
fn has_reproducible_entry(directory: &[u8]) -> bool {
    directory
        .chunks_exact(size_of::<pe::ImageDebugDirectory>())
        .filter_map(|entry| object::pod::from_bytes::<pe::ImageDebugDirectory>(entry).ok())
        .any(|(entry, _)| entry.typ.get(LE) == pe::IMAGE_DEBUG_TYPE_REPRO)
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// Where the checksum is: 64 bytes into the optional header, which follows signature and header.
fn checksum_offset(bytes: &[u8]) -> usize {
    let start = bytes
        .get(0x3c..0x40)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u32::from_le_bytes);
    start as usize + 4 + 20 + 64
}

/// The checksum of an image: the sum of its 16-bit words with the carries added in, and of its
/// length, where the words of the checksum itself count as zero.
fn checksum(bytes: &[u8], offset: usize) -> u32 {
    let mut sum = 0u32;
    for (index, word) in bytes.chunks(2).enumerate() {
        if (offset..offset + 4).contains(&(index * 2)) {
            continue;
        }
        let word = u16::from_le_bytes([word[0], word.get(1).copied().unwrap_or(0)]);
        sum += u32::from(word);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum.wrapping_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A driver as it must be.
    fn driver() -> Facts {
        Facts {
            machine: pe::IMAGE_FILE_MACHINE_AMD64,
            subsystem: pe::IMAGE_SUBSYSTEM_NATIVE,
            characteristics: pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT
                | pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE,
            checksum_fits: true,
            reproducible: true,
            relocatable: true,
            has_version: true,
            entry_section: "INIT".into(),
            sections: vec![
                (".text".into(), pe::IMAGE_SCN_MEM_EXECUTE),
                (
                    "INIT".into(),
                    pe::IMAGE_SCN_MEM_EXECUTE | pe::IMAGE_SCN_MEM_DISCARDABLE,
                ),
            ],
            imports: [("FLTMGR.SYS".into(), vec!["FltRegisterFilter".into()])].into(),
            ..Facts::default()
        }
    }

    #[test]
    fn a_driver_breaches_nothing() {
        assert_eq!(driver().breaches(Profile::Release), [""; 0]);
    }

    #[test]
    fn a_panic_is_allowed_in_a_debug_build_only() {
        let mut facts = driver();
        facts
            .imports
            .insert("ntoskrnl.exe".into(), vec![PANIC.into()]);
        facts.panic_text = Some("src/".into());
        assert_eq!(facts.breaches(Profile::Debug), [""; 0]);
        assert_eq!(facts.breaches(Profile::Release).len(), 2);
    }

    #[test]
    fn each_breach_is_told() {
        let mut facts = driver();
        facts
            .imports
            .insert("VCRUNTIME140.dll".into(), vec!["memcpy".into()]);
        facts.sections[0].1 |= pe::IMAGE_SCN_MEM_WRITE;
        facts.sections[1].1 = pe::IMAGE_SCN_MEM_READ;
        facts.subsystem = pe::IMAGE_SUBSYSTEM_WINDOWS_CUI;
        assert_eq!(
            facts.breaches(Profile::Debug),
            [
                "the subsystem is 3, not the native one",
                "section .text is writable and executable",
                "section INIT is not executable and discardable",
                "section INIT has the wrong mark for being discarded",
                "it imports from VCRUNTIME140.dll",
            ]
        );
        assert!(Facts::default().breaches(Profile::Release).len() > 7);
    }

    #[test]
    fn what_is_no_image_is_refused() {
        for length in [0, 2, 64, 512] {
            assert!(Facts::read(&vec![b'M'; length]).is_err(), "{length} bytes");
        }
    }
}
