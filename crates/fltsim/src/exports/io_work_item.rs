//! Work items of the I/O manager and the executive.

use super::{bad_pointer, exports, here};
use crate::kernel::io_work_item::{self, Run, SIZE, WorkQueueItem};
use crate::kernel::irp;
use crate::machine::Inner;
use crate::manager::{Object, find};
use fltmgr_sys::*;

/// Whether work items can be for an object: a device or a driver.
fn is_owner(machine: &Inner, call: &'static str, object: PVOID) -> bool {
    let address = object as usize;
    let known = irp::device(address).is_some()
        || matches!(find(address), Some(Object::Driver(_)))
        || machine.volume_of_device(object.cast()).is_some();
    if !known {
        bad_pointer(call, "IoObject", address, "device or driver object");
    }
    known
}

exports! {
    /// Allocates a work item for a device.
    unsafe fn IoAllocateWorkItem(device: PVOID) -> PVOID {
        const CALL: &str = "IoAllocateWorkItem";
        let machine = here(CALL).filter(|machine| is_owner(machine, CALL, device));
        let item = machine.map_or(0, |machine| {
            io_work_item::allocate(&machine, device as usize, CALL)
        });
        item as PVOID
    }

    /// Frees a work item.
    unsafe fn IoFreeWorkItem(item: PVOID) {
        const CALL: &str = "IoFreeWorkItem";
        if let Some(machine) = here(CALL) {
            io_work_item::remove(&machine, item as usize, CALL);
        }
    }

    /// How large a work item is.
    unsafe fn IoSizeofWorkItem() -> ULONG {
        here("IoSizeofWorkItem");
        ULONG::try_from(SIZE).unwrap_or(0)
    }

    /// Makes memory of the driver's a work item.
    unsafe fn IoInitializeWorkItem(object: PVOID, item: PVOID) {
        const CALL: &str = "IoInitializeWorkItem";
        if let Some(machine) = here(CALL)
            && is_owner(&machine, CALL, object)
        {
            io_work_item::initialize(&machine, item as usize, object as usize, CALL);
        }
    }

    /// The memory of a work item is to be used otherwise.
    unsafe fn IoUninitializeWorkItem(item: PVOID) {
        const CALL: &str = "IoUninitializeWorkItem";
        if let Some(machine) = here(CALL) {
            io_work_item::remove(&machine, item as usize, CALL);
        }
    }

    /// Queues a work item.
    unsafe fn IoQueueWorkItem(
        item: PVOID,
        routine: Option<unsafe extern "win64" fn(PVOID, PVOID)>,
        _queue: WORK_QUEUE_TYPE,
        context: PVOID,
    ) {
        const CALL: &str = "IoQueueWorkItem";
        if let (Some(machine), Some(routine)) = (here(CALL), routine) {
            io_work_item::queue(&machine, item as usize, Run::Plain(routine), context, CALL);
        }
    }

    /// Queues a work item whose routine is told of it.
    unsafe fn IoQueueWorkItemEx(
        item: PVOID,
        routine: Option<unsafe extern "win64" fn(PVOID, PVOID, PVOID)>,
        _queue: WORK_QUEUE_TYPE,
        context: PVOID,
    ) {
        const CALL: &str = "IoQueueWorkItemEx";
        if let (Some(machine), Some(routine)) = (here(CALL), routine) {
            io_work_item::queue(&machine, item as usize, Run::Extended(routine), context, CALL);
        }
    }

    /// Queues a work item of the executive.
    unsafe fn ExQueueWorkItem(item: *mut WorkQueueItem, _queue: WORK_QUEUE_TYPE) {
        const CALL: &str = "ExQueueWorkItem";
        if let Some(machine) = here(CALL) {
            // SAFETY: the caller passes an initialised item, and keeps it.
            unsafe { io_work_item::queue_plain(&machine, item, CALL) };
        }
    }
}
