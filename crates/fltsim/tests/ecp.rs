//! Extra create parameters: lists, parameters, and the creates that carry them.

mod core_support;

use core_support::{Bench, TAG, config, entry_of, registration};
use fltmgr_sys::*;
use fltsim::verifier::Rule;
use fltsim::{OpenOptions, Unload};
use std::cell::{Cell, RefCell};
use std::ptr::{null, null_mut};

thread_local! {
    static FILTER: Cell<PFLT_FILTER> = const { Cell::new(null_mut()) };
    /// The first members of the types that were cleaned up, in order.
    static CLEANED: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// What the pre-create callback found: types, first bytes, from user mode.
    static SEEN: RefCell<Vec<(u32, u8, u8)>> = const { RefCell::new(Vec::new()) };
    /// The pre-create callback adds a parameter of type 9.
    static ADDS: Cell<bool> = const { Cell::new(false) };
}

fn kind(number: u32) -> GUID {
    GUID {
        Data1: number,
        Data2: 0,
        Data3: 0,
        Data4: [7; 8],
    }
}

fltapi! {
    unsafe fn cleaned(_context: PVOID, kind: *const GUID) {
        // SAFETY: the machine passes a type.
        let number = unsafe { (*kind).Data1 };
        CLEANED.with_borrow_mut(|cleaned| cleaned.push(number));
    }

    unsafe fn pre_create(
        data: PFLT_CALLBACK_DATA,
        _objects: PCFLT_RELATED_OBJECTS,
        _context: *mut PVOID,
    ) -> FLT_PREOP_CALLBACK_STATUS {
        let filter = FILTER.get();
        let mut list = null_mut();
        // SAFETY: the place for the result is ours.
        let status = unsafe { FltGetEcpListFromCallbackData(filter, data, &raw mut list) };
        assert_eq!(status, STATUS_SUCCESS);
        let mut context = null_mut();
        let (mut found, mut size) = (kind(0), 0);
        loop {
            let (found_at, size_at) = (&raw mut found, &raw mut size);
            let next = &raw mut context;
            // SAFETY: the places for the results are ours.
            let status = unsafe {
                FltGetNextExtraCreateParameter(filter, list, context, found_at, next, size_at)
            };
            if status != STATUS_SUCCESS {
                let empty = if list.is_null() { STATUS_INVALID_PARAMETER } else { STATUS_NOT_FOUND };
                assert_eq!(status, empty);
                break;
            }
            // SAFETY: it has one byte at least.
            let byte = unsafe { context.cast::<u8>().read() };
            // SAFETY: an export checks its arguments itself.
            let user = unsafe { FltIsEcpFromUserMode(filter, context) };
            SEEN.with_borrow_mut(|seen| seen.push((found.Data1, byte, user)));
        }
        if ADDS.get() {
            let fresh = list.is_null();
            if fresh {
                list = new_list(filter);
            }
            let added = allocate(filter, 9, 4);
            assert_eq!(insert(filter, list, added), STATUS_SUCCESS);
            // SAFETY: an export checks its arguments itself.
            let status = unsafe { FltSetEcpListIntoCallbackData(filter, data, list) };
            let expected = if fresh { STATUS_SUCCESS } else { STATUS_INVALID_PARAMETER_3 };
            assert_eq!(status, expected);
        }
        FLT_PREOP_SUCCESS_NO_CALLBACK
    }

    unsafe fn pre_read(
        data: PFLT_CALLBACK_DATA,
        _objects: PCFLT_RELATED_OBJECTS,
        _context: *mut PVOID,
    ) -> FLT_PREOP_CALLBACK_STATUS {
        let mut list = null_mut();
        // SAFETY: the place for the result is ours.
        let status = unsafe { FltGetEcpListFromCallbackData(FILTER.get(), data, &raw mut list) };
        assert_eq!(status, STATUS_INVALID_PARAMETER);
        // SAFETY: an export checks its arguments itself.
        let status = unsafe { FltSetEcpListIntoCallbackData(FILTER.get(), data, list) };
        assert_eq!(status, STATUS_INVALID_PARAMETER_2);
        FLT_PREOP_SUCCESS_NO_CALLBACK
    }
}

