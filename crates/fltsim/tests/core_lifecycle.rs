//! How filters, instances, transactions and sections come to their ends.

mod core_support;

use core_support::{Allocated, Bench, all_kinds, config, registration, start};
use fltmgr_sys::*;
use fltsim::filesystem::{Personality, TeardownPolicy};
use fltsim::verifier::Rule;
use fltsim::{
    Config, DriverConfig, Fault, Handle, OpenOptions, Policies, TransactionEnd, Unload,
    VolumeConfig,
};
use std::cell::RefCell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const KEEP: i32 = FLT_SET_CONTEXT_KEEP_IF_EXISTS;

fn immediately(end: TransactionEnd) -> Config {
    config().policies(Policies {
        stream_teardown: Some(TeardownPolicy::Immediate),
        transaction_end: end,
        ..Policies::default()
    })
}

fn create(bench: &Bench, path: &str) -> Handle {
    bench.volume.open(path, OpenOptions::create()).unwrap()
}

fn set_stream(bench: &Bench, file: &Handle, context: &Allocated) -> NTSTATUS {
    let file = file.file_object();
    // SAFETY: an export checks its arguments itself.
    unsafe { FltSetStreamContext(bench.instance, file, KEEP, context.context, null_mut()) }
}

fn get_stream(bench: &Bench, file: &Handle) -> (NTSTATUS, PFLT_CONTEXT) {
    let mut found = null_mut();
    let file = file.file_object();
    // SAFETY: the place for the result is ours.
    let status = unsafe { FltGetStreamContext(bench.instance, file, &raw mut found) };
    (status, found)
}

#[test]
fn a_stream_context_lives_as_long_as_the_stream() {
    let config = immediately(TransactionEnd::Immediate);
    let bench = Bench::with(config, registration(), all_kinds());
    let first = create(&bench, "\\file");
    let context = bench.allocate(FLT_STREAM_CONTEXT);
    assert_eq!(set_stream(&bench, &first, &context), STATUS_SUCCESS);
    bench.release(&context);
    let second = bench.volume.open("\\file", OpenOptions::read()).unwrap();
    first.close();
    assert_eq!(
        get_stream(&bench, &second),
        (STATUS_SUCCESS, context.context)
    );
    second.close();
    assert_eq!((bench.rc(&context), context.cleanups()), (1, 0));
    bench.release(&context);
    assert_eq!(context.cleanups(), 1);
    let third = bench.volume.open("\\file", OpenOptions::read()).unwrap();
    assert_eq!(get_stream(&bench, &third).0, STATUS_NOT_FOUND);
    third.close();
    bench.assert_clean();
}

#[test]
fn paging_files_support_nothing() {
    let bench = Bench::new();
    let options = OpenOptions::create().paging_file();
    let file = bench.volume.open("\\pagefile.sys", options).unwrap();
    let context = bench.allocate(FLT_STREAM_CONTEXT);
    assert_eq!(set_stream(&bench, &file, &context), STATUS_NOT_SUPPORTED);
    assert_eq!(bench.rc(&context), 1);
    assert_eq!(
        get_stream(&bench, &file),
        (STATUS_NOT_SUPPORTED, null_mut())
    );
    // SAFETY: an export checks its arguments itself.
    let supports = unsafe { FltSupportsStreamContexts(file.file_object()) };
    assert_eq!(supports, 0);
    bench.release(&context);
    assert_eq!(context.cleanups(), 1);
    file.close();
    bench.assert_clean();
}

