//! Driver images: exceptions in odd places.
//!
//! `images/unwind.sys` was made from `images/unwind.c` by `images/build.sh`.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use fltsim::image::{Image, Installed, Watch};
use fltsim::{DriverConfig, Machine, Unload};
use serde_json::Value;
use std::env;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

const UNWIND: &[u8] = include_bytes!("images/unwind.sys");
/// Tells a child process what to call.
const CALL: &str = "FLTSIM_TEST_CALL";
const ACCESS_VIOLATION: u64 = 0xC000_0005;

static INSTALLED: LazyLock<&'static Installed> = LazyLock::new(|| {
    let image = Image::from_bytes("images/unwind.sys", UNWIND).unwrap();
    assert_eq!(image.missing(), [""; 0]);
    image.install().unwrap()
});

/// Calls an exported function with up to three arguments, as a driver that was started.
fn call(name: &str, arguments: [u64; 3]) -> u64 {
    type Function = unsafe extern "win64" fn(u64, u64, u64) -> u64;
    let address = INSTALLED.export(name).expect(name);
    // SAFETY: every exported function of the image may be called like this: it takes at most three
    // integers, and returns at most one.
    let function = unsafe { std::mem::transmute::<usize, Function>(address) };
    let [one, two, three] = arguments;
    let machine = Machine::default();
    let driver = machine.create_driver(DriverConfig::new("unwind"));
    INSTALLED.start(&driver).unwrap();
    let answer = machine.at_irql(0, || {
        // SAFETY: as above.
        unsafe { function(one, two, three) }
    });
    let _ = driver.unload(Unload::Normal);
    answer
}

fn ask(name: &str) -> u64 {
    call(name, [0; 3])
}

/// Runs a function in a process of its own and gives the report that it stops with.
fn stopped(name: &str) -> Value {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child_process", "--nocapture"])
        .env(CALL, name)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{name}: {output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"))
}

/// Not a test: what [`stopped`] starts.
#[test]
fn child_process() {
    if let Ok(name) = env::var(CALL) {
        let watch = Watch::new(std::io::stderr().as_fd().try_clone_to_owned().unwrap()).unwrap();
        std::thread::spawn(move || {
            while !watch.wait(Duration::from_mins(1)) {}
            watch.end()
        });
        ask(&name);
        unreachable!("{name} returned");
    }
}

/// What `__except` saw, and in which order what ran.
fn seen(answer: u64) -> (u64, u64) {
    (answer >> 32, answer & 0xFFFF_FFFF)
}

#[test]
fn a_fault_in_an_epilogue_is_one_of_the_caller() {
    for name in ["except_epilogue", "except_epilogue_frame"] {
        let answer = call(name, [0x1000, 0x20, 0]);
        assert_eq!(answer, ACCESS_VIOLATION + 0x3020, "{name}");
    }
}

#[test]
fn a_part_of_a_function_brings_back_what_it_saved() {
    let answer = call("except_chained", [0x1000, 0x20, 0]);
    assert_eq!(answer, ACCESS_VIOLATION + 0x3020);
}

#[test]
fn exceptions_meet() {
    assert_eq!(seen(ask("collided")), (0xC000_0002, 123));
    assert_eq!(seen(ask("nested_in_finally")), (ACCESS_VIOLATION, 17234));
    assert_eq!(seen(ask("nested_in_filter")), (ACCESS_VIOLATION, 172));
    assert_eq!(seen(ask("raised_in_filter")), (0xC000_0033, 568));
}

#[test]
fn exceptions_that_meet_leave_nothing_behind() {
    for _ in 0..1000 {
        assert_eq!(seen(ask("collided")).1, 123);
        assert_eq!(seen(ask("raised_in_filter")).1, 568);
        assert_eq!(seen(ask("nested_in_finally")).1, 17234);
    }
}

#[test]
fn probing_for_writing_writes() {
    let probe = |address, length, alignment| {
        call("except_probe_for_write", [address, length, alignment]) & 0xFFFF_FFFF
    };
    let mut room = [7_u64; 2048];
    let address = room.as_mut_ptr() as u64;
    assert_eq!(probe(address, 16384, 8), 0);
    assert_eq!(probe(address + 1, 16383, 1), 0);
    assert_eq!(probe(address + 1, 16, 8), 0x8000_0002);
    assert_eq!(room, [7; 2048]);
    // Not there, not writable, not a user's; and nothing at all is always fine.
    assert_eq!(probe(0x1000, 1, 1), ACCESS_VIOLATION);
    assert_eq!(probe(UNWIND.as_ptr() as u64, 1, 1), ACCESS_VIOLATION);
    assert_eq!(probe(0xFFFF_8000_0000_0000, 16, 8), ACCESS_VIOLATION);
    assert_eq!(probe(u64::MAX - 7, 16, 8), ACCESS_VIOLATION);
    assert_eq!(probe(0x1000, 0, 1), 0);
    // The last page counts as the first one does.
    let (base, size) = INSTALLED.range();
    let end = (base + size) as u64;
    assert_eq!(probe(end - 16, 32, 1), ACCESS_VIOLATION);
}

#[test]
fn threads_of_the_driver_have_exceptions_of_their_own() {
    assert_eq!(ask("threads"), 4000);
}

#[test]
fn a_fault_on_a_thread_of_the_driver_is_told_with_its_place() {
    let report = stopped("thread_faults");
    assert_eq!(report["code"], 0x7E);
    assert_eq!(report["what"], "access violation, writing address 0x0");
    assert_eq!(report["image"], "unwind.sys");
    let report = stopped("thread_overflows");
    assert_eq!(report["name"], "UNEXPECTED_KERNEL_MODE_TRAP");
    assert_eq!(report["image"], "unwind.sys");
    let what = report["what"].as_str().unwrap();
    assert!(what.contains("the stack is exhausted"), "{what}");
}
