//! Reading the attributes by which drivers name what they create and open.

use crate::kernel::handle::{Grant, downcast};
use crate::kernel::link::Directory;
use crate::kernel::namespace::STATUS_OBJECT_PATH_SYNTAX_BAD;
use crate::kernel::{scope, string};
use fltmgr_sys::*;
use std::sync::Arc;

const KERNEL_HANDLE: ULONG = 0x200;
const OPEN_IF: ULONG = 0x80;

/// The full name of what is in a directory of the Object Manager.
fn within(directory: HANDLE, name: &str) -> Result<String, NTSTATUS> {
    let machine = scope::machine().ok_or(STATUS_INVALID_HANDLE)?;
    let (found, _) = machine
        .handles
        .find(directory)
        .ok_or(STATUS_INVALID_HANDLE)?;
    let directory: Arc<Directory> = downcast(found).ok_or(STATUS_OBJECT_TYPE_MISMATCH)?;
    directory.body.join(name)
}

/// What `OBJECT_ATTRIBUTES` say.
#[derive(Default)]
pub(super) struct Attributes {
    pub(super) path: Option<String>,
    pub(super) open_if: bool,
    pub(super) kernel: bool,
}

impl Attributes {
    /// Reads a structure that may be null. A name is full, or in a directory that is open.
    ///
    /// # Safety
    /// The pointer is null or that of such a structure.
    pub(super) unsafe fn read(attributes: *const OBJECT_ATTRIBUTES) -> Result<Self, NTSTATUS> {
        // SAFETY: by this function's contract.
        let Some(attributes) = (unsafe { attributes.as_ref() }) else {
            return Ok(Self::default());
        };
        if attributes.Length as usize != size_of::<OBJECT_ATTRIBUTES>() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        // SAFETY: the name is null or a string.
        let path = unsafe { string::read(attributes.ObjectName) };
        let path = path.filter(|path| !path.is_empty());
        let path = match path {
            Some(path) if !attributes.RootDirectory.is_null() => {
                Some(within(attributes.RootDirectory, &path)?)
            }
            path => path,
        };
        if path.as_ref().is_some_and(|path| !path.starts_with('\\')) {
            return Err(STATUS_OBJECT_PATH_SYNTAX_BAD);
        }
        Ok(Self {
            path,
            open_if: attributes.Attributes & OPEN_IF != 0,
            kernel: attributes.Attributes & KERNEL_HANDLE != 0,
        })
    }

    /// A handle as they ask for it.
    pub(super) fn grant(&self, access: ACCESS_MASK) -> Grant {
        Grant {
            access,
            kernel: self.kernel,
            filter: None,
        }
    }
}
