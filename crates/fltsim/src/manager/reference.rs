//! Rundown references on filters, instances and volumes.

use crate::verifier::Leak;
use fltmgr_sys::{NTSTATUS, STATUS_FLT_DELETING_OBJECT};
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Which calls took how many references. Few different calls do, so a list is enough.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acquired(Vec<(&'static str, u64)>);

impl Acquired {
    pub(crate) fn add(&mut self, call: &'static str) {
        match self.0.iter_mut().find(|(name, _)| *name == call) {
            Some((_, count)) => *count += 1,
            None => self.0.push((call, 1)),
        }
    }

    pub(crate) fn list(&self) -> Vec<(&'static str, u64)> {
        self.0.clone()
    }
}

#[derive(Debug, Default)]
struct State {
    count: u64,
    deleting: bool,
    acquired: Acquired,
}

/// Counts the references that keep an object from being freed.
#[derive(Debug, Default)]
pub(crate) struct Rundown(Mutex<State>);

impl Rundown {
    /// Takes a reference for a driver; fails once the object is being torn down.
    pub(crate) fn acquire(&self, call: &'static str) -> Result<(), NTSTATUS> {
        let mut state = self.0.lock();
        if state.deleting {
            return Err(STATUS_FLT_DELETING_OBJECT);
        }
        state.count += 1;
        state.acquired.add(call);
        Ok(())
    }

    /// Takes a reference for the machine itself, which may do so at any time.
    pub(crate) fn acquire_always(&self, call: &'static str) {
        let mut state = self.0.lock();
        state.count += 1;
        state.acquired.add(call);
    }

    /// Gives a reference back and returns how many are left; `None` if there was none.
    pub(crate) fn release(&self) -> Option<u64> {
        let mut state = self.0.lock();
        state.count = state.count.checked_sub(1)?;
        Some(state.count)
    }

    /// From now on [`Rundown::acquire`] fails.
    pub(crate) fn begin(&self) {
        self.0.lock().deleting = true;
    }

    pub(crate) fn is_deleting(&self) -> bool {
        self.0.lock().deleting
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.lock().count
    }

    pub(crate) fn acquired(&self) -> Vec<(&'static str, u64)> {
        self.0.lock().acquired.list()
    }

    /// Forgets all references, after they were reported as leaked.
    pub(crate) fn zap(&self) {
        self.0.lock().count = 0;
    }
}

/// Objects that a filter has and must give back before it unloads, though unregistering does not
/// wait for them: file name information, for one.
#[derive(Debug, Default)]
pub(crate) struct Held(Mutex<BTreeMap<usize, Leak>>);

impl Held {
    /// The filter got one more reference on an object.
    pub(crate) fn add(&self, object: &'static str, address: usize, call: &'static str) {
        let mut held = self.0.lock();
        let leak = held.entry(address).or_insert_with(|| Leak {
            object,
            kind: None,
            pool: None,
            size: 0,
            count: 0,
            address,
            acquired: Vec::new(),
            note: String::new(),
        });
        leak.count += 1;
        match leak.acquired.iter_mut().find(|(name, _)| *name == call) {
            Some((_, count)) => *count += 1,
            None => leak.acquired.push((call, 1)),
        }
    }

    /// It gave one back; `false` if it had none.
    pub(crate) fn remove(&self, address: usize) -> bool {
        let mut held = self.0.lock();
        let Some(leak) = held.get_mut(&address) else {
            return false;
        };
        leak.count -= 1;
        if leak.count == 0 {
            held.remove(&address);
        }
        true
    }

    /// How many references there are on an object.
    pub(crate) fn count(&self, address: usize) -> u64 {
        self.0.lock().get(&address).map_or(0, |leak| leak.count)
    }

    /// Everything that was not given back.
    pub(crate) fn take(&self) -> Vec<Leak> {
        std::mem::take(&mut *self.0.lock()).into_values().collect()
    }
}
