//! Tokens, privileges and access checks.

use super::attributes::Attributes;
use super::ob::behind;
use super::{bad_pointer, exports, here, write};
use crate::kernel::handle::{Grant, KernelObject};
use crate::kernel::scope;
use crate::kernel::token::{
    self, AUTHENTICATION, Duplicate, DuplicateBody, GROUPS, INTEGRITY, Kind, Mapping, Sid, USER,
};
use crate::machine::Inner;
use crate::manager::{Object, find};
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;

/// `STATUS_NO_TOKEN`.
const STATUS_NO_TOKEN: NTSTATUS = 0xC000_007C_u32.cast_signed();
const KERNEL_HANDLE: ULONG = 0x200;
const KERNEL_MODE: KPROCESSOR_MODE = 0;
const STATUS_BAD_IMPERSONATION_LEVEL: NTSTATUS = 0xC000_00A5_u32.cast_signed();
/// `TokenPrimary`.
const PRIMARY: ULONG = 1;
/// `TokenImpersonation`.
const TO_IMPERSONATE: ULONG = 2;
/// `SecurityAnonymous`, the lowest level.
const ANONYMOUS: i32 = 0;
/// `SecurityImpersonation`.
const IMPERSONATION: i32 = 2;
/// `SecurityDelegation`, the highest level.
const DELEGATION: i32 = 3;
const MAXIMUM_ALLOWED: ACCESS_MASK = 0x0200_0000;
/// `PRIVILEGE_SET_ALL_NECESSARY`.
const ALL_NECESSARY: ULONG = 1;
/// `SE_PRIVILEGE_USED_FOR_ACCESS`.
const USED: ULONG = 0x8000_0000;
const TAG: ULONG = u32::from_le_bytes(*b"SeTi");

/// `SECURITY_SUBJECT_CONTEXT`.
#[repr(C)]
pub(crate) struct SubjectContext {
    client: PVOID,
    level: i32,
    primary: PVOID,
    audit: PVOID,
}

/// `PRIVILEGE_SET`; more privileges follow.
#[repr(C)]
pub(crate) struct PrivilegeSet {
    count: ULONG,
    control: ULONG,
    first: Privilege,
}

/// `LUID_AND_ATTRIBUTES`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Privilege {
    low: u32,
    high: u32,
    attributes: ULONG,
}

const _: () = assert!(size_of::<SubjectContext>() == 32);
const _: () = assert!(size_of::<PrivilegeSet>() == 20);

/// The token that a driver names, and its kind; it is told if there is none.
fn token_at(call: &'static str, token: PVOID) -> Option<(Arc<dyn KernelObject>, Kind)> {
    here(call);
    let found = find(token as usize).and_then(Object::kernel);
    let found = found.and_then(|found| Some((Arc::clone(&found), token::kind(found)?)));
    if found.is_none() {
        bad_pointer(call, "Token", token as usize, "token");
    }
    found
}

/// Whether a driver names a token; it is told if it does not.
fn is_token(call: &'static str, token: PVOID) -> bool {
    token_at(call, token).is_some()
}

fn dereference(call: &'static str, token: PVOID) {
    if let Some((found, _)) = token_at(call, token)
        && let Some(machine) = scope::machine()
        && !found.dereference(&machine)
    {
        bad_pointer(call, "Token", token as usize, "referenced token");
    }
}

/// Of which level the duplicate of a token is that is to be impersonated with.
///
/// # Safety
/// `attributes` is null or that structure.
unsafe fn level_of(attributes: *const OBJECT_ATTRIBUTES, existing: Kind) -> Result<i32, NTSTATUS> {
    // SAFETY: by this function's contract.
    let quality = unsafe { attributes.as_ref() };
    let quality = quality.map_or(null_mut(), |attributes| attributes.SecurityQualityOfService);
    let level = if quality.is_null() {
        existing.level.unwrap_or(IMPERSONATION)
    } else {
        // SAFETY: the structure begins with its length and the level.
        unsafe { quality.cast::<i32>().wrapping_add(1).read_unaligned() }
    };
    if !(ANONYMOUS..=DELEGATION).contains(&level) {
        return Err(STATUS_INVALID_PARAMETER);
    }
    if existing.level.is_some_and(|most| level > most) {
        return Err(STATUS_BAD_IMPERSONATION_LEVEL);
    }
    Ok(level)
}

