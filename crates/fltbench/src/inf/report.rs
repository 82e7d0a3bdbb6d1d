//! What a check says, for people and for programs.

use super::finding::{Finding, Severity};
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;

/// A file that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Checked {
    /// The file, as it was named.
    pub file: String,
    /// How many findings are errors.
    pub errors: usize,
    /// How many are warnings.
    pub warnings: usize,
    /// All of them, by line.
    pub findings: Vec<Finding>,
}

impl Checked {
    pub(crate) fn new(path: &Path, findings: Vec<Finding>) -> Self {
        let count = |severity| {
            let all = findings.iter();
            all.filter(|finding| finding.severity == severity).count()
        };
        Self {
            file: path.display().to_string(),
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            findings,
        }
    }

    /// One line for each finding, and one for all.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let Finding {
                line,
                severity,
                rule,
                infverif,
                message,
            } = finding;
            let number = infverif.map(|number| format!(", InfVerif {number}"));
            let number = number.unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{}:{line}: {}: {message} [{rule}{number}]",
                self.file,
                severity.name()
            );
        }
        let plural = |count: usize, what: &str| match count {
            0 => format!("no {what}s"),
            1 => format!("1 {what}"),
            more => format!("{more} {what}s"),
        };
        let verdict = match (self.errors, self.warnings) {
            (0, 0) => "clean",
            (0, _) => "usable",
            _ => "NOT USABLE",
        };
        let (errors, warnings) = (
            plural(self.errors, "error"),
            plural(self.warnings, "warning"),
        );
        let _ = writeln!(text, "{verdict}: {errors}, {warnings}");
        text
    }
}
