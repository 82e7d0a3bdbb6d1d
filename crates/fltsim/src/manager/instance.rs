//! Instances: a filter's attachments to volumes, by altitude; how they come and how they go.

use super::filter::FilterState;
use super::reference::Rundown;
use super::{Filter, Object, Volume, publish};
use crate::io::{self, Operation};
use crate::kernel::scope::{self, Callback, Scope};
use crate::machine::Inner;
use crate::verifier::{Leak, Rule};
use fltmgr_sys::*;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::cmp::Ordering as Compared;
use std::collections::HashMap;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, ThreadId};
use std::time::Instant;

/// An instance as a test sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceInfo {
    /// What the driver knows it by.
    pub pointer: PFLT_INSTANCE,
    /// The name of its filter.
    pub filter: String,
    /// Its own name.
    pub name: String,
    /// Its altitude.
    pub altitude: String,
}

/// How far an instance has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum InstanceState {
    /// `InstanceSetup` has not returned yet.
    Attaching,
    /// Operations arrive.
    Active,
    /// `InstanceTeardownStart` is running, or about to.
    Starting,
    /// `InstanceTeardownStart` has returned.
    Started,
    /// `InstanceTeardownComplete` has returned.
    Complete,
    /// Its contexts are gone.
    Gone,
}

/// A place in the stack of a volume: a decimal number, possibly with a fraction.
///
/// # Invariants
/// Both parts are decimal digits, the whole one without leading zeroes and the fraction without
/// trailing ones, so that equal numbers are equal strings.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Altitude<'a> {
    whole: &'a str,
    fraction: &'a str,
}

impl<'a> Altitude<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            return None;
        }
        Some(Self {
            whole: whole.trim_start_matches('0'),
            fraction: fraction.trim_end_matches('0'),
        })
    }
}

/// Compares two altitudes as the numbers that they are; what is no number is lowest.
pub(crate) fn compare_altitudes(one: &str, other: &str) -> Compared {
    let key = |text| {
        Altitude::parse(text)
            .map(|altitude| (altitude.whole.len(), altitude.whole, altitude.fraction))
    };
    key(one).cmp(&key(other))
}

/// The operations that an instance is busy with.
#[derive(Default)]
struct Busy {
    /// Callbacks that run, and operations that a callback has pended.
    active: usize,
    /// Operations whose completion it waits for, by callback data and layer.
    waiting: HashMap<(usize, usize), Waiting>,
    /// Operations that one of its callbacks has pended.
    pended: HashMap<usize, Arc<Operation>>,
    /// Requests of the filter's own that it has sent from the instance.
    own: usize,
}

impl Busy {
    /// How much there is to wait for.
    fn count(&self) -> (usize, usize, usize) {
        (self.active, self.waiting.len(), self.own)
    }
}

/// An operation whose completion an instance waits for.
struct Waiting {
    operation: Arc<Operation>,
    /// It uses a buffer of the instance's, and so cannot be drained.
    swapped: bool,
}

/// An attachment of a filter to a volume.
pub(crate) struct Instance {
    pub(crate) id: u64,
    pub(crate) filter: Arc<Filter>,
    pub(crate) volume: Arc<Volume>,
    pub(crate) name: String,
    pub(crate) altitude: String,
    pub(crate) references: Rundown,
    /// `FltRegisterForDataScan` was called.
    pub(crate) data_scan: AtomicBool,
    /// The thread that runs `InstanceSetup`, or did.
    attaches: ThreadId,
    state: AtomicU8,
    busy: Mutex<Busy>,
    changed: Condvar,
}

impl Instance {
    pub(crate) fn machine(&self) -> &Weak<Inner> {
        &self.filter.machine
    }

