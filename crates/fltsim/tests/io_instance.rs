//! Instances: attaching, detaching, teardown with operations in flight; names; work items.

mod io_support;

use fltmgr_sys::*;
use fltsim::filesystem::Personality;
use fltsim::kernel::irql;
use fltsim::verifier::{Rule, Severity};
use fltsim::{Machine, OpenOptions, Volume, VolumeConfig};
use io_support::*;
use parking_lot::{Condvar, Mutex};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

/// Lets threads wait for each other.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock() = true;
        self.1.notify_all();
    }

    fn pass(&self) {
        let mut open = self.0.lock();
        while !*open {
            self.1.wait(&mut open);
        }
    }
}

fn string(text: &str) -> (Vec<u16>, UNICODE_STRING) {
    let mut units: Vec<u16> = text.encode_utf16().collect();
    let bytes = u16::try_from(units.len() * 2).unwrap();
    let string = UNICODE_STRING {
        Length: bytes,
        MaximumLength: bytes,
        Buffer: units.as_mut_ptr(),
    };
    (units, string)
}

fn altitudes(volume: &Volume) -> Vec<String> {
    let instances = volume.instances();
    instances
        .into_iter()
        .map(|instance| instance.altitude)
        .collect()
}

#[test]
fn automatic_attachment_at_start_and_at_mount() {
    let machine = Machine::default();
    let log = log();
    let first = VolumeConfig::memory("\\Device\\HarddiskVolume1", Personality::fat());
    let first = machine.add_volume(first);
    let _low = Script::new("low", &log).load(&machine, "45000");
    let _high = Script::new("high", &log).load(&machine, "385000");
    assert_eq!(
        take(&log),
        [
            "low setup flags=1 device=8 type=3",
            "high setup flags=1 device=8 type=3"
        ]
    );
    assert_eq!(altitudes(&first), ["385000", "45000"]);
    let second = VolumeConfig::memory("\\Device\\Mup", Personality::redirector());
    let second = machine.add_volume(second);
    assert_eq!(
        take(&log),
        [
            "high setup flags=5 device=20 type=6",
            "low setup flags=5 device=20 type=6"
        ]
    );
    assert_eq!(altitudes(&second), ["385000", "45000"]);
}

#[test]
fn instance_setup_may_refuse() {
    let (machine, volume) = machine();
    let log = log();
    let filter = Script::new("f", &log)
        .setup(|_, _| STATUS_FLT_DO_NOT_ATTACH)
        .watch(IRP_MJ_CREATE)
        .load(&machine, "1");
    assert_eq!(altitudes(&volume), [""; 0]);
    drop(volume.open("\\a", OpenOptions::create()).unwrap());
    assert_eq!(
        machine.attach(&filter.driver, &volume, None),
        Err(STATUS_FLT_DO_NOT_ATTACH)
    );
    filter.unload().unwrap();
    assert_eq!(
        take(&log),
        [
            "f setup flags=1 device=8 type=2",
            "f setup flags=2 device=8 type=2"
        ]
    );
    assert!(machine.finish().is_clean());
}

#[test]
fn attaching_by_hand() {
    let (machine, volume) = machine();
    let log = log();
    let filter = Script::new("f", &log).load(&machine, "100");
    let again = machine.attach(&filter.driver, &volume, None);
    assert_eq!(again, Err(STATUS_FLT_INSTANCE_NAME_COLLISION));
    let (_units, altitude) = string("200.5");
    let (_name_units, name) = string("second");
    let mut instance = null_mut();
    // SAFETY: live objects and strings.
    let status = unsafe {
        FltAttachVolumeAtAltitude(
            filter.filter,
            volume.pointer(),
            &raw const altitude,
            &raw const name,
            &raw mut instance,
        )
    };
    assert_eq!(status, STATUS_SUCCESS);
    assert_eq!(altitudes(&volume), ["200.5", "100"]);
    assert_eq!(volume.instances()[0].pointer, instance);
    // SAFETY: the reference that the attachment returned.
    unsafe { FltObjectDereference(instance.cast()) };
    // SAFETY: live objects and strings.
    let status = unsafe {
        FltAttachVolumeAtAltitude(
            filter.filter,
            volume.pointer(),
            &raw const altitude,
            std::ptr::null(),
            null_mut(),
        )
    };
    assert_eq!(status, STATUS_FLT_INSTANCE_ALTITUDE_COLLISION);
    // SAFETY: live objects and strings.
    let status = unsafe { FltDetachVolume(filter.filter, volume.pointer(), &raw const name) };
    assert_eq!(status, STATUS_SUCCESS);
    assert_eq!(altitudes(&volume), ["100"]);
    // SAFETY: live objects and strings.
    let status = unsafe { FltDetachVolume(filter.filter, volume.pointer(), &raw const name) };
    assert_eq!(status, STATUS_FLT_INSTANCE_NOT_FOUND);
    filter.unload().unwrap();
    assert!(machine.finish().is_clean());
}