#[test]
fn fat_emulates_file_contexts_for_an_instance() {
    let bench = Bench::new();
    let fat = VolumeConfig::memory("\\Device\\HarddiskVolume2", Personality::fat());
    let fat = bench.machine.add_volume(fat);
    let file = fat.open("\\file", OpenOptions::create()).unwrap();
    let object = file.file_object();
    let instance = fat.instances()[0].pointer;
    // SAFETY: an export checks its arguments itself.
    assert_eq!(unsafe { FltSupportsFileContexts(object) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { FltSupportsFileContextsEx(object, instance) }, 1);
    // SAFETY: as above.
    assert_eq!(unsafe { FltSupportsFileContextsEx(object, null_mut()) }, 0);
    let context = bench.allocate(FLT_FILE_CONTEXT);
    // SAFETY: as above.
    let status = unsafe { FltSetFileContext(instance, object, KEEP, context.context, null_mut()) };
    assert_eq!(status, STATUS_SUCCESS);
    bench.release(&context);
    file.close();
    fat.dismount();
    assert_eq!(context.cleanups(), 1);
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    bench.assert_clean();
}

#[test]
fn detaching_takes_contexts_of_open_files() {
    let bench = Bench::new();
    let file = create(&bench, "\\file");
    let contexts = [FLT_STREAM_CONTEXT, FLT_INSTANCE_CONTEXT].map(|kind| bench.allocate(kind));
    assert_eq!(set_stream(&bench, &file, &contexts[0]), STATUS_SUCCESS);
    assert_eq!(bench.set_instance(KEEP, &contexts[1], None), STATUS_SUCCESS);
    for context in &contexts {
        bench.release(context);
    }
    assert_eq!(bench.machine.detach(&bench.driver, &bench.volume), Ok(()));
    assert_eq!(contexts.map(|context| context.cleanups()), [1, 1]);
    file.close();
    bench.assert_clean();
}

#[test]
fn a_referenced_instance_keeps_its_contexts() {
    let bench = Bench::new();
    let context = bench.allocate(FLT_INSTANCE_CONTEXT);
    bench.set_instance(KEEP, &context, None);
    bench.release(&context);
    // SAFETY: an export checks its arguments itself.
    let status = unsafe { FltObjectReference(bench.instance.cast()) };
    assert_eq!(status, STATUS_SUCCESS);
    assert_eq!(bench.machine.detach(&bench.driver, &bench.volume), Ok(()));
    assert_eq!(context.cleanups(), 0);
    // SAFETY: as above.
    let again = unsafe { FltObjectReference(bench.instance.cast()) };
    assert_eq!(again, STATUS_FLT_DELETING_OBJECT);
    let other = bench.allocate(FLT_INSTANCE_CONTEXT);
    assert_eq!(
        bench.set_instance(KEEP, &other, None),
        STATUS_FLT_DELETING_OBJECT
    );
    // SAFETY: as above.
    let delete = unsafe { FltDeleteInstanceContext(bench.instance, null_mut()) };
    assert_eq!(delete, STATUS_FLT_DELETING_OBJECT);
    bench.release(&other);
    // SAFETY: as above.
    unsafe { FltObjectDereference(bench.instance.cast()) };
    assert_eq!(context.cleanups(), 1);
    bench.assert_clean();
}

#[test]
fn leaks_are_reported_with_their_origin() {
    let bench = Bench::new();
    let never_set = bench.allocate(FLT_STREAM_CONTEXT);
    let gotten = bench.allocate(FLT_INSTANCE_CONTEXT);
    bench.set_instance(KEEP, &gotten, None);
    bench.release(&gotten);
    let _ = bench.get_instance();
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    let reports = bench.machine.verifier().reports();
    let rules: Vec<Rule> = reports.iter().map(|report| report.rule).collect();
    assert_eq!(rules, [Rule::V4, Rule::V3]);
    let leak = reports[0].leak().unwrap();
    assert_eq!((leak.size, leak.count), (64, 1));
    assert_eq!(leak.note, "1 reference, never set");
    assert_eq!(leak.address, never_set.context as usize);
    let acquired = &reports[1].leak().unwrap().acquired;
    assert!(
        acquired.contains(&("FltGetInstanceContext", 1)),
        "{acquired:?}"
    );
    // Zapped: freed without a cleanup.
    assert_eq!((never_set.cleanups(), gotten.cleanups()), (0, 0));
    assert_eq!(bench.rc(&gotten), 0);
}

#[test]
fn old_contexts_that_were_dropped_are_reported_as_such() {
    let bench = Bench::new();
    let context = bench.allocate(FLT_INSTANCE_CONTEXT);
    bench.set_instance(KEEP, &context, None);
    bench.release(&context);
    let mut old = null_mut();
    // SAFETY: the place for the old context is ours.
    let status = unsafe { FltDeleteInstanceContext(bench.instance, &raw mut old) };
    assert_eq!((status, old), (STATUS_SUCCESS, context.context));
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    assert_eq!(bench.machine.verifier().reports()[0].rule, Rule::V5);
}

#[test]
fn unregistering_waits_for_the_last_release() {
    let config = config().unload_wait(Duration::from_secs(5));
    let bench = Bench::with(config, registration(), all_kinds());
    let context = bench.allocate(FLT_INSTANCE_CONTEXT);
    let done = AtomicBool::new(false);
    let address = context.context as usize;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            done.store(true, Ordering::SeqCst);
            // SAFETY: the reference is ours.
            unsafe { FltReleaseContext(address as PFLT_CONTEXT) };
        });
        assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    });
    assert!(done.load(Ordering::SeqCst));
    assert_eq!(context.cleanups(), 1);
    bench.assert_clean();
}

