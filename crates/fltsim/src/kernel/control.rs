//! What an application does with the device of a driver: open it, and send it control codes.

use super::device::Device;
use super::device_file::opened_on;
use super::handle::{KernelObject, downcast};
use super::irp::{self, Location, Request};
use super::mdl;
use super::memory::Access;
use crate::io::DriverMemory;
use crate::machine::{Inner, Machine};
use fltmgr_sys::*;
use std::fmt;
use std::sync::Arc;

const METHOD_BUFFERED: u32 = 0;
const METHOD_IN_DIRECT: u32 = 1;
const METHOD_NEITHER: u32 = 3;
/// `IRP_MJ_DEVICE_CONTROL`.
const DEVICE_CONTROL: UCHAR = 0x0E;

/// A device of a driver, opened.
pub struct DeviceHandle {
    machine: Arc<Inner>,
    device: Arc<Device>,
    file: Box<DriverMemory<FILE_OBJECT>>,
}

impl fmt::Debug for DeviceHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.device.path();
        f.debug_tuple("DeviceHandle").field(&name).finish()
    }
}

impl Machine {
    /// Opens a device that a driver has created, by its name or by a symbolic link, as an
    /// application does.
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_NOT_FOUND`, or what the driver completes the request with.
    pub fn device(&self, path: &str) -> Result<DeviceHandle, NTSTATUS> {
        let object = self.inner.names.find(path)?;
        let device: Arc<Device> = downcast(object).ok_or(STATUS_OBJECT_TYPE_MISMATCH)?;
        if !device.body.is_open() {
            return Err(STATUS_NO_SUCH_DEVICE);
        }
        let handle = DeviceHandle {
            machine: Arc::clone(&self.inner),
            file: opened_on(device.body.pointer()),
            device,
        };
        let (status, _) = handle.send(IRP_MJ_CREATE, [0; 4], &|_| {});
        if nt_success(status) {
            return Ok(handle);
        }
        // What was never opened is not closed.
        handle.file.modify(|file| file.Type = 0);
        Err(status)
    }
}

impl DeviceHandle {
    fn send(
        &self,
        major: UCHAR,
        parameters: [u64; 4],
        prepare: &dyn Fn(&mut irp::Packet),
    ) -> (NTSTATUS, u64) {
        let location = Location::new(major, self.file.pointer(), parameters);
        irp::send(&self.machine, &self.device, &Request { location, prepare })
    }

    /// Sends a control code (`DeviceIoControl`): how many bytes the driver put into `output`.
    ///
    /// # Errors
    /// What the driver completes the request with.
    pub fn control(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, NTSTATUS> {
        let method = code & 3;
        let (into, out) = (input.len() as u64, output.len() as u64);
        let mut buffer = vec![0_u128; input.len().max(output.len()).div_ceil(16)];
        let system = buffer.as_mut_ptr().cast::<u8>();
        // SAFETY: the buffer is at least as long as the input.
        unsafe { system.copy_from_nonoverlapping(input.as_ptr(), input.len()) };
        let user = output.as_mut_ptr();
        let direct = method != METHOD_BUFFERED && method != METHOD_NEITHER && out > 0;
        let list = if direct {
            self.locked(method, output)
        } else {
            std::ptr::null_mut()
        };
        let type3 = if method == METHOD_NEITHER {
            input.as_ptr() as u64
        } else {
            0
        };
        let parameters = [out, into, code.into(), type3];
        let (status, information) = self.send(DEVICE_CONTROL, parameters, &|packet| {
            packet.mdl = list;
            if method == METHOD_NEITHER {
                packet.user_buffer = user.cast();
            } else {
                packet.system_buffer = system.cast();
            }
        });
        let count = usize::try_from(information).unwrap_or(usize::MAX);
        // A warning brings data too, an error does not.
        if status.cast_unsigned() >> 30 == 3 {
            return Err(status);
        }
        let count = count.min(output.len());
        if method == METHOD_BUFFERED {
            // SAFETY: both are at least so long, and they do not overlap.
            unsafe { user.copy_from_nonoverlapping(system, count) };
        }
        if nt_success(status) {
            Ok(count)
        } else {
            Err(status)
        }
    }

    /// The output buffer, locked for the driver.
    fn locked(&self, method: u32, output: &mut [u8]) -> *mut MDL {
        const CALL: &str = "DeviceIoControl";
        let address = output.as_mut_ptr() as usize;
        let list = mdl::allocate(&self.machine, CALL, address, output.len());
        let access = if method == METHOD_IN_DIRECT {
            Access::Read
        } else {
            Access::Write
        };
        // The buffer is a slice of the test's, which can be locked.
        let _ = mdl::lock(&self.machine, CALL, list, 1, access);
        list
    }
}

impl Drop for DeviceHandle {
    fn drop(&mut self) {
        if self.file.load().Type == 0 {
            return;
        }
        // Whatever the driver answers, the handle is closed.
        let _ = self.send(IRP_MJ_CLEANUP, [0; 4], &|_| {});
        let _ = self.send(IRP_MJ_CLOSE, [0; 4], &|_| {});
    }
}