#[test]
fn nothing_attaches_to_a_filter_that_is_unregistering() {
    let (machine, _first) = machine();
    let second = VolumeConfig::memory("\\Device\\HarddiskVolume2", Personality::ntfs());
    let second = machine.add_volume(second);
    let log = log();
    let gate = Arc::new(Gate::default());
    let unloading = Arc::new(Mutex::new(None));
    let (slot, entrance) = (unloading.clone(), gate.clone());
    let _filter = Script::new("f", &log)
        .setup(move |objects, _| {
            let filter = objects.Filter as usize;
            let mut slot = slot.lock();
            if slot.is_none() {
                *slot = Some(thread::spawn(move || {
                    // SAFETY: the filter is registered.
                    unsafe { FltUnregisterFilter(filter as PFLT_FILTER) };
                }));
                // SAFETY: as above.
                while unsafe { FltObjectReference(filter as PVOID) } == STATUS_SUCCESS {
                    // SAFETY: the reference from above.
                    unsafe { FltObjectDereference(filter as PVOID) };
                }
            }
            STATUS_SUCCESS
        })
        .start(move |_, _| entrance.pass())
        .load(&machine, "1");
    // The first volume had its instance before; the second comes too late.
    gate.open();
    let unloading = unloading.lock().take().unwrap();
    unloading.join().unwrap();
    assert_eq!(
        take(&log),
        [
            "f setup flags=1 device=8 type=2",
            "f teardown-start 2",
            "f teardown-complete 2"
        ]
    );
    assert_eq!(altitudes(&second), [""; 0]);
    assert!(machine.finish().is_clean());
}

#[test]
fn nothing_attaches_to_a_volume_that_is_dismounted() {
    for _ in 0..300 {
        let (machine, volume) = machine();
        let log = log();
        let filter = Script::new("f", &log).load(&machine, "1");
        machine.detach(&filter.driver, &volume).unwrap();
        let start = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                volume.dismount();
            });
            start.wait();
            // Whether it comes in time is open.
            let _ = machine.attach(&filter.driver, &volume, None);
        });
        assert_eq!(altitudes(&volume), [""; 0]);
        filter.unload().unwrap();
    }
}

#[test]
fn names_of_instances_have_no_case() {
    let (machine, volume) = machine();
    let log = log();
    let filter = Script::new("f", &log).load(&machine, "100");
    let (_units, altitude) = string("200");
    let (_other_units, other) = string("300");
    let (_name_units, name) = string("S\u{e9}cond");
    let (_same_units, same) = string("s\u{c9}COND");
    let attach = |altitude: &UNICODE_STRING, name: &UNICODE_STRING| {
        // SAFETY: live objects and strings.
        unsafe {
            FltAttachVolumeAtAltitude(filter.filter, volume.pointer(), altitude, name, null_mut())
        }
    };
    assert_eq!(attach(&altitude, &name), STATUS_SUCCESS);
    assert_eq!(attach(&other, &same), STATUS_FLT_INSTANCE_NAME_COLLISION);
    // SAFETY: live objects and strings.
    let status = unsafe { FltDetachVolume(filter.filter, volume.pointer(), &raw const same) };
    assert_eq!(status, STATUS_SUCCESS);
    assert_eq!(altitudes(&volume), ["100"]);
    filter.unload().unwrap();
    assert!(machine.finish().is_clean());
}

