//! Work items: generic ones, and those that an operation is posted with.

use super::operation::operation;
use super::{bad_pointer, enter, exports};
use crate::io::{Operation, Phase};
use crate::kernel::scope::{self, Callback, Scope};
use crate::machine::Inner;
use crate::manager::{self, Filter, Object, filter};
use crate::verifier::Rule;
use dashmap::DashMap;
use fltmgr_sys::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

/// What a work item is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Generic,
    Deferred,
}

/// One work item; its address is what a driver has.
struct WorkItem {
    kind: Kind,
    queued: AtomicBool,
}

impl WorkItem {
    fn queue(&self, machine: &Inner, call: &'static str) {
        if self.queued.swap(true, Ordering::AcqRel) {
            let text = "a work item was queued twice";
            machine.verifier.violation(Rule::V20, call, text);
        }
    }
}

/// All work items by address. Their addresses are never used again, so that a freed one is known
/// as such.
static ITEMS: LazyLock<DashMap<usize, Arc<WorkItem>>> = LazyLock::new(DashMap::new);

/// Work item pointers are names and not addresses: nobody ever follows them.
static NEXT: AtomicUsize = AtomicUsize::new(0x7E00_0000_0000);

exports! {
    /// Allocates a generic work item.
    unsafe fn FltAllocateGenericWorkItem() -> PFLT_GENERIC_WORKITEM {
        allocate("FltAllocateGenericWorkItem", Kind::Generic) as PFLT_GENERIC_WORKITEM
    }

    /// Frees a generic work item.
    unsafe fn FltFreeGenericWorkItem(FltWorkItem: PFLT_GENERIC_WORKITEM) {
        free("FltFreeGenericWorkItem", FltWorkItem as usize, Kind::Generic);
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
        let item = lookup(FltWorkItem as usize, Kind::Generic);
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
        item.queue(&machine, CALL);
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

    /// Allocates a work item for a deferred operation.
    unsafe fn FltAllocateDeferredIoWorkItem() -> PFLT_DEFERRED_IO_WORKITEM {
        allocate("FltAllocateDeferredIoWorkItem", Kind::Deferred) as PFLT_DEFERRED_IO_WORKITEM
    }

    /// Frees a work item for a deferred operation.
    unsafe fn FltFreeDeferredIoWorkItem(FltWorkItem: PFLT_DEFERRED_IO_WORKITEM) {
        free("FltFreeDeferredIoWorkItem", FltWorkItem as usize, Kind::Deferred);
    }

    /// Posts an operation, which the caller is about to pend.
    unsafe fn FltQueueDeferredIoWorkItem(
        FltWorkItem: PFLT_DEFERRED_IO_WORKITEM,
        Data: PFLT_CALLBACK_DATA,
        WorkerRoutine: PFLT_DEFERRED_IO_WORKITEM_ROUTINE,
        QueueType: WORK_QUEUE_TYPE,
        Context: PVOID,
    ) -> NTSTATUS {
        const CALL: &str = "FltQueueDeferredIoWorkItem";
        let Some(operation) = operation(CALL, Data) else {
            return STATUS_INVALID_PARAMETER;
        };
        let item = lookup(FltWorkItem as usize, Kind::Deferred);
        let (Some(item), Some(routine)) = (item, WorkerRoutine) else {
            bad_pointer(CALL, "FltWorkItem", FltWorkItem as usize, "deferred work item");
            return STATUS_INVALID_PARAMETER;
        };
        if QueueType != CriticalWorkQueue && QueueType != DelayedWorkQueue {
            return STATUS_INVALID_PARAMETER;
        }
        if let Err(status) = check_post(&operation, CALL) {
            return status;
        }
        let machine = &operation.machine;
        item.queue(machine, CALL);
        let job = (FltWorkItem as usize, Arc::clone(&operation), Context as usize);
        machine.work_queue.push(move || {
            item.queued.store(false, Ordering::Release);
            let (item, operation, context) = job;
            let machine = Arc::clone(&operation.machine);
            let _scope = Scope::enter(&machine, Callback::WorkItem, PASSIVE_LEVEL);
            // SAFETY: the driver passed its own routine and context; the callback that it has
            // pended keeps the operation and the driver until the routine completes it.
            unsafe {
                routine(
                    item as PFLT_DEFERRED_IO_WORKITEM,
                    operation.pointer(),
                    context as PVOID,
                );
            }
        });
        STATUS_SUCCESS
    }
}

/// Whether an operation may go to a worker thread.
fn check_post(operation: &Arc<Operation>, call: &'static str) -> Result<(), NTSTATUS> {
    let Some(index) = operation.current_layer().filter(|_| !operation.draining) else {
        return Err(STATUS_FLT_DELETING_OBJECT);
    };
    if !operation.is_cancellable() || top_level() != 0 {
        return Err(STATUS_FLT_NOT_SAFE_TO_POST_OPERATION);
    }
    if operation.layers[index].instance.is_deleting() {
        return Err(STATUS_FLT_DELETING_OBJECT);
    }
    let after = operation.state.lock().layers[index].phase == Phase::InPost;
    if after {
        report_posted(operation, call);
    }
    Ok(())
}

/// Says that the completion of an operation was posted that the storage stack may complete directly.
pub(super) fn report_posted(operation: &Operation, call: &'static str) {
    let by_storage = matches!(
        operation.major,
        IRP_MJ_READ | IRP_MJ_WRITE | IRP_MJ_FLUSH_BUFFERS
    );
    if by_storage && operation.machine.config.strict {
        let text = "a read, write or flush was posted in its post-operation callback, which can \
                    deadlock: the storage stack may complete it directly";
        operation.machine.verifier.violation(Rule::V12, call, text);
    }
}

/// What the thread has set as its top-level request.
pub(super) fn top_level() -> usize {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    return super::process::top_level();
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    0
}

fn allocate(call: &'static str, kind: Kind) -> usize {
    if let Some(machine) = scope::machine() {
        enter(&machine, call);
    }
    let address = NEXT.fetch_add(64, Ordering::Relaxed);
    let item = Arc::new(WorkItem {
        kind,
        queued: AtomicBool::new(false),
    });
    ITEMS.insert(address, item);
    address
}

/// The work item of a kind at an address.
fn lookup(address: usize, kind: Kind) -> Option<Arc<WorkItem>> {
    let item = ITEMS.get(&address).map(|item| Arc::clone(&item));
    item.filter(|item| item.kind == kind)
}

fn free(call: &'static str, address: usize, kind: Kind) {
    let machine = scope::machine();
    if let Some(machine) = &machine {
        enter(machine, call);
    }
    match ITEMS.remove_if(&address, |_, item| item.kind == kind) {
        None => bad_pointer(call, "FltWorkItem", address, "work item"),
        Some((_, item)) if item.queued.load(Ordering::Acquire) => {
            if let Some(machine) = machine {
                let text = "a work item was freed while it is queued";
                machine.verifier.violation(Rule::V20, call, text);
            }
        }
        Some(_) => {}
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
