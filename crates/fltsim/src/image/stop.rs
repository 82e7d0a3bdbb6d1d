//! The end of a driver: a bugcheck, told to whoever watches the process.
//!
//! This may run in a signal handler, on any thread, with any lock held: nothing here allocates or
//! locks. The report is put together in memory of its own and written at once.

use super::context::Context;
use super::unwind::{self, stack};
use super::{find, thread, trap};
use crate::kernel::irql;
use std::fmt::{self, Write};
use std::io::{self, PipeReader};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

/// How many frames a report shows.
const MOST_FRAMES: usize = 40;
/// How far up the stack the next frame of an image is looked for.
const SCAN: u64 = 64 * 1024;
/// What a process ends with after a report.
const EXIT_STATUS: i32 = 1;
/// How many seconds a process waits for what else there is to say about a driver that has stopped.
const LAST_WORDS: u32 = 5;
/// How long the threads have to say where they are.
const ANSWER: Duration = Duration::from_secs(1);
const MANUALLY_INITIATED_CRASH: u32 = 0xE2;

/// Where reports go, as JSON; negative for text on standard error and `SIGABRT`.
static OUTPUT: AtomicI32 = AtomicI32::new(-1);
static STOPPING: AtomicBool = AtomicBool::new(false);

/// Where the thread is told that watches for the end; negative if there is none.
static WATCHER: AtomicI32 = AtomicI32::new(-1);
/// Seconds for which nothing went on, when a driver is stopped for that.
static SILENCE: AtomicU64 = AtomicU64::new(0);

/// Somebody who watches the process of a driver for its end.
///
/// While one exists, a driver that stops is reported as one line of JSON, and the process exits with
/// status 1. Otherwise the report goes to standard error as text, and the process aborts.
///
/// The object has the members `code`, `name`, `parameters`, `what`, `image`, `address`, `offset`,
/// `irql`, `registers` and `backtrace`; numbers of 64 bits are strings like `"0x1f"`, and `image`
/// and `offset` are null outside of images.
#[derive(Debug)]
pub struct Watch {
    told: PipeReader,
}

impl Watch {
    /// Watches from now on; the report goes to `output`.
    ///
    /// # Errors
    /// There is no more room for open files.
    pub fn new(output: OwnedFd) -> io::Result<Self> {
        let (told, signalled) = io::pipe()?;
        // Never closed: both are needed until the process ends.
        OUTPUT.store(output.into_raw_fd(), Ordering::Release);
        WATCHER.store(signalled.into_raw_fd(), Ordering::Release);
        Ok(Self { told })
    }

    /// Waits until a driver has stopped and was reported, which is `true`, or until the time is
    /// over. Then the process waits for a few seconds for [`Watch::end`].
    #[must_use]
    pub fn wait(&self, patience: Duration) -> bool {
        let mut wanted = libc::pollfd {
            fd: self.told.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let patience = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: one entry, which is writable. Being interrupted is as good as time being over.
        let ready = unsafe { libc::poll(&raw mut wanted, 1, patience) };
        ready > 0
    }

    /// Stops the driver, because nothing went on for so many seconds: the thread that runs its code
    /// reports where it is, or else this one does, which says only that.
    pub fn stop_hanging(&self, seconds: u64) {
        SILENCE.store(seconds, Ordering::Release);
        trap::ask_every_thread();
        if !self.wait(ANSWER) && !STOPPING.swap(true, Ordering::AcqRel) {
            // No thread runs driver code: the driver let one of them wait for ever.
            with_hanging(&Context::ZERO, |cause| {
                write_json(cause, OUTPUT.load(Ordering::Acquire));
            });
        }
    }

    /// Ends the process as one whose driver has stopped.
    pub fn end(self) -> ! {
        // SAFETY: ends the process without running anything of it.
        unsafe { libc::_exit(EXIT_STATUS) }
    }
}

/// Why a driver is stopped that does not go on.
fn with_hanging<T>(context: &Context, then: impl FnOnce(&Cause<'_>) -> T) -> T {
    then(&Cause {
        code: MANUALLY_INITIATED_CRASH,
        parameters: [0; 4],
        address: context.rip,
        what: format_args!(
            "nothing went on for {} seconds, so the driver was stopped",
            SILENCE.load(Ordering::Acquire)
        ),
        context,
    })
}

/// Where this thread is, if it runs driver code and is asked because nothing goes on.
pub(super) fn answer(context: &Context) {
    let inside = usize::try_from(context.rip).is_ok_and(|rip| find(rip).is_some());
    if inside || has_driver_frame(context.rsp()) {
        with_hanging(context, |cause| stop(cause));
    }
}

/// Why a driver stops.
pub(crate) struct Cause<'a> {
    pub(crate) code: u32,
    pub(crate) parameters: [u64; 4],
    /// Where it happened.
    pub(crate) address: u64,
    /// What happened, for people.
    pub(crate) what: fmt::Arguments<'a>,
    pub(crate) context: &'a Context,
}

/// A bugcheck that a driver asked for.
pub(crate) fn bugcheck(context: &Context, code: u32, parameters: [u64; 4]) -> ! {
    stop(&Cause {
        code,
        parameters,
        address: context.rip,
        what: format_args!("the driver called KeBugCheckEx"),
        context,
    })
}

/// Reports and ends the process.
pub(crate) fn stop(cause: &Cause<'_>) -> ! {
    if STOPPING.swap(true, Ordering::AcqRel) {
        // Another thread was first, and ends the process.
        loop {
            // SAFETY: waiting has no preconditions.
            unsafe { libc::pause() };
        }
    }
    let output = OUTPUT.load(Ordering::Acquire);
    if output >= 0 {
        write_json(cause, output);
        // Whoever watches has more to say, and ends the process.
        let watcher = WATCHER.load(Ordering::Acquire);
        // SAFETY: the byte is readable; what the number stands for is the kernel's to check.
        let told = unsafe { libc::write(watcher, c"!".as_ptr().cast(), 1) };
        if told == 1 {
            // SAFETY: waiting has no preconditions.
            unsafe { libc::sleep(LAST_WORDS) };
        }
        // SAFETY: ends the process without running anything of it.
        unsafe { libc::_exit(EXIT_STATUS) }
    }
    let mut text = Buffer::new();
    // What does not fit is left out; a buffer fails in no other way.
    let _ = plain(&mut text, cause);
    text.write_to(libc::STDERR_FILENO);
    std::process::abort();
}

fn write_json(cause: &Cause<'_>, output: i32) {
    let mut text = Buffer::new();
    // As above.
    let _ = json(&mut text, cause);
    text.write_to(output);
}

struct Buffer {
    bytes: [u8; 16 * 1024],
    length: usize,
}

impl Buffer {
    const fn new() -> Self {
        Self {
            bytes: [0; 16 * 1024],
            length: 0,
        }
    }

