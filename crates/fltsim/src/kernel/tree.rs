//! Binary trees whose nodes are in a driver's memory, linked as drivers expect it.

use std::ptr::NonNull;

/// `RTL_SPLAY_LINKS`, and the beginning of `RTL_BALANCED_LINKS`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Links {
    parent: *mut Links,
    children: [*mut Links; 2],
}

const _: () = assert!(size_of::<Links>() == 24);

/// One of the two children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

impl Side {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// A node of a tree.
///
/// # Invariants
/// It points to the links of a node, which stay as long as this value is used, and all links of the
/// node are null or point to other nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node(NonNull<Links>);

impl Node {
    /// # Safety
    /// `links` is null or a node of a tree, which stays as long as the result is used.
    pub(crate) unsafe fn new(links: *mut Links) -> Option<Self> {
        NonNull::new(links).map(Self)
    }

    pub(crate) fn pointer(self) -> *mut Links {
        self.0.as_ptr()
    }

    fn links(self) -> Links {
        // SAFETY: by the invariant.
        unsafe { self.0.read() }
    }

    fn write(self, links: Links) {
        // SAFETY: by the invariant.
        unsafe { self.0.write(links) };
    }

    /// Makes it a node without children.
    pub(crate) fn plant(self, parent: Option<Self>) {
        self.write(Links {
            parent: parent.unwrap_or(self).pointer(),
            children: [std::ptr::null_mut(); 2],
        });
    }

    /// The parent; the root of a tree is its own one, or has the head of its table for one.
    pub(crate) fn parent(self) -> Self {
        NonNull::new(self.links().parent).map_or(self, Self)
    }

    pub(crate) fn set_parent(self, parent: Self) {
        self.write(Links {
            parent: parent.pointer(),
            ..self.links()
        });
    }

    pub(crate) fn child(self, side: Side) -> Option<Self> {
        NonNull::new(self.links().children[side as usize]).map(Self)
    }

    /// Hangs a child, or none, under this node.
    pub(crate) fn hang(self, side: Side, child: Option<Self>) {
        let mut links = self.links();
        links.children[side as usize] = child.map_or(std::ptr::null_mut(), Self::pointer);
        self.write(links);
        if let Some(child) = child {
            child.set_parent(self);
        }
    }

    /// Which child of its parent this is; none if it is not one.
    pub(crate) fn side(self) -> Option<Side> {
        let parent = self.parent();
        let is = |side: &Side| parent.child(*side) == Some(self);
        [Side::Left, Side::Right].into_iter().find(is)
    }

    /// The last node of the tree under this one in a direction.
    pub(crate) fn extreme(self, side: Side) -> Self {
        let mut node = self;
        while let Some(child) = node.child(side) {
            node = child;
        }
        node
    }

    /// The next node in the order of a tree, in a direction, in the tree under this one.
    pub(crate) fn below(self, side: Side) -> Option<Self> {
        Some(self.child(side)?.extreme(side.other()))
    }

    /// The next node in the order of a tree, in a direction.
    pub(crate) fn neighbour(self, side: Side) -> Option<Self> {
        self.below(side).or_else(|| {
            let mut node = self;
            while node.side() == Some(side) {
                node = node.parent();
            }
            (node.side() == Some(side.other())).then(|| node.parent())
        })
    }

    /// Puts another node, or none, where this one hangs. What becomes a root is its own parent.
    pub(crate) fn replace(self, by: Option<Self>) {
        match (self.side(), by) {
            (Some(side), by) => self.parent().hang(side, by),
            (None, Some(by)) => by.set_parent(by),
            (None, None) => {}
        }
    }

    /// Turns this node down to a side, so that its other child comes to stand above it.
    pub(crate) fn rotate(self, side: Side) {
        let Some(up) = self.child(side.other()) else {
            return;
        };
        let inner = up.child(side);
        self.replace(Some(up));
        self.hang(side.other(), inner);
        up.hang(side, Some(self));
    }

    /// Gives another node all the links of this one.
    pub(crate) fn hand_over(self, to: Self) {
        self.replace(Some(to));
        to.hang(Side::Left, self.child(Side::Left));
        to.hang(Side::Right, self.child(Side::Right));
    }
}

/// Where something is in a tree, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Empty,
    Found(Node),
    Under(Node, Side),
}

impl Place {
    /// `TABLE_SEARCH_RESULT`.
    pub(crate) fn code(self) -> i32 {
        match self {
            Self::Empty => 0,
            Self::Found(_) => 1,
            Self::Under(_, Side::Left) => 2,
            Self::Under(_, Side::Right) => 3,
        }
    }

    /// What a driver got from a search.
    ///
    /// # Safety
    /// `node` is null or a node of a tree.
    pub(crate) unsafe fn from_code(code: i32, node: *mut Links) -> Option<Self> {
        // SAFETY: by this function's contract.
        let node = unsafe { Node::new(node) };
        match code {
            0 => Some(Self::Empty),
            1 => node.map(Self::Found),
            2 => node.map(|node| Self::Under(node, Side::Left)),
            3 => node.map(|node| Self::Under(node, Side::Right)),
            _ => None,
        }
    }

    /// The node that was found, or under which it would be.
    pub(crate) fn node(self) -> *mut Links {
        match self {
            Self::Empty => std::ptr::null_mut(),
            Self::Found(node) | Self::Under(node, _) => node.pointer(),
        }
    }

    pub(crate) fn found(self) -> Option<Node> {
        match self {
            Self::Found(node) => Some(node),
            _ => None,
        }
    }
}

/// `GenericLessThan` and `GenericGreaterThan`; everything else is `GenericEqual`.
pub(crate) const LESS: i32 = 0;
pub(crate) const GREATER: i32 = 1;

/// Looks for a place in a tree; `compare` says how what is sought compares to a node.
pub(crate) fn search(root: Option<Node>, mut compare: impl FnMut(Node) -> i32) -> Place {
    let Some(mut node) = root else {
        return Place::Empty;
    };
    loop {
        let side = match compare(node) {
            LESS => Side::Left,
            GREATER => Side::Right,
            _ => return Place::Found(node),
        };
        match node.child(side) {
            Some(child) => node = child,
            None => return Place::Under(node, side),
        }
    }
}

/// Nodes for tests of trees.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A node with a key behind its links.
    #[repr(C)]
    pub(crate) struct Item {
        pub(crate) links: [usize; 4],
        pub(crate) key: u16,
    }

    pub(crate) fn item(key: u16) -> Node {
        let item = Box::into_raw(Box::new(Item { links: [0; 4], key }));
        // SAFETY: a node of its own, freed by `free` only.
        unsafe { Node::new(item.cast()) }.unwrap()
    }

    pub(crate) fn key(node: Node) -> u16 {
        // SAFETY: every node of these tests is an item.
        unsafe { (*node.pointer().cast::<Item>()).key }
    }

    pub(crate) fn free(node: Node) {
        // SAFETY: made by `item`, and taken out of its tree.
        drop(unsafe { Box::from_raw(node.pointer().cast::<Item>()) });
    }

    /// Where a key is, or would be.
    pub(crate) fn locate(root: Option<Node>, wanted: u16) -> Place {
        search(root, |node| match wanted.cmp(&key(node)) {
            std::cmp::Ordering::Less => LESS,
            std::cmp::Ordering::Greater => GREATER,
            std::cmp::Ordering::Equal => 2,
        })
    }
}
