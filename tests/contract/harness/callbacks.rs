//! The callbacks that every filter of a test registers. They find the filter that they belong to,
//! note what happened, and run the hooks of its plan.

use super::context::Ctx;
use super::plan::{Conflict, InstanceCall, Notification, Plan, Post, Pre};
use super::raw;
use fltmgr_sys::*;
use std::alloc::Layout;
use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// Filters by the address of their driver object and by that of their `PFLT_FILTER`.
static FILTERS: LazyLock<Mutex<HashMap<usize, Arc<State>>>> = LazyLock::new(Mutex::default);
/// What the allocate callback gave out, with the filter that asked for it.
static POOL: LazyLock<Mutex<HashMap<usize, Block>>> = LazyLock::new(Mutex::default);

thread_local! {
    /// The filter for which this thread is about to call something that calls back without saying
    /// for whom: the unload and the allocate callback.
    static CURRENT: RefCell<Vec<Arc<State>>> = const { RefCell::new(Vec::new()) };
}

struct Block {
    layout: Layout,
    filter: Arc<State>,
}

/// Something that the Filter Manager called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Setup {
        flags: ULONG,
    },
    QueryTeardown,
    TeardownStart {
        reason: ULONG,
    },
    TeardownComplete {
        reason: ULONG,
    },
    Pre {
        major: UCHAR,
    },
    Post {
        major: UCHAR,
        draining: bool,
    },
    Cleanup {
        kind: FLT_CONTEXT_TYPE,
        context: usize,
    },
    Allocate {
        pool: POOL_TYPE,
        size: SIZE_T,
        kind: FLT_CONTEXT_TYPE,
        memory: usize,
    },
    Free {
        memory: usize,
        kind: FLT_CONTEXT_TYPE,
    },
    Notification {
        mask: NOTIFICATION_MASK,
    },
    Conflict {
        context: usize,
        major: UCHAR,
    },
    Unload {
        flags: ULONG,
    },
}

/// A filter of a test, as its callbacks know it.
pub(crate) struct State {
    pub(super) plan: Plan,
    filter: AtomicUsize,
    events: Mutex<Vec<Event>>,
    panics: Mutex<Vec<Box<dyn Any + Send>>>,
    pub(super) registered: AtomicI32,
    pub(super) contexts: Mutex<Vec<Ctx>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("name", &self.plan.name)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    pub(super) fn new(mut plan: Plan) -> Arc<Self> {
        plan.seal();
        Arc::new(Self {
            plan,
            filter: AtomicUsize::new(0),
            events: Mutex::default(),
            panics: Mutex::default(),
            registered: AtomicI32::new(STATUS_SUCCESS),
            contexts: Mutex::default(),
        })
    }

    pub(super) fn filter(&self) -> PFLT_FILTER {
        self.filter.load(Ordering::SeqCst) as PFLT_FILTER
    }

    pub(super) fn events(&self) -> Vec<Event> {
        lock(&self.events).clone()
    }

    /// Makes callbacks find this filter by an address.
    pub(super) fn publish(self: &Arc<Self>, address: usize) {
        lock(&FILTERS).insert(address, Arc::clone(self));
    }

    pub(super) fn withdraw(&self, address: usize) {
        let mut filters = lock(&FILTERS);
        let mine = |other: &Arc<Self>| std::ptr::eq(self, Arc::as_ptr(other));
        if filters.get(&address).is_some_and(mine) {
            filters.remove(&address);
        }
    }

    /// Runs something during which callbacks without an object belong to this filter.
    pub(super) fn as_current<T>(self: &Arc<Self>, run: impl FnOnce() -> T) -> T {
        CURRENT.with_borrow_mut(|stack| stack.push(Arc::clone(self)));
        let result = run();
        CURRENT.with_borrow_mut(Vec::pop);
        result
    }

    fn note(&self, event: Event) {
        lock(&self.events).push(event);
    }

    /// Runs a hook. A panic must not leave a callback; it is kept for the test.
    fn guard<T>(&self, otherwise: T, hook: impl FnOnce() -> T) -> T {
        match catch_unwind(AssertUnwindSafe(hook)) {
            Ok(result) => result,
            Err(panic) => {
                lock(&self.panics).push(panic);
                otherwise
            }
        }
    }

    /// The first panic of a hook.
    pub(super) fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        let mut panics = lock(&self.panics);
        if panics.is_empty() {
            None
        } else {
            Some(panics.swap_remove(0))
        }
    }
}

fn current() -> Option<Arc<State>> {
    CURRENT.with_borrow(|stack| stack.last().cloned())
}

fn by_address(address: usize) -> Option<Arc<State>> {
    lock(&FILTERS).get(&address).cloned()
}

