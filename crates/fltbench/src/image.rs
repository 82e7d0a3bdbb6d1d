//! The image door: a driver from its `.sys` file.

use crate::door::Door;
use crate::error::Error;
use crate::inf::Inf;
use fltmgr_sys::NTSTATUS;
use fltsim::image::{Image as Mapped, Installed};
use fltsim::{Driver, DriverConfig};
use std::path::Path;

/// In the range of activity monitors, where a filter belongs that only watches.
const ALTITUDE: &str = "385000";

/// A driver that was loaded from its image.
#[derive(Debug)]
pub struct Image {
    name: String,
    service: DriverConfig,
    mapped: &'static Installed,
}

impl Image {
    /// Loads an image. Its service key comes from an INF: the one that is named, or the one beside
    /// the image with the same name; without any, the driver gets one instance that attaches by
    /// itself.
    ///
    /// # Errors
    /// The image or the INF cannot be used.
    pub fn load(path: &Path, inf: Option<&Path>) -> Result<Self, Error> {
        let mapped = Mapped::load(path)?.install()?;
        let name = driver_name(path);
        let beside = path.with_extension("inf");
        let inf = inf.or_else(|| beside.is_file().then_some(&*beside));
        let service = match inf {
            Some(inf) => Inf::read(inf)?.service(&name),
            None => DriverConfig::new(&name)
                .altitude(ALTITUDE)
                .instance_name(format!("{name} Instance")),
        };
        Ok(Self {
            name,
            service,
            mapped,
        })
    }

    /// What it imports and the simulated kernel does not have.
    #[must_use]
    pub fn missing(&self) -> &'static [String] {
        self.mapped.missing()
    }
}

/// What a driver is called, by its file.
pub(crate) fn driver_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or(path.as_os_str());
    stem.to_string_lossy().into_owned()
}

impl Door for Image {
    fn driver(&self) -> &str {
        &self.name
    }

    fn name(&self) -> &'static str {
        "image"
    }

    fn service(&self) -> DriverConfig {
        self.service.clone()
    }

    fn start(&self, driver: &Driver) -> Result<(), NTSTATUS> {
        self.mapped.start(driver)
    }
}
