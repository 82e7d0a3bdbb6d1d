//! One simulated computer.

use crate::config::{Config, WindowsVersion};
use crate::filesystem::{FileSystem, Personality, TeardownPolicy};
use crate::io::{self, VolumeIo};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::kernel::device;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::kernel::ex_timer::ExTimers;
use crate::kernel::fault::{Fault, Faults};
use crate::kernel::file_lock;
use crate::kernel::handle::Handles;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::kernel::io_work_item::IoWorkItems;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::kernel::irp::Irps;
use crate::kernel::irql;
use crate::kernel::mdl::{self, Mdls};
use crate::kernel::namespace::Namespace;
use crate::kernel::notify::Notify;
use crate::kernel::pool::Pool;
use crate::kernel::registry::{DriverConfig, DriverRecord, Hive, Registry, SERVICES};
use crate::kernel::scope::{Callback, Scope};
use crate::kernel::section::Section;
use crate::kernel::shared_section::Views;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::kernel::thread::{self, Thread};
use crate::kernel::work_queue::WorkQueue;
use crate::manager::context::{ContextInfo, ContextStore, ObjectKey};
use crate::manager::filter::{self, FilterState};
use crate::manager::instance::{self, InstanceInfo, compare_altitudes};
use crate::manager::port::ServerPort;
use crate::manager::reference::Held;
use crate::manager::statistics::{Counters, Statistics};
use crate::manager::volume::VolumeDevice;
use crate::manager::{self, Filter, Object, ecp, forget_machine, publish};
use crate::storage::{MemoryStorage, Storage};
use crate::verifier::{Leak, Report, Rule, Verifier};
use fltmgr_sys::*;
use parking_lot::{Condvar, Mutex, RwLock};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The entry point of a driver.
#[cfg(target_arch = "x86_64")]
pub type DriverEntry = unsafe extern "win64" fn(PDRIVER_OBJECT, PCUNICODE_STRING) -> NTSTATUS;
/// The entry point of a driver.
#[cfg(not(target_arch = "x86_64"))]
pub type DriverEntry = unsafe extern "system" fn(PDRIVER_OBJECT, PCUNICODE_STRING) -> NTSTATUS;

/// Everything of one machine.
pub(crate) struct Inner {
    this: Weak<Inner>,
    pub(crate) config: Config,
    pub(crate) verifier: Verifier,
    pub(crate) contexts: ContextStore,
    pub(crate) counters: Counters,
    pub(crate) faults: Faults,
    pub(crate) pool: Pool,
    pub(crate) work_queue: WorkQueue,
    pub(crate) progress: Progress,
    pub(crate) registry: Hive,
    pub(crate) random: Mutex<ChaCha8Rng>,
    pub(crate) filters: RwLock<Vec<Arc<Filter>>>,
    pub(crate) volumes: RwLock<Vec<Arc<manager::Volume>>>,
    pub(crate) transactions: Mutex<Vec<Arc<manager::Transaction>>>,
    pub(crate) drivers: Mutex<Vec<Arc<DriverRecord>>>,
    pub(crate) handles: Handles,
    pub(crate) mdls: Mdls,
    /// The names of the Object Manager.
    pub(crate) names: Namespace,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub(crate) irps: Irps,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub(crate) work_items: IoWorkItems,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub(crate) timers: ExTimers,
    /// Views of sections that drivers have created.
    pub(crate) views: Views,
    /// Routines that drivers have registered.
    pub(crate) notify: Notify,
    /// What the drivers together have and must give back.
    pub(crate) held: Held,
    /// Addresses of objects that are gone, oldest first.
    pub(crate) retired: Mutex<VecDeque<usize>>,
    /// The threads that drivers have started and that have not ended.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub(crate) threads: Mutex<Vec<Arc<Thread>>>,
    pub(crate) ecps: ecp::Store,
    /// Server ports that are open.
    pub(crate) ports: Mutex<Vec<Arc<ServerPort>>>,
    /// The sections that exist, for finding the one that a view is of.
    pub(crate) sections: Mutex<Vec<Arc<Section>>>,
    /// Objects that have ended and whose contexts go when the machine gets to it.
    pub(crate) later: Mutex<Vec<ObjectKey>>,
    pub(crate) debug: Mutex<Vec<String>>,
    /// Addresses that were published for objects of this machine.
    pub(crate) addresses: Mutex<Vec<usize>>,
    next: AtomicU64,
}

