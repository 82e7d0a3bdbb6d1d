//! File operations of a minifilter itself, sent to the instances below its own.

use super::{bad_pointer, enter, exports, file_object, instance, write};
use crate::OpenOptions;
use crate::filesystem::Authority;
use crate::io::{self, FileObject, FilePhase, Method, Operation, Origin, Request};
use crate::kernel::irql;
use crate::kernel::scope::{Callback, Scope};
use crate::machine::Inner;
use crate::manager::{Instance, filter};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;

const FLT_FLUSH_TYPE_FLUSH_AND_PURGE: ULONG = 1;
const FLT_FLUSH_TYPE_FILE_DATA_ONLY: ULONG = 2;
const FLT_FLUSH_TYPE_NO_SYNC: ULONG = 4;
const FLT_FLUSH_TYPE_DATA_SYNC_ONLY: ULONG = 8;

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
        let transfer = Transfer {
            call: "FltReadFile",
            major: IRP_MJ_READ,
            offset: ByteOffset,
            length: Length,
            buffer: Buffer,
            flags: Flags,
            count: BytesRead,
            callback: CallbackRoutine,
            context: CallbackContext,
            key: null_mut(),
            mdl: null_mut(),
        };
        // SAFETY: the caller passes a buffer of that length, and null or places for the others.
        unsafe { transfer.perform(InitiatingInstance, FileObject) }
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
        let transfer = Transfer {
            call: "FltWriteFile",
            major: IRP_MJ_WRITE,
            offset: ByteOffset,
            length: Length,
            buffer: Buffer,
            flags: Flags,
            count: BytesWritten,
            callback: CallbackRoutine,
            context: CallbackContext,
            key: null_mut(),
            mdl: null_mut(),
        };
        // SAFETY: the caller passes a buffer of that length, and null or places for the others.
        unsafe { transfer.perform(InitiatingInstance, FileObject) }
    }

    /// Reads from a file, with a key for its locks and an MDL.
    unsafe fn FltReadFileEx(
        InitiatingInstance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
        ByteOffset: *mut LARGE_INTEGER,
        Length: ULONG,
        Buffer: PVOID,
        Flags: ULONG,
        BytesRead: *mut ULONG,
        CallbackRoutine: PFLT_COMPLETED_ASYNC_IO_CALLBACK,
        CallbackContext: PVOID,
        Key: *mut ULONG,
        Mdl: PMDL,
    ) -> NTSTATUS {
        let transfer = Transfer {
            call: "FltReadFileEx",
            major: IRP_MJ_READ,
            offset: ByteOffset,
            length: Length,
            buffer: Buffer,
            flags: Flags,
            count: BytesRead,
            callback: CallbackRoutine,
            context: CallbackContext,
            key: Key,
            mdl: Mdl,
        };
        // SAFETY: the caller passes a buffer of that length, and null or places for the others.
        unsafe { transfer.perform(InitiatingInstance, FileObject) }
    }

    /// Writes to a file, with a key for its locks and an MDL.
    unsafe fn FltWriteFileEx(
        InitiatingInstance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
        ByteOffset: *mut LARGE_INTEGER,
        Length: ULONG,
        Buffer: PVOID,
        Flags: ULONG,
        BytesWritten: *mut ULONG,
        CallbackRoutine: PFLT_COMPLETED_ASYNC_IO_CALLBACK,
        CallbackContext: PVOID,
        Key: *mut ULONG,
        Mdl: PMDL,
    ) -> NTSTATUS {
        let transfer = Transfer {
            call: "FltWriteFileEx",
            major: IRP_MJ_WRITE,
            offset: ByteOffset,
            length: Length,
            buffer: Buffer,
            flags: Flags,
            count: BytesWritten,
            callback: CallbackRoutine,
            context: CallbackContext,
            key: Key,
            mdl: Mdl,
        };
        // SAFETY: the caller passes a buffer of that length, and null or places for the others.
        unsafe { transfer.perform(InitiatingInstance, FileObject) }
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
        let (status, count) = send(&machine, &instance, &file, request);
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
        send(&machine, &instance, &file, request).0
    }

    /// Lists a directory.
    unsafe fn FltQueryDirectoryFile(
        Instance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
        FileInformation: PVOID,
        Length: ULONG,
        FileInformationClass: FILE_INFORMATION_CLASS,
        ReturnSingleEntry: BOOLEAN,
        FileName: PUNICODE_STRING,
        RestartScan: BOOLEAN,
        LengthReturned: *mut ULONG,
    ) -> NTSTATUS {
        let mut flags = 0;
        if ReturnSingleEntry != 0 {
            flags |= SL_RETURN_SINGLE_ENTRY;
        }
        if RestartScan != 0 {
            flags |= SL_RESTART_SCAN;
        }
        let query = DirectoryQuery {
            call: "FltQueryDirectoryFile",
            buffer: FileInformation,
            length: Length,
            class: FileInformationClass,
            flags,
            name: FileName,
        };
        // SAFETY: the caller passes a buffer of that length, and null or a place for the count.
        unsafe { query.perform(Instance, FileObject, LengthReturned) }
    }

    /// Lists a directory, with flags.
    unsafe fn FltQueryDirectoryFileEx(
        Instance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
        FileInformation: PVOID,
        Length: ULONG,
        FileInformationClass: FILE_INFORMATION_CLASS,
        QueryFlags: ULONG,
        FileName: PUNICODE_STRING,
        LengthReturned: *mut ULONG,
    ) -> NTSTATUS {
        let Ok(flags) = UCHAR::try_from(QueryFlags) else {
            return STATUS_INVALID_PARAMETER;
        };
        let query = DirectoryQuery {
            call: "FltQueryDirectoryFileEx",
            buffer: FileInformation,
            length: Length,
            class: FileInformationClass,
            flags,
            name: FileName,
        };
        // SAFETY: the caller passes a buffer of that length, and null or a place for the count.
        unsafe { query.perform(Instance, FileObject, LengthReturned) }
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
        let request = volume_query(FsInformation, Length, FsInformationClass);
        let (status, count) = send(&machine, &instance, &file, request);
        // SAFETY: the caller passes null or a place for the count.
        unsafe { write(LengthReturned, narrow(count)) };
        status
    }

    /// Queries volume information.
    unsafe fn FltQueryVolumeInformation(
        Instance: PFLT_INSTANCE,
        Iosb: PIO_STATUS_BLOCK,
        FsInformation: PVOID,
        Length: ULONG,
        FsInformationClass: FS_INFORMATION_CLASS,
    ) -> NTSTATUS {
        const CALL: &str = "FltQueryVolumeInformation";
        let request = volume_query(FsInformation, Length, FsInformationClass);
        // SAFETY: the caller passes null or a status block.
        unsafe { through_volume(CALL, Instance, Iosb, request) }
    }

    /// Sets volume information.
    unsafe fn FltSetVolumeInformation(
        Instance: PFLT_INSTANCE,
        Iosb: PIO_STATUS_BLOCK,
        FsInformation: PVOID,
        Length: ULONG,
        FsInformationClass: FS_INFORMATION_CLASS,
    ) -> NTSTATUS {
        const CALL: &str = "FltSetVolumeInformation";
        let mut request = own(IRP_MJ_SET_VOLUME_INFORMATION);
        let parameters = &mut request.parameters;
        parameters.SetVolumeInformation.Length = Length;
        parameters.SetVolumeInformation.FsInformationClass = FsInformationClass;
        parameters.SetVolumeInformation.VolumeBuffer = FsInformation;
        // SAFETY: the caller passes null or a status block.
        unsafe { through_volume(CALL, Instance, Iosb, request) }
    }

    /// Queries extended attributes.
    unsafe fn FltQueryEaFile(
        Instance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
        ReturnedEaData: PVOID,
        Length: ULONG,
        ReturnSingleEntry: BOOLEAN,
        EaList: PVOID,
        EaListLength: ULONG,
        EaIndex: *mut ULONG,
        RestartScan: BOOLEAN,
        LengthReturned: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltQueryEaFile";
        let Some((machine, instance, file)) = resolve_target(CALL, Instance, FileObject) else {
            return STATUS_INVALID_PARAMETER;
        };
        let mut request = own(IRP_MJ_QUERY_EA);
        if ReturnSingleEntry != 0 {
            request.operation_flags |= SL_RETURN_SINGLE_ENTRY;
        }
        if RestartScan != 0 {
            request.operation_flags |= SL_RESTART_SCAN;
        }
        request.parameters.QueryEa.Length = Length;
        request.parameters.QueryEa.EaBuffer = ReturnedEaData;
        request.parameters.QueryEa.EaList = EaList;
        request.parameters.QueryEa.EaListLength = EaListLength;
        if !EaIndex.is_null() {
            request.operation_flags |= SL_INDEX_SPECIFIED;
            // SAFETY: not null, so the caller's index.
            request.parameters.QueryEa.EaIndex = unsafe { EaIndex.read() };
        }
        let (status, count) = send(&machine, &instance, &file, request);
        // SAFETY: the caller passes null or a place for the count.
        unsafe { write(LengthReturned, narrow(count)) };
        status
    }

    /// Sets extended attributes.
    unsafe fn FltSetEaFile(
        Instance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
        EaBuffer: PVOID,
        Length: ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltSetEaFile";
        let Some((machine, instance, file)) = resolve_target(CALL, Instance, FileObject) else {
            return STATUS_INVALID_PARAMETER;
        };
        let mut request = own(IRP_MJ_SET_EA);
        request.parameters.SetEa.Length = Length;
        request.parameters.SetEa.EaBuffer = EaBuffer;
        send(&machine, &instance, &file, request).0
    }

    /// Sends a control to the file system.
    unsafe fn FltFsControlFile(
        Instance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
        FsControlCode: ULONG,
        InputBuffer: PVOID,
        InputBufferLength: ULONG,
        OutputBuffer: PVOID,
        OutputBufferLength: ULONG,
        LengthReturned: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltFsControlFile";
        let control = Control {
            code: FsControlCode,
            input: InputBuffer,
            input_length: InputBufferLength,
            output: OutputBuffer,
            output_length: OutputBufferLength,
        };
        let target = resolve_target(CALL, Instance, FileObject);
        // SAFETY: the caller passes buffers of these lengths, and null or a place for the count.
        unsafe { send_control(target, IRP_MJ_FILE_SYSTEM_CONTROL, &control, LengthReturned) }
    }

    /// Sends a control to the device.
    unsafe fn FltDeviceIoControlFile(
        Instance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
        IoControlCode: ULONG,
        InputBuffer: PVOID,
        InputBufferLength: ULONG,
        OutputBuffer: PVOID,
        OutputBufferLength: ULONG,
        LengthReturned: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltDeviceIoControlFile";
        let control = Control {
            code: IoControlCode,
            input: InputBuffer,
            input_length: InputBufferLength,
            output: OutputBuffer,
            output_length: OutputBufferLength,
        };
        let target = resolve_target(CALL, Instance, FileObject);
        // SAFETY: the caller passes buffers of these lengths, and null or a place for the count.
        unsafe { send_control(target, IRP_MJ_DEVICE_CONTROL, &control, LengthReturned) }
    }

    /// Flushes a file.
    unsafe fn FltFlushBuffers(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT) -> NTSTATUS {
        const CALL: &str = "FltFlushBuffers";
        let Some((machine, instance, file)) = resolve_target(CALL, Instance, FileObject) else {
            return STATUS_INVALID_PARAMETER;
        };
        send(&machine, &instance, &file, own(IRP_MJ_FLUSH_BUFFERS)).0
    }

    /// Flushes a file in a given way.
    unsafe fn FltFlushBuffers2(
        Instance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
        FlushType: ULONG,
        CallbackData: PFLT_CALLBACK_DATA,
    ) -> NTSTATUS {
        const CALL: &str = "FltFlushBuffers2";
        let Some((machine, instance, file)) = resolve_target(CALL, Instance, FileObject) else {
            return STATUS_INVALID_PARAMETER;
        };
        if !CallbackData.is_null() && io::find(CallbackData).is_none() {
            let address = CallbackData as usize;
            bad_pointer(CALL, "CallbackData", address, "live callback data");
            return STATUS_INVALID_PARAMETER;
        }
        let mut request = own(IRP_MJ_FLUSH_BUFFERS);
        request.minor = match FlushType {
            0 => 0,
            FLT_FLUSH_TYPE_FLUSH_AND_PURGE => 1,
            FLT_FLUSH_TYPE_FILE_DATA_ONLY => 2,
            FLT_FLUSH_TYPE_NO_SYNC => 3,
            FLT_FLUSH_TYPE_DATA_SYNC_ONLY => 4,
            _ => return STATUS_INVALID_PARAMETER,
        };
        send(&machine, &instance, &file, request).0
    }

    /// Undoes a create in a post-create callback.
    unsafe fn FltCancelFileOpen(Instance: PFLT_INSTANCE, FileObject: PFILE_OBJECT) {
        const CALL: &str = "FltCancelFileOpen";
        if let Some((machine, _, file)) = resolve_target(CALL, Instance, FileObject) {
            if file.has_handle() {
                machine.verifier.bugcheck(
                    Rule::V0,
                    [0x6A, FileObject as u64, 0, 0],
                    CALL,
                    "a handle exists for the file object whose open was cancelled",
                );
            } else {
                io::cancel_open(&machine, &file);
                file.open_cancelled();
            }
        }
    }
}

