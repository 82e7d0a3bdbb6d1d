//! C-103 to C-120: contexts in operation callbacks, completion contexts, and IRQL.

use crate::calls::{create_section, register_for_data_scan, when_safe};
use crate::harness::{
    Ctx, Fixture, KEEP, Plan, Slot, allocate_in, config, get_contexts, irql, release_context,
    release_contexts, seeds, supports_file, supports_file_ex, supports_stream,
    supports_stream_handle,
};
use crate::support::{Notes, all_seven, during_read, linked_nonpaged};
use fltmgr_sys::*;
use fltsim::filesystem::Personality;
use fltsim::verifier::{FLTMGR_FILE_SYSTEM, NO_POST_OPERATION, Rule, Severity};
use fltsim::{Completion, Handle, IoOptions, OpenOptions, Policies};
use std::thread::{self, ThreadId};

/// A file with four bytes in it.
fn with_data(fixture: &Fixture) -> Handle {
    let file = fixture.open("\\a");
    assert_eq!(file.write(0, b"data"), Ok(4));
    file
}

/// The three slots that a file object has for an instance.
fn slots(objects: &FLT_RELATED_OBJECTS) -> [Slot; 3] {
    let (instance, file) = (objects.Instance, objects.FileObject);
    [
        Slot::File(instance, file),
        Slot::Stream(instance, file),
        Slot::StreamHandle(instance, file),
    ]
}

/// Gets the context of a slot and gives the reference back; the status.
fn get_and_release(slot: Slot) -> NTSTATUS {
    let (status, context) = slot.get();
    if nt_success(status) {
        release_context(context);
    }
    status
}

/// Before a create it is not known which stream the file object is going to stand for.
#[test]
fn c_103_get_in_pre_create_is_a_violation() {
    seeds(|seed| {
        let notes = Notes::new();
        let got = notes.clone();
        let plan = Plan::all_kinds().pre(IRP_MJ_CREATE, move |pre| {
            let (status, _) = Slot::Stream(pre.objects.Instance, pre.objects.FileObject).get();
            got.push(status);
            FLT_PREOP_SUCCESS_NO_CALLBACK
        });
        let fixture = Fixture::new(seed, plan);
        let file = fixture.open("\\a");
        assert_eq!(notes.one(), STATUS_NOT_SUPPORTED);
        drop(file);
        fixture.finish_with(&[Rule::V11]);
    });
}

/// After a close the structures that contexts hang on are gone.
#[test]
fn c_104_get_and_set_in_post_close_are_violations() {
    seeds(|seed| {
        let (new, notes) = (Notes::<Ctx>::new(), Notes::new());
        let (contexts, statuses) = (new.clone(), notes.clone());
        let plan = Plan::all_kinds().post(IRP_MJ_CLOSE, move |post| {
            for (slot, ctx) in slots(&post.objects).into_iter().zip(contexts.all()) {
                statuses.push(slot.get().0);
                statuses.push(slot.set(KEEP, ctx.pointer()).0);
            }
            FLT_POSTOP_FINISHED_PROCESSING
        });
        let fixture = Fixture::new(seed, plan);
        let file = fixture.open("\\a");
        for kind in [
            FLT_FILE_CONTEXT,
            FLT_STREAM_CONTEXT,
            FLT_STREAMHANDLE_CONTEXT,
        ] {
            new.push(fixture.allocate(kind));
        }
        drop(file);
        assert_eq!(notes.all(), [STATUS_NOT_SUPPORTED; 6]);
        for ctx in new.take() {
            assert_eq!(fixture.rc(&ctx), 1);
            ctx.release();
            assert_eq!(ctx.cleanups(), 1);
        }
        fixture.finish_with(&[Rule::V11; 6]);
    });
}

/// Until the close is passed on, everything can still be got.
#[test]
fn c_105_get_in_pre_close_succeeds() {
    seeds(|seed| {
        let notes = Notes::new();
        let got = notes.clone();
        let plan = Plan::all_kinds().pre(IRP_MJ_CLOSE, move |pre| {
            for slot in slots(&pre.objects) {
                let (status, context) = slot.get();
                got.push((status, context as usize));
                release_context(context);
            }
            FLT_PREOP_SUCCESS_NO_CALLBACK
        });
        let fixture = Fixture::new(seed, plan);
        let file = fixture.open("\\a");
        let expected = slots(&fixture.objects(Some(&file), None))
            .map(|slot| (STATUS_SUCCESS, fixture.linked(slot).pointer() as usize));
        drop(file);
        assert_eq!(notes.all(), expected);
        fixture.finish();
    });
}