#[test]
fn an_instance_is_not_torn_down_by_its_own_setup() {
    for unregisters in [false, true] {
        let (machine, volume) = machine();
        let log = log();
        let filter = Script::new("f", &log)
            .query(Some(STATUS_SUCCESS))
            .setup(move |objects, flags| {
                if flags & FLTFL_INSTANCE_SETUP_MANUAL_ATTACHMENT == 0 {
                    return STATUS_FLT_DO_NOT_ATTACH;
                }
                if unregisters {
                    // SAFETY: the filter is registered.
                    unsafe { FltUnregisterFilter(objects.Filter) };
                } else {
                    // SAFETY: the objects exist.
                    unsafe { FltDetachVolume(objects.Filter, objects.Volume, std::ptr::null()) };
                }
                STATUS_SUCCESS
            })
            .load(&machine, "1");
        let attached = machine.attach(&filter.driver, &volume, None);
        let violations = machine.verifier().violations();
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].rule, Rule::V20);
        if unregisters {
            assert_eq!(attached, Err(STATUS_FLT_DELETING_OBJECT));
            assert_eq!(altitudes(&volume), [""; 0]);
        } else {
            assert_eq!(attached, Ok(()));
            assert_eq!(altitudes(&volume), ["1"]);
            filter.unload().unwrap();
        }
        assert_eq!(machine.finish().leaks, []);
    }
}

#[test]
fn detaching_asks_and_unloading_does_not() {
    let (machine, volume) = machine();
    let log = log();
    let none = Script::new("none", &log).query(None).load(&machine, "3");
    let refuses = Script::new("no", &log)
        .query(Some(STATUS_FLT_DO_NOT_DETACH))
        .load(&machine, "2");
    let agrees = Script::new("yes", &log).load(&machine, "1");
    take(&log);
    for driver in [&none.driver, &refuses.driver] {
        let status = machine.detach(driver, &volume);
        assert_eq!(status, Err(STATUS_FLT_DO_NOT_DETACH));
    }
    assert_eq!(machine.detach(&agrees.driver, &volume), Ok(()));
    assert_eq!(
        machine.detach(&agrees.driver, &volume),
        Err(STATUS_FLT_INSTANCE_NOT_FOUND)
    );
    refuses.unload().unwrap();
    assert_eq!(
        take(&log),
        [
            "no query-teardown",
            "yes query-teardown",
            "yes teardown-start 1",
            "yes teardown-complete 1",
            "no teardown-start 2",
            "no teardown-complete 2",
        ]
    );
    volume.dismount();
    assert_eq!(
        take(&log),
        ["none teardown-start 8", "none teardown-complete 8"]
    );
}

#[test]
fn operations_in_flight_are_drained() {
    let (machine, volume) = machine();
    let log = log();
    let (inside, proceed) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    let (entered, go) = (inside.clone(), proceed.clone());
    let filter = Script::new("f", &log)
        .pre(IRP_MJ_READ, |_, _, context| {
            *context = 0x99 as PVOID;
            FLT_PREOP_SUCCESS_WITH_CALLBACK
        })
        .post(IRP_MJ_READ, |data, objects, context, flags| {
            assert_eq!(flags, FLTFL_POST_OPERATION_DRAINING);
            assert_eq!(context as usize, 0x99);
            assert!(irql::current() <= APC_LEVEL);
            assert_eq!(status(data), STATUS_FLT_POST_OPERATION_CLEANUP);
            assert_eq!(iopb(data).MajorFunction, IRP_MJ_READ);
            assert_eq!(iopb(data).TargetInstance, objects.Instance);
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "2");
    let _low = Script::new("low", &log)
        .pre(IRP_MJ_READ, move |_, _, _| {
            entered.open();
            go.pass();
            FLT_PREOP_SUCCESS_WITH_CALLBACK
        })
        .post(IRP_MJ_READ, |_, _, _, _| FLT_POSTOP_FINISHED_PROCESSING)
        .load(&machine, "1");
    let handle = volume.open("\\a", OpenOptions::create()).unwrap();
    handle.write(0, b"abc").unwrap();
    take(&log);
    thread::scope(|scope| {
        let reader = scope.spawn(|| handle.read(0, &mut [0; 3]));
        inside.pass();
        machine.detach(&filter.driver, &volume).unwrap();
        proceed.open();
        assert_eq!(reader.join().unwrap(), Ok(3));
    });
    assert_eq!(
        take(&log),
        [
            "f pre read",
            "low pre read",
            "f query-teardown",
            "f teardown-start 1",
            "f post read draining",
            "f teardown-complete 1",
            "low post read",
        ]
    );
    drop(handle);
    assert!(machine.finish().is_clean());
}

#[test]
fn teardown_waits_for_pended_operations() {
    let (machine, volume) = machine();
    let log = log();
    let pended = Arc::new(AtomicUsize::new(0));
    let (store, completing) = (pended.clone(), Arc::new(AtomicBool::new(false)));
    let completed = completing.clone();
    let filter = Script::new("f", &log)
        .pre(IRP_MJ_READ, move |data, _, _| {
            store.store(data as usize, Ordering::SeqCst);
            FLT_PREOP_PENDING
        })
        .complete(move |_, _| assert!(completed.load(Ordering::SeqCst)))
        .load(&machine, "1");
    let handle = volume.open("\\a", OpenOptions::create()).unwrap();
    handle.write(0, b"abc").unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| handle.read(0, &mut [0; 3]));
        while pended.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        let detach = scope.spawn(|| machine.detach(&filter.driver, &volume));
        thread::sleep(Duration::from_millis(50));
        completing.store(true, Ordering::SeqCst);
        let data = pended.load(Ordering::SeqCst) as PFLT_CALLBACK_DATA;
        // SAFETY: the operation is pended, so its callback data is live.
        unsafe {
            FltCompletePendedPreOperation(data, FLT_PREOP_SUCCESS_NO_CALLBACK, null_mut());
        }
        assert_eq!(reader.join().unwrap(), Ok(3));
        assert_eq!(detach.join().unwrap(), Ok(()));
    });
    drop(handle);
    assert!(machine.finish().is_clean());
}

