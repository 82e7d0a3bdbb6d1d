//! The filter itself.

use fltmgr_sys as sys;

use super::view;
use crate::{
    Status,
    context::{AllocateError, DeclaredBy, InPlace, Unique},
    registration::Minifilter,
};

view! {
    /// The registered filter `F`: what allocates contexts. Borrowed for the callback. DDI:
    /// `FLT_RELATED_OBJECTS`.
    Filter:
}

impl<F: Minifilter> Filter<'_, F> {
    /// Allocates a context and moves `value` into it. The returned handle owns the only
    /// reference.
    ///
    /// Allocating is legal everywhere at `APC_LEVEL` or below, in pre-create too: keep the
    /// context as the completion payload and set it in post-create.
    ///
    /// # Errors
    ///
    /// The value comes back with the status: `STATUS_INSUFFICIENT_RESOURCES` when there is no
    /// memory, `STATUS_FLT_DELETING_OBJECT` when the filter is being unloaded.
    ///
    /// DDI: `FltAllocateContext`. IRQL: at most `APC_LEVEL`, proved by the borrow.
    pub fn allocate<T: DeclaredBy<F>>(self, value: T) -> Result<Unique<T>, AllocateError<T>> {
        Unique::allocate(self, value)
    }

    /// Allocates a context and builds its value in place, for a value that must never move. The
    /// returned handle owns the only reference, and gives no `&mut` to such a value.
    ///
    /// # Errors
    ///
    /// As for [`Filter::allocate`]; the recipe is dropped unused.
    ///
    /// DDI: `FltAllocateContext`. IRQL: at most `APC_LEVEL`, proved by the borrow.
    pub fn allocate_in_place<T: DeclaredBy<F>>(
        self,
        recipe: impl InPlace<T>,
    ) -> Result<Unique<T>, Status> {
        Unique::allocate_in_place(self, recipe)
    }

    pub(crate) fn as_raw(self) -> sys::PFLT_FILTER {
        self.objects.Filter
    }
}
