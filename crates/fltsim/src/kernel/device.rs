//! Device objects that drivers create, and the names that lead to them.

use super::handle::KernelObject;
use super::object::{Body, Counted};
use super::pool::Block;
use super::registry::DriverRecord;
use crate::machine::Inner;
use fltmgr_sys::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// `DO_EXCLUSIVE`.
const EXCLUSIVE: ULONG = 0x8;
/// `DO_DEVICE_HAS_NAME`.
const HAS_NAME: ULONG = 0x40;
/// `DO_DEVICE_INITIALIZING`.
const INITIALIZING: ULONG = 0x80;
/// `IO_TYPE_DEVICE`.
const TYPE: i16 = 3;

/// A device object with its extension behind it.
pub(crate) struct DeviceBody {
    memory: Block,
    driver: Arc<DriverRecord>,
    deleted: AtomicBool,
}

/// A device.
pub(crate) type Device = Counted<DeviceBody>;

impl Body for DeviceBody {
    const NAME: &'static str = "device object";
    const HANDLE_NAME: &'static str = "device handle";
    const TYPE: &'static str = "IoDeviceObjectType";

    fn address(&self) -> usize {
        self.memory.address()
    }
}

impl DeviceBody {
    pub(crate) fn pointer(&self) -> PDEVICE_OBJECT {
        self.memory.address() as PDEVICE_OBJECT
    }

    /// The driver's routine for a major function, as the driver object says now.
    pub(crate) fn routine(&self, major: UCHAR) -> usize {
        let driver = self.driver.pointer();
        // SAFETY: the driver object lives as long as its record.
        let routines = unsafe { (*driver).MajorFunction };
        routines
            .get(usize::from(major))
            .map_or(0, |routine| *routine as usize)
    }

    /// Whether its driver may get requests for it.
    pub(crate) fn is_open(&self) -> bool {
        // SAFETY: the memory is that of a device object, as it was made.
        let flags = unsafe { (*self.pointer()).Flags };
        flags & INITIALIZING == 0 && !self.deleted.load(Ordering::Acquire)
    }
}

/// What `IoCreateDevice` is given.
pub(crate) struct Wanted {
    pub(crate) extension: usize,
    pub(crate) path: Option<String>,
    pub(crate) kind: DEVICE_TYPE,
    pub(crate) characteristics: ULONG,
    pub(crate) exclusive: bool,
}

/// Creates a device; the driver has to delete it.
pub(crate) fn create(
    machine: &Inner,
    driver: &Arc<DriverRecord>,
    wanted: Wanted,
    call: &'static str,
) -> Result<PDEVICE_OBJECT, NTSTATUS> {
    let size = size_of::<DEVICE_OBJECT>().saturating_add(wanted.extension);
    let size_field = u16::try_from(size).map_err(|_| STATUS_INVALID_PARAMETER)?;
    let memory = Block::new(size).ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
    memory.fill(0);
    let pointer = memory.address() as PDEVICE_OBJECT;
    let extension = memory.address() + size_of::<DEVICE_OBJECT>();
    let named = if wanted.path.is_some() { HAS_NAME } else { 0 };
    let exclusive = if wanted.exclusive { EXCLUSIVE } else { 0 };
    let body = DeviceBody {
        memory,
        driver: Arc::clone(driver),
        deleted: AtomicBool::new(false),
    };
    let device = Device::create(machine, wanted.path, body)?;
    let owner = driver.pointer();
    // SAFETY: a device object is integers and nullable pointers; all-zero is a valid one.
    let mut value: DEVICE_OBJECT = unsafe { std::mem::zeroed() };
    value.Type = TYPE;
    value.Size = size_field;
    value.DriverObject = owner;
    // SAFETY: the driver object lives as long as its record.
    value.NextDevice = unsafe { (*owner).DeviceObject };
    value.Flags = INITIALIZING | named | exclusive;
    value.Characteristics = wanted.characteristics;
    value.DeviceType = wanted.kind;
    value.StackSize = 1;
    if wanted.extension > 0 {
        value.DeviceExtension = extension as PVOID;
    }
    // SAFETY: the memory is as large as a device object and aligned as pool is.
    unsafe { pointer.write(value) };
    // SAFETY: as above.
    unsafe { (*owner).DeviceObject = pointer };
    device.reference(call);
    Ok(pointer)
}

/// Deletes a device: it leaves its driver's list, and goes when nobody references it any more.
pub(crate) fn delete(machine: &Arc<Inner>, device: &Arc<Device>) -> bool {
    if device.body.deleted.swap(true, Ordering::AcqRel) {
        return false;
    }
    let (pointer, owner) = (device.body.pointer(), device.body.driver.pointer());
    // SAFETY: the driver object lives as long as its record.
    let mut link = unsafe { &raw mut (*owner).DeviceObject };
    loop {
        // SAFETY: the head of the list, or the link in one of the devices in it, which exist.
        let next = unsafe { link.read() };
        if next.is_null() {
            break;
        }
        if next == pointer {
            // SAFETY: the device that is being deleted.
            let after = unsafe { (*next).NextDevice };
            // SAFETY: as above.
            unsafe { link.write(after) };
            break;
        }
        // SAFETY: the next device in the list.
        link = unsafe { &raw mut (*next).NextDevice };
    }
    Arc::clone(device).dereference(machine)
}

/// `DriverEntry` has succeeded: what it has created may be opened.
pub(crate) fn initialized(driver: &DriverRecord) {
    let owner = driver.pointer();
    // SAFETY: the driver object lives as long as its record.
    let mut device = unsafe { (*owner).DeviceObject };
    while !device.is_null() {
        // SAFETY: the devices in the list exist.
        unsafe { (*device).Flags &= !INITIALIZING };
        // SAFETY: as above.
        device = unsafe { (*device).NextDevice };
    }
}
