//! The callback path: pre-operation callbacks from the highest altitude down, the file system,
//! post-operation callbacks from the lowest altitude up.
//!
//! At any moment one thread *drives* an operation. A pended or asynchronous operation changes
//! hands: the thread that drives it lets go, and whoever completes it takes over. A synchronised
//! layer keeps its thread: whoever arrives at it from below wakes that thread and lets go.

use super::cancel::{self, OnCancel};
use super::dispatch;
use super::major::{count, major_name};
use super::operation::{Completion, Door, Operation, Phase};
use super::operation_mdl;
use super::status_request;
use crate::kernel::irql;
use crate::kernel::scope::{Callback, Scope};
use crate::verifier::{NO_POST_OPERATION, Rule};
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;
use std::thread;

/// What comes after one layer's pre-operation callback.
pub(crate) enum Step {
    /// The next layer below.
    Down,
    /// The next layer below, and then back to this thread.
    Synchronized,
    /// Completion, from the layer above.
    Complete,
    /// Nothing on this thread: the layer pended the operation.
    Pended,
}

/// Sends an operation through its instances and the file system, and waits until it is complete.
pub(crate) fn run(operation: &Arc<Operation>) -> (NTSTATUS, usize) {
    send(operation);
    let result = wait(operation);
    operation.retire();
    result
}

/// Sends an operation through its instances and the file system. `STATUS_PENDING` if it is not
/// complete when that returns.
pub(crate) fn send(operation: &Arc<Operation>) -> (NTSTATUS, usize) {
    count(&operation.machine, operation.major);
    // A page fault comes with asynchronous procedure calls held off.
    let level = if operation.is_paging() { APC_LEVEL } else { 0 };
    let _level = irql::raise(irql::current().max(level));
    descend(operation, 0);
    operation.state.lock().result
}

/// Waits until an operation is complete.
pub(crate) fn wait(operation: &Operation) -> (NTSTATUS, usize) {
    let mut state = operation.state.lock();
    while !state.finished {
        operation.changed.wait(&mut state);
    }
    state.result
}

/// Pre-operation callbacks from a layer downwards, then the file system.
pub(crate) fn descend(operation: &Arc<Operation>, from: usize) {
    for index in from..operation.layers.len() {
        let step = pre_operation(operation, index);
        match step {
            Step::Down => {}
            other => return follow(operation, index, &other),
        }
    }
    file_system(operation);
}

/// Goes on after the pre-operation callback of a layer.
pub(crate) fn follow(operation: &Arc<Operation>, index: usize, step: &Step) {
    match step {
        Step::Down => descend(operation, index + 1),
        Step::Synchronized => {
            descend(operation, index + 1);
            wait_for_arrival(operation, index);
            if finish_layer(operation, index) {
                ascend(operation, index);
            }
        }
        Step::Complete => {
            let status = operation.io_status().0;
            ascend(operation, index);
            status_request::answer(operation, status);
        }
        Step::Pended => {}
    }
}

fn wait_for_arrival(operation: &Operation, index: usize) {
    let mut state = operation.state.lock();
    while !state.layers[index].arrived {
        operation.changed.wait(&mut state);
    }
}

