//! Allocation, references, set, get and delete on volumes and instances.

mod core_support;

use core_support::{Bench, all_kinds, config, entry_of, registration, start};
use fltmgr_sys::*;
use fltsim::verifier::{Rule, Severity};
use fltsim::{ContextKind, DriverConfig, Fault, Machine, Policies, Unload, WindowsVersion};
use std::ptr::null_mut;

const KEEP: i32 = FLT_SET_CONTEXT_KEEP_IF_EXISTS;
const REPLACE: i32 = FLT_SET_CONTEXT_REPLACE_IF_EXISTS;
const INSTANCE: u16 = FLT_INSTANCE_CONTEXT;

fn rules(bench: &Bench) -> Vec<Rule> {
    let reports = bench.machine.verifier().take_reports();
    reports.iter().map(|report| report.rule).collect()
}

fn bugcheck(bench: &Bench) -> [u64; 4] {
    let reports = bench.machine.verifier().take_reports();
    assert_eq!(reports.len(), 1, "{reports:?}");
    match reports[0].severity {
        Severity::Bugcheck { code, parameters } => {
            assert_eq!(code, 0xF5);
            parameters
        }
        _ => panic!("{reports:?}"),
    }
}

fn register(contexts: Vec<FLT_CONTEXT_REGISTRATION>) -> Result<(), NTSTATUS> {
    let machine = Machine::new(config());
    let driver = machine.create_driver(DriverConfig::new("test").altitude("1"));
    start(&driver, registration(), contexts)
}

#[test]
fn allocation_checks_kind_and_size() {
    let bench = Bench::new();
    for kind in [0, 0x80, 3, FLT_ALL_CONTEXTS] {
        let (status, context) = bench.try_allocate(kind, 64, NonPagedPoolNx);
        assert_eq!(status, STATUS_INVALID_PARAMETER);
        assert!(context.is_null());
    }
    let size = |size| bench.try_allocate(INSTANCE, size, PagedPool).0;
    assert_eq!(size(0), STATUS_INVALID_PARAMETER);
    assert_eq!(size(65_536), STATUS_INVALID_BUFFER_SIZE);
    assert_eq!(size(63), STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND);
    assert_eq!(size(65), STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND);
    bench.assert_clean();
}

#[test]
fn the_smallest_entry_that_fits_serves() {
    let mut contexts: Vec<_> = [128, 32, 64].map(|size| entry_of(INSTANCE, size)).into();
    for entry in &mut contexts {
        entry.Flags = FLTFL_CONTEXT_REGISTRATION_NO_EXACT_SIZE_MATCH;
    }
    let bench = Bench::with(config(), registration(), contexts);
    for (size, capacity) in [(40, 64), (64, 64), (65, 128), (1, 32)] {
        let (status, context) = bench.try_allocate(INSTANCE, size, NonPagedPool);
        assert_eq!(status, STATUS_SUCCESS);
        let info = bench.machine.context(context).unwrap();
        assert_eq!((info.capacity, info.references), (capacity, 1));
        // SAFETY: the context is ours.
        unsafe { FltReleaseContext(context) };
    }
    let too_large = bench.try_allocate(INSTANCE, 129, NonPagedPool).0;
    assert_eq!(too_large, STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND);
    bench.assert_clean();
}

#[test]
fn portions_are_aligned_to_eight_and_no_more() {
    let bench = Bench::new();
    for _ in 0..8 {
        let context = bench.allocate(INSTANCE);
        assert_eq!(context.context as usize % 16, 8);
        bench.release(&context);
    }
    bench.assert_clean();
}

#[test]
fn variable_contexts_are_zeroed_on_windows_11_only() {
    for (windows, byte) in [
        (WindowsVersion::Windows11, 0),
        (WindowsVersion::Windows10, 0xD5),
    ] {
        let contexts = vec![entry_of(INSTANCE, FLT_VARIABLE_SIZED_CONTEXTS)];
        let bench = Bench::with(config().windows(windows), registration(), contexts);
        let (_, context) = bench.try_allocate(INSTANCE, 100, PagedPool);
        // SAFETY: the context has 100 bytes, all of them filled.
        let bytes = unsafe { std::slice::from_raw_parts(context.cast::<u8>(), 100) };
        assert!(bytes.iter().all(|one| *one == byte));
        // SAFETY: the context is ours.
        unsafe { FltReleaseContext(context) };
        bench.assert_clean();
    }
}

