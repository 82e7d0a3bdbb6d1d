//! Operations: payloads from pre to post, on every path.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    thread,
};

use fltctx::{
    operation::parameters::{Disposition, FileInformationClass},
    prelude::*,
};
use fltsim::{IoOptions, OpenOptions, filesystem::Personality};

use crate::{
    below::{Stage, enter, wait_for},
    probe::{Bench, Hooks, Id, OnHandle, OnStream, Probe, SEEDS, drops},
};

/// A context allocated in pre-create is set in post-create.
#[test]
fn allocate_in_pre_create_and_set_in_post_create() {
    for seed in SEEDS {
        let set = Arc::new(AtomicU64::new(0));
        let bench = Bench::with(seed, Personality::ntfs(), {
            let set = Arc::clone(&set);
            Hooks {
                pre_create: Some(Arc::new(|create: &mut Pre<'_, Probe, Create>| {
                    assert_eq!(create.create_parameters().disposition, Disposition::OpenIf);
                    PreResult::callback(create.filter().allocate(OnHandle::default()).ok())
                })),
                post_create: Some(Arc::new(
                    move |create: &mut Post<'_, Probe, Create>, context| {
                        let context: Unique<OnHandle> = context.unwrap();
                        set.store(context.id(), Ordering::Relaxed);
                        let file = create.opened().expect("the create succeeded");
                        drop(file.slot::<OnHandle>().set(context).unwrap());
                    },
                )),
                ..Hooks::default()
            }
        });
        let file = bench.open(r"\a");
        let got = bench.on(&file, |op| op.slot::<OnHandle>().get().unwrap().unwrap());
        assert_eq!(got.id(), set.load(Ordering::Relaxed));
        assert_eq!(bench.count(&got), 2);
        let id = got.id();
        drop(got);
        assert_eq!(drops(id), 0);
        drop(file);
        assert_eq!(drops(id), 1, "the context goes with the file object");
        bench.finish();
    }
}

/// When the create fails, the context allocated for it is dropped and nothing is opened.
#[test]
fn a_failed_create_drops_the_payload() {
    let allocated = Arc::new(AtomicU64::new(0));
    let bench = Bench::with(0, Personality::ntfs(), {
        let allocated = Arc::clone(&allocated);
        Hooks {
            pre_create: Some(Arc::new(move |create: &mut Pre<'_, Probe, Create>| {
                let context = create.filter().allocate(OnHandle::default()).unwrap();
                allocated.store(context.id(), Ordering::Relaxed);
                PreResult::callback(Some(context))
            })),
            post_create: Some(Arc::new(|create: &mut Post<'_, Probe, Create>, context| {
                assert!(create.opened().is_none());
                assert_eq!(create.status(), Status::OBJECT_NAME_NOT_FOUND);
                drop(context);
            })),
            ..Hooks::default()
        }
    });
    let error = bench.volume.open(r"\missing", OpenOptions::read()).err();
    assert_eq!(error, Some(Status::OBJECT_NAME_NOT_FOUND.into_raw()));
    assert_eq!(drops(allocated.load(Ordering::Relaxed)), 1);
    bench.finish();
}

/// A pre-operation callback can end the operation.
#[test]
fn a_completed_operation_goes_no_further() {
    let bench = Bench::new(0);
    bench.hook(Hooks {
        pre_create: Some(Arc::new(|_: &mut Pre<'_, Probe, Create>| {
            PreResult::complete(Status::ACCESS_DENIED, 0)
        })),
        ..Hooks::default()
    });
    let error = bench.volume.open(r"\a", OpenOptions::create()).err();
    assert_eq!(error, Some(Status::ACCESS_DENIED.into_raw()));
    bench.finish();
}

