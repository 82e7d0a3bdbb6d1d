//! Generic tables that are splay trees, and the trees themselves.

use super::{misuse, routines, write};
use crate::kernel::splay::{splay, unlink};
use crate::kernel::tree::{GREATER, Links, Node, Place, Side, search};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;

type Compare = Option<unsafe extern "win64" fn(*mut Table, PVOID, PVOID) -> i32>;
type Allocate = Option<unsafe extern "win64" fn(*mut Table, ULONG) -> PVOID>;
type Free = Option<unsafe extern "win64" fn(*mut Table, PVOID)>;

/// `RTL_GENERIC_TABLE`.
#[repr(C)]
pub(crate) struct Table {
    root: *mut Links,
    /// The elements in the order in which they were added.
    order: LIST_ENTRY,
    ordered_pointer: *mut LIST_ENTRY,
    which_ordered: ULONG,
    elements: ULONG,
    compare: Compare,
    allocate: Allocate,
    free: Free,
    context: PVOID,
}

const _: () = assert!(size_of::<Table>() == 72);
const _: () = assert!(HEADER == HEADER_BYTES as usize);

/// What lies before an element: the links of the tree, and those of the list.
const HEADER: usize = size_of::<Links>() + size_of::<LIST_ENTRY>();
const HEADER_BYTES: ULONG = 40;

fn element(node: Node) -> PVOID {
    node.pointer().wrapping_byte_add(HEADER).cast()
}

fn give(node: Option<Node>) -> PVOID {
    node.map_or(null_mut(), element)
}

fn entry(node: Node) -> *mut LIST_ENTRY {
    node.pointer().wrapping_add(1).cast()
}

/// # Safety
/// `at` is an entry of a list.
unsafe fn following(at: *mut LIST_ENTRY) -> *mut LIST_ENTRY {
    // SAFETY: by this function's contract.
    unsafe { (*at).Flink }
}

/// # Safety
/// `at` is an entry of a list.
unsafe fn preceding(at: *mut LIST_ENTRY) -> *mut LIST_ENTRY {
    // SAFETY: by this function's contract.
    unsafe { (*at).Blink }
}

/// Makes two entries neighbours.
///
/// # Safety
/// Both are entries of a list.
unsafe fn join(one: *mut LIST_ENTRY, two: *mut LIST_ENTRY) {
    // SAFETY: by this function's contract.
    unsafe { (*one).Flink = two };
    // SAFETY: as above.
    unsafe { (*two).Blink = one };
}

/// A table of a driver.
///
/// # Invariants
/// It points to an initialised table, whose routines may be called, as long as this value is used.
#[derive(Clone, Copy)]
struct Splay(*mut Table);

impl Splay {
    fn with<R>(self, run: impl FnOnce(&mut Table) -> R) -> R {
        // SAFETY: by the invariant; `run` calls nothing of the driver.
        run(unsafe { &mut *self.0 })
    }

    fn order(self) -> *mut LIST_ENTRY {
        // SAFETY: a place inside the table, by the invariant.
        unsafe { &raw mut (*self.0).order }
    }

    fn root(self) -> Option<Node> {
        // SAFETY: the root of the table, all nodes of which were made by `insert`.
        unsafe { Node::new(self.with(|table| table.root)) }
    }

    fn set_root(self, root: Option<Node>) {
        self.with(|table| table.root = root.map_or(null_mut(), Node::pointer));
    }

    fn find(self, sought: PVOID) -> Place {
        let compare = self.with(|table| table.compare);
        search(self.root(), |node| {
            // SAFETY: the driver's routine, with what the driver seeks and an element of the table.
            compare.map_or(GREATER, |compare| unsafe {
                compare(self.0, sought, element(node))
            })
        })
    }

    /// Makes what was found the root.
    fn touch(self, place: Place) -> Option<Node> {
        let node = splay(place.found()?);
        self.set_root(Some(node));
        Some(node)
    }

