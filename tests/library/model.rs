//! Random sequences of verbs on random objects, against a small model of what the counts must be.
//!
//! The model knows nothing of the Filter Manager but this: a slot is empty or holds one context,
//! a context lives while a slot or a handle has it, and its value is dropped when neither has.

use std::{
    any::{Any, TypeId},
    collections::BTreeMap,
};

use fltctx::{context::SetFailure, kind::Attach, operation::FlushBuffers, prelude::*};
use fltsim::{Handle, OpenOptions, Transaction};
use proptest::prelude::*;

use crate::probe::{
    Bench, Id, OnFile, OnHandle, OnInstance, OnStream, OnTransaction, OnVolume, Probe, drops,
};

/// A verb, on a slot that an open reaches or on a handle in hand.
#[derive(Clone, Copy, Debug)]
enum Verb {
    Get,
    Set,
    Replace,
    GetOrInsert,
    Remove,
    Delete,
    AllocateAndDrop,
    DeleteByHandle(usize),
    CloneHandle(usize),
    DropHandle(usize),
    /// Closes the open and opens the same path again.
    Reopen,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Volume,
    Instance,
    File,
    Stream,
    StreamHandle,
    Transaction,
}

const KINDS: [Kind; 6] = [
    Kind::Volume,
    Kind::Instance,
    Kind::File,
    Kind::Stream,
    Kind::StreamHandle,
    Kind::Transaction,
];

/// The opens: two of one stream, another stream of the same file, another file. The last is
/// transacted.
const PATHS: [(&str, bool); 4] = [
    (r"\a", false),
    (r"\a", false),
    (r"\a:s", false),
    (r"\b", true),
];

/// A slot is named by its kind and by what the kind distinguishes.
fn key(kind: Kind, open: usize, generation: usize) -> String {
    let path = PATHS[open].0;
    match kind {
        Kind::Volume | Kind::Instance | Kind::Transaction => format!("{kind:?}"),
        Kind::File => format!("{kind:?} {}", path.split(':').next().unwrap_or(path)),
        Kind::Stream => format!("{kind:?} {path}"),
        Kind::StreamHandle => format!("{kind:?} {open} {generation}"),
    }
}

/// A handle of any of the six types.
struct Held {
    id: u64,
    handle: Box<dyn Any + Send>,
}

/// The reference model.
#[derive(Default)]
struct Model {
    slots: BTreeMap<String, u64>,
    /// Where the context `id` is in memory.
    addresses: BTreeMap<u64, usize>,
}

impl Model {
    fn references(&self, id: u64, held: &[Held]) -> u32 {
        let links = self.slots.values().filter(|linked| **linked == id).count();
        let handles = held.iter().filter(|held| held.id == id).count();
        u32::try_from(links + handles).unwrap()
    }

    /// Every context has exactly the references that the model says, and every value that has
    /// none has been dropped once.
    fn check(&self, bench: &Bench, held: &[Held]) {
        for (&id, &address) in &self.addresses {
            let expected = self.references(id, held);
            if expected == 0 {
                assert_eq!(drops(id), 1, "context {id} has no references left");
            } else {
                assert_eq!(drops(id), 0, "context {id} is referenced");
                let context = core::ptr::with_exposed_provenance_mut(address);
                assert_eq!(
                    bench.machine.reference_count(context),
                    expected,
                    "context {id}"
                );
            }
        }
    }
}

/// What a verb did: the slot's context afterwards, and a handle to keep.
struct Done {
    slot: Option<u64>,
    kept: Option<Held>,
    made: Option<(u64, usize)>,
}

fn hold<T: Context + Id>(handle: Shared<T>, id: u64) -> Held {
    Held {
        id,
        handle: Box::new(handle),
    }
}

