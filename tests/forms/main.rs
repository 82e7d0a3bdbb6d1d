//! Every form of context: variable size, several sizes of one kind, memory of the driver's own,
//! values that never move, sections, several in one call, contexts that own others.

use std::{
    any::Any,
    cell::Cell,
    marker::PhantomPinned,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use fltctx::{
    context::{
        Absent, Family, Fixed, InPlace, Member, MemberRef, OneOf, PoolAllocator, VariableContext,
        VariableMember, WithSlice,
    },
    in_place,
    object::{FileObject, SectionFailure},
    operation::FlushBuffers,
    prelude::*,
    registration::{SectionConflict, Windows},
};
use fltsim::{
    Config, ContextKind, Driver, DriverConfig, Fault, Handle, Machine, OpenOptions, Unload as How,
    Volume, VolumeConfig, filesystem::Personality,
};

static LIVE: AtomicU32 = AtomicU32::new(0);

/// A value that knows how many of its like there are.
struct Counted(u64);

impl Counted {
    fn new(number: u64) -> Self {
        LIVE.fetch_add(1, Ordering::Relaxed);
        Self(number)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A volume context in memory of the driver's own.
struct OwnMemory(Counted);

const OWN_TAG: PoolTag = PoolTag::new(*b"FoOw");

impl Context for OwnMemory {
    type Kind = kind::Volume;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"FoVo");
}

/// An instance context that never moves, and knows where it is.
struct Anchored {
    counted: Counted,
    here: Here,
}

/// A value that remembers its address.
struct Here {
    address: usize,
    _pinned: PhantomPinned,
}

fn here() -> impl InPlace<Here> {
    let write = |place: *mut Here| {
        let here = Here {
            address: place.addr(),
            _pinned: PhantomPinned,
        };
        // SAFETY: a recipe is given a place that may be written.
        unsafe { place.write(here) };
    };
    // SAFETY: the closure writes the whole structure.
    unsafe { fltctx::context::by_closure(write) }
}

impl Context for Anchored {
    type Kind = kind::Instance;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"FoIn");
}

/// A file context with the file's name behind it.
struct Named {
    counted: Counted,
}

impl VariableContext for Named {
    type Kind = kind::File;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"FoNm");
    type Element = u16;
}

/// Stream contexts of four sizes.
enum Sizes {}

struct Small(Counted);
struct Medium(Counted, [u64; 4]);
struct Large(Counted, [u64; 40]);
struct Open(Counted);

impl Member for Small {}
impl Member for Medium {}
impl Member for Large {}
impl Member for Open {}
impl VariableMember for Open {
    type Element = u32;
}

impl Family for Sizes {
    type Kind = kind::Stream;
    type Pool = pool::Paged;
    const TAG: PoolTag = PoolTag::new(*b"FoSz");
    type Small = Small;
    type Medium = Medium;
    type Large = Large;
    type Variable = Open;
}

/// A handle context that owns the contexts of the file and the stream.
struct Owner {
    file: Option<Shared<WithSlice<Named>>>,
    stream: Option<Shared<OneOf<Sizes>>>,
    counted: Counted,
}

impl Context for Owner {
    type Kind = kind::StreamHandle;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"FoOn");
}

/// A section context.
struct Scan {
    conflicts: AtomicU32,
    counted: Counted,
}

impl Context for Scan {
    type Kind = kind::Section;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"FoSc");
}

struct Forms;

contexts! {
    Forms:
        OwnMemory => PoolAllocator<{ OWN_TAG.into_raw() }>,
        Anchored,
        WithSlice<Named>,
        OneOf<Sizes>,
        Owner,
        Scan,
}

