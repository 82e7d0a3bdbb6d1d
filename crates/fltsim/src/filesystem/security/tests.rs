//! Descriptors as they are kept.

use super::super::constants::FILE_ALL_ACCESS;
use super::super::tests::{make, on, on_each, request, transacted};
use super::super::*;
use crate::kernel::descriptor::Captured;
use crate::storage::HostStorage;
use fltmgr_sys::*;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

const EVERYTHING: u32 = OWNER_SECURITY_INFORMATION
    | GROUP_SECURITY_INFORMATION
    | DACL_SECURITY_INFORMATION
    | SACL_SECURITY_INFORMATION;
const RIGHTS: u32 = READ_CONTROL | WRITE_DAC | WRITE_OWNER | ACCESS_SYSTEM_SECURITY | DELETE;
/// The length of what the system gives: the header, a list of two entries, two identifiers.
const DEFAULT: usize = 20 + (8 + 24 + 20) + 16 + 12;

/// A descriptor with an access list that says so.
fn marked(access: u32) -> Vec<u8> {
    Captured::of_the_system(access).self_relative()
}

fn open(fs: &FileSystem, path: &str) -> OpenId {
    fs.create(&CreateRequest::open(path, RIGHTS)).unwrap().open
}

/// What a file has, seen by another open.
fn descriptor(fs: &FileSystem, path: &str) -> Vec<u8> {
    let open = open(fs, path);
    let descriptor = fs.query_security(open, EVERYTHING).unwrap();
    fs.close(open);
    descriptor
}

fn set(fs: &FileSystem, path: &str, access: u32) {
    let open = open(fs, path);
    let set = fs.set_security(open, DACL_SECURITY_INFORMATION, &marked(access));
    assert_eq!(set, Ok(()));
    fs.close(open);
}

#[test]
fn a_file_keeps_what_was_set_for_it() {
    on_each(|fs| {
        for path in ["\\f", "\\f:stream", "\\other"] {
            fs.close(make(fs, path).open);
        }
        let default = marked(FILE_ALL_ACCESS);
        assert_eq!(default.len(), DEFAULT);
        for path in ["\\", "\\f", "\\f:stream", "\\other"] {
            assert_eq!(descriptor(fs, path), default, "{path}");
        }
        set(fs, "\\f:stream", 1);
        set(fs, "\\", 2);
        // No structure of the file is left from one open to the next.
        assert_eq!(descriptor(fs, "\\f"), marked(1));
        assert_eq!(descriptor(fs, "\\f:stream"), marked(1));
        assert_eq!(descriptor(fs, "\\"), marked(2));
        assert_eq!(descriptor(fs, "\\other"), default);
    });
}

#[test]
fn a_file_that_is_deleted_takes_its_descriptor_along() {
    on_each(|fs| {
        fs.close(make(fs, "\\f").open);
        set(fs, "\\f", 1);
        let doomed = fs.create(&CreateRequest {
            options: FILE_DELETE_ON_CLOSE,
            ..CreateRequest::open("\\f", RIGHTS)
        });
        let doomed = doomed.unwrap().open;
        fs.cleanup(doomed).unwrap();
        // Who still has it open sees it.
        assert_eq!(fs.query_security(doomed, EVERYTHING), Ok(marked(1)));
        fs.close(make(fs, "\\f").open);
        assert_eq!(descriptor(fs, "\\f"), marked(FILE_ALL_ACCESS));
        fs.close(doomed);
        assert_eq!(fs.lock().state.table.descriptors(), 0);

        // The same, when nobody knows the file that is replaced.
        set(fs, "\\f", 1);
        let mut rename = vec![0; 24];
        rename[0] = 1;
        rename[16] = 2;
        rename[20] = b'f';
        let new = make(fs, "\\new").open;
        fs.set_information(new, FileRenameInformation, &rename, None)
            .unwrap();
        fs.close(new);
        assert_eq!(descriptor(fs, "\\f"), marked(FILE_ALL_ACCESS));
        assert_eq!(fs.lock().state.table.descriptors(), 0);
    });
}

#[test]
fn a_transaction_that_is_rolled_back_takes_descriptors_back() {
    on_each(|fs| {
        for path in ["\\f", "\\g"] {
            fs.close(make(fs, path).open);
        }
        set(fs, "\\f", 1);
        for (commits, left) in [
            (false, [marked(1), marked(FILE_ALL_ACCESS)]),
            (true, [marked(8), marked(8)]),
        ] {
            let id = fs.begin().unwrap();
            for path in ["\\f", "\\g"] {
                let open = fs.create(&CreateRequest {
                    transaction: Some(id),
                    ..CreateRequest::open(path, RIGHTS)
                });
                let open = open.unwrap().open;
                for access in [4, 8] {
                    fs.set_security(open, DACL_SECURITY_INFORMATION, &marked(access))
                        .unwrap();
                }
                fs.close(open);
            }
            if commits {
                fs.commit(id)
            } else {
                fs.rollback(id)
            }
            .unwrap();
            assert_eq!([descriptor(fs, "\\f"), descriptor(fs, "\\g")], left);
        }
        // What a transaction has locked, nobody else changes.
        let id = fs.begin().unwrap();
        let writer = transacted(fs, "\\f", FILE_OPEN, id).unwrap().open;
        let other = fs
            .create(&CreateRequest::open("\\f", RIGHTS & !DELETE))
            .unwrap();
        let refused = fs.set_security(other.open, DACL_SECURITY_INFORMATION, &marked(1));
        assert_eq!(refused, Err(STATUS_SHARING_VIOLATION));
        fs.close(other.open);
        fs.close(writer);
    });
}

