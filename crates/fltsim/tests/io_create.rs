//! Files that a minifilter opens for itself.

mod io_support;

use fltmgr_sys::*;
use fltsim::filesystem::Personality;
use fltsim::{OpenOptions, VolumeConfig};
use io_support::*;
use parking_lot::Mutex;
use std::ptr::null_mut;
use std::sync::Arc;

const SEEN: [u8; 5] = [
    IRP_MJ_CREATE,
    IRP_MJ_READ,
    IRP_MJ_WRITE,
    IRP_MJ_CLEANUP,
    IRP_MJ_CLOSE,
];
const WRONG_DEVICE: NTSTATUS = 0xC000_0369_u32.cast_signed();
const NOT_SAME_DEVICE: NTSTATUS = 0xC000_00D4_u32.cast_signed();
const EAS_NOT_SUPPORTED: NTSTATUS = 0xC000_004F_u32.cast_signed();

/// What to open, and how.
#[derive(Clone, Copy)]
struct Wish<'a> {
    name: &'a str,
    root: HANDLE,
    access: u32,
    share: u32,
    disposition: u32,
    options: u32,
    flags: u32,
    extended: u32,
}

const fn wish(name: &str) -> Wish<'_> {
    Wish {
        name,
        root: null_mut(),
        access: FILE_GENERIC_READ | FILE_GENERIC_WRITE | DELETE,
        share: FILE_SHARE_READ,
        disposition: FILE_OPEN_IF,
        options: FILE_SYNCHRONOUS_IO_NONALERT,
        flags: 0,
        extended: 0,
    }
}

#[derive(Debug)]
struct Opened {
    handle: HANDLE,
    object: PFILE_OBJECT,
    information: u64,
}

/// Opens with `FltCreateFileEx2`; the status, which the status block repeats, if that fails.
fn open(filter: PFLT_FILTER, below: PFLT_INSTANCE, wish: Wish<'_>) -> Result<Opened, NTSTATUS> {
    let text = name(wish.name);
    let mut attributes = text.attributes(wish.root, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE);
    let mut block = IO_STATUS_BLOCK {
        __bindgen_anon_1: IO_STATUS_BLOCK_UNION { Status: 1 },
        Information: 99,
    };
    let (mut handle, mut object) = (null_mut(), null_mut());
    let mut extended = [0_u8; 16];
    // SAFETY: the objects exist, everything else is on this stack.
    let status = unsafe {
        FltCreateFileEx2(
            filter,
            below,
            &raw mut handle,
            &raw mut object,
            wish.access,
            &raw mut attributes,
            &raw mut block,
            null_mut(),
            FILE_ATTRIBUTE_NORMAL,
            wish.share,
            wish.disposition,
            wish.options,
            extended.as_mut_ptr().cast(),
            wish.extended,
            wish.flags,
            null_mut(),
        )
    };
    // SAFETY: every bit pattern is a status.
    assert_eq!(unsafe { block.__bindgen_anon_1.Status }, status);
    if status < 0 {
        assert!(handle.is_null() && object.is_null());
        return Err(status);
    }
    Ok(Opened {
        handle,
        object,
        information: block.Information,
    })
}

/// Asks for the owner of a file, with no room for it.
fn owner_of(instance: PFLT_INSTANCE, file: PFILE_OBJECT) -> NTSTATUS {
    let mut needed = 0;
    // SAFETY: the objects exist, and there is no buffer.
    unsafe {
        FltQuerySecurityObject(
            instance,
            file,
            OWNER_SECURITY_INFORMATION,
            null_mut(),
            0,
            &raw mut needed,
        )
    }
}

fn close(opened: &Opened) {
    // SAFETY: what `open` gave, once.
    unsafe { ObfDereferenceObject(opened.object.cast()) };
    // SAFETY: as above.
    assert_eq!(unsafe { FltClose(opened.handle) }, STATUS_SUCCESS);
}

