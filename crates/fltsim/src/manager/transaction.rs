//! Transactions: enlistment, notifications, commit and rollback.

use super::context::{Key, ObjectKey};
use super::{Instance, Object, Volume, publish};
use crate::config::TransactionEnd;
use crate::filesystem::TransactionId;
use crate::io::DriverMemory;
use crate::kernel::fault::Fault;
use crate::kernel::handle::KernelObject;
use crate::kernel::scope::{Callback, Scope};
use crate::machine::Inner;
use crate::verifier::Rule;
use fltmgr_sys::*;
use parking_lot::{Condvar, Mutex};
use std::sync::{Arc, Weak};
use std::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Active,
    /// Commit has begun and can still turn into a rollback.
    Preparing,
    Committing,
    /// Committed; some `COMMIT_FINALIZE` notifications are pending.
    Finalizing,
    RollingBack,
    Ended,
}

struct Enlistment {
    instance: Arc<Instance>,
    context: usize,
    mask: NOTIFICATION_MASK,
    /// The notification that is out, and whether it has been completed.
    outstanding: Option<(NOTIFICATION_MASK, bool)>,
}

struct State {
    phase: Phase,
    enlistments: Vec<Enlistment>,
    file_systems: Vec<(Arc<Volume>, TransactionId)>,
    abort: bool,
}

/// A kernel transaction.
pub(crate) struct Transaction {
    pub(crate) id: u64,
    pub(crate) machine: Weak<Inner>,
    state: Mutex<State>,
    changed: Condvar,
    /// What `IoGetTransactionParameterBlock` gives.
    block: Box<DriverMemory<ParameterBlock>>,
    /// Handles that drivers have.
    handles: Mutex<u64>,
}

/// `TXN_PARAMETER_BLOCK`.
#[repr(C)]
#[derive(Clone, Copy)]
struct ParameterBlock {
    length: USHORT,
    /// The version of the file that is seen: `TXF_MINIVERSION_DEFAULT_VIEW`.
    view: USHORT,
    transaction: PVOID,
}

const _: () = assert!(size_of::<ParameterBlock>() == 16);

/// What a filter answered.
enum Answer {
    Done,
    Abort(NTSTATUS),
}

impl Transaction {
    pub(crate) fn new(machine: Weak<Inner>, id: u64) -> Self {
        Self {
            id,
            machine,
            state: Mutex::new(State {
                phase: Phase::Active,
                enlistments: Vec::new(),
                file_systems: Vec::new(),
                abort: false,
            }),
            changed: Condvar::new(),
            block: Box::new(DriverMemory::new(ParameterBlock {
                length: 16,
                view: 0xFFFE,
                transaction: std::ptr::null_mut(),
            })),
            handles: Mutex::default(),
        }
    }

    /// Begins a transaction.
    pub(crate) fn begin(machine: &Inner) -> Arc<Self> {
        let this = machine.this().map(|this| Arc::downgrade(&this));
        let object = Arc::new(Self::new(this.unwrap_or_default(), machine.next_id()));
        let pointer: PVOID = object.pointer().cast();
        object.block.modify(|block| block.transaction = pointer);
        let found = Object::Transaction(Arc::clone(&object));
        publish(machine, pointer as usize, found);
        machine.transactions.lock().push(Arc::clone(&object));
        object
    }

    /// Whether it has neither ended nor begun to.
    pub(crate) fn is_active(&self) -> bool {
        self.state.lock().phase == Phase::Active
    }

    /// The structure that says which transaction a file is in.
    pub(crate) fn parameter_block(&self) -> PVOID {
        self.block.pointer().cast()
    }

    /// What identifies it: its number, on this machine.
    pub(crate) fn unit_of_work(&self) -> GUID {
        let mut id = GUID {
            Data1: 0x5472_616E,
            Data2: 0x7361,
            Data3: 0x4374,
            Data4: [0; 8],
        };
        id.Data4 = self.id.to_be_bytes();
        id
    }

