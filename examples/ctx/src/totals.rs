//! What the driver counts over its whole life.

use core::sync::atomic::{AtomicU64, Ordering};

use fltctx::debug_print;

/// The driver's only static: contexts are dropped without a way to the driver, so what they add
/// up to lives here.
pub(crate) static TOTALS: Totals = Totals::new();

macro_rules! totals {
    ($($(#[$meta:meta])* $name:ident: $text:literal;)*) => {
        /// Counters over the life of the driver.
        pub struct Totals {
            $($(#[$meta])* pub $name: AtomicU64,)*
        }

        impl Totals {
            const fn new() -> Self {
                Self { $($name: AtomicU64::new(0),)* }
            }

            /// Starts over, for a driver that is loaded again without a new image.
            pub(crate) fn reset(&self) {
                $(self.$name.store(0, Ordering::Relaxed);)*
            }

            /// Prints the counters to the kernel debugger, a line each.
            pub(crate) fn print(&self) {
                $(debug_print!(concat!("ctx: {} ", $text), self.$name.load(Ordering::Relaxed));)*
            }
        }
    };
}

totals! {
    /// Successful opens.
    opens: "opens";
    /// Opens that got no context, because the file has none or memory was short.
    untracked: "opens without a context";
    /// Streams whose context has ended.
    streams: "streams tracked";
    /// Bytes read from them.
    bytes_read: "bytes read";
    /// Bytes written to them.
    bytes_written: "bytes written";
    /// Reads of opens that have ended.
    reads: "reads";
    /// Writes of opens that have ended.
    writes: "writes";
    /// Renames.
    renames: "renames";
    /// Deletions asked for.
    deletions: "deletions";
    /// Directory listings.
    listings: "directory listings";
    /// Handles closed.
    cleanups: "handles closed";
    /// File objects ended.
    closes: "file objects ended";
    /// Transactions committed.
    commits: "transactions committed";
    /// Transactions rolled back.
    rollbacks: "transactions rolled back";
    /// Streams changed by transactions that committed.
    committed_streams: "streams changed by committed transactions";
}

impl Totals {
    pub(crate) fn add(counter: &AtomicU64, number: u64) {
        counter.fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn stream_ended(&self, read: u64, written: u64) {
        Self::add(&self.streams, 1);
        Self::add(&self.bytes_read, read);
        Self::add(&self.bytes_written, written);
    }

    pub(crate) fn open_ended(&self, reads: u32, writes: u32) {
        Self::add(&self.reads, u64::from(reads));
        Self::add(&self.writes, u64::from(writes));
    }
}
