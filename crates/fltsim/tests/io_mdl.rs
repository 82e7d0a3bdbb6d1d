//! MDLs of operations: locked buffers, swapped buffers, and who frees what.

#![cfg(target_arch = "x86_64")]

mod io_support;

use fltmgr_sys::*;
use fltsim::{Handle, Machine, OpenOptions, Volume};
use io_support::*;
use parking_lot::Mutex;
use std::ptr::null_mut;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

/// The read that the filters swap, of this length.
const LENGTH: usize = 6;

fn file(volume: &Volume, contents: &[u8]) -> Handle {
    let handle = volume.open("\\file", OpenOptions::create()).unwrap();
    handle.write(0, contents).unwrap();
    handle
}

fn address(name: &str) -> usize {
    fltsim::resolve(name).expect(name)
}

/// A buffer of a filter's own, with a list of nonpaged memory for it.
struct Own {
    buffer: [u8; LENGTH],
    list: PMDL,
}

fn own() -> *mut Own {
    type Allocate = unsafe extern "win64" fn(PVOID, ULONG, BOOLEAN, BOOLEAN, PVOID) -> PMDL;
    type Build = unsafe extern "win64" fn(PMDL);
    // SAFETY: that is the type of this export.
    let allocate = unsafe { std::mem::transmute::<usize, Allocate>(address("IoAllocateMdl")) };
    // SAFETY: as above.
    let build =
        unsafe { std::mem::transmute::<usize, Build>(address("MmBuildMdlForNonPagedPool")) };
    let mut own = Box::new(Own {
        buffer: [0; LENGTH],
        list: null_mut(),
    });
    let buffer = own.buffer.as_mut_ptr().cast();
    // SAFETY: the buffer is as long as that, and stays where it is.
    own.list = unsafe { allocate(buffer, ULONG::try_from(LENGTH).unwrap(), 0, 0, null_mut()) };
    // SAFETY: a list that was just allocated.
    unsafe { build(own.list) };
    Box::into_raw(own)
}

fn free(list: PMDL) {
    type Free = unsafe extern "win64" fn(PMDL);
    // SAFETY: that is the type of this export.
    let free = unsafe { std::mem::transmute::<usize, Free>(address("IoFreeMdl")) };
    // SAFETY: a list of this filter's; whether it still is one, the export looks.
    unsafe { free(list) };
}

fn swapped(data: PFLT_CALLBACK_DATA) -> PMDL {
    // SAFETY: the callback data of a callback.
    unsafe { FltGetSwappedBufferMdlAddress(data) }
}

fn retain(data: PFLT_CALLBACK_DATA) {
    // SAFETY: the callback data of a callback.
    unsafe { FltRetainSwappedBufferMdlAddress(data) };
}

fn lock(data: PFLT_CALLBACK_DATA) -> NTSTATUS {
    // SAFETY: the callback data of a callback.
    unsafe { FltLockUserBuffer(data) }
}

fn read_parameters(data: PFLT_CALLBACK_DATA) -> FLT_PARAMETERS_READ {
    // SAFETY: only asked for reads.
    unsafe { iopb(data).Parameters.Read }
}

/// A filter that swaps the buffer and the list of every read, and does something in the end.
fn swapping(
    name: &str,
    log: &Log,
    in_post: impl Fn(PFLT_CALLBACK_DATA, PMDL) + Send + Sync + 'static,
) -> Script {
    Script::new(name, log)
        .pre(IRP_MJ_READ, |data, _, context| {
            let own = own();
            // SAFETY: just made.
            let buffer = unsafe { &raw mut (*own).buffer };
            // SAFETY: as above.
            let list = unsafe { (*own).list };
            change_iopb(data, |iopb| {
                iopb.Parameters.Read.ReadBuffer = buffer.cast();
                iopb.Parameters.Read.MdlAddress = list;
            });
            // SAFETY: the callback data of this callback.
            unsafe { FltSetCallbackDataDirty(data) };
            *context = own.cast();
            FLT_PREOP_SUCCESS_WITH_CALLBACK
        })
        .post(IRP_MJ_READ, move |data, _, context, flags| {
            assert_eq!(flags, 0);
            // SAFETY: the pre-operation callback put its box there.
            let own = unsafe { Box::from_raw(context.cast::<Own>()) };
            assert_eq!(swapped(data), own.list);
            let original = read_parameters(data);
            // SAFETY: the reader's buffer has that many bytes.
            unsafe { original.ReadBuffer.cast::<[u8; LENGTH]>().write(own.buffer) };
            in_post(data, own.list);
            FLT_POSTOP_FINISHED_PROCESSING
        })
}

