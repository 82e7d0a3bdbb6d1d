//! Memory descriptor lists: which pages an operation uses, locked and mapped.
//!
//! A driver may make the structure in memory of its own (`MmInitializeMdl` is a macro), and reads
//! its flags and its mapping in macros too, so the truth about a list is in its own flags. What is
//! remembered here is who allocated, locked or mapped it, for the reports. There is one address
//! space: a mapping is the memory itself.

use super::irql;
use super::memory::{self, Access, PAGE};
use super::pool::{Block, FREED, Quarantine};
use crate::machine::Inner;
use crate::verifier::{Leak, Rule, Severity};
use fltmgr_sys::*;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ptr::null_mut;

pub(crate) const MAPPED_TO_SYSTEM_VA: u16 = 0x0001;
pub(crate) const PAGES_LOCKED: u16 = 0x0002;
pub(crate) const SOURCE_IS_NONPAGED_POOL: u16 = 0x0004;
pub(crate) const ALLOCATED_FIXED_SIZE: u16 = 0x0008;
pub(crate) const PARTIAL: u16 = 0x0010;
pub(crate) const PARTIAL_HAS_BEEN_MAPPED: u16 = 0x0020;
pub(crate) const WRITE_OPERATION: u16 = 0x0080;
pub(crate) const PARENT_MAPPED_SYSTEM_VA: u16 = 0x0200;

/// `USER_MODE`.
const USER_MODE: KPROCESSOR_MODE = 1;
/// The first address that is not a user's.
pub(crate) const USER_PROBE_ADDRESS: usize = 0x0000_7FFF_FFFF_0000;
/// Lists of at most so many pages come from a lookaside list of the kernel.
const FIXED_SIZE_PAGES: usize = 23;
/// The longest buffer that `IoAllocateMdl` describes.
const LONGEST: usize = (1 << 32) - PAGE;
/// The tag of lists that are a driver's pool memory.
const TAG: ULONG = u32::from_le_bytes(*b"Mdl ");
/// `TARGET_MDL_TOO_SMALL`.
const TARGET_MDL_TOO_SMALL: u32 = 0x40;

/// What is known about one list.
#[derive(Default)]
struct Record {
    /// The structure, if it was allocated here.
    block: Option<Block>,
    /// The pages themselves, if they were allocated with it.
    pages: Option<Block>,
    allocated: Option<&'static str>,
    locked: Option<&'static str>,
    mapped: Option<&'static str>,
    freed: bool,
}

/// The lists of a machine.
#[derive(Default)]
pub(crate) struct Mdls {
    records: Mutex<BTreeMap<usize, Record>>,
    quarantine: Mutex<Quarantine>,
}

/// How many pages a buffer touches.
fn pages(address: usize, length: usize) -> usize {
    let offset = address % PAGE;
    length.saturating_add(offset).div_ceil(PAGE)
}

/// How long the structure for a buffer is.
pub(crate) fn size(address: usize, length: usize) -> usize {
    let numbers = pages(address, length).saturating_mul(size_of::<u64>());
    numbers.saturating_add(size_of::<MDL>())
}

/// The structure for a buffer, as `MmInitializeMdl` makes it.
fn fresh(address: usize, length: usize, flags: u16) -> MDL {
    MDL {
        Next: null_mut(),
        Size: i16::try_from(size(address, length)).unwrap_or(i16::MAX),
        MdlFlags: flags.cast_signed(),
        Process: null_mut(),
        MappedSystemVa: null_mut(),
        StartVa: (address & !(PAGE - 1)) as PVOID,
        ByteCount: ULONG::try_from(length).unwrap_or(ULONG::MAX),
        ByteOffset: ULONG::try_from(address % PAGE).unwrap_or(0),
    }
}

/// A list that may be read and written, and a copy of it.
struct Open {
    address: usize,
    value: MDL,
}

impl Open {
    fn flags(&self) -> u16 {
        self.value.MdlFlags.cast_unsigned()
    }

