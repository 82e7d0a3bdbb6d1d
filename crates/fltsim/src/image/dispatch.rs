//! C exception handling: finding who handles an exception, and unwinding to it.
//!
//! This is the kernel's own protocol with the handlers of an image: `__C_specific_handler` and the
//! wrappers that compilers put around it are called with the frames of the image still in place,
//! first to ask (filters), then to clean up (`__finally`). The functions here run on the driver's
//! stack, below the frames in question, and do not return when a handler is found: they own nothing
//! that would have to be dropped.

use super::context::{Context, NONCONTINUABLE, Record, TARGET_UNWIND, UNWINDING, capture, restore};
use super::stop::{self, Cause};
use super::unwind::{self, EXCEPTION_HANDLER, Frame, TERMINATION_HANDLER};
use super::{find, unwind::stack};
use crate::kernel::irql;
use fltmgr_sys::{DISPATCH_LEVEL, PVOID};
use std::cell::Cell;
use std::ptr::{null, null_mut};

pub(crate) const ACCESS_VIOLATION: u32 = 0xC000_0005;
/// `STATUS_UNWIND`.
const UNWIND: u32 = 0xC000_0027;
/// `SYSTEM_THREAD_EXCEPTION_NOT_HANDLED`.
const NOT_HANDLED: u32 = 0x7E;
/// `PAGE_FAULT_IN_NONPAGED_AREA`.
const PAGE_FAULT: u32 = 0x50;
/// `DRIVER_IRQL_NOT_LESS_OR_EQUAL`.
const IRQL_NOT_LESS: u32 = 0xD1;
/// Addresses of the kernel begin here.
const KERNEL: u64 = 0xFFFF_8000_0000_0000;
/// More frames than any stack has.
const MOST_FRAMES: usize = 4096;

/// `EXCEPTION_POINTERS`.
#[repr(C)]
struct Pointers {
    record: *mut Record,
    context: *mut Context,
}

/// `DISPATCHER_CONTEXT`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Dispatcher {
    control_pc: u64,
    image_base: u64,
    function: u64,
    establisher: u64,
    target: u64,
    context: *mut Context,
    handler: u64,
    data: usize,
    history: PVOID,
    scope: u32,
    fill: u32,
}

/// A language's handler. 0: go on with the driver, 1: go on looking.
type Handler = unsafe extern "win64" fn(*mut Record, u64, *mut Context, *mut Dispatcher) -> i32;

/// An exception that is being handled on this thread. Filters and `__finally` blocks run while it
/// is, and may raise further ones.
struct Active {
    /// Where it happened.
    start: Context,
    /// The frame that is being asked or cleaned up, before it is unwound.
    frame: Context,
    dispatcher: Dispatcher,
    below: *const Active,
}

thread_local! {
    /// The innermost one. Each lies on the stack of this thread, in a frame of [`dispatch`].
    static ACTIVE: Cell<*const Active> = const { Cell::new(null()) };
}

/// Walks the frames of an exception, over those of exceptions around it.
struct Walk {
    context: Context,
    scope: u32,
    around: *const Active,
}

impl Walk {
    fn new(context: &Context, around: *const Active) -> Self {
        Self {
            context: *context,
            scope: 0,
            around,
        }
    }

    /// The next frame: its context before it is unwound, what is known of it, and the scope to
    /// begin with.
    fn next(&mut self, wanted: u8) -> Option<(Context, Frame, u32)> {
        let pc = usize::try_from(self.context.rip).unwrap_or(0);
        if find(pc).is_none() {
            // Out of a filter or a `__finally` block, back to the frame that it belongs to.
            // SAFETY: null, or an exception that is being handled further up this very stack.
            let around = unsafe { self.around.as_ref() }?;
            self.context = around.frame;
            self.scope = around.dispatcher.scope;
            self.around = around.below;
        }
        let before = self.context;
        let frame = unwind::step(&mut self.context, wanted)?;
        Some((before, frame, std::mem::take(&mut self.scope)))
    }
}

