//! C-121 to C-153: how objects end, instances are torn down and filters unloaded.

use crate::calls::{complete_pended_pre, queue_work};
use crate::harness::{
    Ctx, Event, Fixture, KEEP, Plan, Slot, allocate_in, attach_volume, config, config_immediate,
    detach_volume, object_dereference, object_reference, release_context, seeds, start_filtering,
    unregister_filter,
};
use crate::support::{Gate, Notes, a_moment, during_read, is_linked, patient, until};
use fltmgr_sys::*;
use fltsim::filesystem::{Personality, TeardownPolicy};
use fltsim::verifier::{Rule, Severity};
use fltsim::{ContextKind, Handle, Policies, Transaction, Unload, VolumeConfig};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const NOT_FOUND: (NTSTATUS, PFLT_CONTEXT) = (STATUS_NOT_FOUND, NULL_CONTEXT);

/// A filter on a volume whose file system gives a stream up with the last close.
fn immediate(seed: u64, plan: Plan) -> Fixture {
    Fixture::with(config_immediate(seed), Personality::ntfs(), plan)
}

fn detach(fixture: &Fixture) {
    assert_eq!(
        fixture.machine.detach(&fixture.driver, &fixture.volume),
        Ok(())
    );
}

/// What the Filter Manager called, the operations left out.
fn calls(fixture: &Fixture) -> Vec<Event> {
    let mut events = fixture.events();
    events.retain(|event| !matches!(event, Event::Pre { .. } | Event::Post { .. }));
    events
}

fn was_called(fixture: &Fixture, wanted: impl Fn(&Event) -> bool) -> bool {
    fixture.events().iter().any(wanted)
}

fn teardown_is_complete(fixture: &Fixture) -> bool {
    was_called(fixture, |event| {
        matches!(event, Event::TeardownComplete { .. })
    })
}

fn teardown_has_started(fixture: &Fixture) -> bool {
    was_called(fixture, |event| {
        matches!(event, Event::TeardownStart { .. })
    })
}

/// The contexts of an open file: file, stream and stream handle.
fn on_all_of(fixture: &Fixture, file: &Handle) -> [Ctx; 3] {
    [
        fixture.on_file(file),
        fixture.on_stream(file),
        fixture.on_stream_handle(file),
    ]
    .map(|slot| fixture.linked(slot))
}

/// All six kinds that can be set.
fn on_everything(fixture: &Fixture, file: &Handle, transaction: &Transaction) -> Vec<Ctx> {
    let mut contexts = on_all_of(fixture, file).to_vec();
    for slot in [
        fixture.on_volume(),
        fixture.on_instance(),
        fixture.on_transaction(transaction),
    ] {
        contexts.push(fixture.linked(slot));
    }
    contexts
}

/// A stream context belongs to the stream and not to the file object that it was set through.
#[test]
fn c_121_a_stream_context_survives_the_file_object_it_was_set_through() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let (one, two) = (fixture.open("\\a"), fixture.open("\\a"));
        let ctx = fixture.linked(fixture.on_stream(&one));
        one.close();
        assert!(is_linked(&fixture, &ctx));
        let got = fixture.on_stream(&two).get();
        assert_eq!(got, (STATUS_SUCCESS, ctx.pointer()));
        ctx.release();
        assert_eq!(ctx.cleanups(), 0);
        two.close();
        fixture.finish();
    });
}

