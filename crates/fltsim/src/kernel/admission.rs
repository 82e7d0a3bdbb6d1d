//! Whom security descriptors admit: the descriptor that the Filter Manager builds, and what any says
//! of administrators.

use crate::kernel::pool;
use crate::kernel::security::{Acl, DACL, DACL_PRESENT, Descriptor, List, REVISION};
use crate::machine::Inner;
use fltmgr_sys::*;
use std::ptr::null_mut;

/// The tag of a descriptor that was built here.
const TAG: ULONG = u32::from_le_bytes(*b"FMsd");
/// `ACL_REVISION`.
const ACL_REVISION: UCHAR = 2;
const ACCESS_ALLOWED: UCHAR = 0;
const ACCESS_DENIED: UCHAR = 1;
/// The head of an ACE: type, flags, size, access mask.
const ACE_HEAD: usize = 8;
const ACL_HEAD: usize = size_of::<Acl>();

/// `BUILTIN\Administrators`.
pub(crate) const ADMINISTRATORS: [UCHAR; 16] = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
/// `NT AUTHORITY\SYSTEM`.
pub(crate) const SYSTEM: [UCHAR; 12] = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
/// Everyone, among whom the two above are.
const EVERYONE: [UCHAR; 12] = [1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
/// `NT AUTHORITY\Authenticated Users`, of whom the same is true.
const AUTHENTICATED: [UCHAR; 12] = [1, 1, 0, 0, 0, 0, 0, 5, 11, 0, 0, 0];

/// An entry that allows something to somebody.
fn allow(access: ACCESS_MASK, whom: &[UCHAR]) -> Vec<UCHAR> {
    let size = u16::try_from(ACE_HEAD + whom.len()).unwrap_or(0);
    let mut entry = vec![ACCESS_ALLOWED, 0];
    entry.extend(size.to_le_bytes());
    entry.extend(access.to_le_bytes());
    entry.extend(whom);
    entry
}

/// An access list that gives administrators and the system an access, and nobody else any.
pub(crate) fn list(access: ACCESS_MASK) -> Vec<UCHAR> {
    let entries = [allow(access, &ADMINISTRATORS), allow(access, &SYSTEM)];
    let count = u16::try_from(entries.len()).unwrap_or(0);
    let entries = entries.concat();
    let size = u16::try_from(ACL_HEAD + entries.len()).unwrap_or(0);
    let mut list = vec![ACL_REVISION, 0];
    for word in [size, count, 0] {
        list.extend(word.to_le_bytes());
    }
    list.extend(entries);
    list
}

/// Builds a descriptor in paged pool that gives administrators and the system an access, and
/// nobody else any; null if there is no memory.
pub(crate) fn build(machine: &Inner, call: &'static str, access: ACCESS_MASK) -> PVOID {
    let list = list(access);
    let head = size_of::<Descriptor>();
    let size = (head + list.len()) as SIZE_T;
    let address = machine
        .pool
        .allocate(machine, call, PagedPool, size, TAG, true);
    if address == 0 {
        return null_mut();
    }
    let descriptor = address as PVOID;
    let acl = descriptor.wrapping_byte_add(head).cast::<u8>();
    let mut content = Descriptor::EMPTY;
    content.control = DACL_PRESENT;
    content.parts[DACL] = acl;
    // SAFETY: the allocation begins here, is aligned to 16 bytes and has room for both parts.
    unsafe { descriptor.cast::<Descriptor>().write(content) };
    // SAFETY: as above, behind the descriptor.
    unsafe { acl.copy_from_nonoverlapping(list.as_ptr(), list.len()) };
    descriptor
}

/// Frees what [`build`] made; anything else is reported.
pub(crate) fn free(machine: Option<&Inner>, call: &'static str, descriptor: PVOID) {
    pool::free(machine, call, descriptor as usize, TAG);
}

/// Whether a descriptor lets an administrator have all of an access. No descriptor does.
///
/// # Errors
/// `STATUS_INVALID_SECURITY_DESCR` if it is none, or its access control list is none.
///
/// # Safety
/// `descriptor` is null or points to a security descriptor with its parts.
pub(crate) unsafe fn admits_administrators(
    descriptor: PVOID,
    access: ACCESS_MASK,
) -> Result<bool, NTSTATUS> {
    if descriptor.is_null() {
        return Ok(true);
    }
    // SAFETY: not null, and then a descriptor by this function's contract.
    let descriptor = unsafe { Descriptor::read(descriptor.cast()) };
    if descriptor.revision != REVISION {
        return Err(STATUS_INVALID_SECURITY_DESCR);
    }
    if descriptor.control & DACL_PRESENT == 0 {
        return Ok(true);
    }
    // SAFETY: the parts of a descriptor are what they should be, by this function's contract.
    let Some(list) = (unsafe { List::new(descriptor.parts[DACL]) }) else {
        // A list that is absent on purpose keeps nobody out.
        return Ok(true);
    };
    if list.entries().is_none() {
        return Err(STATUS_INVALID_SECURITY_DESCR);
    }
    walk(&list.content()[ACL_HEAD..], list.header().count, access)
        .ok_or(STATUS_INVALID_SECURITY_DESCR)
}

/// Goes through the entries until the access is granted or denied; `None` if they are malformed.
fn walk(mut entries: &[u8], count: USHORT, access: ACCESS_MASK) -> Option<bool> {
    let whom: [&[u8]; 4] = [&ADMINISTRATORS, &SYSTEM, &EVERYONE, &AUTHENTICATED];
    let mut missing = access;
    for _ in 0..count {
        let size = usize::from(u16::from_le_bytes(entries.get(2..4)?.try_into().ok()?));
        let entry = entries.get(..size)?;
        let mask = u32::from_le_bytes(entry.get(4..8)?.try_into().ok()?);
        let concerned = whom.iter().any(|sid| entry[ACE_HEAD..].starts_with(sid));
        match entry[0] {
            ACCESS_DENIED if concerned && missing & mask != 0 => return Some(false),
            ACCESS_ALLOWED if concerned => missing &= !mask,
            _ => {}
        }
        entries = &entries[size..];
    }
    Some(missing == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_taken_in_their_order() {
        let denied = |whom: &[u8]| {
            let mut entry = allow(1, whom);
            entry[0] = ACCESS_DENIED;
            entry
        };
        let user = [1, 1, 0, 0, 0, 0, 0, 5, 4, 0, 0, 0];
        assert_eq!(walk(&[], 0, 1), Some(false));
        assert_eq!(walk(&allow(1, &user), 1, 1), Some(false));
        assert_eq!(walk(&allow(1, &EVERYONE), 1, 1), Some(true));
        assert_eq!(walk(&allow(1, &EVERYONE), 1, 3), Some(false));
        let both = [allow(1, &SYSTEM), allow(2, &ADMINISTRATORS)].concat();
        assert_eq!(walk(&both, 2, 3), Some(true));
        let first = [denied(&EVERYONE), allow(1, &SYSTEM)].concat();
        assert_eq!(walk(&first, 2, 1), Some(false));
        let last = [allow(1, &SYSTEM), denied(&EVERYONE)].concat();
        assert_eq!(walk(&last, 2, 1), Some(true));
        assert_eq!(walk(&both[..20], 2, 1), None);
        assert_eq!(walk(&[0, 0, 3, 0, 0, 0, 0, 0], 1, 1), None);
    }
}
