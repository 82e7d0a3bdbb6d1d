//! What can go wrong with a context, verb by verb. Every failure gives the value or the handle
//! back.

use core::fmt;

use super::{Context, Shared, Unique};
use crate::Status;

/// A context could not be allocated; the value is returned.
pub struct AllocateError<T> {
    /// Why: `STATUS_INSUFFICIENT_RESOURCES`, `STATUS_FLT_DELETING_OBJECT`, or
    /// `STATUS_INVALID_BUFFER_SIZE` for more than 65,535 bytes of variable size.
    pub status: Status,
    /// The value that was to be the context.
    pub value: T,
}

/// A context could not be got.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum GetError {
    /// The object has no contexts of this kind: a paging file, a file that is not open, a file
    /// system without support (`STATUS_NOT_SUPPORTED`).
    NotSupported,
    /// A status that the documentation does not list.
    Other(Status),
}

/// A context could not be set; it is returned unset.
pub struct SetError<T: Context> {
    /// Why.
    pub failure: SetFailure<T>,
    /// The context that was to be set.
    pub context: Unique<T>,
}

/// Why a context could not be set.
pub enum SetFailure<T: Context> {
    /// The object has a context already, and here it is, with a reference of its own
    /// (`STATUS_FLT_CONTEXT_ALREADY_DEFINED`).
    AlreadyDefined(Shared<T>),
    /// The object has no contexts of this kind (`STATUS_NOT_SUPPORTED`).
    NotSupported,
    /// The instance or volume is being torn down (`STATUS_FLT_DELETING_OBJECT`).
    Deleting,
    /// A status that the documentation does not list.
    Other(Status),
}

/// A context could neither be got nor made.
pub enum InsertError<T: Context> {
    /// The object has no contexts of this kind (`STATUS_NOT_SUPPORTED`). No value was made if
    /// getting already said so.
    NotSupported,
    /// The instance or volume is being torn down, or the filter unloaded
    /// (`STATUS_FLT_DELETING_OBJECT`).
    Deleting,
    /// There is no memory for the context; the value is returned
    /// (`STATUS_INSUFFICIENT_RESOURCES`).
    NoMemory(T),
    /// A status that the documentation does not list.
    Other(Status),
}

/// A context could not be removed or deleted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum DeleteError {
    /// The object has no contexts of this kind (`STATUS_NOT_SUPPORTED`).
    NotSupported,
    /// The instance or volume is being torn down, and its contexts with it
    /// (`STATUS_FLT_DELETING_OBJECT`).
    Deleting,
    /// A status that the documentation does not list.
    Other(Status),
}

impl GetError {
    pub(crate) fn new(status: Status) -> Self {
        match status {
            Status::NOT_SUPPORTED => Self::NotSupported,
            other => Self::Other(other),
        }
    }

    /// The status behind it.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::NotSupported => Status::NOT_SUPPORTED,
            Self::Other(status) => status,
        }
    }
}

impl<T: Context> SetFailure<T> {
    /// Sorts a failed set; `existing` is whatever came back as the old context.
    pub(crate) fn new(status: Status, existing: Option<Shared<T>>) -> Self {
        match (status, existing) {
            (Status::CONTEXT_ALREADY_DEFINED, Some(existing)) => Self::AlreadyDefined(existing),
            (Status::NOT_SUPPORTED, _) => Self::NotSupported,
            (Status::DELETING_OBJECT, _) => Self::Deleting,
            (other, _) => Self::Other(other),
        }
    }

    /// The status behind it.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::AlreadyDefined(_) => Status::CONTEXT_ALREADY_DEFINED,
            Self::NotSupported => Status::NOT_SUPPORTED,
            Self::Deleting => Status::DELETING_OBJECT,
            Self::Other(status) => *status,
        }
    }
}

impl<T: Context> InsertError<T> {
    /// The status behind it.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::NotSupported => Status::NOT_SUPPORTED,
            Self::Deleting => Status::DELETING_OBJECT,
            Self::NoMemory(_) => Status::INSUFFICIENT_RESOURCES,
            Self::Other(status) => *status,
        }
    }
}

impl<T: Context> From<AllocateError<T>> for InsertError<T> {
    fn from(error: AllocateError<T>) -> Self {
        match error.status {
            Status::INSUFFICIENT_RESOURCES => Self::NoMemory(error.value),
            Status::DELETING_OBJECT => Self::Deleting,
            other => Self::Other(other),
        }
    }
}

impl<T: Context> From<GetError> for InsertError<T> {
    fn from(error: GetError) -> Self {
        match error {
            GetError::NotSupported => Self::NotSupported,
            GetError::Other(status) => Self::Other(status),
        }
    }
}

impl<T: Context> From<SetFailure<T>> for InsertError<T> {
    fn from(failure: SetFailure<T>) -> Self {
        match failure.status() {
            Status::NOT_SUPPORTED => Self::NotSupported,
            Status::DELETING_OBJECT => Self::Deleting,
            other => Self::Other(other),
        }
    }
}

impl DeleteError {
    pub(crate) fn new(status: Status) -> Self {
        match status {
            Status::NOT_SUPPORTED => Self::NotSupported,
            Status::DELETING_OBJECT => Self::Deleting,
            other => Self::Other(other),
        }
    }

    /// The status behind it.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::NotSupported => Status::NOT_SUPPORTED,
            Self::Deleting => Status::DELETING_OBJECT,
            Self::Other(status) => status,
        }
    }
}

macro_rules! errors {
    ($([$($generic:tt)*] $ty:ty, $what:literal, $error:ident => $status:expr;)*) => {$(
        impl $($generic)* From<$ty> for Status {
            fn from($error: $ty) -> Self {
                $status
            }
        }

        impl $($generic)* fmt::Display for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let $error = self;
                write!(f, concat!("the context could not be ", $what, ": {}"), $status)
            }
        }

        // The value may lie in paged memory, so it is not shown, and need not be `Debug`.
        impl $($generic)* fmt::Debug for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

errors! {
    [<T>] AllocateError<T>, "allocated", error => error.status;
    [] GetError, "got", error => error.status();
    [<T: Context>] SetError<T>, "set", error => error.failure.status();
    [<T: Context>] SetFailure<T>, "set", error => error.status();
    [<T: Context>] InsertError<T>, "got or inserted", error => error.status();
    [] DeleteError, "deleted", error => error.status();
}
