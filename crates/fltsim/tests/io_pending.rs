//! Operations that nobody waits for: asynchronous, pended, queued, cancelled, sent again.

mod io_support;

use fltmgr_sys::*;
use fltsim::filesystem::Personality;
use fltsim::kernel::irql;
use fltsim::verifier::Rule;
use fltsim::{Completion, Handle, IoOptions, Machine, OpenOptions, Volume};
use io_support::*;
use parking_lot::{Condvar, Mutex};
use std::ptr::null_mut;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

fn file(volume: &Volume, contents: &[u8]) -> Handle {
    let handle = volume.open("\\file", OpenOptions::create()).unwrap();
    handle.write(0, contents).unwrap();
    handle
}

/// What an asynchronous operation told its callback.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    status: NTSTATUS,
    information: u64,
    level: u8,
    mine: bool,
}

#[derive(Default)]
struct Ear {
    told: Mutex<Option<Told>>,
    heard: Condvar,
    thread: Mutex<Option<thread::ThreadId>>,
    free: bool,
}

impl Ear {
    fn listen(&self) -> Told {
        let mut told = self.told.lock();
        while told.is_none() {
            self.heard.wait(&mut told);
        }
        told.take().unwrap()
    }
}

fltapi! {
    unsafe fn completed(callback_data: PFLT_CALLBACK_DATA, context: PVOID) {
        // SAFETY: the tests pass an ear that they keep until it has heard.
        let ear = unsafe { &*context.cast::<Ear>() };
        let told = Told {
            status: status(callback_data),
            information: data(callback_data).IoStatus.Information,
            level: irql::current(),
            mine: *ear.thread.lock() == Some(thread::current().id()),
        };
        if ear.free {
            // SAFETY: callback data of the test's own, which is complete.
            unsafe { FltFreeCallbackData(callback_data) };
        }
        *ear.told.lock() = Some(told);
        ear.heard.notify_all();
    }
}

fn ear(free: bool) -> Ear {
    Ear {
        thread: Mutex::new(Some(thread::current().id())),
        free,
        ..Ear::default()
    }
}

fn context(ear: &Ear) -> PVOID {
    (&raw const *ear).cast_mut().cast()
}

#[test]
fn an_asynchronous_read_calls_back() {
    for (completion, status, level, mine) in [
        (Completion::Synchronous, STATUS_SUCCESS, 0, true),
        (Completion::Worker, STATUS_PENDING, 0, false),
        (Completion::Dispatch, STATUS_PENDING, 2, false),
    ] {
        let (machine, volume) = machine_completing(Personality::ntfs(), Some(completion));
        let log = log();
        let own = Script::new("own", &log).load(&machine, "2");
        let _low = Script::new("low", &log)
            .pre(IRP_MJ_READ, |_, _, _| {
                // Long enough for the caller to see that it is pending.
                FLT_PREOP_SUCCESS_WITH_CALLBACK
            })
            .post(IRP_MJ_READ, |_, _, _, _| {
                thread::sleep(Duration::from_millis(20));
                FLT_POSTOP_FINISHED_PROCESSING
            })
            .load(&machine, "1");
        let instance = volume.instances()[0].pointer;
        let handle = file(&volume, b"abcdef");
        let ear = ear(false);
        let mut buffer = [0_u8; 4];
        let mut offset = LARGE_INTEGER { QuadPart: 2 };
        let begun = machine.at_irql(0, || {
            // SAFETY: the objects exist; the buffer and the ear outlive the operation, which is
            // waited for.
            unsafe {
                FltReadFile(
                    instance,
                    handle.file_object(),
                    &raw mut offset,
                    4,
                    buffer.as_mut_ptr().cast(),
                    0,
                    null_mut(),
                    Some(completed),
                    context(&ear),
                )
            }
        });
        assert_eq!(begun, status, "{completion:?}");
        let told = ear.listen();
        let expected = Told {
            status: STATUS_SUCCESS,
            information: 4,
            level,
            mine,
        };
        assert_eq!(told, expected, "{completion:?}");
        assert_eq!(&buffer, b"cdef");
        drop(handle);
        own.unload().unwrap();
        assert!(machine.finish().is_clean());
    }
}

