//! Loading, attaching, detaching and unloading.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use fltctx::{
    prelude::*,
    registration::{SetupFlags, TeardownReason},
};
use fltsim::{Unload as SimUnload, VolumeConfig, filesystem::Personality};

use crate::probe::{
    Bench, Hooks, Id, OnFile, OnHandle, OnInstance, OnStream, OnVolume, Probe, SEEDS, driver_entry,
    drops,
};

/// A driver that will not load leaves nothing registered, and can be loaded afterwards.
#[test]
fn a_refused_load_registers_nothing() {
    let bench = Bench::unloaded(
        0,
        Personality::ntfs(),
        Hooks {
            load: Some(Status::ACCESS_DENIED),
            ..Hooks::default()
        },
    );
    assert_eq!(
        bench.driver.start(driver_entry),
        Err(Status::ACCESS_DENIED.into_raw())
    );
    assert_eq!(bench.machine.calls("FltRegisterFilter"), 0);
    // A success is no error: the load fails all the same.
    bench.hook(Hooks {
        load: Some(Status::SUCCESS),
        ..Hooks::default()
    });
    assert_eq!(
        bench.driver.start(driver_entry),
        Err(Status::UNSUCCESSFUL.into_raw())
    );
    bench.hook(Hooks::default());
    bench.driver.start(driver_entry).unwrap();
    // It is loaded: its state is in use, and a second load of the same image is refused.
    let second = bench
        .machine
        .create_driver(fltsim::DriverConfig::new("probe2").altitude("385200"));
    assert_eq!(
        second.start(driver_entry),
        Err(Status::ALREADY_REGISTERED.into_raw())
    );
    bench.driver.unload(SimUnload::Normal).unwrap();
    assert!(bench.machine.finish().is_clean());
}

/// Volume and instance contexts are set in instance set-up and go at detach and unload.
#[test]
fn instances_come_and_go() {
    for seed in SEEDS {
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let ids = Arc::new(Mutex::new((0, 0)));
        let hooks = {
            let (setup, start, complete) = (log.clone(), log.clone(), log.clone());
            let ids = Arc::clone(&ids);
            Hooks {
                setup: Some(Arc::new(move |s: &mut InstanceSetup<'_, Probe>| {
                    assert!(s.flags().contains(SetupFlags::AUTOMATIC));
                    assert_eq!(s.file_system_type(), fltctx::sys::FLT_FSTYPE_NTFS);
                    let volume = s.volume().slot::<OnVolume>();
                    let instance = s.instance().slot::<OnInstance>();
                    *ids.lock().unwrap() = (
                        volume.get_or_insert_with(OnVolume::default)?.id(),
                        instance
                            .get_or_insert_with(OnInstance::default)?
                            .at(s.irql())
                            .id(),
                    );
                    setup.lock().unwrap().push("setup".into());
                    Ok(())
                })),
                teardown_start: Some(Arc::new(move |t: &mut InstanceTeardown<'_, Probe>| {
                    assert!(t.volume().slot::<OnVolume>().get().unwrap().is_some());
                    start
                        .lock()
                        .unwrap()
                        .push(format!("start {:?}", t.reason()));
                })),
                teardown_complete: Some(Arc::new(move |t: &mut InstanceTeardown<'_, Probe>| {
                    assert!(t.instance().slot::<OnInstance>().get().unwrap().is_some());
                    complete
                        .lock()
                        .unwrap()
                        .push(format!("complete {:?}", t.reason()));
                })),
                ..Hooks::default()
            }
        };
        let bench = Bench::with(seed, Personality::ntfs(), hooks);
        let (volume, instance) = *ids.lock().unwrap();
        bench.machine.detach(&bench.driver, &bench.volume).unwrap();
        assert_eq!(drops(instance), 1, "gone with its instance");
        assert_eq!(drops(volume), 0, "belongs to the filter");
        assert_eq!(
            *log.lock().unwrap(),
            [
                "setup".to_string(),
                format!("start {:?}", TeardownReason::MANUAL),
                format!("complete {:?}", TeardownReason::MANUAL)
            ]
        );
        bench.finish();
        assert_eq!(drops(volume), 1);
    }
}

/// An instance that is refused leaves its contexts to be cleaned up.
#[test]
fn do_not_attach_cleans_up() {
    let id = Arc::new(Mutex::new(0));
    let hooks = {
        let id = Arc::clone(&id);
        Hooks {
            setup: Some(Arc::new(move |s: &mut InstanceSetup<'_, Probe>| {
                let slot = s.instance().slot::<OnInstance>();
                *id.lock().unwrap() = slot
                    .get_or_insert_with(OnInstance::default)?
                    .at(s.irql())
                    .id();
                Err(DoNotAttach)
            })),
            ..Hooks::default()
        }
    };
    let bench = Bench::with(0, Personality::ntfs(), hooks);
    assert!(bench.volume.instances().is_empty());
    assert_eq!(drops(*id.lock().unwrap()), 1);
    bench.finish();
}

