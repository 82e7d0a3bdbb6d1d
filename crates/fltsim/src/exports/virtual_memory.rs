//! Memory that applications can use, reserved, committed and freed.

use super::ob::behind;
use super::routines;
use crate::kernel::scope;
use crate::kernel::virtual_memory::{Regions, pages, protection};
use crate::machine::Inner;
use fltmgr_sys::*;
use std::sync::Arc;

const STATUS_CONFLICTING_ADDRESSES: NTSTATUS = 0xC000_0018_u32.cast_signed();
const STATUS_UNABLE_TO_FREE_VM: NTSTATUS = 0xC000_001A_u32.cast_signed();
const STATUS_INVALID_PAGE_PROTECTION: NTSTATUS = 0xC000_0045_u32.cast_signed();
const STATUS_FREE_VM_NOT_AT_BASE: NTSTATUS = 0xC000_009F_u32.cast_signed();
const STATUS_MEMORY_NOT_ALLOCATED: NTSTATUS = 0xC000_00A0_u32.cast_signed();
const STATUS_INVALID_PARAMETER_5: NTSTATUS = 0xC000_00F3_u32.cast_signed();
const COMMIT: ULONG = 0x1000;
const RESERVE: ULONG = 0x2000;
const DECOMMIT: ULONG = 0x4000;
const RELEASE: ULONG = 0x8000;
const RESET: ULONG = 0x0008_0000;
const TOP_DOWN: ULONG = 0x0010_0000;
/// `PAGE_NOCACHE` and `PAGE_WRITECOMBINE`, which change nothing here.
const CACHING: ULONG = 0x600;
/// One more than the most bits of an address that a caller can ask to be zero.
const ZERO_BITS: u64 = 21;

/// The machine, if a handle is that of a process: there is one.
fn in_process(machine: Option<Arc<Inner>>, process: HANDLE) -> Result<Arc<Inner>, NTSTATUS> {
    let machine = machine.ok_or(STATUS_INVALID_HANDLE)?;
    let (object, _) = behind(&machine, process).ok_or(STATUS_INVALID_HANDLE)?;
    if object.object_type() == "PsProcessType" {
        Ok(machine)
    } else {
        Err(STATUS_OBJECT_TYPE_MISMATCH)
    }
}

/// Reserves, commits, or both: which pages.
fn allocate(
    machine: &Inner,
    call: &'static str,
    (base, size): (usize, usize),
    kind: ULONG,
    protect: ULONG,
) -> Result<(usize, usize), NTSTATUS> {
    let kind = kind & !TOP_DOWN;
    let flags = protection(protect & !CACHING).ok_or(STATUS_INVALID_PAGE_PROTECTION)?;
    if kind != RESET && (kind & !(COMMIT | RESERVE) != 0 || kind == 0) {
        return Err(STATUS_INVALID_PARAMETER_5);
    }
    if size == 0 {
        return Err(STATUS_INVALID_PARAMETER_4);
    }
    let regions = &machine.virtual_memory;
    let wanted = pages(base, size).ok_or(STATUS_INVALID_PARAMETER_4)?;
    // What is only committed must be reserved, unless the system chooses where it is.
    let reserves = kind & RESERVE != 0 || (kind == COMMIT && base == 0);
    let (start, length) = if reserves {
        let taken = if base == 0 {
            STATUS_NO_MEMORY
        } else {
            STATUS_CONFLICTING_ADDRESSES
        };
        let (start, length) = regions.reserve(base, size).ok_or(taken)?;
        machine.held.add("virtual memory", start, call);
        (start, length)
    } else if regions.contains(wanted.0, wanted.1) {
        wanted
    } else {
        return Err(STATUS_CONFLICTING_ADDRESSES);
    };
    if kind & COMMIT != 0 && !Regions::commit(start, length, flags) {
        return Err(STATUS_NO_MEMORY);
    }
    Ok((start, length))
}

/// Releases or decommits: which pages.
fn free(
    machine: &Inner,
    (base, size): (usize, usize),
    kind: ULONG,
) -> Result<(usize, usize), NTSTATUS> {
    let regions = &machine.virtual_memory;
    if !regions.contains(base, 1) {
        return Err(STATUS_MEMORY_NOT_ALLOCATED);
    }
    match kind {
        RELEASE if size != 0 => Err(STATUS_INVALID_PARAMETER),
        RELEASE => {
            let length = regions.release(base).ok_or(STATUS_FREE_VM_NOT_AT_BASE)?;
            machine.held.remove(base);
            Ok((base, length))
        }
        DECOMMIT => {
            let (start, length) = if size == 0 {
                (base, regions.size(base).ok_or(STATUS_FREE_VM_NOT_AT_BASE)?)
            } else {
                pages(base, size).ok_or(STATUS_UNABLE_TO_FREE_VM)?
            };
            if !regions.contains(start, length) || !Regions::decommit(start, length) {
                return Err(STATUS_UNABLE_TO_FREE_VM);
            }
            Ok((start, length))
        }
        _ => Err(STATUS_INVALID_PARAMETER_4),
    }
}

