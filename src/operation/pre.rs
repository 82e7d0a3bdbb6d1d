//! Pre-operation callbacks.

use core::marker::PhantomData;

use fltmgr_sys as sys;
use sys::{
    FLT_PREOP_CALLBACK_STATUS, FLT_RELATED_OBJECTS, PCFLT_RELATED_OBJECTS, PFLT_CALLBACK_DATA,
    PVOID,
};

use super::{
    Create, Operation, callback_view,
    completion::{Completion, CompletionAt, Takes},
    low_irql_view,
    major::{ReachesBefore, Synchronizable},
    parameters,
};
use crate::{
    Status,
    context::{ContextTuple, TupleBefore},
    irql::{AtMostApc, Ceiling as _},
    registration::{Minifilter, Registered},
};

/// A filter that acts before the operation `O`.
#[diagnostic::on_unimplemented(
    message = "the filter `{Self}` has no pre-operation callback for `{O}`",
    label = "`PreOperation<{O}>` is missing",
    note = "implement it, or take `{O}` out of the `operations!` of `driver_entry!`"
)]
pub trait PreOperation<O: Operation>: Minifilter {
    /// What is handed to the post-operation callback: `()`, an integer, a handle or an `Option`
    /// of one; [`NoPostOperation`](super::NoPostOperation) where there is none.
    type Completion: CompletionAt<O::PostIrql>;

    /// Acts before the operation, and decides how it goes on.
    ///
    /// DDI: `PFLT_PRE_OPERATION_CALLBACK`. IRQL: `PASSIVE_LEVEL`, or `APC_LEVEL` for paging I/O.
    fn pre(&self, operation: &mut Pre<'_, Self, O>) -> PreResult<Self::Completion>;
}

/// How an operation goes on after a pre-operation callback.
///
/// It cannot be forgotten, because the callback must return one, and it cannot be inconsistent:
/// a payload goes with a call back and with nothing else. The library owns the payload from here
/// to the post-operation callback.
///
/// DDI: `FLT_PREOP_CALLBACK_STATUS`. `FLT_PREOP_PENDING` and `FLT_PREOP_DISALLOW_FSFILTER_IO` are
/// not offered.
#[must_use]
pub struct PreResult<C>(Decision<C>);

enum Decision<C> {
    NoCallback,
    Callback(C),
    Synchronize(C),
    Complete { status: Status, information: usize },
    DisallowFastIo,
}

impl<C> PreResult<C> {
    /// The operation goes on; this filter does not see its completion
    /// (`FLT_PREOP_SUCCESS_NO_CALLBACK`).
    pub const fn no_callback() -> Self {
        Self(Decision::NoCallback)
    }

    /// The operation goes on, and the post-operation callback gets `payload`
    /// (`FLT_PREOP_SUCCESS_WITH_CALLBACK`).
    pub fn callback<P>(payload: P) -> Self
    where
        C: Takes<P>,
    {
        Self(Decision::Callback(C::take(payload)))
    }

    /// The operation ends here with `status`; `information` is what the operation returns in
    /// `IoStatus.Information`, e.g. a number of bytes (`FLT_PREOP_COMPLETE`).
    ///
    /// The status is final: `STATUS_PENDING` becomes `STATUS_UNSUCCESSFUL`. A cleanup and a close
    /// cannot fail: for them every such status becomes `STATUS_SUCCESS`.
    pub const fn complete(status: Status, information: usize) -> Self {
        Self(Decision::Complete {
            status,
            information,
        })
    }

    /// The fast path is refused: the operation comes back as an IRP
    /// (`FLT_PREOP_DISALLOW_FASTIO`). Only for [`Pre::is_fast_io`] operations; for others the
    /// operation goes on without a call back.
    pub const fn disallow_fast_io() -> Self {
        Self(Decision::DisallowFastIo)
    }
}

/// An operation that is about to happen.
///
/// IRQL: at most `APC_LEVEL`, of a create too, which runs at `PASSIVE_LEVEL`: one type serves all
/// operations.
///
/// DDI: `PFLT_PRE_OPERATION_CALLBACK`, `FLT_CALLBACK_DATA`, `FLT_RELATED_OBJECTS`.
pub struct Pre<'a, F: Minifilter, O: Operation> {
    data: PFLT_CALLBACK_DATA,
    objects: &'a FLT_RELATED_OBJECTS,
    irql: AtMostApc,
    typed: PhantomData<fn() -> (F, O)>,
}

