//! C-154 to C-164: section contexts and data scans.

use crate::calls::{
    Section, SectionArguments, close_section, create_section, create_section_with,
    register_for_data_scan,
};
use crate::harness::{Ctx, Event, Fixture, Plan, Slot, UNWRITTEN, config, entry, seeds};
use crate::support::{Notes, all_seven, is_linked};
use fltmgr_sys::*;
use fltsim::filesystem::Personality;
use fltsim::verifier::{Rule, Severity};
use fltsim::{ByteRange, ContextKind, Fault, Handle, OpenOptions, Unload, WindowsVersion};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

const DATA: &[u8] = b"some data";

/// A fixture whose instance is registered for data scans, and a file with [`DATA`].
fn registered(seed: u64, plan: Plan) -> (Fixture, Handle) {
    let fixture = Fixture::new(seed, plan);
    assert_eq!(register_for_data_scan(fixture.instance()), STATUS_SUCCESS);
    let file = fixture.open("\\a");
    assert_eq!(file.write(0, DATA), Ok(DATA.len()));
    (fixture, file)
}

/// As [`registered`]; the file has an open section, with its context: one reference is the
/// allocation's, the other the link's.
fn scanned(seed: u64, plan: Plan) -> (Fixture, Handle, Ctx, Section) {
    let (fixture, file) = registered(seed, plan);
    let ctx = fixture.allocate(FLT_SECTION_CONTEXT);
    let (status, section) = create(&fixture, &file, &ctx);
    assert_eq!(status, STATUS_SUCCESS);
    assert_eq!(fixture.rc(&ctx), 2);
    (fixture, file, ctx, section)
}

fn create(fixture: &Fixture, file: &Handle, ctx: &Ctx) -> (NTSTATUS, Section) {
    create_section(fixture.instance(), file.file_object(), ctx.pointer())
}

fn on_section(fixture: &Fixture, file: &Handle) -> Slot {
    Slot::Section(fixture.instance(), file.file_object())
}

/// A create with these arguments fails with this status, and leaves nothing behind.
fn expect_failure(
    fixture: &Fixture,
    file: &Handle,
    ctx: &Ctx,
    arguments: SectionArguments,
    expected: NTSTATUS,
) {
    let (instance, object) = (fixture.instance(), file.file_object());
    let (mut handle, mut section) = (null_mut(), null_mut());
    let arguments = SectionArguments {
        handle: &raw mut handle,
        object: &raw mut section,
        ..arguments
    };
    let status = create_section_with(instance, object, ctx.pointer(), arguments);
    assert_eq!(status, expected, "{status:#010x}, not {expected:#010x}");
    assert!(handle.is_null());
    assert!(section.is_null());
    assert_eq!(fixture.rc(ctx), 1);
    assert!(!is_linked(fixture, ctx));
    assert_eq!(ctx.cleanups(), 0);
}

/// The conflicts that the filter was told of, in order.
fn conflicts(fixture: &Fixture) -> Vec<Event> {
    let mut events = fixture.events();
    events.retain(|event| matches!(event, Event::Conflict { .. }));
    events
}

/// Without registering for data scans first there is no section.
#[test]
fn c_154_create_section_without_registering_is_an_invalid_parameter() {
    seeds(|seed| {
        let fixture = Fixture::new(seed, all_seven());
        let file = fixture.open("\\a");
        assert_eq!(file.write(0, DATA), Ok(DATA.len()));
        let ctx = fixture.allocate(FLT_SECTION_CONTEXT);
        let arguments = SectionArguments::new();
        expect_failure(&fixture, &file, &ctx, arguments, STATUS_INVALID_PARAMETER);
        assert_eq!(
            on_section(&fixture, &file).get(),
            (STATUS_NOT_FOUND, NULL_CONTEXT)
        );
        // The context is as good as new.
        assert_eq!(register_for_data_scan(fixture.instance()), STATUS_SUCCESS);
        let (status, section) = create(&fixture, &file, &ctx);
        assert_eq!(status, STATUS_SUCCESS);
        section.close(&fixture, &ctx);
        ctx.release();
        assert_eq!(ctx.cleanups(), 1);
        drop(file);
        fixture.finish();
    });
}

