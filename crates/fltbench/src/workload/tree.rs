//! Opening, reading, listing and closing everything in the directory under test.

use super::checkpoint;
use super::expect::Stop;
use crate::error::Error;
use crate::progress::Progress;
use crate::report::Report;
use crate::scan::{Found, Item, Skip, Tree, gone, look_again, unreadable};
use fltmgr_sys::{
    FILE_DIRECTORY_FILE, FILE_READ_ATTRIBUTES, FileBasicInformation,
    FileIdBothDirectoryInformation, NTSTATUS, STATUS_END_OF_FILE, STATUS_NO_MORE_FILES,
    STATUS_NO_SUCH_FILE,
};
use fltsim::storage::STATUS_UNMAPPABLE_CHARACTER;
use fltsim::{FileReference, Handle, IoOptions, OpenOptions, Volume};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeSet, VecDeque};

/// How much is read at once, so that files of any size need the same memory.
const CHUNK: usize = 256 * 1024;
/// A listing that does not fit is continued, which costs the file system another look at it all.
const LISTING: usize = 1024 * 1024;
/// How many files stay open behind the one that is being read, so that contexts live side by side.
const OPEN_FILES: usize = 16;
/// How many closed files the memory manager still holds.
const REFERENCES: usize = 8;

/// Goes through the whole tree. What vanishes under its hands is noted as skipped.
pub(super) fn walk(
    volume: &Volume,
    tree: &mut Tree,
    random: &mut ChaCha8Rng,
    progress: &dyn Progress,
    report: &mut Report,
) -> Result<(), Stop> {
    let mut walk = Walk {
        volume,
        random,
        progress,
        open: VecDeque::new(),
        references: VecDeque::new(),
        buffer: vec![0; CHUNK],
    };
    let unlistable: BTreeSet<&str> = tree.unlistable.iter().map(String::as_str).collect();
    let mut listing = vec![0; LISTING];
    let mut listed = Vec::with_capacity(tree.directories.len());
    for directory in std::mem::take(&mut tree.directories) {
        checkpoint()?;
        let may_fail = unlistable.contains(directory.path.as_str());
        let work = || list(volume, &directory.path, &mut listing, may_fail);
        match patiently(&directory, Found::Directory, work)? {
            Ok(()) => listed.push(directory),
            Err(why) => tree.skipped.add(why, &directory.host),
        }
    }
    tree.directories = listed;

    let mut read = Vec::with_capacity(tree.files.len());
    for file in std::mem::take(&mut tree.files) {
        let expected = Found::File(file.len);
        match patiently(&file, expected, || walk.read(&file.path))? {
            Ok(bytes) => {
                report.files += 1;
                report.bytes_read += bytes;
                read.push(file);
            }
            Err(why) => tree.skipped.add(why, &file.host),
        }
        progress.file();
    }
    tree.files = read;
    Ok(())
}

/// Does something to an item, and finds out who is to blame if that fails: the host, where files
/// come and go, or whatever lies between the host and us.
fn patiently<T>(
    item: &Item,
    expected: Found,
    mut work: impl FnMut() -> Result<T, Failure>,
) -> Result<Result<T, Skip>, Stop> {
    let mut last = false;
    loop {
        let (what, status) = match work() {
            Ok(value) => return Ok(Ok(value)),
            Err(Failure::Stop(stop)) => return Err(stop),
            Err(Failure::Status(what, status)) => (what, status),
        };
        match look_again(&item.host) {
            Err(error) if gone(&error) => return Ok(Err(Skip::Vanished)),
            Err(error) => return Err(unreadable(&item.host, error).into()),
            Ok(Found::Other(_)) => return Ok(Err(Skip::Replaced)),
            Ok(found) if std::mem::discriminant(&found) != std::mem::discriminant(&expected) => {
                return Ok(Err(Skip::Replaced));
            }
            // It is there. It may have been away for a moment, but hardly twice.
            Ok(_) if last => {
                let path = &item.path;
                let what = format!("{what} {path}: status {status:#010X}");
                return Err(Stop::Unexpected(what));
            }
            Ok(_) => last = true,
        }
    }
}

