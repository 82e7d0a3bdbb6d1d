//! `NTSTATUS` as a Rust type.

use core::fmt;

use fltmgr_sys as sys;

/// An `NTSTATUS` that the kernel returned or that a driver wants to return.
///
/// Every error of this crate that has a status behind it converts into it, so that `?` works in a
/// callback that returns `Result<_, Status>`; [`AlreadyHeld`](crate::lock::AlreadyHeld) has none.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Status(sys::NTSTATUS);

macro_rules! statuses {
    ($($(#[$meta:meta])* $name:ident = $raw:ident;)*) => {
        impl Status {
            $($(#[$meta])* pub const $name: Self = Self(sys::$raw);)*

            /// The C name of the statuses that this crate knows.
            const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $(sys::$raw => Some(stringify!($raw)),)*
                    _ => None,
                }
            }
        }
    };
}

statuses! {
    /// The operation succeeded.
    SUCCESS = STATUS_SUCCESS;
    /// The operation goes on.
    PENDING = STATUS_PENDING;
    /// A create is to be tried again with another name.
    REPARSE = STATUS_REPARSE;
    /// The output did not fit.
    BUFFER_OVERFLOW = STATUS_BUFFER_OVERFLOW;
    /// The buffer is too small for any output.
    BUFFER_TOO_SMALL = STATUS_BUFFER_TOO_SMALL;
    /// The operation failed for no particular reason.
    UNSUCCESSFUL = STATUS_UNSUCCESSFUL;
    /// An argument is wrong.
    INVALID_PARAMETER = STATUS_INVALID_PARAMETER;
    /// A size is too large.
    INVALID_BUFFER_SIZE = STATUS_INVALID_BUFFER_SIZE;
    /// Nothing is left to read.
    END_OF_FILE = STATUS_END_OF_FILE;
    /// A byte-range lock is in the way.
    FILE_LOCK_CONFLICT = STATUS_FILE_LOCK_CONFLICT;
    /// It is a directory.
    FILE_IS_A_DIRECTORY = STATUS_FILE_IS_A_DIRECTORY;
    /// The caller may not do this.
    ACCESS_DENIED = STATUS_ACCESS_DENIED;
    /// No memory.
    INSUFFICIENT_RESOURCES = STATUS_INSUFFICIENT_RESOURCES;
    /// The object cannot do this.
    NOT_SUPPORTED = STATUS_NOT_SUPPORTED;
    /// There is no such thing.
    NOT_FOUND = STATUS_NOT_FOUND;
    /// The driver is loaded already.
    ALREADY_REGISTERED = STATUS_ALREADY_REGISTERED;
    /// The name does not exist.
    OBJECT_NAME_NOT_FOUND = STATUS_OBJECT_NAME_NOT_FOUND;
    /// The object already has a context.
    CONTEXT_ALREADY_DEFINED = STATUS_FLT_CONTEXT_ALREADY_DEFINED;
    /// The context is attached to an object already.
    CONTEXT_ALREADY_LINKED = STATUS_FLT_CONTEXT_ALREADY_LINKED;
    /// The object is being torn down.
    DELETING_OBJECT = STATUS_FLT_DELETING_OBJECT;
    /// Contexts of this kind come from nonpaged pool only.
    MUST_BE_NONPAGED_POOL = STATUS_FLT_MUST_BE_NONPAGED_POOL;
    /// The instance does not want to attach.
    DO_NOT_ATTACH = STATUS_FLT_DO_NOT_ATTACH;
    /// The instance or filter does not want to detach.
    DO_NOT_DETACH = STATUS_FLT_DO_NOT_DETACH;
    /// No registered context definition fits.
    CONTEXT_ALLOCATION_NOT_FOUND = STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND;
    /// The context registration is invalid.
    INVALID_CONTEXT_REGISTRATION = STATUS_FLT_INVALID_CONTEXT_REGISTRATION;
    /// The instance is enlisted in the transaction already.
    ALREADY_ENLISTED = STATUS_FLT_ALREADY_ENLISTED;
}

impl Status {
    /// Wraps a raw status.
    #[must_use]
    pub const fn from_raw(raw: sys::NTSTATUS) -> Self {
        Self(raw)
    }

    /// The raw status.
    #[must_use]
    pub const fn into_raw(self) -> sys::NTSTATUS {
        self.0
    }

    /// Whether this is a success or informational status (`NT_SUCCESS`).
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.0 >= 0
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "NTSTATUS {:#010X}", self.0),
        }
    }
}

impl core::error::Error for Status {}