    fn write_to(&self, output: i32) {
        let mut rest = self.bytes.get(..self.length).unwrap_or_default();
        while !rest.is_empty() {
            // SAFETY: the bytes are readable; what the number stands for is the kernel's to check.
            let written = unsafe { libc::write(output, rest.as_ptr().cast(), rest.len()) };
            let Ok(written @ 1..) = usize::try_from(written) else {
                return;
            };
            rest = rest.get(written..).unwrap_or_default();
        }
    }
}

impl Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let place = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// Text inside of a JSON string.
struct Escaped<'a>(&'a mut Buffer);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '"' | '\\' => write!(self.0, "\\{character}")?,
                ' '.. => self.0.write_char(character)?,
                control => write!(self.0, "\\u{:04x}", u32::from(control))?,
            }
        }
        Ok(())
    }
}

/// The general registers by number.
const REGISTERS: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];

fn json(text: &mut Buffer, cause: &Cause<'_>) -> fmt::Result {
    let Cause {
        code, parameters, ..
    } = cause;
    let name = bugcheck_name(*code);
    write!(
        text,
        "{{\"code\":{code},\"name\":\"{name}\",\"parameters\":["
    )?;
    for (index, parameter) in parameters.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(text, "{comma}\"{parameter:#x}\"")?;
    }
    write!(text, "],\"what\":\"")?;
    Escaped(text).write_fmt(cause.what)?;
    write!(text, "\",")?;
    json_place(text, cause.address)?;
    write!(text, ",\"irql\":{},\"registers\":{{", irql::current())?;
    for (name, value) in REGISTERS.iter().zip(cause.context.registers) {
        write!(text, "\"{name}\":\"{value:#x}\",")?;
    }
    let Context { rip, eflags, .. } = cause.context;
    write!(
        text,
        "\"rip\":\"{rip:#x}\",\"eflags\":\"{eflags:#x}\"}},\"backtrace\":["
    )?;
    let mut comma = "";
    each_frame(cause.context, |address| {
        write!(text, "{comma}{{")?;
        json_place(text, address)?;
        comma = ",";
        write!(text, "}}")
    })?;
    writeln!(text, "]}}")
}

fn json_place(text: &mut Buffer, address: u64) -> fmt::Result {
    match place(address) {
        Some((image, offset)) => {
            write!(text, "\"image\":\"")?;
            write!(Escaped(text), "{image}")?;
            write!(
                text,
                "\",\"address\":\"{address:#x}\",\"offset\":\"{offset:#x}\""
            )
        }
        None => write!(
            text,
            "\"image\":null,\"address\":\"{address:#x}\",\"offset\":null"
        ),
    }
}

