//! The two handles: [`Unique`] before a context is set, [`Shared`] afterwards.

use core::{
    fmt,
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
    panic::{RefUnwindSafe, UnwindSafe},
    ptr::NonNull,
};

use fltmgr_sys as sys;
use sys::PFLT_CONTEXT;

use super::{
    Context, DeclaredBy,
    declaration::registered_size,
    error::AllocateError,
    in_place::InPlace,
    kind::{Attach, Kind as _},
    pool::Resident,
};
use crate::{Status, irql::ApcOrBelow, object::Filter, registration::Minifilter};

/// One counted reference to a context that holds a value.
///
/// # Invariants
///
/// The pointer is the Filter Manager's pointer to a context that was allocated for `T` by a
/// filter that declared `T`; the memory holds a valid `T`; and this value owns exactly one of
/// the context's references. The cleanup callback drops the `T` when the last reference goes.
struct Reference<T: Context> {
    context: NonNull<T>,
    owns: PhantomData<T>,
}

/// A reference is a pointer: moving it moves nothing that it points to.
impl<T: Context> Unpin for Reference<T> {}

impl<T: Context> Reference<T> {
    /// A reference that nobody else owns, to a filled context: what the invariant asks for is the
    /// caller's `INVARIANT` to argue.
    const fn new(context: NonNull<T>) -> Self {
        Self {
            context,
            owns: PhantomData,
        }
    }

    fn as_raw(&self) -> PFLT_CONTEXT {
        self.context.as_ptr().cast()
    }

    fn value(&self) -> &T {
        // SAFETY: by the invariant the pointer is valid and holds a `T`, and the reference that
        // `self` owns keeps it so for the life of the borrow.
        unsafe { self.context.as_ref() }
    }
}

impl<T: Context> Drop for Reference<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant this value owns one reference, and it is not used again. The
        // types keep a paged context from being dropped above `APC_LEVEL`.
        unsafe { sys::FltReleaseContext(self.as_raw()) }
    }
}

/// A context that has been allocated and filled but not yet set: the only reference to it, so
/// `&mut T` is to be had.
///
/// Dropping it releases the context, which drops the value. It is legal as a completion payload:
/// allocate in pre-create, set in post-create.
///
/// IRQL: a context in paged pool is read and dropped at `APC_LEVEL` or below, one in nonpaged pool
/// at `DISPATCH_LEVEL` or below. The handle itself may be moved and kept anywhere.
///
/// DDI: `FltAllocateContext`, `FltReleaseContext`.
pub struct Unique<T: Context> {
    reference: Reference<T>,
}

// SAFETY: a `Unique` is the only way to its value, so sending it sends the `T`, which is `Send`;
// any thread may release a context.
unsafe impl<T: Context> Send for Unique<T> {}
// SAFETY: `&Unique<T>` gives `&T`, and `T` is `Sync`.
unsafe impl<T: Context> Sync for Unique<T> {}

// A handle is a pointer: which pool its context lives in says nothing about where the handle may
// be kept, and where the handle may be touched is up to that pool. What the value holds can be
// taken out of a `Unique`, and then be dropped there.
impl<T: Context> UnwindSafe for Unique<T> {}
impl<T: Context<Pool: Resident> + RefUnwindSafe> RefUnwindSafe for Unique<T> {}

