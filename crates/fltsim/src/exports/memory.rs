//! Older and newer ways to allocate pool, and whether memory is there.

use super::kernel::{allocate, free};
use super::{exports, here};
use crate::image::{Context, raise, with_context};
use fltmgr_sys::*;

/// Tag of allocations that have none.
const NONE: ULONG = u32::from_le_bytes(*b"None");
const POOL_FLAG_UNINITIALIZED: u64 = 0x2;
const POOL_FLAG_RAISE_ON_FAILURE: u64 = 0x20;
const POOL_FLAG_PAGED: u64 = 0x100;
/// Bits of a pool type: charge somebody's quota, and do not raise.
const QUOTA: POOL_TYPE = 8;
const RAISE_IF_ALLOCATION_FAILURE: POOL_TYPE = 16;
const QUOTA_FAIL_INSTEAD_OF_RAISE: POOL_TYPE = 8;
const INSUFFICIENT_RESOURCES: u32 = 0xC000_009A;
/// The page that the kernel shares with everybody is emulated, and not mapped where it is.
const SHARED_PAGE: usize = 0xFFFF_F780_0000_0000;
const PAGE: usize = 4096;

with_context! { allocate_quota => quota }
with_context! { allocate_quota_tag => quota_tag }
with_context! { allocate_extended => extended }

/// The kind of pool without what else its number says.
fn kind(pool: POOL_TYPE) -> POOL_TYPE {
    pool & !(QUOTA | RAISE_IF_ALLOCATION_FAILURE)
}

/// # Safety
/// There are arguments, four of them at least.
unsafe fn argument(arguments: *const u64, index: usize) -> u64 {
    // SAFETY: by this function's contract.
    unsafe { arguments.wrapping_add(index).read() }
}

fn low(value: u64) -> u32 {
    u32::try_from(value & 0xFFFF_FFFF).unwrap_or(0)
}

/// # Safety
/// `context` is the state of the driver.
unsafe fn raise_if(failed: bool, context: *mut Context) {
    if failed {
        // SAFETY: by this function's contract.
        raise(unsafe { &mut *context }, INSUFFICIENT_RESOURCES, 0, &[]);
    }
}

/// Allocates, and raises if that fails, unless the type says not to.
///
/// # Safety
/// For all of these: called with the state of the driver and its arguments.
unsafe fn with_quota(
    call: &'static str,
    context: *mut Context,
    arguments: *const u64,
    tag: ULONG,
) -> u64 {
    // SAFETY: by this function's contract.
    let pool = low(unsafe { argument(arguments, 0) }).cast_signed();
    // SAFETY: as above.
    let size = unsafe { argument(arguments, 1) };
    let memory = allocate(call, kind(pool), size, tag, false) as u64;
    // SAFETY: as above.
    unsafe {
        raise_if(
            memory == 0 && pool & QUOTA_FAIL_INSTEAD_OF_RAISE == 0,
            context,
        );
    }
    memory
}

/// # Safety
/// As for [`with_quota`].
unsafe extern "win64" fn quota(context: *mut Context, arguments: *const u64) -> u64 {
    // SAFETY: by this function's contract.
    unsafe { with_quota("ExAllocatePoolWithQuota", context, arguments, NONE) }
}

/// # Safety
/// As for [`with_quota`].
unsafe extern "win64" fn quota_tag(context: *mut Context, arguments: *const u64) -> u64 {
    // SAFETY: by this function's contract.
    let tag = low(unsafe { argument(arguments, 2) });
    // SAFETY: as above.
    unsafe { with_quota("ExAllocatePoolWithQuotaTag", context, arguments, tag) }
}

/// # Safety
/// As for [`with_quota`].
unsafe extern "win64" fn extended(context: *mut Context, arguments: *const u64) -> u64 {
    // SAFETY: by this function's contract.
    let flags = unsafe { argument(arguments, 0) };
    // SAFETY: as above.
    let size = unsafe { argument(arguments, 1) };
    // SAFETY: as above.
    let tag = low(unsafe { argument(arguments, 2) });
    let pool = if flags & POOL_FLAG_PAGED == 0 {
        NonPagedPoolNx
    } else {
        PagedPool
    };
    let zeroed = flags & POOL_FLAG_UNINITIALIZED == 0;
    let memory = allocate("ExAllocatePool3", pool, size, tag, zeroed) as u64;
    // SAFETY: as above.
    unsafe {
        raise_if(
            memory == 0 && flags & POOL_FLAG_RAISE_ON_FAILURE != 0,
            context,
        );
    }
    memory
}

/// Whether a page is mapped.
fn is_mapped(address: usize) -> bool {
    let page = address & !(PAGE - 1);
    let mut resident = 0_u8;
    // SAFETY: asking about a page touches nothing but the answer, which has room for one page.
    let status = unsafe { libc::mincore(page as PVOID, PAGE, &raw mut resident) };
    status == 0 || page == SHARED_PAGE
}

exports! {
    /// Allocates pool without a tag.
    unsafe fn ExAllocatePool(pool: POOL_TYPE, size: SIZE_T) -> PVOID {
        allocate("ExAllocatePool", kind(pool), size, NONE, false)
    }

    /// Allocates pool; the priority says what to do when there is little of it.
    unsafe fn ExAllocatePoolWithTagPriority(
        pool: POOL_TYPE,
        size: SIZE_T,
        tag: ULONG,
        _priority: i32,
    ) -> PVOID {
        allocate("ExAllocatePoolWithTagPriority", kind(pool), size, tag, false)
    }

    /// Frees pool and checks the tag.
    unsafe fn ExFreePool2(memory: PVOID, tag: ULONG, _parameters: PVOID, _count: ULONG) {
        free("ExFreePool2", memory, tag);
    }

    /// Whether touching an address would not fault.
    unsafe fn MmIsAddressValid(address: PVOID) -> BOOLEAN {
        here("MmIsAddressValid");
        BOOLEAN::from(is_mapped(address as usize))
    }
}

/// The address of one of those that may raise.
pub(super) fn resolve_raising(name: &str) -> Option<usize> {
    let function = match name {
        "ExAllocatePoolWithQuota" => allocate_quota as *const (),
        "ExAllocatePoolWithQuotaTag" => allocate_quota_tag as *const (),
        "ExAllocatePool3" => allocate_extended as *const (),
        _ => return None,
    };
    Some(function as usize)
}
