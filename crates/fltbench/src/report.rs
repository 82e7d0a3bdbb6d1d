//! What a run found out: as JSON, and as text for people.

use crate::scan::Skipped;
use comfy_table::{Cell, CellAlignment, Table, presets};
use fltsim::verifier::{Leak, Report as Finding, Severity};
use fltsim::{ContextKind, KindStatistics, Outcome, Statistics};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// The one object that `--json` prints. The keys come in this order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The name of the driver.
    pub driver: String,
    /// The door that it came through.
    pub door: String,
    /// Files under the directory that were opened and read to their end.
    pub files: u64,
    /// Bytes that were read from them.
    pub bytes_read: u64,
    /// Operations that entered the volumes' filter stacks, by major function code.
    pub operations: BTreeMap<String, u64>,
    /// What the contexts did.
    pub contexts: Contexts,
    /// What the driver left behind.
    pub leaks: Vec<LeakEntry>,
    /// Which rules it broke, and which expectations of the workload.
    pub violations: Vec<Violation>,
    /// Seconds from loading the driver to its last word.
    pub elapsed_s: f64,
    /// What stopped the driver, if it did not come to its end. All counts are those of that moment
    /// then; if there are none, the machine could not be asked any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
}

/// A bugcheck, with where it happened. Numbers of 64 bits are strings like `"0x1f"`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// The bugcheck code.
    pub code: u32,
    /// What documents call it.
    pub name: String,
    /// Its parameters.
    pub parameters: [String; 4],
    /// What happened, in a sentence.
    pub what: String,
    /// The image that it happened in; none if that was code of the simulated kernel.
    pub image: Option<String>,
    /// Where it happened.
    pub address: String,
    /// Where that is in the image.
    pub offset: Option<String>,
    /// The IRQL at that moment.
    pub irql: u8,
    /// The registers by name.
    pub registers: BTreeMap<String, String>,
    /// The frames, the innermost first.
    pub backtrace: Vec<Frame>,
}

/// One frame of a backtrace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The image that it is in; none if that is the simulated kernel.
    pub image: Option<String>,
    /// Where it is.
    pub address: String,
    /// Where that is in the image.
    pub offset: Option<String>,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.image, &self.offset) {
            (Some(image), Some(offset)) => write!(f, "{image}+{offset}"),
            _ => write!(f, "{} (simulated kernel)", self.address),
        }
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameters = self.parameters.join(", ");
        writeln!(
            f,
            "*** STOP: {:#010X} ({parameters}): {}",
            self.code, self.name
        )?;
        let place = Frame {
            image: self.image.clone(),
            address: self.address.clone(),
            offset: self.offset.clone(),
        };
        writeln!(f, "{}", self.what)?;
        writeln!(f, "at {place}, IRQL {}", self.irql)?;
        for (index, (name, value)) in self.registers.iter().enumerate() {
            let end = if index % 4 == 3 { "\n" } else { "" };
            write!(f, "  {name:>6} {value:<18}{end}")?;
        }
        writeln!(f)?;
        for frame in &self.backtrace {
            writeln!(f, "    {frame}")?;
        }
        Ok(())
    }
}

/// A row for each kind of context.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contexts {
    /// One for a filter on a volume.
    pub volume: Counts,
    /// One for an instance.
    pub instance: Counts,
    /// One for an instance on a file.
    pub file: Counts,
    /// One for an instance on a stream.
    pub stream: Counts,
    /// One for an instance on a file object.
    pub stream_handle: Counts,
    /// One for an instance in a transaction.
    pub transaction: Counts,
    /// One for an instance on a stream that is being scanned; absent unless there was one.
    #[serde(default, skip_serializing_if = "Counts::is_empty")]
    pub section: Counts,
}

/// The contexts of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Allocated altogether.
    pub allocated: u64,
    /// Freed altogether.
    pub freed: u64,
    /// The most that existed at one time.
    pub peak: u64,
    /// Those that exist still.
    pub live: u64,
}

