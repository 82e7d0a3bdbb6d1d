//! What goes from a pre-operation callback to its post-operation callback.

use core::ptr::NonNull;

use fltmgr_sys as sys;
use sys::PVOID;

use crate::{
    PoolBox,
    context::{Context, Shared, Unique, pool::Resident},
    irql::{AtMostApc, AtMostDispatch, Ceiling, Passive, UsableAt},
};

mod sealed {
    pub trait Sealed {}
}

/// A payload: a value that fits in the operation's completion context, one pointer wide.
///
/// The library carries it from pre to post, or drops it when the post-operation callback is
/// called to drain, at `APC_LEVEL` or below.
///
/// DDI: `CompletionContext` of `PFLT_PRE_OPERATION_CALLBACK` and `PFLT_POST_OPERATION_CALLBACK`.
///
/// # Safety
///
/// `from_raw` gives back exactly what `into_raw` was given, and neither does anything else.
pub unsafe trait Completion: Sized + Send + 'static {
    /// Makes a pointer of the payload.
    fn into_raw(self) -> PVOID;

    /// Makes the payload of the pointer.
    ///
    /// # Safety
    ///
    /// `raw` comes from [`Completion::into_raw`] of the same type, once.
    unsafe fn from_raw(raw: PVOID) -> Self;
}

/// A payload that may be touched and dropped up to the IRQL ceiling `I`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the completion payload of a post-operation that runs under `{I}`",
    label = "not a payload there",
    note = "a plain post-operation may run at DISPATCH_LEVEL, so its payload must be `Send` and hold nonpaged contexts only; a payload is `()`, an integer, `Shared<T>`, `Unique<T>`, `PoolBox<T>` or an `Option` of one of these"
)]
pub trait CompletionAt<I: Ceiling>: Completion {}

/// The payload of a filter that registers no post-operation callback: there is no such value, so
/// a callback cannot be asked for.
#[derive(Clone, Copy, Debug)]
pub enum NoPostOperation {}

// SAFETY: no value exists.
unsafe impl Completion for NoPostOperation {
    fn into_raw(self) -> PVOID {
        match self {}
    }

    unsafe fn from_raw(_raw: PVOID) -> Self {
        // SAFETY: the caller got `raw` from `into_raw`, which nobody can have called.
        unsafe { core::hint::unreachable_unchecked() }
    }
}

impl<I: Ceiling> CompletionAt<I> for NoPostOperation {}

/// The payload of an operation that is registered without a post-operation callback:
/// [`NoPostOperation`] and no other.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is a payload for a post-operation callback, and this operation is registered without one",
    label = "nobody would take this payload",
    note = "write `type Completion = NoPostOperation;`, or register both callbacks of the operation"
)]
pub trait WithoutPost: Completion + sealed::Sealed {}

impl WithoutPost for NoPostOperation {}
impl sealed::Sealed for NoPostOperation {}

/// A payload type `Self` that a value of type `P` can be handed on as: only its own type.
#[diagnostic::on_unimplemented(
    message = "the payload of this operation is `{Self}`, so `{P}` cannot be handed to its post-operation callback",
    label = "not the payload that the post-operation callback takes",
    note = "`PreOperation::Completion` is the payload's type for both callbacks; `NoPostOperation` means that there is no post-operation callback to ask for"
)]
pub trait Takes<P>: Sized {
    #[doc(hidden)]
    fn take(payload: P) -> Self;
}

impl<C> Takes<C> for C {
    fn take(payload: C) -> C {
        payload
    }
}

// SAFETY: nothing goes over.
unsafe impl Completion for () {
    fn into_raw(self) -> PVOID {
        core::ptr::null_mut()
    }

    unsafe fn from_raw(_raw: PVOID) -> Self {}
}

impl<I: Ceiling> CompletionAt<I> for () {}

// SAFETY: the number is the address and back.
unsafe impl Completion for usize {
    fn into_raw(self) -> PVOID {
        core::ptr::without_provenance_mut(self)
    }