#[test]
fn an_operation_that_stays_pended_is_reported() {
    let (machine, volume) = machine();
    let log = log();
    let filter = Script::new("f", &log)
        .pre(IRP_MJ_READ, |_, _, _| FLT_PREOP_PENDING)
        .load(&machine, "1");
    let handle = volume.open("\\a", OpenOptions::create()).unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| handle.read(0, &mut [0; 3]));
        while !log.lock().iter().any(|line| line == "f pre read") {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(20));
        machine.detach(&filter.driver, &volume).unwrap();
        assert_eq!(reader.join().unwrap(), Err(STATUS_CANCELLED));
    });
    let leaks = machine.verifier().leaks();
    assert_eq!(leaks.len(), 1);
    assert_eq!(leaks[0].object, "pended operation");
}

#[test]
fn no_callbacks_for_new_operations_after_teardown_start() {
    let (machine, volume) = machine();
    let log = log();
    let other = volume.clone();
    let filter = Script::new("f", &log)
        .watch(IRP_MJ_CREATE)
        .complete(move |_, _| drop(other.open("\\b", OpenOptions::create()).unwrap()))
        .load(&machine, "1");
    drop(volume.open("\\a", OpenOptions::create()).unwrap());
    take(&log);
    machine.detach(&filter.driver, &volume).unwrap();
    drop(volume.open("\\c", OpenOptions::create()).unwrap());
    assert_eq!(
        take(&log),
        [
            "f query-teardown",
            "f teardown-start 1",
            "f teardown-complete 1"
        ]
    );
}

#[test]
fn a_reference_keeps_the_instance_and_not_the_teardown() {
    let (machine, volume) = machine();
    let log = log();
    let filter = Script::new("f", &log).load(&machine, "1");
    let instance = volume.instances()[0].pointer;
    // SAFETY: a live instance.
    let status = unsafe { FltObjectReference(instance.cast()) };
    assert_eq!(status, STATUS_SUCCESS);
    machine.detach(&filter.driver, &volume).unwrap();
    assert_eq!(take(&log).last().unwrap(), "f teardown-complete 1");
    // SAFETY: an instance that is still referenced.
    let status = unsafe { FltObjectReference(instance.cast()) };
    assert_eq!(status, STATUS_FLT_DELETING_OBJECT);
    // SAFETY: the reference from above.
    unsafe { FltObjectDereference(instance.cast()) };
    filter.unload().unwrap();
    assert!(machine.finish().is_clean());
}

fn text(string: &UNICODE_STRING) -> String {
    let units: Vec<u16> = (0..usize::from(string.Length) / 2)
        .map(|index| {
            let unit = string.Buffer.wrapping_add(index);
            // SAFETY: the buffer holds that many units.
            unsafe { *unit }
        })
        .collect();
    String::from_utf16(&units).unwrap()
}

