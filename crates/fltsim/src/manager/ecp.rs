//! Extra create parameters: lists of typed memory that travel with creates.
//!
//! A list that a create was issued with stays its issuer's. What filters add while the create is on
//! its way, a list of their own or parameters in the issuer's, goes with the create.

use crate::io::Operation;
use crate::kernel::scope::{Callback, Scope};
use crate::kernel::{irql, pool};
use crate::machine::Inner;
use crate::verifier::{Leak, Rule};
use fltmgr_sys::*;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The tag of lists.
const LIST_TAG: ULONG = u32::from_le_bytes(*b"FSel");
/// What a list takes; drivers only have its address.
const LIST_SIZE: SIZE_T = 32;

/// What a driver says of a parameter that it wants.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) kind: GUID,
    pub(crate) size: ULONG,
    pub(crate) pool: POOL_TYPE,
    pub(crate) tag: ULONG,
    pub(crate) cleanup: PFSRTL_EXTRA_CREATE_PARAMETER_CLEANUP_CALLBACK,
    pub(crate) from_user: bool,
}

struct Parameter {
    kind: GUID,
    size: ULONG,
    cleanup: PFSRTL_EXTRA_CREATE_PARAMETER_CLEANUP_CALLBACK,
    from_user: bool,
    list: Option<usize>,
    acknowledged: bool,
    /// It was added to the list of a create on its way.
    added: bool,
}

#[derive(Default)]
struct List {
    members: Vec<usize>,
    /// A create carries it.
    travelling: bool,
    /// It came with the create, and is not the create's to free.
    issuers: bool,
}

struct Lookaside {
    size: SIZE_T,
    pool: POOL_TYPE,
    tag: ULONG,
    call: &'static str,
}

#[derive(Default)]
struct State {
    lists: BTreeMap<usize, List>,
    parameters: BTreeMap<usize, Parameter>,
    lookasides: BTreeMap<usize, Lookaside>,
}

/// What a query finds.
pub(crate) struct Found {
    pub(crate) kind: GUID,
    pub(crate) address: usize,
    pub(crate) size: ULONG,
}

/// The lists and parameters of a machine.
#[derive(Default)]
pub(crate) struct Store(Mutex<State>);

impl State {
    fn position(&self, list: usize, kind: &GUID) -> Option<usize> {
        let members = &self.lists.get(&list)?.members;
        members.iter().position(|member| {
            let parameter = self.parameters.get(member);
            parameter.is_some_and(|parameter| parameter.kind == *kind)
        })
    }

    fn found(&self, address: usize) -> Option<Found> {
        let parameter = self.parameters.get(&address)?;
        Some(Found {
            kind: parameter.kind,
            address,
            size: parameter.size,
        })
    }
}

impl Store {
    /// Makes an empty list.
    pub(crate) fn allocate_list(&self, machine: &Inner, call: &'static str) -> Option<usize> {
        let pool = &machine.pool;
        let address = pool.allocate(machine, call, PagedPool, LIST_SIZE, LIST_TAG, true);
        if address == 0 {
            return None;
        }
        self.0.lock().lists.insert(address, List::default());
        Some(address)
    }

    /// Whether there is such a list.
    pub(crate) fn is_list(&self, list: usize) -> bool {
        self.0.lock().lists.contains_key(&list)
    }

    /// Whether there is such a parameter.
    pub(crate) fn is_parameter(&self, address: usize) -> bool {
        self.0.lock().parameters.contains_key(&address)
    }

    /// Frees a list with what is in it.
    pub(crate) fn free_list(&self, machine: &Arc<Inner>, call: &'static str, list: usize) {
        let mut state = self.0.lock();
        let travelling = state.lists.get(&list).is_some_and(|list| list.travelling);
        if travelling {
            drop(state);
            let text = "the list belongs to a create that is on its way";
            machine.verifier.violation(Rule::V24, call, text);
            return;
        }
        let Some(gone) = state.lists.remove(&list) else {
            return;
        };
        drop(state);
        for member in gone.members {
            self.delete(machine, call, member);
        }
        pool::free(Some(machine), call, list, LIST_TAG);
    }