    fn has(&self, flags: u16) -> bool {
        self.flags() & flags != 0
    }

    fn change(&mut self, clear: u16, set: u16) {
        self.value.MdlFlags = ((self.flags() & !clear) | set).cast_signed();
    }

    /// Where the described pages are: those that were allocated with the list, or the buffer.
    fn memory(&self, machine: &Inner) -> usize {
        let own = machine.mdls.record(self.address, |record| {
            let pages = record.pages.as_ref();
            pages.map(|block| block.address().next_multiple_of(PAGE))
        });
        own.flatten().unwrap_or(self.buffer())
    }

    /// Where the described buffer begins.
    fn buffer(&self) -> usize {
        (self.value.StartVa as usize).wrapping_add(self.value.ByteOffset as usize)
    }

    fn length(&self) -> usize {
        self.value.ByteCount as usize
    }

    fn store(&self) {
        // SAFETY: the memory was found to be writable when this value was made, and is the
        // structure of the driver that called.
        unsafe { (self.address as *mut MDL).write(self.value) };
    }

    /// Writes the page frame numbers behind the structure: page for page the number of the address.
    fn fill_numbers(&self, machine: &Inner, call: &'static str, first: usize) {
        let count = pages(self.buffer(), self.length());
        let numbers = self.address.wrapping_add(size_of::<MDL>());
        let bytes = count.saturating_mul(size_of::<u64>());
        if !memory::is_accessible(numbers, bytes, Access::Write) {
            let text = format!(
                "the MDL at {:#x} has no room for {count} pages",
                self.address
            );
            machine.verifier.violation(Rule::V0, call, text);
            return;
        }
        for index in 0..count {
            let place = (numbers as *mut u64).wrapping_add(index);
            // SAFETY: `index` is below the count of the numbers that can be written.
            unsafe { place.write((first / PAGE + index) as u64) };
        }
    }
}

impl Mdls {
    /// The list at an address, if there can be one.
    fn open(&self, machine: &Inner, call: &'static str, address: usize) -> Option<Open> {
        let freed = self
            .records
            .lock()
            .get(&address)
            .is_some_and(|record| record.freed);
        let there = address.is_multiple_of(align_of::<MDL>())
            && memory::is_accessible(address, size_of::<MDL>(), Access::Write);
        if freed || !there {
            let what = if freed {
                "was freed before"
            } else {
                "is not an MDL"
            };
            let text = format!("MemoryDescriptorList is {address:#x}, which {what}");
            machine.verifier.violation(Rule::V0, call, text);
            return None;
        }
        // SAFETY: the memory was just found to be readable, and an MDL is integers and pointers.
        let value = unsafe { (address as *const MDL).read() };
        Some(Open { address, value })
    }

    fn note(&self, address: usize, change: impl FnOnce(&mut Record)) {
        let mut records = self.records.lock();
        let record = records.entry(address).or_default();
        change(record);
        let nothing = record.block.is_none()
            && record.pages.is_none()
            && record.locked.is_none()
            && record.mapped.is_none();
        if nothing {
            records.remove(&address);
        }
    }

    fn record<T>(&self, address: usize, read: impl FnOnce(&Record) -> T) -> Option<T> {
        self.records.lock().get(&address).map(read)
    }
}

fn misuse(machine: &Inner, call: &'static str, list: &Open, what: &str) {
    let text = format!("the MDL at {:#x} {what}", list.address);
    machine.verifier.violation(Rule::V20, call, text);
}

/// Allocates a list for a buffer (`IoAllocateMdl` without an IRP); null if it is too long.
pub(crate) fn allocate(
    machine: &Inner,
    call: &'static str,
    address: usize,
    length: usize,
) -> *mut MDL {
    if length > LONGEST {
        return null_mut();
    }
    let fixed = pages(address, length) <= FIXED_SIZE_PAGES;
    let bytes = if fixed {
        size(0, FIXED_SIZE_PAGES * PAGE)
    } else {
        size(address, length)
    };
    let Some(block) = Block::new(bytes) else {
        return null_mut();
    };
    block.fill(super::pool::FRESH);
    let flags = if fixed { ALLOCATED_FIXED_SIZE } else { 0 };
    let list = Open {
        address: block.address(),
        value: fresh(address, length, flags),
    };
    list.store();
    let record = Record {
        block: Some(block),
        allocated: Some(call),
        ..Record::default()
    };
    machine.mdls.records.lock().insert(list.address, record);
    list.address as *mut MDL
}

