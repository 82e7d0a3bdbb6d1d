//! Dynamic hash tables: chains of a driver's entries, those with one signature side by side.

use super::{kernel, misuse, routines, write};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;

/// `RTL_HASH_ALLOCATED_HEADER`.
const ALLOCATED_HEADER: ULONG = 1;
/// The signature of enumerators, and what an entry gets that was given it.
const RESERVED: u64 = 0;
const ALTERNATIVE: u64 = 1;
const BUCKETS: ULONG = 128;
const TAG: ULONG = u32::from_le_bytes(*b"HTab");

/// `RTL_DYNAMIC_HASH_TABLE_ENTRY`.
#[repr(C)]
pub(crate) struct Entry {
    links: LIST_ENTRY,
    signature: u64,
}

/// `RTL_DYNAMIC_HASH_TABLE_CONTEXT`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Context {
    chain: *mut LIST_ENTRY,
    previous: *mut LIST_ENTRY,
    signature: u64,
}

/// `RTL_DYNAMIC_HASH_TABLE_ENUMERATOR`.
#[repr(C)]
pub(crate) struct Enumerator {
    entry: Entry,
    chain: *mut LIST_ENTRY,
    bucket: ULONG,
}

/// `RTL_DYNAMIC_HASH_TABLE`.
#[repr(C)]
pub(crate) struct Table {
    flags: ULONG,
    shift: ULONG,
    size: ULONG,
    pivot: ULONG,
    mask: ULONG,
    entries: ULONG,
    filled: ULONG,
    enumerators: ULONG,
    directory: *mut LIST_ENTRY,
}

const _: () = assert!(size_of::<Entry>() == 24);
const _: () = assert!(size_of::<Context>() == 24);
const _: () = assert!(size_of::<Enumerator>() == 40);
const _: () = assert!(size_of::<Table>() == 40);

/// # Safety
/// `at` is an entry of a chain, or its head.
unsafe fn links(at: *mut LIST_ENTRY) -> LIST_ENTRY {
    // SAFETY: by this function's contract.
    unsafe { at.read() }
}

/// # Safety
/// `at` is an entry of a chain, and not its head.
unsafe fn signature(at: *mut LIST_ENTRY) -> u64 {
    // SAFETY: by this function's contract.
    unsafe { (*at.cast::<Entry>()).signature }
}

/// # Safety
/// Both are entries of a chain, or its head.
unsafe fn join(one: *mut LIST_ENTRY, two: *mut LIST_ENTRY) {
    // SAFETY: by this function's contract.
    unsafe { (*one).Flink = two };
    // SAFETY: as above.
    unsafe { (*two).Blink = one };
}

/// A table of a driver.
///
/// # Invariants
/// It points to an initialised table, all of whose entries stay, as long as this value is used.
#[derive(Clone, Copy)]
struct Hash(*mut Table);

impl Hash {
    fn with<R>(self, run: impl FnOnce(&mut Table) -> R) -> R {
        // SAFETY: by the invariant.
        run(unsafe { &mut *self.0 })
    }

    fn chain(self, bucket: ULONG) -> *mut LIST_ENTRY {
        let directory = self.with(|table| table.directory);
        directory.wrapping_add(bucket as usize)
    }

    fn bucket(self, signature: u64) -> ULONG {
        let (shift, mask) = self.with(|table| (table.shift, table.mask));
        let hash = signature.checked_shr(shift).unwrap_or(0);
        // The high half of a product with an odd number depends on all bits.
        let mixed = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        ULONG::try_from(mixed & u64::from(mask)).unwrap_or(0)
    }

    fn next(at: *mut LIST_ENTRY) -> *mut LIST_ENTRY {
        // SAFETY: by the invariant of the table that the entry is of.
        unsafe { links(at) }.Flink
    }

    /// The first entry of a chain behind another that is no enumerator; null at the end.
    fn entry_after(chain: *mut LIST_ENTRY, at: *mut LIST_ENTRY) -> *mut LIST_ENTRY {
        let mut at = Self::next(at);
        // SAFETY: an entry of the chain, as it is not the head.
        while at != chain && unsafe { signature(at) } == RESERVED {
            at = Self::next(at);
        }
        if at == chain { null_mut() } else { at }
    }

    /// Where the entries with a signature begin in their chain, or would be added.
    fn find(self, wanted: u64) -> Context {
        let chain = self.chain(self.bucket(wanted));
        let mut previous = chain;
        loop {
            let entry = Self::entry_after(chain, previous);
            // SAFETY: an entry of the chain.
            if entry.is_null() || unsafe { signature(entry) } == wanted {
                break;
            }
            previous = entry;
        }
        Context {
            chain,
            previous,
            signature: wanted,
        }
    }