/// Counts the bytes of reads with a stream context as the payload.
fn counting(bytes: &Arc<AtomicU64>, posts: &Arc<AtomicU32>, synchronize: bool) -> Hooks {
    let bytes = Arc::clone(bytes);
    let posts = Arc::clone(posts);
    Hooks {
        pre_read: Some(Arc::new(move |read: &mut Pre<'_, Probe, Read>| {
            let context = read
                .slot::<OnStream>()
                .get_or_insert_with(OnStream::default)
                .unwrap();
            if synchronize {
                read.synchronize(Some(context))
            } else {
                PreResult::callback(Some(context))
            }
        })),
        post_read: Some(Arc::new(
            move |read: &mut Post<'_, Probe, Read>, context| {
                let context: Shared<OnStream> = context.unwrap();
                assert_eq!(drops(context.id()), 0, "readable at any IRQL");
                posts.fetch_add(1, Ordering::Relaxed);
                bytes.fetch_add(read.information() as u64, Ordering::Relaxed);
            },
        )),
        ..Hooks::default()
    }
}

/// A payload reaches the post-operation callback wherever and however the read completes.
#[test]
fn a_payload_reaches_every_completion() {
    for seed in SEEDS {
        for synchronize in [false, true] {
            let bytes = Arc::new(AtomicU64::new(0));
            let posts = Arc::new(AtomicU32::new(0));
            let bench = Bench::new(seed);
            let file = bench.open(r"\a");
            file.write(0, &[7; 100]).unwrap();
            bench.hook(counting(&bytes, &posts, synchronize));
            let mut buffer = [0; 60];
            assert_eq!(file.read(0, &mut buffer), Ok(60));
            assert_eq!(file.read_fast(0, &mut buffer), Ok(60));
            assert_eq!(file.read_with(0, &mut buffer, IoOptions::worker()), Ok(60));
            assert_eq!(
                file.read_with(60, &mut buffer, IoOptions::dispatch()),
                Ok(40)
            );
            if !synchronize {
                assert_eq!(file.read_paging(0, &mut buffer), Ok(60));
            }
            let expected = if synchronize { (4, 220) } else { (5, 280) };
            assert_eq!(
                (posts.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed)),
                expected
            );
            drop(file);
            bench.finish();
        }
    }
}

/// A read that its caller does not wait for is not waited for by the filter either: it gets a plain
/// call back, wherever the read completes.
#[test]
fn an_asynchronous_read_is_not_synchronized() {
    for asynchronous in [false, true] {
        let threads = Arc::new(Mutex::new(Vec::new()));
        let bench = Bench::new(0);
        let options = OpenOptions::create();
        let options = if asynchronous {
            options.asynchronous()
        } else {
            options
        };
        let file = bench.volume.open(r"\a", options).unwrap();
        file.write(0, &[7; 60]).unwrap();
        let (before, after) = (Arc::clone(&threads), Arc::clone(&threads));
        bench.hook(Hooks {
            pre_read: Some(Arc::new(move |read: &mut Pre<'_, Probe, Read>| {
                before.lock().unwrap().push(thread::current().id());
                read.synchronize(None)
            })),
            post_read: Some(Arc::new(move |_: &mut Post<'_, Probe, Read>, payload| {
                assert!(payload.is_none());
                after.lock().unwrap().push(thread::current().id());
            })),
            ..Hooks::default()
        });
        let read = file.read_with(0, &mut [0; 60], IoOptions::worker());
        assert_eq!(read, Ok(60));
        let threads: [_; 2] = threads.lock().unwrap()[..].try_into().unwrap();
        assert_eq!(threads[0] != threads[1], asynchronous);
        bench.hook(Hooks::default());
        drop(file);
        bench.finish();
    }
}

