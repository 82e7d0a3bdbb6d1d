//! What a minifilter imports from the kernel proper.

use super::{enter, exports, instance};
use crate::kernel::handle::downcast;
use crate::kernel::{debug_print, irql, pool, scope, section, shared_section};
use crate::manager::{Object, find};
use crate::verifier::Rule;
use fltmgr_sys::*;

const STATUS_INVALID_VIEW_SIZE: NTSTATUS = 0xC000_001F_u32.cast_signed();
const POOL_FLAG_UNINITIALIZED: u64 = 0x2;
const POOL_FLAG_PAGED: u64 = 0x100;

/// Allocates pool, for the functions that do nothing else.
pub(super) fn allocate(
    call: &'static str,
    kind: POOL_TYPE,
    size: SIZE_T,
    tag: ULONG,
    zeroed: bool,
) -> PVOID {
    super::here(call);
    allocate_within(call, kind, size, tag, zeroed)
}

/// Allocates pool in a function that has named itself already.
pub(super) fn allocate_within(
    call: &'static str,
    kind: POOL_TYPE,
    size: SIZE_T,
    tag: ULONG,
    zeroed: bool,
) -> PVOID {
    let Some(machine) = scope::machine() else {
        eprintln!("fltsim: {call} outside of a machine");
        return std::ptr::null_mut();
    };
    machine
        .pool
        .allocate(&machine, call, kind, size, tag, zeroed) as PVOID
}

/// Frees pool, for the functions that do nothing else.
pub(super) fn free(call: &'static str, memory: PVOID, tag: ULONG) {
    super::here(call);
    free_within(call, memory, tag);
}

/// Frees pool in a function that has named itself already.
pub(super) fn free_within(call: &'static str, memory: PVOID, tag: ULONG) {
    let machine = scope::machine();
    pool::free(machine.as_deref(), call, memory as usize, tag);
}

/// Prints a message after a prefix.
///
/// # Safety
/// As for `print`.
pub(super) unsafe fn print_as(
    call: &'static str,
    prefix: &str,
    format: *const CHAR,
    arguments: *const u64,
) -> ULONG {
    super::here(call);
    // SAFETY: by this function's contract.
    let message = unsafe { debug_print::message(format, arguments) };
    let level = irql::current();
    if message.is_unicode && level > PASSIVE_LEVEL {
        let text = format!("{call} has Unicode to convert at IRQL {level}; the maximum is 0");
        super::misuse(Rule::V6, call, text);
    }
    debug_print::print(&(prefix.to_owned() + &message.text));
    0
}

fltapi! {
    /// What `DbgPrint` comes down to.
    ///
    /// # Safety
    /// `format` is a C string, and `arguments` points to the arguments that it asks for.
    unsafe fn print(format: *const CHAR, arguments: *const u64) -> ULONG {
        // SAFETY: by this function's contract.
        unsafe { print_as("DbgPrint", "", format, arguments) }
    }

    /// What `DbgPrintEx` comes down to.
    ///
    /// # Safety
    /// As for `print`.
    unsafe fn print_ex(format: *const CHAR, arguments: *const u64) -> ULONG {
        // SAFETY: by this function's contract.
        unsafe { print_as("DbgPrintEx", "", format, arguments) }
    }
}

/// Prints to the kernel debugger.
///
/// A variadic function of this calling convention cannot be written in Rust, so this one is
/// assembly: it stores the register arguments into the home slots that its caller left for them,
/// where they continue into the stack arguments, and passes their address on.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(crate) unsafe extern "win64" fn DbgPrint(_format: *const CHAR) -> ULONG {
    std::arch::naked_asm!(
        "mov [rsp + 16], rdx",
        "mov [rsp + 24], r8",
        "mov [rsp + 32], r9",
        "lea rdx, [rsp + 16]",
        "sub rsp, 40",
        "call {print}",
        "add rsp, 40",
        "ret",
        print = sym print,
    )
}

/// Prints to the kernel debugger, with a component and a level, which are ignored.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(crate) unsafe extern "win64" fn DbgPrintEx(
    _component: ULONG,
    _level: ULONG,
    _format: *const CHAR,
) -> ULONG {
    std::arch::naked_asm!(
        "mov [rsp + 32], r9",
        "mov rcx, r8",
        "lea rdx, [rsp + 32]",
        "sub rsp, 40",
        "call {print}",
        "add rsp, 40",
        "ret",
        print = sym print_ex,
    )
}

/// The address of one of the printing functions by its name.
#[cfg(target_arch = "x86_64")]
pub(super) fn resolve_variadic(name: &str) -> Option<usize> {
    match name {
        "DbgPrint" => Some(DbgPrint as *const () as usize),
        "DbgPrintEx" => Some(DbgPrintEx as *const () as usize),
        _ => None,
    }
}

