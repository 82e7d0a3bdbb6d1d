//! What the verifier says about locks that are used as the library does not let them be used.

use fltmgr_sys::*;
use fltsim::{
    Config, Machine,
    verifier::{Rule, Severity},
};

/// `DRIVER_VERIFIER_DETECTED_VIOLATION`.
const VERIFIER: u32 = 0xC4;

/// Memory for one of each.
struct Memory {
    push: EX_PUSH_LOCK,
    resource: ERESOURCE,
    mutex: FAST_MUTEX,
    spin: KSPIN_LOCK,
}

fn memory() -> Box<Memory> {
    // SAFETY: all of it is plain data, for which zeroes are valid.
    Box::new(unsafe { std::mem::zeroed() })
}

/// What was reported since the last call: rule, first bugcheck parameter, function.
fn said(machine: &Machine) -> Vec<(Rule, Option<u64>, &'static str)> {
    let reports = machine.verifier().take_reports();
    reports
        .iter()
        .map(|report| {
            let parameter = match report.severity {
                Severity::Bugcheck { code, parameters } => {
                    assert_eq!(code, VERIFIER);
                    Some(parameters[0])
                }
                _ => None,
            };
            (report.rule, parameter, report.call)
        })
        .collect()
}

/// Calls a function of the kernel.
macro_rules! call {
    ($name:ident($($argument:expr),*)) => {
        // SAFETY: the arguments are memory of the right types; the kernel under test is the
        // emulator, which reports misuse.
        unsafe { $name($($argument),*) }
    };
}

#[test]
fn releasing_what_is_not_held() {
    let machine = Machine::new(Config::default());
    let mut memory = memory();
    machine.at_irql(PASSIVE_LEVEL, || {
        call!(FltInitializePushLock(&raw mut memory.push));
        call!(FltReleasePushLock(&raw mut memory.push));
        let not_held = |call| vec![(Rule::V23, Some(0x1007), call)];
        assert_eq!(said(&machine), not_held("FltReleasePushLock"));
        call!(FltReleaseResource(&raw mut memory.resource));
        assert_eq!(said(&machine), not_held("FltReleaseResource"));
        // A release on another thread is not this thread's.
        call!(FltAcquirePushLockExclusive(&raw mut memory.push));
        let address = &raw mut memory.push as usize;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                machine.at_irql(PASSIVE_LEVEL, || {
                    call!(FltReleasePushLock(address as PEX_PUSH_LOCK));
                });
            });
        });
        assert_eq!(said(&machine), not_held("FltReleasePushLock"));
        call!(FltReleasePushLock(&raw mut memory.push));
        call!(FltDeletePushLock(&raw mut memory.push));
        assert_eq!(said(&machine), []);
    });
}

#[test]
fn waiting_for_oneself() {
    let machine = Machine::new(Config::default());
    let mut memory = memory();
    machine.at_irql(PASSIVE_LEVEL, || {
        let deadlock = |call| vec![(Rule::V23, Some(0x1000), call)];
        let push = &raw mut memory.push;
        call!(FltInitializePushLock(push));
        call!(FltAcquirePushLockExclusive(push));
        call!(FltAcquirePushLockExclusive(push));
        assert_eq!(said(&machine), deadlock("FltAcquirePushLockExclusive"));
        call!(FltAcquirePushLockShared(push));
        assert_eq!(said(&machine), deadlock("FltAcquirePushLockShared"));
        for _ in 0..3 {
            call!(FltReleasePushLock(push));
        }
        call!(FltDeletePushLock(push));

        // A resource may be acquired again by its owner, but not exclusively by a reader.
        let resource = &raw mut memory.resource;
        assert_eq!(call!(ExInitializeResourceLite(resource)), STATUS_SUCCESS);
        call!(FltAcquireResourceExclusive(resource));
        call!(FltAcquireResourceExclusive(resource));
        call!(FltAcquireResourceShared(resource));
        assert_eq!(call!(ExIsResourceAcquiredSharedLite(resource)), 3);
        assert_eq!(call!(ExIsResourceAcquiredExclusiveLite(resource)), 1);
        for _ in 0..3 {
            call!(FltReleaseResource(resource));
        }
        assert_eq!(call!(ExIsResourceAcquiredExclusiveLite(resource)), 0);
        assert_eq!(said(&machine), []);
        call!(FltAcquireResourceShared(resource));
        call!(FltAcquireResourceExclusive(resource));
        assert_eq!(said(&machine), deadlock("FltAcquireResourceExclusive"));
        call!(FltReleaseResource(resource));
        call!(FltReleaseResource(resource));
        assert_eq!(call!(ExDeleteResourceLite(resource)), STATUS_SUCCESS);
        assert_eq!(said(&machine), []);
    });
}

