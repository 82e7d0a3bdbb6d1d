//! A user-mode Windows Filter Manager with a context verifier.
//!
//! A [`Machine`] is one simulated computer: volumes, minifilters, instances, files, transactions,
//! pools, a work queue and a per-thread IRQL. A driver linked into the process (or an image loaded
//! into it) registers with the very functions that `FLTMGR.SYS` exports; operations on a
//! [`Volume`] then go through its callbacks the way they do on Windows, and the [`verifier`]
//! writes down every rule that the driver breaks.
//!
//! Several machines may live in one process at the same time. Nothing is global except one table
//! from addresses to objects, by which an export finds what a raw pointer stands for.

#![allow(
    clippy::wildcard_imports,
    reason = "fltmgr_sys is one flat name space of C names"
)]
#![allow(
    clippy::module_name_repetitions,
    reason = "`FltXxx` vocabulary: a volume's name is a volume name"
)]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("the simulated kernel is a 64-bit one");

pub mod filesystem;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod image;
pub mod kernel;
pub mod storage;
pub mod verifier;

mod config;
mod exports;
mod io;
mod machine;
mod manager;
mod port;

pub use config::{Bugcheck, Config, Order, Policies, TransactionEnd, WindowsVersion};
pub use exports::{implements, resolve};
pub use io::*;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use kernel::control::DeviceHandle;
pub use kernel::fault::Fault;
pub use kernel::registry::{DriverConfig, Registry, RegistryEdit, RegistryValue};
pub use machine::{
    Driver, DriverEntry, Machine, Outcome, Transaction, Unload, Volume, VolumeConfig,
};
pub use manager::context::{ContextInfo, ContextKind};
pub use manager::instance::InstanceInfo;
pub use manager::statistics::{KindStatistics, Statistics};
pub use port::{Message, Port};