    /// Makes a parameter that is in no list.
    pub(crate) fn allocate(
        &self,
        machine: &Inner,
        call: &'static str,
        request: Request,
    ) -> Option<usize> {
        let size = SIZE_T::from(request.size).max(1);
        let pool = &machine.pool;
        let address = pool.allocate(machine, call, request.pool, size, request.tag, false);
        if address == 0 {
            return None;
        }
        let parameter = Parameter {
            kind: request.kind,
            size: request.size,
            cleanup: request.cleanup,
            from_user: request.from_user,
            list: None,
            acknowledged: false,
            added: false,
        };
        self.0.lock().parameters.insert(address, parameter);
        Some(address)
    }

    /// Frees a parameter that is in no list.
    pub(crate) fn free(&self, machine: &Arc<Inner>, call: &'static str, address: usize) {
        let state = self.0.lock();
        let list = state.parameters.get(&address).map(|found| found.list);
        drop(state);
        match list {
            Some(None) => self.delete(machine, call, address),
            Some(Some(_)) => {
                let text = "the parameter is still in a list";
                machine.verifier.violation(Rule::V24, call, text);
            }
            None => {}
        }
    }

    /// Calls the cleanup callback and frees the memory. No lock is held.
    fn delete(&self, machine: &Arc<Inner>, call: &'static str, address: usize) {
        let Some(gone) = self.0.lock().parameters.remove(&address) else {
            return;
        };
        if let Some(cleanup) = gone.cleanup {
            let _scope = Scope::enter(machine, Callback::EcpCleanup, irql::current());
            // SAFETY: the driver passed this callback for this memory, which is still allocated.
            unsafe { cleanup(address as PVOID, &raw const gone.kind) };
        }
        pool::free(Some(machine), call, address, 0);
    }

    /// Adds a parameter to a list.
    ///
    /// # Errors
    /// `STATUS_INVALID_PARAMETER` if there is one of its type, or it is in a list already.
    pub(crate) fn insert(&self, list: usize, address: usize) -> Result<(), NTSTATUS> {
        let mut state = self.0.lock();
        let parameter = state.parameters.get(&address);
        let kind = parameter
            .filter(|parameter| parameter.list.is_none())
            .map(|parameter| parameter.kind)
            .ok_or(STATUS_INVALID_PARAMETER)?;
        if state.position(list, &kind).is_some() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let target = state.lists.get_mut(&list).ok_or(STATUS_INVALID_PARAMETER)?;
        target.members.push(address);
        let added = target.travelling;
        if let Some(parameter) = state.parameters.get_mut(&address) {
            parameter.list = Some(list);
            parameter.added = added;
        }
        Ok(())
    }

    /// The parameter of a type.
    pub(crate) fn find(&self, list: usize, kind: &GUID) -> Option<Found> {
        let state = self.0.lock();
        let position = state.position(list, kind)?;
        state.found(state.lists.get(&list)?.members[position])
    }

    /// Takes the parameter of a type out of a list.
    pub(crate) fn remove(&self, list: usize, kind: &GUID) -> Option<Found> {
        let mut state = self.0.lock();
        let position = state.position(list, kind)?;
        let address = state.lists.get_mut(&list)?.members.remove(position);
        let parameter = state.parameters.get_mut(&address)?;
        parameter.list = None;
        parameter.added = false;
        state.found(address)
    }

    /// The parameter after another, or the first one.
    pub(crate) fn next(&self, list: usize, current: usize) -> Option<Found> {
        let state = self.0.lock();
        let members = &state.lists.get(&list)?.members;
        let position = if current == 0 {
            0
        } else {
            members.iter().position(|member| *member == current)? + 1
        };
        state.found(*members.get(position)?)
    }

    /// Marks a parameter as seen, or not.
    pub(crate) fn acknowledge(&self, address: usize, seen: bool) {
        if let Some(parameter) = self.0.lock().parameters.get_mut(&address) {
            parameter.acknowledged = seen;
        }
    }

    /// Whether a parameter is marked as seen.
    pub(crate) fn is_acknowledged(&self, address: usize) -> bool {
        let state = self.0.lock();
        let parameter = state.parameters.get(&address);
        parameter.is_some_and(|parameter| parameter.acknowledged)
    }

    /// Whether a parameter comes from user mode.
    pub(crate) fn is_from_user(&self, address: usize) -> bool {
        let state = self.0.lock();
        let parameter = state.parameters.get(&address);
        parameter.is_some_and(|parameter| parameter.from_user)
    }

    /// A create sets out with a list of its issuer's, or gets one on its way. `false` if the list is
    /// none, or another create has it.
    pub(crate) fn attach(&self, list: usize, issuers: bool) -> bool {
        let mut state = self.0.lock();
        let found = state.lists.get_mut(&list);
        let free = found.filter(|list| !list.travelling);
        free.is_some_and(|list| {
            list.travelling = true;
            list.issuers = issuers;
            true
        })
    }

