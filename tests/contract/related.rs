//! C-072 to C-089: getting contexts, one at a time and several at once.

use crate::calls::{create_section, register_for_data_scan};
use crate::harness::{
    Ctx, Fixture, Plan, Slot, config, get_contexts, get_contexts_ex, release_contexts,
    release_contexts_ex, seeds, supports_file, supports_file_ex, supports_stream,
    supports_stream_handle,
};
use crate::support::{Notes, all_seven};
use fltmgr_sys::*;
use fltsim::Handle;
use fltsim::filesystem::Personality;
use fltsim::verifier::{CONTEXT_OVER_RELEASE, Rule};
use std::ptr::null_mut;

/// The members in the order of the kinds.
fn members(contexts: &FLT_RELATED_CONTEXTS) -> [PFLT_CONTEXT; 6] {
    [
        contexts.VolumeContext,
        contexts.InstanceContext,
        contexts.FileContext,
        contexts.StreamContext,
        contexts.StreamHandleContext,
        contexts.TransactionContext,
    ]
}

/// The members in the order of the kinds.
fn members_ex(contexts: &FLT_RELATED_CONTEXTS_EX) -> [PFLT_CONTEXT; 7] {
    [
        contexts.VolumeContext,
        contexts.InstanceContext,
        contexts.FileContext,
        contexts.StreamContext,
        contexts.StreamHandleContext,
        contexts.TransactionContext,
        contexts.SectionContext,
    ]
}

/// What several rows start from: an instance and a stream context, and no file context.
fn instance_and_stream(fixture: &Fixture) -> (Handle, Ctx, Ctx) {
    let file = fixture.open("\\a");
    let instance = fixture.linked(fixture.on_instance());
    let stream = fixture.linked(fixture.on_stream(&file));
    (file, instance, stream)
}

const INSTANCE_STREAM_FILE: FLT_CONTEXT_TYPE =
    FLT_INSTANCE_CONTEXT | FLT_STREAM_CONTEXT | FLT_FILE_CONTEXT;

/// A get finds the linked context and adds a reference to it.
#[test]
fn c_072_get_returns_the_context_with_a_reference() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let existing = fixture.linked(fixture.on_stream(&file));
        let got = fixture.on_stream(&file).get();
        assert_eq!(got, (STATUS_SUCCESS, existing.pointer()));
        assert_eq!(fixture.rc(&existing), 2);
        existing.release();
        assert_eq!(fixture.rc(&existing), 1);
        drop(file);
        fixture.finish();
    });
}

/// An empty slot is not found, and the result is overwritten with NULL.
#[test]
fn c_073_get_from_an_empty_slot_writes_null() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let got = fixture.on_stream(&file).get();
        assert_eq!(got, (STATUS_NOT_FOUND, NULL_CONTEXT));
        drop(file);
        fixture.finish();
    });
}

/// A paging file supports no context of its own, and asking changes no count.
#[test]
fn c_074_get_on_a_paging_file_is_not_supported() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let (file, instance, stream) = instance_and_stream(&fixture);
        let paging = fixture.open_paging_file();
        for slot in [
            fixture.on_file(&paging),
            fixture.on_stream(&paging),
            fixture.on_stream_handle(&paging),
        ] {
            assert_eq!(slot.get().0, STATUS_NOT_SUPPORTED, "{slot:?}");
        }
        assert_eq!(fixture.rc(&instance), 1);
        assert_eq!(fixture.rc(&stream), 1);
        drop((file, paging));
        fixture.finish();
    });
}

/// An instance always supports a context, so an empty slot is not found.
#[test]
fn c_075_get_of_a_missing_instance_context_is_not_found() {
    seeds(|seed| {
        for personality in [Personality::ntfs(), Personality::no_contexts()] {
            let fixture = Fixture::with(config(seed), personality, Plan::all_kinds());
            let got = fixture.on_instance().get();
            assert_eq!(got, (STATUS_NOT_FOUND, NULL_CONTEXT));
            fixture.finish();
        }
    });
}

/// Where a file system has one stream a file, file contexts are emulated.
#[test]
fn c_076_file_contexts_are_emulated_on_fat() {
    seeds(|seed| {
        let fixture = Fixture::with(config(seed), Personality::fat(), Plan::all_kinds());
        let (one, two) = (fixture.open("\\a"), fixture.open("\\a"));
        let existing = fixture.linked(fixture.on_file(&one));
        let got = fixture.on_file(&two).get();
        assert_eq!(got, (STATUS_SUCCESS, existing.pointer()));
        assert_eq!(fixture.rc(&existing), 2);
        existing.release();
        drop((one, two));
        fixture.finish();
    });
}

