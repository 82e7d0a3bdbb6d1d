//! Byte-range locks that a minifilter keeps itself: the lock package of the Filter Manager, and the
//! kernel's own functions over the same structure.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod io_support;

use fltmgr_sys::*;
use fltsim::verifier::Rule;
use fltsim::{ByteRange, Config, Handle, IoOptions, Machine, OpenOptions, Volume};
use io_support::*;
use parking_lot::Mutex;
use std::ptr::null_mut;
use std::sync::Arc;

const RANGE: ByteRange = ByteRange::exclusive(0, 10);

/// What the routines of a lock structure have been told, and what they answer.
#[derive(Default)]
struct Tape {
    /// The minor function and the status of each operation.
    completed: Mutex<Vec<(u8, NTSTATUS)>>,
    /// Start, length, key and whether it was exclusive, of each lock that is gone.
    unlocked: Mutex<Vec<(i64, i64, u32, u8)>>,
    answer: Mutex<NTSTATUS>,
}

fltapi! {
    unsafe fn completed(context: PVOID, callback_data: PFLT_CALLBACK_DATA) -> NTSTATUS {
        // SAFETY: the tests pass a tape that they keep.
        let tape = unsafe { &*context.cast::<Tape>() };
        let minor = iopb(callback_data).MinorFunction;
        tape.completed.lock().push((minor, status(callback_data)));
        *tape.answer.lock()
    }

    unsafe fn unlocked(context: PVOID, information: PFILE_LOCK_INFO) {
        // SAFETY: the tests pass a tape that they keep.
        let tape = unsafe { &*context.cast::<Tape>() };
        // SAFETY: the routine gets a description of the lock.
        let lock = unsafe { information.read() };
        assert_eq!(quad(lock.EndingByte), quad(lock.StartingByte) + quad(lock.Length) - 1);
        assert!(!lock.FileObject.is_null());
        let one = (quad(lock.StartingByte), quad(lock.Length), lock.Key, lock.ExclusiveLock);
        tape.unlocked.lock().push(one);
    }
}

fn quad(value: LARGE_INTEGER) -> i64 {
    // SAFETY: every bit pattern of the union is an integer.
    unsafe { value.QuadPart }
}

impl Tape {
    fn context(&self) -> PVOID {
        (&raw const *self).cast_mut().cast()
    }

    fn take_completed(&self) -> Vec<(u8, NTSTATUS)> {
        std::mem::take(&mut *self.completed.lock())
    }

    fn take_unlocked(&self) -> Vec<(i64, i64, u32, u8)> {
        std::mem::take(&mut *self.unlocked.lock())
    }
}

/// A filter that keeps the locks of all files in one structure, so that the file system sees none
/// of them.
struct Keeper {
    machine: Machine,
    volume: Volume,
    filter: Loaded,
    tape: Arc<Tape>,
    lock: usize,
    log: Log,
}

impl Keeper {
    fn new() -> Self {
        Self::with(|lock, tape| {
            move |data, _, _| {
                // SAFETY: a live structure and live callback data.
                unsafe { FltProcessFileLock(lock as PFILE_LOCK, data, tape.context()) }
            }
        })
    }

    fn with<F>(process: impl FnOnce(usize, Arc<Tape>) -> F) -> Self
    where
        F: Fn(PFLT_CALLBACK_DATA, &FLT_RELATED_OBJECTS, &mut PVOID) -> i32 + Send + Sync + 'static,
    {
        let (machine, volume) = machine();
        let tape = Arc::new(Tape::default());
        let lock = machine.at_irql(0, || {
            // SAFETY: the routines are those of this file.
            unsafe { FltAllocateFileLock(Some(completed), Some(unlocked)) as usize }
        });
        assert_ne!(lock, 0);
        let log = log();
        let watch = Script::new("watch", &log).watch(IRP_MJ_LOCK_CONTROL);
        let watch = watch.load(&machine, "2");
        let filter = Script::new("keep", &log)
            .pre(IRP_MJ_LOCK_CONTROL, process(lock, tape.clone()))
            .pre(IRP_MJ_READ, move |data, _, _| {
                // SAFETY: a live structure and live callback data.
                let may = unsafe { FltCheckLockForReadAccess(lock as PFILE_LOCK, data) };
                decide(data, may)
            })
            .pre(IRP_MJ_WRITE, move |data, _, _| {
                // SAFETY: a live structure and live callback data.
                let may = unsafe { FltCheckLockForWriteAccess(lock as PFILE_LOCK, data) };
                decide(data, may)
            })
            .load(&machine, "1");
        // The one above is unloaded by the machine in the end.
        std::mem::forget(watch);
        Self {
            machine,
            volume,
            filter,
            tape,
            lock,
            log,
        }
    }

