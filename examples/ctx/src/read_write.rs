//! Reading and writing.
//!
//! Contexts are looked up before the operation, where that is legal, and the handle goes along
//! as the payload: after it the IRQL may be `DISPATCH_LEVEL`, where a nonpaged context can still
//! be read, and released.

use core::sync::atomic::Ordering;

use fltctx::prelude::*;

use crate::{Ctx, Open, transactions};

impl PreOperation<Read> for Ctx {
    type Completion = Shared<Open>;

    fn pre(&self, read: &mut Pre<'_, Self, Read>) -> PreResult<Shared<Open>> {
        match read.slot::<Open>().get() {
            Ok(Some(open)) => PreResult::callback(open),
            Ok(None) | Err(_) => PreResult::no_callback(),
        }
    }
}

impl PostOperation<Read> for Ctx {
    fn post(&self, read: &mut Post<'_, Self, Read>, open: Shared<Open>) {
        if read.status().is_success() {
            open.count_read(read.information());
        }
    }
}

impl PreOperation<Write> for Ctx {
    type Completion = Shared<Open>;

    fn pre(&self, write: &mut Pre<'_, Self, Write>) -> PreResult<Shared<Open>> {
        let Ok(Some(open)) = write.slot::<Open>().get() else {
            return PreResult::no_callback();
        };
        if let Some(transaction) = write.transaction()
            && !open.in_transaction.swap(true, Ordering::Relaxed)
        {
            transactions::count_stream(transaction, write.irql());
        }
        PreResult::callback(open)
    }
}

impl PostOperation<Write> for Ctx {
    fn post(&self, write: &mut Post<'_, Self, Write>, open: Shared<Open>) {
        if write.status().is_success() {
            open.count_write(write.information());
        }
    }
}
