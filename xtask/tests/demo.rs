//! `cargo xtask demo` from the outside: what it prints, what it ends with, and what it leaves,
//! whichever door the driver comes through, and that both doors give the same.
//!
//! What needs the driver's image is ignored by `cargo test` alone; `cargo xtask test` builds the
//! image and runs it.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use tempfile::TempDir;

const KINDS: [&str; 6] = [
    "volume",
    "instance",
    "file",
    "stream",
    "stream_handle",
    "transaction",
];

const IN_PROCESS: &str = "in-process";
const IMAGE: &str = "image";

/// Builds the image once, so that no test waits for another one that does. Nothing is installed.
static BUILT: LazyLock<()> = LazyLock::new(|| {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = command.args(["sys", "--release", "--no-install"]).output();
    let output = output.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
});

/// Makes a test of each function for each door.
macro_rules! through_both_doors {
    ($($name:ident,)*) => {
        mod in_process {
            $(
                #[test]
                fn $name() {
                    super::$name(super::IN_PROCESS);
                }
            )*
        }

        mod image {
            $(
                #[test]
                #[ignore = "builds ctx.sys: `cargo xtask test` does that first"]
                fn $name() {
                    super::$name(super::IMAGE);
                }
            )*
        }
    };
}

through_both_doors! {
    the_report_has_the_promised_shape_and_the_directory_is_untouched,
    the_same_seed_gives_the_same_counts_and_another_one_is_as_clean,
    an_empty_directory_is_enough_for_all_six_kinds,
    the_text_ends_with_the_table_and_a_verdict,
    what_is_skipped_is_told_beside_the_json,
    odd_entries_are_skipped_for_a_reason,
    an_interrupt_unloads_and_cleans_up,
}

/// The demo, and a temporary directory of its own in which nothing must be left.
struct Demo {
    temporary: TempDir,
    door: String,
}

impl Demo {
    fn new(door: &str) -> Self {
        if door == IMAGE {
            LazyLock::force(&BUILT);
        }
        let temporary = tempfile::tempdir().unwrap();
        let door = door.to_owned();
        Self { temporary, door }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(["demo", "--door", &self.door]);
        command.env("TMPDIR", self.temporary.path());
        command
    }

    fn run(&self, arguments: &[&str], directory: &Path) -> Output {
        let output = self.command().args(arguments).arg(directory).output();
        let output = output.unwrap();
        self.nothing_is_left();
        output
    }

    fn nothing_is_left(&self) {
        let left: Vec<_> = fs::read_dir(self.temporary.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// Runs with `--json` and expects a clean report.
    fn report(&self, arguments: &[&str], directory: &Path) -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let output = self.run(&all, directory);
        let errors = String::from_utf8(output.stderr).unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{errors}{printed}");
        assert_eq!(printed.lines().count(), 1, "one object on one line");
        serde_json::from_str(&printed).unwrap()
    }
}

/// A directory with a bit of everything that can be read.
fn tree() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir_all(root.join("src/deep/deeper")).unwrap();
    fs::create_dir(root.join("nothing in here")).unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("README.md"), "# A tree\n").unwrap();
    fs::write(root.join("readme.md"), "differs only in case\n").unwrap();
    fs::write(root.join("Größe ✓"), "Unicode\n").unwrap();
    // More than one chunk, and no multiple of anything.
    fs::write(root.join("src/large"), vec![7; 700_001]).unwrap();
    for index in 0..60 {
        let path = root.join(format!("src/deep/deeper/{index}.rs"));
        fs::write(path, format!("//! {index}\n").repeat(index)).unwrap();
    }
    symlink("/", root.join("link")).unwrap();
    directory
}

/// What must not change about a file or directory.
#[derive(PartialEq)]
struct Facts {
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
    contents: Option<Vec<u8>>,
}

/// Everything about a directory that must not change.
fn snapshot(root: &Path) -> BTreeMap<PathBuf, Facts> {
    let mut found = BTreeMap::new();
    let mut rest = vec![root.to_owned()];
    while let Some(path) = rest.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            rest.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        let contents = metadata.is_file().then(|| fs::read(&path).unwrap());
        let facts = Facts {
            mode: metadata.mode(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            contents,
        };
        found.insert(path, facts);
    }
    found
}