/// Allocates pages and a list for them, locked and not mapped (`MmAllocatePagesForMdl`). The list
/// is pool memory of the driver's.
pub(crate) fn allocate_pages(machine: &Inner, call: &'static str, length: usize) -> *mut MDL {
    let Some(length) = length.checked_next_multiple_of(PAGE) else {
        return null_mut();
    };
    if length == 0 || length > LONGEST {
        return null_mut();
    }
    let Some(memory) = Block::new(length + PAGE) else {
        return null_mut();
    };
    let bytes = size(0, length) as SIZE_T;
    let list = machine
        .pool
        .allocate(machine, call, NonPagedPoolNx, bytes, TAG, false);
    if list == 0 {
        return null_mut();
    }
    memory.fill(0);
    let open = Open {
        address: list,
        value: fresh(0, length, PAGES_LOCKED),
    };
    open.store();
    open.fill_numbers(machine, call, memory.address().next_multiple_of(PAGE));
    machine.mdls.note(list, |record| {
        record.pages = Some(memory);
        record.locked = Some(call);
    });
    list as *mut MDL
}

/// Frees the pages of [`allocate_pages`], and leaves the list.
pub(crate) fn free_pages(machine: &Inner, call: &'static str, list: *mut MDL) {
    let Some(mut open) = machine.mdls.open(machine, call, list as usize) else {
        return;
    };
    let own = machine
        .mdls
        .record(open.address, |record| record.pages.is_some());
    if own != Some(true) {
        misuse(
            machine,
            call,
            &open,
            "does not describe pages of MmAllocatePagesForMdl",
        );
        return;
    }
    if open.has(MAPPED_TO_SYSTEM_VA) {
        misuse(machine, call, &open, "is still mapped");
    }
    open.change(PAGES_LOCKED | MAPPED_TO_SYSTEM_VA, 0);
    open.store();
    machine.mdls.note(open.address, |record| {
        record.pages = None;
        record.locked = None;
        record.mapped = None;
    });
}

/// Frees a list (`IoFreeMdl`).
pub(crate) fn free(machine: &Inner, call: &'static str, list: *mut MDL) {
    let Some(mut open) = machine.mdls.open(machine, call, list as usize) else {
        return;
    };
    let known = machine
        .mdls
        .record(open.address, |record| record.block.is_some());
    if known != Some(true) {
        let text = format!("{:#x} is not an MDL that was allocated", open.address);
        machine.verifier.violation(Rule::V0, call, text);
        return;
    }
    if open.has(PAGES_LOCKED) {
        misuse(machine, call, &open, "was freed while its pages are locked");
    }
    if open.has(MAPPED_TO_SYSTEM_VA) && !open.has(PARTIAL_HAS_BEEN_MAPPED | PAGES_LOCKED) {
        misuse(machine, call, &open, "was freed while it is mapped");
    }
    open.change(u16::MAX, 0);
    release(machine, open.address);
}

/// Unlocks and frees a list without a word, as the completion of an operation does with the list of
/// the operation.
pub(crate) fn discard(machine: &Inner, list: *mut MDL) {
    release(machine, list as usize);
}

/// Frees a list that belongs to an operation, at its end or that of a layer's part in it. Whether it
/// is locked makes no difference; that it is freed already does.
pub(crate) fn complete(machine: &Inner, call: &'static str, list: *mut MDL) {
    let Some(mut open) = machine.mdls.open(machine, call, list as usize) else {
        return;
    };
    let known = machine
        .mdls
        .record(open.address, |record| record.block.is_some());
    if known != Some(true) {
        let text = format!("{:#x} is not an MDL that was allocated", open.address);
        machine.verifier.violation(Rule::V0, call, text);
        return;
    }
    open.change(u16::MAX, 0);
    release(machine, open.address);
}

