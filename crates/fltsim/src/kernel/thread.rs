//! Threads and the one process, as objects: what drivers reference, look up and wait for.
//!
//! Every thread of the host that runs driver code is a thread of the System process, whatever
//! machine it runs. Those of `PsCreateSystemThread` belong to a machine besides.

use super::dispatcher;
use super::handle::KernelObject;
use super::scope::{self, Callback, Scope};
use crate::image;
use crate::io::DriverMemory;
use crate::machine::Inner;
use crate::manager::{Object, forget, publish_for_all};
use crate::verifier::{Rule, Severity};
use fltmgr_sys::*;
use parking_lot::Mutex;
use std::arch::naked_asm;
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Weak};

/// The identifier of the System process.
pub(crate) const SYSTEM: usize = 4;
/// How large a thread or process object is, as far as a driver may look.
const SIZE: usize = 0x1000 / 8;
/// The kind of a process in a dispatcher header.
const PROCESS: u64 = 3;
/// The kind of a thread in a dispatcher header.
const THREAD: u64 = 6;
/// `ETHREAD.Cid`, as of some version; drivers that know it expect it there.
const CLIENT: usize = 0x478;
/// What a thread of the system begins with: `LOW_REALTIME_PRIORITY` is above it.
const PRIORITY: i32 = 8;
/// `IoPriorityNormal`.
pub(crate) const IO_PRIORITY: i32 = 2;
/// `DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS`.
const STILL_RUNNING: u32 = 0xCE;

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Structure([u64; SIZE]);

impl Structure {
    /// A structure that begins with a dispatcher header, for this address.
    fn new(kind: u64) -> Box<DriverMemory<Self>> {
        let memory = Box::new(DriverMemory::new(Self([0; SIZE])));
        let list = memory.pointer() as u64 + 8;
        memory.modify(|structure| {
            structure.put(0, kind);
            structure.put(8, list);
            structure.put(16, list);
        });
        memory
    }

    fn put(&mut self, offset: usize, value: u64) {
        if let Some(place) = self.0.get_mut(offset / 8) {
            *place = value;
        }
    }
}

#[derive(Default)]
struct State {
    references: u64,
    handles: u64,
    ended: Option<NTSTATUS>,
}

/// A thread.
pub(crate) struct Thread {
    structure: Box<DriverMemory<Structure>>,
    id: usize,
    /// The machine of a thread of `PsCreateSystemThread`.
    machine: Weak<Inner>,
    /// Where such a thread starts.
    start: usize,
    pub(crate) priority: AtomicI32,
    /// The `IO_PRIORITY_HINT` of what it asks for.
    pub(crate) io_priority: AtomicI32,
    state: Mutex<State>,
}

thread_local! {
    /// What this thread is to be, if it was made by a driver.
    static GIVEN: RefCell<Option<Arc<Thread>>> = const { RefCell::new(None) };
    /// Where [`call`] was entered, and how deep the callbacks were nested there.
    static EXIT: Cell<(*const [u64; 2], usize)> = const { Cell::new((std::ptr::null(), 0)) };
    static STATUS: Cell<NTSTATUS> = const { Cell::new(STATUS_SUCCESS) };
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// The thread object of this thread, which is about to run driver code.
pub(crate) fn begin(stack: (usize, usize)) -> Arc<Thread> {
    let given = GIVEN.with_borrow_mut(Option::take);
    let thread = given.unwrap_or_else(|| Thread::new(Weak::new(), 0));
    let (low, high) = stack;
    thread.structure.modify(|structure| {
        // KTHREAD: a stack, no user-mode caller, and ApcState.Process.
        structure.put(0x28, high as u64);
        structure.put(0x30, low as u64);
        structure.put(0xB8, system().address() as u64);
    });
    thread
}

impl Thread {
    fn new(machine: Weak<Inner>, start: usize) -> Arc<Self> {
        let number = 4 * NEXT.fetch_add(1, Ordering::Relaxed) + 4;
        let structure = Structure::new(THREAD);
        structure.modify(|structure| {
            structure.put(CLIENT, SYSTEM as u64);
            structure.put(CLIENT + 8, number);
        });
        let thread = Arc::new(Self {
            structure,
            id: usize::try_from(number).unwrap_or(0),
            machine,
            start,
            priority: AtomicI32::new(PRIORITY),
            io_priority: AtomicI32::new(IO_PRIORITY),
            state: Mutex::default(),
        });
        publish_for_all(thread.address(), Object::Kernel(Arc::clone(&thread) as _));
        thread
    }

    pub(crate) fn id(&self) -> usize {
        self.id
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.state.lock().ended.is_some()
    }

    /// It runs no driver code any more.
    pub(crate) fn end(&self, status: NTSTATUS) {
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return;
        }
        state.ended = Some(status);
        drop(state);
        dispatcher::signal(self.address());
        self.let_go();
    }

    /// Forgets it if it has ended and nobody keeps it.
    fn let_go(&self) {
        let state = self.state.lock();
        let gone = state.ended.is_some() && state.references == 0 && state.handles == 0;
        drop(state);
        if gone {
            forget(self.address());
        }
    }
}

