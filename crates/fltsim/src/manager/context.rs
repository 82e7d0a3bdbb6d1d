//! Contexts: allocation, references, links.
//!
//! All seven kinds go through one implementation. A context is a *node*: a private header followed
//! by the minifilter's portion, which is what the driver's pointer points at. What the Filter
//! Manager knows about a node is kept beside it, in a [`Node`], so that a stale pointer can be told
//! from a good one without following it.
//!
//! Locks, in the order in which they are taken: a shard of `links`, then the state of one node.
//! None of them is held while a callback of a driver runs.

use super::reference::Acquired;
use super::registration::Entry;
use super::{Filter, Instance, Object, find, forget, publish};
use crate::config::{Order, WindowsVersion};
use crate::filesystem::{FileId, StreamId};
use crate::kernel::fault::Fault;
use crate::kernel::pool::{Block, FREED, FRESH, Quarantine};
use crate::kernel::scope::{self, Callback, Scope};
use crate::kernel::{file_lock, irql, lock};
use crate::machine::Inner;
use crate::verifier::{CONTEXT_OVER_RELEASE, CONTEXT_USE_AFTER_FREE, Leak, Rule};
use dashmap::DashMap;
use fltmgr_sys::*;
use parking_lot::Mutex;
use rand::seq::SliceRandom;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// The header in front of the minifilter's portion. With blocks aligned to 16 bytes, as pool is,
/// it makes the portion aligned to 8 and to no more.
const HEADER: usize = 56;

/// The kinds of contexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ContextKind {
    /// One for a filter on a volume.
    Volume,
    /// One for an instance.
    Instance,
    /// One for an instance on a file.
    File,
    /// One for an instance on a stream.
    Stream,
    /// One for an instance on a file object.
    StreamHandle,
    /// One for an instance in a transaction.
    Transaction,
    /// One for an instance on a stream that is being scanned.
    Section,
}

impl ContextKind {
    /// All kinds, in the order of their bits.
    pub const ALL: [Self; 7] = [
        Self::Volume,
        Self::Instance,
        Self::File,
        Self::Stream,
        Self::StreamHandle,
        Self::Transaction,
        Self::Section,
    ];

    /// The `FLT_*_CONTEXT` bit.
    #[must_use]
    pub const fn bit(self) -> FLT_CONTEXT_TYPE {
        1 << self as u8
    }

    /// The kind with this bit; `None` if it is not exactly one valid bit.
    #[must_use]
    pub fn from_bit(bit: FLT_CONTEXT_TYPE) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.bit() == bit)
    }

    /// What it is called in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Instance => "instance",
            Self::File => "file",
            Self::Stream => "stream",
            Self::StreamHandle => "stream handle",
            Self::Transaction => "transaction",
            Self::Section => "section",
        }
    }
}

/// The object that a context is linked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ObjectKey {
    Volume(u64),
    Instance(u64),
    /// Of a volume.
    File(u64, FileId),
    /// Of a volume.
    Stream(u64, StreamId),
    StreamHandle(u64),
    Transaction(u64),
    /// Of a volume.
    Section(u64, StreamId),
}

/// A slot: whose context, on which object. Owners are instances, except that volume contexts
/// belong to filters; identifiers of both come from one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) owner: u64,
    pub(crate) object: ObjectKey,
}

/// What a test can find out about a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextInfo {
    /// Its kind.
    pub kind: ContextKind,
    /// The size that was asked for.
    pub size: usize,
    /// The size that the entry has room for.
    pub capacity: usize,
    /// The pool that it lies in.
    pub pool: POOL_TYPE,
    /// The pool tag of its registration entry.
    pub tag: ULONG,
    /// All references, the link included; 0 once it is freed.
    pub references: u32,
    /// Whether it is linked to an object.
    pub linked: bool,
    /// Whether it has been freed.
    pub freed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Live,
    /// The last reference is gone; the cleanup callback runs or will.
    Cleaning,
    Freed,
}

/// What became of a section context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SectionState {
    NeverCreated,
    Open,
    Closed,
}

struct State {
    phase: Phase,
    references: u32,
    linked: Option<Key>,
    was_linked: bool,
    section: SectionState,
    acquired: Acquired,
    /// The instance that a section context keeps referenced until it is freed.
    pinned: Option<Arc<Instance>>,
    block: Option<Block>,
}

