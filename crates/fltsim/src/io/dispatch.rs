//! The file system's part of an operation: from a parameter block to the file system driver.

use super::control;
use super::file_object::{FileObject, Purpose};
use super::life;
use super::lock_control::{self, accessor};
use super::name::{self, ObjectName};
use super::operation::{Door, Operation};
use crate::filesystem::{Authority, CreateRequest, OpenId};
use crate::kernel::descriptor::Captured;
use crate::kernel::{mdl, string};
use crate::machine::Inner;
use crate::manager::{self, Object};
use fltmgr_sys::*;
use std::sync::Arc;

/// No volume here has extended attributes.
const STATUS_EAS_NOT_SUPPORTED: NTSTATUS = 0xC000_004F_u32.cast_signed();

const STATUS_NOT_SAME_DEVICE: NTSTATUS = 0xC000_00D4_u32.cast_signed();

/// What the file system completes an operation with.
type Completed = Result<usize, NTSTATUS>;

/// Lets the file system act on the parameters as the lowest filter left them. Nothing if it keeps
/// the operation, because that has to wait.
pub(super) fn perform(operation: &Arc<Operation>) -> Option<(NTSTATUS, usize)> {
    let file = target(operation);
    let mut overflow = None;
    let result = match operation.major {
        IRP_MJ_CREATE => create(operation, &file),
        IRP_MJ_CLEANUP => Ok(life::cleanup_in_file_system(&file)),
        IRP_MJ_CLOSE => Ok(life::close_in_file_system(&operation.machine, &file)),
        IRP_MJ_NETWORK_QUERY_OPEN => query_open(operation, &file),
        major => match open_of(&file) {
            Err(status) => Err(status),
            Ok(open) => match major {
                IRP_MJ_READ => read(operation, &file, open),
                IRP_MJ_WRITE => write(operation, &file, open),
                IRP_MJ_QUERY_INFORMATION => {
                    query_information(operation, &file, open, &mut overflow)
                }
                IRP_MJ_SET_INFORMATION => set_information(operation, &file, open),
                IRP_MJ_DIRECTORY_CONTROL => query_directory(operation, &file, open, &mut overflow),
                IRP_MJ_QUERY_VOLUME_INFORMATION => {
                    query_volume_information(operation, &file, &mut overflow)
                }
                IRP_MJ_FILE_SYSTEM_CONTROL => {
                    // SAFETY: this is such a control, whose code lies at the same place in each
                    // member.
                    let control = unsafe { parameters(operation).FileSystemControl };
                    // SAFETY: as above.
                    let common = unsafe { control.Common };
                    control::file_system(
                        operation.iopb().load().MinorFunction,
                        common.FsControlCode,
                    )
                }
                IRP_MJ_QUERY_EA | IRP_MJ_SET_EA => Err(STATUS_EAS_NOT_SUPPORTED),
                IRP_MJ_SET_VOLUME_INFORMATION => set_volume_information(operation, &file),
                IRP_MJ_QUERY_SECURITY => query_security(operation, &file, open, &mut overflow),
                IRP_MJ_SET_SECURITY => set_security(operation, &file, open),
                IRP_MJ_LOCK_CONTROL => {
                    lock_control::perform(operation, &file, open, authority(operation))
                }
                IRP_MJ_FLUSH_BUFFERS => file.volume().io.file_system.flush(open).map(|()| 0),
                _ => Err(STATUS_INVALID_DEVICE_REQUEST),
            },
        },
    };
    match result {
        Ok(information) => Some((STATUS_SUCCESS, information)),
        // A warning: the buffer is filled, as far as it goes.
        Err(STATUS_BUFFER_OVERFLOW) => Some((STATUS_BUFFER_OVERFLOW, overflow.unwrap_or(0))),
        Err(STATUS_PENDING) => None,
        Err(status) => Some((status, 0)),
    }
}

fn parameters(operation: &Operation) -> FLT_PARAMETERS {
    operation.iopb().load().Parameters
}

/// The file object that the operation is about; a filter may have put another one in its place.
fn target(operation: &Operation) -> Arc<FileObject> {
    let pointer = operation.iopb().load().TargetFileObject;
    if pointer != operation.file.pointer()
        && let Some(Object::File(file)) = manager::find(pointer as usize)
    {
        return file;
    }
    operation.file.clone()
}

fn open_of(file: &FileObject) -> Result<OpenId, NTSTATUS> {
    file.identity()
        .map(|identity| identity.open)
        .ok_or(STATUS_FILE_CLOSED)
}

fn authority(operation: &Operation) -> Authority {
    if operation.is_paging() {
        Authority::Kernel
    } else {
        operation.authority
    }
}