/// A volume that cannot do data scans says so; one that can may be asked more than once.
#[test]
fn c_155_a_volume_without_data_scans_does_not_support_sections() {
    seeds(|seed| {
        let fat = Personality {
            data_scan: false,
            ..Personality::fat()
        };
        let without = [fat, Personality::redirector(), Personality::no_contexts()];
        for personality in without {
            let fixture = Fixture::with(config(seed), personality, all_seven());
            let file = fixture.open("\\a");
            assert_eq!(file.write(0, DATA), Ok(DATA.len()));
            for _ in 0..2 {
                let status = register_for_data_scan(fixture.instance());
                assert_eq!(status, STATUS_NOT_SUPPORTED);
            }
            let got = on_section(&fixture, &file).get();
            assert_eq!(got, (STATUS_NOT_SUPPORTED, NULL_CONTEXT));
            drop(file);
            fixture.finish();
        }
        for personality in [Personality::ntfs(), Personality::fat()] {
            let fixture = Fixture::with(config(seed), personality, all_seven());
            for _ in 0..2 {
                assert_eq!(register_for_data_scan(fixture.instance()), STATUS_SUCCESS);
            }
            fixture.finish();
        }
        // Before Windows 8 no volume can.
        let windows7 = config(seed).windows(WindowsVersion::Windows7);
        let fixture = Fixture::with(windows7, Personality::ntfs(), Plan::new());
        let status = register_for_data_scan(fixture.instance());
        assert_eq!(status, STATUS_NOT_SUPPORTED);
        fixture.finish();
    });
}

/// A successful create links the context to the stream, where every open finds it.
#[test]
fn c_156_create_section_links_the_context_to_the_stream() {
    seeds(|seed| {
        for (protection, attributes) in [
            (PAGE_READONLY, SEC_COMMIT),
            (PAGE_READWRITE, SEC_COMMIT),
            (PAGE_READONLY, SEC_COMMIT | SEC_FILE),
        ] {
            let (fixture, one) = registered(seed, all_seven());
            let two = fixture.open("\\a");
            let ctx = fixture.allocate(FLT_SECTION_CONTEXT);
            let mut section = Section {
                handle: null_mut(),
                object: null_mut(),
            };
            let mut size = LARGE_INTEGER { QuadPart: -1 };
            let arguments = SectionArguments {
                protection,
                attributes,
                handle: &raw mut section.handle,
                object: &raw mut section.object,
                size: &raw mut size,
            };
            let object = one.file_object();
            let instance = fixture.instance();
            let status = create_section_with(instance, object, ctx.pointer(), arguments);
            assert_eq!(status, STATUS_SUCCESS);
            assert!(!section.handle.is_null());
            assert!(!section.object.is_null());
            // SAFETY: the members of the union are views of the same 64 bits.
            let size = unsafe { size.QuadPart };
            assert_eq!(usize::try_from(size), Ok(DATA.len()));
            assert_eq!(fixture.rc(&ctx), 2);
            assert!(is_linked(&fixture, &ctx));

            let later = fixture.open("\\a");
            for file in [&one, &two, &later] {
                let got = on_section(&fixture, file).get();
                assert_eq!(got, (STATUS_SUCCESS, ctx.pointer()));
                assert_eq!(fixture.rc(&ctx), 3);
                ctx.release();
            }
            // Another stream has none, and another stream of the same file neither.
            for path in ["\\b", "\\a:stream"] {
                let other = fixture.open(path);
                let got = on_section(&fixture, &other).get();
                assert_eq!(got, (STATUS_NOT_FOUND, NULL_CONTEXT), "{path}");
            }
            section.close(&fixture, &ctx);
            assert_eq!(fixture.rc(&ctx), 1);
            ctx.release();
            assert_eq!(ctx.cleanups(), 1);
            drop((one, two, later));
            fixture.finish();
        }
    });
}

/// An instance has one section a stream, and a second create does not say which.
#[test]
fn c_157_a_second_section_on_the_stream_is_already_defined() {
    seeds(|seed| {
        let (fixture, file, first, section) = scanned(seed, all_seven());
        let second = fixture.allocate(FLT_SECTION_CONTEXT);
        let arguments = SectionArguments::new();
        let defined = STATUS_FLT_CONTEXT_ALREADY_DEFINED;
        expect_failure(&fixture, &file, &second, arguments, defined);
        let again = fixture.open("\\a");
        expect_failure(&fixture, &again, &second, arguments, defined);
        assert_eq!(fixture.rc(&first), 2);

        // The open context itself cannot be used again either.
        let (status, _) = create(&fixture, &file, &first);
        assert_eq!(status, STATUS_INVALID_PARAMETER_3);
        assert_eq!(fixture.rc(&first), 2);

        // Another filter has a slot of its own.
        let plan = Plan::new()
            .named("other", "100000")
            .contexts(&[entry(FLT_SECTION_CONTEXT, 64)]);
        let other = fixture.second_filter(plan);
        let instance = other.instance_on(&fixture.volume);
        assert_eq!(register_for_data_scan(instance), STATUS_SUCCESS);
        let theirs = other.allocate(FLT_SECTION_CONTEXT);
        let object = file.file_object();
        let (status, their_section) = create_section(instance, object, theirs.pointer());
        assert_eq!(status, STATUS_SUCCESS);
        assert_eq!(other.rc(&theirs), 2);
        their_section.close(&fixture, &theirs);
        theirs.release();
        assert_eq!(theirs.cleanups(), 1);
        assert_eq!(other.unload(Unload::Normal), Ok(()));
        other.check();

        // Once the first is closed the second fits.
        section.close(&fixture, &first);
        let (status, section) = create(&fixture, &file, &second);
        assert_eq!(status, STATUS_SUCCESS);
        assert_eq!(fixture.rc(&second), 2);
        section.close(&fixture, &second);
        for ctx in [first, second] {
            ctx.release();
            assert_eq!(ctx.cleanups(), 1);
        }
        drop((file, again));
        fixture.finish();
    });
}

