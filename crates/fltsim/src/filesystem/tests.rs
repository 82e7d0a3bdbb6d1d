//! The file system as a filter sees it.

use super::constants::{STATUS_HANDLE_NO_LONGER_VALID, STATUS_TRANSACTIONS_UNSUPPORTED_REMOTE};
use super::*;
use crate::storage::{HostStorage, MemoryStorage};
use fltmgr_sys::*;

const ALL: u32 = FILE_GENERIC_READ | FILE_GENERIC_WRITE | DELETE;

pub(super) fn on(personality: Personality, teardown: TeardownPolicy) -> FileSystem {
    FileSystem::new(Box::new(MemoryStorage::new()), personality, teardown)
}

pub(super) fn ntfs() -> FileSystem {
    on(Personality::ntfs(), TeardownPolicy::Immediate)
}

/// Runs a test above both storages.
pub(super) fn on_each(test: impl Fn(&FileSystem)) {
    test(&ntfs());
    let dir = tempfile::tempdir().unwrap();
    let storage = Box::new(HostStorage::open(dir.path()).unwrap());
    test(&FileSystem::new(
        storage,
        Personality::ntfs(),
        TeardownPolicy::Immediate,
    ));
}

pub(super) fn request(path: &str, disposition: u32) -> CreateRequest<'_> {
    CreateRequest {
        disposition,
        ..CreateRequest::open(path, ALL)
    }
}

pub(super) fn make(fs: &FileSystem, path: &str) -> Opened {
    fs.create(&request(path, FILE_CREATE)).unwrap()
}

fn make_dir(fs: &FileSystem, path: &str) {
    let opened = fs.create(&CreateRequest {
        options: FILE_DIRECTORY_FILE,
        ..request(path, FILE_CREATE)
    });
    fs.close(opened.unwrap().open);
}

