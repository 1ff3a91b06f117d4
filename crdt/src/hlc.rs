//! The hybrid logical clock (Kulkarni et al., 2014): 48 bits of milliseconds since 1970 and a 16-bit counter in one
//! u64, so that stamps compare as integers.

use serde::{Deserialize, Serialize};

/// How far a foreign stamp may be ahead of mesh time and still move the local clock: 2 minutes in milliseconds.
pub const MAX_AHEAD_MS: u64 = 120_000;

/// A stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Hlc(pub u64);

impl Hlc {
    /// The smallest stamp of a millisecond.
    #[must_use]
    pub fn from_ms(ms: u64) -> Self {
        Self(ms.min((1 << 48) - 1) << 16)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn ms(self) -> u64 {
        self.0 >> 16
    }

    /// The next greater stamp.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The local clock of a node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    last: Hlc,
}

impl Clock {
    /// A clock that has already given `last`.
    #[must_use]
    pub fn after(last: Hlc) -> Self {
        Self { last }
    }

    /// A stamp greater than every one given or accepted before; `now_ms` is mesh time in milliseconds since 1970.
    pub fn tick(&mut self, now_ms: u64) -> Hlc {
        self.last = Hlc::from_ms(now_ms).max(self.last.next());
        self.last
    }

    /// Takes note of a foreign stamp. One that is more than [`MAX_AHEAD_MS`] ahead of `now_ms` is ignored, so that an
    /// entry from the year 10889 drags nobody along.
    pub fn observe(&mut self, foreign: Hlc, now_ms: u64) {
        if foreign.ms() <= now_ms.saturating_add(MAX_AHEAD_MS) {
            self.last = self.last.max(foreign);
        }
    }

    /// Others agree on a time, and this clock is more than [`MAX_AHEAD_MS`] ahead of it: it was stamped by a clock that
    /// was wrong. It goes on from there; else it would stay ahead of everybody for as long as it was wrong, and
    /// everything it stamps would stand after what others say. Whoever stamps sees to it that the stamps of one log
    /// grow and that none goes below a floor that was stated.
    pub fn set_back(&mut self, now_ms: u64) {
        if self.last.ms() > now_ms.saturating_add(MAX_AHEAD_MS) {
            self.last = Hlc::from_ms(now_ms);
        }
    }

    /// The last stamp given or accepted.
    #[must_use]
    pub fn last(&self) -> Hlc {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_only_grow_and_the_far_future_is_ignored() {
        let mut c = Clock::default();
        let a = c.tick(1_000);
        let b = c.tick(900);
        assert!(b > a && b.ms() == 1_000);
        c.observe(Hlc::from_ms(100_000), 1_000);
        assert!(c.tick(1_001) > Hlc::from_ms(100_000));
        c.observe(Hlc::from_ms(281_474_976_710_655), 1_000);
        assert!(c.tick(1_002).ms() < 200_000);
        let before = c.last();
        c.set_back(1_003);
        assert_eq!(c.last(), before, "two minutes ahead is no reason");
        let mut wrong = Clock::after(Hlc::from_ms(9_000_000));
        wrong.set_back(1_000_000);
        assert_eq!(wrong.tick(1_000_000).ms(), 1_000_000);
    }
}
