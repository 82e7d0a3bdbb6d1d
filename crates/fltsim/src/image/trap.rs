//! What the processor tells Linux about driver code, and what Windows would have made of it.

use super::context::{Context, NONCONTINUABLE, Record};
use super::decode::{self, Access};
use super::dispatch::{self, ACCESS_VIOLATION};
use super::stop::{self, Cause};
use super::{Image, find, find_missing, thread};
use crate::exports::acts_for_caller;
use crate::kernel::irql;
use fltmgr_sys::{DISPATCH_LEVEL, KIRQL};
use std::arch::naked_asm;
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::time::SystemTime;

/// Where the kernel shares a page with everybody.
const SHARED: u64 = 0xFFFF_F780_0000_0000;
const SHARED_SIZE: u64 = 0x1000;
/// Error codes of general protection faults: a software interrupt that user code may not raise.
const FAST_FAIL: i64 = 0x29 << 3 | 2;
const ASSERTION: i64 = 0x2C << 3 | 2;
const DEBUG_SERVICE: i64 = 0x2D << 3 | 2;
/// Numbers of traps.
const GENERAL_PROTECTION: i64 = 13;
/// Bits of the error code of a page fault.
const WRITE: i64 = 2;
const FETCH: i64 = 16;
/// Codes of `SIGFPE`.
const INTEGER_DIVIDE: i32 = 1;
const FLOAT_DIVIDE: i32 = 3;
/// The trap flag.
const SINGLE_STEP: i64 = 0x100;
/// How much of the stack an exception needs.
const ROOM: u64 = 0x4000;
/// The page below a stack. Large frames are probed page by page, so that none goes past it; what lies
/// further down is somebody else's memory.
const GUARD: u64 = 0x1000;
/// Between two `FILETIME`s: 1601 and 1970.
const EPOCH: u64 = 116_444_736_000_000_000;

/// `UNEXPECTED_KERNEL_MODE_TRAP`.
const UNEXPECTED_TRAP: u32 = 0x7F;
/// `KERNEL_SECURITY_CHECK_FAILURE`.
const SECURITY_CHECK: u32 = 0x139;
/// `SYSTEM_THREAD_EXCEPTION_NOT_HANDLED`.
const NOT_HANDLED: u32 = 0x7E;
/// `STATUS_ENTRYPOINT_NOT_FOUND`.
const ENTRY_POINT_NOT_FOUND: u32 = 0xC000_0139;

const SIGNALS: [i32; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
];

/// What the signals did before.
static BEFORE: [AtomicPtr<libc::sigaction>; 5] = [const { AtomicPtr::new(null_mut()) }; 5];

/// What drivers see instead of the kernel's page.
static PAGE: [AtomicU32; 1024] = [const { AtomicU32::new(0) }; 1024];

/// A register that was changed for one instruction.
#[derive(Clone, Copy)]
struct Step {
    /// Its number.
    register: usize,
    /// Its value before.
    before: i64,
    /// The value that it was given.
    moved: i64,
    /// The instruction moves it on.
    moving: bool,
}

thread_local! {
    static STEP: Cell<Option<Step>> = const { Cell::new(None) };
}

/// The registers of a signal's context in the order of their numbers.
const GENERAL: [i32; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

/// Installs the handlers, once in a process.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for (signal, before) in SIGNALS.iter().zip(&BEFORE) {
            // SAFETY: an action is integers and nullable pointers; all-zero is a valid one.
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            let old = Box::into_raw(Box::new(action));
            before.store(old, Ordering::Release);
            // SAFETY: the handler is one for three arguments, as the flags say, and touches nothing
            // that must not be touched in a handler.
            unsafe { libc::sigaction(*signal, &raw const action, old) };
        }
    });
}

