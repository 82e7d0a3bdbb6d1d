//! C-044 to C-071: setting contexts.

use crate::harness::{
    Ctx, Fixture, KEEP, Plan, REPLACE, Slot, config, delete_context, reference_context,
    release_context, seeds,
};
use fltmgr_sys::*;
use fltsim::filesystem::Personality;
use fltsim::verifier::Rule;
use fltsim::{Config, ContextKind, Fault, Handle, Policies, Transaction};
use std::ptr::null_mut;
use std::sync::{Arc, Barrier, Mutex};

/// Slots of every kind that can be set.
fn slots(fixture: &Fixture, handle: &Handle, transaction: &Transaction) -> [Slot; 6] {
    [
        fixture.on_volume(),
        fixture.on_instance(),
        fixture.on_file(handle),
        fixture.on_stream(handle),
        fixture.on_stream_handle(handle),
        fixture.on_transaction(transaction),
    ]
}

/// Runs a test on an empty slot of each kind, with each seed; nothing may be reported.
fn each_slot(test: impl Fn(&Fixture, Slot)) {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let handle = fixture.open("\\file");
        let transaction = fixture.machine.begin_transaction();
        for slot in slots(&fixture, &handle, &transaction) {
            test(&fixture, slot);
        }
        handle.close();
        transaction.rollback();
        fixture.finish();
    });
}

/// The slot holds this context; its count stays as it is.
fn expect_holds(slot: Slot, ctx: &Ctx) {
    assert_eq!(slot.get(), (STATUS_SUCCESS, ctx.pointer()));
    ctx.release();
}

/// The slot is empty.
fn expect_empty(slot: Slot) {
    assert_eq!(slot.get(), (STATUS_NOT_FOUND, NULL_CONTEXT));
}

/// A configuration that does not report what is only doubtful.
fn lenient(seed: u64) -> Config {
    config(seed).strict(false)
}

/// Keeping in an empty slot sets.
#[test]
fn c_044_set_keep_in_an_empty_slot_links_and_returns_no_old_context() {
    each_slot(|fixture, slot| {
        let ctx = fixture.allocate(slot.kind());
        assert_eq!(
            slot.set(KEEP, ctx.pointer()),
            (STATUS_SUCCESS, NULL_CONTEXT)
        );
        assert_eq!(fixture.rc(&ctx), 2);
        ctx.release();
    });
}

/// Replacing in an empty slot sets just so.
#[test]
fn c_045_set_replace_in_an_empty_slot_links_and_returns_no_old_context() {
    each_slot(|fixture, slot| {
        let ctx = fixture.allocate(slot.kind());
        assert_eq!(
            slot.set(REPLACE, ctx.pointer()),
            (STATUS_SUCCESS, NULL_CONTEXT)
        );
        assert_eq!(fixture.rc(&ctx), 2);
        ctx.release();
    });
}

/// The release after a set gives back the allocation's reference, and the link stays.
#[test]
fn c_046_the_release_after_a_set_leaves_the_link() {
    each_slot(|fixture, slot| {
        let ctx = fixture.allocate(slot.kind());
        assert_eq!(
            slot.set(KEEP, ctx.pointer()),
            (STATUS_SUCCESS, NULL_CONTEXT)
        );
        ctx.release();
        assert_eq!(fixture.rc(&ctx), 1);
        assert_eq!(ctx.cleanups(), 0);
        expect_holds(slot, &ctx);
        assert_eq!(fixture.rc(&ctx), 1);
    });
}

/// Keeping in an occupied slot returns what is there, with a reference.
#[test]
fn c_047_set_keep_on_an_occupied_slot_returns_the_existing_context() {
    each_slot(|fixture, slot| {
        let existing = fixture.linked(slot);
        let new = fixture.allocate(slot.kind());
        let (status, old) = slot.set(KEEP, new.pointer());
        assert_eq!(status, STATUS_FLT_CONTEXT_ALREADY_DEFINED);
        assert_eq!(old, existing);
        assert_eq!(fixture.rc(&existing), 2);
        assert_eq!(fixture.rc(&new), 1);
        expect_holds(slot, &existing);
        existing.release();
        new.release();
    });
}

