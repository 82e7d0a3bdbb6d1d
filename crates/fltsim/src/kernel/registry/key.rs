//! Open keys: what the handles of drivers stand for.

use super::hive::KeyId;
use crate::kernel::handle::{Grant, KernelObject};
use crate::machine::Inner;
use crate::manager::{Object, forget, publish};
use fltmgr_sys::{ACCESS_MASK, HANDLE};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// One open of a key. The key itself may be deleted meanwhile.
pub(crate) struct Key {
    machine: Weak<Inner>,
    pub(crate) id: KeyId,
    /// Handles and references together.
    references: Mutex<u64>,
}

impl Key {
    fn release(&self) -> bool {
        let mut references = self.references.lock();
        let Some(left) = references.checked_sub(1) else {
            return false;
        };
        *references = left;
        if left == 0 {
            forget(self.address());
        }
        true
    }
}

impl KernelObject for Key {
    fn name(&self) -> &'static str {
        "registry key"
    }

    fn handle_name(&self) -> &'static str {
        "registry key handle"
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

    fn dereference(self: Arc<Self>, _machine: &Arc<Inner>) -> bool {
        self.release()
    }

    fn handle_opened(&self) {
        *self.references.lock() += 1;
    }

    fn handle_closed(self: Arc<Self>, _machine: &Arc<Inner>) {
        self.release();
    }
}

/// Opens a handle of a key, which drivers have to close.
pub(crate) fn open(
    machine: &Arc<Inner>,
    id: KeyId,
    access: ACCESS_MASK,
    kernel: bool,
    call: &'static str,
) -> HANDLE {
    let key: Arc<dyn KernelObject> = Arc::new(Key {
        machine: Arc::downgrade(machine),
        id,
        references: Mutex::default(),
    });
    publish(machine, key.address(), Object::Kernel(Arc::clone(&key)));
    let grant = Grant {
        access,
        kernel,
        ..Grant::default()
    };
    machine.handles.open(machine, key, grant, call)
}