/// Allocates a context of 64 bytes in a callback, which knows its filter by pointer only.
pub(crate) fn allocate_in(filter: PFLT_FILTER, kind: FLT_CONTEXT_TYPE, pool: POOL_TYPE) -> Ctx {
    let state = by_address(filter as usize).expect("a filter of a test");
    let (status, context) = raw::allocate_context(filter, kind, 64, pool);
    assert_eq!(status, STATUS_SUCCESS);
    let ctx = Ctx::new(context, kind, 64, &state);
    lock(&state.contexts).push(ctx.clone());
    ctx
}

fn read_objects(objects: PCFLT_RELATED_OBJECTS) -> FLT_RELATED_OBJECTS {
    // SAFETY: the Filter Manager passes a structure that is good for the duration of the callback.
    unsafe { objects.read() }
}

fn of_objects(objects: PCFLT_RELATED_OBJECTS) -> (Option<Arc<State>>, FLT_RELATED_OBJECTS) {
    let objects = read_objects(objects);
    (by_address(objects.Filter as usize), objects)
}

fn major_of(data: PFLT_CALLBACK_DATA) -> UCHAR {
    // SAFETY: the Filter Manager passes callback data that is good for the callback.
    let block = unsafe { (*data).Iopb };
    // SAFETY: callback data always has a parameter block.
    unsafe { (*block).MajorFunction }
}