/// The cache or the memory manager may keep a stream after its last handle.
#[test]
fn c_122_a_stream_context_survives_the_last_handle() {
    seeds(|seed| {
        let fixture = immediate(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let slot = fixture.on_stream(&file);
        let ctx = fixture.linked(slot);
        let cached = file.reference();
        file.close();
        assert_eq!(ctx.cleanups(), 0);
        assert!(is_linked(&fixture, &ctx));
        assert_eq!(slot.get(), (STATUS_SUCCESS, ctx.pointer()));
        ctx.release();
        drop(cached);
        assert_eq!(ctx.cleanups(), 1);
        fixture.finish();
    });
}

/// The link goes with the stream's structure, at the last close or later.
#[test]
fn c_123_a_stream_context_goes_with_the_stream() {
    seeds(|seed| {
        for (policy, at_close) in [
            (TeardownPolicy::Immediate, Some(1)),
            (TeardownPolicy::Delayed, Some(0)),
            (TeardownPolicy::Seeded(seed), None),
        ] {
            let policies = Policies {
                stream_teardown: Some(policy),
                ..Policies::default()
            };
            let machine = config(seed).policies(policies);
            let fixture = Fixture::with(machine, Personality::ntfs(), Plan::all_kinds());
            let file = fixture.open("\\a");
            let ctx = fixture.linked(fixture.on_stream(&file));
            file.close();
            if let Some(cleanups) = at_close {
                assert_eq!(ctx.cleanups(), cleanups);
            }
            fixture.volume.trim();
            assert_eq!(ctx.cleanups(), 1);
            let cleanup = ctx.cleanup().expect("it has been cleaned up");
            assert!(cleanup.irql <= APC_LEVEL);
            fixture.finish();
        }
    });
}

/// A stream whose context somebody holds, and which is torn down then.
fn held_past_its_stream(seed: u64) -> (Fixture, Ctx) {
    let fixture = immediate(seed, Plan::all_kinds());
    let file = fixture.open("\\a");
    let slot = fixture.on_stream(&file);
    let ctx = fixture.linked(slot);
    ctx.fill(0x5A);
    assert_eq!(slot.get(), (STATUS_SUCCESS, ctx.pointer()));
    assert_eq!(fixture.rc(&ctx), 2);
    file.close();
    (fixture, ctx)
}

/// A reference keeps the context, but not its link.
#[test]
fn c_124_a_referenced_context_outlives_its_stream_unlinked() {
    seeds(|seed| {
        let (fixture, ctx) = held_past_its_stream(seed);
        assert_eq!(fixture.rc(&ctx), 1);
        assert!(!is_linked(&fixture, &ctx));
        assert_eq!(ctx.cleanups(), 0);
        ctx.release();
        assert_eq!(ctx.cleanups(), 1);
        fixture.finish();
    });
}

/// Its holder may read it as before.
#[test]
fn c_125_the_payload_of_an_unlinked_context_is_intact() {
    seeds(|seed| {
        let (fixture, ctx) = held_past_its_stream(seed);
        assert_eq!(ctx.read(), [0x5A; 64]);
        ctx.release();
        let cleanup = ctx.cleanup().expect("it has been cleaned up");
        assert_eq!(cleanup.payload, [0x5A; 64]);
        fixture.finish();
    });
}

/// The same path is a new stream, without a context.
#[test]
fn c_126_a_reopened_stream_has_no_context() {
    seeds(|seed| {
        let (fixture, ctx) = held_past_its_stream(seed);
        let file = fixture.open("\\a");
        assert_eq!(fixture.on_stream(&file).get(), NOT_FOUND);
        ctx.release();
        drop(file);
        fixture.finish();
    });
}

/// A stream-handle context goes within the close, before the post-operation callback.
#[test]
fn c_127_a_stream_handle_context_goes_before_post_close() {
    seeds(|seed| {
        let plan = Plan::all_kinds().post(IRP_MJ_CLOSE, |_| FLT_POSTOP_FINISHED_PROCESSING);
        let fixture = Fixture::new(seed, plan);
        let file = fixture.open("\\a");
        let ctx = fixture.linked(fixture.on_stream_handle(&file));
        file.close();
        assert_eq!(ctx.cleanups(), 1);
        let events = fixture.events();
        let at = |wanted: &dyn Fn(&Event) -> bool| events.iter().position(wanted);
        let cleanup = at(&|event| matches!(event, Event::Cleanup { .. }));
        let closed = at(&|event| {
            matches!(
                event,
                Event::Post {
                    major: IRP_MJ_CLOSE,
                    ..
                }
            )
        });
        assert!(cleanup.is_some());
        assert!(cleanup < closed, "{events:?}");
        fixture.finish();
    });
}

/// A handle is not the file object: a kernel reference delays the close and the context's end.
#[test]
fn c_128_a_stream_handle_context_survives_the_handle() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let ctx = fixture.linked(fixture.on_stream_handle(&file));
        let cached = file.reference();
        file.close();
        assert_eq!(ctx.cleanups(), 0);
        assert!(is_linked(&fixture, &ctx));
        drop(cached);
        assert_eq!(ctx.cleanups(), 1);
        fixture.finish();
    });
}