impl Inner {
    /// An identifier that no other object of this machine has.
    pub(crate) fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The owner of this machine, unless it is being dropped.
    pub(crate) fn this(&self) -> Option<Arc<Self>> {
        self.this.upgrade()
    }

    /// The volumes that are mounted, in the order in which they were.
    pub(crate) fn mounted(&self) -> Vec<Arc<manager::Volume>> {
        let mut volumes = self.volumes.read().clone();
        volumes.retain(|volume| !volume.is_dismounted());
        volumes
    }

    /// The volume that a device object stands for, mounted or not.
    pub(crate) fn volume_of_device(&self, device: PDEVICE_OBJECT) -> Option<Arc<manager::Volume>> {
        let volumes = self.volumes.read();
        let mut volumes = volumes.iter();
        volumes.find(|volume| volume.device() == device).cloned()
    }

    /// One of so many possibilities, by the machine's seed.
    pub(crate) fn choose(&self, possibilities: usize) -> usize {
        self.random.lock().random_range(0..possibilities)
    }

    /// Does what was put off: contexts of transactions that have ended.
    pub(crate) fn pump(self: &Arc<Self>) {
        let later = std::mem::take(&mut *self.later.lock());
        for object in later {
            self.contexts.object_gone(self, object);
        }
    }

    /// Waits until the work queue is empty and does what was put off.
    pub(crate) fn settle(self: &Arc<Self>) {
        self.pump();
        self.work_queue.settle(Duration::from_secs(10));
    }

    /// How one more asynchronous request of a driver is completed.
    pub(crate) fn asynchronous_completion(&self) -> io::Completion {
        let seeded = || match self.choose(3) {
            0 => io::Completion::Synchronous,
            1 => io::Completion::Worker,
            _ => io::Completion::Dispatch,
        };
        let pinned = self.config.policies.asynchronous_io;
        pinned.unwrap_or_else(seeded)
    }

    /// A teardown policy for one more file system.
    pub(crate) fn stream_teardown(&self, volume: u64) -> TeardownPolicy {
        let seeded = TeardownPolicy::Seeded(self.config.seed ^ volume.rotate_left(32));
        self.config.policies.stream_teardown.unwrap_or(seeded)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // First the threads, which may still look objects up.
        drop(std::mem::take(&mut self.work_queue));
        forget_machine(self, self.addresses.get_mut());
    }
}

/// Lets one thread wait for what others do.
#[derive(Default)]
pub(crate) struct Progress {
    waiting: AtomicUsize,
    generation: Mutex<u64>,
    changed: Condvar,
}

impl Progress {
    /// Something was released.
    pub(crate) fn notify(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            *self.generation.lock() += 1;
            self.changed.notify_all();
        }
    }

    /// Waits until a condition holds; `false` if nothing was released for too long.
    pub(crate) fn wait(&self, patience: Duration, done: impl Fn() -> bool) -> bool {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let result = self.wait_counted(patience, done);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn wait_counted(&self, patience: Duration, done: impl Fn() -> bool) -> bool {
        loop {
            let before = *self.generation.lock();
            if done() {
                return true;
            }
            let deadline = Instant::now() + patience;
            let mut generation = self.generation.lock();
            while *generation == before {
                if self
                    .changed
                    .wait_until(&mut generation, deadline)
                    .timed_out()
                {
                    drop(generation);
                    return done();
                }
            }
        }
    }
}

