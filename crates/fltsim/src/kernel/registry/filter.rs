//! Routines of drivers that see what is done with the registry, refuse it, or do it themselves.
//!
//! They are told of an operation from the highest altitude down before it, and from the lowest up
//! after it. What a routine does with the registry itself is told to those below it only.

use super::notice::{Cleanup, Notice, Post};
use crate::kernel::irql;
use crate::kernel::scope::{Callback, Scope};
use crate::machine::Inner;
use crate::manager::instance::compare_altitudes;
use fltmgr_sys::*;
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// `STATUS_CALLBACK_BYPASS`.
const STATUS_CALLBACK_BYPASS: NTSTATUS = 0xC000_0503_u32.cast_signed();
/// `RegNtCallbackObjectContextCleanup`.
const CONTEXT_CLEANUP: usize = 40;

/// `EX_CALLBACK_FUNCTION`.
#[cfg(target_arch = "x86_64")]
pub(crate) type Routine = unsafe extern "win64" fn(PVOID, PVOID, PVOID) -> NTSTATUS;
/// `EX_CALLBACK_FUNCTION`.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) type Routine = unsafe extern "system" fn(PVOID, PVOID, PVOID) -> NTSTATUS;

/// The classes of an operation (`REG_NOTIFY_CLASS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    pub(crate) pre: usize,
    pub(crate) post: usize,
    /// Whether it can be refused.
    pub(crate) can_fail: bool,
}

impl Class {
    pub(crate) const fn new(pre: usize, post: usize) -> Self {
        Self {
            pre,
            post,
            can_fail: true,
        }
    }
}

struct Filter {
    cookie: i64,
    /// The older function has none: its routines are above all others.
    altitude: Option<String>,
    routine: Routine,
    context: usize,
    /// How many threads are in the routine.
    running: AtomicUsize,
    gone: AtomicBool,
}

/// What is registered on a machine.
#[derive(Default)]
pub(crate) struct RegistryFilters {
    /// From the highest.
    stack: Mutex<Vec<Arc<Filter>>>,
    /// What routines have attached to open keys, by the key object and the cookie.
    contexts: Mutex<BTreeMap<(usize, i64), usize>>,
}

thread_local! {
    /// The cookie of the routine that this thread is in.
    static INSIDE: Cell<Option<i64>> = const { Cell::new(None) };
}

/// Whether this thread is in such a routine.
pub(crate) fn is_inside() -> bool {
    INSIDE.get().is_some()
}

impl Filter {
    /// Calls the routine.
    fn tell<T>(&self, machine: &Arc<Inner>, class: usize, what: &mut T) -> NTSTATUS {
        self.running.fetch_add(1, Ordering::SeqCst);
        let outside = INSIDE.replace(Some(self.cookie));
        let scope = Scope::enter(machine, Callback::Registry, irql::current());
        let what = std::ptr::from_mut(what).cast();
        // SAFETY: the driver's own routine, with its context and the structure of the class.
        let status = unsafe { (self.routine)(self.context as PVOID, class as PVOID, what) };
        drop(scope);
        INSIDE.set(outside);
        self.running.fetch_sub(1, Ordering::SeqCst);
        machine.progress.notify();
        status
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }
}

impl RegistryFilters {
    /// Those that are told of what this thread does.
    fn told(&self) -> Vec<Arc<Filter>> {
        let stack = self.stack.lock();
        let inside = INSIDE.get();
        let inside = stack
            .iter()
            .position(|filter| Some(filter.cookie) == inside);
        let first = inside.map_or(0, |inside| inside + 1);
        stack[first..].to_vec()
    }

    /// Whether anybody is told of what this thread does.
    pub(crate) fn is_told(&self) -> bool {
        !self.told().is_empty()
    }

    /// Whether a cookie is that of a routine.
    pub(crate) fn knows(&self, cookie: i64) -> bool {
        let stack = self.stack.lock();
        stack.iter().any(|filter| filter.cookie == cookie)
    }

    /// Attaches something to an open key, and gives what was attached before.
    pub(crate) fn attach(&self, object: usize, cookie: i64, context: usize) -> usize {
        let mut contexts = self.contexts.lock();
        let before = if context == 0 {
            contexts.remove(&(object, cookie))
        } else {
            contexts.insert((object, cookie), context)
        };
        before.unwrap_or(0)
    }

    fn attached(&self, object: usize, cookie: i64) -> usize {
        let contexts = self.contexts.lock();
        contexts.get(&(object, cookie)).copied().unwrap_or(0)
    }

    /// Lets go of all routines, when no driver is left that has any.
    pub(crate) fn forget(&self) {
        self.stack.lock().clear();
        self.contexts.lock().clear();
    }
}

