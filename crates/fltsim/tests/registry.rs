//! The registry: as a driver image uses it, and as a test looks at it.
//!
//! `images/registry.sys` was made from `images/registry.c` by `images/build.sh`.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use fltmgr_sys::{NTSTATUS, STATUS_OBJECT_NAME_NOT_FOUND, STATUS_SUCCESS};
use fltsim::filesystem::Personality;
use fltsim::image::{Image, Installed};
use fltsim::{
    Driver, DriverConfig, Machine, RegistryEdit, RegistryValue as Value, Unload, Volume,
    VolumeConfig,
};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

const IMAGE: &[u8] = include_bytes!("images/registry.sys");

static INSTALLED: LazyLock<&'static Installed> = LazyLock::new(|| {
    let image = Image::from_bytes("images/registry.sys", IMAGE).unwrap();
    image.install().unwrap()
});
/// The image has variables, and is there once.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A machine with a volume and the image as a driver.
struct Bench {
    machine: Machine,
    volume: Volume,
    driver: Driver,
    _alone: MutexGuard<'static, ()>,
}

impl Bench {
    fn with(config: DriverConfig) -> Self {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let machine = Machine::default();
        let volume = machine.add_volume(VolumeConfig::memory(
            r"\Device\HarddiskVolume1",
            Personality::ntfs(),
        ));
        let driver = machine.create_driver(config);
        Self {
            machine,
            volume,
            driver,
            _alone: alone,
        }
    }

    fn start(&self) -> NTSTATUS {
        assert_eq!(INSTALLED.missing(), [""; 0]);
        self.driver
            .start(INSTALLED.entry())
            .err()
            .unwrap_or(STATUS_SUCCESS)
    }

    /// A driver with parameters, that runs.
    fn running() -> Self {
        let bench = Self::with(
            DriverConfig::new("registry")
                .altitude("385000")
                .value("Parameters", "Limit", Value::dword(77))
                .value("Parameters", "Text", Value::expand_sz("%a%"))
                .value("Parameters", "Texts", Value::multi_sz(["one", "two"]))
                .value("Parameters", "Bytes", Value::binary([1, 2, 3, 4, 5, 6]))
                .value(r"Parameters\Below", "Deep", Value::sz("well")),
        );
        assert_eq!(bench.start(), STATUS_SUCCESS);
        bench
    }

    /// The line of the source whose check fails, or 0.
    fn call(&self, name: &str) -> u64 {
        type Function = unsafe extern "win64" fn() -> u64;
        let address = INSTALLED.export(name).expect(name);
        // SAFETY: every exported function of the image takes nothing and returns a number.
        let function = unsafe { std::mem::transmute::<usize, Function>(address) };
        self.machine.at_irql(0, || {
            // SAFETY: as above.
            unsafe { function() }
        })
    }

    fn finish(self) {
        self.driver.unload(Unload::Normal).unwrap();
        let outcome = self.machine.finish();
        assert!(outcome.is_clean(), "{outcome:?}");
    }
}

#[test]
fn a_driver_reads_its_parameters() {
    let bench = Bench::running();
    assert_eq!(bench.call("parameters"), 0);
    assert_eq!(bench.machine.calls("ZwQueryValueKey"), 10);
    bench.finish();
}

#[test]
fn a_driver_makes_and_deletes_keys() {
    let bench = Bench::running();
    assert_eq!(bench.call("keys"), 0);
    let registry = bench.machine.registry();
    let service = bench.driver.service_key();
    let subkeys = registry.subkeys(&service).unwrap();
    assert_eq!(subkeys, ["Instances", "One", "Parameters"]);
    let values = registry.values(&format!(r"{service}\One")).unwrap();
    assert_eq!(values, [(String::new(), Value::binary([]))]);
    bench.finish();
}

#[test]
fn a_driver_queries_with_tables() {
    let bench = Bench::running();
    assert_eq!(bench.call("query_routine"), 0);
    assert_eq!(bench.call("query_direct"), 0);
    let service = bench.driver.service_key();
    let deleted = bench
        .machine
        .registry()
        .value(&format!(r"{service}\Parameters\Below"), "Deep");
    assert_eq!(deleted, None);
    bench.finish();
}

#[test]
fn a_value_of_an_untrusted_hive_is_checked() {
    let bench = Bench::running();
    let key = r"\Registry\User\.Default";
    bench
        .machine
        .registry()
        .set_value(key, "Number", Value::dword(3))
        .unwrap();
    assert_eq!(bench.call("query_untrusted"), 0);
    let found = bench.machine.verifier().violations();
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("bug check 0x139"), "{found:?}");
}

#[test]
fn a_driver_writes_by_path() {
    let bench = Bench::running();
    assert_eq!(bench.call("by_path"), 0);
    assert_eq!(bench.call("own_keys"), 0);
    let registry = bench.machine.registry();
    let service = bench.driver.service_key();
    assert_eq!(registry.value(&service, "mark"), Some(Value::dword(5)));
    let state = registry.value(&format!(r"{service}\State"), "Limit");
    assert_eq!(state, Some(Value::binary(*b"state")));
    bench.finish();
}

#[test]
fn a_key_that_is_left_open_is_a_leak() {
    let bench = Bench::running();
    assert_eq!(bench.call("leak"), 0);
    bench.driver.unload(Unload::Normal).unwrap();
    let outcome = bench.machine.finish();
    assert_eq!(outcome.leaks.len(), 1);
    assert_eq!(outcome.leaks[0].object, "registry key handle");
    assert_eq!(outcome.leaks[0].acquired, [("ZwOpenKey", 1)]);
    assert_eq!(outcome.violations.len(), 1);
    let text = &outcome.violations[0].message;
    assert!(text.contains("it is a handle that is not open"), "{text}");
}

