//! Opening, closing and ending file objects.

use core::sync::atomic::Ordering;

use fltctx::{name::NameFormat, object::FileObject, prelude::*};

use crate::{Attachment, Ctx, File, FileStats, Open, Totals, Traffic};

impl PreOperation<Create> for Ctx {
    type Completion = Option<Unique<Open>>;

    /// The file is not known yet, but a context can be allocated already: then nothing can fail
    /// for want of memory once the file is open.
    fn pre(&self, create: &mut Pre<'_, Self, Create>) -> PreResult<Self::Completion> {
        if create.create_parameters().paging_file {
            return PreResult::no_callback();
        }
        PreResult::callback(create.filter().allocate(Open::default()).ok())
    }
}

impl PostOperation<Create> for Ctx {
    fn post(&self, create: &mut Post<'_, Self, Create>, open: Option<Unique<Open>>) {
        let Some(file) = create.opened() else {
            // The open failed: dropping the unset context releases it.
            return;
        };
        Totals::add(&self.totals.opens, 1);
        if let Ok(Some(attachment)) = create.slot::<Attachment>().get() {
            attachment.opens.fetch_add(1, Ordering::Relaxed);
        }
        if !open.is_some_and(|open| track(create, file, open)) {
            Totals::add(&self.totals.untracked, 1);
        }
    }
}

/// Attaches the open's context, with those of its stream and file. False when the file takes no
/// context.
fn track(
    create: &Post<'_, Ctx, Create>,
    file: FileObject<'_, Ctx>,
    mut open: Unique<Open>,
) -> bool {
    // Not every file has contexts, and that is not an error.
    open.traffic = file
        .slot::<Traffic>()
        .get_or_insert_with(Traffic::default)
        .ok();
    open.file = file
        .slot::<File>()
        .get_or_allocate_with(|filter| {
            let name = create.file_name(NameFormat::Opened)?;
            let units = name.full(create.irql()).units();
            Ok::<_, Status>(filter.allocate_with_slice(FileStats::default(), units)?)
        })
        .ok();
    if let Some(traffic) = &open.traffic {
        traffic.opens.fetch_add(1, Ordering::Relaxed);
    }
    if let Some(file) = &open.file {
        file.opens.fetch_add(1, Ordering::Relaxed);
    }
    file.slot::<Open>().set(open).is_ok()
}

impl PreOperation<Cleanup> for Ctx {
    type Completion = NoPostOperation;

    fn pre(&self, _cleanup: &mut Pre<'_, Self, Cleanup>) -> PreResult<NoPostOperation> {
        Totals::add(&self.totals.cleanups, 1);
        PreResult::no_callback()
    }
}

impl PreOperation<Close> for Ctx {
    type Completion = NoPostOperation;

    fn pre(&self, _close: &mut Pre<'_, Self, Close>) -> PreResult<NoPostOperation> {
        Totals::add(&self.totals.closes, 1);
        PreResult::no_callback()
    }
}
