//! File objects of devices that drivers have found by name (`IoGetDeviceObjectPointer`).

use super::device::Device;
use super::handle::KernelObject;
use super::irp::{self, Location, Request};
use crate::io::DriverMemory;
use crate::machine::Inner;
use crate::manager::{Object, forget, publish};
use fltmgr_sys::*;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// A file object that is open on a device, as far as a driver may look.
pub(crate) fn opened_on(device: PDEVICE_OBJECT) -> Box<DriverMemory<FILE_OBJECT>> {
    // SAFETY: a file object is integers, nullable pointers and unions of those; all-zero is a valid
    // one.
    let mut file: FILE_OBJECT = unsafe { std::mem::zeroed() };
    file.Type = 5;
    file.Size = i16::try_from(size_of::<FILE_OBJECT>()).unwrap_or(i16::MAX);
    file.DeviceObject = device;
    file.Flags = FO_SYNCHRONOUS_IO;
    Box::new(DriverMemory::new(file))
}

/// Such a file object, which goes with the last reference.
pub(crate) struct DeviceFile {
    machine: Weak<Inner>,
    /// The driver's device; storage, which gets no requests here, has none.
    device: Option<Arc<Device>>,
    file: Box<DriverMemory<FILE_OBJECT>>,
    references: Mutex<u64>,
}

impl DeviceFile {
    /// Opens a device and closes the handle again, so that a reference is all that is left.
    ///
    /// # Errors
    /// What the driver completes the request with.
    pub(crate) fn open(
        machine: &Arc<Inner>,
        pointer: PDEVICE_OBJECT,
        device: Option<Arc<Device>>,
        call: &'static str,
    ) -> Result<Arc<Self>, NTSTATUS> {
        let file = Arc::new(Self {
            machine: Arc::downgrade(machine),
            device,
            file: opened_on(pointer),
            references: Mutex::default(),
        });
        let status = file.send(machine, IRP_MJ_CREATE);
        if !nt_success(status) {
            return Err(status);
        }
        publish(
            machine,
            file.address(),
            Object::Kernel(Arc::clone(&file) as _),
        );
        file.reference(call);
        // Whatever the driver answers, the handle is closed.
        file.send(machine, IRP_MJ_CLEANUP);
        Ok(file)
    }

    fn send(&self, machine: &Arc<Inner>, major: UCHAR) -> NTSTATUS {
        let Some(device) = &self.device else {
            return STATUS_SUCCESS;
        };
        let location = Location::new(major, self.file.pointer(), [0; 4]);
        let prepare = |packet: &mut irp::Packet| packet.requestor = 0;
        let request = Request {
            location,
            prepare: &prepare,
        };
        irp::send(machine, device, &request).0
    }
}

impl KernelObject for DeviceFile {
    fn name(&self) -> &'static str {
        "file object"
    }

    fn handle_name(&self) -> &'static str {
        "file handle"
    }

    fn object_type(&self) -> &'static str {
        "IoFileObjectType"
    }

    fn path(&self) -> Option<String> {
        self.device.as_ref().and_then(|device| device.path())
    }

    fn owner(&self) -> &Weak<Inner> {
        &self.machine
    }

    fn address(&self) -> usize {
        self.file.pointer() as usize
    }

    fn reference(&self, call: &'static str) -> bool {
        *self.references.lock() += 1;
        if let Some(machine) = self.machine.upgrade() {
            machine.held.add("file object", self.address(), call);
        }
        true
    }

    fn dereference(self: Arc<Self>, machine: &Arc<Inner>) -> bool {
        if !machine.held.remove(self.address()) {
            return false;
        }
        let mut references = self.references.lock();
        *references -= 1;
        let is_last = *references == 0;
        drop(references);
        if is_last {
            self.send(machine, IRP_MJ_CLOSE);
            forget(self.address());
        }
        true
    }

    fn handle_opened(&self) {
        *self.references.lock() += 1;
    }

    fn handle_closed(self: Arc<Self>, _machine: &Arc<Inner>) {
        let mut references = self.references.lock();
        *references = references.saturating_sub(1);
    }
}
