//! What the kernel does with files by their handles: it goes through the whole filter stack, with
//! the rights of the handle.

use super::file::{Control, list};
use super::{enter, exports, write};
use crate::io::{self, ByteRange, FileObject, IoOptions, Operation, Request};
use crate::kernel::scope;
use crate::machine::Inner;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;

/// The offset that means the position of the file object.
const FILE_USE_FILE_POINTER_POSITION: i64 = -2;
/// The offset that means the end of the file.
const FILE_WRITE_TO_END_OF_FILE: i64 = -1;

exports! {
    /// Reads from a file.
    unsafe fn ZwReadFile(
        FileHandle: HANDLE,
        Event: HANDLE,
        ApcRoutine: PVOID,
        _ApcContext: PVOID,
        IoStatusBlock: PIO_STATUS_BLOCK,
        Buffer: PVOID,
        Length: ULONG,
        ByteOffset: *mut LARGE_INTEGER,
        Key: *mut ULONG,
    ) -> NTSTATUS {
        let caller = Caller {
            call: "ZwReadFile",
            event: Event,
            apc: ApcRoutine,
            result: IoStatusBlock,
        };
        // SAFETY: the caller passes null or what the arguments are named after.
        unsafe { caller.transfer(FileHandle, IRP_MJ_READ, ByteOffset, Key, (Buffer, Length)) }
    }

    /// Writes to a file.
    unsafe fn ZwWriteFile(
        FileHandle: HANDLE,
        Event: HANDLE,
        ApcRoutine: PVOID,
        _ApcContext: PVOID,
        IoStatusBlock: PIO_STATUS_BLOCK,
        Buffer: PVOID,
        Length: ULONG,
        ByteOffset: *mut LARGE_INTEGER,
        Key: *mut ULONG,
    ) -> NTSTATUS {
        let caller = Caller {
            call: "ZwWriteFile",
            event: Event,
            apc: ApcRoutine,
            result: IoStatusBlock,
        };
        // SAFETY: the caller passes null or what the arguments are named after.
        unsafe { caller.transfer(FileHandle, IRP_MJ_WRITE, ByteOffset, Key, (Buffer, Length)) }
    }

    /// Queries information of a file.
    unsafe fn ZwQueryInformationFile(
        FileHandle: HANDLE,
        IoStatusBlock: PIO_STATUS_BLOCK,
        FileInformation: PVOID,
        Length: ULONG,
        FileInformationClass: FILE_INFORMATION_CLASS,
    ) -> NTSTATUS {
        let caller = Caller::synchronous("ZwQueryInformationFile", IoStatusBlock);
        // SAFETY: the caller passes null or a status block.
        unsafe {
            caller.perform(FileHandle, |machine, file| {
                let mut request = request(file, IRP_MJ_QUERY_INFORMATION);
                let parameters = &mut request.parameters;
                parameters.QueryFileInformation.Length = Length;
                parameters.QueryFileInformation.FileInformationClass = FileInformationClass;
                parameters.QueryFileInformation.InfoBuffer = FileInformation;
                send(machine, file, &request)
            })
        }
    }

    /// Sets information of a file.
    unsafe fn ZwSetInformationFile(
        FileHandle: HANDLE,
        IoStatusBlock: PIO_STATUS_BLOCK,
        FileInformation: PVOID,
        Length: ULONG,
        FileInformationClass: FILE_INFORMATION_CLASS,
    ) -> NTSTATUS {
        let caller = Caller::synchronous("ZwSetInformationFile", IoStatusBlock);
        // SAFETY: the caller passes null or a status block.
        unsafe {
            caller.perform(FileHandle, |machine, file| {
                let mut request = request(file, IRP_MJ_SET_INFORMATION);
                let parameters = &mut request.parameters;
                parameters.SetFileInformation.Length = Length;
                parameters.SetFileInformation.FileInformationClass = FileInformationClass;
                parameters.SetFileInformation.InfoBuffer = FileInformation;
                send(machine, file, &request)
            })
        }
    }

    /// Lists a directory.
    unsafe fn ZwQueryDirectoryFile(
        FileHandle: HANDLE,
        Event: HANDLE,
        ApcRoutine: PVOID,
        _ApcContext: PVOID,
        IoStatusBlock: PIO_STATUS_BLOCK,
        FileInformation: PVOID,
        Length: ULONG,
        FileInformationClass: FILE_INFORMATION_CLASS,
        ReturnSingleEntry: BOOLEAN,
        FileName: PUNICODE_STRING,
        RestartScan: BOOLEAN,
    ) -> NTSTATUS {
        let caller = Caller {
            call: "ZwQueryDirectoryFile",
            event: Event,
            apc: ApcRoutine,
            result: IoStatusBlock,
        };
        let mut flags = 0;
        if ReturnSingleEntry != 0 {
            flags |= SL_RETURN_SINGLE_ENTRY;
        }
        if RestartScan != 0 {
            flags |= SL_RESTART_SCAN;
        }
        // SAFETY: the caller passes null or a status block.
        unsafe {
            caller.perform(FileHandle, |machine, file| {
                let mut request = request(file, IRP_MJ_DIRECTORY_CONTROL);
                let buffer = FileInformation;
                list(&mut request, buffer, Length, FileInformationClass, flags, FileName);
                send(machine, file, &request)
            })
        }
    }

    /// Queries volume information through a file.
    unsafe fn ZwQueryVolumeInformationFile(
        FileHandle: HANDLE,
        IoStatusBlock: PIO_STATUS_BLOCK,
        FsInformation: PVOID,
        Length: ULONG,
        FsInformationClass: FS_INFORMATION_CLASS,
    ) -> NTSTATUS {
        let caller = Caller::synchronous("ZwQueryVolumeInformationFile", IoStatusBlock);
        // SAFETY: the caller passes null or a status block.
        unsafe {
            caller.perform(FileHandle, |machine, file| {
                let mut request = request(file, IRP_MJ_QUERY_VOLUME_INFORMATION);
                let parameters = &mut request.parameters;
                parameters.QueryVolumeInformation.Length = Length;
                parameters.QueryVolumeInformation.FsInformationClass = FsInformationClass;
                parameters.QueryVolumeInformation.VolumeBuffer = FsInformation;
                send(machine, file, &request)
            })
        }
    }

    /// Flushes a file.
    unsafe fn ZwFlushBuffersFile(
        FileHandle: HANDLE,
        IoStatusBlock: PIO_STATUS_BLOCK,
    ) -> NTSTATUS {
        let caller = Caller::synchronous("ZwFlushBuffersFile", IoStatusBlock);
        // SAFETY: the caller passes null or a status block.
        unsafe {
            caller.perform(FileHandle, |machine, file| {
                send(machine, file, &request(file, IRP_MJ_FLUSH_BUFFERS))
            })
        }
    }

    /// Locks a range of a file.
    unsafe fn ZwLockFile(
        FileHandle: HANDLE,
        Event: HANDLE,
        ApcRoutine: PVOID,
        _ApcContext: PVOID,
        IoStatusBlock: PIO_STATUS_BLOCK,
        ByteOffset: *mut LARGE_INTEGER,
        Length: *mut LARGE_INTEGER,
        Key: ULONG,
        FailImmediately: BOOLEAN,
        ExclusiveLock: BOOLEAN,
    ) -> NTSTATUS {
        let caller = Caller {
            call: "ZwLockFile",
            event: Event,
            apc: ApcRoutine,
            result: IoStatusBlock,
        };
        // SAFETY: the caller passes null or numbers.
        let range = unsafe { range(ByteOffset, Length) };
        // SAFETY: the caller passes null or a status block.
        unsafe {
            caller.perform(FileHandle, |machine, file| {
                let Some((start, length)) = range else {
                    return (STATUS_ACCESS_VIOLATION, 0);
                };
                let range = ByteRange::of(start, length, ExclusiveLock != 0, Key);
                let options = IoOptions::default();
                let mut request = io::locking(file, range, FailImmediately != 0, options);
                request.kernel = true;
                send(machine, file, &request)
            })
        }
    }

    /// Unlocks a range of a file.
    unsafe fn ZwUnlockFile(
        FileHandle: HANDLE,
        IoStatusBlock: PIO_STATUS_BLOCK,
        ByteOffset: *mut LARGE_INTEGER,
        Length: *mut LARGE_INTEGER,
        Key: ULONG,
    ) -> NTSTATUS {
        let caller = Caller::synchronous("ZwUnlockFile", IoStatusBlock);
        // SAFETY: the caller passes null or numbers.
        let range = unsafe { range(ByteOffset, Length) };
        // SAFETY: the caller passes null or a status block.
        unsafe {
            caller.perform(FileHandle, |machine, file| {
                let Some((start, length)) = range else {
                    return (STATUS_ACCESS_VIOLATION, 0);
                };
                let range = ByteRange::of(start, length, false, Key);
                let mut request = io::unlocking(file, range, IoOptions::default());
                request.kernel = true;
                send(machine, file, &request)
            })
        }
    }

    /// Sends a control to the file system.
    unsafe fn ZwFsControlFile(
        FileHandle: HANDLE,
        Event: HANDLE,
        ApcRoutine: PVOID,
        _ApcContext: PVOID,
        IoStatusBlock: PIO_STATUS_BLOCK,
        FsControlCode: ULONG,
        InputBuffer: PVOID,
        InputBufferLength: ULONG,
        OutputBuffer: PVOID,
        OutputBufferLength: ULONG,
    ) -> NTSTATUS {
        let caller = Caller {
            call: "ZwFsControlFile",
            event: Event,
            apc: ApcRoutine,
            result: IoStatusBlock,
        };
        let control = Control {
            code: FsControlCode,
            input: InputBuffer,
            input_length: InputBufferLength,
            output: OutputBuffer,
            output_length: OutputBufferLength,
        };
        // SAFETY: the caller passes null or a status block, and buffers of these lengths.
        unsafe { caller.control(FileHandle, IRP_MJ_FILE_SYSTEM_CONTROL, &control) }
    }

    /// Sends a control to the device.
    unsafe fn ZwDeviceIoControlFile(
        FileHandle: HANDLE,
        Event: HANDLE,
        ApcRoutine: PVOID,
        _ApcContext: PVOID,
        IoStatusBlock: PIO_STATUS_BLOCK,
        IoControlCode: ULONG,
        InputBuffer: PVOID,
        InputBufferLength: ULONG,
        OutputBuffer: PVOID,
        OutputBufferLength: ULONG,
    ) -> NTSTATUS {
        let caller = Caller {
            call: "ZwDeviceIoControlFile",
            event: Event,
            apc: ApcRoutine,
            result: IoStatusBlock,
        };
        let control = Control {
            code: IoControlCode,
            input: InputBuffer,
            input_length: InputBufferLength,
            output: OutputBuffer,
            output_length: OutputBufferLength,
        };
        // SAFETY: the caller passes null or a status block, and buffers of these lengths.
        unsafe { caller.control(FileHandle, IRP_MJ_DEVICE_CONTROL, &control) }
    }
}

