//! Locks in contexts: exclusion, IRQL, release on every path, destruction; and values in pool as
//! completion payloads.

mod driver;
mod misuse;

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use driver::{
    Aside, Bench, CONTEXTS_DROPPED, DELIVERED, Locks, NO_MEMORY, PARCELS_DROPPED, Parcel, REFUSED,
    gate, irql, locks, on,
};
use fltctx::{
    PoolBox, Status,
    context::Shared,
    lock::{AlreadyHeld, Resource},
};
use fltmgr_sys::{APC_LEVEL, DISPATCH_LEVEL, PASSIVE_LEVEL};
use fltsim::{DriverConfig, Fault, IoOptions, Unload, verifier::Rule};

/// Four threads add to sums under each lock; no addition is lost.
#[test]
fn exclusion_gives_exact_sums() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 2_000;
    let bench = Bench::new();
    let files: Vec<_> = (0..THREADS).map(|_| bench.open(r"\shared")).collect();
    std::thread::scope(|scope| {
        for (number, file) in (1..).zip(&files) {
            scope.spawn(move || {
                on(file, move |op| {
                    let context = locks(op);
                    for round in 0..ROUNDS {
                        *context.push.write(op.irql()) += number;
                        *context.resource.write(op.irql()).unwrap() += number;
                        *context.mutex.lock(op.irql_mut()) += number;
                        *context.spin.lock(op.irql_mut()) += number;
                        if round % 8 == 0 {
                            let first = *context.push.read(op.irql());
                            let second = *context.resource.read(op.irql()).unwrap();
                            assert!(first >= number && second >= number);
                        }
                    }
                });
            });
        }
    });
    let sums = on(&files[0], |op| {
        let context = locks(op);
        let push = *context.push.read(op.irql());
        let resource = *context.resource.read(op.irql()).unwrap();
        let mutex = context.mutex.with(op.irql_mut(), |sum, _| *sum);
        let spin = context.spin.with(op.irql_mut(), |sum, _| *sum);
        [push, resource, mutex, spin]
    });
    assert_eq!(sums, [ROUNDS * (1 + 2 + 3 + 4); 4]);
    let calls = |name| bench.machine.calls(name);
    assert_eq!(calls("FltAcquirePushLockExclusive"), THREADS * ROUNDS);
    assert_eq!(calls("FltAcquirePushLockShared"), THREADS * ROUNDS / 8 + 1);
    assert_eq!(
        calls("FltReleasePushLock"),
        calls("FltAcquirePushLockExclusive") + calls("FltAcquirePushLockShared")
    );
    assert_eq!(
        calls("FltReleaseResource"),
        calls("FltAcquireResourceExclusive") + calls("FltAcquireResourceShared")
    );
    assert_eq!(calls("ExAcquireFastMutex"), THREADS * ROUNDS + 1);
    assert_eq!(calls("ExReleaseFastMutex"), calls("ExAcquireFastMutex"));
    assert_eq!(calls("KeAcquireSpinLockRaiseToDpc"), THREADS * ROUNDS + 1);
    assert_eq!(
        calls("KeReleaseSpinLock"),
        calls("KeAcquireSpinLockRaiseToDpc")
    );
    drop(files);
    bench.finish();
}

/// Readers share; a writer waits for them.
#[test]
fn readers_share_and_writers_wait() {
    let bench = Bench::new();
    let files: Vec<_> = (0..3).map(|_| bench.open(r"\shared")).collect();
    let all = Arc::new(Barrier::new(3));
    let written = Arc::new(AtomicU32::new(0));
    std::thread::scope(|scope| {
        for file in &files[..2] {
            let (all, written) = (Arc::clone(&all), Arc::clone(&written));
            scope.spawn(move || {
                on(file, move |op| {
                    let context = locks(op);
                    let push = context.push.read(op.irql());
                    let resource = context.resource.read(op.irql()).unwrap();
                    // Passes only when both threads hold both locks.
                    all.wait();
                    std::thread::sleep(Duration::from_millis(20));
                    assert_eq!((*push, *resource), (0, 0));
                    assert_eq!(written.load(Ordering::Relaxed), 0);
                });
            });
        }
        let (file, written) = (&files[2], Arc::clone(&written));
        scope.spawn(move || {
            on(file, move |op| {
                let context = locks(op);
                all.wait();
                *context.push.write(op.irql()) = 1;
                written.fetch_add(1, Ordering::Relaxed);
                *context.resource.write(op.irql()).unwrap() = 1;
                written.fetch_add(1, Ordering::Relaxed);
            });
        });
    });
    assert_eq!(written.load(Ordering::Relaxed), 2);
    drop(files);
    bench.finish();
}