impl Active {
    /// An exception, or a leaving of blocks, that begins at a state. It counts when [`ACTIVE`] says
    /// so.
    fn new(start: &Context) -> Self {
        Self {
            start: *start,
            frame: *start,
            dispatcher: Dispatcher::NONE,
            below: ACTIVE.get(),
        }
    }
}

impl Dispatcher {
    const NONE: Self = Self {
        control_pc: 0,
        image_base: 0,
        function: 0,
        establisher: 0,
        target: 0,
        context: null_mut(),
        handler: 0,
        data: 0,
        history: null_mut(),
        scope: 0,
        fill: 0,
    };

    fn new(context: &mut Context, frame: &Frame, scope: u32, target: u64) -> Self {
        Self {
            control_pc: context.rip,
            image_base: frame.image.base() as u64,
            function: frame.function.map_or(0, |(_, entry)| entry as u64),
            establisher: frame.establisher,
            target,
            context: &raw mut *context,
            handler: frame.handler.map_or(0, |(handler, _)| {
                frame.image.base() as u64 + u64::from(handler)
            }),
            data: frame.handler.map_or(0, |(_, data)| data),
            history: null_mut(),
            scope,
            fill: 0,
        }
    }

    /// The entry point of the handler.
    fn entry(&self) -> Handler {
        // SAFETY: the handler lies in code of the image, as was checked when the frame was read,
        // and is a language handler by the contract of the function table.
        unsafe { std::mem::transmute::<u64, Handler>(self.handler) }
    }
}

/// Finds a handler for an exception and goes on there, or stops.
///
/// # Safety
/// Both pointers are valid, lie on this thread's stack below every frame of the context, and the
/// context is the state of driver code or of a leaf function that it called.
pub(crate) unsafe extern "win64" fn dispatch(record: *mut Record, context: *mut Context) -> ! {
    // SAFETY: valid by this function's contract.
    let original = unsafe { *context };
    let mut start = original;
    if find(usize::try_from(start.rip).unwrap_or(0)).is_none()
        && let Some(caller) = stack(start.rsp())
    {
        // A leaf function outside of the image, or a jump to nowhere: the frame is its caller's.
        start.rip = caller;
        start.registers[super::context::RSP] += 8;
    }
    let mut active = Active::new(&start);
    let below = active.below;
    let mut walk = Walk::new(&start, below);
    ACTIVE.set(&raw const active);
    for _ in 0..MOST_FRAMES {
        let Some((before, frame, scope)) = walk.next(EXCEPTION_HANDLER) else {
            break;
        };
        if frame.handler.is_none() {
            continue;
        }
        active.frame = before;
        let mut state = before;
        active.dispatcher = Dispatcher::new(&mut state, &frame, scope, 0);
        let handler = active.dispatcher.entry();
        let dispatcher = &raw mut active.dispatcher;
        // SAFETY: the handler of this frame, with what belongs to it. Whatever it does to the stack
        // above is the driver's business.
        let answer = unsafe { handler(record, frame.establisher, context, dispatcher) };
        if answer != 0 {
            continue;
        }
        // SAFETY: valid by this function's contract.
        let flags = unsafe { (*record).flags };
        if flags & NONCONTINUABLE != 0 {
            break;
        }
        ACTIVE.set(below);
        // SAFETY: the state of driver code, which a filter may have mended, and whose frames are
        // all in place.
        unsafe { restore(context) };
    }
    // SAFETY: valid by this function's contract.
    let record = unsafe { *record };
    unhandled(&record, &original)
}

/// Raises an exception where a context says.
pub(crate) fn raise(context: &mut Context, code: u32, flags: u32, parameters: &[u64]) -> ! {
    let mut record = Record::new(code, flags, context.rip, parameters);
    // SAFETY: both lie on this stack, below the frames of the caller whose state the context is.
    unsafe { dispatch(&raw mut record, context) }
}

