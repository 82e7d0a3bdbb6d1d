//! `ctx`: a minifilter that keeps books on what happens to files.
//!
//! It uses all six kinds of context, each for what it is for:
//!
//! | kind | context | what it holds |
//! |---|---|---|
//! | volume | [`Mount`] | the volume's name and sector size |
//! | instance | [`Attachment`] | the file system below, what this instance saw, and under a push lock what was renamed last |
//! | file | [`File`] | opens and changes over all streams of a file, and its name, inline |
//! | stream | [`Traffic`] | bytes read and written, and opens |
//! | stream handle | [`Open`] | what one open did; owns its stream's and file's contexts |
//! | transaction | [`Changes`] | the streams that a transaction changed |
//!
//! When it is unloaded it prints the totals to the kernel debugger.

#![no_std]
#![forbid(unsafe_code)]

// As a library the crate is loaded into a test process, whose standard library handles panics.
#[cfg(not(feature = "sys"))]
extern crate std;
// In the driver a panic, which fltctx itself never starts, is a bugcheck.
#[cfg(feature = "sys")]
extern crate wdk_panic as _;

mod contexts;
mod directory;
mod instances;
mod open_close;
mod read_write;
mod set_information;
mod totals;
mod transactions;

pub use contexts::{Attachment, Changes, File, FileStats, LastRename, Mount, Open, Traffic};
use fltctx::prelude::*;
pub use totals::Totals;

/// The driver.
pub struct Ctx {
    totals: &'static Totals,
}

contexts! { Ctx: Mount, Attachment, File, Traffic, Open, Changes }

impl Minifilter for Ctx {
    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        totals::TOTALS.reset();
        debug_print!("ctx: loaded");
        Ok(Self {
            totals: &totals::TOTALS,
        })
    }

    fn instance_setup(&self, setup: &mut InstanceSetup<'_, Self>) -> Result<(), DoNotAttach> {
        instances::set_up(self, setup)
    }

    fn instance_teardown_complete(&self, teardown: &mut InstanceTeardown<'_, Self>) {
        instances::report(teardown);
    }

    fn transaction_notification(&self, notification: &mut TransactionNotification<'_, Self>) {
        transactions::ended(self, notification);
    }
}

impl Drop for Ctx {
    /// By now every context is gone, so the totals are final.
    fn drop(&mut self) {
        self.totals.print();
    }
}

driver_entry!(
    Ctx,
    operations![
        Create,
        Read,
        Write,
        SetInformation: safe,
        DirectoryControl: pre,
        Cleanup: pre,
        Close: pre,
    ]
);
