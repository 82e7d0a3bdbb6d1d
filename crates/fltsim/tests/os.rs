//! What the kernel proper does for drivers, from a real image: `images/os.sys`, which was made from
//! `images/os.c` by `images/build.sh`.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use fltsim::filesystem::Personality;
use fltsim::image::{Image, Installed};
use fltsim::verifier::Severity;
use fltsim::{DriverConfig, Machine, OpenOptions, VolumeConfig};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

const OS: &[u8] = include_bytes!("images/os.sys");

static INSTALLED: LazyLock<&'static Installed> = LazyLock::new(|| {
    let image = Image::from_bytes("images/os.sys", OS).unwrap();
    let installed = image.install().unwrap();
    assert_eq!(installed.missing(), &[] as &[String]);
    installed
});

/// Calls an exported function, which gives 0 or the line of `os.c` that was not satisfied.
fn run(machine: &Machine, name: &str) {
    assert_eq!(ask(machine, name, 0), 0, "the line of os.c, in {name}");
}

fn ask(machine: &Machine, name: &str, argument: u64) -> u64 {
    type Function = unsafe extern "win64" fn(u64) -> u64;
    let address = INSTALLED.export(name).expect(name);
    // SAFETY: every exported function takes at most one integer, and returns one.
    let function = unsafe { std::mem::transmute::<usize, Function>(address) };
    machine.at_irql(0, || {
        // SAFETY: as above.
        unsafe { function(argument) }
    })
}

/// Runs functions, on a machine of their own, that must not leave anything to complain about.
fn clean(names: &[&str]) -> Machine {
    let machine = Machine::default();
    for name in names {
        run(&machine, name);
    }
    let outcome = machine.finish();
    assert!(outcome.is_clean(), "{outcome:#?}");
    machine
}

/// What was left: each object, and the call that it came from.
fn left(machine: &Machine) -> Vec<(&'static str, &'static str)> {
    let leaks = machine.finish().leaks;
    let names = leaks.iter().map(|leak| (leak.object, leak.acquired[0].0));
    names.collect()
}

/// The messages of broken rules, without addresses.
fn violations(machine: &Machine) -> Vec<String> {
    let reports = machine.verifier().violations();
    let messages = reports.iter().map(|report| {
        let words = report.message.split(' ');
        let words = words.map(|word| if word.starts_with("0x") { "X" } else { word });
        format!("{}: {}", report.call, words.collect::<Vec<_>>().join(" "))
    });
    messages.collect()
}

#[test]
fn memory_is_described_locked_and_mapped() {
    let machine = clean(&[
        "mdl_of_pool",
        "mdl_locked",
        "mdl_refused",
        "mdl_in_own_memory",
        "mdl_of_pages",
        "mdl_chained",
    ]);
    assert_eq!(
        machine.calls("IoAllocateMdl"),
        machine.calls("IoFreeMdl") + 1
    );
    assert_eq!(machine.calls("MmProbeAndLockPages"), 7);
}

#[test]
fn what_is_left_of_mdls_is_reported() {
    let machine = Machine::default();
    run(&machine, "mdl_left");
    let expected = [
        ("MDL", "IoAllocateMdl"),
        ("locked pages", "MmProbeAndLockPages"),
        ("mapping of locked pages", "MmMapLockedPagesSpecifyCache"),
    ];
    assert_eq!(left(&machine), expected);
}

#[test]
fn misuse_of_mdls_is_reported() {
    let machine = Machine::default();
    run(&machine, "mdl_misused");
    assert!(left(&machine).is_empty());
    let expected = [
        "MmUnlockPages: the MDL at X is not locked",
        "MmMapLockedPagesSpecifyCache: the MDL at X is mapped and not locked",
        "MmProbeAndLockPages: the MDL at X is locked already, or describes nonpaged pool or a part of another one",
        "IoFreeMdl: the MDL at X was freed while its pages are locked",
        "IoFreeMdl: MemoryDescriptorList is X which was freed before",
    ];
    assert_eq!(violations(&machine), expected);
}

#[test]
fn objects_have_handles_names_and_references() {
    let machine = clean(&["events", "shared_events", "references", "processes"]);
    assert_eq!(machine.calls("ObReferenceObjectByHandle"), 6);
}

