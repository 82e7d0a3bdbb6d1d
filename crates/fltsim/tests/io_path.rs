//! The callback path: order, statuses, parameters, completion.

mod io_support;

use fltmgr_sys::*;
use fltsim::kernel::irql;
use fltsim::verifier::{Rule, Severity};
use fltsim::{IoOptions, Machine, OpenOptions};
use io_support::*;
use parking_lot::Mutex;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const ALL: [u8; 11] = [
    IRP_MJ_CREATE,
    IRP_MJ_READ,
    IRP_MJ_WRITE,
    IRP_MJ_CLEANUP,
    IRP_MJ_CLOSE,
    IRP_MJ_QUERY_INFORMATION,
    IRP_MJ_SET_INFORMATION,
    IRP_MJ_DIRECTORY_CONTROL,
    IRP_MJ_QUERY_VOLUME_INFORMATION,
    IRP_MJ_FLUSH_BUFFERS,
    IRP_MJ_NETWORK_QUERY_OPEN,
];

fn file(volume: &fltsim::Volume, contents: &[u8]) -> fltsim::Handle {
    let handle = volume.open("\\file", OpenOptions::create()).unwrap();
    handle.write(0, contents).unwrap();
    handle
}

fn rules(machine: &Machine) -> Vec<Rule> {
    let violations = machine.verifier().violations();
    violations.iter().map(|report| report.rule).collect()
}

#[test]
fn altitudes_decide_the_order() {
    let (machine, volume) = machine();
    let log = log();
    let _low = Script::new("low", &log)
        .watch(IRP_MJ_READ)
        .load(&machine, "45000");
    let _high = Script::new("high", &log)
        .watch(IRP_MJ_READ)
        .load(&machine, "385000");
    let _middle = Script::new("middle", &log)
        .watch(IRP_MJ_READ)
        .load(&machine, "100000.5");
    let handle = file(&volume, b"abc");
    take(&log);
    let mut buffer = [0; 8];
    assert_eq!(handle.read(0, &mut buffer), Ok(3));
    assert_eq!(&buffer[..3], b"abc");
    assert_eq!(
        take(&log),
        [
            "high pre read",
            "middle pre read",
            "low pre read",
            "low post read",
            "middle post read",
            "high post read",
        ]
    );
    drop(handle);
    assert!(machine.finish().is_clean());
}

#[test]
fn every_operation_of_a_handle_is_seen_and_counted() {
    let (machine, volume) = machine();
    let log = log();
    let _filter = Script::new("f", &log).watch_all(&ALL).load(&machine, "1");
    take(&log);
    let handle = volume.open("\\a", OpenOptions::create()).unwrap();
    handle.write(0, b"x").unwrap();
    handle.size().unwrap();
    handle.set_size(10).unwrap();
    handle.flush().unwrap();
    handle.rename("\\b", false).unwrap();
    handle.close();
    assert_eq!(
        volume.query_open("\\b").unwrap().FileAttributes & FILE_ATTRIBUTE_DIRECTORY,
        0
    );
    let root = volume.open("\\", OpenOptions::directory()).unwrap();
    assert_eq!(root.names().unwrap(), ["b"]);
    root.close();
    let seen: Vec<String> = take(&log)
        .into_iter()
        .filter(|line| line.contains("pre"))
        .map(|line| line["f pre ".len()..].to_owned())
        .collect();
    assert_eq!(
        seen,
        [
            "create",
            "write",
            "query",
            "set",
            "flush",
            "set",
            "cleanup",
            "close",
            "query-open",
            "create",
            "directory",
            "directory",
            "cleanup",
            "close",
        ]
    );
    let operations = machine.statistics().operations;
    assert_eq!(operations["IRP_MJ_CREATE"], 2);
    assert_eq!(operations["IRP_MJ_SET_INFORMATION"], 2);
    assert_eq!(operations["IRP_MJ_DIRECTORY_CONTROL"], 2);
    assert_eq!(operations["IRP_MJ_CLOSE"], 2);
    assert_eq!(operations["IRP_MJ_NETWORK_QUERY_OPEN"], 1);
    assert!(machine.finish().is_clean());
}

#[test]
fn a_create_shows_its_parameters() {
    let (machine, volume) = machine();
    let log = log();
    let seen = Arc::new(Mutex::new(None));
    let inner = seen.clone();
    let _filter = Script::new("f", &log)
        .pre(IRP_MJ_CREATE, move |data, objects, _| {
            let iopb = iopb(data);
            // SAFETY: this is a create.
            let create = unsafe { iopb.Parameters.Create };
            let access = create.SecurityContext.cast::<u32>().wrapping_add(4);
            // SAFETY: DesiredAccess is the third member of IO_SECURITY_CONTEXT.
            let access = unsafe { access.read() };
            // SAFETY: the file object lives through the callback.
            let object = unsafe { *objects.FileObject };
            *inner.lock() = Some((
                create.Options,
                create.ShareAccess,
                access,
                object.FileName.Length,
                object.Flags & FO_FILE_OPEN,
                iopb.IrpFlags,
            ));
            assert_eq!(iopb.TargetFileObject, objects.FileObject);
            assert_eq!(iopb.TargetInstance, objects.Instance);
            FLT_PREOP_SUCCESS_NO_CALLBACK
        })
        .load(&machine, "1");
    let options = OpenOptions::create().share(FILE_SHARE_READ);
    let handle = volume.open("\\name", options).unwrap();
    let (options, share, access, length, open, irp_flags) = seen.lock().take().unwrap();
    assert_eq!(options >> 24, FILE_OPEN_IF);
    assert_eq!(options & 0xFF_FFFF, FILE_SYNCHRONOUS_IO_NONALERT);
    assert_eq!(share, 1);
    assert_eq!(access, FILE_GENERIC_READ | FILE_GENERIC_WRITE | DELETE);
    assert_eq!(length, 10);
    assert_eq!(open, 0);
    assert_eq!(irp_flags, 0x884);
    // SAFETY: the file object lives while the handle does.
    let object = unsafe { *handle.file_object() };
    assert_ne!(object.Flags & FO_FILE_OPEN, 0);
    assert_eq!(
        (object.ReadAccess, object.WriteAccess, object.DeleteAccess),
        (1, 1, 1)
    );
    assert_eq!((object.SharedRead, object.SharedWrite), (1, 0));
}

