//! Security identifiers, access lists and security descriptors in memory.

use super::{kernel, routines, write};
use crate::kernel::security::{
    self, Acl, DACL, DACL_DEFAULTED, DACL_PRESENT, Descriptor, GROUP, GROUP_DEFAULTED, List, OWNER,
    OWNER_DEFAULTED, REVISION, SACL, SACL_DEFAULTED, SACL_PRESENT, SELF_RELATIVE, SidHeader,
    is_sid, sid, sid_header, sid_length, sid_text,
};
use fltmgr_sys::*;
use std::ptr::null_mut;

const STATUS_BAD_DESCRIPTOR_FORMAT: NTSTATUS = 0xC000_00E7_u32.cast_signed();
const STATUS_REVISION_MISMATCH: NTSTATUS = 0xC000_0059_u32.cast_signed();
/// Tag of strings that the library allocates.
const TAG: ULONG = u32::from_le_bytes(*b"Strg");
const ACCESS_ALLOWED: u8 = 0;
const ACCESS_DENIED: u8 = 1;

/// `GENERIC_MAPPING`: read, write, execute, all.
type Mapping = [ACCESS_MASK; 4];

fn long(count: usize) -> ULONG {
    ULONG::try_from(count).unwrap_or(ULONG::MAX)
}

/// Changes a part of an absolute descriptor.
///
/// # Safety
/// `at` is a descriptor.
unsafe fn set_part(
    at: *mut u8,
    part: usize,
    value: Option<*mut u8>,
    (present, defaulted): (u16, u16),
    by_default: BOOLEAN,
) -> NTSTATUS {
    // SAFETY: by this function's contract.
    let mut descriptor = unsafe { Descriptor::read(at) };
    if descriptor.revision != REVISION {
        return STATUS_UNKNOWN_REVISION;
    }
    if descriptor.is_relative() {
        return STATUS_INVALID_SECURITY_DESCR;
    }
    descriptor.parts[part] = value.unwrap_or(null_mut());
    descriptor.control &= !(present | defaulted);
    if value.is_some() {
        descriptor.control |= present;
        if by_default != 0 {
            descriptor.control |= defaulted;
        }
    }
    // SAFETY: as above, and it is an absolute one.
    unsafe { at.cast::<Descriptor>().write_unaligned(descriptor) };
    STATUS_SUCCESS
}

/// Gives a list of a descriptor out.
///
/// # Safety
/// `at` is a descriptor, and the others are places for the answers.
unsafe fn get_list(
    at: *mut u8,
    part: usize,
    (present, defaulted): (u16, u16),
    is_present: *mut BOOLEAN,
    list: *mut *mut u8,
    by_default: *mut BOOLEAN,
) -> NTSTATUS {
    // SAFETY: by this function's contract.
    let descriptor = unsafe { Descriptor::read(at) };
    if descriptor.revision != REVISION {
        return STATUS_UNKNOWN_REVISION;
    }
    let there = descriptor.control & present != 0;
    // SAFETY: as above.
    unsafe { write(is_present, BOOLEAN::from(there)) };
    if there {
        // SAFETY: as above.
        unsafe { write(list, descriptor.parts[part]) };
        let flag = BOOLEAN::from(descriptor.control & defaulted != 0);
        // SAFETY: as above.
        unsafe { write(by_default, flag) };
    }
    STATUS_SUCCESS
}

/// # Safety
/// As for [`get_list`].
unsafe fn get_sid(
    at: *mut u8,
    part: usize,
    defaulted: u16,
    out: *mut *mut u8,
    by_default: *mut BOOLEAN,
) -> NTSTATUS {
    // SAFETY: by this function's contract.
    let descriptor = unsafe { Descriptor::read(at) };
    if descriptor.revision != REVISION {
        return STATUS_UNKNOWN_REVISION;
    }
    // SAFETY: as above.
    unsafe { write(out, descriptor.parts[part]) };
    let flag = BOOLEAN::from(descriptor.control & defaulted != 0);
    // SAFETY: as above.
    unsafe { write(by_default, flag) };
    STATUS_SUCCESS
}

