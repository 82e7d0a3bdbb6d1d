//! A driver for tests: registers what the test says, and counts.

#![allow(dead_code, reason = "every test file uses another part of it")]
#![allow(
    clippy::cast_possible_truncation,
    reason = "sizes of structures fit their size members"
)]
#![allow(
    clippy::unused_self,
    reason = "tests read better when everything is asked of the bench"
)]

use fltmgr_sys::*;
use fltsim::{
    Config, Driver, DriverConfig, Machine, Volume, VolumeConfig, filesystem::Personality,
};
use std::cell::Cell;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

thread_local! {
    static REGISTRATION: Cell<*const FLT_REGISTRATION> = const { Cell::new(null()) };
    static FILTER: Cell<PFLT_FILTER> = const { Cell::new(null_mut()) };
}

pub(crate) const TAG: ULONG = u32::from_le_bytes(*b"Test");

fltapi! {
    /// A driver entry point that registers and starts filtering.
    unsafe fn entry(driver: PDRIVER_OBJECT, _path: PCUNICODE_STRING) -> NTSTATUS {
        let mut filter = null_mut();
        // SAFETY: the driver object is the one that the machine passed; the registration and the
        // place for the filter are ours.
        let status = unsafe { FltRegisterFilter(driver, REGISTRATION.get(), &raw mut filter) };
        if status != STATUS_SUCCESS {
            return status;
        }
        FILTER.set(filter);
        // SAFETY: the filter was registered just now.
        unsafe { FltStartFiltering(filter) }
    }

    /// Unregisters the filter that this thread registered last.
    unsafe fn unload(_flags: FLT_FILTER_UNLOAD_FLAGS) -> NTSTATUS {
        // SAFETY: the filter is registered while this callback can be called.
        unsafe { FltUnregisterFilter(FILTER.get()) };
        STATUS_SUCCESS
    }

    /// Allows every detach.
    unsafe fn query(_objects: PCFLT_RELATED_OBJECTS, _flags: ULONG) -> NTSTATUS {
        STATUS_SUCCESS
    }

    /// Counts in the counter that the payload begins with.
    unsafe fn cleanup(context: PFLT_CONTEXT, _kind: FLT_CONTEXT_TYPE) {
        // SAFETY: contexts of these tests are at least eight bytes.
        let counter = unsafe { context.cast::<u64>().read_unaligned() };
        if counter != 0 && counter != 0xD5D5_D5D5_D5D5_D5D5 && counter != 0xF5F5_F5F5_F5F5_F5F5 {
            let counter = counter as *const AtomicU64;
            // SAFETY: what is neither zero nor a pattern is a counter that a test stored.
            unsafe { &*counter }.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// A context registration entry with the counting cleanup.
pub(crate) fn entry_of(kind: FLT_CONTEXT_TYPE, size: SIZE_T) -> FLT_CONTEXT_REGISTRATION {
    FLT_CONTEXT_REGISTRATION {
        ContextType: kind,
        Flags: 0,
        ContextCleanupCallback: Some(cleanup),
        Size: size,
        PoolTag: TAG,
        ContextAllocateCallback: None,
        ContextFreeCallback: None,
        Reserved1: null_mut(),
    }
}

/// One entry of 64 bytes for each kind.
pub(crate) fn all_kinds() -> Vec<FLT_CONTEXT_REGISTRATION> {
    (0..7).map(|bit| entry_of(1 << bit, 64)).collect()
}

pub(crate) fn registration() -> FLT_REGISTRATION {
    FLT_REGISTRATION {
        Size: size_of::<FLT_REGISTRATION>() as u16,
        Version: FLT_REGISTRATION_VERSION,
        Flags: 0,
        ContextRegistration: null(),
        OperationRegistration: null(),
        FilterUnloadCallback: Some(unload),
        InstanceSetupCallback: None,
        InstanceQueryTeardownCallback: Some(query),
        InstanceTeardownStartCallback: None,
        InstanceTeardownCompleteCallback: None,
        GenerateFileNameCallback: None,
        NormalizeNameComponentCallback: None,
        NormalizeContextCleanupCallback: None,
        TransactionNotificationCallback: None,
        NormalizeNameComponentExCallback: None,
        SectionNotificationCallback: None,
    }
}

/// Registers and starts; the array needs no terminator.
pub(crate) fn start(
    driver: &Driver,
    mut registration: FLT_REGISTRATION,
    mut contexts: Vec<FLT_CONTEXT_REGISTRATION>,
) -> Result<(), NTSTATUS> {
    contexts.push(entry_of(FLT_CONTEXT_END, 0));
    registration.ContextRegistration = contexts.as_ptr();
    REGISTRATION.set(&raw const registration);
    driver.start(entry)
}

/// A machine with one NTFS volume and one driver that is filtering.
pub(crate) struct Bench {
    pub(crate) machine: Machine,
    pub(crate) volume: Volume,
    pub(crate) driver: Driver,
    pub(crate) filter: PFLT_FILTER,
    pub(crate) instance: PFLT_INSTANCE,
}

pub(crate) fn config() -> Config {
    Config::default().unload_wait(Duration::from_millis(100))
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(config(), registration(), all_kinds())
    }

    pub(crate) fn with(
        config: Config,
        registration: FLT_REGISTRATION,
        contexts: Vec<FLT_CONTEXT_REGISTRATION>,
    ) -> Self {
        let machine = Machine::new(config);
        let volume = machine.add_volume(VolumeConfig::memory(
            "\\Device\\HarddiskVolume1",
            Personality::ntfs(),
        ));
        let driver = machine.create_driver(DriverConfig::new("test").altitude("385000"));
        start(&driver, registration, contexts).unwrap();
        let filter = driver.filter().unwrap();
        let instance = volume.instances()[0].pointer;
        Self {
            machine,
            volume,
            driver,
            filter,
            instance,
        }
    }

    /// Allocates 64 bytes.
    pub(crate) fn allocate(&self, kind: FLT_CONTEXT_TYPE) -> Allocated {
        self.allocate_from(kind, NonPagedPoolNx)
    }

    pub(crate) fn allocate_from(&self, kind: FLT_CONTEXT_TYPE, pool: POOL_TYPE) -> Allocated {
        let (status, context) = self.try_allocate(kind, 64, pool);
        assert_eq!(status, STATUS_SUCCESS);
        let counter: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(0)));
        let address = std::ptr::from_ref(counter) as u64;
        // SAFETY: the context has 64 bytes.
        unsafe { context.cast::<u64>().write_unaligned(address) };
        Allocated { context, counter }
    }

    pub(crate) fn try_allocate(
        &self,
        kind: FLT_CONTEXT_TYPE,
        size: SIZE_T,
        pool: POOL_TYPE,
    ) -> (NTSTATUS, PFLT_CONTEXT) {
        let mut context = std::ptr::dangling_mut::<u8>().cast();
        // SAFETY: the place for the result is ours; everything else may be wrong.
        let status = unsafe { FltAllocateContext(self.filter, kind, size, pool, &raw mut context) };
        (status, context)
    }

    pub(crate) fn rc(&self, context: &Allocated) -> u32 {
        self.machine.reference_count(context.context)
    }

    pub(crate) fn release(&self, context: &Allocated) {
        // SAFETY: an export checks its context itself.
        unsafe { FltReleaseContext(context.context) };
    }

    pub(crate) fn set_instance(
        &self,
        operation: i32,
        context: &Allocated,
        old: Option<&mut PFLT_CONTEXT>,
    ) -> NTSTATUS {
        let old = old.map_or(null_mut(), std::ptr::from_mut);
        // SAFETY: the place for the old context is ours or null.
        unsafe { FltSetInstanceContext(self.instance, operation, context.context, old) }
    }

    pub(crate) fn get_instance(&self) -> (NTSTATUS, PFLT_CONTEXT) {
        let mut context = std::ptr::dangling_mut::<u8>().cast();
        // SAFETY: the place for the result is ours.
        let status = unsafe { FltGetInstanceContext(self.instance, &raw mut context) };
        (status, context)
    }

    /// Nothing was reported, and everything that was allocated was freed.
    pub(crate) fn assert_clean(&self) {
        let outcome = self.machine.finish();
        assert!(outcome.is_clean(), "{outcome:#?}");
        for (kind, counts) in outcome.statistics.contexts {
            assert_eq!(counts.allocated, counts.freed, "{kind:?}");
            assert_eq!(counts.live, 0, "{kind:?}");
        }
    }
}

/// A context with the counter of its cleanups.
pub(crate) struct Allocated {
    pub(crate) context: PFLT_CONTEXT,
    counter: &'static AtomicU64,
}

impl Allocated {
    pub(crate) fn cleanups(&self) -> u64 {
        self.counter.load(Ordering::SeqCst)
    }
}
