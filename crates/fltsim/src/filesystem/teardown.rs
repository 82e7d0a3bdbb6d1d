//! When a stream that nobody holds open loses its structure.

/// The freedom that Windows gives a file system, as a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TeardownPolicy {
    /// With the last close of the stream.
    Immediate,
    /// Only when the cache is trimmed or the volume is dismounted.
    Delayed,
    /// Sometimes with the last close, sometimes with a later close of another stream, sometimes
    /// only when the cache is trimmed. The same seed and the same closes give the same choices.
    Seeded(u64),
}

/// A policy at work.
#[derive(Debug)]
pub(super) struct Teardown {
    policy: TeardownPolicy,
    state: u64,
}

impl Teardown {
    pub(super) const fn new(policy: TeardownPolicy) -> Self {
        let state = match policy {
            TeardownPolicy::Seeded(seed) => seed,
            _ => 0,
        };
        Self { policy, state }
    }

    /// Whether a stream whose last open was closed just now goes at once.
    pub(super) fn now(&mut self) -> bool {
        match self.policy {
            TeardownPolicy::Immediate => true,
            TeardownPolicy::Delayed => false,
            TeardownPolicy::Seeded(_) => self.one_in(2),
        }
    }

    /// Whether a stream that was left over earlier goes with a close of another one.
    pub(super) fn later(&mut self) -> bool {
        matches!(self.policy, TeardownPolicy::Seeded(_)) && self.one_in(8)
    }

    fn one_in(&mut self, chances: u64) -> bool {
        // A Weyl sequence, mixed: two neighbouring seeds must not make the same choices.
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)).is_multiple_of(chances)
    }
}
