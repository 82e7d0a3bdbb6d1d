//! Providers of events and of data that drivers have registered. No session is enabled, and nobody
//! asks for data: nobody ever listens.

use crate::machine::Inner;
use fltmgr_sys::GUID;
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::BTreeSet;

/// What a thread works for that has not been told.
const NONE: GUID = GUID {
    Data1: 0,
    Data2: 0,
    Data3: 0,
    Data4: [0; 8],
};

thread_local! {
    /// The activity that this thread works for.
    static ACTIVITY: Cell<GUID> = const { Cell::new(NONE) };
}

/// The providers of a machine.
#[derive(Default)]
pub(crate) struct Providers {
    /// Those of events, by their handles.
    handles: Mutex<BTreeSet<u64>>,
    /// Devices that provide data (WMI).
    devices: Mutex<BTreeSet<usize>>,
}

impl Providers {
    /// A device provides data from now on; `false` if it does already.
    pub(crate) fn add_device(&self, device: usize) -> bool {
        self.devices.lock().insert(device)
    }

    /// Whether a device provides data.
    pub(crate) fn is_device(&self, device: usize) -> bool {
        self.devices.lock().contains(&device)
    }

    /// A device provides nothing any more; `false` if it did not.
    pub(crate) fn forget_device(&self, device: usize) -> bool {
        self.devices.lock().remove(&device)
    }
}

/// Registers a provider, which the driver must unregister, and gives its handle.
pub(crate) fn register(machine: &Inner, call: &'static str) -> u64 {
    // A name and no address: nobody follows it.
    let handle = 0x7B00_0000_0000 + machine.next_id() * 16;
    machine.held.add("event provider", place(handle), call);
    machine.providers.handles.lock().insert(handle);
    handle
}

/// Whether a handle is that of a provider.
pub(crate) fn is_registered(machine: &Inner, handle: u64) -> bool {
    machine.providers.handles.lock().contains(&handle)
}

/// Takes a provider out; `false` if there is none of this handle.
pub(crate) fn unregister(machine: &Inner, handle: u64) -> bool {
    machine.providers.handles.lock().remove(&handle) && machine.held.remove(place(handle))
}

/// What the reports know a provider by.
fn place(handle: u64) -> usize {
    usize::try_from(handle).unwrap_or(0)
}

/// The activity that this thread works for.
pub(crate) fn activity() -> GUID {
    ACTIVITY.get()
}

/// Says which activity this thread works for, and gives the one before.
pub(crate) fn set_activity(activity: GUID) -> GUID {
    ACTIVITY.replace(activity)
}