/// What all of these routines do around the operation.
pub(super) struct Caller {
    call: &'static str,
    event: HANDLE,
    apc: PVOID,
    result: PIO_STATUS_BLOCK,
}

impl Caller {
    pub(super) const fn synchronous(call: &'static str, result: PIO_STATUS_BLOCK) -> Self {
        Self {
            call,
            event: null_mut(),
            apc: null_mut(),
            result,
        }
    }

    /// Reads or writes through a handle.
    ///
    /// # Safety
    /// The status block, the offset and the key are what they are named after, or null.
    unsafe fn transfer(
        &self,
        handle: HANDLE,
        major: UCHAR,
        at: *mut LARGE_INTEGER,
        key: *mut ULONG,
        buffer: (PVOID, ULONG),
    ) -> NTSTATUS {
        // SAFETY: by this function's contract.
        let offset = unsafe { offset(at) };
        // SAFETY: as above.
        let key = unsafe { read_key(key) };
        let run = |machine: &Arc<Inner>, file: &Arc<FileObject>| {
            transfer(machine, file, major, offset, key, buffer)
        };
        // SAFETY: as above.
        unsafe { self.perform(handle, run) }
    }

    /// Performs an operation on the file of a handle. It is complete when this returns, as if it
    /// had been fast enough; so the event is signalled, and there is no APC.
    ///
    /// # Safety
    /// The status block is one, or null.
    pub(super) unsafe fn perform(
        &self,
        handle: HANDLE,
        run: impl FnOnce(&Arc<Inner>, &Arc<FileObject>) -> (NTSTATUS, usize),
    ) -> NTSTATUS {
        let Some(machine) = scope::machine() else {
            return STATUS_INVALID_HANDLE;
        };
        enter(&machine, self.call);
        let file = match io::file_of(&machine, handle) {
            Ok(file) => file,
            Err(status) => return status,
        };
        let event = match self.event(&machine) {
            Ok(event) => event,
            Err(status) => return status,
        };
        if !self.apc.is_null() {
            return STATUS_NOT_SUPPORTED;
        }
        let (status, information) = run(&machine, &file);
        // SAFETY: null or a status block by this function's contract.
        unsafe { write(self.result, io::io_status(status, information)) };
        #[cfg(target_arch = "x86_64")]
        if !event.is_null() {
            // SAFETY: what has this name is an event.
            unsafe { super::ke_event::KeSetEvent(event, 0, 0) };
        }
        let _ = event;
        status
    }