fn keys(object: &Value) -> Vec<&str> {
    object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

/// The one line that a bad input gets, with the given exit status and no output.
fn complaint(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(output.stdout.is_empty());
    assert_eq!(errors.lines().count(), 1, "{errors}");
    errors
}

fn the_report_has_the_promised_shape_and_the_directory_is_untouched(door: &str) {
    let tree = tree();
    let before = snapshot(tree.path());
    let report = Demo::new(door).report(&[], tree.path());
    assert!(
        snapshot(tree.path()) == before,
        "the directory was modified"
    );

    assert_eq!(
        keys(&report),
        [
            "driver",
            "door",
            "files",
            "bytes_read",
            "operations",
            "contexts",
            "leaks",
            "violations",
            "elapsed_s"
        ]
    );
    assert_eq!(report["driver"], "ctx");
    assert_eq!(report["door"], door);
    let files = before
        .values()
        .filter(|facts| facts.contents.is_some())
        .count();
    assert_eq!(report["files"], files);
    let bytes: usize = before
        .values()
        .filter_map(|facts| Some(facts.contents.as_ref()?.len()))
        .sum();
    assert_eq!(report["bytes_read"], bytes);
    for operation in [
        "IRP_MJ_CREATE",
        "IRP_MJ_READ",
        "IRP_MJ_WRITE",
        "IRP_MJ_QUERY_INFORMATION",
        "IRP_MJ_SET_INFORMATION",
        "IRP_MJ_DIRECTORY_CONTROL",
        "IRP_MJ_LOCK_CONTROL",
        "IRP_MJ_CLEANUP",
        "IRP_MJ_CLOSE",
    ] {
        assert!(
            report["operations"][operation].as_u64() > Some(0),
            "{operation}"
        );
    }
    let operations = &report["operations"];
    assert_eq!(operations["IRP_MJ_CLEANUP"], operations["IRP_MJ_CLOSE"]);
    assert_eq!(keys(&report["contexts"]), KINDS);
    for kind in KINDS {
        let row = &report["contexts"][kind];
        assert_eq!(keys(row), ["allocated", "freed", "peak", "live"]);
        assert!(row["allocated"].as_u64() > Some(0), "{kind}: {row}");
        assert_eq!(row["allocated"], row["freed"], "{kind}: {row}");
        assert_eq!(row["live"], 0, "{kind}: {row}");
        assert!(row["peak"].as_u64() > Some(0), "{kind}: {row}");
    }
    assert_eq!(report["contexts"]["volume"]["allocated"], 2);
    assert_eq!(report["contexts"]["instance"]["allocated"], 2);
    assert_eq!(report["leaks"].as_array().unwrap().len(), 0);
    assert_eq!(report["violations"].as_array().unwrap().len(), 0);
    assert!(report["elapsed_s"].is_f64());
}

fn the_same_seed_gives_the_same_counts_and_another_one_is_as_clean(door: &str) {
    let tree = tree();
    let demo = Demo::new(door);
    let run = |seed: &str| {
        let mut report = demo.report(&["--seed", seed], tree.path());
        report["elapsed_s"].take();
        report
    };
    assert_eq!(run("7"), run("7"));
    for seed in 0..8 {
        run(&seed.to_string());
    }
}

fn an_empty_directory_is_enough_for_all_six_kinds(door: &str) {
    let directory = tempfile::tempdir().unwrap();
    let report = Demo::new(door).report(&[], directory.path());
    assert_eq!(report["files"], 0);
    assert_eq!(report["bytes_read"], 0);
    for kind in KINDS {
        assert!(
            report["contexts"][kind]["allocated"].as_u64() > Some(0),
            "{kind}"
        );
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

fn the_text_ends_with_the_table_and_a_verdict(door: &str) {
    let tree = tree();
    let output = Demo::new(door).run(&[], tree.path());
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    for kind in [
        "volume",
        "instance",
        "file",
        "stream",
        "stream handle",
        "transaction",
    ] {
        assert!(text.contains(&format!("| {kind} ")), "{text}");
    }
    assert!(
        text.contains("skipped 1: 1 symbolic links, not followed"),
        "{text}"
    );
    assert!(
        text.ends_with("clean: nothing leaked, no rule broken\n"),
        "{text}"
    );
    // No terminal, no bar; but building an image takes so long that it is told.
    if door == IN_PROCESS {
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    }
}

fn what_is_skipped_is_told_beside_the_json(door: &str) {
    let tree = tree();
    let output = Demo::new(door).run(&["--json"], tree.path());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors
            .lines()
            .any(|line| line.starts_with("skipped 1: 1 symbolic links")),
        "{errors}"
    );
}

#[test]
fn a_missing_directory_is_bad_input() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let errors = complaint(&Demo::new(IN_PROCESS).run(&["--json"], &missing));
    assert!(errors.contains(missing.to_str().unwrap()), "{errors}");
    assert!(errors.contains("does not exist"), "{errors}");
}

#[test]
fn a_file_is_no_directory() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let errors = complaint(&Demo::new(IN_PROCESS).run(&[], &file));
    assert!(errors.contains(file.to_str().unwrap()), "{errors}");
    assert!(errors.contains("is not a directory"), "{errors}");
}

