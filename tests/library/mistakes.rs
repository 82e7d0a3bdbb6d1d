//! The mistakes that minifilters make in practice, made with this library.
//!
//! Each test does what the driver of the same number in `docs/mistakes.md` did, as its author would
//! have written it here, and counts what is left. Mistakes that are not among them do not compile
//! or are shown by another test; the table says which.

use std::{
    any::TypeId,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use fltctx::{
    context::SetFailure,
    name::NameFormat,
    operation::{FlushBuffers, Operations},
    prelude::*,
    sys,
};
use fltsim::{ContextKind, Fault, KindStatistics, Machine, OpenOptions};

use crate::probe::{Bench, Hooks, Id, OnHandle, OnInstance, OnStream, OnTransaction, Probe, drops};

/// What the machine counted of the contexts of a kind.
fn counted(machine: &Machine, kind: ContextKind) -> KindStatistics {
    machine.statistics().contexts[&kind]
}

/// A context is allocated before the get, and both early returns forget about it.
#[test]
fn m01_a_failed_get_on_a_paging_file_leaks_nothing() {
    fn get_or_set(op: &Pre<'_, Probe, FlushBuffers>, new: &AtomicU64) -> Result<u64, Status> {
        let slot = op.slot::<OnStream>();
        let context = slot.allocate(OnStream::default())?;
        new.store(context.id(), Ordering::Relaxed);
        if let Some(existing) = slot.get()? {
            return Ok(existing.id());
        }
        Ok(slot.set(context)?.id())
    }

    let bench = Bench::new(0);
    let new = Arc::new(AtomicU64::new(0));
    let attempt = |file| {
        let new = Arc::clone(&new);
        bench.on(file, move |op| get_or_set(op, &new))
    };
    let paging = bench
        .volume
        .open(r"\pagefile.sys", OpenOptions::create().paging_file())
        .unwrap();
    assert_eq!(attempt(&paging), Err(Status::NOT_SUPPORTED));
    assert_eq!(drops(new.load(Ordering::Relaxed)), 1);
    assert_eq!(bench.machine.calls("FltSetStreamContext"), 0);
    let counts = counted(&bench.machine, ContextKind::Stream);
    assert_eq!((counts.allocated, counts.freed), (1, 1));

    let file = bench.open(r"\a");
    let first = attempt(&file).unwrap();
    assert_eq!(first, new.load(Ordering::Relaxed));
    assert_eq!(attempt(&file), Ok(first));
    assert_eq!(drops(new.load(Ordering::Relaxed)), 1, "the one too many");
    assert_eq!(drops(first), 0);
    let counts = counted(&bench.machine, ContextKind::Stream);
    assert_eq!((counts.allocated, counts.freed, counts.live), (3, 2, 1));
    drop((paging, file));
    bench.finish();
}

/// A list takes a reference of its own: of what is put into it, whatever else is at hand.
#[test]
fn m03_what_is_referenced_is_what_is_kept() {
    let bench = Bench::new(0);
    let transaction = bench.machine.begin_transaction();
    let file = bench
        .volume
        .open(r"\a", OpenOptions::create().transaction(&transaction))
        .unwrap();
    let list: Arc<Mutex<Vec<Shared<OnStream>>>> = Arc::default();
    let (stream, changes) = {
        let list = Arc::clone(&list);
        bench.on(&file, move |op| {
            let stream = op
                .slot::<OnStream>()
                .get_or_insert_with(OnStream::default)
                .unwrap();
            let changes = op
                .transaction()
                .unwrap()
                .get_or_enlist_with(Notifications::COMMIT, OnTransaction::default)
                .unwrap();
            // A handle to the transaction's context is of another type: the list does not take it.
            list.lock().unwrap().push(stream.clone());
            (stream, changes)
        })
    };
    let id = stream.id();
    let enlisted = bench.count(&changes);
    assert_eq!(bench.count(&stream), 3, "the stream's, ours, the list's");
    list.lock().unwrap().clear();
    assert_eq!(bench.count(&stream), 2);
    assert_eq!(bench.count(&changes), enlisted);
    drop((stream, changes, file));
    assert_eq!(drops(id), 1);
    transaction.commit().unwrap();
    bench.finish();
}

/// A set fails with a status that nobody thought of; the old context is neither read nor released.
#[test]
fn m06_an_unexpected_status_of_a_set_releases_everything_once() {
    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    let existing = bench.on(&file, |op| {
        op.slot::<OnStream>()
            .get_or_insert_with(OnStream::default)
            .unwrap()
    });
    for replace in [false, true] {
        bench.machine.inject(Fault::Set {
            kind: ContextKind::Stream,
            status: Status::ACCESS_DENIED.into_raw(),
            after: 0,
        });
        let id = bench.on(&file, move |op| {
            let slot = op.slot::<OnStream>();
            let context = slot.allocate(OnStream::default()).unwrap();
            let id = context.id();
            let failure = if replace {
                slot.replace(context).unwrap_err().failure
            } else {
                slot.set(context).unwrap_err().failure
            };
            assert!(matches!(failure, SetFailure::Other(Status::ACCESS_DENIED)));
            id
        });
        assert_eq!(drops(id), 1);
        assert_eq!(bench.count(&existing), 2, "the stream's and ours");
    }
    // The result is ignored altogether: the loser goes, and so does the reference on the winner.
    let id = bench.on(&file, |op| {
        let slot = op.slot::<OnStream>();
        let context = slot.allocate(OnStream::default()).unwrap();
        let id = context.id();
        let _ = slot.set(context);
        id
    });
    assert_eq!(drops(id), 1);
    assert_eq!(bench.count(&existing), 2);
    drop((existing, file));
    bench.finish();
}

/// A set ends with a success that is not zero: the object may have the context, so there is no
/// `&mut` to it any more.
#[test]
fn m06_every_success_of_a_set_attaches() {
    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    for replace in [false, true] {
        bench.machine.inject(Fault::Set {
            kind: ContextKind::Stream,
            status: Status::PENDING.into_raw(),
            after: 0,
        });
        let id = bench.on(&file, move |op| {
            let slot = op.slot::<OnStream>();
            let context = slot.allocate(OnStream::default()).unwrap();
            let id = context.id();
            let set: Result<Shared<OnStream>, _> = if replace {
                slot.replace(context).map(|replaced| {
                    assert!(replaced.old.is_none());
                    replaced.new
                })
            } else {
                slot.set(context)
            };
            assert_eq!(set.expect("a success").id(), id);
            id
        });
        assert_eq!(drops(id), 1);
    }
    drop(file);
    bench.finish();
}

/// Instance set-up cleans up where it fails and at its end.
#[test]
fn m07_a_failed_set_up_releases_its_context_once() {
    let bench = Bench::new(0);
    bench.machine.detach(&bench.driver, &bench.volume).unwrap();
    let id = Arc::new(AtomicU64::new(0));
    bench.hook(Hooks {
        setup: Some({
            let id = Arc::clone(&id);
            Arc::new(move |setup: &mut InstanceSetup<'_, Probe>| {
                let slot = setup.instance().slot::<OnInstance>();
                let context = slot.allocate(OnInstance::default())?;
                id.store(context.at(setup.irql()).id(), Ordering::Relaxed);
                match slot.set(context) {
                    Ok(_attached) => Ok(()),
                    // This releases the context. A second `drop` does not compile.
                    Err(error) => {
                        drop(error);
                        Err(DoNotAttach)
                    }
                }
            })
        }),
        ..Hooks::default()
    });
    bench.machine.inject(Fault::Set {
        kind: ContextKind::Instance,
        status: Status::INSUFFICIENT_RESOURCES.into_raw(),
        after: 0,
    });
    let releases = bench.machine.calls("FltReleaseContext");
    assert_eq!(
        bench.machine.attach(&bench.driver, &bench.volume, None),
        Err(Status::DO_NOT_ATTACH.into_raw())
    );
    assert_eq!(bench.machine.calls("FltReleaseContext"), releases + 1);
    assert_eq!(drops(id.load(Ordering::Relaxed)), 1);
    assert!(bench.volume.instances().is_empty());
    bench.finish();
}