fn name_of(data: PFLT_CALLBACK_DATA, options: u32) -> Result<PFLT_FILE_NAME_INFORMATION, NTSTATUS> {
    let mut information = null_mut();
    // SAFETY: the callback data of the caller's callback.
    let status = unsafe { FltGetFileNameInformation(data, options, &raw mut information) };
    if status == STATUS_SUCCESS {
        Ok(information)
    } else {
        Err(status)
    }
}

#[test]
fn file_names() {
    let (machine, volume) = machine();
    let log = log();
    let found = Arc::new(Mutex::new(Vec::new()));
    let inner = found.clone();
    let note = move |data| {
        let information = name_of(data, FLT_FILE_NAME_NORMALIZED).unwrap();
        // SAFETY: a live structure.
        let status = unsafe { FltParseFileNameInformation(information) };
        assert_eq!(status, STATUS_SUCCESS);
        // SAFETY: as above.
        let parts = unsafe { *information };
        inner.lock().push(format!(
            "{} | {} | {} | {} | {} | {}",
            text(&parts.Name),
            text(&parts.Volume),
            text(&parts.ParentDir),
            text(&parts.FinalComponent),
            text(&parts.Extension),
            text(&parts.Stream)
        ));
        // SAFETY: the reference from above.
        unsafe { FltReleaseFileNameInformation(information) };
    };
    let before = note.clone();
    let filter = Script::new("f", &log)
        .pre(IRP_MJ_CREATE, move |data, _, _| {
            before(data);
            FLT_PREOP_SUCCESS_WITH_CALLBACK
        })
        .post(IRP_MJ_CREATE, move |data, _, _, _| {
            note(data);
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "1");
    drop(volume.open("\\File.txt", OpenOptions::create()).unwrap());
    drop(volume.open("\\FILE.TXT:s", OpenOptions::create()).unwrap());
    let start = "\\Device\\HarddiskVolume1";
    assert_eq!(
        *found.lock(),
        [
            format!("{start}\\File.txt | {start} | \\ | File.txt | txt | "),
            format!("{start}\\File.txt | {start} | \\ | File.txt | txt | "),
            format!("{start}\\FILE.TXT:s | {start} | \\ | FILE.TXT:s | TXT | :s"),
            format!("{start}\\File.txt:s | {start} | \\ | File.txt:s | txt | :s"),
        ]
    );
    filter.unload().unwrap();
    assert!(machine.finish().is_clean());
}

fn name_text(data: PFLT_CALLBACK_DATA, options: u32) -> Result<String, NTSTATUS> {
    let information = name_of(data, options)?;
    // SAFETY: a live structure.
    let name = text(unsafe { &(*information).Name });
    // SAFETY: the reference from above.
    unsafe { FltReleaseFileNameInformation(information) };
    Ok(name)
}

#[test]
fn a_normalized_name_has_no_stream_type() {
    let (machine, volume) = machine();
    let log = log();
    let found = Arc::new(Mutex::new(Vec::new()));
    let inner = found.clone();
    let note = move |data| {
        for format in [FLT_FILE_NAME_OPENED, FLT_FILE_NAME_NORMALIZED] {
            let name = name_text(data, format).unwrap();
            inner
                .lock()
                .push(name.rsplit('\\').next().unwrap().to_owned());
        }
    };
    let before = note.clone();
    let filter = Script::new("f", &log)
        .pre(IRP_MJ_CREATE, move |data, _, _| {
            before(data);
            FLT_PREOP_SUCCESS_WITH_CALLBACK
        })
        .post(IRP_MJ_CREATE, move |data, _, _, _| {
            note(data);
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "1");
    for (opened, normalized) in [
        ("a::$DATA", "a"),
        ("a:s:$data", "a:s"),
        ("a:$DATA", "a:$DATA"),
        ("a:s", "a:s"),
    ] {
        let path = format!("\\{opened}");
        drop(volume.open(&path, OpenOptions::create()).unwrap());
        let names = std::mem::take(&mut *found.lock());
        assert_eq!(names, [opened, normalized, opened, normalized]);
    }
    filter.unload().unwrap();
    assert!(machine.finish().is_clean());
}

#[test]
fn where_there_is_no_name() {
    const NO: NTSTATUS = STATUS_FLT_INVALID_NAME_REQUEST;
    let (machine, volume) = machine();
    let log = log();
    let found = Arc::new(Mutex::new(Vec::new()));
    let note = |found: &Arc<Mutex<Vec<NTSTATUS>>>, data| {
        for format in [
            FLT_FILE_NAME_NORMALIZED,
            FLT_FILE_NAME_OPENED,
            FLT_FILE_NAME_SHORT,
        ] {
            let status = name_text(data, format).map_or_else(|status| status, |_| STATUS_SUCCESS);
            found.lock().push(status);
        }
    };
    let [create, read, close] = [0; 3].map(|_| found.clone());
    let filter = Script::new("f", &log)
        .pre(IRP_MJ_CREATE, move |data, _, _| {
            note(&create, data);
            FLT_PREOP_SUCCESS_NO_CALLBACK
        })
        .pre(IRP_MJ_READ, move |data, _, _| {
            note(&read, data);
            FLT_PREOP_SUCCESS_NO_CALLBACK
        })
        .pre(IRP_MJ_CLOSE, |_, _, _| FLT_PREOP_SUCCESS_WITH_CALLBACK)
        .post(IRP_MJ_CLOSE, move |data, _, _, _| {
            note(&close, data);
            FLT_POSTOP_FINISHED_PROCESSING
        })
        .load(&machine, "1");
    let statuses = || std::mem::take(&mut *found.lock());
    let handle = volume.open("\\a", OpenOptions::create()).unwrap();
    assert_eq!(statuses(), [STATUS_SUCCESS, STATUS_SUCCESS, NO]);
    handle.read(0, &mut [0; 1]).unwrap_err();
    let there = [STATUS_SUCCESS, STATUS_SUCCESS, STATUS_NOT_SUPPORTED];
    assert_eq!(statuses(), there);
    drop(handle);
    assert_eq!(statuses(), [NO; 3]);
    filter.unload().unwrap();
    assert!(machine.finish().is_clean());
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn a_top_level_request_keeps_names_away() {
    fn set_top_level(request: usize) {
        let address = fltsim::resolve("IoSetTopLevelIrp").unwrap();
        // SAFETY: the type of this export.
        let function =
            unsafe { std::mem::transmute::<usize, unsafe extern "win64" fn(usize)>(address) };
        // SAFETY: any value may be set.
        unsafe { function(request) };
    }
    let (machine, volume) = machine();
    let log = log();
    let found = Arc::new(Mutex::new(Vec::new()));
    let inner = found.clone();
    let filter = Script::new("f", &log)
        .pre(IRP_MJ_READ, move |data, _, _| {
            for request in [1, 0] {
                set_top_level(request);
                inner.lock().push(name_text(data, FLT_FILE_NAME_OPENED));
            }
            FLT_PREOP_SUCCESS_NO_CALLBACK
        })
        .load(&machine, "1");
    let handle = volume.open("\\a", OpenOptions::create()).unwrap();
    handle.read(0, &mut [0; 1]).unwrap_err();
    let name = "\\Device\\HarddiskVolume1\\a".to_owned();
    let expected = [Err(STATUS_FLT_INVALID_NAME_REQUEST), Ok(name)];
    assert_eq!(*found.lock(), expected);
    drop(handle);
    filter.unload().unwrap();
    assert!(machine.finish().is_clean());
}

#[test]
fn a_leaked_name_and_an_over_released_one() {
    let (machine, volume) = machine();
    let log = log();
    let filter = Script::new("f", &log)
        .pre(IRP_MJ_CREATE, |data, _, _| {
            name_of(data, FLT_FILE_NAME_OPENED).unwrap();
            let twice = name_of(data, FLT_FILE_NAME_OPENED).unwrap();
            // SAFETY: the reference from above.
            unsafe { FltReleaseFileNameInformation(twice) };
            // SAFETY: stale, which the machine is expected to notice.
            unsafe { FltReleaseFileNameInformation(twice) };
            FLT_PREOP_SUCCESS_NO_CALLBACK
        })
        .load(&machine, "1");
    drop(volume.open("\\x", OpenOptions::create()).unwrap());
    let bugchecks = machine.verifier().bugchecks();
    assert_eq!(bugchecks.len(), 1);
    let Severity::Bugcheck { code, parameters } = &bugchecks[0].severity else {
        panic!("not a bugcheck");
    };
    assert_eq!((*code, parameters[0]), (0xF5, 0x68));
    filter.unload().unwrap();
    let leaks = machine.verifier().leaks();
    assert_eq!(leaks.len(), 1);
    assert_eq!(leaks[0].object, "file name information");
    assert_eq!(leaks[0].note, "\\Device\\HarddiskVolume1\\x");
    assert_eq!(leaks[0].acquired, [("FltGetFileNameInformation", 1)]);
}

#[test]
fn every_way_to_say_where_a_rename_leads() {
    const NORMALIZED: u32 = FLT_FILE_NAME_NORMALIZED;
    let (machine, volume) = machine();
    let log = log();
    let filter = Script::new("f", &log).load(&machine, "1");
    let instance = volume.instances()[0].pointer;
    let directory = OpenOptions::directory();
    drop(volume.open("\\Dir", directory).unwrap());
    let handle = volume.open("\\DIR\\a", OpenOptions::create()).unwrap();
    let attributes_name = name("\\??\\C:\\dir");
    let mut attributes = attributes_name.attributes(null_mut(), OBJ_KERNEL_HANDLE);
    let mut block = IO_STATUS_BLOCK {
        __bindgen_anon_1: IO_STATUS_BLOCK_UNION { Status: 0 },
        Information: 0,
    };
    let mut root = null_mut();
    let destination = |root: HANDLE, to: &str, options: u32| {
        let mut units: Vec<u16> = to.encode_utf16().collect();
        let mut information = null_mut();
        // SAFETY: live objects, and a name of that length.
        let status = unsafe {
            FltGetDestinationFileNameInformation(
                instance,
                handle.file_object(),
                root,
                units.as_mut_ptr(),
                u32::try_from(units.len() * 2).unwrap(),
                options,
                &raw mut information,
            )
        };
        if status != STATUS_SUCCESS {
            assert!(information.is_null());
            return Err(status);
        }
        // SAFETY: a live structure.
        let name = text(unsafe { &(*information).Name });
        // SAFETY: the reference from above.
        unsafe { FltReleaseFileNameInformation(information) };
        Ok(name)
    };
    machine.at_irql(0, || {
        // SAFETY: live objects, and everything else is on this stack.
        let status = unsafe {
            FltCreateFile(
                filter.filter,
                instance,
                &raw mut root,
                FILE_GENERIC_READ,
                &raw mut attributes,
                &raw mut block,
                null_mut(),
                0,
                7,
                FILE_OPEN,
                FILE_DIRECTORY_FILE,
                null_mut(),
                0,
                0,
            )
        };
        assert_eq!(status, STATUS_SUCCESS);
        let start = "\\Device\\HarddiskVolume1";
        for (root, to, options, end) in [
            (null_mut(), "\\b", NORMALIZED, "\\b"),
            (null_mut(), "\\??\\C:\\b", NORMALIZED, "\\b"),
            (
                null_mut(),
                "\\device\\harddiskvolume1\\b",
                NORMALIZED,
                "\\b",
            ),
            (null_mut(), "b", NORMALIZED, "\\Dir\\b"),
            (null_mut(), "b", FLT_FILE_NAME_OPENED, "\\DIR\\b"),
            (null_mut(), "\\b:s:$DATA", NORMALIZED, "\\b:s"),
            (
                null_mut(),
                "\\b:s:$DATA",
                FLT_FILE_NAME_OPENED,
                "\\b:s:$DATA",
            ),
            (root, "b", NORMALIZED, "\\Dir\\b"),
        ] {
            let expected = Ok(format!("{start}{end}"));
            assert_eq!(destination(root, to, options), expected, "{to}");
        }
        for (root, options, status) in [
            (
                null_mut(),
                FLT_FILE_NAME_SHORT,
                STATUS_FLT_INVALID_NAME_REQUEST,
            ),
            (null_mut(), 0x77, STATUS_INVALID_PARAMETER),
            (0x1234 as HANDLE, NORMALIZED, STATUS_INVALID_HANDLE),
        ] {
            assert_eq!(destination(root, "b", options), Err(status));
        }
        // SAFETY: the handle from above.
        assert_eq!(unsafe { FltClose(root) }, STATUS_SUCCESS);
    });
    drop(handle);
    filter.unload().unwrap();
    assert!(machine.finish().is_clean());
}

#[test]
fn the_name_that_a_rename_leads_to() {
    let (machine, volume) = machine();
    let log = log();
    let found = Arc::new(Mutex::new(Vec::new()));
    let inner = found.clone();
    let _filter = Script::new("f", &log)
        .pre(IRP_MJ_SET_INFORMATION, move |data, objects, _| {
            // SAFETY: this is a rename.
            let set = unsafe { iopb(data).Parameters.SetFileInformation };
            let rename: *mut FILE_RENAME_INFORMATION = set.InfoBuffer.cast();
            // SAFETY: the buffer holds such a structure.
            let header = unsafe { rename.read_unaligned() };
            let offset = std::mem::offset_of!(FILE_RENAME_INFORMATION, FileName);
            let name = rename.wrapping_byte_add(offset).cast();
            let mut information = null_mut();
            // SAFETY: the objects of this callback; the name follows the structure's head.
            let status = unsafe {
                FltGetDestinationFileNameInformation(
                    objects.Instance,
                    objects.FileObject,
                    header.RootDirectory,
                    name,
                    header.FileNameLength,
                    FLT_FILE_NAME_NORMALIZED,
                    &raw mut information,
                )
            };
            assert_eq!(status, STATUS_SUCCESS);
            // SAFETY: the structure from above.
            inner.lock().push(text(unsafe { &(*information).Name }));
            // SAFETY: the reference from above.
            unsafe { FltReleaseFileNameInformation(information) };
            FLT_PREOP_SUCCESS_NO_CALLBACK
        })
        .load(&machine, "1");
    let handle = volume.open("\\a", OpenOptions::create()).unwrap();
    handle.rename("\\b", false).unwrap();
    assert_eq!(*found.lock(), ["\\Device\\HarddiskVolume1\\b"]);
}

static RAN: Mutex<Vec<usize>> = Mutex::new(Vec::new());

fltapi! {
    unsafe fn routine(item: PFLT_GENERIC_WORKITEM, object: PVOID, context: PVOID) {
        assert_eq!(irql::current(), PASSIVE_LEVEL);
        assert!(!object.is_null());
        thread::sleep(Duration::from_millis(50));
        // SAFETY: the item that this routine was queued with.
        unsafe { FltFreeGenericWorkItem(item) };
        RAN.lock().push(context as usize);
    }
}

#[test]
fn unload_waits_for_a_work_item() {
    let (machine, volume) = machine();
    let log = log();
    let filter = Script::new("f", &log)
        .pre(IRP_MJ_CREATE, |_, objects, _| {
            // SAFETY: no arguments.
            let item = unsafe { FltAllocateGenericWorkItem() };
            // SAFETY: live objects, and a routine that frees the item.
            let status = unsafe {
                FltQueueGenericWorkItem(
                    item,
                    objects.Filter.cast(),
                    Some(routine),
                    DelayedWorkQueue,
                    7 as PVOID,
                )
            };
            assert_eq!(status, STATUS_SUCCESS);
            FLT_PREOP_SUCCESS_NO_CALLBACK
        })
        .load(&machine, "1");
    drop(volume.open("\\a", OpenOptions::create()).unwrap());
    filter.unload().unwrap();
    assert_eq!(*RAN.lock(), [7]);
    assert!(machine.finish().is_clean());
}

#[test]
fn a_kernel_reference_of_a_driver_delays_the_close() {
    let (machine, volume) = machine();
    let log = log();
    let _filter = Script::new("f", &log)
        .watch(IRP_MJ_CLOSE)
        .load(&machine, "1");
    let handle = volume.open("\\a", OpenOptions::create()).unwrap();
    let reference = handle.reference();
    let second = handle.reference();
    take(&log);
    handle.close();
    machine.at_irql(DISPATCH_LEVEL, || drop(reference));
    assert_eq!(take(&log), [""; 0]);
    // The last reference goes at DISPATCH_LEVEL: a worker thread closes.
    machine.at_irql(DISPATCH_LEVEL, || drop(second));
    machine.settle();
    assert_eq!(take(&log), ["f pre close", "f post close"]);
    assert!(machine.finish().is_clean());
}