/// Without an `OldContext` parameter nothing is referenced.
#[test]
fn c_048_set_keep_on_an_occupied_slot_without_old_changes_no_count() {
    each_slot(|fixture, slot| {
        let existing = fixture.linked(slot);
        let new = fixture.allocate(slot.kind());
        let status = slot.set_only(KEEP, new.pointer());
        assert_eq!(status, STATUS_FLT_CONTEXT_ALREADY_DEFINED);
        assert_eq!(fixture.rc(&existing), 1);
        assert_eq!(fixture.rc(&new), 1);
        expect_holds(slot, &existing);
        new.release();
    });
}

/// After a lost keep both references are released: the loser goes, the winner stays.
#[test]
fn c_049_releases_after_a_lost_keep_clean_up_only_the_new_context() {
    each_slot(|fixture, slot| {
        let existing = fixture.linked(slot);
        let new = fixture.allocate(slot.kind());
        let (status, old) = slot.set(KEEP, new.pointer());
        assert_eq!(status, STATUS_FLT_CONTEXT_ALREADY_DEFINED);
        new.release();
        release_context(old);
        assert_eq!(new.cleanups(), 1);
        assert_eq!(existing.cleanups(), 0);
        assert_eq!(fixture.rc(&existing), 1);
        expect_holds(slot, &existing);
    });
}

/// Replacing hands the link's reference on the old context to the caller.
#[test]
fn c_050_set_replace_returns_the_old_context_with_its_link_reference() {
    each_slot(|fixture, slot| {
        let existing = fixture.linked(slot);
        let new = fixture.allocate(slot.kind());
        assert_eq!(
            slot.set(REPLACE, new.pointer()),
            (STATUS_SUCCESS, existing.pointer())
        );
        assert_eq!(fixture.rc(&existing), 1);
        assert_eq!(existing.cleanups(), 0);
        assert_eq!(fixture.rc(&new), 2);
        expect_holds(slot, &new);
        existing.release();
        new.release();
    });
}

/// That reference was the replaced context's last one.
#[test]
fn c_051_releasing_the_replaced_context_cleans_it_up() {
    each_slot(|fixture, slot| {
        let existing = fixture.linked(slot);
        let new = fixture.allocate(slot.kind());
        let (status, old) = slot.set(REPLACE, new.pointer());
        assert_eq!(status, STATUS_SUCCESS);
        release_context(old);
        assert_eq!(existing.cleanups(), 1);
        assert_eq!(fixture.rc(&existing), 0);
        expect_holds(slot, &new);
        new.release();
    });
}

/// Without an `OldContext` parameter the replaced context is deleted on the spot.
#[test]
fn c_052_set_replace_without_old_cleans_up_before_it_returns() {
    each_slot(|fixture, slot| {
        let existing = fixture.linked(slot);
        let new = fixture.allocate(slot.kind());
        assert_eq!(slot.set_only(REPLACE, new.pointer()), STATUS_SUCCESS);
        assert_eq!(existing.cleanups(), 1);
        assert_eq!(fixture.rc(&existing), 0);
        assert_eq!(fixture.rc(&new), 2);
        expect_holds(slot, &new);
        new.release();
    });
}

/// A replaced context lives as long as somebody else holds it.
#[test]
fn c_053_a_replaced_context_waits_for_its_other_references() {
    each_slot(|fixture, slot| {
        let existing = fixture.linked(slot);
        assert_eq!(slot.get(), (STATUS_SUCCESS, existing.pointer()));
        assert_eq!(fixture.rc(&existing), 2);
        let new = fixture.allocate(slot.kind());
        assert_eq!(slot.set_only(REPLACE, new.pointer()), STATUS_SUCCESS);
        assert_eq!(fixture.rc(&existing), 1);
        assert_eq!(existing.cleanups(), 0);
        existing.release();
        assert_eq!(existing.cleanups(), 1);
        new.release();
    });
}

