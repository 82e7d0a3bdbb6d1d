//! What can be wrong with an INF, and what was found.

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Nothing is wrong; a later tool fills something in.
    Note,
    /// It installs, and perhaps not everywhere or not as meant.
    Warning,
    /// It does not install, or the driver does not load or attach.
    Error,
}

impl Severity {
    /// As it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Defines every rule: its name, how it is printed, how bad breaking it is, and the number that
/// `InfVerif` gives the same complaint, where it has one.
macro_rules! rules {
    ($($name:ident $id:literal $severity:ident $($number:literal)?;)*) => {
        /// One rule for INFs of minifilters.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Rule {
            $($name,)*
        }

        impl Rule {
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            pub(crate) const fn id(self) -> &'static str {
                match self {
                    $(Self::$name => $id,)*
                }
            }

            pub(crate) const fn severity(self) -> Severity {
                match self {
                    $(Self::$name => Severity::$severity,)*
                }
            }

            const fn infverif(self) -> Option<u16> {
                match self {
                    $($(Self::$name => Some($number),)?)*
                    _ => None,
                }
            }
        }
    };
}

rules! {
    // The file as text.
    Encoding "encoding" Warning;
    UnterminatedString "unterminated-string" Error;
    UnterminatedToken "unterminated-token" Error;
    SectionHeader "section-header" Error;
    OutsideSection "outside-section" Error;
    NoEquals "no-equals" Error;
    TooLong "too-long" Error;
    DuplicateSection "duplicate-section" Warning;
    DuplicateKey "duplicate-key" Warning;
    UndefinedToken "undefined-token" Error 1235;
    Placeholder "placeholder" Error;
    Stamped "stampinf" Note;
    // [Version]
    Signature "signature" Error 1001;
    Class "class" Error;
    ClassGuid "class-guid" Error;
    Provider "provider" Error;
    ProviderMicrosoft "provider-microsoft" Error 1204;
    DriverVer "driver-ver" Error;
    CatalogFile "catalog-file" Error 1233;
    PnpLockdown "pnp-lockdown" Warning;
    // Sections that install and uninstall.
    NoInstall "no-default-install" Error;
    Undecorated "undecorated-install" Error;
    Decoration "decoration" Error;
    Manufacturer "manufacturer" Error 1212;
    Services "services" Error;
    AddService "add-service" Error;
    Uninstall "uninstall" Error;
    StopService "stop-service" Error;
    UninstallService "uninstall-service" Error;
    UnknownDirective "unknown-directive" Warning;
    SectionNotFound "section-not-found" Error 1203;
    SectionUnused "section-unused" Warning 2083;
    // Files.
    CopyFiles "copy-files" Error;
    DestinationDirs "destination-dirs" Error;
    DestinationUnused "destination-unused" Warning;
    SourceFile "source-file" Error 1230;
    SourceDisk "source-disk" Error;
    SourceUnused "source-unused" Warning;
    ServiceBinary "service-binary" Error;
    StorePath "store-path" Error 1100;
    DriverStore "driver-store" Warning;
    // The service.
    ServiceEntry "service-entry" Error;
    ServiceType "service-type" Error;
    StartType "start-type" Error;
    StartDisabled "start-disabled" Warning;
    ErrorControl "error-control" Error;
    ErrorNormal "error-normal" Warning;
    LoadOrderGroup "load-order-group" Error;
    GroupClass "group-class" Error;
    Dependencies "dependencies" Error;
    // The registry.
    AddRegLine "addreg-line" Error;
    AddRegRoot "addreg-root" Error;
    AddRegFlags "addreg-flags" Error;
    AddRegValue "addreg-value" Error;
    RelativeRoot "relative-root" Warning 1304;
    ServicesKey "services-key" Error 1221;
    InstallRoot "install-root" Error;
    Parameters "parameters" Warning;
    // Instances.
    DefaultInstance "default-instance" Error;
    Altitude "altitude" Error;
    AltitudeRange "altitude-range" Error;
    SameAltitude "same-altitude" Warning;
    InstanceFlags "instance-flags" Error;
    NoInstanceFlags "no-instance-flags" Warning;
    InstanceType "instance-type" Error;
    InstancesPlace "instances-place" Warning;
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The line of the file, from 1.
    pub line: usize,
    /// How bad it is.
    pub severity: Severity,
    /// The rule, by name.
    pub rule: &'static str,
    /// What `InfVerif` calls it, if it complains about the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub infverif: Option<u16>,
    /// What is wrong and what to do.
    pub message: String,
}

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    pub(crate) fn add(&mut self, rule: Rule, line: usize, message: impl Into<String>) {
        let finding = Finding {
            line,
            severity: rule.severity(),
            rule: rule.id(),
            infverif: rule.infverif(),
            message: message.into(),
        };
        // A section that is used twice is looked at twice.
        if !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }

    /// All of them, by line.
    pub(crate) fn sorted(mut self) -> Vec<Finding> {
        self.0.sort_by_key(|finding| finding.line);
        self.0
    }
}
