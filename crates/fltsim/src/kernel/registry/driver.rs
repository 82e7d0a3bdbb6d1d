//! Drivers: what their service keys hold when they are installed, and their driver objects.

use super::{Hive, RegistryValue, SERVICES};
use crate::kernel::string::Owned;
use crate::machine::Inner;
use fltmgr_sys::{DRIVER_OBJECT, NTSTATUS, PCUNICODE_STRING, PDRIVER_OBJECT};
use parking_lot::Mutex;
use std::cell::UnsafeCell;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

/// The group of filters that only watch.
const GROUP: &str = "FSFilter Activity Monitor";

/// One thing that is done to the registry when a driver is installed, as a line of an INF does it.
///
/// A key is a path below the service's key, empty for that key itself, or a full path from
/// `\Registry` on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistryEdit {
    /// Makes a key.
    Key {
        /// The key.
        key: String,
    },
    /// Sets a value.
    Set {
        /// The key.
        key: String,
        /// The name of the value.
        name: String,
        /// What it becomes.
        value: RegistryValue,
    },
    /// Sets a value that is not there.
    SetNew {
        /// The key.
        key: String,
        /// The name of the value.
        name: String,
        /// What it becomes.
        value: RegistryValue,
    },
    /// Sets a value that is there.
    SetExisting {
        /// The key.
        key: String,
        /// The name of the value.
        name: String,
        /// What it becomes.
        value: RegistryValue,
    },
    /// Adds strings to a `REG_MULTI_SZ`, as far as it does not have them.
    Append {
        /// The key.
        key: String,
        /// The name of the value.
        name: String,
        /// The strings.
        texts: Vec<String>,
    },
    /// Deletes a value.
    DeleteValue {
        /// The key.
        key: String,
        /// The name of the value.
        name: String,
    },
    /// Deletes a key with everything below it.
    DeleteKey {
        /// The key.
        key: String,
    },
}

impl RegistryEdit {
    fn apply(&self, hive: &Hive, service: &str) -> Result<(), NTSTATUS> {
        let (Self::Key { key }
        | Self::Set { key, .. }
        | Self::SetNew { key, .. }
        | Self::SetExisting { key, .. }
        | Self::Append { key, .. }
        | Self::DeleteValue { key, .. }
        | Self::DeleteKey { key }) = self;
        let path = if key.starts_with('\\') {
            key.clone()
        } else {
            format!(r"{SERVICES}\{service}\{key}")
        };
        match self {
            Self::DeleteKey { .. } => return hive.delete_all(hive.find_absolute(&path)?),
            Self::DeleteValue { name, .. } => return hive.remove(hive.find_absolute(&path)?, name),
            _ => {}
        }
        let key = hive.create_all(&path)?;
        match self {
            Self::Set { name, value, .. } => hive.set(key, name, value.clone()),
            Self::SetNew { name, value, .. } if hive.value(key, name).is_err() => {
                hive.set(key, name, value.clone())
            }
            Self::SetExisting { name, value, .. } if hive.value(key, name).is_ok() => {
                hive.set(key, name, value.clone())
            }
            Self::Append { name, texts, .. } => {
                let old = hive.value(key, name).ok();
                let mut all = old.and_then(|(_, value)| value.texts()).unwrap_or_default();
                for text in texts {
                    if !all.contains(text) {
                        all.push(text.clone());
                    }
                }
                let all = RegistryValue::multi_sz(all.iter().map(String::as_str));
                hive.set(key, name, all)
            }
            _ => Ok(()),
        }
    }
}

/// A driver to install: its name, and what its service key says.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    pub(crate) name: String,
    altitude: Option<String>,
    instance_name: Option<String>,
    manual_only: bool,
    more_instances: Vec<(String, String)>,
    edits: Vec<RegistryEdit>,
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
            edits: Vec::new(),
        }
    }

    /// The altitude of the default instance. Without one there is no `Instances` key, unless
    /// [`DriverConfig::edit`] makes it.
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
        self.more_instances.push((name.into(), altitude.into()));
        self
    }

    /// A value of the service's key, or of a key below it: `r"Parameters"`, for one. What stands
    /// there already is replaced.
    #[must_use]
    pub fn value(
        self,
        key: impl Into<String>,
        name: impl Into<String>,
        value: RegistryValue,
    ) -> Self {
        self.edit(RegistryEdit::Set {
            key: key.into(),
            name: name.into(),
            value,
        })
    }

    /// Anything else that is done to the registry, after everything that was said before.
    #[must_use]
    pub fn edit(mut self, edit: RegistryEdit) -> Self {
        self.edits.push(edit);
        self
    }

    /// What an installation writes: the service's values, its instances, then the edits. One that
    /// cannot be done has no effect, as a line of an INF that names nothing has none.
    pub(crate) fn install(&self, hive: &Hive) {
        let set = |key: &str, name: &str, value| RegistryEdit::Set {
            key: key.to_owned(),
            name: name.to_owned(),
            value,
        };
        let image = format!(r"\SystemRoot\System32\drivers\{}.sys", self.name);
        let mut edits = vec![
            set("", "Type", RegistryValue::dword(2)),
            set("", "Start", RegistryValue::dword(3)),
            set("", "ErrorControl", RegistryValue::dword(1)),
            set("", "ImagePath", RegistryValue::expand_sz(&image)),
            set("", "DisplayName", RegistryValue::sz(&self.name)),
            set("", "Group", RegistryValue::sz(GROUP)),
            set("", "DependOnService", RegistryValue::multi_sz(["FltMgr"])),
        ];
        if let Some(altitude) = &self.altitude {
            let default = self.instance_name.clone();
            let default = default.unwrap_or_else(|| format!("{} Instance", self.name));
            let name = RegistryValue::sz(&default);
            edits.push(set("Instances", "DefaultInstance", name));
            let mut instances = vec![(&default, altitude, u32::from(self.manual_only))];
            let more = self.more_instances.iter();
            instances.extend(more.map(|(name, altitude)| (name, altitude, 1)));
            for (name, altitude, flags) in instances {
                let key = format!(r"Instances\{name}");
                edits.push(set(&key, "Altitude", RegistryValue::sz(altitude)));
                edits.push(set(&key, "Flags", RegistryValue::dword(flags)));
            }
        }
        for edit in edits.iter().chain(&self.edits) {
            let _ = edit.apply(hive, &self.name);
        }
    }
}

/// A driver of a machine: its service key and its driver object.
pub(crate) struct DriverRecord {
    pub(crate) machine: Weak<Inner>,
    pub(crate) config: DriverConfig,
    pub(crate) filter: Mutex<Option<Arc<crate::manager::filter::Filter>>>,
    /// Where it starts, if the system can load it by itself.
    pub(crate) entry: Mutex<Option<crate::machine::DriverEntry>>,
    /// It has been started and not unloaded.
    pub(crate) running: AtomicBool,
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
        let path = Owned::new(&format!(r"{SERVICES}\{}", config.name));
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
            entry: Mutex::new(None),
            running: AtomicBool::new(false),
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