/// Asks every other thread where it is; one that runs driver code stops the process to tell.
pub(super) fn ask_every_thread() {
    // SAFETY: an action is integers and nullable pointers; all-zero is a valid one.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = asked as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: as in `install`; nobody else here uses this signal.
    unsafe { libc::sigaction(libc::SIGUSR2, &raw const action, null_mut()) };
    // SAFETY: always succeeds.
    let process = unsafe { libc::getpid() };
    // SAFETY: as above.
    let this = unsafe { libc::gettid() };
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else {
        return;
    };
    for thread in threads.flatten() {
        let number = thread.file_name();
        let Some(number) = number
            .to_str()
            .and_then(|number| number.parse::<i32>().ok())
        else {
            continue;
        };
        if number != this {
            // SAFETY: sends a signal that has a handler; a thread that is gone gets none.
            unsafe { libc::syscall(libc::SYS_tgkill, process, number, libc::SIGUSR2) };
        }
    }
}

/// # Safety
/// Called by the kernel as the handler of a signal.
unsafe extern "C" fn asked(_signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let interrupted = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel passes the context of the interrupted thread, which nobody else has.
    let machine = unsafe { &mut (*interrupted).uc_mcontext };
    let floating = machine.fpregs;
    stop::answer(&state(&Registers(&mut machine.gregs), floating));
}

/// Registers of an interrupted thread.
struct Registers<'a>(&'a mut [i64; 23]);

impl Registers<'_> {
    fn get(&self, register: i32) -> i64 {
        usize::try_from(register).map_or(0, |register| self.0[register])
    }

    fn set(&mut self, register: i32, value: i64) {
        if let Ok(register) = usize::try_from(register) {
            self.0[register] = value;
        }
    }

    fn address(&self, register: i32) -> u64 {
        self.get(register).cast_unsigned()
    }

    fn advance(&mut self, length: u64) {
        let rip = self.address(libc::REG_RIP).wrapping_add(length);
        self.set(libc::REG_RIP, rip.cast_signed());
    }
}

/// # Safety
/// Called by the kernel as the handler of a signal.
unsafe extern "C" fn handler(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let interrupted = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel passes the context of the interrupted thread, which nobody else has.
    let machine = unsafe { &mut (*interrupted).uc_mcontext };
    let mut registers = Registers(&mut machine.gregs);
    if signal == libc::SIGTRAP && finish_step(&mut registers) {
        return;
    }
    // SAFETY: the kernel passes what it knows about the signal.
    let info = unsafe { &*info };
    // SAFETY: all of these signals come with an address, if only an unused one.
    let address = unsafe { info.si_addr() } as u64;
    let code = info.si_code;
    let rip = registers.address(libc::REG_RIP);
    let image = usize::try_from(rip).ok().and_then(find);
    if let Some(image) = image
        && signal == libc::SIGSEGV
        && emulate(image, &mut registers, address)
    {
        return;
    }
    let state = state(&registers, machine.fpregs);
    let driver_code = image.is_some() || acts_for_caller(rip);
    let jumped_away =
        signal == libc::SIGSEGV && image.is_none() && rip == address && thread::stack().1 != 0;
    if !driver_code && !jumped_away {
        if stop::has_driver_frame(state.rsp()) {
            in_the_kernel(signal, address, &state);
        }
        forward(signal);
        return;
    }
    let record = classify(signal, code, address, image, &state, &registers);
    deliver(&record, state, address, &mut registers);
}

