//! Memory of the one process that drivers reserve, commit and free page by page.

use super::memory::PAGE;
use fltmgr_sys::ULONG;
use parking_lot::Mutex;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use std::collections::BTreeMap;
use std::ptr::null_mut;

/// Where a region may begin.
const GRANULARITY: usize = 0x1_0000;

/// Pages that are reserved; those that are not committed cannot be touched.
pub(crate) struct Region {
    start: usize,
    size: usize,
}

/// The regions of a machine, by where they begin.
#[derive(Default)]
pub(crate) struct Regions(Mutex<BTreeMap<usize, Region>>);

/// What can be done with pages of a protection (`PAGE_*`); nothing if it is none.
pub(crate) fn protection(value: ULONG) -> Option<MprotectFlags> {
    let (read, write) = (MprotectFlags::READ, MprotectFlags::WRITE);
    Some(match value {
        0x01 => MprotectFlags::empty(),
        0x02 => read,
        0x04 => read | write,
        0x10 => MprotectFlags::EXEC,
        0x20 => read | MprotectFlags::EXEC,
        0x40 => read | write | MprotectFlags::EXEC,
        _ => return None,
    })
}

/// The pages that a range of bytes touches.
pub(crate) fn pages(address: usize, size: usize) -> Option<(usize, usize)> {
    let start = address & !(PAGE - 1);
    let end = address.checked_add(size)?.checked_next_multiple_of(PAGE)?;
    Some((start, end - start))
}

impl Region {
    /// Reserves pages anywhere, or at an address if nothing is there.
    fn reserve(address: usize, size: usize) -> Option<Self> {
        if address != 0 {
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE;
            // SAFETY: nothing is mapped over by these flags.
            let mapped =
                unsafe { mmap_anonymous(address as *mut _, size, ProtFlags::empty(), flags) };
            let start = mapped.ok()? as usize;
            let region = Self { start, size };
            // An old host takes the address for a hint.
            return (start == address).then_some(region);
        }
        let all = size.checked_add(GRANULARITY)?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping, which changes nothing that is there.
        let mapped = unsafe { mmap_anonymous(null_mut(), all, ProtFlags::empty(), flags) };
        let mapped = mapped.ok()? as usize;
        let start = mapped.next_multiple_of(GRANULARITY);
        let behind = Self {
            start: start + size,
            size: mapped + all - (start + size),
        };
        let before = Self {
            start: mapped,
            size: start - mapped,
        };
        drop((before, behind));
        Some(Self { start, size })
    }

    fn contains(&self, start: usize, size: usize) -> bool {
        let end = start.checked_add(size);
        start >= self.start && end.is_some_and(|end| end <= self.start + self.size)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.size > 0 {
            // SAFETY: the pages are this region's, and whoever frees it does not use them again.
            let unmapped = unsafe { munmap(self.start as *mut _, self.size) };
            debug_assert!(unmapped.is_ok(), "{unmapped:?}");
        }
    }
}

impl Regions {
    /// Reserves pages: where they begin.
    pub(crate) fn reserve(&self, address: usize, size: usize) -> Option<(usize, usize)> {
        let start = address & !(GRANULARITY - 1);
        let size = size
            .checked_add(address - start)?
            .checked_next_multiple_of(PAGE)?;
        let region = Region::reserve(start, size)?;
        let start = region.start;
        self.0.lock().insert(start, region);
        Some((start, size))
    }

    /// Whether all pages of a range are reserved together.
    pub(crate) fn contains(&self, start: usize, size: usize) -> bool {
        let regions = self.0.lock();
        regions.values().any(|region| region.contains(start, size))
    }

    /// Commits pages that are reserved, or changes what can be done with them; `false` if the host
    /// does not let them.
    pub(crate) fn commit(start: usize, size: usize, flags: MprotectFlags) -> bool {
        // SAFETY: pages of a region, which are the driver's.
        unsafe { mprotect(start as *mut _, size, flags) }.is_ok()
    }

    /// Lets go of what is in pages that are reserved; they stay so.
    pub(crate) fn decommit(start: usize, size: usize) -> bool {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
        // SAFETY: pages of a region, which the driver does not use again as they are.
        unsafe { mmap_anonymous(start as *mut _, size, ProtFlags::empty(), flags) }.is_ok()
    }

    /// How large the region is that begins at an address.
    pub(crate) fn size(&self, start: usize) -> Option<usize> {
        self.0.lock().get(&start).map(|region| region.size)
    }

    /// Frees the region that begins at an address: its size.
    pub(crate) fn release(&self, start: usize) -> Option<usize> {
        self.0.lock().remove(&start).map(|region| region.size)
    }
}
