//! `FltRequestOperationStatusCallback`: who wants to know what the layers below return.

use super::driver_memory::DriverMemory;
use super::operation::{Door, Operation, Phase};
use crate::kernel::irql;
use crate::kernel::scope::{Callback, Scope};
use crate::manager::{Instance, filter};
use fltmgr_sys::*;
use std::sync::Arc;

/// One filter's wish.
pub(crate) struct StatusRequest {
    instance: Arc<Instance>,
    objects: DriverMemory<FLT_RELATED_OBJECTS>,
    /// The parameters when it asked.
    snapshot: DriverMemory<FLT_IO_PARAMETER_BLOCK>,
    routine: PFLT_GET_OPERATION_STATUS_CALLBACK,
    context: usize,
}

/// Remembers the wish of the layer whose pre-operation callback runs.
///
/// # Errors
/// `STATUS_INVALID_PARAMETER` outside of a pre-operation callback, for a close and for what is no
/// IRP; `STATUS_FLT_DELETING_OBJECT` while the instance is torn down.
pub(crate) fn request(
    operation: &Operation,
    routine: PFLT_GET_OPERATION_STATUS_CALLBACK,
    context: usize,
    call: &'static str,
) -> Result<(), NTSTATUS> {
    let layer = operation
        .state
        .lock()
        .layers
        .iter()
        .position(|layer| layer.phase == Phase::InPre);
    let layer = layer
        .filter(|_| operation.door == Door::Irp && operation.major != IRP_MJ_CLOSE)
        .ok_or(STATUS_INVALID_PARAMETER)?;
    let layer = &operation.layers[layer];
    layer.instance.references.acquire(call)?;
    operation.status_requests.lock().push(StatusRequest {
        instance: Arc::clone(&layer.instance),
        objects: DriverMemory::new(layer.objects.load()),
        snapshot: DriverMemory::new(operation.iopb().load()),
        routine,
        context,
    });
    Ok(())
}

/// The call to the layers below has returned, on this thread.
pub(super) fn answer(operation: &Operation, status: NTSTATUS) {
    let requests = std::mem::take(&mut *operation.status_requests.lock());
    for request in requests.into_iter().rev() {
        let Some(routine) = request.routine else {
            continue;
        };
        let scope = Scope::enter(
            &operation.machine,
            Callback::Other,
            irql::current().min(APC_LEVEL),
        );
        // SAFETY: the driver passed this routine and context for this call; the objects and the
        // snapshot live through it, and the reference on the instance keeps the driver loaded.
        unsafe {
            routine(
                request.objects.pointer(),
                request.snapshot.pointer(),
                status,
                request.context as PVOID,
            );
        }
        drop(scope);
        filter::release_instance(&request.instance);
    }
}
