//! C-001 to C-030: registering context entries, and allocating from them.

use crate::harness::{
    Event, Fixture, Plan, REPLACE, config, custom, entry, seeds, up_to, variable,
};
use fltmgr_sys::*;
use fltsim::filesystem::Personality;
use fltsim::verifier::Rule;
use fltsim::{ContextKind, Fault, Policies, WindowsVersion};

const KINDS: [FLT_CONTEXT_TYPE; 7] = [
    FLT_VOLUME_CONTEXT,
    FLT_INSTANCE_CONTEXT,
    FLT_FILE_CONTEXT,
    FLT_STREAM_CONTEXT,
    FLT_STREAMHANDLE_CONTEXT,
    FLT_TRANSACTION_CONTEXT,
    FLT_SECTION_CONTEXT,
];

/// A filter with these entries.
fn with_entries(seed: u64, entries: &[FLT_CONTEXT_REGISTRATION]) -> Fixture {
    Fixture::new(seed, Plan::new().contexts(entries))
}

/// Asserts that stream contexts of these sizes can be allocated and of those cannot.
fn expect_sizes(fixture: &Fixture, served: &[SIZE_T], refused: &[SIZE_T]) {
    for size in served {
        let ctx = fixture.try_allocate(FLT_STREAM_CONTEXT, *size, PagedPool);
        let ctx = ctx.unwrap_or_else(|status| panic!("{size}: {status:#010x}"));
        assert_eq!(fixture.rc(&ctx), 1);
        assert_eq!(ctx.cleanups(), 0);
        ctx.release();
    }
    for size in refused {
        let status = fixture.try_allocate(FLT_STREAM_CONTEXT, *size, PagedPool);
        let status = status.expect_err("the size is refused");
        assert_eq!(status, STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND, "{size}");
    }
}

/// The entry that served a context shows in how much room it has.
fn capacity_for(fixture: &Fixture, size: SIZE_T) -> usize {
    let ctx = fixture.try_allocate(FLT_STREAM_CONTEXT, size, PagedPool);
    let ctx = ctx.unwrap_or_else(|status| panic!("{size}: {status:#010x}"));
    let info = fixture.machine.context(ctx.pointer()).expect("a context");
    assert_eq!(info.size as SIZE_T, size);
    ctx.release();
    info.capacity
}

/// The driver does not start, because `FltRegisterFilter` fails.
fn expect_refusal(seed: u64, plan: Plan, status: NTSTATUS) {
    let result = Fixture::try_with(config(seed), Personality::ntfs(), plan);
    let Err((refused, machine)) = result else {
        panic!("the registration was accepted");
    };
    assert_eq!(refused, status);
    let outcome = machine.finish();
    let rules: Vec<Rule> = outcome
        .violations
        .iter()
        .map(|report| report.rule)
        .collect();
    assert_eq!(rules, [Rule::V21]);
    assert!(outcome.leaks.is_empty());
    assert!(outcome.bugchecks.is_empty());
}

/// Allocating from a matching entry gives one reference, and no cleanup yet.
#[test]
fn c_001_allocating_the_registered_size_gives_one_reference() {
    seeds(|seed| {
        let fixture = with_entries(seed, &[entry(FLT_STREAM_CONTEXT, 64)]);
        let ctx = fixture.try_allocate(FLT_STREAM_CONTEXT, 64, PagedPool);
        let ctx = ctx.expect("allocated");
        assert_eq!(fixture.rc(&ctx), 1);
        assert_eq!(ctx.cleanups(), 0);
        let info = fixture.machine.context(ctx.pointer()).expect("a context");
        assert_eq!(info.kind, ContextKind::Stream);
        assert_eq!(info.pool, PagedPool);
        assert!(!info.linked);
        ctx.release();
        fixture.finish();
    });
}

/// A kind without an entry cannot be allocated.
#[test]
fn c_002_a_kind_without_an_entry_is_not_found() {
    seeds(|seed| {
        let fixture = with_entries(seed, &[entry(FLT_STREAM_CONTEXT, 64)]);
        let status = fixture.try_allocate(FLT_FILE_CONTEXT, 64, PagedPool);
        let status = status.expect_err("no entry");
        assert_eq!(status, STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND);
        fixture.finish();
    });
}