/// Callback data for a read of the test's own.
fn own_read(instance: PFLT_INSTANCE, file: PFILE_OBJECT, buffer: &mut [u8]) -> PFLT_CALLBACK_DATA {
    let mut data = null_mut();
    // SAFETY: the objects exist.
    let status = unsafe { FltAllocateCallbackData(instance, file, &raw mut data) };
    assert_eq!(status, STATUS_SUCCESS);
    let (target, length) = (buffer.as_mut_ptr(), u32::try_from(buffer.len()).unwrap());
    change_iopb(data, |iopb| {
        assert_eq!(
            (iopb.TargetFileObject, iopb.TargetInstance),
            (file, instance)
        );
        iopb.MajorFunction = IRP_MJ_READ;
        iopb.IrpFlags = IRP_READ_OPERATION;
        iopb.Parameters.Read.Length = length;
        iopb.Parameters.Read.ByteOffset = LARGE_INTEGER { QuadPart: 0 };
        iopb.Parameters.Read.ReadBuffer = target.cast();
    });
    data
}

fltapi! {
    unsafe fn completed_at_the_gate(callback_data: PFLT_CALLBACK_DATA, context: PVOID) {
        // SAFETY: the test passes a log that it keeps until the instance is torn down.
        let log = unsafe { &*context.cast::<Log>() };
        // Long enough for a teardown that does not wait to be over.
        thread::sleep(Duration::from_millis(50));
        log.lock().push(format!("completed {:#x}", status(callback_data)));
    }
}

#[test]
fn teardown_waits_for_requests_of_the_filters_own() {
    for own_data in [false, true] {
        let pinned = Some(Completion::Worker);
        let (machine, volume) = machine_completing(Personality::ntfs(), pinned);
        let log = log();
        let own = Script::new("own", &log).load(&machine, "2");
        let instance = volume.instances()[0].pointer;
        let handle = file(&volume, b"abc");
        let low = Script::new("low", &log)
            .pre(IRP_MJ_READ, |data, _, _| {
                let data = data as usize;
                thread::spawn(move || {
                    thread::sleep(Duration::from_millis(20));
                    let data = data as PFLT_CALLBACK_DATA;
                    let status = FLT_PREOP_SUCCESS_NO_CALLBACK;
                    // SAFETY: the operation is pended, so its callback data is live.
                    unsafe { FltCompletePendedPreOperation(data, status, null_mut()) };
                });
                FLT_PREOP_PENDING
            })
            .load(&machine, "1");
        take(&log);
        let mut buffer = [0_u8; 3];
        let context: PVOID = (&raw const log).cast_mut().cast();
        let data = own_read(instance, handle.file_object(), &mut buffer);
        let begun = machine.at_irql(0, || {
            let done = Some(completed_at_the_gate as _);
            if own_data {
                // SAFETY: callback data of the test's own.
                return unsafe { FltPerformAsynchronousIo(data, done, context) };
            }
            let mut offset = LARGE_INTEGER { QuadPart: 0 };
            // SAFETY: the objects exist; the buffer and the log outlive the operation, which the
            // teardown waits for.
            unsafe {
                FltReadFile(
                    instance,
                    handle.file_object(),
                    &raw mut offset,
                    3,
                    buffer.as_mut_ptr().cast(),
                    0,
                    null_mut(),
                    done,
                    context,
                )
            }
        });
        assert_eq!(begun, STATUS_PENDING);
        machine.detach(&own.driver, &volume).unwrap();
        assert_eq!(
            take(&log),
            [
                "low pre read",
                "own query-teardown",
                "own teardown-start 1",
                "completed 0x0",
                "own teardown-complete 1"
            ]
        );
        // SAFETY: callback data of the test's own, which is complete.
        unsafe { FltFreeCallbackData(data) };
        drop(handle);
        own.unload().unwrap();
        low.unload().unwrap();
        assert!(machine.finish().is_clean());
    }
}

const FSCTL_IS_VOLUME_MOUNTED: u32 = 0x0009_0028;

