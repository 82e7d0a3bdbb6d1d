//! `DbgPrint`: formatting as the kernel does, with arguments that the driver laid out in memory.

use super::string;
use crate::kernel::scope;
use fltmgr_sys::UNICODE_STRING;

/// The variable arguments of a call: eight bytes each, one after the other.
struct Arguments {
    next: *const u64,
}

impl Arguments {
    /// # Safety
    /// The call has at least one more argument.
    unsafe fn take(&mut self) -> u64 {
        // SAFETY: readable by this function's contract.
        let value = unsafe { self.next.read() };
        self.next = self.next.wrapping_add(1);
        value
    }
}

/// One conversion of a format string, between `%` and its letter.
#[allow(
    clippy::struct_excessive_bools,
    reason = "the flags of printf are independent of each other"
)]
#[derive(Default)]
struct Conversion {
    left: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
    wide: bool,
    narrow: bool,
    /// Whether the format itself is wide, which changes what `%s` and `%S` mean.
    wide_format: bool,
    bits: u32,
}

/// A formatted message.
pub(crate) struct Message {
    pub(crate) text: String,
    /// Whether something of it was Unicode before. The tables for that are paged.
    pub(crate) is_unicode: bool,
}

/// Formats a message, and tells what it was made of.
///
/// # Safety
/// `format` is a C string, and the arguments are as it says.
pub(crate) unsafe fn message(format: *const i8, arguments: *const u64) -> Message {
    // SAFETY: a C string by this function's contract.
    let format = unsafe { c_string(format.cast(), None) };
    // SAFETY: as above.
    unsafe { expand(&format, false, arguments) }
}

/// Formats a message.
///
/// # Safety
/// As for [`message`].
pub(crate) unsafe fn format(format: *const i8, arguments: *const u64) -> String {
    // SAFETY: passed on to the caller.
    unsafe { message(format, arguments) }.text
}

/// Formats a message by a wide format.
///
/// # Safety
/// `format` is a terminated wide string, and the arguments are as it says.
pub(crate) unsafe fn format_wide(format: *const u16, arguments: *const u64) -> String {
    // SAFETY: a terminated string by this function's contract.
    let format = unsafe { wide_string(format, usize::MAX) };
    // SAFETY: as above.
    unsafe { expand(&format, true, arguments) }.text
}