/// Emulated file contexts are only supported if there is an instance to keep them.
#[test]
fn c_077_fat_supports_file_contexts_through_an_instance_only() {
    seeds(|seed| {
        let fixture = Fixture::with(config(seed), Personality::fat(), Plan::all_kinds());
        let file = fixture.open("\\a");
        let object = file.file_object();
        assert!(!supports_file(object));
        assert!(supports_file_ex(object, fixture.instance()));
        assert!(!supports_file_ex(object, null_mut()));
        assert!(supports_stream(object));
        drop(file);
        fixture.finish();
    });
}

/// No kind is supported on a paging file.
#[test]
fn c_078_a_paging_file_supports_nothing() {
    seeds(|seed| {
        for personality in [Personality::ntfs(), Personality::fat()] {
            let fixture = Fixture::with(config(seed), personality, Plan::all_kinds());
            let file = fixture.open_paging_file();
            let object = file.file_object();
            assert!(!supports_file(object));
            assert!(!supports_file_ex(object, fixture.instance()));
            assert!(!supports_stream(object));
            assert!(!supports_stream_handle(object));
            drop(file);
            fixture.finish();
        }
    });
}

/// Several at once: those that exist with a reference each, NULL for the rest.
#[test]
fn c_079_get_contexts_fills_in_what_exists() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let (file, instance, stream) = instance_and_stream(&fixture);
        let objects = fixture.objects(Some(&file), None);
        let contexts = get_contexts(&objects, INSTANCE_STREAM_FILE);
        let null = NULL_CONTEXT;
        assert_eq!(
            members(&contexts),
            [null, instance.pointer(), null, stream.pointer(), null, null]
        );
        assert_eq!(fixture.rc(&instance), 2);
        assert_eq!(fixture.rc(&stream), 2);
        instance.release();
        stream.release();
        drop(file);
        fixture.finish();
    });
}

/// What was not asked for is NULL and keeps its count.
#[test]
fn c_080_get_contexts_leaves_out_what_was_not_asked_for() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let (file, ..) = instance_and_stream(&fixture);
        let volume = fixture.linked(fixture.on_volume());
        let objects = fixture.objects(Some(&file), None);
        let mut contexts = get_contexts(&objects, INSTANCE_STREAM_FILE);
        assert!(contexts.VolumeContext.is_null());
        assert_eq!(fixture.rc(&volume), 1);
        release_contexts(&mut contexts);
        drop(file);
        fixture.finish();
    });
}

/// One call releases all members and clears them, so a second one has nothing to do.
#[test]
fn c_081_release_contexts_clears_every_member() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let (file, instance, stream) = instance_and_stream(&fixture);
        let objects = fixture.objects(Some(&file), None);
        let mut contexts = get_contexts(&objects, INSTANCE_STREAM_FILE);
        for _ in 0..2 {
            release_contexts(&mut contexts);
            assert_eq!(members(&contexts), [NULL_CONTEXT; 6]);
            assert_eq!(fixture.rc(&instance), 1);
            assert_eq!(fixture.rc(&stream), 1);
        }
        drop(file);
        fixture.finish();
    });
}

/// A member may be released by itself if it is cleared then.
#[test]
fn c_082_a_member_that_was_released_and_cleared_is_not_released_again() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let (file, instance, stream) = instance_and_stream(&fixture);
        let objects = fixture.objects(Some(&file), None);
        let mut contexts = get_contexts(&objects, INSTANCE_STREAM_FILE);
        instance.release();
        contexts.InstanceContext = NULL_CONTEXT;
        release_contexts(&mut contexts);
        assert_eq!(fixture.rc(&instance), 1);
        assert_eq!(fixture.rc(&stream), 1);
        drop(file);
        fixture.finish();
    });
}

/// A member that was released by itself but not cleared is released once too often.
#[test]
fn c_083_a_member_that_was_released_and_not_cleared_is_over_released() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let (file, instance, stream) = instance_and_stream(&fixture);
        let objects = fixture.objects(Some(&file), None);
        let mut contexts = get_contexts(&objects, INSTANCE_STREAM_FILE);
        instance.release();
        assert_eq!(fixture.rc(&instance), 1);
        release_contexts(&mut contexts);
        fixture.expect_bugcheck(CONTEXT_OVER_RELEASE, instance.pointer());
        assert_eq!(fixture.rc(&stream), 1);
        drop(file);
        fixture.finish_with(&[Rule::V1]);
    });
}

/// A stream with some data, and the section context of an open section on it, which has the
/// allocation's reference and the link's.
fn scanned(fixture: &Fixture) -> (Handle, Ctx, crate::calls::Section) {
    let file = fixture.open("\\a");
    assert_eq!(file.write(0, b"data"), Ok(4));
    assert_eq!(register_for_data_scan(fixture.instance()), STATUS_SUCCESS);
    let ctx = fixture.allocate(FLT_SECTION_CONTEXT);
    let (status, section) = create_section(fixture.instance(), file.file_object(), ctx.pointer());
    assert_eq!(status, STATUS_SUCCESS);
    assert_eq!(fixture.rc(&ctx), 2);
    (file, ctx, section)
}

