//! The driver's entry point and the registration structure.

use fltmgr_sys as sys;
use sys::{FLT_REGISTRATION, NTSTATUS};

use super::{Minifilter, Unload, cell::Registered, conflict, instance, notification};
use crate::{Status, context::declaration::Declarations, name::Utf16, operation::Operations};

/// What the system tells a driver when it loads it.
///
/// DDI: `DRIVER_INITIALIZE`. IRQL: `PASSIVE_LEVEL`.
pub struct DriverEntry {
    registry_path: sys::PCUNICODE_STRING,
}

impl DriverEntry {
    /// The registry path of the driver's service key.
    #[must_use]
    pub fn registry_path(&self) -> Utf16<'_> {
        // SAFETY: the I/O manager passes a string that lives until the entry point returns, and
        // this value does not live longer.
        let string = unsafe { self.registry_path.as_ref() };
        string.map_or(Utf16::EMPTY, |string| {
            // SAFETY: its buffer lives as long.
            unsafe { Utf16::new(string) }
        })
    }
}

/// A minifilter with all its tables: what can be registered.
pub trait FilterTables: Minifilter + Registered + Declarations + Operations {}

impl<F: Minifilter + Registered + Declarations + Operations> FilterTables for F {}

/// The registration of `F`, one constant for the life of the driver.
struct Registration<F>(core::marker::PhantomData<F>);

impl<F: FilterTables> Registration<F> {
    const STRUCTURE: FLT_REGISTRATION = FLT_REGISTRATION {
        Size: F::WINDOWS.registration_size(),
        Version: F::WINDOWS.registration_version(),
        Flags: if F::REFUSE_SERVICE_STOP {
            sys::FLTFL_REGISTRATION_DO_NOT_SUPPORT_SERVICE_STOP
        } else {
            0
        },
        ContextRegistration: <F as Declarations>::TABLE.as_ptr(),
        OperationRegistration: <F as Operations>::TABLE.as_ptr(),
        FilterUnloadCallback: Some(unload::<F>),
        InstanceSetupCallback: Some(instance::setup::<F>),
        InstanceQueryTeardownCallback: Some(instance::query_teardown::<F>),
        InstanceTeardownStartCallback: Some(instance::teardown_start::<F>),
        InstanceTeardownCompleteCallback: Some(instance::teardown_complete::<F>),
        GenerateFileNameCallback: None,
        NormalizeNameComponentCallback: None,
        NormalizeContextCleanupCallback: None,
        TransactionNotificationCallback: Some(notification::notify::<F>),
        NormalizeNameComponentExCallback: None,
        SectionNotificationCallback: if F::WINDOWS.has_sections() {
            Some(conflict::conflict::<F>)
        } else {
            None
        },
    };
}

/// Loads `F`: makes its state, registers it and starts filtering. What `DriverEntry` does.
///
/// DDI: `FltRegisterFilter`, `FltStartFiltering`.
///
/// # Safety
///
/// The I/O manager's arguments to `DriverEntry`, at `PASSIVE_LEVEL`.
#[doc(hidden)]
pub unsafe fn load<F: FilterTables>(
    driver: sys::PDRIVER_OBJECT,
    registry_path: sys::PCUNICODE_STRING,
) -> NTSTATUS {
    let cell = F::registered();
    if !cell.claim() {
        return Status::ALREADY_REGISTERED.into_raw();
    }
    let state = match F::load(&DriverEntry { registry_path }) {
        Ok(state) => state,
        Err(status) => {
            cell.abandon();
            return failure(status);
        }
    };
    // SAFETY: claimed above.
    unsafe { cell.fill(state) };
    let registration: &'static FLT_REGISTRATION = const { &Registration::<F>::STRUCTURE };
    // SAFETY: the driver object is the I/O manager's, the registration and its tables are
    // constants, and the cell has a place for the filter's pointer.
    let registered = Status::from_raw(unsafe {
        sys::FltRegisterFilter(driver, registration, cell.filter_out())
    });
    if !registered.is_success() {
        // SAFETY: the filter is not registered, so no callback can run.
        unsafe { cell.clear() };
        return registered.into_raw();
    }
    // SAFETY: the filter was registered above.
    let started = Status::from_raw(unsafe { sys::FltStartFiltering(cell.filter()) });
    if !started.is_success() {
        // SAFETY: this is the entry point, so nobody else unregisters the filter.
        unsafe { unregister::<F>() };
    }
    started.into_raw()
}

