//! Copying, rewriting, locking, renaming, transacting and deleting in the scratch folder.

use super::checkpoint;
use super::expect::{Doing, Stop, ensure, ensure_contents};
use crate::scan::Tree;
use fltmgr_sys::{
    FILE_READ_ATTRIBUTES, FileStreamInformation, NTSTATUS, STATUS_FILE_LOCK_CONFLICT,
    STATUS_LOCK_NOT_GRANTED, STATUS_OBJECT_NAME_NOT_FOUND,
};
use fltsim::filesystem::Personality;
use fltsim::{ByteRange, IoOptions, Machine, OpenOptions, Transaction, Volume};
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// How many files of the directory are copied at most.
const COPIES: usize = 32;
/// Larger files are not copied: two copies of each are kept in memory to compare with.
const LARGEST_COPY: u64 = 1024 * 1024;
/// How many files are made up, so that an empty directory makes for a full run too.
const MADE_UP: usize = 4;
/// Where the files are.
const FOLDER: &str = "\\work";
/// Where some of them are moved to.
const ARCHIVE: &str = "\\work\\archive";

/// Does it all, and leaves the folder as empty as it was.
pub(super) fn exercise(
    machine: &Machine,
    source: &Volume,
    target: &Volume,
    tree: &Tree,
    personality: &Personality,
    random: &mut ChaCha8Rng,
) -> Result<(), Stop> {
    let mut desk = Desk {
        volume: target,
        random,
        files: BTreeMap::new(),
    };
    for folder in [FOLDER, ARCHIVE] {
        let folder_handle = target.open(folder, OpenOptions::directory());
        folder_handle.doing("making", folder)?.close();
    }
    desk.copy(source, tree)?;
    desk.make_up()?;
    desk.rewrite()?;
    desk.lock()?;
    if personality.alternate_streams {
        desk.streams()?;
    }
    if personality.transactions {
        desk.transact(machine)?;
    }
    desk.rename()?;
    desk.check_all()?;
    desk.delete()?;
    machine.settle();
    Ok(())
}

struct Desk<'a> {
    volume: &'a Volume,
    random: &'a mut ChaCha8Rng,
    /// What every file must hold.
    files: BTreeMap<String, Vec<u8>>,
}