/// What went wrong with one item.
enum Failure {
    /// An operation on it failed.
    Status(&'static str, NTSTATUS),
    /// It is none of its business.
    Stop(Stop),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Stop(error.into())
    }
}

fn during<T>(what: &'static str, result: Result<T, NTSTATUS>) -> Result<T, Failure> {
    result.map_err(|status| Failure::Status(what, status))
}

/// Lists a directory to its end.
fn list(volume: &Volume, path: &str, buffer: &mut [u8], may_fail: bool) -> Result<(), Failure> {
    let options = OpenOptions::read().options(FILE_DIRECTORY_FILE);
    let directory = during("opening", volume.open(path, options))?;
    let mut restart = true;
    loop {
        match directory.query_directory(FileIdBothDirectoryInformation, None, restart, buffer) {
            Ok(_) => restart = false,
            Err(STATUS_NO_MORE_FILES | STATUS_NO_SUCH_FILE) => return Ok(()),
            Err(STATUS_UNMAPPABLE_CHARACTER) if may_fail => return Ok(()),
            Err(status) => return Err(Failure::Status("listing", status)),
        }
        if let Err(Stop::Failed(error)) = checkpoint() {
            return Err(error.into());
        }
    }
}

struct Walk<'a> {
    volume: &'a Volume,
    random: &'a mut ChaCha8Rng,
    progress: &'a dyn Progress,
    open: VecDeque<Handle>,
    references: VecDeque<FileReference>,
    buffer: Vec<u8>,
}

impl Walk<'_> {
    /// Opens a file, reads all of it, and leaves it open for a while. Gives the bytes read.
    fn read(&mut self, path: &str) -> Result<u64, Failure> {
        // Every tenth file is asked for its attributes first, as Explorer and servers do.
        if self.random.random_ratio(1, 10) {
            during(
                "asking for attributes of",
                self.volume.query_open(path).map(drop),
            )?;
        }
        let how = self.way();
        let file = during("opening", self.volume.open(path, OpenOptions::read()))?;
        // Every fifth file is opened twice at the same time: one stream, two stream handles.
        if self.random.random_ratio(1, 5) {
            let options = OpenOptions::read().access(FILE_READ_ATTRIBUTES);
            let second = during("opening again", self.volume.open(path, options))?;
            let mut information = [0; 40];
            let asked = second.query_information(FileBasicInformation, &mut information);
            during("asking for information of", asked)?;
        }
        // A file that grows faster than it is read must not be read forever.
        let size = during("asking for the size of", file.size())?;
        let mut done = 0;
        while done < size {
            let wanted = usize::try_from(size - done).map_or(CHUNK, |rest| rest.min(CHUNK));
            match file.read_with(done, &mut self.buffer[..wanted], how) {
                // It was cut meanwhile.
                Ok(0) | Err(STATUS_END_OF_FILE) => break,
                other => {
                    let count = during("reading", other)? as u64;
                    done += count;
                    self.progress.bytes(count);
                }
            }
            if let Err(Stop::Failed(error)) = checkpoint() {
                return Err(error.into());
            }
        }
        self.keep(file);
        Ok(done)
    }

    /// How a file is read: most through the cache, some past it, as paging I/O, or with a
    /// completion on another thread.
    fn way(&mut self) -> IoOptions {
        match self.random.random_range(0..20) {
            0..12 => IoOptions::default(),
            12..15 => IoOptions::default().fast_io(),
            15..17 => IoOptions::default().paging(),
            17 => IoOptions::default().uncached(),
            18 => IoOptions::worker(),
            _ => IoOptions::dispatch(),
        }
    }

    /// Leaves a file open until enough others are; some then stay referenced without a handle.
    fn keep(&mut self, file: Handle) {
        self.open.push_back(file);
        if self.open.len() <= OPEN_FILES {
            return;
        }
        let Some(oldest) = self.open.pop_front() else {
            return;
        };
        if self.random.random_ratio(1, 4) {
            self.references.push_back(oldest.reference());
            if self.references.len() > REFERENCES {
                self.references.pop_front();
            }
        }
        oldest.close();
    }
}
