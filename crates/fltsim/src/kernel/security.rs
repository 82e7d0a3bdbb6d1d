//! The structures of security in memory: identifiers, access lists, descriptors.

use fltmgr_sys::*;

/// `SID_REVISION` and the most sub-authorities.
const SID_REVISION: u8 = 1;
const MOST_AUTHORITIES: u8 = 15;
/// `SECURITY_DESCRIPTOR_REVISION`.
pub(crate) const REVISION: u8 = 1;
/// Flags of a descriptor.
pub(crate) const OWNER_DEFAULTED: u16 = 0x1;
pub(crate) const GROUP_DEFAULTED: u16 = 0x2;
pub(crate) const DACL_PRESENT: u16 = 0x4;
pub(crate) const DACL_DEFAULTED: u16 = 0x8;
pub(crate) const SACL_PRESENT: u16 = 0x10;
pub(crate) const SACL_DEFAULTED: u16 = 0x20;
pub(crate) const DACL_AUTO_INHERITED: u16 = 0x400;
pub(crate) const SACL_AUTO_INHERITED: u16 = 0x800;
pub(crate) const DACL_PROTECTED: u16 = 0x1000;
pub(crate) const SACL_PROTECTED: u16 = 0x2000;
pub(crate) const SELF_RELATIVE: u16 = 0x8000;

/// `SID`, without its sub-authorities.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SidHeader {
    pub(crate) revision: u8,
    pub(crate) count: u8,
    pub(crate) authority: [u8; 6],
}

/// `ACL`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Acl {
    pub(crate) revision: u8,
    zero: u8,
    pub(crate) size: u16,
    pub(crate) count: u16,
    zero2: u16,
}

/// `ACE_HEADER`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Ace {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) size: u16,
}

/// `SECURITY_DESCRIPTOR`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Descriptor {
    pub(crate) revision: u8,
    zero: u8,
    pub(crate) control: u16,
    /// The owner, the group, the system list and the discretionary list.
    pub(crate) parts: [*mut u8; 4],
}

/// `SECURITY_DESCRIPTOR_RELATIVE`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Relative {
    revision: u8,
    zero: u8,
    control: u16,
    parts: [u32; 4],
}

const _: () = assert!(size_of::<SidHeader>() == 8);
const _: () = assert!(size_of::<Acl>() == 8);
const _: () = assert!(size_of::<Descriptor>() == 40);
const _: () = assert!(size_of::<Relative>() == 20);

/// Where the parts of a descriptor are among its pointers.
pub(crate) const OWNER: usize = 0;
pub(crate) const GROUP: usize = 1;
pub(crate) const SACL: usize = 2;
pub(crate) const DACL: usize = 3;

pub(crate) const fn sid_length(authorities: u8) -> usize {
    8 + 4 * authorities as usize
}

/// # Safety
/// `sid` points to an identifier.
pub(crate) unsafe fn sid_header(sid: *const u8) -> SidHeader {
    // SAFETY: by this function's contract.
    unsafe { sid.cast::<SidHeader>().read_unaligned() }
}

/// Whether an identifier is one.
///
/// # Safety
/// `sid` is null or readable.
pub(crate) unsafe fn is_sid(sid: *const u8) -> bool {
    // SAFETY: by this function's contract.
    !sid.is_null() && {
        // SAFETY: as above.
        let header = unsafe { sid_header(sid) };
        header.revision == SID_REVISION && header.count <= MOST_AUTHORITIES
    }
}

/// # Safety
/// `from` has so many readable bytes.
pub(crate) unsafe fn bytes(from: *const u8, count: usize) -> Vec<u8> {
    // SAFETY: by this function's contract.
    unsafe { std::slice::from_raw_parts(from, count) }.to_vec()
}

/// The bytes of an identifier.
///
/// # Safety
/// `sid` points to an identifier.
pub(crate) unsafe fn sid(sid: *const u8) -> Vec<u8> {
    // SAFETY: by this function's contract.
    let count = unsafe { sid_header(sid) }.count;
    // SAFETY: as above.
    unsafe { bytes(sid, sid_length(count)) }
}

/// An identifier in the form `S-1-...`.
pub(crate) fn sid_text(sid: &[u8]) -> String {
    let [revision, _, authority @ ..] = sid else {
        return String::new();
    };
    let (authority, rest) = authority.split_at_checked(6).unwrap_or((authority, &[]));
    let value = authority
        .iter()
        .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    let authority = if value >> 32 == 0 {
        value.to_string()
    } else {
        format!("0x{value:X}")
    };
    let words = rest.chunks_exact(4);
    let words = words.map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    let words: Vec<String> = words.map(|word| format!("-{word}")).collect();
    format!("S-{revision}-{authority}{}", words.concat())
}