/// Where the memory is that a list describes, for the file system, which needs `length` bytes.
pub(crate) fn memory_of(
    machine: &Inner,
    call: &'static str,
    list: *mut MDL,
    length: usize,
) -> Option<usize> {
    let open = machine.mdls.open(machine, call, list as usize)?;
    if !open.has(PAGES_LOCKED | PARTIAL | SOURCE_IS_NONPAGED_POOL) {
        misuse(machine, call, &open, "is used for I/O and not locked");
        return None;
    }
    if length > open.length() {
        let text = format!(
            "the MDL at {:#x} describes {} bytes and the operation is for {length}",
            open.address,
            open.length()
        );
        machine.verifier.violation(Rule::V0, call, text);
        return None;
    }
    Some(open.memory(machine))
}

fn release(machine: &Inner, address: usize) {
    let mut records = machine.mdls.records.lock();
    let Some(record) = records.get_mut(&address) else {
        return;
    };
    let block = record.block.take();
    *record = Record {
        freed: true,
        ..Record::default()
    };
    drop(records);
    if let Some(block) = block {
        block.fill(FREED);
        retire(machine, address, block);
    }
}

/// Keeps the memory of a list back for a while.
fn retire(machine: &Inner, address: usize, block: Block) {
    let expelled = |name: usize| {
        machine.mdls.records.lock().remove(&name);
    };
    let mut quarantine = machine.mdls.quarantine.lock();
    quarantine.push(address, block, expelled);
}

/// Describes nonpaged pool (`MmBuildMdlForNonPagedPool`).
pub(crate) fn build_for_nonpaged_pool(machine: &Inner, call: &'static str, list: *mut MDL) {
    let Some(mut open) = machine.mdls.open(machine, call, list as usize) else {
        return;
    };
    if open.has(PAGES_LOCKED | MAPPED_TO_SYSTEM_VA | PARTIAL) {
        misuse(machine, call, &open, "is in use already");
        return;
    }
    let (address, length) = (open.buffer(), open.length());
    if let Some((pool, left)) = machine.pool.around(address) {
        let wrong = if pool == PagedPool {
            Some("in paged pool")
        } else if length > left {
            Some("longer than the allocation that it is in")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            let text = format!("the buffer at {address:#x} is {wrong}");
            machine.verifier.violation(Rule::V0, call, text);
        }
    }
    open.value.Process = null_mut();
    open.value.MappedSystemVa = address as PVOID;
    open.change(0, SOURCE_IS_NONPAGED_POOL);
    open.store();
    open.fill_numbers(machine, call, open.value.StartVa as usize);
}

/// Locks the pages of a list (`MmProbeAndLockPages`), or says what must be raised.
pub(crate) fn lock(
    machine: &Inner,
    call: &'static str,
    list: *mut MDL,
    mode: KPROCESSOR_MODE,
    access: Access,
) -> Result<(), NTSTATUS> {
    let Some(mut open) = machine.mdls.open(machine, call, list as usize) else {
        return Err(STATUS_ACCESS_VIOLATION);
    };
    if open.has(PAGES_LOCKED | PARTIAL | SOURCE_IS_NONPAGED_POOL) {
        let what = "is locked already, or describes nonpaged pool or a part of another one";
        misuse(machine, call, &open, what);
        return Ok(());
    }
    let (address, length) = (open.buffer(), open.length());
    let end = address.checked_add(length);
    let is_users = end.is_some_and(|end| end <= USER_PROBE_ADDRESS);
    if mode == USER_MODE && !is_users {
        return Err(STATUS_ACCESS_VIOLATION);
    }
    if !memory::is_accessible(address, length.max(1), access) {
        return Err(STATUS_ACCESS_VIOLATION);
    }
    let pool = machine.pool.around(address);
    if irql::current() >= DISPATCH_LEVEL && pool.is_some_and(|(pool, _)| pool == PagedPool) {
        let text = "paged pool cannot be locked at DISPATCH_LEVEL";
        machine.verifier.violation(Rule::V6, call, text);
    }
    open.change(
        MAPPED_TO_SYSTEM_VA | WRITE_OPERATION,
        PAGES_LOCKED
            | match access {
                Access::Read => 0,
                Access::Write => WRITE_OPERATION,
            },
    );
    open.value.MappedSystemVa = null_mut();
    open.store();
    open.fill_numbers(machine, call, open.value.StartVa as usize);
    machine
        .mdls
        .note(open.address, |record| record.locked = Some(call));
    Ok(())
}

