//! The rules, one topic a file. What Microsoft's documentation says of INFs for minifilters, as far
//! as it can be seen in the file.

mod files;
mod install;
mod instances;
mod registry;
mod sections;
mod service;
mod version;

pub(crate) use instances::{PARAMETERS, SERVICE};

use super::finding::Findings;
use super::model::Model;

/// Holds a model against all of them.
pub(crate) fn check(model: &Model<'_>, stamped_later: bool, findings: &mut Findings) {
    version::check(model, stamped_later, findings);
    sections::check(model, findings);
    install::check(model, findings);
    files::check(model, findings);
    for install in &model.installs {
        for service in model.services(install) {
            service::check(model, service, findings);
        }
    }
    registry::check(model, findings);
    instances::check(model, findings);
}
