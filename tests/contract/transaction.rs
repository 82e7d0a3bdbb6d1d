//! C-165 to C-175: transaction contexts, enlistments and notifications.

use crate::calls::Answer;
use crate::harness::{Ctx, Event, Fixture, KEEP, Plan, config, enlist, irql, seeds};
use crate::support::{Notes, a_moment, is_linked, patient, until};
use fltmgr_sys::*;
use fltsim::filesystem::Personality;
use fltsim::verifier::Rule;
use fltsim::{Fault, Policies, Transaction, TransactionEnd, Unload};
use std::thread;

const NOT_FOUND: (NTSTATUS, PFLT_CONTEXT) = (STATUS_NOT_FOUND, NULL_CONTEXT);

/// A filter that is content with every notification.
fn content() -> Plan {
    Plan::all_kinds().on_notification(|_| STATUS_SUCCESS)
}

/// `FltEnlistInTransaction` of the fixture's instance.
fn enlist_for(
    fixture: &Fixture,
    transaction: &Transaction,
    ctx: &Ctx,
    mask: NOTIFICATION_MASK,
) -> NTSTATUS {
    enlist(
        fixture.instance(),
        transaction.pointer(),
        ctx.pointer(),
        mask,
    )
}

/// A linked context that is enlisted for everything.
fn enlisted(fixture: &Fixture, transaction: &Transaction) -> Ctx {
    let ctx = fixture.linked(fixture.on_transaction(transaction));
    let mask = FLT_MAX_TRANSACTION_NOTIFICATIONS;
    assert_eq!(enlist_for(fixture, transaction, &ctx, mask), STATUS_SUCCESS);
    ctx
}

/// The notifications so far.
fn notified(fixture: &Fixture) -> Vec<NOTIFICATION_MASK> {
    let events = fixture.events();
    let masks = events.iter().filter_map(|event| match event {
        Event::Notification { mask } => Some(*mask),
        _ => None,
    });
    masks.collect()
}

const ALL_OF_A_COMMIT: [NOTIFICATION_MASK; 4] = [
    TRANSACTION_NOTIFY_PREPREPARE,
    TRANSACTION_NOTIFY_PREPARE,
    TRANSACTION_NOTIFY_COMMIT,
    TRANSACTION_NOTIFY_COMMIT_FINALIZE,
];

/// Who has no notification callback cannot be notified.
#[test]
fn c_165_enlist_without_notification_callback_is_invalid() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let transaction = fixture.machine.begin_transaction();
        let ctx = fixture.linked(fixture.on_transaction(&transaction));
        let status = enlist_for(
            &fixture,
            &transaction,
            &ctx,
            FLT_MAX_TRANSACTION_NOTIFICATIONS,
        );
        assert_eq!(status, STATUS_INVALID_PARAMETER);
        assert_eq!(fixture.rc(&ctx), 1);
        assert_eq!(transaction.commit(), Ok(()));
        fixture.finish_with(&[Rule::V18]);
    });
}

/// A mask has to name notifications, and nothing else.
#[test]
fn c_166_enlist_with_a_bad_mask_is_invalid() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, content());
        let transaction = fixture.machine.begin_transaction();
        let ctx = fixture.linked(fixture.on_transaction(&transaction));
        for mask in [0, 0x10, 0x8000_0000, TRANSACTION_NOTIFY_COMMIT | 0x10] {
            let status = enlist_for(&fixture, &transaction, &ctx, mask);
            assert_eq!(status, STATUS_INVALID_PARAMETER_4, "{mask:#x}");
            assert_eq!(fixture.rc(&ctx), 1);
        }
        assert_eq!(transaction.commit(), Ok(()));
        assert_eq!(notified(&fixture), []);
        fixture.finish();
    });
}

/// An instance enlists once in a transaction.
#[test]
fn c_167_enlist_twice_is_already_enlisted() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, content());
        let transaction = fixture.machine.begin_transaction();
        let ctx = enlisted(&fixture, &transaction);
        let status = enlist_for(&fixture, &transaction, &ctx, TRANSACTION_NOTIFY_COMMIT);
        assert_eq!(status, STATUS_FLT_ALREADY_ENLISTED);
        assert_eq!(fixture.rc(&ctx), 1);
        assert_eq!(ctx.cleanups(), 0);
        assert_eq!(transaction.commit(), Ok(()));
        fixture.finish();
    });
}