    fn open(&self) -> Handle {
        let handle = self.volume.open("\\file", OpenOptions::create()).unwrap();
        handle.write_paging(0, b"abcdefghijklmnopqrst").unwrap();
        handle
    }

    fn questionable(&self) -> u8 {
        // SAFETY: a live structure.
        unsafe { (*(self.lock as PFILE_LOCK)).FastIoIsQuestionable }
    }

    /// How often the filter above was called before and after lock operations.
    fn watched(&self) -> (usize, usize) {
        let log = take(&self.log);
        let count = |what: &str| log.iter().filter(|one| *one == what).count();
        (count("watch pre other"), count("watch post other"))
    }

    fn free(&self) {
        self.machine.at_irql(0, || {
            // SAFETY: a live structure.
            unsafe { FltFreeFileLock(self.lock as PFILE_LOCK) };
        });
    }

    fn finish(self) {
        self.free();
        let outcome = self.machine.finish();
        assert!(outcome.is_clean(), "{outcome:?}");
    }
}

fn decide(callback_data: PFLT_CALLBACK_DATA, may: u8) -> i32 {
    let paging = iopb(callback_data).IrpFlags & IRP_PAGING_IO != 0;
    if may != 0 || paging {
        return FLT_PREOP_SUCCESS_NO_CALLBACK;
    }
    set_status(callback_data, STATUS_FILE_LOCK_CONFLICT, 0);
    FLT_PREOP_COMPLETE
}

#[test]
fn a_filter_keeps_the_locks_itself() {
    let keeper = Keeper::new();
    let (first, second) = (keeper.open(), keeper.open());
    let keyed = ByteRange::shared(10, 5).key(3);
    assert_eq!(first.lock(RANGE), Ok(()));
    assert_eq!(keeper.questionable(), 1);
    assert_eq!(second.lock(RANGE), Err(STATUS_LOCK_NOT_GRANTED));
    assert_eq!(second.lock(keyed), Ok(()));
    assert_eq!(first.read(9, &mut [0]), Ok(1));
    assert_eq!(second.read(9, &mut [0]), Err(STATUS_FILE_LOCK_CONFLICT));
    assert_eq!(second.read(10, &mut [0]), Ok(1));
    assert_eq!(second.write(10, b"x"), Err(STATUS_FILE_LOCK_CONFLICT));
    assert_eq!(first.write(9, b"x"), Ok(1));
    assert_eq!(keeper.tape.take_unlocked(), []);
    assert_eq!(first.unlock(RANGE), Ok(()));
    assert_eq!(first.unlock(RANGE), Err(STATUS_RANGE_NOT_LOCKED));
    assert_eq!(keeper.questionable(), 1);
    assert_eq!(second.unlock_all_by_key(3), Ok(()));
    assert_eq!(second.unlock_all(), Err(STATUS_RANGE_NOT_LOCKED));
    assert_eq!(keeper.questionable(), 0);
    assert_eq!(keeper.tape.take_unlocked(), [(0, 10, 0, 1), (10, 5, 3, 0)]);
    let completed = keeper.tape.take_completed();
    assert_eq!(
        completed,
        [
            (IRP_MN_LOCK, STATUS_SUCCESS),
            (IRP_MN_LOCK, STATUS_LOCK_NOT_GRANTED),
            (IRP_MN_LOCK, STATUS_SUCCESS),
            (IRP_MN_UNLOCK_SINGLE, STATUS_SUCCESS),
            (IRP_MN_UNLOCK_SINGLE, STATUS_RANGE_NOT_LOCKED),
            (IRP_MN_UNLOCK_ALL_BY_KEY, STATUS_SUCCESS),
            (IRP_MN_UNLOCK_ALL, STATUS_RANGE_NOT_LOCKED),
        ]
    );
    assert_eq!(keeper.watched(), (7, 7));
    assert_eq!(keeper.machine.calls("FltProcessFileLock"), 7);
    assert_eq!(keeper.machine.calls("FltCheckLockForReadAccess"), 3);
    drop((first, second));
    keeper.finish();
}

