//! Attaching to volumes.

use core::sync::atomic::Ordering;

use fltctx::prelude::*;

use crate::{Attachment, Ctx, Mount};

/// Attaches to every volume, and leaves a volume and an instance context there.
pub(crate) fn set_up(_ctx: &Ctx, setup: &InstanceSetup<'_, Ctx>) -> Result<(), DoNotAttach> {
    let volume = setup.volume();
    // The volume context belongs to the filter, not to this instance: another instance on the
    // same volume finds it here.
    volume.slot::<Mount>().get_or_insert_with(|| Mount {
        name: volume.name().ok(),
        sector_size: volume
            .properties()
            .map_or(0, |properties| properties.sector_size),
    })?;
    setup
        .instance()
        .slot::<Attachment>()
        .get_or_allocate_with(|filter| {
            filter.allocate_in_place(Attachment::recipe(setup.file_system_type()))
        })?;
    Ok(())
}

/// Prints what an instance saw.
pub(crate) fn report(teardown: &InstanceTeardown<'_, Ctx>) {
    let Ok(Some(attachment)) = teardown.instance().slot::<Attachment>().get() else {
        return;
    };
    let Ok(Some(mount)) = teardown.volume().slot::<Mount>().get() else {
        return;
    };
    if let Some(name) = &mount.name {
        debug_print!(
            "ctx: {name} (file system type {}, {}-byte sectors): {} opens, {} directory listings",
            attachment.file_system_type,
            mount.sector_size,
            attachment.opens.load(Ordering::Relaxed),
            attachment.listings.load(Ordering::Relaxed)
        );
    }
    // The handle in the lock is dropped here: a context that keeps another would keep it for as
    // long as it lives itself.
    let last = core::mem::take(&mut *attachment.last_rename.write(teardown.irql()));
    if let Some(file) = last.file {
        debug_print!(
            "ctx: {} renames, the last of {}",
            last.count,
            fltctx::name::Utf16::from(file.slice())
        );
    }
}