#[test]
fn the_root_has_no_outside_for_a_scratch_folder() {
    let errors = complaint(&Demo::new(IN_PROCESS).run(&[], Path::new("/")));
    assert!(errors.contains("scratch folder outside /"), "{errors}");
}

#[test]
fn an_unreadable_file_is_told_before_anything_happens() {
    let directory = tree();
    let secret = directory.path().join("src/secret");
    fs::write(&secret, "secret").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let demo = Demo::new(IN_PROCESS);
    let mut command = demo.command();
    let program = tempfile::tempdir().unwrap();
    if fs::read(&secret).is_ok() {
        // Root can read everything, so somebody else must try; and the build directory may be
        // out of their reach.
        fs::set_permissions(program.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let copy = program.path().join("xtask");
        fs::copy(env!("CARGO_BIN_EXE_xtask"), &copy).unwrap();
        fs::set_permissions(demo.temporary.path(), fs::Permissions::from_mode(0o777)).unwrap();
        command = Command::new(copy);
        command.args(["demo", "--door", IN_PROCESS]);
        command.env("TMPDIR", demo.temporary.path());
        command.current_dir("/").uid(65_534).gid(65_534);
    }
    let output = command
        .arg("--json")
        .arg(directory.path())
        .output()
        .unwrap();
    demo.nothing_is_left();
    let errors = complaint(&output);
    assert!(errors.contains(secret.to_str().unwrap()), "{errors}");
    assert!(errors.contains("make it readable"), "{errors}");
}

#[test]
fn wrong_arguments_are_bad_input() {
    let output = Demo::new(IN_PROCESS).run(&["--seed", "many"], Path::new("."));
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}

#[test]
fn the_help_names_the_exit_statuses() {
    let output = Demo::new(IN_PROCESS)
        .command()
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("Exit status:"), "{help}");
    assert!(help.contains("--seed"), "{help}");
}

/// Links, pipes and names that Windows has no words for are left alone and told.
fn odd_entries_are_skipped_for_a_reason(door: &str) {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::UnixListener;

    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::write(root.join("plain"), "plain").unwrap();
    fs::write(root.join("what?"), "").unwrap();
    fs::write(root.join(OsStr::from_bytes(b"\xFF\xFE")), "").unwrap();
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    let made = Command::new("mkfifo").arg(root.join("pipe")).status();
    assert!(made.unwrap().success());

    let output = Demo::new(door).run(&[], root);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for reason in [
        "named pipes",
        "sockets",
        "not Unicode",
        "Windows does not allow",
    ] {
        assert!(text.contains(reason), "{reason}: {text}");
    }
    assert!(text.contains("1 files in 1 directories"), "{text}");
}

/// Ctrl-C leaves no scratch folder behind.
fn an_interrupt_unloads_and_cleans_up(door: &str) {
    let directory = tempfile::tempdir().unwrap();
    // Long enough to be interrupted, and no disk space: a hole.
    let hole = fs::File::create(directory.path().join("hole")).unwrap();
    hole.set_len(1 << 40).unwrap();
    let demo = Demo::new(door);
    let mut child = demo
        .command()
        .arg("--json")
        .arg(directory.path())
        .spawn()
        .unwrap();
    // The scratch folder is there as soon as everything was looked at.
    while fs::read_dir(demo.temporary.path()).unwrap().count() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended too soon");
        std::thread::yield_now();
    }
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(130));
    demo.nothing_is_left();
}

/// The same operations, the same seed: the driver does the same with every kind of context, whether
/// it was compiled for Linux and linked in, or for Windows and mapped from its image.
#[test]
#[ignore = "builds ctx.sys: `cargo xtask test` does that first"]
fn both_doors_give_the_same() {
    let tree = tree();
    let demos = [Demo::new(IN_PROCESS), Demo::new(IMAGE)];
    let mut kinds = BTreeMap::new();
    for volume in ["ntfs", "fat", "redirector", "none"] {
        for seed in 0..8 {
            let seed = seed.to_string();
            let arguments = ["--volume", volume, "--seed", &seed];
            let [in_process, image] = demos.each_ref().map(|demo| {
                let mut report = demo.report(&arguments, tree.path());
                assert_eq!(report["door"].take(), *demo.door);
                report["elapsed_s"].take();
                report
            });
            assert_eq!(in_process, image, "{volume}, seed {seed}");
            for kind in KINDS {
                let allocated = image["contexts"][kind]["allocated"].as_u64();
                *kinds.entry((volume, kind)).or_insert(0) += allocated.unwrap();
            }
        }
    }
    // What was compared is not nothing.
    for (volume, used) in [("ntfs", 6), ("fat", 5), ("redirector", 5), ("none", 3)] {
        let count = KINDS
            .iter()
            .filter(|kind| kinds[&(volume, **kind)] > 0)
            .count();
        assert_eq!(count, used, "{volume}");
    }
}
