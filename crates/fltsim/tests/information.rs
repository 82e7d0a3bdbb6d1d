//! What drivers can ask about filters, instances and volumes, in the layouts of the headers.

#![allow(
    clippy::cast_possible_truncation,
    reason = "sizes of buffers fit their size members"
)]

mod core_support;

use core_support::{Bench, config, registration, start};
use fltmgr_sys::*;
use fltsim::verifier::Rule;
use fltsim::{DriverConfig, OpenOptions, Unload};
use std::ptr::null_mut;

/// Calls with a buffer of a size, and gives the bytes.
fn ask(
    size: usize,
    call: impl FnOnce(PVOID, ULONG, *mut ULONG) -> NTSTATUS,
) -> Result<Vec<u8>, NTSTATUS> {
    let mut buffer = vec![0xEE; size];
    let mut length = 0;
    let status = call(buffer.as_mut_ptr().cast(), size as ULONG, &raw mut length);
    if status != STATUS_SUCCESS {
        assert!(buffer.iter().all(|byte| *byte == 0xEE));
        return Err(status);
    }
    buffer.truncate(length as usize);
    Ok(buffer)
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn short(bytes: &[u8], at: usize) -> usize {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()).into()
}

fn text(bytes: &[u8], start: usize, length: usize) -> String {
    let units: Vec<u16> = bytes[start..start + length]
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16(&units).unwrap()
}

/// The name whose length is at one place and whose offset is two bytes behind.
fn name(bytes: &[u8], at: usize) -> String {
    text(bytes, short(bytes, at + 2), short(bytes, at))
}

#[test]
fn descriptions_have_their_layouts() {
    let bench = Bench::new();
    let (filter, instance, volume) = (bench.filter, bench.instance, bench.volume.pointer());
    let of_filter = |class, size| {
        // SAFETY: the buffer is ours.
        ask(size, |buffer, size, length| unsafe {
            FltGetFilterInformation(filter, class, buffer, size, length)
        })
    };
    let full = of_filter(FilterFullInformation, 22).unwrap();
    assert_eq!((full.len(), number(&full, 8)), (22, 1));
    assert_eq!(text(&full, 14, short(&full, 12)), "test");
    let basic = of_filter(FilterAggregateBasicInformation, 100).unwrap();
    assert_eq!((number(&basic, 4), number(&basic, 12)), (1, 1));
    assert_eq!((&*name(&basic, 16), &*name(&basic, 20)), ("test", "385000"));
    let standard = of_filter(FilterAggregateStandardInformation, 100).unwrap();
    assert_eq!((number(&standard, 4), number(&standard, 16)), (1, 1));
    assert_eq!(
        (&*name(&standard, 20), &*name(&standard, 24)),
        ("test", "385000")
    );
    assert_eq!(
        of_filter(FilterFullInformation, 21),
        Err(STATUS_BUFFER_TOO_SMALL)
    );
    assert_eq!(of_filter(3, 100), Err(STATUS_INVALID_PARAMETER));

    let of_instance = |class| {
        // SAFETY: the buffer is ours.
        let found = ask(200, |buffer, size, length| unsafe {
            FltGetInstanceInformation(instance, class, buffer, size, length)
        });
        found.unwrap()
    };
    let names = [
        "test Instance",
        "385000",
        r"\Device\HarddiskVolume1",
        "test",
    ];
    assert_eq!(name(&of_instance(InstanceBasicInformation), 4), names[0]);
    let partial = of_instance(InstancePartialInformation);
    assert_eq!([4, 8].map(|at| name(&partial, at)), names[..2]);
    let full = of_instance(InstanceFullInformation);
    assert_eq!([4, 8, 12, 16].map(|at| name(&full, at)), names);
    let standard = of_instance(InstanceAggregateStandardInformation);
    assert_eq!([20, 24, 28, 32].map(|at| name(&standard, at)), names);
    assert_eq!(number(&standard, 16), FLT_FSTYPE_NTFS as u32);

    let of_volume = |class| {
        // SAFETY: the buffer is ours.
        let found = ask(200, |buffer, size, length| unsafe {
            FltGetVolumeInformation(volume, class, buffer, size, length)
        });
        found.unwrap()
    };
    let basic = of_volume(FilterVolumeBasicInformation);
    assert_eq!(text(&basic, 2, short(&basic, 0)), names[2]);
    let standard = of_volume(FilterVolumeStandardInformation);
    assert_eq!(number(&standard, 12), FLT_FSTYPE_NTFS as u32);
    assert_eq!(text(&standard, 18, short(&standard, 16)), names[2]);
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    bench.assert_clean();
}

