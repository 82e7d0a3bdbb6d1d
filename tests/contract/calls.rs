//! More functions of the Filter Manager as safe calls, and closures in the place of routines.
//!
//! They are safe for the same reason as those of the harness: the emulator looks every pointer up.

use crate::harness::{Ctx, Fixture, Post};
use fltmgr_sys::*;
use std::collections::HashMap;
use std::ptr::null_mut;
use std::sync::{LazyLock, Mutex, PoisonError};

type SafePost = Box<dyn FnOnce(&Post) -> FLT_POSTOP_CALLBACK_STATUS + Send>;
type Routine = Box<dyn FnOnce() + Send>;

/// What is to run when it is safe, by the address of the related objects that go with it.
static SAFE: LazyLock<Mutex<HashMap<usize, SafePost>>> = LazyLock::new(Mutex::default);

/// Takes the closure and the objects of one `FltDoCompletionProcessingWhenSafe` back.
fn take_safe(objects: *mut FLT_RELATED_OBJECTS) -> Option<(SafePost, FLT_RELATED_OBJECTS)> {
    let mut table = SAFE.lock().unwrap_or_else(PoisonError::into_inner);
    let run = table.remove(&(objects as usize))?;
    drop(table);
    // SAFETY: `when_safe` made the box, and the entry of the table was there only once.
    let objects = unsafe { Box::from_raw(objects) };
    Some((run, *objects))
}

fltapi! {
    unsafe fn safe_post(
        data: PFLT_CALLBACK_DATA,
        objects: PCFLT_RELATED_OBJECTS,
        context: PVOID,
        flags: FLT_POST_OPERATION_FLAGS,
    ) -> FLT_POSTOP_CALLBACK_STATUS {
        match take_safe(objects.cast_mut()) {
            Some((run, objects)) => run(&Post { data, objects, context, flags }),
            None => FLT_POSTOP_FINISHED_PROCESSING,
        }
    }

    unsafe fn work(item: PFLT_GENERIC_WORKITEM, _object: PVOID, context: PVOID) {
        // SAFETY: `queue_work` made the box, and a queued item runs once.
        let run = unsafe { Box::from_raw(context.cast::<Routine>()) };
        run();
        // SAFETY: allocated in `queue_work`; a work item may be freed in its own routine.
        unsafe { FltFreeGenericWorkItem(item) };
    }
}

/// `FltDoCompletionProcessingWhenSafe`: what it returned, and the status that it wrote.
///
/// The closure must not panic: it runs in a callback that nobody guards.
pub(crate) fn when_safe(
    post: &Post,
    run: impl FnOnce(&Post) -> FLT_POSTOP_CALLBACK_STATUS + Send + 'static,
) -> (bool, FLT_POSTOP_CALLBACK_STATUS) {
    // The copy outlives the callback that asks.
    let objects = Box::into_raw(Box::new(post.objects));
    let mut table = SAFE.lock().unwrap_or_else(PoisonError::into_inner);
    table.insert(objects as usize, Box::new(run));
    drop(table);
    let mut status = -1;
    // SAFETY: the arguments are those of a post-operation callback; the last is a local variable.
    let answer = unsafe {
        FltDoCompletionProcessingWhenSafe(
            post.data,
            objects,
            post.context,
            post.flags,
            Some(safe_post),
            &raw mut status,
        )
    };
    if answer == 0 {
        drop(take_safe(objects));
    }
    (answer != 0, status)
}

/// Queues a generic work item for an object. The closure must not panic.
pub(crate) fn queue_work<T>(object: *mut T, run: impl FnOnce() + Send + 'static) -> NTSTATUS {
    let routine: Routine = Box::new(run);
    let context = Box::into_raw(Box::new(routine));
    // SAFETY: takes nothing.
    let item = unsafe { FltAllocateGenericWorkItem() };
    // SAFETY: the routine gets the box as its context, exactly once if this succeeds.
    let status = unsafe {
        FltQueueGenericWorkItem(
            item,
            object.cast(),
            Some(work),
            DelayedWorkQueue,
            context.cast(),
        )
    };
    if !nt_success(status) {
        // SAFETY: nothing was queued, so the box is still this function's.
        drop(unsafe { Box::from_raw(context) });
    }
    status
}

/// `FltCompletePendedPreOperation` without a completion context.
pub(crate) fn complete_pended_pre(data: PFLT_CALLBACK_DATA, status: FLT_PREOP_CALLBACK_STATUS) {
    // SAFETY: the emulator looks the callback data up.
    unsafe { FltCompletePendedPreOperation(data, status, null_mut()) };
}

/// The functions that answer a pended notification, and the one that rolls back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    PrePrepare,
    Prepare,
    Commit,
    CommitFinalize,
    Rollback,
    RollbackEnlistment,
}

impl Answer {
    pub(crate) const ALL: [Self; 6] = [
        Self::PrePrepare,
        Self::Prepare,
        Self::Commit,
        Self::CommitFinalize,
        Self::Rollback,
        Self::RollbackEnlistment,
    ];

