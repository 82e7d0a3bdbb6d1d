//! The interrupt request level as zero-sized proofs.
//!
//! What a routine may touch depends on the IRQL that it runs at. Each callback type has a
//! documented ceiling, so the callback's object carries a token for that ceiling, and whatever
//! needs a low IRQL asks for a borrow of the token:
//!
//! | callback | token |
//! |---|---|
//! | instance, transaction, section conflict, post-create | [`Passive`], which is an [`AtMostApc`] too |
//! | pre-operations, pre-create among them, and safe post-operations | [`AtMostApc`] |
//! | other plain post-operations | [`AtMostDispatch`] |
//!
//! A token cannot be made, copied, sent to another thread or kept after the callback. Raising
//! the IRQL borrows the token mutably, so nothing that needs the low IRQL compiles while it is
//! raised.

use core::{marker::PhantomData, ops::Deref, panic::RefUnwindSafe};

mod sealed {
    pub trait Sealed {}
}

/// A ceiling of the IRQL: [`Passive`], [`AtMostApc`] or [`AtMostDispatch`].
pub trait Ceiling: sealed::Sealed + Sized {
    /// Makes the token of a callback.
    ///
    /// # Safety
    ///
    /// The current IRQL is at most this ceiling and stays so while the token is borrowable, except
    /// through code that borrows it mutably.
    #[doc(hidden)]
    unsafe fn assert() -> Self;
}

/// Proof that the IRQL is at most `APC_LEVEL`: paged memory and get, set and delete are legal.
pub struct AtMostApc {
    thread_bound: PhantomData<*mut ()>,
}

/// Proof that the IRQL is `PASSIVE_LEVEL`: waiting and file operations are legal too. It serves
/// as an [`AtMostApc`] wherever one is asked for.
pub struct Passive {
    at_most_apc: AtMostApc,
}

/// Proof that the IRQL is at most `DISPATCH_LEVEL`: only nonpaged memory may be touched.
pub struct AtMostDispatch {
    thread_bound: PhantomData<*mut ()>,
}

impl sealed::Sealed for AtMostApc {}
impl sealed::Sealed for AtMostDispatch {}
impl sealed::Sealed for Passive {}

impl Ceiling for Passive {
    unsafe fn assert() -> Self {
        Self {
            // SAFETY: the caller vouches for an even lower IRQL.
            at_most_apc: unsafe { AtMostApc::assert() },
        }
    }
}

impl Deref for Passive {
    type Target = AtMostApc;

    fn deref(&self) -> &AtMostApc {
        &self.at_most_apc
    }
}

impl Ceiling for AtMostApc {
    unsafe fn assert() -> Self {
        Self {
            thread_bound: PhantomData,
        }
    }
}

impl Ceiling for AtMostDispatch {
    unsafe fn assert() -> Self {
        Self {
            thread_bound: PhantomData,
        }
    }
}

/// A ceiling that is `APC_LEVEL` or lower: [`Passive`] or [`AtMostApc`].
#[diagnostic::on_unimplemented(
    message = "this needs an IRQL of at most APC_LEVEL, and under `{Self}` it may be DISPATCH_LEVEL",
    label = "the IRQL may be too high here"
)]
pub trait ApcOrBelow: Ceiling {}

impl ApcOrBelow for Passive {}
impl ApcOrBelow for AtMostApc {}

/// A value that may be used and dropped wherever the IRQL is at most the ceiling `I`.
///
/// Every value may, up to `APC_LEVEL`. Up to `DISPATCH_LEVEL` a value may unless it holds one of
/// these: a handle to a context in paged pool, a [`PushLock`](crate::lock::PushLock) or
/// [`Resource`](crate::lock::Resource), a [`FileName`](crate::name::FileName); or a
/// [`Unique`](crate::context::Unique) whose context holds one, because it can be taken out of there.
///
/// The compiler looks through structures for them by way of [`RefUnwindSafe`], which says nothing
/// about unwinding here: it is an auto trait that stable Rust lets a type opt out of, and that
/// `Box`, `Arc` and the collections have if what they own has it. To implement it by hand for a
/// structure that holds one of these, or to wrap one in an `AssertUnwindSafe`, would defeat the
/// rule. A `Cell`, an `UnsafeCell` of the driver's own and a `dyn Trait`, which do not have it
/// either, are refused without need.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used or dropped where the IRQL may be DISPATCH_LEVEL",
    label = "not usable under `{I}`"
)]
pub trait UsableAt<I: Ceiling> {}

impl<T> UsableAt<Passive> for T {}
impl<T> UsableAt<AtMostApc> for T {}
impl<T: RefUnwindSafe> UsableAt<AtMostDispatch> for T {}

/// What a value that needs a low IRQL lacks. Nothing implements it: it words the message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used or dropped where the IRQL may be DISPATCH_LEVEL",
    label = "needs an IRQL of at most APC_LEVEL"
)]
pub(crate) trait UsableAtDispatch {}