    /// What a driver knows it by.
    pub(crate) fn pointer(self: &Arc<Self>) -> PKTRANSACTION {
        Arc::as_ptr(self).cast_mut().cast()
    }

    /// Where the context of an instance in this transaction lives.
    pub(crate) fn key(&self, machine: &Inner, instance: &Instance) -> Key {
        let per_instance = machine.config.policies.transaction_slot_per_instance;
        Key {
            owner: if per_instance {
                instance.id
            } else {
                instance.filter.id
            },
            object: ObjectKey::Transaction(self.id),
        }
    }

    /// The file system's own transaction on a volume, begun when a file there is first opened in
    /// this one.
    pub(crate) fn file_system_transaction(
        &self,
        volume: &Arc<Volume>,
    ) -> Result<TransactionId, NTSTATUS> {
        let mut state = self.state.lock();
        if state.phase != Phase::Active {
            return Err(STATUS_TRANSACTION_NOT_ACTIVE);
        }
        let known = state
            .file_systems
            .iter()
            .find(|(one, _)| one.id == volume.id);
        if let Some((_, transaction)) = known {
            return Ok(*transaction);
        }
        let transaction = volume.io.file_system.begin()?;
        state.file_systems.push((Arc::clone(volume), transaction));
        Ok(transaction)
    }

