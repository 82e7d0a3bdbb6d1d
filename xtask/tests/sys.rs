//! `cargo xtask sys`, from the outside: the drivers that it leaves, and that it leaves the same
//! ones again.

use object::read::pe::{ImageOptionalHeader as _, PeFile64};
use object::{LittleEndian as LE, NameOrOrdinal, Object as _, pe};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const SAMPLES: [&str; 2] = ["ctx", "blocks"];

fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("xtask is in a folder").to_owned()
}

/// Where the release driver is put.
fn place(sample: &str, extension: &str) -> PathBuf {
    let folder = repository().join("target/sys/release");
    folder.join(sample).with_extension(extension)
}

/// Builds the release driver and returns it. Nothing is installed for that.
fn build(sample: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["sys", sample, "--release", "--no-install"])
        .args(arguments)
        .output()
        .expect("xtask runs");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{messages}");
    fs::read(place(sample, "sys")).expect("the driver is there")
}

#[test]
#[ignore = "builds a kernel driver: minutes, the first time"]
fn the_same_driver_is_built_twice_and_the_sources_stay() {
    let lock_file = repository().join("Cargo.lock");
    let lock = fs::read(&lock_file).expect("there is a lock file");
    for sample in SAMPLES {
        let first = build(sample, &[]);
        let again = build(sample, &["--rebuild"]);
        assert!(again == first, "two builds of {sample} differ");
    }
    assert_eq!(fs::read(&lock_file).ok(), Some(lock), "Cargo.lock changed");
}

#[test]
#[ignore = "builds a kernel driver: minutes, the first time"]
fn the_drivers_are_native_images_without_panics() {
    for sample in SAMPLES {
        native_image_without_panics(sample);
    }
}

fn native_image_without_panics(sample: &str) {
    let bytes = build(sample, &[]);
    let file = PeFile64::parse(&*bytes).expect("the driver is an image");
    let header = &file.nt_headers().optional_header;
    assert_eq!(header.subsystem(), pe::IMAGE_SUBSYSTEM_NATIVE);

    let sections: Vec<_> = file
        .section_table()
        .iter()
        .map(|section| String::from_utf8_lossy(section.raw_name()).into_owned())
        .collect();
    assert_eq!(
        sections,
        [
            ".text", ".rdata", ".data", ".pdata", "INIT", ".rsrc", ".reloc"
        ]
    );
    let init = file.section_table().iter().nth(4).expect("seven sections");
    let entry = header.address_of_entry_point();
    let begin = init.virtual_address.get(LE);
    assert!((begin..begin + init.virtual_size.get(LE)).contains(&entry));

    let mut modules = Vec::new();
    for import in file.imports().expect("the imports can be read") {
        let import = import.expect("an import can be read");
        let module = String::from_utf8_lossy(import.library()).into_owned();
        // Where the panic handler of wdk-panic ends: without it there is none.
        let panics = matches!(import.name(), NameOrOrdinal::Name(b"KeBugCheckEx"));
        assert!(!panics, "there is a panic in the driver");
        if !modules.contains(&module) {
            modules.push(module);
        }
    }
    assert_eq!(modules, ["FLTMGR.SYS", "ntoskrnl.exe"]);

    assert!(place(sample, "pdb").exists());
    let inf = fs::read_to_string(place(sample, "inf")).expect("the INF is there");
    assert!(inf.contains("[DefaultInstall.NTamd64]"));
    assert!(!inf.contains("$ARCH$"));
}

#[test]
fn somewhere_else_nothing_is_left_behind() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["sys", "--no-install"])
        .env_remove("CARGO_MANIFEST_DIR")
        .current_dir(&folder)
        .output()
        .expect("xtask runs");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{messages}");
    let expected = " is not the repository; run `cargo xtask` in it\n";
    assert!(messages.ends_with(expected), "{messages}");
    let left = fs::read_dir(&folder).expect("the folder is there").count();
    assert_eq!(left, 0);
}

#[test]
fn a_sample_that_does_not_exist_is_a_wrong_argument() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["sys", "none", "--no-install"])
        .output()
        .expect("xtask runs");
    assert_eq!(output.status.code(), Some(2));
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(
        messages.contains("possible values: ctx, blocks"),
        "{messages}"
    );
}