/// The second word of a context, which the counting cleanup does not look at.
fn word(context: &core_support::Allocated) -> *mut u64 {
    context.context.cast::<u64>().wrapping_add(1)
}

#[test]
fn fixed_contexts_are_recycled_last_freed_first() {
    let bench = Bench::with(config().poison(false), registration(), all_kinds());
    let first = bench.allocate(INSTANCE);
    // SAFETY: the context has 64 bytes.
    unsafe { word(&first).write_unaligned(42) };
    bench.release(&first);
    let second = bench.allocate(INSTANCE);
    assert_eq!(second.context, first.context);
    // SAFETY: as above.
    let stale = unsafe { word(&second).read_unaligned() };
    assert_eq!(stale, 42);
    bench.release(&second);
    bench.assert_clean();
}

#[test]
fn a_paged_volume_context_is_refused_or_served() {
    let bench = Bench::new();
    let (status, _) = bench.try_allocate(FLT_VOLUME_CONTEXT, 64, PagedPool);
    assert_eq!(status, STATUS_FLT_MUST_BE_NONPAGED_POOL);
    assert_eq!(rules(&bench), [Rule::V8]);
    let policies = Policies {
        paged_volume_context: STATUS_SUCCESS,
        ..Policies::default()
    };
    let bench = Bench::with(config().policies(policies), registration(), all_kinds());
    let context = bench.allocate_from(FLT_VOLUME_CONTEXT, PagedPool);
    assert_eq!(
        bench.machine.context(context.context).unwrap().pool,
        NonPagedPool
    );
    bench.release(&context);
}

#[test]
fn exhausted_pool_leaves_nothing_behind() {
    let bench = Bench::new();
    bench.machine.inject(Fault::Allocation { after: 1 });
    let first = bench.allocate(INSTANCE);
    let (status, context) = bench.try_allocate(INSTANCE, 64, PagedPool);
    assert_eq!(
        (status, context),
        (STATUS_INSUFFICIENT_RESOURCES, null_mut())
    );
    bench.release(&first);
    let kinds = bench.machine.statistics().contexts;
    assert_eq!(kinds[&ContextKind::Instance].allocated, 1);
    bench.assert_clean();
}

#[test]
fn registration_rules() {
    let stream = |size| entry_of(FLT_STREAM_CONTEXT, size);
    let refused = Err(STATUS_FLT_INVALID_CONTEXT_REGISTRATION);
    assert_eq!(register(vec![stream(8), stream(8)]), Ok(()));
    let four = [8, 16, 24, 32].map(stream).into();
    assert_eq!(register(four), refused);
    let three_and_variable = [8, 16, 24, FLT_VARIABLE_SIZED_CONTEXTS].map(stream).into();
    assert_eq!(register(three_and_variable), Ok(()));
    let mut other_tag = stream(8);
    other_tag.PoolTag += 1;
    assert_eq!(register(vec![stream(8), other_tag]), refused);
    let mut no_tag = stream(8);
    no_tag.PoolTag = 0;
    assert_eq!(register(vec![no_tag]), refused);
    let mut reserved = stream(8);
    reserved.Reserved1 = std::ptr::dangling_mut::<u8>().cast();
    assert_eq!(register(vec![reserved]), refused);
    assert_eq!(register(vec![entry_of(3, 8)]), refused);
    assert_eq!(register(vec![stream(0)]), Ok(()));
}

