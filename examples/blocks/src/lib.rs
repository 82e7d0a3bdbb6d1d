//! `blocks`: a minifilter that remembers which blocks of each stream were written, which is what a
//! backup program asks for that copies only what has changed.
//!
//! The sample `ctx` shows every kind of context; this one shows a context that owns more memory
//! than its own. Each stream that is written has a context with [`Ranges`] on the heap, under a
//! spin lock, because writes complete at up to `DISPATCH_LEVEL`. Where memory is short it
//! remembers more than was written, and what it cannot remember at all it counts.
//!
//! Only writes are seen. A stream can change by a control code as well, by truncation or in a
//! transaction that is rolled back, which a product would have to follow too.
//!
//! When a stream's context ends, its changes are printed to the kernel debugger; when the driver
//! is unloaded, what was missed.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
// As a library the crate is loaded into a test process, whose standard library has the heap.
#[cfg(not(feature = "sys"))]
extern crate std;
// In the driver a panic, which neither this crate nor fltctx ever starts, is a bugcheck.
#[cfg(feature = "sys")]
extern crate wdk_panic as _;

mod ranges;

use core::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use fltctx::{lock::SpinLock, operation::parameters, prelude::*};
pub use ranges::{MOST, OutOfMemory, Ranges};

/// The driver's heap: nonpaged pool.
#[cfg(feature = "sys")]
#[global_allocator]
static HEAP: wdk_alloc::WdkAllocator = wdk_alloc::WdkAllocator;

/// Bytes in a block.
pub const BLOCK: u64 = 4096;

/// The driver.
#[derive(Default)]
pub struct Blocks {
    /// Writes that there was no memory to remember.
    missed: AtomicU64,
}

/// What of a stream has changed since this filter is attached.
pub struct Changes {
    blocks: SpinLock<Ranges>,
}

impl Context for Changes {
    type Kind = kind::Stream;
    // It holds a lock, and is read at DISPATCH_LEVEL.
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"BkSt");
}

contexts! { Blocks: Changes }

impl Minifilter for Blocks {
    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        Ok(Self::default())
    }
}

impl PreOperation<Write> for Blocks {
    type Completion = Option<Shared<Changes>>;

    /// Gets the context before the write, where that is legal; the handle goes along.
    fn pre(&self, write: &mut Pre<'_, Self, Write>) -> PreResult<Option<Shared<Changes>>> {
        let changes = write.slot::<Changes>().get_or_insert_with(|| Changes {
            blocks: SpinLock::new(Ranges::new()),
        });
        PreResult::callback(changes.ok())
    }
}

impl PostOperation<Write> for Blocks {
    fn post(&self, write: &mut Post<'_, Self, Write>, changes: Option<Shared<Changes>>) {
        if !write.status().is_success() {
            return;
        }
        let range = written(&write.parameters(), write.information());
        let remembered = changes.is_some_and(|changes| {
            let mut blocks = changes.blocks.lock(write.irql_mut());
            blocks.add(range).is_ok()
        });
        if !remembered {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        for range in self.blocks.get_mut().iter() {
            debug_print!("blocks: {}..{} changed", range.start, range.end);
        }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        debug_print!("blocks: {} writes missed", *self.missed.get_mut());
    }
}

/// The blocks that a write of so many bytes has changed.
fn written(write: &parameters::Write<'_>, bytes: usize) -> Range<u64> {
    // Less than zero is the end of the file, or wherever the file object was: all may have changed.
    let Ok(offset) = u64::try_from(write.byte_offset) else {
        return 0..u64::MAX;
    };
    let end = offset.saturating_add(bytes as u64);
    offset / BLOCK..end.div_ceil(BLOCK)
}

driver_entry!(Blocks, operations![Write]);
