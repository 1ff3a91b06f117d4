//! Time and randomness of a node: the only place that asks the system for either, so that a node can run on a paused
//! clock and a seed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tokio::time::Instant;

/// Where wall-clock time comes from.
#[derive(Debug, Clone, Copy)]
enum Wall {
    /// The system's clock.
    System,
    /// A fixed start in milliseconds since 1970 and a drift in parts per million; it runs with tokio's clock, which a
    /// test may pause.
    Simulated(u64, i32),
}

/// Clock and generator of a node.
#[derive(Debug)]
pub struct Env {
    wall: Wall,
    start: Instant,
    rng: Mutex<ChaCha20Rng>,
}

impl Env {
    /// The system's clock, and a generator seeded by the operating system.
    ///
    /// # Errors
    /// A sentence where the operating system has no randomness to give.
    pub fn system() -> Result<Self, String> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|e| format!("the system has no randomness to give: {e}"))?;
        Ok(Self { wall: Wall::System, start: Instant::now(), rng: Mutex::new(ChaCha20Rng::from_seed(seed)) })
    }

    /// A clock that starts at `ms` since 1970 and runs with tokio's, and a generator with a seed.
    #[must_use]
    pub fn simulated(ms: u64, seed: u64) -> Self {
        Self::drifting(ms, 0, seed)
    }

    /// The same with a clock that gains `ppm` microseconds a second.
    #[must_use]
    pub fn drifting(ms: u64, ppm: i32, seed: u64) -> Self {
        let rng = Mutex::new(ChaCha20Rng::seed_from_u64(seed));
        Self { wall: Wall::Simulated(ms, ppm), start: Instant::now(), rng }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        match self.wall {
            Wall::System => std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            Wall::Simulated(ms, ppm) => {
                let mono = i64::try_from(self.mono().as_millis()).unwrap_or(i64::MAX);
                let drift = mono.saturating_mul(ppm.into()) / 1_000_000;
                ms.saturating_add_signed(mono.saturating_add(drift))
            }
        }
    }

    /// Time since the start of this node; it never goes back.
    #[must_use]
    pub fn mono(&self) -> Duration {
        self.start.elapsed()
    }

    /// `N` random bytes. Each time the system's: a virtual machine that is resumed twice has a generator of ours in one
    /// state twice, and would give two messages one id.
    #[must_use]
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        if matches!(self.wall, Wall::System) && getrandom::fill(&mut out).is_ok() {
            return out;
        }
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut out);
        out
    }

    /// A duration between zero and `max`.
    #[must_use]
    pub fn up_to(&self, max: Duration) -> Duration {
        let f: f64 = self.rng.lock().unwrap_or_else(PoisonError::into_inner).random();
        max.mul_f64(f)
    }

    /// A duration within a quarter of `mean`.
    #[must_use]
    pub fn jittered(&self, mean: Duration) -> Duration {
        mean.mul_f64(0.75) + self.up_to(mean / 2)
    }
}