/// What the Filter Manager knows about one context.
pub(crate) struct Node {
    pub(crate) machine: Weak<Inner>,
    pub(crate) filter: Arc<Filter>,
    pub(crate) kind: ContextKind,
    /// The minifilter's portion.
    pub(crate) address: usize,
    /// The whole node; what the allocate callback returned, if there is one.
    base: usize,
    size: usize,
    capacity: usize,
    pool: POOL_TYPE,
    entry: Entry,
    entry_index: usize,
    serial: u64,
    state: Mutex<State>,
}

impl Node {
    fn info(&self) -> ContextInfo {
        let state = self.state.lock();
        ContextInfo {
            kind: self.kind,
            size: self.size,
            capacity: self.capacity,
            pool: self.pool,
            tag: self.entry.tag,
            references: state.references,
            linked: state.linked.is_some(),
            freed: state.phase == Phase::Freed,
        }
    }

    pub(crate) fn is_paged(&self) -> bool {
        self.pool == PagedPool
    }

    pub(crate) fn section_state(&self) -> SectionState {
        self.state.lock().section
    }
}

struct Link {
    owner: u64,
    node: Arc<Node>,
}

/// Freed fixed-size blocks, by filter, registration entry and pool: the last freed goes first.
type Lookaside = HashMap<(u64, usize, bool), Vec<Block>>;

/// The contexts of a machine.
#[derive(Default)]
pub(crate) struct ContextStore {
    /// # Invariants
    /// A node is in the list of an object exactly when its state says that it is linked there;
    /// both change under the shard's lock, except that teardown takes the list away first.
    links: DashMap<ObjectKey, Vec<Link>>,
    live: DashMap<usize, Arc<Node>>,
    lookaside: Mutex<Lookaside>,
    quarantine: Mutex<Quarantine>,
    serial: AtomicU64,
}

/// A set, with everything that the export found out about its arguments.
pub(crate) struct SetRequest<'a> {
    pub(crate) call: &'static str,
    pub(crate) kind: ContextKind,
    /// The filter of the instance; `None` for a volume context, whose owner is its own filter.
    pub(crate) filter: Option<u64>,
    /// The slot, or why there is none. The owner is ignored for a volume context.
    pub(crate) key: Result<Key, NTSTATUS>,
    /// Whether the object is being torn down.
    pub(crate) deleting: &'a dyn Fn() -> bool,
    pub(crate) operation: FLT_SET_CONTEXT_OPERATION,
    pub(crate) context: usize,
    /// Whether the caller takes the existing context.
    pub(crate) wants_old: bool,
}