/// Registers a routine, and gives its cookie.
///
/// # Errors
/// `STATUS_FLT_INSTANCE_ALTITUDE_COLLISION` if the altitude is taken.
pub(crate) fn register(
    machine: &Inner,
    altitude: Option<String>,
    routine: Routine,
    context: usize,
    call: &'static str,
) -> Result<i64, NTSTATUS> {
    let mut stack = machine.registry_filters.stack.lock();
    let mut position = 0;
    for filter in stack.iter() {
        let order = match (&filter.altitude, &altitude) {
            // In the order of registering.
            (None, _) => std::cmp::Ordering::Greater,
            (Some(_), None) => std::cmp::Ordering::Less,
            (Some(other), Some(altitude)) => compare_altitudes(other, altitude),
        };
        match order {
            std::cmp::Ordering::Greater => position += 1,
            std::cmp::Ordering::Equal => return Err(STATUS_FLT_INSTANCE_ALTITUDE_COLLISION),
            std::cmp::Ordering::Less => break,
        }
    }
    // A name and no address: nobody follows it.
    let cookie = 0x7A00_0000_0000 + machine.next_id().cast_signed() * 16;
    let filter = Filter {
        cookie,
        altitude,
        routine,
        context,
        running: AtomicUsize::new(0),
        gone: AtomicBool::new(false),
    };
    stack.insert(position, Arc::new(filter));
    machine.held.add("registry callback", place(cookie), call);
    Ok(cookie)
}

/// What the reports know a routine by.
fn place(cookie: i64) -> usize {
    usize::try_from(cookie).unwrap_or(0)
}

/// Takes a routine out, after it has cleaned up what it has attached to keys, and waits until no
/// thread is in it; `false` if there is none of this cookie.
pub(crate) fn unregister(machine: &Arc<Inner>, cookie: i64) -> bool {
    let filters = &machine.registry_filters;
    let removed = {
        let mut stack = filters.stack.lock();
        let found = stack.iter().position(|filter| filter.cookie == cookie);
        found.map(|index| stack.remove(index))
    };
    let Some(removed) = removed else {
        return false;
    };
    removed.gone.store(true, Ordering::SeqCst);
    let mut attached = Vec::new();
    filters.contexts.lock().retain(|(object, owner), context| {
        let keep = *owner != cookie;
        if !keep {
            attached.push((*object, *context));
        }
        keep
    });
    for (object, context) in attached {
        removed.tell(machine, CONTEXT_CLEANUP, &mut Cleanup::new(object, context));
    }
    let own = usize::from(INSIDE.get() == Some(cookie));
    let idle = || removed.running.load(Ordering::SeqCst) <= own;
    machine.progress.wait(machine.config.unload_wait, idle);
    machine.held.remove(place(cookie))
}

/// Does something with the registry, and tells the routines before and after it.
pub(crate) fn run<N: Notice>(
    machine: &Arc<Inner>,
    class: Class,
    notice: &mut N,
    perform: impl FnOnce(&mut N) -> NTSTATUS,
) -> NTSTATUS {
    let filters = &machine.registry_filters;
    let object = notice.object();
    let mut told = Vec::new();
    let mut refused = None;
    for filter in filters.told() {
        let attached = filters.attached(object, filter.cookie);
        notice.set_contexts(0, attached);
        let status = filter.tell(machine, class.pre, notice);
        if nt_success(status) {
            told.push((filter, notice.call_context()));
        } else if class.can_fail {
            refused = Some(if status == STATUS_CALLBACK_BYPASS {
                STATUS_SUCCESS
            } else {
                status
            });
            break;
        }
    }
    let mut status = match refused {
        Some(status) => status,
        None => perform(notice),
    };
    // Who has let an operation pass is told how it has ended, whoever refused it below.
    for (filter, call_context) in told.into_iter().rev() {
        if filter.is_gone() {
            continue;
        }
        let attached = filters.attached(object, filter.cookie);
        notice.set_contexts(call_context, attached);
        let mut post = Post::new(notice, status, call_context, attached);
        if filter.tell(machine, class.post, &mut post) == STATUS_CALLBACK_BYPASS && class.can_fail {
            status = post.return_status;
        }
    }
    status
}

/// An open key goes: what is attached to it is cleaned up.
pub(crate) fn clean_up(machine: &Arc<Inner>, object: usize) {
    let filters = &machine.registry_filters;
    let stack = filters.stack.lock().clone();
    for filter in stack {
        let context = filters.attach(object, filter.cookie, 0);
        if context != 0 {
            filter.tell(machine, CONTEXT_CLEANUP, &mut Cleanup::new(object, context));
        }
    }
}
