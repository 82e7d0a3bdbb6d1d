//! Filters: registering, filtering, unregistering.

use super::port::{self, ClientPort};
use super::reference::{Held, Rundown};
use super::registration::Registration;
use super::{Instance, Object, instance, publish};
use crate::io;
use crate::kernel::registry::{self, DriverRecord, InstanceDefinition};
use crate::kernel::scope::{self, Callback};
use crate::machine::Inner;
use crate::verifier::{Leak, Rule};
use fltmgr_sys::*;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// How far a filter has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum FilterState {
    /// `FltStartFiltering` has not been called.
    Registered,
    Active,
    /// `FltUnregisterFilter` has been called.
    Unregistering,
    /// It has returned.
    Gone,
}

/// A registered minifilter.
pub(crate) struct Filter {
    pub(crate) id: u64,
    pub(crate) machine: Weak<Inner>,
    pub(crate) name: String,
    pub(crate) driver: Weak<DriverRecord>,
    /// The altitude of the default instance, as it was in the registry at registration.
    altitude: String,
    pub(crate) registration: Registration,
    pub(crate) references: Rundown,
    /// File name information structures that it has not released.
    pub(crate) names: AtomicU64,
    /// Other objects that it has to give back: section handles, for one.
    pub(crate) held: Held,
    /// Its connections with user mode.
    pub(crate) clients: Mutex<Vec<Arc<ClientPort>>>,
    /// Instances that still exist, attached or not.
    pub(crate) instances: Mutex<Vec<Arc<Instance>>>,
    /// Contexts that exist.
    pub(crate) contexts: AtomicU64,
    /// Its driver is being unloaded by force.
    pub(crate) mandatory: AtomicBool,
    state: AtomicU8,
}

impl Filter {
    /// What a driver knows it by.
    pub(crate) fn pointer(self: &Arc<Self>) -> PFLT_FILTER {
        Arc::as_ptr(self).cast_mut().cast()
    }

    pub(crate) fn state(&self) -> FilterState {
        match self.state.load(Ordering::Acquire) {
            0 => FilterState::Registered,
            1 => FilterState::Active,
            2 => FilterState::Unregistering,
            _ => FilterState::Gone,
        }
    }