/// Runs a verb on a slot and says what must be true now, from the slot's context before.
fn run<T>(
    verb: Verb,
    op: &Pre<'_, Probe, FlushBuffers>,
    slot: fltctx::context::Slot<'_, Probe, T>,
    before: Option<u64>,
) -> Done
where
    T: fltctx::context::DeclaredBy<Probe> + Default + Id,
    T::Kind: Attach,
{
    let id = |handle: &Shared<T>| handle.at(op.irql()).id();
    let place = |handle: &Shared<T>| (id(handle), handle.as_raw().expose_provenance());
    match verb {
        Verb::Get => {
            let got = slot.get().unwrap();
            assert_eq!(got.as_ref().map(id), before);
            let kept = got.map(|handle| {
                let id = id(&handle);
                hold(handle, id)
            });
            Done {
                slot: before,
                kept,
                made: None,
            }
        }
        Verb::Set => match slot.set(slot.allocate(T::default()).unwrap()) {
            Ok(set) => {
                assert_eq!(before, None);
                let made = place(&set);
                Done {
                    slot: Some(made.0),
                    kept: Some(hold(set, made.0)),
                    made: Some(made),
                }
            }
            Err(error) => match error.failure {
                SetFailure::AlreadyDefined(winner) => {
                    assert_eq!(Some(id(&winner)), before);
                    let loser = error.context.at(op.irql()).id();
                    let made = (loser, error.context.as_raw().expose_provenance());
                    let id = id(&winner);
                    Done {
                        slot: before,
                        kept: Some(hold(winner, id)),
                        made: Some(made),
                    }
                }
                other => panic!("{other:?}"),
            },
        },
        Verb::Replace => {
            let replaced = slot.replace(slot.allocate(T::default()).unwrap()).unwrap();
            assert_eq!(replaced.old.as_ref().map(id), before);
            let made = place(&replaced.new);
            let kept = replaced.old.map(|old| {
                let id = id(&old);
                hold(old, id)
            });
            Done {
                slot: Some(made.0),
                kept,
                made: Some(made),
            }
        }
        Verb::GetOrInsert => {
            let got = slot.get_or_insert_with(T::default).unwrap();
            let made = place(&got);
            assert!(before.is_none_or(|before| before == made.0));
            Done {
                slot: Some(made.0),
                kept: Some(hold(got, made.0)),
                made: Some(made),
            }
        }
        Verb::Remove => {
            let removed = slot.remove().unwrap();
            assert_eq!(removed.as_ref().map(id), before);
            let kept = removed.map(|handle| {
                let id = id(&handle);
                hold(handle, id)
            });
            Done {
                slot: None,
                kept,
                made: None,
            }
        }
        Verb::Delete => {
            assert_eq!(slot.delete().unwrap(), before.is_some());
            Done {
                slot: None,
                kept: None,
                made: None,
            }
        }
        Verb::AllocateAndDrop => {
            let unique = slot.allocate(T::default()).unwrap();
            let made = (
                unique.at(op.irql()).id(),
                unique.as_raw().expose_provenance(),
            );
            Done {
                slot: before,
                kept: None,
                made: Some(made),
            }
        }
        _ => unreachable!("not a verb of a slot"),
    }
}

fn run_kind(
    verb: Verb,
    kind: Kind,
    op: &mut Pre<'_, Probe, FlushBuffers>,
    before: Option<u64>,
) -> Done {
    match kind {
        Kind::Volume => run(verb, op, op.slot::<OnVolume>(), before),
        Kind::Instance => run(verb, op, op.slot::<OnInstance>(), before),
        Kind::File => run(verb, op, op.slot::<OnFile>(), before),
        Kind::Stream => run(verb, op, op.slot::<OnStream>(), before),
        Kind::StreamHandle => run(verb, op, op.slot::<OnHandle>(), before),
        Kind::Transaction => {
            let transaction = op.transaction().expect("the open is transacted");
            run(verb, op, transaction.slot::<OnTransaction>(), before)
        }
    }
}

/// Applies `f` to a handle of whichever of the six types it is.
macro_rules! on_any {
    ($held:expr, $handle:ident => $body:expr) => {{
        let any = &$held.handle;
        let id = (**any).type_id();
        macro_rules! try_type {
            ($ty:ty) => {
                if id == TypeId::of::<Shared<$ty>>() {
                    let $handle = any.downcast_ref::<Shared<$ty>>().unwrap();
                    return $body;
                }
            };
        }
        try_type!(OnVolume);
        try_type!(OnInstance);
        try_type!(OnFile);
        try_type!(OnStream);
        try_type!(OnHandle);
        try_type!(OnTransaction);
        unreachable!("six types")
    }};
}

fn clone_of(held: &Held) -> Held {
    // SAFETY: the test's own code runs at PASSIVE_LEVEL.
    let passive = unsafe { <fltctx::irql::Passive as fltctx::irql::Ceiling>::assert() };
    on_any!(held, handle => hold(handle.clone_at(&passive), held.id))
}

