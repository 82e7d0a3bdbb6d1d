//! How file objects come and go: create, cleanup at the last handle, close at the last reference.

use super::file_object::{Birth, FileObject, FilePhase, Purpose};
use super::operation::Operation;
use super::operation::{Door, Request};
use super::options::OpenOptions;
use super::path;
use crate::filesystem::Gone;
use crate::kernel::irql;
use crate::machine::Inner;
use crate::manager::{self, Instance, Volume, ecp};
use fltmgr_sys::*;
use std::sync::Arc;

const KERNEL_MODE: KPROCESSOR_MODE = 0;

/// Who opens a file, and what he says beside the options.
#[derive(Default)]
pub(crate) struct Origin {
    /// Only instances below this one see the create, and everything that is done with the file.
    pub(crate) below: Option<Arc<Instance>>,
    /// A driver opens it.
    pub(crate) kernel: bool,
    /// The directory that the path was relative to.
    pub(crate) related: Option<Arc<FileObject>>,
    pub(crate) transaction: Option<Arc<manager::Transaction>>,
    /// The number of the file, in the place of a path.
    pub(crate) by_id: Option<u64>,
    /// `SL_*`
    pub(crate) operation_flags: UCHAR,
    pub(crate) ignores_sharing: bool,
    pub(crate) allocation_size: i64,
    /// The address and the size of the extended attributes.
    pub(crate) extended_attributes: (usize, ULONG),
    /// The address of the list of extra create parameters.
    pub(crate) ecp_list: usize,
}

/// Opens a file, through the whole stack or through the part below an instance.
///
/// # Errors
/// The status that the create completed with; a `STATUS_REPARSE` is one too.
pub(crate) fn open(
    machine: &Arc<Inner>,
    volume: &Arc<Volume>,
    file_path: &str,
    options: &OpenOptions,
    origin: Origin,
) -> Result<(Arc<FileObject>, usize), NTSTATUS> {
    let kernel = origin.kernel;
    let transaction = options
        .transaction
        .as_ref()
        .map(|transaction| transaction.object.clone());
    let mut birth = Birth::new(machine, file_path);
    if options.paging_file {
        birth.purpose = Purpose::PagingFile;
    }
    if options.kernel_mode || options.paging_file || kernel {
        birth.requestor = KERNEL_MODE;
    }
    birth.transaction = transaction.or(origin.transaction);
    birth.related = origin.related;
    birth.below = origin.below;
    birth.ignores_sharing = origin.ignores_sharing;
    birth.by_id = origin.by_id;
    birth.flags = file_flags(options.options);
    let file = FileObject::new(volume, birth);
    let mut request = Request::new(IRP_MJ_CREATE);
    request.irp_flags = IRP_CREATE_OPERATION | IRP_SYNCHRONOUS_API | IRP_DEFER_IO_COMPLETION;
    request.operation_flags = origin.operation_flags;
    if options.paging_file {
        request.operation_flags |= SL_OPEN_PAGING_FILE;
    }
    if file.below().is_some() {
        request.data_flags = FLTFL_CALLBACK_DATA_GENERATED_IO;
    }
    request.desired_access = Some(options.access);
    request.parameters.Create.Options = options.options | options.disposition << 24;
    request.parameters.Create.ShareAccess = options.share;
    request.parameters.Create.FileAttributes = options.attributes;
    request.parameters.Create.AllocationSize = LARGE_INTEGER {
        QuadPart: origin.allocation_size,
    };
    let (attributes, length) = origin.extended_attributes;
    request.parameters.Create.EaBuffer = attributes as PVOID;
    request.parameters.Create.EaLength = length;
    request.kernel = kernel;
    let list = if options.parameters.is_empty() {
        None
    } else {
        let from_user = !options.kernel_mode;
        Some(ecp::of_user(machine, &options.parameters, from_user)?)
    };
    request.ecp_list = list.unwrap_or(origin.ecp_list);
    let operation = Operation::new(machine, &file, &request);
    let run = || path::run(&operation);
    let (status, information) = match file.below() {
        Some(below) => below.sends(run),
        None => run(),
    };
    if let Some(list) = list {
        machine.ecps.free_list(machine, "IRP_MJ_CREATE", list);
    }
    if status < 0 || status == STATUS_REPARSE {
        // A filter may have failed what the file system had opened already.
        cancel_open(machine, &file);
        file.release();
        volume.io.retire_file(&file);
        return Err(status);
    }
    file.handle_created();
    Ok((file, information))
}

/// Takes an open back of which nobody has a handle: the file system closes it.
pub(crate) fn cancel_open(machine: &Arc<Inner>, file: &Arc<FileObject>) {
    if file.phase() == FilePhase::Open {
        cleanup_in_file_system(file);
        close_in_file_system(machine, file);
    }
}

