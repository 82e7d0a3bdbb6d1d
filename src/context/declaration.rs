//! Which contexts a filter declares, and what is registered for each.

use core::{
    marker::PhantomData,
    mem::{align_of, size_of},
};

use fltmgr_sys as sys;
use sys::{FLT_CONTEXT_REGISTRATION, FLT_CONTEXT_TYPE, PFLT_CONTEXT, SIZE_T};

use super::{
    Context,
    allocator::{self, Allocator},
    kind::Kind,
};
use crate::registration::Minifilter;

/// A context type that the filter `F` declares, by [`contexts!`](crate::contexts).
///
/// # Safety
///
/// `F`'s [`Declarations::TABLE`] holds the entry of `Self`, and no other of the same kind: the
/// memory that the Filter Manager returns for that kind is then known to hold a `Self`.
#[diagnostic::on_unimplemented(
    message = "the filter `{F}` does not declare the context `{Self}`",
    label = "not in the `contexts!` of `{F}`",
    note = "add `{Self}` to `contexts! {{ {F}: … }}`; only declared contexts can be allocated"
)]
pub unsafe trait DeclaredBy<F: Minifilter>: Context {}

/// The context declarations of a filter, written by [`contexts!`](crate::contexts).
///
/// # Safety
///
/// The table ends with its end marker, and its callbacks fit what is allocated in their entries.
pub unsafe trait Declarations {
    /// One entry a context, then the end marker.
    const TABLE: &'static [FLT_CONTEXT_REGISTRATION];
}

/// The size in bytes that is registered and allocated for `T`: its own, but at least one, because
/// the Filter Manager allocates nothing of size zero.
#[must_use]
pub const fn registered_size<T>() -> usize {
    let size = size_of::<T>();
    if size == 0 { 1 } else { size }
}

/// What is registered for a context type: one entry, or one for each size.
///
/// Only this crate can make one that is not simply the type's own size.
pub struct Entries<T> {
    list: &'static [FLT_CONTEXT_REGISTRATION],
    typed: PhantomData<fn() -> T>,
}

impl<T: Context> Entries<T> {
    /// One entry of the type's own size.
    #[must_use]
    pub const fn fixed() -> Self {
        struct Single<T>(PhantomData<T>);
        impl<T: Context> Single<T> {
            const LIST: &'static [FLT_CONTEXT_REGISTRATION] = &[entry_of::<T, T>()];
        }
        Self::new(Single::<T>::LIST)
    }

    /// One entry of variable size.
    pub(crate) const fn variable() -> Self {
        struct Single<T>(PhantomData<T>);
        impl<T: Context> Single<T> {
            const LIST: &'static [FLT_CONTEXT_REGISTRATION] = &[variable_entry_of::<T, T>()];
        }
        Self::new(Single::<T>::LIST)
    }

    /// Entries whose cleanup callbacks fit what is allocated in their sizes.
    pub(crate) const fn new(list: &'static [FLT_CONTEXT_REGISTRATION]) -> Self {
        Self {
            list,
            typed: PhantomData,
        }
    }
}

/// The entry of a context `T` whose memory holds a `V`.
pub(crate) const fn entry_of<T: Context, V>() -> FLT_CONTEXT_REGISTRATION {
    assert!(
        align_of::<V>() <= 8,
        "the Filter Manager promises no more than 8-byte alignment: this context asks for more"
    );
    assert!(
        size_of::<V>() <= u16::MAX as usize,
        "a context is at most 65,535 bytes: keep larger data in memory that the context owns"
    );
    FLT_CONTEXT_REGISTRATION {
        ContextType: T::Kind::TYPE,
        Flags: 0,
        ContextCleanupCallback: Some(cleanup::<V>),
        Size: registered_size::<V>() as SIZE_T,
        PoolTag: T::TAG.into_raw(),
        ContextAllocateCallback: None,
        ContextFreeCallback: None,
        Reserved1: core::ptr::null_mut(),
    }
}

/// The entry of a context `T` whose memory starts with a `V` and goes on.
pub(crate) const fn variable_entry_of<T: Context, V>() -> FLT_CONTEXT_REGISTRATION {
    let mut entry = entry_of::<T, V>();
    entry.Size = sys::FLT_VARIABLE_SIZED_CONTEXTS;
    entry
}

/// The end marker of a table.
pub(crate) const fn end() -> FLT_CONTEXT_REGISTRATION {
    FLT_CONTEXT_REGISTRATION {
        ContextType: sys::FLT_CONTEXT_END,
        Flags: 0,
        ContextCleanupCallback: None,
        Size: 0,
        PoolTag: 0,
        ContextAllocateCallback: None,
        ContextFreeCallback: None,
        Reserved1: core::ptr::null_mut(),
    }
}

/// The entries of a context type.
#[doc(hidden)]
#[must_use]
pub const fn list<T: Context>() -> &'static [FLT_CONTEXT_REGISTRATION] {
    T::ENTRIES.list
}

