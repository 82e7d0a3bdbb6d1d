//! The sample driver `blocks`: exact changes and counts, under eight seeds.
//!
//! Every scenario runs twice: with the driver linked into this program, whose heap is the standard
//! library's, and with the driver from its image, whose heap is nonpaged pool. `cargo test` alone
//! leaves the second out, as the image has to be built; `cargo xtask test` does that.

use blocks::{BLOCK, MOST};
use fltsim::filesystem::Personality;
use fltsim::{
    Config, ContextKind, Driver, DriverConfig, Fault, IoOptions, Machine, OpenOptions, Outcome,
    Unload, Volume, VolumeConfig,
};
use std::sync::{Mutex, PoisonError};

/// A machine with the driver.
struct Bench {
    machine: Machine,
    volume: Volume,
    driver: Driver,
}

/// Gets the driver into the machine.
type Door = fn(&Driver);

fn in_process(driver: &Driver) {
    driver
        .start(blocks::driver_entry)
        .expect("the driver loads");
}

impl Bench {
    fn new(seed: u64, personality: Personality, door: Door) -> Self {
        let machine = Machine::new(Config::default().seed(seed));
        let config = VolumeConfig::memory(r"\Device\HarddiskVolume1", personality);
        let volume = machine.add_volume(config);
        let driver = machine.create_driver(DriverConfig::new("blocks").altitude("385010"));
        door(&driver);
        Self {
            machine,
            volume,
            driver,
        }
    }

    /// Unloads the driver, which leaves nothing, and expects what it says.
    fn finish(self, said: &[String], contexts: u64) -> Outcome {
        self.driver.unload(Unload::Normal).expect("it unloads");
        let outcome = self.machine.finish();
        assert!(outcome.is_clean(), "{outcome:#?}");
        assert_eq!(self.machine.debug_output(), said);
        let row = outcome.statistics.contexts[&ContextKind::Stream];
        assert_eq!((row.allocated, row.freed), (contexts, contexts));
        outcome
    }
}

/// What the driver prints of one stream, and at its end.
fn lines(ranges: &[(u64, u64)], missed: u64) -> Vec<String> {
    let changed = |(from, to): &(u64, u64)| format!("blocks: {from}..{to} changed");
    let ranges = ranges.iter().map(changed);
    ranges
        .chain([format!("blocks: {missed} writes missed")])
        .collect()
}

fn nothing_is_kept_of_streams_that_are_only_read(seed: u64, door: Door) {
    let bench = Bench::new(seed, Personality::ntfs(), door);
    let file = bench.volume.open(r"\a", OpenOptions::create()).unwrap();
    assert!(file.read(0, &mut [0; 1]).is_err(), "the file is empty");
    drop(file);
    bench.finish(&lines(&[], 0), 0);
}

/// Adjacent writes, overlapping ones, one that fails and one at an unknown place, each completed
/// in every way.
fn writes_become_ranges_of_blocks(seed: u64, door: Door) {
    for options in [
        IoOptions::default(),
        IoOptions::worker(),
        IoOptions::dispatch(),
        IoOptions::default().fast_io(),
        IoOptions::default().paging(),
    ] {
        let bench = Bench::new(seed, Personality::ntfs(), door);
        let file = bench.volume.open(r"\a", OpenOptions::create()).unwrap();
        // Paging writes stay within the file.
        file.set_size(64 * BLOCK).unwrap();
        for (offset, length) in [
            (5 * BLOCK, 1),
            (BLOCK - 1, 2),
            (7 * BLOCK, BLOCK),
            (6 * BLOCK + 5, 10),
            (40 * BLOCK, 3 * BLOCK),
            (9 * BLOCK, 0),
        ] {
            let data = vec![1; usize::try_from(length).unwrap()];
            let written = file.write_with(offset, &data, options);
            assert_eq!(written, Ok(data.len()), "{offset}");
        }
        drop(file);
        bench.finish(&lines(&[(0, 2), (5, 8), (40, 43)], 0), 1);
    }
}

fn at_the_end_of_the_file_is_anywhere(seed: u64, door: Door) {
    let bench = Bench::new(seed, Personality::ntfs(), door);
    let file = bench.volume.open(r"\a", OpenOptions::create()).unwrap();
    assert_eq!(file.write(0, b"text"), Ok(4));
    assert_eq!(file.append(b"more"), Ok(4));
    drop(file);
    bench.finish(&lines(&[(0, u64::MAX)], 0), 1);
}