/// Opens for everything and gives the status.
fn status(fs: &FileSystem, request: &CreateRequest<'_>) -> NTSTATUS {
    match fs.create(request) {
        Ok(opened) => {
            fs.close(opened.open);
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

fn exists(fs: &FileSystem, path: &str, transaction: Option<TransactionId>) -> bool {
    let request = CreateRequest {
        transaction,
        ..CreateRequest::open(path, FILE_READ_ATTRIBUTES)
    };
    status(fs, &request) == STATUS_SUCCESS
}

fn contents(fs: &FileSystem, path: &str, transaction: Option<TransactionId>) -> Vec<u8> {
    let opened = fs
        .create(&CreateRequest {
            transaction,
            ..CreateRequest::open(path, FILE_READ_DATA)
        })
        .unwrap();
    let mut buffer = [0; 64];
    let count = match fs.read(opened.open, 0, &mut buffer) {
        Err(STATUS_END_OF_FILE) => 0,
        count => count.unwrap(),
    };
    fs.close(opened.open);
    buffer[..count].to_vec()
}

fn rename_buffer(replace: bool, name: &str) -> Vec<u8> {
    let name = layout::utf16(name);
    layout::Writer::default()
        .u32(replace.into())
        .pad_to(16)
        .u32(layout::len32(&name))
        .bytes(&name)
        // At least as long as the C structure with its padding.
        .bytes(&[0; 4])
        .finish()
}

/// The names in a directory, one query an entry.
fn list(fs: &FileSystem, path: &str, transaction: Option<TransactionId>) -> Vec<String> {
    let opened = fs
        .create(&CreateRequest {
            transaction,
            ..CreateRequest::open(path, FILE_LIST_DIRECTORY)
        })
        .unwrap();
    let mut names = Vec::new();
    let mut buffer = [0; 512];
    while let Ok(count) = fs.query_directory(
        opened.open,
        FileNamesInformation,
        None,
        false,
        true,
        &mut buffer,
    ) {
        names.push(text(&buffer[12..count]));
    }
    fs.close(opened.open);
    names
}

fn text(bytes: &[u8]) -> String {
    let (units, _) = bytes.as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    String::from_utf16(&units).unwrap()
}

#[test]
fn dispositions() {
    on_each(|fs| {
        let information = |disposition| {
            let opened = fs.create(&request("\\f", disposition))?;
            fs.close(opened.open);
            Ok(opened.information)
        };
        assert_eq!(information(FILE_OPEN), Err(STATUS_OBJECT_NAME_NOT_FOUND));
        assert_eq!(
            information(FILE_OVERWRITE),
            Err(STATUS_OBJECT_NAME_NOT_FOUND)
        );
        assert_eq!(information(FILE_CREATE), Ok(2));
        assert_eq!(information(FILE_CREATE), Err(STATUS_OBJECT_NAME_COLLISION));
        assert_eq!(information(FILE_OPEN), Ok(1));
        assert_eq!(information(FILE_OPEN_IF), Ok(1));
        assert_eq!(information(FILE_OVERWRITE), Ok(3));
        assert_eq!(information(FILE_OVERWRITE_IF), Ok(3));
        assert_eq!(information(FILE_SUPERSEDE), Ok(0));
        assert_eq!(information(9), Err(STATUS_INVALID_PARAMETER));
    });
}

#[test]
fn names_that_lead_nowhere() {
    on_each(|fs| {
        fs.close(make(fs, "\\f").open);
        make_dir(fs, "\\d");
        let open = |path| status(fs, &CreateRequest::open(path, FILE_READ_DATA));
        assert_eq!(open("\\x"), STATUS_OBJECT_NAME_NOT_FOUND);
        assert_eq!(open("\\x\\y"), STATUS_OBJECT_PATH_NOT_FOUND);
        assert_eq!(open("\\f\\y"), STATUS_OBJECT_PATH_NOT_FOUND);
        assert_eq!(open("\\f\\"), STATUS_OBJECT_NAME_INVALID);
        assert_eq!(open("\\d\\"), STATUS_SUCCESS);
        assert_eq!(open("\\D"), STATUS_SUCCESS);
        assert_eq!(open("\\f:s"), STATUS_OBJECT_NAME_NOT_FOUND);
        assert_eq!(open("\\f*"), STATUS_OBJECT_NAME_INVALID);
        assert_eq!(open(""), STATUS_SUCCESS);
        let kind = |path, options| {
            status(
                fs,
                &CreateRequest {
                    options,
                    ..CreateRequest::open(path, FILE_READ_DATA)
                },
            )
        };
        assert_eq!(
            kind("\\d", FILE_NON_DIRECTORY_FILE),
            STATUS_FILE_IS_A_DIRECTORY
        );
        assert_eq!(kind("\\f", FILE_DIRECTORY_FILE), STATUS_NOT_A_DIRECTORY);
        // The volume and its root directory.
        assert_eq!(kind("", FILE_NON_DIRECTORY_FILE), STATUS_SUCCESS);
        assert_eq!(kind("", FILE_DIRECTORY_FILE), STATUS_NOT_A_DIRECTORY);
        assert_eq!(
            kind("\\", FILE_NON_DIRECTORY_FILE),
            STATUS_FILE_IS_A_DIRECTORY
        );
        assert_eq!(kind("\\", FILE_DIRECTORY_FILE), STATUS_SUCCESS);
        assert_eq!(
            kind("\\f", FILE_DIRECTORY_FILE | FILE_NON_DIRECTORY_FILE),
            STATUS_INVALID_PARAMETER
        );
        assert_eq!(kind("\\f", FILE_DELETE_ON_CLOSE), STATUS_INVALID_PARAMETER);
    });
}

#[test]
fn reading_and_writing() {
    on_each(|fs| {
        let open = make(fs, "\\f").open;
        let mut buffer = [0; 8];
        assert_eq!(fs.read(open, 0, &mut buffer), Err(STATUS_END_OF_FILE));
        assert_eq!(fs.write(open, 0, b"abc"), Ok(3));
        assert_eq!(fs.write(open, u64::MAX, b"def"), Ok(3));
        assert_eq!(fs.write(open, u64::MAX - 1, b"g"), Ok(1));
        assert_eq!(fs.read(open, 0, &mut buffer), Ok(7));
        assert_eq!(&buffer[..7], b"abcdefg");
        assert_eq!(fs.read(open, 7, &mut buffer), Err(STATUS_END_OF_FILE));
        assert_eq!(fs.write(open, 1 << 63, b"x"), Err(STATUS_INVALID_PARAMETER));
        fs.close(open);

        let reader = fs.create(&CreateRequest::open("\\f", FILE_READ_DATA));
        let reader = reader.unwrap().open;
        assert_eq!(fs.write(reader, 0, b"x"), Err(STATUS_ACCESS_DENIED));
        assert_eq!(fs.write_as(reader, 0, b"x", Authority::Kernel), Ok(1));
        fs.close(reader);
        let appender = fs.create(&CreateRequest::open("\\f", FILE_APPEND_DATA));
        let appender = appender.unwrap().open;
        assert_eq!(fs.write(appender, 0, b"h"), Ok(1));
        assert_eq!(fs.read(appender, 0, &mut buffer), Err(STATUS_ACCESS_DENIED));
        fs.close(appender);
        assert_eq!(contents(fs, "\\f", None), b"xbcdefgh");
        let root = fs.create(&CreateRequest::open("", ALL)).unwrap().open;
        assert_eq!(
            fs.read(root, 0, &mut buffer),
            Err(STATUS_INVALID_DEVICE_REQUEST)
        );
        assert_eq!(fs.flush(root), Ok(()));
        assert_eq!(
            fs.read(OpenId(999), 0, &mut buffer),
            Err(STATUS_INVALID_HANDLE)
        );
    });
}

#[test]
fn sharing_ends_with_cleanup() {
    let fs = ntfs();
    fs.close(make(&fs, "\\f").open);
    let share = |access, share| {
        fs.create(&CreateRequest {
            share,
            ..CreateRequest::open("\\f", access)
        })
    };
    let reader = share(FILE_READ_DATA, 1).unwrap().open;
    assert_eq!(share(FILE_WRITE_DATA, 7), Err(STATUS_SHARING_VIOLATION));
    assert_eq!(share(DELETE, 7), Err(STATUS_SHARING_VIOLATION));
    assert_eq!(share(FILE_READ_DATA, 6), Err(STATUS_SHARING_VIOLATION));
    assert_eq!(
        status(&fs, &request("\\f", FILE_OVERWRITE_IF)),
        STATUS_SHARING_VIOLATION
    );
    let attributes = share(FILE_READ_ATTRIBUTES, 0).unwrap().open;
    let second = share(FILE_READ_DATA, 7).unwrap().open;
    fs.cleanup(reader).unwrap();
    let writer = share(FILE_WRITE_DATA, 7).unwrap().open;
    for open in [reader, attributes, second, writer] {
        fs.close(open);
    }
}

#[test]
fn opens_of_a_stream_share_its_structure_until_the_last_close() {
    let fs = ntfs();
    let one = make(&fs, "\\f");
    let two = fs.create(&request("\\F", FILE_OPEN)).unwrap();
    let other = make(&fs, "\\f:s");
    assert_eq!((one.stream, one.file), (two.stream, two.file));
    assert_eq!(other.file, one.file);
    assert_ne!(other.stream, one.stream);
    fs.cleanup(one.open).unwrap();
    assert_eq!(fs.close(one.open), []);
    assert_eq!(fs.close(two.open), [Gone::Stream(one.stream)]);
    let again = fs.create(&request("\\f", FILE_OPEN)).unwrap();
    assert_ne!(again.stream, one.stream);
    assert_eq!(again.file, one.file);
    assert_eq!(fs.close(again.open), [Gone::Stream(again.stream)]);
    assert_eq!(
        fs.close(other.open),
        [Gone::Stream(other.stream), Gone::File(one.file)]
    );
    let last = fs.create(&request("\\f", FILE_OPEN)).unwrap();
    assert_ne!(last.file, one.file);
    assert_eq!(fs.close(last.open).len(), 2);
    assert_eq!(fs.close(last.open), []);
}

#[test]
fn a_cached_structure_is_found_again_until_it_is_trimmed() {
    let fs = on(Personality::ntfs(), TeardownPolicy::Delayed);
    let one = make(&fs, "\\f");
    assert_eq!(fs.close(one.open), []);
    let two = fs.create(&request("\\f", FILE_OPEN)).unwrap();
    assert_eq!((one.stream, one.file), (two.stream, two.file));
    assert_eq!(fs.trim(), []);
    assert_eq!(fs.close(two.open), []);
    assert_eq!(fs.trim(), [Gone::Stream(one.stream), Gone::File(one.file)]);
    assert_eq!(fs.trim(), []);
}

#[test]
fn a_seed_makes_the_same_choices_again() {
    let run = |seed| {
        let fs = on(Personality::ntfs(), TeardownPolicy::Seeded(seed));
        let mut gone = Vec::new();
        for round in 0..40 {
            let open = fs.create(&request(&format!("\\{}", round % 7), FILE_OPEN_IF));
            gone.push(fs.close(open.unwrap().open));
        }
        gone.push(fs.trim());
        gone
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    // Whatever the seed: every file goes right after its last stream.
    for seed in 0..20 {
        let all: Vec<_> = run(seed).into_iter().flatten().collect();
        for pair in all.chunks(2) {
            assert!(matches!(pair, [Gone::Stream(_), Gone::File(_)]));
        }
    }
}

#[test]
fn dismount() {
    let fs = on(Personality::ntfs(), TeardownPolicy::Delayed);
    let idle = make(&fs, "\\idle");
    fs.close(idle.open);
    let held = make(&fs, "\\held");
    assert_eq!(
        fs.dismount(),
        [Gone::Stream(idle.stream), Gone::File(idle.file)]
    );
    let refused = fs.create(&request("\\held", FILE_OPEN));
    assert_eq!(refused, Err(STATUS_VOLUME_DISMOUNTED));
    assert_eq!(fs.write(held.open, 0, b"x"), Err(STATUS_VOLUME_DISMOUNTED));
    assert_eq!(fs.cleanup(held.open), Ok(()));
    assert_eq!(
        fs.close(held.open),
        [Gone::Stream(held.stream), Gone::File(held.file)]
    );
}

#[test]
fn deletion_waits_for_the_last_handle() {
    on_each(|fs| {
        let one = make(fs, "\\f").open;
        fs.write(one, 0, b"x").unwrap();
        let two = fs.create(&request("\\f", FILE_OPEN)).unwrap().open;
        fs.set_information(one, FileDispositionInformation, &[1], None)
            .unwrap();
        assert_eq!(fs.is_delete_pending(two), Ok(true));
        let open = request("\\f", FILE_OPEN);
        assert_eq!(status(fs, &open), STATUS_DELETE_PENDING);
        fs.cleanup(one).unwrap();
        assert_eq!(status(fs, &open), STATUS_DELETE_PENDING);
        fs.cleanup(two).unwrap();
        assert_eq!(status(fs, &open), STATUS_OBJECT_NAME_NOT_FOUND);
        // The name is free while the old structures still live.
        let new = make(fs, "\\f");
        assert_eq!(fs.name_of(two).unwrap(), "\\f");
        fs.close(one);
        assert_eq!(fs.close(two).len(), 2);
        fs.close(new.open);
        assert!(exists(fs, "\\f", None));
    });
}

#[test]
fn a_posix_deletion_takes_the_name_at_once_and_leaves_the_data() {
    on_each(|fs| {
        let one = make(fs, "\\f").open;
        fs.write(one, 0, b"data").unwrap();
        let two = fs.create(&request("\\f", FILE_OPEN)).unwrap().open;
        fs.set_information(one, FileDispositionInformationEx, &[3, 0, 0, 0], None)
            .unwrap();
        fs.close(one);
        assert!(!exists(fs, "\\f", None));
        let mut buffer = [0; 8];
        assert_eq!(fs.read(two, 0, &mut buffer), Ok(4));
        assert_eq!(fs.write(two, 4, b"x"), Ok(1));
        assert_eq!(fs.read(two, 4, &mut buffer), Ok(1));
        assert_eq!(fs.close(two).len(), 2);
    });
}

#[test]
fn what_cannot_be_deleted() {
    on_each(|fs| {
        make_dir(fs, "\\d");
        fs.close(make(fs, "\\d\\f").open);
        let delete = |path| {
            let open = fs.create(&request(path, FILE_OPEN)).unwrap().open;
            let result = fs.set_information(open, FileDispositionInformation, &[1], None);
            fs.close(open);
            result
        };
        assert_eq!(delete("\\d"), Err(STATUS_DIRECTORY_NOT_EMPTY));
        assert_eq!(delete("\\"), Err(STATUS_CANNOT_DELETE));
        let read_only = CreateRequest {
            attributes: FILE_ATTRIBUTE_READONLY,
            ..request("\\r", FILE_CREATE)
        };
        assert_eq!(status(fs, &read_only), STATUS_SUCCESS);
        let open = request("\\r", FILE_OPEN);
        assert_eq!(status(fs, &open), STATUS_ACCESS_DENIED);
        let open = fs.create(&CreateRequest::open("\\r", DELETE)).unwrap().open;
        let refused = fs.set_information(open, FileDispositionInformation, &[1], None);
        assert_eq!(refused, Err(STATUS_CANNOT_DELETE));
        fs.close(open);
        let open = fs.create(&CreateRequest::open("\\d", FILE_READ_DATA));
        let open = open.unwrap().open;
        let refused = fs.set_information(open, FileDispositionInformation, &[1], None);
        assert_eq!(refused, Err(STATUS_ACCESS_DENIED));
        fs.close(open);
        assert_eq!(delete("\\d\\f"), Ok(()));
        assert_eq!(delete("\\d"), Ok(()));
        assert!(!exists(fs, "\\d", None));
    });
}

#[test]
fn delete_on_close_and_named_streams() {
    on_each(|fs| {
        fs.close(make(fs, "\\f").open);
        let request = CreateRequest {
            options: FILE_DELETE_ON_CLOSE,
            ..request("\\f:s", FILE_OPEN_IF)
        };
        let stream = fs.create(&request).unwrap();
        assert_eq!(stream.information, 2);
        assert_eq!(fs.name_of(stream.open).unwrap(), "\\f:s");
        fs.cleanup(stream.open).unwrap();
        let gone = CreateRequest::open("\\f:s", FILE_READ_DATA);
        assert_eq!(status(fs, &gone), STATUS_OBJECT_NAME_NOT_FOUND);
        assert!(exists(fs, "\\f", None));
        fs.close(stream.open);
        let whole = CreateRequest {
            path: "\\f",
            ..request
        };
        assert_eq!(status(fs, &whole), STATUS_SUCCESS);
        assert!(!exists(fs, "\\f", None));
    });
    let fat = on(Personality::fat(), TeardownPolicy::Immediate);
    assert_eq!(
        status(&fat, &request("\\f:s", FILE_CREATE)),
        STATUS_OBJECT_NAME_INVALID
    );
}

#[test]
fn renaming() {
    on_each(|fs| {
        make_dir(fs, "\\Dir");
        fs.close(make(fs, "\\Dir\\taken").open);
        let open = make(fs, "\\f").open;
        let rename = |replace, name: &str| {
            fs.set_information(
                open,
                FileRenameInformation,
                &rename_buffer(replace, name),
                None,
            )
        };
        assert_eq!(rename(false, "g"), Ok(()));
        assert_eq!(fs.name_of(open).unwrap(), "\\g");
        assert_eq!(rename(false, "G"), Ok(()));
        assert_eq!(rename(false, "\\dir\\h"), Ok(()));
        assert_eq!(fs.name_of(open).unwrap(), "\\Dir\\h");
        assert_eq!(rename(false, "TAKEN"), Err(STATUS_OBJECT_NAME_COLLISION));
        assert_eq!(rename(false, "\\x\\y"), Err(STATUS_OBJECT_PATH_NOT_FOUND));
        assert_eq!(rename(false, "a?"), Err(STATUS_OBJECT_NAME_INVALID));
        assert_eq!(rename(true, "\\Dir"), Err(STATUS_ACCESS_DENIED));
        let holder = fs.create(&request("\\Dir\\taken", FILE_OPEN)).unwrap().open;
        assert_eq!(rename(true, "taken"), Err(STATUS_ACCESS_DENIED));
        fs.close(holder);
        assert_eq!(rename(true, "taken"), Ok(()));
        let dir = fs.create(&request("\\Dir", FILE_OPEN)).unwrap().open;
        let buffer = rename_buffer(false, "E");
        let busy = fs.set_information(dir, FileRenameInformation, &buffer, None);
        assert_eq!(busy, Err(STATUS_ACCESS_DENIED));
        fs.close(open);
        let moved = fs.set_information(dir, FileRenameInformation, &buffer, Some("\\Other"));
        assert_eq!(moved, Ok(()));
        fs.close(dir);
        assert_eq!(list(fs, "\\other", None), [".", "..", "taken"]);
    });
}

#[test]
fn information_in_its_real_layout() {
    on_each(|fs| {
        let opened = make(fs, "\\Name");
        let open = opened.open;
        fs.write(open, 0, b"12345").unwrap();
        let mut buffer = [0xEE; 256];
        let basic = fs.query_information(open, FileBasicInformation, &mut buffer);
        assert_eq!(basic, Ok(40));
        assert_eq!(buffer[32..36], 0x20_u32.to_le_bytes());
        let standard = fs.query_information(open, FileStandardInformation, &mut buffer);
        assert_eq!(standard, Ok(24));
        assert_eq!(buffer[8..16], 5_u64.to_le_bytes());
        assert_eq!(buffer[16..24], [1, 0, 0, 0, 0, 0, 0, 0]);
        let name = fs.query_information(open, FileNameInformation, &mut buffer);
        assert_eq!(name, Ok(14));
        assert_eq!(text(&buffer[4..14]), "\\Name");
        let short = fs.query_information(open, FileNameInformation, &mut buffer[..8]);
        assert_eq!(short, Err(STATUS_BUFFER_OVERFLOW));
        assert_eq!(text(&buffer[4..8]), "\\N");
        for (class, len) in [
            (FileBasicInformation, 40),
            (FileStandardInformation, 24),
            (FileInternalInformation, 8),
            (FileNameInformation, 8),
            (FilePositionInformation, 8),
            (FileAllInformation, 104),
            (FileStreamInformation, 32),
            (FileNetworkOpenInformation, 56),
            (FileAttributeTagInformation, 8),
            (FileIdInformation, 24),
        ] {
            let short = fs.query_information(open, class, &mut buffer[..len - 1]);
            assert_eq!(short, Err(STATUS_INFO_LENGTH_MISMATCH), "{class}");
            assert!(fs.query_information(open, class, &mut buffer).is_ok());
        }
        let unknown = fs.query_information(open, FileRenameInformation, &mut buffer);
        assert_eq!(unknown, Err(STATUS_INVALID_INFO_CLASS));
        assert_eq!(
            fs.query_information(open, FileAllInformation, &mut buffer),
            Ok(110)
        );
        assert_eq!(text(&buffer[100..110]), "\\Name");
        assert_eq!(buffer[80..88], 5_u64.to_le_bytes());

        fs.close(make(fs, "\\name:alt").open);
        let count = fs.query_information(open, FileStreamInformation, &mut buffer);
        assert_eq!(count, Ok(40 + 24 + 20));
        assert_eq!(text(&buffer[24..38]), "::$DATA");
        assert_eq!(buffer[0..4], 40_u32.to_le_bytes());
        assert_eq!(text(&buffer[64..84]), ":alt:$DATA");
        let network = fs.network_open_information("\\NAME").unwrap();
        assert_eq!(network.FileAttributes, 0x20);
        let missing = fs.network_open_information("\\x").map(|_| ());
        assert_eq!(missing, Err(STATUS_OBJECT_NAME_NOT_FOUND));
        assert_eq!(fs.close(open).len(), 2);
        fs.network_open_information("\\NAME").unwrap();
        assert_eq!(fs.trim(), []);
    });
}

#[test]
fn changing_information() {
    on_each(|fs| {
        let open = make(fs, "\\f").open;
        fs.write(open, 0, b"12345").unwrap();
        let mut basic = [0; 40];
        basic[16..24].copy_from_slice(&130_000_000_000_000_000_i64.to_le_bytes());
        basic[32] = 2;
        fs.set_information(open, FileBasicInformation, &basic, None)
            .unwrap();
        let mut buffer = [0; 40];
        fs.query_information(open, FileBasicInformation, &mut buffer)
            .unwrap();
        assert_eq!(buffer[16..24], basic[16..24]);
        assert_eq!(buffer[32..36], [2, 0, 0, 0]);
        let set = |class, value: i64| fs.set_information(open, class, &value.to_le_bytes(), None);
        assert_eq!(set(FileEndOfFileInformation, 3), Ok(()));
        assert_eq!(contents(fs, "\\f", None), b"123");
        assert_eq!(set(FileAllocationInformation, 4096), Ok(()));
        assert_eq!(set(FileAllocationInformation, 0), Ok(()));
        assert_eq!(contents(fs, "\\f", None), b"");
        assert_eq!(
            set(FileEndOfFileInformation, -1),
            Err(STATUS_INVALID_PARAMETER)
        );
        assert_eq!(set(FilePositionInformation, 7), Ok(()));
        fs.query_information(open, FilePositionInformation, &mut buffer)
            .unwrap();
        assert_eq!(buffer[0], 7);
        assert_eq!(
            fs.set_information(open, FileBasicInformation, &[0; 39], None),
            Err(STATUS_INFO_LENGTH_MISMATCH)
        );
        assert_eq!(
            set(FileStandardInformation, 0),
            Err(STATUS_INVALID_INFO_CLASS)
        );
        fs.close(open);
    });
}

#[test]
fn listing_a_directory() {
    on_each(|fs| {
        make_dir(fs, "\\d");
        for name in ["b.txt", "A.txt", "c.log"] {
            fs.close(make(fs, &format!("\\d\\{name}")).open);
        }
        assert_eq!(list(fs, "\\", None), ["d"]);
        assert_eq!(
            list(fs, "\\d", None),
            [".", "..", "A.txt", "b.txt", "c.log"]
        );
        let open = fs.create(&CreateRequest::open("\\d", FILE_LIST_DIRECTORY));
        let open = open.unwrap().open;
        let mut buffer = [0xEE; 1024];
        let mut query = |pattern, restart, len: usize| {
            let class = FileIdBothDirectoryInformation;
            let buffer = &mut buffer[..len];
            let count = fs.query_directory(open, class, pattern, restart, false, buffer)?;
            Ok(buffer[..count].to_vec())
        };
        let none = query(Some("*.none"), false, 1024);
        assert_eq!(none, Err(STATUS_NO_SUCH_FILE));
        let both = query(Some("*.TXT"), true, 1024).unwrap();
        // The first entry takes 104 + 10 bytes and is followed at the next multiple of 8.
        assert_eq!(both.len(), 120 + 114);
        assert_eq!(both[0..4], 120_u32.to_le_bytes());
        assert_eq!(both[60..64], 10_u32.to_le_bytes());
        assert_eq!(text(&both[104..114]), "A.txt");
        assert_eq!(both[120..124], [0; 4]);
        assert_eq!(text(&both[224..234]), "b.txt");
        let end = query(None, false, 1024);
        assert_eq!(end, Err(STATUS_NO_MORE_FILES));
        assert_eq!(query(None, true, 103), Err(STATUS_INFO_LENGTH_MISMATCH));
        assert_eq!(query(None, true, 104), Err(STATUS_BUFFER_OVERFLOW));
        let one = query(None, false, 120).unwrap();
        assert_eq!(text(&one[104..114]), "b.txt");
        for (class, len) in [
            (FileDirectoryInformation, 64),
            (FileFullDirectoryInformation, 68),
            (FileBothDirectoryInformation, 94),
            (FileIdFullDirectoryInformation, 80),
            (FileIdExtdDirectoryInformation, 88),
        ] {
            let mut buffer = [0; 256];
            let count = fs
                .query_directory(open, class, Some("A.TXT"), true, true, &mut buffer)
                .unwrap();
            assert_eq!(text(&buffer[len..count]), "A.txt");
        }
        fs.close(open);
        let file = fs.create(&request("\\d\\b.txt", FILE_OPEN)).unwrap().open;
        let wrong =
            fs.query_directory(file, FileNamesInformation, None, false, false, &mut [0; 64]);
        assert_eq!(wrong, Err(STATUS_INVALID_PARAMETER));
        fs.close(file);
    });
}

#[test]
fn volume_information() {
    on_each(|fs| {
        let mut buffer = [0; 64];
        let mut query = |class| fs.query_volume_information(class, &mut buffer);
        assert_eq!(query(FileFsVolumeInformation), Ok(30));
        assert_eq!(query(FileFsSizeInformation), Ok(24));
        assert_eq!(query(FileFsDeviceInformation), Ok(8));
        assert_eq!(query(99), Err(STATUS_INVALID_INFO_CLASS));
        assert_eq!(query(FileFsAttributeInformation), Ok(20));
        assert_eq!(text(&buffer[12..20]), "NTFS");
        let short = fs.query_volume_information(FileFsAttributeInformation, &mut buffer[..16]);
        assert_eq!(short, Err(STATUS_BUFFER_OVERFLOW));
    });
}

#[test]
fn an_open_by_index_number() {
    on_each(|fs| {
        let opened = make(fs, "\\f");
        let mut buffer = [0; 8];
        fs.query_information(opened.open, FileInternalInformation, &mut buffer)
            .unwrap();
        let by_id = |id| {
            fs.create(&CreateRequest {
                by_id: Some(id),
                ..CreateRequest::open("", FILE_READ_DATA)
            })
        };
        let same = by_id(u64::from_le_bytes(buffer)).unwrap();
        assert_eq!(same.stream, opened.stream);
        assert_eq!(by_id(12345), Err(STATUS_INVALID_PARAMETER));
        fs.close(same.open);
        fs.close(opened.open);
    });
}

pub(super) fn transacted(
    fs: &FileSystem,
    path: &str,
    disposition: u32,
    id: TransactionId,
) -> Result<Opened, NTSTATUS> {
    fs.create(&CreateRequest {
        transaction: Some(id),
        ..request(path, disposition)
    })
}

#[test]
fn data_of_a_transaction_is_its_own_until_commit() {
    on_each(|fs| {
        let file = make(fs, "\\f").open;
        fs.write(file, 0, b"old").unwrap();
        fs.close(file);
        let id = fs.begin().unwrap();
        let open = transacted(fs, "\\f", FILE_OPEN, id).unwrap().open;
        fs.write(open, 1, b"NEWER").unwrap();
        assert_eq!(contents(fs, "\\f", None), b"old");
        assert_eq!(contents(fs, "\\f", Some(id)), b"oNEWER");
        let writer = request("\\f", FILE_OPEN);
        assert_eq!(status(fs, &writer), STATUS_SHARING_VIOLATION);
        let other = fs.begin().unwrap();
        let conflict = transacted(fs, "\\f", FILE_OPEN, other).map(|_| ());
        assert_eq!(conflict, Err(STATUS_SHARING_VIOLATION));
        fs.commit(id).unwrap();
        assert_eq!(contents(fs, "\\f", None), b"oNEWER");
        assert_eq!(fs.write(open, 0, b"x"), Err(STATUS_HANDLE_NO_LONGER_VALID));
        fs.close(open);
        assert_eq!(fs.commit(id), Err(STATUS_TRANSACTION_NOT_ACTIVE));
        assert_eq!(
            fs.rollback(TransactionId(99)),
            Err(STATUS_TRANSACTION_NOT_FOUND)
        );
        assert_eq!(fs.rollback(other), Ok(()));
        assert_eq!(status(fs, &writer), STATUS_SUCCESS);
    });
}

#[test]
fn names_of_a_transaction_are_its_own_until_commit() {
    on_each(|fs| {
        fs.close(make(fs, "\\old").open);
        for commit in [false, true] {
            let id = fs.begin().unwrap();
            let new = transacted(fs, "\\new", FILE_CREATE, id).unwrap().open;
            fs.close(new);
            let old = transacted(fs, "\\old", FILE_OPEN, id).unwrap().open;
            fs.set_information(old, FileDispositionInformation, &[1], None)
                .unwrap();
            fs.close(old);
            assert_eq!(list(fs, "\\", None), ["old"]);
            assert_eq!(list(fs, "\\", Some(id)), ["new"]);
            assert_eq!(
                status(fs, &request("\\new", FILE_OPEN_IF)),
                STATUS_SHARING_VIOLATION
            );
            if commit {
                fs.commit(id).unwrap();
                assert_eq!(list(fs, "\\", None), ["new"]);
            } else {
                fs.rollback(id).unwrap();
                assert_eq!(list(fs, "\\", None), ["old"]);
            }
        }
    });
}

#[test]
fn a_name_can_be_used_again_in_the_transaction_that_deleted_it() {
    on_each(|fs| {
        let file = make(fs, "\\f").open;
        fs.write(file, 0, b"old").unwrap();
        fs.close(file);
        for commit in [false, true] {
            let id = fs.begin().unwrap();
            let old = transacted(fs, "\\f", FILE_OPEN, id).unwrap().open;
            fs.set_information(old, FileDispositionInformation, &[1], None)
                .unwrap();
            fs.close(old);
            let new = transacted(fs, "\\f", FILE_CREATE, id).unwrap().open;
            fs.write(new, 0, b"new").unwrap();
            fs.close(new);
            let result = if commit {
                fs.commit(id)
            } else {
                fs.rollback(id)
            };
            assert_eq!(result, Ok(()));
            let expected: &[u8] = if commit { b"new" } else { b"old" };
            assert_eq!(contents(fs, "\\f", None), expected);
            assert_eq!(list(fs, "\\", None), ["f"]);
        }
    });
}

#[test]
fn a_rename_and_attributes_are_taken_back() {
    on_each(|fs| {
        fs.close(make(fs, "\\f").open);
        fs.close(make(fs, "\\g").open);
        let id = fs.begin().unwrap();
        let open = transacted(fs, "\\f", FILE_OPEN, id).unwrap().open;
        let mut basic = [0; 40];
        basic[32] = 2;
        fs.set_information(open, FileBasicInformation, &basic, None)
            .unwrap();
        let buffer = rename_buffer(true, "g");
        fs.set_information(open, FileRenameInformation, &buffer, None)
            .unwrap();
        assert_eq!(list(fs, "\\", Some(id)), ["g"]);
        fs.rollback(id).unwrap();
        fs.close(open);
        assert_eq!(list(fs, "\\", None), ["f", "g"]);
        let information = fs.network_open_information("\\f").unwrap();
        assert_eq!(information.FileAttributes, 0x20);
    });
}

#[test]
fn file_systems_without_transactions() {
    let begin = |personality| on(personality, TeardownPolicy::Immediate).begin();
    assert_eq!(begin(Personality::fat()), Err(STATUS_NOT_SUPPORTED));
    assert_eq!(
        begin(Personality::redirector()),
        Err(STATUS_TRANSACTIONS_UNSUPPORTED_REMOTE)
    );
}

#[test]
fn threads_share_a_volume() {
    let fs = on(Personality::ntfs(), TeardownPolicy::Seeded(7));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let fs = &fs;
            scope.spawn(move || {
                for round in 0..100 {
                    let path = format!("\\{}", (thread + round) % 5);
                    let open = fs.create(&request(&path, FILE_OPEN_IF)).unwrap().open;
                    fs.write(open, 0, path.as_bytes()).unwrap();
                    fs.close(open);
                }
            });
        }
    });
    fs.trim();
    assert_eq!(list(&fs, "\\", None).len(), 5);
}
