//! Callbacks called by hand, with what the emulator does not send.

use std::{mem, ptr, sync::Arc};

use fltctx::{name::NameFormat, operation::Operations, prelude::*, sys};

use crate::probe::{Bench, Hooks, Probe};

/// What a pre-operation callback answered.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    result: sys::FLT_PREOP_CALLBACK_STATUS,
    completion: usize,
    status: Status,
    information: u64,
}

impl Answer {
    fn completed(status: Status, information: u64) -> Self {
        Self {
            result: sys::FLT_PREOP_COMPLETE,
            completion: 0,
            status,
            information,
        }
    }
}

/// Calls the probe's pre-operation callback for an operation without a file object.
fn call(_loaded: &Bench, major: u8) -> Answer {
    let entry = <Probe as Operations>::TABLE
        .iter()
        .find(|entry| entry.MajorFunction == major)
        .expect("the probe has such an operation");
    let callback = entry.PreOperation.expect("and a callback before it");
    // SAFETY: these are plain data, for which zeroes are valid.
    let mut block: sys::FLT_IO_PARAMETER_BLOCK = unsafe { mem::zeroed() };
    block.MajorFunction = major;
    // SAFETY: as above.
    let mut data: sys::FLT_CALLBACK_DATA = unsafe { mem::zeroed() };
    data.Flags = sys::FLTFL_CALLBACK_DATA_IRP_OPERATION;
    data.Iopb = &raw mut block;
    // SAFETY: as above.
    let objects: sys::FLT_RELATED_OBJECTS = unsafe { mem::zeroed() };
    let mut completion = ptr::dangling_mut();
    // SAFETY: the probe is loaded, and these are arguments as the Filter Manager makes them.
    let result = unsafe { callback(&raw mut data, &raw const objects, &raw mut completion) };
    Answer {
        result,
        completion: completion.addr(),
        // SAFETY: the members of the union are views of the same bytes.
        status: Status::from_raw(unsafe { data.IoStatus.__bindgen_anon_1.Status }),
        information: data.IoStatus.Information,
    }
}

/// The final status of an operation is never "pending", which would be waited for.
#[test]
fn an_operation_is_not_completed_as_pending() {
    let bench = Bench::new(0);
    for (status, expected) in [
        (Status::PENDING, Status::UNSUCCESSFUL),
        (Status::ACCESS_DENIED, Status::ACCESS_DENIED),
        (Status::SUCCESS, Status::SUCCESS),
    ] {
        bench.hook(Hooks {
            pre_read: Some(Arc::new(move |_: &mut Pre<'_, Probe, Read>| {
                PreResult::complete(status, 3)
            })),
            ..Hooks::default()
        });
        let answer = call(&bench, sys::IRP_MJ_READ);
        assert_eq!(answer, Answer::completed(expected, 3), "{status}");
    }
    bench.hook(Hooks::default());
    bench.finish();
}

/// A cleanup cannot fail, whatever the filter says.
#[test]
fn a_cleanup_is_completed_with_success() {
    let bench = Bench::new(0);
    for status in [Status::PENDING, Status::ACCESS_DENIED, Status::SUCCESS] {
        bench.hook(Hooks {
            pre_cleanup: Some(Arc::new(move |_: &mut Pre<'_, Probe, Cleanup>| {
                PreResult::complete(status, 0)
            })),
            ..Hooks::default()
        });
        let answer = call(&bench, sys::IRP_MJ_CLEANUP);
        assert_eq!(answer, Answer::completed(Status::SUCCESS, 0), "{status}");
    }
    bench.hook(Hooks::default());
    bench.finish();
}

/// Drivers send operations that are about no file. Its file object answers, and is not followed.
#[test]
fn an_operation_may_have_no_file_object() {
    let bench = Bench::new(0);
    bench.hook(Hooks {
        pre_read: Some(Arc::new(|read: &mut Pre<'_, Probe, Read>| {
            assert_eq!(read.file_object().id(), 0);
            assert_eq!(
                read.file_object().is_directory(),
                Err(Status::NOT_SUPPORTED)
            );
            let name = read.file_name(NameFormat::Opened);
            assert_eq!(name.err(), Some(Status::NOT_SUPPORTED));
            PreResult::no_callback()
        })),
        ..Hooks::default()
    });
    let answer = call(&bench, sys::IRP_MJ_READ);
    assert_eq!(answer.result, sys::FLT_PREOP_SUCCESS_NO_CALLBACK);
    assert_eq!(answer.completion, 0);
    bench.hook(Hooks::default());
    bench.finish();
}
