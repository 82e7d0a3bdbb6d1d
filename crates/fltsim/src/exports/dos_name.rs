//! The names by which applications know volumes and files: `C:`, and `C:\directory\file`.

use super::kernel::allocate_within;
use super::ob::NameInformation;
use super::{bad_pointer, enter, exports, file_object, here, write};
use crate::io;
use crate::manager::volume;
use fltmgr_sys::*;
use std::ptr::null_mut;

const TAG: ULONG = u32::from_le_bytes(*b"IoDn");

/// A terminated string behind a header of some size, in paged pool that the driver frees.
fn in_pool(call: &'static str, header: usize, text: &str) -> Option<(PVOID, UNICODE_STRING)> {
    let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
    let bytes = 2 * units.len();
    let size = (header + bytes) as SIZE_T;
    let memory = allocate_within(call, PagedPool, size, TAG, false);
    if memory.is_null() {
        return None;
    }
    let buffer = memory.wrapping_byte_add(header).cast::<u16>();
    for (index, unit) in units.iter().enumerate() {
        // SAFETY: the allocation has room for the header and all units.
        unsafe { buffer.wrapping_add(index).write(*unit) };
    }
    let string = UNICODE_STRING {
        Length: u16::try_from(bytes - 2).unwrap_or(u16::MAX - 1),
        MaximumLength: u16::try_from(bytes).unwrap_or(u16::MAX),
        Buffer: buffer,
    };
    Some((memory, string))
}

/// # Safety
/// The place may be written to, or is null.
unsafe fn device_to_name(
    call: &'static str,
    device: PDEVICE_OBJECT,
    name: PUNICODE_STRING,
) -> NTSTATUS {
    let Some(machine) = here(call) else {
        return STATUS_INVALID_PARAMETER;
    };
    let Some(found) = volume::of_device(device) else {
        bad_pointer(
            call,
            "VolumeDeviceObject",
            device as usize,
            "device of a volume",
        );
        return STATUS_INVALID_PARAMETER;
    };
    // Only storage has a name from the mount manager.
    if found.disk().is_none() || name.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    let Some((_, string)) = in_pool(call, 0, &io::dos_name(&machine, &found)) else {
        return STATUS_INSUFFICIENT_RESOURCES;
    };
    // SAFETY: by this function's contract.
    unsafe { write(name, string) };
    STATUS_SUCCESS
}