/// A filter may register no contexts at all, and then has none.
#[test]
fn c_003_without_context_registration_every_kind_is_not_found() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::new());
        assert_eq!(fixture.registered(), STATUS_SUCCESS);
        for kind in KINDS {
            let status = fixture.try_allocate(kind, 64, NonPagedPoolNx);
            let status = status.expect_err("no entry");
            assert_eq!(status, STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND);
        }
        fixture.finish();
    });
}

/// An exact entry does not serve a larger size.
#[test]
fn c_004_a_larger_size_than_an_exact_entry_is_not_found() {
    seeds(|seed| {
        let fixture = with_entries(seed, &[entry(FLT_STREAM_CONTEXT, 64)]);
        expect_sizes(&fixture, &[64], &[65, 128, 65535]);
        fixture.finish();
    });
}

/// An exact entry does not serve a smaller size either.
#[test]
fn c_005_a_smaller_size_than_an_exact_entry_is_not_found() {
    seeds(|seed| {
        let fixture = with_entries(seed, &[entry(FLT_STREAM_CONTEXT, 64)]);
        expect_sizes(&fixture, &[64], &[63, 1]);
        fixture.finish();
    });
}

/// Without the exact match a smaller size is served.
#[test]
fn c_006_a_smaller_size_is_served_without_exact_match() {
    seeds(|seed| {
        let fixture = with_entries(seed, &[up_to(FLT_STREAM_CONTEXT, 64)]);
        expect_sizes(&fixture, &[63, 1, 64], &[]);
        fixture.finish();
    });
}

/// Without the exact match a larger size is still refused.
#[test]
fn c_007_a_larger_size_is_not_found_without_exact_match() {
    seeds(|seed| {
        let fixture = with_entries(seed, &[up_to(FLT_STREAM_CONTEXT, 64)]);
        expect_sizes(&fixture, &[64], &[65]);
        fixture.finish();
    });
}

/// The smallest entry that fits serves a request, wherever it stands in the array.
#[test]
fn c_008_the_smallest_fitting_entry_is_used_whatever_the_array_order() {
    seeds(|seed| {
        let entries = [
            up_to(FLT_STREAM_CONTEXT, 128),
            up_to(FLT_STREAM_CONTEXT, 32),
            up_to(FLT_STREAM_CONTEXT, 64),
        ];
        let fixture = with_entries(seed, &entries);
        assert_eq!(capacity_for(&fixture, 40), 64);
        assert_eq!(capacity_for(&fixture, 32), 32);
        assert_eq!(capacity_for(&fixture, 65), 128);
        fixture.finish();
    });
}

/// What no fixed entry serves comes from the variable-size entry.
#[test]
fn c_009_the_variable_entry_serves_what_no_fixed_entry_does() {
    seeds(|seed| {
        let entries = [variable(FLT_STREAM_CONTEXT), entry(FLT_STREAM_CONTEXT, 64)];
        let fixture = with_entries(seed, &entries);
        assert_eq!(capacity_for(&fixture, 40), 40);
        assert_eq!(capacity_for(&fixture, 64), 64);
        expect_sizes(&fixture, &[40, 64, 65], &[]);
        fixture.finish();
    });
}

/// A variable-size entry serves every size up to the maximum.
#[test]
fn c_010_a_variable_entry_serves_every_size() {
    seeds(|seed| {
        let fixture = with_entries(seed, &[variable(FLT_STREAM_CONTEXT)]);
        let sizes = [1, 2, 7, 8, 9, 63, 64, 4095, 4096, 32768, 65534, 65535];
        expect_sizes(&fixture, &sizes, &[]);
        fixture.finish();
    });
}

