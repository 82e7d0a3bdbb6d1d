//! Several contexts of an operation in one call.

use fltmgr_sys as sys;
use sys::{FLT_CONTEXT_TYPE, FLT_RELATED_CONTEXTS_EX, FLT_RELATED_OBJECTS, PFLT_CONTEXT};

use super::{Context, DeclaredBy, Shared, kind::Kind};
use crate::{
    operation::{Operation, ReachesAfter, ReachesBefore},
    registration::Minifilter,
};

/// A tuple of up to seven context types that can be got in one call; the result is a tuple of
/// `Option<Shared<_>>`, each of which owns its reference. IRQL: at most `APC_LEVEL`.
///
/// DDI: `FltGetContextsEx`, or `FltGetContexts` for a driver that runs before Windows 8.
pub trait ContextTuple<F: Minifilter> {
    /// The contexts, each if there is one.
    type Contexts;

    /// Gets them.
    ///
    /// # Safety
    ///
    /// `objects` are those of a running callback of `F` in which all the kinds can be reached, at
    /// `APC_LEVEL` or below.
    #[doc(hidden)]
    unsafe fn get(objects: &FLT_RELATED_OBJECTS) -> Self::Contexts;
}

/// A tuple of context types that can be reached before the operation `O`.
pub trait TupleBefore<O: Operation> {}

/// A tuple of context types that can be reached after the operation `O`.
pub trait TupleAfter<O: Operation> {}

/// Gets the contexts of a mask, each with a reference for the caller.
///
/// # Safety
///
/// As for [`ContextTuple::get`].
unsafe fn related<F: Minifilter>(
    objects: &FLT_RELATED_OBJECTS,
    mask: FLT_CONTEXT_TYPE,
) -> FLT_RELATED_CONTEXTS_EX {
    let none = sys::NULL_CONTEXT;
    let mut contexts = FLT_RELATED_CONTEXTS_EX {
        VolumeContext: none,
        InstanceContext: none,
        FileContext: none,
        StreamContext: none,
        StreamHandleContext: none,
        TransactionContext: none,
        SectionContext: none,
    };
    if const { F::WINDOWS.has_sections() } {
        // SAFETY: the caller vouches for the objects and the IRQL, and the structure may be
        // written. The only failure is a mask that is not one of kinds; then all stay NULL.
        let _ = unsafe {
            sys::FltGetContextsEx(
                objects,
                mask,
                size_of::<FLT_RELATED_CONTEXTS_EX>() as sys::SIZE_T,
                &raw mut contexts,
            )
        };
    } else {
        // SAFETY: as above; the older structure is the head of the newer one.
        unsafe {
            sys::FltGetContexts(
                objects,
                mask & !sys::FLT_SECTION_CONTEXT,
                (&raw mut contexts).cast(),
            );
        }
    }
    contexts
}

/// The member of a kind.
fn member(contexts: &FLT_RELATED_CONTEXTS_EX, kind: FLT_CONTEXT_TYPE) -> PFLT_CONTEXT {
    match kind {
        sys::FLT_VOLUME_CONTEXT => contexts.VolumeContext,
        sys::FLT_INSTANCE_CONTEXT => contexts.InstanceContext,
        sys::FLT_FILE_CONTEXT => contexts.FileContext,
        sys::FLT_STREAM_CONTEXT => contexts.StreamContext,
        sys::FLT_STREAMHANDLE_CONTEXT => contexts.StreamHandleContext,
        sys::FLT_TRANSACTION_CONTEXT => contexts.TransactionContext,
        sys::FLT_SECTION_CONTEXT => contexts.SectionContext,
        _ => sys::NULL_CONTEXT,
    }
}

macro_rules! tuples {
    ($($context:ident)*) => {
        impl<F: Minifilter, $($context: DeclaredBy<F>),*> ContextTuple<F> for ($($context,)*) {
            type Contexts = ($(Option<Shared<$context>>,)*);

            unsafe fn get(objects: &FLT_RELATED_OBJECTS) -> Self::Contexts {
                const {
                    let kinds = [$(<$context::Kind as Kind>::TYPE),*];
                    let mut seen = 0;
                    let mut i = 0;
                    while i < kinds.len() {
                        assert!(
                            seen & kinds[i] == 0,
                            "a tuple of contexts names each kind once"
                        );
                        seen |= kinds[i];
                        i += 1;
                    }
                }
                let mask = 0 $(| <$context::Kind as Kind>::TYPE)*;
                // SAFETY: the caller's promise is the same.
                let contexts = unsafe { related::<F>(objects, mask) };
                ($(
                    // SAFETY: the member is NULL or this filter's context of the kind, which is a
                    // value of the one type declared for it, with a reference for the caller; each
                    // kind is named once, so each reference is taken over once.
                    unsafe {
                        Shared::from_returned(member(&contexts, <$context::Kind as Kind>::TYPE))
                    },
                )*)
            }
        }

        impl<O: Operation $(+ ReachesBefore<$context::Kind>)*, $($context: Context),*> TupleBefore<O>
            for ($($context,)*)
        {
        }

        impl<O: Operation $(+ ReachesAfter<$context::Kind>)*, $($context: Context),*> TupleAfter<O>
            for ($($context,)*)
        {
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E G);
tuples!(A B C D E G H);
