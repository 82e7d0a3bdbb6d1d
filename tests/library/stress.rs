//! Four threads on shared streams, a million operations, exact counts.

use fltctx::{operation::FlushBuffers, prelude::*};

use crate::probe::{Bench, Id, OnStream, Probe};

const THREADS: u64 = 4;
const OPERATIONS: u64 = 1_000_000;
const STREAMS: usize = 3;

/// A small generator, so that each thread's choices depend on its number only.
struct Choices(u64);

impl Choices {
    fn next(&mut self, below: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }
}

/// What one thread does with the slot of its callback.
fn race(op: &mut Pre<'_, Probe, FlushBuffers>, choices: &mut Choices, rounds: u64) {
    let slot = op.slot::<OnStream>();
    let mut kept: Option<Shared<OnStream>> = None;
    for _ in 0..rounds {
        match choices.next(8) {
            0..=3 => kept = Some(slot.get_or_insert_with(OnStream::default).unwrap()),
            4 => {
                let unique = slot.allocate(OnStream::default()).unwrap();
                kept = slot.replace(unique).unwrap().old;
            }
            5 => {
                slot.delete().unwrap();
            }
            6 => kept = slot.remove().unwrap(),
            _ => {
                if let Some(context) = kept.clone() {
                    assert_ne!(context.id(), 0);
                    context.delete(op.irql());
                }
            }
        }
    }
}

/// Gets, inserts, replaces, removes and deletes race; afterwards every context that was allocated
/// has been freed, and none twice.
#[test]
fn a_million_operations_on_shared_streams() {
    const ROUNDS: u64 = 500;
    let bench = Bench::new(1);
    let files: Vec<_> = (0..STREAMS)
        .map(|number| bench.open(&format!(r"\shared:{number}")))
        .collect();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (bench, files) = (&bench, &files);
            scope.spawn(move || {
                let mut choices = Choices(0x9E37_79B9_7F4A_7C15 ^ (thread + 1));
                for _ in 0..OPERATIONS / THREADS / ROUNDS {
                    let stream = usize::try_from(choices.next(STREAMS as u64)).unwrap();
                    let state = choices.0;
                    choices.0 = bench.on(&files[stream], move |op| {
                        let mut choices = Choices(state);
                        race(op, &mut choices, ROUNDS);
                        choices.0
                    });
                }
            });
        }
    });
    drop(files);
    bench.finish();
}
