//! Raw bindings to the Windows Filter Manager (`fltKernel.h`).
//!
//! `wdk-sys` binds the kernel but not the Filter Manager; this crate adds it in the same style:
//! C names, C types, one module per subject and one flat name space. Differences from other
//! bindings, each of them deliberate:
//!
//! * filters, instances, volumes and ports are distinct opaque types, not integers;
//! * `BOOLEAN` is a byte, because C code may return any non-zero value;
//! * every size, alignment, offset and constant is asserted at compile time (`layout.rs`), the
//!   pointer-aligned members of [`FLT_PARAMETERS`] included;
//! * on Windows the base types *are* those of `wdk-sys`, and functions are imported by name
//!   without an import library; on any other host they are symbols of a linked emulator.
//!
//! Safe code does not belong here: see the `fltctx` crate.

#![no_std]
#![allow(
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    clippy::upper_case_acronyms,
    clippy::pub_underscore_fields,
    reason = "names are those of the C headers"
)]
#![allow(
    missing_docs,
    reason = "constants and fields mean what the C headers say; functions and types are documented"
)]
#![allow(
    clippy::wildcard_imports,
    reason = "the modules split one flat C name space"
)]

mod abi;
mod base;
mod callback_data;
mod context;
mod data_scan;
mod ecp;
mod file;
mod file_lock;
mod information;
mod instance;
mod kernel;
mod layout;
mod name;
mod object;
mod opaque;
mod operation;
mod parameters;
mod pool;
mod port;
mod push_lock;
mod queue;
mod registration;
mod status;
mod transaction;
mod volume;
mod work_item;

pub use base::*;
pub use callback_data::*;
pub use context::*;
pub use data_scan::*;
pub use ecp::*;
pub use file::*;
pub use file_lock::*;
pub use information::*;
pub use instance::*;
pub use kernel::*;
pub use name::*;
pub use object::*;
pub use opaque::*;
pub use operation::*;
pub use parameters::*;
pub use pool::*;
pub use port::*;
pub use push_lock::*;
pub use queue::*;
pub use registration::*;
pub use status::*;
pub use transaction::*;
pub use volume::*;
pub use work_item::*;
