//! Memory with the alignment that the volume of an instance needs.
//!
//! Reference: the `fltkernel.h` pages of the Windows driver DDI documentation.

use crate::abi::fltapi_functions;
use crate::*;

/// Which pool memory comes from.
pub type POOL_TYPE = i32;

pub const NonPagedPool: POOL_TYPE = 0;
pub const PagedPool: POOL_TYPE = 1;
pub const NonPagedPoolNx: POOL_TYPE = 512;

fltapi_functions! {
    /// Allocates memory aligned for non-cached I/O.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltAllocatePoolAlignedWithTag(Instance: PFLT_INSTANCE, PoolType: POOL_TYPE, NumberOfBytes: SIZE_T, Tag: ULONG) -> PVOID;

    /// Frees memory of `FltAllocatePoolAlignedWithTag`.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltFreePoolAlignedWithTag(Instance: PFLT_INSTANCE, Buffer: PVOID, Tag: ULONG);
}
