//! Opening and closing files: by a minifilter for itself, and by the kernel.

use super::{bad_pointer, enter, exports, filter, instance, write};
use crate::OpenOptions;
use crate::io::{self, ObjectName, Origin};
use crate::kernel::handle::Grant;
use crate::kernel::scope;
use crate::machine::Inner;
use crate::manager::{self, Filter, Instance, Object};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;

const IO_OPEN_PAGING_FILE: ULONG = 2;
const IO_OPEN_TARGET_DIRECTORY: ULONG = 4;
const IO_STOP_ON_SYMLINK: ULONG = 8;
const IO_CHECK_CREATE_PARAMETERS: ULONG = 0x200;
/// `CreateFileTypeNone`: neither a pipe nor a mail slot.
const CREATE_FILE_TYPE_NONE: i32 = 0;
/// The attributes that an object may be opened with.
const OBJ_VALID_ATTRIBUTES: ULONG = 0x1FF2;
const SL_FORCE_ACCESS_CHECK: UCHAR = 1;
const STATUS_INVALID_DEVICE_OBJECT_PARAMETER: NTSTATUS = 0xC000_0369_u32.cast_signed();

/// `IO_DRIVER_CREATE_CONTEXT`.
#[repr(C)]
#[derive(Clone, Copy)]
struct DriverContext {
    size: USHORT,
    extra_create_parameter: PVOID,
    device_object_hint: PVOID,
    transaction_parameters: *mut TransactionParameters,
    silo_context: PVOID,
}

const _: () = assert!(size_of::<DriverContext>() == 40);

/// `TXN_PARAMETER_BLOCK`.
#[repr(C)]
struct TransactionParameters {
    length: USHORT,
    miniversion: USHORT,
    transaction: PVOID,
}

const _: () = assert!(size_of::<TransactionParameters>() == 16);

/// What every routine that opens a file takes.
struct Create {
    call: &'static str,
    handle: *mut HANDLE,
    object: *mut PFILE_OBJECT,
    access: ACCESS_MASK,
    attributes: POBJECT_ATTRIBUTES,
    result: PIO_STATUS_BLOCK,
    allocation: *mut LARGE_INTEGER,
    file_attributes: ULONG,
    share: ULONG,
    disposition: ULONG,
    options: ULONG,
    extended: PVOID,
    extended_length: ULONG,
    flags: ULONG,
    context: *const DriverContext,
    device: PDEVICE_OBJECT,
}

/// On whose behalf a file is opened.
struct Opener {
    filter: Option<Arc<Filter>>,
    below: Option<Arc<Instance>>,
}