/// Goes on with an exception on the driver's own stack, when the handler has returned.
fn deliver(record: &Record, mut state: Context, address: u64, registers: &mut Registers<'_>) {
    let (low, high) = thread::stack();
    let (low, high) = (low as u64, high as u64);
    let rsp = state.rsp();
    let on_stack = rsp >= low && rsp <= high;
    let guard = address >= low.saturating_sub(GUARD) && address < low + ROOM;
    if !on_stack || rsp < low + ROOM || (guard && record.code == ACCESS_VIOLATION) {
        let why = if on_stack || guard {
            "is exhausted"
        } else {
            "is not where the stack pointer points"
        };
        stop::stop(&Cause {
            code: UNEXPECTED_TRAP,
            parameters: [8, state.rip, rsp, 0],
            address: state.rip,
            what: format_args!("double fault: the stack {why}, {rsp:#x}"),
            context: &state,
        });
    }
    if record.code == 0x8000_0003 {
        // A breakpoint is where it is, not behind itself.
        state.rip = record.address;
    }
    let place = (rsp - 128 - size_of::<Context>() as u64) & !0xF;
    let record_at = (place - size_of::<Record>() as u64) & !0xF;
    // SAFETY: free memory of the interrupted thread's stack, with room to spare, as was checked.
    unsafe { (place as *mut Context).write(state) };
    // SAFETY: as above, below the context.
    unsafe { (record_at as *mut Record).write(*record) };
    registers.set(libc::REG_RCX, record_at.cast_signed());
    registers.set(libc::REG_RDX, place.cast_signed());
    // As after a call: room for four arguments and a return address that is never used.
    registers.set(libc::REG_RSP, (record_at - 0x28).cast_signed());
    let entry = dispatch::dispatch as *const () as u64;
    registers.set(libc::REG_RIP, entry.cast_signed());
    registers.set(
        libc::REG_EFL,
        registers.get(libc::REG_EFL) & !SINGLE_STEP & !0x400,
    );
}

/// The state of an interrupted thread.
fn state(registers: &Registers<'_>, floating: *mut libc::_libc_fpstate) -> Context {
    let mut context = Context::ZERO;
    for (value, register) in context.registers.iter_mut().zip(GENERAL) {
        *value = registers.address(register);
    }
    context.rip = registers.address(libc::REG_RIP);
    context.eflags = u32::try_from(registers.get(libc::REG_EFL) & 0xFFFF_FFFF).unwrap_or(0x202);
    if !floating.is_null() {
        let from = floating.cast::<u8>();
        let to = (&raw mut context.legacy).cast::<u8>();
        // SAFETY: the kernel stores at least the 512 bytes of `fxsave`, and that many follow from
        // this member of a context on.
        unsafe { std::ptr::copy_nonoverlapping(from, to, 416) };
        let mxcsr: [u8; 4] = [
            context.legacy[24],
            context.legacy[25],
            context.legacy[26],
            context.legacy[27],
        ];
        context.mxcsr = u32::from_le_bytes(mxcsr);
    }
    context
}

/// The code at an offset, as much of it as there is.
fn code_at(image: &Image, rip: u64) -> ([u8; 15], usize) {
    let mut code = [0; 15];
    let offset = usize::try_from(rip).ok().and_then(|rip| image.offset(rip));
    let mut count = 0;
    for place in &mut code {
        let at = offset.and_then(|offset| offset.checked_add(u32::try_from(count).ok()?));
        let Some(byte) = at.and_then(|at| image.read::<u8>(at)) else {
            break;
        };
        *place = byte;
        count += 1;
    }
    (code, count)
}

