//! What a filter of a test registers: context entries, callbacks, and how its driver is installed.

use super::callbacks;
use super::context::Ctx;
use fltmgr_sys::*;
use std::collections::BTreeMap;
use std::ptr::{null, null_mut};

type PreHook = Box<dyn Fn(&Pre) -> FLT_PREOP_CALLBACK_STATUS + Send + Sync>;
type PostHook = Box<dyn Fn(&Post) -> FLT_POSTOP_CALLBACK_STATUS + Send + Sync>;
type StatusHook = Box<dyn Fn(&InstanceCall) -> NTSTATUS + Send + Sync>;
type TeardownHook = Box<dyn Fn(&InstanceCall) + Send + Sync>;
type CleanupHook = Box<dyn Fn(&Ctx) + Send + Sync>;
type UnloadHook = Box<dyn Fn(FLT_FILTER_UNLOAD_FLAGS) -> NTSTATUS + Send + Sync>;
type NotificationHook = Box<dyn Fn(&Notification) -> NTSTATUS + Send + Sync>;
type ConflictHook = Box<dyn Fn(&Conflict) + Send + Sync>;

/// The arguments of a pre-operation callback.
pub(crate) struct Pre {
    /// `Data`.
    pub(crate) data: PFLT_CALLBACK_DATA,
    /// What `FltObjects` points to.
    pub(crate) objects: FLT_RELATED_OBJECTS,
    pub(super) completion: *mut PVOID,
}

impl Pre {
    /// Writes `*CompletionContext`.
    pub(crate) fn park(&self, context: PVOID) {
        // SAFETY: the Filter Manager passes a place for it, good for the duration of the callback.
        unsafe { self.completion.write(context) };
    }
}

/// The arguments of a post-operation callback.
pub(crate) struct Post {
    /// `Data`.
    pub(crate) data: PFLT_CALLBACK_DATA,
    /// What `FltObjects` points to.
    pub(crate) objects: FLT_RELATED_OBJECTS,
    /// `CompletionContext`.
    pub(crate) context: PVOID,
    /// `Flags`.
    pub(crate) flags: FLT_POST_OPERATION_FLAGS,
}

impl Post {
    /// The status of the operation.
    pub(crate) fn status(&self) -> NTSTATUS {
        // SAFETY: the Filter Manager passes callback data that is good for the callback.
        let block = unsafe { (*self.data).IoStatus };
        // SAFETY: the emulator always writes the status member.
        unsafe { block.__bindgen_anon_1.Status }
    }

    /// Whether the instance is being torn down.
    pub(crate) fn draining(&self) -> bool {
        self.flags & FLTFL_POST_OPERATION_DRAINING != 0
    }
}

/// The arguments of an instance callback.
pub(crate) struct InstanceCall {
    /// What `FltObjects` points to.
    pub(crate) objects: FLT_RELATED_OBJECTS,
    /// `Flags`, or the reason of a teardown.
    pub(crate) flags: ULONG,
}

/// The arguments of a transaction notification.
pub(crate) struct Notification {
    /// What `FltObjects` points to.
    pub(crate) objects: FLT_RELATED_OBJECTS,
    /// `TransactionContext`.
    pub(crate) context: PFLT_CONTEXT,
    /// `NotificationMask`.
    pub(crate) mask: NOTIFICATION_MASK,
}

/// The arguments of a section conflict notification.
pub(crate) struct Conflict {
    /// `Instance`.
    pub(crate) instance: PFLT_INSTANCE,
    /// The context of the section.
    pub(crate) context: PFLT_CONTEXT,
    /// The major function code of the operation.
    pub(crate) major: UCHAR,
}

/// A table that the registration points to.
struct Table<T>(Vec<T>);

// SAFETY: the tables hold constants, function pointers and reserved members that are null, so that
// they may be read, and dropped, on any thread.
unsafe impl<T> Send for Table<T> {}

/// Both callbacks for one major function code.
#[derive(Default)]
pub(super) struct OperationHooks {
    pub(super) pre: Option<PreHook>,
    pub(super) post: Option<PostHook>,
    flags: FLT_OPERATION_REGISTRATION_FLAGS,
}

