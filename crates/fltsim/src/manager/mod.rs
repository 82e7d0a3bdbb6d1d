//! The Filter Manager's own objects, and the table that finds them by address.

pub(crate) mod context;
pub(crate) mod ecp;
pub(crate) mod filter;
pub(crate) mod instance;
pub(crate) mod name;
pub(crate) mod port;
pub(crate) mod reference;
pub(crate) mod registration;
pub(crate) mod statistics;
pub(crate) mod transaction;
pub(crate) mod volume;

pub(crate) use filter::Filter;
pub(crate) use instance::Instance;
pub(crate) use transaction::Transaction;
pub(crate) use volume::Volume;

use crate::io::FileObject;
use crate::kernel::handle::KernelObject;
use crate::kernel::pool::Memory;
use crate::kernel::registry::DriverRecord;

use crate::machine::Inner;
use context::Node;
use dashmap::DashMap;
use port::{ClientPort, ServerPort};
use std::sync::{Arc, LazyLock, Weak};

/// Something that a driver knows by address.
#[derive(Clone)]
pub(crate) enum Object {
    Driver(Arc<DriverRecord>),
    Filter(Arc<Filter>),
    Volume(Arc<Volume>),
    Instance(Arc<Instance>),
    File(Arc<FileObject>),
    Transaction(Arc<Transaction>),
    ServerPort(Arc<ServerPort>),
    ClientPort(Arc<ClientPort>),
    Context(Arc<Node>),
    Memory(Arc<Memory>),
    /// Any other object with handles.
    Kernel(Arc<dyn KernelObject>),
}

impl Object {
    /// What a report calls it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Driver(_) => "driver object",
            Self::Filter(_) => "filter",
            Self::Volume(_) => "volume",
            Self::Instance(_) => "instance",
            Self::File(_) => "file object",
            Self::Transaction(_) => "transaction",
            Self::ServerPort(_) => "server port",
            Self::ClientPort(_) => "client port",
            Self::Context(_) => "context",
            Self::Memory(_) => "pool allocation",
            Self::Kernel(object) => object.name(),
        }
    }

    /// The machine that it belongs to, unless that is gone.
    pub(crate) fn machine(&self) -> Option<Arc<Inner>> {
        match self {
            Self::Driver(driver) => driver.machine.upgrade(),
            Self::Filter(filter) => filter.machine.upgrade(),
            Self::Volume(volume) => volume.machine.upgrade(),
            Self::Instance(instance) => instance.machine().upgrade(),
            Self::File(file) => file.machine().upgrade(),
            Self::Transaction(transaction) => transaction.machine.upgrade(),
            Self::ServerPort(port) => port.machine.upgrade(),
            Self::ClientPort(port) => port.server.machine.upgrade(),
            Self::Context(node) => node.machine.upgrade(),
            Self::Memory(memory) => memory.machine.upgrade(),
            Self::Kernel(object) => object.owner().upgrade(),
        }
    }

    /// The same as a kernel object, if it is one: something with handles and references.
    pub(crate) fn kernel(self) -> Option<Arc<dyn KernelObject>> {
        match self {
            Self::File(file) => Some(file),
            Self::Transaction(transaction) => Some(transaction),
            Self::Kernel(object) => Some(object),
            _ => None,
        }
    }

    fn belongs_to(&self, machine: *const Inner) -> bool {
        let owner: *const Inner = match self {
            Self::Driver(driver) => Weak::as_ptr(&driver.machine),
            Self::Filter(filter) => Weak::as_ptr(&filter.machine),
            Self::Volume(volume) => Weak::as_ptr(&volume.machine),
            Self::Instance(instance) => Weak::as_ptr(instance.machine()),
            Self::File(file) => Weak::as_ptr(file.machine()),
            Self::Transaction(transaction) => Weak::as_ptr(&transaction.machine),
            Self::ServerPort(port) => Weak::as_ptr(&port.machine),
            Self::ClientPort(port) => Weak::as_ptr(&port.server.machine),
            Self::Context(node) => Weak::as_ptr(&node.machine),
            Self::Memory(memory) => Weak::as_ptr(&memory.machine),
            Self::Kernel(object) => Weak::as_ptr(object.owner()),
        };
        owner == machine
    }
}

/// # Invariants
/// An entry's memory is not reused while the entry exists: the entry owns the object. Entries go
/// when their machine is dropped, so a stale pointer is found here and never followed.
static OBJECTS: LazyLock<DashMap<usize, Object>> = LazyLock::new(DashMap::new);

/// Makes an object known by its address.
pub(crate) fn publish(machine: &Inner, address: usize, object: Object) {
    if OBJECTS.insert(address, object).is_none() {
        machine.addresses.lock().push(address);
    }
}

/// Makes an object known that belongs to no machine, until it is forgotten.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) fn publish_for_all(address: usize, object: Object) {
    let replaced = OBJECTS.insert(address, object);
    drop(replaced);
}

/// The object at an address.
pub(crate) fn find(address: usize) -> Option<Object> {
    OBJECTS.get(&address).map(|entry| entry.value().clone())
}

/// Removes one entry, because its memory is about to be given back.
pub(crate) fn forget(address: usize) {
    let removed = OBJECTS.remove(&address);
    drop(removed);
}

/// Removes what is left of a machine.
pub(crate) fn forget_machine(machine: *const Inner, addresses: &[usize]) {
    for address in addresses {
        let removed = OBJECTS.remove_if(address, |_, object| object.belongs_to(machine));
        drop(removed);
    }
}