/// A file context stays until the last stream of the file has gone.
#[test]
fn c_129_a_file_context_outlives_all_but_the_last_stream() {
    seeds(|seed| {
        let fixture = immediate(seed, Plan::all_kinds());
        let (one, two) = (fixture.open("\\a"), fixture.open("\\a:s"));
        let on_file = fixture.linked(fixture.on_file(&one));
        let on_stream = fixture.linked(fixture.on_stream(&one));
        one.close();
        assert_eq!(on_stream.cleanups(), 1);
        assert_eq!(on_file.cleanups(), 0);
        let got = fixture.on_file(&two).get();
        assert_eq!(got, (STATUS_SUCCESS, on_file.pointer()));
        on_file.release();
        two.close();
        assert_eq!(on_file.cleanups(), 1);
        fixture.finish();
    });
}

/// A detach takes the contexts of its instance off open files, and no others.
#[test]
fn c_130_detach_removes_the_contexts_of_its_instance_only() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let other = fixture.second_filter(Plan::all_kinds().named("other", "145000"));
        let file = fixture.open("\\a");
        let mine = on_all_of(&fixture, &file);
        let theirs_on = other.instance_on(&fixture.volume);
        let slots = [
            Slot::File(theirs_on, file.file_object()),
            Slot::Stream(theirs_on, file.file_object()),
            Slot::StreamHandle(theirs_on, file.file_object()),
        ];
        let theirs = slots.map(|slot| other.linked(slot));
        detach(&fixture);
        for ctx in mine {
            assert_eq!(ctx.cleanups(), 1);
        }
        for (slot, ctx) in slots.into_iter().zip(&theirs) {
            assert_eq!(ctx.cleanups(), 0);
            assert_eq!(slot.get(), (STATUS_SUCCESS, ctx.pointer()));
            ctx.release();
            assert_eq!(other.rc(ctx), 1);
        }
        drop(file);
        assert_eq!(other.unload(Unload::Normal), Ok(()));
        fixture.finish();
    });
}

/// Who cannot be asked cannot be detached by hand.
#[test]
fn c_131_detach_without_query_teardown_fails() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds().no_query_teardown());
        let file = fixture.open("\\a");
        let contexts = on_all_of(&fixture, &file);
        let status = detach_volume(fixture.pointer(), fixture.volume.pointer());
        assert!(!nt_success(status));
        assert!(!teardown_has_started(&fixture));
        assert_eq!(fixture.instance_count(&fixture.volume), 1);
        for ctx in contexts {
            assert_eq!(fixture.rc(&ctx), 1);
            assert!(is_linked(&fixture, &ctx));
        }
        drop(file);
        fixture.finish();
    });
}

/// An instance may refuse to be detached by hand, and is not asked when its filter unloads.
#[test]
fn c_132_query_teardown_refuses_a_detach_and_no_unload() {
    seeds(|seed| {
        let plan = Plan::all_kinds().on_query_teardown(|_| STATUS_FLT_DO_NOT_DETACH);
        let fixture = Fixture::new(seed, plan);
        let file = fixture.open("\\a");
        let contexts = on_all_of(&fixture, &file);
        let status = detach_volume(fixture.pointer(), fixture.volume.pointer());
        assert_eq!(status, STATUS_FLT_DO_NOT_DETACH);
        for ctx in &contexts {
            assert_eq!(fixture.rc(ctx), 1);
            assert!(is_linked(&fixture, ctx));
        }
        assert_eq!(fixture.unload(Unload::Normal), Ok(()));
        let asked = calls(&fixture);
        let asked = asked.iter().filter(|event| **event == Event::QueryTeardown);
        assert_eq!(asked.count(), 1);
        for ctx in contexts {
            assert_eq!(ctx.cleanups(), 1);
        }
        drop(file);
        fixture.finish();
    });
}