type Script = Box<dyn FnOnce(&mut Pre<'_, Forms, FlushBuffers>) + Send>;
type OnCreate = Arc<dyn Fn(FileObject<'_, Forms>, &Post<'_, Forms, Create>) + Send + Sync>;

thread_local! {
    static SCRIPT: Cell<Option<Script>> = const { Cell::new(None) };
    static ON_CREATE: Cell<Option<OnCreate>> = const { Cell::new(None) };
}

impl Minifilter for Forms {
    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        Ok(Self)
    }

    fn instance_setup(&self, setup: &mut InstanceSetup<'_, Self>) -> Result<(), DoNotAttach> {
        // Not every file system has data scans; that is no reason to stay away.
        let _ = setup.instance().register_for_data_scan(setup.irql());
        Ok(())
    }

    fn section_conflict(&self, conflict: &mut SectionConflict<'_, Self>) {
        if let Some(scan) = conflict.context::<Scan>() {
            scan.conflicts.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl PreOperation<FlushBuffers> for Forms {
    type Completion = NoPostOperation;

    fn pre(&self, flush: &mut Pre<'_, Self, FlushBuffers>) -> PreResult<NoPostOperation> {
        if let Some(script) = SCRIPT.take() {
            script(flush);
        }
        PreResult::no_callback()
    }
}

impl PreOperation<Create> for Forms {
    type Completion = ();

    fn pre(&self, _create: &mut Pre<'_, Self, Create>) -> PreResult<()> {
        PreResult::callback(())
    }
}

impl PostOperation<Create> for Forms {
    fn post(&self, create: &mut Post<'_, Self, Create>, (): ()) {
        let hook = ON_CREATE.take();
        if let (Some(hook), Some(file)) = (hook, create.opened()) {
            hook(file, create);
        }
    }
}

driver_entry!(Forms, operations![FlushBuffers: pre, Create]);

/// A machine with the driver loaded; one at a time, as the driver's state is static.
struct Bench {
    machine: Machine,
    volume: Volume,
    driver: Driver,
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

impl Bench {
    fn new(seed: u64) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let machine = Machine::new(
            Config::default()
                .seed(seed)
                .unload_wait(Duration::from_millis(200)),
        );
        let volume = machine.add_volume(VolumeConfig::memory(
            r"\Device\HarddiskVolume1",
            Personality::ntfs(),
        ));
        let driver = machine.create_driver(DriverConfig::new("forms").altitude("385300"));
        driver.start(driver_entry).expect("the driver loads");
        Self {
            machine,
            volume,
            driver,
            _alone: alone,
        }
    }

    fn open(&self, path: &str) -> Handle {
        self.volume
            .open(path, OpenOptions::create())
            .expect("the file opens")
    }

    fn on<R: Send + 'static>(
        file: &Handle,
        script: impl FnOnce(&mut Pre<'_, Forms, FlushBuffers>) -> R + Send + 'static,
    ) -> R {
        let result: Arc<Mutex<Option<Box<dyn Any + Send>>>> = Arc::default();
        let slot = Arc::clone(&result);
        SCRIPT.set(Some(Box::new(move |flush| {
            let value = script(flush);
            *slot.lock().unwrap() = Some(Box::new(value));
        })));
        file.flush().expect("the flush succeeds");
        let value = result.lock().unwrap().take().expect("the callback ran");
        *value.downcast().expect("the script's own type")
    }

    fn finish(self) {
        self.driver.unload(How::Normal).expect("the driver unloads");
        self.machine.settle();
        let outcome = self.machine.finish();
        assert!(outcome.is_clean(), "not clean: {outcome:?}");
        assert_eq!(LIVE.load(Ordering::Relaxed), 0, "every value is dropped");
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.driver.unload(How::Mandatory);
            LIVE.store(0, Ordering::Relaxed);
        }
    }
}

const SEEDS: std::ops::Range<u64> = 0..8;

/// A header and a name in one allocation of exactly their size.
#[test]
fn variable_size() {
    for seed in SEEDS {
        let bench = Bench::new(seed);
        let file = bench.open(r"\a");
        let machine = bench.machine.clone();
        Bench::on(&file, move |op| {
            let name: Vec<u16> = r"\a long name of 31 UTF-16 units".encode_utf16().collect();
            let before = machine.calls("FltAllocateContext");
            let unique = op
                .filter()
                .allocate_with_slice(
                    Named {
                        counted: Counted::new(7),
                    },
                    &name,
                )
                .unwrap();
            assert_eq!(machine.calls("FltAllocateContext"), before + 1);
            let size = machine.context(unique.as_raw()).unwrap().size;
            assert_eq!(unique.slice(), name);
            let shared = op.slot::<WithSlice<Named>>().set(unique).unwrap();
            assert_eq!(shared.slice(), name);
            assert_eq!(shared.slice_at(op.irql()), name);
            assert_eq!(shared.counted.0, 7);
            assert_eq!(shared.header().counted.0, 7);
            // The header is 8 bytes, the length 2, and a unit 2.
            assert_eq!(size, 8 + 2 + 2 * name.len());
            let empty = op
                .filter()
                .allocate_with_slice(
                    Named {
                        counted: Counted::new(8),
                    },
                    &[],
                )
                .unwrap();
            assert!(empty.slice().is_empty());
        });
        drop(file);
        bench.finish();
    }
}

/// A slice that is too long gives the header back.
#[test]
fn variable_size_has_a_limit() {
    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    Bench::on(&file, |op| {
        let most = vec![0_u16; (usize::from(u16::MAX) - 10) / 2];
        drop(
            op.filter()
                .allocate_with_slice(
                    Named {
                        counted: Counted::new(1),
                    },
                    &most,
                )
                .unwrap(),
        );
        let over = vec![0_u16; most.len() + 1];
        let error = op
            .filter()
            .allocate_with_slice(
                Named {
                    counted: Counted::new(2),
                },
                &over,
            )
            .unwrap_err();
        assert_eq!(error.status, Status::INVALID_BUFFER_SIZE);
        assert_eq!(error.value.counted.0, 2);
    });
    drop(file);
    bench.finish();
}

/// The four sizes of a kind are told apart, and each is dropped as what it is.
#[test]
fn several_sizes_of_one_kind() {
    for seed in SEEDS {
        let bench = Bench::new(seed);
        let file = bench.open(r"\a");
        let machine = bench.machine.clone();
        Bench::on(&file, move |op| {
            let slot = op.slot::<OneOf<Sizes>>();
            let filter = op.filter();
            let size =
                |context: &Shared<OneOf<Sizes>>| machine.context(context.as_raw()).unwrap().size;

            let small = filter
                .allocate_member(Fixed::Small(Small(Counted::new(1))))
                .unwrap();
            let small = slot.replace(small).unwrap().new;
            assert!(matches!(small.member_at(op.irql()), MemberRef::Small(Small(c)) if c.0 == 1));
            assert_eq!(size(&small), 16);

            let medium = Fixed::Medium(Medium(Counted::new(2), [3; 4]));
            let medium = slot
                .replace(filter.allocate_member(medium).unwrap())
                .unwrap()
                .new;
            assert!(matches!(
                medium.member_at(op.irql()),
                MemberRef::Medium(Medium(c, [3, 3, 3, 3])) if c.0 == 2
            ));
            assert_eq!(size(&medium), 48);

            let large = Fixed::Large(Large(Counted::new(4), [5; 40]));
            let large = slot
                .replace(filter.allocate_member(large).unwrap())
                .unwrap()
                .new;
            assert!(matches!(
                large.member_at(op.irql()),
                MemberRef::Large(Large(c, numbers)) if c.0 == 4 && numbers == &[5; 40]
            ));
            assert_eq!(size(&large), 336);

            for count in 0..100_u32 {
                let elements: Vec<u32> = (0..count).collect();
                let open = filter
                    .allocate_variable_member::<Sizes>(Open(Counted::new(6)), &elements)
                    .unwrap();
                let open = slot.replace(open).unwrap().new;
                assert!(
                    ![16, 48, 336].contains(&size(&open)),
                    "a fixed member's size"
                );
                match slot.get().unwrap().unwrap().member_at(op.irql()) {
                    MemberRef::Variable(value, slice) => {
                        assert_eq!(value.0.0, 6);
                        assert_eq!(slice, elements);
                    }
                    _ => panic!("not the variable member"),
                }
            }
        });
        drop(file);
        bench.finish();
    }
}

/// A family may have fewer members; those it lacks cannot be made.
#[test]
fn a_family_with_one_member_registers_one_entry() {
    enum One {}
    impl Family for One {
        type Kind = kind::File;
        type Pool = pool::NonPaged;
        const TAG: PoolTag = PoolTag::new(*b"One1");
        type Small = Small;
        type Medium = Absent;
        type Large = Absent;
        type Variable = Absent;
    }
    assert_eq!(fltctx::context::declaration::list::<OneOf<One>>().len(), 1);
    assert_eq!(
        fltctx::context::declaration::list::<OneOf<Sizes>>().len(),
        4
    );
}

/// Memory of the driver's own is asked for and given back once, header included.
#[test]
fn memory_of_the_drivers_own() {
    for seed in SEEDS {
        let bench = Bench::new(seed);
        let file = bench.open(r"\a");
        Bench::on(&file, |op| {
            let context = op
                .slot::<OwnMemory>()
                .get_or_insert_with(|| OwnMemory(Counted::new(9)))
                .unwrap();
            assert_eq!(context.0.0, 9);
        });
        assert_eq!(bench.machine.calls("ExAllocatePoolWithTag"), 1);
        assert_eq!(bench.machine.calls("ExFreePoolWithTag"), 0);
        let machine = bench.machine.clone();
        drop(file);
        bench.finish();
        assert_eq!(machine.calls("ExAllocatePoolWithTag"), 1);
        assert_eq!(machine.calls("ExFreePoolWithTag"), 1);
    }
}

/// A value that never moves is built where it stays.
#[test]
fn in_place() {
    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    Bench::on(&file, |op| {
        let recipe = in_place!(Anchored { counted: Counted::new(1), here <- here() });
        let unique = op.filter().allocate_in_place(recipe).unwrap();
        let address = core::ptr::from_ref(&unique.here).addr();
        assert_eq!(unique.here.address, address);
        let shared = op.slot::<Anchored>().set(unique).unwrap();
        assert_eq!(
            shared.here.address,
            core::ptr::from_ref(&shared.here).addr()
        );
        assert_eq!(shared.here.address, address);
        assert_eq!(shared.counted.0, 1);
    });
    bench.machine.inject(Fault::Allocation { after: 0 });
    let status = Bench::on(&file, |op| {
        let recipe = in_place!(Anchored { counted: Counted::new(2), here <- here() });
        op.filter()
            .allocate_in_place::<Anchored>(recipe)
            .unwrap_err()
    });
    assert_eq!(status, Status::INSUFFICIENT_RESOURCES);
    drop(file);
    bench.finish();
}

/// A context may own handles to others; they go with it.
#[test]
fn contexts_own_contexts() {
    for seed in SEEDS {
        let bench = Bench::new(seed);
        let file = bench.open(r"\a");
        let (named, sized) = Bench::on(&file, |op| {
            let name = op
                .filter()
                .allocate_with_slice(
                    Named {
                        counted: Counted::new(1),
                    },
                    &[1, 2],
                )
                .unwrap();
            let named = op.slot::<WithSlice<Named>>().set(name).unwrap();
            let small = op
                .filter()
                .allocate_member(Fixed::Small(Small(Counted::new(2))))
                .unwrap();
            let sized = op.slot::<OneOf<Sizes>>().set(small).unwrap();
            let owner = op
                .slot::<Owner>()
                .get_or_insert_with(|| Owner {
                    file: Some(named.clone()),
                    stream: Some(sized.clone_at(op.irql())),
                    counted: Counted::new(3),
                })
                .unwrap();
            assert_eq!(owner.counted.0, 3);
            assert!(owner.file.as_ref().unwrap().ptr_eq(&named));
            assert!(owner.stream.as_ref().unwrap().ptr_eq(&sized));
            (named, sized)
        });
        let count = |context| bench.machine.reference_count(context);
        assert_eq!(count(named.as_raw()), 3, "the file's, the owner's, ours");
        assert_eq!(count(sized.as_raw()), 3);
        drop((named, sized));
        drop(file);
        bench.finish();
    }
}

/// Several contexts in one call, each with a reference of its own.
#[test]
fn several_in_one_call() {
    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    let machine = bench.machine.clone();
    Bench::on(&file, move |op| {
        let (volume, owner, named) = op.contexts::<(OwnMemory, Owner, WithSlice<Named>)>();
        assert!(volume.is_none() && owner.is_none() && named.is_none());
        let inserted = op
            .slot::<OwnMemory>()
            .get_or_insert_with(|| OwnMemory(Counted::new(1)))
            .unwrap();
        let calls = machine.calls("FltGetContextsEx");
        let (owner, volume) = op.contexts::<(Owner, OwnMemory)>();
        assert_eq!(machine.calls("FltGetContextsEx"), calls + 1);
        assert!(owner.is_none());
        let volume = volume.unwrap();
        assert!(volume.ptr_eq(&inserted));
        assert_eq!(machine.reference_count(volume.as_raw()), 3);
    });
    drop(file);
    bench.finish();
}

/// A scan in post-create: the section is open for the callback, its context is found meanwhile,
/// and dropping it closes it.
#[test]
fn a_data_scan() {
    for seed in SEEDS {
        let bench = Bench::new(seed);
        let file = bench.open(r"\a");
        file.write(0, b"a virus, or not").unwrap();
        let scanned = Arc::new(AtomicU64::new(0));
        let hook: OnCreate = {
            let scanned = Arc::clone(&scanned);
            let machine = bench.machine.clone();
            Arc::new(move |file, create| {
                assert!(file.section_context::<Scan>().unwrap().is_none());
                let context = create
                    .filter()
                    .allocate(Scan {
                        conflicts: AtomicU32::new(0),
                        counted: Counted::new(1),
                    })
                    .unwrap();
                let section = file.create_section(create.irql(), context).unwrap();
                assert_eq!(section.size(), 15);
                assert_eq!(section.context().counted.0, 1);
                assert_eq!(machine.reference_count(section.context().as_raw()), 2);
                let found = file.section_context::<Scan>().unwrap().unwrap();
                assert!(found.ptr_eq(section.context()));

                // A second section of the same stream gives its context back.
                let second = create
                    .filter()
                    .allocate(Scan {
                        conflicts: AtomicU32::new(0),
                        counted: Counted::new(2),
                    })
                    .unwrap();
                let Err(error) = file.create_section(create.irql(), second) else {
                    panic!("there is one already")
                };
                assert_eq!(error.failure, SectionFailure::AlreadyDefined);
                assert_eq!(error.context.counted.0, 2);
                drop(error);

                let view = section.map().unwrap();
                let mut bytes = [0; 32];
                assert_eq!(view.read(2, &mut bytes), 13);
                assert_eq!(&bytes[..5], b"virus");
                assert_eq!(view.len(), 15);
                assert!(!view.is_empty());
                drop(view);
                drop(section);
                assert!(file.section_context::<Scan>().unwrap().is_none());
                assert_eq!(machine.reference_count(found.as_raw()), 1);
                scanned.fetch_add(1, Ordering::Relaxed);
            })
        };
        ON_CREATE.set(Some(hook));
        drop(bench.open(r"\a"));
        assert_eq!(scanned.load(Ordering::Relaxed), 1);
        assert_eq!(bench.machine.calls("FltCloseSectionForDataScan"), 1);
        assert_eq!(bench.machine.calls("ZwClose"), 1);
        assert_eq!(bench.machine.calls("ObfDereferenceObject"), 1);
        drop(file);
        bench.finish();
    }
}

/// What cannot be scanned says why, and leaks nothing (the leak of the `avscan` sample).
#[test]
fn a_data_scan_that_fails_returns_the_context() {
    let bench = Bench::new(0);
    let failures: Arc<Mutex<Vec<SectionFailure>>> = Arc::default();
    for directory in [false, true] {
        let hook: OnCreate = {
            let failures = Arc::clone(&failures);
            Arc::new(move |file, create| {
                let context = create
                    .filter()
                    .allocate(Scan {
                        conflicts: AtomicU32::new(0),
                        counted: Counted::new(1),
                    })
                    .unwrap();
                if let Err(error) = file.create_section(create.irql(), context) {
                    failures.lock().unwrap().push(error.failure);
                }
            })
        };
        ON_CREATE.set(Some(hook));
        let path = if directory { r"\d" } else { r"\empty" };
        let options = if directory {
            OpenOptions::directory().disposition(fltctx::sys::FILE_OPEN_IF)
        } else {
            OpenOptions::create()
        };
        drop(bench.volume.open(path, options).unwrap());
    }
    assert_eq!(
        *failures.lock().unwrap(),
        [SectionFailure::Empty, SectionFailure::Directory]
    );
    let statistics = bench.machine.statistics();
    assert_eq!(statistics.contexts[&ContextKind::Section].live, 0);
    bench.finish();
}

/// An operation that conflicts with an open section is told to the driver, on its own thread.
#[test]
fn a_conflict_is_told() {
    let bench = Bench::new(0);
    let file = bench.open(r"\a");
    file.write(0, &[1; 64]).unwrap();
    let conflicts = Arc::new(AtomicU32::new(0));
    let writer = bench.open(r"\a");
    let hook: OnCreate = {
        let conflicts = Arc::clone(&conflicts);
        let writer = Mutex::new(Some(writer));
        Arc::new(move |file, create| {
            let context = create
                .filter()
                .allocate(Scan {
                    conflicts: AtomicU32::new(0),
                    counted: Counted::new(1),
                })
                .unwrap();
            let section = file.create_section(create.irql(), context).unwrap();
            let writer = writer.lock().unwrap().take().unwrap();
            writer.set_size(8).unwrap();
            drop(writer);
            conflicts.store(
                section.context().conflicts.load(Ordering::Relaxed),
                Ordering::Relaxed,
            );
        })
    };
    ON_CREATE.set(Some(hook));
    drop(bench.open(r"\a"));
    assert_eq!(conflicts.load(Ordering::Relaxed), 1);
    drop(file);
    bench.finish();
}

/// Before Windows 8 there is no `NonPagedPoolNx`, and registration is of the older version.
#[test]
fn older_windows() {
    const { assert!(!Windows::Windows7.has_sections()) };
    const { assert!(!Windows::Vista.has_sections()) };
    const { assert!(Windows::Windows8.has_sections()) };
    assert!(Windows::Windows7 < Windows::Windows8);
}