#[test]
fn complete_keeps_an_operation_from_what_is_below() {
    let (machine, volume) = machine();
    let log = log();
    let _high = Script::new("high", &log)
        .watch(IRP_MJ_READ)
        .load(&machine, "3");
    let _middle = Script::new("middle", &log)
        .pre(IRP_MJ_READ, |data, _, _| {
            set_status(data, STATUS_ACCESS_DENIED, 0);
            FLT_PREOP_COMPLETE
        })
        .post(IRP_MJ_READ, |_, _, _, _| FLT_POSTOP_FINISHED_PROCESSING)
        .load(&machine, "2");
    let _low = Script::new("low", &log)
        .watch(IRP_MJ_READ)
        .load(&machine, "1");
    let handle = file(&volume, b"abc");
    take(&log);
    assert_eq!(handle.read(0, &mut [0; 8]), Err(STATUS_ACCESS_DENIED));
    assert_eq!(
        take(&log),
        ["high pre read", "middle pre read", "high post read"]
    );
}

#[test]
fn dirty_parameters_reach_the_layers_below_and_are_restored_for_the_post_operation() {
    let (machine, volume) = machine();
    let log = log();
    let lengths = Arc::new(Mutex::new(Vec::new()));
    let change = |dirty: bool, to: u32, lengths: &Arc<Mutex<Vec<u32>>>| {
        let lengths = lengths.clone();
        move |data: PFLT_CALLBACK_DATA, _: &FLT_RELATED_OBJECTS, _: &mut PVOID| {
            // SAFETY: this is a read.
            lengths
                .lock()
                .push(unsafe { iopb(data).Parameters.Read.Length });
            change_iopb(data, |iopb| iopb.Parameters.Read.Length = to);
            if dirty {
                // SAFETY: the callback data of this callback.
                unsafe { FltSetCallbackDataDirty(data) };
                // SAFETY: as above.
                assert_eq!(unsafe { FltIsCallbackDataDirty(data) }, 1);
            }
            FLT_PREOP_SUCCESS_WITH_CALLBACK
        }
    };
    let after = |lengths: &Arc<Mutex<Vec<u32>>>| {
        let lengths = lengths.clone();
        move |data: PFLT_CALLBACK_DATA, _: &FLT_RELATED_OBJECTS, _: PVOID, _: u32| {
            // SAFETY: this is a read.
            lengths
                .lock()
                .push(unsafe { iopb(data).Parameters.Read.Length });
            FLT_POSTOP_FINISHED_PROCESSING
        }
    };
    let _high = Script::new("high", &log)
        .pre(IRP_MJ_READ, change(false, 1, &lengths))
        .post(IRP_MJ_READ, after(&lengths))
        .load(&machine, "2");
    let _low = Script::new("low", &log)
        .pre(IRP_MJ_READ, change(true, 2, &lengths))
        .post(IRP_MJ_READ, after(&lengths))
        .load(&machine, "1");
    let handle = file(&volume, b"abcdef");
    assert_eq!(handle.read(0, &mut [0; 6]), Ok(2));
    assert_eq!(*lengths.lock(), [6, 6, 6, 6]);
}

