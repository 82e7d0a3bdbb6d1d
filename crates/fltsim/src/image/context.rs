//! The state of the processor, as Windows lays it out for x64, and how to take it and put it back.

use std::arch::naked_asm;
use std::mem::offset_of;

/// `EXCEPTION_NONCONTINUABLE`.
pub(crate) const NONCONTINUABLE: u32 = 1;
/// `EXCEPTION_UNWINDING`.
pub(crate) const UNWINDING: u32 = 2;
/// `EXCEPTION_TARGET_UNWIND`.
pub(crate) const TARGET_UNWIND: u32 = 0x20;

/// `CONTEXT_FULL` for x64.
const FULL: u32 = 0x0010_000B;

/// Where the stack pointer is among the registers.
pub(crate) const RSP: usize = 4;

/// `CONTEXT`. The general registers come in the order of their numbers.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
pub(crate) struct Context {
    home: [u64; 6],
    pub(crate) parts: u32,
    pub(crate) mxcsr: u32,
    segments: [u16; 6],
    pub(crate) eflags: u32,
    debug: [u64; 6],
    pub(crate) registers: [u64; 16],
    pub(crate) rip: u64,
    /// What `fxsave` stores, up to the vector registers.
    pub(crate) legacy: [u8; 160],
    pub(crate) xmm: [u128; 16],
    rest: [u8; 96],
    vector: [u128; 26],
    control: [u64; 6],
}

const _: () = assert!(size_of::<Context>() == 0x4D0);
const _: () = assert!(offset_of!(Context, mxcsr) == 0x34);
const _: () = assert!(offset_of!(Context, eflags) == 0x44);
const _: () = assert!(offset_of!(Context, registers) == 0x78);
const _: () = assert!(offset_of!(Context, rip) == 0xF8);
const _: () = assert!(offset_of!(Context, legacy) == 0x100);
const _: () = assert!(offset_of!(Context, xmm) == 0x1A0);

impl Context {
    pub(crate) const ZERO: Self = Self {
        home: [0; 6],
        parts: FULL,
        mxcsr: 0x1F80,
        segments: [0; 6],
        eflags: 0x202,
        debug: [0; 6],
        registers: [0; 16],
        rip: 0,
        legacy: [0; 160],
        xmm: [0; 16],
        rest: [0; 96],
        vector: [0; 26],
        control: [0; 6],
    };

    pub(crate) fn rsp(&self) -> u64 {
        self.registers[RSP]
    }
}

/// `EXCEPTION_RECORD`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Record {
    pub(crate) code: u32,
    pub(crate) flags: u32,
    pub(crate) next: *mut Record,
    pub(crate) address: u64,
    pub(crate) count: u32,
    pub(crate) information: [u64; 15],
}

const _: () = assert!(size_of::<Record>() == 0x98);

impl Record {
    pub(crate) fn new(code: u32, flags: u32, address: u64, parameters: &[u64]) -> Self {
        let mut information = [0; 15];
        let mut count = 0;
        for (place, parameter) in information.iter_mut().zip(parameters) {
            *place = *parameter;
            count += 1;
        }
        Self {
            code,
            flags,
            next: std::ptr::null_mut(),
            address,
            count,
            information,
        }
    }
}

/// Stores the state of the caller of this function, as it will be when it has returned.
///
/// # Safety
/// `context` may be written to.
#[unsafe(naked)]
pub(crate) unsafe extern "win64" fn capture(_context: *mut Context) {
    naked_asm!(
        "pushfq",
        "pop qword ptr [rcx + 0x40]",
        "mov edx, dword ptr [rcx + 0x40]",
        "mov [rcx + 0x44], edx",
        "fxsave64 [rcx + 0x100]",
        "stmxcsr [rcx + 0x34]",
        "mov [rcx + 0x78], rax",
        "mov [rcx + 0x80], rcx",
        "mov [rcx + 0x88], rdx",
        "mov [rcx + 0x90], rbx",
        "lea rax, [rsp + 8]",
        "mov [rcx + 0x98], rax",
        "mov [rcx + 0xA0], rbp",
        "mov [rcx + 0xA8], rsi",
        "mov [rcx + 0xB0], rdi",
        "mov [rcx + 0xB8], r8",
        "mov [rcx + 0xC0], r9",
        "mov [rcx + 0xC8], r10",
        "mov [rcx + 0xD0], r11",
        "mov [rcx + 0xD8], r12",
        "mov [rcx + 0xE0], r13",
        "mov [rcx + 0xE8], r14",
        "mov [rcx + 0xF0], r15",
        "mov rax, [rsp]",
        "mov [rcx + 0xF8], rax",
        "mov dword ptr [rcx + 0x30], 0x10000B",
        "mov rax, [rcx + 0x78]",
        "ret",
    )
}

/// Goes on where a context says.
///
/// # Safety
/// `context` is a state in which code of an image may run: its instruction pointer is in the
/// image, its stack pointer on this thread's stack, with eight free bytes below it, and every frame
/// between here and there may be forgotten. The context does not lie in those eight bytes.
#[unsafe(naked)]
pub(crate) unsafe extern "win64" fn restore(_context: *const Context) -> ! {
    naked_asm!(
        "fxrstor64 [rcx + 0x100]",
        "ldmxcsr [rcx + 0x34]",
        "mov eax, [rcx + 0x44]",
        // Neither single steps nor a direction that no function expects.
        "and eax, 0xFFFFFAFF",
        "push rax",
        "popfq",
        "mov rax, [rcx + 0x78]",
        "mov rbx, [rcx + 0x90]",
        "mov rbp, [rcx + 0xA0]",
        "mov rsi, [rcx + 0xA8]",
        "mov rdi, [rcx + 0xB0]",
        "mov r8, [rcx + 0xB8]",
        "mov r9, [rcx + 0xC0]",
        "mov r10, [rcx + 0xC8]",
        "mov r11, [rcx + 0xD0]",
        "mov r12, [rcx + 0xD8]",
        "mov r13, [rcx + 0xE0]",
        "mov r14, [rcx + 0xE8]",
        "mov r15, [rcx + 0xF0]",
        "mov rsp, [rcx + 0x98]",
        "push qword ptr [rcx + 0xF8]",
        "mov rdx, [rcx + 0x88]",
        "mov rcx, [rcx + 0x80]",
        "ret",
    )
}