impl ContextStore {
    /// `FltAllocateContext`.
    pub(crate) fn allocate(
        &self,
        machine: &Arc<Inner>,
        filter: &Arc<Filter>,
        bit: FLT_CONTEXT_TYPE,
        size: SIZE_T,
        pool: POOL_TYPE,
    ) -> Result<usize, NTSTATUS> {
        const CALL: &str = "FltAllocateContext";
        let kind = ContextKind::from_bit(bit).ok_or(STATUS_INVALID_PARAMETER)?;
        if size == 0 {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let size = u16::try_from(size).map_err(|_| STATUS_INVALID_BUFFER_SIZE)?;
        let size = usize::from(size);
        if filter.references.is_deleting() {
            return Err(STATUS_FLT_DELETING_OBJECT);
        }
        let fault = |wanted: fn(&Fault) -> bool| machine.faults.take(wanted).is_some();
        if fault(|fault| matches!(fault, Fault::AllocationNotSupported { .. })) {
            return Err(STATUS_NOT_SUPPORTED);
        }
        if fault(|fault| matches!(fault, Fault::Allocation { .. })) {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        let entry_index = filter.registration.select(kind, size)?;
        let entry = filter.registration.contexts[entry_index];
        let pool = self.check_pool(machine, kind, pool)?;
        let capacity = entry.size.unwrap_or(size);
        let (base, block) = if let Some(allocate) = entry.allocate {
            let level = irql::current().min(APC_LEVEL);
            let scope = Scope::enter(machine, Callback::ContextAllocate, level);
            // SAFETY: the driver registered this callback, and is loaded while its filter exists.
            let base = unsafe { allocate(pool, (HEADER + size) as SIZE_T, bit) };
            drop(scope);
            if base.is_null() {
                return Err(STATUS_INSUFFICIENT_RESOURCES);
            }
            // Whatever lay here before is gone: the driver gave the memory out again.
            (base as usize, None)
        } else {
            let block = self
                .take_block(machine, filter.id, entry_index, &entry, pool, capacity)
                .ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
            (block.address(), Some(block))
        };
        let mut acquired = Acquired::default();
        acquired.add(CALL);
        let node = Arc::new(Node {
            machine: Arc::downgrade(machine),
            filter: Arc::clone(filter),
            kind,
            address: base + HEADER,
            base,
            size,
            capacity,
            pool,
            entry,
            entry_index,
            serial: self.serial.fetch_add(1, Ordering::Relaxed),
            state: Mutex::new(State {
                phase: Phase::Live,
                references: 1,
                linked: None,
                was_linked: false,
                section: SectionState::NeverCreated,
                acquired,
                pinned: None,
                block,
            }),
        });
        machine.counters.allocated(kind);
        filter.contexts.fetch_add(1, Ordering::SeqCst);
        self.live.insert(node.address, Arc::clone(&node));
        let address = node.address;
        publish(machine, address, Object::Context(node));
        Ok(address)
    }

    fn check_pool(
        &self,
        machine: &Inner,
        kind: ContextKind,
        pool: POOL_TYPE,
    ) -> Result<POOL_TYPE, NTSTATUS> {
        const CALL: &str = "FltAllocateContext";
        let _ = self;
        if ![NonPagedPool, PagedPool, NonPagedPoolNx].contains(&pool) {
            let text = format!("pool type {pool:#x} of a {} context", kind.name());
            machine.verifier.violation(Rule::V8, CALL, text);
            return Ok(NonPagedPoolNx);
        }
        if kind == ContextKind::Volume && pool == PagedPool {
            let text = "a volume context must come from nonpaged pool";
            machine.verifier.violation(Rule::V8, CALL, text);
            return match machine.config.policies.paged_volume_context {
                STATUS_SUCCESS => Ok(NonPagedPool),
                status => Err(status),
            };
        }
        Ok(pool)
    }

    fn take_block(
        &self,
        machine: &Inner,
        filter: u64,
        index: usize,
        entry: &Entry,
        pool: POOL_TYPE,
        capacity: usize,
    ) -> Option<Block> {
        if entry.size.is_some() {
            let key = (filter, index, pool == PagedPool);
            let recycled = self.lookaside.lock().get_mut(&key).and_then(Vec::pop);
            if let Some(block) = recycled {
                if machine.config.poison {
                    block.fill(FRESH);
                }
                return Some(block);
            }
        }
        let block = Block::new(HEADER + capacity)?;
        let zeroed = entry.size.is_none() && machine.config.windows >= WindowsVersion::Windows11;
        block.fill(if zeroed { 0 } else { FRESH });
        Some(block)
    }

    /// A context that a driver names by pointer, if it is one that may still be used.
    pub(crate) fn resolve(
        &self,
        call: &'static str,
        argument: &str,
        address: usize,
    ) -> Option<Arc<Node>> {
        let _ = self;
        match find(address) {
            Some(Object::Context(node)) => Some(node),
            Some(object) => {
                if let Some(machine) = object.machine() {
                    let text = format!(
                        "{argument} is {address:#x}: a {}, not a context",
                        object.name()
                    );
                    machine.verifier.violation(Rule::V0, call, text);
                }
                None
            }
            None => {
                if let Some(machine) = scope::machine() {
                    let text = format!("{argument} is {address:#x}: not a context");
                    machine.verifier.violation(Rule::V0, call, text);
                }
                None
            }
        }
    }

    /// Whether a node may be used; says so if not.
    fn usable(machine: &Inner, node: &Node, state: &State, call: &'static str) -> bool {
        let own_cleanup =
            || scope::within(|callback| callback == Callback::ContextCleanup(node.address));
        if state.phase == Phase::Cleaning && own_cleanup() {
            let text = format!(
                "the cleanup callback of a {} context uses the context's references",
                node.kind.name()
            );
            machine.verifier.violation(Rule::V19, call, text);
            return false;
        }
        if state.phase != Phase::Live {
            let parameters = [
                CONTEXT_USE_AFTER_FREE,
                node.address as u64,
                node.base as u64,
                0,
            ];
            let text = format!(
                "{} context {:#x} was used after it was freed",
                node.kind.name(),
                node.address
            );
            machine.verifier.bugcheck(Rule::V2, parameters, call, text);
            return false;
        }
        true
    }

    fn check_paged(machine: &Inner, node: &Node, call: &'static str) {
        if node.is_paged() && irql::current() >= DISPATCH_LEVEL {
            let text = format!(
                "{} context {:#x} from paged pool at DISPATCH_LEVEL",
                node.kind.name(),
                node.address
            );
            machine.verifier.violation(Rule::V7, call, text);
        }
    }

    /// `FltReferenceContext`.
    pub(crate) fn reference(&self, machine: &Inner, call: &'static str, node: &Node) {
        let _ = self;
        Self::check_paged(machine, node, call);
        let mut state = node.state.lock();
        if Self::usable(machine, node, &state, call) {
            state.references += 1;
            state.acquired.add(call);
        }
    }

    /// `FltReleaseContext`.
    pub(crate) fn release(&self, machine: &Arc<Inner>, call: &'static str, node: &Arc<Node>) {
        Self::check_paged(machine, node, call);
        let state = node.state.lock();
        if !Self::usable(machine, node, &state, call) {
            return;
        }
        if state.references == 1 && state.linked.is_some() {
            let parameters = [
                CONTEXT_OVER_RELEASE,
                node.address as u64,
                node.base as u64,
                0,
            ];
            let text = format!(
                "the last reference on {} context {:#x} was released while it is linked",
                node.kind.name(),
                node.address
            );
            machine.verifier.bugcheck(Rule::V1, parameters, call, text);
            return;
        }
        self.drop_reference(machine, node, state);
    }

    /// Takes one reference away and, if it was the last, the context with it.
    fn drop_reference(
        &self,
        machine: &Arc<Inner>,
        node: &Arc<Node>,
        mut state: parking_lot::MutexGuard<'_, State>,
    ) {
        state.references -= 1;
        if state.references > 0 {
            return;
        }
        state.phase = Phase::Cleaning;
        drop(state);
        if irql::current() >= DISPATCH_LEVEL {
            let node = Arc::clone(node);
            // The job must not keep the machine alive: a worker thread would end up joining
            // itself. Nodes of a machine that is gone have no one left to clean up for.
            let machine_later = Arc::downgrade(machine);
            // Until this thread lowers its level nothing is queued, but others may already wait
            // for the queue to settle.
            let announced = machine.work_queue.announce();
            irql::when_lowered(move || {
                let _announced = announced;
                let Some(machine) = machine_later.upgrade() else {
                    return;
                };
                let machine_later = Arc::downgrade(&machine);
                machine.work_queue.push(move || {
                    if let Some(machine) = machine_later.upgrade() {
                        machine.contexts.destroy(&machine, &node);
                    }
                });
            });
        } else {
            self.destroy(machine, node);
        }
    }

    /// Cleans a context up and frees it.
    fn destroy(&self, machine: &Arc<Inner>, node: &Arc<Node>) {
        if let Some(cleanup) = node.entry.cleanup {
            let callback = Callback::ContextCleanup(node.address);
            let _scope = Scope::enter(machine, callback, irql::current());
            // SAFETY: the driver registered this callback, and is loaded while its filter has
            // contexts; the memory is freed only below.
            unsafe { cleanup(node.address as PFLT_CONTEXT, node.kind.bit()) };
        }
        self.free(machine, node, true);
    }

    fn free(&self, machine: &Arc<Inner>, node: &Arc<Node>, call_back: bool) {
        let mut state = node.state.lock();
        state.phase = Phase::Freed;
        state.references = 0;
        let block = state.block.take();
        let pinned = state.pinned.take();
        drop(state);
        self.live.remove(&node.address);
        lock::memory_freed(machine, "", node.address, node.capacity);
        file_lock::memory_freed(machine, "", node.address, node.capacity);
        machine.counters.freed(node.kind);
        match block {
            Some(block) => self.recycle(machine, node, block),
            None => {
                if let (Some(free), true) = (node.entry.free, call_back) {
                    let _scope = Scope::enter(machine, Callback::ContextFree, irql::current());
                    // SAFETY: the driver registered this callback, and is loaded while its filter
                    // has contexts; the pointer is the one that its allocate callback returned.
                    unsafe { free(node.base as PVOID, node.kind.bit()) };
                }
            }
        }
        if let Some(instance) = pinned {
            super::filter::release_instance(&instance);
        }
        node.filter.contexts.fetch_sub(1, Ordering::SeqCst);
        machine.progress.notify();
    }

    fn recycle(&self, machine: &Inner, node: &Node, block: Block) {
        if machine.config.poison {
            block.fill(FREED);
        }
        if node.entry.size.is_some() {
            let key = (node.filter.id, node.entry_index, node.is_paged());
            self.lookaside.lock().entry(key).or_default().push(block);
            return;
        }
        self.quarantine.lock().push(node.address, block, forget);
    }

    /// A set of any kind: the status, and the existing context if the caller gets it.
    pub(crate) fn set(
        &self,
        machine: &Arc<Inner>,
        request: &SetRequest<'_>,
    ) -> (NTSTATUS, Option<usize>) {
        let SetRequest { call, kind, .. } = *request;
        let failed = |status| (status, None);
        let Some(node) = self.resolve(call, "NewContext", request.context) else {
            return failed(STATUS_INVALID_PARAMETER);
        };
        if node.kind != kind {
            let text = format!(
                "a {} context was set where a {} context belongs",
                node.kind.name(),
                kind.name()
            );
            machine.verifier.violation(Rule::V15, call, text);
            return failed(STATUS_INVALID_PARAMETER);
        }
        if request
            .filter
            .is_some_and(|filter| filter != node.filter.id)
        {
            let text = format!(
                "the context belongs to another filter, {}",
                node.filter.name
            );
            machine.verifier.violation(Rule::V15, call, text);
            return failed(STATUS_INVALID_PARAMETER);
        }
        let operations = [
            FLT_SET_CONTEXT_REPLACE_IF_EXISTS,
            FLT_SET_CONTEXT_KEEP_IF_EXISTS,
        ];
        if !operations.contains(&request.operation) {
            return failed(STATUS_INVALID_PARAMETER);
        }
        {
            let state = node.state.lock();
            if !Self::usable(machine, &node, &state, call) {
                return failed(STATUS_INVALID_PARAMETER);
            }
            let again = state.was_linked && !machine.config.policies.set_after_unlink;
            if state.linked.is_some() || again {
                drop(state);
                self.report_linked(machine, &node, call);
                return failed(STATUS_FLT_CONTEXT_ALREADY_LINKED);
            }
        }
        let mut key = match request.key {
            Ok(key) => key,
            Err(status) => return failed(status),
        };
        if kind == ContextKind::Volume {
            key.owner = node.filter.id;
        }
        let fault = machine
            .faults
            .take(|fault| matches!(fault, Fault::Set { kind: wanted, .. } if *wanted == kind));
        if let Some(Fault::Set { status, .. }) = fault {
            return failed(status);
        }
        self.link(machine, request, key, &node)
    }

    fn report_linked(&self, machine: &Inner, node: &Node, call: &'static str) {
        let _ = self;
        if machine.config.strict {
            let text = format!(
                "{} context {:#x} is, or was, linked by an earlier set",
                node.kind.name(),
                node.address
            );
            machine.verifier.violation(Rule::V9, call, text);
        }
    }

    fn link(
        &self,
        machine: &Arc<Inner>,
        request: &SetRequest<'_>,
        key: Key,
        node: &Arc<Node>,
    ) -> (NTSTATUS, Option<usize>) {
        let call = request.call;
        let mut slot = self.links.entry(key.object).or_default();
        // Teardown marks the object before it takes the lists away, so a set that still sees an
        // active object here is seen by teardown.
        if (request.deleting)() {
            return (STATUS_FLT_DELETING_OBJECT, None);
        }
        let existing = slot.iter().position(|link| link.owner == key.owner);
        if let Some(index) = existing
            && request.operation == FLT_SET_CONTEXT_KEEP_IF_EXISTS
        {
            let existing = &slot[index].node;
            if !request.wants_old {
                return (STATUS_FLT_CONTEXT_ALREADY_DEFINED, None);
            }
            let mut state = existing.state.lock();
            state.references += 1;
            state.acquired.add(call);
            return (STATUS_FLT_CONTEXT_ALREADY_DEFINED, Some(existing.address));
        }
        {
            let mut state = node.state.lock();
            // Another thread may have set it since it was checked.
            if state.linked.is_some() || state.phase != Phase::Live {
                return (STATUS_FLT_CONTEXT_ALREADY_LINKED, None);
            }
            state.linked = Some(key);
            state.was_linked = true;
            state.references += 1;
        }
        let new = Link {
            owner: key.owner,
            node: Arc::clone(node),
        };
        let Some(index) = existing else {
            slot.push(new);
            return (STATUS_SUCCESS, None);
        };
        let old = std::mem::replace(&mut slot[index], new).node;
        let mut state = old.state.lock();
        state.linked = None;
        if request.wants_old {
            state.acquired.add(call);
            drop(state);
            return (STATUS_SUCCESS, Some(old.address));
        }
        drop(slot);
        self.drop_reference(machine, &old, state);
        (STATUS_SUCCESS, None)
    }

    /// A get of any kind. The existing context gains a reference.
    pub(crate) fn get(&self, call: &'static str, key: Key) -> Option<usize> {
        let slot = self.links.get(&key.object)?;
        let link = slot.iter().find(|link| link.owner == key.owner)?;
        let mut state = link.node.state.lock();
        state.references += 1;
        state.acquired.add(call);
        Some(link.node.address)
    }

    /// The context in a slot, without a reference.
    pub(crate) fn peek(&self, key: Key) -> Option<Arc<Node>> {
        let slot = self.links.get(&key.object)?;
        let link = slot.iter().find(|link| link.owner == key.owner)?;
        Some(Arc::clone(&link.node))
    }

    /// A delete by object. Without `wants_old` the link's reference is dropped; with it, it is the
    /// caller's. `Err` if the slot is empty.
    pub(crate) fn delete(
        &self,
        machine: &Arc<Inner>,
        call: &'static str,
        key: Key,
        wants_old: bool,
    ) -> Result<usize, NTSTATUS> {
        let mut slot = self.links.get_mut(&key.object).ok_or(STATUS_NOT_FOUND)?;
        let index = slot
            .iter()
            .position(|link| link.owner == key.owner)
            .ok_or(STATUS_NOT_FOUND)?;
        let node = slot.swap_remove(index).node;
        let mut state = node.state.lock();
        state.linked = None;
        if wants_old {
            state.acquired.add(call);
        } else {
            drop(slot);
            self.drop_reference(machine, &node, state);
        }
        Ok(node.address)
    }

    /// `FltDeleteContext`.
    pub(crate) fn delete_by_pointer(
        &self,
        machine: &Arc<Inner>,
        call: &'static str,
        node: &Arc<Node>,
    ) {
        let (linked, was_linked, section, references) = {
            let state = node.state.lock();
            if !Self::usable(machine, node, &state, call) {
                return;
            }
            (
                state.linked,
                state.was_linked,
                state.section,
                state.references,
            )
        };
        let name = node.kind.name();
        let address = node.address;
        if node.kind == ContextKind::Section {
            let rule = if section == SectionState::NeverCreated {
                Rule::V10
            } else {
                Rule::V17
            };
            let text = format!("section context {address:#x} cannot be deleted, only closed");
            machine.verifier.violation(rule, call, text);
            return;
        }
        let Some(key) = linked else {
            if !was_linked && machine.config.strict {
                let text = format!("{name} context {address:#x} was never set");
                machine.verifier.violation(Rule::V10, call, text);
            }
            return;
        };
        if references == 1 {
            let text = format!("the caller has no reference on {name} context {address:#x}");
            machine.verifier.violation(Rule::V10, call, text);
        }
        self.unlink(machine, key, node);
    }

    /// Takes a node out of its slot, if it is still there, and drops the link's reference.
    pub(crate) fn unlink(&self, machine: &Arc<Inner>, key: Key, node: &Arc<Node>) -> bool {
        let Some(mut slot) = self.links.get_mut(&key.object) else {
            return false;
        };
        let Some(index) = slot.iter().position(|link| Arc::ptr_eq(&link.node, node)) else {
            return false;
        };
        slot.swap_remove(index);
        let mut state = node.state.lock();
        state.linked = None;
        drop(slot);
        self.drop_reference(machine, node, state);
        true
    }

    /// Takes everything off an object that has come to its end.
    pub(crate) fn object_gone(&self, machine: &Arc<Inner>, object: ObjectKey) {
        let links = self.links.remove(&object);
        let nodes = links.map(|(_, links)| links).unwrap_or_default();
        self.drop_links(machine, nodes.into_iter().map(|link| link.node).collect());
    }

    /// A stream has lost its structure, and the section contexts on it are overdue.
    pub(crate) fn stream_gone(&self, machine: &Arc<Inner>, volume: u64, stream: StreamId) {
        self.object_gone(machine, ObjectKey::Section(volume, stream));
        self.object_gone(machine, ObjectKey::Stream(volume, stream));
    }

    /// A file has lost its structure.
    pub(crate) fn file_gone(&self, machine: &Arc<Inner>, volume: u64, file: FileId) {
        self.object_gone(machine, ObjectKey::File(volume, file));
    }

    /// A file object is being closed.
    pub(crate) fn stream_handle_gone(&self, machine: &Arc<Inner>, file_object: u64) {
        self.object_gone(machine, ObjectKey::StreamHandle(file_object));
    }

    /// An instance has been torn down and nobody references it.
    pub(crate) fn instance_gone(&self, machine: &Arc<Inner>, instance: &Instance) {
        let transactions = machine.transactions.lock().clone();
        for transaction in transactions {
            transaction.forget_instance(machine, instance);
        }
        let owner = instance.id;
        self.sweep(machine, |link| link.owner == owner);
    }

    /// A filter is unregistering and has no instances any more.
    pub(crate) fn filter_gone(&self, machine: &Arc<Inner>, filter: &Filter) {
        let filter = filter.id;
        self.sweep(machine, |link| link.node.filter.id == filter);
    }

    fn sweep(&self, machine: &Arc<Inner>, wanted: impl Fn(&Link) -> bool) {
        let mut nodes = Vec::new();
        for mut slot in self.links.iter_mut() {
            let mut index = 0;
            while index < slot.len() {
                if wanted(&slot[index]) {
                    nodes.push(slot.swap_remove(index).node);
                } else {
                    index += 1;
                }
            }
        }
        self.links.retain(|_, slot| !slot.is_empty());
        self.drop_links(machine, nodes);
    }

    /// Drops the link references of nodes that have been taken out of their slots.
    fn drop_links(&self, machine: &Arc<Inner>, mut nodes: Vec<Arc<Node>>) {
        nodes.sort_by_key(|node| (node.kind, node.serial));
        match machine.config.policies.order {
            Order::Ascending => {}
            Order::Descending => nodes.reverse(),
            Order::Seeded => nodes.shuffle(&mut *machine.random.lock()),
        }
        for node in nodes {
            let mut state = node.state.lock();
            state.linked = None;
            if state.section == SectionState::Open {
                state.section = SectionState::Closed;
                let text = format!(
                    "section context {:#x} was not closed before its stream or instance went",
                    node.address
                );
                machine.verifier.violation(Rule::V17, "", text);
            }
            self.drop_reference(machine, &node, state);
        }
    }

    /// Remembers that a section context has been through `FltCreateSectionForDataScan`: from then
    /// on it keeps the instance referenced until it is freed.
    pub(crate) fn pin(&self, node: &Node, instance: &Arc<Instance>, call: &'static str) {
        let _ = self;
        let mut state = node.state.lock();
        if state.pinned.is_none() {
            instance.references.acquire_always(call);
            state.pinned = Some(Arc::clone(instance));
        }
    }

    /// Links a section context; the statuses are those of `FltCreateSectionForDataScan`.
    pub(crate) fn open_section(
        &self,
        machine: &Inner,
        call: &'static str,
        key: Key,
        node: &Arc<Node>,
        deleting: &dyn Fn() -> bool,
    ) -> NTSTATUS {
        let mut slot = self.links.entry(key.object).or_default();
        if deleting() {
            return STATUS_FLT_DELETING_OBJECT;
        }
        let occupied = slot.iter().any(|link| link.owner == key.owner);
        let mut state = node.state.lock();
        if !Self::usable(machine, node, &state, call) {
            return STATUS_INVALID_PARAMETER;
        }
        if state.section != SectionState::NeverCreated {
            return STATUS_INVALID_PARAMETER_3;
        }
        if occupied {
            return STATUS_FLT_CONTEXT_ALREADY_DEFINED;
        }
        state.section = SectionState::Open;
        state.linked = Some(key);
        state.was_linked = true;
        state.references += 1;
        drop(state);
        slot.push(Link {
            owner: key.owner,
            node: Arc::clone(node),
        });
        STATUS_SUCCESS
    }

    /// Unlinks a section context; the statuses are those of `FltCloseSectionForDataScan`.
    pub(crate) fn close_section(
        &self,
        machine: &Arc<Inner>,
        call: &'static str,
        node: &Arc<Node>,
    ) -> NTSTATUS {
        let mut state = node.state.lock();
        if !Self::usable(machine, node, &state, call) {
            return STATUS_INVALID_PARAMETER;
        }
        match state.section {
            SectionState::NeverCreated => STATUS_INVALID_PARAMETER,
            SectionState::Closed => {
                drop(state);
                let text = format!("section context {:#x} was closed twice", node.address);
                machine.verifier.violation(Rule::V17, call, text);
                STATUS_NOT_FOUND
            }
            SectionState::Open => {
                state.section = SectionState::Closed;
                let key = state.linked;
                drop(state);
                if let Some(key) = key {
                    self.unlink(machine, key, node);
                }
                STATUS_SUCCESS
            }
        }
    }

    /// The open section contexts on a stream, with their instances' identifiers, for conflicts.
    pub(crate) fn sections_on(&self, volume: u64, stream: StreamId) -> Vec<(u64, Arc<Node>)> {
        let slot = self.links.get(&ObjectKey::Section(volume, stream));
        let nodes = slot.map(|slot| {
            let links = slot.iter();
            links
                .map(|link| (link.owner, Arc::clone(&link.node)))
                .collect()
        });
        nodes.unwrap_or_default()
    }

    /// What is known about a context by address.
    pub(crate) fn info(&self, address: usize) -> Option<ContextInfo> {
        let _ = self;
        match find(address) {
            Some(Object::Context(node)) => Some(node.info()),
            _ => None,
        }
    }

    /// What a filter that should have none still holds.
    pub(crate) fn leaks(&self, filter: &Filter) -> Vec<(Rule, Leak)> {
        let mut nodes = self.nodes_of(filter);
        nodes.sort_by_key(|node| node.serial);
        let mut leaks = Vec::new();
        for node in nodes {
            let state = node.state.lock();
            if state.phase != Phase::Live {
                continue;
            }
            let through_old = state
                .acquired
                .list()
                .iter()
                .any(|(call, _)| call.starts_with("FltSet") || call.starts_with("FltDelete"));
            let (rule, what) = if !state.was_linked {
                (Rule::V4, "never set")
            } else if through_old {
                (Rule::V5, "returned as an old context")
            } else {
                (Rule::V3, "no longer linked")
            };
            let plural = if state.references == 1 { "" } else { "s" };
            let leak = Leak {
                object: "context",
                kind: Some(node.kind),
                pool: Some(node.pool),
                size: node.size,
                count: u64::from(state.references),
                address: node.address,
                acquired: state.acquired.list(),
                note: format!("{} reference{plural}, {what}", state.references),
            };
            leaks.push((rule, leak));
        }
        leaks
    }

    /// Frees what a filter leaked, without calling it back.
    pub(crate) fn zap(&self, machine: &Arc<Inner>, filter: &Filter) {
        for node in self.nodes_of(filter) {
            let live = {
                let mut state = node.state.lock();
                let live = state.phase == Phase::Live;
                if live {
                    state.phase = Phase::Cleaning;
                }
                live
            };
            if live {
                self.free(machine, &node, false);
            }
        }
    }

    fn nodes_of(&self, filter: &Filter) -> Vec<Arc<Node>> {
        self.live
            .iter()
            .filter(|node| node.filter.id == filter.id)
            .map(|node| Arc::clone(node.value()))
            .collect()
    }
}
