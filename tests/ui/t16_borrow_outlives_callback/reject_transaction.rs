//! T-16: a volume, instance, file object or transaction is borrowed from its callback and ends with it.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::{object::Transaction, prelude::*};

fn keep<'a>(
    notification: &'a TransactionNotification<'a, Example>,
) -> Transaction<'static, Example> {
    notification.transaction()
}

fn main() {}