#[test]
fn the_package_completes_what_has_waited() {
    let keeper = Keeper::new();
    let (first, second) = (keeper.open(), keeper.open());
    first.lock(RANGE).unwrap();
    let mut granted = second.begin_lock(RANGE);
    let mut cancelled = second.begin_lock(RANGE.key(1));
    let mut left = second.begin_lock(RANGE.key(2));
    assert!(!granted.is_complete() && !cancelled.is_complete());
    assert_eq!(keeper.watched(), (4, 1));
    assert_eq!(
        keeper.tape.take_completed(),
        [(IRP_MN_LOCK, STATUS_SUCCESS)]
    );
    assert_eq!(first.unlock(RANGE), Ok(()));
    assert_eq!(granted.wait(), Ok(0));
    assert!(cancelled.cancel() && !left.is_complete());
    assert_eq!(cancelled.wait(), Err(STATUS_CANCELLED));
    assert_eq!(keeper.watched(), (1, 3));
    let expected = [
        (IRP_MN_LOCK, STATUS_SUCCESS),
        (IRP_MN_UNLOCK_SINGLE, STATUS_SUCCESS),
        (IRP_MN_LOCK, STATUS_CANCELLED),
    ];
    assert_eq!(keeper.tape.take_completed(), expected);
    // Uninitialising ends what still waits, and what is held.
    keeper.machine.at_irql(0, || {
        let lock = keeper.lock as PFILE_LOCK;
        // SAFETY: a live structure.
        unsafe { FltUninitializeFileLock(lock) };
        assert!(left.is_complete());
        // SAFETY: memory for a structure.
        unsafe { FltInitializeFileLock(lock) };
    });
    assert_eq!(left.wait(), Err(STATUS_RANGE_NOT_LOCKED));
    let expected = [(IRP_MN_LOCK, STATUS_RANGE_NOT_LOCKED)];
    assert_eq!(keeper.tape.take_completed(), expected);
    assert_eq!(keeper.questionable(), 0);
    assert_eq!(first.lock(RANGE), Ok(()));
    assert_eq!(first.unlock(RANGE), Ok(()));
    // Initialised so it has no routines.
    assert_eq!(keeper.tape.take_completed(), []);
    drop((first, second));
    keeper.finish();
}

#[test]
fn a_filter_pends_the_operation_itself() {
    let pended: Arc<Mutex<Vec<usize>>> = Arc::default();
    let queue = pended.clone();
    let keeper = Keeper::with(|_, _| {
        move |data, _, _| {
            queue.lock().push(data as usize);
            FLT_PREOP_PENDING
        }
    });
    let (first, second) = (keeper.open(), keeper.open());
    // What a work item of the filter does.
    let work = || {
        let data = pended.lock().remove(0) as PFLT_CALLBACK_DATA;
        keeper.machine.at_irql(0, || {
            let (lock, context) = (keeper.lock as PFILE_LOCK, keeper.tape.context());
            // SAFETY: a live structure and an operation that is pended.
            let status = unsafe { FltProcessFileLock(lock, data, context) };
            if status != FLT_PREOP_PENDING {
                // SAFETY: the operation is pended, and nobody else completes it.
                unsafe { FltCompletePendedPreOperation(data, status, null_mut()) };
            }
            status
        })
    };
    let mut held = first.begin_lock(RANGE);
    let mut waiting = second.begin_lock(RANGE);
    assert!(!held.is_complete() && !waiting.is_complete());
    assert_eq!(work(), FLT_PREOP_COMPLETE);
    assert_eq!(held.wait(), Ok(0));
    assert_eq!(work(), FLT_PREOP_PENDING);
    assert!(!waiting.is_complete());
    std::thread::scope(|scope| {
        let unlock = scope.spawn(|| first.unlock(RANGE));
        while pended.lock().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(work(), FLT_PREOP_COMPLETE);
        assert_eq!(unlock.join().unwrap(), Ok(()));
    });
    assert_eq!(waiting.wait(), Ok(0));
    assert_eq!(keeper.watched(), (3, 3));
    drop((first, second));
    // Locked still: the filter has nothing to do with cleanup here.
    let machine = keeper.machine.clone();
    keeper.free();
    assert_eq!(machine.verifier().violations().len(), 1);
}