/// A query-open opens nothing that could have a context.
#[test]
fn c_106_set_in_network_query_open_is_not_supported() {
    seeds(|seed| {
        let (new, notes) = (Notes::<Ctx>::new(), Notes::new());
        let set = |contexts: &Notes<Ctx>, objects: &FLT_RELATED_OBJECTS| {
            let [_, stream, _] = slots(objects);
            stream.set(KEEP, contexts.one().pointer()).0
        };
        let (before, pre_statuses) = (new.clone(), notes.clone());
        let (after, post_statuses) = (new.clone(), notes.clone());
        let plan = Plan::all_kinds()
            .pre(IRP_MJ_NETWORK_QUERY_OPEN, move |pre| {
                pre_statuses.push(set(&before, &pre.objects));
                FLT_PREOP_SUCCESS_WITH_CALLBACK
            })
            .post(IRP_MJ_NETWORK_QUERY_OPEN, move |post| {
                post_statuses.push(set(&after, &post.objects));
                FLT_POSTOP_FINISHED_PROCESSING
            });
        let fixture = Fixture::new(seed, plan);
        drop(fixture.open("\\a"));
        let ctx = fixture.allocate(FLT_STREAM_CONTEXT);
        new.push(ctx.clone());
        assert!(fixture.volume.query_open("\\a").is_ok());
        assert_eq!(notes.all(), [STATUS_NOT_SUPPORTED; 2]);
        assert_eq!(fixture.rc(&ctx), 1);
        ctx.release();
        fixture.finish();
    });
}

/// Contexts cannot be looked up at `DISPATCH_LEVEL`.
#[test]
fn c_107_get_in_a_post_operation_at_dispatch_level_is_a_violation() {
    seeds(|seed| {
        let notes = Notes::new();
        let seen = notes.clone();
        let plan = Plan::all_kinds().post(IRP_MJ_READ, move |post| {
            let [_, stream, _] = slots(&post.objects);
            seen.push(irql());
            get_and_release(stream);
            FLT_POSTOP_FINISHED_PROCESSING
        });
        let fixture = Fixture::new(seed, plan);
        let file = with_data(&fixture);
        let ctx = linked_nonpaged(&fixture, fixture.on_stream(&file));
        let read = file.read_with(0, &mut [0; 4], IoOptions::dispatch());
        assert_eq!(read, Ok(4));
        assert_eq!(notes.one(), DISPATCH_LEVEL);
        assert_eq!(fixture.rc(&ctx), 1);
        assert_eq!(fixture.rules(), [Rule::V12]);
        drop(file);
        fixture.finish_with(&[Rule::V12]);
    });
}

/// A reference from the completion context may be released at `DISPATCH_LEVEL`; a cleanup that
/// follows from it runs elsewhere, lower.
#[test]
fn c_108_release_in_a_post_operation_at_dispatch_level_is_legal() {
    seeds(|seed| {
        for last in [false, true] {
            let (parked, notes) = (Notes::<Ctx>::new(), Notes::new());
            let (from, released) = (parked.clone(), notes.clone());
            let plan = Plan::all_kinds()
                .pre(IRP_MJ_READ, move |pre| {
                    pre.park(from.one().pointer());
                    FLT_PREOP_SUCCESS_WITH_CALLBACK
                })
                .post(IRP_MJ_READ, move |post| {
                    release_context(post.context);
                    released.push((irql(), thread::current().id()));
                    FLT_POSTOP_FINISHED_PROCESSING
                });
            let fixture = Fixture::new(seed, plan);
            let file = with_data(&fixture);
            let ctx = if last {
                fixture.allocate_from(FLT_STREAM_CONTEXT, NonPagedPoolNx)
            } else {
                let ctx = linked_nonpaged(&fixture, fixture.on_stream(&file));
                ctx.reference();
                ctx
            };
            parked.push(ctx.clone());
            let read = file.read_with(0, &mut [0; 4], IoOptions::dispatch());
            assert_eq!(read, Ok(4));
            fixture.machine.settle();
            let (level, thread) = notes.one();
            assert_eq!(level, DISPATCH_LEVEL);
            if last {
                assert_eq!(ctx.cleanups(), 1);
                let cleanup = ctx.cleanup().expect("it has been cleaned up");
                assert!(cleanup.irql <= APC_LEVEL);
                assert_ne!(cleanup.thread, thread);
            } else {
                assert_eq!(fixture.rc(&ctx), 1);
                assert_eq!(ctx.cleanups(), 0);
            }
            drop(file);
            fixture.finish();
        }
    });
}