callback_view!(Pre);
low_irql_view!([F: Minifilter, O: Operation] Pre<'_, F, O>);

impl<F: Minifilter, O: Operation> Pre<'_, F, O> {
    /// Proof that paged memory may be touched.
    #[must_use]
    pub fn irql(&self) -> &AtMostApc {
        &self.irql
    }

    /// The same proof, to be lent to a [lock](crate::lock) that raises the IRQL.
    #[must_use]
    pub fn irql_mut(&mut self) -> &mut AtMostApc {
        &mut self.irql
    }

    /// Whether the operation came by the fast path, without an IRP.
    #[must_use]
    pub fn is_fast_io(&self) -> bool {
        self.flags() & sys::FLTFL_CALLBACK_DATA_FAST_IO_OPERATION != 0
    }

    /// The operation goes on, and the post-operation callback gets `payload` on this thread, at
    /// `APC_LEVEL` or below (`FLT_PREOP_SYNCHRONIZE`).
    ///
    /// This holds the caller up until the operation is done. It is a plain call back when the
    /// operation is fast I/O, and when it is a read or write that its caller does not wait for,
    /// which must never be synchronised. A plain [`Post`](super::Post) does not know
    /// of it: register the operation as `safe` to reach contexts there.
    ///
    /// DDI: `PFLT_PRE_OPERATION_CALLBACK`, `FltIsOperationSynchronous`.
    pub fn synchronize<C, P>(&self, payload: P) -> PreResult<C>
    where
        O: Synchronizable,
        C: Takes<P>,
    {
        PreResult(Decision::Synchronize(C::take(payload)))
    }
}

impl<F: Minifilter, O: Operation> Pre<'_, F, O> {
    /// The place for the filter's context of type `T`, on whichever of the operation's objects
    /// belongs to its kind.
    #[must_use]
    pub fn slot<T>(&self) -> crate::context::Slot<'_, F, T>
    where
        T: crate::context::DeclaredBy<F>,
        T::Kind: crate::kind::Attach,
        O: ReachesBefore<T::Kind>,
    {
        // SAFETY: the objects are those of this callback, at APC_LEVEL or below, and the slot
        // borrows `self`, which lives for the callback.
        unsafe { crate::context::Slot::new(self.objects) }
    }
}

impl<F: Minifilter, O: Operation> Pre<'_, F, O> {
    /// Several of the operation's contexts in one call: `operation.contexts::<(A, B)>()`. Each is
    /// there or not; whether its kind is supported at all is not told. Each handle owns its
    /// reference.
    ///
    /// DDI: `FltGetContextsEx`, or `FltGetContexts` before Windows 8.
    #[must_use]
    pub fn contexts<C>(&self) -> C::Contexts
    where
        C: ContextTuple<F> + TupleBefore<O>,
    {
        // SAFETY: the objects are those of this callback, at APC_LEVEL or below, and the tuple's
        // kinds can be reached before the operation.
        unsafe { C::get(self.objects) }
    }
}

impl<F: Minifilter> Pre<'_, F, Create> {
    /// The parameters of the create, with what the operation's flags add.
    #[must_use]
    pub fn create_parameters(&self) -> parameters::Create<'_> {
        self.parameters()
            .with_operation_flags(self.parameter_block().OperationFlags)
    }
}

impl<F: Minifilter, O: Operation> Pre<'_, F, O> {
    /// The file object; holds file, stream and stream handle contexts.
    #[must_use]
    pub fn file_object(&self) -> crate::object::FileObject<'_, F>
    where
        O: ReachesBefore<crate::kind::StreamHandle>,
    {
        // SAFETY: as for `slot`.
        unsafe { crate::object::FileObject::new(self.objects) }
    }
}

sys::fltapi! {
    /// The pre-operation callback of `F` for `O`.
    pub(super) unsafe fn callback<F: PreThunk<O>, O: Operation>(
        data: PFLT_CALLBACK_DATA,
        objects: PCFLT_RELATED_OBJECTS,
        completion: *mut PVOID,
    ) -> FLT_PREOP_CALLBACK_STATUS {
        // SAFETY: these are the Filter Manager's arguments to the callback.
        unsafe { F::run(data, objects, completion) }
    }
}