impl KernelObject for Thread {
    fn name(&self) -> &'static str {
        "thread"
    }

    fn handle_name(&self) -> &'static str {
        "thread handle"
    }

    fn object_type(&self) -> &'static str {
        "PsThreadType"
    }

    fn owner(&self) -> &Weak<Inner> {
        &self.machine
    }

    fn address(&self) -> usize {
        self.structure.pointer() as usize
    }

    fn is_waitable(&self) -> bool {
        true
    }

    fn reference(&self, call: &'static str) -> bool {
        self.state.lock().references += 1;
        if let Some(machine) = scope::machine() {
            machine.held.add("thread", self.address(), call);
        }
        true
    }

    fn dereference(self: Arc<Self>, machine: &Arc<Inner>) -> bool {
        if !machine.held.remove(self.address()) {
            return false;
        }
        let mut state = self.state.lock();
        state.references = state.references.saturating_sub(1);
        drop(state);
        self.let_go();
        true
    }

    fn handle_opened(&self) {
        self.state.lock().handles += 1;
    }

    fn handle_closed(self: Arc<Self>, _machine: &Arc<Inner>) {
        let mut state = self.state.lock();
        state.handles = state.handles.saturating_sub(1);
        drop(state);
        self.let_go();
    }
}

/// The System process. It never ends.
pub(crate) struct Process {
    structure: Box<DriverMemory<Structure>>,
    machine: Weak<Inner>,
}

impl KernelObject for Process {
    fn name(&self) -> &'static str {
        "process"
    }

    fn handle_name(&self) -> &'static str {
        "process handle"
    }

    fn object_type(&self) -> &'static str {
        "PsProcessType"
    }

    fn owner(&self) -> &Weak<Inner> {
        &self.machine
    }

    fn address(&self) -> usize {
        self.structure.pointer() as usize
    }

    fn is_waitable(&self) -> bool {
        true
    }

    fn reference(&self, call: &'static str) -> bool {
        if let Some(machine) = scope::machine() {
            machine.held.add("process", self.address(), call);
        }
        true
    }

    fn dereference(self: Arc<Self>, machine: &Arc<Inner>) -> bool {
        machine.held.remove(self.address())
    }

    fn handle_opened(&self) {}

    fn handle_closed(self: Arc<Self>, _machine: &Arc<Inner>) {}
}

/// The System process.
pub(crate) fn system() -> &'static Arc<Process> {
    static SYSTEM: LazyLock<Arc<Process>> = LazyLock::new(|| {
        let process = Arc::new(Process {
            structure: Structure::new(PROCESS),
            machine: Weak::new(),
        });
        publish_for_all(process.address(), Object::Kernel(Arc::clone(&process) as _));
        process
    });
    &SYSTEM
}

/// A driver's thread routine.
pub(crate) type Start = unsafe extern "win64" fn(PVOID);