    /// Adds a copy of an element, unless there is one. Gives the element, and whether it is new.
    ///
    /// # Safety
    /// `source` has so many readable bytes.
    unsafe fn insert(self, source: PVOID, size: ULONG, place: Place) -> (Option<Node>, bool) {
        if let Some(node) = self.touch(place) {
            return (Some(node), false);
        }
        let bytes = size.checked_add(HEADER_BYTES);
        let allocate = self.with(|table| table.allocate);
        let Some((allocate, bytes)) = allocate.zip(bytes) else {
            return (None, false);
        };
        // SAFETY: the driver's routine.
        let memory = unsafe { allocate(self.0, bytes) };
        // SAFETY: fresh memory with room for the links and the element, or null.
        let Some(node) = (unsafe { Node::new(memory.cast()) }) else {
            return (None, false);
        };
        node.plant(None);
        if let Place::Under(parent, side) = place {
            parent.hang(side, Some(node));
        }
        // SAFETY: the list of the table.
        let last = unsafe { preceding(self.order()) };
        // SAFETY: the last entry of the list, and the new one.
        unsafe { join(last, entry(node)) };
        // SAFETY: the new entry, and the head.
        unsafe { join(entry(node), self.order()) };
        self.with(|table| table.elements += 1);
        let target = element(node).cast::<u8>();
        // SAFETY: by this function's contract, and the routine has allocated so much.
        unsafe { std::ptr::copy_nonoverlapping(source.cast::<u8>(), target, size as usize) };
        self.touch(Place::Found(node));
        (Some(node), true)
    }

    fn remove(self, node: Node) {
        self.set_root(unlink(node).map(splay));
        // SAFETY: an entry of the list of the table.
        let before = unsafe { preceding(entry(node)) };
        // SAFETY: as above.
        let after = unsafe { following(entry(node)) };
        // SAFETY: as above.
        unsafe { join(before, after) };
        let head = self.order();
        let free = self.with(|table| {
            table.elements = table.elements.wrapping_sub(1);
            table.which_ordered = 0;
            table.ordered_pointer = head;
            table.free
        });
        if let Some(free) = free {
            // SAFETY: the driver's routine, with memory of its allocation routine.
            unsafe { free(self.0, node.pointer().cast()) };
        }
    }

    fn next(self, after: Option<Node>) -> Option<Node> {
        match after {
            Some(node) => node.neighbour(Side::Right),
            None => self.root().map(|root| root.extreme(Side::Left)),
        }
    }

    /// The element that was added as the so manieth, counted from the one that was asked for last,
    /// or from the nearer end.
    fn nth(self, index: ULONG) -> Option<PVOID> {
        let (count, which, pointer) =
            self.with(|table| (table.elements, table.which_ordered, table.ordered_pointer));
        if index >= count {
            return None;
        }
        let wanted = index + 1;
        // The head of the list is both number 0 and the one behind the last.
        let starts = [
            (0, self.order()),
            (count + 1, self.order()),
            (which, pointer),
        ];
        let nearest = starts.into_iter().min_by_key(|(at, _)| at.abs_diff(wanted));
        let (mut at, mut place) = nearest?;
        while at != wanted {
            if at < wanted {
                // SAFETY: an entry of the list of the table, or its head.
                place = unsafe { following(place) };
                at += 1;
            } else {
                // SAFETY: as above.
                place = unsafe { preceding(place) };
                at -= 1;
            }
        }
        self.with(|table| {
            table.ordered_pointer = place;
            table.which_ordered = wanted;
        });
        Some(place.wrapping_add(1).cast())
    }
}

/// # Safety
/// `table` is null or a table of a driver.
unsafe fn table(call: &'static str, table: *mut Table) -> Option<Splay> {
    if table.is_null() {
        misuse(Rule::V0, call, "the table is null".to_owned());
        return None;
    }
    Some(Splay(table))
}

/// What a function of the tree gives.
///
/// # Safety
/// `links` is null or a node of a tree.
unsafe fn of_tree(links: *mut Links, find: impl FnOnce(Node) -> Option<Node>) -> *mut Links {
    // SAFETY: by this function's contract.
    let node = unsafe { Node::new(links) };
    node.and_then(find).map_or(null_mut(), Node::pointer)
}