/// The steps of a detach come in their order.
#[test]
fn c_133_the_steps_of_a_detach() {
    seeds(|seed| {
        let plan = Plan::all_kinds()
            .pre(IRP_MJ_READ, |_| FLT_PREOP_SUCCESS_WITH_CALLBACK)
            .post(IRP_MJ_READ, |_| FLT_POSTOP_FINISHED_PROCESSING);
        let fixture = Fixture::new(seed, plan);
        let file = fixture.open("\\a");
        assert_eq!(file.write(0, b"data"), Ok(4));
        on_all_of(&fixture, &file);
        fixture.linked(fixture.on_instance());
        during_read(&fixture, &file, || detach(&fixture));
        let events = fixture.events();
        let reason = FLTFL_INSTANCE_TEARDOWN_MANUAL;
        let steps = [
            Event::Setup {
                flags: FLTFL_INSTANCE_SETUP_AUTOMATIC_ATTACHMENT,
            },
            Event::Pre { major: IRP_MJ_READ },
            Event::QueryTeardown,
            Event::TeardownStart { reason },
            Event::Post {
                major: IRP_MJ_READ,
                draining: true,
            },
            Event::TeardownComplete { reason },
        ];
        assert_eq!(events[..steps.len()], steps);
        let cleanups = &events[steps.len()..];
        assert_eq!(cleanups.len(), 4, "{cleanups:?}");
        let is_cleanup = |event: &Event| matches!(event, Event::Cleanup { .. });
        assert!(cleanups.iter().all(is_cleanup), "{cleanups:?}");
        drop(file);
        fixture.finish();
    });
}

/// New operations pass by an instance whose teardown has started.
#[test]
fn c_134_no_callbacks_for_new_operations_after_teardown_start() {
    seeds(|seed| {
        let (files, reads) = (Notes::<Arc<Handle>>::new(), Notes::new());
        let (from, done) = (files.clone(), reads.clone());
        let plan = Plan::all_kinds()
            .pre(IRP_MJ_READ, |_| FLT_PREOP_SUCCESS_WITH_CALLBACK)
            .post(IRP_MJ_READ, |_| FLT_POSTOP_FINISHED_PROCESSING)
            .on_teardown_complete(move |_| done.push(from.one().read(0, &mut [0; 4])));
        let fixture = Fixture::new(seed, plan);
        let file = Arc::new(fixture.open("\\a"));
        assert_eq!(file.write(0, b"data"), Ok(4));
        files.push(Arc::clone(&file));
        detach(&fixture);
        assert_eq!(reads.one(), Ok(4));
        assert_eq!(file.read(0, &mut [0; 4]), Ok(4));
        let is_read = |event: &Event| matches!(event, Event::Pre { .. } | Event::Post { .. });
        assert!(!was_called(&fixture, is_read));
        drop((file, files.take()));
        fixture.finish();
    });
}

