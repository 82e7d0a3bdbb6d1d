//! What every storage must do, and what only the host's does.

use super::*;
use fltmgr_sys::{
    FILE_ATTRIBUTE_HIDDEN, FILE_ATTRIBUTE_READONLY, STATUS_ACCESS_DENIED, STATUS_CANNOT_DELETE,
    STATUS_DIRECTORY_NOT_EMPTY, STATUS_DISK_FULL, STATUS_INVALID_PARAMETER,
    STATUS_MEDIA_WRITE_PROTECTED, STATUS_NOT_A_DIRECTORY, STATUS_OBJECT_NAME_COLLISION,
    STATUS_OBJECT_NAME_NOT_FOUND,
};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Runs a test on both storages.
fn on_each(test: impl Fn(&dyn Storage)) {
    test(&MemoryStorage::new());
    let dir = tempfile::tempdir().unwrap();
    test(&HostStorage::open(dir.path()).unwrap());
}

fn file(storage: &dyn Storage, name: &str) -> NodeId {
    let root = storage.root();
    storage.create(root, name, NodeKind::File).unwrap()
}

#[test]
fn data_is_written_cut_extended_and_read() {
    on_each(|storage| {
        let node = file(storage, "a");
        assert_eq!(storage.write(node, "", 4, b"data"), Ok(4));
        assert_eq!(storage.stream_len(node, ""), Ok(8));
        let mut buffer = [0xFF; 16];
        assert_eq!(storage.read(node, "", 0, &mut buffer), Ok(8));
        assert_eq!(&buffer[..8], b"\0\0\0\0data");
        assert_eq!(storage.read(node, "", 8, &mut buffer), Ok(0));
        storage.set_len(node, "", 5).unwrap();
        storage.set_len(node, "", 7).unwrap();
        assert_eq!(storage.read(node, "", 4, &mut buffer), Ok(3));
        assert_eq!(&buffer[..3], b"d\0\0");
    });
}

#[test]
fn names_are_found_in_any_case_but_exactly_first() {
    on_each(|storage| {
        let root = storage.root();
        let lower = file(storage, "name");
        let upper = file(storage, "NAME");
        assert_eq!(storage.lookup(root, "name", false).unwrap().node, lower);
        assert_eq!(storage.lookup(root, "NAME", false).unwrap().node, upper);
        assert_eq!(storage.lookup(root, "Name", false).unwrap().name, "NAME");
        let missing = storage.lookup(root, "Name", true);
        assert_eq!(missing, Err(STATUS_OBJECT_NAME_NOT_FOUND));
        let inside = storage.lookup(lower, "x", false);
        assert_eq!(inside, Err(STATUS_NOT_A_DIRECTORY));
    });
}

#[test]
fn no_name_leaves_its_directory() {
    on_each(|storage| {
        let root = storage.root();
        for name in ["", ".", "..", "a/b", "a\0b"] {
            let created = storage.create(root, name, NodeKind::File);
            assert_eq!(created, Err(STATUS_OBJECT_NAME_INVALID), "{name:?}");
        }
    });
}

#[test]
fn nodes_are_created_once_renamed_and_removed() {
    on_each(|storage| {
        let root = storage.root();
        let node = file(storage, "a");
        let again = storage.create(root, "a", NodeKind::File);
        assert_eq!(again, Err(STATUS_OBJECT_NAME_COLLISION));
        let dir = storage.create(root, "d", NodeKind::Directory).unwrap();
        storage.write(node, "", 0, b"x").unwrap();
        storage.rename(node, dir, "b", false).unwrap();
        let location = storage.location(node).unwrap().unwrap();
        assert_eq!((location.parent, location.name.as_str()), (dir, "b"));
        assert_eq!(storage.stream_len(node, ""), Ok(1));
        assert_eq!(storage.remove(dir), Err(STATUS_DIRECTORY_NOT_EMPTY));
        let cycle = storage.rename(dir, dir, "e", false);
        assert_eq!(cycle, Err(STATUS_INVALID_PARAMETER));
        assert_eq!(storage.remove(root), Err(STATUS_CANNOT_DELETE));
        storage.remove(node).unwrap();
        assert_eq!(
            storage.metadata(node).map(|_| ()),
            Err(STATUS_OBJECT_NAME_NOT_FOUND)
        );
        assert_eq!(storage.entries(dir).unwrap(), []);
        storage.remove(dir).unwrap();
        // An identity is never used again.
        assert_ne!(file(storage, "a"), node);
    });
}