#[test]
fn what_is_left_of_objects_is_reported() {
    let machine = Machine::default();
    run(&machine, "references_left");
    let mut left = left(&machine);
    left.sort_unstable();
    let expected = [
        ("event", "ObReferenceObjectByHandle"),
        ("event handle", "ZwCreateEvent"),
        ("event handle", "ZwCreateEvent"),
        ("process", "ObfReferenceObject"),
    ];
    assert_eq!(left, expected);
    let expected = [
        "ObfDereferenceObject: Object is X event, not a referenced kernel object",
        "ObfReferenceObject: Object is X event, not a kernel object",
    ];
    let violations = violations(&machine);
    assert_eq!(violations.len(), 2, "{violations:#?}");
    for (violation, expected) in violations.iter().zip(expected) {
        assert_eq!(violation.replace("X:", "X"), expected);
    }
}

#[test]
fn threads_run_end_and_are_waited_for() {
    let machine = clean(&["threads"]);
    assert_eq!(machine.calls("PsCreateSystemThread"), 51);
    assert_eq!(machine.calls("PsTerminateSystemThread"), 1);
}

#[test]
fn a_thread_that_outlives_its_driver_stops_the_machine() {
    let machine = Machine::default();
    run(&machine, "thread_left");
    let outcome = machine.finish();
    let codes: Vec<_> = outcome
        .bugchecks
        .iter()
        .map(|report| match report.severity {
            Severity::Bugcheck { code, .. } => code,
            _ => 0,
        })
        .collect();
    assert_eq!(codes, [0xCE]);
    assert_eq!(outcome.violations.len(), 1);
    assert_eq!(outcome.violations[0].call, "PsTerminateSystemThread");
    run(&machine, "thread_stopped");
}

#[test]
fn routines_are_registered_once_and_taken_out() {
    clean(&["notify_routines"]);
    let machine = Machine::default();
    run(&machine, "notify_left");
    let mut left = left(&machine);
    left.sort_unstable();
    let expected = [
        ("object callbacks", "ObRegisterCallbacks"),
        ("thread notify routine", "PsSetCreateThreadNotifyRoutine"),
    ];
    assert_eq!(left, expected);
}

const fn control_code(function: u32, method: u32) -> u32 {
    0x22 << 16 | function << 2 | method
}

fn code(status: u32) -> i32 {
    status.cast_signed()
}

/// The image has one control device at a time.
static DEVICE: Mutex<()> = Mutex::new(());

fn device_lock() -> MutexGuard<'static, ()> {
    DEVICE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A machine with a driver that has created its control device.
fn with_device() -> (Machine, u64) {
    let machine = Machine::default();
    let driver = machine.create_driver(DriverConfig::new("os"));
    let object = driver.driver_object() as u64;
    assert_eq!(ask(&machine, "device_created", object), 0);
    (machine, object)
}

#[test]
fn a_control_device_is_opened_and_controlled() {
    let _lock = device_lock();
    let (machine, object) = with_device();
    assert_eq!(
        machine.device(r"\Device\Other").unwrap_err(),
        code(0xC000_0034)
    );
    let device = machine.device(r"\??\OsControl").unwrap();
    let mut output = [0; 6];
    assert_eq!(
        device.control(control_code(0x800, 0), b"abcd", &mut output),
        Ok(4)
    );
    assert_eq!(&output, b"dcba\0\0");
    let small = device.control(control_code(0x800, 0), b"abcdefg", &mut output);
    assert_eq!(small, Err(code(0xC000_0023)));
    assert_eq!(
        device.control(control_code(0x801, 2), b"direct?", &mut output),
        Ok(6)
    );
    assert_eq!(&output, b"direct");
    assert_eq!(
        device.control(control_code(0x802, 3), b"user", &mut output),
        Ok(4)
    );
    assert_eq!(&output, b"userct");
    let mut number = [0; 4];
    assert_eq!(
        device.control(control_code(0x803, 0), &[41, 0, 0, 0], &mut number),
        Ok(4)
    );
    assert_eq!(number, [42, 0, 0, 0]);
    let unknown = device.control(control_code(0x899, 0), &[], &mut []);
    assert_eq!(unknown, Err(code(0xC000_0010)));
    drop(device);
    run(&machine, "device_called");
    assert_eq!(ask(&machine, "work_items", object), 0);
    run(&machine, "device_deleted");
    assert!(machine.device(r"\Device\OsControl").is_err());
    let outcome = machine.finish();
    assert!(outcome.is_clean(), "{outcome:#?}");
}