fn plain(text: &mut Buffer, cause: &Cause<'_>) -> fmt::Result {
    let [one, two, three, four] = cause.parameters;
    writeln!(
        text,
        "*** STOP: {:#010X} ({one:#x}, {two:#x}, {three:#x}, {four:#x}): {}\n*** {}",
        cause.code,
        bugcheck_name(cause.code),
        cause.what,
    )?;
    write!(text, "*** at ")?;
    plain_place(text, cause.address)?;
    writeln!(text, ", IRQL {}", irql::current())?;
    for (index, (name, value)) in REGISTERS.iter().zip(cause.context.registers).enumerate() {
        let end = if index % 4 == 3 { "\n" } else { " " };
        write!(text, "{name:>3}={value:016x}{end}")?;
    }
    each_frame(cause.context, |address| {
        write!(text, "    ")?;
        plain_place(text, address)?;
        writeln!(text)
    })
}

fn plain_place(text: &mut Buffer, address: u64) -> fmt::Result {
    match place(address) {
        Some((image, offset)) => write!(text, "{image}+{offset:#x}"),
        None => write!(text, "{address:#x}"),
    }
}

/// The image that an address lies in, and where there.
fn place(address: u64) -> Option<(&'static str, u32)> {
    let address = usize::try_from(address).ok()?;
    let image = find(address)?;
    Some((image.name(), image.offset(address)?))
}

/// Calls something with the address of every frame, the innermost first. Frames that are not of an
/// image have no function table: the next one of an image is looked for further up.
fn each_frame(context: &Context, mut show: impl FnMut(u64) -> fmt::Result) -> fmt::Result {
    let mut context = *context;
    for _ in 0..MOST_FRAMES {
        show(context.rip)?;
        let before = context.rsp();
        let inside = usize::try_from(context.rip).is_ok_and(|rip| find(rip).is_some());
        let stepped = inside && unwind::step(&mut context, 0).is_some();
        if !stepped && !next_of_image(&mut context, before) {
            break;
        }
        if context.rip == 0 || context.rsp() <= before {
            break;
        }
    }
    Ok(())
}

/// Looks for the next return address of an image on the stack.
fn next_of_image(context: &mut Context, from: u64) -> bool {
    let mut at = from.next_multiple_of(8);
    while at < from.saturating_add(SCAN) {
        let Some(word) = stack(at) else {
            return false;
        };
        if is_return_address(word) {
            context.rip = word;
            context.registers[super::context::RSP] = at + 8;
            return true;
        }
        at += 8;
    }
    false
}

/// Whether an address is right behind a call in an image.
fn is_return_address(word: u64) -> bool {
    let find = || {
        let address = usize::try_from(word).ok()?;
        let image = find(address)?;
        let offset = image.offset(address)?;
        if !image.is_code(offset) {
            return None;
        }
        let byte = |back: u32| image.read::<u8>(offset.checked_sub(back)?);
        let direct = byte(5) == Some(0xE8);
        // call r/m64, from two to seven bytes long
        let indirect = [2, 3, 4, 6, 7].into_iter().any(|back| {
            byte(back) == Some(0xFF)
                && byte(back - 1).is_some_and(|operands| operands & 0x38 == 0x10)
        });
        Some(direct || indirect)
    };
    find().unwrap_or(false)
}

/// Whether driver code is anywhere on the stack of this thread, from an address on.
pub(crate) fn has_driver_frame(from: u64) -> bool {
    let mut context = Context::ZERO;
    thread::stack().1 != 0 && next_of_image(&mut context, from)
}

/// What documents call a bugcheck.
fn bugcheck_name(code: u32) -> &'static str {
    match code {
        0x0A => "IRQL_NOT_LESS_OR_EQUAL",
        0x1E => "KMODE_EXCEPTION_NOT_HANDLED",
        0x24 => "NTFS_FILE_SYSTEM",
        0x50 => "PAGE_FAULT_IN_NONPAGED_AREA",
        0x7E => "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED",
        0x7F => "UNEXPECTED_KERNEL_MODE_TRAP",
        0xC4 => "DRIVER_VERIFIER_DETECTED_VIOLATION",
        0xD1 => "DRIVER_IRQL_NOT_LESS_OR_EQUAL",
        0xE2 => "MANUALLY_INITIATED_CRASH",
        0xF5 => "FLTMGR_FILE_SYSTEM",
        0x139 => "KERNEL_SECURITY_CHECK_FAILURE",
        _ => "BUGCHECK",
    }
}

/// What documents call an exception.
pub(crate) fn exception_name(code: u32) -> &'static str {
    match code {
        0x8000_0002 => "datatype misalignment",
        0x8000_0003 => "breakpoint without a debugger",
        0xC000_0005 => "access violation",
        0xC000_0006 => "in-page error",
        0xC000_001D => "illegal instruction",
        0xC000_008E => "floating-point divide by zero",
        0xC000_0090 => "floating-point exception",
        0xC000_0094 => "integer divide by zero",
        0xC000_0096 => "privileged instruction",
        0xC000_0139 => "entry point not found",
        0xC000_0420 => "assertion failure",
        _ => "raised by the driver and not handled",
    }
}