/// No context is larger than 65535 bytes.
#[test]
fn c_011_more_than_65535_bytes_is_an_invalid_buffer_size() {
    seeds(|seed| {
        let fixture = with_entries(seed, &[variable(FLT_STREAM_CONTEXT)]);
        for size in [65536, 1 << 20, 1 << 32, SIZE_T::MAX] {
            let status = fixture.try_allocate(FLT_STREAM_CONTEXT, size, PagedPool);
            let status = status.expect_err("too large");
            assert_eq!(status, STATUS_INVALID_BUFFER_SIZE, "{size:#x}");
        }
        fixture.finish();
    });
}

/// No context has 0 bytes.
#[test]
fn c_012_zero_bytes_is_an_invalid_parameter() {
    seeds(|seed| {
        let fixture = with_entries(seed, &[variable(FLT_STREAM_CONTEXT)]);
        let status = fixture.try_allocate(FLT_STREAM_CONTEXT, 0, PagedPool);
        assert_eq!(status.expect_err("empty"), STATUS_INVALID_PARAMETER);
        fixture.finish();
    });
}

/// A context type is exactly one of the seven bits.
#[test]
fn c_013_a_type_that_is_not_one_kind_is_an_invalid_parameter() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        for kind in [0, 0x80, 0x0003, FLT_ALL_CONTEXTS, 0x8000, FLT_CONTEXT_END] {
            let status = fixture.try_allocate(kind, 64, NonPagedPoolNx);
            let status = status.expect_err("not a kind");
            assert_eq!(status, STATUS_INVALID_PARAMETER, "{kind:#x}");
        }
        fixture.finish();
    });
}

/// When pool is exhausted there is no context, and nothing to clean up.
#[test]
fn c_014_exhausted_pool_gives_insufficient_resources() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let before = fixture.machine.statistics().contexts;
        fixture.machine.inject(Fault::Allocation { after: 0 });
        let status = fixture.try_allocate(FLT_STREAM_CONTEXT, 64, PagedPool);
        let status = status.expect_err("no pool");
        assert_eq!(status, STATUS_INSUFFICIENT_RESOURCES);
        assert_eq!(fixture.machine.statistics().contexts, before);
        let cleaned = |event: &Event| matches!(event, Event::Cleanup { .. });
        assert!(!fixture.events().iter().any(cleaned));
        // The fault is over: the next one succeeds.
        fixture.allocate(FLT_STREAM_CONTEXT).release();
        fixture.finish();
    });
}

/// The allocate callback is asked once, for the header too, with the caller's pool and kind.
#[test]
fn c_015_the_allocate_callback_gets_size_with_header_pool_and_kind() {
    seeds(|seed| {
        let fixture = with_entries(seed, &[custom(FLT_STREAM_CONTEXT, 0)]);
        for (asked, asked_pool) in [(100, PagedPool), (1, NonPagedPoolNx), (65535, NonPagedPool)] {
            let before = fixture.events().len();
            let ctx = fixture.try_allocate(FLT_STREAM_CONTEXT, asked, asked_pool);
            let ctx = ctx.expect("allocated");
            let events = fixture.events().split_off(before);
            let [
                Event::Allocate {
                    pool,
                    size,
                    kind,
                    memory,
                },
            ] = events[..]
            else {
                panic!("{events:?}");
            };
            assert_eq!(pool, asked_pool);
            assert!(size > asked, "{size} has room for {asked} and a header");
            assert_eq!(kind, FLT_STREAM_CONTEXT);
            let payload = ctx.pointer() as SIZE_T;
            let memory = memory as SIZE_T;
            assert!(payload > memory, "the header comes first");
            assert!(payload - memory + asked <= size);
            ctx.release();
        }
        fixture.finish();
    });
}

/// An allocate callback without memory fails the allocation, and nothing is freed.
#[test]
fn c_016_a_null_from_the_allocate_callback_is_insufficient_resources() {
    seeds(|seed| {
        let plan = Plan::new().contexts(&[custom(FLT_STREAM_CONTEXT, 0)]);
        let fixture = Fixture::new(seed, plan.out_of_memory());
        let status = fixture.try_allocate(FLT_STREAM_CONTEXT, 100, PagedPool);
        let status = status.expect_err("no memory");
        assert_eq!(status, STATUS_INSUFFICIENT_RESOURCES);
        let unexpected =
            |event: &Event| matches!(event, Event::Free { .. } | Event::Cleanup { .. });
        assert!(!fixture.events().iter().any(unexpected));
        fixture.finish();
    });
}