#[test]
fn a_swapped_buffer_is_what_the_file_system_fills() {
    let (machine, volume) = machine();
    let log = log();
    let _filter = Script::new("f", &log)
        .pre(IRP_MJ_READ, |data, _, context| {
            let buffer = Box::into_raw(Box::new([0_u8; 6]));
            change_iopb(data, |iopb| iopb.Parameters.Read.ReadBuffer = buffer.cast());
            // SAFETY: the callback data of this callback.
            unsafe { FltSetCallbackDataDirty(data) };
            *context = buffer.cast();
            FLT_PREOP_SUCCESS_WITH_CALLBACK
        })
        .post(IRP_MJ_READ, |data, _, context, _| {
            // SAFETY: the pre-operation callback put its box there.
            let mut swapped = unsafe { Box::from_raw(context.cast::<[u8; 6]>()) };
            swapped.make_ascii_uppercase();
            // SAFETY: this is a read, and the original buffer is back in place.
            let original = unsafe { iopb(data).Parameters.Read.ReadBuffer };
            // SAFETY: the reader's buffer has six bytes.
            unsafe { original.cast::<[u8; 6]>().write(*swapped) };
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "1");
    let handle = file(&volume, b"abcdef");
    let mut buffer = [0; 6];
    assert_eq!(handle.read(0, &mut buffer), Ok(6));
    assert_eq!(&buffer, b"ABCDEF");
}

#[test]
fn no_callback_and_post_only_registrations() {
    let (machine, volume) = machine();
    let log = log();
    let _high = Script::new("high", &log)
        .pre(IRP_MJ_READ, |_, _, _| FLT_PREOP_SUCCESS_NO_CALLBACK)
        .post(IRP_MJ_READ, |_, _, _, _| FLT_POSTOP_FINISHED_PROCESSING)
        .load(&machine, "2");
    let _low = Script::new("low", &log)
        .post(IRP_MJ_READ, |_, _, context, _| {
            assert!(context.is_null());
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "1");
    let handle = file(&volume, b"abc");
    take(&log);
    handle.read(0, &mut [0; 3]).unwrap();
    assert_eq!(take(&log), ["high pre read", "low post read"]);
}

#[test]
fn a_missing_post_operation_callback_stops_the_machine() {
    let (machine, volume) = machine();
    let log = log();
    let pointer = Arc::new(AtomicUsize::new(0));
    let inner = pointer.clone();
    let _filter = Script::new("f", &log)
        .pre(IRP_MJ_READ, move |data, _, _| {
            inner.store(data as usize, Ordering::SeqCst);
            FLT_PREOP_SUCCESS_WITH_CALLBACK
        })
        .load(&machine, "1");
    let handle = file(&volume, b"abc");
    assert_eq!(handle.read(0, &mut [0; 3]), Ok(3));
    let bugchecks = machine.verifier().bugchecks();
    assert_eq!(bugchecks.len(), 1);
    let data = pointer.load(Ordering::SeqCst) as u64;
    assert_eq!(
        bugchecks[0].severity,
        Severity::Bugcheck {
            code: 0xF5,
            parameters: [0x66, data, 0, 0]
        }
    );
}

#[test]
fn a_completion_context_without_a_callback_is_lost() {
    let (machine, volume) = machine();
    let log = log();
    let _filter = Script::new("f", &log)
        .pre(IRP_MJ_READ, |_, _, context| {
            *context = 0x10 as PVOID;
            FLT_PREOP_SUCCESS_NO_CALLBACK
        })
        .load(&machine, "1");
    let handle = file(&volume, b"abc");
    handle.read(0, &mut [0; 3]).unwrap();
    let violations = machine.verifier().violations();
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].rule, fltsim::verifier::Rule::V13);
}

