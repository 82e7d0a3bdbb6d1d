//! Sets of numbers, kept as ranges.

use core::ops::Range;

use alloc::vec::Vec;

/// How many ranges a set has at most.
pub const MOST: usize = 256;

/// There is no memory for the first range of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// A set of numbers that is only added to. Once it has [`MOST`] ranges, or there is no memory for
/// one more, the nearest range grows to take in what is added, with everything in between.
///
/// Adding never panics, and takes time in proportion to [`MOST`] at the worst, so that it can be
/// done under a spin lock.
///
/// # Invariants
///
/// No range is empty, and each begins behind the end of the one before it.
#[derive(Debug, Default)]
pub struct Ranges(Vec<Range<u64>>);

impl Ranges {
    /// The empty set, which needs no memory.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().cloned()
    }

    /// Adds the numbers of a range.
    ///
    /// # Errors
    ///
    /// The set was empty and there is no memory: it still is.
    pub fn add(&mut self, range: Range<u64>) -> Result<(), OutOfMemory> {
        if range.is_empty() {
            return Ok(());
        }
        // Those that it overlaps or touches.
        let from = self.0.partition_point(|one| one.end < range.start);
        let to = self.0.partition_point(|one| one.start <= range.end);
        match self.0.get_mut(from..to) {
            Some([one]) => *one = hull(one, &range),
            Some([first, .., last]) => {
                *first = hull(&hull(first, last), &range);
                self.remove(from + 1..to);
            }
            _ => return self.insert(from, range),
        }
        Ok(())
    }

    /// Puts a range that touches no other at its place.
    fn insert(&mut self, place: usize, range: Range<u64>) -> Result<(), OutOfMemory> {
        if self.0.len() >= MOST || self.0.try_reserve(1).is_err() {
            return self.grow_nearest(place, &range);
        }
        // Always false. With it the compiler sees that the push has no need for memory, which it
        // could only panic for.
        if self.0.len() == self.0.capacity() {
            return Err(OutOfMemory);
        }
        self.0.push(range);
        // The pattern shows the compiler that there is something to rotate.
        if let Some(behind @ [_, ..]) = self.0.get_mut(place..) {
            behind.rotate_right(1);
        }
        Ok(())
    }

    /// Lets the range before or behind a place grow to hold a range there.
    fn grow_nearest(&mut self, place: usize, range: &Range<u64>) -> Result<(), OutOfMemory> {
        let (before, behind) = self.0.split_at_mut_checked(place).ok_or(OutOfMemory)?;
        let nearest = match (before.last_mut(), behind.first_mut()) {
            (Some(left), Some(right)) => {
                if range.start - left.end <= right.start - range.end {
                    left
                } else {
                    right
                }
            }
            (left, right) => left.or(right).ok_or(OutOfMemory)?,
        };
        *nearest = hull(nearest, range);
        Ok(())
    }

    /// Takes the ranges at these places away. `Vec::drain` would do, if it had no panics.
    fn remove(&mut self, places: Range<usize>) {
        let mut place = 0;
        self.0.retain(|_| {
            let stays = !places.contains(&place);
            place += 1;
            stays
        });
    }
}

/// The smallest range that holds both.
fn hull(one: &Range<u64>, other: &Range<u64>) -> Range<u64> {
    one.start.min(other.start)..one.end.max(other.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn ranges(set: &Ranges) -> Vec<Range<u64>> {
        set.iter().collect()
    }

    #[test]
    fn ranges_that_touch_become_one() {
        for (added, expected) in [
            (&[2..4, 4..6][..], &[(2, 6)][..]),
            (&[4..6, 2..4], &[(2, 6)]),
            (&[0..1, 2..3, 4..5, 1..4], &[(0, 5)]),
            (&[0..1, 2..3], &[(0, 1), (2, 3)]),
            (&[5..5, 0..u64::MAX, 7..9], &[(0, u64::MAX)]),
        ] {
            let mut set = Ranges::new();
            for range in added {
                assert_eq!(set.add(range.clone()), Ok(()));
            }
            let pairs: Vec<_> = set.iter().map(|range| (range.start, range.end)).collect();
            assert_eq!(pairs, expected, "{added:?}");
        }
    }

    #[test]
    fn a_full_set_grows_where_the_least_is_added() {
        let mut set = Ranges::new();
        for number in 0..MOST as u64 {
            set.add(number * 10..number * 10 + 1).unwrap();
        }
        assert_eq!(set.iter().count(), MOST);
        // Nearer to the left, nearer to the right, behind the last.
        for added in [14..15, 27..28, 2600..2601] {
            set.add(added).unwrap();
        }
        let list = ranges(&set);
        assert_eq!(list.len(), MOST);
        assert_eq!(list[..4], [0..1, 10..15, 20..21, 27..31]);
        assert_eq!(list[MOST - 1], 2550..2601);
    }

    proptest! {
        /// As long as there is room, the set is exact.
        #[test]
        fn a_set_is_the_union(added in prop::collection::vec((0u64..500, 0u64..20), 0..100)) {
            let mut set = Ranges::new();
            let mut model = BTreeSet::new();
            for (start, length) in added {
                set.add(start..start + length).unwrap();
                model.extend(start..start + length);
            }
            let list = ranges(&set);
            prop_assert!(list.iter().all(|range| !range.is_empty()));
            prop_assert!(list.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert!(list.into_iter().flatten().eq(model));
        }

        /// Without room it holds at least the union, and still keeps its invariants.
        #[test]
        fn nothing_is_lost(added in prop::collection::vec((0u64..5000, 1u64..4), 300..900)) {
            let mut set = Ranges::new();
            for (start, length) in &added {
                set.add(*start..start + length).unwrap();
            }
            let list = ranges(&set);
            prop_assert!(list.len() <= MOST);
            prop_assert!(list.windows(2).all(|pair| pair[0].end < pair[1].start));
            for (start, length) in added {
                let held = |range: &Range<u64>| range.start <= start && start + length <= range.end;
                prop_assert!(list.iter().any(held), "{start}, {length}");
            }
        }
    }
}
