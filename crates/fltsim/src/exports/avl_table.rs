//! Generic tables that are AVL trees.

use super::{misuse, routines, write};
use crate::kernel::avl::{BalancedLinks, Tree};
use crate::kernel::tree::{Links, Node, Place, Side, search};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;

const STATUS_NO_MATCH: NTSTATUS = 0xC000_0272_u32.cast_signed();

type Compare = Option<unsafe extern "win64" fn(*mut Table, PVOID, PVOID) -> i32>;
type Allocate = Option<unsafe extern "win64" fn(*mut Table, ULONG) -> PVOID>;
type Free = Option<unsafe extern "win64" fn(*mut Table, PVOID)>;
type Match = Option<unsafe extern "win64" fn(*mut Table, PVOID, PVOID) -> NTSTATUS>;

/// `RTL_AVL_TABLE`. Macros of the headers and debuggers read it, so all of it is kept.
#[repr(C)]
pub(crate) struct Table {
    head: BalancedLinks,
    ordered_pointer: *mut Links,
    which_ordered: ULONG,
    elements: ULONG,
    depth: ULONG,
    restart: *mut Links,
    deletes: ULONG,
    compare: Compare,
    allocate: Allocate,
    free: Free,
    context: PVOID,
}

const _: () = assert!(size_of::<Table>() == 104);
const _: () = assert!(std::mem::offset_of!(Table, restart) == 56);
const _: () = assert!(std::mem::offset_of!(Table, compare) == 72);
const _: () = assert!(HEADER == HEADER_BYTES as usize);

/// What lies before an element.
const HEADER: usize = size_of::<BalancedLinks>();
const HEADER_BYTES: ULONG = 32;

fn element(node: Node) -> PVOID {
    node.pointer().wrapping_byte_add(HEADER).cast()
}

fn give(node: Option<Node>) -> PVOID {
    node.map_or(null_mut(), element)
}

/// A table of a driver.
///
/// # Invariants
/// It points to an initialised table, whose routines may be called, as long as this value is used.
#[derive(Clone, Copy)]
struct Avl(*mut Table);

impl Avl {
    fn with<R>(self, run: impl FnOnce(&mut Table) -> R) -> R {
        // SAFETY: by the invariant; `run` calls nothing of the driver.
        run(unsafe { &mut *self.0 })
    }

    fn tree(self) -> Tree {
        // SAFETY: the head of the table, which has no null links but its children.
        let head = unsafe { Node::new(self.0.cast()) };
        let head = head.unwrap_or_else(|| unreachable!("a table is not null"));
        // SAFETY: all nodes of the table were made by `insert`, with balanced links.
        unsafe { Tree::under(head) }
    }

    fn compare(self, sought: PVOID, node: Node) -> i32 {
        let Some(compare) = self.with(|table| table.compare) else {
            return crate::kernel::tree::GREATER;
        };
        // SAFETY: the driver's routine, with what the driver seeks and an element of the table.
        unsafe { compare(self.0, sought, element(node)) }
    }

    fn find(self, sought: PVOID) -> Place {
        search(self.tree().root(), |node| self.compare(sought, node))
    }

    /// Adds a copy of an element, unless there is one. Gives the element, and whether it is new.
    ///
    /// # Safety
    /// `source` has so many readable bytes.
    unsafe fn insert(self, source: PVOID, size: ULONG, place: Place) -> (Option<Node>, bool) {
        let under = match place {
            Place::Found(node) => return (Some(node), false),
            Place::Under(parent, side) => Some((parent, side)),
            Place::Empty => None,
        };
        let Some(allocate) = self.with(|table| table.allocate) else {
            return (None, false);
        };
        let Some(bytes) = size.checked_add(HEADER_BYTES) else {
            return (None, false);
        };
        // SAFETY: the driver's routine.
        let memory = unsafe { allocate(self.0, bytes) };
        // SAFETY: fresh memory with room for the links and the element, or null.
        let Some(node) = (unsafe { Node::new(memory.cast()) }) else {
            return (None, false);
        };
        // SAFETY: as above.
        unsafe { memory.cast::<u8>().write_bytes(0, HEADER) };
        let grown = self.tree().insert(node, under);
        self.with(|table| {
            table.elements += 1;
            table.depth = table.depth.wrapping_add_signed(grown);
            table.ordered_pointer = null_mut();
            table.which_ordered = 0;
        });
        let target = element(node).cast::<u8>();
        // SAFETY: by this function's contract, and the routine has allocated so much.
        unsafe { std::ptr::copy_nonoverlapping(source.cast::<u8>(), target, size as usize) };
        (Some(node), true)
    }

