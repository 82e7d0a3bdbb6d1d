//! Kernel objects and their handles: what the Object Manager is to drivers.
//!
//! A kernel object is found by its address in the one table of objects, and referenced and
//! dereferenced by it; a handle is a number by which a machine finds one.

use crate::machine::Inner;
use crate::manager::Filter;
use crate::verifier::{Leak, Rule};
use fltmgr_sys::{ACCESS_MASK, HANDLE};
use parking_lot::Mutex;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// Something that has handles and counts references.
pub(crate) trait KernelObject: Any + Send + Sync {
    /// What a report calls it.
    fn name(&self) -> &'static str;

    /// What a report calls a handle of it.
    fn handle_name(&self) -> &'static str;

    /// The variable that the kernel exports its type in, e.g. `IoFileObjectType`; nothing if there
    /// is none.
    fn object_type(&self) -> &'static str {
        ""
    }

    /// Its full name, if it has one.
    fn path(&self) -> Option<String> {
        None
    }

    /// Whether it begins with a dispatcher header, so that threads can wait for it.
    fn is_waitable(&self) -> bool {
        false
    }

    /// The machine that it belongs to.
    fn owner(&self) -> &Weak<Inner>;

    /// What a driver has as a pointer to it.
    fn address(&self) -> usize;

    /// Adds a reference for a driver; `false` if the object is gone already.
    fn reference(&self, call: &'static str) -> bool;

    /// Takes a driver's reference away; `false` if there was none.
    fn dereference(self: Arc<Self>, machine: &Arc<Inner>) -> bool;

    /// How many references drivers have on it.
    fn references(&self, machine: &Inner) -> u64 {
        machine.held.count(self.address())
    }

    /// It got one more handle, which keeps it as a reference does.
    fn handle_opened(&self);

    /// One of its handles was closed; whether it was the last one is the object's to count.
    fn handle_closed(self: Arc<Self>, machine: &Arc<Inner>);
}

/// The object behind a handle, if it is one of a type.
pub(crate) fn downcast<T: KernelObject>(object: Arc<dyn KernelObject>) -> Option<Arc<T>> {
    let object: Arc<dyn Any + Send + Sync> = object;
    object.downcast().ok()
}

/// How a handle is opened.
#[derive(Default)]
pub(crate) struct Grant {
    /// What it allows.
    pub(crate) access: ACCESS_MASK,
    /// It belongs to the kernel (`OBJ_KERNEL_HANDLE`) and not to the process that asked.
    pub(crate) kernel: bool,
    /// The filter that must close it, if that is known; otherwise the drivers together must.
    pub(crate) filter: Option<Arc<Filter>>,
}

struct Entry {
    object: Arc<dyn KernelObject>,
    grant: Grant,
    /// The call that opened it.
    call: &'static str,
}

/// The handles of a machine.
#[derive(Default)]
pub(crate) struct Handles(Mutex<BTreeMap<usize, Entry>>);

impl Handles {
    /// Opens a handle.
    pub(crate) fn open(
        &self,
        machine: &Inner,
        object: Arc<dyn KernelObject>,
        grant: Grant,
        call: &'static str,
    ) -> HANDLE {
        // Handles differ by four. Those of the kernel have the upper half of the bits set.
        let number = usize::try_from(machine.next_id()).unwrap_or(0) << 2;
        let handle = if grant.kernel {
            number | 0xFFFF_FFFF_8000_0000
        } else {
            number
        };
        if let Some(filter) = &grant.filter {
            filter.held.add(object.handle_name(), handle, call);
        }
        object.handle_opened();
        let entry = Entry {
            object,
            grant,
            call,
        };
        self.0.lock().insert(handle, entry);
        handle as HANDLE
    }

    /// What a handle stands for, and what it allows.
    pub(crate) fn find(&self, handle: HANDLE) -> Option<(Arc<dyn KernelObject>, ACCESS_MASK)> {
        let entries = self.0.lock();
        let entry = entries.get(&(handle as usize))?;
        Some((Arc::clone(&entry.object), entry.grant.access))
    }

    /// How many handles there are for an object.
    pub(crate) fn count(&self, address: usize) -> usize {
        let entries = self.0.lock();
        let same = entries
            .values()
            .filter(|entry| entry.object.address() == address);
        same.count()
    }

    /// Whether a handle is the kernel's own.
    pub(crate) fn is_kernel(handle: HANDLE) -> bool {
        handle as usize >> 31 == 0x1_FFFF_FFFF
    }

    /// What a handle stands for, if that is of a type.
    pub(crate) fn find_as<T: KernelObject>(&self, handle: HANDLE) -> Option<Arc<T>> {
        downcast(self.find(handle)?.0)
    }

    /// Closes a handle; `false` if there is none of this number.
    pub(crate) fn close(&self, machine: &Arc<Inner>, handle: HANDLE) -> bool {
        let Some(entry) = self.0.lock().remove(&(handle as usize)) else {
            return false;
        };
        if let Some(filter) = &entry.grant.filter {
            filter.held.remove(handle as usize);
        }
        entry.object.handle_closed(machine);
        true
    }

    /// Closes the handles that nobody has closed, and says so, once no driver is left that could.
    pub(crate) fn report(&self, machine: &Arc<Inner>, call: &'static str) {
        let left = std::mem::take(&mut *self.0.lock());
        for (handle, entry) in left {
            // What a filter holds was reported when it was unregistered.
            if entry.grant.filter.is_none() {
                let leak = Leak {
                    object: entry.object.handle_name(),
                    kind: None,
                    pool: None,
                    size: 0,
                    count: 1,
                    address: handle,
                    acquired: vec![(entry.call, 1)],
                    note: String::new(),
                };
                machine.verifier.leak(Rule::V20, call, leak);
            }
            entry.object.handle_closed(machine);
        }
    }
}
