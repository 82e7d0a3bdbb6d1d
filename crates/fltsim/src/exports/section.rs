//! Sections by handle.

use super::attributes::Attributes;
use super::ob::behind;
use super::{exports, here, write};
use crate::io::FileObject;
use crate::kernel::handle::downcast;
use crate::kernel::shared_section::{self, STATUS_NOT_MAPPED_VIEW, SectionBody, SharedSection};
use crate::machine::Inner;
use fltmgr_sys::*;
use std::sync::Arc;

const STATUS_CONFLICTING_ADDRESSES: NTSTATUS = 0xC000_0018_u32.cast_signed();
const STATUS_INVALID_VIEW_SIZE: NTSTATUS = 0xC000_001F_u32.cast_signed();
const STATUS_SECTION_TOO_BIG: NTSTATUS = 0xC000_0040_u32.cast_signed();
const STATUS_INVALID_PAGE_PROTECTION: NTSTATUS = 0xC000_0045_u32.cast_signed();
const STATUS_INVALID_PARAMETER_6: NTSTATUS = 0xC000_00F4_u32.cast_signed();
const STATUS_MAPPED_FILE_SIZE_ZERO: NTSTATUS = 0xC000_011E_u32.cast_signed();
const STATUS_MAPPED_ALIGNMENT: NTSTATUS = 0xC000_0220_u32.cast_signed();
const READ_ONLY: ULONG = 0x02;
const EXECUTE_READ: ULONG = 0x20;
/// All protections that a section can have, without modifiers.
const PROTECTIONS: [ULONG; 7] = [0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80];
const PROTECTION: ULONG = 0xFF;
const SEC_IMAGE: ULONG = 0x0100_0000;
/// `SEC_COMMIT` and `SEC_RESERVE`.
const SEC_MEMORY: ULONG = 0x0C00_0000;
/// The largest section of memory: this is a simulation.
const LARGEST: u64 = 1 << 32;

/// What a new section contains.
fn contents(
    machine: &Inner,
    file: HANDLE,
    size: u64,
    protection: ULONG,
    sort: ULONG,
) -> Result<SectionBody, NTSTATUS> {
    if sort & SEC_IMAGE != 0 {
        return Err(STATUS_NOT_SUPPORTED);
    }
    if !PROTECTIONS.contains(&(protection & PROTECTION)) {
        return Err(STATUS_INVALID_PAGE_PROTECTION);
    }
    if sort & SEC_MEMORY == 0 {
        return Err(STATUS_INVALID_PARAMETER_6);
    }
    let length = |size: u64| usize::try_from(size).map_err(|_| STATUS_SECTION_TOO_BIG);
    if file.is_null() {
        if size == 0 || size > LARGEST {
            return Err(STATUS_INVALID_PARAMETER_4);
        }
        return SectionBody::new(length(size)?, &[]).ok_or(STATUS_INSUFFICIENT_RESOURCES);
    }
    let (object, _) = behind(machine, file).ok_or(STATUS_INVALID_HANDLE)?;
    let file: Arc<FileObject> = downcast(object).ok_or(STATUS_OBJECT_TYPE_MISMATCH)?;
    // Nothing would write what is changed in a view back to the file.
    if ![READ_ONLY, EXECUTE_READ].contains(&(protection & PROTECTION)) {
        return Err(STATUS_NOT_SUPPORTED);
    }
    let there = file.section_size()?;
    if there == 0 {
        return Err(STATUS_MAPPED_FILE_SIZE_ZERO);
    }
    if size > there {
        return Err(STATUS_SECTION_TOO_BIG);
    }
    let size = if size == 0 { there } else { size };
    let bytes = file.section_contents(size)?;
    SectionBody::new(length(size)?, &bytes).ok_or(STATUS_INSUFFICIENT_RESOURCES)
}

