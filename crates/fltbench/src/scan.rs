//! What lies under a directory, found and checked before any driver is loaded.
//!
//! The host is asked here, not the volume: a bad input must be told before anything has happened,
//! and what a Windows name cannot express would never show up on the volume.

use crate::error::Error;
use crate::interrupt;
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Why something was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skip {
    /// Links are not followed: they may lead out of the directory, or in circles.
    SymbolicLink,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A device.
    Device,
    /// A name that is not Unicode, which no volume can show; a directory with all it holds.
    NotUnicode,
    /// A name with a character that Windows does not allow; a directory with all it holds.
    NotAWindowsName,
    /// A path that is too long for the host; a directory with all it holds.
    TooDeep,
    /// It was there at first and then gone.
    Vanished,
    /// It became something else meanwhile.
    Replaced,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SymbolicLink => "symbolic links, not followed",
            Self::Pipe => "named pipes",
            Self::Socket => "sockets",
            Self::Device => "devices",
            Self::NotUnicode => "names that are not Unicode",
            Self::NotAWindowsName => "names that Windows does not allow",
            Self::TooDeep => "paths that are too long for this machine",
            Self::Vanished => "vanished meanwhile",
            Self::Replaced => "replaced meanwhile",
        })
    }
}

/// What was skipped, and why.
#[derive(Clone, Debug, Default)]
pub struct Skipped {
    reasons: BTreeMap<Skip, (u64, PathBuf)>,
}

impl Skipped {
    /// Counts one.
    pub fn add(&mut self, why: Skip, path: &Path) {
        let first = || (0, path.to_owned());
        self.reasons.entry(why).or_insert_with(first).0 += 1;
    }

    /// How many altogether.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.reasons.values().map(|(count, _)| count).sum()
    }

    /// Each reason with how many there were and the first of them.
    pub fn reasons(&self) -> impl Iterator<Item = (Skip, u64, &Path)> {
        let reasons = self.reasons.iter();
        reasons.map(|(why, (count, first))| (*why, *count, first.as_path()))
    }
}

/// One file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where the host has it.
    pub host: PathBuf,
    /// What the volume calls it: `\directory\file`.
    pub path: String,
    /// How long it was; 0 for a directory.
    pub len: u64,
}

/// Everything under a directory, each list in an order that does not depend on the host.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The canonical path of the directory.
    pub root: PathBuf,
    /// The directory itself and all below it.
    pub directories: Vec<Item>,
    /// All files.
    pub files: Vec<Item>,
    /// The directories whose listing a volume cannot give, because of a name that is not Unicode.
    pub unlistable: Vec<String>,
    /// What is not among the above.
    pub skipped: Skipped,
}

impl Tree {
    /// Bytes in all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len).sum()
    }
}

/// The canonical path of a directory.
///
/// # Errors
/// There is no directory.
pub fn resolve(directory: &Path) -> Result<PathBuf, Error> {
    let root = directory
        .canonicalize()
        .map_err(|source| match source.kind() {
            ErrorKind::NotFound => Error::NoSuchDirectory(directory.to_owned()),
            ErrorKind::NotADirectory => Error::NotADirectory(directory.to_owned()),
            _ => unreadable(directory, source),
        })?;
    if root.is_dir() {
        Ok(root)
    } else {
        Err(Error::NotADirectory(directory.to_owned()))
    }
}

/// Looks at everything under a directory, and makes sure that it can be read.
///
/// # Errors
/// The directory is none, or something in it cannot be read.
pub fn scan(directory: &Path) -> Result<Tree, Error> {
    let root = resolve(directory)?;
    let mut tree = Tree {
        root: root.clone(),
        directories: Vec::new(),
        files: Vec::new(),
        unlistable: Vec::new(),
        skipped: Skipped::default(),
    };
    let mut rest = vec![Item {
        host: root,
        path: String::new(),
        len: 0,
    }];
    while let Some(directory) = rest.pop() {
        if interrupt::asked() {
            return Err(Error::Interrupted);
        }
        if let Some(mut below) = tree.list(directory)? {
            // The last one is taken first.
            below.reverse();
            rest.append(&mut below);
        }
    }
    Ok(tree)
}

impl Tree {
    /// Takes one directory in; gives the directories in it, or nothing if it is gone.
    fn list(&mut self, directory: Item) -> Result<Option<Vec<Item>>, Error> {
        let listing = fs::read_dir(&directory.host).and_then(Iterator::collect);
        let mut entries: Vec<fs::DirEntry> = match listing {
            Ok(entries) => entries,
            // The root was there a moment ago and is no longer: there is nothing to work on.
            Err(source) if gone(&source) && !directory.path.is_empty() => {
                self.skipped.add(Skip::Vanished, &directory.host);
                return Ok(None);
            }
            Err(source) if too_long(&source) && !directory.path.is_empty() => {
                self.skipped.add(Skip::TooDeep, &directory.host);
                return Ok(None);
            }
            Err(source) => return Err(unreadable(&directory.host, source)),
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        let mut below = Vec::new();
        for entry in entries {
            let host = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                self.skipped.add(Skip::NotUnicode, &host);
                let path = volume_path(&directory.path);
                if self.unlistable.last() != Some(&path) {
                    self.unlistable.push(path);
                }
                continue;
            };
            if !is_windows_name(name) {
                self.skipped.add(Skip::NotAWindowsName, &host);
                continue;
            }
            let path = format!("{}\\{name}", directory.path);
            match entry.file_type().and_then(|found| look(&host, found)) {
                Ok(Found::Directory) => below.push(Item { host, path, len: 0 }),
                Ok(Found::File(len)) => self.files.push(Item { host, path, len }),
                Ok(Found::Other(why)) => self.skipped.add(why, &host),
                Err(source) if gone(&source) => self.skipped.add(Skip::Vanished, &host),
                Err(source) if too_long(&source) => self.skipped.add(Skip::TooDeep, &host),
                Err(source) => return Err(unreadable(&host, source)),
            }
        }
        let path = volume_path(&directory.path);
        self.directories.push(Item { path, ..directory });
        Ok(Some(below))
    }
}