fn quad(value: LARGE_INTEGER) -> i64 {
    // SAFETY: every bit pattern of the union is an integer.
    unsafe { value.QuadPart }
}

/// The buffer of an operation.
///
/// # Safety
/// `buffer` has `length` bytes that nobody else uses while the slice lives, or one of them is 0.
unsafe fn buffer<'a>(buffer: PVOID, length: ULONG) -> &'a mut [u8] {
    if buffer.is_null() || length == 0 {
        return &mut [];
    }
    // SAFETY: not null, and as long as the caller says.
    unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length as usize) }
}

/// The buffer of an operation that can have an MDL, which comes before the address of the buffer.
///
/// # Safety
/// As for [`buffer`].
unsafe fn described<'a>(
    operation: &Operation,
    list: PMDL,
    address: PVOID,
    length: ULONG,
) -> Result<&'a mut [u8], NTSTATUS> {
    let address = if list.is_null() {
        address
    } else {
        let bytes = usize::try_from(length).unwrap_or(usize::MAX);
        let memory = mdl::memory_of(&operation.machine, "the file system", list, bytes);
        memory.ok_or(STATUS_INVALID_USER_BUFFER)? as PVOID
    };
    // SAFETY: passed on to the caller; whoever made the list keeps its pages in the same way.
    Ok(unsafe { buffer(address, length) })
}

fn create(operation: &Operation, file: &Arc<FileObject>) -> Completed {
    let iopb = operation.iopb().load();
    // SAFETY: this is a create, and whoever changed its parameters kept to their layout.
    let parameters = unsafe { iopb.Parameters.Create };
    if parameters.EaLength != 0 {
        return Err(STATUS_EAS_NOT_SUPPORTED);
    }
    if quad(parameters.AllocationSize) < 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let access = operation.desired_access();
    let request = CreateRequest {
        path: if file.by_id().is_some() {
            ""
        } else {
            file.path()
        },
        desired_access: access,
        disposition: parameters.Options >> 24,
        options: parameters.Options & 0x00FF_FFFF,
        share: parameters.ShareAccess,
        ignores_sharing: file.ignores_sharing(),
        attributes: u32::from(parameters.FileAttributes),
        paging_file: file.purpose() == Purpose::PagingFile,
        transaction: file.file_system_transaction()?,
        by_id: file.by_id(),
    };
    let file_system = &file.volume().io.file_system;
    let opened = file_system.create(&request)?;
    let granted = file_system.granted_access(opened.open).unwrap_or(access);
    file.opened(&opened, granted, u32::from(parameters.ShareAccess));
    Ok(opened.information)
}

fn query_open(operation: &Operation, file: &FileObject) -> Completed {
    let iopb = operation.iopb().load();
    // SAFETY: this is a query-open, and whoever changed its parameters kept to their layout.
    let parameters = unsafe { iopb.Parameters.NetworkQueryOpen };
    let file_system = &file.volume().io.file_system;
    let information = file_system.network_open_information(file.path())?;
    let target: *mut FILE_NETWORK_OPEN_INFORMATION = parameters.NetworkInformation.cast();
    if target.is_null() {
        return Err(STATUS_INVALID_PARAMETER);
    }
    // SAFETY: not null, and by the operation's contract a writable structure of this type.
    unsafe { target.write_unaligned(information) };
    Ok(size_of::<FILE_NETWORK_OPEN_INFORMATION>())
}

fn read(operation: &Operation, file: &FileObject, open: OpenId) -> Completed {
    let iopb = operation.iopb().load();
    // SAFETY: this is a read, and whoever changed its parameters kept to their layout.
    let parameters = unsafe { iopb.Parameters.Read };
    // SAFETY: the issuer, or the filter that swapped the buffer, keeps it until completion.
    let data = unsafe {
        described(
            operation,
            parameters.MdlAddress,
            parameters.ReadBuffer,
            parameters.Length,
        )
    }?;
    let offset = quad(parameters.ByteOffset);
    let file_system = &file.volume().io.file_system;
    let (at, authority) = (offset.cast_unsigned(), authority(operation));
    let read = if operation.is_paging() {
        // The memory manager is not asked for locks.
        file_system.read_as(open, at, data, authority)
    } else {
        let accessor = accessor(parameters.Key);
        file_system
            .read_for(open, at, data, authority, accessor)
            .map_err(|status| questionable(operation, status))
    }?;
    advance(operation, file, offset, read);
    Ok(read)
}