/// The level, the thread and the outcome of a get in some callback.
type Place = (KIRQL, ThreadId, NTSTATUS);

fn place(objects: &FLT_RELATED_OBJECTS) -> Place {
    let [_, stream, _] = slots(objects);
    (irql(), thread::current().id(), get_and_release(stream))
}

/// A synchronised operation completes on the thread that brought it, where contexts are legal.
#[test]
fn c_109_a_synchronized_post_operation_runs_low_on_the_same_thread() {
    seeds(|seed| {
        for completion in [
            Completion::Synchronous,
            Completion::Worker,
            Completion::Dispatch,
        ] {
            let notes = Notes::<Place>::new();
            let (before, after) = (notes.clone(), notes.clone());
            let plan = Plan::all_kinds()
                .pre(IRP_MJ_READ, move |pre| {
                    before.push(place(&pre.objects));
                    FLT_PREOP_SYNCHRONIZE
                })
                .post(IRP_MJ_READ, move |post| {
                    after.push(place(&post.objects));
                    FLT_POSTOP_FINISHED_PROCESSING
                });
            let fixture = Fixture::new(seed, plan);
            let file = with_data(&fixture);
            fixture.linked(fixture.on_stream(&file));
            let read = file.read_with(0, &mut [0; 4], IoOptions::completion(completion));
            assert_eq!(read, Ok(4));
            let places = notes.all();
            assert_eq!(places.len(), 2);
            let (level, thread, status) = places[1];
            assert!(level <= APC_LEVEL);
            assert_eq!(thread, places[0].1);
            assert_eq!(status, STATUS_SUCCESS);
            drop(file);
            fixture.finish();
        }
    });
}

/// Fast I/O is synchronous as it is.
#[test]
fn c_110_synchronize_of_fast_io_means_a_callback() {
    seeds(|seed| {
        let notes = Notes::<Place>::new();
        let after = notes.clone();
        let plan = Plan::all_kinds()
            .pre(IRP_MJ_READ, |_| FLT_PREOP_SYNCHRONIZE)
            .post(IRP_MJ_READ, move |post| {
                after.push(place(&post.objects));
                FLT_POSTOP_FINISHED_PROCESSING
            });
        let fixture = Fixture::new(seed, plan);
        let file = with_data(&fixture);
        fixture.linked(fixture.on_stream(&file));
        assert_eq!(file.read_fast(0, &mut [0; 4]), Ok(4));
        let (level, thread, status) = notes.one();
        assert!(level <= APC_LEVEL);
        assert_eq!(thread, thread::current().id());
        assert_eq!(status, STATUS_SUCCESS);
        drop(file);
        fixture.finish();
    });
}

/// Without a callback nobody is there to get the completion context.
#[test]
fn c_111_a_completion_context_without_a_callback_is_lost() {
    seeds(|seed| {
        let parked = Notes::<Ctx>::new();
        let from = parked.clone();
        let plan = Plan::all_kinds().pre(IRP_MJ_READ, move |pre| {
            let ctx = from.one();
            ctx.reference();
            pre.park(ctx.pointer());
            FLT_PREOP_SUCCESS_NO_CALLBACK
        });
        let fixture = Fixture::new(seed, plan);
        let file = with_data(&fixture);
        let ctx = fixture.linked(fixture.on_stream(&file));
        parked.push(ctx.clone());
        assert_eq!(file.read(0, &mut [0; 4]), Ok(4));
        assert_eq!(fixture.rules(), [Rule::V13]);
        assert_eq!(fixture.rc(&ctx), 2);
        drop(file);
        fixture.finish_with(&[Rule::V3, Rule::V13]);
    });
}

