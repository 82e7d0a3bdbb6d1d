//! Functions of the C library that the kernel exports, but for the printing ones. They are not
//! symbols of this process, where those names mean the host's own.

use super::rtl::{downcase, upcase};
use fltmgr_sys::*;
use std::cmp::Ordering;
use std::ptr::{null, null_mut};

const EINVAL: i32 = 22;
const ERANGE: i32 = 34;
const STRUNCATE: i32 = 80;
/// `_TRUNCATE`.
const TRUNCATE: u64 = u64::MAX;

/// What strings are made of.
trait Unit: Copy + Ord + Default + From<u8> + TryInto<u8> {
    fn lower(self) -> Self;
    fn upper(self) -> Self;

    /// The value of a digit in the largest base, or more.
    fn digit(self) -> u32 {
        let byte: Option<u8> = self.try_into().ok();
        let digit = byte.and_then(|byte| char::from(byte).to_digit(36));
        digit.unwrap_or(u32::MAX)
    }

    fn is_space(self) -> bool {
        let byte: Option<u8> = self.try_into().ok();
        byte.is_some_and(|byte| matches!(byte, 9..=13 | 32))
    }
}

impl Unit for u8 {
    fn lower(self) -> Self {
        self.to_ascii_lowercase()
    }

    fn upper(self) -> Self {
        self.to_ascii_uppercase()
    }
}

impl Unit for u16 {
    fn lower(self) -> Self {
        downcase(self)
    }

    fn upper(self) -> Self {
        upcase(self)
    }
}

fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// # Safety
/// The unit at the index exists.
unsafe fn get<T: Unit>(text: *const T, at: usize) -> T {
    // SAFETY: by this function's contract.
    unsafe { text.wrapping_add(at).read_unaligned() }
}

/// # Safety
/// There is room at the index.
unsafe fn set<T: Unit>(text: *mut T, at: usize, unit: T) {
    // SAFETY: by this function's contract.
    unsafe { text.wrapping_add(at).write_unaligned(unit) };
}

/// The length of a string, up to a limit.
///
/// # Safety
/// The string ends with a terminator, or has so many units.
unsafe fn length<T: Unit>(text: *const T, limit: usize) -> usize {
    let mut count = 0;
    // SAFETY: no unit before this one was the terminator, and the index is below the limit.
    while count < limit && unsafe { get(text, count) } != T::default() {
        count += 1;
    }
    count
}

/// The units of a string, up to a limit.
///
/// # Safety
/// As for [`length`].
unsafe fn units<T: Unit>(text: *const T, limit: usize) -> Vec<T> {
    // SAFETY: by this function's contract.
    let count = unsafe { length(text, limit) };
    // SAFETY: the index is below the length.
    (0..count).map(|at| unsafe { get(text, at) }).collect()
}

/// Writes units and a terminator.
///
/// # Safety
/// There is room for them from the index on.
unsafe fn put<T: Unit>(target: *mut T, at: usize, text: &[T]) {
    for (index, unit) in text.iter().enumerate() {
        // SAFETY: by this function's contract.
        unsafe { set(target, at + index, *unit) };
    }
    // SAFETY: as above.
    unsafe { set(target, at + text.len(), T::default()) };
}

/// Copies a string behind the first `at` units of another one, or `count` units of it.
///
/// # Safety
/// There is room for it.
unsafe fn copy<T: Unit>(target: *mut T, at: usize, source: *const T, count: usize) -> *mut T {
    // SAFETY: by this function's contract.
    let text = unsafe { units(source, count) };
    // SAFETY: as above.
    unsafe { put(target, at, &text) };
    target
}

/// Copies a string, or `count` units of it, behind another one.
///
/// # Safety
/// There is room for it.
unsafe fn append<T: Unit>(target: *mut T, source: *const T, count: usize) -> *mut T {
    // SAFETY: by this function's contract.
    let at = unsafe { length(target, usize::MAX) };
    // SAFETY: as above.
    unsafe { copy(target, at, source, count) }
}

