//! Volumes.

use super::reference::Rundown;
use super::{Instance, Object, find, publish};
use crate::filesystem::Personality;
use crate::io::VolumeIo;
use crate::kernel::handle::{KernelObject, downcast};
use crate::machine::Inner;
use fltmgr_sys::{DEVICE_OBJECT, FILE_DEVICE_DISK, PDEVICE_OBJECT, PFLT_VOLUME};
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
    /// The device of the storage below the file system, if there is any.
    disk: Option<UnsafeCell<DEVICE_OBJECT>>,
}

// SAFETY: the device objects are only ever handed out by address: this crate writes them before the
// volume is shared and does not read them afterwards. Everything else is `Send` and `Sync`.
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
        Self {
            id,
            machine,
            name,
            read_only,
            references: Rundown::default(),
            instances: RwLock::default(),
            io,
            dismounted: AtomicBool::new(false),
            device: UnsafeCell::new(device_of(&personality)),
            disk: (personality.device_type == FILE_DEVICE_DISK)
                .then(|| UnsafeCell::new(device_of(&personality))),
            personality,
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

    /// The device object of the disk that it is on.
    pub(crate) fn disk(&self) -> Option<PDEVICE_OBJECT> {
        self.disk.as_ref().map(UnsafeCell::get)
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

fn device_of(personality: &Personality) -> DEVICE_OBJECT {
    // SAFETY: a device object is integers and nullable pointers; all-zero is a valid one.
    let mut device: DEVICE_OBJECT = unsafe { std::mem::zeroed() };
    device.Type = 3;
    device.Size = u16::try_from(size_of::<DEVICE_OBJECT>()).unwrap_or(u16::MAX);
    device.DeviceType = personality.device_type;
    device.SectorSize = u16::try_from(personality.sector_size).unwrap_or(u16::MAX);
    device
}

/// One of the device objects of a volume, which drivers reference and dereference.
pub(crate) struct VolumeDevice {
    volume: Arc<Volume>,
    address: usize,
    name: &'static str,
}

impl VolumeDevice {
    /// Makes the devices of a volume known by their addresses.
    pub(crate) fn publish(machine: &Inner, volume: &Arc<Volume>) {
        let one = |device: PDEVICE_OBJECT, name| {
            let device = Self {
                volume: Arc::clone(volume),
                address: device as usize,
                name,
            };
            publish(machine, device.address, Object::Kernel(Arc::new(device)));
        };
        one(volume.device(), "device object of a volume");
        if let Some(disk) = volume.disk() {
            one(disk, "device object of a disk");
        }
    }
}

/// The volume that a device is of, the device of its disk included.
pub(crate) fn of_device(device: PDEVICE_OBJECT) -> Option<Arc<Volume>> {
    let found = find(device as usize).and_then(Object::kernel)?;
    let found: Arc<VolumeDevice> = downcast(found)?;
    Some(Arc::clone(&found.volume))
}

impl KernelObject for VolumeDevice {
    fn name(&self) -> &'static str {
        self.name
    }

    fn handle_name(&self) -> &'static str {
        "device handle"
    }

    fn object_type(&self) -> &'static str {
        "IoDeviceObjectType"
    }

    fn path(&self) -> Option<String> {
        Some(self.volume.name.clone())
    }

    fn owner(&self) -> &Weak<Inner> {
        &self.volume.machine
    }

    fn address(&self) -> usize {
        self.address
    }

    fn reference(&self, call: &'static str) -> bool {
        if let Some(machine) = self.volume.machine.upgrade() {
            machine.held.add(self.name, self.address, call);
        }
        true
    }

    fn dereference(self: Arc<Self>, machine: &Arc<Inner>) -> bool {
        machine.held.remove(self.address)
    }

    fn handle_opened(&self) {}

    fn handle_closed(self: Arc<Self>, _machine: &Arc<Inner>) {}
}
