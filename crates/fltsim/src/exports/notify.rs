//! Registering routines that are told of processes, threads, images and handles.

use super::data::type_address;
use super::{bad_pointer, exports, here, write};
use crate::image;
use crate::kernel::notify::{self, Sort};
use crate::kernel::string;
use fltmgr_sys::*;

/// `OB_FLT_REGISTRATION_VERSION`.
const VERSION: USHORT = 0x100;
/// Creating and duplicating handles.
const OPERATIONS: ULONG = 3;
/// `PsCreateProcessNotifySubsystems`.
const SUBSYSTEMS: i32 = 0;
/// `PsCreateThreadNotifyNonSystem` and `PsCreateThreadNotifySubsystems`.
const THREAD_SORTS: i32 = 2;

/// `OB_OPERATION_REGISTRATION`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct OperationRegistration {
    kind: *const PVOID,
    operations: ULONG,
    pre: usize,
    post: usize,
}

/// `OB_CALLBACK_REGISTRATION`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CallbackRegistration {
    version: USHORT,
    count: USHORT,
    altitude: UNICODE_STRING,
    context: PVOID,
    operations: *const OperationRegistration,
}

const _: () = assert!(size_of::<OperationRegistration>() == 32);
const _: () = assert!(size_of::<CallbackRegistration>() == 40);

/// Whether a routine may be registered where only images may whose integrity is checked. A driver
/// that is linked into this process has no image.
fn is_checked(routine: usize) -> bool {
    image::find(routine).is_none_or(image::Image::has_integrity)
}

fn process(call: &'static str, sort: Sort, routine: usize, remove: BOOLEAN) -> NTSTATUS {
    let Some(machine) = here(call) else {
        return STATUS_INVALID_PARAMETER;
    };
    if remove != 0 {
        return notify::remove(&machine, sort, routine);
    }
    if sort == Sort::ProcessEx && !is_checked(routine) {
        return STATUS_ACCESS_DENIED;
    }
    notify::add(&machine, sort, routine, call)
}

fn add(call: &'static str, sort: Sort, routine: usize) -> NTSTATUS {
    here(call).map_or(STATUS_INVALID_PARAMETER, |machine| {
        notify::add(&machine, sort, routine, call)
    })
}

fn remove(call: &'static str, sort: Sort, routine: usize) -> NTSTATUS {
    here(call).map_or(STATUS_INVALID_PARAMETER, |machine| {
        notify::remove(&machine, sort, routine)
    })
}

/// Checks what `ObRegisterCallbacks` is given.
///
/// # Safety
/// The registration points to so many operations as it says.
unsafe fn check(registration: &CallbackRegistration) -> Result<(), NTSTATUS> {
    if registration.version != VERSION || registration.count == 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    for index in 0..usize::from(registration.count) {
        // SAFETY: by this function's contract.
        let operation = unsafe { registration.operations.wrapping_add(index).read() };
        // SAFETY: the type is the address of one of the kernel's variables.
        let kind = unsafe { operation.kind.as_ref() }.map_or(0, |kind| *kind as usize);
        let known = [type_address("PsProcessType"), type_address("PsThreadType")];
        let named = operation.operations & !OPERATIONS == 0 && operation.operations != 0;
        let routines = [operation.pre, operation.post];
        if !known.contains(&Some(kind)) || !named || routines == [0, 0] {
            return Err(STATUS_INVALID_PARAMETER);
        }
        if !routines
            .into_iter()
            .all(|routine| routine == 0 || is_checked(routine))
        {
            return Err(STATUS_ACCESS_DENIED);
        }
    }
    Ok(())
}

