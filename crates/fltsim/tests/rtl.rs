//! The run-time library and the kernel's locks, called by a driver image that declares everything
//! itself.
//!
//! `images/rtl.sys` was made from `images/rtl.c` by `images/build.sh`. Each of its functions gives 0,
//! or the line of the first thing that was not as documented.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use fltsim::image::{Image, Installed};
use fltsim::verifier::Rule;
use fltsim::{Fault, Machine};
use std::sync::LazyLock;

const RTL: &[u8] = include_bytes!("images/rtl.sys");

static INSTALLED: LazyLock<&'static Installed> = LazyLock::new(|| {
    let image = Image::from_bytes("images/rtl.sys", RTL).unwrap();
    image.install().unwrap()
});

/// Calls an exported function on a machine.
fn call_on(machine: &Machine, name: &str, argument: u64) -> u64 {
    type Function = unsafe extern "win64" fn(u64) -> u64;
    let address = INSTALLED.export(name).expect(name);
    // SAFETY: every exported function of the image may be called like this.
    let function = unsafe { std::mem::transmute::<usize, Function>(address) };
    machine.at_irql(0, || {
        // SAFETY: as above.
        unsafe { function(argument) }
    })
}

/// Calls a function that finds everything as documented, and breaks no rule.
fn check(name: &str) -> Machine {
    let machine = Machine::default();
    assert_eq!(call_on(&machine, name, 0), 0, "{name}: a line of rtl.c");
    let reports = machine.verifier().reports();
    assert!(reports.is_empty(), "{name}: {reports:?}");
    machine
}

/// Calls a function that breaks one rule.
fn breaks(name: &str, rule: Rule) -> u64 {
    let machine = Machine::default();
    let result = call_on(&machine, name, 0);
    let reports = machine.verifier().reports();
    let rules: Vec<_> = reports.iter().map(|report| report.rule).collect();
    assert_eq!(rules, [rule], "{name}: {reports:?}");
    result
}

#[test]
fn nothing_is_missing() {
    assert_eq!(INSTALLED.missing(), [""; 0]);
}

#[test]
fn bit_maps() {
    check("bit_maps");
    assert_eq!(breaks("bit_map_overrun", Rule::V0), 0);
}

#[test]
fn generic_tables() {
    check("avl_tables");
    let machine = check("splay_tables");
    assert_eq!(machine.calls("RtlInsertElementGenericTable"), 300);
    assert!(machine.finish().is_clean(), "every node was freed");
}

#[test]
fn hash_tables() {
    let machine = check("hash_tables");
    assert!(machine.finish().is_clean(), "the table was freed");
}

#[test]
fn strings_and_the_c_library() {
    let machine = check("strings");
    assert!(machine.finish().is_clean(), "every string was freed");
    check("c_library");
}

#[test]
fn printing() {
    let machine = check("printing");
    assert_eq!(machine.debug_output(), ["rtl: prefixed 9"]);
}

#[test]
fn times_names_and_versions() {
    check("times");
    check("names");
    check("system");
}

#[test]
fn locks() {
    check("locks");
}

#[test]
fn run_down_protection() {
    check("rundown");
    assert_eq!(breaks("rundown_underflow", Rule::V20), 0);
}

#[test]
fn running_down_waits() {
    let machine = Machine::default();
    let protection = Box::leak(Box::new(0_u64));
    let at = &raw mut *protection as u64;
    assert_eq!(call_on(&machine, "rundown_acquire", at) & 0xFF, 1);
    std::thread::scope(|threads| {
        let waiter = threads.spawn(|| call_on(&machine, "rundown_wait", at));
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(!waiter.is_finished());
        call_on(&machine, "rundown_release", at);
        waiter.join().unwrap();
    });
    assert_eq!(call_on(&machine, "rundown_acquire", at) & 0xFF, 0);
}

#[test]
fn security() {
    let machine = check("security");
    assert!(machine.finish().is_clean(), "every string was freed");
    check("well_known");
}

#[test]
fn a_break_point_is_an_exception() {
    let code = call_on(&Machine::default(), "break_point", 0) & 0xFFFF_FFFF;
    assert_eq!(code, 0x8000_0003);
}

#[test]
fn pool_with_quota_raises() {
    let machine = Machine::default();
    machine.inject(Fault::Pool { after: 0 });
    let code = call_on(&machine, "pool_raises", 0) & 0xFFFF_FFFF;
    assert_eq!(code, 0xC000_009A);
}

#[test]
fn the_stack_is_walked() {
    check("backtrace");
}