/// Stops because of an exception that nobody handles.
fn unhandled(record: &Record, context: &Context) -> ! {
    let level = irql::current();
    let [kind, address, ..] = record.information;
    let doing = match kind {
        1 => "writing",
        8 => "executing",
        _ => "reading",
    };
    let page_fault = record.code == ACCESS_VIOLATION && address != u64::MAX;
    let (code, parameters) = if page_fault && level >= DISPATCH_LEVEL {
        (IRQL_NOT_LESS, [address, level.into(), kind, record.address])
    } else if page_fault && address >= KERNEL {
        (PAGE_FAULT, [address, kind, record.address, 0])
    } else {
        (NOT_HANDLED, [record.code.into(), record.address, 0, 0])
    };
    let name = stop::exception_name(record.code);
    let cause = |what: std::fmt::Arguments<'_>| -> ! {
        stop::stop(&Cause {
            code,
            parameters,
            address: record.address,
            what,
            context,
        })
    };
    if page_fault {
        cause(format_args!("{name}, {doing} address {address:#x}"))
    } else {
        cause(format_args!("exception {:#010X}: {name}", record.code))
    }
}

/// One entry of a C scope table.
#[derive(Clone, Copy)]
struct Scope {
    begin: u32,
    end: u32,
    /// A filter, 1 for "always", or a `__finally` block if there is no target.
    handler: u32,
    target: u32,
}

/// Reads a scope table as far as an image holds it.
fn scope_at(base: u64, data: usize, index: u32) -> Option<Scope> {
    let image = find(usize::try_from(base).ok()?)?;
    let table = image.offset(data)?;
    let count = image.read::<[u8; 4]>(table).map(u32::from_le_bytes)?;
    if index >= count {
        return None;
    }
    let entry = table.checked_add(4)?.checked_add(index.checked_mul(16)?)?;
    let word = |at: u32| {
        image
            .read::<[u8; 4]>(entry.checked_add(4 * at)?)
            .map(u32::from_le_bytes)
    };
    Some(Scope {
        begin: word(0)?,
        end: word(1)?,
        handler: word(2)?,
        target: word(3)?,
    })
}

/// `__C_specific_handler`.
///
/// # Safety
/// Called by [`dispatch`] or [`unwind_to`], directly or through a wrapper in the image.
pub(crate) unsafe extern "win64" fn c_handler(
    record: *mut Record,
    establisher: u64,
    context: *mut Context,
    dispatcher: *mut Dispatcher,
) -> i32 {
    // SAFETY: valid by this function's contract.
    let Dispatcher {
        control_pc,
        image_base,
        target,
        data,
        scope: first,
        ..
    } = unsafe { *dispatcher };
    // SAFETY: as above.
    let Record { code, flags, .. } = unsafe { *record };
    let at = u32::try_from(control_pc.wrapping_sub(image_base)).unwrap_or(u32::MAX);
    let goal = u32::try_from(target.wrapping_sub(image_base)).unwrap_or(u32::MAX);
    let mut index = first;
    while let Some(scope) = scope_at(image_base, data, index) {
        index += 1;
        if at < scope.begin || at >= scope.end {
            continue;
        }
        // A further exception in a filter or a `__finally` block is for the scopes outside.
        // SAFETY: as above.
        unsafe { (*dispatcher).scope = index };
        let address = image_base + u64::from(scope.handler);
        if flags & UNWINDING == 0 {
            if scope.target == 0 {
                continue;
            }
            let mut pointers = Pointers { record, context };
            let answer = if scope.handler == 1 {
                1
            } else {
                // SAFETY: what a scope with a target names is a filter.
                let filter = unsafe {
                    std::mem::transmute::<u64, unsafe extern "win64" fn(*mut Pointers, u64) -> i32>(
                        address,
                    )
                };
                // SAFETY: the filter of this frame, with its exception.
                unsafe { filter(&raw mut pointers, establisher) }
            };
            if answer < 0 {
                return 0;
            }
            if answer > 0 {
                let to = image_base + u64::from(scope.target);
                // SAFETY: the frame is one of those that were just walked.
                unsafe { unwind_to(establisher, to, record, code.into()) };
            }
        } else {
            if flags & TARGET_UNWIND != 0 {
                // What is within the same scope as the goal stays; the goal itself is the end.
                let same_scope = goal >= scope.begin && goal < scope.end;
                if same_scope || (scope.target != 0 && goal == scope.target) {
                    break;
                }
            }
            if scope.target == 0 {
                // SAFETY: what a scope without a target names is a `__finally` block.
                let finally = unsafe {
                    std::mem::transmute::<u64, unsafe extern "win64" fn(u8, u64)>(address)
                };
                // SAFETY: the block of this frame, which is being left abnormally.
                unsafe { finally(1, establisher) };
            }
        }
    }
    1
}