fn bench() -> Bench {
    let entry = |major, pre| FLT_OPERATION_REGISTRATION {
        MajorFunction: major,
        Flags: 0,
        PreOperation: pre,
        PostOperation: None,
        Reserved1: null_mut(),
    };
    let operations = [
        entry(IRP_MJ_CREATE, Some(pre_create as _)),
        entry(IRP_MJ_READ, Some(pre_read as _)),
        entry(IRP_MJ_OPERATION_END, None),
    ];
    let mut registration = registration();
    registration.OperationRegistration = operations.as_ptr();
    let bench = Bench::with(
        config(),
        registration,
        vec![entry_of(FLT_STREAM_CONTEXT, 64)],
    );
    FILTER.set(bench.filter);
    bench
}

fn new_list(filter: PFLT_FILTER) -> PECP_LIST {
    let mut list = null_mut();
    // SAFETY: the place for the result is ours.
    let status = unsafe { FltAllocateExtraCreateParameterList(filter, 0, &raw mut list) };
    assert_eq!(status, STATUS_SUCCESS);
    list
}

fn allocate(filter: PFLT_FILTER, number: u32, size: ULONG) -> PVOID {
    let mut context = null_mut();
    let (kind, place) = (kind(number), &raw mut context);
    // SAFETY: everything that is passed is ours.
    let status = unsafe {
        FltAllocateExtraCreateParameter(filter, &raw const kind, size, 0, Some(cleaned), TAG, place)
    };
    assert_eq!(status, STATUS_SUCCESS);
    context
}

fn insert(filter: PFLT_FILTER, list: PECP_LIST, context: PVOID) -> NTSTATUS {
    // SAFETY: an export checks its arguments itself.
    unsafe { FltInsertExtraCreateParameter(filter, list, context) }
}

fn find(filter: PFLT_FILTER, list: PECP_LIST, number: u32) -> (NTSTATUS, PVOID, ULONG) {
    let (mut context, mut size) = (null_mut(), 77);
    let kind = kind(number);
    let places = (&raw mut context, &raw mut size);
    // SAFETY: everything that is passed is ours.
    let status =
        unsafe { FltFindExtraCreateParameter(filter, list, &raw const kind, places.0, places.1) };
    (status, context, size)
}

fn remove(filter: PFLT_FILTER, list: PECP_LIST, number: u32) -> (NTSTATUS, PVOID) {
    let mut context = null_mut();
    let kind = kind(number);
    let place = &raw mut context;
    // SAFETY: everything that is passed is ours.
    let status =
        unsafe { FltRemoveExtraCreateParameter(filter, list, &raw const kind, place, null_mut()) };
    (status, context)
}

fn free(filter: PFLT_FILTER, context: PVOID) {
    // SAFETY: an export checks its arguments itself.
    unsafe { FltFreeExtraCreateParameter(filter, context) };
}

fn free_list(filter: PFLT_FILTER, list: PECP_LIST) {
    // SAFETY: an export checks its arguments itself.
    unsafe { FltFreeExtraCreateParameterList(filter, list) };
}

fn rules(bench: &Bench) -> Vec<Rule> {
    let reports = bench.machine.verifier().take_reports();
    reports.iter().map(|report| report.rule).collect()
}

fn unload_clean(bench: &Bench) {
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    bench.assert_clean();
}