fn read(volume: &Volume) {
    let handle = file(volume, b"abcdef");
    let mut buffer = [0; LENGTH];
    assert_eq!(handle.read(0, &mut buffer), Ok(LENGTH));
    assert_eq!(&buffer, b"abcdef");
}

fn violations(machine: &Machine) -> Vec<(&'static str, String)> {
    let reports = machine.verifier().violations();
    let messages = reports.iter().map(|report| {
        let words = report.message.split(' ');
        let words = words.map(|word| if word.starts_with("0x") { "X" } else { word });
        (report.call, words.collect::<Vec<_>>().join(" "))
    });
    messages.collect()
}

#[test]
fn a_list_made_below_a_swap_is_the_swapped_buffers() {
    let (machine, volume) = machine();
    let log = log();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (above, below) = (seen.clone(), seen.clone());
    let high = Script::new("high", &log)
        .watch(IRP_MJ_READ)
        .pre(IRP_MJ_READ, |data, _, context| {
            let buffer = Box::into_raw(Box::new([0_u8; LENGTH]));
            change_iopb(data, |iopb| iopb.Parameters.Read.ReadBuffer = buffer.cast());
            // SAFETY: the callback data of this callback.
            unsafe { FltSetCallbackDataDirty(data) };
            *context = buffer.cast();
            FLT_PREOP_SUCCESS_WITH_CALLBACK
        })
        .post(IRP_MJ_READ, move |data, _, context, _| {
            // SAFETY: the pre-operation callback put its box there.
            let own = unsafe { Box::from_raw(context.cast::<[u8; LENGTH]>()) };
            let original = read_parameters(data);
            assert!(original.MdlAddress.is_null());
            // SAFETY: the reader's buffer has that many bytes.
            unsafe { original.ReadBuffer.cast::<[u8; LENGTH]>().write(*own) };
            above.lock().push(swapped(data) as usize);
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "2");
    let low = Script::new("low", &log)
        .pre(IRP_MJ_READ, move |data, _, _| {
            assert_eq!(lock(data), STATUS_SUCCESS);
            below.lock().push(read_parameters(data).MdlAddress as usize);
            FLT_PREOP_SUCCESS_NO_CALLBACK
        })
        .load(&machine, "1");
    read(&volume);
    let seen = seen.lock().clone();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0], 0);
    high.unload().unwrap();
    low.unload().unwrap();
    let outcome = machine.finish();
    assert!(outcome.is_clean(), "{outcome:#?}");
}

