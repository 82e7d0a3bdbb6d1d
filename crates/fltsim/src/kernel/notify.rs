//! Routines that drivers register to be told of processes, threads, images and handles. Nothing
//! here ever happens that they would be told of: registering is checked and remembered.

use crate::machine::Inner;
use fltmgr_sys::*;
use parking_lot::Mutex;

/// `STATUS_PROCEDURE_NOT_FOUND`.
pub(crate) const STATUS_PROCEDURE_NOT_FOUND: NTSTATUS = 0xC000_007A_u32.cast_signed();
/// How many routines of a sort there can be.
const MOST: usize = 64;

/// What a routine is told of. The plain and the extended functions share a list each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Process,
    ProcessEx,
    Thread,
    Image,
}

impl Sort {
    fn name(self) -> &'static str {
        match self {
            Self::Process | Self::ProcessEx => "process notify routine",
            Self::Thread => "thread notify routine",
            Self::Image => "image notify routine",
        }
    }

    /// Processes have one list for both sorts of routines.
    fn list(self) -> Self {
        if self == Self::ProcessEx {
            Self::Process
        } else {
            self
        }
    }
}

/// One registration of `ObRegisterCallbacks`.
struct Callbacks {
    altitude: String,
    token: usize,
}

/// What is registered on a machine.
#[derive(Default)]
pub(crate) struct Notify {
    routines: Mutex<Vec<(Sort, usize)>>,
    callbacks: Mutex<Vec<Callbacks>>,
}

/// Registers a routine.
pub(crate) fn add(machine: &Inner, sort: Sort, routine: usize, call: &'static str) -> NTSTATUS {
    let mut routines = machine.notify.routines.lock();
    if routines.contains(&(sort, routine)) {
        return STATUS_INVALID_PARAMETER;
    }
    let same = routines
        .iter()
        .filter(|(other, _)| other.list() == sort.list());
    if same.count() >= MOST {
        // What is documented for too many process routines; the others are out of resources.
        return if sort.list() == Sort::Process {
            STATUS_INVALID_PARAMETER
        } else {
            STATUS_INSUFFICIENT_RESOURCES
        };
    }
    routines.push((sort, routine));
    machine.held.add(sort.name(), routine, call);
    STATUS_SUCCESS
}

/// Takes a routine out again.
pub(crate) fn remove(machine: &Inner, sort: Sort, routine: usize) -> NTSTATUS {
    let mut routines = machine.notify.routines.lock();
    let Some(index) = routines.iter().position(|one| *one == (sort, routine)) else {
        return STATUS_PROCEDURE_NOT_FOUND;
    };
    routines.remove(index);
    machine.held.remove(routine);
    STATUS_SUCCESS
}

/// Registers object callbacks at an altitude, which nobody else may have, and gives what they are
/// known by.
pub(crate) fn register(
    machine: &Inner,
    altitude: String,
    call: &'static str,
) -> Result<usize, NTSTATUS> {
    let mut callbacks = machine.notify.callbacks.lock();
    if callbacks.iter().any(|one| one.altitude == altitude) {
        return Err(STATUS_FLT_INSTANCE_ALTITUDE_COLLISION);
    }
    // A name and no address: nobody follows it.
    let token = 0x7D00_0000_0000 + usize::try_from(machine.next_id()).unwrap_or(0) * 16;
    machine.held.add("object callbacks", token, call);
    callbacks.push(Callbacks { altitude, token });
    Ok(token)
}

/// Takes object callbacks out again; `false` if there are none of this name.
pub(crate) fn unregister(machine: &Inner, token: usize) -> bool {
    let mut callbacks = machine.notify.callbacks.lock();
    let before = callbacks.len();
    callbacks.retain(|one| one.token != token);
    callbacks.len() != before && machine.held.remove(token)
}