/// Adds an entry that allows or denies access to an identifier.
///
/// # Safety
/// `list` is an access list and `who` an identifier.
unsafe fn add_access(
    list: *mut u8,
    revision: ULONG,
    kind: u8,
    flags: ULONG,
    mask: ACCESS_MASK,
    who: *const u8,
) -> NTSTATUS {
    // SAFETY: by this function's contract.
    let list = unsafe { List::new(list) };
    // SAFETY: as above.
    if !unsafe { is_sid(who) } {
        return STATUS_INVALID_SID;
    }
    let (Some(list), Ok(revision)) = (list, u8::try_from(revision)) else {
        return STATUS_INVALID_PARAMETER;
    };
    if list.header().revision > 4 || !(2..=4).contains(&revision) {
        return STATUS_REVISION_MISMATCH;
    }
    // SAFETY: as above.
    let who = unsafe { sid(who) };
    let size = u16::try_from(8 + who.len())
        .unwrap_or(u16::MAX)
        .to_le_bytes();
    let mut entry = vec![kind, flags.to_le_bytes()[0], size[0], size[1]];
    entry.extend(mask.to_le_bytes());
    entry.extend(who);
    let status = list.insert(usize::MAX, 1, &entry);
    if status == STATUS_SUCCESS {
        list.set_revision(revision);
    }
    status
}

