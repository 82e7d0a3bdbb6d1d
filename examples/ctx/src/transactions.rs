//! Transactions: what they changed, and how they ended.

use core::sync::atomic::Ordering;

use fltctx::{irql::AtMostApc, object::Transaction, prelude::*};

use crate::{Changes, Ctx, Totals};

/// Counts a stream as changed by `transaction`, and enlists in it the first time.
pub(crate) fn count_stream(transaction: Transaction<'_, Ctx>, irql: &AtMostApc) {
    let ends = Notifications::COMMIT | Notifications::ROLLBACK;
    if let Ok(changes) = transaction.get_or_enlist_with(ends, Changes::default) {
        changes.at(irql).streams.fetch_add(1, Ordering::Relaxed);
    }
}

/// Books the end of a transaction.
pub(crate) fn ended(ctx: &Ctx, notification: &TransactionNotification<'_, Ctx>) {
    let streams = notification
        .context::<Changes>()
        .map_or(0, |changes| changes.streams.load(Ordering::Relaxed));
    match notification.phase() {
        Phase::Commit => {
            Totals::add(&ctx.totals.commits, 1);
            Totals::add(&ctx.totals.committed_streams, streams);
        }
        Phase::Rollback => Totals::add(&ctx.totals.rollbacks, 1),
        _ => {}
    }
}
