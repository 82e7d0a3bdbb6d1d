//! Byte-range locks of the file system: through filters, in conflict, waited for, and at the end
//! of a handle.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod io_support;

use fltmgr_sys::*;
use fltsim::filesystem::Personality;
use fltsim::storage::HostStorage;
use fltsim::{ByteRange, Config, Handle, IoOptions, Machine, OpenOptions, Volume, VolumeConfig};
use io_support::*;
use parking_lot::Mutex;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const FIRST_TEN: ByteRange = ByteRange::exclusive(0, 10);

fn open(volume: &Volume) -> Handle {
    volume.open("\\file", OpenOptions::create()).unwrap()
}

/// Two opens of a file with twenty bytes.
fn two(volume: &Volume) -> (Handle, Handle) {
    let first = open(volume);
    first.write(0, b"abcdefghijklmnopqrst").unwrap();
    (first, open(volume))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    minor: u8,
    flags: u8,
    start: i64,
    length: i64,
    key: u32,
    fail_immediately: u8,
    exclusive: u8,
    fast: bool,
}

fn seen(callback_data: PFLT_CALLBACK_DATA) -> Seen {
    let iopb = iopb(callback_data);
    // SAFETY: the tests ask this of lock operations.
    let parameters = unsafe { iopb.Parameters.LockControl };
    let length = if parameters.Length.is_null() {
        -1
    } else {
        // SAFETY: not null, so the length, which lives as long as the callback data.
        let length = unsafe { parameters.Length.read() };
        // SAFETY: every bit pattern of the union is an integer.
        unsafe { length.QuadPart }
    };
    // SAFETY: live callback data.
    let process = unsafe { FltGetRequestorProcess(callback_data) };
    assert_eq!(parameters.ProcessId, process as u64);
    Seen {
        minor: iopb.MinorFunction,
        flags: iopb.OperationFlags,
        // SAFETY: every bit pattern of the union is an integer.
        start: unsafe { parameters.ByteOffset.QuadPart },
        length,
        key: parameters.Key,
        fail_immediately: parameters.FailImmediately,
        exclusive: parameters.ExclusiveLock,
        fast: data(callback_data).Flags & FLTFL_CALLBACK_DATA_FAST_IO_OPERATION != 0,
    }
}

type Sightings = Arc<Mutex<Vec<Seen>>>;
type Statuses = Arc<Mutex<Vec<NTSTATUS>>>;

/// A filter that writes down every lock operation, and what came of it.
fn watcher(log: &Log) -> (Script, Sightings, Statuses) {
    let sightings = Sightings::default();
    let statuses = Statuses::default();
    let (seen_by, ended) = (sightings.clone(), statuses.clone());
    let script = Script::new("watch", log)
        .pre(IRP_MJ_LOCK_CONTROL, move |data, _, _| {
            seen_by.lock().push(seen(data));
            FLT_PREOP_SUCCESS_WITH_CALLBACK
        })
        .post(IRP_MJ_LOCK_CONTROL, move |data, _, _, _| {
            ended.lock().push(status(data));
            FLT_POSTOP_FINISHED_PROCESSING
        });
    (script, sightings, statuses)
}