/// Without a member for it, no section context is looked for.
#[test]
fn c_084_get_contexts_takes_no_reference_on_a_section_context() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, all_seven());
        let (file, ctx, section) = scanned(&fixture);
        let objects = fixture.objects(Some(&file), None);
        let mut contexts = get_contexts(&objects, FLT_ALL_CONTEXTS);
        assert_eq!(members(&contexts), [NULL_CONTEXT; 6]);
        assert_eq!(fixture.rc(&ctx), 2);
        release_contexts(&mut contexts);
        assert_eq!(fixture.rc(&ctx), 2);
        section.close(&fixture, &ctx);
        ctx.release();
        assert_eq!(ctx.cleanups(), 1);
        drop(file);
        fixture.finish();
    });
}

/// The extended form has a member for section contexts.
#[test]
fn c_085_get_contexts_ex_returns_the_section_context() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, all_seven());
        let (file, ctx, section) = scanned(&fixture);
        let objects = fixture.objects(Some(&file), None);
        let (status, mut contexts) = get_contexts_ex(&objects, FLT_ALL_CONTEXTS);
        assert_eq!(status, STATUS_SUCCESS);
        let mut expected = [NULL_CONTEXT; 7];
        expected[6] = ctx.pointer();
        assert_eq!(members_ex(&contexts), expected);
        assert_eq!(fixture.rc(&ctx), 3);
        release_contexts_ex(&mut contexts);
        assert_eq!(members_ex(&contexts), [NULL_CONTEXT; 7]);
        assert_eq!(fixture.rc(&ctx), 2);
        section.close(&fixture, &ctx);
        ctx.release();
        drop(file);
        fixture.finish();
    });
}

/// Nothing found is a success too: every member has to be looked at.
#[test]
fn c_086_get_contexts_ex_succeeds_without_contexts() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, all_seven());
        let file = fixture.open("\\a");
        let objects = fixture.objects(Some(&file), None);
        for mask in 1..=FLT_ALL_CONTEXTS {
            let (status, contexts) = get_contexts_ex(&objects, mask);
            assert_eq!(status, STATUS_SUCCESS, "{mask:#x}");
            assert_eq!(members_ex(&contexts), [NULL_CONTEXT; 7], "{mask:#x}");
        }
        drop(file);
        fixture.finish();
    });
}

/// A mask with a bit that is no kind is refused before anything is referenced.
#[test]
fn c_087_get_contexts_ex_refuses_an_unknown_kind() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, all_seven());
        let (file, instance, stream) = instance_and_stream(&fixture);
        let objects = fixture.objects(Some(&file), None);
        for mask in [0x8000, 0x80, 0x8000 | FLT_ALL_CONTEXTS] {
            let (status, _) = get_contexts_ex(&objects, mask);
            assert_eq!(status, STATUS_INVALID_PARAMETER, "{mask:#x}");
            assert_eq!(fixture.rc(&instance), 1);
            assert_eq!(fixture.rc(&stream), 1);
        }
        drop(file);
        fixture.finish();
    });
}

/// Outside a transaction there is no transaction context, even if one exists somewhere.
#[test]
fn c_088_get_contexts_outside_a_transaction_finds_no_transaction_context() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, Plan::all_kinds());
        let file = fixture.open("\\a");
        let transaction = fixture.machine.begin_transaction();
        let ctx = fixture.linked(fixture.on_transaction(&transaction));
        let outside = fixture.objects(Some(&file), None);
        let contexts = get_contexts(&outside, FLT_TRANSACTION_CONTEXT);
        assert_eq!(members(&contexts), [NULL_CONTEXT; 6]);
        assert_eq!(fixture.rc(&ctx), 1);

        let inside = fixture.objects(Some(&file), Some(&transaction));
        let mut contexts = get_contexts(&inside, FLT_TRANSACTION_CONTEXT);
        assert_eq!(ctx, contexts.TransactionContext);
        release_contexts(&mut contexts);
        transaction.rollback();
        drop(file);
        fixture.finish();
    });
}

/// The instance context can still be got when teardown starts.
#[test]
fn c_089_the_instance_context_is_there_in_teardown_start() {
    seeds(|seed| {
        let notes = Notes::new();
        let found = notes.clone();
        let plan = Plan::all_kinds().on_teardown_start(move |call| {
            let (status, context) = Slot::Instance(call.objects.Instance).get();
            found.push((status, context as usize));
            crate::harness::release_context(context);
        });
        let fixture = Fixture::new(seed, plan);
        let ctx = fixture.linked(fixture.on_instance());
        assert_eq!(
            fixture.machine.detach(&fixture.driver, &fixture.volume),
            Ok(())
        );
        assert_eq!(notes.one(), (STATUS_SUCCESS, ctx.pointer() as usize));
        assert_eq!(ctx.cleanups(), 1);
        fixture.finish();
    });
}
