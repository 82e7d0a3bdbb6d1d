//! The instance definitions of a service, as the Filter Manager reads them.

use super::{Hive, SERVICES};
use fltmgr_sys::{NTSTATUS, STATUS_OBJECT_NAME_NOT_FOUND};

/// One subkey of a service's `Instances` key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstanceDefinition {
    pub(crate) name: String,
    pub(crate) altitude: String,
    /// Bit 0: no automatic attachment.
    pub(crate) flags: u32,
}

/// All instance definitions of a service, the default one first; never none.
///
/// They are under `Parameters`, or else in the service's key itself.
///
/// # Errors
/// `STATUS_OBJECT_NAME_NOT_FOUND` if there are none, no default one, or that has no altitude.
pub(crate) fn definitions(hive: &Hive, service: &str) -> Result<Vec<InstanceDefinition>, NTSTATUS> {
    let places = [r"\Parameters\Instances", r"\Instances"];
    let key = places
        .iter()
        .find_map(|place| {
            hive.find_absolute(&format!(r"{SERVICES}\{service}{place}"))
                .ok()
        })
        .ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
    let text = |key, name| hive.value(key, name).ok()?.1.text();
    let default = text(key, "DefaultInstance").ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
    let mut all = Vec::new();
    for subkey in hive.describe(key)?.subkeys {
        // Without an altitude an instance cannot attach, and is as good as not there.
        if let (Ok(found), Some(altitude)) = (hive.describe(subkey), text(subkey, "Altitude")) {
            let flags = hive.value(subkey, "Flags").ok();
            let flags = flags.and_then(|(_, value)| value.number()?.try_into().ok());
            all.push(InstanceDefinition {
                name: found.name,
                altitude,
                flags: flags.unwrap_or(0),
            });
        }
    }
    let first = all
        .iter()
        .position(|one| one.name.eq_ignore_ascii_case(&default))
        .ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
    all[..=first].rotate_right(1);
    Ok(all)
}