#[test]
fn references_on_filters_instances_and_volumes_are_leaks() {
    let bench = Bench::new();
    let objects = [
        bench.filter.cast(),
        bench.instance.cast(),
        bench.volume.pointer().cast(),
    ];
    for object in objects {
        // SAFETY: an export checks its arguments itself.
        assert_eq!(unsafe { FltObjectReference(object) }, STATUS_SUCCESS);
    }
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    let mut leaked: Vec<_> = bench.machine.verifier().leaks();
    leaked.sort_by_key(|leak| leak.object);
    let objects: Vec<_> = leaked
        .iter()
        .map(|leak| (leak.object, leak.count))
        .collect();
    assert_eq!(objects, [("filter", 1), ("instance", 1), ("volume", 1)]);
}

#[test]
fn who_may_be_unloaded() {
    let mut cannot = registration();
    cannot.FilterUnloadCallback = None;
    let bench = Bench::with(config(), cannot, vec![]);
    assert_eq!(
        bench.driver.unload(Unload::Normal),
        Err(STATUS_FLT_DO_NOT_DETACH)
    );
    let mut no_stop = registration();
    no_stop.Flags = FLTFL_REGISTRATION_DO_NOT_SUPPORT_SERVICE_STOP;
    let bench = Bench::with(config(), no_stop, vec![]);
    assert_eq!(
        bench.driver.unload(Unload::Mandatory),
        Err(STATUS_FLT_DO_NOT_DETACH)
    );
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    let mut refuses = registration();
    refuses.FilterUnloadCallback = Some(refuse);
    let bench = Bench::with(config(), refuses, vec![]);
    assert_eq!(
        bench.driver.unload(Unload::Normal),
        Err(STATUS_FLT_DO_NOT_DETACH)
    );
    assert!(bench.driver.filter().is_some());
    assert_eq!(bench.driver.unload(Unload::Mandatory), Ok(()));
    assert!(bench.driver.filter().is_none());
    bench.assert_clean();
}

fltapi! {
    /// Refuses to unload.
    unsafe fn refuse(_flags: FLT_FILTER_UNLOAD_FLAGS) -> NTSTATUS {
        STATUS_FLT_DO_NOT_DETACH
    }

    /// Notes every notification, and pends as it was told to.
    unsafe fn notify(
        _objects: PCFLT_RELATED_OBJECTS,
        _context: PFLT_CONTEXT,
        mask: ULONG,
    ) -> NTSTATUS {
        HEARD.with_borrow_mut(|heard| heard.push(mask));
        if PEND.with_borrow(|pend| *pend == mask) {
            STATUS_PENDING
        } else {
            STATUS_SUCCESS
        }
    }
}

thread_local! {
    static HEARD: RefCell<Vec<ULONG>> = const { RefCell::new(Vec::new()) };
    static PEND: RefCell<ULONG> = const { RefCell::new(0) };
}

fn transacted(end: TransactionEnd) -> Bench {
    let mut registration = registration();
    registration.TransactionNotificationCallback = Some(notify);
    Bench::with(immediately(end), registration, all_kinds())
}

