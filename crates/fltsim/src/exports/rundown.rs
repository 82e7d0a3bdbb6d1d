//! Run-down protection: an object is used by many and taken away by one, who waits for them.

use super::{exports, kernel, misuse, routines, write};
use crate::kernel::word::{wait, wake, word};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::sync::atomic::Ordering;

/// Set in the word, which counts in steps of two, when the object is being taken away.
const ACTIVE: u64 = 1;
/// How much memory one of those with a part for each processor has here, where there is one.
const CACHE_AWARE: SIZE_T = 64;

/// # Safety
/// `at` is run-down protection.
unsafe fn acquire(at: *mut u64, count: ULONG) -> BOOLEAN {
    // SAFETY: by this function's contract.
    let word = unsafe { word(at) };
    let (order, failed) = (Ordering::AcqRel, Ordering::Acquire);
    let more = |value: u64| (value & ACTIVE == 0).then(|| value + 2 * u64::from(count));
    BOOLEAN::from(word.fetch_update(order, failed, more).is_ok())
}

/// # Safety
/// `at` is run-down protection.
unsafe fn release(call: &'static str, at: *mut u64, count: ULONG) {
    // SAFETY: by this function's contract.
    let word = unsafe { word(at) };
    let (order, failed) = (Ordering::AcqRel, Ordering::Acquire);
    let less = |value: u64| {
        let left = (value >> 1).checked_sub(count.into())?;
        Some(left << 1 | value & ACTIVE)
    };
    match word.fetch_update(order, failed, less) {
        Ok(before) if before & ACTIVE != 0 => wake(),
        Ok(_) => {}
        Err(value) => {
            let have = value >> 1;
            let text = format!("{count} are released of run-down protection that {have} have");
            misuse(Rule::V20, call, text);
        }
    }
}

/// # Safety
/// `at` is run-down protection.
unsafe fn run_down(at: *mut u64) {
    // SAFETY: by this function's contract.
    let word = unsafe { word(at) };
    word.fetch_or(ACTIVE, Ordering::AcqRel);
    wait(word, |value| value >> 1 == 0);
}

/// # Safety
/// `at` is run-down protection that nobody has.
unsafe fn set(call: &'static str, at: *mut u64, value: u64) {
    // SAFETY: by this function's contract.
    let before = unsafe { word(at) }.swap(value, Ordering::AcqRel);
    if before >> 1 != 0 {
        let have = before >> 1;
        misuse(
            Rule::V20,
            call,
            format!("run-down protection is reset that {have} have"),
        );
    }
}

routines! {
    /// Initialises protection: the object may be used.
    unsafe fn ExInitializeRundownProtection(at: *mut u64) {
        // SAFETY: the caller passes a place for it.
        unsafe { write(at, 0) };
    }

    /// Makes an object usable again that was run down.
    unsafe fn ExReInitializeRundownProtection(at: *mut u64) {
        // SAFETY: the caller passes protection.
        unsafe { set(CALL, at, 0) };
    }

    /// Uses the object, if it is not being taken away.
    unsafe fn ExAcquireRundownProtection(at: *mut u64) -> BOOLEAN {
        // SAFETY: the caller passes protection.
        unsafe { acquire(at, 1) }
    }

    /// Uses the object several times.
    unsafe fn ExAcquireRundownProtectionEx(at: *mut u64, count: ULONG) -> BOOLEAN {
        // SAFETY: the caller passes protection.
        unsafe { acquire(at, count) }
    }

    /// Ends a use.
    unsafe fn ExReleaseRundownProtection(at: *mut u64) {
        // SAFETY: the caller passes protection.
        unsafe { release(CALL, at, 1) };
    }

    /// Ends several uses.
    unsafe fn ExReleaseRundownProtectionEx(at: *mut u64, count: ULONG) {
        // SAFETY: the caller passes protection.
        unsafe { release(CALL, at, count) };
    }

    /// Takes the object away: nobody may use it any more, and nobody does when this returns.
    unsafe fn ExWaitForRundownProtectionRelease(at: *mut u64) {
        // SAFETY: the caller passes protection.
        unsafe { run_down(at) };
    }

    /// Says that the object is gone.
    unsafe fn ExRundownCompleted(at: *mut u64) {
        // SAFETY: the caller passes protection.
        unsafe { set(CALL, at, ACTIVE) };
    }

    /// How much memory protection with a part for each processor has.
    unsafe fn ExSizeOfRundownProtectionCacheAware() -> SIZE_T {
        CACHE_AWARE
    }

    /// Initialises it in memory of the caller.
    unsafe fn ExInitializeRundownProtectionCacheAware(at: *mut u64, size: SIZE_T) {
        if size < CACHE_AWARE {
            misuse(Rule::V0, CALL, format!("{size} bytes are too few for run-down protection"));
            return;
        }
        // SAFETY: the caller passes that much memory.
        unsafe { write(at, 0) };
    }

    /// As `ExReInitializeRundownProtection`.
    unsafe fn ExReInitializeRundownProtectionCacheAware(at: *mut u64) {
        // SAFETY: the caller passes protection.
        unsafe { set(CALL, at, 0) };
    }

    /// As `ExAcquireRundownProtection`.
    unsafe fn ExAcquireRundownProtectionCacheAware(at: *mut u64) -> BOOLEAN {
        // SAFETY: the caller passes protection.
        unsafe { acquire(at, 1) }
    }

    /// As `ExAcquireRundownProtectionEx`.
    unsafe fn ExAcquireRundownProtectionCacheAwareEx(at: *mut u64, count: ULONG) -> BOOLEAN {
        // SAFETY: the caller passes protection.
        unsafe { acquire(at, count) }
    }

    /// As `ExReleaseRundownProtection`.
    unsafe fn ExReleaseRundownProtectionCacheAware(at: *mut u64) {
        // SAFETY: the caller passes protection.
        unsafe { release(CALL, at, 1) };
    }

    /// As `ExReleaseRundownProtectionEx`.
    unsafe fn ExReleaseRundownProtectionCacheAwareEx(at: *mut u64, count: ULONG) {
        // SAFETY: the caller passes protection.
        unsafe { release(CALL, at, count) };
    }

    /// As `ExWaitForRundownProtectionRelease`.
    unsafe fn ExWaitForRundownProtectionReleaseCacheAware(at: *mut u64) {
        // SAFETY: the caller passes protection.
        unsafe { run_down(at) };
    }

    /// As `ExRundownCompleted`.
    unsafe fn ExRundownCompletedCacheAware(at: *mut u64) {
        // SAFETY: the caller passes protection.
        unsafe { set(CALL, at, ACTIVE) };
    }
}

/// Those that allocate.
pub(super) mod cache_aware {
    use super::{CACHE_AWARE, exports, kernel};
    use fltmgr_sys::*;

    exports! {
        /// Allocates protection with a part for each processor.
        unsafe fn ExAllocateCacheAwareRundownProtection(kind: POOL_TYPE, tag: ULONG) -> PVOID {
            const CALL: &str = "ExAllocateCacheAwareRundownProtection";
            kernel::allocate(CALL, kind, CACHE_AWARE, tag, true)
        }

        /// Frees it.
        unsafe fn ExFreeCacheAwareRundownProtection(at: PVOID) {
            kernel::free("ExFreeCacheAwareRundownProtection", at, 0);
        }
    }
}
