//! What the data directories of an image say: relocations, imports, the security cookie, function
//! tables and exports.

use super::error::Problem;
use super::layout::{Layout, printable};
use object::LittleEndian as LE;
use object::pe;
use object::pod::Pod;
use object::read::ReadRef;
use std::collections::{BTreeMap, BTreeSet};

/// More imports than any driver has; more than these are a loop in the tables.
const MOST_IMPORTS: usize = 16 * 1024;
/// More libraries than any driver imports from.
const MOST_LIBRARIES: usize = 64;
/// Longer names are no names.
const LONGEST_NAME: usize = 512;
/// Offset of the cookie's address in the load configuration, and its size.
const COOKIE_AT: u32 = 0x58;
/// The value that a linker leaves: with it the checks of a driver are not armed.
const DEFAULT_COOKIE: u64 = 0x0000_2B99_2DDF_A232;

/// What is imported.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Symbol {
    Name(String),
    Ordinal(u16),
}

/// One import.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub(crate) library: String,
    pub(crate) symbol: Symbol,
    /// Where its address goes.
    pub(crate) slot: u32,
}

impl Import {
    /// What a message calls it.
    pub(crate) fn name(&self) -> String {
        match &self.symbol {
            Symbol::Name(name) => format!("{}!{name}", self.library),
            Symbol::Ordinal(ordinal) => format!("{} ordinal {ordinal}", self.library),
        }
    }
}

/// One entry of the function table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function {
    pub(crate) begin: u32,
    pub(crate) end: u32,
    pub(crate) unwind: u32,
}

/// What an image needs from its loader, and has to offer.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// Where an address is that depends on where the image lies.
    pub(crate) relocations: Vec<u32>,
    pub(crate) imports: Vec<Import>,
    pub(crate) cookie: Option<u32>,
    pub(crate) functions: Vec<Function>,
    pub(crate) exports: BTreeMap<String, u32>,
}

/// Reads a structure of the image.
fn read<'a, T: Pod>(image: &'a [u8], at: u64, field: &str) -> Result<&'a T, Problem> {
    image.read_at::<T>(at).map_err(|()| {
        let what = format!(
            "{at:#x} lies outside of the image, which has {:#x} bytes",
            image.len()
        );
        Problem::malformed(field, what)
    })
}

fn read_u32(image: &[u8], at: u64, field: &str) -> Result<u32, Problem> {
    read::<object::U32<LE>>(image, at, field).map(|value| value.get(LE))
}

fn read_u64(image: &[u8], at: u64, field: &str) -> Result<u64, Problem> {
    read::<object::U64<LE>>(image, at, field).map(|value| value.get(LE))
}

/// Reads a name of printable ASCII.
fn name(image: &[u8], at: u32, field: &str) -> Result<String, Problem> {
    let start = at as usize;
    let bytes = image.get(start..).unwrap_or_default();
    let bytes = &bytes[..bytes.len().min(LONGEST_NAME)];
    let Some(len) = bytes.iter().position(|byte| *byte == 0) else {
        let what = format!("{at:#x} is no string");
        return Err(Problem::malformed(field, what));
    };
    let bytes = &bytes[..len];
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_graphic) {
        let what = format!("\"{}\" at {at:#x} is no name", printable(bytes));
        return Err(Problem::malformed(field, what));
    }
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

impl Tables {
    /// Reads and checks the tables of an image that has been laid out.
    pub(crate) fn parse(layout: &Layout, image: &[u8]) -> Result<Self, Problem> {
        Ok(Self {
            relocations: relocations(layout, image)?,
            imports: imports(layout, image)?,
            cookie: cookie(layout, image)?,
            functions: functions(layout, image)?,
            exports: exports(layout, image)?,
        })
    }

    /// Moves the image to an address, writes the addresses of its imports, in their order, and arms
    /// its stack checks.
    pub(crate) fn apply(&self, image: &mut [u8], preferred: u64, base: u64, imports: &[u64]) {
        let delta = base.wrapping_sub(preferred);
        for at in &self.relocations {
            if let Some(place) = place(image, *at) {
                let value = u64::from_le_bytes(*place).wrapping_add(delta);
                *place = value.to_le_bytes();
            }
        }
        for (import, address) in self.imports.iter().zip(imports) {
            if let Some(place) = place(image, import.slot) {
                *place = address.to_le_bytes();
            }
        }
        if let Some(place) = self.cookie.and_then(|at| place(image, at)) {
            // As the checks want it, the highest 16 bits are 0 and it is not the default.
            let mixed = (base ^ 0x0000_5DEE_CE66_D1A4).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16;
            let value = if mixed == DEFAULT_COOKIE {
                mixed + 1
            } else {
                mixed
            };
            *place = value.to_le_bytes();
        }
    }
}

fn place(image: &mut [u8], at: u32) -> Option<&mut [u8; 8]> {
    image.get_mut(at as usize..)?.first_chunk_mut()
}