/// The link alone carries the context to the end of the transaction.
#[test]
fn c_168_an_enlisted_context_lives_until_the_transaction_ends() {
    seeds(|seed| {
        for commits in [true, false] {
            let fixture = Fixture::new(seed, content());
            let transaction = fixture.machine.begin_transaction();
            let slot = fixture.on_transaction(&transaction);
            let ctx = fixture.allocate(FLT_TRANSACTION_CONTEXT);
            let set = slot.set(KEEP, ctx.pointer());
            assert_eq!(set, (STATUS_SUCCESS, NULL_CONTEXT));
            let mask = FLT_MAX_TRANSACTION_NOTIFICATIONS;
            let status = enlist_for(&fixture, &transaction, &ctx, mask);
            assert_eq!(status, STATUS_SUCCESS);
            ctx.release();
            assert_eq!(fixture.rc(&ctx), 1);
            fixture.machine.settle();
            assert_eq!(ctx.cleanups(), 0);
            assert!(is_linked(&fixture, &ctx));
            if commits {
                assert_eq!(transaction.commit(), Ok(()));
            } else {
                transaction.rollback();
                assert_eq!(notified(&fixture), [TRANSACTION_NOTIFY_ROLLBACK]);
            }
            fixture.machine.settle();
            assert_eq!(ctx.cleanups(), 1);
            fixture.finish();
        }
    });
}

/// After a failed enlistment the context is deleted and released.
#[test]
fn c_169_a_failed_enlistment_is_cleaned_up_by_delete_and_release() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, content());
        let transaction = fixture.machine.begin_transaction();
        let slot = fixture.on_transaction(&transaction);
        let ctx = fixture.allocate(FLT_TRANSACTION_CONTEXT);
        let set = slot.set(KEEP, ctx.pointer());
        assert_eq!(set, (STATUS_SUCCESS, NULL_CONTEXT));
        fixture.machine.inject(Fault::Enlist { after: 0 });
        let mask = FLT_MAX_TRANSACTION_NOTIFICATIONS;
        let status = enlist_for(&fixture, &transaction, &ctx, mask);
        assert_eq!(status, STATUS_INSUFFICIENT_RESOURCES);
        ctx.delete();
        assert_eq!(ctx.cleanups(), 0);
        ctx.release();
        assert_eq!(ctx.cleanups(), 1);
        assert_eq!(slot.get(), NOT_FOUND);
        assert_eq!(transaction.commit(), Ok(()));
        assert_eq!(notified(&fixture), []);
        fixture.finish();
    });
}

/// What a notification callback saw.
type Seen = (NOTIFICATION_MASK, KIRQL, usize, usize, bool);

/// A commit goes through its phases one by one, at `PASSIVE_LEVEL`.
#[test]
fn c_170_the_notifications_of_a_commit_come_in_their_order() {
    seeds(|seed| {
        let notes = Notes::<Seen>::new();
        let seen = notes.clone();
        let plan = Plan::all_kinds().on_notification(move |call| {
            seen.push((
                call.mask,
                irql(),
                call.context as usize,
                call.objects.Transaction as usize,
                call.objects.FileObject.is_null(),
            ));
            STATUS_SUCCESS
        });
        let fixture = Fixture::new(seed, plan);
        let transaction = fixture.machine.begin_transaction();
        let ctx = enlisted(&fixture, &transaction);
        let context = ctx.pointer() as usize;
        assert_eq!(transaction.commit(), Ok(()));
        let object = transaction.pointer() as usize;
        let expected = ALL_OF_A_COMMIT.map(|mask| (mask, PASSIVE_LEVEL, context, object, true));
        assert_eq!(notes.all(), expected);
        fixture.finish();
    });
}

/// A pended notification holds the commit until it is completed.
#[test]
fn c_171_a_pended_prepare_holds_the_commit() {
    seeds(|seed| {
        let plan = Plan::all_kinds().on_notification(|call| {
            if call.mask == TRANSACTION_NOTIFY_PREPARE {
                STATUS_PENDING
            } else {
                STATUS_SUCCESS
            }
        });
        let fixture = Fixture::with(patient(seed), Personality::ntfs(), plan);
        let transaction = fixture.machine.begin_transaction();
        enlisted(&fixture, &transaction);
        thread::scope(|scope| {
            let commit = scope.spawn(|| transaction.commit());
            until(|| notified(&fixture).len() == 2);
            a_moment();
            assert_eq!(notified(&fixture), ALL_OF_A_COMMIT[..2]);
            assert!(!commit.is_finished());
            let status = Answer::Prepare.call(fixture.instance(), transaction.pointer());
            assert_eq!(status, STATUS_SUCCESS);
            assert_eq!(commit.join().expect("no panic"), Ok(()));
        });
        assert_eq!(notified(&fixture), ALL_OF_A_COMMIT);
        fixture.finish();
    });
}

