//! The oldest Windows that a driver supports.

use fltmgr_sys as sys;

use crate::pool::Pool;

/// The oldest Windows that a driver is to run on. It decides the version that is registered, the
/// pool that nonpaged contexts come from, and whether there are section contexts.
///
/// DDI: `FLT_REGISTRATION`, `POOL_TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Windows {
    /// Windows Vista or Server 2008.
    Vista,
    /// Windows 7 or Server 2008 R2.
    Windows7,
    /// Windows 8 or Server 2012, and everything since.
    Windows8,
}

impl Windows {
    /// Whether there are section contexts, data scans and `FltGetContextsEx`.
    #[must_use]
    pub const fn has_sections(self) -> bool {
        matches!(self, Self::Windows8)
    }

    /// `FLT_REGISTRATION.Version`.
    pub(crate) const fn registration_version(self) -> sys::USHORT {
        match self {
            Self::Vista | Self::Windows7 => sys::FLT_REGISTRATION_VERSION_0202,
            Self::Windows8 => sys::FLT_REGISTRATION_VERSION_0203,
        }
    }

    /// The `POOL_TYPE` to ask for. Before Windows 8 there is no nonpaged pool that is not
    /// executable.
    pub(crate) const fn pool_type<P: Pool>(self) -> sys::POOL_TYPE {
        match self {
            Self::Vista | Self::Windows7 if P::TYPE == sys::NonPagedPoolNx => sys::NonPagedPool,
            _ => P::TYPE,
        }
    }
}
