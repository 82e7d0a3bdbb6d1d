//! One simulated computer with a volume and a raw filter, for one test.
//!
//! A test describes its filter with a [`Plan`], starts it with [`Fixture::new`], does what the
//! assertion says, and ends with [`Fixture::finish`], which unloads the filter and compares what
//! the verifier reported with what the assertion expects.

#![allow(
    dead_code,
    unused_imports,
    reason = "what one assertion does not need, another does"
)]

mod callbacks;
mod context;
mod plan;
mod raw;

pub(crate) use callbacks::{Event, allocate_in};
pub(crate) use context::{Cleanup, Ctx};
pub(crate) use plan::{
    Conflict, InstanceCall, Notification, Plan, Post, Pre, custom, entry, up_to, variable,
};
pub(crate) use raw::*;

use callbacks::State;
use fltmgr_sys::*;
use fltsim::filesystem::{Personality, TeardownPolicy};
use fltsim::verifier::Rule;
use fltsim::{
    Config, Driver, DriverConfig, Handle, Machine, OpenOptions, Policies, Transaction, Unload,
    Volume, VolumeConfig,
};
use std::ops::Deref;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many seeds each assertion is tried with.
const SEEDS: u64 = 8;

/// Runs a test once for each seed, and says which one it was if it fails.
pub(crate) fn seeds(test: impl Fn(u64)) {
    struct Announce(u64);
    impl Drop for Announce {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failed with seed {}", self.0);
            }
        }
    }
    for seed in 0..SEEDS {
        let announce = Announce(seed);
        test(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xC0);
        drop(announce);
    }
}

/// The configuration that the tests start from: one that does not make them wait.
pub(crate) fn config(seed: u64) -> Config {
    Config::default()
        .seed(seed)
        .unload_wait(Duration::from_millis(100))
}

/// As [`config`]; the file system gives a stream up with its last close.
pub(crate) fn config_immediate(seed: u64) -> Config {
    config(seed).policies(Policies {
        stream_teardown: Some(TeardownPolicy::Immediate),
        ..Policies::default()
    })
}

/// A filter of a test.
pub(crate) struct Filter {
    /// The machine on which it runs.
    pub(crate) machine: Machine,
    /// The driver that it belongs to.
    pub(crate) driver: Driver,
    state: Arc<State>,
}

impl Filter {
    /// Installs and starts a filter on a machine.
    ///
    /// # Errors
    /// What its driver entry returned.
    pub(crate) fn start(machine: &Machine, plan: Plan) -> Result<Self, NTSTATUS> {
        let mut config = DriverConfig::new(plan.name.clone()).altitude(plan.altitude.clone());
        if plan.manual_only {
            config = config.manual_only();
        }
        for (name, altitude) in &plan.more_instances {
            config = config.instance(name.clone(), altitude.clone());
        }
        let driver = machine.create_driver(config);
        let state = State::new(plan);
        let address = driver.driver_object() as usize;
        state.publish(address);
        let filter = Self {
            machine: machine.clone(),
            driver,
            state,
        };
        filter.driver.start(callbacks::driver_entry)?;
        Ok(filter)
    }

    /// Its `PFLT_FILTER`.
    pub(crate) fn pointer(&self) -> PFLT_FILTER {
        self.state.filter()
    }

    /// Its highest instance on a volume.
    pub(crate) fn instance_on(&self, volume: &Volume) -> PFLT_INSTANCE {
        let instances = volume.instances();
        let mine = instances
            .iter()
            .find(|one| one.filter == self.state.plan.name);
        mine.expect("the filter is attached").pointer
    }

    /// Its instance of a name on a volume.
    pub(crate) fn instance_named(&self, volume: &Volume, name: &str) -> PFLT_INSTANCE {
        let instances = volume.instances();
        let mine = instances
            .iter()
            .find(|one| one.filter == self.state.plan.name && one.name == name);
        mine.expect("the filter is attached by this name").pointer
    }

    /// How many instances it has on a volume.
    pub(crate) fn instance_count(&self, volume: &Volume) -> usize {
        let instances = volume.instances();
        let mine = instances
            .iter()
            .filter(|one| one.filter == self.state.plan.name);
        mine.count()
    }

    /// `FltAllocateContext`, whose status is expected to be no failure if a context is returned.
    ///
    /// # Errors
    /// The status that it failed with. `*ReturnedContext` is NULL then.
    pub(crate) fn try_allocate(
        &self,
        kind: FLT_CONTEXT_TYPE,
        size: SIZE_T,
        pool: POOL_TYPE,
    ) -> Result<Ctx, NTSTATUS> {
        let filter = self.pointer();
        let call = || raw::allocate_context(filter, kind, size, pool);
        let (status, context) = self.state.as_current(call);
        if !nt_success(status) {
            assert!(context.is_null(), "*ReturnedContext after {status:#010x}");
            return Err(status);
        }
        assert_eq!(status, STATUS_SUCCESS);
        assert!(!context.is_null());
        assert_ne!(context, UNWRITTEN);
        let ctx = Ctx::new(context, kind, size, &self.state);
        let contexts = self.state.contexts.lock();
        contexts.expect("not poisoned").push(ctx.clone());
        Ok(ctx)
    }