/// A manual detach can be refused; an unload cannot be, once the filter agreed.
#[test]
fn query_teardown_and_unload_can_refuse() {
    let refuse = Arc::new(AtomicBool::new(true));
    let hooks = {
        let (query, unload) = (Arc::clone(&refuse), Arc::clone(&refuse));
        Hooks {
            query_teardown: Some(Arc::new(move || {
                if query.load(Ordering::Relaxed) {
                    Err(DoNotDetach)
                } else {
                    Ok(())
                }
            })),
            unload: Some(Arc::new(move |request: crate::probe::Unload2| {
                if unload.load(Ordering::Relaxed) && !request.mandatory() {
                    Err(Status::DO_NOT_DETACH)
                } else {
                    Ok(())
                }
            })),
            ..Hooks::default()
        }
    };
    let bench = Bench::with(0, Personality::ntfs(), hooks.clone());
    assert_eq!(
        bench.machine.detach(&bench.driver, &bench.volume),
        Err(Status::DO_NOT_DETACH.into_raw())
    );
    assert_eq!(bench.volume.instances().len(), 1);
    assert_eq!(
        bench.driver.unload(SimUnload::Normal),
        Err(Status::DO_NOT_DETACH.into_raw())
    );
    assert_eq!(drops(bench.state), 0);
    refuse.store(false, Ordering::Relaxed);
    bench.finish();

    // A mandatory unload goes through a refusal.
    refuse.store(true, Ordering::Relaxed);
    let bench = Bench::with(0, Personality::ntfs(), hooks);
    bench.driver.unload(SimUnload::Mandatory).unwrap();
    assert_eq!(drops(bench.state), 1);
    assert!(bench.machine.finish().is_clean());
}

/// A filter on two volumes has two instances, and each volume its own contexts.
#[test]
fn two_volumes() {
    let setups = Arc::new(AtomicU32::new(0));
    let hooks = {
        let setups = Arc::clone(&setups);
        Hooks {
            setup: Some(Arc::new(move |s: &mut InstanceSetup<'_, Probe>| {
                setups.fetch_add(1, Ordering::Relaxed);
                s.volume()
                    .slot::<OnVolume>()
                    .get_or_insert_with(OnVolume::default)?;
                Ok(())
            })),
            ..Hooks::default()
        }
    };
    let bench = Bench::with(0, Personality::ntfs(), hooks);
    let other = bench.machine.add_volume(VolumeConfig::memory(
        r"\Device\HarddiskVolume2",
        Personality::fat(),
    ));
    // The first operation on a newly mounted volume sets the instance up.
    drop(other.open(r"\b", fltsim::OpenOptions::create()).unwrap());
    assert_eq!(setups.load(Ordering::Relaxed), 2);
    let kinds = bench.machine.statistics().contexts;
    assert_eq!(kinds[&fltsim::ContextKind::Volume].live, 2);
    other.dismount();
    bench.finish();
}

/// Unloading with files open and every kind attached drops each context once.
#[test]
fn unload_with_open_files() {
    for seed in SEEDS {
        let bench = Bench::new(seed);
        let files: Vec<_> = [r"\a", r"\a:stream", r"\b"]
            .iter()
            .map(|path| bench.open(path))
            .collect();
        let ids: Vec<u64> = files
            .iter()
            .flat_map(|file| {
                bench.on(file, |op| {
                    [
                        op.slot::<OnFile>()
                            .get_or_insert_with(OnFile::default)
                            .unwrap()
                            .id(),
                        op.slot::<OnStream>()
                            .get_or_insert_with(OnStream::default)
                            .unwrap()
                            .id(),
                        op.slot::<OnHandle>()
                            .get_or_insert_with(OnHandle::default)
                            .unwrap()
                            .id(),
                    ]
                })
            })
            .collect();
        assert_eq!(ids[0], ids[3], "one file, two streams");
        assert_ne!(ids[1], ids[4]);
        assert_ne!(ids[0], ids[6]);
        assert!(ids.iter().all(|id| drops(*id) == 0));
        bench.driver.unload(SimUnload::Normal).unwrap();
        assert!(ids.iter().all(|id| drops(*id) == 1));
        drop(files);
        assert!(bench.machine.finish().is_clean());
    }
}

/// A handle kept in the driver's hands blocks the unload, and is reported with its kind and count.
#[test]
fn a_leaked_handle_is_reported() {
    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    let kept = bench.on(&file, |op| {
        op.slot::<OnStream>()
            .get_or_insert_with(OnStream::default)
            .unwrap()
    });
    let _ = kept.into_raw();
    drop(file);
    let _ = bench.driver.unload(SimUnload::Normal);
    let leaks = bench.machine.verifier().leaks();
    assert_eq!(leaks.len(), 1, "{leaks:?}");
    assert_eq!(leaks[0].kind, Some(fltsim::ContextKind::Stream));
    assert_eq!(leaks[0].count, 1);
}
