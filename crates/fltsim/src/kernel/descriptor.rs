//! A security descriptor that is nobody's memory but its own, and its parts.

use super::admission::{self, ADMINISTRATORS, SYSTEM};
use super::security::{
    Acl, DACL, DACL_AUTO_INHERITED, DACL_DEFAULTED, DACL_PRESENT, DACL_PROTECTED, Descriptor,
    GROUP, GROUP_DEFAULTED, OWNER, OWNER_DEFAULTED, REVISION, SACL, SACL_AUTO_INHERITED,
    SACL_DEFAULTED, SACL_PRESENT, SACL_PROTECTED, SELF_RELATIVE, relative, sid_length,
};
use fltmgr_sys::*;

/// The header of a self-relative descriptor: revision, flags, and four offsets.
const HEAD: usize = 20;

/// What stands for each part in a `SECURITY_INFORMATION`, and the flags that go with the part.
const PARTS: [(SECURITY_INFORMATION, usize, u16); 4] = [
    (OWNER_SECURITY_INFORMATION, OWNER, OWNER_DEFAULTED),
    (GROUP_SECURITY_INFORMATION, GROUP, GROUP_DEFAULTED),
    (
        SACL_SECURITY_INFORMATION,
        SACL,
        SACL_PRESENT | SACL_DEFAULTED | SACL_AUTO_INHERITED | SACL_PROTECTED,
    ),
    (
        DACL_SECURITY_INFORMATION,
        DACL,
        DACL_PRESENT | DACL_DEFAULTED | DACL_AUTO_INHERITED | DACL_PROTECTED,
    ),
];

/// A security descriptor whose parts were all looked at. An absent part is empty; so is a list that
/// is present and null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Captured {
    control: u16,
    contents: [Vec<u8>; 4],
}

impl Captured {
    /// What the system gives its own objects: administrators own them, and they and the system have
    /// an access.
    pub(crate) fn of_the_system(access: ACCESS_MASK) -> Self {
        let mut contents = [const { Vec::new() }; 4];
        contents[OWNER] = ADMINISTRATORS.to_vec();
        contents[GROUP] = SYSTEM.to_vec();
        contents[DACL] = admission::list(access);
        Self {
            control: DACL_PRESENT,
            contents,
        }
    }

    /// Copies a descriptor of either form out of a driver's memory.
    ///
    /// # Errors
    /// `STATUS_ACCESS_VIOLATION` for null, or what is wrong with it: `STATUS_UNKNOWN_REVISION`,
    /// `STATUS_INVALID_SID`, `STATUS_INVALID_ACL`.
    ///
    /// # Safety
    /// `at` is null or points to a security descriptor with its parts.
    pub(crate) unsafe fn capture(at: *mut u8) -> Result<Self, NTSTATUS> {
        if at.is_null() {
            return Err(STATUS_ACCESS_VIOLATION);
        }
        // SAFETY: not null, and then a descriptor by this function's contract.
        let descriptor = unsafe { Descriptor::read(at) };
        // SAFETY: its parts are readable by this function's contract.
        unsafe { descriptor.check() }?;
        // SAFETY: its parts are what they should be, as was just found.
        let contents = unsafe { descriptor.contents() };
        Ok(Self {
            control: descriptor.control & !SELF_RELATIVE,
            contents,
        })
    }