/// A linked context is refused whether or not an unlinked one could be set again, and reported if
/// the machine is strict.
fn already_linked_configs(seed: u64) -> [(bool, Config); 4] {
    let again = Policies {
        set_after_unlink: true,
        ..Policies::default()
    };
    [
        (true, config(seed)),
        (false, lenient(seed)),
        (true, config(seed).policies(again.clone())),
        (false, lenient(seed).policies(again)),
    ]
}

/// A context that is linked to one object cannot be set on another.
#[test]
fn c_054_a_linked_context_cannot_be_set_on_another_object() {
    seeds(|seed| {
        for (strict, config) in already_linked_configs(seed) {
            let fixture = Fixture::with(config, Personality::ntfs(), Plan::all_kinds());
            let one = fixture.open("\\one");
            let two = fixture.open("\\two");
            let ctx = fixture.allocate(FLT_STREAM_CONTEXT);
            let slot = fixture.on_stream(&one);
            assert_eq!(
                slot.set(KEEP, ctx.pointer()),
                (STATUS_SUCCESS, NULL_CONTEXT)
            );
            let other = fixture.on_stream(&two);
            let result = other.set(KEEP, ctx.pointer());
            assert_eq!(result, (STATUS_FLT_CONTEXT_ALREADY_LINKED, NULL_CONTEXT));
            assert_eq!(fixture.rc(&ctx), 2);
            expect_empty(other);
            expect_holds(slot, &ctx);
            ctx.release();
            one.close();
            two.close();
            fixture.finish_with(if strict { &[Rule::V9] } else { &[] });
        }
    });
}

/// On its own object too, a linked context is "already linked" rather than "already defined".
#[test]
fn c_055_setting_a_context_again_where_it_is_linked_is_already_linked() {
    seeds(|seed| {
        for (strict, config) in already_linked_configs(seed) {
            let fixture = Fixture::with(config, Personality::ntfs(), Plan::all_kinds());
            let handle = fixture.open("\\file");
            let ctx = fixture.allocate(FLT_STREAM_CONTEXT);
            let slot = fixture.on_stream(&handle);
            assert_eq!(
                slot.set(KEEP, ctx.pointer()),
                (STATUS_SUCCESS, NULL_CONTEXT)
            );
            let result = slot.set(KEEP, ctx.pointer());
            assert_eq!(result, (STATUS_FLT_CONTEXT_ALREADY_LINKED, NULL_CONTEXT));
            assert_eq!(fixture.rc(&ctx), 2);
            expect_holds(slot, &ctx);
            ctx.release();
            handle.close();
            fixture.finish_with(if strict { &[Rule::V9] } else { &[] });
        }
    });
}

/// A context of one kind cannot be set where another kind belongs.
#[test]
fn c_056_a_context_of_another_kind_is_an_invalid_parameter() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let handle = fixture.open("\\file");
        let transaction = fixture.machine.begin_transaction();
        let slots = slots(&fixture, &handle, &transaction);
        let mut reports = Vec::new();
        for (index, slot) in slots.into_iter().enumerate() {
            // Stream contexts get file contexts, as in the row; the others their neighbours'.
            let other = slots[(index + slots.len() - 1) % slots.len()];
            let ctx = fixture.allocate(other.kind());
            let result = slot.set(KEEP, ctx.pointer());
            assert_eq!(result, (STATUS_INVALID_PARAMETER, NULL_CONTEXT));
            assert_eq!(fixture.rc(&ctx), 1);
            expect_empty(slot);
            ctx.release();
            assert_eq!(ctx.cleanups(), 1);
            reports.push(Rule::V15);
        }
        handle.close();
        transaction.rollback();
        fixture.finish_with(&reports);
    });
}

