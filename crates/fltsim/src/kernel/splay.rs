//! Splay trees: what was used last is the root.

use super::tree::{Node, Side};

/// Makes a node the root of its tree, and gives it back.
pub(crate) fn splay(node: Node) -> Node {
    while let Some(side) = node.side() {
        let parent = node.parent();
        match parent.side() {
            None => parent.rotate(side.other()),
            Some(above) => {
                let grandparent = parent.parent();
                if above == side {
                    grandparent.rotate(side.other());
                    parent.rotate(side.other());
                } else {
                    parent.rotate(side.other());
                    grandparent.rotate(above.other());
                }
            }
        }
    }
    node
}

/// Takes a node out of its tree; gives the node, if any is left, from which to splay.
pub(crate) fn unlink(node: Node) -> Option<Node> {
    if node.child(Side::Right).is_some()
        && let Some(before) = node.below(Side::Left)
    {
        let above = before.parent();
        before.replace(before.child(Side::Left));
        node.hand_over(before);
        return Some(if above == node { before } else { above });
    }
    let child = node.child(Side::Left).or(node.child(Side::Right));
    let above = node.side().map(|_| node.parent());
    node.replace(child);
    above.or(child)
}

#[cfg(test)]
mod tests {
    use super::super::tree::Place;
    use super::super::tree::testing::{free, item, key, locate};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn keys(root: Option<Node>) -> Vec<u16> {
        let first = root.map(|root| root.extreme(Side::Left));
        std::iter::successors(first, |node| node.neighbour(Side::Right))
            .map(key)
            .collect()
    }

    fn keys_back(root: Option<Node>) -> Vec<u16> {
        let last = root.map(|root| root.extreme(Side::Right));
        std::iter::successors(last, |node| node.neighbour(Side::Left))
            .map(key)
            .collect()
    }

    proptest! {
        #[test]
        fn it_is_a_set(steps in prop::collection::vec((any::<bool>(), 0_u16..40), 1..120)) {
            let mut root: Option<Node> = None;
            let mut model = BTreeSet::new();
            for (add, wanted) in steps {
                match (locate(root, wanted), add) {
                    (Place::Found(node), false) => {
                        root = unlink(node).map(splay);
                        free(node);
                        prop_assert!(model.remove(&wanted));
                    }
                    (Place::Found(node), true) => root = Some(splay(node)),
                    (Place::Under(parent, side), true) => {
                        let node = item(wanted);
                        node.plant(None);
                        parent.hang(side, Some(node));
                        root = Some(splay(node));
                        prop_assert!(model.insert(wanted));
                    }
                    (Place::Empty, true) => {
                        let node = item(wanted);
                        node.plant(None);
                        root = Some(node);
                        prop_assert!(model.insert(wanted));
                    }
                    _ => prop_assert!(!model.contains(&wanted)),
                }
                prop_assert_eq!(root.is_some(), !model.is_empty());
                if let Some(root) = root {
                    prop_assert!(root.parent() == root && root.side().is_none());
                    prop_assert!(!add || key(root) == wanted);
                }
                prop_assert_eq!(keys(root), model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(keys_back(root), model.iter().rev().copied().collect::<Vec<_>>());
            }
            while let Some(node) = root {
                root = unlink(node);
                root = root.map(splay);
                free(node);
            }
        }
    }
}
