//! The objects that a callback is about, borrowed for as long as it runs.
//!
//! Each is a view of the callback's related objects: a copyable borrow, not a counted reference,
//! so it cannot outlive the callback. Only kinds of context that belong on an object can be
//! reached through it ([`Holds`]).
//!
//! DDI: `FLT_RELATED_OBJECTS`. IRQL: at most `APC_LEVEL`, because only callbacks there hand views out.

mod file_object;
mod filter;
mod instance;
mod section;
mod transaction;
mod volume;

pub use file_object::FileObject;
pub use filter::Filter;
pub use instance::Instance;
pub use section::{Section, SectionError, SectionFailure, View};
pub use transaction::{EnlistError, Notifications, Transaction};
pub use volume::{Volume, VolumeName, VolumeProperties};

use crate::context::kind::Kind;

/// An object that contexts of kind `K` are attached to.
#[diagnostic::on_unimplemented(
    message = "contexts of kind `{K}` are not attached to this object",
    label = "`{Self}` holds no contexts of kind `{K}`",
    note = "volume contexts belong on a `Volume`, instance contexts on an `Instance`, file, stream and stream handle contexts on a `FileObject`, transaction contexts on a `Transaction`"
)]
pub trait Holds<K: Kind> {}

/// Defines a borrowed view of the related objects of a callback.
macro_rules! view {
    ($(#[$meta:meta])* $name:ident: $($kind:ident),*) => {
        $(#[$meta])*
        pub struct $name<'a, F: crate::registration::Minifilter> {
            pub(in crate::object) objects: &'a fltmgr_sys::FLT_RELATED_OBJECTS,
            filter: core::marker::PhantomData<fn() -> F>,
        }

        impl<F: crate::registration::Minifilter> Clone for $name<'_, F> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<F: crate::registration::Minifilter> Copy for $name<'_, F> {}

        impl<'a, F: crate::registration::Minifilter> $name<'a, F> {
            /// # Safety
            ///
            /// `objects` are those of a running callback of `F` and stay valid for `'a`, during
            /// which the IRQL is at most `APC_LEVEL`.
            pub(crate) unsafe fn new(objects: &'a fltmgr_sys::FLT_RELATED_OBJECTS) -> Self {
                Self {
                    objects,
                    filter: core::marker::PhantomData,
                }
            }
        }

        $(impl<F: crate::registration::Minifilter> crate::object::Holds<crate::kind::$kind> for $name<'_, F> {})*
    };
}

/// Gives a view its `slot`.
macro_rules! slots {
    ($name:ident) => {
        impl<'a, F: crate::registration::Minifilter> $name<'a, F> {
            /// The place on this object for the filter's context of type `T`.
            ///
            /// IRQL: at most `APC_LEVEL`, proved by the borrow. It touches nothing yet.
            #[must_use]
            pub fn slot<T>(self) -> crate::context::Slot<'a, F, T>
            where
                T: crate::context::DeclaredBy<F>,
                T::Kind: crate::kind::Attach,
                Self: crate::object::Holds<T::Kind>,
            {
                // SAFETY: the promise made to `new` covers what a slot asks for.
                unsafe { crate::context::Slot::new(self.objects) }
            }
        }
    };
}

pub(crate) use {slots, view};
