//! The access token of the System process, its duplicates, and access checks for it.

use super::handle::{KernelObject, downcast};
use super::memory::{self, Access};
use super::object::{Body, Counted};
use super::scope;
use crate::machine::Inner;
use crate::manager::{Object, publish_for_all};
use fltmgr_sys::*;
use std::sync::{Arc, LazyLock, Weak};

/// `SYSTEM_LUID`.
pub(crate) const AUTHENTICATION: u64 = 0x3E7;
/// `SECURITY_MANDATORY_SYSTEM_RID`.
pub(crate) const INTEGRITY: ULONG = 0x4000;
/// The privileges that exist: the System process has them all.
const PRIVILEGES: std::ops::RangeInclusive<u32> = 2..=36;
/// `SE_GROUP_MANDATORY`, enabled by default and enabled.
const ENABLED: ULONG = 0x7;
/// The same, and it can be the owner of objects.
const ENABLED_OWNER: ULONG = 0xE;
const MAXIMUM_ALLOWED: ACCESS_MASK = 0x0200_0000;
const GENERIC: [ACCESS_MASK; 4] = [0x8000_0000, 0x4000_0000, 0x2000_0000, 0x1000_0000];
const SELF_RELATIVE: u16 = 0x8000;
const DACL_PRESENT: u16 = 0x4;
const ALLOWED: u8 = 0;
const DENIED: u8 = 1;
/// An entry that is only for what is below the object.
const INHERIT_ONLY: u8 = 0x8;

/// A security identifier.
pub(crate) struct Sid {
    authority: u8,
    parts: &'static [u32],
}

/// `NT AUTHORITY\SYSTEM`.
pub(crate) const USER: Sid = Sid {
    authority: 5,
    parts: &[18],
};

/// The groups, with their attributes: administrators, everyone, authenticated users, and the
/// integrity level.
pub(crate) const GROUPS: [(Sid, ULONG); 4] = [
    (
        Sid {
            authority: 5,
            parts: &[32, 544],
        },
        ENABLED_OWNER,
    ),
    (
        Sid {
            authority: 1,
            parts: &[0],
        },
        ENABLED,
    ),
    (
        Sid {
            authority: 5,
            parts: &[11],
        },
        ENABLED,
    ),
    (
        Sid {
            authority: 16,
            parts: &[INTEGRITY],
        },
        0x60,
    ),
];

impl Sid {
    /// As it lies in memory.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let count = u8::try_from(self.parts.len()).unwrap_or(0);
        let mut bytes = vec![1, count, 0, 0, 0, 0, 0, self.authority];
        for part in self.parts {
            bytes.extend_from_slice(&part.to_le_bytes());
        }
        bytes
    }
}

/// The token.
pub(crate) struct Token {
    machine: Weak<Inner>,
    _place: u64,
}

/// The token of the System process. It never goes.
pub(crate) fn system() -> &'static Arc<Token> {
    static SYSTEM: LazyLock<Arc<Token>> = LazyLock::new(|| {
        let token = Arc::new(Token {
            machine: Weak::new(),
            _place: 0,
        });
        publish_for_all(token.address(), Object::Kernel(Arc::clone(&token) as _));
        token
    });
    &SYSTEM
}

/// What distinguishes a token from that of the System process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// `SecurityAnonymous` and its kind, for a token to impersonate with; nothing for a primary one.
    pub(crate) level: Option<i32>,
    /// A number that no other token has.
    pub(crate) id: u64,
}

/// The kind of [`system`].
pub(crate) const SYSTEM_KIND: Kind = Kind {
    level: None,
    id: AUTHENTICATION + 1,
};

/// A duplicate of a token.
pub(crate) struct DuplicateBody {
    /// What the object is known by.
    place: Box<u64>,
    pub(crate) kind: Kind,
}

/// A duplicate of a token: another one for the same user and groups.
pub(crate) type Duplicate = Counted<DuplicateBody>;

impl DuplicateBody {
    pub(crate) fn new(machine: &Inner, level: Option<i32>) -> Self {
        let id = 0x1_0000 + machine.next_id();
        Self {
            place: Box::new(0),
            kind: Kind { level, id },
        }
    }
}

impl Body for DuplicateBody {
    const NAME: &'static str = "token";
    const HANDLE_NAME: &'static str = "token handle";
    const TYPE: &'static str = "SeTokenObjectType";

    fn address(&self) -> usize {
        &raw const *self.place as usize
    }
}

/// The kind of a token; nothing if an object is none.
pub(crate) fn kind(object: Arc<dyn KernelObject>) -> Option<Kind> {
    if object.address() == system().address() {
        return Some(SYSTEM_KIND);
    }
    let duplicate: Arc<Duplicate> = downcast(object)?;
    Some(duplicate.body.kind)
}

impl KernelObject for Token {
    fn name(&self) -> &'static str {
        "token"
    }

    fn handle_name(&self) -> &'static str {
        "token handle"
    }

    fn object_type(&self) -> &'static str {
        "SeTokenObjectType"
    }

    fn owner(&self) -> &Weak<Inner> {
        &self.machine
    }

    fn address(&self) -> usize {
        &raw const *self as usize
    }

    fn reference(&self, call: &'static str) -> bool {
        if let Some(machine) = scope::machine() {
            machine.held.add("token", self.address(), call);
        }
        true
    }

    fn dereference(self: Arc<Self>, machine: &Arc<Inner>) -> bool {
        machine.held.remove(self.address())
    }

    fn handle_opened(&self) {}

    fn handle_closed(self: Arc<Self>, _machine: &Arc<Inner>) {}
}