    /// The event to signal at the end, or null.
    fn event(&self, machine: &Inner) -> Result<*mut KEVENT, NTSTATUS> {
        if self.event.is_null() {
            return Ok(null_mut());
        }
        let (object, _) = machine
            .handles
            .find(self.event)
            .ok_or(STATUS_INVALID_HANDLE)?;
        if object.name() == "event" {
            Ok(object.address() as *mut KEVENT)
        } else {
            Err(STATUS_OBJECT_TYPE_MISMATCH)
        }
    }

    /// # Safety
    /// As for [`Caller::perform`], and the buffers of the control have their lengths.
    unsafe fn control(&self, handle: HANDLE, major: UCHAR, control: &Control) -> NTSTATUS {
        let run = |machine: &Arc<Inner>, file: &Arc<FileObject>| {
            // SAFETY: passed on to the caller.
            unsafe { control.perform(machine, file, request(file, major)) }
        };
        // SAFETY: passed on to the caller.
        unsafe { self.perform(handle, run) }
    }
}

/// A request that the kernel makes through a handle.
pub(super) fn request(file: &FileObject, major: UCHAR) -> Request {
    let mut request = io::request(file, major, IoOptions::default());
    request.kernel = true;
    request
}

fn send(machine: &Arc<Inner>, file: &Arc<FileObject>, request: &Request) -> (NTSTATUS, usize) {
    io::run(&Operation::new(machine, file, request))
}

