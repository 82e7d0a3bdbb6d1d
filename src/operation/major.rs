//! The major function codes as types.

use fltmgr_sys as sys;
use sys::{FLT_PARAMETERS, UCHAR};

use super::parameters as typed;
use crate::{
    irql::{AtMostDispatch, Ceiling, Passive},
    kind::{self, Kind},
};

mod sealed {
    pub trait Sealed {}
}

/// An operation: one major function code. File systems receive neither `IRP_MJ_POWER` nor
/// `IRP_MJ_DEVICE_CHANGE`, and a filter cannot register for them, so they are not among these.
///
/// DDI: `FLT_OPERATION_REGISTRATION`.
pub trait Operation: sealed::Sealed + 'static {
    /// The major function code.
    const MAJOR: UCHAR;
    /// The name in the C headers, e.g. `"IRP_MJ_READ"`.
    const NAME: &'static str;
    /// The highest IRQL of its post-operation callback.
    type PostIrql: Ceiling;
    /// Its parameters; `()` for the operations that have none or whose parameters this crate does
    /// not type.
    type Parameters<'a>;

    /// Reads the parameters.
    ///
    /// # Safety
    ///
    /// `parameters` and `minor` are those of an operation with this major function code, whose
    /// pointers stay valid for the borrow.
    #[doc(hidden)]
    unsafe fn parameters(minor: UCHAR, parameters: &FLT_PARAMETERS) -> Self::Parameters<'_>;
}

/// An operation in whose pre-operation callback contexts of kind `K` can be reached.
#[diagnostic::on_unimplemented(
    message = "contexts of kind `{K}` cannot be reached before `{Self}`",
    label = "not reachable in this pre-operation callback",
    note = "before a create the file is not determined yet: allocate the context, pass it on as the completion payload and set it in post-create"
)]
pub trait ReachesBefore<K: Kind>: Operation {}

/// An operation in whose safe post-operation callback contexts of kind `K` can be reached.
#[diagnostic::on_unimplemented(
    message = "contexts of kind `{K}` cannot be reached after `{Self}`",
    label = "not reachable in this post-operation callback",
    note = "after a close the file's structures are gone; after a create use `Post::opened`"
)]
pub trait ReachesAfter<K: Kind>: Operation {}

/// An operation that a post-operation callback can be registered for: every one but a shutdown.
///
/// DDI: `FLT_OPERATION_REGISTRATION`.
#[diagnostic::on_unimplemented(
    message = "no post-operation callback can be registered for `{Self}`",
    label = "this operation has a pre-operation callback only",
    note = "write `: pre` behind it in the `operations!` of `driver_entry!`"
)]
pub trait HasPost: Operation {}

/// An operation whose post-operation callback runs at `PASSIVE_LEVEL`: a create.
#[diagnostic::on_unimplemented(
    message = "after `{Self}` the IRQL may be DISPATCH_LEVEL, where contexts cannot be allocated, got, set or deleted",
    label = "not in a plain post-operation callback of this operation",
    note = "bring the context along as the completion payload, or make it a `SafePostOperation`"
)]
pub trait PassiveAfter: HasPost + Operation<PostIrql = Passive> {}

/// An operation whose post-operation callback can be synchronised with its pre-operation
/// callback: an IRP, and not a create.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be synchronised",
    label = "only operations that are IRPs, and not creates, can be synchronised",
    note = "post-create runs on the pre-operation's thread by itself; for other operations ask for a plain callback"
)]
pub trait Synchronizable: Operation {}