#[test]
fn a_filter_sees_every_lock_operation_once() {
    let (machine, volume) = machine();
    let log = log();
    let (script, sightings, statuses) = watcher(&log);
    let filter = script.load(&machine, "1");
    let (first, second) = two(&volume);
    let range = ByteRange::shared(5, 7).key(9);
    let calls: [Result<(), NTSTATUS>; 8] = [
        first.lock(FIRST_TEN),
        second.lock(ByteRange::exclusive(9, 1)),
        first.unlock(FIRST_TEN),
        first.unlock(FIRST_TEN),
        second.begin_lock(range).wait().map(drop),
        second.unlock_all_by_key(9),
        second.unlock_all(),
        first.lock(ByteRange::exclusive(1 << 40, 0)),
    ];
    let expected = [
        STATUS_SUCCESS,
        STATUS_LOCK_NOT_GRANTED,
        STATUS_SUCCESS,
        STATUS_RANGE_NOT_LOCKED,
        STATUS_SUCCESS,
        STATUS_SUCCESS,
        STATUS_RANGE_NOT_LOCKED,
        STATUS_SUCCESS,
    ];
    assert_eq!(calls.map(|call| call.err().unwrap_or(0)), expected);
    assert_eq!(*statuses.lock(), expected);
    let saw = |minor, flags, start, length, key, fail_immediately, exclusive| Seen {
        minor,
        flags,
        start,
        length,
        key,
        fail_immediately,
        exclusive,
        fast: false,
    };
    let both = SL_FAIL_IMMEDIATELY | SL_EXCLUSIVE_LOCK;
    assert_eq!(
        *sightings.lock(),
        [
            saw(IRP_MN_LOCK, both, 0, 10, 0, 1, 1),
            saw(IRP_MN_LOCK, both, 9, 1, 0, 1, 1),
            saw(IRP_MN_UNLOCK_SINGLE, 0, 0, 10, 0, 0, 0),
            saw(IRP_MN_UNLOCK_SINGLE, 0, 0, 10, 0, 0, 0),
            saw(IRP_MN_LOCK, 0, 5, 7, 9, 0, 0),
            saw(IRP_MN_UNLOCK_ALL_BY_KEY, 0, 0, -1, 9, 0, 0),
            saw(IRP_MN_UNLOCK_ALL, 0, 0, -1, 0, 0, 0),
            saw(IRP_MN_LOCK, both, 1 << 40, 0, 0, 1, 1),
        ]
    );
    // SAFETY: a live file object.
    assert_eq!(unsafe { (*first.file_object()).LockOperation }, 1);
    drop((first, second));
    filter.unload().unwrap();
    let outcome = machine.finish();
    assert!(outcome.is_clean(), "{outcome:?}");
    assert_eq!(outcome.statistics.operations["IRP_MJ_LOCK_CONTROL"], 8);
}

fn conflicts(volume: &Volume) {
    let (first, second) = two(volume);
    let mut byte = [0];
    first.lock(FIRST_TEN).unwrap();
    // The owner does what he likes, others only beside the range.
    assert_eq!(first.read(9, &mut byte), Ok(1));
    assert_eq!(first.write(9, b"J"), Ok(1));
    assert_eq!(second.read(9, &mut byte), Err(STATUS_FILE_LOCK_CONFLICT));
    assert_eq!(second.write(9, b"x"), Err(STATUS_FILE_LOCK_CONFLICT));
    assert_eq!(second.read(10, &mut byte), Ok(1));
    assert_eq!(second.write(10, b"K"), Ok(1));
    assert_eq!(second.write(8, b""), Ok(0));
    assert_eq!(
        second.read_fast(9, &mut byte),
        Err(STATUS_FILE_LOCK_CONFLICT)
    );
    // A key is part of who the owner is.
    let keyed = IoOptions::default().key(5);
    let read = first.read_with(9, &mut byte, keyed);
    assert_eq!(read, Err(STATUS_FILE_LOCK_CONFLICT));
    // The memory manager is not asked.
    assert_eq!(second.read_paging(9, &mut byte), Ok(1));
    assert_eq!(byte, *b"J");
    assert_eq!(second.write_paging(9, b"j"), Ok(1));
    first.unlock(FIRST_TEN).unwrap();
    assert_eq!(second.write(9, b"j"), Ok(1));

    let shared = ByteRange::shared(0, 10);
    first.lock(shared).unwrap();
    second.lock(shared).unwrap();
    assert_eq!(second.read(0, &mut byte), Ok(1));
    // A shared lock keeps its own owner from writing.
    assert_eq!(first.write(0, b"x"), Err(STATUS_FILE_LOCK_CONFLICT));
    assert_eq!(first.lock(FIRST_TEN), Err(STATUS_LOCK_NOT_GRANTED));
    first.unlock(shared).unwrap();
    second.unlock(shared).unwrap();

    // Where the file ends is known before it is asked for locks.
    first.lock(ByteRange::exclusive(20, 5)).unwrap();
    assert_eq!(second.append(b"x"), Err(STATUS_FILE_LOCK_CONFLICT));
    assert_eq!(first.append(b"u"), Ok(1));
    assert_eq!(first.size(), Ok(21));
    // What one handle has locked the other cannot unlock.
    let tail = ByteRange::exclusive(20, 5);
    assert_eq!(second.unlock(tail), Err(STATUS_RANGE_NOT_LOCKED));
    assert_eq!(second.unlock_all(), Err(STATUS_RANGE_NOT_LOCKED));
    assert_eq!(first.unlock_all(), Ok(()));
}

