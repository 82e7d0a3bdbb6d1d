//! Which Windows and which processors there are.

use super::{routines, write};
use crate::kernel::scope;
use fltmgr_sys::*;

const STATUS_REVISION_MISMATCH: NTSTATUS = 0xC000_0059_u32.cast_signed();
/// What is compared, in the order of the bits of the mask.
const PARTS: [Part; 8] = [
    Part::Minor,
    Part::Major,
    Part::Build,
    Part::Platform,
    Part::ServicePackMinor,
    Part::ServicePackMajor,
    Part::Suite,
    Part::Product,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Minor,
    Major,
    Build,
    Platform,
    ServicePackMinor,
    ServicePackMajor,
    Suite,
    Product,
}

/// `RTL_OSVERSIONINFOEXW`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct VersionEx {
    size: ULONG,
    major: ULONG,
    minor: ULONG,
    build: ULONG,
    platform: ULONG,
    text: [WCHAR; 128],
    service_pack_major: USHORT,
    service_pack_minor: USHORT,
    suite: USHORT,
    product: UCHAR,
    reserved: UCHAR,
}

const _: () = assert!(size_of::<VersionEx>() == 284);

/// `SystemBasicInformation`.
const BASIC_INFORMATION: i32 = 0;

/// `SYSTEM_BASIC_INFORMATION`, of which the number of processors is all that is documented.
#[repr(C)]
struct BasicInformation {
    reserved: [u64; 7],
    processors: i8,
}

const _: () = assert!(size_of::<BasicInformation>() == 64);

impl VersionEx {
    fn part(&self, part: Part) -> ULONG {
        match part {
            Part::Minor => self.minor,
            Part::Major => self.major,
            Part::Build => self.build,
            Part::Platform => self.platform,
            Part::ServicePackMinor => self.service_pack_minor.into(),
            Part::ServicePackMajor => self.service_pack_major.into(),
            Part::Suite => self.suite.into(),
            Part::Product => self.product.into(),
        }
    }
}

/// This Windows: major, minor, build and service pack.
fn version() -> (ULONG, ULONG, ULONG, USHORT) {
    match scope::machine().map(|machine| machine.config.windows) {
        Some(crate::WindowsVersion::Windows7) => (6, 1, 7601, 1),
        Some(crate::WindowsVersion::Windows10) => (10, 0, 19045, 0),
        _ => (10, 0, 22631, 0),
    }
}

fn this() -> VersionEx {
    let (major, minor, build, service_pack_major) = version();
    VersionEx {
        size: 284,
        major,
        minor,
        build,
        platform: 2,
        text: [0; 128],
        service_pack_major,
        service_pack_minor: 0,
        suite: 0x100,
        product: 1,
        reserved: 0,
    }
}

/// Fills in what the longer form of a version has more, if it is that.
///
/// # Safety
/// `at` points to a version of the size that it says.
pub(super) unsafe fn extend(at: *mut VersionEx) {
    // SAFETY: by this function's contract; the size comes first.
    let size = unsafe { at.cast::<ULONG>().read() };
    if size == this().size {
        // SAFETY: as above.
        unsafe { at.write(this()) };
    }
}

/// Whether this Windows is as asked for.
fn is_version(wanted: &VersionEx, mask: ULONG, conditions: u64) -> bool {
    let this = this();
    let condition = |part: Part| conditions >> (3 * part as u32) & 7;
    let is_asked = |part: &Part| mask >> (*part as u32) & 1 != 0;
    let holds = |order: std::cmp::Ordering, condition: u64| match condition {
        1 => order.is_eq(),
        2 => order.is_gt(),
        3 => order.is_ge(),
        4 => order.is_lt(),
        5 => order.is_le(),
        _ => false,
    };
    // The parts of the version are one number together, as far as they are asked for.
    let together = [
        Part::Major,
        Part::Minor,
        Part::ServicePackMajor,
        Part::ServicePackMinor,
    ];
    let asked: Vec<Part> = together.into_iter().filter(is_asked).collect();
    let number = |version: &VersionEx| -> Vec<ULONG> {
        asked.iter().map(|part| version.part(*part)).collect()
    };
    let first = asked.first();
    let order = number(&this).cmp(&number(wanted));
    if first.is_some_and(|first| !holds(order, condition(*first))) {
        return false;
    }
    let mut alone = PARTS
        .iter()
        .filter(|part| is_asked(part) && !together.contains(part));
    alone.all(|part| {
        let (have, want) = (this.part(*part), wanted.part(*part));
        match (*part, condition(*part)) {
            (Part::Suite, 6) => have & want == want,
            (Part::Suite, 7) => want == 0 || have & want != 0,
            (_, condition) => holds(have.cmp(&want), condition),
        }
    })
}