/// Copies `count` units, filled up with zeroes, and no terminator if there is no room for one.
///
/// # Safety
/// There is room for so many.
unsafe fn copy_padded<T: Unit>(target: *mut T, source: *const T, count: usize) -> *mut T {
    // SAFETY: by this function's contract.
    let text = unsafe { units(source, count) };
    for at in 0..count {
        let unit = text.get(at).copied().unwrap_or_default();
        // SAFETY: as above.
        unsafe { set(target, at, unit) };
    }
    target
}

/// Copies a string, or `count` units of it, behind the first `at` units of a buffer of a size, or
/// leaves the buffer empty.
///
/// # Safety
/// The buffer has its size, and the source ends with a terminator or has so many units.
unsafe fn copy_secure<T: Unit>(
    target: *mut T,
    room: u64,
    at: usize,
    source: *const T,
    count: u64,
) -> i32 {
    if target.is_null() || room == 0 {
        return EINVAL;
    }
    let room = size(room);
    let fail = |error| {
        // SAFETY: by this function's contract; there is one unit at least.
        unsafe { set(target, 0, T::default()) };
        error
    };
    if source.is_null() {
        return fail(EINVAL);
    }
    if at >= room {
        return fail(EINVAL);
    }
    let left = room - at;
    let limit = if count == TRUNCATE {
        left
    } else {
        size(count).min(left)
    };
    // SAFETY: as above; no more than that is looked at.
    let text = unsafe { units(source, limit) };
    if text.len() < left {
        // SAFETY: as above.
        unsafe { put(target, at, &text) };
        return 0;
    }
    if count == TRUNCATE {
        // SAFETY: as above.
        unsafe { put(target, at, &text[..left - 1]) };
        return STRUNCATE;
    }
    fail(ERANGE)
}

/// As [`copy_secure`], behind the string that is in the buffer.
///
/// # Safety
/// As for [`copy_secure`].
unsafe fn append_secure<T: Unit>(target: *mut T, room: u64, source: *const T, count: u64) -> i32 {
    if target.is_null() {
        return EINVAL;
    }
    // SAFETY: by this function's contract.
    let at = unsafe { length(target, size(room)) };
    // SAFETY: as above.
    unsafe { copy_secure(target, room, at, source, count) }
}

/// # Safety
/// Both strings end with a terminator, or have so many units.
unsafe fn compare<T: Unit>(one: *const T, two: *const T, count: u64, fold: fn(T) -> T) -> i32 {
    // SAFETY: by this function's contract.
    let one = unsafe { units(one, size(count)) };
    // SAFETY: as above.
    let two = unsafe { units(two, size(count)) };
    let order = one.into_iter().map(fold).cmp(two.into_iter().map(fold));
    order as i32
}

/// Where a unit, which may be the terminator, is first or last.
///
/// # Safety
/// The string ends with a terminator.
unsafe fn find<T: Unit>(text: *const T, unit: T, last: bool) -> *const T {
    // SAFETY: by this function's contract.
    let mut all = unsafe { units(text, usize::MAX) };
    all.push(T::default());
    let is = |one: &T| *one == unit;
    let found = if last {
        all.iter().rposition(is)
    } else {
        all.iter().position(is)
    };
    found.map_or(null(), |at| text.wrapping_add(at))
}

/// # Safety
/// The strings end with a terminator.
unsafe fn find_text<T: Unit>(text: *const T, part: *const T) -> *const T {
    // SAFETY: by this function's contract.
    let all = unsafe { units(text, usize::MAX) };
    // SAFETY: as above.
    let part = unsafe { units(part, usize::MAX) };
    let found = (0..=all.len()).find(|at| all[*at..].starts_with(&part));
    found.map_or(null(), |at| text.wrapping_add(at))
}

/// How many units at the beginning are, or are not, among some.
///
/// # Safety
/// The strings end with a terminator.
unsafe fn span<T: Unit>(text: *const T, set: *const T, among: bool) -> u64 {
    // SAFETY: by this function's contract.
    let all = unsafe { units(text, usize::MAX) };
    // SAFETY: as above.
    let set = unsafe { units(set, usize::MAX) };
    all.iter()
        .take_while(|unit| set.contains(unit) == among)
        .count() as u64
}