#[test]
fn a_rename_replaces_only_when_told_to() {
    on_each(|storage| {
        let root = storage.root();
        let one = file(storage, "one");
        let two = file(storage, "two");
        let kept = storage.rename(one, root, "two", false);
        assert_eq!(kept, Err(STATUS_OBJECT_NAME_COLLISION));
        storage.rename(one, root, "two", true).unwrap();
        assert_eq!(storage.lookup(root, "two", true).unwrap().node, one);
        assert!(storage.metadata(two).is_err());
        assert_eq!(storage.entries(root).unwrap().len(), 1);
    });
}

#[test]
fn named_streams_have_lives_of_their_own() {
    on_each(|storage| {
        let node = file(storage, "a");
        storage.create_stream(node, "s").unwrap();
        let again = storage.create_stream(node, "s");
        assert_eq!(again, Err(STATUS_OBJECT_NAME_COLLISION));
        storage.write(node, "s", 2, b"xy").unwrap();
        let streams = storage.streams(node).unwrap();
        assert_eq!(streams, [(String::new(), 0), ("s".to_owned(), 4)]);
        storage.remove_stream(node, "s").unwrap();
        let mut buffer = [0; 1];
        let gone = storage.read(node, "s", 0, &mut buffer);
        assert_eq!(gone, Err(STATUS_OBJECT_NAME_NOT_FOUND));
    });
}

#[test]
fn attributes_and_times_stay() {
    on_each(|storage| {
        let node = file(storage, "a");
        let times = Times {
            creation: 130_000_000_000_000_000,
            last_access: 131_000_000_000_000_001,
            last_write: 132_000_000_000_000_002,
            change: 133_000_000_000_000_003,
        };
        storage.set_times(node, &times).unwrap();
        let attributes = FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_READONLY;
        storage.set_attributes(node, attributes).unwrap();
        let metadata = storage.metadata(node).unwrap();
        assert_eq!((metadata.times, metadata.attributes), (times, attributes));
        storage.set_attributes(node, 0).unwrap();
        assert_eq!(storage.metadata(node).unwrap().attributes, 0);
        storage.write(node, "", 0, b"x").unwrap();
    });
}

#[test]
fn memory_has_an_end() {
    let storage = MemoryStorage::with_capacity(10);
    let node = file(&storage, "a");
    assert_eq!(storage.write(node, "", 0, &[1; 10]), Ok(10));
    assert_eq!(storage.write(node, "", 10, &[1]), Err(STATUS_DISK_FULL));
    assert_eq!(storage.capacity().unwrap().free, 0);
    storage.remove(node).unwrap();
    assert_eq!(storage.capacity().unwrap().free, 10);
    let node = file(&storage, "b");
    assert_eq!(storage.set_len(node, "", u64::MAX), Err(STATUS_DISK_FULL));
}

#[test]
fn the_host_sees_what_is_written_and_the_volume_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("there"), b"before").unwrap();
    let storage = HostStorage::open(dir.path()).unwrap();
    let there = storage.lookup(storage.root(), "THERE", false).unwrap();
    let mut buffer = [0; 6];
    assert_eq!(storage.read(there.node, "", 0, &mut buffer), Ok(6));
    assert_eq!(&buffer, b"before");
    let node = file(&storage, "new");
    storage.write(node, "", 0, b"written").unwrap();
    assert_eq!(fs::read(dir.path().join("new")).unwrap(), b"written");
    storage.remove(node).unwrap();
    assert!(!dir.path().join("new").exists());
}

#[test]
fn links_are_files_and_lead_nowhere() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), b"secret").unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
    let storage = HostStorage::open(dir.path()).unwrap();
    let link = storage.lookup(storage.root(), "link", true).unwrap();
    assert_eq!(link.kind, NodeKind::File);
    let inside = storage.lookup(link.node, "secret", true);
    assert_eq!(inside, Err(STATUS_NOT_A_DIRECTORY));
    let target = outside.path().as_os_str().as_bytes();
    let mut buffer = vec![0; target.len()];
    let read = storage.read(link.node, "", 0, &mut buffer);
    assert_eq!((read, &*buffer), (Ok(target.len()), target));
    let write = storage.write(link.node, "", 0, b"x");
    assert_eq!(write, Err(STATUS_ACCESS_DENIED));
    storage.remove(link.node).unwrap();
    assert!(outside.path().join("secret").exists());
}

