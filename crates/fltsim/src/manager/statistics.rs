//! How often everything happened.

use super::context::ContextKind;
use crate::verifier::irql_table;
use dashmap::DashMap;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// The contexts of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindStatistics {
    /// Allocated since the machine started.
    pub allocated: u64,
    /// Freed since the machine started.
    pub freed: u64,
    /// The most that existed at one time.
    pub peak: u64,
    /// How many exist now.
    pub live: u64,
}

/// Counters of a machine at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Contexts by kind; every kind is present.
    pub contexts: BTreeMap<ContextKind, KindStatistics>,
    /// Operations that entered a volume's filter stack, by name.
    pub operations: BTreeMap<&'static str, u64>,
    /// Calls of exported functions, by name.
    pub calls: BTreeMap<&'static str, u64>,
}

/// The counters themselves.
pub(crate) struct Counters {
    contexts: Mutex<[KindStatistics; ContextKind::ALL.len()]>,
    operations: DashMap<&'static str, u64>,
    calls: Vec<AtomicU64>,
}

impl Default for Counters {
    fn default() -> Self {
        let calls = irql_table::EXPORTS.iter().map(|_| AtomicU64::new(0));
        Self {
            contexts: Mutex::default(),
            operations: DashMap::new(),
            calls: calls.collect(),
        }
    }
}

impl Counters {
    pub(crate) fn call(&self, index: usize) {
        self.calls[index].fetch_add(1, Ordering::Relaxed);
    }

    /// How often an export was called; 0 for a name that is none.
    pub(crate) fn calls(&self, name: &str) -> u64 {
        irql_table::position(name).map_or(0, |index| self.calls[index].load(Ordering::Relaxed))
    }

    /// Counts an operation, by the name of its major function code.
    pub(crate) fn operation(&self, name: &'static str) {
        *self.operations.entry(name).or_default() += 1;
    }

    pub(crate) fn allocated(&self, kind: ContextKind) {
        let mut contexts = self.contexts.lock();
        let row = &mut contexts[kind as usize];
        row.allocated += 1;
        row.live += 1;
        row.peak = row.peak.max(row.live);
    }

    pub(crate) fn freed(&self, kind: ContextKind) {
        let mut contexts = self.contexts.lock();
        let row = &mut contexts[kind as usize];
        row.freed += 1;
        row.live -= 1;
    }

    pub(crate) fn snapshot(&self) -> Statistics {
        let contexts = *self.contexts.lock();
        Statistics {
            contexts: ContextKind::ALL
                .into_iter()
                .map(|kind| (kind, contexts[kind as usize]))
                .collect(),
            operations: self
                .operations
                .iter()
                .map(|entry| (*entry.key(), *entry.value()))
                .collect(),
            calls: irql_table::EXPORTS
                .iter()
                .zip(&self.calls)
                .map(|((name, _), count)| (*name, count.load(Ordering::Relaxed)))
                .filter(|(_, count)| *count > 0)
                .collect(),
        }
    }
}
