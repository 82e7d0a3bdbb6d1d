//! Volumes.

use super::Instance;
use super::reference::Rundown;
use crate::filesystem::Personality;
use crate::io::VolumeIo;
use crate::machine::Inner;
use fltmgr_sys::{DEVICE_OBJECT, PDEVICE_OBJECT, PFLT_VOLUME};
use parking_lot::RwLock;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

/// A mounted volume.
pub(crate) struct Volume {
    pub(crate) id: u64,
    pub(crate) machine: Weak<Inner>,
    /// The device name, e.g. `\Device\HarddiskVolume1`.
    pub(crate) name: String,
    pub(crate) personality: Personality,
    pub(crate) read_only: bool,
    pub(crate) references: Rundown,
    /// Attached instances from the highest altitude to the lowest. Cloned, never held locked,
    /// while callbacks run.
    pub(crate) instances: RwLock<Vec<Arc<Instance>>>,
    /// The file system and the file objects.
    pub(crate) io: VolumeIo,
    dismounted: AtomicBool,
    device: UnsafeCell<DEVICE_OBJECT>,
}

// SAFETY: the device object is only ever handed out by address: this crate writes it before the
// volume is shared and does not read it afterwards. Everything else is `Send` and `Sync`.
unsafe impl Send for Volume {}
// SAFETY: as above.
unsafe impl Sync for Volume {}

impl Volume {
    pub(crate) fn new(
        machine: Weak<Inner>,
        id: u64,
        name: String,
        personality: Personality,
        read_only: bool,
        io: VolumeIo,
    ) -> Self {
        // SAFETY: a device object is integers and nullable pointers; all-zero is a valid one.
        let mut device: DEVICE_OBJECT = unsafe { std::mem::zeroed() };
        device.Type = 3;
        device.Size = u16::try_from(size_of::<DEVICE_OBJECT>()).unwrap_or(u16::MAX);
        device.DeviceType = personality.device_type;
        device.SectorSize = u16::try_from(personality.sector_size).unwrap_or(u16::MAX);
        Self {
            id,
            machine,
            name,
            personality,
            read_only,
            references: Rundown::default(),
            instances: RwLock::default(),
            io,
            dismounted: AtomicBool::new(false),
            device: UnsafeCell::new(device),
        }
    }

    /// What a driver knows it by.
    pub(crate) fn pointer(self: &Arc<Self>) -> PFLT_VOLUME {
        Arc::as_ptr(self).cast_mut().cast()
    }

    /// Its device object, for file objects and for drivers that ask.
    pub(crate) fn device(&self) -> PDEVICE_OBJECT {
        self.device.get()
    }

    /// The instances at this moment, from the top.
    pub(crate) fn stack(&self) -> Vec<Arc<Instance>> {
        self.instances.read().clone()
    }

    /// Whether the volume is going or gone: contexts can no longer be set on it.
    pub(crate) fn is_dismounted(&self) -> bool {
        self.dismounted.load(Ordering::Acquire)
    }

    /// Marks the volume as going; `false` if it was before.
    pub(crate) fn begin_dismount(&self) -> bool {
        self.references.begin();
        !self.dismounted.swap(true, Ordering::AcqRel)
    }
}