#[test]
fn requests_that_are_completed_twice_or_never_are_reported() {
    let _lock = device_lock();
    let (machine, _) = with_device();
    let device = machine.device(r"\DosDevices\OsControl").unwrap();
    assert_eq!(device.control(control_code(0x804, 0), &[], &mut []), Ok(0));
    assert!(
        device
            .control(control_code(0x805, 0), &[], &mut [])
            .is_err()
    );
    drop(device);
    run(&machine, "device_deleted");
    let outcome = machine.finish();
    assert!(outcome.leaks.is_empty());
    assert_eq!(outcome.bugchecks.len(), 1);
    assert_eq!(outcome.bugchecks[0].message, "the IRP was completed twice");
    assert_eq!(outcome.violations.len(), 1);
    assert!(outcome.violations[0].message.contains("was not completed"));
}

#[test]
fn devices_links_and_work_items_that_are_left_are_reported() {
    let _lock = device_lock();
    let machine = Machine::default();
    let driver = machine.create_driver(DriverConfig::new("os"));
    let object = driver.driver_object() as u64;
    assert_eq!(ask(&machine, "devices_left", object), 0);
    let mut left = left(&machine);
    left.sort_unstable();
    let expected = [
        ("IRP", "IoAllocateIrp"),
        ("device object", "IoCreateDevice"),
        ("shutdown notification", "IoRegisterShutdownNotification"),
        ("symbolic link", "IoCreateSymbolicLink"),
        ("work item", "IoAllocateWorkItem"),
    ];
    assert_eq!(left, expected);
    assert_eq!(violations(&machine).len(), 1);
}

#[test]
fn timers_expire_at_dispatch_level_and_not_after_they_were_deleted() {
    clean(&["timers"]);
}

#[test]
fn sections_processes_and_transactions_have_handles() {
    clean(&["sections", "process_handles", "transactions"]);
}

#[test]
fn the_token_is_asked_and_access_is_checked() {
    clean(&["tokens", "access_checks"]);
}

#[test]
fn what_is_left_of_tokens_is_reported() {
    let machine = Machine::default();
    run(&machine, "tokens_left");
    let mut left = left(&machine);
    left.sort_unstable();
    let expected = [
        ("lock of a subject context", "SeLockSubjectContext"),
        ("subject context", "SeCaptureSubjectContext"),
        ("token", "PsReferencePrimaryToken"),
    ];
    assert_eq!(left, expected);
    assert_eq!(violations(&machine).len(), 1);
}

#[test]
fn a_file_object_is_asked() {
    let machine = Machine::default();
    let config = VolumeConfig::memory(r"\Device\HarddiskVolume1", Personality::ntfs());
    let volume = machine.add_volume(config);
    let transaction = machine.begin_transaction();
    let options = OpenOptions::create().transaction(&transaction);
    let file = volume.open(r"\a.txt", options).unwrap();
    file.write(0, &[7; 1234]).unwrap();
    let asked = ask(&machine, "file_asked", file.file_object() as u64);
    assert_eq!(asked, 0, "the line of os.c");
    drop(file);
    transaction.commit().unwrap();
    let outcome = machine.finish();
    assert!(outcome.is_clean(), "{outcome:#?}");
}

#[test]
fn events_are_traced_for_nobody() {
    clean(&["tracing"]);
    let machine = Machine::default();
    run(&machine, "tracing_left");
    assert_eq!(left(&machine), [("event provider", "EtwRegister")]);
}

#[test]
fn a_drive_leads_to_its_volume() {
    let machine = Machine::default();
    let name = r"\Device\HarddiskVolume1";
    let volume = machine.add_volume(VolumeConfig::memory(name, Personality::ntfs()));
    assert_eq!(volume.name(), name);
    run(&machine, "drive");
    let outcome = machine.finish();
    assert!(outcome.is_clean(), "{outcome:#?}");
}

#[test]
fn routines_are_told_of_the_registry() {
    let machine = Machine::default();
    let driver = machine.create_driver(DriverConfig::new("os"));
    let told = ask(&machine, "registry_told", driver.driver_object() as u64);
    assert_eq!(told, 0, "the line of os.c");
    let outcome = machine.finish();
    assert!(outcome.is_clean(), "{outcome:#?}");
}
