//! Contexts: declaring them, holding them and reaching them.
//!
//! A context is a Rust type that says which kind of object it belongs to and which pool it lives
//! in. The Filter Manager's own count is the reference count; a handle is one pointer to the
//! value itself, with nothing in front of it:
//!
//! | C | here |
//! |---|---|
//! | allocated, not yet set | [`Unique<T>`]: `&mut T` |
//! | set, got or referenced | [`Shared<T>`]: `&T`, `Clone` references, `Drop` releases |
//! | cleanup callback | `Drop` of `T`, exactly once |

mod allocator;
pub mod declaration;
mod error;
mod family;
mod handle;
mod in_place;
pub mod kind;
pub mod pool;
mod related;
mod slot;
mod tag;
mod with_slice;

pub use allocator::{Allocator, PoolAllocator};
pub use declaration::DeclaredBy;
pub use error::{AllocateError, DeleteError, GetError, InsertError, SetError, SetFailure};
pub use family::{Absent, Family, Fixed, Member, MemberRef, OneOf, VariableMember};
pub use handle::{Shared, Unique};
pub use in_place::{ByClosure, InPlace, by_closure};
#[doc(hidden)]
pub use in_place::{MustNotBeUnpin, Place};
pub use related::{ContextTuple, TupleAfter, TupleBefore};
pub(crate) use slot::Obtained;
pub use slot::{Replaced, Slot};
pub use tag::PoolTag;
pub use with_slice::{VariableContext, WithSlice};

/// A structure that a minifilter attaches to an object.
///
/// `Send + Sync`, because every thread that performs I/O on the object reaches it at the same
/// time, and because the cleanup runs on whatever thread releases it last. `'static`, because
/// it lives as long as the object does.
///
/// The value is dropped by the Filter Manager's cleanup callback, at `APC_LEVEL` or below, on any
/// thread, perhaps with file system locks held: `Drop` may release other contexts, but must not
/// wait for I/O and cannot assume that any other context is still attached.
///
/// ```
/// use core::sync::atomic::AtomicU64;
/// use fltctx::{Context, PoolTag, kind, pool};
///
/// /// What was read from and written to a stream, in bytes.
/// struct Traffic {
///     read: AtomicU64,
///     written: AtomicU64,
/// }
///
/// impl Context for Traffic {
///     type Kind = kind::Stream;
///     type Pool = pool::Paged;
///     const TAG: PoolTag = PoolTag::new(*b"FxSt");
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a context",
    label = "implement `fltctx::Context` for it: its kind, its pool and its pool tag"
)]
pub trait Context: Sized + Send + Sync + 'static {
    /// The kind of object that the context is attached to.
    type Kind: kind::Kind;
    /// The pool that it lives in. Volume contexts must be nonpaged, and contexts that hold a
    /// [lock](crate::lock) too.
    type Pool: pool::AllowedFor<Self::Kind> + pool::CanHold<Self>;
    /// Its pool tag.
    const TAG: PoolTag;
    /// What is registered for it; only this crate sets it.
    #[doc(hidden)]
    const ENTRIES: declaration::Entries<Self> = declaration::Entries::fixed();
}
