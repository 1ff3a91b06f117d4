//! Seeded chance for scenarios, and its seed in the output, so that a failed run can be run again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A small generator (splitmix64): good enough to choose moments and victims.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// From `CAIRN_SEED`, else from the clock; prints the seed.
    #[must_use]
    pub fn new() -> Self {
        let from_clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64);
        let seed = std::env::var("CAIRN_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(from_clock);
        eprintln!("CAIRN_SEED={seed}");
        Self(seed)
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `n`, which is at least 1.
    pub fn below(&mut self, n: usize) -> usize {
        (self.roll() % n as u64) as usize
    }

    /// Between two durations.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = high.saturating_sub(low).as_micros().max(1) as u64;
        low + Duration::from_micros(self.roll() % span)
    }

    /// So many bytes.
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.roll() as u8).collect()
    }
}

impl Default for Dice {
    fn default() -> Self {
        Self::new()
    }
}
