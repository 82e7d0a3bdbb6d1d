//! Images that are none: every one of them gets an error that says what to do, and nothing else
//! happens.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use fltsim::image::{Image, Problem};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::path::Path;

const PROBE: &[u8] = include_bytes!("images/probe.sys");

/// Where the NT headers begin.
fn headers() -> usize {
    usize::try_from(u32_at(PROBE, 0x3C)).unwrap()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Offsets in the NT headers.
const MACHINE: usize = 4;
const SECTIONS: usize = 6;
const FILE_FLAGS: usize = 22;
const MAGIC: usize = 24;
const ENTRY: usize = 24 + 16;
const SECTION_ALIGNMENT: usize = 24 + 32;
const SIZE_OF_IMAGE: usize = 24 + 56;
const SIZE_OF_HEADERS: usize = 24 + 60;
const SUBSYSTEM: usize = 24 + 68;
const DIRECTORIES: usize = 24 + 112;
const SECTION_TABLE: usize = 24 + 240;

/// The probe with one field of its NT headers changed.
fn with(at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = PROBE.to_vec();
    let at = headers() + at;
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

/// The probe with a word changed where an address of the image says.
fn with_at(rva: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = PROBE.to_vec();
    for index in 0..usize::from(PROBE[headers() + SECTIONS]) {
        let section = headers() + SECTION_TABLE + 40 * index;
        let [size, start, raw_size, raw] =
            [8, 12, 16, 20].map(|field| u32_at(PROBE, section + field));
        if (start..start + size.min(raw_size)).contains(&rva) {
            let at = usize::try_from(raw + rva - start).unwrap();
            bytes[at..at + value.len()].copy_from_slice(value);
            return bytes;
        }
    }
    panic!("{rva:#x} is in no section");
}

fn directory(index: usize) -> u32 {
    u32_at(PROBE, headers() + DIRECTORIES + 8 * index)
}

/// The problem and the message of an image that must not load.
fn refused(bytes: &[u8]) -> (Problem, String) {
    let error = Image::from_bytes("some/bad.sys", bytes).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("some/bad.sys: "), "{text}");
    assert!(!text.contains('\n'), "{text}");
    assert_eq!(error.file(), "some/bad.sys");
    let problem = format!("{:?}", error.problem());
    assert!(!problem.is_empty());
    let error = Image::from_bytes("some/bad.sys", bytes).unwrap_err();
    (error.into_problem(), text)
}

fn malformed(bytes: &[u8], field: &str) -> String {
    let (problem, text) = refused(bytes);
    assert!(
        matches!(
            problem,
            Problem::Malformed { .. } | Problem::Unsupported { .. }
        ),
        "{problem:?}"
    );
    assert!(text.contains(field), "{field}: {text}");
    text
}

#[test]
fn files_that_are_no_images() {
    assert!(matches!(refused(b"").0, Problem::Empty));
    assert!(matches!(refused(b"M").0, Problem::NotAnImage { .. }));
    assert!(matches!(
        refused(b"#!/bin/sh\n").0,
        Problem::NotAnImage { .. }
    ));
    assert!(matches!(refused(&[0; 4096]).0, Problem::NotAnImage { .. }));
    assert!(matches!(refused(b"MZ").0, Problem::Truncated { .. }));
    let missing = Image::load(Path::new("/nowhere/driver.sys")).unwrap_err();
    assert!(matches!(missing.problem(), Problem::Unreadable(_)));
    let text = missing.to_string();
    assert!(
        text.starts_with("/nowhere/driver.sys: cannot be read"),
        "{text}"
    );
    let folder = Image::load(Path::new("/")).unwrap_err();
    assert!(
        matches!(folder.problem(), Problem::Unreadable(_)),
        "{folder}"
    );
    let endless = Image::load(Path::new("/dev/zero")).unwrap_err();
    assert!(
        matches!(endless.problem(), Problem::TooLarge(_)),
        "{endless}"
    );
}

#[test]
fn every_truncation_is_refused() {
    for length in 0..PROBE.len() {
        let (problem, _) = refused(&PROBE[..length]);
        let fits = matches!(
            problem,
            Problem::Empty
                | Problem::NotAnImage { .. }
                | Problem::Truncated { .. }
                | Problem::Malformed { .. }
        );
        assert!(fits, "{length}: {problem:?}");
    }
}

#[test]
fn images_for_something_else() {
    let (problem, text) = refused(&with(MACHINE, &0xAA64_u16.to_le_bytes()));
    assert!(matches!(
        problem,
        Problem::Machine {
            machine: 0xAA64,
            ..
        }
    ));
    assert!(
        text.contains("ARM64") && text.contains("x86_64-pc-windows-msvc"),
        "{text}"
    );
    let (problem, _) = refused(&with(MACHINE, &0x14C_u16.to_le_bytes()));
    assert!(matches!(problem, Problem::Machine { machine: 0x14C, .. }));
    let (problem, _) = refused(&with(MAGIC, &0x10B_u16.to_le_bytes()));
    assert!(matches!(problem, Problem::Not64Bit(0x10B)));
    let (problem, text) = refused(&with(SUBSYSTEM, &3_u16.to_le_bytes()));
    assert!(matches!(problem, Problem::NotNative { subsystem: 3, .. }));
    assert!(text.contains("/subsystem:native"), "{text}");
}

#[test]
fn headers_that_contradict_themselves() {
    let word = |value: u32| value.to_le_bytes();
    malformed(&with(FILE_FLAGS, &[0, 0]), "FileHeader.Characteristics");
    malformed(&with(SECTIONS, &[0, 0]), "FileHeader.NumberOfSections");
    malformed(&with(SECTIONS, &[97, 0]), "FileHeader.NumberOfSections");
    malformed(
        &with(SECTION_ALIGNMENT, &word(32)),
        "OptionalHeader.SectionAlignment",
    );
    for size in [0, 0x1000, u32::MAX, 0x0800_0000] {
        malformed(
            &with(SIZE_OF_IMAGE, &word(size)),
            "OptionalHeader.SizeOfImage",
        );
    }
    for size in [0, 0x200, u32::MAX] {
        malformed(
            &with(SIZE_OF_HEADERS, &word(size)),
            "OptionalHeader.SizeOfHeaders",
        );
    }
    for entry in [0, 0x10, 0x3000, u32::MAX] {
        malformed(
            &with(ENTRY, &word(entry)),
            "OptionalHeader.AddressOfEntryPoint",
        );
    }
    for managed in [9, 13, 14] {
        let entry = [word(0x2000), word(0x40)].concat();
        malformed(
            &with(DIRECTORIES + 8 * managed, &entry),
            "OptionalHeader.DataDirectory[",
        );
    }
}

#[test]
fn sections_that_overlap_leave_gaps_or_lie_outside() {
    let word = |value: u32| value.to_le_bytes();
    let second = SECTION_TABLE + 40;
    let text = malformed(
        &with(second + 12, &word(0x1000)),
        "section 1 (.rdata).VirtualAddress",
    );
    assert!(text.contains("overlaps"), "{text}");
    let text = malformed(
        &with(second + 12, &word(0x9000)),
        "section 1 (.rdata).VirtualAddress",
    );
    assert!(text.contains("gap"), "{text}");
    malformed(&with(second + 8, &word(u32::MAX)), ".VirtualSize");
    let (problem, _) = refused(&with(second + 16, &word(0x7FFF_0000)));
    assert!(matches!(problem, Problem::Truncated { .. }), "{problem:?}");
    let (problem, _) = refused(&with(second + 20, &word(u32::MAX)));
    assert!(matches!(problem, Problem::Truncated { .. }), "{problem:?}");
    // What is in the file is where a linker puts it: aligned, and behind the headers.
    let field = "section 1 (.rdata).PointerToRawData";
    let at = u32_at(PROBE, second + 20);
    let text = malformed(&with(second + 20, &word(at + 0x10)), field);
    let what = format!("{:#x} is not a multiple of 0x200", at + 0x10);
    assert!(text.contains(&what), "{text}");
    let text = malformed(&with(second + 20, &word(0x200)), field);
    assert!(
        text.contains("0x200 lies in the headers, which end at 0x400"),
        "{text}"
    );
}

#[test]
fn tables_that_point_into_the_wild() {
    let word = |value: u32| value.to_le_bytes();
    let relocations = directory(5);
    malformed(
        &with_at(relocations, &word(0x00F0_0000)),
        "BaseRelocation.VirtualAddress",
    );
    malformed(
        &with_at(relocations + 4, &word(0)),
        "BaseRelocation.SizeOfBlock",
    );
    malformed(
        &with_at(relocations + 4, &word(9)),
        "BaseRelocation.SizeOfBlock",
    );
    malformed(
        &with_at(relocations + 4, &word(0xFFFF_FFF0)),
        "BaseRelocation.SizeOfBlock",
    );
    malformed(&with_at(relocations + 8, &[0, 0x30]), "BaseRelocation.Type");
    malformed(
        &with(DIRECTORIES + 40, &word(u32::MAX)),
        "BaseRelocationTable",
    );

    let imports = directory(1);
    malformed(
        &with_at(imports, &word(0xFFFF_FFF8)),
        "ImportDescriptor.OriginalFirstThunk",
    );
    malformed(
        &with_at(imports + 12, &word(0xFFFF_0000)),
        "ImportDescriptor.Name",
    );
    malformed(
        &with_at(imports + 16, &word(0xFFFF_FFFF)),
        "ImportDescriptor.FirstThunk",
    );
    malformed(
        &with_at(imports + 16, &word(0x10)),
        "ImportDescriptor.FirstThunk",
    );
    malformed(
        &with(DIRECTORIES + 8, &word(0x00FF_FFFF)),
        "ImportDescriptor",
    );

    let load_config = directory(10);
    malformed(
        &with_at(load_config + 0x58, &word(0x10)),
        "LoadConfig.SecurityCookie",
    );
    let functions = directory(3);
    malformed(&with_at(functions, &word(0xFFFF_FFFF)), "ExceptionTable");
    malformed(
        &with_at(functions + 8, &word(0xFFFF_FFFC)),
        "ExceptionTable",
    );
    let exports = directory(0);
    malformed(
        &with_at(exports + 24, &word(u32::MAX)),
        "ExportDirectory.NumberOfNames",
    );
    malformed(
        &with_at(exports + 32, &word(u32::MAX)),
        "ExportDirectory.AddressOfNames",
    );
}

/// One change of an image.
#[derive(Clone, Debug)]
enum Change {
    Byte(usize, u8),
    Word(usize, u32),
    Copy(usize, usize, usize),
    Cut(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let anywhere = 0..PROBE.len();
    // Headers, and the tables at the beginning of the sections, are what matters most.
    let place = prop_oneof![3 => 0..0x400_usize, 2 => 0x400..PROBE.len(), 1 => anywhere.clone()];
    let value = prop_oneof![
        Just(0),
        Just(1),
        Just(u32::MAX),
        Just(0x8000_0000),
        Just(0x7FFF_FFFF),
        (0..0x8000_u32),
        (0..8_u32).prop_map(|page| page * 0x1000),
        any::<u32>(),
    ];
    prop_oneof![
        4 => (place.clone(), any::<u8>()).prop_map(|(at, value)| Change::Byte(at, value)),
        6 => (place.clone(), value).prop_map(|(at, value)| Change::Word(at & !3, value)),
        1 => (place, anywhere.clone(), 1..64_usize)
            .prop_map(|(to, from, count)| Change::Copy(to, from, count)),
        1 => anywhere.prop_map(Change::Cut),
    ]
}

fn changed(changes: &[Change]) -> Vec<u8> {
    let mut bytes = PROBE.to_vec();
    for change in changes {
        match *change {
            Change::Byte(at, value) => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            Change::Word(at, value) => {
                if let Some(word) = bytes.get_mut(at..at + 4) {
                    word.copy_from_slice(&value.to_le_bytes());
                }
            }
            Change::Copy(to, from, count) => {
                let source = bytes.get(from..from + count).map(<[u8]>::to_vec);
                let target = bytes.get_mut(to..to + count);
                if let (Some(source), Some(target)) = (source, target) {
                    target.copy_from_slice(&source);
                }
            }
            Change::Cut(at) => bytes.truncate(at),
        }
    }
    bytes
}

/// Some bytes behind what makes a file look like an image.
fn random() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..2048);
    (0..4_usize, bytes).prop_map(|(how, bytes)| {
        let kept = [0, 2, headers() + 24, 0x400][how];
        [&PROBE[..kept], &bytes].concat()
    })
}

