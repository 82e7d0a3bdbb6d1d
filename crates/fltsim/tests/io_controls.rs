//! Controls, listings, labels and waits of a minifilter's own.

#![cfg(target_arch = "x86_64")]

mod io_support;

use fltmgr_sys::*;
use fltsim::{IoOptions, OpenOptions};
use io_support::*;
use parking_lot::Mutex;
use std::ptr::null_mut;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const FSCTL_IS_VOLUME_MOUNTED: u32 = 0x0009_0028;
const FSCTL_GET_REPARSE_POINT: u32 = 0x0009_00A8;
const FSCTL_MANAGE_BYPASS_IO: u32 = 0x0009_0448;
const NOT_SUPPORTED_WITH_ENCRYPTION: NTSTATUS = 0xC000_04D1_u32.cast_signed();
const NOT_A_REPARSE_POINT: NTSTATUS = 0xC000_0275_u32.cast_signed();

#[test]
fn controls_listings_and_labels() {
    let (machine, volume) = machine();
    let log = log();
    let own = Script::new("own", &log).load(&machine, "2");
    let _low = Script::new("low", &log)
        .watch(IRP_MJ_FILE_SYSTEM_CONTROL)
        .load(&machine, "1");
    let instance = volume.instances()[0].pointer;
    drop(volume.open("\\one", OpenOptions::create()).unwrap());
    let root = volume.open("\\", OpenOptions::directory()).unwrap();
    let file = root.file_object();
    take(&log);
    machine.at_irql(0, || {
        let control = |code| {
            let mut output = [0_u8; 16];
            let mut length = 77;
            // SAFETY: the objects exist, the buffers are as long as they say.
            let status = unsafe {
                FltFsControlFile(
                    instance,
                    file,
                    code,
                    null_mut(),
                    0,
                    output.as_mut_ptr().cast(),
                    16,
                    &raw mut length,
                )
            };
            (status, length)
        };
        assert_eq!(control(FSCTL_IS_VOLUME_MOUNTED), (STATUS_SUCCESS, 0));
        assert_eq!(control(FSCTL_GET_REPARSE_POINT), (NOT_A_REPARSE_POINT, 0));
        assert_eq!(control(0x0009_FFFC), (STATUS_INVALID_DEVICE_REQUEST, 0));
        assert_eq!(take(&log).len(), 6);

        let list = |restart| {
            let mut entries = [0_u8; 64];
            let mut length = 0;
            // SAFETY: as above.
            let status = unsafe {
                FltQueryDirectoryFile(
                    instance,
                    file,
                    entries.as_mut_ptr().cast(),
                    64,
                    FileNamesInformation,
                    1,
                    null_mut(),
                    restart,
                    &raw mut length,
                )
            };
            (status, length)
        };
        // The fixed part, and three letters.
        assert_eq!(list(1), (STATUS_SUCCESS, 12 + 6));
        assert_eq!(list(0), (STATUS_NO_MORE_FILES, 0));

        let label: Vec<u8> = [6, 0, 0, 0, b'n', 0, b'e', 0, b'w', 0].to_vec();
        let mut block = IO_STATUS_BLOCK {
            __bindgen_anon_1: IO_STATUS_BLOCK_UNION { Status: 1 },
            Information: 0,
        };
        // SAFETY: as above.
        let status = unsafe {
            FltSetVolumeInformation(
                instance,
                &raw mut block,
                label.as_ptr().cast_mut().cast(),
                u32::try_from(label.len()).unwrap(),
                FileFsLabelInformation,
            )
        };
        assert_eq!(status, STATUS_SUCCESS);
        let mut information = [0_u8; 64];
        // SAFETY: as above.
        let status = unsafe {
            FltQueryVolumeInformation(
                instance,
                &raw mut block,
                information.as_mut_ptr().cast(),
                64,
                FileFsVolumeInformation,
            )
        };
        assert_eq!((status, block.Information), (STATUS_SUCCESS, 18 + 6));
        assert_eq!(&information[18..24], b"n\0e\0w\0");
    });
    drop(root);
    own.unload().unwrap();
    assert!(machine.finish().is_clean());
}