/// Something that a driver left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeakEntry {
    /// What sort of object.
    pub object: String,
    /// The kind, if it is a context.
    pub kind: Option<String>,
    /// Its size in bytes, 0 if it has none.
    pub size: usize,
    /// References that were not released.
    pub count: u64,
    /// Which calls took how many references.
    pub acquired: BTreeMap<String, u64>,
    /// The verifier's own words.
    pub message: String,
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The verifier's number for it, or `workload` if the workload's expectations were not met.
    pub rule: String,
    /// The code with which a real machine would have stopped, if it would have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bugcheck: Option<u32>,
    /// The function that was called, if one was.
    pub call: String,
    /// The verifier's own words.
    pub message: String,
}

impl Contexts {
    /// The kinds by name, in their order.
    #[must_use]
    pub fn rows(&self) -> Vec<(&'static str, Counts)> {
        let mut rows = vec![
            ("volume", self.volume),
            ("instance", self.instance),
            ("file", self.file),
            ("stream", self.stream),
            ("stream handle", self.stream_handle),
            ("transaction", self.transaction),
        ];
        if !self.section.is_empty() {
            rows.push(("section", self.section));
        }
        rows
    }
}

impl From<&Statistics> for Contexts {
    fn from(statistics: &Statistics) -> Self {
        let of = |kind| statistics.contexts.get(&kind).map(Counts::from);
        let of = |kind| of(kind).unwrap_or_default();
        Self {
            volume: of(ContextKind::Volume),
            instance: of(ContextKind::Instance),
            file: of(ContextKind::File),
            stream: of(ContextKind::Stream),
            stream_handle: of(ContextKind::StreamHandle),
            transaction: of(ContextKind::Transaction),
            section: of(ContextKind::Section),
        }
    }
}

impl Counts {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl From<&KindStatistics> for Counts {
    fn from(statistics: &KindStatistics) -> Self {
        Self {
            allocated: statistics.allocated,
            freed: statistics.freed,
            peak: statistics.peak,
            live: statistics.live,
        }
    }
}

impl From<&Leak> for LeakEntry {
    fn from(leak: &Leak) -> Self {
        Self {
            object: leak.object.to_owned(),
            kind: leak.kind.map(|kind| kind.name().to_owned()),
            size: leak.size,
            count: leak.count,
            acquired: leak
                .acquired
                .iter()
                .map(|(call, count)| ((*call).to_owned(), *count))
                .collect(),
            message: leak.to_string(),
        }
    }
}

impl From<&Finding> for Violation {
    fn from(finding: &Finding) -> Self {
        Self {
            rule: format!("{:?}", finding.rule),
            bugcheck: match finding.severity {
                Severity::Bugcheck { code, .. } => Some(code),
                _ => None,
            },
            call: finding.call.to_owned(),
            message: finding.to_string(),
        }
    }
}

impl Violation {
    /// The driver did not come to its end.
    #[must_use]
    pub fn of_stop(stopped: &Stopped) -> Self {
        Self {
            rule: "bugcheck".to_owned(),
            bugcheck: Some(stopped.code),
            call: String::new(),
            message: format!("{}: {}", stopped.name, stopped.what),
        }
    }

    /// The workload expected something else.
    #[must_use]
    pub fn of_workload(message: String) -> Self {
        Self {
            rule: "workload".to_owned(),
            bugcheck: None,
            call: String::new(),
            message,
        }
    }
}

impl Report {
    /// Takes over what the machine has counted.
    pub(crate) fn count(&mut self, statistics: &Statistics) {
        let operations = statistics.operations.iter();
        self.operations = operations
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect();
        self.contexts = Contexts::from(statistics);
    }

    /// Takes over what the machine says at its end.
    pub(crate) fn take(&mut self, outcome: &Outcome) {
        self.count(&outcome.statistics);
        self.leaks.extend(outcome.leaks.iter().map(LeakEntry::from));
        let broken = outcome.bugchecks.iter().chain(&outcome.violations);
        self.violations.extend(broken.map(Violation::from));
    }

    /// Whether nothing leaked, no rule was broken, and no context is left.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let live = self.contexts.rows().iter().any(|(_, row)| row.live > 0);
        self.leaks.is_empty() && self.violations.is_empty() && !live
    }

