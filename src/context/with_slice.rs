//! Contexts of variable size: a header and a slice behind it, in one allocation.

use core::{
    fmt,
    marker::PhantomPinned,
    mem::{align_of, offset_of, size_of},
    ops::Deref,
    ptr, slice,
};

use super::{
    AllocateError, Context, DeclaredBy, PoolTag, Unique,
    declaration::Entries,
    kind::Kind,
    pool::{AllowedFor, CanHold, Resident},
};
use crate::{Status, irql::ApcOrBelow, object::Filter, registration::Minifilter};

/// The header of a context of variable size, e.g. one that holds a file name inline.
///
/// The context itself is [`WithSlice<Self>`]: declare that in [`contexts!`](crate::contexts) and
/// name it in slots.
///
/// ```
/// use fltctx::{PoolTag, context::VariableContext, kind, pool};
///
/// /// A file, with its name behind it.
/// struct Named { opens: core::sync::atomic::AtomicU64 }
///
/// impl VariableContext for Named {
///     type Kind = kind::File;
///     type Pool = pool::NonPaged;
///     const TAG: PoolTag = PoolTag::new(*b"FxNm");
///     type Element = u16;
/// }
/// ```
pub trait VariableContext: Sized + Send + Sync + 'static {
    /// As [`Context::Kind`].
    type Kind: Kind;
    /// As [`Context::Pool`].
    type Pool: AllowedFor<Self::Kind> + CanHold<WithSlice<Self>>;
    /// As [`Context::TAG`].
    const TAG: PoolTag;
    /// An element of the slice.
    type Element: Copy + Send + Sync + 'static;
}

/// A header and a slice of as many elements as were given when it was allocated.
///
/// It exists in context memory only: there is no such value to move, and the length never
/// changes. A handle to it dereferences to the header, and its `slice` or `slice_at` is the
/// elements. Made by [`Filter::allocate_with_slice`], at most 65,535 bytes and 65,535 elements.
///
/// DDI: `FLT_CONTEXT_REGISTRATION` with `FLT_VARIABLE_SIZED_CONTEXTS`.
///
/// # Invariants
///
/// `length` elements behind this structure, from `elements` on, are initialised and part of the
/// same allocation.
#[repr(C)]
pub struct WithSlice<H: VariableContext> {
    header: H,
    length: u16,
    elements: [H::Element; 0],
    /// Keeps the structure from being swapped with another of a different length.
    pinned: PhantomPinned,
}

/// Bytes that a structure of `size` bytes takes with `length` elements from `offset` on, if a
/// context can be that large and the length be counted.
pub(super) fn size_behind<E>(offset: usize, size: usize, length: usize) -> Option<usize> {
    let most = usize::from(u16::MAX);
    let total = size_of::<E>()
        .checked_mul(length)?
        .checked_add(offset)?
        .max(size);
    (length <= most && total <= most).then_some(total)
}

impl<H: VariableContext> WithSlice<H> {
    /// Bytes from the start of the context to its first element.
    pub(crate) const OFFSET: usize = offset_of!(Self, elements);

    /// Bytes that a context with `length` elements takes, if that can be allocated at all.
    pub(crate) fn size_with(length: usize) -> Option<usize> {
        size_behind::<H::Element>(Self::OFFSET, size_of::<Self>(), length)
    }

