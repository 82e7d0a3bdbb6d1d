//! Security descriptors of files, through filters and below them.

#![cfg(target_arch = "x86_64")]

mod io_support;

use fltmgr_sys::*;
use fltsim::filesystem::Personality;
use fltsim::{Machine, OpenOptions, Volume};
use io_support::*;
use parking_lot::Mutex;
use std::ptr::null_mut;
use std::sync::Arc;

const BOTH: [u8; 2] = [IRP_MJ_QUERY_SECURITY, IRP_MJ_SET_SECURITY];
const PARTS: u32 =
    OWNER_SECURITY_INFORMATION | GROUP_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
/// The descriptor of a new file with these parts: the header, a list of two entries, administrators
/// as the owner, the system as the group.
const LENGTH: u32 = 20 + 52 + 16 + 12;
const ADMINISTRATORS: [u8; 16] = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
const SYSTEM: [u8; 12] = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
const EVERYONE: [u8; 12] = [1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];

/// A list with one entry, which allows everyone something.
fn list(access: u32) -> Vec<u8> {
    let mut list = vec![2, 0, 28, 0, 1, 0, 0, 0, 0, 0, 20, 0];
    list.extend(access.to_le_bytes());
    list.extend(EVERYONE);
    list
}

/// A self-relative descriptor; what is empty is absent.
fn descriptor(control: u16, [owner, group, sacl, dacl]: [&[u8]; 4]) -> Vec<u8> {
    let mut offsets = [0_u32; 4];
    let mut parts: Vec<u8> = Vec::new();
    for (index, part) in [(2, sacl), (3, dacl), (0, owner), (1, group)] {
        if !part.is_empty() {
            offsets[index] = u32::try_from(20 + parts.len()).unwrap();
            parts.extend(part);
        }
    }
    let mut all = vec![1, 0];
    all.extend((control | 0x8000).to_le_bytes());
    all.extend(offsets.iter().flat_map(|offset| offset.to_le_bytes()));
    all.extend(parts);
    all
}

fn everything() -> OpenOptions {
    let rights = READ_CONTROL | WRITE_DAC | WRITE_OWNER | ACCESS_SYSTEM_SECURITY;
    OpenOptions::create().access(FILE_GENERIC_READ | rights)
}

/// `FltQuerySecurityObject`, into so many bytes.
fn query(own: PFLT_INSTANCE, file: PFILE_OBJECT, length: u32) -> (NTSTATUS, u32, Vec<u8>) {
    let mut buffer = vec![0xEE; length as usize];
    let mut needed = 77;
    // SAFETY: the objects exist, the buffer is as long as it says.
    let status = unsafe {
        FltQuerySecurityObject(
            own,
            file,
            PARTS,
            buffer.as_mut_ptr().cast(),
            length,
            &raw mut needed,
        )
    };
    (status, needed, buffer)
}

/// `FltSetSecurityObject`.
fn set(own: PFLT_INSTANCE, file: PFILE_OBJECT, parts: u32, descriptor: &[u8]) -> NTSTATUS {
    let descriptor = descriptor.as_ptr().cast_mut().cast();
    // SAFETY: the objects exist, and nothing is written to the descriptor.
    unsafe { FltSetSecurityObject(own, file, parts, descriptor) }
}

/// What a filter saw: the operation, its parts, and the length or the bytes that came with it.
type Seen = Arc<Mutex<Vec<(u8, u32, u32, Vec<u8>)>>>;
/// What it ended with.
type Ended = Arc<Mutex<Vec<(u8, NTSTATUS, u64)>>>;

fn watching(log: &Log) -> (Script, Seen, Ended) {
    let (seen, ended) = (Seen::default(), Ended::default());
    let mut script = Script::new("own", log);
    for major in BOTH {
        let seen = seen.clone();
        let ended = ended.clone();
        script = script
            .pre(major, move |data, _, _| {
                let parameters = iopb(data).Parameters;
                seen.lock().push(if major == IRP_MJ_QUERY_SECURITY {
                    // SAFETY: this is such an operation.
                    let query = unsafe { parameters.QuerySecurity };
                    assert!(query.MdlAddress.is_null());
                    (major, query.SecurityInformation, query.Length, Vec::new())
                } else {
                    // SAFETY: as above.
                    let set = unsafe { parameters.SetSecurity };
                    let at = set.SecurityDescriptor.cast::<u8>();
                    // SAFETY: every descriptor of this test has as many bytes as its only list.
                    let bytes = unsafe { std::slice::from_raw_parts(at, 48) };
                    (major, set.SecurityInformation, 0, bytes.to_vec())
                });
                FLT_PREOP_SUCCESS_WITH_CALLBACK
            })
            .post(major, move |callback, _, _, _| {
                let information = data(callback).IoStatus.Information;
                ended.lock().push((major, status(callback), information));
                FLT_POSTOP_FINISHED_PROCESSING
            });
    }
    (script, seen, ended)
}