/// An access list of a driver.
///
/// # Invariants
/// It points to a list, all of whose bytes may be read and written as long as this value is used.
#[derive(Clone, Copy)]
pub(crate) struct List(*mut Acl);

impl List {
    /// # Safety
    /// `at` is null or an access list, which stays as long as the result is used.
    pub(crate) unsafe fn new(at: *mut u8) -> Option<Self> {
        (!at.is_null()).then_some(Self(at.cast()))
    }

    pub(crate) fn header(self) -> Acl {
        // SAFETY: by the invariant.
        unsafe { self.0.read_unaligned() }
    }

    fn set_header(self, header: Acl) {
        // SAFETY: by the invariant.
        unsafe { self.0.write_unaligned(header) };
    }

    pub(crate) fn create(self, size: u16, revision: u8) {
        self.set_header(Acl {
            revision,
            zero: 0,
            size,
            count: 0,
            zero2: 0,
        });
    }

    pub(crate) fn size(self) -> usize {
        self.header().size.into()
    }

    pub(crate) fn pointer(self, offset: usize) -> *mut u8 {
        self.0.cast::<u8>().wrapping_add(offset)
    }

    pub(crate) fn content(self) -> Vec<u8> {
        // SAFETY: by the invariant.
        unsafe { bytes(self.pointer(0), self.size()) }
    }

    /// Where the entries are, and where the first free byte is; none if they do not fit.
    pub(crate) fn entries(self) -> Option<(Vec<(usize, usize)>, usize)> {
        let header = self.header();
        let mut at = size_of::<Acl>();
        let mut entries = Vec::new();
        if self.size() < at || !(2..=4).contains(&header.revision) {
            return None;
        }
        for _ in 0..header.count {
            if at + size_of::<Ace>() > self.size() {
                return None;
            }
            // SAFETY: the header of an entry lies in the list.
            let ace = unsafe { self.pointer(at).cast::<Ace>().read_unaligned() };
            let size = usize::from(ace.size);
            if size < size_of::<Ace>() || at + size > self.size() {
                return None;
            }
            entries.push((at, size));
            at += size;
        }
        Some((entries, at))
    }

    /// Adds entries in front of one, or at the end.
    pub(crate) fn insert(self, index: usize, count: u16, entries: &[u8]) -> NTSTATUS {
        const STATUS_ALLOTTED_SPACE_EXCEEDED: NTSTATUS = 0xC000_0099_u32.cast_signed();
        let Some((places, free)) = self.entries() else {
            return STATUS_INVALID_ACL;
        };
        if free + entries.len() > self.size() {
            return STATUS_ALLOTTED_SPACE_EXCEEDED;
        }
        let at = places.get(index).map_or(free, |(at, _)| *at);
        let to = self.pointer(at + entries.len());
        // SAFETY: both lie in the list, as was just looked at.
        unsafe { std::ptr::copy(self.pointer(at), to, free - at) };
        // SAFETY: as above.
        unsafe { std::ptr::copy(entries.as_ptr(), self.pointer(at), entries.len()) };
        let header = self.header();
        self.set_header(Acl {
            count: header.count.saturating_add(count),
            ..header
        });
        STATUS_SUCCESS
    }

    pub(crate) fn remove(self, index: usize) -> NTSTATUS {
        let Some((places, free)) = self.entries() else {
            return STATUS_INVALID_PARAMETER;
        };
        let Some((at, size)) = places.get(index).copied() else {
            return STATUS_INVALID_PARAMETER;
        };
        let end = at + size;
        // SAFETY: both lie in the list.
        unsafe { std::ptr::copy(self.pointer(end), self.pointer(at), free - end) };
        // SAFETY: as above.
        unsafe { self.pointer(free - size).write_bytes(0, size) };
        let header = self.header();
        self.set_header(Acl {
            count: header.count - 1,
            ..header
        });
        STATUS_SUCCESS
    }

    pub(crate) fn set_revision(self, revision: u8) {
        let header = self.header();
        let revision = revision.max(header.revision);
        self.set_header(Acl { revision, ..header });
    }
}