#[test]
fn locks_are_in_the_way_of_others() {
    let (machine, volume) = machine();
    conflicts(&volume);
    assert!(machine.finish().is_clean());
}

#[test]
fn locks_are_not_those_of_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::new(Config::default());
    let storage = HostStorage::open(folder.path()).unwrap();
    let volume = machine.add_volume(VolumeConfig::host(
        "\\Device\\Host",
        Personality::ntfs(),
        storage,
    ));
    conflicts(&volume);
    let (first, second) = two(&volume);
    first.lock(FIRST_TEN).unwrap();
    assert_eq!(second.lock(FIRST_TEN), Err(STATUS_LOCK_NOT_GRANTED));
    // The host knows nothing of it.
    let path = folder.path().join("file");
    let host = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    host.try_lock().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"abcdefghijklmnopqrstu");
    drop((first, second));
    assert!(machine.finish().is_clean());
}

#[test]
fn what_cannot_be_locked() {
    let (machine, volume) = machine();
    let (first, second) = two(&volume);
    let directory = volume.open("\\", OpenOptions::directory()).unwrap();
    assert_eq!(directory.lock(FIRST_TEN), Err(STATUS_INVALID_PARAMETER));
    let attributes = OpenOptions::read().access(FILE_READ_ATTRIBUTES | SYNCHRONIZE);
    let blind = volume.open("\\file", attributes).unwrap();
    assert_eq!(blind.lock(FIRST_TEN), Err(STATUS_ACCESS_DENIED));
    let writer = volume.open("\\file", OpenOptions::write()).unwrap();
    assert_eq!(writer.lock(FIRST_TEN), Ok(()));
    assert_eq!(first.lock(FIRST_TEN), Err(STATUS_LOCK_NOT_GRANTED));
    let beyond = ByteRange::exclusive(2, u64::MAX);
    assert_eq!(first.lock(beyond), Err(STATUS_INVALID_LOCK_RANGE));
    assert_eq!(first.unlock(beyond), Err(STATUS_INVALID_LOCK_RANGE));
    assert_eq!(
        first.begin_lock(beyond).wait(),
        Err(STATUS_INVALID_LOCK_RANGE)
    );
    // Another stream of the same file has locks of its own.
    let stream = volume.open("\\file:other", OpenOptions::create()).unwrap();
    assert_eq!(stream.lock(FIRST_TEN), Ok(()));
    drop((directory, blind, stream));
    volume.dismount();
    assert_eq!(first.lock(FIRST_TEN), Err(STATUS_VOLUME_DISMOUNTED));
    drop((first, second, writer));
    assert!(machine.finish().is_clean());
}

