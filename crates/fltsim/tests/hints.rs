//! Hints of operations, files and threads, redirection, and loading another driver.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod core_support;

use core_support::{Bench, all_kinds, config, registration, start};
use fltmgr_sys::*;
use fltsim::filesystem::Personality;
use fltsim::verifier::Rule;
use fltsim::{DriverConfig, OpenOptions, Unload, VolumeConfig};
use std::ptr::null_mut;

type Export = unsafe extern "win64" fn(usize, usize, usize, usize) -> i32;

/// Calls an export by its name, with up to four arguments.
fn call(name: &str, arguments: [usize; 4]) -> i32 {
    let address = fltsim::resolve(name).expect(name);
    // SAFETY: the exports that these tests name take at most four arguments of pointer size and
    // return at most 32 bits.
    let export = unsafe { std::mem::transmute::<usize, Export>(address) };
    let [one, two, three, four] = arguments;
    // SAFETY: the tests pass what the exports take, or what is looked at before it is followed.
    unsafe { export(one, two, three, four) }
}

/// The thread object of the running thread.
fn current_thread() -> usize {
    let address = fltsim::resolve("PsGetCurrentThread").unwrap();
    // SAFETY: it takes nothing and returns a pointer.
    let export =
        unsafe { std::mem::transmute::<usize, unsafe extern "win64" fn() -> usize>(address) };
    // SAFETY: as above.
    unsafe { export() }
}

const NORMAL: i32 = 2;

/// Callback data of the driver's own, as an IRP.
fn data_of(bench: &Bench, file: PFILE_OBJECT) -> PFLT_CALLBACK_DATA {
    let mut data = null_mut();
    // SAFETY: the place for the result is ours.
    let status = unsafe { FltAllocateCallbackData(bench.instance, file, &raw mut data) };
    assert_eq!(status, STATUS_SUCCESS);
    data
}

fn free(data: PFLT_CALLBACK_DATA) {
    // SAFETY: an export checks its callback data itself.
    unsafe { FltFreeCallbackData(data) };
}

#[test]
fn priority_hints_are_those_of_operation_file_and_thread() {
    let bench = Bench::new();
    let machine = &bench.machine;
    let handle = bench.volume.open(r"\a", OpenOptions::create()).unwrap();
    let file = handle.file_object() as usize;
    let pointer = data_of(&bench, handle.file_object());
    let data = pointer as usize;
    let get = |of: &str, object| call(&format!("FltGetIoPriorityHint{of}"), [object, 0, 0, 0]);
    let set = |of: &str, object, hint| {
        call(
            &format!("FltSetIoPriorityHintInto{of}"),
            [object, hint, 0, 0],
        )
    };
    machine.at_irql(DISPATCH_LEVEL, || {
        let thread = current_thread();
        for (of, object) in [
            ("CallbackData", data),
            ("FileObject", file),
            ("Thread", thread),
        ] {
            let from = format!("From{of}");
            assert_eq!(get(&from, object), NORMAL);
            assert_eq!(set(of, object, 5), STATUS_INVALID_PARAMETER);
            assert_eq!(set(of, object, u32::MAX as usize), STATUS_INVALID_PARAMETER);
            assert_eq!(get(&from, object), NORMAL);
        }
        assert_eq!(get("", data), NORMAL);
        assert_eq!(set("FileObject", file, 1), STATUS_SUCCESS);
        assert_eq!((get("", data), get("FromFileObject", file)), (1, 1));
        assert_eq!(get("FromCallbackData", data), NORMAL);
        assert_eq!(set("CallbackData", data, 0), STATUS_SUCCESS);
        assert_eq!((get("", data), get("FromCallbackData", data)), (0, 0));
        assert_eq!(set("Thread", thread, 3), STATUS_SUCCESS);
        assert_eq!((get("", data), get("FromThread", thread)), (0, 3));
        assert_eq!(set("Thread", thread, NORMAL as usize), STATUS_SUCCESS);
    });
    free(pointer);
    assert!(machine.verifier().violations().is_empty());
    machine.at_irql(PASSIVE_LEVEL, || {
        assert_eq!(get("FromCallbackData", data), NORMAL);
    });
    let violations = machine.verifier().violations();
    assert_eq!((violations.len(), violations[0].rule), (1, Rule::V0));
}