/// Opens a handle of the token of a process.
///
/// # Safety
/// The place may be written to, or is null.
unsafe fn open_process_token(
    call: &'static str,
    process: HANDLE,
    access: ACCESS_MASK,
    attributes: ULONG,
    place: *mut HANDLE,
) -> NTSTATUS {
    let machine = match check_token_of(call, process, "PsProcessType", attributes) {
        Ok(machine) => machine,
        Err(status) => return status,
    };
    let grant = Grant {
        access,
        kernel: attributes & KERNEL_HANDLE != 0,
        filter: None,
    };
    let token = Arc::clone(token::system());
    let handle = machine.handles.open(&machine, token, grant, call);
    // SAFETY: by this function's contract.
    unsafe { write(place, handle) };
    STATUS_SUCCESS
}

/// Opens a handle of the token that a thread impersonates with: none does.
fn open_thread_token(call: &'static str, thread: HANDLE, attributes: ULONG) -> NTSTATUS {
    match check_token_of(call, thread, "PsThreadType", attributes) {
        Ok(_) => STATUS_NO_TOKEN,
        Err(status) => status,
    }
}

/// Checks what a token is opened by.
fn check_token_of(
    call: &'static str,
    of: HANDLE,
    kind: &str,
    attributes: ULONG,
) -> Result<Arc<Inner>, NTSTATUS> {
    let machine = here(call).ok_or(STATUS_INVALID_HANDLE)?;
    if attributes & !KERNEL_HANDLE != 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let (object, _) = behind(&machine, of).ok_or(STATUS_INVALID_HANDLE)?;
    if object.object_type() != kind {
        return Err(STATUS_OBJECT_TYPE_MISMATCH);
    }
    Ok(machine)
}

/// Structures of the kernel, put together for memory at an address.
struct Buffer {
    bytes: Vec<u8>,
    address: usize,
    kind: Kind,
}

impl Buffer {
    /// `TOKEN_TYPE`.
    fn kind(&self) -> u32 {
        if self.kind.level.is_some() {
            TO_IMPERSONATE
        } else {
            PRIMARY
        }
    }

