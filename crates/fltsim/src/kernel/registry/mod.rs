//! The registry of a machine: keys, values, and what drivers have in them.
//!
//! [`hive`] is the tree. [`driver`] puts the service keys into it, [`instances`] reads the instance
//! definitions as the Filter Manager does, [`host`] is how a test looks at it, and [`key`] is what
//! the handles of drivers stand for. [`operation`] is what is done with them, which [`filter`] tells
//! drivers of with the structures of [`notice`].

mod driver;
pub(crate) mod filter;
mod hive;
mod host;
mod instances;
mod key;
pub(crate) mod notice;
pub(crate) mod operation;
mod value;

pub use driver::{DriverConfig, RegistryEdit};
pub use host::Registry;
pub use value::RegistryValue;

pub(crate) use driver::DriverRecord;
pub(crate) use hive::{Description, Hive, STATUS_OBJECT_PATH_SYNTAX_BAD, below_root};
pub(crate) use instances::{InstanceDefinition, definitions};
pub(crate) use key::Key;

/// Where the service keys are.
pub(crate) const SERVICES: &str = r"\Registry\Machine\System\CurrentControlSet\Services";
