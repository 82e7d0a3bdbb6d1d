//! The MDLs of operations: which buffer one describes, and who frees it.
//!
//! A list belongs to the buffer that it describes. One that `FltLockUserBuffer` makes for the
//! buffer that an operation came with goes when the operation does. One that describes the buffer
//! that a layer swapped in, whoever made it, goes when that layer is done with the operation.

use super::buffer::buffers;
use super::driver_memory::DriverMemory;
use super::operation::{Door, Operation, Phase};
use crate::kernel::mdl;
use crate::kernel::memory::Access;
use fltmgr_sys::*;
use std::ptr::null_mut;

/// The bit of the minor codes of reads and writes that stands for `IRP_MN_MDL`.
const IRP_MN_MDL: UCHAR = 2;
/// What frees the list of a swapped buffer, in reports.
const AFTER_POST: &str = "the end of a post-operation callback";

/// Where the buffer of an operation is, and its list; 0 stands for none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Described {
    buffer: usize,
    list: usize,
}

/// What a layer has swapped in.
#[derive(Clone, Copy, Default)]
pub(crate) struct Swap {
    /// Its pre-operation callback changed the buffer or the list.
    pub(crate) done: bool,
    /// The list of what it swapped in, once the layers below are done, or 0.
    list: usize,
    /// The layer frees that list itself.
    retained: bool,
}

fn described(block: &DriverMemory<FLT_IO_PARAMETER_BLOCK>) -> Described {
    let Some(places) = buffers(block) else {
        return Described { buffer: 0, list: 0 };
    };
    // SAFETY: a member of the parameters, which live as long as the block.
    let buffer = unsafe { places.buffer.read() } as usize;
    let list = if places.mdl.is_null() {
        0
    } else {
        // SAFETY: as above, and there is such a member.
        unsafe { places.mdl.read() as usize }
    };
    Described { buffer, list }
}

/// Locks the buffer of an operation, and describes it in a list, unless there is one.
pub(crate) fn lock_user_buffer(operation: &Operation, call: &'static str) -> NTSTATUS {
    let iopb = operation.iopb().load();
    let transfer = matches!(iopb.MajorFunction, IRP_MJ_READ | IRP_MJ_WRITE);
    let places = buffers(operation.iopb()).filter(|places| !places.mdl.is_null());
    let Some(places) = places.filter(|_| !(transfer && iopb.MinorFunction & IRP_MN_MDL != 0))
    else {
        return STATUS_INVALID_PARAMETER;
    };
    let Described { buffer, list } = described(operation.iopb());
    if list != 0 {
        return STATUS_SUCCESS;
    }
    // SAFETY: every operation with a list has a length, which is a member of its parameters.
    let length = unsafe { places.length.read() };
    let machine = &operation.machine;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let list = mdl::allocate(machine, call, buffer, length);
    if list.is_null() {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let access = if places.access == IoReadAccess {
        Access::Read
    } else {
        Access::Write
    };
    let mode = operation.data().load().RequestorMode;
    if let Err(status) = mdl::lock(machine, call, list, mode, access) {
        mdl::discard(machine, list);
        return status;
    }
    operation.locked.lock().push(Described {
        buffer,
        list: list as usize,
    });
    // SAFETY: a member of the parameters, which live as long as the operation.
    unsafe { places.mdl.write(list) };
    let in_pre = operation.current_layer().is_some_and(|index| {
        let phase = operation.state.lock().layers[index].phase;
        matches!(phase, Phase::InPre | Phase::Resumed { .. } | Phase::Pended)
    });
    if in_pre {
        operation
            .data()
            .modify(|data| data.Flags |= FLTFL_CALLBACK_DATA_DIRTY);
    }
    STATUS_SUCCESS
}

/// Whether the pre-operation callback of a layer has put another buffer in the place of the one
/// that it got. A list that describes the same buffer is none.
pub(super) fn is_swapped(operation: &Operation, index: usize) -> bool {
    let before = described(&operation.layers[index].saved);
    let now = described(operation.iopb());
    before != now && !(before.buffer == now.buffer && operation.locked.lock().contains(&now))
}

/// Gives a layer its parameters back before its post-operation callback, and finds the list of what
/// it swapped in.
pub(super) fn restore(operation: &Operation, index: usize) {
    let saved = &operation.layers[index].saved;
    let before = described(saved);
    let now = described(operation.iopb());
    operation.iopb().store(saved.load());
    let mut state = operation.state.lock();
    let swap = &mut state.layers[index].swap;
    if swap.done {
        // Fast I/O has no lists.
        let own = operation.door == Door::Irp && now.list != before.list;
        swap.list = if own { now.list } else { 0 };
        return;
    }
    drop(state);
    let made_below = now.buffer == before.buffer && operation.locked.lock().contains(&now);
    if made_below && let Some(places) = buffers(operation.iopb()) {
        // SAFETY: a list was made for the operation, so its parameters have the member.
        unsafe { places.mdl.write(now.list as PMDL) };
    }
}

/// The list of what a layer swapped in; `None` outside of post-operation callbacks.
fn of_post<T>(operation: &Operation, act: impl FnOnce(&mut Swap) -> T) -> Option<T> {
    let index = operation.current_layer()?;
    let mut state = operation.state.lock();
    let progress = &mut state.layers[index];
    matches!(
        progress.phase,
        Phase::InPost | Phase::PostResumed | Phase::PostPended
    )
    .then(|| act(&mut progress.swap))
}

/// The list of what the layer whose post-operation callback runs has swapped in; `None` if none
/// runs.
pub(crate) fn swapped_list(operation: &Operation) -> Option<PMDL> {
    if operation.draining {
        // An operation with a swapped buffer is not drained.
        return Some(null_mut());
    }
    of_post(operation, |swap| swap.list as PMDL)
}

/// Leaves the list of what a layer has swapped in to it; `false` if there is none to leave, `None`
/// if no post-operation callback runs.
pub(crate) fn retain(operation: &Operation) -> Option<bool> {
    of_post(operation, |swap| {
        swap.retained = true;
        swap.list != 0
    })
}

/// Frees the list of what a layer has swapped in, unless the layer does.
pub(super) fn release_swapped(operation: &Operation, index: usize) {
    let swap = {
        let mut state = operation.state.lock();
        std::mem::take(&mut state.layers[index].swap)
    };
    if swap.list == 0 {
        return;
    }
    operation
        .locked
        .lock()
        .retain(|locked| locked.list != swap.list);
    if !swap.retained {
        mdl::complete(&operation.machine, AFTER_POST, swap.list as PMDL);
    }
}

/// Frees the lists that were made for the operation, which is complete or given up.
pub(super) fn release_locked(operation: &Operation) {
    let locked = std::mem::take(&mut *operation.locked.lock());
    if locked.contains(&described(operation.iopb()))
        && let Some(places) = buffers(operation.iopb())
    {
        // SAFETY: a list was made for the operation, so its parameters have the member.
        unsafe { places.mdl.write(null_mut()) };
    }
    for Described { list, .. } in locked {
        let call = "the end of an operation";
        mdl::complete(&operation.machine, call, list as PMDL);
    }
}