    /// Allocates a context of 64 bytes from a pool that its kind allows.
    pub(crate) fn allocate(&self, kind: FLT_CONTEXT_TYPE) -> Ctx {
        let pool = if kind == FLT_VOLUME_CONTEXT {
            NonPagedPoolNx
        } else {
            PagedPool
        };
        self.allocate_from(kind, pool)
    }

    /// Allocates a context of 64 bytes.
    pub(crate) fn allocate_from(&self, kind: FLT_CONTEXT_TYPE, pool: POOL_TYPE) -> Ctx {
        let ctx = self.try_allocate(kind, 64, pool);
        let ctx = ctx.unwrap_or_else(|status| panic!("allocate: {status:#010x}"));
        assert_eq!(self.rc(&ctx), 1);
        assert_eq!(ctx.cleanups(), 0);
        ctx
    }

    /// A context that is linked to a slot and to nothing else: `rc` is 1.
    pub(crate) fn linked(&self, slot: Slot) -> Ctx {
        let ctx = self.allocate(slot.kind());
        assert_eq!(
            slot.set(KEEP, ctx.pointer()),
            (STATUS_SUCCESS, NULL_CONTEXT)
        );
        ctx.release();
        assert_eq!(self.rc(&ctx), 1);
        ctx
    }

    /// The references on a context, its link included; 0 if it is freed.
    pub(crate) fn rc(&self, ctx: &Ctx) -> u32 {
        self.machine.reference_count(ctx.pointer())
    }

    /// What the Filter Manager called, in order.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.state.events()
    }

    /// What `FltRegisterFilter` returned.
    pub(crate) fn registered(&self) -> NTSTATUS {
        self.state.registered.load(Ordering::SeqCst)
    }

    /// Asks the driver to unload.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn unload(&self, how: Unload) -> Result<(), NTSTATUS> {
        self.state.as_current(|| self.driver.unload(how))
    }

    /// Fails the test if a hook has panicked in a callback.
    pub(crate) fn check(&self) {
        if let Some(panic) = self.state.take_panic() {
            resume_unwind(panic);
        }
    }

    fn unload_if_loaded(&self) {
        if self.driver.filter().is_some() {
            let result = self.unload(Unload::Normal);
            assert_eq!(result, Ok(()), "unload of {}", self.state.plan.name);
        }
        self.check();
    }

    /// Every context had exactly one cleanup, or none if it was leaked or has no cleanup callback.
    fn check_balance(&self, leaks: bool) {
        let least = u32::from(!leaks && self.state.plan.cleans_everything());
        let contexts = self.state.contexts.lock();
        for ctx in contexts.expect("not poisoned").iter() {
            let cleanups = ctx.cleanups();
            assert!((least..=1).contains(&cleanups), "{cleanups} cleanups");
        }
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        self.state.withdraw(self.driver.driver_object() as usize);
        self.state.withdraw(self.state.filter() as usize);
    }
}

/// A machine with one volume, a file on it, and one filter that is attached to it.
pub(crate) struct Fixture {
    /// The computer.
    pub(crate) machine: Machine,
    /// Its volume.
    pub(crate) volume: Volume,
    filter: Filter,
    finished: bool,
}

impl Deref for Fixture {
    type Target = Filter;

    fn deref(&self) -> &Filter {
        &self.filter
    }
}

impl Fixture {
    /// A filter on an NTFS-like volume.
    pub(crate) fn new(seed: u64, plan: Plan) -> Self {
        Self::with(config(seed), Personality::ntfs(), plan)
    }

    /// A filter on a volume of some kind, on a machine of some kind.
    pub(crate) fn with(config: Config, personality: Personality, plan: Plan) -> Self {
        Self::try_with(config, personality, plan)
            .unwrap_or_else(|(status, _)| panic!("the driver did not start: {status:#010x}"))
    }

    /// As [`Fixture::with`], for a filter that may fail to start.
    ///
    /// # Errors
    /// The status of its driver entry, and the machine.
    pub(crate) fn try_with(
        config: Config,
        personality: Personality,
        plan: Plan,
    ) -> Result<Self, (NTSTATUS, Machine)> {
        let machine = Machine::new(config);
        let volume = VolumeConfig::memory("\\Device\\HarddiskVolume1", personality);
        let volume = machine.add_volume(volume);
        match Filter::start(&machine, plan) {
            Ok(filter) => Ok(Self {
                machine,
                volume,
                filter,
                finished: false,
            }),
            Err(status) => Err((status, machine)),
        }
    }