/// There are only two operations.
#[test]
fn c_057_an_unknown_set_operation_is_an_invalid_parameter() {
    each_slot(|fixture, slot| {
        for operation in [2, -1, i32::MAX] {
            let ctx = fixture.allocate(slot.kind());
            let result = slot.set(operation, ctx.pointer());
            assert_eq!(result, (STATUS_INVALID_PARAMETER, NULL_CONTEXT));
            assert_eq!(fixture.rc(&ctx), 1);
            expect_empty(slot);
            ctx.release();
        }
    });
}

/// What a teardown callback is to set, and what came of it.
#[derive(Default)]
struct Late {
    attempts: Vec<(Slot, Ctx)>,
    results: Vec<(NTSTATUS, usize)>,
}

impl Late {
    fn run(&mut self) {
        for (slot, ctx) in &self.attempts {
            let (status, old) = slot.set(KEEP, ctx.pointer());
            self.results.push((status, old as usize));
        }
    }
}

/// A plan whose teardown callbacks, both of them, try to set contexts.
fn late_plan() -> (Plan, Arc<Mutex<Late>>) {
    let late: Arc<Mutex<Late>> = Arc::default();
    let at_start = Arc::clone(&late);
    let at_end = Arc::clone(&late);
    let plan = Plan::all_kinds()
        .on_teardown_start(move |_| at_start.lock().expect("not poisoned").run())
        .on_teardown_complete(move |_| at_end.lock().expect("not poisoned").run());
    (plan, late)
}

/// Both callbacks were refused, and the contexts are the caller's as before.
fn expect_late(fixture: &Fixture, late: &Mutex<Late>) {
    let late = late.lock().expect("not poisoned");
    assert_eq!(late.results.len(), 2 * late.attempts.len());
    for result in &late.results {
        assert_eq!(*result, (STATUS_FLT_DELETING_OBJECT, 0));
    }
    for (_, ctx) in &late.attempts {
        assert_eq!(fixture.rc(ctx), 1);
        assert_eq!(ctx.cleanups(), 0);
        ctx.release();
        assert_eq!(ctx.cleanups(), 1);
    }
}

/// An instance that is being torn down takes no more contexts.
#[test]
fn c_058_an_instance_in_teardown_takes_no_contexts() {
    seeds(|seed| {
        let (plan, late) = late_plan();
        let fixture = Fixture::new(seed, plan);
        let handle = fixture.open("\\file");
        let transaction = fixture.machine.begin_transaction();
        for slot in slots(&fixture, &handle, &transaction) {
            if slot != fixture.on_volume() {
                let attempt = (slot, fixture.allocate(slot.kind()));
                late.lock().expect("not poisoned").attempts.push(attempt);
            }
        }
        assert_eq!(
            fixture.machine.detach(&fixture.driver, &fixture.volume),
            Ok(())
        );
        expect_late(&fixture, &late);
        handle.close();
        transaction.rollback();
        fixture.finish();
    });
}

/// A volume that is being torn down takes no more contexts.
#[test]
fn c_059_a_volume_in_teardown_takes_no_contexts() {
    seeds(|seed| {
        let (plan, late) = late_plan();
        let fixture = Fixture::new(seed, plan);
        let attempt = (fixture.on_volume(), fixture.allocate(FLT_VOLUME_CONTEXT));
        late.lock().expect("not poisoned").attempts.push(attempt);
        fixture.volume.dismount();
        expect_late(&fixture, &late);
        fixture.finish();
    });
}

/// A paging file takes no contexts.
#[test]
fn c_060_a_paging_file_takes_no_contexts() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let handle = fixture.open_paging_file();
        let slots = [
            fixture.on_stream(&handle),
            fixture.on_file(&handle),
            fixture.on_stream_handle(&handle),
        ];
        for slot in slots {
            let ctx = fixture.allocate(slot.kind());
            let result = slot.set(KEEP, ctx.pointer());
            assert_eq!(result, (STATUS_NOT_SUPPORTED, NULL_CONTEXT));
            assert_eq!(fixture.rc(&ctx), 1);
            ctx.release();
            assert_eq!(ctx.cleanups(), 1);
        }
        handle.close();
        fixture.finish();
    });
}