fn a_stream_with_more_ranges_than_are_kept(seed: u64, door: Door) {
    let bench = Bench::new(seed, Personality::ntfs(), door);
    let file = bench.volume.open(r"\a", OpenOptions::create()).unwrap();
    let mut ranges = Vec::new();
    for number in 0..MOST as u64 {
        let block = number * 3;
        assert_eq!(file.write(block * BLOCK, b"x"), Ok(1));
        ranges.push((block, block + 1));
    }
    // One block behind the last range and one more: the last grows.
    let last = ranges.last_mut().unwrap();
    assert_eq!(file.write((last.1 + 1) * BLOCK, b"x"), Ok(1));
    last.1 += 2;
    drop(file);
    bench.finish(&lines(&ranges, 0), 1);
}

fn a_stream_without_contexts_is_missed(seed: u64, door: Door) {
    let bench = Bench::new(seed, Personality::no_contexts(), door);
    let file = bench.volume.open(r"\a", OpenOptions::create()).unwrap();
    assert_eq!(file.write(0, b"x"), Ok(1));
    drop(file);
    bench.finish(&lines(&[], 1), 0);

    let bench = Bench::new(seed, Personality::ntfs(), door);
    bench.machine.inject(Fault::Allocation { after: 0 });
    let file = bench.volume.open(r"\a", OpenOptions::create()).unwrap();
    assert_eq!(file.write(0, b"x"), Ok(1));
    assert_eq!(file.write(0, b"x"), Ok(1));
    drop(file);
    bench.finish(&lines(&[(0, 1)], 1), 1);
}

/// Runs a scenario under every seed; the driver has a static.
fn alone(scenario: fn(u64, Door), door: Door) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    for seed in 0..8 {
        scenario(seed, door);
    }
}

macro_rules! through_both_doors {
    ($($name:ident,)*) => {
        mod linked_in {
            $(
                #[test]
                fn $name() {
                    super::alone(super::$name, super::in_process);
                }
            )*
        }

        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        mod image {
            use super::loaded::from_image;

            $(
                #[test]
                #[ignore = "needs blocks.sys: `cargo xtask test` builds it"]
                fn $name() {
                    super::alone(super::$name, from_image);
                }
            )*
        }
    };
}

through_both_doors! {
    nothing_is_kept_of_streams_that_are_only_read,
    writes_become_ranges_of_blocks,
    at_the_end_of_the_file_is_anywhere,
    a_stream_with_more_ranges_than_are_kept,
    a_stream_without_contexts_is_missed,
}

/// What only the image has: a heap in the pool.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod loaded {
    use super::*;
    use fltsim::image::{Image, Installed};
    use std::path::Path;
    use std::sync::LazyLock;

    pub(super) fn from_image(driver: &Driver) {
        static INSTALLED: LazyLock<&'static Installed> = LazyLock::new(|| {
            let package = Path::new(env!("CARGO_MANIFEST_DIR"));
            let path = package.join("../../target/sys/release/blocks.sys");
            let image = Image::load(&path).unwrap_or_else(|error| {
                panic!("{error}; `cargo xtask sys blocks --release` builds it");
            });
            image.install().expect("the image can be installed")
        });
        INSTALLED.start(driver).expect("the driver loads");
    }

    /// The list grows from nothing to 4, 8, … ranges, each time in the pool.
    fn the_heap_is_the_pool(seed: u64, door: Door) {
        let bench = Bench::new(seed, Personality::ntfs(), door);
        let file = bench.volume.open(r"\a", OpenOptions::create()).unwrap();
        let ranges: Vec<_> = (0..9).map(|block| (2 * block, 2 * block + 1)).collect();
        for (block, _) in &ranges {
            assert_eq!(file.write(block * BLOCK, b"x"), Ok(1));
        }
        drop(file);
        let calls = bench.finish(&lines(&ranges, 0), 1).statistics.calls;
        assert_eq!((calls["ExAllocatePool2"], calls["ExFreePool"]), (3, 3));
    }

    /// Without memory for a second list, the nearest range grows.
    fn a_pool_that_is_exhausted(seed: u64, door: Door) {
        let bench = Bench::new(seed, Personality::ntfs(), door);
        let file = bench.volume.open(r"\a", OpenOptions::create()).unwrap();
        bench.machine.inject(Fault::Pool { after: 0 });
        assert_eq!(file.write(0, b"x"), Ok(1));
        for block in [10, 20, 30, 40] {
            assert_eq!(file.write(block * BLOCK, b"x"), Ok(1));
        }
        bench.machine.inject(Fault::Pool { after: 0 });
        assert_eq!(file.write(24 * BLOCK, b"x"), Ok(1));
        drop(file);
        let ranges = [(10, 11), (20, 25), (30, 31), (40, 41)];
        bench.finish(&lines(&ranges, 1), 1);
    }

    #[test]
    #[ignore = "needs blocks.sys: `cargo xtask test` builds it"]
    fn a_heap_in_the_pool() {
        alone(the_heap_is_the_pool, from_image);
        alone(a_pool_that_is_exhausted, from_image);
    }
}
