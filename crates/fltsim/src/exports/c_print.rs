//! The printing functions of the C library, which the kernel exports and the safe string functions
//! of the headers are built on.

use crate::kernel::debug_print;
use fltmgr_sys::*;

/// `_TRUNCATE`.
const TRUNCATE: u64 = u64::MAX;

/// What the text is made of.
trait Unit: Copy + Default {
    /// Formats in these units.
    ///
    /// # Safety
    /// `format` is a terminated string, and the arguments are as it says.
    unsafe fn format(format: *const Self, arguments: *const u64) -> Vec<Self>;
}

impl Unit for u8 {
    unsafe fn format(format: *const Self, arguments: *const u64) -> Vec<Self> {
        // SAFETY: by this function's contract.
        unsafe { debug_print::format(format.cast(), arguments) }.into_bytes()
    }
}

impl Unit for u16 {
    unsafe fn format(format: *const Self, arguments: *const u64) -> Vec<Self> {
        // SAFETY: by this function's contract.
        let text = unsafe { debug_print::format_wide(format, arguments) };
        text.encode_utf16().collect()
    }
}

/// Writes the first so many units of a text.
///
/// # Safety
/// `target` has room for them.
unsafe fn put<T: Unit>(target: *mut T, text: &[T], count: usize) {
    for (index, unit) in text.iter().take(count).enumerate() {
        // SAFETY: by this function's contract.
        unsafe { target.wrapping_add(index).write_unaligned(*unit) };
    }
}

/// # Safety
/// `target` has room for one unit at an index.
unsafe fn end<T: Unit>(target: *mut T, at: usize) {
    // SAFETY: by this function's contract.
    unsafe { target.wrapping_add(at).write_unaligned(T::default()) };
}

fn length(units: usize) -> i32 {
    i32::try_from(units).unwrap_or(-1)
}

/// Prints into a buffer of a size that is not checked.
///
/// # Safety
/// The format and the arguments fit, and the buffer is large enough.
unsafe fn unbounded<T: Unit>(target: *mut T, format: *const T, arguments: *const u64) -> i32 {
    // SAFETY: by this function's contract.
    let text = unsafe { T::format(format, arguments) };
    // SAFETY: as above.
    unsafe { put(target, &text, text.len()) };
    // SAFETY: as above.
    unsafe { end(target, text.len()) };
    length(text.len())
}

/// Prints at most so many units, with a terminator if there is room for one. Gives -1 if there was
/// more.
///
/// # Safety
/// The format and the arguments fit, and the buffer has room for so many units.
unsafe fn bounded<T: Unit>(
    target: *mut T,
    count: u64,
    format: *const T,
    arguments: *const u64,
) -> i32 {
    // SAFETY: by this function's contract.
    let text = unsafe { T::format(format, arguments) };
    let room = usize::try_from(count).unwrap_or(usize::MAX);
    // SAFETY: as above.
    unsafe { put(target, &text, room) };
    if text.len() < room {
        // SAFETY: as above.
        unsafe { end(target, text.len()) };
    }
    if text.len() > room {
        -1
    } else {
        length(text.len())
    }
}

/// Prints at most so many units into a buffer, always with a terminator. Gives -1 if there was more;
/// the buffer is then empty, unless it was large enough for what was asked for.
///
/// # Safety
/// The format and the arguments fit, and the buffer has its size.
unsafe fn secure<T: Unit>(
    target: *mut T,
    size: u64,
    count: u64,
    format: *const T,
    arguments: *const u64,
) -> i32 {
    if target.is_null() || size == 0 || format.is_null() {
        return -1;
    }
    // SAFETY: by this function's contract.
    let text = unsafe { T::format(format, arguments) };
    let room = usize::try_from(size - 1).unwrap_or(usize::MAX);
    let wanted = match count {
        TRUNCATE => room,
        count => usize::try_from(count).unwrap_or(usize::MAX),
    };
    let used = text.len().min(wanted);
    let used = if used > room { 0 } else { used };
    // SAFETY: as above.
    unsafe { put(target, &text, used) };
    // SAFETY: as above.
    unsafe { end(target, used) };
    if used < text.len() { -1 } else { length(used) }
}