fn enlist(bench: &Bench, on: PKTRANSACTION, context: &Allocated, mask: ULONG) -> NTSTATUS {
    // SAFETY: an export checks its arguments itself.
    unsafe { FltEnlistInTransaction(bench.instance, on, context.context, mask) }
}

fn set_transaction(bench: &Bench, on: PKTRANSACTION) -> Allocated {
    let context = bench.allocate(FLT_TRANSACTION_CONTEXT);
    // SAFETY: an export checks its arguments itself.
    let status =
        unsafe { FltSetTransactionContext(bench.instance, on, KEEP, context.context, null_mut()) };
    assert_eq!(status, STATUS_SUCCESS);
    bench.release(&context);
    context
}

const ALL: ULONG = FLT_MAX_TRANSACTION_NOTIFICATIONS;

#[test]
fn commit_notifies_in_order() {
    let bench = transacted(TransactionEnd::Immediate);
    let transaction = bench.machine.begin_transaction();
    let context = set_transaction(&bench, transaction.pointer());
    assert_eq!(
        enlist(&bench, transaction.pointer(), &context, 0),
        STATUS_INVALID_PARAMETER_4
    );
    assert_eq!(
        enlist(&bench, transaction.pointer(), &context, ALL),
        STATUS_SUCCESS
    );
    let again = enlist(&bench, transaction.pointer(), &context, ALL);
    assert_eq!(
        (again, bench.rc(&context)),
        (STATUS_FLT_ALREADY_ENLISTED, 1)
    );
    assert_eq!(transaction.commit(), Ok(()));
    assert_eq!(HEARD.take(), [1, 2, 4, 0x4000_0000]);
    assert_eq!(context.cleanups(), 1);
    assert_eq!(transaction.commit(), Err(STATUS_TRANSACTION_NOT_ACTIVE));
    bench.assert_clean();
}

#[test]
fn contexts_of_ended_transactions_go_sooner_or_later() {
    for end in [
        TransactionEnd::Worker,
        TransactionEnd::Pump,
        TransactionEnd::Seeded,
    ] {
        let bench = transacted(end);
        let transaction = bench.machine.begin_transaction();
        let context = set_transaction(&bench, transaction.pointer());
        enlist(
            &bench,
            transaction.pointer(),
            &context,
            TRANSACTION_NOTIFY_ROLLBACK,
        );
        transaction.rollback();
        assert_eq!(HEARD.take(), [TRANSACTION_NOTIFY_ROLLBACK]);
        bench.machine.settle();
        assert_eq!(context.cleanups(), 1, "{end:?}");
        bench.assert_clean();
    }
}

#[test]
fn a_pended_notification_is_waited_for() {
    let mut registration = registration();
    registration.TransactionNotificationCallback = Some(notify);
    let config = immediately(TransactionEnd::Immediate).unload_wait(Duration::from_secs(5));
    let bench = Bench::with(config, registration, all_kinds());
    let transaction = bench.machine.begin_transaction();
    let context = set_transaction(&bench, transaction.pointer());
    enlist(&bench, transaction.pointer(), &context, ALL);
    let (instance, pointer) = (bench.instance as usize, transaction.pointer() as usize);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            PEND.replace(TRANSACTION_NOTIFY_PREPARE);
            assert_eq!(transaction.commit(), Ok(()));
            done.store(true, Ordering::SeqCst);
        });
        std::thread::sleep(Duration::from_millis(50));
        assert!(!done.load(Ordering::SeqCst));
        let (instance, pointer) = (instance as PFLT_INSTANCE, pointer as PKTRANSACTION);
        // SAFETY: an export checks its arguments itself.
        let status = unsafe { FltPrepareComplete(instance, pointer, null_mut()) };
        assert_eq!(status, STATUS_SUCCESS);
    });
    assert_eq!(context.cleanups(), 1);
    bench.assert_clean();
}

#[test]
fn a_notification_that_is_never_completed_is_reported() {
    let bench = transacted(TransactionEnd::Immediate);
    let transaction = bench.machine.begin_transaction();
    let context = set_transaction(&bench, transaction.pointer());
    enlist(&bench, transaction.pointer(), &context, ALL);
    PEND.replace(TRANSACTION_NOTIFY_COMMIT);
    assert_eq!(transaction.commit(), Ok(()));
    PEND.replace(0);
    let reports = bench.machine.verifier().take_reports();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].rule, Rule::V18);
    assert_eq!(context.cleanups(), 1);
}