/// A callback gets a context and returns on three ways, none of which releases it.
#[test]
fn m08_a_context_that_was_got_is_released_on_every_way_out() {
    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    file.write(0, &[7; 8]).unwrap();
    let (raw, id) = bench.on(&file, |op| {
        let context = op
            .slot::<OnHandle>()
            .get_or_insert_with(OnHandle::default)
            .unwrap();
        (context.as_raw().expose_provenance(), context.id())
    });
    bench.hook(Hooks {
        pre_read: Some(Arc::new(|read: &mut Pre<'_, Probe, Read>| {
            let Ok(Some(context)) = read.slot::<OnHandle>().get() else {
                return PreResult::no_callback();
            };
            match read.parameters().length {
                1 => PreResult::complete(Status::ACCESS_DENIED, 0),
                2 => PreResult::callback(None),
                _ => {
                    assert_ne!(context.id(), 0);
                    PreResult::no_callback()
                }
            }
        })),
        ..Hooks::default()
    });
    let gets = bench.machine.calls("FltGetStreamHandleContext");
    for length in 1..=3 {
        let _ = file.read(0, &mut [0; 3][..length]);
        assert_eq!(
            bench
                .machine
                .reference_count(core::ptr::with_exposed_provenance_mut(raw)),
            1,
            "the file object's, after a read of {length} bytes"
        );
    }
    assert_eq!(bench.machine.calls("FltGetStreamHandleContext"), gets + 3);
    assert_eq!(drops(id), 0);
    drop(file);
    assert_eq!(drops(id), 1);
    bench.finish();
}

