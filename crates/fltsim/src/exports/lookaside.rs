//! Lookaside lists and the interlocked lists under them.
//!
//! Drivers for older systems carry the code that allocates from a lookaside list inside
//! themselves: what they find in the structure makes them come here for every entry. A depth of 0
//! keeps freed entries out of the list, so that the pool's checks see each of them.

use super::exports;
use crate::kernel::scope;
use fltmgr_sys::*;
use parking_lot::Mutex;

/// `NonPagedPoolNx`, `PagedPool` and their kind are flags of these in a lookaside list.
const POOL_MASK: POOL_TYPE = 0x201;
/// `EX_LOOKASIDE_LIST_EX_FLAGS_FAIL_NO_RAISE` and `_RAISE_ON_FAIL` are the only flags.
const KNOWN_FLAGS: ULONG = 3;

/// `SLIST_HEADER`, with contents of our own.
#[repr(C, align(16))]
pub(crate) struct Header {
    first: *mut Entry,
    depth: u64,
}

/// `SLIST_ENTRY`.
#[repr(C)]
pub(crate) struct Entry {
    next: *mut Entry,
}

/// `GENERAL_LOOKASIDE` and, up to its padding, `LOOKASIDE_LIST_EX`.
#[repr(C, align(16))]
pub(crate) struct Lookaside {
    list: Header,
    depth: u16,
    maximum_depth: u16,
    allocations: u32,
    allocation_misses: u32,
    frees: u32,
    free_misses: u32,
    pool: POOL_TYPE,
    tag: ULONG,
    size: ULONG,
    allocate: usize,
    free: usize,
    links: [usize; 2],
    last: [u32; 4],
}

const _: () = assert!(size_of::<Lookaside>() == 0x60);
const _: () = assert!(std::mem::offset_of!(Lookaside, pool) == 0x24);
const _: () = assert!(std::mem::offset_of!(Lookaside, allocate) == 0x30);

/// For all lists: none is held for longer than a few instructions.
static LISTS: Mutex<()> = Mutex::new(());

/// A default `AllocateEx`: pool of the list's type, size and tag.
type AllocateEx = unsafe extern "win64" fn(POOL_TYPE, SIZE_T, ULONG, *mut Lookaside) -> PVOID;
type FreeEx = unsafe extern "win64" fn(PVOID, *mut Lookaside);

fn address(name: &str) -> usize {
    super::resolve(name).unwrap_or(0)
}

fn usable<T>(call: &'static str, what: *mut T) -> bool {
    let aligned = (what as usize).is_multiple_of(16);
    if what.is_null() || !aligned {
        super::bad_pointer(
            call,
            "Lookaside",
            what as usize,
            "lookaside list, which is aligned to 16 bytes",
        );
    }
    !what.is_null() && aligned
}

/// # Safety
/// `list` is null or memory for a lookaside list.
unsafe fn initialise(call: &'static str, list: *mut Lookaside, with: Lookaside) {
    if let Some(machine) = scope::machine() {
        super::enter(&machine, call);
    }
    if usable(call, list) {
        // SAFETY: by this function's contract, and it is aligned.
        unsafe { list.write(with) };
    }
}

fn new(pool: POOL_TYPE, size: SIZE_T, tag: ULONG, allocate: usize, free: usize) -> Lookaside {
    Lookaside {
        list: Header {
            first: std::ptr::null_mut(),
            depth: 0,
        },
        depth: 0,
        maximum_depth: 256,
        allocations: 0,
        allocation_misses: 0,
        frees: 0,
        free_misses: 0,
        pool,
        tag,
        size: ULONG::try_from(size).unwrap_or(ULONG::MAX),
        allocate,
        free,
        links: [0; 2],
        last: [0; 4],
    }
}

/// A callback of the driver, or a function of ours in its place.
fn or_default(callback: usize, name: &str) -> usize {
    if callback == 0 {
        address(name)
    } else {
        callback
    }
}