/// A simulated computer. Clones are the same computer.
#[derive(Clone)]
pub struct Machine {
    pub(crate) inner: Arc<Inner>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl Machine {
    /// Starts a machine without volumes or drivers.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let inner = Arc::new_cyclic(|this| Inner {
            this: Weak::clone(this),
            verifier: Verifier::new(config.bugcheck, config.backtraces),
            contexts: ContextStore::default(),
            counters: Counters::default(),
            faults: Faults::default(),
            pool: Pool::default(),
            work_queue: WorkQueue::default(),
            progress: Progress::default(),
            registry: Hive::default(),
            random: Mutex::new(ChaCha8Rng::seed_from_u64(config.seed)),
            filters: RwLock::default(),
            volumes: RwLock::default(),
            transactions: Mutex::default(),
            drivers: Mutex::default(),
            handles: Handles::default(),
            mdls: Mdls::default(),
            names: Namespace::default(),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            irps: Irps::default(),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            work_items: IoWorkItems::default(),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            timers: ExTimers::default(),
            views: Views::default(),
            notify: Notify::default(),
            held: Held::default(),
            retired: Mutex::default(),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            threads: Mutex::default(),
            ecps: ecp::Store::default(),
            ports: Mutex::default(),
            sections: Mutex::default(),
            later: Mutex::default(),
            debug: Mutex::default(),
            addresses: Mutex::default(),
            next: AtomicU64::new(1),
            config,
        });
        Self { inner }
    }

    /// Mounts a volume. Every filter that is filtering attaches to it, from the highest altitude
    /// to the lowest.
    #[must_use]
    pub fn add_volume(&self, config: VolumeConfig) -> Volume {
        let inner = &self.inner;
        let id = inner.next_id();
        let file_system = FileSystem::new(
            config.storage,
            config.personality.clone(),
            inner.stream_teardown(id),
        );
        let io = VolumeIo::new(file_system);
        let object = Arc::new(manager::Volume::new(
            Arc::downgrade(inner),
            id,
            config.name,
            config.personality,
            config.read_only,
            io,
        ));
        let address = object.pointer() as usize;
        publish(inner, address, Object::Volume(Arc::clone(&object)));
        VolumeDevice::publish(inner, &object);
        inner.volumes.write().push(Arc::clone(&object));
        let mut filters = inner.filters.read().clone();
        filters.sort_by(|one, two| compare_altitudes(two.altitude(), one.altitude()));
        let flags =
            FLTFL_INSTANCE_SETUP_AUTOMATIC_ATTACHMENT | FLTFL_INSTANCE_SETUP_NEWLY_MOUNTED_VOLUME;
        for filter in filters {
            if filter.state() == FilterState::Active {
                filter::attach_automatically(&filter, &object, flags);
            }
        }
        Volume {
            machine: self.clone(),
            object,
        }
    }

    /// Installs a driver: its service key and its driver object. It is not entered yet.
    #[must_use]
    pub fn create_driver(&self, config: DriverConfig) -> Driver {
        config.install(&self.inner.registry);
        let record = Arc::new(DriverRecord::new(Arc::downgrade(&self.inner), config));
        let address = record.pointer() as usize;
        publish(&self.inner, address, Object::Driver(Arc::clone(&record)));
        self.inner.drivers.lock().push(Arc::clone(&record));
        Driver {
            machine: self.clone(),
            record,
        }
    }

    /// The registry: what drivers read, and what they wrote.
    #[must_use]
    pub fn registry(&self) -> Registry {
        Registry::new(&self.inner)
    }

    /// Attaches a filter to a volume by request, as `fltmc attach` does.
    ///
    /// # Errors
    /// `STATUS_FLT_FILTER_NOT_FOUND` if the driver has no filter, or the status of the attachment.
    pub fn attach(
        &self,
        driver: &Driver,
        volume: &Volume,
        name: Option<&str>,
    ) -> Result<(), NTSTATUS> {
        let filter = driver.active_filter()?;
        let flags = FLTFL_INSTANCE_SETUP_MANUAL_ATTACHMENT;
        instance::attach(&filter, &volume.object, name, None, flags).map(|_| ())
    }

    /// Detaches a filter from a volume by request, as `fltmc detach` does.
    ///
    /// # Errors
    /// `STATUS_FLT_INSTANCE_NOT_FOUND`, or what `InstanceQueryTeardown` says.
    pub fn detach(&self, driver: &Driver, volume: &Volume) -> Result<(), NTSTATUS> {
        self.detach_named(driver, volume, None)
    }

    /// As [`Machine::detach`], of one instance by name.
    ///
    /// # Errors
    /// As [`Machine::detach`].
    pub fn detach_named(
        &self,
        driver: &Driver,
        volume: &Volume,
        name: Option<&str>,
    ) -> Result<(), NTSTATUS> {
        let _ = self;
        let filter = driver.active_filter()?;
        instance::detach(&filter, &volume.object, name)
    }

    /// Begins a transaction.
    #[must_use]
    pub fn begin_transaction(&self) -> Transaction {
        let object = manager::Transaction::begin(&self.inner);
        Transaction {
            machine: self.clone(),
            object,
        }
    }

    /// What is known about a context; `None` if there never was one at this address.
    #[must_use]
    pub fn context(&self, context: PFLT_CONTEXT) -> Option<ContextInfo> {
        self.inner.contexts.info(context as usize)
    }

    /// The references on a context, its link included; 0 if it is freed or unknown.
    #[must_use]
    pub fn reference_count(&self, context: PFLT_CONTEXT) -> u32 {
        self.context(context).map_or(0, |info| info.references)
    }

    /// All counters.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.inner.counters.snapshot()
    }

    /// How often an export was called.
    #[must_use]
    pub fn calls(&self, export: &str) -> u64 {
        self.inner.counters.calls(export)
    }

    /// Lets something fail.
    pub fn inject(&self, fault: Fault) {
        self.inner.faults.inject(fault);
    }

    /// Runs code of a test at an IRQL, on this thread and inside this machine.
    pub fn at_irql<T>(&self, level: KIRQL, run: impl FnOnce() -> T) -> T {
        let _scope = Scope::enter(&self.inner, Callback::Other, level);
        run()
    }

    /// What drivers printed.
    #[must_use]
    pub fn debug_output(&self) -> Vec<String> {
        self.inner.debug.lock().clone()
    }

    /// The reports so far.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.inner.verifier
    }

    /// Waits until the work queue is empty and does what was put off.
    pub fn settle(&self) {
        self.inner.settle();
        // What was put off may have queued work, and work may have put something off.
        self.inner.settle();
    }

    /// Which Windows this machine behaves like.
    #[must_use]
    pub fn windows(&self) -> WindowsVersion {
        self.inner.config.windows
    }

    /// Settles, looks for what was left behind, and sums up.
    #[must_use]
    pub fn finish(&self) -> Outcome {
        self.settle();
        let inner = &self.inner;
        if inner.filters.read().is_empty() {
            filter::report_volumes(inner, "");
            inner.handles.report(inner, "");
            report_kernel(inner, "");
            inner.pool.report_leaks(inner, "");
        }
        for transaction in inner.transactions.lock().iter() {
            transaction.report(inner);
        }
        Outcome {
            leaks: inner.verifier.leaks(),
            violations: inner.verifier.violations(),
            bugchecks: inner.verifier.bugchecks(),
            statistics: self.statistics(),
        }
    }
}