#[test]
fn enlisting_without_means() {
    let bench = transacted(TransactionEnd::Immediate);
    let transaction = bench.machine.begin_transaction();
    let pointer = transaction.pointer();
    // SAFETY: an export checks its arguments itself.
    let status = unsafe { FltCommitComplete(bench.instance, pointer, null_mut()) };
    assert_eq!(status, STATUS_NOT_FOUND);
    let context = set_transaction(&bench, pointer);
    bench.machine.inject(Fault::Enlist { after: 0 });
    let failed = enlist(&bench, pointer, &context, ALL);
    assert_eq!(
        (failed, bench.rc(&context)),
        (STATUS_INSUFFICIENT_RESOURCES, 1)
    );
    transaction.rollback();
    assert_eq!(context.cleanups(), 1);
    bench.assert_clean();
    let without = Bench::new();
    let transaction = without.machine.begin_transaction();
    let context = set_transaction(&without, transaction.pointer());
    let failed = enlist(&without, transaction.pointer(), &context, ALL);
    assert_eq!(failed, STATUS_INVALID_PARAMETER);
}

#[test]
fn rolling_back_from_an_enlistment() {
    let bench = transacted(TransactionEnd::Immediate);
    let transaction = bench.machine.begin_transaction();
    let pointer = transaction.pointer();
    let context = set_transaction(&bench, pointer);
    enlist(&bench, pointer, &context, ALL);
    // SAFETY: an export checks its arguments itself.
    let status = unsafe { FltRollbackEnlistment(bench.instance, pointer, null_mut()) };
    assert_eq!(status, STATUS_SUCCESS);
    bench.machine.settle();
    assert_eq!(context.cleanups(), 1);
    assert!(transaction.commit().is_err());
    bench.assert_clean();
}

/// What a driver owns of a section.
struct Section {
    handle: HANDLE,
    object: PVOID,
}

fn scan(bench: &Bench, file: &Handle, context: &Allocated, protection: ULONG) -> NTSTATUS {
    create_section(bench, file, context, protection).0
}

fn create_section(
    bench: &Bench,
    file: &Handle,
    context: &Allocated,
    protection: ULONG,
) -> (NTSTATUS, Section) {
    let (mut handle, mut object) = (null_mut(), null_mut());
    let file = file.file_object();
    let mut attributes = OBJECT_ATTRIBUTES {
        Length: u32::try_from(size_of::<OBJECT_ATTRIBUTES>()).expect("48 bytes"),
        RootDirectory: null_mut(),
        ObjectName: null_mut(),
        Attributes: OBJ_KERNEL_HANDLE,
        SecurityDescriptor: null_mut(),
        SecurityQualityOfService: null_mut(),
    };
    // SAFETY: an export checks its arguments itself; the places for the results are ours.
    let status = unsafe {
        FltCreateSectionForDataScan(
            bench.instance,
            file,
            context.context,
            0,
            &raw mut attributes,
            null_mut(),
            protection,
            SEC_COMMIT,
            0,
            &raw mut handle,
            &raw mut object,
            null_mut(),
        )
    };
    assert_eq!(
        status == STATUS_SUCCESS,
        !handle.is_null() && !object.is_null()
    );
    (status, Section { handle, object })
}

/// Maps all of a section: the bytes of the view, and where it is.
fn map(section: &Section) -> (Vec<u8>, PVOID) {
    let (mut base, mut size) = (null_mut(), 0);
    // SAFETY: an export checks its arguments itself; the places for the results are ours.
    let status = unsafe { MmMapViewInSystemSpace(section.object, &raw mut base, &raw mut size) };
    assert_eq!(status, STATUS_SUCCESS);
    let size = usize::try_from(size).unwrap();
    // SAFETY: the view is mapped, with that many bytes, which nothing writes to.
    let bytes = unsafe { std::slice::from_raw_parts(base.cast::<u8>(), size) };
    (bytes.to_vec(), base)
}

