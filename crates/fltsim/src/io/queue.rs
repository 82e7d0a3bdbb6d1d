//! Cancel-safe queues of callback data: the driver keeps the list and the lock, and what is here
//! decides who gets an operation that is removed and cancelled at the same time.

use super::cancel::OnCancel;
use super::operation::{Operation, find};
use crate::machine::Inner;
use crate::manager::Instance;
use dashmap::DashMap;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::{Arc, LazyLock, Weak};

/// The queue takes no operations.
const DISABLED: FLT_CALLBACK_DATA_QUEUE_FLAGS = 1;
/// What the first field of a context says while its operation is in a queue.
const CONTEXT_TYPE: ULONG = 1;

/// The instances of the queues that drivers have initialised, by address.
static QUEUES: LazyLock<DashMap<usize, Weak<Instance>>> = LazyLock::new(DashMap::new);

/// A queue that was initialised.
#[derive(Clone, Copy)]
pub(crate) struct Queue {
    address: usize,
    insert: PFLT_CALLBACK_DATA_QUEUE_INSERT_IO,
    remove: PFLT_CALLBACK_DATA_QUEUE_REMOVE_IO,
    peek: PFLT_CALLBACK_DATA_QUEUE_PEEK_NEXT_IO,
    acquire: PFLT_CALLBACK_DATA_QUEUE_ACQUIRE,
    release: PFLT_CALLBACK_DATA_QUEUE_RELEASE,
    complete: PFLT_CALLBACK_DATA_QUEUE_COMPLETE_CANCELED_IO,
}

/// An operation's place in a queue.
pub(crate) struct Link {
    queue: Queue,
    /// The driver's `IO_CSQ_IRP_CONTEXT`, or null.
    context: usize,
}

/// Remembers a queue that a driver has filled in.
pub(crate) fn register(instance: &Arc<Instance>, queue: PFLT_CALLBACK_DATA_QUEUE) {
    QUEUES.insert(queue as usize, Arc::downgrade(instance));
}

/// The queue at an address, if there is one.
pub(crate) fn lookup(queue: PFLT_CALLBACK_DATA_QUEUE) -> Option<(Arc<Inner>, Queue)> {
    let instance = QUEUES.get(&(queue as usize))?.upgrade()?;
    let machine = instance.machine().upgrade()?;
    // SAFETY: a driver has initialised a queue here, in memory that it keeps while it uses it.
    let found = unsafe { queue.read() };
    let queue = Queue {
        address: queue as usize,
        insert: found.InsertIo,
        remove: found.RemoveIo,
        peek: found.PeekNextIo,
        acquire: found.Acquire,
        release: found.Release,
        complete: found.CompleteCanceledIo,
    };
    Some((machine, queue))
}

impl Queue {
    const fn pointer(self) -> PFLT_CALLBACK_DATA_QUEUE {
        self.address as PFLT_CALLBACK_DATA_QUEUE
    }

    fn lock(self) -> KIRQL {
        let mut level: KIRQL = 0;
        if let Some(acquire) = self.acquire {
            // SAFETY: the driver's routine for this queue, which has initialised it.
            unsafe { acquire(self.pointer(), &raw mut level) };
        }
        level
    }

    fn unlock(self, level: KIRQL) {
        if let Some(release) = self.release {
            // SAFETY: the driver's routine for this queue, which was locked on this thread.
            unsafe { release(self.pointer(), level) };
        }
    }

    fn remove(self, data: PFLT_CALLBACK_DATA) {
        if let Some(remove) = self.remove {
            // SAFETY: the driver's routine for this queue, which is locked and has the operation
            // in it: whoever comes here has taken the operation's link.
            unsafe { remove(self.pointer(), data) };
        }
    }

    fn peek(self, after: PFLT_CALLBACK_DATA, context: PVOID) -> PFLT_CALLBACK_DATA {
        self.peek.map_or(null_mut(), |peek| {
            // SAFETY: the driver's routine for this queue, which is locked; the operation, if any,
            // came from it.
            unsafe { peek(self.pointer(), after, context) }
        })
    }

    fn flags(self) -> *mut FLT_CALLBACK_DATA_QUEUE_FLAGS {
        // SAFETY: the address of a field of a live queue; nothing is read.
        unsafe { &raw mut (*self.pointer()).Flags }
    }

