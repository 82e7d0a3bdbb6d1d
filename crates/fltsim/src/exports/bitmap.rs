//! Bit maps of the run-time library.

use super::{misuse, routines, write};
use crate::kernel::bitmap::{BitMap, Bits, Run};
use crate::verifier::Rule;
use fltmgr_sys::*;

/// What a search gives that has found nothing.
const NONE: ULONG = ULONG::MAX;

/// Changes a range of bits; one that is not in the map is reported, and not changed.
///
/// # Safety
/// `map` is an initialised bit map.
unsafe fn fill(call: &'static str, map: *const BitMap, start: ULONG, count: ULONG, value: bool) {
    // SAFETY: by this function's contract.
    let bits = unsafe { Bits::of(map) };
    if bits.holds(start, count) {
        bits.fill(start, count, value);
    } else {
        let size = bits.size();
        let text = format!("{count} bits from bit {start} on are not in a map of {size} bits");
        misuse(Rule::V0, call, text);
    }
}

/// Finds bits with a value, and gives them the other one if that is wanted.
///
/// # Safety
/// `map` is an initialised bit map.
unsafe fn find(map: *const BitMap, count: ULONG, hint: ULONG, value: bool, take: bool) -> ULONG {
    // SAFETY: by this function's contract.
    let bits = unsafe { Bits::of(map) };
    let found = bits.find(count, hint, value);
    if let Some(start) = found.filter(|_| take) {
        bits.fill(start, count, !value);
    }
    found.unwrap_or(NONE)
}

/// Gives a run out: its length, and where it begins. Where none is, `otherwise` is said.
///
/// # Safety
/// `start` may be written to.
unsafe fn give(run: Option<Run>, start: *mut ULONG, otherwise: ULONG) -> ULONG {
    // SAFETY: by this function's contract.
    unsafe { write(start, run.map_or(otherwise, |run| run.start)) };
    run.map_or(0, |run| run.bits)
}