    /// Another filter on the same machine.
    pub(crate) fn second_filter(&self, plan: Plan) -> Filter {
        Filter::start(&self.machine, plan)
            .unwrap_or_else(|status| panic!("the driver did not start: {status:#010x}"))
    }

    /// The filter's instance on the volume.
    pub(crate) fn instance(&self) -> PFLT_INSTANCE {
        self.instance_on(&self.volume)
    }

    /// Opens a file, creating it if need be.
    pub(crate) fn open(&self, path: &str) -> Handle {
        self.open_with(path, OpenOptions::create())
    }

    /// Opens a file in a given way.
    pub(crate) fn open_with(&self, path: &str, options: OpenOptions) -> Handle {
        let handle = self.volume.open(path, options);
        handle.unwrap_or_else(|status| panic!("open {path}: {status:#010x}"))
    }

    /// Opens a file as a paging file.
    pub(crate) fn open_paging_file(&self) -> Handle {
        self.open_with("\\pagefile.sys", OpenOptions::create().paging_file())
    }

    /// The filter's slot on the volume.
    pub(crate) fn on_volume(&self) -> Slot {
        Slot::Volume(self.pointer(), self.volume.pointer())
    }

    /// The instance's slot.
    pub(crate) fn on_instance(&self) -> Slot {
        Slot::Instance(self.instance())
    }

    /// The instance's slot on the file of a handle.
    pub(crate) fn on_file(&self, handle: &Handle) -> Slot {
        Slot::File(self.instance(), handle.file_object())
    }

    /// The instance's slot on the stream of a handle.
    pub(crate) fn on_stream(&self, handle: &Handle) -> Slot {
        Slot::Stream(self.instance(), handle.file_object())
    }

    /// The instance's slot on a handle's file object.
    pub(crate) fn on_stream_handle(&self, handle: &Handle) -> Slot {
        Slot::StreamHandle(self.instance(), handle.file_object())
    }

    /// The instance's slot in a transaction.
    pub(crate) fn on_transaction(&self, transaction: &Transaction) -> Slot {
        Slot::Transaction(self.instance(), transaction.pointer())
    }

    /// What a callback would get as `FltObjects`.
    pub(crate) fn objects(
        &self,
        handle: Option<&Handle>,
        transaction: Option<&Transaction>,
    ) -> FLT_RELATED_OBJECTS {
        FLT_RELATED_OBJECTS {
            Size: u16::try_from(size_of::<FLT_RELATED_OBJECTS>()).expect("48"),
            TransactionContext: 0,
            Filter: self.pointer(),
            Volume: self.volume.pointer(),
            Instance: self.instance(),
            FileObject: handle.map_or(std::ptr::null_mut(), Handle::file_object),
            Transaction: transaction.map_or(std::ptr::null_mut(), Transaction::pointer),
        }
    }

    /// The rules that have been reported as broken so far, in their order.
    pub(crate) fn rules(&self) -> Vec<Rule> {
        let mut rules: Vec<Rule> = self.reports().iter().map(|report| report.rule).collect();
        rules.sort_unstable();
        rules
    }

    /// The reports so far.
    pub(crate) fn reports(&self) -> Vec<fltsim::verifier::Report> {
        self.machine.verifier().reports()
    }

    /// Asserts that the latest report is bugcheck F5 with these first two parameters.
    pub(crate) fn expect_bugcheck(&self, first: u64, second: PFLT_CONTEXT) {
        let reports = self.reports();
        let last = reports.last().expect("a report");
        let fltsim::verifier::Severity::Bugcheck { code, parameters } = last.severity else {
            panic!("no bugcheck: {last}");
        };
        assert_eq!(code, 0xF5);
        assert_eq!(parameters[0], first);
        assert_eq!(parameters[1], second as u64);
        assert_ne!(parameters[2], 0, "the node");
        assert_eq!(parameters[3], 0);
    }

    /// Unloads the filter; the verifier must not have reported anything.
    pub(crate) fn finish(self) {
        self.finish_with(&[]);
    }

    /// Unloads the filter; the verifier must have reported exactly these rules, in any order.
    pub(crate) fn finish_with(mut self, expected: &[Rule]) {
        self.finished = true;
        self.filter.unload_if_loaded();
        let outcome = self.machine.finish();
        self.filter.check();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        let reports = self.reports();
        let texts: Vec<String> = reports.iter().map(ToString::to_string).collect();
        assert_eq!(self.rules(), expected, "reports: {texts:#?}");
        self.filter.check_balance(!outcome.leaks.is_empty());
        for (kind, count) in &outcome.statistics.contexts {
            assert_eq!(count.allocated, count.freed, "{} contexts", kind.name());
            assert_eq!(count.live, 0, "{} contexts", kind.name());
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let ended = self.finished || std::thread::panicking();
        assert!(ended, "a test ends with Fixture::finish");
    }
}
