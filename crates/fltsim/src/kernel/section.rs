//! Section objects: only as much of them as a data scan hands out.

use super::handle::{Grant, KernelObject};
use crate::machine::Inner;
use crate::manager::{Filter, Object, publish};
use fltmgr_sys::{HANDLE, PVOID};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// What the filter holds of a section, for the reports.
const HANDLE_NAME: &str = "section handle";
const OBJECT_NAME: &str = "section object";
const VIEW_NAME: &str = "section view";

/// A section; its handle, its references and its views are the filter's.
pub(crate) struct Section {
    machine: Weak<Inner>,
    filter: Arc<Filter>,
    contents: Box<[u8]>,
    references: Mutex<u64>,
    views: Mutex<Vec<Box<[u8]>>>,
}

impl Section {
    pub(crate) fn pointer(&self) -> PVOID {
        (&raw const *self).cast_mut().cast()
    }
}

impl KernelObject for Section {
    fn name(&self) -> &'static str {
        "section"
    }

    fn handle_name(&self) -> &'static str {
        HANDLE_NAME
    }

    fn object_type(&self) -> &'static str {
        "MmSectionObjectType"
    }

    fn owner(&self) -> &Weak<Inner> {
        &self.machine
    }

    fn address(&self) -> usize {
        self.pointer() as usize
    }

    fn reference(&self, call: &'static str) -> bool {
        *self.references.lock() += 1;
        self.filter.held.add(OBJECT_NAME, self.address(), call);
        true
    }

    fn dereference(self: Arc<Self>, _machine: &Arc<Inner>) -> bool {
        let mut references = self.references.lock();
        let Some(left) = references.checked_sub(1) else {
            return false;
        };
        *references = left;
        self.filter.held.remove(self.address())
    }

    fn handle_opened(&self) {}

    fn handle_closed(self: Arc<Self>, _machine: &Arc<Inner>) {}
}

/// Makes a section over `contents`, the stream's bytes when it was created: writing to the stream
/// afterwards is a conflict that the filter is told of, so a view never has to follow. The filter
/// has to close its handle, to dereference its object and to unmap its views.
pub(crate) fn open(
    machine: &Inner,
    filter: &Arc<Filter>,
    contents: Box<[u8]>,
    kernel: bool,
    call: &'static str,
) -> (HANDLE, Arc<Section>) {
    let this = machine.this();
    let section = Arc::new(Section {
        machine: this.map(|this| Arc::downgrade(&this)).unwrap_or_default(),
        filter: Arc::clone(filter),
        contents,
        references: Mutex::default(),
        views: Mutex::default(),
    });
    machine.sections.lock().push(Arc::clone(&section));
    let object: Arc<dyn KernelObject> = Arc::clone(&section) as _;
    publish(
        machine,
        section.address(),
        Object::Kernel(Arc::clone(&object)),
    );
    section.reference(call);
    let grant = Grant {
        kernel,
        filter: Some(Arc::clone(filter)),
        ..Grant::default()
    };
    let handle = machine.handles.open(machine, object, grant, call);
    (handle, section)
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
