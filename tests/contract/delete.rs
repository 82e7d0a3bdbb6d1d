//! C-090 to C-102: deleting contexts, by object and by pointer.

use crate::harness::{Fixture, KEEP, Plan, REPLACE, Slot, config, seeds};
use crate::support::{Notes, all_seven, is_linked};
use fltmgr_sys::*;
use fltsim::verifier::Rule;
use fltsim::{Handle, Policies, Transaction};
use std::sync::Arc;

const NOT_FOUND: (NTSTATUS, PFLT_CONTEXT) = (STATUS_NOT_FOUND, NULL_CONTEXT);

/// Deleting the only reference by object cleans up before it returns.
#[test]
fn c_090_delete_without_old_drops_the_link() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let slot = fixture.on_stream(&file);
        let existing = fixture.linked(slot);
        assert_eq!(slot.delete_only(), STATUS_SUCCESS);
        assert_eq!(existing.cleanups(), 1);
        assert_eq!(slot.get(), NOT_FOUND);
        drop(file);
        fixture.finish();
    });
}

/// The link's reference can be handed to the caller instead.
#[test]
fn c_091_delete_with_old_hands_the_link_over() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let slot = fixture.on_stream(&file);
        let existing = fixture.linked(slot);
        assert_eq!(slot.delete(), (STATUS_SUCCESS, existing.pointer()));
        assert_eq!(fixture.rc(&existing), 1);
        assert!(!is_linked(&fixture, &existing));
        assert_eq!(existing.cleanups(), 0);
        assert_eq!(slot.get(), NOT_FOUND);
        existing.release();
        assert_eq!(existing.cleanups(), 1);
        drop(file);
        fixture.finish();
    });
}

/// Whoever holds a reference may go on reading a deleted context.
#[test]
fn c_092_a_deleted_context_lives_on_through_a_reference() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let slot = fixture.on_stream(&file);
        let existing = fixture.linked(slot);
        existing.fill(0x5A);
        assert_eq!(slot.get(), (STATUS_SUCCESS, existing.pointer()));
        assert_eq!(slot.delete_only(), STATUS_SUCCESS);
        assert_eq!(fixture.rc(&existing), 1);
        assert_eq!(existing.cleanups(), 0);
        assert_eq!(existing.read(), [0x5A; 64]);
        existing.release();
        assert_eq!(existing.cleanups(), 1);
        drop(file);
        fixture.finish();
    });
}

/// Nothing to delete is not found, and the old context is NULL then.
#[test]
fn c_093_delete_of_an_empty_slot_is_not_found() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let transaction = fixture.machine.begin_transaction();
        for slot in [
            fixture.on_volume(),
            fixture.on_instance(),
            fixture.on_file(&file),
            fixture.on_stream(&file),
            fixture.on_stream_handle(&file),
            fixture.on_transaction(&transaction),
        ] {
            assert_eq!(slot.delete(), NOT_FOUND, "{slot:?}");
            assert_eq!(slot.delete_only(), STATUS_NOT_FOUND, "{slot:?}");
        }
        transaction.rollback();
        drop(file);
        fixture.finish();
    });
}

/// A paging file has no context that could be deleted.
#[test]
fn c_094_delete_on_a_paging_file_is_not_supported() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open_paging_file();
        for slot in [
            fixture.on_file(&file),
            fixture.on_stream(&file),
            fixture.on_stream_handle(&file),
        ] {
            assert_eq!(slot.delete().0, STATUS_NOT_SUPPORTED, "{slot:?}");
        }
        drop(file);
        fixture.finish();
    });
}

/// Deleting by pointer unlinks and leaves the caller its reference.
#[test]
fn c_095_delete_by_pointer_keeps_the_callers_reference() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let slot = fixture.on_stream(&file);
        let existing = fixture.linked(slot);
        assert_eq!(slot.get(), (STATUS_SUCCESS, existing.pointer()));
        existing.delete();
        assert_eq!(slot.get(), NOT_FOUND);
        assert_eq!(fixture.rc(&existing), 1);
        assert_eq!(existing.cleanups(), 0);
        existing.release();
        assert_eq!(existing.cleanups(), 1);
        drop(file);
        fixture.finish();
    });
}

/// The link has one reference, however many holders delete the context.
#[test]
fn c_096_a_second_delete_by_pointer_drops_nothing() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let slot = fixture.on_stream(&file);
        let existing = fixture.linked(slot);
        for _ in 0..2 {
            assert_eq!(slot.get(), (STATUS_SUCCESS, existing.pointer()));
        }
        assert_eq!(fixture.rc(&existing), 3);
        for _ in 0..2 {
            existing.delete();
            assert_eq!(fixture.rc(&existing), 2);
        }
        existing.release();
        assert_eq!(existing.cleanups(), 0);
        existing.release();
        assert_eq!(existing.cleanups(), 1);
        drop(file);
        fixture.finish();
    });
}

/// The slot is free at once, although the memory of the deleted context is still in use.
#[test]
fn c_097_the_slot_of_a_deleted_context_can_be_set_again() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let slot = fixture.on_stream(&file);
        let existing = fixture.linked(slot);
        assert_eq!(slot.get(), (STATUS_SUCCESS, existing.pointer()));
        existing.delete();
        let next = fixture.linked(slot);
        assert_eq!(slot.get(), (STATUS_SUCCESS, next.pointer()));
        next.release();
        assert_eq!(fixture.rc(&existing), 1);
        existing.release();
        assert_eq!(existing.cleanups(), 1);
        assert_eq!(next.cleanups(), 0);
        drop(file);
        fixture.finish();
    });
}

