//! Open keys: what the handles of drivers stand for.

use super::hive::KeyId;
use super::operation;
use crate::kernel::handle::{Grant, KernelObject};
use crate::kernel::string::Owned;
use crate::machine::Inner;
use crate::manager::{Object, forget, publish};
use fltmgr_sys::{HANDLE, PCUNICODE_STRING};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// One open of a key. The key itself may be deleted meanwhile.
pub(crate) struct Key {
    machine: Weak<Inner>,
    pub(crate) id: KeyId,
    path: String,
    /// The path for drivers that have asked for it.
    name: Mutex<Option<Owned>>,
    /// Handles and references together.
    references: Mutex<u64>,
}

impl Key {
    /// Opens a key, which whoever does so has to release.
    pub(crate) fn create(machine: &Arc<Inner>, id: KeyId) -> Arc<Self> {
        let described = machine.registry.describe(id);
        let key = Arc::new(Self {
            machine: Arc::downgrade(machine),
            id,
            path: described.map(|found| found.path).unwrap_or_default(),
            name: Mutex::default(),
            references: Mutex::new(1),
        });
        publish(
            machine,
            key.address(),
            Object::Kernel(Arc::clone(&key) as _),
        );
        key
    }

    /// Makes a handle of a key that was opened, which takes its place.
    pub(crate) fn into_handle(
        self: &Arc<Self>,
        machine: &Arc<Inner>,
        grant: Grant,
        call: &'static str,
    ) -> HANDLE {
        let handle = machine
            .handles
            .open(machine, Arc::clone(self) as _, grant, call);
        self.release(machine);
        handle
    }

    /// Gives an open or a reference back; `false` if there was none.
    pub(crate) fn release(&self, machine: &Arc<Inner>) -> bool {
        let mut references = self.references.lock();
        let Some(left) = references.checked_sub(1) else {
            return false;
        };
        *references = left;
        drop(references);
        if left == 0 {
            operation::close(machine, self);
            forget(self.address());
        }
        true
    }

    /// Forgets an open that nobody was told of.
    pub(crate) fn abandon(&self) {
        *self.references.lock() = 0;
        forget(self.address());
    }

    /// The path as a string for drivers, which stays while the key is open.
    pub(crate) fn name(&self) -> PCUNICODE_STRING {
        let mut name = self.name.lock();
        let name = name.get_or_insert_with(|| Owned::new(&self.path));
        name.pointer()
    }
}

impl KernelObject for Key {
    fn name(&self) -> &'static str {
        "registry key"
    }

    fn handle_name(&self) -> &'static str {
        "registry key handle"
    }

    fn object_type(&self) -> &'static str {
        "CmKeyObjectType"
    }

    fn path(&self) -> Option<String> {
        Some(self.path.clone())
    }

    fn owner(&self) -> &Weak<Inner> {
        &self.machine
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    fn reference(&self, _call: &'static str) -> bool {
        *self.references.lock() += 1;
        true
    }

    fn dereference(self: Arc<Self>, machine: &Arc<Inner>) -> bool {
        self.release(machine)
    }

    fn references(&self, machine: &Inner) -> u64 {
        let handles = machine.handles.count(self.address());
        self.references.lock().saturating_sub(handles as u64)
    }

    fn handle_opened(&self) {
        *self.references.lock() += 1;
    }

    fn handle_closed(self: Arc<Self>, machine: &Arc<Inner>) {
        self.release(machine);
    }
}
