//! Runs a minifilter over real files and reports what its contexts did.
//!
//! The [`workload`] is the same whichever [`Door`] the driver comes through: linked into the
//! process, or mapped from its image. It never modifies the directory that it is given.

#![forbid(unsafe_code)]

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod child;
pub mod command;
pub mod exports;
pub mod inf;
pub mod interrupt;
pub mod progress;
pub mod report;
pub mod scan;
pub mod workload;

mod door;
mod error;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod image;
mod scratch;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod watch;

pub use door::{Door, InProcess};
pub use error::Error;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use image::Image;
pub use workload::{FileSystem, Options, Run, run};