#[test]
fn a_lock_that_the_filter_does_not_want_is_taken_back() {
    let keeper = Keeper::new();
    let (first, second) = (keeper.open(), keeper.open());
    first.lock(RANGE).unwrap();
    let mut refused = second.begin_lock(RANGE);
    let mut next = second.begin_lock(RANGE);
    *keeper.tape.answer.lock() = STATUS_INSUFFICIENT_RESOURCES;
    assert_eq!(first.unlock(RANGE), Ok(()));
    assert_eq!(refused.wait(), Err(STATUS_INSUFFICIENT_RESOURCES));
    assert_eq!(next.wait(), Err(STATUS_INSUFFICIENT_RESOURCES));
    assert_eq!(first.lock(RANGE), Err(STATUS_INSUFFICIENT_RESOURCES));
    assert_eq!(keeper.questionable(), 0);
    *keeper.tape.answer.lock() = STATUS_SUCCESS;
    assert_eq!(first.lock(RANGE), Ok(()));
    assert_eq!(first.unlock_all(), Ok(()));
    // What was taken back was never unlocked.
    assert_eq!(keeper.tape.take_unlocked(), [(0, 10, 0, 1); 2]);
    drop((first, second));
    keeper.finish();
}

#[test]
fn direct_calls_are_not_told_and_do_not_wait() {
    let decisions: Arc<Mutex<Vec<(bool, i32)>>> = Arc::default();
    let said = decisions.clone();
    let keeper = Keeper::with(|lock, tape| {
        move |data, _, _| {
            let fast = self::data(data).Flags & FLTFL_CALLBACK_DATA_FAST_IO_OPERATION != 0;
            if fast {
                change_iopb(data, |iopb| {
                    iopb.Parameters.LockControl.FailImmediately = 0;
                });
            }
            // SAFETY: a live structure and live callback data.
            let status = unsafe { FltProcessFileLock(lock as PFILE_LOCK, data, tape.context()) };
            said.lock().push((fast, status));
            status
        }
    });
    let (first, second) = (keeper.open(), keeper.open());
    let fast = IoOptions::default().fast_io();
    assert_eq!(first.lock_with(RANGE, fast), Ok(()));
    assert_eq!(keeper.tape.take_completed(), []);
    assert_eq!(keeper.watched(), (1, 1));
    // It comes again as an IRP, which does not want to wait.
    let refused = second.lock_with(RANGE, fast);
    assert_eq!(refused, Err(STATUS_LOCK_NOT_GRANTED));
    assert_eq!(keeper.watched(), (2, 2));
    let expected = [
        (true, FLT_PREOP_COMPLETE),
        (true, FLT_PREOP_DISALLOW_FASTIO),
        (false, FLT_PREOP_COMPLETE),
    ];
    assert_eq!(*decisions.lock(), expected);
    let expected = [(IRP_MN_LOCK, STATUS_LOCK_NOT_GRANTED)];
    assert_eq!(keeper.tape.take_completed(), expected);
    assert_eq!(first.unlock_with(RANGE, fast), Ok(()));
    assert_eq!(keeper.tape.take_completed(), []);
    assert_eq!(keeper.tape.take_unlocked(), [(0, 10, 0, 1)]);
    drop((first, second));
    keeper.finish();
}

#[test]
fn a_filter_that_goes_is_not_told_any_more() {
    let keeper = Keeper::new();
    let (first, second) = (keeper.open(), keeper.open());
    first.lock(RANGE).unwrap();
    let mut waiting = second.begin_lock(RANGE);
    keeper.tape.take_completed();
    keeper.filter.unload().unwrap();
    assert_eq!(waiting.wait(), Err(STATUS_CANCELLED));
    assert_eq!(keeper.tape.take_completed(), []);
    drop((first, second));
    keeper.free();
}

/// The rules that were broken, and the calls that broke them.
fn broken(machine: &Machine) -> Vec<(Rule, &'static str)> {
    let reports = machine.verifier().violations();
    reports.iter().map(|one| (one.rule, one.call)).collect()
}

fn blank() -> FILE_LOCK {
    // SAFETY: integers, nullable pointers and nullable routines; all-zero is a valid structure.
    unsafe { std::mem::zeroed() }
}

