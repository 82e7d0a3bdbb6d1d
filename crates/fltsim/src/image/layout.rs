//! The headers of an image, checked, and its sections laid out as they will be in memory.
//!
//! Everything here is safe code on slices: an image gets into executable memory only after it has
//! been laid out, relocated and bound in a buffer of its own. The checks are those of the Windows
//! loader and a few more, because what a linker never writes is a sign of a damaged file.

use super::error::Problem;
use object::LittleEndian as LE;
use object::pe;
use object::pod::Pod;
use object::read::ReadRef;

/// No driver is larger.
pub(crate) const LARGEST: u64 = 256 << 20;
/// What a page of memory is.
pub(crate) const PAGE: u32 = 0x1000;
/// How many sections Windows accepts.
const MOST_SECTIONS: usize = 96;
/// Offset of the data directories in a 64-bit optional header.
const DIRECTORIES: u32 = 112;

/// One section.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) name: String,
    /// Where it begins in memory.
    pub(crate) rva: u32,
    /// Its size in memory, without padding.
    pub(crate) size: u32,
    /// Where it begins in the file, and how much of it is there.
    pub(crate) raw: (u32, u32),
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) executable: bool,
}

impl Section {
    /// Where the next section begins.
    pub(crate) fn end(&self) -> u32 {
        // Checked when the section was read.
        self.rva + self.size.next_multiple_of(PAGE)
    }

    /// Whether so many bytes from an address on lie in it.
    pub(crate) fn holds(&self, rva: u32, bytes: u32) -> bool {
        rva >= self.rva
            && u64::from(rva) + u64::from(bytes) <= u64::from(self.rva) + u64::from(self.size)
    }
}

/// The parts of the optional header that are needed later.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The address that it was linked for.
    pub(crate) preferred: u64,
    pub(crate) size: u32,
    pub(crate) headers: u32,
    pub(crate) entry: u32,
    pub(crate) sections: Vec<Section>,
    pub(crate) directories: Vec<(u32, u32)>,
    pub(crate) relocations_stripped: bool,
    /// The image asks for a check of its signature.
    pub(crate) integrity: bool,
}

/// Reads a structure of the file.
fn read<'a, T: Pod>(file: &'a [u8], at: u64, field: &str) -> Result<&'a T, Problem> {
    file.read_at::<T>(at).map_err(|()| Problem::Truncated {
        field: field.to_owned(),
        end: at + size_of::<T>() as u64,
        len: file.len() as u64,
    })
}

fn machine_name(machine: u16) -> &'static str {
    match pe::Machine(machine) {
        pe::IMAGE_FILE_MACHINE_I386 => "32-bit x86",
        pe::IMAGE_FILE_MACHINE_ARM64 => "ARM64",
        pe::IMAGE_FILE_MACHINE_ARMNT => "32-bit ARM",
        pe::IMAGE_FILE_MACHINE_IA64 => "Itanium",
        _ => "unknown",
    }
}

fn subsystem_name(subsystem: u16) -> &'static str {
    match pe::Subsystem(subsystem) {
        pe::IMAGE_SUBSYSTEM_WINDOWS_GUI => "a program with windows",
        pe::IMAGE_SUBSYSTEM_WINDOWS_CUI => "a console program",
        pe::IMAGE_SUBSYSTEM_EFI_APPLICATION
        | pe::IMAGE_SUBSYSTEM_EFI_BOOT_SERVICE_DRIVER
        | pe::IMAGE_SUBSYSTEM_EFI_RUNTIME_DRIVER => "an EFI image",
        _ => "not native",
    }
}

