//! System time, and when a timeout in it ends.

use std::time::{Duration, Instant, SystemTime};

/// Between 1601 and 1970, in units of 100 ns.
const EPOCH: i64 = 116_444_736_000_000_000;

/// The time since 1601 in units of 100 ns.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let ticks = since.map_or(0, |since| since.as_nanos() / 100);
    i64::try_from(ticks).unwrap_or(0) + EPOCH
}

/// When a timeout ends: relative if negative, or else a time since 1601.
pub(crate) fn deadline(timeout: i64) -> Instant {
    let ticks = if timeout <= 0 {
        timeout.unsigned_abs()
    } else {
        u64::try_from(timeout - now()).unwrap_or(0)
    };
    let wait = Duration::from_nanos(ticks.saturating_mul(100));
    let start = Instant::now();
    start
        .checked_add(wait)
        .unwrap_or(start + Duration::from_secs(1 << 30))
}