/// Callbacks reach the Filter Manager as what they are: nothing is cast, and a driver that keeps
/// its state where it likes does not compile.
#[test]
fn m09_the_library_writes_the_table_of_callbacks() {
    let mut majors = Vec::new();
    for entry in <Probe as Operations>::TABLE {
        // The types carry the calling convention and the parameters.
        let pre: sys::PFLT_PRE_OPERATION_CALLBACK = entry.PreOperation;
        let post: sys::PFLT_POST_OPERATION_CALLBACK = entry.PostOperation;
        majors.push((entry.MajorFunction, pre.is_some(), post.is_some()));
    }
    assert_eq!(
        majors,
        [
            (sys::IRP_MJ_FLUSH_BUFFERS, true, false),
            (sys::IRP_MJ_CREATE, true, true),
            (sys::IRP_MJ_READ, true, true),
            (sys::IRP_MJ_WRITE, true, true),
            (sys::IRP_MJ_SET_INFORMATION, true, true),
            (sys::IRP_MJ_CLEANUP, true, false),
            (sys::IRP_MJ_OPERATION_END, false, false),
        ]
    );
    // The state exists from before the first callback until after the last one.
    let bench = Bench::new(0);
    assert_eq!(drops(bench.state), 0);
    bench.finish();
}

/// What a context is made of cannot be had: there is no half-made context to clean up.
#[test]
fn m12_a_context_that_cannot_be_filled_is_never_cleaned_up() {
    fn name_of_the_volume() -> Result<u64, Status> {
        Err(Status::BUFFER_TOO_SMALL)
    }

    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    let status = bench.on(&file, |op| {
        op.slot::<OnInstance>()
            .get_or_allocate_with(|filter| {
                let _name = name_of_the_volume()?;
                filter.allocate(OnInstance::default()).map_err(Status::from)
            })
            .unwrap_err()
    });
    assert_eq!(status, Status::BUFFER_TOO_SMALL);
    assert_eq!(bench.machine.calls("FltAllocateContext"), 0);

    // Memory for the context is what fails: the value was never in it and comes back whole.
    bench.machine.inject(Fault::Allocation { after: 0 });
    let id = bench.on(&file, |op| {
        let error = op.filter().allocate(OnInstance::default()).unwrap_err();
        assert_eq!(drops(error.value.id()), 0);
        error.value.id()
    });
    assert_eq!(drops(id), 1);
    assert_eq!(bench.machine.calls("FltReleaseContext"), 0);
    let counts = counted(&bench.machine, ContextKind::Instance);
    assert_eq!((counts.allocated, counts.freed), (0, 0));
    drop(file);
    bench.finish();
}

/// A part of the context cannot be had, and the caller is told that all went well.
#[test]
fn m13_only_a_whole_context_is_ever_seen() {
    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    let track = |name: Result<OnStream, Status>| {
        bench.on(&file, |op| {
            op.slot::<OnStream>()
                .get_or_allocate_with(|filter| filter.allocate(name?).map_err(Status::from))
                .map(|context| context.id())
        })
    };
    assert_eq!(
        track(Err(Status::INSUFFICIENT_RESOURCES)),
        Err(Status::INSUFFICIENT_RESOURCES)
    );
    let nothing = bench.on(&file, |op| op.slot::<OnStream>().get().unwrap().is_none());
    assert!(nothing, "no context without its name");
    let whole = OnStream::default();
    let id = whole.id();
    assert_eq!(track(Ok(whole)), Ok(id));
    let seen = bench.on(&file, |op| {
        op.slot::<OnStream>().get().unwrap().map(|c| c.id())
    });
    assert_eq!(seen, Some(id));
    drop(file);
    assert_eq!(drops(id), 1);
    bench.finish();
}