/// Sends `IRP_MJ_NETWORK_QUERY_OPEN`; `Err(STATUS_FLT_DISALLOW_FAST_IO)` asks for an ordinary open.
pub(crate) fn network_query_open(
    machine: &Arc<Inner>,
    volume: &Arc<Volume>,
    file_path: &str,
    information: &mut FILE_NETWORK_OPEN_INFORMATION,
) -> Result<(), NTSTATUS> {
    let mut birth = Birth::new(machine, file_path);
    birth.purpose = Purpose::QueryOpen;
    let file = FileObject::new(volume, birth);
    let mut request = Request::new(IRP_MJ_NETWORK_QUERY_OPEN);
    request.door = Door::FastIo;
    let buffer: *mut FILE_NETWORK_OPEN_INFORMATION = information;
    request.parameters.NetworkQueryOpen.NetworkInformation = buffer.cast();
    let operation = Operation::new(machine, &file, &request);
    let (status, _) = path::run(&operation);
    file.release();
    volume.io.retire_file(&file);
    if status < 0 { Err(status) } else { Ok(()) }
}

/// Closes what was opened for one request and never got a handle.
pub(crate) fn close_now(machine: &Arc<Inner>, file: &Arc<FileObject>) {
    cleanup(machine, file);
    dereference(machine, file);
}

/// `IRP_MJ_CLEANUP`: the last handle is closed.
pub(crate) fn cleanup(machine: &Arc<Inner>, file: &Arc<FileObject>) {
    let _level = irql::raise(irql::current().min(APC_LEVEL));
    let mut request = Request::new(IRP_MJ_CLEANUP);
    request.irp_flags = IRP_CLOSE_OPERATION | IRP_SYNCHRONOUS_API;
    let operation = Operation::new(machine, file, &request);
    path::run(&operation);
    if !operation.state.lock().performed {
        // Filters cannot keep a cleanup from the file system.
        cleanup_in_file_system(file);
    }
}

/// Takes one reference away, and sends `IRP_MJ_CLOSE` if it was the last one. At
/// `DISPATCH_LEVEL` a worker thread does that. `false` if there was no reference.
pub(crate) fn dereference(machine: &Arc<Inner>, file: &Arc<FileObject>) -> bool {
    let Some(left) = file.release() else {
        return false;
    };
    if left == 0 {
        if irql::current() >= DISPATCH_LEVEL {
            let owner = Arc::downgrade(machine);
            let file = file.clone();
            machine.work_queue.push(move || {
                if let Some(machine) = owner.upgrade() {
                    close(&machine, &file);
                }
            });
        } else {
            close(machine, file);
        }
    }
    true
}

fn close(machine: &Arc<Inner>, file: &Arc<FileObject>) {
    let mut request = Request::new(IRP_MJ_CLOSE);
    request.irp_flags = IRP_CLOSE_OPERATION | IRP_SYNCHRONOUS_API;
    let operation = Operation::new(machine, file, &request);
    path::run(&operation);
    if !operation.state.lock().performed {
        close_in_file_system(machine, file);
    }
    file.volume().io.retire_file(file);
}

/// The file system's part of `IRP_MJ_CLEANUP`.
pub(super) fn cleanup_in_file_system(file: &FileObject) -> usize {
    if let Some(identity) = file.identity() {
        // A deletion that fails here is noticed by nobody, as on Windows.
        let _ = file.volume().io.file_system.cleanup(identity.open);
    }
    file.cleaned_up();
    0
}

/// The file system's part of `IRP_MJ_CLOSE`: contexts go with the structures that they hang on,
/// and all of that before any post-operation callback.
pub(super) fn close_in_file_system(machine: &Arc<Inner>, file: &FileObject) -> usize {
    let identity = file.closed();
    // Where in the close the stream-handle context goes is open.
    let first = machine.choose(2) == 0;
    if first {
        machine.contexts.stream_handle_gone(machine, file.id());
    }
    if let Some(identity) = identity {
        let volume = file.volume();
        let gone = volume.io.file_system.close(identity.open);
        release_gone(machine, volume, &gone);
    }
    if !first {
        machine.contexts.stream_handle_gone(machine, file.id());
    }
    0
}

/// Tears down the contexts of structures that the file system has torn down.
pub(crate) fn release_gone(machine: &Arc<Inner>, volume: &Volume, gone: &[Gone]) {
    for structure in gone {
        match *structure {
            Gone::Stream(stream) => machine.contexts.stream_gone(machine, volume.id, stream),
            Gone::File(file) => machine.contexts.file_gone(machine, volume.id, file),
        }
    }
}

fn file_flags(options: ULONG) -> ULONG {
    let mut flags = 0;
    for (option, flag) in [
        (FILE_SYNCHRONOUS_IO_NONALERT, FO_SYNCHRONOUS_IO),
        (
            FILE_SYNCHRONOUS_IO_ALERT,
            FO_SYNCHRONOUS_IO | FO_ALERTABLE_IO,
        ),
        (FILE_NO_INTERMEDIATE_BUFFERING, FO_NO_INTERMEDIATE_BUFFERING),
        (FILE_WRITE_THROUGH, FO_WRITE_THROUGH),
        (FILE_SEQUENTIAL_ONLY, FO_SEQUENTIAL_ONLY),
        (FILE_RANDOM_ACCESS, FO_RANDOM_ACCESS),
    ] {
        if options & option != 0 {
            flags |= flag;
        }
    }
    if options & FILE_NO_INTERMEDIATE_BUFFERING == 0 {
        flags |= FO_CACHE_SUPPORTED;
    }
    flags
}