/// At the last reference come cleanup and then free, each once, free with the original pointer.
#[test]
fn c_017_cleanup_comes_before_free_and_free_gets_the_allocated_pointer() {
    seeds(|seed| {
        let fixture = with_entries(seed, &[custom(FLT_STREAM_CONTEXT, 0)]);
        let before = fixture.events().len();
        let ctx = fixture.try_allocate(FLT_STREAM_CONTEXT, 100, PagedPool);
        let ctx = ctx.expect("allocated");
        ctx.release();
        let events = fixture.events().split_off(before);
        let [
            Event::Allocate { memory, .. },
            Event::Cleanup { kind, context },
            Event::Free {
                memory: freed,
                kind: freed_kind,
            },
        ] = events[..]
        else {
            panic!("{events:?}");
        };
        assert_eq!(kind, FLT_STREAM_CONTEXT);
        assert_eq!(context, ctx.pointer() as usize);
        assert_eq!(freed, memory);
        assert_eq!(freed_kind, FLT_STREAM_CONTEXT);
        fixture.finish();
    });
}

/// With an allocate callback the registered size does not matter.
#[test]
fn c_018_the_size_of_an_entry_with_an_allocate_callback_is_ignored() {
    seeds(|seed| {
        let fixture = with_entries(seed, &[custom(FLT_STREAM_CONTEXT, 8)]);
        expect_sizes(&fixture, &[4096, 8, 1, 65535], &[]);
        fixture.finish();
    });
}

/// An entry with an allocate callback must be the only one of its kind.
#[test]
fn c_019_an_allocate_callback_and_a_second_entry_of_the_kind_are_refused() {
    seeds(|seed| {
        let status = STATUS_FLT_INVALID_CONTEXT_REGISTRATION;
        let one = custom(FLT_STREAM_CONTEXT, 0);
        let two = entry(FLT_STREAM_CONTEXT, 64);
        expect_refusal(seed, Plan::new().contexts(&[one, two]), status);
        expect_refusal(seed, Plan::new().contexts(&[two, one]), status);
        // Of another kind it may be.
        let other = entry(FLT_FILE_CONTEXT, 64);
        with_entries(seed, &[one, other]).finish();
    });
}

/// Of identical entries all but the first are ignored.
#[test]
fn c_020_identical_entries_count_once() {
    seeds(|seed| {
        let one = entry(FLT_STREAM_CONTEXT, 64);
        let fixture = with_entries(seed, &[one, one]);
        assert_eq!(fixture.registered(), STATUS_SUCCESS);
        expect_sizes(&fixture, &[64], &[63, 65]);
        fixture.finish();
    });
}

/// Two different variable-size entries of one kind are refused.
#[test]
fn c_021_two_variable_entries_of_a_kind_are_refused() {
    seeds(|seed| {
        let one = variable(FLT_STREAM_CONTEXT);
        let two = FLT_CONTEXT_REGISTRATION {
            PoolTag: u32::from_le_bytes(*b"Othr"),
            ..one
        };
        let plan = Plan::new().contexts(&[one, two]);
        expect_refusal(seed, plan, STATUS_FLT_INVALID_CONTEXT_REGISTRATION);
    });
}

/// A kind has at most three fixed sizes, and one variable-size entry besides.
#[test]
fn c_022_four_fixed_sizes_are_refused_and_three_with_a_variable_one_are_not() {
    seeds(|seed| {
        let fixed = |size| entry(FLT_STREAM_CONTEXT, size);
        let four = [fixed(16), fixed(32), fixed(64), fixed(128)];
        let plan = Plan::new().contexts(&four);
        expect_refusal(seed, plan, STATUS_FLT_INVALID_CONTEXT_REGISTRATION);
        let allowed = [
            fixed(16),
            fixed(32),
            fixed(64),
            variable(FLT_STREAM_CONTEXT),
        ];
        let fixture = with_entries(seed, &allowed);
        expect_sizes(&fixture, &[16, 32, 64, 65], &[]);
        fixture.finish();
    });
}