exports! {
    /// Creates a section, of memory or of a file that is only read.
    unsafe fn ZwCreateSection(
        handle: *mut HANDLE,
        access: ACCESS_MASK,
        attributes: *const OBJECT_ATTRIBUTES,
        size: *const u64,
        protection: ULONG,
        sort: ULONG,
        file: HANDLE,
    ) -> NTSTATUS {
        const CALL: &str = "ZwCreateSection";
        let Some(machine) = here(CALL) else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes attributes or null.
        let attributes = match unsafe { Attributes::read(attributes) } {
            Ok(attributes) => attributes,
            Err(status) => return status,
        };
        // SAFETY: the caller passes a size or null.
        let size = unsafe { size.as_ref() }.copied().unwrap_or(0);
        let made = contents(&machine, file, size, protection, sort).and_then(|body| {
            let grant = attributes.grant(access);
            SharedSection::open(&machine, attributes.path, body, grant, CALL)
        });
        match made {
            Ok(opened) => {
                // SAFETY: the caller passes a place.
                unsafe { write(handle, opened) };
                STATUS_SUCCESS
            }
            Err(status) => status,
        }
    }

    /// Opens a section by name.
    unsafe fn ZwOpenSection(
        handle: *mut HANDLE,
        access: ACCESS_MASK,
        attributes: *const OBJECT_ATTRIBUTES,
    ) -> NTSTATUS {
        const CALL: &str = "ZwOpenSection";
        let Some(machine) = here(CALL) else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes attributes.
        let found = unsafe { Attributes::read(attributes) }.and_then(|attributes| {
            let path = attributes.path.as_deref().ok_or(STATUS_OBJECT_NAME_INVALID)?;
            let found = shared_section::find(machine.names.find(path)?);
            let section = found.ok_or(STATUS_OBJECT_TYPE_MISMATCH)?;
            Ok(machine.handles.open(&machine, section, attributes.grant(access), CALL))
        });
        match found {
            Ok(opened) => {
                // SAFETY: the caller passes a place.
                unsafe { write(handle, opened) };
                STATUS_SUCCESS
            }
            Err(status) => status,
        }
    }

    /// Maps a view of a section, where there is room for it.
    unsafe fn ZwMapViewOfSection(
        section: HANDLE,
        process: HANDLE,
        base: *mut usize,
        _zero_bits: u64,
        _commit: SIZE_T,
        offset: *const u64,
        size: *mut SIZE_T,
        _inherit: i32,
        _allocation: ULONG,
        protection: ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "ZwMapViewOfSection";
        let Some(machine) = here(CALL) else {
            return STATUS_INVALID_HANDLE;
        };
        let found = behind(&machine, section);
        let Some((object, _)) = found.filter(|_| behind(&machine, process).is_some()) else {
            return STATUS_INVALID_HANDLE;
        };
        let Some(section) = shared_section::find(object) else {
            return STATUS_OBJECT_TYPE_MISMATCH;
        };
        if !PROTECTIONS.contains(&(protection & PROTECTION)) {
            return STATUS_INVALID_PAGE_PROTECTION;
        }
        // SAFETY: the caller passes an address.
        if unsafe { base.read() } != 0 {
            return STATUS_CONFLICTING_ADDRESSES;
        }
        // SAFETY: the caller passes an offset, or null.
        let offset = unsafe { offset.as_ref() }.copied().unwrap_or(0);
        if !shared_section::is_aligned(offset) {
            return STATUS_MAPPED_ALIGNMENT;
        }
        // SAFETY: the caller passes a size.
        let wanted = usize::try_from(unsafe { size.read() }).unwrap_or(usize::MAX);
        let mapped = shared_section::map(&machine, &section, offset, wanted, CALL);
        let Some((start, length)) = mapped else {
            return STATUS_INVALID_VIEW_SIZE;
        };
        // SAFETY: as above.
        unsafe { base.write(start) };
        // SAFETY: as above.
        unsafe { size.write(length as SIZE_T) };
        STATUS_SUCCESS
    }

    /// Unmaps the view that an address lies in.
    unsafe fn ZwUnmapViewOfSection(process: HANDLE, base: usize) -> NTSTATUS {
        const CALL: &str = "ZwUnmapViewOfSection";
        let Some(machine) = here(CALL) else {
            return STATUS_INVALID_HANDLE;
        };
        if behind(&machine, process).is_none() {
            return STATUS_INVALID_HANDLE;
        }
        if shared_section::unmap(&machine, base) {
            STATUS_SUCCESS
        } else {
            STATUS_NOT_MAPPED_VIEW
        }
    }
}