    /// The entry behind the place of a context, if it has the signature.
    fn entry(context: &Context) -> *mut Entry {
        let entry = Self::entry_after(context.chain, context.previous);
        // SAFETY: an entry of the chain.
        if entry.is_null() || unsafe { signature(entry) } != context.signature {
            return null_mut();
        }
        entry.cast()
    }

    /// Puts an entry behind another one, and keeps count of the chains that are not empty.
    fn link(self, chain: *mut LIST_ENTRY, previous: *mut LIST_ENTRY, entry: *mut LIST_ENTRY) {
        if Self::next(chain) == chain {
            self.with(|table| table.filled += 1);
        }
        let after = Self::next(previous);
        // SAFETY: by the invariant, and the entry is in no chain.
        unsafe { join(previous, entry) };
        // SAFETY: as above.
        unsafe { join(entry, after) };
    }

    fn unlink(self, entry: *mut LIST_ENTRY) {
        // SAFETY: by the invariant, the entry is in a chain.
        let LIST_ENTRY { Flink, Blink } = unsafe { links(entry) };
        // SAFETY: as above.
        unsafe { join(Blink, Flink) };
        // Only a head can be its own neighbour now.
        if Flink == Blink {
            self.with(|table| table.filled = table.filled.wrapping_sub(1));
        }
    }

    /// The next entry of an enumeration, and its bucket.
    fn step(self, at: *mut LIST_ENTRY, bucket: ULONG) -> Option<(ULONG, *mut LIST_ENTRY)> {
        let size = self.with(|table| table.size);
        let mut found = Self::entry_after(self.chain(bucket), at);
        let mut bucket = bucket;
        while found.is_null() {
            bucket += 1;
            if bucket >= size {
                return None;
            }
            let chain = self.chain(bucket);
            found = Self::entry_after(chain, chain);
        }
        Some((bucket, found))
    }
}

/// Makes a table, in memory of the caller or in new memory.
///
/// # Safety
/// `place` points to a table to be made, or to null.
unsafe fn create(call: &'static str, place: *mut *mut Table, shift: ULONG) -> BOOLEAN {
    let pool =
        |size: usize| kernel::allocate_within(call, NonPagedPoolNx, size as SIZE_T, TAG, true);
    // SAFETY: by this function's contract.
    let given = unsafe { place.read() };
    let directory = pool(BUCKETS as usize * size_of::<LIST_ENTRY>()).cast::<LIST_ENTRY>();
    if directory.is_null() {
        return 0;
    }
    let header = if given.is_null() {
        pool(size_of::<Table>()).cast()
    } else {
        given
    };
    if header.is_null() {
        kernel::free_within(call, directory.cast(), TAG);
        return 0;
    }
    for bucket in 0..BUCKETS as usize {
        let chain = directory.wrapping_add(bucket);
        // SAFETY: there is room for so many.
        unsafe { join(chain, chain) };
    }
    let table = Table {
        flags: if given.is_null() { ALLOCATED_HEADER } else { 0 },
        shift,
        size: BUCKETS,
        pivot: 0,
        mask: BUCKETS - 1,
        entries: 0,
        filled: 0,
        enumerators: 0,
        directory,
    };
    // SAFETY: memory for a table.
    unsafe { header.write(table) };
    // SAFETY: by this function's contract.
    unsafe { place.write(header) };
    1
}

/// What a context says, or a fresh search if there is none or it is of another signature.
///
/// # Safety
/// `context` is null, or was left by a search and nothing was changed since.
unsafe fn place(table: Hash, context: *mut Context, wanted: u64) -> Context {
    // SAFETY: by this function's contract.
    let known = unsafe { context.as_ref() };
    let known = known.filter(|known| !known.chain.is_null() && known.signature == wanted);
    known.copied().unwrap_or_else(|| table.find(wanted))
}

