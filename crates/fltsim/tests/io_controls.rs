//! Controls, listings, labels and waits of a minifilter's own.

#![cfg(target_arch = "x86_64")]

mod io_support;

use fltmgr_sys::*;
use fltsim::{IoOptions, OpenOptions};
use io_support::*;
use std::ptr::null_mut;
use std::thread;
use std::time::Duration;

const FSCTL_IS_VOLUME_MOUNTED: u32 = 0x0009_0028;
const FSCTL_GET_REPARSE_POINT: u32 = 0x0009_00A8;
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
