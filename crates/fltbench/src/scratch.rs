//! The folder in which the workload writes.

use crate::error::Error;
use crate::interrupt;
use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// No file of the workload is larger.
const ROOM: usize = 1024 * 1024;

/// A fresh folder outside the directory under test, removed when this is dropped.
///
/// It becomes a volume of its own. Inside the directory it would be easier to reach and would
/// modify that directory, if only its time stamps; what never happens needs no undoing.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
}

impl Scratch {
    /// Makes the folder in the first place that is writable and not inside `directory`, which is
    /// a canonical path.
    pub(crate) fn outside(directory: &Path) -> Result<Self, Error> {
        for place in places(directory) {
            let made = tempfile::Builder::new()
                .prefix("fltbench-")
                .tempdir_in(place);
            if let Ok(folder) = made {
                interrupt::guard(Some(folder.path()));
                return Ok(Self { folder });
            }
        }
        Err(Error::NoScratch(directory.to_owned()))
    }

    /// Whether there can be a folder at all, without making it. The root of a host fails here,
    /// before anything of it, devices and `/proc` included, was looked at.
    pub(crate) fn check(directory: &Path) -> Result<(), Error> {
        if places(directory).is_empty() {
            return Err(Error::NoScratch(directory.to_owned()));
        }
        Ok(())
    }

    /// Whether a file can be written that is as large as those of the workload.
    pub(crate) fn has_room(&self) -> bool {
        let file = tempfile::tempfile_in(self.path());
        file.is_ok_and(|mut file| file.write_all(&vec![1; ROOM]).is_ok())
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The folder itself goes right after; until then a signal may still find it.
        interrupt::guard(None);
    }
}

/// Where the folder may be: nowhere in the directory under test.
fn places(directory: &Path) -> Vec<PathBuf> {
    let places = [
        env::temp_dir(),
        PathBuf::from("/var/tmp"),
        PathBuf::from("/dev/shm"),
    ];
    places
        .into_iter()
        .filter_map(|place| place.canonicalize().ok())
        .filter(|place| !place.starts_with(directory))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lies_outside_and_goes() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().canonicalize().unwrap();
        let scratch = Scratch::outside(&directory).unwrap();
        let path = scratch.path().to_owned();
        assert!(path.is_dir());
        assert!(!path.starts_with(&directory));
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn it_avoids_the_temporary_directory_when_that_is_under_test() {
        let directory = env::temp_dir().canonicalize().unwrap();
        match Scratch::outside(&directory) {
            Ok(scratch) => assert!(!scratch.path().starts_with(&directory)),
            Err(error) => assert!(error.is_input()),
        }
    }

    #[test]
    fn nothing_is_outside_the_root() {
        for error in [
            Scratch::check(Path::new("/")).unwrap_err(),
            Scratch::outside(Path::new("/")).unwrap_err(),
        ] {
            assert!(matches!(error, Error::NoScratch(_)));
        }
    }
}
