//! How a machine is set up, and which way it goes where the documents leave a choice.

use crate::filesystem::TeardownPolicy;
use crate::io::Completion;
use fltmgr_sys::{
    NTSTATUS, STATUS_FLT_INVALID_CONTEXT_REGISTRATION, STATUS_FLT_MUST_BE_NONPAGED_POOL,
};
use std::time::Duration;

/// Which Windows a machine behaves like, where versions differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WindowsVersion {
    /// No section contexts, no data scans.
    Windows7,
    /// Contexts are never zeroed.
    Windows10,
    /// Variable-size contexts are zeroed.
    Windows11,
}

/// What happens when a driver does what would stop a real machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bugcheck {
    /// It is recorded, and the offending call has no effect.
    Record,
    /// The report goes to standard error and the process aborts.
    Panic,
}

/// In which order contexts go when several go at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Shuffled by the machine's seed.
    Seeded,
    /// By kind, volume contexts first, and by age within a kind.
    Ascending,
    /// The opposite of [`Order::Ascending`].
    Descending,
}

/// When the context of a transaction that has ended loses its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionEnd {
    /// One of the others, by the machine's seed.
    Seeded,
    /// Before commit or rollback returns.
    Immediate,
    /// Later, from the work queue.
    Worker,
    /// When the machine settles or the filter is unregistered.
    Pump,
}

/// Choices that the documents leave open or contradict each other about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an independent knob with a name of its own"
)]
pub struct Policies {
    /// `FltReleaseContexts` is limited to `APC_LEVEL`, as the header says; otherwise it is
    /// legal at `DISPATCH_LEVEL` when every member came from nonpaged pool.
    pub release_contexts_at_apc: bool,
    /// the data-scan functions are limited to `PASSIVE_LEVEL`, as the header says.
    pub data_scan_at_passive: bool,
    /// an entry without an allocate callback needs a pool tag.
    pub pool_tag_required: bool,
    /// what allocating a volume context from paged pool returns; `STATUS_SUCCESS` serves it
    /// from nonpaged pool.
    pub paged_volume_context: NTSTATUS,
    /// a context that was linked once may be set again after it was unlinked.
    pub set_after_unlink: bool,
    /// deleting by object succeeds inside `InstanceTeardownStart`.
    pub delete_in_teardown_start: bool,
    /// `FltDeleteFileContext` also fails while the instance is being torn down.
    pub delete_file_fails_in_teardown: bool,
    /// a transaction has one context slot an instance; otherwise one a filter.
    pub transaction_slot_per_instance: bool,
    /// what `FltRegisterFilter` returns for a bad context array.
    pub invalid_registration: NTSTATUS,
    /// the order in which contexts go at teardown.
    pub order: Order,
    /// when the context of an ended transaction goes.
    pub transaction_end: TransactionEnd,
    /// When a stream that nobody holds open goes; `None` takes the machine's seed.
    pub stream_teardown: Option<TeardownPolicy>,
    /// How the file system completes what a driver asks of it asynchronously; `None` takes the
    /// machine's seed.
    pub asynchronous_io: Option<Completion>,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            release_contexts_at_apc: true,
            data_scan_at_passive: true,
            pool_tag_required: true,
            paged_volume_context: STATUS_FLT_MUST_BE_NONPAGED_POOL,
            set_after_unlink: false,
            delete_in_teardown_start: true,
            delete_file_fails_in_teardown: true,
            transaction_slot_per_instance: true,
            invalid_registration: STATUS_FLT_INVALID_CONTEXT_REGISTRATION,
            order: Order::Seeded,
            transaction_end: TransactionEnd::Seeded,
            stream_teardown: None,
            asynchronous_io: None,
        }
    }
}

/// The settings of a machine.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) seed: u64,
    pub(crate) windows: WindowsVersion,
    pub(crate) strict: bool,
    pub(crate) poison: bool,
    pub(crate) unload_wait: Duration,
    pub(crate) bugcheck: Bugcheck,
    pub(crate) backtraces: bool,
    pub(crate) policies: Policies,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            windows: WindowsVersion::Windows11,
            strict: true,
            poison: true,
            unload_wait: Duration::from_secs(2),
            bugcheck: Bugcheck::Record,
            backtraces: false,
            policies: Policies::default(),
        }
    }
}

impl Config {
    /// Drives every choice that neither the documents nor a policy make.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Which Windows to behave like.
    #[must_use]
    pub fn windows(mut self, windows: WindowsVersion) -> Self {
        self.windows = windows;
        self
    }

    /// Whether what is only doubtful is reported too (on by default).
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Whether contexts are filled with a pattern when they are allocated and when they are freed
    /// (on by default). Otherwise a recycled context still holds what the previous one left.
    #[must_use]
    pub fn poison(mut self, poison: bool) -> Self {
        self.poison = poison;
        self
    }

    /// How long `FltUnregisterFilter` waits for the last progress before it reports leaks.
    #[must_use]
    pub fn unload_wait(mut self, unload_wait: Duration) -> Self {
        self.unload_wait = unload_wait;
        self
    }

    /// What happens at a bugcheck.
    #[must_use]
    pub fn bugcheck(mut self, bugcheck: Bugcheck) -> Self {
        self.bugcheck = bugcheck;
        self
    }

    /// Whether reports carry a backtrace. Slow.
    #[must_use]
    pub fn backtraces(mut self, backtraces: bool) -> Self {
        self.backtraces = backtraces;
        self
    }

    /// The choices that the documents leave open.
    #[must_use]
    pub fn policies(mut self, policies: Policies) -> Self {
        self.policies = policies;
        self
    }
}
