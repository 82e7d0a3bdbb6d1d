//! The registry, as a test sees it.

use super::RegistryValue;
use super::hive::KeyId;
use crate::machine::Inner;
use fltmgr_sys::NTSTATUS;
use std::fmt;
use std::sync::Arc;

/// The registry of a machine. Paths are full ones, from `\Registry` on; case does not matter, and
/// `CurrentControlSet` is there.
#[derive(Clone)]
pub struct Registry {
    machine: Arc<Inner>,
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
        let hive = &self.machine.registry;
        hive.set(hive.create_all(key)?, name, value)
    }

    /// Deletes a value.
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_NOT_FOUND`, mostly.
    pub fn delete_value(&self, key: &str, name: &str) -> Result<(), NTSTATUS> {
        let hive = &self.machine.registry;
        hive.remove(hive.find_absolute(key)?, name)
    }

    /// Makes a key and those above it.
    ///
    /// # Errors
    /// The path is none, or a name is too long.
    pub fn create_key(&self, key: &str) -> Result<(), NTSTATUS> {
        self.machine.registry.create_all(key).map(|_| ())
    }

    /// Deletes a key with everything below it.
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_NOT_FOUND`, or `STATUS_CANNOT_DELETE` where a hive begins.
    pub fn delete_key(&self, key: &str) -> Result<(), NTSTATUS> {
        let hive = &self.machine.registry;
        hive.delete_all(hive.find_absolute(key)?)
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
