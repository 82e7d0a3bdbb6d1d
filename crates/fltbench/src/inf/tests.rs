//! One small INF for each rule: a good one with one thing changed.

use super::finding::{Finding, Rule, Severity};
use super::{judge, parse, syntax};
use proptest::prelude::*;

/// Nothing is wrong with it. The tests count its lines from 1.
const GOOD: &str = r#"[Version]
Signature   = "$Windows NT$"
Class       = "AntiVirus"
ClassGuid   = {b1d1a169-c54f-4379-81db-bee7d88d7454}
Provider    = %Provider%
DriverVer   = 02/29/2028,1.2.3.4
CatalogFile = one.cat
PnpLockdown = 1
[SourceDisksNames]
1 = %Disk%,,,
[SourceDisksFiles]
one.sys = 1,,
[DestinationDirs]
One.Files = 13
[DefaultInstall.NTamd64.10.0...25952]
CopyFiles = One.Files
[DefaultInstall.NTamd64.10.0...25952.Services]
AddService = %Service%,,One.Service
[One.Files]
one.sys
[One.Service]
DisplayName    = %Service%
ServiceBinary  = %13%\one.sys
Dependencies   = FltMgr
ServiceType    = 2
StartType      = 3
ErrorControl   = 1
LoadOrderGroup = "FSFilter Anti-Virus"
AddReg         = One.AddReg
[One.AddReg]
HKR,"Parameters","Limit",0x00010001,0x10
HKR,"Parameters\Instances","DefaultInstance",0x00000000,%Instance%
HKR,"Parameters\Instances\"%Instance%,"Altitude",0x00000000,"321000.5"
HKR,"Parameters\Instances\"%Instance%,"Flags",0x00010001,0x0
[Strings]
Provider = "One Ltd" ; a comment, "quoted"
Disk     = "Disk"
Service  = "one"
Instance = "One; Instance"
"#;

fn findings(text: &str) -> Vec<Finding> {
    judge(text.as_bytes(), false)
}

fn brief(findings: &[Finding]) -> Vec<(&str, usize)> {
    let all = findings.iter();
    all.map(|finding| (finding.rule, finding.line)).collect()
}

/// What is found when one text is put in the place of another.
#[track_caller]
fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

#[track_caller]
fn finds(from: &str, to: &str, expected: &[(Rule, usize)]) {
    let found = findings(&changed(from, to));
    let expected: Vec<_> = expected
        .iter()
        .map(|(rule, line)| (rule.id(), *line))
        .collect();
    assert_eq!(brief(&found), expected, "{to}: {found:#?}");
}