    /// Calls it without a context.
    pub(crate) fn call(self, instance: PFLT_INSTANCE, transaction: PKTRANSACTION) -> NTSTATUS {
        let context = NULL_CONTEXT;
        match self {
            // SAFETY: the emulator looks both objects up; the context is optional.
            Self::PrePrepare => unsafe { FltPrePrepareComplete(instance, transaction, context) },
            // SAFETY: as above.
            Self::Prepare => unsafe { FltPrepareComplete(instance, transaction, context) },
            // SAFETY: as above.
            Self::Commit => unsafe { FltCommitComplete(instance, transaction, context) },
            // SAFETY: as above.
            Self::CommitFinalize => unsafe {
                FltCommitFinalizeComplete(instance, transaction, context)
            },
            // SAFETY: as above.
            Self::Rollback => unsafe { FltRollbackComplete(instance, transaction, context) },
            // SAFETY: as above.
            Self::RollbackEnlistment => unsafe {
                FltRollbackEnlistment(instance, transaction, context)
            },
        }
    }
}

/// `FltRegisterForDataScan`.
pub(crate) fn register_for_data_scan(instance: PFLT_INSTANCE) -> NTSTATUS {
    // SAFETY: the emulator looks the instance up.
    unsafe { FltRegisterForDataScan(instance) }
}

/// A section for a data scan, as the driver that created it owns it.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) handle: HANDLE,
    pub(crate) object: PVOID,
}

/// The arguments of `FltCreateSectionForDataScan` that decide what it makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SectionArguments {
    pub(crate) protection: ULONG,
    pub(crate) attributes: ULONG,
    pub(crate) handle: *mut HANDLE,
    pub(crate) object: *mut PVOID,
    pub(crate) size: *mut LARGE_INTEGER,
}

impl SectionArguments {
    /// Arguments that are right, with nowhere to write the results.
    pub(crate) const fn new() -> Self {
        Self {
            protection: PAGE_READONLY,
            attributes: SEC_COMMIT,
            handle: null_mut(),
            object: null_mut(),
            size: null_mut(),
        }
    }
}

/// The attributes of an object without a name, whose handle belongs to the kernel.
fn kernel_handle() -> OBJECT_ATTRIBUTES {
    OBJECT_ATTRIBUTES {
        Length: u32::try_from(size_of::<OBJECT_ATTRIBUTES>()).expect("48 bytes"),
        RootDirectory: null_mut(),
        ObjectName: null_mut(),
        Attributes: OBJ_KERNEL_HANDLE,
        SecurityDescriptor: null_mut(),
        SecurityQualityOfService: null_mut(),
    }
}

/// `FltCreateSectionForDataScan` with any arguments.
pub(crate) fn create_section_with(
    instance: PFLT_INSTANCE,
    file: PFILE_OBJECT,
    context: PFLT_CONTEXT,
    arguments: SectionArguments,
) -> NTSTATUS {
    let mut attributes = kernel_handle();
    // SAFETY: the emulator looks the objects up; the results go to places of the caller.
    unsafe {
        FltCreateSectionForDataScan(
            instance,
            file,
            context,
            FILE_GENERIC_READ,
            &raw mut attributes,
            null_mut(),
            arguments.protection,
            arguments.attributes,
            0,
            arguments.handle,
            arguments.object,
            arguments.size,
        )
    }
}

/// `FltCreateSectionForDataScan` with arguments that are right.
pub(crate) fn create_section(
    instance: PFLT_INSTANCE,
    file: PFILE_OBJECT,
    context: PFLT_CONTEXT,
) -> (NTSTATUS, Section) {
    let mut section = Section {
        handle: null_mut(),
        object: null_mut(),
    };
    let arguments = SectionArguments {
        handle: &raw mut section.handle,
        object: &raw mut section.object,
        ..SectionArguments::new()
    };
    let status = create_section_with(instance, file, context, arguments);
    (status, section)
}

/// `FltCloseSectionForDataScan`.
pub(crate) fn close_section(context: PFLT_CONTEXT) -> NTSTATUS {
    // SAFETY: the emulator looks the context up.
    unsafe { FltCloseSectionForDataScan(context) }
}

#[cfg(target_arch = "x86_64")]
unsafe extern "win64" {
    fn ZwClose(handle: HANDLE) -> NTSTATUS;
    fn ObfDereferenceObject(object: PVOID) -> isize;
}

#[cfg(not(target_arch = "x86_64"))]
unsafe extern "system" {
    fn ZwClose(handle: HANDLE) -> NTSTATUS;
    fn ObfDereferenceObject(object: PVOID) -> isize;
}

impl Section {
    /// Ends the scan and gives the handle and the object back, as the driver that owns them.
    pub(crate) fn close(self, fixture: &Fixture, context: &Ctx) {
        assert_eq!(close_section(context.pointer()), STATUS_SUCCESS);
        self.give_back(fixture);
    }

    /// Gives the handle and the object back.
    pub(crate) fn give_back(self, fixture: &Fixture) {
        fixture.machine.at_irql(PASSIVE_LEVEL, || {
            // SAFETY: the emulator looks the handle up.
            let closed = unsafe { ZwClose(self.handle) };
            assert_eq!(closed, STATUS_SUCCESS);
            // SAFETY: the emulator looks the object up.
            unsafe { ObfDereferenceObject(self.object) };
        });
    }
}