routines! {
    /// A bit map over a buffer.
    unsafe fn RtlInitializeBitMap(map: *mut BitMap, buffer: *mut ULONG, size: ULONG) {
        // SAFETY: the caller passes a place for the map.
        unsafe { write(map, BitMap { size, buffer }) };
    }

    /// Sets one bit.
    unsafe fn RtlSetBit(map: *mut BitMap, bit: ULONG) {
        // SAFETY: the caller passes a bit map.
        unsafe { fill(CALL, map, bit, 1, true) };
    }

    /// Clears one bit.
    unsafe fn RtlClearBit(map: *mut BitMap, bit: ULONG) {
        // SAFETY: the caller passes a bit map.
        unsafe { fill(CALL, map, bit, 1, false) };
    }

    /// Sets a range of bits.
    unsafe fn RtlSetBits(map: *mut BitMap, start: ULONG, count: ULONG) {
        // SAFETY: the caller passes a bit map.
        unsafe { fill(CALL, map, start, count, true) };
    }

    /// Clears a range of bits.
    unsafe fn RtlClearBits(map: *mut BitMap, start: ULONG, count: ULONG) {
        // SAFETY: the caller passes a bit map.
        unsafe { fill(CALL, map, start, count, false) };
    }

    /// Sets all bits.
    unsafe fn RtlSetAllBits(map: *mut BitMap) {
        // SAFETY: the caller passes a bit map.
        unsafe { Bits::of(map) }.fill_all(true);
    }

    /// Clears all bits.
    unsafe fn RtlClearAllBits(map: *mut BitMap) {
        // SAFETY: the caller passes a bit map.
        unsafe { Bits::of(map) }.fill_all(false);
    }

    /// Whether a bit is set.
    unsafe fn RtlTestBit(map: *const BitMap, bit: ULONG) -> BOOLEAN {
        // SAFETY: the caller passes a bit map.
        let bits = unsafe { Bits::of(map) };
        if !bits.holds(bit, 1) {
            let size = bits.size();
            misuse(Rule::V0, CALL, format!("bit {bit} is not in a map of {size} bits"));
        }
        BOOLEAN::from(bits.get(bit))
    }

    /// Whether all bits of a range are set.
    unsafe fn RtlAreBitsSet(map: *const BitMap, start: ULONG, count: ULONG) -> BOOLEAN {
        // SAFETY: the caller passes a bit map.
        BOOLEAN::from(unsafe { Bits::of(map) }.are(start, count, true))
    }

    /// Whether all bits of a range are clear.
    unsafe fn RtlAreBitsClear(map: *const BitMap, start: ULONG, count: ULONG) -> BOOLEAN {
        // SAFETY: the caller passes a bit map.
        BOOLEAN::from(unsafe { Bits::of(map) }.are(start, count, false))
    }

    /// Finds clear bits.
    unsafe fn RtlFindClearBits(map: *const BitMap, count: ULONG, hint: ULONG) -> ULONG {
        // SAFETY: the caller passes a bit map.
        unsafe { find(map, count, hint, false, false) }
    }

    /// Finds set bits.
    unsafe fn RtlFindSetBits(map: *const BitMap, count: ULONG, hint: ULONG) -> ULONG {
        // SAFETY: the caller passes a bit map.
        unsafe { find(map, count, hint, true, false) }
    }

    /// Finds clear bits and sets them.
    unsafe fn RtlFindClearBitsAndSet(map: *mut BitMap, count: ULONG, hint: ULONG) -> ULONG {
        // SAFETY: the caller passes a bit map.
        unsafe { find(map, count, hint, false, true) }
    }

    /// Finds set bits and clears them.
    unsafe fn RtlFindSetBitsAndClear(map: *mut BitMap, count: ULONG, hint: ULONG) -> ULONG {
        // SAFETY: the caller passes a bit map.
        unsafe { find(map, count, hint, true, true) }
    }

    /// The first run of clear bits.
    unsafe fn RtlFindFirstRunClear(map: *const BitMap, start: *mut ULONG) -> ULONG {
        // SAFETY: the caller passes a bit map.
        let bits = unsafe { Bits::of(map) };
        // SAFETY: the caller passes a place for the start.
        unsafe { give(bits.run(0, false), start, bits.size()) }
    }

    /// The first run of clear bits from an index on.
    unsafe fn RtlFindNextForwardRunClear(
        map: *const BitMap,
        from: ULONG,
        start: *mut ULONG,
    ) -> ULONG {
        // SAFETY: the caller passes a bit map.
        let bits = unsafe { Bits::of(map) };
        // SAFETY: the caller passes a place for the start.
        unsafe { give(bits.run(from, false), start, bits.size()) }
    }

    /// The last run of clear bits up to an index.
    unsafe fn RtlFindLastBackwardRunClear(
        map: *const BitMap,
        from: ULONG,
        start: *mut ULONG,
    ) -> ULONG {
        // SAFETY: the caller passes a bit map.
        let bits = unsafe { Bits::of(map) };
        // SAFETY: the caller passes a place for the start.
        unsafe { give(bits.run_back(from), start, 0) }
    }

    /// The longest run of clear bits.
    unsafe fn RtlFindLongestRunClear(map: *const BitMap, start: *mut ULONG) -> ULONG {
        // SAFETY: the caller passes a bit map.
        let runs = unsafe { Bits::of(map) }.clear_runs();
        // Of equal ones the first.
        let longest = runs.reduce(|best, run| if run.bits > best.bits { run } else { best });
        // SAFETY: the caller passes a place for the start.
        unsafe { give(longest, start, 0) }
    }

    /// Several runs of clear bits: the first ones, or the longest ones, the longest of all first.
    unsafe fn RtlFindClearRuns(
        map: *const BitMap,
        array: *mut Run,
        room: ULONG,
        longest: BOOLEAN,
    ) -> ULONG {
        // SAFETY: the caller passes a bit map.
        let mut runs: Vec<Run> = unsafe { Bits::of(map) }.clear_runs().collect();
        if longest != 0 {
            runs.sort_by_key(|run| std::cmp::Reverse(run.bits));
        }
        runs.truncate(room as usize);
        for (index, run) in runs.iter().enumerate() {
            // SAFETY: the caller passes room for so many runs.
            unsafe { array.wrapping_add(index).write_unaligned(*run) };
        }
        ULONG::try_from(runs.len()).unwrap_or(room)
    }

    /// How many bits are set.
    unsafe fn RtlNumberOfSetBits(map: *const BitMap) -> ULONG {
        // SAFETY: the caller passes a bit map.
        let bits = unsafe { Bits::of(map) };
        bits.count(0, bits.size())
    }

    /// How many bits are clear.
    unsafe fn RtlNumberOfClearBits(map: *const BitMap) -> ULONG {
        // SAFETY: the caller passes a bit map.
        let bits = unsafe { Bits::of(map) };
        bits.size() - bits.count(0, bits.size())
    }

    /// How many bits of a range are set; all of it must be in the map.
    unsafe fn RtlNumberOfSetBitsInRange(map: *const BitMap, start: ULONG, count: ULONG) -> ULONG {
        // SAFETY: the caller passes a bit map.
        let bits = unsafe { Bits::of(map) };
        if bits.holds(start, count) { bits.count(start, count) } else { NONE }
    }

    /// How many bits of a range are clear; all of it must be in the map.
    unsafe fn RtlNumberOfClearBitsInRange(
        map: *const BitMap,
        start: ULONG,
        count: ULONG,
    ) -> ULONG {
        // SAFETY: the caller passes a bit map.
        let bits = unsafe { Bits::of(map) };
        if bits.holds(start, count) { count - bits.count(start, count) } else { NONE }
    }

    /// Copies a map into a part of another one.
    unsafe fn RtlCopyBitMap(source: *const BitMap, target: *mut BitMap, at: ULONG) {
        // SAFETY: the caller passes a bit map.
        let source = unsafe { Bits::of(source) };
        // SAFETY: as above.
        source.copy(0, &unsafe { Bits::of(target) }, at, source.size());
    }

    /// Copies a part of a map into another one.
    unsafe fn RtlExtractBitMap(
        source: *const BitMap,
        target: *mut BitMap,
        from: ULONG,
        count: ULONG,
    ) {
        // SAFETY: the caller passes a bit map.
        let source = unsafe { Bits::of(source) };
        // SAFETY: as above.
        source.copy(from, &unsafe { Bits::of(target) }, 0, count);
    }

    /// The lowest bit that is set in a number; -1 if none is.
    unsafe fn RtlFindLeastSignificantBit(value: u64) -> CHAR {
        if value == 0 { -1 } else { i8::try_from(value.trailing_zeros()).unwrap_or(-1) }
    }

    /// The highest bit that is set in a number; -1 if none is.
    unsafe fn RtlFindMostSignificantBit(value: u64) -> CHAR {
        i8::try_from(value.checked_ilog2().map_or(-1, u32::cast_signed)).unwrap_or(-1)
    }

    /// How many bits of a word are set.
    unsafe fn RtlNumberOfSetBitsUlongPtr(value: u64) -> ULONG {
        value.count_ones()
    }
}
