//! What happens to the driver.

use crate::bench::{Bench, Host};
use fltmgr_sys::{
    FILE_DELETE_ON_CLOSE, FileRenameInformation, STATUS_FLT_CONTEXT_ALREADY_DEFINED,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_NOT_SUPPORTED, STATUS_OBJECT_NAME_COLLISION,
    STATUS_OBJECT_NAME_NOT_FOUND,
};
use fltsim::ContextKind::{self, File, Instance, Stream, StreamHandle, Transaction, Volume};
use fltsim::filesystem::Personality;
use fltsim::{Fault, IoOptions, OpenOptions, VolumeConfig};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn create() -> OpenOptions {
    OpenOptions::create()
}

pub(crate) fn a_driver_that_only_loads(host: &Host) {
    let bench = host.ntfs();
    assert_eq!(bench.contexts(Volume), (1, 1));
    assert_eq!(bench.contexts(Instance), (1, 1));
    assert_eq!(bench.contexts(StreamHandle), (0, 0));
    assert_eq!(bench.machine.debug_output(), ["ctx: loaded"]);
    bench.finish(&[("opens", 0), ("streams tracked", 0)]);
}

pub(crate) fn the_opens_of_a_file_share_its_contexts(host: &Host) {
    let bench = host.ntfs();
    let first = bench.volume.open(r"\a", create()).unwrap();
    let second = bench.volume.open(r"\a", create()).unwrap();
    let other = bench.volume.open(r"\a:other", create()).unwrap();
    assert_eq!(bench.contexts(File), (1, 1));
    assert_eq!(bench.contexts(Stream), (2, 2));
    assert_eq!(bench.contexts(StreamHandle), (3, 3));
    assert_eq!(first.write(0, &[1; 100]), Ok(100));
    assert_eq!(second.read(0, &mut [0; 60]), Ok(60));
    assert_eq!(other.write(0, &[2; 5]), Ok(5));
    drop((first, second, other));
    assert_eq!(bench.contexts(StreamHandle), (3, 0));
    bench.finish(&[
        ("opens", 3),
        ("opens without a context", 0),
        ("streams tracked", 2),
        ("bytes written", 105),
        ("bytes read", 60),
        ("reads", 1),
        ("writes", 2),
        ("handles closed", 3),
        ("file objects ended", 3),
    ]);
}

