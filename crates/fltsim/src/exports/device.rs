//! Device objects, symbolic links and IRPs.

use super::{bad_pointer, driver, enter, exports, here, wmi, write};
use crate::OpenOptions;
use crate::io::{self, ObjectName, Origin};
use crate::kernel::device::{self, Device, Wanted};
use crate::kernel::device_file::DeviceFile;
use crate::kernel::handle::{Grant, KernelObject, downcast};
use crate::kernel::irp::{self, Packet};
use crate::kernel::string;
use crate::kernel::thread::{self, SYSTEM};
use crate::machine::Inner;
use crate::manager::{Object, find, volume};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;

const SYNCHRONOUS_API: ULONG = 0x4;
const SYNCHRONOUS_PAGING_IO: ULONG = 0x40;

fn status_of(result: Result<(), NTSTATUS>) -> NTSTATUS {
    result.err().unwrap_or(STATUS_SUCCESS)
}

/// # Safety
/// Both are strings.
unsafe fn link(call: &'static str, name: PCUNICODE_STRING, target: PCUNICODE_STRING) -> NTSTATUS {
    let Some(machine) = here(call) else {
        return STATUS_INVALID_PARAMETER;
    };
    // SAFETY: by this function's contract.
    let name = unsafe { string::read(name) };
    // SAFETY: by this function's contract.
    let target = unsafe { string::read(target) };
    let Some((name, target)) = name.zip(target) else {
        return STATUS_INVALID_PARAMETER;
    };
    if io::link_target(&machine, &name).is_some() {
        return STATUS_OBJECT_NAME_COLLISION;
    }
    // A name and no address: nobody follows it.
    let token = 0x7C00_0000_0000 + usize::try_from(machine.next_id()).unwrap_or(0) * 16;
    let made = machine.names.link(&name, &target, token);
    if made.is_ok() {
        machine.held.add("symbolic link", token, call);
    }
    status_of(made)
}

/// A device of any driver.
fn found(call: &'static str, device: PDEVICE_OBJECT) -> Option<Arc<dyn KernelObject>> {
    let found = find(device as usize).and_then(Object::kernel);
    let found = found.filter(|found| found.object_type() == "IoDeviceObjectType");
    if found.is_none() {
        bad_pointer(call, "DeviceObject", device as usize, "device");
    }
    found
}

/// Either end of the stack that a device is in, referenced: none is attached to another one here.
fn end_of_stack(call: &'static str, device: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
    here(call);
    let end = found(call, device).filter(|found| found.reference(call));
    end.map_or(null_mut(), |_| device)
}

/// Opens a device of a driver, of a file system or of storage by its name: the file object and the
/// device.
fn open_by_name(
    machine: &Arc<Inner>,
    name: &str,
    access: ACCESS_MASK,
    call: &'static str,
) -> Result<(PFILE_OBJECT, PDEVICE_OBJECT), NTSTATUS> {
    match machine.names.find(name) {
        Ok(object) => {
            let device: Arc<Device> = downcast(object).ok_or(STATUS_OBJECT_TYPE_MISMATCH)?;
            if !device.body.is_open() {
                return Err(STATUS_NO_SUCH_DEVICE);
            }
            let pointer = device.body.pointer();
            let file = DeviceFile::open(machine, pointer, Some(device), call)?;
            return Ok((file.address() as PFILE_OBJECT, pointer));
        }
        Err(STATUS_OBJECT_NAME_NOT_FOUND | STATUS_OBJECT_PATH_NOT_FOUND) => {}
        Err(status) => return Err(status),
    }
    let found = ObjectName {
        root: null_mut(),
        units: name.encode_utf16().collect(),
        by_id: false,
    };
    let found = io::find_name(machine, &found)?;
    let volume = &found.volume;
    // Who wants no more than attributes of the device itself does not come to the file system.
    let direct = found.path.is_empty() && access & !(FILE_READ_ATTRIBUTES | SYNCHRONIZE) == 0;
    if let Some(disk) = volume.disk().filter(|_| direct) {
        let file = DeviceFile::open(machine, disk, None, call)?;
        return Ok((file.address() as PFILE_OBJECT, disk));
    }
    let share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    let options = OpenOptions::bare(access, FILE_OPEN, 0).share(share);
    let origin = Origin {
        kernel: true,
        ..Origin::default()
    };
    let (file, _) = io::open(machine, volume, &found.path, &options, origin)?;
    let object: Arc<dyn KernelObject> = Arc::clone(&file) as _;
    let handle = machine
        .handles
        .open(machine, Arc::clone(&object), Grant::default(), call);
    let pointer = file.pointer();
    object.reference(call);
    machine.held.add("file object", object.address(), call);
    // The handle and the reference keep the file from here on.
    file.release();
    machine.handles.close(machine, handle);
    Ok((pointer, volume.device()))
}

