//! How far the workload has come.

use fltsim::Machine;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Somebody who watches the workload.
pub trait Progress {
    /// The machine is set up, and the driver is about to start.
    fn machine(&self, machine: &Machine) {
        let _ = machine;
    }

    /// It is known how much there is to do.
    fn begin(&self, files: u64, bytes: u64);

    /// One more file is done.
    fn file(&self);

    /// So many more bytes were read.
    fn bytes(&self, count: u64);

    /// Something else begins.
    fn stage(&self, what: &str);

    /// It is over, whatever came of it.
    fn end(&self);
}

/// Nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _files: u64, _bytes: u64) {}
    fn file(&self) {}
    fn bytes(&self, _count: u64) {}
    fn stage(&self, _what: &str) {}
    fn end(&self) {}
}

/// How many bytes of progress opening and closing a file counts for, so that a tree of many small
/// files moves the bar too.
const FILE_WEIGHT: u64 = 16 * 1024;

/// A bar on standard error, if that is a terminal; nothing otherwise.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
}

impl Default for Bar {
    fn default() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        // A template that does not parse would only look different; the default is good enough.
        if let Ok(style) =
            ProgressStyle::with_template("{msg:10} [{wide_bar}] {percent:>3}% {elapsed}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar }
    }
}

impl Progress for Bar {
    fn begin(&self, files: u64, bytes: u64) {
        self.bar.set_length(bytes + files * FILE_WEIGHT);
    }

    fn file(&self) {
        self.bar.inc(FILE_WEIGHT);
    }

    fn bytes(&self, count: u64) {
        self.bar.inc(count);
    }

    fn stage(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