/// The body of a pre-operation callback, as a trait so that a callback has one bound.
pub(super) trait PreThunk<O: Operation> {
    /// # Safety
    ///
    /// The arguments are the Filter Manager's, of a pre-operation callback registered for `O`.
    unsafe fn run(
        data: PFLT_CALLBACK_DATA,
        objects: PCFLT_RELATED_OBJECTS,
        completion: *mut PVOID,
    ) -> FLT_PREOP_CALLBACK_STATUS;
}

/// Whether an operation may be synchronised: not a create, which the Filter Manager synchronises by
/// itself (a decision made for another operation could be handed out for one), and no read or write
/// that its caller does not wait for.
///
/// # Safety
///
/// `data` is the callback data of a running callback for `O`.
unsafe fn is_synchronizable<O: Operation>(data: PFLT_CALLBACK_DATA) -> bool {
    match O::MAJOR {
        sys::IRP_MJ_CREATE | sys::IRP_MJ_CREATE_NAMED_PIPE | sys::IRP_MJ_CREATE_MAILSLOT => false,
        sys::IRP_MJ_READ | sys::IRP_MJ_WRITE => {
            // SAFETY: the caller vouches for the data; the routine is legal at any IRQL.
            let synchronous = unsafe { sys::FltIsOperationSynchronous(data) };
            synchronous != 0
        }
        _ => true,
    }
}

/// What an operation that is to be completed with `status` is completed with: never "pending", for
/// nobody would complete it later, and a success where there is no failing.
fn last<O: Operation>(status: Status) -> Status {
    let cannot_fail = matches!(O::MAJOR, sys::IRP_MJ_CLEANUP | sys::IRP_MJ_CLOSE);
    match status {
        status if status.is_success() && status != Status::PENDING => status,
        _ if cannot_fail => Status::SUCCESS,
        Status::PENDING => Status::UNSUCCESSFUL,
        status => status,
    }
}

impl<O: Operation, F: PreOperation<O> + Registered> PreThunk<O> for F {
    unsafe fn run(
        data: PFLT_CALLBACK_DATA,
        objects: PCFLT_RELATED_OBJECTS,
        completion: *mut PVOID,
    ) -> FLT_PREOP_CALLBACK_STATUS {
        let mut operation = Pre::<F, O> {
            data,
            // SAFETY: the Filter Manager passes a valid structure that it does not change while
            // the callback runs; `operation` ends with this function.
            objects: unsafe { &*objects },
            // SAFETY: pre-operation callbacks run at APC_LEVEL or below.
            irql: unsafe { AtMostApc::assert() },
            typed: PhantomData,
        };
        let (status, payload) = match F::registered().state().pre(&mut operation).0 {
            // SAFETY: the callback data are those of this operation.
            Decision::Synchronize(payload) if unsafe { is_synchronizable::<O>(data) } => {
                (sys::FLT_PREOP_SYNCHRONIZE, Some(payload))
            }
            Decision::Callback(payload) | Decision::Synchronize(payload) => {
                (sys::FLT_PREOP_SUCCESS_WITH_CALLBACK, Some(payload))
            }
            Decision::Complete {
                status,
                information,
            } => {
                // SAFETY: the callback data are this operation's, and a filter that completes it
                // sets its outcome.
                let outcome = unsafe { &mut (*data).IoStatus };
                outcome.__bindgen_anon_1.Status = last::<O>(status).into_raw();
                outcome.Information = information as sys::ULONG_PTR;
                (sys::FLT_PREOP_COMPLETE, None)
            }
            Decision::DisallowFastIo if operation.is_fast_io() => {
                (sys::FLT_PREOP_DISALLOW_FASTIO, None)
            }
            Decision::NoCallback | Decision::DisallowFastIo => {
                (sys::FLT_PREOP_SUCCESS_NO_CALLBACK, None)
            }
        };
        let raw = payload.map_or(core::ptr::null_mut(), Completion::into_raw);
        // SAFETY: the Filter Manager passes a place for the completion context, which stays NULL
        // unless there is a call back.
        unsafe { completion.write(raw) };
        status
    }
}