exports! {
    /// Initialises a list header.
    unsafe fn InitializeSListHead(list: *mut Header) {
        if usable("InitializeSListHead", list) {
            // SAFETY: the caller passes memory for a header, and it is aligned.
            unsafe { list.write(Header { first: std::ptr::null_mut(), depth: 0 }) };
        }
    }

    /// Removes the first entry; null if there is none.
    unsafe fn ExpInterlockedPopEntrySList(list: *mut Header) -> *mut Entry {
        let _guard = LISTS.lock();
        // SAFETY: the caller passes an initialised list.
        let list = unsafe { &mut *list };
        let first = list.first;
        if !first.is_null() {
            // SAFETY: an entry of a list is the driver's memory until it is removed.
            list.first = unsafe { (*first).next };
            list.depth -= 1;
        }
        first
    }

    /// Adds an entry before the first one, and gives that one.
    unsafe fn ExpInterlockedPushEntrySList(list: *mut Header, entry: *mut Entry) -> *mut Entry {
        let _guard = LISTS.lock();
        // SAFETY: the caller passes an initialised list.
        let list = unsafe { &mut *list };
        let first = std::mem::replace(&mut list.first, entry);
        list.depth += 1;
        // SAFETY: the caller passes an entry that is its own.
        unsafe { (*entry).next = first };
        first
    }

    /// Removes all entries, and gives the first one.
    unsafe fn ExpInterlockedFlushSList(list: *mut Header) -> *mut Entry {
        let _guard = LISTS.lock();
        // SAFETY: the caller passes an initialised list.
        let list = unsafe { &mut *list };
        list.depth = 0;
        std::mem::replace(&mut list.first, std::ptr::null_mut())
    }

    /// How many entries there are.
    unsafe fn ExQueryDepthSList(list: *mut Header) -> USHORT {
        super::here("ExQueryDepthSList");
        let _guard = LISTS.lock();
        // SAFETY: the caller passes an initialised list.
        let depth = unsafe { (*list).depth };
        USHORT::try_from(depth).unwrap_or(USHORT::MAX)
    }

    /// Initialises a list of entries of nonpaged pool.
    unsafe fn ExInitializeNPagedLookasideList(
        list: *mut Lookaside,
        allocate: usize,
        free: usize,
        flags: ULONG,
        size: SIZE_T,
        tag: ULONG,
        _depth: USHORT,
    ) {
        // POOL_NX_ALLOCATION makes a pool type of it.
        let pool = if flags & 0x200 == 0 { NonPagedPool } else { NonPagedPoolNx };
        let allocate = or_default(allocate, "ExAllocatePoolWithTag");
        let with = new(pool, size, tag, allocate, or_default(free, "ExFreePool"));
        // SAFETY: the caller passes memory for a list.
        unsafe { initialise("ExInitializeNPagedLookasideList", list, with) };
    }

    /// Initialises a list of entries of paged pool.
    unsafe fn ExInitializePagedLookasideList(
        list: *mut Lookaside,
        allocate: usize,
        free: usize,
        _flags: ULONG,
        size: SIZE_T,
        tag: ULONG,
        _depth: USHORT,
    ) {
        let allocate = or_default(allocate, "ExAllocatePoolWithTag");
        let with = new(PagedPool, size, tag, allocate, or_default(free, "ExFreePool"));
        // SAFETY: the caller passes memory for a list.
        unsafe { initialise("ExInitializePagedLookasideList", list, with) };
    }

    /// Deletes a list; it keeps no entries.
    unsafe fn ExDeleteNPagedLookasideList(list: *mut Lookaside) {
        usable("ExDeleteNPagedLookasideList", list);
    }

    /// Deletes a list; it keeps no entries.
    unsafe fn ExDeletePagedLookasideList(list: *mut Lookaside) {
        usable("ExDeletePagedLookasideList", list);
    }

    /// Initialises a list of entries of any pool.
    unsafe fn ExInitializeLookasideListEx(
        list: *mut Lookaside,
        allocate: usize,
        free: usize,
        pool: POOL_TYPE,
        flags: ULONG,
        size: SIZE_T,
        tag: ULONG,
        _depth: USHORT,
    ) -> NTSTATUS {
        if size == 0 || flags & !KNOWN_FLAGS != 0 || flags & KNOWN_FLAGS == KNOWN_FLAGS {
            return STATUS_INVALID_PARAMETER;
        }
        let allocate = or_default(allocate, "ExpAllocateLookasideEntryEx");
        let free = or_default(free, "ExpFreeLookasideEntryEx");
        let with = new(pool & POOL_MASK, size, tag, allocate, free);
        // SAFETY: the caller passes memory for a list.
        unsafe { initialise("ExInitializeLookasideListEx", list, with) };
        STATUS_SUCCESS
    }

    /// Deletes a list; it keeps no entries.
    unsafe fn ExDeleteLookasideListEx(list: *mut Lookaside) {
        usable("ExDeleteLookasideListEx", list);
    }

    /// Frees the entries that a list keeps, of which there are none.
    unsafe fn ExFlushLookasideListEx(list: *mut Lookaside) {
        usable("ExFlushLookasideListEx", list);
    }

    /// Allocates an entry.
    unsafe fn ExAllocateFromLookasideListEx(list: *mut Lookaside) -> PVOID {
        if !usable("ExAllocateFromLookasideListEx", list) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller passes an initialised list.
        let shared = unsafe { &mut *list };
        shared.allocations = shared.allocations.wrapping_add(1);
        shared.allocation_misses = shared.allocation_misses.wrapping_add(1);
        let (pool, size, tag) = (shared.pool, shared.size, shared.tag);
        // SAFETY: what an initialised list holds is such a function.
        let allocate = unsafe { std::mem::transmute::<usize, AllocateEx>(shared.allocate) };
        // SAFETY: the driver's function or ours, with what belongs to the list.
        unsafe { allocate(pool, size.into(), tag, list) }
    }

    /// Frees an entry.
    unsafe fn ExFreeToLookasideListEx(list: *mut Lookaside, entry: PVOID) {
        if !usable("ExFreeToLookasideListEx", list) {
            return;
        }
        // SAFETY: the caller passes an initialised list.
        let shared = unsafe { &mut *list };
        shared.frees = shared.frees.wrapping_add(1);
        shared.free_misses = shared.free_misses.wrapping_add(1);
        // SAFETY: what an initialised list holds is such a function.
        let free = unsafe { std::mem::transmute::<usize, FreeEx>(shared.free) };
        // SAFETY: the driver's function or ours, with what belongs to the list.
        unsafe { free(entry, list) }
    }

    /// What allocates if the driver does not; drivers find it in the list.
    unsafe fn ExpAllocateLookasideEntryEx(
        pool: POOL_TYPE,
        size: SIZE_T,
        tag: ULONG,
        _list: *mut Lookaside,
    ) -> PVOID {
        super::kernel::allocate("ExAllocateFromLookasideListEx", pool, size, tag, false)
    }

    /// What frees if the driver does not.
    unsafe fn ExpFreeLookasideEntryEx(entry: PVOID, _list: *mut Lookaside) {
        super::kernel::free("ExFreeToLookasideListEx", entry, 0);
    }
}