#[test]
fn a_lock_that_is_waited_for_is_granted_after_an_unlock() {
    let (machine, volume) = machine();
    let log = log();
    let (script, sightings, statuses) = watcher(&log);
    let filter = script.load(&machine, "1");
    let (first, second) = two(&volume);
    first.lock(FIRST_TEN).unwrap();
    let mut third = second.begin_lock(ByteRange::exclusive(5, 5));
    let mut fourth = second.begin_lock(ByteRange::exclusive(0, 10).key(1));
    assert!(!third.is_complete() && !fourth.is_complete());
    assert_eq!(*statuses.lock(), [STATUS_SUCCESS]);
    // Who waits does not have it yet.
    assert_eq!(second.read(5, &mut [0]), Err(STATUS_FILE_LOCK_CONFLICT));
    first.unlock(FIRST_TEN).unwrap();
    assert!(third.is_complete() && !fourth.is_complete());
    assert_eq!(third.wait(), Ok(0));
    assert_eq!(second.read(5, &mut [0]), Ok(1));
    assert_eq!(first.read(5, &mut [0]), Err(STATUS_FILE_LOCK_CONFLICT));
    second.unlock(ByteRange::exclusive(5, 5)).unwrap();
    assert_eq!(fourth.wait(), Ok(0));
    // Three locks and two unlocks, and each of them before and after, once.
    assert_eq!(sightings.lock().len(), 5);
    assert_eq!(*statuses.lock(), [STATUS_SUCCESS; 5]);
    drop((first, second));
    filter.unload().unwrap();
    let outcome = machine.finish();
    assert!(outcome.is_clean(), "{outcome:?}");
}

#[test]
fn a_handle_that_is_closed_unlocks_and_waits_no_longer() {
    let (machine, volume) = machine();
    let log = log();
    let (script, _, statuses) = watcher(&log);
    let _filter = script.load(&machine, "1");
    let (first, second) = two(&volume);
    first.lock(FIRST_TEN).unwrap();
    let mut cancelled = second.begin_lock(FIRST_TEN);
    let third = open(&volume);
    let mut granted = third.begin_lock(FIRST_TEN);
    // The file object lives on; its handle counts.
    let (reference, kept) = (second.reference(), first.reference());
    drop(second);
    assert!(cancelled.is_complete() && !granted.is_complete());
    assert_eq!(cancelled.wait(), Err(STATUS_CANCELLED));
    drop(first);
    assert_eq!(granted.wait(), Ok(0));
    let expected = [STATUS_SUCCESS, STATUS_CANCELLED, STATUS_SUCCESS];
    assert_eq!(*statuses.lock(), expected);
    assert_eq!(open(&volume).lock(FIRST_TEN), Err(STATUS_LOCK_NOT_GRANTED));
    drop((third, reference, kept));
    assert_eq!(open(&volume).lock(FIRST_TEN), Ok(()));
}

#[test]
fn a_lock_that_is_waited_for_can_be_cancelled() {
    let (machine, volume) = machine();
    let (first, second) = two(&volume);
    first.lock(FIRST_TEN).unwrap();
    let mut one = second.begin_lock(FIRST_TEN);
    let mut two = second.begin_lock(FIRST_TEN);
    let mut three = second.begin_lock(FIRST_TEN);
    assert!(one.cancel());
    assert!(!one.cancel());
    assert_eq!(one.wait(), Err(STATUS_CANCELLED));
    assert_eq!(second.cancel_io(), 2);
    assert_eq!(two.wait(), Err(STATUS_CANCELLED));
    assert_eq!(three.wait(), Err(STATUS_CANCELLED));
    // Dropping it cancels it.
    drop(second.begin_lock(FIRST_TEN));
    first.unlock(FIRST_TEN).unwrap();
    assert_eq!(first.lock(FIRST_TEN), Ok(()));
    let granted = open(&volume);
    let mut late = granted.begin_lock(FIRST_TEN);
    first.unlock(FIRST_TEN).unwrap();
    assert!(late.is_complete() && !late.cancel());
    assert_eq!(late.wait(), Ok(0));
    drop((first, second, granted));
    assert!(machine.finish().is_clean());
}