/// Only what was set can be deleted.
#[test]
fn c_098_delete_by_pointer_of_a_context_that_was_never_set_is_a_violation() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let ctx = fixture.allocate(FLT_STREAM_CONTEXT);
        ctx.delete();
        assert_eq!(fixture.rc(&ctx), 1);
        assert_eq!(fixture.rules(), [Rule::V10]);
        ctx.release();
        assert_eq!(ctx.cleanups(), 1);
        fixture.finish_with(&[Rule::V10]);
    });
}

/// A section context is never deleted.
#[test]
fn c_099_delete_by_pointer_of_a_section_context_is_a_violation() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, all_seven());
        let ctx = fixture.allocate(FLT_SECTION_CONTEXT);
        ctx.delete();
        assert_eq!(fixture.rc(&ctx), 1);
        assert_eq!(fixture.rules(), [Rule::V10]);
        ctx.release();
        assert_eq!(ctx.cleanups(), 1);
        fixture.finish_with(&[Rule::V10]);
    });
}

/// Deleting a context that was replaced does nothing to the one that replaced it.
#[test]
fn c_100_delete_by_pointer_of_a_replaced_context_leaves_the_new_one() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let slot = fixture.on_stream(&file);
        let replaced = fixture.linked(slot);
        let new = fixture.allocate(FLT_STREAM_CONTEXT);
        let set = slot.set(REPLACE, new.pointer());
        assert_eq!(set, (STATUS_SUCCESS, replaced.pointer()));
        new.release();
        replaced.delete();
        assert_eq!(fixture.rc(&replaced), 1);
        assert_eq!(slot.get(), (STATUS_SUCCESS, new.pointer()));
        assert_eq!(fixture.rc(&new), 2);
        new.release();
        replaced.release();
        assert_eq!(replaced.cleanups(), 1);
        drop(file);
        fixture.finish();
    });
}

/// The four slots of an instance whose deletion can come too late.
fn deletable(fixture: &Fixture, file: &Handle, transaction: &Transaction) -> [Slot; 4] {
    [
        fixture.on_instance(),
        fixture.on_stream(file),
        fixture.on_stream_handle(file),
        fixture.on_transaction(transaction),
    ]
}

/// What each delete in a callback returned, and whether it handed a context over.
type Deleted = Notes<(NTSTATUS, bool)>;

/// A hook that deletes the noted slots and releases what it gets.
fn delete_all(slots: &Notes<Slot>, deleted: &Deleted) -> impl Fn() + Send + Sync + 'static {
    let (slots, deleted) = (slots.clone(), deleted.clone());
    move || {
        for slot in slots.all() {
            let (status, old) = slot.delete();
            deleted.push((status, !old.is_null()));
            if !old.is_null() {
                crate::harness::release_context(old);
            }
        }
    }
}

/// Deletes by object succeed inside `InstanceTeardownStart` (unless the policy forbids it), and
/// fail from its return on.
#[test]
fn c_101_delete_by_object_fails_once_teardown_start_has_returned() {
    seeds(|seed| {
        for (inside, allowed) in [(true, true), (true, false), (false, true)] {
            let (slots, deleted) = (Notes::new(), Notes::new());
            let hook = Arc::new(delete_all(&slots, &deleted));
            let plan = if inside {
                Plan::all_kinds().on_teardown_start(move |_| hook())
            } else {
                Plan::all_kinds().on_teardown_complete(move |_| hook())
            };
            let policies = Policies {
                delete_in_teardown_start: allowed,
                ..Policies::default()
            };
            let ntfs = fltsim::filesystem::Personality::ntfs();
            let fixture = Fixture::with(config(seed).policies(policies), ntfs, plan);
            let file = fixture.open("\\a");
            let transaction = fixture.machine.begin_transaction();
            let all = deletable(&fixture, &file, &transaction);
            let contexts = all.map(|slot| fixture.linked(slot));
            for slot in all {
                slots.push(slot);
            }
            assert_eq!(
                fixture.machine.detach(&fixture.driver, &fixture.volume),
                Ok(())
            );
            let expected = if inside && allowed {
                (STATUS_SUCCESS, true)
            } else {
                (STATUS_FLT_DELETING_OBJECT, false)
            };
            assert_eq!(deleted.all(), [expected; 4], "{inside} {allowed}");
            for ctx in contexts {
                assert_eq!(ctx.cleanups(), 1);
            }
            transaction.rollback();
            drop(file);
            fixture.finish();
        }
    });
}

/// An active instance can change its context.
#[test]
fn c_102_an_instance_context_can_be_deleted_and_set_again() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let slot = fixture.on_instance();
        let first = fixture.linked(slot);
        assert_eq!(slot.delete_only(), STATUS_SUCCESS);
        assert_eq!(first.cleanups(), 1);
        let second = fixture.allocate(FLT_INSTANCE_CONTEXT);
        let set = slot.set(KEEP, second.pointer());
        assert_eq!(set, (STATUS_SUCCESS, NULL_CONTEXT));
        assert_eq!(slot.get(), (STATUS_SUCCESS, second.pointer()));
        second.release();
        second.release();
        assert_eq!(fixture.rc(&second), 1);
        fixture.finish();
    });
}
