//! The names of the Object Manager: which path stands for which object.

use super::handle::KernelObject;
use fltmgr_sys::*;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// `STATUS_OBJECT_PATH_SYNTAX_BAD`.
pub(crate) const STATUS_OBJECT_PATH_SYNTAX_BAD: NTSTATUS = 0xC000_003B_u32.cast_signed();

/// The directories that every machine has, beside the root. Drivers cannot make others.
const DIRECTORIES: [&str; 7] = [
    "\\??",
    "\\BaseNamedObjects",
    "\\Callback",
    "\\Device",
    "\\Driver",
    "\\FileSystem",
    "\\KernelObjects",
];
/// Other names of one of them.
const ALIASES: [&str; 3] = ["\\dosdevices", "\\global??", "\\??\\global"];
/// How many symbolic links lead on from one another before it is taken for a circle.
const MOST_LINKS: usize = 16;

enum Entry {
    Object(Weak<dyn KernelObject>),
    /// With its target and what the reports know it by.
    Link(String, usize),
}

/// The names of a machine.
#[derive(Default)]
pub(crate) struct Namespace(Mutex<BTreeMap<String, Entry>>);

/// A path as it is compared.
fn key(path: &str) -> String {
    let path = path.to_lowercase();
    for alias in ALIASES {
        if let Some(rest) = path.strip_prefix(alias)
            && (rest.is_empty() || rest.starts_with('\\'))
        {
            return format!("\\??{rest}");
        }
    }
    path
}

/// The directory of a path that has been made comparable.
fn is_directory(path: &str) -> Option<&'static str> {
    let mut all = DIRECTORIES.iter();
    all.find(|directory| directory.eq_ignore_ascii_case(path))
        .copied()
}

/// Whether a path is one of an object in a directory that exists.
fn check(path: &str) -> Result<(), NTSTATUS> {
    let (directory, name) = path
        .rsplit_once('\\')
        .ok_or(STATUS_OBJECT_PATH_SYNTAX_BAD)?;
    if !path.starts_with('\\') || path.contains("\\\\") {
        return Err(STATUS_OBJECT_PATH_SYNTAX_BAD);
    }
    if name.is_empty() {
        return Err(STATUS_OBJECT_NAME_INVALID);
    }
    if directory.is_empty() || is_directory(directory).is_some() {
        Ok(())
    } else {
        Err(STATUS_OBJECT_PATH_NOT_FOUND)
    }
}

impl Namespace {
    fn insert(&self, path: &str, entry: Entry) -> Result<(), NTSTATUS> {
        let key = key(path);
        check(&key)?;
        let mut names = self.0.lock();
        let taken = match names.get(&key) {
            Some(Entry::Object(object)) => object.strong_count() > 0,
            Some(Entry::Link(..)) => true,
            None => false,
        };
        if taken {
            return Err(STATUS_OBJECT_NAME_COLLISION);
        }
        names.insert(key, entry);
        Ok(())
    }

    /// Names an object.
    pub(crate) fn name(&self, path: &str, object: &Arc<dyn KernelObject>) -> Result<(), NTSTATUS> {
        self.insert(path, Entry::Object(Arc::downgrade(object)))
    }

    /// Makes a symbolic link.
    pub(crate) fn link(&self, path: &str, target: &str, token: usize) -> Result<(), NTSTATUS> {
        self.insert(path, Entry::Link(target.to_owned(), token))
    }

    /// Takes the name of an object away that is gone, unless another one has it by now.
    pub(crate) fn forget(&self, path: &str) {
        let mut names = self.0.lock();
        let key = key(path);
        if let Some(Entry::Object(_)) = names.get(&key) {
            names.remove(&key);
        }
    }

    /// Deletes a symbolic link, and gives what the reports know it by.
    pub(crate) fn unlink(&self, path: &str) -> Result<usize, NTSTATUS> {
        let key = key(path);
        check(&key)?;
        let mut names = self.0.lock();
        let token = match names.get(&key) {
            Some(Entry::Link(_, token)) => *token,
            Some(Entry::Object(_)) => return Err(STATUS_OBJECT_TYPE_MISMATCH),
            None => return Err(STATUS_OBJECT_NAME_NOT_FOUND),
        };
        names.remove(&key);
        Ok(token)
    }

