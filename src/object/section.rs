//! Sections for data scans (Windows 8 and later).

use core::{fmt, marker::PhantomData, mem::MaybeUninit, ptr::NonNull};

use fltmgr_sys as sys;

use super::{FileObject, Instance};
use crate::{
    Status,
    context::{Context, DeclaredBy, Shared, Unique},
    irql::Passive,
    kind,
    registration::Minifilter,
};

/// A section could not be created; its context is returned unattached.
pub struct SectionError<T: Context> {
    /// Why.
    pub failure: SectionFailure,
    /// The context that was to be attached.
    pub context: Unique<T>,
}

/// Why a section could not be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionFailure {
    /// The instance has a section on the stream already
    /// (`STATUS_FLT_CONTEXT_ALREADY_DEFINED`).
    AlreadyDefined,
    /// The stream is empty (`STATUS_END_OF_FILE`).
    Empty,
    /// It is a directory (`STATUS_FILE_IS_A_DIRECTORY`).
    Directory,
    /// A byte-range lock is in the way (`STATUS_FILE_LOCK_CONFLICT`).
    Locked,
    /// The instance has not registered for data scans (`STATUS_INVALID_PARAMETER`).
    NotRegistered,
    /// The volume does not support data scans (`STATUS_NOT_SUPPORTED`).
    NotSupported,
    /// There is no memory (`STATUS_INSUFFICIENT_RESOURCES`).
    NoMemory,
    /// Another status, e.g. `STATUS_INVALID_FILE_FOR_SECTION`.
    Other(Status),
}

impl<T: Context> fmt::Debug for SectionError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SectionError")
            .field("failure", &self.failure)
            .field("context", &self.context)
            .finish()
    }
}

impl<T: Context> From<SectionError<T>> for Status {
    fn from(error: SectionError<T>) -> Self {
        error.failure.status()
    }
}

impl<T: Context> fmt::Display for SectionError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the section could not be created: {}",
            self.failure.status()
        )
    }
}

impl From<SectionFailure> for Status {
    fn from(failure: SectionFailure) -> Self {
        failure.status()
    }
}

impl SectionFailure {
    /// The status behind it.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::AlreadyDefined => Status::CONTEXT_ALREADY_DEFINED,
            Self::Empty => Status::END_OF_FILE,
            Self::Directory => Status::FILE_IS_A_DIRECTORY,
            Self::Locked => Status::FILE_LOCK_CONFLICT,
            Self::NotRegistered => Status::INVALID_PARAMETER,
            Self::NotSupported => Status::NOT_SUPPORTED,
            Self::NoMemory => Status::INSUFFICIENT_RESOURCES,
            Self::Other(status) => status,
        }
    }

    fn new(status: Status) -> Self {
        match status {
            Status::CONTEXT_ALREADY_DEFINED => Self::AlreadyDefined,
            Status::END_OF_FILE => Self::Empty,
            Status::FILE_IS_A_DIRECTORY => Self::Directory,
            Status::FILE_LOCK_CONFLICT => Self::Locked,
            Status::INVALID_PARAMETER => Self::NotRegistered,
            Status::NOT_SUPPORTED => Self::NotSupported,
            Status::INSUFFICIENT_RESOURCES => Self::NoMemory,
            other => Self::Other(other),
        }
    }
}

impl<F: Minifilter> Instance<'_, F> {
    /// Registers the instance for data scans; once is enough, again does no harm.
    ///
    /// # Errors
    ///
    /// `STATUS_NOT_SUPPORTED` when the volume does not support data scans.
    ///
    /// DDI: `FltRegisterForDataScan`. IRQL: `PASSIVE_LEVEL`.
    pub fn register_for_data_scan(self, passive: &Passive) -> Result<(), Status> {
        let _ = passive;
        // SAFETY: the token proves the IRQL, and the view that the instance is alive.
        let status =
            Status::from_raw(unsafe { sys::FltRegisterForDataScan(self.objects.Instance) });
        if status.is_success() {
            Ok(())
        } else {
            Err(status)
        }
    }
}