#[test]
fn each_part_asks_for_its_right() {
    on_each(|fs| {
        fs.close(make(fs, "\\f").open);
        let descriptor = marked(1);
        let read = [
            (OWNER_SECURITY_INFORMATION, READ_CONTROL),
            (GROUP_SECURITY_INFORMATION, READ_CONTROL),
            (DACL_SECURITY_INFORMATION, READ_CONTROL),
            (LABEL_SECURITY_INFORMATION, READ_CONTROL),
            (SACL_SECURITY_INFORMATION, ACCESS_SYSTEM_SECURITY),
            (EVERYTHING, READ_CONTROL | ACCESS_SYSTEM_SECURITY),
        ];
        let write = [
            (OWNER_SECURITY_INFORMATION, WRITE_OWNER),
            (GROUP_SECURITY_INFORMATION, WRITE_OWNER),
            (DACL_SECURITY_INFORMATION, WRITE_DAC),
            (LABEL_SECURITY_INFORMATION, WRITE_OWNER),
            (SACL_SECURITY_INFORMATION, ACCESS_SYSTEM_SECURITY),
            (EVERYTHING, WRITE_OWNER | WRITE_DAC | ACCESS_SYSTEM_SECURITY),
        ];
        let with = |access| {
            let open = fs.create(&CreateRequest::open("\\f", access));
            open.unwrap().open
        };
        for ((parts, reads), (_, writes)) in read.into_iter().zip(write) {
            let query = |access| {
                let open = with(access);
                let result = fs.query_security(open, parts).map(drop);
                fs.close(open);
                result
            };
            let change = |access| {
                let open = with(access);
                let result = fs.set_security(open, parts, &descriptor);
                fs.close(open);
                result
            };
            assert_eq!(query(reads), Ok(()));
            assert_eq!(change(writes), Ok(()));
            // Every right but one of those that are needed.
            for bit in (0..32).map(|bit| 1 << bit) {
                if reads & bit != 0 {
                    assert_eq!(query(RIGHTS & !bit), Err(STATUS_ACCESS_DENIED));
                }
                if writes & bit != 0 {
                    assert_eq!(change(RIGHTS & !bit), Err(STATUS_ACCESS_DENIED));
                }
            }
        }
    });
}

#[test]
fn some_file_systems_have_no_security() {
    for (personality, flag) in [
        (Personality::ntfs(), 8),
        (Personality::redirector(), 8),
        (Personality::fat(), 0),
        (Personality::no_contexts(), 0),
    ] {
        let fs = on(personality, TeardownPolicy::Immediate);
        let file = fs
            .create(&CreateRequest {
                desired_access: RIGHTS,
                ..request("\\f", FILE_CREATE)
            })
            .unwrap();
        let mut attributes = [0; 64];
        fs.query_volume_information(FileFsAttributeInformation, &mut attributes)
            .unwrap();
        // FILE_PERSISTENT_ACLS.
        assert_eq!(attributes[0] & 8, flag);
        let (query, set) = if flag == 0 {
            let refused = STATUS_INVALID_DEVICE_REQUEST;
            (Err(refused), Err(refused))
        } else {
            (Ok(marked(FILE_ALL_ACCESS)), Ok(()))
        };
        assert_eq!(fs.query_security(file.open, EVERYTHING), query);
        assert_eq!(fs.set_security(file.open, 4, &marked(1)), set);
        fs.close(file.open);
    }
}

#[test]
fn the_files_of_the_host_stay_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    std::fs::write(&path, b"abc").unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let facts = || {
        let entries = std::fs::read_dir(dir.path()).unwrap().count();
        let metadata = std::fs::metadata(&path).unwrap();
        let mode = metadata.permissions().mode();
        (entries, metadata.modified().unwrap(), mode)
    };
    let before = facts();
    let storage = Box::new(HostStorage::open(dir.path()).unwrap());
    let fs = FileSystem::new(storage, Personality::ntfs(), TeardownPolicy::Immediate);
    assert_eq!(descriptor(&fs, "\\f"), marked(FILE_ALL_ACCESS));
    set(&fs, "\\f", 1);
    assert_eq!(descriptor(&fs, "\\f"), marked(1));
    assert_eq!(facts(), before);
    assert_eq!(std::fs::read(&path).unwrap(), b"abc");
}