/// The entry of a context type whose memory comes from the allocator `A`.
#[doc(hidden)]
#[must_use]
pub const fn list_in<T: Context, A: Allocator>() -> &'static [FLT_CONTEXT_REGISTRATION] {
    struct Custom<T, A>(PhantomData<(T, A)>);
    impl<T: Context, A: Allocator> Custom<T, A> {
        const LIST: &'static [FLT_CONTEXT_REGISTRATION] = &[{
            let () = A::CHECKED;
            let list = list::<T>();
            assert!(
                list.len() == 1,
                "a context with an allocator of its own must be the only definition of its kind"
            );
            let mut entry = list[0];
            entry.ContextAllocateCallback = Some(allocator::allocate::<A>);
            entry.ContextFreeCallback = Some(allocator::free::<A>);
            entry
        }];
    }
    Custom::<T, A>::LIST
}

/// How many entries a table of `lists` has, with its end marker.
#[doc(hidden)]
#[must_use]
pub const fn length(lists: &[&[FLT_CONTEXT_REGISTRATION]]) -> usize {
    let mut length = 1;
    let mut i = 0;
    while i < lists.len() {
        length += lists[i].len();
        i += 1;
    }
    length
}

/// The table of `lists`, of exactly their length.
///
/// Refuses, at compile time: two context types of one kind (an object has one place for each kind,
/// and what is found there must be known to be of one type), two definitions of one kind with the
/// same size, and section contexts for a Windows that has none.
#[doc(hidden)]
#[must_use]
pub const fn table<F: Minifilter, const N: usize>(
    lists: &[&[FLT_CONTEXT_REGISTRATION]],
) -> [FLT_CONTEXT_REGISTRATION; N] {
    let mut table = [end(); N];
    let mut next = 0;
    let mut kinds: FLT_CONTEXT_TYPE = 0;
    let mut i = 0;
    while i < lists.len() {
        let list = lists[i];
        assert!(
            kinds & list[0].ContextType == 0,
            "a filter declares at most one context type of each kind: put several sizes into one `Family`"
        );
        kinds |= list[0].ContextType;
        let mut j = 0;
        while j < list.len() {
            let mut k = 0;
            while k < j {
                assert!(
                    list[k].Size != list[j].Size,
                    "two definitions of one kind of context have the same size: the Filter Manager tells them apart by size"
                );
                k += 1;
            }
            table[next] = list[j];
            next += 1;
            j += 1;
        }
        i += 1;
    }
    assert!(
        kinds & sys::FLT_SECTION_CONTEXT == 0 || F::WINDOWS.has_sections(),
        "section contexts need Windows 8: raise `Minifilter::WINDOWS`"
    );
    table
}

sys::fltapi! {
    /// Drops the value of a context whose last reference is gone.
    ///
    /// Called by the Filter Manager once for each context, at `APC_LEVEL` or below. Whatever was
    /// allocated was filled in the same breath (`Unique::allocate`), so there is a value.
    unsafe fn cleanup<V: Any>(context: PFLT_CONTEXT, _kind: FLT_CONTEXT_TYPE) {
        // SAFETY: the entry of this callback is that of `V`, so `context` was allocated for a `V`
        // and filled; its last reference is gone, and the Filter Manager calls once.
        unsafe { core::ptr::drop_in_place(context.cast::<V>()) }
    }
}

/// Any type: a bound for callbacks that have none.
trait Any {}

impl<V> Any for V {}

/// Declares the contexts of a filter: `contexts! { Filter: First, Second, … }`.
///
/// Writes the registration table, of exactly the needed size and with its end marker, and for
/// each type the proof that `Filter` declares it. At most one type of each kind.
///
/// `Type => Allocator` takes the memory of that context from an
/// [`Allocator`](crate::context::Allocator) instead of the Filter Manager's.
#[macro_export]
macro_rules! contexts {
    ($filter:ty: $($context:ty $(=> $allocator:ty)?),* $(,)?) => {
        // SAFETY: `table` ends the table with its marker, and the entries are those of the types.
        unsafe impl $crate::context::declaration::Declarations for $filter {
            const TABLE: &'static [$crate::sys::FLT_CONTEXT_REGISTRATION] = {
                const LISTS: &[&[$crate::sys::FLT_CONTEXT_REGISTRATION]] = &[
                    $($crate::contexts!(@list $context $(=> $allocator)?),)*
                ];
                const TABLE: [
                    $crate::sys::FLT_CONTEXT_REGISTRATION;
                    $crate::context::declaration::length(LISTS)
                ] = $crate::context::declaration::table::<
                    $filter,
                    { $crate::context::declaration::length(LISTS) },
                >(LISTS);
                &TABLE
            };
        }

        $(
            // SAFETY: the table above holds the entries of this type, and `table` refuses another
            // type of its kind.
            unsafe impl $crate::context::declaration::DeclaredBy<$filter> for $context {}
        )*
    };
    (@list $context:ty) => {
        $crate::context::declaration::list::<$context>()
    };
    (@list $context:ty => $allocator:ty) => {
        $crate::context::declaration::list_in::<$context, $allocator>()
    };
}
