//! Pool memory: blocks with a pattern in them, and the allocations that a driver makes itself.

use crate::kernel::fault::Fault;
use crate::kernel::{file_lock, irql, lock};
use crate::machine::Inner;
use crate::manager::{Object, find, forget, publish};
use crate::verifier::{Leak, Rule, Severity, irql_table};
use fltmgr_sys::*;
use parking_lot::Mutex;
use std::alloc::Layout;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};

/// What fresh memory is filled with.
pub(crate) const FRESH: u8 = 0xD5;
/// What freed memory is filled with.
pub(crate) const FREED: u8 = 0xF5;
/// How much freed memory is kept back, so that stale pointers to it are recognised.
const QUARANTINE: usize = 32 << 20;
/// `BAD_POOL_CALLER`.
const BAD_POOL_CALLER: u32 = 0xC2;
/// First parameter of `BAD_POOL_CALLER`: the memory was freed before, or never allocated.
const NOT_ALLOCATED: u64 = 7;
/// First parameter of `BAD_POOL_CALLER`: the tag is not the one of the allocation.
const WRONG_TAG: u64 = 0xA;

/// Memory that is aligned as pool is, to 16 bytes.
///
/// # Invariants
/// `base` was allocated with `layout` and belongs to this value alone; drivers that know its
/// address use it as the kernel lets them.
pub(crate) struct Block {
    base: *mut u8,
    layout: Layout,
}

// SAFETY: a block is owned memory; its owner only fills it and gives it back.
unsafe impl Send for Block {}
// SAFETY: a shared reference only gives the address away.
unsafe impl Sync for Block {}

impl Block {
    pub(crate) fn new(bytes: usize) -> Option<Self> {
        let layout = Layout::from_size_align(bytes.max(16), 16).ok()?;
        // SAFETY: the layout has at least 16 bytes.
        let base = unsafe { std::alloc::alloc(layout) };
        (!base.is_null()).then_some(Self { base, layout })
    }

    pub(crate) fn address(&self) -> usize {
        self.base as usize
    }

    pub(crate) fn size(&self) -> usize {
        self.layout.size()
    }

    pub(crate) fn fill(&self, byte: u8) {
        // SAFETY: by the invariant the block has this many bytes.
        unsafe { self.base.write_bytes(byte, self.layout.size()) };
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: by the invariant, allocated with this layout and not yet given back.
        unsafe { std::alloc::dealloc(self.base, self.layout) };
    }
}

/// Freed blocks that are not used again for a while.
#[derive(Default)]
pub(crate) struct Quarantine {
    blocks: VecDeque<(usize, Block)>,
    bytes: usize,
}

impl Quarantine {
    /// Keeps one more block back; `release` hears the names of those whose time is over.
    pub(crate) fn push(&mut self, name: usize, block: Block, release: impl Fn(usize)) {
        self.bytes += block.size();
        self.blocks.push_back((name, block));
        while self.bytes > QUARANTINE {
            let Some((name, oldest)) = self.blocks.pop_front() else {
                return;
            };
            self.bytes -= oldest.size();
            release(name);
        }
    }
}

/// One allocation of a driver.
pub(crate) struct Memory {
    pub(crate) machine: Weak<Inner>,
    address: usize,
    size: usize,
    tag: ULONG,
    pool: POOL_TYPE,
    call: &'static str,
    block: Mutex<Option<Block>>,
}

/// The allocations of the drivers of a machine.
#[derive(Default)]
pub(crate) struct Pool {
    live: Mutex<BTreeMap<usize, Arc<Memory>>>,
    quarantine: Mutex<Quarantine>,
}

fn tag_text(tag: ULONG) -> String {
    let characters = tag.to_le_bytes().map(char::from);
    characters
        .iter()
        .filter(|character| **character != '\0')
        .collect()
}