/// An operation that is in flight during a detach gets its post-operation callback early, to give
/// back what it carries.
#[test]
fn c_112_a_draining_post_operation_gives_the_parked_reference_back() {
    seeds(|seed| {
        let (parked, notes) = (Notes::<Ctx>::new(), Notes::new());
        let (from, drained) = (parked.clone(), notes.clone());
        let plan = Plan::all_kinds()
            .pre(IRP_MJ_READ, move |pre| {
                let ctx = from.one();
                ctx.reference();
                pre.park(ctx.pointer());
                FLT_PREOP_SUCCESS_WITH_CALLBACK
            })
            .post(IRP_MJ_READ, move |post| {
                release_context(post.context);
                drained.push((post.draining(), irql(), post.context as usize));
                FLT_POSTOP_FINISHED_PROCESSING
            });
        let fixture = Fixture::new(seed, plan);
        let file = with_data(&fixture);
        let ctx = fixture.linked(fixture.on_stream(&file));
        parked.push(ctx.clone());
        during_read(&fixture, &file, || {
            assert_eq!(fixture.rc(&ctx), 2);
            assert_eq!(
                fixture.machine.detach(&fixture.driver, &fixture.volume),
                Ok(())
            );
            let (draining, level, context) = notes.one();
            assert!(draining);
            assert!(level <= APC_LEVEL);
            assert_eq!(context, ctx.pointer() as usize);
            assert_eq!(ctx.cleanups(), 1);
        });
        // The completion itself is none of the instance's business any more.
        assert_eq!(notes.all().len(), 1);
        drop(file);
        fixture.finish();
    });
}

/// Paging I/O cannot be posted: the driver has to do without, at `DISPATCH_LEVEL`.
#[test]
fn c_113_paging_io_cannot_be_completed_when_safe() {
    seeds(|seed| {
        let (parked, answers, ran) = (Notes::<Ctx>::new(), Notes::new(), Notes::new());
        let (from, answered, runs) = (parked.clone(), answers.clone(), ran.clone());
        let plan = Plan::all_kinds()
            .pre(IRP_MJ_WRITE, move |pre| {
                let Some(ctx) = from.take().pop() else {
                    return FLT_PREOP_SUCCESS_NO_CALLBACK;
                };
                pre.park(ctx.pointer());
                FLT_PREOP_SUCCESS_WITH_CALLBACK
            })
            .post(IRP_MJ_WRITE, move |post| {
                let runs = runs.clone();
                let (answer, status) = when_safe(post, move |_| {
                    runs.push(());
                    FLT_POSTOP_FINISHED_PROCESSING
                });
                answered.push((irql(), answer, status));
                release_context(post.context);
                status
            });
        let fixture = Fixture::new(seed, plan);
        let file = with_data(&fixture);
        let ctx = linked_nonpaged(&fixture, fixture.on_stream(&file));
        ctx.reference();
        parked.push(ctx.clone());
        let written = file.write_with(0, b"page", IoOptions::dispatch().paging());
        assert_eq!(written, Ok(4));
        fixture.machine.settle();
        let finished = (DISPATCH_LEVEL, false, FLT_POSTOP_FINISHED_PROCESSING);
        assert_eq!(answers.one(), finished);
        assert!(ran.all().is_empty());
        assert_eq!(fixture.rc(&ctx), 1);
        drop(file);
        // Asking for it is an error by itself.
        fixture.finish_with(&[Rule::V12]);
    });
}

/// Where it is safe already, the callback runs at once.
#[test]
fn c_114_completion_when_safe_runs_at_once_at_passive_level() {
    seeds(|seed| {
        let (answers, inner) = (Notes::new(), Notes::<Place>::new());
        let (answered, outer) = (answers.clone(), inner.clone());
        let plan = Plan::all_kinds().post(IRP_MJ_READ, move |post| {
            let notes = outer.clone();
            let (answer, status) = when_safe(post, move |post| {
                notes.push(place(&post.objects));
                FLT_POSTOP_FINISHED_PROCESSING
            });
            answered.push((answer, status, thread::current().id()));
            status
        });
        let fixture = Fixture::new(seed, plan);
        let file = with_data(&fixture);
        fixture.linked(fixture.on_stream(&file));
        assert_eq!(file.read(0, &mut [0; 4]), Ok(4));
        let (answer, status, thread) = answers.one();
        assert!(answer);
        assert_eq!(status, FLT_POSTOP_FINISHED_PROCESSING);
        assert_eq!(inner.one(), (PASSIVE_LEVEL, thread, STATUS_SUCCESS));
        drop(file);
        fixture.finish();
    });
}