    /// The table of contexts.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["context", "allocated", "freed", "peak", "live"]);
        for (kind, row) in self.contexts.rows() {
            let counts = [row.allocated, row.freed, row.peak, row.live];
            let mut cells = vec![Cell::new(kind)];
            cells.extend(counts.map(|n| Cell::new(n).set_alignment(CellAlignment::Right)));
            table.add_row(cells);
        }
        table.to_string()
    }

    /// The whole report for people; the verdict is the last line.
    #[must_use]
    pub fn text(&self, directories: u64, skipped: &Skipped, debug_output: &[String]) -> String {
        let mut text = String::new();
        // A run that stopped has not counted them.
        let place = match directories {
            0 => String::new(),
            count => format!(" in {count} directories"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} ({}): {} files{place}, {} read, {} operations, {:.1} s",
            self.driver,
            self.door,
            self.files,
            bytes(self.bytes_read),
            self.operations.values().sum::<u64>(),
            self.elapsed_s,
        );
        text.push_str(&skips(skipped));
        if !debug_output.is_empty() {
            text.push('\n');
            for line in debug_output {
                let _ = writeln!(text, "  {}", line.trim_end());
            }
        }
        if let Some(stopped) = &self.stopped {
            let _ = write!(text, "\n{stopped}");
        }
        let _ = write!(text, "\n{}\n\n", self.table());
        for leak in &self.leaks {
            let _ = writeln!(text, "leaked {}", leak.message);
        }
        for violation in &self.violations {
            let _ = writeln!(text, "{}", violation.message);
        }
        let verdict = if let Some(stopped) = &self.stopped {
            format!(
                "NOT CLEAN: the driver stopped the machine, {:#010X} {}; the counts are those of \
                 that moment",
                stopped.code, stopped.name
            )
        } else if self.is_clean() {
            "clean: nothing leaked, no rule broken".to_owned()
        } else {
            let live: u64 = self.contexts.rows().iter().map(|(_, row)| row.live).sum();
            format!(
                "NOT CLEAN: {} leaks, {} violations, {live} live contexts",
                self.leaks.len(),
                self.violations.len()
            )
        };
        let _ = writeln!(text, "{verdict}");
        text
    }
}

/// A line on what was skipped; empty if nothing was.
#[must_use]
pub fn skips(skipped: &Skipped) -> String {
    if skipped.total() == 0 {
        return String::new();
    }
    let reasons: Vec<String> = skipped
        .reasons()
        .map(|(why, count, first)| format!("{count} {why} (first: {})", first.display()))
        .collect();
    format!("skipped {}: {}\n", skipped.total(), reasons.join("; "))
}

fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Skip;
    use std::path::Path;

    fn report() -> Report {
        Report {
            driver: "ctx".to_owned(),
            door: "in-process".to_owned(),
            ..Report::default()
        }
    }

    #[test]
    fn the_keys_come_in_the_promised_order() {
        let counts = r#"{"allocated":0,"freed":0,"peak":0,"live":0}"#;
        let expected = format!(
            "{{\"driver\":\"ctx\",\"door\":\"in-process\",\"files\":0,\"bytes_read\":0,\
             \"operations\":{{}},\"contexts\":{{\"volume\":{counts},\"instance\":{counts},\
             \"file\":{counts},\"stream\":{counts},\"stream_handle\":{counts},\
             \"transaction\":{counts}}},\"leaks\":[],\"violations\":[],\"elapsed_s\":0.0}}"
        );
        assert_eq!(serde_json::to_string(&report()).unwrap(), expected);
        assert_eq!(serde_json::from_str::<Report>(&expected).unwrap(), report());
    }

    #[test]
    fn a_live_context_is_not_clean() {
        let mut report = report();
        assert!(report.is_clean());
        report.contexts.stream.live = 1;
        assert!(!report.is_clean());
        let text = report.text(1, &Skipped::default(), &[]);
        assert!(text.ends_with("NOT CLEAN: 0 leaks, 0 violations, 1 live contexts\n"));
    }

    #[test]
    fn what_was_skipped_is_told_with_its_reason() {
        let mut skipped = Skipped::default();
        assert_eq!(skips(&skipped), "");
        skipped.add(Skip::Pipe, Path::new("one"));
        skipped.add(Skip::Pipe, Path::new("two"));
        assert_eq!(skips(&skipped), "skipped 2: 2 named pipes (first: one)\n");
        assert!(report().text(1, &skipped, &[]).contains("skipped 2"));
    }
}
