//! Exceptions and bugchecks, and copying memory that may not be there.
//!
//! These are for loaded images only: what is linked into this process has no function table.

use crate::image::{
    Context, DATATYPE_MISALIGNMENT, NONCONTINUABLE, Record, bugcheck, c_handler, capture, dispatch,
    find_function, leave, raise, unwind_to, with_context,
};
use fltmgr_sys::*;
use std::arch::naked_asm;

/// The first address that is not a user's.
pub(super) const USER_PROBE_ADDRESS: u64 = 0x0000_7FFF_FFFF_0000;
const ACCESS_VIOLATION: u32 = 0xC000_0005;
const BREAKPOINT: u32 = 0x8000_0003;

with_context! { ex_raise_status => raise_status }
with_context! { ex_raise_access_violation => raise_access_violation }
with_context! { ex_raise_datatype_misalignment => raise_misalignment }
with_context! { rtl_raise_exception => raise_record }
with_context! { rtl_raise_status => raise_status }
with_context! { probe_for_read => probe }
with_context! { checked_for_write => probe }
with_context! { dbg_break_point => break_point }
with_context! { local_unwind => leave_blocks }
with_context! { ke_bug_check => bug_check }
with_context! { ke_bug_check_ex => bug_check_ex }

/// # Safety
/// There are arguments, four of them at least, and so many more as the function has.
unsafe fn argument(arguments: *const u64, index: usize) -> u64 {
    // SAFETY: by this function's contract.
    unsafe { arguments.wrapping_add(index).read() }
}

/// The low half of an argument.
fn low(value: u64) -> u32 {
    u32::try_from(value & 0xFFFF_FFFF).unwrap_or(0)
}

/// # Safety
/// For all of these: called with the state of the driver and its arguments.
unsafe extern "win64" fn raise_status(context: *mut Context, arguments: *const u64) -> ! {
    // SAFETY: by this function's contract.
    let status = low(unsafe { argument(arguments, 0) });
    // SAFETY: as above.
    raise(unsafe { &mut *context }, status, NONCONTINUABLE, &[])
}

/// # Safety
/// As for [`raise_status`].
unsafe extern "win64" fn raise_access_violation(
    context: *mut Context,
    _arguments: *const u64,
) -> ! {
    // SAFETY: by this function's contract.
    let context = unsafe { &mut *context };
    raise(context, ACCESS_VIOLATION, NONCONTINUABLE, &[0, u64::MAX])
}

/// # Safety
/// As for [`raise_status`].
unsafe extern "win64" fn raise_misalignment(context: *mut Context, _arguments: *const u64) -> ! {
    // SAFETY: by this function's contract.
    let context = unsafe { &mut *context };
    raise(context, DATATYPE_MISALIGNMENT, NONCONTINUABLE, &[])
}

/// # Safety
/// As for [`raise_status`]; the argument is a record.
unsafe extern "win64" fn raise_record(context: *mut Context, arguments: *const u64) -> ! {
    // SAFETY: by this function's contract.
    let record = unsafe { argument(arguments, 0) } as *mut Record;
    // SAFETY: the driver passes a record of its own, further up this stack.
    let at = unsafe { (*context).rip };
    // SAFETY: as above.
    unsafe { (*record).address = at };
    // SAFETY: as above.
    unsafe { dispatch(record, context) }
}

/// # Safety
/// As for [`raise_status`].
unsafe extern "win64" fn probe(context: *mut Context, arguments: *const u64) {
    // SAFETY: by this function's contract.
    let address = unsafe { argument(arguments, 0) };
    // SAFETY: as above.
    let length = unsafe { argument(arguments, 1) };
    // SAFETY: as above.
    let alignment = u64::from(low(unsafe { argument(arguments, 2) }));
    if length == 0 {
        return;
    }
    if alignment > 1 && address & (alignment - 1) != 0 {
        // SAFETY: as above.
        raise(unsafe { &mut *context }, DATATYPE_MISALIGNMENT, 0, &[]);
    }
    let end = address.checked_add(length);
    if end.is_none_or(|end| end > USER_PROBE_ADDRESS) {
        // SAFETY: as above.
        let context = unsafe { &mut *context };
        raise(context, ACCESS_VIOLATION, 0, &[0, address]);
    }
}

/// # Safety
/// As for [`raise_status`].
unsafe extern "win64" fn break_point(context: *mut Context, _arguments: *const u64) -> ! {
    // SAFETY: by this function's contract.
    raise(unsafe { &mut *context }, BREAKPOINT, 0, &[0])
}

/// # Safety
/// As for [`raise_status`].
unsafe extern "win64" fn bug_check(context: *mut Context, arguments: *const u64) -> ! {
    // SAFETY: by this function's contract.
    let code = low(unsafe { argument(arguments, 0) });
    // SAFETY: as above.
    bugcheck(unsafe { &*context }, code, [0; 4])
}