/// Whether the token has a privilege.
pub(crate) fn has_privilege(privilege: u64) -> bool {
    u32::try_from(privilege).is_ok_and(|privilege| PRIVILEGES.contains(&privilege))
}

/// `GENERIC_MAPPING`: read, write, execute, all.
pub(crate) type Mapping = [ACCESS_MASK; 4];

/// Replaces generic rights by what they stand for.
pub(crate) fn map(mask: ACCESS_MASK, mapping: &Mapping) -> ACCESS_MASK {
    let mut mapped = mask;
    for (generic, meaning) in GENERIC.iter().zip(mapping) {
        if mask & generic != 0 {
            mapped = (mapped & !generic) | meaning;
        }
    }
    mapped
}

/// Bytes of the driver's memory, if they can be read.
fn bytes(address: usize, count: usize) -> Option<Vec<u8>> {
    if address == 0 || !memory::is_accessible(address, count, Access::Read) {
        return None;
    }
    // SAFETY: the bytes were just found to be readable.
    Some(unsafe { std::slice::from_raw_parts(address as *const u8, count) }.to_vec())
}

fn word(bytes: &[u8], at: usize) -> u16 {
    let pair = bytes.get(at..at + 2).and_then(|pair| pair.try_into().ok());
    pair.map_or(0, u16::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map_or(0, u32::from_le_bytes)
}

/// One part of a security descriptor.
enum Part {
    Owner,
    Dacl,
}

/// Where a part of a descriptor is; 0 if it has none.
fn part(descriptor: usize, control: u16, part: &Part) -> usize {
    let index = match part {
        Part::Owner => 0,
        Part::Dacl => 3,
    };
    if control & SELF_RELATIVE != 0 {
        let offset = bytes(descriptor + 4 + 4 * index, 4).map_or(0, |four| long(&four, 0));
        if offset == 0 {
            0
        } else {
            descriptor + offset as usize
        }
    } else {
        let pointer = bytes(descriptor + 8 + 8 * index, 8).unwrap_or_default();
        let low = u64::from(long(&pointer, 0)) | u64::from(long(&pointer, 4)) << 32;
        usize::try_from(low).unwrap_or(0)
    }
}

/// Whether an identifier is the token's user or one of its groups that count for access.
fn is_mine(sid: &[u8]) -> bool {
    let length = sid.get(1).map_or(0, |count| 8 + 4 * usize::from(*count));
    let Some(sid) = sid.get(..length) else {
        return false;
    };
    let groups = GROUPS.iter().take(3).map(|(group, _)| group.bytes());
    sid == USER.bytes() || groups.into_iter().any(|group| sid == group)
}

/// What the DACL of a descriptor gives, and what it denies; everything if there is none.
fn listed(descriptor: usize, mapping: &Mapping) -> Option<(ACCESS_MASK, ACCESS_MASK)> {
    let head = bytes(descriptor, 4)?;
    let control = word(&head, 2);
    let list = if control & DACL_PRESENT == 0 {
        0
    } else {
        part(descriptor, control, &Part::Dacl)
    };
    if list == 0 {
        return Some((ACCESS_MASK::MAX, 0));
    }
    let head = bytes(list, 8)?;
    let all = bytes(list, usize::from(word(&head, 2)))?;
    let (mut given, mut denied) = (0, 0);
    let mut at = 8;
    for _ in 0..word(&all, 4) {
        let size = usize::from(word(&all, at + 2));
        let entry = all.get(at..at + size).filter(|_| size >= 16)?;
        at += size;
        let mask = map(long(entry, 4), mapping);
        if entry[1] & INHERIT_ONLY != 0 || !is_mine(&entry[8..]) {
            continue;
        }
        // The first entry that speaks of a right decides.
        match entry[0] {
            ALLOWED => given |= mask & !denied,
            DENIED => denied |= mask & !given,
            _ => {}
        }
    }
    if is_owner(descriptor, control) {
        given |= READ_CONTROL | WRITE_DAC;
    }
    Some((given, denied))
}

fn is_owner(descriptor: usize, control: u16) -> bool {
    let owner = part(descriptor, control, &Part::Owner);
    let head = bytes(owner, 8).unwrap_or_default();
    let length = head.get(1).map_or(0, |count| 8 + 4 * usize::from(*count));
    owner != 0 && bytes(owner, length).is_some_and(|sid| is_mine(&sid))
}

/// Checks access for a user (`SeAccessCheck`): what is granted, or why nothing is.
pub(crate) fn check(
    descriptor: usize,
    desired: ACCESS_MASK,
    previously: ACCESS_MASK,
    mapping: &Mapping,
) -> Result<ACCESS_MASK, NTSTATUS> {
    if descriptor == 0 {
        return Err(STATUS_ACCESS_DENIED);
    }
    let desired = map(desired, mapping);
    if desired == 0 {
        return if previously == 0 {
            Err(STATUS_ACCESS_DENIED)
        } else {
            Ok(previously)
        };
    }
    let (given, _) = listed(descriptor, mapping).ok_or(STATUS_ACCESS_DENIED)?;
    // The privileges of the token allow to read the audit list and to take ownership.
    let by_privilege = ACCESS_SYSTEM_SECURITY | WRITE_OWNER;
    let wanted = desired & !MAXIMUM_ALLOWED;
    if wanted & !(given | by_privilege | previously) != 0 {
        return Err(STATUS_ACCESS_DENIED);
    }
    let most = if desired & MAXIMUM_ALLOWED == 0 {
        0
    } else {
        given & mapping[3]
    };
    let granted = wanted | previously | most;
    if granted == 0 {
        Err(STATUS_ACCESS_DENIED)
    } else {
        Ok(granted)
    }
}
