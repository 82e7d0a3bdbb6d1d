//! Tokens, privileges and access checks.

use super::ob::behind;
use super::{bad_pointer, enter, exports, write};
use crate::kernel::handle::{Grant, KernelObject};
use crate::kernel::scope;
use crate::kernel::token::{self, AUTHENTICATION, GROUPS, INTEGRITY, Mapping, Sid, USER};
use crate::machine::Inner;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;

/// `STATUS_NO_TOKEN`.
const STATUS_NO_TOKEN: NTSTATUS = 0xC000_007C_u32.cast_signed();
const KERNEL_HANDLE: ULONG = 0x200;
const KERNEL_MODE: KPROCESSOR_MODE = 0;
/// `TokenPrimary`.
const PRIMARY: ULONG = 1;
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

fn here(call: &'static str) -> Option<Arc<Inner>> {
    let machine = scope::machine()?;
    enter(&machine, call);
    Some(machine)
}

/// Whether a driver names the token; it is told if it does not.
fn is_token(call: &'static str, token: PVOID) -> bool {
    here(call);
    let known = token as usize == token::system().address();
    if !known {
        bad_pointer(call, "Token", token as usize, "token");
    }
    known
}

fn dereference(call: &'static str, token: PVOID) {
    if is_token(call, token)
        && let Some(machine) = scope::machine()
        && !Arc::clone(token::system()).dereference(&machine)
    {
        bad_pointer(call, "Token", token as usize, "referenced token");
    }
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
}

impl Buffer {
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
            8 => self.long(PRIMARY),
            10 => {
                // TokenId, AuthenticationId, ExpirationTime.
                self.quad(AUTHENTICATION + 1);
                self.quad(AUTHENTICATION);
                self.quad(i64::MAX.cast_unsigned());
                let groups = u32::try_from(GROUPS.len()).unwrap_or(0);
                // TokenType, ImpersonationLevel, DynamicCharged, DynamicAvailable, GroupCount,
                // PrivilegeCount.
                for value in [PRIMARY, 0, 4096, 4096, groups, 35] {
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
fn query(machine: &Inner, call: &'static str, class: i32) -> Result<usize, NTSTATUS> {
    let mut size = Buffer {
        bytes: Vec::new(),
        address: 0,
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

    /// Whether a thread impersonates.
    unsafe fn PsIsThreadImpersonating(_thread: PVOID) -> BOOLEAN {
        here("PsIsThreadImpersonating");
        0
    }

    /// Whether a token is a primary one.
    unsafe fn SeTokenType(token: PVOID) -> ULONG {
        is_token("SeTokenType", token);
        PRIMARY
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
        let Some(machine) = scope::machine().filter(|_| is_token(CALL, token)) else {
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
        match query(&machine, CALL, class) {
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
}
