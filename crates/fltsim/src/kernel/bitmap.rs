//! Bit maps in a driver's memory: setting, testing and looking for runs of bits.

use fltmgr_sys::ULONG;

/// `RTL_BITMAP`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct BitMap {
    pub(crate) size: ULONG,
    pub(crate) buffer: *mut ULONG,
}

const _: () = assert!(size_of::<BitMap>() == 16);

/// `RTL_BITMAP_RUN`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: ULONG,
    pub(crate) bits: ULONG,
}

impl Run {
    fn end(self) -> ULONG {
        self.start + self.bits
    }
}

/// The bits of a map.
///
/// # Invariants
/// `map.buffer` has readable and writable words for `map.size` bits as long as this value is used.
#[derive(Clone, Copy)]
pub(crate) struct Bits {
    map: BitMap,
}

impl Bits {
    /// # Safety
    /// `map` is an initialised bit map, and its buffer stays as long as the result is used.
    pub(crate) unsafe fn of(map: *const BitMap) -> Self {
        Self {
            // SAFETY: by this function's contract.
            map: unsafe { map.read_unaligned() },
        }
    }

    pub(crate) fn size(&self) -> u32 {
        self.map.size
    }

    fn words(&self) -> u32 {
        self.map.size.div_ceil(32)
    }

    /// One word of the buffer; zero behind the end.
    fn word(&self, index: u32) -> u32 {
        if index >= self.words() {
            return 0;
        }
        let place = self.map.buffer.wrapping_add(index as usize);
        // SAFETY: by the invariant, the index is below the number of words.
        unsafe { place.read_unaligned() }
    }

    fn set_word(&self, index: u32, value: u32) {
        if index < self.words() {
            let place = self.map.buffer.wrapping_add(index as usize);
            // SAFETY: by the invariant, the index is below the number of words.
            unsafe { place.write_unaligned(value) };
        }
    }

    /// The bits of one word that lie in a range of the map.
    fn mask(word: u32, start: u32, end: u64) -> u32 {
        let base = u64::from(word) * 32;
        let low = u64::from(start).saturating_sub(base).min(32);
        let high = end.saturating_sub(base).min(32);
        let below = |bits: u64| u32::try_from((1_u64 << bits) - 1).unwrap_or(u32::MAX);
        below(high) & !below(low)
    }

    /// Whether a range lies in the map.
    pub(crate) fn holds(&self, start: u32, count: u32) -> bool {
        u64::from(start) + u64::from(count) <= u64::from(self.map.size)
    }

    pub(crate) fn get(&self, index: u32) -> bool {
        self.word(index / 32) >> (index % 32) & 1 != 0
    }

    /// Gives a range, or as much of it as there is, one value.
    pub(crate) fn fill(&self, start: u32, count: u32, value: bool) {
        let end = (u64::from(start) + u64::from(count)).min(self.map.size.into());
        let mut word = start / 32;
        while u64::from(word) * 32 < end {
            let mask = Self::mask(word, start, end);
            let before = self.word(word);
            self.set_word(word, if value { before | mask } else { before & !mask });
            word += 1;
        }
    }

    /// Gives all words of the buffer one value, those bits of the last one too that are behind the
    /// end, as the kernel does.
    pub(crate) fn fill_all(&self, value: bool) {
        for word in 0..self.words() {
            self.set_word(word, if value { u32::MAX } else { 0 });
        }
    }

    /// How many bits of a range are set.
    pub(crate) fn count(&self, start: u32, count: u32) -> u32 {
        let end = (u64::from(start) + u64::from(count)).min(self.map.size.into());
        let mut found = 0;
        let mut word = start / 32;
        while u64::from(word) * 32 < end {
            found += (self.word(word) & Self::mask(word, start, end)).count_ones();
            word += 1;
        }
        found
    }

    /// Whether all bits of a range have a value; not of one that is empty or not in the map.
    pub(crate) fn are(&self, start: u32, count: u32, value: bool) -> bool {
        count > 0 && self.holds(start, count) && self.next(start, !value) >= start + count
    }

    /// The first bit with a value from an index on; the size if there is none.
    pub(crate) fn next(&self, from: u32, value: bool) -> u32 {
        let size = self.map.size;
        let mut word = from / 32;
        while word < self.words() {
            let bits = if value {
                self.word(word)
            } else {
                !self.word(word)
            };
            let bits = bits & Self::mask(word, from, size.into());
            if bits != 0 {
                return word * 32 + bits.trailing_zeros();
            }
            word += 1;
        }
        size
    }

    /// The last bit with a value below an index.
    fn last(&self, below: u32, value: bool) -> Option<u32> {
        let end = below.min(self.map.size);
        let mut word = end.div_ceil(32);
        while word > 0 {
            word -= 1;
            let bits = if value {
                self.word(word)
            } else {
                !self.word(word)
            };
            let bits = bits & Self::mask(word, 0, end.into());
            if bits != 0 {
                return Some(word * 32 + 31 - bits.leading_zeros());
            }
        }
        None
    }

