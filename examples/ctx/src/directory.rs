//! Directory listings.

use core::sync::atomic::Ordering;

use fltctx::{operation::parameters, prelude::*};

use crate::{Attachment, Ctx, Totals};

impl PreOperation<DirectoryControl> for Ctx {
    type Completion = NoPostOperation;

    fn pre(&self, control: &mut Pre<'_, Self, DirectoryControl>) -> PreResult<NoPostOperation> {
        if matches!(
            control.parameters(),
            parameters::DirectoryControl::Query { .. }
        ) {
            Totals::add(&self.totals.listings, 1);
            if let Ok(Some(attachment)) = control.slot::<Attachment>().get() {
                attachment.listings.fetch_add(1, Ordering::Relaxed);
            }
        }
        PreResult::no_callback()
    }
}