/// Calls one layer's pre-operation callback.
fn pre_operation(operation: &Arc<Operation>, index: usize) -> Step {
    let layer = &operation.layers[index];
    let Some(registration) = layer
        .instance
        .filter
        .registration
        .operation(operation.major)
    else {
        return Step::Down;
    };
    if skipped(operation, registration.Flags) || !layer.instance.begin_callback() {
        return Step::Down;
    }
    operation
        .iopb()
        .modify(|iopb| iopb.TargetInstance = layer.instance.pointer());
    layer.saved.store(operation.iopb().load());
    operation.data().modify(|data| {
        data.Flags &= !(FLTFL_CALLBACK_DATA_DIRTY | FLTFL_CALLBACK_DATA_POST_OPERATION);
    });
    let Some(callback) = registration.PreOperation else {
        // Only a post-operation callback: as if the other had asked for it.
        return after_pre(operation, index, FLT_PREOP_SUCCESS_WITH_CALLBACK, 0);
    };
    operation.state.lock().layers[index].phase = Phase::InPre;
    let mut context: PVOID = null_mut();
    let status = {
        let _scope = Scope::enter(
            &operation.machine,
            Callback::Pre(operation.major),
            irql::current(),
        );
        // SAFETY: the driver registered this callback for this operation; the callback data, the
        // related objects and the completion context live through the call, and the callback that
        // was begun on the instance keeps the driver loaded.
        unsafe {
            callback(
                operation.pointer(),
                layer.objects.pointer(),
                &raw mut context,
            )
        }
    };
    let context = context as usize;
    if status == FLT_PREOP_PENDING && context != 0 {
        stray_context(operation, index, status);
    }
    let (resumed, decided) = {
        let mut state = operation.state.lock();
        let progress = &mut state.layers[index];
        let resumed = matches!(progress.phase, Phase::Resumed { .. });
        let decided = match (progress.phase, status) {
            (Phase::Resumed { status, context }, FLT_PREOP_PENDING)
                if operation.door == Door::Irp =>
            {
                cancel::forget(operation);
                Some((status, context))
            }
            (_, FLT_PREOP_PENDING) if operation.door == Door::Irp => {
                layer.instance.pended(operation);
                progress.phase = Phase::Pended;
                None
            }
            _ => Some((status, context)),
        };
        (resumed, decided)
    };
    if resumed && status != FLT_PREOP_PENDING {
        misuse(
            operation,
            index,
            "completed an operation and did not pend it",
        );
    }
    match decided {
        None => Step::Pended,
        Some((status, context)) => after_pre(operation, index, status, context),
    }
}

/// Acts on what a pre-operation callback, or the completion of a pended one, decided.
fn after_pre(
    operation: &Arc<Operation>,
    index: usize,
    status: FLT_PREOP_CALLBACK_STATUS,
    context: usize,
) -> Step {
    let layer = &operation.layers[index];
    let filter = &layer.instance.filter;
    if operation.data().load().Flags & FLTFL_CALLBACK_DATA_DIRTY == 0 {
        // Changes that are not announced do not reach the layers below.
        operation.iopb().store(layer.saved.load());
    }
    let with_callback = matches!(
        status,
        FLT_PREOP_SUCCESS_WITH_CALLBACK | FLT_PREOP_SYNCHRONIZE
    );
    if context != 0 && !with_callback && status != FLT_PREOP_PENDING {
        stray_context(operation, index, status);
    }
    let step = match status {
        FLT_PREOP_SUCCESS_WITH_CALLBACK | FLT_PREOP_SYNCHRONIZE => {
            let post = filter
                .registration
                .operation(operation.major)
                .and_then(|registration| registration.PostOperation);
            if post.is_some() {
                return await_completion(operation, index, status, context);
            }
            operation.machine.verifier.bugcheck(
                Rule::V13,
                [NO_POST_OPERATION, operation.pointer() as u64, 0, 0],
                "pre-operation callback",
                format!(
                    "{} asked for a post-operation callback of {} but has registered none",
                    filter.name,
                    major_name(operation.major)
                ),
            );
            Step::Down
        }
        FLT_PREOP_SUCCESS_NO_CALLBACK => Step::Down,
        FLT_PREOP_COMPLETE => {
            let status = operation.io_status().0;
            if status == STATUS_PENDING {
                misuse(
                    operation,
                    index,
                    "completed an operation with STATUS_PENDING",
                );
            }
            let cannot_fail = matches!(operation.major, IRP_MJ_CLEANUP | IRP_MJ_CLOSE);
            if cannot_fail && !nt_success(status) {
                misuse(operation, index, "failed an operation that cannot fail");
            }
            Step::Complete
        }
        FLT_PREOP_DISALLOW_FASTIO | FLT_PREOP_DISALLOW_FSFILTER_IO
            if may_disallow(operation, status) =>
        {
            operation.set_io_status(STATUS_FLT_DISALLOW_FAST_IO, 0);
            Step::Complete
        }
        FLT_PREOP_PENDING => {
            misuse(operation, index, "pended an operation that is not an IRP");
            Step::Down
        }
        other => {
            let what = format!("returned pre-operation status {other}, which is not legal here");
            misuse(operation, index, &what);
            Step::Down
        }
    };
    operation.state.lock().layers[index].phase = Phase::Idle;
    layer.instance.end_callback();
    step
}

