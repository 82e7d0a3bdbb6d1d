//! What the verifier says.

use crate::manager::context::ContextKind;
use fltmgr_sys::{KIRQL, NonPagedPool, POOL_TYPE, PagedPool};
use std::fmt;

/// The rule that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// An argument is not what the function takes, a pointer to another kind of object mostly.
    V0,
    /// The last reference was released while the context was linked.
    V1,
    /// A context was used after it was freed.
    V2,
    /// A reference on a context was left when the filter unregistered.
    V3,
    /// As [`Rule::V3`], and the context was never set: the usual case is a failed set.
    V4,
    /// As [`Rule::V3`], and the reference came from an `OldContext` parameter.
    V5,
    /// A function was called above its maximum IRQL.
    V6,
    /// A context from paged pool was referenced or released at `DISPATCH_LEVEL`.
    V7,
    /// A volume context from paged pool, or a pool type that does not exist.
    V8,
    /// A context that is linked, or was linked once, was set.
    V9,
    /// A context was deleted that was never set, or that is a section context.
    V10,
    /// A context of a file object that does not support it: pre-create, post-close, paging file.
    V11,
    /// A post-operation callback at `DISPATCH_LEVEL` did what needs a lower level, or postponed
    /// what cannot be.
    V12,
    /// A completion context that nobody will get.
    V13,
    /// A structure that `FltGetContexts` did not fill in was released.
    V14,
    /// A context of another kind or of another filter was set.
    V15,
    /// A context was read before it was written.
    V16,
    /// A data-scan section was left open, closed twice or deleted.
    V17,
    /// A transaction notification was not completed, or completed without need.
    V18,
    /// A cleanup callback did what cannot end well.
    V19,
    /// A reference on a filter, instance, volume or other object was left at unload.
    V20,
    /// The context registration breaks the rules of its table.
    V21,
    /// A result that must be inspected was not.
    V22,
    /// A lock was not initialised, not held when it was released, held when it was deleted, freed
    /// or kept past the callback, or acquired by a thread that would wait for itself.
    V23,
    /// A communication port or an extra create parameter was made or used wrongly: without a
    /// callback, with a NULL that must not be, after it was closed, while it is in a list.
    V24,
}

/// How bad it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Severity {
    /// A real machine would have stopped.
    Bugcheck {
        /// The bugcheck code.
        code: u32,
        /// Its four parameters.
        parameters: [u64; 4],
    },
    /// The driver broke a rule.
    Violation,
    /// Something was left behind.
    Leak(Leak),
}

/// Something that a driver left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// What sort of object.
    pub object: &'static str,
    /// The kind, if it is a context.
    pub kind: Option<ContextKind>,
    /// The pool that it lies in, if it is a context or pool memory.
    pub pool: Option<POOL_TYPE>,
    /// Its size in bytes, if it has one.
    pub size: usize,
    /// References that were not released.
    pub count: u64,
    /// Its address.
    pub address: usize,
    /// Which calls took how many references, the released ones included.
    pub acquired: Vec<(&'static str, u64)>,
    /// What is remarkable about it.
    pub note: String,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => write!(f, "{} {}", kind.name(), self.object)?,
            None => f.write_str(self.object)?,
        }
        write!(f, " {:#x}: RefCount {}", self.address, self.count)?;
        if self.size > 0 {
            write!(f, ", {} bytes", self.size)?;
        }
        if let Some(pool) = self.pool {
            write!(f, " of {}", pool_name(pool))?;
        }
        let mut separator = ", acquired by ";
        for (call, count) in &self.acquired {
            write!(f, "{separator}{call} x{count}")?;
            separator = ", ";
        }
        if !self.note.is_empty() {
            write!(f, " ({})", self.note)?;
        }
        Ok(())
    }
}

fn pool_name(pool: POOL_TYPE) -> &'static str {
    if pool == PagedPool {
        "paged pool"
    } else if pool == NonPagedPool {
        "nonpaged pool"
    } else {
        "nonpaged NX pool"
    }
}

/// One thing that the verifier noticed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The rule that was broken.
    pub rule: Rule,
    /// How bad it is.
    pub severity: Severity,
    /// What happened, in a sentence.
    pub message: String,
    /// The function that was called.
    pub call: &'static str,
    /// The IRQL at that moment.
    pub irql: KIRQL,
    /// Where it happened, if the machine collects backtraces.
    pub backtrace: Option<String>,
}

impl Report {
    /// Whether a real machine would have stopped.
    #[must_use]
    pub fn is_bugcheck(&self) -> bool {
        matches!(self.severity, Severity::Bugcheck { .. })
    }

    /// What was left behind, if this is about that.
    #[must_use]
    pub fn leak(&self) -> Option<&Leak> {
        match &self.severity {
            Severity::Leak(leak) => Some(leak),
            _ => None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.severity {
            Severity::Bugcheck { code, parameters } => {
                let [one, two, three, four] = parameters;
                write!(
                    f,
                    "*** STOP: {code:#010X} ({one:#x}, {two:#x}, {three:#x}, {four:#x}): "
                )?;
            }
            Severity::Violation => f.write_str("FILTER VERIFIER ERROR: ")?,
            Severity::Leak(_) => f.write_str("FILTER VERIFIER ERROR: leaked ")?,
        }
        f.write_str(&self.message)?;
        if !self.call.is_empty() {
            write!(f, " [{} at IRQL {}, {:?}]", self.call, self.irql, self.rule)?;
        }
        if let Some(backtrace) = &self.backtrace {
            write!(f, "\n{backtrace}")?;
        }
        Ok(())
    }
}