/// What became of a machine.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What drivers left behind.
    pub leaks: Vec<Leak>,
    /// Rules that they broke.
    pub violations: Vec<Report>,
    /// What would have stopped a real machine.
    pub bugchecks: Vec<Report>,
    /// All counters.
    pub statistics: Statistics,
}

impl Outcome {
    /// Whether there is nothing to complain about.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.leaks.is_empty() && self.violations.is_empty() && self.bugchecks.is_empty()
    }
}

/// What a volume is made of.
pub struct VolumeConfig {
    name: String,
    personality: Personality,
    storage: Box<dyn Storage>,
    read_only: bool,
}

impl fmt::Debug for VolumeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VolumeConfig")
            .field("name", &self.name)
            .field("personality", &self.personality)
            .finish_non_exhaustive()
    }
}

impl VolumeConfig {
    /// An empty volume in memory.
    #[must_use]
    pub fn memory(name: impl Into<String>, personality: Personality) -> Self {
        Self::storage(name, personality, Box::new(MemoryStorage::new()))
    }

    /// A volume on any storage, e.g. a host directory.
    #[must_use]
    pub fn storage(
        name: impl Into<String>,
        personality: Personality,
        storage: Box<dyn Storage>,
    ) -> Self {
        Self {
            name: name.into(),
            personality,
            storage,
            read_only: false,
        }
    }

    /// A volume whose files are those of a host directory.
    #[must_use]
    pub fn host(
        name: impl Into<String>,
        personality: Personality,
        storage: crate::storage::HostStorage,
    ) -> Self {
        Self::storage(name, personality, Box::new(storage))
    }

    /// The volume is write-protected.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }
}

/// A mounted volume.
#[derive(Clone)]
pub struct Volume {
    pub(crate) machine: Machine,
    pub(crate) object: Arc<manager::Volume>,
}

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Volume").field(&self.object.name).finish()
    }
}

impl Volume {
    /// What a driver knows it by.
    #[must_use]
    pub fn pointer(&self) -> PFLT_VOLUME {
        self.object.pointer()
    }