/// A decision that was made for a read and is handed out for a create does not synchronise that.
#[test]
fn a_create_is_never_synchronized() {
    let kept = Arc::new(Mutex::new(None));
    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    file.write(0, &[7; 60]).unwrap();
    let (put, take) = (Arc::clone(&kept), Arc::clone(&kept));
    bench.hook(Hooks {
        pre_read: Some(Arc::new(move |read: &mut Pre<'_, Probe, Read>| {
            let decision: PreResult<Option<Unique<OnHandle>>> = read.synchronize(None);
            *put.lock().unwrap() = Some(decision);
            PreResult::no_callback()
        })),
        pre_create: Some(Arc::new(move |_: &mut Pre<'_, Probe, Create>| {
            take.lock().unwrap().take().unwrap()
        })),
        ..Hooks::default()
    });
    assert_eq!(file.read(0, &mut [0; 60]), Ok(60));
    drop(bench.open(r"\b"));
    assert!(kept.lock().unwrap().is_none());
    bench.hook(Hooks::default());
    drop(file);
    bench.finish();
}

/// An operation whose instance is detached while it is on its way is drained: the library drops
/// the payload, and the driver's post-operation callback does not run.
#[test]
fn draining_drops_the_payload() {
    for seed in SEEDS {
        let bytes = Arc::new(AtomicU64::new(0));
        let posts = Arc::new(AtomicU32::new(0));
        let bench = Bench::new(seed);
        let file = bench.open(r"\a");
        file.write(0, &[7; 100]).unwrap();
        let below = crate::below::load(&bench.machine);
        let context = bench.on(&file, |op| {
            op.slot::<OnStream>()
                .get_or_insert_with(OnStream::default)
                .unwrap()
        });
        bench.hook(counting(&bytes, &posts, false));
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| file.read(0, &mut [0; 60]));
            wait_for(Stage::Held);
            assert_eq!(bench.count(&context), 3, "the stream's, ours, the payload");
            bench.machine.detach(&bench.driver, &bench.volume).unwrap();
            assert_eq!(bench.count(&context), 1, "ours");
            enter(Stage::Released);
            assert_eq!(reader.join().unwrap(), Ok(60));
        });
        assert_eq!(posts.load(Ordering::Relaxed), 0);
        let id = context.id();
        drop(context);
        assert_eq!(drops(id), 1);
        drop(file);
        below.unload(fltsim::Unload::Normal).unwrap();
        bench.finish();
    }
}

/// Counts where a safe post-operation ends up: run, or refused.
fn counting_writes(run: &Arc<AtomicU32>, refused: &Arc<AtomicU32>) -> Hooks {
    let (run, refused) = (Arc::clone(run), Arc::clone(refused));
    Hooks {
        pre_write: Some(Arc::new(|write: &mut Pre<'_, Probe, Write>| {
            let slot = write.slot::<OnStream>();
            PreResult::callback(slot.get_or_insert_with(OnStream::default).ok())
        })),
        safe_write: Some(Arc::new(
            move |write: &mut SafePost<'_, Probe, Write>, context| {
                let context: Shared<OnStream> = context.unwrap();
                // Getting is legal here, whatever IRQL the write completed at.
                let (got,) = write.contexts::<(OnStream,)>();
                assert!(got.unwrap().ptr_eq(&context));
                assert!(!write.file_object().is_directory().unwrap());
                run.fetch_add(1, Ordering::Relaxed);
            },
        )),
        refused_write: Some(Arc::new(
            move |write: &mut Post<'_, Probe, Write>, context| {
                assert_eq!(write.parameters().length, 60);
                assert_eq!(drops(context.unwrap().id()), 0);
                refused.fetch_add(1, Ordering::Relaxed);
            },
        )),
        ..Hooks::default()
    }
}