/// Whether an operation can be sent back, to come again by the slow way.
fn may_disallow(operation: &Operation, status: FLT_PREOP_CALLBACK_STATUS) -> bool {
    match status {
        FLT_PREOP_DISALLOW_FASTIO => operation.door == Door::FastIo,
        _ => operation.major == IRP_MJ_NETWORK_QUERY_OPEN,
    }
}

/// A layer waits for the completion of what is below it.
fn await_completion(
    operation: &Arc<Operation>,
    index: usize,
    status: FLT_PREOP_CALLBACK_STATUS,
    context: usize,
) -> Step {
    let mut synchronized = status == FLT_PREOP_SYNCHRONIZE && operation.door == Door::Irp;
    if synchronized && operation.major == IRP_MJ_CREATE {
        misuse(operation, index, "synchronised a create, which always is");
        synchronized = false;
    }
    let transfers = matches!(operation.major, IRP_MJ_READ | IRP_MJ_WRITE);
    if synchronized && transfers && !operation.synchronous {
        let what = "synchronised a read or a write that its issuer does not wait for";
        misuse(operation, index, what);
    }
    let swapped = operation_mdl::is_swapped(operation, index);
    {
        let mut state = operation.state.lock();
        let progress = &mut state.layers[index];
        progress.phase = Phase::Awaiting;
        progress.context = context;
        progress.synchronized = synchronized;
        progress.arrived = false;
        progress.swap.done = swapped;
    }
    operation.layers[index]
        .instance
        .await_completion(operation, index, swapped);
    if synchronized {
        Step::Synchronized
    } else {
        Step::Down
    }
}

/// The file system's part, here or on another thread.
fn file_system(operation: &Arc<Operation>) {
    let bottom = operation.layers.len();
    let level = match operation.completion {
        Completion::Synchronous => {
            if !perform(operation) {
                return status_request::answer(operation, STATUS_PENDING);
            }
            let status = operation.io_status().0;
            ascend(operation, bottom);
            return status_request::answer(operation, status);
        }
        Completion::Worker => PASSIVE_LEVEL,
        Completion::Dispatch => DISPATCH_LEVEL,
    };
    let other = Arc::clone(operation);
    let announced = operation.machine.work_queue.announce();
    thread::spawn(move || {
        if perform(&other) {
            let lowered = irql::raise(level);
            ascend(&other, bottom);
            drop(lowered);
        }
        drop(announced);
    });
    status_request::answer(operation, STATUS_PENDING);
}

/// `false` if the file system keeps the operation, which [`arrive`] ends.
fn perform(operation: &Arc<Operation>) -> bool {
    operation.state.lock().performed = true;
    operation
        .iopb()
        .modify(|iopb| iopb.TargetInstance = null_mut());
    notify_scanners(operation);
    let Some((status, information)) = dispatch::perform(operation) else {
        return false;
    };
    operation.set_io_status(status, information);
    true
}

/// The file system is done with an operation that it has kept.
pub(super) fn arrive(operation: &Arc<Operation>, status: NTSTATUS) {
    operation.set_io_status(status, 0);
    ascend(operation, operation.layers.len());
}