#[test]
fn a_directory_swapped_for_a_link_is_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("f"), b"secret").unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("d/f"), b"own").unwrap();
    let storage = HostStorage::open(dir.path()).unwrap();
    let parent = storage.lookup(storage.root(), "d", true).unwrap().node;
    let node = storage.lookup(parent, "f", true).unwrap().node;
    fs::rename(dir.path().join("d"), dir.path().join("e")).unwrap();
    std::os::unix::fs::symlink(outside.path(), dir.path().join("d")).unwrap();
    let read = storage.read(node, "", 0, &mut [0; 6]);
    assert_eq!(read, Err(STATUS_OBJECT_NAME_NOT_FOUND));
}

#[test]
fn what_is_protected_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("w")).unwrap();
    fs::write(dir.path().join("kept"), b"kept").unwrap();
    let storage = HostStorage::open_protected(dir.path(), Some(Path::new("w"))).unwrap();
    let root = storage.root();
    let kept = storage.lookup(root, "kept", true).unwrap().node;
    let writable = storage.lookup(root, "w", true).unwrap().node;
    let refused = Err(STATUS_MEDIA_WRITE_PROTECTED);
    assert_eq!(storage.write(kept, "", 0, b"x").map(|_| ()), refused);
    assert_eq!(storage.set_len(kept, "", 0), refused);
    assert_eq!(storage.remove(kept), refused);
    assert_eq!(storage.rename(kept, writable, "k", false), refused);
    assert_eq!(storage.set_attributes(kept, 1), refused);
    assert_eq!(storage.set_times(kept, &Times::now()), refused);
    assert_eq!(storage.create_stream(kept, "s"), refused);
    assert_eq!(storage.remove(writable), refused);
    let outside = storage.create(root, "n", NodeKind::File);
    assert_eq!(outside.map(|_| ()), refused);

    let inside = storage.create(writable, "n", NodeKind::File).unwrap();
    assert_eq!(storage.write(inside, "", 0, b"x"), Ok(1));
    assert_eq!(storage.rename(inside, root, "n", false), refused);
    assert_eq!(storage.remove(inside), Ok(()));
    assert_eq!(fs::read(dir.path().join("kept")).unwrap(), b"kept");
}

#[test]
fn only_a_directory_inside_can_be_the_writable_one() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), b"").unwrap();
    let open = |path: &Path| HostStorage::open_protected(dir.path(), Some(path)).unwrap_err();
    assert!(matches!(
        open(other.path()),
        HostStorageError::WritableOutside { .. }
    ));
    assert!(matches!(
        open(Path::new(".")),
        HostStorageError::WritableOutside { .. }
    ));
    assert!(matches!(
        open(Path::new("f")),
        HostStorageError::NotADirectory { .. }
    ));
    assert!(matches!(
        open(Path::new("missing")),
        HostStorageError::Unreachable { .. }
    ));
}

#[test]
fn a_name_that_cannot_be_said_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(OsStr::from_bytes(b"\xFF"));
    fs::write(&path, b"").unwrap();
    let storage = HostStorage::open(dir.path()).unwrap();
    let listed = storage.entries(storage.root());
    assert_eq!(listed, Err(STATUS_UNMAPPABLE_CHARACTER));
    let names = storage.unrepresentable_names().unwrap();
    assert_eq!(
        names,
        [fs::canonicalize(dir.path())
            .unwrap()
            .join(path.file_name().unwrap())]
    );
}

#[test]
fn more_files_than_handles() {
    let dir = tempfile::tempdir().unwrap();
    let storage = HostStorage::open(dir.path()).unwrap();
    let nodes: Vec<_> = (0..200)
        .map(|number| file(&storage, &number.to_string()))
        .collect();
    for round in 0..2_u8 {
        for node in &nodes {
            storage.write(*node, "", round.into(), &[round]).unwrap();
        }
    }
    for node in nodes {
        let mut buffer = [9; 2];
        assert_eq!(storage.read(node, "", 0, &mut buffer), Ok(2));
        assert_eq!(buffer, [0, 1]);
    }
}