    /// Writes a header and elements.
    ///
    /// # Safety
    ///
    /// `place` is aligned, may be written for `size_with(elements.len())` bytes and holds nothing
    /// that needs a drop; `elements` has at most 65,535 elements.
    pub(crate) unsafe fn write(place: *mut Self, header: H, elements: &[H::Element]) {
        let length = u16::try_from(elements.len()).unwrap_or(0);
        let filled = Self {
            header,
            length,
            elements: [],
            pinned: PhantomPinned,
        };
        // SAFETY: the place has room for the structure and what follows it.
        unsafe { place.write(filled) };
        let tail = place
            .cast::<u8>()
            .wrapping_add(Self::OFFSET)
            .cast::<H::Element>();
        // SAFETY: the place has room for the elements, which are `Copy`, and is not the slice.
        unsafe { ptr::copy_nonoverlapping(elements.as_ptr(), tail, usize::from(length)) };
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &H {
        &self.header
    }

    /// Pointer to the elements, with provenance over the whole allocation.
    fn tail(this: *const Self) -> *const H::Element {
        this.cast::<u8>().wrapping_add(Self::OFFSET).cast()
    }

    /// The elements.
    ///
    /// # Safety
    ///
    /// `this` points to a context in its own memory, as the invariant says, for `'a`.
    unsafe fn elements<'a>(this: *const Self) -> &'a [H::Element] {
        // SAFETY: the caller passes a live context.
        let length = unsafe { (*this).length };
        // SAFETY: by the invariant that many elements are there.
        unsafe { slice::from_raw_parts(Self::tail(this), usize::from(length)) }
    }
}

impl<H: VariableContext> Context for WithSlice<H> {
    type Kind = H::Kind;
    type Pool = H::Pool;
    const TAG: PoolTag = H::TAG;
    const ENTRIES: Entries<Self> = {
        assert!(
            align_of::<H::Element>() <= 8,
            "the Filter Manager promises no more than 8-byte alignment: these elements ask for more"
        );
        Entries::variable()
    };
}

impl<H: VariableContext> Deref for WithSlice<H> {
    type Target = H;

    fn deref(&self) -> &H {
        &self.header
    }
}

impl<H: VariableContext> fmt::Debug for WithSlice<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithSlice")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl<F: Minifilter> Filter<'_, F> {
    /// Allocates a context of variable size: `header`, and a copy of `elements` behind it. One
    /// allocation of exactly the size that they need. The returned handle owns the only reference.
    ///
    /// # Errors
    ///
    /// The header comes back with the status: `STATUS_INVALID_BUFFER_SIZE` when header and
    /// elements take more than 65,535 bytes, and those of [`Filter::allocate`].
    ///
    /// DDI: `FltAllocateContext`, with an entry of `FLT_VARIABLE_SIZED_CONTEXTS`. IRQL: at most
    /// `APC_LEVEL`, proved by the borrow.
    pub fn allocate_with_slice<H>(
        self,
        header: H,
        elements: &[H::Element],
    ) -> Result<Unique<WithSlice<H>>, AllocateError<H>>
    where
        H: VariableContext,
        WithSlice<H>: DeclaredBy<F>,
    {
        let Some(size) = WithSlice::<H>::size_with(elements.len()) else {
            return Err(AllocateError {
                status: Status::INVALID_BUFFER_SIZE,
                value: header,
            });
        };
        match Unique::<WithSlice<H>>::reserve(self, size) {
            Ok(place) => {
                // SAFETY: `reserve` returned fresh memory of `size` bytes, and the size check
                // bounds the number of elements (a zero-sized element is bounded here too).
                unsafe { WithSlice::write(place.as_ptr(), header, elements) };
                // SAFETY: the memory is a fresh context of this type, filled by the line above.
                Ok(unsafe { Unique::assume_filled(place) })
            }
            Err(status) => Err(AllocateError {
                status,
                value: header,
            }),
        }
    }
}

macro_rules! slices {
    ($($handle:ident)*) => {$(
        impl<H: VariableContext> super::$handle<WithSlice<H>> {
            /// The elements, given proof that paged memory may be touched. IRQL: at most
            /// `APC_LEVEL`.
            #[must_use]
            pub fn slice_at<'a, I: ApcOrBelow>(&'a self, irql: &'a I) -> &'a [H::Element] {
                let _ = irql;
                // SAFETY: the handle is to a live context of this type, and keeps it alive.
                unsafe { WithSlice::<H>::elements(self.as_raw().cast()) }
            }
        }

        impl<H: VariableContext<Pool: Resident>> super::$handle<WithSlice<H>> {
            /// The elements. IRQL: at most `DISPATCH_LEVEL`.
            #[must_use]
            pub fn slice(&self) -> &[H::Element] {
                // SAFETY: the handle is to a live context of this type, and keeps it alive;
                // nonpaged memory may be touched at any IRQL.
                unsafe { WithSlice::<H>::elements(self.as_raw().cast()) }
            }
        }
    )*};
}

slices!(Unique Shared);
