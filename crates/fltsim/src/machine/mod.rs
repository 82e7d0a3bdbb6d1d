//! One simulated computer.

mod driver;
mod outcome;
mod progress;
mod transaction;
mod volume;

pub use driver::{Driver, DriverEntry, Unload};
pub(crate) use driver::{load, unload};
pub use outcome::Outcome;
pub(crate) use progress::Progress;
pub use transaction::Transaction;
pub use volume::{Volume, VolumeConfig};

use crate::config::{Config, WindowsVersion};
use crate::filesystem::{FileSystem, TeardownPolicy};
use crate::io::{self, VolumeIo};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::kernel::ex_timer::ExTimers;
use crate::kernel::fault::{Fault, Faults};
use crate::kernel::handle::Handles;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::kernel::io_work_item::IoWorkItems;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::kernel::irp::Irps;
use crate::kernel::mdl::Mdls;
use crate::kernel::namespace::Namespace;
use crate::kernel::notify::Notify;
use crate::kernel::pool::Pool;
use crate::kernel::registry::filter::RegistryFilters;
use crate::kernel::registry::{DriverConfig, DriverRecord, Hive, Registry};
use crate::kernel::scope::{Callback, Scope};
use crate::kernel::section::Section;
use crate::kernel::shared_section::Views;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::kernel::thread::Thread;
use crate::kernel::tracing::Providers;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::kernel::virtual_memory::Regions;
use crate::kernel::work_queue::WorkQueue;
use crate::manager::context::{ContextInfo, ContextStore, ObjectKey};
use crate::manager::filter::{self, FilterState};
use crate::manager::instance::{self, compare_altitudes};
use crate::manager::port::ServerPort;
use crate::manager::reference::Held;
use crate::manager::statistics::{Counters, Statistics};
use crate::manager::volume::VolumeDevice;
use crate::manager::{self, Filter, Object, ecp, forget_machine, publish};
use crate::verifier::Verifier;
use fltmgr_sys::*;
use parking_lot::{Mutex, RwLock};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

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
    /// Pages that drivers have reserved.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub(crate) virtual_memory: Regions,
    /// Views of sections that drivers have created.
    pub(crate) views: Views,
    /// Routines that drivers have registered.
    pub(crate) notify: Notify,
    /// Routines that are told of what is done with the registry.
    pub(crate) registry_filters: RegistryFilters,
    /// Providers of events that drivers have registered.
    pub(crate) providers: Providers,
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
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            virtual_memory: Regions::default(),
            views: Views::default(),
            notify: Notify::default(),
            registry_filters: RegistryFilters::default(),
            providers: Providers::default(),
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
            // No driver is left whose routines could be called.
            inner.registry_filters.forget();
            inner.handles.report(inner, "");
            driver::report_kernel(inner, "");
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