fn read(below: PFLT_INSTANCE, file: PFILE_OBJECT) -> Vec<u8> {
    let mut buffer = [0_u8; 8];
    let mut count = 0;
    let mut offset = LARGE_INTEGER { QuadPart: 0 };
    // SAFETY: the objects exist, and the buffers outlive the call.
    let status = unsafe {
        FltReadFile(
            below,
            file,
            &raw mut offset,
            8,
            buffer.as_mut_ptr().cast(),
            0,
            &raw mut count,
            None,
            null_mut(),
        )
    };
    assert_eq!(status, STATUS_SUCCESS);
    buffer[..count as usize].to_vec()
}

#[test]
fn a_file_opened_below_an_instance_is_used_below_it() {
    let (machine, volume) = machine();
    let log = log();
    let high = Script::new("high", &log)
        .watch_all(&SEEN)
        .load(&machine, "3");
    let own = Script::new("own", &log)
        .watch_all(&SEEN)
        .load(&machine, "2");
    let _low = Script::new("low", &log)
        .watch_all(&SEEN)
        .load(&machine, "1");
    let instance = volume.instances()[1].pointer;
    volume
        .open("\\a", OpenOptions::create())
        .unwrap()
        .write(0, b"abc")
        .unwrap();
    take(&log);
    machine.at_irql(0, || {
        let wish = wish("\\Device\\HarddiskVolume1\\a");
        let opened = open(own.filter, instance, wish).unwrap();
        assert_eq!(opened.information, FILE_OPENED);
        assert_eq!(opened.handle as usize >> 63, 1, "a kernel handle");
        assert_eq!(take(&log), ["low pre create", "low post create"]);
        // The one above may use it, and still only what is below the opener sees that.
        assert_eq!(read(volume.instances()[0].pointer, opened.object), b"abc");
        assert_eq!(take(&log), ["low pre read", "low post read"]);
        close(&opened);
        let end = [
            "low pre cleanup",
            "low post cleanup",
            "low pre close",
            "low post close",
        ];
        assert_eq!(take(&log), end);

        // Without an instance everybody sees it.
        let opened = open(own.filter, null_mut(), wish).unwrap();
        assert_eq!(take(&log).len(), 6);
        close(&opened);
        assert_eq!(take(&log).len(), 12);
    });
    drop(high);
    assert!(machine.finish().is_clean());
}

/// The number of a file, as it is passed in the place of a name.
fn number_of(instance: PFLT_INSTANCE, file: PFILE_OBJECT) -> String {
    let mut number = [0; 8];
    let mut length = 0;
    // SAFETY: the objects exist, the buffer is as long as it says.
    let status = unsafe {
        FltQueryInformationFile(
            instance,
            file,
            number.as_mut_ptr().cast(),
            8,
            FileInternalInformation,
            &raw mut length,
        )
    };
    assert_eq!((status, length), (STATUS_SUCCESS, 8));
    let pairs = number.chunks(2);
    let units = pairs.map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    String::from_utf16(&units.collect::<Vec<_>>()).unwrap()
}

/// Renames a file below an instance.
fn rename(instance: PFLT_INSTANCE, file: &Opened, root: HANDLE, to: &str) -> NTSTATUS {
    let name: Vec<u8> = to.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut buffer = vec![0_u8; 8];
    buffer.extend((root as u64).to_le_bytes());
    buffer.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
    buffer.extend(name);
    // Never less than the structure with the first unit of the name, and its end.
    buffer.resize(buffer.len().max(24), 0);
    let length = u32::try_from(buffer.len()).unwrap();
    let memory = buffer.as_mut_ptr().cast();
    // SAFETY: the objects exist, and the buffer has this length.
    unsafe { FltSetInformationFile(instance, file.object, memory, length, FileRenameInformation) }
}

