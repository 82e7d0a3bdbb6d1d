//! Extended attributes by file object, and what their lists must be like. The file system has none.

use super::{enter, exports, file_object, routines, write};
use crate::filesystem::Authority;
use crate::io::{self, Operation, Request};
use fltmgr_sys::*;

const STATUS_EA_LIST_INCONSISTENT: NTSTATUS = 0x8000_0014_u32.cast_signed();
/// Where the name begins in `FILE_FULL_EA_INFORMATION`.
const NAME: usize = 8;

/// What an entry of a list says of itself: the offset of the next one, and how long it is without
/// what fills it up. Nothing if it does not fit, or its name does not end where it should.
fn entry(list: &[u8]) -> Option<(usize, usize)> {
    let next = list.get(..4)?.try_into().ok()?;
    let next = usize::try_from(u32::from_le_bytes(next)).ok()?;
    let name_length = usize::from(*list.get(5)?);
    let value_length = list.get(6..8)?.try_into().ok()?;
    let value_length = usize::from(u16::from_le_bytes(value_length));
    let name = list.get(NAME..=NAME + name_length)?;
    let ends = name.iter().position(|byte| *byte == 0)? == name_length;
    let size = NAME + name_length + 1 + value_length;
    (ends && size <= list.len()).then_some((next, size))
}

/// Where a list is wrong.
fn first_error(list: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let Some((next, size)) = list.get(at..).and_then(entry) else {
            return Some(at);
        };
        if next == 0 {
            // The list ends with its last entry, which may be filled up.
            let end = at + size;
            let right = list.len() == end || list.len() == end.next_multiple_of(4);
            return (!right).then_some(at);
        }
        if next % 4 != 0 || next < size {
            return Some(at);
        }
        at += next;
    }
}

/// A request of the kernel's, which goes through the whole stack.
fn send(
    call: &'static str,
    file: PFILE_OBJECT,
    request: impl FnOnce() -> Request,
) -> (NTSTATUS, usize) {
    let Some((machine, file)) = file_object(call, "FileObject", file) else {
        return (STATUS_INVALID_PARAMETER, 0);
    };
    enter(&machine, call);
    let mut request = request();
    request.kernel = true;
    request.authority = Authority::Kernel;
    io::run(&Operation::new(&machine, &file, &request))
}

exports! {
    /// Queries extended attributes.
    unsafe fn FsRtlQueryKernelEaFile(
        file: PFILE_OBJECT,
        buffer: PVOID,
        length: ULONG,
        single: BOOLEAN,
        list: PVOID,
        list_length: ULONG,
        index: *mut ULONG,
        restart: BOOLEAN,
        returned: *mut ULONG,
    ) -> NTSTATUS {
        // SAFETY: the caller passes an index, or null.
        let index = unsafe { index.as_ref() }.copied();
        let (status, count) = send("FsRtlQueryKernelEaFile", file, || {
            let mut request = Request::new(IRP_MJ_QUERY_EA);
            for (is_set, flag) in [
                (single != 0, SL_RETURN_SINGLE_ENTRY),
                (restart != 0, SL_RESTART_SCAN),
                (index.is_some(), SL_INDEX_SPECIFIED),
            ] {
                request.operation_flags |= if is_set { flag } else { 0 };
            }
            request.parameters.QueryEa.Length = length;
            request.parameters.QueryEa.EaBuffer = buffer;
            request.parameters.QueryEa.EaList = list;
            request.parameters.QueryEa.EaListLength = list_length;
            request.parameters.QueryEa.EaIndex = index.unwrap_or(0);
            request
        });
        // SAFETY: the caller passes null or a place for the count.
        unsafe { write(returned, ULONG::try_from(count).unwrap_or(ULONG::MAX)) };
        status
    }

    /// Sets extended attributes.
    unsafe fn FsRtlSetKernelEaFile(
        file: PFILE_OBJECT,
        buffer: PVOID,
        length: ULONG,
    ) -> NTSTATUS {
        let (status, _) = send("FsRtlSetKernelEaFile", file, || {
            let mut request = Request::new(IRP_MJ_SET_EA);
            request.parameters.SetEa.Length = length;
            request.parameters.SetEa.EaBuffer = buffer;
            request
        });
        status
    }
}

/// What looks at no object.
pub(super) mod list {
    use super::{
        NTSTATUS, PVOID, STATUS_EA_LIST_INCONSISTENT, STATUS_SUCCESS, ULONG, first_error, routines,
        write,
    };