/// # Safety
/// As for [`raise_status`].
unsafe extern "win64" fn bug_check_ex(context: *mut Context, arguments: *const u64) -> ! {
    let mut parameters = [0; 4];
    for (index, parameter) in parameters.iter_mut().enumerate() {
        // SAFETY: by this function's contract; the function has five arguments.
        *parameter = unsafe { argument(arguments, index + 1) };
    }
    // SAFETY: as above.
    let code = low(unsafe { argument(arguments, 0) });
    // SAFETY: as above.
    bugcheck(unsafe { &*context }, code, parameters)
}

/// # Safety
/// Called while an exception is being handled, with a frame of those above it and a record.
unsafe extern "win64" fn rtl_unwind_ex(
    frame: u64,
    target: u64,
    record: *mut Record,
    value: u64,
    _context: *mut Context,
    _history: PVOID,
) -> ! {
    // SAFETY: by this function's contract.
    unsafe { unwind_to(frame, target, record, value) }
}

/// # Safety
/// As for [`rtl_unwind_ex`].
unsafe extern "win64" fn rtl_unwind(frame: u64, target: u64, record: *mut Record, value: u64) -> ! {
    // SAFETY: by this function's contract.
    unsafe { unwind_to(frame, target, record, value) }
}

/// # Safety
/// As for [`raise_status`]; the arguments are the frame of the caller, or one above, and where to
/// go on in it.
unsafe extern "win64" fn leave_blocks(context: *mut Context, arguments: *const u64) -> ! {
    // SAFETY: by this function's contract.
    let frame = unsafe { argument(arguments, 0) };
    // SAFETY: as above.
    let target = unsafe { argument(arguments, 1) };
    // SAFETY: as above.
    let context = unsafe { &*context };
    // SAFETY: as above.
    unsafe { leave(context, frame, target) }
}

/// # Safety
/// `base` may be written to.
unsafe extern "win64" fn rtl_lookup_function_entry(
    pc: u64,
    base: *mut u64,
    _history: PVOID,
) -> u64 {
    let Some((image, entry)) = find_function(pc) else {
        return 0;
    };
    // SAFETY: by this function's contract.
    unsafe { super::write(base, image) };
    entry
}

/// # Safety
/// `base` may be written to.
unsafe extern "win64" fn rtl_pc_to_file_header(pc: u64, base: *mut u64) -> u64 {
    let address = usize::try_from(pc).unwrap_or(0);
    let found = crate::image::find(address).map_or(0, |image| image.base() as u64);
    // SAFETY: by this function's contract.
    unsafe { super::write(base, found) };
    found
}

/// These functions keep nothing on the stack and nothing in registers that a caller needs,
/// so that a fault in them is a fault of the caller, which may handle it: drivers copy from and to
/// memory of users like this.
#[unsafe(naked)]
unsafe extern "win64" fn copy_memory(_target: PVOID, _source: PVOID, _size: u64) -> PVOID {
    naked_asm!(
        "mov rax, rcx",
        "cmp rcx, rdx",
        "jbe 2f",
        "lea r9, [rdx + r8]",
        "cmp rcx, r9",
        "jae 2f",
        // The target begins inside of the source: from the end down.
        "3:",
        "test r8, r8",
        "jz 9f",
        "mov r10b, [rdx + r8 - 1]",
        "mov [rcx + r8 - 1], r10b",
        "dec r8",
        "jmp 3b",
        "2:",
        "cmp r8, 16",
        "jb 4f",
        "movups xmm0, [rdx]",
        "movups [rcx], xmm0",
        "add rdx, 16",
        "add rcx, 16",
        "sub r8, 16",
        "jmp 2b",
        "4:",
        "test r8, r8",
        "jz 9f",
        "mov r10b, [rdx]",
        "mov [rcx], r10b",
        "inc rdx",
        "inc rcx",
        "dec r8",
        "jmp 4b",
        "9:",
        "ret",
        // Room to tell this function from the next one.
        "int3",
    )
}

#[unsafe(naked)]
unsafe extern "win64" fn fill_memory(_target: PVOID, _value: u32, _size: u64) -> PVOID {
    naked_asm!(
        "mov rax, rcx",
        "2:",
        "test r8, r8",
        "jz 9f",
        "mov [rcx], dl",
        "inc rcx",
        "dec r8",
        "jmp 2b",
        "9:",
        "ret",
        "int3",
    )
}

/// As [`fill_memory`], with the order of the arguments that the run-time library has.
#[unsafe(naked)]
unsafe extern "win64" fn rtl_fill_memory(_target: PVOID, _size: u64, _value: u32) {
    naked_asm!("xchg rdx, r8", "jmp {fill}", "int3", fill = sym fill_memory)
}

#[unsafe(naked)]
unsafe extern "win64" fn rtl_zero_memory(_target: PVOID, _size: u64) {
    naked_asm!(
        "mov r8, rdx",
        "xor edx, edx",
        "jmp {fill}",
        "int3",
        fill = sym fill_memory,
    )
}

#[unsafe(naked)]
unsafe extern "win64" fn compare_memory(_one: PVOID, _two: PVOID, _size: u64) -> i32 {
    naked_asm!(
        "xor eax, eax",
        "2:",
        "test r8, r8",
        "jz 9f",
        "movzx r9d, byte ptr [rcx]",
        "movzx r10d, byte ptr [rdx]",
        "inc rcx",
        "inc rdx",
        "dec r8",
        "sub r9d, r10d",
        "jz 2b",
        "mov eax, r9d",
        "9:",
        "ret",
        "int3",
    )
}

