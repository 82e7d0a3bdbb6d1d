//! AVL trees: the two sides of a node never differ in height by more than one.

use super::tree::{Links, Node, Side};

/// `RTL_BALANCED_LINKS`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct BalancedLinks {
    links: Links,
    /// The height of the right side less that of the left one.
    balance: i8,
    reserved: [u8; 3],
}

const _: () = assert!(size_of::<BalancedLinks>() == 32);

const fn weight(side: Side) -> i8 {
    match side {
        Side::Left => -1,
        Side::Right => 1,
    }
}

/// A tree under its head, whose right child is the root.
///
/// # Invariants
/// All nodes of the tree, and the head, are followed by their balance.
#[derive(Clone, Copy)]
pub(crate) struct Tree {
    head: Node,
}

impl Tree {
    /// # Safety
    /// `head` is the head of a tree, all of whose nodes are balanced links.
    pub(crate) unsafe fn under(head: Node) -> Self {
        Self { head }
    }

    pub(crate) fn root(self) -> Option<Node> {
        self.head.child(Side::Right)
    }

    /// The next node in a direction.
    pub(crate) fn neighbour(self, node: Node, side: Side) -> Option<Node> {
        node.neighbour(side).filter(|next| *next != self.head)
    }

    fn balance(node: Node) -> i8 {
        let node = node.pointer().cast::<BalancedLinks>();
        // SAFETY: by the invariant of the tree that the node is from.
        unsafe { (*node).balance }
    }

    fn set_balance(node: Node, balance: i8) {
        let node = node.pointer().cast::<BalancedLinks>();
        // SAFETY: by the invariant of the tree that the node is from.
        unsafe { (*node).balance = balance };
    }

    /// Puts a new node into the tree. Gives how much higher the tree is now.
    pub(crate) fn insert(self, node: Node, under: Option<(Node, Side)>) -> i32 {
        let (parent, side) = under.unwrap_or((self.head, Side::Right));
        node.plant(Some(parent));
        Self::set_balance(node, 0);
        parent.hang(side, Some(node));
        let (mut parent, mut side) = (parent, side);
        while parent != self.head {
            match Self::balance(parent) {
                0 => Self::set_balance(parent, weight(side)),
                balance if balance == weight(side) => {
                    Self::level(parent, side);
                    return 0;
                }
                _ => {
                    Self::set_balance(parent, 0);
                    return 0;
                }
            }
            side = parent.side().unwrap_or(Side::Right);
            parent = parent.parent();
        }
        1
    }

    /// Takes a node out of the tree. Gives how much lower the tree is now.
    pub(crate) fn remove(self, node: Node) -> i32 {
        // A node between two children is not taken out itself, but its neighbour on the side that
        // is higher, which then takes its place.
        let heavy = if Self::balance(node) > 0 {
            Side::Right
        } else {
            Side::Left
        };
        let both = node.child(heavy.other()).is_some();
        let out = node.below(heavy).filter(|_| both).unwrap_or(node);
        let child = out.child(Side::Left).or(out.child(Side::Right));
        let (parent, side) = (out.parent(), out.side().unwrap_or(Side::Right));
        out.replace(child);
        let lower = self.shrunk(parent, side);
        if out != node {
            Self::set_balance(out, Self::balance(node));
            node.hand_over(out);
        }
        lower
    }

    /// Balances the tree after one side of a node has become lower.
    fn shrunk(self, parent: Node, side: Side) -> i32 {
        let (mut parent, mut side) = (parent, side);
        while parent != self.head {
            let next = (parent.parent(), parent.side().unwrap_or(Side::Right));
            match Self::balance(parent) {
                0 => {
                    Self::set_balance(parent, weight(side.other()));
                    return 0;
                }
                balance if balance == weight(side) => Self::set_balance(parent, 0),
                _ => {
                    if !Self::level(parent, side.other()) {
                        return 0;
                    }
                }
            }
            (parent, side) = next;
        }
        1
    }

    /// Rotates a node one side of which is higher by two. Gives whether this part of the tree is
    /// lower now.
    fn level(node: Node, heavy: Side) -> bool {
        let weight = weight(heavy);
        let Some(child) = node.child(heavy) else {
            return false;
        };
        if Self::balance(child) == -weight
            && let Some(inner) = child.child(heavy.other())
        {
            child.rotate(heavy);
            node.rotate(heavy.other());
            let balance = Self::balance(inner);
            Self::set_balance(node, if balance == weight { -weight } else { 0 });
            Self::set_balance(child, if balance == -weight { weight } else { 0 });
            Self::set_balance(inner, 0);
            return true;
        }
        node.rotate(heavy.other());
        let level = Self::balance(child) == 0;
        Self::set_balance(node, if level { weight } else { 0 });
        Self::set_balance(child, if level { -weight } else { 0 });
        !level
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Place;
    use super::super::tree::testing::{free, item, key, locate};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// The height of a part of the tree, all of which is in balance.
    fn height(node: Option<Node>) -> i32 {
        let Some(node) = node else {
            return 0;
        };
        let children = [Side::Left, Side::Right].map(|side| node.child(side));
        assert!(
            children
                .iter()
                .flatten()
                .all(|child| child.parent() == node)
        );
        let [left, right] = children.map(height);
        assert_eq!(i32::from(Tree::balance(node)), right - left);
        assert!((left - right).abs() <= 1);
        left.max(right) + 1
    }

    proptest! {
        #[test]
        fn it_is_a_balanced_set(steps in prop::collection::vec((0_u8..3, 0_u16..80), 1..250)) {
            let head = item(0);
            head.plant(None);
            // SAFETY: the head and all nodes are items, which have room for a balance.
            let tree = unsafe { Tree::under(head) };
            let mut depth = 0;
            let mut model = BTreeSet::new();
            for (what, wanted) in steps {
                match (locate(tree.root(), wanted), what > 0) {
                    (Place::Found(node), false) => {
                        depth -= tree.remove(node);
                        free(node);
                        prop_assert!(model.remove(&wanted));
                    }
                    (Place::Under(parent, side), true) => {
                        depth += tree.insert(item(wanted), Some((parent, side)));
                        prop_assert!(model.insert(wanted));
                    }
                    (Place::Empty, true) => {
                        depth += tree.insert(item(wanted), None);
                        prop_assert!(model.insert(wanted));
                    }
                    (place, _) => {
                        prop_assert_eq!(place.found().is_some(), model.contains(&wanted));
                    }
                }
                prop_assert_eq!(height(tree.root()), depth);
                let first = tree.root().map(|root| root.extreme(Side::Left));
                let up = std::iter::successors(first, |node| tree.neighbour(*node, Side::Right));
                let up: Vec<_> = up.map(key).collect();
                prop_assert_eq!(&up, &model.iter().copied().collect::<Vec<_>>());
                let last = tree.root().map(|root| root.extreme(Side::Right));
                let down = std::iter::successors(last, |node| tree.neighbour(*node, Side::Left));
                prop_assert!(down.map(key).eq(model.iter().rev().copied()));
            }
            while let Some(root) = tree.root() {
                tree.remove(root);
                free(root);
            }
            free(head);
        }
    }
}