#[test]
fn misuse_is_reported() {
    let (machine, volume) = machine();
    let handle = volume.open("\\file", OpenOptions::create()).unwrap();
    let mut memory = blank();
    let lock = &raw mut memory;
    machine.at_irql(0, || {
        // SAFETY: what is no structure is looked at before it is followed.
        unsafe { FltUninitializeFileLock(lock) };
        // SAFETY: as above.
        unsafe { FltFreeFileLock(lock) };
        // SAFETY: as above.
        unsafe { FltInitializeFileLock(null_mut()) };
        // SAFETY: memory for a structure.
        unsafe { FltInitializeFileLock(lock) };
        // SAFETY: as above.
        unsafe { FltInitializeFileLock(lock) };
        // SAFETY: a live structure; the callback data is looked at first.
        let done = unsafe { FltProcessFileLock(lock, null_mut(), null_mut()) };
        assert_eq!(done, FLT_PREOP_COMPLETE);
        // SAFETY: a live structure.
        unsafe { FltUninitializeFileLock(lock) };
        // SAFETY: as above.
        let allocated = unsafe { FltAllocateFileLock(None, None) };
        // SAFETY: a live structure.
        unsafe { FltUninitializeFileLock(allocated) };
        // SAFETY: as above.
        unsafe { FltFreeFileLock(allocated) };
        // SAFETY: as above.
        unsafe { FltInitializeFileLock(allocated) };
        // SAFETY: as above.
        unsafe { FltFreeFileLock(allocated) };
    });
    assert_eq!(
        broken(&machine),
        [
            (Rule::V0, "FltUninitializeFileLock"),
            (Rule::V0, "FltFreeFileLock"),
            (Rule::V0, "FltInitializeFileLock"),
            (Rule::V23, "FltInitializeFileLock"),
            (Rule::V0, "FltProcessFileLock"),
            (Rule::V0, "FltFreeFileLock"),
        ]
    );
    drop(handle);
}