routines! {
    /// An empty table.
    unsafe fn RtlInitializeGenericTable(
        at: *mut Table,
        compare: Compare,
        allocate: Allocate,
        free: Free,
        context: PVOID,
    ) {
        if at.is_null() {
            return;
        }
        let order = Splay(at).order();
        let empty = Table {
            root: null_mut(),
            order: LIST_ENTRY { Flink: order, Blink: order },
            ordered_pointer: order,
            which_ordered: 0,
            elements: 0,
            compare,
            allocate,
            free,
            context,
        };
        // SAFETY: the caller passes memory for a table.
        unsafe { write(at, empty) };
    }

    /// Adds a copy of an element, or gives the one that is already there.
    unsafe fn RtlInsertElementGenericTable(
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

    /// As `RtlInsertElementGenericTable`, where a lookup has found the place.
    unsafe fn RtlInsertElementGenericTableFull(
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
    unsafe fn RtlDeleteElementGenericTable(at: *mut Table, sought: PVOID) -> BOOLEAN {
        // SAFETY: the caller passes a table.
        let table = unsafe { table(CALL, at) };
        let found = table.and_then(|table| Some((table, table.find(sought).found()?)));
        if let Some((table, node)) = found {
            table.remove(node);
        }
        BOOLEAN::from(found.is_some())
    }

    /// Finds an element.
    unsafe fn RtlLookupElementGenericTable(at: *mut Table, sought: PVOID) -> PVOID {
        // SAFETY: the caller passes a table.
        let table = unsafe { table(CALL, at) };
        give(table.and_then(|table| table.touch(table.find(sought))))
    }

    /// Finds an element, or the place where it would be.
    unsafe fn RtlLookupElementGenericTableFull(
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
        give(table.and_then(|table| table.touch(place)))
    }

    /// The next element of an enumeration, which is where the tree was used last.
    unsafe fn RtlEnumerateGenericTable(at: *mut Table, restart: BOOLEAN) -> PVOID {
        // SAFETY: the caller passes a table.
        let Some(table) = (unsafe { table(CALL, at) }) else {
            return null_mut();
        };
        let next = match table.root() {
            Some(root) if restart == 0 => table.next(Some(root)),
            _ => table.next(None),
        };
        give(next.and_then(|next| table.touch(Place::Found(next))))
    }

    /// The next element of an enumeration that the caller keeps.
    unsafe fn RtlEnumerateGenericTableWithoutSplaying(
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

    /// The element with a number, in the order in which they were added.
    unsafe fn RtlGetElementGenericTable(at: *mut Table, index: ULONG) -> PVOID {
        // SAFETY: the caller passes a table.
        let table = unsafe { table(CALL, at) };
        table.and_then(|table| table.nth(index)).unwrap_or(null_mut())
    }

    /// Whether a table is empty.
    unsafe fn RtlIsGenericTableEmpty(at: *mut Table) -> BOOLEAN {
        // SAFETY: the caller passes a table.
        let table = unsafe { table(CALL, at) };
        BOOLEAN::from(table.is_none_or(|table| table.root().is_none()))
    }

    /// How many elements a table has.
    unsafe fn RtlNumberGenericTableElements(at: *mut Table) -> ULONG {
        // SAFETY: the caller passes a table.
        let table = unsafe { table(CALL, at) };
        table.map_or(0, |table| table.with(|table| table.elements))
    }

    /// Makes a node the root of its tree.
    unsafe fn RtlSplay(links: *mut Links) -> *mut Links {
        // SAFETY: the caller passes a node of a tree.
        unsafe { of_tree(links, |node| Some(splay(node))) }
    }

    /// Takes a node out of its tree, and gives the new root.
    unsafe fn RtlDelete(links: *mut Links) -> *mut Links {
        // SAFETY: the caller passes a node of a tree.
        unsafe { of_tree(links, |node| unlink(node).map(splay)) }
    }

    /// Takes a node out of its tree, and leaves the rest of it where it is.
    unsafe fn RtlDeleteNoSplay(links: *mut Links, root: *mut *mut Links) {
        // SAFETY: the caller passes a node of a tree.
        let Some(node) = (unsafe { Node::new(links) }) else {
            return;
        };
        let mut rest = unlink(node);
        while let Some(above) = rest.filter(|rest| rest.side().is_some()) {
            rest = Some(above.parent());
        }
        // SAFETY: the caller passes the place of the root.
        unsafe { write(root, rest.map_or(null_mut(), Node::pointer)) };
    }

    /// The next node of a tree.
    unsafe fn RtlRealSuccessor(links: *mut Links) -> *mut Links {
        // SAFETY: the caller passes a node of a tree.
        unsafe { of_tree(links, |node| node.neighbour(Side::Right)) }
    }

    /// The node of a tree before this one.
    unsafe fn RtlRealPredecessor(links: *mut Links) -> *mut Links {
        // SAFETY: the caller passes a node of a tree.
        unsafe { of_tree(links, |node| node.neighbour(Side::Left)) }
    }

    /// The next node of the tree under this one.
    unsafe fn RtlSubtreeSuccessor(links: *mut Links) -> *mut Links {
        // SAFETY: the caller passes a node of a tree.
        unsafe { of_tree(links, |node| node.below(Side::Right)) }
    }

    /// The last node before this one of the tree under it.
    unsafe fn RtlSubtreePredecessor(links: *mut Links) -> *mut Links {
        // SAFETY: the caller passes a node of a tree.
        unsafe { of_tree(links, |node| node.below(Side::Left)) }
    }
}
