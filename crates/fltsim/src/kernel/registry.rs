//! The service key of a driver: altitude and instances.

use super::string::Owned;
use crate::machine::Inner;
use fltmgr_sys::{DRIVER_OBJECT, PCUNICODE_STRING, PDRIVER_OBJECT};
use parking_lot::Mutex;
use std::cell::UnsafeCell;
use std::sync::{Arc, Weak};

/// One subkey of a service's `Instances` key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstanceDefinition {
    pub(crate) name: String,
    pub(crate) altitude: String,
    /// Bit 0: no automatic attachment.
    pub(crate) flags: u32,
}

/// What the service key of a driver says.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    pub(crate) name: String,
    pub(crate) altitude: Option<String>,
    pub(crate) instance_name: Option<String>,
    pub(crate) manual_only: bool,
    pub(crate) more_instances: Vec<InstanceDefinition>,
}

impl DriverConfig {
    /// A service of this name, without instances until it is given an altitude.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            altitude: None,
            instance_name: None,
            manual_only: false,
            more_instances: Vec::new(),
        }
    }

    /// The altitude of the default instance. Without one the `Instances` key does not exist.
    #[must_use]
    pub fn altitude(mut self, altitude: impl Into<String>) -> Self {
        self.altitude = Some(altitude.into());
        self
    }

    /// The name of the default instance.
    #[must_use]
    pub fn instance_name(mut self, name: impl Into<String>) -> Self {
        self.instance_name = Some(name.into());
        self
    }

    /// Automatic attachments are suppressed; instances attach by request only.
    #[must_use]
    pub fn manual_only(mut self) -> Self {
        self.manual_only = true;
        self
    }

    /// One more instance definition, for attaching by name; it never attaches by itself.
    #[must_use]
    pub fn instance(mut self, name: impl Into<String>, altitude: impl Into<String>) -> Self {
        self.more_instances.push(InstanceDefinition {
            name: name.into(),
            altitude: altitude.into(),
            flags: 1,
        });
        self
    }

    /// All instance definitions, the default one first; none if there is no altitude.
    pub(crate) fn instances(&self) -> Vec<InstanceDefinition> {
        let Some(altitude) = self.altitude.clone() else {
            return Vec::new();
        };
        let name = self
            .instance_name
            .clone()
            .unwrap_or_else(|| format!("{} Instance", self.name));
        let flags = u32::from(self.manual_only);
        let mut all = vec![InstanceDefinition {
            name,
            altitude,
            flags,
        }];
        all.extend(self.more_instances.iter().cloned());
        all
    }
}

/// A driver of a machine: its service key and its driver object.
pub(crate) struct DriverRecord {
    pub(crate) machine: Weak<Inner>,
    pub(crate) config: DriverConfig,
    pub(crate) filter: Mutex<Option<Arc<crate::manager::filter::Filter>>>,
    object: UnsafeCell<DRIVER_OBJECT>,
    path: Owned,
    _name: Owned,
}

// SAFETY: the driver object is the driver's to write; this crate only hands out its address and
// never reads it after it was made. Everything else is immutable or locked.
unsafe impl Send for DriverRecord {}
// SAFETY: as above.
unsafe impl Sync for DriverRecord {}

impl DriverRecord {
    pub(crate) fn new(machine: Weak<Inner>, config: DriverConfig) -> Self {
        let path = Owned::new(&format!(
            "\\Registry\\Machine\\System\\CurrentControlSet\\Services\\{}",
            config.name
        ));
        let name = Owned::new(&format!("\\FileSystem\\{}", config.name));
        // SAFETY: a driver object is integers and nullable pointers; all-zero is a valid one.
        let mut object: DRIVER_OBJECT = unsafe { std::mem::zeroed() };
        object.Type = 4;
        object.Size = i16::try_from(size_of::<DRIVER_OBJECT>()).unwrap_or(i16::MAX);
        object.DriverName = name.header();
        Self {
            machine,
            config,
            filter: Mutex::new(None),
            object: UnsafeCell::new(object),
            path,
            _name: name,
        }
    }

    pub(crate) fn pointer(&self) -> PDRIVER_OBJECT {
        self.object.get()
    }

    pub(crate) fn registry_path(&self) -> PCUNICODE_STRING {
        self.path.pointer()
    }
}
