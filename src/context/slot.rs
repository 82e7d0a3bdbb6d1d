//! The place on an object where a context of one type goes.

use core::{fmt, marker::PhantomData};

use fltmgr_sys as sys;
use sys::{FLT_RELATED_OBJECTS, PFLT_CONTEXT};

use super::{
    Context, DeclaredBy,
    error::{DeleteError, GetError, InsertError, SetError, SetFailure},
    handle::{Shared, Unique},
    kind::Attach,
};
use crate::{Status, object::Filter, registration::Minifilter};

/// What a successful [`Slot::replace`] left behind.
pub struct Replaced<T: Context> {
    /// The context that is attached now.
    pub new: Shared<T>,
    /// The context that was attached before, now detached.
    pub old: Option<Shared<T>>,
}

impl<T: Context> fmt::Debug for Replaced<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replaced")
            .field("new", &self.new)
            .field("old", &self.old)
            .finish()
    }
}

/// A context that was there, or that this call attached.
pub(crate) enum Obtained<T: Context> {
    Found(Shared<T>),
    Inserted(Shared<T>),
}

impl<T: Context> Obtained<T> {
    pub(crate) fn into_shared(self) -> Shared<T> {
        match self {
            Self::Found(context) | Self::Inserted(context) => context,
        }
    }
}

/// The place on a volume, instance, file, stream, stream handle or transaction where the filter
/// `F` attaches a context of type `T`.
///
/// A slot is got from a callback's object (e.g. [`Pre::slot`](crate::operation::Pre::slot)) and
/// borrows from it, so it cannot outlive the callback and cannot be used while the IRQL is
/// raised. There is at most one context in it; every verb below is atomic.
///
/// IRQL of every verb: at most `APC_LEVEL`, which the borrow proves.
pub struct Slot<'a, F: Minifilter, T: Context> {
    objects: &'a FLT_RELATED_OBJECTS,
    typed: PhantomData<fn() -> (F, T)>,
}

impl<F: Minifilter, T: Context> Clone for Slot<'_, F, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: Minifilter, T: Context> Copy for Slot<'_, F, T> {}