/// What stands for the registration of a device in the reports: a place inside it.
fn shutdown(device: PDEVICE_OBJECT) -> usize {
    device as usize + 1
}

fn register_shutdown(call: &'static str, device: PDEVICE_OBJECT) -> NTSTATUS {
    let Some(machine) = here(call) else {
        return STATUS_INVALID_PARAMETER;
    };
    if irp::device(device as usize).is_none() {
        bad_pointer(call, "DeviceObject", device as usize, "device of a driver");
        return STATUS_INVALID_PARAMETER;
    }
    machine
        .held
        .add("shutdown notification", shutdown(device), call);
    STATUS_SUCCESS
}

exports! {
    /// Creates a device.
    unsafe fn IoCreateDevice(
        owner: PDRIVER_OBJECT,
        extension: ULONG,
        name: PCUNICODE_STRING,
        kind: DEVICE_TYPE,
        characteristics: ULONG,
        exclusive: BOOLEAN,
        place: *mut PDEVICE_OBJECT,
    ) -> NTSTATUS {
        const CALL: &str = "IoCreateDevice";
        // SAFETY: the caller passes a place.
        unsafe { write(place, null_mut()) };
        let Some((machine, owner)) = driver(CALL, "DriverObject", owner) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        // SAFETY: the caller passes a string or null.
        let path = unsafe { string::read(name) };
        let wanted = Wanted {
            extension: extension as usize,
            path: path.filter(|path| !path.is_empty()),
            kind,
            characteristics,
            exclusive: exclusive != 0,
        };
        match device::create(&machine, &owner, wanted, CALL) {
            Ok(device) => {
                // SAFETY: as above.
                unsafe { write(place, device) };
                STATUS_SUCCESS
            }
            Err(status) => status,
        }
    }

    /// Deletes a device.
    unsafe fn IoDeleteDevice(target: PDEVICE_OBJECT) {
        const CALL: &str = "IoDeleteDevice";
        let Some(machine) = here(CALL) else {
            return;
        };
        let Some(found) = irp::device(target as usize) else {
            bad_pointer(CALL, "DeviceObject", target as usize, "device of a driver");
            return;
        };
        if machine.held.remove(shutdown(target)) {
            let text = "the device was deleted with its shutdown notification registered";
            machine.verifier.violation(Rule::V20, CALL, text);
        }
        if wmi::deregister(&machine, target) {
            let text = "the device was deleted with its WMI registration";
            machine.verifier.violation(Rule::V20, CALL, text);
        }
        if !device::delete(&machine, &found) {
            let text = format!("the device {target:p} was deleted before");
            machine.verifier.violation(Rule::V20, CALL, text);
        }
    }

    /// Makes a symbolic link to the name of a device.
    unsafe fn IoCreateSymbolicLink(name: PCUNICODE_STRING, target: PCUNICODE_STRING) -> NTSTATUS {
        // SAFETY: the caller passes strings.
        unsafe { link("IoCreateSymbolicLink", name, target) }
    }

    /// Makes a symbolic link that everybody may change.
    unsafe fn IoCreateUnprotectedSymbolicLink(
        name: PCUNICODE_STRING,
        target: PCUNICODE_STRING,
    ) -> NTSTATUS {
        // SAFETY: the caller passes strings.
        unsafe { link("IoCreateUnprotectedSymbolicLink", name, target) }
    }

    /// Deletes a symbolic link.
    unsafe fn IoDeleteSymbolicLink(name: PCUNICODE_STRING) -> NTSTATUS {
        let Some(machine) = here("IoDeleteSymbolicLink") else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes a string.
        let name = unsafe { string::read(name) }.unwrap_or_default();
        status_of(machine.names.unlink(&name).map(|token| {
            machine.held.remove(token);
        }))
    }

    /// Asks for a request at shutdown, which never comes here.
    unsafe fn IoRegisterShutdownNotification(device: PDEVICE_OBJECT) -> NTSTATUS {
        register_shutdown("IoRegisterShutdownNotification", device)
    }

    /// Asks for a request at the end of shutdown.
    unsafe fn IoRegisterLastChanceShutdownNotification(device: PDEVICE_OBJECT) -> NTSTATUS {
        register_shutdown("IoRegisterLastChanceShutdownNotification", device)
    }

    /// Takes what was asked for at shutdown back; nothing happens if nothing was.
    unsafe fn IoUnregisterShutdownNotification(device: PDEVICE_OBJECT) {
        if let Some(machine) = here("IoUnregisterShutdownNotification") {
            while machine.held.remove(shutdown(device)) {}
        }
    }

    /// Allocates an IRP.
    unsafe fn IoAllocateIrp(locations: i8, _charge: BOOLEAN) -> *mut Packet {
        const CALL: &str = "IoAllocateIrp";
        let machine = here(CALL);
        machine.map_or(null_mut(), |machine| irp::allocate(&machine, locations, CALL))
    }

    /// Frees an IRP.
    unsafe fn IoFreeIrp(packet: *mut Packet) {
        const CALL: &str = "IoFreeIrp";
        if let Some(machine) = here(CALL) {
            irp::free(&machine, packet, CALL);
        }
    }

    /// Sends an IRP to a device of a driver.
    unsafe fn IofCallDriver(device: PDEVICE_OBJECT, packet: *mut Packet) -> NTSTATUS {
        const CALL: &str = "IofCallDriver";
        let machine = here(CALL);
        machine.map_or(STATUS_INVALID_PARAMETER, |machine| {
            irp::call(&machine, device, packet, CALL)
        })
    }

    /// Completes an IRP.
    unsafe fn IofCompleteRequest(packet: *mut Packet, _boost: i8) {
        const CALL: &str = "IofCompleteRequest";
        if let Some(machine) = here(CALL) {
            irp::complete(&machine, packet, CALL);
        }
    }

    /// The process of the thread that an IRP is of.
    unsafe fn IoGetRequestorProcess(packet: *mut Packet) -> PVOID {
        here("IoGetRequestorProcess");
        // SAFETY: the caller passes an IRP.
        let thread = unsafe { (*packet).thread };
        if thread.is_null() { null_mut() } else { thread::system().address() as PVOID }
    }

    /// The number of that process.
    unsafe fn IoGetRequestorProcessId(packet: *mut Packet) -> ULONG {
        here("IoGetRequestorProcessId");
        // SAFETY: the caller passes an IRP.
        let thread = unsafe { (*packet).thread };
        if thread.is_null() { 0 } else { ULONG::try_from(SYSTEM).unwrap_or(0) }
    }

    /// Whether the thread that an IRP is of waits for it.
    unsafe fn IoIsOperationSynchronous(packet: *mut Packet) -> BOOLEAN {
        here("IoIsOperationSynchronous");
        // SAFETY: the caller passes an IRP with a current location.
        BOOLEAN::from(unsafe { irp::is_synchronous(packet, SYNCHRONOUS_API | SYNCHRONOUS_PAGING_IO) })
    }

    /// The highest device on a device, referenced.
    unsafe fn IoGetAttachedDeviceReference(device: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
        end_of_stack("IoGetAttachedDeviceReference", device)
    }

    /// The highest device on a device.
    unsafe fn IoGetAttachedDevice(device: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
        const CALL: &str = "IoGetAttachedDevice";
        here(CALL);
        found(CALL, device).map_or(null_mut(), |_| device)
    }

    /// The lowest device of a stack, referenced.
    unsafe fn IoGetDeviceAttachmentBaseRef(device: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
        end_of_stack("IoGetDeviceAttachmentBaseRef", device)
    }

    /// The device below a device: none is attached to another one here.
    unsafe fn IoGetLowerDeviceObject(device: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
        const CALL: &str = "IoGetLowerDeviceObject";
        here(CALL);
        found(CALL, device);
        null_mut()
    }

    /// The device of the storage below a file system's, referenced.
    unsafe fn IoGetDiskDeviceObject(
        device: PDEVICE_OBJECT,
        returned: *mut PDEVICE_OBJECT,
    ) -> NTSTATUS {
        const CALL: &str = "IoGetDiskDeviceObject";
        here(CALL);
        let volume = volume::of_device(device).filter(|volume| volume.device() == device);
        let Some(volume) = volume else {
            bad_pointer(CALL, "FileSystemDeviceObject", device as usize, "device of a file system");
            return STATUS_INVALID_PARAMETER;
        };
        let Some(disk) = volume.disk() else {
            return STATUS_INVALID_PARAMETER;
        };
        if volume.is_dismounted() {
            return STATUS_VOLUME_DISMOUNTED;
        }
        if let Some(disk) = find(disk as usize).and_then(Object::kernel) {
            disk.reference(CALL);
        }
        // SAFETY: the caller passes a place.
        unsafe { write(returned, disk) };
        STATUS_SUCCESS
    }

    /// Finds a device by its name, and opens it: its file object, referenced, is what the driver has
    /// to give back.
    unsafe fn IoGetDeviceObjectPointer(
        name: PCUNICODE_STRING,
        access: ACCESS_MASK,
        file: *mut PFILE_OBJECT,
        device: *mut PDEVICE_OBJECT,
    ) -> NTSTATUS {
        const CALL: &str = "IoGetDeviceObjectPointer";
        let Some(machine) = here(CALL) else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes a string.
        let name = unsafe { string::read(name) }.unwrap_or_default();
        match open_by_name(&machine, &name, access, CALL) {
            Ok((found, object)) => {
                // SAFETY: the caller passes a place.
                unsafe { write(file, found) };
                // SAFETY: as above.
                unsafe { write(device, object) };
                STATUS_SUCCESS
            }
            Err(status) => status,
        }
    }

    /// The device that the requests of a file object go to.
    unsafe fn IoGetRelatedDeviceObject(file: PFILE_OBJECT) -> PDEVICE_OBJECT {
        const CALL: &str = "IoGetRelatedDeviceObject";
        let Some((machine, file)) = super::file_object(CALL, "FileObject", file) else {
            return null_mut();
        };
        enter(&machine, CALL);
        file.volume().device()
    }

    /// The rights that the generic ones stand for, for files.
    unsafe fn IoGetFileObjectGenericMapping() -> *const GenericMapping {
        here("IoGetFileObjectGenericMapping");
        &raw const FILE_MAPPING
    }
}