#[test]
fn a_driver_may_write_its_own_instances() {
    let bench = Bench::with(DriverConfig::new("registry").value("", "Own", Value::dword(1)));
    assert_eq!(bench.start(), STATUS_SUCCESS);
    let instances = bench.volume.instances();
    assert_eq!(instances.len(), 1);
    assert_eq!(
        (&*instances[0].name, &*instances[0].altitude),
        ("Top", "370099")
    );
    bench.finish();
    let bench = Bench::with(DriverConfig::new("registry"));
    assert_eq!(bench.start(), STATUS_OBJECT_NAME_NOT_FOUND);
}

#[test]
fn instances_are_looked_for_at_both_places() {
    let sub = |name: &str| format!(r"Parameters\Instances\{name}");
    let config = DriverConfig::new("registry")
        .altitude("385000")
        .value(r"Parameters\Instances", "DefaultInstance", Value::sz("new"))
        .value(sub("New"), "Altitude", Value::sz("360001"))
        .value(sub("Another"), "Altitude", Value::sz("360002"))
        .value(sub("Another"), "Flags", Value::dword(1))
        .value(sub("Incomplete"), "Flags", Value::dword(0));
    let bench = Bench::with(config.clone());
    assert_eq!(bench.start(), STATUS_SUCCESS);
    let attached = |bench: &Bench| -> Vec<String> {
        let instances = bench.volume.instances();
        instances.into_iter().map(|one| one.name).collect()
    };
    assert_eq!(attached(&bench), ["New"]);
    bench
        .machine
        .attach(&bench.driver, &bench.volume, Some("another"))
        .unwrap();
    assert_eq!(attached(&bench), ["Another", "New"]);
    // What is written later counts at the next attachment.
    let registry = bench.machine.registry();
    let service = bench.driver.service_key();
    let key = format!(r"{service}\{}", sub("Incomplete"));
    registry
        .set_value(&key, "Altitude", Value::sz("360003"))
        .unwrap();
    bench
        .machine
        .attach(&bench.driver, &bench.volume, Some("Incomplete"))
        .unwrap();
    registry
        .delete_key(&format!(r"{service}\{}", sub("Another")))
        .unwrap();
    let gone = bench
        .machine
        .attach(&bench.driver, &bench.volume, Some("Another"));
    assert_eq!(gone, Err(STATUS_OBJECT_NAME_NOT_FOUND));
    bench.finish();

    // Each thing that may be missing.
    for (key, name) in [
        (r"Parameters\Instances", "DefaultInstance"),
        (r"Parameters\Instances\New", "Altitude"),
    ] {
        let edit = RegistryEdit::DeleteValue {
            key: key.to_owned(),
            name: name.to_owned(),
        };
        let bench = Bench::with(config.clone().edit(edit));
        assert_eq!(bench.start(), STATUS_OBJECT_NAME_NOT_FOUND, "{name}");
    }
    let edit = RegistryEdit::DeleteKey {
        key: r"Parameters\Instances".to_owned(),
    };
    let bench = Bench::with(config.edit(edit));
    assert_eq!(bench.start(), STATUS_SUCCESS);
    assert_eq!(attached(&bench), ["registry Instance"]);
    bench.finish();
}

#[test]
fn an_installation_edits_the_registry() {
    let (key, name) = (String::new, || "Value".to_owned());
    let set = |name: &str, value| RegistryEdit::SetExisting {
        key: key(),
        name: name.to_owned(),
        value,
    };
    let config = DriverConfig::new("edits")
        .edit(set("Value", Value::dword(1)))
        .edit(RegistryEdit::SetNew {
            key: key(),
            name: name(),
            value: Value::dword(2),
        })
        .edit(RegistryEdit::SetNew {
            key: key(),
            name: name(),
            value: Value::dword(3),
        })
        .edit(set("Start", Value::dword(0)))
        .edit(RegistryEdit::Append {
            key: key(),
            name: "DependOnService".to_owned(),
            texts: vec!["FltMgr".to_owned(), "Other".to_owned()],
        })
        .edit(RegistryEdit::Key {
            key: "Empty".to_owned(),
        })
        .edit(RegistryEdit::Set {
            key: r"\Registry\Machine\Software\Edits".to_owned(),
            name: String::new(),
            value: Value::qword(9),
        });
    let machine = Machine::default();
    let driver = machine.create_driver(config);
    let registry = machine.registry();
    let service = driver.service_key();
    assert_eq!(registry.value(&service, "Value"), Some(Value::dword(2)));
    assert_eq!(registry.value(&service, "Start"), Some(Value::dword(0)));
    assert_eq!(registry.value(&service, "Type"), Some(Value::dword(2)));
    let image = registry.value(&service, "ImagePath").unwrap();
    assert_eq!(
        image,
        Value::expand_sz(r"\SystemRoot\System32\drivers\edits.sys")
    );
    let depends = registry.value(&service, "DependOnService").unwrap();
    assert_eq!(depends.texts().unwrap(), ["FltMgr", "Other"]);
    assert_eq!(registry.subkeys(&service).unwrap(), ["Empty"]);
    let software = r"\Registry\Machine\Software\Edits";
    assert_eq!(registry.value(software, "").unwrap().number(), Some(9));
    registry.delete_value(software, "").unwrap();
    let missing = Err(STATUS_OBJECT_NAME_NOT_FOUND);
    assert_eq!(registry.delete_value(software, ""), missing);
    registry.create_key(&format!(r"{software}\A")).unwrap();
    registry.delete_key(software).unwrap();
    assert_eq!(registry.values(software), None);
    let value = Value::dword(1);
    assert!(registry.set_value("Software", "x", value).is_err());
}