/// Opens a file below an instance, and closes it.
fn open_below(instance: PFLT_INSTANCE) -> NTSTATUS {
    let path = name("\\Device\\HarddiskVolume1\\file");
    let mut attributes = path.attributes(null_mut(), OBJ_KERNEL_HANDLE);
    let mut block = IO_STATUS_BLOCK {
        __bindgen_anon_1: IO_STATUS_BLOCK_UNION { Status: 0 },
        Information: 0,
    };
    let mut handle = null_mut();
    let mut owner = null_mut();
    // SAFETY: the instance exists.
    let found = unsafe { FltGetFilterFromInstance(instance, &raw mut owner) };
    assert_eq!(found, STATUS_SUCCESS);
    // SAFETY: the objects exist, and everything else is on this stack.
    let status = unsafe {
        FltCreateFile(
            owner,
            instance,
            &raw mut handle,
            FILE_READ_ATTRIBUTES,
            &raw mut attributes,
            &raw mut block,
            null_mut(),
            0,
            7,
            FILE_OPEN,
            0,
            null_mut(),
            0,
            0,
        )
    };
    // SAFETY: the handle and the reference from above.
    unsafe { FltClose(handle) };
    // SAFETY: as above.
    unsafe { FltObjectDereference(owner.cast()) };
    status
}

/// What a thread of a filter sends for an instance, about a file, with callback data for a read.
type Send = fn(PFLT_INSTANCE, PFILE_OBJECT, PFLT_CALLBACK_DATA) -> NTSTATUS;

#[test]
fn teardown_waits_for_a_request_that_a_thread_of_the_filter_waits_for() {
    let requests: [(u8, Send); 5] = [
        (IRP_MJ_READ, |_, _, data| {
            // SAFETY: callback data of the test's own.
            unsafe { FltPerformSynchronousIo(data) };
            status(data)
        }),
        (IRP_MJ_FLUSH_BUFFERS, |instance, file, _| {
            // SAFETY: the objects exist.
            unsafe { FltFlushBuffers(instance, file) }
        }),
        (IRP_MJ_QUERY_SECURITY, |instance, file, _| {
            let mut needed = 0;
            let parts = OWNER_SECURITY_INFORMATION;
            let buffer = null_mut();
            // SAFETY: the objects exist, and there is no buffer.
            unsafe { FltQuerySecurityObject(instance, file, parts, buffer, 0, &raw mut needed) }
        }),
        (IRP_MJ_FILE_SYSTEM_CONTROL, |instance, file, _| {
            let (code, none) = (FSCTL_IS_VOLUME_MOUNTED, null_mut());
            // SAFETY: the objects exist, and there are no buffers.
            unsafe { FltFsControlFile(instance, file, code, none, 0, none, 0, null_mut()) }
        }),
        (IRP_MJ_CREATE, |instance, _, _| open_below(instance)),
    ];
    for (major, send) in requests {
        let (machine, volume) = machine();
        let log = log();
        let own = Script::new("own", &log).load(&machine, "2");
        let instance = volume.instances()[0].pointer as usize;
        let handle = file(&volume, b"abc");
        let notes = log.clone();
        let low = Script::new("low", &log)
            .pre(major, move |_, _, _| {
                // Long enough for a teardown that does not wait to be over.
                thread::sleep(Duration::from_millis(50));
                notes.lock().push("low is done".to_owned());
                FLT_PREOP_SUCCESS_NO_CALLBACK
            })
            .load(&machine, "1");
        take(&log);
        let mut buffer = [0_u8; 3];
        let object = handle.file_object();
        let data = own_read(instance as PFLT_INSTANCE, object, &mut buffer) as usize;
        let object = object as usize;
        thread::scope(|scope| {
            let machine = &machine;
            let worker = scope.spawn(move || {
                let (instance, object) = (instance as PFLT_INSTANCE, object as PFILE_OBJECT);
                machine.at_irql(0, || send(instance, object, data as PFLT_CALLBACK_DATA))
            });
            while log.lock().is_empty() {
                thread::yield_now();
            }
            machine.detach(&own.driver, &volume).unwrap();
            let expected = match major {
                IRP_MJ_QUERY_SECURITY => STATUS_BUFFER_TOO_SMALL,
                _ => STATUS_SUCCESS,
            };
            assert_eq!(worker.join().unwrap(), expected, "{major}");
        });
        assert_eq!(
            take(&log),
            [
                &format!("low pre {}", short(major)),
                "own query-teardown",
                "own teardown-start 1",
                "low is done",
                "own teardown-complete 1"
            ]
        );
        // SAFETY: callback data of the test's own, which is complete.
        unsafe { FltFreeCallbackData(data as PFLT_CALLBACK_DATA) };
        drop(handle);
        own.unload().unwrap();
        low.unload().unwrap();
        assert!(machine.finish().is_clean());
    }
}

