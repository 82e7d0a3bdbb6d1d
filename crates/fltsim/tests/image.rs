//! Driver images: what they find when they run, and what is said when they stop.
//!
//! `images/probe.sys` was made from `images/probe.c` by `images/build.sh`.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use fltmgr_sys::NTSTATUS;
use fltsim::image::{Image, Installed, Watch};
use fltsim::{DriverConfig, Machine};
use serde_json::Value;
use std::env;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

const PROBE: &[u8] = include_bytes!("images/probe.sys");
/// Tells a child process what to call.
const CALL: &str = "FLTSIM_TEST_CALL";

static INSTALLED: LazyLock<&'static Installed> = LazyLock::new(|| {
    let image = Image::from_bytes("images/probe.sys", PROBE).unwrap();
    image.install().unwrap()
});

/// Calls an exported function with up to four arguments, on a machine.
fn call(name: &str, arguments: [u64; 4]) -> u64 {
    type Function = unsafe extern "win64" fn(u64, u64, u64, u64) -> u64;
    let address = INSTALLED.export(name).expect(name);
    // SAFETY: every exported function of the probe may be called like this: it takes at most four
    // integers, and returns at most one.
    let function = unsafe { std::mem::transmute::<usize, Function>(address) };
    let [one, two, three, four] = arguments;
    Machine::default().at_irql(0, || {
        // SAFETY: as above.
        unsafe { function(one, two, three, four) }
    })
}

fn ask(name: &str) -> u64 {
    call(name, [0; 4])
}

#[allow(clippy::cast_possible_truncation, reason = "a status is the low half")]
fn status(value: u64) -> NTSTATUS {
    (value as u32).cast_signed()
}

/// What a status is in a register.
fn code(status: u32) -> NTSTATUS {
    status.cast_signed()
}

/// Runs a function in a process of its own and gives the report that it stops with.
fn stopped(name: &str) -> Value {
    stopped_with(name, 0)
}