impl Layout {
    /// Reads and checks the headers.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, Problem> {
        let len = file.len() as u64;
        if len == 0 {
            return Err(Problem::Empty);
        }
        if len > LARGEST {
            return Err(Problem::TooLarge(len));
        }
        let magic = file.get(..2).unwrap_or(file);
        if magic != b"MZ" {
            return Err(Problem::NotAnImage {
                field: "DosHeader.e_magic",
                found: format!("{magic:02x?} instead of \"MZ\""),
            });
        }
        let dos: &pe::ImageDosHeader = read(file, 0, "DosHeader")?;
        let start = u64::from(dos.e_lfanew.get(LE));
        if start % 4 != 0 {
            return Err(Problem::NotAnImage {
                field: "DosHeader.e_lfanew",
                found: format!("{start:#x} is not a multiple of 4"),
            });
        }
        let signature: &object::U32<LE> = read(file, start, "NtHeaders.Signature")?;
        if signature.get(LE) != pe::IMAGE_NT_SIGNATURE {
            return Err(Problem::NotAnImage {
                field: "NtHeaders.Signature",
                found: format!("{:#010x} instead of \"PE\"", signature.get(LE)),
            });
        }
        let header: &pe::ImageFileHeader = read(file, start + 4, "FileHeader")?;
        check_file_header(header)?;
        let optional_at = start + 4 + size_of::<pe::ImageFileHeader>() as u64;
        let magic: &object::U16<LE> = read(file, optional_at, "OptionalHeader.Magic")?;
        match magic.get(LE) {
            pe::IMAGE_NT_OPTIONAL_HDR64_MAGIC => {}
            pe::IMAGE_NT_OPTIONAL_HDR32_MAGIC => {
                return Err(Problem::Not64Bit(magic.get(LE)));
            }
            other => {
                let what = format!("{other:#06x} instead of 0x020b");
                return Err(Problem::malformed("OptionalHeader.Magic", what));
            }
        }
        let optional: &pe::ImageOptionalHeader64 = read(file, optional_at, "OptionalHeader")?;
        check_optional_header(optional)?;
        let directories = directories(file, header, optional, optional_at)?;
        let sections_at = optional_at + u64::from(header.size_of_optional_header.get(LE));
        let sections = sections(file, header, optional, sections_at)?;
        let layout = Self {
            preferred: optional.image_base.get(LE),
            size: optional.size_of_image.get(LE),
            headers: optional.size_of_headers.get(LE),
            entry: optional.address_of_entry_point.get(LE),
            sections,
            directories,
            relocations_stripped: header.characteristics.get(LE).0
                & pe::IMAGE_FILE_RELOCS_STRIPPED.0
                != 0,
            integrity: optional.dll_characteristics.get(LE).0
                & pe::IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY.0
                != 0,
        };
        layout.check_entry()?;
        Ok(layout)
    }

    fn check_entry(&self) -> Result<(), Problem> {
        const FIELD: &str = "OptionalHeader.AddressOfEntryPoint";
        let entry = self.entry;
        if entry == 0 {
            let what = "0; a driver needs an entry point, link it with /entry:DriverEntry";
            return Err(Problem::unsupported(FIELD, what));
        }
        match self.section_of(entry, 1) {
            Some(section) if section.executable => Ok(()),
            Some(section) => {
                let what = format!("{entry:#x} lies in {}, which is not code", section.name);
                Err(Problem::malformed(FIELD, what))
            }
            None => {
                let what = format!("{entry:#x} lies in no section");
                Err(Problem::malformed(FIELD, what))
            }
        }
    }

    /// The section that so many bytes from an address on lie in.
    pub(crate) fn section_of(&self, rva: u32, bytes: u32) -> Option<&Section> {
        self.sections
            .iter()
            .find(|section| section.holds(rva, bytes))
    }

    /// One of the data directories; `None` if it is empty.
    pub(crate) fn directory(&self, index: usize) -> Option<(u32, u32)> {
        let found = self.directories.get(index).copied();
        found.filter(|(rva, size)| *rva != 0 && *size != 0)
    }

    /// The image as it will be in memory, not relocated yet.
    pub(crate) fn lay_out(&self, file: &[u8]) -> Vec<u8> {
        let mut image = vec![0; self.size as usize];
        let parts = self
            .sections
            .iter()
            .map(|section| (section.rva, section.raw));
        for (rva, (from, count)) in parts.chain([(0, (0, self.headers))]) {
            let (rva, from, count) = (rva as usize, from as usize, count as usize);
            // Both ranges were checked when the headers were read.
            if let Some(source) = file.get(from..from + count)
                && let Some(target) = image.get_mut(rva..rva + count)
            {
                target.copy_from_slice(source);
            }
        }
        image
    }
}

