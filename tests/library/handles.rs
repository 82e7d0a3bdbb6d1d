//! Handles: one pointer, one allocation, exact counts, one drop.

use fltctx::prelude::*;
use fltsim::Fault;

use crate::probe::{
    Bench, Id, OnFile, OnHandle, OnInstance, OnStream, OnTransaction, OnVolume, SEEDS, drops,
};

/// A handle is one pointer, and so is an optional one.
#[test]
fn a_handle_is_one_pointer() {
    assert_eq!(size_of::<Shared<OnStream>>(), size_of::<usize>());
    assert_eq!(size_of::<Option<Shared<OnStream>>>(), size_of::<usize>());
    assert_eq!(size_of::<Unique<OnStream>>(), size_of::<usize>());
    assert_eq!(size_of::<Option<Unique<OnStream>>>(), size_of::<usize>());
}

/// What is registered is the size of the type, and each context is one allocation.
#[test]
fn a_context_is_one_allocation_of_its_own_size() {
    use fltctx::context::declaration::{Declarations, registered_size};
    struct Empty;
    assert_eq!(registered_size::<Empty>(), 1);

    let table = <crate::probe::Probe as Declarations>::TABLE;
    let sizes: Vec<(u16, u64)> = table
        .iter()
        .map(|entry| (entry.ContextType, entry.Size))
        .collect();
    let size = |bytes: usize| bytes as u64;
    assert_eq!(
        sizes,
        [
            (0x01, size(size_of::<OnVolume>())),
            (0x02, size(size_of::<OnInstance>())),
            (0x04, size(size_of::<OnFile>())),
            (0x08, size(size_of::<OnStream>())),
            (0x10, size(size_of::<OnHandle>())),
            (0x20, size(size_of::<OnTransaction>())),
            (0xFFFF, 0),
        ]
    );

    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    let before = bench.machine.calls("FltAllocateContext");
    let context = bench.on(&file, |op| {
        op.slot::<OnStream>()
            .get_or_insert_with(OnStream::default)
            .unwrap()
    });
    assert_eq!(bench.machine.calls("FltAllocateContext"), before + 1);
    let info = bench.machine.context(context.as_raw()).unwrap();
    assert_eq!(info.size, size_of::<OnStream>());
    drop((context, file));
    bench.finish();
}

/// An unset context has one reference, can be changed, and is dropped once.
#[test]
fn unique_is_one_reference_and_drops_once() {
    for seed in SEEDS {
        let bench = Bench::new(seed);
        let file = bench.open(r"\a");
        let (id, count) = {
            let machine = bench.machine.clone();
            bench.on(&file, move |op| {
                let mut unique = op.filter().allocate(OnStream::default()).unwrap();
                let replaced = core::mem::take(&mut *unique);
                assert_eq!(drops(replaced.id()), 0);
                drop(replaced);
                assert_eq!(unique.id(), unique.at(op.irql()).id());
                let count = machine.reference_count(unique.as_raw());
                (unique.id(), count)
            })
        };
        assert_eq!(count, 1);
        assert_eq!(drops(id), 1);
        assert_eq!(bench.machine.calls("FltReleaseContext"), 1);
        drop(file);
        bench.finish();
    }
}

/// Cloning references, dropping releases, and the value goes with the last of all.
#[test]
fn shared_counts_references() {
    for seed in SEEDS {
        let bench = Bench::new(seed);
        let file = bench.open(r"\a");
        let first = bench.on(&file, |op| {
            let unique = op.filter().allocate(OnStream::default()).unwrap();
            op.slot::<OnStream>().set(unique).unwrap()
        });
        let id = first.id();
        assert_eq!(bench.count(&first), 2, "the object's and ours");
        let second = first.clone();
        assert_eq!(bench.count(&first), 3);
        assert!(first.ptr_eq(&second));
        drop(first);
        assert_eq!(bench.count(&second), 2);
        drop(file);
        assert_eq!(
            bench.count(&second),
            1,
            "the stream is gone, the context is not"
        );
        assert_eq!(second.id(), id);
        assert_eq!(drops(id), 0);
        drop(second);
        assert_eq!(drops(id), 1);
        bench.finish();
    }
}

/// A raw pointer carries the reference out and back.
#[test]
fn raw_pointers_carry_the_reference() {
    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    let shared = bench.on(&file, |op| {
        op.slot::<OnStream>()
            .get_or_insert_with(OnStream::default)
            .unwrap()
    });
    let raw = core::ptr::NonNull::new(shared.into_raw().cast::<OnStream>()).unwrap();
    assert_eq!(bench.machine.reference_count(raw.as_ptr().cast()), 2);
    // SAFETY: `raw` is what `into_raw` gave, taken back once.
    let shared = unsafe { Shared::from_raw(raw) };
    assert_eq!(bench.count(&shared), 2);
    drop((shared, file));
    bench.finish();
}

/// A failed allocation gives the value back, undropped.
#[test]
fn a_failed_allocation_returns_the_value() {
    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    bench.machine.inject(Fault::Allocation { after: 0 });
    let error = bench.on(&file, |op| {
        op.filter().allocate(OnStream::default()).unwrap_err()
    });
    assert_eq!(error.status, Status::INSUFFICIENT_RESOURCES);
    assert_eq!(drops(error.value.id()), 0);
    let id = error.value.id();
    drop(error);
    assert_eq!(drops(id), 1);
    drop(file);
    bench.finish();
}

/// The last reference may go at `DISPATCH_LEVEL`; the drop happens later, at a low IRQL.
#[test]
fn a_release_at_dispatch_level_defers_the_drop() {
    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    let shared = bench.on(&file, |op| {
        let shared = op
            .slot::<OnStream>()
            .get_or_insert_with(OnStream::default)
            .unwrap();
        op.slot::<OnStream>().delete().unwrap();
        shared
    });
    let id = shared.id();
    bench
        .machine
        .at_irql(fltctx::sys::DISPATCH_LEVEL, move || drop(shared));
    bench.machine.settle();
    assert_eq!(drops(id), 1);
    drop(file);
    bench.finish();
}