impl Descriptor {
    /// An absolute descriptor without parts.
    pub(crate) const EMPTY: Self = Self {
        revision: REVISION,
        zero: 0,
        control: 0,
        parts: [std::ptr::null_mut(); 4],
    };

    /// The descriptor at an address, whichever of its two forms it has, with real pointers.
    ///
    /// # Safety
    /// `at` points to a descriptor.
    pub(crate) unsafe fn read(at: *mut u8) -> Self {
        // SAFETY: by this function's contract: both forms begin like this.
        let head = unsafe { at.cast::<Relative>().read_unaligned() };
        if head.control & SELF_RELATIVE == 0 {
            // SAFETY: as above.
            return unsafe { at.cast::<Self>().read_unaligned() };
        }
        let part = |offset: u32| {
            let part = at.wrapping_add(offset as usize);
            if offset == 0 {
                std::ptr::null_mut()
            } else {
                part
            }
        };
        let Relative {
            revision, control, ..
        } = head;
        Self {
            revision,
            zero: 0,
            control,
            parts: head.parts.map(part),
        }
    }

    pub(crate) fn is_relative(&self) -> bool {
        self.control & SELF_RELATIVE != 0
    }

    /// The part of a descriptor that is there.
    fn present(&self, part: usize) -> Option<*mut u8> {
        let there = match part {
            SACL => self.control & SACL_PRESENT != 0,
            DACL => self.control & DACL_PRESENT != 0,
            _ => true,
        };
        Some(self.parts[part]).filter(|part| there && !part.is_null())
    }

    /// The bytes of its parts, and nothing for those that are not there.
    ///
    /// # Safety
    /// The parts are what they should be.
    pub(crate) unsafe fn contents(&self) -> [Vec<u8>; 4] {
        std::array::from_fn(|part| {
            let Some(at) = self.present(part) else {
                return Vec::new();
            };
            if part == OWNER || part == GROUP {
                // SAFETY: by this function's contract.
                return unsafe { sid(at) };
            }
            // SAFETY: as above.
            unsafe { List::new(at) }.map_or_else(Vec::new, List::content)
        })
    }

    /// Whether its parts are what they should be.
    ///
    /// # Safety
    /// The parts are readable.
    pub(crate) unsafe fn is_valid(&self) -> bool {
        // SAFETY: by this function's contract.
        unsafe { self.check() }.is_ok()
    }

    /// Looks for a part that is not what it should be.
    ///
    /// # Errors
    /// `STATUS_UNKNOWN_REVISION`, `STATUS_INVALID_SID`, `STATUS_INVALID_ACL`.
    ///
    /// # Safety
    /// The parts are readable.
    pub(crate) unsafe fn check(&self) -> Result<(), NTSTATUS> {
        if self.revision != REVISION {
            return Err(STATUS_UNKNOWN_REVISION);
        }
        for part in [OWNER, GROUP] {
            // SAFETY: by this function's contract.
            if self.present(part).is_some_and(|at| !unsafe { is_sid(at) }) {
                return Err(STATUS_INVALID_SID);
            }
        }
        for part in [SACL, DACL] {
            // SAFETY: as above.
            let list = self.present(part).and_then(|at| unsafe { List::new(at) });
            if list.is_some_and(|list| list.entries().is_none()) {
                return Err(STATUS_INVALID_ACL);
            }
        }
        Ok(())
    }

    /// The self-relative form.
    ///
    /// # Safety
    /// The parts are what they should be.
    pub(crate) unsafe fn self_relative(&self) -> Vec<u8> {
        // SAFETY: by this function's contract.
        let contents = unsafe { self.contents() };
        relative(self.revision, self.control, &contents)
    }
}

/// A self-relative descriptor: the header and then the parts, each at a multiple of four.
pub(crate) fn relative(revision: u8, control: u16, contents: &[Vec<u8>; 4]) -> Vec<u8> {
    let mut all = vec![0; size_of::<Relative>()];
    let mut offsets = [0_u32; 4];
    for part in [SACL, DACL, OWNER, GROUP] {
        if !contents[part].is_empty() {
            offsets[part] = u32::try_from(all.len()).unwrap_or(0);
            all.extend(&contents[part]);
            all.resize(all.len().next_multiple_of(4), 0);
        }
    }
    let control = control | SELF_RELATIVE;
    all[0] = revision;
    all[2..4].copy_from_slice(&control.to_le_bytes());
    for (place, offset) in all[4..20].chunks_exact_mut(4).zip(offsets) {
        place.copy_from_slice(&offset.to_le_bytes());
    }
    all
}
