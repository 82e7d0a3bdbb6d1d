//! Typed contexts for Windows file-system minifilter drivers.
//!
//! The Filter Manager lets a minifilter attach its own structures, *contexts*, to volumes,
//! instances, files, streams, stream handles and transactions. In C the driver registers each
//! kind, allocates from the right pool, balances every reference on every path and cleans up on
//! whatever thread the last release happens. Here a context is a Rust type: the compiler keeps
//! the rules about pools, kinds, IRQL and operations, and [`Drop`] keeps the counts.
//!
//! # A minifilter
//!
//! ```
//! use core::sync::atomic::{AtomicU64, Ordering};
//! use fltctx::prelude::*;
//!
//! /// How often a stream was opened.
//! struct Opens(AtomicU64);
//!
//! impl Context for Opens {
//!     type Kind = kind::Stream;
//!     type Pool = pool::NonPaged;
//!     const TAG: PoolTag = PoolTag::new(*b"ExOp");
//! }
//!
//! struct Example;
//!
//! contexts! { Example: Opens }
//!
//! impl Minifilter for Example {
//!     fn load(_driver: &DriverEntry) -> Result<Self, Status> {
//!         Ok(Self)
//!     }
//! }
//!
//! impl PreOperation<Create> for Example {
//!     type Completion = ();
//!
//!     fn pre(&self, _create: &mut Pre<'_, Self, Create>) -> PreResult<()> {
//!         PreResult::callback(())
//!     }
//! }
//!
//! impl PostOperation<Create> for Example {
//!     fn post(&self, create: &mut Post<'_, Self, Create>, (): ()) {
//!         let Some(file) = create.opened() else { return };
//!         if let Ok(opens) = file.slot::<Opens>().get_or_insert_with(|| Opens(AtomicU64::new(0))) {
//!             opens.0.fetch_add(1, Ordering::Relaxed);
//!         }
//!     }
//! }
//!
//! driver_entry!(Example, operations![Create]);
//! # fn main() {}
//! ```
//!
//! # Rooms
//!
//! * [`context`]: declaring contexts, the handles [`Unique`](context::Unique) and
//!   [`Shared`](context::Shared), and the [`Slot`](context::Slot) that they go in;
//! * [`registration`]: the [`Minifilter`](registration::Minifilter) itself, its instances and its
//!   transactions;
//! * [`operation`]: what happens before and after an operation;
//! * [`object`]: volumes, instances, file objects and transactions, borrowed for a callback;
//! * [`irql`]: the interrupt request level as a proof;
//! * [`lock`]: locks that contexts can hold, and [`PoolBox`], a value in nonpaged pool.

#![no_std]

pub mod context;
pub mod debug;
pub mod irql;
pub mod lock;
pub mod name;
pub mod object;
pub mod operation;
mod pool_box;
pub mod prelude;
pub mod registration;
mod status;

pub use context::{Context, PoolTag, kind, pool};
#[doc(hidden)]
pub use fltmgr_sys as sys;
pub use pool_box::{PoolBox, PoolBoxError};
#[doc(hidden)]
pub use registration::entry;
pub use status::Status;

/// The examples of these documents are compiled, and the second is run.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    mod readme {}

    #[doc = include_str!("../docs/fltsim.md")]
    mod testing {}
}