    /// `FltEnlistInTransaction`, whose arguments have been resolved.
    pub(crate) fn enlist(
        &self,
        machine: &Arc<Inner>,
        instance: &Arc<Instance>,
        context: usize,
        mask: NOTIFICATION_MASK,
    ) -> NTSTATUS {
        const CALL: &str = "FltEnlistInTransaction";
        let callbacks = &instance.filter.registration.callbacks;
        if callbacks.TransactionNotificationCallback.is_none() {
            let text = "no TransactionNotificationCallback is registered";
            machine.verifier.violation(Rule::V18, CALL, text);
            return STATUS_INVALID_PARAMETER;
        }
        if mask == 0 || mask & !FLT_MAX_TRANSACTION_NOTIFICATIONS != 0 {
            return STATUS_INVALID_PARAMETER_4;
        }
        if instance.is_deleting() {
            return STATUS_FLT_DELETING_OBJECT;
        }
        let mut state = self.state.lock();
        if state.phase != Phase::Active {
            return STATUS_TRANSACTION_NOT_ACTIVE;
        }
        if state
            .enlistments
            .iter()
            .any(|one| one.instance.id == instance.id)
        {
            return STATUS_FLT_ALREADY_ENLISTED;
        }
        let linked = machine.contexts.peek(self.key(machine, instance));
        if linked.is_none_or(|node| node.address != context) {
            let text = format!("context {context:#x} is not set on the transaction");
            machine.verifier.violation(Rule::V18, CALL, text);
            return STATUS_INVALID_PARAMETER;
        }
        let fault = machine
            .faults
            .take(|fault| matches!(fault, Fault::Enlist { .. }));
        if fault.is_some() {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        state.enlistments.push(Enlistment {
            instance: Arc::clone(instance),
            context,
            mask,
            outstanding: None,
        });
        STATUS_SUCCESS
    }

    /// The five `FltXxxComplete` functions.
    pub(crate) fn complete(
        self: &Arc<Self>,
        machine: &Arc<Inner>,
        call: &'static str,
        instance: &Instance,
        notification: NOTIFICATION_MASK,
    ) -> NTSTATUS {
        if machine.contexts.peek(self.key(machine, instance)).is_none() {
            return STATUS_NOT_FOUND;
        }
        let mut state = self.state.lock();
        let enlistment = state.enlistments.iter_mut().find(|one| {
            one.instance.id == instance.id && one.outstanding == Some((notification, false))
        });
        let Some(enlistment) = enlistment else {
            drop(state);
            let text = "no such notification is pending";
            machine.verifier.violation(Rule::V18, call, text);
            return STATUS_TRANSACTION_REQUEST_NOT_VALID;
        };
        enlistment.outstanding = Some((notification, true));
        let finalized = state.phase == Phase::Finalizing && !state.is_waiting();
        if finalized {
            state.phase = Phase::Ended;
        }
        drop(state);
        self.changed.notify_all();
        if finalized {
            self.end(machine);
        }
        STATUS_SUCCESS
    }

    /// `FltRollbackEnlistment`.
    pub(crate) fn rollback_enlistment(
        self: &Arc<Self>,
        machine: &Arc<Inner>,
        instance: &Instance,
    ) -> NTSTATUS {
        if machine.contexts.peek(self.key(machine, instance)).is_none() {
            return STATUS_NOT_FOUND;
        }
        let mut state = self.state.lock();
        match state.phase {
            Phase::Active => {
                state.phase = Phase::RollingBack;
                drop(state);
                // Its own thread: the caller may be in a callback of this very transaction.
                let transaction = Arc::clone(self);
                let machine_later = Arc::downgrade(machine);
                machine.work_queue.push(move || {
                    if let Some(machine) = machine_later.upgrade() {
                        transaction.roll_back(&machine);
                    }
                });
                STATUS_SUCCESS
            }
            Phase::Preparing => {
                state.abort = true;
                STATUS_SUCCESS
            }
            _ => STATUS_TRANSACTION_REQUEST_NOT_VALID,
        }
    }

    /// Commits; returns when all resource managers have, which may take as long as a filter likes.
    pub(crate) fn commit(self: &Arc<Self>, machine: &Arc<Inner>) -> Result<(), NTSTATUS> {
        self.leave_active(Phase::Preparing)?;
        for notification in [TRANSACTION_NOTIFY_PREPREPARE, TRANSACTION_NOTIFY_PREPARE] {
            let answer = self.notify(machine, notification);
            let aborted = self.state.lock().abort;
            let status = match answer {
                Answer::Done if !aborted => continue,
                Answer::Done => STATUS_TRANSACTION_ABORTED,
                Answer::Abort(status) => status,
            };
            self.state.lock().phase = Phase::RollingBack;
            self.roll_back(machine);
            return Err(status);
        }
        self.state.lock().phase = Phase::Committing;
        self.notify(machine, TRANSACTION_NOTIFY_COMMIT);
        let file_systems = std::mem::take(&mut self.state.lock().file_systems);
        let mut result = Ok(());
        for (volume, transaction) in file_systems {
            result = result.and(volume.io.file_system.commit(transaction));
        }
        self.notify(machine, TRANSACTION_NOTIFY_COMMIT_FINALIZE);
        let mut state = self.state.lock();
        if state.is_waiting() {
            state.phase = Phase::Finalizing;
            return result;
        }
        state.phase = Phase::Ended;
        drop(state);
        self.end(machine);
        result
    }

    /// Rolls back, unless the transaction has ended.
    pub(crate) fn rollback(self: &Arc<Self>, machine: &Arc<Inner>) -> Result<(), NTSTATUS> {
        self.leave_active(Phase::RollingBack)?;
        self.roll_back(machine);
        Ok(())
    }

    fn leave_active(&self, to: Phase) -> Result<(), NTSTATUS> {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Active => {
                state.phase = to;
                Ok(())
            }
            Phase::RollingBack => Err(STATUS_TRANSACTION_ALREADY_ABORTED),
            _ => Err(STATUS_TRANSACTION_NOT_ACTIVE),
        }
    }

    fn roll_back(self: &Arc<Self>, machine: &Arc<Inner>) {
        self.notify(machine, TRANSACTION_NOTIFY_ROLLBACK);
        let file_systems = std::mem::take(&mut self.state.lock().file_systems);
        for (volume, transaction) in file_systems {
            // What cannot be rolled back has been committed or has never been.
            let _ = volume.io.file_system.rollback(transaction);
        }
        let mut state = self.state.lock();
        state.phase = Phase::Ended;
        drop(state);
        self.end(machine);
    }

