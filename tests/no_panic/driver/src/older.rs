//! A filter for Windows 7, where several contexts are got by another function.

use core::sync::atomic::{AtomicU64, Ordering};

use fltctx::{operation::Shutdown, prelude::*, registration::Windows};

struct Older;

/// An instance.
struct Shutdowns(AtomicU64);

impl Context for Shutdowns {
    type Kind = kind::Instance;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = crate::contexts::TAG;
}

contexts! { Older: Shutdowns }

impl Minifilter for Older {
    const WINDOWS: Windows = Windows::Windows7;

    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        Ok(Self)
    }
}

impl PreOperation<Shutdown> for Older {
    type Completion = NoPostOperation;

    fn pre(&self, shutdown: &mut Pre<'_, Self, Shutdown>) -> PreResult<NoPostOperation> {
        let (shutdowns,) = shutdown.contexts::<(Shutdowns,)>();
        if let Some(shutdowns) = shutdowns {
            shutdowns.0.fetch_add(1, Ordering::Relaxed);
        }
        PreResult::no_callback()
    }
}

driver_entry!(Older, operations![Shutdown: pre]);