    /// What a symbolic link leads to.
    pub(crate) fn target(&self, path: &str) -> Result<String, NTSTATUS> {
        let key = key(path);
        check(&key)?;
        match self.0.lock().get(&key) {
            Some(Entry::Link(target, _)) => Ok(target.clone()),
            Some(Entry::Object(object)) if object.strong_count() > 0 => {
                Err(STATUS_OBJECT_TYPE_MISMATCH)
            }
            _ if is_directory(&key).is_some() => Err(STATUS_OBJECT_TYPE_MISMATCH),
            _ => Err(STATUS_OBJECT_NAME_NOT_FOUND),
        }
    }

    /// The directory of a name, through symbolic links, by its own name.
    pub(crate) fn directory(&self, path: &str) -> Result<&'static str, NTSTATUS> {
        if path == "\\" {
            return Ok("\\");
        }
        let mut path = key(path);
        let names = self.0.lock();
        for _ in 0..MOST_LINKS {
            if let Some(directory) = is_directory(&path) {
                return Ok(directory);
            }
            check(&path)?;
            match names.get(&path) {
                Some(Entry::Link(target, _)) => path = key(target),
                Some(Entry::Object(object)) if object.strong_count() > 0 => {
                    return Err(STATUS_OBJECT_TYPE_MISMATCH);
                }
                _ => return Err(STATUS_OBJECT_NAME_NOT_FOUND),
            }
        }
        Err(STATUS_OBJECT_NAME_INVALID)
    }

    /// The object of a name, through symbolic links.
    pub(crate) fn find(&self, path: &str) -> Result<Arc<dyn KernelObject>, NTSTATUS> {
        let mut path = key(path);
        let names = self.0.lock();
        for _ in 0..MOST_LINKS {
            match names.get(&path) {
                Some(Entry::Object(object)) => {
                    return object.upgrade().ok_or(STATUS_OBJECT_NAME_NOT_FOUND);
                }
                Some(Entry::Link(target, _)) => path = key(target),
                None => {
                    check(&path)?;
                    return Err(STATUS_OBJECT_NAME_NOT_FOUND);
                }
            }
        }
        Err(STATUS_OBJECT_NAME_INVALID)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_targets_are_found() {
        let names = Namespace::default();
        assert_eq!(names.directory("\\"), Ok("\\"));
        assert_eq!(names.directory("\\device"), Ok("\\Device"));
        assert_eq!(names.directory("\\DosDevices"), Ok("\\??"));
        assert_eq!(names.link("\\??\\Up", "\\DEVICE", 1), Ok(()));
        assert_eq!(names.directory("\\??\\up"), Ok("\\Device"));
        assert_eq!(names.target("\\DosDevices\\UP"), Ok("\\DEVICE".to_owned()));
        for (path, status) in [
            ("", STATUS_OBJECT_PATH_SYNTAX_BAD),
            ("Device", STATUS_OBJECT_PATH_SYNTAX_BAD),
            ("\\Device\\", STATUS_OBJECT_NAME_INVALID),
            ("\\Devices", STATUS_OBJECT_NAME_NOT_FOUND),
            ("\\Nowhere\\Device", STATUS_OBJECT_PATH_NOT_FOUND),
        ] {
            assert_eq!(names.directory(path), Err(status), "{path}");
            assert_eq!(names.target(path), Err(status), "{path}");
        }
        assert_eq!(names.target("\\Device"), Err(STATUS_OBJECT_TYPE_MISMATCH));
    }

    #[test]
    fn links_are_followed_and_names_are_checked() {
        let names = Namespace::default();
        assert_eq!(names.link("\\DosDevices\\One", "\\??\\Two", 1), Ok(()));
        let collision = Err(STATUS_OBJECT_NAME_COLLISION);
        assert_eq!(names.link("\\??\\ONE", "\\Device\\X", 2), collision);
        assert_eq!(names.link("\\GLOBAL??\\Two", "\\??\\one", 3), Ok(()));
        let find = |path: &str| names.find(path).err().unwrap();
        assert_eq!(find("\\??\\one"), STATUS_OBJECT_NAME_INVALID);
        assert_eq!(names.unlink("\\??\\two"), Ok(3));
        assert_eq!(find("\\??\\one"), STATUS_OBJECT_NAME_NOT_FOUND);
        assert_eq!(find("\\Nowhere\\one"), STATUS_OBJECT_PATH_NOT_FOUND);
        assert_eq!(find("one"), STATUS_OBJECT_PATH_SYNTAX_BAD);
        assert_eq!(find("\\Device\\"), STATUS_OBJECT_NAME_INVALID);
    }
}