    /// Sends one notification to everyone who asked for it, and waits for the pended ones, except
    /// for `COMMIT_FINALIZE`, which nobody has to wait for.
    fn notify(&self, machine: &Arc<Inner>, notification: NOTIFICATION_MASK) -> Answer {
        let listeners: Vec<(Arc<Instance>, usize)> = {
            let state = self.state.lock();
            let wanted = state.enlistments.iter();
            let wanted = wanted.filter(|one| one.mask & notification != 0);
            wanted
                .map(|one| (Arc::clone(&one.instance), one.context))
                .collect()
        };
        let mut answer = Answer::Done;
        for (instance, context) in listeners {
            if let Answer::Abort(status) = self.call(machine, &instance, context, notification) {
                answer = Answer::Abort(status);
            }
        }
        if notification != TRANSACTION_NOTIFY_COMMIT_FINALIZE {
            self.wait(machine, notification);
        }
        answer
    }

    fn call(
        &self,
        machine: &Arc<Inner>,
        instance: &Arc<Instance>,
        context: usize,
        notification: NOTIFICATION_MASK,
    ) -> Answer {
        // A context that was deleted since has nothing left to be told about.
        let linked = machine.contexts.peek(self.key(machine, instance));
        let stale = linked.is_none_or(|node| node.address != context);
        let callback = instance
            .filter
            .registration
            .callbacks
            .TransactionNotificationCallback;
        let Some(callback) = callback.filter(|_| !stale) else {
            return Answer::Done;
        };
        // Teardown waits for a notification that runs, and lets no more begin.
        if !instance.begin_callback() {
            return Answer::Done;
        }
        self.mark(instance, Some((notification, false)));
        let mut related = instance.related();
        related.Transaction = std::ptr::from_ref(self).cast_mut().cast();
        let scope = Scope::enter(machine, Callback::Notification, PASSIVE_LEVEL);
        // SAFETY: the driver registered this callback, and the callback that was begun on the
        // instance keeps the driver loaded.
        let status = unsafe { callback(&raw const related, context as PFLT_CONTEXT, notification) };
        drop(scope);
        instance.end_callback();
        if status == STATUS_PENDING {
            return Answer::Done;
        }
        let completed = self.mark(instance, None);
        if completed {
            let text = format!("notification {notification:#x} was completed and not pended");
            machine.verifier.violation(Rule::V18, "", text);
        }
        if status == STATUS_SUCCESS {
            return Answer::Done;
        }
        let may_abort = TRANSACTION_NOTIFY_PREPREPARE | TRANSACTION_NOTIFY_PREPARE;
        if !nt_success(status) && notification & may_abort != 0 {
            return Answer::Abort(status);
        }
        let text = format!("notification {notification:#x} was answered with {status:#010x}");
        machine.verifier.violation(Rule::V18, "", text);
        Answer::Done
    }

    /// Notes which notification is out; whether the previous one had been completed.
    fn mark(&self, instance: &Instance, outstanding: Option<(NOTIFICATION_MASK, bool)>) -> bool {
        let mut state = self.state.lock();
        let mut enlistments = state.enlistments.iter_mut();
        let enlistment = enlistments.find(|one| one.instance.id == instance.id);
        let previous = enlistment
            .and_then(|enlistment| std::mem::replace(&mut enlistment.outstanding, outstanding));
        previous.is_some_and(|(_, completed)| completed)
    }