fn relocations(layout: &Layout, image: &[u8]) -> Result<Vec<u32>, Problem> {
    let mut all = Vec::new();
    let Some((start, size)) = layout.directory(pe::IMAGE_DIRECTORY_ENTRY_BASERELOC) else {
        if layout.relocations_stripped {
            let what =
                "it has no relocations; link the driver with /dynamicbase and without /fixed";
            return Err(Problem::unsupported("FileHeader.Characteristics", what));
        }
        return Ok(all);
    };
    if layout.section_of(start, size).is_none() {
        let what = format!("{size:#x} bytes at {start:#x} lie in no section");
        return Err(Problem::malformed("BaseRelocationTable", what));
    }
    let (mut at, end) = (u64::from(start), u64::from(start) + u64::from(size));
    while at < end {
        let block: &pe::ImageBaseRelocation = read(image, at, "BaseRelocation")?;
        let page = block.virtual_address.get(LE);
        let length = u64::from(block.size_of_block.get(LE));
        if length < 8 || length % 2 != 0 || at + length > end {
            let what = format!("{length:#x} at {at:#x} does not fit the table");
            return Err(Problem::malformed("BaseRelocation.SizeOfBlock", what));
        }
        for index in 0..(length - 8) / 2 {
            let entry: &object::U16<LE> = read(image, at + 8 + 2 * index, "BaseRelocation")?;
            let entry = entry.get(LE);
            match pe::BaseRelocationType(entry >> 12) {
                pe::IMAGE_REL_BASED_ABSOLUTE => {}
                pe::IMAGE_REL_BASED_DIR64 => {
                    let target = page.saturating_add(u32::from(entry & 0xFFF));
                    if layout.section_of(target, 8).is_none() {
                        let what = format!("{target:#x} lies in no section");
                        return Err(Problem::malformed("BaseRelocation.VirtualAddress", what));
                    }
                    all.push(target);
                }
                other => {
                    let what = format!("{} at {at:#x} is none of an x64 image", other.0);
                    return Err(Problem::malformed("BaseRelocation.Type", what));
                }
            }
        }
        at += length;
    }
    Ok(all)
}

fn imports(layout: &Layout, image: &[u8]) -> Result<Vec<Import>, Problem> {
    let mut all = Vec::new();
    let mut slots = BTreeSet::new();
    let Some((start, _)) = layout.directory(pe::IMAGE_DIRECTORY_ENTRY_IMPORT) else {
        return Ok(all);
    };
    let mut at = u64::from(start);
    for _ in 0..MOST_LIBRARIES {
        let entry: &pe::ImageImportDescriptor = read(image, at, "ImportDescriptor")?;
        if entry.name.get(LE) == 0 && entry.first_thunk.get(LE) == 0 {
            return Ok(all);
        }
        let library = name(image, entry.name.get(LE), "ImportDescriptor.Name")?;
        let first = entry.first_thunk.get(LE);
        let names = match entry.original_first_thunk.get(LE) {
            0 => first,
            names => names,
        };
        let mut index = 0;
        loop {
            let thunk_at = u64::from(names) + 8 * u64::from(index);
            let thunk = read_u64(image, thunk_at, "ImportDescriptor.OriginalFirstThunk")?;
            if thunk == 0 {
                break;
            }
            let symbol = symbol(image, thunk)?;
            let slot = first.saturating_add(8 * index);
            if layout.section_of(slot, 8).is_none() {
                let what = format!("{slot:#x} for {library} lies in no section");
                return Err(Problem::malformed("ImportDescriptor.FirstThunk", what));
            }
            if !slots.insert(slot) {
                let what = format!("{slot:#x} for {library} is the place of another import");
                return Err(Problem::malformed("ImportDescriptor.FirstThunk", what));
            }
            if all.len() == MOST_IMPORTS {
                let what = format!("more than {MOST_IMPORTS} imports");
                return Err(Problem::malformed("ImportDescriptor", what));
            }
            let library = library.clone();
            all.push(Import {
                library,
                symbol,
                slot,
            });
            index += 1;
        }
        at += size_of::<pe::ImageImportDescriptor>() as u64;
    }
    let what = format!("more than {MOST_LIBRARIES} libraries");
    Err(Problem::malformed("ImportDescriptor", what))
}

fn symbol(image: &[u8], thunk: u64) -> Result<Symbol, Problem> {
    const FIELD: &str = "ImportByName";
    let low = u32::try_from(thunk & 0x7FFF_FFFF).unwrap_or(0);
    if thunk >> 63 == 0 {
        if thunk >> 31 != 0 {
            let what = format!("{thunk:#x} is neither a name nor an ordinal");
            return Err(Problem::malformed(FIELD, what));
        }
        // Two bytes before the name are a hint, which is of no use here.
        return name(image, low + 2, FIELD).map(Symbol::Name);
    }
    u16::try_from(thunk & !(1 << 63))
        .map(Symbol::Ordinal)
        .map_err(|_| {
            let what = format!("{thunk:#x} is no ordinal");
            Problem::malformed(FIELD, what)
        })
}