routines! {
    /// An empty absolute descriptor.
    unsafe fn RtlCreateSecurityDescriptor(at: *mut Descriptor, revision: ULONG) -> NTSTATUS {
        if revision != REVISION.into() {
            return STATUS_UNKNOWN_REVISION;
        }
        // SAFETY: the caller passes memory for a descriptor.
        unsafe { write(at, Descriptor::EMPTY) };
        STATUS_SUCCESS
    }

    /// Sets the discretionary list, or takes it away.
    unsafe fn RtlSetDaclSecurityDescriptor(
        at: *mut u8,
        present: BOOLEAN,
        list: *mut u8,
        defaulted: BOOLEAN,
    ) -> NTSTATUS {
        let value = (present != 0).then_some(list);
        // SAFETY: the caller passes a descriptor.
        unsafe { set_part(at, DACL, value, (DACL_PRESENT, DACL_DEFAULTED), defaulted) }
    }

    /// Sets the system list, or takes it away.
    unsafe fn RtlSetSaclSecurityDescriptor(
        at: *mut u8,
        present: BOOLEAN,
        list: *mut u8,
        defaulted: BOOLEAN,
    ) -> NTSTATUS {
        let value = (present != 0).then_some(list);
        // SAFETY: the caller passes a descriptor.
        unsafe { set_part(at, SACL, value, (SACL_PRESENT, SACL_DEFAULTED), defaulted) }
    }

    /// Sets the owner.
    unsafe fn RtlSetOwnerSecurityDescriptor(
        at: *mut u8,
        owner: *mut u8,
        defaulted: BOOLEAN,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a descriptor.
        unsafe { set_part(at, OWNER, Some(owner), (0, OWNER_DEFAULTED), defaulted) }
    }

    /// Sets the group.
    unsafe fn RtlSetGroupSecurityDescriptor(
        at: *mut u8,
        group: *mut u8,
        defaulted: BOOLEAN,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a descriptor.
        unsafe { set_part(at, GROUP, Some(group), (0, GROUP_DEFAULTED), defaulted) }
    }

    /// The discretionary list.
    unsafe fn RtlGetDaclSecurityDescriptor(
        at: *mut u8,
        present: *mut BOOLEAN,
        list: *mut *mut u8,
        defaulted: *mut BOOLEAN,
    ) -> NTSTATUS {
        let flags = (DACL_PRESENT, DACL_DEFAULTED);
        // SAFETY: the caller passes a descriptor, and places.
        unsafe { get_list(at, DACL, flags, present, list, defaulted) }
    }

    /// The system list.
    unsafe fn RtlGetSaclSecurityDescriptor(
        at: *mut u8,
        present: *mut BOOLEAN,
        list: *mut *mut u8,
        defaulted: *mut BOOLEAN,
    ) -> NTSTATUS {
        let flags = (SACL_PRESENT, SACL_DEFAULTED);
        // SAFETY: the caller passes a descriptor, and places.
        unsafe { get_list(at, SACL, flags, present, list, defaulted) }
    }

    /// The owner.
    unsafe fn RtlGetOwnerSecurityDescriptor(
        at: *mut u8,
        owner: *mut *mut u8,
        defaulted: *mut BOOLEAN,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a descriptor, and places.
        unsafe { get_sid(at, OWNER, OWNER_DEFAULTED, owner, defaulted) }
    }

    /// The group.
    unsafe fn RtlGetGroupSecurityDescriptor(
        at: *mut u8,
        group: *mut *mut u8,
        defaulted: *mut BOOLEAN,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a descriptor, and places.
        unsafe { get_sid(at, GROUP, GROUP_DEFAULTED, group, defaulted) }
    }

    /// The flags of a descriptor, and its revision.
    unsafe fn RtlGetControlSecurityDescriptor(
        at: *mut u8,
        control: *mut u16,
        revision: *mut ULONG,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a descriptor.
        let descriptor = unsafe { Descriptor::read(at) };
        // SAFETY: the caller passes a place.
        unsafe { write(revision, descriptor.revision.into()) };
        // SAFETY: the caller passes a place.
        unsafe { write(control, descriptor.control) };
        let known = descriptor.revision == REVISION;
        if known { STATUS_SUCCESS } else { STATUS_UNKNOWN_REVISION }
    }

    /// Whether a descriptor is one.
    unsafe fn RtlValidSecurityDescriptor(at: *mut u8) -> BOOLEAN {
        if at.is_null() {
            return 0;
        }
        // SAFETY: the caller passes readable memory.
        let descriptor = unsafe { Descriptor::read(at) };
        // SAFETY: as above.
        BOOLEAN::from(unsafe { descriptor.is_valid() })
    }

    /// How many bytes a descriptor has with its parts.
    unsafe fn RtlLengthSecurityDescriptor(at: *mut u8) -> ULONG {
        // SAFETY: the caller passes a descriptor.
        let descriptor = unsafe { Descriptor::read(at) };
        // SAFETY: as above.
        let relative = unsafe { descriptor.self_relative() };
        let header = if descriptor.is_relative() { 20 } else { size_of::<Descriptor>() };
        long(relative.len() - 20 + header)
    }

    /// Copies a descriptor into the form that has no pointers.
    unsafe fn RtlAbsoluteToSelfRelativeSD(
        at: *mut u8,
        target: *mut u8,
        room: *mut ULONG,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a descriptor.
        let descriptor = unsafe { Descriptor::read(at) };
        if descriptor.is_relative() {
            return STATUS_BAD_DESCRIPTOR_FORMAT;
        }
        // SAFETY: as above.
        let relative = unsafe { descriptor.self_relative() };
        // SAFETY: the caller passes the size of the buffer.
        let have = unsafe { room.read() };
        // SAFETY: as above.
        unsafe { room.write(long(relative.len())) };
        if (have as usize) < relative.len() || target.is_null() {
            return STATUS_BUFFER_TOO_SMALL;
        }
        // SAFETY: the caller passes a buffer of that size.
        unsafe { std::ptr::copy_nonoverlapping(relative.as_ptr(), target, relative.len()) };
        STATUS_SUCCESS
    }

    /// Copies a descriptor without pointers into one with them, and its parts into buffers.
    unsafe fn RtlSelfRelativeToAbsoluteSD(
        at: *mut u8,
        target: *mut u8,
        room: *mut ULONG,
        dacl: *mut u8,
        dacl_room: *mut ULONG,
        sacl: *mut u8,
        sacl_room: *mut ULONG,
        owner: *mut u8,
        owner_room: *mut ULONG,
        group: *mut u8,
        group_room: *mut ULONG,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a descriptor.
        let mut descriptor = unsafe { Descriptor::read(at) };
        if !descriptor.is_relative() {
            return STATUS_BAD_DESCRIPTOR_FORMAT;
        }
        // SAFETY: as above.
        let contents = unsafe { descriptor.contents() };
        let buffers = [owner, group, sacl, dacl];
        let rooms = [owner_room, group_room, sacl_room, dacl_room];
        let mut fits = true;
        let needed = contents.iter().map(Vec::len).chain([size_of::<Descriptor>()]);
        for (place, needed) in rooms.into_iter().chain([room]).zip(needed) {
            // SAFETY: the caller passes the sizes of the buffers.
            fits &= unsafe { place.read() } as usize >= needed;
            // SAFETY: as above.
            unsafe { place.write(long(needed)) };
        }
        if !fits || target.is_null() {
            return STATUS_BUFFER_TOO_SMALL;
        }
        for (part, content) in contents.iter().enumerate() {
            descriptor.parts[part] = null_mut();
            if !content.is_empty() {
                let buffer = buffers[part];
                // SAFETY: the caller passes buffers of these sizes.
                unsafe { std::ptr::copy_nonoverlapping(content.as_ptr(), buffer, content.len()) };
                descriptor.parts[part] = buffer;
            }
        }
        descriptor.control &= !SELF_RELATIVE;
        // SAFETY: as above.
        unsafe { target.cast::<Descriptor>().write_unaligned(descriptor) };
        STATUS_SUCCESS
    }

    /// An empty access list.
    unsafe fn RtlCreateAcl(list: *mut u8, size: ULONG, revision: ULONG) -> NTSTATUS {
        if (size as usize) < size_of::<Acl>() {
            return STATUS_BUFFER_TOO_SMALL;
        }
        let size = u16::try_from(size).ok().map(|size| size & !3);
        let revision = u8::try_from(revision).ok().filter(|one| (2..=4).contains(one));
        // SAFETY: the caller passes memory for a list.
        let list = unsafe { List::new(list) };
        match (list, size, revision) {
            (Some(list), Some(size), Some(revision)) => {
                list.create(size, revision);
                STATUS_SUCCESS
            }
            _ => STATUS_INVALID_PARAMETER,
        }
    }

    /// Whether an access list is one.
    unsafe fn RtlValidAcl(list: *mut u8) -> BOOLEAN {
        // SAFETY: the caller passes readable memory.
        let list = unsafe { List::new(list) };
        BOOLEAN::from(list.is_some_and(|list| list.entries().is_some()))
    }

    /// Allows access to an identifier.
    unsafe fn RtlAddAccessAllowedAce(
        list: *mut u8,
        revision: ULONG,
        mask: ACCESS_MASK,
        who: *const u8,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a list and an identifier.
        unsafe { add_access(list, revision, ACCESS_ALLOWED, 0, mask, who) }
    }

    /// The same, with flags for inheritance.
    unsafe fn RtlAddAccessAllowedAceEx(
        list: *mut u8,
        revision: ULONG,
        flags: ULONG,
        mask: ACCESS_MASK,
        who: *const u8,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a list and an identifier.
        unsafe { add_access(list, revision, ACCESS_ALLOWED, flags, mask, who) }
    }

    /// Denies access to an identifier.
    unsafe fn RtlAddAccessDeniedAce(
        list: *mut u8,
        revision: ULONG,
        mask: ACCESS_MASK,
        who: *const u8,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a list and an identifier.
        unsafe { add_access(list, revision, ACCESS_DENIED, 0, mask, who) }
    }

    /// Adds entries to a list in front of one, or at the end.
    unsafe fn RtlAddAce(
        list: *mut u8,
        revision: ULONG,
        index: ULONG,
        entries: *const u8,
        length: ULONG,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a list.
        let list = unsafe { List::new(list) };
        let (Some(list), Ok(revision)) = (list, u8::try_from(revision)) else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes so many bytes.
        let entries = unsafe { security::bytes(entries, length as usize) };
        let (mut at, mut count) = (0, 0);
        while let Some(head) = entries.get(at..at + 4) {
            let size = usize::from(u16::from_le_bytes([head[2], head[3]]));
            if size < 4 {
                return STATUS_INVALID_PARAMETER;
            }
            at += size;
            count += 1;
        }
        if at != entries.len() {
            return STATUS_INVALID_PARAMETER;
        }
        let status = list.insert(index as usize, count, &entries);
        if status == STATUS_SUCCESS {
            list.set_revision(revision);
        }
        status
    }

    /// Takes an entry out of a list.
    unsafe fn RtlDeleteAce(list: *mut u8, index: ULONG) -> NTSTATUS {
        // SAFETY: the caller passes a list.
        let list = unsafe { List::new(list) };
        list.map_or(STATUS_INVALID_PARAMETER, |list| list.remove(index as usize))
    }

    /// The address of an entry of a list.
    unsafe fn RtlGetAce(list: *mut u8, index: ULONG, entry: *mut *mut u8) -> NTSTATUS {
        // SAFETY: the caller passes a list.
        let list = unsafe { List::new(list) };
        let found = list.and_then(|list| {
            let (at, _) = *list.entries()?.0.get(index as usize)?;
            Some(list.pointer(at))
        });
        let Some(found) = found else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes a place for the address.
        unsafe { write(entry, found) };
        STATUS_SUCCESS
    }

    /// How many bytes an identifier has.
    unsafe fn RtlLengthSid(who: *const u8) -> ULONG {
        // SAFETY: the caller passes an identifier.
        long(sid_length(unsafe { sid_header(who) }.count))
    }

    /// How many bytes an identifier with so many sub-authorities has.
    unsafe fn RtlLengthRequiredSid(count: ULONG) -> ULONG {
        count.saturating_mul(4).saturating_add(8)
    }

    /// An identifier whose sub-authorities are still to be set.
    unsafe fn RtlInitializeSid(
        who: *mut SidHeader,
        authority: *const [u8; 6],
        count: UCHAR,
    ) -> NTSTATUS {
        if count > 15 {
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: the caller passes an authority.
        let authority = unsafe { authority.read() };
        // SAFETY: the caller passes memory for an identifier.
        unsafe { write(who, SidHeader { revision: 1, count, authority }) };
        STATUS_SUCCESS
    }

    /// Where a sub-authority is.
    unsafe fn RtlSubAuthoritySid(who: *mut u8, index: ULONG) -> *mut ULONG {
        who.wrapping_add(8 + 4 * index as usize).cast()
    }

    /// Where the number of sub-authorities is.
    unsafe fn RtlSubAuthorityCountSid(who: *mut u8) -> *mut UCHAR {
        who.wrapping_add(1)
    }

    /// Whether an identifier is one.
    unsafe fn RtlValidSid(who: *const u8) -> BOOLEAN {
        // SAFETY: the caller passes readable memory.
        BOOLEAN::from(unsafe { is_sid(who) })
    }

    /// Whether two identifiers are the same.
    unsafe fn RtlEqualSid(one: *const u8, two: *const u8) -> BOOLEAN {
        // SAFETY: the caller passes an identifier.
        let one = unsafe { sid(one) };
        // SAFETY: as above.
        BOOLEAN::from(one == unsafe { sid(two) })
    }

    /// Copies an identifier.
    unsafe fn RtlCopySid(room: ULONG, target: *mut u8, source: *const u8) -> NTSTATUS {
        // SAFETY: the caller passes an identifier.
        let bytes = unsafe { sid(source) };
        if bytes.len() > room as usize {
            return STATUS_BUFFER_TOO_SMALL;
        }
        // SAFETY: the caller passes a buffer of that size.
        unsafe { std::ptr::copy(bytes.as_ptr(), target, bytes.len()) };
        STATUS_SUCCESS
    }

    /// Writes an identifier into a string, or into one that is allocated for it.
    unsafe fn RtlConvertSidToUnicodeString(
        target: PUNICODE_STRING,
        who: *const u8,
        allocate: BOOLEAN,
    ) -> NTSTATUS {
        // SAFETY: the caller passes an identifier.
        if !unsafe { is_sid(who) } {
            return STATUS_INVALID_SID;
        }
        // SAFETY: as above.
        let text = sid_text(&unsafe { sid(who) });
        let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
        let bytes = USHORT::try_from(2 * units.len()).unwrap_or(USHORT::MAX);
        if allocate != 0 {
            let buffer = kernel::allocate_within(CALL, PagedPool, bytes.into(), TAG, true);
            if buffer.is_null() {
                return STATUS_NO_MEMORY;
            }
            let header = UNICODE_STRING {
                Length: 0,
                MaximumLength: bytes,
                Buffer: buffer.cast(),
            };
            // SAFETY: the caller passes a place for a string.
            unsafe { target.write(header) };
        }
        // SAFETY: the caller passes a string, or it was made just now.
        let header = unsafe { &mut *target };
        // The terminator is written if there is room for it.
        let count = units.len().min(usize::from(header.MaximumLength) / 2);
        if count + 1 < units.len() {
            return STATUS_BUFFER_OVERFLOW;
        }
        // SAFETY: there is room for so many units.
        unsafe { std::ptr::copy_nonoverlapping(units.as_ptr(), header.Buffer, count) };
        header.Length = bytes - 2;
        STATUS_SUCCESS
    }

    /// Makes generic rights into those of an object.
    unsafe fn RtlMapGenericMask(mask: *mut ACCESS_MASK, mapping: *const Mapping) {
        // SAFETY: the caller passes a mapping.
        let [read, write, execute, all] = unsafe { mapping.read() };
        // SAFETY: the caller passes a mask.
        let before = unsafe { mask.read() };
        let rights = [
            (0x8000_0000, read),
            (0x4000_0000, write),
            (0x2000_0000, execute),
            (0x1000_0000, all),
        ];
        let generic = rights.iter().filter(|(generic, _)| before & generic != 0);
        let specific = generic.fold(before & 0x0FFF_FFFF, |mask, (_, rights)| mask | rights);
        // SAFETY: as above.
        unsafe { mask.write(specific) };
    }
}