/// A safe post-operation of a write runs if that completes at a low IRQL. At `DISPATCH_LEVEL` it is
/// refused, paging I/O or not: waiting for a worker thread there could be waiting for oneself. The
/// driver gets the payload all the same.
#[test]
fn a_safe_post_operation_runs_where_it_is_safe() {
    for seed in SEEDS {
        let (run, refused) = (Arc::default(), Arc::default());
        let bench = Bench::with(seed, Personality::ntfs(), counting_writes(&run, &refused));
        let file = bench.open(r"\a");
        assert_eq!(file.write(0, &[1; 60]), Ok(60));
        for options in [
            IoOptions::worker(),
            IoOptions::default().fast_io(),
            IoOptions::default().paging(),
            IoOptions::worker().paging(),
        ] {
            assert_eq!(file.write_with(0, &[2; 60], options), Ok(60), "{options:?}");
        }
        bench.machine.settle();
        assert_eq!(run.load(Ordering::Relaxed), 5);
        assert_eq!(refused.load(Ordering::Relaxed), 0);
        for options in [IoOptions::dispatch(), IoOptions::dispatch().paging()] {
            assert_eq!(file.write_with(0, &[3; 60], options), Ok(60), "{options:?}");
        }
        bench.machine.settle();
        assert_eq!(run.load(Ordering::Relaxed), 5);
        assert_eq!(refused.load(Ordering::Relaxed), 2);
        let posted = bench.machine.calls("FltDoCompletionProcessingWhenSafe");
        assert_eq!(posted, 0);
        drop(file);
        bench.finish();
    }
}

/// A safe post-operation of what the file system completes by itself is posted to a worker thread.
#[test]
fn a_safe_post_operation_is_posted() {
    for seed in SEEDS {
        let run = Arc::new(AtomicU32::new(0));
        let bench = Bench::new(seed);
        let file = bench.open(r"\a");
        bench.hook(Hooks {
            pre_set: Some(Arc::new(|set: &mut Pre<'_, Probe, SetInformation>| {
                let slot = set.slot::<OnStream>();
                PreResult::callback(slot.get_or_insert_with(OnStream::default).ok())
            })),
            safe_set: Some({
                let run = Arc::clone(&run);
                Arc::new(
                    move |set: &mut SafePost<'_, Probe, SetInformation>, context| {
                        let (got,) = set.contexts::<(OnStream,)>();
                        assert!(got.unwrap().ptr_eq(&context.unwrap()));
                        run.fetch_add(1, Ordering::Relaxed);
                    },
                )
            }),
            ..Hooks::default()
        });
        for (posted, options) in [IoOptions::worker(), IoOptions::dispatch()]
            .into_iter()
            .enumerate()
        {
            let size = 100_i64.to_le_bytes();
            let class = FileInformationClass::END_OF_FILE.0;
            file.set_information_with(class, &size, options).unwrap();
            bench.machine.settle();
            assert_eq!(run.swap(0, Ordering::Relaxed), 1, "{options:?}");
            let calls = bench.machine.calls("FltDoCompletionProcessingWhenSafe");
            assert_eq!(calls, posted as u64);
        }
        bench.hook(Hooks::default());
        drop(file);
        bench.finish();
    }
}

/// Draining drops the payload of a safe post-operation too.
#[test]
fn draining_drops_the_payload_of_a_safe_post_operation() {
    let (run, refused) = (Arc::default(), Arc::default());
    let bench = Bench::with(0, Personality::ntfs(), counting_writes(&run, &refused));
    let file = bench.open(r"\a");
    let context = bench.on(&file, |op| {
        op.slot::<OnStream>()
            .get_or_insert_with(OnStream::default)
            .unwrap()
    });
    let below = crate::below::load(&bench.machine);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| file.write(0, &[0; 60]));
        wait_for(Stage::Held);
        assert_eq!(bench.count(&context), 3, "the stream's, ours, the payload");
        bench.machine.detach(&bench.driver, &bench.volume).unwrap();
        assert_eq!(bench.count(&context), 1, "ours");
        enter(Stage::Released);
        assert_eq!(writer.join().unwrap(), Ok(60));
    });
    assert_eq!(run.load(Ordering::Relaxed), 0);
    assert_eq!(refused.load(Ordering::Relaxed), 0);
    drop((context, file));
    below.unload(fltsim::Unload::Normal).unwrap();
    bench.finish();
}