fn write(operation: &Operation, file: &FileObject, open: OpenId) -> Completed {
    let iopb = operation.iopb().load();
    // SAFETY: this is a write, and whoever changed its parameters kept to their layout.
    let parameters = unsafe { iopb.Parameters.Write };
    // SAFETY: the issuer, or the filter that swapped the buffer, keeps it until completion.
    let data = unsafe {
        described(
            operation,
            parameters.MdlAddress,
            parameters.WriteBuffer,
            parameters.Length,
        )
    }?;
    let offset = quad(parameters.ByteOffset);
    let file_system = &file.volume().io.file_system;
    let (at, authority) = (offset.cast_unsigned(), authority(operation));
    let written = if operation.is_paging() {
        file_system.write_as(open, at, data, authority)
    } else {
        let accessor = accessor(parameters.Key);
        file_system
            .write_for(open, at, data, authority, accessor)
            .map_err(|status| questionable(operation, status))
    }?;
    advance(operation, file, offset, written);
    Ok(written)
}

/// A lock in the way of a direct call makes an IRP of it, and that one fails.
fn questionable(operation: &Operation, status: NTSTATUS) -> NTSTATUS {
    if status == STATUS_FILE_LOCK_CONFLICT && operation.door == Door::FastIo {
        STATUS_FLT_DISALLOW_FAST_IO
    } else {
        status
    }
}

/// Moves the position of a file object for synchronous I/O.
fn advance(operation: &Operation, file: &FileObject, offset: i64, count: usize) {
    let kept = operation.keep_position || operation.is_paging();
    if file.is_synchronous() && !kept && offset >= 0 {
        let count = i64::try_from(count).unwrap_or(0);
        file.set_position(offset.saturating_add(count));
    }
}

fn query_information(
    operation: &Operation,
    file: &FileObject,
    open: OpenId,
    overflow: &mut Option<usize>,
) -> Completed {
    let iopb = operation.iopb().load();
    // SAFETY: this is such a query, and whoever changed its parameters kept to their layout.
    let parameters = unsafe { iopb.Parameters.QueryFileInformation };
    // SAFETY: the issuer keeps the buffer until completion.
    let data = unsafe { buffer(parameters.InfoBuffer, parameters.Length) };
    *overflow = Some(data.len());
    let file_system = &file.volume().io.file_system;
    file_system.query_information_as(
        open,
        parameters.FileInformationClass,
        data,
        authority(operation),
    )
}

fn set_information(operation: &Operation, file: &FileObject, open: OpenId) -> Completed {
    let iopb = operation.iopb().load();
    // SAFETY: this is such a request, and whoever changed its parameters kept to their layout.
    let parameters = unsafe { iopb.Parameters.SetFileInformation };
    // SAFETY: the issuer keeps the buffer until completion.
    let data = unsafe { buffer(parameters.InfoBuffer, parameters.Length) };
    let class = parameters.FileInformationClass;
    let destination = if [FileRenameInformation, FileRenameInformationEx].contains(&class) {
        destination(&operation.machine, file, data)?
    } else {
        None
    };
    let file_system = &file.volume().io.file_system;
    file_system.set_information_as(
        open,
        class,
        data,
        destination.as_deref(),
        authority(operation),
    )?;
    Ok(0)
}

/// Where a rename leads whose structure has an absolute name or a root directory, as the kernel
/// finds out for a file system; nothing for a path from the root of the volume or a name beside the
/// file.
fn destination(
    machine: &Inner,
    file: &FileObject,
    structure: &[u8],
) -> Result<Option<String>, NTSTATUS> {
    const ROOT: usize = std::mem::offset_of!(FILE_RENAME_INFORMATION, RootDirectory);
    const NAME: usize = std::mem::offset_of!(FILE_RENAME_INFORMATION, FileName);
    // What is too short is for the file system to refuse.
    let root = structure.get(ROOT..).and_then(<[u8]>::first_chunk);
    let length = structure.get(NAME - 4..).and_then(<[u8]>::first_chunk);
    let (Some(root), Some(length)) = (root, length) else {
        return Ok(None);
    };
    let root = usize::from_le_bytes(*root) as HANDLE;
    let length = u32::from_le_bytes(*length) as usize;
    let Some(name) = structure[NAME..].get(..length) else {
        return Ok(None);
    };
    let pairs = name.chunks_exact(2);
    let units: Vec<u16> = pairs
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    if root.is_null() && units.first() != Some(&u16::from(b'\\')) {
        return Ok(None);
    }
    let name = ObjectName {
        root,
        units,
        by_id: false,
    };
    match name::find(machine, &name) {
        Ok(found) if found.volume.id == file.volume().id => Ok(Some(found.path)),
        Ok(_) => Err(STATUS_NOT_SAME_DEVICE),
        Err(status) if !root.is_null() => Err(status),
        Err(_) => Ok(None),
    }
}