exports! {
    /// Opens or creates a file.
    unsafe fn FltCreateFile(
        Filter: PFLT_FILTER,
        Instance: PFLT_INSTANCE,
        FileHandle: *mut HANDLE,
        DesiredAccess: ACCESS_MASK,
        ObjectAttributes: POBJECT_ATTRIBUTES,
        IoStatusBlock: PIO_STATUS_BLOCK,
        AllocationSize: *mut LARGE_INTEGER,
        FileAttributes: ULONG,
        ShareAccess: ULONG,
        CreateDisposition: ULONG,
        CreateOptions: ULONG,
        EaBuffer: PVOID,
        EaLength: ULONG,
        Flags: ULONG,
    ) -> NTSTATUS {
        let create = Create {
            call: "FltCreateFile",
            handle: FileHandle,
            object: null_mut(),
            access: DesiredAccess,
            attributes: ObjectAttributes,
            result: IoStatusBlock,
            allocation: AllocationSize,
            file_attributes: FileAttributes,
            share: ShareAccess,
            disposition: CreateDisposition,
            options: CreateOptions,
            extended: EaBuffer,
            extended_length: EaLength,
            flags: Flags,
            context: null_mut(),
            device: null_mut(),
        };
        // SAFETY: the caller passes what the structures are named after, or null.
        unsafe { create.for_filter(Filter, Instance) }
    }

    /// Opens or creates a file and returns its file object too.
    unsafe fn FltCreateFileEx(
        Filter: PFLT_FILTER,
        Instance: PFLT_INSTANCE,
        FileHandle: *mut HANDLE,
        FileObject: *mut PFILE_OBJECT,
        DesiredAccess: ACCESS_MASK,
        ObjectAttributes: POBJECT_ATTRIBUTES,
        IoStatusBlock: PIO_STATUS_BLOCK,
        AllocationSize: *mut LARGE_INTEGER,
        FileAttributes: ULONG,
        ShareAccess: ULONG,
        CreateDisposition: ULONG,
        CreateOptions: ULONG,
        EaBuffer: PVOID,
        EaLength: ULONG,
        Flags: ULONG,
    ) -> NTSTATUS {
        let create = Create {
            call: "FltCreateFileEx",
            handle: FileHandle,
            object: FileObject,
            access: DesiredAccess,
            attributes: ObjectAttributes,
            result: IoStatusBlock,
            allocation: AllocationSize,
            file_attributes: FileAttributes,
            share: ShareAccess,
            disposition: CreateDisposition,
            options: CreateOptions,
            extended: EaBuffer,
            extended_length: EaLength,
            flags: Flags,
            context: null_mut(),
            device: null_mut(),
        };
        // SAFETY: the caller passes what the structures are named after, or null.
        unsafe { create.for_filter(Filter, Instance) }
    }

    /// Opens or creates a file with a create context.
    unsafe fn FltCreateFileEx2(
        Filter: PFLT_FILTER,
        Instance: PFLT_INSTANCE,
        FileHandle: *mut HANDLE,
        FileObject: *mut PFILE_OBJECT,
        DesiredAccess: ACCESS_MASK,
        ObjectAttributes: POBJECT_ATTRIBUTES,
        IoStatusBlock: PIO_STATUS_BLOCK,
        AllocationSize: *mut LARGE_INTEGER,
        FileAttributes: ULONG,
        ShareAccess: ULONG,
        CreateDisposition: ULONG,
        CreateOptions: ULONG,
        EaBuffer: PVOID,
        EaLength: ULONG,
        Flags: ULONG,
        DriverContext: *mut IO_DRIVER_CREATE_CONTEXT,
    ) -> NTSTATUS {
        let create = Create {
            call: "FltCreateFileEx2",
            handle: FileHandle,
            object: FileObject,
            access: DesiredAccess,
            attributes: ObjectAttributes,
            result: IoStatusBlock,
            allocation: AllocationSize,
            file_attributes: FileAttributes,
            share: ShareAccess,
            disposition: CreateDisposition,
            options: CreateOptions,
            extended: EaBuffer,
            extended_length: EaLength,
            flags: Flags,
            context: DriverContext.cast_const().cast(),
            device: null_mut(),
        };
        // SAFETY: the caller passes what the structures are named after, or null.
        unsafe { create.for_filter(Filter, Instance) }
    }

    /// Closes a handle of `FltCreateFile` and its kind.
    unsafe fn FltClose(FileHandle: HANDLE) -> NTSTATUS {
        const CALL: &str = "FltClose";
        let Some(machine) = scope::machine() else {
            return STATUS_INVALID_HANDLE;
        };
        enter(&machine, CALL);
        if machine.handles.close(&machine, FileHandle) {
            return STATUS_SUCCESS;
        }
        let text = format!("{:#x} is no open handle", FileHandle as usize);
        machine.verifier.violation(Rule::V20, CALL, text);
        STATUS_INVALID_HANDLE
    }

    /// Opens the volume that an instance is attached to.
    unsafe fn FltOpenVolume(
        Instance: PFLT_INSTANCE,
        VolumeHandle: *mut HANDLE,
        VolumeFileObject: *mut PFILE_OBJECT,
    ) -> NTSTATUS {
        const CALL: &str = "FltOpenVolume";
        let Some((machine, below)) = instance(CALL, "Instance", Instance) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        if below.volume.personality.device_type == FILE_DEVICE_NETWORK_FILE_SYSTEM {
            return STATUS_INVALID_PARAMETER;
        }
        let access = FILE_READ_DATA | FILE_READ_ATTRIBUTES | SYNCHRONIZE;
        let options = OpenOptions::read().access(access);
        let opener = Opener {
            filter: Some(Arc::clone(&below.filter)),
            below: Some(Arc::clone(&below)),
        };
        let origin = Origin {
            below: Some(Arc::clone(&below)),
            kernel: true,
            ..Origin::default()
        };
        match io::open(&machine, &below.volume, "", &options, origin) {
            Err(status) => status,
            Ok((file, _)) => {
                let (handle, object) = opener.hand_out(
                    CALL,
                    &machine,
                    &file,
                    Grant {
                        access,
                        kernel: true,
                        filter: None,
                    },
                    !VolumeFileObject.is_null(),
                );
                // SAFETY: the caller passes a place for the handle.
                unsafe { write(VolumeHandle, handle) };
                // SAFETY: the caller passes null or a place for the file object.
                unsafe { write(VolumeFileObject, object) };
                STATUS_SUCCESS
            }
        }
    }

    /// Opens or creates a file.
    unsafe fn ZwCreateFile(
        FileHandle: *mut HANDLE,
        DesiredAccess: ACCESS_MASK,
        ObjectAttributes: POBJECT_ATTRIBUTES,
        IoStatusBlock: PIO_STATUS_BLOCK,
        AllocationSize: *mut LARGE_INTEGER,
        FileAttributes: ULONG,
        ShareAccess: ULONG,
        CreateDisposition: ULONG,
        CreateOptions: ULONG,
        EaBuffer: PVOID,
        EaLength: ULONG,
    ) -> NTSTATUS {
        let create = Create {
            call: "ZwCreateFile",
            handle: FileHandle,
            object: null_mut(),
            access: DesiredAccess,
            attributes: ObjectAttributes,
            result: IoStatusBlock,
            allocation: AllocationSize,
            file_attributes: FileAttributes,
            share: ShareAccess,
            disposition: CreateDisposition,
            options: CreateOptions,
            extended: EaBuffer,
            extended_length: EaLength,
            flags: 0,
            context: null_mut(),
            device: null_mut(),
        };
        // SAFETY: the caller passes what the structures are named after, or null.
        unsafe { create.for_kernel(CREATE_FILE_TYPE_NONE) }
    }

    /// Opens a file that exists.
    unsafe fn ZwOpenFile(
        FileHandle: *mut HANDLE,
        DesiredAccess: ACCESS_MASK,
        ObjectAttributes: POBJECT_ATTRIBUTES,
        IoStatusBlock: PIO_STATUS_BLOCK,
        ShareAccess: ULONG,
        OpenOptions: ULONG,
    ) -> NTSTATUS {
        let mut create = open_only("ZwOpenFile", DesiredAccess, ObjectAttributes, OpenOptions);
        create.handle = FileHandle;
        create.result = IoStatusBlock;
        create.share = ShareAccess;
        // SAFETY: the caller passes what the structures are named after, or null.
        unsafe { create.for_kernel(CREATE_FILE_TYPE_NONE) }
    }

    /// Opens or creates a file.
    unsafe fn IoCreateFile(
        FileHandle: *mut HANDLE,
        DesiredAccess: ACCESS_MASK,
        ObjectAttributes: POBJECT_ATTRIBUTES,
        IoStatusBlock: PIO_STATUS_BLOCK,
        AllocationSize: *mut LARGE_INTEGER,
        FileAttributes: ULONG,
        ShareAccess: ULONG,
        Disposition: ULONG,
        CreateOptions: ULONG,
        EaBuffer: PVOID,
        EaLength: ULONG,
        CreateFileType: i32,
        _InternalParameters: PVOID,
        Options: ULONG,
    ) -> NTSTATUS {
        let create = Create {
            call: "IoCreateFile",
            handle: FileHandle,
            object: null_mut(),
            access: DesiredAccess,
            attributes: ObjectAttributes,
            result: IoStatusBlock,
            allocation: AllocationSize,
            file_attributes: FileAttributes,
            share: ShareAccess,
            disposition: Disposition,
            options: CreateOptions,
            extended: EaBuffer,
            extended_length: EaLength,
            flags: Options,
            context: null_mut(),
            device: null_mut(),
        };
        // SAFETY: the caller passes what the structures are named after, or null.
        unsafe { create.for_kernel(CreateFileType) }
    }

    /// Opens or creates a file with a create context.
    unsafe fn IoCreateFileEx(
        FileHandle: *mut HANDLE,
        DesiredAccess: ACCESS_MASK,
        ObjectAttributes: POBJECT_ATTRIBUTES,
        IoStatusBlock: PIO_STATUS_BLOCK,
        AllocationSize: *mut LARGE_INTEGER,
        FileAttributes: ULONG,
        ShareAccess: ULONG,
        Disposition: ULONG,
        CreateOptions: ULONG,
        EaBuffer: PVOID,
        EaLength: ULONG,
        CreateFileType: i32,
        _InternalParameters: PVOID,
        Options: ULONG,
        DriverContext: *mut IO_DRIVER_CREATE_CONTEXT,
    ) -> NTSTATUS {
        let create = Create {
            call: "IoCreateFileEx",
            handle: FileHandle,
            object: null_mut(),
            access: DesiredAccess,
            attributes: ObjectAttributes,
            result: IoStatusBlock,
            allocation: AllocationSize,
            file_attributes: FileAttributes,
            share: ShareAccess,
            disposition: Disposition,
            options: CreateOptions,
            extended: EaBuffer,
            extended_length: EaLength,
            flags: Options,
            context: DriverContext.cast_const().cast(),
            device: null_mut(),
        };
        // SAFETY: the caller passes what the structures are named after, or null.
        unsafe { create.for_kernel(CreateFileType) }
    }

    /// Opens or creates a file on a given device.
    unsafe fn IoCreateFileSpecifyDeviceObjectHint(
        FileHandle: *mut HANDLE,
        DesiredAccess: ACCESS_MASK,
        ObjectAttributes: POBJECT_ATTRIBUTES,
        IoStatusBlock: PIO_STATUS_BLOCK,
        AllocationSize: *mut LARGE_INTEGER,
        FileAttributes: ULONG,
        ShareAccess: ULONG,
        Disposition: ULONG,
        CreateOptions: ULONG,
        EaBuffer: PVOID,
        EaLength: ULONG,
        CreateFileType: i32,
        _InternalParameters: PVOID,
        Options: ULONG,
        DeviceObject: PVOID,
    ) -> NTSTATUS {
        let create = Create {
            call: "IoCreateFileSpecifyDeviceObjectHint",
            handle: FileHandle,
            object: null_mut(),
            access: DesiredAccess,
            attributes: ObjectAttributes,
            result: IoStatusBlock,
            allocation: AllocationSize,
            file_attributes: FileAttributes,
            share: ShareAccess,
            disposition: Disposition,
            options: CreateOptions,
            extended: EaBuffer,
            extended_length: EaLength,
            flags: Options,
            context: null_mut(),
            device: DeviceObject.cast(),
        };
        // SAFETY: the caller passes what the structures are named after, or null.
        unsafe { create.for_kernel(CreateFileType) }
    }

    /// Deletes a file.
    unsafe fn ZwDeleteFile(ObjectAttributes: POBJECT_ATTRIBUTES) -> NTSTATUS {
        const CALL: &str = "ZwDeleteFile";
        let mut handle = null_mut();
        let mut create = open_only(CALL, DELETE, ObjectAttributes, FILE_DELETE_ON_CLOSE);
        create.handle = &raw mut handle;
        // SAFETY: the caller passes attributes or null.
        let status = unsafe { create.for_kernel(CREATE_FILE_TYPE_NONE) };
        if status >= 0 && let Some(machine) = scope::machine() {
            machine.handles.close(&machine, handle);
        }
        status
    }

    /// Asks for the attributes of a file by its name.
    unsafe fn ZwQueryFullAttributesFile(
        ObjectAttributes: POBJECT_ATTRIBUTES,
        FileInformation: *mut FILE_NETWORK_OPEN_INFORMATION,
    ) -> NTSTATUS {
        const CALL: &str = "ZwQueryFullAttributesFile";
        let Some(machine) = scope::machine() else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        // SAFETY: the caller passes attributes or null.
        let name = match unsafe { object_name(ObjectAttributes, false) } {
            Ok((name, _)) => name,
            Err(status) => return status,
        };
        let result = io::find_name(&machine, &name)
            .and_then(|found| io::query_attributes(&machine, &found.volume, &found.path));
        match result {
            Err(status) => status,
            Ok(information) => {
                // SAFETY: the caller passes a place for the structure.
                unsafe { write(FileInformation, information) };
                STATUS_SUCCESS
            }
        }
    }
}