/// An operation that the instance has pended keeps its teardown from being complete.
#[test]
fn c_135_a_pended_operation_delays_teardown_complete() {
    seeds(|seed| {
        let (pended, notes) = (Gate::default(), Notes::new());
        let (pends, data) = (pended.clone(), notes.clone());
        let plan = Plan::all_kinds().pre(IRP_MJ_READ, move |pre| {
            data.push(pre.data as usize);
            pends.open();
            FLT_PREOP_PENDING
        });
        let fixture = Fixture::with(patient(seed), Personality::ntfs(), plan);
        let file = fixture.open("\\a");
        assert_eq!(file.write(0, b"data"), Ok(4));
        let ctx = fixture.linked(fixture.on_instance());
        thread::scope(|scope| {
            let reader = scope.spawn(|| file.read(0, &mut [0; 4]));
            pended.wait();
            let detacher = scope.spawn(|| detach(&fixture));
            until(|| teardown_has_started(&fixture));
            a_moment();
            assert!(!teardown_is_complete(&fixture));
            assert_eq!(ctx.cleanups(), 0);
            let data = notes.one() as PFLT_CALLBACK_DATA;
            complete_pended_pre(data, FLT_PREOP_SUCCESS_NO_CALLBACK);
            assert_eq!(reader.join().expect("no panic"), Ok(4));
            detacher.join().expect("no panic");
        });
        assert!(teardown_is_complete(&fixture));
        assert_eq!(ctx.cleanups(), 1);
        drop(file);
        fixture.finish();
    });
}

/// A reference on the instance does not delay its teardown, but its end.
#[test]
fn c_136_a_reference_on_the_instance_keeps_it_and_its_contexts() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let mut contexts = on_all_of(&fixture, &file).to_vec();
        contexts.push(fixture.linked(fixture.on_instance()));
        let instance = fixture.instance();
        assert_eq!(object_reference(instance), STATUS_SUCCESS);
        detach(&fixture);
        assert!(teardown_is_complete(&fixture));
        for ctx in &contexts {
            assert_eq!(ctx.cleanups(), 0);
        }
        assert_eq!(object_reference(instance), STATUS_FLT_DELETING_OBJECT);
        object_dereference(instance);
        for ctx in &contexts {
            assert_eq!(ctx.cleanups(), 1);
        }
        drop(file);
        fixture.finish();
    });
}

/// A setup that fails takes back what it has set.
#[test]
fn c_137_the_context_of_an_instance_that_does_not_attach_is_cleaned_up() {
    seeds(|seed| {
        let notes = Notes::<Ctx>::new();
        let set = notes.clone();
        let plan = Plan::all_kinds().on_setup(move |call| {
            let ctx = allocate_in(call.objects.Filter, FLT_INSTANCE_CONTEXT, PagedPool);
            let slot = Slot::Instance(call.objects.Instance);
            assert_eq!(
                slot.set(KEEP, ctx.pointer()),
                (STATUS_SUCCESS, NULL_CONTEXT)
            );
            ctx.release();
            set.push(ctx);
            STATUS_FLT_DO_NOT_ATTACH
        });
        let fixture = Fixture::new(seed, plan);
        assert_eq!(fixture.instance_count(&fixture.volume), 0);
        assert_eq!(notes.one().cleanups(), 1);
        assert!(!teardown_has_started(&fixture));
        assert!(!teardown_is_complete(&fixture));
        fixture.finish();
    });
}

/// Without a setup callback a filter takes every volume.
#[test]
fn c_138_a_filter_without_instance_setup_attaches_everywhere() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds().no_setup());
        assert_eq!(fixture.instance_count(&fixture.volume), 1);
        for (number, personality) in [
            Personality::fat(),
            Personality::no_contexts(),
            Personality::redirector(),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("\\Device\\Another{number}");
            let volume = fixture
                .machine
                .add_volume(VolumeConfig::memory(name, personality));
            assert_eq!(fixture.instance_count(&volume), 1);
        }
        assert_eq!(calls(&fixture), []);
        fixture.finish();
    });
}

/// A dismount tears instances down without asking them.
#[test]
fn c_139_dismount_tears_down_for_its_own_reason() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let mut contexts = on_all_of(&fixture, &file).to_vec();
        contexts.push(fixture.linked(fixture.on_instance()));
        fixture.volume.dismount();
        let reason = FLTFL_INSTANCE_TEARDOWN_VOLUME_DISMOUNT;
        let events = calls(&fixture);
        assert_eq!(
            events[1..3],
            [
                Event::TeardownStart { reason },
                Event::TeardownComplete { reason }
            ]
        );
        assert!(!events.contains(&Event::QueryTeardown));
        for ctx in contexts {
            assert_eq!(ctx.cleanups(), 1);
        }
        drop(file);
        fixture.finish();
    });
}