#[test]
fn deleting_and_freeing() {
    let machine = Machine::new(Config::default());
    let mut memory = memory();
    machine.at_irql(PASSIVE_LEVEL, || {
        let push = &raw mut memory.push;
        call!(FltDeletePushLock(push));
        assert_eq!(
            said(&machine),
            [(Rule::V23, Some(0x1002), "FltDeletePushLock")]
        );
        call!(FltAcquirePushLockShared(push));
        call!(FltReleasePushLock(push));
        let reports = said(&machine);
        assert_eq!(
            reports,
            [(Rule::V23, Some(0x1002), "FltAcquirePushLockShared")]
        );
        call!(FltInitializePushLock(push));
        call!(FltAcquirePushLockExclusive(push));
        call!(FltDeletePushLock(push));
        assert_eq!(said(&machine), [(Rule::V23, None, "FltDeletePushLock")]);
        call!(FltReleasePushLock(push));

        let pool = call!(ExAllocatePoolWithTag(NonPagedPoolNx, 256, 0x4141_4141));
        let resource = pool.cast::<ERESOURCE>();
        call!(ExInitializeResourceLite(resource));
        call!(ExInitializeResourceLite(resource));
        let reports = said(&machine);
        assert_eq!(reports, [(Rule::V23, None, "ExInitializeResourceLite")]);
        call!(ExFreePoolWithTag(pool, 0x4141_4141));
        assert_eq!(
            said(&machine),
            [(Rule::V23, Some(0xD2), "ExFreePoolWithTag")]
        );
    });
}

#[test]
fn wrong_levels() {
    let machine = Machine::new(Config::default());
    let mut memory = memory();
    let push = &raw mut memory.push;
    machine.at_irql(DISPATCH_LEVEL, || {
        call!(FltInitializePushLock(push));
        call!(FltAcquirePushLockShared(push));
        call!(FltReleasePushLock(push));
        call!(FltDeletePushLock(push));
    });
    let reports = said(&machine);
    assert_eq!(reports.len(), 4);
    assert!(reports.iter().all(|report| report.0 == Rule::V6));
    machine.at_irql(PASSIVE_LEVEL, || {
        // Out of order: the second mutex is held at PASSIVE_LEVEL.
        let (first, second) = (&raw mut memory.mutex, push.cast::<FAST_MUTEX>());
        call!(ExAcquireFastMutex(first));
        assert_eq!(call!(KeGetCurrentIrql()), APC_LEVEL);
        call!(ExAcquireFastMutex(second));
        call!(ExReleaseFastMutex(first));
        assert_eq!(said(&machine), [(Rule::V23, None, "ExReleaseFastMutex")]);
        assert_eq!(call!(KeGetCurrentIrql()), PASSIVE_LEVEL);
        call!(ExReleaseFastMutex(second));
        assert_eq!(said(&machine), [(Rule::V6, None, "ExReleaseFastMutex")]);
        assert_eq!(call!(KeGetCurrentIrql()), APC_LEVEL, "and it stays up");

        let spin = &raw mut memory.spin;
        call!(KeAcquireSpinLockRaiseToDpc(spin));
        call!(KeReleaseSpinLock(spin, PASSIVE_LEVEL));
        let before = call!(KeAcquireSpinLockRaiseToDpc(spin));
        assert_eq!(call!(KeGetCurrentIrql()), DISPATCH_LEVEL);
        call!(FltAcquirePushLockShared(push));
        call!(KeReleaseSpinLock(spin, before));
        call!(FltReleasePushLock(push));
        let reports = said(&machine);
        assert_eq!(reports[0].0, Rule::V6, "a wait under a spin lock");
        assert_eq!(call!(KeGetCurrentIrql()), PASSIVE_LEVEL);
    });
}