impl<T: Context> Unique<T> {
    /// Allocates a context of `size` bytes and leaves it unfilled: one `FltAllocateContext`, one
    /// reference.
    ///
    /// The caller must fill it at once and call [`Unique::assume_filled`]; nothing may happen in
    /// between, because a context that reaches cleanup is taken to hold a value.
    pub(crate) fn reserve<F>(filter: Filter<'_, F>, size: usize) -> Result<NonNull<T>, Status>
    where
        F: Minifilter,
        T: DeclaredBy<F>,
    {
        let mut raw: PFLT_CONTEXT = sys::NULL_CONTEXT;
        // SAFETY: `filter` borrows a proof that the IRQL is at most `APC_LEVEL`, its pointer is
        // that of the registered filter, and `raw` may be written.
        let status = Status::from_raw(unsafe {
            sys::FltAllocateContext(
                filter.as_raw(),
                T::Kind::TYPE,
                size as sys::SIZE_T,
                F::WINDOWS.pool_type::<T::Pool>(),
                &raw mut raw,
            )
        });
        match NonNull::new(raw.cast::<T>()) {
            Some(place) if status.is_success() => Ok(place),
            _ if status.is_success() => Err(Status::INSUFFICIENT_RESOURCES),
            _ => Err(status),
        }
    }

    /// Makes a handle of a reserved context that has been filled.
    ///
    /// # Safety
    ///
    /// `place` comes from [`Unique::reserve`], once, and holds a `T`.
    pub(crate) unsafe fn assume_filled(place: NonNull<T>) -> Self {
        // INVARIANT: allocated for `T` with one reference, which becomes this handle's, and
        // filled, as the caller promises.
        Self {
            reference: Reference::new(place),
        }
    }

    /// Allocates a context and moves `value` into it. See [`Filter::allocate`].
    pub(crate) fn allocate<F>(filter: Filter<'_, F>, value: T) -> Result<Self, AllocateError<T>>
    where
        F: Minifilter,
        T: DeclaredBy<F>,
    {
        match Self::reserve(filter, registered_size::<T>()) {
            Ok(place) => {
                // SAFETY: the memory is fresh, at least `size_of::<T>()` bytes and aligned to the
                // 8 bytes that `declaration` lets `T` ask for.
                unsafe { place.write(value) };
                // SAFETY: reserved and filled just now.
                Ok(unsafe { Self::assume_filled(place) })
            }
            Err(status) => Err(AllocateError { status, value }),
        }
    }

    /// Allocates a context and builds its value in place. See [`Filter::allocate_in_place`].
    pub(crate) fn allocate_in_place<F>(
        filter: Filter<'_, F>,
        recipe: impl InPlace<T>,
    ) -> Result<Self, Status>
    where
        F: Minifilter,
        T: DeclaredBy<F>,
    {
        let place = Self::reserve(filter, registered_size::<T>())?;
        // SAFETY: the memory is fresh, large enough and aligned, as in `allocate`; a context never
        // moves, and a handle gives no `&mut` to a type that is not `Unpin`.
        unsafe { recipe.write(place.as_ptr()) };
        // SAFETY: reserved and filled just now.
        Ok(unsafe { Self::assume_filled(place) })
    }

    /// The raw context, for logs and C code; the reference stays with `self`.
    #[must_use]
    pub fn as_raw(&self) -> PFLT_CONTEXT {
        self.reference.as_raw()
    }

    /// The value, given proof that paged memory may be touched.
    #[must_use]
    pub fn at<'a, I: ApcOrBelow>(&'a self, irql: &'a I) -> &'a T {
        let _ = irql;
        self.reference.value()
    }

    /// The value, given proof that paged memory may be touched. Only for values that may move.
    #[must_use]
    pub fn at_mut<'a, I: ApcOrBelow>(&'a mut self, irql: &'a I) -> &'a mut T
    where
        T: Unpin,
    {
        let _ = irql;
        // SAFETY: by the invariant the pointer holds a `T`, and an unset context has no other
        // reference, so the exclusive borrow of `self` is one of the value.
        unsafe { self.reference.context.as_mut() }
    }

    /// The same reference as a shared handle.
    pub(crate) fn into_shared(self) -> Shared<T> {
        // INVARIANT: the reference moves over as it is.
        Shared {
            reference: self.reference,
        }
    }

    /// Gives up the handle and keeps its reference, as a raw context. See [`Shared::into_raw`].
    /// IRQL: any.
    #[must_use]
    pub fn into_raw(self) -> PFLT_CONTEXT {
        ManuallyDrop::new(self).as_raw()
    }

    /// Takes a handle back.
    ///
    /// # Safety
    ///
    /// `raw` comes from [`Unique::into_raw`] of the same `T`, once, and has not been set since.
    #[must_use]
    pub unsafe fn from_raw(raw: NonNull<T>) -> Self {
        // INVARIANT: that of the handle that became `raw`.
        Self {
            reference: Reference::new(raw),
        }
    }
}

impl<T: Context<Pool: Resident>> Deref for Unique<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.reference.value()
    }
}

impl<T: Context<Pool: Resident> + Unpin> DerefMut for Unique<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `at_mut`; nonpaged memory may be touched at any IRQL.
        unsafe { self.reference.context.as_mut() }
    }
}

/// A context that is, or has been, attached to an object: one of its references, and `&T`.
///
/// `Clone` adds a reference (`FltReferenceContext`), `Drop` releases it (`FltReleaseContext`), so
/// the Filter Manager's count is the count of handles. The value stays readable as long as any
/// handle lives, even when the context has been deleted or its object is gone.
///
/// A handle is one pointer, and so is `Option<Shared<T>>`.
///
/// IRQL: a context in nonpaged pool is read, cloned and dropped up to `DISPATCH_LEVEL`, and
/// dereferences freely; one in paged pool up to `APC_LEVEL`, and is reached by [`Shared::at`].
/// When the last reference goes at `DISPATCH_LEVEL`, the Filter Manager defers the drop of the
/// value to a worker thread at `APC_LEVEL` or below.
///
/// DDI: `FltReferenceContext`, `FltReleaseContext`.
pub struct Shared<T: Context> {
    reference: Reference<T>,
}

