//! Callback data that a driver allocates for operations of its own, and operations that it sends
//! again.

use super::file_object::{Birth, FileObject, FilePhase};
use super::operation::{Afterwards, Operation, Request, find};
use super::path;
use crate::filesystem::Authority;
use crate::machine::Inner;
use crate::manager::{self, Filter, Instance, Object};
use dashmap::DashMap;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

/// What a report calls it.
const NAME: &str = "callback data";

/// Allocated callback data, by address.
static OWN: LazyLock<DashMap<usize, Arc<Own>>> = LazyLock::new(DashMap::new);

/// Callback data that a driver has allocated.
pub(crate) struct Own {
    idle: Arc<Operation>,
    pub(crate) instance: Arc<Instance>,
    /// An operation is using it.
    busy: AtomicBool,
}

/// Allocates callback data for an instance.
pub(crate) fn allocate(
    machine: &Arc<Inner>,
    instance: &Arc<Instance>,
    file: Option<Arc<FileObject>>,
    call: &'static str,
) -> PFLT_CALLBACK_DATA {
    let target = file.as_ref().map_or(null_mut(), |file| file.pointer());
    let file = file.unwrap_or_else(|| {
        // Whoever asks what the operation is about finds nothing that is open.
        FileObject::unknown(&instance.volume, Birth::new(machine, ""))
    });
    let idle = Operation::idle(machine, &file, instance, target);
    let data = idle.pointer();
    instance.filter.held.add(NAME, data as usize, call);
    let own = Own {
        idle,
        instance: Arc::clone(instance),
        busy: AtomicBool::new(false),
    };
    OWN.insert(data as usize, Arc::new(own));
    data
}

/// The allocated callback data at an address.
pub(crate) fn lookup(data: PFLT_CALLBACK_DATA) -> Option<Arc<Own>> {
    OWN.get(&(data as usize)).map(|own| Arc::clone(&own))
}

/// Forgets what a filter has not freed, after it was reported.
pub(crate) fn forget(filter: &Filter) {
    OWN.retain(|_, own| {
        // Other machines have filters with the same number.
        let keep = !std::ptr::eq(&raw const *own.instance.filter, filter);
        if !keep {
            own.idle.retire();
        }
        keep
    });
}

impl Own {
    pub(crate) fn machine(&self) -> &Arc<Inner> {
        &self.idle.machine
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Frees it; it must not be busy.
    pub(crate) fn free(&self) {
        let address = self.idle.pointer() as usize;
        OWN.remove(&address);
        self.instance.filter.held.remove(address);
        self.idle.retire();
    }

    /// Makes it ready for another operation.
    pub(crate) fn reset(&self) {
        self.idle.reset();
    }

    /// Says how an operation that never began has ended.
    pub(crate) fn fail(&self, status: NTSTATUS) {
        self.idle.set_io_status(status, 0);
    }

    /// The operation that its parameters ask for.
    ///
    /// # Errors
    /// `STATUS_INVALID_PARAMETER` without a file object.
    fn operation(&self, synchronous: bool) -> Result<Arc<Operation>, NTSTATUS> {
        let iopb = self.idle.iopb().load();
        let file = match manager::find(iopb.TargetFileObject as usize) {
            Some(Object::File(file)) if file.volume().id == self.instance.volume.id => file,
            _ => return Err(STATUS_INVALID_PARAMETER),
        };
        let mut request = repetition(&iopb);
        request.data_flags = FLTFL_CALLBACK_DATA_GENERATED_IO;
        request.synchronous = synchronous;
        request.below = Some(Arc::clone(&self.instance));
        self.idle.set_io_status(STATUS_SUCCESS, 0);
        Ok(self.idle.again(&file, &request))
    }

    /// Performs the operation and waits for it.
    pub(crate) fn perform(&self) {
        self.busy.store(true, Ordering::Release);
        match self.operation(true) {
            Ok(operation) => {
                self.instance.sends(|| path::run(&operation));
            }
            Err(status) => self.fail(status),
        }
        self.busy.store(false, Ordering::Release);
    }

    /// Performs the operation; `done` is called in any case, and then it may be freed.
    pub(crate) fn begin(
        self: &Arc<Self>,
        done: impl FnOnce(PFLT_CALLBACK_DATA) + Send + 'static,
    ) -> NTSTATUS {
        self.busy.store(true, Ordering::Release);
        let own = Arc::clone(self);
        let finish = move || {
            own.busy.store(false, Ordering::Release);
            done(own.idle.pointer());
        };
        let create = self.idle.iopb().load().MajorFunction == IRP_MJ_CREATE;
        let operation = if create {
            Err(STATUS_FLT_INVALID_ASYNCHRONOUS_REQUEST)
        } else {
            self.operation(false)
        };
        match operation {
            Err(status) => {
                self.fail(status);
                finish();
                status
            }
            Ok(operation) => begin(
                &operation,
                Box::new(move |operation| {
                    operation.retire();
                    finish();
                }),
            ),
        }
    }
}

/// Sends an operation that nobody waits for. `STATUS_PENDING` if it is not complete yet, or
/// `STATUS_SUCCESS` whatever it ended with.
pub(crate) fn begin(operation: &Arc<Operation>, afterwards: Afterwards) -> NTSTATUS {
    *operation.afterwards.lock() = Some(afterwards);
    path::send(operation);
    if operation.state.lock().finished {
        STATUS_SUCCESS
    } else {
        STATUS_PENDING
    }
}

/// A request of a driver with the parameters that stand in callback data.
fn repetition(iopb: &FLT_IO_PARAMETER_BLOCK) -> Request {
    let mut request = Request::new(iopb.MajorFunction);
    request.minor = iopb.MinorFunction;
    request.irp_flags = iopb.IrpFlags;
    request.operation_flags = iopb.OperationFlags;
    request.parameters = iopb.Parameters;
    request.kernel = true;
    request.authority = Authority::Kernel;
    request
}

/// `FltReissueSynchronousIo`: sends an operation again to what is below an instance, and waits.
pub(crate) fn reissue(operation: &Arc<Operation>, below: &Arc<Instance>) {
    let data = operation.pointer();
    let iopb = operation.iopb().load();
    let file = match manager::find(iopb.TargetFileObject as usize) {
        Some(Object::File(file)) if file.volume().id == below.volume.id => file,
        _ => operation.file.clone(),
    };
    if iopb.MajorFunction == IRP_MJ_CREATE {
        let status = if file.is_open_cancelled() {
            STATUS_CANCELLED
        } else if file.phase() == FilePhase::Unopened {
            STATUS_SUCCESS
        } else {
            STATUS_INVALID_PARAMETER
        };
        if status != STATUS_SUCCESS {
            operation.set_io_status(status, 0);
            return;
        }
    }
    let mut request = repetition(&iopb);
    request.data_flags = FLTFL_CALLBACK_DATA_REISSUED_IO;
    request.kernel = operation.kernel;
    request.authority = operation.authority;
    request.keep_position = operation.keep_position;
    request.below = Some(Arc::clone(below));
    operation.data().modify(|data| data.TagData = null_mut());
    operation.set_io_status(STATUS_SUCCESS, 0);
    let again = operation.again(&file, &request);
    path::run(&again);
    debug_assert!(find(data).is_some());
}
