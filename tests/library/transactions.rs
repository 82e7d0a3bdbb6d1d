//! Transactions: enlisting, notifications, and what a failed one leaves.

use std::sync::{Arc, Mutex};

use fltctx::{object::EnlistError, prelude::*};
use fltsim::{Fault, OpenOptions, filesystem::Personality};

use crate::probe::{Bench, Hooks, Id, OnTransaction, Probe, SEEDS, drops};

const ENDS: Notifications = Notifications::COMMIT.union(Notifications::ROLLBACK);

fn recording(phases: &Arc<Mutex<Vec<(Phase, u64)>>>) -> Hooks {
    let phases = Arc::clone(phases);
    Hooks {
        notification: Some(Arc::new(
            move |notification: &mut TransactionNotification<'_, Probe>| {
                let id = notification.context::<OnTransaction>().unwrap().id();
                let attached = notification.transaction().slot::<OnTransaction>().get();
                assert_eq!(attached.unwrap().unwrap().at(notification.irql()).id(), id);
                phases.lock().unwrap().push((notification.phase(), id));
            },
        )),
        ..Hooks::default()
    }
}

/// The context lives until the transaction ends, and the end is told.
#[test]
fn commit_and_rollback_are_told() {
    for seed in SEEDS {
        for commit in [true, false] {
            let phases = Arc::default();
            let bench = Bench::with(seed, Personality::ntfs(), recording(&phases));
            let transaction = bench.machine.begin_transaction();
            let file = bench
                .volume
                .open(r"\a", OpenOptions::create().transaction(&transaction))
                .unwrap();
            let enlist = |op: &mut Pre<'_, Probe, fltctx::operation::FlushBuffers>| {
                let context = op
                    .transaction()
                    .unwrap()
                    .get_or_enlist_with(ENDS, OnTransaction::default)
                    .unwrap();
                context.at(op.irql()).id()
            };
            let id = bench.on(&file, enlist);
            assert_eq!(bench.on(&file, enlist), id, "once enlisted, it is found");
            assert_eq!(drops(id), 0);
            drop(file);
            let expected = if commit {
                transaction.commit().unwrap();
                Phase::Commit
            } else {
                transaction.rollback();
                Phase::Rollback
            };
            assert_eq!(*phases.lock().unwrap(), [(expected, id)]);
            bench.machine.settle();
            assert_eq!(drops(id), 1);
            bench.finish();
        }
    }
}

/// Every phase that was asked for is told, in order.
#[test]
fn phases_come_in_order() {
    let phases = Arc::default();
    let bench = Bench::with(0, Personality::ntfs(), recording(&phases));
    let transaction = bench.machine.begin_transaction();
    let file = bench
        .volume
        .open(r"\a", OpenOptions::create().transaction(&transaction))
        .unwrap();
    bench.on(&file, |op| {
        let transaction = op.transaction().unwrap();
        drop(
            transaction
                .get_or_enlist_with(Notifications::all(), OnTransaction::default)
                .unwrap(),
        );
    });
    drop(file);
    transaction.commit().unwrap();
    let phases: Vec<Phase> = phases
        .lock()
        .unwrap()
        .iter()
        .map(|(phase, _)| *phase)
        .collect();
    assert_eq!(
        phases,
        [
            Phase::PrePrepare,
            Phase::Prepare,
            Phase::Commit,
            Phase::CommitFinalize
        ]
    );
    bench.finish();
}

/// A failed enlistment leaves no context behind.
#[test]
fn a_failed_enlistment_detaches_the_context() {
    let bench = Bench::new(0);
    let transaction = bench.machine.begin_transaction();
    let file = bench
        .volume
        .open(r"\a", OpenOptions::create().transaction(&transaction))
        .unwrap();
    bench.machine.inject(Fault::Enlist { after: 0 });
    bench.on(&file, |op| {
        let transaction = op.transaction().unwrap();
        let error = transaction
            .get_or_enlist_with(ENDS, OnTransaction::default)
            .unwrap_err();
        assert!(matches!(error, EnlistError::NoMemory));
        assert_eq!(error.status(), Status::INSUFFICIENT_RESOURCES);
        assert!(transaction.slot::<OnTransaction>().get().unwrap().is_none());
        let error = transaction
            .get_or_enlist_with(Notifications::empty(), OnTransaction::default)
            .unwrap_err();
        assert!(matches!(error, EnlistError::Other(_)));
        assert!(transaction.slot::<OnTransaction>().get().unwrap().is_none());
    });
    drop(file);
    transaction.rollback();
    bench.finish();
}

/// The context that a notification is about can be deleted in it, and is good until its end.
#[test]
fn a_notified_context_outlives_its_own_deletion() {
    let deleted = Arc::new(Mutex::new(Vec::new()));
    let bench = Bench::with(0, Personality::ntfs(), {
        let deleted = Arc::clone(&deleted);
        Hooks {
            notification: Some(Arc::new(
                move |notification: &mut TransactionNotification<'_, Probe>| {
                    let context = notification.context::<OnTransaction>().unwrap();
                    let id = context.id();
                    let slot = notification.transaction().slot::<OnTransaction>();
                    assert_eq!(slot.delete(), Ok(true));
                    assert_eq!(drops(id), 0, "it is borrowed");
                    assert_eq!(context.id(), id);
                    deleted.lock().unwrap().push(id);
                },
            )),
            ..Hooks::default()
        }
    });
    let transaction = bench.machine.begin_transaction();
    let file = bench
        .volume
        .open(r"\a", OpenOptions::create().transaction(&transaction))
        .unwrap();
    let id = bench.on(&file, |op| {
        let transaction = op.transaction().unwrap();
        let context = transaction
            .get_or_enlist_with(ENDS, OnTransaction::default)
            .unwrap();
        context.at(op.irql()).id()
    });
    drop(file);
    transaction.commit().unwrap();
    assert_eq!(*deleted.lock().unwrap(), [id]);
    assert_eq!(drops(id), 1, "gone with the notification");
    bench.finish();
}