#[test]
fn an_operation_has_the_activity_that_it_was_given() {
    let bench = Bench::new();
    let pointer = data_of(&bench, null_mut());
    let data = pointer as usize;
    let (mut guid, id) = ([0xEE_u8; 16], *b"sixteen bytes ID");
    let place = guid.as_mut_ptr() as usize;
    let get = || call("FltGetActivityIdCallbackData", [data, place, 0, 0]);
    let set = |guid: usize| call("FltSetActivityIdCallbackData", [data, guid, 0, 0]);
    assert_eq!(get(), STATUS_NOT_FOUND);
    assert_eq!(set(0), STATUS_NOT_SUPPORTED);
    assert_eq!(set(id.as_ptr() as usize), STATUS_SUCCESS);
    assert_eq!(get(), STATUS_SUCCESS);
    assert_eq!(guid, id);
    let copy = "FltGetCopyInformationFromCallbackData";
    assert_eq!(call(copy, [data, 0, 0, 0]), STATUS_NOT_FOUND);
    // SAFETY: an export checks its callback data itself.
    unsafe { FltReuseCallbackData(pointer) };
    assert_eq!(get(), STATUS_NOT_FOUND);
    free(pointer);
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    bench.assert_clean();
}

#[test]
fn operations_stay_on_their_volume() {
    let bench = Bench::new();
    let pointer = data_of(&bench, null_mut());
    let (data, instance) = (pointer as usize, bench.instance as usize);
    let (mut this, mut all) = (0xEE_u8, 0xEE_u8);
    let (one, other) = (&raw mut this as usize, &raw mut all as usize);
    let allowed = "FltIsIoRedirectionAllowed";
    assert_eq!(
        call(allowed, [instance, instance, one, 0]),
        STATUS_NOT_SUPPORTED
    );
    let adjust = "FltAdjustDeviceStackSizeForIoRedirection";
    assert_eq!(
        call(adjust, [instance, instance, 0, 0]),
        STATUS_NOT_SUPPORTED
    );
    assert_eq!(
        call(adjust, [instance, instance, other, 0]),
        STATUS_NOT_SUPPORTED
    );
    assert_eq!((this, all), (0, 0));
    (this, all) = (0xEE, 0xEE);
    let (one, other) = (&raw mut this as usize, &raw mut all as usize);
    let operation = "FltIsIoRedirectionAllowedForOperation";
    assert_eq!(
        call(operation, [data, instance, one, other]),
        STATUS_NOT_SUPPORTED
    );
    assert_eq!((this, all), (0, 0));
    assert_eq!(
        call(operation, [data, instance, one, 0]),
        STATUS_NOT_SUPPORTED
    );
    free(pointer);
    assert!(bench.machine.verifier().violations().is_empty());
    bench.machine.at_irql(PASSIVE_LEVEL, || {
        for export in [allowed, operation] {
            let status = call(export, [data, instance, one, 0]);
            assert_eq!(status, STATUS_INVALID_PARAMETER);
        }
    });
    assert_eq!(bench.machine.verifier().violations().len(), 2);
}