/// `FltCancellableWaitForSingleObject`, which no driver of this repository needs a binding of.
fn wait(event: *mut KEVENT, limit: Option<i64>, data: PFLT_CALLBACK_DATA) -> NTSTATUS {
    type Function =
        unsafe extern "win64" fn(*mut KEVENT, *const i64, PFLT_CALLBACK_DATA) -> NTSTATUS;
    let address = fltsim::resolve("FltCancellableWaitForSingleObject").unwrap();
    // SAFETY: the type of this export.
    let function = unsafe { std::mem::transmute::<usize, Function>(address) };
    let limit = limit
        .as_ref()
        .map_or(std::ptr::null(), |limit| &raw const *limit);
    // SAFETY: the event is initialised, the callback data is that of a callback.
    unsafe { function(event, limit, data) }
}

#[test]
fn a_wait_ends_when_its_operation_is_cancelled() {
    let (machine, volume) = machine();
    let log = log();
    let own = Script::new("own", &log)
        .pre(IRP_MJ_READ, |data, _, _| {
            // SAFETY: an event is numbers and pointers; it is initialised below.
            let mut event: KEVENT = unsafe { std::mem::zeroed() };
            // SAFETY: memory for an event.
            unsafe { KeInitializeEvent(&raw mut event, NotificationEvent, 0) };
            assert_eq!(
                wait(&raw mut event, Some(-10_000), null_mut()),
                STATUS_TIMEOUT
            );
            let status = wait(&raw mut event, None, data);
            set_status(data, status, 0);
            FLT_PREOP_COMPLETE
        })
        .load(&machine, "2");
    let handle = volume.open("\\file", OpenOptions::create()).unwrap();
    handle.write(0, b"abc").unwrap();
    let read = thread::scope(|scope| {
        let reader = scope.spawn(|| handle.begin_read(0, 3, IoOptions::default()).into_data());
        // Until it waits, nobody is told.
        while handle.cancel_io() == 0 && !reader.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
        reader.join().unwrap()
    });
    assert_eq!(read, Err(STATUS_CANCELLED));
    drop(handle);
    own.unload().unwrap();
    assert!(machine.finish().is_clean());
}

/// `FltVetoBypassIo`.
fn veto(
    data: PFLT_CALLBACK_DATA,
    objects: &FLT_RELATED_OBJECTS,
    status: NTSTATUS,
    reason: Option<&str>,
) -> NTSTATUS {
    type Function = unsafe extern "win64" fn(
        PFLT_CALLBACK_DATA,
        PCFLT_RELATED_OBJECTS,
        NTSTATUS,
        PCUNICODE_STRING,
    ) -> NTSTATUS;
    let address = fltsim::resolve("FltVetoBypassIo").unwrap();
    // SAFETY: the type of this export.
    let function = unsafe { std::mem::transmute::<usize, Function>(address) };
    let reason = reason.map(name);
    let attributes = reason
        .as_ref()
        .map(|reason| reason.attributes(null_mut(), 0));
    let reason = attributes.map_or(null_mut(), |attributes| attributes.ObjectName);
    // SAFETY: the callback data and the objects are those of a callback, the string outlives it.
    unsafe { function(data, objects, status, reason) }
}