/// Every operation gets the instance context and none releases it.
#[test]
fn m15_an_instance_context_goes_with_its_instance() {
    const OPERATIONS: u64 = 100;
    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    let id = bench.on(&file, |op| {
        let context = op
            .slot::<OnInstance>()
            .get_or_insert_with(OnInstance::default)
            .unwrap();
        context.at(op.irql()).id()
    });
    let calls = |name| bench.machine.calls(name);
    let before = (calls("FltGetInstanceContext"), calls("FltReleaseContext"));
    for _ in 0..OPERATIONS {
        let got = bench.on(&file, |op| {
            let context = op.slot::<OnInstance>().get().unwrap();
            context.map(|context| context.at(op.irql()).id())
        });
        assert_eq!(got, Some(id));
    }
    assert_eq!(
        (calls("FltGetInstanceContext"), calls("FltReleaseContext")),
        (before.0 + OPERATIONS, before.1 + OPERATIONS)
    );
    assert_eq!(drops(id), 0);
    bench.machine.detach(&bench.driver, &bench.volume).unwrap();
    assert_eq!(drops(id), 1, "gone, although the file is open");
    drop(file);
    bench.finish();
}

/// What stops a machine: a release too many, a use after the last one, a name released twice.
#[test]
fn m19_nothing_is_used_or_released_after_it_is_gone() {
    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    // The context is detached, its stream is gone, the operation is over; the handles are good.
    let (context, name) = bench.on(&file, |op| {
        let slot = op.slot::<OnStream>();
        let context = slot.get_or_insert_with(OnStream::default).unwrap();
        assert!(slot.delete().unwrap());
        assert!(!slot.delete().unwrap());
        context.delete(op.irql());
        (context, op.file_name(NameFormat::Opened).unwrap())
    });
    drop(file);
    assert_eq!(bench.count(&context), 1);
    assert_eq!(drops(context.id()), 0);
    let other = bench.open(r"\b");
    let (name, text) = bench.on(&other, |op| {
        let text = name.final_component(op.irql()).to_string();
        (name, text)
    });
    assert_eq!(text, "a");
    let id = context.id();
    drop((context, name, other));
    assert_eq!(drops(id), 1);
    assert_eq!(bench.machine.calls("FltGetFileNameInformation"), 1);
    assert_eq!(bench.machine.calls("FltReleaseFileNameInformation"), 1);
    assert!(bench.machine.verifier().bugchecks().is_empty());
    bench.finish();
}

/// A handle goes from owner to owner, and each would like to release it.
#[test]
fn m27_a_handle_that_is_handed_on_is_released_once() {
    struct Guard(Shared<OnStream>);

    fn pass_on(guard: Guard) -> Vec<Guard> {
        vec![guard]
    }

    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    let context = bench.on(&file, |op| {
        op.slot::<OnStream>()
            .get_or_insert_with(OnStream::default)
            .unwrap()
    });
    let references = bench.machine.calls("FltReferenceContext");
    let releases = bench.machine.calls("FltReleaseContext");
    let owners = pass_on(Guard(context));
    assert_eq!(bench.count(&owners[0].0), 2, "the stream's and the owner's");
    drop(owners);
    assert_eq!(bench.machine.calls("FltReferenceContext"), references);
    assert_eq!(bench.machine.calls("FltReleaseContext"), releases + 1);
    drop(file);
    bench.finish();
}

/// Filters, instances, volumes and the rest are different types, and none of them is an integer.
#[test]
fn m29_no_two_objects_have_the_same_type() {
    let types = [
        TypeId::of::<sys::PFLT_FILTER>(),
        TypeId::of::<sys::PFLT_INSTANCE>(),
        TypeId::of::<sys::PFLT_VOLUME>(),
        TypeId::of::<sys::PFILE_OBJECT>(),
        TypeId::of::<sys::PKTRANSACTION>(),
        TypeId::of::<sys::HANDLE>(),
        TypeId::of::<isize>(),
    ];
    for (position, one) in types.iter().enumerate() {
        assert!(!types[..position].contains(one), "number {position}");
    }
}

/// C code may return any byte as a `BOOLEAN`, where a Rust `bool` has two values.
#[test]
fn m30_a_boolean_of_the_kernel_is_a_byte() {
    fn returned<R: 'static>(_never_called: impl FnOnce(sys::PFILE_OBJECT) -> R) -> TypeId {
        TypeId::of::<R>()
    }

    let byte = TypeId::of::<u8>();
    // SAFETY: the closures are never called.
    let stream = returned(|file| unsafe { sys::FltSupportsStreamContexts(file) });
    // SAFETY: as above.
    let handle = returned(|file| unsafe { sys::FltSupportsStreamHandleContexts(file) });
    // SAFETY: as above.
    let file = returned(|file| unsafe { sys::FltSupportsFileContexts(file) });
    assert_eq!([stream, handle, file], [byte; 3]);
}