#[test]
fn operations_that_are_no_locks_are_refused() {
    let keeper = Keeper::new();
    let lock = keeper.lock;
    let log = log();
    let _wrong = Script::new("wrong", &log)
        .pre(IRP_MJ_FLUSH_BUFFERS, move |data, _, _| {
            // SAFETY: a live structure and live callback data.
            let status = unsafe { FltProcessFileLock(lock as PFILE_LOCK, data, null_mut()) };
            // SAFETY: as above.
            let may = unsafe { FltCheckLockForReadAccess(lock as PFILE_LOCK, data) };
            assert_eq!(may, 0);
            status
        })
        .post(IRP_MJ_LOCK_CONTROL, move |data, _, _, _| {
            // SAFETY: as above.
            unsafe { FltProcessFileLock(lock as PFILE_LOCK, data, null_mut()) };
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&keeper.machine, "3");
    let handle = keeper.open();
    assert_eq!(handle.flush(), Err(STATUS_INVALID_DEVICE_REQUEST));
    assert_eq!(handle.lock(RANGE), Err(STATUS_INVALID_DEVICE_REQUEST));
    let expected = [
        (Rule::V12, "FltProcessFileLock"),
        (Rule::V0, "FltCheckLockForReadAccess"),
        (Rule::V12, "FltProcessFileLock"),
    ];
    assert_eq!(broken(&keeper.machine), expected);
    handle.unlock(RANGE).unwrap_err();
    keeper.free();
}

/// Frees a structure with a lock in it.
fn freed_in_use(config: Config) -> Vec<(Rule, &'static str)> {
    let machine = Machine::new(config);
    machine.at_irql(0, || {
        // SAFETY: there are no routines.
        let lock = unsafe { FltAllocateFileLock(None, None) };
        assert_eq!(fsrtl_lock(lock, 0, 10, 4, true, true), (1, STATUS_SUCCESS));
        // SAFETY: a live structure.
        unsafe { FltFreeFileLock(lock) };
    });
    broken(&machine)
}

#[test]
fn freeing_a_structure_in_use_is_doubtful() {
    let expected = [(Rule::V23, "FltFreeFileLock")];
    assert_eq!(freed_in_use(Config::default()), expected);
    assert_eq!(freed_in_use(Config::default().strict(false)), []);
}

#[test]
fn memory_is_not_freed_with_a_structure_in_it() {
    let machine = Machine::default();
    machine.at_irql(0, || {
        // SAFETY: there are no routines.
        let lock = unsafe { FltAllocateFileLock(None, None) };
        // SAFETY: pool of the machine, which is freed the wrong way.
        unsafe { ExFreePoolWithTag(lock.cast(), 0) };
        // SAFETY: what is no structure is looked at before it is followed.
        unsafe { FltFreeFileLock(lock) };
    });
    let expected = [
        (Rule::V23, "ExFreePoolWithTag"),
        (Rule::V0, "FltFreeFileLock"),
    ];
    assert_eq!(broken(&machine), expected);
}

#[test]
fn what_is_left_at_unload_is_a_leak() {
    let (machine, _volume) = machine();
    let log = log();
    let filter = Script::new("leak", &log).load(&machine, "1");
    let mut memory = blank();
    let lock = &raw mut memory;
    machine.at_irql(0, || {
        // SAFETY: memory for a structure.
        unsafe { FltInitializeFileLock(lock) };
        // SAFETY: there are no routines.
        let allocated = unsafe { FltAllocateFileLock(None, None) };
        assert!(!allocated.is_null());
    });
    filter.unload().unwrap();
    let outcome = machine.finish();
    let mut leaks: Vec<_> = outcome
        .leaks
        .iter()
        .map(|leak| (leak.object, leak.size, leak.acquired.clone()))
        .collect();
    leaks.sort();
    assert_eq!(
        leaks,
        [
            ("file lock", 0, vec![("FltInitializeFileLock", 1)]),
            ("pool allocation", 96, vec![("FltAllocateFileLock", 1)]),
        ]
    );
}

#[test]
fn every_function_has_its_irql() {
    for name in [
        "FltFreeFileLock",
        "FltUninitializeFileLock",
        "FltInitializeFileLock",
        "FsRtlGetNextFileLock",
        "FsRtlUninitializeFileLock",
    ] {
        let (machine, _volume) = machine();
        machine.at_irql(0, || {
            // SAFETY: there are no routines.
            let lock = unsafe { FltAllocateFileLock(None, None) };
            if name == "FltInitializeFileLock" {
                // SAFETY: a live structure.
                unsafe { FltUninitializeFileLock(lock) };
            }
            machine.at_irql(DISPATCH_LEVEL, || {
                let address = fltsim::resolve(name).expect(name);
                // SAFETY: the functions take a structure and at most one number beside it.
                let function = unsafe {
                    std::mem::transmute::<usize, unsafe extern "win64" fn(PFILE_LOCK, usize)>(
                        address,
                    )
                };
                // SAFETY: a live structure, or memory for one.
                unsafe { function(lock, 1) };
            });
        });
        assert_eq!(broken(&machine), [(Rule::V6, name)]);
    }
}

type PrivateLock = unsafe extern "win64" fn(
    PFILE_LOCK,
    usize,
    *const LARGE_INTEGER,
    *const LARGE_INTEGER,
    usize,
    u32,
    u8,
    u8,
    PIO_STATUS_BLOCK,
    PVOID,
    PVOID,
    u8,
) -> u8;
type UnlockSingle = unsafe extern "win64" fn(
    PFILE_LOCK,
    usize,
    *const LARGE_INTEGER,
    *const LARGE_INTEGER,
    usize,
    u32,
    PVOID,
    u8,
) -> NTSTATUS;
type UnlockAll = unsafe extern "win64" fn(PFILE_LOCK, usize, usize, PVOID) -> NTSTATUS;
type UnlockAllByKey = unsafe extern "win64" fn(PFILE_LOCK, usize, usize, u32, PVOID) -> NTSTATUS;
type CheckLock = unsafe extern "win64" fn(
    PFILE_LOCK,
    *const LARGE_INTEGER,
    *const LARGE_INTEGER,
    u32,
    usize,
    usize,
) -> u8;
type Initialise = unsafe extern "win64" fn(PFILE_LOCK, usize, PUNLOCK_ROUTINE);

const FILE: usize = 0x5000;

const fn number(value: i64) -> LARGE_INTEGER {
    LARGE_INTEGER { QuadPart: value }
}

fn address(name: &str) -> usize {
    fltsim::resolve(name).expect(name)
}

/// `FsRtlFastLock`: what it returns, and the status that it gives, or 1 if it gives none.
fn fsrtl_lock(
    lock: PFILE_LOCK,
    start: i64,
    length: i64,
    process: usize,
    fail_immediately: bool,
    exclusive: bool,
) -> (u8, NTSTATUS) {
    let (start, length) = (number(start), number(length));
    let mut block = IO_STATUS_BLOCK {
        __bindgen_anon_1: IO_STATUS_BLOCK_UNION { Status: 1 },
        Information: 0,
    };
    // SAFETY: the export has this type.
    let function =
        unsafe { std::mem::transmute::<usize, PrivateLock>(address("FsRtlPrivateLock")) };
    // SAFETY: a live structure; everything else is on this stack or only a name.
    let done = unsafe {
        function(
            lock,
            FILE,
            &raw const start,
            &raw const length,
            process,
            7,
            u8::from(fail_immediately),
            u8::from(exclusive),
            &raw mut block,
            null_mut(),
            null_mut(),
            1,
        )
    };
    // SAFETY: every bit pattern is a status.
    (done, unsafe { block.__bindgen_anon_1.Status })
}

fn fsrtl_unlock(
    lock: PFILE_LOCK,
    start: i64,
    length: i64,
    process: usize,
    tape: &Tape,
) -> NTSTATUS {
    let (start, length) = (number(start), number(length));
    let function = address("FsRtlFastUnlockSingle");
    // SAFETY: the export has this type.
    let function = unsafe { std::mem::transmute::<usize, UnlockSingle>(function) };
    // SAFETY: a live structure; everything else is on this stack or only a name.
    unsafe {
        function(
            lock,
            FILE,
            &raw const start,
            &raw const length,
            process,
            7,
            tape.context(),
            1,
        )
    }
}

/// Whether the owner of the key, and somebody without it, may read and write.
fn fsrtl_check(lock: PFILE_LOCK, start: i64, process: usize) -> [u8; 4] {
    let (start, length) = (number(start), number(1));
    let ask = |name, key| {
        // SAFETY: the export has this type.
        let function = unsafe { std::mem::transmute::<usize, CheckLock>(address(name)) };
        // SAFETY: a live structure; everything else is on this stack or only a name.
        unsafe {
            function(
                lock,
                &raw const start,
                &raw const length,
                key,
                FILE,
                process,
            )
        }
    };
    let (read, write) = ("FsRtlFastCheckLockForRead", "FsRtlFastCheckLockForWrite");
    [ask(read, 7), ask(read, 0), ask(write, 7), ask(write, 0)]
}

/// Calls an export that takes a structure and up to three numbers.
fn call(name: &str, lock: PFILE_LOCK, arguments: [usize; 3]) -> usize {
    type Function = unsafe extern "win64" fn(PFILE_LOCK, usize, usize, usize, usize) -> usize;
    // SAFETY: the exports that the tests name take no more than these, and return no more.
    let function = unsafe { std::mem::transmute::<usize, Function>(address(name)) };
    let [one, two, three] = arguments;
    // SAFETY: a live structure; the rest are numbers and names.
    unsafe { function(lock, one, two, three, 0) }
}

#[test]
fn the_kernels_functions_use_the_same_structure() {
    let machine = Machine::default();
    let tape = Tape::default();
    let mut memory = blank();
    let lock = &raw mut memory;
    machine.at_irql(0, || {
        // SAFETY: the export has this type.
        let initialise =
            unsafe { std::mem::transmute::<usize, Initialise>(address("FsRtlInitializeFileLock")) };
        // SAFETY: memory for a structure, and a routine of this file.
        unsafe { initialise(lock, 0, Some(unlocked)) };
        let any = || call("FsRtlAreThereCurrentOrInProgressFileLocks", lock, [0; 3]) & 0xFF;
        assert_eq!(any(), 0);
        // SAFETY: a live structure.
        unsafe { (*lock).LockRequestsInProgress = 1 };
        assert_eq!(any(), 1);
        // SAFETY: as above.
        unsafe { (*lock).LockRequestsInProgress = 0 };

        assert_eq!(fsrtl_lock(lock, 0, 10, 4, true, true), (1, STATUS_SUCCESS));
        assert_eq!(
            fsrtl_lock(lock, 20, 10, 8, true, false),
            (1, STATUS_SUCCESS)
        );
        assert_eq!(any(), 1);
        let refused = (1, STATUS_LOCK_NOT_GRANTED);
        assert_eq!(fsrtl_lock(lock, 5, 1, 8, true, false), refused);
        // It would have to wait, and there is no IRP to wait with.
        assert_eq!(fsrtl_lock(lock, 5, 1, 8, false, false), (0, 1));
        let invalid = (1, STATUS_INVALID_LOCK_RANGE);
        assert_eq!(fsrtl_lock(lock, 2, -1, 8, false, true), invalid);
        assert_eq!(fsrtl_check(lock, 5, 4), [1, 0, 1, 0]);
        assert_eq!(fsrtl_check(lock, 5, 8), [0, 0, 0, 0]);
        assert_eq!(fsrtl_check(lock, 25, 8), [1, 1, 0, 0]);
        assert_eq!(fsrtl_check(lock, 15, 8), [1, 1, 1, 1]);

        let mut listed = Vec::new();
        let mut next = call("FsRtlGetNextFileLock", lock, [1, 0, 0]) as PFILE_LOCK_INFO;
        while !next.is_null() {
            // SAFETY: the function returned a description.
            let one = unsafe { next.read() };
            listed.push((quad(one.StartingByte), one.ProcessId as usize, one.Key));
            assert_eq!(one.FileObject as usize, FILE);
            next = call("FsRtlGetNextFileLock", lock, [0, 0, 0]) as PFILE_LOCK_INFO;
        }
        assert_eq!(listed, [(0, 4, 7), (20, 8, 7)]);

        let not_locked = STATUS_RANGE_NOT_LOCKED;
        assert_eq!(fsrtl_unlock(lock, 0, 10, 8, &tape), not_locked);
        assert_eq!(fsrtl_unlock(lock, 0, 10, 4, &tape), STATUS_SUCCESS);
        // SAFETY: the export has this type.
        let unlock_all =
            unsafe { std::mem::transmute::<usize, UnlockAll>(address("FsRtlFastUnlockAll")) };
        let all = |process| {
            // SAFETY: a live structure; the rest are names and the tape.
            unsafe { unlock_all(lock, FILE, process, tape.context()) }
        };
        assert_eq!(all(4), not_locked);
        assert_eq!(all(8), STATUS_SUCCESS);
        assert_eq!(tape.take_unlocked(), [(0, 10, 7, 1), (20, 10, 7, 0)]);
        assert_eq!(any(), 0);
        let function = address("FsRtlFastUnlockAllByKey");
        // SAFETY: the export has this type.
        let by_key = unsafe { std::mem::transmute::<usize, UnlockAllByKey>(function) };
        let by_key = |key| {
            // SAFETY: a live structure; the rest are names and the tape.
            unsafe { by_key(lock, FILE, 4, key, tape.context()) }
        };
        for start in [0, 1] {
            let granted = (1, STATUS_SUCCESS);
            assert_eq!(fsrtl_lock(lock, start, 1, 4, true, true), granted);
        }
        assert_eq!(by_key(8), not_locked);
        assert_eq!(by_key(7), STATUS_SUCCESS);
        assert_eq!(by_key(7), not_locked);
        assert_eq!(tape.take_unlocked(), [(0, 1, 7, 1), (1, 1, 7, 1)]);
        call("FsRtlUninitializeFileLock", lock, [0; 3]);
        let allocated = call("FsRtlAllocateFileLock", null_mut(), [0; 3]) as PFILE_LOCK;
        assert_eq!(
            fsrtl_lock(allocated, 0, 1, 4, true, true),
            (1, STATUS_SUCCESS)
        );
        assert_eq!(fsrtl_unlock(allocated, 0, 1, 4, &tape), STATUS_SUCCESS);
        call("FsRtlFreeFileLock", allocated, [0; 3]);
    });
    let outcome = machine.finish();
    assert!(outcome.is_clean(), "{outcome:?}");
}

#[test]
fn one_engine_serves_operations_and_functions() {
    let keeper = Keeper::new();
    let handle = keeper.open();
    let lock = keeper.lock as PFILE_LOCK;
    keeper.machine.at_irql(0, || {
        assert_eq!(fsrtl_lock(lock, 0, 10, 4, true, true), (1, STATUS_SUCCESS));
        let mut waiting = handle.begin_lock(RANGE);
        assert!(!waiting.is_complete());
        let tape = &keeper.tape;
        assert_eq!(fsrtl_unlock(lock, 0, 10, 4, tape), STATUS_SUCCESS);
        assert_eq!(waiting.wait(), Ok(0));
        assert_eq!(tape.take_completed(), [(IRP_MN_LOCK, STATUS_SUCCESS)]);
    });
    handle.unlock(RANGE).unwrap();
    drop(handle);
    keeper.finish();
}