/// Unlocks the pages of a list, and unmaps it if need be (`MmUnlockPages`).
pub(crate) fn unlock(machine: &Inner, call: &'static str, list: *mut MDL) {
    let Some(mut open) = machine.mdls.open(machine, call, list as usize) else {
        return;
    };
    if !open.has(PAGES_LOCKED) {
        misuse(machine, call, &open, "is not locked");
        return;
    }
    let own = machine
        .mdls
        .record(open.address, |record| record.pages.is_some());
    if own == Some(true) {
        misuse(
            machine,
            call,
            &open,
            "describes pages that MmFreePagesFromMdl frees",
        );
        return;
    }
    open.change(
        PAGES_LOCKED | MAPPED_TO_SYSTEM_VA | WRITE_OPERATION | PARTIAL_HAS_BEEN_MAPPED,
        0,
    );
    open.value.MappedSystemVa = null_mut();
    open.store();
    machine.mdls.note(open.address, |record| {
        record.locked = None;
        record.mapped = None;
    });
}

/// Maps the pages of a list and gives their address (`MmMapLockedPages` and its kind). Mappings for
/// users are not the list's own.
pub(crate) fn map(
    machine: &Inner,
    call: &'static str,
    list: *mut MDL,
    mode: KPROCESSOR_MODE,
) -> PVOID {
    let Some(mut open) = machine.mdls.open(machine, call, list as usize) else {
        return null_mut();
    };
    if !open.has(PAGES_LOCKED | PARTIAL | SOURCE_IS_NONPAGED_POOL) {
        misuse(machine, call, &open, "is mapped and not locked");
        return null_mut();
    }
    let address = open.memory(machine);
    if mode == USER_MODE {
        return address as PVOID;
    }
    if open.has(MAPPED_TO_SYSTEM_VA | SOURCE_IS_NONPAGED_POOL) {
        misuse(machine, call, &open, "is mapped already");
        return open.value.MappedSystemVa;
    }
    let partial = if open.has(PARTIAL) {
        PARTIAL_HAS_BEEN_MAPPED
    } else {
        0
    };
    open.change(0, MAPPED_TO_SYSTEM_VA | partial);
    open.value.MappedSystemVa = address as PVOID;
    open.store();
    machine
        .mdls
        .note(open.address, |record| record.mapped = Some(call));
    address as PVOID
}

/// Takes a mapping away (`MmUnmapLockedPages`).
pub(crate) fn unmap(machine: &Inner, call: &'static str, base: PVOID, list: *mut MDL) {
    let Some(mut open) = machine.mdls.open(machine, call, list as usize) else {
        return;
    };
    if !open.has(MAPPED_TO_SYSTEM_VA) {
        let user = (base as usize) < USER_PROBE_ADDRESS && base as usize == open.buffer();
        if !user || !open.has(PAGES_LOCKED | PARTIAL) {
            misuse(machine, call, &open, "is not mapped");
        } else if irql::current() >= DISPATCH_LEVEL {
            let text = format!("the mapping at {base:p} is a user's: not at DISPATCH_LEVEL");
            machine.verifier.violation(Rule::V6, call, text);
        }
        return;
    }
    if open.value.MappedSystemVa != base {
        let text = format!("{base:p} is not where the MDL at {list:p} is mapped");
        machine.verifier.violation(Rule::V0, call, text);
        return;
    }
    open.change(MAPPED_TO_SYSTEM_VA | PARTIAL_HAS_BEEN_MAPPED, 0);
    open.value.MappedSystemVa = null_mut();
    open.store();
    machine
        .mdls
        .note(open.address, |record| record.mapped = None);
}