exports! {
    /// The IRQL of this thread.
    unsafe fn KeGetCurrentIrql() -> KIRQL {
        irql::current()
    }

    /// Raises the IRQL and returns the old one.
    unsafe fn KfRaiseIrql(level: KIRQL) -> KIRQL {
        irql::set(level)
    }

    /// Raises the IRQL to `DISPATCH_LEVEL` and returns the old one.
    unsafe fn KeRaiseIrqlToDpcLevel() -> KIRQL {
        super::here("KeRaiseIrqlToDpcLevel");
        irql::set(DISPATCH_LEVEL)
    }

    /// Lowers the IRQL.
    unsafe fn KeLowerIrql(level: KIRQL) {
        irql::set(level);
    }

    /// Allocates pool, zeroed unless a flag says otherwise.
    unsafe fn ExAllocatePool2(flags: u64, size: SIZE_T, tag: ULONG) -> PVOID {
        let paged = flags & POOL_FLAG_PAGED != 0;
        let kind = if paged { PagedPool } else { NonPagedPoolNx };
        let zeroed = flags & POOL_FLAG_UNINITIALIZED == 0;
        allocate("ExAllocatePool2", kind, size, tag, zeroed)
    }

    /// Allocates pool.
    unsafe fn ExAllocatePoolWithTag(kind: POOL_TYPE, size: SIZE_T, tag: ULONG) -> PVOID {
        allocate("ExAllocatePoolWithTag", kind, size, tag, false)
    }

    /// Frees pool.
    unsafe fn ExFreePool(memory: PVOID) {
        free("ExFreePool", memory, 0);
    }

    /// Frees pool and checks the tag.
    unsafe fn ExFreePoolWithTag(memory: PVOID, tag: ULONG) {
        free("ExFreePoolWithTag", memory, tag);
    }

    /// Allocates memory for non-cached I/O; all pool here is aligned well enough for it.
    unsafe fn FltAllocatePoolAlignedWithTag(
        owner: PFLT_INSTANCE,
        kind: POOL_TYPE,
        size: SIZE_T,
        tag: ULONG,
    ) -> PVOID {
        const CALL: &str = "FltAllocatePoolAlignedWithTag";
        let Some((machine, _)) = instance(CALL, "Instance", owner) else {
            return std::ptr::null_mut();
        };
        enter(&machine, CALL);
        machine.pool.allocate(&machine, CALL, kind, size, tag, false) as PVOID
    }

    /// Frees memory of `FltAllocatePoolAlignedWithTag`.
    unsafe fn FltFreePoolAlignedWithTag(_owner: PFLT_INSTANCE, memory: PVOID, tag: ULONG) {
        free("FltFreePoolAlignedWithTag", memory, tag);
    }

    /// Closes a handle.
    unsafe fn ZwClose(handle: HANDLE) -> NTSTATUS {
        let Some(machine) = scope::machine() else {
            return STATUS_INVALID_HANDLE;
        };
        enter(&machine, "ZwClose");
        if machine.handles.close(&machine, handle) {
            STATUS_SUCCESS
        } else {
            STATUS_INVALID_HANDLE
        }
    }

    /// Maps all of a section.
    unsafe fn MmMapViewInSystemSpace(
        object: PVOID,
        base: *mut PVOID,
        size: *mut SIZE_T,
    ) -> NTSTATUS {
        const CALL: &str = "MmMapViewInSystemSpace";
        let found = find(object as usize);
        if let Some(machine) = found.as_ref().and_then(Object::machine) {
            enter(&machine, CALL);
        }
        let known = found.and_then(Object::kernel);
        let shared = known.clone().and_then(shared_section::find);
        if let (Some(shared), Some(machine)) = (shared, scope::machine()) {
            // SAFETY: the caller passes a place for the size, which says how much is wanted.
            let wanted = usize::try_from(unsafe { size.read() }).unwrap_or(usize::MAX);
            let mapped = shared_section::map(&machine, &shared, 0, wanted, CALL);
            let Some((address, length)) = mapped else {
                return STATUS_INVALID_VIEW_SIZE;
            };
            // SAFETY: the caller passes places for the address and the size.
            unsafe { base.write(address as PVOID) };
            // SAFETY: as above.
            unsafe { size.write(length as SIZE_T) };
            return STATUS_SUCCESS;
        }
        let section = known.and_then(downcast);
        let Some(section) = section else {
            super::bad_pointer(CALL, "Section", object as usize, "section");
            return STATUS_INVALID_PARAMETER;
        };
        let (address, length) = section::map(&section, CALL);
        // SAFETY: the caller passes places for the address and the size.
        unsafe { base.write(address as PVOID) };
        // SAFETY: as above.
        unsafe { size.write(length as SIZE_T) };
        STATUS_SUCCESS
    }

    /// Unmaps a view of a section.
    unsafe fn MmUnmapViewInSystemSpace(base: PVOID) -> NTSTATUS {
        const CALL: &str = "MmUnmapViewInSystemSpace";
        let Some(machine) = scope::machine() else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let address = base as usize;
        if section::unmap(&machine, address) || shared_section::unmap(&machine, address) {
            STATUS_SUCCESS
        } else {
            super::bad_pointer(CALL, "MappedBase", base as usize, "view of a section");
            STATUS_INVALID_PARAMETER
        }
    }

    /// Adds a reference to a kernel object and returns how many there are, or rather
    /// that there are some.
    unsafe fn ObfReferenceObject(object: PVOID) -> isize {
        const CALL: &str = "ObfReferenceObject";
        let found = find(object as usize);
        if let Some(machine) = found.as_ref().and_then(Object::machine) {
            enter(&machine, CALL);
        }
        match found.and_then(Object::kernel) {
            Some(found) if found.reference(CALL) => 1,
            _ => {
                super::bad_pointer(CALL, "Object", object as usize, "kernel object");
                0
            }
        }
    }

    /// Gives a reference on a kernel object back.
    unsafe fn ObfDereferenceObject(object: PVOID) -> isize {
        const CALL: &str = "ObfDereferenceObject";
        let found = find(object as usize);
        let machine = found.as_ref().and_then(Object::machine).or_else(scope::machine);
        let Some(machine) = machine else {
            super::bad_pointer(CALL, "Object", object as usize, "kernel object");
            return 0;
        };
        enter(&machine, CALL);
        let found = found.and_then(Object::kernel);
        if !found.is_some_and(|found| found.dereference(&machine)) {
            super::bad_pointer(CALL, "Object", object as usize, "referenced kernel object");
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::testing::broken_at;

    const TAG: ULONG = u32::from_le_bytes(*b"Test");

    #[test]
    fn paged_pool_is_not_for_dispatch_level() {
        let use_at = |level, flags| {
            broken_at(level, || {
                // SAFETY: allocating has no contract.
                let memory = unsafe { ExAllocatePool2(flags, 8, TAG) };
                // SAFETY: memory that was just allocated.
                unsafe { ExFreePoolWithTag(memory, TAG) };
            })
        };
        assert_eq!(use_at(APC_LEVEL, POOL_FLAG_PAGED), []);
        assert_eq!(use_at(DISPATCH_LEVEL, 0), []);
        let expected = ["ExAllocatePool2", "ExFreePoolWithTag"].map(|call| (Rule::V6, call));
        assert_eq!(use_at(DISPATCH_LEVEL, POOL_FLAG_PAGED), expected);
    }

    #[test]
    fn unicode_is_printed_at_passive_level_only() {
        let print_at = |level, format: &std::ffi::CStr, argument: u64| {
            broken_at(level, || {
                // SAFETY: a C string that asks for the one argument.
                unsafe { print(format.as_ptr(), &raw const argument) };
            })
        };
        let wide = [u16::from(b'w'), 0];
        let wide = wide.as_ptr() as u64;
        let narrow = c"n".as_ptr() as u64;
        assert_eq!(print_at(DISPATCH_LEVEL, c"%s", narrow), []);
        assert_eq!(print_at(DISPATCH_LEVEL, c"%hS", narrow), []);
        assert_eq!(print_at(DISPATCH_LEVEL, c"%lu", 7), []);
        for format in [c"%ws", c"%ls", c"%S"] {
            assert_eq!(print_at(PASSIVE_LEVEL, format, wide), []);
            let expected = [(Rule::V6, "DbgPrint")];
            assert_eq!(print_at(APC_LEVEL, format, wide), expected, "{format:?}");
        }
        for format in [c"%wZ", c"%wc", c"%C", c"%lc"] {
            let expected = [(Rule::V6, "DbgPrint")];
            assert_eq!(print_at(APC_LEVEL, format, 0), expected, "{format:?}");
        }
    }

    #[test]
    fn the_irql_is_raised_to_dispatch_level_from_below() {
        // SAFETY: no contract.
        let raise = || _ = unsafe { KeRaiseIrqlToDpcLevel() };
        assert_eq!(broken_at(DISPATCH_LEVEL, raise), []);
        let expected = [(Rule::V6, "KeRaiseIrqlToDpcLevel")];
        assert_eq!(broken_at(DISPATCH_LEVEL + 1, raise), expected);
    }
}