#[test]
fn registration_versions_and_the_service_key() {
    let machine = Machine::new(config());
    for (version, expected) in [
        (0x100, Err(STATUS_INVALID_PARAMETER)),
        (0x300, Err(STATUS_INVALID_PARAMETER)),
        (0x200, Ok(())),
        (0x203, Ok(())),
    ] {
        let driver = machine.create_driver(DriverConfig::new("test").altitude("1"));
        let mut registration = registration();
        registration.Version = version;
        assert_eq!(
            start(&driver, registration, vec![]),
            expected,
            "{version:#x}"
        );
    }
    let driver = machine.create_driver(DriverConfig::new("no-instances"));
    let started = start(&driver, registration(), vec![]);
    assert_eq!(started, Err(STATUS_OBJECT_NAME_NOT_FOUND));
}

#[test]
fn the_last_release_cleans_up_inside_the_call() {
    let bench = Bench::new();
    let context = bench.allocate(INSTANCE);
    // SAFETY: the context is ours.
    unsafe { FltReferenceContext(context.context) };
    assert_eq!(bench.rc(&context), 2);
    bench.release(&context);
    assert_eq!((bench.rc(&context), context.cleanups()), (1, 0));
    bench.release(&context);
    assert_eq!((bench.rc(&context), context.cleanups()), (0, 1));
    bench.assert_clean();
}

#[test]
fn at_dispatch_level_the_cleanup_is_deferred() {
    let bench = Bench::new();
    let context = bench.allocate(INSTANCE);
    let before = bench.machine.at_irql(DISPATCH_LEVEL, || {
        bench.release(&context);
        context.cleanups()
    });
    bench.machine.settle();
    assert_eq!(before, 0);
    assert_eq!(context.cleanups(), 1);
    bench.assert_clean();
}

#[test]
fn paged_contexts_at_dispatch_level() {
    let bench = Bench::new();
    let context = bench.allocate_from(INSTANCE, PagedPool);
    bench.machine.at_irql(DISPATCH_LEVEL, || {
        // SAFETY: the context is ours.
        unsafe { FltReferenceContext(context.context) };
    });
    assert_eq!(rules(&bench), [Rule::V7]);
    bench.release(&context);
    bench.release(&context);
    bench.assert_clean();
}

#[test]
fn every_call_above_its_level_is_reported() {
    let bench = Bench::new();
    bench.machine.at_irql(DISPATCH_LEVEL, || {
        let _ = bench.try_allocate(INSTANCE, 1, PagedPool);
        let _ = bench.get_instance();
    });
    assert_eq!(rules(&bench), [Rule::V6, Rule::V6]);
}

#[test]
fn use_after_free_is_a_bugcheck() {
    let bench = Bench::new();
    let context = bench.allocate(INSTANCE);
    bench.release(&context);
    // SAFETY: a stale pointer, which the export recognises.
    unsafe { FltReferenceContext(context.context) };
    let [what, address, node, last] = bugcheck(&bench);
    assert_eq!((what, address, last), (0x6E, context.context as u64, 0));
    assert!(node < address);
    assert_eq!(context.cleanups(), 1);
}

#[test]
fn over_release_of_a_linked_context_is_a_bugcheck_without_effect() {
    let bench = Bench::new();
    let context = bench.allocate(INSTANCE);
    assert_eq!(bench.set_instance(KEEP, &context, None), STATUS_SUCCESS);
    bench.release(&context);
    bench.release(&context);
    let [what, address, ..] = bugcheck(&bench);
    assert_eq!((what, address), (0x6D, context.context as u64));
    assert_eq!((bench.rc(&context), context.cleanups()), (1, 0));
}