routines! {
    /// Whether this Windows is as asked for.
    unsafe fn RtlVerifyVersionInfo(
        wanted: *const VersionEx,
        mask: ULONG,
        conditions: u64,
    ) -> NTSTATUS {
        if mask == 0 {
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: the caller passes a structure.
        let wanted = unsafe { wanted.read_unaligned() };
        let holds = is_version(&wanted, mask, conditions);
        if holds { STATUS_SUCCESS } else { STATUS_REVISION_MISMATCH }
    }

    /// Adds a condition to those of `RtlVerifyVersionInfo`.
    unsafe fn VerSetConditionMask(conditions: u64, mask: ULONG, condition: UCHAR) -> u64 {
        let condition = u64::from(condition & 7);
        // Of several parts the highest.
        let part = mask.checked_ilog2().filter(|part| *part < 8);
        part.map_or(conditions, |part| {
            let shift = 3 * part;
            conditions & !(7 << shift) | condition << shift
        })
    }

    /// Whether this Windows is that version or a later one.
    unsafe fn RtlIsNtDdiVersionAvailable(wanted: ULONG) -> BOOLEAN {
        let (major, minor, ..) = version();
        // Only versions are asked for here, not service packs.
        BOOLEAN::from(wanted.trailing_zeros() >= 16 && major << 24 | minor << 16 >= wanted)
    }

    /// Whether this Windows is that version with that service pack or a later one.
    unsafe fn RtlIsServicePackVersionInstalled(wanted: ULONG) -> BOOLEAN {
        let (major, minor, _, pack) = version();
        let same = major << 8 | minor == wanted >> 16;
        BOOLEAN::from(same && u32::from(pack) >= wanted >> 8 & 0xFF)
    }

    /// Which Windows this is; it gives that it is no checked build.
    unsafe fn PsGetVersion(
        major: *mut ULONG,
        minor: *mut ULONG,
        build: *mut ULONG,
        text: PUNICODE_STRING,
    ) -> BOOLEAN {
        let (is_major, is_minor, is_build, _) = version();
        // SAFETY: the caller passes null or places.
        unsafe { write(major, is_major) };
        // SAFETY: as above.
        unsafe { write(minor, is_minor) };
        // SAFETY: as above.
        unsafe { write(build, is_build) };
        let empty = UNICODE_STRING {
            Length: 0,
            MaximumLength: 0,
            Buffer: std::ptr::null_mut(),
        };
        // SAFETY: as above.
        unsafe { write(text, empty) };
        0
    }

    /// How many processors there are, and which.
    unsafe fn KeQueryActiveProcessorCount(affinity: *mut u64) -> ULONG {
        // SAFETY: the caller passes null or a place.
        unsafe { write(affinity, 1) };
        1
    }

    /// Tells about the system: how many processors there are.
    unsafe fn ZwQuerySystemInformation(
        class: i32,
        buffer: PVOID,
        length: ULONG,
        needed: *mut ULONG,
    ) -> NTSTATUS {
        if class != BASIC_INFORMATION {
            return STATUS_INVALID_INFO_CLASS;
        }
        let size = size_of::<BasicInformation>();
        // SAFETY: the caller passes null or a place.
        unsafe { write(needed, ULONG::try_from(size).unwrap_or(ULONG::MAX)) };
        if buffer.is_null() || length as usize != size {
            return STATUS_INFO_LENGTH_MISMATCH;
        }
        let value = BasicInformation {
            reserved: [0; 7],
            processors: 1,
        };
        // SAFETY: the caller's buffer is as long as the structure.
        unsafe { buffer.cast::<BasicInformation>().write_unaligned(value) };
        STATUS_SUCCESS
    }

    /// How many processors a group has.
    unsafe fn KeQueryActiveProcessorCountEx(group: USHORT) -> ULONG {
        ULONG::from(matches!(group, 0 | 0xFFFF))
    }

    /// How many processors there can be.
    unsafe fn KeQueryMaximumProcessorCount() -> ULONG {
        1
    }

    /// How many processors a group can have.
    unsafe fn KeQueryMaximumProcessorCountEx(group: USHORT) -> ULONG {
        ULONG::from(matches!(group, 0 | 0xFFFF))
    }

    /// Which processors there are.
    unsafe fn KeQueryActiveProcessors() -> u64 {
        1
    }

    /// How many groups of processors there are.
    unsafe fn KeQueryActiveGroupCount() -> USHORT {
        1
    }

    /// How many groups of processors there can be.
    unsafe fn KeQueryMaximumGroupCount() -> USHORT {
        1
    }

    /// The number of the processor that this runs on, and its group and its number there.
    unsafe fn KeGetCurrentProcessorNumberEx(number: *mut [u8; 4]) -> ULONG {
        // SAFETY: the caller passes null or a place.
        unsafe { write(number, [0; 4]) };
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Machine;

    #[test]
    fn the_system_has_a_processor() {
        let machine = Machine::default();
        let ask = |class, length| {
            let (mut buffer, mut needed) = ([0xFF_u8; 64], 0);
            let at = buffer.as_mut_ptr().cast();
            // SAFETY: a buffer that is long enough, and a place.
            let status = unsafe { ZwQuerySystemInformation(class, at, length, &raw mut needed) };
            (status, needed, buffer[56])
        };
        machine.at_irql(PASSIVE_LEVEL, || {
            assert_eq!(ask(BASIC_INFORMATION, 64), (STATUS_SUCCESS, 64, 1));
            for length in [0, 63, 65] {
                let mismatch = (STATUS_INFO_LENGTH_MISMATCH, 64, 0xFF);
                assert_eq!(ask(BASIC_INFORMATION, length), mismatch);
            }
            assert_eq!(ask(2, 64), (STATUS_INVALID_INFO_CLASS, 0, 0xFF));
        });
        assert!(machine.finish().is_clean());
    }
}