/// An entry without a pool tag is refused, or gets a default one, as the knob says.
#[test]
fn c_023_a_missing_pool_tag_is_refused_unless_the_header_is_believed() {
    seeds(|seed| {
        let untagged = FLT_CONTEXT_REGISTRATION {
            PoolTag: 0,
            ..entry(FLT_STREAM_CONTEXT, 64)
        };
        let plan = || Plan::new().contexts(&[untagged]);
        expect_refusal(seed, plan(), STATUS_FLT_INVALID_CONTEXT_REGISTRATION);
        let header = config(seed).policies(Policies {
            pool_tag_required: false,
            ..Policies::default()
        });
        let fixture = Fixture::with(header, Personality::ntfs(), plan());
        expect_sizes(&fixture, &[64], &[]);
        fixture.finish();
        // With an allocate callback no tag is needed.
        let custom = FLT_CONTEXT_REGISTRATION {
            PoolTag: 0,
            ..custom(FLT_STREAM_CONTEXT, 0)
        };
        with_entries(seed, &[custom]).finish();
    });
}

/// Only the major version of the registration structure must match.
#[test]
fn c_024_another_major_version_is_refused_and_every_minor_one_accepted() {
    seeds(|seed| {
        for version in [0x0100, 0x0300] {
            let plan = Plan::all_kinds().version(version);
            expect_refusal(seed, plan, STATUS_INVALID_PARAMETER);
        }
        for version in 0x0200..=0x0203 {
            let fixture = Fixture::new(seed, Plan::all_kinds().version(version));
            assert_eq!(fixture.registered(), STATUS_SUCCESS);
            fixture.finish();
        }
    });
}

/// Fresh memory of a fixed-size context may be what an earlier context left; poison shows it.
#[test]
fn c_025_a_recycled_fixed_size_context_is_not_zeroed() {
    seeds(|seed| {
        let plan = || Plan::new().contexts(&[entry(FLT_STREAM_CONTEXT, 64)]);
        let bytes_after_recycling = |poison| {
            let config = config(seed).poison(poison);
            let fixture = Fixture::with(config, Personality::ntfs(), plan());
            let first = fixture.allocate(FLT_STREAM_CONTEXT);
            first.fill(0xA7);
            first.release();
            let second = fixture.allocate(FLT_STREAM_CONTEXT);
            assert_eq!(
                second.pointer(),
                first.pointer(),
                "the block was used before"
            );
            let bytes = second.read();
            second.release();
            fixture.finish();
            bytes
        };
        assert_eq!(bytes_after_recycling(false), [0xA7; 64]);
        let poisoned = bytes_after_recycling(true);
        assert!(poisoned.iter().all(|byte| *byte != 0 && *byte != 0xA7));
    });
}

/// From Windows 11 on a variable-size context is zeroed; before, it is not.
#[test]
fn c_026_variable_size_contexts_are_zeroed_from_windows_11_on() {
    seeds(|seed| {
        let bytes = |windows| {
            let plan = Plan::new().contexts(&[variable(FLT_STREAM_CONTEXT)]);
            let config = config(seed).windows(windows);
            let fixture = Fixture::with(config, Personality::ntfs(), plan);
            let ctx = fixture.try_allocate(FLT_STREAM_CONTEXT, 1000, PagedPool);
            let ctx = ctx.expect("allocated");
            let bytes = ctx.read();
            ctx.release();
            fixture.finish();
            bytes
        };
        assert_eq!(bytes(WindowsVersion::Windows11), [0; 1000]);
        let before = bytes(WindowsVersion::Windows10);
        assert!(before.iter().all(|byte| *byte != 0), "poison");
    });
}

