//! Volumes.

use core::{fmt, mem::MaybeUninit};

use fltmgr_sys as sys;

use super::{slots, view};
use crate::{Status, registration::Minifilter};

view! {
    /// A volume that the filter is attached to. Holds volume contexts, one for the whole filter
    /// whatever the number of its instances there. Borrowed for the callback. DDI:
    /// `FLT_RELATED_OBJECTS`.
    Volume: Volume
}

slots!(Volume);

/// Longest volume name that [`Volume::name`] returns, in UTF-16 units.
const NAME_CAPACITY: u16 = 128;

/// The name of a volume, e.g. `\Device\HarddiskVolume3`: a copy of up to 128 UTF-16 units.
#[derive(Clone, Copy)]
pub struct VolumeName {
    units: [u16; NAME_CAPACITY as usize],
    length: usize,
}

/// What a volume is made of.
#[derive(Clone, Copy, Debug)]
pub struct VolumeProperties {
    /// Bytes in a sector.
    pub sector_size: u16,
    /// `FILE_DEVICE_XXX` of the file system's device.
    pub device_type: u32,
}

impl<F: Minifilter> Volume<'_, F> {
    /// The volume's name.
    ///
    /// # Errors
    ///
    /// `STATUS_BUFFER_TOO_SMALL` for a name of more than 128 UTF-16 units.
    ///
    /// DDI: `FltGetVolumeName`. IRQL: at most `APC_LEVEL`, proved by the borrow.
    pub fn name(self) -> Result<VolumeName, Status> {
        let mut units = [0; NAME_CAPACITY as usize];
        let mut string = sys::UNICODE_STRING {
            Length: 0,
            MaximumLength: NAME_CAPACITY * 2,
            Buffer: units.as_mut_ptr(),
        };
        // SAFETY: the borrow proves the IRQL and that the volume is alive; the string describes
        // `units`, and the needed size may be left out.
        let status = Status::from_raw(unsafe {
            sys::FltGetVolumeName(self.objects.Volume, &raw mut string, core::ptr::null_mut())
        });
        if status.is_success() {
            Ok(VolumeName {
                units,
                length: usize::from(string.Length) / 2,
            })
        } else {
            Err(status)
        }
    }

    /// The volume's properties.
    ///
    /// # Errors
    ///
    /// The status of `FltGetVolumeProperties` when it returns nothing at all.
    ///
    /// DDI: `FltGetVolumeProperties`. IRQL: at most `APC_LEVEL`, proved by the borrow.
    pub fn properties(self) -> Result<VolumeProperties, Status> {
        let mut properties = MaybeUninit::<sys::FLT_VOLUME_PROPERTIES>::zeroed();
        let mut returned = 0;
        #[allow(clippy::cast_possible_truncation, reason = "72 bytes")]
        let size = const { size_of::<sys::FLT_VOLUME_PROPERTIES>() as u32 };
        // SAFETY: the borrow proves the IRQL and that the volume is alive; the buffer is as large
        // as said, and both out-pointers may be written.
        let status = Status::from_raw(unsafe {
            sys::FltGetVolumeProperties(
                self.objects.Volume,
                properties.as_mut_ptr(),
                size,
                &raw mut returned,
            )
        });
        // The strings behind the structure never fit here: that overflow is expected.
        if !status.is_success() && status != Status::BUFFER_OVERFLOW {
            return Err(status);
        }
        // SAFETY: all-zero is a valid value of this structure, and the call wrote over some of it.
        let properties = unsafe { properties.assume_init() };
        Ok(VolumeProperties {
            sector_size: properties.SectorSize,
            device_type: properties.DeviceType,
        })
    }
}

impl VolumeName {
    /// The name in UTF-16.
    #[must_use]
    pub fn as_utf16(&self) -> &[u16] {
        self.units.get(..self.length).unwrap_or(&[])
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::name::write_utf16(self.as_utf16(), f)
    }
}

impl fmt::Debug for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
