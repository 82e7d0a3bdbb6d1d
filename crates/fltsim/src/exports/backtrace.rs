//! Walking the stack of a driver.

use super::here;
use crate::image::{Context, virtual_unwind, with_context};
use fltmgr_sys::*;

with_context! { capture_stack => capture }
with_context! { walk_chain => walk }

/// The most frames that one call gives.
const MOST_FRAMES: usize = 256;

/// The return addresses of the frames of images, the innermost first.
fn frames(context: &Context) -> Vec<u64> {
    let mut context = *context;
    let mut found = Vec::new();
    while found.len() < MOST_FRAMES && crate::image::find_function(context.rip).is_some() {
        found.push(context.rip);
        if virtual_unwind(&mut context, 0).is_none() {
            break;
        }
    }
    found
}

/// # Safety
/// There are four arguments.
unsafe fn arguments_of(arguments: *const u64) -> [u64; 4] {
    // SAFETY: by this function's contract.
    unsafe { arguments.cast::<[u64; 4]>().read() }
}

/// # Safety
/// The target has room for so many addresses.
unsafe fn put(target: *mut u64, frames: &[u64]) {
    // SAFETY: by this function's contract.
    unsafe { std::ptr::copy_nonoverlapping(frames.as_ptr(), target, frames.len()) };
}

fn low(value: u64) -> usize {
    usize::try_from(value & 0xFFFF_FFFF).unwrap_or(0)
}

/// # Safety
/// Called with the state of the driver and its arguments: how many frames to skip, how many to
/// give, where to, and null or a place for a hash.
unsafe extern "win64" fn capture(context: *mut Context, arguments: *const u64) -> u64 {
    here("RtlCaptureStackBackTrace");
    // SAFETY: by this function's contract.
    let [skip, count, target, hash] = unsafe { arguments_of(arguments) };
    // SAFETY: as above.
    let all = frames(unsafe { &*context });
    let rest = all.get(low(skip)..).unwrap_or_default();
    let given = &rest[..rest.len().min(low(count))];
    // SAFETY: as above.
    unsafe { put(target as *mut u64, given) };
    let sum = given
        .iter()
        .fold(0_u64, |sum, frame| sum.wrapping_add(*frame));
    let sum = ULONG::try_from(sum & 0xFFFF_FFFF).unwrap_or(0);
    // SAFETY: as above.
    unsafe { super::write(hash as *mut ULONG, sum) };
    given.len() as u64
}

/// # Safety
/// Called with the state of the driver and its arguments: where to, how many frames, and flags,
/// whose second byte says how many to skip.
unsafe extern "win64" fn walk(context: *mut Context, arguments: *const u64) -> u64 {
    here("RtlWalkFrameChain");
    // SAFETY: by this function's contract.
    let [target, count, flags, _] = unsafe { arguments_of(arguments) };
    // SAFETY: as above.
    let all = frames(unsafe { &*context });
    let rest = all.get(low(flags) >> 8 & 0xFF..).unwrap_or_default();
    let given = &rest[..rest.len().min(low(count))];
    // SAFETY: as above.
    unsafe { put(target as *mut u64, given) };
    given.len() as u64
}

/// Unwinds a state by one frame; gives the language's handler if it has one of the wanted kind.
///
/// # Safety
/// `context` is a state, and the places may be written to.
unsafe extern "win64" fn virtual_unwind_once(
    wanted: u32,
    _base: u64,
    pc: u64,
    _function: u64,
    context: *mut Context,
    data: *mut u64,
    establisher: *mut u64,
    _pointers: PVOID,
) -> u64 {
    here("RtlVirtualUnwind");
    // SAFETY: by this function's contract.
    let state = unsafe { &mut *context };
    state.rip = pc;
    let kind = u8::try_from(wanted & 3).unwrap_or(0);
    let Some((frame, handler)) = virtual_unwind(state, kind) else {
        state.rip = 0;
        return 0;
    };
    // SAFETY: as above.
    unsafe { super::write(establisher, frame) };
    let Some((routine, its_data)) = handler else {
        return 0;
    };
    // SAFETY: as above.
    unsafe { super::write(data, its_data) };
    routine
}

/// The address of one of these functions by its name.
pub(super) fn resolve(name: &str) -> Option<usize> {
    let function = match name {
        "RtlCaptureStackBackTrace" => capture_stack as *const (),
        "RtlWalkFrameChain" => walk_chain as *const (),
        "RtlVirtualUnwind" => virtual_unwind_once as *const (),
        _ => return None,
    };
    Some(function as usize)
}