    /// Whether this is its name, in upper or lower case.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name.to_lowercase() == name.to_lowercase()
    }

    /// What a driver knows it by.
    pub(crate) fn pointer(self: &Arc<Self>) -> PFLT_INSTANCE {
        Arc::as_ptr(self).cast_mut().cast()
    }

    pub(crate) fn state(&self) -> InstanceState {
        match self.state.load(Ordering::Acquire) {
            0 => InstanceState::Attaching,
            1 => InstanceState::Active,
            2 => InstanceState::Starting,
            3 => InstanceState::Started,
            4 => InstanceState::Complete,
            _ => InstanceState::Gone,
        }
    }

    fn advance(&self, state: InstanceState) {
        // Under the lock, so that nothing begins on a state that has passed.
        let busy = self.busy.lock();
        self.state.store(state as u8, Ordering::Release);
        drop(busy);
        self.changed.notify_all();
    }

    /// Whether contexts can no longer be set.
    pub(crate) fn is_deleting(&self) -> bool {
        self.state() >= InstanceState::Starting
    }

    pub(crate) fn related(self: &Arc<Self>) -> FLT_RELATED_OBJECTS {
        self.related_to(null_mut(), null_mut())
    }

    /// What a callback gets as `FltObjects`.
    pub(crate) fn related_to(
        self: &Arc<Self>,
        file: PFILE_OBJECT,
        transaction: PKTRANSACTION,
    ) -> FLT_RELATED_OBJECTS {
        FLT_RELATED_OBJECTS {
            Size: u16::try_from(size_of::<FLT_RELATED_OBJECTS>()).unwrap_or(0),
            TransactionContext: 0,
            Filter: self.filter.pointer(),
            Volume: self.volume.pointer(),
            Instance: self.pointer(),
            FileObject: file,
            Transaction: transaction,
        }
    }

    /// Begins a callback, or refuses because the instance gets no new operations.
    pub(crate) fn begin_callback(&self) -> bool {
        let mut busy = self.busy.lock();
        let takes = matches!(
            self.state(),
            InstanceState::Active | InstanceState::Starting
        );
        if takes {
            busy.active += 1;
        }
        takes
    }

    /// Ends a callback, and whatever it had pended.
    pub(crate) fn end_callback(&self) {
        let mut busy = self.busy.lock();
        busy.active = busy.active.saturating_sub(1);
        drop(busy);
        self.wake_teardown();
    }

    /// A callback has pended the operation; it stays begun until the operation is resumed.
    pub(crate) fn pended(&self, operation: &Arc<Operation>) {
        let mut busy = self.busy.lock();
        busy.pended
            .insert(operation.pointer() as usize, operation.clone());
    }

    /// A pended operation goes on.
    pub(crate) fn resumed(&self, operation: &Arc<Operation>) {
        let removed = self
            .busy
            .lock()
            .pended
            .remove(&(operation.pointer() as usize));
        drop(removed);
    }

    /// A callback has ended, and the instance waits for the operation to complete.
    pub(crate) fn await_completion(&self, operation: &Arc<Operation>, layer: usize, swapped: bool) {
        let mut busy = self.busy.lock();
        busy.active = busy.active.saturating_sub(1);
        let key = (operation.pointer() as usize, layer);
        let waiting = Waiting {
            operation: operation.clone(),
            swapped,
        };
        busy.waiting.insert(key, waiting);
        drop(busy);
        self.wake_teardown();
    }

    /// The operation has completed, and its post-operation callback begins.
    pub(crate) fn begin_post(&self, operation: &Arc<Operation>, layer: usize) {
        let mut busy = self.busy.lock();
        busy.active += 1;
        let removed = busy.waiting.remove(&(operation.pointer() as usize, layer));
        drop(busy);
        drop(removed);
    }

    /// The draining call has been made.
    pub(crate) fn drained(&self, operation: &Arc<Operation>, layer: usize) {
        let key = (operation.pointer() as usize, layer);
        let removed = self.busy.lock().waiting.remove(&key);
        drop(removed);
    }

    /// The filter sends a request of its own from here; teardown waits for its end.
    pub(crate) fn begin_own(&self) {
        self.busy.lock().own += 1;
    }

    /// The request has ended, and whoever wanted to know has been told.
    pub(crate) fn end_own(&self) {
        let mut busy = self.busy.lock();
        busy.own = busy.own.saturating_sub(1);
        drop(busy);
        self.wake_teardown();
    }

    /// Sends a request of the filter's own from here, and waits for it.
    pub(crate) fn sends<T>(&self, send: impl FnOnce() -> T) -> T {
        self.begin_own();
        let result = send();
        self.end_own();
        result
    }

    fn wake_teardown(&self) {
        if self.is_deleting() {
            self.changed.notify_all();
        }
    }
}