macro_rules! operations {
    ($($(#[$meta:meta])* $name:ident = $major:ident, $post:ident, $class:tt, $parameters:tt;)*) => {$(
        $(#[$meta])*
        #[doc = concat!("\n\n`", stringify!($major), "`.")]
        pub enum $name {}

        impl sealed::Sealed for $name {}

        impl Operation for $name {
            const MAJOR: UCHAR = sys::$major;
            const NAME: &'static str = stringify!($major);
            type PostIrql = $post;
            operations!(@parameters $parameters);
        }

        operations!(@class $class $name);
    )*};

    (@parameters none) => {
        type Parameters<'a> = ();

        unsafe fn parameters(_minor: UCHAR, _parameters: &FLT_PARAMETERS) {}
    };
    (@parameters [$ty:ident]) => {
        type Parameters<'a> = typed::$ty<'a>;

        unsafe fn parameters(minor: UCHAR, parameters: &FLT_PARAMETERS) -> typed::$ty<'_> {
            // SAFETY: the caller vouches for the major function code and the pointers.
            unsafe { typed::$ty::decode(minor, parameters) }
        }
    };

    // What can be reached, and what can be synchronised, by the class of an operation.
    (@class create $name:ident) => {
        impl HasPost for $name {}
        operations!(@reach $name: ReachesBefore: Volume, Instance, Transaction);
        operations!(@reach $name: ReachesAfter: Volume, Instance, Transaction);
        impl PassiveAfter for $name {}
    };
    (@class irp $name:ident) => {
        impl HasPost for $name {}
        operations!(@reach $name: ReachesBefore: Volume, Instance, File, Stream, StreamHandle, Section, Transaction);
        operations!(@reach $name: ReachesAfter: Volume, Instance, File, Stream, StreamHandle, Section, Transaction);
        impl Synchronizable for $name {}
    };
    (@class close $name:ident) => {
        impl HasPost for $name {}
        operations!(@reach $name: ReachesBefore: Volume, Instance, File, Stream, StreamHandle, Section, Transaction);
        operations!(@reach $name: ReachesAfter: Volume, Instance, Transaction);
        impl Synchronizable for $name {}
    };
    (@class callback $name:ident) => {
        impl HasPost for $name {}
        operations!(@reach $name: ReachesBefore: Volume, Instance, File, Stream, StreamHandle, Section, Transaction);
        operations!(@reach $name: ReachesAfter: Volume, Instance, File, Stream, StreamHandle, Section, Transaction);
    };
    (@class volume $name:ident) => {
        impl HasPost for $name {}
        operations!(@reach $name: ReachesBefore: Volume, Instance, Transaction);
        operations!(@reach $name: ReachesAfter: Volume, Instance, Transaction);
    };
    (@class shutdown $name:ident) => {
        operations!(@reach $name: ReachesBefore: Volume, Instance, Transaction);
    };
    (@reach $name:ident: $trait:ident: $($kind:ident),*) => {
        $(impl $trait<kind::$kind> for $name {})*
    };
}

operations! {
    /// A file is opened or created. Its post-operation callback runs at `PASSIVE_LEVEL`, on the
    /// thread of the pre-operation callback.
    Create = IRP_MJ_CREATE, Passive, create, [Create];
    /// A named pipe is created.
    CreateNamedPipe = IRP_MJ_CREATE_NAMED_PIPE, Passive, create, none;
    /// A mailslot is created.
    CreateMailslot = IRP_MJ_CREATE_MAILSLOT, Passive, create, none;
    /// A file object ends: its last reference is gone.
    Close = IRP_MJ_CLOSE, AtMostDispatch, close, none;
    /// Data is read.
    Read = IRP_MJ_READ, AtMostDispatch, irp, [Read];
    /// Data is written.
    Write = IRP_MJ_WRITE, AtMostDispatch, irp, [Write];
    /// Information about a file is asked for.
    QueryInformation = IRP_MJ_QUERY_INFORMATION, AtMostDispatch, irp, [QueryInformation];
    /// A file is renamed, deleted, resized, or its attributes change.
    SetInformation = IRP_MJ_SET_INFORMATION, AtMostDispatch, irp, [SetInformation];
    /// Extended attributes are read.
    QueryEa = IRP_MJ_QUERY_EA, AtMostDispatch, irp, none;
    /// Extended attributes are written.
    SetEa = IRP_MJ_SET_EA, AtMostDispatch, irp, none;
    /// Cached data is written to disk.
    FlushBuffers = IRP_MJ_FLUSH_BUFFERS, AtMostDispatch, irp, none;
    /// Information about the volume is asked for.
    QueryVolumeInformation = IRP_MJ_QUERY_VOLUME_INFORMATION, AtMostDispatch, irp,
        [QueryVolumeInformation];
    /// The volume changes, e.g. its label.
    SetVolumeInformation = IRP_MJ_SET_VOLUME_INFORMATION, AtMostDispatch, irp, none;
    /// A directory is listed or watched.
    DirectoryControl = IRP_MJ_DIRECTORY_CONTROL, AtMostDispatch, irp, [DirectoryControl];
    /// A file system control.
    FileSystemControl = IRP_MJ_FILE_SYSTEM_CONTROL, AtMostDispatch, irp, [FileSystemControl];
    /// A device control.
    DeviceControl = IRP_MJ_DEVICE_CONTROL, AtMostDispatch, irp, none;
    /// A device control between drivers.
    InternalDeviceControl = IRP_MJ_INTERNAL_DEVICE_CONTROL, AtMostDispatch, irp, none;
    /// The system shuts down. Only a pre-operation callback can be registered for it.
    Shutdown = IRP_MJ_SHUTDOWN, AtMostDispatch, shutdown, none;
    /// Byte ranges are locked or unlocked.
    LockControl = IRP_MJ_LOCK_CONTROL, AtMostDispatch, irp, none;
    /// The last handle of a file object is closed.
    Cleanup = IRP_MJ_CLEANUP, AtMostDispatch, irp, none;
    /// A security descriptor is read.
    QuerySecurity = IRP_MJ_QUERY_SECURITY, AtMostDispatch, irp, none;
    /// A security descriptor is written.
    SetSecurity = IRP_MJ_SET_SECURITY, AtMostDispatch, irp, none;
    /// Management instrumentation.
    SystemControl = IRP_MJ_SYSTEM_CONTROL, AtMostDispatch, volume, none;
    /// Quotas are read.
    QueryQuota = IRP_MJ_QUERY_QUOTA, AtMostDispatch, irp, none;
    /// Quotas are written.
    SetQuota = IRP_MJ_SET_QUOTA, AtMostDispatch, irp, none;
    /// Plug and play.
    Pnp = IRP_MJ_PNP, AtMostDispatch, volume, none;
    /// A file is about to be mapped.
    AcquireForSectionSynchronization = IRP_MJ_ACQUIRE_FOR_SECTION_SYNCHRONIZATION,
        AtMostDispatch, callback, none;
    /// Mapping is done.
    ReleaseForSectionSynchronization = IRP_MJ_RELEASE_FOR_SECTION_SYNCHRONIZATION,
        AtMostDispatch, callback, none;
    /// The modified page writer is about to write.
    AcquireForModWrite = IRP_MJ_ACQUIRE_FOR_MOD_WRITE, AtMostDispatch, callback, none;
    /// The modified page writer is done.
    ReleaseForModWrite = IRP_MJ_RELEASE_FOR_MOD_WRITE, AtMostDispatch, callback, none;
    /// The cache manager is about to flush.
    AcquireForCcFlush = IRP_MJ_ACQUIRE_FOR_CC_FLUSH, AtMostDispatch, callback, none;
    /// The cache manager is done.
    ReleaseForCcFlush = IRP_MJ_RELEASE_FOR_CC_FLUSH, AtMostDispatch, callback, none;
    /// Information is asked for by name, without an open.
    QueryOpen = IRP_MJ_QUERY_OPEN, AtMostDispatch, volume, none;
    /// Whether fast I/O is possible.
    FastIoCheckIfPossible = IRP_MJ_FAST_IO_CHECK_IF_POSSIBLE, AtMostDispatch, callback, none;
    /// Network information is asked for by name, without an open.
    NetworkQueryOpen = IRP_MJ_NETWORK_QUERY_OPEN, AtMostDispatch, volume, none;
    /// Cached data is handed out as an MDL.
    MdlRead = IRP_MJ_MDL_READ, AtMostDispatch, callback, none;
    /// An MDL of [`MdlRead`] is handed back.
    MdlReadComplete = IRP_MJ_MDL_READ_COMPLETE, AtMostDispatch, callback, none;
    /// Cache is handed out as an MDL to write to.
    PrepareMdlWrite = IRP_MJ_PREPARE_MDL_WRITE, AtMostDispatch, callback, none;
    /// An MDL of [`PrepareMdlWrite`] is handed back.
    MdlWriteComplete = IRP_MJ_MDL_WRITE_COMPLETE, AtMostDispatch, callback, none;
    /// A volume is mounted.
    VolumeMount = IRP_MJ_VOLUME_MOUNT, AtMostDispatch, volume, none;
    /// A volume is dismounted.
    VolumeDismount = IRP_MJ_VOLUME_DISMOUNT, AtMostDispatch, volume, none;
}