    routines! {
        /// Whether a list of extended attributes is as it must be, or else where it is not.
        unsafe fn IoCheckEaBufferValidity(
            buffer: PVOID,
            length: ULONG,
            wrong: *mut ULONG,
        ) -> NTSTATUS {
            let found = if buffer.is_null() {
                Some(0)
            } else {
                // SAFETY: the caller passes so many bytes.
                let list = unsafe { std::slice::from_raw_parts(buffer.cast::<u8>(), length as usize) };
                first_error(list)
            };
            let Some(at) = found else {
                return STATUS_SUCCESS;
            };
            // SAFETY: the caller passes a place.
            unsafe { write(wrong, ULONG::try_from(at).unwrap_or(ULONG::MAX)) };
            STATUS_EA_LIST_INCONSISTENT
        }
    }
}

#[cfg(test)]
mod tests {
    use super::list::IoCheckEaBufferValidity;
    use super::*;
    use crate::filesystem::Personality;
    use crate::{Machine, OpenOptions, VolumeConfig};
    use std::ptr::null_mut;

    /// `STATUS_EAS_NOT_SUPPORTED`.
    const EAS_NOT_SUPPORTED: NTSTATUS = 0xC000_004F_u32.cast_signed();

    /// An entry with the name and the value, and what the next offset is.
    fn one(next: u32, name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut bytes = next.to_le_bytes().to_vec();
        bytes.extend([0, u8::try_from(name.len()).unwrap()]);
        bytes.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        bytes.extend(name);
        bytes.push(0);
        bytes.extend(value);
        bytes
    }

    /// Where a list is wrong.
    fn check(mut list: Vec<u8>) -> Option<ULONG> {
        let mut wrong = 99;
        let length = ULONG::try_from(list.len()).unwrap();
        // SAFETY: so many bytes and a place.
        let status =
            unsafe { IoCheckEaBufferValidity(list.as_mut_ptr().cast(), length, &raw mut wrong) };
        match status {
            STATUS_SUCCESS => {
                assert_eq!(wrong, 99);
                None
            }
            status => {
                assert_eq!(status, STATUS_EA_LIST_INCONSISTENT);
                Some(wrong)
            }
        }
    }

    #[test]
    fn lists_are_checked() {
        // 8 + 2 + 1 + 1 bytes, which is a multiple of four.
        let first = |next| one(next, b"AB", b"x");
        assert_eq!(check(first(0)), None);
        assert_eq!(check([first(12), one(0, b"C", b"")].concat()), None);
        assert_eq!(
            check([first(12), one(0, b"C", b""), vec![0; 2]].concat()),
            None
        );
        assert_eq!(
            check([first(12), one(0, b"C", b""), vec![0; 3]].concat()),
            Some(12)
        );
        assert_eq!(check([first(13), one(0, b"C", b"")].concat()), Some(0));
        assert_eq!(check([first(8), one(0, b"C", b"")].concat()), Some(0));
        assert_eq!(check(first(12)), Some(12));
        assert_eq!(check(one(0, b"A\0B", b"x")), Some(0));
        assert_eq!(check(one(0, b"AB", b"xyz")[..12].to_vec()), Some(0));
        let mut open = one(0, b"AB", b"x");
        open[10] = b'C';
        assert_eq!(check(open), Some(0));
        assert_eq!(check(vec![0; 7]), Some(0));
        assert_eq!(check(Vec::new()), Some(0));
    }

    #[test]
    fn the_file_system_has_no_extended_attributes() {
        let machine = Machine::default();
        let volume = machine.add_volume(VolumeConfig::memory("\\Device\\V", Personality::ntfs()));
        let file = volume.open("\\a", OpenOptions::create()).unwrap();
        machine.at_irql(PASSIVE_LEVEL, || {
            let mut buffer = [0_u64; 8];
            let mut count = 9;
            let place = buffer.as_mut_ptr().cast();
            let mut query = |file| {
                // SAFETY: a buffer and a place; the file object is looked up.
                unsafe {
                    FsRtlQueryKernelEaFile(
                        file,
                        place,
                        64,
                        0,
                        null_mut(),
                        0,
                        null_mut(),
                        1,
                        &raw mut count,
                    )
                }
            };
            assert_eq!(query(file.file_object()), EAS_NOT_SUPPORTED);
            assert_eq!(count, 0);
            // SAFETY: as above.
            let status = unsafe { FsRtlSetKernelEaFile(file.file_object(), place, 64) };
            assert_eq!(status, EAS_NOT_SUPPORTED);
            assert!(machine.verifier().reports().is_empty());
            let set = |file| {
                // SAFETY: as above.
                unsafe { FsRtlSetKernelEaFile(file, place, 64) }
            };
            assert_eq!(set(null_mut()), STATUS_INVALID_PARAMETER);
        });
        drop(file);
        let outcome = machine.finish();
        let violations: Vec<_> = outcome
            .violations
            .iter()
            .map(|report| report.call)
            .collect();
        assert_eq!(violations, ["FsRtlSetKernelEaFile"]);
        assert_eq!((outcome.leaks.len(), outcome.bugchecks.len()), (0, 0));
    }
}