/// Without a context in the transaction there is nothing to complete or to roll back.
#[test]
fn c_172_answers_without_a_context_are_not_found() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, content());
        let transaction = fixture.machine.begin_transaction();
        for answer in Answer::ALL {
            let status = answer.call(fixture.instance(), transaction.pointer());
            assert_eq!(status, STATUS_NOT_FOUND, "{answer:?}");
        }
        assert_eq!(transaction.commit(), Ok(()));
        fixture.finish();
    });
}

/// The link of an ended transaction goes some time, at the latest when the filter does.
#[test]
fn c_173_the_context_of_an_ended_transaction_goes_before_unregister_returns() {
    seeds(|seed| {
        for end in [
            TransactionEnd::Seeded,
            TransactionEnd::Immediate,
            TransactionEnd::Worker,
            TransactionEnd::Pump,
        ] {
            let policies = Policies {
                transaction_end: end,
                ..Policies::default()
            };
            let machine = config(seed).policies(policies);
            let fixture = Fixture::with(machine, Personality::ntfs(), content());
            let transaction = fixture.machine.begin_transaction();
            let ctx = enlisted(&fixture, &transaction);
            assert_eq!(transaction.commit(), Ok(()));
            match end {
                TransactionEnd::Immediate => assert_eq!(ctx.cleanups(), 1),
                TransactionEnd::Pump => assert_eq!(ctx.cleanups(), 0),
                TransactionEnd::Seeded | TransactionEnd::Worker => {}
            }
            assert_eq!(fixture.unload(Unload::Normal), Ok(()));
            assert_eq!(ctx.cleanups(), 1, "{end:?}");
            fixture.finish();
        }
    });
}

/// A detach takes the instance's contexts out of transactions that go on.
#[test]
fn c_174_detach_cleans_up_the_context_of_a_transaction_in_progress() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, content());
        let transaction = fixture.machine.begin_transaction();
        let ctx = enlisted(&fixture, &transaction);
        let detached = fixture.machine.detach(&fixture.driver, &fixture.volume);
        assert_eq!(detached, Ok(()));
        assert_eq!(ctx.cleanups(), 1);
        assert_eq!(transaction.commit(), Ok(()));
        assert_eq!(notified(&fixture), []);
        fixture.finish();
    });
}

/// A notification that runs is over before the teardown is.
#[test]
fn c_174_detach_waits_for_a_notification_that_runs() {
    seeds(|seed| {
        let notes = Notes::new();
        let (during, after) = (notes.clone(), notes.clone());
        let plan = Plan::all_kinds()
            .on_notification(move |_| {
                during.push("begins");
                a_moment();
                during.push("ends");
                STATUS_SUCCESS
            })
            .on_teardown_complete(move |_| after.push("torn down"));
        let fixture = Fixture::new(seed, plan);
        let transaction = fixture.machine.begin_transaction();
        let ctx = enlisted(&fixture, &transaction);
        thread::scope(|scope| {
            let commit = scope.spawn(|| transaction.commit());
            until(|| !notes.all().is_empty());
            let detached = fixture.machine.detach(&fixture.driver, &fixture.volume);
            assert_eq!(detached, Ok(()));
            assert_eq!(commit.join().unwrap(), Ok(()));
        });
        assert_eq!(notes.all(), ["begins", "ends", "torn down"]);
        assert_eq!(ctx.cleanups(), 1);
        fixture.finish();
    });
}

/// An empty slot is not found, and the result is overwritten with NULL.
#[test]
fn c_175_get_of_a_missing_transaction_context_is_not_found() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, content());
        let (one, other) = (
            fixture.machine.begin_transaction(),
            fixture.machine.begin_transaction(),
        );
        let ctx = fixture.linked(fixture.on_transaction(&one));
        assert_eq!(fixture.on_transaction(&other).get(), NOT_FOUND);
        assert_eq!(fixture.rc(&ctx), 1);
        one.rollback();
        other.rollback();
        fixture.finish();
    });
}