/// How many bytes from the beginning of two blocks on are the same.
#[unsafe(naked)]
unsafe extern "win64" fn rtl_compare_memory(_one: PVOID, _two: PVOID, _size: u64) -> u64 {
    naked_asm!(
        "xor eax, eax",
        "2:",
        "cmp rax, r8",
        "jae 9f",
        "mov r9b, [rcx + rax]",
        "cmp r9b, [rdx + rax]",
        "jne 9f",
        "inc rax",
        "jmp 2b",
        "9:",
        "ret",
        "int3",
    )
}

/// Touches each page of a frame of `rax` bytes that is about to be used, from the caller's stack
/// pointer down, so that none is skipped on the way to the guard page. Of the registers it changes
/// `r10` and `r11` only.
#[unsafe(naked)]
unsafe extern "win64" fn probe_stack() {
    naked_asm!(
        "lea r10, [rsp + 8]",
        "mov r11, rax",
        "2:",
        "cmp r11, 0x1000",
        "jbe 3f",
        "sub r10, 0x1000",
        "test byte ptr [r10], 0",
        "sub r11, 0x1000",
        "jmp 2b",
        "3:",
        "sub r10, r11",
        "test byte ptr [r10], 0",
        "ret",
        "int3",
    )
}

/// Writes to each page of the memory what is there. What is no memory of a user, or not aligned, is
/// the business of a function that can raise.
#[unsafe(naked)]
unsafe extern "win64" fn probe_for_write(_address: PVOID, _length: u64, _alignment: u32) {
    naked_asm!(
        "test rdx, rdx",
        "jz 9f",
        "mov eax, r8d",
        "dec eax",
        "test rcx, rax",
        "jnz 8f",
        "mov rax, rcx",
        "add rax, rdx",
        "jc 8f",
        "mov r9, {limit}",
        "cmp rax, r9",
        "ja 8f",
        "2:",
        "mov r9b, [rcx]",
        "mov [rcx], r9b",
        "and rcx, -0x1000",
        "add rcx, 0x1000",
        "cmp rcx, rax",
        "jb 2b",
        "9:",
        "ret",
        "8:",
        "jmp {raise}",
        "int3",
        limit = const USER_PROBE_ADDRESS,
        raise = sym checked_for_write,
    )
}

/// Whether an address is in one of the functions that only touch memory for their caller.
pub(crate) fn acts_for_caller(address: u64) -> bool {
    let functions = [
        probe_stack as *const () as u64,
        probe_for_write as *const () as u64,
        copy_memory as *const () as u64,
        fill_memory as *const () as u64,
        compare_memory as *const () as u64,
        rtl_compare_memory as *const () as u64,
    ];
    // The longest of them has less than 128 bytes; a breakpoint ends each.
    functions.iter().any(|start| {
        address.checked_sub(*start).is_some_and(|at| {
            at < 128 && {
                let next = functions.iter().filter(|other| *other > start).min();
                next.is_none_or(|next| address < *next)
            }
        })
    })
}

/// The address of one of these functions by its name. Their symbols have other names: some of
/// these are already those of the host's own library.
pub(super) fn resolve(name: &str) -> Option<usize> {
    let function = match name {
        "ExRaiseStatus" => ex_raise_status as *const (),
        "RtlRaiseStatus" => rtl_raise_status as *const (),
        "ExRaiseAccessViolation" => ex_raise_access_violation as *const (),
        "ExRaiseDatatypeMisalignment" => ex_raise_datatype_misalignment as *const (),
        "RtlRaiseException" => rtl_raise_exception as *const (),
        "ProbeForRead" => probe_for_read as *const (),
        "ProbeForWrite" => probe_for_write as *const (),
        "DbgBreakPoint" | "DbgBreakPointWithStatus" => dbg_break_point as *const (),
        "KeBugCheck" => ke_bug_check as *const (),
        "KeBugCheckEx" => ke_bug_check_ex as *const (),
        "__C_specific_handler" => c_handler as *const (),
        "RtlUnwindEx" => rtl_unwind_ex as *const (),
        "RtlUnwind" => rtl_unwind as *const (),
        "_local_unwind" => local_unwind as *const (),
        "__chkstk" => probe_stack as *const (),
        "RtlLookupFunctionEntry" => rtl_lookup_function_entry as *const (),
        "RtlPcToFileHeader" => rtl_pc_to_file_header as *const (),
        "RtlCaptureContext" => capture as *const (),
        "memcpy" | "memmove" | "RtlCopyMemory" | "RtlMoveMemory" | "RtlCopyMemoryNonTemporal" => {
            copy_memory as *const ()
        }
        "memset" => fill_memory as *const (),
        "RtlFillMemory" => rtl_fill_memory as *const (),
        "RtlZeroMemory" => rtl_zero_memory as *const (),
        "memcmp" => compare_memory as *const (),
        "RtlCompareMemory" => rtl_compare_memory as *const (),
        _ => return None,
    };
    Some(function as usize)
}