/// Changes every unit of a string.
///
/// # Safety
/// The string ends with a terminator.
unsafe fn change<T: Unit>(text: *mut T, to: fn(T) -> T) -> *mut T {
    // SAFETY: by this function's contract.
    for (at, unit) in unsafe { units(text, usize::MAX) }.into_iter().enumerate() {
        // SAFETY: the index is below the length.
        unsafe { set(text, at, to(unit)) };
    }
    text
}

/// A number at the beginning of a string, without its sign, and how many units it takes; 0 for both
/// if there is none.
fn parse<T: Unit>(text: &[T], base: u32) -> (bool, u128, usize) {
    let is = |at: usize, byte: u8| text.get(at).is_some_and(|unit| *unit == T::from(byte));
    let mut at = text.iter().take_while(|unit| unit.is_space()).count();
    let negative = is(at, b'-');
    at += usize::from(negative || is(at, b'+'));
    let hexadecimal = is(at, b'0') && (is(at + 1, b'x') || is(at + 1, b'X'));
    let hexadecimal = hexadecimal && text.get(at + 2).is_some_and(|unit| unit.digit() < 16);
    let base = match base {
        0 | 16 if hexadecimal => {
            at += 2;
            16
        }
        0 if is(at, b'0') => 8,
        0 => 10,
        base => base,
    };
    let rest = text.get(at..).unwrap_or_default();
    let digits = rest
        .iter()
        .map(|unit| unit.digit())
        .take_while(|digit| *digit < base);
    let (mut value, mut count) = (0_u128, 0);
    for digit in digits {
        value = (value * u128::from(base) + u128::from(digit)).min(1 << 80);
        count += 1;
    }
    if count == 0 {
        (false, 0, 0)
    } else {
        (negative, value, at + count)
    }
}

/// A number of the functions that stop at the largest one there is.
///
/// # Safety
/// The string ends with a terminator, and `end` is null or may be written to.
unsafe fn number<T: Unit>(
    text: *const T,
    end: *mut *const T,
    base: i32,
    least: i128,
    most: u128,
) -> i128 {
    let base = u32::try_from(base)
        .ok()
        .filter(|base| *base != 1 && *base <= 36);
    // SAFETY: by this function's contract.
    let all = unsafe { units(text, usize::MAX) };
    let (negative, value, used) = base.map_or((false, 0, 0), |base| parse(&all, base));
    // SAFETY: as above.
    unsafe { super::write(end, text.wrapping_add(used)) };
    let most_signed = i128::try_from(most).unwrap_or(i128::MAX);
    let signed = i128::try_from(value).unwrap_or(i128::MAX);
    if least < 0 {
        return if negative { -signed } else { signed }.clamp(least, most_signed);
    }
    // What is unsigned and has a minus is what is left of it modulo the size.
    let value = signed.min(most_signed);
    if negative && value < most_signed {
        (most_signed + 1 - value) & most_signed
    } else {
        value
    }
}

/// A number of the functions that know no end.
///
/// # Safety
/// The string ends with a terminator.
unsafe fn plain_number<T: Unit>(text: *const T, bits: u32) -> i64 {
    // SAFETY: by this function's contract.
    let all = unsafe { units(text, usize::MAX) };
    let (negative, value, _) = parse(&all, 10);
    let value = i64::try_from(value & u128::from(u64::MAX >> 1)).unwrap_or(0);
    let value = if negative { -value } else { value };
    value << (64 - bits) >> (64 - bits)
}

/// Digits of a number, the sign only in base 10.
fn digits<T: Unit>(value: i64, base: u32, bits: u32) -> Vec<T> {
    let negative = base == 10 && value < 0;
    let magnitude = if negative {
        value.unsigned_abs()
    } else {
        value.cast_unsigned() << (64 - bits) >> (64 - bits)
    };
    let mut rest = magnitude;
    let mut text = Vec::new();
    loop {
        let digit = u32::try_from(rest % u64::from(base)).unwrap_or(0);
        let digit = char::from_digit(digit, base).unwrap_or('0');
        text.push(T::from(u8::try_from(digit).unwrap_or(b'0')));
        rest /= u64::from(base);
        if rest == 0 {
            break;
        }
    }
    if negative {
        text.push(T::from(b'-'));
    }
    text.reverse();
    text
}

