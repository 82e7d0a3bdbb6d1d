//! Post-operation callbacks, plain and safe.

use core::marker::PhantomData;

use fltmgr_sys as sys;
use sys::{
    FLT_POST_OPERATION_FLAGS, FLT_POSTOP_CALLBACK_STATUS, FLT_RELATED_OBJECTS,
    PCFLT_RELATED_OBJECTS, PFLT_CALLBACK_DATA, PVOID,
};

use super::{
    Operation, PreOperation, callback_view,
    completion::Completion,
    low_irql_view,
    major::{HasPost, PassiveAfter, ReachesAfter},
};
use crate::{
    Status,
    context::{ContextTuple, DeclaredBy, Slot, TupleAfter},
    irql::{AtMostApc, Ceiling},
    kind,
    object::FileObject,
    registration::{Minifilter, Registered},
};

/// A filter that acts after the operation `O`.
#[diagnostic::on_unimplemented(
    message = "the filter `{Self}` has no post-operation callback for `{O}`",
    label = "`PostOperation<{O}>` is missing",
    note = "implement it, or write `{O}: pre` in the `operations!` of `driver_entry!`"
)]
pub trait PostOperation<O: HasPost>: PreOperation<O> {
    /// Acts after the operation. Not called when the Filter Manager drains the operation: then
    /// the library drops the payload.
    ///
    /// DDI: `PFLT_POST_OPERATION_CALLBACK`. IRQL: at most [`Operation::PostIrql`], which is
    /// `DISPATCH_LEVEL` for everything but creates; on any thread.
    fn post(&self, operation: &mut Post<'_, Self, O>, completion: Self::Completion);
}

/// A filter that acts after the operation `O`, where it is safe to get and set contexts.
///
/// The library runs the callback at once when the IRQL allows it, and from a worker thread
/// otherwise (`FltDoCompletionProcessingWhenSafe`). Reads, writes and flushes, which a driver of the
/// storage stack can complete, are not posted, because that can deadlock: those that complete at
/// `DISPATCH_LEVEL` are [refused](SafePostOperation::refused). To have them run,
/// [synchronise](super::Pre::synchronize) them.
#[diagnostic::on_unimplemented(
    message = "the filter `{Self}` has no safe post-operation callback for `{O}`",
    label = "`SafePostOperation<{O}>` is missing",
    note = "implement it, or write `{O}: pre` in the `operations!` of `driver_entry!`"
)]
pub trait SafePostOperation<O: HasPost>: PreOperation<O> {
    /// Acts after the operation.
    ///
    /// DDI: `FltDoCompletionProcessingWhenSafe`. IRQL: at most `APC_LEVEL`.
    fn safe_post(&self, operation: &mut SafePost<'_, Self, O>, completion: Self::Completion);

    /// The operation completed at `DISPATCH_LEVEL` and cannot be posted to a worker thread (a read,
    /// write or flush, paging I/O, or no IRP). The default drops the payload.
    ///
    /// DDI: `FltDoCompletionProcessingWhenSafe` returning `FALSE`. IRQL: `DISPATCH_LEVEL`.
    fn refused(&self, operation: &mut Post<'_, Self, O>, completion: Self::Completion) {
        let _ = (operation, completion);
    }
}

/// Defines the object of a post-operation callback.
macro_rules! post {
    ($(#[$meta:meta])* $name:ident, $irql:ty) => {
        $(#[$meta])*
        pub struct $name<'a, F: Minifilter, O: Operation> {
            data: PFLT_CALLBACK_DATA,
            objects: &'a FLT_RELATED_OBJECTS,
            irql: $irql,
            typed: PhantomData<fn() -> (F, O)>,
        }

        callback_view!($name);

        impl<F: Minifilter, O: Operation> $name<'_, F, O> {
            /// # Safety
            ///
            /// The arguments are the Filter Manager's, of a post-operation callback of `F` for
            /// `O` that does not drain; the value ends with the callback, and the IRQL is at most
            /// its ceiling until then.
            unsafe fn new(data: PFLT_CALLBACK_DATA, objects: PCFLT_RELATED_OBJECTS) -> Self {
                Self {
                    data,
                    // SAFETY: the Filter Manager passes a valid structure that it does not change
                    // while the callback runs.
                    objects: unsafe { &*objects },
                    // SAFETY: the caller vouches for the IRQL.
                    irql: unsafe { Ceiling::assert() },
                    typed: PhantomData,
                }
            }

            /// How the operation ended.
            #[must_use]
            pub fn status(&self) -> Status {
                // SAFETY: the callback data are valid while the callback runs.
                let outcome = unsafe { (*self.data).IoStatus };
                // SAFETY: a completed operation has a status in this union.
                Status::from_raw(unsafe { outcome.__bindgen_anon_1.Status })
            }

            /// What the operation returned beside its status, e.g. a number of bytes.
            #[must_use]
            pub fn information(&self) -> usize {
                // SAFETY: the callback data are valid while the callback runs.
                let outcome = unsafe { (*self.data).IoStatus };
                usize::try_from(outcome.Information).unwrap_or(usize::MAX)
            }

            /// Proof of the callback's IRQL ceiling.
            #[must_use]
            pub fn irql(&self) -> &$irql {
                &self.irql
            }

            /// The same proof, to be lent to a [lock](crate::lock) that raises the IRQL.
            #[must_use]
            pub fn irql_mut(&mut self) -> &mut $irql {
                &mut self.irql
            }
        }
    };
}

post! {
    /// An operation that has happened. DDI: `PFLT_POST_OPERATION_CALLBACK`, `FLT_CALLBACK_DATA`,
    /// `FLT_RELATED_OBJECTS`.
    ///
    /// Unless it was a create, the IRQL may be `DISPATCH_LEVEL`: contexts cannot be got, set or
    /// deleted here, and only nonpaged ones can be read. Bring what is needed as the payload, or
    /// use a [`SafePostOperation`].
    Post, O::PostIrql
}

post! {
    /// An operation that has happened, seen where the IRQL is at most `APC_LEVEL`. DDI:
    /// `FltDoCompletionProcessingWhenSafe`, `FLT_CALLBACK_DATA`, `FLT_RELATED_OBJECTS`.
    SafePost, AtMostApc
}

low_irql_view!([F: Minifilter, O: Operation] Post<'_, F, O>, O: PassiveAfter);
low_irql_view!([F: Minifilter, O: Operation] SafePost<'_, F, O>);

impl<F: Minifilter, O: Operation> Post<'_, F, O> {
    /// The place for the filter's volume or instance context.
    #[must_use]
    pub fn slot<T>(&self) -> Slot<'_, F, T>
    where
        T: DeclaredBy<F>,
        T::Kind: kind::Attach,
        O: PassiveAfter + ReachesAfter<T::Kind>,
    {
        // SAFETY: the objects are those of this callback, at APC_LEVEL or below, and the slot
        // borrows `self`, which lives for the callback.
        unsafe { Slot::new(self.objects) }
    }

    /// The file that was opened; holds file, stream and stream handle contexts.
    ///
    /// `None` when the create failed, or is to be tried again with another name
    /// (`STATUS_REPARSE`): then there is no file.
    #[must_use]
    pub fn opened(&self) -> Option<FileObject<'_, F>>
    where
        O: PassiveAfter,
    {
        opened(self.status()).then(|| {
            // SAFETY: as for `slot`; the create succeeded, so the file object is open.
            unsafe { FileObject::new(self.objects) }
        })
    }
}

impl<F: Minifilter, O: Operation> SafePost<'_, F, O> {
    /// The file that was opened. As [`Post::opened`]; a plain post-create is as safe as this one.
    #[must_use]
    pub fn opened(&self) -> Option<FileObject<'_, F>>
    where
        O: PassiveAfter,
    {
        opened(self.status()).then(|| {
            // SAFETY: as for `slot`; the create succeeded, so the file object is open.
            unsafe { FileObject::new(self.objects) }
        })
    }

    /// The file object; holds file, stream and stream handle contexts.
    #[must_use]
    pub fn file_object(&self) -> FileObject<'_, F>
    where
        O: ReachesAfter<kind::StreamHandle>,
    {
        // SAFETY: as for `slot`.
        unsafe { FileObject::new(self.objects) }
    }

    /// Several of the operation's contexts in one call. See [`Pre::contexts`](super::Pre).
    ///
    /// DDI: `FltGetContextsEx`, or `FltGetContexts` before Windows 8.
    #[must_use]
    pub fn contexts<C>(&self) -> C::Contexts
    where
        C: ContextTuple<F> + TupleAfter<O>,
    {
        // SAFETY: the objects are those of this callback, at APC_LEVEL or below, and the tuple's
        // kinds can be reached after the operation.
        unsafe { C::get(self.objects) }
    }

    /// The place for the filter's context of type `T`, on whichever of the operation's objects
    /// belongs to its kind.
    #[must_use]
    pub fn slot<T>(&self) -> Slot<'_, F, T>
    where
        T: DeclaredBy<F>,
        T::Kind: kind::Attach,
        O: ReachesAfter<T::Kind>,
    {
        // SAFETY: the objects are those of this callback, at APC_LEVEL or below, and the slot
        // borrows `self`, which lives for the callback.
        unsafe { Slot::new(self.objects) }
    }
}

sys::fltapi! {
    /// The post-operation callback of `F` for `O`.
    pub(super) unsafe fn callback<F: PostThunk<O>, O: Operation>(
        data: PFLT_CALLBACK_DATA,
        objects: PCFLT_RELATED_OBJECTS,
        completion: PVOID,
        flags: FLT_POST_OPERATION_FLAGS,
    ) -> FLT_POSTOP_CALLBACK_STATUS {
        // SAFETY: these are the Filter Manager's arguments to the callback.
        unsafe { F::run(data, objects, completion, flags) }
    }

    /// The post-operation callback of `F` for `O` that waits until it is safe.
    pub(super) unsafe fn safe_callback<F: SafePostThunk<O>, O: Operation>(
        data: PFLT_CALLBACK_DATA,
        objects: PCFLT_RELATED_OBJECTS,
        completion: PVOID,
        flags: FLT_POST_OPERATION_FLAGS,
    ) -> FLT_POSTOP_CALLBACK_STATUS {
        // SAFETY: these are the Filter Manager's arguments to the callback.
        unsafe { F::arrange(data, objects, completion, flags) }
    }

    /// What [`safe_callback`] asks to be called where it is safe.
    unsafe fn when_safe<F: SafePostThunk<O>, O: Operation>(
        data: PFLT_CALLBACK_DATA,
        objects: PCFLT_RELATED_OBJECTS,
        completion: PVOID,
        _flags: FLT_POST_OPERATION_FLAGS,
    ) -> FLT_POSTOP_CALLBACK_STATUS {
        // SAFETY: these are the arguments of the post-operation callback, handed on, and the
        // Filter Manager calls this at APC_LEVEL or below.
        unsafe { F::run(data, objects, completion) }
    }
}

/// The body of a plain post-operation callback, as a trait so that a callback has one bound.
pub(super) trait PostThunk<O: Operation> {
    /// # Safety
    ///
    /// The arguments are the Filter Manager's, of a post-operation callback registered for `O`.
    unsafe fn run(
        data: PFLT_CALLBACK_DATA,
        objects: PCFLT_RELATED_OBJECTS,
        completion: PVOID,
        flags: FLT_POST_OPERATION_FLAGS,
    ) -> FLT_POSTOP_CALLBACK_STATUS;
}

/// The body of a safe post-operation callback.
pub(super) trait SafePostThunk<O: Operation> {
    /// Runs the callback here or has it run where it is safe.
    ///
    /// # Safety
    ///
    /// The arguments are the Filter Manager's, of a post-operation callback registered for `O`.
    unsafe fn arrange(
        data: PFLT_CALLBACK_DATA,
        objects: PCFLT_RELATED_OBJECTS,
        completion: PVOID,
        flags: FLT_POST_OPERATION_FLAGS,
    ) -> FLT_POSTOP_CALLBACK_STATUS;

