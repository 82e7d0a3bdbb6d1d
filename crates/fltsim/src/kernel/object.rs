//! Kernel objects of a machine that live as long as a handle or a reference keeps them.

use super::handle::{Grant, KernelObject};
use crate::machine::Inner;
use crate::manager::{Object, forget, publish};
use fltmgr_sys::{HANDLE, NTSTATUS};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// How many objects that are gone keep their address, so that a stale pointer is recognised.
const REMEMBERED: usize = 4096;

/// What is in such an object.
pub(crate) trait Body: Send + Sync + 'static {
    /// What a report calls it.
    const NAME: &'static str;
    /// What a report calls a handle of it.
    const HANDLE_NAME: &'static str;
    /// The variable that the kernel exports its type in.
    const TYPE: &'static str;

    /// What a driver has as a pointer to it.
    fn address(&self) -> usize;

    /// Whether threads can wait for it.
    fn is_waitable(&self) -> bool {
        false
    }

    /// Its full name, if it has one that nobody finds it by.
    fn path(&self) -> Option<String> {
        None
    }
}

#[derive(Default)]
struct Counts {
    references: u64,
    handles: u64,
    gone: bool,
}

/// An object that is counted.
pub(crate) struct Counted<T: Body> {
    machine: Weak<Inner>,
    path: Option<String>,
    pub(crate) body: T,
    counts: Mutex<Counts>,
}

impl<T: Body> Counted<T> {
    /// Makes an object, with its name if it has one. It goes when it has no handle and no reference
    /// left, which at first it has not.
    pub(crate) fn create(
        machine: &Inner,
        path: Option<String>,
        body: T,
    ) -> Result<Arc<Self>, NTSTATUS> {
        let this = machine.this().map(|this| Arc::downgrade(&this));
        let object = Arc::new(Self {
            machine: this.unwrap_or_default(),
            path,
            body,
            counts: Mutex::default(),
        });
        let shared: Arc<dyn KernelObject> = Arc::clone(&object) as _;
        if let Some(path) = &object.path {
            machine.names.name(path, &shared)?;
        }
        publish(machine, object.body.address(), Object::Kernel(shared));
        Ok(object)
    }

    /// As [`Counted::create`], with a handle.
    pub(crate) fn open(
        machine: &Inner,
        path: Option<String>,
        body: T,
        grant: Grant,
        call: &'static str,
    ) -> Result<HANDLE, NTSTATUS> {
        let object = Self::create(machine, path, body)?;
        Ok(machine.handles.open(machine, object, grant, call))
    }

    /// The last thing that kept it is gone.
    fn remove(&self, machine: &Inner) {
        if let Some(path) = &self.path {
            machine.names.forget(path);
        }
        let mut retired = machine.retired.lock();
        retired.push_back(self.body.address());
        let oldest = (retired.len() > REMEMBERED).then(|| retired.pop_front());
        drop(retired);
        if let Some(oldest) = oldest.flatten() {
            forget(oldest);
        }
    }

    /// Takes one handle or reference away; `false` if there was none.
    fn release(&self, machine: &Inner, which: impl FnOnce(&mut Counts) -> &mut u64) -> bool {
        let mut counts = self.counts.lock();
        let count = which(&mut counts);
        let Some(left) = count.checked_sub(1) else {
            return false;
        };
        *count = left;
        let last = counts.references == 0 && counts.handles == 0;
        counts.gone |= last;
        drop(counts);
        if last {
            self.remove(machine);
        }
        true
    }
}

impl<T: Body> KernelObject for Counted<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn handle_name(&self) -> &'static str {
        T::HANDLE_NAME
    }

    fn object_type(&self) -> &'static str {
        T::TYPE
    }

    fn path(&self) -> Option<String> {
        self.path.clone().or_else(|| self.body.path())
    }

    fn owner(&self) -> &Weak<Inner> {
        &self.machine
    }

    fn address(&self) -> usize {
        self.body.address()
    }

    fn is_waitable(&self) -> bool {
        self.body.is_waitable()
    }

    fn reference(&self, call: &'static str) -> bool {
        let mut counts = self.counts.lock();
        if counts.gone {
            return false;
        }
        counts.references += 1;
        drop(counts);
        if let Some(machine) = self.machine.upgrade() {
            machine.held.add(T::NAME, self.address(), call);
        }
        true
    }

    fn dereference(self: Arc<Self>, machine: &Arc<Inner>) -> bool {
        let known = machine.held.remove(self.address());
        known && self.release(machine, |counts| &mut counts.references)
    }

    fn handle_opened(&self) {
        self.counts.lock().handles += 1;
    }

    fn handle_closed(self: Arc<Self>, machine: &Arc<Inner>) {
        self.release(machine, |counts| &mut counts.handles);
    }
}