/// A filter to be.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is one member of the registration"
)]
pub(crate) struct Plan {
    pub(super) name: String,
    pub(super) altitude: String,
    pub(super) more_instances: Vec<(String, String)>,
    pub(super) manual_only: bool,
    pub(super) start_filtering: bool,
    contexts: Option<Table<FLT_CONTEXT_REGISTRATION>>,
    version: USHORT,
    flags: FLT_REGISTRATION_FLAGS,
    operations: Table<FLT_OPERATION_REGISTRATION>,
    with_unload: bool,
    with_setup: bool,
    with_query_teardown: bool,
    pub(super) hooks: BTreeMap<UCHAR, OperationHooks>,
    pub(super) setup: Option<StatusHook>,
    pub(super) query_teardown: Option<StatusHook>,
    pub(super) teardown_start: Option<TeardownHook>,
    pub(super) teardown_complete: Option<TeardownHook>,
    pub(super) cleanup: Option<CleanupHook>,
    pub(super) unload: Option<UnloadHook>,
    pub(super) notification: Option<NotificationHook>,
    pub(super) conflict: Option<ConflictHook>,
    pub(super) out_of_memory: bool,
}

impl Plan {
    /// A filter at altitude 385000 without contexts and operations; it attaches everywhere, can be
    /// detached and unloaded.
    pub(crate) fn new() -> Self {
        Self {
            name: "contract".to_owned(),
            altitude: "385000".to_owned(),
            more_instances: Vec::new(),
            manual_only: false,
            start_filtering: true,
            contexts: None,
            version: FLT_REGISTRATION_VERSION,
            flags: 0,
            operations: Table(Vec::new()),
            with_unload: true,
            with_setup: true,
            with_query_teardown: true,
            hooks: BTreeMap::new(),
            setup: None,
            query_teardown: None,
            teardown_start: None,
            teardown_complete: None,
            cleanup: None,
            unload: None,
            notification: None,
            conflict: None,
            out_of_memory: false,
        }
    }

    /// A filter with an entry of 64 bytes for each of the six kinds that can be set.
    pub(crate) fn all_kinds() -> Self {
        Self::new().contexts(&[
            entry(FLT_VOLUME_CONTEXT, 64),
            entry(FLT_INSTANCE_CONTEXT, 64),
            entry(FLT_FILE_CONTEXT, 64),
            entry(FLT_STREAM_CONTEXT, 64),
            entry(FLT_STREAMHANDLE_CONTEXT, 64),
            entry(FLT_TRANSACTION_CONTEXT, 64),
        ])
    }

    /// The service name and the altitude.
    pub(crate) fn named(mut self, name: &str, altitude: &str) -> Self {
        name.clone_into(&mut self.name);
        altitude.clone_into(&mut self.altitude);
        self
    }

    /// One more instance definition, which attaches by name only.
    pub(crate) fn instance(mut self, name: &str, altitude: &str) -> Self {
        self.more_instances
            .push((name.to_owned(), altitude.to_owned()));
        self
    }

    /// Does not attach by itself.
    pub(crate) fn manual_only(mut self) -> Self {
        self.manual_only = true;
        self
    }

    /// Does not call `FltStartFiltering`.
    pub(crate) fn not_started(mut self) -> Self {
        self.start_filtering = false;
        self
    }

    /// The context entries, without the terminator.
    pub(crate) fn contexts(mut self, entries: &[FLT_CONTEXT_REGISTRATION]) -> Self {
        let mut entries = entries.to_vec();
        entries.push(FLT_CONTEXT_REGISTRATION {
            ContextCleanupCallback: None,
            ..entry(FLT_CONTEXT_END, 0)
        });
        self.contexts = Some(Table(entries));
        self
    }

    /// `FLT_REGISTRATION.Version`.
    pub(crate) fn version(mut self, version: USHORT) -> Self {
        self.version = version;
        self
    }

    /// `FLT_REGISTRATION.Flags`.
    pub(crate) fn flags(mut self, flags: FLT_REGISTRATION_FLAGS) -> Self {
        self.flags = flags;
        self
    }

    /// `FilterUnloadCallback` is NULL.
    pub(crate) fn no_unload(mut self) -> Self {
        self.with_unload = false;
        self
    }