#[test]
fn a_filter_vetoes_reads_that_bypass_it() {
    let (machine, volume) = machine();
    let log = log();
    let own = Script::new("own", &log).load(&machine, "2");
    let refused = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&refused);
    let low = Script::new("encrypting", &log)
        .pre(IRP_MJ_FILE_SYSTEM_CONTROL, move |data, objects, _| {
            let error = NOT_SUPPORTED_WITH_ENCRYPTION;
            let many = "x".repeat(200);
            seen.lock().extend([
                veto(data, objects, STATUS_SUCCESS, Some("why")),
                veto(data, objects, STATUS_BUFFER_OVERFLOW, Some("why")),
                veto(data, objects, error, None),
                veto(data, objects, error, Some("")),
            ]);
            let status = veto(data, objects, error, Some(&many));
            set_status(data, status, if status == STATUS_SUCCESS { 352 } else { 0 });
            FLT_PREOP_COMPLETE
        })
        .load(&machine, "1");
    let instance = volume.instances()[0].pointer;
    let handle = volume.open("\\file", OpenOptions::create()).unwrap();
    let file = handle.file_object();
    let control = |code: u32, input: &[u8], size: u32| {
        let mut output = [0xEE_u8; 400];
        let mut length = 77;
        // SAFETY: the objects exist, the buffers are as long as they say.
        let status = unsafe {
            FltFsControlFile(
                instance,
                file,
                code,
                input.as_ptr().cast_mut().cast(),
                u32::try_from(input.len()).unwrap(),
                output.as_mut_ptr().cast(),
                size,
                &raw mut length,
            )
        };
        (status, length, output)
    };
    let ask = |operation: u8, length: usize, size| {
        let mut input = [0_u8; 24];
        input[0] = operation;
        control(FSCTL_MANAGE_BYPASS_IO, &input[..length], size)
    };
    machine.at_irql(0, || {
        for operation in [1, 3] {
            let (status, length, output) = ask(operation, 24, 400);
            assert_eq!((status, length), (STATUS_SUCCESS, 352));
            let mut expected = vec![operation];
            expected.resize(24, 0);
            expected.extend(NOT_SUPPORTED_WITH_ENCRYPTION.to_le_bytes());
            expected.extend([14, 0]);
            let name = "encrypting.sys".encode_utf16();
            expected.extend(name.flat_map(u16::to_le_bytes));
            expected.resize(24 + 70, 0);
            expected.extend([128, 0]);
            expected.extend([b'x', 0].repeat(128));
            expected.resize(400, 0xEE);
            assert_eq!(output[..], expected);
        }
        let wrong = [
            STATUS_INVALID_PARAMETER_3,
            STATUS_INVALID_PARAMETER_3,
            STATUS_INVALID_PARAMETER_4,
            STATUS_INVALID_PARAMETER_4,
        ];
        assert_eq!(*refused.lock(), [wrong, wrong].concat());
        let result = |(status, length, _)| (status, length);
        assert_eq!(result(ask(1, 24, 352)), (STATUS_SUCCESS, 352));
        assert_eq!(result(ask(1, 24, 351)), (STATUS_BUFFER_TOO_SMALL, 0));
        assert_eq!(result(ask(1, 23, 352)), (STATUS_INVALID_BUFFER_SIZE, 0));
        assert_eq!(machine.verifier().violations().len(), 0);
        // What is there to be vetoed: not this operation, not this control.
        assert_eq!(result(ask(2, 24, 352)), (STATUS_INVALID_PARAMETER, 0));
        let other = control(FSCTL_IS_VOLUME_MOUNTED, &[1; 24], 352);
        assert_eq!(result(other), (STATUS_INVALID_PARAMETER, 0));
        assert_eq!(machine.verifier().violations().len(), 2);
    });
    assert_eq!(machine.calls("FltVetoBypassIo"), 7 * 5);
    // Nobody else knows the control.
    low.unload().unwrap();
    machine.at_irql(0, || {
        let (status, _, _) = ask(1, 24, 352);
        assert_eq!(status, STATUS_INVALID_DEVICE_REQUEST);
    });
    drop(handle);
    own.unload().unwrap();
}

#[test]
fn a_veto_comes_before_the_operation() {
    let (machine, volume) = machine();
    let log = log();
    let own = Script::new("own", &log).load(&machine, "2");
    let low = Script::new("low", &log)
        .post(IRP_MJ_FILE_SYSTEM_CONTROL, |data, objects, _, _| {
            let status = veto(data, objects, NOT_SUPPORTED_WITH_ENCRYPTION, Some("late"));
            assert_eq!(status, STATUS_INVALID_PARAMETER);
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .pre(IRP_MJ_FILE_SYSTEM_CONTROL, |_, _, _| {
            FLT_PREOP_SUCCESS_WITH_CALLBACK
        })
        .load(&machine, "1");
    let instance = volume.instances()[0].pointer;
    let handle = volume.open("\\file", OpenOptions::create()).unwrap();
    let mut buffer = [1_u8; 352];
    machine.at_irql(0, || {
        // SAFETY: the objects exist, the buffers are as long as they say.
        let status = unsafe {
            FltFsControlFile(
                instance,
                handle.file_object(),
                FSCTL_MANAGE_BYPASS_IO,
                buffer.as_mut_ptr().cast(),
                24,
                buffer.as_mut_ptr().cast(),
                352,
                null_mut(),
            )
        };
        assert_eq!(status, STATUS_INVALID_DEVICE_REQUEST);
    });
    let violations = machine.verifier().violations();
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].call, "FltVetoBypassIo");
    drop(handle);
    for filter in [own, low] {
        filter.unload().unwrap();
    }
}