/// A volume context cannot lie in paged pool.
#[test]
fn c_027_a_paged_volume_context_is_a_violation_and_refused() {
    seeds(|seed| {
        let entries = [entry(FLT_VOLUME_CONTEXT, 64)];
        let fixture = with_entries(seed, &entries);
        let status = fixture.try_allocate(FLT_VOLUME_CONTEXT, 64, PagedPool);
        let status = status.expect_err("paged");
        assert_eq!(status, STATUS_FLT_MUST_BE_NONPAGED_POOL);
        fixture.finish_with(&[Rule::V8]);
        let lenient = config(seed).policies(Policies {
            paged_volume_context: STATUS_SUCCESS,
            ..Policies::default()
        });
        let plan = Plan::new().contexts(&entries);
        let fixture = Fixture::with(lenient, Personality::ntfs(), plan);
        let ctx = fixture.try_allocate(FLT_VOLUME_CONTEXT, 64, PagedPool);
        ctx.expect("served from nonpaged pool").release();
        fixture.finish_with(&[Rule::V8]);
    });
}

/// A volume context may lie in either nonpaged pool.
#[test]
fn c_028_a_volume_context_comes_from_either_nonpaged_pool() {
    seeds(|seed| {
        let fixture = with_entries(seed, &[entry(FLT_VOLUME_CONTEXT, 64)]);
        for pool in [NonPagedPool, NonPagedPoolNx] {
            let ctx = fixture.try_allocate(FLT_VOLUME_CONTEXT, 64, pool);
            let ctx = ctx.expect("allocated");
            assert_eq!(fixture.rc(&ctx), 1);
            let slot = fixture.on_volume();
            assert_eq!(slot.set_only(REPLACE, ctx.pointer()), STATUS_SUCCESS);
            ctx.release();
        }
        fixture.finish();
    });
}

/// Once the filter is unregistering it gets no more contexts.
#[test]
fn c_029_a_filter_that_unregisters_gets_no_contexts() {
    seeds(|seed| {
        let plan = Plan::all_kinds().on_teardown_start(|call| {
            let filter = call.objects.Filter;
            for kind in [FLT_VOLUME_CONTEXT, FLT_STREAM_CONTEXT] {
                let (status, context) =
                    crate::harness::allocate_context(filter, kind, 64, NonPagedPoolNx);
                assert_eq!(status, STATUS_FLT_DELETING_OBJECT);
                assert!(context.is_null());
            }
        });
        let fixture = Fixture::new(seed, plan);
        let unloading = FLTFL_INSTANCE_TEARDOWN_FILTER_UNLOAD;
        fixture.allocate(FLT_STREAM_CONTEXT).release();
        assert_eq!(fixture.unload(fltsim::Unload::Normal), Ok(()));
        let started = Event::TeardownStart { reason: unloading };
        assert!(fixture.events().contains(&started));
        fixture.finish();
    });
}

/// A section context is allocated like any other, if the registration is of Windows 8.
#[test]
fn c_030_a_section_context_can_be_allocated_from_a_windows_8_registration() {
    seeds(|seed| {
        let plan = || {
            Plan::new()
                .version(FLT_REGISTRATION_VERSION_0203)
                .contexts(&[entry(FLT_SECTION_CONTEXT, 64)])
        };
        let fixture = Fixture::new(seed, plan());
        for pool in [PagedPool, NonPagedPoolNx] {
            let ctx = fixture.try_allocate(FLT_SECTION_CONTEXT, 64, pool);
            let ctx = ctx.expect("allocated");
            assert_eq!(fixture.rc(&ctx), 1);
            assert_eq!(ctx.cleanups(), 0);
            let info = fixture.machine.context(ctx.pointer()).expect("a context");
            assert_eq!(info.kind, ContextKind::Section);
            assert_eq!(info.pool, pool);
            assert!(!info.linked);
            ctx.release();
            assert_eq!(ctx.cleanups(), 1);
        }
        fixture.finish();
        let older = plan().version(FLT_REGISTRATION_VERSION_0202);
        expect_refusal(seed, older, STATUS_FLT_INVALID_CONTEXT_REGISTRATION);
    });
}