    unsafe fn from_raw(raw: PVOID) -> Self {
        raw.addr()
    }
}

impl<I: Ceiling> CompletionAt<I> for usize {}

// SAFETY: the handle's pointer is never NULL, so NULL is `None`.
unsafe impl<T: Context> Completion for Option<Shared<T>> {
    fn into_raw(self) -> PVOID {
        self.map_or(core::ptr::null_mut(), Shared::into_raw)
    }

    unsafe fn from_raw(raw: PVOID) -> Self {
        let context = NonNull::new(raw.cast())?;
        // SAFETY: by the caller's promise it is the raw form of a handle.
        Some(unsafe { Shared::from_raw(context) })
    }
}

// SAFETY: as above.
unsafe impl<T: Context> Completion for Option<Unique<T>> {
    fn into_raw(self) -> PVOID {
        self.map_or(core::ptr::null_mut(), Unique::into_raw)
    }

    unsafe fn from_raw(raw: PVOID) -> Self {
        let context = NonNull::new(raw.cast())?;
        // SAFETY: by the caller's promise it is the raw form of a handle.
        Some(unsafe { Unique::from_raw(context) })
    }
}

macro_rules! handles {
    ($($handle:ident)*) => {$(
        // SAFETY: one pointer and back; it is never NULL.
        unsafe impl<T: Context> Completion for $handle<T> {
            fn into_raw(self) -> PVOID {
                $handle::into_raw(self)
            }

            unsafe fn from_raw(raw: PVOID) -> Self {
                // SAFETY: by the caller's promise it is the raw form of a handle, so not NULL.
                let context = unsafe { NonNull::new_unchecked(raw.cast()) };
                // SAFETY: as above.
                unsafe { $handle::from_raw(context) }
            }
        }

        impl<T: Context> CompletionAt<Passive> for $handle<T> {}
        impl<T: Context> CompletionAt<Passive> for Option<$handle<T>> {}
        impl<T: Context> CompletionAt<AtMostApc> for $handle<T> {}
        impl<T: Context> CompletionAt<AtMostApc> for Option<$handle<T>> {}
        impl<T: Context<Pool: Resident>> CompletionAt<AtMostDispatch> for $handle<T>
        where
            Self: UsableAt<AtMostDispatch>,
        {
        }
        impl<T: Context<Pool: Resident>> CompletionAt<AtMostDispatch> for Option<$handle<T>>
        where
            Self: UsableAt<AtMostDispatch>,
        {
        }
    )*};
}

handles!(Shared Unique);

// SAFETY: one pointer and back; it is never NULL.
unsafe impl<T: Send + 'static> Completion for PoolBox<T> {
    fn into_raw(self) -> PVOID {
        PoolBox::into_raw(self).as_ptr().cast()
    }

    unsafe fn from_raw(raw: PVOID) -> Self {
        // SAFETY: by the caller's promise it is the raw form of a box, so not NULL.
        let value = unsafe { NonNull::new_unchecked(raw.cast()) };
        // SAFETY: as above.
        unsafe { PoolBox::from_raw(value) }
    }
}

// SAFETY: the box's pointer is never NULL, so NULL is `None`.
unsafe impl<T: Send + 'static> Completion for Option<PoolBox<T>> {
    fn into_raw(self) -> PVOID {
        self.map_or(core::ptr::null_mut(), Completion::into_raw)
    }

    unsafe fn from_raw(raw: PVOID) -> Self {
        let value = NonNull::new(raw.cast())?;
        // SAFETY: by the caller's promise it is the raw form of a box.
        Some(unsafe { PoolBox::from_raw(value) })
    }
}

impl<I: Ceiling, T: Send + UsableAt<I> + 'static> CompletionAt<I> for PoolBox<T> {}
impl<I: Ceiling, T: Send + UsableAt<I> + 'static> CompletionAt<I> for Option<PoolBox<T>> {}

const _: () = assert!(size_of::<usize>() == size_of::<sys::PVOID>());
