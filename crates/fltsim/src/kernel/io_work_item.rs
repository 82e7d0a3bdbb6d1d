//! The I/O manager's work items, and those of the executive.

use super::pool::Block;
use super::scope::{Callback, Scope};
use crate::machine::Inner;
use crate::verifier::{Rule, Severity};
use fltmgr_sys::*;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `WORKER_INVALID`.
const WORKER_INVALID: u32 = 0xE4;
/// First parameter of `WORKER_INVALID`: the item is in a queue already.
const QUEUED_TWICE: u64 = 1;
/// What drivers must reserve for an item of their own.
pub(crate) const SIZE: usize = 0x58;

struct Item {
    /// What it is queued for, e.g. a device.
    object: usize,
    queued: bool,
    /// The memory, if it was allocated here.
    _memory: Option<Block>,
}

/// The items of a machine.
#[derive(Default)]
pub(crate) struct IoWorkItems(Mutex<BTreeMap<usize, Item>>);

/// `IO_WORKITEM_ROUTINE`: the object and the context.
type Routine = unsafe extern "win64" fn(PVOID, PVOID);
/// `IO_WORKITEM_ROUTINE_EX`: the same, and the item.
type RoutineEx = unsafe extern "win64" fn(PVOID, PVOID, PVOID);

/// What an item runs.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    Plain(Routine),
    Extended(RoutineEx),
}

fn queued_twice(machine: &Inner, call: &'static str, item: usize) {
    let severity = Severity::Bugcheck {
        code: WORKER_INVALID,
        parameters: [QUEUED_TWICE, item as u64, 0, 0],
    };
    let text = "a work item was queued that is queued already";
    machine.verifier.report(Rule::V20, severity, call, text);
}

/// Allocates an item; 0 if there is no memory.
pub(crate) fn allocate(machine: &Inner, object: usize, call: &'static str) -> usize {
    let Some(block) = Block::new(SIZE) else {
        return 0;
    };
    block.fill(0);
    let address = block.address();
    machine.held.add("work item", address, call);
    let item = Item {
        object,
        queued: false,
        _memory: Some(block),
    };
    machine.work_items.0.lock().insert(address, item);
    address
}

/// Takes an item in memory of the driver's into use.
pub(crate) fn initialize(machine: &Inner, item: usize, object: usize, call: &'static str) {
    let fresh = Item {
        object,
        queued: false,
        _memory: None,
    };
    let before = machine.work_items.0.lock().insert(item, fresh);
    if before.is_none() {
        machine.held.add("work item", item, call);
    } else {
        let text = format!("the work item at {item:#x} was initialised twice");
        machine.verifier.violation(Rule::V20, call, text);
    }
}

/// Gives an item up, as it was made.
pub(crate) fn remove(machine: &Inner, item: usize, call: &'static str) {
    let removed = machine.work_items.0.lock().remove(&item);
    match removed {
        None => {
            let text = format!("{item:#x} is not a work item");
            machine.verifier.violation(Rule::V0, call, text);
        }
        Some(removed) => {
            machine.held.remove(item);
            if removed.queued {
                let text = "a work item was freed while it is queued";
                machine.verifier.violation(Rule::V20, call, text);
            }
        }
    }
}

/// Queues an item.
pub(crate) fn queue(
    machine: &Arc<Inner>,
    item: usize,
    run: Run,
    context: PVOID,
    call: &'static str,
) {
    let mut items = machine.work_items.0.lock();
    let Some(found) = items.get_mut(&item) else {
        drop(items);
        let text = format!("{item:#x} is not a work item");
        machine.verifier.violation(Rule::V0, call, text);
        return;
    };
    if std::mem::replace(&mut found.queued, true) {
        drop(items);
        queued_twice(machine, call, item);
        return;
    }
    let (object, context) = (found.object, context as usize);
    drop(items);
    let later = Arc::downgrade(machine);
    machine.work_queue.push(move || {
        let Some(machine) = later.upgrade() else {
            return;
        };
        // From here on the routine may queue or free it again.
        if let Some(found) = machine.work_items.0.lock().get_mut(&item) {
            found.queued = false;
        }
        let _scope = Scope::enter(&machine, Callback::WorkItem, PASSIVE_LEVEL);
        match run {
            // SAFETY: the driver's own routine, with the object of the item and its own context.
            Run::Plain(routine) => unsafe { routine(object as PVOID, context as PVOID) },
            // SAFETY: as above.
            Run::Extended(routine) => unsafe {
                routine(object as PVOID, context as PVOID, item as PVOID);
            },
        }
    });
}

/// `WORK_QUEUE_ITEM`.
#[repr(C)]
pub(crate) struct WorkQueueItem {
    list: LIST_ENTRY,
    routine: Option<unsafe extern "win64" fn(PVOID)>,
    parameter: PVOID,
}

const _: () = assert!(size_of::<WorkQueueItem>() == 32);

/// Queues an item of the executive (`ExQueueWorkItem`): whether it is queued is in the item.
///
/// # Safety
/// The item is initialised, and stays until its routine has begun.
pub(crate) unsafe fn queue_plain(
    machine: &Arc<Inner>,
    item: *mut WorkQueueItem,
    call: &'static str,
) {
    // SAFETY: by this function's contract.
    let value = unsafe { &mut *item };
    if !value.list.Flink.is_null() {
        queued_twice(machine, call, item as usize);
        return;
    }
    let Some(routine) = value.routine else {
        let text = format!("the work item at {item:p} has no routine");
        machine.verifier.violation(Rule::V0, call, text);
        return;
    };
    value.list.Flink = &raw mut value.list;
    let parameter = value.parameter as usize;
    let (later, item) = (Arc::downgrade(machine), item as usize);
    machine.work_queue.push(move || {
        let Some(machine) = later.upgrade() else {
            return;
        };
        let item = item as *mut WorkQueueItem;
        // SAFETY: by the contract of `queue_plain` the item is there until now.
        unsafe { (*item).list.Flink = std::ptr::null_mut() };
        let _scope = Scope::enter(&machine, Callback::WorkItem, PASSIVE_LEVEL);
        // SAFETY: the driver's own routine and parameter.
        unsafe { routine(parameter as PVOID) };
    });
}
