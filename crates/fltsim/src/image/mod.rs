//! Driver images: a `.sys` file as a linker made it, loaded into this process.
//!
//! [`Image::load`] checks a file and maps it; [`Image::install`] makes it runnable. What it imports
//! is bound to the functions of this crate; an import that does not exist here is bound to a stub
//! that stops, and names it, when it is called. While a thread runs driver code, the processor
//! looks to it as it does in the kernel: `gs` points at a processor control region, `CR8` is the
//! IRQL, and the page that the kernel shares with everybody is where it should be. A fault that the
//! driver does not handle itself ends the process with a report: see [`Watch`].

mod context;
mod decode;
mod dispatch;
mod error;
mod layout;
mod mapping;
mod stop;
mod tables;
mod thread;
mod trap;
mod unwind;

pub use error::{Error, Problem};
pub use stop::Watch;

pub(crate) use context::{Context, NONCONTINUABLE, Record, capture};
pub(crate) use dispatch::{c_handler, dispatch, leave, raise, unwind_to};
pub(crate) use stop::bugcheck;
pub(crate) use thread::{
    current, current_process, current_thread, current_thread_id, enter, stack as current_stack,
    system_process,
};
pub(crate) use trap::with_context;
pub(crate) use unwind::virtual_unwind;

use crate::exports;
use crate::machine::{Driver, DriverEntry};
use fltmgr_sys::{NTSTATUS, PVOID};
use layout::{LARGEST, Layout, Section};
use mapping::{Access, Mapping};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicPtr, Ordering};
use tables::{Function, Import, Symbol, Tables};

/// `STATUS_DATATYPE_MISALIGNMENT`.
pub(crate) const DATATYPE_MISALIGNMENT: u32 = 0x8000_0002;
/// How many images a process can have.
const MOST_IMAGES: usize = 64;
/// How far apart the stubs of missing imports lie.
const STUB: usize = 24;

/// The images that were installed. An array and not a list: it is read in signal handlers.
static IMAGES: [AtomicPtr<Image>; MOST_IMAGES] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; MOST_IMAGES];

/// A driver image, mapped.
#[derive(Debug)]
pub struct Image {
    name: String,
    mapping: Mapping,
    stubs: Mapping,
    sections: Vec<Section>,
    entry: u32,
    functions: Vec<Function>,
    /// Where the function table is.
    table: u32,
    exports: BTreeMap<String, u32>,
    missing: Vec<String>,
    imports: Vec<Imported>,
    integrity: bool,
}