    /// Reads a self-relative descriptor.
    ///
    /// # Errors
    /// `STATUS_INVALID_SECURITY_DESCR` if it is no such thing or a part of it does not lie in these
    /// bytes, or what is wrong with a part.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, NTSTATUS> {
        let word = |at: usize| -> Option<u16> {
            let pair = bytes.get(at..)?.first_chunk()?;
            Some(u16::from_le_bytes(*pair))
        };
        let mut whole = bytes.len() >= HEAD && word(2).unwrap_or(0) & SELF_RELATIVE != 0;
        for (_, part, _) in PARTS {
            let offset = bytes
                .get(4 + 4 * part..)
                .and_then(|rest| rest.first_chunk());
            let at = u32::from_le_bytes(offset.copied().unwrap_or_default()) as usize;
            let length = if part == OWNER || part == GROUP {
                bytes.get(at + 1).map(|count| sid_length(*count))
            } else {
                word(at + 2).map(|size| usize::from(size).max(size_of::<Acl>()))
            };
            let inside = length.is_some_and(|length| at >= HEAD && at + length <= bytes.len());
            whole &= at == 0 || inside;
        }
        if !whole {
            return Err(STATUS_INVALID_SECURITY_DESCR);
        }
        // SAFETY: every part that the header names lies in these bytes, as was just looked at, and
        // nothing is written to them.
        unsafe { Self::capture(bytes.as_ptr().cast_mut()) }
    }

    /// The self-relative form.
    pub(crate) fn self_relative(&self) -> Vec<u8> {
        relative(REVISION, self.control, &self.contents)
    }

    /// The descriptor that has only some of the parts.
    pub(crate) fn select(&self, information: SECURITY_INFORMATION) -> Self {
        let mut selected = Self {
            control: 0,
            contents: [const { Vec::new() }; 4],
        };
        selected.take(information, self);
        selected
    }

    /// Replaces some of the parts by those of another descriptor.
    ///
    /// # Errors
    /// `STATUS_INVALID_OWNER`, `STATUS_INVALID_PRIMARY_GROUP`: a file has both.
    pub(crate) fn replace(
        &mut self,
        information: SECURITY_INFORMATION,
        by: &Self,
    ) -> Result<(), NTSTATUS> {
        let lacks = |wanted, part: usize| information & wanted != 0 && by.contents[part].is_empty();
        if lacks(OWNER_SECURITY_INFORMATION, OWNER) {
            return Err(STATUS_INVALID_OWNER);
        }
        if lacks(GROUP_SECURITY_INFORMATION, GROUP) {
            return Err(STATUS_INVALID_PRIMARY_GROUP);
        }
        self.take(information, by);
        Ok(())
    }

    fn take(&mut self, information: SECURITY_INFORMATION, from: &Self) {
        for (wanted, part, flags) in PARTS {
            if information & wanted != 0 {
                self.contents[part].clone_from(&from.contents[part]);
                self.control = (self.control & !flags) | (from.control & flags);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system() -> Vec<u8> {
        Captured::of_the_system(1).self_relative()
    }

    #[test]
    fn a_part_that_is_wrong_is_named() {
        let whole = system();
        // The header, the list (two entries), the owner, the group.
        assert_eq!((whole.len(), whole[72], whole[88]), (100, 1, 1));
        for (at, value, status) in [
            (0, 2, STATUS_UNKNOWN_REVISION),
            (3, 0, STATUS_INVALID_SECURITY_DESCR),
            (4, 99, STATUS_INVALID_SECURITY_DESCR),
            (8, 3, STATUS_INVALID_SECURITY_DESCR),
            (16, 97, STATUS_INVALID_SECURITY_DESCR),
            (20, 9, STATUS_INVALID_ACL),
            (22, 4, STATUS_INVALID_ACL),
            (23, 1, STATUS_INVALID_SECURITY_DESCR),
            (24, 3, STATUS_INVALID_ACL),
            (30, 3, STATUS_INVALID_ACL),
            (72, 2, STATUS_INVALID_SID),
            (73, 200, STATUS_INVALID_SECURITY_DESCR),
            (88, 0, STATUS_INVALID_SID),
        ] {
            let mut broken = whole.clone();
            broken[at] = value;
            assert_eq!(Captured::parse(&broken), Err(status), "byte {at}");
        }
        for length in 0..whole.len() {
            let cut = Captured::parse(&whole[..length]);
            assert_eq!(cut, Err(STATUS_INVALID_SECURITY_DESCR), "{length} bytes");
        }
        assert_eq!(Captured::parse(&whole).unwrap().self_relative(), whole);
    }

    #[test]
    fn parts_come_with_their_flags() {
        let mut file = Captured::of_the_system(1);
        let mut other = Captured::of_the_system(2);
        other.contents[OWNER] = SYSTEM.to_vec();
        other.control |= OWNER_DEFAULTED | DACL_DEFAULTED | DACL_PROTECTED | SACL_PRESENT;
        assert_eq!(file.replace(DACL_SECURITY_INFORMATION, &other), Ok(()));
        assert_eq!(file.contents[OWNER], ADMINISTRATORS);
        assert_eq!(file.contents[DACL], other.contents[DACL]);
        let flags = DACL_PRESENT | DACL_DEFAULTED | DACL_PROTECTED;
        assert_eq!(file.control, flags);
        // A list that is present and null is not an absent one.
        assert_eq!(file.replace(SACL_SECURITY_INFORMATION, &other), Ok(()));
        assert_eq!(file.control, flags | SACL_PRESENT);
        let owner = file.select(OWNER_SECURITY_INFORMATION);
        assert_eq!(owner.self_relative().len(), HEAD + ADMINISTRATORS.len());
        assert_eq!(owner.control, 0);
        assert_eq!(file.select(0).self_relative().len(), HEAD);

        let before = file.clone();
        let neither = file.select(DACL_SECURITY_INFORMATION);
        for (parts, status) in [
            (OWNER_SECURITY_INFORMATION, STATUS_INVALID_OWNER),
            (
                GROUP_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
                STATUS_INVALID_PRIMARY_GROUP,
            ),
        ] {
            assert_eq!(file.replace(parts, &neither), Err(status));
        }
        assert_eq!(file, before);
    }

    #[test]
    fn both_forms_are_captured() {
        let (mut owner, mut list) = (ADMINISTRATORS, admission::list(1));
        let mut absolute = Descriptor::EMPTY;
        absolute.control = DACL_PRESENT;
        absolute.parts[OWNER] = owner.as_mut_ptr();
        absolute.parts[DACL] = list.as_mut_ptr();
        // SAFETY: the descriptor and its parts are on this stack.
        let captured = unsafe { Captured::capture((&raw mut absolute).cast()) }.unwrap();
        let parts = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
        assert_eq!(captured, Captured::of_the_system(1).select(parts));
        // SAFETY: null is allowed.
        let null = unsafe { Captured::capture(std::ptr::null_mut()) };
        assert_eq!(null, Err(STATUS_ACCESS_VIOLATION));
    }
}