exports! {
    /// Registers a routine for processes, or takes it out.
    unsafe fn PsSetCreateProcessNotifyRoutine(routine: usize, remove: BOOLEAN) -> NTSTATUS {
        process("PsSetCreateProcessNotifyRoutine", Sort::Process, routine, remove)
    }

    /// Registers an extended routine for processes, or takes it out.
    unsafe fn PsSetCreateProcessNotifyRoutineEx(routine: usize, remove: BOOLEAN) -> NTSTATUS {
        process("PsSetCreateProcessNotifyRoutineEx", Sort::ProcessEx, routine, remove)
    }

    /// Registers an extended routine for processes of every subsystem, or takes it out.
    unsafe fn PsSetCreateProcessNotifyRoutineEx2(
        sort: i32,
        routine: usize,
        remove: BOOLEAN,
    ) -> NTSTATUS {
        const CALL: &str = "PsSetCreateProcessNotifyRoutineEx2";
        if sort != SUBSYSTEMS {
            here(CALL);
            return STATUS_INVALID_PARAMETER;
        }
        process(CALL, Sort::ProcessEx, routine, remove)
    }

    /// Registers a routine for threads.
    unsafe fn PsSetCreateThreadNotifyRoutine(routine: usize) -> NTSTATUS {
        add("PsSetCreateThreadNotifyRoutine", Sort::Thread, routine)
    }

    /// Registers a routine for threads of a sort.
    unsafe fn PsSetCreateThreadNotifyRoutineEx(sort: i32, routine: usize) -> NTSTATUS {
        const CALL: &str = "PsSetCreateThreadNotifyRoutineEx";
        if !(0..THREAD_SORTS).contains(&sort) {
            here(CALL);
            return STATUS_INVALID_PARAMETER;
        }
        add(CALL, Sort::Thread, routine)
    }

    /// Takes a routine for threads out.
    unsafe fn PsRemoveCreateThreadNotifyRoutine(routine: usize) -> NTSTATUS {
        remove("PsRemoveCreateThreadNotifyRoutine", Sort::Thread, routine)
    }

    /// Registers a routine for images.
    unsafe fn PsSetLoadImageNotifyRoutine(routine: usize) -> NTSTATUS {
        add("PsSetLoadImageNotifyRoutine", Sort::Image, routine)
    }

    /// Registers a routine for images, with flags.
    unsafe fn PsSetLoadImageNotifyRoutineEx(routine: usize, flags: u64) -> NTSTATUS {
        const CALL: &str = "PsSetLoadImageNotifyRoutineEx";
        if flags & !1 != 0 {
            here(CALL);
            return STATUS_INVALID_PARAMETER_2;
        }
        add(CALL, Sort::Image, routine)
    }

    /// Takes a routine for images out.
    unsafe fn PsRemoveLoadImageNotifyRoutine(routine: usize) -> NTSTATUS {
        remove("PsRemoveLoadImageNotifyRoutine", Sort::Image, routine)
    }

    /// Registers routines for handles of processes and threads.
    unsafe fn ObRegisterCallbacks(
        registration: *const CallbackRegistration,
        token: *mut usize,
    ) -> NTSTATUS {
        const CALL: &str = "ObRegisterCallbacks";
        let Some(machine) = here(CALL) else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes a registration.
        let Some(registration) = (unsafe { registration.as_ref() }) else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the registration's operations are behind it.
        if let Err(status) = unsafe { check(registration) } {
            return status;
        }
        // SAFETY: the altitude is a string.
        let altitude = unsafe { string::read(&raw const registration.altitude) };
        let Some(altitude) = altitude.filter(|altitude| !altitude.is_empty()) else {
            return STATUS_INVALID_PARAMETER;
        };
        match notify::register(&machine, altitude, CALL) {
            Ok(found) => {
                // SAFETY: the caller passes a place.
                unsafe { write(token, found) };
                STATUS_SUCCESS
            }
            Err(status) => status,
        }
    }

    /// Takes routines for handles out.
    unsafe fn ObUnRegisterCallbacks(token: usize) {
        const CALL: &str = "ObUnRegisterCallbacks";
        let Some(machine) = here(CALL) else {
            return;
        };
        if !notify::unregister(&machine, token) {
            bad_pointer(CALL, "RegistrationHandle", token, "registration of callbacks");
        }
    }

    /// The version of `ObRegisterCallbacks` and its structures.
    unsafe fn ObGetFilterVersion() -> USHORT {
        VERSION
    }
}
