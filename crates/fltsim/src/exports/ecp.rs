//! Extra create parameters. Each function is there twice: for minifilters, with a filter in front,
//! and as a file system's run-time routine.

use super::operation::operation;
use super::{enter, exports, filter, write};
use crate::io::Door;
use crate::kernel::scope;
use crate::machine::Inner;
use crate::manager::ecp::{Found, Request};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Calls a function on the machine of a filter.
fn of_filter<T>(
    call: &'static str,
    owner: PFLT_FILTER,
    otherwise: T,
    run: impl FnOnce(&Arc<Inner>) -> T,
) -> T {
    let Some((machine, _)) = filter(call, "Filter", owner) else {
        return otherwise;
    };
    enter(&machine, call);
    run(&machine)
}

/// Calls a function on the machine that this thread is in.
fn here<T>(call: &'static str, otherwise: T, run: impl FnOnce(&Arc<Inner>) -> T) -> T {
    let Some(machine) = scope::machine() else {
        eprintln!("fltsim: {call} outside of a machine");
        return otherwise;
    };
    enter(&machine, call);
    run(&machine)
}

/// Defines both forms of functions that are called with a machine, the name of the call, and their
/// arguments.
macro_rules! twins {
    ($(
        $(#[$meta:meta])*
        unsafe fn $flt:ident / $fsrtl:ident($($arg:ident : $ty:ty),* $(,)?) $(-> $ret:ty)?
            = $inner:ident or $otherwise:expr;
    )*) => {
        exports! {$(
            $(#[$meta])*
            unsafe fn $flt(Filter: PFLT_FILTER, $($arg: $ty),*) $(-> $ret)? {
                const CALL: &str = stringify!($flt);
                of_filter(CALL, Filter, $otherwise, |machine| {
                    // SAFETY: passed on to the caller.
                    unsafe { $inner(machine, CALL, $($arg),*) }
                })
            }

            $(#[$meta])*
            unsafe fn $fsrtl($($arg: $ty),*) $(-> $ret)? {
                const CALL: &str = stringify!($fsrtl);
                here(CALL, $otherwise, |machine| {
                    // SAFETY: passed on to the caller.
                    unsafe { $inner(machine, CALL, $($arg),*) }
                })
            }
        )*}
    };
}

twins! {
    /// Makes an empty list.
    unsafe fn FltAllocateExtraCreateParameterList / FsRtlAllocateExtraCreateParameterList(
        Flags: FSRTL_ALLOCATE_ECPLIST_FLAGS,
        EcpList: *mut PECP_LIST,
    ) -> NTSTATUS = allocate_list or STATUS_INVALID_PARAMETER;

    /// Frees a list and what is in it.
    unsafe fn FltFreeExtraCreateParameterList / FsRtlFreeExtraCreateParameterList(
        EcpList: PECP_LIST,
    ) = free_list or ();

    /// Makes a parameter.
    unsafe fn FltAllocateExtraCreateParameter / FsRtlAllocateExtraCreateParameter(
        EcpType: *const GUID,
        SizeOfContext: ULONG,
        Flags: FSRTL_ALLOCATE_ECP_FLAGS,
        CleanupCallback: PFSRTL_EXTRA_CREATE_PARAMETER_CLEANUP_CALLBACK,
        PoolTag: ULONG,
        EcpContext: *mut PVOID,
    ) -> NTSTATUS = allocate or STATUS_INVALID_PARAMETER;

    /// Makes a parameter of the memory of a lookaside list, if that is large enough.
    unsafe fn FltAllocateExtraCreateParameterFromLookasideList
        / FsRtlAllocateExtraCreateParameterFromLookasideList(
        EcpType: *const GUID,
        SizeOfContext: ULONG,
        Flags: FSRTL_ALLOCATE_ECP_FLAGS,
        CleanupCallback: PFSRTL_EXTRA_CREATE_PARAMETER_CLEANUP_CALLBACK,
        LookasideList: PVOID,
        EcpContext: *mut PVOID,
    ) -> NTSTATUS = allocate_from_lookaside or STATUS_INVALID_PARAMETER;

    /// Frees a parameter that is in no list.
    unsafe fn FltFreeExtraCreateParameter / FsRtlFreeExtraCreateParameter(
        EcpContext: PVOID,
    ) = free or ();

    /// Initialises a lookaside list for parameters.
    unsafe fn FltInitExtraCreateParameterLookasideList
        / FsRtlInitExtraCreateParameterLookasideList(
        Lookaside: PVOID,
        Flags: FSRTL_ECP_LOOKASIDE_FLAGS,
        Size: SIZE_T,
        Tag: ULONG,
    ) = init_lookaside or ();

    /// Deletes such a lookaside list.
    unsafe fn FltDeleteExtraCreateParameterLookasideList
        / FsRtlDeleteExtraCreateParameterLookasideList(
        Lookaside: PVOID,
        Flags: FSRTL_ECP_LOOKASIDE_FLAGS,
    ) = delete_lookaside or ();

    /// Adds a parameter to a list.
    unsafe fn FltInsertExtraCreateParameter / FsRtlInsertExtraCreateParameter(
        EcpList: PECP_LIST,
        EcpContext: PVOID,
    ) -> NTSTATUS = insert or STATUS_INVALID_PARAMETER;

    /// The parameter of a type.
    unsafe fn FltFindExtraCreateParameter / FsRtlFindExtraCreateParameter(
        EcpList: PECP_LIST,
        EcpType: *const GUID,
        EcpContext: *mut PVOID,
        EcpContextSize: *mut ULONG,
    ) -> NTSTATUS = find or STATUS_INVALID_PARAMETER;

    /// Takes the parameter of a type out of a list.
    unsafe fn FltRemoveExtraCreateParameter / FsRtlRemoveExtraCreateParameter(
        EcpList: PECP_LIST,
        EcpType: *const GUID,
        EcpContext: *mut PVOID,
        EcpContextSize: *mut ULONG,
    ) -> NTSTATUS = remove or STATUS_INVALID_PARAMETER;

    /// The parameter after another, or the first one.
    unsafe fn FltGetNextExtraCreateParameter / FsRtlGetNextExtraCreateParameter(
        EcpList: PECP_LIST,
        CurrentEcpContext: PVOID,
        NextEcpType: *mut GUID,
        NextEcpContext: *mut PVOID,
        NextEcpContextSize: *mut ULONG,
    ) -> NTSTATUS = next or STATUS_INVALID_PARAMETER;

    /// Marks a parameter as seen.
    unsafe fn FltAcknowledgeEcp / FsRtlAcknowledgeEcp(EcpContext: PVOID) = acknowledge or ();

    /// Whether a parameter is marked as seen.
    unsafe fn FltIsEcpAcknowledged / FsRtlIsEcpAcknowledged(
        EcpContext: PVOID,
    ) -> BOOLEAN = is_acknowledged or 0;

    /// Whether a parameter comes from user mode.
    unsafe fn FltIsEcpFromUserMode / FsRtlIsEcpFromUserMode(
        EcpContext: PVOID,
    ) -> BOOLEAN = is_from_user or 0;

    /// Removes the mark of a parameter.
    unsafe fn FltPrepareToReuseEcp / FsRtlPrepareToReuseEcp(EcpContext: PVOID) = reuse or ();
}

/// The lists of creates.
pub(super) mod callback_data {
    use super::*;

    exports! {
        /// The list of a create; NULL if it has none.
        unsafe fn FltGetEcpListFromCallbackData(
            Filter: PFLT_FILTER,
            CallbackData: PFLT_CALLBACK_DATA,
            EcpList: *mut PECP_LIST,
        ) -> NTSTATUS {
            const CALL: &str = "FltGetEcpListFromCallbackData";
            let Some(create) = create_of(CALL, Filter, CallbackData) else {
                return STATUS_INVALID_PARAMETER;
            };
            let list = create.ecp_list.load(Ordering::Acquire);
            // SAFETY: the caller passes a place for the result.
            unsafe { write(EcpList, list as PECP_LIST) };
            STATUS_SUCCESS
        }

        /// Gives a create a list, which goes with the create.
        unsafe fn FltSetEcpListIntoCallbackData(
            Filter: PFLT_FILTER,
            CallbackData: PFLT_CALLBACK_DATA,
            EcpList: PECP_LIST,
        ) -> NTSTATUS {
            const CALL: &str = "FltSetEcpListIntoCallbackData";
            let Some(create) = create_of(CALL, Filter, CallbackData) else {
                return STATUS_INVALID_PARAMETER_2;
            };
            let machine = &create.machine;
            let Some(list) = known_list(machine, CALL, EcpList) else {
                return STATUS_INVALID_PARAMETER_3;
            };
            if create.ecp_list.load(Ordering::Acquire) != 0 {
                return STATUS_INVALID_PARAMETER_3;
            }
            if !machine.ecps.attach(list, false) {
                let text = "the list belongs to another create";
                machine.verifier.violation(Rule::V24, CALL, text);
                return STATUS_INVALID_PARAMETER_3;
            }
            create.ecp_list.store(list, Ordering::Release);
            STATUS_SUCCESS
        }
    }
}

/// The create that callback data is about, if it came as an IRP.
fn create_of(
    call: &'static str,
    owner: PFLT_FILTER,
    data: PFLT_CALLBACK_DATA,
) -> Option<Arc<crate::io::Operation>> {
    let create = operation(call, data)?;
    filter(call, "Filter", owner)?;
    (create.major == IRP_MJ_CREATE && create.door == Door::Irp).then_some(create)
}

/// Says that an argument is not what it should be.
fn unknown(machine: &Inner, call: &'static str, argument: &str, address: usize, wanted: &str) {
    let text = format!("{argument} is {address:#x}, which is not a {wanted}");
    machine.verifier.violation(Rule::V0, call, text);
}

fn known_list(machine: &Inner, call: &'static str, list: PECP_LIST) -> Option<usize> {
    let address = list as usize;
    let known = machine.ecps.is_list(address);
    if !known {
        unknown(
            machine,
            call,
            "EcpList",
            address,
            "list of extra create parameters",
        );
    }
    known.then_some(address)
}

fn known(machine: &Inner, call: &'static str, parameter: PVOID) -> Option<usize> {
    let address = parameter as usize;
    let known = machine.ecps.is_parameter(address);
    if !known {
        unknown(
            machine,
            call,
            "EcpContext",
            address,
            "extra create parameter",
        );
    }
    known.then_some(address)
}

/// # Safety
/// `kind` is null or points to a GUID.
unsafe fn guid(kind: *const GUID) -> Option<GUID> {
    if kind.is_null() {
        return None;
    }
    // SAFETY: not null, and then a GUID by this function's contract.
    Some(unsafe { kind.read_unaligned() })
}

/// # Safety
/// The pointers are null or may be written to.
unsafe fn give(found: Option<&Found>, address: *mut PVOID, size: *mut ULONG) -> NTSTATUS {
    let context = found.map_or(null_mut(), |found| found.address as PVOID);
    // SAFETY: by this function's contract.
    unsafe { write(address, context) };
    // SAFETY: as above.
    unsafe { write(size, found.map_or(0, |found| found.size)) };
    if found.is_some() {
        STATUS_SUCCESS
    } else {
        STATUS_NOT_FOUND
    }
}

/// # Safety
/// `result` is null or may be written to.
unsafe fn allocate_list(
    machine: &Arc<Inner>,
    call: &'static str,
    _flags: ULONG,
    result: *mut PECP_LIST,
) -> NTSTATUS {
    let list = machine.ecps.allocate_list(machine, call);
    // SAFETY: by this function's contract.
    unsafe { write(result, list.unwrap_or(0) as PECP_LIST) };
    if list.is_some() {
        STATUS_SUCCESS
    } else {
        STATUS_INSUFFICIENT_RESOURCES
    }
}

/// # Safety
/// None is needed; the callers have one shape.
unsafe fn free_list(machine: &Arc<Inner>, call: &'static str, list: PECP_LIST) {
    if let Some(list) = known_list(machine, call, list) {
        machine.ecps.free_list(machine, call, list);
    }
}

/// # Safety
/// `kind` is null or a GUID, `cleanup` a callback of its type, `result` null or writable.
unsafe fn allocate(
    machine: &Arc<Inner>,
    call: &'static str,
    kind: *const GUID,
    size: ULONG,
    flags: ULONG,
    cleanup: PFSRTL_EXTRA_CREATE_PARAMETER_CLEANUP_CALLBACK,
    tag: ULONG,
    result: *mut PVOID,
) -> NTSTATUS {
    let pool = if flags & FSRTL_ALLOCATE_ECP_FLAG_NONPAGED_POOL == 0 {
        PagedPool
    } else {
        NonPagedPoolNx
    };
    // SAFETY: by this function's contract.
    unsafe { write(result, null_mut()) };
    // SAFETY: as above.
    let Some(kind) = (unsafe { guid(kind) }) else {
        return STATUS_INVALID_PARAMETER;
    };
    let request = Request {
        kind,
        size,
        pool,
        tag,
        cleanup,
        from_user: false,
    };
    let Some(address) = machine.ecps.allocate(machine, call, request) else {
        return STATUS_INSUFFICIENT_RESOURCES;
    };
    // SAFETY: as above.
    unsafe { write(result, address as PVOID) };
    STATUS_SUCCESS
}

/// # Safety
/// As for [`allocate`].
unsafe fn allocate_from_lookaside(
    machine: &Arc<Inner>,
    call: &'static str,
    kind: *const GUID,
    size: ULONG,
    flags: ULONG,
    cleanup: PFSRTL_EXTRA_CREATE_PARAMETER_CLEANUP_CALLBACK,
    lookaside: PVOID,
    result: *mut PVOID,
) -> NTSTATUS {
    let address = lookaside as usize;
    let Some((room, pool, tag)) = machine.ecps.lookaside(address) else {
        let wanted = "lookaside list for extra create parameters";
        unknown(machine, call, "LookasideList", address, wanted);
        return STATUS_INVALID_PARAMETER;
    };
    // What fits is of the list's kind of pool, and what does not has the flags say.
    let flags = if SIZE_T::from(size) > room {
        flags
    } else if pool == PagedPool {
        0
    } else {
        FSRTL_ALLOCATE_ECP_FLAG_NONPAGED_POOL
    };
    // SAFETY: passed on to the caller.
    unsafe { allocate(machine, call, kind, size, flags, cleanup, tag, result) }
}

/// # Safety
/// None is needed; the callers have one shape.
unsafe fn free(machine: &Arc<Inner>, call: &'static str, parameter: PVOID) {
    if let Some(address) = known(machine, call, parameter) {
        machine.ecps.free(machine, call, address);
    }
}

/// # Safety
/// None is needed; the memory of the lookaside list is not touched.
unsafe fn init_lookaside(
    machine: &Arc<Inner>,
    call: &'static str,
    lookaside: PVOID,
    flags: ULONG,
    size: SIZE_T,
    tag: ULONG,
) {
    let pool = if flags & FSRTL_ECP_LOOKASIDE_FLAG_NONPAGED_POOL == 0 {
        PagedPool
    } else {
        NonPagedPoolNx
    };
    let address = lookaside as usize;
    if address == 0 {
        unknown(
            machine,
            call,
            "Lookaside",
            address,
            "memory for a lookaside list",
        );
        return;
    }
    machine.ecps.add_lookaside(address, size, pool, tag, call);
}

/// # Safety
/// None is needed; the memory of the lookaside list is not touched.
unsafe fn delete_lookaside(
    machine: &Arc<Inner>,
    call: &'static str,
    lookaside: PVOID,
    flags: ULONG,
) {
    let paged = flags & FSRTL_ECP_LOOKASIDE_FLAG_NONPAGED_POOL == 0;
    match machine.ecps.remove_lookaside(lookaside as usize) {
        None => {
            let wanted = "lookaside list for extra create parameters";
            unknown(machine, call, "Lookaside", lookaside as usize, wanted);
        }
        Some(pool) if (pool == PagedPool) != paged => {
            let text = "the flags are not those that the list was initialised with";
            machine.verifier.violation(Rule::V24, call, text);
        }
        Some(_) => {}
    }
}

/// # Safety
/// None is needed; the callers have one shape.
unsafe fn insert(
    machine: &Arc<Inner>,
    call: &'static str,
    list: PECP_LIST,
    parameter: PVOID,
) -> NTSTATUS {
    let list = known_list(machine, call, list);
    let parameter = known(machine, call, parameter);
    let Some((list, parameter)) = list.zip(parameter) else {
        return STATUS_INVALID_PARAMETER;
    };
    match machine.ecps.insert(list, parameter) {
        Ok(()) => STATUS_SUCCESS,
        Err(status) => status,
    }
}

/// # Safety
/// `kind` is null or a GUID; the other two are null or may be written to.
unsafe fn find(
    machine: &Arc<Inner>,
    call: &'static str,
    list: PECP_LIST,
    kind: *const GUID,
    address: *mut PVOID,
    size: *mut ULONG,
) -> NTSTATUS {
    // SAFETY: by this function's contract.
    let Some(kind) = (unsafe { guid(kind) }) else {
        return STATUS_INVALID_PARAMETER;
    };
    if list.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    let Some(list) = known_list(machine, call, list) else {
        return STATUS_INVALID_PARAMETER;
    };
    let found = machine.ecps.find(list, &kind);
    // SAFETY: by this function's contract.
    unsafe { give(found.as_ref(), address, size) }
}

/// # Safety
/// As for [`find`].
unsafe fn remove(
    machine: &Arc<Inner>,
    call: &'static str,
    list: PECP_LIST,
    kind: *const GUID,
    address: *mut PVOID,
    size: *mut ULONG,
) -> NTSTATUS {
    // SAFETY: by this function's contract.
    let kind = unsafe { guid(kind) };
    let list = known_list(machine, call, list);
    let Some((list, kind)) = list.zip(kind) else {
        return STATUS_INVALID_PARAMETER;
    };
    let found = machine.ecps.remove(list, &kind);
    // SAFETY: by this function's contract.
    unsafe { give(found.as_ref(), address, size) }
}

/// # Safety
/// The last three are null or may be written to.
unsafe fn next(
    machine: &Arc<Inner>,
    call: &'static str,
    list: PECP_LIST,
    current: PVOID,
    kind: *mut GUID,
    address: *mut PVOID,
    size: *mut ULONG,
) -> NTSTATUS {
    if list.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    let Some(list) = known_list(machine, call, list) else {
        return STATUS_INVALID_PARAMETER;
    };
    let found = machine.ecps.next(list, current as usize);
    if let Some(found) = &found {
        // SAFETY: by this function's contract.
        unsafe { write(kind, found.kind) };
    }
    // SAFETY: by this function's contract.
    unsafe { give(found.as_ref(), address, size) }
}

/// # Safety
/// None is needed; the callers have one shape.
unsafe fn acknowledge(machine: &Arc<Inner>, call: &'static str, parameter: PVOID) {
    if let Some(address) = known(machine, call, parameter) {
        machine.ecps.acknowledge(address, true);
    }
}

/// # Safety
/// None is needed; the callers have one shape.
unsafe fn reuse(machine: &Arc<Inner>, call: &'static str, parameter: PVOID) {
    if let Some(address) = known(machine, call, parameter) {
        machine.ecps.acknowledge(address, false);
    }
}

/// # Safety
/// None is needed; the callers have one shape.
unsafe fn is_acknowledged(machine: &Arc<Inner>, call: &'static str, parameter: PVOID) -> BOOLEAN {
    let address = known(machine, call, parameter);
    let seen = address.is_some_and(|address| machine.ecps.is_acknowledged(address));
    BOOLEAN::from(seen)
}

/// # Safety
/// None is needed; the callers have one shape.
unsafe fn is_from_user(machine: &Arc<Inner>, call: &'static str, parameter: PVOID) -> BOOLEAN {
    let address = known(machine, call, parameter);
    let from_user = address.is_some_and(|address| machine.ecps.is_from_user(address));
    BOOLEAN::from(from_user)
}