exports! {
    /// The drive of a volume.
    unsafe fn IoVolumeDeviceToDosName(device: PDEVICE_OBJECT, name: PUNICODE_STRING) -> NTSTATUS {
        // SAFETY: the caller passes a place for a string.
        unsafe { device_to_name("IoVolumeDeviceToDosName", device, name) }
    }

    /// The same by its older name.
    unsafe fn RtlVolumeDeviceToDosName(device: PDEVICE_OBJECT, name: PUNICODE_STRING) -> NTSTATUS {
        // SAFETY: the caller passes a place for a string.
        unsafe { device_to_name("RtlVolumeDeviceToDosName", device, name) }
    }

    /// The name of a file with its drive.
    unsafe fn IoQueryFileDosDeviceName(
        file: PFILE_OBJECT,
        returned: *mut *mut NameInformation,
    ) -> NTSTATUS {
        const CALL: &str = "IoQueryFileDosDeviceName";
        // SAFETY: the caller passes a place.
        unsafe { write(returned, null_mut()) };
        let Some((machine, file)) = file_object(CALL, "FileObject", file) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let volume = io::dos_name(&machine, file.volume());
        let text = format!("{volume}{}", io::path_of(&file));
        let header = size_of::<NameInformation>();
        let Some((memory, string)) = in_pool(CALL, header, &text) else {
            return STATUS_INSUFFICIENT_RESOURCES;
        };
        let information = memory.cast::<NameInformation>();
        // SAFETY: the allocation begins with room for the header.
        unsafe { information.write(NameInformation::new(string)) };
        // SAFETY: as above.
        unsafe { write(returned, information) };
        STATUS_SUCCESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::kernel::ExFreePool;
    use crate::filesystem::Personality;
    use crate::kernel::fault::Fault;
    use crate::{Machine, OpenOptions, Volume, VolumeConfig};

    fn volume(machine: &Machine, name: &str, personality: Personality) -> Volume {
        machine.add_volume(VolumeConfig::memory(name, personality))
    }

    fn free(memory: PVOID) {
        // SAFETY: what was allocated for the driver, and nobody uses it again.
        unsafe { ExFreePool(memory) };
    }

    /// Checks a terminated string and gives it.
    fn text(string: UNICODE_STRING) -> String {
        assert_eq!(string.MaximumLength, string.Length + 2);
        let count = usize::from(string.MaximumLength) / 2;
        // SAFETY: the string has so many characters, the terminator included.
        let units = unsafe { std::slice::from_raw_parts(string.Buffer, count) };
        assert_eq!(units[count - 1], 0);
        String::from_utf16_lossy(&units[..count - 1])
    }

    fn of_device(device: PDEVICE_OBJECT) -> Result<UNICODE_STRING, NTSTATUS> {
        let mut name = UNICODE_STRING {
            Length: 0,
            MaximumLength: 0,
            Buffer: null_mut(),
        };
        // SAFETY: a place; the device is looked up.
        let status = unsafe { IoVolumeDeviceToDosName(device, &raw mut name) };
        if nt_success(status) {
            Ok(name)
        } else {
            Err(status)
        }
    }

    fn of_file(file: PFILE_OBJECT) -> Result<*mut NameInformation, NTSTATUS> {
        let mut name = null_mut();
        // SAFETY: a place; the file object is looked up.
        let status = unsafe { IoQueryFileDosDeviceName(file, &raw mut name) };
        assert_eq!(name.is_null(), !nt_success(status));
        if nt_success(status) {
            Ok(name)
        } else {
            Err(status)
        }
    }

    #[test]
    fn a_volume_has_a_drive() {
        let machine = Machine::default();
        let _first = volume(&machine, "\\Device\\HarddiskVolume1", Personality::ntfs());
        let second = volume(&machine, "\\Device\\HarddiskVolume2", Personality::ntfs());
        let remote = volume(&machine, "\\Device\\Mup", Personality::redirector());
        machine.at_irql(PASSIVE_LEVEL, || {
            let object = &second.object;
            for device in [object.disk().unwrap(), object.device()] {
                let name = of_device(device).unwrap();
                assert_eq!(text(name), "D:");
                free(name.Buffer.cast());
            }
            let mut name = of_device(object.device()).unwrap();
            free(name.Buffer.cast());
            // SAFETY: a place.
            let status = unsafe { RtlVolumeDeviceToDosName(object.device(), &raw mut name) };
            assert_eq!((status, text(name)), (STATUS_SUCCESS, "D:".to_owned()));
            free(name.Buffer.cast());
            let refused = Err(STATUS_INVALID_PARAMETER);
            assert_eq!(of_device(remote.object.device()).map(text), refused);
            assert!(machine.verifier().reports().is_empty());
            assert_eq!(of_device(null_mut()).map(text), refused);
            machine.inject(Fault::Pool { after: 0 });
            let failed = Err(STATUS_INSUFFICIENT_RESOURCES);
            assert_eq!(of_device(object.device()).map(text), failed);
            of_device(object.device()).unwrap();
        });
        let outcome = machine.finish();
        let violations: Vec<_> = outcome
            .violations
            .iter()
            .map(|report| report.call)
            .collect();
        assert_eq!(violations, ["IoVolumeDeviceToDosName"]);
        let leaks: Vec<_> = outcome
            .leaks
            .iter()
            .map(|leak| (leak.size, leak.pool))
            .collect();
        assert_eq!(leaks, [(6, Some(PagedPool))]);
    }

    #[test]
    fn a_volume_without_a_letter_has_the_name_that_stays() {
        let machine = Machine::default();
        let mut last = None;
        for index in 0..=24 {
            let name = format!("\\Device\\HarddiskVolume{index}");
            last = Some(volume(&machine, &name, Personality::ntfs()));
        }
        let last = last.unwrap().object;
        machine.at_irql(PASSIVE_LEVEL, || {
            let name = of_device(last.device()).unwrap();
            let expected = format!("\\\\?\\{}", io::guid_name(&last));
            assert_eq!(text(name), expected);
            free(name.Buffer.cast());
        });
        assert!(machine.finish().is_clean());
    }

    #[test]
    fn a_file_has_a_name_with_its_drive() {
        let machine = Machine::default();
        let volume = volume(&machine, "\\Device\\HarddiskVolume1", Personality::ntfs());
        let file = volume.open("\\a.txt", OpenOptions::create()).unwrap();
        machine.at_irql(PASSIVE_LEVEL, || {
            let name = |expected: &str| {
                let information = of_file(file.file_object()).unwrap();
                // SAFETY: the structure that was just allocated.
                let string = unsafe { information.cast::<UNICODE_STRING>().read() };
                assert_eq!(string.Buffer.cast(), information.wrapping_add(1));
                assert_eq!(text(string), expected);
                free(information.cast());
            };
            name("C:\\a.txt");
            file.rename("\\b.txt", false).unwrap();
            name("C:\\b.txt");
            machine.inject(Fault::Pool { after: 0 });
            let failed = of_file(file.file_object());
            assert_eq!(failed, Err(STATUS_INSUFFICIENT_RESOURCES));
        });
        drop(file);
        let outcome = machine.finish();
        assert!(outcome.is_clean(), "{outcome:#?}");
    }
}
