//! Symbolic links and directories of the Object Manager that drivers have opened.

use super::namespace::STATUS_OBJECT_PATH_SYNTAX_BAD;
use super::object::{Body, Counted};
use fltmgr_sys::NTSTATUS;

/// What a symbolic link leads to.
pub(crate) struct LinkBody {
    /// What the object is known by.
    place: Box<u64>,
    name: String,
    pub(crate) target: String,
}

/// A symbolic link. Each open of a link makes one: nothing can be seen of a link but its target,
/// which never changes.
pub(crate) type Link = Counted<LinkBody>;

impl LinkBody {
    pub(crate) fn new(name: String, target: String) -> Self {
        Self {
            place: Box::new(0),
            name,
            target,
        }
    }
}

impl Body for LinkBody {
    const NAME: &'static str = "symbolic link object";
    const HANDLE_NAME: &'static str = "symbolic link handle";
    const TYPE: &'static str = "";

    fn address(&self) -> usize {
        &raw const *self.place as usize
    }

    fn path(&self) -> Option<String> {
        Some(self.name.clone())
    }
}

/// What is in a directory has names that begin with its own.
pub(crate) struct DirectoryBody {
    /// What the object is known by.
    place: Box<u64>,
    name: String,
}

/// A directory. Each open of one makes an object, as for [`Link`].
pub(crate) type Directory = Counted<DirectoryBody>;

impl DirectoryBody {
    pub(crate) fn new(name: String) -> Self {
        Self {
            place: Box::new(0),
            name,
        }
    }

    /// The full name of what is in the directory.
    ///
    /// # Errors
    /// `STATUS_OBJECT_PATH_SYNTAX_BAD` if the name is full already.
    pub(crate) fn join(&self, name: &str) -> Result<String, NTSTATUS> {
        if name.starts_with('\\') {
            return Err(STATUS_OBJECT_PATH_SYNTAX_BAD);
        }
        Ok(format!("{}\\{name}", self.name.trim_end_matches('\\')))
    }
}

impl Body for DirectoryBody {
    const NAME: &'static str = "object directory";
    const HANDLE_NAME: &'static str = "directory handle";
    const TYPE: &'static str = "";

    fn address(&self) -> usize {
        &raw const *self.place as usize
    }

    fn path(&self) -> Option<String> {
        Some(self.name.clone())
    }
}