/// `_local_unwind`: leaves every block from a state on, up to a frame, and goes on there.
///
/// # Safety
/// The context is the state of driver code, and the target a frame of it or above.
pub(crate) unsafe fn leave(context: &Context, target_frame: u64, target: u64) -> ! {
    let mut record = Record::new(UNWIND, 0, context.rip, &[]);
    let active = Active::new(context);
    ACTIVE.set(&raw const active);
    // SAFETY: by this function's contract; what is being handled begins at the context.
    unsafe { unwind_to(target_frame, target, &raw mut record, 0) }
}

/// `RtlUnwindEx`, while an exception is being handled: cleans up every frame up to the target and
/// goes on there.
///
/// # Safety
/// `record` is valid. The target is a frame above the exception that is being handled.
pub(crate) unsafe fn unwind_to(
    target_frame: u64,
    target: u64,
    record: *mut Record,
    value: u64,
) -> ! {
    let active = ACTIVE.get().cast_mut();
    if active.is_null() {
        let mut here = Context::ZERO;
        // SAFETY: a place for a context.
        unsafe { capture(&raw mut here) };
        stop::stop(&Cause {
            code: NOT_HANDLED,
            parameters: [0; 4],
            address: here.rip,
            what: format_args!("RtlUnwind was called and no exception is being handled"),
            context: &here,
        });
    }
    // SAFETY: the innermost exception, in a frame of `dispatch` further up this stack.
    let start = unsafe { (*active).start };
    // SAFETY: as above.
    let around = unsafe { (*active).below };
    // SAFETY: valid by this function's contract.
    unsafe { (*record).flags |= UNWINDING };
    let mut walk = Walk::new(&start, around);
    for _ in 0..MOST_FRAMES {
        let Some((before, frame, scope)) = walk.next(TERMINATION_HANDLER) else {
            break;
        };
        let last = frame.establisher == target_frame;
        if last {
            // SAFETY: valid by this function's contract.
            unsafe { (*record).flags |= TARGET_UNWIND };
        }
        let mut state = before;
        if frame.handler.is_some() {
            let dispatcher = Dispatcher::new(&mut state, &frame, scope, target);
            // Where the exceptions of a `__finally` block go from: this frame.
            // SAFETY: as above.
            unsafe { (*active).frame = before };
            // SAFETY: as above.
            unsafe { (*active).dispatcher = dispatcher };
            // SAFETY: as above; the handler is told the copy that counts.
            let shared = unsafe { &raw mut (*active).dispatcher };
            let handler = dispatcher.entry();
            // SAFETY: the handler of this frame, with what belongs to it.
            unsafe { handler(record, frame.establisher, &raw mut state, shared) };
        }
        if last {
            let mut goal = before;
            goal.registers[0] = value;
            goal.rip = target;
            // What was being handled below the target is over.
            let mut over = ACTIVE.get();
            while !over.is_null() && (over as u64) < goal.rsp() {
                // SAFETY: not null, and further up this stack.
                over = unsafe { (*over).below };
            }
            ACTIVE.set(over);
            // SAFETY: the state of the target's frame, all frames below which were cleaned up.
            unsafe { restore(&raw const goal) };
        }
    }
    // SAFETY: valid by this function's contract.
    let record = unsafe { *record };
    unhandled(&record, &start)
}