#[test]
fn set_keep_and_replace() {
    let bench = Bench::new();
    let (one, two) = (bench.allocate(INSTANCE), bench.allocate(INSTANCE));
    let mut old = std::ptr::dangling_mut::<u8>().cast();
    assert_eq!(
        bench.set_instance(KEEP, &one, Some(&mut old)),
        STATUS_SUCCESS
    );
    assert_eq!((old, bench.rc(&one)), (null_mut(), 2));
    bench.release(&one);
    let defined = STATUS_FLT_CONTEXT_ALREADY_DEFINED;
    assert_eq!(bench.set_instance(KEEP, &two, Some(&mut old)), defined);
    assert_eq!((old, bench.rc(&one), bench.rc(&two)), (one.context, 2, 1));
    bench.release(&one);
    assert_eq!(bench.set_instance(KEEP, &two, None), defined);
    assert_eq!((bench.rc(&one), bench.rc(&two)), (1, 1));
    assert_eq!(
        bench.set_instance(REPLACE, &two, Some(&mut old)),
        STATUS_SUCCESS
    );
    assert_eq!((old, bench.rc(&one), bench.rc(&two)), (one.context, 1, 2));
    bench.release(&one);
    assert_eq!((one.cleanups(), two.cleanups()), (1, 0));
    let three = bench.allocate(INSTANCE);
    bench.release(&two);
    assert_eq!(bench.set_instance(REPLACE, &three, None), STATUS_SUCCESS);
    assert_eq!(two.cleanups(), 1);
    bench.release(&three);
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    assert_eq!(three.cleanups(), 1);
    bench.assert_clean();
}

#[test]
fn set_checks_in_order() {
    let bench = Bench::new();
    let wrong = bench.allocate(FLT_FILE_CONTEXT);
    assert_eq!(
        bench.set_instance(KEEP, &wrong, None),
        STATUS_INVALID_PARAMETER
    );
    assert_eq!(rules(&bench), [Rule::V15]);
    let context = bench.allocate(INSTANCE);
    assert_eq!(
        bench.set_instance(2, &context, None),
        STATUS_INVALID_PARAMETER
    );
    assert_eq!(bench.set_instance(KEEP, &context, None), STATUS_SUCCESS);
    let mut old = null_mut();
    let again = bench.set_instance(KEEP, &context, Some(&mut old));
    assert_eq!(
        (again, old),
        (STATUS_FLT_CONTEXT_ALREADY_LINKED, null_mut())
    );
    assert_eq!(rules(&bench), [Rule::V9]);
    // SAFETY: the context is ours.
    unsafe { FltDeleteContext(context.context) };
    let after = bench.set_instance(KEEP, &context, None);
    assert_eq!(after, STATUS_FLT_CONTEXT_ALREADY_LINKED);
    assert_eq!(rules(&bench), [Rule::V9]);
    bench.release(&context);
    bench.release(&wrong);
    bench.assert_clean();
}

#[test]
fn get_counts_and_clears() {
    let bench = Bench::new();
    assert_eq!(bench.get_instance(), (STATUS_NOT_FOUND, null_mut()));
    let context = bench.allocate(INSTANCE);
    bench.set_instance(KEEP, &context, None);
    assert_eq!(bench.get_instance(), (STATUS_SUCCESS, context.context));
    assert_eq!(bench.rc(&context), 3);
    bench.release(&context);
    bench.release(&context);
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    bench.assert_clean();
}

#[test]
fn delete_by_object() {
    let bench = Bench::new();
    let delete = |old: *mut PFLT_CONTEXT| {
        // SAFETY: the place for the old context is ours or null.
        unsafe { FltDeleteInstanceContext(bench.instance, old) }
    };
    let mut old = std::ptr::dangling_mut::<u8>().cast();
    assert_eq!(delete(&raw mut old), STATUS_NOT_FOUND);
    assert!(old.is_null());
    let one = bench.allocate(INSTANCE);
    bench.set_instance(KEEP, &one, None);
    bench.release(&one);
    assert_eq!(delete(&raw mut old), STATUS_SUCCESS);
    assert_eq!((old, bench.rc(&one), one.cleanups()), (one.context, 1, 0));
    bench.release(&one);
    let two = bench.allocate(INSTANCE);
    bench.set_instance(KEEP, &two, None);
    bench.release(&two);
    assert_eq!(delete(null_mut()), STATUS_SUCCESS);
    assert_eq!((one.cleanups(), two.cleanups()), (1, 1));
    bench.assert_clean();
}