/// A volume context belongs to the filter, whatever becomes of one instance.
#[test]
fn c_140_a_volume_context_survives_a_detach() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds().instance("second", "145000"));
        let attached = fixture
            .machine
            .attach(&fixture.driver, &fixture.volume, Some("second"));
        assert_eq!(attached, Ok(()));
        assert_eq!(fixture.instance_count(&fixture.volume), 2);
        let slot = fixture.on_volume();
        let ctx = fixture.linked(slot);
        let detached =
            fixture
                .machine
                .detach_named(&fixture.driver, &fixture.volume, Some("second"));
        assert_eq!(detached, Ok(()));
        assert_eq!(fixture.instance_count(&fixture.volume), 1);
        assert_eq!(slot.get(), (STATUS_SUCCESS, ctx.pointer()));
        ctx.release();
        assert_eq!(ctx.cleanups(), 0);
        fixture.finish();
    });
}

/// Unregistering cleans every linked context up before it returns.
#[test]
fn c_141_unregister_cleans_up_everything_that_is_linked() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let transaction = fixture.machine.begin_transaction();
        let contexts = on_everything(&fixture, &file, &transaction);
        unregister_filter(fixture.pointer());
        for ctx in contexts {
            assert_eq!(ctx.cleanups(), 1, "{:#x}", ctx.kind());
        }
        transaction.rollback();
        drop(file);
        fixture.finish();
    });
}

/// Unregistering waits for a reference that is never released, and says what it waits for.
#[test]
fn c_142_unregister_waits_for_a_leaked_reference_and_reports_it() {
    seeds(|seed| {
        let patience = Duration::from_millis(60);
        let machine = config(seed).unload_wait(patience);
        let fixture = Fixture::with(machine, Personality::ntfs(), Plan::all_kinds());
        let file = fixture.open("\\a");
        let slot = fixture.on_stream(&file);
        let ctx = fixture.linked(slot);
        assert_eq!(slot.get(), (STATUS_SUCCESS, ctx.pointer()));
        let before = Instant::now();
        assert_eq!(fixture.unload(Unload::Normal), Ok(()));
        assert!(before.elapsed() >= patience);
        // The emulator gave up; the driver was not called back for what it still holds.
        assert_eq!(ctx.cleanups(), 0);
        let leaks = fixture.machine.verifier().leaks();
        let [leak] = leaks.as_slice() else {
            panic!("one leak, not {leaks:?}");
        };
        assert_eq!(leak.object, "context");
        assert_eq!(leak.kind, Some(ContextKind::Stream));
        assert_eq!(leak.pool, Some(PagedPool));
        assert_eq!(leak.size, 64);
        assert_eq!(leak.count, 1);
        assert_eq!(leak.address, ctx.pointer() as usize);
        assert!(leak.acquired.contains(&("FltGetStreamContext", 1)));
        drop(file);
        fixture.finish_with(&[Rule::V3]);
    });
}

/// Unloads on this thread while another one, once the instances are down, has waited a moment and
/// lets go of what the unload waits for.
fn unload_while(fixture: &Fixture, let_go: impl FnOnce() + Send) {
    let gone = Notes::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            until(|| teardown_is_complete(fixture));
            a_moment();
            gone.push(());
            let_go();
        });
        assert_eq!(fixture.unload(Unload::Normal), Ok(()));
        assert_eq!(gone.all().len(), 1, "it did not wait");
    });
}

/// The wait ends with the release.
#[test]
fn c_143_unregister_returns_once_the_reference_is_released() {
    seeds(|seed| {
        let fixture = Fixture::with(patient(seed), Personality::ntfs(), Plan::all_kinds());
        let file = fixture.open("\\a");
        let slot = fixture.on_stream(&file);
        let ctx = fixture.linked(slot);
        assert_eq!(slot.get(), (STATUS_SUCCESS, ctx.pointer()));
        unload_while(&fixture, || release_context(ctx.pointer()));
        assert_eq!(ctx.cleanups(), 1);
        drop(file);
        fixture.finish();
    });
}

