//! What a thread needs to run driver code: a processor control region behind `gs`, a stack for
//! signals that is large enough for a report, and the bounds of its own stack.

use crate::kernel::handle::KernelObject;
use crate::kernel::thread::{self, Thread};
use fltmgr_sys::STATUS_SUCCESS;
use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// `ARCH_SET_GS`.
const SET_GS: libc::c_long = 0x1001;
/// How large the control region is.
const REGION: usize = 0x1000;
/// How large the stack for signals is: reports are made on it.
const SIGNAL_STACK: usize = 128 * 1024;

/// Whether any image is installed: before that, no thread needs anything.
static ACTIVE: AtomicBool = AtomicBool::new(false);

/// Memory that the driver sees as the kernel's own.
#[repr(C, align(64))]
struct Page([u64; REGION / 8]);

struct Environment {
    /// Kept where they are: `gs` and pointers between them say so.
    _control: Box<Page>,
    thread: Arc<Thread>,
    signals: Vec<u8>,
    before: libc::stack_t,
}

thread_local! {
    static ENVIRONMENT: OnceCell<Environment> = const { OnceCell::new() };
    /// Lowest and highest address of the stack. Signal handlers read it, so it has no destructor.
    static STACK: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// From now on threads need an environment.
pub(crate) fn activate() {
    ACTIVE.store(true, Ordering::Release);
    enter();
}

/// This thread is about to run driver code.
pub(crate) fn enter() {
    if ACTIVE.load(Ordering::Acquire) && STACK.get().1 == 0 {
        prepare();
    }
}

fn prepare() {
    // A thread that is ending runs no driver code any more.
    let _ = ENVIRONMENT.try_with(|environment| {
        environment.get_or_init(Environment::new);
    });
}

/// The running thread; nothing if it is ending.
pub(crate) fn current() -> Option<Arc<Thread>> {
    prepare();
    let found = ENVIRONMENT.try_with(|environment| {
        let environment = environment.get()?;
        Some(Arc::clone(&environment.thread))
    });
    found.ok().flatten()
}

/// What the running thread is known by.
pub(crate) fn current_thread() -> usize {
    current().map_or(0, |thread| thread.address())
}

/// The number of the running thread.
pub(crate) fn current_thread_id() -> usize {
    current().map_or(0, |thread| thread.id())
}

/// What the one process is known by.
pub(crate) fn current_process() -> usize {
    thread::system().address()
}

/// The bounds of this thread's stack; nothing if it has never run driver code.
pub(crate) fn stack() -> (usize, usize) {
    STACK.get()
}

/// The variable that says where the one process is.
pub(crate) fn system_process() -> usize {
    static VARIABLE: AtomicU64 = AtomicU64::new(0);
    VARIABLE.store(current_process() as u64, Ordering::Release);
    &raw const VARIABLE as usize
}

impl Environment {
    fn new() -> Self {
        let mut control = Box::new(Page([0; REGION / 8]));
        let bounds = stack_bounds();
        STACK.set(bounds);
        let (low, high) = bounds;
        let thread = thread::begin(bounds);
        let start = &raw const *control as u64;
        let current = thread.address() as u64;
        // KPCR: NtTib, Self, CurrentPrcb, Irql; then KPRCB from 0x180 on. Thread numbers do for
        // processor numbers, which drivers take for indices: one processor is the only safe one.
        control.put(0x08, high as u64);
        control.put(0x10, low as u64);
        control.put(0x18, start);
        control.put(0x20, start + 0x180);
        control.put(0x30, start);
        control.put(0x60, 1);
        control.put(0x180, 0x1F80);
        control.put(0x188, current);
        control.put(0x198, current);
        set_gs(start);
        let mut signals = vec![0; SIGNAL_STACK];
        let stack = libc::stack_t {
            ss_sp: signals.as_mut_ptr().cast(),
            ss_flags: 0,
            ss_size: signals.len(),
        };
        let mut before = libc::stack_t {
            ss_sp: std::ptr::null_mut(),
            ss_flags: libc::SS_DISABLE,
            ss_size: 0,
        };
        // SAFETY: the memory lives until this environment is dropped, which takes it back first.
        unsafe { libc::sigaltstack(&raw const stack, &raw mut before) };
        Self {
            _control: control,
            thread,
            signals,
            before,
        }
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.thread.end(STATUS_SUCCESS);
        STACK.set((0, 0));
        set_gs(0);
        // SAFETY: what was there before this environment was made is still there: whoever made it
        // takes it away later than this, as threads end in the opposite order.
        unsafe { libc::sigaltstack(&raw const self.before, std::ptr::null_mut()) };
        self.signals.clear();
    }
}

impl Page {
    fn put(&mut self, offset: usize, value: u64) {
        if let Some(place) = self.0.get_mut(offset / 8) {
            *place = value;
        }
    }
}

fn set_gs(base: u64) {
    // SAFETY: user code of Linux on x86-64 does not use gs, so that its base is ours to set.
    unsafe { libc::syscall(libc::SYS_arch_prctl, SET_GS, base) };
}

/// Lowest and highest address of this thread's stack.
fn stack_bounds() -> (usize, usize) {
    // SAFETY: always succeeds.
    let this = unsafe { libc::pthread_self() };
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the calling thread exists, and the place is one for attributes.
    let failed = unsafe { libc::pthread_getattr_np(this, attributes.as_mut_ptr()) };
    let here = &raw const attributes as usize;
    if failed != 0 {
        return (here & !0xFFF, here);
    }
    let (mut low, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the attributes were filled in.
    unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut low, &raw mut size) };
    // SAFETY: as above, and they are not used again.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    (low as usize, low as usize + size)
}
