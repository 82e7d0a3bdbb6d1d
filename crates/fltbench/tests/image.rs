//! The image door, from the command line: a driver in C that does well or badly, as the name of its
//! service says.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use fltbench::report::Report;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const MINIFILTER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../fltsim/tests/images/minifilter.sys"
);

/// A directory to run on, a driver, and a folder for everything temporary.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new(service: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bench = Self { folder };
        for name in ["tree", "tmp"] {
            fs::create_dir(bench.path(name)).unwrap();
        }
        for index in 0..20 {
            let name = bench.path(&format!("tree/file-{index}"));
            fs::write(name, format!("the contents of {index}")).unwrap();
        }
        fs::copy(MINIFILTER, bench.path("minifilter.sys")).unwrap();
        // Found because it lies beside the image.
        let inf = format!(
            "[DefaultInstall.NTamd64.Services]\nAddService = {service},,Service\n\
             [Service]\nAddReg = Registry\n\
             [Registry]\nHKR,\"Instances\",\"DefaultInstance\",0,\"Main\"\n\
             HKR,\"Instances\\Main\",\"Altitude\",0,\"370030\"\n\
             HKR,\"Instances\\Main\",\"Flags\",0x10001,0\n"
        );
        fs::write(bench.path("minifilter.inf"), inf).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, more: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_fltbench"))
            .arg("run")
            .arg(self.path("minifilter.sys"))
            .arg(self.path("tree"))
            .args(more)
            .env("TMPDIR", self.path("tmp"))
            .output()
            .unwrap();
        let left = fs::read_dir(self.path("tmp")).unwrap().count();
        assert_eq!(left, 0, "the scratch folder was left behind");
        output
    }

    /// The report and the exit status.
    fn report(&self, more: &[&str]) -> (Report, i32) {
        let output = self.run(&[&["--json"], more].concat());
        let report = serde_json::from_slice(&output.stdout);
        let report = report.unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (report, output.status.code().unwrap())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_driver_in_c_runs_clean() {
    let bench = Bench::new("well");
    let (report, status) = bench.report(&["--seed", "7"]);
    assert_eq!(status, 0, "{:?}", report.violations);
    assert_eq!((&*report.driver, &*report.door), ("minifilter", "image"));
    assert_eq!(report.files, 20);
    assert!(report.is_clean());
    assert!(report.contexts.stream.allocated >= 20);
    assert_eq!(report.contexts.stream.live, 0);
    let (again, _) = bench.report(&["--seed", "7"]);
    assert_eq!(again.contexts, report.contexts);
    assert_eq!(again.operations, report.operations);

    let output = bench.run(&[]);
    let printed = text(&output.stdout);
    assert!(
        printed.ends_with("clean: nothing leaked, no rule broken\n"),
        "{printed}"
    );
    assert!(
        printed.contains("exceptions handled, last wait 00000000"),
        "{printed}"
    );
    let note = "ntoskrnl.exe!MissingFunction is not implemented";
    assert!(text(&output.stderr).contains(note));
}

#[test]
fn every_file_system_will_do() {
    let bench = Bench::new("well");
    for (volume, streams) in [("fat", true), ("redirector", true), ("none", false)] {
        let (report, status) = bench.report(&["--volume", volume]);
        assert_eq!(status, 0, "{volume}: {:?}", report.violations);
        assert_eq!(report.files, 20);
        // Without support each is allocated and released again.
        let found = report.contexts.stream.peak > 1;
        assert_eq!(found, streams, "{volume}: {:?}", report.contexts);
    }
}

#[test]
fn leaks_and_broken_rules_are_told() {
    let (report, status) = Bench::new("leak").report(&[]);
    assert_eq!(status, 1);
    assert!(
        report
            .leaks
            .iter()
            .all(|leak| leak.kind.as_deref() == Some("stream"))
    );
    assert!(report.leaks.len() >= 20, "{:?}", report.leaks);
    let (report, status) = Bench::new("leave-resource").report(&[]);
    assert_eq!(status, 1);
    let told = |what: &str| {
        report
            .violations
            .iter()
            .any(|found| found.message.contains(what))
    };
    assert!(
        told("a callback returned and holds the resource"),
        "{:?}",
        report.violations
    );
    assert!(report.stopped.is_none());
    let (report, status) = Bench::new("leak-port").report(&[]);
    assert_eq!((status, report.leaks.len()), (1, 1), "{:?}", report.leaks);
    assert_eq!(report.leaks[0].object, "server port");
    // Nobody connects, so there is nothing to keep.
    let (_, status) = Bench::new("keep-client").report(&[]);
    assert_eq!(status, 0);
}

#[test]
fn a_driver_that_stops_is_survived() {
    let stops = [
        ("crash", 0x7E, "access violation, writing address 0x0"),
        (
            "raise",
            0x7E,
            "exception 0xC0000077: raised by the driver and not handled",
        ),
        ("spin", 0xD1, "access violation, writing address 0x0"),
        (
            "call-missing",
            0x7E,
            "ntoskrnl.exe!MissingFunction is not implemented, and the driver called it",
        ),
    ];
    for (service, code, what) in stops {
        let bench = Bench::new(service);
        let (report, status) = bench.report(&[]);
        assert_eq!(status, 1, "{service}");
        let stopped = report.stopped.unwrap();
        assert_eq!((stopped.code, &*stopped.what), (code, what), "{service}");
        assert_eq!(
            stopped.image.as_deref(),
            Some("minifilter.sys"),
            "{service}"
        );
        assert!(stopped.backtrace.len() >= 2, "{service}: {stopped:?}");
        assert_eq!(report.violations.len(), 1, "{service}");
        // What had been counted until then.
        assert_eq!(report.operations["IRP_MJ_READ"], 5, "{service}");
        let streams = report.contexts.stream;
        assert_eq!((streams.allocated, streams.live), (5, 5), "{service}");
        assert_eq!(report.violations[0].rule, "bugcheck");
        assert_eq!(report.violations[0].bugcheck, Some(code));
        let output = bench.run(&[]);
        assert_eq!(output.status.code(), Some(1));
        let printed = text(&output.stdout);
        assert!(
            printed.contains(&format!("*** STOP: {code:#010X}")),
            "{printed}"
        );
        assert!(
            printed.contains("NOT CLEAN: the driver stopped the machine, "),
            "{printed}"
        );
    }
}

#[test]
fn a_driver_that_hangs_is_stopped() {
    let bench = Bench::new("hang");
    let (report, status) = bench.report(&["--patience", "1"]);
    assert_eq!(status, 1);
    let stopped = report.stopped.unwrap();
    assert_eq!(stopped.code, 0xE2);
    let what = "nothing went on for 1 seconds, so the driver was stopped";
    assert_eq!(stopped.what, what);
    assert_eq!(stopped.image.as_deref(), Some("minifilter.sys"));
    assert_eq!(report.operations["IRP_MJ_READ"], 5);
    assert_eq!(report.contexts.stream.live, 5);
}

#[test]
fn a_host_without_room_is_not_the_drivers_fault() {
    let bench = Bench::new("well");
    // Files of 8 KiB and no larger, told by an error and not by a signal.
    let script = "ulimit -f 16; trap '' XFSZ; exec \"$0\" run \"$1\" \"$2\" --json";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_fltbench")])
        .arg(bench.path("minifilter.sys"))
        .arg(bench.path("tree"))
        .env("TMPDIR", bench.path("tmp"))
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty());
    let error = "has no room for what the workload writes; make some, or set TMPDIR to a \
                 directory elsewhere\n";
    assert!(said.ends_with(error), "{said}");
    assert_eq!(fs::read_dir(bench.path("tmp")).unwrap().count(), 0);
}

