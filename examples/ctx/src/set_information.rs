//! Renames, deletions and resizes.
//!
//! What happens afterwards takes a push lock and gets a context, so it runs as a safe
//! post-operation: at once where the IRQL allows it, from a worker thread otherwise.

use fltctx::prelude::*;

use crate::{Attachment, Ctx, Open, Totals};

impl PreOperation<SetInformation> for Ctx {
    type Completion = Option<Shared<Open>>;

    fn pre(&self, set: &mut Pre<'_, Self, SetInformation>) -> PreResult<Option<Shared<Open>>> {
        PreResult::callback(set.slot::<Open>().get().ok().flatten())
    }
}

impl SafePostOperation<SetInformation> for Ctx {
    fn safe_post(&self, set: &mut SafePost<'_, Self, SetInformation>, open: Option<Shared<Open>>) {
        if !set.status().is_success() {
            return;
        }
        let class = set.parameters().class;
        if class.is_disposition() {
            Totals::add(&self.totals.deletions, 1);
        }
        if class.is_rename() {
            Totals::add(&self.totals.renames, 1);
            note_rename(set, open.as_deref());
        }
        if let Some(open) = open {
            open.count_change();
        }
    }
}

/// Writes down which file was renamed, in the books of the instance.
fn note_rename(set: &SafePost<'_, Ctx, SetInformation>, open: Option<&Open>) {
    let (Some(attachment),) = set.contexts::<(Attachment,)>() else {
        return;
    };
    let mut last = attachment.last_rename.write(set.irql());
    last.count += 1;
    last.file = open.and_then(|open| open.file.clone());
}
