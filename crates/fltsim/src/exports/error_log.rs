//! Entries of the system's error log. What is written is printed to the kernel debugger.

use super::kernel::{allocate, free};
use super::{misuse, routines};
use crate::kernel::debug_print;
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;

/// `ERROR_LOG_MAXIMUM_SIZE`.
const LARGEST: u8 = 0xF0;
const TAG: ULONG = u32::from_le_bytes(*b"IoEr");

/// `IO_ERROR_LOG_PACKET`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Packet {
    major_function: u8,
    retries: u8,
    dump_data_size: u16,
    number_of_strings: u16,
    string_offset: u16,
    category: u16,
    error_code: NTSTATUS,
    unique_value: u32,
    final_status: NTSTATUS,
    sequence: u32,
    control_code: u32,
    device_offset: i64,
    dump_data: [u32; 1],
}

const _: () = assert!(size_of::<Packet>() == 0x30);
const _: () = assert!(std::mem::offset_of!(Packet, dump_data) == 0x28);

routines! {
    /// Allocates an entry; null if it is larger than an entry may be, or too small for one.
    unsafe fn IoAllocateErrorLogEntry(object: PVOID, size: UCHAR) -> PVOID {
        if object.is_null() {
            misuse(Rule::V0, CALL, "IoObject is null: neither device nor driver".to_owned());
            return null_mut();
        }
        if usize::from(size) < size_of::<Packet>() || size > LARGEST {
            return null_mut();
        }
        allocate(CALL, NonPagedPoolNx, size.into(), TAG, true)
    }

    /// Writes an entry, and frees it.
    unsafe fn IoWriteErrorLogEntry(entry: PVOID) {
        // SAFETY: the caller passes an entry, which is large enough for a packet.
        let packet = unsafe { entry.cast::<Packet>().read_unaligned() };
        debug_print::print(&format!(
            "error log: {:#010X}, unique value {:#x}, final status {:#010X}",
            packet.error_code, packet.unique_value, packet.final_status
        ));
        free(CALL, entry, TAG);
    }

    /// Frees an entry that is not written after all.
    unsafe fn IoFreeErrorLogEntry(entry: PVOID) {
        free(CALL, entry, TAG);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Machine;

    #[test]
    fn an_entry_is_written_or_freed_or_leaked() {
        let machine = Machine::default();
        let object = (&raw const machine).cast_mut().cast();
        machine.at_irql(DISPATCH_LEVEL, || {
            for size in [0, 0x2F, 0xF1, 0xFF] {
                // SAFETY: the object is only compared with null.
                assert!(unsafe { IoAllocateErrorLogEntry(object, size) }.is_null());
            }
            // SAFETY: as above.
            let [written, freed, _leaked] =
                [0x30, 0x40, 0xF0].map(|size| unsafe { IoAllocateErrorLogEntry(object, size) });
            // SAFETY: the entry is there and larger than a packet.
            unsafe { (*written.cast::<Packet>()).error_code = STATUS_INSUFFICIENT_RESOURCES };
            // SAFETY: an entry, and nobody uses it again.
            unsafe { IoWriteErrorLogEntry(written) };
            // SAFETY: as above.
            unsafe { IoFreeErrorLogEntry(freed) };
        });
        let said = "error log: 0xC000009A, unique value 0x0, final status 0x00000000";
        assert_eq!(machine.debug_output(), [said]);
        let outcome = machine.finish();
        assert_eq!(outcome.leaks.len(), 1);
        assert_eq!(outcome.leaks[0].size, 0xF0);
        assert_eq!((outcome.violations.len(), outcome.bugchecks.len()), (0, 0));
    }
}
