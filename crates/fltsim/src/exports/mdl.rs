//! Memory descriptor lists.

use super::{exports, here, here_at_most};
use crate::image::{Context, raise, with_context};
use crate::kernel::mdl;
use crate::kernel::memory::Access;
use fltmgr_sys::*;
use std::ptr::null_mut;

/// `MmCached` to `MmWriteCombined` and the ones between.
const CACHE_TYPES: ULONG = 6;

/// Of a user's pages only threads that can wait may do this.
fn limit_of(mode: KPROCESSOR_MODE) -> Option<KIRQL> {
    (mode != 0).then_some(APC_LEVEL)
}

fn usize_of(length: impl Into<u64>) -> usize {
    usize::try_from(length.into()).unwrap_or(usize::MAX)
}

with_context! { probe_and_lock => probe_and_lock_pages }

/// # Safety
/// Called with the state of the driver and its arguments.
unsafe extern "win64" fn probe_and_lock_pages(context: *mut Context, arguments: *const u64) {
    // SAFETY: by this function's contract.
    let list = unsafe { arguments.read() } as *mut MDL;
    // SAFETY: by this function's contract; the function has three arguments.
    let mode = unsafe { arguments.wrapping_add(1).read() };
    // SAFETY: as above.
    let operation = unsafe { arguments.wrapping_add(2).read() };
    if let Some(status) = try_lock(list, mode, operation) {
        // SAFETY: by this function's contract.
        let context = unsafe { &mut *context };
        raise(context, status, 0, &[0, 0]);
    }
}

/// Locks pages; the status to raise if that fails. Nothing that would have to be dropped is left
/// when this has returned.
fn try_lock(list: *mut MDL, mode: u64, operation: u64) -> Option<u32> {
    const CALL: &str = "MmProbeAndLockPages";
    // Both are narrower than a register, whose upper part is anything.
    let mode = KPROCESSOR_MODE::from(mode & 0xFF != 0);
    let machine = here_at_most(CALL, limit_of(mode))?;
    let access = if operation.trailing_zeros() >= 32 {
        Access::Read
    } else {
        Access::Write
    };
    let locked = mdl::lock(&machine, CALL, list, mode, access);
    locked.err().map(i32::cast_unsigned)
}

exports! {
    /// Allocates a list for a buffer, and makes it an IRP's if there is one.
    unsafe fn IoAllocateMdl(
        address: PVOID,
        length: ULONG,
        secondary: BOOLEAN,
        _charge: BOOLEAN,
        irp: PIRP,
    ) -> *mut MDL {
        const CALL: &str = "IoAllocateMdl";
        let Some(machine) = here(CALL) else {
            return null_mut();
        };
        let list = mdl::allocate(&machine, CALL, address as usize, usize_of(length));
        if irp.is_null() || list.is_null() {
            return list;
        }
        // IRP.MdlAddress, or the end of the chain that begins there.
        let mut place = irp.cast::<*mut MDL>().wrapping_byte_add(8);
        if secondary != 0 {
            // SAFETY: the caller passes an IRP, with a chain of lists.
            let mut next = unsafe { place.read() };
            while !next.is_null() {
                // SAFETY: as above.
                place = unsafe { &raw mut (*next).Next };
                // SAFETY: as above.
                next = unsafe { place.read() };
            }
        }
        // SAFETY: as above.
        unsafe { place.write(list) };
        list
    }

    /// Frees a list.
    unsafe fn IoFreeMdl(list: *mut MDL) {
        const CALL: &str = "IoFreeMdl";
        if let Some(machine) = here(CALL) {
            mdl::free(&machine, CALL, list);
        }
    }

    /// Makes a list describe a part of what another one does.
    unsafe fn IoBuildPartialMdl(
        source: *mut MDL,
        target: *mut MDL,
        address: PVOID,
        length: ULONG,
    ) {
        const CALL: &str = "IoBuildPartialMdl";
        if let Some(machine) = here(CALL) {
            let length = usize_of(length);
            mdl::build_partial(&machine, CALL, source, target, address as usize, length);
        }
    }

    /// How many bytes a list for a buffer has.
    unsafe fn MmSizeOfMdl(base: PVOID, length: SIZE_T) -> SIZE_T {
        here("MmSizeOfMdl");
        mdl::size(base as usize, usize_of(length)) as SIZE_T
    }

    /// Fills in a list for a buffer in nonpaged pool.
    unsafe fn MmBuildMdlForNonPagedPool(list: *mut MDL) {
        const CALL: &str = "MmBuildMdlForNonPagedPool";
        if let Some(machine) = here(CALL) {
            mdl::build_for_nonpaged_pool(&machine, CALL, list);
        }
    }

    /// Unlocks the pages of a list.
    unsafe fn MmUnlockPages(list: *mut MDL) {
        const CALL: &str = "MmUnlockPages";
        if let Some(machine) = here(CALL) {
            mdl::unlock(&machine, CALL, list);
        }
    }

    /// Maps the pages of a list.
    unsafe fn MmMapLockedPages(list: *mut MDL, mode: KPROCESSOR_MODE) -> PVOID {
        const CALL: &str = "MmMapLockedPages";
        let machine = here_at_most(CALL, limit_of(mode));
        machine.map_or(null_mut(), |machine| mdl::map(&machine, CALL, list, mode))
    }

    /// Maps the pages of a list, with a choice of caching.
    unsafe fn MmMapLockedPagesSpecifyCache(
        list: *mut MDL,
        mode: KPROCESSOR_MODE,
        cache: ULONG,
        _base: PVOID,
        _bugcheck: ULONG,
        _priority: ULONG,
    ) -> PVOID {
        const CALL: &str = "MmMapLockedPagesSpecifyCache";
        let machine = here_at_most(CALL, limit_of(mode)).filter(|_| cache < CACHE_TYPES);
        machine.map_or(null_mut(), |machine| mdl::map(&machine, CALL, list, mode))
    }

    /// Takes a mapping away.
    unsafe fn MmUnmapLockedPages(base: PVOID, list: *mut MDL) {
        const CALL: &str = "MmUnmapLockedPages";
        if let Some(machine) = here(CALL) {
            mdl::unmap(&machine, CALL, base, list);
        }
    }

    /// Allocates pages, locked and not mapped. Here every page has an address that is high enough,
    /// and low enough.
    unsafe fn MmAllocatePagesForMdl(
        _low: i64,
        _high: i64,
        _skip: i64,
        bytes: SIZE_T,
    ) -> *mut MDL {
        const CALL: &str = "MmAllocatePagesForMdl";
        let machine = here(CALL);
        machine.map_or(null_mut(), |machine| {
            mdl::allocate_pages(&machine, CALL, usize_of(bytes))
        })
    }

    /// Allocates pages, locked and not mapped.
    unsafe fn MmAllocatePagesForMdlEx(
        _low: i64,
        _high: i64,
        _skip: i64,
        bytes: SIZE_T,
        _cache: ULONG,
        _flags: ULONG,
    ) -> *mut MDL {
        const CALL: &str = "MmAllocatePagesForMdlEx";
        let machine = here(CALL);
        machine.map_or(null_mut(), |machine| {
            mdl::allocate_pages(&machine, CALL, usize_of(bytes))
        })
    }

    /// Frees the pages of `MmAllocatePagesForMdl`; the list itself goes with `ExFreePool`.
    unsafe fn MmFreePagesFromMdl(list: *mut MDL) {
        const CALL: &str = "MmFreePagesFromMdl";
        if let Some(machine) = here(CALL) {
            mdl::free_pages(&machine, CALL, list);
        }
    }
}