type Target = (Arc<Inner>, Arc<Instance>, Arc<FileObject>);

pub(super) fn resolve_target(
    call: &'static str,
    own: PFLT_INSTANCE,
    file: PFILE_OBJECT,
) -> Option<Target> {
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

/// Sends a control below an instance, and says how much it wrote.
///
/// # Safety
/// The buffers of the control have its lengths; `returned` is null or may be written to.
unsafe fn send_control(
    target: Option<Target>,
    major: UCHAR,
    control: &Control,
    returned: *mut ULONG,
) -> NTSTATUS {
    let Some((machine, instance, file)) = target else {
        return STATUS_INVALID_PARAMETER;
    };
    let mut request = own(major);
    request.below = Some(Arc::clone(&instance));
    // SAFETY: by this function's contract.
    let send = || unsafe { control.perform(&machine, &file, request) };
    let (status, count) = instance.sends(send);
    // SAFETY: as above.
    unsafe { write(returned, narrow(count)) };
    status
}

/// A request of a driver, which waits for it and is asked for no rights.
pub(super) fn own(major: UCHAR) -> Request {
    let mut request = Request::new(major);
    request.irp_flags = IRP_SYNCHRONOUS_API;
    mark(&mut request);
    request
}

/// Makes a request one of a driver.
fn mark(request: &mut Request) {
    request.data_flags = FLTFL_CALLBACK_DATA_GENERATED_IO;
    request.kernel = true;
    request.authority = Authority::Kernel;
}

pub(super) fn send(
    machine: &Arc<Inner>,
    instance: &Arc<Instance>,
    file: &Arc<FileObject>,
    mut request: Request,
) -> (NTSTATUS, usize) {
    request.below = Some(Arc::clone(instance));
    instance.sends(|| io::run(&Operation::new(machine, file, &request)))
}

fn volume_query(buffer: PVOID, length: ULONG, class: FS_INFORMATION_CLASS) -> Request {
    let mut request = own(IRP_MJ_QUERY_VOLUME_INFORMATION);
    let parameters = &mut request.parameters;
    parameters.QueryVolumeInformation.Length = length;
    parameters.QueryVolumeInformation.FsInformationClass = class;
    parameters.QueryVolumeInformation.VolumeBuffer = buffer;
    request
}

/// Sends a request about a volume, which is opened for it below the instance.
///
/// # Safety
/// `result` is null or a status block.
unsafe fn through_volume(
    call: &'static str,
    own: PFLT_INSTANCE,
    result: PIO_STATUS_BLOCK,
    request: Request,
) -> NTSTATUS {
    let Some((machine, instance)) = instance(call, "Instance", own) else {
        return STATUS_INVALID_PARAMETER;
    };
    enter(&machine, call);
    let origin = Origin {
        below: Some(Arc::clone(&instance)),
        kernel: true,
        ..Origin::default()
    };
    let options = OpenOptions::read().access(FILE_READ_ATTRIBUTES | SYNCHRONIZE);
    let (status, count) = match io::open(&machine, &instance.volume, "", &options, origin) {
        Err(status) => (status, 0),
        Ok((file, _)) => {
            let result = send(&machine, &instance, &file, request);
            io::close_now(&machine, &file);
            result
        }
    };
    // SAFETY: null or a status block by this function's contract.
    unsafe { write(result, io::io_status(status, count)) };
    status
}

pub(super) fn narrow(count: usize) -> ULONG {
    ULONG::try_from(count).unwrap_or(ULONG::MAX)
}

/// A read or a write as a driver asks for it.
struct Transfer {
    call: &'static str,
    major: UCHAR,
    offset: *mut LARGE_INTEGER,
    length: ULONG,
    buffer: PVOID,
    flags: FLT_IO_OPERATION_FLAGS,
    count: *mut ULONG,
    callback: PFLT_COMPLETED_ASYNC_IO_CALLBACK,
    context: PVOID,
    key: *mut ULONG,
    mdl: PMDL,
}

impl Transfer {
    /// # Safety
    /// The buffer has its length; the other pointers are null or point to what they stand for.
    unsafe fn perform(self, own: PFLT_INSTANCE, file: PFILE_OBJECT) -> NTSTATUS {
        let Some((machine, instance, file)) = resolve_target(self.call, own, file) else {
            return STATUS_INVALID_PARAMETER;
        };
        if file.phase() != FilePhase::Open {
            let text = "the file object is not open";
            machine.verifier.violation(Rule::V0, self.call, text);
            return STATUS_FILE_CLOSED;
        }
        // SAFETY: passed on to the caller.
        let request = match unsafe { self.request(&file) } {
            Ok(request) => request,
            Err(status) => return status,
        };
        if self.callback.is_some() {
            return self.begin(&machine, &instance, &file, request);
        }
        let (status, count) = send(&machine, &instance, &file, request);
        // SAFETY: null or a place for the count by this function's contract.
        unsafe { write(self.count, narrow(count)) };
        status
    }

    /// # Safety
    /// As for [`Transfer::perform`].
    unsafe fn request(&self, file: &FileObject) -> Result<Request, NTSTATUS> {
        let offset = if self.offset.is_null() {
            if !file.is_synchronous() {
                return Err(STATUS_INVALID_PARAMETER);
            }
            file.position()
        } else {
            // SAFETY: not null, so an offset by this function's contract.
            let offset = unsafe { *self.offset };
            // SAFETY: every bit pattern of the union is an integer.
            unsafe { offset.QuadPart }
        };
        let mut request = Request::transfer(self.major, offset, self.buffer, self.length);
        mark(&mut request);
        request.keep_position = !self.offset.is_null()
            || self.flags & FLTFL_IO_OPERATION_DO_NOT_UPDATE_BYTE_OFFSET != 0;
        let paging = self.flags & FLTFL_IO_OPERATION_PAGING != 0;
        let uncached = self.flags & FLTFL_IO_OPERATION_NON_CACHED != 0 || file.is_uncached();
        if paging {
            request.irp_flags |= IRP_PAGING_IO | IRP_NOCACHE;
        } else if uncached {
            let sector = i64::from(file.volume().personality.sector_size.max(1));
            if offset % sector != 0 || i64::from(self.length) % sector != 0 {
                return Err(STATUS_INVALID_PARAMETER);
            }
            request.irp_flags |= IRP_NOCACHE;
        }
        if self.flags & FLTFL_IO_OPERATION_SYNCHRONOUS_PAGING != 0 {
            request.irp_flags |= IRP_SYNCHRONOUS_PAGING_IO;
        }
        if self.callback.is_none() {
            request.irp_flags |= IRP_SYNCHRONOUS_API;
        }
        // A read and a write have the same layout.
        request.parameters.Read.MdlAddress = self.mdl;
        if !self.key.is_null() {
            // SAFETY: not null, so a key by this function's contract.
            request.parameters.Read.Key = unsafe { self.key.read() };
        }
        Ok(request)
    }

    /// Sends it without waiting. The instance stays until the callback has returned.
    fn begin(
        &self,
        machine: &Arc<Inner>,
        instance: &Arc<Instance>,
        file: &Arc<FileObject>,
        mut request: Request,
    ) -> NTSTATUS {
        request.below = Some(Arc::clone(instance));
        request.synchronous = false;
        request.completion = machine.asynchronous_completion();
        instance.references.acquire_always(self.call);
        instance.begin_own();
        let done = Done {
            instance: Arc::clone(instance),
            callback: self.callback,
            context: self.context as usize,
        };
        let operation = Operation::new(machine, file, &request);
        let status = io::begin(
            &operation,
            Box::new(move |operation| {
                done.tell(&operation.machine, operation.pointer());
                operation.retire();
            }),
        );
        if status == STATUS_PENDING {
            status
        } else {
            operation.state.lock().result.0
        }
    }
}

/// Whom to tell about the end of an asynchronous operation.
pub(super) struct Done {
    pub(super) instance: Arc<Instance>,
    pub(super) callback: PFLT_COMPLETED_ASYNC_IO_CALLBACK,
    pub(super) context: usize,
}

impl Done {
    /// Calls back, and lets the instance go.
    pub(super) fn tell(self, machine: &Arc<Inner>, data: PFLT_CALLBACK_DATA) {
        if let Some(callback) = self.callback {
            let _scope = Scope::enter(machine, Callback::Other, irql::current());
            // SAFETY: the driver passed this routine and context for the end of this operation,
            // and the reference on the instance keeps it loaded.
            unsafe { callback(data, self.context as PVOID) };
        }
        self.instance.end_own();
        filter::release_instance(&self.instance);
    }
}

/// A listing as a driver asks for it.
struct DirectoryQuery {
    call: &'static str,
    buffer: PVOID,
    length: ULONG,
    class: FILE_INFORMATION_CLASS,
    flags: UCHAR,
    name: PUNICODE_STRING,
}

impl DirectoryQuery {
    /// # Safety
    /// The buffer has its length; `count` is null or a place for the count.
    unsafe fn perform(
        self,
        own_instance: PFLT_INSTANCE,
        file: PFILE_OBJECT,
        count: *mut ULONG,
    ) -> NTSTATUS {
        let Some((machine, instance, file)) = resolve_target(self.call, own_instance, file) else {
            return STATUS_INVALID_PARAMETER;
        };
        let mut request = own(IRP_MJ_DIRECTORY_CONTROL);
        list(
            &mut request,
            self.buffer,
            self.length,
            self.class,
            self.flags,
            self.name,
        );
        let (status, length) = send(&machine, &instance, &file, request);
        // SAFETY: null or a place for the count by this function's contract.
        unsafe { write(count, narrow(length)) };
        status
    }
}

/// Makes a request one for a listing.
pub(super) fn list(
    request: &mut Request,
    buffer: PVOID,
    length: ULONG,
    class: FILE_INFORMATION_CLASS,
    flags: UCHAR,
    name: PUNICODE_STRING,
) {
    request.minor = IRP_MN_QUERY_DIRECTORY;
    request.operation_flags |= flags;
    let parameters = &mut request.parameters;
    parameters.DirectoryControl.QueryDirectory.Length = length;
    parameters.DirectoryControl.QueryDirectory.FileName = name;
    parameters
        .DirectoryControl
        .QueryDirectory
        .FileInformationClass = class;
    parameters.DirectoryControl.QueryDirectory.DirectoryBuffer = buffer;
}

/// A control with its buffers, which its code says how to pass.
pub(super) struct Control {
    pub(super) code: ULONG,
    pub(super) input: PVOID,
    pub(super) input_length: ULONG,
    pub(super) output: PVOID,
    pub(super) output_length: ULONG,
}

impl Control {
    /// Sends a request with the buffers of the control, which lie at the same places in the
    /// parameters of both kinds of control.
    ///
    /// # Safety
    /// The buffers have their lengths, or are null.
    pub(super) unsafe fn perform(
        &self,
        machine: &Arc<Inner>,
        file: &Arc<FileObject>,
        mut request: Request,
    ) -> (NTSTATUS, usize) {
        let method = Method::of(self.code);
        let input = if self.input.is_null() {
            0
        } else {
            self.input_length as usize
        };
        let output = if self.output.is_null() {
            0
        } else {
            self.output_length as usize
        };
        let size = match method {
            Method::Buffered => input.max(output),
            Method::Direct => input,
            Method::Neither => 0,
        };
        let mut system = vec![0_u8; size];
        if size > 0 && input > 0 {
            // SAFETY: the input buffer has this length by this function's contract, and the system
            // buffer at least the same.
            unsafe { system.as_mut_ptr().copy_from(self.input.cast(), input) };
        }
        let memory: PVOID = if system.is_empty() {
            null_mut()
        } else {
            system.as_mut_ptr().cast()
        };
        let parameters = &mut request.parameters;
        parameters.FileSystemControl.Neither.FsControlCode = self.code;
        parameters.FileSystemControl.Neither.InputBufferLength = self.input_length;
        parameters.FileSystemControl.Neither.OutputBufferLength = self.output_length;
        match method {
            Method::Buffered => {
                request.data_flags |= FLTFL_CALLBACK_DATA_SYSTEM_BUFFER;
                request.irp_flags |= IRP_BUFFERED_IO;
                parameters.FileSystemControl.Buffered.SystemBuffer = memory;
            }
            Method::Direct => {
                parameters.FileSystemControl.Direct.InputSystemBuffer = memory;
                parameters.FileSystemControl.Direct.OutputBuffer = self.output;
            }
            Method::Neither => {
                parameters.FileSystemControl.Neither.InputBuffer = self.input;
                parameters.FileSystemControl.Neither.OutputBuffer = self.output;
            }
        }
        let (status, count) = io::run(&Operation::new(machine, file, &request));
        let error = status.cast_unsigned() >> 30 == 3;
        if method == Method::Buffered && !error {
            let count = count.min(output).min(system.len());
            // SAFETY: the output buffer has at least this length by this function's contract, and
            // so has the system buffer.
            unsafe { self.output.cast::<u8>().copy_from(system.as_ptr(), count) };
        }
        (status, count)
    }
}