impl Image {
    /// Reads a file, checks it and maps it.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let unreadable = |error| Error::new(&name, Problem::Unreadable(error));
        let file = File::open(path).map_err(unreadable)?;
        let len = file.metadata().map_err(unreadable)?.len();
        if len > LARGEST {
            return Err(Error::new(&name, Problem::TooLarge(len)));
        }
        let mut bytes = Vec::new();
        // One byte more than allowed, so that a device without an end is found out.
        let mut limited = file.take(LARGEST + 1);
        limited.read_to_end(&mut bytes).map_err(unreadable)?;
        Self::from_bytes(&name, &bytes)
    }

    /// Checks an image and maps it. The name is for messages.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, Error> {
        Self::map(name, bytes).map_err(|problem| Error::new(name, problem))
    }

    fn map(name: &str, bytes: &[u8]) -> Result<Self, Problem> {
        let layout = Layout::parse(bytes)?;
        let mut image = layout.lay_out(bytes);
        let tables = Tables::parse(&layout, &image)?;
        let mut mapping = Mapping::new(image.len())?;
        let imports = tables.imports.iter().map(Imported::new).collect();
        let (addresses, missing): (Vec<_>, Vec<_>) = tables.imports.iter().map(bind).unzip();
        let missing: Vec<Option<String>> = missing;
        let mut stubs = Mapping::new(STUB * missing.iter().flatten().count().max(1))?;
        let addresses = with_stubs(addresses, &mut stubs)?;
        let base = mapping.address() as u64;
        tables.apply(&mut image, layout.preferred, base, &addresses);
        mapping.fill(&image);
        mapping.protect(0, layout.headers as usize, Access::READ)?;
        for section in &layout.sections {
            let access = Access {
                read: section.readable,
                write: section.writable,
                execute: section.executable,
            };
            mapping.protect(section.rva as usize, section.size as usize, access)?;
        }
        let table = layout.directory(object::pe::IMAGE_DIRECTORY_ENTRY_EXCEPTION);
        Ok(Self {
            name: name.rsplit('/').next().unwrap_or(name).to_owned(),
            mapping,
            stubs,
            entry: layout.entry,
            sections: layout.sections,
            functions: tables.functions,
            table: table.map_or(0, |(rva, _)| rva),
            exports: tables.exports,
            missing: missing.into_iter().flatten().collect(),
            imports,
            integrity: layout.integrity,
        })
    }

    /// The name of the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes it has in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        self.mapping.size()
    }

    /// What it imports and does not exist here; calling one of them stops the driver.
    #[must_use]
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// Everything that it imports.
    #[must_use]
    pub fn imports(&self) -> &[Imported] {
        &self.imports
    }

    /// Makes the image runnable. It stays mapped until the process ends: whoever was told an
    /// address in it may keep it.
    ///
    /// # Errors
    /// There are too many images in this process.
    pub fn install(self) -> Result<&'static Installed, Error> {
        trap::install();
        let name = self.name.clone();
        let image: *mut Self = Box::into_raw(Box::new(self));
        for place in &IMAGES {
            let (none, order) = (std::ptr::null_mut(), Ordering::AcqRel);
            let taken = place.compare_exchange(none, image, order, Ordering::Acquire);
            if taken.is_ok() {
                thread::activate();
                // SAFETY: the image was just allocated and is never freed.
                let image: &'static Self = unsafe { &*image };
                return Ok(Box::leak(Box::new(Installed { image })));
            }
        }
        // SAFETY: nobody else has seen the pointer, which came from a box just now.
        drop(unsafe { Box::from_raw(image) });
        Err(Error::new(&name, Problem::TooMany(MOST_IMAGES)))
    }

    /// Whether the image asks for a check of its signature, which some functions of the kernel want.
    pub(crate) fn has_integrity(&self) -> bool {
        self.integrity
    }

    pub(crate) fn base(&self) -> usize {
        self.mapping.address()
    }

    /// The offset of an address in the image.
    pub(crate) fn offset(&self, address: usize) -> Option<u32> {
        let inside = self.mapping.contains(address);
        inside.then(|| u32::try_from(address - self.base()).ok())?
    }

    /// The section that an offset lies in.
    fn section(&self, offset: u32, bytes: u32) -> Option<&Section> {
        self.sections
            .iter()
            .find(|section| section.holds(offset, bytes))
    }

    /// Whether there is code at an offset.
    pub(crate) fn is_code(&self, offset: u32) -> bool {
        self.section(offset, 1)
            .is_some_and(|section| section.executable)
    }

    /// Reads a value of the image; `None` if it lies outside, or must not be read.
    pub(crate) fn read<T: object::pod::Pod>(&self, offset: u32) -> Option<T> {
        let bytes = u32::try_from(size_of::<T>()).ok()?;
        self.section(offset, bytes)
            .filter(|section| section.readable)?;
        let address = self.base() + offset as usize;
        // SAFETY: the bytes lie in one readable section of a mapped image, and a `Pod` is valid
        // whatever they are.
        Some(unsafe { std::ptr::read_unaligned(address as *const T) })
    }

    /// The entry of the function table for an offset, and where that entry is; `None` for a leaf
    /// function.
    pub(crate) fn function(&self, offset: u32) -> Option<(Function, usize)> {
        let after = self.functions.partition_point(|one| one.begin <= offset);
        let index = after.checked_sub(1)?;
        let function = self.functions.get(index).filter(|one| offset < one.end)?;
        Some((*function, self.base() + self.table as usize + 12 * index))
    }

    /// The missing import that the stub at an address stands for.
    pub(crate) fn missing_at(&self, address: usize) -> Option<&str> {
        let inside = self.stubs.contains(address);
        let index = inside.then(|| (address - self.stubs.address()) / STUB)?;
        self.missing.get(index).map(String::as_str)
    }
}

/// An image that can run, forever.
#[derive(Debug)]
pub struct Installed {
    image: &'static Image,
}

impl Installed {
    /// The name of the file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        &self.image.name
    }

    /// What it imports and does not exist here.
    #[must_use]
    pub fn missing(&self) -> &'static [String] {
        &self.image.missing
    }

    /// Where it begins, and how long it is.
    #[must_use]
    pub fn range(&self) -> (usize, usize) {
        (self.image.base(), self.image.mapping.size())
    }

    /// The entry point.
    #[must_use]
    pub fn entry(&self) -> DriverEntry {
        let address = self.image.base() + self.image.entry as usize;
        // SAFETY: the entry point of a native image lies in its code, as was checked, and is a
        // function of this type by the contract of drivers; the image is never unmapped.
        unsafe { std::mem::transmute::<usize, DriverEntry>(address) }
    }

    /// Enters a driver that was installed with this image.
    ///
    /// # Errors
    /// The status that its entry point failed with.
    pub fn start(&self, driver: &Driver) -> Result<(), NTSTATUS> {
        let object = driver.driver_object();
        // SAFETY: the driver object lives as long as the driver's machine; the driver, which it
        // belongs to, has not been entered.
        unsafe { (*object).DriverStart = self.image.base() as PVOID };
        // SAFETY: as above.
        unsafe { (*object).DriverSize = u32::try_from(self.image.size()).unwrap_or(u32::MAX) };
        driver.start(self.entry())
    }

    /// The address of what it exports under a name.
    #[must_use]
    pub fn export(&self, name: &str) -> Option<usize> {
        let offset = self.image.exports.get(name)?;
        Some(self.image.base() + *offset as usize)
    }
}

