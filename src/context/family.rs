//! Several sizes of one kind: up to three fixed ones and one of variable size.
//!
//! An object has one place for each kind, so what is found there must say which of the sizes it
//! is. That is one byte in front of the value; kinds with a single type have none.

use core::{
    marker::{PhantomData, PhantomPinned},
    mem::{offset_of, size_of},
    ptr, slice,
};

use fltmgr_sys as sys;
use sys::FLT_CONTEXT_REGISTRATION;

use super::{
    AllocateError, Context, DeclaredBy, PoolTag, Shared, Unique,
    declaration::{Entries, entry_of, variable_entry_of},
    kind::Kind,
    pool::{AllowedFor, CanHold, Resident},
};
use crate::{Status, irql::ApcOrBelow, object::Filter, registration::Minifilter};

/// Several types of context of one kind, told apart at run time.
///
/// The context itself is [`OneOf<Self>`]: declare that in [`contexts!`](crate::contexts) and name
/// it in slots. The sizes of the fixed members must differ, because the Filter Manager picks the
/// definition by size. A member that is not needed is [`Absent`].
///
/// A member takes one byte more than its type, and what its alignment adds to that.
///
/// DDI: `FLT_CONTEXT_REGISTRATION`, one entry for each member.
pub trait Family: Sized + 'static {
    /// As [`Context::Kind`].
    type Kind: Kind;
    /// As [`Context::Pool`].
    type Pool: AllowedFor<Self::Kind>
        + CanHold<OneOf<Self>>
        + CanHold<Self::Small>
        + CanHold<Self::Medium>
        + CanHold<Self::Large>
        + CanHold<Self::Variable>;
    /// As [`Context::TAG`].
    const TAG: PoolTag;
    /// The first member of fixed size.
    type Small: Member;
    /// The second member of fixed size.
    type Medium: Member;
    /// The third member of fixed size.
    type Large: Member;
    /// The member of variable size.
    type Variable: VariableMember;
}

/// A member of a [`Family`].
pub trait Member: Send + Sync + 'static {
    #[doc(hidden)]
    const PRESENT: Presence<Self> = Presence::new(true);
}

/// Whether a family has the member `M`. Only this crate makes one: a member that said it is not
/// there could be allocated all the same, and be cleaned up as another of its size.
#[doc(hidden)]
pub struct Presence<M: ?Sized> {
    present: bool,
    member: PhantomData<*const M>,
}

impl<M: ?Sized> Presence<M> {
    const fn new(present: bool) -> Self {
        Self {
            present,
            member: PhantomData,
        }
    }
}

/// A member of a [`Family`] with a slice behind it.
pub trait VariableMember: Member {
    /// An element of the slice.
    type Element: Copy + Send + Sync + 'static;
}

/// A member that a family does not have. No value exists.
#[derive(Clone, Copy)]
pub enum Absent {}

impl Member for Absent {
    const PRESENT: Presence<Self> = Presence::new(false);
}

impl VariableMember for Absent {
    type Element = u8;
}

/// A context that is one of a [`Family`]'s members. It exists in context memory only; see
/// [`Shared::member`].
///
/// # Invariants
///
/// `which` is `SMALL`, `MEDIUM`, `LARGE` or `VARIABLE`, and the memory is a `Tagged` of that fixed
/// member, or a `TaggedSlice` of the variable one with as many initialised elements as it says.
#[repr(C)]
pub struct OneOf<Y: Family> {
    which: u8,
    family: PhantomData<fn() -> Y>,
    pinned: PhantomPinned,
}

const SMALL: u8 = 0;
const MEDIUM: u8 = 1;
const LARGE: u8 = 2;
const VARIABLE: u8 = 3;

/// A fixed member in memory.
#[repr(C)]
struct Tagged<M> {
    which: u8,
    value: M,
}

impl<M> Tagged<M> {
    /// # Safety
    ///
    /// `place` is aligned for a `Tagged<M>` and may be written for its size.
    unsafe fn write<Y: Family>(place: *mut OneOf<Y>, which: u8, value: M) {
        // SAFETY: the caller vouches for the place.
        unsafe { place.cast::<Self>().write(Self { which, value }) }
    }
}

/// The variable member in memory.
#[repr(C)]
struct TaggedSlice<M: VariableMember> {
    which: u8,
    value: M,
    length: u16,
    elements: [M::Element; 0],
}

impl<M: VariableMember> TaggedSlice<M> {
    const OFFSET: usize = offset_of!(Self, elements);
}