fn finish(machine: &Machine, filters: &[Loaded]) {
    for filter in filters {
        filter.unload().unwrap();
    }
    let outcome = machine.finish();
    assert!(outcome.is_clean(), "{outcome:?}");
}

#[test]
fn both_operations_go_through_a_filter() {
    let (machine, volume) = machine();
    let log = log();
    let (script, seen, ended) = watching(&log);
    let own = script.load(&machine, "2");
    let handle = volume.open("\\file", everything()).unwrap();
    take(&log);

    let default = handle.query_security(PARTS).unwrap();
    assert_eq!(default.len(), LENGTH as usize);
    assert_eq!(default[..4], [1, 0, 4, 0x80]);
    assert_eq!(
        default[4..20],
        [72, 0, 0, 0, 88, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0]
    );
    assert_eq!(default[72..88], ADMINISTRATORS);
    assert_eq!(default[88..100], SYSTEM);
    assert_eq!(
        take(&log),
        ["own pre query-security", "own post query-security"]
    );

    let dacl = list(1);
    let new = descriptor(4, [&[], &[], &[], &dacl]);
    assert_eq!(handle.set_security(DACL_SECURITY_INFORMATION, &new), Ok(()));
    assert_eq!(
        take(&log),
        ["own pre set-security", "own post set-security"]
    );
    let expected = descriptor(4, [&ADMINISTRATORS, &SYSTEM, &[], &dacl]);
    assert_eq!(handle.query_security(PARTS), Ok(expected));
    assert_eq!(take(&log).len(), 2);

    assert_eq!(
        *seen.lock(),
        [
            (IRP_MJ_QUERY_SECURITY, PARTS, 0x1_0000, vec![]),
            (IRP_MJ_SET_SECURITY, DACL_SECURITY_INFORMATION, 0, new),
            (IRP_MJ_QUERY_SECURITY, PARTS, 0x1_0000, vec![]),
        ]
    );
    assert_eq!(
        *ended.lock(),
        [
            (IRP_MJ_QUERY_SECURITY, STATUS_SUCCESS, 100),
            (IRP_MJ_SET_SECURITY, STATUS_SUCCESS, 0),
            (IRP_MJ_QUERY_SECURITY, STATUS_SUCCESS, 76),
        ]
    );
    drop(handle);
    finish(&machine, &[own]);
}

#[test]
fn parts_are_replaced_one_by_one() {
    let (machine, volume) = machine();
    let handle = volume.open("\\file", everything()).unwrap();
    let (dacl, sacl) = (list(1), list(2));
    let default = handle.query_security(PARTS).unwrap();
    // Owner, group, system list: flags come with the part they are about, and with no other.
    let flags = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20;
    let new = descriptor(flags, [&EVERYONE, &EVERYONE, &sacl, &dacl]);
    let all = PARTS | SACL_SECURITY_INFORMATION;
    let old_list = &default[20..72];
    let mut expected = descriptor(4, [&ADMINISTRATORS, &SYSTEM, &[], old_list]);
    assert_eq!(handle.query_security(all), Ok(expected));
    for (part, after) in [
        (
            OWNER_SECURITY_INFORMATION,
            descriptor(0x5, [&EVERYONE, &SYSTEM, &[], old_list]),
        ),
        (
            SACL_SECURITY_INFORMATION,
            descriptor(0x35, [&EVERYONE, &SYSTEM, &sacl, old_list]),
        ),
        (
            GROUP_SECURITY_INFORMATION,
            descriptor(0x37, [&EVERYONE, &EVERYONE, &sacl, old_list]),
        ),
        (
            DACL_SECURITY_INFORMATION,
            descriptor(flags, [&EVERYONE, &EVERYONE, &sacl, &dacl]),
        ),
    ] {
        assert_eq!(handle.set_security(part, &new), Ok(()));
        assert_eq!(handle.query_security(all), Ok(after));
    }
    // No list at all, and then a null one, which is present.
    for control in [0, 0x4] {
        let without = descriptor(control, [&[]; 4]);
        let parts = DACL_SECURITY_INFORMATION;
        assert_eq!(handle.set_security(parts, &without), Ok(()));
        assert_eq!(handle.query_security(parts), Ok(without));
    }
    expected = descriptor(0x31, [&EVERYONE, &[], &sacl, &[]]);
    let two = OWNER_SECURITY_INFORMATION | SACL_SECURITY_INFORMATION;
    assert_eq!(handle.query_security(two), Ok(expected));
    assert_eq!(handle.query_security(0), Ok(descriptor(0, [&[]; 4])));
    drop(handle);
    finish(&machine, &[]);
}