pub(crate) fn every_kind_of_operation_is_booked(host: &Host) {
    let bench = host.ntfs();
    bench.file(r"\one", b"contents");
    bench.file(r"\two", b"more");
    let one = bench
        .volume
        .open(r"\one", OpenOptions::read_write())
        .unwrap();
    one.set_size(3).unwrap();
    assert_eq!(
        one.rename(r"\two", false),
        Err(STATUS_OBJECT_NAME_COLLISION)
    );
    one.rename(r"\three", false).unwrap();
    one.flush().unwrap();
    one.delete().unwrap();
    drop(one);
    let root = bench.volume.open(r"\", OpenOptions::directory()).unwrap();
    assert_eq!(root.names().unwrap(), ["two"]);
    drop(root);
    let gone = bench.volume.open(
        r"\two",
        OpenOptions::read_write().options(FILE_DELETE_ON_CLOSE),
    );
    drop(gone.unwrap());
    let missing = bench.volume.open(r"\two", OpenOptions::read());
    assert_eq!(missing.unwrap_err(), STATUS_OBJECT_NAME_NOT_FOUND);
    bench.finish(&[
        ("opens", 5),
        ("renames", 1),
        ("deletions", 1),
        ("bytes written", 12),
    ]);
}

pub(crate) fn an_open_that_fails_leaves_nothing(host: &Host) {
    let bench = host.ntfs();
    for _ in 0..10 {
        let missing = bench.volume.open(r"\none", OpenOptions::read());
        assert_eq!(missing.unwrap_err(), STATUS_OBJECT_NAME_NOT_FOUND);
    }
    // Allocated before the file system had the last word.
    assert_eq!(bench.contexts(StreamHandle), (10, 0));
    assert_eq!(bench.contexts(Stream), (0, 0));
    bench.finish(&[("opens", 0), ("file objects ended", 0)]);
}

pub(crate) fn without_memory_files_go_untracked(host: &Host) {
    let bench = host.ntfs();
    bench.machine.inject(Fault::Allocation { after: 0 });
    let file = bench.volume.open(r"\a", create()).unwrap();
    assert_eq!(bench.contexts(StreamHandle), (0, 0));
    // Nobody counts these, and nobody minds.
    assert_eq!(file.write(0, &[1; 100]), Ok(100));
    drop(file);
    bench.finish(&[
        ("opens", 1),
        ("opens without a context", 1),
        ("bytes written", 0),
    ]);
}

/// A file is opened, written, read and renamed in a transaction; each allocation on the way fails
/// once.
pub(crate) fn every_allocation_may_fail(host: &Host) {
    let mut untracked = 0;
    for after in 0..6 {
        let bench = host.ntfs();
        bench.machine.inject(Fault::Allocation { after });
        let transaction = bench.machine.begin_transaction();
        let file = bench
            .volume
            .open(r"\a", create().transaction(&transaction))
            .unwrap();
        assert_eq!(file.write(0, b"data"), Ok(4));
        assert_eq!(file.read(0, &mut [0; 4]), Ok(4));
        file.rename(r"\b", false).unwrap();
        drop(file);
        transaction.commit().unwrap();
        bench.unload();
        let line = "ctx: 1 opens without a context";
        untracked += u32::from(bench.machine.debug_output().iter().any(|said| said == line));
        bench.sum_up(&[("opens", 1), ("renames", 1)]);
    }
    // Only the first allocation is the open's own.
    assert_eq!(untracked, 1);
}

pub(crate) fn a_context_that_cannot_be_set_is_released(host: &Host) {
    for (kind, tracked) in [(File, true), (Stream, true), (StreamHandle, false)] {
        for status in [STATUS_NOT_SUPPORTED, STATUS_INSUFFICIENT_RESOURCES] {
            let bench = host.ntfs();
            bench.machine.inject(Fault::Set {
                kind,
                status,
                after: 0,
            });
            bench.file(r"\a", b"data");
            let counted = u64::from(tracked && kind != Stream);
            bench.finish(&[
                ("opens without a context", u64::from(!tracked)),
                ("bytes written", 4 * counted),
                ("writes", u64::from(tracked)),
            ]);
        }
    }
    // Somebody else was faster, and then is not there after all.
    let bench = host.ntfs();
    bench.machine.inject(Fault::Set {
        kind: StreamHandle,
        status: STATUS_FLT_CONTEXT_ALREADY_DEFINED,
        after: 0,
    });
    bench.file(r"\a", b"data");
    bench.finish(&[("opens without a context", 1)]);
}

pub(crate) fn a_transaction_that_commits(host: &Host) {
    let bench = host.ntfs();
    let transaction = bench.machine.begin_transaction();
    for path in [r"\a", r"\b", r"\a:stream"] {
        let file = bench
            .volume
            .open(path, create().transaction(&transaction))
            .unwrap();
        assert_eq!(file.write(0, b"one"), Ok(3));
        assert_eq!(file.write(3, b"two"), Ok(3));
    }
    assert_eq!(bench.contexts(Transaction), (1, 1));
    transaction.commit().unwrap();
    bench.machine.settle();
    assert_eq!(bench.contexts(Transaction), (1, 0));
    assert!(bench.volume.open(r"\b", OpenOptions::read()).is_ok());
    bench.finish(&[
        ("transactions committed", 1),
        ("transactions rolled back", 0),
        ("streams changed by committed transactions", 3),
        ("writes", 6),
    ]);
}

pub(crate) fn a_transaction_that_rolls_back(host: &Host) {
    let bench = host.ntfs();
    let transaction = bench.machine.begin_transaction();
    let file = bench
        .volume
        .open(r"\a", create().transaction(&transaction))
        .unwrap();
    assert_eq!(file.write(0, b"data"), Ok(4));
    drop(file);
    transaction.rollback();
    let gone = bench.volume.open(r"\a", OpenOptions::read());
    assert_eq!(gone.unwrap_err(), STATUS_OBJECT_NAME_NOT_FOUND);
    bench.finish(&[
        ("transactions committed", 0),
        ("transactions rolled back", 1),
        ("streams changed by committed transactions", 0),
    ]);
}

pub(crate) fn an_enlistment_that_fails(host: &Host) {
    let bench = host.ntfs();
    bench.machine.inject(Fault::Enlist { after: 0 });
    let transaction = bench.machine.begin_transaction();
    let file = bench
        .volume
        .open(r"\a", create().transaction(&transaction))
        .unwrap();
    assert_eq!(file.write(0, b"data"), Ok(4));
    drop(file);
    transaction.commit().unwrap();
    bench.finish(&[("transactions committed", 0), ("bytes written", 4)]);
}

pub(crate) fn completion_on_other_threads_and_levels(host: &Host) {
    let bench = host.ntfs();
    bench.file(r"\a", &[7; 1000]);
    let file = bench.volume.open(r"\a", OpenOptions::read_write()).unwrap();
    let ways = [
        IoOptions::default(),
        IoOptions::worker(),
        IoOptions::dispatch(),
        IoOptions::default().fast_io(),
        IoOptions::default().paging(),
        IoOptions::dispatch().uncached(),
    ];
    for way in ways {
        assert_eq!(file.read_with(0, &mut [0; 100], way), Ok(100));
        assert_eq!(file.write_with(0, &[1; 10], way), Ok(10));
    }
    drop(file);
    bench.finish(&[
        ("bytes read", 600),
        ("bytes written", 1060),
        ("reads", 6),
        ("writes", 7),
    ]);
}

pub(crate) fn a_rename_at_dispatch_level_is_noted_by_a_worker(host: &Host) {
    let bench = host.ntfs();
    bench.file(r"\a", b"data");
    let file = bench.volume.open(r"\a", OpenOptions::read_write()).unwrap();
    for (way, name) in [(IoOptions::dispatch(), r"\b"), (IoOptions::worker(), r"\c")] {
        let rename = rename_information(name);
        file.set_information_with(FileRenameInformation, &rename, way)
            .unwrap();
    }
    drop(file);
    bench.unload();
    let said = bench.machine.debug_output();
    let last = r"ctx: 2 renames, the last of \Device\HarddiskVolume1\a";
    assert!(said.iter().any(|line| line == last), "{said:#?}");
    bench.sum_up(&[("renames", 2)]);
}

/// `FILE_RENAME_INFORMATION`, of a path from the root.
fn rename_information(to: &str) -> Vec<u8> {
    let name: Vec<u8> = to.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let length = u32::try_from(name.len()).unwrap();
    [&[0; 16][..], &length.to_le_bytes(), &name].concat()
}

pub(crate) fn paging_files_have_no_contexts(host: &Host) {
    let bench = host.ntfs();
    let paging = bench
        .volume
        .open(r"\pagefile.sys", create().paging_file())
        .unwrap();
    assert_eq!(bench.contexts(StreamHandle), (0, 0));
    assert_eq!(bench.contexts(Stream), (0, 0));
    drop(paging);
    bench.finish(&[("opens", 0), ("handles closed", 1)]);
}

pub(crate) fn a_file_system_without_transactions_or_streams(host: &Host) {
    for personality in [Personality::fat(), Personality::redirector()] {
        let bench = host.bench(personality);
        bench.file(r"\a", b"data");
        let file = bench.volume.open(r"\a", OpenOptions::read()).unwrap();
        assert_eq!(file.read(0, &mut [0; 9]), Ok(4));
        drop(file);
        bench.finish(&[
            ("opens", 2),
            ("opens without a context", 0),
            ("bytes read", 4),
            ("bytes written", 4),
        ]);
    }
}

pub(crate) fn a_file_system_without_contexts(host: &Host) {
    let bench = host.bench(Personality::no_contexts());
    bench.file(r"\a", b"data");
    let contexts = [File, Stream].map(|kind| bench.contexts(kind));
    assert_eq!(contexts, [(0, 0); 2]);
    // It is allocated before the file is known.
    assert_eq!(bench.contexts(StreamHandle), (1, 0));
    bench.finish(&[("opens", 1), ("opens without a context", 1)]);
}

pub(crate) fn several_volumes(host: &Host) {
    let bench = host.ntfs();
    let second = bench.machine.add_volume(VolumeConfig::memory(
        r"\Device\HarddiskVolume2",
        Personality::fat(),
    ));
    assert_eq!(bench.contexts(Volume), (2, 2));
    assert_eq!(bench.contexts(Instance), (2, 2));
    bench.file(r"\a", b"data");
    drop(second.open(r"\a", create()).unwrap());
    // A second instance on a volume shares the volume's context, and each has its own of the rest.
    second.dismount();
    assert_eq!(bench.contexts(Volume), (2, 1));
    assert_eq!(bench.contexts(Instance), (2, 1));
    bench.finish(&[("opens", 2), ("streams tracked", 2)]);
}

pub(crate) fn detached_with_files_open(host: &Host) {
    let bench = host.ntfs();
    let file = bench.volume.open(r"\a", create()).unwrap();
    assert_eq!(file.write(0, b"seen"), Ok(4));
    bench.machine.detach(&bench.driver, &bench.volume).unwrap();
    let kinds = [Instance, File, Stream, StreamHandle];
    assert_eq!(kinds.map(|kind| bench.contexts(kind)), [(1, 0); 4]);
    assert_eq!(file.write(4, b"unseen"), Ok(6));
    bench
        .machine
        .attach(&bench.driver, &bench.volume, None)
        .unwrap();
    // It is attached again, but this open was never seen by the new instance.
    assert_eq!(file.write(0, b"nor this"), Ok(8));
    drop(file);
    bench.finish(&[("opens", 1), ("bytes written", 4), ("handles closed", 1)]);
}

pub(crate) fn dismounted_with_files_open(host: &Host) {
    let bench = host.ntfs();
    let files: Vec<_> = (0..5)
        .map(|number| bench.volume.open(&format!(r"\{number}"), create()).unwrap())
        .collect();
    bench.volume.dismount();
    for kind in ContextKind::ALL {
        assert_eq!(bench.contexts(kind).1, 0, "{kind:?}");
    }
    drop(files);
    bench.finish(&[("opens", 5), ("streams tracked", 5), ("handles closed", 0)]);
}

pub(crate) fn unloaded_with_files_open(host: &Host) {
    let bench = host.ntfs();
    let file = bench.volume.open(r"\a", create()).unwrap();
    assert_eq!(file.write(0, b"data"), Ok(4));
    bench.unload();
    assert_eq!(file.write(4, b"data"), Ok(4));
    drop(file);
    bench.sum_up(&[("opens", 1), ("bytes written", 4), ("handles closed", 0)]);
}

pub(crate) fn loaded_again(host: &Host) {
    let bench = host.ntfs();
    bench.file(r"\a", b"data");
    bench.unload();
    bench.load();
    assert_eq!(bench.contexts(Volume), (2, 1));
    bench.file(r"\b", b"more data");
    // The second life has totals of its own.
    bench.finish(&[("opens", 1), ("bytes written", 9)]);
}

pub(crate) fn a_teardown_that_waits_for_nobody(host: &Host) {
    let bench = host.ntfs();
    let file = bench.volume.open(r"\a", create()).unwrap();
    let kept = file.reference();
    drop(file);
    // The file object lives on, as with a mapped file: only its handle is closed.
    assert_eq!(bench.contexts(StreamHandle), (1, 1));
    assert_eq!(kept.write_paging(0, b"lazily written"), Ok(14));
    bench.machine.detach(&bench.driver, &bench.volume).unwrap();
    assert_eq!(bench.contexts(StreamHandle), (1, 0));
    drop(kept);
    bench.finish(&[("bytes written", 14), ("file objects ended", 0)]);
}

/// Three hundred steps, chosen by the seed.
pub(crate) fn anything_in_any_order(host: &Host) {
    let bench = host.ntfs();
    let mut random = ChaCha8Rng::seed_from_u64(host.seed);
    let mut open = Vec::new();
    let mut transactions = Vec::new();
    for _ in 0..300 {
        step(&bench, &mut random, &mut open, &mut transactions);
    }
    drop(open);
    for transaction in transactions {
        transaction.rollback();
    }
    bench.finish(&[]);
}

fn step(
    bench: &Bench<'_>,
    random: &mut ChaCha8Rng,
    open: &mut Vec<fltsim::Handle>,
    transactions: &mut Vec<fltsim::Transaction>,
) {
    let paths = [r"\a", r"\b", r"\c", r"\a:one", r"\a:two", r"\missing\d"];
    let any = |random: &mut ChaCha8Rng, count: usize| random.random_range(0..count.max(1));
    match random.random_range(0..100) {
        0..30 => {
            let path = paths.choose(random).copied().unwrap_or(r"\a");
            let mut options = create();
            if let Some(transaction) = transactions.choose(random)
                && random.random_bool(0.5)
            {
                options = options.transaction(transaction);
            }
            // It may be refused, for one because a transaction has the file.
            open.extend(bench.volume.open(path, options));
        }
        30..45 => {
            let chosen = any(random, open.len());
            if chosen < open.len() {
                open.swap_remove(chosen);
            }
        }
        45..80 => {
            let ways = [
                IoOptions::default(),
                IoOptions::worker(),
                IoOptions::dispatch(),
                IoOptions::default().paging(),
            ];
            let way = ways.choose(random).copied().unwrap_or_default();
            let offset = random.random_range(0..100);
            if let Some(file) = open.choose(random) {
                // A read behind the end fails, and so does writing against a transaction.
                let _ = if random.random_bool(0.5) {
                    file.read_with(offset, &mut [0; 50], way)
                } else {
                    file.write_with(offset, &[1; 50], way)
                };
            }
        }
        80..86 => {
            let name = [r"\a", r"\b", r"\c"]
                .choose(random)
                .copied()
                .unwrap_or(r"\c");
            if let Some(file) = open.choose(random) {
                let _ = file.rename(name, random.random_bool(0.5));
            }
        }
        86..90 => {
            if let Some(file) = open.choose(random) {
                let _ = file.delete();
            }
        }
        90..94 => transactions.push(bench.machine.begin_transaction()),
        94..98 => {
            let chosen = any(random, transactions.len());
            if chosen < transactions.len() {
                let transaction = transactions.swap_remove(chosen);
                if random.random_bool(0.5) {
                    let _ = transaction.commit();
                } else {
                    transaction.rollback();
                }
                // Its context goes now or later, as the seed has it: this is later.
                bench.machine.settle();
            }
        }
        98 => bench.machine.inject(Fault::Allocation {
            after: random.random_range(0..5),
        }),
        _ => bench.volume.trim(),
    }
}