#[test]
fn the_completion_context_comes_back() {
    let (machine, volume) = machine();
    let log = log();
    let _filter = Script::new("f", &log)
        .pre(IRP_MJ_READ, |_, _, context| {
            *context = 0x1234 as PVOID;
            FLT_PREOP_SUCCESS_WITH_CALLBACK
        })
        .post(IRP_MJ_READ, |data, objects, context, _| {
            assert_eq!(context as usize, 0x1234);
            assert_eq!(status(data), STATUS_SUCCESS);
            assert_eq!(usize::from(objects.Size), size_of::<FLT_RELATED_OBJECTS>());
            assert_ne!(
                io_support::data(data).Flags & FLTFL_CALLBACK_DATA_POST_OPERATION,
                0
            );
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "1");
    let handle = file(&volume, b"abc");
    handle.read(0, &mut [0; 3]).unwrap();
    drop(handle);
    assert!(machine.finish().is_clean());
}

fn levels(status: i32, options: IoOptions) -> (u8, bool, usize) {
    let (machine, volume) = machine();
    let log = log();
    let found = Arc::new(Mutex::new((0, true)));
    let inner = found.clone();
    let this = thread::current().id();
    let _filter = Script::new("f", &log)
        .pre(IRP_MJ_READ, move |_, _, _| status)
        .post(IRP_MJ_READ, move |_, _, _, _| {
            *inner.lock() = (irql::current(), thread::current().id() == this);
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "1");
    let handle = file(&volume, b"abc");
    assert_eq!(handle.read_with(0, &mut [0; 3], options), Ok(3));
    assert_eq!(irql::current(), PASSIVE_LEVEL);
    drop(handle);
    let reports = machine.verifier().reports().len();
    let (level, same) = *found.lock();
    (level, same, reports)
}

#[test]
fn completion_level_and_thread() {
    let with = FLT_PREOP_SUCCESS_WITH_CALLBACK;
    let synchronize = FLT_PREOP_SYNCHRONIZE;
    assert_eq!(levels(with, IoOptions::default()), (0, true, 0));
    assert_eq!(levels(with, IoOptions::worker()), (0, false, 0));
    assert_eq!(levels(with, IoOptions::dispatch()), (2, false, 0));
    assert_eq!(levels(synchronize, IoOptions::default()), (0, true, 0));
    assert_eq!(levels(synchronize, IoOptions::worker()), (0, true, 0));
    assert_eq!(levels(synchronize, IoOptions::dispatch()), (0, true, 0));
    assert_eq!(
        levels(synchronize, IoOptions::default().fast_io()),
        (0, true, 0)
    );
    assert_eq!(levels(with, IoOptions::default().paging()), (1, true, 0));
    assert_eq!(
        levels(synchronize, IoOptions::dispatch().paging()),
        (1, true, 0)
    );
}

#[test]
fn synchronized_layers_above_unsynchronized_ones() {
    let (machine, volume) = machine();
    let log = log();
    let this = thread::current().id();
    let same = move |expected: bool| {
        move |_: PFLT_CALLBACK_DATA, _: &FLT_RELATED_OBJECTS, _: PVOID, _: u32| {
            assert_eq!(thread::current().id() == this, expected);
            FLT_POSTOP_FINISHED_PROCESSING
        }
    };
    let script =
        |name: &str, status: i32| Script::new(name, &log).pre(IRP_MJ_READ, move |_, _, _| status);
    let _a = script("a", FLT_PREOP_SUCCESS_WITH_CALLBACK)
        .post(IRP_MJ_READ, same(true))
        .load(&machine, "4");
    let _b = script("b", FLT_PREOP_SYNCHRONIZE)
        .post(IRP_MJ_READ, same(true))
        .load(&machine, "3");
    let _c = script("c", FLT_PREOP_SYNCHRONIZE)
        .post(IRP_MJ_READ, same(true))
        .load(&machine, "2");
    let _d = script("d", FLT_PREOP_SUCCESS_WITH_CALLBACK)
        .post(IRP_MJ_READ, same(false))
        .load(&machine, "1");
    let handle = file(&volume, b"abc");
    take(&log);
    handle
        .read_with(0, &mut [0; 3], IoOptions::dispatch())
        .unwrap();
    assert_eq!(
        take(&log),
        [
            "a pre read",
            "b pre read",
            "c pre read",
            "d pre read",
            "d post read",
            "c post read",
            "b post read",
            "a post read",
        ]
    );
}

#[test]
fn synchronizing_a_create_is_reported() {
    let (machine, volume) = machine();
    let log = log();
    let _filter = Script::new("f", &log)
        .pre(IRP_MJ_CREATE, |_, _, _| FLT_PREOP_SYNCHRONIZE)
        .post(IRP_MJ_CREATE, |_, _, _, _| FLT_POSTOP_FINISHED_PROCESSING)
        .load(&machine, "1");
    take(&log);
    drop(volume.open("\\a", OpenOptions::create()).unwrap());
    assert_eq!(take(&log), ["f pre create", "f post create"]);
    assert_eq!(machine.verifier().violations().len(), 1);
}

#[test]
fn refused_fast_io_comes_again_as_an_irp() {
    let (machine, volume) = machine();
    let log = log();
    let statuses = Arc::new(Mutex::new(Vec::new()));
    let inner = statuses.clone();
    let _high = Script::new("high", &log)
        .pre(IRP_MJ_READ, |_, _, _| FLT_PREOP_SUCCESS_WITH_CALLBACK)
        .post(IRP_MJ_READ, move |data, _, _, _| {
            inner
                .lock()
                .push((io_support::data(data).Flags & 3, status(data)));
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "2");
    let _low = Script::new("low", &log)
        .pre(IRP_MJ_READ, |data, _, _| {
            if io_support::data(data).Flags & FLTFL_CALLBACK_DATA_FAST_IO_OPERATION != 0 {
                FLT_PREOP_DISALLOW_FASTIO
            } else {
                FLT_PREOP_SUCCESS_NO_CALLBACK
            }
        })
        .load(&machine, "1");
    let handle = file(&volume, b"abc");
    assert_eq!(handle.read_fast(0, &mut [0; 3]), Ok(3));
    assert_eq!(
        *statuses.lock(),
        [(2, STATUS_FLT_DISALLOW_FAST_IO), (1, STATUS_SUCCESS)]
    );
    assert!(machine.verifier().reports().is_empty());
}

#[test]
fn a_refused_query_open_becomes_an_open() {
    let (machine, volume) = machine();
    let log = log();
    file(&volume, b"abc").close();
    let _filter = Script::new("f", &log)
        .pre(IRP_MJ_NETWORK_QUERY_OPEN, |_, _, _| {
            FLT_PREOP_DISALLOW_FASTIO
        })
        .watch_all(&[IRP_MJ_CREATE, IRP_MJ_QUERY_INFORMATION, IRP_MJ_CLOSE])
        .load(&machine, "1");
    take(&log);
    volume.query_open("\\file").unwrap();
    assert_eq!(
        take(&log),
        [
            "f pre query-open",
            "f pre create",
            "f post create",
            "f pre query",
            "f post query",
            "f pre close",
            "f post close",
        ]
    );
}

#[test]
fn a_query_open_is_refused_as_what_it_is() {
    for before in [true, false] {
        let (machine, volume) = machine();
        let log = log();
        file(&volume, b"abc").close();
        let filter = Script::new("f", &log)
            .pre(IRP_MJ_NETWORK_QUERY_OPEN, move |_, _, _| {
                if before {
                    FLT_PREOP_DISALLOW_FSFILTER_IO
                } else {
                    FLT_PREOP_SUCCESS_WITH_CALLBACK
                }
            })
            .post(IRP_MJ_NETWORK_QUERY_OPEN, |_, _, _, _| {
                FLT_POSTOP_DISALLOW_FSFILTER_IO
            })
            .watch(IRP_MJ_QUERY_INFORMATION)
            .load(&machine, "1");
        take(&log);
        volume.query_open("\\file").unwrap();
        let mut expected = vec!["f pre query-open"];
        if !before {
            expected.push("f post query-open");
        }
        expected.extend(["f pre query", "f post query"]);
        assert_eq!(take(&log), expected);
        filter.unload().unwrap();
        assert!(machine.finish().is_clean());
    }
}

#[test]
fn only_a_query_open_is_refused_like_that() {
    let (machine, volume) = machine();
    let handle = file(&volume, b"abc");
    let log = log();
    let _filter = Script::new("f", &log)
        .pre(IRP_MJ_READ, |_, _, _| FLT_PREOP_DISALLOW_FSFILTER_IO)
        .watch(IRP_MJ_WRITE)
        .post(IRP_MJ_WRITE, |_, _, _, _| FLT_POSTOP_DISALLOW_FSFILTER_IO)
        .load(&machine, "1");
    assert_eq!(handle.read_fast(0, &mut [0; 3]), Ok(3));
    assert_eq!(rules(&machine), [Rule::V12]);
    assert_eq!(handle.write(0, b"abc"), Ok(3));
    assert_eq!(rules(&machine), [Rule::V12; 2]);
}

#[test]
fn registration_flags_keep_operations_away() {
    let (machine, volume) = machine();
    let log = log();
    let _paging = Script::new("no-paging", &log)
        .watch(IRP_MJ_READ)
        .flags(IRP_MJ_READ, FLTFL_OPERATION_REGISTRATION_SKIP_PAGING_IO)
        .load(&machine, "2");
    let _cached = Script::new("no-cached", &log)
        .watch(IRP_MJ_READ)
        .flags(IRP_MJ_READ, FLTFL_OPERATION_REGISTRATION_SKIP_CACHED_IO)
        .load(&machine, "1");
    let handle = file(&volume, b"abc");
    take(&log);
    handle.read(0, &mut [0; 3]).unwrap();
    assert_eq!(take(&log), ["no-paging pre read", "no-paging post read"]);
    handle.read_paging(0, &mut [0; 3]).unwrap();
    assert_eq!(take(&log), ["no-cached pre read", "no-cached post read"]);
    handle
        .read_with(0, &mut [0; 3], IoOptions::default().uncached())
        .unwrap();
    assert_eq!(take(&log).len(), 4);
}

#[test]
fn a_pended_pre_operation_is_resumed_by_another_thread() {
    for resume in [
        FLT_PREOP_SUCCESS_WITH_CALLBACK,
        FLT_PREOP_SUCCESS_NO_CALLBACK,
        FLT_PREOP_SYNCHRONIZE,
        FLT_PREOP_COMPLETE,
    ] {
        let (machine, volume) = machine();
        let log = log();
        let _high = Script::new("high", &log)
            .watch(IRP_MJ_READ)
            .load(&machine, "3");
        let _filter = Script::new("f", &log)
            .pre(IRP_MJ_READ, move |data, _, _| {
                let data = data as usize;
                thread::spawn(move || {
                    thread::sleep(Duration::from_millis(10));
                    let data = data as PFLT_CALLBACK_DATA;
                    if resume == FLT_PREOP_COMPLETE {
                        set_status(data, STATUS_VIRUS_INFECTED, 0);
                    }
                    // SAFETY: the operation is pended, so its callback data is live.
                    unsafe { FltCompletePendedPreOperation(data, resume, null_mut()) };
                });
                FLT_PREOP_PENDING
            })
            .post(IRP_MJ_READ, |_, _, _, _| FLT_POSTOP_FINISHED_PROCESSING)
            .load(&machine, "2");
        let _low = Script::new("low", &log)
            .watch(IRP_MJ_READ)
            .load(&machine, "1");
        let handle = file(&volume, b"abc");
        take(&log);
        let result = handle.read_with(0, &mut [0; 3], IoOptions::dispatch());
        let lines = take(&log);
        if resume == FLT_PREOP_COMPLETE {
            assert_eq!(result, Err(STATUS_VIRUS_INFECTED));
            assert_eq!(lines, ["high pre read", "f pre read", "high post read"]);
        } else {
            assert_eq!(result, Ok(3));
            let own = usize::from(resume != FLT_PREOP_SUCCESS_NO_CALLBACK);
            assert_eq!(lines.len(), 5 + own, "{lines:?}");
            assert_eq!(lines.last().unwrap(), "high post read");
        }
        drop(handle);
        assert!(machine.finish().is_clean());
    }
}

#[test]
fn a_pended_pre_operation_may_be_resumed_before_its_callback_returns() {
    let (machine, volume) = machine();
    let log = log();
    let _filter = Script::new("f", &log)
        .pre(IRP_MJ_READ, |data, _, _| {
            // SAFETY: the operation of this callback.
            unsafe {
                FltCompletePendedPreOperation(data, FLT_PREOP_SUCCESS_WITH_CALLBACK, 8 as PVOID);
            }
            FLT_PREOP_PENDING
        })
        .post(IRP_MJ_READ, |_, _, context, _| {
            assert_eq!(context as usize, 8);
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "1");
    let handle = file(&volume, b"abc");
    take(&log);
    assert_eq!(handle.read(0, &mut [0; 3]), Ok(3));
    assert_eq!(take(&log), ["f pre read", "f post read"]);
}

#[test]
fn a_pended_post_operation_holds_the_operation() {
    let (machine, volume) = machine();
    let log = log();
    let _high = Script::new("high", &log)
        .watch(IRP_MJ_READ)
        .load(&machine, "2");
    let _filter = Script::new("f", &log)
        .pre(IRP_MJ_READ, |_, _, _| FLT_PREOP_SUCCESS_WITH_CALLBACK)
        .post(IRP_MJ_READ, |data, _, _, _| {
            let data = data as usize;
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(10));
                let data = data as PFLT_CALLBACK_DATA;
                set_status(data, STATUS_SUCCESS, 1);
                // SAFETY: the operation is pended, so its callback data is live.
                unsafe { FltCompletePendedPostOperation(data) };
            });
            FLT_POSTOP_MORE_PROCESSING_REQUIRED
        })
        .load(&machine, "1");
    let handle = file(&volume, b"abc");
    assert_eq!(handle.read(0, &mut [0; 3]), Ok(1));
    assert_eq!(take(&log).last().unwrap(), "high post read");
    // Nothing is pended now.
    drop(handle);
    assert!(machine.finish().is_clean());
}

#[test]
fn what_is_no_irp_cannot_be_pended() {
    let (machine, volume) = machine();
    let handle = file(&volume, b"abc");
    let log = log();
    let before = Script::new("f", &log)
        .pre(IRP_MJ_READ, |data, _, _| {
            // SAFETY: the operation of this callback.
            unsafe {
                FltCompletePendedPreOperation(data, FLT_PREOP_SUCCESS_NO_CALLBACK, null_mut());
            }
            FLT_PREOP_PENDING
        })
        .load(&machine, "1");
    assert_eq!(handle.read_fast(0, &mut [0; 3]), Ok(3));
    assert_eq!(rules(&machine), [Rule::V12]);
    assert_eq!(handle.read(0, &mut [0; 3]), Ok(3));
    assert_eq!(rules(&machine), [Rule::V12]);
    before.unload().unwrap();
    let _after = Script::new("g", &log)
        .watch(IRP_MJ_READ)
        .post(IRP_MJ_READ, |_, _, _, _| {
            FLT_POSTOP_MORE_PROCESSING_REQUIRED
        })
        .load(&machine, "1");
    // Nobody resumes it, and so it must not wait for that.
    assert_eq!(handle.read_fast(0, &mut [0; 3]), Ok(3));
    assert_eq!(rules(&machine), [Rule::V12; 2]);
}

#[test]
fn what_was_not_pended_is_not_completed() {
    for before in [true, false] {
        let (machine, volume) = machine();
        let handle = file(&volume, b"abc");
        let log = log();
        let filter = Script::new("f", &log)
            .pre(IRP_MJ_READ, move |data, _, _| {
                if before {
                    // SAFETY: the operation of this callback.
                    unsafe {
                        FltCompletePendedPreOperation(data, FLT_PREOP_COMPLETE, null_mut());
                    }
                }
                FLT_PREOP_SUCCESS_WITH_CALLBACK
            })
            .post(IRP_MJ_READ, move |data, _, _, _| {
                if !before {
                    // SAFETY: the operation of this callback.
                    unsafe { FltCompletePendedPostOperation(data) };
                }
                FLT_POSTOP_FINISHED_PROCESSING
            })
            .load(&machine, "1");
        take(&log);
        assert_eq!(handle.read(0, &mut [0; 3]), Ok(3));
        assert_eq!(take(&log), ["f pre read", "f post read"]);
        assert_eq!(rules(&machine), [Rule::V12]);
        filter.unload().unwrap();
    }
}

#[test]
fn a_cleanup_or_close_cannot_fail() {
    for major in [IRP_MJ_CLEANUP, IRP_MJ_CLOSE] {
        for (status, reports) in [(STATUS_SUCCESS, 0), (STATUS_ACCESS_DENIED, 1)] {
            let (machine, volume) = machine();
            let handle = file(&volume, b"abc");
            let log = log();
            let filter = Script::new("f", &log)
                .pre(major, move |data, _, _| {
                    set_status(data, status, 0);
                    FLT_PREOP_COMPLETE
                })
                .load(&machine, "1");
            drop(handle);
            assert_eq!(rules(&machine), vec![Rule::V12; reports]);
            filter.unload().unwrap();
        }
    }
}

#[test]
fn reads_and_writes_that_nobody_waits_for_are_not_synchronized() {
    let (machine, volume) = machine();
    let log = log();
    let _filter = Script::new("f", &log)
        .pre(IRP_MJ_READ, |_, _, _| FLT_PREOP_SYNCHRONIZE)
        .post(IRP_MJ_READ, |_, _, _, _| FLT_POSTOP_FINISHED_PROCESSING)
        .pre(IRP_MJ_FLUSH_BUFFERS, |_, _, _| FLT_PREOP_SYNCHRONIZE)
        .post(IRP_MJ_FLUSH_BUFFERS, |_, _, _, _| {
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "1");
    let handle = file(&volume, b"abc");
    assert_eq!(handle.read(0, &mut [0; 3]), Ok(3));
    let options = OpenOptions::read().asynchronous();
    let overlapped = volume.open("\\file", options).unwrap();
    overlapped.flush().unwrap();
    assert_eq!(overlapped.read_fast(0, &mut [0; 3]), Ok(3));
    assert_eq!(rules(&machine), []);
    take(&log);
    assert_eq!(overlapped.read(0, &mut [0; 3]), Ok(3));
    assert_eq!(take(&log), ["f pre read", "f post read"]);
    assert_eq!(rules(&machine), [Rule::V12]);
}

fltapi! {
    unsafe fn safe(
        data: PFLT_CALLBACK_DATA,
        _objects: PCFLT_RELATED_OBJECTS,
        context: PVOID,
        _flags: FLT_POST_OPERATION_FLAGS,
    ) -> FLT_POSTOP_CALLBACK_STATUS {
        assert!(irql::current() <= APC_LEVEL);
        assert_eq!(context as usize, 0x77);
        // SAFETY: this is a read.
        assert_eq!(unsafe { iopb(data).Parameters.Read.Length }, 3);
        set_status(data, STATUS_SUCCESS, 2);
        FLT_POSTOP_FINISHED_PROCESSING
    }
}

fn when_safe(options: IoOptions) -> (u8, i32, usize, usize) {
    let (machine, volume) = machine();
    let log = log();
    let found = Arc::new(Mutex::new((0, 0)));
    let inner = found.clone();
    let _filter = Script::new("f", &log)
        .pre(IRP_MJ_READ, |_, _, context| {
            *context = 0x77 as PVOID;
            FLT_PREOP_SUCCESS_WITH_CALLBACK
        })
        .post(IRP_MJ_READ, move |data, objects, context, flags| {
            let mut status = -1;
            // SAFETY: the arguments of this callback.
            let done = unsafe {
                FltDoCompletionProcessingWhenSafe(
                    data,
                    objects,
                    context,
                    flags,
                    Some(safe),
                    &raw mut status,
                )
            };
            *inner.lock() = (done, status);
            status
        })
        .load(&machine, "1");
    let handle = file(&volume, b"abc");
    let count = handle.read_with(0, &mut [0; 3], options).unwrap();
    drop(handle);
    machine.settle();
    let (done, status) = *found.lock();
    (done, status, count, machine.verifier().violations().len())
}

#[test]
fn completion_processing_when_safe() {
    // Inline, posted, and refused. That a read is posted is reported, since the storage stack may
    // complete it directly, and so is asking for paging I/O, which cannot be posted.
    assert_eq!(
        when_safe(IoOptions::default()),
        (1, FLT_POSTOP_FINISHED_PROCESSING, 2, 0)
    );
    assert_eq!(
        when_safe(IoOptions::worker()),
        (1, FLT_POSTOP_FINISHED_PROCESSING, 2, 0)
    );
    assert_eq!(
        when_safe(IoOptions::dispatch()),
        (1, FLT_POSTOP_MORE_PROCESSING_REQUIRED, 2, 1)
    );
    assert_eq!(
        when_safe(IoOptions::dispatch().paging()),
        (0, FLT_POSTOP_FINISHED_PROCESSING, 3, 1)
    );
}

#[test]
fn a_failed_create_has_a_post_operation_and_leaves_nothing() {
    let (machine, volume) = machine();
    let log = log();
    let found = Arc::new(Mutex::new(Vec::new()));
    let inner = found.clone();
    let _filter = Script::new("f", &log)
        .watch_all(&[IRP_MJ_CLEANUP, IRP_MJ_CLOSE])
        .pre(IRP_MJ_CREATE, |_, _, _| FLT_PREOP_SUCCESS_WITH_CALLBACK)
        .post(IRP_MJ_CREATE, move |data, objects, _, _| {
            // SAFETY: the file object lives through the callback.
            let supported = unsafe { FltSupportsStreamContexts(objects.FileObject) };
            inner.lock().push((status(data), supported));
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "1");
    take(&log);
    let missing = volume.open("\\missing", OpenOptions::read());
    assert_eq!(missing.unwrap_err(), STATUS_OBJECT_NAME_NOT_FOUND);
    assert_eq!(take(&log), ["f pre create", "f post create"]);
    drop(volume.open("\\there", OpenOptions::create()).unwrap());
    assert_eq!(
        *found.lock(),
        [(STATUS_OBJECT_NAME_NOT_FOUND, 0), (STATUS_SUCCESS, 1)]
    );
}

#[test]
fn an_open_can_be_cancelled_in_post_create() {
    let (machine, volume) = machine();
    let log = log();
    let _filter = Script::new("f", &log)
        .watch_all(&[IRP_MJ_CLEANUP, IRP_MJ_CLOSE])
        .pre(IRP_MJ_CREATE, |_, _, _| FLT_PREOP_SUCCESS_WITH_CALLBACK)
        .post(IRP_MJ_CREATE, |data, objects, _, _| {
            // SAFETY: the instance and the file object of this callback.
            unsafe { FltCancelFileOpen(objects.Instance, objects.FileObject) };
            set_status(data, STATUS_VIRUS_INFECTED, 0);
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "1");
    take(&log);
    let options = OpenOptions::create().share(0);
    assert_eq!(
        volume.open("\\a", options.clone()).unwrap_err(),
        STATUS_VIRUS_INFECTED
    );
    // The first open does not share, and is gone.
    assert_eq!(
        volume.open("\\a", options).unwrap_err(),
        STATUS_VIRUS_INFECTED
    );
    assert_eq!(take(&log).len(), 4);
    assert!(machine.finish().is_clean());
}

#[test]
fn close_waits_for_the_last_reference() {
    let (machine, volume) = machine();
    let log = log();
    let _filter = Script::new("f", &log)
        .watch_all(&[IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_READ])
        .load(&machine, "1");
    let handle = file(&volume, b"abc");
    take(&log);
    let reference = handle.reference();
    handle.close();
    assert_eq!(take(&log), ["f pre cleanup", "f post cleanup"]);
    assert_eq!(reference.read_paging(0, &mut [0; 3]), Ok(3));
    assert_eq!(take(&log), ["f pre read", "f post read"]);
    drop(reference);
    assert_eq!(take(&log), ["f pre close", "f post close"]);
    assert!(machine.finish().is_clean());
}

#[test]
fn where_contexts_are_supported() {
    let (machine, volume) = machine();
    let log = log();
    let found = Arc::new(Mutex::new(Vec::new()));
    let ask = |name: &'static str, found: &Arc<Mutex<Vec<String>>>| {
        let found = found.clone();
        move |objects: &FLT_RELATED_OBJECTS| {
            // SAFETY: the file object lives through the callback.
            let supported = unsafe { FltSupportsStreamHandleContexts(objects.FileObject) };
            found.lock().push(format!("{name} {supported}"));
        }
    };
    let mut script = Script::new("f", &log);
    for (major, before, after) in [
        (IRP_MJ_CREATE, "pre-create", "post-create"),
        (IRP_MJ_CLEANUP, "pre-cleanup", "post-cleanup"),
        (IRP_MJ_CLOSE, "pre-close", "post-close"),
        (IRP_MJ_NETWORK_QUERY_OPEN, "pre-query", "post-query"),
    ] {
        let before = ask(before, &found);
        let after = ask(after, &found);
        script = script
            .pre(major, move |_, objects, _| {
                before(objects);
                FLT_PREOP_SUCCESS_WITH_CALLBACK
            })
            .post(major, move |_, objects, _, _| {
                after(objects);
                FLT_POSTOP_FINISHED_PROCESSING
            });
    }
    let _filter = script.load(&machine, "1");
    drop(volume.open("\\a", OpenOptions::create()).unwrap());
    assert_eq!(
        take(&found),
        [
            "pre-create 0",
            "post-create 1",
            "pre-cleanup 1",
            "post-cleanup 1",
            "pre-close 1",
            "post-close 0",
        ]
    );
    volume.query_open("\\a").unwrap();
    assert_eq!(take(&found), ["pre-query 0", "post-query 0"]);
    drop(
        volume
            .open("\\page", OpenOptions::create().paging_file())
            .unwrap(),
    );
    assert!(take(&found).iter().all(|line| line.ends_with('0')));
}

#[test]
fn a_transaction_is_there_for_every_operation() {
    let (machine, volume) = machine();
    let log = log();
    let found = Arc::new(Mutex::new(Vec::new()));
    let mut script = Script::new("f", &log);
    for major in [IRP_MJ_CREATE, IRP_MJ_WRITE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE] {
        let found = found.clone();
        script = script.pre(major, move |_, objects, _| {
            found.lock().push(objects.Transaction as usize);
            FLT_PREOP_SUCCESS_NO_CALLBACK
        });
    }
    let _filter = script.load(&machine, "1");
    let transaction = machine.begin_transaction();
    let options = OpenOptions::create().transaction(&transaction);
    let handle = volume.open("\\a", options).unwrap();
    handle.write(0, b"abc").unwrap();
    drop(handle);
    assert_eq!(*found.lock(), [transaction.pointer() as usize; 4]);
    transaction.commit().unwrap();
    found.lock().clear();
    drop(volume.open("\\a", OpenOptions::read()).unwrap());
    assert_eq!(*found.lock(), [0; 3]);
}

#[test]
fn many_threads_at_once() {
    let (machine, volume) = machine();
    let log = log();
    let count = Arc::new(AtomicUsize::new(0));
    let inner = count.clone();
    let _high = Script::new("high", &log)
        .pre(IRP_MJ_READ, |_, _, context| {
            *context = 0x55 as PVOID;
            FLT_PREOP_SUCCESS_WITH_CALLBACK
        })
        .post(IRP_MJ_READ, move |_, _, context, _| {
            assert_eq!(context as usize, 0x55);
            inner.fetch_add(1, Ordering::SeqCst);
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "2");
    let _low = Script::new("low", &log)
        .pre(IRP_MJ_READ, |_, _, _| FLT_PREOP_SYNCHRONIZE)
        .post(IRP_MJ_READ, |_, _, _, _| FLT_POSTOP_FINISHED_PROCESSING)
        .load(&machine, "1");
    let handle = file(&volume, b"abc");
    thread::scope(|scope| {
        for index in 0..4 {
            let handle = &handle;
            scope.spawn(move || {
                let options = match index % 3 {
                    0 => IoOptions::default(),
                    1 => IoOptions::worker(),
                    _ => IoOptions::dispatch(),
                };
                for _ in 0..50 {
                    assert_eq!(handle.read_with(0, &mut [0; 3], options), Ok(3));
                }
            });
        }
    });
    assert_eq!(count.load(Ordering::SeqCst), 200);
    assert_eq!(machine.statistics().operations["IRP_MJ_READ"], 200);
    drop(handle);
    assert!(machine.finish().is_clean());
}

#[test]
fn own_requests_go_to_the_layers_below() {
    let (machine, volume) = machine();
    let log = log();
    let handle = file(&volume, b"abc");
    let _high = Script::new("high", &log)
        .watch(IRP_MJ_READ)
        .load(&machine, "3");
    let _filter = Script::new("f", &log)
        .watch(IRP_MJ_READ)
        .pre(IRP_MJ_WRITE, |_, objects, _| {
            let mut buffer = [0_u8; 3];
            let mut read = 0;
            let mut offset = LARGE_INTEGER { QuadPart: 0 };
            // SAFETY: the objects of this callback, and buffers that outlive the call.
            let status = unsafe {
                FltReadFile(
                    objects.Instance,
                    objects.FileObject,
                    &raw mut offset,
                    3,
                    buffer.as_mut_ptr().cast(),
                    0,
                    &raw mut read,
                    None,
                    null_mut(),
                )
            };
            assert_eq!((status, read), (STATUS_SUCCESS, 3));
            assert_eq!(&buffer, b"abc");
            FLT_PREOP_SUCCESS_NO_CALLBACK
        })
        .load(&machine, "2");
    let _low = Script::new("low", &log)
        .watch(IRP_MJ_READ)
        .load(&machine, "1");
    take(&log);
    assert_eq!(handle.write(0, b"xyz"), Ok(3));
    assert_eq!(take(&log), ["f pre write", "low pre read", "low post read"]);
    drop(handle);
    assert!(machine.finish().is_clean());
}