/// Starts a thread of the system (`PsCreateSystemThread`); nothing if the host has no more.
pub(crate) fn create(machine: &Arc<Inner>, start: Start, context: PVOID) -> Option<Arc<Thread>> {
    let thread = Thread::new(Arc::downgrade(machine), start as usize);
    machine.threads.lock().push(Arc::clone(&thread));
    let (inside, mine, context) = (Arc::clone(machine), Arc::clone(&thread), context as usize);
    let run = move || {
        GIVEN.with_borrow_mut(|given| *given = Some(Arc::clone(&mine)));
        image::current_thread();
        let entered = Scope::enter(&inside, Callback::SystemThread, PASSIVE_LEVEL);
        STATUS.set(STATUS_SUCCESS);
        let mut exit = [0; 2];
        EXIT.set((&raw const exit, scope::depth()));
        // SAFETY: the driver passed a thread routine and its context; the memory of the exit
        // outlives the call.
        unsafe { call(start, context as PVOID, &raw mut exit) };
        EXIT.set((std::ptr::null(), 0));
        drop(entered);
        let address = mine.address();
        inside.threads.lock().retain(|one| one.address() != address);
        mine.end(STATUS.get());
    };
    let spawned = std::thread::Builder::new().spawn(run);
    if spawned.is_err() {
        let address = thread.address();
        machine
            .threads
            .lock()
            .retain(|one| one.address() != address);
        thread.end(STATUS_INSUFFICIENT_RESOURCES);
        return None;
    }
    Some(thread)
}

/// Ends this thread (`PsTerminateSystemThread`): returns only if it is no thread of
/// [`create`], or in a callback further down.
///
/// # Safety
/// Between here and the routine of the thread are only frames of driver code and of this function's
/// callers, none of which has anything to drop.
pub(crate) unsafe fn exit(status: NTSTATUS) {
    let (exit, depth) = EXIT.get();
    if exit.is_null() || depth != scope::depth() {
        return;
    }
    STATUS.set(status);
    // SAFETY: the thread is inside of `call`, which filled the memory in; by this function's
    // contract the frames in between may be forgotten.
    unsafe { leave(exit) };
}

/// Calls a thread routine. Stores where [`leave`] can return from this call to.
#[unsafe(naked)]
unsafe extern "win64" fn call(_start: Start, _context: PVOID, _exit: *mut [u64; 2]) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push rdi",
        "push rsi",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 0xC8",
        "movaps [rsp + 0x20], xmm6",
        "movaps [rsp + 0x30], xmm7",
        "movaps [rsp + 0x40], xmm8",
        "movaps [rsp + 0x50], xmm9",
        "movaps [rsp + 0x60], xmm10",
        "movaps [rsp + 0x70], xmm11",
        "movaps [rsp + 0x80], xmm12",
        "movaps [rsp + 0x90], xmm13",
        "movaps [rsp + 0xA0], xmm14",
        "movaps [rsp + 0xB0], xmm15",
        "mov [r8], rsp",
        "lea rax, [rip + 2f]",
        "mov [r8 + 8], rax",
        "mov rax, rcx",
        "mov rcx, rdx",
        "call rax",
        "2:",
        "movaps xmm6, [rsp + 0x20]",
        "movaps xmm7, [rsp + 0x30]",
        "movaps xmm8, [rsp + 0x40]",
        "movaps xmm9, [rsp + 0x50]",
        "movaps xmm10, [rsp + 0x60]",
        "movaps xmm11, [rsp + 0x70]",
        "movaps xmm12, [rsp + 0x80]",
        "movaps xmm13, [rsp + 0x90]",
        "movaps xmm14, [rsp + 0xA0]",
        "movaps xmm15, [rsp + 0xB0]",
        "add rsp, 0xC8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rsi",
        "pop rdi",
        "pop rbp",
        "pop rbx",
        "ret",
    )
}

/// Returns from [`call`], from wherever the thread is.
#[unsafe(naked)]
unsafe extern "win64" fn leave(_exit: *const [u64; 2]) -> ! {
    naked_asm!("mov rsp, [rcx]", "jmp [rcx + 8]")
}

/// Says which threads still run code of a driver that is gone.
pub(crate) fn report(machine: &Inner, call: &'static str) {
    let running = std::mem::take(&mut *machine.threads.lock());
    for thread in running {
        let severity = Severity::Bugcheck {
            code: STILL_RUNNING,
            parameters: [thread.start as u64, 0, 0, 0],
        };
        let text = format!(
            "thread {:#x}, started at {:#x}, still runs and its driver is unloaded",
            thread.id, thread.start
        );
        machine.verifier.report(Rule::V20, severity, call, text);
    }
}
