//! Load order groups: the setup class of each, and its altitudes.

/// One load order group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    /// Its setup class and that class's identifier; some groups have none.
    pub(crate) class: Option<(&'static str, &'static str)>,
    /// The integer parts of its altitudes.
    pub(crate) altitudes: std::ops::RangeInclusive<u32>,
}

const fn group(
    name: &'static str,
    class: Option<(&'static str, &'static str)>,
    first: u32,
    last: u32,
) -> Group {
    Group {
        name,
        class,
        altitudes: first..=last,
    }
}

/// From the top of the stack to its bottom.
pub(crate) const GROUPS: &[Group] = &[
    group("Filter", None, 420_000, 429_999),
    group("FSFilter Top", None, 400_000, 409_999),
    group(
        "FSFilter Activity Monitor",
        Some(("ActivityMonitor", "{b86dff51-a31e-4bac-b3cf-e8cfe75c9fc2}")),
        360_000,
        389_999,
    ),
    group(
        "FSFilter Undelete",
        Some(("Undelete", "{fe8f1572-c67a-48c0-bbac-0b5c6d66cafb}")),
        340_000,
        349_999,
    ),
    group(
        "FSFilter Anti-Virus",
        Some(("AntiVirus", "{b1d1a169-c54f-4379-81db-bee7d88d7454}")),
        320_000,
        329_999,
    ),
    group(
        "FSFilter Replication",
        Some(("Replication", "{48d3ebc4-4cf8-48ff-b869-9c68ad42eb9f}")),
        300_000,
        309_999,
    ),
    group(
        "FSFilter Continuous Backup",
        Some(("ContinuousBackup", "{71aa14f8-6fad-4622-ad77-92bb9d7e6947}")),
        280_000,
        289_999,
    ),
    group(
        "FSFilter Content Screener",
        Some(("ContentScreener", "{3e3f0674-c83c-4558-bb26-9820e1eba5c5}")),
        260_000,
        269_999,
    ),
    group(
        "FSFilter Quota Management",
        Some(("QuotaManagement", "{8503c911-a6c7-4919-8f79-5028f5866b0c}")),
        240_000,
        249_999,
    ),
    group(
        "FSFilter System Recovery",
        Some(("SystemRecovery", "{2db15374-706e-4131-a0c7-d7c78eb0289a}")),
        220_000,
        229_999,
    ),
    group(
        "FSFilter Cluster File System",
        Some((
            "CFSMetaDataServer",
            "{cdcf0939-b75b-4630-bf76-80f7ba655884}",
        )),
        200_000,
        209_999,
    ),
    group(
        "FSFilter HSM",
        Some(("HSM", "{d546500a-2aeb-45f6-9482-f4b1799c3177}")),
        180_000,
        189_999,
    ),
    group("FSFilter Imaging", None, 170_000, 175_000),
    group(
        "FSFilter Compression",
        Some(("Compression", "{f3586baf-b5aa-49b5-8d6c-0569284c639f}")),
        160_000,
        169_999,
    ),
    group(
        "FSFilter Encryption",
        Some(("Encryption", "{a0a701c0-a511-42ff-aa6c-06dc0395576f}")),
        140_000,
        149_999,
    ),
    group(
        "FSFilter Virtualization",
        Some(("Virtualization", "{f75a86c0-10d8-4c3a-b233-ed60e4cdfaac}")),
        130_000,
        139_999,
    ),
    group(
        "FSFilter Physical Quota Management",
        Some((
            "PhysicalQuotaManagement",
            "{6a0a8e78-bba6-4fc4-a709-1e33cd09d67e}",
        )),
        120_000,
        129_999,
    ),
    group(
        "FSFilter Open File",
        Some(("OpenFileBackup", "{f8ecafa6-66d1-41a5-899b-66585d7216b7}")),
        100_000,
        109_999,
    ),
    group(
        "FSFilter Security Enhancer",
        Some(("SecurityEnhancer", "{d02bc3da-0c8e-4945-9bd5-f1883c226c8c}")),
        80_000,
        89_999,
    ),
    group(
        "FSFilter Copy Protection",
        Some(("CopyProtection", "{89786ff1-9c12-402f-9c9e-17753c7f4375}")),
        60_000,
        69_999,
    ),
    group("FSFilter Bottom", None, 40_000, 49_999),
    group(
        "FSFilter System",
        Some(("FSFilterSystem", "{5d1b9aaa-01e2-46af-849f-272b3f324c46}")),
        20_000,
        29_999,
    ),
    group(
        "FSFilter Infrastructure",
        Some(("Infrastructure", "{e55fa6f9-128c-4d04-abab-630c74b1453a}")),
        0,
        19_999,
    ),
];

/// A group by its name.
pub(crate) fn by_name(name: &str) -> Option<&'static Group> {
    let mut groups = GROUPS.iter();
    groups.find(|group| group.name.eq_ignore_ascii_case(name))
}

/// A group by the name of its class.
pub(crate) fn by_class(class: &str) -> Option<&'static Group> {
    let mut groups = GROUPS.iter();
    groups.find(|group| {
        group
            .class
            .is_some_and(|(name, _)| name.eq_ignore_ascii_case(class))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_has_no_overlaps() {
        for pair in GROUPS.windows(2) {
            assert!(
                pair[0].altitudes.start() > pair[1].altitudes.end(),
                "{pair:?}"
            );
        }
    }
}