fn open(bench: &Bench, number: usize, transaction: &Transaction) -> Handle {
    let (path, transacted) = PATHS[number];
    let options = OpenOptions::create();
    let options = if transacted {
        options.transaction(transaction)
    } else {
        options
    };
    bench.volume.open(path, options).expect("the file opens")
}

fn delete_by_handle(bench: &Bench, open: &Handle, held: Held) -> Held {
    bench.on(open, move |op| {
        fn delete(held: &Held, irql: &fltctx::irql::AtMostApc) {
            on_any!(held, handle => handle.delete(irql));
        }
        delete(&held, op.irql());
        held
    })
}

fn play(seed: u64, steps: &[(usize, Kind, Verb)]) {
    let bench = Bench::new(seed);
    let transaction = bench.machine.begin_transaction();
    let mut opens: Vec<Option<Handle>> = (0..PATHS.len())
        .map(|number| Some(open(&bench, number, &transaction)))
        .collect();
    let mut generations = [0; PATHS.len()];
    let mut model = Model::default();
    let mut held: Vec<Held> = Vec::new();
    for &(number, kind, verb) in steps {
        let number = if matches!(kind, Kind::Transaction) {
            PATHS.len() - 1
        } else {
            number
        };
        match verb {
            Verb::CloneHandle(which) if !held.is_empty() => {
                let clone = clone_of(&held[which % held.len()]);
                held.push(clone);
            }
            Verb::DropHandle(which) if !held.is_empty() => {
                let which = which % held.len();
                drop(held.swap_remove(which));
            }
            Verb::DeleteByHandle(which) if !held.is_empty() => {
                let which = which % held.len();
                let deleted = held.swap_remove(which);
                let id = deleted.id;
                let deleted = delete_by_handle(&bench, opens[number].as_ref().unwrap(), deleted);
                held.push(deleted);
                model.slots.retain(|_, linked| *linked != id);
            }
            Verb::CloneHandle(_) | Verb::DropHandle(_) | Verb::DeleteByHandle(_) => {}
            Verb::Reopen => {
                drop(opens[number].take());
                model
                    .slots
                    .remove(&key(Kind::StreamHandle, number, generations[number]));
                // A stream goes with its last open, a file with its last stream.
                let others = |same: &dyn Fn(&str) -> bool| {
                    (0..PATHS.len()).any(|other| other != number && same(PATHS[other].0))
                };
                let path = PATHS[number].0;
                let file = path.split(':').next().unwrap();
                if !others(&|other| other == path) {
                    model.slots.remove(&key(Kind::Stream, number, 0));
                }
                if !others(&|other| other.split(':').next().unwrap() == file) {
                    model.slots.remove(&key(Kind::File, number, 0));
                }
                generations[number] += 1;
                opens[number] = Some(open(&bench, number, &transaction));
            }
            verb => {
                let key = key(kind, number, generations[number]);
                let before = model.slots.get(&key).copied();
                let done = bench.on(opens[number].as_ref().unwrap(), move |op| {
                    run_kind(verb, kind, op, before)
                });
                match done.slot {
                    Some(id) => model.slots.insert(key, id),
                    None => model.slots.remove(&key),
                };
                model.addresses.extend(done.made);
                held.extend(done.kept);
            }
        }
        model.check(&bench, &held);
        // A recycled address must not stand for two contexts.
        let dead: Vec<u64> = model
            .addresses
            .keys()
            .copied()
            .filter(|id| model.references(*id, &held) == 0)
            .collect();
        for id in dead {
            model.addresses.remove(&id);
        }
    }
    drop((held, opens));
    transaction.rollback();
    bench.finish();
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        3 => Just(Verb::Get),
        3 => Just(Verb::Set),
        2 => Just(Verb::Replace),
        3 => Just(Verb::GetOrInsert),
        1 => Just(Verb::Remove),
        1 => Just(Verb::Delete),
        1 => Just(Verb::AllocateAndDrop),
        1 => (0..64_usize).prop_map(Verb::DeleteByHandle),
        2 => (0..64_usize).prop_map(Verb::CloneHandle),
        4 => (0..64_usize).prop_map(Verb::DropHandle),
        1 => Just(Verb::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Any sequence of verbs leaves exactly the references that the model says.
    #[test]
    fn counts_match_the_model(
        seed in 0..1_000_u64,
        steps in proptest::collection::vec((0..PATHS.len(), prop::sample::select(&KINDS[..]), verb()), 1..60),
    ) {
        play(seed, &steps);
    }
}
