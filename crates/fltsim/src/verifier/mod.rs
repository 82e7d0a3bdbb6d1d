//! The verifier: which rules a driver broke, and what it left behind.

pub(crate) mod irql_table;
mod report;

pub use report::{Leak, Report, Rule, Severity};

use crate::config::Bugcheck;
use crate::kernel::irql;
use parking_lot::Mutex;
use std::backtrace::Backtrace;

/// `FLTMGR_FILE_SYSTEM`.
pub const FLTMGR_FILE_SYSTEM: u32 = 0xF5;
/// First parameter of `FLTMGR_FILE_SYSTEM`: a post-operation callback that does not exist.
pub const NO_POST_OPERATION: u64 = 0x66;
/// First parameter of `FLTMGR_FILE_SYSTEM`: name information dereferenced too often.
pub const NAME_OVER_RELEASE: u64 = 0x68;
/// First parameter of `FLTMGR_FILE_SYSTEM`: the last reference on a linked context was released.
pub const CONTEXT_OVER_RELEASE: u64 = 0x6D;
/// First parameter of `FLTMGR_FILE_SYSTEM`: a freed context was used.
pub const CONTEXT_USE_AFTER_FREE: u64 = 0x6E;

/// The reports of one machine.
#[derive(Debug)]
pub struct Verifier {
    reports: Mutex<Vec<Report>>,
    bugcheck: Bugcheck,
    backtraces: bool,
}

impl Verifier {
    pub(crate) fn new(bugcheck: Bugcheck, backtraces: bool) -> Self {
        Self {
            reports: Mutex::default(),
            bugcheck,
            backtraces,
        }
    }

    /// Writes a report down.
    pub(crate) fn report(
        &self,
        rule: Rule,
        severity: Severity,
        call: &'static str,
        message: impl Into<String>,
    ) {
        let report = Report {
            rule,
            severity,
            message: message.into(),
            call,
            irql: irql::current(),
            backtrace: self
                .backtraces
                .then(|| Backtrace::force_capture().to_string()),
        };
        if report.is_bugcheck() && self.bugcheck == Bugcheck::Panic {
            eprintln!("{report}");
            std::process::abort();
        }
        self.reports.lock().push(report);
    }

    /// Writes a broken rule down.
    pub(crate) fn violation(&self, rule: Rule, call: &'static str, message: impl Into<String>) {
        self.report(rule, Severity::Violation, call, message);
    }

    /// Stops the machine, as far as the settings let it.
    pub(crate) fn bugcheck(
        &self,
        rule: Rule,
        parameters: [u64; 4],
        call: &'static str,
        message: impl Into<String>,
    ) {
        let severity = Severity::Bugcheck {
            code: FLTMGR_FILE_SYSTEM,
            parameters,
        };
        self.report(rule, severity, call, message);
    }

    /// Writes down what was left behind.
    pub(crate) fn leak(&self, rule: Rule, call: &'static str, leak: Leak) {
        let message = leak.to_string();
        self.report(rule, Severity::Leak(leak), call, message);
    }

    /// All reports since the last [`Verifier::take_reports`].
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        self.reports.lock().clone()
    }

    /// All reports, which are then forgotten.
    pub fn take_reports(&self) -> Vec<Report> {
        std::mem::take(&mut *self.reports.lock())
    }

    /// Only broken rules: neither bugchecks nor leaks.
    #[must_use]
    pub fn violations(&self) -> Vec<Report> {
        self.only(|severity| matches!(severity, Severity::Violation))
    }

    /// Only bugchecks.
    #[must_use]
    pub fn bugchecks(&self) -> Vec<Report> {
        self.only(|severity| matches!(severity, Severity::Bugcheck { .. }))
    }

    /// Only what was left behind.
    #[must_use]
    pub fn leaks(&self) -> Vec<Leak> {
        let reports = self.reports.lock();
        reports
            .iter()
            .filter_map(|report| report.leak().cloned())
            .collect()
    }

    /// The report that a real Filter Verifier would print when a filter unloads.
    #[must_use]
    pub fn leak_summary(&self, filter: &str) -> Option<String> {
        let leaks = self.leaks();
        if leaks.is_empty() {
            return None;
        }
        let mut text = format!(
            "FILTER VERIFIER ERROR: A filter ({filter}) leaked references to the following resources:"
        );
        for leak in leaks {
            text.push_str("\n  ");
            text.push_str(&leak.to_string());
        }
        Some(text)
    }

    fn only(&self, wanted: impl Fn(&Severity) -> bool) -> Vec<Report> {
        let reports = self.reports.lock();
        reports
            .iter()
            .filter(|report| wanted(&report.severity))
            .cloned()
            .collect()
    }
}