/// Reads or writes.
fn transfer(
    machine: &Arc<Inner>,
    file: &Arc<FileObject>,
    major: UCHAR,
    offset: Option<i64>,
    key: ULONG,
    (buffer, length): (PVOID, ULONG),
) -> (NTSTATUS, usize) {
    let offset = match offset {
        None | Some(FILE_USE_FILE_POINTER_POSITION) if file.is_synchronous() => file.position(),
        Some(FILE_WRITE_TO_END_OF_FILE) if major == IRP_MJ_WRITE => FILE_WRITE_TO_END_OF_FILE,
        Some(offset) if offset >= 0 => offset,
        _ => return (STATUS_INVALID_PARAMETER, 0),
    };
    let mut request = request(file, major);
    let moved = Request::transfer(major, offset, buffer, length);
    request.parameters = moved.parameters;
    request.irp_flags |= moved.irp_flags;
    // A read and a write have the same layout.
    request.parameters.Read.Key = key;
    send(machine, file, &request)
}

/// # Safety
/// `offset` is null or points to an offset.
unsafe fn offset(offset: *mut LARGE_INTEGER) -> Option<i64> {
    // SAFETY: null or an offset by this function's contract.
    let offset = unsafe { offset.as_ref() }?;
    // SAFETY: every bit pattern of the union is an integer.
    Some(unsafe { offset.QuadPart })
}

/// The start and the length of a range.
///
/// # Safety
/// Each is null or points to a number.
unsafe fn range(start: *mut LARGE_INTEGER, length: *mut LARGE_INTEGER) -> Option<(i64, i64)> {
    // SAFETY: by this function's contract.
    let start = unsafe { offset(start) };
    // SAFETY: as above.
    let length = unsafe { offset(length) };
    start.zip(length)
}

/// # Safety
/// `key` is null or points to a key.
unsafe fn read_key(key: *mut ULONG) -> ULONG {
    // SAFETY: null or a key by this function's contract.
    unsafe { key.as_ref() }.copied().unwrap_or(0)
}
