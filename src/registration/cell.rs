//! Where a filter's state lives while it is loaded.

use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    sync::atomic::{AtomicPtr, AtomicU8, Ordering},
};

use fltmgr_sys as sys;

use super::Minifilter;

const UNLOADED: u8 = 0;
const CHANGING: u8 = 1;
const LOADED: u8 = 2;

/// The static home of a filter's state; [`driver_entry!`](crate::driver_entry) makes one.
///
/// # Invariants
///
/// The state is initialised exactly while `phase` is `LOADED`, and `phase` leaves `LOADED` only
/// when no callback of the filter is running and none can start: before the filter is
/// registered, when registering failed, or after `FltUnregisterFilter` returned.
pub struct FilterCell<F> {
    phase: AtomicU8,
    filter: AtomicPtr<sys::FLT_FILTER>,
    state: UnsafeCell<MaybeUninit<F>>,
}

// SAFETY: the state is written and dropped by the one thread that moved `phase` away from a
// resting value, while no other thread can reach it, and is shared as `&F` in between; a
// `Minifilter` is `Send + Sync`.
unsafe impl<F: Send + Sync> Sync for FilterCell<F> {}

impl<F: Minifilter> FilterCell<F> {
    /// An empty cell.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            phase: AtomicU8::new(UNLOADED),
            filter: AtomicPtr::new(core::ptr::null_mut()),
            state: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Claims the cell for loading. False when the filter is loaded already.
    pub(crate) fn claim(&self) -> bool {
        self.phase
            .compare_exchange(UNLOADED, CHANGING, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Gives a claimed cell back.
    pub(crate) fn abandon(&self) {
        self.phase.store(UNLOADED, Ordering::Release);
    }

    /// Stores the state of a claimed cell.
    ///
    /// # Safety
    ///
    /// The caller claimed the cell.
    pub(crate) unsafe fn fill(&self, state: F) {
        let place = self.state.get();
        // SAFETY: while the cell is claimed, only the claiming thread touches the state.
        unsafe { place.write(MaybeUninit::new(state)) };
        self.phase.store(LOADED, Ordering::Release);
    }

    /// Drops the state and empties the cell.
    ///
    /// # Safety
    ///
    /// The cell is filled, no callback of the filter is running and none can start.
    pub(crate) unsafe fn clear(&self) {
        self.phase.store(CHANGING, Ordering::Relaxed);
        self.filter.store(core::ptr::null_mut(), Ordering::Relaxed);
        let place = self.state.get().cast::<F>();
        // SAFETY: the cell was filled, and by the caller's promise nobody else reaches the state.
        unsafe { core::ptr::drop_in_place(place) };
        self.phase.store(UNLOADED, Ordering::Release);
    }

    /// Where `FltRegisterFilter` writes the filter's pointer.
    pub(crate) fn filter_out(&self) -> *mut sys::PFLT_FILTER {
        self.filter.as_ptr()
    }

    /// The registered filter.
    pub(crate) fn filter(&self) -> sys::PFLT_FILTER {
        self.filter.load(Ordering::Acquire)
    }

    /// The state of the loaded filter.
    pub(crate) fn state(&'static self) -> &'static F {
        let place = self.state.get().cast_const().cast::<F>();
        // SAFETY: this is called from callbacks and their views only, which exist while the
        // filter is registered; by the invariant the state is initialised then, and nobody
        // changes it.
        unsafe { &*place }
    }
}

impl<F: Minifilter> Default for FilterCell<F> {
    fn default() -> Self {
        Self::new()
    }
}

/// A filter that has a home for its state; [`driver_entry!`](crate::driver_entry) implements it.
///
/// # Safety
///
/// `registered` always returns the same cell, and only this crate's entry point fills it.
pub unsafe trait Registered: Sized {
    /// The home of the state.
    fn registered() -> &'static FilterCell<Self>;
}

/// A minifilter whose callbacks can find its state: what a callback's body needs to know.
pub(crate) trait Loaded: Minifilter + Registered {}

impl<F: Minifilter + Registered> Loaded for F {}