    /// The next run of bits with a value that begins at an index or behind it.
    pub(crate) fn run(&self, from: u32, value: bool) -> Option<Run> {
        let start = self.next(from, value);
        let bits = self.next(start, !value).saturating_sub(start);
        (bits > 0).then_some(Run { start, bits })
    }

    /// The run of clear bits that ends last at an index or before it.
    pub(crate) fn run_back(&self, from: u32) -> Option<Run> {
        let last = self.last(from.saturating_add(1), false)?;
        let start = self.last(last, true).map_or(0, |set| set + 1);
        Some(Run {
            start,
            bits: last - start + 1,
        })
    }

    /// All runs of clear bits.
    pub(crate) fn clear_runs(self) -> impl Iterator<Item = Run> {
        let first = self.run(0, false);
        std::iter::successors(first, move |run| self.run(run.end(), false))
    }

    /// Finds so many bits in a row with a value: from the hint to the end first, then from the
    /// beginning. None are found at the hint, at the beginning of its byte.
    pub(crate) fn find(&self, count: u32, hint: u32, value: bool) -> Option<u32> {
        let hint = if hint < self.map.size { hint } else { 0 };
        if count == 0 {
            return Some(hint & !7);
        }
        let search = |from: u32| {
            let mut from = from;
            loop {
                let run = self.run(from, value)?;
                if run.bits >= count {
                    return Some(run.start);
                }
                from = run.end();
            }
        };
        search(hint).or_else(|| if hint > 0 { search(0) } else { None })
    }

    /// Copies bits between maps, as many as both have.
    pub(crate) fn copy(&self, from: u32, target: &Self, to: u32, count: u32) {
        let ours = self.map.size.saturating_sub(from);
        let theirs = target.map.size.saturating_sub(to);
        for index in 0..count.min(ours).min(theirs) {
            target.fill(to + index, 1, self.get(from + index));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bits over words of this test.
    fn bits(words: &mut [u32], size: u32) -> Bits {
        assert!(size.div_ceil(32) as usize <= words.len());
        Bits {
            map: BitMap {
                size,
                buffer: words.as_mut_ptr(),
            },
        }
    }

    /// Every answer from a plain vector.
    fn find(model: &[bool], count: usize, hint: usize, value: bool) -> Option<usize> {
        let fits = |at: &usize| model[*at..*at + count].iter().all(|bit| *bit == value);
        let ends = (model.len() + 1).saturating_sub(count);
        (hint..ends).find(fits).or_else(|| (0..ends).find(fits))
    }

    fn runs(model: &[bool]) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (index, bit) in (0_u32..).zip(model) {
            match runs.last_mut() {
                _ if *bit => {}
                Some(last) if last.end() == index => last.bits += 1,
                _ => runs.push(Run {
                    start: index,
                    bits: 1,
                }),
            }
        }
        runs
    }

    #[derive(Clone, Debug)]
    struct Step {
        start: u32,
        count: u32,
        value: bool,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = (0_u32..200, 0_u32..70, any::<bool>());
        let step = step.prop_map(|(start, count, value)| Step {
            start,
            count,
            value,
        });
        prop::collection::vec(step, 1..30)
    }

    proptest! {
        #[test]
        fn it_is_a_vector_of_bits(size in 1_u32..200, steps in steps()) {
            let mut words = [0xAAAA_AAAA_u32; 8];
            let bits = bits(&mut words, size);
            bits.fill(0, size, false);
            let mut model = vec![false; size as usize];
            for Step { start, count, value } in steps {
                let (start, end) = (start % size, (start % size + count).min(size));
                bits.fill(start, end - start, value);
                model[start as usize..end as usize].fill(value);
                prop_assert_eq!(&(0..size).map(|at| bits.get(at)).collect::<Vec<_>>(), &model);
                prop_assert_eq!(bits.clear_runs().collect::<Vec<_>>(), runs(&model));
                let ones = model.iter().filter(|bit| **bit).count();
                prop_assert_eq!(bits.count(0, size) as usize, ones);
                let wanted = count % 9 + 1;
                let found = bits.find(wanted, start, value).map(|at| at as usize);
                prop_assert_eq!(found, find(&model, wanted as usize, start as usize, value));
                let all = end > start && (start..end).all(|at| model[at as usize] == value);
                prop_assert_eq!(bits.are(start, end - start, value), all);
                let back = runs(&model).into_iter().rfind(|run| run.start <= start);
                let back = back.map(|run| Run { bits: run.bits.min(start - run.start + 1), ..run });
                prop_assert_eq!(bits.run_back(start), back);
            }
            // Nothing behind the end was touched.
            let rest = words[size as usize / 32] >> (size % 32);
            prop_assert_eq!(rest, 0xAAAA_AAAA >> (size % 32));
        }
    }
}
