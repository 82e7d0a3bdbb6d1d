//! What became of a machine.

use crate::manager::statistics::Statistics;
use crate::verifier::{Leak, Report};

/// What became of a machine.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What drivers left behind.
    pub leaks: Vec<Leak>,
    /// Rules that they broke.
    pub violations: Vec<Report>,
    /// What would have stopped a real machine.
    pub bugchecks: Vec<Report>,
    /// All counters.
    pub statistics: Statistics,
}

impl Outcome {
    /// Whether there is nothing to complain about.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.leaks.is_empty() && self.violations.is_empty() && self.bugchecks.is_empty()
    }
}