#[test]
fn a_good_inf_is_clean() {
    assert_eq!(findings(GOOD), []);
    assert_eq!(findings(&GOOD.replace('\n', "\r\n")), []);
    let wide: Vec<u8> = [0xFEFF_u16]
        .into_iter()
        .chain(GOOD.replace("One Ltd", "Één BV").encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(judge(&wide, false), []);
    let marked = ["\u{FEFF}", GOOD].concat();
    assert_eq!(findings(&marked), []);
}

#[test]
fn the_samples_inx_is_clean_but_for_stampinf() {
    let sample = include_bytes!("../../../../inf/ctx.inx");
    let found = judge(sample, true);
    assert_eq!(brief(&found), [("stampinf", 29)]);
    assert_eq!(found[0].severity, Severity::Note);
    // Not stamped, it is no INF.
    assert_eq!(brief(&judge(sample, false)), [("placeholder", 29)]);
}

#[test]
fn text_and_syntax() {
    finds("One Ltd", "Één BV", &[(Rule::Encoding, 36)]);
    finds(
        "one.cat\n",
        "one.cat\0\n",
        &[(Rule::Encoding, 7), (Rule::CatalogFile, 7)],
    );
    finds("\"Disk\"", "\"Disk", &[(Rule::UnterminatedString, 37)]);
    finds(
        "= %Provider%",
        "= %Provider",
        &[(Rule::UnterminatedToken, 5)],
    );
    finds("%Disk%", "%Disc%", &[(Rule::UndefinedToken, 10)]);
    finds("[One.Files]", "[One.Files] x", &[(Rule::SectionHeader, 19)]);
    finds(
        "[SourceDisksNames]",
        "[SourceDisksNames\n",
        &[
            (Rule::SectionHeader, 9),
            (Rule::OutsideSection, 11),
            (Rule::SourceDisk, 13),
        ],
    );
    finds(
        "[Version]",
        "stray\n[Version]",
        &[(Rule::OutsideSection, 1)],
    );
    finds(
        "PnpLockdown = 1",
        "PnpLockdown 1",
        &[(Rule::PnpLockdown, 1), (Rule::NoEquals, 8)],
    );
    finds(
        "one.sys\n[One.Service]",
        "one.sys\n[one.files]\n[One.Service]",
        &[(Rule::DuplicateSection, 21)],
    );
    finds(
        "[SourceDisksNames]",
        "Class = AntiVirus\n[SourceDisksNames]",
        &[(Rule::DuplicateKey, 9)],
    );
    finds(
        "One Ltd",
        &"x".repeat(5000),
        &[(Rule::TooLong, 5), (Rule::TooLong, 36)],
    );
    finds(
        "[One.Files]",
        &format!("[{}]\n[One.Files]", "x".repeat(256)),
        &[(Rule::SectionHeader, 19)],
    );
}

#[test]
fn placeholders() {
    let text = GOOD
        .replace("NTamd64", "NT$ARCH$")
        .replace("02/29/2028,1.2.3.4", "");
    let found = judge(text.as_bytes(), true);
    assert_eq!(brief(&found), [("stampinf", 6), ("stampinf", 15)]);
    let found = judge(text.as_bytes(), false);
    assert_eq!(brief(&found), [("driver-ver", 6), ("placeholder", 15)]);
}

#[test]
fn version() {
    finds("$Windows NT$", "$Windows 95$", &[(Rule::Signature, 2)]);
    finds(
        "[Version]",
        "[Wersion]",
        &[(Rule::Signature, 1), (Rule::SectionUnused, 1)],
    );
    finds("Class       = \"AntiVirus\"\n", "", &[(Rule::Class, 1)]);
    finds("\"AntiVirus\"", "\"System\"", &[(Rule::Class, 3)]);
    finds("d7454}", "d7455}", &[(Rule::ClassGuid, 4)]);
    finds("d7454}", "d745}", &[(Rule::ClassGuid, 4)]);
    finds("{b1d1a169", "{b1d1a1g9", &[(Rule::ClassGuid, 4)]);
    finds("= %Provider%", "=", &[(Rule::Provider, 5)]);
    finds(
        "One Ltd",
        "Microsoft Corporation",
        &[(Rule::ProviderMicrosoft, 5)],
    );
    finds(
        "DriverVer   = 02/29/2028,1.2.3.4\n",
        "",
        &[(Rule::DriverVer, 1)],
    );
    for date in [
        "02/29/2026",
        "2/28/2026",
        "13/01/2026",
        "28/02/2026",
        "02/00/2026",
        "2026-02-28",
    ] {
        finds("02/29/2028", date, &[(Rule::DriverVer, 6)]);
    }
    finds("02/29/2028", "02-28-2026", &[]);
    for version in ["1.2.3.65535", "1.2.3.4.5", "1..2", "a", ""] {
        finds("1.2.3.4", version, &[(Rule::DriverVer, 6)]);
    }
    finds(
        "CatalogFile = one.cat",
        "CatalogFile =",
        &[(Rule::CatalogFile, 7)],
    );
    finds("one.cat", "one.sys", &[(Rule::CatalogFile, 7)]);
    finds("CatalogFile = ", "CatalogFile.NTamd64 = ", &[]);
    finds(
        "PnpLockdown = 1",
        "PnpLockdown = 0",
        &[(Rule::PnpLockdown, 8)],
    );
}

#[test]
fn installing() {
    let sections = "[DefaultInstall.NTamd64.10.0...25952";
    let text = GOOD.replace(sections, "[Install");
    assert_eq!(
        brief(&findings(&text)),
        [
            ("no-default-install", 1),
            ("source-unused", 12),
            ("section-unused", 15),
            ("section-unused", 17),
        ]
    );
    let text = GOOD.replace(sections, "[DefaultInstall.NT.10.0...25952");
    assert_eq!(
        brief(&findings(&text)),
        [("undecorated-install", 15), ("undecorated-install", 17)]
    );
    let text = GOOD.replace(sections, "[DefaultInstall.NTvax.10.0...25952");
    assert_eq!(
        brief(&findings(&text)),
        [
            ("no-default-install", 1),
            ("source-unused", 12),
            ("decoration", 15),
            ("decoration", 17),
        ]
    );
    finds(
        "[One.Files]",
        "[Manufacturer]\n[One.Files]",
        &[(Rule::Manufacturer, 19)],
    );
    finds(
        "25952.Services]",
        "25953.Services]",
        &[(Rule::Services, 15), (Rule::Services, 17)],
    );
    finds(
        "%Service%,,One.Service",
        ",2",
        &[(Rule::AddService, 17), (Rule::SectionUnused, 21)],
    );
    finds(
        "%Service%,,One",
        "%Service%,none,One",
        &[(Rule::AddService, 18)],
    );
    finds(
        "%Service%,,One.Service",
        "%Service%",
        &[(Rule::AddService, 18), (Rule::SectionUnused, 21)],
    );
    finds(
        "CopyFiles = One.Files",
        "CopyFiles = One.Files\nLogConfig = x",
        &[(Rule::UnknownDirective, 17)],
    );
    finds(
        "AddReg         = One.AddReg",
        "AddReg = One.AddReg, Two.AddReg",
        &[(Rule::SectionNotFound, 29)],
    );
    finds(
        "[Strings]",
        "[Lost]\nx=1\n[Strings]",
        &[(Rule::SectionUnused, 35)],
    );
    finds(
        "[Strings]",
        "[One.AddReg.Security]\n\"D:P(A;;GA;;;SY)\"\n[Strings]",
        &[],
    );
}

#[test]
fn uninstalling() {
    let uninstall = "[DefaultUninstall.NTamd64]\nLegacyUninstall = 1\n\
                     [DefaultUninstall.NTamd64.Services]\nDelService = one,0x204\n[Strings]";
    let text = changed("[Strings]", uninstall);
    assert_eq!(findings(&text), []);
    let without = text.replace("LegacyUninstall = 1", "LegacyUninstall = 0");
    assert_eq!(brief(&findings(&without)), [("uninstall", 35)]);
    let without = text.replace("0x204", "4");
    assert_eq!(brief(&findings(&without)), [("stop-service", 38)]);
    let without = text.replace("DelService = one", "DelService = two");
    assert_eq!(brief(&findings(&without)), [("uninstall-service", 38)]);
}

#[test]
fn files() {
    finds(
        "CopyFiles = One.Files\n",
        "",
        &[
            (Rule::SourceUnused, 12),
            (Rule::CopyFiles, 15),
            (Rule::SectionUnused, 18),
            (Rule::ServiceBinary, 22),
        ],
    );
    finds(
        "CopyFiles = One.Files",
        "CopyFiles = one.sys",
        &[
            (Rule::SourceUnused, 12),
            (Rule::CopyFiles, 15),
            (Rule::SectionNotFound, 16),
            (Rule::SectionUnused, 19),
            (Rule::ServiceBinary, 23),
        ],
    );
    finds(
        "One.Files = 13",
        "One.Files = drivers",
        &[(Rule::DestinationDirs, 14), (Rule::ServiceBinary, 23)],
    );
    finds("One.Files = 13", "DefaultDestDir = 13", &[]);
    finds("One.Files = 13\n", "", &[(Rule::DestinationDirs, 19)]);
    finds(
        "One.Files = 13",
        "One.Files = 13\nTwo.Files = 13",
        &[(Rule::DestinationUnused, 15)],
    );
    finds(
        "one.sys = 1,,",
        "two.sys = 1,,",
        &[(Rule::SourceUnused, 12), (Rule::SourceFile, 20)],
    );
    finds("one.sys = 1,,", "one.sys = 2,,", &[(Rule::SourceDisk, 12)]);
    finds("[SourceDisksFiles]", "[SourceDisksFiles.amd64]", &[]);
    finds(
        "[SourceDisksFiles]",
        "[SourceDisksFiles.x86]",
        &[(Rule::SourceFile, 20)],
    );
    finds(
        "one.sys = 1,,",
        "one.sys = 1,\\x64",
        &[(Rule::StorePath, 20)],
    );
    finds(
        "\none.sys\n",
        "\none.sys, first.sys\n",
        &[(Rule::SourceUnused, 12), (Rule::SourceFile, 20)],
    );
    finds(
        "%13%\\one.sys",
        "%12%\\one.sys",
        &[(Rule::ServiceBinary, 23)],
    );
    finds(
        "%13%\\one.sys",
        "%13%\\two.sys",
        &[(Rule::ServiceBinary, 23)],
    );
    finds("%13%\\one.sys", "one.sys", &[(Rule::ServiceBinary, 23)]);
    let elsewhere = GOOD.replace("One.Files = 13", "One.Files = 12");
    let elsewhere = elsewhere.replace("%13%", "%12%");
    assert_eq!(brief(&findings(&elsewhere)), [("driver-store", 14)]);
}

#[test]
fn service() {
    for (line, text) in [
        (23, "ServiceBinary  = %13%\\one.sys\n"),
        (25, "ServiceType    = 2\n"),
        (26, "StartType      = 3\n"),
        (27, "ErrorControl   = 1\n"),
    ] {
        let key = text.split_whitespace().next().unwrap();
        finds(text, "", &[(Rule::ServiceEntry, 21)]);
        finds(text, &format!("{key} =\n"), &[(Rule::ServiceEntry, line)]);
    }
    finds(
        "ServiceType    = 2",
        "ServiceType = 1",
        &[(Rule::ServiceType, 25)],
    );
    finds(
        "StartType      = 3",
        "StartType = 5",
        &[(Rule::StartType, 26)],
    );
    finds(
        "StartType      = 3",
        "StartType = 0x4",
        &[(Rule::StartDisabled, 26)],
    );
    finds(
        "ErrorControl   = 1",
        "ErrorControl = 3",
        &[(Rule::ErrorNormal, 27)],
    );
    finds(
        "ErrorControl   = 1",
        "ErrorControl = 4",
        &[(Rule::ErrorControl, 27)],
    );
    finds(
        "LoadOrderGroup = \"FSFilter Anti-Virus\"\n",
        "",
        &[(Rule::LoadOrderGroup, 21)],
    );
    finds("FSFilter Anti-Virus", "Base", &[(Rule::LoadOrderGroup, 28)]);
    finds(
        "FSFilter Anti-Virus",
        "FSFilter Activity Monitor",
        &[(Rule::GroupClass, 28), (Rule::AltitudeRange, 33)],
    );
    finds("= FltMgr", "= RpcSs", &[(Rule::Dependencies, 24)]);
    finds("Dependencies   = FltMgr\n", "", &[(Rule::Dependencies, 21)]);
    finds(
        "DisplayName ",
        "DispleyName ",
        &[(Rule::UnknownDirective, 22)],
    );
}

#[test]
fn registry_lines() {
    let limit = "HKR,\"Parameters\",\"Limit\",0x00010001,0x10";
    finds(limit, "HKR", &[(Rule::AddRegLine, 31)]);
    finds(limit, "HKX,a,b,0,c", &[(Rule::AddRegRoot, 31)]);
    for flags in ["x", "0x40", "0x00030000", "0x00000008"] {
        finds(
            "0x00010001,0x10",
            &format!("{flags},0x10"),
            &[(Rule::AddRegFlags, 31)],
        );
    }
    for (flags, good, bad) in [
        ("0x00010001", "16", "sixteen"),
        ("0x00010001", "1,2,3,4", "1,2,3"),
        ("0x00000001", "1,0,2,FF", "1,100"),
        ("0x00020001", "", "x"),
        ("0x000B0001", "0x123456789", "long"),
        ("0x00380001", "1,0,2,A,B", "1,-1"),
    ] {
        finds("0x00010001,0x10", &format!("{flags},{good}"), &[]);
        finds(
            "0x00010001,0x10",
            &format!("{flags},{bad}"),
            &[(Rule::AddRegValue, 31)],
        );
    }
    for text in [
        "0x00010000,\"a\",\"b\"",
        "0x00020000,%%SystemRoot%%",
        "0x10",
        "0x4",
        ",text",
    ] {
        finds("0x00010001,0x10", text, &[]);
    }
    finds(
        limit,
        "HKLM,Software\\One,Limit,,1",
        &[(Rule::RelativeRoot, 31)],
    );
    finds(
        limit,
        r"HKLM,System\CurrentControlSet\Services\one,Limit,,1",
        &[(Rule::ServicesKey, 31)],
    );
    finds(limit, "HKR,,Limit,,1", &[(Rule::Parameters, 31)]);
    finds(
        "CopyFiles = One.Files",
        "CopyFiles = One.Files\nAddReg = Two\n[Two]\nHKR,,a,,b",
        &[(Rule::InstallRoot, 19)],
    );
}

#[test]
fn instances() {
    let name = "HKR,\"Parameters\\Instances\",\"DefaultInstance\",0x00000000,%Instance%\n";
    finds(name, "", &[(Rule::DefaultInstance, 32)]);
    finds(
        "DefaultInstance\",0x00000000,%Instance%",
        "DefaultInstance\",0,\"Two\"",
        &[(Rule::DefaultInstance, 32)],
    );
    finds(
        "DefaultInstance\",0x00000000",
        "DefaultInstance\",0x00020000",
        &[(Rule::InstanceType, 32)],
    );
    finds("Altitude", "Attitude", &[(Rule::Altitude, 33)]);
    for altitude in ["", ".5", "321000.", "-1", "321000.5.5", "0x4E5E8", "high"] {
        finds("321000.5", altitude, &[(Rule::Altitude, 33)]);
    }
    finds(
        "0x00000000,\"321000.5\"",
        "0x00010001,321000",
        &[(Rule::InstanceType, 33)],
    );
    for altitude in ["319999.9", "330000", "99999999999999999999"] {
        finds("321000.5", altitude, &[(Rule::AltitudeRange, 33)]);
    }
    let flags = "HKR,\"Parameters\\Instances\\\"%Instance%,\"Flags\",0x00010001,0x0\n";
    finds(flags, "", &[(Rule::NoInstanceFlags, 33)]);
    finds("0x00010001,0x0\n", "0x00010001,0x3\n", &[]);
    finds(
        "0x00010001,0x0\n",
        "0x00010001,0x4\n",
        &[(Rule::InstanceFlags, 34)],
    );
    finds(
        "0x00010001,0x0\n",
        "0x00000000,0x0\n",
        &[(Rule::InstanceType, 34)],
    );
    let second = format!("{flags}{}", flags.replace("%Instance%", "Two"));
    let second = format!("{second}HKR,Parameters\\Instances\\Two,Altitude,,\"321000.5\"\n");
    finds(flags, &second, &[(Rule::SameAltitude, 36)]);
    finds(
        "AddReg         = One.AddReg\n",
        "",
        &[(Rule::DefaultInstance, 21), (Rule::SectionUnused, 29)],
    );
    // The same lines for all versions of Windows.
    let all = GOOD.replace(".10.0...25952", "");
    assert_eq!(brief(&findings(&all)), [("instances-place", 32)]);
    let old = all.replace("Parameters\\Instances", "Instances");
    assert_eq!(
        brief(&findings(&old)),
        [("parameters", 32), ("parameters", 33), ("parameters", 34),]
    );
}

#[test]
fn every_rule_is_documented() {
    let text = include_str!("../../../../docs/inf.md");
    for rule in Rule::ALL {
        let row = format!("| `{}` | {} |", rule.id(), rule.severity().name());
        assert!(text.contains(&row), "docs/inf.md has no row {row}");
    }
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    assert_eq!(rows.count(), Rule::ALL.len());
}

#[test]
fn lines_are_taken_apart() {
    let mut findings = super::Findings::default();
    let text =
        "[a]\nk = \"x, \"\"y\"\"\",, z\\\n  ,last ; no\nHKR,\"a\"b,c=d\n\"q\\\"\\ ; comment\n,r";
    let document = syntax::parse(text, &mut findings);
    assert_eq!(findings.sorted(), []);
    let lines = &document.sections[0].lines;
    let texts = |index: usize| -> Vec<(&str, usize)> {
        let values = lines[index].values.iter();
        values
            .map(|value| (value.text.as_str(), value.line))
            .collect()
    };
    assert_eq!(texts(0), [("x, \"y\"", 2), ("", 2), ("z", 2), ("last", 3)]);
    assert!(lines[0].has_key("K"));
    assert_eq!(texts(1), [("HKR", 4), ("ab", 4), ("c=d", 4)]);
    assert_eq!(texts(2), [("q\\", 5), ("r", 6)]);
}

/// What INFs are made of, so that changes get further than the first line.
fn pieces() -> impl Strategy<Value = String> {
    let words = [
        "[",
        "]",
        "=",
        ",",
        ",,",
        "\"",
        "\"\"",
        "%",
        "%%",
        "%13%\\",
        "\\",
        "\\\n",
        "\n",
        ";",
        "@",
        "HKR",
        "0x",
        "0x00010001",
        "AddReg",
        "CopyFiles",
        "DefaultInstall",
        ".NTamd64",
        ".Services",
        "$ARCH$",
        "\u{0}",
        "é",
        "\u{FEFF}",
        "{",
        "/",
        "-1",
        "99999999999999999999",
    ];
    prop::sample::select(words.to_vec()).prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), inx in any::<bool>()) {
        let lines = bytes.split(|byte| *byte == b'\n').count();
        for finding in judge(&bytes, inx) {
            // UTF-16 has other line ends.
            prop_assert!(bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF])
                || (1..=lines).contains(&finding.line), "{finding:?}");
        }
    }

    #[test]
    fn no_change_of_the_sample_makes_it_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..40, pieces()), 1..8),
    ) {
        let mut text = include_str!("../../../../inf/ctx.inx").to_owned();
        for (at, len, piece) in edits {
            let boundary = |mut at: usize| {
                while !text.is_char_boundary(at) {
                    at -= 1;
                }
                at
            };
            let from = boundary(at.index(text.len() + 1));
            let to = boundary((from + len).min(text.len())).max(from);
            text.replace_range(from..to, &piece);
        }
        let found = judge(text.as_bytes(), true);
        let lines = text.lines().count().max(1);
        prop_assert!(found.iter().all(|finding| (1..=lines).contains(&finding.line)), "{found:?}");
        let _ = parse(text.as_bytes(), false, &mut super::Findings::default());
    }
}