/// Does what an instruction does in the kernel, if it is one that means something else there.
fn emulate(image: &Image, registers: &mut Registers<'_>, address: u64) -> bool {
    let (code, count) = code_at(image, registers.address(libc::REG_RIP));
    let code = &code[..count];
    if registers.get(libc::REG_TRAPNO) == GENERAL_PROTECTION {
        return emulate_cr8(code, registers);
    }
    let shared = (SHARED..SHARED + SHARED_SIZE).contains(&address);
    if !shared || registers.get(libc::REG_ERR) & WRITE != 0 {
        return false;
    }
    refresh();
    let page = &raw const PAGE as u64;
    match decode::access(code) {
        Some(Access::Absolute { size, length }) => {
            let offset = usize::try_from(address - SHARED).unwrap_or(0);
            let mut value = [0; 8];
            let value = &mut value;
            for (index, byte) in value.iter_mut().enumerate().take(size) {
                let at = offset + index;
                let word = PAGE
                    .get(at / 4)
                    .map_or(0, |word| word.load(Ordering::Relaxed));
                *byte = word.to_le_bytes()[at % 4];
            }
            let loaded = u64::from_le_bytes(*value);
            let before = registers.address(libc::REG_RAX);
            // Only a load of 32 bits clears the rest of the register.
            let kept = match size {
                1 => before & !0xFF,
                2 => before & !0xFFFF,
                _ => 0,
            };
            registers.set(libc::REG_RAX, (kept | loaded).cast_signed());
            registers.advance(length);
            true
        }
        Some(access @ (Access::Base(register) | Access::Moving(register))) => {
            // The same instruction at another address, one step; then the register goes back.
            let before = registers.get(GENERAL[register]);
            let moved = before.wrapping_add(page.wrapping_sub(SHARED).cast_signed());
            registers.set(GENERAL[register], moved);
            registers.set(libc::REG_EFL, registers.get(libc::REG_EFL) | SINGLE_STEP);
            STEP.set(Some(Step {
                register,
                before,
                moved,
                moving: matches!(access, Access::Moving(_)),
            }));
            true
        }
        None => false,
    }
}

/// Puts the register back that was changed for one instruction.
fn finish_step(registers: &mut Registers<'_>) -> bool {
    let Some(step) = STEP.take() else {
        return false;
    };
    let register = GENERAL[step.register];
    let now = registers.get(register);
    if step.moving {
        let distance = now.wrapping_sub(step.moved);
        registers.set(register, step.before.wrapping_add(distance));
    } else if now == step.moved {
        // Unless the instruction has loaded something into it.
        registers.set(register, step.before);
    }
    registers.set(libc::REG_EFL, registers.get(libc::REG_EFL) & !SINGLE_STEP);
    true
}

fn emulate_cr8(code: &[u8], registers: &mut Registers<'_>) -> bool {
    let Some(cr8) = decode::cr8(code) else {
        return false;
    };
    registers.advance(cr8.length);
    let other = GENERAL[cr8.register];
    if !cr8.write {
        registers.set(other, i64::from(irql::current()));
        return true;
    }
    let level = KIRQL::try_from(registers.get(other) & 0xF).unwrap_or(0);
    if level < DISPATCH_LEVEL && irql::is_work_waiting() {
        // What was waiting for a lower level runs now, but not in a signal handler: the driver
        // goes on through a function that it seems to have called.
        let rsp = registers.address(libc::REG_RSP);
        let rip = registers.address(libc::REG_RIP);
        // SAFETY: the interrupted thread was running driver code, which keeps nothing below its
        // stack pointer.
        unsafe { ((rsp - 8) as *mut u64).write(rip) };
        // SAFETY: as above.
        unsafe { ((rsp - 16) as *mut u64).write(level.into()) };
        registers.set(libc::REG_RSP, (rsp - 16).cast_signed());
        let entry = lower as *const () as u64;
        registers.set(libc::REG_RIP, entry.cast_signed());
    } else {
        irql::set(level);
    }
    true
}

/// Sets the IRQL without the thread noticing: every register is kept. The level and the address to
/// return to are on the stack.
#[unsafe(naked)]
unsafe extern "win64" fn lower() {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "pushfq",
        "push rax",
        "push rcx",
        "push rdx",
        "push r8",
        "push r9",
        "push r10",
        "push r11",
        "sub rsp, 544",
        "and rsp, -16",
        "fxsave64 [rsp + 32]",
        "mov ecx, [rbp + 8]",
        "call {set}",
        "fxrstor64 [rsp + 32]",
        "lea rsp, [rbp - 64]",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdx",
        "pop rcx",
        "pop rax",
        "popfq",
        "pop rbp",
        "lea rsp, [rsp + 8]",
        "ret",
        set = sym set_level,
    )
}