/// The least that opening an existing file takes.
fn open_only(
    call: &'static str,
    access: ACCESS_MASK,
    attributes: POBJECT_ATTRIBUTES,
    options: ULONG,
) -> Create {
    Create {
        call,
        handle: null_mut(),
        object: null_mut(),
        access,
        attributes,
        result: null_mut(),
        allocation: null_mut(),
        file_attributes: 0,
        share: FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
        disposition: FILE_OPEN,
        options,
        extended: null_mut(),
        extended_length: 0,
        flags: 0,
        context: null_mut(),
        device: null_mut(),
    }
}

/// Reads a name out of object attributes, and the attributes proper.
///
/// # Safety
/// `attributes` is null or what it says, with a name that is null or a string.
unsafe fn object_name(
    attributes: POBJECT_ATTRIBUTES,
    by_id: bool,
) -> Result<(ObjectName, ULONG), NTSTATUS> {
    if attributes.is_null() {
        return Err(STATUS_INVALID_PARAMETER);
    }
    // SAFETY: not null, so object attributes by this function's contract.
    let attributes = unsafe { attributes.read() };
    if attributes.Length as usize != size_of::<OBJECT_ATTRIBUTES>()
        || attributes.Attributes & !OBJ_VALID_ATTRIBUTES != 0
    {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let mut units = Vec::new();
    if !attributes.ObjectName.is_null() {
        // SAFETY: not null, so a string by this function's contract.
        let string = unsafe { attributes.ObjectName.read() };
        if string.Length % 2 != 0 || (string.Buffer.is_null() && string.Length != 0) {
            return Err(STATUS_OBJECT_NAME_INVALID);
        }
        for index in 0..usize::from(string.Length / 2) {
            let unit = string.Buffer.wrapping_add(index);
            // SAFETY: the buffer has `Length` bytes by this function's contract.
            units.push(unsafe { unit.read_unaligned() });
        }
    }
    let name = ObjectName {
        root: attributes.RootDirectory,
        units,
        by_id,
    };
    Ok((name, attributes.Attributes))
}

impl Create {
    /// Opens for a filter, below its instance if it names one.
    ///
    /// # Safety
    /// The pointers point to what they stand for, or are null.
    unsafe fn for_filter(self, owner: PFLT_FILTER, below: PFLT_INSTANCE) -> NTSTATUS {
        let owner = filter(self.call, "Filter", owner);
        let named = (!below.is_null()).then(|| instance(self.call, "Instance", below));
        let (Some((machine, owner)), false) = (owner, matches!(named, Some(None))) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, self.call);
        let below = named.flatten().map(|(_, instance)| instance);
        if below
            .as_ref()
            .is_some_and(|below| below.filter.id != owner.id)
        {
            let address = below.map_or(0, |below| below.pointer() as usize);
            bad_pointer(self.call, "Instance", address, "instance of this filter");
            return STATUS_INVALID_PARAMETER;
        }
        let opener = Opener {
            filter: Some(owner),
            below,
        };
        // SAFETY: passed on to the caller.
        unsafe { self.run(&machine, &opener) }
    }

    /// Opens for the kernel, through the whole stack.
    ///
    /// # Safety
    /// As for [`Create::for_filter`].
    unsafe fn for_kernel(self, kind: i32) -> NTSTATUS {
        let Some(machine) = scope::machine() else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, self.call);
        if kind != CREATE_FILE_TYPE_NONE {
            return STATUS_NOT_SUPPORTED;
        }
        let opener = Opener {
            filter: None,
            below: None,
        };
        // SAFETY: passed on to the caller.
        unsafe { self.run(&machine, &opener) }
    }

    /// # Safety
    /// As for [`Create::for_filter`].
    unsafe fn run(self, machine: &Arc<Inner>, opener: &Opener) -> NTSTATUS {
        // SAFETY: passed on to the caller.
        let opened = unsafe { self.open(machine, opener) };
        let (status, information) = match opened {
            Err(status) => (status, 0),
            Ok((file, information, kernel)) => {
                let granted = file.identity().and_then(|identity| {
                    let file_system = &file.volume().io.file_system;
                    file_system.granted_access(identity.open).ok()
                });
                let grant = Grant {
                    access: granted.unwrap_or(self.access),
                    kernel,
                    filter: None,
                };
                let wanted = !self.object.is_null();
                let (handle, object) = opener.hand_out(self.call, machine, &file, grant, wanted);
                // SAFETY: a place for the handle by this function's contract.
                unsafe { write(self.handle, handle) };
                // SAFETY: null or a place for the file object by this function's contract.
                unsafe { write(self.object, object) };
                (STATUS_SUCCESS, information)
            }
        };
        // SAFETY: null or a status block by this function's contract.
        unsafe { write(self.result, io::io_status(status, information)) };
        status
    }

    /// Opens the file: also what the create did, and whether the handle is to be the kernel's.
    ///
    /// # Safety
    /// As for [`Create::for_filter`].
    unsafe fn open(
        &self,
        machine: &Arc<Inner>,
        opener: &Opener,
    ) -> Result<(Arc<io::FileObject>, usize, bool), NTSTATUS> {
        let by_id = self.options & FILE_OPEN_BY_FILE_ID != 0;
        // SAFETY: passed on to the caller.
        let (name, attributes) = unsafe { object_name(self.attributes, by_id) }?;
        self.check()?;
        let found = io::find_name(machine, &name)?;
        let mut origin = Origin {
            below: opener.below.clone(),
            kernel: true,
            related: found.related,
            by_id: found.id,
            extended_attributes: (self.extended as usize, self.extended_length),
            ignores_sharing: self.flags & IO_IGNORE_SHARE_ACCESS_CHECK != 0,
            ..Origin::default()
        };
        let mut device = self.device;
        if !self.context.is_null() {
            // SAFETY: not null, so a create context by this function's contract.
            let context = unsafe { self.context.read() };
            if usize::from(context.size) < size_of::<DriverContext>() {
                return Err(STATUS_INVALID_PARAMETER);
            }
            origin.ecp_list = context.extra_create_parameter as usize;
            if device.is_null() {
                device = context.device_object_hint.cast();
            }
            if !context.transaction_parameters.is_null() {
                // SAFETY: not null, so a parameter block by this function's contract.
                let pointer = unsafe { (*context.transaction_parameters).transaction };
                match manager::find(pointer as usize) {
                    Some(Object::Transaction(transaction)) => {
                        origin.transaction = Some(transaction);
                    }
                    _ => return Err(STATUS_INVALID_PARAMETER),
                }
            }
        }
        let elsewhere = opener
            .below
            .as_ref()
            .is_some_and(|below| below.volume.id != found.volume.id);
        if elsewhere || (!device.is_null() && device != found.volume.device()) {
            return Err(STATUS_INVALID_DEVICE_OBJECT_PARAMETER);
        }
        if !self.allocation.is_null() {
            // SAFETY: not null, so a size by this function's contract.
            let size = unsafe { self.allocation.read() };
            // SAFETY: every bit pattern of the union is an integer.
            origin.allocation_size = unsafe { size.QuadPart };
        }
        for (flag, bit) in [
            (IO_FORCE_ACCESS_CHECK, SL_FORCE_ACCESS_CHECK),
            (IO_STOP_ON_SYMLINK, SL_STOP_ON_SYMLINK),
        ] {
            if self.flags & flag != 0 {
                origin.operation_flags |= bit;
            }
        }
        let mut options = OpenOptions::bare(self.access, self.disposition, self.options)
            .share(self.share)
            .attributes(self.file_attributes);
        if self.flags & IO_OPEN_PAGING_FILE != 0 {
            options = options.paging_file();
        }
        let kernel = attributes & OBJ_KERNEL_HANDLE != 0;
        let (file, information) = io::open(machine, &found.volume, &found.path, &options, origin)?;
        Ok((file, information, kernel))
    }

    /// What is wrong whatever the name is. The kernel trusts itself unless it says otherwise.
    fn check(&self) -> Result<(), NTSTATUS> {
        if self.flags & IO_OPEN_TARGET_DIRECTORY != 0 {
            return Err(STATUS_NOT_SUPPORTED);
        }
        let synchronous = FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT;
        let modes = self.options & synchronous;
        let wrong = self.options >> 24 != 0
            || self.disposition > FILE_OVERWRITE_IF
            || modes == synchronous
            || (modes != 0 && self.access & SYNCHRONIZE == 0)
            || (self.options & FILE_DELETE_ON_CLOSE != 0 && self.access & DELETE == 0)
            || self.share & !(FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE) != 0;
        if self.options >> 24 != 0 || (self.flags & IO_CHECK_CREATE_PARAMETERS != 0 && wrong) {
            return Err(STATUS_INVALID_PARAMETER);
        }
        Ok(())
    }
}

impl Opener {
    /// Makes a handle of a file that was opened, and a reference if one is wanted. A filter has to
    /// give both back.
    fn hand_out(
        &self,
        call: &'static str,
        machine: &Arc<Inner>,
        file: &Arc<io::FileObject>,
        mut grant: Grant,
        wanted: bool,
    ) -> (HANDLE, PFILE_OBJECT) {
        grant.filter.clone_from(&self.filter);
        let handle = machine
            .handles
            .open(machine, Arc::clone(file) as _, grant, call);
        let mut object = null_mut();
        if wanted && file.reference() {
            object = file.pointer();
            if let Some(filter) = &self.filter {
                filter.held.add("file object", object as usize, call);
            }
        }
        // The handle keeps the file from here on.
        file.release();
        (handle, object)
    }
}