    fn remove(self, node: Node) {
        let tree = self.tree();
        let before = tree.neighbour(node, Side::Left);
        let lower = tree.remove(node);
        let free = self.with(|table| {
            // An enumeration goes on behind the one before.
            if table.restart == node.pointer() {
                table.restart = before.map_or(null_mut(), Node::pointer);
            }
            table.deletes = table.deletes.wrapping_add(1);
            table.elements = table.elements.wrapping_sub(1);
            table.depth = table.depth.wrapping_sub(lower.unsigned_abs());
            table.ordered_pointer = null_mut();
            table.which_ordered = 0;
            table.free
        });
        if let Some(free) = free {
            // SAFETY: the driver's routine, with memory of its allocation routine.
            unsafe { free(self.0, node.pointer().cast()) };
        }
    }

    /// The first element, or the one behind another.
    fn next(self, after: Option<Node>) -> Option<Node> {
        match after {
            Some(node) => self.tree().neighbour(node, Side::Right),
            None => self.tree().root().map(|root| root.extreme(Side::Left)),
        }
    }

    /// The element with a number, counted from the one that was asked for last, or from the
    /// nearer end.
    fn nth(self, index: ULONG) -> Option<Node> {
        let tree = self.tree();
        let (count, which, pointer) =
            self.with(|table| (table.elements, table.which_ordered, table.ordered_pointer));
        if index >= count {
            return None;
        }
        // SAFETY: null, or an element of the table: it is forgotten whenever that changes.
        let near = unsafe { Node::new(pointer) }.filter(|_| which > 0);
        let root = tree.root()?;
        let starts = [
            Some((0, root.extreme(Side::Left))),
            Some((count - 1, root.extreme(Side::Right))),
            near.map(|node| (which - 1, node)),
        ];
        let nearest = starts
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| at.abs_diff(index));
        let (mut at, mut node) = nearest?;
        while at != index {
            let (next, side) = if at < index {
                (at + 1, Side::Right)
            } else {
                (at - 1, Side::Left)
            };
            node = tree.neighbour(node, side)?;
            at = next;
        }
        self.with(|table| {
            table.ordered_pointer = node.pointer();
            table.which_ordered = index + 1;
        });
        Some(node)
    }
}

/// # Safety
/// `table` is null or a table of a driver.
unsafe fn table(call: &'static str, table: *mut Table) -> Option<Avl> {
    if table.is_null() {
        misuse(Rule::V0, call, "the table is null".to_owned());
        return None;
    }
    Some(Avl(table))
}