    /// Its device name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.object.name
    }

    /// The instances that are attached, from the highest altitude to the lowest.
    #[must_use]
    pub fn instances(&self) -> Vec<InstanceInfo> {
        let stack = self.object.stack();
        stack
            .iter()
            .map(|instance| InstanceInfo {
                pointer: instance.pointer(),
                filter: instance.filter.name.clone(),
                name: instance.name.clone(),
                altitude: instance.altitude.clone(),
            })
            .collect()
    }

    /// Dismounts the volume: its instances are torn down, its contexts deleted.
    pub fn dismount(&self) {
        if !self.object.begin_dismount() {
            return;
        }
        let inner = &self.machine.inner;
        for instance in self.object.stack() {
            instance::teardown(&instance, FLTFL_INSTANCE_TEARDOWN_VOLUME_DISMOUNT);
        }
        let gone = self.object.io.file_system.dismount();
        io::release_gone(inner, &self.object, &gone);
        inner
            .contexts
            .object_gone(inner, ObjectKey::Volume(self.object.id));
    }

    pub(crate) fn machine(&self) -> &Arc<Inner> {
        &self.machine.inner
    }

    pub(crate) fn volume(&self) -> &Arc<manager::Volume> {
        &self.object
    }
}

/// A transaction.
#[derive(Clone)]
pub struct Transaction {
    pub(crate) machine: Machine,
    pub(crate) object: Arc<manager::Transaction>,
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transaction").field(&self.object.id).finish()
    }
}

impl Transaction {
    /// What a driver knows it by.
    #[must_use]
    pub fn pointer(&self) -> PKTRANSACTION {
        self.object.pointer()
    }

    /// Commits. Returns when every notification but the last has been completed.
    ///
    /// # Errors
    /// What a filter answered to a notification that can still abort the transaction, or
    /// `STATUS_TRANSACTION_NOT_ACTIVE` if it has ended.
    pub fn commit(&self) -> Result<(), NTSTATUS> {
        self.object.commit(&self.machine.inner)
    }

    /// Rolls back, unless the transaction has ended.
    pub fn rollback(&self) {
        // A transaction that has ended cannot be rolled back, and need not be.
        let _ = self.object.rollback(&self.machine.inner);
    }
}

/// How a driver is asked to unload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unload {
    /// As by `fltmc unload`; the driver may refuse.
    Normal,
    /// As by `sc stop`; the driver's refusal is ignored.
    Mandatory,
}

/// An installed driver.
#[derive(Clone)]
pub struct Driver {
    machine: Machine,
    record: Arc<DriverRecord>,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Driver").field(&self.record.config).finish()
    }
}

impl Driver {
    /// Its driver object.
    #[must_use]
    pub fn driver_object(&self) -> PDRIVER_OBJECT {
        self.record.pointer()
    }

    /// The path of its service key.
    #[must_use]
    pub fn registry_path(&self) -> PCUNICODE_STRING {
        self.record.registry_path()
    }

    /// The same path for [`Machine::registry`].
    #[must_use]
    pub fn service_key(&self) -> String {
        format!(r"{SERVICES}\{}", self.record.config.name)
    }

    /// The filter that it has registered.
    #[must_use]
    pub fn filter(&self) -> Option<PFLT_FILTER> {
        let filter = self.record.filter.lock();
        filter.as_ref().map(Filter::pointer)
    }

    fn active_filter(&self) -> Result<Arc<Filter>, NTSTATUS> {
        let filter = self.record.filter.lock().clone();
        let filter = filter.ok_or(STATUS_FLT_FILTER_NOT_FOUND)?;
        match filter.state() {
            FilterState::Registered => Err(STATUS_FLT_FILTER_NOT_READY),
            FilterState::Active => Ok(filter),
            FilterState::Unregistering | FilterState::Gone => Err(STATUS_FLT_DELETING_OBJECT),
        }
    }

    /// Calls the driver's entry point.
    ///
    /// # Errors
    /// The status that it failed with.
    pub fn start(&self, entry: DriverEntry) -> Result<(), NTSTATUS> {
        start(&self.machine.inner, &self.record, entry)
    }

    /// Says where the driver starts, so that another one can load it with `FltLoadFilter`. It is
    /// not entered yet.
    pub fn install(&self, entry: DriverEntry) {
        *self.record.entry.lock() = Some(entry);
    }

    /// Asks the driver to unload.
    ///
    /// # Errors
    /// `STATUS_FLT_FILTER_NOT_FOUND` if it has no filter; `STATUS_FLT_DO_NOT_DETACH` if it cannot
    /// be unloaded this way; otherwise the status that it refused with.
    pub fn unload(&self, how: Unload) -> Result<(), NTSTATUS> {
        unload(&self.machine.inner, &self.record, how)
    }
}