#[test]
fn a_list_has_one_parameter_of_a_type() {
    let bench = bench();
    let filter = bench.filter;
    let list = new_list(filter);
    let (one, two, again) = (
        allocate(filter, 1, 8),
        allocate(filter, 2, 16),
        allocate(filter, 1, 8),
    );
    assert_eq!(insert(filter, list, one), STATUS_SUCCESS);
    assert_eq!(insert(filter, list, two), STATUS_SUCCESS);
    assert_eq!(insert(filter, list, again), STATUS_INVALID_PARAMETER);
    assert_eq!(find(filter, list, 2), (STATUS_SUCCESS, two, 16));
    assert_eq!(find(filter, list, 3), (STATUS_NOT_FOUND, null_mut(), 0));
    assert_eq!(find(filter, null_mut(), 3).0, STATUS_INVALID_PARAMETER);
    assert_eq!(remove(filter, list, 1), (STATUS_SUCCESS, one));
    assert_eq!(remove(filter, list, 1), (STATUS_NOT_FOUND, null_mut()));
    assert_eq!(insert(filter, list, again), STATUS_SUCCESS);
    for (seen, expected) in [(None, 0), (Some(true), 1), (Some(false), 0)] {
        match seen {
            // SAFETY: an export checks its arguments itself.
            Some(true) => unsafe { FltAcknowledgeEcp(filter, two) },
            // SAFETY: as above.
            Some(false) => unsafe { FltPrepareToReuseEcp(filter, two) },
            None => {}
        }
        // SAFETY: as above.
        assert_eq!(unsafe { FltIsEcpAcknowledged(filter, two) }, expected);
    }
    free(filter, one);
    CLEANED.with_borrow(|cleaned| assert_eq!(*cleaned, [1]));
    free_list(filter, list);
    CLEANED.with_borrow(|cleaned| assert_eq!(*cleaned, [1, 2, 1]));
    unload_clean(&bench);
}

#[test]
fn what_is_freed_wrongly_is_told() {
    let bench = bench();
    let filter = bench.filter;
    let list = new_list(filter);
    let one = allocate(filter, 1, 8);
    assert_eq!(insert(filter, list, one), STATUS_SUCCESS);
    free(filter, one);
    assert_eq!(rules(&bench), [Rule::V24]);
    assert_eq!(remove(filter, list, 1), (STATUS_SUCCESS, one));
    free(filter, one);
    free(filter, one);
    assert_eq!(rules(&bench), [Rule::V0]);
    CLEANED.with_borrow(|cleaned| assert_eq!(*cleaned, [1]));
    free_list(filter, list);
    free_list(filter, list);
    assert_eq!(rules(&bench), [Rule::V0]);
    bench.machine.at_irql(DISPATCH_LEVEL, || {
        assert_eq!(find(filter, null_mut(), 1).0, STATUS_INVALID_PARAMETER);
    });
    assert_eq!(rules(&bench), [Rule::V6]);
    allocate(filter, 1, 8);
    new_list(filter);
    let mut memory = [0_u64; 16];
    let lookaside = memory.as_mut_ptr().cast();
    // SAFETY: the memory is ours.
    unsafe { FltInitExtraCreateParameterLookasideList(filter, lookaside, 0, 32, TAG) };
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    let mut leaks: Vec<_> = bench.machine.finish().leaks;
    leaks.sort_by_key(|leak| leak.size);
    let leaks: Vec<_> = leaks
        .iter()
        .map(|leak| (leak.size, leak.acquired[0].0))
        .collect();
    let expected = [
        (8, "FltAllocateExtraCreateParameter"),
        (32, "FltAllocateExtraCreateParameterList"),
        (32, "FltInitExtraCreateParameterLookasideList"),
    ];
    let mut sorted = leaks;
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
}

#[test]
fn lookaside_lists_serve_what_fits() {
    let bench = bench();
    let filter = bench.filter;
    let mut memory = [0_u64; 16];
    let lookaside: PVOID = memory.as_mut_ptr().cast();
    let nonpaged = FSRTL_ECP_LOOKASIDE_FLAG_NONPAGED_POOL;
    let allocate = |size| {
        let mut context = null_mut();
        let (kind, place) = (kind(5), &raw mut context);
        // SAFETY: everything that is passed is ours.
        let status = unsafe {
            FltAllocateExtraCreateParameterFromLookasideList(
                filter,
                &raw const kind,
                size,
                0,
                None,
                lookaside,
                place,
            )
        };
        (status, context)
    };
    assert_eq!(allocate(16), (STATUS_INVALID_PARAMETER, null_mut()));
    assert_eq!(rules(&bench), [Rule::V0]);
    // SAFETY: the memory is ours.
    unsafe { FltInitExtraCreateParameterLookasideList(filter, lookaside, nonpaged, 32, TAG) };
    for size in [16, 32, 64] {
        let (status, context) = allocate(size);
        assert_eq!(status, STATUS_SUCCESS);
        free(filter, context);
    }
    // SAFETY: an export checks its arguments itself.
    unsafe { FltDeleteExtraCreateParameterLookasideList(filter, lookaside, 0) };
    assert_eq!(rules(&bench), [Rule::V24]);
    // SAFETY: as above.
    unsafe { FltDeleteExtraCreateParameterLookasideList(filter, lookaside, nonpaged) };
    assert_eq!(rules(&bench), [Rule::V0]);
    unload_clean(&bench);
}