/// Attaches a new instance.
///
/// # Errors
/// What `FltAttachVolume` documents, or whatever `InstanceSetup` returned.
pub(crate) fn attach(
    filter: &Arc<Filter>,
    volume: &Arc<Volume>,
    name: Option<&str>,
    altitude: Option<&str>,
    flags: FLT_INSTANCE_SETUP_FLAGS,
) -> Result<Arc<Instance>, NTSTATUS> {
    let machine = filter.machine.upgrade().ok_or(STATUS_FLT_DELETING_OBJECT)?;
    let definition = filter.definition(name);
    let (name, altitude, collision) = match (definition, altitude) {
        (Some(definition), None) => (
            definition.name.clone(),
            definition.altitude.clone(),
            STATUS_OBJECT_NAME_COLLISION,
        ),
        (definition, Some(altitude)) => {
            let given = definition.map(|definition| definition.name.clone());
            let name = name.map(str::to_owned).or(given).unwrap_or_default();
            (
                name,
                altitude.to_owned(),
                STATUS_FLT_INSTANCE_ALTITUDE_COLLISION,
            )
        }
        (None, None) => return Err(STATUS_OBJECT_NAME_NOT_FOUND),
    };
    if Altitude::parse(&altitude).is_none() {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let instance = Arc::new(Instance {
        id: machine.next_id(),
        filter: Arc::clone(filter),
        volume: Arc::clone(volume),
        name,
        altitude,
        references: Rundown::default(),
        data_scan: AtomicBool::new(false),
        attaches: thread::current().id(),
        state: AtomicU8::new(InstanceState::Attaching as u8),
        busy: Mutex::default(),
        changed: Condvar::new(),
    });
    insert(&instance, collision)?;
    publish(
        &machine,
        instance.pointer() as usize,
        Object::Instance(Arc::clone(&instance)),
    );
    if !own(filter, &instance) {
        discard(&instance);
        return Err(STATUS_FLT_DELETING_OBJECT);
    }
    let status = setup(&machine, &instance, flags);
    // An error or a warning refuses; success and information accept.
    if status < 0 {
        discard(&instance);
        return Err(status);
    }
    if filter.state() == FilterState::Gone {
        // Its own setup has unregistered the filter, which could not wait for it.
        discard(&instance);
        return Err(STATUS_FLT_DELETING_OBJECT);
    }
    instance.advance(InstanceState::Active);
    Ok(instance)
}

/// Puts an instance on the list of its filter; `false` if that is unregistering. Unregistering
/// marks the filter before it looks at the list, so an instance that is on it is torn down.
fn own(filter: &Filter, instance: &Arc<Instance>) -> bool {
    let mut instances = filter.instances.lock();
    let wanted = !filter.references.is_deleting();
    if wanted {
        instances.push(Arc::clone(instance));
    }
    wanted
}

/// Takes an instance back that never became active.
fn discard(instance: &Arc<Instance>) {
    instance.references.begin();
    remove(instance);
    instance.advance(InstanceState::Complete);
    if instance.references.count() == 0 {
        finalize(instance);
    }
}

/// Puts an instance where its altitude belongs, unless its name or its altitude is taken.
fn insert(instance: &Arc<Instance>, collision: NTSTATUS) -> Result<(), NTSTATUS> {
    let mut stack = instance.volume.instances.write();
    // Dismounting marks the volume before it looks at the stack.
    if instance.volume.is_dismounted() {
        return Err(STATUS_FLT_DELETING_OBJECT);
    }
    for other in stack.iter() {
        if other.filter.id == instance.filter.id && other.is_named(&instance.name) {
            return Err(STATUS_FLT_INSTANCE_NAME_COLLISION);
        }
        if compare_altitudes(&other.altitude, &instance.altitude).is_eq() {
            return Err(collision);
        }
    }
    let above =
        |other: &Arc<Instance>| compare_altitudes(&other.altitude, &instance.altitude).is_gt();
    let position = stack.iter().take_while(|other| above(other)).count();
    stack.insert(position, Arc::clone(instance));
    Ok(())
}

fn remove(instance: &Instance) {
    let mut stack = instance.volume.instances.write();
    stack.retain(|other| other.id != instance.id);
}

fn setup(
    machine: &Arc<Inner>,
    instance: &Arc<Instance>,
    flags: FLT_INSTANCE_SETUP_FLAGS,
) -> NTSTATUS {
    let callbacks = &instance.filter.registration.callbacks;
    let Some(setup) = callbacks.InstanceSetupCallback else {
        return STATUS_SUCCESS;
    };
    let personality = &instance.volume.personality;
    let device_type = match personality.device_type {
        // The device of a local file system is not the disk that it lies on.
        FILE_DEVICE_DISK => FILE_DEVICE_DISK_FILE_SYSTEM,
        other => other,
    };
    let related = instance.related();
    let _scope = Scope::enter(machine, Callback::InstanceSetup, PASSIVE_LEVEL);
    // SAFETY: the driver registered this callback, and is loaded while its filter exists.
    unsafe {
        setup(
            &raw const related,
            flags,
            device_type,
            personality.filesystem_type,
        )
    }
}

/// Detaches by request.
///
/// # Errors
/// `STATUS_FLT_INSTANCE_NOT_FOUND`, `STATUS_FLT_DELETING_OBJECT`, or whatever
/// `InstanceQueryTeardown` returned; `STATUS_FLT_DO_NOT_DETACH` if there is no such callback.
pub(crate) fn detach(
    filter: &Arc<Filter>,
    volume: &Arc<Volume>,
    name: Option<&str>,
) -> Result<(), NTSTATUS> {
    let instance = volume.stack().into_iter().find(|instance| {
        instance.filter.id == filter.id && name.is_none_or(|name| instance.is_named(name))
    });
    let instance = instance.ok_or(STATUS_FLT_INSTANCE_NOT_FOUND)?;
    if instance.is_deleting() {
        return Err(STATUS_FLT_DELETING_OBJECT);
    }
    let machine = filter.machine.upgrade().ok_or(STATUS_FLT_DELETING_OBJECT)?;
    let callbacks = &filter.registration.callbacks;
    let query = callbacks
        .InstanceQueryTeardownCallback
        .ok_or(STATUS_FLT_DO_NOT_DETACH)?;
    let related = instance.related();
    let status = {
        let _scope = Scope::enter(&machine, Callback::QueryTeardown, PASSIVE_LEVEL);
        // SAFETY: the driver registered this callback, and is loaded while its filter exists.
        unsafe { query(&raw const related, 0) }
    };
    if status < 0 {
        return Err(status);
    }
    teardown(&instance, FLTFL_INSTANCE_TEARDOWN_MANUAL);
    Ok(())
}

/// Tears an instance down; returns when `InstanceTeardownComplete` has.
///
/// `InstanceTeardownStart`; no callbacks for new operations, and the draining call for those that
/// wait for completion; `InstanceTeardownComplete` once nothing is pended any more; the contexts
/// go with the last reference.
pub(crate) fn teardown(instance: &Arc<Instance>, reason: FLT_INSTANCE_TEARDOWN_FLAGS) {
    let Some(machine) = instance.machine().upgrade() else {
        return;
    };
    if !claim(&machine, instance) {
        return;
    }
    instance.references.begin();
    let callbacks = &instance.filter.registration.callbacks;
    let related = instance.related();
    if let Some(start) = callbacks.InstanceTeardownStartCallback {
        let _scope = Scope::enter(&machine, Callback::TeardownStart, PASSIVE_LEVEL);
        // SAFETY: the driver registered this callback, and is loaded while its filter exists.
        unsafe { start(&raw const related, reason) };
    }
    instance.advance(InstanceState::Started);
    remove(instance);
    drain(&machine, instance);
    if let Some(complete) = callbacks.InstanceTeardownCompleteCallback {
        let _scope = Scope::enter(&machine, Callback::TeardownComplete, PASSIVE_LEVEL);
        // SAFETY: as above.
        unsafe { complete(&raw const related, reason) };
    }
    let transactions = machine.transactions.lock().clone();
    for transaction in transactions {
        transaction.forget_instance(&machine, instance);
    }
    instance.advance(InstanceState::Complete);
    if instance.references.count() == 0 {
        finalize(instance);
    }
}

/// Takes the teardown of an instance upon this thread; `false` if another thread has it, which is
/// then waited for, so that both callers may rely on its being done.
fn claim(machine: &Inner, instance: &Instance) -> bool {
    let mut busy = instance.busy.lock();
    while instance.state() == InstanceState::Attaching {
        if instance.attaches == thread::current().id() {
            let text = "InstanceSetup waits for its own instance to be torn down: that would hang";
            machine.verifier.violation(Rule::V20, "InstanceSetup", text);
            return false;
        }
        instance.changed.wait(&mut busy);
    }
    if instance.state() == InstanceState::Active {
        let starting = InstanceState::Starting as u8;
        instance.state.store(starting, Ordering::Release);
        return true;
    }
    while instance.state() < InstanceState::Complete {
        instance.changed.wait(&mut busy);
    }
    false
}

/// Gives every operation that waits for completion its draining call, and waits for the rest: those
/// whose buffer the instance swapped, because what is below still uses it, callbacks, and requests of
/// the filter's own.
fn drain(machine: &Arc<Inner>, instance: &Arc<Instance>) {
    let patience = machine.config.unload_wait;
    let mut deadline = Instant::now() + patience;
    let mut forced = false;
    let report = |text: &str| {
        let verifier = &machine.verifier;
        verifier.violation(Rule::V20, "InstanceTeardownStart", text);
    };
    let mut busy = instance.busy.lock();
    loop {
        let waiting: Vec<_> = busy
            .waiting
            .iter()
            .filter(|(_, waiting)| forced || !waiting.swapped)
            .map(|((_, layer), waiting)| (Arc::clone(&waiting.operation), *layer))
            .collect();
        if !waiting.is_empty() {
            MutexGuard::unlocked(&mut busy, || {
                for (operation, layer) in waiting {
                    io::drain(&operation, layer);
                }
            });
            deadline = Instant::now() + patience;
            continue;
        }
        let before = busy.count();
        if before == (0, 0, 0) {
            return;
        }
        let timed_out = instance.changed.wait_until(&mut busy, deadline).timed_out();
        if busy.count() != before {
            deadline = Instant::now() + patience;
        } else if timed_out {
            let pended: Vec<_> = busy
                .pended
                .drain()
                .map(|(_, operation)| operation)
                .collect();
            deadline = Instant::now() + patience;
            if pended.is_empty() && !busy.waiting.is_empty() && !forced {
                forced = true;
                let text = format!(
                    "an operation whose buffer {} has swapped never completes: teardown would hang",
                    instance.name
                );
                report(&text);
                continue;
            }
            if busy.active == 0 && busy.waiting.is_empty() {
                let text = format!(
                    "a request that the filter has sent from {} never completes: teardown would hang",
                    instance.name
                );
                report(&text);
                return;
            }
            let hopeless = pended.is_empty() && within_operation();
            MutexGuard::unlocked(&mut busy, || abandon(machine, instance, &pended));
            if hopeless {
                report("an operation callback waits for its own instance to be torn down");
                return;
            }
        }
    }
}

/// Whether this thread is in a callback that teardown waits for, and that cannot end while the
/// thread waits.
fn within_operation() -> bool {
    scope::within(|callback| {
        matches!(
            callback,
            Callback::Pre(_)
                | Callback::Post(_)
                | Callback::Notification
                | Callback::SectionConflict
        )
    })
}

/// What would hang a real machine: reports the operations that are still pended, and completes
/// them in the driver's place.
fn abandon(machine: &Arc<Inner>, instance: &Instance, pended: &[Arc<Operation>]) {
    for operation in pended {
        machine.verifier.leak(
            Rule::V20,
            "InstanceTeardownStart",
            Leak {
                object: "pended operation",
                kind: None,
                pool: None,
                size: 0,
                count: 1,
                address: operation.pointer() as usize,
                acquired: Vec::new(),
                note: format!(
                    "{} of instance {} was pended and never completed: teardown would hang",
                    io::major_name(operation.major),
                    instance.name
                ),
            },
        );
        io::abandon(operation);
    }
}

/// Deletes the contexts of an instance that is torn down and no longer referenced.
pub(crate) fn finalize(instance: &Arc<Instance>) {
    let Some(machine) = instance.machine().upgrade() else {
        return;
    };
    {
        // While `InstanceTeardownComplete` is still to come, the teardown itself finalizes.
        let busy = instance.busy.lock();
        if instance.state() != InstanceState::Complete {
            return;
        }
        let gone = InstanceState::Gone as u8;
        instance.state.store(gone, Ordering::Release);
        drop(busy);
    }
    machine.contexts.instance_gone(&machine, instance);
    let mut instances = instance.filter.instances.lock();
    instances.retain(|other| other.id != instance.id);
    drop(instances);
    machine.progress.notify();
}

#[cfg(test)]
mod tests {
    use super::compare_altitudes;

    #[test]
    fn altitudes_are_numbers() {
        assert!(compare_altitudes("385000", "45000").is_gt());
        assert!(compare_altitudes("0385000", "385000").is_eq());
        assert!(compare_altitudes("385000.5", "385000").is_gt());
        assert!(compare_altitudes("385000.50", "385000.5").is_eq());
        assert!(compare_altitudes("385000.05", "385000.5").is_lt());
        assert!(compare_altitudes("100", "99.9").is_gt());
        assert!(compare_altitudes("x", "1").is_lt());
    }
}