/// Unregisters the filter and drops its state.
///
/// # Safety
///
/// The filter is registered and nobody else unregisters it; the caller touches the state no more.
unsafe fn unregister<F: FilterTables>() {
    let cell = F::registered();
    // SAFETY: by the caller's promise the filter is registered. The call returns when every
    // instance is torn down, every callback has returned and every context is gone.
    unsafe { sys::FltUnregisterFilter(cell.filter()) };
    // SAFETY: no callback is running and none can start any more.
    unsafe { cell.clear() };
}

/// A status that says failure, even when the driver called a success an error.
pub(crate) fn failure(status: Status) -> NTSTATUS {
    if status.is_success() {
        Status::UNSUCCESSFUL.into_raw()
    } else {
        status.into_raw()
    }
}

sys::fltapi! {
    /// `FilterUnloadCallback`: asks the driver, then unregisters.
    unsafe fn unload<F: FilterTables>(flags: sys::FLT_FILTER_UNLOAD_FLAGS) -> NTSTATUS {
        let request = Unload::new(flags);
        match F::registered().state().unload(request) {
            // A refusal has no effect on a mandatory unload: the image goes in any case.
            Err(status) if !request.mandatory() => failure(status),
            Ok(()) | Err(_) => {
                // SAFETY: the Filter Manager calls this once, for a registered filter.
                unsafe { unregister::<F>() };
                Status::SUCCESS.into_raw()
            }
        }
    }
}

/// Makes a driver of a minifilter: its state's home, its operation table and its `DriverEntry`.
///
/// ```ignore
/// fltctx::driver_entry!(Ctx, operations![Create, Read, Write, Cleanup: pre]);
/// ```
///
/// Each operation is listed by its marker type. Alone it means both callbacks,
/// [`PreOperation`](crate::operation::PreOperation) and
/// [`PostOperation`](crate::operation::PostOperation); `: pre` means the first only; `: safe`
/// means a post-operation that runs where it is safe
/// ([`SafePostOperation`](crate::operation::SafePostOperation)); `: both` says the default aloud.
/// `+ skip_paging_io` and `+ skip_cached_io` may follow a form, e.g. `Read: both + skip_paging_io`,
/// and leave such operations alone.
///
/// DDI: `FLT_OPERATION_REGISTRATION`, `FltRegisterFilter`, `FltStartFiltering`,
/// `FltUnregisterFilter`.
///
/// On Windows the function is exported as `DriverEntry`; elsewhere it is an ordinary function of
/// that name in this module, for a test to load.
#[macro_export]
macro_rules! driver_entry {
    ($filter:ty, operations![$($operations:tt)*]) => {
        const _: () = {
            static STATE: $crate::registration::FilterCell<$filter> =
                $crate::registration::FilterCell::new();

            // SAFETY: one static cell, which only `DriverEntry` below fills.
            unsafe impl $crate::registration::Registered for $filter {
                fn registered() -> &'static $crate::registration::FilterCell<Self> {
                    &STATE
                }
            }
        };

        $crate::operations!($filter: $($operations)*);

        $crate::sys::fltapi! {
            /// The driver's entry point.
            ///
            /// # Safety
            ///
            /// To be called by the I/O manager, at `PASSIVE_LEVEL`, with its own arguments.
            #[allow(non_snake_case)]
            #[cfg_attr(windows, unsafe(export_name = "DriverEntry"))]
            // Thrown away when it has returned; resident until then, whatever the IRQL.
            #[cfg_attr(windows, unsafe(link_section = "INIT"))]
            pub unsafe fn driver_entry(
                driver: $crate::sys::PDRIVER_OBJECT,
                registry_path: $crate::sys::PCUNICODE_STRING,
            ) -> $crate::sys::NTSTATUS {
                // SAFETY: the caller is the I/O manager.
                unsafe { $crate::entry::load::<$filter>(driver, registry_path) }
            }
        }
    };
}
