//! Contexts as the tests hold them: a pointer, and what the cleanup callback has seen of it.

use super::callbacks::State;
use super::raw;
use fltmgr_sys::*;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::thread::ThreadId;

/// The latest context at each address.
static RECORDS: LazyLock<Mutex<HashMap<usize, Arc<Record>>>> = LazyLock::new(Mutex::default);

/// What one call of the cleanup callback found.
#[derive(Clone, Debug)]
pub(crate) struct Cleanup {
    /// The `ContextType` argument.
    pub(crate) kind: FLT_CONTEXT_TYPE,
    /// The level at which it ran.
    pub(crate) irql: KIRQL,
    /// The payload at that moment.
    pub(crate) payload: Vec<u8>,
    /// The thread on which it ran.
    pub(crate) thread: ThreadId,
}

/// What is known about one context from its allocation on, even when its memory is used again.
#[derive(Debug)]
pub(crate) struct Record {
    kind: FLT_CONTEXT_TYPE,
    size: usize,
    filter: Weak<State>,
    cleanups: AtomicU32,
    last: Mutex<Option<Cleanup>>,
}

/// A context. It is only a name: dropping it releases nothing.
#[derive(Clone, Debug)]
pub(crate) struct Ctx {
    address: usize,
    record: Arc<Record>,
}

impl Ctx {
    /// Notes a context that was allocated just now.
    pub(super) fn new(
        pointer: PFLT_CONTEXT,
        kind: FLT_CONTEXT_TYPE,
        size: SIZE_T,
        filter: &Arc<State>,
    ) -> Self {
        let record = Arc::new(Record {
            kind,
            size: usize::try_from(size).expect("sizes fit"),
            filter: Arc::downgrade(filter),
            cleanups: AtomicU32::new(0),
            last: Mutex::new(None),
        });
        let address = pointer as usize;
        let mut records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
        records.insert(address, Arc::clone(&record));
        Self { address, record }
    }

    /// The context that a callback names, if a test allocated it through the harness.
    pub(super) fn find(pointer: PFLT_CONTEXT) -> Option<Self> {
        let address = pointer as usize;
        let records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
        let record = Arc::clone(records.get(&address)?);
        Some(Self { address, record })
    }

    pub(super) fn state(&self) -> Option<Arc<State>> {
        self.record.filter.upgrade()
    }

    /// The filter's portion.
    pub(crate) fn pointer(&self) -> PFLT_CONTEXT {
        self.address as PFLT_CONTEXT
    }

    /// The kind that it was allocated as.
    pub(crate) fn kind(&self) -> FLT_CONTEXT_TYPE {
        self.record.kind
    }

    /// How often its cleanup callback has been called and has returned.
    pub(crate) fn cleanups(&self) -> u32 {
        self.record.cleanups.load(Ordering::SeqCst)
    }

    /// What its latest cleanup callback found.
    pub(crate) fn cleanup(&self) -> Option<Cleanup> {
        let last = self.record.last.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what a call of the cleanup callback finds.
    pub(super) fn cleaning(&self, kind: FLT_CONTEXT_TYPE) {
        let cleanup = Cleanup {
            kind,
            irql: raw::irql(),
            payload: self.read(),
            thread: std::thread::current().id(),
        };
        let last = self.record.last.lock();
        *last.unwrap_or_else(PoisonError::into_inner) = Some(cleanup);
    }

    /// Counts a call of the cleanup callback that is about to return.
    pub(super) fn cleaned(&self) {
        self.record.cleanups.fetch_add(1, Ordering::SeqCst);
    }

    /// The bytes of the payload. Only while the test or the link holds a reference.
    pub(crate) fn read(&self) -> Vec<u8> {
        let first = self.pointer().cast::<u8>();
        // SAFETY: the emulator fills the memory of a context before it hands it out and keeps it
        // while there is a reference, which the caller promises.
        let bytes = unsafe { std::slice::from_raw_parts(first, self.record.size) };
        bytes.to_vec()
    }

    /// Fills the payload. Only while the test or the link holds a reference.
    pub(crate) fn fill(&self, byte: u8) {
        let first = self.pointer().cast::<u8>();
        // SAFETY: the context has this size, and the caller promises that it is still there.
        unsafe { first.write_bytes(byte, self.record.size) };
    }

    /// `FltReferenceContext`.
    pub(crate) fn reference(&self) {
        raw::reference_context(self.pointer());
    }

    /// `FltReleaseContext`.
    pub(crate) fn release(&self) {
        raw::release_context(self.pointer());
    }

    /// `FltDeleteContext`.
    pub(crate) fn delete(&self) {
        raw::delete_context(self.pointer());
    }
}

impl PartialEq<PFLT_CONTEXT> for Ctx {
    fn eq(&self, other: &PFLT_CONTEXT) -> bool {
        self.pointer() == *other
    }
}

impl PartialEq<Ctx> for PFLT_CONTEXT {
    fn eq(&self, other: &Ctx) -> bool {
        *self == other.pointer()
    }
}