#[test]
fn a_buffer_that_is_too_small_gets_nothing() {
    let (machine, volume) = machine();
    let log = log();
    let (script, _, ended) = watching(&log);
    let own = script.load(&machine, "2");
    let low = Script::new("low", &log)
        .watch_all(&BOTH)
        .load(&machine, "1");
    let instance = volume.instances()[0].pointer;
    let handle = volume.open("\\file", everything()).unwrap();
    for length in [0, 19, LENGTH - 1] {
        let mut buffer = vec![0xEE; length as usize];
        let result = handle.query_security_into(PARTS, &mut buffer);
        assert_eq!(result, (STATUS_BUFFER_TOO_SMALL, 100));
        assert!(buffer.iter().all(|byte| *byte == 0xEE));
    }
    // The file system completes it with a warning.
    let overflow = (IRP_MJ_QUERY_SECURITY, STATUS_BUFFER_OVERFLOW, 100);
    assert_eq!(*ended.lock(), [overflow; 3]);
    take(&log);
    machine.at_irql(0, || {
        let file = handle.file_object();
        for length in [0, 19, LENGTH - 1] {
            let untouched = vec![0xEE; length as usize];
            let small = (STATUS_BUFFER_TOO_SMALL, LENGTH, untouched);
            assert_eq!(query(instance, file, length), small);
        }
        let (status, needed, bytes) = query(instance, file, LENGTH);
        assert_eq!((status, needed), (STATUS_SUCCESS, LENGTH));
        assert_eq!(Ok(bytes), handle.query_security(PARTS));
        // Both the buffer and the place for the length may be missing.
        // SAFETY: the objects exist.
        let status =
            unsafe { FltQuerySecurityObject(instance, file, PARTS, null_mut(), 0, null_mut()) };
        assert_eq!(status, STATUS_BUFFER_TOO_SMALL);
    });
    // Only the query of the handle came from above both.
    let count = |who: &str, lines: &[String]| lines.iter().filter(|l| l.starts_with(who)).count();
    let lines = take(&log);
    assert_eq!((count("own", &lines), count("low", &lines)), (2, 2 * 6));
    assert_eq!(machine.calls("FltQuerySecurityObject"), 5);
    drop(handle);
    finish(&machine, &[own, low]);
}

/// Two filters, the higher one's instance, and a file.
fn stack(machine: &Machine, volume: &Volume, log: &Log) -> ([Loaded; 2], PFLT_INSTANCE) {
    let high = Script::new("high", log).watch_all(&BOTH);
    let low = Script::new("low", log).watch_all(&BOTH);
    let loaded = [high.load(machine, "2"), low.load(machine, "1")];
    (loaded, volume.instances()[0].pointer)
}

#[test]
fn a_filter_asks_and_sets_below_itself() {
    let (machine, volume) = machine();
    let log = log();
    let (filters, instance) = stack(&machine, &volume, &log);
    let handle = volume.open("\\file", everything()).unwrap();
    let weak = volume
        .open("\\file", OpenOptions::read().access(FILE_READ_DATA))
        .unwrap();
    take(&log);
    machine.at_irql(0, || {
        let file = handle.file_object();
        let dacl = list(4);
        let new = descriptor(4, [&[], &[], &[], &dacl]);
        let parts = DACL_SECURITY_INFORMATION;
        assert_eq!(set(instance, file, parts, &new), STATUS_SUCCESS);
        assert_eq!(
            take(&log),
            ["low pre set-security", "low post set-security"]
        );
        let expected = descriptor(4, [&ADMINISTRATORS, &SYSTEM, &[], &dacl]);
        assert_eq!(query(instance, file, 76), (STATUS_SUCCESS, 76, expected));
        assert_eq!(
            take(&log),
            ["low pre query-security", "low post query-security"]
        );

        // The file object must have the rights, too.
        let weak = weak.file_object();
        let denied = (STATUS_ACCESS_DENIED, 0, vec![0xEE; 4]);
        assert_eq!(query(instance, weak, 4), denied);
        assert_eq!(set(instance, weak, parts, &new), STATUS_ACCESS_DENIED);
        assert_eq!(take(&log).len(), 4);

        // What is no descriptor goes nowhere.
        for (at, value, status) in [(0, 2, STATUS_UNKNOWN_REVISION), (20, 9, STATUS_INVALID_ACL)] {
            let mut broken = new.clone();
            broken[at] = value;
            assert_eq!(set(instance, file, parts, &broken), status);
        }
        let mut broken = descriptor(0, [&EVERYONE, &[], &[], &[]]);
        broken[20] = 2;
        assert_eq!(set(instance, file, 1, &broken), STATUS_INVALID_SID);
        // SAFETY: the objects exist.
        let status = unsafe { FltSetSecurityObject(instance, file, 1, null_mut()) };
        assert_eq!(status, STATUS_ACCESS_VIOLATION);
        assert!(take(&log).is_empty());
        // This one is a descriptor, but has nothing to give.
        assert_eq!(set(instance, file, 1, &new), STATUS_INVALID_OWNER);
        assert_eq!(set(instance, file, 2, &new), STATUS_INVALID_PRIMARY_GROUP);
        assert_eq!(take(&log).len(), 4);
    });
    assert_eq!(machine.calls("FltSetSecurityObject"), 8);
    assert!(machine.verifier().violations().is_empty());
    machine.at_irql(1, || query(instance, handle.file_object(), 0));
    let broken = machine.verifier().violations();
    assert_eq!(broken.len(), 1);
    assert_eq!(broken[0].call, "FltQuerySecurityObject");
    drop((handle, weak));
    for filter in &filters {
        filter.unload().unwrap();
    }
}