#[test]
fn delete_by_pointer_drops_the_link_once() {
    let bench = Bench::new();
    let one = bench.allocate(INSTANCE);
    // SAFETY: the context is ours.
    unsafe { FltDeleteContext(one.context) };
    assert_eq!(rules(&bench), [Rule::V10]);
    bench.set_instance(KEEP, &one, None);
    for _ in 0..2 {
        // SAFETY: as above.
        unsafe { FltDeleteContext(one.context) };
        assert_eq!(bench.rc(&one), 1);
    }
    assert_eq!(bench.get_instance().0, STATUS_NOT_FOUND);
    let two = bench.allocate(INSTANCE);
    assert_eq!(bench.set_instance(KEEP, &two, None), STATUS_SUCCESS);
    // SAFETY: as above.
    unsafe { FltDeleteContext(one.context) };
    assert_eq!(bench.get_instance(), (STATUS_SUCCESS, two.context));
    bench.release(&one);
    bench.release(&two);
    bench.release(&two);
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    assert_eq!((one.cleanups(), two.cleanups()), (1, 1));
    bench.assert_clean();
}

#[test]
fn section_contexts_cannot_be_deleted() {
    let bench = Bench::new();
    let context = bench.allocate(FLT_SECTION_CONTEXT);
    // SAFETY: the context is ours.
    unsafe { FltDeleteContext(context.context) };
    assert_eq!((rules(&bench), bench.rc(&context)), (vec![Rule::V10], 1));
    bench.release(&context);
    assert_eq!(context.cleanups(), 1);
}

#[test]
fn several_at_once() {
    let bench = Bench::new();
    let instance = bench.allocate(INSTANCE);
    let volume = bench.allocate(FLT_VOLUME_CONTEXT);
    bench.set_instance(KEEP, &instance, None);
    // SAFETY: volume and context are ours.
    let set =
        unsafe { FltSetVolumeContext(bench.volume.pointer(), KEEP, volume.context, null_mut()) };
    assert_eq!(set, STATUS_SUCCESS);
    let objects = FLT_RELATED_OBJECTS {
        Size: 48,
        TransactionContext: 0,
        Filter: bench.filter,
        Volume: bench.volume.pointer(),
        Instance: bench.instance,
        FileObject: null_mut(),
        Transaction: null_mut(),
    };
    // SAFETY: all-zero is a valid structure of pointers.
    let mut found: FLT_RELATED_CONTEXTS = unsafe { std::mem::zeroed() };
    // SAFETY: both structures are ours.
    unsafe { FltGetContexts(&raw const objects, FLT_ALL_CONTEXTS, &raw mut found) };
    assert_eq!(found.InstanceContext, instance.context);
    assert_eq!(found.VolumeContext, volume.context);
    assert!(found.StreamContext.is_null() && found.TransactionContext.is_null());
    assert_eq!((bench.rc(&instance), bench.rc(&volume)), (3, 3));
    for _ in 0..2 {
        // SAFETY: as above.
        unsafe { FltReleaseContexts(&raw mut found) };
        assert_eq!((bench.rc(&instance), bench.rc(&volume)), (2, 2));
        assert!(found.InstanceContext.is_null());
    }
    // SAFETY: all-zero is a valid structure of pointers.
    let mut extended: FLT_RELATED_CONTEXTS_EX = unsafe { std::mem::zeroed() };
    let size = size_of::<FLT_RELATED_CONTEXTS_EX>() as SIZE_T;
    // SAFETY: both structures are ours.
    let get =
        |mask, size, target| unsafe { FltGetContextsEx(&raw const objects, mask, size, target) };
    let target = &raw mut extended;
    assert_eq!(get(0x8000, size, target), STATUS_INVALID_PARAMETER);
    assert_eq!(get(INSTANCE, size - 8, target), STATUS_INVALID_PARAMETER);
    assert_eq!(get(INSTANCE, size, target), STATUS_SUCCESS);
    assert_eq!(
        (extended.InstanceContext, extended.VolumeContext),
        (instance.context, null_mut())
    );
    // SAFETY: as above.
    unsafe { FltReleaseContextsEx(size, target) };
    bench.release(&instance);
    bench.release(&volume);
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    bench.assert_clean();
}

