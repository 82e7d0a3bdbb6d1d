//! The Filter Manager's own objects. Each is a type of its own, so that an instance cannot be
//! passed where a volume belongs.

use crate::abi::opaque;

opaque! {
    /// A registered minifilter.
    FLT_FILTER, PFLT_FILTER;
    /// An attachment of a minifilter to a volume.
    FLT_INSTANCE, PFLT_INSTANCE;
    /// A volume that the Filter Manager knows.
    FLT_VOLUME, PFLT_VOLUME;
    /// A communication port, server or client side.
    FLT_PORT, PFLT_PORT;
    /// A work item for a deferred operation.
    FLT_DEFERRED_IO_WORKITEM, PFLT_DEFERRED_IO_WORKITEM;
    /// A generic work item.
    FLT_GENERIC_WORKITEM, PFLT_GENERIC_WORKITEM;
    /// A create context of `FltCreateFileEx2`.
    IO_DRIVER_CREATE_CONTEXT, PIO_DRIVER_CREATE_CONTEXT;
    /// The security context of a create.
    IO_SECURITY_CONTEXT, PIO_SECURITY_CONTEXT;
}