    /// Lets the queue take operations, or no longer.
    pub(crate) fn enable(self, enabled: bool) {
        let level = self.lock();
        let flags = if enabled { 0 } else { DISABLED };
        // SAFETY: a field of a live queue, which is locked.
        unsafe { self.flags().write(flags) };
        self.unlock(level);
    }

    /// Puts an operation into the queue; one that was cancelled meanwhile comes out of it at once.
    pub(crate) fn insert(
        self,
        operation: &Arc<Operation>,
        context: PFLT_CALLBACK_DATA_QUEUE_IO_CONTEXT,
        insert_context: PVOID,
    ) -> NTSTATUS {
        let Some(insert) = self.insert else {
            return STATUS_INVALID_PARAMETER;
        };
        let level = self.lock();
        // SAFETY: a field of a live queue, which is locked.
        if unsafe { self.flags().read() } & DISABLED != 0 {
            self.unlock(level);
            return STATUS_FLT_CBDQ_DISABLED;
        }
        // SAFETY: the driver's routine for this queue, which is locked.
        let status = unsafe { insert(self.pointer(), operation.pointer(), insert_context) };
        if status < 0 {
            self.unlock(level);
            return status;
        }
        if !context.is_null() {
            let link = IO_CSQ_IRP_CONTEXT {
                Type: CONTEXT_TYPE,
                Irp: operation.pointer().cast(),
                Csq: self.pointer().cast(),
            };
            // SAFETY: not null, so the driver's place for the context.
            unsafe { context.write(link) };
        }
        let link = Link {
            queue: self,
            context: context as usize,
        };
        match operation.on_cancel(OnCancel::Dequeue(link)) {
            Err(OnCancel::Dequeue(link)) => {
                link.take_out(operation);
                self.unlock(level);
                link.complete(operation);
            }
            _ => self.unlock(level),
        }
        status
    }

    /// Takes the operation of a context out of the queue, unless it was cancelled.
    pub(crate) fn remove_one(
        self,
        context: PFLT_CALLBACK_DATA_QUEUE_IO_CONTEXT,
    ) -> PFLT_CALLBACK_DATA {
        let level = self.lock();
        // SAFETY: the caller's context, which the queue has filled in.
        let data: PFLT_CALLBACK_DATA = unsafe { (*context).Irp }.cast();
        let taken = find(data).is_some_and(|operation| Self::claim(&operation));
        self.unlock(level);
        if taken { data } else { null_mut() }
    }

    /// Takes the next operation that matches out of the queue, unless there is none.
    pub(crate) fn remove_next(self, context: PVOID) -> PFLT_CALLBACK_DATA {
        let level = self.lock();
        let mut data = self.peek(null_mut(), context);
        while let Some(operation) = find(data) {
            if Self::claim(&operation) {
                break;
            }
            data = self.peek(data, context);
        }
        self.unlock(level);
        data
    }

    /// Takes an operation out of its queue, which is locked; `false` if its cancellation has begun.
    fn claim(operation: &Arc<Operation>) -> bool {
        match operation.take_cancel() {
            Some(OnCancel::Dequeue(link)) => {
                link.take_out(operation);
                true
            }
            _ => false,
        }
    }
}

impl Link {
    /// Takes the operation out of the queue, which is locked.
    fn take_out(&self, operation: &Operation) {
        self.queue.remove(operation.pointer());
        let context = self.context as PFLT_CALLBACK_DATA_QUEUE_IO_CONTEXT;
        if !context.is_null() {
            // SAFETY: the driver's context, which stays while the operation is in the queue.
            unsafe { (*context).Irp = null_mut() };
        }
    }

    fn complete(&self, operation: &Operation) {
        if let Some(complete) = self.queue.complete {
            // SAFETY: the driver's routine for this queue, which is not locked; the operation is
            // pended and out of the queue, so nobody else completes it.
            unsafe { complete(self.queue.pointer(), operation.pointer()) };
        }
    }

    /// The operation was cancelled while it was in the queue.
    pub(super) fn cancelled(&self, operation: &Operation) {
        let level = self.queue.lock();
        self.take_out(operation);
        self.queue.unlock(level);
        self.complete(operation);
    }
}