fn stopped_with(name: &str, argument: u64) -> Value {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child_process", "--nocapture"])
        .env(CALL, format!("{name} {argument}"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{name}: {output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"))
}

/// Not a test: what [`stopped`] starts.
#[test]
fn child_process() {
    if let Ok(what) = env::var(CALL) {
        let (name, argument) = what.split_once(' ').unwrap();
        let watch = Watch::new(std::io::stderr().as_fd().try_clone_to_owned().unwrap()).unwrap();
        let seconds = if name.ends_with("for_ever") { 1 } else { 60 };
        std::thread::spawn(move || {
            while !watch.wait(Duration::from_secs(seconds)) {
                watch.stop_hanging(seconds);
            }
            watch.end()
        });
        call(name, [argument.parse().unwrap(), 0, 0, 0]);
        unreachable!("{name} returned");
    }
}

/// The value of a number that is a string.
fn number(value: &Value) -> u64 {
    let text = value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no string"));
    u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap()
}

/// Where an export is in the image.
fn offset(name: &str) -> u64 {
    let (base, _) = INSTALLED.range();
    (INSTALLED.export(name).unwrap() - base) as u64
}

#[test]
fn the_entry_point_runs_and_prints() {
    let machine = Machine::default();
    let driver = machine.create_driver(DriverConfig::new("probe"));
    driver.start(INSTALLED.entry()).unwrap();
    let printed = machine.debug_output();
    let expected = format!(
        "probe: {:016X} \\Registry\\Machine\\System\\CurrentControlSet\\Services\\probe 42 narrow",
        driver.driver_object() as usize
    );
    assert_eq!(printed, [expected]);
}

#[test]
fn it_is_relocated_bound_and_armed() {
    assert_eq!(ask("relocated"), 12);
    let cookie = ask("cookie");
    assert_ne!(cookie, 0x2B99_2DDF_A232, "the linker's own value");
    assert_eq!(cookie >> 48, 0);
    assert_ne!(ask("data_import"), 0);
    let missing = ["ntoskrnl.exe!MissingFunction", "FLTMGR.SYS ordinal 4711"];
    assert_eq!(INSTALLED.missing(), missing);
    assert_eq!(INSTALLED.name(), "probe.sys");
}

#[test]
fn the_processor_looks_like_the_kernels() {
    let (thread, processor) = (ask("current_thread"), ask("processor"));
    assert_ne!(thread, 0);
    assert_ne!(processor, 0);
    assert_eq!(ask("current_thread"), thread);
    let other = std::thread::spawn(|| (ask("current_thread"), ask("processor")));
    let (other_thread, other_processor) = other.join().unwrap();
    assert_ne!(other_thread, thread);
    assert_ne!(other_processor, processor);
    // Before, raised, after, and what the function says.
    assert_eq!(ask("irql"), 0x0000_0200);
}

#[test]
fn the_shared_page_can_be_read() {
    let found = ask("shared_data");
    assert_eq!(found & 0xFF, 10, "NtMajorVersion");
    assert_eq!(found >> 8 & 0xFF, 10, "the same in a byte");
    assert_eq!(found >> 16 & 0xFFFF, 22631, "NtBuildNumber, by its address");
    assert_eq!(found >> 32, 1, "InterruptTime, through one register");
    let first = ask("interrupt_time");
    std::thread::sleep(std::time::Duration::from_millis(2));
    assert!(ask("interrupt_time") >= first + 10_000);
}

#[test]
fn the_shared_page_can_be_copied() {
    // Eight bytes on, four bytes on, and 10.0 both times.
    assert_eq!(ask("shared_copy"), 0x0008_0004_000A_0A00);
}

#[test]
fn exceptions_are_handled_where_the_driver_says() {
    let raised = call("except_raised", [0xC000_0123, 0, 0, 0]);
    assert_eq!(status(raised), code(0xC000_0123));
    assert_eq!(status(ask("except_fault")), code(0xC000_0005));
    assert_eq!(status(ask("except_divide")), code(0xC000_0094));
    assert_eq!(status(ask("except_copy")), code(0xC000_0005));
    assert_eq!(status(ask("except_rethrown")), code(0xC000_0002));
    // Filter, declines; filter, accepts; `__finally`; handler; and a `__finally` in peace.
    assert_eq!(ask("except_nested"), 172_345);
    assert_eq!(ask("except_resumed"), 99);
}

#[test]
fn probing_raises() {
    let probe = |address| status(call("except_probe", [address, 0, 0, 0]));
    assert_eq!(probe(0x1000), 0);
    assert_eq!(probe(0x1001), code(0x8000_0002));
    assert_eq!(probe(0x7FFF_FFFE_FFF8), code(0xC000_0005));
    assert_eq!(probe(0xFFFF_8000_0000_0000), code(0xC000_0005));
    assert_eq!(probe(u64::MAX - 7), code(0xC000_0005));
}

#[test]
fn unwinding_brings_registers_back() {
    let [a, b, c, d] = [0x1111, 0x2222, 0x3333, 0x4444];
    let expected = (a ^ b) + (c ^ d) * 3 + 0xC000_0001;
    assert_eq!(call("except_registers", [a, b, c, d]), expected);
}

#[test]
fn a_block_is_left_through_its_finally() {
    assert_eq!(call("leave_try", [1, 0, 0, 0]), 602);
    // From a function that the block called, whose own `__finally` comes first.
    assert_eq!(call("leave_two", [1, 0, 0, 0]), 632);
    // The second one raises, which ends the leaving.
    assert_eq!(ask("leave_raising"), 0xC000_0077_0000_0020);
}

#[test]
fn a_large_frame_is_probed() {
    assert_eq!(call("large_frame", [0x41, 0, 0, 0]), 0x4142);
    let report = stopped("large_overflow");
    assert_eq!(report["name"], "UNEXPECTED_KERNEL_MODE_TRAP");
    assert!(
        report["what"].as_str().unwrap().contains("is exhausted"),
        "{report}"
    );
    // The function that asked for the frame is the first of the driver's in the backtrace.
    let frames = report["backtrace"].as_array().unwrap();
    let inside: Vec<_> = frames
        .iter()
        .filter(|frame| frame["image"] == "probe.sys")
        .collect();
    assert!(inside.len() > 2, "{report}");
}

#[test]
fn many_exceptions_leave_nothing_behind() {
    for _ in 0..2000 {
        assert_eq!(call("leave_two", [1, 0, 0, 0]), 632);
        assert_eq!(ask("leave_raising") >> 32, 0xC000_0077);
        assert_eq!(ask("except_nested"), 172_345);
        assert_eq!(status(ask("except_fault")), code(0xC000_0005));
    }
}

#[test]
fn faults_stop_the_driver_with_a_report() {
    let report = stopped("null_write");
    assert_eq!(report["code"], 0x7E);
    assert_eq!(report["name"], "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED");
    assert_eq!(number(&report["parameters"][0]), 0xC000_0005);
    assert_eq!(report["what"], "access violation, writing address 0x0");
    assert_eq!(report["image"], "probe.sys");
    assert_eq!(report["irql"], 0);
    let (offset, rip) = (
        number(&report["offset"]),
        number(&report["registers"]["rip"]),
    );
    assert_eq!(number(&report["address"]), rip);
    assert!(rip.is_multiple_of(0x1000) == offset.is_multiple_of(0x1000));
    assert_eq!(rip & 0xFFF, offset & 0xFFF);

    let what = |name| stopped(name)["what"].as_str().unwrap().to_owned();
    assert_eq!(
        what("wild_read"),
        "access violation, reading address 0x1234567890"
    );
    assert_eq!(
        what("divide"),
        "exception 0xC0000094: integer divide by zero"
    );
    assert_eq!(
        what("breakpoint"),
        "exception 0x80000003: breakpoint without a debugger"
    );
    assert_eq!(what("illegal"), "exception 0xC000001D: illegal instruction");
    assert_eq!(
        what("privileged"),
        "exception 0xC0000096: privileged instruction"
    );
    assert_eq!(what("assertion"), "exception 0xC0000420: assertion failure");
    assert_eq!(
        what("non_canonical"),
        "exception 0xC0000005: access violation"
    );
    assert!(what("write_code").starts_with("access violation, writing address 0x"));
    assert!(what("bad_argument").contains("in a function that the driver called"));
}

#[test]
fn the_code_of_a_stop_is_that_of_the_kernel() {
    let report = stopped("kernel_read");
    assert_eq!(report["name"], "PAGE_FAULT_IN_NONPAGED_AREA");
    assert_eq!(number(&report["parameters"][0]), 0xFFFF_9000_1234_5678);
    let report = stopped("dispatch_fault");
    assert_eq!(report["name"], "DRIVER_IRQL_NOT_LESS_OR_EQUAL");
    assert_eq!(report["irql"], 2);
    let report = stopped_with("fast_fail", 2);
    assert_eq!(report["name"], "KERNEL_SECURITY_CHECK_FAILURE");
    assert_eq!(number(&report["parameters"][0]), 2);
    let report = stopped("stop");
    assert_eq!(report["code"], 0xE2);
    assert_eq!(
        report["parameters"],
        serde_json::json!(["0x1", "0x2", "0x3", "0x4"])
    );
    let report = stopped("overflow");
    assert_eq!(report["name"], "UNEXPECTED_KERNEL_MODE_TRAP");
    assert_eq!(report["image"], "probe.sys");
    assert!(
        report["what"].as_str().unwrap().contains("is exhausted"),
        "{report}"
    );
    let report = stopped("except_unhandled");
    assert_eq!(number(&report["parameters"][0]), 0xC000_0099);
}

#[test]
fn a_missing_import_names_itself_when_it_is_called() {
    let report = stopped("missing_name");
    let what = "ntoskrnl.exe!MissingFunction is not implemented, and the driver called it";
    assert_eq!(report["what"], what);
    assert_eq!(report["image"], "probe.sys");
    let what = "FLTMGR.SYS ordinal 4711 is not implemented, and the driver called it";
    assert_eq!(stopped("missing_ordinal")["what"], what);
}

#[test]
fn the_backtrace_shows_every_frame() {
    let report = stopped_with("first_frame", 1);
    let frames = report["backtrace"].as_array().unwrap();
    let inside: Vec<u64> = frames
        .iter()
        .take_while(|frame| frame["image"] == "probe.sys")
        .map(|frame| number(&frame["offset"]))
        .collect();
    // write_to, third_frame, second_frame, first_frame; only the last one is exported.
    assert_eq!(inside.len(), 4, "{report}");
    let start = offset("first_frame");
    assert!((start..start + 0x100).contains(&inside[3]), "{inside:x?}");
    assert!(frames.len() > 4, "where it was called from");
    assert_eq!(frames[4]["image"], Value::Null);

    let report = stopped("jump_to_null");
    let frames = report["backtrace"].as_array().unwrap();
    assert_eq!(number(&frames[0]["address"]), 0);
    assert_eq!(frames[1]["image"], "probe.sys");
}

#[test]
fn a_driver_that_comes_to_no_end_is_found_and_stopped() {
    for name in ["spin_for_ever", "wait_for_ever"] {
        let report = stopped(name);
        assert_eq!(report["code"], 0xE2, "{name}");
        assert_eq!(report["name"], "MANUALLY_INITIATED_CRASH");
        let what = "nothing went on for 1 seconds, so the driver was stopped";
        assert_eq!(report["what"], what);
        let frames = report["backtrace"].as_array().unwrap();
        let inside = frames.iter().find(|frame| frame["image"] == "probe.sys");
        let at = number(&inside.unwrap()["offset"]);
        let start = offset(name);
        assert!((start..start + 0x100).contains(&at), "{name}: {report}");
    }
}