// SAFETY: handles on many threads give `&T`, and the last one, on any thread, drops the `T`;
// `Context` requires both `Send` and `Sync` of it. The count is the Filter Manager's, and atomic.
unsafe impl<T: Context> Send for Shared<T> {}
// SAFETY: as above; `&Shared<T>` gives `&T` and more handles.
unsafe impl<T: Context> Sync for Shared<T> {}

// As for `Unique`, except that there is no `&mut`.
impl<T: Context> UnwindSafe for Shared<T> {}
impl<T: Context<Pool: Resident>> RefUnwindSafe for Shared<T> {}

impl<T: Context> Shared<T> {
    /// Takes over a reference that the Filter Manager handed out.
    ///
    /// # Safety
    ///
    /// `raw` is NULL, or a filled context of type `T` with a reference that nobody else owns.
    pub(crate) unsafe fn from_returned(raw: PFLT_CONTEXT) -> Option<Self> {
        let context = NonNull::new(raw.cast::<T>())?;
        // INVARIANT: the caller passes a filled `T` and one reference.
        Some(Self {
            reference: Reference::new(context),
        })
    }

    /// The value, given proof that paged memory may be touched.
    ///
    /// The borrow ends where the IRQL is raised, so a paged value cannot be reached under a spin
    /// lock.
    #[must_use]
    pub fn at<'a, I: ApcOrBelow>(&'a self, irql: &'a I) -> &'a T {
        let _ = irql;
        self.reference.value()
    }

    /// Another handle to the same context, given proof that paged memory may be touched: for a
    /// nonpaged context that is just `clone`.
    ///
    /// DDI: `FltReferenceContext`. IRQL: at most `APC_LEVEL`.
    #[must_use]
    pub fn clone_at<I: ApcOrBelow>(&self, irql: &I) -> Self {
        let _ = irql;
        // SAFETY: the token proves the IRQL.
        unsafe { self.add_reference() }
    }

    /// Adds a reference, for another handle.
    ///
    /// # Safety
    ///
    /// The IRQL allows touching the context's pool.
    unsafe fn add_reference(&self) -> Self {
        // SAFETY: `self` owns a reference, so the context is alive; the caller vouches for the
        // IRQL.
        unsafe { sys::FltReferenceContext(self.as_raw()) };
        // INVARIANT: the same filled context, with the reference just added.
        Self {
            reference: Reference::new(self.reference.context),
        }
    }

    /// Whether two handles are to the same context.
    #[must_use]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.reference.context == other.reference.context
    }

    /// The raw context, for logs and C code; the reference stays with `self`.
    #[must_use]
    pub fn as_raw(&self) -> PFLT_CONTEXT {
        self.reference.as_raw()
    }

    /// Detaches the context from its object, if it is still attached; this handle and all others
    /// stay good. Afterwards the object has no context of this kind and can be given another.
    ///
    /// DDI: `FltDeleteContext`. IRQL: at most `APC_LEVEL`. It cannot fail.
    pub fn delete<I: ApcOrBelow>(&self, irql: &I)
    where
        T::Kind: Attach,
    {
        let _ = irql;
        // SAFETY: the token proves the IRQL, and `self` owns a reference to a context that was
        // set, because only a set turns a `Unique` into a `Shared`.
        unsafe { sys::FltDeleteContext(self.as_raw()) }
    }

    /// Gives up the handle and keeps its reference, as a raw context, for C code or a raw
    /// completion context. [`Shared::from_raw`] takes it back; losing it leaks the context and
    /// blocks the unload of the filter. IRQL: any.
    #[must_use]
    pub fn into_raw(self) -> PFLT_CONTEXT {
        ManuallyDrop::new(self).as_raw()
    }

    /// Takes a handle back.
    ///
    /// # Safety
    ///
    /// `raw` comes from [`Shared::into_raw`] of the same `T`, once.
    #[must_use]
    pub unsafe fn from_raw(raw: NonNull<T>) -> Self {
        // INVARIANT: that of the handle that became `raw`.
        Self {
            reference: Reference::new(raw),
        }
    }
}

impl<T: Context<Pool: Resident>> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.reference.value()
    }
}

impl<T: Context<Pool: Resident>> Clone for Shared<T> {
    /// Adds a reference. A paged handle, whose count is paged too, has [`Shared::clone_at`].
    fn clone(&self) -> Self {
        // SAFETY: a nonpaged context can be referenced at any IRQL that the types admit.
        unsafe { self.add_reference() }
    }
}

// The value may be paged, so what is printed is which context it is.
impl<T: Context> fmt::Debug for Unique<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unique({:p})", self.as_raw())
    }
}

impl<T: Context> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({:p})", self.as_raw())
    }
}