/// Tells the owners of data-scan sections about an operation that cannot go together with them:
/// one that changes the size of the file, or writes past the cache.
fn notify_scanners(operation: &Arc<Operation>) {
    let iopb = operation.iopb().load();
    let conflicts = match operation.major {
        IRP_MJ_SET_INFORMATION => {
            // SAFETY: this is such a request, and whoever changed its parameters kept to their
            // layout.
            let parameters = unsafe { iopb.Parameters.SetFileInformation };
            parameters.FileInformationClass == FileEndOfFileInformation
                || parameters.FileInformationClass == FileAllocationInformation
        }
        IRP_MJ_WRITE => iopb.IrpFlags & (IRP_NOCACHE | IRP_PAGING_IO) == IRP_NOCACHE,
        _ => false,
    };
    let Some(stream) = operation.file.stream().filter(|_| conflicts) else {
        return;
    };
    let machine = &operation.machine;
    for (owner, node) in machine.contexts.sections_on(operation.volume.id, stream) {
        let stack = operation.volume.stack();
        let Some(instance) = stack.iter().find(|instance| instance.id == owner) else {
            continue;
        };
        let callbacks = &instance.filter.registration.callbacks;
        if let Some(callback) = callbacks.SectionNotificationCallback
            && instance.begin_callback()
        {
            let scope = Scope::enter(machine, Callback::SectionConflict, irql::current());
            // SAFETY: the driver registered this callback; the callback that was begun keeps the
            // instance attached, the context is linked while its section is open, and the callback
            // data lives through the call.
            unsafe {
                callback(
                    instance.pointer(),
                    node.address as PVOID,
                    operation.pointer(),
                )
            };
            drop(scope);
            instance.end_callback();
        }
    }
}

/// Completion, from the layer above `from` upwards.
fn ascend(operation: &Arc<Operation>, from: usize) {
    for index in (0..from).rev() {
        let hand_over = {
            let mut state = operation.state.lock();
            let progress = &mut state.layers[index];
            if progress.synchronized {
                progress.arrived = true;
            }
            progress.synchronized
        };
        if hand_over {
            operation.changed.notify_all();
            return;
        }
        if !finish_layer(operation, index) {
            return;
        }
    }
    operation_mdl::release_locked(operation);
    let result = operation.io_status();
    let afterwards = operation.afterwards.lock().take();
    {
        let mut state = operation.state.lock();
        state.finished = true;
        state.result = result;
    }
    operation.changed.notify_all();
    if let Some(afterwards) = afterwards {
        afterwards(operation);
    }
}

/// Gives a layer its post-operation callback if it waits for one; `false` if it keeps the
/// operation.
fn finish_layer(operation: &Arc<Operation>, index: usize) -> bool {
    let context = {
        let mut state = operation.state.lock();
        let progress = &mut state.layers[index];
        progress.synchronized = false;
        if progress.phase != Phase::Awaiting {
            return true;
        }
        progress.phase = Phase::InPost;
        progress.context
    };
    let layer = &operation.layers[index];
    layer.instance.begin_post(operation, index);
    let registration = layer
        .instance
        .filter
        .registration
        .operation(operation.major);
    let Some(callback) = registration.and_then(|registration| registration.PostOperation) else {
        layer.instance.end_callback();
        return true;
    };
    operation_mdl::restore(operation, index);
    operation.data().modify(|data| {
        data.Flags |= FLTFL_CALLBACK_DATA_POST_OPERATION;
        data.Flags &= !FLTFL_CALLBACK_DATA_DIRTY;
    });
    let status = {
        let _scope = Scope::enter(
            &operation.machine,
            Callback::Post(operation.major),
            irql::current(),
        );
        // SAFETY: the driver registered this callback for this operation; the callback data and
        // the related objects live through the call, and the callback that was resumed on the
        // instance keeps the driver loaded.
        unsafe {
            callback(
                operation.pointer(),
                layer.objects.pointer(),
                context as PVOID,
                0,
            )
        }
    };
    let more = status == FLT_POSTOP_MORE_PROCESSING_REQUIRED;
    if more && operation.door != Door::Irp {
        misuse(operation, index, "kept an operation that is not an IRP");
    }
    let (early, keeps) = {
        let mut state = operation.state.lock();
        let progress = &mut state.layers[index];
        let early = progress.phase == Phase::PostResumed;
        let keeps = more && operation.door == Door::Irp && !early;
        if keeps {
            layer.instance.pended(operation);
            progress.phase = Phase::PostPended;
        }
        (early, keeps)
    };
    if early && !more {
        misuse(
            operation,
            index,
            "completed an operation and did not keep it",
        );
    }
    if keeps {
        return false;
    }
    match status {
        FLT_POSTOP_FINISHED_PROCESSING | FLT_POSTOP_MORE_PROCESSING_REQUIRED => {}
        FLT_POSTOP_DISALLOW_FSFILTER_IO if operation.major == IRP_MJ_NETWORK_QUERY_OPEN => {
            operation.set_io_status(STATUS_FLT_DISALLOW_FAST_IO, 0);
        }
        _ => {
            let what = format!("returned post-operation status {status}, which is not legal here");
            misuse(operation, index, &what);
        }
    }
    release_layer(operation, index);
    true
}

