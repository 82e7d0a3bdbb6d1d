//! For which machines a section is: `.NTamd64.10.0...25952`.

/// Architectures that Windows drivers are for.
const ARCHITECTURES: [&str; 5] = ["x86", "amd64", "arm", "arm64", "ia64"];

/// From this build on Windows runs minifilters from the driver store and keeps their instances
/// under `Parameters`.
pub(crate) const ISOLATED: u32 = 25952;

/// A machine that a driver is installed on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) build: u32,
}

impl Target {
    /// Windows 11, version 24H2.
    pub(crate) const CURRENT: Self = Self { build: 26100 };
    /// The last version before.
    pub(crate) const BEFORE: Self = Self { build: 22631 };
}

/// What stands after `DefaultInstall`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoration {
    pub(crate) architecture: Option<String>,
    major: u32,
    minor: u32,
    build: u32,
}

impl Decoration {
    /// Reads what follows the section's name, with its first point; `None` if it is no decoration.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let mut parts = text.strip_prefix('.')?.split('.');
        let first = parts.next()?.to_ascii_lowercase();
        let architecture = first.strip_prefix("nt").unwrap_or(&first);
        if !architecture.is_empty() && !ARCHITECTURES.contains(&architecture) {
            return None;
        }
        let mut number = || -> Option<u32> {
            match parts.next() {
                None | Some("") => Some(0),
                Some(digits) => super::syntax::number(digits),
            }
        };
        let (major, minor) = (number()?, number()?);
        let (_product, _suite) = (number()?, number()?);
        let build = number()?;
        if parts.next().is_some() {
            return None;
        }
        Some(Self {
            architecture: Some(architecture.to_owned()).filter(|name| !name.is_empty()),
            major,
            minor,
            build,
        })
    }

    /// Whether an x64 machine may take the section; the greatest of those that it may take wins.
    pub(crate) fn rank(&self, target: Target) -> Option<impl Ord + use<>> {
        let mine = self
            .architecture
            .as_deref()
            .is_none_or(|own| own == "amd64");
        let fits = (self.major, self.minor) <= (10, 0) && self.build <= target.build;
        let specific = self.architecture.is_some();
        (mine && fits).then_some((self.major, self.minor, self.build, specific))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decorations_are_read() {
        let new = Decoration::parse(".NTamd64.10.0...25952").unwrap();
        assert_eq!(new.architecture.as_deref(), Some("amd64"));
        assert_eq!((new.major, new.minor, new.build), (10, 0, ISOLATED));
        let old = Decoration::parse(".ntAMD64").unwrap();
        assert!(new.rank(Target::CURRENT) > old.rank(Target::CURRENT));
        assert!(new.rank(Target::BEFORE).is_none() && old.rank(Target::BEFORE).is_some());
        let other = Decoration::parse(".NTarm64").unwrap();
        assert!(other.rank(Target::CURRENT).is_none());
        assert_eq!(Decoration::parse(""), Some(Decoration::default()));
        for wrong in [
            ".NTalpha",
            ".NTamd64.x",
            ".NTamd64.1.2.3.4.5.6",
            "NTamd64",
            ".Services",
        ] {
            assert_eq!(Decoration::parse(wrong), None, "{wrong}");
        }
    }
}