/// A reference on the filter delays the end of unregistering.
#[test]
fn c_144_unregister_waits_for_a_reference_on_the_filter() {
    seeds(|seed| {
        let fixture = Fixture::with(patient(seed), Personality::ntfs(), Plan::all_kinds());
        let filter = fixture.pointer();
        assert_eq!(object_reference(filter), STATUS_SUCCESS);
        let address = filter as usize;
        unload_while(&fixture, || object_dereference(address as PFLT_FILTER));
        fixture.finish();
    });
}

/// The same for a work item, until its routine has returned.
#[test]
fn c_145_unregister_waits_for_a_queued_work_item() {
    seeds(|seed| {
        let fixture = Fixture::with(patient(seed), Personality::ntfs(), Plan::all_kinds());
        let (leave, done) = (Gate::default(), Notes::new());
        let (leaves, finished) = (leave.clone(), done.clone());
        let queued = queue_work(fixture.pointer(), move || {
            leaves.wait();
            finished.push(());
        });
        assert_eq!(queued, STATUS_SUCCESS);
        unload_while(&fixture, || leave.open());
        done.one();
        fixture.finish();
    });
}

/// The same for a cleanup that was put off because of the IRQL.
#[test]
fn c_146_unregister_waits_for_a_deferred_cleanup() {
    seeds(|seed| {
        let done = Notes::new();
        let finished = done.clone();
        let plan = Plan::all_kinds().on_cleanup(move |_| {
            a_moment();
            finished.push(());
        });
        let fixture = Fixture::with(patient(seed), Personality::ntfs(), plan);
        let ctx = fixture.allocate_from(FLT_STREAM_CONTEXT, NonPagedPoolNx);
        fixture
            .machine
            .at_irql(DISPATCH_LEVEL, || release_context(ctx.pointer()));
        unregister_filter(fixture.pointer());
        done.one();
        assert_eq!(ctx.cleanups(), 1);
        let cleanup = ctx.cleanup().expect("it has been cleaned up");
        assert!(cleanup.irql <= APC_LEVEL);
        fixture.finish();
    });
}

/// A filter may refuse to be unloaded, unless nobody asks.
#[test]
fn c_147_an_unload_can_be_refused_unless_it_is_mandatory() {
    seeds(|seed| {
        let plan = Plan::all_kinds().on_unload(|_| STATUS_FLT_DO_NOT_DETACH);
        let fixture = Fixture::new(seed, plan);
        let file = fixture.open("\\a");
        let contexts = on_all_of(&fixture, &file);
        assert_eq!(
            fixture.unload(Unload::Normal),
            Err(STATUS_FLT_DO_NOT_DETACH)
        );
        assert!(!teardown_has_started(&fixture));
        for ctx in &contexts {
            assert_eq!(fixture.rc(ctx), 1);
            assert!(is_linked(&fixture, ctx));
        }
        assert_eq!(fixture.unload(Unload::Mandatory), Ok(()));
        let unloads = [0, FLTFL_FILTER_UNLOAD_MANDATORY].map(|flags| Event::Unload { flags });
        let mut events = calls(&fixture);
        events.retain(|event| matches!(event, Event::Unload { .. }));
        assert_eq!(events, unloads);
        let reason = FLTFL_INSTANCE_TEARDOWN_MANDATORY_FILTER_UNLOAD;
        assert!(was_called(&fixture, |event| *event == Event::TeardownStart { reason }));
        for ctx in contexts {
            assert_eq!(ctx.cleanups(), 1);
        }
        drop(file);
        fixture.finish();
    });
}

