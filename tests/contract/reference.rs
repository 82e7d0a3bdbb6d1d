//! C-031 to C-043: references, releases and cleanups.

use crate::harness::{Ctx, Fixture, Plan, entry, seeds};
use fltmgr_sys::*;
use fltsim::verifier::{CONTEXT_OVER_RELEASE, CONTEXT_USE_AFTER_FREE, Rule};
use std::sync::{Arc, Mutex};

/// The six kinds that can be set.
const KINDS: [FLT_CONTEXT_TYPE; 6] = [
    FLT_VOLUME_CONTEXT,
    FLT_INSTANCE_CONTEXT,
    FLT_FILE_CONTEXT,
    FLT_STREAM_CONTEXT,
    FLT_STREAMHANDLE_CONTEXT,
    FLT_TRANSACTION_CONTEXT,
];

/// Releasing the only reference cleans up and frees before it returns.
#[test]
fn c_031_the_last_release_cleans_up_and_frees_at_once() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        for kind in KINDS {
            let ctx = fixture.allocate(kind);
            ctx.release();
            assert_eq!(ctx.cleanups(), 1);
            assert_eq!(fixture.rc(&ctx), 0);
            let info = fixture.machine.context(ctx.pointer()).expect("remembered");
            assert!(info.freed);
        }
        fixture.finish();
    });
}

/// Without a cleanup callback a context is just freed.
#[test]
fn c_032_a_context_without_cleanup_callback_is_freed() {
    seeds(|seed| {
        let silent = FLT_CONTEXT_REGISTRATION {
            ContextCleanupCallback: None,
            ..entry(FLT_STREAM_CONTEXT, 64)
        };
        let fixture = Fixture::new(seed, Plan::new().contexts(&[silent]));
        let ctx = fixture.allocate(FLT_STREAM_CONTEXT);
        ctx.release();
        assert_eq!(ctx.cleanups(), 0);
        let info = fixture.machine.context(ctx.pointer()).expect("remembered");
        assert!(info.freed);
        fixture.finish();
    });
}

/// Each reference takes a release of its own.
#[test]
fn c_033_a_reference_needs_its_own_release() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        for kind in KINDS {
            let ctx = fixture.allocate(kind);
            ctx.reference();
            assert_eq!(fixture.rc(&ctx), 2);
            ctx.release();
            assert_eq!(fixture.rc(&ctx), 1);
            assert_eq!(ctx.cleanups(), 0);
            ctx.release();
            assert_eq!(fixture.rc(&ctx), 0);
            assert_eq!(ctx.cleanups(), 1);
        }
        fixture.finish();
    });
}

/// The last release at `DISPATCH_LEVEL` leaves the cleanup to a worker at a lower level.
#[test]
fn c_034_the_last_release_at_dispatch_level_defers_the_cleanup() {
    seeds(|seed| {
        // The cleanup cannot return before the test opens the gate, so the release has to.
        let gate = Arc::new(Mutex::new(()));
        let held = Arc::clone(&gate);
        let test = std::thread::current().id();
        let plan = Plan::all_kinds().on_cleanup(move |_| {
            assert_ne!(std::thread::current().id(), test, "inside the release");
            drop(held.lock());
        });
        let fixture = Fixture::new(seed, plan);
        let ctx = fixture.allocate_from(FLT_STREAM_CONTEXT, NonPagedPoolNx);
        let closed = gate.lock().expect("not poisoned");
        fixture.machine.at_irql(DISPATCH_LEVEL, || ctx.release());
        assert_eq!(ctx.cleanups(), 0);
        assert_eq!(fixture.rc(&ctx), 0);
        drop(closed);
        fixture.machine.settle();
        assert_eq!(ctx.cleanups(), 1);
        let cleanup = ctx.cleanup().expect("cleaned up");
        assert!(cleanup.irql <= APC_LEVEL);
        let info = fixture.machine.context(ctx.pointer()).expect("remembered");
        assert!(info.freed);
        fixture.finish();
    });
}

/// Releasing a paged context at `DISPATCH_LEVEL` is a violation.
#[test]
fn c_035_releasing_a_paged_context_at_dispatch_level_is_a_violation() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let ctx = fixture.allocate_from(FLT_STREAM_CONTEXT, PagedPool);
        ctx.reference();
        fixture.machine.at_irql(DISPATCH_LEVEL, || ctx.release());
        assert_eq!(fixture.rules(), [Rule::V7]);
        ctx.release();
        assert_eq!(ctx.cleanups(), 1);
        fixture.finish_with(&[Rule::V7]);
    });
}

/// The cleanup callback runs at `APC_LEVEL` or below and is told the kind.
#[test]
fn c_036_a_cleanup_runs_at_apc_level_at_most_and_is_told_the_kind() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        for kind in KINDS {
            for level in [PASSIVE_LEVEL, APC_LEVEL, DISPATCH_LEVEL] {
                let ctx = fixture.allocate_from(kind, NonPagedPoolNx);
                fixture.machine.at_irql(level, || ctx.release());
                fixture.machine.settle();
                assert_eq!(ctx.cleanups(), 1);
                let cleanup = ctx.cleanup().expect("cleaned up");
                assert!(cleanup.irql <= APC_LEVEL);
                assert_eq!(cleanup.kind, kind);
            }
        }
        fixture.finish();
    });
}