#[test]
fn a_filter_changes_what_is_set_and_what_is_asked() {
    let (machine, volume) = machine();
    let log = log();
    let other = Box::leak(Box::new(descriptor(4, [&[], &[], &[], &list(9)])));
    let at = other.as_mut_ptr() as usize;
    let own = Script::new("own", &log)
        .pre(IRP_MJ_SET_SECURITY, move |data, _, _| {
            change_iopb(data, |iopb| {
                iopb.Parameters.SetSecurity.SecurityDescriptor = at as PVOID;
                iopb.Parameters.SetSecurity.SecurityInformation = DACL_SECURITY_INFORMATION;
            });
            // SAFETY: the callback data of this callback.
            unsafe { FltSetCallbackDataDirty(data) };
            FLT_PREOP_SUCCESS_NO_CALLBACK
        })
        .pre(IRP_MJ_QUERY_SECURITY, |data, _, _| {
            set_status(data, STATUS_BUFFER_OVERFLOW, 5000);
            FLT_PREOP_COMPLETE
        })
        .load(&machine, "2");
    let handle = volume.open("\\file", everything()).unwrap();
    let new = descriptor(0, [&EVERYONE, &[], &[], &[]]);
    assert_eq!(
        handle.set_security(OWNER_SECURITY_INFORMATION, &new),
        Ok(())
    );
    let small = handle.query_security_into(PARTS, &mut []);
    assert_eq!(small, (STATUS_BUFFER_TOO_SMALL, 5000));
    own.unload().unwrap();
    let expected = descriptor(4, [&ADMINISTRATORS, &SYSTEM, &[], &list(9)]);
    assert_eq!(handle.query_security(PARTS), Ok(expected));
    drop(handle);
    finish(&machine, &[]);
}

#[test]
fn where_there_is_no_security() {
    for (personality, path, status) in [
        (Personality::fat(), "\\file", STATUS_INVALID_DEVICE_REQUEST),
        (Personality::fat(), "", STATUS_INVALID_DEVICE_REQUEST),
        (Personality::ntfs(), "", STATUS_INVALID_PARAMETER),
    ] {
        let (machine, volume) = machine_with(personality);
        let log = log();
        let (filters, instance) = stack(&machine, &volume, &log);
        let handle = volume.open(path, everything()).unwrap();
        take(&log);
        let new = descriptor(4, [&[], &[], &[], &list(1)]);
        assert_eq!(handle.query_security(PARTS), Err(status));
        assert_eq!(handle.query_security_into(PARTS, &mut []), (status, 0));
        assert_eq!(handle.set_security(4, &new), Err(status));
        assert_eq!(take(&log).len(), 4 * 3);
        machine.at_irql(0, || {
            let file = handle.file_object();
            assert_eq!(query(instance, file, 0), (status, 0, vec![]));
            assert_eq!(set(instance, file, 4, &new), status);
        });
        assert_eq!(take(&log).len(), 2 * 2);
        drop(handle);
        finish(&machine, &filters);
    }
}

type ZwQuery = unsafe extern "win64" fn(HANDLE, u32, PVOID, u32, *mut u32) -> NTSTATUS;
type ZwSet = unsafe extern "win64" fn(HANDLE, u32, PVOID) -> NTSTATUS;