/// What cannot be scanned, and what cannot be asked for, each has its status.
#[test]
fn c_158_create_section_says_why_it_fails() {
    seeds(|seed| {
        let (fixture, file) = registered(seed, all_seven());
        let ctx = fixture.allocate(FLT_SECTION_CONTEXT);
        let right = SectionArguments::new();

        let empty = fixture.open("\\empty");
        expect_failure(&fixture, &empty, &ctx, right, STATUS_END_OF_FILE);
        let directory = OpenOptions::directory().disposition(FILE_OPEN_IF);
        let directory = fixture.open_with("\\directory", directory);
        let status = STATUS_FILE_IS_A_DIRECTORY;
        expect_failure(&fixture, &directory, &ctx, right, status);

        // PAGE_NOACCESS, PAGE_WRITECOPY, PAGE_EXECUTE, PAGE_EXECUTE_READ, two at once, nonsense.
        let both = PAGE_READONLY | PAGE_READWRITE;
        for protection in [0, 0x01, 0x08, 0x10, 0x20, both, ULONG::MAX] {
            let arguments = SectionArguments {
                protection,
                ..right
            };
            let status = STATUS_INVALID_PARAMETER_8;
            expect_failure(&fixture, &file, &ctx, arguments, status);
        }
        // SEC_IMAGE and SEC_RESERVE, SEC_FILE alone.
        for attributes in [0, SEC_FILE, 0x0100_0000, 0x0400_0000] {
            let arguments = SectionArguments {
                attributes,
                ..right
            };
            let status = STATUS_INVALID_PARAMETER_9;
            expect_failure(&fixture, &file, &ctx, arguments, status);
        }
        // What a file system or the memory manager may say.
        for status in [
            STATUS_FILE_LOCK_CONFLICT,
            STATUS_INSUFFICIENT_RESOURCES,
            STATUS_INVALID_FILE_FOR_SECTION,
            STATUS_PRIVILEGE_NOT_HELD,
        ] {
            let fault = Fault::Section { status, after: 0 };
            fixture.machine.inject(fault);
            expect_failure(&fixture, &file, &ctx, right, status);
        }
        // What a lock of a part of the file does.
        let range = ByteRange::shared(0, 1);
        assert_eq!(file.lock(range), Ok(()));
        let status = STATUS_FILE_LOCK_CONFLICT;
        expect_failure(&fixture, &file, &ctx, right, status);
        assert_eq!(file.unlock(range), Ok(()));
        ctx.release();
        assert_eq!(ctx.cleanups(), 1);
        drop((file, empty, directory));
        fixture.finish();
    });
}

/// A close drops the link, and nothing else.
#[test]
fn c_159_close_section_drops_the_link() {
    seeds(|seed| {
        let (fixture, file, ctx, section) = scanned(seed, all_seven());
        assert_eq!(close_section(ctx.pointer()), STATUS_SUCCESS);
        assert_eq!(fixture.rc(&ctx), 1);
        assert!(!is_linked(&fixture, &ctx));
        assert_eq!(
            on_section(&fixture, &file).get(),
            (STATUS_NOT_FOUND, NULL_CONTEXT)
        );
        assert_eq!(ctx.cleanups(), 0);
        ctx.release();
        assert_eq!(ctx.cleanups(), 1);
        let cleanup = ctx.cleanup().expect("it was called");
        assert_eq!(cleanup.kind, FLT_SECTION_CONTEXT);
        section.give_back(&fixture);

        // A context that was released before the close lives by its link alone.
        let ctx = fixture.allocate(FLT_SECTION_CONTEXT);
        let (status, section) = create(&fixture, &file, &ctx);
        assert_eq!(status, STATUS_SUCCESS);
        ctx.release();
        assert_eq!(fixture.rc(&ctx), 1);
        assert_eq!(ctx.cleanups(), 0);
        section.close(&fixture, &ctx);
        assert_eq!(ctx.cleanups(), 1);
        drop(file);
        fixture.finish();
    });
}