fltapi! {
    /// Registers the filter of the test and starts it.
    pub(super) unsafe fn driver_entry(
        driver: PDRIVER_OBJECT,
        _path: PCUNICODE_STRING,
    ) -> NTSTATUS {
        let Some(state) = by_address(driver as usize) else {
            return STATUS_UNSUCCESSFUL;
        };
        let (status, filter) = raw::register_filter(driver, &state.plan.registration());
        state.registered.store(status, Ordering::SeqCst);
        if !nt_success(status) {
            return status;
        }
        state.filter.store(filter as usize, Ordering::SeqCst);
        state.publish(filter as usize);
        if !state.plan.start_filtering {
            return status;
        }
        let status = raw::start_filtering(filter);
        if !nt_success(status) {
            raw::unregister_filter(filter);
        }
        status
    }

    pub(super) unsafe fn unload(flags: FLT_FILTER_UNLOAD_FLAGS) -> NTSTATUS {
        let Some(state) = current() else {
            return STATUS_UNSUCCESSFUL;
        };
        state.note(Event::Unload { flags });
        let hook = state.plan.unload.as_ref();
        let status = state.guard(STATUS_SUCCESS, || hook.map_or(STATUS_SUCCESS, |hook| hook(flags)));
        if nt_success(status) || flags & FLTFL_FILTER_UNLOAD_MANDATORY != 0 {
            raw::unregister_filter(state.filter());
        }
        status
    }

    pub(super) unsafe fn instance_setup(
        objects: PCFLT_RELATED_OBJECTS,
        flags: FLT_INSTANCE_SETUP_FLAGS,
        _device: DEVICE_TYPE,
        _file_system: FLT_FILESYSTEM_TYPE,
    ) -> NTSTATUS {
        let (Some(state), objects) = of_objects(objects) else {
            return STATUS_SUCCESS;
        };
        state.note(Event::Setup { flags });
        let Some(hook) = &state.plan.setup else {
            return STATUS_SUCCESS;
        };
        state.guard(STATUS_SUCCESS, || hook(&InstanceCall { objects, flags }))
    }

    pub(super) unsafe fn instance_query_teardown(
        objects: PCFLT_RELATED_OBJECTS,
        flags: FLT_INSTANCE_QUERY_TEARDOWN_FLAGS,
    ) -> NTSTATUS {
        let (Some(state), objects) = of_objects(objects) else {
            return STATUS_SUCCESS;
        };
        state.note(Event::QueryTeardown);
        let Some(hook) = &state.plan.query_teardown else {
            return STATUS_SUCCESS;
        };
        state.guard(STATUS_SUCCESS, || hook(&InstanceCall { objects, flags }))
    }

    pub(super) unsafe fn instance_teardown_start(
        objects: PCFLT_RELATED_OBJECTS,
        reason: FLT_INSTANCE_TEARDOWN_FLAGS,
    ) {
        if let (Some(state), objects) = of_objects(objects) {
            state.note(Event::TeardownStart { reason });
            if let Some(hook) = &state.plan.teardown_start {
                let call = InstanceCall { objects, flags: reason };
                state.guard((), || hook(&call));
            }
        }
    }

    pub(super) unsafe fn instance_teardown_complete(
        objects: PCFLT_RELATED_OBJECTS,
        reason: FLT_INSTANCE_TEARDOWN_FLAGS,
    ) {
        if let (Some(state), objects) = of_objects(objects) {
            state.note(Event::TeardownComplete { reason });
            if let Some(hook) = &state.plan.teardown_complete {
                let call = InstanceCall { objects, flags: reason };
                state.guard((), || hook(&call));
            }
        }
    }

    pub(super) unsafe fn pre_operation(
        data: PFLT_CALLBACK_DATA,
        objects: PCFLT_RELATED_OBJECTS,
        completion: *mut PVOID,
    ) -> FLT_PREOP_CALLBACK_STATUS {
        let otherwise = FLT_PREOP_SUCCESS_NO_CALLBACK;
        let (Some(state), objects) = of_objects(objects) else {
            return otherwise;
        };
        let major = major_of(data);
        state.note(Event::Pre { major });
        let hook = state.plan.hooks.get(&major).and_then(|hooks| hooks.pre.as_ref());
        let Some(hook) = hook else {
            return otherwise;
        };
        state.guard(otherwise, || hook(&Pre { data, objects, completion }))
    }

    pub(super) unsafe fn post_operation(
        data: PFLT_CALLBACK_DATA,
        objects: PCFLT_RELATED_OBJECTS,
        context: PVOID,
        flags: FLT_POST_OPERATION_FLAGS,
    ) -> FLT_POSTOP_CALLBACK_STATUS {
        let otherwise = FLT_POSTOP_FINISHED_PROCESSING;
        let (Some(state), objects) = of_objects(objects) else {
            return otherwise;
        };
        let major = major_of(data);
        let draining = flags & FLTFL_POST_OPERATION_DRAINING != 0;
        state.note(Event::Post { major, draining });
        let hook = state.plan.hooks.get(&major).and_then(|hooks| hooks.post.as_ref());
        let Some(hook) = hook else {
            return otherwise;
        };
        state.guard(otherwise, || hook(&Post { data, objects, context, flags }))
    }

    pub(super) unsafe fn notification(
        objects: PCFLT_RELATED_OBJECTS,
        context: PFLT_CONTEXT,
        mask: ULONG,
    ) -> NTSTATUS {
        let (Some(state), objects) = of_objects(objects) else {
            return STATUS_SUCCESS;
        };
        state.note(Event::Notification { mask });
        let Some(hook) = &state.plan.notification else {
            return STATUS_SUCCESS;
        };
        state.guard(STATUS_SUCCESS, || hook(&Notification { objects, context, mask }))
    }

    pub(super) unsafe fn section_notification(
        instance: PFLT_INSTANCE,
        context: PFLT_CONTEXT,
        data: PFLT_CALLBACK_DATA,
    ) -> NTSTATUS {
        // The section's context is the only argument that leads to the filter.
        let Some(state) = Ctx::find(context).and_then(|ctx| ctx.state()) else {
            return STATUS_SUCCESS;
        };
        let major = major_of(data);
        state.note(Event::Conflict { context: context as usize, major });
        if let Some(hook) = &state.plan.conflict {
            state.guard((), || hook(&Conflict { instance, context, major }));
        }
        STATUS_SUCCESS
    }

    pub(super) unsafe fn context_cleanup(context: PFLT_CONTEXT, kind: FLT_CONTEXT_TYPE) {
        let Some(ctx) = Ctx::find(context) else {
            return;
        };
        ctx.cleaning(kind);
        if let Some(state) = ctx.state() {
            state.note(Event::Cleanup { kind, context: context as usize });
            if let Some(hook) = &state.plan.cleanup {
                state.guard((), || hook(&ctx));
            }
        }
        ctx.cleaned();
    }

    pub(super) unsafe fn context_allocate(
        pool: POOL_TYPE,
        size: SIZE_T,
        kind: FLT_CONTEXT_TYPE,
    ) -> PVOID {
        let Some(filter) = current() else {
            return null_mut();
        };
        let layout = usize::try_from(size)
            .ok()
            .and_then(|size| Layout::from_size_align(size, 16).ok());
        let memory: PVOID = match layout {
            Some(layout) if size > 0 && !filter.plan.out_of_memory => {
                // SAFETY: the size was checked not to be zero.
                let memory = unsafe { std::alloc::alloc_zeroed(layout) };
                let block = Block { layout, filter: Arc::clone(&filter) };
                lock(&POOL).insert(memory as usize, block);
                memory.cast()
            }
            _ => null_mut(),
        };
        filter.note(Event::Allocate { pool, size, kind, memory: memory as usize });
        memory
    }

    pub(super) unsafe fn context_free(memory: PVOID, kind: FLT_CONTEXT_TYPE) {
        let Some(block) = lock(&POOL).remove(&(memory as usize)) else {
            // A pointer that the allocate callback never returned.
            if let Some(state) = current() {
                state.note(Event::Free { memory: memory as usize, kind });
            }
            return;
        };
        block.filter.note(Event::Free { memory: memory as usize, kind });
        // SAFETY: allocated with this layout, and it was in the table only once.
        unsafe { std::alloc::dealloc(memory.cast(), block.layout) };
    }
}
