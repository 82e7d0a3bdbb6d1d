//! The ways in which a driver gets into the machine.

use fltmgr_sys::NTSTATUS;
use fltsim::{Driver, DriverConfig, DriverEntry};

/// A driver, and how to start it.
pub trait Door {
    /// What the driver is called.
    fn driver(&self) -> &str;

    /// What the report calls this door.
    fn name(&self) -> &'static str;

    /// The service key that the driver was installed with.
    fn service(&self) -> DriverConfig;

    /// Starts the installed driver.
    ///
    /// # Errors
    /// The status that its entry point failed with.
    fn start(&self, driver: &Driver) -> Result<(), NTSTATUS>;
}

/// A driver that is linked into this process.
#[derive(Clone, Debug)]
pub struct InProcess {
    name: String,
    service: DriverConfig,
    entry: DriverEntry,
}

impl InProcess {
    /// A driver with one instance, at an altitude, that attaches by itself.
    #[must_use]
    pub fn new(name: &str, altitude: &str, entry: DriverEntry) -> Self {
        Self {
            name: name.to_owned(),
            service: DriverConfig::new(name)
                .altitude(altitude)
                .instance_name(format!("{name} Instance")),
            entry,
        }
    }
}

impl Door for InProcess {
    fn driver(&self) -> &str {
        &self.name
    }

    fn name(&self) -> &'static str {
        "in-process"
    }

    fn service(&self) -> DriverConfig {
        self.service.clone()
    }

    fn start(&self, driver: &Driver) -> Result<(), NTSTATUS> {
        driver.start(self.entry)
    }
}