#[test]
fn stacks_are_walked_and_listed() {
    let bench = Bench::with(config(), registration(), vec![]);
    let low = DriverConfig::new("low").altitude("45000");
    let low = bench.machine.create_driver(low);
    start(&low, registration(), vec![]).unwrap();
    let volume = bench.volume.pointer();
    let [top, bottom] = [0, 1].map(|index| bench.volume.instances()[index].pointer);
    let given = |call: unsafe extern "win64" fn(PFLT_INSTANCE, *mut PFLT_INSTANCE) -> NTSTATUS,
                 of| {
        let mut found = null_mut();
        // SAFETY: the place for the result is ours.
        let status = unsafe { call(of, &raw mut found) };
        if status == STATUS_SUCCESS {
            // SAFETY: the reference was handed out just now.
            unsafe { FltObjectDereference(found.cast()) };
        }
        (status, found)
    };
    let nothing = (STATUS_NO_MORE_ENTRIES, null_mut());
    assert_eq!(given(FltGetLowerInstance, top), (STATUS_SUCCESS, bottom));
    assert_eq!(given(FltGetUpperInstance, bottom), (STATUS_SUCCESS, top));
    assert_eq!(given(FltGetUpperInstance, top), nothing);
    assert_eq!(given(FltGetLowerInstance, bottom), nothing);
    let end = |call: unsafe extern "win64" fn(PFLT_VOLUME, *mut PFLT_INSTANCE) -> NTSTATUS| {
        let mut found = null_mut();
        // SAFETY: the place for the result is ours.
        assert_eq!(unsafe { call(volume, &raw mut found) }, STATUS_SUCCESS);
        // SAFETY: the reference was handed out just now.
        unsafe { FltObjectDereference(found.cast()) };
        found
    };
    assert_eq!(
        (end(FltGetTopInstance), end(FltGetBottomInstance)),
        (top, bottom)
    );
    for (one, other, expected) in [(top, bottom, 1), (bottom, top, -1), (top, top, 0)] {
        // SAFETY: both are instances.
        assert_eq!(unsafe { FltCompareInstanceAltitudes(one, other) }, expected);
    }

    let listed = |index| {
        // SAFETY: the buffer is ours.
        let found = ask(200, |buffer, size, length| unsafe {
            let class = InstanceFullInformation;
            FltEnumerateInstanceInformationByVolume(volume, index, class, buffer, size, length)
        });
        found.map(|bytes| name(&bytes, 16))
    };
    assert_eq!([0, 1].map(|index| listed(index).unwrap()), ["test", "low"]);
    assert_eq!(listed(2), Err(STATUS_NO_MORE_ENTRIES));
    let filter = |index| {
        // SAFETY: the buffer is ours.
        let found = ask(200, |buffer, size, length| unsafe {
            FltEnumerateFilterInformation(index, FilterFullInformation, buffer, size, length)
        });
        found.map(|bytes| text(&bytes, 14, short(&bytes, 12)))
    };
    bench.machine.at_irql(APC_LEVEL, || {
        assert_eq!([0, 1].map(|index| filter(index).unwrap()), ["test", "low"]);
        assert_eq!(filter(2), Err(STATUS_NO_MORE_ENTRIES));
    });
    let volumes = |index| {
        // SAFETY: the buffer is ours.
        let found = ask(200, |buffer, size, length| unsafe {
            let class = FilterVolumeBasicInformation;
            FltEnumerateVolumeInformation(bench.filter, index, class, buffer, size, length)
        });
        found.map(|bytes| text(&bytes, 2, short(&bytes, 0)))
    };
    assert_eq!(volumes(0).unwrap(), r"\Device\HarddiskVolume1");
    assert_eq!(volumes(1), Err(STATUS_NO_MORE_ENTRIES));
    assert_eq!(low.unload(Unload::Normal), Ok(()));
    assert!(bench.machine.verifier().reports().is_empty());
}

fltapi! {
    unsafe fn pre_create(
        data: PFLT_CALLBACK_DATA,
        _objects: PCFLT_RELATED_OBJECTS,
        completion: *mut PVOID,
    ) -> FLT_PREOP_CALLBACK_STATUS {
        let options = FLT_FILE_NAME_NORMALIZED | FLT_FILE_NAME_QUERY_DEFAULT;
        let mut name = null_mut();
        // SAFETY: the place for the result is ours.
        let status = unsafe { FltGetFileNameInformation(data, options, &raw mut name) };
        assert_eq!(status, STATUS_SUCCESS);
        assert_eq!(tunnelled(data, name), (STATUS_SUCCESS, null_mut()));
        // SAFETY: the machine passes a place for the completion context.
        unsafe { *completion = name.cast() };
        FLT_PREOP_SUCCESS_WITH_CALLBACK
    }

    unsafe fn post_create(
        data: PFLT_CALLBACK_DATA,
        _objects: PCFLT_RELATED_OBJECTS,
        name: PVOID,
        _flags: FLT_POST_OPERATION_FLAGS,
    ) -> FLT_POSTOP_CALLBACK_STATUS {
        assert_eq!(tunnelled(data, name.cast()), (STATUS_SUCCESS, null_mut()));
        assert_eq!(tunnelled(data, null_mut()), (STATUS_INVALID_PARAMETER, null_mut()));
        // SAFETY: the reference came with the completion context.
        unsafe { FltReleaseFileNameInformation(name.cast()) };
        FLT_POSTOP_FINISHED_PROCESSING
    }
}

fn tunnelled(
    data: PFLT_CALLBACK_DATA,
    name: PFLT_FILE_NAME_INFORMATION,
) -> (NTSTATUS, PFLT_FILE_NAME_INFORMATION) {
    let mut found = std::ptr::dangling_mut();
    // SAFETY: the place for the result is ours.
    let status = unsafe { FltGetTunneledName(data, name, &raw mut found) };
    (status, found)
}

#[test]
fn without_short_names_nothing_is_tunnelled() {
    let entry = |major, pre, post| FLT_OPERATION_REGISTRATION {
        MajorFunction: major,
        Flags: 0,
        PreOperation: pre,
        PostOperation: post,
        Reserved1: null_mut(),
    };
    let operations = [
        entry(IRP_MJ_CREATE, Some(pre_create as _), Some(post_create as _)),
        entry(IRP_MJ_OPERATION_END, None, None),
    ];
    let mut registration = registration();
    registration.OperationRegistration = operations.as_ptr();
    let bench = Bench::with(config(), registration, vec![]);
    let file = bench.volume.open(r"\file", OpenOptions::create()).unwrap();
    file.close();
    let reports = bench.machine.verifier().take_reports();
    let rules: Vec<_> = reports.iter().map(|report| report.rule).collect();
    // Asked before the operation, and without a name.
    assert_eq!(rules, [Rule::V0, Rule::V0]);
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    bench.assert_clean();
}