#[test]
fn a_locked_buffer_is_described_until_the_operation_is_over() {
    let (machine, volume) = machine();
    let log = log();
    let high = Script::new("high", &log)
        .watch(IRP_MJ_READ)
        .post(IRP_MJ_READ, |data, _, _, _| {
            assert!(!read_parameters(data).MdlAddress.is_null());
            // Nobody swapped anything.
            assert!(swapped(data).is_null());
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "2");
    let low = Script::new("low", &log)
        .watch(IRP_MJ_READ)
        .post(IRP_MJ_READ, |data, _, _, _| {
            assert!(read_parameters(data).MdlAddress.is_null());
            assert_eq!(lock(data), STATUS_SUCCESS);
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "1");
    read(&volume);
    high.unload().unwrap();
    low.unload().unwrap();
    let outcome = machine.finish();
    assert!(outcome.is_clean(), "{outcome:#?}");
}

#[test]
fn what_cannot_be_locked_is_refused() {
    let (machine, volume) = machine();
    let log = log();
    let statuses = Arc::new(Mutex::new(Vec::new()));
    let (first, second) = (statuses.clone(), statuses.clone());
    let filter = Script::new("f", &log)
        .pre(IRP_MJ_QUERY_INFORMATION, move |data, _, _| {
            first.lock().push(lock(data));
            FLT_PREOP_SUCCESS_NO_CALLBACK
        })
        .pre(IRP_MJ_READ, move |data, _, _| {
            let mut statuses = second.lock();
            change_iopb(data, |iopb| iopb.MinorFunction = 2);
            statuses.push(lock(data));
            change_iopb(data, |iopb| iopb.MinorFunction = 0);
            let buffer = read_parameters(data).ReadBuffer;
            change_iopb(data, |iopb| iopb.Parameters.Read.ReadBuffer = 16 as PVOID);
            statuses.push(lock(data));
            change_iopb(data, |iopb| iopb.Parameters.Read.ReadBuffer = buffer);
            FLT_PREOP_SUCCESS_NO_CALLBACK
        })
        .load(&machine, "1");
    let handle = file(&volume, b"abcdef");
    handle.size().unwrap();
    let mut buffer = [0; LENGTH];
    assert_eq!(handle.read(0, &mut buffer), Ok(LENGTH));
    drop(handle);
    assert_eq!(
        *statuses.lock(),
        [
            STATUS_INVALID_PARAMETER,
            STATUS_INVALID_PARAMETER,
            STATUS_ACCESS_VIOLATION
        ]
    );
    filter.unload().unwrap();
    let outcome = machine.finish();
    assert!(outcome.is_clean(), "{outcome:#?}");
}

#[test]
fn a_retained_list_is_the_drivers_to_free() {
    let (machine, volume) = machine();
    let log = log();
    let filter = swapping("f", &log, |data, _| retain(data)).load(&machine, "1");
    read(&volume);
    filter.unload().unwrap();
    let outcome = machine.finish();
    let left: Vec<_> = outcome
        .leaks
        .iter()
        .map(|leak| (leak.object, leak.acquired[0].0))
        .collect();
    assert_eq!(left, [("MDL", "IoAllocateMdl")]);
    assert_eq!(violations(&machine), []);
}

#[test]
fn misuse_of_swapped_lists_is_reported() {
    let (machine, volume) = machine();
    let log = log();
    let high = Script::new("high", &log)
        .pre(IRP_MJ_READ, |data, _, _| {
            assert!(swapped(data).is_null());
            retain(data);
            FLT_PREOP_SUCCESS_WITH_CALLBACK
        })
        .post(IRP_MJ_READ, |data, _, _, _| {
            retain(data);
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "2");
    // It frees what the Filter Manager is going to.
    let low = swapping("low", &log, |_, list| free(list)).load(&machine, "1");
    read(&volume);
    high.unload().unwrap();
    low.unload().unwrap();
    let outside = "only the post-operation callback that belongs to the swap can call this";
    assert_eq!(
        violations(&machine),
        [
            ("FltGetSwappedBufferMdlAddress", outside.to_owned()),
            ("FltRetainSwappedBufferMdlAddress", outside.to_owned()),
            (
                "the end of a post-operation callback",
                "MemoryDescriptorList is X which was freed before".to_owned()
            ),
            (
                "FltRetainSwappedBufferMdlAddress",
                "there is no MDL of a swapped buffer".to_owned()
            ),
        ]
    );
    assert!(machine.finish().leaks.is_empty());
}

#[test]
fn the_list_counts_and_not_the_address() {
    let (machine, volume) = machine();
    let log = log();
    // The address is another one, and the list stays that of the reader's buffer.
    let filter = Script::new("f", &log)
        .pre(IRP_MJ_READ, |data, _, context| {
            assert_eq!(lock(data), STATUS_SUCCESS);
            let buffer = Box::into_raw(Box::new([0_u8; LENGTH]));
            change_iopb(data, |iopb| iopb.Parameters.Read.ReadBuffer = buffer.cast());
            *context = buffer.cast();
            FLT_PREOP_SUCCESS_WITH_CALLBACK
        })
        .post(IRP_MJ_READ, |_, _, context, _| {
            // SAFETY: the pre-operation callback put its box there.
            let own = unsafe { Box::from_raw(context.cast::<[u8; LENGTH]>()) };
            assert_eq!(*own, [0; LENGTH]);
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "1");
    read(&volume);
    filter.unload().unwrap();
    let outcome = machine.finish();
    assert!(outcome.is_clean(), "{outcome:#?}");
}

#[test]
fn a_swapped_operation_is_waited_for_and_not_drained() {
    let (machine, volume) = machine();
    let log = log();
    let (inside, proceed) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (entered, go) = (inside.clone(), proceed.clone());
    let filter = swapping("f", &log, |_, _| {}).load(&machine, "2");
    let low = Script::new("low", &log)
        .pre(IRP_MJ_READ, move |_, _, _| {
            entered.wait();
            go.wait();
            FLT_PREOP_SUCCESS_NO_CALLBACK
        })
        .load(&machine, "1");
    thread::scope(|scope| {
        let reader = scope.spawn(|| read(&volume));
        inside.wait();
        let teardown = scope.spawn(|| machine.detach(&filter.driver, &volume));
        thread::sleep(Duration::from_millis(20));
        assert!(!teardown.is_finished());
        proceed.wait();
        reader.join().unwrap();
        teardown.join().unwrap().unwrap();
    });
    filter.unload().unwrap();
    low.unload().unwrap();
    let outcome = machine.finish();
    assert!(outcome.is_clean(), "{outcome:#?}");
}