/// The cleanup callback finds the payload as it was.
#[test]
fn c_037_the_payload_is_intact_during_cleanup() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        for level in [PASSIVE_LEVEL, DISPATCH_LEVEL] {
            let ctx = fixture.allocate_from(FLT_STREAM_CONTEXT, NonPagedPoolNx);
            ctx.fill(0x5C);
            fixture.machine.at_irql(level, || ctx.release());
            fixture.machine.settle();
            assert_eq!(ctx.cleanup().expect("cleaned up").payload, [0x5C; 64]);
        }
        fixture.finish();
    });
}

/// A context that nobody filled is cleaned up all the same, as it was handed out.
#[test]
fn c_038_a_context_that_was_never_filled_is_cleaned_up_raw() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let ctx = fixture.allocate(FLT_STREAM_CONTEXT);
        let raw = ctx.read();
        ctx.release();
        assert_eq!(ctx.cleanups(), 1);
        assert_eq!(ctx.cleanup().expect("cleaned up").payload, raw);
        fixture.finish();
    });
}

/// A cleanup callback may release another context, which may be that one's last reference.
#[test]
fn c_039_a_cleanup_may_release_another_context() {
    seeds(|seed| {
        let ownership: Arc<Mutex<Option<(Ctx, Ctx)>>> = Arc::default();
        let pair = Arc::clone(&ownership);
        let plan = Plan::all_kinds().on_cleanup(move |ctx| {
            let found = pair.lock().expect("not poisoned").clone();
            if let Some((owner, member)) = found
                && ctx.pointer() == owner.pointer()
            {
                member.release();
            }
        });
        let fixture = Fixture::new(seed, plan);
        let handle = fixture.open("\\file");

        // The member is linked too, and stays.
        let slot = fixture.on_stream(&handle);
        let member = fixture.linked(slot);
        assert_eq!(slot.get(), (STATUS_SUCCESS, member.pointer()));
        assert_eq!(fixture.rc(&member), 2);
        let owner = fixture.allocate(FLT_STREAMHANDLE_CONTEXT);
        *ownership.lock().expect("not poisoned") = Some((owner.clone(), member.clone()));
        owner.release();
        assert_eq!(owner.cleanups(), 1);
        assert_eq!(fixture.rc(&member), 1);
        assert_eq!(member.cleanups(), 0);

        // The member is held by its owner alone, and goes with it.
        let member = fixture.allocate(FLT_FILE_CONTEXT);
        let owner = fixture.allocate(FLT_STREAMHANDLE_CONTEXT);
        *ownership.lock().expect("not poisoned") = Some((owner.clone(), member.clone()));
        owner.release();
        assert_eq!(owner.cleanups(), 1);
        assert_eq!(member.cleanups(), 1);
        assert_eq!(fixture.rc(&member), 0);
        handle.close();
        fixture.finish();
    });
}

/// Referencing a freed context stops the machine.
#[test]
fn c_040_referencing_a_freed_context_is_bugcheck_f5_6e() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let ctx = fixture.allocate(FLT_STREAM_CONTEXT);
        ctx.release();
        ctx.reference();
        fixture.expect_bugcheck(0x6E, ctx.pointer());
        assert_eq!(CONTEXT_USE_AFTER_FREE, 0x6E);
        assert_eq!(fixture.rc(&ctx), 0);
        assert_eq!(ctx.cleanups(), 1);
        fixture.finish_with(&[Rule::V2]);
    });
}

/// Releasing the link's own reference stops the machine; it is not a silent free.
#[test]
fn c_041_releasing_the_last_reference_of_a_linked_context_is_bugcheck_f5_6d() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let handle = fixture.open("\\file");
        let transaction = fixture.machine.begin_transaction();
        let slots = [
            fixture.on_volume(),
            fixture.on_instance(),
            fixture.on_file(&handle),
            fixture.on_stream(&handle),
            fixture.on_stream_handle(&handle),
            fixture.on_transaction(&transaction),
        ];
        for slot in slots {
            let ctx = fixture.linked(slot);
            ctx.release();
            fixture.expect_bugcheck(0x6D, ctx.pointer());
            assert_eq!(CONTEXT_OVER_RELEASE, 0x6D);
            assert_eq!(ctx.cleanups(), 0);
            assert_eq!(fixture.rc(&ctx), 1);
        }
        handle.close();
        transaction.rollback();
        fixture.finish_with(&[Rule::V1; 6]);
    });
}

/// Any number of threads may get and release the same context.
#[test]
fn c_042_threads_that_get_and_release_leave_the_link() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 250;
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let handle = fixture.open("\\file");
        let slot = fixture.on_stream(&handle);
        let ctx = fixture.linked(slot);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                let ctx = ctx.clone();
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        assert_eq!(slot.get(), (STATUS_SUCCESS, ctx.pointer()));
                        ctx.release();
                    }
                });
            }
        });
        assert_eq!(fixture.rc(&ctx), 1);
        assert_eq!(ctx.cleanups(), 0);
        handle.close();
        fixture.finish();
    });
}

/// A nonpaged context may be referenced at `DISPATCH_LEVEL`.
#[test]
fn c_043_a_nonpaged_context_can_be_referenced_at_dispatch_level() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        for pool in [NonPagedPool, NonPagedPoolNx] {
            let ctx = fixture.allocate_from(FLT_STREAM_CONTEXT, pool);
            fixture.machine.at_irql(DISPATCH_LEVEL, || ctx.reference());
            assert_eq!(fixture.rc(&ctx), 2);
            fixture.machine.at_irql(DISPATCH_LEVEL, || ctx.release());
            assert_eq!(fixture.rc(&ctx), 1);
            assert_eq!(ctx.cleanups(), 0);
            ctx.release();
        }
        fixture.finish();
    });
}
