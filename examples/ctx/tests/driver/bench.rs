//! A machine with the sample driver on it, through one of two doors.

use fltsim::filesystem::Personality;
use fltsim::verifier::Rule;
use fltsim::{
    Config, ContextKind, Driver, DriverConfig, Machine, OpenOptions, Statistics, Unload, Volume,
    VolumeConfig,
};
use std::cell::RefCell;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// What a test runs.
pub(crate) type Scenario = fn(&Host);

/// The seeds under which everything is run.
pub(crate) const SEEDS: Range<u64> = 0..8;

const ALTITUDE: &str = "385000";

/// How the driver gets into the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    InProcess,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Image,
}

/// What is the same through both doors.
#[derive(Debug, PartialEq)]
pub(crate) struct Evidence {
    /// What the contexts did, the operations, and how often each export was called.
    pub(crate) statistics: Statistics,
    said: Vec<String>,
    broken: Vec<Rule>,
}

/// Runs a scenario and gives what each of its machines had to say.
pub(crate) fn run(door: Door, seed: u64, scenario: Scenario) -> Vec<Evidence> {
    // The driver has statics, through either door.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let host = Host {
        door,
        seed,
        evidence: RefCell::default(),
    };
    scenario(&host);
    host.evidence.into_inner()
}

/// Where benches come from.
pub(crate) struct Host {
    door: Door,
    pub(crate) seed: u64,
    evidence: RefCell<Vec<Evidence>>,
}

impl Host {
    /// A machine with one volume of a sort, and the driver loaded.
    pub(crate) fn bench(&self, personality: Personality) -> Bench<'_> {
        let machine = Machine::new(Config::default().seed(self.seed));
        let volume = machine.add_volume(VolumeConfig::memory(
            r"\Device\HarddiskVolume1",
            personality,
        ));
        let service = DriverConfig::new("ctx").altitude(ALTITUDE);
        let driver = machine.create_driver(service);
        let bench = Bench {
            host: self,
            machine,
            volume,
            driver,
        };
        bench.load();
        bench
    }

    /// As [`Host::bench`], of a volume that has everything.
    pub(crate) fn ntfs(&self) -> Bench<'_> {
        self.bench(Personality::ntfs())
    }
}

/// A machine with the driver.
pub(crate) struct Bench<'a> {
    host: &'a Host,
    pub(crate) machine: Machine,
    pub(crate) volume: Volume,
    pub(crate) driver: Driver,
}

impl Bench<'_> {
    pub(crate) fn load(&self) {
        let status = match self.host.door {
            Door::InProcess => self.driver.start(ctx::driver_entry),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Door::Image => image().start(&self.driver),
        };
        status.expect("the driver loads");
    }

    pub(crate) fn unload(&self) {
        self.driver.unload(Unload::Normal).expect("it unloads");
    }

    /// Makes a file with contents, which is an open, a write, a cleanup and a close.
    pub(crate) fn file(&self, path: &str, contents: &[u8]) {
        let file = self.volume.open(path, OpenOptions::create());
        let written = file.expect("a new file").write(0, contents);
        assert_eq!(written, Ok(contents.len()));
    }

    /// Contexts of a kind: allocated altogether, and living now.
    pub(crate) fn contexts(&self, kind: ContextKind) -> (u64, u64) {
        let row = self.machine.statistics().contexts[&kind];
        (row.allocated, row.live)
    }

    /// Unloads, and expects that nothing was left or broken, and what the driver says at its end.
    pub(crate) fn finish(self, totals: &[(&str, u64)]) {
        self.unload();
        self.sum_up(totals);
    }

    /// As [`Bench::finish`], after the driver was unloaded.
    pub(crate) fn sum_up(self, totals: &[(&str, u64)]) {
        let outcome = self.machine.finish();
        assert!(outcome.is_clean(), "{outcome:#?}");
        for (kind, row) in &outcome.statistics.contexts {
            assert_eq!((row.live, row.freed), (0, row.allocated), "{kind:?}");
        }
        let said = self.machine.debug_output();
        for (what, number) in totals {
            let line = format!("ctx: {number} {what}");
            assert!(said.contains(&line), "{line}: {said:#?}");
        }
        self.host.evidence.borrow_mut().push(Evidence {
            statistics: outcome.statistics,
            said,
            broken: outcome.violations.iter().map(|one| one.rule).collect(),
        });
    }
}

/// The driver's image, installed once.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn image() -> &'static fltsim::image::Installed {
    use fltsim::image::{Image, Installed};
    use std::path::Path;
    use std::sync::LazyLock;

    static INSTALLED: LazyLock<&'static Installed> = LazyLock::new(|| {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = package.join("../../target/sys/release/ctx.sys");
        let image = Image::load(&path).unwrap_or_else(|error| {
            panic!("{error}; `cargo xtask sys --release` builds it");
        });
        image.install().expect("the image can be installed")
    });
    *INSTALLED
}