/// At `DISPATCH_LEVEL` the callback is posted, and the operation waits for it.
#[test]
fn c_115_completion_when_safe_is_posted_from_dispatch_level() {
    seeds(|seed| {
        let (answers, inner) = (Notes::new(), Notes::<Place>::new());
        let (answered, outer) = (answers.clone(), inner.clone());
        let plan = Plan::all_kinds().post(IRP_MJ_QUERY_INFORMATION, move |post| {
            let notes = outer.clone();
            let (answer, status) = when_safe(post, move |post| {
                notes.push(place(&post.objects));
                FLT_POSTOP_FINISHED_PROCESSING
            });
            answered.push((irql(), answer, status, thread::current().id()));
            status
        });
        let fixture = Fixture::new(seed, plan);
        let file = with_data(&fixture);
        fixture.linked(fixture.on_stream(&file));
        let mut answer = [0; size_of::<FILE_STANDARD_INFORMATION>()];
        let way = IoOptions::dispatch();
        let query = file.query_information_with(FileStandardInformation, &mut answer, way);
        assert_eq!(query, Ok(answer.len()));
        let (level, answer, status, poster) = answers.one();
        assert_eq!(level, DISPATCH_LEVEL);
        assert!(answer);
        assert_eq!(status, FLT_POSTOP_MORE_PROCESSING_REQUIRED);
        // The query has returned, so the callback has run.
        let (level, thread, got) = inner.one();
        assert!(level <= APC_LEVEL);
        assert_ne!(thread, poster);
        assert_eq!(got, STATUS_SUCCESS);
        drop(file);
        fixture.finish();
    });
}

/// Asking for a callback that was not registered stops the machine.
#[test]
fn c_116_asking_for_a_post_operation_that_is_not_registered_is_a_bugcheck() {
    seeds(|seed| {
        let notes = Notes::new();
        let data = notes.clone();
        let plan = Plan::all_kinds().pre(IRP_MJ_READ, move |pre| {
            data.push(pre.data as u64);
            FLT_PREOP_SUCCESS_WITH_CALLBACK
        });
        let fixture = Fixture::new(seed, plan);
        let file = with_data(&fixture);
        assert_eq!(file.read(0, &mut [0; 4]), Ok(4));
        let reports = fixture.reports();
        let [report] = reports.as_slice() else {
            panic!("one report, not {reports:?}");
        };
        let expected = Severity::Bugcheck {
            code: FLTMGR_FILE_SYSTEM,
            parameters: [NO_POST_OPERATION, notes.one(), 0, 0],
        };
        assert_eq!(report.severity, expected);
        drop(file);
        fixture.finish_with(&[Rule::V13]);
    });
}

/// What was allocated for a create that fails is only released.
#[test]
fn c_117_a_context_for_a_create_that_fails_is_released_in_post_create() {
    seeds(|seed| {
        let notes = Notes::<Ctx>::new();
        let allocated = notes.clone();
        let plan = Plan::all_kinds()
            .pre(IRP_MJ_CREATE, move |pre| {
                let ctx = allocate_in(pre.objects.Filter, FLT_STREAM_CONTEXT, PagedPool);
                pre.park(ctx.pointer());
                allocated.push(ctx);
                FLT_PREOP_SUCCESS_WITH_CALLBACK
            })
            .post(IRP_MJ_CREATE, |post| {
                assert_eq!(post.status(), STATUS_OBJECT_NAME_NOT_FOUND);
                release_context(post.context);
                FLT_POSTOP_FINISHED_PROCESSING
            });
        let fixture = Fixture::new(seed, plan);
        let opened = fixture.volume.open("\\missing", OpenOptions::read());
        assert_eq!(opened.err(), Some(STATUS_OBJECT_NAME_NOT_FOUND));
        let ctx = notes.one();
        assert_eq!(ctx.cleanups(), 1);
        assert_eq!(fixture.rc(&ctx), 0);
        assert_eq!(fixture.machine.calls("FltSetStreamContext"), 0);
        fixture.finish();
    });
}