fn unmap(bench: &Bench, view: PVOID) -> NTSTATUS {
    bench.machine.at_irql(PASSIVE_LEVEL, || {
        // SAFETY: an export checks its arguments itself.
        unsafe { MmUnmapViewInSystemSpace(view) }
    })
}

/// A bench that is registered for data scans, with an open section on a file of four bytes.
fn scanning() -> (Bench, Handle, Allocated, Section) {
    let bench = Bench::with(
        immediately(TransactionEnd::Immediate),
        registration(),
        all_kinds(),
    );
    // SAFETY: an export checks its arguments itself.
    let status = unsafe { FltRegisterForDataScan(bench.instance) };
    assert_eq!(status, STATUS_SUCCESS);
    let file = create(&bench, "\\file");
    file.write(0, b"data").unwrap();
    let context = bench.allocate(FLT_SECTION_CONTEXT);
    let (status, section) = create_section(&bench, &file, &context, PAGE_READONLY);
    assert_eq!(status, STATUS_SUCCESS);
    (bench, file, context, section)
}

/// Everything that a driver owes after a scan, but for its views.
fn end_scan(bench: &Bench, context: &Allocated, section: &Section) {
    // SAFETY: an export checks its arguments itself.
    let status = unsafe { FltCloseSectionForDataScan(context.context) };
    assert_eq!(status, STATUS_SUCCESS);
    bench.release(context);
    bench.machine.at_irql(PASSIVE_LEVEL, || {
        // SAFETY: as above.
        let status = unsafe { ZwClose(section.handle) };
        assert_eq!(status, STATUS_SUCCESS);
        // SAFETY: as above.
        unsafe { ObfDereferenceObject(section.object) };
    });
}

#[test]
fn views_of_a_section_outlive_it_until_they_are_unmapped() {
    let (bench, file, context, section) = scanning();
    let (bytes, one) = map(&section);
    assert_eq!(bytes, b"data");
    // The section keeps what was in the file when it was created.
    file.set_size(1).unwrap();
    let (bytes, two) = map(&section);
    assert_eq!(bytes, b"data");
    assert_ne!(one, two);
    assert_eq!(unmap(&bench, one), STATUS_SUCCESS);
    end_scan(&bench, &context, &section);
    assert_eq!(unmap(&bench, two), STATUS_SUCCESS);
    file.close();
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    bench.assert_clean();
}

#[test]
fn a_view_that_stays_mapped_is_a_leak() {
    let (bench, file, context, section) = scanning();
    let (_, view) = map(&section);
    let (_, unmapped) = map(&section);
    assert_eq!(unmap(&bench, unmapped), STATUS_SUCCESS);
    end_scan(&bench, &context, &section);
    file.close();
    assert_eq!(context.cleanups(), 1);
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    let outcome = bench.machine.finish();
    assert!(outcome.violations.is_empty(), "{outcome:#?}");
    assert_eq!(outcome.leaks.len(), 1, "{outcome:#?}");
    let leak = &outcome.leaks[0];
    assert_eq!((leak.object, leak.count), ("section view", 1));
    assert_eq!(leak.address, view as usize);
    assert_eq!(leak.acquired, [("MmMapViewInSystemSpace", 1)]);
    let reports = bench.machine.verifier().reports();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].rule, Rule::V20);
}

#[test]
fn a_view_is_unmapped_once() {
    let (bench, file, context, section) = scanning();
    let (_, view) = map(&section);
    assert_eq!(unmap(&bench, view), STATUS_SUCCESS);
    assert_eq!(unmap(&bench, view), STATUS_INVALID_PARAMETER);
    assert_eq!(unmap(&bench, section.object), STATUS_INVALID_PARAMETER);
    end_scan(&bench, &context, &section);
    file.close();
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    let outcome = bench.machine.finish();
    assert!(outcome.leaks.is_empty(), "{outcome:#?}");
    let rules: Vec<Rule> = outcome.violations.iter().map(|one| one.rule).collect();
    assert_eq!(rules, [Rule::V0, Rule::V0]);
}

