//! The registry, as a test sees it.

use super::RegistryValue;
use super::hive::KeyId;
use super::operation::{self, Opening};
use crate::kernel::scope::{Callback, Scope};
use crate::machine::Inner;
use fltmgr_sys::{NTSTATUS, PASSIVE_LEVEL, STATUS_CANNOT_DELETE, nt_success};
use std::fmt;
use std::sync::Arc;

/// The registry of a machine. What is changed here is changed as an application does it, with the
/// registry callbacks of drivers called; looking at it is told to nobody. Paths are full ones, from `\Registry` on; case does not matter, and
/// `CurrentControlSet` is there.
#[derive(Clone)]
pub struct Registry {
    machine: Arc<Inner>,
}

fn result(status: NTSTATUS) -> Result<(), NTSTATUS> {
    if nt_success(status) {
        Ok(())
    } else {
        Err(status)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Registry {
    pub(crate) fn new(machine: &Arc<Inner>) -> Self {
        Self {
            machine: Arc::clone(machine),
        }
    }

    /// What a test changes, it changes as an application does: drivers are told of it.
    fn enter(&self) -> Scope {
        Scope::enter(&self.machine, Callback::Other, PASSIVE_LEVEL)
    }

    /// Deletes a key after all that are below it.
    fn delete_below(&self, path: &str) -> Result<(), NTSTATUS> {
        for subkey in self.subkeys(path).unwrap_or_default() {
            self.delete_below(&format!(r"{path}\{subkey}"))?;
        }
        let key = operation::open(&self.machine, &Opening::absolute(path))?;
        let status = operation::delete(&self.machine, &key);
        key.release(&self.machine);
        result(status)
    }

    fn key(&self, path: &str) -> Option<KeyId> {
        self.machine.registry.find_absolute(path).ok()
    }

    /// A value; the default one has an empty name.
    #[must_use]
    pub fn value(&self, key: &str, name: &str) -> Option<RegistryValue> {
        let found = self.machine.registry.value(self.key(key)?, name);
        found.ok().map(|(_, value)| value)
    }

    /// Sets a value, and makes the keys that it needs.
    ///
    /// # Errors
    /// The path is none, or a name is too long.
    pub fn set_value(&self, key: &str, name: &str, value: RegistryValue) -> Result<(), NTSTATUS> {
        let _scope = self.enter();
        let key = operation::create_all(&self.machine, key)?;
        let status = operation::set(&self.machine, &key, name, 0, value);
        key.release(&self.machine);
        result(status)
    }

    /// Deletes a value.
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_NOT_FOUND`, mostly.
    pub fn delete_value(&self, key: &str, name: &str) -> Result<(), NTSTATUS> {
        let _scope = self.enter();
        let key = operation::open(&self.machine, &Opening::absolute(key))?;
        let status = operation::remove(&self.machine, &key, name);
        key.release(&self.machine);
        result(status)
    }

    /// Makes a key and those above it.
    ///
    /// # Errors
    /// The path is none, or a name is too long.
    pub fn create_key(&self, key: &str) -> Result<(), NTSTATUS> {
        let _scope = self.enter();
        let key = operation::create_all(&self.machine, key)?;
        key.release(&self.machine);
        Ok(())
    }

    /// Deletes a key with everything below it.
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_NOT_FOUND`, or `STATUS_CANNOT_DELETE` where a hive begins.
    pub fn delete_key(&self, key: &str) -> Result<(), NTSTATUS> {
        let _scope = self.enter();
        let hive = &self.machine.registry;
        if hive.is_fixed(hive.find_absolute(key)?) {
            return Err(STATUS_CANNOT_DELETE);
        }
        self.delete_below(key)
    }

    /// The values of a key with their names, in the order that they were made.
    #[must_use]
    pub fn values(&self, key: &str) -> Option<Vec<(String, RegistryValue)>> {
        let found = self.machine.registry.describe(self.key(key)?);
        found.ok().map(|found| found.values)
    }

    /// The names of a key's subkeys, in their order.
    #[must_use]
    pub fn subkeys(&self, key: &str) -> Option<Vec<String>> {
        let hive = &self.machine.registry;
        let subkeys = hive.describe(self.key(key)?).ok()?.subkeys;
        let named = subkeys
            .into_iter()
            .filter_map(|subkey| hive.describe(subkey).ok());
        Some(named.map(|found| found.name).collect())
    }
}