/// Runs calls at an IRQL; each of them must have been reported, and nothing else.
fn reported(fixture: &Fixture, level: KIRQL, count: usize, run: impl FnOnce()) {
    let before = fixture.reports().len();
    fixture.machine.at_irql(level, run);
    let reports = fixture.reports().split_off(before);
    let rules: Vec<Rule> = reports.iter().map(|report| report.rule).collect();
    assert_eq!(rules, vec![Rule::V6; count], "{reports:?}");
    assert!(reports.iter().all(|report| report.irql == level));
}

/// Allocating, setting, deleting and asking for support stop at `APC_LEVEL`.
#[test]
fn c_118_allocate_set_delete_and_supports_at_dispatch_level_are_violations() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let transaction = fixture.machine.begin_transaction();
        let mut total = 0;
        for slot in [
            fixture.on_volume(),
            fixture.on_instance(),
            fixture.on_file(&file),
            fixture.on_stream(&file),
            fixture.on_stream_handle(&file),
            fixture.on_transaction(&transaction),
        ] {
            let existing = linked_nonpaged(&fixture, slot);
            existing.reference();
            let mut allocated = None;
            reported(&fixture, DISPATCH_LEVEL, 1, || {
                let new = fixture.try_allocate(slot.kind(), 64, NonPagedPoolNx);
                allocated = new.ok();
            });
            let new = allocated.expect("the call has its effect all the same");
            reported(&fixture, DISPATCH_LEVEL, 1, || {
                slot.set_only(KEEP, new.pointer());
            });
            reported(&fixture, DISPATCH_LEVEL, 1, || {
                slot.delete_only();
            });
            reported(&fixture, DISPATCH_LEVEL, 1, || existing.delete());
            total += 4;
            new.release();
            existing.release();
        }
        let (object, instance) = (file.file_object(), fixture.instance());
        reported(&fixture, DISPATCH_LEVEL, 4, || {
            supports_file(object);
            supports_file_ex(object, instance);
            supports_stream(object);
            supports_stream_handle(object);
        });
        total += 4;
        transaction.rollback();
        drop(file);
        fixture.finish_with(&vec![Rule::V6; total]);
    });
}

/// Whether several contexts may be released at `DISPATCH_LEVEL` depends on whom one believes.
#[test]
fn c_119_release_contexts_at_dispatch_level_is_up_to_the_policy() {
    seeds(|seed| {
        for header in [true, false] {
            let policies = Policies {
                release_contexts_at_apc: header,
                ..Policies::default()
            };
            let machine = config(seed).policies(policies);
            let fixture = Fixture::with(machine, Personality::ntfs(), Plan::all_kinds());
            let file = fixture.open("\\a");
            let existing = [
                linked_nonpaged(&fixture, fixture.on_instance()),
                linked_nonpaged(&fixture, fixture.on_stream(&file)),
            ];
            let objects = fixture.objects(Some(&file), None);
            let desired = FLT_INSTANCE_CONTEXT | FLT_STREAM_CONTEXT;
            let mut contexts = get_contexts(&objects, desired);
            let violations = usize::from(header);
            reported(&fixture, DISPATCH_LEVEL, violations, || {
                release_contexts(&mut contexts);
            });
            for ctx in existing {
                assert_eq!(fixture.rc(&ctx), 1);
            }
            drop(file);
            fixture.finish_with(&vec![Rule::V6; violations]);
        }
    });
}

/// The same for creating a section at `APC_LEVEL`.
#[test]
fn c_120_create_section_at_apc_level_is_up_to_the_policy() {
    seeds(|seed| {
        for header in [true, false] {
            let policies = Policies {
                data_scan_at_passive: header,
                ..Policies::default()
            };
            let machine = config(seed).policies(policies);
            let fixture = Fixture::with(machine, Personality::ntfs(), all_seven());
            let file = with_data(&fixture);
            let instance = fixture.instance();
            assert_eq!(register_for_data_scan(instance), STATUS_SUCCESS);
            let ctx = fixture.allocate(FLT_SECTION_CONTEXT);
            let violations = usize::from(header);
            let mut created = None;
            reported(&fixture, APC_LEVEL, violations, || {
                let result = create_section(instance, file.file_object(), ctx.pointer());
                created = Some(result);
            });
            let (status, section) = created.expect("it was called");
            if nt_success(status) {
                section.close(&fixture, &ctx);
            }
            ctx.release();
            assert_eq!(ctx.cleanups(), 1);
            drop(file);
            fixture.finish_with(&vec![Rule::V6; violations]);
        }
    });
}
