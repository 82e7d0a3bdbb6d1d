//! Two minifilters: one whose contexts hold locks, and one below it that holds reads up.

use std::{
    cell::Cell,
    sync::{
        Arc, Barrier, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use fltctx::{
    PoolBox,
    context::InPlace,
    in_place,
    lock::{FastMutex, PushLock, Resource, SpinLock},
    operation::FlushBuffers,
    prelude::*,
};
use fltsim::{
    Config, Driver, DriverConfig, Handle, Machine, OpenOptions, Outcome, Policies, Unload, Volume,
    VolumeConfig,
    filesystem::{Personality, TeardownPolicy},
};

/// One of each lock, around a sum.
pub(crate) struct Locks {
    pub(crate) push: PushLock<u64>,
    pub(crate) resource: Resource<u64>,
    pub(crate) mutex: FastMutex<u64>,
    pub(crate) spin: SpinLock<u64>,
    pub(crate) other: SpinLock<u64>,
    _drop: Dropped,
}

impl Locks {
    pub(crate) fn recipe() -> impl InPlace<Self> {
        in_place!(Locks {
            push <- PushLock::new(0),
            resource <- Resource::new(0),
            mutex <- FastMutex::new(0),
            spin: SpinLock::new(0),
            other: SpinLock::new(0),
            _drop: Dropped,
        })
    }
}

impl Context for Locks {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"LkSt");
}

/// A context in paged pool whose lock is not.
pub(crate) struct Aside {
    pub(crate) lock: PoolBox<Resource<u64>>,
    /// A handle to a nonpaged context with locks may be kept anywhere.
    pub(crate) neighbour: Option<Shared<Locks>>,
}

impl Context for Aside {
    type Kind = kind::StreamHandle;
    type Pool = pool::Paged;
    const TAG: PoolTag = PoolTag::new(*b"LkAs");
}

/// How many [`Locks`] were dropped since the bench was made.
pub(crate) static CONTEXTS_DROPPED: AtomicU32 = AtomicU32::new(0);
/// How many [`Parcel`]s were dropped since then.
pub(crate) static PARCELS_DROPPED: AtomicU32 = AtomicU32::new(0);
/// Sum of what reached the post-operation callbacks.
pub(crate) static DELIVERED: AtomicU64 = AtomicU64::new(0);
/// How many writes were refused at `DISPATCH_LEVEL`.
pub(crate) static REFUSED: AtomicU32 = AtomicU32::new(0);

struct Dropped;

impl Drop for Dropped {
    fn drop(&mut self) {
        CONTEXTS_DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// More than fits a pointer.
pub(crate) struct Parcel {
    pub(crate) numbers: [u64; 8],
}

impl Parcel {
    pub(crate) const TAG: PoolTag = PoolTag::new(*b"LkPa");

    pub(crate) fn of(number: u64) -> Self {
        Self {
            numbers: [number; 8],
        }
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        PARCELS_DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a test gives to a callback.
type Script = Box<dyn FnOnce(&mut Pre<'_, Locked, FlushBuffers>)>;

thread_local! {
    /// A flush calls back on the thread that sent it, so each thread has a script of its own.
    static SCRIPT: Cell<Option<Script>> = const { Cell::new(None) };
}

/// The driver with locks.
pub(crate) struct Locked;

contexts! { Locked: Locks, Aside }

impl Minifilter for Locked {
    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        Ok(Self)
    }

    fn unload(&self, _request: fltctx::registration::Unload) -> Result<(), Status> {
        Ok(())
    }
}

impl PreOperation<FlushBuffers> for Locked {
    type Completion = NoPostOperation;

    fn pre(&self, flush: &mut Pre<'_, Self, FlushBuffers>) -> PreResult<NoPostOperation> {
        if let Some(script) = SCRIPT.take() {
            script(flush);
        }
        PreResult::no_callback()
    }
}

/// A plain post-operation callback, up to `DISPATCH_LEVEL`.
impl PreOperation<Read> for Locked {
    type Completion = Option<PoolBox<Parcel>>;

    fn pre(&self, read: &mut Pre<'_, Self, Read>) -> PreResult<Self::Completion> {
        let length = u64::from(read.parameters().length);
        match length {
            // Allocated for nothing: the payload is dropped here.
            1 => {
                drop(PoolBox::try_new(Parcel::TAG, Parcel::of(1)));
                PreResult::complete(Status::ACCESS_DENIED, 0)
            }
            2 => PreResult::callback(None),
            _ => match PoolBox::try_new(Parcel::TAG, Parcel::of(length)) {
                Ok(parcel) => PreResult::callback(Some(parcel)),
                Err(error) => {
                    assert_eq!(error.value.numbers, [length; 8]);
                    PreResult::complete(error.into(), 0)
                }
            },
        }
    }
}

impl PostOperation<Read> for Locked {
    fn post(&self, read: &mut Post<'_, Self, Read>, parcel: Self::Completion) {
        let Some(parcel) = parcel else { return };
        let sum: u64 = parcel.numbers.iter().sum();
        // The lock of a static, in the driver's image, under the callback's own token.
        TOTAL.with(read.irql_mut(), |total, _| *total += sum);
        DELIVERED.fetch_add(sum, Ordering::Relaxed);
    }
}

/// What the post-operation callbacks added up, under a lock.
static TOTAL: SpinLock<u64> = SpinLock::new(0);

/// A safe post-operation callback.
impl PreOperation<Write> for Locked {
    type Completion = PoolBox<Parcel>;

    fn pre(&self, write: &mut Pre<'_, Self, Write>) -> PreResult<Self::Completion> {
        let length = u64::from(write.parameters().length);
        PoolBox::try_new(Parcel::TAG, Parcel::of(length))
            .map_or_else(|_| PreResult::no_callback(), PreResult::callback)
    }
}

impl SafePostOperation<Write> for Locked {
    fn safe_post(&self, write: &mut SafePost<'_, Self, Write>, parcel: Self::Completion) {
        assert!(irql() <= fltmgr_sys::APC_LEVEL);
        TOTAL.with(write.irql_mut(), |_, _| {
            assert_eq!(irql(), fltmgr_sys::DISPATCH_LEVEL);
        });
        let parcel = PoolBox::into_inner(parcel);
        DELIVERED.fetch_add(parcel.numbers.iter().sum(), Ordering::Relaxed);
    }

    fn refused(&self, _write: &mut Post<'_, Self, Write>, parcel: Self::Completion) {
        assert_eq!(irql(), fltmgr_sys::DISPATCH_LEVEL);
        REFUSED.fetch_add(1, Ordering::Relaxed);
        drop(parcel);
    }
}

driver_entry!(Locked, operations![FlushBuffers: pre, Read, Write: safe]);

/// The IRQL of this thread, as the kernel says.
pub(crate) fn irql() -> u8 {
    // SAFETY: the routine has no precondition.
    unsafe { fltmgr_sys::KeGetCurrentIrql() }
}

/// The driver below, which lets a test act while a read is under way.
pub(crate) mod gate {
    use super::{Arc, Barrier, Minifilter, Mutex, PoisonError, PreOperation, PreResult, Read};
    use fltctx::{
        Status, contexts, driver_entry,
        operation::{NoPostOperation, Pre},
        registration::DriverEntry,
    };

    /// Where the next read waits, twice: when it has arrived, and until it may go on.
    pub(crate) static GATE: Mutex<Option<Arc<Barrier>>> = Mutex::new(None);

    /// The driver.
    pub(crate) struct Gate;

    contexts! { Gate: }

    impl Minifilter for Gate {
        fn load(_driver: &DriverEntry) -> Result<Self, Status> {
            Ok(Self)
        }
    }

    impl PreOperation<Read> for Gate {
        type Completion = NoPostOperation;

        fn pre(&self, _read: &mut Pre<'_, Self, Read>) -> PreResult<NoPostOperation> {
            let gate = GATE.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(gate) = gate {
                gate.wait();
                gate.wait();
            }
            PreResult::no_callback()
        }
    }

    driver_entry!(Gate, operations![Read: pre]);
}

/// One test's machine, with the driver loaded and attached to one volume.
///
/// The drivers' state is static, as it is on Windows, so one bench exists at a time.
pub(crate) struct Bench {
    pub(crate) machine: Machine,
    pub(crate) volume: Volume,
    pub(crate) driver: Driver,
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

impl Bench {
    pub(crate) fn new() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        CONTEXTS_DROPPED.store(0, Ordering::Relaxed);
        PARCELS_DROPPED.store(0, Ordering::Relaxed);
        DELIVERED.store(0, Ordering::Relaxed);
        REFUSED.store(0, Ordering::Relaxed);
        let machine = Machine::new(
            Config::default()
                .unload_wait(Duration::from_millis(200))
                .policies(Policies {
                    stream_teardown: Some(TeardownPolicy::Immediate),
                    ..Policies::default()
                }),
        );
        let volume = machine.add_volume(VolumeConfig::memory(
            r"\Device\HarddiskVolume1",
            Personality::ntfs(),
        ));
        let driver = machine.create_driver(DriverConfig::new("locked").altitude("385100"));
        driver.start(driver_entry).expect("the driver loads");
        Self {
            machine,
            volume,
            driver,
            _alone: alone,
        }
    }

    /// Opens or creates a file for reading and writing.
    pub(crate) fn open(&self, path: &str) -> Handle {
        self.volume
            .open(path, OpenOptions::create())
            .expect("the file opens")
    }

    /// Unloads the driver; nothing may be left over or reported.
    pub(crate) fn finish(self) -> Outcome {
        let outcome = self.end();
        assert!(outcome.is_clean(), "not clean: {outcome:?}");
        outcome
    }

    /// Unloads the driver and sums up.
    pub(crate) fn end(&self) -> Outcome {
        self.driver
            .unload(Unload::Normal)
            .expect("the driver unloads");
        self.machine.settle();
        let outcome = self.machine.finish();
        for (kind, counts) in &outcome.statistics.contexts {
            assert_eq!(counts.allocated, counts.freed, "{kind:?}");
        }
        let allocated = self.machine.calls("ExAllocatePoolWithTag");
        let freed = self.machine.calls("ExFreePoolWithTag");
        assert_eq!(allocated, freed + NO_MEMORY.take(), "pool allocations");
        outcome
    }
}

thread_local! {
    /// Pool allocations that a test made fail.
    pub(crate) static NO_MEMORY: Cell<u64> = const { Cell::new(0) };
}

impl Drop for Bench {
    /// A test that failed leaves the driver loaded, and the next test could not load it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.driver.unload(Unload::Mandatory);
        }
    }
}

/// Runs `script` in a callback about `handle`, on this thread.
pub(crate) fn on<R: 'static>(
    handle: &Handle,
    script: impl FnOnce(&mut Pre<'_, Locked, FlushBuffers>) -> R + 'static,
) -> R {
    let result = std::rc::Rc::new(Cell::new(None));
    let slot = std::rc::Rc::clone(&result);
    SCRIPT.set(Some(Box::new(move |flush| slot.set(Some(script(flush))))));
    handle.flush().expect("the flush succeeds");
    result.take().expect("the callback ran")
}

/// The context with the locks, made if there is none.
pub(crate) fn locks(flush: &Pre<'_, Locked, FlushBuffers>) -> Shared<Locks> {
    flush
        .slot::<Locks>()
        .get_or_allocate_with(|filter| filter.allocate_in_place(Locks::recipe()))
        .expect("there is a context")
}