    fn wait(&self, machine: &Inner, notification: NOTIFICATION_MASK) {
        let deadline = Instant::now() + machine.config.unload_wait;
        let mut state = self.state.lock();
        while state.is_waiting() {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        for enlistment in &mut state.enlistments {
            if let Some((_, false)) = enlistment.outstanding.take() {
                let text = format!(
                    "notification {notification:#x} was pended and never completed by {}",
                    enlistment.instance.filter.name
                );
                machine.verifier.violation(Rule::V18, "", text);
            }
        }
    }

    /// The contexts of an ended transaction lose their links now or later.
    fn end(self: &Arc<Self>, machine: &Arc<Inner>) {
        self.state.lock().enlistments.clear();
        let choice = match machine.config.policies.transaction_end {
            TransactionEnd::Seeded => match machine.choose(3) {
                0 => TransactionEnd::Immediate,
                1 => TransactionEnd::Worker,
                _ => TransactionEnd::Pump,
            },
            choice => choice,
        };
        let object = ObjectKey::Transaction(self.id);
        match choice {
            TransactionEnd::Worker => {
                let machine_later = Arc::downgrade(machine);
                machine.work_queue.push(move || {
                    if let Some(machine) = machine_later.upgrade() {
                        machine.contexts.object_gone(&machine, object);
                    }
                });
            }
            TransactionEnd::Pump => machine.later.lock().push(object),
            _ => machine.contexts.object_gone(machine, object),
        }
    }

    /// Says what is still pending when the machine is done.
    pub(crate) fn report(&self, machine: &Inner) {
        let state = self.state.lock();
        for enlistment in &state.enlistments {
            if let Some((notification, false)) = enlistment.outstanding {
                let text = format!(
                    "notification {notification:#x} was pended and never completed by {}",
                    enlistment.instance.filter.name
                );
                machine.verifier.violation(Rule::V18, "", text);
            }
        }
    }

    /// An instance is gone, and its enlistment with it.
    pub(crate) fn forget_instance(self: &Arc<Self>, machine: &Arc<Inner>, instance: &Instance) {
        let mut state = self.state.lock();
        let mut pending = None;
        state.enlistments.retain(|one| {
            let keep = one.instance.id != instance.id;
            if !keep && let Some((notification, false)) = one.outstanding {
                pending = Some(notification);
            }
            keep
        });
        let finalized = state.phase == Phase::Finalizing && !state.is_waiting();
        if finalized {
            state.phase = Phase::Ended;
        }
        drop(state);
        self.changed.notify_all();
        if let Some(notification) = pending {
            let text = format!(
                "notification {notification:#x} was pended and never completed by {}",
                instance.filter.name
            );
            machine.verifier.violation(Rule::V18, "", text);
        }
        if finalized {
            self.end(machine);
        }
    }
}

impl KernelObject for Transaction {
    fn name(&self) -> &'static str {
        "transaction"
    }

    fn handle_name(&self) -> &'static str {
        "transaction handle"
    }

    fn object_type(&self) -> &'static str {
        "TmTransactionObjectType"
    }

    fn owner(&self) -> &Weak<Inner> {
        &self.machine
    }

    fn address(&self) -> usize {
        &raw const *self as usize
    }

    fn reference(&self, call: &'static str) -> bool {
        if let Some(machine) = self.machine.upgrade() {
            machine.held.add("transaction", self.address(), call);
        }
        true
    }

    fn dereference(self: Arc<Self>, machine: &Arc<Inner>) -> bool {
        machine.held.remove(self.address())
    }

    fn handle_opened(&self) {
        *self.handles.lock() += 1;
    }

    fn handle_closed(self: Arc<Self>, machine: &Arc<Inner>) {
        let mut handles = self.handles.lock();
        *handles = handles.saturating_sub(1);
        let last = *handles == 0;
        drop(handles);
        if last {
            // A transaction whose last handle is closed before it was committed is rolled back; one
            // that has ended has nothing left to roll back.
            let _ = self.rollback(machine);
        }
    }
}

impl State {
    fn is_waiting(&self) -> bool {
        let mut enlistments = self.enlistments.iter();
        enlistments.any(|one| matches!(one.outstanding, Some((_, false))))
    }
}
