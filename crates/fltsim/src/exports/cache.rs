//! What file systems and their filters ask the cache and the memory manager about a file. Nothing
//! is cached here and nothing is mapped that could be in the way.

use super::{enter, exports, file_object, here, write};
use crate::io::{FilePhase, Purpose};
use crate::verifier::Rule;
use fltmgr_sys::*;

const STATUS_INVALID_PARAMETER_MIX: NTSTATUS = 0xC000_0030_u32.cast_signed();

const DONE: IO_STATUS_BLOCK = IO_STATUS_BLOCK {
    __bindgen_anon_1: IO_STATUS_BLOCK_UNION {
        Status: STATUS_SUCCESS,
    },
    Information: 0,
};

exports! {
    /// Writes what is cached of a file: nothing.
    unsafe fn CcFlushCache(
        _pointers: PVOID,
        _offset: *const i64,
        _length: ULONG,
        status: *mut IO_STATUS_BLOCK,
    ) {
        here("CcFlushCache");
        // SAFETY: the caller passes a place, or null.
        unsafe { write(status, DONE) };
    }

    /// Throws what is cached of a file away: nothing.
    unsafe fn CcPurgeCacheSection(
        _pointers: PVOID,
        _offset: *const i64,
        _length: ULONG,
        _flags: ULONG,
    ) -> BOOLEAN {
        here("CcPurgeCacheSection");
        1
    }

    /// Writes what is cached of a file and throws it away.
    unsafe fn CcCoherencyFlushAndPurgeCache(
        _pointers: PVOID,
        _offset: *const i64,
        _length: ULONG,
        status: *mut IO_STATUS_BLOCK,
        _flags: ULONG,
    ) {
        here("CcCoherencyFlushAndPurgeCache");
        // SAFETY: the caller passes a place.
        unsafe { write(status, DONE) };
    }

    /// Lets go of a file that is mapped as an image, as none is.
    unsafe fn MmFlushImageSection(_pointers: PVOID, _kind: i32) -> BOOLEAN {
        here("MmFlushImageSection");
        1
    }

    /// Deletes the sections of a file that nobody uses. The cache has none, and those that drivers
    /// have made are copies.
    unsafe fn MmForceSectionClosed(_pointers: PVOID, _delay: BOOLEAN) -> BOOLEAN {
        here("MmForceSectionClosed");
        1
    }

    /// Whether a file can be truncated: nothing is mapped of it.
    unsafe fn MmCanFileBeTruncated(_pointers: PVOID, _size: *const i64) -> BOOLEAN {
        here("MmCanFileBeTruncated");
        1
    }

    /// Whether a user can write to a file through a view: nothing is mapped.
    unsafe fn MmDoesFileHaveUserWritableReferences(_pointers: PVOID) -> ULONG {
        here("MmDoesFileHaveUserWritableReferences");
        0
    }

    /// The size of an open file.
    unsafe fn FsRtlGetFileSize(file: PFILE_OBJECT, size: *mut i64) -> NTSTATUS {
        const CALL: &str = "FsRtlGetFileSize";
        let Some((machine, file)) = file_object(CALL, "FileObject", file) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        match file.section_size() {
            Ok(found) => {
                // SAFETY: the caller passes a place.
                unsafe { write(size, i64::try_from(found).unwrap_or(i64::MAX)) };
                STATUS_SUCCESS
            }
            Err(status) => status,
        }
    }

    /// Whether a file is a paging file.
    unsafe fn FsRtlIsPagingFile(file: PFILE_OBJECT) -> ULONG {
        const CALL: &str = "FsRtlIsPagingFile";
        let Some((machine, file)) = file_object(CALL, "FileObject", file) else {
            return 0;
        };
        enter(&machine, CALL);
        ULONG::from(file.purpose() == Purpose::PagingFile)
    }

    /// Whether a file was opened for somebody on another machine.
    unsafe fn IoIsFileOriginRemote(file: PFILE_OBJECT) -> BOOLEAN {
        const CALL: &str = "IoIsFileOriginRemote";
        let Some((machine, file)) = file_object(CALL, "FileObject", file) else {
            return 0;
        };
        enter(&machine, CALL);
        if file.phase() == FilePhase::Unopened {
            let text = "the file object is not open: who opens it is not known before that";
            machine.verifier.violation(Rule::V0, CALL, text);
        }
        BOOLEAN::from(file.has_flag(FO_REMOTE_ORIGIN))
    }

    /// Says that a file was opened for somebody on another machine, which filters should not do.
    unsafe fn IoSetFileOrigin(file: PFILE_OBJECT, remote: BOOLEAN) -> NTSTATUS {
        const CALL: &str = "IoSetFileOrigin";
        let Some((machine, file)) = file_object(CALL, "FileObject", file) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        if machine.config.strict {
            let text = "only network file systems should say where a file is opened from";
            machine.verifier.violation(Rule::V0, CALL, text);
        }
        if file.set_flag(FO_REMOTE_ORIGIN, remote != 0) {
            STATUS_SUCCESS
        } else {
            STATUS_INVALID_PARAMETER_MIX
        }
    }

    /// Whether a file object takes no part in sharing: every one does.
    unsafe fn IoIsFileObjectIgnoringSharing(file: PFILE_OBJECT) -> BOOLEAN {
        const CALL: &str = "IoIsFileObjectIgnoringSharing";
        if let Some((machine, _)) = file_object(CALL, "FileObject", file) {
            enter(&machine, CALL);
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystem::Personality;
    use crate::{Config, Machine, OpenOptions, VolumeConfig};

    #[test]
    fn a_file_has_an_origin() {
        for strict in [false, true] {
            let machine = Machine::new(Config::default().strict(strict));
            let config = VolumeConfig::memory("\\Device\\V", Personality::ntfs());
            let volume = machine.add_volume(config);
            let file = volume.open("\\a", OpenOptions::create()).unwrap();
            machine.at_irql(DISPATCH_LEVEL, || {
                let object = file.file_object();
                // SAFETY: the file object is looked up.
                let is_remote = || unsafe { IoIsFileOriginRemote(object) };
                // SAFETY: as above.
                let set = |remote| unsafe { IoSetFileOrigin(object, remote) };
                assert_eq!(is_remote(), 0);
                assert_eq!(set(0), STATUS_INVALID_PARAMETER_MIX);
                assert_eq!(set(1), STATUS_SUCCESS);
                assert_eq!(is_remote(), 1);
                assert_eq!(set(1), STATUS_INVALID_PARAMETER_MIX);
                assert_eq!(set(0), STATUS_SUCCESS);
                assert_eq!(is_remote(), 0);
            });
            drop(file);
            let outcome = machine.finish();
            assert_eq!(outcome.violations.len(), if strict { 4 } else { 0 });
            assert_eq!((outcome.leaks.len(), outcome.bugchecks.len()), (0, 0));
        }
    }
}