impl Desk<'_> {
    /// Copies files from the directory under test.
    fn copy(&mut self, source: &Volume, tree: &Tree) -> Result<(), Stop> {
        let small: Vec<_> = tree
            .files
            .iter()
            .filter(|f| f.len <= LARGEST_COPY)
            .collect();
        let chosen: Vec<_> = small
            .choose_multiple(self.random, COPIES)
            .copied()
            .collect();
        for (index, item) in chosen.into_iter().enumerate() {
            checkpoint()?;
            // What has vanished since it was read is not worth a word.
            let Ok(original) = source.open(&item.path, OpenOptions::read()) else {
                continue;
            };
            let Ok(size @ ..=LARGEST_COPY) = original.size() else {
                continue;
            };
            let mut contents = vec![0; usize::try_from(size).unwrap_or(0)];
            let count = if contents.is_empty() {
                Ok(0)
            } else {
                original.read(0, &mut contents)
            };
            let Ok(count) = count else { continue };
            contents.truncate(count);
            self.put(format!("{FOLDER}\\copy-{index:02}"), contents)?;
        }
        Ok(())
    }

    /// Makes files of random bytes.
    fn make_up(&mut self) -> Result<(), Stop> {
        for index in 0..MADE_UP {
            let size = self.random.random_range(1..100_000);
            let mut contents = vec![0; size];
            self.random.fill_bytes(&mut contents);
            self.put(format!("{FOLDER}\\made-up-{index}"), contents)?;
        }
        Ok(())
    }

    /// Writes a new file.
    fn put(&mut self, path: String, contents: Vec<u8>) -> Result<(), Stop> {
        let file = self.volume.open(&path, OpenOptions::create_new());
        let file = file.doing("creating", &path)?;
        for (index, chunk) in contents.chunks(64 * 1024).enumerate() {
            let offset = index as u64 * 64 * 1024;
            let how = self.way();
            let written = file
                .write_with(offset, chunk, how)
                .doing("writing", &path)?;
            ensure(written == chunk.len(), "not all was written", &path)?;
        }
        // Waits for the disk, so not for all of them.
        if self.random.random_ratio(1, 8) {
            file.flush().doing("flushing", &path)?;
        }
        self.files.insert(path, contents);
        Ok(())
    }

    /// Overwrites parts, appends, cuts and extends.
    fn rewrite(&mut self) -> Result<(), Stop> {
        for path in self.paths() {
            checkpoint()?;
            let file = self.volume.open(&path, OpenOptions::read_write());
            let file = file.doing("opening", &path)?;
            let mut contents = self.files.remove(&path).unwrap_or_default();

            let patch = vec![0x5A; self.random.random_range(1..5000)];
            let at = self.random.random_range(0..=contents.len());
            let how = self.way();
            let written = file.write_with(at as u64, &patch, how);
            written.doing("rewriting", &path)?;
            contents.resize(contents.len().max(at + patch.len()), 0);
            contents[at..at + patch.len()].copy_from_slice(&patch);

            file.append(b"the end").doing("appending to", &path)?;
            contents.extend_from_slice(b"the end");

            let size = self.random.random_range(1..=2 * contents.len());
            file.set_size(size as u64).doing("resizing", &path)?;
            contents.resize(size, 0);

            let how = self.way();
            ensure_contents(&file, &path, &contents, how)?;
            // As the memory manager does with a mapped page, after the last handle is closed.
            let reference = file.reference();
            file.close();
            let page = vec![0xA5; contents.len().min(4096)];
            reference
                .write_paging(0, &page)
                .doing("paging out", &path)?;
            contents[..page.len()].copy_from_slice(&page);
            drop(reference);
            self.files.insert(path, contents);
        }
        Ok(())
    }

    /// Locks the first byte of each file, which keeps a second handle from it, and lets that one
    /// have it.
    fn lock(&mut self) -> Result<(), Stop> {
        let range = ByteRange::exclusive(0, 1);
        for path in self.paths() {
            checkpoint()?;
            let open = || {
                let file = self.volume.open(&path, OpenOptions::read_write());
                file.doing("opening", &path)
            };
            let (first, second) = (open()?, open()?);
            first.lock(range).doing("locking", &path)?;
            let refused = second.lock(range) == Err(STATUS_LOCK_NOT_GRANTED);
            ensure(refused, "it was locked twice", &path)?;
            let refused = second.write(0, &[0]) == Err(STATUS_FILE_LOCK_CONFLICT);
            ensure(refused, "what is locked could be written", &path)?;
            let mut waiting = second.begin_lock(range);
            ensure(!waiting.is_complete(), "a lock was not waited for", &path)?;
            first.unlock(range).doing("unlocking", &path)?;
            waiting.wait().doing("waiting for a lock of", &path)?;
            // With its handle a lock goes too.
            second.close();
            first.lock(range).doing("locking", &path)?;
        }
        Ok(())
    }

    /// Opens alternate streams beside the file's own, all at the same time.
    fn streams(&mut self) -> Result<(), Stop> {
        for path in self.paths() {
            checkpoint()?;
            let file = self.volume.open(&path, OpenOptions::read());
            let file = file.doing("opening", &path)?;
            let names = ["summary", "Zone.Identifier"].map(|name| format!("{path}:{name}"));
            let mut open = Vec::new();
            for name in &names {
                let stream = self.volume.open(name, OpenOptions::create());
                let stream = stream.doing("creating", name)?;
                stream.write(0, name.as_bytes()).doing("writing", name)?;
                ensure_contents(&stream, name, name.as_bytes(), IoOptions::default())?;
                open.push(stream);
            }
            let mut listing = [0; 4096];
            let listed = file.query_information(FileStreamInformation, &mut listing);
            listed.doing("listing the streams of", &path)?;
            drop(open);
            // One goes before its file, the other one with it.
            let [first, _] = &names;
            let stream = self.volume.open(first, OpenOptions::read_write());
            let stream = stream.doing("opening", first)?;
            stream.delete().doing("deleting", first)?;
            stream.close();
            ensure(
                !self.exists(first)?,
                "a deleted stream is still there",
                first,
            )?;
            let own = self.files.get(&path).map_or(&[][..], Vec::as_slice);
            ensure_contents(&file, &path, own, IoOptions::default())?;
        }
        Ok(())
    }

    /// One transaction that is committed and one that is rolled back.
    fn transact(&mut self, machine: &Machine) -> Result<(), Stop> {
        checkpoint()?;
        let transaction = machine.begin_transaction();
        let changed = self.change_under(&transaction)?;
        let end = transaction.commit();
        end.doing("committing a transaction on", FOLDER)?;
        for (path, contents) in changed {
            self.files.insert(path, contents);
        }
        self.check_all()?;

        let transaction = machine.begin_transaction();
        let changed = self.change_under(&transaction)?;
        transaction.rollback();
        for path in changed.into_keys() {
            if !self.files.contains_key(&path) {
                ensure(!self.exists(&path)?, "it survived a rollback", &path)?;
            }
        }
        self.check_all()
    }

    /// Rewrites a few files and makes a new one in a transaction; gives what they hold in it.
    fn change_under(&mut self, scope: &Transaction) -> Result<BTreeMap<String, Vec<u8>>, Stop> {
        let mut changed = BTreeMap::new();
        let paths = self.paths();
        for path in paths.choose_multiple(self.random, 3) {
            let options = OpenOptions::read_write().transaction(scope);
            let file = self.volume.open(path, options);
            let file = file.doing("opening in a transaction", path)?;
            let contents = b"changed in a transaction".to_vec();
            let resized = file.set_size(contents.len() as u64);
            resized.doing("resizing in a transaction", path)?;
            let written = file.write(0, &contents);
            written.doing("writing in a transaction", path)?;
            ensure_contents(&file, path, &contents, IoOptions::default())?;
            changed.insert(path.clone(), contents);
        }
        let path = format!("{FOLDER}\\transacted-{}", self.files.len());
        let options = OpenOptions::create_new().transaction(scope);
        let file = self.volume.open(&path, options);
        let file = file.doing("creating in a transaction", &path)?;
        let written = file.write(0, b"new");
        written.doing("writing in a transaction", &path)?;
        changed.insert(path, b"new".to_vec());
        Ok(changed)
    }

    /// Renames some files, moves some into the archive, and puts some in the place of others.
    fn rename(&mut self) -> Result<(), Stop> {
        for path in self.paths() {
            checkpoint()?;
            // It may have been replaced by another one meanwhile.
            if !self.files.contains_key(&path) {
                continue;
            }
            let name = path.rsplit('\\').next().unwrap_or_default();
            let (to, replace) = match self.random.random_range(0..4) {
                0 => (format!("{FOLDER}\\renamed-{name}"), false),
                1 => (format!("{ARCHIVE}\\{name}"), false),
                2 => match self.paths().choose(self.random) {
                    Some(other) if *other != path => (other.clone(), true),
                    _ => continue,
                },
                _ => continue,
            };
            let file = self.volume.open(&path, OpenOptions::read_write());
            let file = file.doing("opening", &path)?;
            file.rename(&to, replace).doing("renaming", &path)?;
            file.close();
            ensure(
                !self.exists(&path)?,
                "it is still there under its old name",
                &path,
            )?;
            if let Some(contents) = self.files.remove(&path) {
                self.files.insert(to, contents);
            }
        }
        Ok(())
    }

    /// Reads everything back.
    fn check_all(&mut self) -> Result<(), Stop> {
        for path in self.paths() {
            checkpoint()?;
            let file = self.volume.open(&path, OpenOptions::read());
            let file = file.doing("opening", &path)?;
            let how = self.way();
            ensure_contents(&file, &path, &self.files[&path], how)?;
        }
        Ok(())
    }

    /// Deletes everything, in both ways that there are.
    fn delete(&mut self) -> Result<(), Stop> {
        for path in self.paths() {
            checkpoint()?;
            let options = OpenOptions::read_write();
            if self.random.random_ratio(1, 2) {
                let file = self.volume.open(&path, options.delete_on_close());
                file.doing("opening", &path)?.close();
            } else {
                let file = self.volume.open(&path, options).doing("opening", &path)?;
                file.delete().doing("deleting", &path)?;
                file.close();
            }
            ensure(!self.exists(&path)?, "it survived its deletion", &path)?;
            self.files.remove(&path);
        }
        for folder in [ARCHIVE, FOLDER] {
            let handle = self.volume.open(folder, OpenOptions::directory());
            let handle = handle.doing("opening", folder)?;
            let names = handle.names().doing("listing", folder)?;
            let left = names
                .iter()
                .filter(|name| *name != "." && *name != "..")
                .count();
            ensure(left == 0, "something is left in it", folder)?;
            handle.delete().doing("deleting", folder)?;
        }
        Ok(())
    }

    fn exists(&self, path: &str) -> Result<bool, Stop> {
        let options = OpenOptions::read().access(FILE_READ_ATTRIBUTES);
        let found: Result<_, NTSTATUS> = self.volume.open(path, options);
        match found {
            Ok(_) => Ok(true),
            Err(STATUS_OBJECT_NAME_NOT_FOUND) => Ok(false),
            Err(status) => Err(status).doing("looking for", path),
        }
    }

    fn paths(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }

    /// How the next operation goes.
    fn way(&mut self) -> IoOptions {
        match self.random.random_range(0..6) {
            0 => IoOptions::default().fast_io(),
            1 => IoOptions::worker(),
            2 => IoOptions::dispatch(),
            3 => IoOptions::default().uncached(),
            _ => IoOptions::default(),
        }
    }
}
