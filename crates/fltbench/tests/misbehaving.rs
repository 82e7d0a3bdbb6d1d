//! Drivers that do what they should not, and what a run says about them.

#![allow(
    unreachable_pub,
    reason = "`driver_entry!` makes public what a driver exports; here nobody is outside"
)]

use fltbench::progress::Silent;
use fltbench::{Door, Error, FileSystem, InProcess, Options, Run, command, run};
use fltsim::DriverEntry;
use std::fs;
use std::process::ExitCode;
use tempfile::TempDir;

/// Forgets to release a stream context, once.
mod leaky {
    use fltctx::prelude::*;
    use std::mem;
    use std::sync::atomic::{AtomicBool, Ordering};

    pub struct Leaky {
        done: AtomicBool,
    }

    pub struct Note;

    impl Context for Note {
        type Kind = kind::Stream;
        type Pool = pool::NonPaged;
        const TAG: PoolTag = PoolTag::new(*b"TsLk");
    }

    contexts! { Leaky: Note }

    impl Minifilter for Leaky {
        fn load(_driver: &DriverEntry) -> Result<Self, Status> {
            let done = AtomicBool::new(false);
            Ok(Self { done })
        }
    }

    impl PreOperation<Read> for Leaky {
        type Completion = NoPostOperation;

        fn pre(&self, read: &mut Pre<'_, Self, Read>) -> PreResult<NoPostOperation> {
            if !self.done.swap(true, Ordering::Relaxed)
                && let Ok(note) = read.slot::<Note>().get_or_insert_with(|| Note)
            {
                mem::forget(note);
            }
            PreResult::no_callback()
        }
    }

    driver_entry!(Leaky, operations![Read: pre]);
}

/// Lets nobody read.
mod meddling {
    use fltctx::prelude::*;

    pub struct Meddling;

    contexts! { Meddling: }

    impl Minifilter for Meddling {
        fn load(_driver: &DriverEntry) -> Result<Self, Status> {
            Ok(Self)
        }
    }

    impl PreOperation<Read> for Meddling {
        type Completion = NoPostOperation;

        fn pre(&self, _read: &mut Pre<'_, Self, Read>) -> PreResult<NoPostOperation> {
            PreResult::complete(Status::ACCESS_DENIED, 0)
        }
    }

    driver_entry!(Meddling, operations![Read: pre]);
}

/// Attaches to nothing.
mod aloof {
    use fltctx::prelude::*;

    pub struct Aloof;

    contexts! { Aloof: }

    impl Minifilter for Aloof {
        fn load(_driver: &DriverEntry) -> Result<Self, Status> {
            Ok(Self)
        }

        fn instance_setup(&self, _setup: &mut InstanceSetup<'_, Self>) -> Result<(), DoNotAttach> {
            Err(DoNotAttach)
        }
    }

    driver_entry!(Aloof, operations![]);
}

/// Does not even start, and leaves memory behind.
mod stillborn {
    use fltctx::PoolBox;
    use fltctx::prelude::*;

    pub struct Stillborn;

    contexts! { Stillborn: }

    impl Minifilter for Stillborn {
        fn load(_driver: &DriverEntry) -> Result<Self, Status> {
            std::mem::forget(PoolBox::try_new(PoolTag::new(*b"Stil"), 0u64));
            Err(Status::INSUFFICIENT_RESOURCES)
        }
    }

    driver_entry!(Stillborn, operations![]);
}

/// Wants to stay.
mod clinging {
    use fltctx::prelude::*;

    pub struct Clinging;

    contexts! { Clinging: }

    impl Minifilter for Clinging {
        fn load(_driver: &DriverEntry) -> Result<Self, Status> {
            Ok(Self)
        }

        fn unload(&self, _request: Unload) -> Result<(), Status> {
            Err(Status::DO_NOT_DETACH)
        }
    }

    driver_entry!(Clinging, operations![]);
}

fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in ["one", "two", "three"] {
        fs::write(directory.path().join(name), name).unwrap();
    }
    directory
}

fn options(directory: &TempDir) -> Options {
    Options {
        directory: directory.path().to_owned(),
        seed: 1,
        file_system: FileSystem::Ntfs,
    }
}

fn bench(name: &str, entry: DriverEntry) -> Result<Run, Error> {
    let directory = directory();
    let door = InProcess::new(name, "385000", entry);
    run(&door, &options(&directory), &Silent)
}

/// What a command line would end with.
fn exit_status(door: &dyn Door) -> ExitCode {
    let directory = directory();
    command::execute(door, &options(&directory), true)
}

#[test]
fn a_forgotten_release_is_a_leak() {
    let run = bench("leaky", leaky::driver_entry).unwrap();
    assert!(!run.report.is_clean());
    let contexts: Vec<_> = run
        .report
        .leaks
        .iter()
        .filter(|leak| leak.object == "context")
        .collect();
    assert_eq!(contexts.len(), 1, "{:?}", run.report.leaks);
    assert_eq!(contexts[0].kind.as_deref(), Some("stream"));
    assert_eq!(contexts[0].count, 1);
    assert_eq!(run.report.files, 3);
    let text = run.report.text(1, &run.skipped, &[]);
    assert!(text.contains("leaked stream context"), "{text}");
    assert!(text.contains("NOT CLEAN"), "{text}");
}

#[test]
fn a_driver_that_changes_results_is_found_out() {
    let run = bench("meddling", meddling::driver_entry).unwrap();
    let workload = run.report.violations.iter();
    let workload: Vec<_> = workload.filter(|found| found.rule == "workload").collect();
    assert_eq!(workload.len(), 1, "{:?}", run.report.violations);
    assert!(workload[0].message.contains("0xC0000022"), "{workload:?}");
    assert!(
        workload[0].message.contains("reading \\one"),
        "{workload:?}"
    );
}

/// The one thing that the workload found.
fn finding(run: &Run) -> &str {
    let [violation] = run.report.violations.as_slice() else {
        panic!("{:?}", run.report.violations);
    };
    assert_eq!(violation.rule, "workload");
    &violation.message
}

#[test]
fn a_driver_that_does_not_attach_is_told() {
    let run = bench("aloof", aloof::driver_entry).unwrap();
    let what = r"the driver did not attach to \Device\HarddiskVolume1: status 0xC01C000F";
    assert_eq!(finding(&run), what);
    assert_eq!((run.report.files, run.report.leaks.len()), (0, 0));
}

#[test]
fn a_driver_that_does_not_start_is_told_with_what_it_left_and_ends_with_1() {
    let run = bench("stillborn", stillborn::driver_entry).unwrap();
    assert_eq!(finding(&run), "the driver did not start: status 0xC000009A");
    let [leak] = run.report.leaks.as_slice() else {
        panic!("{:?}", run.report.leaks);
    };
    assert_eq!((leak.object.as_str(), leak.size), ("pool allocation", 8));
    let door = InProcess::new("stillborn", "385000", stillborn::driver_entry);
    assert_eq!(exit_status(&door), ExitCode::from(1));
}

#[test]
fn a_driver_that_does_not_unload_is_thrown_out_and_told() {
    let run = bench("clinging", clinging::driver_entry).unwrap();
    assert!(!run.report.is_clean());
    let told = |what: &str| {
        let violations = &run.report.violations;
        violations.iter().any(|found| found.message.contains(what))
    };
    assert!(told("unloading"), "{:?}", run.report.violations);
}