/// Does something with the range that a caller names, and tells it which one it was.
///
/// # Safety
/// Both places can be read and written to.
unsafe fn with_range(
    base: *mut usize,
    size: *mut SIZE_T,
    run: impl FnOnce((usize, usize)) -> Result<(usize, usize), NTSTATUS>,
) -> NTSTATUS {
    // SAFETY: by this function's contract.
    let start = unsafe { base.read() };
    // SAFETY: by this function's contract.
    let length = usize::try_from(unsafe { size.read() }).unwrap_or(usize::MAX);
    match run((start, length)) {
        Ok((start, length)) => {
            // SAFETY: by this function's contract.
            unsafe { base.write(start) };
            // SAFETY: by this function's contract.
            unsafe { size.write(length as SIZE_T) };
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

routines! {
    /// Reserves pages, commits them, or both.
    unsafe fn ZwAllocateVirtualMemory(
        process: HANDLE,
        base: *mut usize,
        zero_bits: u64,
        size: *mut SIZE_T,
        kind: ULONG,
        protect: ULONG,
    ) -> NTSTATUS {
        let machine = match in_process(scope::machine(), process) {
            Ok(machine) => machine,
            Err(status) => return status,
        };
        if zero_bits >= ZERO_BITS {
            return STATUS_INVALID_PARAMETER_3;
        }
        // SAFETY: the caller passes an address and a size.
        unsafe { with_range(base, size, |range| allocate(&machine, CALL, range, kind, protect)) }
    }

    /// Decommits pages, or releases all that were reserved together.
    unsafe fn ZwFreeVirtualMemory(
        process: HANDLE,
        base: *mut usize,
        size: *mut SIZE_T,
        kind: ULONG,
    ) -> NTSTATUS {
        let machine = match in_process(scope::machine(), process) {
            Ok(machine) => machine,
            Err(status) => return status,
        };
        // SAFETY: the caller passes an address and a size.
        unsafe { with_range(base, size, |range| free(&machine, range, kind)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Machine;
    use crate::kernel::memory::{Access, is_accessible};

    const PROCESS: HANDLE = -1_isize as HANDLE;
    const READ_WRITE: ULONG = 4;

    type Range = Result<(usize, u64), NTSTATUS>;

    fn allocate(base: usize, size: u64, kind: ULONG, protect: ULONG) -> Range {
        let (mut base, mut size) = (base, size);
        // SAFETY: an address and a size.
        let status = unsafe {
            ZwAllocateVirtualMemory(PROCESS, &raw mut base, 0, &raw mut size, kind, protect)
        };
        if nt_success(status) {
            Ok((base, size))
        } else {
            Err(status)
        }
    }

    fn free(base: usize, size: u64, kind: ULONG) -> Range {
        let (mut base, mut size) = (base, size);
        // SAFETY: an address and a size; nobody uses the pages again.
        let status = unsafe { ZwFreeVirtualMemory(PROCESS, &raw mut base, &raw mut size, kind) };
        if nt_success(status) {
            Ok((base, size))
        } else {
            Err(status)
        }
    }

    fn can(address: usize, access: Access) -> bool {
        is_accessible(address, 1, access)
    }

    #[test]
    fn pages_are_reserved_committed_and_freed() {
        let machine = Machine::default();
        machine.at_irql(PASSIVE_LEVEL, || {
            let (base, size) = allocate(0, 0x2_0001, RESERVE, READ_WRITE).unwrap();
            assert_eq!((base % 0x1_0000, size), (0, 0x2_1000));
            assert!(!can(base, Access::Read));
            let committed = allocate(base + 0x1FFF, 2, COMMIT, READ_WRITE);
            assert_eq!(committed, Ok((base + 0x1000, 0x2000)));
            let place = (base + 0x1000) as *mut u64;
            // SAFETY: a page that is committed.
            assert_eq!(unsafe { place.read() }, 0);
            // SAFETY: as above.
            unsafe { place.write(7) };
            assert!(!can(base, Access::Read) && !can(base + 0x3000, Access::Read));
            // Once more, and only for reading.
            let again = allocate(base + 0x1000, 1, COMMIT, 2);
            assert_eq!(again, Ok((base + 0x1000, 0x1000)));
            // SAFETY: as above.
            assert_eq!(unsafe { place.read() }, 7);
            assert!(!can(base + 0x1000, Access::Write) && can(base + 0x2000, Access::Write));
            assert_eq!(
                free(base + 0x1000, 1, DECOMMIT),
                Ok((base + 0x1000, 0x1000))
            );
            assert!(!can(base + 0x1000, Access::Read) && can(base + 0x2000, Access::Read));
            assert!(allocate(base + 0x1000, 1, COMMIT, READ_WRITE).is_ok());
            // SAFETY: as above.
            assert_eq!(unsafe { place.read() }, 0);
            assert_eq!(free(base, 0, DECOMMIT), Ok((base, 0x2_1000)));
            assert!(!can(base + 0x2000, Access::Read));
            assert_eq!(free(base, 0, RELEASE), Ok((base, 0x2_1000)));
            assert_eq!(free(base, 0, RELEASE), Err(STATUS_MEMORY_NOT_ALLOCATED));
            // At once, and where the caller wants it.
            let (base, size) = allocate(0, 1, COMMIT, READ_WRITE).unwrap();
            assert!(size == 0x1000 && can(base, Access::Write));
            let taken = allocate(base, 1, RESERVE, READ_WRITE);
            assert_eq!(taken, Err(STATUS_CONFLICTING_ADDRESSES));
            assert!(free(base, 0, RELEASE).is_ok());
            let there = 0x1234_0000_0000;
            let placed = allocate(there + 5, 1, RESERVE, READ_WRITE);
            assert_eq!(placed, Ok((there, 0x1000)));
            assert!(free(there, 0, RELEASE).is_ok());
        });
        let outcome = machine.finish();
        assert!(outcome.is_clean(), "{outcome:#?}");
    }

    #[test]
    fn what_is_wrong_is_refused_and_what_is_left_is_a_leak() {
        let machine = Machine::default();
        machine.at_irql(PASSIVE_LEVEL, || {
            let (base, _) = allocate(0, 0x3000, RESERVE | COMMIT | TOP_DOWN, READ_WRITE).unwrap();
            for (kind, protect, status) in [
                (0, READ_WRITE, STATUS_INVALID_PARAMETER_5),
                (RESET | COMMIT, READ_WRITE, STATUS_INVALID_PARAMETER_5),
                (DECOMMIT, READ_WRITE, STATUS_INVALID_PARAMETER_5),
                (COMMIT, 0, STATUS_INVALID_PAGE_PROTECTION),
                (COMMIT, 8, STATUS_INVALID_PAGE_PROTECTION),
                (COMMIT, READ_WRITE | 2, STATUS_INVALID_PAGE_PROTECTION),
            ] {
                assert_eq!(
                    allocate(0, 1, kind, protect),
                    Err(status),
                    "{kind:#x} {protect:#x}"
                );
            }
            assert_eq!(
                allocate(0, 0, COMMIT, READ_WRITE),
                Err(STATUS_INVALID_PARAMETER_4)
            );
            let beyond = allocate(base, 0x3001, COMMIT, READ_WRITE);
            assert_eq!(beyond, Err(STATUS_CONFLICTING_ADDRESSES));
            assert_eq!(
                allocate(base, 0x3000, RESET, READ_WRITE),
                Ok((base, 0x3000))
            );
            assert_eq!(free(base, 1, RELEASE), Err(STATUS_INVALID_PARAMETER));
            assert_eq!(
                free(base + 0x1000, 0, RELEASE),
                Err(STATUS_FREE_VM_NOT_AT_BASE)
            );
            assert_eq!(
                free(base + 0x1000, 0, DECOMMIT),
                Err(STATUS_FREE_VM_NOT_AT_BASE)
            );
            assert_eq!(free(base, 0x3001, DECOMMIT), Err(STATUS_UNABLE_TO_FREE_VM));
            assert_eq!(free(base, 0, 0), Err(STATUS_INVALID_PARAMETER_4));
            let (mut at, mut size) = (0, 1);
            let (at, size) = (&raw mut at, &raw mut size);
            for (process, zero_bits, status) in [
                (std::ptr::null_mut(), 0, STATUS_INVALID_HANDLE),
                (-2_isize as HANDLE, 0, STATUS_OBJECT_TYPE_MISMATCH),
                (PROCESS, 21, STATUS_INVALID_PARAMETER_3),
            ] {
                // SAFETY: an address and a size.
                let found =
                    unsafe { ZwAllocateVirtualMemory(process, at, zero_bits, size, COMMIT, 4) };
                assert_eq!(found, status);
            }
        });
        let outcome = machine.finish();
        let leaks: Vec<_> = outcome.leaks.iter().map(|leak| leak.object).collect();
        assert_eq!(leaks, ["virtual memory"]);
        assert_eq!((outcome.violations.len(), outcome.bugchecks.len()), (0, 0));
    }
}
