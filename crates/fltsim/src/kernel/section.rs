//! Section objects: only as much of them as a data scan hands out.

use crate::machine::Inner;
use crate::manager::{Filter, Object, publish};
use fltmgr_sys::{HANDLE, PVOID};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// What the filter holds of a section, for the reports.
const HANDLE_NAME: &str = "section handle";
const OBJECT_NAME: &str = "section object";
const VIEW_NAME: &str = "section view";

/// A section with one handle and one reference, both the filter's.
pub(crate) struct Section {
    pub(crate) machine: Weak<Inner>,
    filter: Arc<Filter>,
    handle: usize,
    contents: Box<[u8]>,
    open: Mutex<Open>,
    views: Mutex<Vec<Box<[u8]>>>,
}

struct Open {
    handle: bool,
    references: u64,
}

impl Section {
    pub(crate) fn handle(&self) -> HANDLE {
        self.handle as HANDLE
    }

    pub(crate) fn pointer(self: &Arc<Self>) -> PVOID {
        Arc::as_ptr(self).cast_mut().cast()
    }
}

/// Makes a section over `contents`, the stream's bytes when it was created: writing to the stream
/// afterwards is a conflict that the filter is told of, so a view never has to follow. The filter
/// has to close its handle, to dereference its object and to unmap its views.
pub(crate) fn open(
    machine: &Inner,
    filter: &Arc<Filter>,
    contents: Box<[u8]>,
    call: &'static str,
) -> Arc<Section> {
    // Kernel handles have the upper half of the bits set, and differ by four.
    let number = usize::try_from(machine.next_id()).unwrap_or(0);
    let section = Arc::new(Section {
        machine: machine
            .this()
            .map(|this| Arc::downgrade(&this))
            .unwrap_or_default(),
        filter: Arc::clone(filter),
        handle: 0xFFFF_FFFF_8000_0000 | (number << 2),
        contents,
        views: Mutex::default(),
        open: Mutex::new(Open {
            handle: true,
            references: 1,
        }),
    });
    machine.sections.lock().push(Arc::clone(&section));
    let address = section.pointer() as usize;
    publish(machine, address, Object::Section(Arc::clone(&section)));
    filter.held.add(OBJECT_NAME, address, call);
    filter.held.add(HANDLE_NAME, section.handle, call);
    section
}

/// Closes a handle; `false` if it is not one of a section.
pub(crate) fn close(machine: &Inner, handle: HANDLE) -> bool {
    let sections = machine.sections.lock();
    let section = sections.iter().find(|one| one.handle == handle as usize);
    let Some(section) = section else {
        return false;
    };
    let mut open = section.open.lock();
    let was_open = std::mem::replace(&mut open.handle, false);
    was_open && section.filter.held.remove(section.handle)
}

/// Adds a reference for the filter that got the section.
pub(crate) fn reference(section: &Arc<Section>, call: &'static str) {
    section.open.lock().references += 1;
    let address = section.pointer() as usize;
    section.filter.held.add(OBJECT_NAME, address, call);
}

/// Gives a reference back; `false` if there was none.
pub(crate) fn dereference(section: &Arc<Section>) -> bool {
    let mut open = section.open.lock();
    let Some(left) = open.references.checked_sub(1) else {
        return false;
    };
    open.references = left;
    section.filter.held.remove(section.pointer() as usize)
}

/// Maps the section: a view of all of it, by its address.
pub(crate) fn map(section: &Arc<Section>, call: &'static str) -> (usize, usize) {
    let view = section.contents.clone();
    let (address, length) = (view.as_ptr() as usize, view.len());
    section.views.lock().push(view);
    section.filter.held.add(VIEW_NAME, address, call);
    (address, length)
}

/// Unmaps a view; `false` if nothing is mapped there.
pub(crate) fn unmap(machine: &Inner, address: usize) -> bool {
    let sections = machine.sections.lock();
    sections.iter().any(|section| {
        let mut views = section.views.lock();
        let before = views.len();
        views.retain(|view| view.as_ptr() as usize != address);
        views.len() != before && section.filter.held.remove(address)
    })
}
