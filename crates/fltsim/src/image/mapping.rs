//! Memory of an image: reserved between two guard pages, filled, then protected part by part.

use super::error::Problem;
use super::layout::PAGE;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use std::io;
use std::ptr::null_mut;

/// How a part of a mapping may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) execute: bool,
}

impl Access {
    pub(crate) const READ: Self = Self {
        read: true,
        write: false,
        execute: false,
    };
    pub(crate) const CODE: Self = Self {
        read: true,
        write: false,
        execute: true,
    };
}

/// # Invariants
/// `start` begins `size` bytes, between two pages without access, all of which belong to this
/// value alone and were mapped by it.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: *mut u8,
    size: usize,
}

// SAFETY: a mapping is owned memory, which any thread may unmap.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference gives only the address away.
unsafe impl Sync for Mapping {}

const GUARD: usize = PAGE as usize;

impl Mapping {
    /// Memory for so many bytes, rounded up to pages, zeroed and writable.
    pub(crate) fn new(bytes: usize) -> Result<Self, Problem> {
        let size = bytes.next_multiple_of(GUARD);
        let failed = |error: rustix::io::Errno| Problem::NoMemory {
            bytes: size,
            source: io::Error::from(error),
        };
        let all = size + 2 * GUARD;
        // SAFETY: a new private mapping at an address of the kernel's choice touches nothing that
        // exists.
        let reserved =
            unsafe { mmap_anonymous(null_mut(), all, ProtFlags::empty(), MapFlags::PRIVATE) };
        let start = reserved.map_err(failed)?.cast::<u8>().wrapping_add(GUARD);
        let mapping = Self { start, size };
        let writable = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: the bytes between the guard pages are this mapping's own.
        unsafe { mprotect(start.cast(), size, writable) }.map_err(failed)?;
        Ok(mapping)
    }

    pub(crate) fn address(&self) -> usize {
        self.start as usize
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn contains(&self, address: usize) -> bool {
        (self.address()..self.address() + self.size).contains(&address)
    }

    /// Fills the memory from its beginning. Before it is protected.
    pub(crate) fn fill(&mut self, bytes: &[u8]) {
        let count = bytes.len().min(self.size);
        // SAFETY: the mapping has at least `count` bytes, which are writable until it is protected
        // and which nobody else knows of yet; the source is another object.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start, count) };
    }

    /// Protects a part, rounded up to pages.
    pub(crate) fn protect(
        &mut self,
        offset: usize,
        bytes: usize,
        access: Access,
    ) -> Result<(), Problem> {
        let bytes = bytes.next_multiple_of(GUARD);
        if !offset.is_multiple_of(GUARD)
            || offset.checked_add(bytes).is_none_or(|end| end > self.size)
        {
            let what = format!("{bytes:#x} bytes at {offset:#x} are not in the image");
            return Err(Problem::malformed("SectionTable", what));
        }
        let mut flags = MprotectFlags::empty();
        flags.set(MprotectFlags::READ, access.read);
        flags.set(MprotectFlags::WRITE, access.write);
        flags.set(MprotectFlags::EXEC, access.execute);
        let start = self.start.wrapping_add(offset);
        // SAFETY: the range was just checked to be this mapping's own, and nothing of Rust refers
        // to it: it is reached by address only.
        unsafe { mprotect(start.cast(), bytes, flags) }.map_err(|error| Problem::NoMemory {
            bytes,
            source: error.into(),
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let start = self.start.wrapping_sub(GUARD);
        // SAFETY: by the invariant the range is mapped and belongs to this value, which ends. An
        // image that anybody was told an address of is never dropped.
        let result = unsafe { munmap(start.cast(), self.size + 2 * GUARD) };
        debug_assert!(result.is_ok(), "a mapping of our own can be unmapped");
    }
}