/// Makes one list describe a part of what another one does (`IoBuildPartialMdl`).
pub(crate) fn build_partial(
    machine: &Inner,
    call: &'static str,
    source: *mut MDL,
    target: *mut MDL,
    address: usize,
    length: usize,
) {
    let source = machine.mdls.open(machine, call, source as usize);
    let target = machine.mdls.open(machine, call, target as usize);
    let (Some(source), Some(mut target)) = (source, target) else {
        return;
    };
    let start = source.buffer();
    let offset = address.wrapping_sub(start);
    let rest = source.length().checked_sub(offset);
    let Some(length) = rest.and_then(|rest| match length {
        0 => Some(rest),
        length => (length <= rest).then_some(length),
    }) else {
        let text = format!("{length} bytes at {address:#x} are not within the source MDL");
        machine.verifier.violation(Rule::V0, call, text);
        return;
    };
    let room = usize::try_from(target.value.Size).unwrap_or(0);
    let fixed = if target.has(ALLOCATED_FIXED_SIZE) {
        size(0, FIXED_SIZE_PAGES * PAGE)
    } else {
        0
    };
    if size(address, length) > room.max(fixed) {
        let severity = Severity::Bugcheck {
            code: TARGET_MDL_TOO_SMALL,
            parameters: [0; 4],
        };
        let text = format!("the target MDL has no room for {length} bytes");
        machine.verifier.report(Rule::V0, severity, call, text);
        return;
    }
    if target.has(PAGES_LOCKED) {
        misuse(
            machine,
            call,
            &target,
            "is locked and becomes a part of another one",
        );
        return;
    }
    let mut value = fresh(address, length, target.flags() & ALLOCATED_FIXED_SIZE);
    value.Next = target.value.Next;
    value.Size = target.value.Size;
    value.Process = source.value.Process;
    value.MappedSystemVa = if source.value.MappedSystemVa.is_null() {
        null_mut()
    } else {
        source.value.MappedSystemVa.wrapping_byte_add(offset)
    };
    target.value = value;
    if source.has(SOURCE_IS_NONPAGED_POOL) {
        target.change(0, SOURCE_IS_NONPAGED_POOL);
    } else {
        let mapped = if source.has(MAPPED_TO_SYSTEM_VA) {
            PARENT_MAPPED_SYSTEM_VA
        } else {
            0
        };
        target.change(0, PARTIAL | mapped);
    }
    target.store();
    target.fill_numbers(machine, call, target.value.StartVa as usize);
}

/// Says which lists are left, once no driver is.
pub(crate) fn report(machine: &Inner, call: &'static str) {
    let mut records = machine.mdls.records.lock();
    let left = std::mem::take(&mut *records);
    drop(records);
    for (address, record) in left {
        if record.freed {
            machine.mdls.records.lock().insert(address, record);
            continue;
        }
        let states = [
            ("MDL", record.allocated),
            ("locked pages", record.locked),
            ("mapping of locked pages", record.mapped),
        ];
        for (object, taken) in states {
            let Some(by) = taken else { continue };
            let leak = Leak {
                object,
                kind: None,
                pool: None,
                size: 0,
                count: 1,
                address,
                acquired: vec![(by, 1)],
                note: String::new(),
            };
            machine.verifier.leak(Rule::V20, call, leak);
        }
        // Whoever still has the list may use it: its memory stays as long as the machine.
        if let Some(block) = record.block {
            retire(machine, address, block);
        }
    }
}
