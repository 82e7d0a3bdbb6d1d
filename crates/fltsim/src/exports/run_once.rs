//! Initialisation that happens once, whoever comes first.

use super::{misuse, routines, write};
use crate::kernel::word::{wait, wake, word};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::sync::atomic::Ordering;

/// The low bits of the word; above them is what the initialisation left.
const STATE: u64 = 3;
const NOT_BEGUN: u64 = 0;
const RUNNING: u64 = 1;
const DONE: u64 = 2;
/// Several run at once, and the first to complete wins.
const RACING: u64 = 3;
/// `RTL_RUN_ONCE_CHECK_ONLY`, `_ASYNC` and `_INIT_FAILED`.
const CHECK_ONLY: ULONG = 1;
const ASYNC: ULONG = 2;
const INIT_FAILED: ULONG = 4;
const STATUS_INVALID_PARAMETER_MIX: NTSTATUS = 0xC000_0030_u32.cast_signed();
const STATUS_INVALID_OWNER: NTSTATUS = 0xC000_005A_u32.cast_signed();

type Initialise = Option<unsafe extern "win64" fn(*mut u64, PVOID, *mut u64) -> ULONG>;

/// # Safety
/// `at` is an initialised word for this, and `context` is null or may be written to.
unsafe fn begin(at: *mut u64, flags: ULONG, context: *mut u64) -> NTSTATUS {
    if flags & !(CHECK_ONLY | ASYNC) != 0 {
        return STATUS_INVALID_PARAMETER_2;
    }
    if flags == CHECK_ONLY | ASYNC {
        return STATUS_INVALID_PARAMETER_MIX;
    }
    // SAFETY: by this function's contract.
    let word = unsafe { word(at) };
    loop {
        let value = word.load(Ordering::Acquire);
        match (value & STATE, flags) {
            (DONE, _) => {
                // SAFETY: as above.
                unsafe { write(context, value & !STATE) };
                return STATUS_SUCCESS;
            }
            (_, CHECK_ONLY) => return STATUS_UNSUCCESSFUL,
            (RACING, ASYNC) => return STATUS_PENDING,
            (RUNNING, ASYNC) | (RACING, _) => return STATUS_INVALID_OWNER,
            (RUNNING, _) => {
                wait(word, |value| value & STATE != RUNNING);
            }
            _ => {
                let next = if flags == ASYNC { RACING } else { RUNNING };
                let (order, failed) = (Ordering::AcqRel, Ordering::Acquire);
                if word
                    .compare_exchange(NOT_BEGUN, next, order, failed)
                    .is_ok()
                {
                    return STATUS_PENDING;
                }
            }
        }
    }
}

/// # Safety
/// `at` is a word for this whose initialisation this thread has begun.
unsafe fn complete(call: &'static str, at: *mut u64, flags: ULONG, context: u64) -> NTSTATUS {
    if flags & !(ASYNC | INIT_FAILED) != 0 {
        return STATUS_INVALID_PARAMETER_2;
    }
    if flags == ASYNC | INIT_FAILED {
        return STATUS_INVALID_PARAMETER_MIX;
    }
    if context & STATE != 0 {
        misuse(
            Rule::V0,
            call,
            format!("the context {context:#x} has one of its low two bits set"),
        );
        return STATUS_INVALID_PARAMETER_3;
    }
    // SAFETY: by this function's contract.
    let word = unsafe { word(at) };
    let expected = if flags & ASYNC == 0 { RUNNING } else { RACING };
    let next = if flags & INIT_FAILED == 0 {
        context | DONE
    } else {
        NOT_BEGUN
    };
    let (order, failed) = (Ordering::AcqRel, Ordering::Acquire);
    let value = word.load(Ordering::Acquire);
    let mine =
        value & STATE == expected && word.compare_exchange(value, next, order, failed).is_ok();
    wake();
    match (mine, value & STATE) {
        (true, _) => STATUS_SUCCESS,
        // Another one of those that race was faster.
        (false, DONE | RACING) if expected == RACING => STATUS_OBJECT_NAME_COLLISION,
        _ => STATUS_INVALID_OWNER,
    }
}

routines! {
    /// Initialises the word.
    unsafe fn RtlRunOnceInitialize(at: *mut u64) {
        // SAFETY: the caller passes a place for it.
        unsafe { write(at, NOT_BEGUN) };
    }

    /// Begins an initialisation, unless it is done already: `STATUS_PENDING` says to do it.
    unsafe fn RtlRunOnceBeginInitialize(
        at: *mut u64,
        flags: ULONG,
        context: *mut u64,
    ) -> NTSTATUS {
        // SAFETY: the caller passes the word and a place.
        unsafe { begin(at, flags, context) }
    }

    /// Ends it.
    unsafe fn RtlRunOnceComplete(at: *mut u64, flags: ULONG, context: u64) -> NTSTATUS {
        // SAFETY: the caller passes the word.
        unsafe { complete(CALL, at, flags, context) }
    }

    /// Runs a routine, unless it has run successfully before.
    unsafe fn RtlRunOnceExecuteOnce(
        at: *mut u64,
        initialise: Initialise,
        parameter: PVOID,
        context: *mut u64,
    ) -> NTSTATUS {
        // SAFETY: the caller passes the word and a place.
        let status = unsafe { begin(at, 0, context) };
        let Some(initialise) = initialise.filter(|_| status == STATUS_PENDING) else {
            return status;
        };
        let mut left = 0;
        // SAFETY: the driver's routine, with the word, its parameter and a place.
        let succeeded = unsafe { initialise(at, parameter, &raw mut left) } != 0;
        let flags = if succeeded { 0 } else { INIT_FAILED };
        // SAFETY: as above.
        let status = unsafe { complete(CALL, at, flags, if succeeded { left } else { 0 }) };
        if !succeeded {
            return STATUS_UNSUCCESSFUL;
        }
        // SAFETY: as above.
        unsafe { write(context, left) };
        status
    }
}
