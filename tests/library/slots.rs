//! Every verb on every kind of slot, and every way that it can fail.

use fltctx::{
    context::{DeleteError, GetError, InsertError, SetFailure},
    kind::Attach,
    operation::FlushBuffers,
    prelude::*,
};
use fltsim::{Fault, OpenOptions, filesystem::Personality};

use crate::probe::{
    Bench, Hooks, Id, OnFile, OnHandle, OnInstance, OnStream, OnTransaction, OnVolume, Probe,
    SEEDS, drops,
};

type SlotOf<'a, T> = fltctx::context::Slot<'a, Probe, T>;

/// Runs every verb on one slot that starts empty and ends empty; the references of a context are
/// asserted after each.
fn every_verb<T>(slot: SlotOf<'_, T>, count: impl Fn(&Shared<T>) -> u32)
where
    T: fltctx::context::DeclaredBy<Probe> + Default + Id,
    T::Kind: Attach,
{
    assert!(slot.supported());
    assert!(slot.get().unwrap().is_none());
    assert!(slot.remove().unwrap().is_none());
    assert!(!slot.delete().unwrap());

    // Set on an empty slot.
    let first = slot.set(slot.allocate(T::default()).unwrap()).unwrap();
    assert_eq!(count(&first), 2);

    // Get.
    let got = slot.get().unwrap().unwrap();
    assert!(got.ptr_eq(&first));
    assert_eq!(count(&first), 3);
    drop(got);
    assert_eq!(count(&first), 2);

    // Set on an occupied slot gives back the loser and the winner.
    let error = slot.set(slot.allocate(T::default()).unwrap()).unwrap_err();
    match &error.failure {
        SetFailure::AlreadyDefined(winner) => {
            assert!(winner.ptr_eq(&first));
            assert_eq!(count(&first), 3);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(error.failure.status(), Status::CONTEXT_ALREADY_DEFINED);
    drop(error);
    assert_eq!(count(&first), 2);

    // Get-or-insert finds it, and makes no value.
    let found = slot.get_or_insert_with(|| panic!("there is one")).unwrap();
    assert!(found.ptr_eq(&first));
    drop(found);

    // Replace.
    let replaced = slot.replace(slot.allocate(T::default()).unwrap()).unwrap();
    assert!(replaced.old.as_ref().unwrap().ptr_eq(&first));
    assert_eq!(
        count(&first),
        2,
        "ours and the one that the object handed over"
    );
    assert_eq!(count(&replaced.new), 2);
    drop(replaced.old);
    assert_eq!(count(&first), 1);
    drop(first);

    // Remove hands the object's reference over.
    let removed = slot.remove().unwrap().unwrap();
    assert!(removed.ptr_eq(&replaced.new));
    assert_eq!(count(&removed), 2);
    assert!(slot.get().unwrap().is_none());
    drop(replaced.new);
    assert_eq!(count(&removed), 1);
    drop(removed);

    // Replace on an empty slot.
    let replaced = slot.replace(slot.allocate(T::default()).unwrap()).unwrap();
    assert!(replaced.old.is_none());

    // Delete by slot keeps our handle good.
    assert!(slot.delete().unwrap());
    assert_eq!(count(&replaced.new), 1);
    assert!(slot.get().unwrap().is_none());
    drop(replaced);

    // Get-or-insert on an empty slot.
    let inserted = slot.get_or_insert_with(T::default).unwrap();
    assert_eq!(count(&inserted), 2);
    assert!(slot.delete().unwrap());
}

/// All six kinds behave alike: they differ in a table.
#[test]
fn every_verb_on_every_kind() {
    for seed in SEEDS {
        let bench = Bench::new(seed);
        let transaction = bench.machine.begin_transaction();
        let file = bench
            .volume
            .open(r"\a", OpenOptions::create().transaction(&transaction))
            .unwrap();
        let machine = bench.machine.clone();
        bench.on(&file, move |op| {
            every_verb(op.slot::<OnVolume>(), |c| {
                machine.reference_count(c.as_raw())
            });
            every_verb(op.slot::<OnInstance>(), |c| {
                machine.reference_count(c.as_raw())
            });
            every_verb(op.slot::<OnFile>(), |c| machine.reference_count(c.as_raw()));
            every_verb(op.slot::<OnStream>(), |c| {
                machine.reference_count(c.as_raw())
            });
            every_verb(op.slot::<OnHandle>(), |c| {
                machine.reference_count(c.as_raw())
            });
            let transaction = op.transaction().unwrap();
            every_verb(transaction.slot::<OnTransaction>(), |c| {
                machine.reference_count(c.as_raw())
            });
            // The objects' own slots are the same places.
            every_verb(op.volume().slot::<OnVolume>(), |c| {
                machine.reference_count(c.as_raw())
            });
            every_verb(op.instance().slot::<OnInstance>(), |c| {
                machine.reference_count(c.as_raw())
            });
            every_verb(op.file_object().slot::<OnStream>(), |c| {
                machine.reference_count(c.as_raw())
            });
        });
        drop(file);
        transaction.commit().unwrap();
        bench.finish();
    }
}

/// Deleting by handle detaches, keeps the handle good and frees the slot.
#[test]
fn delete_by_handle() {
    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    let machine = bench.machine.clone();
    bench.on(&file, move |op| {
        let slot = op.slot::<OnStream>();
        let first = slot.get_or_insert_with(OnStream::default).unwrap();
        let other = first.clone();
        first.delete(op.irql());
        assert_eq!(machine.reference_count(first.as_raw()), 2);
        assert!(slot.get().unwrap().is_none());
        other.delete(op.irql());
        assert_eq!(
            machine.reference_count(first.as_raw()),
            2,
            "the link goes once"
        );
        let second = slot.get_or_insert_with(OnStream::default).unwrap();
        assert!(!second.ptr_eq(&first));
    });
    drop(file);
    bench.finish();
}

/// A file system without contexts says so on every verb, and every context comes back.
#[test]
fn not_supported_is_a_value() {
    let bench = Bench::with(0, Personality::no_contexts(), Hooks::default());
    let file = bench.open(r"\a");
    let id = bench.on(&file, |op| {
        let slot = op.slot::<OnStream>();
        assert!(!slot.supported());
        assert_eq!(slot.get().unwrap_err(), GetError::NotSupported);
        let unique = slot.allocate(OnStream::default()).unwrap();
        let id = unique.id();
        let error = slot.set(unique).unwrap_err();
        assert!(matches!(error.failure, SetFailure::NotSupported));
        assert_eq!(drops(id), 0, "the context comes back");
        let error = slot.replace(error.context).unwrap_err();
        assert!(matches!(error.failure, SetFailure::NotSupported));
        drop(error);
        assert!(matches!(
            slot.get_or_insert_with(|| panic!("no use making one")),
            Err(InsertError::NotSupported)
        ));
        assert_eq!(slot.remove().unwrap_err(), DeleteError::NotSupported);
        assert_eq!(slot.delete().unwrap_err(), DeleteError::NotSupported);
        // The volume and instance have theirs all the same.
        assert!(op.slot::<OnVolume>().supported());
        id
    });
    assert_eq!(drops(id), 1);
    drop(file);
    bench.finish();
}

/// A paging file has no contexts (the leak of the `delete` sample cannot happen).
#[test]
fn a_paging_file_leaks_nothing() {
    let bench = Bench::new(0);
    let file = bench
        .volume
        .open(r"\pagefile.sys", OpenOptions::create().paging_file())
        .unwrap();
    bench.on(&file, |op| {
        let error = op
            .slot::<OnStream>()
            .get_or_insert_with(OnStream::default)
            .unwrap_err();
        assert_eq!(error.status(), Status::NOT_SUPPORTED);
        let unique = op.filter().allocate(OnHandle::default()).unwrap();
        assert!(op.slot::<OnHandle>().set(unique).is_err());
    });
    drop(file);
    bench.finish();
}

/// On a FAT-like file system the Filter Manager emulates file contexts.
#[test]
fn file_contexts_work_on_fat() {
    let bench = Bench::with(0, Personality::fat(), Hooks::default());
    let file = bench.open(r"\a");
    bench.on(&file, |op| {
        assert!(op.slot::<OnFile>().supported());
        drop(
            op.slot::<OnFile>()
                .get_or_insert_with(OnFile::default)
                .unwrap(),
        );
        assert!(op.slot::<OnFile>().get().unwrap().is_some());
    });
    drop(file);
    bench.finish();
}

/// Without memory, get-or-insert gives the value back.
#[test]
fn get_or_insert_without_memory() {
    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    bench.machine.inject(Fault::Allocation { after: 0 });
    bench.on(&file, |op| {
        match op.slot::<OnStream>().get_or_insert_with(OnStream::default) {
            Err(InsertError::NoMemory(value)) => assert_eq!(drops(value.id()), 0),
            other => panic!("{other:?}"),
        }
    });
    drop(file);
    bench.finish();
}

/// The statuses that no documentation lists come through as they are.
#[test]
fn an_undocumented_status_is_kept() {
    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    bench.machine.inject(Fault::Set {
        kind: fltsim::ContextKind::Stream,
        status: Status::ACCESS_DENIED.into_raw(),
        after: 0,
    });
    let id = bench.on(&file, |op| {
        let unique = op.filter().allocate(OnStream::default()).unwrap();
        let id = unique.id();
        let error = op.slot::<OnStream>().set(unique).unwrap_err();
        assert!(matches!(
            error.failure,
            SetFailure::Other(Status::ACCESS_DENIED)
        ));
        assert_eq!(Status::from(error), Status::ACCESS_DENIED);
        id
    });
    assert_eq!(drops(id), 1);
    drop(file);
    bench.finish();
}

/// In both teardown callbacks contexts can be got; setting says that the instance goes.
#[test]
fn teardown_says_deleting() {
    for seed in SEEDS {
        let bench = Bench::with(
            seed,
            Personality::ntfs(),
            Hooks {
                setup: Some(std::sync::Arc::new(
                    |setup: &mut InstanceSetup<'_, Probe>| {
                        setup
                            .instance()
                            .slot::<OnInstance>()
                            .get_or_insert_with(OnInstance::default)?;
                        Ok(())
                    },
                )),
                teardown_start: Some(std::sync::Arc::new(
                    |teardown: &mut InstanceTeardown<'_, Probe>| {
                        let slot = teardown.instance().slot::<OnInstance>();
                        assert!(slot.get().unwrap().is_some());
                        let unique = slot.allocate(OnInstance::default());
                        // While the filter is being unloaded nothing can be allocated either.
                        let error = match unique {
                            Ok(unique) => slot.set(unique).unwrap_err(),
                            Err(error) => {
                                assert_eq!(error.status, Status::DELETING_OBJECT);
                                return;
                            }
                        };
                        assert!(matches!(error.failure, SetFailure::Deleting));
                    },
                )),
                ..Hooks::default()
            },
        );
        bench.machine.detach(&bench.driver, &bench.volume).unwrap();
        bench.finish();
    }
}

/// The flush callback sees what the operation is about.
#[test]
fn the_operation_is_described() {
    let bench = Bench::new(0);
    let file = bench.open(r"\dir-less name:stream");
    let text = bench.on(&file, |op: &mut Pre<'_, Probe, FlushBuffers>| {
        let name = op.file_name(fltctx::name::NameFormat::Normalized).unwrap();
        assert!(op.transaction().is_none());
        assert!(!op.is_fast_io());
        assert!(!op.is_paging_io());
        assert!(!op.file_object().is_directory().unwrap());
        format!(
            "{} | {} | {} | {} | {}",
            name.full(op.irql()),
            name.final_component(op.irql()),
            name.stream(op.irql()),
            op.volume().name().unwrap(),
            op.volume().properties().unwrap().sector_size,
        )
    });
    assert_eq!(
        text,
        r"\Device\HarddiskVolume1\dir-less name:stream | dir-less name | :stream | \Device\HarddiskVolume1 | 512"
    );
    drop(file);
    bench.finish();
}