    /// Remembers a lookaside list of a driver's.
    pub(crate) fn add_lookaside(
        &self,
        address: usize,
        size: SIZE_T,
        pool: POOL_TYPE,
        tag: ULONG,
        call: &'static str,
    ) {
        let lookaside = Lookaside {
            size,
            pool,
            tag,
            call,
        };
        self.0.lock().lookasides.insert(address, lookaside);
    }

    /// Forgets a lookaside list; `None` if there is none at the address, and otherwise its pool.
    pub(crate) fn remove_lookaside(&self, address: usize) -> Option<POOL_TYPE> {
        let removed = self.0.lock().lookasides.remove(&address);
        removed.map(|lookaside| lookaside.pool)
    }

    /// The size, pool and tag of a lookaside list.
    pub(crate) fn lookaside(&self, address: usize) -> Option<(SIZE_T, POOL_TYPE, ULONG)> {
        let state = self.0.lock();
        let found = state.lookasides.get(&address)?;
        Some((found.size, found.pool, found.tag))
    }

    /// Says which lookaside lists are left, once no driver is left that could delete them. Lists and
    /// parameters are pool, and are told with that.
    pub(crate) fn report(&self, machine: &Inner, call: &'static str) {
        let left = std::mem::take(&mut self.0.lock().lookasides);
        for (address, lookaside) in left {
            let leak = Leak {
                object: "lookaside list",
                kind: None,
                pool: Some(lookaside.pool),
                size: usize::try_from(lookaside.size).unwrap_or(usize::MAX),
                count: 1,
                address,
                acquired: vec![(lookaside.call, 1)],
                note: "for extra create parameters".to_owned(),
            };
            machine.verifier.leak(Rule::V20, call, leak);
        }
    }
}

/// A create is over: what filters have added to it goes.
pub(crate) fn create_completed(operation: &Operation) {
    const CALL: &str = "IRP_MJ_CREATE";
    let list = operation.ecp_list.swap(0, Ordering::AcqRel);
    if list == 0 {
        return;
    }
    let machine = &operation.machine;
    let store = &machine.ecps;
    let mut state = store.0.lock();
    let Some(found) = state.lists.get_mut(&list) else {
        return;
    };
    found.travelling = false;
    let issuers = found.issuers;
    if !issuers {
        drop(state);
        store.free_list(machine, CALL, list);
        return;
    }
    let members = found.members.clone();
    let is_added = |address: &usize| {
        let parameter = state.parameters.get(address);
        parameter.is_some_and(|parameter| parameter.added)
    };
    let (added, kept): (Vec<_>, Vec<_>) = members.into_iter().partition(is_added);
    if let Some(found) = state.lists.get_mut(&list) {
        found.members = kept;
    }
    drop(state);
    for address in added {
        store.delete(machine, CALL, address);
    }
}

/// A list with parameters that an application passes, for one create.
///
/// # Errors
/// `STATUS_INSUFFICIENT_RESOURCES`, or `STATUS_INVALID_PARAMETER` if a type is there twice.
pub(crate) fn of_user(
    machine: &Arc<Inner>,
    parameters: &[(GUID, Vec<u8>)],
    from_user: bool,
) -> Result<usize, NTSTATUS> {
    const CALL: &str = "the issuer of a create";
    let store = &machine.ecps;
    let list = store.allocate_list(machine, CALL);
    let list = list.ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
    for (kind, data) in parameters {
        let request = Request {
            kind: *kind,
            size: ULONG::try_from(data.len()).unwrap_or(ULONG::MAX),
            pool: PagedPool,
            tag: LIST_TAG,
            cleanup: None,
            from_user,
        };
        let added = store
            .allocate(machine, CALL, request)
            .ok_or(STATUS_INSUFFICIENT_RESOURCES)
            .and_then(|address| {
                let target = address as *mut u8;
                // SAFETY: the memory was allocated for so many bytes, and nobody has it yet.
                unsafe { target.copy_from_nonoverlapping(data.as_ptr(), data.len()) };
                store.insert(list, address).inspect_err(|_| {
                    store.free(machine, CALL, address);
                })
            });
        if let Err(status) = added {
            store.free_list(machine, CALL, list);
            return Err(status);
        }
    }
    Ok(list)
}