fn check_file_header(header: &pe::ImageFileHeader) -> Result<(), Problem> {
    let machine = header.machine.get(LE);
    if machine != pe::IMAGE_FILE_MACHINE_AMD64 {
        return Err(Problem::Machine {
            machine: machine.0,
            name: machine_name(machine.0),
        });
    }
    if header.characteristics.get(LE).0 & pe::IMAGE_FILE_EXECUTABLE_IMAGE.0 == 0 {
        let what = "the linker has marked the image as not runnable";
        return Err(Problem::malformed("FileHeader.Characteristics", what));
    }
    let size = u32::from(header.size_of_optional_header.get(LE));
    if size < DIRECTORIES || size % 8 != 0 {
        let what = format!("{size} is not the size of a 64-bit optional header");
        return Err(Problem::malformed("FileHeader.SizeOfOptionalHeader", what));
    }
    let count = header.number_of_sections.get(LE);
    if count == 0 || usize::from(count) > MOST_SECTIONS {
        let what = format!("{count} is not between 1 and {MOST_SECTIONS}");
        return Err(Problem::malformed("FileHeader.NumberOfSections", what));
    }
    Ok(())
}

fn check_optional_header(header: &pe::ImageOptionalHeader64) -> Result<(), Problem> {
    let subsystem = header.subsystem.get(LE);
    if subsystem != pe::IMAGE_SUBSYSTEM_NATIVE {
        return Err(Problem::NotNative {
            subsystem: subsystem.0,
            name: subsystem_name(subsystem.0),
        });
    }
    let alignment = header.section_alignment.get(LE);
    if alignment != PAGE {
        let what = format!(
            "{alignment:#x}; sections can only be protected in pages, link with /align:4096"
        );
        return Err(Problem::unsupported(
            "OptionalHeader.SectionAlignment",
            what,
        ));
    }
    let file_alignment = header.file_alignment.get(LE);
    if !file_alignment.is_power_of_two() || !(512..=PAGE).contains(&file_alignment) {
        let what = format!("{file_alignment:#x} is no power of two between 512 and 4096");
        return Err(Problem::malformed("OptionalHeader.FileAlignment", what));
    }
    let base = header.image_base.get(LE);
    if !base.is_multiple_of(0x1_0000) {
        let what = format!("{base:#x} is not a multiple of 64 KiB");
        return Err(Problem::malformed("OptionalHeader.ImageBase", what));
    }
    let size = header.size_of_image.get(LE);
    if size == 0 || u64::from(size) > LARGEST || base.checked_add(size.into()).is_none() {
        let what = format!("{size:#x} is not between 1 and {LARGEST:#x}");
        return Err(Problem::malformed("OptionalHeader.SizeOfImage", what));
    }
    Ok(())
}

/// Reads the data directories and refuses those that no driver has.
fn directories(
    file: &[u8],
    header: &pe::ImageFileHeader,
    optional: &pe::ImageOptionalHeader64,
    optional_at: u64,
) -> Result<Vec<(u32, u32)>, Problem> {
    const FIELD: &str = "OptionalHeader.NumberOfRvaAndSizes";
    let count = optional.number_of_rva_and_sizes.get(LE);
    let room = (u32::from(header.size_of_optional_header.get(LE)) - DIRECTORIES) / 8;
    if count > 16 || count > room {
        let what = format!(
            "{count} directories, and there is room for {}",
            room.min(16)
        );
        return Err(Problem::malformed(FIELD, what));
    }
    let mut directories = Vec::new();
    for index in 0..count {
        let at = optional_at + u64::from(DIRECTORIES) + 8 * u64::from(index);
        let entry: &pe::ImageDataDirectory = read(file, at, "OptionalHeader.DataDirectory")?;
        directories.push((entry.virtual_address.get(LE), entry.size.get(LE)));
    }
    let refused = [
        (
            pe::IMAGE_DIRECTORY_ENTRY_TLS,
            "thread-local storage, which the kernel does not have; remove it",
        ),
        (
            pe::IMAGE_DIRECTORY_ENTRY_COM_DESCRIPTOR,
            "managed code, which cannot run in the kernel; build a native driver",
        ),
        (
            pe::IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT,
            "delayed imports, which this loader does not bind; link without /delayload",
        ),
    ];
    for (index, what) in refused {
        if directories
            .get(index)
            .is_some_and(|(rva, size)| *rva != 0 && *size != 0)
        {
            let field = format!("OptionalHeader.DataDirectory[{index}]");
            return Err(Problem::unsupported(field, what));
        }
    }
    Ok(directories)
}