#[test]
fn a_section_that_is_open_when_its_stream_or_instance_goes_is_a_violation() {
    for detach in [false, true] {
        let (bench, file, context, section) = scanning();
        if detach {
            assert_eq!(bench.machine.detach(&bench.driver, &bench.volume), Ok(()));
            file.close();
        } else {
            file.close();
            bench.volume.trim();
        }
        assert_eq!(bench.rc(&context), 1, "{detach}");
        // SAFETY: an export checks its arguments itself.
        let late = unsafe { FltCloseSectionForDataScan(context.context) };
        assert_eq!(late, STATUS_NOT_FOUND);
        bench.release(&context);
        assert_eq!(context.cleanups(), 1);
        bench.machine.at_irql(PASSIVE_LEVEL, || {
            // SAFETY: as above.
            let status = unsafe { ZwClose(section.handle) };
            assert_eq!(status, STATUS_SUCCESS);
            // SAFETY: as above.
            unsafe { ObfDereferenceObject(section.object) };
        });
        assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
        let outcome = bench.machine.finish();
        assert!(outcome.leaks.is_empty(), "{outcome:#?}");
        let rules: Vec<Rule> = outcome.violations.iter().map(|one| one.rule).collect();
        // It went with its object, and was closed once more.
        assert_eq!(rules, [Rule::V17, Rule::V17], "{detach}");
    }
}

#[test]
fn a_data_scan_from_beginning_to_end() {
    let bench = Bench::with(
        immediately(TransactionEnd::Immediate),
        registration(),
        all_kinds(),
    );
    let file = create(&bench, "\\file");
    let context = bench.allocate(FLT_SECTION_CONTEXT);
    assert_eq!(
        scan(&bench, &file, &context, PAGE_READONLY),
        STATUS_INVALID_PARAMETER
    );
    // SAFETY: an export checks its arguments itself.
    let status = unsafe { FltRegisterForDataScan(bench.instance) };
    assert_eq!(status, STATUS_SUCCESS);
    assert_eq!(scan(&bench, &file, &context, 0), STATUS_INVALID_PARAMETER_8);
    assert_eq!(
        scan(&bench, &file, &context, PAGE_READONLY),
        STATUS_END_OF_FILE
    );
    assert_eq!(bench.rc(&context), 1);
    // SAFETY: as above.
    let never = unsafe { FltCloseSectionForDataScan(context.context) };
    assert_eq!(never, STATUS_INVALID_PARAMETER);
    file.write(0, b"data").unwrap();
    assert_eq!(scan(&bench, &file, &context, PAGE_READONLY), STATUS_SUCCESS);
    assert_eq!(bench.rc(&context), 2);
    let other = bench.allocate(FLT_SECTION_CONTEXT);
    let second = scan(&bench, &file, &other, PAGE_READONLY);
    assert_eq!(
        (second, bench.rc(&other)),
        (STATUS_FLT_CONTEXT_ALREADY_DEFINED, 1)
    );
    bench.release(&other);
    // SAFETY: as above.
    let close = || unsafe { FltCloseSectionForDataScan(context.context) };
    assert_eq!((close(), bench.rc(&context)), (STATUS_SUCCESS, 1));
    assert_eq!(close(), STATUS_NOT_FOUND);
    assert_eq!(
        scan(&bench, &file, &context, PAGE_READONLY),
        STATUS_INVALID_PARAMETER_3
    );
    bench.release(&context);
    assert_eq!((context.cleanups(), other.cleanups()), (1, 1));
    file.close();
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    let rules: Vec<Rule> = bench
        .machine
        .verifier()
        .reports()
        .iter()
        .map(|report| report.rule)
        .collect();
    // Closed twice; and neither the handle nor the object was given back.
    assert_eq!(rules, [Rule::V17, Rule::V20, Rule::V20]);
}

