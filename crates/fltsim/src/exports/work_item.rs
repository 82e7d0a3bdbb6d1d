//! Generic work items.

use super::{bad_pointer, enter, exports};
use crate::kernel::scope::{self, Callback, Scope};
use crate::machine::Inner;
use crate::manager::{self, Filter, Object, filter};
use crate::verifier::Rule;
use dashmap::DashMap;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

/// One work item; its address is what a driver has.
struct WorkItem {
    queued: AtomicBool,
}

/// All work items by address. Their addresses are never used again, so that a freed one is known
/// as such.
static ITEMS: LazyLock<DashMap<usize, Arc<WorkItem>>> = LazyLock::new(DashMap::new);

/// Work item pointers are names and not addresses: nobody ever follows them.
static NEXT: AtomicUsize = AtomicUsize::new(0x7E00_0000_0000);

exports! {
    /// Allocates a generic work item.
    unsafe fn FltAllocateGenericWorkItem() -> PFLT_GENERIC_WORKITEM {
        const CALL: &str = "FltAllocateGenericWorkItem";
        if let Some(machine) = scope::machine() {
            enter(&machine, CALL);
        }
        let address = NEXT.fetch_add(64, Ordering::Relaxed);
        let item = Arc::new(WorkItem {
            queued: AtomicBool::new(false),
        });
        ITEMS.insert(address, item);
        address as PFLT_GENERIC_WORKITEM
    }

    /// Frees a generic work item.
    unsafe fn FltFreeGenericWorkItem(FltWorkItem: PFLT_GENERIC_WORKITEM) {
        const CALL: &str = "FltFreeGenericWorkItem";
        let machine = scope::machine();
        if let Some(machine) = &machine {
            enter(machine, CALL);
        }
        match ITEMS.remove(&(FltWorkItem as usize)) {
            None => bad_pointer(CALL, "FltWorkItem", FltWorkItem as usize, "work item"),
            Some((_, item)) if item.queued.load(Ordering::Acquire) => {
                if let Some(machine) = machine {
                    let text = "a work item was freed while it is queued";
                    machine.verifier.violation(Rule::V20, CALL, text);
                }
            }
            Some(_) => {}
        }
    }

    /// Queues a generic work item; unregistering the filter waits for it.
    unsafe fn FltQueueGenericWorkItem(
        FltWorkItem: PFLT_GENERIC_WORKITEM,
        FltObject: PVOID,
        WorkerRoutine: PFLT_GENERIC_WORKITEM_ROUTINE,
        QueueType: WORK_QUEUE_TYPE,
        Context: PVOID,
    ) -> NTSTATUS {
        const CALL: &str = "FltQueueGenericWorkItem";
        let Some((machine, target)) = owner(FltObject) else {
            bad_pointer(CALL, "FltObject", FltObject as usize, "filter or instance");
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let item = ITEMS.get(&(FltWorkItem as usize)).map(|item| Arc::clone(&item));
        let (Some(item), Some(routine)) = (item, WorkerRoutine) else {
            bad_pointer(CALL, "FltWorkItem", FltWorkItem as usize, "work item");
            return STATUS_INVALID_PARAMETER;
        };
        if QueueType != CriticalWorkQueue && QueueType != DelayedWorkQueue {
            return STATUS_INVALID_PARAMETER;
        }
        let references = match &target {
            Target::Filter(filter) => &filter.references,
            Target::Instance(instance) => &instance.references,
        };
        if let Err(status) = references.acquire(CALL) {
            return status;
        }
        if item.queued.swap(true, Ordering::AcqRel) {
            let text = "a work item was queued twice";
            machine.verifier.violation(Rule::V20, CALL, text);
        }
        let job = (FltWorkItem as usize, FltObject as usize, Context as usize);
        let later = Arc::downgrade(&machine);
        machine.work_queue.push(move || {
            let Some(machine) = later.upgrade() else {
                return;
            };
            item.queued.store(false, Ordering::Release);
            let (item, object, context) = job;
            let scope = Scope::enter(&machine, Callback::WorkItem, PASSIVE_LEVEL);
            // SAFETY: the driver passed its own routine and context; the reference that was taken
            // for the work item keeps the object, and with it the driver.
            unsafe {
                routine(
                    item as PFLT_GENERIC_WORKITEM,
                    object as PVOID,
                    context as PVOID,
                );
            }
            drop(scope);
            target.release(&machine);
        });
        STATUS_SUCCESS
    }

    /// Allocates a work item for a deferred operation; not simulated.
    unsafe fn FltAllocateDeferredIoWorkItem() -> PFLT_DEFERRED_IO_WORKITEM {
        null_mut()
    }
}

/// What a work item is queued for.
enum Target {
    Filter(Arc<Filter>),
    Instance(Arc<manager::Instance>),
}

impl Target {
    fn release(&self, machine: &Inner) {
        match self {
            Self::Filter(filter) => {
                filter.references.release();
                machine.progress.notify();
            }
            Self::Instance(instance) => {
                filter::release_instance(instance);
            }
        }
    }
}

fn owner(object: PVOID) -> Option<(Arc<Inner>, Target)> {
    match manager::find(object as usize)? {
        Object::Filter(filter) => Some((filter.machine.upgrade()?, Target::Filter(filter))),
        Object::Instance(instance) => {
            Some((instance.machine().upgrade()?, Target::Instance(instance)))
        }
        _ => None,
    }
}