    fn advance(&self, from: FilterState, to: FilterState) -> bool {
        self.state
            .compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// The altitude of the default instance.
    pub(crate) fn altitude(&self) -> &str {
        &self.altitude
    }

    /// What the registry says of the filter's instances now, the default one first.
    fn definitions(&self) -> Vec<InstanceDefinition> {
        let machine = self.machine.upgrade();
        let found = machine.map(|machine| registry::definitions(&machine.registry, &self.name));
        found.and_then(Result::ok).unwrap_or_default()
    }

    /// The instance definition of a name, or the default one.
    pub(crate) fn definition(&self, name: Option<&str>) -> Option<InstanceDefinition> {
        let mut definitions = self.definitions().into_iter();
        definitions.find(|one| name.is_none_or(|name| one.name.eq_ignore_ascii_case(name)))
    }
}

/// `FltRegisterFilter`.
///
/// # Safety
/// As [`Registration::copy`].
pub(crate) unsafe fn register(
    machine: &Arc<Inner>,
    driver: &Arc<DriverRecord>,
    registration: *const FLT_REGISTRATION,
) -> Result<Arc<Filter>, NTSTATUS> {
    const CALL: &str = "FltRegisterFilter";
    // SAFETY: passed on to the caller.
    let copied = unsafe { Registration::copy(registration, &machine.config) };
    let registration = copied.map_err(|(status, text)| {
        machine.verifier.violation(Rule::V21, CALL, text);
        status
    })?;
    let definitions = registry::definitions(&machine.registry, &driver.config.name)?;
    let default = definitions.into_iter().next();
    let altitude = default.ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?.altitude;
    let mut registered = driver.filter.lock();
    if registered.is_some() {
        return Err(STATUS_FLT_DUPLICATE_ENTRY);
    }
    let filter = Arc::new(Filter {
        id: machine.next_id(),
        machine: Arc::downgrade(machine),
        name: driver.config.name.clone(),
        driver: Arc::downgrade(driver),
        altitude,
        registration,
        references: Rundown::default(),
        names: AtomicU64::new(0),
        held: Held::default(),
        clients: Mutex::default(),
        instances: Mutex::default(),
        contexts: AtomicU64::new(0),
        mandatory: AtomicBool::new(false),
        state: AtomicU8::new(FilterState::Registered as u8),
    });
    *registered = Some(Arc::clone(&filter));
    drop(registered);
    machine.filters.write().push(Arc::clone(&filter));
    publish(
        machine,
        filter.pointer() as usize,
        Object::Filter(Arc::clone(&filter)),
    );
    Ok(filter)
}

/// `FltStartFiltering`: attaches to every volume that is mounted.
pub(crate) fn start_filtering(machine: &Arc<Inner>, filter: &Arc<Filter>) -> NTSTATUS {
    if !filter.advance(FilterState::Registered, FilterState::Active) {
        return if filter.references.is_deleting() {
            STATUS_FLT_DELETING_OBJECT
        } else {
            STATUS_INVALID_PARAMETER
        };
    }
    let volumes = machine.volumes.read().clone();
    for volume in volumes {
        if !volume.is_dismounted() {
            attach_automatically(filter, &volume, FLTFL_INSTANCE_SETUP_AUTOMATIC_ATTACHMENT);
        }
    }
    STATUS_SUCCESS
}

/// Attaches every instance definition that wants to be attached.
pub(crate) fn attach_automatically(
    filter: &Arc<Filter>,
    volume: &Arc<super::Volume>,
    flags: FLT_INSTANCE_SETUP_FLAGS,
) {
    for definition in filter.definitions() {
        if definition.flags & 1 == 0 {
            // A filter that does not want the volume says so by failing, which is its right.
            let _ = instance::attach(filter, volume, Some(&definition.name), None, flags);
        }
    }
}

/// Drops one reference on an instance and finishes it if it was the last thing that kept it.
pub(crate) fn release_instance(instance: &Arc<Instance>) -> bool {
    let Some(left) = instance.references.release() else {
        return false;
    };
    if left == 0 && instance.state() == instance::InstanceState::Complete {
        instance::finalize(instance);
    }
    if let Some(machine) = instance.machine().upgrade() {
        machine.progress.notify();
    }
    true
}

/// `FltUnregisterFilter`.
pub(crate) fn unregister(machine: &Arc<Inner>, filter: &Arc<Filter>) {
    const CALL: &str = "FltUnregisterFilter";
    if scope::within(|callback| matches!(callback, Callback::ContextCleanup(_))) {
        let text = "a context cleanup callback cannot wait for the filter's contexts";
        machine.verifier.violation(Rule::V19, CALL, text);
        return;
    }
    let started = filter.advance(FilterState::Registered, FilterState::Unregistering)
        || filter.advance(FilterState::Active, FilterState::Unregistering);
    if !started {
        let text = format!("filter {} was unregistered twice", filter.name);
        machine.verifier.violation(Rule::V20, CALL, text);
        return;
    }
    filter.references.begin();
    let reason = if filter.mandatory.load(Ordering::Acquire) {
        FLTFL_INSTANCE_TEARDOWN_MANDATORY_FILTER_UNLOAD
    } else {
        FLTFL_INSTANCE_TEARDOWN_FILTER_UNLOAD
    };
    port::disconnect_all(machine, filter);
    let instances = filter.instances.lock().clone();
    for instance in instances {
        instance::teardown(&instance, reason);
    }
    machine.contexts.filter_gone(machine, filter);
    if !wait(machine, filter) {
        report_leaks(machine, filter);
    }
    for leak in filter.held.take() {
        machine.verifier.leak(Rule::V20, CALL, leak);
    }
    io::forget_own(filter);
    machine
        .filters
        .write()
        .retain(|other| other.id != filter.id);
    filter
        .state
        .store(FilterState::Gone as u8, Ordering::Release);
    if let Some(driver) = filter.driver.upgrade() {
        *driver.filter.lock() = None;
    }
}

/// Waits until nothing of a filter is left; `false` if there was no progress for too long.
fn wait(machine: &Arc<Inner>, filter: &Filter) -> bool {
    machine.progress.wait(machine.config.unload_wait, || {
        filter.contexts.load(Ordering::SeqCst) == 0
            && filter.references.count() == 0
            && filter.instances.lock().is_empty()
            && filter.names.load(Ordering::SeqCst) == 0
            && !port::is_any_open(machine, filter)
    })
}

/// Says what a filter left behind, and takes it away from it.
fn report_leaks(machine: &Arc<Inner>, filter: &Arc<Filter>) {
    const CALL: &str = "FltUnregisterFilter";
    let object = |object, address, references: &Rundown| Leak {
        object,
        kind: None,
        pool: None,
        size: 0,
        count: references.count(),
        address,
        acquired: references.acquired(),
        note: String::new(),
    };
    port::report_open(machine, filter, CALL);
    for (rule, leak) in machine.contexts.leaks(filter) {
        machine.verifier.leak(rule, CALL, leak);
    }
    let instances = filter.instances.lock().clone();
    for instance in &instances {
        if instance.references.count() > 0 {
            let address = instance.pointer() as usize;
            let leak = object("instance", address, &instance.references);
            machine.verifier.leak(Rule::V20, CALL, leak);
        }
    }
    if filter.references.count() > 0 {
        let leak = object("filter", filter.pointer() as usize, &filter.references);
        machine.verifier.leak(Rule::V20, CALL, leak);
    }
    let volumes = machine.volumes.read().clone();
    for volume in volumes {
        for leak in volume.io.names.leaks(filter) {
            machine.verifier.leak(Rule::V20, CALL, leak);
        }
        volume.io.names.zap(filter);
    }
    machine.contexts.zap(machine, filter);
    for instance in instances {
        instance.references.zap();
        instance::finalize(&instance);
    }
    filter.references.zap();
}

/// Says which volumes a driver still references, once no filter is left that could let go.
pub(crate) fn report_volumes(machine: &Inner, call: &'static str) {
    for volume in machine.volumes.read().iter() {
        if volume.references.count() > 0 {
            let leak = Leak {
                object: "volume",
                kind: None,
                pool: None,
                size: 0,
                count: volume.references.count(),
                address: volume.pointer() as usize,
                acquired: volume.references.acquired(),
                note: String::new(),
            };
            machine.verifier.leak(Rule::V20, call, leak);
            volume.references.zap();
        }
    }
}