    /// `InstanceSetupCallback` is NULL.
    pub(crate) fn no_setup(mut self) -> Self {
        self.with_setup = false;
        self
    }

    /// `InstanceQueryTeardownCallback` is NULL.
    pub(crate) fn no_query_teardown(mut self) -> Self {
        self.with_query_teardown = false;
        self
    }

    /// A pre-operation callback.
    pub(crate) fn pre(
        mut self,
        major: UCHAR,
        hook: impl Fn(&Pre) -> FLT_PREOP_CALLBACK_STATUS + Send + Sync + 'static,
    ) -> Self {
        self.hooks.entry(major).or_default().pre = Some(Box::new(hook));
        self
    }

    /// A post-operation callback. Without a pre-operation callback it is called for every operation.
    pub(crate) fn post(
        mut self,
        major: UCHAR,
        hook: impl Fn(&Post) -> FLT_POSTOP_CALLBACK_STATUS + Send + Sync + 'static,
    ) -> Self {
        self.hooks.entry(major).or_default().post = Some(Box::new(hook));
        self
    }

    /// `FLT_OPERATION_REGISTRATION.Flags`.
    pub(crate) fn operation_flags(
        mut self,
        major: UCHAR,
        flags: FLT_OPERATION_REGISTRATION_FLAGS,
    ) -> Self {
        self.hooks.entry(major).or_default().flags = flags;
        self
    }

    /// What `InstanceSetup` does and returns; otherwise it accepts every volume.
    pub(crate) fn on_setup(
        mut self,
        hook: impl Fn(&InstanceCall) -> NTSTATUS + Send + Sync + 'static,
    ) -> Self {
        self.setup = Some(Box::new(hook));
        self
    }

    /// What `InstanceQueryTeardown` does and returns; otherwise it allows the detach.
    pub(crate) fn on_query_teardown(
        mut self,
        hook: impl Fn(&InstanceCall) -> NTSTATUS + Send + Sync + 'static,
    ) -> Self {
        self.query_teardown = Some(Box::new(hook));
        self
    }

    /// What `InstanceTeardownStart` does.
    pub(crate) fn on_teardown_start(
        mut self,
        hook: impl Fn(&InstanceCall) + Send + Sync + 'static,
    ) -> Self {
        self.teardown_start = Some(Box::new(hook));
        self
    }

    /// What `InstanceTeardownComplete` does.
    pub(crate) fn on_teardown_complete(
        mut self,
        hook: impl Fn(&InstanceCall) + Send + Sync + 'static,
    ) -> Self {
        self.teardown_complete = Some(Box::new(hook));
        self
    }

    /// What the cleanup callback does; it is counted when this returns.
    pub(crate) fn on_cleanup(mut self, hook: impl Fn(&Ctx) + Send + Sync + 'static) -> Self {
        self.cleanup = Some(Box::new(hook));
        self
    }

    /// What the unload callback returns. It unregisters the filter first, unless the hook returns
    /// an error and the unload is not mandatory.
    pub(crate) fn on_unload(
        mut self,
        hook: impl Fn(FLT_FILTER_UNLOAD_FLAGS) -> NTSTATUS + Send + Sync + 'static,
    ) -> Self {
        self.unload = Some(Box::new(hook));
        self
    }

    /// Registers a transaction notification callback.
    pub(crate) fn on_notification(
        mut self,
        hook: impl Fn(&Notification) -> NTSTATUS + Send + Sync + 'static,
    ) -> Self {
        self.notification = Some(Box::new(hook));
        self
    }

    /// Registers a section notification callback.
    pub(crate) fn on_conflict(mut self, hook: impl Fn(&Conflict) + Send + Sync + 'static) -> Self {
        self.conflict = Some(Box::new(hook));
        self
    }

    /// The allocate callback of [`custom`] entries returns NULL.
    pub(crate) fn out_of_memory(mut self) -> Self {
        self.out_of_memory = true;
        self
    }

    /// Whether every entry has a cleanup callback.
    pub(super) fn cleans_everything(&self) -> bool {
        let entries = self.contexts.as_ref().map(|table| table.0.as_slice());
        entries
            .unwrap_or_default()
            .iter()
            .filter(|entry| entry.ContextType != FLT_CONTEXT_END)
            .all(|entry| entry.ContextCleanupCallback.is_some())
    }