/// What the IRQL is under each guard, and afterwards.
#[test]
fn each_guard_has_its_irql() {
    let bench = Bench::new();
    let file = bench.open(r"\a");
    on(&file, |op| {
        let context = locks(op);
        assert_eq!(irql(), PASSIVE_LEVEL);
        {
            let _push = context.push.write(op.irql());
            let _resource = context.resource.write(op.irql()).unwrap();
            assert_eq!(irql(), PASSIVE_LEVEL);
            // Contexts are reached as ever.
            assert!(op.slot::<Locks>().get().unwrap().is_some());
        }
        {
            let guard = context.mutex.lock(op.irql_mut());
            assert_eq!(irql(), APC_LEVEL);
            // A token for the raised level serves what needs one.
            assert_eq!(*context.at(guard.irql()).push.read(guard.irql()), 0);
        }
        assert_eq!(irql(), PASSIVE_LEVEL);
        {
            let mut guard = context.spin.lock(op.irql_mut());
            assert_eq!(irql(), DISPATCH_LEVEL);
            *guard += 1;
            // Locks nest, and the inner one goes first.
            let (outer, token) = guard.parts();
            let mut inner = context.other.lock(token);
            assert_eq!(irql(), DISPATCH_LEVEL);
            *outer += 1;
            *inner += *outer;
            drop(inner);
            assert_eq!(irql(), DISPATCH_LEVEL);
        }
        assert_eq!(irql(), PASSIVE_LEVEL);
        let levels = context.mutex.with(op.irql_mut(), |_, token| {
            let before = irql();
            let (under, sum) = context.spin.with(token, |sum, _| (irql(), *sum));
            (before, under, irql(), sum)
        });
        assert_eq!(levels, (APC_LEVEL, DISPATCH_LEVEL, APC_LEVEL, 2));
        assert_eq!(irql(), PASSIVE_LEVEL);
    });
    drop(file);
    bench.finish();
}

/// A guard is released however its scope is left.
#[test]
fn early_returns_release() {
    fn leave(
        context: &Locks,
        op: &mut fltctx::operation::Pre<'_, driver::Locked, fltctx::operation::FlushBuffers>,
    ) -> Result<u64, Status> {
        let held = context.mutex.lock(op.irql_mut());
        if *held == 0 {
            return Err(Status::NOT_FOUND);
        }
        Ok(*held)
    }
    let bench = Bench::new();
    let file = bench.open(r"\a");
    on(&file, |op| {
        let context = locks(op);
        for _ in 0..3 {
            assert_eq!(leave(&context, op), Err(Status::NOT_FOUND));
            assert_eq!(irql(), PASSIVE_LEVEL);
            let failed = context
                .spin
                .with(op.irql_mut(), |sum, _| sum.checked_sub(1).ok_or(irql()));
            assert_eq!(failed, Err(DISPATCH_LEVEL));
            assert_eq!(irql(), PASSIVE_LEVEL);
        }
    });
    assert_eq!(bench.machine.calls("ExReleaseFastMutex"), 3);
    assert_eq!(bench.machine.calls("KeReleaseSpinLock"), 3);
    drop(file);
    bench.finish();
}

/// A resource would let its owner in again; the library does not.
#[test]
fn a_resource_is_not_recursive() {
    let bench = Bench::new();
    let file = bench.open(r"\a");
    on(&file, |op| {
        let context = locks(op);
        let irql = op.irql();
        {
            let _write = context.resource.write(irql).unwrap();
            assert_eq!(context.resource.write(irql).err(), Some(AlreadyHeld));
            assert_eq!(context.resource.read(irql).err(), Some(AlreadyHeld));
        }
        {
            let first = context.resource.read(irql).unwrap();
            let second = context.resource.read(irql).unwrap();
            assert_eq!(context.resource.write(irql).err(), Some(AlreadyHeld));
            drop(first);
            assert_eq!(context.resource.write(irql).err(), Some(AlreadyHeld));
            drop(second);
        }
        drop(context.resource.write(irql).unwrap());
    });
    drop(file);
    bench.finish();
}

