//! Which pool a context lives in, and which kinds may live there.

use core::panic::UnwindSafe;

use fltmgr_sys as sys;

use super::kind::{self, Kind};

mod sealed {
    pub trait Sealed {}
}

/// A pool: [`NonPaged`] or [`Paged`].
///
/// DDI: `POOL_TYPE`.
pub trait Pool: sealed::Sealed + 'static {
    /// The `POOL_TYPE` that is asked of `FltAllocateContext`.
    const TYPE: sys::POOL_TYPE;
}

/// Memory that is always resident and never executable (`NonPagedPoolNx`; before Windows 8, where
/// that does not exist, `NonPagedPool`). A context here can be read, referenced and released up to
/// `DISPATCH_LEVEL`.
pub enum NonPaged {}

/// Memory that may be paged out. A context here can be read, referenced and released up to
/// `APC_LEVEL` only.
pub enum Paged {}

impl sealed::Sealed for NonPaged {}
impl sealed::Sealed for Paged {}

impl Pool for NonPaged {
    const TYPE: sys::POOL_TYPE = sys::NonPagedPoolNx;
}

impl Pool for Paged {
    const TYPE: sys::POOL_TYPE = sys::PagedPool;
}

/// A pool that contexts of kind `K` may live in: any pool, except that volume contexts must be
/// nonpaged.
#[diagnostic::on_unimplemented(
    message = "contexts of kind `{K}` cannot live in the pool `{Self}`",
    label = "volume contexts must come from nonpaged pool",
    note = "write `type Pool = pool::NonPaged;`"
)]
pub trait AllowedFor<K: Kind>: Pool {}

impl<K: Kind> AllowedFor<K> for NonPaged {}
impl AllowedFor<kind::Instance> for Paged {}
impl AllowedFor<kind::File> for Paged {}
impl AllowedFor<kind::Stream> for Paged {}
impl AllowedFor<kind::StreamHandle> for Paged {}
impl AllowedFor<kind::Transaction> for Paged {}
impl AllowedFor<kind::Section> for Paged {}

/// A pool whose memory may be touched at any IRQL up to `DISPATCH_LEVEL`.
#[diagnostic::on_unimplemented(
    message = "a context in paged pool cannot be touched where the IRQL may be DISPATCH_LEVEL",
    label = "this context lives in `{Self}`",
    note = "reach it with `Shared::at`, which takes proof that the IRQL is at most APC_LEVEL, or declare it in `pool::NonPaged`"
)]
pub trait Resident: Pool {}

impl Resident for NonPaged {}

/// A pool that a context of type `T` may live in, as far as its contents go: a context that holds
/// a [lock](crate::lock) must be nonpaged, because the kernel touches locks at `DISPATCH_LEVEL`.
///
/// The compiler looks through structures for locks by way of [`UnwindSafe`], which says nothing
/// about unwinding here: it is an auto trait that stable Rust lets a type opt out of, and that all
/// plain data have. So it also refuses, without need, a paged context with a `dyn Trait` or a
/// `&'static mut` in it. To implement `UnwindSafe` by hand for a structure that holds a lock, or to
/// wrap the lock in an `AssertUnwindSafe`, would defeat the rule.
#[diagnostic::on_unimplemented(
    message = "the context `{T}` cannot live in the pool `{Self}`",
    label = "what it holds must stay in nonpaged pool"
)]
pub trait CanHold<T: ?Sized>: Pool {}

impl<T: ?Sized> CanHold<T> for NonPaged {}
impl<T: UnwindSafe + ?Sized> CanHold<T> for Paged {}

/// What a lock lacks. Nothing implements it: it words the message.
#[diagnostic::on_unimplemented(
    message = "a lock must live in nonpaged memory, and this context lives in paged pool",
    label = "the context holds a `{Self}`",
    note = "write `type Pool = pool::NonPaged;`, or keep the lock in a `PoolBox`, which is nonpaged"
)]
pub(crate) trait Pageable {}
