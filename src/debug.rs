//! Printing to the kernel debugger.

use core::fmt::{self, Write as _};

use fltmgr_sys as sys;

/// Bytes that the kernel debugger takes in one call, the terminating NUL included.
const CAPACITY: usize = 512;
/// Bytes of text: the last two are for the line's end and a NUL.
const ROOM: usize = CAPACITY - 2;

/// A line being put together on the stack; what does not fit is cut off.
struct Line {
    bytes: [u8; CAPACITY],
    length: usize,
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let free = self.bytes.get_mut(self.length..ROOM).unwrap_or_default();
        for (place, byte) in free.iter_mut().zip(text.bytes()) {
            *place = byte;
        }
        // Not saturated: at most ROOM.
        self.length = self.length.saturating_add(free.len().min(text.len()));
        Ok(())
    }
}

/// Prints to the kernel debugger; use it through [`debug_print!`](crate::debug_print).
#[doc(hidden)]
pub fn print(arguments: fmt::Arguments<'_>) {
    let mut line = Line {
        bytes: [0; CAPACITY],
        length: 0,
    };
    // Neither `Line` nor the formatted values have anything to fail with; a cut line still counts.
    let _ = line.write_fmt(arguments);
    if let Some(end) = line.bytes.get_mut(line.length) {
        *end = b'\n';
    }
    // SAFETY: the format takes one string, and both strings are NUL-terminated.
    unsafe {
        sys::DbgPrintEx(
            sys::DPFLTR_IHVDRIVER_ID,
            sys::DPFLTR_ERROR_LEVEL,
            c"%s".as_ptr().cast(),
            line.bytes.as_ptr(),
        )
    };
}

/// Prints a formatted line to the kernel debugger: `debug_print!("{n} files")`.
///
/// At most 510 bytes and the line's end; the rest is cut off. DDI: `DbgPrintEx`. IRQL: any, as
/// long as the arguments lie in nonpaged memory.
///
/// Formatting cannot panic, with one exception: `{:?}` of a string or a character, i.e. text in
/// quotes, brings in checks of `core` that end in its panic handler. They never fail, but they are
/// in the driver. `{}` has none.
#[macro_export]
macro_rules! debug_print {
    ($($argument:tt)*) => {
        $crate::debug::print(::core::format_args!($($argument)*))
    };
}