/// Without a file object there is no stream handle.
#[test]
fn c_061_a_stream_handle_context_without_file_object_is_not_supported() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let slot = Slot::StreamHandle(fixture.instance(), null_mut());
        let ctx = fixture.allocate(FLT_STREAMHANDLE_CONTEXT);
        let result = slot.set(KEEP, ctx.pointer());
        assert_eq!(result, (STATUS_NOT_SUPPORTED, NULL_CONTEXT));
        assert_eq!(fixture.rc(&ctx), 1);
        ctx.release();
        fixture.finish();
    });
}

/// Before the create the file object has no stream to attach anything to.
#[test]
fn c_062_setting_a_stream_context_in_pre_create_is_a_violation() {
    seeds(|seed| {
        let cell: Arc<Mutex<Option<Ctx>>> = Arc::default();
        let results: Arc<Mutex<Vec<(NTSTATUS, usize)>>> = Arc::default();
        let (ctx, found) = (Arc::clone(&cell), Arc::clone(&results));
        let plan = Plan::all_kinds().pre(IRP_MJ_CREATE, move |pre| {
            let slot = Slot::Stream(pre.objects.Instance, pre.objects.FileObject);
            let ctx = ctx.lock().expect("not poisoned").clone();
            let (status, old) = slot.set(KEEP, ctx.expect("allocated").pointer());
            found
                .lock()
                .expect("not poisoned")
                .push((status, old as usize));
            FLT_PREOP_SUCCESS_NO_CALLBACK
        });
        let fixture = Fixture::new(seed, plan);
        let ctx = fixture.allocate(FLT_STREAM_CONTEXT);
        *cell.lock().expect("not poisoned") = Some(ctx.clone());
        let handle = fixture.open("\\file");
        let results = results.lock().expect("not poisoned").clone();
        assert_eq!(results, [(STATUS_NOT_SUPPORTED, 0)]);
        assert_eq!(fixture.rc(&ctx), 1);
        expect_empty(fixture.on_stream(&handle));
        ctx.release();
        assert_eq!(ctx.cleanups(), 1);
        handle.close();
        fixture.finish_with(&[Rule::V11]);
    });
}

/// A stream context belongs to the stream, not to the open through which it was set.
#[test]
fn c_063_two_opens_of_a_stream_share_its_context() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let one = fixture.open("\\file");
        let two = fixture.open("\\file");
        assert_ne!(one.file_object(), two.file_object());
        let ctx = fixture.linked(fixture.on_stream(&one));
        expect_holds(fixture.on_stream(&two), &ctx);
        one.close();
        two.close();
        fixture.finish();
    });
}

/// A stream-handle context belongs to one open.
#[test]
fn c_064_two_opens_of_a_stream_have_their_own_stream_handle_contexts() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let one = fixture.open("\\file");
        let two = fixture.open("\\file");
        let first = fixture.linked(fixture.on_stream_handle(&one));
        let second = fixture.linked(fixture.on_stream_handle(&two));
        assert_ne!(first.pointer(), second.pointer());
        expect_holds(fixture.on_stream_handle(&one), &first);
        expect_holds(fixture.on_stream_handle(&two), &second);
        one.close();
        two.close();
        fixture.finish();
    });
}

/// A file context belongs to all streams of the file, a stream context to one of them.
#[test]
fn c_065_two_streams_of_a_file_share_the_file_context_only() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let one = fixture.open("\\file");
        let two = fixture.open("\\file:second");
        let file = fixture.linked(fixture.on_file(&one));
        let stream = fixture.linked(fixture.on_stream(&one));
        expect_holds(fixture.on_file(&two), &file);
        expect_empty(fixture.on_stream(&two));
        expect_holds(fixture.on_stream(&one), &stream);
        one.close();
        two.close();
        fixture.finish();
    });
}

