//! Names and properties of volumes.

use super::{enter, exports, volume, write};
use crate::io;
use crate::machine::Inner;
use crate::manager::{Object, Volume, find};
use fltmgr_sys::*;
use std::sync::Arc;

/// Copies a string into a caller's `UNICODE_STRING`.
///
/// # Safety
/// `target` is null or a `UNICODE_STRING` with a buffer of its maximum length; `needed` is null or
/// may be written to.
pub(super) unsafe fn copy_name(
    text: &str,
    target: PUNICODE_STRING,
    needed: *mut ULONG,
) -> NTSTATUS {
    let units: Vec<u16> = text.encode_utf16().collect();
    let bytes = units.len() * 2;
    // SAFETY: null or writable by this function's contract.
    unsafe { write(needed, ULONG::try_from(bytes).unwrap_or(ULONG::MAX)) };
    if target.is_null() {
        return STATUS_BUFFER_TOO_SMALL;
    }
    // SAFETY: not null, so a `UNICODE_STRING` by this function's contract.
    let mut header = unsafe { *target };
    if usize::from(header.MaximumLength) < bytes {
        return STATUS_BUFFER_TOO_SMALL;
    }
    for (index, unit) in units.iter().enumerate() {
        let target = header.Buffer.wrapping_add(index);
        // SAFETY: the buffer has room for all units, as was just checked.
        unsafe { target.write_unaligned(*unit) };
    }
    header.Length = u16::try_from(bytes).unwrap_or(u16::MAX);
    // SAFETY: as above.
    unsafe { *target = header };
    STATUS_SUCCESS
}

/// The volume of a volume or an instance.
fn volume_of(call: &'static str, object: PVOID) -> Option<(Arc<Inner>, Arc<Volume>)> {
    let found = match find(object as usize) {
        Some(Object::Volume(volume)) => volume,
        Some(Object::Instance(instance)) => Arc::clone(&instance.volume),
        _ => {
            super::bad_pointer(call, "FltObject", object as usize, "volume or instance");
            return None;
        }
    };
    Some((found.machine.upgrade()?, found))
}

exports! {
    /// The name of a volume.
    unsafe fn FltGetVolumeName(
        of: PFLT_VOLUME,
        name: PUNICODE_STRING,
        needed: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetVolumeName";
        let Some((machine, of)) = volume(CALL, "Volume", of) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        // SAFETY: the caller passes a string with a buffer, and a place for the size.
        unsafe { copy_name(&of.name, name, needed) }
    }

    /// The GUID name of a volume, made from its number.
    unsafe fn FltGetVolumeGuidName(
        of: PFLT_VOLUME,
        name: PUNICODE_STRING,
        needed: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetVolumeGuidName";
        let Some((machine, of)) = volume(CALL, "Volume", of) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let text = format!("\\??\\{}", io::guid_name(&of));
        // SAFETY: the caller passes a string with a buffer, and a place for the size.
        unsafe { copy_name(&text, name, needed) }
    }

    /// Properties of a volume; the strings lie behind the structure.
    unsafe fn FltGetVolumeProperties(
        of: PFLT_VOLUME,
        properties: PFLT_VOLUME_PROPERTIES,
        length: ULONG,
        returned: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetVolumeProperties";
        let Some((machine, of)) = volume(CALL, "Volume", of) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let fixed = size_of::<FLT_VOLUME_PROPERTIES>();
        let texts = [
            format!("\\FileSystem\\{}", of.personality.name),
            format!("\\{}", of.personality.name),
            of.name.clone(),
        ];
        let texts = texts.map(|text| text.encode_utf16().collect::<Vec<u16>>());
        let needed = fixed + texts.iter().map(|text| text.len() * 2).sum::<usize>();
        let length = length as usize;
        // SAFETY: the caller passes a place for the size.
        unsafe { write(returned, ULONG::try_from(needed).unwrap_or(ULONG::MAX)) };
        if length < fixed {
            return STATUS_BUFFER_TOO_SMALL;
        }
        let empty = UNICODE_STRING {
            Length: 0,
            MaximumLength: 0,
            Buffer: std::ptr::null_mut(),
        };
        let mut strings = [empty; 3];
        let mut offset = fixed;
        for (string, text) in strings.iter_mut().zip(&texts) {
            let bytes = text.len() * 2;
            if offset + bytes > length {
                break;
            }
            let buffer = properties.wrapping_byte_add(offset).cast::<u16>();
            for (index, unit) in text.iter().enumerate() {
                // SAFETY: the string ends within the caller's buffer, as was just checked.
                unsafe { buffer.wrapping_add(index).write_unaligned(*unit) };
            }
            string.Length = u16::try_from(bytes).unwrap_or(u16::MAX);
            string.MaximumLength = string.Length;
            string.Buffer = buffer;
            offset += bytes;
        }
        let [driver, device, real] = strings;
        let result = FLT_VOLUME_PROPERTIES {
            DeviceType: match of.personality.device_type {
                FILE_DEVICE_DISK => FILE_DEVICE_DISK_FILE_SYSTEM,
                other => other,
            },
            DeviceCharacteristics: 0,
            DeviceObjectFlags: 0,
            AlignmentRequirement: 0,
            SectorSize: u16::try_from(of.personality.sector_size).unwrap_or(u16::MAX),
            Flags: 0,
            FileSystemDriverName: driver,
            FileSystemDeviceName: device,
            RealDeviceName: real,
        };
        // SAFETY: the caller's buffer has room for the structure, as was checked.
        unsafe { properties.write_unaligned(result) };
        if needed > length {
            STATUS_BUFFER_OVERFLOW
        } else {
            STATUS_SUCCESS
        }
    }

    /// The file system type below a volume or an instance.
    unsafe fn FltGetFileSystemType(
        object: PVOID,
        returned: *mut FLT_FILESYSTEM_TYPE,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetFileSystemType";
        let Some((machine, of)) = volume_of(CALL, object) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        // SAFETY: the caller passes a place for the result.
        unsafe { write(returned, of.personality.filesystem_type) };
        STATUS_SUCCESS
    }

    /// Whether a device is the Filter Manager's own for a volume.
    unsafe fn FltIsFltMgrVolumeDeviceObject(device: PDEVICE_OBJECT) -> BOOLEAN {
        const CALL: &str = "FltIsFltMgrVolumeDeviceObject";
        let volume = super::here(CALL).and_then(|machine| machine.volume_of_device(device));
        BOOLEAN::from(volume.is_some())
    }

    /// Whether a volume can be written.
    unsafe fn FltIsVolumeWritable(object: PVOID, writable: *mut BOOLEAN) -> NTSTATUS {
        const CALL: &str = "FltIsVolumeWritable";
        let Some((machine, of)) = volume_of(CALL, object) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        // SAFETY: the caller passes a place for the result.
        unsafe { write(writable, BOOLEAN::from(!of.read_only)) };
        STATUS_SUCCESS
    }

    /// Whether a volume is a snapshot: none is.
    unsafe fn FltIsVolumeSnapshot(object: PVOID, snapshot: *mut BOOLEAN) -> NTSTATUS {
        const CALL: &str = "FltIsVolumeSnapshot";
        let Some((machine, _)) = volume_of(CALL, object) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        // SAFETY: the caller passes a place for the result.
        unsafe { write(snapshot, 0) };
        STATUS_SUCCESS
    }
}