impl Pool {
    /// Allocates; 0 if there is no memory.
    pub(crate) fn allocate(
        &self,
        machine: &Inner,
        call: &'static str,
        pool: POOL_TYPE,
        size: SIZE_T,
        tag: ULONG,
        zeroed: bool,
    ) -> usize {
        check_irql(machine, call, pool, "allocated");
        let exhausted = machine
            .faults
            .take(|fault| matches!(fault, Fault::Pool { .. }))
            .is_some();
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size == 0 || exhausted {
            return 0;
        }
        let Some(block) = Block::new(size) else {
            return 0;
        };
        block.fill(if zeroed { 0 } else { FRESH });
        let address = block.address();
        let memory = Arc::new(Memory {
            machine: machine
                .this()
                .map(|this| Arc::downgrade(&this))
                .unwrap_or_default(),
            address,
            size,
            tag,
            pool,
            call,
            block: Mutex::new(Some(block)),
        });
        self.live.lock().insert(address, Arc::clone(&memory));
        publish(machine, address, Object::Memory(memory));
        address
    }

    /// The kind of pool that an address lies in, and how much of the allocation is left from there
    /// on.
    pub(crate) fn around(&self, address: usize) -> Option<(POOL_TYPE, usize)> {
        let live = self.live.lock();
        let (_, memory) = live.range(..=address).next_back()?;
        let left = memory.size.checked_sub(address - memory.address)?;
        (left > 0).then_some((memory.pool, left))
    }

    /// Says what was not freed, once.
    pub(crate) fn report_leaks(&self, machine: &Inner, call: &'static str) {
        let leaked = std::mem::take(&mut *self.live.lock());
        for memory in leaked.into_values() {
            let leak = Leak {
                object: "pool allocation",
                kind: None,
                pool: Some(memory.pool),
                size: memory.size,
                count: 1,
                address: memory.address,
                acquired: vec![(memory.call, 1)],
                note: format!("tag '{}'", tag_text(memory.tag)),
            };
            machine.verifier.leak(Rule::V20, call, leak);
        }
    }
}

/// Says that paged pool is dealt with too high, unless that the call itself is too high was said.
fn check_irql(machine: &Inner, call: &'static str, pool: POOL_TYPE, what: &str) {
    let level = irql::current();
    if pool == PagedPool && level >= DISPATCH_LEVEL && irql_table::limit(call) >= level {
        let text = format!("paged pool cannot be {what} at DISPATCH_LEVEL");
        machine.verifier.violation(Rule::V6, call, text);
    }
}

/// Frees an allocation. A tag of 0 fits every allocation.
pub(crate) fn free(here: Option<&Inner>, call: &'static str, address: usize, tag: ULONG) {
    let bad = |machine: Option<&Inner>, parameters, text: String| match machine {
        Some(machine) => {
            let code = BAD_POOL_CALLER;
            let severity = Severity::Bugcheck { code, parameters };
            machine.verifier.report(Rule::V0, severity, call, text);
        }
        None => eprintln!("fltsim: {call}: {text}"),
    };
    let address_parameter = address as u64;
    let Some(Object::Memory(memory)) = find(address) else {
        let text = format!("{address:#x} is not allocated pool");
        bad(here, [NOT_ALLOCATED, 0, 0, address_parameter], text);
        return;
    };
    let owner = memory.machine.upgrade();
    let Some(machine) = owner.as_deref().or(here) else {
        return;
    };
    if tag != 0 && tag != memory.tag {
        let text = format!(
            "{address:#x} has tag '{}' and was freed with tag '{}'",
            tag_text(memory.tag),
            tag_text(tag)
        );
        let parameters = [WRONG_TAG, address_parameter, memory.tag.into(), tag.into()];
        bad(Some(machine), parameters, text);
        return;
    }
    let Some(block) = memory.block.lock().take() else {
        let text = format!("{address:#x} was freed twice");
        bad(
            Some(machine),
            [NOT_ALLOCATED, 0, memory.tag.into(), address_parameter],
            text,
        );
        return;
    };
    check_irql(machine, call, memory.pool, "freed");
    if let Some(machine) = owner.as_ref() {
        lock::memory_freed(machine, call, address, memory.size);
        file_lock::memory_freed(machine, call, address, memory.size);
    }
    block.fill(FREED);
    machine.pool.live.lock().remove(&address);
    machine.pool.quarantine.lock().push(address, block, forget);
}