#[test]
fn a_request_of_the_filters_own_that_never_ends_is_reported() {
    let (machine, volume) = machine();
    let log = log();
    let own = Script::new("own", &log).load(&machine, "2");
    let instance = volume.instances()[0].pointer;
    let handle = file(&volume, b"abc");
    let low = Script::new("low", &log)
        .pre(IRP_MJ_READ, |_, _, _| FLT_PREOP_PENDING)
        .load(&machine, "1");
    take(&log);
    let mut buffer = [0_u8; 3];
    let data = own_read(instance, handle.file_object(), &mut buffer);
    let context: PVOID = (&raw const log).cast_mut().cast();
    let done = Some(completed_at_the_gate as _);
    // SAFETY: callback data of the test's own.
    let begun = machine.at_irql(0, || unsafe {
        FltPerformAsynchronousIo(data, done, context)
    });
    assert_eq!(begun, STATUS_PENDING);
    machine.detach(&own.driver, &volume).unwrap();
    let rules = || -> Vec<Rule> {
        let violations = machine.verifier().violations();
        violations.iter().map(|report| report.rule).collect()
    };
    assert_eq!(rules(), [Rule::V20]);
    assert_eq!(machine.verifier().leaks(), []);
    // The one who keeps it is told too, and then it ends.
    low.unload().unwrap();
    assert_eq!(rules(), [Rule::V20]);
    assert_eq!(machine.verifier().leaks().len(), 1);
    assert!(take(&log).contains(&format!("completed {STATUS_CANCELLED:#x}")));
    // SAFETY: callback data of the test's own, which is complete.
    unsafe { FltFreeCallbackData(data) };
    drop(handle);
    own.unload().unwrap();
    assert_eq!(machine.finish().leaks.len(), 1);
}

#[test]
fn callback_data_of_a_drivers_own() {
    let pinned = Some(Completion::Worker);
    let (machine, volume) = machine_completing(Personality::ntfs(), pinned);
    let log = log();
    let own = Script::new("own", &log)
        .watch(IRP_MJ_READ)
        .load(&machine, "2");
    let _low = Script::new("low", &log)
        .pre(IRP_MJ_READ, |callback_data, _, _| {
            let generated = data(callback_data).Flags & FLTFL_CALLBACK_DATA_GENERATED_IO;
            assert_ne!(generated, 0);
            // What is changed below is as before above.
            change_iopb(callback_data, |iopb| iopb.Parameters.Read.Length = 2);
            // SAFETY: the callback data of this callback.
            unsafe { FltSetCallbackDataDirty(callback_data) };
            FLT_PREOP_SUCCESS_NO_CALLBACK
        })
        .load(&machine, "1");
    let instance = volume.instances()[0].pointer;
    let handle = file(&volume, b"abcdef");
    take(&log);
    let mut buffer = [0_u8; 4];
    machine.at_irql(0, || {
        let data = own_read(instance, handle.file_object(), &mut buffer);
        // SAFETY: callback data of the test's own.
        unsafe { FltPerformSynchronousIo(data) };
        assert_eq!((status(data), &buffer), (STATUS_SUCCESS, b"ab\0\0"));
        // SAFETY: every bit pattern of the union is a length.
        let length = unsafe { iopb(data).Parameters.Read.Length };
        assert_eq!((length, iopb(data).TargetInstance), (4, instance));
        assert_eq!(take(&log), ["low pre read"]);

        // SAFETY: callback data of the test's own.
        unsafe { FltReissueSynchronousIo(instance, data) };
        assert_eq!(take(&log), ["low pre read"]);

        // SAFETY: as above.
        unsafe { FltReuseCallbackData(data) };
        assert_eq!(iopb(data).TargetFileObject, handle.file_object());
        assert_eq!(iopb(data).MajorFunction, 0);
        // A create cannot be asynchronous, and calls back all the same.
        let ear = ear(true);
        change_iopb(data, |iopb| iopb.MajorFunction = IRP_MJ_CREATE);
        // SAFETY: as above; the ear outlives the call.
        let begun = unsafe { FltPerformAsynchronousIo(data, Some(completed), context(&ear)) };
        assert_eq!(begun, STATUS_FLT_INVALID_ASYNCHRONOUS_REQUEST);
        assert_eq!(ear.listen().status, STATUS_FLT_INVALID_ASYNCHRONOUS_REQUEST);

        let data = own_read(instance, handle.file_object(), &mut buffer);
        // SAFETY: as above.
        let begun = unsafe { FltPerformAsynchronousIo(data, Some(completed), context(&ear)) };
        assert!(
            matches!(begun, STATUS_PENDING | STATUS_SUCCESS),
            "{begun:#x}"
        );
        assert_eq!(ear.listen().information, 2);

        // Left behind, used when freed, and not anybody's.
        own_read(instance, handle.file_object(), &mut buffer);
        // SAFETY: freed by the callback, which is reported.
        unsafe { FltPerformSynchronousIo(data) };
    });
    drop(handle);
    own.unload().unwrap();
    let outcome = machine.finish();
    assert_eq!(outcome.leaks.len(), 1, "{:?}", outcome.leaks);
    assert_eq!(outcome.leaks[0].object, "callback data");
    assert_eq!(outcome.violations.len(), 1);
    assert_eq!(outcome.violations[0].call, "FltPerformSynchronousIo");
}

