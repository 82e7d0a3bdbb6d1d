//! Symbolic links and directories of the Object Manager that drivers have opened.

use super::object::{Body, Counted};

/// What a symbolic link leads to.
pub(crate) struct LinkBody {
    /// Its own name; the address of the string is what the object is known by.
    name: Box<String>,
    pub(crate) target: String,
}

/// A symbolic link. Each open of a link makes one: nothing can be seen of a link but its target,
/// which never changes.
pub(crate) type Link = Counted<LinkBody>;

impl LinkBody {
    pub(crate) fn new(name: String, target: String) -> Self {
        Self {
            name: Box::new(name),
            target,
        }
    }
}

impl Body for LinkBody {
    const NAME: &'static str = "symbolic link object";
    const HANDLE_NAME: &'static str = "symbolic link handle";
    const TYPE: &'static str = "";

    fn address(&self) -> usize {
        &raw const *self.name as usize
    }

    fn path(&self) -> Option<String> {
        Some((*self.name).clone())
    }
}

/// The name of a directory; the address of the string is what the object is known by.
pub(crate) struct DirectoryBody(Box<String>);

/// A directory. Each open of one makes an object, as for [`Link`].
pub(crate) type Directory = Counted<DirectoryBody>;

impl DirectoryBody {
    pub(crate) fn new(name: String) -> Self {
        Self(Box::new(name))
    }

    /// The full name of what is in the directory.
    pub(crate) fn join(&self, name: &str) -> String {
        format!("{}\\{name}", self.0.trim_end_matches('\\'))
    }
}

impl Body for DirectoryBody {
    const NAME: &'static str = "object directory";
    const HANDLE_NAME: &'static str = "directory handle";
    const TYPE: &'static str = "";

    fn address(&self) -> usize {
        &raw const *self.0 as usize
    }

    fn path(&self) -> Option<String> {
        Some((*self.0).clone())
    }
}