fltapi! {
    /// # Safety
    /// For all of these: by the contract of the C library.
    unsafe fn vsprintf(target: *mut u8, format: *const u8, arguments: *const u64) -> i32 {
        // SAFETY: by this function's contract.
        unsafe { unbounded(target, format, arguments) }
    }

    /// # Safety
    /// As for `vsprintf`.
    unsafe fn vswprintf(target: *mut u16, format: *const u16, arguments: *const u64) -> i32 {
        // SAFETY: by this function's contract.
        unsafe { unbounded(target, format, arguments) }
    }

    /// # Safety
    /// As for `vsprintf`.
    unsafe fn vsnprintf(
        target: *mut u8,
        count: u64,
        format: *const u8,
        arguments: *const u64,
    ) -> i32 {
        // SAFETY: by this function's contract.
        unsafe { bounded(target, count, format, arguments) }
    }

    /// # Safety
    /// As for `vsprintf`.
    unsafe fn vsnwprintf(
        target: *mut u16,
        count: u64,
        format: *const u16,
        arguments: *const u64,
    ) -> i32 {
        // SAFETY: by this function's contract.
        unsafe { bounded(target, count, format, arguments) }
    }

    /// # Safety
    /// As for `vsprintf`.
    unsafe fn vsprintf_s(
        target: *mut u8,
        size: u64,
        format: *const u8,
        arguments: *const u64,
    ) -> i32 {
        // SAFETY: by this function's contract.
        unsafe { secure(target, size, u64::MAX - 1, format, arguments) }
    }

    /// # Safety
    /// As for `vsprintf`.
    unsafe fn vswprintf_s(
        target: *mut u16,
        size: u64,
        format: *const u16,
        arguments: *const u64,
    ) -> i32 {
        // SAFETY: by this function's contract.
        unsafe { secure(target, size, u64::MAX - 1, format, arguments) }
    }

    /// # Safety
    /// As for `vsprintf`.
    unsafe fn vsnprintf_s(
        target: *mut u8,
        size: u64,
        count: u64,
        format: *const u8,
        arguments: *const u64,
    ) -> i32 {
        // SAFETY: by this function's contract.
        unsafe { secure(target, size, count, format, arguments) }
    }

    /// # Safety
    /// As for `vsprintf`.
    unsafe fn vsnwprintf_s(
        target: *mut u16,
        size: u64,
        count: u64,
        format: *const u16,
        arguments: *const u64,
    ) -> i32 {
        // SAFETY: by this function's contract.
        unsafe { secure(target, size, count, format, arguments) }
    }

    /// # Safety
    /// As for `vsprintf`.
    unsafe fn debug_print_ex(
        _component: ULONG,
        _level: ULONG,
        format: *const u8,
        arguments: *const u64,
    ) -> ULONG {
        // SAFETY: by this function's contract.
        unsafe { print_prefixed("vDbgPrintEx", std::ptr::null(), format, arguments) }
    }

    /// # Safety
    /// As for `vsprintf`.
    unsafe fn debug_print_ex_with_prefix(
        prefix: *const u8,
        _component: ULONG,
        _level: ULONG,
        format: *const u8,
        arguments: *const u64,
    ) -> ULONG {
        // SAFETY: by this function's contract.
        unsafe { print_prefixed("vDbgPrintExWithPrefix", prefix, format, arguments) }
    }
}

/// # Safety
/// `prefix` is null or a terminated string; the format and the arguments fit.
unsafe fn print_prefixed(
    call: &'static str,
    prefix: *const u8,
    format: *const u8,
    arguments: *const u64,
) -> ULONG {
    // SAFETY: by this function's contract.
    let prefix = unsafe { super::rtl::terminated_bytes(prefix.cast()) };
    let prefix = String::from_utf8_lossy(&prefix);
    // SAFETY: as above.
    unsafe { super::kernel::print_as(call, &prefix, format.cast(), arguments) }
}

/// A function with variable arguments: it stores those that came in registers where the others
/// follow, and passes their address on, which is all that a list of arguments is.
macro_rules! variadic {
    ($name:ident(2) => $target:path) => {
        variadic! { $name, $target,
            "mov [rsp + 24], r8",
            "mov [rsp + 32], r9",
            "lea r8, [rsp + 24]",
            "sub rsp, 40",
            "call {target}",
            "add rsp, 40",
        }
    };
    ($name:ident(3) => $target:path) => {
        variadic! { $name, $target,
            "mov [rsp + 32], r9",
            "lea r9, [rsp + 32]",
            "sub rsp, 40",
            "call {target}",
            "add rsp, 40",
        }
    };
    ($name:ident(4) => $target:path) => {
        variadic! { $name, $target,
            "lea rax, [rsp + 40]",
            "sub rsp, 56",
            "mov [rsp + 32], rax",
            "call {target}",
            "add rsp, 56",
        }
    };
    ($name:ident, $target:path, $($line:literal,)*) => {
        #[unsafe(naked)]
        unsafe extern "win64" fn $name() {
            std::arch::naked_asm!($($line,)* "ret", target = sym $target)
        }
    };
}

variadic! { sprintf(2) => vsprintf }
variadic! { swprintf(2) => vswprintf }
variadic! { snprintf(3) => vsnprintf }
variadic! { snwprintf(3) => vsnwprintf }
variadic! { sprintf_s(3) => vsprintf_s }
variadic! { swprintf_s(3) => vswprintf_s }
variadic! { snprintf_s(4) => vsnprintf_s }
variadic! { snwprintf_s(4) => vsnwprintf_s }

/// The address of one of these functions by its name.
pub(super) fn resolve(name: &str) -> Option<usize> {
    let function = match name {
        "sprintf" => sprintf as *const (),
        "swprintf" => swprintf as *const (),
        "_snprintf" => snprintf as *const (),
        "_snwprintf" => snwprintf as *const (),
        "sprintf_s" => sprintf_s as *const (),
        "swprintf_s" => swprintf_s as *const (),
        "_snprintf_s" => snprintf_s as *const (),
        "_snwprintf_s" => snwprintf_s as *const (),
        "vsprintf" => vsprintf as *const (),
        "_vswprintf" => vswprintf as *const (),
        "_vsnprintf" => vsnprintf as *const (),
        "_vsnwprintf" => vsnwprintf as *const (),
        "vsprintf_s" => vsprintf_s as *const (),
        "vswprintf_s" => vswprintf_s as *const (),
        "_vsnprintf_s" => vsnprintf_s as *const (),
        "_vsnwprintf_s" => vsnwprintf_s as *const (),
        "vDbgPrintEx" => debug_print_ex as *const (),
        "vDbgPrintExWithPrefix" => debug_print_ex_with_prefix as *const (),
        _ => return None,
    };
    Some(function as usize)
}