#[test]
fn where_a_rename_leads() {
    let (machine, volume) = machine();
    let other = VolumeConfig::memory("\\Device\\HarddiskVolume2", Personality::ntfs());
    let _other = machine.add_volume(other);
    let log = log();
    let own = Script::new("own", &log).load(&machine, "2");
    let instance = volume.instances()[0].pointer;
    machine.at_irql(0, || {
        let directory = Wish {
            options: FILE_SYNCHRONOUS_IO_NONALERT | FILE_DIRECTORY_FILE,
            share: 7,
            ..wish("\\??\\C:\\dir")
        };
        let directory = open(own.filter, instance, directory).unwrap();
        for (root, to, path) in [
            (directory.handle, "a", "\\dir\\a"),
            (null_mut(), "b", "\\b"),
            (null_mut(), "\\??\\C:\\dir\\c", "\\dir\\c"),
            (null_mut(), "\\Device\\HarddiskVolume1\\dir\\d", "\\dir\\d"),
            (null_mut(), "\\dir\\e", "\\dir\\e"),
        ] {
            let file = open(own.filter, instance, wish("\\??\\C:\\file")).unwrap();
            assert_eq!(rename(instance, &file, root, to), STATUS_SUCCESS, "{to}");
            close(&file);
            assert!(volume.open(path, OpenOptions::read()).is_ok(), "{to}");
        }
        let file = open(own.filter, instance, wish("\\??\\C:\\file")).unwrap();
        for (root, to, status) in [
            (0x1234 as HANDLE, "a", STATUS_INVALID_HANDLE),
            (null_mut(), "\\??\\D:\\a", NOT_SAME_DEVICE),
        ] {
            assert_eq!(rename(instance, &file, root, to), status, "{to}");
        }
        close(&file);
        close(&directory);
    });
    own.unload().unwrap();
    assert!(machine.finish().is_clean());
}

/// A directory without a name is one all the same, and not the volume.
fn below_a_number(
    filter: PFLT_FILTER,
    instance: PFLT_INSTANCE,
    directory: &Opened,
    file_number: &str,
) {
    let directory_number = number_of(instance, directory.object);
    let unnamed = Wish {
        name: &directory_number,
        root: directory.handle,
        disposition: FILE_OPEN,
        options: FILE_OPEN_BY_FILE_ID | FILE_DIRECTORY_FILE,
        share: 7,
        ..wish("")
    };
    let unnamed = open(filter, instance, unnamed).unwrap();
    let below = Wish {
        root: unnamed.handle,
        disposition: FILE_OPEN,
        ..wish("file")
    };
    let below = open(filter, instance, below).unwrap();
    assert_eq!(number_of(instance, below.object), file_number);
    close(&below);
    assert_eq!(owner_of(instance, unnamed.object), STATUS_BUFFER_TOO_SMALL);
    close(&unnamed);
}

#[test]
fn names_statuses_and_sharing() {
    let (machine, volume) = machine();
    let log = log();
    let other = machine.add_volume(fltsim::VolumeConfig::memory(
        "\\Device\\HarddiskVolume2",
        fltsim::filesystem::Personality::ntfs(),
    ));
    let own = Script::new("own", &log).load(&machine, "2");
    let instance = volume.instances()[0].pointer;
    let filter = own.filter;
    machine.at_irql(0, || {
        let fails = |wish: Wish<'_>, status: NTSTATUS| {
            assert_eq!(
                open(filter, instance, wish).unwrap_err(),
                status,
                "{}",
                wish.name
            );
        };
        let directory = Wish {
            options: FILE_SYNCHRONOUS_IO_NONALERT | FILE_DIRECTORY_FILE,
            share: 7,
            ..wish("\\??\\C:\\dir")
        };
        let directory = open(filter, instance, directory).unwrap();
        assert_eq!(directory.information, FILE_CREATED);
        let inside = Wish {
            root: directory.handle,
            ..wish("file")
        };
        let file = open(filter, instance, inside).unwrap();
        assert_eq!(file.information, FILE_CREATED);
        // SAFETY: the file object is open, and so is its directory.
        let related = unsafe { (*file.object).RelatedFileObject };
        assert_eq!(related, directory.object);

        fails(inside, STATUS_SHARING_VIOLATION);
        let ignored = Wish {
            flags: IO_IGNORE_SHARE_ACCESS_CHECK,
            ..inside
        };
        close(&open(filter, instance, ignored).unwrap());
        let by_number = number_of(instance, file.object);
        let numbered = Wish {
            name: &by_number,
            root: directory.handle,
            disposition: FILE_OPEN,
            options: FILE_OPEN_BY_FILE_ID,
            access: FILE_READ_ATTRIBUTES,
            ..wish("")
        };
        close(&open(filter, instance, numbered).unwrap());

        let bad_root = Wish {
            root: 0x1234 as HANDLE,
            ..inside
        };
        fails(bad_root, STATUS_INVALID_HANDLE);
        fails(wish("\\Device\\HarddiskVolume2\\x"), WRONG_DEVICE);
        fails(
            wish("\\Device\\HarddiskVolume1\\no\\x"),
            STATUS_OBJECT_PATH_NOT_FOUND,
        );
        let missing = Wish {
            disposition: FILE_OPEN,
            ..wish("\\Device\\HarddiskVolume1\\x")
        };
        fails(missing, STATUS_OBJECT_NAME_NOT_FOUND);
        let extended = Wish {
            extended: 16,
            ..wish("\\Device\\HarddiskVolume1\\x")
        };
        fails(extended, EAS_NOT_SUPPORTED);
        close(&file);

        below_a_number(filter, instance, &directory, &by_number);
        close(&directory);

        // Any volume will do without an instance.
        let anywhere = open(filter, null_mut(), wish("\\??\\D:\\y")).unwrap();
        close(&anywhere);
        assert!(other.open("\\y", OpenOptions::read()).is_ok());

        // SAFETY: no handle of anybody's.
        assert_eq!(unsafe { FltClose(0x7777 as HANDLE) }, STATUS_INVALID_HANDLE);
    });
    own.unload().unwrap();
    let outcome = machine.finish();
    assert!(outcome.leaks.is_empty(), "{:?}", outcome.leaks);
    assert_eq!(outcome.violations.len(), 1);
    assert_eq!(outcome.violations[0].call, "FltClose");
}