/// Two instances of one filter do not see each other's stream contexts.
#[test]
fn c_066_two_instances_of_a_filter_have_their_own_stream_contexts() {
    seeds(|seed| {
        let plan = Plan::all_kinds().instance("second", "385100");
        let fixture = Fixture::new(seed, plan);
        let one = fixture.instance();
        let machine = &fixture.machine;
        let attached = machine.attach(&fixture.driver, &fixture.volume, Some("second"));
        assert_eq!(attached, Ok(()));
        let two = fixture.instance_named(&fixture.volume, "second");
        assert_ne!(one, two);
        let handle = fixture.open("\\file");
        let first_slot = Slot::Stream(one, handle.file_object());
        let second_slot = Slot::Stream(two, handle.file_object());
        let first = fixture.linked(first_slot);
        expect_empty(second_slot);
        let second = fixture.linked(second_slot);
        expect_holds(first_slot, &first);
        expect_holds(second_slot, &second);
        handle.close();
        fixture.finish();
    });
}

/// Two filters do not see each other's volume contexts.
#[test]
fn c_067_two_filters_have_their_own_volume_contexts() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let other = fixture.second_filter(Plan::all_kinds().named("other", "140000"));
        let first_slot = fixture.on_volume();
        let second_slot = Slot::Volume(other.pointer(), fixture.volume.pointer());
        let first = fixture.linked(first_slot);
        expect_empty(second_slot);
        let second = other.linked(second_slot);
        expect_holds(first_slot, &first);
        expect_holds(second_slot, &second);
        assert_eq!(other.unload(fltsim::Unload::Normal), Ok(()));
        assert_eq!(second.cleanups(), 1);
        assert_eq!(first.cleanups(), 0);
        fixture.finish();
    });
}

/// Of two threads that race to set a context one wins, and the other gets the winner's.
#[test]
fn c_068_of_two_racing_sets_one_wins_and_the_other_gets_the_winner() {
    each_slot(|fixture, slot| {
        let barrier = Barrier::new(2);
        let contexts = [fixture.allocate(slot.kind()), fixture.allocate(slot.kind())];
        let results = std::thread::scope(|scope| {
            let threads = contexts.clone().map(|ctx| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    let (status, old) = slot.set(KEEP, ctx.pointer());
                    (status, old as usize)
                })
            });
            threads.map(|thread| thread.join().expect("no panic"))
        });
        let won = results
            .iter()
            .position(|(status, _)| *status == STATUS_SUCCESS);
        let won = won.expect("one of them wins");
        let (winner, loser) = (&contexts[won], &contexts[1 - won]);
        assert_eq!(results[won].1, 0);
        let (status, old) = results[1 - won];
        assert_eq!(status, STATUS_FLT_CONTEXT_ALREADY_DEFINED);
        assert_eq!(old, winner.pointer() as usize);
        assert_eq!(fixture.rc(winner), 3);
        assert_eq!(fixture.rc(loser), 1);
        winner.release();
        loser.release();
        winner.release();
        assert_eq!(loser.cleanups(), 1);
        assert_eq!(winner.cleanups(), 0);
        assert_eq!(fixture.rc(winner), 1);
    });
}