extern "win64" fn set_level(level: u32) {
    irql::set(KIRQL::try_from(level).unwrap_or(0));
}

/// Brings the shared page up to date.
fn refresh() {
    let put = |offset: usize, value: u32| {
        if let Some(word) = PAGE.get(offset / 4) {
            word.store(value, Ordering::Relaxed);
        }
    };
    let low = |value: u64| u32::try_from(value & 0xFFFF_FFFF).unwrap_or(0);
    // A time is stored as low, high, high again, so that a reader sees a tear.
    let time = |offset: usize, value: u64| {
        put(offset + 8, low(value >> 32));
        put(offset, low(value));
        put(offset + 4, low(value >> 32));
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = now.map_or(0, |now| now.as_nanos() / 100);
    let system = u64::try_from(since).unwrap_or(0) + EPOCH;
    let running = monotonic();
    // TickCountMultiplier, for ticks of 15.625 ms.
    put(0x4, 0x0FA0_0000);
    time(0x8, running);
    time(0x14, system);
    // NtBuildNumber, NtProductType, ProductTypeIsValid, NtMajorVersion, NtMinorVersion.
    put(0x260, 22631);
    put(0x264, 1);
    put(0x268, 1);
    put(0x26C, 10);
    put(0x270, 0);
    // QpcFrequency, then TickCount.
    put(0x300, 10_000_000);
    time(0x320, running / 156_250);
}

/// Time since the host started, in units of 100 ns.
fn monotonic() -> u64 {
    let now = clock();
    now.0 * 10_000_000 + now.1 / 100
}

fn clock() -> (u64, u64) {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a place for a time.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    (seconds, u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// What Windows calls what happened.
fn classify(
    signal: i32,
    code: i32,
    address: u64,
    image: Option<&Image>,
    state: &Context,
    registers: &Registers<'_>,
) -> Record {
    let (trap, error) = (
        registers.get(libc::REG_TRAPNO),
        registers.get(libc::REG_ERR),
    );
    let at = state.rip;
    match signal {
        libc::SIGSEGV if trap == GENERAL_PROTECTION => match error {
            FAST_FAIL => fast_fail(state),
            ASSERTION => Record::new(0xC000_0420, 0, at, &[]),
            DEBUG_SERVICE => Record::new(0x8000_0003, 0, at, &[]),
            _ if image.is_some_and(|image| is_privileged(image, at)) => {
                Record::new(0xC000_0096, 0, at, &[])
            }
            // An address that is none: the processor does not say which.
            _ => Record::new(ACCESS_VIOLATION, 0, at, &[0, u64::MAX]),
        },
        libc::SIGSEGV => {
            let kind = match error {
                error if error & FETCH != 0 => 8,
                error if error & WRITE != 0 => 1,
                _ => 0,
            };
            Record::new(ACCESS_VIOLATION, 0, at, &[kind, address])
        }
        libc::SIGBUS => Record::new(0xC000_0006, 0, at, &[0, address, 0xC000_0185]),
        libc::SIGFPE if code == INTEGER_DIVIDE => Record::new(0xC000_0094, 0, at, &[]),
        libc::SIGFPE if code == FLOAT_DIVIDE => Record::new(0xC000_008E, 0, at, &[]),
        libc::SIGFPE => Record::new(0xC000_0090, 0, at, &[]),
        libc::SIGTRAP => Record::new(0x8000_0003, 0, at.wrapping_sub(1), &[0]),
        _ => Record::new(0xC000_001D, NONCONTINUABLE, at, &[]),
    }
}

fn fast_fail(state: &Context) -> ! {
    let code = state.registers[1];
    stop::stop(&Cause {
        code: SECURITY_CHECK,
        parameters: [code, 0, 0, 0],
        address: state.rip,
        what: format_args!("__fastfail({code})"),
        context: state,
    })
}

/// Whether the instruction is one that only the kernel may execute and that is not emulated.
fn is_privileged(image: &Image, rip: u64) -> bool {
    let (code, _) = code_at(image, rip);
    let start = usize::from(code[0] & 0xF0 == 0x40);
    matches!(
        (code[start], code[start + 1]),
        (0xF4 | 0xFA | 0xFB | 0xE4..=0xE7 | 0xEC..=0xEF | 0x6C..=0x6F, _)
            | (0x0F, 0x00 | 0x01 | 0x06 | 0x08 | 0x09 | 0x20..=0x23 | 0x30..=0x33)
    )
}

/// A fault in a function of this crate that the driver has called: it passed something bad.
fn in_the_kernel(signal: i32, address: u64, state: &Context) -> ! {
    let kind = match signal {
        libc::SIGSEGV | libc::SIGBUS => ACCESS_VIOLATION,
        libc::SIGFPE => 0xC000_0094,
        libc::SIGTRAP => 0x8000_0003,
        _ => 0xC000_001D,
    };
    stop::stop(&Cause {
        code: NOT_HANDLED,
        parameters: [kind.into(), state.rip, address, 0],
        address: state.rip,
        what: format_args!(
            "{} at address {address:#x} in a function that the driver called, most likely with a bad pointer",
            stop::exception_name(kind)
        ),
        context: state,
    })
}

/// Not the business of any driver: whoever handled this signal before may have it.
fn forward(signal: i32) {
    let index = SIGNALS.iter().position(|one| *one == signal);
    let before = index.map_or(null_mut(), |index| BEFORE[index].load(Ordering::Acquire));
    // SAFETY: the action from before, or null, which leaves the signal as it is. The instruction
    // faults again when this handler has returned, and then the other one has it.
    unsafe { libc::sigaction(signal, before, null_mut()) };
}

/// Stores the state of a driver that calls a function, and passes it on with the address of the
/// arguments, where the function can also leave other ones. What the function returns, this does.
macro_rules! with_context {
    ($(#[$meta:meta])* $vis:vis $name:ident => $target:path) => {
        $(#[$meta])*
        #[unsafe(naked)]
        $vis unsafe extern "win64" fn $name() {
            std::arch::naked_asm!(
                "mov [rsp + 8], rcx",
                "mov [rsp + 16], rdx",
                "mov [rsp + 24], r8",
                "mov [rsp + 32], r9",
                "sub rsp, 0x4F8",
                "lea rcx, [rsp + 0x20]",
                "call {capture}",
                // The state of the caller, as it will be when this has returned.
                "mov rcx, [rsp + 0x4F8]",
                "mov [rsp + 0x118], rcx",
                "lea rcx, [rsp + 0x500]",
                "mov [rsp + 0xB8], rcx",
                "mov rdx, rcx",
                "mov rcx, [rsp + 0x500]",
                "mov [rsp + 0xA0], rcx",
                "mov rcx, [rsp + 0x508]",
                "mov [rsp + 0xA8], rcx",
                "lea rcx, [rsp + 0x20]",
                "call {target}",
                "add rsp, 0x4F8",
                "ret",
                capture = sym $crate::image::capture,
                target = sym $target,
            )
        }
    };
}
pub(crate) use with_context;

with_context! {
    /// What the stubs of missing imports come down to; which one is in `r10`.
    pub(crate) missing => missing_import
}

/// # Safety
/// Called with the state of a driver.
unsafe extern "win64" fn missing_import(context: *mut Context, _arguments: *const u64) -> ! {
    // SAFETY: by this function's contract.
    let context = unsafe { &*context };
    let stub = usize::try_from(context.registers[10]).unwrap_or(0);
    let name = find_missing(stub).unwrap_or("an import");
    stop::stop(&Cause {
        code: NOT_HANDLED,
        parameters: [ENTRY_POINT_NOT_FOUND.into(), context.rip, 0, 0],
        address: context.rip,
        what: format_args!("{name} is not implemented, and the driver called it"),
        context,
    })
}