#[test]
fn a_failed_create_is_sent_again() {
    let (machine, volume) = machine();
    let log = log();
    let _low = Script::new("low", &log)
        .watch(IRP_MJ_CREATE)
        .load(&machine, "1");
    let _own = Script::new("own", &log)
        .post(IRP_MJ_CREATE, |callback_data, objects, _, _| {
            if status(callback_data) == STATUS_OBJECT_NAME_NOT_FOUND {
                change_iopb(callback_data, |iopb| {
                    // SAFETY: this is a create.
                    let options = unsafe { iopb.Parameters.Create.Options };
                    iopb.Parameters.Create.Options = (options & 0x00FF_FFFF) | FILE_CREATE << 24;
                });
                // SAFETY: the callback data and the instance of this callback.
                unsafe { FltSetCallbackDataDirty(callback_data) };
                // SAFETY: as above.
                unsafe { FltReissueSynchronousIo(objects.Instance, callback_data) };
            }
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "2");
    take(&log);
    let handle = volume.open("\\new", OpenOptions::read_write()).unwrap();
    assert_eq!(handle.information() as u64, FILE_CREATED);
    assert_eq!(
        take(&log),
        [
            "low pre create",
            "low post create",
            "own post create",
            "low pre create",
            "low post create",
        ]
    );
    drop(handle);
    assert!(machine.finish().is_clean());
}

fltapi! {
    unsafe fn complete_cancelled(callback_data: PFLT_CALLBACK_DATA) {
        set_status(callback_data, STATUS_CANCELLED, 0);
        // SAFETY: the pended operation that was cancelled.
        unsafe { FltCompletePendedPreOperation(callback_data, FLT_PREOP_COMPLETE, null_mut()) };
    }
}

#[test]
fn a_pended_read_is_cancelled() {
    let (machine, volume) = machine();
    let log = log();
    let own = Script::new("own", &log)
        .pre(IRP_MJ_READ, |data, _, _| {
            // SAFETY: the callback data of this callback.
            let set = unsafe { FltSetCancelCompletion(data, Some(complete_cancelled)) };
            assert_eq!(set, STATUS_SUCCESS);
            FLT_PREOP_PENDING
        })
        .load(&machine, "2");
    let handle = file(&volume, b"abc");
    let mut pending = handle.begin_read(0, 3, IoOptions::default());
    assert!(!pending.is_complete());
    assert!(pending.cancel());
    assert!(!pending.cancel(), "it was cancelled before");
    assert_eq!(pending.wait(), Err(STATUS_CANCELLED));
    let all = [
        handle.begin_read(0, 1, IoOptions::default()),
        handle.begin_read(1, 1, IoOptions::default()),
    ];
    assert_eq!(handle.cancel_io(), 2);
    for pending in all {
        assert_eq!(pending.into_data(), Err(STATUS_CANCELLED));
    }
    drop(handle);
    own.unload().unwrap();
    assert!(machine.finish().is_clean());
}

/// A driver's list of operations, with its lock.
#[derive(Default)]
struct Lists {
    waiting: Mutex<Vec<usize>>,
    locked: AtomicUsize,
    memory: Mutex<Vec<usize>>,
}

static LISTS: LazyLock<Lists> = LazyLock::new(Lists::default);

fltapi! {
    unsafe fn insert(
        _queue: PFLT_CALLBACK_DATA_QUEUE,
        data: PFLT_CALLBACK_DATA,
        refuse: PVOID,
    ) -> NTSTATUS {
        assert_eq!(LISTS.locked.load(Ordering::SeqCst), 1);
        if !refuse.is_null() {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        LISTS.waiting.lock().push(data as usize);
        STATUS_SUCCESS
    }

    unsafe fn remove(_queue: PFLT_CALLBACK_DATA_QUEUE, data: PFLT_CALLBACK_DATA) {
        assert_eq!(LISTS.locked.load(Ordering::SeqCst), 1);
        LISTS.waiting.lock().retain(|one| *one != data as usize);
    }

    unsafe fn peek(
        _queue: PFLT_CALLBACK_DATA_QUEUE,
        data: PFLT_CALLBACK_DATA,
        _context: PVOID,
    ) -> PFLT_CALLBACK_DATA {
        assert_eq!(LISTS.locked.load(Ordering::SeqCst), 1);
        let waiting = LISTS.waiting.lock();
        let at = waiting.iter().position(|one| *one == data as usize);
        let next = waiting.get(at.map_or(0, |at| at + 1));
        next.map_or(null_mut(), |next| *next as PFLT_CALLBACK_DATA)
    }

    unsafe fn acquire(_queue: PFLT_CALLBACK_DATA_QUEUE, level: *mut KIRQL) {
        // SAFETY: the queue passes a place for the level.
        unsafe { level.write(5) };
        while LISTS.locked.swap(1, Ordering::SeqCst) != 0 {
            thread::yield_now();
        }
    }

    unsafe fn release(_queue: PFLT_CALLBACK_DATA_QUEUE, level: KIRQL) {
        assert_eq!(level, 5, "what was stored comes back");
        LISTS.locked.store(0, Ordering::SeqCst);
    }

    unsafe fn complete(_queue: PFLT_CALLBACK_DATA_QUEUE, data: PFLT_CALLBACK_DATA) {
        assert_eq!(LISTS.locked.load(Ordering::SeqCst), 0);
        // SAFETY: the pended operation that was cancelled.
        unsafe { complete_cancelled(data) };
    }
}

fn queue() -> PFLT_CALLBACK_DATA_QUEUE {
    LISTS.memory.lock().as_mut_ptr().cast()
}

/// Completes the next operation in the queue; whether there was one.
fn serve(machine: &Machine) -> bool {
    machine.at_irql(0, || {
        // SAFETY: the queue is initialised.
        let data = unsafe { FltCbdqRemoveNextIo(queue(), null_mut()) };
        if data.is_null() {
            return false;
        }
        let status = FLT_PREOP_SUCCESS_NO_CALLBACK;
        // SAFETY: the operation was pended, and is no longer in the queue.
        unsafe { FltCompletePendedPreOperation(data, status, null_mut()) };
        true
    })
}

#[test]
fn a_cancel_safe_queue() {
    let (machine, volume) = machine();
    let log = log();
    *LISTS.memory.lock() = vec![0; 16];
    let own = Script::new("own", &log)
        .setup(|objects, _| {
            // SAFETY: memory as long as a queue, which is never moved.
            unsafe {
                FltCbdqInitialize(
                    objects.Instance,
                    queue(),
                    Some(insert),
                    Some(remove),
                    Some(peek),
                    Some(acquire),
                    Some(release),
                    Some(complete),
                )
            }
        })
        .start(|_, _| {
            // SAFETY: the queue is initialised.
            unsafe { FltCbdqDisable(queue()) };
            loop {
                // SAFETY: as above.
                let data = unsafe { FltCbdqRemoveNextIo(queue(), null_mut()) };
                if data.is_null() {
                    return;
                }
                // SAFETY: the operation was pended, and is no longer in the queue.
                unsafe { complete_cancelled(data) };
            }
        })
        .pre(IRP_MJ_READ, |data, _, _| {
            // SAFETY: every bit pattern of the union is a number.
            let refuse = unsafe { iopb(data).Parameters.Read.Length } == 99;
            let context = usize::from(refuse) as PVOID;
            // SAFETY: the queue is initialised, and this is the data of the callback.
            match unsafe { FltCbdqInsertIo(queue(), data, null_mut(), context) } {
                STATUS_SUCCESS => FLT_PREOP_PENDING,
                STATUS_FLT_CBDQ_DISABLED => FLT_PREOP_SUCCESS_NO_CALLBACK,
                other => {
                    set_status(data, other, 0);
                    FLT_PREOP_COMPLETE
                }
            }
        })
        .load(&machine, "2");
    let handle = file(&volume, b"abc");
    let read = |length| handle.begin_read(0, length, IoOptions::default());
    assert_eq!(read(99).into_data(), Err(STATUS_INSUFFICIENT_RESOURCES));

    let [first, mut second, third] = [read(1), read(2), read(3)];
    assert_eq!(LISTS.waiting.lock().len(), 3);
    assert!(second.cancel());
    assert_eq!(second.wait(), Err(STATUS_CANCELLED));
    assert!(serve(&machine));
    assert_eq!(first.into_data().unwrap(), b"a");
    assert!(serve(&machine));
    assert_eq!(third.into_data().unwrap(), b"abc");
    assert!(!serve(&machine));

    // SAFETY: the queue is initialised.
    machine.at_irql(0, || unsafe { FltCbdqDisable(queue()) });
    assert_eq!(read(2).into_data().unwrap(), b"ab");
    // SAFETY: as above.
    machine.at_irql(0, || unsafe { FltCbdqEnable(queue()) });

    // What is queued is completed when the instance goes.
    let last = read(1);
    own.unload().unwrap();
    assert_eq!(last.into_data(), Err(STATUS_CANCELLED));
    drop(handle);
    assert!(machine.finish().is_clean());
}

static COMPLETED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn many_reads_are_removed_and_cancelled_at_once() {
    let (machine, volume) = machine();
    let log = log();
    let own = Script::new("own", &log)
        .pre(IRP_MJ_READ, |data, _, _| {
            // SAFETY: the callback data of this callback.
            let set = unsafe { FltSetCancelCompletion(data, Some(complete_cancelled)) };
            if set == STATUS_CANCELLED {
                set_status(data, STATUS_CANCELLED, 0);
                return FLT_PREOP_COMPLETE;
            }
            let address = data as usize;
            thread::spawn(move || {
                let data = address as PFLT_CALLBACK_DATA;
                // SAFETY: pended, and completed by whoever clears the routine or is called.
                if unsafe { FltClearCancelCompletion(data) } == STATUS_SUCCESS {
                    COMPLETED.fetch_add(1, Ordering::SeqCst);
                    let go_on = FLT_PREOP_SUCCESS_NO_CALLBACK;
                    // SAFETY: as above.
                    unsafe { FltCompletePendedPreOperation(data, go_on, null_mut()) };
                }
            });
            FLT_PREOP_PENDING
        })
        .load(&machine, "2");
    let handle = file(&volume, b"abc");
    let mut cancelled = 0;
    for round in 0..200 {
        let mut pending = handle.begin_read(0, 3, IoOptions::default());
        if round % 2 == 0 {
            thread::yield_now();
        }
        pending.cancel();
        match pending.wait() {
            Ok(3) => {}
            Err(STATUS_CANCELLED) => cancelled += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(cancelled + COMPLETED.load(Ordering::SeqCst), 200);
    drop(handle);
    own.unload().unwrap();
    // A thread that lost may look at the operation after its end, which the driver must not do;
    // nothing worse came of it.
    let outcome = machine.finish();
    assert!(outcome.leaks.is_empty() && outcome.bugchecks.is_empty());
}

fltapi! {
    unsafe fn work(item: PFLT_DEFERRED_IO_WORKITEM, data: PFLT_CALLBACK_DATA, context: PVOID) {
        assert_eq!((irql::current(), context as usize), (0, 7));
        // SAFETY: this work item, which has been dequeued.
        unsafe { FltFreeDeferredIoWorkItem(item) };
        // SAFETY: the operation that was posted.
        unsafe {
            FltCompletePendedPreOperation(data, FLT_PREOP_SUCCESS_NO_CALLBACK, null_mut());
        }
    }
}

#[test]
fn an_operation_is_posted_unless_that_is_not_safe() {
    let (machine, volume) = machine();
    let log = log();
    let own = Script::new("own", &log)
        .pre(IRP_MJ_READ, |data, _, _| {
            // SAFETY: no preconditions.
            let item = unsafe { FltAllocateDeferredIoWorkItem() };
            let queue = DelayedWorkQueue;
            let context = 7 as PVOID;
            // SAFETY: the item was just allocated, and this is the data of the callback.
            match unsafe { FltQueueDeferredIoWorkItem(item, data, Some(work), queue, context) } {
                STATUS_SUCCESS => FLT_PREOP_PENDING,
                status => {
                    // SAFETY: it was not queued.
                    unsafe { FltFreeDeferredIoWorkItem(item) };
                    set_status(data, status, 0);
                    FLT_PREOP_COMPLETE
                }
            }
        })
        .load(&machine, "2");
    let handle = file(&volume, b"abc");
    let mut buffer = [0; 3];
    assert_eq!(handle.read(0, &mut buffer), Ok(3));
    let not_safe = Err(STATUS_FLT_NOT_SAFE_TO_POST_OPERATION);
    assert_eq!(handle.read_paging(0, &mut buffer), not_safe);
    assert_eq!(handle.read_fast(0, &mut buffer), not_safe);
    drop(handle);
    own.unload().unwrap();
    assert!(machine.finish().is_clean());
}

static ANSWERS: Mutex<Vec<(NTSTATUS, u32, usize)>> = Mutex::new(Vec::new());

fltapi! {
    unsafe fn answer(
        _objects: PCFLT_RELATED_OBJECTS,
        snapshot: PFLT_IO_PARAMETER_BLOCK,
        status: NTSTATUS,
        context: PVOID,
    ) {
        // SAFETY: the snapshot lives through the call.
        let parameters = unsafe { (*snapshot).Parameters };
        // SAFETY: this is a read.
        let length = unsafe { parameters.Read.Length };
        ANSWERS.lock().push((status, length, context as usize));
    }
}

#[test]
fn the_status_of_the_layers_below() {
    let (machine, volume) = machine();
    let log = log();
    let _own = Script::new("own", &log)
        .pre(IRP_MJ_READ, |data, _, _| {
            let context = 9 as PVOID;
            // SAFETY: the callback data of this callback.
            let asked = unsafe { FltRequestOperationStatusCallback(data, Some(answer), context) };
            let fast = io_support::data(data).Flags & FLTFL_CALLBACK_DATA_FAST_IO_OPERATION != 0;
            let expected = if fast {
                STATUS_INVALID_PARAMETER
            } else {
                STATUS_SUCCESS
            };
            assert_eq!(asked, expected);
            change_iopb(data, |iopb| iopb.Parameters.Read.Length = 1);
            // SAFETY: as above.
            unsafe { FltSetCallbackDataDirty(data) };
            FLT_PREOP_SUCCESS_NO_CALLBACK
        })
        .pre(IRP_MJ_CLOSE, |data, _, _| {
            // SAFETY: as above.
            let asked =
                unsafe { FltRequestOperationStatusCallback(data, Some(answer), null_mut()) };
            assert_eq!(asked, STATUS_INVALID_PARAMETER);
            FLT_PREOP_SUCCESS_NO_CALLBACK
        })
        .load(&machine, "2");
    let handle = file(&volume, b"abc");
    let mut buffer = [0; 2];
    assert_eq!(handle.read(0, &mut buffer), Ok(1));
    assert_eq!(handle.read(9, &mut buffer), Err(STATUS_END_OF_FILE));
    assert_eq!(handle.read_with(0, &mut buffer, IoOptions::worker()), Ok(1));
    assert_eq!(handle.read_fast(0, &mut buffer), Ok(1));
    drop(handle);
    assert_eq!(
        *ANSWERS.lock(),
        [
            (STATUS_SUCCESS, 2, 9),
            (STATUS_END_OF_FILE, 2, 9),
            (STATUS_PENDING, 2, 9),
        ]
    );
    assert!(machine.finish().is_clean());
}