/// A filter may rule mandatory unloads out.
#[test]
fn c_148_a_filter_without_service_stop_cannot_be_unloaded_by_force() {
    seeds(|seed| {
        let plan = Plan::all_kinds().flags(FLTFL_REGISTRATION_DO_NOT_SUPPORT_SERVICE_STOP);
        let fixture = Fixture::new(seed, plan);
        let ctx = fixture.linked(fixture.on_instance());
        assert!(fixture.unload(Unload::Mandatory).is_err());
        assert!(!was_called(&fixture, |event| matches!(
            event,
            Event::Unload { .. }
        )));
        assert!(is_linked(&fixture, &ctx));
        assert_eq!(fixture.unload(Unload::Normal), Ok(()));
        assert_eq!(ctx.cleanups(), 1);
        fixture.finish();
    });
}

/// A filter without an unload callback stays.
#[test]
fn c_149_a_filter_without_unload_callback_cannot_be_unloaded() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds().no_unload());
        let ctx = fixture.linked(fixture.on_instance());
        for how in [Unload::Normal, Unload::Mandatory] {
            assert!(fixture.unload(how).is_err());
        }
        assert!(is_linked(&fixture, &ctx));
        // Only the test can end this: no driver could do it here.
        unregister_filter(fixture.pointer());
        assert_eq!(ctx.cleanups(), 1);
        fixture.finish();
    });
}

/// Nothing attaches before filtering has started.
#[test]
fn c_150_attach_before_filtering_has_started_is_not_ready() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds().not_started());
        let (status, instance) = attach_volume(fixture.pointer(), fixture.volume.pointer());
        assert_eq!(status, STATUS_FLT_FILTER_NOT_READY);
        assert!(instance.is_null());
        assert_eq!(fixture.instance_count(&fixture.volume), 0);
        fixture.finish();
    });
}

/// Filtering starts once.
#[test]
fn c_151_filtering_cannot_be_started_twice() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        assert_eq!(start_filtering(fixture.pointer()), STATUS_INVALID_PARAMETER);
        assert_eq!(fixture.instance_count(&fixture.volume), 1);
        fixture.finish();
    });
}

/// The instance that an attachment returns carries a reference.
#[test]
fn c_152_the_instance_reference_of_an_attachment_is_reported_if_it_leaks() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds().manual_only());
        let (status, instance) = attach_volume(fixture.pointer(), fixture.volume.pointer());
        assert_eq!(status, STATUS_SUCCESS);
        assert_eq!(instance, fixture.instance());
        assert_eq!(fixture.unload(Unload::Normal), Ok(()));
        let reports = fixture.reports();
        let [report] = reports.as_slice() else {
            panic!("one report, not {reports:?}");
        };
        let Severity::Leak(leak) = &report.severity else {
            panic!("a leak, not {report}");
        };
        assert_eq!(leak.object, "instance");
        assert_eq!(leak.address, instance as usize);
        assert_eq!(leak.count, 1);
        assert_eq!(leak.acquired, [("FltAttachVolume", 1)]);
        fixture.finish_with(&[Rule::V20]);
    });
}

/// The kinds in the order in which unregistering cleaned them up.
fn cleanup_order(seed: u64) -> Vec<FLT_CONTEXT_TYPE> {
    let fixture = Fixture::new(seed, Plan::all_kinds());
    let file = fixture.open("\\a");
    let transaction = fixture.machine.begin_transaction();
    let contexts = on_everything(&fixture, &file, &transaction);
    unregister_filter(fixture.pointer());
    for ctx in contexts {
        assert_eq!(ctx.cleanups(), 1);
    }
    let order = calls(&fixture).into_iter().filter_map(|event| match event {
        Event::Cleanup { kind, .. } => Some(kind),
        _ => None,
    });
    let order = order.collect();
    transaction.rollback();
    drop(file);
    fixture.finish();
    order
}

/// No order of the kinds can be relied upon: seeds differ, and a seed repeats itself.
#[test]
fn c_153_contexts_go_in_any_order() {
    let orders = Notes::new();
    seeds(|seed| {
        let order = cleanup_order(seed);
        assert_eq!(order, cleanup_order(seed));
        orders.push(order);
    });
    let mut orders = orders.all();
    orders.sort();
    orders.dedup();
    assert!(orders.len() > 1, "{orders:?}");
}
