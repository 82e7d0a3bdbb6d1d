//! The oldest Windows that a driver supports.

use core::mem::offset_of;

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

    /// `FLT_REGISTRATION.Size`: what the structure had in that version. Members only came at its
    /// end.
    pub(crate) const fn registration_size(self) -> sys::USHORT {
        let size = match self {
            Self::Vista | Self::Windows7 => {
                offset_of!(sys::FLT_REGISTRATION, SectionNotificationCallback)
            }
            Self::Windows8 => size_of::<sys::FLT_REGISTRATION>(),
        };
        assert!(size <= sys::USHORT::MAX as usize);
        #[allow(clippy::cast_possible_truncation, reason = "asserted above")]
        {
            size as sys::USHORT
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structure_has_the_size_of_its_version() {
        let of = |windows: Windows| (windows.registration_version(), windows.registration_size());
        assert_eq!(of(Windows::Vista), (0x202, 104));
        assert_eq!(of(Windows::Windows7), (0x202, 104));
        assert_eq!(of(Windows::Windows8), (0x203, 112));
    }
}