#[test]
fn another_thread_gets_what_one_gives_back() {
    let (machine, volume) = machine();
    let (first, second) = two(&volume);
    let (first, second) = (Arc::new(first), Arc::new(second));
    let held = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = [first, second]
        .into_iter()
        .map(|handle| {
            let held = held.clone();
            std::thread::spawn(move || {
                for _ in 0..300 {
                    handle.begin_lock(FIRST_TEN).wait().unwrap();
                    assert_eq!(held.fetch_add(1, Ordering::SeqCst), 0);
                    std::thread::yield_now();
                    assert_eq!(held.fetch_sub(1, Ordering::SeqCst), 1);
                    handle.unlock(FIRST_TEN).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(machine.finish().is_clean());
}

#[test]
fn fast_locks_come_again_as_irps_if_they_must() {
    let (machine, volume) = machine();
    let log = log();
    let (script, sightings, statuses) = watcher(&log);
    let _high = script.load(&machine, "3");
    let refuse = Arc::new(Mutex::new(false));
    let wait = Arc::new(Mutex::new(false));
    let (refusing, waiting) = (refuse.clone(), wait.clone());
    let _low = Script::new("low", &log)
        .pre(IRP_MJ_LOCK_CONTROL, move |callback_data, _, _| {
            if !seen(callback_data).fast {
                return FLT_PREOP_SUCCESS_NO_CALLBACK;
            }
            if *refusing.lock() {
                return FLT_PREOP_DISALLOW_FASTIO;
            }
            if *waiting.lock() {
                change_iopb(callback_data, |iopb| {
                    iopb.Parameters.LockControl.FailImmediately = 0;
                });
                // SAFETY: live callback data.
                unsafe { FltSetCallbackDataDirty(callback_data) };
            }
            FLT_PREOP_SUCCESS_NO_CALLBACK
        })
        .load(&machine, "2");
    let (first, second) = two(&volume);
    let fast = IoOptions::default().fast_io();
    let doors = || -> Vec<bool> {
        std::mem::take(&mut *sightings.lock())
            .iter()
            .map(|one| one.fast)
            .collect()
    };
    let ended = || std::mem::take(&mut *statuses.lock());

    assert_eq!(first.lock_with(FIRST_TEN, fast), Ok(()));
    assert_eq!(doors(), [true]);
    let denied = second.lock_with(FIRST_TEN, fast);
    assert_eq!(denied, Err(STATUS_LOCK_NOT_GRANTED));
    assert_eq!(doors(), [true]);
    assert_eq!(first.unlock_with(FIRST_TEN, fast), Ok(()));
    assert_eq!(doors(), [true]);
    let plain = [STATUS_SUCCESS, STATUS_LOCK_NOT_GRANTED, STATUS_SUCCESS];
    assert_eq!(ended(), plain);

    *refuse.lock() = true;
    assert_eq!(first.lock_with(FIRST_TEN, fast), Ok(()));
    assert_eq!(doors(), [true, false]);
    assert_eq!(ended(), [STATUS_FLT_DISALLOW_FAST_IO, STATUS_SUCCESS]);
    *refuse.lock() = false;

    // A direct call cannot wait.
    *wait.lock() = true;
    let waited = second.lock_with(FIRST_TEN, fast);
    assert_eq!(waited, Err(STATUS_LOCK_NOT_GRANTED));
    assert_eq!(doors(), [true, false]);
    let expected = [STATUS_FLT_DISALLOW_FAST_IO, STATUS_LOCK_NOT_GRANTED];
    assert_eq!(ended(), expected);
}

#[test]
fn a_filter_that_goes_while_a_lock_is_waited_for_is_drained() {
    let (machine, volume) = machine();
    let log = log();
    let (script, _, statuses) = watcher(&log);
    let filter = script.load(&machine, "1");
    let (first, second) = two(&volume);
    first.lock(FIRST_TEN).unwrap();
    let mut waiting = second.begin_lock(FIRST_TEN);
    take(&log);
    filter.unload().unwrap();
    let drained = take(&log);
    let posts: Vec<_> = drained.iter().filter(|one| one.contains("post")).collect();
    assert_eq!(posts, ["watch post other draining"]);
    first.unlock(FIRST_TEN).unwrap();
    assert_eq!(waiting.wait(), Ok(0));
    let expected = [STATUS_SUCCESS, STATUS_FLT_POST_OPERATION_CLEANUP];
    assert_eq!(*statuses.lock(), expected);
    drop((first, second));
    assert!(machine.finish().is_clean());
}

type LockFile = unsafe extern "win64" fn(
    HANDLE,
    HANDLE,
    PVOID,
    PVOID,
    PIO_STATUS_BLOCK,
    *const LARGE_INTEGER,
    *const LARGE_INTEGER,
    u32,
    u8,
    u8,
) -> NTSTATUS;
type UnlockFile = unsafe extern "win64" fn(
    HANDLE,
    PIO_STATUS_BLOCK,
    *const LARGE_INTEGER,
    *const LARGE_INTEGER,
    u32,
) -> NTSTATUS;

const fn quad(value: i64) -> LARGE_INTEGER {
    LARGE_INTEGER { QuadPart: value }
}

/// A status block that nobody has written to.
fn block() -> IO_STATUS_BLOCK {
    IO_STATUS_BLOCK {
        __bindgen_anon_1: IO_STATUS_BLOCK_UNION { Status: 1 },
        Information: 99,
    }
}

fn result(block: &IO_STATUS_BLOCK) -> (NTSTATUS, u64) {
    // SAFETY: every bit pattern is a status.
    let status = unsafe { block.__bindgen_anon_1.Status };
    (status, block.Information)
}

/// `ZwLockFile`, and what the status block says.
fn zw_lock(file: HANDLE, start: i64, fail_immediately: bool) -> (NTSTATUS, (NTSTATUS, u64)) {
    let address = fltsim::resolve("ZwLockFile").unwrap();
    // SAFETY: the export has this type.
    let lock = unsafe { std::mem::transmute::<usize, LockFile>(address) };
    let (start, length, mut block) = (quad(start), quad(10), block());
    // SAFETY: the handle is looked at first; everything else is on this stack.
    let status = unsafe {
        lock(
            file,
            null_mut(),
            null_mut(),
            null_mut(),
            &raw mut block,
            &raw const start,
            &raw const length,
            3,
            u8::from(fail_immediately),
            1,
        )
    };
    (status, result(&block))
}

fn zw_unlock(file: HANDLE, start: i64) -> (NTSTATUS, (NTSTATUS, u64)) {
    let address = fltsim::resolve("ZwUnlockFile").unwrap();
    // SAFETY: the export has this type.
    let unlock = unsafe { std::mem::transmute::<usize, UnlockFile>(address) };
    let (start, length, mut block) = (quad(start), quad(10), block());
    // SAFETY: the handle is looked at first; everything else is on this stack.
    let status = unsafe { unlock(file, &raw mut block, &raw const start, &raw const length, 3) };
    (status, result(&block))
}

#[test]
fn the_kernel_locks_by_handle() {
    let (machine, volume) = machine();
    let log = log();
    let (script, sightings, _) = watcher(&log);
    let filter = script.load(&machine, "1");
    let (first, second) = two(&volume);
    let text = name("\\Device\\HarddiskVolume1\\file");
    let mut attributes = text.attributes(null_mut(), OBJ_KERNEL_HANDLE);
    let (mut file, mut opened) = (null_mut(), block());
    // SAFETY: the filter is live, everything else is on this stack.
    let status = unsafe {
        FltCreateFile(
            filter.filter,
            null_mut(),
            &raw mut file,
            FILE_GENERIC_READ,
            &raw mut attributes,
            &raw mut opened,
            null_mut(),
            FILE_ATTRIBUTE_NORMAL,
            7,
            FILE_OPEN,
            FILE_SYNCHRONOUS_IO_NONALERT,
            null_mut(),
            0,
            0,
        )
    };
    assert_eq!(status, STATUS_SUCCESS);
    machine.at_irql(0, || {
        let granted = (STATUS_SUCCESS, (STATUS_SUCCESS, 0));
        assert_eq!(zw_lock(file, 0, true), granted);
        assert_eq!(first.lock(FIRST_TEN), Err(STATUS_LOCK_NOT_GRANTED));
        assert_eq!(first.lock(ByteRange::exclusive(10, 10)), Ok(()));
        let refused = (STATUS_LOCK_NOT_GRANTED, (STATUS_LOCK_NOT_GRANTED, 0));
        assert_eq!(zw_lock(file, 5, true), refused);
        assert_eq!(zw_unlock(file, 0), granted);
        let nothing = (STATUS_RANGE_NOT_LOCKED, (STATUS_RANGE_NOT_LOCKED, 0));
        assert_eq!(zw_unlock(file, 0), nothing);
        let wrong = (STATUS_INVALID_HANDLE, (1, 99));
        assert_eq!(zw_lock(0x1234_0000_usize as HANDLE, 0, true), wrong);
        // It waits, and is granted by another thread.
        let address = file as usize;
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| machine.at_irql(0, || zw_lock(address as HANDLE, 5, false)));
            while sightings.lock().len() < 7 {
                std::thread::yield_now();
            }
            first.unlock_all().unwrap();
            assert_eq!(waits.join().unwrap(), granted);
        });
    });
    machine.at_irql(0, || {
        // SAFETY: the handle was opened above.
        assert_eq!(unsafe { FltClose(file) }, STATUS_SUCCESS);
    });
    assert_eq!(first.lock(FIRST_TEN), Ok(()));
    drop((first, second));
    filter.unload().unwrap();
    let outcome = machine.finish();
    assert!(outcome.is_clean(), "{outcome:?}");
    assert_eq!(machine.calls("ZwLockFile"), 4);
    assert_eq!(machine.calls("ZwUnlockFile"), 2);
}

fltapi! {
    unsafe fn completed(callback_data: PFLT_CALLBACK_DATA, context: PVOID) {
        // SAFETY: the test passes a list that it keeps.
        let told = unsafe { &*context.cast::<Mutex<Vec<NTSTATUS>>>() };
        told.lock().push(status(callback_data));
    }
}

#[test]
fn a_filter_waits_for_a_lock_of_its_own() {
    let (machine, volume) = machine();
    let log = log();
    let filter = Script::new("own", &log).load(&machine, "1");
    let instance = volume.instances()[0].pointer;
    let (first, second) = two(&volume);
    first.lock(FIRST_TEN).unwrap();
    let told = Mutex::new(Vec::<NTSTATUS>::new());
    let mut length = quad(10);
    machine.at_irql(0, || {
        let mut own = null_mut();
        // SAFETY: the objects are live; the place for the result is on this stack.
        let status =
            unsafe { FltAllocateCallbackData(instance, second.file_object(), &raw mut own) };
        assert_eq!(status, STATUS_SUCCESS);
        change_iopb(own, |iopb| {
            iopb.MajorFunction = IRP_MJ_LOCK_CONTROL;
            iopb.MinorFunction = IRP_MN_LOCK;
            iopb.Parameters.LockControl.Length = &raw mut length;
            iopb.Parameters.LockControl.ExclusiveLock = 1;
        });
        let context = (&raw const told).cast_mut().cast();
        // SAFETY: callback data of the test's own; the list and the length outlive the operation.
        let begun = unsafe { FltPerformAsynchronousIo(own, Some(completed), context) };
        assert_eq!(begun, STATUS_PENDING);
        assert!(told.lock().is_empty());
        first.unlock(FIRST_TEN).unwrap();
        assert_eq!(*told.lock(), [STATUS_SUCCESS]);
        // SAFETY: callback data of the test's own, which is complete.
        unsafe { FltFreeCallbackData(own) };
    });
    assert_eq!(first.lock(FIRST_TEN), Err(STATUS_LOCK_NOT_GRANTED));
    drop((first, second));
    filter.unload().unwrap();
    let outcome = machine.finish();
    assert!(outcome.is_clean(), "{outcome:?}");
}