/// What must hold whatever the bytes are. Gives whether they are an image.
fn load(bytes: &[u8]) -> Result<bool, TestCaseError> {
    match Image::from_bytes("mutant.sys", bytes) {
        Ok(image) => {
            prop_assert!(image.size() <= 256 << 20);
            prop_assert!(bytes.starts_with(b"MZ"));
            Ok(true)
        }
        Err(error) => {
            let text = error.to_string();
            prop_assert!(text.starts_with("mutant.sys: "), "{}", text);
            prop_assert!(text.len() > 20 && !text.contains('\n'), "{}", text);
            Ok(false)
        }
    }
}

/// How many mappings this process has.
fn mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().count()
}

fn mutate(cases: u32) {
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 10_000,
        ..Config::default()
    };
    let before = mappings();
    let loaded = std::cell::Cell::new(0);
    let strategy = prop_oneof![
        5 => prop::collection::vec(change(), 1..6).prop_map(|changes| changed(&changes)),
        1 => random(),
    ];
    let result = TestRunner::new(config).run(&strategy, |bytes| {
        if load(&bytes)? {
            loaded.set(loaded.get() + 1);
        }
        Ok(())
    });
    result.unwrap();
    let loaded: u32 = loaded.get();
    println!("{loaded} of {cases} were images");
    // Not every change does harm, and most do.
    assert!(loaded > cases / 50, "{loaded} of {cases} were images");
    assert!(loaded < cases / 5 * 4, "{loaded} of {cases} were images");
    // Nothing that was refused, or dropped, is still mapped. Other tests run meanwhile.
    assert!(
        mappings() < before + 200,
        "{before} mappings became {}",
        mappings()
    );
}

#[test]
fn mutants_are_loaded_or_refused() {
    mutate(10_000);
}

#[test]
#[ignore = "a million images take about a minute"]
fn a_million_mutants_are_loaded_or_refused() {
    mutate(1_000_000);
}