fn sections(
    file: &[u8],
    header: &pe::ImageFileHeader,
    optional: &pe::ImageOptionalHeader64,
    at: u64,
) -> Result<Vec<Section>, Problem> {
    let count = u64::from(header.number_of_sections.get(LE));
    let table_end = at + count * size_of::<pe::ImageSectionHeader>() as u64;
    let headers = optional.size_of_headers.get(LE);
    if u64::from(headers) < table_end || u64::from(headers) > file.len() as u64 {
        let what = format!(
            "{headers:#x} is not between the end of the section table, {table_end:#x}, and the end of the file, {:#x}",
            file.len()
        );
        return Err(Problem::malformed("OptionalHeader.SizeOfHeaders", what));
    }
    let mut sections: Vec<Section> = Vec::new();
    // Where the section before has ended; the headers come first.
    let mut end = headers.next_multiple_of(PAGE);
    for index in 0..count {
        let at = at + index * size_of::<pe::ImageSectionHeader>() as u64;
        let entry: &pe::ImageSectionHeader = read(file, at, "SectionTable")?;
        let section = section(file, entry, index)?;
        check_raw(&section, optional)?;
        if section.rva != end {
            let what = if section.rva < end {
                "overlaps what comes before it"
            } else {
                "leaves a gap to what comes before it"
            };
            let what = format!("{:#x} {what}, which ends at {end:#x}", section.rva);
            let field = format!("{}.VirtualAddress", section.name);
            return Err(Problem::malformed(field, what));
        }
        end = section.end();
        sections.push(section);
    }
    let size = optional.size_of_image.get(LE);
    if size.checked_next_multiple_of(PAGE) != Some(end) {
        let what = format!("{size:#x}, and the last section ends at {end:#x}");
        return Err(Problem::malformed("OptionalHeader.SizeOfImage", what));
    }
    Ok(sections)
}

fn section(file: &[u8], entry: &pe::ImageSectionHeader, index: u64) -> Result<Section, Problem> {
    let name = printable(
        entry
            .name
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default(),
    );
    let name = format!("section {index} ({name})");
    let raw_size = entry.size_of_raw_data.get(LE);
    let raw_at = entry.pointer_to_raw_data.get(LE);
    let rva = entry.virtual_address.get(LE);
    let size = match entry.virtual_size.get(LE) {
        0 => raw_size,
        size => size,
    };
    let last = u64::from(rva) + u64::from(size).next_multiple_of(u64::from(PAGE));
    if size == 0 || last > LARGEST {
        let what = format!("{size:#x} at {rva:#x} is nothing, or larger than any driver");
        return Err(Problem::malformed(format!("{name}.VirtualSize"), what));
    }
    let raw_end = u64::from(raw_at) + u64::from(raw_size);
    if raw_size != 0 && raw_end > file.len() as u64 {
        return Err(Problem::Truncated {
            field: format!("{name}.SizeOfRawData"),
            end: raw_end,
            len: file.len() as u64,
        });
    }
    let flags = entry.characteristics.get(LE).0;
    let has = |flag: pe::SectionFlags| flags & flag.0 != 0;
    Ok(Section {
        name,
        rva,
        size,
        raw: (raw_at, raw_size.min(size)),
        readable: has(pe::IMAGE_SCN_MEM_READ),
        writable: has(pe::IMAGE_SCN_MEM_WRITE),
        executable: has(pe::IMAGE_SCN_MEM_EXECUTE),
    })
}

/// Refuses what a section has in the file if it is where no linker puts it.
fn check_raw(section: &Section, optional: &pe::ImageOptionalHeader64) -> Result<(), Problem> {
    let (at, size) = section.raw;
    let (alignment, headers) = (
        optional.file_alignment.get(LE),
        optional.size_of_headers.get(LE),
    );
    let what = if size == 0 {
        return Ok(());
    } else if !at.is_multiple_of(alignment) {
        format!("{at:#x} is not a multiple of {alignment:#x}")
    } else if at < headers {
        format!("{at:#x} lies in the headers, which end at {headers:#x}")
    } else {
        return Ok(());
    };
    let field = format!("{}.PointerToRawData", section.name);
    Err(Problem::malformed(field, what))
}

/// Bytes of a file as they can be shown in a message.
pub(crate) fn printable(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
