//! `cargo xtask sys`, from the outside: the driver that it leaves, and that it leaves the same
//! one again.

use object::read::pe::{ImageOptionalHeader as _, PeFile64};
use object::{LittleEndian as LE, NameOrOrdinal, Object as _, pe};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("xtask is in a folder").to_owned()
}

/// Builds the release driver and returns it. Nothing is installed for that.
fn build(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["sys", "--release", "--no-install"])
        .args(arguments)
        .output()
        .expect("xtask runs");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{messages}");
    let image = repository().join("target/sys/release/ctx.sys");
    fs::read(image).expect("the driver is there")
}

#[test]
#[ignore = "builds a kernel driver: minutes, the first time"]
fn the_same_driver_is_built_twice_and_the_sources_stay() {
    let lock_file = repository().join("Cargo.lock");
    let lock = fs::read(&lock_file).expect("there is a lock file");
    let first = build(&[]);
    let again = build(&["--rebuild"]);
    assert!(again == first, "two builds differ");
    assert_eq!(fs::read(&lock_file).ok(), Some(lock), "Cargo.lock changed");
}

#[test]
#[ignore = "builds a kernel driver: minutes, the first time"]
fn the_driver_is_a_native_image_without_panics() {
    let bytes = build(&[]);
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

    let symbols = repository().join("target/sys/release/ctx.pdb");
    assert!(symbols.exists());
    let inf = repository().join("target/sys/release/ctx.inf");
    let inf = fs::read_to_string(inf).expect("the INF is there");
    assert!(inf.contains("[DefaultInstall.NTamd64]"));
    assert!(!inf.contains("$ARCH$"));
}