    /// Makes the table of operations; the registration points into it afterwards.
    pub(super) fn seal(&mut self) {
        let operations = self.hooks.iter().map(|(major, hooks)| {
            let pre: PFLT_PRE_OPERATION_CALLBACK = Some(callbacks::pre_operation);
            let post: PFLT_POST_OPERATION_CALLBACK = Some(callbacks::post_operation);
            FLT_OPERATION_REGISTRATION {
                MajorFunction: *major,
                Flags: hooks.flags,
                PreOperation: pre.filter(|_| hooks.pre.is_some()),
                PostOperation: post.filter(|_| hooks.post.is_some()),
                Reserved1: null_mut(),
            }
        });
        self.operations = Table(operations.collect());
        self.operations.0.push(FLT_OPERATION_REGISTRATION {
            MajorFunction: IRP_MJ_OPERATION_END,
            Flags: 0,
            PreOperation: None,
            PostOperation: None,
            Reserved1: null_mut(),
        });
    }

    /// The structure for `FltRegisterFilter`. It points into this plan.
    pub(super) fn registration(&self) -> FLT_REGISTRATION {
        FLT_REGISTRATION {
            Size: u16::try_from(size_of::<FLT_REGISTRATION>()).expect("112"),
            Version: self.version,
            Flags: self.flags,
            ContextRegistration: self.contexts.as_ref().map_or(null(), |all| all.0.as_ptr()),
            OperationRegistration: self.operations.0.as_ptr(),
            FilterUnloadCallback: if self.with_unload {
                Some(callbacks::unload)
            } else {
                None
            },
            InstanceSetupCallback: if self.with_setup {
                Some(callbacks::instance_setup)
            } else {
                None
            },
            InstanceQueryTeardownCallback: if self.with_query_teardown {
                Some(callbacks::instance_query_teardown)
            } else {
                None
            },
            InstanceTeardownStartCallback: Some(callbacks::instance_teardown_start),
            InstanceTeardownCompleteCallback: Some(callbacks::instance_teardown_complete),
            GenerateFileNameCallback: None,
            NormalizeNameComponentCallback: None,
            NormalizeContextCleanupCallback: None,
            TransactionNotificationCallback: if self.notification.is_some() {
                Some(callbacks::notification)
            } else {
                None
            },
            NormalizeNameComponentExCallback: None,
            SectionNotificationCallback: if self.conflict.is_some() {
                Some(callbacks::section_notification)
            } else {
                None
            },
        }
    }
}

/// A fixed-size entry with a tag and a cleanup callback.
pub(crate) fn entry(kind: FLT_CONTEXT_TYPE, size: SIZE_T) -> FLT_CONTEXT_REGISTRATION {
    FLT_CONTEXT_REGISTRATION {
        ContextType: kind,
        Flags: 0,
        ContextCleanupCallback: Some(callbacks::context_cleanup),
        Size: size,
        PoolTag: u32::from_le_bytes(*b"Ctrc"),
        ContextAllocateCallback: None,
        ContextFreeCallback: None,
        Reserved1: null_mut(),
    }
}

/// As [`entry`], and smaller requests are served from it too.
pub(crate) fn up_to(kind: FLT_CONTEXT_TYPE, size: SIZE_T) -> FLT_CONTEXT_REGISTRATION {
    FLT_CONTEXT_REGISTRATION {
        Flags: FLTFL_CONTEXT_REGISTRATION_NO_EXACT_SIZE_MATCH,
        ..entry(kind, size)
    }
}

/// A variable-size entry.
pub(crate) fn variable(kind: FLT_CONTEXT_TYPE) -> FLT_CONTEXT_REGISTRATION {
    entry(kind, FLT_VARIABLE_SIZED_CONTEXTS)
}

/// An entry whose memory comes from allocate and free callbacks.
pub(crate) fn custom(kind: FLT_CONTEXT_TYPE, size: SIZE_T) -> FLT_CONTEXT_REGISTRATION {
    FLT_CONTEXT_REGISTRATION {
        ContextAllocateCallback: Some(callbacks::context_allocate),
        ContextFreeCallback: Some(callbacks::context_free),
        ..entry(kind, size)
    }
}