/// The address of one of these functions by its name. Locking pages raises, so it is for loaded
/// images only, and has no symbol.
pub(super) fn resolve_raising(name: &str) -> Option<usize> {
    (name == "MmProbeAndLockPages").then_some(probe_and_lock as *const () as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::testing::broken_at;
    use crate::kernel::scope;
    use crate::verifier::Rule;

    const KERNEL: KPROCESSOR_MODE = 0;
    const USER: KPROCESSOR_MODE = 1;

    /// Describes memory, locks it for a mode, maps it for that mode, and takes all of it back.
    fn use_memory(memory: PVOID, mode: KPROCESSOR_MODE) {
        // SAFETY: no request.
        let list = unsafe { IoAllocateMdl(memory, 8, 0, 0, null_mut()) };
        assert_eq!(try_lock(list, u64::from(mode.cast_unsigned()), 0), None);
        // SAFETY: the list of these pages.
        let mapped = unsafe { MmMapLockedPagesSpecifyCache(list, mode, 1, null_mut(), 0, 0) };
        assert_eq!(mapped, memory);
        // SAFETY: as above.
        unsafe { MmUnmapLockedPages(mapped, list) };
        // SAFETY: as above.
        unsafe { MmUnlockPages(list) };
        // SAFETY: as above.
        unsafe { IoFreeMdl(list) };
    }

    #[test]
    fn at_dispatch_level_a_users_pages_are_not_locked_and_not_mapped() {
        let mut buffer = [0_u8; 8];
        let at = buffer.as_mut_ptr().cast();
        assert_eq!(broken_at(APC_LEVEL, || use_memory(at, USER)), []);
        assert_eq!(broken_at(DISPATCH_LEVEL, || use_memory(at, KERNEL)), []);
        let expected = [
            "MmProbeAndLockPages",
            "MmMapLockedPagesSpecifyCache",
            "MmUnmapLockedPages",
        ];
        assert_eq!(
            broken_at(DISPATCH_LEVEL, || use_memory(at, USER)),
            expected.map(|call| (Rule::V6, call))
        );
    }

    #[test]
    fn at_dispatch_level_paged_pool_is_not_locked() {
        let lock_at = |level, pool| {
            broken_at(level, || {
                let machine = scope::machine().unwrap();
                let old = crate::kernel::irql::set(PASSIVE_LEVEL);
                let memory = machine.pool.allocate(&machine, "test", pool, 8, 0, true);
                crate::kernel::irql::set(old);
                use_memory(memory as PVOID, KERNEL);
                crate::kernel::irql::set(PASSIVE_LEVEL);
                crate::kernel::pool::free(Some(&machine), "test", memory, 0);
            })
        };
        assert_eq!(lock_at(APC_LEVEL, PagedPool), []);
        assert_eq!(lock_at(DISPATCH_LEVEL, NonPagedPoolNx), []);
        let expected = [(Rule::V6, "MmProbeAndLockPages")];
        assert_eq!(lock_at(DISPATCH_LEVEL, PagedPool), expected);
    }
}