/// A section is closed once, and only if it was created.
#[test]
fn c_160_close_section_twice_is_not_found_and_never_created_is_invalid() {
    seeds(|seed| {
        let (fixture, file, ctx, section) = scanned(seed, all_seven());
        section.close(&fixture, &ctx);
        assert_eq!(fixture.rules(), []);
        assert_eq!(close_section(ctx.pointer()), STATUS_NOT_FOUND);
        assert_eq!(fixture.rc(&ctx), 1);
        assert_eq!(fixture.rules(), [Rule::V17]);
        // A closed context has had its turn.
        let (status, _) = create(&fixture, &file, &ctx);
        assert_eq!(status, STATUS_INVALID_PARAMETER_3);
        assert_eq!(fixture.rc(&ctx), 1);
        ctx.release();
        assert_eq!(ctx.cleanups(), 1);

        let never = fixture.allocate(FLT_SECTION_CONTEXT);
        let invalid = STATUS_INVALID_PARAMETER;
        assert_eq!(close_section(never.pointer()), invalid);
        assert_eq!(fixture.rc(&never), 1);
        // A create that failed is none.
        let status = STATUS_INSUFFICIENT_RESOURCES;
        fixture.machine.inject(Fault::Section { status, after: 0 });
        let arguments = SectionArguments::new();
        expect_failure(&fixture, &file, &never, arguments, status);
        assert_eq!(close_section(never.pointer()), invalid);
        assert_eq!(fixture.rc(&never), 1);
        never.release();
        assert_eq!(never.cleanups(), 1);
        drop(file);
        fixture.finish_with(&[Rule::V17]);
    });
}

/// A context that no section was created with is only released.
#[test]
fn c_161_a_section_context_that_was_never_created_is_only_released() {
    seeds(|seed| {
        for register in [false, true] {
            let fixture = Fixture::new(seed, all_seven());
            if register {
                assert_eq!(register_for_data_scan(fixture.instance()), STATUS_SUCCESS);
            }
            let ctx = fixture.allocate(FLT_SECTION_CONTEXT);
            ctx.release();
            assert_eq!(ctx.cleanups(), 1);
            assert_eq!(fixture.rc(&ctx), 0);
            fixture.finish();
        }
    });
}

/// After a failed create the context keeps its instance, until it is released.
#[test]
fn c_162_a_context_that_is_not_released_after_a_failed_create_keeps_the_instance() {
    let failed = |seed| {
        let (fixture, file) = registered(seed, all_seven());
        let bystander = fixture.linked(fixture.on_instance());
        let ctx = fixture.allocate(FLT_SECTION_CONTEXT);
        let status = STATUS_INSUFFICIENT_RESOURCES;
        fixture.machine.inject(Fault::Section { status, after: 0 });
        let arguments = SectionArguments::new();
        expect_failure(&fixture, &file, &ctx, arguments, status);
        let detached = fixture.machine.detach(&fixture.driver, &fixture.volume);
        assert_eq!(detached, Ok(()));
        fixture.machine.settle();
        // The teardown is over, and yet the instance is there.
        assert_eq!(fixture.instance_count(&fixture.volume), 0);
        assert_eq!(fixture.rc(&bystander), 1);
        assert_eq!(bystander.cleanups(), 0);
        drop(file);
        (fixture, ctx, bystander)
    };
    seeds(|seed| {
        let (fixture, ctx, bystander) = failed(seed);
        ctx.release();
        assert_eq!(ctx.cleanups(), 1);
        assert_eq!(bystander.cleanups(), 1);
        fixture.finish();
    });
    // And if nobody ever releases it, the unload reports the context and the instance.
    seeds(|seed| {
        let (fixture, ctx, _) = failed(seed);
        assert_eq!(fixture.unload(Unload::Normal), Ok(()));
        let leaks: Vec<_> = fixture
            .reports()
            .into_iter()
            .filter_map(|report| match report.severity {
                Severity::Leak(leak) => Some((report.rule, leak.object, leak.kind, leak.count)),
                _ => None,
            })
            .collect();
        let context = (Rule::V4, "context", Some(ContextKind::Section), 1);
        assert!(leaks.contains(&context), "{leaks:?}");
        let instance = leaks.iter().find(|leak| leak.1 == "instance");
        assert_eq!(instance, Some(&(Rule::V20, "instance", None, 1)));
        assert_eq!(ctx.cleanups(), 0);
        fixture.finish_with(&[Rule::V4, Rule::V20]);
    });
}