/// Calls the entry point of a driver.
pub(crate) fn start(
    inner: &Arc<Inner>,
    record: &DriverRecord,
    entry: DriverEntry,
) -> Result<(), NTSTATUS> {
    let scope = Scope::enter(inner, Callback::DriverEntry, PASSIVE_LEVEL);
    // SAFETY: the two pointers stay valid while the driver's record exists, which is as long as the
    // machine; that the function is a driver's entry point is what its type says.
    let status = unsafe { entry(record.pointer(), record.registry_path()) };
    drop(scope);
    if nt_success(status) {
        record.running.store(true, Ordering::Release);
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        device::initialized(record);
        return Ok(());
    }
    let what = "DriverEntry failed and left its filter registered";
    abandon(inner, record, true, what);
    Err(status)
}

/// Loads an installed driver by the name of its service, as the system does for `FltLoadFilter`.
///
/// # Errors
/// `STATUS_OBJECT_NAME_NOT_FOUND` if there is none that can be loaded, `STATUS_IMAGE_ALREADY_LOADED`
/// if it runs, `STATUS_FAILED_DRIVER_ENTRY` if it did not start.
pub(crate) fn load(inner: &Arc<Inner>, name: &str) -> Result<(), NTSTATUS> {
    let drivers = inner.drivers.lock().clone();
    let same =
        |record: &Arc<DriverRecord>| record.config.name.to_lowercase() == name.to_lowercase();
    let record = drivers.into_iter().find(same);
    let record = record.ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
    if record.running.load(Ordering::Acquire) {
        return Err(STATUS_IMAGE_ALREADY_LOADED);
    }
    let entry = *record.entry.lock();
    let entry = entry.ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
    start(inner, &record, entry).map_err(|_| STATUS_FAILED_DRIVER_ENTRY)
}

/// Asks a driver to unload.
pub(crate) fn unload(
    inner: &Arc<Inner>,
    record: &DriverRecord,
    how: Unload,
) -> Result<(), NTSTATUS> {
    let filter = record.filter.lock().clone();
    let filter = filter.ok_or(STATUS_FLT_FILTER_NOT_FOUND)?;
    let registration = &filter.registration.callbacks;
    let mandatory = how == Unload::Mandatory;
    let no_stop = FLTFL_REGISTRATION_DO_NOT_SUPPORT_SERVICE_STOP;
    if mandatory && registration.Flags & no_stop != 0 {
        return Err(STATUS_FLT_DO_NOT_DETACH);
    }
    let callback = registration
        .FilterUnloadCallback
        .ok_or(STATUS_FLT_DO_NOT_DETACH)?;
    filter.mandatory.store(mandatory, Ordering::Release);
    let flags = if mandatory {
        FLTFL_FILTER_UNLOAD_MANDATORY
    } else {
        0
    };
    let scope = Scope::enter(inner, Callback::Unload, PASSIVE_LEVEL);
    // SAFETY: the driver registered this callback and is loaded until it returns.
    let status = unsafe { callback(flags) };
    drop(scope);
    if !nt_success(status) && !mandatory {
        return Err(status);
    }
    let what = "FilterUnloadCallback returned and left its filter registered";
    abandon(inner, record, nt_success(status), what);
    record.running.store(false, Ordering::Release);
    if inner.filters.read().is_empty() {
        filter::report_volumes(inner, "FltUnregisterFilter");
        inner.handles.report(inner, "FltUnregisterFilter");
        report_kernel(inner, "FltUnregisterFilter");
        inner.ecps.report(inner, "FltUnregisterFilter");
    }
    Ok(())
}

/// Says what drivers still have of the kernel proper, once no filter is left.
fn report_kernel(inner: &Inner, call: &'static str) {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    thread::report(inner, call);
    mdl::report(inner, call);
    for leak in inner.held.take() {
        inner.verifier.leak(Rule::V20, call, leak);
    }
    file_lock::forget(inner);
}

/// Unregisters a filter that its driver forgot, or did not want to unregister.
fn abandon(inner: &Arc<Inner>, record: &DriverRecord, report: bool, what: &str) {
    let registered = record.filter.lock().clone();
    if let Some(filter) = registered {
        if report {
            inner.verifier.violation(Rule::V20, "", what);
        }
        let _scope = Scope::enter(inner, Callback::Other, irql::current());
        filter::unregister(inner, &filter);
    }
}
