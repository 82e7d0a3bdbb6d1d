//! A minifilter whose callbacks run what a test hands them.

use std::{
    any::Any,
    cell::Cell,
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fltctx::{operation::FlushBuffers, prelude::*};
use fltsim::{
    Config, Driver, DriverConfig, Handle, Machine, OpenOptions, Policies, Unload, Volume,
    VolumeConfig,
    filesystem::{Personality, TeardownPolicy},
};

/// Seeds that every seeded test runs under.
pub(crate) const SEEDS: std::ops::Range<u64> = 0..8;

/// A payload whose drops are counted, by a number that no other payload has.
pub(crate) struct Tracked {
    id: u64,
}

static NEXT: AtomicU64 = AtomicU64::new(1);
static DROPS: Mutex<Option<HashMap<u64, u32>>> = Mutex::new(None);

fn drops_of_all() -> MutexGuard<'static, Option<HashMap<u64, u32>>> {
    DROPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often the payload `id` was dropped.
pub(crate) fn drops(id: u64) -> u32 {
    drops_of_all()
        .as_ref()
        .and_then(|drops| drops.get(&id).copied())
        .unwrap_or(0)
}

impl Default for Tracked {
    fn default() -> Self {
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        *drops_of_all()
            .get_or_insert_default()
            .entry(self.id)
            .or_insert(0) += 1;
    }
}

/// What the six context types have in common.
pub(crate) trait Id {
    /// The number of the payload.
    fn id(&self) -> u64;
}

macro_rules! contexts_of_probe {
    ($($(#[$meta:meta])* $name:ident: $kind:ident, $pool:ident, $tag:literal;)*) => {
        $(
            $(#[$meta])*
            #[derive(Default)]
            pub(crate) struct $name(Tracked);

            impl Id for $name {
                fn id(&self) -> u64 {
                    self.0.id
                }
            }

            impl Context for $name {
                type Kind = kind::$kind;
                type Pool = pool::$pool;
                const TAG: PoolTag = PoolTag::new(*$tag);
            }
        )*

        contexts! { Probe: $($name),* }
    };
}

contexts_of_probe! {
    /// Volume context.
    OnVolume: Volume, NonPaged, b"PrVo";
    /// Instance context.
    OnInstance: Instance, Paged, b"PrIn";
    /// File context.
    OnFile: File, NonPaged, b"PrFi";
    /// Stream context.
    OnStream: Stream, NonPaged, b"PrSt";
    /// Stream handle context.
    OnHandle: StreamHandle, NonPaged, b"PrHa";
    /// Transaction context.
    OnTransaction: Transaction, Paged, b"PrTx";
}

/// What a test gives to a callback.
type Script = Box<dyn FnOnce(&mut Pre<'_, Probe, FlushBuffers>) + Send>;

thread_local! {
    /// A flush calls back on the thread that sent it, so each thread has a script of its own.
    static SCRIPT: Cell<Option<Script>> = const { Cell::new(None) };
}

static HOOKS: Mutex<Hooks> = Mutex::new(Hooks::NONE);

/// Closures that stay in place until they are taken away.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    /// Runs in instance set-up.
    pub setup: Option<Hook<InstanceSetup<'static, Probe>, Result<(), DoNotAttach>>>,
    /// Runs in query teardown.
    pub query_teardown: Option<Arc<dyn Fn() -> Result<(), DoNotDetach> + Send + Sync>>,
    /// Runs in teardown start.
    pub teardown_start: Option<Hook<InstanceTeardown<'static, Probe>, ()>>,
    /// Runs in teardown complete.
    pub teardown_complete: Option<Hook<InstanceTeardown<'static, Probe>, ()>>,
    /// Runs in transaction notifications.
    pub notification: Option<Hook<TransactionNotification<'static, Probe>, ()>>,
    /// Answers unload requests.
    pub unload: Option<AnswerUnload>,
    /// Runs in pre-create, to make a payload.
    pub pre_create: Option<PreCreate>,
    /// Runs in post-create.
    pub post_create: Option<PostCreate>,
    /// Runs in pre-read.
    pub pre_read: Option<PreRead>,
    /// Runs in post-read.
    pub post_read: Option<PostRead>,
    /// Runs in pre-write.
    pub pre_write: Option<PreWrite>,
    /// Runs in the safe post-operation of writes.
    pub safe_write: Option<SafeWrite>,
    /// Runs when that is refused.
    pub refused_write: Option<RefusedWrite>,
    /// Runs before information is set.
    pub pre_set: Option<PreSet>,
    /// Runs in the safe post-operation of that.
    pub safe_set: Option<SafeSet>,
    /// Runs in pre-cleanup.
    pub pre_cleanup: Option<PreCleanup>,
    /// Makes loading fail.
    pub load: Option<Status>,
}

/// The library's unload request, beside the emulator's.
pub(crate) type Unload2 = fltctx::registration::Unload;
type Hook<T, R> = <T as Hooked>::Hook<R>;
type AnswerUnload = Arc<dyn Fn(Unload2) -> Result<(), Status> + Send + Sync>;
type PreCreate =
    Arc<dyn Fn(&mut Pre<'_, Probe, Create>) -> PreResult<Option<Unique<OnHandle>>> + Send + Sync>;
type PostCreate = Arc<dyn Fn(&mut Post<'_, Probe, Create>, Option<Unique<OnHandle>>) + Send + Sync>;
type PreRead =
    Arc<dyn Fn(&mut Pre<'_, Probe, Read>) -> PreResult<Option<Shared<OnStream>>> + Send + Sync>;
type PostRead = Arc<dyn Fn(&mut Post<'_, Probe, Read>, Option<Shared<OnStream>>) + Send + Sync>;
type PreWrite = Arc<dyn Fn(&mut Pre<'_, Probe, Write>) -> PreResult<Payload> + Send + Sync>;
type SafeWrite = Arc<dyn Fn(&mut SafePost<'_, Probe, Write>, Payload) + Send + Sync>;
type RefusedWrite = Arc<dyn Fn(&mut Post<'_, Probe, Write>, Payload) + Send + Sync>;
type PreSet = Arc<dyn Fn(&mut Pre<'_, Probe, SetInformation>) -> PreResult<Payload> + Send + Sync>;
type SafeSet = Arc<dyn Fn(&mut SafePost<'_, Probe, SetInformation>, Payload) + Send + Sync>;
type PreCleanup =
    Arc<dyn Fn(&mut Pre<'_, Probe, Cleanup>) -> PreResult<NoPostOperation> + Send + Sync>;
type Payload = Option<Shared<OnStream>>;

/// Names the closure type for a callback object of any lifetime.
pub(crate) trait Hooked {
    /// The closure type.
    type Hook<R>: Clone;
}

macro_rules! hooked {
    ($($name:ident)*) => {$(
        impl Hooked for $name<'static, Probe> {
            type Hook<R> = Arc<dyn Fn(&mut $name<'_, Probe>) -> R + Send + Sync>;
        }
    )*};
}

hooked!(InstanceSetup InstanceTeardown TransactionNotification);

impl Hooks {
    const NONE: Self = Self {
        setup: None,
        query_teardown: None,
        teardown_start: None,
        teardown_complete: None,
        notification: None,
        unload: None,
        pre_create: None,
        post_create: None,
        pre_read: None,
        post_read: None,
        pre_write: None,
        safe_write: None,
        refused_write: None,
        pre_set: None,
        safe_set: None,
        pre_cleanup: None,
        load: None,
    };
}

fn hooks() -> Hooks {
    HOOKS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The driver.
pub(crate) struct Probe {
    _state: Tracked,
}

/// The number of the state of the probe that was loaded last.
static STATE: AtomicU64 = AtomicU64::new(0);

impl Minifilter for Probe {
    fn load(driver: &DriverEntry) -> Result<Self, Status> {
        assert!(driver.registry_path().to_string().contains("probe"));
        if let Some(status) = hooks().load {
            return Err(status);
        }
        let state = Tracked::default();
        STATE.store(state.id, Ordering::Relaxed);
        Ok(Self { _state: state })
    }

    fn instance_setup(&self, setup: &mut InstanceSetup<'_, Self>) -> Result<(), DoNotAttach> {
        hooks().setup.map_or(Ok(()), |hook| hook(setup))
    }

    fn instance_query_teardown(
        &self,
        _query: &mut InstanceQueryTeardown<'_, Self>,
    ) -> Result<(), DoNotDetach> {
        hooks().query_teardown.map_or(Ok(()), |hook| hook())
    }

    fn instance_teardown_start(&self, teardown: &mut InstanceTeardown<'_, Self>) {
        if let Some(hook) = hooks().teardown_start {
            hook(teardown);
        }
    }

    fn instance_teardown_complete(&self, teardown: &mut InstanceTeardown<'_, Self>) {
        if let Some(hook) = hooks().teardown_complete {
            hook(teardown);
        }
    }

    fn transaction_notification(&self, notification: &mut TransactionNotification<'_, Self>) {
        if let Some(hook) = hooks().notification {
            hook(notification);
        }
    }

    fn unload(&self, request: Unload2) -> Result<(), Status> {
        hooks().unload.map_or(Ok(()), |hook| hook(request))
    }
}

impl PreOperation<FlushBuffers> for Probe {
    type Completion = NoPostOperation;

    fn pre(&self, flush: &mut Pre<'_, Self, FlushBuffers>) -> PreResult<NoPostOperation> {
        if let Some(script) = SCRIPT.take() {
            script(flush);
        }
        PreResult::no_callback()
    }
}

impl PreOperation<Create> for Probe {
    type Completion = Option<Unique<OnHandle>>;

    fn pre(&self, create: &mut Pre<'_, Self, Create>) -> PreResult<Self::Completion> {
        hooks()
            .pre_create
            .map_or_else(PreResult::no_callback, |hook| hook(create))
    }
}

impl PostOperation<Create> for Probe {
    fn post(&self, create: &mut Post<'_, Self, Create>, completion: Self::Completion) {
        if let Some(hook) = hooks().post_create {
            hook(create, completion);
        }
    }
}

impl PreOperation<Read> for Probe {
    type Completion = Option<Shared<OnStream>>;

    fn pre(&self, read: &mut Pre<'_, Self, Read>) -> PreResult<Self::Completion> {
        hooks()
            .pre_read
            .map_or_else(PreResult::no_callback, |hook| hook(read))
    }
}

impl PostOperation<Read> for Probe {
    fn post(&self, read: &mut Post<'_, Self, Read>, completion: Self::Completion) {
        if let Some(hook) = hooks().post_read {
            hook(read, completion);
        }
    }
}

impl PreOperation<Write> for Probe {
    type Completion = Option<Shared<OnStream>>;

    fn pre(&self, write: &mut Pre<'_, Self, Write>) -> PreResult<Self::Completion> {
        hooks()
            .pre_write
            .map_or_else(PreResult::no_callback, |hook| hook(write))
    }
}

impl SafePostOperation<Write> for Probe {
    fn safe_post(&self, write: &mut SafePost<'_, Self, Write>, completion: Self::Completion) {
        if let Some(hook) = hooks().safe_write {
            hook(write, completion);
        }
    }

    fn refused(&self, write: &mut Post<'_, Self, Write>, completion: Self::Completion) {
        if let Some(hook) = hooks().refused_write {
            hook(write, completion);
        }
    }
}

impl PreOperation<SetInformation> for Probe {
    type Completion = Option<Shared<OnStream>>;

    fn pre(&self, set: &mut Pre<'_, Self, SetInformation>) -> PreResult<Self::Completion> {
        hooks()
            .pre_set
            .map_or_else(PreResult::no_callback, |hook| hook(set))
    }
}

impl SafePostOperation<SetInformation> for Probe {
    fn safe_post(&self, set: &mut SafePost<'_, Self, SetInformation>, payload: Self::Completion) {
        if let Some(hook) = hooks().safe_set {
            hook(set, payload);
        }
    }
}

impl PreOperation<Cleanup> for Probe {
    type Completion = NoPostOperation;

    fn pre(&self, cleanup: &mut Pre<'_, Self, Cleanup>) -> PreResult<NoPostOperation> {
        hooks()
            .pre_cleanup
            .map_or_else(PreResult::no_callback, |hook| hook(cleanup))
    }
}

driver_entry!(
    Probe,
    operations![
        FlushBuffers: pre, Create, Read, Write: safe, SetInformation: safe, Cleanup: pre
    ]
);

/// One test's machine, with the probe loaded and attached to one volume.
///
/// The probe's state is static, as a driver's is, so one bench exists at a time.
pub(crate) struct Bench {
    pub machine: Machine,
    pub volume: Volume,
    pub driver: Driver,
    /// The number of the driver's state.
    pub state: u64,
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

#[allow(
    clippy::unused_self,
    reason = "the probe's hooks and scripts are static, and a bench is the right to use them"
)]
impl Bench {
    /// A bench on an NTFS-like volume in memory.
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(seed, Personality::ntfs(), Hooks::default())
    }

    /// A bench with another file system or with hooks in place from the start.
    pub(crate) fn with(seed: u64, personality: Personality, hooks: Hooks) -> Self {
        let mut bench = Self::unloaded(seed, personality, hooks);
        bench.driver.start(driver_entry).expect("the probe loads");
        bench.state = STATE.load(Ordering::Relaxed);
        bench
    }

    /// A bench whose driver has not been entered yet.
    pub(crate) fn unloaded(seed: u64, personality: Personality, hooks: Hooks) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        *HOOKS.lock().unwrap_or_else(PoisonError::into_inner) = hooks;
        let machine = Machine::new(
            Config::default()
                .seed(seed)
                .unload_wait(Duration::from_millis(200))
                .policies(Policies {
                    stream_teardown: Some(TeardownPolicy::Immediate),
                    ..Policies::default()
                }),
        );
        let volume = machine.add_volume(VolumeConfig::memory(
            r"\Device\HarddiskVolume1",
            personality,
        ));
        let driver = machine.create_driver(DriverConfig::new("probe").altitude("385100"));
        Self {
            machine,
            volume,
            driver,
            state: 0,
            _alone: alone,
        }
    }

    /// Opens or creates a file for reading and writing.
    pub(crate) fn open(&self, path: &str) -> Handle {
        self.volume
            .open(path, OpenOptions::create())
            .expect("the file opens")
    }

    /// Runs `script` in a callback about `handle`, where contexts may be got and set.
    pub(crate) fn on<R: Send + 'static>(
        &self,
        handle: &Handle,
        script: impl FnOnce(&mut Pre<'_, Probe, FlushBuffers>) -> R + Send + 'static,
    ) -> R {
        let result: Arc<Mutex<Option<Box<dyn Any + Send>>>> = Arc::default();
        let slot = Arc::clone(&result);
        SCRIPT.set(Some(Box::new(move |flush| {
            let value = script(flush);
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(value));
        })));
        handle.flush().expect("the flush succeeds");
        let value = result
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .expect("the callback ran");
        *value.downcast().expect("the script's own type")
    }

    /// Puts other hooks in place.
    pub(crate) fn hook(&self, hooks: Hooks) {
        *HOOKS.lock().unwrap_or_else(PoisonError::into_inner) = hooks;
    }

    /// References to a context.
    pub(crate) fn count<T: Context>(&self, context: &Shared<T>) -> u32 {
        self.machine.reference_count(context.as_raw())
    }

    /// Unloads the probe and asserts that nothing was leaked, nothing violated, every allocated
    /// context freed, and the driver's state dropped once.
    pub(crate) fn finish(self) {
        self.driver
            .unload(Unload::Normal)
            .expect("the probe unloads");
        self.machine.settle();
        let outcome = self.machine.finish();
        assert!(outcome.is_clean(), "not clean: {outcome:?}");
        for (kind, counts) in &outcome.statistics.contexts {
            assert_eq!(
                counts.allocated, counts.freed,
                "{kind:?}: allocated and freed"
            );
            assert_eq!(counts.live, 0, "{kind:?}: live");
        }
        assert_eq!(drops(self.state), 1, "the state is dropped once");
    }
}

impl Drop for Bench {
    /// A test that failed leaves the probe loaded, and the next test could not load it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.driver.unload(Unload::Mandatory);
        }
    }
}