impl<'a, F: Minifilter> FileObject<'a, F> {
    /// Creates a read-only section of the whole stream, for a scan of its data, and attaches
    /// `context` to the stream until the section is closed. The [`Section`] owns the reference that
    /// `context` had; the stream holds one of its own.
    ///
    /// While the section is open, operations that conflict with it are told to
    /// [`Minifilter::section_conflict`] - perhaps before this returns.
    ///
    /// # Errors
    ///
    /// `context` comes back in the error, unattached.
    ///
    /// DDI: `FltCreateSectionForDataScan`. IRQL: `PASSIVE_LEVEL`.
    pub fn create_section<T>(
        self,
        passive: &'a Passive,
        context: Unique<T>,
    ) -> Result<Section<'a, T>, SectionError<T>>
    where
        T: DeclaredBy<F> + Context<Kind = kind::Section>,
    {
        let _ = passive;
        if !self.present() {
            return Err(SectionError {
                failure: SectionFailure::NotSupported,
                context,
            });
        }
        let mut handle: sys::HANDLE = core::ptr::null_mut();
        let mut object: sys::PVOID = core::ptr::null_mut();
        let mut size = MaybeUninit::<sys::LARGE_INTEGER>::zeroed();
        #[allow(clippy::cast_possible_truncation, reason = "48 bytes")]
        let length = const { size_of::<sys::OBJECT_ATTRIBUTES>() as u32 };
        // Without them the handle would be one of the process whose thread this is, and that
        // process could use it and close it.
        let mut attributes = sys::OBJECT_ATTRIBUTES {
            Length: length,
            RootDirectory: core::ptr::null_mut(),
            ObjectName: core::ptr::null_mut(),
            Attributes: sys::OBJ_KERNEL_HANDLE,
            SecurityDescriptor: core::ptr::null_mut(),
            SecurityQualityOfService: core::ptr::null_mut(),
        };
        // SAFETY: the token proves the IRQL, the view that instance and file object, which are
        // there, are alive; `context` owns a reference to a section context of this filter that was
        // never used, the attributes are a kernel handle's, and the three results may be written.
        let status = Status::from_raw(unsafe {
            sys::FltCreateSectionForDataScan(
                self.objects.Instance,
                self.objects.FileObject,
                context.as_raw(),
                SECTION_MAP_READ | SECTION_QUERY,
                &raw mut attributes,
                core::ptr::null_mut(),
                sys::PAGE_READONLY,
                sys::SEC_COMMIT,
                0,
                &raw mut handle,
                &raw mut object,
                size.as_mut_ptr(),
            )
        });
        if !status.is_success() {
            return Err(SectionError {
                failure: SectionFailure::new(status),
                context,
            });
        }
        // SAFETY: all-zero is a valid value, which the call may have replaced.
        let size = unsafe { size.assume_init() };
        Ok(Section {
            context: context.into_shared(),
            handle,
            object,
            // SAFETY: the members of the union are views of the same 64 bits.
            size: unsafe { size.QuadPart },
            callback: PhantomData,
        })
    }

    /// Gets the context of the section that the instance has open on the stream, if it has one.
    /// The returned handle owns the reference.
    ///
    /// # Errors
    ///
    /// `STATUS_NOT_SUPPORTED` when the volume does not support data scans, or the operation has no
    /// file object.
    ///
    /// DDI: `FltGetSectionContext`. IRQL: at most `APC_LEVEL`, proved by the borrow.
    pub fn section_context<T>(self) -> Result<Option<Shared<T>>, Status>
    where
        T: DeclaredBy<F> + Context<Kind = kind::Section>,
    {
        if !self.present() {
            return Err(Status::NOT_SUPPORTED);
        }
        let mut raw: sys::PFLT_CONTEXT = sys::NULL_CONTEXT;
        // SAFETY: the borrow proves the IRQL and that both objects, which are there, are alive; the
        // result may be written.
        let status = Status::from_raw(unsafe {
            sys::FltGetSectionContext(self.objects.Instance, self.objects.FileObject, &raw mut raw)
        });
        match status {
            // SAFETY: on success `raw` is this filter's section context with a reference for the
            // caller, and `T` is the only type that the filter declared for the kind.
            success if success.is_success() => Ok(unsafe { Shared::from_returned(raw) }),
            Status::NOT_FOUND => Ok(None),
            other => Err(other),
        }
    }
}

/// May be mapped for reading.
const SECTION_MAP_READ: sys::ACCESS_MASK = 0x0004;
/// May be queried.
const SECTION_QUERY: sys::ACCESS_MASK = 0x0001;