impl<'a, F, T> Slot<'a, F, T>
where
    F: Minifilter,
    T: DeclaredBy<F>,
    T::Kind: Attach,
{
    /// # Safety
    ///
    /// `objects` are those of a running callback of `F` and stay valid for `'a`, during which the
    /// IRQL is at most `APC_LEVEL`.
    pub(crate) unsafe fn new(objects: &'a FLT_RELATED_OBJECTS) -> Self {
        Self {
            objects,
            typed: PhantomData,
        }
    }

    /// Whether the object has contexts of this kind at all.
    ///
    /// DDI: `FltSupportsFileContextsEx`, `FltSupportsStreamContexts`,
    /// `FltSupportsStreamHandleContexts`; the other kinds are always supported.
    #[must_use]
    pub fn supported(self) -> bool {
        // SAFETY: `Slot::new` was promised live objects and the IRQL; `present` checked that the
        // members are there.
        T::Kind::present(self.objects) && unsafe { T::Kind::supports(self.objects) } != 0
    }

    /// Gets the context, if there is one. The returned handle owns the reference.
    ///
    /// # Errors
    ///
    /// [`GetError::NotSupported`] when the object has no contexts of this kind.
    ///
    /// DDI: `FltGetVolumeContext` and its siblings.
    pub fn get(self) -> Result<Option<Shared<T>>, GetError> {
        if !T::Kind::present(self.objects) {
            return Err(GetError::NotSupported);
        }
        let mut raw: PFLT_CONTEXT = sys::NULL_CONTEXT;
        // SAFETY: `Slot::new` was promised live objects and the IRQL, the members that the kind
        // uses are there, and `raw` may be written.
        let status = Status::from_raw(unsafe { T::Kind::get(self.objects, &raw mut raw) });
        match status {
            // SAFETY: on success `raw` is this filter's context of this kind with a reference for
            // the caller, and `T` is the only type that the filter declared for the kind.
            success if success.is_success() => Ok(unsafe { Shared::from_returned(raw) }),
            Status::NOT_FOUND => Ok(None),
            other => Err(GetError::new(other)),
        }
    }

    /// Attaches `context` unless there is one already.
    ///
    /// The reference of `context` becomes the returned handle's; the object holds one of its own.
    ///
    /// # Errors
    ///
    /// `context` comes back in the error, still unset. [`SetFailure::AlreadyDefined`] carries the
    /// context that is there; [`SetFailure::NotSupported`] and [`SetFailure::Deleting`] say that
    /// this object takes none.
    ///
    /// DDI: `FltSetVolumeContext` and its siblings, with `FLT_SET_CONTEXT_KEEP_IF_EXISTS`.
    pub fn set(self, context: Unique<T>) -> Result<Shared<T>, SetError<T>> {
        self.attach(sys::FLT_SET_CONTEXT_KEEP_IF_EXISTS, context)
            .map(|replaced| replaced.new)
    }

    /// Attaches `context` and detaches the one that was there, if any, which is returned.
    ///
    /// The reference of `context` becomes that of [`Replaced::new`]; the reference that the object
    /// held on the old context becomes that of [`Replaced::old`].
    ///
    /// # Errors
    ///
    /// As for [`Slot::set`], except that there is no [`SetFailure::AlreadyDefined`].
    ///
    /// DDI: `FltSetVolumeContext` and its siblings, with `FLT_SET_CONTEXT_REPLACE_IF_EXISTS`.
    pub fn replace(self, context: Unique<T>) -> Result<Replaced<T>, SetError<T>> {
        self.attach(sys::FLT_SET_CONTEXT_REPLACE_IF_EXISTS, context)
    }

    fn attach(
        self,
        operation: sys::FLT_SET_CONTEXT_OPERATION,
        context: Unique<T>,
    ) -> Result<Replaced<T>, SetError<T>> {
        if !T::Kind::present(self.objects) {
            return Err(SetError {
                failure: SetFailure::NotSupported,
                context,
            });
        }
        let mut old: PFLT_CONTEXT = sys::NULL_CONTEXT;
        // SAFETY: `Slot::new` was promised live objects and the IRQL, the members that the kind
        // uses are there, `context` owns a reference to an unset context of this kind, and `old`
        // may be written.
        let status = Status::from_raw(unsafe {
            T::Kind::set(self.objects, operation, context.as_raw(), &raw mut old)
        });
        // SAFETY: whatever the status, a non-NULL old context is this filter's context of this
        // kind, so a `T`, with a reference for the caller.
        let old = unsafe { Shared::from_returned(old) };
        // Whatever success it is, the object has the context now, and other threads may.
        if status.is_success() {
            Ok(Replaced {
                new: context.into_shared(),
                old,
            })
        } else {
            Err(SetError {
                failure: SetFailure::new(status, old),
                context,
            })
        }
    }

    /// Gets the context, or attaches one made of `value()`. The returned handle owns a reference.
    ///
    /// When two threads race, both get the same context: the loser's value is dropped. `value`
    /// runs at most once, and not at all when there is a context.
    ///
    /// # Errors
    ///
    /// [`InsertError::NotSupported`] and [`InsertError::Deleting`] say that this object takes no
    /// context; [`InsertError::NoMemory`] returns the value.
    ///
    /// DDI: `FltGetVolumeContext`, `FltAllocateContext`, `FltSetVolumeContext` and their
    /// siblings.
    pub fn get_or_insert_with(
        self,
        value: impl FnOnce() -> T,
    ) -> Result<Shared<T>, InsertError<T>> {
        self.obtain(value).map(Obtained::into_shared)
    }

    /// Gets the context, or attaches one that `make` allocates: for contexts of variable size,
    /// members of a family and values that are built in place. The returned handle owns a
    /// reference.
    ///
    /// When two threads race, both get the same context: the loser's is dropped. `make` runs at
    /// most once, and not at all when there is a context.
    ///
    /// # Errors
    ///
    /// The status of whichever step failed: `STATUS_NOT_SUPPORTED` and
    /// `STATUS_FLT_DELETING_OBJECT` when this object takes no context, or what `make` returned.
    ///
    /// DDI: as for [`Slot::get_or_insert_with`].
    pub fn get_or_allocate_with<E: Into<Status>>(
        self,
        make: impl FnOnce(Filter<'a, F>) -> Result<Unique<T>, E>,
    ) -> Result<Shared<T>, Status> {
        self.obtain_with(|filter| make(filter).map_err(Into::into))
            .map(Obtained::into_shared)
    }

    /// [`Slot::get_or_insert_with`] that tells which of the two it was.
    pub(crate) fn obtain(self, value: impl FnOnce() -> T) -> Result<Obtained<T>, InsertError<T>> {
        self.obtain_with(|filter| filter.allocate(value()).map_err(InsertError::from))
    }

    /// Gets the context, or attaches the one that `make` allocates; the one place that knows what
    /// to do when another thread was faster.
    fn obtain_with<E>(
        self,
        make: impl FnOnce(Filter<'a, F>) -> Result<Unique<T>, E>,
    ) -> Result<Obtained<T>, E>
    where
        E: From<GetError> + From<SetFailure<T>>,
    {
        if let Some(existing) = self.get()? {
            return Ok(Obtained::Found(existing));
        }
        let context = make(self.filter())?;
        match self.set(context) {
            Ok(set) => Ok(Obtained::Inserted(set)),
            Err(SetError {
                failure: SetFailure::AlreadyDefined(winner),
                ..
            }) => Ok(Obtained::Found(winner)),
            Err(error) => Err(error.failure.into()),
        }
    }

    /// Allocates a context for this slot without attaching it. The returned handle owns the only
    /// reference.
    ///
    /// # Errors
    ///
    /// As for [`Filter::allocate`].
    ///
    /// DDI: `FltAllocateContext`.
    pub fn allocate(self, value: T) -> Result<Unique<T>, super::AllocateError<T>> {
        self.filter().allocate(value)
    }

    /// Detaches the context and returns it, if there is one. The reference that the object held
    /// becomes the returned handle's.
    ///
    /// # Errors
    ///
    /// [`DeleteError::NotSupported`] when the object has no contexts of this kind,
    /// [`DeleteError::Deleting`] when it is being torn down and will detach its contexts itself.
    ///
    /// DDI: `FltDeleteVolumeContext` and its siblings, with an old context.
    pub fn remove(self) -> Result<Option<Shared<T>>, DeleteError> {
        let mut old: PFLT_CONTEXT = sys::NULL_CONTEXT;
        let deleted = self.detach(&raw mut old);
        // SAFETY: whatever the status, a non-NULL old context is this filter's context of this
        // kind, so a `T`, with a reference for the caller.
        let old = unsafe { Shared::from_returned(old) };
        Ok(if deleted? { old } else { None })
    }

    /// Detaches the context and releases the reference that the object held. True when there was
    /// one.
    ///
    /// # Errors
    ///
    /// As for [`Slot::remove`].
    ///
    /// DDI: `FltDeleteVolumeContext` and its siblings, without an old context.
    pub fn delete(self) -> Result<bool, DeleteError> {
        self.detach(core::ptr::null_mut())
    }

    fn detach(self, old: *mut PFLT_CONTEXT) -> Result<bool, DeleteError> {
        if !T::Kind::present(self.objects) {
            return Err(DeleteError::NotSupported);
        }
        // SAFETY: `Slot::new` was promised live objects and the IRQL, the members that the kind
        // uses are there, and `old` is NULL or may be written.
        match Status::from_raw(unsafe { T::Kind::delete(self.objects, old) }) {
            success if success.is_success() => Ok(true),
            Status::NOT_FOUND => Ok(false),
            other => Err(DeleteError::new(other)),
        }
    }

    fn filter(self) -> Filter<'a, F> {
        // SAFETY: the promise made to `Slot::new` covers what a `Filter` asks for.
        unsafe { Filter::new(self.objects) }
    }
}