    fn long(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn quad(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Pointers with attributes, and then the identifiers that they point to.
    fn sids(&mut self, sids: &[(&Sid, Option<ULONG>)]) {
        let entries: usize = sids
            .iter()
            .map(|(_, attributes)| if attributes.is_some() { 16 } else { 8 })
            .sum();
        let mut place = self.address + self.bytes.len() + entries;
        for (sid, attributes) in sids {
            self.quad(place as u64);
            if let Some(attributes) = attributes {
                self.quad(u64::from(*attributes));
            }
            place += sid.bytes().len();
        }
        for (sid, _) in sids {
            let bytes = sid.bytes();
            self.bytes.extend_from_slice(&bytes);
        }
    }

    /// What is known of the token, by the class.
    fn fill(&mut self, class: i32) -> Result<(), NTSTATUS> {
        match class {
            1 => self.sids(&[(&USER, Some(0))]),
            2 => {
                self.quad(GROUPS.len() as u64);
                let groups = GROUPS.each_ref();
                let groups = groups.map(|(sid, attributes)| (sid, Some(*attributes)));
                self.sids(&groups);
            }
            // The owner of what it creates are the administrators, the group is SYSTEM.
            4 => self.sids(&[(&GROUPS[0].0, None)]),
            5 => self.sids(&[(&USER, None)]),
            8 => self.long(self.kind()),
            // There is no level of a primary token to tell of.
            9 => {
                let level = self.kind.level.ok_or(STATUS_INVALID_INFO_CLASS)?;
                self.long(level.cast_unsigned());
            }
            10 => {
                // TokenId, AuthenticationId, ExpirationTime.
                self.quad(self.kind.id);
                self.quad(AUTHENTICATION);
                self.quad(i64::MAX.cast_unsigned());
                let groups = u32::try_from(GROUPS.len()).unwrap_or(0);
                // TokenType, ImpersonationLevel, DynamicCharged, DynamicAvailable, GroupCount,
                // PrivilegeCount.
                let level = self.kind.level.unwrap_or(0).cast_unsigned();
                for value in [self.kind(), level, 4096, 4096, groups, 35] {
                    self.long(value);
                }
                self.quad(AUTHENTICATION + 2);
            }
            _ => return Err(STATUS_INVALID_INFO_CLASS),
        }
        Ok(())
    }
}

/// What is known of the token by a class, in paged pool.
fn query(machine: &Inner, call: &'static str, kind: Kind, class: i32) -> Result<usize, NTSTATUS> {
    let mut size = Buffer {
        bytes: Vec::new(),
        address: 0,
        kind,
    };
    size.fill(class)?;
    let length = size.bytes.len() as SIZE_T;
    let address = machine
        .pool
        .allocate(machine, call, PagedPool, length, TAG, true);
    if address == 0 {
        return Err(STATUS_INSUFFICIENT_RESOURCES);
    }
    let mut made = Buffer {
        bytes: Vec::new(),
        address,
        kind,
    };
    made.fill(class)?;
    // SAFETY: the allocation is as long as what is put together, whose length does not depend on
    // the address.
    unsafe { (address as *mut u8).copy_from_nonoverlapping(made.bytes.as_ptr(), made.bytes.len()) };
    Ok(address)
}

exports! {
    /// Says on whose behalf the running thread acts.
    unsafe fn SeCaptureSubjectContext(context: *mut SubjectContext) {
        const CALL: &str = "SeCaptureSubjectContext";
        let Some(machine) = here(CALL) else {
            return;
        };
        let value = SubjectContext {
            client: null_mut(),
            level: 0,
            primary: token::system().address() as PVOID,
            audit: crate::kernel::thread::SYSTEM as PVOID,
        };
        // SAFETY: the caller passes a place.
        unsafe { write(context, value) };
        machine.held.add("subject context", context as usize, CALL);
    }

    /// Gives what was captured back.
    unsafe fn SeReleaseSubjectContext(context: *mut SubjectContext) {
        const CALL: &str = "SeReleaseSubjectContext";
        if let Some(machine) = here(CALL)
            && !machine.held.remove(context as usize)
        {
            bad_pointer(CALL, "SubjectContext", context as usize, "captured subject context");
        }
    }

    /// Keeps the tokens of a subject from changing, as none here ever does.
    unsafe fn SeLockSubjectContext(context: *mut SubjectContext) {
        const CALL: &str = "SeLockSubjectContext";
        if let Some(machine) = here(CALL) {
            // A place inside of it, as the context itself is what was captured.
            machine.held.add("lock of a subject context", context as usize + 1, CALL);
        }
    }

    /// Lets them change again.
    unsafe fn SeUnlockSubjectContext(context: *mut SubjectContext) {
        const CALL: &str = "SeUnlockSubjectContext";
        if let Some(machine) = here(CALL)
            && !machine.held.remove(context as usize + 1)
        {
            bad_pointer(CALL, "SubjectContext", context as usize, "locked subject context");
        }
    }

    /// The token of a process, referenced.
    unsafe fn PsReferencePrimaryToken(process: PVOID) -> PVOID {
        const CALL: &str = "PsReferencePrimaryToken";
        here(CALL);
        if process as usize != crate::kernel::thread::system().address() {
            bad_pointer(CALL, "Process", process as usize, "process");
            return null_mut();
        }
        token::system().reference(CALL);
        token::system().address() as PVOID
    }

    /// Gives the token of a process back.
    unsafe fn PsDereferencePrimaryToken(token: PVOID) {
        dereference("PsDereferencePrimaryToken", token);
    }

    /// The token that a thread impersonates with: none does.
    unsafe fn PsReferenceImpersonationToken(
        _thread: PVOID,
        copy: *mut BOOLEAN,
        effective: *mut BOOLEAN,
        level: *mut i32,
    ) -> PVOID {
        here("PsReferenceImpersonationToken");
        // SAFETY: the caller passes places.
        unsafe { write(copy, 0) };
        // SAFETY: as above.
        unsafe { write(effective, 0) };
        // SAFETY: as above.
        unsafe { write(level, 0) };
        null_mut()
    }

    /// Gives the token of an impersonation back; null is none.
    unsafe fn PsDereferenceImpersonationToken(token: PVOID) {
        const CALL: &str = "PsDereferenceImpersonationToken";
        if token.is_null() {
            here(CALL);
        } else {
            dereference(CALL, token);
        }
    }

    /// Opens the token of a process.
    unsafe fn ZwOpenProcessToken(
        process: HANDLE,
        access: ACCESS_MASK,
        place: *mut HANDLE,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a place.
        unsafe { open_process_token("ZwOpenProcessToken", process, access, 0, place) }
    }

    /// The same, with attributes for the handle.
    unsafe fn ZwOpenProcessTokenEx(
        process: HANDLE,
        access: ACCESS_MASK,
        attributes: ULONG,
        place: *mut HANDLE,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a place.
        unsafe { open_process_token("ZwOpenProcessTokenEx", process, access, attributes, place) }
    }

    /// Opens the token that a thread impersonates with.
    unsafe fn ZwOpenThreadToken(
        thread: HANDLE,
        _access: ACCESS_MASK,
        _as_self: BOOLEAN,
        _place: *mut HANDLE,
    ) -> NTSTATUS {
        open_thread_token("ZwOpenThreadToken", thread, 0)
    }

    /// The same, with attributes for the handle.
    unsafe fn ZwOpenThreadTokenEx(
        thread: HANDLE,
        _access: ACCESS_MASK,
        _as_self: BOOLEAN,
        attributes: ULONG,
        _place: *mut HANDLE,
    ) -> NTSTATUS {
        open_thread_token("ZwOpenThreadTokenEx", thread, attributes)
    }

    /// Makes another token of a token.
    unsafe fn ZwDuplicateToken(
        existing: HANDLE,
        access: ACCESS_MASK,
        attributes: *const OBJECT_ATTRIBUTES,
        _effective_only: BOOLEAN,
        kind: ULONG,
        place: *mut HANDLE,
    ) -> NTSTATUS {
        const CALL: &str = "ZwDuplicateToken";
        let found = here(CALL).and_then(|machine| {
            let found = machine.handles.find(existing)?;
            Some((machine, found))
        });
        let Some((machine, (object, granted))) = found else {
            return STATUS_INVALID_HANDLE;
        };
        let Some(existing) = token::kind(object) else {
            return STATUS_OBJECT_TYPE_MISMATCH;
        };
        let level = match kind {
            PRIMARY if existing.level.is_some_and(|level| level < IMPERSONATION) => {
                return STATUS_BAD_IMPERSONATION_LEVEL;
            }
            PRIMARY => Ok(None),
            // SAFETY: the caller passes attributes or null.
            TO_IMPERSONATE => unsafe { level_of(attributes, existing) }.map(Some),
            _ => Err(STATUS_INVALID_PARAMETER),
        };
        // SAFETY: as above.
        let made = unsafe { Attributes::read(attributes) }.and_then(|attributes| {
            let body = DuplicateBody::new(&machine, level?);
            let access = if access == 0 { granted } else { access };
            Duplicate::open(&machine, None, body, attributes.grant(access), CALL)
        });
        match made {
            Ok(opened) => {
                // SAFETY: the caller passes a place.
                unsafe { write(place, opened) };
                STATUS_SUCCESS
            }
            Err(status) => status,
        }
    }

    /// Whether a thread impersonates.
    unsafe fn PsIsThreadImpersonating(_thread: PVOID) -> BOOLEAN {
        here("PsIsThreadImpersonating");
        0
    }

    /// Whether a token is a primary one.
    unsafe fn SeTokenType(token: PVOID) -> ULONG {
        let found = token_at("SeTokenType", token);
        match found.and_then(|(_, kind)| kind.level) {
            Some(_) => TO_IMPERSONATE,
            None => PRIMARY,
        }
    }

    /// Whether a token is an administrator's.
    unsafe fn SeTokenIsAdmin(token: PVOID) -> BOOLEAN {
        BOOLEAN::from(is_token("SeTokenIsAdmin", token))
    }

    /// Whether a token is restricted.
    unsafe fn SeTokenIsRestricted(token: PVOID) -> BOOLEAN {
        is_token("SeTokenIsRestricted", token);
        0
    }

    /// The logon session of a token.
    unsafe fn SeQueryAuthenticationIdToken(token: PVOID, place: *mut u64) -> NTSTATUS {
        if !is_token("SeQueryAuthenticationIdToken", token) {
            return STATUS_INVALID_PARAMETER;
        }
        if !place.is_null() {
            // SAFETY: the caller passes a place, which is aligned to four bytes.
            unsafe { place.write_unaligned(AUTHENTICATION) };
        }
        STATUS_SUCCESS
    }

    /// The terminal session of a token.
    unsafe fn SeQuerySessionIdToken(token: PVOID, place: *mut ULONG) -> NTSTATUS {
        if !is_token("SeQuerySessionIdToken", token) {
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: the caller passes a place.
        unsafe { write(place, 0) };
        STATUS_SUCCESS
    }

    /// Tells about a token, mostly in memory that the caller frees.
    unsafe fn SeQueryInformationToken(
        token: PVOID,
        class: i32,
        place: *mut PVOID,
    ) -> NTSTATUS {
        const CALL: &str = "SeQueryInformationToken";
        let Some(machine) = scope::machine() else {
            return STATUS_INVALID_PARAMETER;
        };
        let Some((_, kind)) = token_at(CALL, token) else {
            return STATUS_INVALID_PARAMETER;
        };
        // The session and the integrity level come without a buffer.
        let number = match class {
            12 => Some(0),
            25 => Some(INTEGRITY),
            _ => None,
        };
        if let Some(number) = number {
            // SAFETY: the caller passes a place for four bytes at least.
            unsafe { write(place.cast::<ULONG>(), number) };
            return STATUS_SUCCESS;
        }
        match query(&machine, CALL, kind, class) {
            Ok(address) => {
                // SAFETY: the caller passes a place.
                unsafe { write(place, address as PVOID) };
                STATUS_SUCCESS
            }
            Err(status) => status,
        }
    }

    /// Whether the running thread has a privilege.
    unsafe fn SeSinglePrivilegeCheck(privilege: u64, mode: KPROCESSOR_MODE) -> BOOLEAN {
        here("SeSinglePrivilegeCheck");
        BOOLEAN::from(mode == KERNEL_MODE || token::has_privilege(privilege))
    }

    /// Whether a subject has privileges.
    unsafe fn SePrivilegeCheck(
        set: *mut PrivilegeSet,
        _context: *mut SubjectContext,
        mode: KPROCESSOR_MODE,
    ) -> BOOLEAN {
        here("SePrivilegeCheck");
        if mode == KERNEL_MODE {
            return 1;
        }
        // SAFETY: the caller passes a set.
        let count = unsafe { (*set).count };
        // SAFETY: as above.
        let control = unsafe { (*set).control };
        // SAFETY: as above.
        let first = unsafe { &raw mut (*set).first };
        let mut found = 0;
        for index in 0..count as usize {
            let place = first.wrapping_add(index);
            // SAFETY: one of the privileges in the set.
            let privilege = unsafe { &mut *place };
            let number = u64::from(privilege.low) | u64::from(privilege.high) << 32;
            if token::has_privilege(number) {
                privilege.attributes |= USED;
                found += 1;
            }
        }
        let enough = if control & ALL_NECESSARY == 0 { found > 0 } else { found == count };
        BOOLEAN::from(enough)
    }

    /// Whether a subject has access to what a descriptor protects.
    unsafe fn SeAccessCheck(
        descriptor: PVOID,
        _context: *mut SubjectContext,
        _locked: BOOLEAN,
        desired: ACCESS_MASK,
        previously: ACCESS_MASK,
        privileges: *mut PVOID,
        mapping: *const Mapping,
        mode: KPROCESSOR_MODE,
        granted: *mut ACCESS_MASK,
        status: *mut NTSTATUS,
    ) -> BOOLEAN {
        here("SeAccessCheck");
        // SAFETY: the caller passes a mapping.
        let mapping = unsafe { *mapping };
        // SAFETY: the caller passes a place, or null.
        unsafe { write(privileges, null_mut()) };
        let found = if mode == KERNEL_MODE {
            let all = if desired & MAXIMUM_ALLOWED == 0 { 0 } else { mapping[3] };
            Ok(all | previously | token::map(desired & !MAXIMUM_ALLOWED, &mapping))
        } else {
            token::check(descriptor as usize, desired, previously, &mapping)
        };
        // SAFETY: the caller passes a place.
        unsafe { write(granted, found.unwrap_or(0)) };
        // SAFETY: as above.
        unsafe { write(status, found.err().unwrap_or(STATUS_SUCCESS)) };
        BOOLEAN::from(found.is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Machine;
    use crate::exports::kernel::ZwClose;
    use crate::exports::ob::ZwQueryObject;

    const PROCESS: HANDLE = -1_isize as HANDLE;
    const THREAD: HANDLE = -2_isize as HANDLE;

    fn of_process(process: HANDLE, attributes: ULONG) -> Result<HANDLE, NTSTATUS> {
        let mut token = null_mut();
        // SAFETY: a place; the handle is looked up.
        let status = unsafe { ZwOpenProcessTokenEx(process, 8, attributes, &raw mut token) };
        if nt_success(status) {
            Ok(token)
        } else {
            Err(status)
        }
    }

    fn of_thread(thread: HANDLE, attributes: ULONG) -> NTSTATUS {
        let mut token = null_mut();
        // SAFETY: a place; the handle is looked up.
        unsafe { ZwOpenThreadTokenEx(thread, 8, 1, attributes, &raw mut token) }
    }

    #[test]
    fn tokens_are_opened() {
        let machine = Machine::default();
        machine.at_irql(PASSIVE_LEVEL, || {
            let token = of_process(PROCESS, KERNEL_HANDLE).unwrap();
            let mut basic = [0_u32; 14];
            // SAFETY: a buffer of that length.
            let status =
                unsafe { ZwQueryObject(token, 0, basic.as_mut_ptr().cast(), 56, null_mut()) };
            // Attributes, access, handles.
            assert_eq!(
                (status, &basic[..3]),
                (STATUS_SUCCESS, &[KERNEL_HANDLE, 8, 1][..])
            );
            assert_eq!(of_process(token, 0), Err(STATUS_OBJECT_TYPE_MISMATCH));
            assert_eq!(of_process(null_mut(), 0), Err(STATUS_INVALID_HANDLE));
            assert_eq!(of_process(PROCESS, 0x40), Err(STATUS_INVALID_PARAMETER));
            assert_eq!(of_thread(THREAD, KERNEL_HANDLE), STATUS_NO_TOKEN);
            assert_eq!(of_thread(PROCESS, 0), STATUS_OBJECT_TYPE_MISMATCH);
            assert_eq!(of_thread(null_mut(), 0), STATUS_INVALID_HANDLE);
            assert_eq!(of_thread(THREAD, 0x40), STATUS_INVALID_PARAMETER);
            // SAFETY: any handle may be passed.
            assert_eq!(unsafe { ZwClose(token) }, STATUS_SUCCESS);
            assert!(machine.verifier().reports().is_empty());
            let mut left = null_mut();
            // SAFETY: a place.
            let status = unsafe { ZwOpenProcessToken(PROCESS, 8, &raw mut left) };
            assert_eq!(status, STATUS_SUCCESS);
            // SAFETY: a place.
            let status = unsafe { ZwOpenThreadToken(THREAD, 8, 0, &raw mut left) };
            assert_eq!(status, STATUS_NO_TOKEN);
        });
        let outcome = machine.finish();
        let leaks: Vec<_> = outcome.leaks.iter().map(|leak| leak.object).collect();
        assert_eq!(leaks, ["token handle"]);
        assert_eq!((outcome.violations.len(), outcome.bugchecks.len()), (0, 0));
    }

    fn duplicate(token: HANDLE, kind: ULONG, level: Option<i32>) -> Result<HANDLE, NTSTATUS> {
        let mut quality = [12, level.unwrap_or(0), 0];
        let attributes = OBJECT_ATTRIBUTES {
            Length: 48,
            RootDirectory: null_mut(),
            ObjectName: null_mut(),
            Attributes: KERNEL_HANDLE,
            SecurityDescriptor: null_mut(),
            SecurityQualityOfService: if level.is_some() {
                quality.as_mut_ptr().cast()
            } else {
                null_mut()
            },
        };
        let mut made = null_mut();
        // SAFETY: attributes and a place; the handle is looked up.
        let status =
            unsafe { ZwDuplicateToken(token, 0, &raw const attributes, 0, kind, &raw mut made) };
        if nt_success(status) {
            Ok(made)
        } else {
            Err(status)
        }
    }

    #[test]
    fn tokens_are_duplicated() {
        let machine = Machine::default();
        machine.at_irql(PASSIVE_LEVEL, || {
            let system = of_process(PROCESS, KERNEL_HANDLE).unwrap();
            // The type of a token, and its level.
            let told = |handle| {
                let (object, access) = machine.inner.handles.find(handle).unwrap();
                assert_eq!(access, 8);
                let token = object.address() as PVOID;
                // SAFETY: a token.
                let kind = unsafe { SeTokenType(token) };
                let mut level = null_mut();
                // SAFETY: a token and a place.
                let status = unsafe { SeQueryInformationToken(token, 9, &raw mut level) };
                if !nt_success(status) {
                    return (kind, Err(status));
                }
                // SAFETY: what was just made for the driver.
                let found = unsafe { level.cast::<i32>().read() };
                crate::exports::kernel::free_within("test", level, 0);
                (kind, Ok(found))
            };
            let none = Err(STATUS_INVALID_INFO_CLASS);
            assert_eq!(told(system), (PRIMARY, none));
            let primary = duplicate(system, PRIMARY, None).unwrap();
            assert_eq!(told(primary), (PRIMARY, none));
            let usual = duplicate(primary, TO_IMPERSONATE, None).unwrap();
            assert_eq!(told(usual), (TO_IMPERSONATE, Ok(IMPERSONATION)));
            let low = duplicate(usual, TO_IMPERSONATE, Some(1)).unwrap();
            assert_eq!(told(low), (TO_IMPERSONATE, Ok(1)));
            let same = duplicate(low, TO_IMPERSONATE, None).unwrap();
            assert_eq!(told(same), (TO_IMPERSONATE, Ok(1)));
            let bad = Err(STATUS_BAD_IMPERSONATION_LEVEL);
            assert_eq!(duplicate(low, TO_IMPERSONATE, Some(2)), bad);
            assert_eq!(duplicate(low, PRIMARY, None), bad);
            let again = duplicate(usual, PRIMARY, None).unwrap();
            assert_eq!(told(again), (PRIMARY, none));
            let refused = Err(STATUS_INVALID_PARAMETER);
            assert_eq!(duplicate(system, 3, None), refused);
            assert_eq!(duplicate(system, TO_IMPERSONATE, Some(4)), refused);
            assert_eq!(
                duplicate(null_mut(), PRIMARY, None),
                Err(STATUS_INVALID_HANDLE)
            );
            for handle in [system, primary, usual, low, same] {
                // SAFETY: any handle may be passed.
                assert_eq!(unsafe { ZwClose(handle) }, STATUS_SUCCESS);
            }
            assert!(machine.verifier().reports().is_empty());
        });
        let outcome = machine.finish();
        let leaks: Vec<_> = outcome.leaks.iter().map(|leak| leak.object).collect();
        assert_eq!(leaks, ["token handle"]);
        assert_eq!((outcome.violations.len(), outcome.bugchecks.len()), (0, 0));
    }
}