/// Where a create writes its results, to be seen while it runs.
#[derive(Debug)]
struct Places {
    handle: AtomicPtr<c_void>,
    object: AtomicPtr<c_void>,
}

/// The conflict may be told before the create has returned: the context is known by then, the
/// section is not.
#[test]
fn c_163_a_conflict_during_create_comes_before_the_results() {
    /// What the callback got and found: instance, context, what a get returned, the two places.
    type Found = (usize, usize, (NTSTATUS, usize), [usize; 2]);
    seeds(|seed| {
        let places = Arc::new(Places {
            handle: AtomicPtr::new(UNWRITTEN),
            object: AtomicPtr::new(UNWRITTEN),
        });
        let notes: Notes<Found> = Notes::new();
        let object = Arc::new(AtomicPtr::new(null_mut::<FILE_OBJECT>()));
        let plan = {
            let (places, notes, object) = (places.clone(), notes.clone(), object.clone());
            all_seven().on_conflict(move |conflict| {
                let slot = Slot::Section(conflict.instance, object.load(Ordering::SeqCst));
                let (status, got) = slot.get();
                let written = [&places.handle, &places.object]
                    .map(|place| place.load(Ordering::SeqCst) as usize);
                notes.push((
                    conflict.instance as usize,
                    conflict.context as usize,
                    (status, got as usize),
                    written,
                ));
                crate::harness::release_context(got);
            })
        };
        let (fixture, file) = registered(seed, plan);
        object.store(file.file_object(), Ordering::SeqCst);
        let ctx = fixture.allocate(FLT_SECTION_CONTEXT);
        fixture.machine.inject(Fault::SectionConflict { after: 0 });
        let arguments = SectionArguments {
            handle: places.handle.as_ptr(),
            object: places.object.as_ptr(),
            ..SectionArguments::new()
        };
        let instance = fixture.instance();
        let status = create_section_with(instance, file.file_object(), ctx.pointer(), arguments);
        assert_eq!(status, STATUS_SUCCESS);
        fixture.check();
        let context = ctx.pointer() as usize;
        assert_eq!(
            notes.one(),
            (
                instance as usize,
                context,
                (STATUS_SUCCESS, context),
                [UNWRITTEN as usize; 2],
            )
        );
        let major = IRP_MJ_WRITE;
        assert_eq!(conflicts(&fixture), [Event::Conflict { context, major }]);
        let section = Section {
            handle: places.handle.load(Ordering::SeqCst),
            object: places.object.load(Ordering::SeqCst),
        };
        for written in [section.handle, section.object] {
            assert!(!written.is_null());
            assert_ne!(written, UNWRITTEN);
        }
        assert_eq!(fixture.rc(&ctx), 2);
        section.close(&fixture, &ctx);
        ctx.release();
        assert_eq!(ctx.cleanups(), 1);
        drop(file);
        fixture.finish();
    });
}

/// A conflict is told while the section is open, and not any more once it is closed.
#[test]
fn c_164_after_close_section_no_conflict_is_told() {
    seeds(|seed| {
        let plan = all_seven().on_conflict(|_| {});
        let (fixture, file, ctx, section) = scanned(seed, plan);
        let writer = fixture.open("\\a");
        let other = fixture.open("\\b");
        let told = |times| {
            let context = ctx.pointer() as usize;
            let major = IRP_MJ_SET_INFORMATION;
            vec![Event::Conflict { context, major }; times]
        };
        assert_eq!(conflicts(&fixture), told(0));
        // Neither a read nor a change of another file is in the way.
        assert_eq!(writer.read(0, &mut [0; 4]), Ok(4));
        assert_eq!(other.set_size(4), Ok(()));
        assert_eq!(conflicts(&fixture), told(0));
        assert_eq!(writer.set_size(4), Ok(()));
        assert_eq!(conflicts(&fixture), told(1));
        assert_eq!(writer.set_size(8), Ok(()));
        assert_eq!(conflicts(&fixture), told(2));
        assert_eq!(fixture.rc(&ctx), 2);

        section.close(&fixture, &ctx);
        for size in [4, 8] {
            assert_eq!(writer.set_size(size), Ok(()));
        }
        assert_eq!(conflicts(&fixture), told(2));
        assert_eq!(fixture.rc(&ctx), 1);
        ctx.release();
        assert_eq!(ctx.cleanups(), 1);
        drop((file, writer, other));
        fixture.finish();
    });
}
