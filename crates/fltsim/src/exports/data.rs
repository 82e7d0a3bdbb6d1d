//! Variables that the kernel exports. The slot of such an import holds the variable's address.

use super::exception::USER_PROBE_ADDRESS;
use std::sync::atomic::AtomicU64;

/// An object type: an address of its own that nothing else has. Nobody looks inside.
macro_rules! object_types {
    ($($name:ident)*) => {
        /// The types, one word each, and the variables that point to them.
        #[allow(non_snake_case, reason = "the names are those of the C headers")]
        struct Types { $($name: (AtomicU64, AtomicU64),)* }

        static TYPES: Types = Types { $($name: (AtomicU64::new(0), AtomicU64::new(0)),)* };

        fn object_type(name: &str) -> Option<&'static (AtomicU64, AtomicU64)> {
            match name {
                $(stringify!($name) => Some(&TYPES.$name),)*
                _ => None,
            }
        }
    };
}

object_types! {
    CmKeyObjectType
    ExEventObjectType
    ExSemaphoreObjectType
    IoDeviceObjectType
    IoDriverObjectType
    IoFileObjectType
    LpcPortObjectType
    MmSectionObjectType
    PsProcessType
    PsThreadType
    SeTokenObjectType
    TmEnlistmentObjectType
    TmResourceManagerObjectType
    TmTransactionManagerObjectType
    TmTransactionObjectType
}

static HIGHEST_USER_ADDRESS: AtomicU64 = AtomicU64::new(0x0000_7FFF_FFFE_FFFF);
static PROBE_ADDRESS: AtomicU64 = AtomicU64::new(USER_PROBE_ADDRESS);
static SYSTEM_RANGE_START: AtomicU64 = AtomicU64::new(0xFFFF_8000_0000_0000);
/// A free build: the low half is the number.
static BUILD_NUMBER: AtomicU64 = AtomicU64::new(0xF000_5867);
/// No, in whatever size it is asked for.
static FALSE: AtomicU64 = AtomicU64::new(0);
static TRUE: AtomicU64 = AtomicU64::new(1);

/// What the variable of a type points to: the type itself, as drivers compare it.
pub(super) fn type_address(name: &str) -> Option<usize> {
    object_type(name).map(|(object, _)| &raw const *object as usize)
}

/// The address of a variable by its name.
pub(crate) fn resolve(name: &str) -> Option<usize> {
    if let Some((object, variable)) = object_type(name) {
        let address = &raw const *object as u64;
        variable.store(address, std::sync::atomic::Ordering::Release);
        return Some(&raw const *variable as usize);
    }
    let variable = match name {
        "MmHighestUserAddress" => &HIGHEST_USER_ADDRESS,
        "MmUserProbeAddress" => &PROBE_ADDRESS,
        "MmSystemRangeStart" => &SYSTEM_RANGE_START,
        "NtBuildNumber" => &BUILD_NUMBER,
        "KdDebuggerEnabled" | "InitSafeBootMode" => &FALSE,
        "KdDebuggerNotPresent" | "KeNumberProcessors" => &TRUE,
        "SeExports" => return Some(super::well_known::variable()),
        "PsInitialSystemProcess" => return Some(crate::image::system_process()),
        _ => return None,
    };
    Some(&raw const *variable as usize)
}
