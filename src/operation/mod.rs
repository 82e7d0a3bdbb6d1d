//! Operations: what a filter sees of them before and after, and what it decides.

mod completion;
mod major;
pub mod parameters;
mod post;
mod pre;
mod table;

pub use completion::{Completion, CompletionAt, NoPostOperation, Takes, WithoutPost};
pub use major::*;
pub use post::{Post, PostOperation, SafePost, SafePostOperation};
pub use pre::{Pre, PreOperation, PreResult};
pub use table::Operations;
#[doc(hidden)]
pub use table::{both, distinct, end, only_pre, safe};

/// What every callback's object offers, whatever its IRQL.
macro_rules! callback_view {
    ($name:ident) => {
        impl<F: crate::registration::Minifilter, O: super::Operation> $name<'_, F, O> {
            fn parameter_block(&self) -> &fltmgr_sys::FLT_IO_PARAMETER_BLOCK {
                // SAFETY: the callback data are valid while the callback runs.
                let block = unsafe { (*self.data).Iopb };
                // SAFETY: callback data always has a parameter block, which lives as long as it
                // does, and nothing writes to it while `self` is borrowed.
                unsafe { &*block }
            }

            /// The parameters of the operation. DDI: `FLT_PARAMETERS`.
            #[must_use]
            pub fn parameters(&self) -> O::Parameters<'_> {
                let block = self.parameter_block();
                // SAFETY: the callback is registered for `O`, so the parameters are `O`'s, and
                // their pointers are valid until the callback returns.
                unsafe { O::parameters(block.MinorFunction, &block.Parameters) }
            }

            /// The flags of the callback data (`FLTFL_CALLBACK_DATA_XXX`). DDI:
            /// `FLT_CALLBACK_DATA`.
            #[must_use]
            pub fn flags(&self) -> fltmgr_sys::FLT_CALLBACK_DATA_FLAGS {
                // SAFETY: the callback data are valid while the callback runs.
                unsafe { (*self.data).Flags }
            }

            /// Whether this is paging I/O: on behalf of the memory manager (`IRP_PAGING_IO`).
            #[must_use]
            pub fn is_paging_io(&self) -> bool {
                self.parameter_block().IrpFlags & fltmgr_sys::IRP_PAGING_IO != 0
            }
        }
    };
}

/// The views of a callback that runs at `APC_LEVEL` or below.
macro_rules! low_irql_view {
    ([$($generics:tt)*] $ty:ty $(, $param:ident: $bound:ident)?) => {
        impl<$($generics)*> $ty {
            /// The filter.
            #[must_use]
            pub fn filter(&self) -> crate::object::Filter<'_, F>
            $(where $param: $bound)?
            {
                // SAFETY: the objects are those of this callback, at APC_LEVEL or below, and the
                // view borrows `self`, which lives for the callback.
                unsafe { crate::object::Filter::new(self.objects) }
            }

            /// The volume; holds the volume context.
            #[must_use]
            pub fn volume(&self) -> crate::object::Volume<'_, F>
            $(where $param: $bound)?
            {
                // SAFETY: as for `filter`.
                unsafe { crate::object::Volume::new(self.objects) }
            }

            /// The instance; holds the instance context.
            #[must_use]
            pub fn instance(&self) -> crate::object::Instance<'_, F>
            $(where $param: $bound)?
            {
                // SAFETY: as for `filter`.
                unsafe { crate::object::Instance::new(self.objects) }
            }

            /// The transaction that the operation is part of; holds the transaction context.
            #[must_use]
            pub fn transaction(&self) -> Option<crate::object::Transaction<'_, F>>
            $(where $param: $bound)?
            {
                if self.objects.Transaction.is_null() {
                    return None;
                }
                // SAFETY: as for `filter`, and there is a transaction.
                Some(unsafe { crate::object::Transaction::new(self.objects) })
            }

            /// The name of the file. The returned value owns a reference to it.
            ///
            /// # Errors
            ///
            /// The status of `FltGetFileNameInformation`, e.g. when the file system cannot be
            /// asked now, and `STATUS_NOT_SUPPORTED` for an operation without a file object.
            ///
            /// DDI: `FltGetFileNameInformation`, `FltParseFileNameInformation`. IRQL: at most
            /// `APC_LEVEL`, proved by the borrow.
            pub fn file_name(
                &self,
                format: crate::name::NameFormat,
            ) -> Result<crate::name::FileName, crate::Status>
            $(where $param: $bound)?
            {
                if self.objects.FileObject.is_null() {
                    return Err(crate::Status::NOT_SUPPORTED);
                }
                // SAFETY: the data are those of this callback, at APC_LEVEL or below.
                unsafe { crate::name::FileName::get(self.data, format) }
            }
        }
    };
}

pub(crate) use {callback_view, low_irql_view};