/// # Safety
/// There is room for the digits.
unsafe fn put_digits<T: Unit>(value: i32, target: *mut T, base: i32) -> *mut T {
    let base = u32::try_from(base).unwrap_or(0);
    if (2..=36).contains(&base) {
        // SAFETY: by this function's contract.
        unsafe { put(target, 0, &digits(value.into(), base, 32)) };
    }
    target
}

/// # Safety
/// The buffer has its size.
unsafe fn put_digits_secure<T: Unit>(
    value: i64,
    bits: u32,
    target: *mut T,
    room: u64,
    base: i32,
) -> i32 {
    if target.is_null() || room == 0 {
        return EINVAL;
    }
    let base = u32::try_from(base).unwrap_or(0);
    let known = (2..=36).contains(&base);
    let text = if known {
        digits(value, base, bits)
    } else {
        Vec::new()
    };
    if known && text.len() < size(room) {
        // SAFETY: by this function's contract.
        unsafe { put(target, 0, &text) };
        return 0;
    }
    // SAFETY: as above.
    unsafe { set(target, 0, T::default()) };
    if known { ERANGE } else { EINVAL }
}

type Compare = Option<unsafe extern "win64" fn(*const u8, *const u8) -> i32>;

/// An array of a driver, to be sorted or searched.
///
/// # Invariants
/// It has so many elements of that size, and the routine compares two of them.
struct Array {
    base: *mut u8,
    count: usize,
    width: usize,
    compare: unsafe extern "win64" fn(*const u8, *const u8) -> i32,
}

impl Array {
    fn at(&self, index: usize) -> *mut u8 {
        self.base.wrapping_add(index * self.width)
    }

    fn order(&self, one: *const u8, two: *const u8) -> Ordering {
        // SAFETY: by the invariant.
        unsafe { (self.compare)(one, two) }.cmp(&0)
    }

    fn swap(&self, one: usize, two: usize) {
        if one != two {
            // SAFETY: two different elements of the array, by the invariant.
            unsafe { std::ptr::swap_nonoverlapping(self.at(one), self.at(two), self.width) };
        }
    }

    /// Sorts as a heap: in place, and within bounds whatever the routine says.
    fn sort(&self) {
        let sink = |mut at: usize, end: usize| {
            while 2 * at + 1 < end {
                let mut child = 2 * at + 1;
                if child + 1 < end && self.order(self.at(child), self.at(child + 1)).is_lt() {
                    child += 1;
                }
                if self.order(self.at(at), self.at(child)).is_ge() {
                    break;
                }
                self.swap(at, child);
                at = child;
            }
        };
        for at in (0..self.count / 2).rev() {
            sink(at, self.count);
        }
        for end in (1..self.count).rev() {
            self.swap(0, end);
            sink(0, end);
        }
    }

    fn search(&self, key: *const u8) -> *mut u8 {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            match self.order(key, self.at(middle)) {
                Ordering::Less => high = middle,
                Ordering::Greater => low = middle + 1,
                Ordering::Equal => return self.at(middle),
            }
        }
        null_mut()
    }
}

thread_local! {
    static RANDOM: std::cell::Cell<u32> = const { std::cell::Cell::new(1) };
}

/// Whether a unit of Latin is of a class.
fn class(unit: i32, is: fn(&u8) -> bool) -> i32 {
    i32::from(u8::try_from(unit).is_ok_and(|byte| is(&byte)))
}