/// `GENERIC_MAPPING`.
#[repr(C)]
pub(crate) struct GenericMapping {
    read: ACCESS_MASK,
    write: ACCESS_MASK,
    execute: ACCESS_MASK,
    all: ACCESS_MASK,
}

static FILE_MAPPING: GenericMapping = GenericMapping {
    read: FILE_GENERIC_READ,
    write: FILE_GENERIC_WRITE,
    execute: FILE_GENERIC_EXECUTE,
    all: 0x001F_01FF,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::kernel::ObfDereferenceObject;
    use crate::filesystem::Personality;
    use crate::{Machine, VolumeConfig};

    fn disk(device: PDEVICE_OBJECT) -> Result<PDEVICE_OBJECT, NTSTATUS> {
        let mut disk = null_mut();
        // SAFETY: a place; the device is looked up.
        let status = unsafe { IoGetDiskDeviceObject(device, &raw mut disk) };
        if nt_success(status) {
            Ok(disk)
        } else {
            Err(status)
        }
    }

    #[test]
    fn a_volume_has_a_stack_of_one_device_and_a_disk() {
        let machine = Machine::default();
        let add = |name, personality| machine.add_volume(VolumeConfig::memory(name, personality));
        let volume = add("\\Device\\V", Personality::ntfs());
        let remote = add("\\Device\\Mup", Personality::redirector());
        let device = volume.object.device();
        let storage = volume.object.disk().unwrap();
        machine.at_irql(DISPATCH_LEVEL, || {
            // SAFETY: the device is looked up.
            assert_eq!(unsafe { IoGetAttachedDevice(device) }, device);
            // SAFETY: as above.
            assert_eq!(unsafe { IoGetLowerDeviceObject(device) }, null_mut());
            // SAFETY: as above.
            assert_eq!(unsafe { IoGetDeviceAttachmentBaseRef(device) }, device);
            assert_eq!(disk(device), Ok(storage));
            assert!(machine.verifier().reports().is_empty());
            for object in [device, storage] {
                // SAFETY: one of the devices that are referenced.
                unsafe { ObfDereferenceObject(object.cast()) };
            }
            assert_eq!(disk(remote.object.device()), Err(STATUS_INVALID_PARAMETER));
            assert_eq!(disk(device), Ok(storage));
        });
        volume.dismount();
        machine.at_irql(DISPATCH_LEVEL, || {
            assert_eq!(disk(device), Err(STATUS_VOLUME_DISMOUNTED));
            assert!(machine.verifier().reports().is_empty());
            assert_eq!(disk(storage), Err(STATUS_INVALID_PARAMETER));
            // SAFETY: as above.
            assert_eq!(unsafe { IoGetLowerDeviceObject(null_mut()) }, null_mut());
        });
        let outcome = machine.finish();
        let leaks: Vec<_> = outcome
            .leaks
            .iter()
            .map(|leak| (leak.object, leak.count))
            .collect();
        assert_eq!(leaks, [("device object of a disk", 1)]);
        let violations: Vec<_> = outcome
            .violations
            .iter()
            .map(|report| report.call)
            .collect();
        assert_eq!(
            violations,
            ["IoGetDiskDeviceObject", "IoGetLowerDeviceObject"]
        );
    }

    fn pointer(
        name: &str,
        access: ACCESS_MASK,
    ) -> Result<(PFILE_OBJECT, PDEVICE_OBJECT), NTSTATUS> {
        let name = string::Owned::new(name);
        let (mut file, mut device) = (null_mut(), null_mut());
        // SAFETY: a string and places.
        let status = unsafe {
            IoGetDeviceObjectPointer(name.pointer(), access, &raw mut file, &raw mut device)
        };
        if nt_success(status) {
            Ok((file, device))
        } else {
            Err(status)
        }
    }

    fn dereference(file: PFILE_OBJECT) {
        // SAFETY: a file object that is referenced.
        unsafe { ObfDereferenceObject(file.cast()) };
    }

    thread_local! {
        static MAJORS: std::cell::RefCell<Vec<UCHAR>> = const { std::cell::RefCell::new(Vec::new()) };
    }

    fltapi! {
        /// Completes whatever comes.
        ///
        /// # Safety
        /// A packet with a current location.
        unsafe fn dispatch(_device: PDEVICE_OBJECT, packet: *mut Packet) -> NTSTATUS {
            // SAFETY: by this function's contract.
            let location = unsafe { (*packet).location };
            // SAFETY: by this function's contract.
            let major = unsafe { (*location).major };
            MAJORS.with_borrow_mut(|majors| majors.push(major));
            // SAFETY: by this function's contract.
            unsafe { (*packet).status = STATUS_SUCCESS };
            // SAFETY: the packet that this is about.
            unsafe { IofCompleteRequest(packet, 0) };
            STATUS_SUCCESS
        }
    }

    #[test]
    fn volumes_are_found_by_name() {
        let machine = Machine::default();
        let config = VolumeConfig::memory("\\Device\\HarddiskVolume1", Personality::ntfs());
        let volume = machine.add_volume(config);
        let [device, disk] = [volume.object.device(), volume.object.disk().unwrap()];
        machine.at_irql(PASSIVE_LEVEL, || {
            for name in ["\\Device\\HarddiskVolume1", "\\??\\C:", "\\DosDevices\\c:"] {
                let (file, found) = pointer(name, FILE_READ_DATA).unwrap();
                assert_eq!(found, device, "{name}");
                // SAFETY: a file object that exists.
                assert_eq!(unsafe { IoGetRelatedDeviceObject(file) }, device);
                dereference(file);
                let (file, found) = pointer(name, FILE_READ_ATTRIBUTES).unwrap();
                assert_eq!(found, disk, "{name}");
                // SAFETY: as above.
                assert_eq!(unsafe { (*file).DeviceObject }, disk);
                dereference(file);
            }
            let missing = pointer("\\Device\\HarddiskVolume2", FILE_READ_DATA);
            assert_eq!(missing, Err(STATUS_OBJECT_NAME_NOT_FOUND));
            pointer("\\??\\C:", FILE_READ_DATA).unwrap();
            pointer("\\??\\C:", FILE_READ_ATTRIBUTES).unwrap();
        });
        let outcome = machine.finish();
        let leaks: Vec<_> = outcome
            .leaks
            .iter()
            .map(|leak| (leak.object, leak.count))
            .collect();
        assert_eq!(leaks, [("file object", 1); 2]);
        assert_eq!((outcome.violations.len(), outcome.bugchecks.len()), (0, 0));
    }

    #[test]
    fn devices_of_drivers_are_found_by_name() {
        let machine = Machine::default();
        let driver = machine.create_driver(crate::DriverConfig::new("other"));
        let owner = driver.driver_object();
        machine.at_irql(PASSIVE_LEVEL, || {
            for major in [IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE] {
                // SAFETY: the driver object lives as long as the machine.
                unsafe { (*owner).MajorFunction[usize::from(major)] = dispatch as PVOID };
            }
            let [name, link] = ["\\Device\\Other", "\\??\\Other"].map(string::Owned::new);
            let mut made = null_mut();
            // SAFETY: a driver, a name and a place.
            let status = unsafe {
                IoCreateDevice(
                    owner,
                    0,
                    name.pointer(),
                    FILE_DEVICE_DISK,
                    0,
                    0,
                    &raw mut made,
                )
            };
            assert_eq!(status, STATUS_SUCCESS);
            // SAFETY: strings.
            let status = unsafe { IoCreateSymbolicLink(link.pointer(), name.pointer()) };
            assert_eq!(status, STATUS_SUCCESS);
            // It is being initialised.
            let early = pointer("\\Device\\Other", FILE_READ_DATA);
            assert_eq!(early, Err(STATUS_NO_SUCH_DEVICE));
            // SAFETY: the device exists.
            unsafe { (*made).Flags &= !0x80 };
            let (file, found) = pointer("\\??\\OTHER", FILE_READ_DATA).unwrap();
            assert_eq!(found, made);
            assert_eq!(MAJORS.take(), [IRP_MJ_CREATE, IRP_MJ_CLEANUP]);
            dereference(file);
            assert_eq!(MAJORS.take(), [IRP_MJ_CLOSE]);
            // SAFETY: a string.
            let status = unsafe { IoDeleteSymbolicLink(link.pointer()) };
            assert_eq!(status, STATUS_SUCCESS);
            // SAFETY: the device exists.
            unsafe { IoDeleteDevice(made) };
        });
        let outcome = machine.finish();
        assert!(outcome.is_clean(), "{outcome:#?}");
    }
}
