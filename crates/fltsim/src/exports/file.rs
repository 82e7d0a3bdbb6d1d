//! File operations of a minifilter itself, sent to the instances below its own.

use super::{bad_pointer, enter, exports, file_object, instance, write};
use crate::io::{self, FileObject, Operation, Request};
use crate::machine::Inner;
use crate::manager::Instance;
use fltmgr_sys::*;
use std::sync::Arc;

exports! {
    /// Reads from a file.
    unsafe fn FltReadFile(
        InitiatingInstance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
        ByteOffset: *mut LARGE_INTEGER,
        Length: ULONG,
        Buffer: PVOID,
        Flags: ULONG,
        BytesRead: *mut ULONG,
        CallbackRoutine: PFLT_COMPLETED_ASYNC_IO_CALLBACK,
        CallbackContext: PVOID,
    ) -> NTSTATUS {
        const CALL: &str = "FltReadFile";
        let _ = CallbackContext;
        let Some((machine, instance, file)) = resolve_target(CALL, InitiatingInstance, FileObject)
        else {
            return STATUS_INVALID_PARAMETER;
        };
        if CallbackRoutine.is_some() {
            return STATUS_NOT_SUPPORTED;
        }
        // SAFETY: the caller passes null or an offset.
        let offset = unsafe { offset(ByteOffset, &file) };
        let mut request = transfer(IRP_MJ_READ, Flags);
        request.irp_flags |= IRP_READ_OPERATION;
        request.parameters.Read.Length = Length;
        request.parameters.Read.ByteOffset = LARGE_INTEGER { QuadPart: offset };
        request.parameters.Read.ReadBuffer = Buffer;
        let (status, count) = send(&machine, instance, &file, request);
        // SAFETY: the caller passes null or a place for the count.
        unsafe { write(BytesRead, narrow(count)) };
        status
    }

    /// Writes to a file.
    unsafe fn FltWriteFile(
        InitiatingInstance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
        ByteOffset: *mut LARGE_INTEGER,
        Length: ULONG,
        Buffer: PVOID,
        Flags: ULONG,
        BytesWritten: *mut ULONG,
        CallbackRoutine: PFLT_COMPLETED_ASYNC_IO_CALLBACK,
        CallbackContext: PVOID,
    ) -> NTSTATUS {
        const CALL: &str = "FltWriteFile";
        let _ = CallbackContext;
        let Some((machine, instance, file)) = resolve_target(CALL, InitiatingInstance, FileObject)
        else {
            return STATUS_INVALID_PARAMETER;
        };
        if CallbackRoutine.is_some() {
            return STATUS_NOT_SUPPORTED;
        }
        // SAFETY: the caller passes null or an offset.
        let offset = unsafe { offset(ByteOffset, &file) };
        let mut request = transfer(IRP_MJ_WRITE, Flags);
        request.irp_flags |= IRP_WRITE_OPERATION;
        request.parameters.Write.Length = Length;
        request.parameters.Write.ByteOffset = LARGE_INTEGER { QuadPart: offset };
        request.parameters.Write.WriteBuffer = Buffer;
        let (status, count) = send(&machine, instance, &file, request);
        // SAFETY: the caller passes null or a place for the count.
        unsafe { write(BytesWritten, narrow(count)) };
        status
    }

    /// Queries information of a file.
    unsafe fn FltQueryInformationFile(
        Instance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
        FileInformation: PVOID,
        Length: ULONG,
        FileInformationClass: FILE_INFORMATION_CLASS,
        LengthReturned: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltQueryInformationFile";
        let Some((machine, instance, file)) = resolve_target(CALL, Instance, FileObject) else {
            return STATUS_INVALID_PARAMETER;
        };
        let mut request = own(IRP_MJ_QUERY_INFORMATION);
        let parameters = &mut request.parameters;
        parameters.QueryFileInformation.Length = Length;
        parameters.QueryFileInformation.FileInformationClass = FileInformationClass;
        parameters.QueryFileInformation.InfoBuffer = FileInformation;
        let (status, count) = send(&machine, instance, &file, request);
        // SAFETY: the caller passes null or a place for the count.
        unsafe { write(LengthReturned, narrow(count)) };
        status
    }

    /// Sets information of a file.
    unsafe fn FltSetInformationFile(
        Instance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
        FileInformation: PVOID,
        Length: ULONG,
        FileInformationClass: FILE_INFORMATION_CLASS,
    ) -> NTSTATUS {
        const CALL: &str = "FltSetInformationFile";
        let Some((machine, instance, file)) = resolve_target(CALL, Instance, FileObject) else {
            return STATUS_INVALID_PARAMETER;
        };
        let mut request = own(IRP_MJ_SET_INFORMATION);
        let parameters = &mut request.parameters;
        parameters.SetFileInformation.Length = Length;
        parameters.SetFileInformation.FileInformationClass = FileInformationClass;
        parameters.SetFileInformation.InfoBuffer = FileInformation;
        send(&machine, instance, &file, request).0
    }

    /// Queries volume information through a file.
    unsafe fn FltQueryVolumeInformationFile(
        Instance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
        FsInformation: PVOID,
        Length: ULONG,
        FsInformationClass: FS_INFORMATION_CLASS,
        LengthReturned: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltQueryVolumeInformationFile";
        let Some((machine, instance, file)) = resolve_target(CALL, Instance, FileObject) else {
            return STATUS_INVALID_PARAMETER;
        };
        let mut request = own(IRP_MJ_QUERY_VOLUME_INFORMATION);
        let parameters = &mut request.parameters;
        parameters.QueryVolumeInformation.Length = Length;
        parameters.QueryVolumeInformation.FsInformationClass = FsInformationClass;
        parameters.QueryVolumeInformation.VolumeBuffer = FsInformation;
        let (status, count) = send(&machine, instance, &file, request);
        // SAFETY: the caller passes null or a place for the count.
        unsafe { write(LengthReturned, narrow(count)) };
        status
    }

    /// Flushes a file.
    unsafe fn FltFlushBuffers(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT) -> NTSTATUS {
        const CALL: &str = "FltFlushBuffers";
        let Some((machine, instance, file)) = resolve_target(CALL, Instance, FileObject) else {
            return STATUS_INVALID_PARAMETER;
        };
        send(&machine, instance, &file, own(IRP_MJ_FLUSH_BUFFERS)).0
    }

    /// Undoes a create in a post-create callback.
    unsafe fn FltCancelFileOpen(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT) {
        const CALL: &str = "FltCancelFileOpen";
        if let Some((machine, _, file)) = resolve_target(CALL, Instance, FileObject) {
            if file.has_handle() {
                machine.verifier.bugcheck(
                    crate::verifier::Rule::V0,
                    [0x6A, FileObject as u64, 0, 0],
                    CALL,
                    "a handle exists for the file object whose open was cancelled",
                );
            } else {
                io::cancel_open(&machine, &file);
            }
        }
    }
}