#[test]
fn what_is_not_closed_is_reported_with_the_filter() {
    let (machine, volume) = machine();
    let log = log();
    let own = Script::new("own", &log).load(&machine, "2");
    let instance = volume.instances()[0].pointer;
    machine.at_irql(0, || {
        open(own.filter, instance, wish("\\??\\C:\\left")).unwrap();
        let (mut handle, mut object) = (null_mut(), null_mut());
        // SAFETY: the instance exists.
        let status = unsafe { FltOpenVolume(instance, &raw mut handle, &raw mut object) };
        assert_eq!(status, STATUS_SUCCESS);
        // SAFETY: the file object is open.
        assert_eq!(unsafe { (*object).FileName.Length }, 0);
        // SAFETY: the reference that was given.
        unsafe { ObfDereferenceObject(object.cast()) };
        // SAFETY: the handle that was given.
        unsafe { FltClose(handle) };
    });
    own.unload().unwrap();
    let mut left: Vec<_> = machine
        .finish()
        .leaks
        .into_iter()
        .map(|leak| (leak.object, leak.acquired))
        .collect();
    left.sort();
    let by = vec![("FltCreateFileEx2", 1)];
    assert_eq!(left, [("file handle", by.clone()), ("file object", by)]);
}

#[test]
fn a_post_create_callback_opens_the_same_file() {
    let (machine, volume) = machine();
    let log = log();
    let handle = volume.open("\\a", OpenOptions::create()).unwrap();
    handle.write(0, b"one").unwrap();
    drop(handle);
    let found = Arc::new(Mutex::new(Vec::new()));
    let contents = Arc::clone(&found);
    let _own = Script::new("own", &log)
        .post(IRP_MJ_CREATE, move |data, objects, _, _| {
            if status(data) == STATUS_SUCCESS {
                let again = Wish {
                    access: FILE_GENERIC_READ,
                    share: 7,
                    disposition: FILE_OPEN,
                    ..wish("\\Device\\HarddiskVolume1\\a")
                };
                let opened = open(objects.Filter, objects.Instance, again).unwrap();
                assert_ne!(opened.object, objects.FileObject);
                contents.lock().push(read(objects.Instance, opened.object));
                close(&opened);
            }
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "2");
    drop(volume.open("\\a", OpenOptions::read()).unwrap());
    assert_eq!(*found.lock(), [b"one"]);
    assert!(machine.finish().is_clean());
}