/// An open section of a stream, for the duration of a callback. Dropping it closes it: the
/// context is detached, the handle closed and the object released, in that order.
///
/// IRQL: `PASSIVE_LEVEL`, because it borrows that token.
///
/// DDI: `FltCloseSectionForDataScan`, `ZwClose`, `ObDereferenceObject`.
///
/// # Invariants
///
/// `context` was passed to a successful `FltCreateSectionForDataScan` and has not been closed;
/// `handle` and `object` are what it returned, each owned by this value.
pub struct Section<'a, T: Context> {
    context: Shared<T>,
    handle: sys::HANDLE,
    object: sys::PVOID,
    size: i64,
    /// Bound to the callback and its thread, where the IRQL is `PASSIVE_LEVEL`.
    callback: PhantomData<(&'a Passive, *mut ())>,
}

impl<T: Context> Section<'_, T> {
    /// The section's context.
    #[must_use]
    pub fn context(&self) -> &Shared<T> {
        &self.context
    }

    /// Bytes in the stream when the section was created.
    #[must_use]
    pub fn size(&self) -> i64 {
        self.size
    }

    /// Maps the whole section into system space, to be read.
    ///
    /// # Errors
    ///
    /// The status of `MmMapViewInSystemSpace`, e.g. `STATUS_INSUFFICIENT_RESOURCES` when there is
    /// no room.
    ///
    /// DDI: `MmMapViewInSystemSpace`. IRQL: `PASSIVE_LEVEL`.
    pub fn map(&self) -> Result<View<'_>, Status> {
        let mut base: sys::PVOID = core::ptr::null_mut();
        let mut size: sys::SIZE_T = 0;
        // SAFETY: by the invariant the object is alive; both results may be written.
        let status = Status::from_raw(unsafe {
            sys::MmMapViewInSystemSpace(self.object, &raw mut base, &raw mut size)
        });
        match NonNull::new(base.cast::<u8>()) {
            Some(base) if status.is_success() => Ok(View {
                base,
                // The size of the stream and that of the section were not read at one moment.
                // INVARIANT: no more than was mapped.
                length: usize::try_from(self.size)
                    .unwrap_or(0)
                    .min(usize::try_from(size).unwrap_or(usize::MAX)),
                section: PhantomData,
            }),
            _ if status.is_success() => Err(Status::UNSUCCESSFUL),
            _ => Err(status),
        }
    }
}

impl<T: Context> Drop for Section<'_, T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant the section is open, and `context` owns a reference; the value
        // is bound to a callback at PASSIVE_LEVEL. A failure leaves nothing to undo.
        let _ = unsafe { sys::FltCloseSectionForDataScan(self.context.as_raw()) };
        // SAFETY: by the invariant the handle is this value's.
        let _ = unsafe { sys::ZwClose(self.handle) };
        // SAFETY: by the invariant the reference to the object is this value's.
        let _ = unsafe { sys::ObfDereferenceObject(self.object) };
    }
}

/// A section mapped into system space; unmapped on drop.
///
/// The stream may change under the mapping, so its bytes are copied out, never borrowed.
///
/// DDI: `MmUnmapViewInSystemSpace`.
///
/// # Invariants
///
/// `base` is what `MmMapViewInSystemSpace` returned, with at least `length` bytes behind it.
pub struct View<'a> {
    base: NonNull<u8>,
    length: usize,
    section: PhantomData<(&'a (), *mut ())>,
}

impl View<'_> {
    /// Bytes in the view.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Copies bytes from `offset` on into `buffer`, and says how many there were.
    ///
    /// What is not in memory is read from the file system. When that fails, the memory manager
    /// raises an exception, which C drivers catch with `__try` and Rust cannot: the machine stops.
    pub fn read(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let count = self.length.saturating_sub(offset).min(buffer.len());
        // The end does not saturate unless there is nothing to read.
        let range = offset..offset.saturating_add(count);
        for (place, at) in buffer.iter_mut().zip(range) {
            // SAFETY: `at` is less than `length`, so by the invariant within the mapping.
            let byte = unsafe { self.base.add(at) };
            // SAFETY: as above; another thread may write to the stream meanwhile, so the byte is
            // read volatile and no reference is made to it.
            *place = unsafe { byte.read_volatile() };
        }
        count
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        // SAFETY: by the invariant the view is mapped, and this value unmaps it once.
        let _ = unsafe { sys::MmUnmapViewInSystemSpace(self.base.as_ptr().cast()) };
    }
}
