//! C-176 to C-180: what the verifier makes of leaks and misuse.

use crate::harness::{Event, Fixture, KEEP, Plan, custom, seeds};
use fltmgr_sys::*;
use fltsim::Unload;
use fltsim::verifier::{CONTEXT_OVER_RELEASE, Leak, Rule};

/// Unloads, and the only leak that is reported.
fn unload_and_leak(fixture: &Fixture) -> Leak {
    assert_eq!(fixture.unload(Unload::Normal), Ok(()));
    let mut leaks = fixture.machine.verifier().leaks();
    assert_eq!(leaks.len(), 1, "{leaks:?}");
    leaks.swap_remove(0)
}

/// The classic: a set fails, and the allocation's reference is forgotten.
#[test]
fn c_176_a_context_that_was_never_set_nor_released_is_reported() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open_paging_file();
        let ctx = fixture.allocate(FLT_STREAM_CONTEXT);
        let set = fixture.on_stream(&file).set(KEEP, ctx.pointer());
        assert_eq!(set, (STATUS_NOT_SUPPORTED, NULL_CONTEXT));
        drop(file);
        let leak = unload_and_leak(&fixture);
        assert_eq!(leak.note, "1 reference, never set");
        assert_eq!(leak.acquired, [("FltAllocateContext", 1)]);
        assert_eq!(leak.address, ctx.pointer() as usize);
        assert_eq!(ctx.cleanups(), 0);
        fixture.finish_with(&[Rule::V4]);
    });
}

/// The winner of a race comes with a reference, which the loser has to release.
#[test]
fn c_177_an_existing_context_that_was_returned_and_forgotten_is_reported() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let slot = fixture.on_stream(&file);
        let winner = fixture.linked(slot);
        let loser = fixture.allocate(FLT_STREAM_CONTEXT);
        let set = slot.set(KEEP, loser.pointer());
        assert_eq!(set, (STATUS_FLT_CONTEXT_ALREADY_DEFINED, winner.pointer()));
        loser.release();
        assert_eq!(loser.cleanups(), 1);
        let leak = unload_and_leak(&fixture);
        assert_eq!(leak.address, winner.pointer() as usize);
        assert_eq!(leak.count, 1);
        assert!(leak.acquired.contains(&("FltSetStreamContext", 1)));
        drop(file);
        fixture.finish_with(&[Rule::V5]);
    });
}

/// The same for a context that a delete handed over.
#[test]
fn c_178_a_deleted_context_that_was_returned_and_forgotten_is_reported() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let slot = fixture.on_stream(&file);
        let ctx = fixture.linked(slot);
        assert_eq!(slot.delete(), (STATUS_SUCCESS, ctx.pointer()));
        let leak = unload_and_leak(&fixture);
        assert_eq!(leak.address, ctx.pointer() as usize);
        assert_eq!(leak.count, 1);
        assert!(leak.acquired.contains(&("FltDeleteStreamContext", 1)));
        drop(file);
        fixture.finish_with(&[Rule::V5]);
    });
}

/// Whoever gives everything back hears nothing: as many cleanups and frees as allocations.
#[test]
fn c_179_a_balanced_filter_has_no_reports() {
    seeds(|seed| {
        let plan = Plan::new().contexts(&[
            custom(FLT_INSTANCE_CONTEXT, 0),
            custom(FLT_FILE_CONTEXT, 0),
            custom(FLT_STREAM_CONTEXT, 0),
            custom(FLT_STREAMHANDLE_CONTEXT, 0),
        ]);
        let fixture = Fixture::new(seed, plan);
        fixture.linked(fixture.on_instance());
        for path in ["\\a", "\\b", "\\a:s"] {
            let file = fixture.open(path);
            for slot in [
                fixture.on_file(&file),
                fixture.on_stream(&file),
                fixture.on_stream_handle(&file),
            ] {
                // `\a:s` has the file context of `\a`, if that is still there.
                let ctx = fixture.allocate(slot.kind());
                let (status, old) = slot.set(KEEP, ctx.pointer());
                if status == STATUS_FLT_CONTEXT_ALREADY_DEFINED {
                    crate::harness::release_context(old);
                } else {
                    assert_eq!(status, STATUS_SUCCESS);
                }
                ctx.release();
            }
        }
        assert_eq!(fixture.unload(Unload::Normal), Ok(()));
        assert!(fixture.reports().is_empty());
        let events = fixture.events();
        let count =
            |wanted: &dyn Fn(&Event) -> bool| events.iter().filter(|event| wanted(event)).count();
        assert_eq!(count(&|event| matches!(event, Event::Allocate { .. })), 10);
        assert_eq!(count(&|event| matches!(event, Event::Cleanup { .. })), 10);
        assert_eq!(count(&|event| matches!(event, Event::Free { .. })), 10);
        fixture.finish();
    });
}

/// One release too many on a linked context is noticed at that very release.
#[test]
fn c_180_an_over_release_of_a_linked_context_is_a_bugcheck() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let slot = fixture.on_stream(&file);
        let ctx = fixture.linked(slot);
        assert_eq!(slot.get(), (STATUS_SUCCESS, ctx.pointer()));
        assert_eq!(fixture.rc(&ctx), 2);
        ctx.release();
        assert_eq!(fixture.rc(&ctx), 1);
        assert!(fixture.reports().is_empty());
        ctx.release();
        fixture.expect_bugcheck(CONTEXT_OVER_RELEASE, ctx.pointer());
        assert_eq!(ctx.cleanups(), 0);
        drop(file);
        fixture.finish_with(&[Rule::V1]);
    });
}