#[test]
fn drivers_print_to_the_machine() {
    type Print = unsafe extern "win64" fn(u32, u32, *const i8, u64, u64, u64) -> u32;
    let bench = Bench::new();
    let address = fltsim::resolve("DbgPrintEx").unwrap();
    // SAFETY: a variadic function takes any arguments after its fixed ones.
    let print: Print = unsafe { std::mem::transmute(address) };
    bench.machine.at_irql(PASSIVE_LEVEL, || {
        // SAFETY: the format asks for three arguments.
        unsafe {
            print(
                77,
                0,
                c"%d %s %I64x\n".as_ptr(),
                7,
                c"x".as_ptr() as u64,
                u64::MAX,
            )
        };
    });
    assert_eq!(bench.machine.debug_output(), ["7 x ffffffffffffffff"]);
    assert_eq!(bench.machine.calls("DbgPrintEx"), 1);
}

#[test]
fn driver_memory_is_tracked_by_tag() {
    unsafe extern "win64" {
        fn ExAllocatePool2(flags: u64, size: u64, tag: u32) -> PVOID;
        fn ExFreePoolWithTag(memory: PVOID, tag: u32);
    }
    let bench = Bench::new();
    bench.machine.at_irql(PASSIVE_LEVEL, || {
        // SAFETY: any size and tag will do.
        let memory = unsafe { ExAllocatePool2(0x40, 100, core_support::TAG) };
        // SAFETY: the memory has 100 bytes, all of them zeroed.
        let bytes = unsafe { std::slice::from_raw_parts(memory.cast::<u8>(), 100) };
        assert_eq!(bytes, [0; 100]);
        for _ in 0..2 {
            // SAFETY: the pool checks what it is given.
            unsafe { ExFreePoolWithTag(memory, core_support::TAG) };
        }
        // SAFETY: as above.
        let _leaked = unsafe { ExAllocatePool2(0x100, 50, core_support::TAG) };
    });
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    let outcome = bench.machine.finish();
    assert_eq!(outcome.bugchecks.len(), 1);
    assert_eq!(outcome.leaks.len(), 1);
    assert_eq!(
        (outcome.leaks[0].size, outcome.leaks[0].note.as_str()),
        (50, "tag 'Test'")
    );
}

#[test]
fn looking_objects_up() {
    let bench = Bench::new();
    let mut volume = null_mut();
    // SAFETY: the place for the result is ours.
    let status = unsafe { FltGetVolumeFromInstance(bench.instance, &raw mut volume) };
    assert_eq!((status, volume), (STATUS_SUCCESS, bench.volume.pointer()));
    // SAFETY: an export checks its arguments itself.
    unsafe { FltObjectDereference(volume.cast()) };
    let mut needed = 0;
    // SAFETY: as above.
    let status = unsafe { FltGetVolumeName(volume, null_mut(), &raw mut needed) };
    assert_eq!((status, needed), (STATUS_BUFFER_TOO_SMALL, 46));
    let mut count = 0;
    let mut list = [null_mut(); 4];
    // SAFETY: the list has four places.
    let status = unsafe {
        FltEnumerateInstances(
            null_mut(),
            bench.filter,
            list.as_mut_ptr(),
            4,
            &raw mut count,
        )
    };
    assert_eq!(
        (status, count, list[0]),
        (STATUS_SUCCESS, 1, bench.instance)
    );
    // SAFETY: an export checks its arguments itself.
    unsafe { FltObjectDereference(list[0].cast()) };
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    bench.assert_clean();
}

#[test]
fn filters_attach_to_volumes_that_come_later() {
    let bench = Bench::new();
    let manual = DriverConfig::new("manual").altitude("390000").manual_only();
    let manual = bench.machine.create_driver(manual);
    start(&manual, registration(), vec![]).unwrap();
    let config = VolumeConfig::memory("\\Device\\HarddiskVolume2", Personality::ntfs());
    let volume = bench.machine.add_volume(config);
    let filters = || {
        let instances = volume.instances();
        instances
            .into_iter()
            .map(|one| one.filter)
            .collect::<Vec<_>>()
    };
    assert_eq!(filters(), ["test"]);
    assert_eq!(bench.machine.attach(&manual, &volume, None), Ok(()));
    assert_eq!(filters(), ["manual", "test"]);
    let twice = bench.machine.attach(&manual, &volume, None);
    assert!(twice.is_err());
    volume.dismount();
    assert!(volume.instances().is_empty());
    bench.assert_clean();
}