/// Defines functions, and `resolve`, by the names that the kernel has for them.
macro_rules! library {
    ($(
        $name:literal = unsafe fn $function:ident($($arg:ident : $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
    )*) => {
        /// The functions themselves; each keeps the contract of the C library.
        #[allow(unused_unsafe, reason = "some of them touch no memory")]
        mod functions {
            use super::*;

            fltapi! {
                $(pub(super) unsafe fn $function($($arg: $ty),*) $(-> $ret)? $body)*
            }
        }

        /// The address of one of these functions by its name.
        pub(super) fn resolve(name: &str) -> Option<usize> {
            match name {
                $($name => Some(functions::$function as *const () as usize),)*
                _ => None,
            }
        }
    };
}

/// The same functions for both kinds of strings, and the fixed size of their loops. Every one keeps
/// to what the C library promises of its arguments, and that is all that their safety rests on.
macro_rules! strings {
    ($($unit:ident: $($name:literal = $function:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? => $call:expr;)*)*) => {
        library! {
            $($($name = unsafe fn $function($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: the caller passes strings and buffers as the C library has it.
                unsafe { $call }
            })*)*
        }
    };
}

strings! {
    narrow:
    "strnlen" = strnlen(text: *const u8, count: u64) -> u64 => length(text, size(count)) as u64;
    "strcpy" = strcpy(target: *mut u8, source: *const u8) -> *mut u8 => copy(target, 0, source, usize::MAX);
    "strncpy" = strncpy(target: *mut u8, source: *const u8, count: u64) -> *mut u8 => copy_padded(target, source, size(count));
    "strcat" = strcat(target: *mut u8, source: *const u8) -> *mut u8 => append(target, source, usize::MAX);
    "strncat" = strncat(target: *mut u8, source: *const u8, count: u64) -> *mut u8 => append(target, source, size(count));
    "strncmp" = strncmp(one: *const u8, two: *const u8, count: u64) -> i32 => compare(one, two, count, |unit| unit);
    "_strnicmp" = strnicmp(one: *const u8, two: *const u8, count: u64) -> i32 => compare(one, two, count, Unit::lower);
    "strchr" = strchr(text: *const u8, unit: i32) -> *const u8 => find(text, unit.to_le_bytes()[0], false);
    "strrchr" = strrchr(text: *const u8, unit: i32) -> *const u8 => find(text, unit.to_le_bytes()[0], true);
    "strstr" = strstr(text: *const u8, part: *const u8) -> *const u8 => find_text(text, part);
    "strspn" = strspn(text: *const u8, set: *const u8) -> u64 => span(text, set, true);
    "strcspn" = strcspn(text: *const u8, set: *const u8) -> u64 => span(text, set, false);
    "strcpy_s" = strcpy_s(target: *mut u8, room: u64, source: *const u8) -> i32 => copy_secure(target, room, 0, source, room);
    "strncpy_s" = strncpy_s(target: *mut u8, room: u64, source: *const u8, count: u64) -> i32 => copy_secure(target, room, 0, source, count);
    "strcat_s" = strcat_s(target: *mut u8, room: u64, source: *const u8) -> i32 => append_secure(target, room, source, room);
    "strncat_s" = strncat_s(target: *mut u8, room: u64, source: *const u8, count: u64) -> i32 => append_secure(target, room, source, count);
    "_strlwr" = strlwr(text: *mut u8) -> *mut u8 => change(text, Unit::lower);
    "_strupr" = strupr(text: *mut u8) -> *mut u8 => change(text, Unit::upper);
    "atoi" = atoi(text: *const u8) -> i32 => i32::try_from(plain_number(text, 32)).unwrap_or(0);
    "atol" = atol(text: *const u8) -> i32 => i32::try_from(plain_number(text, 32)).unwrap_or(0);
    "_atoi64" = atoi64(text: *const u8) -> i64 => plain_number(text, 64);
    "strtol" = strtol(text: *const u8, end: *mut *const u8, base: i32) -> i32 => i32::try_from(number(text, end, base, i32::MIN.into(), i32::MAX.unsigned_abs().into())).unwrap_or(0);
    "strtoul" = strtoul(text: *const u8, end: *mut *const u8, base: i32) -> u32 => u32::try_from(number(text, end, base, 0, u32::MAX.into())).unwrap_or(0);
    "_strtoui64" = strtoui64(text: *const u8, end: *mut *const u8, base: i32) -> u64 => u64::try_from(number(text, end, base, 0, u64::MAX.into())).unwrap_or(0);
    "_itoa" = itoa(value: i32, target: *mut u8, base: i32) -> *mut u8 => put_digits(value, target, base);
    "_itoa_s" = itoa_s(value: i32, target: *mut u8, room: u64, base: i32) -> i32 => put_digits_secure(value.into(), 32, target, room, base);
    "_i64toa_s" = i64toa_s(value: i64, target: *mut u8, room: u64, base: i32) -> i32 => put_digits_secure(value, 64, target, room, base);

    wide:
    "wcsnlen" = wcsnlen(text: *const u16, count: u64) -> u64 => length(text, size(count)) as u64;
    "wcscpy" = wcscpy(target: *mut u16, source: *const u16) -> *mut u16 => copy(target, 0, source, usize::MAX);
    "wcsncpy" = wcsncpy(target: *mut u16, source: *const u16, count: u64) -> *mut u16 => copy_padded(target, source, size(count));
    "wcscat" = wcscat(target: *mut u16, source: *const u16) -> *mut u16 => append(target, source, usize::MAX);
    "wcsncat" = wcsncat(target: *mut u16, source: *const u16, count: u64) -> *mut u16 => append(target, source, size(count));
    "wcsspn" = wcsspn(text: *const u16, set: *const u16) -> u64 => span(text, set, true);
    "wcscspn" = wcscspn(text: *const u16, set: *const u16) -> u64 => span(text, set, false);
    "wcscpy_s" = wcscpy_s(target: *mut u16, room: u64, source: *const u16) -> i32 => copy_secure(target, room, 0, source, room);
    "wcsncpy_s" = wcsncpy_s(target: *mut u16, room: u64, source: *const u16, count: u64) -> i32 => copy_secure(target, room, 0, source, count);
    "wcscat_s" = wcscat_s(target: *mut u16, room: u64, source: *const u16) -> i32 => append_secure(target, room, source, room);
    "wcsncat_s" = wcsncat_s(target: *mut u16, room: u64, source: *const u16, count: u64) -> i32 => append_secure(target, room, source, count);
    "_wcslwr" = wcslwr(text: *mut u16) -> *mut u16 => change(text, Unit::lower);
    "_wcsupr" = wcsupr(text: *mut u16) -> *mut u16 => change(text, Unit::upper);
    "_wtoi" = wtoi(text: *const u16) -> i32 => i32::try_from(plain_number(text, 32)).unwrap_or(0);
    "_wtol" = wtol(text: *const u16) -> i32 => i32::try_from(plain_number(text, 32)).unwrap_or(0);
    "wcstoul" = wcstoul(text: *const u16, end: *mut *const u16, base: i32) -> u32 => u32::try_from(number(text, end, base, 0, u32::MAX.into())).unwrap_or(0);
    "_wcstoui64" = wcstoui64(text: *const u16, end: *mut *const u16, base: i32) -> u64 => u64::try_from(number(text, end, base, 0, u64::MAX.into())).unwrap_or(0);
    "_itow" = itow(value: i32, target: *mut u16, base: i32) -> *mut u16 => put_digits(value, target, base);
    "_itow_s" = itow_s(value: i32, target: *mut u16, room: u64, base: i32) -> i32 => put_digits_secure(value.into(), 32, target, room, base);
    "_i64tow_s" = i64tow_s(value: i64, target: *mut u16, room: u64, base: i32) -> i32 => put_digits_secure(value, 64, target, room, base);

    memory:
    "memchr" = memchr(memory: *const u8, byte: i32, count: u64) -> *const u8 => find_byte(memory, byte.to_le_bytes()[0], size(count));
    "memcpy_s" = memcpy_s(target: *mut u8, room: u64, source: *const u8, count: u64) -> i32 => copy_bytes(target, room, source, count, true);
    "memmove_s" = memmove_s(target: *mut u8, room: u64, source: *const u8, count: u64) -> i32 => copy_bytes(target, room, source, count, false);
    "qsort" = qsort(base: *mut u8, count: u64, width: u64, compare: Compare) => sort(base, count, width, compare);
    "bsearch" = bsearch(key: *const u8, base: *mut u8, count: u64, width: u64, compare: Compare) -> *mut u8 => search(key, base, count, width, compare);
    "tolower" = tolower(unit: i32) -> i32 => u8::try_from(unit).map_or(unit, |byte| byte.to_ascii_lowercase().into());
    "toupper" = toupper(unit: i32) -> i32 => u8::try_from(unit).map_or(unit, |byte| byte.to_ascii_uppercase().into());
    "isdigit" = isdigit(unit: i32) -> i32 => class(unit, u8::is_ascii_digit);
    "isxdigit" = isxdigit(unit: i32) -> i32 => class(unit, u8::is_ascii_hexdigit);
    "isalpha" = isalpha(unit: i32) -> i32 => class(unit, u8::is_ascii_alphabetic);
    "isalnum" = isalnum(unit: i32) -> i32 => class(unit, u8::is_ascii_alphanumeric);
    "isupper" = isupper(unit: i32) -> i32 => class(unit, u8::is_ascii_uppercase);
    "islower" = islower(unit: i32) -> i32 => class(unit, u8::is_ascii_lowercase);
    "isprint" = isprint(unit: i32) -> i32 => class(unit, |byte| matches!(byte, 32..=126));
    "isspace" = isspace(unit: i32) -> i32 => class(unit, |byte| byte.is_space());
    "iswdigit" = iswdigit(unit: u16) -> i32 => class(unit.into(), u8::is_ascii_digit);
    "iswxdigit" = iswxdigit(unit: u16) -> i32 => class(unit.into(), u8::is_ascii_hexdigit);
    "iswspace" = iswspace(unit: u16) -> i32 => class(unit.into(), |byte| byte.is_space());
    "iswalpha" = iswalpha(unit: u16) -> i32 => i32::from(char::from_u32(unit.into()).is_some_and(char::is_alphabetic));
    "iswalnum" = iswalnum(unit: u16) -> i32 => i32::from(char::from_u32(unit.into()).is_some_and(char::is_alphanumeric));
    "srand" = srand(seed: u32) => RANDOM.set(seed);
    "rand" = rand() -> i32 => random();
}

/// The next number of the C library's generator.
fn random() -> i32 {
    let next = RANDOM.get().wrapping_mul(214_013).wrapping_add(2_531_011);
    RANDOM.set(next);
    (next >> 16 & 0x7FFF).cast_signed()
}

/// # Safety
/// The memory has so many bytes, or the byte before.
unsafe fn find_byte(memory: *const u8, byte: u8, count: usize) -> *const u8 {
    // SAFETY: by this function's contract.
    let found = (0..count).find(|at| unsafe { get(memory, *at) } == byte);
    found.map_or(null(), |at| memory.wrapping_add(at))
}

/// # Safety
/// Both have their sizes.
unsafe fn copy_bytes(
    target: *mut u8,
    room: u64,
    source: *const u8,
    count: u64,
    clear: bool,
) -> i32 {
    if count == 0 {
        return 0;
    }
    if target.is_null() {
        return EINVAL;
    }
    if source.is_null() || room < count {
        if clear {
            // SAFETY: by this function's contract.
            unsafe { target.write_bytes(0, size(room)) };
        }
        return if source.is_null() { EINVAL } else { ERANGE };
    }
    // SAFETY: as above.
    unsafe { std::ptr::copy(source, target, size(count)) };
    0
}

/// # Safety
/// An array of so many elements, and a routine that compares two of them.
unsafe fn sort(base: *mut u8, count: u64, width: u64, compare: Compare) {
    if let Some(compare) = compare {
        let (count, width) = (size(count), size(width));
        Array {
            base,
            count,
            width,
            compare,
        }
        .sort();
    }
}

/// # Safety
/// As for [`sort`].
unsafe fn search(
    key: *const u8,
    base: *mut u8,
    count: u64,
    width: u64,
    compare: Compare,
) -> *mut u8 {
    let (count, width) = (size(count), size(width));
    compare.map_or(null_mut(), |compare| {
        Array {
            base,
            count,
            width,
            compare,
        }
        .search(key)
    })
}