/// Whatever a failing set puts into `OldContext` has a reference for the caller.
#[test]
fn c_069_an_old_context_from_a_failing_set_is_referenced() {
    seeds(|seed| {
        let fixture = Fixture::with(lenient(seed), Personality::ntfs(), Plan::all_kinds());
        let handle = fixture.open("\\file");
        let slot = fixture.on_stream(&handle);
        let existing = fixture.linked(slot);
        let attempt = |slot: Slot, operation, ctx: &Ctx, expected| {
            let before = (fixture.rc(ctx), fixture.rc(&existing));
            let mut old = NULL_CONTEXT;
            let status = slot.set_raw(operation, ctx.pointer(), &raw mut old);
            assert_eq!(status, expected);
            let handed_out = !old.is_null();
            if handed_out {
                assert_eq!(old, existing);
                assert_eq!(fixture.rc(&existing), before.1 + 1);
                release_context(old);
            }
            assert_eq!((fixture.rc(ctx), fixture.rc(&existing)), before);
            handed_out
        };
        let new = fixture.allocate(FLT_STREAM_CONTEXT);
        let wrong = fixture.allocate(FLT_FILE_CONTEXT);
        let invalid = STATUS_INVALID_PARAMETER;
        let defined = STATUS_FLT_CONTEXT_ALREADY_DEFINED;
        let linked = STATUS_FLT_CONTEXT_ALREADY_LINKED;
        assert!(attempt(slot, KEEP, &new, defined));
        attempt(slot, 2, &new, invalid);
        attempt(slot, KEEP, &wrong, invalid);
        attempt(slot, KEEP, &existing, linked);
        attempt(slot, REPLACE, &existing, linked);
        let status = STATUS_INSUFFICIENT_RESOURCES;
        fixture.machine.inject(Fault::Set {
            kind: ContextKind::Stream,
            status,
            after: 0,
        });
        attempt(slot, KEEP, &new, status);
        let paging = fixture.open_paging_file();
        attempt(fixture.on_stream(&paging), KEEP, &new, STATUS_NOT_SUPPORTED);
        new.release();
        wrong.release();
        expect_holds(slot, &existing);
        handle.close();
        paging.close();
        fixture.finish_with(&[Rule::V15]);
    });
}

/// A context that was linked once is not set again, unless the knob allows it.
#[test]
fn c_070_a_context_that_was_unlinked_cannot_be_set_again() {
    seeds(|seed| {
        let again = |config, status| {
            let fixture = Fixture::with(config, Personality::ntfs(), Plan::all_kinds());
            let handle = fixture.open("\\file");
            let slot = fixture.on_stream(&handle);
            let ctx = fixture.linked(slot);
            reference_context(ctx.pointer());
            delete_context(ctx.pointer());
            assert_eq!(fixture.rc(&ctx), 1);
            expect_empty(slot);
            assert_eq!(slot.set(KEEP, ctx.pointer()), (status, NULL_CONTEXT));
            let linked = u32::from(status == STATUS_SUCCESS);
            assert_eq!(fixture.rc(&ctx), 1 + linked);
            ctx.release();
            assert_eq!(ctx.cleanups(), 1 - linked);
            handle.close();
            fixture
        };
        let linked = STATUS_FLT_CONTEXT_ALREADY_LINKED;
        again(config(seed), linked).finish_with(&[Rule::V9]);
        again(lenient(seed), linked).finish();
        let allowed = config(seed).policies(Policies {
            set_after_unlink: true,
            ..Policies::default()
        });
        again(allowed, STATUS_SUCCESS).finish();
    });
}

/// The filter whose volume slot is used is the one that allocated the context.
#[test]
fn c_071_a_volume_context_goes_to_the_slot_of_the_filter_that_allocated_it() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let other = fixture.second_filter(Plan::all_kinds().named("other", "140000"));
        let mine = fixture.on_volume();
        let theirs = Slot::Volume(other.pointer(), fixture.volume.pointer());
        let ctx = fixture.allocate(FLT_VOLUME_CONTEXT);
        // The filter in `theirs` is not an argument of the set.
        assert_eq!(
            theirs.set(KEEP, ctx.pointer()),
            (STATUS_SUCCESS, NULL_CONTEXT)
        );
        assert_eq!(fixture.rc(&ctx), 2);
        expect_holds(mine, &ctx);
        expect_empty(theirs);
        ctx.release();
        assert_eq!(other.unload(fltsim::Unload::Normal), Ok(()));
        assert_eq!(ctx.cleanups(), 0);
        fixture.finish();
    });
}
