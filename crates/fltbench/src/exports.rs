//! What an image can import, and which of it the simulated kernel has.

use clap::ValueEnum;
use serde::Serialize;
use std::fmt::Write;

/// The functions of a library, one a line and sorted, by its header, its import library and its
/// symbols.
const FLTMGR: &str = include_str!("fltmgr_exports.txt");
/// The same of the kernel, functions and variables.
const NTOSKRNL: &str = include_str!("ntoskrnl_exports.txt");
/// The same of the hardware abstraction layer.
const HAL: &str = include_str!("hal_exports.txt");

/// A library that drivers import from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Module {
    /// FLTMGR.SYS
    Fltmgr,
    /// ntoskrnl.exe
    Ntoskrnl,
    /// hal.dll
    Hal,
}

impl Module {
    const ALL: [Self; 3] = [Self::Fltmgr, Self::Ntoskrnl, Self::Hal];

    /// As images name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fltmgr => "FLTMGR.SYS",
            Self::Ntoskrnl => "ntoskrnl.exe",
            Self::Hal => "hal.dll",
        }
    }

    const fn list(self) -> &'static str {
        match self {
            Self::Fltmgr => FLTMGR,
            Self::Ntoskrnl => NTOSKRNL,
            Self::Hal => HAL,
        }
    }
}

/// One export of a library, or one import of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Export {
    /// The library, as images name it.
    pub module: String,
    /// The name, or `#` and an ordinal.
    pub name: String,
    /// Whether the simulated kernel has it.
    pub implemented: bool,
}

/// Which of them to list.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Selection {
    /// Lists only what is implemented
    #[arg(long, conflicts_with = "missing")]
    pub implemented: bool,
    /// Lists only what is missing
    #[arg(long)]
    pub missing: bool,
    /// Lists only this library
    #[arg(long, value_name = "LIBRARY", value_enum)]
    pub module: Option<Module>,
}

impl Selection {
    /// Whether it is to be listed.
    #[must_use]
    pub fn takes(&self, export: &Export) -> bool {
        let state = if export.implemented {
            !self.missing
        } else {
            !self.implemented
        };
        let own = |module: Module| module.name().eq_ignore_ascii_case(&export.module);
        state && self.module.is_none_or(own)
    }
}

/// Everything that the libraries have.
#[must_use]
pub fn all() -> Vec<Export> {
    let modules = Module::ALL.into_iter();
    modules
        .flat_map(|module| module.list().lines().map(move |name| (module, name)))
        .map(|(module, name)| Export {
            module: module.name().to_owned(),
            name: name.to_owned(),
            implemented: fltsim::implements(name),
        })
        .collect()
}

/// What an image imports, in the order in which it does.
///
/// # Errors
/// The image cannot be loaded.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub fn of_image(path: &std::path::Path) -> Result<Vec<Export>, crate::error::Error> {
    let image = fltsim::image::Image::load(path)?;
    let imports = image.imports().iter().map(|import| Export {
        module: import.library.clone(),
        name: import.name.clone(),
        implemented: import.implemented,
    });
    Ok(imports.collect())
}

/// One line for each: library, name and state.
#[must_use]
pub fn text(exports: &[Export]) -> String {
    let mut text = String::new();
    for export in exports {
        let state = if export.implemented {
            "implemented"
        } else {
            "missing"
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {} {state}", export.module, export.name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_lists_are_sorted_and_have_everything_once() {
        for module in Module::ALL {
            let names: Vec<&str> = module.list().lines().collect();
            assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{module:?}");
        }
    }

    /// Every word of the files below a folder.
    fn words(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                words(&path, found);
                continue;
            }
            let text = fs::read_to_string(path).unwrap();
            let split = |character: char| !character.is_ascii_alphanumeric() && character != '_';
            found.extend(text.split(split).map(str::to_owned));
        }
    }

    /// What the simulated kernel has is found by asking it for each word of its own source.
    #[test]
    fn everything_implemented_is_in_a_list() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../fltsim/src/exports");
        let mut found = BTreeSet::new();
        words(Path::new(source), &mut found);
        found.retain(|word| fltsim::implements(word));
        assert!(found.len() > 250, "{}", found.len());
        let lists = Module::ALL.iter().flat_map(|module| module.list().lines());
        let lists: BTreeSet<&str> = lists.collect();
        // The kernel's own routines of lookaside lists: a list points to them, and no image
        // imports them.
        let own = |name: &str| name.starts_with("Exp");
        let lost = found
            .iter()
            .filter(|name| !lists.contains(&***name) && !own(name));
        let lost: Vec<&String> = lost.collect();
        assert!(lost.is_empty(), "add to ntoskrnl_exports.txt: {lost:?}");
    }

    #[test]
    fn what_every_minifilter_needs_is_implemented() {
        let all = all();
        for name in [
            "FltRegisterFilter",
            "FltReleaseContext",
            "ZwOpenKey",
            "memcpy",
        ] {
            let mut all = all.iter();
            assert!(
                all.any(|export| export.name == name && export.implemented),
                "{name}"
            );
        }
    }
}
