//! The INF of a minifilter: whether it is right, and what it puts into the registry.
//!
//! [`check`] holds a file against the rules that Microsoft's documentation and `InfVerif` have for
//! minifilters. A run takes the service key from the same model.

mod addreg;
mod decoration;
mod finding;
mod groups;
mod model;
mod report;
mod rules;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod service;
mod strings;
mod syntax;
#[cfg(test)]
mod tests;
mod text;

pub use finding::{Finding, Severity};
pub use report::Checked;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use service::Inf;

use crate::error::Error;
use finding::{Findings, Rule};
use model::Model;
use std::path::Path;
use std::{fs, io};
use syntax::Document;

/// Larger files are no INFs.
const LARGEST: u64 = 1 << 18;

/// What stampinf replaces in an `.inx`, and what is put there to read on.
const PLACEHOLDERS: [(&str, &str, &str); 4] = [
    ("$ARCH$", "amd64", "the architecture (-a)"),
    ("$KMDFVERSION$", "1.33", "the framework's version (-k)"),
    ("$UMDFVERSION$", "2.33", "the framework's version (-u)"),
    (
        "$KMDFCOINSTALLERVERSION$",
        "01033",
        "the framework's version (-k)",
    ),
];

/// Checks a file. One whose name ends with `.inx` is an INF before stampinf.
///
/// # Errors
/// The file cannot be read.
pub fn check(path: &Path) -> Result<Checked, Error> {
    let bytes = read(path)?;
    let findings = judge(&bytes, is_inx(path));
    Ok(Checked::new(path, findings))
}

fn is_inx(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("inx"))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |source| Error::Inf {
        path: path.to_owned(),
        what: format!("cannot be read: {source}"),
    };
    let file = fs::metadata(path).map_err(unreadable)?;
    if !file.is_file() || file.len() > LARGEST {
        let what = format!("a directory, or {} bytes: no INF", file.len());
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidData, what)));
    }
    fs::read(path).map_err(unreadable)
}

fn judge(bytes: &[u8], inx: bool) -> Vec<Finding> {
    let mut findings = Findings::default();
    let document = parse(bytes, inx, &mut findings);
    rules::check(&Model::new(&document), inx, &mut findings);
    findings.sorted()
}

fn parse(bytes: &[u8], inx: bool, findings: &mut Findings) -> Document {
    let mut text = text::decode(bytes, findings);
    for (placeholder, instead, what) in PLACEHOLDERS {
        let Some(at) = text.find(placeholder) else {
            continue;
        };
        let line = 1 + text[..at].matches('\n').count();
        if inx {
            let what = format!("{placeholder} is filled in by stampinf: {what}; read as {instead}");
            findings.add(Rule::Stamped, line, what);
        } else {
            let what =
                format!("{placeholder} is a placeholder of an .inx; let stampinf fill in {what}");
            findings.add(Rule::Placeholder, line, what);
        }
        text = text.replace(placeholder, instead);
    }
    let mut document = syntax::parse(&text, findings);
    strings::expand(&mut document, findings);
    document
}
