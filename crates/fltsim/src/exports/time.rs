//! Times and calendars, and what is counted from them: random numbers.

use super::{routines, write};
use crate::kernel::calendar::{self, Fields, SECOND, SINCE_1970, SINCE_1980};
use crate::kernel::time::now;
use fltmgr_sys::*;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// When this machine was started.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Ticks of 100 ns since the start, from an hour on: nothing here was started just now.
fn running() -> u64 {
    let ticks = START.elapsed().as_nanos() / 100;
    u64::try_from(ticks).unwrap_or(0) + 36_000_000_000
}

/// # Safety
/// `time` points to a time.
unsafe fn read(time: *const i64) -> i64 {
    // SAFETY: by this function's contract.
    unsafe { time.read_unaligned() }
}

/// Seconds of 32 bits since a year.
///
/// # Safety
/// `time` points to a time, and `seconds` is a place for them.
unsafe fn seconds_since(time: *const i64, start: i64, seconds: *mut ULONG) -> BOOLEAN {
    // SAFETY: by this function's contract.
    let since = unsafe { read(time) }.div_euclid(SECOND) - start;
    let Ok(since) = ULONG::try_from(since) else {
        return 0;
    };
    // SAFETY: as above.
    unsafe { write(seconds, since) };
    1
}

/// A new identifier.
pub(super) fn uuid() -> GUID {
    let parts: [u64; 2] = std::array::from_fn(|_| random());
    let low = |shift: u32| USHORT::try_from(parts[0] >> shift & 0xFFFF).unwrap_or(0);
    let mut tail = parts[1].to_le_bytes();
    // The variant, and version 4: random.
    tail[0] = tail[0] & 0x3F | 0x80;
    GUID {
        Data1: ULONG::from(low(0)) << 16 | ULONG::from(low(16)),
        Data2: low(32),
        Data3: low(48) & 0x0FFF | 0x4000,
        Data4: tail,
    }
}

routines! {
    /// The time since 1601.
    unsafe fn KeQuerySystemTimePrecise(time: *mut i64) {
        // SAFETY: the caller passes a place for a time.
        unsafe { write(time, now()) };
    }

    /// A counter of 100 ns, and its frequency.
    unsafe fn KeQueryPerformanceCounter(frequency: *mut i64) -> i64 {
        // SAFETY: the caller passes a place for a frequency, or null.
        unsafe { write(frequency, 10_000_000) };
        i64::try_from(START.elapsed().as_nanos() / 100).unwrap_or(i64::MAX)
    }

    /// How long a tick is, in units of 100 ns.
    unsafe fn KeQueryTimeIncrement() -> ULONG {
        156_250
    }

    /// The fields of a time.
    unsafe fn RtlTimeToTimeFields(time: *const i64, fields: *mut Fields) {
        // SAFETY: the caller passes a time.
        let value = calendar::fields(unsafe { read(time) });
        // SAFETY: the caller passes a place for the fields.
        unsafe { write(fields, value) };
    }

    /// The time of fields, if there is one.
    unsafe fn RtlTimeFieldsToTime(fields: *const Fields, time: *mut i64) -> BOOLEAN {
        // SAFETY: the caller passes fields.
        let Some(value) = calendar::time(&unsafe { fields.read_unaligned() }) else {
            return 0;
        };
        // SAFETY: the caller passes a place for the time.
        unsafe { write(time, value) };
        1
    }

    /// Seconds since 1970, if they fit.
    unsafe fn RtlTimeToSecondsSince1970(time: *const i64, seconds: *mut ULONG) -> BOOLEAN {
        // SAFETY: the caller passes a time and a place.
        unsafe { seconds_since(time, SINCE_1970, seconds) }
    }

    /// Seconds since 1980, if they fit.
    unsafe fn RtlTimeToSecondsSince1980(time: *const i64, seconds: *mut ULONG) -> BOOLEAN {
        // SAFETY: the caller passes a time and a place.
        unsafe { seconds_since(time, SINCE_1980, seconds) }
    }

    /// The time of seconds since 1970.
    unsafe fn RtlSecondsSince1970ToTime(seconds: ULONG, time: *mut i64) {
        // SAFETY: the caller passes a place for the time.
        unsafe { write(time, (i64::from(seconds) + SINCE_1970) * SECOND) };
    }

    /// The time of seconds since 1980.
    unsafe fn RtlSecondsSince1980ToTime(seconds: ULONG, time: *mut i64) {
        // SAFETY: the caller passes a place for the time.
        unsafe { write(time, (i64::from(seconds) + SINCE_1980) * SECOND) };
    }

    /// The local time; this machine's is the system's.
    unsafe fn ExSystemTimeToLocalTime(system: *const i64, local: *mut i64) {
        // SAFETY: the caller passes a time.
        let time = unsafe { read(system) };
        // SAFETY: the caller passes a place for the time.
        unsafe { write(local, time) };
    }

    /// The system's time of a local one.
    unsafe fn ExLocalTimeToSystemTime(local: *const i64, system: *mut i64) {
        // SAFETY: the caller passes a time.
        let time = unsafe { read(local) };
        // SAFETY: the caller passes a place for the time.
        unsafe { write(system, time) };
    }

    /// How long the machine has run.
    unsafe fn KeQueryInterruptTime() -> u64 {
        running()
    }

    /// How long the machine has run, and the performance counter of the same moment.
    unsafe fn KeQueryInterruptTimePrecise(counter: *mut u64) -> u64 {
        let now = running();
        // SAFETY: the caller passes a place for the counter.
        unsafe { write(counter, now) };
        now
    }

    /// How long the machine has run without sleep; it never sleeps.
    unsafe fn KeQueryUnbiasedInterruptTime() -> u64 {
        running()
    }

    /// Waits without giving the processor up.
    unsafe fn KeStallExecutionProcessor(microseconds: ULONG) {
        let end = Instant::now() + Duration::from_micros(microseconds.into());
        while Instant::now() < end {
            std::hint::spin_loop();
        }
    }

    /// The next random number of a seed: a Lehmer sequence.
    unsafe fn RtlRandom(seed: *mut ULONG) -> ULONG {
        // SAFETY: the caller passes a seed.
        unsafe { next(seed) }
    }

    /// The next random number of a seed.
    unsafe fn RtlRandomEx(seed: *mut ULONG) -> ULONG {
        // SAFETY: the caller passes a seed.
        unsafe { next(seed) }
    }

    /// A new identifier.
    unsafe fn ExUuidCreate(uuid: *mut GUID) -> NTSTATUS {
        // SAFETY: the caller passes a place for a GUID.
        unsafe { write(uuid, self::uuid()) };
        STATUS_SUCCESS
    }
}

/// # Safety
/// `seed` points to a seed.
unsafe fn next(seed: *mut ULONG) -> ULONG {
    // SAFETY: by this function's contract.
    let before = u64::from(unsafe { seed.read_unaligned() });
    let next = (before * 0x7FFF_FFED + 0x7FFF_FFC3) % 0x7FFF_FFFF;
    let next = ULONG::try_from(next).unwrap_or(0);
    // SAFETY: as above.
    unsafe { seed.write_unaligned(next) };
    next
}

/// Something that nobody has had before.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}