/// # Safety
/// The arguments are as the format says.
unsafe fn expand(format: &str, wide_format: bool, arguments: *const u64) -> Message {
    let mut arguments = Arguments { next: arguments };
    let mut output = String::new();
    let mut is_unicode = false;
    let mut rest = format.chars().peekable();
    while let Some(character) = rest.next() {
        if character != '%' {
            output.push(character);
            continue;
        }
        let mut conversion = Conversion {
            bits: 32,
            wide_format,
            ..Conversion::default()
        };
        while let Some(flag) = rest.next_if(|next| "-+ #0".contains(*next)) {
            match flag {
                '-' => conversion.left = true,
                '+' => conversion.plus = true,
                ' ' => conversion.space = true,
                '#' => conversion.alternate = true,
                _ => conversion.zero = true,
            }
        }
        // SAFETY: the arguments are as the format says.
        if let Some(width) = unsafe { number(&mut rest, &mut arguments) } {
            conversion.left |= width < 0;
            conversion.width = usize::try_from(width.unsigned_abs()).unwrap_or(0);
        }
        if rest.next_if_eq(&'.').is_some() {
            // SAFETY: as above.
            let precision = unsafe { number(&mut rest, &mut arguments) }.unwrap_or(0);
            conversion.precision = usize::try_from(precision).ok();
        }
        size(&mut rest, &mut conversion);
        let Some(letter) = rest.next() else {
            break;
        };
        is_unicode |= conversion.is_wide(letter);
        // SAFETY: as above.
        unsafe { convert(letter, &conversion, &mut arguments, &mut output) };
    }
    Message {
        text: output,
        is_unicode,
    }
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Reads a width or a precision, which may be an argument.
///
/// # Safety
/// If it is an argument, the call has one more.
unsafe fn number(rest: &mut Rest<'_>, arguments: &mut Arguments) -> Option<i64> {
    if rest.next_if_eq(&'*').is_some() {
        // SAFETY: by this function's contract.
        let value = unsafe { arguments.take() };
        return Some(i64::from(low(value).cast_signed()));
    }
    let mut value = None;
    while let Some(digit) = rest.next_if(char::is_ascii_digit) {
        let digit = i64::from(digit.to_digit(10).unwrap_or(0));
        value = Some(value.unwrap_or(0_i64).saturating_mul(10) + digit);
    }
    value
}

/// The low half of an argument, which is all that a 32-bit one has.
fn low(value: u64) -> u32 {
    u32::try_from(value & 0xFFFF_FFFF).unwrap_or(0)
}

/// Reads the size prefixes.
fn size(rest: &mut Rest<'_>, conversion: &mut Conversion) {
    loop {
        match rest.peek() {
            Some('l') => {
                rest.next();
                conversion.wide = true;
                if rest.next_if_eq(&'l').is_some() {
                    conversion.bits = 64;
                }
            }
            Some('h') => {
                rest.next();
                conversion.narrow = true;
                let shorter = rest.next_if_eq(&'h').is_some();
                conversion.bits = if shorter { 8 } else { 16 };
            }
            Some('w') => {
                rest.next();
                conversion.wide = true;
            }
            Some('z' | 'j' | 't') => {
                rest.next();
                conversion.bits = 64;
            }
            Some('I') => {
                rest.next();
                conversion.bits = 64;
                if rest.next_if_eq(&'3').is_some() {
                    rest.next_if_eq(&'2');
                    conversion.bits = 32;
                } else if rest.next_if_eq(&'6').is_some() {
                    rest.next_if_eq(&'4');
                }
            }
            _ => return,
        }
    }
}

/// Converts one argument.
///
/// # Safety
/// The call has an argument as the letter says.
unsafe fn convert(
    letter: char,
    conversion: &Conversion,
    arguments: &mut Arguments,
    output: &mut String,
) {
    if letter == '%' {
        output.push('%');
        return;
    }
    if !"diouxXpcCsSZ".contains(letter) {
        output.push('%');
        output.push(letter);
        return;
    }
    // SAFETY: every one of these letters takes one argument.
    let value = unsafe { arguments.take() };
    let shift = 64 - conversion.bits;
    let unsigned = value << shift >> shift;
    let signed = (value << shift).cast_signed() >> shift;
    match letter {
        'd' | 'i' => {
            let sign = match signed {
                ..0 => "-",
                _ if conversion.plus => "+",
                _ if conversion.space => " ",
                _ => "",
            };
            conversion.put_number(output, sign, &signed.unsigned_abs().to_string());
        }
        'u' => conversion.put_number(output, "", &unsigned.to_string()),
        'o' => conversion.put_number(output, "", &format!("{unsigned:o}")),
        'x' => {
            let prefix = if conversion.alternate && unsigned != 0 {
                "0x"
            } else {
                ""
            };
            conversion.put_number(output, prefix, &format!("{unsigned:x}"));
        }
        'X' => {
            let prefix = if conversion.alternate && unsigned != 0 {
                "0X"
            } else {
                ""
            };
            conversion.put_number(output, prefix, &format!("{unsigned:X}"));
        }
        'p' => conversion.put_text(output, &format!("{value:016X}")),
        'c' | 'C' => {
            let character = char::from_u32(low(value) & 0xFFFF).unwrap_or('\u{FFFD}');
            conversion.put_text(output, &character.to_string());
        }
        _ => {
            // SAFETY: the argument is a string of the kind that the letter says.
            let text = unsafe { text(letter, conversion, value) };
            conversion.put_text(output, &text);
        }
    }
}

/// Reads the string that an argument points to.
///
/// # Safety
/// `value` is null or points to a string of the kind that the letter and the prefix say.
unsafe fn text(letter: char, conversion: &Conversion, value: u64) -> String {
    let Ok(address) = usize::try_from(value) else {
        return String::new();
    };
    if address == 0 {
        return "(null)".to_owned();
    }
    let wide = conversion.is_wide(letter);
    if letter == 'Z' {
        let counted = address as *const UNICODE_STRING;
        if wide {
            // SAFETY: a counted wide string by this function's contract.
            return unsafe { string::read(counted) }.unwrap_or_default();
        }
        // SAFETY: a counted narrow string, which has the same layout.
        let header = unsafe { counted.read() };
        let length = usize::from(header.Length);
        // SAFETY: the string has that many bytes.
        return unsafe { c_string(header.Buffer.cast(), Some(length)) };
    }
    if !wide {
        // SAFETY: a C string by this function's contract.
        return unsafe { c_string(address as *const u8, conversion.precision) };
    }
    let limit = conversion.precision.unwrap_or(usize::MAX);
    // SAFETY: a terminated wide string by this function's contract.
    unsafe { wide_string(address as *const u16, limit) }
}

/// Reads a wide string up to its terminator or a limit.
///
/// # Safety
/// `first` points to a terminated string, or has `limit` readable units.
unsafe fn wide_string(first: *const u16, limit: usize) -> String {
    let mut units = 0;
    // SAFETY: no unit before this one was the terminator, so this one exists.
    while units < limit && unsafe { first.wrapping_add(units).read_unaligned() } != 0 {
        units += 1;
    }
    // SAFETY: that many units were just read.
    unsafe { string::read_units(first, units) }
}

/// Reads a narrow string up to its terminator or a limit.
///
/// # Safety
/// `first` points to a terminated string, or has `limit` readable bytes.
unsafe fn c_string(first: *const u8, limit: Option<usize>) -> String {
    let limit = limit.unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    while bytes.len() < limit {
        // SAFETY: no byte before this one was the terminator, so this one exists.
        let byte = unsafe { first.wrapping_add(bytes.len()).read() };
        if byte == 0 {
            break;
        }
        bytes.push(byte);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Conversion {
    /// Whether the argument is a character or a string of UTF-16.
    fn is_wide(&self, letter: char) -> bool {
        match letter {
            'S' | 'C' => self.wide || self.wide_format == self.narrow,
            's' | 'c' => self.wide || (self.wide_format && !self.narrow),
            'Z' => self.wide,
            _ => false,
        }
    }

    fn put_number(&self, output: &mut String, sign: &str, digits: &str) {
        let minimum = self.precision.unwrap_or(1);
        let zeroes = minimum.saturating_sub(digits.len());
        let mut digits = "0".repeat(zeroes) + digits;
        if self.zero && !self.left && self.precision.is_none() {
            let fill = self.width.saturating_sub(sign.len() + digits.len());
            digits = "0".repeat(fill) + &digits;
        }
        self.pad(output, &format!("{sign}{digits}"));
    }

    fn put_text(&self, output: &mut String, text: &str) {
        match self.precision {
            Some(precision) => {
                let cut: String = text.chars().take(precision).collect();
                self.pad(output, &cut);
            }
            None => self.pad(output, text),
        }
    }

    fn pad(&self, output: &mut String, text: &str) {
        let blanks = " ".repeat(self.width.saturating_sub(text.chars().count()));
        if self.left {
            output.push_str(text);
            output.push_str(&blanks);
        } else {
            output.push_str(&blanks);
            output.push_str(text);
        }
    }
}

/// Keeps a message, or shows it if there is no machine to keep it.
pub(crate) fn print(message: &str) {
    let message = message.trim_end_matches(['\n', '\r']);
    match scope::machine() {
        Some(machine) => machine.debug.lock().push(message.to_owned()),
        None => eprintln!("{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::string::Owned;

    fn formatted(text: &std::ffi::CStr, arguments: &[u64]) -> String {
        // SAFETY: a C string, and every test passes the arguments that it needs.
        unsafe { format(text.as_ptr(), arguments.as_ptr()) }
    }

    #[test]
    fn integers() {
        assert_eq!(formatted(c"%d %i", &[0xFFFF_FFFF, 7]), "-1 7");
        assert_eq!(formatted(c"%u %lu", &[0xFFFF_FFFF, 3]), "4294967295 3");
        assert_eq!(formatted(c"%x %X %#x", &[255, 255, 255]), "ff FF 0xff");
        assert_eq!(
            formatted(c"%08lx|%5d|%-5d|", &[0xBEEF, 42, 42]),
            "0000beef|   42|42   |"
        );
        assert_eq!(
            formatted(c"%I64d %I64x", &[u64::MAX, u64::MAX]),
            "-1 ffffffffffffffff"
        );
        assert_eq!(
            formatted(c"%llu %zu", &[u64::MAX, 5]),
            "18446744073709551615 5"
        );
        assert_eq!(
            formatted(c"%+d %.3d %hd", &[1, 7, 0x1_8000]),
            "+1 007 -32768"
        );
    }

    #[test]
    fn pointers_characters_and_percent() {
        assert_eq!(formatted(c"%p", &[0xABC]), "0000000000000ABC");
        assert_eq!(formatted(c"%c%c 100%%", &[65, 66]), "AB 100%");
        assert_eq!(formatted(c"%q", &[]), "%q");
    }

    #[test]
    fn widths_from_arguments() {
        assert_eq!(formatted(c"%*d|", &[4, 7]), "   7|");
        let minus_four = u64::from((-4_i32).cast_unsigned());
        assert_eq!(formatted(c"%*d|", &[minus_four, 7]), "7   |");
        let text = c"abcdef";
        assert_eq!(formatted(c"%.*s|", &[3, text.as_ptr() as u64]), "abc|");
    }

    #[test]
    fn strings() {
        let narrow = c"narrow".as_ptr() as u64;
        let wide: Vec<u16> = "wide\0".encode_utf16().collect();
        let wide = wide.as_ptr() as u64;
        let counted = Owned::new("counted");
        let counted = counted.pointer() as u64;
        assert_eq!(
            formatted(c"%s %10s|", &[narrow, narrow]),
            "narrow     narrow|"
        );
        assert_eq!(
            formatted(c"%S %ws %ls", &[wide, wide, wide]),
            "wide wide wide"
        );
        assert_eq!(formatted(c"%wZ", &[counted]), "counted");
        assert_eq!(formatted(c"%s", &[0]), "(null)");
    }
}