    /// Runs the callback.
    ///
    /// # Safety
    ///
    /// As for [`SafePostThunk::arrange`], and the IRQL is at most `APC_LEVEL`.
    unsafe fn run(
        data: PFLT_CALLBACK_DATA,
        objects: PCFLT_RELATED_OBJECTS,
        completion: PVOID,
    ) -> FLT_POSTOP_CALLBACK_STATUS;
}

/// Whether a create that ended like this has opened a file.
fn opened(status: Status) -> bool {
    status.is_success() && status != Status::REPARSE
}

fn draining(flags: FLT_POST_OPERATION_FLAGS) -> bool {
    flags & sys::FLTFL_POST_OPERATION_DRAINING != 0
}

impl<O: HasPost, F: PostOperation<O> + Registered> PostThunk<O> for F {
    unsafe fn run(
        data: PFLT_CALLBACK_DATA,
        objects: PCFLT_RELATED_OBJECTS,
        completion: PVOID,
        flags: FLT_POST_OPERATION_FLAGS,
    ) -> FLT_POSTOP_CALLBACK_STATUS {
        // SAFETY: the completion context is what this filter's pre-operation callback for `O`
        // made of its payload, and the Filter Manager passes it on once.
        let payload = unsafe { <F as PreOperation<O>>::Completion::from_raw(completion) };
        if !draining(flags) {
            // SAFETY: the Filter Manager's arguments, not draining; the value ends here.
            let mut operation = unsafe { Post::<F, O>::new(data, objects) };
            F::registered().state().post(&mut operation, payload);
        }
        sys::FLT_POSTOP_FINISHED_PROCESSING
    }
}

impl<O: HasPost, F: SafePostOperation<O> + Registered> SafePostThunk<O> for F {
    unsafe fn arrange(
        data: PFLT_CALLBACK_DATA,
        objects: PCFLT_RELATED_OBJECTS,
        completion: PVOID,
        flags: FLT_POST_OPERATION_FLAGS,
    ) -> FLT_POSTOP_CALLBACK_STATUS {
        if draining(flags) {
            // SAFETY: as in `PostThunk::run`.
            drop(unsafe { <F as PreOperation<O>>::Completion::from_raw(completion) });
            return sys::FLT_POSTOP_FINISHED_PROCESSING;
        }
        // SAFETY: the routine has no precondition.
        if unsafe { sys::KeGetCurrentIrql() } <= sys::APC_LEVEL {
            // SAFETY: the Filter Manager's arguments, at a low IRQL.
            return unsafe { F::run(data, objects, completion) };
        }
        // SAFETY: the Filter Manager's arguments, not draining; the value ends here. The IRQL is at
        // most that of a post-operation callback for `O`; a create does not get here, because it
        // completes at PASSIVE_LEVEL.
        let mut operation = unsafe { Post::<F, O>::new(data, objects) };
        let is_postable = !matches!(
            O::MAJOR,
            sys::IRP_MJ_READ | sys::IRP_MJ_WRITE | sys::IRP_MJ_FLUSH_BUFFERS
        );
        let is_irp = operation.flags() & sys::FLTFL_CALLBACK_DATA_IRP_OPERATION != 0;
        if is_postable && is_irp && !operation.is_paging_io() {
            let mut status = sys::FLT_POSTOP_FINISHED_PROCESSING;
            // SAFETY: this is a post-operation callback of an IRP that is not paging I/O, that no
            // driver of the storage stack completes, and that does not drain; the arguments are
            // handed on, and the status may be written.
            let arranged = unsafe {
                sys::FltDoCompletionProcessingWhenSafe(
                    data,
                    objects,
                    completion,
                    flags,
                    Some(when_safe::<F, O>),
                    &raw mut status,
                )
            };
            if arranged != 0 {
                return status;
            }
        }
        // SAFETY: as in `PostThunk::run`; nobody else took the payload.
        let payload = unsafe { <F as PreOperation<O>>::Completion::from_raw(completion) };
        F::registered().state().refused(&mut operation, payload);
        sys::FLT_POSTOP_FINISHED_PROCESSING
    }

    unsafe fn run(
        data: PFLT_CALLBACK_DATA,
        objects: PCFLT_RELATED_OBJECTS,
        completion: PVOID,
    ) -> FLT_POSTOP_CALLBACK_STATUS {
        // SAFETY: as in `PostThunk::run`.
        let payload = unsafe { <F as PreOperation<O>>::Completion::from_raw(completion) };
        // SAFETY: the Filter Manager's arguments, not draining, at a low IRQL; the value ends
        // here.
        let mut operation = unsafe { SafePost::<F, O>::new(data, objects) };
        F::registered().state().safe_post(&mut operation, payload);
        sys::FLT_POSTOP_FINISHED_PROCESSING
    }
}
