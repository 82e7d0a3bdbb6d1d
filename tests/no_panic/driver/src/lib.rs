//! A minifilter that uses everything that fltctx has, linked with nothing but `core`.
//!
//! It is searched for panics, not run: what it does makes no sense, only use of every verb. Its
//! panic handler calls a function that does not exist, so an object that asks for that function
//! can panic.

#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]

mod contexts;
mod older;
mod operations;
#[cfg(feature = "print")]
mod print;

use core::{
    panic::PanicInfo,
    sync::atomic::{AtomicU64, Ordering},
};

use contexts::{OnInstance, OnSection, OnTransaction, OnVolume};
use fltctx::{
    prelude::*,
    registration::{SectionConflict, SetupFlags, TeardownReason},
};

unsafe extern "C" {
    safe fn fltctx_must_not_panic() -> !;
}

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    fltctx_must_not_panic()
}

/// Reads of handles that were closed.
pub(crate) static READS: AtomicU64 = AtomicU64::new(0);

/// The filter.
struct Probe {
    path_length: usize,
    instances: AtomicU64,
}

impl Minifilter for Probe {
    const REFUSE_SERVICE_STOP: bool = true;

    fn load(driver: &DriverEntry) -> Result<Self, Status> {
        let path_length = driver.registry_path().units().len();
        if path_length == 0 {
            return Err(Status::OBJECT_NAME_NOT_FOUND);
        }
        Ok(Self {
            path_length,
            instances: AtomicU64::new(0),
        })
    }

    fn instance_setup(&self, setup: &mut InstanceSetup<'_, Self>) -> Result<(), DoNotAttach> {
        if setup.flags().contains(SetupFlags::DETACHED_VOLUME) || setup.device_type() == 0 {
            return Err(DoNotAttach);
        }
        let volume = setup.volume();
        volume.slot::<OnVolume>().get_or_insert_with(|| OnVolume {
            name: volume.name().ok(),
            sector_size: volume
                .properties()
                .map_or(0, |properties| properties.sector_size),
        })?;
        setup
            .instance()
            .slot::<OnInstance>()
            .get_or_allocate_with(|filter| filter.allocate_in_place(OnInstance::recipe()))?;
        // Not every volume has data scans.
        let _ = setup.instance().register_for_data_scan(setup.irql());
        self.instances.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn instance_query_teardown(
        &self,
        query: &mut InstanceQueryTeardown<'_, Self>,
    ) -> Result<(), DoNotDetach> {
        match query.volume().slot::<OnVolume>().get() {
            Ok(Some(volume)) if volume.sector_size > 0 => Ok(()),
            _ => Err(DoNotDetach),
        }
    }

    fn instance_teardown_start(&self, teardown: &mut InstanceTeardown<'_, Self>) {
        if !teardown.reason().contains(TeardownReason::FILTER_UNLOAD) {
            let _ = teardown.volume().slot::<OnVolume>().remove();
            let _ = teardown.instance().slot::<OnInstance>().delete();
        }
    }

    fn instance_teardown_complete(&self, teardown: &mut InstanceTeardown<'_, Self>) {
        if let Ok(Some(books)) = teardown.instance().slot::<OnInstance>().get() {
            if let Ok(mut last) = books.resource.write(teardown.irql()) {
                *last = None;
            }
            #[cfg(feature = "print")]
            print::instance(&books, teardown);
            books.delete(teardown.irql());
        }
        self.instances.fetch_sub(1, Ordering::Relaxed);
    }

    fn transaction_notification(&self, notification: &mut TransactionNotification<'_, Self>) {
        let writes = notification
            .context::<OnTransaction>()
            .map_or(0, |transaction| transaction.writes.load(Ordering::Relaxed));
        if notification.phase() == Phase::Commit {
            READS.fetch_add(writes, Ordering::Relaxed);
        }
        let _ = notification.transaction().slot::<OnTransaction>().delete();
    }

    fn section_conflict(&self, conflict: &mut SectionConflict<'_, Self>) {
        if let Some(section) = conflict.context::<OnSection>() {
            let major = u32::from(conflict.major());
            section.conflicts.fetch_add(major, Ordering::Relaxed);
        }
    }

    fn unload(&self, request: Unload) -> Result<(), Status> {
        if request.mandatory() || self.path_length > 1 {
            Ok(())
        } else {
            Err(Status::DO_NOT_DETACH)
        }
    }
}

driver_entry!(
    Probe,
    operations![
        Create,
        Read,
        Write: safe,
        QueryInformation,
        SetInformation: safe,
        DirectoryControl: pre,
        FileSystemControl: pre,
        QueryVolumeInformation: pre + skip_paging_io,
        FlushBuffers: pre,
        Cleanup,
        Close: pre,
    ]
);

/// What keeps the drivers in the object: elsewhere than on Windows their entry points have no C
/// names.
///
/// # Safety
///
/// As for `DriverEntry`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_entry(
    driver: fltctx::sys::PDRIVER_OBJECT,
    registry_path: fltctx::sys::PCUNICODE_STRING,
) -> fltctx::sys::NTSTATUS {
    // SAFETY: the caller's arguments are those of the I/O manager.
    let status = unsafe { driver_entry(driver, registry_path) };
    if status >= 0 {
        return status;
    }
    // SAFETY: as above.
    unsafe { older::driver_entry(driver, registry_path) }
}

/// A panic that is there for the test of the test.
#[cfg(feature = "panic")]
#[unsafe(no_mangle)]
pub extern "C" fn on_purpose(index: usize) -> u8 {
    b"four"[index]
}
