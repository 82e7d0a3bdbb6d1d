//! What a driver's source files start with: `use fltctx::prelude::*;`.

pub use crate::{
    Status,
    context::{Context, PoolTag, Shared, Unique, kind, pool},
    contexts, debug_print, driver_entry,
    object::Notifications,
    operation::{
        Cleanup, Close, Create, DirectoryControl, NoPostOperation, Post, PostOperation, Pre,
        PreOperation, PreResult, QueryInformation, Read, SafePost, SafePostOperation,
        SetInformation, Write,
    },
    registration::{
        DoNotAttach, DoNotDetach, DriverEntry, InstanceQueryTeardown, InstanceSetup,
        InstanceTeardown, Minifilter, Phase, TransactionNotification, Unload,
    },
};
