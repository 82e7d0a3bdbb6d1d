//! Building a value at its final address.
//!
//! Some kernel structures are linked into lists while they exist (an `ERESOURCE`, an event), so
//! they must never move. A context that holds one is built in the memory that the Filter Manager
//! allocated, field by field, with [`in_place!`](crate::in_place), and stays there: a
//! [`Unique`](super::Unique) of a type that is not `Unpin` gives no `&mut`.

/// A recipe for a `T` that is written straight to its final address, and cannot fail.
///
/// # Safety
///
/// [`InPlace::write`] initialises the whole `T`.
#[must_use = "a recipe does nothing until it is allocated"]
pub unsafe trait InPlace<T> {
    /// Writes the value.
    ///
    /// # Safety
    ///
    /// `place` is aligned for a `T`, may be written and holds no value yet; the value does not
    /// move afterwards until it is dropped.
    unsafe fn write(self, place: *mut T);
}

/// A recipe made of a closure.
pub struct ByClosure<C>(C);

/// Makes a recipe of a closure that initialises what its argument points to.
///
/// [`in_place!`](crate::in_place) is the safe way to get one.
///
/// # Safety
///
/// Under the conditions of [`InPlace::write`], the closure initialises the whole `T`.
pub const unsafe fn by_closure<T, C: FnOnce(*mut T)>(write: C) -> ByClosure<C> {
    ByClosure(write)
}

// SAFETY: `by_closure` was promised that the closure initialises the whole `T`.
unsafe impl<T, C: FnOnce(*mut T)> InPlace<T> for ByClosure<C> {
    unsafe fn write(self, place: *mut T) {
        (self.0)(place);
    }
}

/// Where a recipe of [`in_place!`](crate::in_place) writes. The inner rules of that macro, which any
/// code can call, take this and no pointer: only `unsafe` code makes one.
///
/// # Invariants
///
/// What [`InPlace::write`] asks of its argument.
#[doc(hidden)]
pub struct Place<T>(*mut T);

impl<T> Place<T> {
    /// # Safety
    ///
    /// `place` is the argument of [`InPlace::write`].
    pub const unsafe fn new(place: *mut T) -> Self {
        // INVARIANT: the caller's promise.
        Self(place)
    }

    /// The pointer.
    #[must_use]
    pub const fn as_ptr(&self) -> *mut T {
        self.0
    }
}

/// Picks no impl for a type that is `Unpin`: a field that is built in place must not be moved out
/// by way of a hand-written `impl Unpin`, which is safe code.
#[doc(hidden)]
pub trait MustNotBeUnpin<Ambiguous> {
    #[doc(hidden)]
    fn check() {}
}

impl<T: ?Sized> MustNotBeUnpin<()> for T {}
impl<T: ?Sized + Unpin> MustNotBeUnpin<u8> for T {}

/// Makes a recipe for a struct: `in_place!(Type { field: value, other <- recipe })`.
///
/// A field with a colon gets a value; a field with an arrow is itself built in place. Every field
/// must be named, once. A struct with an arrow must not be `Unpin`: what is built in place stays
/// there. It is named by its own name then, not as `Self`, and has no generic parameters: whether
/// it is `Unpin` must be known here.
///
/// ```
/// use fltctx::{context::InPlace, in_place};
///
/// struct Point { x: u32, y: u32 }
///
/// fn recipe(x: u32) -> impl InPlace<Point> {
///     in_place!(Point { x: x, y: 2 })
/// }
/// # let _ = recipe(1);
/// ```
#[macro_export]
macro_rules! in_place {
    ($ty:ident { $($fields:tt)* }) => {{
        // What the driver wrote is evaluated here, outside of every `unsafe` block.
        let write = move |place: *mut $ty| {
            // SAFETY: the closure becomes a recipe below, and is called as one only.
            let place = unsafe { $crate::context::Place::new(place) };
            $crate::in_place!(@write $ty, place, $($fields)*);
            #[allow(unreachable_code, clippy::diverging_sub_expression)]
            if false {
                let _: $ty = $crate::in_place!(@all $ty, [] $($fields)*);
            }
        };
        // SAFETY: `@write` writes every field, once, and nothing leaves it early: `@all` is a
        // struct expression over the same fields that is checked and never run.
        unsafe { $crate::context::by_closure(write) }
    }};

    (@write $ty:ident, $place:ident, $field:ident : $value:expr $(, $($rest:tt)*)?) => {
        {
            // A closure of its own, so that a `return` in it does not skip the other fields.
            #[allow(clippy::redundant_closure_call)]
            let value = (|| $value)();
            $crate::in_place!(@aligned $ty, $field);
            let whole = $crate::context::Place::<$ty>::as_ptr(&$place);
            // SAFETY: the field is part of the place, which may be written and is not
            // initialised yet; it is aligned, because there can be a reference to it.
            unsafe { (&raw mut (*whole).$field).write(value) };
        }
        $($crate::in_place!(@write $ty, $place, $($rest)*);)?
    };
    (@write $ty:ident, $place:ident, $field:ident <- $recipe:expr $(, $($rest:tt)*)?) => {
        {
            // In an item, where no generic parameter is in scope: for some type that a generic one
            // becomes later, there could be an `impl Unpin` that this would not see.
            const _: fn() = || {
                let _ = <$ty as $crate::context::MustNotBeUnpin<_>>::check;
            };
            #[allow(clippy::redundant_closure_call)]
            let recipe = (|| $recipe)();
            $crate::in_place!(@aligned $ty, $field);
            let whole = $crate::context::Place::<$ty>::as_ptr(&$place);
            // SAFETY: as above, and the whole does not move, so neither does the field.
            unsafe { $crate::context::InPlace::write(recipe, &raw mut (*whole).$field) };
        }
        $($crate::in_place!(@write $ty, $place, $($rest)*);)?
    };
    (@write $ty:ident, $place:ident, ) => {};

    // Refused for a field of a packed struct.
    (@aligned $ty:ident, $field:ident) => {
        let _ = |whole: &$ty| {
            let _ = &whole.$field;
        };
    };

    (@all $ty:ident, [$($done:tt)*] $field:ident : $value:expr $(, $($rest:tt)*)?) => {
        $crate::in_place!(@all $ty, [$($done)* $field: ::core::unreachable!(),] $($($rest)*)?)
    };
    (@all $ty:ident, [$($done:tt)*] $field:ident <- $recipe:expr $(, $($rest:tt)*)?) => {
        $crate::in_place!(@all $ty, [$($done)* $field: ::core::unreachable!(),] $($($rest)*)?)
    };
    (@all $ty:ident, [$($done:tt)*]) => {
        $ty { $($done)* }
    };
}