routines! {
    /// Makes a table.
    unsafe fn RtlCreateHashTable(
        place: *mut *mut Table,
        shift: ULONG,
        _flags: ULONG,
    ) -> BOOLEAN {
        // SAFETY: the caller passes a table, or a place for its address.
        unsafe { create(CALL, place, shift) }
    }

    /// Makes a table, with a hint how large it is going to be.
    unsafe fn RtlCreateHashTableEx(
        place: *mut *mut Table,
        _size: ULONG,
        shift: ULONG,
        _flags: ULONG,
    ) -> BOOLEAN {
        // SAFETY: the caller passes a table, or a place for its address.
        unsafe { create(CALL, place, shift) }
    }

    /// Ends a table, which has no entries.
    unsafe fn RtlDeleteHashTable(table: *mut Table) {
        let (entries, enumerators, directory, flags) = Hash(table).with(|table| {
            (table.entries, table.enumerators, table.directory, table.flags)
        });
        if entries + enumerators > 0 {
            let text = format!("a hash table is deleted with {entries} entries, {enumerators} enumerators");
            misuse(Rule::V0, CALL, text);
        }
        kernel::free_within(CALL, directory.cast(), TAG);
        if flags & ALLOCATED_HEADER != 0 {
            kernel::free_within(CALL, table.cast(), TAG);
        }
    }

    /// Adds an entry.
    unsafe fn RtlInsertEntryHashTable(
        table: *mut Table,
        entry: *mut Entry,
        signature: u64,
        context: *mut Context,
    ) -> BOOLEAN {
        let table = Hash(table);
        let signature = if signature == RESERVED { ALTERNATIVE } else { signature };
        // SAFETY: the caller passes an entry.
        unsafe { (*entry).signature = signature };
        // SAFETY: the caller passes null, or what a search has left.
        let found = unsafe { place(table, context, signature) };
        table.link(found.chain, found.previous, entry.cast());
        table.with(|table| table.entries += 1);
        if !context.is_null() {
            // SAFETY: as above.
            unsafe { write(context, found) };
        }
        1
    }

    /// Takes an entry out.
    unsafe fn RtlRemoveEntryHashTable(
        table: *mut Table,
        entry: *mut Entry,
        context: *mut Context,
    ) -> BOOLEAN {
        let table = Hash(table);
        // SAFETY: the caller passes an entry of the table.
        let previous = unsafe { links(entry.cast()) }.Blink;
        // SAFETY: as above.
        let signature = unsafe { (*entry).signature };
        table.unlink(entry.cast());
        table.with(|table| table.entries = table.entries.wrapping_sub(1));
        if !context.is_null() {
            let chain = table.chain(table.bucket(signature));
            // SAFETY: the caller passes a place.
            unsafe { write(context, Context { chain, previous, signature }) };
        }
        1
    }

    /// The first entry with a signature.
    unsafe fn RtlLookupEntryHashTable(
        table: *mut Table,
        signature: u64,
        context: *mut Context,
    ) -> *mut Entry {
        let signature = if signature == RESERVED { ALTERNATIVE } else { signature };
        let found = Hash(table).find(signature);
        // SAFETY: the caller passes null or a place.
        unsafe { write(context, found) };
        Hash::entry(&found)
    }

    /// The next entry with the signature of a search.
    unsafe fn RtlGetNextEntryHashTable(_table: *mut Table, context: *mut Context) -> *mut Entry {
        // SAFETY: the caller passes what a search has left.
        let mut found = unsafe { context.read() };
        let current = Hash::entry_after(found.chain, found.previous);
        if current.is_null() {
            return null_mut();
        }
        found.previous = current;
        let next = Hash::entry(&found);
        if !next.is_null() {
            // SAFETY: as above.
            unsafe { context.write(found) };
        }
        next
    }

    /// Begins an enumeration, during which entries may come and go.
    unsafe fn RtlInitEnumerationHashTable(table: *mut Table, at: *mut Enumerator) -> BOOLEAN {
        let table = Hash(table);
        let chain = table.chain(0);
        let links = LIST_ENTRY { Flink: null_mut(), Blink: null_mut() };
        let entry = Entry { links, signature: RESERVED };
        // SAFETY: the caller passes a place.
        unsafe { write(at, Enumerator { entry, chain, bucket: 0 }) };
        table.link(chain, chain, at.cast());
        table.with(|table| table.enumerators += 1);
        1
    }

    /// The next entry of an enumeration.
    unsafe fn RtlEnumerateEntryHashTable(table: *mut Table, at: *mut Enumerator) -> *mut Entry {
        let table = Hash(table);
        // SAFETY: the caller passes an enumerator.
        let bucket = unsafe { (*at).bucket };
        let Some((bucket, found)) = table.step(at.cast(), bucket) else {
            return null_mut();
        };
        table.unlink(at.cast());
        let chain = table.chain(bucket);
        table.link(chain, found, at.cast());
        // SAFETY: as above.
        unsafe { (*at).bucket = bucket };
        // SAFETY: as above.
        unsafe { (*at).chain = chain };
        found.cast()
    }

    /// Ends an enumeration.
    unsafe fn RtlEndEnumerationHashTable(table: *mut Table, at: *mut Enumerator) {
        let table = Hash(table);
        table.unlink(at.cast());
        table.with(|table| table.enumerators = table.enumerators.wrapping_sub(1));
    }
}