#[test]
fn the_filter_managers_devices_and_names() {
    let bench = Bench::new();
    let instance = bench.instance as usize;
    let mut device = null_mut();
    // SAFETY: the place for the result is ours.
    let status = unsafe { FltGetDeviceObject(bench.volume.pointer(), &raw mut device) };
    assert_eq!(status, STATUS_SUCCESS);
    bench.machine.at_irql(PASSIVE_LEVEL, || {
        let is = |device: usize| call("FltIsFltMgrVolumeDeviceObject", [device, 0, 0, 0]) & 0xFF;
        assert_eq!((is(device as usize), is(instance), is(0)), (1, 0, 0));
    });
    let purge = "FltPurgeFileNameInformationCache";
    assert_eq!(call(purge, [instance, 0, 0, 0]), STATUS_SUCCESS);
    let handle = bench.volume.open(r"\a", OpenOptions::create()).unwrap();
    let file = handle.file_object() as usize;
    assert_eq!(call(purge, [instance, file, 0, 0]), STATUS_SUCCESS);
    assert!(bench.machine.verifier().violations().is_empty());
    assert_eq!(
        call(purge, [instance, instance, 0, 0]),
        STATUS_INVALID_PARAMETER
    );
    assert_eq!(bench.machine.verifier().violations().len(), 1);
    // The reference that came with the device goes once, and no more often.
    call("ObfDereferenceObject", [device as usize, 0, 0, 0]);
    assert_eq!(bench.machine.verifier().violations().len(), 1);
    call("ObfDereferenceObject", [device as usize, 0, 0, 0]);
    assert_eq!(bench.machine.verifier().violations().len(), 2);
}

fltapi! {
    /// A driver that does not start.
    unsafe fn failing(_driver: PDRIVER_OBJECT, _path: PCUNICODE_STRING) -> NTSTATUS {
        STATUS_ACCESS_DENIED
    }

    /// A driver without a filter.
    unsafe fn starting(_driver: PDRIVER_OBJECT, _path: PCUNICODE_STRING) -> NTSTATUS {
        STATUS_SUCCESS
    }
}

#[test]
fn a_driver_loads_another() {
    let machine = fltsim::Machine::new(config());
    let first = machine.create_driver(DriverConfig::new("First").altitude("385000"));
    let _unknown = machine.create_driver(DriverConfig::new("unknown"));
    let broken = machine.create_driver(DriverConfig::new("broken"));
    let other = machine.create_driver(DriverConfig::new("other"));
    broken.install(failing);
    other.install(starting);
    let load = |name: &str| {
        let units: Vec<u16> = name.encode_utf16().collect();
        let bytes = u16::try_from(units.len() * 2).unwrap();
        let name = UNICODE_STRING {
            Length: bytes,
            MaximumLength: bytes,
            Buffer: units.as_ptr().cast_mut(),
        };
        machine.at_irql(PASSIVE_LEVEL, || {
            // SAFETY: the string is ours.
            unsafe { FltLoadFilter(&raw const name) }
        })
    };
    start(&first, registration(), all_kinds()).unwrap();
    assert_eq!(load("first"), STATUS_IMAGE_ALREADY_LOADED);
    assert_eq!(load("nobody"), STATUS_OBJECT_NAME_NOT_FOUND);
    assert_eq!(load("unknown"), STATUS_OBJECT_NAME_NOT_FOUND);
    assert_eq!(load("broken"), STATUS_FAILED_DRIVER_ENTRY);
    assert_eq!(load("broken"), STATUS_FAILED_DRIVER_ENTRY);
    assert_eq!(load("OTHER"), STATUS_SUCCESS);
    assert_eq!(load("other"), STATUS_IMAGE_ALREADY_LOADED);
    assert_eq!(first.unload(Unload::Normal), Ok(()));
    assert_eq!(load("First"), STATUS_OBJECT_NAME_NOT_FOUND);
    machine.at_irql(PASSIVE_LEVEL, || {
        assert_eq!(call("FltLoadFilter", [0; 4]), STATUS_INVALID_PARAMETER);
    });
    assert!(machine.finish().is_clean());
}

#[test]
fn a_device_that_is_not_dereferenced_is_a_leak() {
    let bench = Bench::new();
    let mut device = null_mut();
    // SAFETY: the place for the result is ours.
    let status = unsafe { FltGetDeviceObject(bench.volume.pointer(), &raw mut device) };
    assert_eq!(status, STATUS_SUCCESS);
    bench.driver.unload(Unload::Normal).unwrap();
    let leaks = bench.machine.finish().leaks;
    assert_eq!(leaks.len(), 1);
    assert_eq!(leaks[0].object, "device object of a volume");
    assert_eq!(leaks[0].acquired, [("FltGetDeviceObject", 1)]);
}

