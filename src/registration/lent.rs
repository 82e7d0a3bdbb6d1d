//! A context that the Filter Manager lends to a callback.

use core::ptr::NonNull;

use fltmgr_sys as sys;

use crate::{context::DeclaredBy, registration::Minifilter};

/// A context that comes as the argument of a callback, with a reference of the callback's own.
///
/// The callback can delete the context, or another thread close its section, while the callback
/// has a borrow of the value. No document says that the Filter Manager keeps it alive then.
///
/// # Invariants
///
/// `context` is NULL, or a filled context with one reference that this value owns.
pub(super) struct Lent {
    context: sys::PFLT_CONTEXT,
}

impl Lent {
    /// # Safety
    ///
    /// `context` is NULL, or a filled context that is alive now; the IRQL is at most `APC_LEVEL`
    /// until the value is dropped.
    pub(super) unsafe fn new(context: sys::PFLT_CONTEXT) -> Self {
        if !context.is_null() {
            // SAFETY: the caller vouches for the context and the IRQL.
            unsafe { sys::FltReferenceContext(context) };
        }
        // INVARIANT: NULL, or referenced just now.
        Self { context }
    }

    /// The value, if there is a context.
    ///
    /// # Safety
    ///
    /// The context is of the kind of `T`.
    pub(super) unsafe fn value<F: Minifilter, T: DeclaredBy<F>>(&self) -> Option<&T> {
        let context = NonNull::new(self.context.cast::<T>())?;
        // SAFETY: by the invariant the context is filled and `self` keeps it alive; `T` is the only
        // type that the filter declared for the kind. The IRQL is low while `self` lives.
        Some(unsafe { context.as_ref() })
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.context.is_null() {
            // SAFETY: by the invariant this value owns a reference; the IRQL is low while it lives.
            unsafe { sys::FltReleaseContext(self.context) }
        }
    }
}