/// A member of fixed size, to be allocated.
pub enum Fixed<Y: Family> {
    /// The first.
    Small(Y::Small),
    /// The second.
    Medium(Y::Medium),
    /// The third.
    Large(Y::Large),
}

/// The member that a context is.
pub enum MemberRef<'a, Y: Family> {
    /// The first.
    Small(&'a Y::Small),
    /// The second.
    Medium(&'a Y::Medium),
    /// The third.
    Large(&'a Y::Large),
    /// The one of variable size, with its elements.
    Variable(
        &'a Y::Variable,
        &'a [<Y::Variable as VariableMember>::Element],
    ),
}

impl<Y: Family> Context for OneOf<Y> {
    type Kind = Y::Kind;
    type Pool = Y::Pool;
    const TAG: PoolTag = Y::TAG;
    const ENTRIES: Entries<Self> = Entries::new(Self::LIST);
}

impl<Y: Family> OneOf<Y> {
    const ALL: ([FLT_CONTEXT_REGISTRATION; 4], usize) = Self::all();

    const LIST: &'static [FLT_CONTEXT_REGISTRATION] = {
        const fn head(
            all: &[FLT_CONTEXT_REGISTRATION; 4],
            count: usize,
        ) -> &[FLT_CONTEXT_REGISTRATION] {
            all.split_at(count).0
        }
        head(&Self::ALL.0, Self::ALL.1)
    };

    /// The entries of the members that are there, and how many they are.
    const fn all() -> ([FLT_CONTEXT_REGISTRATION; 4], usize) {
        let mut list = [super::declaration::end(); 4];
        let mut count = 0;
        if Y::Small::PRESENT.present {
            list[count] = entry_of::<Self, Tagged<Y::Small>>();
            count += 1;
        }
        if Y::Medium::PRESENT.present {
            list[count] = entry_of::<Self, Tagged<Y::Medium>>();
            count += 1;
        }
        if Y::Large::PRESENT.present {
            list[count] = entry_of::<Self, Tagged<Y::Large>>();
            count += 1;
        }
        if Y::Variable::PRESENT.present {
            list[count] = variable_entry_of::<Self, TaggedSlice<Y::Variable>>();
            count += 1;
        }
        assert!(count > 0, "a family has at least one member");
        (list, count)
    }

    /// The next size from `size` on that no fixed member has: a size that one has would get that
    /// member's definition, and its cleanup.
    fn size_of_no_fixed_member(size: usize) -> usize {
        let taken = |size: &usize| Self::LIST.iter().any(|entry| entry.Size == *size as u64);
        // There are at most three fixed members.
        (size..size + 4).find(|size| !taken(size)).unwrap_or(size)
    }

    /// The member that a context is.
    ///
    /// # Safety
    ///
    /// `this` points to a live context of this family, in its own memory, for `'a`.
    unsafe fn member<'a>(this: *const Self) -> MemberRef<'a, Y> {
        // SAFETY: the caller passes a live context.
        let which = unsafe { (*this).which };
        match which {
            SMALL => {
                // SAFETY: by the invariant the memory is this member's.
                MemberRef::Small(unsafe { &(*this.cast::<Tagged<Y::Small>>()).value })
            }
            MEDIUM => {
                // SAFETY: as above.
                MemberRef::Medium(unsafe { &(*this.cast::<Tagged<Y::Medium>>()).value })
            }
            LARGE => {
                // SAFETY: as above.
                MemberRef::Large(unsafe { &(*this.cast::<Tagged<Y::Large>>()).value })
            }
            _ => {
                let this = this.cast::<TaggedSlice<Y::Variable>>();
                let tail = this
                    .cast::<u8>()
                    .wrapping_add(TaggedSlice::<Y::Variable>::OFFSET);
                // SAFETY: by the invariant the memory is the variable member's.
                let length = usize::from(unsafe { (*this).length });
                // SAFETY: as above.
                let value = unsafe { &(*this).value };
                // SAFETY: as above; that many elements are initialised behind it.
                let elements = unsafe { slice::from_raw_parts(tail.cast(), length) };
                MemberRef::Variable(value, elements)
            }
        }
    }
}

impl<F: Minifilter> Filter<'_, F> {
    /// Allocates a member of fixed size, in exactly its size. The returned handle owns the only
    /// reference.
    ///
    /// # Errors
    ///
    /// As for [`Filter::allocate`].
    ///
    /// DDI: `FltAllocateContext`. IRQL: at most `APC_LEVEL`, proved by the borrow.
    pub fn allocate_member<Y>(
        self,
        value: Fixed<Y>,
    ) -> Result<Unique<OneOf<Y>>, AllocateError<Fixed<Y>>>
    where
        Y: Family,
        OneOf<Y>: DeclaredBy<F>,
    {
        let size = match &value {
            Fixed::Small(_) => size_of::<Tagged<Y::Small>>(),
            Fixed::Medium(_) => size_of::<Tagged<Y::Medium>>(),
            Fixed::Large(_) => size_of::<Tagged<Y::Large>>(),
        };
        let place = match Unique::<OneOf<Y>>::reserve(self, size) {
            Ok(place) => place,
            Err(status) => return Err(AllocateError { status, value }),
        };
        let raw = place.as_ptr();
        match value {
            // SAFETY: the memory is fresh, of this member's size, aligned for any context.
            Fixed::Small(value) => unsafe { Tagged::write(raw, SMALL, value) },
            // SAFETY: as above.
            Fixed::Medium(value) => unsafe { Tagged::write(raw, MEDIUM, value) },
            // SAFETY: as above.
            Fixed::Large(value) => unsafe { Tagged::write(raw, LARGE, value) },
        }
        // SAFETY: the memory is a fresh context of this family, filled above.
        Ok(unsafe { Unique::assume_filled(place) })
    }

    /// Allocates the member of variable size: `value`, and a copy of `elements` behind it. The
    /// returned handle owns the only reference.
    ///
    /// # Errors
    ///
    /// As for [`Filter::allocate_with_slice`].
    ///
    /// DDI: `FltAllocateContext`. IRQL: at most `APC_LEVEL`, proved by the borrow.
    pub fn allocate_variable_member<Y>(
        self,
        value: Y::Variable,
        elements: &[<Y::Variable as VariableMember>::Element],
    ) -> Result<Unique<OneOf<Y>>, AllocateError<Y::Variable>>
    where
        Y: Family,
        OneOf<Y>: DeclaredBy<F>,
    {
        let size = super::with_slice::size_behind::<<Y::Variable as VariableMember>::Element>(
            TaggedSlice::<Y::Variable>::OFFSET,
            size_of::<TaggedSlice<Y::Variable>>(),
            elements.len(),
        );
        let size = size.map(OneOf::<Y>::size_of_no_fixed_member);
        let (Some(size), Ok(length)) = (size, u16::try_from(elements.len())) else {
            return Err(AllocateError {
                status: Status::INVALID_BUFFER_SIZE,
                value,
            });
        };
        let place = match Unique::<OneOf<Y>>::reserve(self, size) {
            Ok(place) => place,
            Err(status) => return Err(AllocateError { status, value }),
        };
        let raw = place.as_ptr().cast::<TaggedSlice<Y::Variable>>();
        let filled = TaggedSlice {
            which: VARIABLE,
            value,
            length,
            elements: [],
        };
        // SAFETY: the memory is fresh and at least as large as the structure.
        unsafe { raw.write(filled) };
        let tail = raw
            .cast::<u8>()
            .wrapping_add(TaggedSlice::<Y::Variable>::OFFSET);
        // SAFETY: the memory has room for the elements, which are `Copy`, and is not the slice.
        unsafe { ptr::copy_nonoverlapping(elements.as_ptr(), tail.cast(), elements.len()) };
        // SAFETY: the memory is a fresh context of this family, filled above.
        Ok(unsafe { Unique::assume_filled(place) })
    }
}

macro_rules! members {
    ($($handle:ident)*) => {$(
        impl<Y: Family> $handle<OneOf<Y>> {
            /// The member that the context is, given proof that paged memory may be touched.
            /// IRQL: at most `APC_LEVEL`.
            #[must_use]
            pub fn member_at<'a, I: ApcOrBelow>(&'a self, irql: &'a I) -> MemberRef<'a, Y> {
                let _ = irql;
                // SAFETY: the handle is to a live context of this family, and keeps it alive.
                unsafe { OneOf::member(self.as_raw().cast()) }
            }
        }

        impl<Y: Family<Pool: Resident>> $handle<OneOf<Y>> {
            /// The member that the context is. IRQL: at most `DISPATCH_LEVEL`.
            #[must_use]
            pub fn member(&self) -> MemberRef<'_, Y> {
                // SAFETY: the handle is to a live context of this family, and keeps it alive;
                // nonpaged memory may be touched at any IRQL.
                unsafe { OneOf::member(self.as_raw().cast()) }
            }
        }
    )*};
}

members!(Unique Shared);
