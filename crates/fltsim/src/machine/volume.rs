//! Volumes of a machine.

use super::{Inner, Machine};
use crate::filesystem::Personality;
use crate::io;
use crate::manager;
use crate::manager::context::ObjectKey;
use crate::manager::instance::{self, InstanceInfo};
use crate::storage::{MemoryStorage, Storage};
use fltmgr_sys::*;
use std::fmt;
use std::sync::Arc;

/// What a volume is made of.
pub struct VolumeConfig {
    pub(super) name: String,
    pub(super) personality: Personality,
    pub(super) storage: Box<dyn Storage>,
    pub(super) read_only: bool,
}

impl fmt::Debug for VolumeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VolumeConfig")
            .field("name", &self.name)
            .field("personality", &self.personality)
            .finish_non_exhaustive()
    }
}

impl VolumeConfig {
    /// An empty volume in memory.
    #[must_use]
    pub fn memory(name: impl Into<String>, personality: Personality) -> Self {
        Self::storage(name, personality, Box::new(MemoryStorage::new()))
    }

    /// A volume on any storage, e.g. a host directory.
    #[must_use]
    pub fn storage(
        name: impl Into<String>,
        personality: Personality,
        storage: Box<dyn Storage>,
    ) -> Self {
        Self {
            name: name.into(),
            personality,
            storage,
            read_only: false,
        }
    }

    /// A volume whose files are those of a host directory.
    #[must_use]
    pub fn host(
        name: impl Into<String>,
        personality: Personality,
        storage: crate::storage::HostStorage,
    ) -> Self {
        Self::storage(name, personality, Box::new(storage))
    }

    /// The volume is write-protected.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }
}

/// A mounted volume.
#[derive(Clone)]
pub struct Volume {
    pub(crate) machine: Machine,
    pub(crate) object: Arc<manager::Volume>,
}

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Volume").field(&self.object.name).finish()
    }
}

impl Volume {
    /// What a driver knows it by.
    #[must_use]
    pub fn pointer(&self) -> PFLT_VOLUME {
        self.object.pointer()
    }

    /// Its device name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.object.name
    }

    /// The instances that are attached, from the highest altitude to the lowest.
    #[must_use]
    pub fn instances(&self) -> Vec<InstanceInfo> {
        let stack = self.object.stack();
        stack
            .iter()
            .map(|instance| InstanceInfo {
                pointer: instance.pointer(),
                filter: instance.filter.name.clone(),
                name: instance.name.clone(),
                altitude: instance.altitude.clone(),
            })
            .collect()
    }

    /// Dismounts the volume: its instances are torn down, its contexts deleted.
    pub fn dismount(&self) {
        if !self.object.begin_dismount() {
            return;
        }
        let inner = &self.machine.inner;
        for instance in self.object.stack() {
            instance::teardown(&instance, FLTFL_INSTANCE_TEARDOWN_VOLUME_DISMOUNT);
        }
        let gone = self.object.io.file_system.dismount();
        io::release_gone(inner, &self.object, &gone);
        inner
            .contexts
            .object_gone(inner, ObjectKey::Volume(self.object.id));
    }

    pub(crate) fn machine(&self) -> &Arc<Inner> {
        &self.machine.inner
    }

    pub(crate) fn volume(&self) -> &Arc<manager::Volume> {
        &self.object
    }
}