/// `ZwQuerySecurityObject`.
fn zw_query(handle: HANDLE, length: u32) -> (NTSTATUS, u32, Vec<u8>) {
    let address = fltsim::resolve("ZwQuerySecurityObject").unwrap();
    // SAFETY: the type of this export.
    let function = unsafe { std::mem::transmute::<usize, ZwQuery>(address) };
    let mut buffer = vec![0xEE; length as usize];
    let mut needed = 77;
    let place = buffer.as_mut_ptr().cast();
    // SAFETY: the buffer is as long as it says.
    let status = unsafe { function(handle, PARTS, place, length, &raw mut needed) };
    (status, needed, buffer)
}

/// `ZwSetSecurityObject`.
fn zw_set(handle: HANDLE, parts: u32, descriptor: Option<&[u8]>) -> NTSTATUS {
    let address = fltsim::resolve("ZwSetSecurityObject").unwrap();
    // SAFETY: the type of this export.
    let function = unsafe { std::mem::transmute::<usize, ZwSet>(address) };
    let descriptor = descriptor.map_or(null_mut(), |bytes| bytes.as_ptr().cast_mut().cast());
    // SAFETY: null or a descriptor.
    unsafe { function(handle, parts, descriptor) }
}

/// Opens a file from the top of the stack.
fn open(filter: PFLT_FILTER, access: u32) -> HANDLE {
    let text = name("\\Device\\HarddiskVolume1\\file");
    let mut attributes = text.attributes(null_mut(), OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE);
    let mut block = IO_STATUS_BLOCK {
        __bindgen_anon_1: IO_STATUS_BLOCK_UNION { Status: 1 },
        Information: 0,
    };
    let mut handle = null_mut();
    // SAFETY: the filter exists, everything else is on this stack.
    let status = unsafe {
        FltCreateFile(
            filter,
            null_mut(),
            &raw mut handle,
            access | SYNCHRONIZE,
            &raw mut attributes,
            &raw mut block,
            null_mut(),
            FILE_ATTRIBUTE_NORMAL,
            FILE_SHARE_READ,
            FILE_OPEN_IF,
            FILE_SYNCHRONOUS_IO_NONALERT,
            null_mut(),
            0,
            0,
        )
    };
    assert_eq!(status, STATUS_SUCCESS);
    handle
}

#[test]
fn by_a_handle_the_whole_stack_is_asked() {
    let (machine, volume) = machine();
    let log = log();
    let (filters, _) = stack(&machine, &volume, &log);
    let filter = filters[0].filter;
    machine.at_irql(0, || {
        let handle = open(filter, READ_CONTROL | WRITE_DAC);
        let new = descriptor(4, [&[], &[], &[], &list(4)]);
        take(&log);
        let parts = DACL_SECURITY_INFORMATION;
        assert_eq!(zw_set(handle, parts, Some(&new)), STATUS_SUCCESS);
        let through = ["high pre", "low pre", "low post", "high post"];
        assert_eq!(
            take(&log),
            through.map(|step| format!("{step} set-security"))
        );
        let expected = descriptor(4, [&ADMINISTRATORS, &SYSTEM, &[], &list(4)]);
        assert_eq!(zw_query(handle, 76), (STATUS_SUCCESS, 76, expected));
        assert_eq!(
            take(&log),
            through.map(|step| format!("{step} query-security"))
        );
        let small = (STATUS_BUFFER_TOO_SMALL, 76, vec![0xEE; 75]);
        assert_eq!(zw_query(handle, 75), small);
        take(&log);

        assert_eq!(zw_set(handle, parts, None), STATUS_ACCESS_VIOLATION);
        let mut broken = new.clone();
        broken[0] = 2;
        let status = zw_set(handle, parts, Some(&broken));
        assert_eq!(status, STATUS_UNKNOWN_REVISION);
        assert!(take(&log).is_empty());
        assert_eq!(zw_set(handle, 1, Some(&new)), STATUS_ACCESS_DENIED);
        // SAFETY: what was opened, once.
        assert_eq!(unsafe { FltClose(handle) }, STATUS_SUCCESS);
        assert_eq!(zw_query(handle, 0), (STATUS_INVALID_HANDLE, 0, vec![]));
        assert_eq!(zw_set(handle, parts, Some(&new)), STATUS_INVALID_HANDLE);
    });
    assert_eq!(machine.calls("ZwQuerySecurityObject"), 3);
    assert_eq!(machine.calls("ZwSetSecurityObject"), 5);
    finish(&machine, &filters);
}