fn query_directory(
    operation: &Operation,
    file: &FileObject,
    open: OpenId,
    overflow: &mut Option<usize>,
) -> Completed {
    let iopb = operation.iopb().load();
    if iopb.MinorFunction != IRP_MN_QUERY_DIRECTORY {
        return Err(STATUS_INVALID_DEVICE_REQUEST);
    }
    // SAFETY: this is such a query, and whoever changed its parameters kept to their layout.
    let control = unsafe { iopb.Parameters.DirectoryControl };
    // SAFETY: the minor function code says which member it is.
    let parameters = unsafe { control.QueryDirectory };
    // SAFETY: the issuer keeps the buffer until completion.
    let data = unsafe {
        described(
            operation,
            parameters.MdlAddress,
            parameters.DirectoryBuffer,
            parameters.Length,
        )
    }?;
    *overflow = Some(data.len());
    // SAFETY: null, or a string that the issuer keeps until completion.
    let pattern = unsafe { string::read(parameters.FileName) };
    let file_system = &file.volume().io.file_system;
    file_system.query_directory_as(
        open,
        parameters.FileInformationClass,
        pattern.as_deref(),
        iopb.OperationFlags & SL_RESTART_SCAN != 0,
        iopb.OperationFlags & SL_RETURN_SINGLE_ENTRY != 0,
        data,
        authority(operation),
    )
}

fn query_volume_information(
    operation: &Operation,
    file: &FileObject,
    overflow: &mut Option<usize>,
) -> Completed {
    let iopb = operation.iopb().load();
    // SAFETY: this is such a query, and whoever changed its parameters kept to their layout.
    let parameters = unsafe { iopb.Parameters.QueryVolumeInformation };
    // SAFETY: the issuer keeps the buffer until completion.
    let data = unsafe { buffer(parameters.VolumeBuffer, parameters.Length) };
    *overflow = Some(data.len());
    let file_system = &file.volume().io.file_system;
    file_system.query_volume_information(parameters.FsInformationClass, data)
}

fn set_volume_information(operation: &Operation, file: &FileObject) -> Completed {
    // SAFETY: this is such a request, and whoever changed its parameters kept to their layout.
    let parameters = unsafe { parameters(operation).SetVolumeInformation };
    // SAFETY: the issuer keeps the buffer until completion.
    let data = unsafe { buffer(parameters.VolumeBuffer, parameters.Length) };
    let file_system = &file.volume().io.file_system;
    file_system.set_volume_information(parameters.FsInformationClass, data)?;
    Ok(0)
}

/// The volume itself is neither a file nor a directory, and so has no descriptor.
fn check_securable(file: &FileObject) -> Result<(), NTSTATUS> {
    if !file.volume().personality.security {
        Err(STATUS_INVALID_DEVICE_REQUEST)
    } else if file.is_volume_open() {
        Err(STATUS_INVALID_PARAMETER)
    } else {
        Ok(())
    }
}

fn query_security(
    operation: &Operation,
    file: &FileObject,
    open: OpenId,
    overflow: &mut Option<usize>,
) -> Completed {
    // SAFETY: this is such a query, and whoever changed its parameters kept to their layout.
    let parameters = unsafe { parameters(operation).QuerySecurity };
    check_securable(file)?;
    // SAFETY: the issuer, or the filter that swapped the buffer, keeps it until completion.
    let data = unsafe {
        described(
            operation,
            parameters.MdlAddress,
            parameters.SecurityBuffer,
            parameters.Length,
        )
    }?;
    let file_system = &file.volume().io.file_system;
    let descriptor = file_system.query_security(open, parameters.SecurityInformation)?;
    let Some(place) = data.get_mut(..descriptor.len()) else {
        // Nothing is copied, and the length is the one that would do.
        *overflow = Some(descriptor.len());
        return Err(STATUS_BUFFER_OVERFLOW);
    };
    place.copy_from_slice(&descriptor);
    Ok(descriptor.len())
}

fn set_security(operation: &Operation, file: &FileObject, open: OpenId) -> Completed {
    // SAFETY: this is such a request, and whoever changed its parameters kept to their layout.
    let parameters = unsafe { parameters(operation).SetSecurity };
    check_securable(file)?;
    // SAFETY: the issuer, or the filter that swapped it, keeps the descriptor until completion.
    let descriptor = unsafe { Captured::capture(parameters.SecurityDescriptor.cast()) }?;
    let file_system = &file.volume().io.file_system;
    let descriptor = descriptor.self_relative();
    file_system.set_security(open, parameters.SecurityInformation, &descriptor)?;
    Ok(0)
}