fn volume_of(bench: &Bench, device: PDEVICE_OBJECT) -> (NTSTATUS, PFLT_VOLUME) {
    let mut found = null_mut();
    // SAFETY: the place for the result is ours.
    let status = unsafe { FltGetVolumeFromDeviceObject(bench.filter, device, &raw mut found) };
    (status, found)
}

#[test]
fn a_volume_is_on_a_disk_or_is_not() {
    let bench = Bench::new();
    let get = "FltGetDiskDeviceObject";
    let volume = bench.volume.pointer() as usize;
    let mut own: PDEVICE_OBJECT = null_mut();
    let mut disk: PDEVICE_OBJECT = null_mut();
    // SAFETY: the place for the result is ours.
    let status = unsafe { FltGetDeviceObject(bench.volume.pointer(), &raw mut own) };
    assert_eq!(status, STATUS_SUCCESS);
    let place = &raw mut disk as usize;
    bench.machine.at_irql(DISPATCH_LEVEL, || {
        assert_eq!(call(get, [volume, place, 0, 0]), STATUS_SUCCESS);
    });
    assert!(!disk.is_null() && disk != own);
    // SAFETY: a referenced device object.
    let DEVICE_OBJECT {
        Type, DeviceType, ..
    } = unsafe { *disk };
    assert_eq!((Type, DeviceType), (3, FILE_DEVICE_DISK));
    // It is a device of the storage, and not one of the file system's stack.
    bench.machine.at_irql(PASSIVE_LEVEL, || {
        let is = "FltIsFltMgrVolumeDeviceObject";
        assert_eq!(call(is, [disk as usize, 0, 0, 0]) & 0xFF, 0);
        assert_eq!(
            volume_of(&bench, disk),
            (STATUS_INVALID_PARAMETER, null_mut())
        );
        let (status, found) = volume_of(&bench, own);
        assert_eq!((status, found), (STATUS_SUCCESS, bench.volume.pointer()));
        // SAFETY: the reference that came with it.
        unsafe { FltObjectDereference(found.cast()) };
    });
    let remote = VolumeConfig::memory(r"\Device\Mup", Personality::redirector());
    let remote = bench.machine.add_volume(remote).pointer() as usize;
    let mut none = 0x77_usize;
    let place = &raw mut none as usize;
    let status = call(get, [remote, place, 0, 0]);
    assert_eq!((status, none), (STATUS_FLT_NO_DEVICE_OBJECT, 0x77));
    let known = bench.machine.verifier().violations().len();
    let status = call(get, [own as usize, place, 0, 0]);
    assert_eq!(status, STATUS_INVALID_PARAMETER);
    assert_eq!(bench.machine.verifier().violations().len(), known + 1);
    bench.volume.dismount();
    bench.machine.at_irql(PASSIVE_LEVEL, || {
        let going = (STATUS_FLT_DELETING_OBJECT, null_mut());
        assert_eq!(volume_of(&bench, own), going);
    });
    call("ObfDereferenceObject", [own as usize, 0, 0, 0]);
    bench.driver.unload(Unload::Normal).unwrap();
    assert_eq!(bench.machine.calls(get), 2);
    let leaks = bench.machine.finish().leaks;
    assert_eq!(leaks.len(), 1);
    assert_eq!(leaks[0].object, "device object of a disk");
    assert_eq!(leaks[0].acquired, [("FltGetDiskDeviceObject", 1)]);
}

/// Numbers of filters are those of a machine: unloading one leaves the other machine's alone.
#[test]
fn callback_data_belongs_to_one_machine() {
    // The unload callback unregisters the filter that this thread has registered last.
    let [bench, gone] = [Bench::new(), Bench::new()];
    let data = data_of(&bench, null_mut());
    assert_eq!(gone.driver.unload(Unload::Normal), Ok(()));
    let mut answer = 0xEE_u8;
    let allowed = "FltIsIoRedirectionAllowedForOperation";
    let instance = bench.instance as usize;
    let arguments = [data as usize, instance, &raw mut answer as usize, 0];
    assert_eq!(call(allowed, arguments), STATUS_NOT_SUPPORTED);
    free(data);
    bench.assert_clean();
    gone.assert_clean();
}