/// What is at a path of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A directory.
    Directory,
    /// A readable file of this length.
    File(u64),
    /// Something that the workload does not open.
    Other(Skip),
}

/// Looks at one path again.
pub(crate) fn look_again(path: &Path) -> io::Result<Found> {
    let found = fs::symlink_metadata(path)?.file_type();
    if found.is_dir() {
        fs::read_dir(path)?;
    }
    look(path, found)
}

fn look(path: &Path, found: FileType) -> io::Result<Found> {
    Ok(if found.is_dir() {
        Found::Directory
    } else if found.is_file() {
        probe(path)?.map_or(Found::Other(Skip::Replaced), Found::File)
    } else if found.is_symlink() {
        Found::Other(Skip::SymbolicLink)
    } else if found.is_fifo() {
        Found::Other(Skip::Pipe)
    } else if found.is_socket() {
        Found::Other(Skip::Socket)
    } else {
        Found::Other(Skip::Device)
    })
}

/// The length of a file that can be read, tried with its first byte; nothing if something else has
/// just taken its place.
fn probe(path: &Path) -> io::Result<Option<u64>> {
    // A pipe or a link that has just taken the file's place must neither block nor lead away.
    let harmless = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let open = |flags: OFlags| -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)
    };
    // Looking must not even leave a time stamp, but only the owner of a file may ask for that.
    let mut file = open(harmless | OFlags::NOATIME).or_else(|_| open(harmless))?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let mut byte = [0];
    while let Err(error) = file.read(&mut byte) {
        if error.kind() != ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(Some(metadata.len()))
}

/// Whether an error says that there is nothing (any more).
pub(crate) fn gone(error: &io::Error) -> bool {
    // A directory on the way may have become a file, and a file a link.
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// Whether an error says that the host takes no path of this length.
fn too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NAMETOOLONG.raw_os_error())
}

pub(crate) fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Unreadable {
        path: path.to_owned(),
        source,
    }
}

/// The root is the only directory whose path ends in a backslash.
fn volume_path(path: &str) -> String {
    if path.is_empty() { "\\" } else { path }.to_owned()
}

/// Whether a name can stand in a path of the volume.
fn is_windows_name(name: &str) -> bool {
    let forbidden = |character: char| character < ' ' || "\"*/:<>?\\|".contains(character);
    !name.contains(forbidden) && name.encode_utf16().count() <= 255
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, mkdirat, openat};
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    fn paths(items: &[Item]) -> Vec<&str> {
        items.iter().map(|item| item.path.as_str()).collect()
    }

    #[test]
    fn everything_is_listed_or_skipped_for_a_reason() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("b/deep")).unwrap();
        fs::write(root.join("b/deep/file"), "12345").unwrap();
        fs::write(root.join("a"), "").unwrap();
        fs::write(root.join("b/Größe ✓"), "1").unwrap();
        fs::write(root.join("b/what?"), "1").unwrap();
        fs::write(root.join(OsStr::from_bytes(b"b/\xFF")), "1").unwrap();
        symlink("/", root.join("link")).unwrap();
        let _socket = UnixListener::bind(root.join("socket")).unwrap();

        let tree = scan(root).unwrap();
        assert_eq!(paths(&tree.directories), ["\\", "\\b", "\\b\\deep"]);
        assert_eq!(
            paths(&tree.files),
            ["\\a", "\\b\\Größe ✓", "\\b\\deep\\file"]
        );
        assert_eq!(tree.bytes(), 6);
        assert_eq!(tree.unlistable, ["\\b"]);
        let skipped: Vec<_> = tree.skipped.reasons().map(|(why, n, _)| (why, n)).collect();
        assert_eq!(
            skipped,
            [
                (Skip::SymbolicLink, 1),
                (Skip::Socket, 1),
                (Skip::NotUnicode, 1),
                (Skip::NotAWindowsName, 1),
            ]
        );
    }

    #[test]
    fn what_lies_too_deep_is_skipped() {
        let directory = tempfile::tempdir().unwrap();
        let name = "d".repeat(200);
        let mut below = rustix::fs::open(directory.path(), OFlags::DIRECTORY, Mode::empty());
        for _ in 0..30 {
            let here = below.unwrap();
            mkdirat(&here, &*name, Mode::RWXU).unwrap();
            below = openat(&here, &*name, OFlags::DIRECTORY, Mode::empty());
        }
        fs::write(directory.path().join("file"), "1").unwrap();
        let tree = scan(directory.path()).unwrap();
        assert_eq!(paths(&tree.files), ["\\file"]);
        // So many of them have a path of less than 4096 bytes, whatever the folder is called.
        assert!((19..=21).contains(&tree.directories.len()));
        let skipped: Vec<_> = tree.skipped.reasons().map(|(why, n, _)| (why, n)).collect();
        assert_eq!(skipped, [(Skip::TooDeep, 1)]);
    }

    #[test]
    fn bad_directories_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let missing = scan(&directory.path().join("missing")).unwrap_err();
        assert!(matches!(missing, Error::NoSuchDirectory(_)));
        assert!(matches!(scan(&file).unwrap_err(), Error::NotADirectory(_)));
        let below = scan(&file.join("below")).unwrap_err();
        assert!(matches!(below, Error::NotADirectory(_)));
    }
}