type Target = (Arc<Inner>, Arc<Instance>, Arc<FileObject>);

fn resolve_target(call: &'static str, own: PFLT_INSTANCE, file: PFILE_OBJECT) -> Option<Target> {
    let (machine, instance) = instance(call, "Instance", own)?;
    enter(&machine, call);
    let (_, object) = file_object(call, "FileObject", file)?;
    if object.volume().id != instance.volume.id {
        bad_pointer(
            call,
            "FileObject",
            file as usize,
            "file object of this volume",
        );
        return None;
    }
    Some((machine, instance, object))
}

/// A request of a driver, which waits for it and is asked for no rights.
fn own(major: UCHAR) -> Request {
    let mut request = Request::new(major);
    request.irp_flags = IRP_SYNCHRONOUS_API;
    request.data_flags = FLTFL_CALLBACK_DATA_GENERATED_IO;
    request.kernel = true;
    request
}

fn transfer(major: UCHAR, flags: FLT_IO_OPERATION_FLAGS) -> Request {
    let mut request = own(major);
    if flags & FLTFL_IO_OPERATION_PAGING != 0 {
        request.irp_flags |= IRP_PAGING_IO | IRP_NOCACHE;
    }
    if flags & FLTFL_IO_OPERATION_NON_CACHED != 0 {
        request.irp_flags |= IRP_NOCACHE;
    }
    if flags & FLTFL_IO_OPERATION_SYNCHRONOUS_PAGING != 0 {
        request.irp_flags |= IRP_SYNCHRONOUS_PAGING_IO;
    }
    request
}

fn send(
    machine: &Arc<Inner>,
    instance: Arc<Instance>,
    file: &Arc<FileObject>,
    mut request: Request,
) -> (NTSTATUS, usize) {
    request.below = Some(instance);
    io::run(&Operation::new(machine, file, &request))
}

/// # Safety
/// `offset` is null or points to an offset.
unsafe fn offset(offset: *mut LARGE_INTEGER, file: &FileObject) -> i64 {
    if offset.is_null() {
        return file.position();
    }
    // SAFETY: not null, so an offset by this function's contract.
    let offset = unsafe { *offset };
    // SAFETY: every bit pattern of the union is an integer.
    unsafe { offset.QuadPart }
}

fn narrow(count: usize) -> ULONG {
    ULONG::try_from(count).unwrap_or(ULONG::MAX)
}