/// A guard that is forgotten keeps the lock past the callback, and the verifier says so, each time
/// that it matters.
#[test]
fn a_forgotten_guard_is_reported() {
    let bench = Bench::new();
    let file = bench.open(r"\a");
    on(&file, |op| {
        let context = locks(op);
        std::mem::forget(context.push.read(op.irql()));
    });
    let said = |bench: &Bench| -> Vec<_> {
        let reports = bench.machine.verifier().take_reports();
        reports
            .into_iter()
            .map(|report| (report.rule, report.call))
            .collect()
    };
    assert_eq!(said(&bench), [(Rule::V23, "")], "the callback returned");
    drop(file);
    assert_eq!(said(&bench)[0], (Rule::V23, "FltDeletePushLock"));
    bench.finish();
}

/// Locks are deleted once each, with the context that holds them.
#[test]
fn locks_end_with_their_context() {
    let bench = Bench::new();
    let calls = |name| bench.machine.calls(name);
    let file = bench.open(r"\a");
    let kept = on(&file, |op| {
        // One that is never set.
        drop(op.filter().allocate_in_place(Locks::recipe()).unwrap());
        locks(op)
    });
    assert_eq!(calls("FltInitializePushLock"), 2);
    assert_eq!(calls("ExInitializeResourceLite"), 2);
    assert_eq!(calls("KeInitializeEvent"), 2);
    assert_eq!(calls("FltDeletePushLock"), 1);
    assert_eq!(calls("ExDeleteResourceLite"), 1);
    assert_eq!(CONTEXTS_DROPPED.load(Ordering::Relaxed), 1);
    drop(file);
    assert_eq!(calls("FltDeletePushLock"), 1, "a handle keeps it");
    drop(kept);
    assert_eq!(calls("FltDeletePushLock"), 2);
    assert_eq!(calls("ExDeleteResourceLite"), 2);
    assert_eq!(CONTEXTS_DROPPED.load(Ordering::Relaxed), 2);

    // No memory: the recipe, and the value in it, are dropped unused.
    let file = bench.open(r"\a");
    bench.machine.inject(Fault::Allocation { after: 0 });
    let error = on(&file, |op| {
        op.filter().allocate_in_place(Locks::recipe()).err()
    });
    assert_eq!(error, Some(Status::INSUFFICIENT_RESOURCES));
    assert_eq!(calls("FltInitializePushLock"), 2);
    drop(file);
    bench.finish();
}

/// When the last handle goes at `DISPATCH_LEVEL`, the locks are deleted later, lower down.
#[test]
fn locks_end_below_dispatch_level() {
    let bench = Bench::new();
    let file = bench.open(r"\a");
    let kept = on(&file, |op| locks(op));
    drop(file);
    bench.machine.at_irql(DISPATCH_LEVEL, || drop(kept));
    bench.machine.settle();
    assert_eq!(bench.machine.calls("FltDeletePushLock"), 1);
    assert_eq!(bench.machine.calls("ExDeleteResourceLite"), 1);
    bench.finish();
}

/// A paged context keeps its lock in nonpaged pool, and a handle to a context with locks.
#[test]
fn a_paged_context_keeps_its_lock_aside() {
    let bench = Bench::new();
    let file = bench.open(r"\a");
    on(&file, |op| {
        let lock = PoolBox::try_new_in_place(Parcel::TAG, Resource::new(5), op.irql()).unwrap();
        let neighbour = Some(locks(op));
        let aside: Shared<Aside> = op
            .slot::<Aside>()
            .get_or_insert_with(|| Aside { lock, neighbour })
            .unwrap();
        let aside = aside.at(op.irql());
        *aside.lock.write(op.irql()).unwrap() += 1;
        assert_eq!(*aside.lock.read(op.irql()).unwrap(), 6);
        assert_eq!(*aside.neighbour.as_ref().unwrap().push.read(op.irql()), 0);
    });
    // No memory for another.
    bench.machine.inject(Fault::Pool { after: 0 });
    NO_MEMORY.set(1);
    let error = on(&file, |op| {
        PoolBox::<Resource<u64>>::try_new_in_place(Parcel::TAG, Resource::new(5), op.irql()).err()
    });
    assert_eq!(error, Some(Status::INSUFFICIENT_RESOURCES));
    assert_eq!(bench.machine.calls("ExDeleteResourceLite"), 0);
    drop(file);
    // That of the box, and that of the stream context.
    assert_eq!(bench.machine.calls("ExDeleteResourceLite"), 2);
    bench.finish();
}