#[test]
fn each_filter_has_its_own_volume_context() {
    let bench = Bench::new();
    let other = bench
        .machine
        .create_driver(DriverConfig::new("other").altitude("100000"));
    start(&other, registration(), all_kinds()).unwrap();
    let get = |filter| {
        let mut found = null_mut();
        // SAFETY: the place for the result is ours.
        let status = unsafe { FltGetVolumeContext(filter, bench.volume.pointer(), &raw mut found) };
        (status, found)
    };
    let context = bench.allocate(FLT_VOLUME_CONTEXT);
    // SAFETY: volume and context are ours.
    unsafe { FltSetVolumeContext(bench.volume.pointer(), KEEP, context.context, null_mut()) };
    assert_eq!(get(other.filter().unwrap()).0, STATUS_NOT_FOUND);
    assert_eq!(get(bench.filter), (STATUS_SUCCESS, context.context));
    bench.release(&context);
    bench.release(&context);
    assert_eq!(bench.rc(&context), 1);
}

#[test]
fn wrong_pointers_are_violations() {
    let bench = Bench::new();
    bench.machine.at_irql(PASSIVE_LEVEL, || {
        let mut found = null_mut();
        let volume = bench.volume.pointer().cast();
        // SAFETY: a wrong pointer, which the export recognises.
        let status = unsafe { FltGetInstanceContext(volume, &raw mut found) };
        assert_eq!(status, STATUS_INVALID_PARAMETER);
        // SAFETY: as above.
        unsafe { FltReleaseContext(bench.filter.cast()) };
    });
    assert_eq!(rules(&bench), [Rule::V0, Rule::V0]);
}

#[test]
fn a_million_operations_from_four_threads() {
    let bench = Bench::new();
    let context = bench.allocate(INSTANCE);
    bench.set_instance(KEEP, &context, None);
    bench.release(&context);
    let instance = bench.instance as usize;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                for _ in 0..125_000 {
                    let mut found = null_mut();
                    // SAFETY: the place for the result is ours.
                    let status =
                        unsafe { FltGetInstanceContext(instance as PFLT_INSTANCE, &raw mut found) };
                    assert_eq!(status, STATUS_SUCCESS);
                    // SAFETY: the reference is ours.
                    unsafe { FltReleaseContext(found) };
                }
            });
        }
    });
    assert_eq!((bench.rc(&context), context.cleanups()), (1, 0));
    assert_eq!(bench.machine.calls("FltReleaseContext"), 500_001);
}

#[test]
fn racing_sets_have_one_winner() {
    let bench = Bench::new();
    let contexts: Vec<_> = (0..4).map(|_| bench.allocate(INSTANCE)).collect();
    let instance = bench.instance as usize;
    let results: Vec<(NTSTATUS, usize)> = std::thread::scope(|scope| {
        let threads = contexts.iter().map(|context| {
            let context = context.context as usize;
            scope.spawn(move || {
                let mut old = null_mut();
                // SAFETY: instance and context exist; the place for the old one is ours.
                let status = unsafe {
                    FltSetInstanceContext(
                        instance as PFLT_INSTANCE,
                        KEEP,
                        context as PFLT_CONTEXT,
                        &raw mut old,
                    )
                };
                (status, old as usize)
            })
        });
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let winners = results
        .iter()
        .filter(|(status, _)| *status == STATUS_SUCCESS);
    assert_eq!(winners.count(), 1);
    for (status, old) in results {
        if status != STATUS_SUCCESS {
            assert_eq!(status, STATUS_FLT_CONTEXT_ALREADY_DEFINED);
            // SAFETY: the reference is ours.
            unsafe { FltReleaseContext(old as PFLT_CONTEXT) };
        }
    }
    for context in &contexts {
        bench.release(context);
    }
    let cleanups: u64 = contexts.iter().map(core_support::Allocated::cleanups).sum();
    assert_eq!(cleanups, 3);
}