/// A layer is done with an operation.
fn release_layer(operation: &Operation, index: usize) {
    operation_mdl::release_swapped(operation, index);
    operation.state.lock().layers[index].phase = Phase::Idle;
    operation.layers[index].instance.end_callback();
}

/// `FltCompletePendedPreOperation`: `false` if nothing is pended.
pub(crate) fn resume_pre(
    operation: &Arc<Operation>,
    status: FLT_PREOP_CALLBACK_STATUS,
    context: usize,
) -> bool {
    let index = {
        let mut state = operation.state.lock();
        let running = state
            .layers
            .iter_mut()
            .enumerate()
            .find(|(_, layer)| matches!(layer.phase, Phase::InPre | Phase::Pended));
        match running {
            None => return false,
            Some((_, progress)) if progress.phase == Phase::InPre => {
                progress.phase = Phase::Resumed { status, context };
                return true;
            }
            Some((index, progress)) => {
                // From here on the operation is this thread's.
                progress.phase = Phase::InPre;
                index
            }
        }
    };
    operation.layers[index].instance.resumed(operation);
    cancel::forget(operation);
    let step = after_pre(operation, index, status, context);
    follow(operation, index, &step);
    true
}

/// `FltCompletePendedPostOperation`: `false` if nothing is pended.
pub(crate) fn resume_post(operation: &Arc<Operation>) -> bool {
    let index = {
        let mut state = operation.state.lock();
        let running = state
            .layers
            .iter_mut()
            .enumerate()
            .rev()
            .find(|(_, layer)| matches!(layer.phase, Phase::InPost | Phase::PostPended));
        match running {
            None => return false,
            Some((_, progress)) if progress.phase == Phase::InPost => {
                progress.phase = Phase::PostResumed;
                return true;
            }
            Some((index, progress)) => {
                progress.phase = Phase::InPost;
                index
            }
        }
    };
    operation.layers[index].instance.resumed(operation);
    cancel::forget(operation);
    release_layer(operation, index);
    ascend(operation, index);
    true
}

/// Gives a layer that waits for completion its draining call; nothing if completion came first.
///
/// Called by the thread that tears the instance down.
pub(crate) fn drain(operation: &Arc<Operation>, index: usize) {
    let context = {
        let mut state = operation.state.lock();
        let progress = &mut state.layers[index];
        if progress.phase != Phase::Awaiting {
            return;
        }
        progress.phase = Phase::Drained;
        progress.context
    };
    let layer = &operation.layers[index];
    let registration = layer
        .instance
        .filter
        .registration
        .operation(operation.major);
    if let Some(callback) = registration.and_then(|registration| registration.PostOperation) {
        let copy = operation.drained_copy(index);
        let _scope = Scope::enter(
            &operation.machine,
            Callback::Post(operation.major),
            irql::current().min(APC_LEVEL),
        );
        // SAFETY: as for the ordinary post-operation call; the callback data is a copy that lives
        // through the call.
        let status = unsafe {
            callback(
                copy.pointer(),
                layer.objects.pointer(),
                context as PVOID,
                FLTFL_POST_OPERATION_DRAINING,
            )
        };
        if status != FLT_POSTOP_FINISHED_PROCESSING {
            let what = format!("returned post-operation status {status} while draining");
            misuse(operation, index, &what);
        }
        copy.retire();
    }
    layer.instance.drained(operation, index);
}