/// A boxed payload is delivered once, wherever the operation completes.
#[test]
fn a_boxed_payload_reaches_every_completion() {
    let bench = Bench::new();
    let calls = |name| bench.machine.calls(name);
    let file = bench.open(r"\a");
    // Safe post-operation callbacks, one on a worker's thread and one refused.
    file.write(0, &[7; 100]).unwrap();
    file.write_with(0, &[7; 100], IoOptions::worker()).unwrap();
    file.write_with(0, &[7; 100], IoOptions::dispatch().paging())
        .unwrap();
    bench.machine.settle();
    assert_eq!(REFUSED.load(Ordering::Relaxed), 1);
    assert_eq!(DELIVERED.load(Ordering::Relaxed), 2 * 100 * 8);
    assert_eq!(PARCELS_DROPPED.load(Ordering::Relaxed), 3);
    assert_eq!(calls("ExAllocatePoolWithTag"), 3);
    assert_eq!(calls("ExFreePoolWithTag"), 3);
    // Plain ones.
    let mut buffer = [0; 60];
    assert_eq!(file.read(0, &mut buffer), Ok(60));
    assert_eq!(file.read_fast(0, &mut buffer), Ok(60));
    assert_eq!(file.read_with(0, &mut buffer, IoOptions::worker()), Ok(60));
    assert_eq!(
        file.read_with(0, &mut buffer, IoOptions::dispatch()),
        Ok(60)
    );
    assert_eq!(file.read_paging(0, &mut buffer), Ok(60));
    assert_eq!(DELIVERED.load(Ordering::Relaxed), 1600 + 5 * 60 * 8);
    assert_eq!(PARCELS_DROPPED.load(Ordering::Relaxed), 8);
    assert_eq!(calls("KeAcquireSpinLockRaiseToDpc"), 7);
    // Completed before it starts, and a payload that is `None`.
    assert_eq!(
        file.read(0, &mut [0; 1]),
        Err(Status::ACCESS_DENIED.into_raw())
    );
    assert_eq!(PARCELS_DROPPED.load(Ordering::Relaxed), 9);
    assert_eq!(file.read(0, &mut [0; 2]), Ok(2));
    assert_eq!(calls("ExAllocatePoolWithTag"), 9);
    // No memory: the value comes back.
    bench.machine.inject(Fault::Pool { after: 0 });
    NO_MEMORY.set(1);
    assert_eq!(
        file.read(0, &mut [0; 3]),
        Err(Status::INSUFFICIENT_RESOURCES.into_raw())
    );
    assert_eq!(PARCELS_DROPPED.load(Ordering::Relaxed), 10);
    assert_eq!(calls("ExFreePoolWithTag"), 9);
    drop(file);
    bench.finish();
}

/// A boxed payload of a drained operation is dropped, and no callback sees it.
#[test]
fn a_boxed_payload_is_dropped_by_draining() {
    let bench = Bench::new();
    let low = bench
        .machine
        .create_driver(DriverConfig::new("gate").altitude("100000"));
    low.start(gate::driver_entry).expect("the gate loads");
    let file = bench.open(r"\a");
    file.write(0, &[7; 100]).unwrap();
    let delivered = DELIVERED.load(Ordering::Relaxed);
    let barrier = Arc::new(Barrier::new(2));
    *gate::GATE.lock().unwrap() = Some(Arc::clone(&barrier));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| file.read(0, &mut [0; 50]));
        barrier.wait();
        bench.machine.detach(&bench.driver, &bench.volume).unwrap();
        assert_eq!(PARCELS_DROPPED.load(Ordering::Relaxed), 2);
        barrier.wait();
        assert_eq!(reader.join().unwrap(), Ok(50));
    });
    assert_eq!(DELIVERED.load(Ordering::Relaxed), delivered);
    assert_eq!(PARCELS_DROPPED.load(Ordering::Relaxed), 2);
    assert_eq!(bench.machine.calls("ExFreePoolWithTag"), 2);
    low.unload(Unload::Normal).unwrap();
    drop(file);
    bench.finish();
}

/// A payload is one pointer, and nothing but its value is lost in the pool.
#[test]
fn a_box_is_one_pointer() {
    const POINTER: usize = size_of::<usize>();
    assert_eq!(size_of::<PoolBox<Parcel>>(), POINTER);
    assert_eq!(size_of::<Option<PoolBox<Parcel>>>(), POINTER);
    assert_eq!(size_of::<Option<PoolBox<()>>>(), POINTER);
    let bench = Bench::new();
    bench.machine.at_irql(DISPATCH_LEVEL, || {
        let nothing = PoolBox::try_new(Parcel::TAG, ()).unwrap();
        let mut number = PoolBox::try_new(Parcel::TAG, 41_u64).unwrap();
        *number += 1;
        assert_eq!((*nothing, PoolBox::into_inner(number)), ((), 42));
    });
    bench.finish();
}
