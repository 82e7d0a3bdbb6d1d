//! The seven kinds of context, as one table.

use fltmgr_sys as sys;
use sys::{
    BOOLEAN, FLT_CONTEXT_TYPE, FLT_RELATED_OBJECTS, FLT_SET_CONTEXT_OPERATION, NTSTATUS,
    PFLT_CONTEXT,
};

mod sealed {
    pub trait Sealed {}
}

/// A kind of context: the kind of object that it is attached to.
///
/// DDI: `FLT_CONTEXT_TYPE`.
pub trait Kind: sealed::Sealed + 'static {
    /// The kind's name in messages, e.g. `"stream handle"`.
    const NAME: &'static str;
    /// The kind's `FLT_XXX_CONTEXT` bit.
    const TYPE: FLT_CONTEXT_TYPE;
}

/// A kind whose contexts are attached by a set routine: every kind but [`Section`].
///
/// The four raw routines of a kind differ only in which members of the related objects they
/// want, so each row picks its own and everything above is written once.
#[diagnostic::on_unimplemented(
    message = "section contexts cannot be set or deleted",
    label = "`{Self}` has no set and no delete routine",
    note = "a section context is attached by creating a section for a data scan and detached by closing it"
)]
pub trait Attach: Kind {
    /// `FltGetXxxContext`.
    ///
    /// # Safety
    ///
    /// IRQL is at most `APC_LEVEL`, `objects` describe a live callback, the members that the kind
    /// uses are not NULL and `context` may be written.
    #[doc(hidden)]
    unsafe fn get(objects: &FLT_RELATED_OBJECTS, context: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// `FltSetXxxContext`.
    ///
    /// # Safety
    ///
    /// As for [`Attach::get`]; `new` is a context of this kind and filter that the caller holds a
    /// reference to.
    #[doc(hidden)]
    unsafe fn set(
        objects: &FLT_RELATED_OBJECTS,
        operation: FLT_SET_CONTEXT_OPERATION,
        new: PFLT_CONTEXT,
        old: *mut PFLT_CONTEXT,
    ) -> NTSTATUS;

    /// `FltDeleteXxxContext`.
    ///
    /// # Safety
    ///
    /// As for [`Attach::get`]; `old` may be NULL.
    #[doc(hidden)]
    unsafe fn delete(objects: &FLT_RELATED_OBJECTS, old: *mut PFLT_CONTEXT) -> NTSTATUS;

    /// `FltSupportsXxxContexts`, or TRUE for the kinds that every object supports.
    ///
    /// # Safety
    ///
    /// As for [`Attach::get`].
    #[doc(hidden)]
    unsafe fn supports(objects: &FLT_RELATED_OBJECTS) -> BOOLEAN;

    /// Whether the members that this kind uses are there.
    #[doc(hidden)]
    fn present(objects: &FLT_RELATED_OBJECTS) -> bool;
}

macro_rules! kinds {
    ($(
        $(#[$meta:meta])*
        $name:ident, $text:literal, $bit:ident
        $(: $get:ident, $set:ident($($set_key:ident),*), $delete:ident($($key:ident),+), $supports:tt)?;
    )*) => {$(
        $(#[$meta])*
        pub enum $name {}

        impl sealed::Sealed for $name {}

        impl Kind for $name {
            const NAME: &'static str = $text;
            const TYPE: FLT_CONTEXT_TYPE = sys::$bit;
        }

        $(impl Attach for $name {
            unsafe fn get(objects: &FLT_RELATED_OBJECTS, context: *mut PFLT_CONTEXT) -> NTSTATUS {
                // SAFETY: the caller vouches for the IRQL, the objects and the out-pointer.
                unsafe { sys::$get($(objects.$key,)+ context) }
            }

            unsafe fn set(
                objects: &FLT_RELATED_OBJECTS,
                operation: FLT_SET_CONTEXT_OPERATION,
                new: PFLT_CONTEXT,
                old: *mut PFLT_CONTEXT,
            ) -> NTSTATUS {
                // SAFETY: as above; the caller holds a reference to `new`, of this kind.
                unsafe { sys::$set($(objects.$set_key,)* operation, new, old) }
            }

            unsafe fn delete(objects: &FLT_RELATED_OBJECTS, old: *mut PFLT_CONTEXT) -> NTSTATUS {
                // SAFETY: as above.
                unsafe { sys::$delete($(objects.$key,)+ old) }
            }

            unsafe fn supports(objects: &FLT_RELATED_OBJECTS) -> BOOLEAN {
                kinds!(@supports objects $supports)
            }

            fn present(objects: &FLT_RELATED_OBJECTS) -> bool {
                $(!objects.$key.is_null())&&+
            }
        })?
    )*};
    (@supports $objects:ident always) => {{
        let _ = $objects;
        1
    }};
    (@supports $objects:ident [$supports:ident($($key:ident),+)]) => {
        // SAFETY: the caller vouches for the IRQL and the objects.
        unsafe { sys::$supports($($objects.$key),+) }
    };
}

kinds! {
    /// One context a filter and volume, in nonpaged pool only.
    Volume, "volume", FLT_VOLUME_CONTEXT:
        FltGetVolumeContext, FltSetVolumeContext(Volume),
        FltDeleteVolumeContext(Filter, Volume), always;
    /// One context an instance.
    Instance, "instance", FLT_INSTANCE_CONTEXT:
        FltGetInstanceContext, FltSetInstanceContext(Instance),
        FltDeleteInstanceContext(Instance), always;
    /// One context an instance and file, over all streams of the file.
    File, "file", FLT_FILE_CONTEXT:
        FltGetFileContext, FltSetFileContext(Instance, FileObject),
        FltDeleteFileContext(Instance, FileObject),
        [FltSupportsFileContextsEx(FileObject, Instance)];
    /// One context an instance and stream, over all opens of the stream.
    Stream, "stream", FLT_STREAM_CONTEXT:
        FltGetStreamContext, FltSetStreamContext(Instance, FileObject),
        FltDeleteStreamContext(Instance, FileObject),
        [FltSupportsStreamContexts(FileObject)];
    /// One context an instance and open (file object).
    StreamHandle, "stream handle", FLT_STREAMHANDLE_CONTEXT:
        FltGetStreamHandleContext, FltSetStreamHandleContext(Instance, FileObject),
        FltDeleteStreamHandleContext(Instance, FileObject),
        [FltSupportsStreamHandleContexts(FileObject)];
    /// One context an instance and transaction.
    Transaction, "transaction", FLT_TRANSACTION_CONTEXT:
        FltGetTransactionContext, FltSetTransactionContext(Instance, Transaction),
        FltDeleteTransactionContext(Instance, Transaction), always;
    /// One context an instance and stream, while a section for a data scan is open.
    Section, "section", FLT_SECTION_CONTEXT;
}