/// Completes an operation that a torn-down instance has pended and will never complete.
pub(crate) fn abandon(operation: &Arc<Operation>) {
    // Its cancel routine is one of the driver that has been given up; nor does it wait any more.
    if let Some(OnCancel::Withdraw(withdraw)) = operation.take_cancel() {
        drop(withdraw());
    }
    operation.set_io_status(STATUS_CANCELLED, 0);
    if !resume_pre(operation, FLT_PREOP_COMPLETE, 0) {
        resume_post(operation);
    }
}

/// Whether the registration flags keep this operation from a filter.
fn skipped(operation: &Operation, flags: FLT_OPERATION_REGISTRATION_FLAGS) -> bool {
    if flags == 0 {
        return false;
    }
    if flags & FLTFL_OPERATION_REGISTRATION_SKIP_NON_DASD_IO != 0
        && !operation.file.is_volume_open()
    {
        return true;
    }
    if !matches!(operation.major, IRP_MJ_READ | IRP_MJ_WRITE) {
        return false;
    }
    let paging = operation.irp_flags & IRP_PAGING_IO != 0;
    let cached = operation.irp_flags & IRP_NOCACHE == 0;
    let sort = match (paging, cached) {
        (true, _) => FLTFL_OPERATION_REGISTRATION_SKIP_PAGING_IO,
        (false, true) => FLTFL_OPERATION_REGISTRATION_SKIP_CACHED_IO,
        (false, false) => FLTFL_OPERATION_REGISTRATION_SKIP_NON_CACHED_NON_PAGING_IO,
    };
    flags & sort != 0
}

fn stray_context(operation: &Operation, index: usize, status: FLT_PREOP_CALLBACK_STATUS) {
    let filter = &operation.layers[index].instance.filter;
    operation.machine.verifier.violation(
        Rule::V13,
        "pre-operation callback",
        format!(
            "{} set a completion context for {} although it returned {}; it is lost",
            filter.name,
            major_name(operation.major),
            status_name(status)
        ),
    );
}

fn misuse(operation: &Operation, index: usize, what: &str) {
    let filter = &operation.layers[index].instance.filter;
    operation.machine.verifier.violation(
        Rule::V12,
        "operation callback",
        format!("{} {what} ({})", filter.name, major_name(operation.major)),
    );
}

fn status_name(status: FLT_PREOP_CALLBACK_STATUS) -> &'static str {
    match status {
        FLT_PREOP_SUCCESS_WITH_CALLBACK => "FLT_PREOP_SUCCESS_WITH_CALLBACK",
        FLT_PREOP_SUCCESS_NO_CALLBACK => "FLT_PREOP_SUCCESS_NO_CALLBACK",
        FLT_PREOP_PENDING => "FLT_PREOP_PENDING",
        FLT_PREOP_DISALLOW_FASTIO => "FLT_PREOP_DISALLOW_FASTIO",
        FLT_PREOP_COMPLETE => "FLT_PREOP_COMPLETE",
        FLT_PREOP_SYNCHRONIZE => "FLT_PREOP_SYNCHRONIZE",
        FLT_PREOP_DISALLOW_FSFILTER_IO => "FLT_PREOP_DISALLOW_FSFILTER_IO",
        _ => "an unknown status",
    }
}
