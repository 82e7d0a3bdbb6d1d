//! Sections that drivers create themselves. All views of one are the same memory.

use super::handle::KernelObject;
use super::memory::PAGE;
use super::object::{Body, Counted};
use super::pool::Block;
use crate::machine::Inner;
use fltmgr_sys::NTSTATUS;
use parking_lot::Mutex;
use std::sync::Arc;

/// `STATUS_NOT_MAPPED_VIEW`.
pub(crate) const STATUS_NOT_MAPPED_VIEW: NTSTATUS = 0xC000_0019_u32.cast_signed();
/// Where views of a section may begin.
const GRANULARITY: u64 = 0x1_0000;

/// The memory of a section.
pub(crate) struct SectionBody {
    /// What the object is known by; its memory is somewhere else.
    place: Box<u64>,
    memory: Block,
    length: usize,
}

/// A section.
pub(crate) type SharedSection = Counted<SectionBody>;

impl Body for SectionBody {
    const NAME: &'static str = "section";
    const HANDLE_NAME: &'static str = "section handle";
    const TYPE: &'static str = "MmSectionObjectType";

    fn address(&self) -> usize {
        &raw const *self.place as usize
    }
}

impl SectionBody {
    /// A section of zeroes, or of what is in a file; nothing if there is no memory.
    pub(crate) fn new(length: usize, contents: &[u8]) -> Option<Self> {
        let memory = Block::new(length.checked_add(2 * PAGE)?)?;
        memory.fill(0);
        let body = Self {
            place: Box::new(0),
            memory,
            length,
        };
        let count = contents.len().min(length);
        // SAFETY: the block has so many bytes from the first page on, and nobody else knows it.
        unsafe { (body.start() as *mut u8).copy_from_nonoverlapping(contents.as_ptr(), count) };
        Some(body)
    }

    fn start(&self) -> usize {
        self.memory.address().next_multiple_of(PAGE)
    }
}

/// A view that is mapped.
struct View {
    start: usize,
    length: usize,
    /// Keeps the memory.
    _section: Arc<SharedSection>,
}

/// The views of a machine.
#[derive(Default)]
pub(crate) struct Views(Mutex<Vec<View>>);

/// Maps a part of a section, all of the rest for a length of 0: where it is, and how long.
pub(crate) fn map(
    machine: &Inner,
    section: &Arc<SharedSection>,
    offset: u64,
    length: usize,
    call: &'static str,
) -> Option<(usize, usize)> {
    let offset = usize::try_from(offset).ok()?;
    let rest = section
        .body
        .length
        .checked_sub(offset)
        .filter(|rest| *rest > 0)?;
    if length > rest.next_multiple_of(PAGE) {
        return None;
    }
    let length = if length == 0 { rest } else { length }.next_multiple_of(PAGE);
    let start = section.body.start() + offset;
    machine.held.add("section view", start, call);
    machine.views.0.lock().push(View {
        start,
        length,
        _section: Arc::clone(section),
    });
    Some((start, length))
}

/// Whether a view may begin at an offset.
pub(crate) fn is_aligned(offset: u64) -> bool {
    offset.is_multiple_of(GRANULARITY)
}

/// Unmaps the view that an address lies in; `false` if there is none.
pub(crate) fn unmap(machine: &Inner, address: usize) -> bool {
    let mut views = machine.views.0.lock();
    let found = views
        .iter()
        .position(|view| (view.start..view.start + view.length).contains(&address));
    let Some(index) = found else {
        return false;
    };
    let view = views.remove(index);
    drop(views);
    machine.held.remove(view.start)
}

/// The section at an address, if it is one of these.
pub(crate) fn find(object: Arc<dyn KernelObject>) -> Option<Arc<SharedSection>> {
    super::handle::downcast(object)
}