fn cookie(layout: &Layout, image: &[u8]) -> Result<Option<u32>, Problem> {
    const FIELD: &str = "LoadConfig.SecurityCookie";
    let Some((start, _)) = layout.directory(pe::IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG) else {
        return Ok(None);
    };
    // The directory's size means little, its first member is the size that counts.
    let size = read_u32(image, start.into(), "LoadConfig.Size")?;
    if size < COOKIE_AT + 8 {
        return Ok(None);
    }
    let address = read_u64(image, u64::from(start) + u64::from(COOKIE_AT), FIELD)?;
    if address == 0 {
        return Ok(None);
    }
    let rva = address.checked_sub(layout.preferred);
    let rva = rva.and_then(|rva| u32::try_from(rva).ok());
    let found = rva.and_then(|rva| layout.section_of(rva, 8));
    match (rva, found) {
        (Some(rva), Some(section)) if section.writable && rva % 8 == 0 => Ok(Some(rva)),
        _ => {
            let what = format!("{address:#x} is no place in a writable section");
            Err(Problem::malformed(FIELD, what))
        }
    }
}

fn functions(layout: &Layout, image: &[u8]) -> Result<Vec<Function>, Problem> {
    const FIELD: &str = "ExceptionTable";
    let mut all: Vec<Function> = Vec::new();
    let Some((start, size)) = layout.directory(pe::IMAGE_DIRECTORY_ENTRY_EXCEPTION) else {
        return Ok(all);
    };
    let one = 12;
    if layout.section_of(start, size).is_none() || size % one != 0 || start % 4 != 0 {
        let what = format!("{size:#x} bytes at {start:#x} are no function table in a section");
        return Err(Problem::malformed(FIELD, what));
    }
    for index in 0..size / one {
        let at = u64::from(start + one * index);
        let entry: &pe::ImageRuntimeFunctionEntry = read(image, at, FIELD)?;
        let function = Function {
            begin: entry.begin_address.get(LE),
            end: entry.end_address.get(LE),
            unwind: entry.unwind_info_address_or_data.get(LE),
        };
        let ordered = all.last().is_none_or(|last| last.end <= function.begin);
        let inside = function.begin < function.end
            && layout
                .section_of(function.begin, function.end - function.begin)
                .is_some()
            && layout.section_of(function.unwind & !1, 4).is_some();
        if !ordered || !inside {
            let what = format!(
                "entry {index}, {:#x} to {:#x} with {:#x}, is out of order or outside of its section",
                function.begin, function.end, function.unwind
            );
            return Err(Problem::malformed(FIELD, what));
        }
        all.push(function);
    }
    Ok(all)
}

fn exports(layout: &Layout, image: &[u8]) -> Result<BTreeMap<String, u32>, Problem> {
    let mut all = BTreeMap::new();
    let Some((start, size)) = layout.directory(pe::IMAGE_DIRECTORY_ENTRY_EXPORT) else {
        return Ok(all);
    };
    let table: &pe::ImageExportDirectory = read(image, start.into(), "ExportDirectory")?;
    let names = table.number_of_names.get(LE);
    let addresses = table.number_of_functions.get(LE);
    if names as usize > MOST_IMPORTS {
        let what = format!("{names} is more than any driver has");
        return Err(Problem::malformed("ExportDirectory.NumberOfNames", what));
    }
    for index in 0..u64::from(names) {
        let at = u64::from(table.address_of_names.get(LE)) + 4 * index;
        let at = read_u32(image, at, "ExportDirectory.AddressOfNames")?;
        let name = name(image, at, "ExportDirectory.AddressOfNames")?;
        let at = u64::from(table.address_of_name_ordinals.get(LE)) + 2 * index;
        let ordinal: &object::U16<LE> = read(image, at, "ExportDirectory.AddressOfNameOrdinals")?;
        let ordinal = u32::from(ordinal.get(LE));
        if ordinal >= addresses {
            let what = format!("{ordinal} for {name}, and there are {addresses} functions");
            return Err(Problem::malformed(
                "ExportDirectory.AddressOfNameOrdinals",
                what,
            ));
        }
        let at = u64::from(table.address_of_functions.get(LE)) + 4 * u64::from(ordinal);
        let rva = read_u32(image, at, "ExportDirectory.AddressOfFunctions")?;
        // An address in the directory itself is the name of another library's export.
        let forwarded = rva >= start && u64::from(rva) < u64::from(start) + u64::from(size);
        if !forwarded && layout.section_of(rva, 1).is_some() {
            all.insert(name, rva);
        }
    }
    Ok(all)
}