routines! {
    /// An empty table.
    unsafe fn RtlInitializeGenericTableAvl(
        at: *mut Table,
        compare: Compare,
        allocate: Allocate,
        free: Free,
        context: PVOID,
    ) {
        if at.is_null() {
            return;
        }
        // SAFETY: the caller passes memory for a table.
        unsafe { at.write_bytes(0, 1) };
        // SAFETY: as above; the head has no null links but its children.
        if let Some(head) = unsafe { Node::new(at.cast()) } {
            head.plant(None);
        }
        Avl(at).with(|table| {
            table.compare = compare;
            table.allocate = allocate;
            table.free = free;
            table.context = context;
        });
    }

    /// Adds a copy of an element, or gives the one that is already there.
    unsafe fn RtlInsertElementGenericTableAvl(
        at: *mut Table,
        source: PVOID,
        size: ULONG,
        is_new: *mut BOOLEAN,
    ) -> PVOID {
        // SAFETY: the caller passes a table.
        let Some(table) = (unsafe { table(CALL, at) }) else {
            return null_mut();
        };
        let place = table.find(source);
        // SAFETY: the caller passes an element of that size.
        let (node, new) = unsafe { table.insert(source, size, place) };
        // SAFETY: the caller passes null or a place for the answer.
        unsafe { write(is_new, BOOLEAN::from(new)) };
        give(node)
    }

    /// As `RtlInsertElementGenericTableAvl`, where a lookup has found the place.
    unsafe fn RtlInsertElementGenericTableFullAvl(
        at: *mut Table,
        source: PVOID,
        size: ULONG,
        is_new: *mut BOOLEAN,
        node: *mut Links,
        result: i32,
    ) -> PVOID {
        // SAFETY: the caller passes a table.
        let Some(table) = (unsafe { table(CALL, at) }) else {
            return null_mut();
        };
        // SAFETY: the caller passes what a lookup has given.
        let Some(place) = (unsafe { Place::from_code(result, node) }) else {
            misuse(Rule::V0, CALL, format!("{result} with node {node:p} is no search result"));
            return null_mut();
        };
        // SAFETY: the caller passes an element of that size.
        let (node, new) = unsafe { table.insert(source, size, place) };
        // SAFETY: the caller passes null or a place for the answer.
        unsafe { write(is_new, BOOLEAN::from(new)) };
        give(node)
    }

    /// Deletes an element, if there is one that compares equal.
    unsafe fn RtlDeleteElementGenericTableAvl(at: *mut Table, sought: PVOID) -> BOOLEAN {
        // SAFETY: the caller passes a table.
        let table = unsafe { table(CALL, at) };
        let found = table.and_then(|table| Some((table, table.find(sought).found()?)));
        if let Some((table, node)) = found {
            table.remove(node);
        }
        BOOLEAN::from(found.is_some())
    }

    /// Deletes the element whose node a lookup has found.
    unsafe fn RtlDeleteElementGenericTableAvlEx(at: *mut Table, node: *mut Links) {
        // SAFETY: the caller passes a table.
        let table = unsafe { table(CALL, at) };
        // SAFETY: the caller passes a node of it.
        let node = unsafe { Node::new(node) };
        if let Some((table, node)) = table.zip(node) {
            table.remove(node);
        }
    }

    /// Finds an element.
    unsafe fn RtlLookupElementGenericTableAvl(at: *mut Table, sought: PVOID) -> PVOID {
        // SAFETY: the caller passes a table.
        let table = unsafe { table(CALL, at) };
        give(table.and_then(|table| table.find(sought).found()))
    }

    /// Finds an element, or the place where it would be.
    unsafe fn RtlLookupElementGenericTableFullAvl(
        at: *mut Table,
        sought: PVOID,
        node: *mut *mut Links,
        result: *mut i32,
    ) -> PVOID {
        // SAFETY: the caller passes a table.
        let table = unsafe { table(CALL, at) };
        let place = table.map_or(Place::Empty, |table| table.find(sought));
        // SAFETY: the caller passes a place for the node.
        unsafe { write(node, place.node()) };
        // SAFETY: the caller passes a place for the result.
        unsafe { write(result, place.code()) };
        give(place.found())
    }

    /// Finds the first of the elements that compare equal.
    unsafe fn RtlLookupFirstMatchingElementGenericTableAvl(
        at: *mut Table,
        sought: PVOID,
        restart: *mut *mut Links,
    ) -> PVOID {
        // SAFETY: the caller passes a table.
        let table = unsafe { table(CALL, at) };
        let mut first = table.and_then(|table| table.find(sought).found());
        while let Some((table, node)) = table.zip(first) {
            let before = table.tree().neighbour(node, Side::Left);
            match before.filter(|before| table.compare(sought, *before) == 2) {
                None => break,
                before => first = before,
            }
        }
        // SAFETY: the caller passes a place for the node.
        unsafe { write(restart, first.map_or(null_mut(), Node::pointer)) };
        give(first)
    }

    /// The next element of an enumeration that the table keeps.
    unsafe fn RtlEnumerateGenericTableAvl(at: *mut Table, restart: BOOLEAN) -> PVOID {
        // SAFETY: the caller passes a table.
        let Some(table) = (unsafe { table(CALL, at) }) else {
            return null_mut();
        };
        let last = table.with(|table| if restart != 0 { null_mut() } else { table.restart });
        // SAFETY: null or an element of the table: a deleted one is not kept.
        let next = table.next(unsafe { Node::new(last) });
        // At the end it stays at the last one, so that it does not begin again by itself.
        if let Some(next) = next {
            table.with(|table| table.restart = next.pointer());
        }
        give(next)
    }

    /// The next element of an enumeration that the caller keeps.
    unsafe fn RtlEnumerateGenericTableWithoutSplayingAvl(
        at: *mut Table,
        restart: *mut *mut Links,
    ) -> PVOID {
        // SAFETY: the caller passes a table.
        let Some(table) = (unsafe { table(CALL, at) }) else {
            return null_mut();
        };
        // SAFETY: the caller passes null, or what the last call left there.
        let last = unsafe { restart.read() };
        // SAFETY: as above: an element of the table.
        let next = table.next(unsafe { Node::new(last) });
        if let Some(next) = next {
            // SAFETY: as above.
            unsafe { write(restart, next.pointer()) };
        }
        give(next)
    }

    /// The next element that a routine of the caller accepts; it goes on at the right place if
    /// elements were deleted meanwhile.
    unsafe fn RtlEnumerateGenericTableLikeADirectory(
        at: *mut Table,
        matches: Match,
        data: PVOID,
        next_flag: ULONG,
        restart: *mut *mut Links,
        deletes: *mut ULONG,
        sought: PVOID,
    ) -> PVOID {
        // SAFETY: the caller passes a table.
        let Some(table) = (unsafe { table(CALL, at) }) else {
            return null_mut();
        };
        // SAFETY: the caller passes null, or what the last call left there.
        let last = unsafe { restart.read() };
        // SAFETY: as above.
        let seen = unsafe { deletes.read() };
        let now = table.with(|table| table.deletes);
        // SAFETY: an element of the table, as nothing was deleted since it was given.
        let kept = unsafe { Node::new(last) }.filter(|_| seen == now);
        let tree = table.tree();
        let behind = |node| tree.neighbour(node, Side::Right);
        let place = kept.map_or_else(|| table.find(sought), Place::Found);
        let mut node = match place {
            Place::Empty => None,
            Place::Found(node) if next_flag != 0 => behind(node),
            Place::Found(node) | Place::Under(node, Side::Left) => Some(node),
            Place::Under(node, Side::Right) => behind(node),
        };
        while let (Some(candidate), Some(matches)) = (node, matches) {
            // SAFETY: the driver's routine, with an element of the table.
            match unsafe { matches(at, element(candidate), data) } {
                STATUS_SUCCESS => break,
                STATUS_NO_MATCH => node = behind(candidate),
                _ => node = None,
            }
        }
        // SAFETY: as above.
        unsafe { write(restart, node.map_or(null_mut(), Node::pointer)) };
        // SAFETY: as above.
        unsafe { write(deletes, now) };
        give(node)
    }

    /// The element with a number, in the order of the table.
    unsafe fn RtlGetElementGenericTableAvl(at: *mut Table, index: ULONG) -> PVOID {
        // SAFETY: the caller passes a table.
        let table = unsafe { table(CALL, at) };
        give(table.and_then(|table| table.nth(index)))
    }

    /// Whether a table is empty.
    unsafe fn RtlIsGenericTableEmptyAvl(at: *mut Table) -> BOOLEAN {
        // SAFETY: the caller passes a table.
        let table = unsafe { table(CALL, at) };
        BOOLEAN::from(table.is_none_or(|table| table.with(|table| table.elements == 0)))
    }

    /// How many elements a table has.
    unsafe fn RtlNumberGenericTableElementsAvl(at: *mut Table) -> ULONG {
        // SAFETY: the caller passes a table.
        let table = unsafe { table(CALL, at) };
        table.map_or(0, |table| table.with(|table| table.elements))
    }
}