/// The installed image that an address lies in.
pub(crate) fn find(address: usize) -> Option<&'static Image> {
    images().find(|image| image.mapping.contains(address))
}

/// The base of the image, and the entry of its function table, for an address in driver code.
pub(crate) fn find_function(address: u64) -> Option<(u64, u64)> {
    let address = usize::try_from(address).ok()?;
    let image = find(address)?;
    let (_, entry) = image.function(image.offset(address)?)?;
    Some((image.base() as u64, entry as u64))
}

/// The missing import that the stub at an address stands for.
fn find_missing(address: usize) -> Option<&'static str> {
    images().find_map(|image| image.missing_at(address))
}

fn images() -> impl Iterator<Item = &'static Image> {
    IMAGES.iter().map_while(|place| {
        let image = place.load(Ordering::Acquire);
        // SAFETY: what is not null was installed, and then it is never freed or changed.
        unsafe { image.as_ref() }
    })
}

/// One import of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// The library, as the image names it.
    pub library: String,
    /// The name, or `#` and the ordinal.
    pub name: String,
    /// Whether it is here.
    pub implemented: bool,
}

impl Imported {
    fn new(import: &Import) -> Self {
        Self {
            library: import.library.clone(),
            name: match &import.symbol {
                Symbol::Name(name) => name.clone(),
                Symbol::Ordinal(ordinal) => format!("#{ordinal}"),
            },
            implemented: resolve(import).is_some(),
        }
    }
}

/// The address of an import, and its name if there is none.
fn bind(import: &Import) -> (Option<u64>, Option<String>) {
    match resolve(import) {
        Some(address) => (Some(address as u64), None),
        None => (None, Some(import.name())),
    }
}

/// Finds an import in the library that really has it: the Filter Manager's functions, and only
/// those, are in its image.
fn resolve(import: &Import) -> Option<usize> {
    let Symbol::Name(name) = &import.symbol else {
        return None;
    };
    let from_manager = import.library.eq_ignore_ascii_case("FLTMGR.SYS");
    let from_kernel = ["ntoskrnl.exe", "hal.dll"]
        .iter()
        .any(|library| import.library.eq_ignore_ascii_case(library));
    let is_manager = name.starts_with("Flt");
    let known = (from_manager && is_manager) || (from_kernel && !is_manager);
    known.then(|| exports::resolve(name).or_else(|| exports::resolve_data(name)))?
}

/// Gives every import without an address a stub of its own.
fn with_stubs(addresses: Vec<Option<u64>>, stubs: &mut Mapping) -> Result<Vec<u64>, Problem> {
    let mut code = Vec::new();
    let target = trap::missing as *const () as u64;
    let mut bound = Vec::new();
    for address in addresses {
        bound.push(address.unwrap_or_else(|| {
            let stub = (stubs.address() + code.len()) as u64;
            // mov r10, <this stub>; mov r11, <target>; jmp r11
            code.extend_from_slice(&[0x49, 0xBA]);
            code.extend_from_slice(&stub.to_le_bytes());
            code.extend_from_slice(&[0x49, 0xBB]);
            code.extend_from_slice(&target.to_le_bytes());
            code.extend_from_slice(&[0x41, 0xFF, 0xE3]);
            code.resize(code.len().next_multiple_of(STUB), 0xCC);
            stub
        }));
    }
    stubs.fill(&code);
    stubs.protect(0, stubs.size(), Access::CODE)?;
    Ok(bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Machine;
    use crate::kernel::irql;
    use std::cell::Cell;
    use std::rc::Rc;

    /// What waits for a lower level runs when the driver writes `CR8`, and the driver does not
    /// notice.
    #[test]
    fn lowering_through_cr8_runs_what_was_waiting() {
        let bytes = include_bytes!("../../tests/images/probe.sys");
        let image = Image::from_bytes("probe.sys", bytes).unwrap();
        let address = image.install().unwrap().export("irql").unwrap();
        // SAFETY: the probe's function has this type.
        let levels =
            unsafe { std::mem::transmute::<usize, unsafe extern "win64" fn() -> u64>(address) };
        let runs = Rc::new(Cell::new(0_u64));
        Machine::default().at_irql(0, || {
            let inside = Rc::clone(&runs);
            irql::when_lowered(move || {
                // Something that uses every sort of register.
                let text = format!("{:.3}", f64::from(irql::current()) + 1.5);
                inside.set(inside.get() + u64::from(text == "1.500"));
            });
            // SAFETY: as above.
            assert_eq!(unsafe { levels() }, 0x200);
            assert_eq!(runs.get(), 1);
            // SAFETY: as above.
            assert_eq!(unsafe { levels() }, 0x200);
        });
        assert_eq!(runs.get(), 1);
    }
}