#[test]
fn a_hanging_driver_does_not_outlive_the_bench() {
    let bench = Bench::new("hang");
    let parent = Command::new(env!("CARGO_BIN_EXE_fltbench"))
        .arg("run")
        .arg(bench.path("minifilter.sys"))
        .arg(bench.path("tree"))
        .args(["--patience", "0"])
        .env("TMPDIR", bench.path("tmp"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut parent = parent.unwrap();
    let children = format!("/proc/{0}/task/{0}/children", parent.id());
    let until = |what: &str, done: &mut dyn FnMut() -> bool| {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
            thread::sleep(Duration::from_millis(20));
        }
    };
    let mut child = String::new();
    until("no child", &mut || {
        child = fs::read_to_string(&children).unwrap().trim().to_owned();
        !child.is_empty()
    });
    // The driver hangs soon after the second folder is there.
    let made = || {
        let outer = fs::read_dir(bench.path("tmp")).unwrap().next()?.ok()?;
        fs::read_dir(outer.path()).ok()?.next()
    };
    until("no scratch folder", &mut || made().is_some());
    thread::sleep(Duration::from_millis(200));
    parent.kill().unwrap();
    parent.wait().unwrap();
    let child = PathBuf::from("/proc").join(child);
    until("the child is still there", &mut || !child.exists());
    assert_eq!(fs::read_dir(bench.path("tmp")).unwrap().count(), 0);
}

#[test]
fn bad_input_ends_with_2_and_a_line() {
    let bench = Bench::new("well");
    let refused = |image: &[u8], more: &[&str], what: &str| {
        fs::write(bench.path("minifilter.sys"), image).unwrap();
        let output = bench.run(more);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(output.stdout.is_empty());
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with("error: ") && said.contains(what), "{said}");
    };
    let good = fs::read(MINIFILTER).unwrap();
    refused(b"", &[], "the file is empty");
    refused(b"hello", &[], "DosHeader.e_magic");
    refused(&good[..3000], &[], "truncated");
    refused(&good, &["--inf", "/nowhere.inf"], "/nowhere.inf");
    fs::write(bench.path("minifilter.inf"), "[Version]\n").unwrap();
    refused(&good, &[], "DefaultInstance");
    fs::remove_dir_all(bench.path("tree")).unwrap();
    refused(&good, &[], "does not exist");
}