#[test]
fn creates_carry_lists() {
    let bench = bench();
    let options = || {
        OpenOptions::create()
            .extra_create_parameter(kind(1), b"a")
            .extra_create_parameter(kind(2), b"bc")
    };
    let open = |options| bench.volume.open(r"\file", options).map(drop);
    open(options()).unwrap();
    open(options().kernel_mode()).unwrap();
    open(OpenOptions::create()).unwrap();
    let seen = SEEN.take();
    assert_eq!(
        seen,
        [(1, b'a', 1), (2, b'b', 1), (1, b'a', 0), (2, b'b', 0)]
    );
    // What a filter adds goes with the create, whosever list it is in.
    ADDS.set(true);
    open(OpenOptions::create()).unwrap();
    assert_eq!(CLEANED.take(), [9]);
    open(options()).unwrap();
    assert_eq!(CLEANED.take(), [9]);
    open(OpenOptions::read().disposition(FILE_CREATE)).unwrap_err();
    assert_eq!(CLEANED.take(), [9]);
    ADDS.set(false);
    let twice = options().extra_create_parameter(kind(1), b"again");
    assert_eq!(open(twice), Err(STATUS_INVALID_PARAMETER));
    let file = bench.volume.open(r"\file", OpenOptions::create()).unwrap();
    file.write(0, b"data").unwrap();
    assert_eq!(file.read(0, &mut [0; 4]), Ok(4));
    file.close();
    unload_clean(&bench);
}

#[test]
fn file_systems_have_the_same_routines() {
    type List = unsafe extern "win64" fn(ULONG, *mut PECP_LIST) -> NTSTATUS;
    type Free = unsafe extern "win64" fn(PECP_LIST);
    let bench = bench();
    let address = |name| fltsim::resolve(name).expect(name);
    let allocate = address("FsRtlAllocateExtraCreateParameterList");
    // SAFETY: the function has this type.
    let allocate = unsafe { std::mem::transmute::<usize, List>(allocate) };
    let release = address("FsRtlFreeExtraCreateParameterList");
    // SAFETY: as above.
    let release = unsafe { std::mem::transmute::<usize, Free>(release) };
    let one = self::allocate(bench.filter, 1, 8);
    bench.machine.at_irql(PASSIVE_LEVEL, || {
        let mut list = null_mut();
        // SAFETY: the place for the result is ours.
        assert_eq!(unsafe { allocate(0, &raw mut list) }, STATUS_SUCCESS);
        assert_eq!(insert(bench.filter, list, one), STATUS_SUCCESS);
        // SAFETY: the list was allocated just now.
        unsafe { release(list) };
    });
    assert_eq!(CLEANED.take(), [1]);
    for name in [
        "AcknowledgeEcp",
        "GetNextExtraCreateParameter",
        "PrepareToReuseEcp",
    ] {
        assert!(fltsim::resolve(&format!("FsRtl{name}")).is_some());
    }
    let missing: *const GUID = null();
    // SAFETY: an export checks its arguments itself.
    let status = unsafe {
        FltAllocateExtraCreateParameter(bench.filter, missing, 8, 0, None, TAG, null_mut())
    };
    assert_eq!(status, STATUS_INVALID_PARAMETER);
    unload_clean(&bench);
}
